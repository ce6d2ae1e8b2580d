//! Fetching the signed list.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::known::Revocation;
use super::{Backoff, FeedError, PATIENCE, Shared};
use crate::verifier::Verifier;

/// The largest list, in bytes: some hundred thousand revocations.
const MAX_LIST: usize = 16 * 1024 * 1024;

/// Fetches again and again.
pub(super) async fn run(shared: Arc<Shared>, verifier: Verifier, every: Duration) {
    let mut backoff = Backoff::new(&shared.options);
    loop {
        let pause = match fetch(&shared, &verifier).await {
            Ok(()) => {
                backoff.reset();
                every
            }
            Err(error) => {
                tracing::warn!(url = %shared.url, %error, "the list of revocations could not be had");
                backoff.wait().min(every)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn fetch(shared: &Shared, verifier: &Verifier) -> Result<(), FeedError> {
    let asked = Instant::now();
    let request = Request::get(shared.url.as_str())
        .header(ACCEPT, "application/revocations+jwt")
        .body(Bytes::new())?;
    let answer = shared.client.send(request, PATIENCE, MAX_LIST).await?;
    if answer.status() != StatusCode::OK {
        return Err(FeedError::Status(answer.status()));
    }
    let text = std::str::from_utf8(answer.body()).map_err(|_| FeedError::NotText)?;
    let list = verifier.verify(text.trim()).await?;
    let revoked = list.claims.get("revoked").and_then(Value::as_array);
    let mut complete = true;
    for told in revoked.ok_or(FeedError::NoList)? {
        complete &= shared.take(Revocation::deserialize(told));
    }
    shared.incomplete.store(!complete, Ordering::Release);
    // What was revoked since the list was asked for may not be in it.
    shared.heard(asked);
    Ok(())
}
