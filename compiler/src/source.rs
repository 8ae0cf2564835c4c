//! A text and where it came from.

use std::sync::Arc;

/// One file, or standard input. INVARIANT: no text is parsed twice.
#[derive(Clone, Debug)]
pub struct Source {
    /// What to call it in messages: the path as given.
    pub name: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
}

/// Bytes of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte behind the last.
    pub end: usize,
}

impl Source {
    /// Line and column of a byte, both from 1, the column in characters.
    pub fn line_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        (line, column)
    }
}
