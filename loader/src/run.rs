//! A command in a fresh bound cgroup.

use crate::bind::{self, Told};
use crate::bpfsys;
use crate::devices::Netns;
use crate::error::{Error, Result};
use crate::pins::Pins;
use crate::programs;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is run, and as what.
#[derive(Debug)]
pub struct Job<'a> {
    /// `k=v,...`
    pub labels: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Network namespace to run it in; none = that of the caller.
    pub netns: Option<&'a Path>,
    /// Leave it what would lead it round the policy.
    pub keep_caps: bool,
    /// Program and arguments.
    pub command: &'a [String],
}

/// A cgroup of ours that is unbound, emptied and removed at the end, whatever happens.
struct Fresh<'a> {
    pins: &'a Pins,
    path: PathBuf,
    home: PathBuf,
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.home.join("cgroup.procs"), "0");
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        // Unbound only when nobody is left in it.
        for _ in 0..200 {
            if fs::remove_dir(&self.path).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        if let Ok(_lock) = self.pins.lock() {
            let _ = bind::unbind(self.pins, &self.path);
        }
    }
}

/// The cgroup this process is in, below the mount point.
fn home(mount: &Path) -> Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").map_err(|e| Error::io("read", "/proc/self/cgroup", &e))?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    Ok(mount.join(own.trim_start_matches('/')))
}

/// Runs the command; its exit status as env(1) has it: 126 = cannot be run, 127 = not found, 128 + n = signal n.
pub fn run(pins: &Pins, job: &Job<'_>) -> Result<u8> {
    let point = programs::attach_point(pins)?;
    let path = point.join(format!("fqdn-run-{}", std::process::id()));
    fs::create_dir(&path).map_err(|e| Error::io("make cgroup", path.display(), &e))?;
    let fresh = Fresh { pins, path, home: home(&crate::cgroup::mount_point()?)? };
    {
        let _lock = pins.lock()?;
        let told =
            Told { path: fresh.path.clone(), namespace: job.namespace.into(), labels: job.labels.into(), ..Told::default() };
        bind::bind(pins, &told)?;
        bind::cover(pins, &job.netns.map_or(Netns::Own, |path| Netns::File(path.to_owned())))?;
    }
    // The command is born in the cgroup of its parent: we enter it ourselves, and leave it at the end.
    fs::write(fresh.path.join("cgroup.procs"), "0").map_err(|e| Error::io("enter cgroup", fresh.path.display(), &e))?;
    let (program, arguments) = job.command.split_first().ok_or_else(|| Error::failed("no command given"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(path) = job.netns {
        let file = File::open(path).map_err(|e| Error::io("open network namespace", path.display(), &e))?;
        bpfsys::enter_before(&mut command, file.into());
    }
    if !job.keep_caps {
        bpfsys::confine(&mut command);
    }
    match command.status() {
        Ok(status) => {
            let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(125);
            Ok(u8::try_from(code).unwrap_or(125))
        }
        Err(error) => {
            eprintln!("fqdn-load: failed to run `{}`: {error}", program.escape_default());
            Ok(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
        }
    }
}
