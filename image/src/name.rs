//! Names on the wire: labels with length bytes, lower case, never joined by dots (a label may hold any
//! byte, a dot or NUL among them).

use crate::abi;
use std::fmt;

/// A name as labels with length bytes and the root's zero byte, ASCII letters folded (RFC 1035 section 3.1,
/// RFC 4343). INVARIANT: at most 255 octets, labels of 1 to 63 octets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireName(Vec<u8>);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Two dots in a row, or a leading dot.
    EmptyLabel,
    /// A label over 63 octets.
    LongLabel,
    /// Over 255 octets.
    LongName,
    /// A backslash without three digits or a character after it.
    Escape,
    /// Bytes after the root label, a pointer, or no root label.
    Wire,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::EmptyLabel => "an empty label",
            NameError::LongLabel => "a label over 63 octets",
            NameError::LongName => "over 255 octets",
            NameError::Escape => "a backslash that escapes nothing",
            NameError::Wire => "not one whole uncompressed name",
        })
    }
}

impl WireName {
    /// Reads a name as people write it; a final dot is optional, `\DDD` and `\X` escape (RFC 1035 section 5.1).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        if text.is_empty() || text == "." {
            wire.push(0);
            return Ok(WireName(wire));
        }
        let mut label = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => {
                    close_label(&mut wire, &mut label)?;
                    if bytes.peek().is_none() {
                        break;
                    }
                }
                b'\\' => {
                    let first = bytes.next().ok_or(NameError::Escape)?;
                    if first.is_ascii_digit() {
                        let mut value = u32::from(first - b'0');
                        for _ in 0..2 {
                            let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(NameError::Escape)?;
                            value = value * 10 + u32::from(digit - b'0');
                        }
                        label.push(u8::try_from(value).map_err(|_| NameError::Escape)?);
                    } else {
                        label.push(first);
                    }
                }
                other => label.push(other),
            }
        }
        if !label.is_empty() {
            close_label(&mut wire, &mut label)?;
        }
        wire.push(0);
        Self::from_wire(&wire)
    }

    /// Reads an uncompressed name off the wire, all of `wire`.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut at = 0usize;
        loop {
            let len = usize::from(*wire.get(at).ok_or(NameError::Wire)?);
            if len > abi::LABEL_MAX as usize {
                return Err(NameError::LongLabel);
            }
            at += 1 + len;
            if len == 0 {
                break;
            }
        }
        if at != wire.len() {
            return Err(NameError::Wire);
        }
        if at > abi::NAME_MAX as usize {
            return Err(NameError::LongName);
        }
        Ok(WireName(wire.to_ascii_lowercase()))
    }

    /// The octets, root label included.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from left to right, each with its length byte, without the root.
    pub fn labels(&self) -> Vec<&[u8]> {
        let mut labels = Vec::new();
        let mut rest = self.0.as_slice();
        while let Some((&len, _)) = rest.split_first() {
            if len == 0 {
                break;
            }
            let (label, tail) = rest.split_at(1 + usize::from(len));
            labels.push(label);
            rest = tail;
        }
        labels
    }

    /// Every byte of every label is one that a pattern may hold.
    pub fn is_plain(&self) -> bool {
        self.labels().iter().all(|label| label[1..].iter().all(|b| is_plain(*b)))
    }
}

fn close_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), NameError> {
    let len = u8::try_from(label.len()).ok().filter(|n| u32::from(*n) <= abi::LABEL_MAX).ok_or(NameError::LongLabel)?;
    if len == 0 {
        return Err(NameError::EmptyLabel);
    }
    wire.push(len);
    wire.append(label);
    Ok(())
}

/// A byte that `*` matches: `[-a-z0-9_]` after folding (Cilium pkg/fqdn/matchpattern).
pub fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
}

impl fmt::Display for WireName {
    /// Names are attacker text: every byte that is not plain is shown as `\DDD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.labels();
        if labels.is_empty() {
            return f.write_str(".");
        }
        for (i, label) in labels.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            for byte in &label[1..] {
                if is_plain(*byte) {
                    write!(f, "{}", char::from(*byte))?;
                } else {
                    write!(f, "\\{byte:03}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire() {
        let name = WireName::parse("API.Example.com.").expect("a name");
        assert_eq!(name.wire(), b"\x03api\x07example\x03com\x00");
        assert_eq!(name.to_string(), "api.example.com");
        assert_eq!(WireName::parse(".").expect("root").wire(), b"\0");
        assert_eq!(WireName::parse("a\\.b.c").expect("dot in a label").wire(), b"\x03a.b\x01c\x00");
        assert_eq!(WireName::parse("a\\.b.c").expect("dot in a label").to_string(), "a\\046b.c");
    }

    #[test]
    fn refusals() {
        assert_eq!(WireName::parse("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(WireName::parse(".a"), Err(NameError::EmptyLabel));
        assert_eq!(WireName::parse(&"a".repeat(64)), Err(NameError::LongLabel));
        assert_eq!(WireName::parse(&"a.".repeat(128)), Err(NameError::LongName));
        assert_eq!(WireName::parse("a\\25"), Err(NameError::Escape));
        assert_eq!(WireName::from_wire(b"\xc0\x0c"), Err(NameError::LongLabel));
        assert_eq!(WireName::from_wire(b"\x01a"), Err(NameError::Wire));
    }
}
