//! Rules of which the first that matches counts, as grants and denials of which order does not count.
//!
//! Exact are: denials before every rule that allows, rules that allow, and a last rule that denies everything. A
//! denial behind a rule that allows is exact only if the two can never meet. All else is refused.

use crate::addresses::{AddressSet, Cidr};
use crate::check::{At, Check};
use crate::diagnostic::Code;
use crate::policy::{Deny, Destination, Egress, PortRule, Ports};
use crate::source::Span;
use fqdn_image::Pattern;

/// One rule of the list.
#[derive(Clone, Debug)]
pub struct OrderedRule {
    /// Allows or denies.
    pub allow: bool,
    /// Where to.
    pub to: To,
    /// Ports; none = all.
    pub ports: Vec<Ports>,
    /// Where it stands.
    pub span: Span,
}

/// Destinations of an ordered rule.
#[derive(Clone, Debug)]
pub enum To {
    /// What these names resolve to.
    Names(Vec<Pattern>),
    /// These prefixes.
    Cidrs(Vec<Cidr>),
    /// Everywhere.
    Anywhere,
    /// Workloads of the cluster, of which nothing is known here.
    Inside,
}

/// What a list comes to.
#[derive(Debug, Default)]
pub struct Unordered {
    /// What it allows.
    pub egress: Vec<Egress>,
    /// What it denies.
    pub deny: Vec<Deny>,
    /// It ends by denying everything.
    pub closed: bool,
}

impl OrderedRule {
    /// The families, IPv4 and IPv6, that it covers whole.
    fn whole(&self) -> [bool; 2] {
        let all = |family| match &self.to {
            To::Anywhere => true,
            To::Cidrs(cidrs) => cidrs.contains(&family),
            To::Names(_) | To::Inside => false,
        };
        if self.ports.is_empty() { [all(Cidr::ALL_V4), all(Cidr::ALL)] } else { [false; 2] }
    }

    /// Whether some packet may match both.
    fn meets(&self, other: &OrderedRule) -> bool {
        let overlap = |a: &Ports, b: &Ports| a.proto == b.proto && a.low <= b.high && b.low <= a.high;
        let ports = self.ports.is_empty()
            || other.ports.is_empty()
            || self.ports.iter().any(|a| other.ports.iter().any(|b| overlap(a, b)));
        let apart = match (&self.to, &other.to) {
            (To::Cidrs(a), To::Cidrs(b)) => !a.iter().any(|a| b.iter().any(|b| a.contains(*b) || b.contains(*a))),
            _ => false,
        };
        ports && !apart
    }
}

impl Check<'_> {
    /// The grants and denials of a list that is closed at its end.
    pub(super) fn unordered(&mut self, at: At<'_>, rules: &[OrderedRule]) -> Option<Unordered> {
        let mut out = Unordered::default();
        let mut whole = [false; 2];
        let mut good = true;
        let holes = self.profile.inside();
        for (i, rule) in rules.iter().enumerate() {
            if out.closed {
                let message = "this rule comes after everything is denied";
                self.say(Code::Shadowed, at, rule.span, message, "never counts", "remove it, or move it up");
                continue;
            }
            let sets = |cidrs: &[Cidr]| cidrs.iter().map(|cidr| AddressSet::prefix(*cidr, &[], &holes)).collect::<Vec<_>>();
            if rule.allow {
                if whole != [false; 2] {
                    let message = "this rule comes after one address family is denied";
                    self.say(
                        Code::OrderedException,
                        at,
                        rule.span,
                        message,
                        "would open less than it says",
                        "deny both at the end",
                    );
                    good = false;
                }
                let to = match &rule.to {
                    To::Names(patterns) => Destination::Names(patterns.clone()),
                    To::Cidrs(cidrs) => Destination::Addresses(sets(cidrs)),
                    To::Anywhere => Destination::Anywhere,
                    To::Inside => {
                        if !(self.profile.given && self.profile.delegate) {
                            self.inside(at, rule.span);
                        }
                        Destination::Nowhere
                    }
                };
                let ports =
                    if rule.ports.is_empty() { Vec::new() } else { vec![PortRule { ports: rule.ports.clone(), dns: None }] };
                out.egress.push(Egress { to, ports });
                continue;
            }
            for (have, now) in whole.iter_mut().zip(rule.whole()) {
                *have |= now;
            }
            out.closed = whole == [true; 2];
            if rule.whole() != [false; 2] {
                continue; // the end of the list, or half of it
            }
            if let Some(earlier) = rules[..i].iter().find(|earlier| earlier.allow && earlier.meets(rule)) {
                let (line, _) = at.source.line_column(earlier.span.start);
                let message = format!("this rule denies what line {line} may allow before it");
                let help = "denials count first here: move it up, or make the two disjoint";
                self.say(Code::OrderedException, at, rule.span, message, "an exception by order", help);
                good = false;
                continue;
            }
            match &rule.to {
                To::Cidrs(cidrs) => out.deny.push(Deny { to: sets(cidrs), ports: rule.ports.clone() }),
                To::Anywhere => out.deny.push(Deny { to: AddressSet::everywhere(&[]).to_vec(), ports: rule.ports.clone() }),
                To::Inside => {
                    let message = "denying destinations inside the cluster is left to the CNI";
                    self.say(Code::DenyInside, at, rule.span, message, "not enforced here", "");
                }
                To::Names(_) => {
                    let help = "an address that was never resolved here stays open: deny by prefix, or do not allow";
                    self.say(Code::DenyByName, at, rule.span, "a name cannot be denied", "fails open", help);
                    good = false;
                }
            }
        }
        good.then_some(out)
    }

    /// Says that what no rule matches would be allowed.
    pub(super) fn must_close(&mut self, at: At<'_>, key: &str, list: &Unordered) -> Option<()> {
        if list.closed {
            return Some(());
        }
        let help = "end with a rule that denies 0.0.0.0/0 and ::/0 on all ports";
        self.say(Code::DefaultAllow, at, at.name(key), "what no rule matches is allowed", "no allow-list", help);
        None
    }
}
