//! What the author of a policy is told: a stable code, a place, one line, and help.

use crate::source::{Source, Span};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No image is made.
    Error,
    /// An image is made; it may do less than the author thinks.
    Warning,
    /// Worth knowing.
    Notice,
}

impl Severity {
    /// The word in messages.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
        }
    }
}

impl Code {
    /// Whether it says that something is missing: of a document that was read in part, that may be wrong.
    pub(crate) fn speaks_of_absence(self) -> bool {
        matches!(
            self,
            Code::MissingKey
                | Code::NoSelector
                | Code::NoDirection
                | Code::NoSpec
                | Code::OneOfNamePattern
                | Code::BadRequirement
                | Code::DnsPort
                | Code::DefaultAllow
                | Code::OrderedException
        )
    }
}

macro_rules! codes {
    ($( $name:ident $code:literal $severity:ident $doc:literal $( $wrong:literal => $right:literal )?; )*) => {
        /// Stable names of the findings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Code { $( $name ),* }
        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[ $( Code::$name ),* ];
            /// The code as printed.
            pub fn text(self) -> &'static str { match self { $( Code::$name => $code ),* } }
            /// How much it matters.
            pub fn severity(self) -> Severity { match self { $( Code::$name => Severity::$severity ),* } }
            /// What it means and what to do, for `fqdnc explain`.
            pub fn explanation(self) -> &'static str { match self { $( Code::$name => $doc ),* } }
            /// Lines that have it, and lines that do not.
            pub fn example(self) -> Option<(&'static str, &'static str)> {
                match self { $( $( Code::$name => Some(($wrong, $right)), )? )* _ => None }
            }
        }
    };
}

codes! {
    Unreadable "unreadable" Error "The file cannot be read as text. Policies are UTF-8 text.";
    TooLarge "too-large" Error "The file is larger than 256 MiB. Split it.";
    Character "ambiguous-character" Error "The text holds a character that YAML readers or terminals take in different ways: a line or paragraph separator, a next-line, a NUL, a control or bidirectional mark. A reviewer could be shown another policy than the one compiled. Write it as an escape inside double quotes, or remove it.";
    Syntax "yaml-syntax" Error "The text is not YAML.";
    DuplicateKey "duplicate-key" Error "A key stands twice in one mapping, or a merge key (`<<`) behind others. YAML readers disagree on which counts."
        "toFQDNs: [{matchName: a.example}]\ntoFQDNs: [{matchName: b.example}]" => "toFQDNs: [{matchName: a.example}, {matchName: b.example}]";
    Alias "yaml-alias" Error "Aliases repeat so much that the document would become huge, or an alias has no anchor.";
    Depth "yaml-depth" Error "The document is nested deeper than 64 levels, or lists in lists deeper than 4.";
    Tag "yaml-tag" Error "Tags change what a value is. Write the value itself.";
    AmbiguousScalar "ambiguous-scalar" Error "A plain word that YAML readers take for different values: a boolean or a text, `010` for eight or ten, a key for a number. Quote it, or write true, false or the number in plain digits."
        "matchLabels: {debug: yes}" => "matchLabels: {debug: \"yes\"}";
    UnknownKind "unknown-kind" Error "A kind of a policy API group that is not known. A misspelt policy would enforce nothing."
        "kind: CiliumNetworkPolcy" => "kind: CiliumNetworkPolicy";
    UnknownVersion "unknown-version" Error "A policy of an API version that is not known.";
    UnknownKey "unknown-key" Error "A key that the policy language does not have. Ignoring it would allow more, or other, than was written."
        "- toFQDNS: [{matchName: api.example.com}]" => "- toFQDNs: [{matchName: api.example.com}]";
    MissingKey "missing-key" Error "A key that is required.";
    WrongType "wrong-type" Error "A value of another type than the policy language wants."
        "ports: [{port: 443}]" => "ports: [{port: \"443\"}]";
    WrongValue "wrong-value" Error "A value outside of what the policy language allows.";
    Unsupported "unsupported" Error "Something that Cilium enforces and this tool cannot. To ignore it would allow more, or other, than was written. Remove it, or leave this policy to the CNI.";
    NodeSelector "node-selector" Error "nodeSelector selects hosts; there is no host workload to bind a policy to yet.";
    NoSelector "no-selector" Error "A rule needs an endpointSelector.";
    NoDirection "no-direction" Error "A rule needs at least one of ingress, ingressDeny, egress and egressDeny."
        "spec: {endpointSelector: {}}" => "spec: {endpointSelector: {}, egress: [{}]}";
    NoSpec "no-spec" Error "A policy needs spec or specs.";
    ForeignNamespace "foreign-namespace" Error "The endpointSelector of a CiliumNetworkPolicy applies in the policy's own namespace only."
        "metadata: {namespace: shop}\nendpointSelector: {matchLabels: {k8s:io.kubernetes.pod.namespace: other}}" => "metadata: {namespace: other}\nendpointSelector: {}";
    BadName "bad-name" Error "Not a name of a Kubernetes object or namespace.";
    BadLabel "bad-label" Error "Not a label key or value.";
    BadRequirement "bad-requirement" Error "In and NotIn need values, Exists and DoesNotExist have none."
        "{key: app, operator: In}" => "{key: app, operator: In, values: [web]}";
    BadPattern "bad-pattern" Error "Not a name or pattern. Names are made of letters, digits, `-` and `_`, labels joined by single dots; `*` is for matchPattern only. Write an international name in its xn-- form."
        "matchName: \"*.example.com\"" => "matchPattern: \"*.example.com\"";
    OneOfNamePattern "name-or-pattern" Error "An entry has exactly one of matchName and matchPattern."
        "{matchName: a.example, matchPattern: \"*.a.example\"}" => "{matchName: a.example}, {matchPattern: \"*.a.example\"}";
    BadPort "bad-port" Error "Not a port: 1 to 65535 in quotes, or the name of a service.";
    BadRange "bad-port-range" Error "endPort must not be below port.";
    BadSelector "bad-selector" Error "A selector expression that cannot be read, that can never be true, or that looks into a value (`contains` and the like).";
    OrderedException "ordered-exception" Error "In this kind of policy the first rule that matches counts; here denials always count first. A denial behind a rule that allows what it denies would change its meaning."
        "- {type: Allow, to: {dnsName: api.example}}\n- {type: Deny, to: {cidrSelector: 192.0.2.0/24}}" => "- {type: Deny, to: {cidrSelector: 192.0.2.0/24}}\n- {type: Allow, to: {dnsName: api.example}}";
    DefaultAllow "default-allow" Error "In this kind of policy what no rule matches is allowed. Such a list is no allow-list; end it with a rule that denies everything."
        "- {type: Allow, to: {dnsName: api.example}}\n- {type: Deny, to: {cidrSelector: 0.0.0.0/0}}" => "- {type: Allow, to: {dnsName: api.example}}\n- {type: Deny, to: {cidrSelector: 0.0.0.0/0}}\n- {type: Deny, to: {cidrSelector: \"::/0\"}}";
    DenyByName "deny-by-name" Error "A denial by name fails open: an address that was never resolved here would stay reachable. Allow by name, deny by prefix.";
    NotAlone "not-alone" Error "A policy whose order counts against others: it denies everything at its end, or something before it allows. Together with another policy for the same workloads its meaning depends on priorities that cannot be enforced here.";
    TooManyPorts "too-many-ports" Error "At most 40 ports in one toPorts entry, as in Cilium.";
    BadCidr "bad-cidr" Error "Not a prefix, an address without its length, or bits set behind the length. Calico alone takes bare addresses."
        "toCIDR: [10.1.2.3/8]" => "toCIDR: [10.0.0.0/8]";
    BadExcept "bad-except" Error "An exception must lie inside the prefix.";
    Entity "entity" Error "An entity is a word for a group of addresses: `world`, `all`, or one whose addresses the profile lists."
        "toEntities: [kube-apiserver]" => "# in the profile:\nentities: {kube-apiserver: [192.0.2.10]}";
    DnsPort "dns-port" Error "rules.dns stands beside single TCP or UDP ports: no port, a range or another protocol cannot be DNS."
        "toPorts: [{ports: [{port: \"1\", endPort: 53}], rules: {dns: [...]}}]" => "toPorts: [{ports: [{port: \"53\", protocol: ANY}], rules: {dns: [...]}}]";
    DnsIngress "dns-ingress" Error "rules.dns belongs to egress.";
    MixedPeers "mixed-peers" Error "An egress rule has one kind of destination. Write a rule for each."
        "- toFQDNs: [{matchName: a.example}]\n  toCIDR: [192.0.2.0/24]" => "- toFQDNs: [{matchName: a.example}]\n- toCIDR: [192.0.2.0/24]";
    SamePolicy "same-policy" Error "The same kind, namespace and name stands twice. A cluster would replace the first by the second, a union would widen it.";
    NoPolicy "no-policy" Error "No policy was found in what was given.";
    BadProfile "bad-profile" Error "The profile contradicts itself.";
    TooMany "too-many" Error "More than an image can hold.";
    Budget "budget" Error "Wildcards overlap so much that their combinations would fill the image. Narrow one of the patterns named.";
    EmptyEgress "empty-egress" Warning "`egress: []` is no default deny and enforces nothing, in Cilium as here. Write `egress: [{}]` to deny all."
        "egress: []" => "egress: [{}]";
    DenyAll "deny-all" Warning "An empty egress rule allows nothing: beside other rules it adds nothing, and where default deny is off it does nothing. Alone, `egress: [{}]` is how default deny is written.";
    SelectsNothing "selects-nothing" Warning "An empty list of destinations selects nothing, so the rule allows nothing.";
    NeverMatches "never-matches" Warning "A label over 63 octets or a name over 255 can stand in no DNS query.";
    InCluster "in-cluster" Warning "Destinations inside the cluster cannot be known here. Without a profile that gives clusterCIDRs and delegates them to the CNI they are unreachable. So is a DNS service that is selected by labels which the profile does not list."
        "toEndpoints: [{matchLabels: {app: db}}]" => "# in the profile:\nclusterCIDRs: [10.0.0.0/8]\ninCluster: delegate";
    DnsElsewhere "dns-elsewhere" Warning "A DNS rule for servers outside the resolver set: names are judged and answers pass, but nothing is learned from them.";
    DnsByName "dns-by-name" Warning "DNS is enforced towards resolvers and addresses, not towards servers found by name: this allows no DNS.";
    BroadPattern "broad-pattern" Warning "The bare `*`, or a wildcard directly under a public suffix (publicsuffix.org): names of anybody match it."
        "matchPattern: \"*.com\"" => "matchPattern: \"*.example.com\"";
    PrivateDns "private-dns" Warning "A public resolver that answers over HTTPS or TLS. A workload that may reach it can ask any name and send any data in it, unseen by this policy.";
    NoDns "no-dns" Warning "Addresses are learned from DNS answers. Names that no rule lets the workload ask are never resolved, so the rule that allows them does nothing."
        "egress:\n- toFQDNs: [{matchName: api.example.com}]" => "egress:\n- toEndpoints: [{matchLabels: {k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}]\n  toPorts: [{ports: [{port: \"53\", protocol: ANY}], rules: {dns: [{matchName: api.example.com}]}}]\n- toFQDNs: [{matchName: api.example.com}]";
    TakenPort "taken-port" Warning "A port that some rules.dns names is a DNS port on the whole node: its packets are judged as queries, for every workload. A rule that opens the port for names or addresses does not hold there.";
    NoDnsOverTcp "no-dns-over-tcp" Warning "An answer that does not fit into a datagram is asked for again over TCP (RFC 7766). Without it such names fail."
        "ports: [{port: \"53\", protocol: UDP}]" => "ports: [{port: \"53\", protocol: ANY}]";
    Apex "apex" Notice "`*.example.com` and `**.example.com` match names below example.com, not example.com itself."
        "toFQDNs: [{matchPattern: \"*.example.com\"}]" => "toFQDNs: [{matchPattern: \"*.example.com\"}, {matchName: example.com}]";
    SharedAddresses "shared-addresses" Notice "Addresses of a content network serve many customers. Allowing one name there allows its addresses, and with them every name on the same ones.";
    SameSelector "same-selector" Notice "Two policies select the same workloads. They add up: what either allows is allowed.";
    Shadowed "shadowed" Warning "A rule that never counts, because another one before it or beside it says as much already.";
    NotLogged "not-logged" Notice "Rules that only write a log line do nothing here.";
    DenyInside "deny-inside" Notice "Destinations inside the cluster are not known here: to deny some of them is left to the CNI.";
    DnsResolvers "dns-resolvers" Notice "A DNS rule without destination means the resolvers.";
    Ingress "ingress" Notice "Ingress rules are left to the CNI.";
    OtherPolicy "other-policy" Notice "A Kubernetes NetworkPolicy is left to the CNI; a staged policy is enforced nowhere.";
    RefusalWaits "refusal-waits" Notice "A refused query is answered with REFUSED, or not at all. Programs then ask the next server, or wait: musl for five seconds, glibc for ten. `nxdomain`, the default, and `nodata` end the question at once.";
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// What.
    pub code: Code,
    /// Where.
    pub source: Option<Source>,
    /// Where in it.
    pub span: Span,
    /// One line.
    pub message: String,
    /// Under the text.
    pub label: String,
    /// What to do.
    pub help: String,
    /// What would mend it: another text in the place of some bytes.
    pub fix: Option<Fix>,
}

/// Bytes of a line that is shown. Rust's formatting takes a width of 16 bits, and nobody reads on so far.
const WIDEST: usize = 4_096;

/// Another text in the place of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Which bytes.
    pub span: Span,
    /// The text.
    pub text: String,
}

impl Diagnostic {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// `file:line:column`, or the file, or nothing.
    pub fn place(&self) -> String {
        match &self.source {
            None => String::new(),
            Some(source) => {
                let (line, column) = source.line_column(self.span.start);
                format!("{}:{line}:{column}", source.name)
            }
        }
    }

    /// The line as it would be mended.
    pub fn mended(&self) -> Option<String> {
        let (source, fix) = (self.source.as_ref()?, self.fix.as_ref()?);
        let lines = source.lines_of(fix.span);
        let (before, after) = (source.text.get(lines.start..fix.span.start)?, source.text.get(fix.span.end..lines.end)?);
        Some(format!("{before}{}{after}", fix.text).trim().to_owned()).filter(|line| line.len() <= 160 && !line.contains('\n'))
    }

    /// What to do, with the mended line.
    fn advice(&self) -> String {
        match (self.help.is_empty(), self.mended()) {
            (_, None) => self.help.clone(),
            (true, Some(line)) => format!("mended: {line}"),
            (false, Some(line)) => format!("{}\nmended: {line}", self.help),
        }
    }

    /// The report for people.
    pub fn human(&self, colour: bool) -> String {
        let mut report = MietteDiagnostic::new(format!("{}[{}]: {}", self.severity().word(), self.code.text(), self.message))
            .with_severity(match self.severity() {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
                Severity::Notice => miette::Severity::Advice,
            });
        let advice = self.advice();
        if !advice.is_empty() {
            report = report.with_help(advice);
        }
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(120);
        let mut out = String::new();
        let done = match &self.source {
            Some(source) if !source.text.is_empty() && source.widest_line_at(self.span) <= WIDEST => {
                let length = self.span.end.saturating_sub(self.span.start).max(1);
                let report = report.with_label(LabeledSpan::new(Some(self.label.clone()), self.span.start, length));
                let named = miette::Report::new(report).with_source_code(source.clone());
                handler.render_report(&mut out, named.as_ref())
            }
            Some(_) => handler.render_report(&mut out, &report).and_then(|()| writeln!(out, "   in {}", self.place())),
            None => handler.render_report(&mut out, &report),
        };
        if done.is_err() {
            out = format!("{}[{}]: {} ({})\n", self.severity().word(), self.code.text(), self.message, self.place());
        }
        out
    }

    /// For programs.
    pub fn json(&self) -> serde_json::Value {
        let (line, column) = self.source.as_ref().map_or((0, 0), |s| s.line_column(self.span.start));
        serde_json::json!({
            "code": self.code.text(),
            "severity": self.severity().word(),
            "file": self.source.as_ref().map(|s| s.name.to_string()),
            "line": line,
            "column": column,
            "start": self.span.start,
            "end": self.span.end,
            "message": self.message,
            "label": self.label,
            "help": self.help,
            "mended": self.mended(),
        })
    }

    /// A workflow command of GitHub Actions, which shows the finding beside the changed line.
    pub fn github(&self) -> String {
        let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let property = |text: &str| escaped(text).replace(':', "%3A").replace(',', "%2C");
        let level = self.severity().word();
        let mut place = String::new();
        if let Some(source) = &self.source {
            let ((line, column), (end, _)) = (source.line_column(self.span.start), source.line_column(self.span.end));
            let _ = write!(place, "file={},line={line},endLine={end},col={column},", property(&source.name));
        }
        let advice = self.advice();
        let text = if advice.is_empty() { self.message.clone() } else { format!("{}\n{advice}", self.message) };
        format!("::{level} {place}title={}::{}", property(self.code.text()), escaped(&text))
    }
}

/// Collects findings.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Diagnostic>);

impl Findings {
    /// Adds one at a place.
    pub fn at(
        &mut self,
        code: Code,
        source: &Source,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (message, label, mut help) = (message.into(), label.into(), help.into());
        let span = source.within(span);
        let said = if code == Code::Syntax { source.lines_of(span) } else { span };
        let text = source.text.get(said.start..said.end).filter(|text| text.len() < 400).unwrap_or("");
        let is_template = |text: &str| text.contains("{{") || text.contains("${");
        if code.severity() == Severity::Error && (is_template(text) || is_template(&message)) {
            help = "this is a template: render it first, and give what comes out".into();
        }
        self.0.push(Diagnostic { code, source: Some(source.clone()), span, message, label, help, fix: None });
    }

    /// What would mend the finding just added.
    pub fn mend(&mut self, span: Span, text: impl Into<String>) {
        if let Some(last) = self.0.last_mut() {
            last.fix = Some(Fix { span, text: text.into() });
        }
    }

    /// Adds one without a place.
    pub fn general(&mut self, code: Code, message: impl Into<String>, help: impl Into<String>) {
        let (message, help) = (message.into(), help.into());
        self.0.push(Diagnostic { code, source: None, span: Span::default(), message, label: String::new(), help, fix: None });
    }

    /// Whether any finding stops the compilation.
    pub fn refused(&self) -> bool {
        self.0.iter().any(|d| d.severity() == Severity::Error)
    }

    /// How many of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|d| d.severity() == severity).count()
    }

    /// Of what is true of many rules for one reason, the first is kept, with a count.
    pub(crate) fn fold(&mut self) {
        let mut first: HashMap<(Code, String), usize> = HashMap::new();
        let mut more: HashMap<usize, usize> = HashMap::new();
        let mut kept: Vec<Diagnostic> = Vec::with_capacity(self.0.len());
        self.sort();
        for finding in self.0.drain(..) {
            let of_one_reason = matches!(
                finding.code,
                Code::Ingress | Code::InCluster | Code::DenyInside | Code::NotLogged | Code::OtherPolicy | Code::Apex
            );
            if !of_one_reason {
                kept.push(finding);
                continue;
            }
            let reason = finding.message.clone();
            match first.entry((finding.code, reason)) {
                Entry::Occupied(at) => *more.entry(*at.get()).or_default() += 1,
                Entry::Vacant(place) => {
                    place.insert(kept.len());
                    kept.push(finding);
                }
            }
        }
        for (at, count) in more {
            let finding = &mut kept[at];
            if finding.code != Code::Apex {
                let _ = write!(finding.message, " ({count} more like it)");
            }
        }
        self.0 = kept;
    }

    /// By file and place.
    pub fn sort(&mut self) {
        fn key(d: &Diagnostic) -> (Option<&str>, Span, Code, &str) {
            (d.source.as_ref().map(|s| &*s.name), d.span, d.code, &d.message)
        }
        self.0.sort_by(|a, b| key(a).cmp(&key(b)));
        self.0.dedup_by(|a, b| key(a) == key(b));
    }
}
