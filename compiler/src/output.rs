//! Where results go: the one way by which anything of ours is written to a path.
//!
//! Whoever names `/dev/null`, a FIFO or `-` means what is there, and it stays what it is: only a regular file, or nothing, is
//! replaced, whole or not at all. Everything that may go wrong is tried by `open` and `fill`; `keep` makes the bytes the file.

use rustix::fs::{Mode, OFlags};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A place for a result.
pub(crate) struct Output {
    shown: String,
    place: Place,
}

enum Place {
    /// `-`.
    Standard(Vec<u8>),
    /// What is no regular file, or what a link led to: written where it is.
    There(File, Vec<u8>),
    /// A regular file, or none: written beside it.
    Beside { path: PathBuf, draft: PathBuf },
}

impl Output {
    /// Looks what is there; nothing is changed.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display().to_string().escape_debug().to_string();
        let fail = |why: &dyn std::fmt::Display| format!("failed to write `{shown}`: {why}");
        if path.as_os_str() == "-" {
            return Ok(Output { shown, place: Place::Standard(Vec::new()) });
        }
        let there = match fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::beside(path, shown),
            Err(error) => return Err(fail(&error)),
        };
        let kind = there.file_type();
        if kind.is_file() {
            return Self::beside(path, shown);
        }
        if kind.is_dir() {
            return Err(fail(&"it is a folder; name a file in it"));
        }
        if kind.is_socket() {
            return Err(fail(&"it is a socket; name a file, or `-` for standard output"));
        }
        let caller = rustix::process::geteuid().as_raw();
        if kind.is_symlink() && ![0, caller].contains(&there.uid()) {
            return Err(fail(&format!("it is a link of user {}; name what it leads to", there.uid())));
        }
        // A link is followed by opening and never by reading it: the kernel then keeps sticky folders safe (fs.protected_symlinks).
        let (flags, mode) = match kind.is_symlink() {
            true => (OFlags::CREATE, Mode::from_raw_mode(0o666)),
            false => (OFlags::NOFOLLOW, Mode::empty()),
        };
        let opened = rustix::fs::open(path, OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC | flags, mode);
        let file = File::from(opened.map_err(|e| fail(&io::Error::from(e)))?);
        Ok(Output { shown, place: Place::There(file, Vec::new()) })
    }

    fn beside(path: &Path, shown: String) -> Result<Self, String> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}.tmp", std::process::id()));
        Ok(Output { shown, place: Place::Beside { path: path.to_owned(), draft: draft.into() } })
    }

    /// It is the caller's standard output.
    pub(crate) fn is_standard(&self) -> bool {
        matches!(self.place, Place::Standard(_))
    }

    /// Takes the bytes; those of a regular file are on the disk when this returns.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> Result<(), String> {
        match &mut self.place {
            Place::Standard(held) | Place::There(_, held) => {
                *held = bytes.to_vec();
                Ok(())
            }
            Place::Beside { path, draft } => {
                write_new(draft, path, bytes).map_err(|error| format!("failed to write `{}`: {error}", self.shown))
            }
        }
    }

    /// Makes them the file, or writes them to what is there.
    pub(crate) fn keep(mut self) -> Result<(), String> {
        let kept = match &mut self.place {
            Place::Standard(bytes) => io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().flush()),
            Place::There(file, bytes) => write_there(file, bytes),
            Place::Beside { path, draft } => fs::rename(draft, path),
        };
        kept.map_err(|error| format!("failed to write `{}`: {error}", self.shown))
    }
}

/// Never by a link that somebody else laid there, and with the rights of what it replaces.
fn write_new(draft: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(draft)?;
    if let Ok(there) = fs::symlink_metadata(path) {
        file.set_permissions(there.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

fn write_there(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(bytes)
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Place::Beside { draft, .. } = &self.place {
            let _ = fs::remove_file(draft); // of a kept draft nothing is left
        }
    }
}
