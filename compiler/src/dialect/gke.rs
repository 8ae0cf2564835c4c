//! FQDNNetworkPolicy of GKE (networking.gke.io/v1alpha1): an allow-list that denies by default. In its patterns `*` is
//! any run of characters but a dot, anywhere; alone it is every name: the same as in matchPattern.

use crate::check::{At, Check};
use crate::diagnostic::Code;
use crate::dialect::{EVERY_PROTOCOL, every, names, of_kubernetes, ports_of};
use crate::document::{LabelSelector, Metadata};
use crate::policy::{Destination, Egress, PortRule, Rule};
use fqdn_image::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Any;

/// FQDNNetworkPolicy (networking.gke.io/v1alpha1).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FqdnNetworkPolicy {
    /// networking.gke.io/v1alpha1
    pub api_version: String,
    /// FQDNNetworkPolicy
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
    /// Ignored.
    pub status: Option<Any>,
}

/// What some pods may reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// Which pods of the namespace.
    pub pod_selector: LabelSelector,
    /// What they may reach.
    pub egress: Vec<EgressRule>,
}

/// Names and ports.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// Names.
    pub matches: Vec<Match>,
    /// Ports; none = all.
    pub ports: Option<Vec<Port>>,
}

/// Exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// A name.
    pub name: Option<String>,
    /// A name with wildcards.
    pub pattern: Option<String>,
}

/// A port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// TCP, UDP or ALL.
    pub protocol: Option<Protocol>,
    /// Its number; none = all.
    pub port: Option<i64>,
}

/// A protocol.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Every protocol.
    All,
}

pub(crate) fn rules(check: &mut Check<'_>, at: At<'_>, document: &FqdnNetworkPolicy) -> Option<Vec<Rule>> {
    let at = at.key("spec");
    let subject = of_kubernetes(&check.subject(at.key("podSelector"), &document.spec.pod_selector)?);
    let list = at.key("egress");
    if document.spec.egress.is_empty() {
        check.say(Code::WrongValue, at, at.name("egress"), "`egress` is empty", "one rule at least", "");
        return None;
    }
    let egress = every(document.spec.egress.iter().enumerate().map(|(i, rule)| rule_of(check, list.index(i), rule)))?;
    Some(vec![Rule { subject, default_deny: true, egress, deny: Vec::new() }])
}

fn rule_of(check: &mut Check<'_>, at: At<'_>, rule: &EgressRule) -> Option<Egress> {
    let list = at.key("matches");
    if rule.matches.is_empty() {
        check.say(Code::WrongValue, at, at.name("matches"), "`matches` is empty", "one name at least", "");
        return None;
    }
    let patterns = every(rule.matches.iter().enumerate().map(|(i, entry)| name_of(check, list.index(i), entry)));
    let mut ports = Vec::new();
    let mut all_ports = rule.ports.as_ref().is_none_or(Vec::is_empty);
    let mut good = true;
    for (i, port) in rule.ports.iter().flatten().enumerate() {
        let protocols: &[u16] = match port.protocol {
            Some(Protocol::Tcp) => &[6],
            Some(Protocol::Udp) => &[17],
            _ => &EVERY_PROTOCOL,
        };
        match port.port {
            None if protocols.len() == 3 => all_ports = true,
            None => ports.extend(ports_of(protocols, 0, u16::MAX)),
            Some(number) => match check.number(at.key("ports").index(i).key("port"), number) {
                Some(port) => ports.extend(ports_of(protocols, port, port)),
                None => good = false,
            },
        }
    }
    let ports = if all_ports { Vec::new() } else { vec![PortRule { ports, dns: None }] };
    let to = Destination::Names(patterns?);
    good.then_some(Egress { to, ports })
}

fn name_of(check: &mut Check<'_>, at: At<'_>, entry: &Match) -> Option<Pattern> {
    match (&entry.name, &entry.pattern) {
        (Some(name), None) => {
            let parse = |text: &str| names::parse(text, names::Star::One, 1, true).and_then(literal);
            check.domain_name(at.key("name"), name, parse)
        }
        (None, Some(pattern)) => check.domain_name(at.key("pattern"), pattern, glob),
        _ => {
            check.say(Code::OneOfNamePattern, at, at.head(), "not exactly one of name and pattern", "in this entry", "");
            None
        }
    }
}

fn literal(pattern: Pattern) -> Result<Pattern, String> {
    if pattern.text().contains('*') { Err("a `name` has no wildcards, a `pattern` has".into()) } else { Ok(pattern) }
}

fn glob(text: &str) -> Result<Pattern, String> {
    if text.contains("**") {
        return Err("`**` has no meaning in it".into());
    }
    Pattern::parse(text).map_err(|error| error.to_string())
}
