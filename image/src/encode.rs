//! Tables to bytes.

use crate::abi::{self, *};
use crate::hash::{Keys, buckets};
use crate::learnable::learnable;
use crate::tables::Tables;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Why tables fit into no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The labels of these edges crowd into the same buckets under every seed tried.
    Crowded(Vec<String>),
    /// More of this than the format counts.
    TooMany(&'static str),
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EncodeError::Crowded(labels) => write!(f, "no hash seed places these labels: {}", labels.join(", ")),
            EncodeError::TooMany(what) => write!(f, "more {what} than an image can count"),
        }
    }
}

/// How full the buckets may be, in percent. Two slots a bucket and two buckets an edge place 89.7 % before
/// they fail (Dietzfelbinger and Weidling 2007); 86 leaves room and keeps insertion short.
const LOAD: u64 = 86;
/// Seeds tried before the author is told.
const ATTEMPTS: u64 = 64;

/// SHA-256 of an image with the generation field taken as zero.
pub fn digest(image: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(&image[..image.len().min(8)]);
    if image.len() > 8 {
        hash.update([0u8; 8]);
        hash.update(&image[image.len().min(16)..]);
    }
    hash.finalize().into()
}

/// First 8 bytes of a digest.
pub fn generation(digest: &[u8; 32]) -> u64 {
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

/// The whole image.
pub fn encode(tables: &Tables) -> Result<Vec<u8>, EncodeError> {
    let mut texts = Texts::default();
    let mut out = Sections { bytes: vec![0u8; HEAD_BLOCKS as usize * BLOCK as usize] };

    let mut globs = Vec::new();
    let mut places = BTreeMap::new();
    let mut states = Vec::new();
    let labelled = Labelled::of(tables);
    for state in &tables.automaton.states {
        let at = match &state.globs {
            None => 0,
            Some(g) => *places.entry(g.clone()).or_insert_with(|| {
                let at = globs.len();
                let present = g.step.iter().fold(0u64, |set, (symbol, _)| set | 1 << symbol);
                globs.extend([g.start, g.keep, g.accept, present]);
                globs.extend(g.step.iter().map(|(_, positions)| *positions));
                at + 1
            }),
        };
        states.push(State {
            class: state.class,
            next: labelled.next(state.next),
            globs: count("glob words", at)?,
            star: u32::from(state.star),
        });
    }

    let content = content_key(tables);
    let mut placed = None;
    let mut crowd = Vec::new();
    for attempt in 0..ATTEMPTS {
        match place(tables, Keys::derive(content, attempt)) {
            Ok(found) => {
                placed = Some(found);
                break;
            }
            Err(label) => crowd.push(label),
        }
    }
    let Some(Placed { keys, slots, labels }) = placed else {
        crowd.sort();
        crowd.dedup();
        return Err(EncodeError::Crowded(crowd));
    };

    let slots_n = slots.len() / 2;
    let walk = ImageWalk {
        seed: keys.seed,
        k: keys.k,
        trie: out.records(&slots)?,
        buckets: count("edges", slots_n)?,
        depth: out.records(&states)?,
        states: count("states", states.len())?,
        globs: out.words(&globs)?,
        glob_words: count("glob words", globs.len())?,
        labels: out.raw(&labels)?,
        long_labels: count("long labels", labels.len() / BLOCK as usize)?,
    };

    let mut members = Vec::new();
    let mut classes = Vec::new();
    for class in &tables.classes {
        classes.push(Span { first: count("members", members.len())?, count: count("members", class.len())? });
        members.extend(class);
    }
    let mut selectors = Vec::with_capacity(tables.selectors.len());
    let mut first = 0u32;
    for (text, grants_n) in tables.selectors.iter().zip(&tables.grants_n) {
        let (at, len) = texts.add(text.text())?;
        selectors.push(Selector { grants: first, grants_n: *grants_n, text: at, text_len: len, kind: text.kind() });
        first = first.checked_add(*grants_n).ok_or(EncodeError::TooMany("grants"))?;
    }
    let mut ranges: Vec<PortRange> = Vec::new();
    let mut sets = Vec::new();
    for set in &tables.sets {
        sets.push(Span { first: count("ports", ranges.len())?, count: count("ports", set.len())? });
        ranges.extend(set);
    }
    let halves = |address: u128| ((address >> 64) as u64, address as u64);
    let intervals: Vec<Interval> = tables
        .intervals
        .iter()
        .map(|(address, class)| {
            let (high, low) = halves(*address);
            Interval { high, low, class: *class, pad: [0; 3] }
        })
        .collect();
    let rows = ImageRows {
        members: out.integers(&members)?,
        members_n: count("members", members.len())?,
        classes: out.records(&classes)?,
        classes_n: count("classes", classes.len())?,
        selectors: out.records(&selectors)?,
        selectors_n: count("selectors", selectors.len())?,
        grants: out.records(&tables.grants)?,
        grants_n: count("grants", tables.grants.len())?,
        sets: out.records(&sets)?,
        sets_n: count("port sets", sets.len())?,
        ranges: out.records(&ranges)?,
        ranges_n: count("ports", ranges.len())?,
        cidrs: out.records(&intervals)?,
        cidrs_n: count("address intervals", intervals.len())?,
        layers: tables.automaton.layers,
        pad: 0,
    };

    let mut subjects = Vec::new();
    for (text, flags) in &tables.subjects {
        let (at, len) = texts.add(text)?;
        subjects.push(Text { at, len, flags: *flags });
    }
    let mut policies = Vec::new();
    for text in &tables.policies {
        let (at, len) = texts.add(text)?;
        policies.push(Text { at, len, flags: 0 });
    }
    let profile = count("texts", texts.bytes.len())?;
    texts.bytes.extend_from_slice(tables.profile.as_bytes());
    let subjects_at = out.records(&subjects)?;
    let policies_at = out.records(&policies)?;
    let resolvers_at = out.records(&tables.resolvers)?;
    let texts_at = out.raw(&texts.bytes)?;
    let tail = ImageTexts {
        subjects: subjects_at,
        subjects_n: count("subjects", subjects.len())?,
        policies: policies_at,
        policies_n: count("policies", policies.len())?,
        resolvers: resolvers_at,
        resolvers_n: count("resolvers", tables.resolvers.len())?,
        texts: texts_at,
        text_bytes: count("texts", texts.bytes.len())?,
        profile,
        profile_len: count("texts", tables.profile.len())?,
        patterns: tables.patterns,
        pad: [0; 5],
    };

    let never = |class: u32| match class.checked_sub(tables.selectors.len() as u32 + 1) {
        None => class == SELECTOR_NEVER,
        Some(several) => tables.classes.get(several as usize).is_some_and(|class| class.contains(&SELECTOR_NEVER)),
    };
    let learnable = learnable(tables.intervals.iter().map(|(address, class)| (*address, never(*class))));

    let mut dns_ports = [0u16; DNS_PORTS as usize];
    if tables.dns_ports.len() > dns_ports.len() {
        return Err(EncodeError::TooMany("DNS ports"));
    }
    dns_ports[..tables.dns_ports.len()].copy_from_slice(&tables.dns_ports);
    let head = ImageHead {
        magic: MAGIC,
        generation: 0,
        abi: abi::fingerprint(),
        version: VERSION,
        blocks: count("blocks", out.bytes.len() / BLOCK as usize)?,
        flags: tables.flags,
        ttl_min: tables.ttl[0],
        ttl_max: tables.ttl[1],
        ttl_grace: tables.ttl[2],
        dns_ports,
    };
    let mut bytes = out.bytes;
    for (i, block) in [head.bytes(), walk.bytes(), rows.bytes(), tail.bytes(), learnable.bytes()].into_iter().enumerate() {
        bytes[i * BLOCK as usize..(i + 1) * BLOCK as usize].copy_from_slice(block);
    }
    let generation = generation(&digest(&bytes));
    bytes[8..16].copy_from_slice(&generation.to_le_bytes());
    Ok(bytes)
}

/// The seed comes from the content (I4: the same policy gives the same bytes), here the edges' labels.
fn content_key(tables: &Tables) -> u64 {
    let mut hash = Sha256::new();
    for edge in &tables.automaton.edges {
        hash.update(edge.parent.to_le_bytes());
        hash.update([edge.label.len() as u8]);
        hash.update(&edge.label);
    }
    generation(&hash.finalize().into())
}

struct Placed {
    keys: Keys,
    slots: Vec<Edge>,
    labels: Vec<u8>,
}

/// States with an edge for some label.
struct Labelled(Vec<bool>);

impl Labelled {
    fn of(tables: &Tables) -> Labelled {
        let edges = &tables.automaton.edges;
        let mut labelled = vec![false; edges.iter().map(|e| e.parent as usize + 1).max().unwrap_or(0)];
        for edge in edges.iter().filter(|e| e.label.first() != Some(&(GLOB_LABEL as u8))) {
            labelled[edge.parent as usize] = true;
        }
        Labelled(labelled)
    }

    /// The state and whether it is bare.
    fn next(&self, state: u32) -> u32 {
        if state == 0 || self.0.get(state as usize).copied().unwrap_or(false) { state } else { state | NEXT_BARE }
    }
}

/// Puts every edge into one of its two buckets; on failure gives the label that found none.
fn place(tables: &Tables, keys: Keys) -> Result<Placed, String> {
    let edges = &tables.automaton.edges;
    let highest = edges.iter().map(|e| e.parent.max(e.next)).max().unwrap_or(1);
    let labelled = Labelled::of(tables);
    let mut seeds = vec![0u64; highest as usize + 1];
    let mut seeded = vec![false; highest as usize + 1];
    let mut labels = Vec::new();
    let mut places: BTreeMap<&[u8], u32> = BTreeMap::new();
    let bucket_n = u32::try_from((edges.len() as u64 * 100).div_ceil(2 * LOAD).max(1)).unwrap_or(u32::MAX);
    let mut home = Vec::with_capacity(edges.len());
    let mut stored = Vec::with_capacity(edges.len());
    for edge in edges {
        let parent = edge.parent as usize;
        let seed = if seeded[parent] { seeds[parent] } else { keys.reseed(edge.parent) };
        let words = keys.words(&edge.label);
        let hash = keys.edge(seed, &words);
        if edge.next != 0 && !edge.reseed {
            seeds[edge.next as usize] = hash;
            seeded[edge.next as usize] = true;
        }
        let word2 = if words.long {
            let next = (labels.len() / BLOCK as usize) as u32;
            *places.entry(&edge.label).or_insert_with(|| {
                labels.extend_from_slice(&edge.label);
                labels.resize((next as usize + 1) * BLOCK as usize, 0);
                next
            })
        } else {
            words.word2
        };
        let flag = if edge.next != 0 && edge.reseed { NEXT_RESEED } else { 0 };
        home.push(buckets(hash, bucket_n));
        stored.push(Edge {
            word0: words.word0,
            word1: words.word1,
            word2,
            parent: edge.parent,
            class: edge.class,
            next: labelled.next(edge.next) | flag,
        });
    }

    const EMPTY: u32 = u32::MAX;
    let mut slots = vec![EMPTY; 2 * bucket_n as usize];
    let mut turn = keys.seed | 1;
    for first in 0..edges.len() as u32 {
        let mut edge = first;
        let mut kicks = 0;
        'seat: loop {
            for bucket in home[edge as usize] {
                if let Some(free) = slots[2 * bucket as usize..][..2].iter_mut().find(|slot| **slot == EMPTY) {
                    *free = edge;
                    break 'seat;
                }
            }
            kicks += 1;
            if kicks > 2000 {
                return Err(String::from_utf8_lossy(edges[first as usize].label.get(1..).unwrap_or(&[])).into_owned());
            }
            turn ^= turn << 13;
            turn ^= turn >> 7;
            turn ^= turn << 17;
            let bucket = home[edge as usize][(turn & 1) as usize] as usize;
            std::mem::swap(&mut slots[2 * bucket + ((turn >> 1) & 1) as usize], &mut edge);
        }
    }
    let slots = slots.into_iter().map(|i| if i == EMPTY { Edge::zeroed() } else { stored[i as usize] }).collect();
    Ok(Placed { keys, slots, labels })
}

#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
}

impl Texts {
    fn add(&mut self, text: &str) -> Result<(u32, u16), EncodeError> {
        let at = count("texts", self.bytes.len())?;
        let len = u16::try_from(text.len()).map_err(|_| EncodeError::TooMany("bytes of a text"))?;
        self.bytes.extend_from_slice(text.as_bytes());
        Ok((at, len))
    }
}

struct Sections {
    bytes: Vec<u8>,
}

impl Sections {
    fn records<R: Record>(&mut self, records: &[R]) -> Result<u32, EncodeError> {
        let at = self.start()?;
        for record in records {
            self.bytes.extend_from_slice(record.bytes());
        }
        self.finish();
        Ok(at)
    }

    fn integers(&mut self, values: &[u32]) -> Result<u32, EncodeError> {
        let at = self.start()?;
        for value in values {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
        self.finish();
        Ok(at)
    }

    fn words(&mut self, values: &[u64]) -> Result<u32, EncodeError> {
        let at = self.start()?;
        for value in values {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
        self.finish();
        Ok(at)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<u32, EncodeError> {
        let at = self.start()?;
        self.bytes.extend_from_slice(bytes);
        self.finish();
        Ok(at)
    }

    fn start(&self) -> Result<u32, EncodeError> {
        count("blocks", self.bytes.len() / BLOCK as usize)
    }

    fn finish(&mut self) {
        let whole = self.bytes.len().next_multiple_of(BLOCK as usize);
        self.bytes.resize(whole, 0);
    }
}

fn count(what: &'static str, n: usize) -> Result<u32, EncodeError> {
    u32::try_from(n).ok().filter(|n| *n <= NEXT_STATE).ok_or(EncodeError::TooMany(what))
}
