//! The globs of one state: bits of one word, and which of them one label can match at once.

use fqdn_image::tables::{Globs, symbol};
use std::collections::{BTreeMap, BTreeSet};

/// Positions of all globs of one state: bits of a word.
const POSITIONS: usize = 64;
/// Combinations of globs that can match one label of one state.
const MASKS: usize = 4096;
/// States of the search for those combinations.
const SEARCH: usize = 65_536;

/// A glob of more bytes matches no label (RFC 1035 section 3.1).
pub(super) fn can_match(glob: &[u8]) -> bool {
    glob.iter().filter(|b| **b != b'*').count() <= fqdn_image::abi::LABEL_MAX as usize
}

/// Bit of each glob's end.
pub(super) fn ends(globs: &[&[u8]]) -> Vec<usize> {
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
pub(super) fn automaton(globs: &[&[u8]]) -> Option<Globs> {
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
pub(super) fn feasible(globs: &Globs) -> Option<BTreeSet<u64>> {
    let regions = regions(globs);
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
            let next = without_overtaken(next, globs.keep, &regions);
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

/// The bits of each glob: from behind the end of the one before to its own end.
fn regions(globs: &Globs) -> Vec<u64> {
    let (mut rest, mut below) = (globs.accept, 0);
    let mut out = Vec::new();
    while rest != 0 {
        let end = rest & rest.wrapping_neg();
        let up_to = end | (end - 1);
        out.push(up_to & !below);
        below = up_to;
        rest &= rest - 1;
    }
    out
}

/// Positions before the last star that a glob has reached add nothing to what it can still match.
fn without_overtaken(on: u64, keep: u64, regions: &[u64]) -> u64 {
    regions.iter().fold(on, |on, region| match on & keep & region {
        0 => on,
        stars => on & !(region & ((1 << (63 - stars.leading_zeros())) - 1)),
    })
}
