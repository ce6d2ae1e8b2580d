//! The issuer's published keys, kept fresh.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL};
use http::{HeaderMap, Request, Response, StatusCode};
use tenure_http::{Client, Fault};
use tenure_jose::{JwkSet, KeySet};
use tokio::sync::watch;
use url::{Host, Url};

use crate::refusal::Refusal;
use crate::verifier::BuildError;

/// The shortest time keys are kept, in seconds, whatever the server says: a `no-cache` must not cause a fetch
/// per request.
pub const MIN_MAX_AGE_S: i64 = 30;
/// The longest, in seconds: a key taken out of the set must lose its force within a day.
pub const MAX_MAX_AGE_S: i64 = 24 * 3600;
/// Used when the server says nothing.
const DEFAULT_MAX_AGE_S: i64 = 300;
/// Between two fetches because of unknown key names, and after a failed fetch while old keys serve.
const DEFAULT_COOL_DOWN_S: i64 = 10;
/// Between two attempts while there are no keys at all.
const EMPTY_PAUSE_S: i64 = 1;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const FETCH_LIMIT: usize = 512 * 1024;

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error(transparent)]
    Transport(#[from] Fault),
    /// Not 200. Redirects are not followed.
    #[error("the server answered with status {0} instead of 200")]
    Status(StatusCode),
    /// Not a JWK set.
    #[error("the answer is not a JSON Web Key Set: {0}")]
    NotAKeySet(serde_json::Error),
    /// Keys, but none that can be used.
    #[error("none of the {0} keys in the set can be used")]
    NoUsableKey(usize),
    /// The address cannot be asked for.
    #[error("the request cannot be written: {0}")]
    Request(http::Error),
}

/// Keys as they were fetched at one time.
pub(crate) struct Snapshot {
    keys: KeySet,
    fetched_s: i64,
    max_age_s: i64,
}

enum Freshness {
    Fresh,
    /// Still good, but to be renewed behind the scenes.
    Due,
    Stale,
}

impl Snapshot {
    pub(crate) fn keys(&self) -> &KeySet {
        &self.keys
    }

    fn freshness(&self, now_s: i64) -> Freshness {
        let age = now_s.saturating_sub(self.fetched_s);
        // A clock that jumped back tells nothing about the age.
        if age < 0 || age >= self.max_age_s {
            Freshness::Stale
        } else if age >= self.max_age_s / 5 * 4 {
            Freshness::Due
        } else {
            Freshness::Fresh
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Empty,
    Age,
    UnknownKey,
}

/// What decides about fetching; locked only when a fetch is considered.
#[derive(Default)]
struct Gate {
    /// Ends (its sender is dropped) with the fetch under way.
    flight: Option<watch::Receiver<()>>,
    last_s: Option<i64>,
    last_unknown_s: Option<i64>,
}

/// Keys published at a `jwks_uri`.
///
/// - Reading is one atomic load.
/// - `Cache-Control: max-age` (less `Age`) is honoured between [`MIN_MAX_AGE_S`] and [`MAX_MAX_AGE_S`]. After
///   four fifths of it the keys are renewed in the background; when it is over, requests wait for the renewal.
/// - An unknown key name causes a fetch, at most once per cool-down (10 s).
/// - At most one fetch is under way, and it belongs to no request: a cancelled one does not stop it.
/// - When a fetch fails, the last good keys stay, and requests no longer wait for renewals until one succeeds.
pub struct JwksCache {
    url: Url,
    client: Client,
    cool_down_s: i64,
    snapshot: ArcSwapOption<Snapshot>,
    failing: AtomicBool,
    gate: Mutex<Gate>,
}

impl JwksCache {
    /// A cache for the keys at this address: `https`, or `http` on a loopback address.
    ///
    /// # Errors
    /// An address that is not safe, or no TLS.
    pub fn new(url: Url) -> Result<Arc<Self>, BuildError> {
        Self::with_cool_down(url, DEFAULT_COOL_DOWN_S)
    }

    /// The same with another cool-down, in seconds, at least 1.
    ///
    /// # Errors
    /// An address that is not safe, or no TLS.
    pub fn with_cool_down(url: Url, cool_down_s: i64) -> Result<Arc<Self>, BuildError> {
        if !is_safe(&url) {
            let why = "whoever can change the answer can forge tokens; use https (http is for loopback addresses)";
            return Err(BuildError::Url { url, why });
        }
        Ok(Arc::new(Self {
            url,
            client: Client::new()?,
            cool_down_s: cool_down_s.max(1),
            snapshot: ArcSwapOption::empty(),
            failing: AtomicBool::new(false),
            gate: Mutex::default(),
        }))
    }

    /// The keys to verify with now. Must be called within a tokio runtime.
    pub(crate) async fn current(self: &Arc<Self>, now_s: i64) -> Result<Arc<Snapshot>, Refusal> {
        let Some(snapshot) = self.snapshot.load_full() else {
            return self.first(now_s).await;
        };
        match snapshot.freshness(now_s) {
            Freshness::Fresh => Ok(snapshot),
            Freshness::Stale if !self.failing.load(Ordering::Acquire) => {
                self.fetch(Cause::Age, now_s).await;
                Ok(self.snapshot.load_full().unwrap_or(snapshot))
            }
            Freshness::Due | Freshness::Stale => {
                // Not awaited: the fetch runs by itself.
                let _flight = self.start(Cause::Age, now_s);
                Ok(snapshot)
            }
        }
    }

    async fn first(self: &Arc<Self>, now_s: i64) -> Result<Arc<Snapshot>, Refusal> {
        self.fetch(Cause::Empty, now_s).await;
        let retry_after_s = EMPTY_PAUSE_S.unsigned_abs();
        self.snapshot
            .load_full()
            .ok_or(Refusal::Unavailable { retry_after_s })
    }

    /// Keys fetched after `seen`, if there are any or may be fetched now.
    pub(crate) async fn newer_than(
        self: &Arc<Self>,
        seen: &Arc<Snapshot>,
        now_s: i64,
    ) -> Option<Arc<Snapshot>> {
        let newer = || {
            self.snapshot
                .load_full()
                .filter(|now| !Arc::ptr_eq(now, seen))
        };
        if let Some(newer) = newer() {
            return Some(newer);
        }
        self.fetch(Cause::UnknownKey, now_s).await;
        newer()
    }

    async fn fetch(self: &Arc<Self>, cause: Cause, now_s: i64) {
        if let Some(mut flight) = self.start(cause, now_s) {
            // Nothing is ever sent: the error that the sender is gone is the sign that the fetch is over.
            let _over = flight.changed().await;
        }
    }

    /// Joins the fetch under way, or starts one unless it is too early.
    fn start(self: &Arc<Self>, cause: Cause, now_s: i64) -> Option<watch::Receiver<()>> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let running = gate
            .flight
            .as_ref()
            .filter(|flight| flight.has_changed().is_ok());
        if let Some(flight) = running {
            return Some(flight.clone());
        }
        if self.too_early(cause, &gate, now_s) {
            return None;
        }
        gate.last_s = Some(now_s);
        if cause == Cause::UnknownKey {
            gate.last_unknown_s = Some(now_s);
        }
        let (end, flight) = watch::channel(());
        gate.flight = Some(flight.clone());
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            cache.renew(now_s).await;
            drop(end);
        });
        Some(flight)
    }

    fn too_early(&self, cause: Cause, gate: &Gate, now_s: i64) -> bool {
        let within = |last: Option<i64>, pause| {
            last.is_some_and(|last| (0..pause).contains(&now_s.saturating_sub(last)))
        };
        match cause {
            Cause::Empty => within(gate.last_s, EMPTY_PAUSE_S),
            Cause::Age => {
                self.failing.load(Ordering::Acquire) && within(gate.last_s, self.cool_down_s)
            }
            Cause::UnknownKey => within(gate.last_unknown_s, self.cool_down_s),
        }
    }

    async fn renew(&self, now_s: i64) {
        match self.load(now_s).await {
            Ok(snapshot) => {
                tracing::debug!(url = %self.url, keys = ?snapshot.keys, max_age_s = snapshot.max_age_s, "keys fetched");
                self.snapshot.store(Some(Arc::new(snapshot)));
                self.failing.store(false, Ordering::Release);
            }
            Err(error) => {
                let kept = self.snapshot.load().is_some();
                tracing::warn!(url = %self.url, %error, kept, "keys could not be fetched");
                self.failing.store(true, Ordering::Release);
            }
        }
    }

    async fn load(&self, now_s: i64) -> Result<Snapshot, FetchError> {
        let request = Request::get(self.url.as_str())
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Bytes::new())
            .map_err(FetchError::Request)?;
        let response = self
            .client
            .send(request, FETCH_TIMEOUT, FETCH_LIMIT)
            .await?;
        read(&response, now_s)
    }
}

fn read(response: &Response<Bytes>, now_s: i64) -> Result<Snapshot, FetchError> {
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let set: JwkSet = serde_json::from_slice(response.body()).map_err(FetchError::NotAKeySet)?;
    let keys = KeySet::from_jwks(&set);
    // An empty set is taken at its word: the issuer withdrew its keys. One that cannot be read is a fault.
    if keys.is_empty() && keys.skipped() > 0 {
        return Err(FetchError::NoUsableKey(keys.skipped()));
    }
    Ok(Snapshot {
        keys,
        fetched_s: now_s,
        max_age_s: max_age_s(response.headers()),
    })
}

/// Freshness by RFC 9111 §4.2: `max-age` less `Age`, within our bounds.
fn max_age_s(headers: &HeaderMap) -> i64 {
    let directives = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut stated = None;
    for directive in directives {
        let (name, value) = directive
            .trim()
            .split_once('=')
            .unwrap_or((directive.trim(), ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return MIN_MAX_AGE_S;
        }
        if name.eq_ignore_ascii_case("max-age") {
            // A number too large for us is "long" (RFC 9111 §1.2.2); no number at all is a stale answer (§4.2.1).
            let digits = value.trim_matches('"');
            let number = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty();
            stated = Some(if number {
                digits.parse().unwrap_or(i64::MAX)
            } else {
                0
            });
        }
    }
    let age: i64 = headers
        .get(AGE)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    let left = stated
        .unwrap_or(DEFAULT_MAX_AGE_S)
        .saturating_sub(age.max(0));
    left.clamp(MIN_MAX_AGE_S, MAX_MAX_AGE_S)
}

/// Whether nobody on the way can change what is read there.
pub(crate) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(values: &[(&str, &str)]) -> i64 {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            let name: http::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        max_age_s(&headers)
    }

    #[test]
    fn max_age_is_honoured_within_bounds() {
        assert_eq!(age(&[]), 300);
        assert_eq!(age(&[("cache-control", "public, max-age=600")]), 600);
        assert_eq!(
            age(&[
                ("cache-control", "public"),
                ("cache-control", "MAX-AGE=\"600\"")
            ]),
            600
        );
        assert_eq!(
            age(&[("cache-control", "max-age=600"), ("age", "100")]),
            500
        );
        assert_eq!(age(&[("cache-control", "max-age=5")]), 30);
        assert_eq!(
            age(&[("cache-control", "max-age=99999999999999999999")]),
            86_400
        );
        assert_eq!(age(&[("cache-control", "max-age=soon")]), 30);
        assert_eq!(age(&[("cache-control", "no-store, max-age=600")]), 30);
    }

    #[test]
    fn unsafe_addresses_are_refused() {
        for (url, fits) in [
            ("https://id.example/jwks", true),
            ("http://127.0.0.1:8080/jwks", true),
            ("http://[::1]/jwks", true),
            ("http://localhost/jwks", true),
            ("http://id.example/jwks", false),
            ("http://127.0.0.1.evil.example/jwks", false),
            ("ftp://id.example/jwks", false),
        ] {
            let url: Url = url.parse().expect("a URL");
            assert_eq!(JwksCache::new(url.clone()).is_ok(), fits, "{url}");
        }
    }
}
