//! Is there a name that one pattern matches and none of some others? Exact, with the name as the answer.
//!
//! Names are read from the right, label by label. A state is how far the one pattern has come and how far each of the
//! others, so far as they still match; of all labels that could come next, one is tried for each way in which the
//! others can take it.

use crate::name::{WireName, is_plain};
use crate::pattern::{Label, Pattern, glob_matches};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Every name is matched by the others too.
    None,
    /// This name is not.
    Name(WireName),
    /// The search was given up.
    TooHard,
}

/// States and labels that are looked at before the search is given up.
const STATES: usize = 20_000;
const LABELS: usize = 512;

/// How far a pattern has come: labels taken from the right, and whether more were taken by a leading `**`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Progress {
    taken: usize,
    more: bool,
}

/// A pattern, its labels from the right.
struct Reader<'a> {
    everything: bool,
    deep: bool,
    labels: Vec<Label<'a>>,
}

impl<'a> Reader<'a> {
    fn of(pattern: &'a Pattern) -> Self {
        let everything = pattern.is_everything();
        let labels = if everything { Vec::new() } else { pattern.labels().rev().collect() };
        Reader { everything, deep: pattern.is_deep(), labels }
    }

    fn accepts(&self, at: Progress) -> bool {
        self.everything || (at.taken == self.labels.len() && at.more == self.deep)
    }

    /// What the next label must be.
    fn next(&self, at: Progress) -> Option<Label<'a>> {
        match self.labels.get(at.taken) {
            Some(label) => Some(*label),
            None if self.deep || self.everything => Some(Label::Star),
            None => None,
        }
    }

    fn step(&self, at: Progress) -> Progress {
        if at.taken < self.labels.len() { Progress { taken: at.taken + 1, ..at } } else { Progress { more: self.deep, ..at } }
    }
}

fn takes(want: Label<'_>, label: &[u8]) -> bool {
    let plain = label.iter().all(|b| is_plain(*b));
    match want {
        Label::Literal(bytes) => bytes == label,
        Label::Star => plain,
        Label::Glob(glob) => plain && glob_matches(glob, label),
    }
}

/// A name that `pattern` matches and none of `others`.
pub fn difference(pattern: &Pattern, others: &[&Pattern]) -> Difference {
    let one = Reader::of(pattern);
    let others: Vec<Reader<'_>> = others.iter().map(|other| Reader::of(other)).collect();
    let start = (
        Progress { taken: 0, more: false },
        (0..others.len()).map(|i| (i, Progress { taken: 0, more: false })).collect::<Vec<_>>(),
    );
    let mut seen = HashSet::from([start.clone()]);
    let mut todo = VecDeque::from([(start, Vec::<Vec<u8>>::new())]);
    let mut hard = false;
    while let Some(((at, alive), path)) = todo.pop_front() {
        if one.accepts(at)
            && !alive.iter().any(|(i, p)| others[*i].accepts(*p))
            && let Some(name) = wire(&path)
        {
            return Difference::Name(name);
        }
        let Some(want) = one.next(at) else { continue };
        let wanted: Vec<Option<Label<'_>>> = alive.iter().map(|(i, p)| others[*i].next(*p)).collect();
        let Some(labels) = candidates(want, &wanted) else {
            hard = true;
            continue;
        };
        for label in labels {
            if path.iter().map(|l| l.len() + 1).sum::<usize>() + label.len() + 2 > 255 {
                continue; // no name is that long
            }
            let next: Vec<(usize, Progress)> = alive
                .iter()
                .zip(&wanted)
                .filter(|(_, want)| want.is_some_and(|want| takes(want, &label)))
                .map(|((i, p), _)| (*i, others[*i].step(*p)))
                .collect();
            let state = (one.step(at), next);
            if seen.insert(state.clone()) {
                let mut path = path.clone();
                path.push(label);
                todo.push_back((state, path));
            }
        }
        if seen.len() > STATES {
            return Difference::TooHard;
        }
    }
    if hard { Difference::TooHard } else { Difference::None }
}

/// The name of labels from the right.
fn wire(path: &[Vec<u8>]) -> Option<WireName> {
    let mut bytes = Vec::new();
    for label in path.iter().rev() {
        bytes.push(u8::try_from(label.len()).ok()?);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    WireName::from_wire(&bytes).ok()
}

/// A label for each way in which the wanted ones can take what `want` takes: each literal, and for each set of globs
/// more labels than there are literals. `None` = too many ways.
fn candidates(want: Label<'_>, wanted: &[Option<Label<'_>>]) -> Option<BTreeSet<Vec<u8>>> {
    if let Label::Literal(bytes) = want {
        return Some([bytes.to_vec()].into_iter().filter(|l| l.len() <= 63).collect());
    }
    let literals: BTreeSet<Vec<u8>> = wanted
        .iter()
        .filter_map(|want| if let Some(Label::Literal(bytes)) = want { Some(bytes.to_vec()) } else { None })
        .filter(|bytes| bytes.len() <= 63 && takes(want, bytes))
        .collect();
    let mut globs: BTreeSet<&[u8]> =
        wanted.iter().filter_map(|want| if let Some(Label::Glob(glob)) = want { Some(*glob) } else { None }).collect();
    let own: &[u8] = if let Label::Glob(glob) = want { glob } else { b"*" };
    globs.remove(own);
    let mut all = vec![own];
    all.extend(globs);
    let mut found = fresh(&all, &literals)?;
    found.extend(literals);
    Some(found).filter(|found| found.len() <= LABELS)
}

/// Labels that the first glob takes, no literal among them where that is possible, for each set of the other globs
/// that can take the same label. Shortest first, by all globs at once: a position for each byte a glob has taken.
fn fresh(globs: &[&[u8]], literals: &BTreeSet<Vec<u8>>) -> Option<BTreeSet<Vec<u8>>> {
    let mut alphabet: BTreeSet<u8> = globs.iter().flat_map(|g| g.iter().copied()).filter(|b| *b != b'*').collect();
    alphabet.extend(b"x0123456789abcdefghijklmnopqrstuvwyz-_".iter().copied().find(|b| !alphabet.contains(b)));
    // Literals share the bytes of the search only by chance; a few more bytes make labels beside them.
    let spare = b"xyz".iter().copied().filter(|_| globs.len() == 1 && !literals.is_empty());
    alphabet.extend(spare);
    type State = Vec<BTreeSet<usize>>;
    let close = |glob: &[u8], mut set: BTreeSet<usize>| {
        for at in set.clone() {
            let stars = glob[at..].iter().take_while(|b| **b == b'*').count();
            set.extend(at..=at + stars);
        }
        // Positions before the last star reached add nothing.
        let last = set.iter().copied().filter(|at| glob.get(*at) == Some(&b'*')).max().unwrap_or(0);
        set.retain(|at| *at >= last);
        set
    };
    let start: State = globs.iter().map(|glob| close(glob, BTreeSet::from([0]))).collect();
    let mut found: BTreeMap<Vec<bool>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut visits: BTreeMap<State, usize> = BTreeMap::from([(start.clone(), 0)]);
    let mut todo = VecDeque::from([(start, Vec::<u8>::new())]);
    let mut work = 0;
    while let Some((state, label)) = todo.pop_front() {
        work += 1;
        if work > STATES {
            return None;
        }
        let takes = |i: usize| state[i].contains(&globs[i].len());
        if !label.is_empty() && takes(0) {
            let labels = found.entry((1..globs.len()).map(takes).collect()).or_default();
            if !labels.iter().any(|l| !literals.contains(l)) {
                labels.insert(label.clone());
                if globs.len() == 1 && !literals.contains(&label) {
                    break; // one label beside the literals stands for all
                }
            }
        }
        if label.len() == 63 {
            continue;
        }
        for byte in &alphabet {
            let next: State = globs
                .iter()
                .zip(&state)
                .map(|(glob, set)| {
                    let step = |at: &usize| match glob.get(*at) {
                        Some(b'*') => Some(*at),
                        Some(want) if want == byte => Some(at + 1),
                        _ => None,
                    };
                    close(glob, set.iter().filter_map(step).collect())
                })
                .collect();
            if next[0].is_empty() {
                continue;
            }
            // A state is entered as often as there are literals to avoid, and once more.
            let count = visits.entry(next.clone()).or_insert(0);
            if *count <= literals.len() {
                *count += 1;
                let mut label = label.clone();
                label.push(*byte);
                todo.push_back((next, label));
            }
        }
    }
    Some(found.into_values().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str, others: &[&str]) -> Difference {
        let parse = |text: &&str| Pattern::parse(text).expect("a pattern");
        let others: Vec<Pattern> = others.iter().map(parse).collect();
        let pattern = parse(&pattern);
        let found = difference(&pattern, &others.iter().collect::<Vec<_>>());
        if let Difference::Name(name) = &found {
            assert!(pattern.matches(name) && !others.iter().any(|o| o.matches(name)), "{pattern} {name}");
        }
        found
    }

    #[test]
    fn covered() {
        for (pattern, others) in [
            ("a.b", &["*.b"][..]),
            ("*.b", &["**.b"]),
            ("**.b", &["*.b", "**.*.b"]),
            ("x*.b", &["*.b"]),
            ("*a*.b", &["*.b"]),
            ("a*b.c", &["a*.c"]),
            ("**.b", &["*"]),
            ("*a*.c", &["*a*.c", "z.z"]),
            ("**.a.b", &["**.b"]),
            ("*", &["*"]),
        ] {
            assert_eq!(of(pattern, others), Difference::None, "{pattern} {others:?}");
        }
    }

    #[test]
    fn many_literals_do_not_hide_a_wildcard() {
        let words: Vec<String> = (0..400)
            .map(|i| {
                format!(
                    "{}.b",
                    ["x", "y", "z"].iter().cycle().skip(i % 3).take(1 + i / 40).copied().collect::<String>() + &"xyz"[..i % 4]
                )
            })
            .collect();
        let others: Vec<&str> = words.iter().map(String::as_str).collect();
        assert!(!matches!(of("*.b", &others), Difference::None));
        let plain: Vec<String> = "xyz"
            .chars()
            .flat_map(|a| "xyz".chars().flat_map(move |b| "xyz".chars().map(move |c| format!("{a}{b}{c}.b"))))
            .collect();
        assert!(!matches!(of("*.b", &plain.iter().map(String::as_str).collect::<Vec<_>>()), Difference::None));
    }

    #[test]
    fn not_covered() {
        for (pattern, others) in [
            ("**.b", &["*.b", "*.*.b"][..]),
            ("*.b", &["x.b", "a.b", "x*.b", "*x.b"]),
            ("*a*.c", &["a*.c", "*a.c"]),
            ("*", &["**.com"]),
            ("*a*b*.c", &["*ab*.c", "*a*.d"]),
            ("a.b", &[]),
            ("**.b", &["**.a.b", "*.b"]),
            ("*.b", &["a*.b", "b*.b", "c*.b", "x*.b", "0*.b"]),
        ] {
            assert!(matches!(of(pattern, others), Difference::Name(_)), "{pattern} {others:?}");
        }
    }
}
