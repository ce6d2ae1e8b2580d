//! Server-sent events (WHATWG HTML §9.2), read from chunks that end anywhere.

use std::collections::VecDeque;

/// The longest line, in bytes. An issuer's have some hundred.
const MAX_LINE: usize = 8 * 1024;
/// The most data of one event, in bytes.
const MAX_DATA: usize = 16 * 1024;

/// A line or an event is larger than is read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_LINE} bytes in a line or {MAX_DATA} in an event")]
pub(super) struct TooLarge;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Empty when it has none.
    pub(super) name: String,
    /// The last id that was said, by this event or one before it.
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// Makes events of chunks.
#[derive(Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// A line feed now belongs to the line that ended.
    after_return: bool,
    /// A byte order mark may come no more.
    begun: bool,
    name: String,
    id: Option<String>,
    data: String,
    ready: VecDeque<Event>,
}

impl Events {
    /// The next whole event.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Reads on.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), TooLarge> {
        for byte in chunk {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => self.end_line()?,
                _ if self.line.len() == MAX_LINE => return Err(TooLarge),
                _ => self.line.push(*byte),
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), TooLarge> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mut line = &*text;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch();
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        self.take(field, value.strip_prefix(' ').unwrap_or(value))
    }

    /// Unknown fields are passed over, and so are comments, whose field has no name.
    fn take(&mut self, field: &str, value: &str) -> Result<(), TooLarge> {
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" if self.data.len() + value.len() >= MAX_DATA => return Err(TooLarge),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self) {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        // Without data it is none.
        if data.pop().is_some() {
            let id = self.id.clone();
            self.ready.push_back(Event { name, id, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\nevent: revoked\nid: 7\ndata: {\"sid\":\n\
                          data:\"ß\"}\n\nretry: 9\nevent: alive\r\ndata: 1\r\n\r\nid\rdata\r\rid: 8\n\nevent: cut";

    fn read(chunks: &[&[u8]]) -> Vec<(String, Option<String>, String)> {
        let mut events = Events::default();
        for chunk in chunks {
            events.push(chunk).expect("small");
        }
        std::iter::from_fn(|| events.next())
            .map(|event| (event.name, event.id, event.data))
            .collect()
    }

    #[test]
    fn events_are_the_same_wherever_the_chunks_end() {
        let event = |name: &str, id: &str, data: &str| (name.into(), Some(id.into()), data.into());
        let expected = vec![
            event("revoked", "7", "{\"sid\":\n\"ß\"}"),
            event("alive", "7", "1"),
            event("", "", ""),
        ];
        let bytes = STREAM.as_bytes();
        for first in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(first);
            assert_eq!(read(&[head, tail]), expected, "split at {first}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), expected);
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'x'; MAX_LINE]), Ok(()));
        assert_eq!(events.push(b"x"), Err(TooLarge));
        let line = format!("data: {}\n", "x".repeat(MAX_LINE - 100));
        let mut events = Events::default();
        let read: Result<Vec<()>, TooLarge> =
            (0..3).map(|_| events.push(line.as_bytes())).collect();
        assert_eq!(read, Err(TooLarge));
    }
}
