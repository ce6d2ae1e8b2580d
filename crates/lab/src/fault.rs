//! Faults a server shows on purpose, and the queue a test puts them into.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::BodyExt;

use crate::clock::http_date;
use crate::gate::Gate;
use crate::record::lock;
use crate::reply::{self, Reply};
use crate::server::Conn;

/// One fault. "Commits" means: the request is processed (a rotation happens) before the fault shows.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, body and these headers, without processing. The content type is JSON unless given.
    Status(u16, String, Vec<(String, String)>),
    /// 200 with a web page, as a captive portal or a challenge gives it. Not processed.
    Html200,
    /// Waits at the gate, then processes and answers as usual.
    Slow(Gate),
    /// Commits, then holds the answer back at the gate.
    SlowAnswer(Gate),
    /// Resets the connection (RST) without processing.
    ResetBeforeProcessing,
    /// Commits, then resets the connection without an answer.
    ResetAfterCommit,
    /// Commits, answers half of the body, then closes the connection.
    DropHalfAnswer,
    /// 429 with `Retry-After: n` (seconds). Not processed.
    RetryAfterSeconds(u64),
    /// 503 with `Retry-After: <HTTP date>` of these epoch seconds. Not processed.
    RetryAfterDate(i64),
    /// 200, JSON by its header, broken by its body. Not processed.
    Garbage,
    /// 200 and no body. Not processed.
    Empty200,
    /// Says nothing until the gate opens, then closes the connection. Not processed.
    Hang(Gate),
}

impl Fault {
    /// A status with a JSON body and no further headers.
    pub fn status(status: u16, body: &str) -> Fault {
        Fault::Status(status, body.to_owned(), Vec::new())
    }
}

/// Faults for the next requests, in order. An empty queue means: behave.
#[derive(Debug, Default)]
pub struct FaultQueue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// With the number of requests each is for; `None`: until cleared.
    queue: VecDeque<(Fault, Option<usize>)>,
    shown: usize,
}

impl FaultQueue {
    /// For the next request.
    pub fn next(&self, fault: Fault) {
        self.next_n(1, fault);
    }

    /// For the next `n` requests.
    pub fn next_n(&self, n: usize, fault: Fault) {
        if n > 0 {
            lock(&self.0).queue.push_back((fault, Some(n)));
        }
    }

    /// For all requests from then on, until [`clear`](FaultQueue::clear).
    pub fn until_cleared(&self, fault: Fault) {
        lock(&self.0).queue.push_back((fault, None));
    }

    /// Behave again.
    pub fn clear(&self) {
        lock(&self.0).queue.clear();
    }

    /// How many requests have met a fault so far.
    pub fn shown(&self) -> usize {
        lock(&self.0).shown
    }

    pub(crate) fn take(&self) -> Option<Fault> {
        let mut inner = lock(&self.0);
        let (fault, left) = inner.queue.front_mut()?;
        let fault = fault.clone();
        let used_up = left.as_mut().is_some_and(|left| {
            *left -= 1;
            *left == 0
        });
        if used_up {
            inner.queue.pop_front();
        }
        inner.shown += 1;
        Some(fault)
    }
}

/// Answers `request` by `process`, in the way the fault wants it.
pub(crate) async fn show<F>(
    fault: Fault,
    conn: &Conn,
    request: Request<Body>,
    process: impl FnOnce(Request<Body>) -> F,
) -> Reply
where
    F: Future<Output = Reply>,
{
    match fault {
        Fault::Slow(gate) => {
            gate.wait().await;
            process(request).await
        }
        Fault::SlowAnswer(gate) => {
            let reply = process(request).await;
            gate.wait().await;
            reply
        }
        Fault::ResetAfterCommit => {
            process(request).await;
            conn.reset().await
        }
        Fault::DropHalfAnswer => half(process(request).await, conn.clone()).await,
        other => {
            // The request is read to its end, as a server would, even if nothing is done with it.
            let (parts, body) = request.into_parts();
            drop(parts);
            drop(body.collect().await);
            unprocessed(other, conn).await
        }
    }
}

async fn unprocessed(fault: Fault, conn: &Conn) -> Reply {
    match fault {
        Fault::Status(status, body, headers) => headers.iter().fold(
            reply::reply(status, "application/json", body),
            |reply, (name, value)| reply::with(reply, name, value),
        ),
        Fault::Html200 => reply::reply(200, "text/html; charset=utf-8", PORTAL_PAGE),
        Fault::RetryAfterSeconds(n) => {
            let body = r#"{"error":"rate_limited","error_description":"Too many requests."}"#;
            reply::with(
                reply::reply(429, "application/json", body),
                "retry-after",
                &n.to_string(),
            )
        }
        Fault::RetryAfterDate(at) => {
            let body = r#"{"error":"temporarily_unavailable"}"#;
            reply::with(
                reply::reply(503, "application/json", body),
                "retry-after",
                &http_date(at),
            )
        }
        Fault::Garbage => reply::reply(
            200,
            "application/json",
            "{\"access_token\": \"eyJ\u{fffd}\u{0}, ]",
        ),
        Fault::Empty200 => reply::reply(200, "application/json", ""),
        Fault::Hang(gate) => {
            gate.wait().await;
            conn.close().await
        }
        Fault::ResetBeforeProcessing
        | Fault::Slow(_)
        | Fault::SlowAnswer(_)
        | Fault::ResetAfterCommit
        | Fault::DropHalfAnswer => conn.reset().await,
    }
}

const PORTAL_PAGE: &str = "<!doctype html><html><head><title>Sign in to the network</title></head><body><h1>Welcome, guest</h1></body></html>";

/// The same answer, announced in full and cut in the middle.
async fn half(reply: Reply, conn: Conn) -> Reply {
    let (mut parts, body) = reply.into_parts();
    let whole = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    parts
        .headers
        .insert(http::header::CONTENT_LENGTH, whole.len().into());
    let first = whole.slice(..whole.len() / 2);
    let chunks = stream::unfold(Some(first), move |first| {
        let conn = conn.clone();
        async move {
            if let Some(first) = first {
                return Some((Ok::<Bytes, std::io::Error>(first), None));
            }
            // Yield once, so that the first half is written out before the connection ends.
            tokio::task::yield_now().await;
            conn.close().await
        }
    });
    Reply::from_parts(parts, Body::from_stream(chunks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_gives_each_fault_as_often_as_asked() {
        let queue = FaultQueue::default();
        queue.next_n(2, Fault::Empty200);
        queue.next(Fault::Garbage);
        queue.until_cleared(Fault::Html200);
        let kinds: Vec<String> = std::iter::from_fn(|| queue.take())
            .take(5)
            .map(|fault| format!("{fault:?}"))
            .collect();
        assert_eq!(
            kinds,
            ["Empty200", "Empty200", "Garbage", "Html200", "Html200"]
        );
        assert_eq!(queue.shown(), 5);
        queue.clear();
        assert!(queue.take().is_none());
    }
}
