//! Packets, byte by byte, with an Ethernet header as BPF_PROG_TEST_RUN wants it.

use std::net::IpAddr;

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn ethernet(address: IpAddr) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    packet.extend(if address.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
    packet
}

/// An IP packet of this protocol.
pub fn ip(from: IpAddr, to: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    ip_with(from, to, proto, 64, payload)
}

pub fn ip_with(from: IpAddr, to: IpAddr, proto: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = ethernet(from);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x45, 0]);
            packet.extend(u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
            packet.extend([0, 1, 0x40, 0, hops, proto, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            packet.extend([proto, hops]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        _ => panic!("addresses of two families"),
    }
    packet.extend(payload);
    packet
}

pub fn udp(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(from.1.to_be_bytes());
    body.extend(to.1.to_be_bytes());
    body.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    body.extend([0, 0]);
    body.extend(payload);
    ip(from.0, to.0, 17, &body)
}

pub fn tcp(from: (IpAddr, u16), to: (IpAddr, u16), flags: u8) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(from.1.to_be_bytes());
    body.extend(to.1.to_be_bytes());
    body.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    ip(from.0, to.0, 6, &body)
}

/// A query for a name on the wire.
pub fn query(id: u16, name: &[u8], qtype: u16) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(id.to_be_bytes());
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(name);
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// A record: owner as given (a name or a pointer), type, class IN, seconds, data.
pub fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

/// The answer to a query, with these records.
pub fn answer(query: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let mut end = 12;
    while query[end] != 0 && query[end] < 0xc0 {
        end += 1 + usize::from(query[end]);
    }
    let mut message = query[..end + 5].to_vec(); // an OPT behind the question is not sent back
    message[10..12].fill(0);
    message[2] = 0x81;
    message[3] = 0x80;
    message[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    message.extend(records.concat());
    message
}
