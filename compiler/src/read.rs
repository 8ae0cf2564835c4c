//! Texts to policies: which documents are policies, which are left alone, which are misspelt.

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
use crate::lint;
use crate::policy::{Policy, Profile, Rule};
use crate::schema::{self, Shape};
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
    Policy(&'static Door),
    List,
    Other,
    KubernetesPolicy,
    Refused(Code, String, String),
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

/// A kind of policy that can be compiled.
struct Door {
    group: &'static str,
    kind: &'static str,
    read: fn(&Place<'_>, &Document, &mut Findings) -> Option<Policy>,
}

const DOORS: &[Door] = &[
    Door { group: "cilium.io", kind: "CiliumNetworkPolicy", read: cilium },
    Door { group: "cilium.io", kind: "CiliumClusterwideNetworkPolicy", read: cilium },
    Door { group: "policy.networking.k8s.io", kind: "ClusterNetworkPolicy", read: cluster_network_policy },
    Door { group: "networking.gke.io", kind: "FQDNNetworkPolicy", read: fqdn_network_policy },
    Door { group: "projectcalico.org", kind: "NetworkPolicy", read: calico_policy },
    Door { group: "projectcalico.org", kind: "GlobalNetworkPolicy", read: calico_policy },
    Door { group: "crd.projectcalico.org", kind: "NetworkPolicy", read: calico_policy },
    Door { group: "crd.projectcalico.org", kind: "GlobalNetworkPolicy", read: calico_policy },
    Door { group: "networking.k8s.aws", kind: "ApplicationNetworkPolicy", read: application_network_policy },
    Door { group: "k8s.ovn.org", kind: "EgressFirewall", read: egress_firewall },
];

/// Policies that cannot be compiled, and why: to skip one would leave it unenforced in silence.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("policy.networking.k8s.io", "AdminNetworkPolicy", "write it as a ClusterNetworkPolicy of v1alpha2"),
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy", "it comes after every other policy: leave it to the CNI"),
    (
        "networking.k8s.aws",
        "ClusterNetworkPolicy",
        "its documentation and its agent disagree on the order of its rules: leave it to the CNI",
    ),
    ("network.openshift.io", "EgressNetworkPolicy", "write it as an EgressFirewall of k8s.ovn.org"),
    ("projectcalico.org", "StagedNetworkPolicy", "a staged policy is not enforced: leave it out"),
    ("projectcalico.org", "StagedGlobalNetworkPolicy", "a staged policy is not enforced: leave it out"),
    ("projectcalico.org", "StagedKubernetesNetworkPolicy", "a staged policy is not enforced: leave it out"),
];

/// Kinds of these groups that hold no policy.
const NO_POLICY: &[(&str, &[&str])] = &[
    ("cilium.io", CILIUM_OTHER),
    (
        "projectcalico.org",
        &[
            "BGPConfiguration",
            "BGPFilter",
            "BGPPeer",
            "CalicoNodeStatus",
            "ClusterInformation",
            "FelixConfiguration",
            "GlobalNetworkSet",
            "HostEndpoint",
            "IPAMConfiguration",
            "IPPool",
            "IPReservation",
            "KubeControllersConfiguration",
            "NetworkSet",
            "Node",
            "Profile",
            "Tier",
            "WorkloadEndpoint",
        ],
    ),
    (
        "k8s.ovn.org",
        &[
            "EgressIP",
            "EgressQoS",
            "EgressService",
            "AdminPolicyBasedExternalRoute",
            "UserDefinedNetwork",
            "ClusterUserDefinedNetwork",
        ],
    ),
    ("networking.k8s.aws", &["PolicyEndpoint", "ClusterPolicyEndpoint"]),
];

/// Groups whose every kind is known: another one is misspelt. networking.gke.io has many kinds of other things.
const POLICY_GROUPS: &[&str] =
    &["cilium.io", "policy.networking.k8s.io", "projectcalico.org", "crd.projectcalico.org", "networking.k8s.aws", "k8s.ovn.org"];

fn kind_of(root: &Node) -> Kind {
    let version = root.get("apiVersion").and_then(Node::str).unwrap_or("");
    let group = version.split_once('/').map_or(version, |(group, _)| group);
    let Some(kind) = root.get("kind").and_then(Node::str) else {
        if POLICY_GROUPS.contains(&group) {
            let message = format!("a document of {group} without `kind`");
            return Kind::Refused(Code::UnknownKind, message, "add `kind:`".into());
        }
        return Kind::Other;
    };
    if kind == "List" || (kind.ends_with("List") && root.get("items").is_some()) {
        return Kind::List;
    }
    if let Some(door) = DOORS.iter().find(|door| door.group == group && door.kind == kind) {
        return Kind::Policy(door);
    }
    if group == "networking.k8s.io" && kind == "NetworkPolicy" {
        return Kind::KubernetesPolicy;
    }
    if let Some((_, _, help)) = FOREIGN.iter().find(|(g, k, _)| *g == group && *k == kind) {
        return Kind::Refused(Code::Unsupported, format!("`{kind}` of {group} cannot be compiled"), (*help).to_owned());
    }
    // A kind that only policies have, in a group that nobody knows: a misspelt group.
    if let Some(door) = DOORS.iter().find(|door| door.kind == kind && kind != "NetworkPolicy" && !POLICY_GROUPS.contains(&group))
    {
        let message = format!("`{kind}` of the unknown group `{}`", group.escape_default());
        return Kind::Refused(Code::UnknownVersion, message, format!("did you mean {}?", door.group));
    }
    if group == "networking.gke.io" && schema::distance(&kind.to_lowercase(), "fqdnnetworkpolicy") <= 3 {
        let message = format!("unknown kind `{}` in {group}", kind.escape_default());
        return Kind::Refused(Code::UnknownKind, message, "did you mean FQDNNetworkPolicy?".into());
    }
    let known = NO_POLICY.iter().any(|(g, kinds)| group.trim_start_matches("crd.") == *g && kinds.contains(&kind));
    if POLICY_GROUPS.contains(&group) && !known {
        let kinds: Vec<&str> = DOORS.iter().filter(|door| door.group == group).map(|door| door.kind).collect();
        let message = format!("unknown kind `{}` in {group}", kind.escape_default());
        return Kind::Refused(Code::UnknownKind, message, format!("did you mean {}?", kinds.join(" or ")));
    }
    Kind::Other
}

/// Where a document stands and what its reading needs.
struct Place<'a> {
    source: &'a Source,
    namespace: &'a str,
    profile: &'a Profile,
}

impl Place<'_> {
    /// The policy that `read` makes of a document, unless something was refused.
    fn policy<T: Shape>(
        &self,
        document: &Document,
        findings: &mut Findings,
        version: &str,
        metadata: impl Fn(&T) -> (&Metadata, bool),
        read: impl Fn(&mut Check<'_>, At<'_>, &T) -> Option<(Vec<Rule>, bool)>,
    ) -> Option<Policy> {
        let typed = schema::read::<T>(self.source, document, findings)?;
        let at = At { source: self.source, node: &document.root };
        let before = findings.0.len();
        let mut check = Check { profile: self.profile, namespace: None, findings };
        let (metadata, cluster_wide) = metadata(&typed);
        let scope = if cluster_wide { Scope::Cluster } else { Scope::Namespaced { default: self.namespace } };
        check.object(at, version, metadata, scope);
        let rules = read(&mut check, at, &typed);
        let kind = document.root.get("kind").and_then(Node::str).unwrap_or("");
        let name = match &check.namespace {
            Some(namespace) => format!("{namespace}/{}", metadata.name),
            None => metadata.name.clone(),
        };
        let id = if kind.starts_with("Cilium") { name } else { format!("{kind}:{name}") };
        let refused = findings.0[before..].iter().any(|d| d.severity() == Severity::Error);
        let (rules, alone) = rules.filter(|_| !refused)?;
        let filter = (kind == "ApplicationNetworkPolicy").then(|| eks::filter(&rules)).flatten();
        Some(Policy { id, rules, alone, filter })
    }
}

fn cilium(place: &Place<'_>, document: &Document, findings: &mut Findings) -> Option<Policy> {
    place.policy(
        document,
        findings,
        "cilium.io/v2",
        |d: &PolicyDocument| (&d.metadata, d.kind == "CiliumClusterwideNetworkPolicy"),
        |check, at, d| Some((check::policy(check, at, d), false)),
    )
}

fn cluster_network_policy(place: &Place<'_>, document: &Document, findings: &mut Findings) -> Option<Policy> {
    place.policy(
        document,
        findings,
        "policy.networking.k8s.io/v1alpha2",
        |d: &ClusterNetworkPolicy| (&d.metadata, true),
        |check, at, d| network_policy_api::rules(check, at, d).map(|rules| (rules, true)),
    )
}

fn fqdn_network_policy(place: &Place<'_>, document: &Document, findings: &mut Findings) -> Option<Policy> {
    place.policy(
        document,
        findings,
        "networking.gke.io/v1alpha1",
        |d: &FqdnNetworkPolicy| (&d.metadata, false),
        |check, at, d| gke::rules(check, at, d).map(|rules| (rules, false)),
    )
}

fn calico_policy(place: &Place<'_>, document: &Document, findings: &mut Findings) -> Option<Policy> {
    let version = match document.root.get("apiVersion").and_then(Node::str) {
        Some(text) if text.starts_with("crd.") => "crd.projectcalico.org/v1",
        _ => "projectcalico.org/v3",
    };
    let metadata = |d: &CalicoPolicy| -> bool { d.kind == "GlobalNetworkPolicy" };
    place.policy(document, findings, version, |d: &CalicoPolicy| (&d.metadata, metadata(d)), calico::rules)
}

fn application_network_policy(place: &Place<'_>, document: &Document, findings: &mut Findings) -> Option<Policy> {
    place.policy(
        document,
        findings,
        "networking.k8s.aws/v1alpha1",
        |d: &ApplicationNetworkPolicy| (&d.metadata, false),
        |check, at, d| eks::rules(check, at, d).map(|rules| (rules, false)),
    )
}

fn egress_firewall(place: &Place<'_>, document: &Document, findings: &mut Findings) -> Option<Policy> {
    place.policy(
        document,
        findings,
        "k8s.ovn.org/v1",
        |d: &EgressFirewall| (&d.metadata, false),
        |check, at, d| ovn::rules(check, at, d).map(|rules| (rules, true)),
    )
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
        Kind::Refused(code, message, help) => {
            text.seen += 1;
            text.findings.at(code, source, kind_span, message, "not a policy that is known here", help);
        }
        Kind::List if depth < 4 => {
            let items = root.get("items").map(Node::items).unwrap_or_default();
            // A typed list as the API server sends it: its items have no kind of their own.
            let kind = root.get("kind").and_then(Node::str).and_then(|kind| kind.strip_suffix("List")).unwrap_or("");
            let typed = DOORS.iter().any(|door| door.kind == kind);
            if let Some(item) = items.iter().find(|item| typed && item.get("kind").is_none()) {
                text.seen += 1;
                let message = format!("an item of `{kind}List` without `kind`");
                let help = format!("write `apiVersion` and `kind: {kind}` into each item, as kubectl does");
                text.findings.at(Code::MissingKey, source, item.span, message, "in this item", help);
            }
            for item in items {
                let inside = |span: &Span| item.span.start <= span.start && span.end <= item.span.end;
                let ambiguous = document.ambiguous.iter().filter(|(span, _)| inside(span)).cloned().collect();
                let item = Document { root: Rc::clone(item), ambiguous };
                read_document(source, item, namespace, profile, text, depth + 1);
            }
        }
        Kind::List => text.skipped += 1,
        Kind::Policy(door) => {
            text.seen += 1;
            let place = Place { source, namespace, profile };
            let Some(policy) = (door.read)(&place, &document, &mut text.findings) else { return };
            let name = root.get("metadata").and_then(|m| m.get("name")).map_or(root.span, |n| n.span);
            text.policies.push((policy, name));
        }
    }
}
