//! Text to trees with spans, in one reading: the events of one parser, never a second parser.

use crate::diagnostic::{Code, Findings};
use crate::source::{Source, Span};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_yaml::{Mapping, Value};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    /// Its text.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
    weight: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// A scalar, resolved by the core schema.
    Scalar(Value),
    /// A sequence.
    Sequence(Vec<Rc<Node>>),
    /// A mapping: key, its span, value.
    Mapping(Vec<(String, Span, Rc<Node>)>),
}

/// One document of a text.
#[derive(Debug)]
pub struct Document {
    /// Its value.
    pub root: Rc<Node>,
    /// Plain words that YAML 1.1 reads as booleans and YAML 1.2 as texts, keys among them.
    pub ambiguous: Vec<(Span, String)>,
}

/// Nested deeper than this is no policy.
const DEPTH: usize = 64;
/// Values in one document, aliases counted each time they are used.
const WEIGHT: usize = 4_000_000;

/// A step from a node to a child.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Value of a key.
    Key(&'a str),
    /// Element of a sequence.
    Index(usize),
}

impl Node {
    /// Value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Mapping(pairs) => pairs.iter().find(|(k, _, _)| k == key).map(|(_, _, v)| v.as_ref()),
            _ => None,
        }
    }

    /// Where a key stands.
    pub fn key_span(&self, key: &str) -> Option<Span> {
        match &self.kind {
            Kind::Mapping(pairs) => pairs.iter().find(|(k, _, _)| k == key).map(|(_, span, _)| *span),
            _ => None,
        }
    }

    /// Element of a sequence.
    pub fn index(&self, index: usize) -> Option<&Node> {
        match &self.kind {
            Kind::Sequence(items) => items.get(index).map(Rc::as_ref),
            _ => None,
        }
    }

    /// The elements of a sequence.
    pub fn items(&self) -> &[Rc<Node>] {
        match &self.kind {
            Kind::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The child a step leads to.
    pub fn child(&self, step: Step<'_>) -> Option<&Node> {
        match step {
            Step::Key(key) => self.get(key),
            Step::Index(index) => self.index(index),
        }
    }

    /// Where a path leads.
    pub fn find(&self, path: &[Step<'_>]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| node.child(*step))
    }

    /// The span that a path leads to, or that of the last node on it.
    pub fn span_of(&self, path: &[Step<'_>]) -> Span {
        let mut node = self;
        for step in path {
            let Some(child) = node.child(*step) else { break };
            node = child;
        }
        node.span
    }

    /// As a plain value. Null values of mappings are absent, as the Kubernetes API server has it.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Sequence(items) => Value::Sequence(items.iter().map(|i| i.value()).collect()),
            Kind::Mapping(pairs) => {
                let mut mapping = Mapping::with_capacity(pairs.len());
                for (key, _, value) in pairs {
                    if !matches!(value.kind, Kind::Scalar(Value::Null)) {
                        mapping.insert(Value::String(key.clone()), value.value());
                    }
                }
                Value::Mapping(mapping)
            }
        }
    }
}

/// Turns the direction of the text around it (Unicode UAX 9).
pub(crate) fn is_mark(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// Characters that some reader takes for something else (contract: one reading of the text).
fn ambiguous(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{2028}' => "a line separator",
        '\u{2029}' => "a paragraph separator",
        '\u{85}' => "a next-line character",
        '\u{feff}' => "a byte order mark",
        '\u{0}' => "a NUL",
        c if is_mark(c) => "a bidirectional mark",
        c if c.is_control() && !matches!(c, '\n' | '\r' | '\t') => "a control character",
        _ => return None,
    })
}

/// Refuses ambiguous characters; true = the text may be parsed.
fn check_characters(source: &Source, findings: &mut Findings) -> bool {
    let text = &source.text;
    let mut clean = true;
    let bare_return = text.bytes().zip(text.bytes().skip(1).chain([0])).position(|(a, b)| a == b'\r' && b != b'\n');
    if let Some(at) = bare_return {
        let span = Span { start: at, end: at + 1 };
        findings.at(Code::Character, source, span, "a carriage return without a line feed", "here", "end lines with a line feed");
        clean = false;
    }
    if text.is_ascii() && !text.bytes().any(|b| b.is_ascii_control() && !matches!(b, b'\n' | b'\r' | b'\t')) {
        return clean;
    }
    for (at, c) in text.char_indices() {
        if let Some(what) = ambiguous(c) {
            if at == 0 && c == '\u{feff}' {
                continue;
            }
            let span = Span { start: at, end: at + c.len_utf8() };
            let help = format!("remove it, or write \"\\u{:04x}\" inside double quotes", c as u32);
            findings.at(Code::Character, source, span, format!("{what} (U+{:04X}) in the text", c as u32), "here", help);
            clean = false;
        }
    }
    clean
}

/// The documents of a text. What cannot be read is reported; the documents before it are still given.
pub fn parse(source: &Source, findings: &mut Findings) -> Vec<Document> {
    if !check_characters(source, findings) {
        return Vec::new();
    }
    let text: &str = &source.text;
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let offset = text.len() - body.len();
    let places = Places::new(body, offset);
    let parser = Parser::new_from_str(body);
    let mut reader = Reader { source, findings, places, parser, anchors: HashMap::new(), ambiguous: Vec::new(), weight: 0 };
    reader.documents()
}

/// From the parser's character positions to bytes.
struct Places {
    offset: usize,
    bytes: Option<Vec<usize>>,
    end: usize,
}

impl Places {
    fn new(body: &str, offset: usize) -> Self {
        let bytes = (!body.is_ascii()).then(|| body.char_indices().map(|(at, _)| at).collect());
        Places { offset, bytes, end: body.len() }
    }

    fn byte(&self, index: usize) -> usize {
        self.offset + self.bytes.as_ref().map_or(index, |b| b.get(index).copied().unwrap_or(self.end)).min(self.end)
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(span.start.index());
        Span { start, end: self.byte(span.end.index()).max(start) }
    }
}

struct Reader<'a> {
    source: &'a Source,
    findings: &'a mut Findings,
    places: Places,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Rc<Node>>,
    ambiguous: Vec<(Span, String)>,
    weight: usize,
}

/// The text cannot be read on; it has been reported.
struct Stop;

impl<'a> Reader<'a> {
    fn documents(&mut self) -> Vec<Document> {
        let mut documents = Vec::new();
        loop {
            match self.next() {
                Ok((Event::DocumentStart(_), _)) => {
                    self.anchors.clear();
                    self.weight = 0;
                    let Ok((event, span)) = self.next() else { break };
                    match self.node(event, span, 0) {
                        Ok(root) => documents.push(Document { root, ambiguous: std::mem::take(&mut self.ambiguous) }),
                        Err(Stop) => break,
                    }
                }
                Ok((Event::StreamEnd, _)) | Err(Stop) => break,
                Ok(_) => {}
            }
        }
        documents
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            None => Err(Stop),
            Some(Ok((event, span))) => {
                let span = self.places.span(span);
                Ok((event, span))
            }
            Some(Err(error)) => {
                let at = self.places.byte(error.marker().index());
                let span = Span { start: at, end: at + 1 };
                self.stop(Code::Syntax, span, format!("not YAML: {}", error.info()), "the reader stops here", "")
            }
        }
    }

    fn stop<T>(&mut self, code: Code, span: Span, message: impl Into<String>, label: &str, help: &str) -> Result<T, Stop> {
        self.findings.at(code, self.source, span, message, label, help);
        Err(Stop)
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Rc<Node>, Stop> {
        if depth > DEPTH {
            return self.stop(Code::Depth, span, format!("nested deeper than {DEPTH} levels"), "here", "");
        }
        let (anchor, tag, kind, span, weight) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                if style == ScalarStyle::Plain && is_old_boolean(&text) {
                    self.ambiguous.push((span, text.to_string()));
                }
                let value = if style == ScalarStyle::Plain { resolve(&text) } else { Value::String(text.into_owned()) };
                (anchor, tag, Kind::Scalar(value), span, 1)
            }
            Event::SequenceStart(anchor, tag) => {
                let mut items = Vec::new();
                let mut weight = 1;
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break end,
                        (event, span) => {
                            let item = self.node(event, span, depth + 1)?;
                            weight += item.weight;
                            items.push(item);
                        }
                    }
                };
                (anchor, tag, Kind::Sequence(items), Span { start: span.start, end: end.end }, weight)
            }
            Event::MappingStart(anchor, tag) => {
                let (pairs, end, weight) = self.mapping(depth)?;
                (anchor, tag, Kind::Mapping(pairs), Span { start: span.start, end: end.end }, weight)
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return self.stop(Code::Alias, span, "an alias without an anchor", "here", "");
                };
                self.weight += node.weight;
                if self.weight > WEIGHT {
                    return self.stop(
                        Code::Alias,
                        span,
                        "aliases repeat too much",
                        "this one goes over the limit",
                        "write the values out",
                    );
                }
                return Ok(node);
            }
            _ => return self.stop(Code::Syntax, span, "not YAML: a value is missing", "here", ""),
        };
        if let Some(tag) = tag {
            let message = format!("the tag `{}{}`", tag.handle.escape_default(), tag.suffix.escape_default());
            self.findings.at(
                Code::Tag,
                self.source,
                span,
                message,
                "tags are not read",
                "write the value itself, quoted if it is a string",
            );
        }
        self.weight += 1;
        if self.weight > WEIGHT {
            return self.stop(Code::TooMany, span, "a document with millions of values", "here", "split it");
        }
        let end = trimmed(&self.source.text, span);
        let node = Rc::new(Node { span: end, kind, weight });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    #[allow(clippy::type_complexity)]
    fn mapping(&mut self, depth: usize) -> Result<(Vec<(String, Span, Rc<Node>)>, Span, usize), Stop> {
        let mut pairs: Vec<(String, Span, Rc<Node>)> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut weight = 1;
        loop {
            let (key, key_span) = match self.next()? {
                (Event::MappingEnd, end) => return Ok((pairs, end, weight)),
                (Event::Scalar(text, style, _, None), span) => {
                    if style == ScalarStyle::Plain && is_old_boolean(&text) {
                        self.ambiguous.push((span, text.to_string()));
                    }
                    (text.into_owned(), span)
                }
                (_, span) => return self.stop(Code::Syntax, span, "a key must be a plain text", "here", ""),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            weight += value.weight;
            // Few keys are compared one by one, many are looked up.
            let twice = if pairs.len() < 16 { pairs.iter().any(|(k, _, _)| *k == key) } else { !seen.insert(key.clone()) };
            if pairs.len() == 15 {
                seen = pairs.iter().map(|(k, _, _)| k.clone()).chain([key.clone()]).collect();
            }
            if twice {
                let message = format!("the key `{}` stands twice", key.escape_default());
                self.findings.at(Code::DuplicateKey, self.source, key_span, message, "again here", "remove one of them");
                continue;
            }
            pairs.push((key, key_span, value));
        }
    }
}

/// A collection's end event stands after the white space behind it.
fn trimmed(text: &str, span: Span) -> Span {
    let body = text.get(span.start..span.end).unwrap_or("");
    Span { start: span.start, end: span.start + body.trim_end().len().max(usize::from(!body.is_empty())) }
}

/// A boolean for YAML 1.1 (yaml.org/type/bool.html), a text for YAML 1.2.
fn is_old_boolean(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off")
}

/// A plain scalar by YAML 1.2's core schema.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::String(text.to_owned());
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::Number(number.into());
    }
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-' | b'_'));
    let radix = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0o")).or_else(|| digits.strip_prefix("0b"));
    if radix.is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_')) {
        return Value::Number(0.into());
    }
    match text.replace('_', "").parse::<f64>() {
        Ok(number) if plain && number.is_finite() => Value::Number(number.into()),
        _ => Value::String(text.to_owned()),
    }
}
