//! `GET /revocations`: which access tokens are refused before they expire, for verifiers in other processes.
//!
//! Asked for `text/event-stream` it is a stream that goes on where `Last-Event-ID` (or `?after=`) says; otherwise a
//! signed list of everything that is refused at present. Names are random identifiers of sessions and tokens, which
//! open nothing, so nobody has to prove who asks.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::changes::{Change, Kind};
use crate::error::OAuthError;
use crate::issuer::Issuer;
use crate::tend::closed;

/// How often a stream says that it lives. A verifier that hears nothing for three of these is not connected.
const ALIVE: Duration = Duration::from_millis(500);
/// How long the signed list may be used, in seconds.
const LIST_TTL_S: i64 = 60;

#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<String>,
}

#[derive(Serialize)]
struct List<'a> {
    iss: &'a str,
    iat: i64,
    exp: i64,
    /// The number of the last change it contains: where a stream may go on.
    seq: u64,
    revoked: Vec<Value>,
}

pub(super) async fn revocations(
    State(issuer): State<Arc<Issuer>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let streamed = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    let answer = if streamed {
        after(&asked, &headers).and_then(|after| follow(&issuer, after))
    } else {
        list(&issuer)
    };
    answer.unwrap_or_else(|error| error.response(&issuer.pages))
}

/// The last change the caller knows of.
fn after(asked: &Asked, headers: &HeaderMap) -> Result<u64, OAuthError> {
    let last = headers.get("last-event-id").map(HeaderValue::to_str);
    let text = match last {
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => Some("(not text)"),
        None => asked.after.as_deref(),
    };
    text.map_or(Ok(0), str::parse).map_err(|_| {
        OAuthError::invalid_request(
            "`Last-Event-ID` or `after` must be the number of an event of this stream.",
        )
    })
}

/// One revocation as JSON; instants in seconds since the epoch.
fn shown(change: &Change) -> Value {
    let until = change.until_ms.div_euclid(1000) + 1;
    let mut shown = match change.kind {
        Kind::Token => json!({ "jti": change.id, "until": until }),
        Kind::Key => json!({ "kid": change.id, "until": until }),
        _ => json!({ "sid": change.id, "until": until }),
    };
    if change.before_s != i64::MAX {
        shown["issued_until"] = change.before_s.into();
    }
    shown
}

fn list(issuer: &Issuer) -> Result<Response, OAuthError> {
    // Read first: what comes in between is in the list and will be told again.
    let seq = issuer.revocations.seq();
    let now_s = issuer.now() / 1000;
    let revoked = issuer.revocations.after(0);
    let list = List {
        iss: issuer.id(),
        iat: now_s,
        exp: now_s + LIST_TTL_S,
        seq,
        revoked: revoked.iter().map(|(_, change)| shown(change)).collect(),
    };
    let signed = issuer.sign_document("revocations+jwt", &list)?;
    let headers = [
        (header::CONTENT_TYPE, "application/revocations+jwt"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, signed.expose().to_owned()).into_response())
}

/// A verifier that follows.
struct Follower {
    issuer: Arc<Issuer>,
    cursor: u64,
    waiting: VecDeque<Event>,
    followed: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    /// When it is to be told again that it knows everything; at once in the beginning.
    alive_due: Instant,
    _place: OwnedSemaphorePermit,
}

fn follow(issuer: &Arc<Issuer>, after: u64) -> Result<Response, OAuthError> {
    if issuer.is_behind() {
        return Err(OAuthError::unavailable());
    }
    let place = Arc::clone(&issuer.tending.followers)
        .try_acquire_owned()
        .map_err(|_| OAuthError::throttled(5).status(StatusCode::SERVICE_UNAVAILABLE))?;
    let follower = Follower {
        issuer: Arc::clone(issuer),
        cursor: after,
        waiting: VecDeque::new(),
        followed: issuer.revocations.followed(),
        closing: issuer.closing(),
        alive_due: Instant::now(),
        _place: place,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(events).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers would break the bound.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.issuer.is_behind() {
                // Cut off from the database, it would say "alive" and miss what others revoke.
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let new = self.issuer.revocations.after(self.cursor);
            if let Some((last, _)) = new.last() {
                self.cursor = *last;
                self.waiting = new.iter().map(event).collect();
                continue;
            }
            // By the clock, not after a pause: changes that keep coming must not put it off.
            if Instant::now() >= self.alive_due {
                self.alive_due = Instant::now() + ALIVE;
                return Some(self.alive());
            }
            tokio::select! {
                () = closed(&mut self.closing) => return None,
                changed = self.followed.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.alive_due) => {}
            }
        }
    }

    fn alive(&self) -> Event {
        let alive = json!({ "seq": self.cursor, "now": self.issuer.now() / 1000 });
        Event::default().event("alive").data(alive.to_string())
    }
}

fn event((seq, change): &(u64, Change)) -> Event {
    Event::default()
        .event("revoked")
        .id(seq.to_string())
        .data(shown(change).to_string())
}
