//! Documents to policies: every value gets its meaning or a finding, all findings in one run.

use crate::diagnostic::{Code, Findings};
use crate::document::{self as doc, EgressRule, LabelSelector, NameOrPattern, Operator, PolicyDocument};
use crate::policy::{Cidr, CidrSet, Destination, Egress, Policy, PortRule, Ports, Profile, Rule};
use crate::source::{Source, Span};
use crate::yaml::{Node, Step};
use fqdn_image::Pattern;
use fqdn_image::labels::{NAMESPACE, Requirement, Selector, check_word};
use fqdn_image::pattern::PatternError;

/// Where a value stands.
#[derive(Clone, Copy)]
struct At<'a> {
    source: &'a Source,
    node: &'a Node,
}

impl<'a> At<'a> {
    fn key(self, key: &str) -> At<'a> {
        At { node: self.node.get(key).unwrap_or(self.node), ..self }
    }

    fn index(self, index: usize) -> At<'a> {
        At { node: self.node.child(Step::Index(index)).unwrap_or(self.node), ..self }
    }

    /// The span of a key of this mapping, or of its first character.
    fn name(self, key: &str) -> Span {
        self.node.key_span(key).unwrap_or(self.head())
    }

    fn head(self) -> Span {
        let span = self.node.span;
        let line = self.source.text.get(span.start..span.end).and_then(|t| t.lines().next()).map_or(1, str::len);
        Span { start: span.start, end: span.start + line.max(1) }
    }

    /// Byte `from` to `to` of a scalar's text, if the text stands in the source as it is.
    fn inside(self, text: &str, from: usize, to: usize) -> Span {
        let span = self.node.span;
        match self.source.text.get(span.start..span.end).and_then(|raw| raw.find(text)) {
            Some(at) => Span { start: span.start + at + from, end: span.start + at + to },
            None => span,
        }
    }
}

/// Namespace a policy is in, and what else its rules need.
struct Check<'a> {
    profile: &'a Profile,
    namespace: Option<String>,
    findings: &'a mut Findings,
}

/// What one policy document means. `default_namespace` is for documents that name none.
pub fn policy(
    source: &Source,
    root: &Node,
    document: &PolicyDocument,
    default_namespace: &str,
    profile: &Profile,
    findings: &mut Findings,
) -> Option<Policy> {
    let at = At { source, node: root };
    let before = findings.0.len();
    if document.api_version != "cilium.io/v2" {
        let message = format!("`{}` is not known for this kind", document.api_version.escape_default());
        findings.at(Code::UnknownVersion, source, at.key("apiVersion").node.span, message, "not known", "write `cilium.io/v2`");
    }
    let clusterwide = document.kind == "CiliumClusterwideNetworkPolicy";
    let namespace = document.metadata.namespace.clone().unwrap_or_else(|| default_namespace.to_owned());
    for (key, value) in [("name", &document.metadata.name), ("namespace", &namespace)] {
        if !is_object_name(value) {
            let span = at.key("metadata").key(key).node.span;
            findings.at(
                Code::BadName,
                source,
                span,
                format!("`{}` is no {key}", value.escape_default()),
                "not a Kubernetes name",
                "lower-case letters, digits, `-` and `.`",
            );
        }
    }
    if clusterwide && document.metadata.namespace.is_some() {
        let span = at.key("metadata").name("namespace");
        findings.at(Code::UnknownKey, source, span, "a cluster-wide policy has no namespace", "remove it", "");
    }
    if document.spec.is_none() && document.specs.as_ref().is_none_or(Vec::is_empty) {
        findings.at(Code::NoSpec, source, at.head(), "the policy has neither `spec` nor `specs`", "in this document", "");
    }
    let id = if clusterwide { document.metadata.name.clone() } else { format!("{namespace}/{}", document.metadata.name) };
    let mut check = Check { profile, namespace: (!clusterwide).then_some(namespace), findings };
    let mut rules = Vec::new();
    if let Some(spec) = &document.spec {
        rules.extend(check.rule(at.key("spec"), spec));
    }
    for (i, spec) in document.specs.iter().flatten().enumerate() {
        rules.extend(check.rule(at.key("specs").index(i), spec));
    }
    let refused = findings.0[before..].iter().any(|d| d.severity() == crate::diagnostic::Severity::Error);
    (!refused).then_some(Policy { id, rules })
}

fn is_object_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

impl Check<'_> {
    fn say(&mut self, code: Code, at: At<'_>, span: Span, message: impl Into<String>, label: &str, help: impl Into<String>) {
        self.findings.at(code, at.source, span, message, label, help);
    }

    fn unsupported(&mut self, at: At<'_>, present: &[(&str, bool)]) {
        for (key, there) in present {
            if *there {
                self.say(
                    Code::Unsupported,
                    at,
                    at.name(key),
                    format!("`{key}` cannot be enforced here"),
                    "not supported",
                    "remove it, or leave this policy to the CNI",
                );
            }
        }
    }

    fn rule(&mut self, at: At<'_>, rule: &doc::Rule) -> Option<Rule> {
        if rule.node_selector.is_some() {
            let help = "there is no host workload to bind a policy to yet";
            self.say(Code::NodeSelector, at, at.name("nodeSelector"), "`nodeSelector` is not supported", "selects hosts", help);
            return None;
        }
        let Some(selector) = &rule.endpoint_selector else {
            self.say(
                Code::NoSelector,
                at,
                at.head(),
                "the rule has no `endpointSelector`",
                "in this rule",
                "`endpointSelector: {}` selects every workload",
            );
            return None;
        };
        if rule.ingress.is_none() && rule.ingress_deny.is_none() && rule.egress.is_none() && rule.egress_deny.is_none() {
            self.say(Code::NoDirection, at, at.head(), "the rule says nothing about traffic", "in this rule", "add `egress:`");
            return None;
        }
        for key in ["ingress", "ingressDeny"] {
            if at.node.get(key).is_some() {
                self.say(Code::Ingress, at, at.name(key), format!("`{key}` is left to the CNI"), "not enforced here", "");
            }
        }
        for (i, _) in rule.ingress.iter().flatten().enumerate() {
            let ports = at.key("ingress").index(i).key("toPorts");
            for item in ports.node.items() {
                if let Some(rules) = item.get("rules").filter(|r| r.get("dns").is_some()) {
                    let span = rules.key_span("dns").unwrap_or(rules.span);
                    self.say(Code::DnsIngress, at, span, "`rules.dns` on ingress", "belongs to egress", "");
                }
            }
        }
        if let Some(deny) = &rule.egress_deny
            && !deny.is_empty()
        {
            self.say(
                Code::Unsupported,
                at,
                at.name("egressDeny"),
                "`egressDeny` cannot be enforced yet",
                "not supported",
                "remove it, or leave this policy to the CNI",
            );
        }
        let subject = self.subject(at.key("endpointSelector"), selector)?;
        let list = at.key("egress");
        if rule.egress.as_ref().is_some_and(Vec::is_empty) {
            self.say(
                Code::EmptyEgress,
                at,
                list.head(),
                "`egress: []` denies nothing",
                "enforces nothing",
                "write `egress: [{}]` to deny all",
            );
        }
        let wanted = rule.enable_default_deny.as_ref().and_then(|d| d.egress);
        let some = rule.egress.as_ref().is_some_and(|e| !e.is_empty());
        let default_deny = wanted.unwrap_or(some);
        let mut egress = Vec::new();
        for (i, entry) in rule.egress.iter().flatten().enumerate() {
            egress.extend(self.egress(list.index(i), entry, default_deny));
        }
        Some(Rule { subject, default_deny, egress })
    }

    /// Which workloads: Cilium's namespace rules (pkg/k8s/apis/cilium.io/utils getEndpointSelector).
    fn subject(&mut self, at: At<'_>, selector: &LabelSelector) -> Option<Selector> {
        let mut subject = self.selector(at, selector)?;
        let named = namespace_values(&subject);
        match (&self.namespace, named) {
            (Some(namespace), Some(values)) if values != [namespace.as_str()] => {
                let help = format!("remove the namespace label, or put the policy into that namespace; it is in `{namespace}`");
                self.say(
                    Code::ForeignNamespace,
                    at,
                    at.node.span,
                    "the selector names another namespace",
                    "selects nothing here",
                    help,
                );
                return None;
            }
            (Some(namespace), _) => {
                let namespace = namespace.clone();
                subject.require(Requirement::In(format!("k8s:{NAMESPACE}"), [namespace].into()));
            }
            (None, None) => subject.require(Requirement::Exists(format!("k8s:{NAMESPACE}"))),
            (None, Some(_)) => {}
        }
        Some(subject)
    }

    fn selector(&mut self, at: At<'_>, selector: &LabelSelector) -> Option<Selector> {
        let mut out = Selector::default();
        let mut good = true;
        let labels = at.key("matchLabels");
        for (key, value) in selector.match_labels.iter().flatten() {
            good &= self.label(labels, labels.name(key), key, true);
            good &= self.label(labels, labels.key(key).node.span, value, false);
            out.require(Requirement::In(namespace_key(key), [value.clone()].into()));
        }
        for (i, expression) in selector.match_expressions.iter().flatten().enumerate() {
            let at = at.key("matchExpressions").index(i);
            good &= self.label(at, at.key("key").node.span, &expression.key, true);
            let values: std::collections::BTreeSet<String> = expression.values.iter().flatten().cloned().collect();
            for (n, value) in expression.values.iter().flatten().enumerate() {
                good &= self.label(at, at.key("values").index(n).node.span, value, false);
            }
            let key = namespace_key(&expression.key);
            let takes_values = matches!(expression.operator, Operator::In | Operator::NotIn);
            if takes_values == values.is_empty() {
                let help = if takes_values { "add `values:`" } else { "remove `values:`" };
                self.say(Code::BadRequirement, at, at.key("operator").node.span, "operator and values do not fit", "here", help);
                good = false;
            }
            out.require(match expression.operator {
                Operator::In => Requirement::In(key, values),
                Operator::NotIn => Requirement::NotIn(key, values),
                Operator::Exists => Requirement::Exists(key),
                Operator::DoesNotExist => Requirement::DoesNotExist(key),
            });
        }
        good.then_some(out)
    }

    fn label(&mut self, at: At<'_>, span: Span, text: &str, is_key: bool) -> bool {
        let word = if is_key { text.split_once(':').map_or(text, |(_, rest)| rest) } else { text };
        if !is_key && word.is_empty() {
            return true;
        }
        match check_word(word) {
            Ok(()) if word.len() <= 317 => true,
            result => {
                let why = result.err().unwrap_or_else(|| "it is too long".into());
                let what = if is_key { "label key" } else { "label value" };
                self.say(Code::BadLabel, at, span, format!("`{}` is no {what}: {why}", text.escape_default()), "here", "");
                false
            }
        }
    }

    fn egress(&mut self, at: At<'_>, rule: &EgressRule, default_deny: bool) -> Option<Egress> {
        self.unsupported(
            at,
            &[
                ("toServices", rule.to_services.is_some()),
                ("toGroups", rule.to_groups.is_some()),
                ("toNodes", rule.to_nodes.is_some()),
                ("toRequires", rule.to_requires.is_some()),
                ("toEntities", rule.to_entities.as_ref().is_some_and(|e| !e.is_empty())),
                ("icmps", rule.icmps.is_some()),
                ("authentication", rule.authentication.is_some()),
            ],
        );
        let kinds: Vec<&str> =
            ["toFQDNs", "toCIDR", "toCIDRSet", "toEndpoints", "toEntities", "toServices", "toGroups", "toNodes"]
                .into_iter()
                .filter(|key| at.node.get(key).is_some_and(|n| !is_null(n)))
                .collect();
        if let [first, second, ..] = kinds[..]
            && !(first == "toCIDR" && second == "toCIDRSet")
        {
            let message = format!("`{first}` and `{second}` in one rule");
            self.say(Code::MixedPeers, at, at.name(second), message, "the second kind of destination", "write a rule for each");
            return None;
        }
        let mut ports = Vec::new();
        for (i, entry) in rule.to_ports.iter().flatten().enumerate() {
            ports.extend(self.port_rule(at.key("toPorts").index(i), entry));
        }
        let to = self.destination(at, rule, &ports)?;
        if at.node.items().is_empty()
            && matches!(&at.node.kind, crate::yaml::Kind::Mapping(pairs) if pairs.iter().all(|(_, _, v)| is_null(v)))
            && default_deny
        {
            self.say(Code::DenyAll, at, at.head(), "this rule allows nothing", "denies all", "");
            return Some(Egress { to: Destination::Nowhere, ports });
        }
        Some(Egress { to, ports })
    }

    fn destination(&mut self, at: At<'_>, rule: &EgressRule, ports: &[PortRule]) -> Option<Destination> {
        if let Some(names) = &rule.to_fqdns {
            if ports.iter().any(|p| p.dns.is_some()) {
                self.say(
                    Code::DnsByName,
                    at,
                    at.name("toFQDNs"),
                    "rules.dns beside `toFQDNs` allows no DNS",
                    "servers are not found by name",
                    "write the rules.dns in a rule for the resolvers",
                );
            }
            let names = self.patterns(at.key("toFQDNs"), names)?;
            return Some(self.or_nothing(at, "toFQDNs", names.is_empty(), Destination::Names(names)));
        }
        if rule.to_cidr.is_some() || rule.to_cidr_set.is_some() {
            let addresses = self.addresses(at, rule)?;
            let key = if rule.to_cidr.is_some() { "toCIDR" } else { "toCIDRSet" };
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
            return Some(self.or_nothing(at, key, addresses.is_empty(), Destination::Addresses(addresses)));
        }
        if let Some(endpoints) = &rule.to_endpoints {
            return self.endpoints(at, endpoints);
        }
        if rule.to_entities.is_some() {
            return Some(self.or_nothing(at, "toEntities", true, Destination::Nowhere));
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

    fn or_nothing(&mut self, at: At<'_>, key: &str, empty: bool, to: Destination) -> Destination {
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
        if inside && !(self.profile.given && self.profile.delegate) {
            let help = if self.profile.given {
                "the profile denies traffic inside the cluster"
            } else {
                "give a profile with `inCluster: delegate` to leave it to the CNI"
            };
            self.say(
                Code::InCluster,
                at,
                at.name("toEndpoints"),
                "destinations inside the cluster stay unreachable",
                "not the DNS service",
                help,
            );
        }
        Some(if mask == 0 { Destination::Nowhere } else { Destination::Resolvers(mask) })
    }

    fn addresses(&mut self, at: At<'_>, rule: &EgressRule) -> Option<Vec<CidrSet>> {
        let mut out = Vec::new();
        let mut good = true;
        for (i, text) in rule.to_cidr.iter().flatten().enumerate() {
            let cidr = self.cidr(at.key("toCIDR").index(i), text);
            good &= cidr.is_some();
            out.extend(cidr.map(|cidr| CidrSet { cidr, except: Vec::new() }));
        }
        for (i, entry) in rule.to_cidr_set.iter().flatten().enumerate() {
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
            let mut except = Vec::new();
            for (n, text) in entry.except.iter().flatten().enumerate() {
                let at = at.key("except").index(n);
                match self.cidr(at, text) {
                    Some(hole) if cidr.contains(hole) => except.push(hole),
                    Some(hole) => {
                        self.say(Code::BadExcept, at, at.node.span, format!("`{hole}` is not inside `{cidr}`"), "outside", "");
                        good = false;
                    }
                    None => good = false,
                }
            }
            except.sort_unstable();
            except.dedup();
            out.push(CidrSet { cidr, except });
        }
        good.then_some(out)
    }

    fn cidr(&mut self, at: At<'_>, text: &str) -> Option<Cidr> {
        match Cidr::parse(text) {
            Ok(cidr) => Some(cidr),
            Err(why) => {
                self.say(Code::BadCidr, at, at.node.span, format!("`{}` is no prefix: {why}", text.escape_default()), "here", "");
                None
            }
        }
    }

    fn patterns(&mut self, at: At<'_>, entries: &[NameOrPattern]) -> Option<Vec<Pattern>> {
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
            let at = at.key(key);
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
                    good = false;
                }
            }
        }
        good.then_some(out)
    }

    fn port_rule(&mut self, at: At<'_>, rule: &doc::PortRule) -> Option<PortRule> {
        self.unsupported(
            at,
            &[
                ("terminatingTLS", rule.terminating_tls.is_some()),
                ("originatingTLS", rule.originating_tls.is_some()),
                ("serverNames", rule.server_names.is_some()),
                ("listener", rule.listener.is_some()),
            ],
        );
        if let Some(inner) = &rule.rules {
            let at = at.key("rules");
            self.unsupported(
                at,
                &[
                    ("http", inner.http.is_some()),
                    ("kafka", inner.kafka.is_some()),
                    ("l7", inner.l7.is_some()),
                    ("l7proto", inner.l7proto.is_some()),
                ],
            );
        }
        let list = at.key("ports");
        let entries = rule.ports.as_deref().unwrap_or_default();
        if entries.len() > 40 {
            self.say(
                Code::TooManyPorts,
                list,
                at.name("ports"),
                format!("{} ports in one entry", entries.len()),
                "at most 40",
                "write a second toPorts entry",
            );
            return None;
        }
        let mut ports = Vec::new();
        let mut good = true;
        let dns = rule.rules.as_ref().and_then(|r| r.dns.as_ref());
        if dns.is_some() && entries.is_empty() {
            self.say(
                Code::DnsPort,
                at,
                at.key("rules").name("dns"),
                "rules.dns without a port",
                "here",
                "add `ports: [{port: \"53\", protocol: ANY}]`",
            );
            good = false;
        }
        for (i, port) in entries.iter().enumerate() {
            match self.port(list.index(i), port, dns.is_some()) {
                Some(found) => ports.extend(found),
                None => good = false,
            }
        }
        let dns = match dns {
            None => None,
            Some(names) => Some(self.patterns(at.key("rules").key("dns"), names)?),
        };
        ports.sort_unstable();
        ports.dedup();
        (good && !ports.is_empty()).then_some(PortRule { ports, dns })
    }

    fn port(&mut self, at: At<'_>, port: &doc::Port, dns: bool) -> Option<Vec<Ports>> {
        let protocol = port.protocol.as_deref().unwrap_or("ANY");
        let protos: &[u16] = match protocol.to_ascii_uppercase().as_str() {
            "ANY" if dns => &[6, 17],
            "ANY" => &[6, 17, 132],
            "TCP" => &[6],
            "UDP" => &[17],
            "SCTP" if !dns => &[132],
            "SCTP" => {
                self.say(
                    Code::DnsPort,
                    at,
                    at.key("protocol").node.span,
                    "rules.dns with SCTP",
                    "cannot be DNS",
                    "write UDP, TCP or ANY",
                );
                return None;
            }
            _ => {
                let message = format!("`{}` is no protocol that can be enforced here", protocol.escape_default());
                self.say(Code::WrongValue, at, at.key("protocol").node.span, message, "here", "one of: TCP, UDP, SCTP, ANY");
                return None;
            }
        };
        let low = match port_number(&port.port) {
            Some(low) => low,
            None => {
                let message = format!("`{}` is no port", port.port.escape_default());
                self.say(
                    Code::BadPort,
                    at,
                    at.key("port").node.span,
                    message,
                    "here",
                    "a number from 0 to 65535, or the name of a well-known service",
                );
                return None;
            }
        };
        let high = match port.end_port.unwrap_or(0) {
            0 => low,
            end => match u16::try_from(end).ok().filter(|end| *end >= low) {
                Some(high) => high,
                None => {
                    self.say(
                        Code::BadRange,
                        at,
                        at.key("endPort").node.span,
                        format!("endPort {end} does not follow port {low}"),
                        "here",
                        "",
                    );
                    return None;
                }
            },
        };
        if dns && (port.end_port.is_some_and(|end| end != 0) || low == 0) {
            let span = at.key(if low == 0 { "port" } else { "endPort" }).node.span;
            self.say(Code::DnsPort, at, span, "rules.dns with a range of ports", "a single port is needed", "");
            return None;
        }
        // Port 0 stands for every port of the protocol (Cilium pkg/policy/api/l4.go).
        let (low, high) = if low == 0 && high == 0 { (0, u16::MAX) } else { (low, high) };
        Some(protos.iter().map(|proto| Ports { proto: *proto, low, high }).collect())
    }
}

fn is_null(node: &Node) -> bool {
    matches!(node.kind, crate::yaml::Kind::Scalar(serde_yaml::Value::Null))
}

/// The namespace label is Kubernetes' whatever source is written.
fn namespace_key(key: &str) -> String {
    match key.strip_prefix("any:").unwrap_or(key) {
        NAMESPACE => format!("k8s:{NAMESPACE}"),
        _ => key.to_owned(),
    }
}

/// Values that a selector asks of the namespace label, if it speaks of it at all.
fn namespace_values(selector: &Selector) -> Option<Vec<&str>> {
    let key = format!("k8s:{NAMESPACE}");
    let namespace_labels = "io.cilium.k8s.namespace.labels.";
    let mut found = None;
    for requirement in selector.requirements() {
        match requirement {
            Requirement::In(k, values) if *k == key => {
                found.get_or_insert_with(Vec::new).extend(values.iter().map(String::as_str))
            }
            Requirement::In(k, _) | Requirement::NotIn(k, _) | Requirement::Exists(k) | Requirement::DoesNotExist(k)
                if *k == key || k.trim_start_matches("k8s:").starts_with(namespace_labels) =>
            {
                found.get_or_insert_with(Vec::new);
            }
            _ => {}
        }
    }
    found
}

/// Services of the IANA registry that policies name.
const SERVICES: &[(&str, u16)] = &[
    ("amqp", 5672),
    ("amqps", 5671),
    ("domain", 53),
    ("ftp", 21),
    ("ftps", 990),
    ("git", 9418),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("kerberos", 88),
    ("ldap", 389),
    ("ldaps", 636),
    ("mqtt", 1883),
    ("ms-sql-s", 1433),
    ("mysql", 3306),
    ("nfs", 2049),
    ("ntp", 123),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgresql", 5432),
    ("redis", 6379),
    ("smtp", 25),
    ("snmp", 161),
    ("ssh", 22),
    ("submission", 587),
    ("submissions", 465),
    ("syslog", 514),
    ("telnet", 23),
    ("tftp", 69),
];

fn port_number(text: &str) -> Option<u16> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    SERVICES.iter().find(|(name, _)| *name == text.to_ascii_lowercase()).map(|(_, port)| *port)
}
