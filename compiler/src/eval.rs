//! The reference: verdicts straight from the rules, slow and obvious. Image walk and kernel must agree with it.

use crate::lower::{Grant, Rules, Servers, Usage, What};
use fqdn_image::WireName;
use fqdn_image::judge::{Port, Verdict};
use fqdn_image::labels::Labels;
use fqdn_image::tables::Locality;
use std::fmt;

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, whatever the name's address is.
    Allow,
    /// No, likewise.
    Deny,
    /// One address of the name is allowed, another is not.
    Depends,
}

impl From<&Verdict> for Answer {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Allow(..) | Verdict::NotSelected => Answer::Allow,
            Verdict::Deny(_) | Verdict::DeniedBy(_) => Answer::Deny,
            Verdict::Depends(..) => Answer::Depends,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Allow => "allow",
            Answer::Deny => "deny",
            Answer::Depends => "depends",
        })
    }
}

/// A question about a workload.
#[derive(Clone, Debug)]
pub enum Question {
    /// May it ask any resolver for this name?
    Resolve(WireName),
    /// May it connect to what this name resolved to, whatever that is of what an answer may teach?
    ReachName(WireName, Port),
    /// May it connect to what the first of these names resolved to, by CNAMEs that led through the others?
    ReachChain(Vec<WireName>, Port),
    /// May it connect to this address?
    ReachAddress(u128, Port),
    /// And to this one, which the name resolved to?
    ReachAt(WireName, u128, Port),
}

impl Rules {
    /// Whether a rule selects the workload and denies by default.
    pub fn enforced(&self, labels: &Labels) -> bool {
        self.subjects.iter().any(|(selector, stance)| stance.default_deny && selector.selects(labels))
    }

    /// The answer, and the policies that allow.
    pub fn answer(&self, labels: &Labels, question: &Question) -> (Answer, Vec<&str>) {
        if let Question::ReachAt(name, address, port) = question {
            let (by_name, mut policies) = self.decide(labels, &Question::ReachName(name.clone(), *port));
            let (by_address, more) = self.decide(labels, &Question::ReachAddress(*address, *port));
            policies.extend(more);
            let allowed = (by_name || by_address) && !self.is_denied(labels, *address, *port);
            return (if allowed { Answer::Allow } else { Answer::Deny }, if allowed { policies } else { Vec::new() });
        }
        let (Question::ReachName(_, port) | Question::ReachChain(_, port)) = question else {
            let (allowed, policies) = self.decide(labels, question);
            return (if allowed { Answer::Allow } else { Answer::Deny }, policies);
        };
        let (by_name, mut policies) = self.decide(labels, question);
        let (mut some, mut all) = (false, true);
        for address in self.samples() {
            let by_address = Question::ReachAddress(address, *port);
            let (allowed, by) = self.decide(labels, &by_address);
            let denied = self.denied(labels, &by_address);
            let reached = !denied && (by_name || allowed);
            (some, all) = (some | reached, all & reached);
            policies.extend(by);
        }
        policies.sort_unstable();
        policies.dedup();
        match (some, all) {
            (true, true) => (Answer::Allow, policies),
            (true, false) => (Answer::Depends, policies),
            (false, _) => (Answer::Deny, Vec::new()),
        }
    }

    /// What rules about names alone say.
    pub fn names_reach(&self, labels: &Labels, name: &WireName, port: Port) -> bool {
        self.decide(labels, &Question::ReachName(name.clone(), port)).0
    }

    /// Whether a rule denies the address.
    pub fn is_denied(&self, labels: &Labels, address: u128, port: Port) -> bool {
        self.denied(labels, &Question::ReachAddress(address, port))
    }

    /// An address of each kind that rules tell apart, of those that an answer may teach.
    fn samples(&self) -> Vec<u128> {
        let never: Vec<(u128, u128)> = self.never.iter().map(|cidr| cidr.range()).collect();
        let ranges = self.addresses.iter().flat_map(|set| &set.ranges).chain(&never);
        let mut starts: Vec<u128> = ranges.flat_map(|(low, high)| [Some(*low), high.checked_add(1)]).flatten().collect();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        starts.retain(|address| !never.iter().any(|(low, high)| (*low..=*high).contains(address)));
        starts
    }

    fn denied(&self, labels: &Labels, question: &Question) -> bool {
        let ours = |grant: &&Grant| grant.subject.is_none_or(|s| self.subjects[s as usize].0.selects(labels));
        self.grants.iter().filter(ours).any(|grant| self.denies(grant, question))
    }

    /// Of one address, or of what rules about names say.
    fn decide(&self, labels: &Labels, question: &Question) -> (bool, Vec<&str>) {
        let ours = |grant: &&Grant| grant.subject.is_none_or(|s| self.subjects[s as usize].0.selects(labels));
        if self.denied(labels, question) {
            return (false, Vec::new());
        }
        let mut policies: Vec<&str> = self
            .grants
            .iter()
            .filter(ours)
            .filter(|grant| self.allows(grant, question))
            .map(|grant| self.policies[grant.policy as usize].as_str())
            .collect();
        policies.sort_unstable();
        policies.dedup();
        (!self.enforced(labels) || !policies.is_empty(), policies)
    }

    fn denies(&self, grant: &Grant, question: &Question) -> bool {
        let Question::ReachAddress(address, port) = question else { return false };
        let inside = matches!(grant.what, What::Addresses(n) if self.holds(n, *address));
        grant.usage == Usage::Deny && inside && self.ports_hold(grant.ports, *port)
    }

    fn allows(&self, grant: &Grant, question: &Question) -> bool {
        match question {
            Question::Resolve(name) => matches!(grant.usage, Usage::Ask(_)) && self.names(grant.what, name),
            Question::ReachName(name, port) | Question::ReachAt(name, _, port) => self.reaches(grant, name, *port),
            Question::ReachChain(names, port) => {
                let credited = if self.chain { names.len() } else { 1 };
                names.iter().take(credited).any(|name| self.reaches(grant, name, *port))
            }
            Question::ReachAddress(address, port) if self.is_dns(*port) => {
                let server = matches!(grant.usage, Usage::Ask(Servers::Addresses(n)) if self.holds(n, *address));
                server && grant.what == What::AnyName && self.ports_hold(grant.ports, *port)
            }
            Question::ReachAddress(address, port) => {
                let inside = matches!(grant.what, What::Addresses(n) if self.holds(n, *address));
                grant.usage == Usage::Reach && inside && self.ports_hold(grant.ports, *port)
            }
        }
    }

    fn reaches(&self, grant: &Grant, name: &WireName, port: Port) -> bool {
        grant.usage == Usage::Reach && !self.is_dns(port) && self.names(grant.what, name) && self.ports_hold(grant.ports, port)
    }

    fn is_dns(&self, port: Port) -> bool {
        self.dns_ports.contains(&port.port)
    }

    fn names(&self, what: What, name: &WireName) -> bool {
        match what {
            What::AnyName => true,
            What::Names(n) => self.patterns[n as usize].matches(name),
            What::Addresses(_) => false,
        }
    }

    /// Offline no address is this host's.
    fn holds(&self, addresses: u32, address: u128) -> bool {
        let set = &self.addresses[addresses as usize];
        set.locality != Locality::Here && set.ranges.iter().any(|(low, high)| (*low..=*high).contains(&address))
    }

    fn ports_hold(&self, set: u32, port: Port) -> bool {
        let set = &self.ports[set as usize];
        set.is_empty() || set.iter().any(|p| p.proto == port.proto && (p.low..=p.high).contains(&port.port))
    }
}
