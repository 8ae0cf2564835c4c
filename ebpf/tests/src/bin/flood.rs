//! One workload floods, another on another CPU resolves and connects: what the second feels, with a policy for both and without one,
//! in pairs turn about. Prints a line for each kind of flood; exits with 1 where the second fails with a policy, or its time at 99 of
//! 100 is above half as much again. Arguments: how many pairs; of one kind alone.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use kernel_tests::{CLIENT, Node, RESOLVER, RESOLVER_TWO, compile, probe, sh, web_policy};
use std::io::Read;
use std::path::Path;
use std::process::Child;

const SECONDS: u32 = 4;

fn pin(pids: &str, cpu: usize) {
    for pid in pids.split_whitespace() {
        sh(&format!("taskset -apc {cpu} {pid} > /dev/null"));
    }
}

fn said(mut child: Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let _ = child.wait();
    text.trim().to_owned()
}

/// Questions, failures, microseconds at the median and at 99 of 100; and how much the flood was.
fn round(node: &Node, kind: &str, [noisy, quiet]: [&Path; 2], turn: usize) -> ([u64; 4], u64) {
    let probe = probe();
    let flood = node.run_in("c", noisy, &format!("taskset -c 0 {probe} pour {kind} {} {turn}", SECONDS + 1));
    let strangers = (kind == "peers")
        .then(|| node.run_in("s", &node.cgroup, &format!("taskset -c 0 {probe} strangers {} {CLIENT}", SECONDS + 1)));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let steady = node.run_in("c", quiet, &format!("taskset -c 1 {probe} steady {SECONDS} {turn}"));
    let felt: Vec<u64> = said(steady).split(' ').map(|n| n.parse().unwrap()).collect();
    strangers.map(said);
    (felt.try_into().unwrap(), said(flood).parse().unwrap())
}

fn counters(node: &Node) -> Vec<(String, u64)> {
    let all = fqdn_load::status::counters(&node.pins).unwrap();
    all.iter().map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn main() -> std::process::ExitCode {
    let pairs: usize = std::env::args().nth(1).map_or(5, |n| n.parse().unwrap());
    if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        println!("NOT RUN  flood: one CPU");
        return std::process::ExitCode::from(3);
    }
    let node = Node::new("flood", &compile(&web_policy(&["**.example.test"]))).with_peer(&format!("zone {RESOLVER}:53"));
    let at = node.netns("s");
    let first = sh(&format!("ip netns pids {at}"));
    pin(&first, 0);
    let _second = node.serve_at("s", RESOLVER_TWO);
    let all = sh(&format!("ip netns pids {at}"));
    pin(&all.split_whitespace().filter(|pid| !first.contains(pid)).collect::<Vec<_>>().join(" "), 1);
    let free = [node.workload("noisy-free"), node.workload("quiet-free")];
    let bound = [node.workload("noisy"), node.workload("quiet")];
    bound.iter().for_each(|cgroup| node.bind(cgroup, "app=web"));
    let (mut turn, mut worse) = (0, false);
    for kind in ["names", "addresses", "tcp", "peers"] {
        if std::env::args().nth(2).is_some_and(|only| only != kind) {
            continue;
        }
        let mut felt = [Vec::new(), Vec::new()];
        for _ in 0..pairs {
            for (which, cgroups) in [&free, &bound].into_iter().enumerate() {
                turn += 1;
                let before = counters(&node);
                let this = round(&node, kind, [&cgroups[0], &cgroups[1]], turn);
                if this.0[1] > 0 {
                    let moved = counters(&node).into_iter().zip(before).filter(|(after, before)| after != before);
                    let moved: Vec<String> =
                        moved.map(|((name, after), (_, before))| format!("{name} {}", after - before)).collect();
                    eprintln!("{kind}: {}", moved.join(", "));
                }
                felt[which].push(this);
            }
        }
        let [free, bound] = felt.map(|rounds| {
            let of = |at: usize| median(rounds.iter().map(|round| round.0[at]).collect());
            let sum = |at: usize| rounds.iter().map(|round| round.0[at]).sum::<u64>();
            (sum(0), sum(1), of(2), of(3), median(rounds.iter().map(|round| round.1).collect()))
        });
        let ratio = bound.3 as f64 / free.3 as f64;
        println!(
            "{kind:10} without: {} pairs, {} failed, p50 {} us, p99 {} us beside {}; with: {} pairs, {} failed, p50 {} us, p99 {} us beside {}; p99 {ratio:.2}x",
            free.0, free.1, free.2, free.3, free.4, bound.0, bound.1, bound.2, bound.3, bound.4
        );
        worse |= bound.1 > 0 || ratio > 1.5;
    }
    std::process::ExitCode::from(u8::from(worse))
}
