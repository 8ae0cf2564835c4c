//! What one packet may cost, by the kernel's own clock, beside a copy of its bytes. FQDN_DEAREST = a file of lines of hex adds
//! answers that a search has found (`make dearest`).
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_load::bpfsys;
use kernel_tests::packet::{answer, hex, query, record};
use kernel_tests::{Agent, Node, RESOLVER, compile, web_policy, wire};
use std::os::fd::AsFd;

const A: u16 = 1;
const CNAME: u16 = 5;
const NULL: u16 = 10;
/// A pointer to the question's name.
const ASKED: [u8; 2] = [0xc0, 12];
const V4: [u8; 4] = [10, 200, 1, 1];
/// A message, or the answers of one connection, may take as long as so many times 4,090 records of the root, which are read and no
/// more; beside that each address that is learned. Without budgets 40 answers took 50, and 2,000 empty ones 70.
const MOST: f64 = 12.0;
const MOST_EMPTY: f64 = 45.0;
const AN_ADDRESS: f64 = 0.05;
/// And each question that one segment holds, in its sender's own time.
const A_QUESTION: f64 = 0.04;
const ROUNDS: usize = 8;

/// What the time of all others is a multiple of.
const UNIT: &str = "4,090 records of the root";

/// Answers to as many questions, which one segment completes, or one datagram holds.
struct Shape {
    what: String,
    questions: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
}

fn asked(id: u16) -> Vec<u8> {
    query(id, &wire("www.example.test"), A)
}

fn one(what: &str, records: &[Vec<u8>]) -> Shape {
    let question = asked(0);
    Shape { what: what.into(), answers: vec![answer(&question, records)], questions: vec![question] }
}

/// `records` of the answer to question `i` of `n`.
fn several(what: &str, n: u16, records: impl Fn(u16) -> Vec<Vec<u8>>) -> Shape {
    let questions: Vec<Vec<u8>> = (0..n).map(asked).collect();
    let answers = questions.iter().zip(0..n).map(|(question, i)| answer(question, &records(i))).collect();
    Shape { what: what.into(), questions, answers }
}

fn pointer(at: usize) -> [u8; 2] {
    (0xc000 | at as u16).to_be_bytes()
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat()).collect()
}

fn address(i: usize) -> [u8; 4] {
    [10, 202, (i >> 8) as u8, i as u8]
}

fn shapes() -> Vec<Shape> {
    let at = asked(0).len();
    let long = wire(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(60)].join("."));
    let labels = wire(&vec!["x"; 127].join("."));
    let many = |one: &[u8], n: usize| vec![one.to_vec(); n];
    // Each name leads by a pointer to the one before, as far as pointers reach.
    let mut ladder = vec![record(&ASKED, CNAME, 60, &pointer(12))];
    for i in 0..1100 {
        ladder.push(record(&pointer(at + 14 * i), CNAME, 60, &pointer(at + 14 * i)));
    }
    let to_lead = |n: usize| {
        let lead = record(&ASKED, NULL, 60, &labels);
        [vec![lead], many(&record(&pointer(at + 12), CNAME, 60, &pointer(at + 12)), n)].concat()
    };
    let addresses = |n: usize, from: usize| (from..from + n).map(|i| record(&ASKED, A, 60, &address(i))).collect::<Vec<_>>();
    vec![
        one(UNIT, &many(&record(&[0], NULL, 60, b""), 4090)),
        one("4,000 addresses", &many(&record(&ASKED, A, 60, &V4), 4000)),
        one("512 addresses, all others", &addresses(512, 0)),
        one("4,090 records of another name", &many(&record(b"\x01x\0", NULL, 60, b""), 4090)),
        one("a ladder of 1,100 pointers", &ladder),
        one("3,900 CNAMEs of a name of 127 labels", &to_lead(3900)),
        one("240 CNAMEs in full", &many(&record(&long, CNAME, 60, &long), 120)),
        one(
            "60 links backwards",
            &(0..60u8).rev().map(|i| record(&[1, i + 33, 0], CNAME, 60, &[1, i + 34, 0])).collect::<Vec<_>>(),
        ),
        one("64 links of long names in disorder", &many(&record(&long, CNAME, 60, &ASKED), 64)),
        several("40 answers with 50 CNAMEs of 127 labels", 40, |_| to_lead(50)),
        several("8 answers of 500 addresses", 8, |i| addresses(500, 500 * usize::from(i))),
        several("250 answers of 15 addresses", 250, |i| addresses(15, 15 * usize::from(i))),
        several("2,000 empty answers", 2000, |_| vec![]),
    ]
}

/// What a search found: `steps hex` a line. Each repeats its own question.
fn found() -> Vec<Shape> {
    let Ok(path) = std::env::var("FQDN_DEAREST") else { return Vec::new() };
    let text = std::fs::read_to_string(path).unwrap();
    let bytes =
        |hex: &str| (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect::<Vec<_>>();
    text.lines()
        .map(|line| {
            let (steps, hex) = line.split_once(' ').unwrap();
            let answer = bytes(hex);
            let end = 12 + answer[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
            let mut question = answer[..end].to_vec();
            question[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            Shape { what: format!("found, {steps} steps"), questions: vec![question], answers: vec![answer] }
        })
        .collect()
}

/// Any name may be asked and reached.
fn ask_anything() -> String {
    web_policy(&["*"]).replace("**.example.test", "*")
}

struct Clock<'a>(&'a Node, Agent, Agent);

impl Clock<'_> {
    fn ran(&self, program: &str) -> (u64, u64) {
        let program = bpfsys::obj_get(&self.0.pins.path("programs").join(program)).unwrap();
        bpfsys::run_time(program.as_fd()).unwrap()
    }

    /// Nanoseconds of the program that sees what comes, and packets that it saw; of the one that sees what is sent.
    fn time(&mut self, how: &str, shape: &Shape, answers: &[Vec<u8>]) -> [u64; 3] {
        let Clock(_, agent, server) = self;
        let reply: Vec<String> = answers.iter().map(|message| hex(message)).collect();
        assert_eq!(server.tell(&format!("once as-is {}", reply.join(" "))), "ok");
        if how == "tcp" {
            assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
        }
        let (sent, came) = (self.ran("fqdn_egress"), self.ran("fqdn_ingress"));
        let agent = &mut self.1;
        if how == "tcp" {
            assert_eq!(agent.tell(&format!("tcp-send {}", hex(&framed(&shape.questions)))), "sent");
            agent.tell(&format!("tcp-read {}", answers.len()));
        } else {
            agent.tell(&format!("ask udp {RESOLVER} {} 1", hex(&shape.questions[0])));
        }
        let (asked, heard) = (self.ran("fqdn_egress"), self.ran("fqdn_ingress"));
        [heard.0 - came.0, heard.1 - came.1, asked.0 - sent.0]
    }
}

#[test]
fn no_answer_is_dear_row_40() {
    let (node, server) = Node::new("dear", &compile(&ask_anything())).with_responder();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let agent = node.agent(&workload);
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", "1").unwrap();
    let mut clock = Clock(&node, agent, server);
    let (mut dear, mut unit) = (Vec::new(), f64::INFINITY);
    for shape in shapes().into_iter().chain(found()) {
        let copies: Vec<Vec<u8>> = shape.answers.iter().map(|m| [&m[..2], &[m[2] & 0x7f], &m[3..]].concat()).collect();
        for how in if shape.questions.len() > 1 { &["tcp"][..] } else { &["udp", "tcp"] } {
            let mut runs = Vec::new();
            for _ in 0..ROUNDS {
                node.forget();
                runs.push([&shape.answers, &shape.answers, &copies].map(|answers| clock.time(how, &shape, answers)));
            }
            // Of each the least: what is more came from the machine.
            let [fresh, again, copied] = [0, 1, 2].map(|which| runs.iter().map(|run| run[which]).min().unwrap());
            let octets: usize = shape.answers.iter().map(Vec::len).sum();
            println!(
                "{:4} us, again {:4}, as a copy {:4}, in {} packets; asked {:4}: {}, {octets} octets by {how}",
                fresh[0] / 1000,
                again[0] / 1000,
                copied[0] / 1000,
                fresh[1],
                fresh[2] / 1000,
                shape.what
            );
            if shape.what == UNIT && how == &"udp" {
                unit = fresh[0] as f64;
            }
            // Of the hand-made shapes those that are about addresses hold nothing else.
            let all: usize = shape.answers.iter().map(|m| usize::from(u16::from_be_bytes([m[6], m[7]])).min(512)).sum();
            let addresses = if shape.what.contains("address") || shape.what.starts_with("found") { all } else { 0 };
            let most = if shape.answers.len() > 1000 { MOST_EMPTY } else { MOST };
            let longest = fresh[0].max(again[0]);
            if longest as f64 > unit * (most + AN_ADDRESS * addresses as f64) {
                dear.push(format!("{} by {how}: {} us", shape.what, longest / 1000));
            }
            if fresh[2] as f64 > unit * (MOST + A_QUESTION * shape.questions.len() as f64) {
                dear.push(format!("{} by {how}: asked in {} us", shape.what, fresh[2] / 1000));
            }
        }
    }
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", "0").unwrap();
    assert!(dear.is_empty(), "{dear:?}");
}

/// Answers that one segment completes share what a packet may teach.
#[test]
fn a_segment_teaches_512_addresses_row_40() {
    let (node, mut server) = Node::new("segment", &compile(&ask_anything())).with_responder();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    let addresses = |from: usize| (from..from + 300).map(|i| record(&ASKED, A, 60, &address(i))).collect::<Vec<_>>();
    let both = [asked(1), asked(2)];
    let answers = [answer(&both[0], &addresses(0)), answer(&both[1], &addresses(300))];
    assert_eq!(agent.tell(&format!("tcp-open {RESOLVER}")), "open");
    // A young connection sends it as two segments, each of which teaches all of its message.
    let teaches = (0..8).map(|_| {
        node.forget();
        assert_eq!(server.tell(&format!("once as-is {} {}", hex(&answers[0]), hex(&answers[1]))), "ok");
        assert_eq!(agent.tell(&format!("tcp-send {}", hex(&framed(&both)))), "sent");
        assert_eq!(agent.tell("tcp-read 2"), "1:0:300 2:0:300");
        node.pins.map("learned").unwrap().keys().unwrap().len()
    });
    assert_eq!(teaches.min(), Some(512));
}
