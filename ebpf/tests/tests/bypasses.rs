//! Rows of the bypass list, each as a workload would try it; the last number of a name is the row.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::abi::{BindingKey, Learned, Name, Record};
use fqdn_load::bpfsys;
use fqdn_load::swap;
use kernel_tests::packet::{ip, ip_with, query, udp};
use kernel_tests::{Node, RESOLVER, RESOLVER_V6, compile, compile_with, web_policy, wire};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

const ALLOWED: &[&str] = &[
    "ip-10-200-1-*.example.test",
    "cname-*.example.test",
    "ip6-*.example.test",
    "sf-*.example.test",
    "alien-*.example.test",
    "junk-*.example.test",
    "short-*.example.test",
    "ip-127-*.example.test",
];

fn node(name: &str) -> (Node, std::path::PathBuf) {
    let node = Node::new(name, &compile(&web_policy(ALLOWED))).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    (node, workload)
}

#[test]
fn the_plain_way() {
    let (node, workload) = node("plain");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.connect("10.200.1.1", 80), "EPERM", "not learned yet");
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert_eq!(agent.connect("10.200.1.1", 80), "connected");
    assert_eq!(agent.connect("10.200.1.1", 81), "EPERM", "another port");
    assert!(agent.resolve("ip-10-200-2-1.example.test").contains("records 1"), "may be asked");
    assert_eq!(agent.connect("10.200.2.1", 80), "EPERM", "but not reached");
    assert_eq!(agent.resolve("ip-10-200-1-9.elsewhere.test"), "EPERM", "may not be asked");
    assert!(agent.tell(&format!("resolve ip6-9.example.test {RESOLVER_V6}")).contains("records 1"));
    assert_eq!(agent.connect("fd20::9", 80), "connected");
    assert_eq!(agent.connect("fd20::8", 80), "EPERM");
    assert_eq!(agent.connect("::ffff:10.200.2.1", 80), "EPERM", "v4-mapped");
    assert_eq!(agent.connect("::ffff:10.200.1.1", 80), "connected", "v4-mapped");
    assert!(agent.resolve("cname-10-200-3-1.example.test").contains("records 2"));
    assert_eq!(agent.connect("10.200.3.1", 80), "connected", "through a CNAME with compression");
    assert_eq!(agent.connect("10.200.9.9", 53), "EPERM", "no rule names this server");
}

#[test]
fn answers_that_must_not_teach() {
    let (node, workload) = node("teach");
    let mut agent = node.agent(&workload);
    for (kind, address, counter) in [("alien", "10.200.4.1", "answer-empty"), ("junk", "10.200.4.3", "answer-malformed")] {
        let before = node.counter(counter);
        let said = agent.resolve(&format!("{kind}-{}.example.test", address.replace('.', "-")));
        assert!(said.contains("records 1"), "{kind} is passed: {said}");
        assert_eq!(agent.connect(address, 80), "EPERM", "{kind}");
        assert!(node.counter(counter) > before, "{counter}");
    }
    let never = node.counter("address-never");
    assert!(agent.resolve("ip-127-0-0-9.example.test").contains("records 1"));
    assert!(node.counter("address-never") > never);
}

/// What is held no longer than its time: for two seconds, the least there is.
const SHORT: &str = "ttl: {min: 0s, grace: 0s}";
const OVER: std::time::Duration = std::time::Duration::from_millis(2400);

fn short_lived(name: &str) -> (Node, std::path::PathBuf) {
    let node = Node::new(name, &compile_with(&web_policy(ALLOWED), SHORT)).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    (node, workload)
}

#[test]
fn expiry_ends_what_was_learned() {
    let (node, workload) = short_lived("expiry");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("short-10-200-5-1.example.test").contains("records 1"));
    assert_eq!(agent.connect("10.200.5.1", 80), "connected");
    std::thread::sleep(OVER);
    assert_eq!(agent.connect("10.200.5.1", 80), "EPERM");
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(node.counter("swept-learned") >= 1, "the timer removes it with no process running");
}

#[test]
fn i1_malformed_queries_are_refused() {
    let (node, workload) = node("query");
    let mut agent = node.agent(&workload);
    let good = query(1, &wire("ip-10-200-1-1.example.test"), 1);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(agent.tell(&format!("raw-query {}", hex(&good))), "sent");
    let mut cases: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut edit = |what: &'static str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        cases.push((what, bytes));
    };
    edit("QR set", &|b| b[2] |= 0x80);
    edit("opcode", &|b| b[2] |= 0x28);
    edit("no question", &|b| b[5] = 0);
    edit("two questions", &|b| b[5] = 2);
    edit("an answer", &|b| b[7] = 1);
    edit("trailing byte", &|b| b.push(0));
    edit("cut", &|b| {
        b.pop();
    });
    edit("class CHAOS", &|b| *b.last_mut().unwrap() = 3);
    edit("pointer", &|b| {
        b.truncate(12);
        b.extend([0xc0, 12, 0, 1, 0, 1]);
    });
    edit("label byte 0x40", &|b| b[12] = 0x41);
    edit("two additional", &|b| b[11] = 2);
    for (what, bytes) in cases {
        let before = node.counter("query-malformed");
        assert_eq!(agent.tell(&format!("raw-query {}", hex(&bytes))), "EPERM", "{what}");
        assert_eq!(node.counter("query-malformed"), before + 1, "{what}");
    }
    let mut with_opt = good.clone();
    with_opt[11] = 1;
    with_opt.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    assert_eq!(agent.tell(&format!("raw-query {}", hex(&with_opt))), "sent", "EDNS");
    assert_eq!(agent.tell("udp s"), "ok");
    assert_eq!(agent.tell("segmented s 64"), "EPERM", "two datagrams in one send");
    assert!(node.counter("query-segmented") >= 1);
}

#[test]
fn forged_answers_row_1() {
    let (node, workload) = node("forged");
    // Over loopback of its own namespace: passed, teaches nothing, though 127.0.0.53 is a resolver.
    let helper = Command::new("ip")
        .args(["netns", "exec", &node.netns("c"), &kernel_tests::probe(), "serve-at", "127.0.0.53"])
        .stdout(Stdio::piped())
        .spawn();
    let mut helper = helper.unwrap();
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(helper.stdout.take().unwrap()), &mut ready).unwrap();
    let mut agent = node.agent(&workload);
    let said = agent.tell("resolve ip-10-200-1-7.example.test 127.0.0.53");
    assert!(said.contains("records 1"), "{said}");
    assert_eq!(agent.connect("10.200.1.7", 80), "EPERM");
    assert!(node.counter("answer-local") >= 1);
    helper.kill().unwrap();
    helper.wait().unwrap();
    // As the resolver itself, by a raw socket.
    let home = enter(&workload);
    let program = bpfsys::obj_get(&node.pins.path("programs/fqdn_egress")).unwrap();
    let resolver: IpAddr = RESOLVER.parse().unwrap();
    let before = node.counter("forged-answer");
    let packet = udp((resolver, 53), ("10.198.0.2".parse().unwrap(), 40000), b"answer");
    let verdict = bpfsys::test_run(program.as_fd(), &packet, 1, 1).unwrap().verdict;
    std::fs::write(home.join("cgroup.procs"), "0").unwrap();
    assert_eq!(verdict & 1, 0);
    assert_eq!(node.counter("forged-answer"), before + 1);
    // Nor from a workload that no policy selects, or in audit mode: it would teach its neighbours.
    for (labels, audit) in [("app=other", false), ("app=web", true)] {
        node.bind_as(&workload, labels, audit);
        let home = enter(&workload);
        let verdict = bpfsys::test_run(program.as_fd(), &packet, 1, 1).unwrap().verdict;
        std::fs::write(home.join("cgroup.procs"), "0").unwrap();
        assert_eq!(verdict & 1, 0, "{labels}");
    }
}

fn enter(workload: &std::path::Path) -> std::path::PathBuf {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap().to_owned();
    std::fs::write(workload.join("cgroup.procs"), "0").unwrap();
    fqdn_load::cgroup::mount_point().unwrap().join(own.trim_start_matches('/'))
}

#[test]
fn servers_answer_but_open_nothing_rows_2_and_14() {
    let (node, workload) = node("servers");
    let mut agent = node.agent(&workload);
    // UDP: a peer from outside is answered; sending first opens nothing.
    let outside = |script: &str| {
        Command::new("ip").args(["netns", "exec", &node.netns("s"), "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap()
    };
    assert_eq!(agent.tell("server u 9000"), "ok");
    assert_eq!(agent.tell("send u 10.198.0.1 7777"), "EPERM");
    let mut peer = outside(&format!("{} send-udp 9001 10.198.0.2 9000", kernel_tests::probe()));
    assert_eq!(agent.tell("echo-once u"), "replied");
    peer.wait().unwrap();
    assert_eq!(agent.tell("send u 10.198.0.1 9002"), "EPERM", "another port of the same peer");
    assert!(node.counter("allowed-reply") >= 1);
    // A raw socket hears what the namespace's other sockets are sent; their peers are none of its own.
    assert_eq!(agent.tell("raw-open"), "ok");
    outside(&format!("{} send-udp 9003 10.198.0.2 8888", kernel_tests::probe())).wait().unwrap();
    assert_eq!(agent.tell("raw-send 10.198.0.1 8888 9003"), "EPERM");
    // A server that connects a socket to each peer answers that peer, from the port that it came to, and nobody else.
    assert_eq!(agent.tell("server-shared d 9200"), "ok");
    let mut peer = outside(&format!("{} send-udp 9201 10.198.0.2 9200", kernel_tests::probe()));
    assert_eq!(agent.tell("echo-connected d"), "replied");
    peer.wait().unwrap();
    agent.tell("send peer 10.198.0.1 9201"); // takes along that the peer has closed its port meanwhile
    assert_eq!(agent.tell("udp-connect peer 10.198.0.1 9202"), "ok");
    agent.tell("send peer 10.198.0.1 9202"); // it may say so only now
    assert_eq!(agent.tell("send peer 10.198.0.1 9202"), "EPERM", "another port of the same peer");
    assert_eq!(agent.tell("udp c"), "ok");
    assert_eq!(agent.tell("udp-connect c 10.198.0.1 9201"), "ok");
    assert_eq!(agent.tell("send c 10.198.0.1 9201"), "EPERM", "from another port of its own");
    // TCP: an accepted connection talks.
    assert_eq!(agent.tell("listen 9100"), "ok");
    let mut peer = outside(&format!("sleep 0.2; echo talk 10.198.0.2 9100 | {} agent", kernel_tests::probe()));
    assert_eq!(agent.tell("accept-and-talk"), "talked");
    peer.wait().unwrap();
    // The options that would let it pose as somebody else.
    for (level, option) in [("0", "15"), ("0", "19"), ("41", "78"), ("41", "75")] {
        assert_eq!(agent.tell("udp6 o"), "ok");
        assert_eq!(agent.tell(&format!("option o {level} {option}")), "EPERM", "{level}/{option}");
    }
    assert!(node.counter("option-refused") >= 4);
    assert_eq!(agent.tell("option o 1 9"), "set", "SO_KEEPALIVE is none of our business");
}

#[test]
fn a_cached_verdict_is_for_one_flow_row_4() {
    let (node, workload) = node("cache");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert_eq!(agent.tell("udp u"), "ok");
    for _ in 0..3 {
        assert_eq!(agent.tell("send u 10.200.1.1 7777"), "sent");
        assert_eq!(agent.tell("send u 10.200.1.1 7778"), "EPERM");
        assert_eq!(agent.tell("send u 10.200.2.1 7777"), "EPERM");
    }
    assert_eq!(agent.tell("udp-connect u 10.200.1.1 7777"), "ok");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "EPERM", "connected, then sendto");
    assert_eq!(agent.tell("reconnect 10.200.1.1 10.200.2.1"), "EPERM", "taken apart and connected elsewhere");
    // Headers before cache: routing headers, fragments, IPv4 options.
    let home = enter(&workload);
    let program = bpfsys::obj_get(&node.pins.path("programs/fqdn_egress")).unwrap();
    let from: IpAddr = "fd98::2".parse().unwrap();
    let to: IpAddr = "fd20::9".parse().unwrap();
    let mut routed = vec![17, 2, 4, 1, 0, 0, 0, 0];
    routed.extend([0xfd; 16]);
    routed.extend([0; 8]);
    let v4 = |t: &str| t.parse::<IpAddr>().unwrap();
    let mut fragment = udp((v4("10.198.0.2"), 4000), (v4("10.200.1.1"), 7777), b"x");
    fragment[14 + 6] = 0x20;
    let mut optioned = udp((v4("10.198.0.2"), 4000), (v4("10.200.1.1"), 7777), b"x");
    optioned[14] = 0x46;
    optioned.splice(34..34, [131, 3, 4, 0]);
    let cases = [
        ("routing header", ip(from, to, 43, &routed), "header-routing"),
        ("IPv6 fragment", ip(from, to, 44, &[17, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), "header-fragment"),
        ("IPv4 fragment", fragment, "header-fragment"),
        ("IPv4 source route", optioned, "header-routing"),
        ("hop-by-hop without end", ip(from, to, 0, &[0, 0, 0, 0, 0, 0, 0, 0]), "header-malformed"),
    ];
    let said = cases.map(|(what, packet, counter)| {
        let before = node.counter(counter);
        let verdict = bpfsys::test_run(program.as_fd(), &packet, 1, 1).unwrap().verdict & 1;
        (what, verdict, node.counter(counter) - before)
    });
    std::fs::write(home.join("cgroup.procs"), "0").unwrap();
    for (what, verdict, counted) in said {
        assert_eq!((verdict, counted), (0, 1), "{what}");
    }
}

#[test]
fn a_socket_without_storage_is_judged_row_6() {
    let (node, workload) = node("storage");
    fqdn_load::programs::unload(&node.pins).unwrap();
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("udp u"), "ok");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "sent", "nothing is loaded");
    kernel_tests::sh(&format!("ip netns exec {} sh -c 'echo 100000 > /proc/sys/net/ipv4/igmp_max_memberships'", node.netns("c")));
    assert_eq!(agent.tell("exhaust u"), "full");
    node.apply(&compile(&web_policy(ALLOWED)));
    node.bind(&workload, "app=web");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "EPERM");
    assert!(node.counter("socket-state-missing") >= 1, "the storage could not be made");
}

#[test]
fn another_binding_counts_at_once_row_7() {
    let (node, workload) = node("epoch");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert_eq!(agent.tell("udp u"), "ok");
    assert_eq!(agent.tell("send u 10.200.1.1 7777"), "sent");
    node.bind(&workload, "app=other");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "sent", "selected by no policy");
    node.bind(&workload, "app=web");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "EPERM");
    assert_eq!(agent.tell("send u 10.200.1.1 7777"), "sent");
    node.bind_as(&workload, "app=web", true);
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "sent", "audit");
    assert!(node.counter("allowed-audit") >= 1);
    node.unbind(&workload);
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "sent");
    node.bind(&workload, "app=web");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "EPERM");
}

#[test]
fn a_connection_outlives_its_ttl_and_other_workloads() {
    let (node, workload) = short_lived("outlive");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("short-10-200-5-2.example.test").contains("records 1"));
    assert_eq!(agent.tell("open 10.200.5.2 7777"), "open");
    assert_eq!(agent.tell("echo"), "echoed");
    std::thread::sleep(OVER);
    assert_eq!(agent.connect("10.200.5.2", 80), "EPERM", "a new one does not");
    assert_eq!(agent.tell("echo"), "echoed");
    node.bind(&node.workload("other"), "app=web");
    assert_eq!(agent.tell("echo"), "echoed", "somebody else was bound");
    node.bind(&workload, "app=web,more=labels");
    assert_eq!(agent.tell("echo"), "echoed", "the same subjects");
    node.bind(&workload, "app=nobody");
    node.bind(&workload, "app=web");
    assert_eq!(agent.tell("echo"), "echoed", "its name still is allowed");
}

/// The connection took its name along: when the address's time is over, each next policy judges that name.
#[test]
fn open_connections_are_judged_by_their_names_row_15() {
    let (node, workload) = short_lived("names15");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("short-10-200-5-3.example.test").contains("records 1"));
    assert_eq!(agent.tell("open 10.200.5.3 7777"), "open");
    assert_eq!(agent.tell("echo"), "echoed");
    std::thread::sleep(OVER);
    let more = [ALLOWED, &["more.example.test"]].concat();
    node.apply(&compile_with(&web_policy(&more), SHORT));
    assert_eq!(agent.tell("echo"), "echoed", "the next policy allows its name too");
    assert_eq!(agent.connect("10.200.5.3", 7777), "EPERM", "a new connection: the address's time is over");
    assert_eq!(agent.tell("echo"), "echoed", "the refused one took nothing away");
    node.apply(&compile_with(&web_policy(&["ip-*.example.test"]), SHORT));
    assert_ne!(agent.tell("echo"), "echoed", "not this one: within one packet");
    node.apply(&compile_with(&web_policy(&more), SHORT));
    assert_eq!(agent.tell("echo"), "echoed", "and wider again");
}

/// A socket that was one connection does not lend its name to the next.
#[test]
fn a_socket_forgets_the_name_of_its_last_connection_row_15() {
    let wider = format!("{}  - toCIDR: [10.200.8.0/24]\n", web_policy(&["short-*.example.test"]));
    let node = Node::new("lend", &compile(&wider)).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("short-10-200-5-4.example.test").contains("records 1"));
    assert_eq!(agent.tell("open-again 10.200.5.4 10.200.8.1 7777"), "open");
    assert_eq!(agent.tell("echo"), "echoed");
    node.apply(&compile(&web_policy(&["short-*.example.test"])));
    assert_ne!(agent.tell("echo"), "echoed", "its address is allowed no more, and it has no name");
}

/// The flow was allowed under a binding that an apply wrote; other labels must end it all the same.
#[test]
fn a_relabel_after_an_apply_counts_row_7() {
    let (node, workload) = node("relabel");
    let strict = "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: strict}\nspec: {endpointSelector: {matchLabels: {app: strict}}, egress: [{}]}\n";
    node.apply(&compile(&format!("{}{strict}", web_policy(ALLOWED))));
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert_eq!(agent.tell("udp u"), "ok");
    assert_eq!(agent.tell("udp-connect u 10.200.1.1 7777"), "ok");
    assert_eq!(agent.tell("send u 10.200.1.1 7777"), "sent");
    assert_eq!(agent.tell("open 10.200.1.1 7777"), "open");
    assert_eq!(agent.tell("echo"), "echoed");
    node.bind(&workload, "app=strict");
    assert_ne!(agent.tell("echo"), "echoed", "the established flow is judged by the new labels");
    assert_eq!(agent.tell("send u 10.200.1.1 7777"), "EPERM");
}

#[test]
fn names_without_a_rule_do_not_crowd_out_one_with() {
    let (node, workload) = node("crowd");
    let mut agent = node.agent(&workload);
    for i in 0..12 {
        assert!(agent.resolve(&format!("ip-10-200-1-50.n{i}.example.test")).contains("records 1"));
    }
    assert_eq!(agent.connect("10.200.1.50", 80), "EPERM");
    assert!(agent.resolve("ip-10-200-1-50.example.test").contains("records 1"));
    assert_eq!(agent.connect("10.200.1.50", 80), "connected");
    for i in 12..24 {
        assert!(agent.resolve(&format!("ip-10-200-1-50.n{i}.example.test")).contains("records 1"));
    }
    assert_eq!(agent.connect("10.200.1.50", 80), "connected", "nor do those that come later");
}

#[test]
fn a_cgroup_made_anew_is_another() {
    let (node, workload) = node("anew");
    for _ in 0..4 {
        std::fs::remove_dir(&workload).unwrap();
        std::fs::create_dir(&workload).unwrap();
        node.bind(&workload, "app=web");
    }
    let known = || fqdn_load::bind::workloads(&node.pins).unwrap().len();
    assert!(kernel_tests::within(5000, || known() == 1), "the kernel forgets the others with their last socket");
    node.unbind(&workload);
    assert_eq!(known(), 0);
}

#[test]
fn bind_counts_for_a_socket_that_has_sent() {
    let node = Node::new("late", &compile(&web_policy(ALLOWED))).with_network();
    let workload = node.workload("w");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("udp u"), "ok");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "sent");
    node.bind(&workload, "app=web");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "EPERM", "the very next packet");
}

#[test]
fn a_workload_without_binding_is_denied_row_8() {
    let (node, workload) = node("binding");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    let generation = swap::generation_of(&node.pins.slot(0).unwrap().unwrap().0);
    let key = BindingKey { cgroup: fqdn_load::cgroup::id(&workload).unwrap(), generation };
    assert!(node.pins.map("bindings").unwrap().remove(key.bytes()).unwrap());
    assert_eq!(agent.resolve("ip-10-200-1-1.example.test"), "EPERM");
    assert_eq!(agent.tell("udp u"), "ok");
    assert_eq!(agent.tell("send u 10.200.1.1 7777"), "EPERM");
    assert!(node.counter("binding-missing") >= 2);
}

#[test]
fn neighbour_discovery_lives_row_9() {
    let (node, workload) = node("neighbour");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("raw6 134"), "EPERM", "router advertisement of its own");
    assert_eq!(agent.tell("raw6 137"), "EPERM", "redirect of its own");
    assert_eq!(agent.tell("raw6 136 far"), "EPERM", "advertisement to a far address");
    assert_eq!(agent.tell("raw6 136"), "EPERM", "who is where, on the link (row 59)");
    assert_eq!(agent.tell("raw6 136 short"), "EPERM", "no advertisement at all, and no router solicitation either");
    assert_eq!(agent.tell("raw6 135"), "EPERM", "a question for a neighbour says who asks (row 59)");
    assert_eq!(agent.tell("raw6 133"), "sent", "solicitation on the link");
    assert_eq!(agent.tell("raw6 133 option"), "EPERM", "one that says who asks (row 59)");
    assert!(node.counter("neighbour-forged") >= 6);
    // What the kernel itself sends for the namespace: TEST_RUN's socket never passed sock_create.
    let home = enter(&workload);
    let program = bpfsys::obj_get(&node.pins.path("programs/fqdn_egress")).unwrap();
    let from: IpAddr = "fe80::1".parse().unwrap();
    let run = |to: &str, kind: u8, hops: u8, target: &str| {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.parse::<std::net::Ipv6Addr>().unwrap().octets());
        let packet = ip_with(from, to.parse().unwrap(), 58, hops, &message);
        bpfsys::test_run(program.as_fd(), &packet, 1, 1).unwrap().verdict & 1
    };
    let verdicts = [
        run("ff02::1:ff00:1", 135, 255, "fd20::1"),
        run("fd20::77", 135, 255, "fd20::77"),
        run("ff02::16", 143, 1, "::"),
        run("fd20::77", 135, 255, "fd20::78"),
        run("ff02::1:ff00:1", 135, 64, "fd20::1"),
        run("fd20::77", 128, 255, "fd20::77"),
    ];
    std::fs::write(home.join("cgroup.procs"), "0").unwrap();
    assert_eq!(verdicts, [1, 1, 1, 0, 0, 0]);
}

#[test]
fn two_name_servers_one_id_row_11() {
    let (node, workload) = node("two");
    let mut agent = node.agent(&workload);
    assert_eq!(agent.tell("resolve-two sf-10-200-6-1.example.test"), "rcodes [0, 2]");
    assert_eq!(agent.connect("10.200.6.1", 80), "connected", "SERVFAIL of the other one consumed nothing");
}

#[test]
fn refusal_is_immediate_row_13() {
    let (node, workload) = node("immediate");
    let mut agent = node.agent(&workload);
    let start = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(agent.connect("10.200.2.1", 80), "EPERM");
    }
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    assert!(node.counter("connect-refused") >= 20);
}

#[test]
fn the_same_generation_twice_is_refused_row_16() {
    let (node, _) = node("generation");
    let other = compile(&web_policy(&["another.example.test"]));
    let digest = other.digest_hex();
    swap::stage(&node.pins, &other).unwrap();
    let twin = format!("{}{}", &digest[..16], "0".repeat(48));
    std::fs::rename(node.pins.path(&format!("images/{digest}")), node.pins.path(&format!("images/{twin}"))).unwrap();
    let active = node.pins.slot(0).unwrap().unwrap().0;
    // The leftover is removed first, unless a slot holds it: so it must be active to stand in the way.
    let staged = node.pins.map(&format!("images/{twin}")).unwrap();
    swap::publish(&node.pins, &staged, None).unwrap();
    let refused = swap::apply(&node.pins, &other, RESOLVER, &node.cgroup).unwrap_err();
    assert!(refused.to_string().contains("the same 8 bytes"), "{refused}");
    assert_ne!(active, twin);
}

#[test]
fn another_name_under_the_same_hash_is_not_learned_row_17() {
    let (node, workload) = node("names");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("pair-10-200-1-1.example.test").contains("records 2"), "two addresses: the name stands by itself");
    let names = node.pins.map("names").unwrap();
    assert_eq!(names.keys().unwrap().len(), 1);
    for key in names.keys().unwrap() {
        let mut record = Name::read(&names.get(&key).unwrap().unwrap()).unwrap();
        record.bytes[1] ^= 1;
        names.set(&key, record.bytes()).unwrap();
    }
    let learned = node.pins.map("learned").unwrap();
    for key in learned.keys().unwrap() {
        learned.remove(&key).unwrap();
    }
    assert!(agent.resolve("pair-10-200-1-1.example.test").contains("records 2"));
    assert_eq!(agent.connect("10.200.1.1", 80), "EPERM");
    assert_eq!(agent.connect("10.200.1.2", 80), "EPERM");
    assert!(node.counter("names-full") >= 1);
    // And where the text stands with the address.
    assert!(agent.resolve("ip-10-200-1-5.example.test").contains("records 1"));
    node.settled();
    for key in learned.keys().unwrap() {
        let mut record = Learned::read(&learned.get(&key).unwrap().unwrap()).unwrap();
        assert_ne!(record.carried, 0);
        record.carried_bytes[1] ^= 1;
        learned.set(&key, record.bytes()).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(agent.resolve("ip-10-200-1-5.example.test").contains("records 1"));
    assert_eq!(node.counter("learned-full"), 1);
}

/// An element of `names` may be given to another name while a packet reads it: a text counts only under its own hash.
#[test]
fn a_text_that_is_not_its_keys_says_nothing_row_17() {
    let (node, workload) = node("torn");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("pair-10-200-7-1.example.test").contains("records 2"));
    let names = node.pins.map("names").unwrap();
    let change = |letter: u8| {
        for key in names.keys().unwrap() {
            let mut record = Name::read(&names.get(&key).unwrap().unwrap()).unwrap();
            record.bytes[1] = letter;
            names.set(&key, record.bytes()).unwrap();
        }
    };
    change(b'q');
    node.apply(&compile(&web_policy(&["pair-10-200-7-1.example.test", "qair-10-200-7-1.example.test"])));
    assert_eq!(agent.connect("10.200.7.1", 80), "EPERM");
    change(b'p');
    assert_eq!(agent.connect("10.200.7.1", 80), "connected");
}

/// A name's text stands with the one address it led to, or by itself: it led to more, is long, or came to an address that
/// was known. The next policy finds it, for the address and for the open connection.
#[test]
fn a_name_is_judged_again_wherever_it_stands_row_15() {
    let (node, workload) = node("stands");
    let mut agent = node.agent(&workload);
    let long = format!("ip-10-200-6-3.{0}.{0}.example.test", "x".repeat(50));
    let cases = [
        ("ip-10-200-6-1.example.test".to_owned(), "10.200.6.1", 0),
        ("ip-10-200-6-1.again.example.test".to_owned(), "10.200.6.1", 1),
        ("pair-10-200-6-4.example.test".to_owned(), "10.200.6.5", 1),
        (long, "10.200.6.3", 1),
    ];
    for (name, address, by_itself) in &cases {
        node.settled();
        for key in node.pins.map("learned").unwrap().keys().unwrap() {
            node.pins.map("learned").unwrap().remove(&key).unwrap();
        }
        for key in node.pins.map("names").unwrap().keys().unwrap() {
            node.pins.map("names").unwrap().remove(&key).unwrap();
        }
        let only = |more: &[&str]| compile(&web_policy(&[&[name.as_str()], more].concat()));
        if name.contains("again") {
            node.apply(&only(&["ip-10-200-6-1.example.test"]));
            assert!(agent.resolve("ip-10-200-6-1.example.test").contains("records 1"));
            node.settled();
        }
        node.apply(&only(&["b.example.test"]));
        assert!(!agent.resolve(name).contains("records 0"), "{name}");
        node.settled();
        assert_eq!(node.pins.map("names").unwrap().keys().unwrap().len(), *by_itself, "{name}");
        assert_eq!(agent.tell(&format!("open {address} 7777")), "open", "{name}");
        assert_eq!(agent.tell("echo"), "echoed", "{name}");
        node.apply(&only(&["c.example.test"]));
        assert_eq!(agent.tell("echo"), "echoed", "{name}: under the next policy");
        assert_eq!(agent.connect(address, 80), "connected", "{name}: under the next policy");
        node.apply(&compile(&web_policy(&["other.example.test"])));
        assert_ne!(agent.tell("echo"), "echoed", "{name}: under one without it");
        assert_eq!(agent.connect(address, 80), "EPERM", "{name}: under one without it");
        node.apply(&only(&["d.example.test"]));
        assert_eq!(agent.connect(address, 80), "connected", "{name}: and again");
        assert!(!agent.resolve(name).contains("records 0"), "{name}");
        node.settled();
        assert_eq!(node.pins.map("names").unwrap().keys().unwrap().len(), *by_itself, "{name}: asked again");
    }
}

/// `world` leaves out the addresses of the host that enforces, `host` means them: only the node knows which they are.
#[test]
fn this_hosts_addresses_are_not_the_world() {
    let policy = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: default}\nspec:\n  endpointSelector: {matchLabels: {app: web}}\n  egress:\n  - toEntities: [world]\n    toPorts: [{ports: [{port: \"80\", protocol: TCP}]}]\n  - toEntities: [host]\n    toPorts: [{ports: [{port: \"81\", protocol: TCP}]}]\n";
    let node = Node::new("locals", &compile(policy)).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let keys = node.pins.map("locals").unwrap().keys().unwrap();
    let own = keys
        .iter()
        .filter_map(|key| <[u8; 16]>::try_from(key.as_slice()).ok())
        .filter_map(|octets| std::net::Ipv6Addr::from(octets).to_ipv4_mapped())
        .find(|address| !address.is_loopback())
        .expect("this host has an IPv4 address of its own")
        .to_string();
    let mut agent = node.agent(&workload);
    assert_eq!(agent.connect(&own, 80), "EPERM", "{own} is not the world");
    assert_ne!(agent.connect(&own, 81), "EPERM", "{own} is the host");
    assert_ne!(agent.connect("10.200.1.1", 80), "EPERM");
    assert_eq!(agent.connect("10.200.1.1", 81), "EPERM");
}

/// Denied addresses stay denied when a name leads to them, and for workloads that are otherwise free.
#[test]
fn denials_beat_learned_addresses() {
    let deny = "  egressDeny:\n  - toCIDR: [10.200.1.7/32]\n  - toCIDR: [10.200.0.0/16]\n    toPorts: [{ports: [{port: \"443\", protocol: TCP}]}]\n";
    let free = format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: free, namespace: default}}\nspec:\n  endpointSelector: {{matchLabels: {{app: free}}}}\n  enableDefaultDeny: {{egress: false}}\n{deny}"
    );
    let node = Node::new("deny", &compile(&format!("{}{deny}{free}", web_policy(ALLOWED)))).with_network();
    let (web, other) = (node.workload("w"), node.workload("f"));
    node.bind(&web, "app=web");
    node.bind(&other, "app=free");
    let mut agent = node.agent(&web);
    for address in ["10.200.1.7", "10.200.1.8"] {
        assert!(agent.resolve(&format!("ip-{}.example.test", address.replace('.', "-"))).contains("records 1"));
    }
    assert_eq!(agent.connect("10.200.1.8", 80), "connected");
    assert_eq!(agent.connect("10.200.1.7", 80), "EPERM", "a name led to it");
    assert_eq!(agent.connect("10.200.1.8", 443), "EPERM");
    let mut agent = node.agent(&other);
    assert_eq!(agent.connect("10.200.1.7", 80), "EPERM", "denied without default deny");
    assert_eq!(agent.connect("10.200.9.9", 80), "connected");
    assert!(agent.resolve("anything.at.all.test").contains("records"), "nothing else is judged");
}

/// Packet sockets pass no cgroup hook: the device's program stops them, and they may not go round it.
#[test]
fn packet_sockets_row_3() {
    let (node, workload) = node("packet");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    let mac = kernel_tests::sh(&format!("ip -n {} -o link show veth0 | sed 's/.*ether \\([^ ]*\\).*/\\1/'", node.netns("s")));
    let mut frame =
        udp(("10.198.0.2".parse().unwrap(), 5555), (RESOLVER.parse().unwrap(), 53), &query(9, &wire("www.evil.test"), 1));
    for (byte, text) in frame.iter_mut().zip(mac.trim().split(':')) {
        *byte = u8::from_str_radix(text, 16).unwrap();
    }
    let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(agent.tell(&format!("packet-send veth0 {hex}")), "sent", "the device has no program");
    let netns = fqdn_load::devices::Netns::File(format!("/run/netns/{}", node.netns("c")).into());
    fqdn_load::bind::cover(&node.pins, &netns).unwrap();
    assert_eq!(agent.tell(&format!("packet-send veth0 {hex}")), "errno 105", "ENOBUFS: dropped by the device");
    assert_eq!(agent.tell(&format!("packet-send lo {hex}")), "errno 105");
    assert!(node.counter("packet-socket") >= 2);
    // Under the mark of refused queries it would be turned round and come in as if from outside.
    let mark = node.pins.node().unwrap().refuse_mark | 1;
    assert_eq!(agent.tell(&format!("packet-send veth0 {hex} {mark}")), "errno 105");
    assert_eq!(agent.tell("packet-option 263 20"), "EPERM", "PACKET_QDISC_BYPASS");
    // Any other socket can have the mark as well, and what it sends would not even be a query.
    assert_eq!((agent.tell("udp m"), agent.tell("send m 10.200.1.1 7777")), ("ok".into(), "sent".into()));
    assert_eq!((agent.tell(&format!("mark m {mark}")), agent.tell("send m 10.200.1.1 7777")), ("ok".into(), "EPERM".into()));
    assert!(node.counter("forged-answer") >= 1);
    assert_eq!(agent.tell("xdp-option"), "EPERM", "XDP_RX_RING and every other");
    // Somebody unbound in the same namespace is none of our business.
    let mut other = node.agent(&node.workload("unbound"));
    assert_eq!(other.tell(&format!("packet-send veth0 {hex}")), "sent");
    node.bind_as(&workload, "app=web", true);
    assert_eq!(agent.tell(&format!("packet-send veth0 {hex}")), "sent", "audit");
}

/// Whatever the call, the packet is judged whole.
#[test]
fn other_ways_to_send() {
    let (node, workload) = node("ways");
    let mut agent = node.agent(&workload);
    // MSG_MORE and sendfile: what lies in pages might still be written to, whoever asks what.
    for name in ["ip-10-200-1-1.example.test", "www.evil.test"] {
        assert_eq!(agent.tell(&format!("in-parts {name} {RESOLVER}")), "EPERM");
    }
    assert_eq!(agent.tell("resolve ip-10-200-1-1.example.test 10.200.9.9"), "EPERM", "a server that no rule names");
    assert_eq!(agent.connect(RESOLVER, 853), "EPERM", "DNS over TLS");
    assert_eq!(agent.connect("10.200.9.9", 443), "EPERM", "DNS over HTTPS");
    // By a ring, in the thread or in a worker of the kernel's: it is the socket's packet all the same.
    let ring = agent.tell(&format!("ring-send {RESOLVER} 53 00 thread")) != "no ring";
    if !ring {
        kernel_tests::not_run!("io_uring: this kernel lets nobody have a ring (kernel.io_uring_disabled)");
    }
    for by in ["thread", "worker"].into_iter().filter(|_| ring) {
        for (name, said) in [("ip-10-200-1-1.example.test", "sent"), ("www.evil.test", "EPERM")] {
            let hex: String = query(9, &wire(name), 1).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(agent.tell(&format!("ring-send {RESOLVER} 53 {hex} {by}")), said, "{name} by the {by}");
        }
        assert_eq!(agent.tell(&format!("ring-send 10.200.9.9 7777 00 {by}")), "EPERM");
    }
    assert_eq!(agent.tell("udp m"), "ok");
    for (address, port) in [("224.0.0.251", 5353), ("224.0.0.252", 5355), ("10.198.0.255", 137)] {
        assert_eq!(agent.tell(&format!("send m {address} {port}")), "EPERM", "multicast and broadcast name services");
    }
}

/// A routing header makes another host the destination than the one that is looked at.
#[test]
fn a_socket_that_routes_by_itself_is_refused() {
    let (node, workload) = node("rthdr");
    let mut agent = node.agent(&workload);
    assert!(agent.tell(&format!("resolve ip6-9.example.test {RESOLVER_V6}")).contains("records 1"));
    assert_eq!(agent.tell("udp6 plain"), "ok");
    assert_eq!(agent.tell("send plain fd20::9 7777"), "sent", "without the header it may be sent to");
    assert_eq!(agent.tell("udp6 routed"), "ok");
    let before = node.counter("header-routing");
    let said = agent.tell("send-routed routed fd20::9 fd20::8 7777");
    if said.starts_with("no option") {
        kernel_tests::not_run!("routing headers: {said}");
        return;
    }
    assert_eq!(said, "EPERM");
    assert_eq!(node.counter("header-routing"), before + 1);
}

/// Two answers that the kernel hands over as one buffer: not understood, so not learned.
#[test]
fn joined_answers_teach_nothing() {
    let (node, mut server) = Node::new("gro", &compile(&web_policy(ALLOWED))).with_responder();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    let asked = query(7, &wire("ip-10-200-1-1.example.test"), 1);
    let address = kernel_tests::packet::record(&[0xc0, 12], 1, 60, &[10, 200, 1, 1]);
    let reply: String = kernel_tests::packet::answer(&asked, &[address]).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(server.tell(&format!("joined patch {reply} {reply}")), "ok");
    assert!(agent.tell("gro ip-10-200-1-1.example.test").contains("records 1"));
    assert_eq!(agent.connect("10.200.1.1", 80), "EPERM");
    assert!(node.counter("answer-too-long") + node.counter("answer-malformed") >= 1);
}

/// A namespace of the workload's own making may bring it any answer; what it learns there counts nowhere else.
#[test]
fn what_is_learned_in_a_namespace_counts_there() {
    let (node, workload) = node("netns");
    kernel_tests::sh(&format!("ip netns add {}", node.netns("x")));
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert_eq!(agent.connect("10.200.1.1", 80), "connected");
    let mut other = node.start_in("x", &workload, &["agent"]);
    assert_eq!(other.connect("10.200.1.1", 80), "EPERM", "the same workload, another namespace");
}

/// A question that was allowed is remembered; what it is remembered for is all that was judged.
#[test]
fn a_remembered_verdict_is_for_one_question() {
    let udp_only = |name: &str| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: web}}\nspec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n  egress:\n  - toPorts: [{{ports: [{{port: \"53\", protocol: UDP}}], rules: {{dns: [{{matchPattern: \"{name}\"}}]}}}}]\n---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: other}}\nspec:\n  endpointSelector: {{matchLabels: {{app: other}}}}\n  egress:\n  - toPorts: [{{ports: [{{port: \"53\"}}], rules: {{dns: [{{matchPattern: \"*.other.test\"}}]}}}}]\n"
        )
    };
    let [one, two] = ["ip-*.example.test", "*.elsewhere.test"].map(|name| compile(&udp_only(name)));
    let node = Node::new("recall", &one).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    let mut ask = |server: &str| agent.tell(&format!("resolve ip-10-200-1-1.example.test {server}"));
    for _ in 0..3 {
        assert!(ask(RESOLVER).contains("records 1"));
    }
    assert_eq!(ask("10.200.9.9"), "EPERM", "another server");
    node.apply(&two);
    assert_eq!(ask(RESOLVER), "EPERM", "another image");
    swap::rollback(&node.pins).unwrap();
    assert!(ask(RESOLVER).contains("records 1"), "the first again");
    node.bind(&workload, "app=other");
    assert_eq!(ask(RESOLVER), "EPERM", "other labels");
    node.bind(&workload, "app=web");
    assert!(ask(RESOLVER).contains("records 1"));
    swap::apply(&node.pins, &one, kernel_tests::RESOLVER_TWO, &node.cgroup).unwrap();
    assert_eq!(ask(RESOLVER), "EPERM", "no resolver any more");
    node.apply(&one);
    assert!(ask(RESOLVER).contains("records 1"));
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "EPERM", "another protocol");
    assert_eq!(agent.tell("resolve www.evil.test 10.198.0.1"), "EPERM", "another name");
}

/// Whom a workload spoke to first, it cannot make forgotten by speaking to very many.
#[test]
fn a_flood_of_peers_opens_no_way_back_rows_2_and_14() {
    let any_port = |name: &str| {
        compile(&format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: web}}\nspec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n  egress:\n  - toPorts: [{{ports: [{{port: \"53\"}}], rules: {{dns: [{{matchPattern: \"**.example.test\"}}]}}}}]\n  - toFQDNs: [{{matchPattern: \"{name}\"}}]\n  - toCIDR: [10.200.77.0/24]\n"
        ))
    };
    let node = Node::new("spray", &any_port("ip-*.example.test")).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-198-0-1.example.test").contains("records 1"));
    for name in ["u", "f", "g"] {
        assert_eq!(agent.tell(&format!("udp {name}")), "ok");
    }
    // The server's own address, so that the echo comes from there.
    assert_eq!(agent.tell("send u 10.198.0.1 7777"), "sent");
    assert_eq!(agent.tell("receive u"), "received");
    for name in ["f", "g"] {
        assert_eq!(agent.tell(&format!("spray {name} 10.200.77.1 60000")), "sprayed 60000");
    }
    // The echo of this one comes when all that is behind us; the peer is busy with it, and may lose some.
    let echoed = (0..50).any(|_| {
        assert_eq!(agent.tell("send u 10.198.0.1 7777"), "sent");
        agent.tell("receive u") == "received"
    });
    assert!(echoed);
    node.apply(&any_port("other.example.test"));
    assert_eq!(agent.tell("send u 10.198.0.1 7777"), "EPERM", "no name allows it any more, and its echo opened nothing");
}

/// An `apply` that died between the list and the word that it has changed: the next one says it, with nothing else to do.
#[test]
fn a_list_of_resolvers_counts_with_the_next_apply_at_the_latest() {
    let (node, workload) = node("list");
    let image = compile(&web_policy(ALLOWED));
    let lists = ["10.198.0.1,10.198.0.3", "10.198.0.3"];
    swap::apply(&node.pins, &image, lists[0], &node.cgroup).unwrap();
    let mut agent = node.agent(&workload);
    for name in ["ip-10-200-1-1", "ip-10-200-1-2"] {
        assert!(agent.resolve(&format!("{name}.example.test")).contains("records 1"), "asked, and remembered");
    }
    let map = node.pins.map("resolvers").unwrap();
    for key in map.keys().unwrap() {
        if key.ends_with(&[10, 198, 0, 1]) {
            map.remove(&key).unwrap();
        }
    }
    swap::apply(&node.pins, &image, lists[1], &node.cgroup).unwrap();
    assert_eq!(agent.resolve("ip-10-200-1-3.example.test"), "EPERM");
    assert!(agent.tell("resolve ip-10-200-1-3.example.test 10.198.0.3").contains("rcode"));
}

/// A rule may let a workload ask a server that is no resolver; what it answers teaches nothing.
#[test]
fn what_is_no_resolver_does_not_teach() {
    let image = compile(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: web}\nspec:\n  endpointSelector: {matchLabels: {app: web}}\n  egress:\n  - toCIDR: [10.198.0.0/24]\n    toPorts: [{ports: [{port: \"53\"}], rules: {dns: [{matchPattern: \"**.example.test\"}]}}]\n  - toFQDNs: [{matchPattern: \"**.example.test\"}]\n",
    );
    let node = Node::new("stranger", &image).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    swap::apply(&node.pins, &image, RESOLVER, &node.cgroup).unwrap();
    let mut agent = node.agent(&workload);
    let mut ask = |server: &str| {
        assert!(agent.tell(&format!("resolve ip-10-200-1-1.example.test {server}")).contains("records 1"), "{server}");
        agent.connect("10.200.1.1", 80)
    };
    assert_eq!(ask(kernel_tests::RESOLVER_TWO), "EPERM");
    assert_eq!(node.counter("answer-server"), 1);
    assert_eq!(ask(RESOLVER), "connected");
}
