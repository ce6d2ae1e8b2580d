//! Server time per origin, learned from the `Date` of every answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use http::HeaderMap;
use tenure_core::Mono;
use tenure_core::skew::ServerClock;
use url::Url;

/// Estimates of the servers' clocks. Used beside exchanges, not on the request path.
#[derive(Debug, Default)]
pub(crate) struct Clocks(Mutex<HashMap<String, ServerClock>>);

impl Clocks {
    /// Learns from an answer that was asked for at `sent` and came at `received`.
    pub(crate) fn observe(&self, url: &Url, headers: &HeaderMap, sent: Mono, received: Mono) {
        let Some(date) = date_s(headers) else { return };
        let seen = ServerClock::from_date(date, sent, received);
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks
            .entry(origin(url))
            .and_modify(|clock| *clock = clock.narrowed(seen))
            .or_insert(seen);
    }

    /// The clock of this server, if it ever answered.
    pub(crate) fn of(&self, url: &Url) -> Option<ServerClock> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&origin(url))
            .copied()
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

pub(crate) fn date_s(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    let at = httpdate::parse_http_date(text).ok()?;
    i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}
