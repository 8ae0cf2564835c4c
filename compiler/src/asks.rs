//! Which names the rules of a workload let it ask for, looked up without comparing each name with each.

use crate::dns_ports::DnsPorts;
use crate::policy::{Destination, Rule};
use fqdn_image::{Pattern, WireName};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What may be asked.
#[derive(Debug, Default)]
pub struct Asks<'a> {
    /// Every name.
    any: bool,
    /// What is listed, as it is: most lists of what may be reached say the same again.
    texts: HashSet<&'a str>,
    /// Names without a wildcard, read from the right, label by label: those below a domain stand together.
    names: BTreeSet<Vec<&'a str>>,
    /// Patterns by the labels to the right of their last wildcard, from the right.
    patterns: BTreeMap<Vec<&'a str>, Vec<&'a Pattern>>,
    /// Comparisons that were made, for a test.
    #[cfg(test)]
    pub(crate) steps: std::cell::Cell<usize>,
}

impl<'a> Asks<'a> {
    /// Adds what a rule lets be asked.
    pub fn add(&mut self, rule: &'a Rule, dns_ports: &DnsPorts) {
        for egress in &rule.egress {
            if matches!(egress.to, Destination::Nowhere | Destination::Names(_)) {
                continue;
            }
            self.any |= egress.ports.is_empty() && matches!(egress.to, Destination::Resolvers(_));
            for ports in &egress.ports {
                match &ports.dns {
                    Some(names) if names.is_empty() => self.any = true,
                    Some(names) => names.iter().for_each(|pattern| self.add_pattern(pattern)),
                    None => self.any |= dns_ports.among(&ports.ports).next().is_some(),
                }
            }
        }
    }

    fn add_pattern(&mut self, pattern: &'a Pattern) {
        if !self.texts.insert(pattern.text()) {
            return;
        }
        if pattern.is_everything() {
            self.any = true;
        } else if pattern.text().contains('*') {
            self.patterns.entry(tail(pattern)).or_default().push(pattern);
        } else {
            self.names.insert(pattern.text().rsplit('.').collect());
        }
    }

    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        !self.any && self.texts.is_empty()
    }

    /// Some name of the pattern, as far as that is easily told.
    pub fn meets(&self, pattern: &Pattern) -> bool {
        if self.any || self.texts.contains(pattern.text()) {
            return true;
        }
        let wide = pattern.text().contains('*');
        let own = tail(pattern);
        let mut above = (0..=own.len()).filter_map(|n| self.patterns.get(&own[..n])).flatten();
        if !wide {
            let name = WireName::parse(pattern.text());
            return name.is_ok_and(|name| above.any(|asked| self.step(asked.matches(&name))));
        }
        let below = |labels: &[&str]| labels.starts_with(&own);
        let mut names = self.names.range(own.clone()..).take_while(|labels| below(labels));
        let mut patterns = self.patterns.range(own.clone()..).take_while(|(labels, _)| below(labels)).flat_map(|(_, list)| list);
        above.any(|asked| self.step(asked.may_meet(pattern)))
            || patterns.any(|asked| self.step(asked.may_meet(pattern)))
            || names.any(|labels| {
                let text: Vec<&str> = labels.iter().rev().copied().collect();
                self.step(WireName::parse(&text.join(".")).is_ok_and(|name| pattern.matches(&name)))
            })
    }

    fn step(&self, found: bool) -> bool {
        #[cfg(test)]
        self.steps.set(self.steps.get() + 1);
        found
    }
}

/// The labels to the right of the last wildcard, from the right; all, where there is none.
fn tail(pattern: &Pattern) -> Vec<&str> {
    pattern.text().rsplit('.').take_while(|label| !label.contains('*')).collect()
}

/// What may be asked, by whom.
pub type BySubject<'a> = HashMap<&'a fqdn_image::labels::Selector, Asks<'a>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn asks<'a>(patterns: &'a [Pattern]) -> Asks<'a> {
        let mut asks = Asks::default();
        patterns.iter().for_each(|pattern| asks.add_pattern(pattern));
        asks
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_part_is_enough() {
        let listed = patterns(&["api.example.com", "*.s3.*.amazonaws.com", "**.deep.example.org", "a*.net"]);
        let asks = asks(&listed);
        for text in [
            "api.example.com",
            "*.example.com",
            "x.s3.eu.amazonaws.com",
            "**.amazonaws.com",
            "*.*.eu.amazonaws.com",
            "x.y.deep.example.org",
            "*",
            "ab.net",
            "*b.net",
        ] {
            assert!(asks.meets(&Pattern::parse(text).unwrap()), "{text}");
        }
        for text in ["www.example.com", "*.example.net", "s3.amazonaws.com", "deep.example.org", "b.net", "*.org"] {
            assert!(!asks.meets(&Pattern::parse(text).unwrap()), "{text}");
        }
    }

    /// Not each with each, where a list says again what may be asked, in full or by wildcards.
    #[test]
    fn mirrored_names_take_a_step_each() {
        for (reached, asked) in [
            ("n{}.example.com", "n{}.example.com"),
            ("n{}.*.example.com", "n{}.*.example.com"),
            ("a.n{}.example.com", "*.n{}.example.com"),
            ("*.n{}.example.com", "a.n{}.example.com"),
            ("*.n{}.example.com", "**.n{}.example.com"),
        ] {
            let list = |shape: &str| -> Vec<Pattern> {
                (0..2000).map(|i| Pattern::parse(&shape.replace("{}", &i.to_string())).unwrap()).collect()
            };
            let (reached, asked) = (list(reached), list(asked));
            let asks = asks(&asked);
            assert!(reached.iter().all(|pattern| asks.meets(pattern)));
            assert!(asks.steps.get() <= reached.len(), "{}: {} steps", reached[0], asks.steps.get());
        }
    }
}
