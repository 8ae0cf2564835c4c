//! Row 5: the server that was asked for is not the one that the packet shows. DNAT in the socket's own namespace,
//! Docker's form of it, and a socket load balancer attached before or after our programs.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use aya::EbpfLoader;
use aya::programs::{CgroupAttachMode, CgroupSockAddr};
use kernel_tests::packet::query;
use kernel_tests::{Node, SERVICE, compile, has_nft, probe, sh, web_policy, wire};
use std::fs::File;
use std::io::BufRead;
use std::process::{Command, Stdio};

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

/// Docker's resolver: 127.0.0.11:53 is a port of a process in the namespace. Judged, and teaches nothing: in a
/// namespace that is not the host's anybody may be behind a loopback address.
#[test]
fn dockers_resolver_row_5() {
    if !has_nft() {
        return;
    }
    let (node, workload) = node("docker");
    nat(&node.netns("c"), "output", &["ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40053"]);
    let mut helper = Command::new("ip")
        .args(["netns", "exec", &node.netns("c"), &probe(), "serve-at", "127.0.0.11:40053"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    std::io::BufReader::new(helper.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let mut agent = node.agent(&workload);
    let said = agent.tell("resolve ip-10-200-1-1.example.test 127.0.0.11");
    let denied = agent.tell("resolve www.evil.test 127.0.0.11");
    let connected = agent.connect("10.200.1.1", 80);
    helper.kill().unwrap();
    helper.wait().unwrap();
    assert!(said.contains("records 1"), "{said}");
    assert_eq!(denied, "EPERM");
    assert_eq!(connected, "EPERM");
    assert!(node.counter("answer-local") >= 1);
}

/// A foreign program that rewrites the address in connect and sendmsg: attached first it hides the service from us,
/// attached later it hides the backend.
#[test]
fn a_socket_load_balancer_row_5() {
    if Command::new("clang-19").arg("--version").output().is_err() {
        println!("NOT RUN  clang-19 is not installed");
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
