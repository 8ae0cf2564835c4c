//! Files in.

use fqdnc::diagnostic::{Code, Findings};
use fqdnc::source::{Source, Span};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A larger file is no policy.
const LARGEST: u64 = 256 << 20;

/// Policy texts.
pub(crate) struct Input {
    /// The texts, in the order of their paths.
    pub(crate) sources: Vec<Source>,
}

fn is_yaml(path: &Path) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "yaml" | "yml" | "json"))
}

fn ends(path: &Path, suffixes: &[&str]) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|n| suffixes.iter().any(|s| n.ends_with(s)))
}

/// Files under a folder, sorted; hidden folders and links to folders are left out.
fn walk(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("failed to read folder `{}`: {e}", path.display());
    let mut entries: Vec<_> = fs::read_dir(path).map_err(fail)?.collect::<Result<_, _>>().map_err(fail)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(fail)?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !hidden {
            walk(&entry.path(), found)?;
        } else if kind.is_file() || (kind.is_symlink() && entry.path().is_file()) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// The policy files of these paths.
pub(crate) fn policies(paths: &[PathBuf], findings: &mut Findings) -> Result<Input, String> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut bytes = Vec::new();
            std::io::stdin()
                .lock()
                .take(LARGEST + 1)
                .read_to_end(&mut bytes)
                .map_err(|e| format!("failed to read standard input: {e}"))?;
            sources.extend(decode("-", bytes, findings));
        } else if path.is_dir() {
            let mut found = Vec::new();
            walk(path, &mut found)?;
            for file in found {
                if is_yaml(&file) && !ends(&file, &[".verdicts.yaml", ".profile.yaml"]) {
                    sources.extend(text(&file, findings)?);
                }
            }
        } else {
            sources.extend(text(path, findings)?);
        }
    }
    Ok(Input { sources })
}

/// One text; `None` if it is none, which has been reported.
pub(crate) fn text(path: &Path, findings: &mut Findings) -> Result<Option<Source>, String> {
    let fail = |e: std::io::Error| format!("failed to read `{}`: {e}", path.display());
    let length = fs::metadata(path).map_err(fail)?.len();
    let name = path.to_string_lossy();
    if length > LARGEST {
        findings.general(Code::TooLarge, format!("`{name}` has {length} bytes"), "split it");
        return Ok(None);
    }
    Ok(decode(&name, fs::read(path).map_err(fail)?, findings))
}

/// A path as it is printed: what steers a terminal is escaped.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn decode(name: &str, bytes: Vec<u8>, findings: &mut Findings) -> Option<Source> {
    if bytes.len() as u64 > LARGEST {
        findings.general(Code::TooLarge, format!("`{name}` is larger than 256 MiB"), "split it");
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(Source::new(shown(name), text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let source = Source::new(shown(name), "");
            findings.at(
                Code::Unreadable,
                &source,
                Span::default(),
                format!("`{name}` is not UTF-8 at byte {at}"),
                "",
                "save the file as UTF-8",
            );
            None
        }
    }
}

/// The verdict tables of these paths.
pub(crate) fn verdict_tables(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut found)?;
        } else if path.exists() {
            found.push(path.clone());
        } else {
            return Err(format!("failed to read `{}`: no such file or folder", path.display()));
        }
    }
    found.retain(|path| ends(path, &[".verdicts.yaml"]));
    Ok(found)
}
