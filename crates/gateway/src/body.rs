//! The body of an answer: the gateway's own, or the upstream's as it comes.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::{Body as HttpBody, Incoming};

/// Any error of a body.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    /// Written here.
    Full(Option<Bytes>),
    /// The upstream's: first what was already read of it, then the rest as it arrives.
    Stream {
        ahead: VecDeque<Frame<Bytes>>,
        rest: Option<Incoming>,
        broken: Option<hyper::Error>,
    },
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
    pub fn stream(rest: Incoming) -> Self {
        Self::resumed(VecDeque::new(), Some(rest), None)
    }

    /// The upstream's body of which `ahead` was already read; `broken` is how reading ended, if it failed.
    pub(crate) fn resumed(
        ahead: VecDeque<Frame<Bytes>>,
        rest: Option<Incoming>,
        broken: Option<hyper::Error>,
    ) -> Self {
        Self(Kind::Stream {
            ahead,
            rest,
            broken,
        })
    }

    /// The bytes, when the body is the gateway's own.
    pub fn into_full(self) -> Option<Bytes> {
        match self.0 {
            Kind::Full(bytes) => Some(bytes.unwrap_or_default()),
            Kind::Stream { .. } => None,
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
            Kind::Stream {
                ahead,
                rest,
                broken,
            } => {
                if let Some(frame) = ahead.pop_front() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                if let Some(error) = broken.take() {
                    *rest = None;
                    return Poll::Ready(Some(Err(error)));
                }
                match rest {
                    Some(rest) => Pin::new(rest).poll_frame(cx),
                    None => Poll::Ready(None),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Stream {
                ahead,
                rest,
                broken,
            } => {
                ahead.is_empty()
                    && broken.is_none()
                    && rest.as_ref().is_none_or(HttpBody::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Stream { ahead, rest, .. } => {
                let read: u64 = ahead
                    .iter()
                    .filter_map(Frame::data_ref)
                    .map(|data| data.len() as u64)
                    .sum();
                let rest = rest
                    .as_ref()
                    .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint);
                let mut hint = SizeHint::new();
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + read);
                }
                hint.set_lower(rest.lower() + read);
                hint
            }
        }
    }
}
