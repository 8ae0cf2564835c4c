//! Destinations: names, addresses, and the endpoints that mean the resolvers.

use super::{At, Check, namespace_values};
use crate::addresses::{AddressSet, Cidr};
use crate::diagnostic::Code;
use crate::dns_ports::DnsPorts;
use crate::document::{CidrRule, EgressRule, LabelSelector, NameOrPattern};
use crate::entity::{self, EntityError};
use crate::policy::{Destination, PortRule};
use crate::source::Span;
use fqdn_image::Pattern;
use fqdn_image::labels::{NAMESPACE, Requirement};
use fqdn_image::pattern::PatternError;

impl Check<'_> {
    pub(crate) fn destination(&mut self, at: At<'_>, rule: &EgressRule, ports: &[PortRule]) -> Option<Destination> {
        if let Some(key) = ["toFQDNs", "toCIDR", "toCIDRSet", "toEndpoints", "toEntities"]
            .into_iter()
            .find(|key| at.node.get(key).is_some_and(super::is_null))
        {
            return Some(self.or_nothing(at, key, true, Destination::Nowhere));
        }
        if let Some(names) = &rule.to_fqdns {
            let dns_ports = DnsPorts::of_profile(self.profile);
            let dns = |rule: &PortRule| rule.dns.is_some() || rule.ports.iter().all(|ports| dns_ports.is_all_of(ports));
            if ports.iter().any(dns) {
                self.say(
                    Code::DnsByName,
                    at,
                    at.name("toFQDNs"),
                    "DNS beside `toFQDNs` is not allowed by it",
                    "servers are not found by name",
                    "write the rules.dns in a rule for the resolvers",
                );
            }
            let names = self.patterns(at.key("toFQDNs"), names)?;
            self.lint_names(at.key("toFQDNs"), &names, true);
            return Some(self.or_nothing(at, "toFQDNs", names.is_empty(), Destination::Names(names)));
        }
        if rule.to_cidr.is_some() || rule.to_cidr_set.is_some() {
            let addresses = self.addresses(at, rule.to_cidr.as_deref(), rule.to_cidr_set.as_deref())?;
            let key = if rule.to_cidr.is_some() { "toCIDR" } else { "toCIDRSet" };
            self.dns_elsewhere(at, key, ports);
            return Some(self.or_nothing(at, key, addresses.is_empty(), Destination::Addresses(addresses)));
        }
        if let Some(endpoints) = &rule.to_endpoints {
            return self.endpoints(at, endpoints);
        }
        if let Some(names) = &rule.to_entities {
            let addresses = self.entities(at, names)?;
            if names.iter().any(|name| name.starts_with("world") || name == "all") {
                self.dns_elsewhere(at, "toEntities", ports);
            }
            return Some(self.or_nothing(at, "toEntities", addresses.is_empty(), Destination::Addresses(addresses)));
        }
        if ports.iter().any(|p| p.dns.is_some()) {
            self.say(
                Code::DnsResolvers,
                at,
                at.name("toPorts"),
                "no destination: the resolvers are meant",
                "DNS of the resolvers",
                "add `toEndpoints` to name them",
            );
        }
        Some(Destination::Anywhere)
    }

    fn dns_elsewhere(&mut self, at: At<'_>, key: &str, ports: &[PortRule]) {
        if ports.iter().any(|p| p.dns.is_some()) {
            self.say(
                Code::DnsElsewhere,
                at,
                at.name(key),
                "answers of these servers teach nothing",
                "outside the resolver set",
                "list them as resolvers in the profile",
            );
        }
    }

    pub(crate) fn entities(&mut self, at: At<'_>, names: &[String]) -> Option<Vec<AddressSet>> {
        let list = at.key("toEntities");
        let mut out = Vec::new();
        let mut good = true;
        for (i, name) in names.iter().enumerate() {
            let error = match entity::addresses(name, self.profile) {
                Ok(set) => {
                    out.extend(set);
                    continue;
                }
                Err(error) => error,
            };
            let span = list.index(i).node.span;
            let shown = name.escape_default();
            match error {
                EntityError::Unknown => {
                    let known = [entity::BUILT_IN, entity::GROUPS].concat().join(", ");
                    self.say(Code::Entity, at, span, format!("`{shown}` is no entity"), "not known", format!("one of: {known}"));
                    good = false;
                }
                EntityError::NoGroup => {
                    let help = format!("list them in the profile: `entities: {{{shown}: [192.0.2.7]}}`");
                    let message = format!("the addresses of the entity `{shown}` are not known");
                    self.say(Code::Entity, at, span, message, "no group of this name", help);
                    good = false;
                }
                EntityError::Inside => self.inside(at, span),
            }
        }
        good.then_some(out)
    }

    /// A denial of destinations inside the cluster: the CNI's business where the profile says so, and nothing to do where the
    /// profile denies the inside; without knowing the inside, what is allowed may cover it.
    pub(crate) fn deny_inside(&mut self, at: At<'_>, span: Span) {
        if self.profile.given && !self.profile.cluster.is_empty() {
            let message = "denying destinations inside the cluster is left to the CNI";
            self.say(Code::DenyInside, at, span, message, "not enforced here", "");
        } else {
            let help = "give a profile with clusterCIDRs, so that nothing else opens them";
            self.say(Code::Unsupported, at, span, "destinations inside the cluster cannot be denied", "not known here", help);
        }
    }

    pub(crate) fn inside(&mut self, at: At<'_>, span: Span) {
        let help = if self.profile.given {
            "the profile denies traffic inside the cluster"
        } else {
            "give a profile with `inCluster: delegate` to leave it to the CNI"
        };
        self.say(Code::InCluster, at, span, "destinations inside the cluster stay unreachable", "not the DNS service", help);
    }

    pub(crate) fn or_nothing(&mut self, at: At<'_>, key: &str, empty: bool, to: Destination) -> Destination {
        if empty {
            self.say(Code::SelectsNothing, at, at.name(key), format!("`{key}` is empty"), "selects nothing", "");
            return Destination::Nowhere;
        }
        to
    }

    fn endpoints(&mut self, at: At<'_>, endpoints: &[LabelSelector]) -> Option<Destination> {
        let list = at.key("toEndpoints");
        if endpoints.is_empty() {
            return Some(self.or_nothing(at, "toEndpoints", true, Destination::Nowhere));
        }
        let (mask, inside) = self.resolvers(list, endpoints)?;
        if inside && !(self.profile.given && self.profile.delegate) {
            self.inside(at, at.name("toEndpoints"));
        }
        Some(if mask == 0 { Destination::Nowhere } else { Destination::Resolvers(mask) })
    }

    /// The resolver entries that some endpoint selector means, and whether one of them means something else.
    pub(crate) fn resolvers(&mut self, list: At<'_>, endpoints: &[LabelSelector]) -> Option<(u32, bool)> {
        let mut mask = 0u32;
        let mut inside = false;
        for (i, endpoint) in endpoints.iter().enumerate() {
            let mut selector = self.selector(list.index(i), endpoint)?;
            if namespace_values(&selector).is_none() {
                selector.require(match &self.namespace {
                    Some(namespace) => Requirement::In(format!("k8s:{NAMESPACE}"), [namespace.clone()].into()),
                    None => Requirement::Exists(format!("k8s:{NAMESPACE}")),
                });
            }
            let hits: Vec<usize> =
                (0..self.profile.resolvers.len()).filter(|n| selector.selects(&self.profile.resolvers[*n].labels)).collect();
            inside |= hits.is_empty();
            mask |= hits.into_iter().fold(0, |mask, n| mask | 1 << n);
        }
        Some((mask, inside))
    }

    pub(crate) fn addresses(
        &mut self,
        at: At<'_>,
        cidrs: Option<&[String]>,
        sets: Option<&[CidrRule]>,
    ) -> Option<Vec<AddressSet>> {
        let holes = self.profile.inside();
        let mut out = Vec::new();
        let mut good = true;
        for (i, text) in cidrs.into_iter().flatten().enumerate() {
            let cidr = self.cidr(at.key("toCIDR").index(i), text);
            good &= cidr.is_some();
            if let Some(cidr) = cidr {
                self.warn_inside(at.key("toCIDR").index(i), cidr);
            }
            out.extend(cidr.map(|cidr| AddressSet::prefix(cidr, &[], &holes)));
        }
        for (i, entry) in sets.into_iter().flatten().enumerate() {
            let at = at.key("toCIDRSet").index(i);
            self.unsupported(
                at,
                &[("cidrGroupRef", entry.cidr_group_ref.is_some()), ("cidrGroupSelector", entry.cidr_group_selector.is_some())],
            );
            let Some(text) = &entry.cidr else {
                if entry.cidr_group_ref.is_none() && entry.cidr_group_selector.is_none() {
                    self.say(
                        Code::MissingKey,
                        at,
                        at.head(),
                        "`cidr` is missing in `toCIDRSet`",
                        "in this mapping",
                        "add `cidr:`",
                    );
                }
                good = false;
                continue;
            };
            let Some(cidr) = self.cidr(at.key("cidr"), text) else {
                good = false;
                continue;
            };
            self.warn_inside(at.key("cidr"), cidr);
            let mut except = Vec::new();
            for (n, text) in entry.except.iter().flatten().enumerate() {
                let at = at.key("except").index(n);
                match self.except(at, cidr, text) {
                    Some(hole) => except.push(hole),
                    None => good = false,
                }
            }
            except.sort_unstable();
            except.dedup();
            out.push(AddressSet::prefix(cidr, &except, &holes));
        }
        good.then_some(out)
    }

    /// A prefix that lies in the cluster and is not left to the CNI.
    pub(crate) fn warn_inside(&mut self, at: At<'_>, cidr: Cidr) {
        if !self.profile.delegate && self.profile.inside().iter().any(|inside| inside.contains(cidr)) {
            self.inside(at, at.node.span);
        }
    }

    /// An exception, inside its prefix.
    pub(crate) fn except(&mut self, at: At<'_>, cidr: Cidr, text: &str) -> Option<Cidr> {
        let hole = self.cidr(at, text)?;
        if cidr.contains(hole) {
            return Some(hole);
        }
        self.say(Code::BadExcept, at, at.node.span, format!("`{hole}` is not inside `{cidr}`"), "outside", "");
        None
    }

    pub(crate) fn cidr(&mut self, at: At<'_>, text: &str) -> Option<Cidr> {
        match Cidr::parse(text) {
            Ok(cidr) => Some(cidr),
            Err(why) => {
                self.say(Code::BadCidr, at, at.node.span, format!("`{}` is no prefix: {why}", text.escape_default()), "here", "");
                if let Some(prefix) = Cidr::around(text) {
                    self.findings.mend(at.node.span, format!("\"{prefix}\""));
                }
                None
            }
        }
    }

    pub(crate) fn patterns(&mut self, at: At<'_>, entries: &[NameOrPattern]) -> Option<Vec<Pattern>> {
        let mut out = Vec::with_capacity(entries.len());
        let mut good = true;
        for (i, entry) in entries.iter().enumerate() {
            let at = at.index(i);
            let (key, text, parsed) = match (&entry.match_name, &entry.match_pattern) {
                (Some(name), None) => ("matchName", name, Pattern::parse_name(name)),
                (None, Some(pattern)) => ("matchPattern", pattern, Pattern::parse(pattern)),
                (both, _) => {
                    let message =
                        if both.is_some() { "both matchName and matchPattern" } else { "neither matchName nor matchPattern" };
                    self.say(Code::OneOfNamePattern, at, at.head(), message, "in this entry", "write exactly one of them");
                    good = false;
                    continue;
                }
            };
            let (entry_at, at) = (at, at.key(key));
            match parsed {
                Ok(pattern) => {
                    // Cilium's agent adds the final dot and then refuses 256 characters, in its log only.
                    let too_long = text.len() == 255 && !text.ends_with('.');
                    if !pattern.can_match() || too_long {
                        self.say(
                            Code::NeverMatches,
                            at,
                            at.node.span,
                            format!("this {key} can never match"),
                            "longer than any name in DNS",
                            "",
                        );
                    }
                    out.push(pattern);
                }
                Err(error) => {
                    let (from, to) = match &error {
                        PatternError::Character(c, at) => (*at, at + c.len_utf8()),
                        PatternError::EmptyLabel(at) | PatternError::Star(at) => (*at, at + 1),
                        PatternError::Empty | PatternError::Long => (0, text.len()),
                    };
                    let help = match &error {
                        PatternError::Star(_) => format!("write `matchPattern: \"{}\"`", text.escape_default()),
                        PatternError::Character(' ', _) => format!("write \"{}\"", text.trim().escape_default()),
                        PatternError::Character(c, _) if !c.is_ascii() => "write an international name in its xn-- form".into(),
                        _ => String::new(),
                    };
                    let message = format!("`{}` is no {key}: {error}", text.escape_default());
                    self.say(Code::BadPattern, at, at.inside(text, from, to), message, "here", help);
                    match &error {
                        PatternError::Star(_) => self.findings.mend(entry_at.name("matchName"), "matchPattern"),
                        PatternError::Character(' ', _) => self.findings.mend(at.node.span, format!("\"{}\"", text.trim())),
                        _ => {}
                    }
                    good = false;
                }
            }
        }
        good.then_some(out)
    }
}
