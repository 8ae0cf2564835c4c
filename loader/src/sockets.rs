//! Sockets that the processes of a cgroup hold already: a program meets what is made later, not these.

use crate::bpfsys;
use crate::cgroup;
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;

/// `AF_PACKET` and `AF_XDP`, include/linux/socket.h.
const PACKET: i32 = 17;
const XDP: i32 = 44;
/// `SOCK_STREAM` and `SOCK_DGRAM`, include/linux/net.h.
const STREAM: i32 = 1;
const DATAGRAM: i32 = 2;

/// A socket of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The process.
    pub process: u32,
    domain: i32,
    kind: i32,
    listens: bool,
    poses: bool,
    local: Option<SocketAddr>,
}

/// IP_FREEBIND and IP_TRANSPARENT, as sockets of both families know them (include/uapi/linux/in.h, in6.h).
const POSES: [(i32, i32); 4] = [
    (libc::IPPROTO_IP, libc::IP_FREEBIND),
    (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
    (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND),
    (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
];

impl Socket {
    /// It sends frames that no program of a cgroup meets: AF_PACKET, AF_XDP.
    pub fn sends_frames(&self) -> bool {
        self.domain == PACKET || self.domain == XDP
    }

    /// It may send under an address that is not its host's.
    pub fn poses(&self) -> bool {
        self.poses
    }

    /// Where it is asked, if it is a server's.
    pub fn serves_at(&self) -> Option<SocketAddr> {
        self.local.filter(|_| self.kind == DATAGRAM || (self.kind == STREAM && self.listens))
    }
}

/// Every socket of every process of a cgroup and below it. A process that ends meanwhile has none.
pub fn of_cgroup(path: &Path) -> Result<Vec<Socket>> {
    let mut found = Vec::new();
    for process in cgroup::process_ids(path) {
        found.extend(of_process(process)?);
    }
    Ok(found)
}

/// The process opened it, or a thread of its own that shares no files with the others.
fn of_process(process: u32) -> Result<Vec<Socket>> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for task in entries(&format!("/proc/{process}/task")) {
        if task != process && bpfsys::shares_files(process, task) {
            continue; // or thousands of threads would each be asked for the same
        }
        for fd in entries(&format!("/proc/{process}/task/{task}/fd")) {
            let link = fs::read_link(format!("/proc/{process}/task/{task}/fd/{fd}")).unwrap_or_default();
            let name = link.to_string_lossy().into_owned();
            if name.starts_with("socket:") && seen.insert(name) {
                found.extend(look(process, task, fd)?);
            }
        }
    }
    Ok(found)
}

/// None = it was closed meanwhile.
fn look(process: u32, task: u32, fd: u32) -> Result<Option<Socket>> {
    let gone = |e: &std::io::Error| matches!(e.raw_os_error(), Some(libc::ESRCH | libc::EBADF));
    let socket = match bpfsys::fd_of_task(task, task == process, fd) {
        Ok(socket) => socket,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => {
            let what = format!("look at a socket of process {process}: {error} (it takes CAP_SYS_PTRACE)");
            return Err(Error::failed(format!("failed to {what}")));
        }
    };
    let option = |name| bpfsys::socket_option(socket.as_fd(), libc::SOL_SOCKET, name).unwrap_or(0);
    let poses = |(level, name): &(i32, i32)| bpfsys::socket_option(socket.as_fd(), *level, *name).is_ok_and(|on| on != 0);
    let local = bpfsys::local_address(socket.as_fd());
    Ok(Some(Socket {
        process,
        domain: option(libc::SO_DOMAIN),
        kind: option(libc::SO_TYPE),
        listens: option(libc::SO_ACCEPTCONN) != 0,
        poses: local.is_some() && POSES.iter().any(poses),
        local,
    }))
}

/// Names in a folder of /proc that are numbers.
fn entries(path: &str) -> Vec<u32> {
    fs::read_dir(path).into_iter().flatten().flatten().filter_map(|e| e.file_name().to_string_lossy().parse().ok()).collect()
}

/// A packet socket is open in the network namespace of this process, whoever opened it.
pub fn any_packet_socket_beside(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/net/packet")).is_ok_and(|text| text.lines().count() > 1)
}
