//! An authoritative server whose names say what their answers are: `b3t5c2o1.SERIAL.example.test` = A and AAAA (`a`, `q`, or both), three
//! addresses of each kind, five seconds, two CNAMEs before them, in the order 1. Any resolver may ask it; `SERIAL` makes a name new.

use kernel_tests::packet::{answer, record};
use kernel_tests::wire;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

/// What a name says.
struct Shape {
    family: u8,
    addresses: u16,
    ttl: u32,
    links: usize,
    order: u32,
}

impl Shape {
    fn parse(label: &str) -> Option<Shape> {
        let number = |after: char| -> Option<u32> {
            let rest = &label[label.find(after)? + 1..];
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let family = *label.as_bytes().first()?;
        let addresses = label[1..].split('t').next()?.parse().ok()?;
        Some(Shape { family, addresses, ttl: number('t')?, links: number('c')? as usize, order: number('o')? })
    }
}

/// The answer to a query; `None` = it cannot be read.
fn reply(asked: &[u8]) -> Option<Vec<u8>> {
    within(asked, usize::MAX)
}

/// The same in so many octets: where it is cut (TC), the records that fit stay, as CoreDNS does it; none, where the chain
/// would be what is cut off.
fn within(asked: &[u8], room: usize) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while let Some(&length @ 1..) = asked.get(at) {
        labels.push(String::from_utf8_lossy(asked.get(at + 1..at + 1 + usize::from(length))?).to_ascii_lowercase());
        at += 1 + usize::from(length);
    }
    let kind = u16::from_be_bytes([*asked.get(at + 1)?, *asked.get(at + 2)?]);
    // The target of link K is `lK` in front of the name.
    let link = labels.first().and_then(|l| l.strip_prefix('l')).and_then(|l| l.parse::<usize>().ok());
    let own = &labels[usize::from(link.is_some())..];
    let Some(shape) = own.first().and_then(|label| Shape::parse(label)) else {
        let mut none = answer(asked, &[]);
        none[3] |= 3;
        return Some(none);
    };
    let base = own.join(".");
    let name = |link: usize| if link == 0 { base.clone() } else { format!("l{link}.{base}") };
    let mut records: Vec<(String, u16, Data)> =
        (link.unwrap_or(0)..shape.links).map(|k| (name(k), 5, Data::Name(name(k + 1)))).collect();
    // Of a name of its own, its addresses lie together; two names seldom share one.
    let hash = base.bytes().fold(5381u32, |h, b| h.wrapping_mul(33) ^ u32::from(b)) % 60_000;
    for n in (0..u32::from(shape.addresses)).map(|i| ((hash + i) % 65_000) as u16) {
        let [high, low] = n.to_be_bytes();
        if kind == 1 && shape.family != b'q' {
            records.push((name(shape.links), 1, Data::Address(vec![10, 200, high, low])));
        }
        if kind == 28 && shape.family != b'a' {
            records.push((name(shape.links), 28, Data::Address(vec![0xfd, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, high, low])));
        }
    }
    match shape.order {
        1 => records.reverse(),
        2 if !records.is_empty() => records.rotate_right(1),
        _ => {}
    }
    let whole = encode(asked, &labels.join("."), shape.ttl, &records);
    if whole.len() <= room {
        return Some(whole);
    }
    let first = |n: usize| encode(asked, &labels.join("."), shape.ttl, &records[..n]);
    let (mut fit, mut over) = (0, if shape.order == 0 { records.len() } else { 1 });
    while over - fit > 1 {
        let middle = usize::midpoint(fit, over);
        if first(middle).len() <= room { fit = middle } else { over = middle }
    }
    let mut message = first(fit);
    message[2] |= 2;
    Some(message)
}

enum Data {
    Name(String),
    Address(Vec<u8>),
}

/// The answer, its names compressed: a name that stands somewhere already is a pointer to it.
fn encode(asked: &[u8], question: &str, ttl: u32, records: &[(String, u16, Data)]) -> Vec<u8> {
    let mut message = answer(asked, &vec![Vec::new(); records.len()]);
    message[2] |= 4; // AA
    let mut places = HashMap::from([(question.to_owned(), 12)]);
    let mut write = |message: &mut Vec<u8>, ahead: usize, text: &str| -> Vec<u8> {
        let at = message.len() + ahead;
        match places.get(text) {
            Some(place) => u16::to_be_bytes(0xc000 | *place as u16).to_vec(),
            None => {
                if at < 0x4000 {
                    places.insert(text.to_owned(), at);
                }
                wire(text)
            }
        }
    };
    for (owner, kind, data) in records {
        let owner = write(&mut message, 0, owner);
        let data = match data {
            Data::Name(name) => write(&mut message, owner.len() + 10, name),
            Data::Address(bytes) => bytes.clone(),
        };
        message.extend(record(&owner, *kind, ttl, &data));
    }
    message
}

/// What the query lets a datagram hold: 512 octets, or its OPT's size.
fn room(asked: &[u8]) -> usize {
    let opt = asked.windows(3).rposition(|w| w == [0, 0, 41]).filter(|_| asked[11] == 1);
    opt.map_or(512, |at| usize::from(u16::from_be_bytes([asked[at + 3], asked[at + 4]])).max(512))
}

/// Serves the zone at these addresses, and port 80 on every one.
pub fn serve(addresses: &[String]) {
    for at in addresses {
        let socket = UdpSocket::bind(at).unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok((n, from)) = socket.recv_from(&mut bytes) {
                let Some(message) = within(&bytes[..n], room(&bytes[..n])) else { continue };
                let _ = socket.send_to(&message, from);
            }
        });
        let listener = TcpListener::bind(at).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    while let Some(message) = crate::server::read_frame(&mut stream).as_deref().and_then(reply) {
                        if stream.write_all(&crate::server::frame(&message)).is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
    let listener = TcpListener::bind("[::]:80").unwrap();
    println!("ready");
    for mut stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(2)));
            if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
    }
}
