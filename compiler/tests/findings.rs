//! Findings: where they point, how they are printed, and that no schema accepts what the compiler refuses for its shape.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdnc::diagnostic::{Diagnostic, Findings};
use fqdnc::source::Source;
use std::fs;
use std::path::{Path, PathBuf};

fn check(text: &str) -> Vec<Diagnostic> {
    let source = Source::new("policy.yaml", text);
    let mut findings = Findings::default();
    let profile = fqdnc::load_profile(None, &mut findings).unwrap();
    fqdnc::compile(&[source], &profile, "default", &mut findings);
    findings.sort();
    findings.0
}

fn policy(egress: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p}}\nspec:\n  endpointSelector: {{}}\n  egress:\n{egress}"
    )
}

/// The text that the first finding of a code underlines.
fn underlined(text: &str, code: &str) -> String {
    let found = check(text);
    let finding = found.iter().find(|d| d.code.text() == code).unwrap_or_else(|| panic!("no {code}: {found:?}"));
    let source = finding.source.as_ref().unwrap();
    source.text.get(finding.span.start..finding.span.end).unwrap().to_owned()
}

/// Anchors, flow and block style, block scalars, several documents, CRLF, texts that are not ASCII.
#[test]
fn spans_point_at_what_is_wrong() {
    let flow = policy("  - {toFQDNs: [{matchName: a.b}, {matchName: \"a..b\"}]}\n");
    assert_eq!(underlined(&flow, "bad-pattern"), ".");
    let block = policy("  - toFQDNs:\n    - matchName: 'bücher.de'\n");
    assert_eq!(underlined(&block, "bad-pattern"), "ü");
    let after = policy("  # дом, 家, 🏠\n  - toCIDR: [\"10.0.0.1/8\"] # 家\n");
    assert_eq!(underlined(&after, "bad-cidr"), "\"10.0.0.1/8\"");
    let crlf = policy("  - toFQDNS:\r\n    - matchName: a.b\r\n").replace("\r\n", "\n").replace('\n', "\r\n");
    assert_eq!(underlined(&crlf, "unknown-key"), "toFQDNS");
    let scalar = policy("  - toFQDNs:\n    - matchName: |\n        a b\n");
    assert!(underlined(&scalar, "bad-pattern").contains("a b") || underlined(&scalar, "bad-pattern") == " ");
    let folded = policy("  - toFQDNs:\n    - matchName: >-\n        *.x\n");
    assert_eq!(underlined(&folded, "bad-pattern"), "*");
    let anchors = policy("  - toPorts: [{ports: [&p {port: \"99999\"}]}]\n  - toPorts: [{ports: [*p]}]\n");
    assert_eq!(underlined(&anchors, "bad-port"), "\"99999\"");
    let second = format!(
        "{}---\n# ü\n{}",
        policy("  - toCIDR: [10.0.0.0/8]\n"),
        policy("  - toCIDR: [1.2.3.4/33]\n").replace("name: p", "name: q")
    );
    assert_eq!(underlined(&second, "bad-cidr"), "1.2.3.4/33");
    let bom = format!("\u{feff}{}", policy("  - toEntities: [wrold]\n"));
    assert_eq!(underlined(&bom, "entity"), "wrold");
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: cilium.io/v2\n  kind: CiliumNetworkPolicy\n  metadata: {name: p}\n  spec: {endpointSelector: {}, egres: []}\n";
    assert_eq!(underlined(list, "unknown-key"), "egres");
}

#[test]
fn lines_and_columns_count_characters() {
    let line = "  - toFQDNs: [{matchName: \"éé\"}, {matchName: \"a..b\"}]\n";
    let column = line.chars().collect::<Vec<_>>().windows(2).position(|pair| pair == ['.', '.']).unwrap() + 2;
    let places: Vec<String> = check(&policy(line)).iter().map(Diagnostic::place).collect();
    assert_eq!(places, ["policy.yaml:7:28".to_owned(), format!("policy.yaml:7:{column}")]);
}

/// A mended line, put in the place of the wrong one, mends it.
#[test]
fn a_mended_policy_has_the_finding_no_more() {
    for (egress, code) in [
        ("  - toFQDNS: [{matchName: a.b}]\n", "unknown-key"),
        ("  - toFQDNs: [{matchName: \"*.a.b\"}]\n", "bad-pattern"),
        ("  - toFQDNs: [{matchName: \" a.b\"}]\n", "bad-pattern"),
        ("  - toCIDR: [10.1.2.3/8]\n", "bad-cidr"),
        ("  - toCIDR: [\"2001:db8::1/32\"]\n", "bad-cidr"),
        ("  - toPorts: [{ports: [{port: 443}]}]\n", "wrong-type"),
        ("  - toFQDNs: [{matchName: no}]\n", "ambiguous-scalar"),
    ] {
        let text = policy(egress);
        let found = check(&text);
        let finding = found.iter().find(|d| d.code.text() == code).unwrap_or_else(|| panic!("{egress}: {found:?}"));
        let fix = finding.fix.as_ref().unwrap_or_else(|| panic!("{egress}: no fix"));
        let mended = format!("{}{}{}", &text[..fix.span.start], fix.text, &text[fix.span.end..]);
        assert!(mended.lines().any(|line| line.trim() == finding.mended().unwrap()), "{mended}");
        let left = check(&mended);
        assert!(!left.iter().any(|d| d.code.text() == code), "{mended}: {left:?}");
    }
}

fn golden(kind: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden").join(kind);
    let mut files = Vec::new();
    for case in fs::read_dir(root).unwrap().flatten() {
        files.extend(
            fs::read_dir(case.path())
                .unwrap()
                .flatten()
                .map(|e| e.path())
                .filter(|p| p.extension().is_some_and(|e| e == "yaml" || e == "json")),
        );
    }
    files.sort();
    files
}

/// OASIS's schema of SARIF 2.1.0, over every finding of every refused policy.
#[test]
fn sarif_satisfies_its_schema() {
    let schema = include_str!("data/sarif-schema-2.1.0.json");
    // Its pattern for a language has a bracket too many, which errata 01 takes out.
    let schema = schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$");
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let mut results = 0;
    for file in golden("reject") {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let findings = Findings(check(&text));
        let log = fqdnc::sarif::log(&findings);
        results += findings.0.len();
        let wrong: Vec<String> = validator.iter_errors(&log).map(|e| format!("{} at {}", e, e.instance_path())).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", file.display());
    }
    assert!(results > 100, "{results}");
    let broken = serde_json::json!({"version": "2.1.0", "runs": [{"tool": {}}]});
    assert!(!validator.is_valid(&broken), "the schema refuses something");
}

/// What steers GitHub's runner is escaped: a policy cannot issue commands of its own.
#[test]
fn workflow_commands_hold_one_line() {
    let source = Source::new("a,b:c\n::error::x.yaml", policy("  - toFQDNs: [{matchName: \"a\\n::set-output name=x::y\"}]\n"));
    let mut findings = Findings::default();
    let profile = fqdnc::load_profile(None, &mut findings).unwrap();
    fqdnc::compile(&[source], &profile, "default", &mut findings);
    for finding in &findings.0 {
        let line = finding.github();
        assert!(!line.contains('\n') && line.starts_with("::"), "{line}");
        assert_eq!(
            line.matches("::").count() - line.matches("%0A::").count(),
            2 + line.matches("name=x::y").count() + line.matches("\\n::").count(),
            "{line}"
        );
    }
}

/// What a schema refuses, the compiler refuses: every accepted policy and every refused one, with each value in turn
/// taken away, doubled into a list, or made another type.
#[test]
fn a_schema_rejection_implies_a_compiler_rejection() {
    let mut both = 0;
    for file in golden("accept").into_iter().chain(golden("reject")) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        if text.len() > 4_000 {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            for mutated in [
                String::new(),
                line.replace('[', "{").replace(']', "}"),
                line.replace(": ", ": [") + "]",
                line.replace('"', ""),
                line.replacen(':', "x:", 1),
            ] {
                let mut copy: Vec<&str> = lines.clone();
                copy[i] = &mutated;
                let text = copy.join("\n");
                let source = Source::new("x", text.as_str());
                fqdnc::schema::agrees(&source).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
                both += 1;
            }
        }
    }
    assert!(both > 2_000, "{both}");
}
