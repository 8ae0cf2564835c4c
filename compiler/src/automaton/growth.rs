//! Subset construction: from sets of trie nodes to states and edges of one layer.

use super::globs;
use super::trie::{NONE, Trie};
use super::{Classes, Excess};
use fqdn_image::Pattern;
use fqdn_image::abi::GLOB_LABEL;
use fqdn_image::pattern::glob_matches;
use fqdn_image::tables::{TrieEdge, WildcardState};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// No state.
pub(super) const UNSEEN: u32 = u32::MAX;
/// More paths than one: the state hashes from its own id.
const MANY: u32 = 2;

/// One layer: state 0 is its root, the wildcard states come before the others.
pub(super) struct Layer {
    /// Edges; one into a state stands before those that leave it.
    pub(super) edges: Vec<TrieEdge>,
    /// States with wildcards.
    pub(super) states: Vec<WildcardState>,
    /// Number of the other states.
    pub(super) literal: u32,
}

/// The layer while it grows.
struct Growth<'a> {
    trie: Trie<'a>,
    sets: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, u32>,
    single: Vec<u32>,
    paths: Vec<u32>,
    edges: Vec<TrieEdge>,
    wild: BTreeMap<u32, WildcardState>,
    excess: BTreeSet<u32>,
}

/// The layer of these patterns, or those of them that make it too large. No patterns named: too many edges.
pub(super) fn grow(patterns: &[Pattern], mine: &[u32], first: u32, room: usize, classes: &mut Classes) -> Result<Layer, Excess> {
    let trie = Trie::build(patterns, mine, first);
    let mut growth = Growth {
        single: vec![UNSEEN; trie.nodes.len()],
        edges: Vec::with_capacity(trie.nodes.len()),
        trie,
        sets: Vec::new(),
        numbers: HashMap::new(),
        paths: Vec::new(),
        wild: BTreeMap::new(),
        excess: BTreeSet::new(),
    };
    growth.state(vec![0], MANY);
    let mut next = 0;
    while next < growth.sets.len() {
        let set = std::mem::take(&mut growth.sets[next]);
        growth.leave(next as u32, &set, classes);
        next += 1;
        if growth.edges.len() + growth.sets.len() > room {
            return Err(Excess { what: "edges", patterns: Vec::new() });
        }
    }
    if !growth.excess.is_empty() {
        let patterns = growth.excess.into_iter().collect();
        return Err(Excess { what: "wildcards inside labels of one domain", patterns });
    }
    Ok(growth.finish())
}

impl Growth<'_> {
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
        let accept = |n: &u32| self.trie.nodes[*n as usize].accept;
        let class = match set.as_slice() {
            [only] => accept(only),
            several => {
                let mut members: Vec<u32> = several.iter().map(accept).filter(|s| *s != 0).collect();
                members.sort_unstable();
                classes.number(members)
            }
        };
        if !set.iter().any(|n| self.trie.leads_on(*n)) {
            return (class, UNSEEN);
        }
        (class, self.state(set, paths))
    }

    fn edge(&mut self, parent: u32, label: Box<[u8]>, set: Vec<u32>, paths: u32, classes: &mut Classes) {
        let (class, next) = self.arrive(set, paths, classes);
        self.edges.push(TrieEdge { parent, label, class, next, reseed: false });
    }

    fn leave(&mut self, id: u32, set: &[u32], classes: &mut Classes) {
        if let [only] = set
            && !self.trie.is_wild(*only)
        {
            let children: Vec<(&[u8], u32)> = self.trie.children(*only).collect();
            for (label, child) in children {
                if let Some(label) = wire(label) {
                    self.edge(id, label, vec![child], 1, classes);
                }
            }
            return;
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
            for (glob, target) in self.trie.globs[n.globs as usize].iter().filter(|(glob, _)| globs::can_match(glob)) {
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
        let texts: Vec<&[u8]> = globs.keys().copied().collect();
        if !texts.is_empty() {
            if let Some((automaton, masks)) = globs::automaton(&texts).and_then(|a| globs::feasible(&a).map(|masks| (a, masks))) {
                for mask in masks {
                    let mut lists: Vec<&[u32]> = vec![&any];
                    let ends = globs::ends(&texts);
                    lists.extend(globs.values().zip(ends).filter(|(_, end)| mask >> end & 1 != 0).map(|(t, _)| t.as_slice()));
                    let mut label = vec![GLOB_LABEL as u8];
                    label.extend_from_slice(&mask.to_le_bytes());
                    self.edge(id, label.into(), joined(&lists), MANY, classes);
                }
                wild.globs = Some(automaton);
            } else {
                self.exceed(globs.values().skip(texts.len().div_ceil(2)).flatten());
            }
        }
        self.wild.insert(id, wild);
    }

    /// Every pattern that goes through one of these nodes must move.
    fn exceed<'n>(&mut self, nodes: impl Iterator<Item = &'n u32>) {
        let mut todo: Vec<u32> = nodes.copied().collect();
        let mut seen: BTreeSet<u32> = todo.iter().copied().collect();
        while let Some(node) = todo.pop() {
            let n = &self.trie.nodes[node as usize];
            self.excess.insert(n.pattern);
            let globs = self.trie.globs[n.globs as usize].iter().map(|(_, node)| *node);
            let below: Vec<u32> =
                [n.star, n.deep].into_iter().chain(globs).chain(self.trie.children(node).map(|(_, child)| child)).collect();
            todo.extend(below.into_iter().filter(|n| *n != NONE && seen.insert(*n)));
        }
    }

    /// Wildcard states first, the root the very first; edges keep their order.
    fn finish(mut self) -> Layer {
        self.wild.entry(0).or_default();
        let mut ids = vec![UNSEEN; self.sets.len()];
        for (rank, id) in self.wild.keys().enumerate() {
            ids[*id as usize] = rank as u32;
        }
        let mut next = self.wild.len() as u32;
        for id in ids.iter_mut().filter(|id| **id == UNSEEN) {
            *id = next;
            next += 1;
        }
        let number = |id: u32| if id == UNSEEN { UNSEEN } else { ids[id as usize] };
        for edge in &mut self.edges {
            edge.reseed = edge.next != UNSEEN && self.paths[edge.next as usize] != 1;
            edge.parent = number(edge.parent);
            edge.next = number(edge.next);
        }
        let literal = next - self.wild.len() as u32;
        let states = self.wild.into_values().map(|mut state| {
            state.next = number(if state.star { state.next } else { UNSEEN });
            state
        });
        Layer { edges: self.edges, states: states.collect(), literal }
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
