//! Properties over random input (proptest): the same that fuzz/ drives harder.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::difference::{Difference, difference};
use fqdn_image::judge::{Port, Verdict};
use fqdn_image::labels::{Labels, Requirement, Selector};
use fqdn_image::{Image, Pattern, WireName, compare, dump};
use fqdnc::diagnostic::Findings;
use fqdnc::eval::Question;
use fqdnc::policy::{Destination, Egress, Policy, PortRule, Ports, Profile, Rule};
use fqdnc::source::Source;
use fqdnc::{lower, plan, profile};
use proptest::prelude::*;

/// Labels that collide, share heads and tails, and reach the long ones.
fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab]{1,3}",
        1 => Just("a-label-of-more-than-nineteen-bytes".to_owned()),
        1 => Just("a-label-of-more-than-nineteen-bytez".to_owned()),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let part =
        prop_oneof![3 => label(), 1 => Just("*".to_owned()), 1 => "[ab]{0,2}\\*[ab]{1,2}", 1 => "\\*[ab]{1,2}\\*[ab]{0,1}"];
    (any::<bool>(), prop::collection::vec(part, 1..4))
        .prop_map(|(deep, parts)| Pattern::parse(&format!("{}{}", if deep { "**." } else { "" }, parts.join("."))).unwrap())
}

fn name() -> impl Strategy<Value = WireName> {
    prop::collection::vec(label(), 1..6).prop_map(|labels| WireName::parse(&labels.join(".")).unwrap())
}

fn rule() -> impl Strategy<Value = Rule> {
    (0..3u8, any::<bool>(), prop::collection::vec(pattern(), 1..4), prop::option::of((1..60u16, 0..10u16))).prop_map(
        |(app, dns, patterns, ports)| {
            let mut subject = Selector::default();
            subject.require(Requirement::In("app".into(), [format!("w{app}")].into()));
            let (to, ports) = if dns {
                let ports = vec![Ports { proto: 17, low: 53, high: 53 }];
                (Destination::Resolvers(1), vec![PortRule { ports, dns: Some(patterns) }])
            } else {
                let range = |(low, more)| PortRule { ports: vec![Ports { proto: 6, low, high: low + more }], dns: None };
                (Destination::Names(patterns), ports.map(range).into_iter().collect())
            };
            Rule { subject, default_deny: true, egress: vec![Egress { to, ports }], deny: Vec::new() }
        },
    )
}

fn image(rules: &[Rule]) -> Option<(lower::Rules, Image)> {
    let policies = rules.iter().enumerate().map(|(i, rule)| Policy {
        id: format!("p{i}"),
        rules: vec![rule.clone()],
        alone: false,
        filters: false,
    });
    let profile = Profile { chain: rules.len().is_multiple_of(2), ..profile::default() };
    let rules = lower::lower(policies.collect(), &profile);
    let tables = plan::plan(&rules, &profile).ok()?;
    let image = Image::decode(fqdn_image::encode::encode(&tables).unwrap()).unwrap();
    Some((rules, image))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_walk_is_the_reference(rules in prop::collection::vec(rule(), 1..8), names in prop::collection::vec(name(), 1..20), port in 1..70u16) {
        let Some((rules, image)) = image(&rules) else { return Ok(()) };
        prop_assert!(dump::dump(&image).is_ok());
        for app in 0..3 {
            let labels = Labels::parse(&format!("app=w{app}"), "n").unwrap();
            let subjects = image.subjects_of(&labels);
            for name in &names {
                let port = Port { proto: 6, port };
                let resolve = !matches!(image.may_resolve(&subjects, name), Verdict::Deny(_));
                prop_assert_eq!(resolve, rules.answer(&labels, &Question::Resolve(name.clone())).0);
                let reach = !matches!(image.may_reach(&subjects, name, port), Verdict::Deny(_));
                prop_assert_eq!(reach, rules.answer(&labels, &Question::ReachName(name.clone(), port)).0);
            }
            let port = Port { proto: 6, port };
            let reach = !matches!(image.may_reach_chain(&subjects, &names, port), Verdict::Deny(_));
            prop_assert_eq!(reach, rules.answer(&labels, &Question::ReachChain(names.clone(), port)).0);
        }
    }

    /// I1 of the review: what becomes reachable for any subject is in the comparison, and its examples are true.
    #[test]
    fn no_widening_is_left_out(old in prop::collection::vec(rule(), 1..6), new in prop::collection::vec(rule(), 1..6), names in prop::collection::vec(name(), 20), port in 1..70u16) {
        let (Some((_, old)), Some((_, new))) = (image(&old), image(&new)) else { return Ok(()) };
        let comparison = compare::compare(&old, &new);
        let port = Port { proto: 6, port };
        let allows = |image: &Image, labels: &Labels, name: &WireName| {
            let subjects = image.subjects_of(labels);
            (!matches!(image.may_reach(&subjects, name, port), Verdict::Deny(_)), !matches!(image.may_resolve(&subjects, name), Verdict::Deny(_)))
        };
        for app in 0..3 {
            let labels = Labels::parse(&format!("app=w{app}"), "n").unwrap();
            for name in &names {
                let ((old_reach, old_ask), (new_reach, new_ask)) = (allows(&old, &labels, name), allows(&new, &labels, name));
                if (new_reach && !old_reach) || (new_ask && !old_ask) {
                    prop_assert!(!comparison.widened.is_empty(), "{} became reachable for w{}", name, app);
                }
                if (old_reach && !new_reach) || (old_ask && !new_ask) {
                    prop_assert!(!comparison.narrowed.is_empty(), "{} ceased for w{}", name, app);
                }
            }
        }
        for change in &comparison.widened {
            if let compare::Access::Reach { what, example: Some(example), .. } = &change.access {
                let name = WireName::parse(example).unwrap();
                prop_assert!(Pattern::parse(what).unwrap().matches(&name));
            }
        }
    }

    #[test]
    fn differences_are_exact(pattern in pattern(), others in prop::collection::vec(pattern(), 0..5), names in prop::collection::vec(name(), 30)) {
        let refs: Vec<&Pattern> = others.iter().collect();
        match difference(&pattern, &refs) {
            Difference::Name(name) => prop_assert!(pattern.matches(&name) && !others.iter().any(|o| o.matches(&name)), "{}", name),
            Difference::None => {
                for name in &names {
                    prop_assert!(!pattern.matches(name) || others.iter().any(|o| o.matches(name)), "{}", name);
                }
            }
            Difference::TooHard => {}
        }
    }

    #[test]
    fn covering_is_sound(wide in pattern(), narrow in pattern(), names in prop::collection::vec(name(), 30)) {
        if wide.covers(&narrow) {
            prop_assert_eq!(difference(&narrow, &[&wide]), Difference::None);
            for name in &names {
                prop_assert!(!narrow.matches(name) || wide.matches(name), "{}", name);
            }
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in "[a-zA-Z0-9:{}\\[\\]\\-,&*!|>'\"#%@\n \t.é]{0,200}") {
        let source = Source::new("x", text.as_str());
        let mut findings = Findings::default();
        let compiled = fqdnc::compile(&[source], &profile::default(), "default", &mut findings);
        prop_assert!(compiled.is_none() && findings.refused());
    }
}
