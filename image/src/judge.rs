//! From class to verdict, on the image's bytes. `ebpf/lib/judge.h` takes the same steps.

use crate::abi::{self, Grant};
use crate::decode::Image;
use crate::labels::{Labels, Selector};
use crate::name::WireName;

/// A port and its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// IP protocol number.
    pub proto: u16,
    /// Port.
    pub port: u16,
}

/// What the policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed by this policy.
    Allow(String),
    /// No policy that denies by default selects the workload.
    NotSelected,
    /// Denied, for this reason.
    Deny(&'static str),
}

/// The subjects of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    /// Subject ids, ascending, `SUBJECT_ALL` first.
    pub ids: Vec<u32>,
    /// One of them denies by default.
    pub enforced: bool,
    /// One of them denies something.
    pub denies: bool,
}

impl Image {
    /// Which subjects a workload belongs to.
    pub fn subjects_of(&self, labels: &Labels) -> Subjects {
        let mut subjects = Subjects { ids: vec![abi::SUBJECT_ALL], enforced: false, denies: false };
        for id in 1..self.texts.subjects_n {
            let (text, flags) = self.subject(id);
            if Selector::of_image(text).selects(labels) {
                subjects.ids.push(id);
                subjects.enforced |= u32::from(flags) & abi::SUBJECT_DEFAULT_DENY != 0;
                subjects.denies |= u32::from(flags) & abi::SUBJECT_DENIES != 0;
            }
        }
        subjects
    }

    /// May the workload ask some resolver for this name?
    pub fn may_resolve(&self, subjects: &Subjects, name: &WireName) -> Verdict {
        self.verdict(
            subjects,
            &self.selectors_of(name),
            |grant| grant.servers != 0 && grant.servers != abi::SERVERS_DENY,
            "name-not-allowed",
        )
    }

    /// May the workload connect to an address that this name resolved to?
    pub fn may_reach(&self, subjects: &Subjects, name: &WireName, port: Port) -> Verdict {
        if self.dns_ports().any(|p| p == port.port) {
            return if subjects.enforced { Verdict::Deny("dns-port") } else { Verdict::NotSelected };
        }
        let selectors = self.patterns_of(name);
        self.verdict(subjects, &selectors, |grant| self.reaches(grant, port), "name-not-allowed")
    }

    /// The same of an answer whose CNAMEs led from the first of these names through the others.
    pub fn may_reach_chain(&self, subjects: &Subjects, names: &[WireName], port: Port) -> Verdict {
        let credited = if self.head.flags & abi::IMAGE_CHAIN == 0 { 1 } else { names.len() };
        let verdicts = names.iter().take(credited).map(|name| self.may_reach(subjects, name, port));
        let denied = |verdict: &Verdict| matches!(verdict, Verdict::Deny(_));
        verdicts.reduce(|best, other| if denied(&best) { other } else { best }).unwrap_or(Verdict::Deny("no-name"))
    }

    /// May the workload connect to this address, were no name learned for it?
    pub fn may_reach_address(&self, subjects: &Subjects, address: u128, port: Port) -> Verdict {
        let selectors = self.address_selectors(address);
        if self.denies(subjects, &selectors, port) {
            return Verdict::Deny("denied");
        }
        if self.dns_ports().any(|p| p == port.port) {
            let server = |grant: &Grant| {
                grant.servers & abi::SERVERS_CIDR != 0
                    && selectors.contains(&(grant.servers & !abi::SERVERS_CIDR))
                    && self.holds(grant.ports, port)
            };
            return self.verdict(subjects, &[abi::SELECTOR_ANY], server, "dns-port");
        }
        self.verdict(subjects, &selectors, |grant| self.reaches(grant, port), "address-not-allowed")
    }

    /// Port sets of every grant to reach what this name resolves to.
    pub fn reach_sets(&self, subjects: &Subjects, name: &WireName) -> Vec<u32> {
        self.sets_of(subjects, self.patterns_of(name))
    }

    fn sets_of(&self, subjects: &Subjects, selectors: Vec<u32>) -> Vec<u32> {
        let mut sets: Vec<u32> = selectors
            .into_iter()
            .flat_map(|selector| self.grants(selector))
            .filter(|grant| grant.servers == 0 && subjects.ids.contains(&grant.subject))
            .map(|grant| grant.ports)
            .collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// Port sets of every grant to reach this address.
    pub fn address_sets(&self, subjects: &Subjects, address: u128) -> Vec<u32> {
        self.sets_of(subjects, self.address_selectors(address))
    }

    /// Port sets at which this address is denied.
    pub fn denied_sets(&self, subjects: &Subjects, address: u128) -> Vec<u32> {
        let mut sets: Vec<u32> = self
            .address_selectors(address)
            .into_iter()
            .flat_map(|selector| self.grants(selector))
            .filter(|grant| grant.servers == abi::SERVERS_DENY && subjects.ids.contains(&grant.subject))
            .map(|grant| grant.ports)
            .collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// Selectors of an address that is not this host's own, which no image can tell.
    fn address_selectors(&self, address: u128) -> Vec<u32> {
        let mut selectors = self.class(self.address_class(address));
        selectors.retain(|id| u32::from(self.selector(*id).kind) != abi::KIND_HERE);
        selectors
    }

    /// Does a grant deny, whatever else allows?
    fn denies(&self, subjects: &Subjects, selectors: &[u32], port: Port) -> bool {
        let hit = |grant: &Grant| {
            grant.servers == abi::SERVERS_DENY && subjects.ids.contains(&grant.subject) && self.holds(grant.ports, port)
        };
        subjects.denies && selectors.iter().any(|selector| self.grants(*selector).any(|grant| hit(&grant)))
    }

    /// Class of an address.
    pub fn address_class(&self, address: u128) -> u32 {
        let (mut low, mut high) = (0, self.rows.cidrs_n);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.interval(middle).0 <= address { low = middle } else { high = middle }
        }
        self.interval(low).1
    }

    fn reaches(&self, grant: &Grant, port: Port) -> bool {
        grant.servers == 0 && self.holds(grant.ports, port)
    }

    fn holds(&self, set: u32, port: Port) -> bool {
        set == abi::PORTS_ANY
            || self.ports(set).iter().any(|range| range.proto == port.proto && (range.low..=range.high).contains(&port.port))
    }

    fn verdict(&self, subjects: &Subjects, selectors: &[u32], allows: impl Fn(&Grant) -> bool, why: &'static str) -> Verdict {
        if !subjects.enforced {
            return Verdict::NotSelected;
        }
        for selector in selectors {
            for subject in &subjects.ids {
                if let Some(grant) = self.grants(*selector).find(|g| g.subject == *subject && allows(g)) {
                    return Verdict::Allow(self.policy(grant.policy).to_owned());
                }
            }
        }
        Verdict::Deny(why)
    }
}
