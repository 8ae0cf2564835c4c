//! What the author of an unknown key may have meant: another spelling, another place, or another API's word.
//!
//! INVARIANT: none of this says to leave the key out: what it says would then not be enforced.

use crate::schema::{self, Shape};
use crate::yaml::{Node, Step};
use serde_json::Value;
use std::collections::{HashSet, VecDeque};

/// What to do with a key.
#[derive(Debug, Default)]
pub(crate) struct Advice {
    /// In words.
    pub(crate) help: String,
    /// The key as it may be meant; offered only if reading it again proves it.
    pub(crate) right: Option<String>,
}

/// Words of other APIs, and what this one calls the same; `_` where it is no single key.
const WORDS: &[(&str, &str, &str)] = &[
    ("to", "toFQDNs", "here each kind of destination has a key of its own: `toFQDNs`, `toCIDRSet`, `toEndpoints`, `toEntities`"),
    ("ipBlock", "toCIDRSet", "here it is `toCIDRSet: [{cidr: ..., except: [...]}]`"),
    ("namespaceSelector", "matchLabels", "write the label `k8s:io.kubernetes.pod.namespace` into `matchLabels`"),
    ("policyTypes", "endpointSelector", "here `egress` itself denies all else; `enableDefaultDeny` says otherwise"),
    ("types", "endpointSelector", "here `egress` itself denies all else; `enableDefaultDeny` says otherwise"),
    ("toFQDNs", "domainNames", "here it is `domainNames`"),
    ("toFQDNs", "domains", "here it is `domains`"),
    ("toFQDNs", "dnsName", "here it is `dnsName`, one to a rule"),
    ("toFQDNs", "matches", "here it is `matches`"),
    ("domainNames", "toFQDNs", "here it is `toFQDNs: [{matchName: ...}]`"),
    ("domains", "toFQDNs", "here it is `toFQDNs: [{matchName: ...}]`"),
    ("dnsName", "toFQDNs", "here it is `toFQDNs: [{matchName: ...}]`"),
    ("ports", "toPorts", "here it is `toPorts: [{ports: [...]}]`"),
    ("toPorts", "ports", "here it is `ports`"),
    ("name", "matchName", "here it is `matchName`"),
    ("pattern", "matchPattern", "here it is `matchPattern`"),
    ("matchName", "name", "here it is `name`"),
    ("matchPattern", "pattern", "here it is `pattern`"),
];

/// What APIs call the workloads that a policy is for.
const SUBJECTS: &[&str] = &["endpointSelector", "podSelector", "selector", "subject"];

/// What `key`, unknown in the mapping that `path` leads to, may have been meant for.
pub(crate) fn advice<T: Shape>(root: &Node, path: &[Step<'_>], key: &str) -> Advice {
    let schema = schema::of::<T>();
    let here = keys_at(schema, path);
    let said = |help: &str| Advice { help: help.to_owned(), right: None };
    if key.eq_ignore_ascii_case("toFQDNs") && here.contains(&"toCIDR") && !here.contains(&"toFQDNs") {
        return said("a denial by name fails open; deny by prefix, allow by name");
    }
    let absent = |word: &str| root.find(path).is_some_and(|holder| holder.get(word).is_none());
    let lower = key.to_lowercase();
    let spelt = here.iter().filter(|word| absent(word)).map(|word| (schema::distance(&lower, &word.to_lowercase()), *word));
    let mut near: Vec<(usize, &str)> = spelt.filter(|(d, word)| *d <= 2 && *d < word.len().min(key.len())).collect();
    near.sort_unstable();
    let least = near.first().map_or(0, |(d, _)| *d);
    near.retain(|(d, _)| *d == least);
    if near.first().is_some_and(|(d, _)| *d <= 1) {
        return did_you_mean(&near);
    }
    if let Some(word) = SUBJECTS.iter().find(|word| SUBJECTS.contains(&key) && here.contains(word)) {
        if !absent(word) {
            return said(&format!("another API's word: here it is `{word}`, which stands there already"));
        }
        return Advice { help: format!("another API's word: here it is `{word}`"), right: Some((*word).to_owned()) };
    }
    // From a denial no way leads to what allows.
    if path.iter().any(|step| matches!(step, Step::Key("egressDeny"))) {
        let help = if near.is_empty() {
            format!("nothing here denies by it; the keys are: {}", here.join(", "))
        } else {
            did_you_mean(&near).help
        };
        return Advice { help, right: None };
    }
    let holders = (0..path.len()).rev().filter(|n| keys_at(schema, &path[..*n]).contains(&key));
    if let Some(above) = holders.clone().find(|n| !matches!(path.get(*n), Some(Step::Index(_)))) {
        let levels = path[above..].iter().filter(|step| matches!(step, Step::Key(_))).count();
        let name = path[..above].iter().rev().find_map(|s| if let Step::Key(key) = s { Some(*key) } else { None });
        let place = match (name, path.get(above)) {
            (_, Some(Step::Key(beside))) => format!("beside `{beside}`"),
            (Some(name), _) => format!("in `{name}`"),
            (None, _) => "in the document".into(),
        };
        let levels = if levels == 1 { "one level".into() } else { format!("{levels} levels") };
        return said(&format!("it belongs {levels} up, {place}"));
    }
    for (_, own, help) in WORDS.iter().filter(|(word, _, _)| *word == key) {
        if here.contains(own) {
            return said(help);
        }
        if let Some(way) = way_to(schema, node_at(schema, path), own) {
            return said(&format!("another API's word: here it is `{way}.{own}`"));
        }
    }
    if let Some(way) = way_to(schema, node_at(schema, path), key) {
        return said(&format!("it belongs in `{way}`"));
    }
    if !near.is_empty() {
        return did_you_mean(&near);
    }
    if let Some(way) = way_to(schema, Some(schema), key) {
        return said(&format!("it belongs in `{way}`"));
    }
    let keys: Vec<&str> = here.into_iter().take(12).collect();
    if keys.is_empty() {
        return said("nothing here enforces it: leave this policy to the CNI, or say it in keys that are known");
    }
    said(&format!("nothing here enforces it; the keys are: {}", keys.join(", ")))
}

/// Of words that are equally near, nobody knows which is meant.
fn did_you_mean(near: &[(usize, &str)]) -> Advice {
    let words: Vec<String> = near.iter().map(|(_, word)| format!("`{word}`")).collect();
    let right = if let [(_, only)] = near { Some((*only).to_owned()) } else { None };
    Advice { help: format!("did you mean {}?", words.join(" or ")), right }
}

/// The keys that may be written where a path leads, those that are refused in any case left out.
pub(crate) fn keys_at<'a>(schema: &'a Value, path: &[Step<'_>]) -> Vec<&'a str> {
    let properties = node_at(schema, path).and_then(|node| node.get("properties")).and_then(Value::as_object);
    let refused = |text: &str| text.starts_with("Refused") || text.ends_with("; refused.");
    let welcome = |value: &Value| !value["description"].as_str().is_some_and(refused);
    properties.into_iter().flatten().filter(|(_, value)| welcome(value)).map(|(key, _)| key.as_str()).collect()
}

/// The part of a schema that describes what a path leads to.
fn node_at<'a>(schema: &'a Value, path: &[Step<'_>]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |node, step| {
        let node = match step {
            Step::Key(key) => node.get("properties").and_then(|p| p.get(key)).or_else(|| node.get("additionalProperties"))?,
            Step::Index(_) => node.get("items")?,
        };
        Some(resolved(schema, node))
    })
}

/// What a reference stands for.
fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let name = node.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix("#/$defs/"));
    name.and_then(|name| schema.get("$defs")?.get(name)).unwrap_or(node)
}

/// The nearest mapping below `from` that has the key, as the way there.
fn way_to(schema: &Value, from: Option<&Value>, key: &str) -> Option<String> {
    let mut seen: HashSet<*const Value> = HashSet::new();
    let mut next: VecDeque<(&Value, Vec<&str>)> = from.map(|node| (node, Vec::new())).into_iter().collect();
    while let Some((node, way)) = next.pop_front() {
        let node = resolved(schema, node);
        if !seen.insert(node) {
            continue;
        }
        let properties = node.get("properties").and_then(Value::as_object);
        if !way.is_empty() && properties.is_some_and(|p| p.contains_key(key)) {
            return Some(way.join("."));
        }
        next.extend(node.get("items").map(|items| (items, way.clone())));
        for (name, value) in properties.into_iter().flatten() {
            next.push_back((value, way.iter().copied().chain([name.as_str()]).collect()));
        }
    }
    None
}
