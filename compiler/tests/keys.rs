//! I7: nothing is ignored in silence. Every key of every schema stands in some accepted file; or is refused by name; or is
//! described as one that says nothing here, and then changes nothing.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdnc::diagnostic::Findings;
use fqdnc::source::Source;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The schema that documents of a kind have.
fn schema_of(document: &Value) -> Option<&'static str> {
    let group = document["apiVersion"].as_str()?.split('/').next()?;
    Some(match (group, document["kind"].as_str()?) {
        ("cilium.io", "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy") => "policy",
        ("cilium.io", "CiliumCIDRGroup") => "cidr-group",
        ("policy.networking.k8s.io", "ClusterNetworkPolicy") => "cluster-network-policy",
        ("networking.gke.io", "FQDNNetworkPolicy") => "gke",
        ("projectcalico.org" | "crd.projectcalico.org", "NetworkPolicy" | "GlobalNetworkPolicy") => "calico",
        ("projectcalico.org" | "crd.projectcalico.org", "NetworkSet" | "GlobalNetworkSet") => "calico-set",
        ("networking.k8s.aws", "ApplicationNetworkPolicy") => "eks",
        ("k8s.ovn.org", "EgressFirewall") => "ovn",
        ("fqdn.policy", "Profile") => "profile",
        _ => return None,
    })
}

/// A document that is accepted, its schema, and where it stands.
struct Accepted {
    schema: &'static str,
    document: Value,
    folder: PathBuf,
}

fn accepted() -> Vec<Accepted> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["golden/accept", "policies"].into_iter().flat_map(|kind| fs::read_dir(root.join(kind)).unwrap().flatten());
    let mut out = Vec::new();
    for folder in folders.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if !(name.ends_with(".yaml") || name.ends_with(".json")) {
                continue;
            }
            for document in serde_yaml::Deserializer::from_str(&fs::read_to_string(&file).unwrap()) {
                let Ok(value) = <serde_yaml::Value as serde::Deserialize>::deserialize(document) else { break };
                let Ok(document) = serde_json::to_value(value) else { continue };
                let items = document["items"].as_array().cloned().unwrap_or_else(|| vec![document]);
                for document in items {
                    let schema = if name.ends_with(".verdicts.yaml") { Some("verdicts") } else { schema_of(&document) };
                    out.extend(schema.map(|schema| Accepted { schema, document, folder: folder.clone() }));
                }
            }
        }
    }
    out
}

/// A way through a schema: `[]` = an element, `*` = any key.
type Way = Vec<String>;

/// A key of one of a schema's types: its description, and the ways to it.
#[derive(Default)]
struct Key {
    text: String,
    ways: Vec<Way>,
}

/// Every key below `node`. The schemas are trees: no type holds itself.
fn keys(schema: &Value, node: &Value, way: &[String], out: &mut BTreeMap<(String, String), Key>) {
    let name = node["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/"));
    let node = name.map_or(node, |name| &schema["$defs"][name]);
    let step = |name: &str| way.iter().cloned().chain([name.to_owned()]).collect::<Vec<_>>();
    for (key, value) in node["properties"].as_object().into_iter().flatten() {
        let known = out.entry((name.unwrap_or("").to_owned(), key.clone())).or_default();
        known.text = value["description"].as_str().unwrap_or("").to_owned();
        known.ways.push(step(key));
        keys(schema, value, &step(key), out);
    }
    for (inner, name) in [("items", "[]"), ("additionalProperties", "*")] {
        if node[inner].is_object() {
            keys(schema, &node[inner], &step(name), out);
        }
    }
}

/// The mappings of a document that a way leads to.
fn reached<'a>(node: &'a mut Value, way: &[String]) -> Vec<&'a mut Value> {
    let Some((step, rest)) = way.split_first() else { return vec![node] };
    match (step.as_str(), node) {
        ("[]", Value::Array(items)) => items.iter_mut().flat_map(|item| reached(item, rest)).collect(),
        ("*", Value::Object(fields)) => fields.values_mut().flat_map(|value| reached(value, rest)).collect(),
        (key, Value::Object(fields)) => fields.get_mut(key).map(|value| reached(value, rest)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// What is said of a document, and what is made of it.
fn compile(base: &Accepted, document: &Value) -> (Findings, Option<Vec<u8>>) {
    let mut findings = Findings::default();
    let text = serde_json::to_string_pretty(document).unwrap();
    if base.schema == "profile" {
        let profile = fqdnc::load_profile(Some(&Source::new("changed", text)), &mut findings);
        let lines = profile.filter(|_| !findings.refused()).map(|profile| profile.text.join("\n").into_bytes());
        return (findings, lines);
    }
    // With all that stands beside it.
    let read = |name: &str| fs::read_to_string(base.folder.join(name)).ok().map(|text| Source::new(name, text));
    let profile = fqdnc::load_profile(read("cluster.profile.yaml").as_ref(), &mut Findings::default()).unwrap();
    let beside = accepted().into_iter().filter(|a| a.folder == base.folder && !["profile", "verdicts"].contains(&a.schema));
    let beside = beside.filter(|a| a.document != base.document).map(|a| Source::new("beside", a.document.to_string()));
    let sources: Vec<Source> = [Source::new("changed", text)].into_iter().chain(beside).collect();
    let compiled = fqdnc::compile(&sources, &profile, "default", &mut findings);
    (findings, compiled.map(|compiled| compiled.bytes))
}

#[test]
fn i7_nothing_is_ignored_in_silence() {
    let mut bases = accepted();
    let (mut refused, mut silent, mut missing) = (0, 0, Vec::new());
    let mut used = 0;
    for (name, schema) in fqdnc::schema::all() {
        let mut all = BTreeMap::new();
        keys(&schema, &schema, &[], &mut all);
        for ((of, key), Key { text, ways }) in all {
            let place = format!("{name}: {key} of {}", if of.is_empty() { "the document" } else { &of });
            let says_nothing = ["Not read", "Ignored", "Left to the CNI", "Without meaning"].iter().any(|w| text.starts_with(w));
            let of_none = ["cluster-network-policy", "cidr-group"].contains(&name) && key == "namespace";
            let is_refused = text.starts_with("Refused") || text.ends_with("; refused.") || of_none;
            if !says_nothing && !is_refused {
                let of_this = bases.iter_mut().filter(|base| base.schema == name);
                let stands = of_this.map(|base| ways.iter().map(|way| reached(&mut base.document, way).len()).sum::<usize>());
                if stands.sum::<usize>() == 0 {
                    missing.push(place)
                } else {
                    used += 1
                }
                continue;
            }
            // Into a document that is compiled as it is, and reaches where the key belongs.
            let tried = bases.iter().filter(|base| base.schema == name).flat_map(|base| ways.iter().map(move |way| (base, way)));
            let base = tried.into_iter().find_map(|(base, way)| {
                let mut changed = base.document.clone();
                let mut holders = reached(&mut changed, &way[..way.len() - 1]);
                let fields = holders.first_mut()?.as_object_mut()?;
                if fields.contains_key(&key) {
                    return None;
                }
                let value = if is_refused && !of_none { serde_json::json!([{"x": "y"}]) } else { value_of(&schema, way) };
                fields.insert(key.clone(), value);
                Some((Accepted { schema: base.schema, document: base.document.clone(), folder: base.folder.clone() }, changed))
            });
            let Some((base, changed)) = base else {
                missing.push(format!("{place}: nothing accepted reaches it"));
                continue;
            };
            let (findings, made) = compile(&base, &changed);
            let said: Vec<String> = findings.0.iter().map(|d| d.message.clone()).collect();
            if is_refused {
                refused += 1;
                if made.is_some() || !said.iter().any(|m| m.contains(&format!("`{key}`"))) {
                    missing.push(format!("{place} is not refused by name: {said:?}"));
                }
            } else {
                silent += 1;
                if made.is_none() || made != compile(&base, &base.document).1 {
                    missing.push(format!("{place} changes something: {said:?}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "in no accepted file, or: {missing:#?}");
    assert!(refused >= 40 && silent >= 20 && used >= 120, "{refused} refused, {silent} silent, {used} used");
}

/// A value that has the type of a key.
fn value_of(schema: &Value, way: &[String]) -> Value {
    let mut node = schema;
    for step in way {
        let name = node["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/"));
        node = name.map_or(node, |name| &schema["$defs"][name]);
        node = match step.as_str() {
            "[]" => &node["items"],
            "*" => &node["additionalProperties"],
            key => &node["properties"][key],
        };
    }
    match node["type"].as_str() {
        Some("array") => serde_json::json!([]),
        Some("string") => serde_json::json!("x"),
        Some("boolean") => serde_json::json!(true),
        _ => serde_json::json!({"x": "y"}),
    }
}
