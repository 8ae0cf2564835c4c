//! The kernel programs: loaded and attached once, pinned, found again later.

use crate::bpfsys;
use crate::cgroup;
use crate::error::{Error, Result};
use crate::pins::{Pins, possible_cpus};
use aya::EbpfLoader;
use aya::programs::Program;
use fqdn_image::abi::{self, Node, Record};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../ebpf/fqdn.bpf.o"));

/// A program and where it is attached: `enum bpf_attach_type`, include/uapi/linux/bpf.h.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name in the object.
    pub name: &'static str,
    attach_type: u32,
}

const fn hook(name: &'static str, attach_type: u32) -> Hook {
    Hook { name, attach_type }
}

/// In the order of attaching: what stores and teaches first, what refuses last.
pub const PROGRAMS: [Hook; 9] = [
    hook("fqdn_sock_create", 2),
    hook("fqdn_sockops", 3),
    hook("fqdn_ingress", 0),
    hook("fqdn_setsockopt", 22),
    hook("fqdn_connect4", 10),
    hook("fqdn_connect6", 11),
    hook("fqdn_sendmsg4", 14),
    hook("fqdn_sendmsg6", 15),
    hook("fqdn_egress", 1),
];
/// Working buffers for each CPU: `SCRATCH_PER_CPU` of ebpf/lib/scratch.h.
const SCRATCH_PER_CPU: u32 = 4;

/// Whether every program is attached.
pub fn attached(pins: &Pins) -> bool {
    PROGRAMS.iter().all(|hook| pins.path(&format!("links/{}", hook.name)).exists())
}

/// Where the programs are attached.
pub fn attach_point(pins: &Pins) -> Result<PathBuf> {
    let bytes = pins.map("about")?.get(&0u32.to_le_bytes())?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(PathBuf::from(text.trim_end_matches('\0')))
}

/// Where the resolvers come from.
pub fn resolver_source(pins: &Pins) -> Result<String> {
    if !pins.path("resolver_source").exists() {
        return Ok("unknown".into()); // killed between publishing and saying so
    }
    let bytes = pins.map("resolver_source")?.get(&0u32.to_le_bytes())?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

/// Says where the resolvers come from, for `status`.
pub fn set_resolver_source(pins: &Pins, source: &str) -> Result<()> {
    let mut bytes = [0u8; 64];
    let length = source.len().min(63);
    bytes[..length].copy_from_slice(&source.as_bytes()[..length]);
    small_map(pins, "resolver_source", &bytes, false)
}

/// Loads and attaches what is not there. `cgroup` is where to; true = something was done.
pub fn ensure(pins: &Pins, cgroup: &Path) -> Result<bool> {
    if attached(pins) {
        pins.check_abi()?;
        let have = attach_point(pins)?;
        if have == cgroup {
            return Ok(false);
        }
        return Err(Error::refused(format!(
            "the programs are attached to `{}`, not `{}` (run fqdn-load unload first)",
            have.display(),
            cgroup.display()
        )));
    }
    if pins.path("abi").exists() {
        pins.check_abi()?;
    }
    for dir in ["links", "programs"] {
        remove_folder(&pins.path(dir))?;
    }
    load(pins, cgroup)?;
    Ok(true)
}

fn load(pins: &Pins, cgroup: &Path) -> Result<()> {
    let folder = |name: &str| match fs::create_dir(pins.path(name)) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::io("make", pins.path(name).display(), &e)),
        _ => Ok(()),
    };
    for name in ["images", "links", "programs"] {
        folder(name)?;
    }
    let cpus = u32::try_from(possible_cpus()).unwrap_or(1);
    let mut ebpf = EbpfLoader::new()
        .default_map_pin_directory(pins.dir())
        .map_max_entries("scratch", cpus * SCRATCH_PER_CPU)
        .load(OBJECT)
        .map_err(|e| kernel("load the programs", &e))?;
    prepare(pins, cgroup)?;
    for Hook { name, .. } in PROGRAMS {
        let program = ebpf.program_mut(name).ok_or_else(|| Error::failed(format!("the object has no program `{name}`")))?;
        load_one(program).map_err(|e| kernel(&format!("load program `{name}`"), &e))?;
        program.pin(pins.path(&format!("programs/{name}"))).map_err(|e| kernel(&format!("pin program `{name}`"), &e))?;
    }
    let target = File::open(cgroup).map_err(|e| Error::io("open cgroup", cgroup.display(), &e))?;
    for Hook { name, attach_type } in PROGRAMS {
        let fail = |what: &str, e: &std::io::Error| Error::io(&format!("{what} program `{name}` at"), cgroup.display(), e);
        let program = bpfsys::obj_get(&pins.path(&format!("programs/{name}"))).map_err(|e| fail("open", &e))?;
        let link = bpfsys::link_create(program.as_fd(), target.as_fd(), attach_type).map_err(|e| fail("attach", &e))?;
        bpfsys::obj_pin(link.as_fd(), &pins.path(&format!("links/{name}"))).map_err(|e| fail("pin the link of", &e))?;
    }
    Ok(())
}

/// State that must be there before the first packet.
fn prepare(pins: &Pins, cgroup: &Path) -> Result<()> {
    let mut secret = [0u8; 16];
    File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut secret)).map_err(|e| Error::io("read", "/dev/urandom", &e))?;
    let half = |i: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|k| secret[i + k]));
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").map_err(|e| Error::io("open", "a UDP socket", &e))?;
    let host_netns = bpfsys::netns_cookie(socket.as_fd()).map_err(|e| Error::io("read", "the network namespace's cookie", &e))?;
    let mut node = pins.node()?;
    if node.secret == [0; 2] {
        node = Node { epoch: 1, secret: [half(0), half(8)], ..Node::zeroed() };
    }
    node.host_netns = host_netns;
    pins.set_node(&node)?;
    small_map(pins, "abi", &abi::fingerprint().to_le_bytes(), true)?;
    let mut about = [0u8; 1024];
    let text = cgroup.as_os_str().as_encoded_bytes();
    let room = text.len().min(about.len() - 1);
    about[..room].copy_from_slice(&text[..room]);
    small_map(pins, "about", &about, false)
}

/// A pinned array of one value.
fn small_map(pins: &Pins, name: &str, value: &[u8], frozen: bool) -> Result<()> {
    let path = pins.path(name);
    let fail = |what: &str, e: &std::io::Error| Error::io(what, path.display(), e);
    if path.exists() {
        return if frozen { Ok(()) } else { pins.map(name)?.set(&0u32.to_le_bytes(), value) };
    }
    let size = u32::try_from(value.len()).unwrap_or(0);
    let fd = bpfsys::map_create(bpfsys::MAP_TYPE_ARRAY, 4, size, 1, 0, name).map_err(|e| fail("make map", &e))?;
    bpfsys::update(fd.as_fd(), &0u32.to_le_bytes(), value).map_err(|e| fail("write map", &e))?;
    if frozen {
        bpfsys::freeze(fd.as_fd()).map_err(|e| fail("freeze map", &e))?;
    }
    bpfsys::obj_pin(fd.as_fd(), &path).map_err(|e| fail("pin map", &e))
}

fn load_one(program: &mut Program) -> std::result::Result<(), aya::programs::ProgramError> {
    match program {
        Program::CgroupSkb(p) => p.load(),
        Program::CgroupSock(p) => p.load(),
        Program::CgroupSockAddr(p) => p.load(),
        Program::CgroupSockopt(p) => p.load(),
        Program::SockOps(p) => p.load(),
        _ => Err(aya::programs::ProgramError::UnexpectedProgramType),
    }
}

/// Verified instructions of every program.
pub fn instructions(pins: &Pins) -> Vec<(&'static str, Option<u32>)> {
    let count = |name: &str| {
        bpfsys::obj_get(&pins.path(&format!("programs/{name}"))).and_then(|fd| bpfsys::verified_instructions(fd.as_fd())).ok()
    };
    PROGRAMS.iter().map(|hook| (hook.name, count(hook.name))).collect()
}

/// Detaches everything, then removes every pin.
pub fn unload(pins: &Pins) -> Result<()> {
    for dir in ["links", "programs", "images"] {
        remove_folder(&pins.path(dir))?;
    }
    remove_folder(pins.dir())
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path.display(), &e)),
        _ => Ok(()),
    }
}

/// The default attach point: the cgroup2 root.
pub fn default_attach_point() -> Result<PathBuf> {
    cgroup::mount_point()
}

/// aya's errors nest; the innermost says what the kernel said. A verifier's log is cut to its last lines.
fn kernel(operation: &str, error: &dyn std::error::Error) -> Error {
    let mut text = error.to_string();
    let mut source = error.source();
    let mut denied = text.contains("ermission denied") || text.contains("not permitted");
    while let Some(inner) = source {
        let more = inner.to_string();
        denied |= more.contains("ermission denied") || more.contains("not permitted");
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    let lines: Vec<&str> = text.lines().collect();
    let shown = if lines.len() > 12 { lines[lines.len() - 12..].join("\n") } else { lines.join("\n") };
    let help = if denied { " (run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)" } else { "" };
    Error::failed(format!("failed to {operation}: {shown}{help}"))
}
