//! Destinations: names, addresses, and the endpoints that mean the resolvers.

use super::{At, Check, Sure, namespace_values};
use crate::addresses::{AddressSet, Cidr};
use crate::diagnostic::Code;
use crate::dns_ports::DnsPorts;
use crate::document::{CidrRule, EgressRule, LabelSelector, NameOrPattern};
use crate::entity::{self, EntityError};
use crate::policy::{Destination, PortRule};
use crate::schema;
use crate::sets::Set;
use crate::source::Span;
use fqdn_image::Pattern;
use fqdn_image::labels::{Labels, NAMESPACE, Requirement, Selector};
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
            if !self.are_resolvers(&addresses) {
                self.dns_elsewhere(at, key, ports);
            }
            return Some(self.or_nothing(at, key, addresses.is_empty(), Destination::Addresses(addresses)));
        }
        if let Some(endpoints) = &rule.to_endpoints {
            return self.endpoints(at, endpoints);
        }
        if let Some(names) = &rule.to_entities {
            let addresses = self.entities(at, names, true)?;
            if names.iter().any(|name| name == "world" || name == "all") {
                self.dns_elsewhere(at, "toEntities", ports);
            }
            // A group that is not known here has been told of; it is not empty.
            let said_nothing = names.iter().all(|name| name == "none");
            let to = if addresses.is_empty() { Destination::Nowhere } else { Destination::Addresses(addresses) };
            return Some(self.or_nothing(at, "toEntities", said_nothing, to));
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

    /// What is wrong with the destinations of a rule that has too many kinds of them.
    pub(crate) fn each_kind(&mut self, at: At<'_>, rule: &EgressRule) {
        let _ = rule.to_fqdns.as_ref().and_then(|names| self.patterns(at.key("toFQDNs"), names));
        let _ = self.addresses(at, rule.to_cidr.as_deref(), rule.to_cidr_set.as_deref());
        let _ = rule.to_endpoints.as_ref().and_then(|endpoints| self.resolvers(at.key("toEndpoints"), endpoints, Sure::Yes));
        let _ = rule.to_entities.as_ref().and_then(|names| self.entities(at, names, true));
    }

    /// Whether all of these are addresses of the profile's resolvers, whose answers teach.
    fn are_resolvers(&self, addresses: &[AddressSet]) -> bool {
        let known: Vec<Cidr> = self.profile.resolvers.iter().flat_map(|resolver| resolver.addresses.clone()).collect();
        let within = |(low, high): &(u128, u128)| known.iter().any(|cidr| cidr.range().0 <= *low && *high <= cidr.range().1);
        addresses.iter().flat_map(|set| &set.ranges).all(within)
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

    /// `allows`: what is not known here stays unreachable; what is denied must be known.
    pub(crate) fn entities(&mut self, at: At<'_>, names: &[String], allows: bool) -> Option<Vec<AddressSet>> {
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
                    let mut known = [entity::BUILT_IN, entity::GROUPS].concat();
                    known.sort_unstable();
                    let prefix = entity::OF_ONE_FAMILY.iter().find(|(word, _)| *word == name).map(|(_, prefix)| prefix);
                    let help = match prefix {
                        Some(prefix) => format!("no API server takes it: write `toCIDR: [\"{prefix}\"]`"),
                        None => format!("one of: {}", known.join(", ")),
                    };
                    self.say(Code::Entity, at, span, format!("`{shown}` is no entity"), "not known", help);
                    if let Some(prefix) = prefix.filter(|_| names.len() == 1) {
                        let rule = Span { start: at.name("toEntities").start, end: list.node.span.end };
                        self.findings.mend(rule, format!("toCIDR: [\"{prefix}\"]"));
                    } else if let Some(near) = known.iter().find(|known| schema::distance(known, &name.to_lowercase()) <= 2) {
                        self.findings.mend(span, *near);
                    }
                    good = false;
                }
                EntityError::NoGroup => {
                    let help = format!("list them in the profile: `entities: {{{shown}: [192.0.2.7]}}`");
                    let message = format!("the addresses of the entity `{shown}` are not known");
                    self.say(Code::Entity, at, span, message, "not in the profile", help);
                    good = false;
                }
                EntityError::Inside if allows => self.inside(at, span),
                EntityError::Inside => self.deny_inside(at, span),
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
        let help = if self.profile.given && !self.profile.delegate && !self.profile.cluster.is_empty() {
            "the profile denies traffic inside the cluster"
        } else {
            "give a profile with `clusterCIDRs: [...]` and `inCluster: delegate` to leave it to the CNI"
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
        let (mask, inside) = self.resolvers(list, endpoints, Sure::Yes)?;
        if inside && !self.profile.leaves_inside() {
            self.inside(at, at.name("toEndpoints"));
        }
        Some(if mask == 0 { Destination::Nowhere } else { Destination::Resolvers(mask) })
    }

    /// The resolver entries that some endpoint selector means, and whether one of them means something else.
    pub(crate) fn resolvers(&mut self, list: At<'_>, endpoints: &[LabelSelector], sure: Sure) -> Option<(u32, bool)> {
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
            let hits = match sure {
                Sure::Yes => self.resolvers_meant(list.index(i), &selector),
                Sure::Not => self.resolvers_of(&selector, Sure::Not),
            };
            inside |= hits == 0;
            mask |= hits;
        }
        Some((mask, inside))
    }

    /// The resolver entries whose pods a selector means. A profile lists some of their labels: what must be absent may be there.
    pub(crate) fn resolvers_of(&self, selector: &Selector, sure: Sure) -> u32 {
        // The cluster's name is a guess where the profile does not list it.
        let is_guess = |key: &str| key.ends_with("io.cilium.k8s.policy.cluster");
        let means = |labels: &Labels| match sure {
            Sure::Yes => selector.selects(labels) && selector.forbids_unknown(labels).next().is_none(),
            Sure::Not => selector.may_select(labels, is_guess),
        };
        let all = self.profile.resolvers.iter().enumerate();
        all.filter(|(_, resolver)| means(&resolver.labels)).fold(0, |mask, (n, _)| mask | 1 << n)
    }

    /// Those that are surely meant; of others it is told why they are not taken.
    pub(crate) fn resolvers_meant(&mut self, at: At<'_>, selector: &Selector) -> u32 {
        let mask = self.resolvers_of(selector, Sure::Yes);
        let unsure = self.profile.resolvers.iter().find_map(|resolver| {
            let key = selector.selects(&resolver.labels).then(|| selector.forbids_unknown(&resolver.labels).next()).flatten()?;
            Some(key.strip_prefix("k8s:").unwrap_or(key).escape_default().to_string())
        });
        if let Some(key) = unsure {
            let message = format!("whether the DNS service is meant hangs on its label `{key}`, which the profile does not list");
            let help = "select it by labels that it has, or list them all in the profile";
            self.say(Code::InCluster, at, at.head(), message, "not taken for it", help);
        }
        mask
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
            let Some(text) = &entry.cidr else {
                match self.cidr_groups(at, entry) {
                    Some(cidrs) => {
                        let except: Vec<Cidr> = self.excepts(at, entry, None).unwrap_or_default();
                        let inside = |cidr: &Cidr| except.iter().copied().filter(|hole| cidr.contains(*hole)).collect::<Vec<_>>();
                        let left = cidrs.iter().filter(|cidr| !except.iter().any(|hole| hole.contains(**cidr)));
                        out.extend(left.map(|cidr| AddressSet::prefix(*cidr, &inside(cidr), &holes)));
                    }
                    None => good = false,
                }
                continue;
            };
            if entry.cidr_group_ref.is_some() || entry.cidr_group_selector.is_some() {
                self.say(
                    Code::MixedPeers,
                    at,
                    at.head(),
                    "a prefix and a group in one entry",
                    "in this entry",
                    "write an entry for each",
                );
                good = false;
                continue;
            }
            let Some(cidr) = self.cidr(at.key("cidr"), text) else {
                good = false;
                continue;
            };
            self.warn_inside(at.key("cidr"), cidr);
            let Some(except) = self.excepts(at, entry, Some(cidr)) else {
                good = false;
                continue;
            };
            out.push(AddressSet::prefix(cidr, &except, &holes));
        }
        good.then_some(out)
    }

    /// The exceptions of an entry, sorted.
    fn excepts(&mut self, at: At<'_>, entry: &CidrRule, cidr: Option<Cidr>) -> Option<Vec<Cidr>> {
        let list = at.key("except");
        let texts = entry.except.iter().flatten().enumerate();
        let holes: Vec<Option<Cidr>> = texts.map(|(n, text)| self.except(list.index(n), cidr, text)).collect();
        let mut holes: Vec<Cidr> = holes.into_iter().collect::<Option<_>>()?;
        holes.sort_unstable();
        holes.dedup();
        Some(holes)
    }

    /// The prefixes of the groups that an entry means.
    fn cidr_groups(&mut self, at: At<'_>, entry: &CidrRule) -> Option<Vec<Cidr>> {
        let (key, groups): (_, Vec<&Set>) = match (&entry.cidr_group_ref, &entry.cidr_group_selector) {
            (Some(name), None) => ("cidrGroupRef", self.sets.cidr_groups().filter(|set| set.name == *name).collect()),
            (None, Some(selector)) => {
                let keys = selector.match_labels.iter().flatten().map(|(key, _)| key);
                let mut keys = keys.chain(selector.match_expressions.iter().flatten().map(|expression| &expression.key));
                if let Some(key) = keys.find(|key| key.contains(':')) {
                    let message = format!("`{}` names a source of labels, and a group has none", key.escape_default());
                    let span = at.name("cidrGroupSelector");
                    self.say(Code::BadLabel, at, span, message, "selects nothing", "write the key alone");
                    return None;
                }
                let selector = self.selector(at.key("cidrGroupSelector"), selector)?;
                ("cidrGroupSelector", self.sets.cidr_groups().filter(|set| selector.selects(&set.labels)).collect())
            }
            _ => {
                let message = "not exactly one of `cidr`, `cidrGroupRef` and `cidrGroupSelector`";
                self.say(Code::MissingKey, at, at.head(), message, "in this mapping", "add `cidr:`");
                return None;
            }
        };
        if groups.is_empty() && self.sets.some_refused() {
            return None; // it may be one of those
        }
        if groups.is_empty() {
            let text = entry.cidr_group_ref.as_deref().map_or_else(String::new, |name| format!(" `{}`", name.escape_default()));
            let message = format!("no CiliumCIDRGroup{text} that is meant stands in what was given");
            self.say(Code::Unsupported, at, at.key(key).node.span, message, "not known here", "give the file that holds it, too");
            return None;
        }
        Some(groups.into_iter().flat_map(|group| group.cidrs.iter().copied()).collect())
    }

    /// A prefix that lies in the cluster and is not left to the CNI.
    pub(crate) fn warn_inside(&mut self, at: At<'_>, cidr: Cidr) {
        if !self.profile.delegate && self.profile.inside().iter().any(|inside| inside.contains(cidr)) {
            self.inside(at, at.node.span);
        }
    }

    /// An exception, inside its prefix; those of a group need not be inside each of its prefixes.
    pub(crate) fn except(&mut self, at: At<'_>, cidr: Option<Cidr>, text: &str) -> Option<Cidr> {
        let hole = self.cidr(at, text)?;
        match cidr.filter(|cidr| !cidr.contains(hole)) {
            None => Some(hole),
            Some(cidr) => {
                self.say(Code::BadExcept, at, at.node.span, format!("`{hole}` is not inside `{cidr}`"), "outside", "");
                None
            }
        }
    }

    /// A prefix with its length: the gates of every dialect but Calico's take no bare address.
    pub(crate) fn cidr(&mut self, at: At<'_>, text: &str) -> Option<Cidr> {
        let cidr = self.net(at, text)?;
        if text.contains('/') {
            return Some(cidr);
        }
        let message = format!("`{}` is an address, not a prefix", text.escape_default());
        self.say(Code::BadCidr, at, at.node.span, message, "its length is missing", format!("write \"{cidr}\""));
        self.findings.mend(at.node.span, format!("\"{cidr}\""));
        None
    }

    /// A prefix, or an address alone.
    pub(crate) fn net(&mut self, at: At<'_>, text: &str) -> Option<Cidr> {
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
                    if text.parse::<std::net::IpAddr>().is_ok() {
                        let help = format!("nobody asks DNS for an address: write `toCIDR: [{text}/32]`");
                        self.say(Code::NeverMatches, at, at.node.span, format!("`{text}` is an address"), "no name", help);
                    } else if !pattern.can_match() || too_long {
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
                    let (help, right) = instead(text, &error);
                    let message = format!("`{}` is no {key}: {error}", text.escape_default());
                    self.say(Code::BadPattern, at, at.inside(text, from, to), message, "here", help);
                    match (&error, right) {
                        (PatternError::Star(_), _) => self.findings.mend(entry_at.name("matchName"), "matchPattern"),
                        (_, Some(right)) => self.findings.mend(at.node.span, format!("\"{right}\"")),
                        _ => {}
                    }
                    good = false;
                }
            }
        }
        good.then_some(out)
    }
}

/// A text that means one host: a wildcard would be more than what was written.
fn is_host(text: &str) -> bool {
    text.contains('.') && !text.contains('*')
}

/// What to write instead of a text that is no pattern, and the text as it may be meant.
fn instead(text: &str, error: &PatternError) -> (String, Option<String>) {
    let said = |help: &str| (help.to_owned(), None);
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':', '?']).next().unwrap_or("").to_owned();
        return ("write the host alone: names are judged, not URLs".into(), Some(host).filter(|host| is_host(host)));
    }
    if let Ok(std::net::IpAddr::V6(_)) = text.parse() {
        return (format!("an address: write `toCIDR: [\"{text}/128\"]`"), None);
    }
    if let Some((address, _)) = text.split_once('/').filter(|(address, _)| address.parse::<std::net::IpAddr>().is_ok()) {
        return (format!("a prefix of {address}: write it under `toCIDR`"), None);
    }
    if let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        return (format!("write `{host}` here and `toPorts: [{{ports: [{{port: \"{port}\"}}]}}]` beside the list"), None);
    }
    if text.contains(['^', '$', '\\', '(', ')', '[', ']', '|', '+', '?']) {
        return said("no regular expressions: `*` stands for what one label may hold, `**.` for one label or more");
    }
    match error {
        PatternError::Star(_) => (format!("write `matchPattern: \"{}\"`", text.escape_default()), None),
        PatternError::Character(' ', _) => (format!("write \"{}\"", text.trim().escape_default()), Some(text.trim().to_owned())),
        PatternError::Character('/', _) => {
            let host = text.split('/').next().unwrap_or("");
            ("names are judged, not paths".into(), Some(host.to_owned()).filter(|host| is_host(host)))
        }
        PatternError::Character(c, _) if !c.is_ascii() => said("write an international name in its xn-- form"),
        _ => said(""),
    }
}
