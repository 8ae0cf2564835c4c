//! The processes of the kernel tests: `serve` = a name server and a peer that accepts everything, `agent` = a
//! workload that does what its standard input says, `cycle` and `watch` = workloads under load.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use kernel_tests::packet::{answer, query, record};
use kernel_tests::{RESOLVER, RESOLVER_TWO, RESOLVER_V6, wire};
use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments[0].as_str() {
        "serve" => serve(),
        "serve-at" => {
            let socket = UdpSocket::bind((arguments[1].as_str(), 53)).unwrap();
            println!("ready");
            names(&socket, false);
        }
        "send-udp" => {
            let socket = UdpSocket::bind(format!("0.0.0.0:{}", arguments[1])).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            socket.send_to(b"hello", (arguments[2].as_str(), arguments[3].parse().unwrap())).unwrap();
        }
        "agent" => agent(),
        "cycle" => cycle(arguments[1].parse().unwrap(), arguments[2].parse().unwrap()),
        "watch" => watch(&arguments[1..]),
        other => panic!("{other}?"),
    }
}

fn serve() {
    let mut servers = Vec::new();
    for address in [RESOLVER, RESOLVER_TWO, RESOLVER_V6] {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        let failing = address == RESOLVER_TWO;
        servers.push(std::thread::spawn(move || names(&socket, failing)));
    }
    let echo = UdpSocket::bind("[::]:7777").unwrap();
    std::thread::spawn(move || {
        let mut room = [0; 2048];
        while let Ok((n, from)) = echo.recv_from(&mut room) {
            let _ = echo.send_to(&room[..n], from);
        }
    });
    let listener = TcpListener::bind("[::]:80").unwrap();
    // A long queue and several hands: a full one drops SYNs (ListenOverflows), which would look like a refusal.
    // SAFETY: a system call on a descriptor that lives on.
    unsafe { libc::listen(listener.as_raw_fd(), 4096) };
    for _ in 0..4 {
        let listener = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                drop(stream);
            }
        });
    }
    let talker = TcpListener::bind("[::]:7777").unwrap();
    std::thread::spawn(move || {
        for mut stream in talker.incoming().flatten() {
            std::thread::spawn(move || {
                let mut room = [0; 64];
                while let Ok(n @ 1..) = stream.read(&mut room) {
                    let _ = stream.write_all(&room[..n]);
                }
            });
        }
    });
    println!("ready");
    for server in servers {
        server.join().unwrap();
    }
}

/// Answers `ip-10-200-1-2.anything` with that address; the first label's prefix asks for something odd.
fn names(socket: &UdpSocket, failing: bool) {
    let mut room = [0; 4096];
    while let Ok((n, from)) = socket.recv_from(&mut room) {
        let asked = &room[..n];
        if let Some(reply) = reply(asked, failing) {
            let _ = socket.send_to(&reply, from);
        }
    }
}

fn reply(asked: &[u8], failing: bool) -> Option<Vec<u8>> {
    let length = usize::from(*asked.get(12)?);
    let label = String::from_utf8_lossy(asked.get(13..13 + length)?).to_ascii_lowercase();
    let qtype = {
        let mut at = 12;
        while asked[at] != 0 {
            at += 1 + usize::from(asked[at]);
        }
        u16::from_be_bytes([asked[at + 1], asked[at + 2]])
    };
    let owner = [0xc0, 12];
    let mut empty = answer(asked, &[]);
    if let Some(rest) = label.strip_prefix("sf-") {
        if failing {
            empty[3] = 0x82;
            return Some(empty);
        }
        return Some(answer(asked, &[record(&owner, 1, 60, &address(rest)?)]));
    }
    if let Some(rest) = label.strip_prefix("ip6-") {
        let v6: Ipv6Addr = format!("fd20::{rest}").parse().ok()?;
        return Some(if qtype == 28 { answer(asked, &[record(&owner, 28, 60, &v6.octets())]) } else { empty });
    }
    if qtype != 1 {
        return Some(empty);
    }
    if let Some(rest) = label.strip_prefix("cname-") {
        let target = wire("edge.cdn.test");
        let at = (0xc000 | (asked.len() + 12) as u16).to_be_bytes();
        return Some(answer(asked, &[record(&owner, 5, 60, &target), record(&at, 1, 60, &address(rest)?)]));
    }
    if let Some(rest) = label.strip_prefix("alien-") {
        return Some(answer(asked, &[record(&wire("other.example.test"), 1, 60, &address(rest)?)]));
    }
    if let Some(rest) = label.strip_prefix("short-") {
        return Some(answer(asked, &[record(&owner, 1, 1, &address(rest)?)]));
    }
    if let Some(rest) = label.strip_prefix("tc-") {
        let mut message = answer(asked, &[record(&owner, 1, 60, &address(rest)?)]);
        message[2] |= 2;
        return Some(message);
    }
    if let Some(rest) = label.strip_prefix("junk-") {
        let mut message = answer(asked, &[record(&owner, 1, 60, &address(rest)?)]);
        message.push(0);
        return Some(message);
    }
    if let Some(rest) = label.strip_prefix("ip-") {
        return Some(answer(asked, &[record(&owner, 1, 60, &address(rest)?)]));
    }
    empty[3] = 0x83;
    Some(empty)
}

fn address(text: &str) -> Option<[u8; 4]> {
    let v4: Ipv4Addr = text.replace('-', ".").parse().ok()?;
    Some(v4.octets())
}

fn resolve(socket: &UdpSocket, name: &str, server: &str, id: u16, qtype: u16) -> String {
    let to: SocketAddr = (server.parse::<IpAddr>().unwrap(), 53).into();
    if let Err(error) = socket.send_to(&query(id, &wire(name), qtype), to) {
        return show(&error);
    }
    let mut room = [0; 4096];
    match socket.recv_from(&mut room) {
        Ok((n, _)) => format!("answer rcode {} records {} bytes {n}", room[3] & 15, room[7]),
        Err(error) => show(&error),
    }
}

fn show(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".into(),
        Some(libc::EAGAIN) => "timeout".into(),
        Some(libc::EACCES) => "EACCES".into(),
        Some(n) => format!("errno {n}"),
        None => "timeout".into(),
    }
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("[::]:0").unwrap();
    drop(socket);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    socket
}

fn connect(address: &str, port: u16) -> String {
    let start = Instant::now();
    let to = SocketAddr::new(address.parse().unwrap(), port);
    match TcpStream::connect_timeout(&to, Duration::from_millis(1500)) {
        Ok(stream) => {
            // Closed by a reset: no TIME_WAIT, so that a hundred thousand connections do not use up the ports.
            set(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
            if start.elapsed() > Duration::from_millis(500) { "slow connected".into() } else { "connected".into() }
        }
        Err(error) if start.elapsed() > Duration::from_millis(1000) => format!("slow {}", show(&error)),
        Err(error) => show(&error),
    }
}

fn agent() {
    let mut sockets: HashMap<String, UdpSocket> = HashMap::new();
    let mut raw: Option<OwnedFd> = None;
    let mut listener: Option<TcpListener> = None;
    let mut open: Option<TcpStream> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let said = match words.as_slice() {
            ["resolve", name, server] => {
                let socket = if server.contains(':') { UdpSocket::bind("[::]:0").unwrap() } else { client() };
                socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
                resolve(&socket, name, server, 7, if name.starts_with("ip6") { 28 } else { 1 })
            }
            // Two servers, one id, one socket: what musl does.
            ["resolve-two", name] => {
                let socket = client();
                for server in [RESOLVER_TWO, RESOLVER] {
                    socket.send_to(&query(9, &wire(name), 1), (server, 53)).unwrap();
                }
                let mut room = [0; 512];
                let mut codes = Vec::new();
                for _ in 0..2 {
                    codes.push(socket.recv_from(&mut room).map_or(255, |_| room[3] & 15));
                }
                codes.sort_unstable();
                format!("rcodes {codes:?}")
            }
            ["raw-query", hex] => {
                let socket = client();
                let bytes: Vec<u8> =
                    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
                socket.send_to(&bytes, (RESOLVER, 53)).map_or_else(|e| show(&e), |_| "sent".into())
            }
            ["connect", address, port] => connect(address, port.parse().unwrap()),
            ["udp", name] => {
                sockets.insert((*name).into(), client());
                "ok".into()
            }
            ["udp6", name] => {
                let socket = UdpSocket::bind("[::]:0").unwrap();
                sockets.insert((*name).into(), socket);
                "ok".into()
            }
            ["server", name, port] => {
                let socket = UdpSocket::bind(format!("0.0.0.0:{port}")).unwrap();
                socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
                sockets.insert((*name).into(), socket);
                "ok".into()
            }
            ["echo-once", name] => {
                let mut room = [0; 64];
                match sockets[*name].recv_from(&mut room) {
                    Ok((n, from)) => sockets[*name].send_to(&room[..n], from).map_or_else(|e| show(&e), |_| "replied".into()),
                    Err(error) => show(&error),
                }
            }
            ["send", name, address, port] => {
                let to = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
                sockets[*name].send_to(b"x", to).map_or_else(|e| show(&e), |_| "sent".into())
            }
            ["udp-connect", name, address, port] => {
                let to = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
                sockets[*name].connect(to).map_or_else(|e| show(&e), |()| "ok".into())
            }
            ["option", name, level, option] => option_of(sockets[*name].as_raw_fd(), level, option),
            ["exhaust", name] => exhaust(sockets[*name].as_raw_fd()),
            ["segmented", name, bytes] => {
                let socket = &sockets[*name];
                let size: u16 = bytes.parse().unwrap();
                set(socket.as_raw_fd(), 17, 103, &i32::from(size).to_ne_bytes()); // UDP_SEGMENT
                let one = query(1, &wire("ip-10-200-0-1.example.test"), 1);
                let mut two = query(2, &wire("ip-10-200-0-2.denied-by-all"), 1);
                two.resize(usize::from(size), 0);
                let mut both = one;
                both.resize(usize::from(size), 0);
                both.extend(two);
                socket.send_to(&both, (RESOLVER, 53)).map_or_else(|e| show(&e), |_| "sent".into())
            }
            ["open", address, port] => {
                let to = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
                open = TcpStream::connect_timeout(&to, Duration::from_millis(1500)).ok();
                if open.is_some() { "open".into() } else { "no connection".into() }
            }
            ["echo"] => {
                let stream = open.as_mut().unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(1000))).unwrap();
                let mut room = [0; 4];
                stream
                    .write_all(b"ping")
                    .and_then(|()| stream.read_exact(&mut room))
                    .map_or_else(|e| show(&e), |()| "echoed".into())
            }
            ["listen", port] => {
                listener = Some(TcpListener::bind(format!("0.0.0.0:{port}")).unwrap());
                "ok".into()
            }
            ["accept-and-talk"] => {
                let (mut stream, _) = listener.as_ref().unwrap().accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
                let mut room = [0; 5];
                stream
                    .write_all(b"hello")
                    .and_then(|()| stream.read_exact(&mut room))
                    .map_or_else(|e| show(&e), |()| "talked".into())
            }
            ["talk", address, port] => talk(address, port.parse().unwrap()),
            ["raw6", kind] => {
                // SAFETY: a plain system call; the descriptor is owned at once.
                let fd = unsafe { libc::socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6) };
                raw = Some(unsafe { OwnedFd::from_raw_fd(fd) });
                send_icmp6(raw.as_ref().unwrap().as_raw_fd(), kind.parse().unwrap(), words.len())
            }
            ["raw-open"] => {
                // SAFETY: a plain system call; the descriptor is owned at once.
                let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP) };
                raw = Some(unsafe { OwnedFd::from_raw_fd(fd) });
                "ok".into()
            }
            ["raw-send", address, from, to] => {
                let ports = [from, to].map(|p| p.parse::<u16>().unwrap().to_be_bytes());
                let datagram = [ports[0], ports[1], [0, 9], [0, 0], [b'x', 0]].concat();
                let mut name = [0u8; 16];
                name[0] = libc::AF_INET as u8;
                name[4..8].copy_from_slice(&address.parse::<Ipv4Addr>().unwrap().octets());
                let fd = raw.as_ref().unwrap().as_raw_fd();
                // SAFETY: buffers and their lengths; 16 bytes of sockaddr_in.
                let sent = unsafe { libc::sendto(fd, datagram.as_ptr().cast(), 9, 0, name.as_ptr().cast(), 16) };
                if sent < 0 { show(&std::io::Error::last_os_error()) } else { "sent".into() }
            }
            ["reconnect", first, second] => reconnect(first, second),
            ["quit"] => return,
            _ => "?".into(),
        };
        println!("{said}");
    }
    drop(raw);
}

fn set(fd: i32, level: i32, option: i32, value: &[u8]) -> Option<i32> {
    // SAFETY: a buffer and its length.
    let result = unsafe { libc::setsockopt(fd, level, option, value.as_ptr().cast(), value.len() as u32) };
    (result < 0).then(|| std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

fn option_of(fd: i32, level: &str, option: &str) -> String {
    match set(fd, level.parse().unwrap(), option.parse().unwrap(), &1i32.to_ne_bytes()) {
        None => "set".into(),
        Some(libc::EPERM) => "EPERM".into(),
        Some(n) => format!("errno {n}"),
    }
}

/// Multicast memberships until the socket may hold no more option memory (a membership takes less than a storage).
fn exhaust(fd: i32) -> String {
    for group in 0..20_000u32 {
        let mut request = [0u8; 8]; // struct ip_mreq
        request[..4].copy_from_slice(&(0xe801_0000 + group).to_be_bytes());
        match set(fd, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &request) {
            Some(libc::ENOBUFS | libc::ENOMEM) => return "full".into(),
            Some(error) => return format!("errno {error}"),
            None => {}
        }
    }
    "never full".into()
}

fn talk(address: &str, port: u16) -> String {
    let to = SocketAddr::new(address.parse().unwrap(), port);
    let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(1500)) else { return "no connection".into() };
    stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let mut room = [0; 5];
    stream.read_exact(&mut room).and_then(|()| stream.write_all(b"there")).map_or_else(|e| show(&e), |()| "talked".into())
}

fn send_icmp6(fd: i32, kind: u8, _words: usize) -> String {
    let message = [kind, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &255i32.to_ne_bytes());
    set(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, &255i32.to_ne_bytes());
    let to: Ipv6Addr = if kind == 136 { "fd20::9".parse().unwrap() } else { "ff02::1".parse().unwrap() };
    // SAFETY: sockaddr_in6 is plain data.
    let mut name: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    name.sin6_family = libc::AF_INET6 as u16;
    name.sin6_addr.s6_addr = to.octets();
    name.sin6_scope_id = if kind == 136 { 0 } else { 2 };
    let length = size_of::<libc::sockaddr_in6>() as u32;
    // SAFETY: buffers and their lengths.
    let result = unsafe { libc::sendto(fd, message.as_ptr().cast(), message.len(), 0, (&raw const name).cast(), length) };
    if result < 0 { show(&std::io::Error::last_os_error()) } else { "sent".into() }
}

/// One TCP socket: connected, taken apart by AF_UNSPEC, connected to another address.
fn reconnect(first: &str, second: &str) -> String {
    let stream = match TcpStream::connect_timeout(&SocketAddr::new(first.parse().unwrap(), 80), Duration::from_millis(1500)) {
        Ok(stream) => stream,
        Err(error) => return format!("first {}", show(&error)),
    };
    let fd = stream.as_raw_fd();
    let nothing = [0u8; 16];
    // SAFETY: a zeroed sockaddr is AF_UNSPEC; afterwards a sockaddr_in built below.
    unsafe { libc::connect(fd, nothing.as_ptr().cast(), 16) };
    let to: Ipv4Addr = second.parse().unwrap();
    let mut name = [0u8; 16];
    name[0] = libc::AF_INET as u8;
    name[2..4].copy_from_slice(&80u16.to_be_bytes());
    name[4..8].copy_from_slice(&to.octets());
    // SAFETY: 16 bytes of sockaddr_in.
    let result = unsafe { libc::connect(fd, name.as_ptr().cast(), 16) };
    if result < 0 { show(&std::io::Error::last_os_error()) } else { "connected".into() }
}

/// Fresh names with fresh addresses, each resolved and connected to at once.
fn cycle(total: u64, threads: u64) {
    let failures = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= total {
                        return;
                    }
                    let (a, b) = (n >> 8 & 255, n & 255);
                    let name = format!("ip-10-200-{a}-{b}.n{n}.example.test");
                    let socket = client();
                    let said = resolve(&socket, &name, RESOLVER, n as u16, 1);
                    let to = format!("10.200.{a}.{b}");
                    if !said.contains("records 1") || connect(&to, 80) != "connected" {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    println!("cycles {total} failures {}", failures.into_inner());
}

/// Until told to stop: what must always work, and what must never. Arguments: common, then forbidden addresses.
fn watch(addresses: &[String]) {
    let stop = AtomicBool::new(false);
    let (tries, outages, passed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let socket = client();
    for (i, address) in addresses.iter().enumerate() {
        let name = format!("ip-{}.{}.example.test", address.replace('.', "-"), if i == 0 { "common" } else { "secret" });
        let said = resolve(&socket, &name, RESOLVER, 5, 1);
        assert!(said.contains("records 1"), "{said}");
    }
    println!("watching");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0u16;
            while !stop.load(Ordering::Relaxed) {
                tries.fetch_add(1, Ordering::Relaxed);
                turn = turn.wrapping_add(1);
                // The server must keep up: when its queue is full it drops SYNs, which would look like an outage.
                std::thread::sleep(Duration::from_micros(300));
                let said = connect(&addresses[0], 80);
                if said != "connected" {
                    eprintln!("outage: {said}");
                    outages.fetch_add(1, Ordering::Relaxed);
                }
                let name = format!("ip-{}.common.example.test", addresses[0].replace('.', "-"));
                let said = resolve(&socket, &name, RESOLVER, turn, 1);
                if !said.contains("records 1") {
                    eprintln!("outage: {said}");
                    outages.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        scope.spawn(|| {
            let quick = UdpSocket::bind("0.0.0.0:0").unwrap();
            while !stop.load(Ordering::Relaxed) {
                for address in &addresses[1..] {
                    tries.fetch_add(1, Ordering::Relaxed);
                    if quick.send_to(b"x", (address.as_str(), 7777)).is_ok() || connect(address, 80) == "connected" {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    println!("tries {} outages {} passed {}", tries.into_inner(), outages.into_inner(), passed.into_inner());
}
