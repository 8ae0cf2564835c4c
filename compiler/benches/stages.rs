//! The time of each stage, for a typical repository and for large ones: `cargo bench -p fqdnc --bench stages`.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs, unused)]

mod repository;

use divan::{Bencher, black_box};
use fqdn_image::{Image, Pattern, WireName, encode};
use fqdnc::diagnostic::Findings;
use fqdnc::policy::{Policy, Profile};
use fqdnc::source::Source;
use fqdnc::{lower, plan, profile, read, yaml};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn names() -> Vec<usize> {
    if repository::moment() { vec![2_000] } else { vec![2_000, 100_000, 1_000_000] }
}

fn main() {
    divan::main();
}

fn sources(names: usize) -> Vec<Source> {
    let each = if names < 10_000 { 10 } else { 50 };
    let texts = repository::texts(&repository::patterns(names), each);
    texts.into_iter().map(|text| Source::new("x", text)).collect()
}

fn policies(names: usize) -> Vec<Policy> {
    read::read(&sources(names), "default", &profile::default(), &mut Findings::default()).policies
}

#[divan::bench(args = names(), sample_count = 3)]
fn a_yaml_to_trees(bencher: Bencher, names: usize) {
    let sources = sources(names);
    bencher.bench(|| sources.iter().map(|source| yaml::parse(source, &mut Findings::default()).len()).sum::<usize>());
}

#[divan::bench(args = names(), sample_count = 3)]
fn b_texts_to_policies(bencher: Bencher, names: usize) {
    let (sources, profile) = (sources(names), profile::default());
    bencher.bench(|| read::read(&sources, "default", &profile, &mut Findings::default()));
}

#[divan::bench(args = names(), sample_count = 3)]
fn c_policies_to_rules(bencher: Bencher, names: usize) {
    let (policies, profile) = (policies(names), profile::default());
    bencher.with_inputs(|| policies.clone()).bench_values(|policies| lower::lower(policies, &profile));
}

#[divan::bench(args = names(), sample_count = 3)]
fn d_rules_to_tables(bencher: Bencher, names: usize) {
    let profile = profile::default();
    let rules = lower::lower(policies(names), &profile);
    bencher.bench(|| plan::plan(&rules, &profile).unwrap());
}

#[divan::bench(args = names(), sample_count = 3)]
fn e_tables_to_bytes(bencher: Bencher, names: usize) {
    let profile = profile::default();
    let tables = plan::plan(&lower::lower(policies(names), &profile), &profile).unwrap();
    bencher.bench(|| encode::encode(&tables).unwrap());
}

fn bytes(names: usize) -> Vec<u8> {
    let profile = profile::default();
    encode::encode(&plan::plan(&lower::lower(policies(names), &profile), &profile).unwrap()).unwrap()
}

#[divan::bench(args = names(), sample_count = 3)]
fn f_bytes_to_image(bencher: Bencher, names: usize) {
    let bytes = bytes(names);
    bencher.with_inputs(|| bytes.clone()).bench_values(|bytes| Image::decode(bytes).unwrap());
}

#[divan::bench(args = names())]
fn h_walk(bencher: Bencher, names: usize) {
    let image = Image::decode(bytes(names)).unwrap();
    let name = WireName::parse("bucket39.eu.store.org1.net").unwrap();
    bencher.bench(|| image.patterns_of(black_box(&name)));
}
