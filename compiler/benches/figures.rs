//! The figures of the README for the compiler, each beside its bound: `cargo bench -p fqdnc --bench figures`.
//! Wall times are those of the binary, the least and the median of five runs; peak memory is the kernel's.
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

fn row(what: &str, bound: &str, (least, median): (Duration, Duration), more: &str) {
    println!("{what:<48} {bound:>12}   least {least:>9.1?}  median {median:>9.1?}  {more}");
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

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores; {RUNS} runs each");
    let (dir, image) = compile(1_000_000, 50);
    let memory = peak(&mut fqdnc(&["compile", &dir, "-o", &image]));
    let whole = times(|| assert!(fqdnc(&["compile", &dir, "-o", &image]).status().unwrap().success()));
    row("1M FQDN rules in 20,000 policies, YAML to image", "<= 4 s", whole, &format!("peak {memory} MiB (<= 1536)"));

    let texts = repository::texts(&repository::patterns(1_000_000), 50);
    let sources: Vec<Source> = texts.into_iter().map(|text| Source::new("x", text)).collect();
    let profile = profile::default();
    let policies = read::read(&sources, "default", &profile, &mut Findings::default()).policies;
    drop(sources);
    let mut copies: Vec<_> = (0..RUNS).map(|_| policies.clone()).collect();
    let types = times(|| {
        let rules = lower::lower(copies.pop().unwrap(), &profile);
        let bytes = fqdn_image::encode::encode(&plan::plan(&rules, &profile).unwrap()).unwrap();
        assert!(bytes.len() > 1_000_000);
    });
    row("the same from policy types to image", "<= 2.5 s", types, "");
    drop((copies, policies));

    let (dir, image) = compile(2_000, 10);
    let small = times(|| assert!(fqdnc(&["compile", &dir, "-o", &image]).status().unwrap().success()));
    row("200 policies, 2,000 names", "<= 40 ms", small, "");

    let patterns = repository::patterns(10_000);
    let mut lines = String::new();
    for i in 0..1_000_000 {
        let pattern = &patterns[i % patterns.len()];
        lines.push_str(&format!("{pattern}\t{}\n", pattern.replace('*', "x")));
    }
    let matching = times(|| {
        let mut child = fqdnc(&["match", "--stdin"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    });
    row("match --stdin, 1M lines", "<= 1 s", matching, "");

    let (dir, old) = compile(100_000, 50);
    assert!(fqdnc(&["compile", &dir, "-o", &old]).status().unwrap().success());
    let part = Path::new(&dir).join("part-00001.yaml");
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
    row("diff of two 100k-rule images, 100 changes", "<= 1 s", compared, &format!("{lines} lines"));
}
