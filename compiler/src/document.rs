//! The shapes of policies and profiles as written. The JSON Schemas come from these types, and every shape error
//! from the schemas; what a value means is `check`'s business.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Any;
use std::collections::BTreeMap;

/// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (cilium.io/v2).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyDocument {
    /// cilium.io/v2
    pub api_version: String,
    /// CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// One rule.
    pub spec: Option<Rule>,
    /// Several rules.
    pub specs: Option<Vec<Rule>>,
    /// What the cluster says of the policy; ignored.
    pub status: Option<Any>,
}

/// Of metadata only name and namespace count.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Metadata {
    /// Name of the policy.
    pub name: String,
    /// Its namespace; a CiliumClusterwideNetworkPolicy has none.
    pub namespace: Option<String>,
    /// Of a kept set: what rules mean it by. Of a policy not read.
    pub labels: Option<BTreeMap<String, String>>,
    /// Not read.
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What some workloads may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Which workloads.
    pub endpoint_selector: Option<LabelSelector>,
    /// Which hosts; refused.
    pub node_selector: Option<Any>,
    /// Left to the CNI.
    pub ingress: Option<Vec<Any>>,
    /// Left to the CNI.
    pub ingress_deny: Option<Vec<Any>>,
    /// What they may reach.
    pub egress: Option<Vec<EgressRule>>,
    /// What they may never reach, whatever else allows it.
    pub egress_deny: Option<Vec<EgressDenyRule>>,
    /// Whether the rules deny all else.
    pub enable_default_deny: Option<DefaultDeny>,
    /// Not read.
    pub labels: Option<Any>,
    /// Not read.
    pub description: Option<String>,
    /// Not read.
    pub log: Option<Any>,
}

/// Whether rules deny what they do not allow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultDeny {
    /// For traffic from the workload.
    pub egress: Option<bool>,
    /// Left to the CNI.
    pub ingress: Option<bool>,
}

/// Kubernetes' label selector.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with these values.
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Conditions on labels.
    pub match_expressions: Option<Vec<Expression>>,
}

/// One condition on a label.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// Key of the label.
    pub key: String,
    /// In, NotIn, Exists or DoesNotExist.
    pub operator: Operator,
    /// Values for In and NotIn.
    pub values: Option<Vec<String>>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum Operator {
    /// One of the values.
    In,
    /// None of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// Destinations and ports.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EgressRule {
    /// Names.
    #[serde(rename = "toFQDNs")]
    pub to_fqdns: Option<Vec<NameOrPattern>>,
    /// Ports; none = all.
    pub to_ports: Option<Vec<PortRule>>,
    /// Addresses and prefixes.
    #[serde(rename = "toCIDR")]
    pub to_cidr: Option<Vec<String>>,
    /// Prefixes with exceptions.
    #[serde(rename = "toCIDRSet")]
    pub to_cidr_set: Option<Vec<CidrRule>>,
    /// Workloads of the cluster, the DNS service among them.
    pub to_endpoints: Option<Vec<LabelSelector>>,
    /// Groups of addresses.
    pub to_entities: Option<Vec<String>>,
    /// Refused.
    pub to_services: Option<Any>,
    /// Refused.
    pub to_groups: Option<Any>,
    /// Refused.
    pub to_nodes: Option<Any>,
    /// Refused.
    pub to_requires: Option<Any>,
    /// Refused.
    pub icmps: Option<Any>,
    /// Refused.
    pub authentication: Option<Any>,
}

/// Destinations that no rule can open. It has no toFQDNs: Cilium ignores one here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EgressDenyRule {
    /// Ports; none = all.
    pub to_ports: Option<Vec<DenyPorts>>,
    /// Addresses and prefixes.
    #[serde(rename = "toCIDR")]
    pub to_cidr: Option<Vec<String>>,
    /// Prefixes with exceptions.
    #[serde(rename = "toCIDRSet")]
    pub to_cidr_set: Option<Vec<CidrRule>>,
    /// Workloads of the cluster: left to the CNI.
    pub to_endpoints: Option<Vec<LabelSelector>>,
    /// Groups of addresses.
    pub to_entities: Option<Vec<String>>,
    /// Refused.
    pub to_services: Option<Any>,
    /// Refused.
    pub to_groups: Option<Any>,
    /// Refused.
    pub to_nodes: Option<Any>,
    /// Refused.
    pub to_requires: Option<Any>,
    /// Refused.
    pub icmps: Option<Any>,
}

/// Ports that are denied.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenyPorts {
    /// Ports.
    pub ports: Option<Vec<Port>>,
}

/// Exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NameOrPattern {
    /// A name.
    pub match_name: Option<String>,
    /// A name with wildcards.
    pub match_pattern: Option<String>,
}

/// A prefix.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CidrRule {
    /// The prefix.
    pub cidr: Option<String>,
    /// Prefixes inside it that are left out.
    pub except: Option<Vec<String>>,
    /// The CiliumCIDRGroup of this name, instead of a prefix.
    pub cidr_group_ref: Option<String>,
    /// The CiliumCIDRGroups with these labels, instead of a prefix.
    pub cidr_group_selector: Option<LabelSelector>,
}

/// Ports, and for DNS the names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PortRule {
    /// Ports.
    pub ports: Option<Vec<Port>>,
    /// Rules inside the protocol.
    pub rules: Option<InnerRules>,
    /// Refused.
    #[serde(rename = "terminatingTLS")]
    pub terminating_tls: Option<Any>,
    /// Refused.
    #[serde(rename = "originatingTLS")]
    pub originating_tls: Option<Any>,
    /// Refused.
    pub server_names: Option<Any>,
    /// Refused.
    pub listener: Option<Any>,
}

/// A port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Port {
    /// Number in quotes, or name of a service.
    pub port: String,
    /// Last port of a range.
    pub end_port: Option<i32>,
    /// TCP, UDP, SCTP or ANY.
    pub protocol: Option<String>,
}

/// Rules inside the protocol.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InnerRules {
    /// Names that may be asked.
    pub dns: Option<Vec<NameOrPattern>>,
    /// Refused.
    pub http: Option<Any>,
    /// Refused.
    pub kafka: Option<Any>,
    /// Refused.
    pub l7: Option<Any>,
    /// Refused.
    pub l7proto: Option<Any>,
}

/// Facts about a cluster that policies do not hold (fqdn.policy/v1).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProfileDocument {
    /// fqdn.policy/v1
    pub api_version: String,
    /// Profile
    pub kind: String,
    /// What toEndpoints of the DNS service means, and whose answers teach.
    pub resolvers: Option<Vec<ResolverEntry>>,
    /// Prefixes of pods and services.
    #[serde(rename = "clusterCIDRs")]
    pub cluster_cidrs: Option<Vec<String>>,
    /// Who decides about traffic inside the cluster: delegate (the CNI) or deny.
    pub in_cluster: Option<InCluster>,
    /// Addresses behind entities.
    pub entities: Option<BTreeMap<String, Vec<String>>>,
    /// Bounds on how long an address stays learned.
    pub ttl: Option<Ttl>,
    /// Which names an address is credited to: question, or chain.
    pub cnames: Option<Cnames>,
    /// DNS UPDATE and the like may go to the resolvers themselves: a workload may then write what it is told afterwards.
    pub updates: Option<bool>,
    /// How a query is refused: nxdomain, nodata, refused or drop.
    pub refuse: Option<Refuse>,
    /// false: the cluster has no IPv6, and none of it passes but neighbour discovery.
    pub ipv6: Option<bool>,
    /// Prefixes that no answer may teach, besides loopback, link-local and multicast.
    pub never_learn: Option<Vec<String>>,
}

/// Some resolvers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolverEntry {
    /// Addresses and prefixes.
    pub addresses: Vec<String>,
    /// Ports, 53 if absent.
    pub ports: Option<Vec<u16>>,
    /// Namespace of their pods.
    pub namespace: String,
    /// Labels of their pods.
    pub labels: BTreeMap<String, String>,
}

/// Who decides about traffic inside the cluster.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum InCluster {
    /// The CNI.
    Delegate,
    /// It is denied.
    Deny,
}

/// Durations like `30s`, `5m`, `24h`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ttl {
    /// Least.
    pub min: Option<String>,
    /// Most.
    pub max: Option<String>,
    /// Added.
    pub grace: Option<String>,
}

/// Which names of a chain are credited.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Cnames {
    /// The name asked.
    Question,
    /// Every name on the way.
    Chain,
}

/// How a query is refused.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Refuse {
    /// An answer that there is no such name.
    #[default]
    Nxdomain,
    /// An answer without records.
    Nodata,
    /// An answer with REFUSED.
    Refused,
    /// No answer: send fails with EPERM.
    Drop,
}

/// Questions and the answers that people expect (`*.verdicts.yaml`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictsDocument {
    /// Profile to compile with, beside this file.
    pub profile: Option<String>,
    /// Workloads by name.
    pub workloads: BTreeMap<String, WorkloadEntry>,
    /// The table.
    pub verdicts: Vec<VerdictRow>,
}

/// A workload of a verdict table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadEntry {
    /// Its namespace, `default` if absent.
    pub namespace: Option<String>,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// One row.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictRow {
    /// Which workload.
    pub from: String,
    /// A name; without a port the question is whether it may be resolved.
    pub name: Option<String>,
    /// Names that the answer leads through, in order: the targets of its CNAMEs.
    pub cnames: Option<Vec<String>>,
    /// An address; beside a name, one that it resolved to.
    pub address: Option<String>,
    /// `443/tcp`.
    pub port: Option<String>,
    /// allow or deny.
    pub expect: Expect,
    /// Policy that must allow it.
    pub rule: Option<String>,
}

/// What a row expects.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
}
