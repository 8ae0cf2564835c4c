//! The pins of one installation, and the typed maps behind them.

use crate::bpfsys;
use crate::error::{Error, Result};
use fqdn_image::Image;
use fqdn_image::abi::{self, Node, Record};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Folder of pins. `lock` is held while anything is changed.
#[derive(Debug)]
pub struct Pins {
    dir: PathBuf,
}

/// The lock of all commands that change something; released when dropped, or when the process dies.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

impl Pins {
    /// Pins under this folder.
    pub fn new(dir: &Path) -> Self {
        Pins { dir: dir.to_owned() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits for the lock: bind, unbind, apply, rollback and unload run one at a time.
    pub fn lock(&self) -> Result<Lock> {
        loop {
            let file = File::open(&self.dir).map_err(|e| self.absent(&e))?;
            file.lock().map_err(|e| Error::io("lock", self.dir.display(), &e))?;
            // `unload` may have removed the folder while we waited.
            let mine = file.metadata().map(|m| m.ino()).ok();
            if mine.is_some() && fs::metadata(&self.dir).map(|m| m.ino()).ok() == mine {
                return Ok(Lock(file));
            }
        }
    }

    fn absent(&self, error: &std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::NotFound {
            Error::refused(format!("nothing is loaded under `{}` (run: fqdn-load apply IMAGE)", self.dir.display()))
        } else {
            Error::io("open", self.dir.display(), error)
        }
    }

    /// Path of a pin.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A pinned map.
    pub fn map(&self, name: &str) -> Result<Map> {
        let path = self.path(name);
        match bpfsys::obj_get(&path) {
            Ok(fd) => Ok(Map { fd, path }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(self.absent(&error)),
            Err(error) => Err(Error::io("open pinned map", path.display(), &error)),
        }
    }

    /// Refuses maps that another release made.
    pub fn check_abi(&self) -> Result<()> {
        let found = self.map("abi")?.get(&0u32.to_le_bytes())?.unwrap_or_default();
        if found == abi::fingerprint().to_le_bytes() {
            return Ok(());
        }
        Err(Error::refused(format!(
            "the programs under `{}` are of another release (unload them with that release: fqdn-load unload)",
            self.dir.display()
        )))
    }

    /// Every pinned image: digest and map.
    pub fn images(&self) -> Result<Vec<(String, Map)>> {
        let dir = self.path("images");
        let mut images = Vec::new();
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            images.push((name.clone(), self.map(&format!("images/{name}"))?));
        }
        images.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(images)
    }

    /// The image in a slot: 0 active, 1 previous. The slot is the truth, the pin only the handle.
    pub fn slot(&self, slot: u32) -> Result<Option<(String, Map)>> {
        let Some(value) = self.map("image")?.get(&slot.to_le_bytes())? else { return Ok(None) };
        let mut id = [0u8; 4];
        id.copy_from_slice(&value[..4]);
        let id = u32::from_le_bytes(id);
        for (digest, map) in self.images()? {
            if map.info()?.id == id {
                return Ok(Some((digest, map)));
            }
        }
        Err(Error::refused(format!(
            "the image in slot {slot} has no pin under `{}/images` (apply an image anew)",
            self.dir.display()
        )))
    }

    /// The shared state.
    pub fn node(&self) -> Result<Node> {
        let bytes = self.map("node")?.get(&0u32.to_le_bytes())?.unwrap_or_default();
        Node::read(&bytes).ok_or_else(|| Error::refused("the map `node` has another shape"))
    }

    /// Writes the shared state, and what the programs' clock misses.
    pub fn set_node(&self, node: &Node) -> Result<()> {
        // The two clocks are read one after the other. A shift that went back would let a time lie ahead of now.
        const LEAST: u64 = 100_000_000;
        let suspended = bpfsys::suspended();
        let node = Node { suspended: if suspended > node.suspended + LEAST { suspended } else { node.suspended }, ..*node };
        self.map("node")?.set(&0u32.to_le_bytes(), node.bytes())
    }
}

/// An open map.
#[derive(Debug)]
pub struct Map {
    /// The map.
    pub fd: OwnedFd,
    path: PathBuf,
}

impl Map {
    /// A map that has no pin yet.
    pub fn fresh(fd: OwnedFd, path: PathBuf) -> Self {
        Map { fd, path }
    }

    /// Value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        bpfsys::lookup(self.fd.as_fd(), key, 1).map_err(|e| Error::io("read map", self.path.display(), &e))
    }

    /// Values of a key, one for each possible CPU, together.
    pub fn sum(&self, key: &[u8], cpus: usize) -> Result<u64> {
        let bytes = bpfsys::lookup(self.fd.as_fd(), key, cpus).map_err(|e| Error::io("read map", self.path.display(), &e))?;
        Ok(bytes
            .unwrap_or_default()
            .chunks_exact(8)
            .map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
            .sum())
    }

    /// Sets the value of a key.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        bpfsys::update(self.fd.as_fd(), key, value).map_err(|e| Error::io("write map", self.path.display(), &e))
    }

    /// Replaces the value of a key that programs read, if it is another one.
    /// INVARIANT: what the old value becomes next, no program sees as this key's (`wait_for_programs`).
    pub fn replace(&self, key: &[u8], value: &[u8]) -> Result<()> {
        match self.get(key)? {
            Some(have) if have == value => Ok(()),
            Some(_) => self.set(key, value).and_then(|()| wait_for_programs()),
            None => self.set(key, value),
        }
    }

    /// Removes a key.
    pub fn remove(&self, key: &[u8]) -> Result<bool> {
        bpfsys::delete(self.fd.as_fd(), key).map_err(|e| Error::io("write map", self.path.display(), &e))
    }

    /// Every key.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>> {
        bpfsys::keys(self.fd.as_fd()).map_err(|e| Error::io("read map", self.path.display(), &e))
    }

    /// Its shape.
    pub fn info(&self) -> Result<bpfsys::MapInfo> {
        bpfsys::map_info(self.fd.as_fd()).map_err(|e| Error::io("look at map", self.path.display(), &e))
    }

    /// The image that it holds, checked.
    pub fn image(&self) -> Result<Image> {
        let bytes = bpfsys::read_back(self.fd.as_fd()).map_err(|e| Error::io("read map", self.path.display(), &e))?;
        Image::decode(bytes).map_err(|e| Error::refused(format!("image map `{}`: {e}", self.path.display())))
    }
}

/// Waits until no program reads what was replaced or removed before.
pub fn wait_for_programs() -> Result<()> {
    bpfsys::wait_for_programs().map_err(|e| Error::io("wait for", "running programs", &e))
}

/// CPUs that per-CPU maps have values for.
pub fn possible_cpus() -> usize {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<usize>().ok());
    last.map_or(1, |n| n + 1)
}
