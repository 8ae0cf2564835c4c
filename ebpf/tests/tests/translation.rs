//! Row 5: the server that was asked for is not the one that the packet shows. DNAT in the socket's own namespace,
//! Docker's form of it, and a socket load balancer attached before or after our programs.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use aya::EbpfLoader;
use aya::programs::{CgroupAttachMode, CgroupSockAddr};
use kernel_tests::packet::query;
use kernel_tests::{Node, SERVICE, compile, has_nft, sh, web_policy, wire};
use std::fs::File;
use std::process::Command;

fn node(name: &str) -> (Node, std::path::PathBuf) {
    let node = Node::new(name, &compile(&web_policy(&["**.example.test"]))).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    (node, workload)
}

fn nat(netns: &str, chain: &str, rules: &[&str]) {
    let mut script = format!("add table ip t; add chain ip t c {{ type nat hook {chain} priority -100; }}");
    for rule in rules {
        script.push_str(&format!("; add rule ip t c {rule}"));
    }
    sh(&format!("ip netns exec {netns} nft '{script}'"));
}

fn framed(id: u16, name: &str) -> String {
    let message = query(id, &wire(name), 1);
    let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    framed.iter().map(|b| format!("{b:02x}")).collect()
}

/// The service's address and port become another address and port; the answer's source is turned back.
#[test]
fn dnat_of_the_output_row_5() {
    if !has_nft() {
        return;
    }
    let (node, workload) = node("dnat");
    let to =
        ["ip daddr 10.96.0.10 udp dport 53 dnat to 10.198.0.1:5353", "ip daddr 10.96.0.10 tcp dport 53 dnat to 10.198.0.1:5353"];
    nat(&node.netns("c"), "output", &to);
    nat(&node.netns("s"), "prerouting", &["udp dport 5353 redirect to :53", "tcp dport 5353 redirect to :53"]);
    let mut agent = node.agent(&workload);
    let said = agent.tell(&format!("resolve ip-10-200-1-1.example.test {SERVICE}"));
    assert!(said.contains("records 1"), "{said}");
    assert_eq!(agent.connect("10.200.1.1", 80), "connected");
    assert_eq!(agent.tell(&format!("resolve www.evil.test {SERVICE}")), "EPERM");
    assert_eq!(agent.tell(&format!("tcp-open {SERVICE}")), "open");
    assert_eq!(agent.tell(&format!("tcp-send {}", framed(1, "ip-10-200-1-2.example.test"))), "sent");
    assert_eq!(agent.tell("tcp-read 1"), "1:0:1");
    assert_eq!(agent.connect("10.200.1.2", 80), "connected");
    assert_eq!(agent.tell(&format!("tcp-send {}", framed(2, "www.evil.test"))), "sent");
    assert_eq!(agent.tell("tcp-read 1"), "2:3:0");
    // To the translated port by itself, without asking for the service: no DNS port, so no name opens it.
    assert_eq!(agent.tell("udp u"), "ok");
    assert_eq!(agent.tell("send u 10.198.0.1 5353"), "EPERM");
}

/// Where the backend is no resolver that anybody named, nothing is judged by the service's name.
#[test]
fn dnat_to_a_stranger_row_5() {
    if !has_nft() {
        return;
    }
    let (node, workload) = node("stranger");
    nat(&node.netns("c"), "output", &["ip daddr 10.96.0.10 udp dport 53 dnat to 10.200.7.7:5353"]);
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell(&format!("resolve ip-10-200-1-1.example.test {SERVICE}")), "EPERM");
    assert!(node.counter("address-refused") >= 1);
}

/// Docker's resolver: 127.0.0.11:53 is a port of the engine's process in the namespace. It teaches, since no workload made its
/// socket; a server of the workload's own in the same place does not, whatever it may send.
#[test]
fn dockers_resolver_row_47() {
    if !has_nft() {
        return;
    }
    let (node, workload) = node("docker");
    let netns = node.netns("c");
    nat(&netns, "output", &["ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40053"]);
    let mut agent = node.agent(&workload);
    let ask = |agent: &mut kernel_tests::Agent, last: u8| {
        let said = agent.tell(&format!("resolve ip-10-200-1-{last}.example.test 127.0.0.11"));
        assert!(said.contains("records 1"), "{said}");
        agent.connect(&format!("10.200.1.{last}"), 80)
    };
    let engine = node.serve_at("c", "127.0.0.11:40053");
    assert_eq!(ask(&mut agent, 1), "EPERM", "a packet socket on loopback could say the same");
    fqdn_load::bind::cover(&node.pins, &fqdn_load::devices::Netns::File(format!("/run/netns/{netns}").into())).unwrap();
    assert_eq!(ask(&mut agent, 2), "EPERM", "nor does who is outside the attach point, whose packets are not seen");
    drop(engine);
    let mut engine = node.start_in("c", &node.workload("engine"), &["serve-at", "127.0.0.11:40053"]);
    assert_eq!(engine.line(), "ready");
    assert_eq!(ask(&mut agent, 3), "connected");
    assert_eq!(node.counter("query-refused"), 0);
    assert!(!agent.tell("resolve www.evil.test 127.0.0.11").contains("records 1"));
    assert_eq!(node.counter("query-refused"), 1);
    // Straight to the port that the engine listens on: no question, so like any other address.
    assert_eq!((agent.tell("udp q"), agent.tell("send q 127.0.0.11 40053")), ("ok".into(), "EPERM".into()));
    // Behind the engine's back: a raw frame from its address, under the very mark that it bears.
    let mark = node.pins.node().unwrap().vouch_mark;
    let from = ("127.0.0.11".parse().unwrap(), 53);
    let answer = kernel_tests::packet::udp(from, ("127.0.0.1".parse().unwrap(), 40000), b"answer");
    let hex: String = answer.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(agent.tell(&format!("packet-send lo {hex} {mark}")), "errno 105");
    assert_eq!(agent.tell("udp m"), "ok");
    assert_eq!((agent.tell(&format!("mark m {mark}")), agent.tell("send m 10.200.1.3 7777")), ("ok".into(), "EPERM".into()));
    node.bind_as(&workload, "app=web", true);
    assert_eq!(agent.tell(&format!("packet-send lo {hex} {mark}")), "errno 105", "nor in audit mode, for later");
    assert_eq!(agent.tell(&format!("packet-send lo {hex}")), "errno 105");
    node.bind(&workload, "app=web");
    // After the engine: the workload's own server in its place.
    drop(engine);
    assert_eq!(agent.tell("serve 127.0.0.11:40053"), "ok");
    let (learned, forged) = (node.counter("answer-learned"), node.counter("forged-answer"));
    assert_eq!(agent.tell("resolve ip-10-200-1-4.example.test 127.0.0.11"), "timeout");
    assert_eq!(agent.connect("10.200.1.4", 80), "EPERM");
    assert_eq!(node.counter("answer-learned"), learned);
    assert!(node.counter("forged-answer") > forged);
}

/// The engine's name server where it is no resolver: what it asks in turn nobody judges, so a translation leads no question to it, and
/// none goes straight there. What a neighbour in the container serves on 127.0.0.1 is the container's own business.
#[test]
fn a_translation_leads_to_no_stranger_row_56() {
    if !has_nft() {
        return;
    }
    let (node, workload) = node("stranger");
    let image = kernel_tests::compile(&kernel_tests::web_policy(&["ip-10-*.example.test"]));
    fqdn_load::swap::apply(&node.pins, &image, kernel_tests::RESOLVER, &node.cgroup).unwrap();
    let to_engine = "ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40053";
    let to_sidecar = "ip daddr 127.0.0.12 udp dport 53 dnat to 127.0.0.1:8125";
    nat(&node.netns("c"), "output", &[to_engine, to_sidecar]);
    let mut agent = node.agent(&workload);
    let _engine = node.serve_at("c", "127.0.0.11:40053");
    let _sidecar = node.serve_at("c", "127.0.0.1:8125");
    for server in ["127.0.0.11", "127.0.0.12"] {
        assert_eq!(agent.tell(&format!("resolve secret.evil.test {server}")), "EPERM", "{server}");
    }
    assert_eq!(agent.tell("udp q"), "ok");
    assert_eq!(agent.tell("send q 127.0.0.11 40053"), "EPERM", "straight to it");
    assert_eq!(agent.tell("send q 127.0.0.1 8125"), "sent");
}

/// A foreign program that rewrites the address in connect and sendmsg: attached first it hides the service from us,
/// attached later it hides the backend.
#[test]
fn a_socket_load_balancer_row_5() {
    if Command::new("clang-19").arg("--version").output().is_err() {
        kernel_tests::not_run!("clang-19 is not installed");
        return;
    }
    let ebpf = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let object = std::env::temp_dir().join(format!("fqdn-translator-{}.o", std::process::id()));
    sh(&format!("cd {ebpf} && clang-19 -O2 -g -target bpf -mcpu=v3 -Iinclude -c tests/translator.bpf.c -o {}", object.display()));
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    for first in [true, false] {
        let (node, workload) = node(if first { "lb1" } else { "lb2" });
        if first {
            fqdn_load::programs::unload(&node.pins).unwrap();
        }
        let mut foreign = EbpfLoader::new().load(&bytes).unwrap();
        let cgroup = File::open(&node.cgroup).unwrap();
        for name in ["translate_connect4", "translate_sendmsg4", "translate_recvmsg4"] {
            let program: &mut CgroupSockAddr = foreign.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
            program.attach(&cgroup, CgroupAttachMode::Single).unwrap();
        }
        if first {
            node.apply(&compile(&web_policy(&["**.example.test"])));
            node.bind(&workload, "app=web");
        }
        let mut agent = node.agent(&workload);
        let said = agent.tell(&format!("resolve ip-10-200-1-1.example.test {SERVICE}"));
        assert!(said.contains("records 1"), "first {first}: {said}");
        assert_eq!(agent.connect("10.200.1.1", 80), "connected", "first {first}");
        assert_eq!(agent.tell(&format!("resolve www.evil.test {SERVICE}")), "EPERM", "first {first}");
        assert_eq!(agent.tell(&format!("tcp-open {SERVICE}")), "open");
        assert_eq!(agent.tell(&format!("tcp-send {}", framed(1, "ip-10-200-1-2.example.test"))), "sent");
        assert_eq!(agent.tell("tcp-read 1"), "1:0:1");
        assert_eq!(agent.connect("10.200.1.2", 80), "connected", "first {first}");
        assert_eq!(agent.tell(&format!("tcp-send {}", framed(2, "www.evil.test"))), "sent");
        assert_eq!(agent.tell("tcp-read 1"), "2:3:0", "first {first}");
    }
}

/// What a socket asked for in an earlier call is not what this packet asks for.
#[test]
fn what_was_asked_before_does_not_count_row_5() {
    let node = Node::new("stale", &compile(&web_policy(&["other.example.test"]))).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("stale ip-10-200-1-1.example.test"), "EPERM");
}
