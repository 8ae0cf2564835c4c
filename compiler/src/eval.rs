//! The reference: verdicts straight from the rules, slow and obvious. Image walk and kernel must agree with it.

use crate::lower::{Grant, Rules, Servers, Usage, What};
use fqdn_image::WireName;
use fqdn_image::judge::Port;
use fqdn_image::labels::Labels;
use fqdn_image::tables::Locality;

/// A question about a workload.
#[derive(Clone, Debug)]
pub enum Question {
    /// May it ask any resolver for this name?
    Resolve(WireName),
    /// May it connect to what this name resolved to?
    ReachName(WireName, Port),
    /// May it connect to what the first of these names resolved to, by CNAMEs that led through the others?
    ReachChain(Vec<WireName>, Port),
    /// May it connect to this address?
    ReachAddress(u128, Port),
}

impl Rules {
    /// Whether a rule selects the workload and denies by default.
    pub fn enforced(&self, labels: &Labels) -> bool {
        self.subjects.iter().any(|(selector, stance)| stance.default_deny && selector.selects(labels))
    }

    /// The answer, and the policies that allow.
    pub fn answer(&self, labels: &Labels, question: &Question) -> (bool, Vec<&str>) {
        let ours = |grant: &&Grant| grant.subject.is_none_or(|s| self.subjects[s as usize].0.selects(labels));
        if self.grants.iter().filter(ours).any(|grant| self.denies(grant, question)) {
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
            Question::ReachName(name, port) => self.reaches(grant, name, *port),
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
