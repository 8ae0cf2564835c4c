//! DNS over TCP, both directions, however it is cut; and what a workload may try with such a connection.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_load::devices::Netns;
use kernel_tests::packet::{hex, query};
use kernel_tests::{Agent, Node, RESOLVER, RESOLVER_V6, compile, has_nft, sh, web_policy, wire};
use std::path::PathBuf;

fn node(name: &str) -> (Node, PathBuf) {
    let node = Node::new(name, &compile(&web_policy(&["**.example.test"]))).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    (node, workload)
}

/// A query with its length before it.
fn framed(id: u16, name: &str) -> Vec<u8> {
    let message = query(id, &wire(name), if name.starts_with("ip6") { 28 } else { 1 });
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

fn ask(agent: &mut Agent, pieces: &[String], answers: usize) -> String {
    match agent.tell(&format!("tcp-send {}", pieces.join(" "))).as_str() {
        "sent" => agent.tell(&format!("tcp-read {answers}")),
        other => other.to_owned(),
    }
}

#[test]
fn answers_over_tcp_teach_and_refusals_are_answered() {
    let (node, workload) = node("tcp");
    let mut agent = node.agent(&workload);
    for (server, name, address) in
        [(RESOLVER, "ip-10-200-1-1.example.test", "10.200.1.1"), (RESOLVER_V6, "ip6-7.example.test", "fd20::7")]
    {
        assert_eq!(agent.connect(address, 80), "EPERM");
        assert_eq!(agent.tell(&format!("tcp-open {server}")), "open");
        assert_eq!(ask(&mut agent, &[hex(&framed(1, name))], 1), "1:0:1");
        assert_eq!(agent.connect(address, 80), "connected", "learned before it was read");
        let start = std::time::Instant::now();
        assert_eq!(ask(&mut agent, &[hex(&framed(2, "www.evil.test"))], 1), "2:3:0", "NXDOMAIN");
        assert!(start.elapsed().as_millis() < 100, "{:?}", start.elapsed());
        assert_eq!(ask(&mut agent, &[hex(&framed(3, name))], 1), "3:0:1", "the connection goes on");
    }
    assert!(node.counter("refusal-answered") >= 2);
    // 64 KiB: more addresses than are learned from one answer; the first ones are.
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    assert_eq!(ask(&mut agent, &[hex(&framed(4, "ip-10-200-1-2.long.example.test"))], 1), "4:0:4000");
    assert_eq!(agent.connect("10.200.1.2", 80), "connected");
    assert_eq!(node.counter("answer-more"), 1);
    // A server that no rule names, and one that is no resolver at another port.
    assert_eq!(agent.tell("tcp-open 10.200.9.9"), "EPERM");
}

/// Both directions, two messages, every place to cut.
#[test]
fn every_split_point_has_the_verdict_of_the_whole() {
    let (node, workload) = node("split");
    let mut agent = node.agent(&workload);
    let stream = [framed(1, "ip-10-200-2-1.example.test"), framed(2, "www.evil.test")].concat();
    for cut in 1..stream.len() {
        assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
        let pieces = [hex(&stream[..cut]), "-".into(), hex(&stream[cut..])];
        let mut answers: Vec<String> = ask(&mut agent, &pieces, 2).split(' ').map(str::to_owned).collect();
        answers.sort();
        assert_eq!(answers, ["1:0:1", "2:3:0"], "query cut at {cut}");
    }
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    let bytes: Vec<String> = stream.iter().map(|b| format!("{b:02x}")).collect();
    let mut answers: Vec<String> = ask(&mut agent, &bytes, 2).split(' ').map(str::to_owned).collect();
    answers.sort();
    assert_eq!(answers, ["1:0:1", "2:3:0"], "a byte a send");

    for cut in 1..200usize {
        assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
        let name = |n: usize| format!("ip-10-200-{n}-{cut}.cut{cut}.example.test");
        let both = [framed(1, &name(3)), framed(2, &name(4))].concat();
        assert_eq!(ask(&mut agent, &[hex(&both)], 2), "1:0:1 2:0:1", "answers cut at {cut}");
        for n in [3, 4] {
            assert_eq!(agent.connect(&format!("10.200.{n}.{cut}"), 80), "connected", "answers cut at {cut}");
        }
    }
    println!("{} cuts of queries, 199 of answers", stream.len() - 1);
}

/// In audit mode a forbidden question is judged, counted and passed, over TCP too.
#[test]
fn audit_judges_and_passes() {
    let (node, workload) = node("audit");
    let mut agent = node.agent(&workload);
    let asked = [hex(&framed(7, "ip-10-200-2-7.evil.test"))];
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    assert_eq!(ask(&mut agent, &asked, 1), "7:3:0", "enforced: refused");
    node.bind_as(&workload, "app=web", true);
    let (refused, passed) = (node.counter("query-refused"), node.counter("allowed-audit"));
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    assert_eq!(ask(&mut agent, &asked, 1), "7:0:1", "audited: answered by the server");
    assert_eq!(node.counter("query-refused") - refused, 1);
    assert!(node.counter("allowed-audit") > passed);
    assert_eq!(agent.connect("10.200.2.7", 80), "connected", "no rule, but audit");
    node.bind_as(&workload, "app=web", false);
    assert_eq!(agent.connect("10.200.2.7", 80), "EPERM", "what was learned for that name opens nothing");
}

/// The first segment of the answers is lost once, so the second comes before it.
#[test]
fn segments_that_change_places_teach() {
    if !has_nft() {
        return;
    }
    let (node, workload) = node("places");
    let mut agent = node.agent(&workload);
    sh(&format!(
        "ip netns exec {} nft 'add table ip t; add chain ip t i {{ type filter hook input priority 0; }}; add rule ip t i tcp sport 53 tcp flags & psh == psh numgen inc mod 1000 0 drop'",
        node.netns("c")
    ));
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    let name = |n: usize| format!("ip-10-200-{n}-9.cut40.example.test");
    let both = [framed(1, &name(3)), framed(2, &name(4))].concat();
    assert_eq!(ask(&mut agent, &[hex(&both)], 2), "1:0:1 2:0:1");
    assert!(node.counter("segment-late") >= 1);
    for n in [3, 4] {
        assert_eq!(agent.connect(&format!("10.200.{n}.9"), 80), "connected");
    }
}

#[test]
fn what_is_not_judged_is_not_sent() {
    let (node, workload) = node("uncovered");
    let mut agent = node.agent(&workload);
    let good = framed(1, "ip-10-200-1-1.example.test");
    let bad = framed(2, "www.evil.test");
    // Pipelined behind a refused one: the whole send fails.
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    assert_eq!(agent.tell(&format!("tcp-send {}{}", hex(&bad), hex(&good))), "EACCES");
    assert!(node.counter("query-pipelined") >= 1);
    // Malformed: a length that lies, a response, nothing.
    for message in [vec![0, 5, 1, 2, 3, 4, 5], [&[0, 60][..], &[0xff; 60]].concat(), vec![0, 0], {
        let mut response = good.clone();
        response[4] |= 0x80;
        response
    }] {
        assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
        let before = node.counter("query-malformed");
        agent.tell(&format!("tcp-send {}", hex(&message)));
        assert!(!agent.tell("tcp-read 1").contains(':'), "{message:?}");
        // A cut one waits for the rest; nothing of the others passes.
        assert!(message[..2] == [0, 5] || node.counter("query-malformed") > before, "{message:?}");
    }
    // An urgent byte leaves the stream at the other end.
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    let before = node.counter("query-tcp");
    agent.tell(&format!("tcp-urgent {}", hex(&good)));
    assert_ne!(agent.tell("tcp-read 1"), "1:0:1");
    assert!(node.counter("query-tcp") > before);
    // Data in the SYN: queued before the stream's programs see the socket.
    kernel_tests::sh(&format!("ip netns exec {} sh -c 'echo 1027 > /proc/sys/net/ipv4/tcp_fastopen'", node.netns("c")));
    kernel_tests::sh(&format!("ip netns exec {} sh -c 'echo 1027 > /proc/sys/net/ipv4/tcp_fastopen'", node.netns("s")));
    // Without a cookie, with one, and with a query behind it that may be asked and would carry the first along.
    let long = framed(3, &format!("{}.{}.example.test", "a".repeat(60), "b".repeat(60)));
    for more in ["", &hex(&long), ""] {
        assert_eq!(agent.tell(&format!("tcp-fast-open {RESOLVER} {} {more}", hex(&bad))), "timeout", "{more}");
    }
    // Encryption below what is judged.
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    assert_eq!(agent.tell("tcp-option 6 31"), "EPERM", "TCP_ULP");
    // A connection from before the bind.
    let late = node.workload("late");
    let mut agent = node.agent(&late);
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    node.bind(&late, "app=web");
    assert_ne!(ask(&mut agent, &[hex(&good)], 1), "1:0:1");
}

/// What is refused over UDP is answered by the device's program, where the device has it.
#[test]
fn refusals_over_udp_are_answered() {
    let (node, workload) = node("refuse");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.resolve("www.evil.test"), "EPERM", "no device has the program: dropped, not leaked");
    assert!(node.counter("refusal-uncovered") >= 1);
    let netns = Netns::File(PathBuf::from(format!("/run/netns/{}", node.netns("c"))));
    let covered = fqdn_load::bind::cover(&node.pins, &netns).unwrap();
    assert_eq!((covered.devices, covered.others), (2, 0), "lo and veth0");
    for server in [RESOLVER, RESOLVER_V6] {
        // The first packet to a neighbour waits for its address.
        assert!(agent.tell(&format!("resolve ip-10-200-1-1.example.test {server}")).contains("records 1"));
        let start = std::time::Instant::now();
        let said = agent.tell(&format!("resolve www.evil.test {server}"));
        assert!(said.starts_with("answer rcode 3 records 0"), "{server}: {said}");
        assert!(start.elapsed().as_millis() < 100, "{:?}", start.elapsed());
        assert!(agent.tell(&format!("resolve ip-10-200-1-1.example.test {server}")).contains("records 1"));
    }
    assert!(agent.tell("resolve www.evil.test 127.0.0.53").starts_with("answer rcode 3"), "on loopback");
    assert_eq!(node.counter("refusal-answered"), 3);
    node.apply(&compile(&web_policy(&["**.other.test"])));
    assert!(agent.resolve("www.evil.test").starts_with("answer rcode 3"), "under the next policy too");
    // A device that comes later has no program: what is refused there is dropped, until somebody binds again.
    let n = node.netns("c");
    kernel_tests::sh(&format!(
        "ip -n {n} link add late0 type veth peer name late1; ip -n {n} link set late0 up; ip -n {n} link set late1 up
         ip -n {n} route add {RESOLVER}/32 dev late0; ip -n {n} neigh add {RESOLVER} lladdr 02:00:00:00:00:01 dev late0"
    ));
    assert_eq!(agent.resolve("www.evil.test"), "EPERM");
    fqdn_load::bind::cover(&node.pins, &netns).unwrap();
    assert!(agent.resolve("www.evil.test").starts_with("answer rcode 3"), "covered now");
}

/// The kernel's last word on a send that was queued in part holds for what comes next: egress has the last word.
#[test]
fn a_send_queued_in_part_carries_nothing_along() {
    let (node, workload) = node("part");
    let mut agent = node.agent(&workload);
    let mut long = query(1, &wire("ip-10-200-1-1.example.test"), 1);
    long[11] = 1;
    long.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0x0f, 0xa0, 0, 12, 0x0f, 0x9c]); // an OPT of 4,000 bytes
    long.resize(long.len() + 0x0f9c, 0);
    let long = [&(long.len() as u16).to_be_bytes()[..], &long].concat();
    let said = agent.tell(&format!("tcp-in-part {RESOLVER} {} {}", hex(&long), hex(&framed(200, "sf-10-200-1-2.evil.test"))));
    println!("{said}");
    assert!(said == "unanswered" || said == "200:3:0", "{said}");
}

/// Refusals that nobody reads are answered sixteen times; then the connection takes no more. Who reads goes on.
#[test]
fn unread_refusals_are_bounded_row_41() {
    let (node, workload) = node("unread");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    let refused = hex(&framed(1, "www.evil.test"));
    // A and AAAA, and the next name: whoever reads is answered.
    for _ in 0..20 {
        assert_eq!(agent.tell(&format!("tcp-send {refused}")), "sent");
        assert_eq!(agent.tell(&format!("tcp-send {refused}")), "sent");
        assert_eq!(agent.tell("tcp-read 2"), "1:3:0 1:3:0");
    }
    assert_eq!(ask(&mut agent, &[hex(&framed(3, "ip-10-200-1-1.example.test"))], 1), "3:0:1");
    let sent = (0..200).filter(|_| agent.tell(&format!("tcp-send {refused}")) == "sent").count();
    assert_eq!(sent, 16);
    assert!(node.counter("refusal-unread") >= 1);
    assert_eq!(agent.tell("tcp-read 16"), ["1:3:0"; 16].join(" "));
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open", "a new connection does");
    assert_eq!(ask(&mut agent, &[hex(&framed(4, "ip-10-200-1-1.example.test"))], 1), "4:0:1");
}
