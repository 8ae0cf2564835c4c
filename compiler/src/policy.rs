//! Policies as they are meant: types that cannot hold what `check` refused.

use crate::addresses::{AddressSet, Cidr};
use crate::document::Refuse;
use fqdn_image::Pattern;
use fqdn_image::labels::Selector;
use std::collections::BTreeMap;

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `namespace/name`, or `name` for a cluster-wide one.
    pub id: String,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Another policy for the same workloads would change its meaning.
    pub alone: bool,
    /// The only names that may be asked where it opens a way to DNS servers: a filter, which no other policy may undo.
    pub filter: Option<Vec<Pattern>>,
}

/// What the workloads of one selector may do.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which workloads, the namespace included.
    pub subject: Selector,
    /// Whether it denies all else.
    pub default_deny: bool,
    /// What it allows.
    pub egress: Vec<Egress>,
    /// What it denies, whatever else allows it.
    pub deny: Vec<Deny>,
}

/// Addresses and ports that nothing opens.
#[derive(Clone, Debug)]
pub struct Deny {
    /// Which addresses.
    pub to: Vec<AddressSet>,
    /// Ports; none = all.
    pub ports: Vec<Ports>,
}

/// Destinations and ports.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Where to.
    pub to: Destination,
    /// Ports; none = all.
    pub ports: Vec<PortRule>,
}

/// Where a rule leads.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Everywhere.
    Anywhere,
    /// Nowhere: an empty list, or what cannot be known here.
    Nowhere,
    /// What these names resolve to.
    Names(Vec<Pattern>),
    /// These addresses.
    Addresses(Vec<AddressSet>),
    /// The resolver entries of this mask, and nothing else.
    Resolvers(u32),
}

/// Ports, and for DNS the names that may be asked.
#[derive(Clone, Debug)]
pub struct PortRule {
    /// Ports, at least one range.
    pub ports: Vec<Ports>,
    /// Names; `None` = the rule does not speak of DNS.
    pub dns: Option<Vec<Pattern>>,
}

/// Ports of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// IP protocol number.
    pub proto: u16,
    /// First port.
    pub low: u16,
    /// Last port.
    pub high: u16,
}

/// The cluster's facts, checked.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What it says, line by line, for dump and status.
    pub text: Vec<String>,
    /// Entries; the position is the bit in masks.
    pub resolvers: Vec<Resolver>,
    /// Prefixes of pods and services.
    pub cluster: Vec<Cidr>,
    /// Whether traffic to them is left to the CNI.
    pub delegate: bool,
    /// Addresses behind entities.
    pub entities: BTreeMap<String, Vec<Cidr>>,
    /// Whether there is IPv6. If not, all of it is refused but neighbour discovery.
    pub ipv6: bool,
    /// Least, most and added seconds.
    pub ttl: [u32; 3],
    /// Prefixes that no answer may teach.
    pub never_learn: Vec<Cidr>,
    /// Every name on a chain is credited, not only the question.
    pub chain: bool,
    /// Messages of other opcodes than QUERY may go to resolvers.
    pub updates: bool,
    /// How a query is refused.
    pub refuse: Refuse,
    /// There is a profile, not only defaults.
    pub given: bool,
}

impl Profile {
    /// Whether traffic inside the cluster is the CNI's: a profile says so, and says which prefixes are inside.
    pub fn leaves_inside(&self) -> bool {
        self.given && self.delegate && !self.cluster.is_empty()
    }

    /// What neither a prefix nor an entity covers: the cluster's prefixes and its nodes.
    pub fn inside(&self) -> Vec<Cidr> {
        let nodes = ["host", "remote-node"].into_iter().filter_map(|name| self.entities.get(name)).flatten();
        self.cluster.iter().chain(nodes).copied().collect()
    }
}

/// A resolver entry.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// How it is called: `namespace/labels`.
    pub name: String,
    /// Labels of its pods, the namespace's among them.
    pub labels: fqdn_image::labels::Labels,
    /// Addresses; none = those that the loader is told.
    pub addresses: Vec<Cidr>,
    /// Ports.
    pub ports: Vec<u16>,
}
