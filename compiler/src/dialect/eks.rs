//! ApplicationNetworkPolicy of EKS (networking.k8s.aws/v1alpha1): Kubernetes' NetworkPolicy with domainNames. `*.` is one
//! label or more. A DNS filter on the node answers the names of the list only, so they are what may be asked.

use crate::addresses::AddressSet;
use crate::check::{At, Check};
use crate::diagnostic::Code;
use crate::dialect::{every, names, of_kubernetes, ports_of};
use crate::document::{LabelSelector, Metadata};
use crate::lower::ALL_RESOLVERS;
use crate::policy::{Destination, Egress, PortRule, Ports, Rule};
use fqdn_image::Pattern;
use fqdn_image::labels::{NAMESPACE, Requirement};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Any;

/// ApplicationNetworkPolicy (networking.k8s.aws/v1alpha1).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ApplicationNetworkPolicy {
    /// networking.k8s.aws/v1alpha1
    pub api_version: String,
    /// ApplicationNetworkPolicy
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
    /// Ingress, Egress.
    pub policy_types: Option<Vec<PolicyType>>,
    /// Left to the CNI.
    pub ingress: Option<Vec<Any>>,
    /// What they may reach.
    pub egress: Option<Vec<EgressRule>>,
}

/// A direction.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum PolicyType {
    /// To the pods.
    Ingress,
    /// From the pods.
    Egress,
}

/// Destinations and ports.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// Ports; none = all.
    pub ports: Option<Vec<Port>>,
    /// Destinations.
    pub to: Option<Vec<Peer>>,
}

/// A port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Port {
    /// TCP if absent.
    pub protocol: Option<String>,
    /// Its number; none = all.
    pub port: Option<Any>,
    /// Last port of a range.
    pub end_port: Option<i64>,
}

/// Exactly one kind of destination.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Peer {
    /// Pods: the resolvers' are known here, others are left to the CNI.
    pub pod_selector: Option<LabelSelector>,
    /// Of which namespaces; none = the policy's own.
    pub namespace_selector: Option<LabelSelector>,
    /// A prefix.
    pub ip_block: Option<IpBlock>,
    /// Names.
    pub domain_names: Option<Vec<String>>,
}

/// A prefix without some inside it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IpBlock {
    /// The prefix.
    pub cidr: String,
    /// Left out.
    pub except: Option<Vec<String>>,
}

pub(crate) fn rules(check: &mut Check<'_>, at: At<'_>, document: &ApplicationNetworkPolicy) -> Option<Vec<Rule>> {
    let at = at.key("spec");
    let spec = &document.spec;
    let Some(types) = &spec.policy_types else {
        let help = "write `policyTypes: [Egress]`";
        check.say(Code::MissingKey, at, at.head(), "`policyTypes` is missing in `spec`", "nothing is isolated without it", help);
        return None;
    };
    if spec.ingress.is_some() || types.contains(&PolicyType::Ingress) {
        check.say(Code::Ingress, at, at.name("policyTypes"), "ingress is left to the CNI", "not enforced here", "");
    }
    if !types.contains(&PolicyType::Egress) {
        if spec.egress.as_ref().is_some_and(|egress| !egress.is_empty()) {
            check.say(
                Code::WrongValue,
                at,
                at.name("egress"),
                "`egress` without `Egress` in `policyTypes`",
                "would not count",
                "",
            );
            return None;
        }
        return Some(Vec::new());
    }
    let subject = of_kubernetes(&check.subject(at.key("podSelector"), &spec.pod_selector)?);
    let list = at.key("egress");
    let mut listed: Vec<Pattern> = Vec::new();
    let rules = spec.egress.iter().flatten().enumerate();
    let rules = every(rules.map(|(i, rule)| rule_of(check, list.index(i), rule, &mut listed)))?;
    let mut egress: Vec<Egress> = rules.into_iter().flatten().collect();
    if !listed.is_empty() {
        let ports: std::collections::BTreeSet<u16> =
            check.profile.resolvers.iter().flat_map(|r| r.ports.iter().copied()).collect();
        let ports = ports.into_iter().flat_map(|port| ports_of(&[6, 17], port, port)).collect();
        let ports = vec![PortRule { ports, dns: Some(listed) }];
        egress.push(Egress { to: Destination::Resolvers(ALL_RESOLVERS), ports });
    }
    Some(vec![Rule { subject, default_deny: true, egress, deny: Vec::new() }])
}

/// The names of its rules, if there are some: the filter on the node answers these and no other, whichever rule opens the way to DNS.
pub(crate) fn filter(rules: &[Rule]) -> Option<Vec<Pattern>> {
    let names = rules.iter().flat_map(|rule| &rule.egress).filter_map(|egress| match &egress.to {
        Destination::Names(patterns) => Some(patterns),
        _ => None,
    });
    let names: Vec<Pattern> = names.flatten().cloned().collect();
    (!names.is_empty()).then_some(names)
}

fn rule_of(check: &mut Check<'_>, at: At<'_>, rule: &EgressRule, listed: &mut Vec<Pattern>) -> Option<Vec<Egress>> {
    let peers = rule.to.as_deref().unwrap_or_default();
    if peers.is_empty() {
        check.say(
            Code::Unsupported,
            at,
            at.head(),
            "a rule without `to`",
            "schema and agent disagree on it",
            "name the destinations",
        );
        return None;
    }
    let place = at.key("ports");
    let ports = every(rule.ports.iter().flatten().enumerate().map(|(i, port)| port_of(check, place.index(i), port)));
    let place = at.key("to");
    let to = every(peers.iter().enumerate().map(|(i, peer)| peer_of(check, place.index(i), peer, listed)))?;
    let ports: Vec<Ports> = ports?.into_iter().flatten().collect();
    let ports = if ports.is_empty() { Vec::new() } else { vec![PortRule { ports, dns: None }] };
    Some(to.into_iter().map(|to| Egress { to, ports: ports.clone() }).collect())
}

fn peer_of(check: &mut Check<'_>, at: At<'_>, peer: &Peer, listed: &mut Vec<Pattern>) -> Option<Destination> {
    Some(match (&peer.domain_names, &peer.ip_block, peer.pod_selector.is_some() || peer.namespace_selector.is_some()) {
        (Some(texts), None, false) => {
            let patterns =
                check.domain_names(at.key("domainNames"), texts, |t| names::parse(t, names::Star::OneOrMore, 2, true))?;
            if patterns.is_empty() {
                check.say(Code::WrongValue, at, at.name("domainNames"), "`domainNames` is empty", "one name at least", "");
                return None;
            }
            listed.extend(patterns.iter().cloned());
            Destination::Names(patterns)
        }
        (None, Some(block), false) => Destination::Addresses(vec![block_of(check, at.key("ipBlock"), block)?]),
        (None, None, true) => {
            let pods = peer.pod_selector.as_ref().map(|pods| (at.key("podSelector"), pods));
            let namespaces = peer.namespace_selector.as_ref().map(|namespaces| (at.key("namespaceSelector"), namespaces));
            let own = check.namespace.clone().filter(|_| namespaces.is_none());
            let mut selector = check.pods_of_namespaces(pods, namespaces)?;
            own.into_iter().for_each(|own| selector.require(Requirement::In(format!("k8s:{NAMESPACE}"), [own].into())));
            match check.resolvers_meant(at, &selector) {
                0 => {
                    if !check.profile.leaves_inside() {
                        check.inside(at, at.head());
                    }
                    Destination::Nowhere
                }
                mask => Destination::Resolvers(mask),
            }
        }
        _ => {
            check.say(
                Code::MixedPeers,
                at,
                at.head(),
                "not exactly one kind of destination",
                "in this entry",
                "write an entry for each",
            );
            return None;
        }
    })
}

fn block_of(check: &mut Check<'_>, at: At<'_>, block: &IpBlock) -> Option<AddressSet> {
    let cidr = check.cidr(at.key("cidr"), &block.cidr)?;
    let mut except = Vec::new();
    for (i, text) in block.except.iter().flatten().enumerate() {
        except.push(check.except(at.key("except").index(i), Some(cidr), text)?);
    }
    except.sort_unstable();
    except.dedup();
    Some(AddressSet::prefix(cidr, &except, &check.profile.inside()))
}

fn port_of(check: &mut Check<'_>, at: At<'_>, port: &Port) -> Option<Vec<Ports>> {
    let protocol = match &port.protocol {
        None => 6,
        Some(text) => check.protocol(at.key("protocol"), text)?,
    };
    let low = match &port.port {
        None if port.end_port.is_some() => {
            check.say(Code::BadRange, at, at.name("endPort"), "endPort without port", "here", "");
            return None;
        }
        None => return Some(ports_of(&[protocol], 0, u16::MAX)),
        Some(Any::Number(number)) => check.number(at.key("port"), number.as_i64().unwrap_or(0))?,
        Some(_) => {
            let help = "a named port beside domainNames opens every port there; write its number";
            check.say(Code::Unsupported, at, at.key("port").node.span, "a port by name", "not supported", help);
            return None;
        }
    };
    let high = match port.end_port {
        None => low,
        Some(end) => check.number(at.key("endPort"), end)?,
    };
    if high < low {
        check.say(
            Code::BadRange,
            at,
            at.key("endPort").node.span,
            format!("endPort {high} does not follow port {low}"),
            "here",
            "",
        );
        return None;
    }
    Some(ports_of(&[protocol], low, high))
}
