//! One actor for many sessions: inputs to machines, actions to effects, one ordered set of timers.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::HeaderValue;
use tenure_core::session::{Action, Event, Input, Machine, Stored};
use tenure_core::{Failure, Generation, Mono, Now, Secret, TokenPair, Wall};
use tenure_store::{Info, Lease, Record, StoredLogin};
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::context::{Context, Note};
use crate::effects::{self, Done, Effect, Yield};
use crate::events;
use crate::failures;
use crate::rows::{self, Reading};
use crate::session::{AfterRefusal, Shared, Snapshot, Token};

/// Tokio's clock stands still while the machine sleeps, so no sleep is longer than this: after a wake-up
/// every timer is looked at again within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What a shard is told.
pub(crate) enum Command {
    Wanted { min_valid_ms: u64, reply: Option<oneshot::Sender<Result<Token, Failure>>> },
    Refused { generation: Generation, reply: oneshot::Sender<AfterRefusal> },
    Force { reply: oneshot::Sender<Result<Token, Failure>> },
    /// The row as somebody left it.
    Row(Box<Record>),
    /// An effect ended.
    Done(Box<Done>),
    /// Start nothing new; answer when nothing is under way any more.
    Stop(oneshot::Sender<()>),
}

/// The way to one session's shard.
#[derive(Clone)]
pub(crate) struct ShardSender {
    pub(crate) tx: mpsc::Sender<(usize, Command)>,
    pub(crate) index: usize,
}

impl ShardSender {
    pub(crate) async fn send(&self, _name: &str, command: Command) -> Result<(), ()> {
        self.tx.send((self.index, command)).await.map_err(|_| ())
    }
}

enum Waiter {
    Token { since: Generation, min_valid_ms: u64, reply: oneshot::Sender<Result<Token, Failure>> },
    Refusal { generation: Generation, reply: oneshot::Sender<AfterRefusal> },
}

struct Entry {
    shared: Arc<Shared>,
    machine: Machine,
    /// The row given last: what `Adopt` takes over.
    row: Option<(Generation, Option<TokenPair>)>,
    /// The current pair, and the token made of it.
    pair: Option<TokenPair>,
    token: Option<Token>,
    /// What an exchange brought and is not yet current.
    pending: Option<TokenPair>,
    login: Option<StoredLogin>,
    info: Info,
    lease: Option<Lease>,
    queue: VecDeque<Effect>,
    busy: bool,
    waiters: Vec<Waiter>,
    timer: Option<Mono>,
    published: Option<Shown>,
}

/// What makes a snapshot differ for those who watch.
#[derive(PartialEq)]
struct Shown {
    state: tenure_core::session::State,
    unsaved: bool,
    generation: Generation,
    refused: bool,
    failure: Option<Failure>,
    token: bool,
}

/// One shard. Run it as a task.
pub(crate) struct Shard {
    ctx: Arc<Context>,
    entries: Vec<Entry>,
    timers: BTreeSet<(Mono, usize)>,
    rx: mpsc::Receiver<(usize, Command)>,
    tx: mpsc::Sender<(usize, Command)>,
    stopping: Vec<oneshot::Sender<()>>,
    stopped: bool,
}

impl Shard {
    pub(crate) fn new(ctx: Arc<Context>, tx: mpsc::Sender<(usize, Command)>, rx: mpsc::Receiver<(usize, Command)>) -> Self {
        Self { ctx, entries: Vec::new(), timers: BTreeSet::new(), rx, tx, stopping: Vec::new(), stopped: false }
    }

    /// Adds a session; its index is the number of those added before.
    pub(crate) fn add(&mut self, shared: Arc<Shared>, machine: Machine) {
        self.entries.push(Entry {
            shared,
            machine,
            row: None,
            pair: None,
            token: None,
            pending: None,
            login: None,
            info: Info::default(),
            lease: None,
            queue: VecDeque::new(),
            busy: false,
            waiters: Vec::new(),
            timer: None,
            published: None,
        });
    }

    /// Feeds the row as read at start, before the actor runs.
    pub(crate) fn start_with(&mut self, index: usize, record: Record) {
        self.row(index, record);
    }

    /// Runs until every handle is gone or a stop was answered.
    pub(crate) async fn run(mut self) {
        loop {
            let sleep = self.sleep();
            tokio::select! {
                command = self.rx.recv() => match command {
                    Some((index, command)) => self.command(index, command),
                    None => return,
                },
                () = tokio::time::sleep(sleep) => {}
            }
            self.tick();
            if !self.stopping.is_empty() && self.idle() {
                for reply in self.stopping.drain(..) {
                    // Whoever asked for the stop may have gone; there is nobody else to tell.
                    let _asker_gone = reply.send(());
                }
                return;
            }
        }
    }

    fn sleep(&self) -> Duration {
        let Some((next, _)) = self.timers.first() else { return LONGEST_SLEEP };
        Duration::from_millis(next.since(clock::mono())).min(LONGEST_SLEEP)
    }

    fn tick(&mut self) {
        let now = clock::now();
        while let Some(&(at, index)) = self.timers.first() {
            if at > now.mono {
                return;
            }
            self.timers.remove(&(at, index));
            self.entries[index].timer = None;
            self.input(index, now, Input::Tick);
        }
    }

    fn idle(&self) -> bool {
        self.entries.iter().all(|entry| !entry.busy && entry.queue.is_empty() && !entry.machine.running())
    }

    fn command(&mut self, index: usize, command: Command) {
        let now = clock::now();
        match command {
            Command::Wanted { min_valid_ms, reply } => {
                if let Some(reply) = reply {
                    let since = self.entries[index].machine.generation();
                    self.entries[index].waiters.push(Waiter::Token { since, min_valid_ms, reply });
                }
                self.input(index, now, Input::Wanted { min_valid_ms });
            }
            Command::Force { reply } => {
                let since = self.entries[index].machine.generation();
                // Nothing lives as long as this: only a newer generation, or the failure, answers.
                self.entries[index].waiters.push(Waiter::Token { since, min_valid_ms: u64::MAX, reply });
                self.input(index, now, Input::Forced);
            }
            Command::Refused { generation, reply } => self.refused(index, now, generation, reply),
            Command::Row(record) => self.row(index, *record),
            Command::Done(done) => self.done(index, *done),
            Command::Stop(reply) => {
                self.stopped = true;
                self.stopping.push(reply);
            }
        }
    }

    fn refused(&mut self, index: usize, now: Now, generation: Generation, reply: oneshot::Sender<AfterRefusal>) {
        let entry = &mut self.entries[index];
        let heals = entry.machine.heals_refusal(now.mono, generation);
        if !heals {
            let answer = match entry.machine.failure().filter(|_| entry.machine.ended()) {
                Some(failure) => AfterRefusal::Failed(failure.clone()),
                None => AfterRefusal::NotHealable,
            };
            // A caller that went away needs no answer.
            let _caller_gone = reply.send(answer);
            return;
        }
        entry.waiters.push(Waiter::Refusal { generation, reply });
        self.input(index, now, Input::Refused { generation });
    }

    fn reading(&self, index: usize, now: Now) -> Reading {
        let endpoint = &self.entries[index].shared.config.endpoints.known().token_endpoint;
        let server = self.ctx.clocks.of(endpoint).map(|clock| clock.now(now.mono));
        Reading { boot: self.ctx.boot, now, server }
    }

    /// Remembers the row's secrets and facts; returns what the machine wants to know of it.
    fn take_row(&mut self, index: usize, now: Now, record: Record) -> Stored {
        let at = self.reading(index, now);
        let entry = &mut self.entries[index];
        let stored = rows::stored(&entry.shared.config, &record, at);
        entry.login = record.secret;
        entry.info = record.info;
        entry.row = Some((record.generation, record.pair));
        stored
    }

    fn row(&mut self, index: usize, record: Record) {
        let now = clock::now();
        let stored = self.take_row(index, now, record);
        self.input(index, now, Input::Changed(stored));
    }

    fn done(&mut self, index: usize, done: Done) {
        let now = clock::now();
        if done.last {
            self.entries[index].busy = false;
        }
        let input = match done.result {
            Yield::Nothing => None,
            Yield::Input(input) => Some(input),
            Yield::Granted(lease, record) => {
                let stored = self.take_row(index, now, *record);
                self.entries[index].lease = Some(lease);
                Some(Input::LeaseGranted(stored))
            }
            Yield::Exchanged(ended) => {
                self.entries[index].pending = ended.pair;
                Some(Input::Exchanged(ended.outcome))
            }
            Yield::Moved(record) => Some(Input::SaveMoved(self.take_row(index, now, *record))),
            Yield::Looked(record) => {
                let stored = record.map(|record| self.take_row(index, now, *record));
                Some(Input::Looked(stored))
            }
        };
        match input {
            Some(input) => self.input(index, now, input),
            None => self.flush(index),
        }
    }

    /// The heart: one input, its actions, waiters, snapshot, timer.
    fn input(&mut self, index: usize, now: Now, input: Input) {
        let actions = self.entries[index].machine.handle(now, input);
        for action in actions {
            self.act(index, now, action);
        }
        self.flush(index);
        let entry = &mut self.entries[index];
        entry.publish(now);
        entry.answer(now.mono);
        let deadline = entry.machine.deadline(now.mono).map(|at| at.max(now.mono + 1));
        if deadline != entry.timer {
            if let Some(at) = entry.timer.take() {
                self.timers.remove(&(at, index));
            }
            if let Some(at) = deadline {
                self.timers.insert((at, index));
            }
            self.entries[index].timer = deadline;
        }
    }

    fn act(&mut self, index: usize, now: Now, action: Action) {
        let stopped = self.stopped;
        let entry = &mut self.entries[index];
        match action {
            Action::Claim if stopped => {
                let later = now.mono + 3_600_000;
                let failure = failures::stopping();
                entry.machine.handle(now, Input::Paced { until: later, failure });
            }
            Action::Claim => entry.queue.push_back(Effect::Claim),
            Action::WriteIntent(intent) => entry.queue.push_back(Effect::WriteIntent(intent)),
            Action::Exchange { generation, unknown } => {
                entry.queue.push_back(Effect::Exchange { generation, unknown });
            }
            Action::Save { expect } => {
                // While unsaved, the pair to save is the current one.
                let pair = entry.pending.clone().or_else(|| entry.pair.clone());
                entry.queue.push_back(Effect::Save { expect, pair });
            }
            Action::SaveSpare => entry.queue.push_back(Effect::SaveSpare(entry.pair.clone())),
            Action::LookAgain => entry.queue.push_back(Effect::LookAgain),
            Action::Latch(failure) => entry.queue.push_back(Effect::Latch(failure)),
            Action::ClearIntent(generation) => entry.queue.push_back(Effect::ClearIntent(generation)),
            Action::Release => entry.queue.push_back(Effect::Release),
            Action::Adopt(generation) => self.adopt(index, generation),
            Action::Publish => {
                if let Some(pair) = entry.pending.take() {
                    entry.info.last_refresh = Some(clock::wall());
                    entry.set_pair(pair, now);
                }
            }
            Action::Forget => {
                entry.pair = None;
                entry.token = None;
                entry.pending = None;
                entry.login = None;
            }
            Action::Emit(event) => self.emit(index, now, event),
        }
    }

    fn adopt(&mut self, index: usize, generation: Generation) {
        let now = clock::now();
        let entry = &mut self.entries[index];
        entry.pending = None;
        match &entry.row {
            Some((at, Some(pair))) if *at == generation => {
                let pair = pair.clone();
                entry.set_pair(pair, now);
            }
            // The row was read again meanwhile; the newest reading follows as a change of its own.
            _ => entry.queue.push_back(Effect::Reload),
        }
    }

    fn emit(&mut self, index: usize, now: Now, event: Event) {
        if let Event::Refused(_) = &event {
            self.entries[index].learn(now.mono);
        }
        let entry = &self.entries[index];
        let row = events::row(&entry.shared.config, &event, now.wall, self.ctx.store.holder());
        if let Some(failure) = &row.failure {
            tracing::info!(session = %row.session, code = %failure.code, "{}", row.text);
        } else {
            tracing::info!(session = %row.session, generation = %row.generation, "{}", row.text);
        }
        // Nobody listening is fine; the store keeps the event.
        let _no_listener = self.ctx.live.send(row.clone());
        if self.ctx.events.send(Note::Row(row)).is_err() {
            tracing::warn!("an event could not be stored: the keeper is shutting down");
        }
    }

    /// Starts what is queued, unless the former effects of this session still run: their order matters.
    fn flush(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        if entry.busy || entry.queue.is_empty() {
            return;
        }
        entry.busy = true;
        let batch = effects::Batch {
            effects: std::mem::take(&mut entry.queue),
            lease: entry.lease.clone(),
            pair: entry.pair.clone(),
            login: entry.login.clone(),
            info: entry.info.clone(),
            fingerprint: entry.machine.held().and_then(|held| held.fingerprint),
            shared: Arc::clone(&entry.shared),
        };
        let (ctx, tx) = (Arc::clone(&self.ctx), self.tx.clone());
        self.ctx.tasks.spawn(effects::run(ctx, batch, index, tx));
    }
}

impl Entry {
    fn set_pair(&mut self, pair: TokenPair, now: Now) {
        let expires = self.machine.held().and_then(|held| held.expires);
        self.token = header(&pair.access).map(|header| Token {
            generation: pair.generation,
            secret: Arc::new(pair.access.clone()),
            header,
            expires,
        });
        if self.token.is_none() {
            tracing::warn!(session = %self.shared.config.name, at = now.wall.0, "the access token holds characters that no header can carry");
        }
        self.pair = Some(pair);
    }

    /// A server that refuses earlier than it says, twice at about the same age, is believed by its deeds.
    fn learn(&mut self, now: Mono) {
        let Some(held) = self.machine.held() else { return };
        let (age, life) = (now.since(held.issued) / 1_000, held.expires.map(|end| end.since(held.issued) / 1_000));
        if age < 5 || life.is_none_or(|life| age + 5 >= life) {
            return;
        }
        let before = self.info.extra.get("refused_at_s").and_then(serde_json::Value::as_u64);
        self.info.extra.insert("refused_at_s".to_owned(), age.into());
        if let Some(before) = before
            && before.abs_diff(age) * 10 <= before
        {
            self.info.learned_s = i64::try_from(age.min(before)).ok();
        }
    }

    fn publish(&mut self, now: Now) {
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
            old.generation == shown.generation && old.accepted.load(std::sync::atomic::Ordering::Relaxed)
        };
        let held = machine.held();
        let next = machine.not_before().or_else(|| machine.due_at()).filter(|_| !machine.ended());
        self.shared.snapshot.store(Arc::new(Snapshot {
            state: shown.state,
            unsaved: shown.unsaved,
            generation: shown.generation,
            token: self.token.clone(),
            refused: shown.refused,
            failure: shown.failure.clone(),
            ended: machine.ended(),
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
    fn answer(&mut self, now: Mono) {
        let valid = if self.machine.valid(now) { self.token.clone() } else { None };
        let running = self.machine.running();
        let generation = self.machine.generation();
        let failure = || {
            self.machine.failure().cloned().unwrap_or_else(|| failures::no_token(&self.shared.config, self.pair.is_some()))
        };
        let mut still = Vec::new();
        for waiter in self.waiters.drain(..) {
            match waiter {
                Waiter::Token { since, min_valid_ms, reply } => {
                    let answer = match &valid {
                        Some(token) if generation > since || lives(token, now, min_valid_ms) => Some(Ok(token.clone())),
                        _ if running => None,
                        // A refresh a person asked for reports its failure; everybody else is served (I7).
                        Some(token) if min_valid_ms != u64::MAX || self.machine.failure().is_none() => Some(Ok(token.clone())),
                        _ => Some(Err(failure())),
                    };
                    match answer {
                        // A caller that went away needs no answer.
                        Some(answer) => drop(reply.send(answer)),
                        None if reply.is_closed() => {}
                        None => still.push(Waiter::Token { since, min_valid_ms, reply }),
                    }
                }
                Waiter::Refusal { generation: refused, reply } => {
                    let answer = match &valid {
                        Some(token) if generation > refused => Some(AfterRefusal::Newer(token.clone())),
                        _ if running => None,
                        _ if self.machine.failure().is_some() => Some(AfterRefusal::Failed(failure())),
                        _ => Some(AfterRefusal::NotHealable),
                    };
                    match answer {
                        Some(answer) => drop(reply.send(answer)),
                        None if reply.is_closed() => {}
                        None => still.push(Waiter::Refusal { generation: refused, reply }),
                    }
                }
            }
        }
        self.waiters = still;
    }
}

fn lives(token: &Token, now: Mono, min_valid_ms: u64) -> bool {
    token.expires.map_or(min_valid_ms != u64::MAX, |end| end.since(now) >= min_valid_ms)
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
        state: tenure_core::session::State::Empty,
        unsaved: false,
        generation: Generation(0),
        token: None,
        refused: false,
        failure: None,
        ended: false,
        refresh_expires: None,
        session_ends: None,
        next_refresh: None,
        last_refresh: None::<Wall>,
        accepted: AtomicBool::new(false),
    }
}
