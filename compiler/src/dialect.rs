//! Policies of other systems: each front door lowers to the same policy types, exactly or not at all.
//!
//! Adding one: a document type and a `rules` function in a file of its own, a row in `read::DOORS`, a schema in
//! `schema::shapes`, a folder in golden/accept.

pub mod calico;
pub(crate) mod calico_selectors;
pub mod eks;
pub mod expression;
pub mod gke;
pub mod names;
pub mod network_policy_api;
pub mod ordered;
pub mod ovn;

use crate::check::{At, Check, Sure};
use crate::diagnostic::Code;
use crate::dialect::ordered::To;
use crate::document::LabelSelector;
use crate::policy::Ports;
use fqdn_image::labels::{NAMESPACE, Requirement, Selector};

/// TCP, UDP and SCTP: what is meant where no protocol is written.
const EVERY_PROTOCOL: [u16; 3] = [6, 17, 132];

/// All of them, after each has been looked at.
fn every<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let looked_at: Vec<Option<T>> = items.collect();
    looked_at.into_iter().collect()
}

/// Ports of these protocols.
fn ports_of(protocols: &[u16], low: u16, high: u16) -> Vec<Ports> {
    protocols.iter().map(|proto| Ports { proto: *proto, low, high }).collect()
}

/// How the label of a namespace is called in Cilium's selectors.
fn namespace_label(key: &str) -> String {
    match key {
        // Every namespace bears its name under this key (k8s.io/api/core/v1, LabelMetadataName).
        "kubernetes.io/metadata.name" => format!("k8s:{NAMESPACE}"),
        other => format!("k8s:io.cilium.k8s.namespace.labels.{other}"),
    }
}

/// Kubernetes' selectors speak of Kubernetes' labels, whatever other sources of labels there are.
fn of_kubernetes(selector: &Selector) -> Selector {
    let mut out = Selector::default();
    let k8s = |key: &str| if key.starts_with("k8s:") { key.to_owned() } else { format!("k8s:{key}") };
    for requirement in selector.requirements() {
        out.require(match requirement {
            Requirement::In(key, values) => Requirement::In(k8s(key), values.clone()),
            Requirement::NotIn(key, values) => Requirement::NotIn(k8s(key), values.clone()),
            Requirement::Exists(key) => Requirement::Exists(k8s(key)),
            Requirement::DoesNotExist(key) => Requirement::DoesNotExist(k8s(key)),
        });
    }
    out
}

/// A requirement on a namespace's labels as one on its pods.
fn of_namespace(requirement: &Requirement) -> Requirement {
    let bare = |key: &str| namespace_label(key.strip_prefix("k8s:").unwrap_or(key));
    match requirement {
        Requirement::In(key, values) => Requirement::In(bare(key), values.clone()),
        Requirement::NotIn(key, values) => Requirement::NotIn(bare(key), values.clone()),
        Requirement::Exists(key) => Requirement::Exists(bare(key)),
        Requirement::DoesNotExist(key) => Requirement::DoesNotExist(bare(key)),
    }
}

impl Check<'_> {
    /// Pods of some namespaces; no selector of namespaces = all of them.
    fn pods_of_namespaces(
        &mut self,
        pods: Option<(At<'_>, &LabelSelector)>,
        namespaces: Option<(At<'_>, &LabelSelector)>,
    ) -> Option<Selector> {
        let mut subject = match pods {
            Some((at, selector)) => of_kubernetes(&self.selector(at, selector)?),
            None => Selector::default(),
        };
        if let Some((at, selector)) = namespaces {
            for requirement in self.selector(at, selector)?.requirements() {
                subject.require(of_namespace(requirement));
            }
        }
        subject.require(Requirement::Exists(format!("k8s:{NAMESPACE}")));
        Some(subject)
    }

    /// What pods a rule means: the resolvers', and others of which nothing is known here. What allows the resolvers says enough; a
    /// denial may mean others as well.
    fn pods_meant(&mut self, at: At<'_>, selector: &Selector, allow: bool) -> Vec<To> {
        let mask = if allow { self.resolvers_meant(at, selector) } else { self.resolvers_of(selector, Sure::Not) };
        match (mask, allow) {
            (0, _) => vec![To::Inside],
            (mask, true) => vec![To::Resolvers(mask)],
            (mask, false) => vec![To::Resolvers(mask), To::Inside],
        }
    }

    /// A protocol's name, as Kubernetes spells it.
    fn protocol(&mut self, at: At<'_>, text: &str) -> Option<u16> {
        match text {
            "TCP" => Some(6),
            "UDP" => Some(17),
            "SCTP" => Some(132),
            _ => {
                let message = format!("`{}` is no protocol that can be enforced here", text.escape_default());
                self.say(Code::WrongValue, at, at.node.span, message, "here", "one of: TCP, UDP, SCTP");
                let upper = text.to_ascii_uppercase();
                if ["TCP", "UDP", "SCTP"].contains(&upper.as_str()) {
                    self.findings.mend(at.node.span, upper);
                }
                None
            }
        }
    }

    /// A number of a port.
    fn number(&mut self, at: At<'_>, number: i64) -> Option<u16> {
        match u16::try_from(number) {
            Ok(port) if port > 0 => Some(port),
            _ => {
                self.say(Code::BadPort, at, at.node.span, format!("`{number}` is no port"), "here", "a number from 1 to 65535");
                None
            }
        }
    }
}
