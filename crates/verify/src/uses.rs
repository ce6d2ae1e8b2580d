//! Telling an issuer which tokens are in use, so that it knows a retry after a lost reply from a theft.
//!
//! An issuer that rotates refresh tokens sees a token come a second time: either its holder never got the reply, or somebody
//! else has a copy. If the access token that went out with the lost reply was used somewhere, it was not lost. A [`FirstUses`]
//! remembers the first use of each generation of each session that an API sees and reports them in batches.
//!
//! Verifying never waits for it: what cannot be noted at once is noted with the token's next use. A report that is lost costs
//! the issuer that knowledge and nobody a session.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use serde_json::{Value, json};
use tenure_core::Secret;
use tenure_http::Client;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

use crate::jwks;
use crate::verifier::{BuildError, Claims};

/// Parts of what is remembered: two requests seldom meet in one.
const SHARDS: usize = 16;
/// Sessions remembered in each part; a full one is begun anew, which costs a report once more.
const EACH: usize = 4_096;
/// Uses that wait to be reported.
const WAITING: usize = 8_192;
/// Uses in one report.
const BATCH: usize = 500;
/// How long a report may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a report is tried again before its uses are let go.
const TRIES: u32 = 5;
/// An answer is not read further.
const LONGEST_ANSWER: usize = 4 * 1024;

/// One use: the session and the generation of its tokens.
type Use = (String, u64);

/// Remembers first uses and reports them; give a clone of it to [`Builder::first_uses`](crate::Builder::first_uses).
///
/// Cheap to clone; clones share everything. It works until the last clone is dropped.
#[derive(Clone)]
pub struct FirstUses {
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

struct Shared {
    shards: [Mutex<HashMap<String, u64>>; SHARDS],
    hasher: RandomState,
    queue: mpsc::Sender<Use>,
    reported: AtomicU64,
}

impl FirstUses {
    /// Reports to `url` (the issuer's `/uses`): `https`, or `http` on a loopback address, as this client with its secret,
    /// once in `every` at most. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An address that is not safe.
    pub fn report(
        url: Url,
        client: Client,
        client_id: &str,
        client_secret: &Secret,
        every: Duration,
    ) -> Result<Self, BuildError> {
        if !jwks::is_safe(&url) {
            return Err(BuildError::Uses { url });
        }
        let (queue, waiting) = mpsc::channel(WAITING);
        let shared = Arc::new(Shared {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            queue,
            reported: AtomicU64::new(0),
        });
        let reporter = Reporter {
            url,
            client,
            authorization: basic(client_id, client_secret),
            every,
            waiting,
        };
        // The task holds no handle, or it would never end.
        let task = tokio::spawn(reporter.run(Arc::downgrade(&shared)));
        Ok(Self {
            shared,
            _task: Arc::new(Task(task)),
        })
    }

    /// How many uses the issuer was told of so far.
    pub fn reported(&self) -> u64 {
        self.shared.reported.load(Ordering::Relaxed)
    }

    /// Notes the use of a token whose claims these are. Never waits.
    pub(crate) fn note(&self, claims: &Claims) {
        let sid = claims.get("sid").and_then(Value::as_str);
        let generation = claims.get("generation").and_then(Value::as_u64);
        if let (Some(sid), Some(generation)) = (sid, generation) {
            self.shared.note(sid, generation);
        }
    }
}

impl Shared {
    fn note(&self, sid: &str, generation: u64) {
        let hash = self.hasher.hash_one(sid);
        let shard = &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)];
        let mut known = match shard.try_lock() {
            Ok(known) => known,
            // Nothing in here is left half done.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another request is at it: the next use will be noted.
            Err(TryLockError::WouldBlock) => return,
        };
        if known.get(sid).is_some_and(|last| *last >= generation) {
            return;
        }
        // What finds no place in the queue is not remembered, so that the next use is its first.
        if self.queue.try_send((sid.to_owned(), generation)).is_err() {
            return;
        }
        if known.len() >= EACH {
            known.clear();
        }
        known.insert(sid.to_owned(), generation);
    }
}

fn basic(id: &str, secret: &Secret) -> HeaderValue {
    let form =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let both = format!("{}:{}", form(id), form(secret.expose()));
    let text = format!("Basic {}", tenure_jose::b64(both.as_bytes()));
    // Base64 has no character that a header may not have.
    let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Sends what waits.
struct Reporter {
    url: Url,
    client: Client,
    authorization: HeaderValue,
    every: Duration,
    waiting: mpsc::Receiver<Use>,
}

impl Reporter {
    async fn run(mut self, shared: std::sync::Weak<Shared>) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            let sent = self.send(&batch).await;
            let Some(shared) = shared.upgrade() else {
                return;
            };
            if sent {
                let count = u64::try_from(batch.len()).unwrap_or(0);
                shared.reported.fetch_add(count, Ordering::Relaxed);
            }
            drop(shared);
            batch.clear();
            tokio::time::sleep(self.every).await;
        }
    }

    /// Tries some times; then the uses are let go.
    async fn send(&self, batch: &[Use]) -> bool {
        let body = json!({ "uses": batch });
        for tried in 0..TRIES {
            match self.post(&body).await {
                Ok(StatusCode::NO_CONTENT) => return true,
                Ok(status)
                    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS =>
                {
                    tracing::warn!(url = %self.url, %status, "the issuer takes no reports of first uses");
                    return false;
                }
                Ok(status) => {
                    tracing::debug!(url = %self.url, %status, "first uses are reported later");
                }
                Err(error) => {
                    tracing::debug!(url = %self.url, error, "first uses are reported later");
                }
            }
            tokio::time::sleep(self.every.max(Duration::from_millis(100)) * 2_u32.pow(tried)).await;
        }
        tracing::warn!(url = %self.url, uses = batch.len(), "first uses could not be reported");
        false
    }

    async fn post(&self, body: &Value) -> Result<StatusCode, String> {
        let request = Request::post(self.url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, self.authorization.clone())
            .body(Bytes::from(body.to_string()))
            .map_err(|error| error.to_string())?;
        let answer = self.client.send(request, PATIENCE, LONGEST_ANSWER).await;
        answer
            .map(|answer| answer.status())
            .map_err(|fault| fault.to_string())
    }
}
