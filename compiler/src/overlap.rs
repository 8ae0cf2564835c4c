//! Selectors that may select one workload, found without comparing each with each: selectors of one namespace meet
//! those of that namespace, and those of any.

use fqdn_image::labels::{NAMESPACE, Requirement, Selector};
use std::collections::HashMap;

/// Things that belong to selectors.
#[derive(Debug)]
pub struct Overlap<'a, T> {
    groups: HashMap<Option<&'a str>, Vec<(&'a Selector, T)>>,
}

impl<T> Default for Overlap<'_, T> {
    fn default() -> Self {
        Overlap { groups: HashMap::new() }
    }
}

impl<'a, T> Overlap<'a, T> {
    /// Adds a thing.
    pub fn add(&mut self, selector: &'a Selector, thing: T) {
        self.groups.entry(namespace(selector)).or_default().push((selector, thing));
    }

    /// What belongs to selectors that may select a workload of this one.
    pub fn meeting(&self, selector: &'a Selector) -> impl Iterator<Item = &T> {
        self.not(selector, Selector::excludes)
    }

    /// What belongs to selectors that may well select one, labels being Kubernetes'.
    pub fn likely(&self, selector: &'a Selector) -> impl Iterator<Item = &T> {
        self.not(selector, Selector::seems_apart)
    }

    fn not(&self, selector: &'a Selector, apart: fn(&Selector, &Selector) -> bool) -> impl Iterator<Item = &T> {
        let here = namespace(selector);
        let groups = self.groups.iter().filter(move |(group, _)| here.is_none() || group.is_none() || **group == here);
        groups.flat_map(|(_, list)| list).filter(move |(other, _)| !apart(selector, other)).map(|(_, thing)| thing)
    }
}

/// The one namespace that a selector asks for, if it does.
fn namespace(selector: &Selector) -> Option<&str> {
    selector.requirements().find_map(|requirement| match requirement {
        Requirement::In(key, values) if key.strip_prefix("k8s:") == Some(NAMESPACE) && values.len() == 1 => {
            values.first().map(String::as_str)
        }
        _ => None,
    })
}
