//! DNS over TCP as a workload speaks it: bytes in pieces of its choice.

use crate::show;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

pub fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

pub fn open(server: &str, port: u16, dns: &mut Option<TcpStream>) -> String {
    let to = SocketAddr::new(server.parse::<IpAddr>().unwrap(), port);
    match TcpStream::connect_timeout(&to, Duration::from_millis(1500)) {
        Ok(stream) => {
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(1500))).unwrap();
            *dns = Some(stream);
            "open".into()
        }
        Err(error) => show(&error),
    }
}

/// Each piece by a send of its own; `-` = a moment's pause.
pub fn send(stream: &mut TcpStream, pieces: &[&str]) -> String {
    for piece in pieces {
        if *piece == "-" {
            std::thread::sleep(Duration::from_millis(2));
        } else if let Err(error) = stream.write_all(&bytes(piece)) {
            return show(&error);
        }
    }
    "sent".into()
}

/// Frames of the longest kind, all zero.
pub fn pour(stream: &mut TcpStream, frames: usize) -> String {
    let frame = [vec![0xff; 2], vec![0; 65_535]].concat();
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    for n in 0..frames {
        if let Err(error) = stream.write_all(&frame) {
            return format!("{} after {n}", show(&error));
        }
    }
    "poured".into()
}

/// The last byte is sent out of band.
pub fn urgent(stream: &TcpStream, hex: &str) -> String {
    let all = bytes(hex);
    // SAFETY: a buffer and its length.
    let sent = unsafe { libc::send(stream.as_raw_fd(), all.as_ptr().cast(), all.len(), libc::MSG_OOB) };
    if sent < 0 { show(&std::io::Error::last_os_error()) } else { "sent".into() }
}

/// Messages as they arrive: id, code, records.
pub fn read(stream: &mut TcpStream, count: usize) -> String {
    let mut said = Vec::new();
    for _ in 0..count {
        let mut length = [0; 2];
        if let Err(error) = stream.read_exact(&mut length) {
            said.push(if error.kind() == std::io::ErrorKind::UnexpectedEof { "closed".into() } else { show(&error) });
            break;
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut message).is_err() {
            said.push("cut".into());
            break;
        }
        let records = u16::from_be_bytes([message[6], message[7]]);
        said.push(format!("{}:{}:{records}", message[1], message[3] & 15));
    }
    said.join(" ")
}

/// A connection whose very first segment carries bytes (MSG_FASTOPEN).
pub fn open_with(server: &str, hex: &str) -> std::io::Result<TcpStream> {
    // SAFETY: a plain system call; the descriptor is owned at once.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0)) };
    let message = bytes(hex);
    let mut name = [0u8; 16];
    name[0] = libc::AF_INET as u8;
    name[2..4].copy_from_slice(&53u16.to_be_bytes());
    name[4..8].copy_from_slice(&server.parse::<Ipv4Addr>().unwrap().octets());
    // SAFETY: buffers and their lengths.
    let sent = unsafe {
        libc::sendto(fd.as_raw_fd(), message.as_ptr().cast(), message.len(), libc::MSG_FASTOPEN, name.as_ptr().cast(), 16)
    };
    if sent < 0 {
        return Err(std::io::Error::last_os_error());
    }
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(Duration::from_millis(3500)))?;
    Ok(stream)
}

/// A query in the very first segment, more behind it, then whatever comes.
pub fn fast_open(server: &str, hex: &str, more: &str) -> String {
    match open_with(server, hex) {
        Ok(mut stream) => {
            let _ = stream.write_all(&bytes(more));
            read(&mut stream, 1)
        }
        Err(error) => show(&error),
    }
}

/// One query, so many answers: length and code of the last.
pub fn ask(how: &str, server: &str, hex: &str, count: usize) -> String {
    let to = SocketAddr::new(server.parse::<IpAddr>().unwrap(), 53);
    let message = bytes(hex);
    let mut room = vec![0; 70_000];
    if how == "udp" {
        let socket = UdpSocket::bind(if server.contains(':') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1000))).unwrap();
        return socket
            .send_to(&message, to)
            .and_then(|_| (0..count).try_fold(0, |_, _| socket.recv(&mut room)))
            .map_or_else(|e| show(&e), |n| format!("answer {n} {}", room[3] & 15));
    }
    let mut stream = match TcpStream::connect_timeout(&to, Duration::from_millis(1000)) {
        Ok(stream) => stream,
        Err(error) => return show(&error),
    };
    stream.set_read_timeout(Some(Duration::from_millis(1000))).unwrap();
    let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    let mut length = [0; 2];
    let mut n = 0;
    if let Err(error) = stream.write_all(&framed) {
        return show(&error);
    }
    for _ in 0..count {
        if let Err(error) = stream.read_exact(&mut length) {
            return show(&error);
        }
        n = usize::from(u16::from_be_bytes(length));
        if let Err(error) = stream.read_exact(&mut room[..n]) {
            return show(&error);
        }
    }
    format!("answer {n} {}", room[3] & 15)
}

/// Sends that are queued in part, because the send buffer is full: then the kernel asks the program of the socket's map
/// no more for as many bytes as were left. Into those goes a question that may not be asked. Its answer's code, if any.
pub fn in_part(server: &str, allowed: &str, refused: &str) -> String {
    let (message, evil) = (bytes(allowed), bytes(refused));
    let bundle = message.repeat(7);
    for room in (14_000..40_000).step_by(700) {
        let mut dns = None;
        if open(server, 53, &mut dns) != "open" {
            return "no connection".into();
        }
        let mut stream = dns.unwrap();
        crate::set(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, &i32::to_ne_bytes(room));
        crate::set(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &20_000u32.to_ne_bytes());
        crate::set(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CORK, &1i32.to_ne_bytes());
        stream.set_nonblocking(true).unwrap();
        let mut total = 0;
        while let Ok(n) = stream.write(&bundle) {
            total += n;
            if n < bundle.len() {
                break;
            }
        }
        let left = total % message.len();
        if left == 0 {
            continue;
        }
        crate::set(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CORK, &0i32.to_ne_bytes());
        crate::set(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &u32::MAX.to_ne_bytes());
        std::thread::sleep(Duration::from_millis(700));
        let rest = [&message[left..], &evil].concat();
        for _ in 0..5 {
            if stream.write(&rest).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        stream.set_nonblocking(false).unwrap();
        let said = read(&mut stream, 500);
        let id = format!("{}:", evil[3]);
        return said.split(' ').find(|answer| answer.starts_with(&id)).map_or_else(|| "unanswered".into(), str::to_owned);
    }
    "never in part".into()
}
