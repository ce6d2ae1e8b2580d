//! Reads the start of a compressed error body, for judging it. What is passed on stays compressed.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// At most this much text comes out, however much went in.
const LIMIT: u64 = 64 * 1024;

/// The text of `start`, the first bytes of a body with these header fields. A coding that is not known, or a
/// stream that breaks, yields what could be read; that is evidence as well, only less.
pub(crate) fn text(headers: &HeaderMap, start: Bytes) -> Bytes {
    let gzip = headers.get(CONTENT_ENCODING).is_some_and(|coding| {
        coding.as_bytes().eq_ignore_ascii_case(b"gzip")
            || coding.as_bytes().eq_ignore_ascii_case(b"x-gzip")
    });
    if !gzip {
        return start;
    }
    let mut text = Vec::new();
    let _cut_off_or_broken = MultiGzDecoder::new(&*start)
        .take(LIMIT)
        .read_to_end(&mut text);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;
    use std::io::Write;

    fn gzipped(text: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory").into()
    }

    fn encoded(coding: &'static str) -> HeaderMap {
        [(CONTENT_ENCODING, HeaderValue::from_static(coding))]
            .into_iter()
            .collect()
    }

    #[test]
    fn gzip_is_read_and_anything_else_left() {
        assert_eq!(
            text(&encoded("GZIP"), gzipped(b"token_expired")),
            "token_expired"
        );
        assert_eq!(
            text(&HeaderMap::new(), Bytes::from_static(b"plain")),
            "plain"
        );
        assert_eq!(
            text(&encoded("br"), Bytes::from_static(b"\x01")),
            &b"\x01"[..]
        );
    }

    #[test]
    fn a_broken_stream_yields_what_there_is() {
        let whole = gzipped(b"abcabcabc");
        assert_eq!(text(&encoded("gzip"), Bytes::from_static(b"not gzip")), "");
        assert!(b"abcabcabc".starts_with(&text(&encoded("gzip"), whole.slice(..whole.len() - 9))));
    }

    #[test]
    fn a_bomb_stays_small() {
        assert_eq!(
            text(&encoded("gzip"), gzipped(&vec![0; 4 << 20])).len() as u64,
            LIMIT
        );
    }
}
