//! Addresses that rules name: prefixes, prefixes with holes, and the groups behind entities.

use fqdn_image::tables::Locality;
use std::fmt;

/// A prefix. INVARIANT: no bit is set behind `length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// First address, IPv4 as `::ffff:a.b.c.d`.
    pub address: u128,
    /// Length over 128 bits.
    pub length: u8,
}

/// Where IPv4 lies among the 128-bit addresses.
const V4: u128 = 0xffff_0000_0000;

impl Cidr {
    /// Every IPv4 address.
    pub const ALL_V4: Cidr = Cidr { address: V4, length: 96 };
    /// Every address, IPv4's among them.
    pub const ALL: Cidr = Cidr { address: 0, length: 0 };
    /// IPv4's loopback.
    pub const LOOPBACK_V4: Cidr = Cidr { address: V4 | 0x7f00_0000, length: 104 };
    /// Addresses of the link (RFC 4291 section 2.5.6).
    pub const LINK_LOCAL_V6: Cidr = Cidr { address: 0xfe80 << 112, length: 10 };
    /// IPv6's loopback.
    pub const LOOPBACK_V6: Cidr = Cidr { address: 1, length: 128 };

    /// Reads `10.0.0.0/8`, `10.0.0.1`, `fd00::/8`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
                (address, Some(length.parse::<u8>().map_err(|_| "the prefix length is too long".to_owned())?))
            }
            Some(_) => return Err("the prefix length is no number".into()),
            None => (text, None),
        };
        let address: std::net::IpAddr = address.parse().map_err(|_| "it is no IP address".to_owned())?;
        let (address, bits) = match address {
            std::net::IpAddr::V4(v4) => (V4 | u128::from(u32::from(v4)), 32),
            std::net::IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() && length.is_none_or(|n| n >= 96) => {
                return Err("it is an IPv4 address in IPv6 clothes; write it as IPv4".into());
            }
            std::net::IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let length = length.unwrap_or(bits);
        if length > bits {
            return Err(format!("the prefix length is over {bits}"));
        }
        let cidr = Cidr { address, length: length + (128 - bits) };
        if address & cidr.rest() != 0 {
            let first = Cidr { address: address & !cidr.rest(), ..cidr };
            return Err(format!("bits are set behind the prefix; the prefix is {first}"));
        }
        Ok(cidr)
    }

    /// The prefix of a text that has bits set behind it.
    pub fn around(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let host = Self::parse(address).ok()?;
        let behind = if Self::ALL_V4.contains(host) { 96 } else { 0 };
        let length = length.parse::<u8>().ok()?.checked_add(behind).filter(|length| *length <= 128)?;
        let cidr = Cidr { length, ..host };
        Some(Cidr { address: host.address & !cidr.rest(), length })
    }

    fn rest(self) -> u128 {
        u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0)
    }

    /// First and last address. `::/0` leaves IPv4 out.
    pub fn range(self) -> (u128, u128) {
        (self.address, self.address | self.rest())
    }

    /// Whether the other lies inside.
    pub fn contains(self, other: Cidr) -> bool {
        let (low, high) = self.range();
        let (first, last) = other.range();
        low <= first && last <= high
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if Cidr::ALL_V4.contains(*self) {
            let v4 = std::net::Ipv4Addr::from((self.address & 0xffff_ffff) as u32);
            write!(f, "{v4}/{}", self.length - 96)
        } else {
            write!(f, "{}/{}", std::net::Ipv6Addr::from(self.address), self.length)
        }
    }
}

/// Disjoint ranges of addresses, ascending.
pub type Ranges = Vec<(u128, u128)>;

/// A set of addresses under the name that dumps show. INVARIANT: within one compilation one text has one meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressSet {
    /// `10.0.0.0/8 except 10.1.0.0/16`, `entity:world`.
    pub text: String,
    /// The addresses.
    pub ranges: Ranges,
    /// Whether this host's are among them.
    pub locality: Locality,
}

impl AddressSet {
    /// A prefix without some inside it, and without what of `holes` touches it.
    pub fn prefix(cidr: Cidr, except: &[Cidr], holes: &[Cidr]) -> Self {
        let mut text = cidr.to_string();
        for except in except {
            text.push_str(&format!(" except {except}"));
        }
        let all: Vec<Cidr> = except.iter().chain(holes).copied().collect();
        let ranges = subtract(cidr, &all);
        if ranges != subtract(cidr, except) {
            text.push_str(" outside the cluster");
        }
        AddressSet { text, ranges, locality: Locality::Any }
    }

    /// Everything but `holes`, for IPv4 and IPv6.
    pub fn everywhere(holes: &[Cidr]) -> [Self; 2] {
        [Cidr::ALL_V4, Cidr::ALL].map(|cidr| Self::prefix(cidr, &[], holes))
    }

    /// A named group of prefixes.
    pub fn group(name: &str, cidrs: &[Cidr], holes: &[Cidr], locality: Locality) -> Self {
        let mut ranges: Ranges = cidrs.iter().flat_map(|cidr| subtract(*cidr, holes)).collect();
        ranges.sort_unstable();
        let mut joined: Ranges = Vec::new();
        for (low, high) in ranges {
            match joined.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        AddressSet { text: format!("entity:{name}"), ranges: joined, locality }
    }
}

/// The ranges of a prefix without these others.
fn subtract(cidr: Cidr, holes: &[Cidr]) -> Ranges {
    let mut cuts: Vec<(u128, u128)> = holes.iter().map(|hole| hole.range()).collect();
    if cidr.length < 96 && cidr.contains(Cidr::ALL_V4) && cidr != Cidr::ALL_V4 {
        cuts.push(Cidr::ALL_V4.range()); // an IPv6 prefix never means IPv4
    }
    cuts.sort_unstable();
    let (mut low, high) = cidr.range();
    let mut ranges = Vec::new();
    for (first, last) in cuts {
        if last < low || first > high {
            continue;
        }
        if first > low {
            ranges.push((low, first - 1));
        }
        if last >= high {
            return ranges;
        }
        low = low.max(last + 1);
    }
    ranges.push((low, high));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(Cidr::parse("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(Cidr::parse("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert!(Cidr::parse("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(Cidr::parse("::ffff:0:0/96").is_err() && Cidr::parse("::ffff:10.0.0.1").is_err());
        assert!(Cidr::parse("10.0.0.0/33").is_err() && Cidr::parse("fd00::/129").is_err());
        let cidr = |t| Cidr::parse(t).unwrap();
        assert_eq!((Cidr::LOOPBACK_V4, Cidr::LOOPBACK_V6), (cidr("127.0.0.0/8"), cidr("::1")));
        let ranges = subtract(cidr("10.0.0.0/24"), &[cidr("10.0.0.0/32"), cidr("10.0.0.128/25")]);
        assert_eq!(ranges, vec![(cidr("10.0.0.1").address, cidr("10.0.0.127").address)]);
        assert_eq!(subtract(Cidr::ALL, &[]).len(), 2, "::/0 leaves IPv4 out");
        assert!(subtract(cidr("10.0.0.0/24"), &[cidr("10.0.0.0/8")]).is_empty());
        let joined = AddressSet::group("g", &[cidr("10.0.0.128/25"), cidr("10.0.0.0/25")], &[], Locality::Any);
        assert_eq!(joined.ranges, vec![cidr("10.0.0.0/24").range()]);
    }
}
