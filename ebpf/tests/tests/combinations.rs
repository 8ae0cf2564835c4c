//! Ways round that lie between two features: audit and enforcement, a socket's route and its policy, one workload's packets and another's
//! answers (rows 48 to 61 of docs/security/bypasses.md).
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_load::bind::Told;
use fqdn_load::devices::{self, Netns};
use kernel_tests::packet::{answer, hex, ip, query, record, tcp, udp};
use kernel_tests::{Agent, CLIENT, Node, RESOLVER, compile, sh, web_policy, wire};
use std::net::IpAddr;
use std::path::PathBuf;

const NAMES: &[&str] = &["ip-10-*.example.test"];
/// A resolver behind the gateway: whoever is on the link may answer for it, if he is asked.
const BEHIND: &str = "10.96.0.10";

fn node(name: &str) -> (Node, PathBuf) {
    let node = Node::new(name, &compile(&web_policy(NAMES))).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    (node, workload)
}

fn netns(node: &Node, side: &str) -> Netns {
    Netns::File(format!("/run/netns/{}", node.netns(side)).into())
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An answer of this server to the client's port 40000, in a frame.
fn posing(server: &str) -> Vec<u8> {
    let message = answer(&query(7, &wire("ip-10-200-6-6.example.test"), 1), &[record(&[0xc0, 12], 1, 60, &[10, 200, 6, 6])]);
    udp((addr(server), 53), (addr(CLIENT), 40000), &message)
}

/// The names, on every port and by every protocol.
fn on_every_port() -> String {
    let text = web_policy(NAMES);
    let at = text.rfind("    toPorts:").unwrap();
    text[..at].to_owned()
}

fn ping(to: &str) -> Vec<u8> {
    ip(addr(CLIENT), addr(to), 1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0])[14..].to_vec()
}

/// A socket that asks for a neighbour whom the routing table does not name is refused, whatever it asks; one that asks for what
/// the table says anyway is not.
#[test]
fn a_question_goes_where_the_table_says_row_48() {
    let (node, workload) = node("astray");
    sh(&format!("ip -n {} addr add {BEHIND}/32 dev lo", node.netns("s")));
    fqdn_load::swap::apply(&node.pins, &compile(&web_policy(NAMES)), &format!("{BEHIND},{RESOLVER}"), &node.cgroup).unwrap();
    let _server = node.serve_at("s", &format!("{BEHIND}:53"));
    let mut agent = node.agent(&workload);
    let ask =
        |agent: &mut Agent, how: &str, server: &str| agent.tell(&format!("ask-routed {how} {server} ip-10-200-1-1.example.test"));
    for how in ["plain", "device", "direct", "device-direct"] {
        assert!(ask(&mut agent, how, RESOLVER).contains("records 1"), "{how}: a neighbour by the table");
    }
    for how in ["plain", "device"] {
        assert!(ask(&mut agent, how, BEHIND).contains("records 1"), "{how}: by the gateway");
    }
    let before = node.counter("answer-learned");
    assert_eq!(ask(&mut agent, "device-direct", BEHIND), "EPERM");
    assert!(node.counter("route-forced") >= 1);
    // What such a socket asks in audit mode teaches nothing, for later.
    node.bind_as(&workload, "app=web", true);
    assert!(ask(&mut agent, "device-direct", BEHIND).contains("records 1"), "audit");
    assert_eq!(node.counter("answer-learned"), before);
    node.bind(&workload, "app=web");
    // A connection to the resolver, and then another neighbour.
    assert_eq!(ask(&mut agent, "tcp-plain", BEHIND), "7:0:1");
    assert_ne!(ask(&mut agent, "tcp-device-direct", BEHIND), "7:0:1");
    // The header of a raw socket says one address, its route another.
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    sh(&format!("ip -n {} addr add 10.198.0.9/24 dev veth0", node.netns("s")));
    node.apply(&compile(&on_every_port()));
    let packet = hex(&ping("10.200.1.1"));
    assert_eq!(agent.tell(&format!("raw-packet {packet} 10.200.1.1")), "sent", "by the gateway");
    assert_eq!(agent.tell(&format!("raw-packet {packet} 10.198.0.9")), "EPERM", "to a neighbour");
}

/// A name server in the workload's namespace that nobody bound: what it asks in turn is not judged, so it may not be asked, by
/// whichever of its addresses. The workload's own may.
#[test]
fn a_strangers_name_server_on_loopback_is_not_asked_row_49() {
    let (node, workload) = node("stub");
    let strangers = node.serve_at("c", "0.0.0.0:53");
    let mut agent = node.agent(&workload);
    for server in ["127.0.0.1", "127.0.0.99", CLIENT] {
        assert_eq!(agent.tell(&format!("resolve ip-10-200-9-9.evil.test {server}")), "EPERM", "{server}");
    }
    drop(strangers);
    let mut own = node.agent(&workload);
    assert_eq!(own.tell("serve 127.0.0.2:53"), "ok");
    assert!(agent.tell("resolve ip-10-200-9-9.evil.test 127.0.0.2").contains("rcode"), "its own business");
}

/// What leads past every program for as long as a socket lives is refused in audit mode too.
#[test]
fn audit_lets_nobody_past_the_device_row_50() {
    let (node, workload) = node("past");
    node.bind_as(&workload, "app=web", true);
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("packet-option 263 20"), "EPERM", "PACKET_QDISC_BYPASS");
    assert_eq!(agent.tell("xdp-option"), "EPERM");
    // Under another's address it would make its neighbours somebody's peers, after the switch too (row 58).
    for labels in ["app=web", "app=other"] {
        node.bind_as(&workload, labels, true);
        assert_eq!(agent.tell("udp f"), "ok");
        for (level, option) in [(0, 15), (0, 19), (41, 75), (41, 78)] {
            assert_eq!(agent.tell(&format!("option f {level} {option}")), "EPERM", "{labels} {level} {option}");
        }
    }
    // Nor is bound what has set it before.
    let late = node.workload("late");
    let mut agent = node.agent(&late);
    assert_eq!((agent.tell("udp f"), agent.tell("option f 0 15")), ("ok".into(), "set".into()));
    let told = Told { path: late, namespace: "default".into(), labels: "app=web".into(), ..Told::default() };
    let said = fqdn_load::bind::bind(&node.pins, &told).unwrap_err().to_string();
    assert!(said.contains("IP_FREEBIND"), "{said}");
}

/// What a SYN carried in audit mode (TCP Fast Open) nobody has judged: with the first bytes of a message there, the server would find
/// another question in the next one than we do.
#[test]
fn what_a_syn_carried_unjudged_leads_nowhere_row_55() {
    let (node, workload) = node("syn");
    // Client and server, both without a cookie, and the server's sockets without asking for it.
    for side in ["c", "s"] {
        sh(&format!("ip netns exec {} sh -c 'echo 1543 > /proc/sys/net/ipv4/tcp_fastopen'", node.netns(side)));
    }
    sh(&format!("ip -n {} addr add {BEHIND}/32 dev lo", node.netns("s")));
    fqdn_load::swap::apply(&node.pins, &compile(&web_policy(NAMES)), BEHIND, &node.cgroup).unwrap();
    let _server = node.serve_at("s", &format!("{BEHIND}:53"));
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
    let hidden = framed(&query(9, &wire("secret.evil.test"), 1));
    // A question that may be asked, whose options hold another one.
    let with = |id: u16, held: &[u8]| {
        let mut message = query(id, &wire("ip-10-200-1-1.example.test"), 1);
        message[11] = 1;
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
        message.extend((held.len() as u16 + 4).to_be_bytes());
        message.extend([0xfd, 0xe9]);
        message.extend((held.len() as u16).to_be_bytes());
        message.extend(held);
        message
    };
    let second = framed(&with(2, &hidden));
    let first = framed(&with(1, &vec![0; second.len() - hidden.len()]));
    let in_syn = &first[..first.len() - (second.len() - hidden.len())];
    for (labels, audit) in [("app=web", true), ("app=other", false)] {
        node.bind_as(&workload, labels, audit);
        let mut agent = node.agent(&workload);
        assert_eq!(agent.tell(&format!("tcp-open-with {BEHIND} {}", hex(in_syn))), "open");
        std::thread::sleep(std::time::Duration::from_millis(300));
        node.bind(&workload, "app=web");
        agent.tell(&format!("tcp-send {}", hex(&second)));
        let said = agent.tell("tcp-read 2");
        assert!(!said.contains("9:"), "{labels}: the hidden question was answered: {said}");
    }
    // Where nobody judges, it is: the control.
    node.bind(&workload, "app=other");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell(&format!("tcp-open-with {BEHIND} {}", hex(in_syn))), "open");
    agent.tell(&format!("tcp-send {}", hex(&second)));
    let said = agent.tell("tcp-read 2");
    assert!(said.starts_with("1:") && said.contains(" 9:"), "{said}");
}

/// A raw socket names its source itself: by way of a gateway, or of another workload, it would make anybody its peer.
#[test]
fn raw_sockets_make_no_peers_row_57() {
    let (node, workload) = node("raw");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    for from in [CLIENT, "10.99.0.1"] {
        let datagram = &udp((addr(from), 4445), (addr("10.200.1.1"), 7777), b"x")[14..];
        let syn = &tcp((addr(from), 4445), (addr("10.200.1.1"), 80), 2)[14..];
        for packet in [datagram, syn] {
            assert_eq!(agent.tell(&format!("raw-packet {} 10.200.1.1", hex(packet))), "EPERM", "{from}");
        }
    }
    assert_eq!(node.counter("raw-transport"), 4);
    node.apply(&compile(&on_every_port()));
    assert_eq!(agent.tell(&format!("raw-packet {} 10.200.1.1", hex(&ping("10.200.1.1")))), "sent", "ping is no peer");
    // Over loopback from loopback, as a container's health check does: not as somebody else, whom the kernel would answer, and no redirect.
    let over_loopback = |from: &str, to: &str, kind: u8| {
        let packet = ip(addr(from), addr(to), 1, &[kind, 0, !kind, 0xff, 0, 0, 0, 0])[14..].to_vec();
        format!("raw-packet {} {to}", hex(&packet))
    };
    assert_eq!(agent.tell(&over_loopback("127.0.0.1", "127.0.0.1", 8)), "sent");
    let told = [("10.99.0.1", CLIENT, 8), ("10.99.0.1", "127.0.0.1", 8), (RESOLVER, CLIENT, 5), ("127.0.0.1", "127.0.0.1", 5)];
    for (from, to, kind) in told {
        assert_eq!(agent.tell(&over_loopback(from, to, kind)), "EPERM", "{from} {to} {kind}");
    }
}

/// An address of the link is another host's on another link, and no packet says which was meant.
#[test]
fn no_resolver_is_a_links_own_row_60() {
    let (node, _) = node("link");
    for resolvers in ["fe80::1", "10.0.0.1,fe80::/10", "febf::1"] {
        let image = compile(&web_policy(NAMES));
        let said = fqdn_load::swap::apply(&node.pins, &image, resolvers, &node.cgroup).unwrap_err().to_string();
        assert!(said.contains("fe80::/10"), "{said}");
    }
}

/// What ordinary servers and clients do beside it goes on working.
#[test]
fn a_namespace_serves_itself_row_61() {
    let (node, workload) = node("self");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.connect(CLIENT, 8080), "EPERM", "nobody listens");
    assert_eq!(agent.tell("listen 8080"), "ok");
    for at in ["127.0.0.1", CLIENT] {
        assert_eq!(agent.connect(at, 8080), "connected", "{at}");
    }
    assert_eq!(agent.tell("listen 127.0.0.1:8082"), "ok");
    assert_eq!(agent.connect("0.0.0.0", 8082), "connected", "the kernel takes it for loopback");
    assert_eq!(agent.connect("10.198.0.1", 7777), "EPERM", "elsewhere");
    // A server whose socket was connected once, and is no longer.
    assert_eq!(agent.tell("server u 7001"), "ok");
    assert_eq!(agent.tell("udp-apart u 10.198.0.1 6009"), "ok");
    let script = format!("{} send-udp 9001 {CLIENT} 7001", kernel_tests::probe());
    let mut peer =
        std::process::Command::new("ip").args(["netns", "exec", &node.netns("s"), "sh", "-c", &script]).spawn().unwrap();
    assert_eq!(agent.tell("echo-once u"), "replied");
    peer.wait().unwrap();
}

/// A workload that is audited, or selected by no policy, makes no answers for others: not in fragments, not under another
/// protocol's number or a VLAN's tag, and not as a server that a translation on the way turns into the resolver.
#[test]
fn nobody_poses_as_a_resolver_in_parts_row_51() {
    let (node, workload) = node("parts");
    fqdn_load::bind::cover(&node.pins, &netns(&node, "c")).unwrap();
    let whole = posing(RESOLVER);
    let mut first = whole.clone();
    first[20] = 0x20; // more fragments
    let mut second = ip(addr(RESOLVER), addr(CLIENT), 17, &whole[14 + 28..]);
    second[21] = 1; // from the eighth octet on
    let tagged = [&whole[..12], &[0x81, 0, 0, 0], &whole[12..]].concat();
    let backend = posing("10.198.0.77");
    for (labels, audit) in [("app=web", true), ("app=other", false)] {
        node.bind_as(&workload, labels, audit);
        let mut agent = node.agent(&workload);
        for (what, packet) in [("whole", &whole), ("first", &first), ("second", &second), ("of a backend", &backend)] {
            assert_eq!(agent.tell(&format!("raw-packet {} {CLIENT}", hex(&packet[14..]))), "EPERM", "{what}, {labels}");
        }
        for (what, frame, protocol) in [
            ("as IP", &whole, 0x0800),
            ("as something else", &whole, 0x88b5),
            ("as a question for a neighbour", &whole, 0x0806),
            ("tagged", &tagged, 0x8100),
            ("second", &second, 0x0800),
            ("of a backend", &backend, 0x0800),
        ] {
            let sent = agent.tell(&format!("packet-send-as veth0 {} {protocol}", hex(frame)));
            assert_eq!(sent, "errno 105", "{what}, {labels}");
        }
        let harmless = udp((addr(CLIENT), 5555), (addr("10.198.0.1"), 7777), b"x");
        assert_eq!(agent.tell(&format!("raw-packet {} 10.198.0.1", hex(&harmless[14..]))), "sent", "{labels}");
        assert_eq!(agent.tell(&format!("packet-send-as veth0 {} 2048", hex(&harmless))), "sent", "{labels}");
    }
}

/// Two gigabytes that nobody judged, and then a question: its numbers look like those of what was judged long ago.
#[test]
fn a_stream_that_was_not_judged_is_not_taken_up_row_52() {
    let (node, mut server) = Node::new("wrapped", &compile(&web_policy(NAMES))).with_responder();
    assert_eq!(server.tell("patch"), "ok");
    let workload = node.workload("w");
    node.bind(&workload, "app=other");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    assert_eq!(agent.tell("tcp-pour 33600"), "poured");
    let asked = query(7, &wire("www.evil.test"), 1);
    let framed = [&(asked.len() as u16).to_be_bytes()[..], &asked].concat();
    assert_eq!(server.tell(&format!("patch {}", hex(&answer(&asked, &[])))), "ok");
    agent.tell(&format!("tcp-send {}", hex(&framed)));
    // Behind the answers to what of the two gigabytes the server had still to read: as much as the kernel's buffers held.
    let behind = std::iter::repeat_with(|| agent.tell("tcp-read 1")).find(|said| said != "0:0:0").unwrap();
    assert_eq!(behind, "7:0:0", "selected by no policy");
    node.bind(&workload, "app=web");
    agent.tell(&format!("tcp-send {}", hex(&framed)));
    assert_ne!(agent.tell("tcp-read 1"), "7:0:0");
    assert!(node.counter("query-tcp") >= 1);
}

/// Namespaces of the workload's own making do not keep its devices from being covered, and those beyond the limit are named.
#[test]
fn other_namespaces_do_not_crowd_out_the_workloads_own_row_53() {
    let (node, workload) = node("many");
    let join = format!("echo 0 > {}/cgroup.procs", workload.display());
    let mut hide: Vec<_> = (0..17)
        .map(|_| std::process::Command::new("sh").args(["-c", &format!("{join}; exec unshare -Urn sleep 30")]).spawn().unwrap())
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    fqdn_load::bind::cover_all(&node.pins).unwrap();
    let (covered, more) = devices::namespaces(None, &workload);
    let status = fqdn_load::status::json(&node.pins).unwrap();
    let said = agent.tell(&format!("packet-send veth0 {}", hex(&posing(RESOLVER))));
    hide.iter_mut().for_each(|child| {
        let _ = child.kill();
        let _ = child.wait();
    });
    assert_eq!((covered.len(), more), (16, 2));
    assert_eq!(said, "errno 105", "its own device has our program");
    assert!(status["devices_not_covered"].to_string().contains("2 more network namespaces"), "{status}");
}
