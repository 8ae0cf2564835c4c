//! ClusterNetworkPolicy of SIG Network (policy.networking.k8s.io/v1alpha2, names by NPEP-133): ordered rules of a tier; what
//! no rule matches is left to later tiers and at last allowed. `*.` is one label or more. Names are not filtered in DNS.

use crate::check::{At, Check};
use crate::diagnostic::Code;
use crate::dialect::ordered::{ClosedBy, OrderedRule, To};
use crate::dialect::{every, names, ports_of};
use crate::document::{LabelSelector, Metadata};
use crate::policy::{Ports, Rule};
use fqdn_image::labels::Selector;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Any;

/// ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClusterNetworkPolicy {
    /// policy.networking.k8s.io/v1alpha2
    pub api_version: String,
    /// ClusterNetworkPolicy
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
    /// Ignored.
    pub status: Option<Any>,
}

/// What some pods may reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Admin; Baseline is refused.
    pub tier: Tier,
    /// 0 to 1000, lower first.
    pub priority: i64,
    /// Which pods.
    pub subject: Subject,
    /// Left to the CNI.
    pub ingress: Option<Vec<Any>>,
    /// Rules; the first that matches counts.
    pub egress: Option<Vec<EgressRule>>,
}

/// When a policy counts.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum Tier {
    /// Before all others.
    Admin,
    /// After all others.
    Baseline,
}

/// Exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// All pods of these namespaces.
    pub namespaces: Option<LabelSelector>,
    /// These pods.
    pub pods: Option<Pods>,
}

/// Pods of some namespaces.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pods {
    /// Which namespaces; none = all.
    pub namespace_selector: Option<LabelSelector>,
    /// Which pods.
    pub pod_selector: LabelSelector,
}

/// One rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// Not read.
    pub name: Option<String>,
    /// Accept or Deny; Pass is refused.
    pub action: Action,
    /// Destinations.
    pub to: Vec<Peer>,
    /// Protocols and ports; none = all.
    pub protocols: Option<Vec<Protocol>>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum Action {
    /// Allows.
    Accept,
    /// Denies.
    Deny,
    /// Leaves it to the next tier.
    Pass,
}

/// Exactly one kind of destination.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Peer {
    /// Pods: the resolvers' are known here, others are left to the CNI.
    pub namespaces: Option<LabelSelector>,
    /// Pods: the resolvers' are known here, others are left to the CNI.
    pub pods: Option<Pods>,
    /// Refused.
    pub nodes: Option<Any>,
    /// Prefixes.
    pub networks: Option<Vec<String>>,
    /// Names.
    pub domain_names: Option<Vec<String>>,
}

/// Exactly one protocol.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Protocol {
    /// TCP.
    pub tcp: Option<PortOf>,
    /// UDP.
    pub udp: Option<PortOf>,
    /// SCTP.
    pub sctp: Option<PortOf>,
    /// Refused: a name belongs to pods.
    pub destination_named_port: Option<Any>,
}

/// Ports of a protocol.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PortOf {
    /// Which.
    pub destination_port: DestinationPort,
}

/// Exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationPort {
    /// One port.
    pub number: Option<i64>,
    /// Several in a row.
    pub range: Option<PortSpan>,
}

/// First and last port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortSpan {
    /// First.
    pub start: i64,
    /// Last.
    pub end: i64,
}

pub(crate) fn rules(check: &mut Check<'_>, at: At<'_>, document: &ClusterNetworkPolicy) -> Option<Vec<Rule>> {
    let at = at.key("spec");
    let spec = &document.spec;
    if spec.tier == Tier::Baseline {
        let help = "use tier Admin, or leave this policy to the CNI";
        check.say(
            Code::Unsupported,
            at,
            at.key("tier").node.span,
            "tier `Baseline` comes after every other policy",
            "not supported",
            help,
        );
        return None;
    }
    if !(0..=1000).contains(&spec.priority) {
        check.say(Code::WrongValue, at, at.key("priority").node.span, "`priority` is 0 to 1000", "here", "");
        return None;
    }
    if spec.ingress.is_some() {
        check.say(Code::Ingress, at, at.name("ingress"), "`ingress` is left to the CNI", "not enforced here", "");
    }
    let place = at.key("subject");
    let subject = match (&spec.subject.namespaces, &spec.subject.pods) {
        (None, None) | (Some(_), Some(_)) => {
            check.say(Code::NoSelector, place, place.head(), "not exactly one of namespaces and pods", "in this subject", "");
            return None;
        }
        (namespaces, pods) => pods_of(check, place, namespaces.as_ref(), pods.as_ref())?,
    };
    let Some(egress) = &spec.egress else { return Some(Vec::new()) };
    let list = at.key("egress");
    let ordered = every(egress.iter().enumerate().map(|(i, rule)| rule_of(check, list.index(i), rule)))?;
    let ordered: Vec<OrderedRule> = ordered.into_iter().flatten().collect();
    let found = check.unordered(list, &ordered, ClosedBy::LastRules)?;
    Some(vec![Rule { subject, default_deny: true, egress: found.egress, deny: found.deny }])
}

/// The pods of these namespaces, or these pods.
fn pods_of(check: &mut Check<'_>, at: At<'_>, namespaces: Option<&LabelSelector>, pods: Option<&Pods>) -> Option<Selector> {
    let Some(pods) = pods else {
        return check.pods_of_namespaces(None, namespaces.map(|namespaces| (at.key("namespaces"), namespaces)));
    };
    let at = at.key("pods");
    let namespaces = pods.namespace_selector.as_ref().map(|n| (at.key("namespaceSelector"), n));
    check.pods_of_namespaces(Some((at.key("podSelector"), &pods.pod_selector)), namespaces)
}

fn rule_of(check: &mut Check<'_>, at: At<'_>, rule: &EgressRule) -> Option<Vec<OrderedRule>> {
    if rule.action == Action::Pass {
        check.say(Code::Unsupported, at, at.key("action").node.span, "`Pass` leaves it to later tiers", "not supported", "");
        return None;
    }
    let allow = rule.action == Action::Accept;
    let place = at.key("protocols");
    let found = rule.protocols.iter().flatten().enumerate();
    let found = every(found.map(|(i, protocol)| ports_in(check, place.index(i), protocol)));
    let ports: Vec<Ports> = found.iter().flatten().flatten().copied().collect();
    if rule.to.is_empty() || rule.protocols.as_ref().is_some_and(Vec::is_empty) {
        check.say(Code::WrongValue, at, at.head(), "an empty list in this rule", "one entry at least", "");
        return None;
    }
    let mut out = Vec::new();
    let (mut cidrs, mut good) = (Vec::new(), found.is_some());
    for (i, peer) in rule.to.iter().enumerate() {
        let place = at.key("to").index(i);
        let mut push = |to| out.push(OrderedRule { allow, to, ports: ports.clone(), span: at.head() });
        match (&peer.networks, &peer.domain_names, &peer.nodes, peer.namespaces.is_some() as u8 + peer.pods.is_some() as u8) {
            (Some(texts), None, None, 0) => {
                for (n, text) in texts.iter().enumerate() {
                    match check.cidr(place.key("networks").index(n), text) {
                        Some(cidr) => cidrs.push(cidr),
                        None => good = false,
                    }
                }
            }
            (None, Some(texts), None, 0) => {
                let parse = |t: &str| names::parse(t, names::Star::OneOrMore, 2, true);
                match check.domain_names(place.key("domainNames"), texts, parse) {
                    Some(patterns) => push(To::Names(patterns)),
                    None => good = false,
                }
            }
            (_, _, Some(_), _) => {
                check.unsupported(place, &[("nodes", true)]);
                good = false;
            }
            (None, None, None, 1) => match pods_of(check, place, peer.namespaces.as_ref(), peer.pods.as_ref()) {
                Some(selector) => check.pods_meant(place, &selector, allow).into_iter().for_each(push),
                None => good = false,
            },
            _ => {
                check.say(Code::MixedPeers, place, place.head(), "not exactly one kind of destination", "in this entry", "");
                good = false;
            }
        }
    }
    if !cidrs.is_empty() {
        out.push(OrderedRule { allow, to: To::Cidrs(cidrs), ports, span: at.head() });
    }
    good.then_some(out)
}

fn ports_in(check: &mut Check<'_>, at: At<'_>, protocol: &Protocol) -> Option<Vec<Ports>> {
    let present: Vec<(&str, u16, &PortOf)> =
        [("tcp", 6, &protocol.tcp), ("udp", 17, &protocol.udp), ("sctp", 132, &protocol.sctp)]
            .into_iter()
            .filter_map(|(key, number, ports)| ports.as_ref().map(|p| (key, number, p)))
            .collect();
    check.unsupported(at, &[("destinationNamedPort", protocol.destination_named_port.is_some())]);
    let ([(key, number, ports)], None) = (present.as_slice(), &protocol.destination_named_port) else {
        if protocol.destination_named_port.is_none() {
            check.say(Code::WrongValue, at, at.head(), "not exactly one protocol", "in this entry", "write an entry for each");
        }
        return None;
    };
    let place = at.key(key).key("destinationPort");
    match (&ports.destination_port.number, &ports.destination_port.range) {
        (Some(port), None) => check.number(place.key("number"), *port).map(|port| ports_of(&[*number], port, port)),
        (None, Some(PortSpan { start, end })) => {
            let place = place.key("range");
            let (low, high) = (check.number(place.key("start"), *start)?, check.number(place.key("end"), *end)?);
            if low >= high {
                check.say(Code::BadRange, place, place.head(), format!("{high} does not follow {low}"), "here", "");
                return None;
            }
            Some(ports_of(&[*number], low, high))
        }
        _ => {
            check.say(Code::BadPort, place, place.head(), "not exactly one of number and range", "here", "");
            None
        }
    }
}
