//! Policies whose order counts against others stand alone: no other policy may select the same workloads.

use crate::diagnostic::{Code, Findings};
use crate::overlap::Overlap;
use crate::policy::Policy;
use crate::source::{Source, Span};

/// Reports each policy that must stand alone and does not; `places` says where each policy stands.
pub fn check(policies: &[Policy], places: &[(Source, Span)], findings: &mut Findings) {
    if !policies.iter().any(|policy| policy.alone) {
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
}
