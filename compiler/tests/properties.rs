//! Properties over random input (proptest): the same that fuzz/ drives harder.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::compare::{Access, Change};
use fqdn_image::difference::{Difference, difference};
use fqdn_image::judge::Port;
use fqdn_image::labels::{Labels, Requirement, Selector};
use fqdn_image::tables::Locality;
use fqdn_image::{Image, Pattern, WireName, compare, dump};
use fqdnc::addresses::{AddressSet, Cidr};
use fqdnc::diagnostic::Findings;
use fqdnc::eval::{Answer, Question};
use fqdnc::policy::{Deny, Destination, Egress, Policy, PortRule, Ports, Profile, Rule};
use fqdnc::source::Source;
use fqdnc::{entity, lower, plan, profile};
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

/// Prefixes that cover each other, one of the list that no answer teaches, and all there is in several forms.
const PREFIXES: [&str; 10] = [
    "0.0.0.0/0",
    "::/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3/32",
    "fd00::/8",
    "fd00::7/128",
    "127.0.0.0/8",
];

/// Addresses in and beside them.
const ADDRESSES: [&str; 9] =
    ["10.1.2.3", "10.1.2.4", "10.2.0.1", "11.0.0.1", "192.0.2.1", "fd00::7", "fd00::8", "2001:db8::1", "127.0.0.1"];

fn address(text: &str) -> u128 {
    fqdnc::verdicts::parse_address(text).unwrap()
}

/// A prefix, one with a hole, or what is behind an entity.
fn address_set() -> impl Strategy<Value = Vec<AddressSet>> {
    prop_oneof![
        4 => prop::sample::subsequence(PREFIXES.to_vec(), 1..3)
            .prop_map(|texts| texts.into_iter().map(|text| AddressSet::prefix(Cidr::parse(text).unwrap(), &[], &[])).collect()),
        1 => Just(vec![AddressSet::prefix(Cidr::parse("10.0.0.0/8").unwrap(), &[Cidr::parse("10.1.0.0/16").unwrap()], &[])]),
        2 => prop::sample::select(vec!["all", "world"])
            .prop_map(|name| entity::addresses(name, &profile::default()).unwrap().into_iter().collect()),
        1 => Just(AddressSet::everywhere(&[]).to_vec()),
    ]
}

#[derive(Clone, Debug)]
enum Kind {
    Ask(Vec<Pattern>),
    Names(Vec<Pattern>),
    Addresses(Vec<AddressSet>),
    Deny(Vec<AddressSet>),
}

fn rule() -> impl Strategy<Value = Rule> {
    let patterns = || prop::collection::vec(pattern(), 1..4);
    let kind = prop_oneof![
        2 => patterns().prop_map(Kind::Ask),
        3 => patterns().prop_map(Kind::Names),
        2 => address_set().prop_map(Kind::Addresses),
        1 => address_set().prop_map(Kind::Deny),
    ];
    (0..3u8, kind, prop::option::of((1..60u16, 0..10u16)), prop::bool::weighted(0.8)).prop_map(
        |(app, kind, ports, default_deny)| {
            let mut subject = Selector::default();
            subject.require(Requirement::In("app".into(), [format!("w{app}")].into()));
            let range: Vec<Ports> = ports.map(|(low, more)| Ports { proto: 6, low, high: low + more }).into_iter().collect();
            let plain = if range.is_empty() { Vec::new() } else { vec![PortRule { ports: range.clone(), dns: None }] };
            let mut rule = Rule { subject, default_deny, egress: Vec::new(), deny: Vec::new() };
            match kind {
                Kind::Ask(patterns) => {
                    let ports = vec![PortRule { ports: vec![Ports { proto: 17, low: 53, high: 53 }], dns: Some(patterns) }];
                    rule.egress.push(Egress { to: Destination::Resolvers(1), ports });
                }
                Kind::Names(patterns) => rule.egress.push(Egress { to: Destination::Names(patterns), ports: plain }),
                Kind::Addresses(sets) => rule.egress.push(Egress { to: Destination::Addresses(sets), ports: plain }),
                Kind::Deny(to) => rule.deny.push(Deny { to, ports: range }),
            }
            rule
        },
    )
}

fn image(rules: &[Rule]) -> Option<(lower::Rules, Image)> {
    let policies = rules.iter().enumerate().map(|(i, rule)| Policy {
        id: format!("p{i}"),
        rules: vec![rule.clone()],
        alone: false,
        filter: None,
    });
    let profile = Profile { chain: rules.len().is_multiple_of(2), ..profile::default() };
    let rules = lower::lower(policies.collect(), &profile);
    let tables = plan::plan(&rules, &profile).ok()?;
    let image = Image::decode(fqdn_image::encode::encode(&tables).unwrap()).unwrap();
    Some((rules, image))
}

fn labels(app: u8) -> Labels {
    Labels::parse(&format!("app=w{app}"), "n").unwrap()
}

/// May a packet go to this address of this name?
fn passes(rules: &lower::Rules, labels: &Labels, name: Option<&WireName>, at: u128, port: Port) -> bool {
    let by_address = rules.answer(labels, &Question::ReachAddress(at, port)).0 == Answer::Allow;
    let by_name = |name: &WireName| rules.names_reach(labels, name, port) && !rules.is_denied(labels, at, port);
    by_address || name.is_some_and(by_name)
}

/// Of the built-in list of what no answer teaches.
fn never(at: u128) -> bool {
    at == address("127.0.0.1")
}

/// Each change shows something that `to` allows and `from` does not.
fn claims_are_so(changes: &[Change], from: &lower::Rules, to: &lower::Rules) -> Result<(), TestCaseError> {
    let mut places: Vec<u128> = ADDRESSES.map(address).to_vec();
    let sets = from.addresses.iter().chain(&to.addresses).flat_map(|set| &set.ranges);
    places.extend(sets.flat_map(|(low, high)| [Some(*low), Some(*high), low.checked_sub(1), high.checked_add(1)]).flatten());
    places.extend(["0.0.0.1", "::2", "255.255.255.254"].map(address)); // beside the lists' ends
    let mut names: Vec<WireName> = from.patterns.iter().chain(&to.patterns).filter_map(Pattern::witness).collect();
    names.push(WireName::parse("zz.zz").unwrap());
    let ports: Vec<Port> = (1..71).map(|port| Port { proto: 6, port }).chain([Port { proto: 17, port: 9 }]).collect();
    let is_prefix = |what: &str| what == "entity:all" || Cidr::parse(what.split(' ').next().unwrap()).is_ok();
    let leaves_host_out = from.addresses.iter().chain(&to.addresses).any(|set| set.locality == Locality::Elsewhere);
    for Change { subject, access } in changes {
        let labels: Vec<Labels> =
            (0..3).filter(|app| subject.contains(&format!("w{app}")) || !subject.contains("app=")).map(labels).collect();
        let example = match access {
            Access::Reach { example, .. } | Access::Resolve { example, .. } => {
                example.as_ref().and_then(|e| WireName::parse(e).ok())
            }
            _ => None,
        };
        let named: Vec<&WireName> = example.iter().chain(&names).collect();
        let asks = |rules: &lower::Rules, labels: &Labels, name: &WireName| {
            rules.answer(labels, &Question::Resolve(name.clone())).0 == Answer::Allow
        };
        // At some server; at which, the reference does not say.
        let resolves = |labels: &Labels| named.iter().any(|name| asks(to, labels, name));
        let reaches = |labels: &Labels| {
            let shows = |name: Option<&WireName>, at: u128, port: Port| {
                passes(to, labels, name, at, port) && !passes(from, labels, name, at, port)
            };
            let at = |at: u128, port: Port| {
                shows(None, at, port) || (!never(at) && named.iter().any(|name| shows(Some(name), at, port)))
            };
            ports.iter().any(|port| places.iter().any(|place| at(*place, *port)))
        };
        let shown = labels.iter().any(|labels| match access {
            Access::Resolve { .. } => resolves(labels),
            Access::Everything => resolves(labels) || reaches(labels),
            Access::Profile(_) => true,
            // `world` leaves the host's own addresses out, which only the host knows.
            Access::Reach { what, .. } | Access::NoLongerDenied { what, .. } if leaves_host_out && is_prefix(what) => true,
            // Of a server that may be asked a denial may be gone, which no packet to a port of its own shows.
            Access::NoLongerDenied { .. } if to.grants.iter().any(|grant| matches!(grant.usage, lower::Usage::Ask(_))) => true,
            Access::Reach { .. } | Access::NoLongerDenied { .. } => reaches(labels),
        });
        prop_assert!(shown, "{:?} of {} is not so", access, subject);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_walk_is_the_reference(rules in prop::collection::vec(rule(), 1..8), names in prop::collection::vec(name(), 1..20), port in 1..70u16) {
        let Some((rules, image)) = image(&rules) else { return Ok(()) };
        prop_assert!(dump::dump(&image).is_ok());
        for app in 0..3 {
            let labels = labels(app);
            let subjects = image.subjects_of(&labels);
            let port = Port { proto: 6, port };
            for name in &names {
                for (question, verdict) in [
                    (Question::Resolve(name.clone()), image.may_resolve(&subjects, name)),
                    (Question::ReachName(name.clone(), port), image.may_reach(&subjects, name, port)),
                ] {
                    prop_assert_eq!(Answer::from(&verdict), rules.answer(&labels, &question).0, "{:?}", question);
                }
            }
            for (at, name) in ADDRESSES.map(address).into_iter().zip(names.iter().cycle()) {
                let verdict = image.may_reach_at(&subjects, name, at, port);
                prop_assert_eq!(Answer::from(&verdict), rules.answer(&labels, &Question::ReachAt(name.clone(), at, port)).0);
                let verdict = image.may_reach_address(&subjects, at, port);
                prop_assert_eq!(Answer::from(&verdict), rules.answer(&labels, &Question::ReachAddress(at, port)).0);
            }
            let chain = image.may_reach_chain(&subjects, &names, port);
            prop_assert_eq!(Answer::from(&chain), rules.answer(&labels, &Question::ReachChain(names.clone(), port)).0);
        }
    }

    /// I1 of the review: what becomes reachable for any subject is in the comparison, and what the comparison claims is so.
    #[test]
    fn no_widening_is_left_out(old in prop::collection::vec(rule(), 1..6), new in prop::collection::vec(rule(), 1..6), names in prop::collection::vec(name(), 20), port in 1..70u16) {
        let (Some((old_rules, old)), Some((new_rules, new))) = (image(&old), image(&new)) else { return Ok(()) };
        let comparison = compare::compare(&old, &new);
        let port = Port { proto: 6, port };
        for app in 0..3 {
            let labels = labels(app);
            let asks = |rules: &lower::Rules, name: &WireName| rules.answer(&labels, &Question::Resolve(name.clone())).0 == Answer::Allow;
            for name in &names {
                let taught = ADDRESSES.map(address).into_iter().filter(|at| !never(*at));
                let mut reached: Vec<(bool, bool)> =
                    taught.map(|at| (passes(&old_rules, &labels, Some(name), at, port), passes(&new_rules, &labels, Some(name), at, port))).collect();
                reached.push((asks(&old_rules, name), asks(&new_rules, name)));
                if reached.iter().any(|(before, after)| *after && !before) {
                    prop_assert!(!comparison.widened.is_empty(), "{} became reachable for w{}", name, app);
                }
                if reached.iter().any(|(before, after)| *before && !after) {
                    prop_assert!(!comparison.narrowed.is_empty(), "{} ceased for w{}", name, app);
                }
            }
        }
        claims_are_so(&comparison.widened, &old_rules, &new_rules)?;
        claims_are_so(&comparison.narrowed, &new_rules, &old_rules)?;
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
