//! The folder of pins: where it may be made, whose it is, and how it is removed.

use crate::bpfsys;
use crate::error::{Error, Result};
use crate::pins::Pins;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Where distributions mount the bpf file system (systemd's sys-fs-bpf.mount).
const BPFFS: &str = "/sys/fs/bpf";

/// Says that a folder of pins is ours: made before anything else in it, removed last.
const MARKER: &str = "of-fqdn-load";

/// Folders in it.
const FOLDERS: [&str; 4] = ["images", "links", "links_of_devices", "programs"];

/// Whether we give such a name in one of them: digests, programs, a network namespace's number and a device's.
fn is_own_in(folder: &str, name: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    match folder {
        "images" => name.len() == 64 && hex(name),
        "links_of_devices" => name.split_once('-').is_some_and(|(netns, device)| hex(netns) && hex(device)),
        _ => name.starts_with("fqdn_"),
    }
}

impl Pins {
    /// Makes the folder, and says in it that it is ours. A bpffs is mounted at `/sys/fs/bpf` alone, and only where nothing is.
    pub fn create(&self) -> Result<()> {
        let parent = self.dir().parent().unwrap_or(Path::new("/"));
        let fail = |what: &str, path: &Path, e: &std::io::Error| Error::io(what, path.display(), e);
        if !bpfsys::is_bpffs(parent).map_err(|e| fail("look at", parent, &e))? {
            if parent != Path::new(BPFFS) || fs::read_dir(parent).map_err(|e| fail("look at", parent, &e))?.next().is_some() {
                let parent = parent.display();
                return Err(Error::refused(format!("`{parent}` is no bpf file system (run: mount -t bpf bpf {parent})")));
            }
            bpfsys::mount_bpffs(parent).map_err(|e| fail("mount bpffs at", parent, &e))?;
        }
        self.refuse_private_mount(parent)?;
        match fs::DirBuilder::new().mode(0o700).create(self.dir()) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => self.refuse_others()?,
            Err(error) => return Err(fail("make", self.dir(), &error)),
        }
        match fs::create_dir(self.path(MARKER)) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(fail("make", &self.path(MARKER), &e)),
            _ => Ok(()),
        }
    }

    /// A bpffs that only a mount namespace of its own has goes with it, and everything pinned there. What the first process has
    /// mounted stays (/proc/1/mountinfo, which needs no capability to be read; without it nothing is known).
    fn refuse_private_mount(&self, parent: &Path) -> Result<()> {
        let Ok(mounts) = fs::read_to_string("/proc/1/mountinfo") else { return Ok(()) };
        let device = fs::metadata(parent).map_err(|e| Error::io("look at", parent.display(), &e))?.dev();
        let number = format!("{}:{}", libc::major(device), libc::minor(device));
        // Documentation/filesystems/proc.rst section 3.5: the device is the third field, the type follows the lone dash.
        let of_first = |line: &str| line.split(' ').nth(2) == Some(&number) && line.contains(" - bpf ");
        if mounts.lines().any(of_first) {
            return Ok(());
        }
        let parent = parent.display();
        Err(Error::refused(format!(
            "the bpf file system at `{parent}` is of this mount namespace alone, and all would be gone with it (run: nsenter -m -t 1 mount -t bpf bpf {parent}, or hand the host's in)"
        )))
    }

    /// Refuses a folder that somebody else made, and one in which something of others stands.
    pub fn refuse_others(&self) -> Result<()> {
        let shown = self.dir().display();
        if !bpfsys::is_bpffs(self.dir()).map_err(|e| Error::io("look at", &shown, &e))? {
            return Err(Error::refused(format!("`{shown}` is on no bpf file system: nothing there is fqdn-load's")));
        }
        let mut names: Vec<String> = self.names("")?;
        // Folders from before there was a marker have the map that says which release made them.
        let ours = names.iter().any(|name| name == MARKER) || self.is_own_map("abi");
        names.retain(|name| !self.is_own(name));
        for folder in FOLDERS {
            let inside = self.names(folder)?.into_iter().filter(|name| !is_own_in(folder, name));
            names.extend(inside.map(|name| format!("{folder}/{name}")));
        }
        if !names.is_empty() {
            return Err(Error::refused(format!(
                "in `{shown}` stands what fqdn-load did not make: {} (give a folder of its own by --pins)",
                names.join(", ").escape_default()
            )));
        }
        if ours || self.names("")?.is_empty() {
            return Ok(());
        }
        Err(Error::refused(format!("`{shown}` was not made by fqdn-load (give a folder of its own by --pins)")))
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        let entries = match fs::read_dir(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| Error::io("look at", path.display(), &e))?,
        };
        Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    }

    /// A name directly in the folder that we make: a folder of ours, or a map pinned under its own name.
    fn is_own(&self, name: &str) -> bool {
        name == MARKER || FOLDERS.contains(&name) || self.is_own_map(name)
    }

    /// The kernel keeps 15 octets of a map's name (BPF_OBJ_NAME_LEN).
    fn is_own_map(&self, name: &str) -> bool {
        let have = bpfsys::obj_get(&self.path(name)).and_then(|fd| bpfsys::map_name(fd.as_fd()));
        have.is_ok_and(|have| have == name.get(..name.len().min(15)).unwrap_or(""))
    }

    /// Removes every pin of ours, what says that they are ours last: whoever is killed in between can begin again.
    pub fn remove(&self) -> Result<()> {
        let fail = |path: &Path, e: &std::io::Error| Error::io("remove", path.display(), e);
        let mut names = self.names("")?;
        names.sort_by_key(|name| (name == "abi") as u8 + 2 * (name == MARKER) as u8);
        for name in names {
            let path = self.path(&name);
            let is_folder = fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir());
            if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(|e| fail(&path, &e))?;
        }
        fs::remove_dir(self.dir()).map_err(|e| fail(self.dir(), &e))
    }
}
