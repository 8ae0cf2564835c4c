//! A datagram sent by io_uring (include/uapi/linux/io_uring.h): by the thread that asks, or by a worker of the kernel's.

use crate::show;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const OP_SEND: u8 = 26;
const ASYNC: u8 = 1 << 4;
const ENTER_GETEVENTS: libc::c_long = 1;
const OFFSET_SQES: i64 = 0x1000_0000;
const ENTRIES: u32 = 2;
const PAGE: usize = 4096;

/// `struct io_uring_params` as words: ten of its own, then the offsets in the ring of questions and in that of answers.
#[derive(Default)]
#[repr(C)]
struct Params {
    own: [u32; 10],
    sq: [u32; 10],
    cq: [u32; 10],
}

fn map(ring: &OwnedFd, offset: i64) -> Option<*mut u8> {
    // SAFETY: a new mapping that stays until the process ends.
    let at = unsafe {
        libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, ring.as_raw_fd(), offset)
    };
    (at != libc::MAP_FAILED).then_some(at.cast())
}

/// "sent", the error, or "no ring" where the kernel lets nobody have one.
pub fn send(to: (&str, u16), message: &[u8], by_worker: bool) -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(to).unwrap();
    let mut params = Params::default();
    // SAFETY: a system call with a structure of the size that it asks for.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut params) };
    if fd < 0 {
        return "no ring".into();
    }
    // SAFETY: the descriptor is new and nobody else's.
    let ring = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let (Some(rings), Some(entries)) = (map(&ring, 0), map(&ring, OFFSET_SQES)) else { return "no ring".into() };
    let mut entry = [0u8; 64];
    entry[0] = OP_SEND;
    entry[1] = if by_worker { ASYNC } else { 0 };
    entry[4..8].copy_from_slice(&socket.as_raw_fd().to_ne_bytes());
    entry[16..24].copy_from_slice(&(message.as_ptr() as u64).to_ne_bytes());
    entry[24..28].copy_from_slice(&(message.len() as u32).to_ne_bytes());
    // SAFETY: two entries fit a page of each mapping; the kernel looks only when it is told to, below.
    let (submitted, result) = unsafe {
        std::ptr::copy_nonoverlapping(entry.as_ptr(), entries, entry.len());
        rings.add(params.sq[6] as usize).cast::<u32>().write(0); // array
        rings.add(params.sq[1] as usize).cast::<u32>().write_volatile(1); // tail
        let none = std::ptr::null::<u8>();
        let submitted = libc::syscall(libc::SYS_io_uring_enter, ring.as_raw_fd(), 1, 1, ENTER_GETEVENTS, none, 0);
        (submitted, rings.add(params.cq[5] as usize + 8).cast::<i32>().read_volatile()) // cqes, res
    };
    assert_eq!(submitted, 1, "{}", std::io::Error::last_os_error());
    if result < 0 { show(&std::io::Error::from_raw_os_error(-result)) } else { "sent".into() }
}
