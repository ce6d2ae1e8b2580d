//! One actor for many sessions: inputs to machines, actions to effects, one ordered set of timers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenure_core::session::{Action, Event, Input, Machine, Stored};
use tenure_core::{Failure, Generation, Mono, Now};
use tenure_store::Record;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::context::Context;
use crate::effects::{self, Done, Effect, Yield};
use crate::entry::{Entry, Waiter};
use crate::events;
use crate::exchange;
use crate::failures;
use crate::rows::{self, Reading};
use crate::session::{AfterRefusal, Shared, Token};

/// Tokio's clock stands still while the machine sleeps, so no sleep is longer than this: after a wake-up
/// every timer is looked at again within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Commands a shard may have waiting before senders wait, too.
const BACKLOG: usize = 4_096;

/// What a shard is told.
pub(crate) enum Command {
    Wanted {
        min_valid_ms: u64,
        reply: Option<oneshot::Sender<Result<Token, Failure>>>,
    },
    Accepted {
        generation: Generation,
    },
    Observed {
        generation: Generation,
        failure: Box<Failure>,
    },
    Refused {
        generation: Generation,
        failure: Option<Failure>,
        reply: oneshot::Sender<AfterRefusal>,
    },
    Force {
        reply: oneshot::Sender<Result<Token, Failure>>,
    },
    /// The row as somebody left it, and whom to tell once the snapshot tells of it.
    Row(Box<Record>, Option<oneshot::Sender<()>>),
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
    pub(crate) async fn send(&self, command: Command) -> Result<(), ()> {
        self.tx.send((self.index, command)).await.map_err(|_| ())
    }

    /// As [`ShardSender::send`], without waiting for room.
    pub(crate) fn try_send(&self, command: Command) -> Result<(), ()> {
        self.tx.try_send((self.index, command)).map_err(|_| ())
    }
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
    /// Rows are being read for the first time: taking them up is no event.
    starting: bool,
}

impl Shard {
    pub(crate) fn new(ctx: Arc<Context>) -> Self {
        let (tx, rx) = mpsc::channel(BACKLOG);
        Self {
            ctx,
            entries: Vec::new(),
            timers: BTreeSet::new(),
            rx,
            tx,
            stopping: Vec::new(),
            stopped: false,
            starting: false,
        }
    }

    /// The way to this shard.
    pub(crate) fn sender(&self) -> mpsc::Sender<(usize, Command)> {
        self.tx.clone()
    }

    /// The way to the session that is added next.
    pub(crate) fn next_sender(&self) -> ShardSender {
        ShardSender {
            tx: self.tx.clone(),
            index: self.entries.len(),
        }
    }

    /// Adds a session with its row as read at start, before the actor runs.
    pub(crate) fn add(&mut self, shared: Arc<Shared>, machine: Machine, record: Record) {
        let index = self.entries.len();
        self.entries.push(Entry::new(shared, machine));
        self.starting = true;
        self.row(index, record);
        let ctx = Arc::clone(&self.ctx);
        let config = &self.entries[index].shared.config;
        let endpoint = &config.endpoints.known().token_endpoint;
        let now = clock::now();
        if let Err(until) = ctx.pacer.gate(endpoint, now.mono) {
            let failure = exchange::paced(&ctx, endpoint);
            self.input(index, now, Input::Paced { until, failure });
        }
        self.starting = false;
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
        let Some((next, _)) = self.timers.first() else {
            return LONGEST_SLEEP;
        };
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
        self.entries
            .iter()
            .all(|entry| !entry.busy && entry.queue.is_empty() && !entry.machine.running())
    }

    fn command(&mut self, index: usize, command: Command) {
        let now = clock::now();
        match command {
            Command::Wanted {
                min_valid_ms,
                reply,
            } => {
                if let Some(reply) = reply {
                    let since = self.entries[index].machine.generation();
                    self.entries[index].waiters.push(Waiter::Token {
                        since,
                        min_valid_ms,
                        reply,
                    });
                }
                self.input(index, now, Input::Wanted { min_valid_ms });
            }
            Command::Force { reply } => {
                let since = self.entries[index].machine.generation();
                // Nothing lives as long as this: only a newer generation, or the failure, answers.
                self.entries[index].waiters.push(Waiter::Token {
                    since,
                    min_valid_ms: u64::MAX,
                    reply,
                });
                self.input(index, now, Input::Forced);
            }
            Command::Accepted { generation } => {
                self.input(index, now, Input::Accepted { generation });
            }
            Command::Observed {
                generation,
                failure,
            } => {
                let failure = *failure;
                let observed = Input::Observed {
                    generation,
                    failure,
                };
                self.input(index, now, observed);
            }
            Command::Refused {
                generation,
                failure,
                reply,
            } => self.refused(index, now, (generation, failure), reply),
            Command::Row(record, taken_up) => {
                self.row(index, *record);
                // Whoever waited for it may have gone.
                let _nobody_waits = taken_up.map(|taken_up| taken_up.send(()));
            }
            Command::Done(done) => self.done(index, *done),
            Command::Stop(reply) => {
                self.stopped = true;
                self.stopping.push(reply);
            }
        }
    }

    fn refused(
        &mut self,
        index: usize,
        now: Now,
        (generation, failure): (Generation, Option<Failure>),
        reply: oneshot::Sender<AfterRefusal>,
    ) {
        let snapshot = self.entries[index].shared.snapshot.load_full();
        if snapshot.generation == generation && snapshot.accepted.load(Ordering::Relaxed) {
            self.input(index, now, Input::AcceptedBefore { generation });
        }
        let entry = &mut self.entries[index];
        if entry.machine.heals_refusal(now.mono, generation) {
            entry.waiters.push(Waiter::Refusal { generation, reply });
        } else {
            let answer = match entry.machine.failure().filter(|_| entry.machine.ended()) {
                Some(failure) => AfterRefusal::Failed(failure.clone()),
                None => AfterRefusal::NotHealable,
            };
            // A caller that went away needs no answer.
            let _caller_gone = reply.send(answer);
        }
        let refused = Input::Refused {
            generation,
            failure,
        };
        self.input(index, now, refused);
    }

    fn reading(&self, index: usize, now: Now) -> Reading {
        let endpoint = &self.entries[index]
            .shared
            .config
            .endpoints
            .known()
            .token_endpoint;
        let server = self
            .ctx
            .clocks
            .of(endpoint)
            .map(|clock| clock.now(now.mono));
        Reading {
            boot: self.ctx.boot,
            now,
            server,
        }
    }

    /// As [`Shard::take_row`], for a reading that may be older than what is known: it replaces nothing newer.
    fn take_change(&mut self, index: usize, now: Now, record: Record) -> Stored {
        let known = self.entries[index]
            .row
            .as_ref()
            .map(|(generation, _)| *generation);
        if known.is_some_and(|known| known > record.generation) {
            let at = self.reading(index, now);
            return rows::stored(&self.entries[index].shared.config, &record, at);
        }
        self.take_row(index, now, record)
    }

    /// Remembers the row's secrets and facts; returns what the machine wants to know of it.
    fn take_row(&mut self, index: usize, now: Now, record: Record) -> Stored {
        let at = self.reading(index, now);
        let entry = &mut self.entries[index];
        let stored = rows::stored(&entry.shared.config, &record, at);
        entry.login = record.secret;
        entry.info = record.info;
        entry.suspect = record.suspect;
        entry.row = Some((record.generation, record.pair));
        stored
    }

    fn row(&mut self, index: usize, record: Record) {
        let now = clock::now();
        self.entries[index].reloading = false;
        let stored = self.take_change(index, now, record);
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
                let stored = record.map(|record| self.take_change(index, now, *record));
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
        self.settle_pair(index, now);
        self.flush(index);
        let entry = &mut self.entries[index];
        entry.publish(now);
        entry.answer(now.mono);
        let deadline = entry
            .machine
            .deadline(now.mono)
            .map(|at| at.max(now.mono + 1));
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
                entry.machine.handle(
                    now,
                    Input::Paced {
                        until: later,
                        failure,
                    },
                );
            }
            Action::Claim => {
                // Saving asks nothing of the server, so its pacing does not matter.
                let saving = entry.machine.unsaved();
                entry.queue.push_back(Effect::Claim { saving });
            }
            Action::WriteIntent(intent) => entry.queue.push_back(Effect::WriteIntent(intent)),
            Action::Exchange {
                generation,
                unknown,
            } => {
                entry.queue.push_back(Effect::Exchange {
                    generation,
                    unknown,
                });
            }
            Action::Save { expect } => {
                // While unsaved, the pair to save is the current one.
                let pair = entry.pending.clone().or_else(|| entry.pair.clone());
                entry.queue.push_back(Effect::Save { expect, pair });
            }
            Action::SaveSpare => entry.queue.push_back(Effect::SaveSpare(entry.pair.clone())),
            Action::LookAgain => entry.queue.push_back(Effect::LookAgain),
            Action::Latch(failure) => entry.queue.push_back(Effect::Latch(failure)),
            Action::Note(generation, trouble) => {
                entry.queue.push_back(Effect::Note(generation, trouble));
            }
            Action::ClearIntent(generation) => {
                entry.queue.push_back(Effect::ClearIntent(generation));
            }
            Action::Release => entry.queue.push_back(Effect::Release),
            // The pair itself is settled when all actions are done. It may have the number of the one in hand.
            Action::Adopt(_) => (entry.pair, entry.pending) = (None, None),
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

    /// The pair in hand is the one the machine speaks of. Readings of a row may come out of order, so the one at
    /// hand may be another: the row is then read again, and no token is served meanwhile.
    fn settle_pair(&mut self, index: usize, now: Now) {
        let entry = &mut self.entries[index];
        let Some(generation) = entry.machine.held().map(|held| held.generation) else {
            return;
        };
        if entry
            .pair
            .as_ref()
            .is_some_and(|pair| pair.generation == generation)
        {
            return;
        }
        match &entry.row {
            Some((at, Some(pair))) if *at == generation => {
                let pair = pair.clone();
                entry.set_pair(pair, now);
            }
            _ if entry.reloading => {}
            _ => {
                (entry.pair, entry.token) = (None, None);
                entry.reloading = true;
                entry.queue.push_back(Effect::Reload);
            }
        }
    }

    fn emit(&mut self, index: usize, now: Now, event: Event) {
        if self.starting && matches!(event, Event::Adopted(_)) {
            return;
        }
        let entry = &self.entries[index];
        let old = match event {
            Event::LoggedOut => entry.shared.logging_out.load(Ordering::Relaxed),
            Event::Expired(..) => entry.is_bare(),
            _ => false,
        };
        if old {
            return;
        }
        if let Event::Refused(..) = &event {
            self.entries[index].learn(now.mono);
        }
        let entry = &self.entries[index];
        let row = events::row(
            &entry.shared.config,
            &event,
            now.wall,
            self.ctx.store.holder(),
        );
        match event {
            // Every process that shares the store learns of these; the one that did it has told the store.
            Event::Adopted(_) | Event::LoggedOut => self.ctx.tell_here(row),
            _ => self.ctx.tell(row),
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
            suspect: entry.suspect,
            fingerprint: entry.machine.held().and_then(|held| held.fingerprint),
            shared: Arc::clone(&entry.shared),
        };
        let (ctx, tx) = (Arc::clone(&self.ctx), self.tx.clone());
        self.ctx.tasks.spawn(effects::run(ctx, batch, index, tx));
    }
}
