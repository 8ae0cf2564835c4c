//! The other side: a name server whose answers its names describe, and peers that accept and echo.

use kernel_tests::packet::{answer, record};
use kernel_tests::{RESOLVER, RESOLVER_TWO, RESOLVER_V6, wire};
use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub fn serve() {
    let mut servers = Vec::new();
    for address in [RESOLVER, RESOLVER_TWO, RESOLVER_V6] {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        let failing = address == RESOLVER_TWO;
        servers.push(std::thread::spawn(move || names(&socket, failing)));
        over_tcp(TcpListener::bind((address, 53)).unwrap(), failing);
    }
    // The first answers from whatever address its route gives it, the others from their own.
    for at in ["[::]:7777", "10.200.3.1:80", "10.200.3.2:80", "10.200.3.3:80"] {
        let echo = UdpSocket::bind(at).unwrap();
        std::thread::spawn(move || {
            let mut room = [0; 2048];
            while let Ok((n, from)) = echo.recv_from(&mut room) {
                let _ = echo.send_to(&room[..n], from);
            }
        });
    }
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

/// The same over TCP, beside whatever else this does.
pub fn over_tcp(listener: TcpListener, failing: bool) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || stream_of_names(stream, failing));
        }
    });
}

/// Answers `ip-10-200-1-2.anything` with that address; the first label's prefix asks for something odd.
pub fn names(socket: &UdpSocket, failing: bool) {
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
    if let Some(rest) = label.strip_prefix("junk-") {
        let mut message = answer(asked, &[record(&owner, 1, 60, &address(rest)?)]);
        message.push(0);
        return Some(message);
    }
    if let Some(rest) = label.strip_prefix("pair-") {
        let (first, mut next) = (address(rest)?, address(rest)?);
        next[3] += 1;
        return Some(answer(asked, &[record(&owner, 1, 60, &first), record(&owner, 1, 60, &next)]));
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

pub fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

pub fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// The same names over TCP. `cutN` as second label: two answers in one stream, cut after N bytes; `long`: 4,000 records.
fn stream_of_names(mut stream: TcpStream, failing: bool) {
    stream.set_nodelay(true).unwrap();
    let mut held: Vec<u8> = Vec::new();
    while let Some(asked) = read_frame(&mut stream) {
        let Some(mut reply) = reply(&asked, failing) else { return };
        let labels = labels(&asked);
        let second = labels.get(1).map_or("", String::as_str);
        if second == "long" {
            reply = answer(&asked, &vec![record(&[0xc0, 12], 1, 60, &reply[reply.len() - 4..]); 4_000]);
        }
        let framed = frame(&reply);
        let Some(cut) = second.strip_prefix("cut").and_then(|n| n.parse::<usize>().ok()) else {
            if stream.write_all(&framed).is_err() {
                return;
            }
            continue;
        };
        if held.is_empty() {
            held = framed;
            continue;
        }
        held.extend(framed);
        let (first, rest) = held.split_at(cut.min(held.len()));
        let _ = stream.write_all(first);
        std::thread::sleep(Duration::from_millis(2));
        let _ = stream.write_all(rest);
        held.clear();
    }
}

fn labels(asked: &[u8]) -> Vec<String> {
    let mut at = 12;
    let mut labels = Vec::new();
    while let Some(&length @ 1..) = asked.get(at) {
        labels.push(String::from_utf8_lossy(&asked[at + 1..at + 1 + usize::from(length)]).to_ascii_lowercase());
        at += 1 + usize::from(length);
    }
    labels
}

static JOINED: AtomicBool = AtomicBool::new(false);
static ONCE: AtomicBool = AtomicBool::new(false);

/// Answers every query with the bytes last read from standard input. A line: `patch HEX` = with the id of the query,
/// `as-is HEX` = as they are; several messages: all of them are sent. `joined` in front: as one buffer that the receiver's
/// kernel may hand over whole (UDP_SEGMENT). `once` in front: to one query, and nothing to those behind it.
pub fn responder() {
    let replies = Arc::new(Mutex::new((true, Vec::<Vec<u8>>::new())));
    let made = |replies: &Mutex<(bool, Vec<Vec<u8>>)>, asked: &[u8]| {
        let mut replies = replies.lock().unwrap();
        let (patch, messages) = replies.clone();
        if ONCE.load(Ordering::Relaxed) {
            replies.1.clear();
        }
        let patched = messages.into_iter().map(move |mut message| {
            if patch && message.len() >= 2 {
                message[..2].copy_from_slice(&asked[..2]);
            }
            message
        });
        patched.collect::<Vec<_>>()
    };
    for address in [RESOLVER, RESOLVER_V6] {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        let shared = replies.clone();
        std::thread::spawn(move || {
            let mut room = [0; 4096];
            while let Ok((n, from)) = socket.recv_from(&mut room) {
                if JOINED.load(Ordering::Relaxed) {
                    let all = made(&shared, &room[..n]);
                    crate::set(socket.as_raw_fd(), 17, 103, &(all[0].len() as i32).to_ne_bytes());
                    let _ = socket.send_to(&all.concat(), from);
                    continue;
                }
                for message in made(&shared, &room[..n]) {
                    let _ = socket.send_to(&message, from);
                }
            }
        });
        let listener = TcpListener::bind((address, 53)).unwrap();
        let shared = replies.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    while let Some(asked) = read_frame(&mut stream) {
                        let all: Vec<u8> = made(&shared, &asked).iter().flat_map(|message| frame(message)).collect();
                        let _ = stream.write_all(&all);
                    }
                });
            }
        });
    }
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let joined = line.strip_prefix("joined ");
        JOINED.store(joined.is_some(), Ordering::Relaxed);
        let once = line.strip_prefix("once ");
        ONCE.store(once.is_some(), Ordering::Relaxed);
        let mut words = once.or(joined).unwrap_or(&line).split(' ');
        let patch = words.next() == Some("patch");
        *replies.lock().unwrap() = (patch, words.map(crate::stream::bytes).collect());
        println!("ok");
    }
}
