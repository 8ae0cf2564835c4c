//! The readable form of an image, made from its bytes: what reviewers read.
//!
//! INVARIANT (I9): lines list selectors and grants, sorted; no ids, offsets or counts, so that a changed rule
//! line changes as many lines here as it has selectors.

use crate::abi::{self, PortRange, RESOLVER_ENTRIES};
use crate::decode::Image;
use crate::pattern::Pattern;
use std::fmt::Write as _;

/// A selector whose own text does not lead to it: the image contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpError(pub String);

impl std::fmt::Display for DumpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the automaton does not find selector `{}` by its own text", self.0)
    }
}

/// The dump.
pub fn dump(image: &Image) -> Result<String, DumpError> {
    for id in abi::SELECTOR_SERVER + 1..=image.rows.selectors_n {
        check_own_text(image, id)?;
    }
    let mut out = format!("fqdn image v{}\n", image.head.version);
    for line in image.profile().lines() {
        let _ = writeln!(out, "profile {line}");
    }
    let mut subjects: Vec<(String, u32)> = (0..image.texts.subjects_n).map(|i| (subject_title(image, i), i)).collect();
    subjects.sort();
    let mut lines: Vec<Vec<(String, String)>> = vec![Vec::new(); image.texts.subjects_n as usize];
    for id in (1..=image.rows.selectors_n).filter(|id| *id != abi::SELECTOR_SERVER) {
        let text = image.selector_text(id);
        for grant in image.grants(id) {
            let policy = image.policy(grant.policy);
            let ports = ports_text(&image.ports(grant.ports));
            let line = if grant.servers == abi::SERVERS_DENY {
                format!("  deny     {text:<40} {ports:<20} {policy}")
            } else if grant.servers == 0 {
                format!("  reach    {text:<40} {ports:<20} {policy}")
            } else {
                format!("  resolve  {text:<40} {:<20} {policy}", format!("{} {ports}", servers_text(image, grant.servers)))
            };
            lines[grant.subject as usize].push((reversed(text), line));
        }
    }
    for (title, index) in subjects {
        let rows = &mut lines[index as usize];
        if index == 0 && rows.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{title}");
        rows.sort();
        for (_, line) in rows {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    Ok(out)
}

/// Tree, depth and identity sections, for the tiny cases of golden/format.
pub fn dump_all(image: &Image) -> Result<String, DumpError> {
    let mut out = dump(image)?;
    let _ = writeln!(out, "\ntrie");
    let mut edges: Vec<String> = (0..image.walk.buckets * 2)
        .map(|slot| image.edge(slot))
        .filter(|edge| edge.parent != 0)
        .map(|edge| {
            let label = label_text(image, &edge);
            let reseed = if edge.next & abi::NEXT_RESEED != 0 { " reseed" } else { "" };
            format!("  {} {label} -> class {} state {}{reseed}", edge.parent, edge.class, edge.next & abi::NEXT_STATE)
        })
        .collect();
    edges.sort();
    for edge in edges {
        let _ = writeln!(out, "{edge}");
    }
    let _ = writeln!(out, "depth");
    for id in 1..=image.walk.states {
        let state = image.state(id);
        let star = if state.star != 0 {
            format!("* -> class {} state {}", state.class, state.next & abi::NEXT_STATE)
        } else {
            "no star".into()
        };
        let globs = if state.globs != 0 { " globs" } else { "" };
        let _ = writeln!(out, "  {id} {star}{globs}");
    }
    let _ = writeln!(out, "identity");
    for class in 1..=image.rows.selectors_n + image.rows.classes_n {
        let texts: Vec<&str> = image.class(class).into_iter().map(|s| image.selector_text(s)).collect();
        let _ = writeln!(out, "  {class} = {}", texts.join(" | "));
    }
    Ok(out)
}

fn check_own_text(image: &Image, id: u32) -> Result<(), DumpError> {
    let selector = image.selector(id);
    let text = image.selector_text(id);
    if u32::from(selector.kind) != abi::KIND_NAMES {
        return Ok(());
    }
    let fail = || DumpError(text.to_owned());
    let pattern = Pattern::parse(text).map_err(|_| fail())?;
    if !pattern.can_match() {
        return Ok(());
    }
    match pattern.witness() {
        Some(name) if !pattern.matches(&name) => Ok(()),
        Some(name) if image.selectors_of(&name).contains(&id) => Ok(()),
        _ => Err(fail()),
    }
}

fn subject_title(image: &Image, index: u32) -> String {
    let (text, flags) = image.subject(index);
    if index == abi::SUBJECT_ALL {
        return "every workload".into();
    }
    let deny = if u32::from(flags) & abi::SUBJECT_DEFAULT_DENY != 0 { "default deny" } else { "no default deny" };
    format!("subject {text}  ({deny})")
}

/// Label order from the right, so that one domain's names stay together.
fn reversed(text: &str) -> String {
    text.split('.').rev().collect::<Vec<_>>().join(".")
}

/// Which servers a grant speaks of.
pub fn servers_text(image: &Image, servers: u32) -> String {
    if servers & abi::SERVERS_CIDR != 0 {
        return format!("at {}", image.selector_text(servers & !abi::SERVERS_CIDR));
    }
    if servers == (1 << RESOLVER_ENTRIES) - 1 {
        return "at resolvers".into();
    }
    let names: Vec<&str> = image
        .profile()
        .lines()
        .filter_map(|line| line.strip_prefix("resolver "))
        .filter_map(|line| line.split_once(' '))
        .filter(|(number, _)| number.parse::<u32>().is_ok_and(|n| n < RESOLVER_ENTRIES && servers >> n & 1 != 0))
        .map(|(_, rest)| rest.split(' ').next().unwrap_or(rest))
        .collect();
    format!("at {}", names.join("+"))
}

/// Ports as people write them.
pub fn ports_text(ranges: &[PortRange]) -> String {
    if ranges.is_empty() {
        return "any".into();
    }
    let texts: Vec<String> = ranges
        .iter()
        .map(|range| {
            let proto = proto_text(range.proto);
            match (range.low, range.high) {
                (0, u16::MAX) => format!("*/{proto}"),
                (low, high) if low == high => format!("{low}/{proto}"),
                (low, high) => format!("{low}-{high}/{proto}"),
            }
        })
        .collect();
    texts.join(",")
}

/// Name of an IP protocol number (IANA protocol-numbers).
pub fn proto_text(proto: u16) -> String {
    match proto {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        58 => "icmpv6".into(),
        132 => "sctp".into(),
        other => other.to_string(),
    }
}

fn label_text(image: &Image, edge: &abi::Edge) -> String {
    let len = (edge.word0 & 0xff) as usize;
    let mut bytes = edge.word0.to_le_bytes().to_vec();
    bytes.extend(edge.word1.to_le_bytes());
    if len == abi::GLOB_LABEL as usize {
        let mask: u64 = edge.word0 >> 8 | edge.word1 << 56;
        return format!("globs {mask:#x}");
    }
    bytes.extend(edge.word2.to_le_bytes());
    let label = if len > abi::LABEL_INLINE as usize { image.long_label(edge.word2) } else { &bytes };
    String::from_utf8_lossy(&label[1..=len.min(63)]).into_owned()
}
