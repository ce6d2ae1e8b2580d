//! What the targets share: an answer read from a fuzzer's bytes.
#![forbid(unsafe_code)]

use http::HeaderMap;
use tenure_diagnose::http_text;

/// An answer as it came over the wire.
pub struct Heard {
    /// HTTP status.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body, in any bytes.
    pub body: Vec<u8>,
}

/// Reads `HTTP/1.1 401 …`, fields, an empty line, and a body of any bytes; `None` when there is no status.
pub fn heard(data: &[u8]) -> Option<Heard> {
    let (head, body) = halves(data);
    let head = http_text::parse(&String::from_utf8_lossy(head)).ok()?;
    Some(Heard {
        status: head.status,
        headers: head.headers,
        body: body.to_vec(),
    })
}

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    [&b"\r\n\r\n"[..], b"\n\n"]
        .iter()
        .filter_map(|gap| {
            let at = data.windows(gap.len()).position(|window| window == *gap)?;
            Some((&data[..at], &data[at + gap.len()..]))
        })
        .min_by_key(|(head, _)| head.len())
        .unwrap_or((data, b""))
}
