//! Swaps under load, and what survives them.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::Image;
use fqdn_image::abi::{Binding, BindingKey, Learned, Record, Usage};
use fqdn_load::{bind, bpfsys, swap};
use kernel_tests::{Agent, Node, compile, web_policy};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

/// Subjects are numbered by their text: in the second image `app=web` has another number, and the number that it
/// has in the first image belongs to `app=evil`, which may reach the secret address. A packet judged by one image
/// and the binding of the other would pass.
fn policies() -> [Image; 2] {
    let evil = |extra: &str| {
        format!(
            "{}---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: evil}}\nspec:\n  endpointSelector: {{matchLabels: {{app: evil}}}}\n  egress: [{{toFQDNs: [{{matchPattern: \"*.secret.example.test\"}}]}}]\n{extra}",
            web_policy(&["*.common.example.test"])
        )
    };
    let aaa = "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: aaa}\nspec:\n  endpointSelector: {matchLabels: {aaa: b}}\n  egress: [{}]\n";
    [compile(&evil("")), compile(&evil(aaa))]
}

fn watched(node: &Node, workload: &std::path::Path) -> Agent {
    let mut agent = node.start(workload, &["watch", "10.200.7.1", "10.200.7.2", "10.200.7.3"]);
    assert_eq!(agent.line(), "watching");
    agent
}

fn numbers(line: &str) -> Vec<u64> {
    line.split(' ').filter_map(|w| w.parse().ok()).collect()
}

#[test]
fn i3_a_thousand_swaps_under_load() {
    let images = policies();
    let node = Node::new("swaps", &images[0]).with_network();
    let workload = node.workload("w");
    let other = node.workload("other");
    node.bind(&workload, "app=web");
    node.bind(&other, "app=web");
    let mut agent = watched(&node, &workload);
    let start = Instant::now();
    let swaps: usize = std::env::var("FQDN_SWAPS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    for turn in 0..swaps {
        node.apply(&images[(turn + 1) % 2]);
        // Labels of the same workload and mode of its neighbour change in between.
        node.bind(&workload, if turn % 3 == 0 { "app=web,extra=1" } else { "app=web" });
        node.bind_as(&other, "app=web", turn % 2 == 0);
    }
    let line = agent.tell("stop");
    println!("{swaps} swaps in {:?}: {line}", start.elapsed());
    let overflow = format!("ip netns exec {} sh -c 'nstat -az TcpExtListenOverflows 2>/dev/null | tail -n 1'", node.netns("s"));
    println!("the server's own: {}", kernel_tests::sh(&overflow).trim());
    let [tries, outages, passed] = numbers(&line)[..] else { panic!("{line}") };
    assert!(tries > 1000);
    assert_eq!((outages, passed), (0, 0), "{line}");
    assert_eq!(node.counter("binding-missing"), 0);
}

/// The same detector on a loader that forgets the old bindings before it publishes: it must see something.
#[test]
fn control_bindings_removed_early() {
    let images = policies();
    let node = Node::new("control", &images[0]).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = watched(&node, &workload);
    for turn in 0..200 {
        let image = &images[(turn + 1) % 2];
        let staged = swap::stage(&node.pins, image).unwrap();
        let active = node.pins.slot(0).unwrap().unwrap();
        bind::keep(&node.pins, &[]).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        bind::fill(&node.pins, image).unwrap();
        fqdn_load::resolvers::Resolvers::choose("10.198.0.1", image).unwrap().write(&node.pins, image.head.generation).unwrap();
        swap::publish(&node.pins, &staged, Some(&active.1)).unwrap();
        swap::forget_leftovers(&node.pins).unwrap();
    }
    let line = agent.tell("stop");
    println!("control: {line}");
    let [_, outages, _] = numbers(&line)[..] else { panic!("{line}") };
    assert!(outages > 0 && node.counter("binding-missing") > 0, "{line}");
}

/// The same detector on packets judged by the new image and the binding of the old one.
#[test]
fn control_binding_of_the_other_image() {
    let images = policies();
    let node = Node::new("mixture", &images[0]).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = watched(&node, &workload);
    let cgroup = fqdn_load::cgroup::id(&workload).unwrap();
    let bindings = node.pins.map("bindings").unwrap();
    let key = |image: &Image| BindingKey { cgroup, generation: image.head.generation };
    let old = bindings.get(key(&images[0]).bytes()).unwrap().unwrap();
    node.apply(&images[1]);
    bindings.set(key(&images[1]).bytes(), &old).unwrap();
    // A connection that met the publishing half way waits a second before it sends its SYN again.
    std::thread::sleep(Duration::from_millis(2500));
    let line = agent.tell("stop");
    println!("mixture: {line}");
    let [_, _, passed] = numbers(&line)[..] else { panic!("{line}") };
    assert!(passed > 0, "{line}");
}

#[test]
fn narrowed_and_widened_without_a_new_query() {
    let [one, two] = [["ip-10-200-1-1.example.test"], ["ip-10-200-1-2.example.test"]].map(|n| compile(&web_policy(&n)));
    let node = Node::new("rejudge", &one).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    for n in 1..3 {
        assert!(agent.resolve(&format!("ip-10-200-1-{n}.example.test")).contains("records 1"));
    }
    assert_eq!([agent.connect("10.200.1.1", 80), agent.connect("10.200.1.2", 80)], ["connected", "EPERM"]);
    node.apply(&two);
    assert_eq!([agent.connect("10.200.1.1", 80), agent.connect("10.200.1.2", 80)], ["EPERM", "connected"]);
    swap::rollback(&node.pins).unwrap();
    assert_eq!([agent.connect("10.200.1.1", 80), agent.connect("10.200.1.2", 80)], ["connected", "EPERM"]);
}

/// What the programs guess of an address with the binding is wrong after a swap (the address is there and seems new) and after
/// its end (it is gone and seems known). Neither costs a place, nor leaves one.
#[test]
fn a_wrong_guess_costs_a_search_and_nothing_else() {
    let [one, other] = policies();
    let node = Node::new("guess", &one).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    let usage = || {
        let map = node.pins.map("usage").unwrap();
        let id = fqdn_load::cgroup::id(&workload).unwrap();
        Usage::read(&map.get(&id.to_le_bytes()).unwrap().unwrap()).unwrap()
    };
    let taken = || usage().learned + usage().idle;
    let elements = || {
        node.settled();
        node.pins.map("learned").unwrap().keys().unwrap()
    };
    let mut ask = || {
        let before = node.counter("address-learned");
        assert!(agent.resolve("ip-10-200-1-1.example.test").contains("records 1"));
        assert_eq!(node.counter("address-learned"), before + 1);
    };
    ask();
    node.apply(&other);
    std::thread::sleep(Duration::from_millis(600));
    ask();
    assert_eq!((elements().len(), taken()), (1, 1), "there, and seemed new");
    let value = Learned::read(&node.pins.map("learned").unwrap().get(&elements()[0]).unwrap().unwrap()).unwrap();
    assert_eq!(value.names[0].generation, other.head.generation, "judged by the policy of the question");
    node.pins.map("learned").unwrap().remove(&elements()[0]).unwrap();
    let bindings = node.pins.map("bindings").unwrap();
    for key in bindings.keys().unwrap() {
        let binding = Binding::read(&bindings.get(&key).unwrap().unwrap()).unwrap();
        assert_eq!(binding.learned.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
    }
    ask();
    assert_eq!((elements().len(), taken()), (1, 2), "gone, and seemed known: a place is taken for it, as for any");
}

/// Fills the sweep's queue with items of the one element there is: it holds, so the queue stays full.
fn fill_the_sweep(node: &Node) -> Vec<u8> {
    node.settled();
    let key = node.pins.map("learned").unwrap().keys().unwrap().pop().unwrap();
    let map = aya::maps::MapData::from_pin(node.pins.path("sweep")).unwrap();
    let mut queue = aya::maps::Queue::<_, [u8; 32]>::try_from(aya::maps::Map::Queue(map)).unwrap();
    let item: [u8; 32] = key.clone().try_into().unwrap();
    // The sweep may have taken some out to look at them.
    for _ in 0..20 {
        while queue.push(item, 0).is_ok() {}
        std::thread::sleep(Duration::from_millis(10));
    }
    key
}

/// What the sweep would never find again is not learned: it would stay for ever, and its place with it. And what was learned
/// lately waits for room in front of `learned`, where it counts like everything else.
#[test]
fn what_was_learned_lately_counts_and_waits() {
    let [one, two] = [["ip-10-200-1-*.example.test"], ["ip-10-200-2-*.example.test"]].map(|n| compile(&web_policy(&n)));
    let node = Node::new("lately", &one).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    let mut ask = |name: &str| assert!(agent.resolve(&format!("{name}.example.test")).contains("records 1"), "the answer passes");
    ask("ip-10-200-1-250");
    let key = fill_the_sweep(&node);
    for n in 1..150 {
        ask(&format!("ip-10-200-1-{n}"));
        ask(&format!("ip-10-200-2-{n}"));
    }
    // Some find their place taken, and in `learned` there is no room.
    let (have, full) = (node.counter("address-learned"), node.counter("learned-full"));
    assert!(have + full == 299 && full < 90, "{have} {full}");
    // Again, and there is no element of its own to add; nor for a name that stands by itself.
    ask("ip-10-200-1-1");
    assert_eq!((node.counter("address-learned"), node.counter("learned-full")), (have, full + 1));
    ask(&format!("ip-10-200-1-200.{}.{}", "a".repeat(50), "b".repeat(50)));
    assert_eq!((node.counter("address-learned"), node.counter("names-full")), (have, 1));
    assert_eq!(node.pins.map("learned").unwrap().keys().unwrap(), std::slice::from_ref(&key));
    assert!(node.pins.map("names").unwrap().keys().unwrap().is_empty());
    let reached = |agent: &mut kernel_tests::Agent, net: u8| {
        (1..150).filter(|n| agent.connect(&format!("10.200.{net}.{n}"), 80) == "connected").count()
    };
    let [first, none, other] = [1, 2, 3].map(|net| reached(&mut agent, net));
    assert!(none == 0 && other == 0, "by its own name alone: {none} {other}");
    node.apply(&two);
    let [none, second] = [1, 2].map(|net| reached(&mut agent, net));
    assert_eq!((none, first + second), (0, have as usize - 1), "judged again by its name");
    node.pins.map("learned").unwrap().remove(&key).unwrap();
    node.settled();
    let id = fqdn_load::cgroup::id(&workload).unwrap();
    let usage = Usage::read(&node.pins.map("usage").unwrap().get(&id.to_le_bytes()).unwrap().unwrap()).unwrap();
    assert_eq!(node.pins.map("learned").unwrap().keys().unwrap().len(), have as usize - 1);
    assert_eq!((usage.learned + usage.idle, usage.names), (have, 0), "the one that was removed from outside has its place still");
    assert_eq!([1, 2].map(|net| reached(&mut agent, net)), [0, second]);
}

#[test]
fn fifty_thousand_fresh_addresses() {
    let node = Node::new("cycles", &compile(&web_policy(&["**.example.test"]))).with_network();
    // Four at a time; a workload's share is 4,096 names.
    let mut lines = Vec::new();
    for round in 0..4u32 {
        let agents = [0, 1, 2, 3u32].map(|i| {
            let (how, workload) = (if i % 2 == 0 { "udp" } else { "tcp" }, node.workload(&format!("w{}", 4 * round + i)));
            node.bind(&workload, "app=web");
            let first = ((4 * round + i) * 3125).to_string();
            (how, node.start(&workload, &["cycle", "3125", "1", &first, how]))
        });
        lines.extend(agents.map(|(how, mut agent)| format!("{how}: {}", agent.line())));
    }
    let counters = fqdn_load::status::counters(&node.pins).unwrap();
    let odd: Vec<String> = counters.iter().filter(|(_, n)| n.as_u64() != Some(0)).map(|(k, n)| format!("{k} {n}")).collect();
    for line in lines {
        assert!(line.ends_with("cycles 3125 failures 0"), "{line}; {}", odd.join(", "));
    }
    assert!(node.counter("address-learned") >= 50_000);
}

/// Row 18: what one workload takes, no other misses; its own share is full, and everything it is refused is counted.
#[test]
fn a_million_names_of_one_workload_leave_the_others_alone_row_18() {
    let node = Node::new("flood", &compile(&web_policy(&["**.example.test"]))).with_network();
    let (greedy, other) = (node.workload("greedy"), node.workload("other"));
    node.bind(&greedy, "app=web");
    node.bind(&other, "app=web");
    let mut flood = node.start(&greedy, &["flood", "1000000"]);
    let mut cycle = node.start(&other, &["cycle", "4000", "1", "0", "udp"]);
    assert_eq!(cycle.line(), "cycles 4000 failures 0");
    println!("{}", flood.line());
    let full = node.counter("learned-full") + node.counter("names-full") + node.counter("learned-displaced");
    println!("gave way or not learned {full}, questions displaced {}", node.counter("query-pending-full"));
    assert!(full > 100_000);
    node.settled();
    let held = node.pins.map("learned").unwrap().keys().unwrap().len();
    assert!(held <= 2 * fqdn_image::abi::LEARNED_QUOTA as usize, "{held}");
    assert_eq!(node.counter("sweep-lost"), 0, "what gave way does not fill the sweep's queue");
    let longest = node.pins.node().unwrap().sweep_longest;
    println!("longest slice of the sweep: {} us", longest / 1000);
}

#[test]
fn i5_the_kernel_proves_it() {
    let [one, two] = policies();
    let node = Node::new("proof", &one);
    let live = node.pins.slot(0).unwrap().unwrap().1.image().unwrap();
    assert_eq!(live.digest_hex(), one.digest_hex());
    assert_eq!(node.apply(&one), swap::Applied::Unchanged);
    assert_eq!(node.apply(&two), swap::Applied::Published);
    assert_eq!(node.pins.slot(0).unwrap().unwrap().1.image().unwrap().digest_hex(), two.digest_hex());
    let map = node.pins.slot(0).unwrap().unwrap().1;
    assert!(bpfsys::update(map.fd.as_fd(), &0u32.to_le_bytes(), &[0; 64]).is_err(), "frozen");
    assert_eq!(swap::rollback(&node.pins).unwrap(), one.digest_hex());
}

/// Killed at any moment of `apply`, the next look finds the old or the new policy, whole.
#[test]
fn i3_killed_anywhere() {
    let [one, two] = policies();
    let node = Node::new("killed", &one);
    let loader = std::path::Path::new(&kernel_tests::probe()).with_file_name("fqdn-load");
    let dir = std::env::temp_dir().join(format!("fqdn-killed-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let files = [dir.join("one.img"), dir.join("two.img")];
    std::fs::write(&files[0], one.bytes()).unwrap();
    std::fs::write(&files[1], two.bytes()).unwrap();
    let pins = node.pins.dir().to_string_lossy().into_owned();
    let mut seen = [0, 0];
    for turn in 0..120u64 {
        let mut child = Command::new(&loader)
            .args(["--pins", &pins, "apply", files[(turn % 2) as usize].to_str().unwrap(), "--resolvers", "10.198.0.1"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(turn * 97 % 40_000));
        let _ = child.kill();
        child.wait().unwrap();
        let (digest, map) = node.pins.slot(0).unwrap().unwrap();
        let live = map.image().unwrap().digest_hex();
        assert_eq!(live, digest);
        seen[usize::from(live == two.digest_hex())] += 1;
    }
    node.apply(&one);
    node.apply(&two);
    println!("killed 120 times: {} times the first, {} times the second", seen[0], seen[1]);
    assert!(node.pins.images().unwrap().len() <= 2, "nothing is left behind");
    std::fs::remove_dir_all(&dir).unwrap();
}
