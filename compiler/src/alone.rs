//! Policies whose order counts against others stand alone: no other policy may select the same workloads.

use crate::diagnostic::{Code, Findings};
use crate::dns_ports::DnsPorts;
use crate::overlap::Overlap;
use crate::policy::{Destination, Policy, PortRule, Rule};
use crate::source::{Source, Span};
use fqdn_image::Pattern;

/// Reports each policy that must stand alone and does not; `places` says where each policy stands.
pub fn check(policies: &[Policy], dns_ports: &DnsPorts, places: &[(Source, Span)], findings: &mut Findings) {
    if !policies.iter().any(|policy| policy.alone || policy.filter.is_some()) {
        return;
    }
    let mut rules = Overlap::default();
    for (number, policy) in policies.iter().enumerate() {
        policy.rules.iter().for_each(|rule| rules.add(&rule.subject, number));
    }
    for (number, policy) in policies.iter().enumerate().filter(|(_, policy)| policy.alone) {
        let meeting = policy.rules.iter().flat_map(|rule| rules.meeting(&rule.subject)).copied();
        if let Some(other) = meeting.filter(|other| *other != number).min() {
            let (source, span) = &places[number];
            let message = format!("`{}` counts by order, and `{}` may select the same workloads", policy.id, policies[other].id);
            let help = "make the selectors exclude each other, or leave one of them to the CNI";
            findings.at(Code::NotAlone, source, *span, message, "must stand alone", help);
        }
    }
    // A filter of names would be undone by another policy that lets the same workloads ask for any name.
    for (number, policy) in policies.iter().enumerate().filter(|(_, policy)| policy.filter.is_some()) {
        let meeting = policy.rules.iter().flat_map(|rule| rules.meeting(&rule.subject)).copied();
        let opens =
            |other: &usize| *other != number && policies[*other].rules.iter().any(|rule| lets_ask_anything(rule, dns_ports));
        if let Some(other) = meeting.filter(opens).min() {
            let (source, span) = &places[number];
            let message = format!("`{}` lets only its names be asked, and `{}` lets any name", policy.id, policies[other].id);
            let help = "leave the way to the DNS service to the policy with the names: it opens it by itself";
            findings.at(Code::NotAlone, source, *span, message, "its filter would be undone", help);
        }
    }
}

fn lets_ask_anything(rule: &Rule, dns_ports: &DnsPorts) -> bool {
    let any = |ports: &PortRule| match &ports.dns {
        Some(names) => names.is_empty() || names.iter().any(Pattern::is_everything),
        None => dns_ports.among(&ports.ports).next().is_some(),
    };
    rule.egress.iter().any(|egress| match egress.to {
        Destination::Nowhere | Destination::Names(_) => false,
        Destination::Resolvers(_) if egress.ports.is_empty() => true,
        _ => egress.ports.iter().any(any),
    })
}
