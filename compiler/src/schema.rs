//! JSON Schemas from the document types. What a text breaks of them is `shape`'s to say.

use crate::diagnostic::Findings;
use crate::dialect::calico::CalicoPolicy;
use crate::dialect::eks::ApplicationNetworkPolicy;
use crate::dialect::gke::FqdnNetworkPolicy;
use crate::dialect::network_policy_api::ClusterNetworkPolicy;
use crate::dialect::ovn::EgressFirewall;
use crate::document::{PolicyDocument, ProfileDocument, VerdictsDocument};
use crate::sets::{CidrGroup, NetworkSet};
use crate::source::Source;
use crate::yaml::Document;
use jsonschema::Validator;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::OnceLock;

/// A document type with a schema.
pub trait Shape: DeserializeOwned + schemars::JsonSchema + 'static {
    /// File under schemas/, without `.schema.json`.
    const NAME: &'static str;
    /// Where the schema is kept.
    fn own() -> &'static OnceLock<Value>;
    /// Where the compiled schema is kept.
    fn cell() -> &'static OnceLock<Option<Validator>>;
}

macro_rules! shapes {
    ($( $type:ty = $name:literal; )*) => {
        $( impl Shape for $type {
            const NAME: &'static str = $name;
            fn own() -> &'static OnceLock<Value> {
                static OWN: OnceLock<Value> = OnceLock::new();
                &OWN
            }
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
    NetworkSet = "calico-set";
    CidrGroup = "cidr-group";
}

/// The schema of a type, without nulls: an absent field is absent.
pub fn schema_of<T: Shape>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    without_null(&mut schema);
    schema
}

/// The schema of a type, made once.
pub(crate) fn of<T: Shape>() -> &'static Value {
    T::own().get_or_init(schema_of::<T>)
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

/// The compiled schema of a type.
pub(crate) fn validator<T: Shape>() -> Option<&'static Validator> {
    let compiled = || {
        let mut schema = of::<T>().clone();
        plain_enums(&mut schema);
        bounds(&mut schema);
        jsonschema::validator_for(&schema).ok()
    };
    T::cell().get_or_init(compiled).as_ref()
}

/// What a number's type holds, which validators leave to whoever reads `format`.
fn bounds(schema: &mut Value) {
    if let Value::Object(object) = schema {
        let range = match object.get("format").and_then(Value::as_str) {
            Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
            Some("uint16") => Some((0, i64::from(u16::MAX))),
            _ => None,
        };
        if let Some((low, high)) = range {
            object.insert("minimum".into(), low.into());
            object.insert("maximum".into(), high.into());
        }
        object.values_mut().for_each(bounds);
    } else if let Value::Array(items) = schema {
        items.iter_mut().for_each(bounds);
    }
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
        one::<NetworkSet>(&document)?;
        one::<CidrGroup>(&document)?;
    }
    Ok(())
}

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
