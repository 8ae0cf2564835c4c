//! Policies as they are meant: types that cannot hold what `check` refused.

use fqdn_image::Pattern;
use fqdn_image::labels::Selector;
use std::fmt;

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `namespace/name`, or `name` for a cluster-wide one.
    pub id: String,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// What the workloads of one selector may do.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which workloads, the namespace included.
    pub subject: Selector,
    /// Whether it denies all else.
    pub default_deny: bool,
    /// What it allows.
    pub egress: Vec<Egress>,
}

/// Destinations and ports.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Where to.
    pub to: Destination,
    /// Ports; none = all.
    pub ports: Vec<PortRule>,
}

/// Where a rule leads.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Everywhere.
    Anywhere,
    /// Nowhere: an empty list, or what cannot be known here.
    Nowhere,
    /// What these names resolve to.
    Names(Vec<Pattern>),
    /// These addresses.
    Addresses(Vec<CidrSet>),
    /// The resolver entries of this mask, and nothing else.
    Resolvers(u32),
}

/// Ports, and for DNS the names that may be asked.
#[derive(Clone, Debug)]
pub struct PortRule {
    /// Ports, at least one range.
    pub ports: Vec<Ports>,
    /// Names; `None` = the rule does not speak of DNS.
    pub dns: Option<Vec<Pattern>>,
}

/// Ports of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// IP protocol number.
    pub proto: u16,
    /// First port.
    pub low: u16,
    /// Last port.
    pub high: u16,
}

/// A prefix. INVARIANT: no bit is set behind `length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// First address, IPv4 as `::ffff:a.b.c.d`.
    pub address: u128,
    /// Length over 128 bits.
    pub length: u8,
}

/// A prefix without some inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidrSet {
    /// The prefix.
    pub cidr: Cidr,
    /// Left out.
    pub except: Vec<Cidr>,
}

/// Where IPv4 lies among the 128-bit addresses.
const V4: u128 = 0xffff_0000_0000;

impl Cidr {
    /// Every IPv4 address.
    pub const ALL_V4: Cidr = Cidr { address: V4, length: 96 };
    /// Every address, IPv4's among them.
    pub const ALL: Cidr = Cidr { address: 0, length: 0 };

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

impl fmt::Display for CidrSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        for except in &self.except {
            write!(f, " except {except}")?;
        }
        Ok(())
    }
}

/// Addresses as they are in an image: a text and disjoint ranges, ascending.
pub type Ranges = Vec<(u128, u128)>;

/// The ranges of a prefix without these others.
pub fn subtract(cidr: Cidr, holes: &[Cidr]) -> Ranges {
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

/// The cluster's facts, checked.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What it says, line by line, for dump and status.
    pub text: Vec<String>,
    /// Entries; the position is the bit in masks.
    pub resolvers: Vec<Resolver>,
    /// Prefixes of pods and services.
    pub cluster: Vec<Cidr>,
    /// Whether traffic to them is left to the CNI.
    pub delegate: bool,
    /// Addresses of the host.
    pub host: Vec<Cidr>,
    /// Least, most and added seconds.
    pub ttl: [u32; 3],
    /// Prefixes that no answer may teach.
    pub never_learn: Vec<Cidr>,
    /// There is a profile, not only defaults.
    pub given: bool,
}

/// A resolver entry.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// How it is called: `namespace/labels`.
    pub name: String,
    /// Labels of its pods, the namespace's among them.
    pub labels: fqdn_image::labels::Labels,
    /// Addresses; none = those that the loader is told.
    pub addresses: Vec<Cidr>,
    /// Ports.
    pub ports: Vec<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(Cidr::parse("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(Cidr::parse("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert!(Cidr::parse("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(Cidr::parse("10.0.0.0/33").is_err() && Cidr::parse("fd00::/129").is_err());
        let cidr = |t| Cidr::parse(t).unwrap();
        let ranges = subtract(cidr("10.0.0.0/24"), &[cidr("10.0.0.0/32"), cidr("10.0.0.128/25")]);
        assert_eq!(ranges, vec![(cidr("10.0.0.1").address, cidr("10.0.0.127").address)]);
        assert_eq!(subtract(Cidr::ALL, &[]).len(), 2, "::/0 leaves IPv4 out");
        assert!(subtract(cidr("10.0.0.0/24"), &[cidr("10.0.0.0/8")]).is_empty());
    }
}
