//! Whom Calico's selectors mean: as subjects workloads; as destinations resolvers, kept sets, and workloads of which nothing is
//! known here.

use super::calico::{Entity, Spec};
use super::expression as language;
use super::namespace_label;
use super::ordered::To;
use crate::addresses::Cidr;
use crate::check::{At, Check, Sure};
use crate::diagnostic::Code;
use crate::sets::Set;
use fqdn_image::Pattern;
use fqdn_image::labels::{NAMESPACE, Requirement, Selector};

/// What Calico puts on objects itself, and nobody here does; and what namespaces' labels are called here, which Calico does not
/// know.
pub(crate) fn is_own(key: &str) -> bool {
    let prefixes = ["projectcalico.org/", "pcns.", "pcsa.", "io.cilium.k8s.", NAMESPACE];
    prefixes.iter().any(|prefix| key.starts_with(prefix))
}

/// What a label of a namespace is called here.
fn of_namespace(key: &str) -> Option<String> {
    match key {
        "projectcalico.org/name" => Some(format!("k8s:{NAMESPACE}")),
        key if is_own(key) => None,
        key => Some(namespace_label(key)),
    }
}

/// The selectors of which one must hold.
fn expression(
    check: &mut Check<'_>,
    at: At<'_>,
    key: &str,
    text: &Option<String>,
    label: &dyn Fn(&str) -> Option<String>,
) -> Option<Vec<Selector>> {
    let text = text.as_deref().unwrap_or("");
    let (message, why) = match language::parse(text, &|key: &str| label(key)) {
        Ok(alternatives) if !alternatives.is_empty() => return Some(alternatives),
        Ok(_) => (format!("`{key}` selects nothing"), "never true"),
        Err(why) => (format!("`{}` is no selector: {why}", text.escape_default()), "here"),
    };
    let of_namespaces = key == "selector" && text.contains("projectcalico.org/name ");
    let help = if of_namespaces { "a label of namespaces: write it under `namespaceSelector`" } else { "" };
    check.say(Code::BadSelector, at, at.key(key).node.span, message, why, help);
    None
}

/// The workloads, as alternatives.
pub(super) fn subjects(check: &mut Check<'_>, at: At<'_>, spec: &Spec) -> Option<Vec<Selector>> {
    let namespace = format!("k8s:{NAMESPACE}");
    let pod_label = |key: &str| match key {
        "projectcalico.org/namespace" => Some(namespace.clone()),
        key if is_own(key) => None,
        key => Some(format!("k8s:{key}")),
    };
    let pods = expression(check, at, "selector", &spec.selector, &pod_label)?;
    let namespaces = expression(check, at, "namespaceSelector", &spec.namespace_selector, &of_namespace)?;
    let place = match &check.namespace {
        Some(name) => Requirement::In(namespace.clone(), [name.clone()].into()),
        None => Requirement::Exists(namespace.clone()),
    };
    let mut subjects = Vec::new();
    for pod in &pods {
        for of in &namespaces {
            let mut subject = pod.clone();
            of.requirements().chain([&place]).for_each(|requirement| subject.require(requirement.clone()));
            subjects.push(subject);
        }
    }
    Some(subjects)
}

fn is_negative(requirement: &Requirement) -> bool {
    matches!(requirement, Requirement::NotIn(..) | Requirement::DoesNotExist(_))
}

/// Only pods bear this label of Calico's own: no set can be meant.
fn means_pods_alone(selector: &Selector) -> bool {
    let key = "k8s:projectcalico.org/orchestrator";
    selector.requirements().any(|r| matches!(r, Requirement::In(k, _) | Requirement::Exists(k) if k == key))
}

/// The selectors of a destination.
struct Meant {
    /// Of objects in no namespace, if those can be meant.
    in_none: Option<Vec<Selector>>,
    /// Of what is in a namespace, its namespace's conditions among them, if those can be meant.
    in_some: Option<Vec<Selector>>,
    /// Of objects alone, whatever their namespace.
    objects: Vec<Selector>,
}

impl Meant {
    fn read(check: &mut Check<'_>, at: At<'_>, to: &Entity) -> Option<Self> {
        let objects = expression(check, at, "selector", &to.selector, &destination_label)?;
        let written = to.namespace_selector.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if written == Some("global()") {
            return Some(Meant { in_none: Some(objects.clone()), in_some: None, objects });
        }
        let own = |name: &String| Requirement::In(format!("k8s:{NAMESPACE}"), [name.clone()].into());
        let namespaces = match written {
            Some(_) => {
                let namespaces = expression(check, at, "namespaceSelector", &to.namespace_selector, &of_namespace)?;
                // To Calico what is in no namespace satisfies it, and of labels of namespaces only the name is known here.
                let asks_nothing = |of: &Selector| of.requirements().next().is_none() && written != Some("all()");
                if namespaces.iter().any(|of| asks_nothing(of) || of.requirements().any(is_negative)) {
                    let message = "a negative condition on namespaces: objects in none satisfy it, too";
                    let help = "say which namespaces are meant: `projectcalico.org/name in {...}`";
                    let span = at.key("namespaceSelector").node.span;
                    check.say(Code::Unsupported, at, span, message, "not known here", help);
                    return None;
                }
                namespaces
            }
            None => vec![check.namespace.iter().map(own).collect()],
        };
        let with = |object: &Selector, of: &Selector| object.requirements().chain(of.requirements()).cloned().collect();
        let in_some = objects.iter().flat_map(|object| namespaces.iter().map(move |of| with(object, of))).collect();
        // In a policy of no namespace, a selector alone means everything.
        let everything = written.is_none() && check.namespace.is_none();
        Some(Meant { in_none: everything.then(|| objects.clone()), in_some: Some(in_some), objects })
    }

    fn means(&self, set: &Set) -> bool {
        let selectors = if set.namespace.is_some() { &self.in_some } else { &self.in_none };
        selectors.iter().flatten().any(|selector| selector.selects(&set.labels))
    }

    /// Whether labels of a namespace, of which only the name is known here, decide about a set.
    fn hangs_on_namespace(&self, set: &Set) -> bool {
        let unknown = |selector: &Selector| {
            let mut missing = selector.missing_keys(&set.labels).peekable();
            missing.peek().is_some() && missing.all(|key| key.starts_with("k8s:io.cilium.k8s.namespace.labels."))
        };
        set.namespace.is_some()
            && self.objects.iter().any(|object| object.selects(&set.labels))
            && self.in_some.iter().flatten().any(unknown)
    }
}

/// What the selectors of a destination mean: resolvers, kept sets, and workloads of which nothing is known here.
pub(super) fn meant(check: &mut Check<'_>, at: At<'_>, to: &Entity, allow: bool) -> Option<Vec<To>> {
    let meant = Meant::read(check, at, to)?;
    let sets: Vec<&Set> = check.sets.network_sets().filter(|set| meant.means(set)).collect();
    if let Some(set) = check.sets.network_sets().find(|set| !meant.means(set) && meant.hangs_on_namespace(set)) {
        let message = format!("whether `{}` is meant depends on labels of its namespace", set.id);
        let help = "name the namespace: `projectcalico.org/name == \"...\"`";
        check.say(Code::Unsupported, at, at.key("namespaceSelector").node.span, message, "not known here", help);
        return None;
    }
    if sets.is_empty() && check.sets.some_refused() {
        return None; // it may be one of those
    }
    if sets.is_empty() && !allow && meant.in_some.is_some() && !meant.objects.iter().all(means_pods_alone) {
        let message = "what this denies may be a kept set that was not given";
        let help = "give the files of its sets, too; `&& projectcalico.org/orchestrator == 'k8s'` denies pods alone";
        check.say(Code::Unsupported, at, at.key("selector").node.span, message, "not known here", help);
        return None;
    }
    if sets.is_empty() && meant.in_some.is_none() {
        let message = "no set of what was given is meant";
        let help = "give the file of the GlobalNetworkSet, too";
        check.say(Code::Unsupported, at, at.key("selector").node.span, message, "not known here", help);
        return None;
    }
    let cidrs: Vec<Cidr> = sets.iter().flat_map(|set| set.cidrs.iter().copied()).collect();
    let names: Vec<Pattern> = sets.iter().flat_map(|set| set.names.iter().cloned()).collect();
    let some_set = !sets.is_empty();
    let of_pods = |selector: &Selector| match allow {
        true => check.resolvers_meant(at, selector),
        false => check.resolvers_of(selector, Sure::Not),
    };
    let mask = meant.in_some.iter().flatten().map(of_pods).fold(0, |mask, more| mask | more);
    let mut out = Vec::new();
    out.extend((!cidrs.is_empty()).then_some(To::Cidrs(cidrs)));
    out.extend((!names.is_empty()).then_some(To::Names(names)));
    out.extend((mask != 0).then_some(To::Resolvers(mask)));
    // What allows a set or the resolvers says enough; a denial may mean workloads as well.
    if meant.in_some.is_some() && (!allow || (!some_set && mask == 0)) {
        out.push(To::Inside);
    }
    Some(out)
}

/// What a label of destinations is called here: of what Calico puts on them itself, some keep their names.
fn destination_label(key: &str) -> Option<String> {
    match key {
        "projectcalico.org/namespace" => Some(format!("k8s:{NAMESPACE}")),
        "projectcalico.org/kind" | "projectcalico.org/name" | "projectcalico.org/orchestrator" => Some(format!("k8s:{key}")),
        key if is_own(key) => None,
        key => Some(format!("k8s:{key}")),
    }
}
