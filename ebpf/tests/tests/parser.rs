//! The parser against others: natively and in the kernel it must say the same, and no message may teach what an
//! independent parser (hickory-proto) does not find in it.
//!
//! FQDN_CORPUS = a file of lines `name<TAB>hex` adds messages that nobody here wrote.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use aya::EbpfLoader;
use aya::programs::SchedClassifier;
use fqdn_load::bpfsys;
use fqdn_load::pins::Pins;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use kernel_tests::packet::{answer, query, record};
use kernel_tests::{Dice, sh, wire};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn name(dice: &mut Dice) -> Vec<u8> {
    let labels: Vec<String> = (0..1 + dice.roll(5)).map(|_| "abcdefgh"[..1 + dice.roll(8)].repeat(1 + dice.roll(7))).collect();
    wire(&labels.join("."))
}

/// An honest answer: chains, addresses, other records, OPT, compression.
fn honest(dice: &mut Dice) -> Vec<u8> {
    let v6 = dice.roll(3) == 0;
    let kind = if v6 { 28 } else { 1 };
    let asked = query(dice.roll(65_536) as u16, &name(dice), kind);
    let disorder = dice.roll(3) == 0; // and then no pointers but to the question
    let mut records: Vec<Vec<u8>> = Vec::new();
    let (mut owner, mut at) = (vec![0xc0, 12], answer(&asked, &[]).len());
    for _ in 0..dice.roll(4) {
        let target = name(dice);
        records.push(record(&owner, 5, dice.roll(90_000) as u32, &target));
        at += records.last().unwrap().len();
        let there = at - target.len();
        let points = !disorder && there < 0x4000 && dice.roll(2) == 0;
        owner = if points { (0xc000 | there as u16).to_be_bytes().to_vec() } else { target };
    }
    let most = if dice.roll(10) == 0 { 60 } else { 6 };
    for _ in 0..1 + dice.roll(most) {
        let address: Vec<u8> = (0..if v6 { 16 } else { 4 }).map(|_| 1 + dice.roll(200) as u8).collect();
        records.push(record(&owner, kind, dice.roll(90_000) as u32, &address));
    }
    for i in (1..records.len()).rev().filter(|_| disorder) {
        records.swap(i, dice.roll(i + 1));
    }
    let mut message = answer(&asked, &records);
    if dice.roll(2) == 0 {
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        message[11] = 1;
    }
    message
}

fn mutated(dice: &mut Dice, mut message: Vec<u8>) -> Vec<u8> {
    for _ in 0..1 + dice.roll(3) {
        let at = dice.roll(message.len().max(1));
        match dice.roll(6) {
            0 if !message.is_empty() => message[at] = dice.roll(256) as u8,
            1 if !message.is_empty() => message[at] ^= 1 << dice.roll(8),
            2 => message.truncate(at),
            3 => message.insert(at, [0, 0xc0, 0x3f, 0x40, 0xff, b'.'][dice.roll(6)]),
            4 if message.len() > 12 => {
                let at = 4 + dice.roll(8);
                message[at] = dice.roll(4) as u8;
            }
            _ => message.extend(vec![dice.roll(256) as u8; dice.roll(4)]),
        }
    }
    message
}

fn messages(n: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let good: Vec<Vec<u8>> = (0..n).map(|_| honest(&mut dice)).collect();
    let mut bad: Vec<Vec<u8>> =
        good.iter().flat_map(|m| (0..3).map(|_| m.clone()).collect::<Vec<_>>()).map(|m| mutated(&mut dice, m)).collect();
    if let Ok(path) = std::env::var("FQDN_CORPUS") {
        let text = std::fs::read_to_string(path).unwrap();
        let found = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split('\t').nth(1));
        bad.extend(
            found.map(|hex| (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()),
        );
    }
    (good, bad)
}

struct Native {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    path: PathBuf,
}

/// What the parser says: reason, addresses found, seconds added up, length of the name, print; and the addresses.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    numbers: [u64; 5],
    addresses: Vec<String>,
}

impl Native {
    fn new() -> Option<Native> {
        let path = std::env::temp_dir().join(format!("fqdn-native-{}", std::process::id()));
        let build = concat!(env!("CARGO_MANIFEST_DIR"), "/../native/build.sh");
        let built = Command::new(build).arg(&path).status().unwrap();
        if built.code() == Some(3) {
            return None;
        }
        assert!(built.success(), "the parser compiles for user space");
        let mut child = Command::new(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Some(Native { child, said, path })
    }

    /// `kind`: 0 = an answer, 1 = a query.
    fn parse(&mut self, kind: u8, message: &[u8]) -> Parsed {
        let hex: String = std::iter::once(&kind).chain(message).map(|b| format!("{b:02x}")).collect();
        writeln!(self.child.stdin.as_mut().unwrap(), "{hex}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace();
        let mut next = |radix| u64::from_str_radix(words.next().expect("the native parser lives"), radix).unwrap();
        let numbers = [next(10), next(10), next(10), next(10), next(16)];
        Parsed { numbers, addresses: words.map(str::to_owned).collect() }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

const PINS: &str = "/sys/fs/bpf/fqdn-t-parse";

struct Kernel {
    program: std::os::fd::OwnedFd,
    pins: Pins,
    _ebpf: aya::Ebpf,
}

impl Kernel {
    fn new() -> Kernel {
        let _ = std::fs::remove_dir_all(PINS);
        std::fs::create_dir_all(PINS).unwrap();
        let object = std::env::temp_dir().join(format!("fqdn-parse-{}.o", std::process::id()));
        let ebpf = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        sh(&format!(
            "cd {ebpf} && clang-19 -O2 -g -target bpf -mcpu=v3 -Wno-unused-function -Iinclude -I. -c tests/parse.bpf.c -o {}",
            object.display()
        ));
        let bytes = std::fs::read(&object).unwrap();
        std::fs::remove_file(&object).unwrap();
        let cpus = fqdn_load::pins::possible_cpus() as u32;
        let mut ebpf =
            EbpfLoader::new().default_map_pin_directory(PINS).map_max_entries("scratch", 4 * cpus).load(&bytes).unwrap();
        let program: &mut SchedClassifier = ebpf.program_mut("parse_message").unwrap().try_into().unwrap();
        program.load().unwrap();
        program.pin(format!("{PINS}/parse_message")).unwrap();
        let program = bpfsys::obj_get(Path::new(&format!("{PINS}/parse_message"))).unwrap();
        Kernel { program, pins: Pins::new(Path::new(PINS)), _ebpf: ebpf }
    }

    fn parse(&self, kind: u8, message: &[u8]) -> [u64; 5] {
        let packet = [&[0; 14][..], &[kind], message].concat();
        bpfsys::test_run(self.program.as_fd(), &packet, 0, 1).unwrap();
        let out = self.pins.map("parse_result").unwrap().get(&0u32.to_le_bytes()).unwrap().unwrap();
        let word = |i: usize| u64::from(u32::from_le_bytes(out[i..i + 4].try_into().unwrap()));
        [word(0), word(4), word(8), word(12), u64::from_le_bytes(out[16..24].try_into().unwrap())]
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(PINS);
    }
}

#[test]
fn natively_and_in_the_kernel_the_same() {
    let Some(mut native) = Native::new() else {
        kernel_tests::not_run!(
            "the native parser needs clang-19 with its sanitizers (apt-get install clang-19 libclang-rt-19-dev)"
        );
        return;
    };
    let kernel = Kernel::new();
    let (good, bad) = messages(20_000);
    let mut tried = 0u32;
    let mut parsed = 0u32;
    // A test run takes no packet of a page and more, and none shorter than its header.
    for message in good.iter().chain(&bad).filter(|m| m.len() < 3_300 && !m.is_empty()) {
        for kind in [0, 1] {
            let natively = native.parse(kind, message).numbers;
            assert_eq!(natively, kernel.parse(kind, message), "kind {kind}: {message:02x?}");
            tried += 1;
            parsed += u32::from(natively[0] == 0);
        }
    }
    println!("{tried} messages, {parsed} understood, 0 differences");
    assert!(parsed > 20_000);
}

/// The message with every record of a type or class that we only skip made a NULL record: whose data is whatever it is.
fn without_others(message: &[u8]) -> Option<Vec<u8>> {
    let mut out = message.to_vec();
    let word = |at: usize| message.get(at..at + 2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
    let skip = |mut at: usize| loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    };
    let mut at = skip(12)? + 4;
    for _ in 0..word(6)? + word(8)? + word(10)? {
        at = skip(at)?;
        if ![1, 5, 28, 41].contains(&word(at)?) || (word(at)? != 41 && word(at + 2)? != 1) {
            out[at..at + 2].copy_from_slice(&10u16.to_be_bytes());
        }
        at += 10 + word(at + 8)?;
    }
    Some(out)
}

/// What a strict reader finds: addresses of the question's chain, in the answer section, in order.
fn strict(bytes: &[u8]) -> Option<Vec<String>> {
    let message = Message::from_vec(bytes).ok()?;
    let [asked] = message.queries() else { return None };
    if message.message_type() != MessageType::Response
        || message.op_code() != OpCode::Query
        || message.response_code() != ResponseCode::NoError
        || asked.query_class() != DNSClass::IN
    {
        return None;
    }
    let inside = || message.answers().iter().filter(|record| record.dns_class() == DNSClass::IN);
    // From the question along the CNAMEs, in whatever order they stand: one for each owner, and none leads back.
    let mut owner: Name = asked.name().to_lowercase();
    let mut met = vec![owner.clone()];
    loop {
        let mut targets: Vec<Name> = inside()
            .filter(|record| record.name().to_lowercase() == owner)
            .filter_map(|record| if let RData::CNAME(target) = record.data() { Some(target.0.to_lowercase()) } else { None })
            .collect();
        targets.dedup();
        match targets.as_slice() {
            [] => break,
            [target] if !met.contains(target) => owner = target.clone(),
            _ => return Some(Vec::new()),
        }
        met.push(owner.clone());
    }
    let mut found = Vec::new();
    for record in inside().filter(|record| record.name().to_lowercase() == owner) {
        let wanted = |kind| asked.query_type() == kind || asked.query_type() == RecordType::ANY;
        match record.data() {
            RData::A(a) if wanted(RecordType::A) => found.push(a.octets().iter().map(|b| format!("{b:02x}")).collect()),
            RData::AAAA(a) if wanted(RecordType::AAAA) => found.push(a.octets().iter().map(|b| format!("{b:02x}")).collect()),
            _ => {}
        }
    }
    Some(found)
}

#[test]
fn no_address_that_a_strict_parser_does_not_give() {
    let Some(mut native) = Native::new() else {
        kernel_tests::not_run!(
            "the native parser needs clang-19 with its sanitizers (apt-get install clang-19 libclang-rt-19-dev)"
        );
        return;
    };
    let (good, bad) = messages(100_000);
    let (mut valid, mut learned, mut missed, mut others) = (0u64, 0u64, 0u64, 0u64);
    for (i, message) in good.iter().chain(&bad).enumerate() {
        let ours = native.parse(0, message);
        let mut theirs = strict(message);
        if theirs.is_none() && !ours.addresses.is_empty() {
            // It may have refused the data of a record that leads nowhere.
            theirs = without_others(message).and_then(|message| strict(&message));
            others += 1;
        }
        for address in &ours.addresses {
            assert!(theirs.as_ref().is_some_and(|list| list.contains(address)), "{address} of {message:02x?}: {theirs:?}");
        }
        if i < good.len() {
            let theirs = theirs.expect("an honest answer");
            valid += theirs.len() as u64;
            learned += ours.addresses.len() as u64;
        } else if let Some(theirs) = theirs {
            missed += u64::from(!theirs.is_empty() && ours.addresses.is_empty());
        }
    }
    println!(
        "{} honest answers: {learned} of {valid} addresses learned; {} damaged ones: 0 too many ({others} with bad data in a record that is skipped), {missed} not learned that a lenient reader takes",
        good.len(),
        bad.len()
    );
    assert!(learned * 1000 >= valid * 999);
}
