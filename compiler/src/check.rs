//! Documents to policies: every value gets its meaning or a finding, all findings in one run.

mod peers;
mod ports;

use crate::addresses::AddressSet;
use crate::diagnostic::{Code, Findings};
use crate::document::{self as doc, EgressDenyRule, EgressRule, LabelSelector, Operator, PolicyDocument};
use crate::policy::{Deny, Destination, Egress, Profile, Rule};
use crate::sets::Sets;
use crate::source::{Source, Span};
use crate::yaml::{Node, Step};
use fqdn_image::labels::{NAMESPACE, Requirement, Selector, check_word};

/// Where a value stands.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) source: &'a Source,
    pub(crate) node: &'a Node,
}

impl<'a> At<'a> {
    pub(crate) fn key(self, key: &str) -> At<'a> {
        At { node: self.node.get(key).unwrap_or(self.node), ..self }
    }

    pub(crate) fn index(self, index: usize) -> At<'a> {
        At { node: self.node.child(Step::Index(index)).unwrap_or(self.node), ..self }
    }

    /// The span of a key of this mapping, or of its first character.
    pub(crate) fn name(self, key: &str) -> Span {
        self.node.key_span(key).unwrap_or(self.head())
    }

    pub(crate) fn head(self) -> Span {
        let span = self.node.span;
        let line = self.source.text.get(span.start..span.end).and_then(|t| t.lines().next()).map_or(1, str::len);
        Span { start: span.start, end: span.start + line.max(1) }
    }

    /// Byte `from` to `to` of a scalar's text, if the text stands in the source as it is.
    pub(crate) fn inside(self, text: &str, from: usize, to: usize) -> Span {
        let span = self.node.span;
        match self.source.text.get(span.start..span.end).and_then(|raw| raw.find(text)) {
            Some(at) => Span { start: span.start + at + from, end: span.start + at + to },
            None => span,
        }
    }
}

/// What the checks of one document need and find.
pub(crate) struct Check<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) sets: &'a Sets,
    /// Namespace of the policy, if it is in one.
    pub(crate) namespace: Option<String>,
    pub(crate) findings: &'a mut Findings,
}

/// What one document of Cilium's means.
pub(crate) fn policy(check: &mut Check<'_>, at: At<'_>, document: &PolicyDocument) -> Vec<Rule> {
    if document.spec.is_none() && document.specs.as_ref().is_none_or(Vec::is_empty) {
        check.say(Code::NoSpec, at, at.head(), "the policy has neither `spec` nor `specs`", "in this document", "");
    }
    let mut rules = Vec::new();
    if let Some(spec) = &document.spec {
        rules.extend(check.rule(at.key("spec"), spec));
    }
    for (i, spec) in document.specs.iter().flatten().enumerate() {
        rules.extend(check.rule(at.key("specs").index(i), spec));
    }
    rules
}

/// How sure it must be that a selector means an object of which not every label is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sure {
    /// For what is allowed: it means it whatever the other labels are.
    Yes,
    /// For what is denied: it may.
    Not,
}

/// Whether objects of a kind are in namespaces.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    Cluster,
    /// With the namespace of those that name none.
    Namespaced {
        default: &'a str,
    },
}

fn is_object_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

impl Check<'_> {
    /// Names of an object; its namespace, that of `scope` where it names none, is kept.
    pub(crate) fn object(&mut self, at: At<'_>, metadata: &doc::Metadata, scope: Scope<'_>) {
        let own = metadata.namespace.as_deref();
        self.namespace = match scope {
            Scope::Cluster => None,
            Scope::Namespaced { default } => Some(own.unwrap_or(default).to_owned()),
        };
        let namespace = self.namespace.clone();
        for (key, value) in [("name", Some(&metadata.name)), ("namespace", namespace.as_ref())] {
            let is_wrong =
                |value: &&String| !is_object_name(value) || (key == "namespace" && (value.contains('.') || value.len() > 63));
            if let Some(value) = value.filter(is_wrong) {
                let span = at.key("metadata").key(key).node.span;
                let message = format!("`{}` is no {key}", value.escape_default());
                self.say(Code::BadName, at, span, message, "not a Kubernetes name", "lower-case letters, digits, `-` and `.`");
            }
        }
        if matches!(scope, Scope::Cluster) && own.is_some() {
            let span = at.key("metadata").name("namespace");
            let help = "write a policy of a namespace, or select the namespace by its label";
            self.say(Code::UnknownKey, at, span, "an object of the whole cluster has no `namespace`", "would not count", help);
        }
    }

    pub(crate) fn say(
        &mut self,
        code: Code,
        at: At<'_>,
        span: Span,
        message: impl Into<String>,
        label: &str,
        help: impl Into<String>,
    ) {
        self.findings.at(code, at.source, span, message, label, help);
    }

    pub(crate) fn unsupported(&mut self, at: At<'_>, present: &[(&str, bool)]) {
        self.unsupported_of(at, present, true);
    }

    /// `allows`: the rule allows; without a rule that denies, more would be allowed.
    fn unsupported_of(&mut self, at: At<'_>, present: &[(&str, bool)], allows: bool) {
        for (key, there) in present {
            if *there {
                let help = match *key {
                    _ if !allows => "leave this policy to the CNI: without this denial it would allow more",
                    "serverNames" | "http" | "kafka" | "l7" | "l7proto" | "terminatingTLS" | "originatingTLS" => {
                        "names, addresses and ports are enforced here, not what is said there: leave this policy to the CNI, or \
                         drop this line and allow whatever is said"
                    }
                    "toServices" | "toGroups" | "toNodes" => "leave this policy to the CNI, or leave out the whole rule",
                    _ => "leave this policy to the CNI: without this key the rule would allow more",
                };
                let message = format!("`{key}` cannot be enforced here");
                self.say(Code::Unsupported, at, at.name(key), message, "not supported", help);
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
        let subject = self.subject(at.key("endpointSelector"), selector)?;
        let list = at.key("egress");
        let wanted = rule.enable_default_deny.as_ref().and_then(|d| d.egress);
        let some = |n: usize| n > 0;
        let some = some(rule.egress.as_ref().map_or(0, Vec::len)) || some(rule.egress_deny.as_ref().map_or(0, Vec::len));
        let default_deny = wanted.unwrap_or(some);
        if rule.egress.as_ref().is_some_and(Vec::is_empty) && !default_deny {
            let message = "`egress: []` denies nothing";
            self.say(Code::EmptyEgress, at, list.head(), message, "enforces nothing", "write `egress: [{}]` to deny all");
            if wanted.is_none() {
                self.findings.mend(list.node.span, "[{}]");
            }
        }
        let mut egress = Vec::new();
        // The one empty rule is how default deny is written.
        let denies_all = default_deny && rule.egress.as_ref().is_some_and(|list| list.len() == 1);
        for (i, entry) in rule.egress.iter().flatten().enumerate() {
            egress.extend(self.egress(list.index(i), entry, default_deny, denies_all));
        }
        let list = at.key("egressDeny");
        let mut deny = Vec::new();
        for (i, entry) in rule.egress_deny.iter().flatten().enumerate() {
            deny.extend(self.deny(list.index(i), entry));
        }
        Some(Rule { subject, default_deny, egress, deny })
    }

    /// Which workloads: Cilium's namespace rules (pkg/k8s/apis/cilium.io/utils getEndpointSelector).
    pub(crate) fn subject(&mut self, at: At<'_>, selector: &LabelSelector) -> Option<Selector> {
        let mut subject = self.selector(at, selector)?;
        let named = namespace_values(&subject);
        match (&self.namespace, named) {
            (Some(namespace), Some(values)) if values != [namespace.as_str()] => {
                let help = format!("it is in `{namespace}` and selects workloads of that: put it into the other namespace");
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

    pub(crate) fn selector(&mut self, at: At<'_>, selector: &LabelSelector) -> Option<Selector> {
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
                let help = if takes_values { "add `values:`" } else { "write `operator: In` where the value counts" };
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
        let word = match text.split_once(':') {
            Some(("k8s" | "any" | "reserved" | "container", rest)) if is_key => rest,
            _ => text,
        };
        if !is_key && word.is_empty() {
            return true;
        }
        // A value: begins and ends with a letter or digit (k8s.io/apimachinery validation IsValidLabelValue, and Cilium's CRD).
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let odd =
            !is_key && (word.contains('/') || word.len() > 63 || !edge(word.chars().next()) || !edge(word.chars().next_back()));
        match check_word(word) {
            Ok(()) if odd => {
                let message = format!("`{}` is no label value", text.escape_default());
                let help = "at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends";
                self.say(Code::BadLabel, at, span, message, "here", help);
                false
            }
            Ok(()) if word.len() <= 317 => true,
            result => {
                let why = result.err().unwrap_or_else(|| "it is too long".into());
                let what = if is_key { "label key" } else { "label value" };
                self.say(Code::BadLabel, at, span, format!("`{}` is no {what}: {why}", text.escape_default()), "here", "");
                false
            }
        }
    }

    fn egress(&mut self, at: At<'_>, rule: &EgressRule, default_deny: bool, denies_all: bool) -> Option<Egress> {
        self.unsupported(
            at,
            &[
                ("toServices", rule.to_services.is_some()),
                ("toGroups", rule.to_groups.is_some()),
                ("toNodes", rule.to_nodes.is_some()),
                ("toRequires", is_said(&rule.to_requires)),
                ("icmps", is_said(&rule.icmps)),
                ("authentication", rule.authentication.is_some()),
            ],
        );
        let mut ports = Vec::new();
        for (i, entry) in rule.to_ports.iter().flatten().enumerate() {
            ports.extend(self.port_rule(at.key("toPorts").index(i), entry));
        }
        if self.one_kind(at).is_none() {
            self.each_kind(at, rule);
            return None;
        }
        let to = self.destination(at, rule, &ports)?;
        if rule.to_ports.as_ref().is_some_and(|p| !p.is_empty() && p.iter().all(|p| p.ports.as_ref().is_none_or(Vec::is_empty))) {
            self.say(Code::SelectsNothing, at, at.name("toPorts"), "`toPorts` names no port", "selects nothing", "");
            return Some(Egress { to: Destination::Nowhere, ports });
        }
        self.lint_ports(at, &to, &ports);
        if says_nothing(at.node) {
            if !denies_all {
                let label = if default_deny { "adds nothing to the others" } else { "does nothing" };
                self.say(Code::DenyAll, at, at.head(), "this rule allows nothing", label, "");
            }
            return Some(Egress { to: Destination::Nowhere, ports });
        }
        Some(Egress { to, ports })
    }

    /// An egress rule has one kind of destination, as in Cilium; the two of prefixes may stand together.
    fn one_kind(&mut self, at: At<'_>) -> Option<()> {
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
        Some(())
    }

    fn deny(&mut self, at: At<'_>, rule: &EgressDenyRule) -> Option<Deny> {
        self.unsupported_of(
            at,
            &[
                ("toServices", rule.to_services.is_some()),
                ("toGroups", rule.to_groups.is_some()),
                ("toNodes", rule.to_nodes.is_some()),
                ("toRequires", is_said(&rule.to_requires)),
                ("icmps", is_said(&rule.icmps)),
            ],
            false,
        );
        self.one_kind(at)?;
        let mut ports = Vec::new();
        for (i, entry) in rule.to_ports.iter().flatten().enumerate() {
            ports.extend(self.ports(at.key("toPorts").index(i), entry.ports.as_deref().unwrap_or_default(), false)?);
        }
        let to = if rule.to_cidr.is_some() || rule.to_cidr_set.is_some() {
            self.addresses(at, rule.to_cidr.as_deref(), rule.to_cidr_set.as_deref())?
        } else if let Some(names) = &rule.to_entities {
            self.entities(at, names, false)?
        } else if let Some(endpoints) = &rule.to_endpoints {
            let (resolvers, _) = self.resolvers(at.key("toEndpoints"), endpoints, Sure::Not)?;
            if resolvers != 0 {
                let help =
                    "leave the policy to the CNI, or leave the DNS service out by a label of its own: `k8s-app NotIn [kube-dns]`";
                self.say(
                    Code::Unsupported,
                    at,
                    at.name("toEndpoints"),
                    "the resolvers cannot be denied",
                    "may mean the DNS service",
                    help,
                );
            } else {
                self.deny_inside(at, at.name("toEndpoints"));
            }
            return None;
        } else if says_nothing(at.node) {
            self.say(Code::DenyAll, at, at.head(), "this rule allows nothing", "denies all", "");
            return Some(Deny { to: Vec::new(), ports });
        } else {
            AddressSet::everywhere(&[]).to_vec()
        };
        Some(Deny { to, ports })
    }
}

/// Whether a field holds something: an empty list of conditions asks for none.
pub(crate) fn is_said(value: &Option<serde_json::Value>) -> bool {
    value.as_ref().is_some_and(|value| !value.as_array().is_some_and(Vec::is_empty))
}

/// No destination and no port.
fn says_nothing(node: &Node) -> bool {
    let empty = |value: &Node| is_null(value) || matches!(&value.kind, crate::yaml::Kind::Sequence(items) if items.is_empty());
    matches!(&node.kind, crate::yaml::Kind::Mapping(pairs) if pairs.iter().all(|(k, _, v)| if k == "toPorts" { empty(v) } else { is_null(v) }))
}

fn is_null(node: &Node) -> bool {
    matches!(node.kind, crate::yaml::Kind::Scalar(serde_yaml::Value::Null))
}

/// The namespace label is Kubernetes' whatever source is written; and every namespace bears its name as a label too
/// (k8s.io/api/core/v1 LabelMetadataName), which Cilium gives to its pods.
fn namespace_key(key: &str) -> String {
    match key.strip_prefix("any:").or_else(|| key.strip_prefix("k8s:")).unwrap_or(key) {
        NAMESPACE | "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name" => format!("k8s:{NAMESPACE}"),
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
