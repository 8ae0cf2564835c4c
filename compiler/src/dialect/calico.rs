//! NetworkPolicy and GlobalNetworkPolicy of Calico (projectcalico.org/v3) with destination.domains: ordered rules of a
//! tier; what no rule of any policy matches is denied. A `*` is one label or more, here at the beginning only.

use crate::addresses::Cidr;
use crate::check::{At, Check};
use crate::diagnostic::Code;
use crate::dialect::calico_selectors::{meant, subjects};
use crate::dialect::ordered::{ClosedBy, OrderedRule, To};
use crate::dialect::{every, names, ports_of};
use crate::document::Metadata;
use crate::policy::{Ports, Rule};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Any;

/// NetworkPolicy and GlobalNetworkPolicy (projectcalico.org/v3).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CalicoPolicy {
    /// projectcalico.org/v3
    pub api_version: String,
    /// NetworkPolicy or GlobalNetworkPolicy
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
}

/// What some workloads may reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// `default`; other tiers are refused.
    pub tier: Option<String>,
    /// Lower first.
    pub order: Option<f64>,
    /// Which workloads; none = all.
    pub selector: Option<String>,
    /// Of which namespaces; GlobalNetworkPolicy only.
    pub namespace_selector: Option<String>,
    /// Refused.
    pub service_account_selector: Option<Any>,
    /// Ingress, Egress.
    pub types: Option<Vec<Direction>>,
    /// Left to the CNI.
    pub ingress: Option<Vec<Any>>,
    /// Rules; the first that matches counts.
    pub egress: Option<Vec<CalicoRule>>,
    /// Refused.
    pub do_not_track: Option<Any>,
    /// Refused.
    #[serde(rename = "preDNAT")]
    pub pre_dnat: Option<Any>,
    /// Refused.
    pub apply_on_forward: Option<Any>,
    /// Without meaning for what is allowed.
    pub performance_hints: Option<Any>,
}

/// A direction.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum Direction {
    /// To the workloads.
    Ingress,
    /// From the workloads.
    Egress,
}

/// One rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CalicoRule {
    /// Allow, Deny or Log; Pass is refused.
    pub action: Action,
    /// Refused.
    pub ip_version: Option<Any>,
    /// TCP, UDP, SCTP, or their numbers.
    pub protocol: Option<Any>,
    /// Refused.
    pub not_protocol: Option<Any>,
    /// Refused.
    pub icmp: Option<Any>,
    /// Refused.
    #[serde(rename = "notICMP")]
    pub not_icmp: Option<Any>,
    /// Refused.
    pub http: Option<Any>,
    /// Not read.
    pub metadata: Option<Any>,
    /// Refused: the selector says who sends.
    pub source: Option<Any>,
    /// Where to; none = everywhere.
    pub destination: Option<Entity>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum Action {
    /// Allows.
    Allow,
    /// Denies.
    Deny,
    /// Writes a line and goes on.
    Log,
    /// Leaves it to the next tier.
    Pass,
}

/// A destination: all that is given must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Entity {
    /// Prefixes.
    pub nets: Option<Vec<String>>,
    /// Ports: numbers and `"low:high"`.
    pub ports: Option<Vec<Any>>,
    /// Names.
    pub domains: Option<Vec<String>>,
    /// Refused.
    pub not_nets: Option<Any>,
    /// Refused.
    pub not_ports: Option<Any>,
    /// Resolvers and kept sets; other workloads are left to the CNI.
    pub selector: Option<String>,
    /// Refused.
    pub not_selector: Option<Any>,
    /// Of which namespaces; `global()` = what is in none.
    pub namespace_selector: Option<String>,
    /// Refused.
    pub services: Option<Any>,
    /// Refused.
    pub service_accounts: Option<Any>,
}

/// Whether a field says something: what is empty restricts nothing.
fn is_said(value: &Option<Any>) -> bool {
    match value {
        None | Some(Any::Null | Any::Bool(false)) => false,
        Some(Any::String(text)) => !text.is_empty(),
        Some(Any::Array(items)) => !items.is_empty(),
        Some(Any::Object(fields)) => !fields.is_empty(),
        Some(_) => true,
    }
}

/// Rules, and whether other policies of the same workloads would change their meaning.
pub(crate) fn rules(check: &mut Check<'_>, at: At<'_>, document: &CalicoPolicy) -> Option<(Vec<Rule>, bool)> {
    let at = at.key("spec");
    let spec = &document.spec;
    let some = |list: bool| spec.types.is_none() && list;
    let egress_type = spec.types.as_ref().is_some_and(|t| t.contains(&Direction::Egress)) || some(spec.egress.is_some());
    if spec.ingress.is_some() || spec.types.as_ref().is_some_and(|t| t.contains(&Direction::Ingress)) {
        let key = if spec.ingress.is_some() { "ingress" } else { "types" };
        check.say(Code::Ingress, at, at.name(key), "ingress is left to the CNI", "not enforced here", "");
    }
    if !egress_type {
        if spec.egress.as_ref().is_some_and(|egress| !egress.is_empty()) {
            check.say(Code::WrongValue, at, at.name("egress"), "`egress` without `Egress` in `types`", "would not count", "");
            return None;
        }
        return Some((Vec::new(), false));
    }
    check.unsupported(
        at,
        &[
            ("serviceAccountSelector", is_said(&spec.service_account_selector)),
            ("doNotTrack", is_said(&spec.do_not_track)),
            ("preDNAT", is_said(&spec.pre_dnat)),
            ("applyOnForward", is_said(&spec.apply_on_forward)),
            (
                "namespaceSelector",
                check.namespace.is_some() && spec.namespace_selector.as_ref().is_some_and(|text| !text.is_empty()),
            ),
        ],
    );
    if spec.tier.as_deref().is_some_and(|tier| tier != "default") {
        let span = at.key("tier").node.span;
        check.say(
            Code::Unsupported,
            at,
            span,
            "only the tier `default` is known here",
            "another tier",
            "what comes in tiers before it counts first: leave it to the CNI",
        );
        return None;
    }
    let subjects = subjects(check, at, spec)?;
    let list = at.key("egress");
    let ordered = every(spec.egress.iter().flatten().enumerate().map(|(i, rule)| rule_of(check, list.index(i), rule)))?;
    let ordered: Vec<OrderedRule> = ordered.into_iter().flatten().collect();
    let found = check.unordered(list, &ordered, ClosedBy::Dialect)?;
    let alone = ordered.iter().any(|rule| !rule.allow);
    let rule = |subject| Rule { subject, default_deny: true, egress: found.egress.clone(), deny: found.deny.clone() };
    Some((subjects.into_iter().map(rule).collect(), alone))
}

fn rule_of(check: &mut Check<'_>, at: At<'_>, rule: &CalicoRule) -> Option<Vec<OrderedRule>> {
    let before = check.findings.0.len();
    check.unsupported(
        at,
        &[
            ("ipVersion", rule.ip_version.is_some()),
            ("notProtocol", rule.not_protocol.is_some()),
            ("icmp", rule.icmp.is_some()),
            ("notICMP", rule.not_icmp.is_some()),
            ("http", rule.http.is_some()),
            ("source", is_said(&rule.source)),
        ],
    );
    let place = at.key("destination");
    if let Some(to) = &rule.destination {
        check.unsupported(
            place,
            &[
                ("notNets", is_said(&to.not_nets)),
                ("notPorts", is_said(&to.not_ports)),
                ("notSelector", is_said(&to.not_selector)),
                ("services", to.services.is_some()),
                ("serviceAccounts", to.service_accounts.is_some()),
            ],
        );
    }
    match rule.action {
        Action::Pass => {
            check.say(Code::Unsupported, at, at.key("action").node.span, "`Pass` leaves it to later tiers", "not supported", "");
        }
        Action::Log => {
            check.say(
                Code::NotLogged,
                at,
                at.key("action").node.span,
                "nothing is logged here",
                "goes on with the next rule",
                "",
            );
            return Some(Vec::new());
        }
        Action::Allow | Action::Deny => {}
    }
    let ports = ports(check, at, rule);
    // What is empty is not there: it restricts nothing.
    let said = |value: &Option<String>| value.as_ref().is_some_and(|text| !text.is_empty());
    let inside = |to: &Entity| said(&to.selector) || said(&to.namespace_selector);
    let some = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let allow = rule.action == Action::Allow;
    let to = match &rule.destination {
        None => vec![To::Anywhere],
        Some(to) => match (some(&to.domains), some(&to.nets), inside(to)) {
            (None, None, false) => vec![To::Anywhere],
            (None, None, true) => meant(check, place, to, allow)?,
            (None, Some(texts), false) => {
                let mut cidrs: Vec<Cidr> = Vec::new();
                for (i, text) in texts.iter().enumerate() {
                    cidrs.extend(check.net(place.key("nets").index(i), text));
                }
                vec![To::Cidrs(cidrs)]
            }
            (Some(texts), None, false) => {
                vec![To::Names(check.domain_names(place.key("domains"), &texts, names::of_calico)?)]
            }
            _ => {
                check.say(
                    Code::MixedPeers,
                    place,
                    place.head(),
                    "several kinds of destination",
                    "in this rule",
                    "all of them would have to hold: leave this policy to the CNI",
                );
                return None;
            }
        },
    };
    let refused = check.findings.0[before..].iter().any(|d| d.severity() == crate::diagnostic::Severity::Error);
    let ports = ports?;
    let rule = |to| OrderedRule { allow, to, ports: ports.clone(), span: at.head() };
    (!refused).then(|| to.into_iter().map(rule).collect())
}

fn ports(check: &mut Check<'_>, at: At<'_>, rule: &CalicoRule) -> Option<Vec<Ports>> {
    let protocol = match &rule.protocol {
        None => None,
        Some(Any::String(text)) => Some(check.protocol(at.key("protocol"), text)?),
        Some(Any::Number(number)) if [6, 17, 132].iter().any(|n| number.as_u64() == Some(*n)) => {
            number.as_u64().map(|n| n as u16)
        }
        Some(_) => {
            let span = at.key("protocol").node.span;
            check.say(Code::WrongValue, at, span, "no protocol that can be enforced here", "here", "one of: TCP, UDP, SCTP");
            return None;
        }
    };
    let place = at.key("destination").key("ports");
    let entries = rule.destination.as_ref().and_then(|to| to.ports.as_deref()).unwrap_or_default();
    let Some(protocol) = protocol else {
        if entries.is_empty() {
            return Some(Vec::new());
        }
        let help = "write `protocol: TCP`";
        check.say(Code::BadPort, place, place.node.span, "ports without a protocol", "TCP, UDP or SCTP?", help);
        return None;
    };
    if entries.is_empty() {
        return Some(ports_of(&[protocol], 0, u16::MAX));
    }
    let mut ports = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let at = place.index(i);
        let range = match entry {
            Any::Number(number) => number.as_i64().and_then(|n| u16::try_from(n).ok()).map(|n| (n, n)),
            Any::String(text) => match text.split_once(':') {
                Some((low, high)) => low.parse().ok().zip(high.parse().ok()),
                None => text.parse().ok().map(|n| (n, n)),
            },
            _ => None,
        };
        match range {
            Some((low, high)) if 0 < low && low <= high => ports.extend(ports_of(&[protocol], low, high)),
            _ => {
                check.say(
                    Code::BadPort,
                    at,
                    at.node.span,
                    "not a port that is known outside the cluster",
                    "here",
                    "write 443 or \"8000:8010\"",
                );
                return None;
            }
        }
    }
    Some(ports)
}
