//! The kernel programs: loaded and attached once, pinned, found again later.

use crate::bpfsys;
use crate::cgroup;
use crate::error::{Error, Result};
use crate::pins::{Pins, possible_cpus};
use aya::EbpfLoader;
use aya::programs::Program;
use fqdn_image::abi::{self, Node, Record};
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../ebpf/fqdn.bpf.o"));

/// Where a program is attached: `enum bpf_attach_type`, include/uapi/linux/bpf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The cgroup, by a pinned link.
    Cgroup(u32),
    /// The map of TCP connections to DNS ports. Links to it came with Linux 6.10 only.
    Streams(u32),
    /// Devices of the workloads' network namespaces: `devices` does it.
    Devices,
    /// One of the kernel's tracepoints, by a pinned link.
    Tracepoint(&'static CStr),
}

/// A program and where it is attached.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name in the object.
    pub name: &'static str,
    place: Place,
}

const fn hook(name: &'static str, place: Place) -> Hook {
    Hook { name, place }
}

/// In the order of attaching: what stores and teaches first, what refuses last.
pub const PROGRAMS: [Hook; 11] = [
    hook("fqdn_device", Place::Devices),
    hook("fqdn_stream_query", Place::Streams(7)),
    hook("fqdn_sock_create", Place::Cgroup(2)),
    hook("fqdn_sockops", Place::Cgroup(3)),
    hook("fqdn_ingress", Place::Cgroup(0)),
    hook("fqdn_setsockopt", Place::Cgroup(22)),
    hook("fqdn_connect4", Place::Cgroup(10)),
    hook("fqdn_connect6", Place::Cgroup(11)),
    hook("fqdn_cgroup_rmdir", Place::Tracepoint(c"cgroup_rmdir")),
    hook("fqdn_cgroup_release", Place::Tracepoint(c"cgroup_release")),
    hook("fqdn_egress", Place::Cgroup(1)),
];
/// Working buffers for each CPU: `SCRATCH_PER_CPU` of ebpf/lib/scratch.h.
const SCRATCH_PER_CPU: u32 = 4;

/// Whether every program is attached.
pub fn attached(pins: &Pins) -> bool {
    PROGRAMS.iter().all(|hook| is_attached(pins, hook))
}

/// Whether a program is attached; the one for devices counts once it is loaded.
pub fn is_attached(pins: &Pins, hook: &Hook) -> bool {
    match hook.place {
        Place::Cgroup(_) | Place::Tracepoint(_) => pins.path(&format!("links/{}", hook.name)).exists(),
        Place::Streams(kind) => bpfsys::obj_get(&pins.path("streams")).is_ok_and(|map| {
            // Before 5.17 a map of sockets does not say what it holds.
            bpfsys::map_has_program(map.as_fd(), kind).unwrap_or(true)
        }),
        Place::Devices => pins.path(&format!("programs/{}", hook.name)).exists(),
    }
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
    for dir in ["links", "links_of_devices", "programs"] {
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
    for name in ["images", "links", "links_of_devices", "programs"] {
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
    for Hook { name, place } in PROGRAMS {
        let fail = |what: &str, e: &std::io::Error| Error::io(&format!("{what} program `{name}` at"), cgroup.display(), e);
        let program = bpfsys::obj_get(&pins.path(&format!("programs/{name}"))).map_err(|e| fail("open", &e))?;
        match place {
            Place::Cgroup(kind) => {
                let link = bpfsys::link_create(program.as_fd(), target.as_fd(), kind).map_err(|e| fail("attach", &e))?;
                bpfsys::obj_pin(link.as_fd(), &pins.path(&format!("links/{name}"))).map_err(|e| fail("pin the link of", &e))?;
            }
            Place::Streams(kind) => {
                let streams = pins.map("streams")?;
                bpfsys::map_attach(program.as_fd(), streams.fd.as_fd(), kind)
                    .map_err(|e| Error::io(&format!("attach program `{name}` to map"), pins.path("streams").display(), &e))?;
            }
            Place::Tracepoint(event) => {
                let fail =
                    |what: &str, e: &std::io::Error| Error::io(&format!("{what} program `{name}` at"), "its tracepoint", e);
                let link = bpfsys::raw_tracepoint_open(program.as_fd(), event).map_err(|e| fail("attach", &e))?;
                bpfsys::obj_pin(link.as_fd(), &pins.path(&format!("links/{name}"))).map_err(|e| fail("pin the link of", &e))?;
            }
            Place::Devices => {}
        }
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
    if node.refuse_mark == 0 {
        let mut marks = [0u8; 8];
        File::open("/dev/urandom")
            .and_then(|mut f| f.read_exact(&mut marks))
            .map_err(|e| Error::io("read", "/dev/urandom", &e))?;
        let half = |i: usize| u32::from_le_bytes([0, 1, 2, 3].map(|k| marks[i + k]));
        // The two low bits of the first say how; 4 keeps it from being none, and 8 the two apart.
        node.refuse_mark = (half(0) | 4) & !11;
        node.vouch_mark = half(4) | 8;
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
        Program::RawTracePoint(p) => p.load(),
        Program::SkMsg(p) => p.load(),
        Program::SchedClassifier(p) => p.load(),
        _ => Err(aya::programs::ProgramError::UnexpectedProgramType),
    }
}

/// Verified instructions of every program.
pub fn instructions(pins: &Pins) -> Vec<(Hook, Option<u32>)> {
    let count = |name: &str| {
        bpfsys::obj_get(&pins.path(&format!("programs/{name}"))).and_then(|fd| bpfsys::verified_instructions(fd.as_fd())).ok()
    };
    PROGRAMS.iter().map(|hook| (*hook, count(hook.name))).collect()
}

/// Detaches everything, then removes every pin. Refuses, before anything, where it would remove what is not ours.
pub fn unload(pins: &Pins) -> Result<()> {
    pins.refuse_others()?;
    // A program that a device still holds (no links before 6.6) has nothing to do without workloads.
    if let Ok(mut node) = pins.node() {
        node.workloads = 0;
        pins.set_node(&node)?;
    }
    for dir in ["links", "links_of_devices"] {
        remove_folder(&pins.path(dir))?;
    }
    detach_streams(pins);
    pins.remove()
}

/// The map holds its programs, and one of them the map: without this both would stay for ever.
fn detach_streams(pins: &Pins) {
    let Ok(streams) = bpfsys::obj_get(&pins.path("streams")) else { return };
    for Hook { name, place } in PROGRAMS {
        if let (Place::Streams(kind), Ok(program)) = (place, bpfsys::obj_get(&pins.path(&format!("programs/{name}")))) {
            // Not attached = nothing to undo.
            let _ = bpfsys::map_detach(program.as_fd(), streams.as_fd(), kind);
        }
    }
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
