//! Looks at the start of an answer's body without taking anything from the caller.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

/// No refusal is longer; what is beyond it is not looked at. Bytes.
pub const LIMIT: usize = 64 * 1024;
/// A refusal whose body takes longer is judged by what has arrived.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How much of a body is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Nothing: the header fields tell.
    Nothing,
    /// Up to [`LIMIT`]: an error answer, which ends soon.
    Whole,
    /// What arrives first: an answer that looks like a success and may be a long stream.
    FirstFrame,
}

/// A response body as it came, of which the start may have been read already.
pub struct Resumed<B: Body> {
    /// Read, and not handed on yet.
    ahead: VecDeque<Frame<B::Data>>,
    rest: Option<B>,
    /// How reading ended, if it failed.
    broken: Option<B::Error>,
}

impl<B: Body> Resumed<B> {
    /// A body of which nothing was read.
    pub fn new(body: B) -> Self {
        Self {
            ahead: VecDeque::new(),
            rest: Some(body),
            broken: None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Resumed<B> {
    /// Reads the start, for at most `patience`.
    pub async fn peek(&mut self, depth: Depth, patience: Duration) {
        if depth != Depth::Nothing {
            // Reading is cancel safe: a frame is either in `ahead` or still in the body.
            let _out_of_patience = tokio::time::timeout(patience, self.fill(depth)).await;
        }
    }

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
    pub fn start(&self) -> Bytes {
        let mut parts = self.ahead.iter().filter_map(Frame::data_ref);
        let (first, second) = (parts.next(), parts.next());
        let (Some(first), Some(second)) = (first, second) else {
            // Mostly it is one part, which need not be copied.
            let whole = first.cloned().unwrap_or_default();
            return whole.slice(..whole.len().min(LIMIT));
        };
        let mut all = BytesMut::new();
        for part in [first, second].into_iter().chain(parts) {
            let room = LIMIT - all.len();
            all.extend_from_slice(&part[..part.len().min(room)]);
        }
        all.freeze()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Resumed<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty()
            && self.broken.is_none()
            && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.iter().filter_map(Frame::data_ref);
        let read: u64 = ahead.map(|data| data.len() as u64).sum();
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            // A body that broke off promises nothing.
            None if self.broken.is_some() => SizeHint::new(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}

impl<B: Body> fmt::Debug for Resumed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumed")
            .field("ahead", &self.ahead.len())
            .field("broken", &self.broken.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::StreamBody;

    fn body(
        parts: Vec<Result<&'static [u8], &'static str>>,
    ) -> impl Body<Data = Bytes, Error = &'static str> + Unpin {
        let frames = parts
            .into_iter()
            .map(|part| part.map(|data| Frame::data(Bytes::from_static(data))));
        StreamBody::new(stream::iter(frames.collect::<Vec<_>>()))
    }

    #[tokio::test]
    async fn what_was_read_is_handed_on() {
        let mut peeked = Resumed::new(body(vec![Ok(b"ab"), Ok(b"cd")]));
        peeked.peek(Depth::Whole, PATIENCE).await;
        assert_eq!(peeked.start(), "abcd");
        assert_eq!(peeked.collect().await.expect("whole").to_bytes(), "abcd");
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_needed() {
        let big: &'static [u8] = vec![b'x'; LIMIT].leak();
        let mut peeked = Resumed::new(body(vec![Ok(b"ab"), Ok(big), Ok(big), Err("beyond")]));
        peeked.peek(Depth::Whole, PATIENCE).await;
        assert_eq!((peeked.start().len(), peeked.ahead.len()), (LIMIT, 2));
        assert!(peeked.broken.is_none(), "the rest was left alone");
        let mut peeked = Resumed::new(body(vec![Ok(b"ab"), Err("beyond")]));
        peeked.peek(Depth::FirstFrame, PATIENCE).await;
        assert!(peeked.broken.is_none(), "a stream is not held up");
        let mut peeked = Resumed::new(body(vec![Err("untouched")]));
        peeked.peek(Depth::Nothing, PATIENCE).await;
        assert!(peeked.broken.is_none());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_breaks_off_for_the_caller() {
        let mut peeked = Resumed::new(body(vec![Ok(b"ab"), Err("reset")]));
        peeked.peek(Depth::Whole, PATIENCE).await;
        assert_eq!(peeked.start(), "ab");
        assert_eq!(peeked.collect().await.expect_err("broken"), "reset");
    }

    #[tokio::test]
    async fn a_slow_body_is_not_waited_for() {
        use futures_util::StreamExt;
        let first = stream::iter([Ok::<_, &str>(Frame::data(Bytes::from_static(b"ab")))]);
        let mut peeked = Resumed::new(StreamBody::new(first.chain(stream::pending())));
        peeked.peek(Depth::Whole, Duration::ZERO).await;
        assert_eq!(peeked.start(), "ab");
    }
}
