//! Devices of the workloads' network namespaces: each gets the program that turns refused queries into answers and
//! stops packet sockets. Egress lets a refused query pass only to a device that stands in the map `devices`.

use crate::bpfsys::{self, Device};
use crate::cgroup;
use crate::error::{Error, Result};
use crate::pins::Pins;
use aya::programs::SchedClassifier;
use aya::programs::tc::{self, NlOptions, TcAttachOptions, TcAttachType};
use fqdn_image::abi::{DEVICE_ETHERNET, DEVICE_LOOPBACK, Device as DeviceRecord, DeviceKey, Record};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `ARPHRD_ETHER`, include/uapi/linux/if_arp.h.
const ETHER: u16 = 1;
/// `ARPHRD_LOOPBACK`.
const LOOPBACK: u16 = 772;

/// Most namespaces of a workload, and devices of a namespace, that are covered: a workload can make as many as it likes.
const NAMESPACES: usize = 16;
const DEVICES: usize = 64;

/// Which network namespace a workload's devices are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Netns {
    /// The one that this process is in.
    Own,
    /// The one of this file.
    File(PathBuf),
}

impl std::fmt::Display for Netns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Netns::Own => f.write_str("this network namespace"),
            Netns::File(path) => path.display().fmt(f),
        }
    }
}

/// The namespaces that `bind` means: the one given, or those of all processes in the cgroup, each once; and how many more there
/// are than are covered. First those of processes in this one's user namespace: a workload makes others in one of its own.
pub fn namespaces(given: Option<&Path>, cgroup: &Path) -> (Vec<Netns>, usize) {
    let own = fs::read_link("/proc/self/ns/net").unwrap_or_default();
    let user = fs::read_link("/proc/self/ns/user").ok();
    let mut processes = if given.is_some() { Vec::new() } else { cgroup::process_ids(cgroup) };
    processes.sort_by_key(|id| fs::read_link(format!("/proc/{id}/ns/user")).ok() != user);
    let files = processes.iter().map(|id| PathBuf::from(format!("/proc/{id}/ns/net")));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut more = 0;
    for file in given.map(Path::to_owned).into_iter().chain(files) {
        let is = fs::read_link(&file).or_else(|_| fs::metadata(&file).map(|m| PathBuf::from(format!("net:[{}]", m.ino()))));
        let Ok(is) = is else { continue }; // the process has ended
        if !seen.insert(is.clone()) {
            continue;
        }
        if found.len() == NAMESPACES {
            more += 1;
            continue;
        }
        found.push(if is == own { Netns::Own } else { Netns::File(file) });
    }
    (found, more)
}

/// The process is in the network namespace that this one is in.
pub fn is_own_namespace(process: u32) -> bool {
    let read = |path: &str| fs::read_link(path).ok();
    read("/proc/self/ns/net").is_some_and(|own| read(&format!("/proc/{process}/ns/net")).is_none_or(|other| other == own))
}

fn inside<T: Send>(netns: &Netns, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Netns::File(path) = netns else { return what() };
    let file = File::open(path).map_err(|e| Error::io("open network namespace", path.display(), &e))?;
    // A thread of its own: the others stay where they are.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            bpfsys::enter_netns(file.as_fd()).map_err(|e| Error::io("enter network namespace", path.display(), &e))?;
            what()
        });
        thread.join().unwrap_or_else(|_| Err(Error::failed("the thread in the network namespace died")))
    })
}

/// Names of the namespace's devices, of those that packets leave by, at which our program is not, or not the first.
pub fn uncovered(pins: &Pins, netns: &Netns) -> Result<Vec<String>> {
    inside(netns, || {
        let fail = |e: &std::io::Error| Error::io("list", "the network devices", e);
        let cookie = cookie_here()?;
        let map = pins.map("devices")?;
        let mut names = Vec::new();
        for device in bpfsys::devices().map_err(|e| fail(&e))?.into_iter().filter(|device| device.up) {
            let key = DeviceKey { netns: cookie, ifindex: device.index, pad: 0 };
            if map.get(key.bytes())?.is_none() || !is_first(pins, device.index) {
                names.push(device.name);
            }
        }
        Ok(names)
    })
}

/// Devices at which what egress marked was not met: another program lets it pass by ours. Index and network namespace.
pub fn passed_by(pins: &Pins) -> Result<Vec<(u32, u64)>> {
    let map = pins.map("devices")?;
    let mut found = Vec::new();
    for key in map.keys()? {
        let record = map.get(&key)?.and_then(|bytes| DeviceRecord::read(&bytes));
        if let (Some(key), true) = (DeviceKey::read(&key), record.is_some_and(|record| record.passed_by != 0)) {
            found.push((key.ifindex, key.netns));
        }
    }
    Ok(found)
}

/// Gives every device of the namespace its program; how many there are and have it. Idempotent.
pub fn cover(pins: &Pins, netns: &Netns) -> Result<Covered> {
    inside(netns, || cover_here(pins))
}

fn cookie_here() -> Result<u64> {
    let fail = |e: &std::io::Error| Error::io("read", "the network namespace's cookie", e);
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|e| fail(&e))?;
    bpfsys::netns_cookie(socket.as_fd()).map_err(|e| fail(&e))
}

/// Our program is the first that the device runs; where the kernel has no list of them, before Linux 6.6, nobody knows.
fn is_first(pins: &Pins, ifindex: u32) -> bool {
    let ours = || bpfsys::program_id(bpfsys::obj_get(&pins.path("programs/fqdn_device"))?.as_fd());
    match bpfsys::first_tcx_program(ifindex) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => true,
        Err(_) => false,
        Ok(first) => first.is_some() && first == ours().ok(),
    }
}

/// What `cover` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Devices that have the program.
    pub devices: usize,
    /// Devices of another kind than Ethernet and loopback, or beyond the first 64: queries refused there get no answer.
    pub others: usize,
}

fn cover_here(pins: &Pins) -> Result<Covered> {
    let fail = |e: &std::io::Error| Error::io("list", "the network devices", e);
    let netns = cookie_here()?;
    let map = pins.map("devices")?;
    let mut covered = Covered { devices: 0, others: 0 };
    for device in bpfsys::devices().map_err(|e| fail(&e))? {
        let kind = match device.kind {
            _ if covered.devices == DEVICES => {
                covered.others += 1;
                continue;
            }
            ETHER => DEVICE_ETHERNET,
            LOOPBACK => DEVICE_LOOPBACK,
            _ => {
                covered.others += 1;
                continue;
            }
        };
        let key = DeviceKey { netns, ifindex: device.index, pad: 0 };
        let have = map.get(key.bytes())?.and_then(|bytes| DeviceRecord::read(&bytes));
        let fine = have.is_some_and(|record| record.passed_by == 0);
        if !fine || !is_first(pins, device.index) {
            // Nothing is marked for a program that is not there.
            map.remove(key.bytes())?;
            attach(pins, netns, &device)?;
            map.set(key.bytes(), DeviceRecord { kind, ..DeviceRecord::zeroed() }.bytes())?;
        }

        covered.devices += 1;
    }
    Ok(covered)
}

/// Attaches the program to one device, before all others: by a pinned link, or before Linux 6.6 by a filter of its clsact queue.
fn attach(pins: &Pins, netns: u64, device: &Device) -> Result<()> {
    let pin = pins.path(&format!("links_of_devices/{netns:x}-{}", device.index));
    // Of a device of this index that is gone, or at a place that is not the first.
    if let Ok(old) = bpfsys::obj_get(&pin) {
        let _ = bpfsys::link_detach(old.as_fd());
        let _ = fs::remove_file(&pin);
    }
    let fail = |e: &std::io::Error| Error::io("attach program `fqdn_device` to device", &device.name, e);
    let program = pins.path("programs/fqdn_device");
    let fd = bpfsys::obj_get(&program).map_err(|e| fail(&e))?;
    match bpfsys::link_create_tcx(fd.as_fd(), device.index) {
        Ok(link) => bpfsys::obj_pin(link.as_fd(), &pin).map_err(|e| fail(&e)),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            attach_filter(&program, &device.name).map_err(|e| fail(&std::io::Error::other(e)))
        }
        Err(e) => Err(fail(&e)),
    }
}

fn attach_filter(program: &Path, device: &str) -> std::result::Result<(), aya::programs::ProgramError> {
    let _ = tc::qdisc_add_clsact(device); // it may be there
    let mut program = SchedClassifier::from_pin(program)?;
    let options = TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() });
    let link = program.attach_with_options(device, TcAttachType::Egress, options)?;
    // The filter stays when this process ends.
    std::mem::forget(program.take_link(link)?);
    Ok(())
}

/// Forgets devices that are gone: their links hang on nothing.
pub fn forget_gone(pins: &Pins) -> Result<()> {
    let map = pins.map("devices")?;
    for entry in fs::read_dir(pins.path("links_of_devices")).into_iter().flatten().flatten() {
        let gone =
            bpfsys::obj_get(&entry.path()).and_then(|link| bpfsys::link_ifindex(link.as_fd())).is_ok_and(|index| index == 0);
        let name = entry.file_name().to_string_lossy().into_owned();
        let key = name.split_once('-').and_then(|(netns, index)| {
            Some(DeviceKey { netns: u64::from_str_radix(netns, 16).ok()?, ifindex: index.parse().ok()?, pad: 0 })
        });
        if let (true, Some(key)) = (gone, key) {
            map.remove(key.bytes())?;
            fs::remove_file(entry.path()).map_err(|e| Error::io("remove", entry.path().display(), &e))?;
        }
    }
    Ok(())
}
