//! The processes of the kernel tests: `serve` = a name server and a peer that accepts everything, `agent` = a
//! workload that does what its standard input says, `cycle` and `watch` = workloads under load.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use kernel_tests::packet::query;
use kernel_tests::{RESOLVER, RESOLVER_TWO, wire};
use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

mod load;
mod server;
mod stream;
mod uring;
mod zone;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments[0].as_str() {
        "serve" => server::serve(),
        "responder" => server::responder(),
        "serve-at" => {
            let at = if arguments[1].contains(':') { arguments[1].clone() } else { format!("{}:53", arguments[1]) };
            let socket = UdpSocket::bind(&at).unwrap();
            server::over_tcp(TcpListener::bind(&at).unwrap(), false);
            println!("ready");
            server::names(&socket, false);
        }
        "zone" => zone::serve(&arguments[1..]),
        "send-udp" => {
            let socket = UdpSocket::bind(format!("0.0.0.0:{}", arguments[1])).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            socket.send_to(b"hello", (arguments[2].as_str(), arguments[3].parse().unwrap())).unwrap();
        }
        "agent" => agent(),
        "cycle" => load::cycle(&arguments[1..]),
        "flood" => load::flood(&arguments[1..]),
        "pour" => load::pour(&arguments[1..]),
        "strangers" => load::strangers(&arguments[1..]),
        "steady" => load::steady(&arguments[1..]),
        "latency" => load::latency(),
        "saturate" => load::saturate(&arguments[1..]),
        "watch" => load::watch(&arguments[1..]),
        other => panic!("{other}?"),
    }
}

pub fn resolve(socket: &UdpSocket, name: &str, server: &str, id: u16, qtype: u16) -> String {
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

pub fn show(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".into(),
        Some(libc::EAGAIN) => "timeout".into(),
        Some(libc::EACCES) => "EACCES".into(),
        Some(n) => format!("errno {n}"),
        None => "timeout".into(),
    }
}

pub fn client() -> UdpSocket {
    let socket = UdpSocket::bind("[::]:0").unwrap();
    drop(socket);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    socket
}

pub fn connect(address: &str, port: u16) -> String {
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
    let mut dns: Option<TcpStream> = None;
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
                socket.send_to(&stream::bytes(hex), (RESOLVER, 53)).map_or_else(|e| show(&e), |_| "sent".into())
            }
            ["raw-query-to", server, hex] => {
                let socket = client();
                socket.send_to(&stream::bytes(hex), (*server, 53)).map_or_else(|e| show(&e), |_| "sent".into())
            }
            ["connect", address, port] => connect(address, port.parse().unwrap()),
            ["udp", name] => {
                let socket = client();
                socket.set_broadcast(true).unwrap();
                sockets.insert((*name).into(), socket);
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
            // A second socket of the server's port, connected to whoever sends first, answers (DTLS).
            ["echo-connected", name] => {
                let (mut room, mut own) = ([0; 64], None);
                let said = sockets[*name].recv_from(&mut room).and_then(|(n, from)| {
                    let socket = own.insert(reused(sockets[*name].local_addr()?.port()));
                    socket.connect(from)?;
                    socket.send(&room[..n])
                });
                sockets.extend(own.map(|socket| ("peer".into(), socket)));
                said.map_or_else(|e| show(&e), |_| "replied".into())
            }
            ["server-shared", name, port] => {
                let socket = reused(port.parse().unwrap());
                socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
                sockets.insert((*name).into(), socket);
                "ok".into()
            }
            ["send", name, address, port] => {
                let to = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
                sockets[*name].send_to(b"x", to).map_or_else(|e| show(&e), |_| "sent".into())
            }
            // One datagram to each of so many ports.
            ["receive", name] => sockets[*name].recv(&mut [0; 64]).map_or_else(|e| show(&e), |_| "received".into()),
            ["spray", name, address, count] => {
                let address: IpAddr = address.parse().unwrap();
                let last = 1023 + count.parse::<u16>().unwrap();
                let sent = (1024..=last).filter(|port| sockets[*name].send_to(b"x", (address, *port)).is_ok()).count();
                format!("sprayed {sent}")
            }
            ["udp-connect", name, address, port] => {
                let to = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
                sockets[*name].connect(to).map_or_else(|e| show(&e), |()| "ok".into())
            }
            // Taken apart first: the kernel gives it another port.
            ["udp-anew", name, address, port] => {
                redirect(&sockets[*name], address, port.parse().unwrap()).map_or_else(|e| show(&e), |()| "ok".into())
            }
            // Connected, and taken apart again.
            ["udp-apart", name, address, port] => {
                sockets[*name].connect((*address, port.parse::<u16>().unwrap())).unwrap();
                take_apart(&sockets[*name]);
                "ok".into()
            }
            ["option", name, level, option] => option_of(sockets[*name].as_raw_fd(), level, option),
            ["ring-send", address, port, hex, by_worker] => {
                uring::send((*address, port.parse().unwrap()), &stream::bytes(hex), *by_worker == "worker")
            }
            // A question of each id, by one socket, and no look at what comes back; some for each tick of the kernel's clock.
            ["ask-each", name, ids, server] => {
                let (first, end) = ids.split_once("..").unwrap();
                let sent = (first.parse::<u16>().unwrap()..end.parse().unwrap())
                    .inspect(|id| std::thread::sleep(Duration::from_millis(if id % 8 == 0 { 5 } else { 0 })))
                    .filter(|id| {
                        sockets[*name].send_to(&query(*id, &wire(&format!("n{id}.example.test")), 1), (*server, 53)).is_ok()
                    })
                    .count();
                format!("asked {sent}")
            }
            // By a segment routing header (RFC 8754): first to `via`, who is to pass it on to `address`.
            ["send-routed", name, via, address, port] => {
                let mut header = vec![0, 4, 4, 1, 1, 0, 0, 0]; // two segments, one of them left
                header.extend([address, via].iter().flat_map(|a| a.parse::<Ipv6Addr>().unwrap().octets()));
                match set(sockets[*name].as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_RTHDR, &header) {
                    Some(error) => format!("no option, errno {error}"),
                    None => {
                        let to = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
                        sockets[*name].send_to(b"x", to).map_or_else(|e| show(&e), |_| "sent".into())
                    }
                }
            }
            ["mark", name, mark] => {
                let mark: u32 = mark.parse().unwrap();
                set(sockets[*name].as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes());
                "ok".into()
            }
            ["exhaust", name] => exhaust(sockets[*name].as_raw_fd()),
            ["packet-send", device, hex] => packet_send(device, hex, 0),
            ["packet-send", device, hex, mark] => packet_send(device, hex, mark.parse().unwrap()),
            ["packet-send-as", device, hex, protocol] => packet_send_as(device, hex, 0, protocol.parse().unwrap()),
            ["raw-packet", hex, hop] => raw_packet(&stream::bytes(hex), hop.parse().unwrap()),
            ["ask-routed", how, server, name] => ask_routed(how, server, name),
            ["stale", name] => stale(&client(), name),
            ["packet-option", level, option] => {
                // SAFETY: a plain system call; the descriptor is owned at once.
                let fd = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)) };
                option_of(fd.as_raw_fd(), level, option)
            }
            ["packet-open"] => keep_open(libc::AF_PACKET),
            ["xdp-open"] => keep_open(libc::AF_XDP),
            ["xdp-option"] => {
                // SAFETY: a plain system call; the descriptor is owned at once.
                let fd = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_XDP, libc::SOCK_RAW, 0)) };
                option_of(fd.as_raw_fd(), "283", "2")
            }
            ["in-parts", name, address] => in_parts(&client(), name, address),
            ["gro", name] => {
                let socket = client();
                set(socket.as_raw_fd(), 17, 104, &1i32.to_ne_bytes()); // UDP_GRO
                resolve(&socket, name, RESOLVER, 7, 1)
            }
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
                // Closed by a reset, so that nothing of it lives on to send what was refused.
                if let Some(stream) = &open {
                    set(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
                }
                if open.is_some() { "open".into() } else { "no connection".into() }
            }
            ["open-again", first, second, port] => {
                open = Some(again(first, second, port.parse().unwrap()));
                "open".into()
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
            ["listen", at] => {
                let at = if at.contains(':') { (*at).to_owned() } else { format!("0.0.0.0:{at}") };
                listener = Some(TcpListener::bind(at).unwrap());
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
            ["raw6", kind, ..] => {
                // SAFETY: a plain system call; the descriptor is owned at once.
                let fd = unsafe { libc::socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6) };
                raw = Some(unsafe { OwnedFd::from_raw_fd(fd) });
                send_icmp6(raw.as_ref().unwrap().as_raw_fd(), kind.parse().unwrap(), words.get(2).copied().unwrap_or(""))
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
            ["ask", how, server, hex, count] => stream::ask(how, server, hex, count.parse().unwrap()),
            ["tcp-open", server] => stream::open(server, 53, &mut dns),
            ["tcp-open", server, port] => stream::open(server, port.parse().unwrap(), &mut dns),
            // The first segment carries this (MSG_FASTOPEN).
            ["tcp-open-with", server, hex] => match stream::open_with(server, hex) {
                Ok(stream) => {
                    dns = Some(stream);
                    "open".into()
                }
                Err(error) => show(&error),
            },
            ["tcp-send", pieces @ ..] => stream::send(dns.as_mut().unwrap(), pieces),
            // So many frames of 64 KiB that are no messages.
            ["tcp-pour", frames] => stream::pour(dns.as_mut().unwrap(), frames.parse().unwrap()),
            ["tcp-in-part", server, allowed, refused] => stream::in_part(server, allowed, refused),
            ["tcp-urgent", hex] => stream::urgent(dns.as_ref().unwrap(), hex),
            ["tcp-read", count] => stream::read(dns.as_mut().unwrap(), count.parse().unwrap()),
            ["tcp-option", level, option] => option_of(dns.as_ref().unwrap().as_raw_fd(), level, option),
            ["tcp-fast-open", server, hex] => stream::fast_open(server, hex, ""),
            ["tcp-fast-open", server, hex, more] => stream::fast_open(server, hex, more),
            // A name server of the workload's own.
            ["serve", at] => match UdpSocket::bind(*at) {
                Ok(socket) => {
                    std::thread::spawn(move || server::names(&socket, false));
                    "ok".into()
                }
                Err(error) => show(&error),
            },
            ["resolve-by", name, asked, server] => resolve(&sockets[*name], asked, server, 7, 1),
            ["corked", name, server, port] => corked(name, server, port.parse().unwrap()),
            ["racing", name, server, port, count] => racing(name, server, port.parse().unwrap(), count.parse().unwrap()),
            ["quit"] => return,
            _ => "?".into(),
        };
        println!("{said}");
    }
    drop(raw);
}

/// A socket of a port that others may have as well (SO_REUSEPORT).
fn reused(port: u16) -> UdpSocket {
    // SAFETY: a plain system call; the descriptor is owned at once.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)) };
    set(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, &1i32.to_ne_bytes());
    let mut name = [0u8; 16]; // sockaddr_in
    name[0] = libc::AF_INET as u8;
    name[2..4].copy_from_slice(&port.to_be_bytes());
    // SAFETY: 16 bytes of sockaddr_in.
    assert_eq!(unsafe { libc::bind(fd.as_raw_fd(), name.as_ptr().cast(), 16) }, 0);
    fd.into()
}

/// A raw socket of a family that stays open.
fn keep_open(family: i32) -> String {
    // SAFETY: a plain system call; the descriptor is left open on purpose.
    let fd = unsafe { libc::socket(family, libc::SOCK_RAW, 0) };
    if fd < 0 { show(&std::io::Error::last_os_error()) } else { "ok".into() }
}

pub fn set(fd: i32, level: i32, option: i32, value: &[u8]) -> Option<i32> {
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

fn send_icmp6(fd: i32, kind: u8, how: &str) -> String {
    let far = how == "far";
    let message = [kind, 0, 0, 0, 64, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 77];
    let message = &message[..if (kind == 133 && how != "option") || how == "short" { 8 } else { 16 }];
    set(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &255i32.to_ne_bytes());
    set(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, &255i32.to_ne_bytes());
    let to: Ipv6Addr = if far { "fd20::9".parse().unwrap() } else { "ff02::1".parse().unwrap() };
    // SAFETY: sockaddr_in6 is plain data.
    let mut name: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    name.sin6_family = libc::AF_INET6 as u16;
    name.sin6_addr.s6_addr = to.octets();
    name.sin6_scope_id = if far { 0 } else { 2 };
    let length = size_of::<libc::sockaddr_in6>() as u32;
    // SAFETY: buffers and their lengths.
    let result = unsafe { libc::sendto(fd, message.as_ptr().cast(), message.len(), 0, (&raw const name).cast(), length) };
    if result < 0 { show(&std::io::Error::last_os_error()) } else { "sent".into() }
}

/// An IPv4 packet as it is, handed to the neighbour for another address.
fn raw_packet(packet: &[u8], hop: Ipv4Addr) -> String {
    // SAFETY: a plain system call; the descriptor is owned at once.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)) };
    let mut name = [0u8; 16];
    name[0] = libc::AF_INET as u8;
    name[4..8].copy_from_slice(&hop.octets());
    // SAFETY: buffers and their lengths.
    let sent = unsafe { libc::sendto(fd.as_raw_fd(), packet.as_ptr().cast(), packet.len(), 0, name.as_ptr().cast(), 16) };
    if sent < 0 { show(&std::io::Error::last_os_error()) } else { "sent".into() }
}

/// A question by a socket that asks for a device (`device`), for no gateway (`direct`), or both.
fn ask_routed(how: &str, server: &str, name: &str) -> String {
    let options = |fd: i32| {
        if how.contains("device") {
            set(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"veth0\0");
        }
        if how.contains("direct") {
            set(fd, libc::SOL_SOCKET, libc::SO_DONTROUTE, &1i32.to_ne_bytes());
        }
    };
    if !how.contains("tcp") {
        let socket = client();
        options(socket.as_raw_fd());
        return resolve(&socket, name, server, 7, 1);
    }
    let mut dns = None;
    let said = stream::open(server, 53, &mut dns);
    let Some(mut stream) = dns else { return said };
    options(stream.as_raw_fd()); // the connection is there; its next segment goes elsewhere
    let message = query(7, &wire(name), 1);
    let _ = stream.write_all(&[&(message.len() as u16).to_be_bytes()[..], &message].concat());
    stream::read(&mut stream, 1)
}

/// A frame past IP and every cgroup hook.
fn packet_send(device: &str, hex: &str, mark: u32) -> String {
    packet_send_as(device, hex, mark, 0x0800)
}

fn packet_send_as(device: &str, hex: &str, mark: u32, protocol: u16) -> String {
    // SAFETY: a plain system call; the descriptor is owned at once.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)) };
    set(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes());
    let name = std::ffi::CString::new(device).unwrap();
    // SAFETY: sockaddr_ll is plain data; the name is terminated.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_protocol = protocol.to_be();
    to.sll_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) } as i32;
    let frame = stream::bytes(hex);
    let length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: buffers and their lengths.
    let sent = unsafe { libc::sendto(fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, (&raw const to).cast(), length) };
    if sent < 0 { show(&std::io::Error::last_os_error()) } else { "sent".into() }
}

/// Connected to another port of the resolver; a query to its DNS port; then one to where the socket is connected.
fn stale(socket: &UdpSocket, name: &str) -> String {
    socket.connect((RESOLVER, 7777)).unwrap();
    let message = query(7, &wire(name), 1);
    if let Err(error) = socket.send_to(&message, (RESOLVER, 53)) {
        return format!("first {}", show(&error));
    }
    socket.send(&message).map_or_else(|e| show(&e), |_| "sent".into())
}

/// Corked on its way to another port of the resolver, connected to its DNS port, then sent.
fn corked(name: &str, server: &str, port: u16) -> String {
    let any = if server.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let message = query(7, &wire(name), 1);
    let to = SocketAddr::new(server.parse().unwrap(), port);
    if let Err(error) = send_more(&socket, &message, to) {
        return format!("corked {}", show(&error));
    }
    socket.connect((server, 53)).unwrap();
    if let Err(error) = socket.send(&[]) {
        return show(&error);
    }
    let mut room = [0; 512];
    socket.recv(&mut room).map_or_else(|e| show(&e), |_| format!("answer records {}", room[7]))
}

fn send_more(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> std::io::Result<()> {
    let mut name = [0u8; 28]; // sockaddr_in or sockaddr_in6
    name[2..4].copy_from_slice(&to.port().to_be_bytes());
    let length = match to.ip() {
        IpAddr::V4(v4) => {
            name[0] = libc::AF_INET as u8;
            name[4..8].copy_from_slice(&v4.octets());
            16
        }
        IpAddr::V6(v6) => {
            name[0] = libc::AF_INET6 as u8;
            name[8..24].copy_from_slice(&v6.octets());
            28
        }
    };
    let fd = socket.as_raw_fd();
    // SAFETY: buffers and their lengths.
    let sent = unsafe { libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_MORE, name.as_ptr().cast(), length) };
    if sent < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// One thread connects a socket now to the DNS port, now to another port of the resolver; this one sends.
fn racing(name: &str, server: &str, port: u16, count: usize) -> String {
    let socket = std::sync::Arc::new(client());
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    socket.connect((server, 53)).unwrap();
    let message = query(7, &wire(name), 1);
    let (other, server) = (socket.clone(), server.to_owned());
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stop = over.clone();
    let thread = std::thread::spawn(move || {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let _ = other.connect((server.as_str(), 53));
            let _ = other.connect((server.as_str(), port));
        }
    });
    let mut room = [0; 512];
    let sent = (0..count).filter(|_| socket.send(&message).is_ok()).inspect(|_| drop(socket.recv(&mut room))).count();
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    thread.join().unwrap();
    format!("sent {}", sent > 0)
}

/// One query in two sends (MSG_MORE).
fn in_parts(socket: &UdpSocket, name: &str, address: &str) -> String {
    socket.connect((address, 53)).unwrap();
    let message = query(7, &wire(name), 1);
    for (part, flags) in [(&message[..20], libc::MSG_MORE), (&message[20..], 0)] {
        // SAFETY: a buffer and its length.
        if unsafe { libc::send(socket.as_raw_fd(), part.as_ptr().cast(), part.len(), flags) } < 0 {
            return show(&std::io::Error::last_os_error());
        }
    }
    let mut room = [0; 512];
    socket.recv(&mut room).map_or_else(|e| show(&e), |_| format!("answer rcode {}", room[3] & 15))
}

fn take_apart(socket: &impl AsRawFd) {
    let nothing = [0u8; 16];
    // SAFETY: a zeroed sockaddr is AF_UNSPEC.
    unsafe { libc::connect(socket.as_raw_fd(), nothing.as_ptr().cast(), 16) };
}

/// Takes a connection apart by AF_UNSPEC and connects the socket to another address.
fn redirect(stream: &impl AsRawFd, second: &str, port: u16) -> std::io::Result<()> {
    take_apart(stream);
    let to: Ipv4Addr = second.parse().unwrap();
    let mut name = [0u8; 16];
    name[0] = libc::AF_INET as u8;
    name[2..4].copy_from_slice(&port.to_be_bytes());
    name[4..8].copy_from_slice(&to.octets());
    // SAFETY: 16 bytes of sockaddr_in.
    let result = unsafe { libc::connect(stream.as_raw_fd(), name.as_ptr().cast(), 16) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn reconnect(first: &str, second: &str) -> String {
    match TcpStream::connect_timeout(&SocketAddr::new(first.parse().unwrap(), 80), Duration::from_millis(1500)) {
        Ok(stream) => redirect(&stream, second, 80).map_or_else(|e| show(&e), |()| "connected".into()),
        Err(error) => format!("first {}", show(&error)),
    }
}

fn again(first: &str, second: &str, port: u16) -> TcpStream {
    let to = SocketAddr::new(first.parse().unwrap(), port);
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(1500)).unwrap();
    stream.write_all(b"ping").unwrap();
    redirect(&stream, second, port).unwrap();
    stream
}
