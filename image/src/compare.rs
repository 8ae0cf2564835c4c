//! What one image allows that another does not, for every subject, by meaning: patterns that overlap, ports and
//! prefixes that are cut up otherwise, and rules that moved to another policy make no difference.
//!
//! INVARIANT: nothing that is wider is left out; where the exact answer is too hard it is called wider, without an
//! example. (A workload that bears one label from two sources is not thought of where selectors name no source.)

use crate::abi::{self, Grant, PortRange};
use crate::decode::Image;
use crate::difference::{Difference, difference};
use crate::dump;
use crate::labels::Selector;
use crate::pattern::{Label, Pattern};
use crate::ports::{Atom, atoms, atoms_text, holds, touches};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// One thing that is allowed in one image only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Whose.
    pub subject: String,
    /// What.
    pub access: Access,
}

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// All that no rule allows: default deny is gone.
    Everything,
    /// To send to what these names resolve to.
    Reach {
        /// The pattern, or addresses.
        what: String,
        /// Ports.
        ports: String,
        /// A name that shows it.
        example: Option<String>,
    },
    /// To ask for these names.
    Resolve {
        /// The pattern.
        what: String,
        /// Servers.
        servers: String,
        /// Ports.
        ports: String,
        /// A name that shows it.
        example: Option<String>,
    },
    /// To send to addresses that were denied.
    NoLongerDenied {
        /// The addresses.
        what: String,
        /// Ports.
        ports: String,
    },
    /// A line of the profile that only this image has.
    Profile(String),
}

/// Both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What the new image allows and the old one does not.
    pub widened: Vec<Change>,
    /// What the old image allows and the new one does not.
    pub narrowed: Vec<Change>,
}

impl Comparison {
    /// Nothing differs.
    pub fn is_same(&self) -> bool {
        self.widened.is_empty() && self.narrowed.is_empty()
    }
}

/// What changed between two images.
pub fn compare(old: &Image, new: &Image) -> Comparison {
    if old.digest() == new.digest() {
        return Comparison::default();
    }
    let mut terms = Terms::default();
    let (old, new) = (Side::of(old, &mut terms), Side::of(new, &mut terms));
    let mut comparison = Comparison { widened: added(&old, &new, &terms), narrowed: added(&new, &old, &terms) };
    // What a changed profile does besides its grants (whose answers teach, for how long) is not weighed: it is shown,
    // and called wider.
    let lines = |from: &Side<'_>, to: &Side<'_>, mark: &str| -> Vec<Change> {
        let have: HashSet<&str> = from.image.profile().lines().collect();
        let fresh = to.image.profile().lines().filter(|line| !have.contains(line));
        fresh.map(|line| Change { subject: "profile".into(), access: Access::Profile(format!("{mark} {line}")) }).collect()
    };
    // A port that is DNS no longer is reached by names as any other.
    let dns = |from: &Side<'_>, to: &Side<'_>| -> Vec<Change> {
        let gone = from.image.dns_ports().filter(|port| !to.image.dns_ports().any(|p| p == *port));
        let line =
            |port| Access::Profile(format!("port {port} is no DNS port: rules for all ports, or for this one, hold there"));
        gone.map(|port| Change { subject: EVERYONE.into(), access: line(port) }).collect()
    };
    comparison.widened.extend(dns(&old, &new));
    comparison.narrowed.extend(dns(&new, &old));
    comparison.widened.extend(lines(&new, &old, "-"));
    comparison.widened.extend(lines(&old, &new, "+"));
    comparison
}

/// Port sets, servers and sets of addresses of both images under common numbers.
#[derive(Default)]
struct Terms {
    addresses: BTreeMap<(u16, Vec<(u128, u128)>), u32>,
    ports: BTreeMap<Vec<(u16, u16, u16)>, u32>,
    servers: BTreeMap<String, u32>,
}

impl Terms {
    fn servers_text(&self, number: u32) -> &str {
        self.servers.iter().find(|(_, n)| **n == number).map_or("", |(text, _)| text)
    }
}

/// Numbers below are those of `Terms`.
const REACH: u32 = 0;
const DENY: u32 = 1;
const FIRST_SERVERS: u32 = 2;

/// A grant without its policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Plain {
    selector: u32,
    usage: u32,
    ports: u32,
}

struct Side<'a> {
    image: &'a Image,
    /// Text, selector, flags and distinct grants of each subject.
    subjects: Vec<(Selector, u16, Vec<Plain>)>,
    numbers: HashMap<&'a str, usize>,
    /// Ranges of each port set, by its common number.
    ports: HashMap<u32, Vec<PortRange>>,
    /// Common number and ranges of each selector of addresses.
    addresses: HashMap<u32, (u32, Vec<(u128, u128)>)>,
}

const EVERYONE: &str = "(every workload)";

impl<'a> Side<'a> {
    fn of(image: &'a Image, terms: &mut Terms) -> Self {
        let mut ports = HashMap::new();
        let sets: Vec<u32> = (0..image.rows.sets_n)
            .map(|set| {
                let ranges = image.ports(set);
                let key = ranges.iter().map(|r| (r.proto, r.low, r.high)).collect();
                let next = terms.ports.len() as u32;
                let number = *terms.ports.entry(key).or_insert(next);
                ports.insert(number, ranges);
                number
            })
            .collect();
        let mut subjects = Vec::new();
        let mut numbers = HashMap::new();
        for i in 0..image.texts.subjects_n {
            let (text, flags) = image.subject(i);
            let text = if i == abi::SUBJECT_ALL { EVERYONE } else { text };
            let selector = if i == abi::SUBJECT_ALL { Selector::default() } else { Selector::of_image(text) };
            numbers.insert(text, subjects.len());
            subjects.push((selector, flags, Vec::new()));
        }
        let mut usages: HashMap<u32, u32> = HashMap::from([(0, REACH), (abi::SERVERS_DENY, DENY)]);
        for id in (1..=image.rows.selectors_n).filter(|id| *id != abi::SELECTOR_SERVER) {
            for Grant { subject, ports, servers, .. } in image.grants(id) {
                let usage = *usages.entry(servers).or_insert_with(|| {
                    let next = FIRST_SERVERS + terms.servers.len() as u32;
                    *terms.servers.entry(dump::servers_text(image, servers)).or_insert(next)
                });
                let grants = &mut subjects[subject as usize].2;
                let plain = Plain { selector: id, usage, ports: sets[ports as usize] };
                if grants.last() != Some(&plain) {
                    grants.push(plain);
                }
            }
        }
        let mut addresses: HashMap<u32, (u32, Vec<(u128, u128)>)> = HashMap::new();
        for (selector, ranges) in ranges_of(image) {
            let kind = image.selector(selector).kind;
            let next = terms.addresses.len() as u32;
            let number = *terms.addresses.entry((kind, ranges.clone())).or_insert(next);
            addresses.insert(selector, (number, ranges));
        }
        Side { image, subjects, numbers, ports, addresses }
    }

    /// Subjects that select every workload that this selector selects.
    fn above(&self, selector: &Selector) -> Vec<usize> {
        (0..self.subjects.len()).filter(|i| *i == 0 || selector.implies(&self.subjects[*i].0)).collect()
    }

    fn flag(&self, subjects: &[usize], flag: u32) -> bool {
        subjects.iter().any(|i| u32::from(self.subjects[*i].1) & flag != 0)
    }

    /// A grant by its meaning, to be compared with those of the other side.
    fn key(&self, grant: &Plain) -> (&'a str, u32, u32, u32) {
        match self.addresses.get(&grant.selector) {
            Some((number, _)) => ("", *number, grant.usage, grant.ports),
            None => (self.image.selector_text(grant.selector), u32::MAX, grant.usage, grant.ports),
        }
    }

    fn ranges(&self, selector: u32) -> &[(u128, u128)] {
        self.addresses.get(&selector).map_or(&[], |(_, ranges)| ranges)
    }
}

/// What `to` allows and `from` does not.
fn added(from: &Side<'_>, to: &Side<'_>, terms: &Terms) -> Vec<Change> {
    let mut changes = BTreeSet::new();
    let mut texts: Vec<&str> = to.numbers.keys().chain(from.numbers.keys()).copied().collect();
    texts.sort_unstable();
    texts.dedup();
    for text in texts {
        let (theirs, ours) = (from.numbers.get(text), to.numbers.get(text));
        let have: HashSet<_> = theirs.iter().flat_map(|s| from.subjects[**s].2.iter().map(|g| from.key(g))).collect();
        let want: HashSet<_> = ours.iter().flat_map(|s| to.subjects[**s].2.iter().map(|g| to.key(g))).collect();
        let flags = |side: &Side<'_>, s: Option<&usize>| s.map(|s| side.subjects[*s].1);
        if have == want && flags(from, theirs) == flags(to, ours) {
            continue;
        }
        let selector = match (ours, theirs) {
            (Some(s), _) => &to.subjects[*s].0,
            (None, Some(s)) => &from.subjects[*s].0,
            (None, None) => continue,
        };
        let (below_from, below_to) = (from.above(selector), to.above(selector));
        let change = |access| Change { subject: text.to_owned(), access };
        let was_closed = from.flag(&below_from, abi::SUBJECT_DEFAULT_DENY);
        if was_closed && !to.flag(&below_to, abi::SUBJECT_DEFAULT_DENY) {
            changes.insert(change(Access::Everything));
        }
        let reads = Reads { from, to, terms, selector, below: &below_from, below_to: &below_to };
        for access in reads.no_longer_denied() {
            changes.insert(change(access));
        }
        // Who was not closed before could do everything, unless another subject closes some of the same workloads.
        let closed_elsewhere = || {
            from.subjects
                .iter()
                .any(|(other, flags, _)| u32::from(*flags) & abi::SUBJECT_DEFAULT_DENY != 0 && !other.seems_apart(selector))
        };
        let Some(ours) = ours.filter(|_| was_closed || closed_elsewhere()) else { continue };
        let fresh: Vec<&Plain> = to.subjects[*ours].2.iter().filter(|g| g.usage != DENY && !have.contains(&to.key(g))).collect();
        for access in reads.fresh(&fresh) {
            changes.insert(change(access));
        }
    }
    changes.into_iter().collect()
}

struct Reads<'s, 'a> {
    from: &'s Side<'a>,
    to: &'s Side<'a>,
    terms: &'s Terms,
    selector: &'s Selector,
    /// Subjects of `from` above the one at hand.
    below: &'s [usize],
    /// And of `to`.
    below_to: &'s [usize],
}

impl Reads<'_, '_> {
    /// Grants of the subjects above in `from`, of one usage.
    fn baseline(&self, usage: u32) -> Vec<&Plain> {
        self.below.iter().flat_map(|s| &self.from.subjects[*s].2).filter(|grant| grant.usage == usage).collect()
    }

    fn fresh(&self, grants: &[&Plain]) -> Vec<Access> {
        let mut out = Vec::new();
        let mut usages: Vec<u32> = grants.iter().map(|g| g.usage).collect();
        usages.sort_unstable();
        usages.dedup();
        for usage in usages {
            let base = Baseline::of(self, usage);
            let need = if usage == REACH { learned_anywhere(self.to) } else { Vec::new() };
            let mut open: HashMap<Atom, bool> = HashMap::new();
            for grant in grants.iter().filter(|grant| grant.usage == usage) {
                let what = self.to.image.selector_text(grant.selector).to_owned();
                let names = u32::from(self.to.image.selector(grant.selector).kind) == abi::KIND_NAMES;
                let mut atoms = base.atoms(&self.to.ports[&grant.ports]);
                if usage == REACH {
                    // Nothing is reached at a DNS port.
                    let dns = |(proto, low, high): &Atom| {
                        [6, 17].contains(proto) && (*low..=*high).all(|port| self.to.image.dns_ports().any(|dns| dns == port))
                    };
                    atoms.retain(|atom| !dns(atom));
                }
                if names && usage == REACH {
                    // What a name leads to was reached by its address already, or is denied now.
                    let leads_on = |atom| {
                        first_outside(&need, &merged(base.reached(atom), self.denied_now(atom, abi::KIND_ELSEWHERE))).is_some()
                    };
                    atoms.retain(|atom| *open.entry(*atom).or_insert_with(|| leads_on(*atom)));
                }
                let found = if names { base.names(&what, grant.selector, atoms) } else { self.addresses(grant, &base, atoms) };
                for (atoms, example) in found {
                    let ports = atoms_text(&atoms);
                    out.push(if usage == REACH {
                        Access::Reach { what: what.clone(), ports, example }
                    } else {
                        let servers = self.terms.servers_text(usage).to_owned();
                        Access::Resolve { what: what.clone(), servers, ports, example }
                    });
                }
            }
        }
        out
    }

    /// What `to` denies to every workload at hand, of addresses of this kind.
    fn denied_now(&self, atom: Atom, local: u32) -> Vec<(u128, u128)> {
        let grants = self.below_to.iter().flat_map(|s| &self.to.subjects[*s].2).filter(|g| g.usage == DENY);
        let grants = grants.filter(|g| covers_kind(kind(self.to, g), local) && holds(&self.to.ports[&g.ports], atom));
        grants.flat_map(|g| self.to.ranges(g.selector).to_vec()).collect()
    }

    /// What some workload at hand may be let reach by `to`, were nothing denied.
    fn opened_now(&self, atom: Atom) -> Vec<(u128, u128)> {
        if !self.to.flag(self.below_to, abi::SUBJECT_DEFAULT_DENY) {
            return vec![(0, u128::MAX)];
        }
        let near = self.to.subjects.iter().enumerate().filter(|(i, (other, ..))| *i == 0 || !other.seems_apart(self.selector));
        let grants = near.flat_map(|(_, (_, _, grants))| grants).filter(|g| g.usage != DENY);
        let mut ranges = Vec::new();
        for grant in grants.filter(|g| touches(&self.to.ports[&g.ports], atom)) {
            // Servers that may be asked: where the resolvers are no image says.
            if grant.usage != REACH {
                return vec![(0, u128::MAX)];
            }
            if !self.reaches_at(&self.to.ports[&grant.ports], atom) {
                continue;
            }
            if kind(self.to, grant) == abi::KIND_NAMES {
                ranges.extend(learned_anywhere(self.to));
            } else {
                ranges.extend(self.to.ranges(grant.selector));
            }
        }
        merged(ranges, Vec::new())
    }

    /// Whether some port of the set in the atom is no DNS port: at one nothing is reached.
    fn reaches_at(&self, set: &[PortRange], (proto, low, high): Atom) -> bool {
        let is_dns = |port: u16| [6, 17].contains(&proto) && self.to.image.dns_ports().any(|dns| dns == port);
        let free = |low: u16, high: u16| (low..=high).any(|port| !is_dns(port));
        let inside = |range: &PortRange| range.proto == proto && range.low <= high && low <= range.high;
        if set.is_empty() { free(low, high) } else { set.iter().any(|r| inside(r) && free(r.low.max(low), r.high.min(high))) }
    }

    fn addresses(&self, grant: &Plain, base: &Baseline<'_>, atoms: Vec<Atom>) -> Vec<(Vec<Atom>, Option<String>)> {
        let own = self.to.ranges(grant.selector).to_vec();
        let local = kind(self.to, grant);
        let mut found: Vec<(Vec<Atom>, Option<String>)> = Vec::new();
        for atom in atoms {
            let mut holes: Vec<(u128, u128)> = base
                .grants
                .iter()
                .filter(|g| base.holds(g, atom) && covers_kind(kind(self.from, g), local))
                .flat_map(|g| self.from.ranges(g.selector).to_vec())
                .collect();
            holes.extend(self.denied_now(atom, local));
            holes.sort_unstable();
            if let Some(first) = first_outside(&own, &holes) {
                add(&mut found, atom, Some(address_text(first)));
            }
        }
        found
    }

    /// What the subjects above deny in `from` and not in `to`.
    fn no_longer_denied(&self) -> Vec<Access> {
        let base = Baseline::of(self, DENY);
        let still: Vec<&Plain> = self.below_to.iter().flat_map(|s| &self.to.subjects[*s].2).filter(|g| g.usage == DENY).collect();
        let mut out = Vec::new();
        for grant in &base.grants {
            let own = self.from.ranges(grant.selector).to_vec();
            let cuts: Vec<&Vec<PortRange>> = still.iter().map(|g| &self.to.ports[&g.ports]).collect();
            let mut open: Vec<Atom> = Vec::new();
            for atom in atoms(&self.from.ports[&grant.ports], &cuts) {
                let mut holes: Vec<(u128, u128)> = still
                    .iter()
                    .filter(|g| holds(&self.to.ports[&g.ports], atom) && covers_kind(kind(self.to, g), kind(self.from, grant)))
                    .flat_map(|g| self.to.ranges(g.selector).to_vec())
                    .collect();
                holes.sort_unstable();
                let free = outside(&own, &holes);
                if overlap(&free, &self.opened_now(atom)) {
                    open.push(atom);
                }
            }
            if !open.is_empty() {
                let what = self.from.image.selector_text(grant.selector).to_owned();
                out.push(Access::NoLongerDenied { what, ports: atoms_text(&open) });
            }
        }
        out
    }
}

/// Grants of one usage that a workload has already.
struct Baseline<'s> {
    side: &'s Side<'s>,
    grants: Vec<&'s Plain>,
    /// Patterns by their two rightmost labels; those with a wildcard there under no key.
    patterns: HashMap<Option<String>, Vec<(Pattern, &'s Plain)>>,
    any_name: Vec<&'s Plain>,
    cuts: Vec<&'s Vec<PortRange>>,
}

impl<'s> Baseline<'s> {
    fn of(reads: &'s Reads<'_, '_>, usage: u32) -> Self {
        let side: &Side<'_> = reads.from;
        let grants = reads.baseline(usage);
        let mut patterns: HashMap<Option<String>, Vec<(Pattern, &Plain)>> = HashMap::new();
        let mut any_name = Vec::new();
        let mut sets: Vec<u32> = grants.iter().map(|g| g.ports).collect();
        sets.sort_unstable();
        sets.dedup();
        for grant in &grants {
            if u32::from(side.image.selector(grant.selector).kind) != abi::KIND_NAMES {
                continue;
            }
            if grant.selector == abi::SELECTOR_ANY {
                any_name.push(*grant);
            } else if let Ok(pattern) = Pattern::parse(side.image.selector_text(grant.selector)) {
                patterns.entry(tail(&pattern)).or_default().push((pattern, *grant));
            }
        }
        Baseline { side, any_name, cuts: sets.into_iter().map(|n| &side.ports[&n]).collect(), patterns, grants }
    }

    fn holds(&self, grant: &Plain, atom: Atom) -> bool {
        holds(&self.side.ports[&grant.ports], atom)
    }

    fn atoms(&self, ports: &[PortRange]) -> Vec<Atom> {
        atoms(ports, &self.cuts)
    }

    /// Addresses that rules by address reach: this host's own aside, which no answer teaches.
    fn reached(&self, atom: Atom) -> Vec<(u128, u128)> {
        let reached = self.grants.iter().filter(|g| kind(self.side, g) != abi::KIND_HERE && self.holds(g, atom));
        reached.flat_map(|g| self.side.ranges(g.selector).to_vec()).collect()
    }

    /// Ports at which the pattern matches a name that no pattern of the baseline matches there.
    fn names(&self, text: &str, selector: u32, atoms: Vec<Atom>) -> Vec<(Vec<Atom>, Option<String>)> {
        let mut found: Vec<(Vec<Atom>, Option<String>)> = Vec::new();
        let pattern = Pattern::parse(text).ok().filter(|_| selector != abi::SELECTOR_ANY);
        let mut known: Vec<(Vec<*const Plain>, Difference)> = Vec::new();
        for atom in atoms {
            if self.any_name.iter().any(|grant| self.holds(grant, atom)) {
                continue;
            }
            let Some(pattern) = &pattern else {
                add(&mut found, atom, Some("\\000".into())); // no pattern matches such a label
                continue;
            };
            let near = tail(pattern);
            let lists: Vec<&Vec<(Pattern, &Plain)>> = match &near {
                Some(_) => [self.patterns.get(&near), self.patterns.get(&None)].into_iter().flatten().collect(),
                None => self.patterns.values().collect(),
            };
            let others: Vec<&(Pattern, &Plain)> =
                lists.into_iter().flatten().filter(|(other, grant)| self.holds(grant, atom) && pattern.may_meet(other)).collect();
            let key: Vec<*const Plain> = others.iter().map(|(_, grant)| std::ptr::from_ref(*grant)).collect();
            let answer = match known.iter().find(|(k, _)| *k == key) {
                Some((_, answer)) => answer.clone(),
                None => {
                    let answer = difference(pattern, &others.iter().map(|(other, _)| other).collect::<Vec<_>>());
                    known.push((key, answer.clone()));
                    answer
                }
            };
            match answer {
                Difference::None => {}
                Difference::Name(name) => add(&mut found, atom, Some(name.to_string())),
                Difference::TooHard => add(&mut found, atom, None),
            }
        }
        found
    }
}

fn add(found: &mut Vec<(Vec<Atom>, Option<String>)>, atom: Atom, example: Option<String>) {
    match found.iter_mut().find(|(_, have)| *have == example) {
        Some((atoms, _)) => atoms.push(atom),
        None => found.push((vec![atom], example)),
    }
}

/// The two rightmost labels, if both are literal; a deep or short pattern may go beyond.
fn tail(pattern: &Pattern) -> Option<String> {
    let mut labels = pattern.labels().rev();
    match (labels.next(), labels.next()) {
        (Some(Label::Literal(a)), Some(Label::Literal(b))) => {
            Some(format!("{} {}", String::from_utf8_lossy(a), String::from_utf8_lossy(b)))
        }
        _ => None,
    }
}

/// What an answer may teach: all that is not on the image's list of addresses that it may not, and of that what rules name.
fn learned_anywhere(side: &Side<'_>) -> Vec<(u128, u128)> {
    let mut ranges = Vec::new();
    let mut from = Some(0);
    for (low, high) in side.ranges(abi::SELECTOR_NEVER) {
        ranges.extend(from.filter(|from| from < low).map(|from| (from, low - 1)));
        from = high.checked_add(1);
    }
    ranges.extend(from.map(|from| (from, u128::MAX)));
    let named = side.subjects.iter().flat_map(|(_, _, grants)| grants).filter(|grant| grant.usage == REACH);
    ranges.extend(named.flat_map(|grant| side.ranges(grant.selector).to_vec()));
    ranges.sort_unstable();
    ranges
}

fn kind(side: &Side<'_>, grant: &Plain) -> u32 {
    u32::from(side.image.selector(grant.selector).kind)
}

/// Sets of addresses without regard to the host hold what sets with one hold; the two with one are apart.
fn covers_kind(wide: u32, narrow: u32) -> bool {
    wide == abi::KIND_ADDRESSES || wide == narrow
}

/// The ranges of every selector of addresses, from the image's intervals.
fn ranges_of(image: &Image) -> BTreeMap<u32, Vec<(u128, u128)>> {
    let mut out: BTreeMap<u32, Vec<(u128, u128)>> = (1..=image.rows.selectors_n)
        .filter(|id| u32::from(image.selector(*id).kind) != abi::KIND_NAMES)
        .map(|id| (id, Vec::new()))
        .collect();
    for i in 0..image.rows.cidrs_n {
        let (start, class) = image.interval(i);
        let end = if i + 1 < image.rows.cidrs_n { image.interval(i + 1).0 - 1 } else { u128::MAX };
        for selector in image.class(class) {
            match out.get_mut(&selector) {
                Some(list) => match list.last_mut() {
                    Some(last) if last.1.checked_add(1) == Some(start) => last.1 = end,
                    _ => list.push((start, end)),
                },
                None => continue,
            }
        }
    }
    out
}

/// The first address of the ranges that lies in none of the holes, which are sorted.
fn first_outside(ranges: &[(u128, u128)], holes: &[(u128, u128)]) -> Option<u128> {
    outside(ranges, holes).first().map(|(low, _)| *low)
}

/// What of these ranges is in no hole; holes in order of their beginnings.
fn outside(ranges: &[(u128, u128)], holes: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut out = Vec::new();
    for (low, high) in ranges {
        let mut at = Some(*low);
        for (first, last) in holes {
            let Some(from) = at.filter(|from| from <= high) else { break };
            if *last < from {
                continue;
            }
            if *first > *high {
                break;
            }
            if *first > from {
                out.push((from, first - 1));
            }
            at = last.checked_add(1).map(|next| next.max(from));
        }
        out.extend(at.filter(|from| from <= high).map(|from| (from, *high)));
    }
    out
}

fn overlap(a: &[(u128, u128)], b: &[(u128, u128)]) -> bool {
    a.iter().any(|(low, high)| b.iter().any(|(first, last)| low <= last && first <= high))
}

/// Both lists, in order of their beginnings.
fn merged(mut a: Vec<(u128, u128)>, b: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    a.extend(b);
    a.sort_unstable();
    a
}

fn address_text(address: u128) -> String {
    let v6 = std::net::Ipv6Addr::from(address);
    v6.to_ipv4_mapped().map_or_else(|| v6.to_string(), |v4| v4.to_string())
}
