//! An image as a file: opened once, looked at, read once. What is checked is what is loaded.

use crate::bpfsys;
use crate::error::{Error, Result};
use fqdn_image::Image;
use std::fs::{Metadata, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Bytes of an image, at most: four times a million rules.
const MOST: u64 = 1 << 30;

/// Reads an image. Links are followed (a ConfigMap is one); what they lead to must be a file that nobody but its owner writes.
pub fn read(path: &Path) -> Result<Image> {
    let shown = path.display();
    let fail = |e: &std::io::Error| Error::failed(format!("failed to read image `{shown}`: {e}"));
    // A FIFO without a writer must not be waited for.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|e| fail(&e))?;
    let metadata = file.metadata().map_err(|e| fail(&e))?;
    if let Some(why) = untrusted(&metadata, || bpfsys::is_sealed(file.as_fd()).unwrap_or(false)) {
        return Err(Error::refused(format!("image `{shown}`: {why}; the active policy stays")));
    }
    let mut bytes = Vec::new();
    (&mut file).take(MOST + 1).read_to_end(&mut bytes).map_err(|e| fail(&e))?;
    if bytes.len() as u64 > MOST {
        return Err(Error::refused(format!("image `{shown}`: it is longer than {MOST} bytes; the active policy stays")));
    }
    Image::decode(bytes).map_err(|e| Error::refused(format!("image `{shown}`: {e}; the active policy stays")))
}

/// Why what was opened may be another tomorrow, or is no file at all.
fn untrusted(file: &Metadata, is_sealed: impl Fn() -> bool) -> Option<String> {
    if !file.is_file() {
        return Some("it is no regular file".into());
    }
    // In memory, under no name: whoever made it may still hold it.
    if file.nlink() == 0 {
        return (!is_sealed()).then(|| "it is in memory and not sealed against writing (F_SEAL_WRITE)".into());
    }
    let caller = bpfsys::user();
    let sudo = std::env::var("SUDO_UID").ok().filter(|_| caller == 0).and_then(|uid| uid.parse::<u32>().ok());
    if file.uid() != 0 && file.uid() != caller && Some(file.uid()) != sudo {
        return Some(format!(
            "it belongs to the user {}, not to root or the caller (run: chown root on a copy of it)",
            file.uid()
        ));
    }
    if file.mode() & 0o002 != 0 {
        return Some("anybody may write it (run: chmod o-w)".into());
    }
    if file.len() > MOST {
        return Some(format!("it is longer than {MOST} bytes"));
    }
    None
}
