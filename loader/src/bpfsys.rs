//! The bpf(2) calls that aya 0.14 lacks, and three other calls: the loader's only unsafe code.
//! Attribute layouts: `union bpf_attr` in include/uapi/linux/bpf.h.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const MAP_GET_NEXT_KEY: i32 = 4;
const OBJ_PIN: i32 = 6;
const OBJ_GET: i32 = 7;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_TEST_RUN: i32 = 10;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const RAW_TRACEPOINT_OPEN: i32 = 17;
const PROG_QUERY: i32 = 16;
const MAP_FREEZE: i32 = 22;
const MAP_UPDATE_BATCH: i32 = 26;
const LINK_CREATE: i32 = 28;
const LINK_DETACH: i32 = 34;

/// Type of an array map.
pub const MAP_TYPE_ARRAY: u32 = 2;
/// Flags of an image's map: `BPF_F_MMAPABLE | BPF_F_INNER_MAP`.
pub const IMAGE_FLAGS: u32 = 1 << 10 | 1 << 12;
/// `BPF_FS_MAGIC`, include/uapi/linux/magic.h.
const BPFFS: i64 = 0xcafe_4a11;
/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2: i64 = 0x6367_7270;
/// `SO_NETNS_COOKIE`, include/uapi/asm-generic/socket.h.
const SO_NETNS_COOKIE: i32 = 71;

/// Attributes are 32-bit words and pointers; unused ones are zero.
#[repr(C, align(8))]
struct Attributes([u32; 40]);

impl Attributes {
    fn new() -> Self {
        Attributes([0; 40])
    }

    fn word(mut self, byte: usize, value: u32) -> Self {
        self.0[byte / 4] = value;
        self
    }

    fn fd(self, byte: usize, fd: BorrowedFd<'_>) -> Self {
        self.word(byte, fd.as_raw_fd().cast_unsigned())
    }

    fn pointer(self, byte: usize, pointer: *const u8) -> Self {
        let value = pointer as u64;
        self.word(byte, value as u32).word(byte + 4, (value >> 32) as u32)
    }

    fn call(&mut self, command: i32) -> Result<i64> {
        // SAFETY: the callers' buffers outlive the call and have the sizes that the map or command wants.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(self), size_of::<Self>()) };
        if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
    }
}

fn owned(fd: i64) -> Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(Error::other)?;
    // SAFETY: the kernel has just given us this descriptor, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(Error::other)
}

/// Attaches a program to a cgroup; it stays attached for as long as the link or its pin lives.
pub fn link_create(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, attach_type: u32) -> Result<OwnedFd> {
    owned(Attributes::new().fd(0, program).fd(4, cgroup).word(8, attach_type).call(LINK_CREATE)?)
}

/// Attaches a program to one of the kernel's tracepoints; it stays attached for as long as the link or its pin lives.
pub fn raw_tracepoint_open(program: BorrowedFd<'_>, tracepoint: &CStr) -> Result<OwnedFd> {
    owned(Attributes::new().pointer(0, tracepoint.as_ptr().cast()).fd(8, program).call(RAW_TRACEPOINT_OPEN)?)
}

/// `BPF_TCX_EGRESS`, include/uapi/linux/bpf.h.
const TCX_EGRESS: u32 = 47;

/// Attaches a program to the egress of a device of this thread's network namespace, before every other; Linux 6.6 and later.
pub fn link_create_tcx(program: BorrowedFd<'_>, ifindex: u32) -> Result<OwnedFd> {
    const BEFORE: u32 = 1 << 3;
    owned(Attributes::new().fd(0, program).word(4, ifindex).word(8, TCX_EGRESS).word(12, BEFORE).call(LINK_CREATE)?)
}

/// Id of the program that a device of this thread's network namespace runs first; `None` = it has none.
pub fn first_tcx_program(ifindex: u32) -> Result<Option<u32>> {
    let mut ids = [0u32; 64];
    let mut attributes = Attributes::new().word(0, ifindex).word(4, TCX_EGRESS).pointer(16, ids.as_mut_ptr().cast()).word(24, 64);
    match attributes.call(PROG_QUERY) {
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(e) => Err(e),
        Ok(_) => Ok((attributes.0[24 / 4] > 0).then_some(ids[0])),
    }
}

/// Nanoseconds that a program ran, and how often, while kernel.bpf_stats_enabled is 1. `struct bpf_prog_info`, fields
/// `run_time_ns` and `run_cnt`.
pub fn run_time(program: BorrowedFd<'_>) -> Result<(u64, u64)> {
    let mut info = [0u64; 32];
    Attributes::new().fd(0, program).word(4, 256).pointer(8, info.as_mut_ptr().cast()).call(OBJ_GET_INFO_BY_FD)?;
    Ok((info[24], info[25]))
}

/// Id of a program. `struct bpf_prog_info`, field `id`.
pub fn program_id(program: BorrowedFd<'_>) -> Result<u32> {
    let mut info = [0u32; 64];
    Attributes::new().fd(0, program).word(4, 256).pointer(8, info.as_mut_ptr().cast()).call(OBJ_GET_INFO_BY_FD)?;
    Ok(info[1])
}

/// Takes a link off its hook at once; to remove its pin does so some time later.
pub fn link_detach(link: BorrowedFd<'_>) -> Result<()> {
    Attributes::new().fd(0, link).call(LINK_DETACH).map(drop)
}

/// Index of the device that a link hangs on; 0 = the device is gone. `struct bpf_link_info`, field `tcx.ifindex`.
pub fn link_ifindex(link: BorrowedFd<'_>) -> Result<u32> {
    let mut info = [0u32; 32];
    Attributes::new().fd(0, link).word(4, 128).pointer(8, info.as_mut_ptr().cast()).call(OBJ_GET_INFO_BY_FD)?;
    Ok(info[16 / 4])
}

/// Attaches a program to a map of sockets. The map holds it for as long as it lives.
pub fn map_attach(program: BorrowedFd<'_>, map: BorrowedFd<'_>, attach_type: u32) -> Result<()> {
    Attributes::new().fd(0, map).fd(4, program).word(8, attach_type).call(PROG_ATTACH).map(drop)
}

/// Undoes `map_attach`.
pub fn map_detach(program: BorrowedFd<'_>, map: BorrowedFd<'_>, attach_type: u32) -> Result<()> {
    Attributes::new().fd(0, map).fd(4, program).word(8, attach_type).call(PROG_DETACH).map(drop)
}

/// Whether a map of sockets has a program of this kind.
pub fn map_has_program(map: BorrowedFd<'_>, attach_type: u32) -> Result<bool> {
    let mut id = 0u32;
    let mut attributes = Attributes::new().fd(0, map).word(4, attach_type).pointer(16, (&raw mut id).cast()).word(24, 1);
    attributes.call(PROG_QUERY)?;
    Ok(attributes.0[24 / 4] > 0)
}

/// Shape of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// Kernel's id of it.
    pub id: u32,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// Most entries.
    pub entries: u32,
}

/// Makes a map.
pub fn map_create(kind: u32, key: u32, value: u32, entries: u32, flags: u32, name: &str) -> Result<OwnedFd> {
    let mut attributes = Attributes::new().word(0, kind).word(4, key).word(8, value).word(12, entries).word(16, flags);
    let mut bytes = [0u8; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    for (i, four) in bytes.chunks_exact(4).enumerate() {
        attributes.0[28 / 4 + i] = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    }
    owned(attributes.call(MAP_CREATE)?)
}

/// Opens a pin.
pub fn obj_get(path: &Path) -> Result<OwnedFd> {
    let path = c_path(path)?;
    owned(Attributes::new().pointer(0, path.as_ptr().cast()).call(OBJ_GET)?)
}

/// Pins an object.
pub fn obj_pin(fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let path = c_path(path)?;
    Attributes::new().pointer(0, path.as_ptr().cast()).fd(8, fd).call(OBJ_PIN).map(drop)
}

/// Shape of a map.
pub fn map_info(fd: BorrowedFd<'_>) -> Result<MapInfo> {
    let mut info = [0u32; 32];
    Attributes::new().fd(0, fd).word(4, 128).pointer(8, info.as_mut_ptr().cast()).call(OBJ_GET_INFO_BY_FD)?;
    Ok(MapInfo { id: info[1], key: info[2], value: info[3], entries: info[4] })
}

/// Name of a map: `struct bpf_map_info`, field `name`.
pub fn map_name(fd: BorrowedFd<'_>) -> Result<String> {
    let mut info = [0u32; 32];
    Attributes::new().fd(0, fd).word(4, 128).pointer(8, info.as_mut_ptr().cast()).call(OBJ_GET_INFO_BY_FD)?;
    let bytes: Vec<u8> = info[6..10].iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether nobody can write to a memfd any more (fcntl_linux.h, F_SEAL_WRITE); an error for what is none.
pub fn is_sealed(fd: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: it takes no argument.
    let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
    if seals < 0 { Err(Error::last_os_error()) } else { Ok(seals & libc::F_SEAL_WRITE != 0) }
}

/// The user that this process is.
pub fn user() -> u32 {
    // SAFETY: it takes nothing and cannot fail (geteuid(2)).
    unsafe { libc::geteuid() }
}

/// Verified instructions of a program: `struct bpf_prog_info`, field `verified_insns`.
pub fn verified_instructions(fd: BorrowedFd<'_>) -> Result<u32> {
    let mut info = [0u32; 64];
    Attributes::new().fd(0, fd).word(4, 256).pointer(8, info.as_mut_ptr().cast()).call(OBJ_GET_INFO_BY_FD)?;
    Ok(info[216 / 4])
}

/// Bytes that a lookup writes: a value for each possible CPU in per-CPU maps.
fn value_room(info: MapInfo, cpus: usize) -> usize {
    (info.value as usize).next_multiple_of(8) * cpus.max(1)
}

/// Value of a key. `cpus` is 1, or the number of possible CPUs for a per-CPU map.
pub fn lookup(fd: BorrowedFd<'_>, key: &[u8], cpus: usize) -> Result<Option<Vec<u8>>> {
    let info = map_info(fd)?;
    check(info.key, key)?;
    let mut value = vec![0u8; value_room(info, cpus)];
    match Attributes::new().fd(0, fd).pointer(8, key.as_ptr()).pointer(16, value.as_mut_ptr()).call(MAP_LOOKUP_ELEM) {
        Ok(_) => {
            if cpus == 1 {
                value.truncate(info.value as usize);
            }
            Ok(Some(value))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn check(want: u32, have: &[u8]) -> Result<()> {
    if have.len() == want as usize { Ok(()) } else { Err(Error::other("the map has records of another size")) }
}

/// Sets the value of a key.
pub fn update(fd: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> Result<()> {
    let info = map_info(fd)?;
    check(info.key, key)?;
    check(info.value, value)?;
    // A map that is not preallocated keeps a few elements at hand, and fetches more behind its caller's back (bpf_mem_alloc).
    let mut tries = 20;
    loop {
        let done =
            Attributes::new().fd(0, fd).pointer(8, key.as_ptr()).pointer(16, value.as_ptr()).call(MAP_UPDATE_ELEM).map(drop);
        match done {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && tries > 0 => {
                tries -= 1;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            done => return done,
        }
    }
}

/// Removes a key; true = it was there.
pub fn delete(fd: BorrowedFd<'_>, key: &[u8]) -> Result<bool> {
    check(map_info(fd)?.key, key)?;
    match Attributes::new().fd(0, fd).pointer(8, key.as_ptr()).call(MAP_DELETE_ELEM) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Every key of a map.
pub fn keys(fd: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>> {
    let info = map_info(fd)?;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut next = vec![0u8; info.key as usize];
        let before = keys.last().map_or(std::ptr::null(), |k| k.as_ptr());
        match Attributes::new().fd(0, fd).pointer(8, before).pointer(16, next.as_mut_ptr()).call(MAP_GET_NEXT_KEY) {
            Ok(_) if keys.len() > info.entries as usize => return Ok(keys),
            Ok(_) => keys.push(next),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(keys),
            Err(error) => return Err(error),
        }
    }
}

/// Sets slots of an array of maps in one call, in this order.
pub fn update_slots(fd: BorrowedFd<'_>, slots: &[(u32, BorrowedFd<'_>)]) -> Result<()> {
    let keys: Vec<u8> = slots.iter().flat_map(|(slot, _)| slot.to_le_bytes()).collect();
    let values: Vec<u8> = slots.iter().flat_map(|(_, map)| map.as_raw_fd().to_le_bytes()).collect();
    update_batch(fd, &keys, &values, slots.len())
}

/// Sets many keys in one call, in this order.
pub fn update_batch(fd: BorrowedFd<'_>, keys: &[u8], values: &[u8], count: usize) -> Result<()> {
    let info = map_info(fd)?;
    if keys.len() != info.key as usize * count || values.len() != info.value as usize * count {
        return Err(Error::other("the map has records of another size"));
    }
    let count = u32::try_from(count).map_err(Error::other)?;
    Attributes::new()
        .pointer(16, keys.as_ptr())
        .pointer(24, values.as_ptr())
        .word(32, count)
        .fd(36, fd)
        .call(MAP_UPDATE_BATCH)
        .map(drop)
}

/// Returns when no program that runs now runs any more (`MEMBARRIER_CMD_GLOBAL` waits for RCU). A hash map gives an
/// element that was replaced or removed to the next insertion at once, while a program may still read it.
pub fn wait_for_programs() -> Result<()> {
    const GLOBAL: i32 = 1;
    // SAFETY: a system call without pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Nanoseconds by which CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC.
pub fn suspended() -> u64 {
    let read = |clock| {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: room for the time; the clocks are there since Linux 2.6.39.
        unsafe { libc::clock_gettime(clock, &raw mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let monotonic = read(libc::CLOCK_MONOTONIC);
    read(libc::CLOCK_BOOTTIME).saturating_sub(monotonic)
}

/// Forbids every later write from user space.
pub fn freeze(fd: BorrowedFd<'_>) -> Result<()> {
    Attributes::new().fd(0, fd).call(MAP_FREEZE).map(drop)
}

/// The whole content of a mmapable array map.
struct Mapping {
    at: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, length: usize, protection: i32) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(Mapping { at, length }) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it is left.
        unsafe { libc::munmap(self.at, self.length) };
    }
}

/// Bytes that one thread copies or compares; a large image is shared between two.
fn share(length: usize) -> usize {
    if length > 16 << 20 { length.div_ceil(2) } else { length.max(1) }
}

/// Copies bytes into an array map.
pub fn fill(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    let mapping = Mapping::new(fd, bytes.len(), libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: the mapping has this length, is writable and ours alone, and does not overlap `bytes`.
    let room = unsafe { std::slice::from_raw_parts_mut(mapping.at.cast::<u8>(), bytes.len()) };
    std::thread::scope(|scope| {
        for (to, from) in room.chunks_mut(share(bytes.len())).zip(bytes.chunks(share(bytes.len()))) {
            scope.spawn(move || to.copy_from_slice(from));
        }
    });
    Ok(())
}

/// Copies an array map out.
pub fn read_back(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let info = map_info(fd)?;
    let length = info.value as usize * info.entries as usize;
    let mapping = Mapping::new(fd, length, libc::PROT_READ)?;
    // SAFETY: the mapping has this length; the map is frozen, so nobody writes it.
    Ok(unsafe { std::slice::from_raw_parts(mapping.at.cast::<u8>(), length) }.to_vec())
}

/// Whether an array map holds exactly these bytes.
pub fn holds(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<bool> {
    let info = map_info(fd)?;
    if bytes.len() != info.value as usize * info.entries as usize {
        return Ok(false);
    }
    let mapping = Mapping::new(fd, bytes.len(), libc::PROT_READ)?;
    // SAFETY: as in `read_back`.
    let held = unsafe { std::slice::from_raw_parts(mapping.at.cast::<u8>(), bytes.len()) };
    let same = std::thread::scope(|scope| {
        let parts = held.chunks(share(bytes.len())).zip(bytes.chunks(share(bytes.len())));
        let threads: Vec<_> = parts.map(|(have, want)| scope.spawn(move || have == want)).collect();
        threads.into_iter().all(|thread| thread.join().unwrap_or(false))
    });
    Ok(same)
}

/// Result of a test run.
#[derive(Clone, Copy, Debug)]
pub struct TestRun {
    /// What the program returned.
    pub verdict: u32,
    /// Nanoseconds for one run, the mean.
    pub nanoseconds: u32,
}

/// Runs a program on a packet (with its Ethernet header) as if it were on device `ifindex`.
pub fn test_run(fd: BorrowedFd<'_>, packet: &[u8], ifindex: u32, repeat: u32) -> Result<TestRun> {
    let mut context = [0u32; 48]; // struct __sk_buff
    context[40 / 4] = ifindex;
    let length = u32::try_from(packet.len()).map_err(Error::other)?;
    let mut attributes = Attributes::new().fd(0, fd).word(8, length).pointer(16, packet.as_ptr()).word(32, repeat);
    attributes = attributes.word(40, 192).pointer(48, context.as_ptr().cast());
    attributes.call(PROG_TEST_RUN)?;
    Ok(TestRun { verdict: attributes.0[1], nanoseconds: attributes.0[36 / 4] })
}

fn file_system(path: &Path) -> Result<i64> {
    let path = c_path(path)?;
    // SAFETY: statfs is plain data, and is written by the call.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a terminated path and a buffer of the right type.
    let result = unsafe { libc::statfs(path.as_ptr(), &raw mut found) };
    #[allow(clippy::useless_conversion)]
    if result < 0 { Err(Error::last_os_error()) } else { Ok(i64::from(found.f_type)) }
}

/// The path lies on a bpf file system.
pub fn is_bpffs(path: &Path) -> Result<bool> {
    Ok(file_system(path)? == BPFFS)
}

/// The path lies on a cgroup2 file system.
pub fn is_cgroup2(path: &Path) -> Result<bool> {
    Ok(file_system(path)? == CGROUP2)
}

/// Mounts a bpf file system.
pub fn mount_bpffs(path: &Path) -> Result<()> {
    let path = c_path(path)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: terminated strings, no data.
    let result = unsafe { libc::mount(c"bpf".as_ptr(), path.as_ptr(), c"bpf".as_ptr(), flags, c"mode=0700".as_ptr().cast()) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Cookie of the network namespace that this socket was made in.
pub fn netns_cookie(socket: BorrowedFd<'_>) -> Result<u64> {
    let mut cookie = 0u64;
    let mut length = 8;
    // SAFETY: a buffer of 8 bytes and its length.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut length)
    };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(cookie) }
}

/// A descriptor of another task, as one of ours; `leader` = the task is its process's first. Before Linux 6.9 others cannot be named.
pub fn fd_of_task(task: u32, leader: bool, fd: u32) -> Result<OwnedFd> {
    const PIDFD_THREAD: u32 = libc::O_EXCL.cast_unsigned();
    // SAFETY: a system call without pointers.
    let task_fd = unsafe { libc::syscall(libc::SYS_pidfd_open, task, if leader { 0 } else { PIDFD_THREAD }) };
    if task_fd < 0 {
        return Err(Error::last_os_error());
    }
    let task_fd = owned(task_fd)?;
    // SAFETY: a system call without pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, task_fd.as_raw_fd(), fd, 0) };
    if fd < 0 { Err(Error::last_os_error()) } else { owned(fd) }
}

/// Two tasks have one table of files; not known = no. `KCMP_FILES`, include/uapi/linux/kcmp.h.
pub fn shares_files(one: u32, other: u32) -> bool {
    const FILES: i32 = 2;
    // SAFETY: a system call without pointers.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, FILES, 0, 0) == 0 }
}

/// An option that is a number.
pub fn socket_option(socket: BorrowedFd<'_>, level: i32, name: i32) -> Result<i32> {
    let mut value = 0i32;
    let mut length = 4;
    // SAFETY: a buffer of 4 bytes and its length.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(value) }
}

/// Where a socket of IPv4 or IPv6 is; `None` = it is of neither.
pub fn local_address(socket: BorrowedFd<'_>) -> Option<std::net::SocketAddr> {
    let mut name = [0u8; 128]; // struct sockaddr_storage
    let mut length = 128;
    // SAFETY: a buffer and its length.
    if unsafe { libc::getsockname(socket.as_raw_fd(), name.as_mut_ptr().cast(), &raw mut length) } < 0 {
        return None;
    }
    let port = u16::from_be_bytes([name[2], name[3]]);
    match i32::from(u16::from_ne_bytes([name[0], name[1]])) {
        libc::AF_INET => Some((<[u8; 4]>::try_from(&name[4..8]).ok()?, port).into()),
        libc::AF_INET6 => Some((<[u8; 16]>::try_from(&name[8..24]).ok()?, port).into()),
        _ => None,
    }
}

/// A network device of this thread's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// `ARPHRD_*`, include/uapi/linux/if_arp.h.
    pub kind: u16,
    /// Packets leave by it.
    pub up: bool,
}

/// Every device of this thread's network namespace; what vanishes meanwhile is left out.
pub fn devices() -> Result<Vec<Device>> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let mut found = Vec::new();
    // SAFETY: the list ends with an index of 0 and is freed below.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return Err(Error::last_os_error());
    }
    let mut at = list;
    loop {
        // SAFETY: `at` is within the list, which has a last element; its names are terminated.
        let (index, name) = unsafe {
            if (*at).if_index == 0 {
                break;
            }
            ((*at).if_index, CStr::from_ptr((*at).if_name).to_string_lossy().into_owned())
        };
        // SAFETY: ifreq is plain data; the name is shorter than its field, by the kernel's own limit.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(15)) {
            *to = from.cast_signed();
        }
        // SAFETY: SIOCGIFHWADDR reads the name and writes the address.
        if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR as _, &raw mut request) } == 0 {
            // SAFETY: the call above filled this member.
            let kind = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
            // SAFETY: SIOCGIFFLAGS reads the name and writes the flags.
            let known = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) } == 0;
            // SAFETY: the call above filled this member.
            let up = known && i32::from(unsafe { request.ifr_ifru.ifru_flags }) & libc::IFF_UP != 0;
            found.push(Device { index, name, kind, up });
        }
        // SAFETY: the list goes on: this was not its last element.
        at = unsafe { at.add(1) };
    }
    // SAFETY: the list is from if_nameindex and is not used any more.
    unsafe { libc::if_freenameindex(list) };
    Ok(found)
}

/// The command's process enters a network namespace before it runs.
pub fn enter_before(command: &mut std::process::Command, netns: OwnedFd) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only a system call is made, on a descriptor that the closure owns.
    unsafe {
        command.pre_exec(move || enter_netns(netns.as_fd()));
    }
}

/// Moves this thread into a network namespace.
pub fn enter_netns(netns: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: a system call without pointers.
    if unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) } < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Capabilities that lead round the programs: CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF
/// (include/uapi/linux/capability.h).
const LEAD_ROUND: [u32; 5] = [12, 13, 21, 38, 39];
/// Sockets behind which somebody else asks the resolver on a workload's behalf: nss-resolve, nscd, the system bus.
const ASKERS: [&CStr; 4] = [
    c"/run/systemd/resolve/io.systemd.Resolve",
    c"/run/systemd/resolve/io.systemd.Resolve.Monitor",
    c"/run/nscd/socket",
    c"/run/dbus/system_bus_socket",
];

/// Takes from a command that will be run what would lead it round the policy: capabilities, new privileges, the sockets
/// of `ASKERS`, and the sight of other cgroups. Without the right to make namespaces the sockets stay.
pub fn confine(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only system calls are made, on memory that was there before.
    unsafe { command.pre_exec(confine_here) };
}

fn confine_here() -> Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`, include/uapi/linux/capability.h.
    const VERSION: u32 = 0x2008_0522;
    // SAFETY: system calls with constants and terminated strings.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP) == 0 {
            libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), libc::MS_REC | libc::MS_SLAVE, std::ptr::null());
            for path in ASKERS {
                // One that is not there cannot be asked.
                libc::mount(c"/dev/null".as_ptr(), path.as_ptr(), std::ptr::null(), libc::MS_BIND, std::ptr::null());
            }
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        for capability in LEAD_ROUND {
            libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0); // not ours to drop = not ours
        }
    }
    let mut header = [VERSION, 0];
    let mut sets = [0u32; 6]; // effective, permitted, inheritable; for the lower 32 capabilities, then the upper
    // SAFETY: a header of two words and room for two records of three.
    if unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) } < 0 {
        return Err(Error::last_os_error());
    }
    for capability in LEAD_ROUND {
        let upper = if capability >= 32 { 3 } else { 0 };
        for set in &mut sets[upper..upper + 3] {
            *set &= !(1 << (capability % 32));
        }
    }
    // SAFETY: as above.
    if unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) } < 0
        || unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } < 0
    {
        return Err(Error::last_os_error());
    }
    Ok(())
}
