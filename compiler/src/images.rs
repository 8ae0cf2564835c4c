//! Commands that read images: `dump`, `diff`, `inspect`.

use crate::{Failure, Outcome, Plain, REFUSED};
use fqdn_image::compare::{self, Access, Change};
use fqdn_image::{Image, dump};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn open(path: &Path) -> Result<Result<Image, fqdn_image::DecodeError>, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure(format!("failed to read image `{}`: {e}", path.display())))?;
    Ok(Image::decode(bytes))
}

/// An image, or exit 1 with what is wrong with it.
pub(crate) fn image_or_refuse(path: &Path) -> Result<Result<Image, ExitCode>, Failure> {
    match open(path)? {
        Ok(image) => Ok(Ok(image)),
        Err(error) => {
            writeln!(io::stderr(), "fqdnc: image `{}`: {error}", path.display())?;
            Ok(Err(ExitCode::from(REFUSED)))
        }
    }
}

pub(crate) fn print_dump(path: &Path, all: bool) -> Outcome {
    let image = match image_or_refuse(path)? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    let text = if all { dump::dump_all(&image) } else { dump::dump(&image) };
    match text {
        Ok(text) => {
            io::stdout().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(io::stderr(), "fqdnc: image `{}`: {error}", path.display())?;
            Ok(ExitCode::from(REFUSED))
        }
    }
}

pub(crate) fn diff(old: &Path, new: &Path, fail_on_widen: bool, format: Plain) -> Outcome {
    let read = |path: &Path| open(path)?.map_err(|error| Failure(format!("image `{}`: {error}", path.display())));
    let (old, new) = (read(old)?, read(new)?);
    let comparison = compare::compare(&old, &new);
    let mut out = io::stdout().lock();
    if format == Plain::Json {
        let list = |changes: &[Change]| changes.iter().map(change_json).collect::<Vec<_>>();
        let value = serde_json::json!({"widened": list(&comparison.widened), "narrowed": list(&comparison.narrowed)});
        writeln!(out, "{value}")?;
    } else {
        for (title, changes) in [("widened", &comparison.widened), ("narrowed", &comparison.narrowed)] {
            let mut subject = "";
            for (i, change) in changes.iter().enumerate() {
                if i == 0 {
                    writeln!(out, "{title}")?;
                }
                if change.subject != subject {
                    subject = &change.subject;
                    writeln!(out, "  {subject}")?;
                }
                writeln!(out, "    {}", change_text(&change.access, title == "widened"))?;
            }
        }
        if comparison.is_same() {
            writeln!(out, "no difference in what is allowed")?;
        }
    }
    let bad = if fail_on_widen { !comparison.widened.is_empty() } else { !comparison.is_same() };
    Ok(if bad { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

fn change_text(access: &Access, widened: bool) -> String {
    let shown =
        |example: &Option<String>| example.as_ref().map_or("(too hard to find an example)".into(), |e| format!("e.g. {e}"));
    match access {
        Access::Everything if widened => "no longer denies by default: everything may be reached".into(),
        Access::Everything => "denies by default now".into(),
        Access::Reach { what, ports, example } => format!("reach    {what:<40} {ports:<20} {}", shown(example)),
        Access::Resolve { what, servers, ports, example } => {
            format!("resolve  {what:<40} {:<20} {}", format!("{servers} {ports}"), shown(example))
        }
        Access::NoLongerDenied { what, ports } if widened => format!("no longer denied  {what} {ports}"),
        Access::NoLongerDenied { what, ports } => format!("denied now  {what} {ports}"),
        Access::Profile(line) => line.clone(),
    }
}

fn change_json(change: &Change) -> serde_json::Value {
    let (kind, what, servers, ports, example) = match &change.access {
        Access::Everything => ("default-deny", None, None, None, None),
        Access::Reach { what, ports, example } => ("reach", Some(what), None, Some(ports), example.as_ref()),
        Access::Resolve { what, servers, ports, example } => {
            ("resolve", Some(what), Some(servers), Some(ports), example.as_ref())
        }
        Access::NoLongerDenied { what, ports } => ("deny", Some(what), None, Some(ports), None),
        Access::Profile(line) => ("profile", Some(line), None, None, None),
    };
    serde_json::json!({
        "subject": change.subject, "kind": kind, "what": what, "servers": servers, "ports": ports, "example": example,
    })
}

pub(crate) fn inspect(path: &Path, format: Plain) -> Outcome {
    let image = match image_or_refuse(path)? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    let automaton: u64 = image.sections().iter().take(4).map(|(_, _, n, size)| u64::from(*n) * *size as u64).sum();
    let patterns = image.texts.patterns;
    let per_pattern = automaton as f64 / f64::from(patterns.max(1));
    let mut out = io::stdout().lock();
    if format == Plain::Json {
        let sections: BTreeMap<&str, u64> =
            image.sections().iter().map(|(name, _, n, size)| (*name, u64::from(*n) * *size as u64)).collect();
        let value = serde_json::json!({
            "digest": image.digest_hex(), "generation": format!("{:016x}", image.head.generation), "version": image.head.version,
            "abi": format!("{:016x}", image.head.abi), "bytes": image.bytes().len(), "patterns": patterns,
            "automaton_bytes_per_pattern": per_pattern, "sections": sections,
        });
        writeln!(out, "{value}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "digest      {}", image.digest_hex())?;
    writeln!(out, "generation  {:016x}", image.head.generation)?;
    writeln!(out, "format      version {}, abi {:016x}", image.head.version, image.head.abi)?;
    writeln!(out, "bytes       {}", image.bytes().len())?;
    writeln!(out, "patterns    {patterns}, {per_pattern:.1} bytes of automaton each")?;
    for (name, first, records, size) in image.sections() {
        writeln!(out, "  {name:<20} block {first:>9}  {records:>9} x {size}")?;
    }
    Ok(ExitCode::SUCCESS)
}
