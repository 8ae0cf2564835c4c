//! Verdict tables and random names, put to the egress program itself by BPF_PROG_TEST_RUN.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::abi::{Learned, LearnedKey, LearnedName, Name, Record};
use fqdn_image::judge::Port;
use fqdn_image::labels::Labels;
use fqdn_image::{Image, Pattern, WireName};
use fqdn_load::bind::Told;
use fqdn_load::bpfsys;
use fqdn_load::cgroup;
use fqdnc::diagnostic::Findings;
use fqdnc::eval::{Answer, Question};
use fqdnc::source::Source;
use fqdnc::verdicts;
use kernel_tests::packet::{answer, hex, query, record, tcp, udp};
use kernel_tests::{CLIENT, Dice, Node, RESOLVER, compile, web_policy};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Loopback is a device like any other to a socket whose network namespace is not known, and a test run's is not.
const DEVICE: u32 = 1;

/// The egress program, run in a bound cgroup.
struct Egress {
    node: Node,
    program: OwnedFd,
    cgroup: PathBuf,
    home: PathBuf,
}

impl Egress {
    fn new(name: &str, image: &Image) -> Egress {
        let node = Node::new(name, image);
        let cgroup = node.workload("w");
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap().to_owned();
        let home = cgroup::mount_point().unwrap().join(own.trim_start_matches('/'));
        fs::write(cgroup.join("cgroup.procs"), "0").unwrap();
        let program = bpfsys::obj_get(&node.pins.path("programs/fqdn_egress")).unwrap();
        Egress { node, program, cgroup, home }
    }

    fn passes(&self, packet: &[u8]) -> bool {
        bpfsys::test_run(self.program.as_fd(), packet, DEVICE, 1).unwrap().verdict & 1 == 1
    }

    fn may_resolve(&self, image: &Image, name: &WireName) -> bool {
        image.dns_ports().any(|port| {
            let message = query(1, name.wire(), 1);
            [RESOLVER, "8.8.8.8"].iter().any(|server| self.passes(&udp((addr(CLIENT), 40000), (addr(server), port), &message)))
        })
    }

    fn may_reach(&self, image: &Image, address: IpAddr, port: fqdn_image::judge::Port) -> bool {
        let from: IpAddr = if address.is_ipv4() { addr(CLIENT) } else { addr("fd98::2") };
        match port.proto {
            // To a DNS port a connection may open wherever some name may be asked: what counts is what may be sent.
            6 if image.dns_ports().any(|dns| dns == port.port) => {
                self.passes(&[tcp((from, 40000), (address, port.port), 0x10), vec![0; 60]].concat())
            }
            6 => self.passes(&tcp((from, 40000), (address, port.port), 2)),
            132 => {
                let mut packet = udp((from, 40000), (address, port.port), b"");
                packet[14 + if address.is_ipv4() { 9 } else { 6 }] = 132;
                self.passes(&packet)
            }
            _ => self.passes(&udp((from, 40000), (address, port.port), &query(1, b"\x01x\0", 1))),
        }
    }

    /// As if an answer under some earlier policy had taught the address: the kernel must find the class itself.
    fn teach(&self, name: &WireName, address: IpAddr) -> (LearnedKey, u64) {
        let (cgroup, node) = (cgroup::id(&self.cgroup).unwrap(), self.node.pins.node().unwrap());
        let key = hash_name(name.wire(), node.secret, cgroup);
        let mut record = Name { until: u64::MAX, len: name.wire().len() as u32, ..Name::zeroed() };
        record.bytes[..name.wire().len()].copy_from_slice(name.wire());
        self.node.pins.map("names").unwrap().set(&key.to_le_bytes(), record.bytes()).unwrap();
        let learned = LearnedKey { cgroup, addr: mapped(address), netns: node.host_netns };
        let mut value = Learned { cgroup, addr: learned.addr, netns: learned.netns, ..Learned::zeroed() };
        value.names[0] = LearnedName { name: key, expiry: u64::MAX, ..LearnedName::zeroed() };
        self.node.pins.map("learned").unwrap().set(learned.bytes(), value.bytes()).unwrap();
        (learned, key)
    }

    fn forget(&self, (learned, key): (LearnedKey, u64)) {
        self.node.pins.map("learned").unwrap().remove(learned.bytes()).unwrap();
        self.node.pins.map("names").unwrap().remove(&key.to_le_bytes()).unwrap();
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        let _ = fs::write(self.home.join("cgroup.procs"), "0");
    }
}

/// SipHash-1-3 over a workload and the words of a name, as `ebpf/lib/name.h` has it: by it the kernel knows that a text is that of its key.
fn hash_name(name: &[u8], key: [u64; 2], owner: u64) -> u64 {
    fn round(v: &mut [u64; 4]) {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32).wrapping_add(v[3]);
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    }
    let start = [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573u64];
    let mut v = [start[0] ^ key[0], start[1] ^ key[1], start[2] ^ key[0], start[3] ^ key[1]];
    let words = name.chunks(8).map(|part| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        u64::from_le_bytes(word)
    });
    for word in std::iter::once(owner).chain(words) {
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut v));
    v.iter().fold(0, |all, part| all ^ part) | 1
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn tables(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            tables(&path, found);
        } else if path.to_string_lossy().ends_with(".verdicts.yaml") {
            found.push(path);
        }
    }
}

/// The tables of the repository, each with the image of the policies beside it.
fn tables_and_images() -> Vec<(PathBuf, Vec<verdicts::Row>, Image)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    for dir in ["policies", "golden/accept"] {
        tables(&root.join(dir), &mut paths);
    }
    paths.sort();
    let read = |path: &Path| Source::new(path.to_string_lossy(), fs::read_to_string(path).unwrap());
    let both = paths.into_iter().map(|path| {
        let mut findings = Findings::default();
        let table = verdicts::read(&read(&path), &mut findings).unwrap();
        let folder = path.parent().unwrap();
        let profile = table.profile.as_ref().map(|name| read(&folder.join(name)));
        let profile = fqdnc::load_profile(profile.as_ref(), &mut findings).unwrap();
        let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect();
        files.retain(|f| {
            f.extension().is_some_and(|e| e == "yaml")
                && !f.to_string_lossy().contains(".verdicts.")
                && !f.to_string_lossy().contains(".profile.")
        });
        files.sort();
        let sources: Vec<Source> = files.iter().map(|f| read(f)).collect();
        let compiled = fqdnc::compile(&sources, &profile, "default", &mut findings)
            .unwrap_or_else(|| panic!("{path:?}: {}", kernel_tests::errors(&findings)));
        (path, table.rows, Image::decode(compiled.bytes).unwrap())
    });
    both.collect()
}

fn bind_as_row(node: &Node, cgroup: &Path, row: &verdicts::Row) {
    let (namespace, labels) = (row.namespace.clone(), row.label_text.clone());
    let told = fqdn_load::bind::Told { path: cgroup.to_owned(), namespace, labels, ..Default::default() };
    fqdn_load::bind::bind(&node.pins, &told).unwrap();
}

fn line(path: &Path, row: &verdicts::Row, got: bool) -> String {
    format!("{}:{}: {}: kernel says {}", path.display(), row.line, row.text, if got { "allow" } else { "deny" })
}

#[test]
fn verdict_tables_hold_in_the_kernel() {
    let tables = tables_and_images();
    assert!(tables.len() >= 2, "tables are there");
    let egress = Egress::new("verdicts", &compile(&web_policy(&["a.example.test"])));
    let (mut rows, mut left_out, mut wrong) = (0, 0, Vec::new());
    for (path, table, image) in &tables {
        egress.node.apply(image);
        for row in table {
            bind_as_row(&egress.node, &egress.cgroup, row);
            let got = match &row.question {
                Question::Resolve(name) => egress.may_resolve(image, name),
                Question::ReachName(name, port) => {
                    let subjects = image.subjects_of(&row.labels);
                    let plain = ["203.0.113.77", "198.18.7.7", "192.0.2.200"].map(addr);
                    let free =
                        plain.into_iter().find(|a| image.address_sets(&subjects, u128::from_be_bytes(mapped(*a))).is_empty());
                    let Some(address) = free else {
                        left_out += 1; // the policy opens every address anyway
                        continue;
                    };
                    let taught = egress.teach(name, address);
                    let got = egress.may_reach(image, address, *port);
                    egress.forget(taught);
                    got
                }
                Question::ReachChain(..) => continue, // below, by answers
                Question::ReachAt(name, address, port) => {
                    let v6 = Ipv6Addr::from(*address);
                    let address = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
                    let taught = egress.teach(name, address);
                    let got = egress.may_reach(image, address, *port);
                    egress.forget(taught);
                    got
                }
                Question::ReachAddress(address, port) => {
                    let v6 = Ipv6Addr::from(*address);
                    egress.may_reach(image, v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4), *port)
                }
            };
            rows += 1;
            if got != row.allow {
                wrong.push(line(path, row, got));
            }
        }
    }
    println!("{rows} rows of {} tables, {left_out} left out", tables.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows > 20);
}

/// Names that an answer leads through, in the chain's order and against it: a live answer, and then a flow.
#[test]
fn chains_of_the_tables_hold_in_the_kernel() {
    let (node, mut server) = Node::new("chains", &compile(&web_policy(&["a.example.test"]))).with_responder();
    let (mut asked, mut wrong) = (0u8, Vec::new());
    for (path, table, image) in &tables_and_images() {
        let chains = table.iter().filter_map(|row| match &row.question {
            Question::ReachChain(names, port) => Some((row, names, port)),
            _ => None,
        });
        for (row, names, port) in chains {
            node.apply(image);
            for backwards in [false, true] {
                asked += 1;
                let workload = node.workload(&format!("w{asked}"));
                bind_as_row(&node, &workload, row);
                let mut agent = node.agent(&workload);
                let query = query(7, names[0].wire(), 1);
                let mut records: Vec<Vec<u8>> =
                    names.windows(2).map(|link| record(link[0].wire(), 5, 60, link[1].wire())).collect();
                records.push(record(names.last().unwrap().wire(), 1, 60, &[10, 200, 7, asked]));
                if backwards {
                    records.reverse();
                }
                assert_eq!(server.tell(&format!("patch {}", hex(&answer(&query, &records)))), "ok");
                assert!(agent.tell(&format!("ask udp {RESOLVER} {} 1", hex(&query))).starts_with("answer"), "{}", row.text);
                let address = format!("10.200.7.{asked}");
                let got = match port.proto {
                    6 => agent.connect(&address, port.port) != "EPERM", // nobody listens there
                    _ => agent.tell("udp u") == "ok" && agent.tell(&format!("send u {address} {}", port.port)) == "sent",
                };
                if got != row.allow {
                    wrong.push(line(path, row, got));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked >= 20);
}

const WORDS: &[&str] = &[
    "a",
    "b",
    "ab",
    "ba",
    "abc",
    "s3",
    "api",
    "x-y",
    "_t",
    "long-label-of-over-nineteen-bytes",
    "long-label-of-over-nineteen-bytez",
];

fn random_pattern(dice: &mut Dice) -> String {
    let mut labels = Vec::new();
    for _ in 0..1 + dice.roll(4) {
        labels.push(match dice.roll(6) {
            0 => "*".to_owned(),
            1 => format!("{}*", dice.pick(&WORDS[..8])),
            2 => format!("*{}*{}", dice.pick(&WORDS[..4]), dice.pick(&WORDS[..8])),
            _ => (*dice.pick(WORDS)).to_owned(),
        });
    }
    let text = labels.join(".");
    match dice.roll(8) {
        0 => format!("**.{text}"),
        _ => text,
    }
}

fn random_name(dice: &mut Dice) -> WireName {
    let mut labels = Vec::new();
    for _ in 0..1 + dice.roll(5) {
        let mut label = (*dice.pick(WORDS)).to_owned();
        match dice.roll(8) {
            0 => label.push_str(WORDS[dice.roll(8)]),
            1 => label = label.to_uppercase(),
            2 if dice.roll(6) == 0 => label.push_str("\\046"),
            _ => {}
        }
        labels.push(label);
    }
    WireName::parse(&labels.join(".")).unwrap()
}

/// The kernel's walk against the reference: 8 sets of 16 patterns, each half of a set a subject of its own.
#[test]
fn random_names_have_the_reference_class() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let sets: Vec<Vec<String>> = (0..8).map(|_| (0..16).map(|_| random_pattern(&mut dice)).collect()).collect();
    let policies = |patterns: &[String]| -> String {
        let halves = patterns.chunks(8).enumerate().map(|(i, half)| {
            let list: Vec<String> = half.iter().map(|p| format!("{{matchPattern: \"{p}\"}}")).collect();
            format!(
                "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p{i}}}\nspec:\n  endpointSelector: {{matchLabels: {{app: s{i}}}}}\n  egress: [{{toPorts: [{{ports: [{{port: \"53\"}}], rules: {{dns: [{}]}}}}]}}]\n",
                list.join(", ")
            )
        });
        halves.collect()
    };
    let egress = Egress::new("random", &compile(&policies(&sets[0])));
    let (mut asked, mut hits) = (0u32, 0u32);
    let start = std::time::Instant::now();
    for patterns in &sets {
        egress.node.apply(&compile(&policies(patterns)));
        for (i, half) in patterns.chunks(8).enumerate() {
            egress.node.bind(&egress.cgroup, &format!("app=s{i}"));
            let half: Vec<Pattern> = half.iter().map(|p| Pattern::parse(p).unwrap()).collect();
            for _ in 0..6_400 {
                let name = random_name(&mut dice);
                let want = half.iter().any(|p| p.matches(&name));
                let message = query(1, name.wire(), 1);
                let got = egress.passes(&udp((addr(CLIENT), 40000), (addr(RESOLVER), 53), &message));
                assert_eq!(got, want, "patterns {patterns:?}, half {i}, name {name}");
                asked += 1;
                hits += u32::from(want);
            }
        }
    }
    println!("{asked} names, {hits} matched, 0 mismatches, {:?}", start.elapsed());
    assert!(asked >= 100_000 && hits > 1_000);
}

/// What three patterns say of labels: `**.example.test`, `a*c.lit.test` and `abc.exact.test`. An octet that no pattern may
/// hold (a dot or NUL inside a label, say) is none of a wildcard's; letters have no case.
fn allowed_by_hand(labels: &[Vec<u8>]) -> bool {
    let plain = |label: &[u8]| label.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    let ends = |suffix: [&str; 2]| labels.len() > 2 && labels[labels.len() - 2..] == suffix.map(|l| l.as_bytes().to_vec());
    let first = &labels[0];
    (ends(["example", "test"]) && labels[..labels.len() - 2].iter().all(|l| plain(l)))
        || (labels.len() == 3
            && ends(["lit", "test"])
            && plain(first)
            && first.len() > 1
            && first[0] == b'a'
            && first.ends_with(b"c"))
        || (labels.len() == 3 && ends(["exact", "test"]) && first == b"abc")
}

#[test]
fn every_octet_in_every_place_of_a_query() {
    let policy = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: web}\nspec:\n  endpointSelector: {matchLabels: {app: web}}\n  egress:\n  - toPorts: [{ports: [{port: \"53\"}], rules: {dns: [{matchPattern: \"**.example.test\"}, {matchPattern: \"a*c.lit.test\"}, {matchName: abc.exact.test}]}}]\n";
    let egress = Egress::new("octets", &compile(policy));
    egress.node.bind(&egress.cgroup, "app=web");
    let (mut tried, mut passed) = (0, 0);
    for name in ["abc.exact.test", "abxc.lit.test", "x.abc.example.test"] {
        let labels: Vec<&[u8]> = name.split('.').map(str::as_bytes).collect();
        for (i, label) in labels.iter().enumerate() {
            for place in 0..label.len() {
                for octet in 0..=255u8 {
                    let mut changed: Vec<Vec<u8>> = labels.iter().map(|l| l.to_vec()).collect();
                    changed[i][place] = octet;
                    let wire: Vec<u8> = changed.iter().flat_map(|l| [&[l.len() as u8][..], l].concat()).chain([0]).collect();
                    let passes = egress.passes(&udp((addr(CLIENT), 40000), (addr(RESOLVER), 53), &query(1, &wire, 1)));
                    changed.iter_mut().for_each(|l| l.make_ascii_lowercase());
                    assert_eq!(passes, allowed_by_hand(&changed), "{name}: octet {octet} in label {i} at {place}");
                    tried += 1;
                    passed += usize::from(passes);
                }
            }
        }
    }
    println!("{tried} names, {passed} of them allowed");
    assert!(passed > 300 && tried > 5 * passed);
}

/// Prefixes that cover each other, and the groups.
const PLACES: &[&str] = &[
    "toCIDR: [0.0.0.0/0]",
    "toCIDR: [\"::/0\"]",
    "toCIDR: [128.0.0.0/1, 203.0.113.0/24]",
    "toCIDR: [203.0.113.9/32, \"2001:db8::/32\"]",
    "toCIDRSet: [{cidr: 198.51.0.0/16, except: [198.51.100.0/24]}, {cidr: 198.51.100.7/32}]",
    "toEntities: [all]",
    "toEntities: [world]",
];
const AT: &[&str] =
    &["198.51.100.7", "198.51.100.8", "198.51.7.7", "203.0.113.9", "203.0.113.10", "11.7.7.7", "2001:db8::7", "2001:db9::7"];

fn random_ports(dice: &mut Dice) -> String {
    match dice.roll(3) {
        0 => String::new(),
        1 => format!(", toPorts: [{{ports: [{{port: \"{}\", protocol: TCP}}]}}]", 1000 + dice.roll(4)),
        _ => format!(", toPorts: [{{ports: [{{port: \"{}\", endPort: 1003}}]}}]", 1000 + dice.roll(4)),
    }
}

/// A policy for the workloads `app=s<app>`: names, addresses, entities and denials together.
fn random_policy(dice: &mut Dice, app: usize, number: usize) -> String {
    let (mut allow, mut deny) = (Vec::new(), Vec::new());
    for _ in 0..1 + dice.roll(3) {
        let names: Vec<String> =
            (0..1 + dice.roll(3)).map(|_| format!("{{matchPattern: \"{}\"}}", random_pattern(dice))).collect();
        match dice.roll(5) {
            0 => allow.push(format!("{{toPorts: [{{ports: [{{port: \"53\"}}], rules: {{dns: [{}]}}}}]}}", names.join(", "))),
            1 | 2 => allow.push(format!("{{toFQDNs: [{}]{}}}", names.join(", "), random_ports(dice))),
            3 => allow.push(format!("{{{}{}}}", dice.pick(PLACES), random_ports(dice))),
            _ => deny.push(format!("{{{}{}}}", dice.pick(PLACES), random_ports(dice))),
        }
    }
    let default = if dice.roll(6) == 0 { "\n  enableDefaultDeny: {egress: false}" } else { "" };
    format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p{number}, namespace: ns}}\nspec:\n  endpointSelector: {{matchLabels: {{app: s{app}}}}}{default}\n  egress: [{}]\n  egressDeny: [{}]\n",
        allow.join(", "),
        deny.join(", ")
    )
}

/// Random policies, put to the reference and to the kernel: may this name be asked, may this address be reached, may it when it
/// is one of this name's. `QUESTIONS` of them, 40,000 if it is not set.
#[test]
fn random_policies_have_the_reference_verdict() {
    let questions = std::env::var("QUESTIONS").ok().map_or(40_000, |text| text.parse::<u64>().unwrap());
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let egress = Egress::new("policies", &compile(&web_policy(&["a.example.test"])));
    let profile = fqdnc::load_profile(None, &mut Findings::default()).unwrap();
    let (mut asked, mut allowed, mut policies) = (0, 0, 0);
    while asked < questions {
        let mut text = String::new();
        for app in 0..3 {
            for number in 0..1 + dice.roll(3) {
                text.push_str(&random_policy(&mut dice, app, app * 10 + number));
                policies += 1;
            }
        }
        let mut findings = Findings::default();
        let compiled = fqdnc::compile(&[Source::new("random", text.as_str())], &profile, "ns", &mut findings);
        let compiled = compiled.unwrap_or_else(|| panic!("{text}{}", kernel_tests::errors(&findings)));
        let image = Image::decode(compiled.bytes).unwrap();
        egress.node.apply(&image);
        for app in 0..3 {
            let labels = format!("app=s{app}");
            let told = Told { path: egress.cgroup.clone(), namespace: "ns".into(), labels: labels.clone(), ..Told::default() };
            fqdn_load::bind::bind(&egress.node.pins, &told).unwrap();
            let labels = Labels::parse(&labels, "ns").unwrap();
            for _ in 0..400 {
                let (name, place) = (random_name(&mut dice), addr(dice.pick::<&str>(AT)));
                let at = u128::from_be_bytes(mapped(place));
                let port = Port { proto: if dice.roll(4) == 0 { 17 } else { 6 }, port: 1000 + dice.roll(5) as u16 };
                let (question, got) = match dice.roll(3) {
                    0 => (Question::Resolve(name.clone()), egress.may_resolve(&image, &name)),
                    1 => (Question::ReachAddress(at, port), egress.may_reach(&image, place, port)),
                    _ => {
                        let taught = egress.teach(&name, place);
                        let got = egress.may_reach(&image, place, port);
                        egress.forget(taught);
                        (Question::ReachAt(name.clone(), at, port), got)
                    }
                };
                let mut want = compiled.rules.answer(&labels, &question).0 == Answer::Allow;
                // The reference does not know which servers a node has; a denial of this one counts there.
                let server = u128::from_be_bytes(mapped(addr(RESOLVER)));
                if matches!(question, Question::Resolve(_)) {
                    want &= !compiled.rules.is_denied(&labels, server, Port { proto: 17, port: 53 });
                }
                assert_eq!(got, want, "{question:?} of app=s{app}\n{text}");
                asked += 1;
                allowed += u64::from(got);
            }
        }
    }
    println!("{asked} questions of {policies} policies, {allowed} allowed, 0 disagreements");
    assert!(allowed > asked / 10 && allowed < asked * 9 / 10);
}
