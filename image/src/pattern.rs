//! The pattern language of `matchName` and `matchPattern`, as Cilium defines it (pkg/fqdn/matchpattern).

use crate::name::{WireName, is_plain};
use std::fmt;

/// What one label of a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// These bytes.
    Literal(Vec<u8>),
    /// Any label of plain bytes.
    Star,
    /// Literal parts with stars between them; at least one star and one byte.
    Glob(Vec<u8>),
}

/// A pattern, canonical: lower case, no final dot, no two stars in a row but a leading `**.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// `*`: any name of plain bytes, the root included.
    Everything,
    /// Labels from left to right.
    Labels {
        /// A leading `**.`: one or more labels before the others.
        deep: bool,
        /// The labels, at least one.
        labels: Vec<Label>,
    },
}

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
        let lower = text.to_ascii_lowercase();
        let body = lower.strip_suffix('.').unwrap_or(&lower);
        if body.bytes().all(|b| b == b'*') {
            return Ok(Pattern::Everything);
        }
        let mut parts: Vec<&str> = body.split('.').collect();
        let first = parts[0];
        let deep = first.len() >= 2 && first.bytes().all(|b| b == b'*');
        if deep {
            parts.remove(0);
        }
        Ok(Pattern::Labels { deep, labels: parts.into_iter().map(label).collect() })
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
        let Pattern::Labels { deep, labels } = self else { return true };
        let mut octets = 1 + if *deep { 2 } else { 0 };
        for label in labels {
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
        let found = name.labels();
        let (deep, labels) = match self {
            Pattern::Everything => return name.is_plain(),
            Pattern::Labels { deep, labels } => (*deep, labels),
        };
        if found.len() < labels.len() {
            return false;
        }
        let (before, tail) = found.split_at(found.len() - labels.len());
        let plain = |label: &&[u8]| label[1..].iter().all(|b| is_plain(*b));
        before.is_empty() != deep
            && before.iter().all(plain)
            && labels.iter().zip(tail).all(|(want, have)| match want {
                Label::Literal(bytes) => bytes == &have[1..],
                Label::Star => plain(have),
                Label::Glob(glob) => plain(have) && glob_matches(glob, &have[1..]),
            })
    }

    /// A name that matches, if there is one: stars become `x`.
    pub fn witness(&self) -> Option<WireName> {
        let text = match self {
            Pattern::Everything => return WireName::parse("x").ok(),
            Pattern::Labels { .. } => self.to_string(),
        };
        let text = text.replace("**.", "x.");
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

fn label(text: &str) -> Label {
    if !text.contains('*') {
        return Label::Literal(text.as_bytes().to_vec());
    }
    let mut bytes: Vec<u8> = text.bytes().collect();
    bytes.dedup_by(|a, b| *a == b'*' && *b == b'*');
    if bytes == b"*" { Label::Star } else { Label::Glob(bytes) }
}

/// `glob` against one label's bytes; the bytes are known to be plain.
pub fn glob_matches(glob: &[u8], bytes: &[u8]) -> bool {
    match glob.split_first() {
        None => bytes.is_empty(),
        Some((b'*', rest)) => (0..=bytes.len()).any(|skip| glob_matches(rest, &bytes[skip..])),
        Some((want, rest)) => bytes.split_first().is_some_and(|(have, tail)| have == want && glob_matches(rest, tail)),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pattern::Labels { deep, labels } = self else { return f.write_str("*") };
        if *deep {
            f.write_str("**.")?;
        }
        for (i, label) in labels.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match label {
                Label::Star => f.write_str("*")?,
                Label::Literal(bytes) | Label::Glob(bytes) => f.write_str(&String::from_utf8_lossy(bytes))?,
            }
        }
        Ok(())
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
    fn refusals() {
        assert_eq!(Pattern::parse("a..b"), Err(PatternError::EmptyLabel(2)));
        assert_eq!(Pattern::parse(".a"), Err(PatternError::EmptyLabel(0)));
        assert_eq!(Pattern::parse("."), Err(PatternError::EmptyLabel(0)));
        assert_eq!(Pattern::parse("bücher.de"), Err(PatternError::Character('ü', 1)));
        assert_eq!(Pattern::parse_name("*.a"), Err(PatternError::Star(0)));
    }
}
