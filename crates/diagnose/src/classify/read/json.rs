//! A JSON walker that never fails: it gives out every scalar it can still read, of truncated texts too.
//!
//! No recursion and no tree: nesting costs one small stack entry down to [`DEPTH`] and nothing below it.

use std::borrow::Cow;

/// Deeper values are passed over.
const DEPTH: usize = 24;
/// After so many scalars no error message is to be expected any more.
const SCALARS: usize = 600;

/// A value that is no object and no array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    Text(Cow<'a, str>),
    /// As written.
    Number(&'a str),
    Bool(bool),
    Null,
}

/// Where a scalar stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    /// The nearest key; that of the array for its elements.
    pub key: &'a str,
    /// The key above it.
    pub parent: &'a str,
    /// How many objects and arrays it is inside of.
    pub depth: usize,
}

/// Whether a text is meant to be JSON.
pub(crate) fn looks_like(text: &str) -> bool {
    text.starts_with(['{', '['])
}

/// Whether a string holds JSON itself.
pub(crate) fn looks_nested(text: &str) -> bool {
    text.starts_with('{') || text.starts_with("[{") || text.starts_with("[\"")
}

/// Gives every scalar to `visit`, in order.
pub(crate) fn walk<'a>(text: &'a str, visit: &mut dyn FnMut(At<'a>, Scalar<'a>)) {
    Walker {
        text,
        at: 0,
        keys: [""; DEPTH],
        depth: 0,
        left: SCALARS,
    }
    .run(visit);
}

struct Walker<'a> {
    text: &'a str,
    at: usize,
    keys: [&'a str; DEPTH],
    depth: usize,
    left: usize,
}

impl<'a> Walker<'a> {
    fn run(&mut self, visit: &mut dyn FnMut(At<'a>, Scalar<'a>)) {
        let bytes = self.text.as_bytes();
        while self.left > 0
            && let Some(byte) = bytes.get(self.at)
        {
            match byte {
                b'{' | b'[' => {
                    self.depth += 1;
                    if let (Some(above), true) = (self.depth.checked_sub(2), self.depth <= DEPTH) {
                        // Elements of an array have the array's key until they name their own.
                        self.keys[self.depth - 1] = self.keys[above];
                    }
                    self.at += 1;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.at += 1;
                }
                b'"' => self.string(visit),
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                _ => self.word(visit),
            }
        }
    }

    fn string(&mut self, visit: &mut dyn FnMut(At<'a>, Scalar<'a>)) {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let (mut end, mut escaped) = (start, false);
        while let Some(next) = bytes
            .get(end..)
            .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        {
            end += next;
            if bytes[end] == b'"' {
                break;
            }
            escaped = true;
            end += 2;
        }
        if bytes.get(end) != Some(&b'"') {
            end = bytes.len();
        }
        let raw = self.text.get(start..end).unwrap_or_default();
        self.at = end + 1;
        if self.next_is_colon() {
            if (1..=DEPTH).contains(&self.depth) {
                self.keys[self.depth - 1] = raw;
            }
            return;
        }
        let value = if escaped {
            Cow::Owned(unescape(raw))
        } else {
            Cow::Borrowed(raw)
        };
        self.give(visit, Scalar::Text(value));
    }

    fn next_is_colon(&self) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        rest.trim_ascii_start().first() == Some(&b':')
    }

    fn word(&mut self, visit: &mut dyn FnMut(At<'a>, Scalar<'a>)) {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest
            .iter()
            .position(|byte| b",:{}[]\" \n\r\t".contains(byte))
            .unwrap_or(rest.len())
            .max(1);
        // Cut at ASCII only, so it is a character boundary.
        let word = self.text.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        match word {
            "true" => self.give(visit, Scalar::Bool(true)),
            "false" => self.give(visit, Scalar::Bool(false)),
            "null" => self.give(visit, Scalar::Null),
            _ if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                self.give(visit, Scalar::Number(word));
            }
            _ => {}
        }
    }

    fn give(&mut self, visit: &mut dyn FnMut(At<'a>, Scalar<'a>), value: Scalar<'a>) {
        self.left -= 1;
        if self.depth > DEPTH {
            return;
        }
        let key = |up: usize| {
            self.depth
                .checked_sub(up)
                .map_or("", |index| self.keys[index])
        };
        visit(
            At {
                key: key(1),
                parent: key(2),
                depth: self.depth,
            },
            value,
        );
    }
}

/// Turns escapes into characters; broken ones are dropped.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    let mut high = None;
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('n' | 'r' | 't' | 'b' | 'f') => text.push(' '),
            Some('u') => {
                let digits = chars.as_str().get(..4).unwrap_or_default();
                let unit = u16::from_str_radix(digits, 16).unwrap_or(0xfffd);
                chars = chars
                    .as_str()
                    .get(digits.len()..)
                    .unwrap_or_default()
                    .chars();
                push_unit(&mut text, &mut high, unit);
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

fn push_unit(text: &mut String, high: &mut Option<u16>, unit: u16) {
    match (high.take(), unit) {
        (_, 0xd800..=0xdbff) => *high = Some(unit),
        (Some(first), 0xdc00..=0xdfff) => {
            text.extend(char::decode_utf16([first, unit]).filter_map(Result::ok));
        }
        _ => text.extend(char::from_u32(u32::from(unit))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(text, &mut |at, value| {
            found.push(format!("{}/{}={value:?}", at.parent, at.key));
        });
        found
    }

    #[test]
    fn keys_parents_and_arrays() {
        let found = all(r#"{"error":{"code":190,"list":["a",{"b":true}]},"last":"x\u00e9\"y"}"#);
        assert_eq!(
            found,
            [
                "error/code=Number(\"190\")",
                "list/list=Text(\"a\")",
                "list/b=Bool(true)",
                "/last=Text(\"xé\\\"y\")",
            ]
        );
    }

    #[test]
    fn what_is_cut_off_is_still_read() {
        assert_eq!(
            all(r#"{"error":"invalid_grant","error_description":"The refresh tok"#).len(),
            2
        );
        assert_eq!(all(r#"{"a":"b\"#).len(), 1);
        assert_eq!(all(r#"{"a":"\u12"#).len(), 1);
    }

    #[test]
    fn nesting_costs_nothing() {
        let deep = "[".repeat(100_000) + "\"x\"";
        assert!(all(&deep).is_empty());
        let deep = "{\"a\":".repeat(20_000);
        assert!(all(&deep).is_empty());
    }
}
