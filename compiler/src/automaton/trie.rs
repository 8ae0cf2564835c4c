//! Patterns as a trie over labels, read from the right.

use crate::order::sorted_indexes;
use fqdn_image::Pattern;
use fqdn_image::pattern::Label;

/// No node: nothing leads to the root.
pub(super) const NONE: u32 = 0;

/// Node of the trie; 0 is the root.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// Selector of the pattern that ends here, 0 = none.
    pub(super) accept: u32,
    label: u32,
    first_child: u32,
    next_sibling: u32,
    /// Node behind a star.
    pub(super) star: u32,
    /// Node behind a leading `**`.
    pub(super) deep: u32,
    /// List of globs that leave.
    pub(super) globs: u32,
    /// Is behind a leading `**`, so any label leads here again.
    pub(super) is_deep: bool,
    /// Some pattern that goes through here.
    pub(super) pattern: u32,
}

/// The trie.
pub(super) struct Trie<'a> {
    pub(super) nodes: Vec<Node>,
    labels: Vec<&'a [u8]>,
    pub(super) globs: Vec<Vec<(&'a [u8], u32)>>,
    last_child: Vec<u32>,
}

/// Labels from the right, a zero byte behind each: patterns that share a path stand side by side.
fn push_key(keys: &mut Vec<u8>, pattern: &Pattern) {
    for label in pattern.labels().rev() {
        match label {
            Label::Star => keys.push(b'*'),
            Label::Literal(bytes) | Label::Glob(bytes) => keys.extend_from_slice(bytes),
        }
        keys.push(0);
    }
    if pattern.is_deep() {
        keys.extend_from_slice(b"**");
    }
}

impl<'a> Trie<'a> {
    /// These of the patterns; `first` is the selector of the first of all.
    pub(super) fn build(patterns: &'a [Pattern], mine: &[u32], first: u32) -> Self {
        let mut keys = Vec::with_capacity(mine.len() * 24);
        let mut ends = Vec::with_capacity(mine.len() + 1);
        ends.push(0);
        for number in mine {
            push_key(&mut keys, &patterns[*number as usize]);
            ends.push(keys.len());
        }
        let order = sorted_indexes(mine.len() as u32, |i| &keys[ends[i as usize]..ends[i as usize + 1]]);
        let room = mine.len() * 2;
        let mut trie = Trie {
            nodes: Vec::with_capacity(room),
            labels: Vec::with_capacity(room),
            globs: vec![Vec::new()],
            last_child: Vec::with_capacity(room),
        };
        trie.nodes.push(Node::default());
        trie.labels.push(&[]);
        trie.last_child.push(NONE);
        let mut path: Vec<(Label<'a>, u32)> = Vec::new();
        let mut labels: Vec<Label<'a>> = Vec::new();
        for index in order {
            let number = mine[index as usize];
            let pattern = &patterns[number as usize];
            labels.clear();
            labels.extend(pattern.labels().rev());
            let shared = labels.iter().zip(&path).take_while(|(label, (have, _))| *label == have).count();
            path.truncate(shared);
            for label in &labels[shared..] {
                let parent = path.last().map_or(0, |(_, node)| *node);
                let node = trie.grow(parent, *label, number);
                path.push((*label, node));
            }
            let mut end = path.last().map_or(0, |(_, node)| *node);
            if pattern.is_deep() {
                let node = trie.push(number);
                trie.nodes[end as usize].deep = node;
                trie.nodes[node as usize].is_deep = true;
                end = node;
            }
            trie.nodes[end as usize].accept = first + number;
        }
        trie
    }

    fn push(&mut self, pattern: u32) -> u32 {
        self.nodes.push(Node { pattern, ..Node::default() });
        self.last_child.push(NONE);
        self.nodes.len() as u32 - 1
    }

    fn grow(&mut self, parent: u32, label: Label<'a>, pattern: u32) -> u32 {
        let node = self.push(pattern);
        match label {
            Label::Literal(bytes) => {
                self.labels.push(bytes);
                self.nodes[node as usize].label = self.labels.len() as u32 - 1;
                match self.last_child[parent as usize] {
                    NONE => self.nodes[parent as usize].first_child = node,
                    last => self.nodes[last as usize].next_sibling = node,
                }
                self.last_child[parent as usize] = node;
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

    /// Literal labels that leave a node, and where they lead.
    pub(super) fn children(&self, node: u32) -> impl Iterator<Item = (&'a [u8], u32)> + '_ {
        let mut next = self.nodes[node as usize].first_child;
        std::iter::from_fn(move || {
            let node = next;
            let here = self.nodes.get(node as usize).filter(|_| node != NONE)?;
            next = here.next_sibling;
            Some((self.labels[here.label as usize], node))
        })
    }

    /// Some label leads on from here.
    pub(super) fn leads_on(&self, node: u32) -> bool {
        self.nodes[node as usize].first_child != NONE || self.is_wild(node)
    }

    /// Some label leads on without being named.
    pub(super) fn is_wild(&self, node: u32) -> bool {
        let n = &self.nodes[node as usize];
        n.star != NONE || n.deep != NONE || n.globs != NONE || n.is_deep
    }
}
