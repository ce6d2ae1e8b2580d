//! A session as callers hold it: the token when there is one, the reason when there is none.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use tenure_core::session::State;
use tenure_core::{Class, Code, Failure, Generation, Heal, Mono, Secret, Wall, Who};
use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::config::SessionConfig;
use crate::failures;
use crate::shard::{Command, ShardSender};

/// What is known of a session at one moment. Read without a lock.
#[derive(Debug)]
pub struct Snapshot {
    /// State as shown.
    pub state: State,
    /// The pair is not yet durable.
    pub unsaved: bool,
    /// The pair's generation; survives a logout.
    pub generation: Generation,
    /// The token, while there is one, expired or not.
    pub token: Option<Token>,
    /// The API refused this token.
    pub refused: bool,
    /// What is wrong at present.
    pub failure: Option<Failure>,
    /// Only a person can help.
    pub ended: bool,
    /// The API refused this token and no refresh heals that. It is sent all the same, for want of another, but
    /// nobody who asks for a token is given it.
    pub doubted: bool,
    /// An answer that accepts the token would prove what is shown wrong.
    pub questioned: bool,
    /// Whether anything but a person can bring the next token.
    pub renewable: bool,
    /// When the refresh token ends.
    pub refresh_expires: Option<Mono>,
    /// When the session ends whatever is done.
    pub session_ends: Option<Mono>,
    /// When the next refresh is planned.
    pub next_refresh: Option<Mono>,
    /// When the last exchange succeeded, by the local wall clock.
    pub last_refresh: Option<Wall>,
    /// An API accepted this token at least once.
    pub(crate) accepted: AtomicBool,
}

impl Snapshot {
    /// The token, if it may be served now.
    pub fn valid_token(&self, now: Mono) -> Option<&Token> {
        self.token
            .as_ref()
            .filter(|token| !self.refused && token.expires.is_none_or(|end| now < end))
    }
}

/// An access token ready to send.
#[derive(Clone)]
pub struct Token {
    /// Its generation.
    pub generation: Generation,
    /// The token.
    pub secret: Arc<Secret>,
    /// `Bearer …`, marked sensitive.
    pub header: HeaderValue,
    /// When it ends; `None` when unknown.
    pub expires: Option<Mono>,
    /// How long it lives in all, in milliseconds; `None` when unknown.
    pub lifetime_ms: Option<u64>,
}

impl Token {
    /// Seconds it still lives; `None` when unknown.
    pub fn expires_in(&self) -> Option<u64> {
        self.expires.map(|end| end.since(clock::mono()) / 1_000)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("generation", &self.generation)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// `tenure status --json`, one session. Seconds; `None` when unknown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Name.
    pub name: String,
    /// Profile.
    pub provider: String,
    /// State.
    pub state: State,
    /// The pair is not yet durable.
    pub unsaved: bool,
    /// Generation.
    pub generation: Generation,
    /// Until the access token ends; negative when it has ended.
    pub access_expires_in: Option<i64>,
    /// Until the refresh token ends.
    pub refresh_expires_in: Option<i64>,
    /// Until the session ends whatever is done.
    pub session_ends_in: Option<i64>,
    /// Seconds since the last exchange.
    pub last_refresh: Option<i64>,
    /// Until the next refresh.
    pub next_refresh_in: Option<i64>,
    /// What is wrong.
    pub failure: Option<Failure>,
}

impl Status {
    /// Whether its first token is still to be fetched, for which no person is needed.
    pub fn is_unused(&self) -> bool {
        self.state == State::Due && self.generation == Generation::default()
    }

    /// A session nobody has logged in yet, or that logs itself in and was never used.
    pub fn empty(config: &SessionConfig) -> Self {
        Self {
            name: config.name.clone(),
            provider: config.profile.name.clone(),
            state: if config.client_credentials {
                State::Due
            } else {
                State::Empty
            },
            unsaved: false,
            generation: Generation::default(),
            access_expires_in: None,
            refresh_expires_in: None,
            session_ends_in: None,
            last_refresh: None,
            next_refresh_in: None,
            failure: None,
        }
    }
}

/// What a caller learns after an API refused a token.
#[derive(Debug)]
pub enum AfterRefusal {
    /// A newer token: send the request once more.
    Newer(Token),
    /// No refresh heals this refusal; the answer stands.
    NotHealable,
    /// A refresh was the cure and failed.
    Failed(Failure),
}

/// A handle on one session. Cheap to clone; the session itself lives in the keeper.
#[derive(Clone)]
pub struct Session(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: SessionConfig,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Counts published snapshots, for those who watch.
    pub(crate) version: watch::Sender<u64>,
    /// A logout by this process is being taken up, and was told.
    pub(crate) logging_out: AtomicBool,
    pub(crate) shard: ShardSender,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.0.config.name)
    }
}

impl Session {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// How it is configured.
    pub fn config(&self) -> &SessionConfig {
        &self.0.config
    }

    /// What is known now. One atomic load.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// Wakes at every change of the snapshot.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// The current token if it may be served: one atomic load and one compare, never a wait.
    pub fn current(&self) -> Option<Token> {
        self.0.snapshot.load().valid_token(clock::mono()).cloned()
    }

    /// A token that lives at least `min_valid`.
    ///
    /// Waits for a running or due exchange. While the current token is valid, a failing refresh never makes
    /// this fail (I7): the token is returned although it lives shorter than asked for. A server whose tokens
    /// live shorter than `min_valid` yields the one there is.
    ///
    /// # Errors
    /// The [`Failure`] that keeps the session from having a valid token.
    pub async fn token(&self, min_valid: Duration) -> Result<Token, Failure> {
        let min_valid_ms = u64::try_from(min_valid.as_millis()).unwrap_or(u64::MAX);
        let now = clock::mono();
        let lazy_due = {
            let snapshot = self.0.snapshot.load();
            if let Some(token) = snapshot.valid_token(now)
                && !snapshot.doubted
                && token
                    .expires
                    .is_none_or(|end| end.since(now) >= min_valid_ms)
            {
                if snapshot.next_refresh.is_none_or(|due| now < due) {
                    return Ok(token.clone());
                }
                Some(token.clone())
            } else {
                None
            }
        };
        if let Some(token) = lazy_due {
            // Due, but valid: the caller is served at once; a lazy session learns that it is wanted.
            if self.0.config.keep == tenure_core::session::Keep::Lazy {
                self.send(Command::Wanted {
                    min_valid_ms,
                    reply: None,
                })
                .await?;
            }
            return Ok(token);
        }
        let (reply, answer) = oneshot::channel();
        self.send(Command::Wanted {
            min_valid_ms,
            reply: Some(reply),
        })
        .await?;
        answer.await.map_err(|_| self.stopped())?
    }

    /// A token to send to the API: as [`Session::token`] for any remaining life, and a token in doubt as well,
    /// since the API's own answer tells its caller most.
    ///
    /// # Errors
    /// As [`Session::token`].
    pub async fn token_to_send(&self) -> Result<Token, Failure> {
        {
            let snapshot = self.0.snapshot.load();
            if snapshot.doubted
                && let Some(token) = snapshot.valid_token(clock::mono())
            {
                return Ok(token.clone());
            }
        }
        self.token(Duration::ZERO).await
    }

    /// Tells that an API refused the token of `generation`, and waits for what comes of it.
    ///
    /// Callers that were refused with an older token get the current one at once; all others share one
    /// exchange.
    pub async fn refused(&self, generation: Generation) -> AfterRefusal {
        self.refused_as(generation, None).await
    }

    /// As [`Session::refused`], with the name the answer was given: where nothing can renew the token, it is
    /// why the session then asks for a login.
    pub async fn refused_because(&self, generation: Generation, failure: &Failure) -> AfterRefusal {
        self.refused_as(generation, Some(failure.clone())).await
    }

    async fn refused_as(&self, generation: Generation, failure: Option<Failure>) -> AfterRefusal {
        {
            let snapshot = self.0.snapshot.load();
            if snapshot.generation > generation
                && let Some(token) = snapshot.valid_token(clock::mono())
            {
                return AfterRefusal::Newer(token.clone());
            }
        }
        let (reply, answer) = oneshot::channel();
        if let Err(failure) = self
            .send(Command::Refused {
                generation,
                failure,
                reply,
            })
            .await
        {
            return AfterRefusal::Failed(failure);
        }
        answer
            .await
            .unwrap_or_else(|_| AfterRefusal::Failed(self.stopped()))
    }

    /// Tells that an API accepted the token of `generation`. One atomic store, once per generation, unless the
    /// token was in doubt.
    pub fn accepted(&self, generation: Generation) {
        let snapshot = self.0.snapshot.load();
        if snapshot.generation != generation {
            return;
        }
        if !snapshot.accepted.load(Ordering::Relaxed) {
            snapshot.accepted.store(true, Ordering::Relaxed);
        }
        if snapshot.questioned {
            // A full queue loses nothing: the next answer tells the same.
            let _full_or_gone = self.0.shard.try_send(Command::Accepted { generation });
        }
    }

    /// Tells that an answer to a request with the token of `generation` named a failure no refresh heals, so that
    /// people are shown it. Nothing is waited for, and what is shown already is not told again.
    pub fn observed(&self, generation: Generation, failure: &Failure) {
        let snapshot = self.0.snapshot.load();
        let shown = snapshot.failure.as_ref();
        if snapshot.generation != generation || shown.is_some_and(|it| it.code == failure.code) {
            return;
        }
        let failure = Box::new(failure.clone());
        // A full queue loses nothing: the next answer tells the same.
        let _full_or_gone = self.0.shard.try_send(Command::Observed {
            generation,
            failure,
        });
    }

    /// Refreshes now because a person wants it; pacing still holds.
    ///
    /// # Errors
    /// The [`Failure`] of the exchange.
    pub async fn refresh(&self) -> Result<Token, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Force { reply }).await?;
        answer.await.map_err(|_| self.stopped())?
    }

    /// The status object of DESIGN §12.
    pub fn status(&self) -> Status {
        let snapshot = self.0.snapshot.load();
        let (now, wall) = (clock::mono(), clock::wall());
        let until = |end: Mono| (end.0 as i64 - now.0 as i64).div_euclid(1_000);
        Status {
            name: self.name().to_owned(),
            provider: self.0.config.profile.name.clone(),
            state: snapshot.state,
            unsaved: snapshot.unsaved,
            generation: snapshot.generation,
            access_expires_in: snapshot
                .token
                .as_ref()
                .and_then(|token| token.expires)
                .map(until),
            refresh_expires_in: snapshot.refresh_expires.map(until),
            session_ends_in: snapshot.session_ends.map(until),
            last_refresh: snapshot.last_refresh.map(|at| (wall - at) / 1_000),
            next_refresh_in: snapshot.next_refresh.map(|at| until(at).max(0)),
            failure: snapshot.failure.clone().or_else(|| self.over(&snapshot)),
        }
    }

    /// A token that ended with nothing to renew it is no failure of the machine, but people are told why (I16).
    fn over(&self, snapshot: &Snapshot) -> Option<Failure> {
        (snapshot.state == State::NeedsLogin)
            .then(|| failures::no_token(&self.0.config, snapshot.token.is_some()))
    }

    async fn send(&self, command: Command) -> Result<(), Failure> {
        self.0
            .shard
            .send(command)
            .await
            .map_err(|()| self.stopped())
    }

    fn stopped(&self) -> Failure {
        Failure::new(
            Code::RefreshFailed,
            Class::RefreshFailed,
            "keeper_stopped",
            Heal::RetryLater,
            Who::Operator,
            format!(
                "the keeper of session {} is shutting down; start it again",
                self.name()
            ),
        )
        .with_rule("keeper.stopped")
    }
}
