//! Reads the start of a compressed error body, for judging it. What is passed on stays compressed.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::peek::LIMIT;

/// The text of `start`, the first bytes of a body with these header fields. A coding that is not known, or a
/// stream that breaks, yields what could be read; that is evidence as well, only less.
pub fn text<'a>(headers: &HeaderMap, start: &'a [u8]) -> Cow<'a, [u8]> {
    let gzip = headers.get(CONTENT_ENCODING).is_some_and(|coding| {
        let coding = coding.as_bytes();
        coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
    });
    if !gzip {
        return Cow::Borrowed(start);
    }
    let mut text = Vec::new();
    let _cut_off_or_broken = MultiGzDecoder::new(start)
        .take(LIMIT as u64)
        .read_to_end(&mut text);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;
    use std::io::Write;

    #[test]
    fn gzip_is_read_and_stays_small() {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("GZip"))]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&vec![b'a'; 4 << 20]).expect("memory");
        let packed = encoder.finish().expect("memory");
        assert_eq!(text(&headers, &packed).len(), LIMIT);
        let cut_off = text(&headers, &packed[..packed.len() / 2]);
        assert!(cut_off.iter().all(|byte| *byte == b'a'));
        assert_eq!(text(&headers, b"not gzip").as_ref(), b"");
        assert_eq!(text(&HeaderMap::new(), b"plain").as_ref(), b"plain");
        let other = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("br"))]);
        assert_eq!(text(&other, b"\x01").as_ref(), b"\x01");
    }
}
