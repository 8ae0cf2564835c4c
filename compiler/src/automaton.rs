//! Patterns to one deterministic automaton over labels, read from the right.
//!
//! The patterns make a trie whose edges are labels (literal, star, glob, or the leading `**`). A state of the
//! automaton is a set of trie nodes: all places where a name may be after the labels read so far.
//!
//! Overlapping wildcards multiply. What does not fit the budget moves to a further layer, an automaton of its own
//! beside the first, so that sizes add; a name's selectors are those that any layer finds.

mod globs;
mod growth;
mod trie;

use fqdn_image::Pattern;
use fqdn_image::abi::LAYERS_MAX;
use fqdn_image::pattern::Label;
use fqdn_image::tables::Automaton;
use growth::Layer;
use std::collections::HashMap;

/// Patterns whose combinations would fill the image, in spite of all layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// What there is too much of.
    pub what: &'static str,
    /// Some of the patterns.
    pub patterns: Vec<String>,
}

/// Edges and states of a layer, for each pattern and in any case.
const SIZE: (usize, usize) = (16, 262_144);

/// Patterns that one layer cannot hold besides the others.
struct Excess {
    what: &'static str,
    patterns: Vec<u32>,
}

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

    /// Forgets the classes after the first `count`.
    fn truncate(&mut self, count: usize) {
        for row in self.rows.drain(count..) {
            self.numbers.remove(&row);
        }
    }
}

/// The automaton of these patterns, whose selectors are numbered from `first` on.
pub fn build(patterns: &[Pattern], first: u32, classes: &mut Classes) -> Result<Automaton, OverBudget> {
    let room = SIZE.0 * patterns.len() + SIZE.1;
    let mut layers: Vec<Layer> = Vec::new();
    let mut mine: Vec<u32> = (0..patterns.len() as u32).collect();
    loop {
        let mut moved: Vec<u32> = Vec::new();
        let layer = loop {
            let before = classes.rows.len();
            let excess = match growth::grow(patterns, &mine, first, room, classes) {
                Ok(layer) => break layer,
                Err(excess) => excess,
            };
            classes.truncate(before);
            let going = if excess.patterns.is_empty() { spread(patterns, &mine) } else { excess.patterns };
            if layers.len() + 1 == LAYERS_MAX as usize || going.is_empty() {
                let texts = going.iter().take(8).map(|n| patterns[*n as usize].to_string()).collect();
                return Err(OverBudget { what: excess.what, patterns: texts });
            }
            mine.retain(|n| going.binary_search(n).is_err());
            moved.extend(going);
        };
        layers.push(layer);
        if moved.is_empty() {
            return Ok(join(layers));
        }
        moved.sort_unstable();
        mine = moved;
    }
}

/// Which patterns to move when there are too many edges: those with labels to the left of a wildcard, which every
/// other label beside the wildcard repeats; if they are all like that, the second half.
fn spread(patterns: &[Pattern], mine: &[u32]) -> Vec<u32> {
    let repeats = |n: &&u32| {
        let mut labels = patterns[**n as usize].labels().skip_while(|label| !matches!(label, Label::Literal(_)));
        labels.any(|label| !matches!(label, Label::Literal(_)))
    };
    let going: Vec<u32> = mine.iter().filter(repeats).copied().collect();
    if going.is_empty() || going.len() == mine.len() { mine[mine.len().div_ceil(2)..].to_vec() } else { going }
}

/// The layers in one table: the roots first, then the other wildcard states, then the states with literal edges only.
fn join(layers: Vec<Layer>) -> Automaton {
    let count = layers.len() as u32;
    let wild: u32 = layers.iter().map(|layer| layer.states.len() as u32).sum();
    let mut joined = Automaton { layers: count, ..Automaton::default() };
    let mut rest = Vec::new();
    let (mut wild_at, mut literal_at) = (count + 1, wild + 1);
    for (root, layer) in (1..).zip(layers) {
        let own = layer.states.len() as u32;
        let number = |id: u32| match id {
            growth::UNSEEN => 0,
            0 => root,
            id if id < own => wild_at + id - 1,
            id => literal_at + id - own,
        };
        joined.edges.extend(layer.edges.into_iter().map(|mut edge| {
            (edge.parent, edge.next) = (number(edge.parent), number(edge.next));
            edge
        }));
        let mut states = layer.states.into_iter().map(|mut state| {
            state.next = if state.star { number(state.next) } else { 0 };
            state
        });
        joined.states.extend(states.next());
        rest.extend(states);
        wild_at += own - 1;
        literal_at += layer.literal;
    }
    joined.states.extend(rest);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(texts: &[String]) -> Result<Automaton, OverBudget> {
        let patterns: Vec<Pattern> = texts.iter().map(|t| Pattern::parse(t).unwrap()).collect();
        build(&patterns, 1, &mut Classes::new(patterns.len() as u32))
    }

    /// notes on blow-up: `k` globs on one label have 2^k combinations.
    #[test]
    fn globs_on_one_label_share_out_over_layers() {
        let texts = |k: u8| -> Vec<String> { (0..k).map(|i| format!("*{0}{0}*.com", (b'a' + i) as char)).collect() };
        assert_eq!(built(&texts(8)).unwrap().layers, 1);
        let fourteen = built(&texts(14)).unwrap();
        assert!(
            fourteen.layers >= 2 && fourteen.edges.len() < 10_000,
            "{} layers, {} edges",
            fourteen.layers,
            fourteen.edges.len()
        );
        assert!(built(&texts(24)).is_ok());
        let many: Vec<String> = (0..26 * 26u32)
            .map(|i| format!("*{}{}*.com", (b'a' + (i / 26) as u8) as char, (b'a' + (i % 26) as u8) as char))
            .collect();
        let over = built(&many).unwrap_err();
        assert!(!over.patterns.is_empty() && over.patterns.iter().all(|p| many.contains(p)), "{over:?}");
    }

    /// `n` times `x.*.com` beside `n` times `y.z.com`: n * n edges in one layer, 2 * n in two.
    #[test]
    fn labels_beside_a_wildcard_move_to_a_layer_of_their_own() {
        let texts = |n: u32| -> Vec<String> { (0..n).flat_map(|i| [format!("x{i}.*.com"), format!("y.z{i}.com")]).collect() };
        assert_eq!(built(&texts(100)).unwrap().layers, 1);
        let thousand = built(&texts(1000)).unwrap();
        assert_eq!(thousand.layers, 2);
        assert!(thousand.edges.len() < 5_000, "{}", thousand.edges.len());
    }

    #[test]
    fn infixes_three_deep_fit() {
        let texts: Vec<String> = (0..64u8)
            .map(|i| format!("*{}*.*{}*.*{}*.com", (b'a' + i / 16) as char, (b'a' + i / 4 % 4) as char, (b'a' + i % 4) as char))
            .collect();
        let built = built(&texts).unwrap();
        assert!(built.edges.len() < 10_000, "{} edges, {} layers", built.edges.len(), built.layers);
    }

    #[test]
    fn a_pattern_alone_always_fits() {
        for glob in ["*a*b*a*b*a*b*a*b*a*b*a*b*a*b*a*b*a*b*a*b*a*b*a*b*a*b*a*b*a*b*", "*ababababab*babababa*abababab*bababababa*"]
        {
            assert_eq!(built(&[format!("{glob}.com")]).unwrap().layers, 1);
        }
        assert!(built(&[format!("*{}*.com", "a".repeat(80))]).unwrap().edges.len() <= 2, "no label is that long");
    }
}
