//! This host's own addresses: what `entity:host` means where no profile lists them, and what `entity:world` leaves out.

use crate::error::{Error, Result};
use crate::pins::Pins;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Makes the map `locals` hold the addresses of this network namespace: what is missing first, then what is too many.
pub fn write(pins: &Pins) -> Result<()> {
    let fib = "/proc/net/fib_trie";
    let fib_text = std::fs::read_to_string(fib).map_err(|e| Error::io("read", fib, &e))?;
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default(); // absent without IPv6
    let addresses: BTreeSet<[u8; 16]> = v4(&fib_text).chain(v6(&interfaces)).map(|address| address.octets()).collect();
    let map = pins.map("locals")?;
    let have: BTreeSet<[u8; 16]> = map.keys()?.iter().filter_map(|key| key.as_slice().try_into().ok()).collect();
    for address in addresses.difference(&have) {
        map.replace(address, &1u32.to_le_bytes())?;
    }
    for address in have.difference(&addresses) {
        map.remove(address)?;
    }
    Ok(())
}

/// The addresses of a process's network namespace.
pub fn of_process(process: u32) -> Vec<Ipv6Addr> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{process}/net/{name}")).unwrap_or_default();
    v4(&read("fib_trie")).chain(v6(&read("if_inet6"))).collect()
}

/// Lines `|-- 192.0.2.2` that are followed by `/32 host LOCAL` (net/ipv4/fib_trie.c, fib_trie_seq_show).
fn v4(text: &str) -> impl Iterator<Item = Ipv6Addr> + '_ {
    let mut address = None;
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("|-- ") {
            address = text.parse::<Ipv4Addr>().ok();
        }
        (line == "/32 host LOCAL").then_some(address).flatten().map(|a| a.to_ipv6_mapped())
    })
}

/// The first column: 32 hexadecimal digits (net/ipv6/addrconf.c, if6_seq_show).
fn v6(text: &str) -> impl Iterator<Item = Ipv6Addr> + '_ {
    let first = |line: &str| line.split_whitespace().next().and_then(|word| u128::from_str_radix(word, 16).ok());
    text.lines().filter_map(first).map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_kernels_tables() {
        let fib =
            "  +-- 192.0.2.0/30\n     |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\n";
        assert_eq!(v4(fib).collect::<Vec<_>>(), ["::ffff:192.0.2.2".parse::<Ipv6Addr>().unwrap()]);
        let interfaces = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n";
        assert_eq!(v6(interfaces).collect::<Vec<_>>(), ["fe80::fc:ff:fe00:1".parse::<Ipv6Addr>().unwrap()]);
    }
}
