//! Ports, cut where sets of them begin and end.

use crate::abi::PortRange;
use crate::dump;
use std::collections::BTreeSet;

/// Ports of one protocol that no set at hand tells apart: protocol, first and last port.
pub type Atom = (u16, u16, u16);

/// Stands for every protocol that no range names.
pub(crate) const OTHER: u16 = u16::MAX;

/// Every port of the atom is in the set.
pub(crate) fn holds(set: &[PortRange], (proto, low, high): Atom) -> bool {
    set.is_empty() || set.iter().any(|r| r.proto == proto && r.low <= low && high <= r.high)
}

/// Some port of the atom is in the set.
pub(crate) fn touches(set: &[PortRange], (proto, low, high): Atom) -> bool {
    set.is_empty() || set.iter().any(|r| r.proto == proto && r.low <= high && low <= r.high)
}

/// The ports of a set, cut where any of the others begins or ends; no ranges = every port of every protocol.
pub(crate) fn atoms(ports: &[PortRange], cuts: &[&Vec<PortRange>]) -> Vec<Atom> {
    let mut whole: Vec<Atom> = ports.iter().map(|r| (r.proto, r.low, r.high)).collect();
    if whole.is_empty() {
        let protocols: BTreeSet<u16> = cuts.iter().flat_map(|set| set.iter().map(|r| r.proto)).chain([6, 17, 132]).collect();
        whole.extend(protocols.into_iter().map(|proto| (proto, 0, u16::MAX)));
        whole.push((OTHER, 0, u16::MAX));
    }
    let mut out = Vec::new();
    for (proto, low, high) in whole {
        let inside = |at: u32| u32::from(low) < at && at <= u32::from(high);
        let mut starts: BTreeSet<u32> = BTreeSet::from([u32::from(low)]);
        for range in cuts.iter().flat_map(|set| set.iter()).filter(|r| r.proto == proto) {
            starts.extend([u32::from(range.low), u32::from(range.high) + 1].into_iter().filter(|at| inside(*at)));
        }
        let starts: Vec<u32> = starts.into_iter().collect();
        for (i, start) in starts.iter().enumerate() {
            let end = starts.get(i + 1).map_or(u32::from(high), |next| next - 1);
            out.push((proto, *start as u16, end as u16));
        }
    }
    out
}

/// How they read together.
pub fn atoms_text(atoms: &[Atom]) -> String {
    let mut sorted = atoms.to_vec();
    sorted.sort_unstable();
    let mut joined: Vec<Atom> = Vec::new();
    for (proto, low, high) in sorted {
        match joined.last_mut() {
            Some(last) if last.0 == proto && u32::from(last.2) + 1 == u32::from(low) => last.2 = high,
            _ => joined.push((proto, low, high)),
        }
    }
    let all = [6, 17, 132, OTHER].iter().all(|proto| joined.contains(&(*proto, 0, u16::MAX)));
    if all {
        return "any".into();
    }
    let texts: Vec<String> = joined
        .iter()
        .map(|(proto, low, high)| match *proto {
            OTHER => "other protocols".into(),
            proto => dump::ports_text(&[PortRange { proto, low: *low, high: *high, pad: 0 }]),
        })
        .collect();
    texts.join(",")
}
