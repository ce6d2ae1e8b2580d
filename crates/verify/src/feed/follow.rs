//! Following the stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use tenure_http::Chunks;

use super::events::{Event, Events};
use super::{Backoff, FeedError, LEAST_SILENCE, PATIENCE, Shared};

/// Connects again and again.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut follower = Follower {
        backoff: Backoff::new(&shared.options),
        last: None,
        shared,
    };
    loop {
        let Err(error) = follower.follow().await;
        follower.report(&error);
        tokio::time::sleep(follower.backoff.wait()).await;
    }
}

struct Follower {
    shared: Arc<Shared>,
    backoff: Backoff,
    /// The last event taken in: there the next stream goes on.
    last: Option<String>,
}

impl Follower {
    /// Until the stream breaks.
    async fn follow(&mut self) -> Result<std::convert::Infallible, FeedError> {
        let mut chunks = self.open().await?;
        let mut events = Events::default();
        // Until the issuer says so, not everything is known.
        let mut complete = false;
        loop {
            let event = self.next(&mut chunks, &mut events).await?;
            complete |= event.name == "alive";
            self.take(event);
            if complete {
                self.shared.heard(Instant::now());
                self.backoff.reset();
            }
        }
    }

    async fn open(&mut self) -> Result<Chunks, FeedError> {
        let mut request =
            Request::get(self.shared.url.as_str()).header(ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Bytes::new())?;
        let answer = self.shared.client.open(request, PATIENCE).await?;
        match answer.status() {
            StatusCode::OK => {}
            status => {
                if status == StatusCode::BAD_REQUEST {
                    // The position may be what is wrong; from the beginning is always right.
                    self.last = None;
                }
                return Err(FeedError::Status(status));
            }
        }
        let kind = media_type(answer.headers());
        if !kind.starts_with("text/event-stream") {
            return Err(FeedError::NotAStream(kind.chars().take(80).collect()));
        }
        Ok(answer.into_body())
    }

    /// The next event; silence is measured from event to event, for comments tell nothing.
    async fn next(&self, chunks: &mut Chunks, events: &mut Events) -> Result<Event, FeedError> {
        let silent_after = self.shared.options.silent_after.max(LEAST_SILENCE);
        let reading = async {
            loop {
                if let Some(event) = events.next() {
                    return Ok(event);
                }
                let chunk = chunks.next().await?.ok_or(FeedError::Ended)?;
                events.push(&chunk)?;
            }
        };
        match tokio::time::timeout(silent_after, reading).await {
            Ok(event) => event,
            Err(_) => Err(FeedError::Silent(silent_after)),
        }
    }

    fn take(&mut self, event: Event) {
        if event.name == "revoked" && !self.shared.take(serde_json::from_str(&event.data)) {
            self.shared.incomplete.store(true, Ordering::Release);
        }
        self.last = event.id;
    }

    fn report(&self, error: &FeedError) {
        let url = &self.shared.url;
        if self.backoff.is_fresh() {
            let when_unknown = self.shared.options.when_unknown;
            tracing::warn!(%url, %error, ?when_unknown, "revocations are not followed; connecting again");
        } else {
            tracing::debug!(%url, %error, "revocations are still not followed");
        }
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok());
    text.unwrap_or_default().to_ascii_lowercase()
}
