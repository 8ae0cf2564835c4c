//! Whose word counts: what passes for a resolver, and whose answers teach (rows 26 to 28 and 32 of docs/security/bypasses.md).
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::abi::Record;
use kernel_tests::packet::{answer, query, record};
use kernel_tests::{Node, RESOLVER, RESOLVER_V6, compile, compile_with, web_policy, wire};
use std::net::Ipv4Addr;

const NAMES: &[&str] = &["ip-10-*.example.test"];

fn node(name: &str) -> (Node, std::path::PathBuf) {
    let node = Node::new(name, &compile(&web_policy(NAMES))).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    (node, workload)
}

/// An accomplice at another port of the resolver's address: what it says teaches nothing, and nothing reaches it.
#[test]
fn only_a_resolvers_dns_port_is_believed_row_26() {
    let (node, workload) = node("port");
    let mut agent = node.agent(&workload);
    let _v6 = node.serve_at("s", &format!("[{RESOLVER_V6}]:5300"));
    let _v4 = node.serve_at("s", &format!("{RESOLVER}:5300"));
    assert_eq!(agent.tell(&format!("corked ip-10-200-1-1.example.test {RESOLVER_V6} 5300")), "EPERM");
    // Over IPv4 the kernel sends it to where the socket is connected now, the DNS port: a question like any other.
    assert_eq!(agent.tell(&format!("corked ip-10-200-1-2.example.test {RESOLVER} 5300")), "answer records 1");
    assert_eq!(agent.tell(&format!("racing ip-10-200-1-3.example.test {RESOLVER} 5300 4000")), "sent true");
    let learned = node.counter("answer-learned");
    assert!(agent.resolve("ip-10-200-1-3.example.test").contains("records 1"));
    assert_eq!(agent.connect("10.200.1.1", 80), "EPERM");
    assert_eq!(node.counter("answer-learned"), learned + 1, "the resolver itself is believed");
    // Corked on its way to the DNS port it is a question like any other.
    assert_eq!(agent.tell(&format!("corked ip-10-200-1-4.example.test {RESOLVER} 53")), "answer records 1");
    assert_eq!(agent.connect("10.200.1.4", 80), "connected");
}

/// The socket raced from port to port of the resolver's address: nothing but what the DNS port said is learned.
#[test]
fn a_race_between_two_connects_teaches_nothing_row_26() {
    let node = Node::new("race", &compile(&web_policy(&["ip-10-200-7-7.example.test"]))).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    // Only the accomplice answers this name with that address: the resolver's own answers are another one.
    let _liar = node.serve_at("s", &format!("{RESOLVER}:5300"));
    assert_eq!(agent.tell(&format!("racing sf-10-200-9-9.example.test {RESOLVER} 5300 6000")), "sent true");
    assert!(node.counter("address-refused") > 0, "some went to the accomplice's port");
    let refused = node.counter("forged-answer") + node.counter("answer-server");
    assert_eq!(refused, 0);
}

/// The host's namespace, and a resolver on its loopback: a server of the workload's own beside it teaches nothing.
#[test]
fn a_server_of_its_own_teaches_nothing_at_home_row_27() {
    let loopback = format!("{}  - toCIDR: [127.0.0.0/8]\n", web_policy(NAMES));
    let node = Node::new("home", &compile(&loopback));
    let workload = node.workload("w");
    for audit in [true, false] {
        node.bind_as(&workload, "app=web", audit);
        let mut agent = node.agent_at_home(&workload);
        assert_eq!(agent.tell("serve 127.0.0.53:5353"), "ok");
        for way in ["corked ip-10-200-1-1.example.test 127.0.0.53 5353", "racing ip-10-200-1-1.example.test 127.0.0.53 5353 500"]
        {
            agent.tell(way);
        }
        assert_eq!(node.counter("answer-learned"), 0, "audit {audit}");
        // On the DNS port itself it can only answer as the resolver, and that is forged.
        let bound = agent.tell("serve 127.0.0.53:53");
        if bound == "ok" {
            let forged = node.counter("forged-answer");
            agent.tell("resolve ip-10-200-1-1.example.test 127.0.0.53");
            assert!(node.counter("forged-answer") > forged);
        }
        assert_eq!(node.counter("answer-learned"), 0, "audit {audit}");
    }
    let mut agent = node.agent_at_home(&workload);
    assert_eq!(agent.connect("10.200.1.1", 80), "EPERM");
}

/// A resolver on an address of the host's own that is no loopback one (169.254.20.10): it teaches in the host's namespace.
#[test]
fn a_resolver_on_an_address_of_the_host_teaches_at_home_row_43() {
    let node = Node::new("nodelocal", &compile(&web_policy(NAMES)));
    let address = "169.254.20.10";
    kernel_tests::sh(&format!("ip addr add {address}/32 dev lo"));
    let taught = std::panic::catch_unwind(|| {
        fqdn_load::swap::apply(&node.pins, &compile(&web_policy(NAMES)), address, &node.cgroup).unwrap();
        let workload = node.workload("w");
        node.bind(&workload, "app=web");
        let mut server = node.agent_at_home(&node.workload("server"));
        assert_eq!(server.tell(&format!("serve {address}:53")), "ok");
        let mut agent = node.agent_at_home(&workload);
        let said = agent.tell(&format!("resolve ip-10-200-1-1.example.test {address}"));
        assert!(said.contains("records 1"), "{said}");
        node.counter("answer-learned")
    });
    kernel_tests::sh(&format!("ip addr del {address}/32 dev lo"));
    assert_eq!(taught.unwrap(), 1);
}

/// Audit learns what enforcement would have learned, and no more; it stays, and is judged again.
#[test]
fn what_audit_learns_is_what_enforcement_would_row_27() {
    let both = web_policy(&["ip-10-*.example.test", "ip-10-*.other.test"]);
    let node = Node::new("audit", &compile(&both)).with_network();
    let workload = node.workload("w");
    node.bind_as(&workload, "app=web", true);
    let mut agent = node.agent(&workload);
    for name in ["ip-10-200-1-1.example.test", "ip-10-200-2-2.other.test"] {
        assert!(agent.resolve(name).contains("records 1"), "audit lets {name} pass");
    }
    assert_eq!(node.counter("answer-audit"), 1, "may be reached, may not be asked");
    node.bind(&workload, "app=web");
    assert_eq!(agent.connect("10.200.1.1", 80), "connected", "without a new question");
    assert_eq!(agent.connect("10.200.2.2", 80), "EPERM");
    assert_eq!(agent.connect("10.200.3.3", 80), "EPERM");
}

/// Whom audit let it speak to, it spoke to first: under enforcement their answers open nothing.
#[test]
fn peers_of_audit_are_refused_afterwards_row_27() {
    let (node, workload) = node("peers");
    node.bind_as(&workload, "app=web", true);
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("udp u"), "ok");
    assert_eq!(agent.tell("send u 10.198.0.1 7777"), "sent", "refused, and passed");
    assert_eq!(agent.tell("receive u"), "received");
    node.bind(&workload, "app=web");
    assert_eq!(agent.tell("send u 10.198.0.1 7777"), "EPERM");
}

/// A packet socket in a namespace of the workload's own, made after it was bound, keeps nobody from binding it more strictly.
#[test]
fn what_a_bound_workload_opens_does_not_keep_it_from_enforcement_row_29() {
    let (node, workload) = node("veto");
    node.bind_as(&workload, "app=web", true);
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("packet-open"), "ok");
    node.bind(&workload, "app=web");
    assert_eq!(agent.connect("10.200.1.1", 80), "EPERM");
}

/// Sockets that are older than the programs: they find out where they are by themselves.
#[test]
fn sockets_older_than_the_programs_know_their_namespace_row_28() {
    let (node, workload) = node("older");
    fqdn_load::programs::unload(&node.pins).unwrap();
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("udp old"), "ok");
    assert_eq!(agent.tell("udp sender"), "ok");
    // A namespace of the workload's own, with a server that says what it likes under the resolver's address.
    let (x, p) = (node.netns("x"), node.netns("p"));
    kernel_tests::sh(&format!(
        "ip netns add {x}; ip netns add {p}; ip link add veth1 netns {x} type veth peer name veth1 netns {p}
         ip -n {x} addr add 10.198.0.2/24 dev veth1; ip -n {x} link set veth1 up; ip -n {x} link set lo up
         ip -n {p} addr add {RESOLVER}/24 dev veth1; ip -n {p} link set veth1 up; ip -n {p} link set lo up"
    ));
    let _liar = node.serve_at("p", &format!("{RESOLVER}:53"));
    let mut inside = node.start_in("x", &workload, &["agent"]);
    assert_eq!(inside.tell("udp old"), "ok");
    node.apply(&compile(&web_policy(NAMES)));
    node.bind(&workload, "app=web");
    assert!(inside.tell(&format!("resolve-by old ip-10-200-1-66.example.test {RESOLVER}")).contains("records 1"));
    assert!(node.counter("answer-learned") == 1, "in that namespace");
    assert_eq!(agent.tell("send sender 10.200.1.66 7777"), "EPERM", "and nowhere else");
    assert_eq!(agent.tell("send old 10.200.1.66 7777"), "EPERM");
    assert_eq!(agent.connect("10.200.1.66", 80), "EPERM");
    // The other way round: an old resolver's socket serves the connections that are made now.
    assert!(agent.tell(&format!("resolve-by old ip-10-200-1-1.example.test {RESOLVER}")).contains("records 1"));
    assert_eq!(agent.connect("10.200.1.1", 80), "connected");
    assert_eq!(agent.tell("send sender 10.200.1.1 7777"), "sent");
}

/// What the next image never lets an answer teach is over at once, also for a connection that is open.
#[test]
fn never_is_asked_at_every_judgement_row_32() {
    let (node, workload) = node("never");
    let mut agent = node.agent(&workload);
    for last in [1, 2] {
        assert!(agent.resolve(&format!("ip-10-200-1-{last}.example.test")).contains("records 1"));
    }
    assert_eq!(agent.tell("open 10.200.1.1 7777"), "open");
    assert_eq!(agent.tell("echo"), "echoed");
    node.apply(&compile_with(&web_policy(NAMES), "neverLearn: [10.200.1.1/32]"));
    assert_eq!(agent.connect("10.200.1.1", 80), "EPERM");
    assert_ne!(agent.tell("echo"), "echoed");
    assert_eq!(agent.connect("10.200.1.2", 80), "connected", "the other one");
    let named = format!("{}  - toCIDR: [10.200.1.1/32]\n    toPorts: [{{ports: [{{port: \"9\"}}]}}]\n", web_policy(NAMES));
    node.apply(&compile_with(&named, "neverLearn: [10.200.1.1/32]"));
    assert_eq!(agent.connect("10.200.1.1", 80), "connected", "a rule names the address");
    node.apply(&compile(&web_policy(NAMES)));
    assert_eq!(agent.connect("10.200.1.1", 80), "connected");
}

/// This host's own addresses are learned by no name.
#[test]
fn the_hosts_own_addresses_are_not_learned_row_32() {
    let (node, workload) = node("locals");
    let own = Ipv4Addr::new(10, 200, 1, 6).to_ipv6_mapped().octets();
    node.pins.map("locals").unwrap().set(&own, &1u32.to_le_bytes()).unwrap();
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-6.example.test").contains("records 1"));
    assert_eq!(node.counter("address-never"), 1);
    assert_eq!(agent.connect("10.200.1.6", 80), "EPERM");
    let named = format!("{}  - toCIDR: [10.200.1.6/32]\n    toPorts: [{{ports: [{{port: \"9\"}}]}}]\n", web_policy(NAMES));
    node.apply(&compile(&named));
    node.pins.map("locals").unwrap().set(&own, &1u32.to_le_bytes()).unwrap();
    assert!(agent.resolve("ip-10-200-1-6.example.test").contains("records 1"));
    assert_eq!(agent.connect("10.200.1.6", 80), "connected", "a rule names the address");
}

/// No time at all, as a cache says in a name's last second: whoever connects at once connects, and again two seconds later.
#[test]
fn an_answer_without_time_is_held_row_34() {
    let (node, mut server) = Node::new("hold", &compile(&web_policy(NAMES))).with_responder();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    let asked = query(7, &wire("ip-10-198-0-1.example.test"), 1);
    let reply = answer(&asked, &[record(&[0xc0, 12], 1, 0, &[10, 198, 0, 1])]);
    let hex: String = reply.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(server.tell(&format!("patch {hex}")), "ok");
    assert!(agent.resolve("ip-10-198-0-1.example.test").contains("records 1"));
    // Nobody listens there: what matters is that the connection is let out.
    assert_eq!(agent.connect("10.198.0.1", 80), "errno 111");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(agent.connect("10.198.0.1", 80), "errno 111", "with the default grace");
    node.apply(&compile_with(&web_policy(NAMES), "ttl: {min: 0s, grace: 0s}"));
    let name = "ip-10-198-0-2.example.test";
    let asked = query(7, &wire(name), 1);
    let reply = answer(&asked, &[record(&[0xc0, 12], 1, 0, &[10, 198, 0, 3])]);
    let hex: String = reply.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(server.tell(&format!("patch {hex}")), "ok");
    assert!(agent.resolve(name).contains("records 1"));
    std::thread::sleep(std::time::Duration::from_millis(1000));
    assert_eq!(agent.connect("10.198.0.3", 80), "errno 111", "never under two seconds");
    std::thread::sleep(std::time::Duration::from_millis(2400));
    assert_eq!(agent.connect("10.198.0.3", 80), "EPERM", "and then it is over");
    // The least time of a chain is that of its end; a time beyond 2^31 is none (RFC 2181 section 8).
    let target = wire("edge.cdn.test");
    let chain = [record(&[0xc0, 12], 5, 0, &target), record(&target, 1, 600, &[10, 198, 0, 3])];
    let beyond = [record(&[0xc0, 12], 1, 1 << 31, &[10, 198, 0, 3])];
    for records in [&chain[..], &beyond[..]] {
        let hex: String = answer(&asked, records).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(server.tell(&format!("patch {hex}")), "ok");
        assert!(agent.resolve(name).starts_with("answer"));
        assert_eq!(agent.connect("10.198.0.3", 80), "errno 111");
        std::thread::sleep(std::time::Duration::from_millis(2400));
        assert_eq!(agent.connect("10.198.0.3", 80), "EPERM");
    }
}

/// As many questions as there are places, on one socket and on many: each answer finds its own.
#[test]
fn as_many_questions_wait_as_there_are_places_row_37() {
    let (node, mut server) = Node::new("inflight", &compile(&web_policy(NAMES))).with_responder();
    let mut agent = node.agent(&node.workload("w"));
    let greeting = answer(&query(7, &wire("www.example.test"), 1), &[]);
    for (turn, sockets) in [1usize, 16, 64].into_iter().enumerate() {
        let workload = node.workload(&format!("w{turn}"));
        node.bind(&workload, "app=web");
        agent = node.agent(&workload);
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(server.tell(&format!("patch {}", hex(&greeting))), "ok");
        assert!(agent.resolve("www.example.test").starts_with("answer"), "the neighbour's address is known");
        assert_eq!(server.tell("as-is"), "ok");
        let (learned, lost) = (node.counter("answer-learned"), node.counter("query-pending-full"));
        let each = 256 / sockets;
        for s in 0..sockets {
            assert_eq!(agent.tell(&format!("udp s{s}")), "ok");
            let (first, end) = (s * each, (s + 1) * each);
            assert_eq!(agent.tell(&format!("ask-each s{s} {first}..{end} {RESOLVER}")), format!("asked {each}"));
        }
        assert_eq!(node.counter("query-pending-full"), lost, "{sockets} sockets: every question has a place");
        std::thread::sleep(std::time::Duration::from_millis(100)); // all have come, and nobody has answered
        let pending = fqdn_load::cgroup::id(&workload).unwrap();
        let waits: usize = node
            .pins
            .map("pending")
            .unwrap()
            .keys()
            .unwrap()
            .iter()
            .filter(|key| key.starts_with(&pending.to_le_bytes()))
            .map(|key| {
                let page = node.pins.map("pending").unwrap().get(key).unwrap().unwrap();
                let page = fqdn_image::abi::PendingPage::read(&page).unwrap();
                page.slots.iter().filter(|slot| slot.time != 0).count()
            })
            .sum();
        assert_eq!(waits, 256, "{sockets} sockets");
        // Each socket gets the answers to its own questions.
        for s in 0..sockets {
            let own = (s * each) as u16..((s + 1) * each) as u16;
            let replies: Vec<String> = own
                .clone()
                .map(|id| {
                    let asked = query(id, &wire(&format!("n{id}.example.test")), 1);
                    hex(&answer(&asked, &[record(&[0xc0, 12], 1, 60, &[10, 200, turn as u8, id as u8])]))
                })
                .collect();
            assert_eq!(server.tell(&format!("as-is {}", replies.join(" "))), "ok");
            // Asked again by its own socket: the same question takes the same place, and brings all answers.
            let last = own.end - 1;
            assert_eq!(agent.tell(&format!("ask-each s{s} {last}..{} {RESOLVER}", own.end)), "asked 1");
            std::thread::sleep(std::time::Duration::from_millis(if sockets == 1 { 300 } else { 20 }));
        }
        let came = (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            node.counter("answer-learned") == learned + 256
        });
        assert!(came, "{sockets} sockets: {} of 256 learned", node.counter("answer-learned") - learned);
    }
    drop(agent);
}

/// DNS UPDATE: to a server of its own zone, where a rule opens the port without names; to a resolver only if the profile says so.
#[test]
fn other_opcodes_go_where_a_rule_opens_the_port_row_44() {
    let policy = |names: &str| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: web}}\nspec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n  egress:\n  - toPorts: [{{ports: [{{port: \"53\"}}]{names}}}]\n  - toCIDR: [{two}/32]\n    toPorts: [{{ports: [{{port: \"53\"}}]}}]\n",
            two = kernel_tests::RESOLVER_TWO
        )
    };
    let plain = policy(", rules: {dns: [{matchPattern: \"**.example.test\"}]}");
    let node = Node::new("update", &compile(&plain)).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let apply = |image| fqdn_load::swap::apply(&node.pins, &image, RESOLVER, &node.cgroup).unwrap();
    apply(compile(&plain));
    let mut agent = node.agent(&workload);
    let mut message = query(9, &wire("example.test"), 6);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let framed = |bytes: &[u8]| hex(&[&(bytes.len() as u16).to_be_bytes()[..], bytes].concat());
    for opcode in [4u8, 5] {
        message[2] = opcode << 3;
        assert_eq!(agent.tell(&format!("raw-query-to {} {}", kernel_tests::RESOLVER_TWO, hex(&message))), "sent", "{opcode}");
        assert_eq!(agent.tell(&format!("raw-query-to {} {}", kernel_tests::RESOLVER_TWO, hex(&message[..12]))), "sent");
        assert_eq!(agent.tell(&format!("raw-query-to {RESOLVER} {}", hex(&message))), "EPERM", "a resolver");
        assert_eq!(agent.tell(&format!("raw-query-to 10.200.9.9 {}", hex(&message))), "EPERM", "no rule names it");
    }
    assert_eq!(agent.tell(&format!("tcp-open {}", kernel_tests::RESOLVER_TWO)), "open");
    assert_eq!(agent.tell(&format!("tcp-send {}", framed(&message))), "sent");
    assert_eq!(node.counter("query-other"), 5);
    message[2] |= 0x80;
    assert_eq!(agent.tell(&format!("raw-query-to {} {}", kernel_tests::RESOLVER_TWO, hex(&message))), "EPERM", "QR");
    message[2] &= 0x7f;
    apply(compile_with(&plain, "updates: true"));
    assert_eq!(agent.tell(&format!("raw-query-to {RESOLVER} {}", hex(&message))), "EPERM", "its rule has names");
    apply(compile_with(&policy(""), "updates: true"));
    assert_eq!(agent.tell(&format!("raw-query-to {RESOLVER} {}", hex(&message))), "sent");
    apply(compile(&policy("")));
    assert_eq!(agent.tell(&format!("raw-query-to {RESOLVER} {}", hex(&message))), "EPERM", "the profile does not say so");
}

/// A flow of datagrams goes on past its name's time while the socket is connected and its peer answers, no longer than an answer
/// may last at most, and under each policy by its name.
#[test]
fn a_flow_outlives_its_name_row_43() {
    let policy = |name: &str, ttl: &str| compile_with(&web_policy(&[name]), &format!("ttl: {{min: 0s, grace: 0s, max: {ttl}}}"));
    let node = Node::new("flow", &policy("short-10-*.example.test", "1h")).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    let flow = |agent: &mut kernel_tests::Agent, last: u8| {
        assert!(agent.resolve(&format!("short-10-200-3-{last}.example.test")).contains("records 1"));
        for socket in ["open", "loose", "mute"] {
            assert_eq!(agent.tell(&format!("udp {socket}")), "ok");
        }
        let (talks, silent) = (format!("10.200.3.{last} 80"), format!("10.200.3.{last} 7777"));
        assert_eq!(agent.tell(&format!("udp-connect open {talks}")), "ok");
        assert_eq!(agent.tell(&format!("udp-connect mute {silent}")), "ok");
        assert_eq!(agent.tell(&format!("send mute {silent}")), "sent");
        assert_eq!(agent.tell(&format!("send loose {talks}")), "sent");
        assert_eq!(agent.tell(&format!("send open {talks}")), "sent");
        for socket in ["open", "loose"] {
            assert_eq!(agent.tell(&format!("receive {socket}")), "received");
        }
        (talks, silent)
    };
    // Its hold is two seconds and what is left of a quarter.
    let (talks, silent) = flow(&mut agent, 1);
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(agent.tell(&format!("send open {talks}")), "sent");
        assert_eq!(agent.tell("receive open"), "received");
    }
    assert_eq!(agent.tell(&format!("send loose {talks}")), "EPERM", "not connected");
    assert_eq!(agent.tell(&format!("send mute {silent}")), "EPERM", "never heard");
    assert_eq!(agent.tell(&format!("send open {talks}")), "sent");
    assert_eq!(agent.tell(&format!("udp-anew open {talks}")), "ok");
    assert_eq!(agent.tell(&format!("send open {talks}")), "EPERM", "from another port");
    for socket in ["open", "loose"] {
        assert_eq!(agent.tell(&format!("udp-connect {socket} 10.200.3.1 7777")), "ok");
        assert_eq!(agent.tell(&format!("send {socket} 10.200.3.1 7777")), "EPERM", "another flow");
    }
    // The next policy has its name or not.
    let (talks, _) = flow(&mut agent, 2);
    std::thread::sleep(std::time::Duration::from_secs(3));
    node.apply(&policy("short-*-*-3-2.example.test", "1h"));
    assert_eq!(agent.tell(&format!("send open {talks}")), "sent");
    node.apply(&policy("short-10-200-9-*.example.test", "1h"));
    assert_eq!(agent.tell(&format!("send open {talks}")), "EPERM");
    // An answer may last 64 seconds at most; a minute of it is taken off for its rounding.
    node.apply(&policy("short-10-*.example.test", "64s"));
    let (talks, _) = flow(&mut agent, 3);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(agent.tell(&format!("send open {talks}")), "sent");
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(agent.tell(&format!("send open {talks}")), "EPERM", "as long as an answer may last");
}
