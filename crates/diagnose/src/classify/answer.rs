//! A raw answer, as it came from the network.

use http::HeaderMap;

/// Bodies are looked at up to here; no error message is longer.
pub const BODY_MAX: usize = 64 * 1024;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A token endpoint, or the endpoint that renews a session.
    Token,
    /// An API that was called with a token.
    Resource,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Who answered.
    pub place: Place,
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: &'a HeaderMap,
    /// The body, decoded; only the first [`BODY_MAX`] bytes are looked at.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// As much of the body as is looked at.
    pub(crate) fn start(&self) -> &[u8] {
        &self.body[..self.body.len().min(BODY_MAX)]
    }

    /// The first value of a header, when it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
