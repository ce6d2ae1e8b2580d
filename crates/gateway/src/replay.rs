//! The request body: streamed to the upstream, kept until the upstream has accepted the request.
//!
//! A body can be sent again as long as no more than `limit` bytes of it have left. So that a refusal can still
//! be healed for a larger body, it is held back at the last moment where that is true:
//!
//! - Length known and above the limit, or the caller itself sent `Expect: 100-continue`: the request goes out
//!   with `Expect: 100-continue` (RFC 9110 §10.1.1) and not one byte is taken from the caller.
//! - Length unknown: the first `limit` bytes stream at once, without `Expect`, which would delay every stream by
//!   a round trip; the byte that would end replayability waits.
//!
//! The hold ends with the upstream's `100 Continue` (HTTP/1.1; hyper reports it through `on_informational`), with
//! its final answer, or after a short wait, because servers may ignore the expectation and because HTTP/2
//! clients of hyper are not told of interim answers. A refusal that arrives meanwhile is healed, and the body
//! then travels once.
//!
//! The state is behind a mutex that belongs to one request; nobody else ever waits for it.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Instant, Sleep};

use crate::body::BoxError;

/// A caller's body, whatever its type was.
type Source = UnsyncBoxBody<Bytes, BoxError>;

/// The request was taken back to be sent again.
#[derive(Debug, thiserror::Error)]
#[error("the request was withdrawn to be sent again with a newer token")]
struct Withdrawn;

/// The forwarder's hold on a request body.
#[derive(Clone)]
pub struct Replay {
    /// `None`: there is no body.
    shared: Option<Arc<Mutex<Shared>>>,
    /// Length, when the caller told it.
    length: Option<u64>,
    expect: bool,
}

struct Shared {
    /// What has not been read yet; `None` at the end.
    source: Option<Source>,
    /// What was read, while it may be needed again.
    kept: Vec<Bytes>,
    kept_bytes: u64,
    trailers: Option<HeaderMap>,
    /// Read, but held back: with it the body would be too large to keep.
    ahead: Option<Bytes>,
    limit: u64,
    keep: Keep,
    hold: Hold,
    /// Which sending is the current one; bodies of earlier ones are dead.
    attempt: u32,
    /// Sendings that the upstream did not process: they do not count.
    lost: u32,
    /// The caller's body broke off.
    broken: bool,
    /// The upstream's connection, waiting for more.
    waker: Option<Waker>,
    progress: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Everything read so far is in `kept`.
    Whole,
    /// Too large, or accepted: nothing more is kept.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Nothing leaves before the upstream asks for it.
    Everything,
    /// What can be kept leaves.
    Excess,
    /// Nothing leaves: the answer is being judged.
    Judged,
    /// Everything leaves.
    Nothing,
}

/// What came of reading.
enum Next {
    /// The next part, or the end.
    Frame(Option<Result<Frame<Bytes>, BoxError>>),
    /// There is more, but it is held back.
    Held,
}

impl Replay {
    /// Takes over a caller's body. Up to `limit` bytes are kept. `asked` tells that the caller expects to be
    /// asked for the body.
    pub fn new<B>(body: B, limit: u64, asked: bool) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self {
                shared: None,
                length: Some(0),
                expect: false,
            };
        }
        let length = body.size_hint().exact();
        let expect = asked || length.is_some_and(|length| length > limit);
        let shared = Shared {
            source: Some(body.map_err(Into::into).boxed_unsync()),
            kept: Vec::new(),
            kept_bytes: 0,
            trailers: None,
            ahead: None,
            limit,
            keep: Keep::Whole,
            hold: if expect {
                Hold::Everything
            } else {
                Hold::Excess
            },
            attempt: 0,
            lost: 0,
            broken: false,
            waker: None,
            progress: Instant::now(),
        };
        Self {
            shared: Some(Arc::new(Mutex::new(shared))),
            length,
            expect,
        }
    }

    /// Whether there is a body at all.
    pub fn has_body(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether the first sending is to carry `Expect: 100-continue`.
    pub fn expects(&self) -> bool {
        self.expect
    }

    /// The body for the next sending. The previous one, if any, is dead from here on.
    pub fn body(&self, continue_wait: Duration) -> SendBody {
        let attempt = self.shared.as_ref().map_or(0, |shared| {
            let mut shared = lock(shared);
            shared.attempt += 1;
            if !shared.is_first() {
                // No third sending exists, so nothing is held back for it.
                shared.hold = Hold::Nothing;
            }
            shared.wake();
            shared.attempt
        });
        SendBody {
            shared: self.shared.clone(),
            attempt,
            next: 0,
            sent: 0,
            length: self.length,
            continue_wait,
            timer: None,
        }
    }

    /// The upstream asked for the body, or took the request.
    pub fn release(&self) {
        self.with(|shared| {
            shared.hold = Hold::Nothing;
            shared.wake();
        });
    }

    /// Stops the body while an answer is judged that may be a refusal.
    pub fn pause(&self) {
        self.with(|shared| shared.hold = Hold::Judged);
    }

    /// The upstream accepted the request: nothing is kept any longer.
    pub fn accept(&self) {
        self.with(|shared| {
            shared.hold = Hold::Nothing;
            if shared.is_first() {
                // A second sending still reads from what was kept.
                shared.keep = Keep::Nothing;
                shared.kept.clear();
            }
            shared.wake();
        });
    }

    /// The upstream said that it did not process the sending, which therefore does not count.
    pub fn lost(&self) {
        self.with(|shared| shared.lost += 1);
    }

    /// Whether the whole body can be sent again.
    pub fn can_repeat(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let shared = lock(shared);
            shared.keep == Keep::Whole && !shared.broken
        })
    }

    /// Whether the caller's body broke off.
    pub fn is_broken(&self) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| lock(shared).broken)
    }

    /// When the last part of the body left, if it was after `since`.
    pub fn progress_after(&self, since: Instant) -> Option<Instant> {
        self.shared
            .as_ref()
            .map(|shared| lock(shared).progress)
            .filter(|progress| *progress > since)
    }

    fn with(&self, change: impl FnOnce(&mut Shared)) {
        if let Some(shared) = &self.shared {
            change(&mut lock(shared));
        }
    }
}

impl Shared {
    /// Whether the token was not refused yet.
    fn is_first(&self) -> bool {
        self.attempt - self.lost <= 1
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Reads on in the caller's body, keeping what is read.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if let Some(data) = self.ahead.take() {
            return Poll::Ready(self.keep_or_hold(data));
        }
        let Some(source) = &mut self.source else {
            return Poll::Ready(self.end());
        };
        let frame = match Pin::new(source).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        self.progress = Instant::now();
        match frame {
            None => {
                self.source = None;
                Poll::Ready(Next::Frame(None))
            }
            Some(Err(error)) => {
                self.source = None;
                self.broken = true;
                Poll::Ready(Next::Frame(Some(Err(error))))
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Poll::Ready(self.keep_or_hold(data)),
                Err(frame) => {
                    // Trailers end a body; there is nothing to read after them.
                    self.source = None;
                    self.trailers = frame.into_trailers().ok();
                    Poll::Ready(self.end())
                }
            },
        }
    }

    fn end(&self) -> Next {
        Next::Frame(
            self.trailers
                .clone()
                .map(|trailers| Ok(Frame::trailers(trailers))),
        )
    }

    fn keep_or_hold(&mut self, data: Bytes) -> Next {
        if self.keep == Keep::Nothing {
            return Next::Frame(Some(Ok(Frame::data(data))));
        }
        let bytes = self.kept_bytes + data.len() as u64;
        if bytes <= self.limit {
            self.kept_bytes = bytes;
            self.kept.push(data.clone());
            return Next::Frame(Some(Ok(Frame::data(data))));
        }
        if self.hold != Hold::Nothing {
            self.ahead = Some(data);
            return Next::Held;
        }
        self.keep = Keep::Nothing;
        if self.is_first() {
            // A second sending still reads from what was kept.
            self.kept.clear();
        }
        Next::Frame(Some(Ok(Frame::data(data))))
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // The state is consistent between any two statements, so a panic elsewhere does not spoil it.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One sending of a request body.
pub struct SendBody {
    shared: Option<Arc<Mutex<Shared>>>,
    attempt: u32,
    /// Which of the kept parts comes next.
    next: usize,
    sent: u64,
    length: Option<u64>,
    continue_wait: Duration,
    /// Runs while the body is held back.
    timer: Option<Pin<Box<Sleep>>>,
}

impl SendBody {
    /// Waits for the end of a hold; ends it when the wait is over.
    fn poll_hold(&mut self, shared: &Mutex<Shared>, cx: &mut Context<'_>) -> Poll<()> {
        lock(shared).waker = Some(cx.waker().clone());
        let wait = self.continue_wait;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let mut shared = lock(shared);
        if shared.hold == Hold::Judged {
            return Poll::Pending;
        }
        shared.hold = Hold::Nothing;
        Poll::Ready(())
    }
}

impl HttpBody for SendBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(arc) = this.shared.clone() else {
            return Poll::Ready(None);
        };
        loop {
            let mut shared = lock(&arc);
            if shared.attempt != this.attempt {
                return Poll::Ready(Some(Err(Withdrawn.into())));
            }
            if let Some(data) = shared.kept.get(this.next) {
                this.next += 1;
                this.sent += data.len() as u64;
                let data = data.clone();
                shared.progress = Instant::now();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if !matches!(shared.hold, Hold::Everything | Hold::Judged) {
                shared.waker = Some(cx.waker().clone());
                match shared.read(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Next::Frame(frame)) => {
                        this.next = shared.kept.len();
                        if let Some(Ok(data)) = frame
                            .as_ref()
                            .map(|frame| frame.as_ref().map(Frame::data_ref))
                        {
                            this.sent += data.map_or(0, |data| data.len() as u64);
                        }
                        if frame
                            .as_ref()
                            .is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers))
                        {
                            this.shared = None;
                        }
                        return Poll::Ready(frame);
                    }
                    Poll::Ready(Next::Held) => {}
                }
            }
            drop(shared);
            if this.poll_hold(&arc, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let Some(shared) = &self.shared else {
            return true;
        };
        let shared = lock(shared);
        let read = shared.source.as_ref().is_none_or(HttpBody::is_end_stream);
        read && self.length == Some(self.sent) && shared.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.length, &self.shared) {
            (Some(length), _) => SizeHint::with_exact(length.saturating_sub(self.sent)),
            (None, None) => SizeHint::with_exact(0),
            (None, Some(_)) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for SendBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBody")
            .field("attempt", &self.attempt)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
