//! Revocations learned from an issuer in another process.
//!
//! A [`RevocationFeed`] follows the issuer's stream (`GET /revocations` as server-sent events) or, where no stream can
//! be held, fetches its signed list again and again. Verifying asks memory only.
//!
//! **The bound.** While the feed is connected, a revoked token is refused within one second of the revocation: an
//! issuer process learns of what another one revoked within 250 ms, for it looks that often, and pushes it at once to
//! those who follow; the rest is for the network. When the connection is lost, that is noticed after
//! [`Options::silent_after`] at the latest, and [`WhenUnknown`] says what happens then. With
//! [`RevocationFeed::poll`] the time between two lists comes on top. And a token never lives longer than its own `exp`.

mod events;
mod follow;
mod known;
mod poll;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tenure_http::{Client, Fault};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use crate::jwks;
use crate::refusal::Refusal;
use crate::verifier::{
    BuildError, Claims, Clock, DEFAULT_LEEWAY_S, KeySource, RevocationCheck, Verifier, system_time,
};
use known::{Known, Revocation};

/// How long the issuer may take to begin an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A stream says twice a second that it lives; silence shorter than this says nothing.
const LEAST_SILENCE: Duration = Duration::from_secs(1);

/// What happens to tokens while it is not known what was revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnknown {
    /// They are judged by what is known: one that was revoked in the meantime lives until it expires.
    #[default]
    FailOpen,
    /// They are answered with [`Refusal::Unavailable`] (503). Those known to be revoked are still refused as such.
    FailClosed,
}

/// Settings of a [`RevocationFeed`].
#[derive(Clone)]
pub struct Options {
    /// What happens while the feed is not connected. Default: [`WhenUnknown::FailOpen`].
    pub when_unknown: WhenUnknown,
    /// After how much silence the feed is not connected any more. Default 2 s, at least 1 s.
    pub silent_after: Duration,
    /// How long to wait before the first attempt to connect again. Default 100 ms. Every wait is up to a half shorter,
    /// at random, so that a fleet does not come back at one instant.
    pub backoff_first: Duration,
    /// The longest wait between two attempts; it doubles up to here. Default 5 s.
    pub backoff_most: Duration,
    /// The verifier's leeway in seconds: for so long revocations are remembered after their end.
    /// Default: [`DEFAULT_LEEWAY_S`].
    pub leeway_s: i64,
    /// Time in epoch seconds. Default: the system's.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            when_unknown: WhenUnknown::default(),
            silent_after: Duration::from_secs(2),
            backoff_first: Duration::from_millis(100),
            backoff_most: Duration::from_secs(5),
            leeway_s: DEFAULT_LEEWAY_S,
            clock: Arc::new(system_time),
        }
    }
}

/// The revocations of an issuer in another process; give a clone of it to
/// [`Builder::revocation`](crate::Builder::revocation).
///
/// Cheap to clone; clones share everything. It works until the last clone is dropped.
#[derive(Clone)]
pub struct RevocationFeed {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

/// Ends with the last handle.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RevocationFeed {
    /// Follows the stream at `url` (the issuer's `/revocations`): `https`, or `http` on a loopback address. `client` is
    /// [`Client::new`] or, for an issuer with a private CA, [`tenure_http::Trust::client`]. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// An address that is not safe.
    pub fn follow(url: Url, client: Client, options: Options) -> Result<Self, BuildError> {
        check(&url)?;
        let window = options.silent_after.max(LEAST_SILENCE);
        let shared = Arc::new(Shared::new(url, client, options, window));
        let task = tokio::spawn(follow::run(Arc::clone(&shared)));
        Ok(Self::of(shared, task))
    }

    /// Fetches the signed list at `url` every so often, for networks that hold no stream. It is verified with `keys`
    /// and must be of `issuer`. The feed is connected while a good list is not older than `every` and
    /// [`Options::silent_after`]. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An address that is not safe, or a leeway that cannot be used.
    pub fn poll(
        url: Url,
        client: Client,
        keys: KeySource,
        issuer: impl Into<String>,
        every: Duration,
        options: Options,
    ) -> Result<Self, BuildError> {
        check(&url)?;
        let clock = Arc::clone(&options.clock);
        let verifier = Verifier::builder(keys)
            .issuer(issuer)
            .typ("revocations+jwt")
            .leeway_s(options.leeway_s)
            .clock(move || clock())
            .any_size()
            .build()?;
        let window = every.saturating_add(options.silent_after.max(LEAST_SILENCE));
        let shared = Arc::new(Shared::new(url, client, options, window));
        let task = tokio::spawn(poll::run(Arc::clone(&shared), verifier, every));
        Ok(Self::of(shared, task))
    }

    fn of(shared: Arc<Shared>, task: JoinHandle<()>) -> Self {
        Self {
            shared,
            _task: Arc::new(Task(task)),
        }
    }

    /// Waits until all that was revoked so far is known for the first time.
    pub async fn ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        // The sender lives as long as `self`.
        let _known = ready.wait_for(|ready| *ready).await;
    }

    /// Whether it is known at present what is revoked.
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected()
    }

    /// How many revocations are remembered.
    pub fn len(&self) -> usize {
        self.shared.known.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RevocationCheck for RevocationFeed {
    fn is_revoked(&self, claims: &Claims) -> bool {
        let text = |name| claims.get(name).and_then(Value::as_str);
        let iat = claims.get("iat").and_then(Value::as_i64);
        self.shared.known.is_revoked(text("jti"), text("sid"), iat)
    }

    fn is_key_revoked(&self, kid: &str) -> bool {
        self.shared.known.is_key_revoked(kid)
    }

    fn is_known(&self) -> bool {
        self.shared.options.when_unknown == WhenUnknown::FailOpen || self.is_connected()
    }
}

fn check(url: &Url) -> Result<(), BuildError> {
    if jwks::is_safe(url) {
        return Ok(());
    }
    Err(BuildError::Feed { url: url.clone() })
}

/// What the task writes and verifying reads.
struct Shared {
    url: Url,
    client: Client,
    options: Options,
    known: Known,
    /// For how long a sign of life counts.
    window: Duration,
    started: Instant,
    /// The last sign of life of one who told everything, in milliseconds after `started` and one; 0: none yet.
    heard: AtomicU64,
    /// Something was said that only a newer version understands.
    incomplete: AtomicBool,
    ready: watch::Sender<bool>,
}

impl Shared {
    fn new(url: Url, client: Client, options: Options, window: Duration) -> Self {
        Self {
            url,
            client,
            options,
            known: Known::default(),
            window,
            started: Instant::now(),
            heard: AtomicU64::new(0),
            incomplete: AtomicBool::new(false),
            ready: watch::Sender::new(false),
        }
    }

    /// All that was revoked until `when` is known.
    fn heard(&self, when: Instant) {
        let after = when.saturating_duration_since(self.started).as_millis();
        let mark = u64::try_from(after).unwrap_or(u64::MAX - 1) + 1;
        self.heard.store(mark, Ordering::Release);
        self.known.forget(self.now_s() - self.options.leeway_s);
        if !self.ready.send_replace(true) {
            tracing::debug!(url = %self.url, revocations = self.known.len(), "all revocations are known");
        }
    }

    fn is_connected(&self) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        let after = self.started + Duration::from_millis(heard.saturating_sub(1));
        heard > 0 && after.elapsed() <= self.window && !self.incomplete.load(Ordering::Acquire)
    }

    fn now_s(&self) -> i64 {
        (self.options.clock)()
    }

    /// Takes in one revocation as the issuer tells it; returns whether it was understood.
    fn take(&self, told: Result<Revocation, serde_json::Error>) -> bool {
        let fault = match told {
            Ok(revocation) if self.known.take(&revocation) => return true,
            Ok(_) => "it names neither a session nor a token nor a key".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(url = %self.url, fault, "a revocation is not understood; is the issuer newer than this program?");
        false
    }
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    #[error(transparent)]
    Transport(#[from] Fault),
    #[error("the issuer answered with status {0} instead of 200")]
    Status(http::StatusCode),
    #[error("the answer is no stream of events, but `{0}`")]
    NotAStream(String),
    #[error("an event is larger than any of an issuer")]
    TooLarge(#[from] events::TooLarge),
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("the issuer ended the stream")]
    Ended,
    #[error("the list of revocations is not to be used: {0}")]
    Refused(#[from] Refusal),
    #[error("the list of revocations is no text")]
    NotText,
    #[error("the list of revocations has no `revoked`")]
    NoList,
}

/// How long to wait before the next attempt.
struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    fn new(options: &Options) -> Self {
        Self {
            first: options.backoff_first,
            most: options.backoff_most,
            next: options.backoff_first,
        }
    }

    fn reset(&mut self) {
        self.next = self.first;
    }

    /// Whether nothing failed since it last went well.
    fn is_fresh(&self) -> bool {
        self.next == self.first
    }

    fn wait(&mut self) -> Duration {
        let full = self.next.min(self.most);
        self.next = full.saturating_mul(2).min(self.most);
        let random = u32::from_le_bytes(tenure_jose::random::<4>());
        // Between a half and the whole.
        full.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_differ() {
        let mut backoff = Backoff::new(&Options::default());
        for full in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let wait = backoff.wait();
            let full = Duration::from_millis(full);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.is_fresh());
        let waits: std::collections::BTreeSet<_> = (0..8)
            .map(|_| Backoff::new(&Options::default()).wait())
            .collect();
        assert!(waits.len() > 1);
    }

    #[test]
    fn unsafe_addresses_are_refused() {
        let url: Url = "http://id.example/revocations".parse().expect("a URL");
        let refused = check(&url).expect_err("refused").to_string();
        assert!(
            refused.contains("http://id.example/revocations"),
            "{refused}"
        );
    }
}
