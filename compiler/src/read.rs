//! Texts to policies, each by its dialect's door; what was refused stands among the findings.

use crate::alone;
use crate::check::{self, At, Check, Scope};
use crate::diagnostic::{Code, Findings, Severity};
use crate::dialect::calico::{self, CalicoPolicy};
use crate::dialect::eks::{self, ApplicationNetworkPolicy};
use crate::dialect::gke::{self, FqdnNetworkPolicy};
use crate::dialect::network_policy_api::{self, ClusterNetworkPolicy};
use crate::dialect::ovn::{self, EgressFirewall};
use crate::dns_ports::DnsPorts;
use crate::document::{Metadata, PolicyDocument};
use crate::kind::{self, Dialect, Kind};
use crate::lint;
use crate::policy::{Policy, Profile, Rule};
use crate::schema::Shape;
use crate::sets::{self, Sets};
use crate::shape;
use crate::source::{Source, Span};
use crate::yaml::{self, Document, Node};
use std::collections::HashMap;

/// What the texts held.
#[derive(Debug, Default)]
pub struct Read {
    /// The policies.
    pub policies: Vec<Policy>,
    /// Documents of other kinds, or none.
    pub skipped: usize,
    /// Policy documents, refused ones among them.
    pub seen: usize,
}

/// Where a document stands and what its reading needs.
struct Place<'a> {
    source: &'a Source,
    namespace: &'a str,
    profile: &'a Profile,
    sets: &'a Sets,
}

impl Place<'_> {
    /// The policy that `read` makes of a document, unless something was refused.
    fn policy<T: Shape>(
        &self,
        document: &Document,
        findings: &mut Findings,
        metadata: impl Fn(&T) -> (&Metadata, bool),
        read: impl Fn(&mut Check<'_>, At<'_>, &T) -> Option<(Vec<Rule>, bool)>,
    ) -> Option<Policy> {
        let before = findings.0.len();
        let filled = shape::read::<T>(self.source, document, findings)?;
        let (typed, shape_end) = (&filled.value, findings.0.len());
        let at = At { source: self.source, node: &filled.root };
        let mut check = Check { profile: self.profile, sets: self.sets, namespace: None, findings };
        let (metadata, cluster_wide) = metadata(typed);
        let scope = if cluster_wide { Scope::Cluster } else { Scope::Namespaced { default: self.namespace } };
        check.object(at, metadata, scope);
        let rules = read(&mut check, at, typed);
        let kind = filled.root.get("kind").and_then(Node::str).unwrap_or("");
        let name = match &check.namespace {
            Some(namespace) => format!("{namespace}/{}", metadata.name),
            None => metadata.name.clone(),
        };
        let id = if kind.starts_with("Cilium") { name } else { format!("{kind}:{name}") };
        filled.keep_certain(findings, shape_end);
        let refused = findings.0[before..].iter().any(|d| d.severity() == Severity::Error);
        let (rules, alone) = rules.filter(|_| !refused)?;
        let filter = (kind == "ApplicationNetworkPolicy").then(|| eks::filter(&rules)).flatten();
        Some(Policy { id, rules, alone, filter })
    }

    /// What a document of this dialect means.
    fn read(&self, dialect: Dialect, document: &Document, findings: &mut Findings) -> Option<Policy> {
        match dialect {
            Dialect::Cilium => self.policy(
                document,
                findings,
                |d: &PolicyDocument| (&d.metadata, d.kind == "CiliumClusterwideNetworkPolicy"),
                |check, at, d| Some((check::policy(check, at, d), false)),
            ),
            Dialect::ClusterNetworkPolicy => self.policy(
                document,
                findings,
                |d: &ClusterNetworkPolicy| (&d.metadata, true),
                |check, at, d| network_policy_api::rules(check, at, d).map(|rules| (rules, true)),
            ),
            Dialect::Gke => self.policy(
                document,
                findings,
                |d: &FqdnNetworkPolicy| (&d.metadata, false),
                |check, at, d| gke::rules(check, at, d).map(|rules| (rules, false)),
            ),
            Dialect::Calico => {
                self.policy(document, findings, |d: &CalicoPolicy| (&d.metadata, d.kind == "GlobalNetworkPolicy"), calico::rules)
            }
            Dialect::Eks => self.policy(
                document,
                findings,
                |d: &ApplicationNetworkPolicy| (&d.metadata, false),
                |check, at, d| eks::rules(check, at, d).map(|rules| (rules, false)),
            ),
            Dialect::Ovn => self.policy(
                document,
                findings,
                |d: &EgressFirewall| (&d.metadata, false),
                |check, at, d| ovn::rules(check, at, d).map(|rules| (rules, true)),
            ),
            Dialect::CidrGroup | Dialect::NetworkSet => {
                // What it holds is known already (`Sets::of`); here it is told what is wrong with it.
                sets::read(self.source, document, self.namespace, dialect, findings);
                None
            }
        }
    }
}

/// What one text held.
#[derive(Default)]
struct Text {
    policies: Vec<(Policy, Span)>,
    skipped: usize,
    seen: usize,
    findings: Findings,
}

/// Every policy of these texts. Texts are read side by side; what they gave is put together in their order (I4).
pub fn read(sources: &[Source], namespace: &str, profile: &Profile, findings: &mut Findings) -> Read {
    let sets = &Sets::of(sources, namespace, findings);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = sources.len().div_ceil(threads).max(1);
    let texts: Vec<Text> = std::thread::scope(|scope| {
        let parts: Vec<_> = sources
            .chunks(share)
            .map(|part| {
                scope.spawn(move || part.iter().map(|source| read_text(source, namespace, profile, sets)).collect::<Vec<_>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut read = Read::default();
    let mut names: HashMap<String, (Source, Span)> = HashMap::new();
    let mut places = Vec::new();
    for (source, text) in sources.iter().zip(texts) {
        findings.0.extend(text.findings.0);
        read.skipped += text.skipped;
        read.seen += text.seen;
        for (policy, name) in text.policies {
            if let Some((first, at)) = names.insert(policy.id.clone(), (source.clone(), name)) {
                let (line, _) = first.line_column(at.start);
                let help = format!("first at {}:{line}", first.name);
                findings.at(
                    Code::SamePolicy,
                    source,
                    name,
                    format!("the policy `{}` stands twice", policy.id),
                    "again here",
                    help,
                );
                continue;
            }
            places.push((source.clone(), name));
            read.policies.push(policy);
        }
    }
    let dns_ports = DnsPorts::of(profile, &read.policies);
    alone::check(&read.policies, &dns_ports, &places, findings);
    lint::together(&read.policies, &dns_ports, &places, findings);
    findings.fold();
    if read.seen == 0 && !findings.refused() {
        let help = format!("{} files with {} other documents were looked at", sources.len(), read.skipped);
        findings.general(Code::NoPolicy, "no policy found", help);
    }
    read
}

/// Lists in lists that are read.
pub(crate) const LISTS: usize = 4;

fn read_text(source: &Source, namespace: &str, profile: &Profile, sets: &Sets) -> Text {
    let mut text = Text::default();
    let place = Place { source, namespace, profile, sets };
    for document in yaml::parse(source, &mut text.findings) {
        read_document(&place, document, &mut text, 0);
    }
    text
}

fn read_document(place: &Place<'_>, document: Document, text: &mut Text, depth: usize) {
    let source = place.source;
    let root = &document.root;
    let kind_span = root.get("kind").map_or(root.span, |k| k.span);
    match kind::kind_of(root) {
        Kind::Other => text.skipped += 1,
        Kind::Left(message) => {
            text.skipped += 1;
            text.findings.at(Code::OtherPolicy, source, kind_span, message, "not enforced here", "");
        }
        Kind::Refused(code, message, help) => {
            text.seen += 1;
            text.findings.at(code, source, kind_span, message, "not a policy that is known here", help);
        }
        Kind::List if depth < LISTS => {
            // A typed list as the API server sends it: its items have no kind of their own.
            let typed = root.get("kind").and_then(Node::str).and_then(kind::kind_of_items);
            let items = root.get("items").map(Node::items).unwrap_or_default();
            let holder = root.get("items").unwrap_or(root);
            let odd = items.iter().find(|item| !item.is_mapping()).map(|item| item.span);
            if let Some(span) =
                odd.or((!holder.is_sequence() && !holder.is_null() && root.get("items").is_some()).then_some(holder.span))
            {
                text.seen += 1;
                text.findings.at(
                    Code::WrongType,
                    source,
                    span,
                    "`items` of a list are documents",
                    "none here",
                    "write `- apiVersion: ...`",
                );
            }
            if let (Some(kind), Some(item)) = (typed, items.iter().find(|item| item.get("kind").is_none())) {
                text.seen += 1;
                let message = format!("an item of `{kind}List` without `kind`");
                let help = format!("write `apiVersion` and `kind: {kind}` into each item, as kubectl does");
                text.findings.at(Code::MissingKey, source, item.span, message, "in this item", help);
            }
            for item in document.items() {
                read_document(place, item, text, depth + 1);
            }
        }
        Kind::List => {
            text.seen += 1;
            let message = format!("lists in lists, deeper than {LISTS}");
            text.findings.at(Code::Depth, source, kind_span, message, "what is in this one is not read", "write its items apart");
        }
        Kind::Door(door) => {
            text.seen += usize::from(!door.is_set());
            let version = root.get("apiVersion");
            let have = version.and_then(Node::str).unwrap_or("");
            // Of another version the keys are not known either.
            if let (false, Some(want)) = (door.versions.contains(&have), door.versions.first()) {
                let span = version.map_or(root.span, |node| node.span);
                let message = format!("`{}` is not known for this kind", have.escape_default());
                text.findings.at(Code::UnknownVersion, source, span, message, "not known", format!("write `{want}`"));
                text.findings.mend(span, *want);
                return;
            }
            let Some(policy) = place.read(door.dialect, &document, &mut text.findings) else { return };
            let name = root.get("metadata").and_then(|m| m.get("name")).map_or(root.span, |n| n.span);
            text.policies.push((policy, name));
        }
    }
}
