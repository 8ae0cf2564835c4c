//! The typed content of an image, before it becomes bytes and after.

use crate::abi::{self, Grant, PortRange, Resolver};
use crate::pattern::Pattern;

/// One edge of the automaton.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrieEdge {
    /// State it leaves.
    pub parent: u32,
    /// Label with its length byte, or a glob label: `GLOB_LABEL` and the 8 bytes of the mask.
    pub label: Box<[u8]>,
    /// Class of a name that ends here.
    pub class: u32,
    /// State it reaches, 0 = none.
    pub next: u32,
    /// Whether that state can also be reached otherwise.
    pub reseed: bool,
}

/// The globs of one state as one bit-parallel automaton of at most 64 positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Globs {
    /// Positions before the first byte.
    pub start: u64,
    /// Positions that any byte keeps (a star).
    pub keep: u64,
    /// Positions at a glob's end.
    pub accept: u64,
    /// Bytes that some glob names (as `symbol` numbers them), with the positions that they advance.
    pub step: Vec<(u8, u64)>,
}

/// Number of a plain byte, 0 to 37.
pub fn symbol(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' => Some(byte - b'a'),
        b'0'..=b'9' => Some(byte - b'0' + 26),
        b'-' => Some(36),
        b'_' => Some(37),
        _ => None,
    }
}

/// One wildcard state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WildcardState {
    /// Any label is accepted.
    pub star: bool,
    /// Class of a name that ends with any label here.
    pub class: u32,
    /// State after any label.
    pub next: u32,
    /// Globs, if any.
    pub globs: Option<Globs>,
}

/// The name automaton, in one or more layers. The states 1 to `layers` are their roots; `states` holds the states 1 to
/// its length, states with higher ids have literal edges only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Automaton {
    /// Edges; an edge into a state stands before those that leave it.
    pub edges: Vec<TrieEdge>,
    /// States with wildcards, the roots first.
    pub states: Vec<WildcardState>,
    /// Layers. A name's selectors are those of its class in each.
    pub layers: u32,
}

/// What the compiler cannot know of a set of addresses: which of them the enforcing host bears itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Locality {
    /// It does not matter.
    #[default]
    Any,
    /// All but this host's.
    Elsewhere,
    /// Only this host's.
    Here,
}

/// A selector's text and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorText {
    /// Any name that may be asked.
    AnyName,
    /// A pattern of names.
    Names(Pattern),
    /// Addresses, as the dump shows them.
    Addresses(String, Locality),
}

impl SelectorText {
    /// The text.
    pub fn text(&self) -> &str {
        match self {
            SelectorText::AnyName => "(any name)",
            SelectorText::Names(pattern) => pattern.text(),
            SelectorText::Addresses(text, _) => text,
        }
    }

    /// `KIND_*`.
    pub fn kind(&self) -> u16 {
        let kind = match self {
            SelectorText::AnyName | SelectorText::Names(_) => abi::KIND_NAMES,
            SelectorText::Addresses(_, Locality::Any) => abi::KIND_ADDRESSES,
            SelectorText::Addresses(_, Locality::Elsewhere) => abi::KIND_ELSEWHERE,
            SelectorText::Addresses(_, Locality::Here) => abi::KIND_HERE,
        };
        kind as u16
    }
}

/// Everything an image holds. Indexes are positions in these vectors unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// `IMAGE_*`.
    pub flags: u32,
    /// Least, most and added seconds of learning.
    pub ttl: [u32; 3],
    /// DNS ports, ascending.
    pub dns_ports: Vec<u16>,
    /// The automaton; its classes are class ids.
    pub automaton: Automaton,
    /// Classes of several selectors: class id = number of selectors + 1 + position.
    pub classes: Vec<Vec<u32>>,
    /// Selectors; id = position + 1.
    pub selectors: Vec<SelectorText>,
    /// Number of grants of each selector.
    pub grants_n: Vec<u32>,
    /// The grants, selector by selector, ascending for each.
    pub grants: Vec<Grant>,
    /// Port sets; position 0 is every port and has no ranges.
    pub sets: Vec<Vec<PortRange>>,
    /// First address and class, ascending, the first at 0.
    pub intervals: Vec<(u128, u32)>,
    /// Selector text and flags of each subject; position 0 is everyone.
    pub subjects: Vec<(String, u16)>,
    /// Policies.
    pub policies: Vec<String>,
    /// Resolver addresses of the profile.
    pub resolvers: Vec<Resolver>,
    /// The profile, readable, line by line.
    pub profile: String,
    /// Distinct name patterns.
    pub patterns: u32,
}
