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
    /// Plain words that readers take for different values, keys among them.
    pub ambiguous: Vec<(Span, String)>,
}

impl Document {
    /// The items of a list, each as a document of its own.
    pub(crate) fn items(&self) -> impl Iterator<Item = Document> {
        let items = self.root.get("items").map(Node::items).unwrap_or_default();
        items.iter().map(|item| {
            // An alias brings in what stands elsewhere in the document.
            let mut spans = HashSet::new();
            if !self.ambiguous.is_empty() {
                item.spans(&mut spans);
            }
            let ambiguous = self.ambiguous.iter().filter(|(span, _)| spans.contains(span)).cloned().collect();
            Document { root: Rc::clone(item), ambiguous }
        })
    }
}

/// Nested deeper than this is no policy.
const DEPTH: usize = 64;
/// Values in one document, aliases counted each time they are used.
const WEIGHT: usize = 4_000_000;

/// Documents that cannot be read, and characters that may not stand there, that are told of one text.
const STOPS: usize = 100;

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

    /// Where its scalars and keys stand.
    fn spans(&self, found: &mut HashSet<Span>) {
        match &self.kind {
            Kind::Scalar(_) => {
                found.insert(self.span);
            }
            Kind::Sequence(items) => items.iter().for_each(|item| item.spans(found)),
            Kind::Mapping(pairs) => {
                for (_, key, value) in pairs {
                    found.insert(*key);
                    value.spans(found);
                }
            }
        }
    }

    /// The elements of a sequence.
    pub fn items(&self) -> &[Rc<Node>] {
        match &self.kind {
            Kind::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Whether it has keys.
    pub fn is_mapping(&self) -> bool {
        matches!(self.kind, Kind::Mapping(_))
    }

    /// Whether it has elements.
    pub fn is_sequence(&self) -> bool {
        matches!(self.kind, Kind::Sequence(_))
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

    /// A copy without these nodes, and without lists that they emptied. `holes`: where mappings begin that lost something.
    pub(crate) fn without(self: &Rc<Node>, gone: &HashSet<*const Node>, holes: &mut Vec<usize>) -> Option<Rc<Node>> {
        if gone.contains(&Rc::as_ptr(self)) {
            return None;
        }
        let kind = match &self.kind {
            Kind::Scalar(_) => return Some(Rc::clone(self)),
            Kind::Sequence(items) => {
                let left: Vec<Rc<Node>> = items.iter().filter_map(|item| item.without(gone, holes)).collect();
                if left.is_empty() && !items.is_empty() {
                    return None;
                }
                Kind::Sequence(left)
            }
            Kind::Mapping(pairs) => {
                let left = pairs.iter().filter_map(|(key, span, value)| Some((key.clone(), *span, value.without(gone, holes)?)));
                let left: Vec<(String, Span, Rc<Node>)> = left.collect();
                if left.len() < pairs.len() {
                    holes.push(self.span.start);
                }
                Kind::Mapping(left)
            }
        };
        Some(Rc::new(Node { span: self.span, kind, weight: self.weight }))
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
    let mut told = 0;
    for (at, c) in text.char_indices() {
        if let Some(what) = ambiguous(c) {
            told += 1;
            if told > STOPS {
                break;
            }
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
    let mut documents = Vec::new();
    let (mut from, mut stops) = (0, 0);
    // What stands behind a document that cannot be read is read all the same.
    while let Some(rest) = body.get(from..).filter(|_| stops < STOPS) {
        stops += 1;
        let places = Places::new(rest, offset + from);
        let parser = Parser::new_from_str(rest);
        let (anchors, ambiguous) = (HashMap::new(), Vec::new());
        let mut reader = Reader { source, findings, places, parser, anchors, ambiguous, weight: 0, at: 0, begun: false };
        if reader.documents(&mut documents) {
            break;
        }
        let at = reader.at.saturating_sub(offset).max(from);
        let Some(next) = next_document(body, at) else { break };
        from = next;
    }
    documents
}

/// Where the next `---` at the beginning of a line is: nothing else may stand there (YAML 1.2 section 9.1.2).
fn next_document(body: &str, at: usize) -> Option<usize> {
    let mut from = at;
    loop {
        let next = from + body.get(from..)?.find("\n---")? + 1;
        if body.get(next + 3..).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            return Some(next);
        }
        from = next;
    }
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
    /// How far the text has been read.
    at: usize,
    /// A document has begun.
    begun: bool,
}

/// The text cannot be read on; it has been reported.
struct Stop;

impl<'a> Reader<'a> {
    /// Adds the documents; whether the text was read to its end.
    fn documents(&mut self, documents: &mut Vec<Document>) -> bool {
        loop {
            match self.next() {
                Ok((Event::DocumentStart(explicit), span)) => {
                    if !explicit && self.begun {
                        // kubectl parts documents by `---` alone, and reads the first of what is left in one.
                        let message = "a document begins without `---` before it";
                        self.findings.at(Code::Syntax, self.source, span, message, "here", "write `---` between documents");
                    }
                    let line = self.source.text.get(span.start..).and_then(|rest| rest.lines().next()).unwrap_or("");
                    let behind = line.strip_prefix("---").map_or("", str::trim_start);
                    if !behind.is_empty() && !behind.starts_with('#') {
                        // kubectl parts documents at lines that hold `---` and nothing else.
                        let message = "something stands behind `---`";
                        self.findings.at(
                            Code::Syntax,
                            self.source,
                            span,
                            message,
                            "on this line",
                            "begin the document on the next line",
                        );
                    }
                    self.begun = true;
                    self.anchors.clear();
                    self.weight = 0;
                    let Ok((event, span)) = self.next() else { return false };
                    match self.node(event, span, 0) {
                        Ok(root) => documents.push(Document { root, ambiguous: std::mem::take(&mut self.ambiguous) }),
                        Err(Stop) => return false,
                    }
                }
                Ok((Event::StreamEnd, _)) => return true,
                Err(Stop) => return false,
                Ok(_) => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            None => Err(Stop),
            Some(Ok((event, span))) => {
                let span = self.places.span(span);
                self.at = self.at.max(span.start);
                Ok((event, span))
            }
            Some(Err(error)) => {
                let at = self.places.byte(error.marker().index());
                let span = Span { start: at, end: at + 1 };
                let quoted = self.unquoted(at);
                let open = ["flow sequence", "flow mapping", "quoted scalar"].iter().any(|what| error.info().contains(what));
                let help = match (&quoted, open) {
                    (Some(_), _) => "a value that begins like this is quoted",
                    (None, true) => "a bracket or quote before this is not closed",
                    (None, false) => "",
                };
                let stop = self.stop(Code::Syntax, span, format!("not YAML: {}", error.info()), "the reader stops here", help);
                if let Some(value) = quoted {
                    let text = self.source.text.get(value.start..value.end).unwrap_or("");
                    self.findings.mend(value, format!("\"{text}\""));
                }
                stop
            }
        }
    }

    /// The plain value on the line that begins with a character which means something else there (YAML 1.2 section 5.3).
    fn unquoted(&self, at: usize) -> Option<Span> {
        let text = &self.source.text;
        let at = at.min(text.len());
        // The reader may have gone on to the next line before it stopped.
        let from = text.get(..at)?.trim_end().rfind('\n').map_or(0, |start| start + 1);
        let line = text.get(from..)?.lines().next()?;
        let begins = |i: usize| {
            let before = line.get(..i).unwrap_or("");
            (before.trim().is_empty() || before.ends_with(": ") || before.ends_with("- ") || before.ends_with('['))
                && line.get(i..).is_some_and(|rest| rest.starts_with(['*', '&', '!', '@', '%', '`']))
        };
        let start = line.char_indices().map(|(i, _)| i).find(|i| begins(*i))?;
        let value = line.get(start..)?;
        let end = [" #", ",", "]", "}"].iter().filter_map(|stop| value.find(stop)).min().unwrap_or(value.len());
        let value = value.get(..end)?.trim_end();
        (!value.contains(['"', '\\'])).then_some(Span { start: from + start, end: from + start + value.len() })
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
                if style == ScalarStyle::Plain && (is_old_boolean(&text) || is_odd_number(&text)) {
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
        let mut merged: Option<(Span, Rc<Node>)> = None;
        let mut weight = 1;
        loop {
            let (key, key_span, plain) = match self.next()? {
                (Event::MappingEnd, end) => {
                    if let Some((span, value)) = merged {
                        let have = pairs.iter().map(|(key, _, _)| key.clone()).collect();
                        self.merge(&mut pairs, have, span, &value);
                    }
                    return Ok((pairs, end, weight));
                }
                (Event::Scalar(text, style, _, None), span) => {
                    let plain = style == ScalarStyle::Plain;
                    if plain && is_old_boolean(&text) {
                        self.ambiguous.push((span, text.to_string()));
                    }
                    (text.into_owned(), span, plain)
                }
                (_, span) => return self.stop(Code::Syntax, span, "a key must be a plain text", "here", ""),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            weight += value.weight;
            if key == "<<" && plain {
                // kubectl goes by the order of writing: a `<<` overrides what stands before it, and the last one counts. Others
                // do not. Only what all read alike is read.
                if merged.is_some() || !pairs.is_empty() {
                    let message = "`<<` stands behind other keys: readers disagree on which of them counts";
                    let help = "write one `<<`, as the first key; a list takes several: `<<: [*a, *b]`";
                    self.findings.at(Code::DuplicateKey, self.source, key_span, message, "here", help);
                } else {
                    merged = Some((key_span, value));
                }
                continue;
            }
            if plain && !matches!(resolve(&key), Value::String(_)) {
                self.ambiguous.push((key_span, key.clone()));
            }
            // Few keys are compared one by one, many are looked up.
            let twice = if pairs.len() < 16 { pairs.iter().any(|(k, _, _)| *k == key) } else { !seen.insert(key.clone()) };
            if pairs.len() == 15 {
                seen = pairs.iter().map(|(k, _, _)| k.clone()).chain([key.clone()]).collect();
            }
            if twice {
                let message = format!("the key `{}` stands twice", key.escape_default());
                self.findings.at(Code::DuplicateKey, self.source, key_span, message, "again here", "keep the one that is meant");
                continue;
            }
            pairs.push((key, key_span, value));
        }
    }
}

impl Reader<'_> {
    /// The keys of a `<<` (yaml.org/type/merge.html): what stands in the mapping itself counts first, then the mappings of the list
    /// in their order.
    fn merge(&mut self, pairs: &mut Vec<(String, Span, Rc<Node>)>, mut have: HashSet<String>, span: Span, value: &Node) {
        let mappings = match &value.kind {
            Kind::Sequence(items) => items.iter().map(Rc::as_ref).collect(),
            _ => vec![value],
        };
        for mapping in mappings {
            let Kind::Mapping(more) = &mapping.kind else {
                let message = "`<<` takes the keys of other mappings";
                self.findings.at(Code::WrongType, self.source, span, message, "no mapping follows", "write `<<: *anchor`");
                return;
            };
            pairs.extend(more.iter().filter(|(key, _, _)| have.insert(key.clone())).cloned());
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

/// A number that readers take for different ones, or for a text: `010` is eight in YAML 1.1 (yaml.org/type/int.html), ten in 1.2.
fn is_odd_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut bytes = digits.bytes();
    match (bytes.next(), bytes.next()) {
        (Some(b'0'), Some(b'0'..=b'9' | b'_')) => digits.bytes().all(|b| b.is_ascii_digit() || b == b'_'),
        (Some(b'0'), Some(b'x' | b'o' | b'b' | b'X' | b'O' | b'B')) => {
            digits[2..].bytes().all(|b| b.is_ascii_hexdigit() || b == b'_')
        }
        (Some(b'0'..=b'9'), Some(_)) => digits.contains('_') && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_'),
        _ => false,
    }
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
