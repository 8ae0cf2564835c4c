//! From class to verdict, on the image's bytes. `ebpf/lib/judge.h` takes the same steps.

use crate::abi::{self, Grant, PortRange};
use crate::decode::Image;
use crate::labels::{Labels, Selector};
use crate::name::WireName;
use crate::ports::{self, Atom};

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
    /// Allowed, by what kind of rule, of which policy.
    Allow(&'static str, String),
    /// No policy that denies by default selects the workload.
    NotSelected,
    /// Denied, for this reason.
    Deny(&'static str),
    /// Denied by this policy, whatever else allows.
    DeniedBy(String),
    /// One address of the name is allowed and another is not, for this reason, by this policy.
    Depends(&'static str, String),
}

impl Verdict {
    /// Whatever the address is.
    pub fn allows(&self) -> bool {
        matches!(self, Verdict::Allow(..) | Verdict::NotSelected)
    }

    /// Likewise.
    pub fn denies(&self) -> bool {
        matches!(self, Verdict::Deny(_) | Verdict::DeniedBy(_))
    }
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

/// Why something is allowed, and why it is not.
type Reasons = [&'static str; 2];
const BY_NAME: Reasons = ["name-rule", "name-not-allowed"];
const BY_ADDRESS: Reasons = ["address-rule", "address-not-allowed"];
const BY_SERVER: Reasons = ["address-rule", "dns-port"];

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
            BY_NAME,
        )
    }

    /// May the workload connect to what this name resolves to, whichever address that is? Addresses that no answer may teach are
    /// none that a name resolves to.
    pub fn may_reach(&self, subjects: &Subjects, name: &WireName, port: Port) -> Verdict {
        self.may_reach_chain(subjects, std::slice::from_ref(name), port)
    }

    /// The same of an answer whose CNAMEs led from the first of these names through the others.
    pub fn may_reach_chain(&self, subjects: &Subjects, names: &[WireName], port: Port) -> Verdict {
        let credited = if self.head.flags & abi::IMAGE_CHAIN == 0 { 1 } else { names.len() };
        let by_names = names.iter().take(credited).map(|name| self.by_name(subjects, name, port));
        let by_name = by_names.reduce(|best, other| if best.denies() { other } else { best });
        self.anywhere(by_name.unwrap_or(Verdict::Deny("no-name")), |selectors| self.at_address(subjects, selectors, port))
    }

    /// May the workload connect to this address, which the name resolved to?
    pub fn may_reach_at(&self, subjects: &Subjects, name: &WireName, address: u128, port: Port) -> Verdict {
        match self.may_reach_address(subjects, address, port) {
            Verdict::Deny(_) => self.by_name(subjects, name, port),
            by_address => by_address,
        }
    }

    /// By rules about names alone.
    fn by_name(&self, subjects: &Subjects, name: &WireName, port: Port) -> Verdict {
        if self.is_dns_port(port) {
            return if subjects.enforced { Verdict::Deny("dns-port") } else { Verdict::NotSelected };
        }
        let selectors = self.patterns_of(name);
        self.verdict(subjects, &selectors, |grant| self.reaches(grant, port), BY_NAME)
    }

    /// What packets to every address that an answer may teach meet, `by_name` being what rules about names say of them.
    fn anywhere(&self, by_name: Verdict, by_address: impl Fn(&[u32]) -> Verdict) -> Verdict {
        let (mut allowed, mut denied, mut neither) = (None, None, false);
        for class in self.address_classes() {
            let selectors = self.selectors_elsewhere(class);
            if selectors.contains(&abi::SELECTOR_NEVER) {
                continue;
            }
            match by_address(&selectors) {
                Verdict::DeniedBy(policy) => denied = denied.or(Some(policy)),
                Verdict::Allow(_, policy) => allowed = allowed.or(Some(policy)),
                _ => neither = true,
            }
        }
        match (by_name.denies(), allowed, denied) {
            (false, None, Some(policy)) if !neither => Verdict::DeniedBy(policy),
            (false, _, Some(policy)) => Verdict::Depends("denied", policy),
            (false, _, None) => by_name,
            (true, None, Some(policy)) if !neither => Verdict::DeniedBy(policy),
            (true, None, _) => by_name,
            (true, Some(policy), None) if !neither => Verdict::Allow("address-rule", policy),
            (true, Some(policy), _) => Verdict::Depends("address-rule", policy),
        }
    }

    /// May the workload connect to this address, were no name learned for it?
    pub fn may_reach_address(&self, subjects: &Subjects, address: u128, port: Port) -> Verdict {
        self.at_address(subjects, &self.address_selectors(address), port)
    }

    fn at_address(&self, subjects: &Subjects, selectors: &[u32], port: Port) -> Verdict {
        if self.is_dns_port(port) && self.denial(subjects, selectors, port).is_none() {
            let server = |grant: &Grant| {
                grant.servers & abi::SERVERS_CIDR != 0
                    && selectors.contains(&(grant.servers & !abi::SERVERS_CIDR))
                    && self.holds(grant.ports, port)
            };
            return self.verdict(subjects, &[abi::SELECTOR_ANY], server, BY_SERVER);
        }
        self.by_address(subjects, selectors, port)
    }

    fn by_address(&self, subjects: &Subjects, selectors: &[u32], port: Port) -> Verdict {
        if let Some(policy) = self.denial(subjects, selectors, port) {
            return Verdict::DeniedBy(self.policy(policy).to_owned());
        }
        self.verdict(subjects, selectors, |grant| self.reaches(grant, port), BY_ADDRESS)
    }

    /// Port sets of every grant to reach what this name resolves to.
    pub fn reach_sets(&self, subjects: &Subjects, name: &WireName) -> Vec<u32> {
        self.sets_of(subjects, self.patterns_of(name))
    }

    /// Ports at which packets to what a name resolves to are allowed, whatever the address is, and those at which that hangs on it.
    /// As if there were no DNS ports, of which rules for all ports would be full.
    pub fn reach_ports(&self, subjects: &Subjects, name: &WireName) -> (Vec<Atom>, Vec<Atom>) {
        let selectors = self.patterns_of(name);
        let (mut always, mut sometimes) = (Vec::new(), Vec::new());
        for atom in self.atoms_of(subjects) {
            let port = Port { proto: atom.0, port: atom.1 };
            let by_name = self.verdict(subjects, &selectors, |grant| self.reaches(grant, port), BY_NAME);
            match self.anywhere(by_name, |selectors| self.by_address(subjects, selectors, port)) {
                Verdict::Depends(..) => sometimes.push(atom),
                verdict if verdict.allows() => always.push(atom),
                _ => {}
            }
        }
        (always, sometimes)
    }

    /// Every port, cut where a grant of the workload's begins or ends that is not about asking.
    fn atoms_of(&self, subjects: &Subjects) -> Vec<Atom> {
        let mut sets: Vec<u32> = (1..=self.rows.selectors_n)
            .flat_map(|selector| self.grants(selector))
            .filter(|grant| [0, abi::SERVERS_DENY].contains(&grant.servers) && subjects.ids.contains(&grant.subject))
            .map(|grant| grant.ports)
            .collect();
        sets.sort_unstable();
        sets.dedup();
        let ranges: Vec<Vec<PortRange>> = sets.into_iter().map(|set| self.ports(set)).collect();
        ports::atoms(&[], &ranges.iter().collect::<Vec<_>>())
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

    fn address_selectors(&self, address: u128) -> Vec<u32> {
        self.selectors_elsewhere(self.address_class(address))
    }

    /// Selectors of addresses that are not this host's own, which no image can tell.
    fn selectors_elsewhere(&self, class: u32) -> Vec<u32> {
        let mut selectors = self.class(class);
        selectors.retain(|id| u32::from(self.selector(*id).kind) != abi::KIND_HERE);
        selectors
    }

    /// Policy of a grant that denies, whatever else allows.
    fn denial(&self, subjects: &Subjects, selectors: &[u32], port: Port) -> Option<u32> {
        let hit = |grant: &Grant| {
            grant.servers == abi::SERVERS_DENY && subjects.ids.contains(&grant.subject) && self.holds(grant.ports, port)
        };
        let mut grants = selectors.iter().filter(|_| subjects.denies).flat_map(|selector| self.grants(*selector));
        grants.find(hit).map(|grant| grant.policy)
    }

    fn is_dns_port(&self, port: Port) -> bool {
        self.dns_ports().any(|p| p == port.port)
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

    fn verdict(&self, subjects: &Subjects, selectors: &[u32], allows: impl Fn(&Grant) -> bool, [yes, no]: Reasons) -> Verdict {
        if !subjects.enforced {
            return Verdict::NotSelected;
        }
        for selector in selectors {
            for subject in &subjects.ids {
                if let Some(grant) = self.grants(*selector).find(|g| g.subject == *subject && allows(g)) {
                    return Verdict::Allow(yes, self.policy(grant.policy).to_owned());
                }
            }
        }
        Verdict::Deny(no)
    }
}
