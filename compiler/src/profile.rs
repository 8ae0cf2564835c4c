//! The cluster's facts: from a document, or the defaults that suit a single machine.

use crate::addresses::Cidr;
use crate::diagnostic::{Code, Findings};
use crate::document::{Cnames, InCluster, ProfileDocument, Refuse};
use crate::entity;
use crate::policy::{Profile, Resolver};
use crate::source::Source;
use crate::yaml::{Node, Step};
use fqdn_image::abi;
use fqdn_image::labels::Labels;

/// Seconds of `ttl` where a profile says nothing: least, most, grace. A cache in front of a name's server hands out what is left of
/// its time, in the last second none; who resolves then and connects at once must not find the name over.
const TTL: [u32; 3] = [5, 86_400, 60];

/// What is known without a profile: the usual DNS services; their addresses are what the loader is told.
pub fn default() -> Profile {
    let resolvers = [
        ("kube-system", "k8s-app=kube-dns", 53),
        ("kube-system", "k8s-app=node-local-dns", 53),
        ("openshift-dns", "dns.operator.openshift.io/daemonset-dns=default", 53),
    ]
    .into_iter()
    .filter_map(|(namespace, labels, port)| {
        Some(Resolver {
            name: format!("{namespace}/{labels}"),
            labels: labels_of(labels.split_once('=').into_iter(), namespace).ok()?,
            addresses: Vec::new(),
            ports: vec![port],
        })
    })
    .collect();
    let mut profile = Profile {
        text: Vec::new(),
        resolvers,
        cluster: Vec::new(),
        delegate: false,
        entities: Default::default(),
        ipv6: true,
        ttl: TTL,
        never_learn: Vec::new(),
        chain: false,
        updates: false,
        refuse: Refuse::default(),
        given: false,
    };
    describe(&mut profile);
    profile
}

/// The labels of resolvers' pods, with those that every pod bears: its cluster's in Cilium, its orchestrator's in Calico.
fn labels_of<'a>(written: impl Iterator<Item = (&'a str, &'a str)> + Clone, namespace: &str) -> Result<Labels, String> {
    let every = [("io.cilium.k8s.policy.cluster", "default"), ("projectcalico.org/orchestrator", "k8s")];
    let more = every.into_iter().filter(|(key, _)| !written.clone().any(|(have, _)| have == *key));
    Labels::of(more.chain(written.clone()), Some(namespace))
}

/// The profile that a document describes, as far as it is right.
pub fn check(source: &Source, root: &Node, document: &ProfileDocument, findings: &mut Findings) -> Profile {
    let at = |path: &[Step<'_>]| root.span_of(path);
    if document.api_version != "fqdn.policy/v1" {
        findings.at(
            Code::UnknownVersion,
            source,
            at(&[Step::Key("apiVersion")]),
            "not a version of the profile",
            "not known",
            "write `fqdn.policy/v1`",
        );
    }
    let mut profile = default();
    profile.given = true;
    let list = |key: &str, texts: &[String], path: &[Step<'_>], findings: &mut Findings| -> Vec<Cidr> {
        let mut out = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            match Cidr::parse(text) {
                Ok(cidr) => out.push(cidr),
                Err(why) => {
                    let mut path = path.to_vec();
                    path.push(Step::Index(i));
                    let message = format!("`{}` in `{key}` is no prefix: {why}", text.escape_default());
                    findings.at(Code::BadCidr, source, at(&path), message, "here", "");
                }
            }
        }
        out.sort_unstable();
        out.dedup();
        out
    };
    if let Some(entries) = &document.resolvers {
        profile.resolvers.clear();
        if entries.len() > abi::RESOLVER_ENTRIES as usize {
            findings.at(
                Code::TooMany,
                source,
                at(&[Step::Key("resolvers")]),
                format!("more than {} resolver entries", abi::RESOLVER_ENTRIES),
                "here",
                "",
            );
        }
        for (i, entry) in entries.iter().enumerate() {
            let path = [Step::Key("resolvers"), Step::Index(i)];
            let texts: Vec<String> = entry.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let pairs = entry.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let labels = labels_of(pairs, &entry.namespace).unwrap_or_else(|why| {
                findings.at(Code::BadLabel, source, at(&path), why, "in this entry", "");
                Labels::default()
            });
            let addresses = list("addresses", &entry.addresses, &[path[0], path[1], Step::Key("addresses")], findings);
            if let Some(own) = addresses.iter().find(|cidr| Cidr::LINK_LOCAL_V6.contains(**cidr)) {
                let message = format!("`{own}` is an address of the link, which any host of another link may bear");
                let help = "name an address of the resolver that is not of fe80::/10";
                findings.at(Code::BadProfile, source, at(&path), message, "in this entry", help);
            }
            profile.resolvers.push(Resolver {
                name: format!("{}/{}", entry.namespace, texts.join(",")),
                labels,
                addresses,
                ports: entry.ports.clone().unwrap_or_else(|| vec![53]),
            });
        }
    }
    if let Some(texts) = &document.cluster_cidrs {
        profile.cluster = list("clusterCIDRs", texts, &[Step::Key("clusterCIDRs")], findings);
    }
    match document.in_cluster {
        Some(choice) => profile.delegate = choice == InCluster::Delegate,
        None if !profile.cluster.is_empty() => {
            let span = root.key_span("clusterCIDRs").unwrap_or(root.span);
            findings.at(
                Code::MissingKey,
                source,
                span,
                "`inCluster` is missing",
                "needs a choice",
                "write `inCluster: delegate` (the CNI decides) or `inCluster: deny`",
            );
        }
        None => {}
    }
    for (name, texts) in document.entities.iter().flatten() {
        let path = [Step::Key("entities"), Step::Key(name)];
        if !entity::GROUPS.contains(&name.as_str()) {
            let message = format!("`{}` is no entity with addresses of its own", name.escape_default());
            let span = root.get("entities").and_then(|e| e.key_span(name)).unwrap_or(root.span);
            findings.at(Code::Entity, source, span, message, "not known", format!("one of: {}", entity::GROUPS.join(", ")));
        }
        let addresses = list(name, texts, &path, findings);
        profile.entities.insert(name.clone(), addresses);
    }
    if let Some(ttl) = &document.ttl {
        for (i, (key, text)) in [("min", &ttl.min), ("max", &ttl.max), ("grace", &ttl.grace)].into_iter().enumerate() {
            let Some(text) = text else { continue };
            match seconds(text) {
                Some(seconds) => profile.ttl[i] = seconds,
                None => {
                    let path = [Step::Key("ttl"), Step::Key(key)];
                    findings.at(
                        Code::WrongValue,
                        source,
                        at(&path),
                        format!("`{}` is no duration", text.escape_default()),
                        "here",
                        "write seconds, minutes, hours or days: `30s`, `5m`, `24h`, `7d`",
                    );
                }
            }
        }
        if profile.ttl[0] > profile.ttl[1] {
            findings.at(Code::BadProfile, source, at(&[Step::Key("ttl")]), "the least ttl is over the most", "here", "");
        }
    }
    profile.chain = document.cnames == Some(Cnames::Chain);
    profile.updates = document.updates.unwrap_or(false);
    profile.ipv6 = document.ipv6.unwrap_or(true);
    let of_ipv6 = |cidr: &Cidr| !Cidr::ALL_V4.contains(*cidr);
    if let Some(n) = profile.resolvers.iter().position(|r| !profile.ipv6 && r.addresses.iter().any(of_ipv6)) {
        let path = [Step::Key("resolvers"), Step::Index(n)];
        let help = "name its IPv4 addresses alone, or leave out `ipv6: false`";
        findings.at(
            Code::BadProfile,
            source,
            at(&path),
            "a resolver has an IPv6 address where there is no IPv6",
            "in this entry",
            help,
        );
    }
    profile.refuse = document.refuse.unwrap_or_default();
    if matches!(profile.refuse, Refuse::Refused | Refuse::Drop) {
        let message = "a query refused like this is asked again, or waited for";
        let help = "`nxdomain` and `nodata` end it at once";
        findings.at(Code::RefusalWaits, source, at(&[Step::Key("refuse")]), message, "seconds for each name", help);
    }
    if let Some(texts) = &document.never_learn {
        profile.never_learn = list("neverLearn", texts, &[Step::Key("neverLearn")], findings);
    }
    describe(&mut profile);
    profile
}

fn seconds(text: &str) -> Option<u32> {
    let (number, factor) = match text.char_indices().next_back()? {
        (at, 's') => (&text[..at], 1),
        (at, 'm') => (&text[..at], 60),
        (at, 'h') => (&text[..at], 3_600),
        (at, 'd') => (&text[..at], 86_400),
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(factor).filter(|s| *s <= 31_536_000)
}

/// The lines that dump and status show.
fn describe(profile: &mut Profile) {
    let join = |cidrs: &[Cidr]| cidrs.iter().map(Cidr::to_string).collect::<Vec<_>>().join(",");
    let mut text = Vec::new();
    for (i, resolver) in profile.resolvers.iter().enumerate() {
        let addresses = if resolver.addresses.is_empty() { "as-the-loader-is-told".into() } else { join(&resolver.addresses) };
        let ports: Vec<String> = resolver.ports.iter().map(u16::to_string).collect();
        text.push(format!("resolver {i} {} addresses {addresses} ports {}", resolver.name, ports.join(",")));
    }
    if !profile.cluster.is_empty() {
        text.push(format!("clusterCIDRs {}", join(&profile.cluster)));
    }
    text.push(format!("inCluster {}", if profile.delegate { "delegate" } else { "deny" }));
    for (name, addresses) in &profile.entities {
        text.push(format!("entity {name} {}", join(addresses)));
    }
    if !profile.never_learn.is_empty() {
        text.push(format!("neverLearn {}", join(&profile.never_learn)));
    }
    text.push(format!("ttl min {}s max {}s grace {}s", profile.ttl[0], profile.ttl[1], profile.ttl[2]));
    if !profile.ipv6 {
        text.push("ipv6 false".into());
    }
    if profile.updates {
        text.push("updates true".into());
    }
    text.push(format!("cnames {}", if profile.chain { "chain" } else { "question" }));
    let refuse = match profile.refuse {
        Refuse::Nxdomain => "nxdomain",
        Refuse::Nodata => "nodata",
        Refuse::Refused => "refused",
        Refuse::Drop => "drop",
    };
    text.push(format!("refuse {refuse}"));
    profile.text = text;
}
