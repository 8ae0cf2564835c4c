//! Policies to rules: flat grants, canonical, sorted. What a rule means (contract) is decided here.

use crate::addresses::{AddressSet, Cidr};
use crate::dns_ports::DnsPorts;
use crate::order::sorted_indexes;
use crate::policy::{Destination, Egress, Policy, PortRule, Ports, Profile};
use fqdn_image::Pattern;
use fqdn_image::labels::Selector;
use fqdn_image::tables::Locality;
use std::collections::{BTreeMap, HashMap};

/// Every grant of every policy. Indexes are positions in the vectors here.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Distinct selectors, and what their rules ask for.
    pub subjects: Vec<(Selector, Stance)>,
    /// Distinct patterns, sorted by text.
    pub patterns: Vec<Pattern>,
    /// Distinct sets of addresses, sorted by text.
    pub addresses: Vec<AddressSet>,
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
    /// An address is credited to every name of the chain that led to it, not to the question alone.
    pub chain: bool,
}

/// What the rules of one subject ask for besides their grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stance {
    /// All else is denied.
    pub default_deny: bool,
    /// Some grant denies.
    pub denies: bool,
}

/// Somebody may, or may not, use something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// What.
    pub what: What,
    /// Who; `None` = every workload.
    pub subject: Option<u32>,
    /// For what.
    pub usage: Usage,
    /// Ports.
    pub ports: u32,
    /// Policy that says so.
    pub policy: u32,
}

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Usage {
    /// To send to it.
    Reach,
    /// To ask these servers for it.
    Ask(Servers),
    /// To deny it, whatever else allows it.
    Deny,
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

/// Built into never-learn, with where each comes from.
const NEVER: &[&str] = &[
    // IANA's special-purpose registries: this network, loopback, link-local, multicast, reserved
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    // services of a cloud's own hosts, outside link-local: Azure's wire server; Alibaba's and Oracle's metadata
    "168.63.129.16/32",
    "100.100.100.200/32",
    "192.0.0.192/32",
    // over IPv6: Amazon's metadata and its credentials of EKS pods, Google's and Scaleway's metadata
    "fd00:ec2::254/128",
    "fd00:ec2::23/128",
    "fd20:ce::254/128",
    "fd00:42::42/128",
    // the same IPv4 addresses by the well-known prefix of NAT64 (RFC 6052) and by 6to4 (RFC 3056)
    "64:ff9b::/104",
    "64:ff9b::7f00:0/104",
    "64:ff9b::a9fe:0/112",
    "64:ff9b::e000:0/99",
    "64:ff9b::a83f:8110/128",
    "64:ff9b::6464:64c8/128",
    "64:ff9b::c000:c0/128",
    "2002::/24",
    "2002:7f00::/24",
    "2002:a9fe::/32",
    "2002:e000::/19",
    "2002:a83f:8110::/48",
    "2002:6464:64c8::/48",
    "2002:c000:c0::/48",
];

/// Rules while they are collected: numbers are those of the first meeting.
struct Lower<'a> {
    profile: &'a Profile,
    inside: Vec<Cidr>,
    patterns: Vec<Pattern>,
    addresses: HashMap<AddressSet, u32>,
    ports: HashMap<Vec<Ports>, u32>,
    grants: Vec<Grant>,
    dns_ports: DnsPorts,
}

/// The rules of all policies together.
pub fn lower(mut policies: Vec<Policy>, profile: &Profile) -> Rules {
    policies.sort_by(|a, b| a.id.cmp(&b.id));
    let mut subjects: BTreeMap<Selector, Stance> = BTreeMap::new();
    let mut lower = Lower {
        profile,
        inside: profile.inside(),
        patterns: Vec::new(),
        addresses: HashMap::new(),
        ports: HashMap::from([(Vec::new(), 0)]),
        grants: Vec::new(),
        dns_ports: DnsPorts::of(profile, &policies),
    };
    for rule in policies.iter().flat_map(|p| &p.rules) {
        if !subjects.contains_key(&rule.subject) {
            subjects.insert(rule.subject.clone(), Stance::default());
        }
        if let Some(stance) = subjects.get_mut(&rule.subject) {
            stance.default_deny |= rule.default_deny;
            stance.denies |= !rule.deny.is_empty() || !profile.ipv6;
        }
    }
    let subjects: Vec<(Selector, Stance)> = subjects.into_iter().collect();
    let mut names = Vec::with_capacity(policies.len() + 1);
    for (number, policy) in policies.into_iter().enumerate() {
        for rule in policy.rules {
            let by = By {
                subject: subjects.binary_search_by(|(selector, _)| selector.cmp(&rule.subject)).ok().map(|n| n as u32),
                policy: number as u32,
            };
            for egress in rule.egress {
                lower.egress(egress, by, policy.filter.as_deref());
            }
            for deny in rule.deny {
                let ports = lower.port_set(deny.ports);
                for set in deny.to {
                    let what = What::Addresses(lower.address_set(set));
                    lower.add(by, what, Usage::Deny, ports);
                }
            }
        }
        names.push(policy.id);
    }
    if profile.delegate && !profile.cluster.is_empty() {
        let by = By { subject: None, policy: names.len() as u32 };
        names.push("profile/inCluster".into());
        let cluster = AddressSet::group("clusterCIDRs", &profile.cluster, &[], Locality::Any);
        let what = What::Addresses(lower.address_set(cluster));
        lower.add(by, what, Usage::Reach, 0);
    }
    if !profile.ipv6 {
        // Neighbour discovery is no traffic of a workload's own, and is judged before this.
        let by = By { subject: None, policy: names.len() as u32 };
        names.push("profile/ipv6".into());
        let what = What::Addresses(lower.address_set(AddressSet::prefix(Cidr::ALL, &[], &[])));
        lower.add(by, what, Usage::Deny, 0);
    }
    lower.finish(subjects, names)
}

/// Who may, and who says so.
#[derive(Clone, Copy)]
struct By {
    subject: Option<u32>,
    policy: u32,
}

impl Lower<'_> {
    fn add(&mut self, by: By, what: What, usage: Usage, ports: u32) {
        self.grants.push(Grant { what, subject: by.subject, usage, ports, policy: by.policy });
    }

    fn pattern(&mut self, pattern: Pattern) -> What {
        self.patterns.push(pattern);
        What::Names(self.patterns.len() as u32 - 1)
    }

    fn address_set(&mut self, set: AddressSet) -> u32 {
        let next = self.addresses.len() as u32;
        *self.addresses.entry(set).or_insert(next)
    }

    fn port_set(&mut self, mut ports: Vec<Ports>) -> u32 {
        ports.sort_unstable();
        let mut merged: Vec<Ports> = Vec::with_capacity(ports.len());
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

    /// `filter` = all that may be asked where the rule does not say what.
    fn egress(&mut self, egress: Egress, by: By, filter: Option<&[Pattern]>) {
        // Asking: rules that name DNS ports, or name servers.
        let servers: Vec<Servers> = match &egress.to {
            Destination::Nowhere => return,
            Destination::Names(_) => Vec::new(),
            Destination::Anywhere => vec![Servers::Resolvers(ALL_RESOLVERS)],
            Destination::Resolvers(mask) => vec![Servers::Resolvers(*mask)],
            Destination::Addresses(sets) => sets.iter().map(|s| Servers::Addresses(self.address_set(s.clone()))).collect(),
        };
        for rule in &egress.ports {
            let (ports, names) = match &rule.dns {
                Some(names) => (rule.ports.clone(), Some(names.as_slice())),
                None => (self.dns_ports.among(&rule.ports).collect(), filter),
            };
            if !ports.is_empty() && !servers.is_empty() {
                self.ask(names, ports, &servers, by);
            }
        }
        // A rule for the resolvers without any port names DNS by naming them.
        if egress.ports.is_empty() && matches!(egress.to, Destination::Resolvers(_)) {
            let every = [6, 17].map(|proto| Ports { proto, low: 0, high: u16::MAX });
            let ports = self.dns_ports.among(&every).collect();
            self.ask(filter, ports, &servers, by);
        }
        // Reaching: rules about DNS names open nothing but DNS; the kernel never reaches a DNS port this way.
        let plain: Vec<&PortRule> = egress.ports.iter().filter(|p| p.dns.is_none()).collect();
        if !egress.ports.is_empty() && plain.is_empty() {
            return;
        }
        let ports = self.port_set(plain.iter().flat_map(|p| p.ports.iter().copied()).collect());
        let sets = match egress.to {
            Destination::Nowhere | Destination::Resolvers(_) => return,
            Destination::Names(patterns) => {
                for pattern in patterns {
                    let what = self.pattern(pattern);
                    self.add(by, what, Usage::Reach, ports);
                }
                return;
            }
            Destination::Anywhere => AddressSet::everywhere(&self.inside).to_vec(),
            Destination::Addresses(sets) => sets,
        };
        for set in sets {
            let what = What::Addresses(self.address_set(set));
            self.add(by, what, Usage::Reach, ports);
        }
    }

    fn ask(&mut self, names: Option<&[Pattern]>, ports: Vec<Ports>, servers: &[Servers], by: By) {
        let set = self.port_set(ports);
        let whats: Vec<What> = match names {
            None | Some([]) => vec![What::AnyName],
            Some(patterns) => patterns.iter().map(|p| self.pattern(p.clone())).collect(),
        };
        for what in whats {
            for server in servers {
                self.add(by, what, Usage::Ask(*server), set);
            }
        }
    }

    /// Numbers everything by its order, so that the order of the input leaves no trace (I4).
    fn finish(self, subjects: Vec<(Selector, Stance)>, policies: Vec<String>) -> Rules {
        let (patterns, pattern_numbers) = ranked_patterns(&self.patterns);
        let (addresses, address_numbers) = ranked(self.addresses.into_iter().map(|(set, number)| (set, number, ())));
        let (ports, port_numbers) = ranked(self.ports.into_iter().map(|(p, n)| (p, n, ())));
        let mut grants = self.grants;
        for grant in &mut grants {
            grant.what = match grant.what {
                What::AnyName => What::AnyName,
                What::Names(n) => What::Names(pattern_numbers[n as usize]),
                What::Addresses(n) => What::Addresses(address_numbers[n as usize]),
            };
            if let Usage::Ask(Servers::Addresses(n)) = &mut grant.usage {
                *n = address_numbers[*n as usize];
            }
            grant.ports = port_numbers[grant.ports as usize];
        }
        grants.sort_unstable();
        grants.dedup();
        Rules {
            chain: self.profile.chain,
            subjects,
            patterns,
            addresses: addresses.into_iter().map(|(set, ())| set).collect(),
            ports: ports.into_iter().map(|(p, ())| p).collect(),
            policies,
            grants,
            dns_ports: self.dns_ports.iter().collect(),
            never: NEVER
                .iter()
                .filter_map(|t| Cidr::parse(t).ok())
                .chain(self.profile.never_learn.iter().copied())
                .chain(self.inside)
                .collect(),
        }
    }
}

/// The distinct patterns in order of their texts, and the number of each given one among them.
fn ranked_patterns(given: &[Pattern]) -> (Vec<Pattern>, Vec<u32>) {
    let mut distinct: Vec<Pattern> = Vec::with_capacity(given.len());
    let mut numbers = vec![0; given.len()];
    for index in sorted_indexes(given.len() as u32, |i| given[i as usize].text().as_bytes()) {
        let pattern = &given[index as usize];
        if distinct.last() != Some(pattern) {
            distinct.push(pattern.clone());
        }
        numbers[index as usize] = distinct.len() as u32 - 1;
    }
    (distinct, numbers)
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
