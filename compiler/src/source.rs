//! A text and where it came from.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::sync::{Arc, OnceLock};

/// One file, or standard input. INVARIANT: no text is parsed twice.
#[derive(Clone, Debug)]
pub struct Source {
    /// What to call it in messages: the path as given.
    pub name: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
    lines: Arc<OnceLock<Vec<usize>>>,
    shown: Arc<OnceLock<Option<String>>>,
}

/// Bytes of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte behind the last.
    pub end: usize,
}

impl Source {
    /// A text under a name.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Source { name: name.into(), text: text.into(), lines: Arc::default(), shown: Arc::default() }
    }

    /// First byte of each line.
    fn lines(&self) -> &[usize] {
        let starts = || std::iter::once(0).chain(self.text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        self.lines.get_or_init(|| starts().collect())
    }

    /// The text for a terminal: what would steer it is replaced, byte by byte, by question marks.
    fn shown(&self) -> &str {
        let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || crate::yaml::is_mark(c);
        let replaced = || {
            self.text.contains(steers).then(|| {
                let mut out = String::with_capacity(self.text.len());
                for c in self.text.chars() {
                    if steers(c) { (0..c.len_utf8()).for_each(|_| out.push('?')) } else { out.push(c) }
                }
                out
            })
        };
        self.shown.get_or_init(replaced).as_deref().unwrap_or(&self.text)
    }

    fn line(&self, at: usize) -> usize {
        self.lines().partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub fn line_column(&self, at: usize) -> (usize, usize) {
        let line = self.line(at);
        let before = self.lines().get(line).and_then(|start| self.text.get(*start..at)).unwrap_or("");
        (line + 1, before.chars().count() + 1)
    }

    /// Bytes of the longest of the lines that are shown for a span: its own, the one before and the one after.
    pub fn widest_line_at(&self, span: Span) -> usize {
        let (first, last) = (self.line(span.start).saturating_sub(1), self.line(span.end.max(span.start)) + 1);
        let start = |line: usize| self.lines().get(line).copied().unwrap_or(self.text.len());
        (first..=last).map(|line| start(line + 1) - start(line)).max().unwrap_or(0)
    }

    /// The span; or, where it lies behind all that is written, the last line that has something.
    pub fn within(&self, span: Span) -> Span {
        let body = self.text.trim_end();
        if span.start < body.len() {
            return Span { start: span.start, end: span.end.clamp(span.start, self.text.len()) };
        }
        let line = &body[body.rfind('\n').map_or(0, |at| at + 1)..];
        Span { start: body.len() - line.trim_start().len(), end: body.len() }
    }

    /// The lines that a span touches, without the last line's end.
    pub fn lines_of(&self, span: Span) -> Span {
        let start = self.lines().get(self.line(span.start)).copied().unwrap_or(0);
        let end = span.end.max(span.start);
        let rest = self.text.get(end..).unwrap_or("");
        Span { start, end: end + rest.find(['\r', '\n']).unwrap_or(rest.len()) }
    }
}

/// miette's own reading of a text scans it from the start for each finding.
impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let end = span.offset().saturating_add(span.len());
        if end > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let first = self.line(span.offset()).saturating_sub(before);
        let last = self.line(end.saturating_sub(1).max(span.offset())) + after;
        // Without context the contents begin with the span itself: miette takes the column from them.
        let line_start = self.lines().get(first).copied().unwrap_or(0);
        let start = if before == 0 { span.offset() } else { line_start };
        let column = self.text.get(line_start..start).unwrap_or("").chars().count();
        let stop = self.lines().get(last + 1).copied().unwrap_or(self.text.len());
        let data = self.shown().as_bytes().get(start..stop).ok_or(MietteError::OutOfBounds)?;
        let lines = last.min(self.lines().len()) + 1 - first;
        let contents =
            MietteSpanContents::new_named(self.name.to_string(), data, (start, stop - start).into(), first, column, lines);
        Ok(Box::new(contents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns() {
        let source = Source::new("x", "a\r\nbü:c\n\nd");
        assert_eq!([0, 3, 6, 9, 10].map(|at| source.line_column(at)), [(1, 1), (2, 1), (2, 3), (3, 1), (4, 1)]);
        let lines = source.lines_of(Span { start: 6, end: 7 });
        assert_eq!(source.text.get(lines.start..lines.end), Some("bü:c"));
    }
}
