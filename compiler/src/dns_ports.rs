//! Which ports are DNS: there names are judged, and nothing else passes. One answer for everything that asks.

use crate::policy::{Policy, Ports, Profile};
use std::collections::BTreeSet;

/// Port of DNS (RFC 1035 section 4.2).
const DNS: u16 = 53;

/// Of the protocols that carry DNS, TCP and UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsPorts(BTreeSet<u16>);

impl DnsPorts {
    /// Those of the profile's resolvers, and 53: a server elsewhere may be asked there.
    pub fn of_profile(profile: &Profile) -> Self {
        DnsPorts(profile.resolvers.iter().flat_map(|resolver| &resolver.ports).copied().chain([DNS]).collect())
    }

    /// And those of which some rule says what may be asked there.
    pub fn of(profile: &Profile, policies: &[Policy]) -> Self {
        let mut ports = Self::of_profile(profile);
        let egress = policies.iter().flat_map(|policy| &policy.rules).flat_map(|rule| &rule.egress);
        let named = egress.flat_map(|egress| &egress.ports).filter(|rule| rule.dns.is_some());
        ports.0.extend(named.flat_map(|rule| &rule.ports).map(|ports| ports.low));
        ports
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }

    /// Each of these ranges' ports that is DNS.
    pub fn among<'a>(&'a self, ranges: &'a [Ports]) -> impl Iterator<Item = Ports> + 'a {
        let carried = ranges.iter().filter(|range| carries(range));
        carried.flat_map(|range| self.0.range(range.low..=range.high).map(|port| Ports { low: *port, high: *port, ..*range }))
    }

    /// Nothing but DNS is among the range's ports.
    pub fn is_all_of(&self, range: &Ports) -> bool {
        carries(range) && (range.low..=range.high).all(|port| self.0.contains(&port))
    }
}

fn carries(range: &Ports) -> bool {
    [6, 17].contains(&range.proto)
}
