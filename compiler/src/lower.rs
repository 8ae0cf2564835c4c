//! Policies to rules: flat grants, canonical, sorted. What a rule means (contract) is decided here.

use crate::order::sort_by_bytes;
use crate::policy::{Cidr, CidrSet, Destination, Egress, Policy, PortRule, Ports, Profile, Ranges, subtract};
use fqdn_image::Pattern;
use fqdn_image::labels::Selector;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Port of DNS (RFC 1035 section 4.2).
const DNS: u16 = 53;

/// Every grant of every policy. Indexes are positions in the vectors here.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Distinct selectors and whether one of their rules denies by default.
    pub subjects: Vec<(Selector, bool)>,
    /// Distinct patterns and their canonical texts, sorted by text.
    pub patterns: Vec<(String, Pattern)>,
    /// Distinct sets of addresses, sorted by text: text and ranges.
    pub addresses: Vec<(String, Ranges)>,
    /// Distinct port sets, the first empty: every port.
    pub ports: Vec<Vec<Ports>>,
    /// Policies, sorted.
    pub policies: Vec<String>,
    /// The grants, sorted and distinct.
    pub grants: Vec<Grant>,
    /// DNS ports, ascending.
    pub dns_ports: Vec<u16>,
    /// Addresses that no answer may teach.
    pub never: Vec<Cidr>,
}

/// Somebody may use something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// What.
    pub what: What,
    /// Who; `None` = every workload.
    pub subject: Option<u32>,
    /// Which servers, for names that may be asked.
    pub servers: Option<Servers>,
    /// Ports.
    pub ports: u32,
    /// Policy that says so.
    pub policy: u32,
}

/// Names or addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Any name at all.
    AnyName,
    /// Names of a pattern.
    Names(u32),
    /// Addresses.
    Addresses(u32),
}

/// Servers that may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Servers {
    /// Resolver entries, a bit each.
    Resolvers(u32),
    /// These addresses.
    Addresses(u32),
}

/// Every resolver entry.
pub const ALL_RESOLVERS: u32 = (1 << fqdn_image::abi::RESOLVER_ENTRIES) - 1;

/// Loopback, this-network, link-local and metadata, multicast, reserved: built into never-learn.
const NEVER: &[&str] = &[
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "64:ff9b::7f00:0/104",
    "64:ff9b::a9fe:0/112",
    "fd00:ec2::254/128",
    "::/128",
    "::1/128",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

struct Lower<'a> {
    profile: &'a Profile,
    patterns: HashMap<String, (u32, Pattern)>,
    addresses: HashMap<String, (u32, Ranges)>,
    ports: HashMap<Vec<Ports>, u32>,
    grants: Vec<Grant>,
    dns_ports: BTreeSet<u16>,
}

/// The rules of all policies together.
pub fn lower(policies: &[Policy], profile: &Profile) -> Rules {
    let mut names: Vec<(&str, &Policy)> = policies.iter().map(|p| (p.id.as_str(), p)).collect();
    names.sort_by_key(|(id, _)| *id);
    let mut subjects: BTreeMap<&Selector, bool> = BTreeMap::new();
    let mut lower = Lower {
        profile,
        patterns: HashMap::new(),
        addresses: HashMap::new(),
        ports: HashMap::from([(Vec::new(), 0)]),
        grants: Vec::new(),
        dns_ports: profile.resolvers.iter().flat_map(|r| r.ports.iter().copied()).chain([DNS]).collect(),
    };
    if !profile.given {
        lower.dns_ports = [DNS].into();
    }
    for rule in policies.iter().flat_map(|p| &p.rules) {
        *subjects.entry(&rule.subject).or_default() |= rule.default_deny;
        for port_rule in rule.egress.iter().flat_map(|e| &e.ports).filter(|p| p.dns.is_some()) {
            lower.dns_ports.extend(port_rule.ports.iter().map(|p| p.low));
        }
    }
    let subject_numbers: HashMap<&Selector, u32> = subjects.keys().enumerate().map(|(i, s)| (*s, i as u32)).collect();
    let delegated = profile.delegate && !profile.cluster.is_empty();
    for (number, (_, policy)) in names.iter().enumerate() {
        for rule in &policy.rules {
            let subject = subject_numbers.get(&rule.subject).copied();
            for egress in &rule.egress {
                lower.egress(egress, subject, number as u32);
            }
        }
    }
    let mut policy_names: Vec<String> = names.into_iter().map(|(id, _)| id.to_owned()).collect();
    if delegated {
        let policy = policy_names.len() as u32;
        policy_names.push("profile/inCluster".into());
        for cidr in &profile.cluster {
            let what = lower.range_set(format!("{cidr}"), vec![cidr.range()]);
            lower.grants.push(Grant { what: What::Addresses(what), subject: None, servers: None, ports: 0, policy });
        }
    }
    let subjects = subjects.into_iter().map(|(selector, deny)| (selector.clone(), deny)).collect();
    lower.finish(subjects, policy_names)
}

impl Lower<'_> {
    fn pattern(&mut self, pattern: &Pattern) -> u32 {
        let next = self.patterns.len() as u32;
        self.patterns.entry(pattern.to_string()).or_insert_with(|| (next, pattern.clone())).0
    }

    fn range_set(&mut self, text: String, ranges: Ranges) -> u32 {
        let next = self.addresses.len() as u32;
        self.addresses.entry(text).or_insert((next, ranges)).0
    }

    fn port_set(&mut self, mut ports: Vec<Ports>) -> u32 {
        ports.sort_unstable();
        let mut merged: Vec<Ports> = Vec::new();
        for range in ports {
            match merged.last_mut() {
                Some(last) if last.proto == range.proto && u32::from(range.low) <= u32::from(last.high) + 1 => {
                    last.high = last.high.max(range.high)
                }
                _ => merged.push(range),
            }
        }
        let next = self.ports.len() as u32;
        *self.ports.entry(merged).or_insert(next)
    }

    /// Addresses that a prefix really opens: never the cluster's, never the host's.
    fn address_set(&mut self, set: &CidrSet) -> u32 {
        let mut holes = set.except.clone();
        holes.extend(
            self.profile
                .cluster
                .iter()
                .chain(&self.profile.host)
                .filter(|hole| set.cidr.contains(**hole) || hole.contains(set.cidr)),
        );
        self.range_set(set.to_string(), subtract(set.cidr, &holes))
    }

    fn everywhere(&mut self) -> Vec<u32> {
        let all = [Cidr::ALL_V4, Cidr::ALL].map(|cidr| CidrSet { cidr, except: Vec::new() });
        all.iter().map(|set| self.address_set(set)).collect()
    }

    fn egress(&mut self, egress: &Egress, subject: Option<u32>, policy: u32) {
        let add = |this: &mut Self, what: What, servers: Option<Servers>, ports: u32| {
            this.grants.push(Grant { what, subject, servers, ports, policy });
        };
        // Reaching: rules about DNS names open nothing but DNS; the kernel never reaches a DNS port this way.
        let plain: Vec<&PortRule> = egress.ports.iter().filter(|p| p.dns.is_none()).collect();
        if egress.ports.is_empty() || !plain.is_empty() {
            let set = self.port_set(plain.iter().flat_map(|p| p.ports.iter().copied()).collect());
            let whats: Vec<What> = match &egress.to {
                Destination::Nowhere | Destination::Resolvers(_) => Vec::new(),
                Destination::Anywhere => self.everywhere().into_iter().map(What::Addresses).collect(),
                Destination::Names(patterns) => patterns.iter().map(|p| What::Names(self.pattern(p))).collect(),
                Destination::Addresses(sets) => sets.iter().map(|s| What::Addresses(self.address_set(s))).collect(),
            };
            for what in whats {
                add(self, what, None, set);
            }
        }
        // Asking.
        let servers: Vec<Servers> = match &egress.to {
            Destination::Nowhere | Destination::Names(_) => return,
            Destination::Anywhere => vec![Servers::Resolvers(ALL_RESOLVERS)],
            Destination::Resolvers(mask) => vec![Servers::Resolvers(*mask)],
            Destination::Addresses(sets) => sets.iter().map(|s| Servers::Addresses(self.address_set(s))).collect(),
        };
        for rule in &egress.ports {
            let dns_ports: Vec<Ports> = match rule.dns {
                Some(_) => rule.ports.clone(),
                None => self.dns_ports_of(&rule.ports),
            };
            if dns_ports.is_empty() {
                continue;
            }
            let set = self.port_set(dns_ports);
            let whats: Vec<What> = match rule.dns.as_deref() {
                None | Some([]) => vec![What::AnyName],
                Some(patterns) => patterns.iter().map(|p| What::Names(self.pattern(p))).collect(),
            };
            for what in whats {
                for server in &servers {
                    add(self, what, Some(*server), set);
                }
            }
        }
        // A rule for the resolvers without any port names DNS by naming them.
        if egress.ports.is_empty()
            && let Destination::Resolvers(mask) = egress.to
        {
            let ports = [6, 17]
                .into_iter()
                .flat_map(|proto| self.dns_ports.iter().map(move |p| Ports { proto, low: *p, high: *p }))
                .collect();
            let set = self.port_set(ports);
            add(self, What::AnyName, Some(Servers::Resolvers(mask)), set);
        }
    }

    /// The DNS ports that these ranges name.
    fn dns_ports_of(&self, ranges: &[Ports]) -> Vec<Ports> {
        let udp_tcp = ranges.iter().filter(|r| r.proto == 6 || r.proto == 17);
        udp_tcp.flat_map(|r| self.dns_ports.range(r.low..=r.high).map(|p| Ports { proto: r.proto, low: *p, high: *p })).collect()
    }

    /// Numbers everything by its order, so that the order of the input leaves no trace (I4).
    fn finish(self, subjects: Vec<(Selector, bool)>, policies: Vec<String>) -> Rules {
        let (patterns, pattern_numbers) = ranked_texts(self.patterns);
        let (addresses, address_numbers) = ranked(self.addresses.into_iter().map(|(text, (n, ranges))| (text, n, ranges)));
        let (ports, port_numbers) = ranked(self.ports.into_iter().map(|(p, n)| (p, n, ())));
        let mut grants = self.grants;
        for grant in &mut grants {
            grant.what = match grant.what {
                What::AnyName => What::AnyName,
                What::Names(n) => What::Names(pattern_numbers[n as usize]),
                What::Addresses(n) => What::Addresses(address_numbers[n as usize]),
            };
            if let Some(Servers::Addresses(n)) = &mut grant.servers {
                *n = address_numbers[*n as usize];
            }
            grant.ports = port_numbers[grant.ports as usize];
        }
        grants.sort_unstable();
        grants.dedup();
        Rules {
            subjects,
            patterns,
            addresses,
            ports: ports.into_iter().map(|(p, ())| p).collect(),
            policies,
            grants,
            dns_ports: self.dns_ports.into_iter().collect(),
            never: NEVER.iter().filter_map(|t| Cidr::parse(t).ok()).chain(self.profile.never_learn.iter().copied()).collect(),
        }
    }
}

/// Patterns in order of their texts, and the new number of each old one.
fn ranked_texts(patterns: HashMap<String, (u32, Pattern)>) -> (Vec<(String, Pattern)>, Vec<u32>) {
    let mut items: Vec<(String, (u32, Pattern))> = patterns.into_iter().collect();
    sort_by_bytes(&mut items, |(text, _)| text.as_bytes());
    let mut numbers = vec![0; items.len()];
    for (rank, (_, (old, _))) in items.iter().enumerate() {
        numbers[*old as usize] = rank as u32;
    }
    (items.into_iter().map(|(text, (_, pattern))| (text, pattern)).collect(), numbers)
}

/// Items in order, and the new number of each old one.
fn ranked<K: Ord, V>(items: impl Iterator<Item = (K, u32, V)>) -> (Vec<(K, V)>, Vec<u32>) {
    let mut items: Vec<(K, u32, V)> = items.collect();
    items.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut numbers = vec![0; items.len()];
    for (rank, (_, old, _)) in items.iter().enumerate() {
        numbers[*old as usize] = rank as u32;
    }
    (items.into_iter().map(|(key, _, value)| (key, value)).collect(), numbers)
}
