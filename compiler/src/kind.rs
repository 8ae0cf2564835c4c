//! Which documents are policies, which are left alone, and which are misspelt.

use crate::diagnostic::Code;
use crate::schema;
use crate::yaml::Node;

/// What a document is to us.
pub(crate) enum Kind {
    Door(&'static Door),
    List,
    Other,
    /// Enforced by others, or by nobody: how it is told.
    Left(&'static str),
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

/// What reads a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Cilium,
    ClusterNetworkPolicy,
    Gke,
    Calico,
    Eks,
    Ovn,
    /// Addresses that rules mean by their group's name or labels.
    CidrGroup,
    /// Addresses and names that rules mean by labels.
    NetworkSet,
}

/// A kind of object that can be compiled.
pub(crate) struct Door {
    group: &'static str,
    kind: &'static str,
    /// As written in `apiVersion`, the one to write first.
    pub(crate) versions: &'static [&'static str],
    pub(crate) dialect: Dialect,
}

impl Door {
    /// Whether it is for what rules mean, and not for rules.
    pub(crate) fn is_set(&self) -> bool {
        matches!(self.dialect, Dialect::CidrGroup | Dialect::NetworkSet)
    }
}

const fn door(group: &'static str, kind: &'static str, versions: &'static [&'static str], dialect: Dialect) -> Door {
    Door { group, kind, versions, dialect }
}

const CILIUM: &[&str] = &["cilium.io/v2"];
const CALICO: &[&str] = &["projectcalico.org/v3"];
const CALICO_CRD: &[&str] = &["crd.projectcalico.org/v1"];

const DOORS: &[Door] = &[
    door("cilium.io", "CiliumNetworkPolicy", CILIUM, Dialect::Cilium),
    door("cilium.io", "CiliumClusterwideNetworkPolicy", CILIUM, Dialect::Cilium),
    door("cilium.io", "CiliumCIDRGroup", &["cilium.io/v2", "cilium.io/v2alpha1"], Dialect::CidrGroup),
    door(
        "policy.networking.k8s.io",
        "ClusterNetworkPolicy",
        &["policy.networking.k8s.io/v1alpha2"],
        Dialect::ClusterNetworkPolicy,
    ),
    door("networking.gke.io", "FQDNNetworkPolicy", &["networking.gke.io/v1alpha1"], Dialect::Gke),
    door("projectcalico.org", "NetworkPolicy", CALICO, Dialect::Calico),
    door("projectcalico.org", "GlobalNetworkPolicy", CALICO, Dialect::Calico),
    door("projectcalico.org", "NetworkSet", CALICO, Dialect::NetworkSet),
    door("projectcalico.org", "GlobalNetworkSet", CALICO, Dialect::NetworkSet),
    door("crd.projectcalico.org", "NetworkPolicy", CALICO_CRD, Dialect::Calico),
    door("crd.projectcalico.org", "GlobalNetworkPolicy", CALICO_CRD, Dialect::Calico),
    door("crd.projectcalico.org", "NetworkSet", CALICO_CRD, Dialect::NetworkSet),
    door("crd.projectcalico.org", "GlobalNetworkSet", CALICO_CRD, Dialect::NetworkSet),
    door("networking.k8s.aws", "ApplicationNetworkPolicy", &["networking.k8s.aws/v1alpha1"], Dialect::Eks),
    door("k8s.ovn.org", "EgressFirewall", &["k8s.ovn.org/v1"], Dialect::Ovn),
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
            "HostEndpoint",
            "IPAMConfiguration",
            "IPPool",
            "IPReservation",
            "KubeControllersConfiguration",
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

/// The kind of a document that stands in a list.
fn listed(item: &Node) -> Option<&str> {
    match item.get("apiVersion") {
        Some(_) => item.get("kind").and_then(Node::str),
        None => item.items().iter().find_map(|item| listed(item)),
    }
}

/// What a document says that it is.
pub(crate) fn kind_of(root: &Node) -> Kind {
    if let Some(kind) = root.items().iter().find_map(|item| listed(item)) {
        let message = format!("a list of documents, `{}` among them", kind.escape_default());
        return Kind::Refused(Code::UnknownKind, message, "write them apart, with `---` between, or as `kind: List`".into());
    }
    let version = root.get("apiVersion").and_then(Node::str).unwrap_or("");
    let group = version.split_once('/').map_or(version, |(group, _)| group);
    let Some(kind) = root.get("kind").and_then(Node::str) else {
        if POLICY_GROUPS.contains(&group) {
            let message = format!("a document of {group} without `kind`");
            return Kind::Refused(Code::UnknownKind, message, "add `kind:`".into());
        }
        return Kind::Other;
    };
    // Whatever has documents as its `items` is a list to kubectl.
    let holds = root.get("items").is_some_and(|items| items.items().iter().any(|item| listed(item).is_some()));
    if kind == "List" || (kind.ends_with("List") && root.get("items").is_some()) || holds {
        return Kind::List;
    }
    if let Some(door) = DOORS.iter().find(|door| door.group == group && door.kind == kind) {
        return Kind::Door(door);
    }
    if group == "networking.k8s.io" && kind == "NetworkPolicy" {
        return Kind::Left("a Kubernetes NetworkPolicy is left to the CNI");
    }
    if group.ends_with("projectcalico.org") && kind.starts_with("Staged") && kind.ends_with("NetworkPolicy") {
        return Kind::Left("a staged policy is enforced nowhere");
    }
    if let Some((_, _, help)) = FOREIGN.iter().find(|(g, k, _)| *g == group && *k == kind) {
        return Kind::Refused(Code::Unsupported, format!("`{kind}` of {group} cannot be compiled"), (*help).to_owned());
    }
    if version.is_empty() && DOORS.iter().any(|door| door.kind == kind) {
        let message = format!("`{}` without `apiVersion`", kind.escape_default());
        return Kind::Refused(Code::UnknownVersion, message, "add `apiVersion:`".into());
    }
    // A group that is spelt almost like one of policies.
    let near = |known: &&&str| (1..=3).contains(&schema::distance(group, known));
    if let Some(known) = POLICY_GROUPS.iter().chain(&["networking.gke.io", "networking.k8s.io"]).find(near)
        && !POLICY_GROUPS.contains(&group)
        && group != "networking.k8s.io"
        && DOORS.iter().any(|door| door.kind == kind)
    {
        let message = format!("`{}` of the unknown group `{}`", kind.escape_default(), group.escape_default());
        return Kind::Refused(Code::UnknownVersion, message, format!("did you mean {known}?"));
    }
    // A kind that only policies have, in a group that nobody knows: a misspelt group.
    if let Some(door) = DOORS
        .iter()
        .find(|door| door.kind == kind && !["NetworkPolicy", "NetworkSet"].contains(&kind) && !POLICY_GROUPS.contains(&group))
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
        let kinds: Vec<&str> = DOORS.iter().filter(|door| door.group == group && !door.is_set()).map(|door| door.kind).collect();
        let message = format!("unknown kind `{}` in {group}", kind.escape_default());
        return Kind::Refused(Code::UnknownKind, message, format!("did you mean {}?", kinds.join(" or ")));
    }
    Kind::Other
}

/// The kind of a list's items, if only policies and what they mean are in it.
pub(crate) fn kind_of_items(list: &str) -> Option<&'static str> {
    let kind = list.strip_suffix("List")?;
    DOORS.iter().find(|door| door.kind == kind).map(|door| door.kind)
}
