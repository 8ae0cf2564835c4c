//! Figures of the programs: nanoseconds a packet by BPF_PROG_TEST_RUN, then real queries over a veth pair with and
//! without policy, turn about.
//! Usage: dataplane OBJECT [round-trips]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use aya::EbpfLoader;
use aya::programs::{CgroupSkb, ProgramError};
use fqdn_load::bpfsys;
use fqdn_load::devices::Netns;
use kernel_tests::packet::{answer, query, record, tcp, udp};
use kernel_tests::{CLIENT, Node, RESOLVER, compile, sh, web_policy, wire};
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

#[path = "../../../../compiler/benches/repository.rs"]
mod repository;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Nanoseconds a run, the least of five.
fn cost(program: &OwnedFd, packet: &[u8], device: u32) -> u32 {
    (0..5).map(|_| bpfsys::test_run(program.as_fd(), packet, device, 100_000).unwrap().nanoseconds).min().unwrap()
}

fn home() -> PathBuf {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap().to_owned();
    fqdn_load::cgroup::mount_point().unwrap().join(own.trim_start_matches('/'))
}

fn enter(cgroup: &Path) {
    fs::write(cgroup.join("cgroup.procs"), "0").unwrap();
}

struct Programs {
    egress: OwnedFd,
    ingress: OwnedFd,
    _ebpf: aya::Ebpf,
}

/// The bench's programs on the maps of a node that is set up.
fn programs(node: &Node, object: &[u8]) -> Programs {
    let cpus = fqdn_load::pins::possible_cpus() as u32;
    let mut ebpf =
        EbpfLoader::new().default_map_pin_directory(node.pins.dir()).map_max_entries("scratch", 4 * cpus).load(object).unwrap();
    let mut load = |name: &str| -> Result<OwnedFd, ProgramError> {
        let program: &mut CgroupSkb = ebpf.program_mut(name).unwrap().try_into()?;
        program.load()?;
        let pin = node.pins.path(&format!("programs/bench-{name}"));
        program.pin(&pin).unwrap();
        Ok(bpfsys::obj_get(&pin).unwrap())
    };
    let (egress, ingress) = (load("fqdn_egress").unwrap(), load("fqdn_ingress").unwrap());
    Programs { egress, ingress, _ebpf: ebpf }
}

fn main() {
    let object = fs::read(std::env::args().nth(1).expect("dataplane OBJECT")).unwrap();
    if std::env::args().nth(2).as_deref() != Some("round-trips") {
        single_packets(&object);
    }
    round_trips();
}

fn single_packets(object: &[u8]) {
    let patterns = repository::patterns(100_000);
    let list: Vec<String> = patterns.iter().map(|p| format!("{{matchPattern: \"{p}\"}}")).collect();
    let wide = format!(
        "{}  - toCIDR: [10.201.0.0/16]\n---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: wide}}\nspec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n  egress:\n  - toPorts: [{{ports: [{{port: \"53\"}}], rules: {{dns: [{}]}}}}]\n",
        web_policy(&["**.example.test"]),
        list.join(", ")
    );
    let node = Node::new("dataplane", &compile(&wide));
    let home = home();
    sh("ip link del fqdn-t0 2>/dev/null || true; ip link add fqdn-t0 type veth peer name fqdn-t1");
    let device = fs::read_to_string("/sys/class/net/fqdn-t0/ifindex").unwrap().trim().parse().unwrap();
    let programs = programs(&node, object);
    let (client, resolver) = (address(CLIENT), address(RESOLVER));
    let flow = tcp((client, 40000), (address("10.201.0.1"), 443), 0x10);

    let nothing = cost(&programs.egress, &flow, device);
    println!("no workload bound            {nothing} ns (the test run itself)");
    for i in 0..1000 {
        node.bind(&node.workload(&format!("w{i}")), "app=other");
    }
    let unbound = node.workload("unbound");
    enter(&unbound);
    let loose = cost(&programs.egress, &flow, device);
    println!("unbound, 1,000 workloads     {loose} ns, {} added", loose.saturating_sub(nothing));
    enter(&home);
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    enter(&workload);
    let established = cost(&programs.egress, &flow, device);
    println!("established flow             {established} ns, {} added", established.saturating_sub(nothing));

    let name = wire(&patterns[7].replace("*.", "w7.").replace('*', "x9"));
    let asked = query(7, &name, 1);
    let out = udp((client, 40000), (resolver, 53), &asked);
    assert_eq!(bpfsys::test_run(programs.egress.as_fd(), &out, device, 1).unwrap().verdict & 1, 1);
    println!("query, 100,000 patterns      {} ns ({} octets)", cost(&programs.egress, &out, device), name.len());

    let asked = query(7, &wire("api.payments.example.test"), 1);
    let out = udp((client, 40000), (resolver, 53), &asked);
    let pointer = [0xc0u8, 12];
    let host = |i: u8| record(&pointer, 1, 60, &[10, 200, 1, i]);
    let cnames = |n: usize| {
        let mut records = Vec::new();
        let mut owner = pointer.to_vec();
        let mut at = asked.len();
        for i in 0..n {
            let target = wire(&format!("edge{i}.cdn.example.net"));
            at += owner.len() + 10;
            records.push(record(&owner, 5, 60, &target));
            owner = (0xc000 | at as u16).to_be_bytes().to_vec();
            at += target.len();
        }
        records.extend((1..5).map(|i| record(&owner, 1, 60, &[10, 200, 2, i])));
        records
    };
    for (what, records) in
        [("answer, 1 A", vec![host(1)]), ("answer, 8 A", (1..9).map(host).collect()), ("answer, 3 CNAME + 4 A", cnames(3))]
    {
        bpfsys::test_run(programs.egress.as_fd(), &out, device, 1).unwrap();
        let before = node.counter("answer-learned");
        let back = udp((resolver, 53), (client, 40000), &answer(&asked, &records));
        let took = cost(&programs.ingress, &back, device);
        assert_eq!(node.counter("answer-learned") - before, 500_000, "every run learned");
        println!("{what:<28} {took} ns");
    }
    let refused = udp((client, 40000), (resolver, 53), &query(7, &wire("www.evil.test"), 1));
    println!("query, refused               {} ns", cost(&programs.egress, &refused, device));
    enter(&home);
    sh("ip link del fqdn-t0");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Ratios of pairs: their median, and the upper end of its 95 % interval (order statistics of the sign test).
fn ratios(pairs: &[(f64, f64)]) -> (f64, f64) {
    let mut ratios: Vec<f64> = pairs.iter().map(|(with, without)| with / without).collect();
    let middle = median(&mut ratios);
    let n = ratios.len() as f64;
    let upper = ((n + 1.96 * n.sqrt()) / 2.0).ceil() as usize;
    (middle, ratios[upper.min(ratios.len() - 1)])
}

/// A group of the CPU accounting controller, if there is one.
fn accounting() -> Option<PathBuf> {
    let path = PathBuf::from("/sys/fs/cgroup/cpuacct/fqdn-t-cpu");
    fs::create_dir_all(&path).ok()?;
    path.join("cpuacct.usage").exists().then_some(path)
}

fn round_trips() {
    let node = Node::new("roundtrip", &compile(&web_policy(&["**.example.test"])));
    let accounting = accounting();
    if let Some(group) = &accounting {
        fs::write(group.join("cgroup.procs"), "0").unwrap(); // what is started from here on is counted
    }
    let node = node.with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    fqdn_load::bind::cover(&node.pins, &Netns::File(format!("/run/netns/{}", node.netns("c")).into())).unwrap();
    // Beside the attach point, and behind a device of its own: no program sees it.
    let free = node.cgroup.with_file_name("fqdn-t-free");
    fs::create_dir_all(&free).unwrap();
    let (x, s) = (node.netns("x"), node.netns("s"));
    sh(&format!(
        "ip netns add {x}; ip link add veth1 netns {x} type veth peer name veth1 netns {s}
         ip -n {x} addr add 10.198.0.9/32 dev veth1; ip -n {x} link set lo up; ip -n {x} link set veth1 up
         ip -n {s} link set veth1 up; ip -n {s} route add 10.198.0.9/32 dev veth1 src {RESOLVER}
         ip -n {x} route add {RESOLVER}/32 dev veth1 src 10.198.0.9"
    ));
    // The server on one CPU, the clients on the other: whoever shares a CPU with the server saves itself a wake-up.
    let pin =
        |cpu: u32, what: &str| sh(&format!("for p in $(pgrep -f 'probe {what}'); do taskset -apc {cpu} $p >/dev/null; done"));
    pin(1, "serve");
    let mut with = node.start(&workload, &["latency"]);
    let mut without = node.start_in("x", &free, &["latency"]);
    assert_eq!([with.line(), without.line()], ["ready", "ready"]);
    pin(0, "latency");
    let numbers = |line: &str| line.split(' ').map(|n| n.parse::<f64>().unwrap()).collect::<Vec<f64>>();
    let mut first = 0u64;
    let mut ask = |agent: &mut kernel_tests::Agent, suffix: &str| {
        first += 400;
        numbers(&agent.tell(&format!("400 {first} {suffix}")))
    };
    ask(&mut with, "example.test");
    ask(&mut without, "example.test");
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for turn in 0..60 {
        let (a, b) = if turn % 2 == 0 {
            let a = ask(&mut with, "example.test");
            (a, ask(&mut without, "example.test"))
        } else {
            let b = ask(&mut without, "example.test");
            (ask(&mut with, "example.test"), b)
        };
        p50.push((a[0], b[0]));
        p99.push((a[1], b[1]));
    }
    let show = |what: &str, pairs: &[(f64, f64)]| {
        let (middle, upper) = ratios(pairs);
        let (mut a, mut b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        println!(
            "{what:<28} {:.1} us with policy, {:.1} us without: {middle:.3}x, upper 95 % bound {upper:.3}x ({} pairs)",
            median(&mut a) / 1e3,
            median(&mut b) / 1e3,
            pairs.len()
        );
    };
    show("round trip, p50", &p50);
    show("round trip, p99", &p99);
    let mut refused: Vec<f64> = (0..20).map(|_| ask(&mut with, "evil.test")[0]).collect();
    println!("refused name, p50            {:.1} us", median(&mut refused) / 1e3);
    drop((with, without));
    saturated(&node, &workload, &free, accounting.as_deref());
    let _ = fs::remove_dir(&free);
    if let Some(group) = &accounting {
        fs::write("/sys/fs/cgroup/cpuacct/cgroup.procs", "0").unwrap();
        drop(node);
        let _ = fs::remove_dir(group);
    }
}

fn saturated(node: &Node, workload: &Path, free: &Path, accounting: Option<&Path>) {
    let used = || accounting.map_or(0.0, |g| fs::read_to_string(g.join("cpuacct.usage")).unwrap().trim().parse::<f64>().unwrap());
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for turn in 0..20 {
        let run = |cgroup: &Path| {
            let before = used();
            let side = if cgroup == free { "x" } else { "c" };
            let line = node.start_in(side, cgroup, &["saturate", "0.5", &(turn * 200_000).to_string()]).line();
            let (answers, rate) = line.split_once(' ').unwrap();
            (rate.parse::<f64>().unwrap(), (used() - before) / answers.parse::<f64>().unwrap())
        };
        let (a, b) = if turn % 2 == 0 {
            let a = run(workload);
            (a, run(free))
        } else {
            let b = run(free);
            (run(workload), b)
        };
        rates.push((a.0, b.0));
        costs.push((a.1, b.1));
    }
    let (rate, _) = ratios(&rates);
    let (mut a, mut b): (Vec<f64>, Vec<f64>) = rates.iter().copied().unzip();
    println!(
        "saturated                    {:.0} answers/s with policy, {:.0} without: {rate:.3}x",
        median(&mut a),
        median(&mut b)
    );
    if accounting.is_some() {
        let (cost, upper) = ratios(&costs);
        println!("CPU for a query              {cost:.3}x, upper 95 % bound {upper:.3}x (client, server and kernel together)");
    }
}
