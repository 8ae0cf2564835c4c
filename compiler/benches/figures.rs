//! The figures of the README for the compiler, each beside its bound: `cargo bench -p fqdnc --bench figures`. It fails where the
//! least of five runs is over the bound. Wall times are those of the binary; peak memory is the kernel's.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

mod repository;

use fqdnc::diagnostic::Findings;
use fqdnc::source::Source;
use fqdnc::{lower, plan, profile, read};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 5;

/// Least and median.
fn times(mut run: impl FnMut()) -> (Duration, Duration) {
    let mut all: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begin = Instant::now();
            run();
            begin.elapsed()
        })
        .collect();
    all.sort_unstable();
    (all[0], all[RUNS / 2])
}

fn fqdnc(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fqdnc"));
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The rows, and how many of them miss their bounds.
#[derive(Default)]
struct Table {
    missed: usize,
}

impl Table {
    /// `bound`: milliseconds.
    fn row(&mut self, what: &str, bound: u64, (least, median): (Duration, Duration), more: &str) {
        let held = repository::moment() || least <= Duration::from_millis(bound);
        self.missed += usize::from(!held);
        let mark = if held { "" } else { "  MISSED" };
        println!("{what:<48} <= {bound:>5} ms   least {least:>9.1?}  median {median:>9.1?}  {more}{mark}");
    }
}

/// Peak resident memory of a run, in MiB, as /proc tells it while the process waits to be reaped.
fn peak(command: &mut Command) -> u64 {
    let mut child = command.spawn().unwrap();
    let path = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most = most.max(line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    most / 1024
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn compile(names: usize, each: usize) -> (String, String) {
    let (dir, image) = (folder(&format!("repository-{names}")), folder(&format!("repository-{names}.img")));
    repository::write(&repository::texts(&repository::patterns(names), each), &dir);
    (dir.to_str().unwrap().to_owned(), image.to_str().unwrap().to_owned())
}

fn main() -> std::process::ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut table = Table::default();
    // Names of the large repositories.
    let part = if repository::moment() { 100 } else { 1 };
    let (million, hundred) = (1_000_000 / part, 100_000 / part);
    println!("{cores} cores; {RUNS} runs each; {million} names are a million");
    let (dir, image) = compile(million, 50);
    let memory = peak(&mut fqdnc(&["compile", &dir, "-o", &image]));
    let whole = times(|| assert!(fqdnc(&["compile", &dir, "-o", &image]).status().unwrap().success()));
    table.missed += usize::from(memory > 1536);
    table.row("1M FQDN rules in 20,000 policies, YAML to image", 4_000, whole, &format!("peak {memory} MiB (<= 1536)"));

    let texts = repository::texts(&repository::patterns(million), 50);
    let sources: Vec<Source> = texts.into_iter().map(|text| Source::new("x", text)).collect();
    let profile = profile::default();
    let policies = read::read(&sources, "default", &profile, &mut Findings::default()).policies;
    drop(sources);
    let mut copies: Vec<_> = (0..RUNS).map(|_| policies.clone()).collect();
    let types = times(|| {
        let rules = lower::lower(copies.pop().unwrap(), &profile);
        let bytes = fqdn_image::encode::encode(&plan::plan(&rules, &profile).unwrap()).unwrap();
        assert!(bytes.len() > million);
    });
    table.row("the same from policy types to image", 2_500, types, "");
    drop((copies, policies));

    let (dir, image) = compile(2_000, 10);
    let small = times(|| assert!(fqdnc(&["compile", &dir, "-o", &image]).status().unwrap().success()));
    table.row("200 policies, 2,000 names", 20, small, "");

    let patterns = repository::patterns(10_000);
    let mut lines = String::new();
    for i in 0..million {
        let pattern = &patterns[i % patterns.len()];
        lines.push_str(&format!("{pattern}\t{}\n", pattern.replace('*', "x")));
    }
    let matching = times(|| {
        let mut child = fqdnc(&["match", "--stdin"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    });
    table.row("match --stdin, 1M lines", 1_000, matching, "");

    let (dir, old) = compile(hundred, 50);
    assert!(fqdnc(&["compile", &dir, "-o", &old]).status().unwrap().success());
    let part = Path::new(&dir).join(if hundred > 50_000 { "part-00001.yaml" } else { "part-00000.yaml" });
    let text = fs::read_to_string(&part).unwrap();
    let changed: Vec<String> = text
        .lines()
        .scan(0, |changes, line| {
            let change = line.contains("matchPattern: \"host") && *changes < 100;
            *changes += u32::from(change);
            Some(if change { line.replace("host", "changed") } else { line.to_owned() })
        })
        .collect();
    fs::write(&part, changed.join("\n") + "\n").unwrap();
    let new = folder("changed.img").to_str().unwrap().to_owned();
    assert!(fqdnc(&["compile", &dir, "-o", &new]).status().unwrap().success());
    let output = Command::new(env!("CARGO_BIN_EXE_fqdnc")).args(["diff", &old, &new]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap().lines().filter(|l| l.contains("e.g.")).count();
    let compared = times(|| assert_eq!(fqdnc(&["diff", &old, &new]).status().unwrap().code(), Some(1)));
    table.row("diff of two 100k-rule images, 100 changes", 1_000, compared, &format!("{lines} lines"));

    // The names of toFQDNs mirrored by rules.dns, and EKS's, where nothing but each name's own question lets it be asked.
    for (what, bound, text) in [
        ("rules.dns mirrors 100k names", 1_000, mirrored(hundred)),
        ("rules.dns mirrors 1M names", 8_000, mirrored(million)),
        ("100k names of EKS", 1_000, of_eks(hundred)),
        ("1M names of EKS", 8_000, of_eks(million)),
    ] {
        let dir = folder("mirrored");
        repository::write(&[text], &dir);
        let dir = dir.to_str().unwrap();
        let image = folder("mirrored.img").to_str().unwrap().to_owned();
        let took = times(|| assert!(fqdnc(&["compile", dir, "-o", &image]).status().unwrap().success()));
        table.row(what, bound, took, "");
    }
    if table.missed > 0 {
        println!("{} bounds are missed", table.missed);
        return std::process::ExitCode::FAILURE;
    }
    std::process::ExitCode::SUCCESS
}

/// In policies of 100,000 names: a document of more has too many values.
fn mirrored(names: usize) -> String {
    let part = |first: usize| {
        let last = names.min(first + 100_000);
        let list: String = (first..last).map(|i| format!("    - matchName: host{i}.example{}.com\n", i % 1_000)).collect();
        let dns: String = list.replace("    - matchName", "        - matchName");
        format!(
            "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p{first}, namespace: shop}}\nspec:\n  endpointSelector: {{}}\n  egress:\n  - toEndpoints: [{{matchLabels: {{k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}}}]\n    toPorts:\n    - ports: [{{port: \"53\", protocol: ANY}}]\n      rules:\n        dns:\n{dns}  - toFQDNs:\n{list}"
        )
    };
    (0..names).step_by(100_000).map(part).collect()
}

fn of_eks(names: usize) -> String {
    let list: String = (0..names).map(|i| format!("      - host{i}.example{}.com\n", i % 1_000)).collect();
    format!(
        "apiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n  podSelector: {{}}\n  policyTypes: [Egress]\n  egress:\n  - to:\n    - domainNames:\n{list}    ports: [{{protocol: TCP, port: 443}}]\n"
    )
}
