//! Names that do more, or less, than their author may think; and policies that do so together.

use crate::asks::{Asks, BySubject};
use crate::check::{At, Check};
use crate::diagnostic::{Code, Findings};
use crate::dns_ports::DnsPorts;
use crate::overlap::Overlap;
use crate::policy::{Destination, Policy, PortRule, Rule};
use crate::source::{Source, Span};
use fqdn_image::labels::Selector;
use fqdn_image::{Pattern, WireName};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Public resolvers that answer over HTTPS or TLS: whoever may reach one asks any name, unseen.
const PRIVATE_DNS: &[&str] = &[
    "chrome.cloudflare-dns.com",
    "cloudflare-dns.com",
    "dns.adguard-dns.com",
    "dns.alidns.com",
    "dns.controld.com",
    "dns.digitale-gesellschaft.ch",
    "dns.google",
    "dns.google.com",
    "dns.mullvad.net",
    "dns.nextdns.io",
    "dns.quad9.net",
    "dns.sb",
    "dns0.eu",
    "dns10.quad9.net",
    "dns11.quad9.net",
    "dns9.quad9.net",
    "doh.cleanbrowsing.org",
    "doh.dns.sb",
    "doh.li",
    "doh.opendns.com",
    "doh.pub",
    "family.cloudflare-dns.com",
    "freedns.controld.com",
    "mozilla.cloudflare-dns.com",
    "one.one.one.one",
    "ordns.he.net",
    "security.cloudflare-dns.com",
    "unfiltered.adguard-dns.com",
];

/// Names below these are served from addresses that many customers share.
const SHARED: &[&str] = &[
    "akadns.net",
    "akamaiedge.net",
    "akamaihd.net",
    "akamaized.net",
    "azureedge.net",
    "azurefd.net",
    "b-cdn.net",
    "cloudflare.net",
    "cloudfront.net",
    "edgekey.net",
    "edgesuite.net",
    "fastly.net",
    "fastlylb.net",
    "github.io",
    "googleusercontent.com",
    "herokuapp.com",
    "llnwd.net",
    "netlify.app",
    "pages.dev",
    "r2.dev",
    "run.app",
    "trafficmanager.net",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// Port of DNS over TLS and QUIC (RFC 7858, RFC 9250).
const DNS_OVER_TLS: u16 = 853;

impl Check<'_> {
    /// One list of names that may be reached.
    pub(crate) fn lint_names(&mut self, list: At<'_>, patterns: &[Pattern], own_language: bool) {
        let mut texts: HashSet<&str> = HashSet::with_capacity(patterns.len());
        let twice: Vec<bool> = patterns.iter().map(|pattern| !texts.insert(pattern.text())).collect();
        let wide = Wide::of(patterns);
        let mut told_apex = false; // once a list
        for (i, pattern) in patterns.iter().enumerate() {
            let place = || list.index(i);
            let shown = pattern.text();
            if twice[i] {
                let at = place();
                self.say(
                    Code::Shadowed,
                    at,
                    at.head(),
                    format!("`{shown}` stands twice in this list"),
                    "again here",
                    "remove it",
                );
                continue;
            }
            if let Some(wider) = wide.covering(pattern) {
                let at = place();
                let message = format!("`{shown}` is covered by `{wider}` in the same list");
                // Whoever listed both may have meant the narrow one.
                let help = format!("keep one: this entry allows less, `{wider}` allows both");
                self.say(Code::Shadowed, at, at.head(), message, "adds nothing", help);
            }
            if let Some(why) = too_broad(pattern) {
                let at = place();
                self.say(
                    Code::BroadPattern,
                    at,
                    at.head(),
                    format!("`{shown}` {why}"),
                    "very wide",
                    "name the domains that are needed",
                );
            } else if let Some(resolver) = private_dns(pattern) {
                let at = place();
                let message = format!("`{shown}` allows the public resolver {resolver}");
                let help = if shown.contains('*') { "name the hosts that are needed" } else { "leave it out" };
                self.say(Code::PrivateDns, at, at.head(), message, "any name can be asked there", help);
            } else if let Some(shared) = shared(pattern) {
                let at = place();
                let message = format!("addresses below {shared} serve many customers");
                let help = "whoever has a name there is reachable as well";
                self.say(Code::SharedAddresses, at, at.head(), message, "shared addresses", help);
            }
            if let Some(apex) = apex(pattern).filter(|_| own_language && !told_apex)
                && !texts.contains(apex)
                && psl::suffix_str(apex) != Some(apex)
                && Pattern::parse_name(apex).is_ok_and(|name| wide.covering(&name).is_none())
            {
                told_apex = true;
                let at = place();
                let message = format!("`{shown}` does not match `{apex}` itself");
                let help = format!("add `matchName: {apex}` if it is meant; likewise for the others of this list");
                self.say(Code::Apex, at, at.head(), message, "names below it only", help);
            }
        }
    }

    /// The ports of one rule.
    pub(crate) fn lint_ports(&mut self, at: At<'_>, to: &Destination, ports: &[PortRule]) {
        let place = at.key("toPorts");
        let span = at.name("toPorts");
        if !matches!(to, Destination::Nowhere | Destination::Resolvers(_)) {
            let single = |rule: &PortRule| rule.ports.iter().any(|p| p.low == DNS_OVER_TLS && p.high == DNS_OVER_TLS);
            if ports.iter().any(|rule| rule.dns.is_none() && single(rule)) {
                let message = "port 853 is DNS over TLS: its names are not seen";
                self.say(Code::PrivateDns, place, span, message, "any name can be asked there", "leave it out");
            }
        }
        let asks = |proto: u16| -> HashSet<u16> {
            let dns = |rule: &&PortRule| rule.dns.is_some() || matches!(to, Destination::Resolvers(_));
            ports
                .iter()
                .filter(dns)
                .flat_map(|r| &r.ports)
                .filter(|p| p.proto == proto && p.low == p.high)
                .map(|p| p.low)
                .collect()
        };
        let whole = |port: u16| {
            let holds = |p: &crate::policy::Ports| p.proto == 6 && (p.low..=p.high).contains(&port);
            ports.iter().flat_map(|rule| &rule.ports).any(holds)
        };
        if let Some(port) = asks(17).into_iter().filter(|port| !whole(*port)).min() {
            let help = "resolvers answer a truncated query again over TCP; add it, or write `protocol: ANY`";
            self.say(
                Code::NoDnsOverTcp,
                place,
                span,
                format!("UDP port {port} without TCP port {port}"),
                "DNS over UDP only",
                help,
            );
        }
    }
}

/// The patterns of a list that may cover others.
struct Wide<'a> {
    /// `*.rest` and `**.rest`, by the rest.
    leading: HashMap<&'a str, Vec<&'a Pattern>>,
    others: Vec<&'a Pattern>,
}

impl<'a> Wide<'a> {
    fn of(patterns: &'a [Pattern]) -> Self {
        let mut wide = Wide { leading: HashMap::new(), others: Vec::new() };
        for pattern in patterns.iter().filter(|p| p.text().contains('*')) {
            let text = pattern.text();
            match text.strip_prefix("**.").or_else(|| text.strip_prefix("*.")) {
                Some(rest) if !rest.contains('*') => wide.leading.entry(rest).or_default().push(pattern),
                _ => wide.others.push(pattern),
            }
        }
        wide
    }

    /// One that matches all that this pattern does.
    fn covering(&self, pattern: &Pattern) -> Option<&'a str> {
        let covers = |wider: &&&Pattern| wider.text() != pattern.text() && wider.covers(pattern);
        let mut tail = pattern.text();
        while let Some((_, rest)) = tail.split_once('.').filter(|_| !self.leading.is_empty()) {
            if let Some(wider) = self.leading.get(rest).and_then(|list| list.iter().find(covers)) {
                return Some(wider.text());
            }
            tail = rest;
        }
        self.others.iter().find(covers).map(|wider| wider.text())
    }
}

/// Labels to the right of the last wildcard.
fn literal_tail(pattern: &Pattern) -> Option<&str> {
    let text = pattern.text();
    let star = text.rfind('*')?;
    Some(text[star..].split_once('.').map_or("", |(_, tail)| tail))
}

/// Public suffixes below domains that are none themselves: whoever names such a domain with wildcards names everyone below the
/// suffix too. The list of publicsuffix.org cannot be asked from above; these are the great clouds'.
const LOWER_SUFFIXES: &[&str] = &[
    "a.run.app",
    "blob.core.windows.net",
    "execute-api.us-east-1.amazonaws.com",
    "s3.amazonaws.com",
    "s3.cn-north-1.amazonaws.com.cn",
    "s3.dualstack.us-east-1.amazonaws.com",
    "s3.us-east-1.amazonaws.com",
    "web.core.windows.net",
];

fn too_broad(pattern: &Pattern) -> Option<String> {
    let text = pattern.text();
    if text != "*" && !text.contains('.') {
        return None; // names of a single label: nobody registers them
    }
    let tail = literal_tail(pattern)?;
    if tail.is_empty() {
        return Some("matches names under every domain".into());
    }
    let suffix = psl::suffix(tail.as_bytes());
    if suffix.is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == tail.as_bytes()) {
        return Some(format!("matches names of everyone under the public suffix `{tail}`"));
    }
    let anybody = |suffix: &&&str| WireName::parse(&format!("x.{suffix}")).is_ok_and(|name| pattern.matches(&name));
    let below = LOWER_SUFFIXES.iter().filter(|suffix| suffix.len() > tail.len() && suffix.ends_with(tail)).find(anybody);
    below.map(|suffix| format!("matches names of everyone under the public suffix `{suffix}`"))
}

fn private_dns(pattern: &Pattern) -> Option<&'static str> {
    if !pattern.text().contains('*') {
        return PRIVATE_DNS.binary_search(&pattern.text()).ok().map(|i| PRIVATE_DNS[i]);
    }
    let tail = literal_tail(pattern)?;
    let below = |name: &&&str| name.ends_with(tail) && WireName::parse(name).is_ok_and(|name| pattern.matches(&name));
    PRIVATE_DNS.iter().find(below).copied()
}

fn shared(pattern: &Pattern) -> Option<&'static str> {
    let text = pattern.text();
    let (rest, _) = text.rsplit_once('.')?;
    let (_, second) = rest.rsplit_once('.')?;
    let tail = &text[text.len() - second.len() - (text.len() - rest.len())..];
    SHARED.binary_search(&tail).ok().map(|found| SHARED[found])
}

/// The name that `*.name` or `**.name` leaves out.
fn apex(pattern: &Pattern) -> Option<&str> {
    let rest = pattern.text().strip_prefix("**.").or_else(|| pattern.text().strip_prefix("*."))?;
    (!rest.contains('*')).then_some(rest)
}

/// Where a policy stands.
pub type Named = (Source, Span);

/// What policies do together.
pub fn together(policies: &[Policy], dns_ports: &DnsPorts, places: &[Named], findings: &mut Findings) {
    same_selector(policies, places, findings);
    // What was refused may hold the rule that is missed.
    if !findings.refused() {
        no_way_to_ask(policies, dns_ports, places, findings);
    }
    taken_ports(policies, places, findings);
}

/// Ports that one policy makes DNS ports and another one opens for something else.
fn taken_ports(policies: &[Policy], places: &[Named], findings: &mut Findings) {
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for policy in policies {
        for rule in &policy.rules {
            for ports in rule.egress.iter().flat_map(|e| &e.ports).filter(|p| p.dns.is_some()).flat_map(|p| &p.ports) {
                taken.entry(ports.low).or_insert(&policy.id);
            }
        }
    }
    taken.remove(&53);
    if taken.is_empty() {
        return;
    }
    for (policy, (source, span)) in policies.iter().zip(places) {
        let opened = policy
            .rules
            .iter()
            .flat_map(|rule| &rule.egress)
            .filter(|e| matches!(e.to, Destination::Names(_) | Destination::Addresses(_)))
            .flat_map(|e| &e.ports)
            .filter(|ports| ports.dns.is_none())
            .flat_map(|ports| &ports.ports)
            .find_map(|ports| taken.get(&ports.low).filter(|_| ports.low == ports.high).map(|by| (ports.low, by)));
        if let Some((port, by)) = opened {
            let message = format!("`{}` opens port {port}, which rules.dns of `{by}` makes a DNS port", policy.id);
            findings.at(Code::TakenPort, source, *span, message, "not open there", "use another port, or another one for DNS");
        }
    }
}

fn same_selector(policies: &[Policy], places: &[Named], findings: &mut Findings) {
    let mut first: HashMap<&Selector, usize> = HashMap::new();
    for (number, policy) in policies.iter().enumerate() {
        let mut told = false;
        for rule in policy.rules.iter().filter(|rule| rule.default_deny || !rule.egress.is_empty() || !rule.deny.is_empty()) {
            let other = *first.entry(&rule.subject).or_insert(number);
            if other != number && !told {
                told = true;
                let (source, span) = &places[number];
                let message = format!("`{}` selects what `{}` selects", policy.id, policies[other].id);
                findings.at(Code::SameSelector, source, *span, message, "the two add up", "");
            }
        }
    }
}

/// Names that may be reached and that no rule lets be asked are never learned: the rule does nothing.
fn no_way_to_ask(policies: &[Policy], dns_ports: &DnsPorts, places: &[Named], findings: &mut Findings) {
    let mut by_subject = BySubject::new();
    for rule in policies.iter().flat_map(|policy| &policy.rules) {
        by_subject.entry(&rule.subject).or_default().add(rule, dns_ports);
    }
    by_subject.retain(|_, asks| !asks.is_empty());
    let mut overlap = Overlap::default();
    by_subject.iter().for_each(|(subject, list)| overlap.add(subject, list));
    for (policy, (source, span)) in policies.iter().zip(places) {
        let Some((pattern, nothing)) = policy.rules.iter().find_map(|rule| unasked(rule, &by_subject, &overlap)) else {
            continue;
        };
        let message = if nothing {
            format!("`{}` allows names, and nothing that was given lets its workloads ask DNS", policy.id)
        } else {
            format!("`{}` allows `{pattern}`, and no rules.dns lets its workloads ask for it", policy.id)
        };
        let help = match policy.id.split_once(':').map(|(kind, _)| kind) {
            None => "add a rule with `toEndpoints` for the DNS service, port 53 and `rules: {dns: [...]}`",
            Some("NetworkPolicy" | "GlobalNetworkPolicy") => {
                "add a rule that allows UDP and TCP to `destination: {selector: \"k8s-app == 'kube-dns'\", ports: [53]}`, with the \
                 namespace of the DNS service"
            }
            Some("ClusterNetworkPolicy") => "add a rule that accepts UDP and TCP port 53 `to` the pods of the DNS service",
            Some(_) => {
                "add a CiliumNetworkPolicy that lets them ask: `toEndpoints` for the DNS service, port 53, `rules: {dns: [...]}`"
            }
        };
        findings.at(Code::NoDns, source, *span, message, "will never be resolved", help);
    }
}

/// A name of the rule that its workloads cannot ask, and whether they can ask none at all.
fn unasked<'a>(rule: &'a Rule, by_subject: &BySubject<'_>, overlap: &Overlap<'a, &Asks<'_>>) -> Option<(&'a Pattern, bool)> {
    if !rule.default_deny {
        return None; // what is not denied may be asked
    }
    let own = by_subject.get(&rule.subject);
    let names = rule.egress.iter().filter_map(|egress| match &egress.to {
        Destination::Names(patterns) => Some(patterns),
        _ => None,
    });
    let mut others: Option<Vec<&Asks<'_>>> = None;
    for pattern in names.flatten() {
        if own.is_some_and(|asks| asks.meets(pattern)) {
            continue;
        }
        let others = others.get_or_insert_with(|| overlap.likely(&rule.subject).copied().collect());
        if !others.iter().any(|asks| asks.meets(pattern)) {
            return Some((pattern, others.is_empty()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(PRIVATE_DNS.is_sorted() && SHARED.is_sorted() && LOWER_SUFFIXES.is_sorted());
        for suffix in LOWER_SUFFIXES {
            assert!(
                psl::suffix(suffix.as_bytes()).is_some_and(|s| s.is_known() && s.as_bytes() == suffix.as_bytes()),
                "{suffix}"
            );
        }
    }

    #[test]
    fn wide_patterns() {
        let broad = |text: &str| too_broad(&Pattern::parse(text).unwrap()).is_some();
        for text in ["*", "*.com", "**.co.uk", "api-*.github.io", "*.*.com", "www.*", "**.amazonaws.com", "*.blob.*.windows.net"]
        {
            assert!(broad(text), "{text}");
        }
        for text in
            ["example.com", "*.example.com", "com", "**.example.co.uk", "*.internal.corp-x", "foo*", "b.s3.*.amazonaws.com"]
        {
            assert!(!broad(text), "{text}");
        }
    }

    #[test]
    fn resolvers_and_shared_addresses() {
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        assert_eq!(private_dns(&pattern("dns.google")), Some("dns.google"));
        assert_eq!(private_dns(&pattern("*.quad9.net")), Some("dns.quad9.net"));
        assert_eq!(private_dns(&pattern("www.quad9.net")), None);
        assert_eq!(shared(&pattern("d111.cloudfront.net")), Some("cloudfront.net"));
        assert_eq!(shared(&pattern("cloudfront.net")), None);
    }
}
