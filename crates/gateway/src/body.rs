//! The body of an answer: the gateway's own, or the upstream's as it comes.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::{Body as HttpBody, Incoming};
use tenure_http::peek::Resumed;

/// Any error of a body.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    /// Written here.
    Full(Option<Bytes>),
    /// The upstream's.
    Stream(Resumed<Incoming>),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self(Kind::Full(None))
    }

    /// These bytes.
    pub fn full(bytes: Bytes) -> Self {
        Self(Kind::Full(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// The upstream's body, untouched.
    pub fn stream(body: Incoming) -> Self {
        Self::resumed(Resumed::new(body))
    }

    /// The upstream's body, of which the start may have been read already.
    pub(crate) fn resumed(body: Resumed<Incoming>) -> Self {
        Self(Kind::Stream(body))
    }

    /// The bytes, when the body is the gateway's own.
    pub fn into_full(self) -> Option<Bytes> {
        match self.0 {
            Kind::Full(bytes) => Some(bytes.unwrap_or_default()),
            Kind::Stream(_) => None,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Stream(body) => body.size_hint(),
        }
    }
}
