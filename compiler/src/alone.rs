//! Policies whose order counts against others stand alone: no other policy may select the same workloads.

use crate::diagnostic::{Code, Findings};
use crate::policy::Policy;
use crate::source::{Source, Span};
use fqdn_image::labels::{NAMESPACE, Requirement, Selector};
use std::collections::HashMap;

/// Reports each policy that must stand alone and does not; `alone` says which ones must, and where they stand.
pub fn check(policies: &[Policy], alone: &[(usize, Source, Span)], findings: &mut Findings) {
    if alone.is_empty() {
        return;
    }
    // Rules of one namespace meet rules of that namespace, and rules of any.
    let mut rules: HashMap<Option<&str>, Vec<(usize, &Selector)>> = HashMap::new();
    for (number, policy) in policies.iter().enumerate() {
        for rule in &policy.rules {
            rules.entry(namespace(&rule.subject)).or_default().push((number, &rule.subject));
        }
    }
    for (number, source, span) in alone {
        let policy = &policies[*number];
        let other = policy.rules.iter().find_map(|rule| {
            let groups: Vec<&Vec<(usize, &Selector)>> = match namespace(&rule.subject) {
                None => rules.values().collect(),
                here => [here, None].iter().filter_map(|key| rules.get(key)).collect(),
            };
            let mut others = groups.into_iter().flatten().filter(|(n, subject)| n != number && !rule.subject.excludes(subject));
            others.next().map(|(n, _)| &policies[*n].id)
        });
        if let Some(other) = other {
            let message = format!("`{}` counts by order, and `{other}` may select the same workloads", policy.id);
            let help = "make the selectors exclude each other, or leave one of them to the CNI";
            findings.at(Code::NotAlone, source, *span, message, "must stand alone", help);
        }
    }
}

/// The one namespace that a selector asks for, if it does.
fn namespace(selector: &Selector) -> Option<&str> {
    let key = format!("k8s:{NAMESPACE}");
    selector.requirements().find_map(|requirement| match requirement {
        Requirement::In(k, values) if *k == key && values.len() == 1 => values.first().map(String::as_str),
        _ => None,
    })
}
