//! Rules to tables: numbers for everything that the kernel reads.

use crate::addresses::Ranges;
use crate::automaton::{self, Classes, OverBudget};
use crate::document::Refuse;
use crate::lower::{Rules, Servers, Usage, What};
use crate::policy::Profile;
use fqdn_image::Pattern;
use fqdn_image::abi::{self, Grant, PortRange, Resolver};
use fqdn_image::tables::{Locality, SelectorText, Tables};
use std::collections::{BTreeMap, BTreeSet};

/// Why rules fit into no tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// Wildcards overlap too much.
    Budget(OverBudget),
    /// More than the format holds: what, and how many it holds.
    TooMany(&'static str, usize),
}

/// The grants of `SELECTOR_SERVER`, in their place: after those of the selectors before it.
fn add_servers(grants: &mut Vec<Grant>, grants_n: &mut [u32]) {
    let asks = |grant: &&Grant| grant.servers != 0 && grant.servers != abi::SERVERS_DENY;
    let key = |grant: &Grant| (grant.subject, grant.servers, grant.ports);
    let mut servers: Vec<Grant> = grants.iter().filter(asks).copied().collect();
    servers.sort_unstable_by_key(|g| (key(g), g.policy));
    servers.dedup_by_key(|g| key(g));
    let at: u32 = grants_n[..abi::SELECTOR_SERVER as usize - 1].iter().sum();
    grants_n[abi::SELECTOR_SERVER as usize - 1] = servers.len() as u32;
    grants.splice(at as usize..at as usize, servers);
}

/// The tables of an image.
pub fn plan(rules: &Rules, profile: &Profile) -> Result<Tables, PlanError> {
    let limit = |what, n: usize, most: usize| if n > most { Err(PlanError::TooMany(what, most)) } else { Ok(()) };
    limit("DNS ports", rules.dns_ports.len(), abi::DNS_PORTS as usize)?;
    limit(
        "bytes in one label selector",
        rules.subjects.iter().map(|(s, _)| s.to_string().len()).max().unwrap_or(0),
        usize::from(u16::MAX),
    )?;

    let star = rules.patterns.iter().position(Pattern::is_everything);
    // INVARIANT: `*` sorts before every other text.
    let patterns = &rules.patterns[star.map_or(0, |at| at + 1)..];
    let star = star.is_some();
    let first_names = abi::SELECTOR_SERVER + 1;
    let first_addresses = first_names + patterns.len() as u32;
    let selectors_n = first_addresses - 1 + rules.addresses.len() as u32;
    let name_selector = |n: u32| match (star, n) {
        (true, 0) => abi::SELECTOR_STAR,
        (true, n) => first_names + n - 1,
        (false, n) => first_names + n,
    };
    let address_selector = |n: u32| first_addresses + n;

    let mut selectors = vec![
        SelectorText::AnyName,
        SelectorText::Names(Pattern::everything()),
        SelectorText::Addresses("(never learned)".into(), Locality::Any),
        SelectorText::Names(Pattern::everything()),
    ];
    selectors.extend(patterns.iter().cloned().map(SelectorText::Names));
    selectors.extend(rules.addresses.iter().map(|set| SelectorText::Addresses(set.text.clone(), set.locality)));

    // INVARIANT: rules are sorted by what they are about, in the order of the selectors.
    let mut grants_n = vec![0u32; selectors_n as usize];
    let mut grants: Vec<Grant> = Vec::with_capacity(rules.grants.len());
    for about in rules.grants.chunk_by(|a, b| a.what == b.what) {
        let selector = match about[0].what {
            What::AnyName => abi::SELECTOR_ANY,
            What::Names(n) => name_selector(n),
            What::Addresses(n) => address_selector(n),
        };
        let first = grants.len();
        grants_n[selector as usize - 1] = about.len() as u32;
        grants.extend(about.iter().map(|grant| Grant {
            subject: grant.subject.map_or(abi::SUBJECT_ALL, |s| s + 1),
            ports: grant.ports,
            servers: match grant.usage {
                Usage::Reach => 0,
                Usage::Deny => abi::SERVERS_DENY,
                Usage::Ask(Servers::Resolvers(mask)) => mask,
                Usage::Ask(Servers::Addresses(n)) => abi::SERVERS_CIDR | address_selector(n),
            },
            policy: grant.policy,
        }));
        grants[first..].sort_unstable_by_key(|g| (g.subject, g.servers, g.ports, g.policy));
    }

    add_servers(&mut grants, &mut grants_n);

    let mut classes = Classes::new(selectors_n);
    let automaton = automaton::build(patterns, first_names, &mut classes).map_err(PlanError::Budget)?;
    let mut ranges: Vec<(&Ranges, u32)> =
        rules.addresses.iter().zip(first_addresses..).map(|(set, id)| (&set.ranges, id)).collect();
    let never: Ranges = rules.never.iter().map(|cidr| cidr.range()).collect();
    ranges.push((&never, abi::SELECTOR_NEVER));
    let intervals = intervals(&ranges, &mut classes);
    limit("selectors that match one name", classes.rows.iter().map(Vec::len).max().unwrap_or(0), abi::CLASS_MAX as usize)?;

    let mut subjects = vec![(String::new(), 0)];
    subjects.extend(rules.subjects.iter().map(|(selector, stance)| {
        let deny = if stance.default_deny { abi::SUBJECT_DEFAULT_DENY } else { 0 };
        (selector.to_string(), (deny | if stance.denies { abi::SUBJECT_DENIES } else { 0 }) as u16)
    }));
    let sets = rules
        .ports
        .iter()
        .map(|set| set.iter().map(|p| PortRange { proto: p.proto, low: p.low, high: p.high, pad: 0 }).collect())
        .collect();
    Ok(Tables {
        flags: flags(rules, profile, star),
        ttl: profile.ttl,
        dns_ports: rules.dns_ports.clone(),
        automaton,
        classes: classes.rows,
        selectors,
        grants_n,
        grants,
        sets,
        intervals,
        subjects,
        policies: rules.policies.clone(),
        resolvers: resolvers(profile),
        profile: profile.text.join("\n"),
        patterns: rules.patterns.len() as u32,
    })
}

fn flags(rules: &Rules, profile: &Profile, star: bool) -> u32 {
    let set = |flag, on| if on { flag } else { 0 };
    let refuse = match profile.refuse {
        Refuse::Drop => 0,
        Refuse::Nxdomain => 1,
        Refuse::Nodata => 2,
        Refuse::Refused => 3,
    };
    set(abi::IMAGE_STAR, star)
        | set(abi::IMAGE_CHAIN, profile.chain)
        | set(abi::IMAGE_UPDATES, profile.updates)
        | set(abi::IMAGE_DENY, rules.subjects.iter().any(|(_, stance)| stance.denies))
        | refuse << abi::IMAGE_REFUSE_SHIFT
}

/// Where one address's class ends and the next begins.
fn intervals(ranges: &[(&Ranges, u32)], classes: &mut Classes) -> Vec<(u128, u32)> {
    let mut edges: Vec<(u128, bool, u32)> = Vec::new();
    for (list, selector) in ranges {
        for (low, high) in *list {
            edges.push((*low, true, *selector));
            if let Some(behind) = high.checked_add(1) {
                edges.push((behind, false, *selector));
            }
        }
    }
    edges.sort_unstable();
    let mut open: BTreeSet<u32> = BTreeSet::new();
    let mut depth: BTreeMap<u32, u32> = BTreeMap::new();
    let mut out: Vec<(u128, u32)> = vec![(0, 0)];
    let mut rest = edges.as_slice();
    while let Some((at, _, _)) = rest.first() {
        let here = rest.iter().take_while(|(a, _, _)| a == at).count();
        for (_, opens, selector) in &rest[..here] {
            let count = depth.entry(*selector).or_default();
            *count = if *opens { *count + 1 } else { count.saturating_sub(1) };
            if *count > 0 {
                open.insert(*selector)
            } else {
                open.remove(selector)
            };
        }
        let class = classes.number(open.iter().copied().collect());
        match out.last_mut() {
            Some(last) if last.0 == *at => last.1 = class,
            Some(last) if last.1 == class => {}
            _ => out.push((*at, class)),
        }
        rest = &rest[here..];
    }
    out
}

fn resolvers(profile: &Profile) -> Vec<Resolver> {
    let mut out = Vec::new();
    for (entry, resolver) in profile.resolvers.iter().enumerate() {
        for cidr in &resolver.addresses {
            out.push(Resolver {
                addr: cidr.address.to_be_bytes(),
                prefix: u32::from(cidr.length),
                entry: entry as u32,
                pad: [0; 2],
            });
        }
    }
    out
}
