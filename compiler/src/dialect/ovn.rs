//! EgressFirewall of OVN-Kubernetes (k8s.ovn.org/v1): an ordered list for a whole namespace; what no rule matches is
//! allowed, and what lies inside the cluster, the DNS service among it, is none of its business. `*.` is one label.

use crate::check::{At, Check};
use crate::diagnostic::Code;
use crate::dialect::ordered::{ClosedBy, OrderedRule, To};
use crate::dialect::{every, names, ports_of};
use crate::document::Metadata;
use crate::lower::ALL_RESOLVERS;
use crate::policy::{Destination, Egress, Rule};
use fqdn_image::labels::{NAMESPACE, Requirement, Selector};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Any;

/// EgressFirewall (k8s.ovn.org/v1).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EgressFirewall {
    /// k8s.ovn.org/v1
    pub api_version: String,
    /// EgressFirewall
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
    /// Ignored.
    pub status: Option<Any>,
}

/// The list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Rules; the first that matches counts.
    pub egress: Vec<FirewallRule>,
}

/// One rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirewallRule {
    /// Allow or Deny.
    pub r#type: Action,
    /// Where to.
    pub to: Peer,
    /// Ports; none = all.
    pub ports: Option<Vec<Port>>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum Action {
    /// Allows.
    Allow,
    /// Denies.
    Deny,
}

/// Exactly one destination.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Peer {
    /// A prefix.
    pub cidr_selector: Option<String>,
    /// A name.
    pub dns_name: Option<String>,
    /// Refused.
    pub node_selector: Option<Any>,
}

/// A port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// Its number.
    pub port: i64,
}

pub(crate) fn rules(check: &mut Check<'_>, at: At<'_>, document: &EgressFirewall) -> Option<Vec<Rule>> {
    if document.metadata.name != "default" {
        let span = at.key("metadata").key("name").node.span;
        check.say(
            Code::BadName,
            at,
            span,
            "an EgressFirewall is called `default`",
            "not the one of its namespace",
            "write `name: default`",
        );
        return None;
    }
    let at = at.key("spec");
    let list = at.key("egress");
    let rules = every(document.spec.egress.iter().enumerate().map(|(i, rule)| rule_of(check, list.index(i), rule)))?;
    let mut found = check.unordered(list, &rules, ClosedBy::LastRules)?;
    if !check.profile.leaves_inside() {
        check.inside(at, at.name("egress"));
    }
    found.egress.push(Egress { to: Destination::Resolvers(ALL_RESOLVERS), ports: Vec::new() });
    let mut subject = Selector::default();
    subject.require(Requirement::In(format!("k8s:{NAMESPACE}"), check.namespace.iter().cloned().collect()));
    Some(vec![Rule { subject, default_deny: true, egress: found.egress, deny: found.deny }])
}

fn rule_of(check: &mut Check<'_>, at: At<'_>, rule: &FirewallRule) -> Option<OrderedRule> {
    let to = at.key("to");
    check.unsupported(to, &[("nodeSelector", rule.to.node_selector.is_some())]);
    let place = at.key("ports");
    let ports = every(rule.ports.iter().flatten().enumerate().map(|(i, port)| {
        let at = place.index(i);
        let (protocol, number) = (check.protocol(at.key("protocol"), &port.protocol), check.number(at.key("port"), port.port));
        Some(ports_of(&[protocol?], number?, number?))
    }));
    let destination = match (&rule.to.cidr_selector, &rule.to.dns_name, &rule.to.node_selector) {
        (Some(text), None, None) => To::Cidrs(vec![check.cidr(to.key("cidrSelector"), text)?]),
        (None, Some(text), None) => {
            let parse = |t: &str| names::parse(t, names::Star::One, 1, false);
            To::Names(vec![check.domain_name(to.key("dnsName"), text, parse)?])
        }
        (_, _, Some(_)) => return None,
        _ => {
            check.say(Code::MixedPeers, to, to.head(), "not exactly one destination", "in this rule", "write a rule for each");
            return None;
        }
    };
    let ports = ports?.into_iter().flatten().collect();
    Some(OrderedRule { allow: rule.r#type == Action::Allow, to: destination, ports, span: at.head() })
}
