//! Looks at the start of an answer's body without taking anything from the caller.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Incoming};

use crate::body::Body;

/// No refusal is longer; what is beyond it is not looked at.
const LIMIT: usize = 64 * 1024;
/// A refusal whose body takes longer is judged by what has arrived.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of the body is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Nothing: the header fields tell.
    Nothing,
    /// Up to [`LIMIT`]: an error answer, which ends soon.
    Whole,
    /// What arrives first: an answer that looks like a success and may be a long stream.
    FirstFrame,
}

/// A body of which the start is known.
pub(crate) struct Peeked {
    ahead: VecDeque<Frame<Bytes>>,
    rest: Option<Incoming>,
    broken: Option<hyper::Error>,
}

/// Reads the start of `body`.
pub(crate) async fn peek(body: Incoming, depth: Depth) -> Peeked {
    let mut peeked = Peeked {
        ahead: VecDeque::new(),
        rest: Some(body),
        broken: None,
    };
    if depth == Depth::Nothing {
        return peeked;
    }
    // Reading is cancel safe: a frame is either in `ahead` or still in the body.
    let _out_of_patience = tokio::time::timeout(PATIENCE, peeked.fill(depth)).await;
    peeked
}

impl Peeked {
    async fn fill(&mut self, depth: Depth) {
        let mut seen = 0;
        while let Some(rest) = self.rest.as_mut().filter(|rest| !rest.is_end_stream()) {
            match rest.frame().await {
                Some(Ok(frame)) => {
                    seen += frame.data_ref().map_or(0, Bytes::len);
                    self.ahead.push_back(frame);
                }
                Some(Err(error)) => {
                    self.broken = Some(error);
                    self.rest = None;
                }
                None => self.rest = None,
            }
            if seen >= LIMIT || (depth == Depth::FirstFrame && seen > 0) {
                return;
            }
        }
    }

    /// What is known of the body, at most [`LIMIT`] bytes.
    pub(crate) fn start(&self) -> Bytes {
        let mut data = self.ahead.iter().filter_map(Frame::data_ref);
        let (first, second) = (data.next(), data.next());
        let (Some(first), Some(second)) = (first, second) else {
            let whole = first.cloned().unwrap_or_default();
            return whole.slice(..whole.len().min(LIMIT));
        };
        let mut all = BytesMut::with_capacity(first.len() + second.len());
        for part in [first, second].into_iter().chain(data) {
            all.extend_from_slice(part);
        }
        all.truncate(LIMIT);
        all.freeze()
    }

    /// The body as it was.
    pub(crate) fn into_body(self) -> Body {
        Body::resumed(self.ahead, self.rest, self.broken)
    }
}
