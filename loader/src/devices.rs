//! Devices of the workloads' network namespaces: each gets the program that turns refused queries into answers and
//! stops packet sockets. Egress lets a refused query pass only to a device that stands in the map `devices`.

use crate::bpfsys::{self, Device};
use crate::cgroup;
use crate::error::{Error, Result};
use crate::pins::Pins;
use aya::programs::SchedClassifier;
use aya::programs::tc::{self, NlOptions, TcAttachOptions, TcAttachType};
use fqdn_image::abi::{DEVICE_ETHERNET, DEVICE_LOOPBACK, DeviceKey, Record};
use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// `ARPHRD_ETHER`, include/uapi/linux/if_arp.h.
const ETHER: u16 = 1;
/// `ARPHRD_LOOPBACK`.
const LOOPBACK: u16 = 772;

/// Which network namespace a workload's devices are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Netns {
    /// The one that this process is in.
    Own,
    /// The one of this file.
    File(PathBuf),
}

/// The namespace that `bind` means: the one given, or that of a process in the cgroup. None = nobody knows yet.
pub fn netns_of(given: Option<&Path>, cgroup: &Path) -> Option<Netns> {
    let file = match given {
        Some(path) => path.to_owned(),
        None => PathBuf::from(format!("/proc/{}/ns/net", cgroup::first_process(cgroup)?)),
    };
    let same = |a: &Path, b: &Path| matches!((fs::read_link(a), fs::read_link(b)), (Ok(a), Ok(b)) if a == b);
    Some(if same(&file, Path::new("/proc/self/ns/net")) { Netns::Own } else { Netns::File(file) })
}

/// Gives every device of the namespace its program; how many there are and have it. Idempotent.
pub fn cover(pins: &Pins, netns: &Netns) -> Result<Covered> {
    let Netns::File(path) = netns else { return cover_here(pins) };
    let file = File::open(path).map_err(|e| Error::io("open network namespace", path.display(), &e))?;
    // A thread of its own: the others stay where they are.
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            bpfsys::enter_netns(file.as_fd()).map_err(|e| Error::io("enter network namespace", path.display(), &e))?;
            cover_here(pins)
        });
        inside.join().unwrap_or_else(|_| Err(Error::failed("the thread in the network namespace died")))
    })
}

/// What `cover` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Devices that have the program.
    pub devices: usize,
    /// Devices of another kind than Ethernet and loopback: queries refused there get no answer.
    pub others: usize,
}

fn cover_here(pins: &Pins) -> Result<Covered> {
    let fail = |e: &std::io::Error| Error::io("list", "the network devices", e);
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|e| fail(&e))?;
    let netns = bpfsys::netns_cookie(socket.as_fd()).map_err(|e| fail(&e))?;
    let map = pins.map("devices")?;
    let mut covered = Covered { devices: 0, others: 0 };
    for device in bpfsys::devices().map_err(|e| fail(&e))? {
        let kind = match device.kind {
            ETHER => DEVICE_ETHERNET,
            LOOPBACK => DEVICE_LOOPBACK,
            _ => {
                covered.others += 1;
                continue;
            }
        };
        let key = DeviceKey { netns, ifindex: device.index, pad: 0 };
        attach(pins, netns, &device, map.get(key.bytes())?.is_some())?;
        map.set(key.bytes(), &kind.to_le_bytes())?;
        covered.devices += 1;
    }
    Ok(covered)
}

/// Attaches the program to one device: by a pinned link, or before Linux 6.6 by a filter of its clsact queue.
fn attach(pins: &Pins, netns: u64, device: &Device, known: bool) -> Result<()> {
    let pin = pins.path(&format!("links_of_devices/{netns:x}-{}", device.index));
    if bpfsys::obj_get(&pin).and_then(|link| bpfsys::link_ifindex(link.as_fd())).is_ok_and(|index| index == device.index) {
        return Ok(());
    }
    let _ = fs::remove_file(&pin); // a device of this index that is gone
    let fail = |e: &std::io::Error| Error::io("attach program `fqdn_device` to device", &device.name, e);
    let program = pins.path("programs/fqdn_device");
    let fd = bpfsys::obj_get(&program).map_err(|e| fail(&e))?;
    match bpfsys::link_create_tcx(fd.as_fd(), device.index) {
        Ok(link) => bpfsys::obj_pin(link.as_fd(), &pin).map_err(|e| fail(&e)),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            if known {
                return Ok(());
            }
            attach_filter(&program, &device.name).map_err(|e| fail(&std::io::Error::other(e)))
        }
        Err(e) => Err(fail(&e)),
    }
}

fn attach_filter(program: &Path, device: &str) -> std::result::Result<(), aya::programs::ProgramError> {
    let _ = tc::qdisc_add_clsact(device); // it may be there
    let mut program = SchedClassifier::from_pin(program)?;
    let options = TcAttachOptions::Netlink(NlOptions::default());
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
