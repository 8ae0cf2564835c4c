//! Kept sets: objects that hold addresses and names for rules to mean, by name or by labels. They count where they stand in the
//! same input as the rule; a rule that means one which does not is refused.

use crate::addresses::Cidr;
use crate::check::{At, Check, Scope};
use crate::diagnostic::{Code, Findings, Severity};
use crate::dialect::calico_selectors::is_own;
use crate::dialect::names;
use crate::document::Metadata;
use crate::kind::{self, Dialect, Kind};
use crate::profile;
use crate::read::LISTS;
use crate::shape;
use crate::source::{Source, Span};
use crate::yaml::{self, Document, Node};
use fqdn_image::Pattern;
use fqdn_image::labels::Labels;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Any;
use std::collections::HashMap;

/// CiliumCIDRGroup (cilium.io/v2).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CidrGroup {
    /// cilium.io/v2
    pub api_version: String,
    /// CiliumCIDRGroup
    pub kind: String,
    /// Its name and labels.
    pub metadata: Metadata,
    /// What it holds.
    pub spec: CidrGroupSpec,
    /// Ignored.
    pub status: Option<Any>,
}

/// What a CiliumCIDRGroup holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CidrGroupSpec {
    /// Prefixes.
    #[serde(rename = "externalCIDRs")]
    pub external_cidrs: Vec<String>,
}

/// NetworkSet and GlobalNetworkSet (projectcalico.org/v3).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkSet {
    /// projectcalico.org/v3
    pub api_version: String,
    /// NetworkSet or GlobalNetworkSet
    pub kind: String,
    /// Its name, namespace and labels.
    pub metadata: Metadata,
    /// What it holds.
    pub spec: Option<NetworkSetSpec>,
}

/// What a set of Calico's holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkSetSpec {
    /// Addresses and prefixes.
    pub nets: Option<Vec<String>>,
    /// Names.
    pub allowed_egress_domains: Option<Vec<String>>,
}

/// A set as it is meant.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// `NetworkSet shop/partners`.
    pub(crate) id: String,
    /// Its name alone.
    pub(crate) name: String,
    /// Its namespace, if it is in one.
    pub(crate) namespace: Option<String>,
    /// Its labels.
    pub(crate) labels: Labels,
    /// Its addresses.
    pub(crate) cidrs: Vec<Cidr>,
    /// Its names.
    pub(crate) names: Vec<Pattern>,
    dialect: Dialect,
    at: (Source, Span),
}

/// The sets of an input.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    all: Vec<Set>,
    refused: bool,
}

/// What stands in every text that holds one.
const KINDS: &[&str] = &["NetworkSet", "CiliumCIDRGroup"];

impl Sets {
    /// All of them. What is wrong with one is told where it is read as a document; here only that one stands twice.
    pub(crate) fn of(sources: &[Source], namespace: &str, findings: &mut Findings) -> Self {
        let mut sets = Sets::default();
        // A kind may be written with escapes.
        let may_hold = |source: &&Source| source.text.contains('\\') || KINDS.iter().any(|kind| source.text.contains(kind));
        for source in sources.iter().filter(may_hold) {
            for document in yaml::parse(source, &mut Findings::default()) {
                collect(source, &document, namespace, &mut sets, 0);
            }
        }
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (i, set) in sets.all.iter().enumerate() {
            if let Some(before) = first.insert(&set.id, i).and_then(|n: usize| sets.all.get(n)) {
                let (source, span) = &set.at;
                let (line, _) = before.at.0.line_column(before.at.1.start);
                let help = format!("first at {}:{line}", before.at.0.name);
                findings.at(Code::SamePolicy, source, *span, format!("the set `{}` stands twice", set.id), "again here", help);
            }
        }
        sets
    }

    /// Whether one of the input could not be read: it may be the one that is missed. INVARIANT: it has been refused where it was
    /// read as a document, so nothing is compiled, and nobody needs to be told again.
    pub(crate) fn some_refused(&self) -> bool {
        self.refused
    }

    /// Those of Calico's.
    pub(crate) fn network_sets(&self) -> impl Iterator<Item = &Set> {
        self.all.iter().filter(|set| set.dialect == Dialect::NetworkSet)
    }

    /// Those of Cilium's.
    pub(crate) fn cidr_groups(&self) -> impl Iterator<Item = &Set> {
        self.all.iter().filter(|set| set.dialect == Dialect::CidrGroup)
    }
}

fn collect(source: &Source, document: &Document, namespace: &str, sets: &mut Sets, depth: usize) {
    match kind::kind_of(&document.root) {
        Kind::List if depth < LISTS => {
            document.items().for_each(|item| collect(source, &item, namespace, sets, depth + 1));
        }
        Kind::Door(door) if door.is_set() => {
            let set = read(source, document, namespace, door.dialect, &mut Findings::default());
            sets.refused |= set.is_none();
            sets.all.extend(set);
        }
        _ => {}
    }
}

/// The set that a document is, unless something is wrong with it.
pub(crate) fn read(
    source: &Source,
    document: &Document,
    namespace: &str,
    dialect: Dialect,
    findings: &mut Findings,
) -> Option<Set> {
    let before = findings.0.len();
    let (profile, none) = (profile::default(), Sets::default());
    let mut check = Check { profile: &profile, sets: &none, namespace: None, findings };
    let (metadata, cidrs, patterns) = match dialect {
        Dialect::CidrGroup => {
            let filled = shape::read::<CidrGroup>(source, document, check.findings)?;
            let (at, told) = (At { source, node: &filled.root }, check.findings.0.len());
            check.object(at, &filled.value.metadata, Scope::Cluster);
            let list = at.key("spec").key("externalCIDRs");
            let texts = filled.value.spec.external_cidrs.iter().enumerate();
            let cidrs = texts.filter_map(|(i, text)| check.cidr(list.index(i), text)).collect();
            filled.keep_certain(check.findings, told);
            (filled.value.metadata, cidrs, Vec::new())
        }
        _ => {
            let filled = shape::read::<NetworkSet>(source, document, check.findings)?;
            let (at, told) = (At { source, node: &filled.root }, check.findings.0.len());
            let global = filled.value.kind == "GlobalNetworkSet";
            let scope = if global { Scope::Cluster } else { Scope::Namespaced { default: namespace } };
            check.object(at, &filled.value.metadata, scope);
            let spec = filled.value.spec.as_ref();
            let nets = spec.and_then(|spec| spec.nets.as_deref()).unwrap_or_default();
            let list = at.key("spec").key("nets");
            let cidrs = nets.iter().enumerate().filter_map(|(i, text)| check.net(list.index(i), text)).collect();
            let domains = spec.and_then(|spec| spec.allowed_egress_domains.as_deref()).unwrap_or_default();
            let list = at.key("spec").key("allowedEgressDomains");
            let patterns = check.domain_names(list, domains, names::of_calico).unwrap_or_default();
            filled.keep_certain(check.findings, told);
            (filled.value.metadata, cidrs, patterns)
        }
    };
    let of = check.namespace.take();
    let kind = document.root.get("kind").and_then(Node::str).unwrap_or("");
    let id = match &of {
        Some(of) => format!("{kind} {of}/{}", metadata.name),
        None => format!("{kind} {}", metadata.name),
    };
    let own = [("projectcalico.org/kind", kind), ("projectcalico.org/name", metadata.name.as_str())];
    let own = own.into_iter().filter(|_| dialect == Dialect::NetworkSet);
    let written = || metadata.labels.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
    let pairs: Vec<(&str, &str)> = own.chain(written()).collect();
    let name_at = document.root.get("metadata").and_then(|m| m.get("name")).map_or(document.root.span, |n| n.span);
    // Else whoever writes a set could say what only its cluster says of it.
    if let Some((key, _)) = written().find(|(key, _)| is_own(key) || key.contains(':')) {
        let message = format!("`{}` is a label that a cluster gives, and no object its own", key.escape_default());
        findings.at(Code::BadLabel, source, name_at, message, "in this set", "call it otherwise");
        return None;
    }
    let labels = match Labels::of(pairs, of.as_deref()) {
        Ok(labels) => labels,
        Err(why) => {
            findings.at(Code::BadLabel, source, name_at, why, "in this set", "");
            return None;
        }
    };
    if findings.0[before..].iter().any(|d| d.severity() == Severity::Error) {
        return None;
    }
    let (name, at) = (metadata.name, (source.clone(), name_at));
    Some(Set { id, name, namespace: of, labels, cidrs, names: patterns, dialect, at })
}
