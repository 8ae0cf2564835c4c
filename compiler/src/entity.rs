//! Entities: the groups of addresses that policies name by a word (Cilium pkg/policy/api/entity.go).

use crate::addresses::{AddressSet, Cidr};
use crate::policy::Profile;
use fqdn_image::tables::Locality;

/// Entities whose addresses a profile may list.
pub const GROUPS: &[&str] = &["cluster", "health", "host", "ingress", "init", "kube-apiserver", "remote-node", "unmanaged"];

/// Entities that are known in any case.
pub const BUILT_IN: &[&str] = &["all", "none", "world"];

/// Words of Cilium's agent that the enumeration of its CRD does not have: no cluster takes a policy with one.
pub const OF_ONE_FAMILY: &[(&str, &str)] = &[("world-ipv4", "0.0.0.0/0"), ("world-ipv6", "::/0")];

/// Why an entity means no addresses here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityError {
    /// There is no such entity.
    Unknown,
    /// The profile lists no addresses for it.
    NoGroup,
    /// It is the inside of a cluster of which nothing is known, or which the profile denies.
    Inside,
}

/// The addresses of an entity. `world` never covers the cluster, its nodes, loopback or the enforcing host.
pub fn addresses(name: &str, profile: &Profile) -> Result<Option<AddressSet>, EntityError> {
    let everything = [Cidr::ALL_V4, Cidr::ALL];
    let group = |cidrs: &[Cidr], holes: &[Cidr], locality| Ok(Some(AddressSet::group(name, cidrs, holes, locality)));
    match name {
        "none" => Ok(None),
        "all" if profile.delegate => group(&everything, &[], Locality::Any),
        "all" => group(&everything, &profile.cluster, Locality::Any),
        "world" => {
            let mut holes = profile.inside();
            holes.extend([Cidr::LOOPBACK_V4, Cidr::LOOPBACK_V6]);
            group(&everything, &holes, Locality::Elsewhere)
        }
        _ if !GROUPS.contains(&name) => Err(EntityError::Unknown),
        _ if profile.entities.contains_key(name) => group(&profile.entities[name], &[], Locality::Any),
        "cluster" if profile.delegate && !profile.cluster.is_empty() => {
            Ok(Some(AddressSet::group("clusterCIDRs", &profile.cluster, &[], Locality::Any)))
        }
        "cluster" => Err(EntityError::Inside),
        "host" if !profile.given => group(&everything, &[], Locality::Here),
        _ => Err(EntityError::NoGroup),
    }
}
