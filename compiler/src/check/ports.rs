//! Ports, and the DNS rules that stand beside them.

use super::{At, Check};
use crate::diagnostic::Code;
use crate::document as doc;
use crate::policy::{PortRule, Ports};

impl Check<'_> {
    pub(crate) fn port_rule(&mut self, at: At<'_>, rule: &doc::PortRule) -> Option<PortRule> {
        self.unsupported(
            at,
            &[
                ("terminatingTLS", rule.terminating_tls.is_some()),
                ("originatingTLS", rule.originating_tls.is_some()),
                ("serverNames", super::is_said(&rule.server_names)),
                ("listener", rule.listener.is_some()),
            ],
        );
        if let Some(inner) = &rule.rules {
            let at = at.key("rules");
            self.unsupported(
                at,
                &[
                    ("http", inner.http.is_some()),
                    ("kafka", inner.kafka.is_some()),
                    ("l7", inner.l7.is_some()),
                    ("l7proto", inner.l7proto.is_some()),
                ],
            );
        }
        let entries = rule.ports.as_deref().unwrap_or_default();
        let dns = rule.rules.as_ref().and_then(|r| r.dns.as_ref());
        if dns.is_some() && entries.is_empty() {
            self.say(
                Code::DnsPort,
                at,
                at.key("rules").name("dns"),
                "rules.dns without a port",
                "here",
                "add `ports: [{port: \"53\", protocol: ANY}]`",
            );
            return None;
        }
        let ports = self.ports(at, entries, dns.is_some());
        if let Some(rules) = at.node.get("rules").filter(|rules| rules.get("dns").is_some_and(super::is_null)) {
            let span = rules.key_span("dns").unwrap_or(rules.span);
            self.say(
                Code::WrongValue,
                at,
                span,
                "`dns` has no value",
                "every name, or none?",
                "write the names, or `dns: []` for every name",
            );
            return None;
        }
        let dns = match dns {
            None => None,
            Some(names) => Some(self.patterns(at.key("rules").key("dns"), names)?),
        };
        let ports = ports?;
        (!ports.is_empty()).then_some(PortRule { ports, dns })
    }

    /// The `ports` of an entry, sorted.
    pub(crate) fn ports(&mut self, at: At<'_>, entries: &[doc::Port], dns: bool) -> Option<Vec<Ports>> {
        let list = at.key("ports");
        if entries.len() > 40 {
            self.say(
                Code::TooManyPorts,
                list,
                at.name("ports"),
                format!("{} ports in one entry", entries.len()),
                "at most 40",
                "write a second toPorts entry",
            );
            return None;
        }
        let mut ports = Vec::new();
        let mut good = true;
        for (i, port) in entries.iter().enumerate() {
            match self.port(list.index(i), port, dns) {
                Some(found) => ports.extend(found),
                None => good = false,
            }
        }
        ports.sort_unstable();
        ports.dedup();
        good.then_some(ports)
    }

    fn port(&mut self, at: At<'_>, port: &doc::Port, dns: bool) -> Option<Vec<Ports>> {
        let protocol = port.protocol.as_deref().unwrap_or("ANY");
        let protos: &[u16] = match protocol {
            "ANY" if dns => &[6, 17],
            "ANY" => &[6, 17, 132],
            "TCP" => &[6],
            "UDP" => &[17],
            "SCTP" if !dns => &[132],
            "SCTP" => {
                self.say(
                    Code::DnsPort,
                    at,
                    at.key("protocol").node.span,
                    "rules.dns with SCTP",
                    "cannot be DNS",
                    "write UDP, TCP or ANY",
                );
                return None;
            }
            _ => {
                let message = format!("`{}` is no protocol that can be enforced here", protocol.escape_default());
                let span = at.key("protocol").node.span;
                self.say(Code::WrongValue, at, span, message, "here", "one of: TCP, UDP, SCTP, ANY");
                let upper = protocol.to_ascii_uppercase();
                if ["TCP", "UDP", "SCTP", "ANY"].contains(&upper.as_str()) {
                    self.findings.mend(span, upper);
                }
                return None;
            }
        };
        let low = match port_number(&port.port) {
            Some(low) => low,
            None => {
                let message = format!("`{}` is no port", port.port.escape_default());
                self.say(
                    Code::BadPort,
                    at,
                    at.key("port").node.span,
                    message,
                    "here",
                    "a number from 0 to 65535, or the name of a well-known service",
                );
                return None;
            }
        };
        let is_name = !port.port.bytes().all(|b| b.is_ascii_digit());
        let high = match port.end_port.unwrap_or(0) {
            0 => low,
            _ if is_name => {
                let span = at.key("endPort").node.span;
                self.say(Code::BadRange, at, span, "endPort beside a port by name", "no range", "write the first port's number");
                return None;
            }
            end => match u16::try_from(end).ok().filter(|end| *end >= low) {
                Some(high) => high,
                None => {
                    self.say(
                        Code::BadRange,
                        at,
                        at.key("endPort").node.span,
                        format!("endPort {end} does not follow port {low}"),
                        "here",
                        "",
                    );
                    return None;
                }
            },
        };
        if dns && (port.end_port.is_some_and(|end| end != 0) || low == 0) {
            let span = at.key(if low == 0 { "port" } else { "endPort" }).node.span;
            self.say(Code::DnsPort, at, span, "rules.dns with a range of ports", "a single port is needed", "");
            return None;
        }
        // Port 0 stands for every port of the protocol (Cilium pkg/policy/api/l4.go).
        let (low, high) = if low == 0 && high == 0 { (0, u16::MAX) } else { (low, high) };
        Some(protos.iter().map(|proto| Ports { proto: *proto, low, high }).collect())
    }
}

/// Service names and ports of the IANA registry (RFC 6335): a line `name port` each, sorted by name.
const SERVICES: &str = include_str!("services.txt");

fn port_number(text: &str) -> Option<u16> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A leading zero is an octal number to Cilium (strconv.ParseUint with base 0).
        return if text.len() > 1 && text.starts_with('0') { None } else { text.parse().ok() };
    }
    let wanted = text.to_ascii_lowercase();
    let mut rows = SERVICES.lines().filter_map(|line| line.split_once(' '));
    rows.find(|(name, _)| *name == wanted).and_then(|(_, port)| port.parse().ok())
}
