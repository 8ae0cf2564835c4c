//! A workload's end: what it had is freed at once, what is left of it is denied (row 38 of docs/security/bypasses.md).
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::abi::{LEARNED_QUOTA, LearnedKey, Name, Record};
use fqdn_load::cgroup;
use kernel_tests::{Node, compile, web_policy, within};

fn node(name: &str) -> Node {
    Node::new(name, &compile(&web_policy(&["ip-10-*.**.example.test", "ip-10-*.example.test"]))).with_network()
}

/// What the maps hold for a cgroup: addresses, names, pages of questions, places.
fn held(node: &Node, id: u64) -> [usize; 4] {
    let keys = |map: &str| node.pins.map(map).unwrap().keys().unwrap();
    let of = |map: &str| keys(map).iter().filter(|key| key.starts_with(&id.to_le_bytes())).count();
    let learned = keys("learned").iter().filter(|key| LearnedKey::read(key).unwrap().cgroup == id).count();
    let names = node.pins.map("names").unwrap();
    let own = |key: &Vec<u8>| names.get(key).unwrap().and_then(|name| Name::read(&name)).is_some_and(|name| name.owner == id);
    [learned, keys("names").iter().filter(|key| own(key)).count(), of("pending"), of("spoken")]
}

#[test]
fn a_socket_that_outlives_its_cgroup_is_denied_row_38() {
    let node = node("outlives");
    let (workload, other) = (node.workload("w"), node.workload("other"));
    node.bind(&workload, "app=web");
    let id = cgroup::id(&workload).unwrap();
    let mut agent = node.agent(&workload);
    assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
    assert_eq!(agent.tell("udp u"), "ok");
    assert_eq!(agent.tell("send u 10.200.1.1 7777"), "sent");
    assert_eq!(agent.tell("open 10.200.1.1 7777"), "open");
    assert_eq!(agent.tell("echo"), "echoed");
    agent.moves_to(&other);
    std::fs::remove_dir(&workload).unwrap();
    assert_eq!(node.counter("workload-gone"), 1);
    assert_eq!(agent.tell("send u 10.200.1.1 7777"), "EPERM", "the flow that the socket remembers");
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "EPERM");
    assert_ne!(agent.tell("echo"), "echoed");
    // Neither another policy nor a loader's turn opens it.
    node.apply(&compile(&web_policy(&["**.example.test"])));
    assert_eq!(agent.tell("send u 10.200.1.1 7777"), "EPERM");
    node.unbind(&workload);
    assert_eq!(agent.tell("send u 10.200.2.1 7777"), "EPERM");
    assert_eq!(agent.connect("10.200.2.1", 80), "connected", "what it makes now is of the other cgroup, which nobody bound");
    assert!(fqdn_load::bind::workloads(&node.pins).unwrap().iter().any(|bound| bound.id == id && bound.gone));
    drop(agent);
    let known = || fqdn_load::bind::workloads(&node.pins).unwrap().iter().any(|bound| bound.id == id);
    assert!(within(8000, || !known()), "the last socket is closed");
}

#[test]
fn what_a_dead_workload_had_is_freed_within_a_second_row_38() {
    let node = node("freed");
    for (name, removed) in [("removed", true), ("unbound", false)] {
        let workload = node.workload(name);
        node.bind(&workload, "app=web");
        let id = cgroup::id(&workload).unwrap();
        println!("{}", node.start(&workload, &["flood", "5000"]).line());
        node.settled();
        let before = held(&node, id);
        println!("{name}: {before:?}");
        assert!(before[0] > 1000 && before[2] == 32 && before[3] == 1);
        assert!(within(2000, || std::fs::read_to_string(workload.join("cgroup.procs")).unwrap().is_empty()));
        if removed {
            std::fs::remove_dir(&workload).unwrap();
        } else {
            node.unbind(&workload);
        }
        let start = std::time::Instant::now();
        assert!(within(1000, || held(&node, id) == [0; 4]), "{:?}", held(&node, id));
        println!("{name}: freed after {:?}", start.elapsed());
    }
    println!("longest slice of the sweep: {} us", node.pins.node().unwrap().sweep_longest / 1000);
}

/// As many dead jobs as would fill the table: the next tenant learns and connects.
#[test]
fn dead_workloads_leave_room_row_38() {
    let node = node("jobs");
    let jobs = 65_536 / LEARNED_QUOTA + 1;
    for job in 0..jobs {
        let workload = node.workload(&format!("job{job}"));
        node.bind(&workload, "app=web");
        drop(node.start(&workload, &["flood", "4500"]).line());
        assert!(within(2000, || std::fs::remove_dir(&workload).is_ok()));
    }
    let workload = node.workload("tenant");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    let connected = (1..41).filter(|last| {
        assert!(agent.resolve(&format!("ip-10-200-1-{last}.example.test")).contains("records 1"));
        agent.connect(&format!("10.200.1.{last}"), 80) == "connected"
    });
    assert_eq!(connected.count(), 40);
}
