//! What leaves by a device without having met a cgroup's program, and who may answer as a resolver (rows 29 to 31, 42, 46
//! and 47 of docs/security/bypasses.md).
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_load::bind::{self, Told};
use fqdn_load::devices::{self, Netns};
use fqdn_load::{bpfsys, status};
use kernel_tests::{Node, RESOLVER, compile, sh, web_policy};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAMES: &[&str] = &["ip-10-*.example.test"];

fn node(name: &str) -> (Node, PathBuf) {
    let node = Node::new(name, &compile(&web_policy(NAMES))).with_network();
    let workload = node.workload("w");
    (node, workload)
}

fn told(path: &Path) -> Told {
    Told { path: path.to_owned(), namespace: "default".into(), labels: "app=web".into(), ..Told::default() }
}

fn cover(node: &Node, side: &str) -> devices::Covered {
    bind::cover(&node.pins, &Netns::File(format!("/run/netns/{}", node.netns(side)).into())).unwrap()
}

#[test]
fn packet_sockets_from_before_are_found_row_29() {
    let (node, workload) = node("before");
    for how in ["packet-open", "xdp-open"] {
        let mut agent = node.agent(&workload);
        assert_eq!(agent.tell("udp u"), "ok");
        let said = agent.tell(how);
        if said != "ok" {
            kernel_tests::not_run!("{how}: {said}");
            continue;
        }
        let refused = bind::bind(&node.pins, &told(&workload)).unwrap_err().to_string();
        assert!(refused.contains("packet socket"), "{how}: {refused}");
        assert!(bind::workloads(&node.pins).unwrap().is_empty(), "nothing was written");
        bind::bind(&node.pins, &Told { packet_sockets: true, ..told(&workload) }).unwrap();
        let said = status::json(&node.pins).unwrap();
        assert_eq!(said["bindings"][0]["packet_sockets_allowed"], true);
        node.unbind(&workload);
    }
    // Somebody else's in the namespace, who may hand it over.
    let mut beside = node.agent(&node.workload("beside"));
    assert_eq!(beside.tell("packet-open"), "ok");
    let _agent = node.agent(&workload);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(bind::bind(&node.pins, &told(&workload)).unwrap_err().to_string().contains("may be handed"));
    drop(beside);
    bind::bind(&node.pins, &told(&workload)).unwrap();
}

/// What no bound cgroup sends is none of the device program's business: forwarded packets, ARP, an unbound client.
#[test]
fn a_covered_device_serves_everybody_else_row_29() {
    let (node, workload) = node("others");
    node.bind(&workload, "app=web");
    assert_eq!(cover(&node, "c").devices, 2);
    let (c, p) = (node.netns("c"), node.netns("p"));
    sh(&format!(
        "ip netns add {p}; ip link add veth1 netns {p} type veth peer name veth1 netns {c}
         ip -n {p} addr add 10.199.0.2/24 dev veth1; ip -n {p} link set veth1 up; ip -n {p} route add default via 10.199.0.1
         ip -n {c} addr add 10.199.0.1/24 dev veth1; ip -n {c} link set veth1 up
         ip netns exec {c} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
         ip -n {} route add 10.199.0.0/24 via 10.198.0.2",
        node.netns("s")
    ));
    cover(&node, "c");
    let free = node.workload("free");
    let mut unbound = node.agent(&free);
    let mut forwarded = node.start_in("p", &free, &["agent"]);
    for agent in [&mut unbound, &mut forwarded] {
        assert!(agent.resolve("ip-10-200-1-1.elsewhere.test").contains("records 1"), "a name that the workload may not ask");
        assert_eq!(agent.connect("10.200.1.1", 80), "connected");
    }
    assert!(node.agent(&workload).resolve("ip-10-200-1-1.elsewhere.test").contains("rcode 3"), "the workload is refused at once");
}

#[test]
fn the_devices_of_every_process_are_covered_row_30() {
    let (node, workload) = node("every");
    let x = node.netns("x");
    sh(&format!(
        "ip netns add {x}; ip -n {x} link add d0 type veth peer name e0; ip -n {x} link set d0 up; ip -n {x} link set lo up"
    ));
    // The first process hides in another namespace.
    let mut first = node.start_in("x", &workload, &["agent"]);
    assert_eq!(first.tell("udp u"), "ok");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("udp u"), "ok");
    let (namespaces, _) = devices::namespaces(None, &workload);
    assert_eq!(namespaces.len(), 2);
    node.bind(&workload, "app=web");
    assert_eq!(agent.resolve("www.evil.test"), "EPERM", "not covered yet: dropped, and counted");
    assert_eq!(node.counter("refusal-uncovered"), 1);
    let uncovered = node.pins.map("uncovered").unwrap().keys().unwrap();
    assert_eq!(uncovered.len(), 1, "by its device");
    let not_covered = || {
        let status = status::json(&node.pins).unwrap();
        let places = status["devices_not_covered"].as_array().unwrap().clone();
        places.iter().map(|place| place["devices"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(not_covered().len(), 2);
    assert_eq!(bind::cover_all(&node.pins).unwrap(), Vec::<String>::new());
    assert!(agent.resolve("www.evil.test").contains("rcode 3"));
    assert_eq!(not_covered(), Vec::<String>::new());
    // A device that is new is named by `status`, and gets the program with the next verb.
    sh(&format!("ip -n {x} link add d1 type veth peer name e1; ip -n {x} link set d1 up"));
    assert_eq!(not_covered(), ["[\"d1\"]"]);
    bind::cover_all(&node.pins).unwrap();
    assert_eq!(not_covered(), Vec::<String>::new());
}

/// Another's program before ours lets packets pass by it, while no loader runs.
#[test]
fn a_program_before_ours_is_noticed_row_31() {
    if Command::new("clang-19").arg("--version").output().is_err() {
        kernel_tests::not_run!("clang-19 is not installed");
        return;
    }
    let (node, workload) = node("passer");
    let mut agent = node.agent(&workload);
    node.bind(&workload, "app=web");
    cover(&node, "c");
    assert!(agent.resolve("www.evil.test").contains("rcode 3"));
    let ebpf = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let object = std::env::temp_dir().join(format!("fqdn-passer-{}.o", std::process::id()));
    sh(&format!("cd {ebpf} && clang-19 -O2 -g -target bpf -mcpu=v3 -Iinclude -c tests/passer.bpf.c -o {}", object.display()));
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    let mut foreign = aya::EbpfLoader::new().load(&bytes).unwrap();
    let program: &mut aya::programs::SchedClassifier = foreign.program_mut("pass_by").unwrap().try_into().unwrap();
    program.load().unwrap();
    let pin = format!("/sys/fs/bpf/fqdn-t-passer-{}", std::process::id());
    program.pin(&pin).unwrap();
    let foreign = bpfsys::obj_get(Path::new(&pin)).unwrap();
    std::fs::remove_file(&pin).unwrap();
    let netns = std::fs::File::open(format!("/run/netns/{}", node.netns("c"))).unwrap();
    let _link = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            bpfsys::enter_netns(netns.as_fd()).unwrap();
            let device = bpfsys::devices().unwrap().into_iter().find(|device| device.name == "veth0").unwrap();
            bpfsys::link_create_tcx(foreign.as_fd(), device.index).unwrap()
        });
        inside.join().unwrap()
    });
    // The server answers what reaches it, so an answer means that the query left.
    let left = (0..5).filter(|_| agent.resolve("ip-10-200-1-1.evil.test").contains("records")).count();
    assert!(left <= 5, "{left}");
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(60));
        assert_eq!(agent.resolve("ip-10-200-1-1.evil.test"), "EPERM");
    }
    assert!(node.counter("refusal-passed-by") >= 3);
    assert_eq!(devices::passed_by(&node.pins).unwrap().len(), 1);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"), "what may be asked is asked");
    // The next verb puts ours first.
    assert_eq!(bind::cover_all(&node.pins).unwrap(), Vec::<String>::new());
    assert_eq!(devices::passed_by(&node.pins).unwrap().len(), 0);
    for _ in 0..8 {
        assert!(agent.resolve("ip-10-200-1-1.evil.test").contains("rcode 3"));
    }
}

/// Refused queries to somebody who is no server wait for a neighbour that never answers: nobody else's answers wait with them.
#[test]
fn queries_to_nobody_do_not_silence_others_row_31() {
    let (node, workload) = node("nobody");
    let other = node.workload("other");
    node.bind(&workload, "app=web");
    node.bind(&other, "app=web");
    let (mut agent, mut beside) = (node.agent(&workload), node.agent(&other));
    cover(&node, "c");
    for i in 0..20 {
        assert_eq!(agent.tell(&format!("raw-query-to 10.198.0.77 {}", hex_query(i))), "EPERM");
    }
    std::thread::sleep(std::time::Duration::from_millis(150));
    for _ in 0..6 {
        assert!(beside.resolve("www.evil.test").contains("rcode 3"));
    }
}

/// Many queries on their way to a neighbour that is slow to answer are not another's program.
#[test]
fn a_slow_neighbour_is_not_taken_for_one_row_31() {
    let (node, workload) = node("slow");
    let mut agent = node.agent(&workload);
    node.bind(&workload, "app=web");
    cover(&node, "c");
    sh(&format!("ip -n {} link set veth0 arp off; ip -n {} neigh flush dev veth0", node.netns("s"), node.netns("c")));
    for i in 0..12 {
        agent.tell(&format!("raw-query {}", hex_query(i)));
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    assert!(node.counter("refusal-passed-by") > 0);
    std::thread::sleep(std::time::Duration::from_millis(3500)); // three probes: what waited for the neighbour is lost
    sh(&format!("ip -n {} link set veth0 arp on", node.netns("s")));
    let asked = (0..40).any(|_| agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert!(asked, "the neighbour is back");
    for _ in 0..8 {
        assert!(agent.resolve("www.evil.test").contains("rcode 3"), "and refused queries are answered again");
    }
}

fn hex_query(id: u16) -> String {
    kernel_tests::packet::query(id, &kernel_tests::wire("www.evil.test"), 1).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_resolver_is_bound_as_one_row_42() {
    let (node, workload) = node("serves");
    let x = node.netns("x");
    sh(&format!("ip netns add {x}; ip -n {x} link set lo up; ip -n {x} addr add {RESOLVER}/32 dev lo"));
    let mut server = node.start_in("x", &workload, &["agent"]);
    let mut client = node.start_in("x", &node.workload("client"), &["agent"]);
    for at in [format!("{RESOLVER}:53"), "0.0.0.0:53".to_owned()] {
        assert_eq!(server.tell(&format!("serve {at}")), "ok", "{at}");
        let refused = bind::bind(&node.pins, &told(&workload)).unwrap_err().to_string();
        assert!(refused.contains("answers at") && refused.contains("--serves-dns"), "{refused}");
        drop(server);
        server = node.start_in("x", &workload, &["agent"]);
    }
    // Bound first, it takes the resolver's port: its answers are dropped.
    bind::bind(&node.pins, &told(&workload)).unwrap();
    assert_eq!(server.tell(&format!("serve {RESOLVER}:53")), "ok");
    assert_eq!(client.resolve("ip-10-200-1-1.example.test"), "timeout");
    assert!(node.counter("forged-answer") >= 1);
    // As a resolver it answers, and is not taught by itself.
    bind::bind(&node.pins, &Told { serves_dns: true, ..told(&workload) }).unwrap();
    assert!(client.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert!(node.counter("allowed-server") >= 1);
    let learned = node.counter("answer-learned");
    assert!(server.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert_eq!(node.counter("answer-learned"), learned);
    assert_eq!(server.connect("10.200.1.1", 80), "EPERM");
}

/// A command in a namespace of its own: the devices there are covered.
#[test]
fn run_covers_the_namespace_it_is_given_row_46() {
    let (node, _) = node("runs");
    let loader = Path::new(&kernel_tests::probe()).with_file_name("fqdn-load");
    let start = std::time::Instant::now();
    let said = Command::new("sh")
        .args([
            "-c",
            &format!(
                "echo resolve www.evil.test {RESOLVER} | {} --pins {} run --labels app=web --netns /run/netns/{} -- {} agent",
                loader.display(),
                node.pins.dir().display(),
                node.netns("c"),
                kernel_tests::probe()
            ),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("rcode 3"), "{text}{}", String::from_utf8_lossy(&said.stderr));
    assert!(start.elapsed().as_secs() < 2);
}
