//! `fqdnc diff --fail-on-widen`: pairs of policies, and whether the second allows what the first does not.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fqdnc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fqdnc")).args(arguments).output().unwrap()
}

fn image(name: &str, text: &str, profile: Option<&str>) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (policy, image) = (dir.join(format!("{name}.yaml")), dir.join(format!("{name}.img")));
    fs::write(&policy, text).unwrap();
    let mut arguments = vec!["compile", policy.to_str().unwrap(), "-o", image.to_str().unwrap()];
    let path = dir.join(format!("{name}.profile.yaml"));
    if let Some(profile) = profile {
        fs::write(&path, profile).unwrap();
        arguments.extend(["--profile", path.to_str().unwrap()]);
    }
    let run = fqdnc(&arguments);
    assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
    image
}

fn policy(name: &str, app: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  endpointSelector: {{{app}}}\n{spec}\n"
    )
}

fn web(spec: &str) -> String {
    policy("p", "matchLabels: {app: web}", spec)
}

/// Exit codes of `diff` and of `diff --fail-on-widen`, and what is printed.
fn diff(case: &str, old: &str, new: &str, profile: Option<&str>) -> (i32, i32, String) {
    let (old, new) = (image(&format!("{case}-old"), old, profile), image(&format!("{case}-new"), new, profile));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let plain = fqdnc(&["diff", old, new]);
    let strict = fqdnc(&["diff", old, new, "--fail-on-widen"]);
    (plain.status.code().unwrap(), strict.status.code().unwrap(), String::from_utf8(plain.stdout).unwrap())
}

#[test]
fn widened() {
    let many: String = (0..110)
        .map(|i| {
            format!(
                "{{matchName: {}.a.com}}, ",
                ["x", "y", "z"].iter().cycle().skip(i).take(1 + i / 27).copied().collect::<String>() + &"xyzxyz"[..i % 6]
            )
        })
        .collect();
    let names = |more: &str| web(&format!("  egress: [{{toFQDNs: [{many}{more}]}}]"));
    let server = "  egress: [{toCIDR: [192.0.2.53/32], toPorts: [{ports: [{port: \"53\"}], rules: {dns: [{matchName: a.b}]}}]}]";
    let ns_deny = policy("all", "", "  egress: [{}]");
    let cidr = "  egress: [{toCIDR: [203.0.113.0/24]}]\n  egressDeny: [{toEntities: [";
    let dns = |port: &str| {
        policy(
            "dns",
            "matchLabels: {app: other}",
            &format!("  egress: [{{toPorts: [{{ports: [{{port: \"{port}\"}}], rules: {{dns: [{{matchName: a.b}}]}}}}]}}]"),
        )
    };
    let api = web("  egress: [{toFQDNs: [{matchName: api.example.com}]}]");
    for (case, old, new) in [
        ("wildcard", names("{matchName: q.a.com}"), names("{matchPattern: \"*.a.com\"}")),
        ("deny-kind", web(&format!("{cidr}all]}}]")), web(&format!("{cidr}host]}}]"))),
        ("dns-port", format!("{api}{}", dns("8053")), format!("{api}{}", dns("53"))),
        ("default-deny-gone", api.clone(), policy("p", "matchLabels: {app: else}", "  egress: [{}]")),
        (
            "deny-gone",
            web("  egress: [{toCIDR: [10.0.0.0/8]}]\n  egressDeny: [{toCIDR: [10.1.0.0/16]}]"),
            web("  egress: [{toCIDR: [10.0.0.0/8]}]"),
        ),
        ("new-subject", ns_deny.clone(), format!("{ns_deny}{api}")),
        ("server-no-longer-denied", web(&format!("{server}\n  egressDeny: [{{toCIDR: [192.0.2.53/32]}}]")), web(server)),
        (
            "name-no-longer-denied",
            format!("{}\n  egressDeny: [{{toCIDR: [10.0.0.0/8]}}]\n", on_443("toFQDNs: [{matchName: a.b}], ").trim_end()),
            on_443("toFQDNs: [{matchName: a.b}], "),
        ),
        (
            "any-name",
            web("  egress: [{toPorts: [{ports: [{port: \"53\"}], rules: {dns: [{matchPattern: \"*\"}]}}]}]"),
            web("  egress: [{toPorts: [{ports: [{port: \"53\"}]}]}]"),
        ),
        (
            "port-range",
            web("  egress: [{toFQDNs: [{matchName: a.b}], toPorts: [{ports: [{port: \"80\", endPort: 90}]}]}]"),
            web("  egress: [{toFQDNs: [{matchName: a.b}], toPorts: [{ports: [{port: \"80\", endPort: 91}]}]}]"),
        ),
        ("by-prefix", on_443("toCIDR: [0.0.0.0/0], "), on_443("toFQDNs: [{matchName: a.b}], ")),
        (
            "deeper",
            web("  egress: [{toFQDNs: [{matchPattern: \"*.a.b\"}, {matchPattern: \"*.*.a.b\"}]}]"),
            web("  egress: [{toFQDNs: [{matchPattern: \"**.a.b\"}]}]"),
        ),
        (
            "other-source",
            policy("p", "matchLabels: {\"container:app\": web}", "  egress: [{}]"),
            format!(
                "{}{}",
                policy("p", "matchLabels: {\"container:app\": web}", "  egress: [{}]"),
                policy("q", "matchLabels: {\"k8s:app\": api}", "  egress: [{toFQDNs: [{matchName: a.b}]}]")
            ),
        ),
    ] {
        let (differs, widens, text) = diff(case, &old, &new, None);
        assert_eq!((differs, widens), (1, 1), "{case}: {text}");
        assert!(text.starts_with("widened\n"), "{case}: {text}");
    }
}

/// One rule for one port.
fn on_443(to: &str) -> String {
    web(&format!("  egress: [{{{to}toPorts: [{{ports: [{{port: \"443\", protocol: TCP}}]}}]}}]"))
}

#[test]
fn only_narrowed() {
    let api = web("  egress: [{toFQDNs: [{matchName: api.example.com}, {matchName: www.example.com}]}]");
    for (case, old, new) in [
        ("fewer", api.clone(), web("  egress: [{toFQDNs: [{matchName: api.example.com}]}]")),
        (
            "denied",
            api.clone(),
            web(
                "  egress: [{toFQDNs: [{matchName: api.example.com}, {matchName: www.example.com}]}]\n  egressDeny: [{toCIDR: [192.0.2.0/24]}]",
            ),
        ),
        (
            "closed",
            policy("p", "matchLabels: {app: else}", "  egress: [{}]"),
            format!("{}{api}", policy("q", "matchLabels: {app: else}", "  egress: [{}]")),
        ),
        ("by-ports", on_443(""), on_443("toFQDNs: [{matchName: a.b}, {matchPattern: \"*.c.d\"}], ")),
        ("by-entity", on_443("toEntities: [all], "), on_443("toFQDNs: [{matchName: a.b}], ")),
        ("by-world", on_443("toEntities: [world], "), on_443("toFQDNs: [{matchName: a.b}], ")),
        ("by-prefixes", on_443("toCIDR: [0.0.0.0/1, 128.0.0.0/1, \"::/0\"], "), on_443("toFQDNs: [{matchName: a.b}], ")),
        (
            "split",
            web("  egress: [{toFQDNs: [{matchPattern: \"**.a.b\"}]}]"),
            web("  egress: [{toFQDNs: [{matchPattern: \"*.a.b\"}, {matchPattern: \"**.x.a.b\"}]}]"),
        ),
    ] {
        let (differs, widens, text) = diff(case, &old, &new, None);
        assert_eq!((differs, widens), (1, 0), "{case}: {text}");
        assert!(text.starts_with("narrowed\n"), "{case}: {text}");
    }
}

#[test]
fn the_same_in_other_words() {
    let ports = |list: &str| web(&format!("  egress: [{{toFQDNs: [{{matchName: a.b}}], toPorts: [{{ports: [{list}]}}]}}]"));
    for (case, old, new) in [
        ("ports", ports("{port: \"80\", endPort: 90}"), ports("{port: \"80\", endPort: 85}, {port: \"86\", endPort: 90}")),
        (
            "covered",
            web("  egress: [{toFQDNs: [{matchPattern: \"*.a.b\"}]}]"),
            web("  egress: [{toFQDNs: [{matchPattern: \"*.a.b\"}, {matchName: x.a.b}]}]"),
        ),
        (
            "moved",
            web("  egress: [{toFQDNs: [{matchName: a.b}]}]"),
            policy("renamed", "matchLabels: {app: web}", "  egress: [{toFQDNs: [{matchName: A.B.}]}]"),
        ),
        (
            "denial at a DNS port, where names reach nothing",
            ports("{port: \"53\", protocol: TCP}").replace("egress: [", "egressDeny: [{toCIDR: [\"fd00::7/128\"]}]\n  egress: ["),
            ports("{port: \"53\", protocol: TCP}"),
        ),
        ("prefixes", web("  egress: [{toCIDR: [10.0.0.0/24]}]"), web("  egress: [{toCIDR: [10.0.0.0/25, 10.0.0.128/25]}]")),
    ] {
        let (differs, widens, text) = diff(case, &old, &new, None);
        assert_eq!((differs, widens), (0, 0), "{case}: {text}");
    }
}

#[test]
fn a_profile_that_changes_is_shown() {
    let head = "apiVersion: fqdn.policy/v1\nkind: Profile\nrefuse: drop\n";
    let text = web("  egress: [{toCIDR: [0.0.0.0/0]}]");
    let old = image("profile-old", &text, Some(&format!("{head}clusterCIDRs: [10.0.0.0/8]\ninCluster: deny\n")));
    let new = image("profile-new", &text, Some(&format!("{head}clusterCIDRs: [10.0.0.0/9]\ninCluster: deny\n")));
    let run = fqdnc(&["diff", old.to_str().unwrap(), new.to_str().unwrap(), "--fail-on-widen"]);
    let said = String::from_utf8(run.stdout).unwrap();
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("reach    0.0.0.0/0 outside the cluster") && said.contains("e.g. 10.128.0.0"), "{said}");
    assert!(said.contains("- clusterCIDRs 10.0.0.0/8") && said.contains("+ clusterCIDRs 10.0.0.0/9"), "{said}");
    let run = fqdnc(&["diff", old.to_str().unwrap(), "/nonexistent"]);
    assert_eq!(run.status.code(), Some(2));
}
