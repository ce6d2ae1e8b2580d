//! One session inside its shard: its machine, its secrets, who waits for it, what is shown of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;
use tenure_core::session::{Machine, State};
use tenure_core::{Failure, Generation, Mono, Now, Secret, TokenPair, Wall};
use tenure_store::{Info, Lease, StoredLogin, Suspect};
use tokio::sync::oneshot;

use crate::effects::Effect;
use crate::failures;
use crate::session::{AfterRefusal, Shared, Snapshot, Token};

pub(crate) enum Waiter {
    Token {
        since: Generation,
        min_valid_ms: u64,
        reply: oneshot::Sender<Result<Token, Failure>>,
    },
    Refusal {
        generation: Generation,
        reply: oneshot::Sender<AfterRefusal>,
    },
}

pub(crate) struct Entry {
    pub(crate) shared: Arc<Shared>,
    pub(crate) machine: Machine,
    /// The row given last: what `Adopt` takes over.
    pub(crate) row: Option<(Generation, Option<TokenPair>)>,
    /// The current pair, and the token made of it.
    pub(crate) pair: Option<TokenPair>,
    pub(crate) token: Option<Token>,
    /// What an exchange brought and is not yet current.
    pub(crate) pending: Option<TokenPair>,
    pub(crate) login: Option<StoredLogin>,
    pub(crate) info: Info,
    /// Why a newer pair than the stored one may exist, as the row said last.
    pub(crate) suspect: Option<Suspect>,
    pub(crate) lease: Option<Lease>,
    /// The row is being read again, because the pair at hand is not the one the machine speaks of.
    pub(crate) reloading: bool,
    pub(crate) queue: VecDeque<Effect>,
    pub(crate) busy: bool,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) timer: Option<Mono>,
    pub(crate) published: Option<Shown>,
}

/// What makes a snapshot differ for those who watch.
#[derive(PartialEq)]
pub(crate) struct Shown {
    state: State,
    unsaved: bool,
    generation: Generation,
    refused: bool,
    failure: Option<Failure>,
    token: bool,
}

impl Entry {
    /// A session of which nothing is known yet.
    pub(crate) fn new(shared: Arc<Shared>, machine: Machine) -> Self {
        Self {
            shared,
            machine,
            row: None,
            pair: None,
            token: None,
            pending: None,
            login: None,
            info: Info::default(),
            suspect: None,
            lease: None,
            reloading: false,
            queue: VecDeque::new(),
            busy: false,
            waiters: Vec::new(),
            timer: None,
            published: None,
        }
    }

    pub(crate) fn set_pair(&mut self, pair: TokenPair, now: Now) {
        let held = self.machine.held();
        let expires = held.and_then(|held| held.expires);
        let lifetime_ms = held.and_then(|held| held.expires.map(|end| end.since(held.issued)));
        let header = header(&pair.access).filter(|_| !pair.access.is_empty());
        self.token = header.map(|header| Token {
            generation: pair.generation,
            secret: Arc::new(pair.access.clone()),
            header,
            expires,
            lifetime_ms,
        });
        if self.token.is_none() && !pair.access.is_empty() {
            tracing::warn!(session = %self.shared.config.name, at = now.wall.0, "the access token holds characters that no header can carry");
        }
        self.pair = Some(pair);
    }

    /// Whether the session began with a refresh token alone, so that it has no access token yet that could end.
    pub(crate) fn is_bare(&self) -> bool {
        let stored = self.row.as_ref().and_then(|(_, pair)| pair.as_ref());
        let pair = self.pair.as_ref().or(stored);
        pair.is_some_and(|pair| pair.access.is_empty())
    }

    /// A server that refuses earlier than it says, twice at about the same age, is believed by its deeds.
    pub(crate) fn learn(&mut self, now: Mono) {
        let Some(held) = self.machine.held() else {
            return;
        };
        let (age, life) = (
            now.since(held.issued) / 1_000,
            held.expires.map(|end| end.since(held.issued) / 1_000),
        );
        if age < 5 || life.is_none_or(|life| age + 5 >= life) {
            return;
        }
        let before = self
            .info
            .extra
            .get("refused_at_s")
            .and_then(serde_json::Value::as_u64);
        self.info
            .extra
            .insert("refused_at_s".to_owned(), age.into());
        if let Some(before) = before
            && before.abs_diff(age) * 10 <= before
        {
            self.info.learned_s = i64::try_from(age.min(before)).ok();
        }
    }

    pub(crate) fn publish(&mut self, now: Now) {
        let machine = &self.machine;
        let shown = Shown {
            state: machine.state(now.mono),
            unsaved: machine.unsaved(),
            generation: machine.generation(),
            refused: machine.refused(),
            failure: machine.failure().cloned(),
            token: self.token.is_some(),
        };
        let kept_accepted = {
            let old = self.shared.snapshot.load();
            old.generation == shown.generation && old.accepted.load(Ordering::Relaxed)
        };
        let held = machine.held();
        let next = machine
            .not_before()
            .or_else(|| machine.due_at())
            .filter(|_| !machine.ended());
        self.shared.snapshot.store(Arc::new(Snapshot {
            state: shown.state,
            unsaved: shown.unsaved,
            generation: shown.generation,
            token: self.token.clone(),
            refused: shown.refused,
            failure: shown.failure.clone(),
            ended: machine.ended(),
            doubted: machine.doubted(),
            questioned: machine.lifted_by_acceptance(),
            renewable: held.is_some_and(|held| held.renewable),
            refresh_expires: held.and_then(|held| held.refresh_expires),
            session_ends: machine.session_ends(),
            next_refresh: next,
            last_refresh: self.info.last_refresh,
            accepted: AtomicBool::new(kept_accepted),
        }));
        if self.published.as_ref() != Some(&shown) {
            self.published = Some(shown);
            self.shared.version.send_modify(|version| *version += 1);
        }
    }

    /// Answers every waiter whose question is settled.
    pub(crate) fn answer(&mut self, now: Mono) {
        let valid = if self.machine.valid(now) && !self.machine.doubted() {
            self.token.clone()
        } else {
            None
        };
        let running = self.machine.running();
        let generation = self.machine.generation();
        let failure = || {
            self.machine
                .failure()
                .cloned()
                .unwrap_or_else(|| failures::no_token(&self.shared.config, self.pair.is_some()))
        };
        let mut still = Vec::new();
        for waiter in self.waiters.drain(..) {
            match waiter {
                Waiter::Token {
                    since,
                    min_valid_ms,
                    reply,
                } => {
                    let answer = match &valid {
                        Some(token) if generation > since || lives(token, now, min_valid_ms) => {
                            Some(Ok(token.clone()))
                        }
                        _ if running => None,
                        // A refresh a person asked for reports its failure; everybody else is served (I7).
                        Some(token)
                            if min_valid_ms != u64::MAX || self.machine.failure().is_none() =>
                        {
                            Some(Ok(token.clone()))
                        }
                        _ => Some(Err(failure())),
                    };
                    match answer {
                        // A caller that went away needs no answer.
                        Some(answer) => drop(reply.send(answer)),
                        None if reply.is_closed() => {}
                        None => still.push(Waiter::Token {
                            since,
                            min_valid_ms,
                            reply,
                        }),
                    }
                }
                Waiter::Refusal {
                    generation: refused,
                    reply,
                } => {
                    let answer = match &valid {
                        Some(token) if generation > refused => {
                            Some(AfterRefusal::Newer(token.clone()))
                        }
                        _ if running => None,
                        _ if self.machine.failure().is_some() => {
                            Some(AfterRefusal::Failed(failure()))
                        }
                        _ => Some(AfterRefusal::NotHealable),
                    };
                    match answer {
                        Some(answer) => drop(reply.send(answer)),
                        None if reply.is_closed() => {}
                        None => still.push(Waiter::Refusal {
                            generation: refused,
                            reply,
                        }),
                    }
                }
            }
        }
        self.waiters = still;
    }
}

fn lives(token: &Token, now: Mono, min_valid_ms: u64) -> bool {
    token.expires.map_or(min_valid_ms != u64::MAX, |end| {
        end.since(now) >= min_valid_ms
    })
}

/// `Bearer …`; `None` when the token cannot stand in a header.
fn header(token: &Secret) -> Option<HeaderValue> {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(token.len() + 7));
    text.push_str("Bearer ");
    text.push_str(token.expose());
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// For snapshots before anything is known.
pub(crate) fn blank() -> Snapshot {
    Snapshot {
        state: State::Empty,
        unsaved: false,
        generation: Generation(0),
        token: None,
        refused: false,
        failure: None,
        ended: false,
        doubted: false,
        questioned: false,
        renewable: false,
        refresh_expires: None,
        session_ends: None,
        next_refresh: None,
        last_refresh: None::<Wall>,
        accepted: AtomicBool::new(false),
    }
}
