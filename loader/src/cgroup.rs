//! The cgroup2 hierarchy: where it is mounted, which id a folder has.

use crate::bpfsys;
use crate::error::{Error, Result};
use fqdn_image::abi::CGROUP_DEPTH;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Mount point of cgroup2: /sys/fs/cgroup, or elsewhere on hybrid hosts.
pub fn mount_point() -> Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").map_err(|e| Error::io("read", "/proc/self/mountinfo", &e))?;
    for line in text.lines() {
        let (before, after) = line.split_once(" - ").unwrap_or((line, ""));
        if after.split(' ').next() == Some("cgroup2")
            && let Some(point) = before.split(' ').nth(4)
        {
            return Ok(PathBuf::from(point.replace("\\040", " ")));
        }
    }
    Err(Error::failed("no cgroup2 file system is mounted (mount one: mount -t cgroup2 none /sys/fs/cgroup)"))
}

/// Id of a cgroup: the inode of its folder.
pub fn id(path: &Path) -> Result<u64> {
    let found = fs::metadata(path).map_err(|e| Error::io("open cgroup", path.display(), &e))?;
    if !found.is_dir() || !bpfsys::is_cgroup2(path).map_err(|e| Error::io("look at", path.display(), &e))? {
        return Err(Error::failed(format!("`{}` is no cgroup2 folder", path.display())));
    }
    Ok(found.ino())
}

/// Refuses a cgroup deeper than the programs look for one.
pub fn check_depth(path: &Path) -> Result<()> {
    let real = fs::canonicalize(path).map_err(|e| Error::io("open cgroup", path.display(), &e))?;
    let root = mount_point()?;
    let depth = real.strip_prefix(&root).map_or(0, |rest| rest.components().count());
    if depth > CGROUP_DEPTH as usize {
        return Err(Error::refused(format!("`{}` is {depth} levels deep, the programs look at {CGROUP_DEPTH}", path.display())));
    }
    Ok(())
}

/// Processes in a cgroup and below it.
pub fn process_ids(path: &Path) -> Vec<u32> {
    let own = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for below in fs::read_dir(path).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
        found.extend(process_ids(&below.path()));
    }
    found
}
