//! Trees to typed documents: every error of shape in one run, and what can be read beside them is still given.

use crate::diagnostic::{Code, Diagnostic, Findings, Severity};
use crate::misplaced;
use crate::schema::{self, Shape};
use crate::source::{Source, Span};
use crate::yaml::{Document, Kind, Node, Step};
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use serde_json::Value;
use std::collections::HashSet;
use std::rc::Rc;

/// A document as far as it can be read.
#[derive(Debug)]
pub struct Filled<T> {
    /// What it holds.
    pub value: T,
    /// The tree that was read: without what has a wrong shape.
    pub root: Rc<Node>,
    /// Where the mappings begin that lost something; none = the whole document was read.
    holes: Option<Vec<usize>>,
}

impl<T> Filled<T> {
    /// Of a document read in part, what is said of something missing may be wrong: keeps what is certain of the findings from
    /// the `before`th on.
    pub fn keep_certain(&self, findings: &mut Findings, before: usize) {
        let Some(holes) = &self.holes else { return };
        let certain = |finding: &Diagnostic| {
            finding.severity() == Severity::Error && !finding.code.speaks_of_absence() && !holes.contains(&finding.span.start)
        };
        let mut later = findings.0.split_off(before.min(findings.0.len()));
        later.retain(certain);
        findings.0.append(&mut later);
    }
}

/// Rounds of cutting, until nothing more is wrong: each removes what the one before made incomplete.
const ROUNDS: usize = 8;

/// Fills the type with what has the right shape, and reports all that has not.
pub fn read<T: Shape>(source: &Source, document: &Document, findings: &mut Findings) -> Option<Filled<T>> {
    for (span, text) in &document.ambiguous {
        let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic());
        let what = if is_word { "a boolean" } else { "a number" };
        let message = format!("`{}` is {what} to some readers, and something else to others", text.escape_default());
        let other = if is_word { "true or false where a boolean is meant" } else { "the number in plain digits" };
        let help = format!("write \"{}\", or {other}", text.escape_default());
        findings.at(Code::AmbiguousScalar, source, *span, message, "quote it", help);
        findings.mend(*span, format!("\"{text}\""));
    }
    let mut holes = Vec::new();
    no_nulls(source, &document.root, findings, &mut holes);
    let mut whole = document.ambiguous.is_empty() && holes.is_empty();
    let mut root = Rc::clone(&document.root);
    for round in 0..ROUNDS {
        // INVARIANT: what fills the type also satisfies the schema, which is made from the type; so the schema is asked
        // only where filling fails, and then says all that is wrong, not the first of it.
        if let Ok(value) = T::deserialize(root.as_ref()) {
            return Some(Filled { value, root, holes: (!whole).then_some(holes) });
        }
        whole = false;
        let value = serde_json::to_value(root.value()).ok()?;
        let mut cuts = HashSet::new();
        let before = findings.0.len();
        for error in schema::validator::<T>()?.iter_errors(&value) {
            if round == 0 {
                report::<T>(source, &root, &error, findings);
            }
            cut(&root, &error, &mut cuts);
        }
        if round == 0 && findings.0.len() == before {
            // What the schema takes and the type does not: `1000.0` for a whole number.
            let help = "write whole numbers in plain digits";
            findings.at(Code::WrongValue, source, root.span, "a value here cannot be read", "in this document", help);
        }
        root = root.without(&cuts, &mut holes).filter(|_| !cuts.is_empty())?;
    }
    None
}

/// Unknown keys that are told of one mapping.
const MOST_KEYS: usize = 100;

/// Lists of destinations that may be empty in this way: they select nothing.
const MAY_BE_NULL: &[&str] = &["toFQDNs", "toCIDR", "toCIDRSet", "toEndpoints", "toEntities"];

/// A key without a value is dropped by some readers and read as an empty value by others.
fn no_nulls(source: &Source, node: &Node, findings: &mut Findings, holes: &mut Vec<usize>) {
    match &node.kind {
        Kind::Mapping(pairs) => {
            for (key, span, value) in pairs.iter().filter(|(key, _, _)| !matches!(key.as_str(), "status" | "metadata")) {
                if value.is_null() && !MAY_BE_NULL.contains(&key.as_str()) {
                    let message = format!("`{}` has no value", key.escape_default());
                    let help = "write its value: without one it means different things to different readers";
                    findings.at(Code::WrongValue, source, *span, message, "nothing follows", help);
                    holes.push(node.span.start);
                }
                no_nulls(source, value, findings, holes);
            }
        }
        Kind::Sequence(items) => items.iter().for_each(|item| no_nulls(source, item, findings, holes)),
        Kind::Scalar(_) => {}
    }
}

/// The way to where an error is.
fn path_of<'a>(segments: &'a [LocationSegment<'a>]) -> Vec<Step<'a>> {
    let step = |segment: &'a LocationSegment<'a>| match segment {
        LocationSegment::Property(key) => Step::Key(key),
        LocationSegment::Index(index) => Step::Index(*index),
    };
    segments.iter().map(step).collect()
}

/// The values that an error makes unreadable: the smallest that can be missing.
fn cut(root: &Node, error: &ValidationError<'_>, cuts: &mut HashSet<*const Node>) {
    let segments: Vec<LocationSegment<'_>> = error.instance_path().iter().collect();
    let path = path_of(&segments);
    // Of a mapping that lacks something, or of a list of words with a wrong one, nothing is known.
    let whole = |last: fn(&Step<'_>) -> bool| path.iter().rposition(last).map_or(&path[..], |at| &path[..=at]);
    let gone = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let holder = root.find(&path);
            if unexpected.len() > MOST_KEYS {
                cuts.extend(holder.map(std::ptr::from_ref));
                return;
            }
            cuts.extend(unexpected.iter().filter_map(|key| holder?.get(key)).map(std::ptr::from_ref));
            return;
        }
        ValidationErrorKind::Required { .. } => whole(|step| matches!(step, Step::Index(_))),
        ValidationErrorKind::Enum { .. } => whole(|step| matches!(step, Step::Key(_))),
        _ => &path[..],
    };
    cuts.extend(root.find(gone).map(std::ptr::from_ref));
}

fn report<T: Shape>(source: &Source, root: &Node, error: &ValidationError<'_>, findings: &mut Findings) {
    let segments: Vec<LocationSegment<'_>> = error.instance_path().iter().collect();
    let path = path_of(&segments);
    let span = root.span_of(&path);
    let key = path.iter().rev().find_map(|s| if let Step::Key(key) = s { Some(*key) } else { None }).unwrap_or("document");
    let key = key.escape_default();
    // What an error inside a list speaks of.
    let name = if matches!(path.last(), Some(Step::Index(_))) { format!("an entry of `{key}`") } else { format!("`{key}`") };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let Some(holder) = root.find(&path) else { return };
            if let Some(more) = unexpected.len().checked_sub(MOST_KEYS).filter(|more| *more > 0) {
                let message = format!("{more} more unknown keys in {name}");
                findings.at(Code::UnknownKey, source, span, message, "in this mapping", "");
            }
            for key in unexpected.iter().take(MOST_KEYS) {
                let at = holder.key_span(key).unwrap_or(span);
                let advice = misplaced::advice::<T>(root, &path, key);
                let message = format!("unknown key `{}` in {name}", key.escape_default());
                findings.at(Code::UnknownKey, source, at, message, "not part of the policy language", advice.help);
                if let Some(right) = advice.right {
                    findings.mend(at, right);
                }
            }
        }
        ValidationErrorKind::Required { property } => {
            let property = property.as_str().unwrap_or("?");
            let head = Span { start: span.start, end: (span.start + 1).min(span.end) };
            let message = format!("`{property}` is missing in {name}");
            findings.at(Code::MissingKey, source, head, message, "in this mapping", format!("add `{property}:`"));
        }
        ValidationErrorKind::Type { kind } => {
            let want = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => kinds.iter().map(|k| k.to_string()).collect::<Vec<_>>().join(" or "),
            };
            let (help, right) = retyped::<T>(source, root, &path, &want);
            let message = format!("{name} must be {}", spoken(&want));
            findings.at(Code::WrongType, source, span, message, format!("not {}", spoken(&want)), help);
            if let Some(right) = right {
                findings.mend(span, right);
            }
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let help = format!("one of: {}", options.join(", "));
            findings.at(Code::WrongValue, source, span, format!("{name} cannot be this"), "not one of the values", help);
            let written = root.find(&path).and_then(Node::str).unwrap_or("");
            if let Some(right) = options.iter().find(|option| option.eq_ignore_ascii_case(written)) {
                findings.mend(span, *right);
            }
        }
        ValidationErrorKind::OneOfNotValid { .. } | ValidationErrorKind::AnyOf { .. } => {
            let help = format!("see `fqdnc schema {}`", T::NAME);
            findings.at(Code::WrongValue, source, span, format!("{name} cannot be this"), "not one of the values", help);
        }
        _ => findings.at(Code::WrongValue, source, span, format!("{name}: {error}"), "here", ""),
    }
}

/// What to write where a value has another type, and the value as it would be right.
fn retyped<T: Shape>(source: &Source, root: &Node, path: &[Step<'_>], want: &str) -> (String, Option<String>) {
    let Some(node) = root.find(path) else { return (String::new(), None) };
    let text = source.text.get(node.span.start..node.span.end).unwrap_or("");
    let short = !text.is_empty() && text.len() < 40 && !text.contains('\n');
    let keys = || misplaced::keys_at(schema::of::<T>(), path).join(", ");
    match (want, &node.kind) {
        (_, Kind::Scalar(serde_yaml::Value::Null)) => ("nothing stands here".into(), None),
        ("string", Kind::Scalar(_)) if short => {
            let quoted = format!("\"{}\"", text.escape_default());
            (format!("quote it: {quoted}"), Some(quoted))
        }
        ("integer" | "boolean", Kind::Scalar(serde_yaml::Value::String(word))) => match serde_yaml::from_str(word) {
            Ok(serde_yaml::Value::Number(_)) if want == "integer" => ("write it without quotes".into(), Some(word.clone())),
            Ok(serde_yaml::Value::Bool(_)) if want == "boolean" => ("write it without quotes".into(), Some(word.clone())),
            _ => (String::new(), None),
        },
        ("array", Kind::Scalar(_)) if short => (format!("write a list: `[{text}]`"), Some(format!("[{text}]"))),
        ("array", Kind::Mapping(_)) => ("write a list: `- ` before its first key, the others below it".into(), None),
        ("object", Kind::Scalar(_)) if !keys().is_empty() => (format!("write one of its keys before it: {}", keys()), None),
        ("object", Kind::Sequence(_)) if !keys().is_empty() => (format!("write its keys, without `- `: {}", keys()), None),
        _ => (String::new(), None),
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
