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
use std::process::{Child, Command, Stdio};

#[path = "../../../../compiler/benches/repository.rs"]
mod repository;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Runs of a program in one call.
fn runs() -> u32 {
    if repository::moment() { 1_000 } else { 100_000 }
}

/// Nanoseconds a run, the least of five.
fn cost(program: &OwnedFd, packet: &[u8], device: u32) -> u32 {
    (0..5).map(|_| bpfsys::test_run(program.as_fd(), packet, device, runs()).unwrap().nanoseconds).min().unwrap()
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
        let open = bpfsys::obj_get(&pin).unwrap();
        fs::remove_file(&pin).unwrap(); // nothing of others stays in the loader's folder
        Ok(open)
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
    let patterns = repository::patterns(if repository::moment() { 1_000 } else { 100_000 });
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
        assert_eq!(node.counter("answer-learned") - before, u64::from(5 * runs()), "every run learned");
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

/// Pairs of runs, the names of each, and the pairs of one workload: all of them are learned within its share.
fn pairs() -> usize {
    if repository::moment() { PAIRS_OF_ONE } else { 480 }
}
const NAMES: u64 = 100;
const PAIRS_OF_ONE: usize = 30;
/// Names that the server knows. A workload meets each but once.
const KNOWN: u64 = 60_000;

fn round_trips() {
    let node = Node::new("roundtrip", &compile(&web_policy(&["**.example.test"])));
    let accounting = accounting();
    if let Some(group) = &accounting {
        fs::write(group.join("cgroup.procs"), "0").unwrap(); // what is started from here on is counted
    }
    let node = node.with_network();
    let workloads: Vec<PathBuf> = (0..pairs() / PAIRS_OF_ONE).map(|i| node.workload(&format!("w{i}"))).collect();
    workloads.iter().for_each(|w| node.bind(w, "app=web"));
    // As a cluster is wired: pod, veth, node, veth, server; `x` is another pod, which no program sees.
    let free = node.cgroup.with_file_name("fqdn-t-free");
    fs::create_dir_all(&free).unwrap();
    let [p, x, n, s] = ["p", "x", "n", "s"].map(|side| node.netns(side));
    sh(&format!(
        "ip netns add {n}; ip netns exec {n} sysctl -qw net.ipv4.ip_forward=1
         ip link add veth1 netns {n} type veth peer name veth1 netns {s}
         ip -n {n} addr add 10.199.0.1/24 dev veth1; ip -n {n} link set veth1 up; ip -n {n} route add {RESOLVER}/32 via 10.199.0.2
         ip -n {s} addr add 10.199.0.2/24 dev veth1; ip -n {s} link set veth1 up; ip -n {s} route add 10.199.0.0/16 via 10.199.0.1"
    ));
    for (pod, side, net) in [(&p, "pod0", "10.199.1"), (&x, "pod1", "10.199.2")] {
        sh(&format!(
            "ip netns add {pod}; ip link add veth0 netns {pod} type veth peer name {side} netns {n}
             ip -n {pod} addr add {net}.2/24 dev veth0; ip -n {pod} link set lo up; ip -n {pod} link set veth0 up
             ip -n {n} addr add {net}.1/24 dev {side}; ip -n {n} link set {side} up; ip -n {pod} route add default via {net}.1"
        ));
    }
    fqdn_load::bind::cover(&node.pins, &Netns::File(format!("/run/netns/{p}").into())).unwrap();
    // The server on one CPU, the clients on the other: whoever shares a CPU with the server saves itself a wake-up.
    let pin =
        |cpu: u32, what: &str| sh(&format!("for p in $(pgrep -f 'probe {what}'); do taskset -apc {cpu} $p >/dev/null; done"));
    pin(1, "serve");
    let workload = node.workload("s");
    node.bind(&workload, "app=web");
    println!("saturated, of 2,000 names:");
    saturated(&node, &workload, &free, accounting.as_deref(), false);
    println!("saturated, of fresh names, most of them beyond the workload's share:");
    saturated(&node, &workload, &free, accounting.as_deref(), true);
    let server = name_server(&s, &node);
    let before = node.counter("address-learned");
    let mut with: Vec<_> = workloads.iter().map(|w| node.start_in("p", w, &["latency"])).collect();
    let mut without: Vec<_> = workloads.iter().map(|_| node.start_in("x", &free, &["latency"])).collect();
    with.iter_mut().chain(&mut without).for_each(|agent| assert_eq!(agent.line(), "ready"));
    pin(0, "latency");
    let numbers = |line: &str| line.split(' ').map(|n| n.parse::<f64>().unwrap()).collect::<Vec<f64>>();
    let mut first = 0u64;
    let mut ask = |agent: &mut kernel_tests::Agent, suffix: &str| {
        first = (first + NAMES) % KNOWN;
        numbers(&agent.tell(&format!("{NAMES} {first} {suffix}")))
    };
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for turn in 0..pairs() {
        let (with, without) = (&mut with[turn / PAIRS_OF_ONE], &mut without[turn / PAIRS_OF_ONE]);
        if turn % PAIRS_OF_ONE == 0 {
            ask(with, "example.test");
            ask(without, "example.test");
        }
        let (a, b) = if turn % 2 == 0 {
            let a = ask(with, "example.test");
            (a, ask(without, "example.test"))
        } else {
            let b = ask(without, "example.test");
            (ask(with, "example.test"), b)
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
    let asked = (pairs() + workloads.len()) as u64 * NAMES;
    assert_eq!(node.counter("address-learned") - before, asked, "every answer taught");
    let mut refused: Vec<f64> = (0..20).map(|_| ask(&mut with[0], "evil.test")[0]).collect();
    println!("refused name, p50            {:.1} us", median(&mut refused) / 1e3);
    drop((with, without));
    if let Some(mut server) = server {
        server.kill().unwrap();
        server.wait().unwrap();
    }
    let _ = fs::remove_dir(&free);
    if let Some(group) = &accounting {
        fs::write("/sys/fs/cgroup/cpuacct/cgroup.procs", "0").unwrap();
        drop(node);
        let _ = fs::remove_dir(group);
    }
}

/// Unbound with `KNOWN` names, in place of the tests' own server, which is quicker than any that people run. None = it is not
/// here.
fn name_server(netns: &str, node: &Node) -> Option<Child> {
    if Command::new("unbound").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("round trips are to the tests' own server: unbound is not installed (apt-get install unbound)");
        return None;
    }
    let mut text = format!(
        "server:\n interface: {RESOLVER}\n access-control: 0.0.0.0/0 allow\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n num-threads: 1\n module-config: iterator\n local-zone: example.test. static\n"
    );
    for n in 0..=KNOWN {
        let (a, b) = (n >> 8 & 255, n & 255);
        text.push_str(&format!(" local-data: \"ip-10-200-{a}-{b}.n{n}.example.test. 60 IN A 10.200.{a}.{b}\"\n"));
    }
    let file = std::env::temp_dir().join(format!("{}-unbound.conf", node.netns("s")));
    fs::write(&file, text).unwrap();
    sh(&format!("ip netns pids {netns} | xargs kill"));
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns, "taskset", "-c", "1", "unbound", "-c"]).arg(&file);
    let server = command.stderr(Stdio::null()).spawn().unwrap();
    let answers = || {
        let socket = format!("ip netns exec {netns} ss -lun | grep -q {RESOLVER}:53");
        Command::new("sh").args(["-c", &socket]).status().unwrap().success()
    };
    let came = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        answers()
    });
    assert!(came, "unbound does not start with {}", file.display());
    std::thread::sleep(std::time::Duration::from_millis(500));
    fs::remove_file(&file).unwrap();
    Some(server)
}

fn saturated(node: &Node, workload: &Path, free: &Path, accounting: Option<&Path>, fresh: bool) {
    let names = if fresh { 100_000 } else { 2_000 };
    let used = || accounting.map_or(0.0, |g| fs::read_to_string(g.join("cpuacct.usage")).unwrap().trim().parse::<f64>().unwrap());
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for turn in 0..if repository::moment() { 2 } else { 20 } {
        let first = if fresh { turn * names } else { 0 };
        let run = |cgroup: &Path| {
            let before = used();
            let side = if cgroup == free { "x" } else { "p" };
            let line = node.start_in(side, cgroup, &["saturate", "0.5", &first.to_string(), &names.to_string()]).line();
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
