//! Verdict tables: questions whose answers people wrote down, put to the image and to the reference.

use crate::diagnostic::{Code, Findings};
use crate::document::{Expect, VerdictsDocument, WorkloadEntry};
use crate::eval::{Answer, Question};
use crate::lower::Rules;
use crate::shape;
use crate::source::Source;
use crate::yaml;
use fqdn_image::judge::{Port, Verdict};
use fqdn_image::labels::Labels;
use fqdn_image::{Image, WireName};

/// A table, checked.
#[derive(Debug)]
pub struct Table {
    /// Profile beside it.
    pub profile: Option<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug)]
pub struct Row {
    /// How it reads.
    pub text: String,
    /// Line in the file.
    pub line: usize,
    /// Namespace of the workload.
    pub namespace: String,
    /// Its labels as `k=v,...`.
    pub label_text: String,
    /// The same, parsed.
    pub labels: Labels,
    /// What is asked.
    pub question: Question,
    /// Expected: allowed.
    pub allow: bool,
    /// Expected: by this policy.
    pub rule: Option<String>,
}

/// Reads `443/tcp`.
pub fn parse_port(text: &str) -> Option<Port> {
    let (port, proto) = text.split_once('/').unwrap_or((text, "tcp"));
    let proto = match proto.to_ascii_lowercase().as_str() {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        _ => return None,
    };
    Some(Port { proto, port: port.parse().ok()? })
}

/// Reads an address.
pub fn parse_address(text: &str) -> Option<u128> {
    Some(match text.parse().ok()? {
        std::net::IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        std::net::IpAddr::V6(v6) => u128::from(v6),
    })
}

/// The table of a text.
pub fn read(source: &Source, findings: &mut Findings) -> Option<Table> {
    let documents = yaml::parse(source, findings);
    let document = documents.first()?;
    let filled = shape::read::<VerdictsDocument>(source, document, findings)?;
    let table = &filled.value;
    let list = filled.root.get("verdicts")?;
    let mut rows = Vec::new();
    for (row, node) in table.verdicts.iter().zip(list.items()) {
        let mut fail = |message: String| findings.at(Code::WrongValue, source, node.span, message, "this row", "");
        let Some(WorkloadEntry { namespace, labels }) = table.workloads.get(&row.from) else {
            fail(format!("`{}` is none of the workloads", row.from.escape_default()));
            continue;
        };
        let namespace = namespace.clone().unwrap_or_else(|| "default".into());
        let label_text: Vec<String> = labels.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
        let label_text = label_text.join(",");
        let labels = match Labels::parse(&label_text, &namespace) {
            Ok(labels) => labels,
            Err(why) => {
                fail(why);
                continue;
            }
        };
        let port = row.port.as_deref().map(parse_port);
        let chain: Option<Vec<&String>> = row.cnames.as_ref().map(|cnames| row.name.iter().chain(cnames).collect());
        let question = match (&row.name, &row.address, port) {
            (_, _, Some(None)) => {
                fail("the port is not like `443/tcp`".into());
                continue;
            }
            (Some(_), None, Some(Some(port))) if chain.is_some() => {
                match chain.iter().flatten().map(|name| WireName::parse(name)).collect() {
                    Ok(names) => Question::ReachChain(names, port),
                    Err(why) => {
                        fail(format!("no name: {why}"));
                        continue;
                    }
                }
            }
            (Some(name), Some(address), Some(Some(port))) if chain.is_none() => {
                match (WireName::parse(name), parse_address(address)) {
                    (Ok(name), Some(address)) => Question::ReachAt(name, address, port),
                    (Err(why), _) => {
                        fail(format!("no name: {why}"));
                        continue;
                    }
                    (_, None) => {
                        fail(format!("`{}` is no address", address.escape_default()));
                        continue;
                    }
                }
            }
            _ if chain.is_some() => {
                fail("`cnames` go with a name and a port".into());
                continue;
            }
            (Some(name), None, port) => match (WireName::parse(name), port.flatten()) {
                (Ok(name), None) => Question::Resolve(name),
                (Ok(name), Some(port)) => Question::ReachName(name, port),
                (Err(why), _) => {
                    fail(format!("no name: {why}"));
                    continue;
                }
            },
            (None, Some(address), Some(Some(port))) => match parse_address(address) {
                Some(address) => Question::ReachAddress(address, port),
                None => {
                    fail(format!("`{}` is no address", address.escape_default()));
                    continue;
                }
            },
            _ => {
                fail("a row asks about a name, about an address and a port, or about all three".into());
                continue;
            }
        };
        let what: Vec<&str> = [&row.name, &row.address].into_iter().filter_map(|part| part.as_deref()).collect();
        let what = what.join(" at ");
        let text = format!("{} -> {what} {}", row.from, row.port.as_deref().unwrap_or("(resolve)"));
        let (line, _) = source.line_column(node.span.start);
        rows.push(Row {
            text,
            line,
            namespace,
            label_text,
            labels,
            question,
            allow: row.expect == Expect::Allow,
            rule: row.rule.clone(),
        });
    }
    Some(Table { profile: filled.value.profile, rows })
}

/// What is wrong with a row, by the image and by the reference.
pub fn check(row: &Row, image: &Image, rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    let subjects = image.subjects_of(&row.labels);
    let verdict = match &row.question {
        Question::Resolve(name) => image.may_resolve(&subjects, name),
        Question::ReachName(name, port) => image.may_reach(&subjects, name, *port),
        Question::ReachChain(names, port) => image.may_reach_chain(&subjects, names, *port),
        Question::ReachAt(name, address, port) => image.may_reach_at(&subjects, name, *address, *port),
        Question::ReachAddress(address, port) => image.may_reach_address(&subjects, *address, *port),
    };
    let want = if row.allow { Answer::Allow } else { Answer::Deny };
    let (reference, policies) = rules.answer(&row.labels, &row.question);
    for (engine, got) in [("image", Answer::from(&verdict)), ("reference", reference)] {
        if got != want {
            wrong.push(format!("{engine}: want {want}, got {got}"));
        }
    }
    if let Verdict::Depends(why, by) = &verdict {
        wrong.push(format!("it hangs on the address ({why} of {by}): say which, by `address:` beside the name"));
    }
    if let Some(rule) = &row.rule
        && !policies.contains(&rule.as_str())
    {
        wrong.push(format!(
            "want rule {rule}, allowed by {}",
            if policies.is_empty() { "none".into() } else { policies.join(", ") }
        ));
    }
    wrong
}
