//! The pattern language of `matchName` and `matchPattern`, as Cilium defines it (pkg/fqdn/matchpattern).

use crate::name::{WireName, is_plain};
use std::fmt;
use std::sync::Arc;

/// What one label of a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    /// These bytes.
    Literal(&'a [u8]),
    /// Any label of plain bytes.
    Star,
    /// Literal parts with stars between them; at least one star and one byte.
    Glob(&'a [u8]),
}

/// A pattern. INVARIANT: its text is canonical: lower case, no final dot, no two stars in a row but a leading
/// `**.`, so that two patterns with one meaning have one text. The bare `*` means any name of plain bytes, the root
/// included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Nothing there.
    Empty,
    /// Over 255 characters.
    Long,
    /// This character, at this byte.
    Character(char, usize),
    /// A leading dot or two dots in a row, at this byte.
    EmptyLabel(usize),
    /// A star in a matchName, at this byte.
    Star(usize),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Empty => f.write_str("it is empty"),
            PatternError::Long => f.write_str("it is longer than 255 characters"),
            PatternError::Character(c, _) => write!(f, "`{}` cannot stand in it", c.escape_default()),
            PatternError::EmptyLabel(_) => f.write_str("it has an empty label"),
            PatternError::Star(_) => f.write_str("a matchName has no wildcards"),
        }
    }
}

impl Pattern {
    /// Reads a `matchPattern`. Accepts what Cilium's API server and agent both accept.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.chars().count() > 255 {
            return Err(PatternError::Long);
        }
        let mut previous = b'.';
        for (at, c) in text.char_indices() {
            let lower = c.to_ascii_lowercase();
            if !(lower.is_ascii() && (is_plain(lower as u8) || c == '*' || c == '.')) {
                return Err(PatternError::Character(c, at));
            }
            if c == '.' && previous == b'.' {
                return Err(PatternError::EmptyLabel(at));
            }
            previous = c as u8;
        }
        let body = text.strip_suffix('.').unwrap_or(text);
        if body.bytes().all(|b| b == b'*') {
            return Ok(Pattern("*".into()));
        }
        let stars = body.len() - body.trim_start_matches('*').len();
        let deep = stars >= 2 && body.as_bytes()[stars] == b'.';
        let mut canonical = String::with_capacity(body.len());
        if deep {
            canonical.push('*');
        }
        let mut previous = None;
        for c in body[if deep { stars - 1 } else { 0 }..].chars() {
            if c != '*' || previous != Some('*') {
                canonical.push(c.to_ascii_lowercase());
            }
            previous = Some(c);
        }
        Ok(Pattern(canonical.into()))
    }

    /// The bare `*`.
    pub fn everything() -> Self {
        Pattern("*".into())
    }

    /// The canonical text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The bare `*`.
    pub fn is_everything(&self) -> bool {
        &*self.0 == "*"
    }

    /// Begins with `**.`: one or more labels before the others.
    pub fn is_deep(&self) -> bool {
        self.0.starts_with("**.")
    }

    /// The labels from left to right, without a leading `**`. (`*` alone has one, but means more.)
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = Label<'_>> {
        self.0.strip_prefix("**.").unwrap_or(&self.0).split('.').map(|label| match label.as_bytes() {
            b"*" => Label::Star,
            bytes if bytes.contains(&b'*') => Label::Glob(bytes),
            bytes => Label::Literal(bytes),
        })
    }

    /// Reads a `matchName`: a pattern without wildcards.
    pub fn parse_name(text: &str) -> Result<Self, PatternError> {
        if let Some(at) = text.find('*') {
            return Err(PatternError::Star(at));
        }
        Self::parse(text)
    }

    /// A name on the wire can match: no label over 63 octets, no more than 255 octets in all.
    pub fn can_match(&self) -> bool {
        if self.is_everything() || self.0.len() <= 63 {
            return true;
        }
        let mut octets = 1 + if self.is_deep() { 2 } else { 0 };
        for label in self.labels() {
            let least = match label {
                Label::Literal(bytes) => bytes.len(),
                Label::Star => 1,
                Label::Glob(bytes) => bytes.iter().filter(|b| **b != b'*').count().max(1),
            };
            if least > 63 {
                return false;
            }
            octets += 1 + least;
        }
        octets <= 255
    }

    /// Says directly from the text whether `name` matches: slow and obvious, the measure of every other engine.
    pub fn matches(&self, name: &WireName) -> bool {
        if self.is_everything() {
            return name.is_plain();
        }
        let found = name.labels();
        let wanted = self.labels().count();
        if found.len() < wanted {
            return false;
        }
        let (before, tail) = found.split_at(found.len() - wanted);
        let plain = |label: &&[u8]| label[1..].iter().all(|b| is_plain(*b));
        before.is_empty() != self.is_deep()
            && before.iter().all(plain)
            && self.labels().zip(tail).all(|(want, have)| match want {
                Label::Literal(bytes) => bytes == &have[1..],
                Label::Star => plain(have),
                Label::Glob(glob) => plain(have) && glob_matches(glob, &have[1..]),
            })
    }

    /// Every name that the other matches, this one matches. May say no where it is so: globs are compared as texts.
    pub fn covers(&self, other: &Pattern) -> bool {
        if self.is_everything() || self == other {
            return self.is_everything() || other.can_match();
        }
        if other.is_everything() || (other.is_deep() && !self.is_deep()) {
            return false;
        }
        let plain = |label: &Label<'_>| !matches!(label, Label::Literal(bytes) if !bytes.iter().all(|b| is_plain(*b)));
        let (own, others): (Vec<Label<'_>>, Vec<Label<'_>>) = (self.labels().collect(), other.labels().collect());
        let extra = others.len().checked_sub(own.len());
        let Some(extra) = extra.filter(|n| if self.is_deep() { *n + usize::from(other.is_deep()) > 0 } else { *n == 0 }) else {
            return false;
        };
        others[..extra].iter().all(plain)
            && own.iter().zip(&others[extra..]).all(|(own, other)| match (own, other) {
                (Label::Star, other) => plain(other),
                (Label::Literal(a), Label::Literal(b)) => a == b,
                (Label::Glob(a), Label::Literal(b) | Label::Glob(b)) => glob_matches(a, b),
                _ => false,
            })
    }

    /// Whether some name may match both; may say yes where none does.
    pub fn may_meet(&self, other: &Pattern) -> bool {
        if self.is_everything() || other.is_everything() {
            return true;
        }
        let pairs = self.labels().rev().zip(other.labels().rev());
        let together = pairs.into_iter().all(|pair| match pair {
            (Label::Literal(a), Label::Literal(b)) => a == b,
            (Label::Literal(text), Label::Glob(glob)) | (Label::Glob(glob), Label::Literal(text)) => glob_matches(glob, text),
            _ => true,
        });
        let (own, others) = (self.labels().count(), other.labels().count());
        together && (self.is_deep() || own >= others) && (other.is_deep() || others >= own)
    }

    /// A name that matches, if there is one: stars become `x`.
    pub fn witness(&self) -> Option<WireName> {
        let text = self.0.replace("**.", "x.");
        let labels: Vec<String> = text
            .split('.')
            .map(|l| {
                if l == "*" {
                    "x".into()
                } else if l.len() > 60 {
                    l.replace('*', "")
                } else {
                    l.replace('*', "x")
                }
            })
            .collect();
        WireName::parse(&labels.join(".")).ok()
    }
}

/// `glob` against one label's bytes; the bytes are known to be plain. After a mismatch only the last star takes one
/// byte more: what an earlier star could give, the last can give as well.
pub fn glob_matches(glob: &[u8], bytes: &[u8]) -> bool {
    let (mut at, mut next, mut retry) = (0, 0, None);
    while next < bytes.len() {
        if glob.get(at) == Some(&b'*') {
            retry = Some((at, next));
            at += 1;
        } else if glob.get(at) == Some(&bytes[next]) {
            (at, next) = (at + 1, next + 1);
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            (at, next) = (star + 1, taken + 1);
        } else {
            return false;
        }
    }
    glob[at..].iter().all(|b| *b == b'*')
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).expect("a pattern").matches(&WireName::parse(name).expect("a name"))
    }

    #[test]
    fn canonical_text() {
        for (text, want) in [
            ("***.A.com.", "**.a.com"),
            ("**a.com", "*a.com"),
            ("a.**.b", "a.*.b"),
            ("**.**", "**.*"),
            ("**.", "*"),
            ("a**b.c", "a*b.c"),
        ] {
            assert_eq!(Pattern::parse(text).expect("a pattern").to_string(), want, "{text}");
        }
    }

    #[test]
    fn meaning() {
        assert!(matches("*.s3.*.amazonaws.com", "b.s3.eu-west-1.amazonaws.com"));
        assert!(!matches("*.s3.*.amazonaws.com", "a.b.s3.eu.amazonaws.com"));
        assert!(matches("**.a.com", "x.y.a.com") && !matches("**.a.com", "a.com"));
        assert!(matches("*cilium.io", "subcilium.io") && !matches("*cilium.io", "sub.cilium.io"));
        assert!(matches("*", ".") && matches("*", "a.b") && !matches("*", "a\\.b"));
        assert!(!matches("*.com", "a\\032b.com") && !matches("a.b", "a\\.b"));
    }

    #[test]
    fn covering() {
        let covers = |a: &str, b: &str| Pattern::parse(a).expect("a pattern").covers(&Pattern::parse(b).expect("a pattern"));
        for (wide, narrow) in [
            ("*", "**.a"),
            ("**.a", "x.y.a"),
            ("**.a", "**.*.a"),
            ("*.a", "x.a"),
            ("*.a", "x*.a"),
            ("x*.a", "xy*z.a"),
            ("**.a", "*.a"),
        ] {
            assert!(covers(wide, narrow) && !covers(narrow, wide), "{wide} {narrow}");
        }
        for (a, b) in [("*.a", "a"), ("**.a", "a"), ("*.a", "x.y.a"), ("x*.a", "*x.a"), ("a", "b")] {
            assert!(!covers(a, b), "{a} {b}");
        }
    }

    #[test]
    fn refusals() {
        assert_eq!(Pattern::parse("a..b"), Err(PatternError::EmptyLabel(2)));
        assert_eq!(Pattern::parse(".a"), Err(PatternError::EmptyLabel(0)));
        assert_eq!(Pattern::parse("."), Err(PatternError::EmptyLabel(0)));
        assert_eq!(Pattern::parse("bücher.de"), Err(PatternError::Character('ü', 1)));
        assert_eq!(Pattern::parse_name("*.a"), Err(PatternError::Star(0)));
    }
}
