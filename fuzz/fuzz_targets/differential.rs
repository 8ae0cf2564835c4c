//! Random rules and questions: the reference on the rules and the walk over the image's bytes give one answer.
#![no_main]

use arbitrary::Arbitrary;
use fqdn_image::compare::{self, Access};
use fqdn_image::judge::{Port, Verdict};
use fqdn_image::labels::{Labels, Requirement, Selector};
use fqdn_image::{Image, Pattern, WireName};
use fqdnc::addresses::{AddressSet, Cidr};
use fqdnc::diagnostic::Findings;
use fqdnc::eval::{Answer, Question};
use fqdnc::policy::{Deny, Destination, Egress, Policy, PortRule, Ports, Rule};
use fqdnc::{lower, plan};
use libfuzzer_sys::fuzz_target;

/// Words that collide, share heads and tails, and reach the long labels.
const WORDS: &[&str] = &["a", "b", "ab", "ba", "abc", "x-y", "_t", "com", "label-of-more-than-nineteen-bytes", "label-of-more-than-nineteen-bytez"];

#[derive(Arbitrary, Debug)]
enum Part {
    Word(u8),
    Star,
    Head(u8),
    Tail(u8),
    Infix(u8, u8),
}

impl Part {
    fn text(&self) -> String {
        let word = |n: &u8| WORDS[usize::from(*n) % WORDS.len()];
        match self {
            Part::Word(n) => word(n).to_owned(),
            Part::Star => "*".to_owned(),
            Part::Head(n) => format!("{}*", word(n)),
            Part::Tail(n) => format!("*{}", word(n)),
            Part::Infix(a, b) => format!("*{}*{}*", word(a), word(b)),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Grant {
    subject: u8,
    deny: bool,
    dns: bool,
    deep: bool,
    parts: Vec<Part>,
    address: Option<(u32, u8)>,
    ports: Vec<(u16, u8, bool)>,
}

#[derive(Arbitrary, Debug)]
struct Input {
    grants: Vec<Grant>,
    names: Vec<Vec<(u8, u8)>>,
    addresses: Vec<u32>,
    port: u16,
    udp: bool,
}

fn pattern(grant: &Grant) -> Option<Pattern> {
    let texts: Vec<String> = grant.parts.iter().take(4).map(Part::text).collect();
    Pattern::parse(&format!("{}{}", if grant.deep { "**." } else { "" }, texts.join("."))).ok()
}

fn rule(grant: &Grant) -> Option<Rule> {
    let mut subject = Selector::default();
    subject.require(Requirement::In("app".into(), [format!("w{}", grant.subject % 3)].into()));
    let ports: Vec<Ports> = grant
        .ports
        .iter()
        .take(3)
        .map(|(low, more, udp)| Ports { proto: if *udp { 17 } else { 6 }, low: *low, high: low.saturating_add(u16::from(*more)) })
        .collect();
    let set = grant.address.map(|(address, length)| {
        let length = length % 33;
        let keep = if length == 0 { 0 } else { u32::MAX << (32 - length) };
        AddressSet::prefix(Cidr { address: 0xffff_0000_0000 | u128::from(address & keep), length: length + 96 }, &[], &[])
    });
    let mut rule = Rule { subject, default_deny: !grant.dns, egress: Vec::new(), deny: Vec::new() };
    if grant.deny {
        rule.deny.push(Deny { to: vec![set?], ports });
        return Some(rule);
    }
    let (to, dns) = match set {
        Some(set) => (Destination::Addresses(vec![set]), None),
        None if grant.dns => (Destination::Resolvers(1), Some(vec![pattern(grant)?])),
        None => (Destination::Names(vec![pattern(grant)?]), None),
    };
    let ports = match (ports.is_empty(), dns) {
        (_, Some(names)) => vec![PortRule { ports: vec![Ports { proto: 17, low: 53, high: 53 }], dns: Some(names) }],
        (true, None) => Vec::new(),
        (false, None) => vec![PortRule { ports, dns: None }],
    };
    rule.egress.push(Egress { to, ports });
    Some(rule)
}

/// Takes the last pattern's grants away: what the comparison calls narrowed, and its examples, must be so.
fn without_one(image: &Image, rules: &lower::Rules, profile: &fqdnc::policy::Profile) {
    let Some(last) = rules.patterns.len().checked_sub(1) else { return };
    let mut fewer = rules.clone();
    fewer.grants.retain(|grant| grant.what != lower::What::Names(last as u32));
    let Ok(tables) = plan::plan(&fewer, profile) else { return };
    let fewer = Image::decode(fqdn_image::encode::encode(&tables).expect("placed")).expect("our own image");
    let comparison = compare::compare(image, &fewer);
    assert!(comparison.widened.is_empty(), "{:?}", comparison.widened);
    for change in &comparison.narrowed {
        let Access::Reach { what, example: Some(example), .. } = &change.access else { continue };
        let name = WireName::parse(example).expect("an example is a name");
        assert!(Pattern::parse(what).expect("a pattern").matches(&name), "{what} {example}");
        for app in ["w0", "w1", "w2"] {
            let labels = Labels::parse(&format!("app={app}"), "n").expect("labels");
            if change.subject != format!("app={app}") {
                continue;
            }
            let (before, after) = (image.reach_sets(&image.subjects_of(&labels), &name), fewer.reach_sets(&fewer.subjects_of(&labels), &name));
            assert!(before.len() > after.len() || before != after, "{what} {example}");
        }
    }
}

fuzz_target!(|input: Input| {
    let rules: Vec<Rule> = input.grants.iter().take(40).filter_map(rule).collect();
    let policies: Vec<Policy> =
        rules.into_iter().enumerate().map(|(i, rule)| Policy { id: format!("p{i}"), rules: vec![rule], alone: false, filter: None }).collect();
    let profile = fqdnc::load_profile(None, &mut Findings::default()).expect("the default profile");
    let rules = lower::lower(policies, &profile);
    let Ok(tables) = plan::plan(&rules, &profile) else { return };
    let image = Image::decode(fqdn_image::encode::encode(&tables).expect("placed")).expect("our own image");
    without_one(&image, &rules, &profile);
    let port = Port { proto: if input.udp { 17 } else { 6 }, port: input.port };
    for app in ["w0", "w1", "w2"] {
        let labels = Labels::parse(&format!("app={app}"), "n").expect("labels");
        let subjects = image.subjects_of(&labels);
        let agree = |question: Question, verdict: Verdict| {
            let (want, _) = rules.answer(&labels, &question);
            assert_eq!(Answer::from(&verdict), want, "{question:?} {verdict:?}");
        };
        for name in input.names.iter().take(30) {
            let labels: Vec<String> = name
                .iter()
                .take(5)
                .map(|(word, more)| format!("{}{}", WORDS[usize::from(*word) % WORDS.len()], ["", "a", "b", "\\000"][usize::from(*more) % 4]))
                .collect();
            let Ok(name) = WireName::parse(&labels.join(".")) else { continue };
            let mut want: Vec<&str> = rules.patterns.iter().filter(|p| p.matches(&name)).map(Pattern::text).collect();
            let mut have: Vec<&str> = image.patterns_of(&name).into_iter().map(|s| image.selector_text(s)).collect();
            want.sort_unstable();
            have.sort_unstable();
            assert_eq!(have, want, "{name}");
            agree(Question::Resolve(name.clone()), image.may_resolve(&subjects, &name));
            agree(Question::ReachName(name.clone(), port), image.may_reach(&subjects, &name, port));
        }
        for address in input.addresses.iter().take(30) {
            let address = 0xffff_0000_0000 | u128::from(*address);
            agree(Question::ReachAddress(address, port), image.may_reach_address(&subjects, address, port));
        }
    }
});
