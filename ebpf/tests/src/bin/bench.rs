//! Figures of the README: the walk in the kernel beside an LPM trie, fill, memory, compile and publish times.
//! Usage: bench OBJECT FQDNC [SIZE...]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use aya::EbpfLoader;
use aya::programs::SchedClassifier;
use fqdn_image::{Image, Pattern, WireName};
use fqdn_load::bpfsys;
use fqdn_load::pins::Pins;
use fqdn_load::swap;
use kernel_tests::Node;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

#[path = "../../../../compiler/benches/repository.rs"]
mod repository;

const PINS: &str = "/sys/fs/bpf/fqdn-bench";

/// Names to ask: half from patterns, half not.
fn names(patterns: &[String], n: usize) -> Vec<WireName> {
    let mut dice = repository::Dice(0x0fed_cba9_8765_4321);
    (0..n)
        .map(|_| {
            let pattern = &patterns[dice.roll(patterns.len() as u64) as usize];
            let mut text = pattern.replace("*.", "w7.").replace('*', "x9");
            if dice.roll(2) == 0 {
                text = text.replacen("org", "orq", 1);
            }
            WireName::parse(&text).unwrap()
        })
        .collect()
}

fn peak_children() -> i64 {
    // SAFETY: rusage is plain data and is written by the call.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    usage.ru_maxrss / 1024
}

/// Nanoseconds a run, the least of five repetitions.
fn measure(program: &OwnedFd, pins: &Pins, names: u32, runs: u32) -> (u32, u64) {
    let packet = kernel_tests::packet::udp(("192.0.2.1".parse().unwrap(), 1), ("192.0.2.2".parse().unwrap(), 2), b"x");
    let state = pins.map("bench_state").unwrap();
    let mut best = u32::MAX;
    let mut hits = 0;
    for _ in 0..5 {
        let mut value = [0u8; 16];
        value[4..8].copy_from_slice(&names.to_le_bytes());
        state.set(&0u32.to_le_bytes(), &value).unwrap();
        best = best.min(bpfsys::test_run(program.as_fd(), &packet, 0, runs).unwrap().nanoseconds);
        let after = state.get(&0u32.to_le_bytes()).unwrap().unwrap();
        hits = u64::from_le_bytes(after[8..16].try_into().unwrap());
    }
    (best, hits)
}

fn fill_names(pins: &Pins, names: &[WireName]) {
    let mut bytes = vec![0u8; names.len() * 64];
    for (room, name) in bytes.chunks_mut(64).zip(names) {
        room[..name.wire().len()].copy_from_slice(name.wire());
    }
    let map = pins.map("bench_names").unwrap();
    bpfsys::fill(map.fd.as_fd(), &bytes).unwrap();
}

/// Reversed names without the root: what the trie of the talk holds; wildcards inside a name it cannot hold.
fn lpm_rows(patterns: &[String]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for (i, text) in patterns.iter().enumerate() {
        let (suffix, extra) = text.strip_prefix("*.").map_or((text.as_str(), 0), |s| (s, 1));
        if suffix.contains('*') {
            continue;
        }
        let name = WireName::parse(suffix).unwrap();
        let mut wire = name.wire().to_vec();
        wire.pop();
        wire.reverse();
        let mut key = (wire.len() as u32 * 8).to_le_bytes().to_vec();
        key.extend(&wire);
        key.resize(260, 0);
        let mut value = (i as u32 + 1).to_le_bytes().to_vec();
        value.extend((name.labels().len() as u32 + extra).to_le_bytes());
        rows.push((key, value));
    }
    rows.sort();
    rows.dedup_by(|a, b| a.0 == b.0);
    rows
}

fn memory(pid_fd: &OwnedFd) -> u64 {
    use std::os::fd::AsRawFd;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pid_fd.as_raw_fd())).unwrap();
    text.lines().find_map(|l| l.strip_prefix("memlock:")).and_then(|v| v.trim().parse().ok()).unwrap_or(0)
}

fn quantile(times: &mut [f64], q: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * q).round() as usize]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (object, fqdnc) = (fs::read(&arguments[0]).unwrap(), &arguments[1]);
    let sizes: Vec<usize> = arguments[2..].iter().map(|s| s.parse().unwrap()).collect();
    let sizes = match sizes.as_slice() {
        [] if repository::moment() => vec![1_000],
        [] => vec![1_000, 100_000, 1_000_000],
        _ => sizes,
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).map_or("?", |l| l.trim_start_matches(['\t', ' ', ':']));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    println!("machine: {model}, {} CPUs, Linux {}", fqdn_load::pins::possible_cpus(), release.trim());
    for size in sizes {
        bench(size, &object, fqdnc);
    }
}

fn bench(size: usize, object: &[u8], fqdnc: &str) {
    let dir = std::env::temp_dir().join(format!("fqdn-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let patterns = repository::patterns(size);
    repository::write(&repository::texts(&patterns, 50), &dir);
    let path = dir.join("bench.img");
    let start = Instant::now();
    let run = Command::new(fqdnc).args(["compile"]).arg(&dir).arg("-o").arg(&path).output().unwrap();
    let compile = start.elapsed().as_secs_f64();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr).chars().take(400).collect::<String>());
    let image = Image::decode(fs::read(&path).unwrap()).unwrap();
    let _ = fs::remove_dir_all(&dir);
    let automaton: u64 = image.sections().iter().take(4).map(|(_, _, n, size)| u64::from(*n) * *size as u64).sum();
    println!("\n{size} patterns");
    println!("  compile (YAML to image)      {compile:.2} s, peak {} MiB", peak_children());
    println!(
        "  image                        {:.1} MB, automaton {:.1} bytes a pattern",
        image.bytes().len() as f64 / 1e6,
        automaton as f64 / f64::from(image.texts.patterns)
    );

    let asked = names(&patterns, if size < 10_000 { 10_000 } else { size });
    check_against_reference(&image, &patterns, &asked);
    let _ = fs::remove_dir_all(PINS);
    fs::create_dir_all(PINS).unwrap();
    let rows = lpm_rows(&patterns);
    let mut ebpf = EbpfLoader::new()
        .default_map_pin_directory(PINS)
        .map_max_entries("bench_names", asked.len() as u32)
        .map_max_entries("bench_lpm", rows.len() as u32)
        .load(object)
        .unwrap();
    let mut programs = Vec::new();
    for name in ["bench_null", "bench_walk", "bench_lpm_lookup"] {
        let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
        program.load().unwrap();
        program.pin(format!("{PINS}/{name}")).unwrap();
        programs.push(bpfsys::obj_get(Path::new(&format!("{PINS}/{name}"))).unwrap());
    }
    let pins = Pins::new(Path::new(PINS));
    fs::create_dir_all(format!("{PINS}/images")).unwrap();
    let start = Instant::now();
    let staged = swap::stage(&pins, &image).unwrap();
    let stage = start.elapsed().as_secs_f64() * 1e3;
    swap::publish(&pins, &staged, None).unwrap();
    let lpm = pins.map("bench_lpm").unwrap();
    let start = Instant::now();
    for chunk in rows.chunks(10_000) {
        let keys: Vec<u8> = chunk.iter().flat_map(|(k, _)| k.iter().copied()).collect();
        let values: Vec<u8> = chunk.iter().flat_map(|(_, v)| v.iter().copied()).collect();
        bpfsys::update_batch(lpm.fd.as_fd(), &keys, &values, chunk.len()).unwrap();
    }
    let lpm_fill = start.elapsed().as_secs_f64() * 1e3;
    println!("  fill: image {stage:.1} ms (create, copy, freeze, read back), LPM trie {lpm_fill:.0} ms (sorted, in batches)");
    println!(
        "  memory: image {:.1} MB, LPM trie {:.1} MB (as the kernel counts it, {} entries)",
        image.bytes().len() as f64 / 1e6,
        memory(&lpm.fd) as f64 / 1e6,
        rows.len()
    );

    let hit = WireName::parse(&patterns[0]).unwrap();
    let miss = WireName::parse(&patterns[0].replace("org", "orq")).unwrap();
    for (what, list) in [("hot hit", vec![hit]), ("hot miss", vec![miss]), ("cold mix", asked)] {
        fill_names(&pins, &list);
        let runs = if list.len() == 1 { if repository::moment() { 2_000 } else { 200_000 } } else { list.len() as u32 };
        let figures: Vec<(u32, u64)> = programs.iter().map(|p| measure(p, &pins, list.len() as u32, runs)).collect();
        let net = |i: usize| f64::from(figures[i].0.saturating_sub(figures[0].0).max(1));
        println!(
            "  {what:<9} null {:>4} ns  walk {:>5} ns  lpm {:>5} ns   net of preparation: walk {:>5.0} ns, lpm {:>5.0} ns, {:.1}x   (hits {} / {})",
            figures[0].0,
            figures[1].0,
            figures[2].0,
            net(1),
            net(2),
            net(2) / net(1),
            figures[1].1,
            figures[2].1
        );
    }
    drop(programs);
    drop(ebpf);
    let _ = fs::remove_dir_all(PINS);
    publish(&image);
}

/// The image against the reference on names of this very table.
fn check_against_reference(image: &Image, patterns: &[String], asked: &[WireName]) {
    let parsed: Vec<Pattern> = patterns.iter().map(|p| Pattern::parse(p).unwrap()).collect();
    // The reference looks at every pattern: as many names as that allows.
    let names = (300_000_000 / patterns.len()).clamp(200, asked.len());
    for name in &asked[..names] {
        let want = parsed.iter().filter(|p| p.matches(name)).count();
        assert_eq!(image.patterns_of(name).len(), want, "{name}");
    }
    println!("  reference                    {names} names of the mix, 0 mismatches");
}

/// From the first map to the slot write that has returned, of an image that is already verified.
fn publish(image: &Image) {
    let small = kernel_tests::compile(&kernel_tests::web_policy(&["a.example.test"]));
    let node = Node::new("bench", &small);
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut times = Vec::new();
    let turns = if repository::moment() { 4 } else { 40 };
    for _ in 0..turns {
        let active = node.pins.slot(0).unwrap().unwrap();
        let start = Instant::now();
        let staged = swap::stage(&node.pins, image).unwrap();
        fqdn_load::bind::fill(&node.pins, image).unwrap();
        swap::publish(&node.pins, &staged, Some(&active.1)).unwrap();
        times.push(start.elapsed().as_secs_f64() * 1e3);
        drop(staged);
        node.apply(&small);
        node.apply(&kernel_tests::compile(&kernel_tests::web_policy(&["b.example.test"])));
    }
    println!(
        "  publish ({turns} times)           p50 {:.1} ms, p99 {:.1} ms",
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.99)
    );
}
