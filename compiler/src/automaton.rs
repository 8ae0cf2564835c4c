//! Patterns to one deterministic automaton over labels, read from the right.
//!
//! The patterns make a trie whose edges are labels (literal, star, glob, or the leading `**`). A state of the
//! automaton is a set of trie nodes: all places where a name may be after the labels read so far.

use crate::order::sort_by_bytes;
use fqdn_image::Pattern;
use fqdn_image::pattern::{Label, glob_matches};
use fqdn_image::tables::{Automaton, Globs, TrieEdge, WildcardState, symbol};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Patterns whose combinations would fill the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// What there is too much of.
    pub what: &'static str,
    /// Some of the patterns.
    pub patterns: Vec<String>,
}

/// Positions of all globs of one state: bits of a word.
const POSITIONS: usize = 64;
/// Combinations of globs that can match one label of one state.
const MASKS: usize = 4096;
/// States of the search for those combinations.
const SEARCH: usize = 65_536;
/// Edges and states of the image, for each pattern and in any case.
const SIZE: (usize, usize) = (16, 262_144);

/// Sets of selectors with more than one member, numbered.
#[derive(Debug)]
pub struct Classes {
    base: u32,
    numbers: HashMap<Vec<u32>, u32>,
    /// Members of each, ascending.
    pub rows: Vec<Vec<u32>>,
}

impl Classes {
    /// `selectors` selectors have the class ids 1 to `selectors` for themselves.
    pub fn new(selectors: u32) -> Self {
        Classes { base: selectors, numbers: HashMap::new(), rows: Vec::new() }
    }

    /// Class of these selectors, ascending and distinct.
    pub fn number(&mut self, members: Vec<u32>) -> u32 {
        match members.as_slice() {
            [] => 0,
            [only] => *only,
            _ => match self.numbers.get(&members) {
                Some(number) => *number,
                None => {
                    self.rows.push(members.clone());
                    let number = self.base + self.rows.len() as u32;
                    self.numbers.insert(members, number);
                    number
                }
            },
        }
    }
}

const NONE: u32 = 0;

/// Node of the trie; 0 is the root.
#[derive(Clone, Debug, Default)]
struct Node {
    accept: u32,
    label: u32,
    first_child: u32,
    next_sibling: u32,
    star: u32,
    deep: u32,
    globs: u32,
    is_deep: bool,
    pattern: u32,
}

/// A pattern on its way into the trie.
struct Line<'a> {
    key: Box<[u8]>,
    labels: &'a [Label],
    deep: bool,
    selector: u32,
    index: u32,
}

/// Labels from the right, a zero byte between them: patterns that share a path stand side by side.
fn key(labels: &[Label], deep: bool) -> Box<[u8]> {
    let mut key = Vec::with_capacity(32);
    for label in labels.iter().rev() {
        match label {
            Label::Star => key.push(b'*'),
            Label::Literal(bytes) | Label::Glob(bytes) => key.extend_from_slice(bytes),
        }
        key.push(0);
    }
    if deep {
        key.extend_from_slice(b"**");
    }
    key.into()
}

struct Trie<'a> {
    nodes: Vec<Node>,
    labels: Vec<&'a [u8]>,
    globs: Vec<Vec<(&'a [u8], u32)>>,
}

impl<'a> Trie<'a> {
    /// Patterns with their selector ids. Sorted by labels from the right, each shares a path with the one before.
    fn build(patterns: &[(&'a Pattern, u32)]) -> Self {
        let mut order: Vec<Line<'a>> = patterns
            .iter()
            .enumerate()
            .filter_map(|(i, (pattern, selector))| match pattern {
                Pattern::Everything => None,
                Pattern::Labels { deep, labels } => {
                    Some(Line { key: key(labels, *deep), labels, deep: *deep, selector: *selector, index: i as u32 })
                }
            })
            .collect();
        sort_by_bytes(&mut order, |line| &line.key);
        let mut trie = Trie { nodes: vec![Node::default()], labels: vec![&[]], globs: vec![Vec::new()] };
        let mut last_child = vec![NONE];
        let mut path: Vec<(&'a Label, u32)> = Vec::new();
        for Line { labels, deep, selector, index, .. } in order {
            let shared = labels.iter().rev().zip(&path).take_while(|(label, (have, _))| label == have).count();
            path.truncate(shared);
            for label in labels.iter().rev().skip(shared) {
                let parent = path.last().map_or(0, |(_, node)| *node);
                let node = trie.grow(parent, label, index, &mut last_child);
                path.push((label, node));
            }
            let end = path.last().map_or(0, |(_, node)| *node);
            if deep {
                let node = trie.push(index, &mut last_child);
                trie.nodes[end as usize].deep = node;
                trie.nodes[node as usize].is_deep = true;
                trie.nodes[node as usize].accept = selector;
            } else {
                trie.nodes[end as usize].accept = selector;
            }
        }
        trie
    }

    fn push(&mut self, pattern: u32, last_child: &mut Vec<u32>) -> u32 {
        self.nodes.push(Node { pattern, ..Node::default() });
        last_child.push(NONE);
        self.nodes.len() as u32 - 1
    }

    fn grow(&mut self, parent: u32, label: &'a Label, pattern: u32, last_child: &mut Vec<u32>) -> u32 {
        let node = self.push(pattern, last_child);
        match label {
            Label::Literal(bytes) => {
                self.labels.push(bytes);
                self.nodes[node as usize].label = self.labels.len() as u32 - 1;
                match last_child[parent as usize] {
                    NONE => self.nodes[parent as usize].first_child = node,
                    last => self.nodes[last as usize].next_sibling = node,
                }
                last_child[parent as usize] = node;
            }
            Label::Star => self.nodes[parent as usize].star = node,
            Label::Glob(bytes) => {
                if self.nodes[parent as usize].globs == NONE {
                    self.globs.push(Vec::new());
                    self.nodes[parent as usize].globs = self.globs.len() as u32 - 1;
                }
                let list = self.nodes[parent as usize].globs;
                self.globs[list as usize].push((bytes, node));
            }
        }
        node
    }

    fn children(&self, node: u32) -> impl Iterator<Item = (&'a [u8], u32)> + '_ {
        let mut next = self.nodes[node as usize].first_child;
        std::iter::from_fn(move || {
            let node = next;
            let here = self.nodes.get(node as usize).filter(|_| node != NONE)?;
            next = here.next_sibling;
            Some((self.labels[here.label as usize], node))
        })
    }

    fn leads_on(&self, node: u32) -> bool {
        let n = &self.nodes[node as usize];
        n.first_child != NONE || n.star != NONE || n.deep != NONE || n.globs != NONE || n.is_deep
    }

    fn is_wild(&self, node: u32) -> bool {
        let n = &self.nodes[node as usize];
        n.star != NONE || n.deep != NONE || n.globs != NONE || n.is_deep
    }
}

/// The automaton while it grows; state 0 is the root until the ids are put in order.
struct Growth<'a> {
    patterns: &'a [(&'a Pattern, u32)],
    trie: Trie<'a>,
    sets: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, u32>,
    single: Vec<u32>,
    paths: Vec<u32>,
    edges: Vec<TrieEdge>,
    wild: BTreeMap<u32, WildcardState>,
}

const UNSEEN: u32 = u32::MAX;
/// More paths than one: the state hashes from its own id.
const MANY: u32 = 2;

/// The automaton of these patterns, each with its selector id.
pub fn build(patterns: &[(&Pattern, u32)], classes: &mut Classes) -> Result<Automaton, OverBudget> {
    let trie = Trie::build(patterns);
    let single = vec![UNSEEN; trie.nodes.len()];
    let mut growth = Growth {
        patterns,
        trie,
        sets: Vec::new(),
        numbers: HashMap::new(),
        single,
        paths: Vec::new(),
        edges: Vec::new(),
        wild: BTreeMap::new(),
    };
    growth.state(vec![0], MANY);
    let mut next = 0;
    while next < growth.sets.len() {
        let set = std::mem::take(&mut growth.sets[next]);
        growth.leave(next as u32, &set, classes)?;
        next += 1;
        if growth.edges.len() + growth.sets.len() > SIZE.0 * patterns.len() + SIZE.1 {
            return Err(growth.over("edges", &set));
        }
    }
    Ok(growth.finish())
}

impl Growth<'_> {
    fn over(&self, what: &'static str, set: &[u32]) -> OverBudget {
        let mut nodes: Vec<u32> = set.to_vec();
        for node in set {
            let n = &self.trie.nodes[*node as usize];
            nodes.extend([n.star, n.deep].into_iter().filter(|n| *n != NONE));
            nodes.extend(self.trie.globs[n.globs as usize].iter().map(|(_, node)| *node));
        }
        let texts: BTreeSet<String> = nodes
            .into_iter()
            .filter(|n| *n != 0)
            .filter_map(|n| self.patterns.get(self.trie.nodes[n as usize].pattern as usize))
            .map(|(pattern, _)| pattern.to_string())
            .collect();
        OverBudget { what, patterns: texts.into_iter().take(8).collect() }
    }

    /// Id of the state of this set, one more path leading to it.
    fn state(&mut self, set: Vec<u32>, paths: u32) -> u32 {
        let found = match set.as_slice() {
            [only] => Some(self.single[*only as usize]).filter(|id| *id != UNSEEN),
            _ => self.numbers.get(&set).copied(),
        };
        let id = found.unwrap_or_else(|| {
            let id = self.sets.len() as u32;
            match set.as_slice() {
                [only] => self.single[*only as usize] = id,
                _ => {
                    self.numbers.insert(set.clone(), id);
                }
            }
            self.sets.push(set);
            self.paths.push(0);
            id
        });
        let count = &mut self.paths[id as usize];
        *count = count.saturating_add(paths);
        id
    }

    /// Class of a name that ends in this set, and the state if it can go on; `UNSEEN` = it cannot.
    fn arrive(&mut self, set: Vec<u32>, paths: u32, classes: &mut Classes) -> (u32, u32) {
        let mut members: Vec<u32> = set.iter().map(|n| self.trie.nodes[*n as usize].accept).filter(|s| *s != 0).collect();
        members.sort_unstable();
        let class = classes.number(members);
        if !set.iter().any(|n| self.trie.leads_on(*n)) {
            return (class, UNSEEN);
        }
        (class, self.state(set, paths))
    }

    fn edge(&mut self, parent: u32, label: Box<[u8]>, set: Vec<u32>, paths: u32, classes: &mut Classes) {
        let (class, next) = self.arrive(set, paths, classes);
        self.edges.push(TrieEdge { parent, label, class, next, reseed: false });
    }

    fn leave(&mut self, id: u32, set: &[u32], classes: &mut Classes) -> Result<(), OverBudget> {
        if let [only] = set
            && !self.trie.is_wild(*only)
        {
            let children: Vec<(&[u8], u32)> = self.trie.children(*only).collect();
            for (label, child) in children {
                if let Some(label) = wire(label) {
                    self.edge(id, label, vec![child], 1, classes);
                }
            }
            return Ok(());
        }
        let mut any: Vec<u32> = Vec::new();
        let mut globs: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        let mut literals: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for node in set {
            let n = &self.trie.nodes[*node as usize];
            any.extend([n.star, n.deep].into_iter().filter(|n| *n != NONE));
            if n.is_deep {
                any.push(*node);
            }
            for (glob, target) in &self.trie.globs[n.globs as usize] {
                globs.entry(glob).or_default().push(*target);
            }
            for (label, child) in self.trie.children(*node) {
                literals.entry(label).or_default().push(child);
            }
        }
        let joined = |lists: &[&[u32]]| -> Vec<u32> {
            let all: BTreeSet<u32> = lists.iter().flat_map(|l| l.iter().copied()).collect();
            all.into_iter().collect()
        };
        for (label, targets) in literals {
            let Some(edge) = wire(label) else { continue };
            let mut lists: Vec<&[u32]> = vec![&any, &targets];
            lists.extend(globs.iter().filter(|(glob, _)| glob_matches(glob, label)).map(|(_, t)| t.as_slice()));
            self.edge(id, edge, joined(&lists), 1, classes);
        }
        let mut wild = WildcardState { star: !any.is_empty(), ..WildcardState::default() };
        if wild.star {
            (wild.class, wild.next) = self.arrive(joined(&[&any]), MANY, classes);
        }
        if !globs.is_empty() {
            let texts: Vec<&[u8]> = globs.keys().copied().collect();
            let Some(automaton) = glob_automaton(&texts) else {
                return Err(self.over("wildcards inside labels of one domain", set));
            };
            let Some(masks) = feasible(&automaton) else {
                return Err(self.over("combinations of wildcards inside one label", set));
            };
            for mask in masks {
                let mut lists: Vec<&[u32]> = vec![&any];
                let ends = glob_ends(&texts);
                lists.extend(globs.values().zip(ends).filter(|(_, end)| mask >> end & 1 != 0).map(|(t, _)| t.as_slice()));
                let mut label = vec![fqdn_image::abi::GLOB_LABEL as u8];
                label.extend_from_slice(&mask.to_le_bytes());
                self.edge(id, label.into(), joined(&lists), MANY, classes);
            }
            wild.globs = Some(automaton);
        }
        self.wild.insert(id, wild);
        Ok(())
    }

    /// Wildcard states first, the root as 1; edges keep their order.
    fn finish(mut self) -> Automaton {
        self.wild.entry(0).or_default();
        let mut ids = vec![0u32; self.sets.len()];
        let wild_n = self.wild.len() as u32;
        for (rank, id) in self.wild.keys().enumerate() {
            ids[*id as usize] = rank as u32 + 1;
        }
        let mut literal = wild_n;
        for id in &mut ids {
            if *id == 0 {
                literal += 1;
                *id = literal;
            }
        }
        let number = |id: u32| if id == UNSEEN { 0 } else { ids[id as usize] };
        for edge in &mut self.edges {
            edge.reseed = edge.next != UNSEEN && self.paths[edge.next as usize] != 1;
            edge.parent = number(edge.parent);
            edge.next = number(edge.next);
        }
        let states = self.wild.into_values().map(|mut state| {
            state.next = if state.star { number(state.next) } else { 0 };
            state
        });
        Automaton { edges: self.edges, states: states.collect() }
    }
}

/// The label with its length byte; `None` = longer than any on the wire, so the edge would never be taken.
fn wire(label: &[u8]) -> Option<Box<[u8]>> {
    let len = u8::try_from(label.len()).ok().filter(|n| *n <= 63)?;
    let mut bytes = Vec::with_capacity(label.len() + 1);
    bytes.push(len);
    bytes.extend_from_slice(label);
    Some(bytes.into())
}

/// Bit of each glob's end.
fn glob_ends(globs: &[&[u8]]) -> Vec<usize> {
    let mut at = 0;
    let mut ends = Vec::new();
    for glob in globs {
        at += glob.iter().filter(|b| **b != b'*').count();
        ends.push(at);
        at += 1;
    }
    ends
}

/// All globs of a state in one word: a bit for each byte read so far of each glob.
fn glob_automaton(globs: &[&[u8]]) -> Option<Globs> {
    let mut out = Globs::default();
    let mut steps: BTreeMap<u8, u64> = BTreeMap::new();
    let mut at = 0usize;
    for glob in globs {
        let length = glob.iter().filter(|b| **b != b'*').count();
        if at + length >= POSITIONS {
            return None;
        }
        out.start |= 1 << at;
        for byte in *glob {
            if *byte == b'*' {
                out.keep |= 1 << at;
            } else {
                *steps.entry(symbol(*byte)?).or_default() |= 1 << at;
                at += 1;
            }
        }
        out.accept |= 1 << at;
        at += 1;
    }
    out.step = steps.into_iter().collect();
    Some(out)
}

/// Which sets of globs some label can match at once, but for none.
fn feasible(globs: &Globs) -> Option<BTreeSet<u64>> {
    let mut seen = BTreeSet::from([globs.start]);
    let mut todo = vec![globs.start];
    let mut masks = BTreeSet::new();
    while let Some(on) = todo.pop() {
        let others = on & globs.keep;
        let steps = globs.step.iter().map(|(_, step)| (on & step) << 1 | others).chain([others]);
        for next in steps {
            if next & globs.accept != 0 {
                masks.insert(next & globs.accept);
            }
            if next != 0 && seen.insert(next) {
                todo.push(next);
            }
        }
        if seen.len() > SEARCH || masks.len() > MASKS {
            return None;
        }
    }
    Some(masks)
}
