//! Rules of which the first that matches counts, as grants and denials of which order does not count.
//!
//! Exact are: denials before every rule that allows, rules that allow, and a last rule that denies everything. A
//! denial behind a rule that allows is exact only if the two can never meet. All else is refused.

use crate::addresses::{AddressSet, Cidr};
use crate::check::{At, Check};
use crate::diagnostic::{Code, Severity};
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
    /// The resolver entries of this mask.
    Resolvers(u32),
    /// Workloads of the cluster, of which nothing is known here.
    Inside,
}

/// What becomes of traffic that no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// It is allowed, unless the last rules deny it.
    LastRules,
    /// It is denied.
    Dialect,
}

/// What a list comes to.
#[derive(Debug, Default)]
pub struct Unordered {
    /// What it allows.
    pub egress: Vec<Egress>,
    /// What it denies.
    pub deny: Vec<Deny>,
    /// It ends by denying everything.
    closed: bool,
}

impl OrderedRule {
    /// The families, IPv4 and IPv6, that it covers whole.
    fn whole(&self) -> [bool; 2] {
        let all = |family| match &self.to {
            To::Anywhere => true,
            To::Cidrs(cidrs) => cidrs.contains(&family),
            To::Names(_) | To::Resolvers(_) | To::Inside => false,
        };
        if self.ports.is_empty() { [all(Cidr::ALL_V4), all(Cidr::ALL)] } else { [false; 2] }
    }

    fn opens_resolvers(&self, mask: u32) -> bool {
        self.allow && matches!(self.to, To::Resolvers(had) if had & mask == mask)
    }

    /// Whether every port of the other rule is one of this.
    fn has_ports_of(&self, other: &OrderedRule) -> bool {
        let within = |b: &Ports| self.ports.iter().any(|a| a.proto == b.proto && a.low <= b.low && b.high <= a.high);
        self.ports.is_empty() || (!other.ports.is_empty() && other.ports.iter().all(within))
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
    /// The grants and denials of a list. `closed_by`: the rest is denied by the list's own last rules, or by the dialect.
    pub(super) fn unordered(&mut self, at: At<'_>, rules: &[OrderedRule], closed_by: ClosedBy) -> Option<Unordered> {
        let mut out = Unordered::default();
        // What the cluster has none of is denied already.
        let closed_before = [false, !self.profile.ipv6];
        let mut whole = closed_before;
        let mut good = true;
        let holes = self.profile.inside();
        let before = self.findings.0.len();
        let denier = |family: usize| rules.iter().rfind(|rule| !rule.allow && rule.whole()[family]);
        let closes = (0..2).all(|family| closed_before[family] || denier(family).is_some());
        if closed_by == ClosedBy::LastRules && !closes {
            let (span, message, label, help) = match (denier(0), denier(1)) {
                (Some(last), None) => (
                    last.span,
                    "what no rule matches is allowed over IPv6",
                    "closes IPv4 alone",
                    "add a rule that denies ::/0, or, for a cluster without IPv6, `ipv6: false` to the profile",
                ),
                (None, Some(last)) => (
                    last.span,
                    "what no rule matches is allowed over IPv4",
                    "closes IPv6 alone",
                    "add a rule that denies 0.0.0.0/0",
                ),
                _ => {
                    let help = "end with a rule that denies 0.0.0.0/0 and ::/0 on all ports";
                    (at.head(), "what no rule matches is allowed", "no allow-list", help)
                }
            };
            self.say(Code::DefaultAllow, at, span, message, label, help);
            return None;
        }
        for (i, rule) in rules.iter().enumerate() {
            if out.closed {
                let message = "this rule comes after everything is denied";
                self.say(Code::Shadowed, at, rule.span, message, "never counts", "remove it, or move it up");
                continue;
            }
            // Networks of these dialects mean pods and nodes too: what they allow of them is not known here, what they deny is.
            let sets = |cidrs: &[Cidr], holes: &[Cidr]| -> Vec<AddressSet> {
                cidrs.iter().map(|cidr| AddressSet::prefix(*cidr, &[], holes)).collect()
            };
            if rule.allow {
                if whole != closed_before {
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
                    To::Cidrs(cidrs) => {
                        if !self.profile.delegate && cidrs.iter().any(|cidr| holes.iter().any(|hole| hole.contains(*cidr))) {
                            self.inside(at, rule.span);
                        }
                        Destination::Addresses(sets(cidrs, &holes))
                    }
                    To::Anywhere => Destination::Anywhere,
                    To::Resolvers(mask) => Destination::Resolvers(*mask),
                    To::Inside => {
                        if !self.profile.leaves_inside() {
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
            if out.closed || (closes && rule.whole() != [false; 2]) {
                continue; // the end of the list, or its first half
            }
            if let To::Resolvers(mask) = rule.to
                && rules[..i].iter().any(|earlier| earlier.opens_resolvers(mask) && earlier.has_ports_of(rule))
            {
                continue; // a rule before it allows all that it denies
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
                To::Cidrs(cidrs) => out.deny.push(Deny { to: sets(cidrs, &[]), ports: rule.ports.clone() }),
                To::Anywhere => out.deny.push(Deny { to: AddressSet::everywhere(&[]).to_vec(), ports: rule.ports.clone() }),
                To::Inside => self.deny_inside(at, rule.span),
                To::Resolvers(_) => {
                    let help = "leave the policy to the CNI, or leave the DNS service out by a label of its own";
                    self.say(
                        Code::Unsupported,
                        at,
                        rule.span,
                        "the resolvers cannot be denied",
                        "may mean the DNS service",
                        help,
                    );
                    good = false;
                }
                To::Names(_) => {
                    let help = "an address that was never resolved here stays open: deny by prefix, or do not allow";
                    self.say(Code::DenyByName, at, rule.span, "a name cannot be denied", "fails open", help);
                    good = false;
                }
            }
        }
        let refused = self.findings.0[before..].iter().any(|d| d.severity() == Severity::Error);
        (good && !refused).then_some(out)
    }
}
