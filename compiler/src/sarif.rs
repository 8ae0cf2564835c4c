//! Findings as SARIF 2.1.0 (OASIS), which code hosts show beside the lines.

use crate::diagnostic::{Code, Diagnostic, Findings, Severity};
use crate::source::{Source, Span};
use serde_json::{Value, json};

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Notice => "note",
    }
}

fn region(source: &Source, span: Span) -> Value {
    let ((line, column), (end_line, end_column)) = (source.line_column(span.start), source.line_column(span.end));
    json!({"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column})
}

fn result(finding: &Diagnostic) -> Value {
    let mut text = finding.message.clone();
    if !finding.help.is_empty() {
        text.push_str(": ");
        text.push_str(&finding.help);
    }
    let mut result = json!({
        "ruleId": finding.code.text(),
        "level": level(finding.severity()),
        "message": {"text": text},
    });
    if let Some(source) = &finding.source {
        let artifact = json!({"uri": uri(&source.name)});
        let place = json!({"physicalLocation": {"artifactLocation": artifact, "region": region(source, finding.span)}});
        result["locations"] = json!([place]);
        if let Some(fix) = &finding.fix {
            let replacement = json!({"deletedRegion": region(source, fix.span), "insertedContent": {"text": fix.text}});
            result["fixes"] = json!([{"artifactChanges": [{"artifactLocation": artifact, "replacements": [replacement]}]}]);
        }
    }
    result
}

/// A path as a relative reference (RFC 3986 section 4.2).
fn uri(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The log of one run: every rule with its page, every finding.
pub fn log(findings: &Findings) -> Value {
    let rules: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            json!({
                "id": code.text(),
                "fullDescription": {"text": code.explanation()},
                "defaultConfiguration": {"level": level(code.severity())},
            })
        })
        .collect();
    let results: Vec<Value> = findings.0.iter().map(result).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "fqdnc", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}
