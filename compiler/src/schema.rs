//! JSON Schemas from the document types, and shape errors from the schemas, all of a document in one run.

use crate::diagnostic::{Code, Findings};
use crate::dialect::calico::CalicoPolicy;
use crate::dialect::eks::ApplicationNetworkPolicy;
use crate::dialect::gke::FqdnNetworkPolicy;
use crate::dialect::network_policy_api::ClusterNetworkPolicy;
use crate::dialect::ovn::EgressFirewall;
use crate::document::{PolicyDocument, ProfileDocument, VerdictsDocument};
use crate::source::{Source, Span};
use crate::yaml::{Document, Node, Step};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{ValidationError, Validator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::OnceLock;

/// A document type with a schema.
pub trait Shape: DeserializeOwned + schemars::JsonSchema + 'static {
    /// File under schemas/, without `.schema.json`.
    const NAME: &'static str;
    /// Where the compiled schema is kept.
    fn cell() -> &'static OnceLock<Option<Validator>>;
}

macro_rules! shapes {
    ($( $type:ty = $name:literal; )*) => {
        $( impl Shape for $type {
            const NAME: &'static str = $name;
            fn cell() -> &'static OnceLock<Option<Validator>> {
                static CELL: OnceLock<Option<Validator>> = OnceLock::new();
                &CELL
            }
        } )*
        /// Every schema: name and JSON.
        pub fn all() -> Vec<(&'static str, Value)> { vec![ $( ($name, schema_of::<$type>()) ),* ] }
    };
}

shapes! {
    PolicyDocument = "policy";
    ProfileDocument = "profile";
    VerdictsDocument = "verdicts";
    ClusterNetworkPolicy = "cluster-network-policy";
    FqdnNetworkPolicy = "gke";
    CalicoPolicy = "calico";
    ApplicationNetworkPolicy = "eks";
    EgressFirewall = "ovn";
}

/// The schema of a type, without nulls: an absent field is absent.
pub fn schema_of<T: Shape>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    without_null(&mut schema);
    schema
}

fn without_null(schema: &mut Value) {
    let null = serde_json::json!({"type": "null"});
    if let Value::Object(object) = schema {
        if let Some(Value::Array(kinds)) = object.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [only] = kinds.as_slice() {
                let only = only.clone();
                object.insert("type".into(), only);
            }
        }
        if let Some(Value::Array(options)) = object.get_mut("anyOf") {
            options.retain(|option| *option != null);
            if let [Value::Object(only)] = options.as_slice() {
                let only = only.clone();
                object.remove("anyOf");
                object.extend(only);
            }
        }
        object.remove("default");
        object.values_mut().for_each(without_null);
    } else if let Value::Array(items) = schema {
        items.iter_mut().for_each(without_null);
    }
}

/// Fills the type, or reports every error of shape.
pub fn read<T: Shape>(source: &Source, document: &Document, findings: &mut Findings) -> Option<T> {
    let root = &document.root;
    for (span, text) in &document.ambiguous {
        let message = format!("`{text}` is a boolean to some readers and a text to others");
        let help = format!("write \"{text}\", or true or false where a boolean is meant");
        findings.at(Code::AmbiguousScalar, source, *span, message, "quote it", help);
        findings.mend(*span, format!("\"{text}\""));
    }
    // INVARIANT: what fills the type also satisfies the schema, which is made from the type; so the schema is asked
    // only where filling fails, and then says all that is wrong, not the first of it.
    let before = findings.0.len();
    no_nulls(source, root, findings);
    if findings.0.len() > before {
        return None;
    }
    let error = match T::deserialize(root.as_ref()) {
        Ok(typed) => return document.ambiguous.is_empty().then_some(typed),
        Err(error) => error,
    };
    let before = findings.0.len();
    let value = serde_json::to_value(root.value()).ok()?;
    let validator = validator::<T>()?;
    for error in validator.iter_errors(&value) {
        report(source, root, &error, findings);
    }
    if findings.0.len() == before && document.ambiguous.is_empty() {
        findings.at(Code::WrongValue, source, root.span, error.to_string(), "in this document", "");
    }
    None
}

/// Lists of destinations that may be empty in this way: they select nothing.
const MAY_BE_NULL: &[&str] = &["toFQDNs", "toCIDR", "toCIDRSet", "toEndpoints", "toEntities"];

/// A key without a value is dropped by some readers and read as an empty value by others.
fn no_nulls(source: &Source, node: &Node, findings: &mut Findings) {
    match &node.kind {
        crate::yaml::Kind::Mapping(pairs) => {
            for (key, span, value) in pairs.iter().filter(|(key, _, _)| !matches!(key.as_str(), "status" | "metadata")) {
                if value.is_null() && !MAY_BE_NULL.contains(&key.as_str()) {
                    let message = format!("`{}` has no value", key.escape_default());
                    findings.at(
                        Code::WrongValue,
                        source,
                        *span,
                        message,
                        "nothing follows",
                        "remove the key, or give it a value",
                    );
                }
                no_nulls(source, value, findings);
            }
        }
        crate::yaml::Kind::Sequence(items) => items.iter().for_each(|item| no_nulls(source, item, findings)),
        crate::yaml::Kind::Scalar(_) => {}
    }
}

/// The compiled schema of a type.
fn validator<T: Shape>() -> Option<&'static Validator> {
    let compiled = || {
        let mut schema = schema_of::<T>();
        plain_enums(&mut schema);
        jsonschema::validator_for(&schema).ok()
    };
    T::cell().get_or_init(compiled).as_ref()
}

/// `oneOf` constants, each with its description, as an `enum`: its errors name the values.
fn plain_enums(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let constants: Option<Vec<Value>> = object
                .get("oneOf")
                .and_then(Value::as_array)
                .map(|list| list.iter().filter_map(|one| one.get("const").cloned()).collect());
            if let Some(constants) =
                constants.filter(|c| Some(c.len()) == object.get("oneOf").and_then(Value::as_array).map(Vec::len))
            {
                object.remove("oneOf");
                object.insert("enum".into(), Value::Array(constants));
            }
            object.values_mut().for_each(plain_enums);
        }
        Value::Array(items) => items.iter_mut().for_each(plain_enums),
        _ => {}
    }
}

/// Whether every document of a text that fills its type also satisfies the type's schema: what `read` relies on.
pub fn agrees(source: &Source) -> Result<(), String> {
    fn one<T: Shape>(document: &Document) -> Result<(), String> {
        let fills = T::deserialize(document.root.as_ref()).is_ok();
        let Ok(value) = serde_json::to_value(document.root.value()) else { return Ok(()) };
        match validator::<T>() {
            Some(validator) if fills && !validator.is_valid(&value) => Err(format!("{}: {value}", T::NAME)),
            _ => Ok(()),
        }
    }
    for document in crate::yaml::parse(source, &mut Findings::default()) {
        one::<PolicyDocument>(&document)?;
        one::<ProfileDocument>(&document)?;
        one::<VerdictsDocument>(&document)?;
        one::<ClusterNetworkPolicy>(&document)?;
        one::<FqdnNetworkPolicy>(&document)?;
        one::<CalicoPolicy>(&document)?;
        one::<ApplicationNetworkPolicy>(&document)?;
        one::<EgressFirewall>(&document)?;
    }
    Ok(())
}

fn report(source: &Source, root: &Node, error: &ValidationError<'_>, findings: &mut Findings) {
    let segments: Vec<LocationSegment<'_>> = error.instance_path().iter().collect();
    let path: Vec<Step<'_>> = segments
        .iter()
        .map(|segment| match segment {
            LocationSegment::Property(key) => Step::Key(key),
            LocationSegment::Index(index) => Step::Index(*index),
        })
        .collect();
    let span = root.span_of(&path);
    let name = path.iter().rev().find_map(|s| if let Step::Key(key) = s { Some(*key) } else { None }).unwrap_or("document");
    let name = name.escape_default();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let holder = root.find(&path).unwrap_or(root);
            for key in unexpected {
                let at = holder.key_span(key).unwrap_or(span);
                let help = match nearest(key).filter(|near| near != key) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if key.eq_ignore_ascii_case("toFQDNs") => {
                        "a denial by name fails open; deny by prefix, allow by name".into()
                    }
                    None => "remove it".to_owned(),
                };
                findings.at(
                    Code::UnknownKey,
                    source,
                    at,
                    format!("unknown key `{}` in `{name}`", key.escape_default()),
                    "not part of the policy language",
                    help,
                );
                if let Some(near) = nearest(key).filter(|near| near != key) {
                    findings.mend(at, near);
                }
            }
        }
        ValidationErrorKind::Required { property } => {
            let property = property.as_str().unwrap_or("?");
            let head = Span { start: span.start, end: (span.start + 1).min(span.end) };
            findings.at(
                Code::MissingKey,
                source,
                head,
                format!("`{property}` is missing in `{name}`"),
                "in this mapping",
                format!("add `{property}:`"),
            );
        }
        ValidationErrorKind::Type { kind } => {
            let want = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => kinds.iter().map(|k| k.to_string()).collect::<Vec<_>>().join(" or "),
            };
            let text = source.text.get(span.start..span.end).unwrap_or("").lines().next().unwrap_or("").trim();
            let help = match want.as_str() {
                "string" if text.len() < 40 && !text.is_empty() => format!("quote it: \"{}\"", text.escape_default()),
                "array" => "write a list: `- ...`".into(),
                _ => String::new(),
            };
            findings.at(
                Code::WrongType,
                source,
                span,
                format!("`{name}` must be {}", spoken(&want)),
                format!("not {}", spoken(&want)),
                help,
            );
            if want == "string" && text.len() < 40 && !text.is_empty() && !text.contains(['[', '{', '-', '"']) {
                findings.mend(Span { start: span.start, end: span.start + text.len() }, format!("\"{text}\""));
            }
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<String> =
                options.as_array().into_iter().flatten().filter_map(|o| o.as_str().map(str::to_owned)).collect();
            findings.at(
                Code::WrongValue,
                source,
                span,
                format!("`{name}` cannot be this"),
                "not one of the values",
                format!("one of: {}", options.join(", ")),
            );
        }
        ValidationErrorKind::OneOfNotValid { .. } | ValidationErrorKind::AnyOf { .. } => {
            findings.at(
                Code::WrongValue,
                source,
                span,
                format!("`{name}` cannot be this"),
                "not one of the values",
                "see `fqdnc schema`",
            );
        }
        _ => findings.at(Code::WrongValue, source, span, format!("`{name}`: {error}"), "here", ""),
    }
}

fn spoken(kind: &str) -> &str {
    match kind {
        "string" => "a string",
        "array" => "a list",
        "object" => "a mapping",
        "boolean" => "true or false",
        "integer" => "a whole number",
        other => other,
    }
}

/// The key of the schema that is spelt most like this one.
fn nearest(key: &str) -> Option<String> {
    KEYS.iter()
        .map(|known| (distance(&key.to_lowercase(), &known.to_lowercase()), *known))
        .filter(|(d, _)| *d <= 2)
        .min()
        .map(|(_, k)| k.to_owned())
}

const KEYS: &[&str] = &[
    "endpointSelector",
    "nodeSelector",
    "ingress",
    "ingressDeny",
    "egress",
    "egressDeny",
    "enableDefaultDeny",
    "labels",
    "description",
    "toFQDNs",
    "toPorts",
    "toCIDR",
    "toCIDRSet",
    "toEndpoints",
    "toEntities",
    "matchName",
    "matchPattern",
    "matchLabels",
    "matchExpressions",
    "ports",
    "port",
    "endPort",
    "protocol",
    "rules",
    "dns",
    "metadata",
    "namespace",
    "name",
    "spec",
    "specs",
    "resolvers",
    "addresses",
    "clusterCIDRs",
    "inCluster",
    "entities",
    "neverLearn",
    "refuse",
    "cnames",
    "updates",
    "workloads",
    "verdicts",
];

/// Edits from one word to the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let step = if x == *y { corner } else { 1 + corner.min(row[j]).min(row[j + 1]) };
            corner = row[j + 1];
            row[j + 1] = step;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_schemas_are_the_generated_ones() {
        let mut stale = Vec::new();
        for (name, schema) in super::all() {
            let path = format!("{}/../schemas/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
            let want = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
            if std::fs::read_to_string(&path).unwrap_or_default() != want {
                if std::env::var_os("BLESS").is_some() {
                    std::fs::write(&path, want).unwrap();
                }
                stale.push(path);
            }
        }
        assert!(stale.is_empty(), "not what the types say (BLESS=1 rewrites them): {stale:?}");
    }
}
