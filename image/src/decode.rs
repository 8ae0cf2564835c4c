//! Bytes to an image. Total: any bytes give an image or an error that says what is wrong and where.

use crate::abi::{self, *};
use crate::encode::{digest, generation};
use crate::labels;
use crate::learnable::learnable;
use std::collections::HashSet;
use std::fmt;
use std::sync::OnceLock;

/// What is wrong with bytes that are no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was being read.
    pub what: String,
    /// Byte offset.
    pub offset: usize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// A checked image. INVARIANT: every index in it leads to a record of the image.
#[derive(Clone)]
pub struct Image {
    bytes: Vec<u8>,
    digest: [u8; 32],
    /// Block 0.
    pub head: ImageHead,
    /// Block 1.
    pub walk: ImageWalk,
    /// Block 2.
    pub rows: ImageRows,
    /// Block 3.
    pub texts: ImageTexts,
    /// The classes that some address has, once each.
    address_classes: OnceLock<Vec<u32>>,
}

type Result<T> = std::result::Result<T, DecodeError>;

fn fail<T>(what: impl Into<String>, offset: usize) -> Result<T> {
    Err(DecodeError { what: what.into(), offset })
}

const BLOCK_BYTES: usize = BLOCK as usize;

/// Name of a section, first block, number of records, size of a record.
pub type SectionRow = (&'static str, u32, u32, usize);

impl Image {
    /// Checks everything: frame, digest, order and bounds of the sections, every index.
    pub fn decode(bytes: Vec<u8>) -> Result<Self> {
        let Some(head) = bytes.get(..BLOCK_BYTES).and_then(ImageHead::read) else {
            return fail(format!("not an image: only {} bytes", bytes.len()), 0);
        };
        if head.magic != MAGIC {
            return fail("not an image: wrong first bytes", 0);
        }
        if head.version != VERSION {
            return fail(format!("image format version {}, this tool reads version {VERSION}", head.version), 24);
        }
        if head.abi != abi::fingerprint() {
            return fail(
                format!(
                    "image made for ABI {:016x}, this tool has {:016x}: compile it anew with the same release",
                    head.abi,
                    abi::fingerprint()
                ),
                16,
            );
        }
        let want = head.blocks as usize * BLOCK_BYTES;
        if want != bytes.len() {
            return fail(format!("truncated or extended: {} bytes where the header says {want}", bytes.len()), 28);
        }
        if head.blocks < HEAD_BLOCKS {
            return fail("header too short", 28);
        }
        let digest = digest(&bytes);
        if generation(&digest) != head.generation {
            return fail("damaged: the digest is not the one in the header", 8);
        }
        let (Some(walk), Some(rows), Some(texts)) = (
            ImageWalk::read(&bytes[BLOCK_BYTES..2 * BLOCK_BYTES]),
            ImageRows::read(&bytes[2 * BLOCK_BYTES..3 * BLOCK_BYTES]),
            ImageTexts::read(&bytes[3 * BLOCK_BYTES..4 * BLOCK_BYTES]),
        ) else {
            return fail("header too short", 0);
        };
        let image = Image { bytes, digest, head, walk, rows, texts, address_classes: OnceLock::new() };
        image.check_sections()?;
        image.check_rows()?;
        image.check_learnable()?;
        image.check_automaton()?;
        Ok(image)
    }

    /// All bytes, as the kernel holds them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The digest in hex.
    pub fn digest_hex(&self) -> String {
        hex(&self.digest)
    }

    /// The sections in the order of the file.
    pub fn sections(&self) -> Vec<SectionRow> {
        let (w, r, t) = (&self.walk, &self.rows, &self.texts);
        vec![
            ("trie", w.trie, w.buckets.saturating_mul(2), 32),
            ("depth", w.depth, w.states, 16),
            ("depth globs", w.globs, w.glob_words, 8),
            ("trie labels", w.labels, w.long_labels, 64),
            ("identity members", r.members, r.members_n, 4),
            ("identity classes", r.classes, r.classes_n, 8),
            ("identity selectors", r.selectors, r.selectors_n, 16),
            ("identity grants", r.grants, r.grants_n, 16),
            ("ports sets", r.sets, r.sets_n, 8),
            ("ports", r.ranges, r.ranges_n, 8),
            ("cidrs", r.cidrs, r.cidrs_n, 32),
            ("subjects", t.subjects, t.subjects_n, 8),
            ("policies", t.policies, t.policies_n, 8),
            ("resolvers", t.resolvers, t.resolvers_n, 32),
            ("texts", t.texts, t.text_bytes, 1),
        ]
    }

    fn record<R: Record>(&self, base: u32, index: u32) -> R {
        let size = R::LAYOUT.size;
        let at = base as usize * BLOCK_BYTES + index as usize * size;
        self.bytes.get(at..at + size).and_then(R::read).unwrap_or_else(R::zeroed)
    }

    fn u32_at(&self, base: u32, index: u32) -> u32 {
        let at = base as usize * BLOCK_BYTES + index as usize * 4;
        self.bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// Edge in a slot; parent 0 = none.
    pub fn edge(&self, slot: u32) -> Edge {
        self.record(self.walk.trie, slot)
    }

    /// State with wildcards, `id` from 1.
    pub fn state(&self, id: u32) -> State {
        self.record(self.walk.depth, id - 1)
    }

    /// Glob word at a position.
    pub fn glob_word(&self, at: u32) -> u64 {
        u64::from(self.u32_at(self.walk.globs, at * 2)) | u64::from(self.u32_at(self.walk.globs, at * 2 + 1)) << 32
    }

    /// Block of a long label.
    pub fn long_label(&self, index: u32) -> &[u8] {
        let at = (self.walk.labels as usize + index as usize) * BLOCK_BYTES;
        self.bytes.get(at..at + BLOCK_BYTES).unwrap_or(&[])
    }

    /// Selectors of a class.
    pub fn class(&self, class: u32) -> Vec<u32> {
        if class == 0 {
            Vec::new()
        } else if class <= self.rows.selectors_n {
            vec![class]
        } else {
            let row: Span = self.record(self.rows.classes, class - self.rows.selectors_n - 1);
            (row.first..row.first + row.count).map(|i| self.u32_at(self.rows.members, i)).collect()
        }
    }

    /// Selector, `id` from 1.
    pub fn selector(&self, id: u32) -> Selector {
        self.record(self.rows.selectors, id - 1)
    }

    /// Text of a selector.
    pub fn selector_text(&self, id: u32) -> &str {
        let selector = self.selector(id);
        self.text(selector.text, u32::from(selector.text_len))
    }

    /// Grants of a selector.
    pub fn grants(&self, id: u32) -> impl Iterator<Item = Grant> + '_ {
        let selector = self.selector(id);
        (selector.grants..selector.grants + selector.grants_n).map(|i| self.record(self.rows.grants, i))
    }

    /// Ranges of a port set.
    pub fn ports(&self, set: u32) -> Vec<PortRange> {
        let row: Span = self.record(self.rows.sets, set);
        (row.first..row.first + row.count).map(|i| self.record(self.rows.ranges, i)).collect()
    }

    /// Address interval.
    pub fn interval(&self, index: u32) -> (u128, u32) {
        let row: Interval = self.record(self.rows.cidrs, index);
        (u128::from(row.high) << 64 | u128::from(row.low), row.class)
    }

    /// The classes that some address has, once each, in the order of the addresses.
    pub(crate) fn address_classes(&self) -> impl Iterator<Item = u32> {
        let classes = self.address_classes.get_or_init(|| {
            let mut known = HashSet::new();
            (0..self.rows.cidrs_n).map(|i| self.interval(i).1).filter(|class| known.insert(*class)).collect()
        });
        classes.iter().copied()
    }

    /// Canonical selector text and flags of a subject.
    pub fn subject(&self, index: u32) -> (&str, u16) {
        let row: Text = self.record(self.texts.subjects, index);
        (self.text(row.at, u32::from(row.len)), row.flags)
    }

    /// Name of a policy.
    pub fn policy(&self, index: u32) -> &str {
        let row: Text = self.record(self.texts.policies, index);
        self.text(row.at, u32::from(row.len))
    }

    /// Resolver addresses of the profile.
    pub fn resolvers(&self) -> impl Iterator<Item = Resolver> + '_ {
        (0..self.texts.resolvers_n).map(|i| self.record(self.texts.resolvers, i))
    }

    /// The profile's readable text.
    pub fn profile(&self) -> &str {
        self.text(self.texts.profile, self.texts.profile_len)
    }

    /// DNS ports.
    pub fn dns_ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.head.dns_ports.iter().copied().filter(|p| *p != 0)
    }

    fn text(&self, at: u32, len: u32) -> &str {
        let start = self.texts.texts as usize * BLOCK_BYTES + at as usize;
        self.bytes.get(start..start + len as usize).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
    }

    fn check_sections(&self) -> Result<()> {
        let mut next = u64::from(HEAD_BLOCKS);
        for (name, first, records, size) in self.sections() {
            let at = first as usize * BLOCK_BYTES;
            if u64::from(first) != next {
                return fail(format!("section `{name}` begins at block {first}, not {next}"), at);
            }
            let bytes = u64::from(records) * size as u64;
            next += bytes.div_ceil(BLOCK_BYTES as u64);
            if next > u64::from(self.head.blocks) {
                return fail(format!("section `{name}` runs over the end"), at);
            }
            let end = at + bytes as usize;
            let whole = end.next_multiple_of(BLOCK_BYTES);
            if self.bytes[end..whole].iter().any(|b| *b != 0) {
                return fail(format!("section `{name}` is padded with something"), end);
            }
        }
        if next != u64::from(self.head.blocks) {
            return fail("blocks after the last section", next as usize * BLOCK_BYTES);
        }
        Ok(())
    }

    fn check_text(&self, what: &str, at: u32, len: u32) -> Result<()> {
        let start = self.texts.texts as usize * BLOCK_BYTES + at as usize;
        if u64::from(at) + u64::from(len) > u64::from(self.texts.text_bytes) {
            return fail(format!("{what} lies outside the texts"), start);
        }
        match std::str::from_utf8(&self.bytes[start..start + len as usize]) {
            Ok(_) => Ok(()),
            Err(_) => fail(format!("{what} is no text"), start),
        }
    }

    fn check_rows(&self) -> Result<()> {
        let (r, t) = (&self.rows, &self.texts);
        let at = |base: u32, index: u32, size: usize| base as usize * BLOCK_BYTES + index as usize * size;
        if r.pad != 0 || t.pad != [0; 5] {
            return fail("header is padded with something", 2 * BLOCK_BYTES);
        }
        let ports: Vec<u16> = self.dns_ports().collect();
        if !ports.is_sorted() || self.head.dns_ports[..ports.len()] != ports[..] {
            return fail("DNS ports out of order", 48);
        }
        if r.selectors_n < SELECTOR_SERVER || r.sets_n == 0 || r.cidrs_n == 0 || t.subjects_n == 0 {
            return fail("a table lacks its first record", 2 * BLOCK_BYTES);
        }
        for i in 0..r.classes_n {
            let row: Span = self.record(r.classes, i);
            let here = at(r.classes, i, 8);
            if u64::from(row.first) + u64::from(row.count) > u64::from(r.members_n) || row.count > CLASS_MAX {
                return fail("class has too many members", here);
            }
            let members: Vec<u32> = (row.first..row.first + row.count).map(|m| self.u32_at(r.members, m)).collect();
            if !members.is_sorted_by(|a, b| a < b) || members.iter().any(|m| *m == 0 || *m > r.selectors_n) {
                return fail("class members out of order or out of range", here);
            }
        }
        let mut next = 0u64;
        for id in 1..=r.selectors_n {
            let selector = self.selector(id);
            let here = at(r.selectors, id - 1, 16);
            self.check_text("selector", selector.text, u32::from(selector.text_len))?;
            if u64::from(selector.grants) != next || u32::from(selector.kind) > KIND_HERE {
                return fail("selector's grants out of order", here);
            }
            next += u64::from(selector.grants_n);
            if next > u64::from(r.grants_n) {
                return fail("selector's grants run over the end", here);
            }
            let mut before = None;
            for i in selector.grants..selector.grants + selector.grants_n {
                let grant: Grant = self.record(r.grants, i);
                let here = at(r.grants, i, 16);
                let key = (grant.subject, grant.servers, grant.ports, grant.policy);
                let server = grant.servers & !SERVERS_CIDR;
                if before.is_some_and(|b| b >= key) {
                    return fail("grants out of order", here);
                }
                if grant.subject >= t.subjects_n || grant.ports >= r.sets_n || grant.policy >= t.policies_n {
                    return fail("grant points outside its tables", here);
                }
                let names = u32::from(selector.kind) == KIND_NAMES;
                if grant.servers == SERVERS_DENY && !names {
                    before = Some(key);
                    continue;
                }
                if (grant.servers & SERVERS_CIDR != 0 && (server == 0 || server > r.selectors_n))
                    || (grant.servers & SERVERS_CIDR == 0 && server >= 1 << RESOLVER_ENTRIES)
                {
                    return fail("grant names no server", here);
                }
                before = Some(key);
            }
        }
        if next != u64::from(r.grants_n) {
            return fail("grants without a selector", at(r.grants, 0, 16));
        }
        for i in 0..r.sets_n {
            let row: Span = self.record(r.sets, i);
            let here = at(r.sets, i, 8);
            if u64::from(row.first) + u64::from(row.count) > u64::from(r.ranges_n) || (i == 0) != (row.count == 0) {
                return fail("port set out of range", here);
            }
            let set = self.ports(i);
            let ordered = set.windows(2).all(|w| (w[0].proto, w[0].high) < (w[1].proto, w[1].low));
            if !ordered || set.iter().any(|p| p.low > p.high || p.pad != 0) {
                return fail("port set out of order", here);
            }
        }
        let mut last = None;
        for i in 0..r.cidrs_n {
            let (address, class) = self.interval(i);
            let here = at(r.cidrs, i, 32);
            if last.map_or(address != 0, |l| l >= address) {
                return fail("address intervals out of order", here);
            }
            self.check_class(class, here)?;
            last = Some(address);
        }
        for i in 0..t.subjects_n {
            let row: Text = self.record(t.subjects, i);
            self.check_text("subject", row.at, u32::from(row.len))?;
            if i > 0 && labels::Selector::parse(self.subject(i).0).is_none() {
                return fail("subject is no selector", at(t.subjects, i, 8));
            }
        }
        for i in 0..t.policies_n {
            let row: Text = self.record(t.policies, i);
            self.check_text("policy", row.at, u32::from(row.len))?;
        }
        for (i, resolver) in self.resolvers().enumerate() {
            if resolver.prefix > 128 || resolver.entry >= RESOLVER_ENTRIES {
                return fail("resolver out of range", at(t.resolvers, i as u32, 32));
            }
        }
        self.check_text("profile", t.profile, t.profile_len)
    }

    fn check_learnable(&self) -> Result<()> {
        let intervals = (0..self.rows.cidrs_n).map(|i| self.interval(i));
        let want = learnable(intervals.map(|(address, class)| (address, self.class(class).contains(&SELECTOR_NEVER))));
        match self.record::<ImageLearnable>(4, 0) == want {
            true => Ok(()),
            false => fail("learnable addresses are others than those of the intervals", 4 * BLOCK_BYTES),
        }
    }

    fn check_class(&self, class: u32, offset: usize) -> Result<()> {
        match u64::from(class) <= u64::from(self.rows.selectors_n) + u64::from(self.rows.classes_n) {
            true => Ok(()),
            false => fail("class out of range", offset),
        }
    }

    /// States with an edge for some label. Every state is an edge's or a wildcard's, so there are no more than that.
    fn labelled(&self) -> Result<Vec<bool>> {
        let w = &self.walk;
        let most = u64::from(w.buckets) * 2 + u64::from(w.states) + 1;
        let mut labelled = vec![false; most as usize];
        for slot in 0..w.buckets * 2 {
            let edge = self.edge(slot);
            if edge.parent == 0 || edge.word0 & 0xff == u64::from(GLOB_LABEL) {
                continue;
            }
            match labelled.get_mut(edge.parent as usize) {
                Some(state) => *state = true,
                None => return fail("state out of range", w.trie as usize * BLOCK_BYTES + slot as usize * 32),
            }
        }
        Ok(labelled)
    }

    fn check_automaton(&self) -> Result<()> {
        let w = &self.walk;
        let layers = self.rows.layers;
        if layers == 0 || layers > LAYERS_MAX || w.states < layers || w.buckets == 0 {
            return fail("automaton without a root", BLOCK_BYTES);
        }
        let labelled = self.labelled()?;
        let marked = |next: u32| {
            let state = next & NEXT_STATE;
            (next & NEXT_BARE != 0) == (state != 0 && !labelled.get(state as usize).copied().unwrap_or(false))
        };
        for id in 1..=w.states {
            let state = self.state(id);
            let here = w.depth as usize * BLOCK_BYTES + (id as usize - 1) * 16;
            self.check_class(state.class, here)?;
            if state.star > 1 || (state.star == 0 && (state.class != 0 || state.next != 0)) || state.next & NEXT_RESEED != 0 {
                return fail("state with a broken star", here);
            }
            if !marked(state.next) {
                return fail("bare state not marked, or another one", here);
            }
            if state.globs != 0 {
                let first = u64::from(state.globs) - 1;
                if first + 4 > u64::from(w.glob_words) {
                    return fail("globs out of range", here);
                }
                let present = self.glob_word(state.globs - 1 + 3);
                if present >> 38 != 0 || first + 4 + u64::from(present.count_ones()) > u64::from(w.glob_words) {
                    return fail("globs out of range", here);
                }
            }
        }
        for slot in 0..w.buckets * 2 {
            let edge = self.edge(slot);
            let here = w.trie as usize * BLOCK_BYTES + slot as usize * 32;
            if edge.parent == 0 {
                if edge != Edge::zeroed() {
                    return fail("empty slot holds something", here);
                }
                continue;
            }
            self.check_class(edge.class, here)?;
            if !marked(edge.next) {
                return fail("bare state not marked, or another one", here);
            }
            let len = (edge.word0 & 0xff) as u32;
            if len == GLOB_LABEL && edge.next != 0 && edge.next & NEXT_RESEED == 0 {
                return fail("glob edge without a seed of its own", here);
            }
            if len > LABEL_INLINE && len != GLOB_LABEL {
                if len > LABEL_MAX || edge.word2 >= w.long_labels {
                    return fail("long label out of range", here);
                }
                if self.long_label(edge.word2).first().copied().map(u32::from) != Some(len) {
                    return fail("long label of another length", here);
                }
            }
        }
        Ok(())
    }
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
