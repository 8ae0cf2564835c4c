//! Texts to policies: which documents are policies, which are left alone, which are misspelt.

use crate::check;
use crate::diagnostic::{Code, Findings};
use crate::document::PolicyDocument;
use crate::policy::{Policy, Profile};
use crate::schema;
use crate::source::{Source, Span};
use crate::yaml::{self, Document, Node};
use std::collections::HashMap;
use std::rc::Rc;

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

/// What a document is to us.
enum Kind {
    Policy,
    List,
    Other,
    KubernetesPolicy,
    Refused(Code, String),
}

/// Kinds of cilium.io that are no policies of ours.
const CILIUM_OTHER: &[&str] = &[
    "CiliumEndpoint",
    "CiliumEndpointSlice",
    "CiliumIdentity",
    "CiliumNode",
    "CiliumNodeConfig",
    "CiliumExternalWorkload",
    "CiliumCIDRGroup",
    "CiliumEgressGatewayPolicy",
    "CiliumLocalRedirectPolicy",
    "CiliumEnvoyConfig",
    "CiliumClusterwideEnvoyConfig",
    "CiliumLoadBalancerIPPool",
    "CiliumL2AnnouncementPolicy",
    "CiliumPodIPPool",
    "CiliumBGPPeeringPolicy",
    "CiliumBGPClusterConfig",
    "CiliumBGPPeerConfig",
    "CiliumBGPAdvertisement",
    "CiliumBGPNodeConfig",
    "CiliumBGPNodeConfigOverride",
    "CiliumGatewayClassConfig",
];

/// Policies of other systems: to skip one would leave it unenforced in silence.
const FOREIGN: &[(&str, &str)] = &[
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"),
    ("policy.networking.k8s.io", "AdminNetworkPolicy"),
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"),
    ("networking.gke.io", "FQDNNetworkPolicy"),
    ("projectcalico.org", "NetworkPolicy"),
    ("projectcalico.org", "GlobalNetworkPolicy"),
    ("crd.projectcalico.org", "NetworkPolicy"),
    ("crd.projectcalico.org", "GlobalNetworkPolicy"),
    ("networking.k8s.aws", "ApplicationNetworkPolicy"),
    ("k8s.ovn.org", "EgressFirewall"),
];

fn kind_of(root: &Node) -> Kind {
    let Some(kind) = root.get("kind").and_then(Node::str) else { return Kind::Other };
    let version = root.get("apiVersion").and_then(Node::str).unwrap_or("");
    let group = version.split_once('/').map_or("", |(group, _)| group);
    if kind == "List" || (kind.ends_with("List") && root.get("items").is_some()) {
        return Kind::List;
    }
    if matches!(kind, "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy") {
        return Kind::Policy;
    }
    if group == "networking.k8s.io" && kind == "NetworkPolicy" {
        return Kind::KubernetesPolicy;
    }
    if FOREIGN.contains(&(group, kind)) {
        return Kind::Refused(Code::Unsupported, format!("`{kind}` of {group} cannot be compiled yet"));
    }
    let policy_group = group == "cilium.io" || FOREIGN.iter().any(|(g, _)| *g == group && group != "networking.gke.io");
    if policy_group && !CILIUM_OTHER.contains(&kind) {
        return Kind::Refused(Code::UnknownKind, format!("unknown kind `{}` in {group}", kind.escape_default()));
    }
    Kind::Other
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
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = sources.len().div_ceil(threads).max(1);
    let texts: Vec<Text> = std::thread::scope(|scope| {
        let parts: Vec<_> = sources
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(|source| read_text(source, namespace, profile)).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut read = Read::default();
    let mut names: HashMap<String, (Source, Span)> = HashMap::new();
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
            read.policies.push(policy);
        }
    }
    if read.seen == 0 && !findings.refused() {
        let help = format!("{} files with {} other documents were looked at", sources.len(), read.skipped);
        findings.general(Code::NoPolicy, "no policy found", help);
    }
    read
}

fn read_text(source: &Source, namespace: &str, profile: &Profile) -> Text {
    let mut text = Text::default();
    for document in yaml::parse(source, &mut text.findings) {
        read_document(source, document, namespace, profile, &mut text, 0);
    }
    text
}

fn read_document(source: &Source, document: Document, namespace: &str, profile: &Profile, text: &mut Text, depth: usize) {
    let root = &document.root;
    let kind_span = root.get("kind").map_or(root.span, |k| k.span);
    match kind_of(root) {
        Kind::Other => text.skipped += 1,
        Kind::KubernetesPolicy => {
            text.skipped += 1;
            text.findings.at(
                Code::OtherPolicy,
                source,
                kind_span,
                "a Kubernetes NetworkPolicy is left to the CNI",
                "not enforced here",
                "",
            );
        }
        Kind::Refused(code, message) => {
            text.seen += 1;
            let help = if code == Code::UnknownKind {
                "did you mean CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy?"
            } else {
                "write it as a CiliumNetworkPolicy"
            };
            text.findings.at(code, source, kind_span, message, "not a policy that is known here", help);
        }
        Kind::List if depth < 4 => {
            let items = root.get("items").map(Node::items).unwrap_or_default();
            for item in items {
                let inside = |span: &Span| item.span.start <= span.start && span.end <= item.span.end;
                let ambiguous = document.ambiguous.iter().filter(|(span, _)| inside(span)).cloned().collect();
                let item = Document { root: Rc::clone(item), ambiguous };
                read_document(source, item, namespace, profile, text, depth + 1);
            }
        }
        Kind::List => text.skipped += 1,
        Kind::Policy => {
            text.seen += 1;
            let Some(typed) = schema::read::<PolicyDocument>(source, &document, &mut text.findings) else { return };
            let Some(policy) = check::policy(source, root, &typed, namespace, profile, &mut text.findings) else { return };
            let name = root.get("metadata").and_then(|m| m.get("name")).map_or(root.span, |n| n.span);
            text.policies.push((policy, name));
        }
    }
}
