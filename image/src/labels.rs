//! Which workloads a policy selects: labels, and selectors over them in kubectl's own syntax, which is also
//! their canonical text in an image.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Key of the label that holds a pod's namespace.
pub const NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// Labels of a workload: `source:key` to value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Reads `k=v,...`; a key without a source is Kubernetes' (`k8s:`), the namespace's label is added.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let pairs = parts
            .map(|pair| pair.split_once('=').ok_or_else(|| format!("`{}` is no label: write key=value", pair.escape_default())));
        Self::of(pairs.collect::<Result<Vec<_>, _>>()?, Some(namespace))
    }

    /// The labels of an object that may be in no namespace.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, namespace: Option<&str>) -> Result<Self, String> {
        let mut labels = BTreeMap::new();
        for (key, value) in pairs {
            let wrong = |what: &str, text: &str, why: String| format!("label {what} `{}`: {why}", text.escape_default());
            let key = if split_source(key).0.is_some() { key.to_owned() } else { format!("k8s:{key}") };
            check_word(key.split_once(':').map_or(key.as_str(), |(_, k)| k)).map_err(|why| wrong("key", &key, why))?;
            if !value.is_empty() {
                check_word(value).map_err(|why| wrong("value", value, why))?;
            }
            if labels.insert(key.clone(), value.to_owned()).is_some() {
                return Err(format!("label `{}` is given twice", key.escape_default()));
            }
        }
        labels.extend(namespace.map(|namespace| (format!("k8s:{NAMESPACE}"), namespace.to_owned())));
        Ok(Labels(labels))
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let (source, name) = split_source(key);
        self.0.iter().filter_map(move |(have, value)| {
            let (have_source, have_name) = split_source(have);
            let hit = have_name == name && source.is_none_or(|s| s == "any" || Some(s) == have_source);
            hit.then_some(value.as_str())
        })
    }
}

/// Known label sources (Cilium pkg/labels); another prefix belongs to the key.
fn split_source(key: &str) -> (Option<&str>, &str) {
    match key.split_once(':') {
        Some((source, rest)) if ["k8s", "any", "reserved", "container", "cidr", "unspec"].contains(&source) => {
            (Some(source), rest)
        }
        _ => (None, key),
    }
}

/// Kubernetes' letters of label keys and values, without what would break the selector syntax.
pub fn check_word(word: &str) -> Result<(), String> {
    match word.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_./".contains(*c))) {
        Some(c) => Err(format!("`{}` cannot stand in it", c.escape_default())),
        None if word.is_empty() => Err("it is empty".into()),
        None => Ok(()),
    }
}

/// One condition of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The label is there with one of these values.
    In(String, BTreeSet<String>),
    /// The label is absent or has another value.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
}

/// All requirements must hold; none selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(BTreeSet<Requirement>);

impl Selector {
    /// Adds a condition. A key may bear its source; `any:` is the same as none.
    pub fn require(&mut self, requirement: Requirement) {
        let bare = |k: String| k.strip_prefix("any:").map(str::to_owned).unwrap_or(k);
        self.0.insert(match requirement {
            Requirement::In(k, v) => Requirement::In(bare(k), v),
            Requirement::NotIn(k, v) => Requirement::NotIn(bare(k), v),
            Requirement::Exists(k) => Requirement::Exists(bare(k)),
            Requirement::DoesNotExist(k) => Requirement::DoesNotExist(bare(k)),
        });
    }

    /// The conditions.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.0.iter()
    }

    /// Whether the workload with these labels is selected.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.values(key).any(|v| values.contains(v)),
            Requirement::NotIn(key, values) => !labels.values(key).any(|v| values.contains(v)),
            Requirement::Exists(key) => labels.values(key).next().is_some(),
            Requirement::DoesNotExist(key) => labels.values(key).next().is_none(),
        })
    }

    /// Every workload that this selects, the other selects. May say no where it is so.
    pub fn implies(&self, other: &Selector) -> bool {
        // A label of some source is a label of any.
        let gives = |have: &str, want: &str| have == want || (split_source(want).0.is_none() && split_source(have).1 == want);
        other.0.iter().all(|want| {
            self.0.contains(want)
                || self.0.iter().any(|have| match (have, want) {
                    (Requirement::In(k, a), Requirement::In(l, b)) => gives(k, l) && a.is_subset(b),
                    (Requirement::In(k, _) | Requirement::Exists(k), Requirement::Exists(l)) => gives(k, l),
                    _ => false,
                })
        })
    }

    /// No workload can satisfy both. Keys without a source say little: a workload may bear a label from several.
    pub fn excludes(&self, other: &Selector) -> bool {
        self.apart(other, |a, b| a == b && matches!(split_source(a).0, Some(source) if source != "any"))
    }

    /// No workload can satisfy both, unless it bears one label from two sources and the selectors do not say which.
    pub fn seems_apart(&self, other: &Selector) -> bool {
        self.apart(other, |a, b| match (split_source(a), split_source(b)) {
            ((Some(one), a), (Some(other), b)) => a == b && one == other,
            ((_, a), (_, b)) => a == b,
        })
    }

    fn apart(&self, other: &Selector, same: impl Fn(&str, &str) -> bool) -> bool {
        let apart = |a: &Requirement, b: &Requirement| match (a, b) {
            (Requirement::In(k, a), Requirement::In(l, b)) => same(k, l) && a.is_disjoint(b),
            (Requirement::In(k, a), Requirement::NotIn(l, b)) => same(k, l) && a.is_subset(b),
            (Requirement::In(k, _) | Requirement::Exists(k), Requirement::DoesNotExist(l)) => same(k, l),
            _ => false,
        };
        self.0.iter().any(|a| other.0.iter().any(|b| apart(a, b) || apart(b, a)))
    }

    /// Keys it asks for that these labels do not hold at all: such a selector may never match.
    pub fn missing_keys<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(|requirement| match requirement {
            Requirement::In(key, _) | Requirement::Exists(key) if labels.values(key).next().is_none() => Some(key.as_str()),
            _ => None,
        })
    }

    /// Whether an object may be selected that bears these labels and others of which nothing is known; `unsure`: of this key not
    /// even the value given is certain.
    pub fn may_select(&self, labels: &Labels, unsure: impl Fn(&str) -> bool) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                let mut have = labels.values(key).peekable();
                unsure(key) || have.peek().is_none() || have.any(|value| values.contains(value))
            }
            Requirement::NotIn(key, values) => unsure(key) || !labels.values(key).any(|v| values.contains(v)),
            Requirement::Exists(_) => true,
            Requirement::DoesNotExist(key) => labels.values(key).next().is_none(),
        })
    }

    /// Keys that it wants absent, or of other values, and of which these labels say nothing.
    pub fn forbids_unknown<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(|requirement| match requirement {
            Requirement::NotIn(key, _) | Requirement::DoesNotExist(key) if labels.values(key).next().is_none() => {
                Some(key.as_str())
            }
            _ => None,
        })
    }

    /// Reads the canonical text back.
    pub fn parse(text: &str) -> Option<Self> {
        let selector = Self::of_image(text);
        (selector.to_string() == text).then_some(selector)
    }

    /// Reads a text that `decode` has checked.
    pub(crate) fn of_image(text: &str) -> Self {
        let mut selector = Selector::default();
        if text == "(all)" {
            return selector;
        }
        for part in text.split(' ') {
            let set = |rest: &str| -> BTreeSet<String> { rest.trim_end_matches(')').split('|').map(str::to_owned).collect() };
            selector.require(if let Some(key) = part.strip_prefix('!') {
                Requirement::DoesNotExist(key.into())
            } else if let Some((key, rest)) = part.split_once("!=(") {
                Requirement::NotIn(key.into(), set(rest))
            } else if let Some((key, rest)) = part.split_once("=(") {
                Requirement::In(key.into(), set(rest))
            } else if let Some((key, value)) = part.split_once("!=") {
                Requirement::NotIn(key.into(), [value.to_owned()].into())
            } else if let Some((key, value)) = part.split_once('=') {
                Requirement::In(key.into(), [value.to_owned()].into())
            } else {
                Requirement::Exists(part.into())
            });
        }
        selector
    }
}

impl FromIterator<Requirement> for Selector {
    fn from_iter<T: IntoIterator<Item = Requirement>>(requirements: T) -> Self {
        let mut selector = Selector::default();
        requirements.into_iter().for_each(|requirement| selector.require(requirement));
        selector
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(all)");
        }
        let list = |values: &BTreeSet<String>| match values.len() {
            1 => values.first().cloned().unwrap_or_default(),
            _ => format!("({})", values.iter().map(String::as_str).collect::<Vec<_>>().join("|")),
        };
        for (i, requirement) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            match requirement {
                Requirement::In(key, values) => write!(f, "{key}={}", list(values))?,
                Requirement::NotIn(key, values) => write!(f, "{key}!={}", list(values))?,
                Requirement::Exists(key) => write!(f, "{key}")?,
                Requirement::DoesNotExist(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_and_round_trips() {
        let labels = Labels::parse("app=web,tier=front", "shop").expect("labels");
        for (text, want) in [
            ("(all)", true),
            ("app=web", true),
            ("k8s:app=web", true),
            ("reserved:app=web", false),
            ("app=(api|web)", true),
            ("app!=(api|web)", false),
            ("app!=api", true),
            ("!gone", true),
            ("!app", false),
            ("tier", true),
            ("k8s:io.kubernetes.pod.namespace=shop", true),
            ("k8s:io.kubernetes.pod.namespace=other", false),
        ] {
            let selector = Selector::parse(text).expect(text);
            assert_eq!(selector.selects(&labels), want, "{text}");
        }
        assert_eq!(Selector::parse("app=web app=api"), None, "not canonical");
    }
}
