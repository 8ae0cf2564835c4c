//! The automaton's walk, from the top-level label leftwards. `ebpf/lib/walk.h` takes the same steps.

use crate::abi::{self, GLOB_LABEL, NEXT_BARE, NEXT_RESEED, NEXT_STATE};
use crate::decode::Image;
use crate::hash::{Keys, buckets};
use crate::name::{WireName, is_plain};
use crate::tables::symbol;

impl Image {
    /// Classes of a name, one from each layer: which selectors match it, but for `SELECTOR_ANY` and `SELECTOR_STAR`,
    /// which need no walk.
    pub fn classes_of(&self, name: &WireName) -> Vec<u32> {
        let keys = Keys::of(&self.walk);
        let labels = name.labels();
        (1..=self.rows.layers).map(|root| self.class_below(&keys, root, &labels)).collect()
    }

    fn class_below(&self, keys: &Keys, root: u32, labels: &[&[u8]]) -> u32 {
        let mut state = root;
        let mut seed = keys.reseed(state);
        let mut class = 0;
        let mut bare = false;
        for label in labels.iter().rev() {
            if state == 0 {
                return 0;
            }
            let edge = if bare { None } else { self.find_edge(keys, state, seed, label) };
            let (found, next) = if let Some((class, next, hash)) = edge {
                seed = hash;
                (class, next)
            } else {
                match self.wildcard(keys, state, seed, label) {
                    Some((class, next)) => (class, next | NEXT_RESEED),
                    None => return 0,
                }
            };
            class = found;
            state = next & NEXT_STATE;
            bare = next & NEXT_BARE != 0;
            if next & NEXT_RESEED != 0 {
                seed = keys.reseed(state);
            }
        }
        class
    }

    /// Every selector whose pattern matches a name.
    pub fn patterns_of(&self, name: &WireName) -> Vec<u32> {
        let star = (self.head.flags & abi::IMAGE_STAR != 0 && name.is_plain()).then_some(abi::SELECTOR_STAR);
        star.into_iter().chain(self.classes_of(name).into_iter().flat_map(|class| self.class(class))).collect()
    }

    /// Every selector that holds for a name that is asked.
    pub fn selectors_of(&self, name: &WireName) -> Vec<u32> {
        let mut selectors = vec![abi::SELECTOR_ANY];
        selectors.extend(self.patterns_of(name));
        selectors
    }

    fn find_edge(&self, keys: &Keys, state: u32, seed: u64, label: &[u8]) -> Option<(u32, u32, u64)> {
        let words = keys.words(label);
        let hash = keys.edge(seed, &words);
        for bucket in buckets(hash, self.walk.buckets) {
            for slot in 2 * bucket..2 * bucket + 2 {
                let edge = self.edge(slot);
                if edge.parent == state
                    && edge.word0 == words.word0
                    && edge.word1 == words.word1
                    && (if words.long { self.long_label(edge.word2)[..label.len()] == *label } else { edge.word2 == words.word2 })
                {
                    return Some((edge.class, edge.next, hash));
                }
            }
        }
        None
    }

    fn wildcard(&self, keys: &Keys, state: u32, seed: u64, label: &[u8]) -> Option<(u32, u32)> {
        if state > self.walk.states || !label[1..].iter().all(|b| is_plain(*b)) {
            return None;
        }
        let row = self.state(state);
        if row.globs != 0 {
            let mask = self.glob_mask(row.globs - 1, &label[1..]);
            if mask != 0 {
                let mut pseudo = vec![GLOB_LABEL as u8];
                pseudo.extend_from_slice(&mask.to_le_bytes());
                return self.find_edge(keys, state, seed, &pseudo).map(|(class, next, _)| (class, next));
            }
        }
        (row.star != 0).then_some((row.class, row.next))
    }

    fn glob_mask(&self, at: u32, bytes: &[u8]) -> u64 {
        let (start, keep, accept, present) =
            (self.glob_word(at), self.glob_word(at + 1), self.glob_word(at + 2), self.glob_word(at + 3));
        let mut on = start;
        for byte in bytes {
            let bit = 1u64 << symbol(*byte).unwrap_or(63);
            let step = if present & bit != 0 { self.glob_word(at + 4 + (present & (bit - 1)).count_ones()) } else { 0 };
            on = (on & step) << 1 | on & keep;
        }
        on & accept
    }
}
