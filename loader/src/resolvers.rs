//! Whose answers teach: addresses from --resolvers, the profile, or this host's /etc/resolv.conf.

use crate::bind;
use crate::error::{Error, Result};
use crate::pins::Pins;
use fqdn_image::Image;
use fqdn_image::abi::{RESOLVER_ENTRIES, Record, ResolverKey, ResolverValue};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses and prefix lengths over 16 bytes, and the entries they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// Where they come from: `--resolvers`, `profile` or `/etc/resolv.conf`.
    pub source: &'static str,
    prefixes: BTreeMap<(u128, u32), u32>,
}

const EVERY_ENTRY: u32 = (1 << RESOLVER_ENTRIES) - 1;

/// INVARIANT: no resolver is a link's own: the kernel keeps the zone (fe80::1%eth0) to itself, and on another link another host may
/// bear the address (bypass row 60).
const ON_EVERY_LINK: &str =
    "an address of the link (fe80::/10), which any host of another link may bear: name one by --resolvers that is not";

/// fe80::/10, or a part of it (RFC 4291 section 2.5.6).
fn is_link_local((address, length): (u128, u32)) -> bool {
    length >= 10 && cut(address, 10) == 0xfe80 >> 6
}

impl Resolvers {
    /// What `--resolvers` says; `auto` = the profile's, else the host's.
    pub fn choose(option: &str, image: &Image) -> Result<Self> {
        if option != "auto" {
            let mut prefixes = BTreeMap::new();
            for text in option.split(',').map(str::trim).filter(|t| !t.is_empty()) {
                let prefix =
                    parse(text).ok_or_else(|| Error::failed(format!("`{text}` in --resolvers is no address or prefix")))?;
                if is_link_local(prefix) {
                    return Err(Error::failed(format!("`{text}` in --resolvers is {ON_EVERY_LINK}")));
                }
                prefixes.insert(prefix, EVERY_ENTRY);
            }
            return Ok(Resolvers { source: "--resolvers", prefixes });
        }
        let mut prefixes = BTreeMap::new();
        for resolver in image.resolvers() {
            *prefixes.entry((u128::from_be_bytes(resolver.addr), resolver.prefix)).or_default() |= 1 << resolver.entry;
        }
        if prefixes.keys().any(|prefix| is_link_local(*prefix)) {
            return Err(Error::failed(format!("a resolver of the image's profile is {ON_EVERY_LINK}")));
        }
        if !prefixes.is_empty() {
            return Ok(Resolvers { source: "profile", prefixes });
        }
        let path = "/etc/resolv.conf";
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
        let mut link_local = false;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if words.next() == Some("nameserver") {
                let address = words.next().and_then(|w| w.split('%').next()).and_then(parse);
                link_local |= address.is_some_and(is_link_local);
                prefixes.extend(address.filter(|a| !is_link_local(*a)).map(|a| (a, EVERY_ENTRY)));
            }
        }
        if prefixes.is_empty() && link_local {
            return Err(Error::failed(format!("the name server of {path} is {ON_EVERY_LINK}")));
        }
        Ok(Resolvers { source: path, prefixes })
    }

    /// The resolvers of a generation, as the map has them.
    pub fn of(pins: &Pins, generation: u64) -> Result<Self> {
        let keys = pins.map("resolvers")?.keys()?;
        let own = keys.iter().filter(|key| of_generation(key, generation)).filter_map(|key| ResolverKey::read(key));
        Ok(Resolvers {
            source: "map",
            prefixes: own.map(|key| ((u128::from_be_bytes(key.addr), key.prefixlen - 64), EVERY_ENTRY)).collect(),
        })
    }

    /// The address is a resolver's.
    pub fn holds(&self, address: std::net::Ipv6Addr) -> bool {
        self.prefixes.keys().any(|(prefix, length)| cut(u128::from(address), *length) == cut(*prefix, *length))
    }

    /// The rows of the map `resolvers` for one image. An address takes the entries of every prefix around it.
    fn rows(&self, generation: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let row = |(address, length): &(u128, u32)| {
            let around = self.prefixes.iter().filter(|((a, l), _)| l <= length && cut(*address, *l) == cut(*a, *l));
            let entries = around.fold(0, |all, (_, entries)| all | entries);
            let key = ResolverKey { prefixlen: 64 + length, generation: generation.to_le_bytes(), addr: address.to_be_bytes() };
            (key.bytes().to_vec(), ResolverValue { entries, pad: 0 }.bytes().to_vec())
        };
        self.prefixes.keys().map(row).collect()
    }

    /// Makes the rows of a generation these: what is missing first, then what is too many.
    pub fn write(&self, pins: &Pins, generation: u64) -> Result<()> {
        let map = pins.map("resolvers")?;
        let rows = self.rows(generation);
        for (key, value) in &rows {
            map.replace(key, value)?;
        }
        for key in map.keys()? {
            if of_generation(&key, generation) && !rows.contains_key(&key) {
                map.remove(&key)?;
            }
        }
        bind::bump(pins) // the programs remember what they looked up, under an epoch
    }

    /// The map already says this.
    pub fn written(&self, pins: &Pins, generation: u64) -> Result<bool> {
        let map = pins.map("resolvers")?;
        let rows = self.rows(generation);
        let have = map.keys()?.into_iter().filter(|key| of_generation(key, generation)).count();
        let mut same = have == rows.len();
        for (key, value) in &rows {
            same &= map.get(key)?.as_ref() == Some(value);
        }
        Ok(same)
    }
}

/// The resolvers of an image, as texts.
pub fn list(pins: &Pins, generation: u64) -> Result<Vec<String>> {
    let keys = pins.map("resolvers")?.keys()?;
    let mut texts: Vec<String> = keys
        .iter()
        .filter(|key| of_generation(key, generation))
        .filter_map(|key| ResolverKey::read(key))
        .map(|key| show(u128::from_be_bytes(key.addr), key.prefixlen - 64))
        .collect();
    texts.sort();
    Ok(texts)
}

/// Forgets the rows of other generations than these.
pub fn keep(pins: &Pins, generations: &[u64]) -> Result<()> {
    let map = pins.map("resolvers")?;
    for key in map.keys()? {
        if !generations.iter().any(|g| of_generation(&key, *g)) {
            map.remove(&key)?;
        }
    }
    Ok(())
}

fn of_generation(key: &[u8], generation: u64) -> bool {
    ResolverKey::read(key).is_some_and(|k| k.generation == generation.to_le_bytes())
}

fn cut(address: u128, length: u32) -> u128 {
    address.checked_shr(128 - length).unwrap_or(0)
}

fn parse(text: &str) -> Option<(u128, u32)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let (address, bits) = match address.parse().ok()? {
        IpAddr::V4(v4) => (u128::from(v4.to_ipv6_mapped()), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let length = length.unwrap_or(bits);
    if length > bits {
        return None;
    }
    let length = length + 128 - bits;
    let kept = if length == 0 { 0 } else { cut(address, length) << (128 - length) };
    Some((kept, length))
}

/// An address, with its prefix length if it is a prefix.
pub fn show(address: u128, length: u32) -> String {
    let v6 = std::net::Ipv6Addr::from(address);
    match (v6.to_ipv4_mapped(), length) {
        (Some(v4), 128) => v4.to_string(),
        (Some(v4), length) if length >= 96 => format!("{v4}/{}", length - 96),
        (_, 128) => v6.to_string(),
        (_, length) => format!("{v6}/{length}"),
    }
}
