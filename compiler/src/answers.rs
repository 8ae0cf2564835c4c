//! Commands that answer questions: `match`, `eval`.

use crate::images::image_or_refuse;
use crate::{FAILED, Failure, Outcome, REFUSED};
use fqdn_image::judge::{Subjects, Verdict};
use fqdn_image::labels::Labels;
use fqdn_image::ports::{Atom, atoms_text};
use fqdn_image::{Image, Pattern, WireName, abi, dump};
use fqdnc::verdicts;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

/// `1`, `0` or `ERR`. A name that cannot be one in DNS matches nothing.
fn match_word(pattern: &str, name: &str) -> &'static str {
    match (Pattern::parse(pattern), WireName::parse(name)) {
        (Err(_), _) => "ERR",
        (Ok(pattern), Ok(name)) if pattern.matches(&name) => "1",
        _ => "0",
    }
}

pub(crate) fn match_one(pattern: &str, name: &str) -> Outcome {
    let word = match_word(pattern, name);
    writeln!(io::stdout(), "{word}")?;
    Ok(ExitCode::from(match word {
        "1" => 0,
        "0" => 1,
        _ => FAILED,
    }))
}

fn lines(mut each: impl FnMut(&str, &mut dyn Write) -> io::Result<()>) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line).map_err(|e| Failure(format!("failed to read standard input: {e}")))?;
        if read == 0 {
            break;
        }
        while line.last().is_some_and(|b| *b == b'\n' || *b == b'\r') {
            line.pop();
        }
        each(&String::from_utf8_lossy(&line), &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn match_lines() -> Outcome {
    lines(|line, out| writeln!(out, "{}", line.split_once('\t').map_or("ERR", |(pattern, name)| match_word(pattern, name))))
}

/// One answer as columns, and whether it allows.
fn answer(image: &Image, labels: &Labels, target: &str, port: Option<&str>) -> Result<(String, bool), String> {
    let subjects = image.subjects_of(labels);
    let address = verdicts::parse_address(target);
    let name = match address {
        Some(_) => None,
        None => Some(
            WireName::parse(target).map_err(|why| format!("`{}` is neither name nor address: {why}", target.escape_default()))?,
        ),
    };
    if !subjects.enforced && !subjects.denies {
        return Ok(("allow\tnot-selected\t-".into(), true));
    }
    let Some(port) = port else {
        return Ok(summary(image, &subjects, name.as_ref(), address));
    };
    let port = verdicts::parse_port(port).ok_or_else(|| format!("`{}` is no port: write 443/tcp", port.escape_default()))?;
    let verdict = match (&name, address) {
        (Some(name), _) => image.may_reach(&subjects, name, port),
        (None, Some(address)) => image.may_reach_address(&subjects, address, port),
        (None, None) => Verdict::Deny("no-target"),
    };
    let allows = verdict.allows();
    Ok(match verdict {
        Verdict::Allow(why, policy) => (format!("allow\t{why}\t{policy}"), allows),
        Verdict::NotSelected => ("allow\tnot-selected\t-".into(), allows),
        Verdict::Deny(why) => (format!("deny\t{why}\t-"), allows),
        Verdict::DeniedBy(policy) => (format!("deny\tdenied\t{policy}"), allows),
        Verdict::Depends(why, policy) => (format!("depends\t{why}\t{policy}"), allows),
    })
}

/// `resolve=... reach=...`
fn summary(image: &Image, subjects: &Subjects, name: Option<&WireName>, address: Option<u128>) -> (String, bool) {
    match (name, address) {
        (Some(name), _) => by_name(image, subjects, name),
        (None, Some(address)) => by_address(image, subjects, address),
        (None, None) => (String::new(), false),
    }
}

fn by_name(image: &Image, subjects: &Subjects, name: &WireName) -> (String, bool) {
    let resolve = if image.may_resolve(subjects, name).allows() { "allow" } else { "deny" };
    let (always, sometimes) = image.reach_ports(subjects, name);
    let text = |atoms: &[Atom]| if atoms.is_empty() { "none".to_owned() } else { atoms_text(atoms) };
    let allowed = resolve == "allow" || !always.is_empty();
    let depends = if sometimes.is_empty() { String::new() } else { format!(" depends={}", text(&sometimes)) };
    (format!("resolve={resolve} reach={}{depends}", text(&always)), allowed)
}

fn by_address(image: &Image, subjects: &Subjects, address: u128) -> (String, bool) {
    let sets = image.address_sets(subjects, address);
    let reach = if !subjects.enforced || sets.contains(&abi::PORTS_ANY) {
        "any".to_owned()
    } else if sets.is_empty() {
        "none".to_owned()
    } else {
        let mut ranges: Vec<abi::PortRange> = sets.iter().flat_map(|set| image.ports(*set)).collect();
        ranges.sort_unstable_by_key(|r| (r.proto, r.low, r.high));
        ranges.dedup();
        dump::ports_text(&ranges)
    };
    let denied: Vec<String> =
        image.denied_sets(subjects, address).into_iter().map(|set| dump::ports_text(&image.ports(set))).collect();
    if denied.is_empty() {
        let allowed = reach != "none";
        return (format!("resolve=deny reach={reach}"), allowed);
    }
    (format!("resolve=deny reach={reach} denied={}", denied.join(",")), reach != "none" && !denied.contains(&"any".into()))
}

pub(crate) fn eval_one(path: &Path, labels: &str, namespace: &str, target: &str, port: Option<&str>, exit_code: bool) -> Outcome {
    let image = match image_or_refuse(path)? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    let labels = Labels::parse(labels, namespace).map_err(Failure)?;
    let (text, allowed) = answer(&image, &labels, target, port).map_err(Failure)?;
    writeln!(io::stdout(), "{text}")?;
    Ok(if exit_code && !allowed { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

pub(crate) fn eval_lines(path: &Path) -> Outcome {
    let image = match image_or_refuse(path)? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    let mut known: BTreeMap<(String, String), Labels> = BTreeMap::new();
    lines(|line, out| {
        let columns: Vec<&str> = line.split('\t').collect();
        let result = match columns.as_slice() {
            [labels, namespace, target, port] => {
                let key = ((*labels).to_owned(), (*namespace).to_owned());
                let parsed = match known.get(&key) {
                    Some(labels) => Ok(labels.clone()),
                    None => Labels::parse(labels, namespace).inspect(|l| {
                        known.insert(key, l.clone());
                    }),
                };
                parsed.and_then(|labels| answer(&image, &labels, target, (!port.is_empty()).then_some(*port)))
            }
            _ => Err("want labels, namespace, name and port, tabs between them".into()),
        };
        match result {
            Ok((text, _)) => writeln!(out, "{text}"),
            Err(why) => writeln!(out, "ERR\t{why}"),
        }
    })
}
