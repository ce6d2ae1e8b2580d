//! One process: its clocks and its sessions, each a machine with what the keeper's shard keeps beside it.

use std::collections::VecDeque;

use tenure_core::session::{
    Action, Event, Held, Input, IntentSeen, Keep, Machine, Outcome, Policy, Stored, Trouble,
};
use tenure_core::{Anchor, BootId, Failure, Fingerprint, Generation, Mono, Now, Wall};

use crate::facts::Fact;
use crate::plan::{Guard, Persona, Plan};
use crate::server::Refresh;
use crate::store::{Lease, Pair, Row};

/// What the machine asked for, to be carried out in order.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Claim,
    WriteIntent(IntentSeen),
    Exchange {
        generation: Generation,
        unknown: bool,
    },
    Save {
        expect: Generation,
        pair: Option<Pair>,
    },
    SaveSpare(Option<Pair>),
    LookAgain,
    Latch(Failure),
    Note(Generation, Option<Trouble>),
    ClearIntent(Generation),
    Release,
    Reload,
}

/// The end of an effect.
#[derive(Clone, Debug)]
pub(crate) enum Yield {
    Nothing,
    Input(Input),
    Granted(Lease, Row),
    Exchanged(Outcome, Option<Pair>),
    Moved(Row),
    Looked(Option<Row>),
    Row(Row),
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wants {
    Token {
        since: Generation,
        min_valid_ms: u64,
    },
    Newer(Generation),
}

/// A session in a process.
pub(crate) struct Entry {
    pub(crate) machine: Machine,
    row: Option<(Generation, Option<Pair>)>,
    pub(crate) pair: Option<Pair>,
    pending: Option<Pair>,
    pub(crate) lease: Option<Lease>,
    pub(crate) queue: VecDeque<Effect>,
    pub(crate) busy: bool,
    /// The effects under way, with lease and pair as they were when the batch began.
    pub(crate) batch: VecDeque<Effect>,
    pub(crate) batch_lease: Option<Lease>,
    pub(crate) batch_pair: Option<Pair>,
    waiters: Vec<(u64, Wants)>,
    pub(crate) timer: Option<Mono>,
    /// For when the world was asked for a turn.
    pub(crate) armed: Option<Mono>,
    instant: (u64, u32),
    /// The row is being read again for a pair that is not at hand.
    reloading: bool,
    /// See [`Guard::RightPair`].
    settles: bool,
}

/// A process.
pub(crate) struct Process {
    pub(crate) id: usize,
    /// Counts its lives.
    pub(crate) life: u32,
    pub(crate) alive: bool,
    pub(crate) stopped_until: u64,
    host: u128,
    offset: u64,
    pub(crate) wall_offset: i64,
    pub(crate) entries: Vec<Entry>,
}

/// A machine may take this many turns at one instant before it counts as busy.
const TURNS: u32 = 40;

pub(crate) fn fingerprint(token: Option<Refresh>) -> Fingerprint {
    let mut bytes = [0; 32];
    if let Some(token) = token {
        bytes[..8].copy_from_slice(&token.family.to_le_bytes());
        bytes[8..16].copy_from_slice(&token.number.to_le_bytes());
    }
    Fingerprint(bytes)
}

impl Process {
    pub(crate) fn new(plan: &Plan, id: usize) -> Self {
        let host = if plan.one_host { 0 } else { id as u64 };
        Self {
            id,
            life: 0,
            alive: true,
            stopped_until: 0,
            host: u128::from(host) + 1,
            offset: 5_000_000 + host * 77_000_000,
            wall_offset: 0,
            entries: (0..plan.sessions)
                .map(|session| Entry::new(plan, session))
                .collect(),
        }
    }

    pub(crate) fn key(&self) -> (usize, u32) {
        (self.id, self.life)
    }

    pub(crate) fn now(&self, time: u64) -> Now {
        Now {
            mono: Mono(time + self.offset),
            wall: Wall(1_700_000_000_000 + time as i64 + self.wall_offset),
        }
    }

    /// When, in the world's time, this process's clock shows `at`.
    pub(crate) fn world_time(&self, at: Mono) -> u64 {
        at.0.saturating_sub(self.offset)
    }

    pub(crate) fn anchor(&self, time: u64) -> Anchor {
        let now = self.now(time);
        Anchor {
            boot: BootId(self.host),
            mono: now.mono,
            wall: now.wall,
            server: Some(time as i64),
        }
    }

    pub(crate) fn held(&self, time: u64, pair: &Pair, renewable: bool) -> Held {
        let now = self.now(time);
        let elapsed = pair
            .issued
            .elapsed(BootId(self.host), now, Some(time as i64));
        let issued = now.mono.minus(elapsed);
        Held {
            generation: pair.generation,
            issued,
            expires: pair.life_ms.map(|life| issued + life),
            refresh_at: None,
            refresh_expires: None,
            session_ends: None,
            renewable,
            fingerprint: renewable.then(|| fingerprint(pair.refresh)),
        }
    }

    fn stored(&self, time: u64, row: &Row) -> Stored {
        Stored {
            generation: row.generation,
            held: row.pair.map(|pair| self.held(time, &pair, true)),
            intent: row.intent.map(|(generation, attempts)| IntentSeen {
                generation,
                attempts,
            }),
            latch: row
                .latch
                .clone()
                .map(|(token, failure)| (fingerprint(token), failure)),
            trouble: row.trouble.clone().map(|(until, trouble)| Trouble {
                not_before: self.now(until).mono,
                ..trouble
            }),
            unreadable: None,
        }
    }

    /// An effect ended, or a row was read: what the machine is told of it.
    pub(crate) fn take(&mut self, time: u64, session: usize, result: Yield, facts: &mut Vec<Fact>) {
        let input = match result {
            Yield::Nothing => return,
            Yield::Input(input) => {
                if matches!(input, Input::LeaseFailed(_) | Input::LeaseHeld { .. }) {
                    self.entries[session].lease = None;
                }
                input
            }
            Yield::Granted(lease, row) => {
                facts.push(Fact::Leased {
                    process: self.key(),
                    session,
                    generation: row.generation,
                    intent: row.intent.is_some(),
                });
                self.entries[session].lease = Some(lease);
                Input::LeaseGranted(self.note(time, session, &row))
            }
            Yield::Exchanged(outcome, pair) => {
                self.entries[session].pending = pair;
                Input::Exchanged(outcome)
            }
            Yield::Moved(row) => Input::SaveMoved(self.note(time, session, &row)),
            Yield::Looked(row) => {
                Input::Looked(row.map(|row| self.note_change(time, session, &row)))
            }
            Yield::Row(row) => {
                self.entries[session].reloading = false;
                Input::Changed(self.note_change(time, session, &row))
            }
        };
        self.input(time, session, input, facts);
    }

    /// As [`Process::note`], for a reading that may be older than what is known: it replaces nothing newer.
    fn note_change(&mut self, time: u64, session: usize, row: &Row) -> Stored {
        let older = self.entries[session]
            .row
            .as_ref()
            .is_some_and(|(held, _)| *held > row.generation);
        if older {
            return self.stored(time, row);
        }
        self.note(time, session, row)
    }

    fn note(&mut self, time: u64, session: usize, row: &Row) -> Stored {
        self.entries[session].row = Some((row.generation, row.pair));
        self.stored(time, row)
    }

    /// One input, its actions, the waiters.
    pub(crate) fn input(&mut self, time: u64, session: usize, input: Input, facts: &mut Vec<Fact>) {
        let (now, key) = (self.now(time), self.key());
        let entry = &mut self.entries[session];
        for action in entry.machine.handle(now, input) {
            if let Action::Emit(Event::Ended(_)) = &action {
                facts.push(Fact::Ended {
                    process: key,
                    session,
                    generation: entry.machine.generation(),
                    token: entry.pair.and_then(|pair| pair.refresh),
                });
            }
            entry.act(action);
        }
        entry.settle_pair();
        entry.instant = if entry.instant.0 == time {
            (time, entry.instant.1 + 1)
        } else {
            (time, 0)
        };
        // Storms of callers are turns, too; only a machine without waiters or effects is busy with itself.
        if entry.instant.1 > TURNS && !entry.busy && entry.waiters.is_empty() {
            facts.push(Fact::Busy {
                process: key,
                session,
            });
        }
        entry.answer(now.mono, facts);
        entry.timer = entry
            .machine
            .deadline(now.mono)
            .map(|at| at.max(now.mono + 1));
    }

    /// A caller wants a token that lives so long, as `Session::token` does it.
    pub(crate) fn ask(
        &mut self,
        plan: &Plan,
        time: u64,
        session: usize,
        (waiter, min_valid_ms): (u64, u64),
        facts: &mut Vec<Fact>,
    ) {
        let (now, key) = (self.now(time).mono, self.key());
        let entry = &mut self.entries[session];
        let valid = entry.machine.valid(now);
        let end = entry.machine.held().and_then(|held| held.expires);
        let long = end.is_none_or(|end| end.since(now) >= min_valid_ms);
        if !long || !valid {
            facts.push(Fact::Wish {
                process: key,
                session,
                generation: entry.machine.generation(),
            });
        }
        if !(valid && long) {
            let since = entry.machine.generation();
            entry.waiters.push((
                waiter,
                Wants::Token {
                    since,
                    min_valid_ms,
                },
            ));
            facts.push(Fact::Waits {
                waiter,
                process: key,
            });
        } else if !plan.lazy || entry.machine.due_at().is_none_or(|due| now < due) {
            return;
        }
        self.input(time, session, Input::Wanted { min_valid_ms }, facts);
    }

    /// A person wants a refresh now.
    pub(crate) fn force(&mut self, time: u64, session: usize, waiter: u64, facts: &mut Vec<Fact>) {
        let key = self.key();
        let entry = &mut self.entries[session];
        let since = entry.machine.generation();
        let min_valid_ms = u64::MAX;
        entry.waiters.push((
            waiter,
            Wants::Token {
                since,
                min_valid_ms,
            },
        ));
        facts.push(Fact::Waits {
            waiter,
            process: key,
        });
        facts.push(Fact::Wish {
            process: key,
            session,
            generation: since,
        });
        self.input(time, session, Input::Forced, facts);
    }

    /// An API refused the token of this generation.
    pub(crate) fn refused(
        &mut self,
        time: u64,
        session: usize,
        (waiter, generation): (u64, Generation),
        facts: &mut Vec<Fact>,
    ) {
        let (now, key) = (self.now(time).mono, self.key());
        let entry = &mut self.entries[session];
        if !entry.machine.heals_refusal(now, generation) {
            return;
        }
        entry.waiters.push((waiter, Wants::Newer(generation)));
        facts.push(Fact::Waits {
            waiter,
            process: key,
        });
        if generation == entry.machine.generation() {
            facts.push(Fact::Refused {
                process: key,
                session,
                generation,
            });
        }
        self.input(
            time,
            session,
            Input::Refused {
                generation,
                failure: None,
            },
            facts,
        );
    }
}

impl Entry {
    fn new(plan: &Plan, session: usize) -> Self {
        let policy = Policy {
            keep: if plan.lazy { Keep::Lazy } else { Keep::Warm },
            spends: plan.spends(),
            retry_unknown: plan.persona != Persona::Strict,
            self_login: plan.persona == Persona::ClientCredentials,
            ..Policy::default()
        };
        Self {
            machine: Machine::new(format!("s{session}"), policy),
            row: None,
            pair: None,
            pending: None,
            lease: None,
            queue: VecDeque::new(),
            busy: false,
            batch: VecDeque::new(),
            batch_lease: None,
            batch_pair: None,
            waiters: Vec::new(),
            timer: None,
            armed: None,
            instant: (0, 0),
            reloading: false,
            settles: !plan.without.contains(&Guard::RightPair),
        }
    }

    /// As in the keeper's shard: the pair in hand is the one the machine speaks of, or none.
    fn settle_pair(&mut self) {
        let Some(generation) = self.machine.held().map(|held| held.generation) else {
            return;
        };
        if self.pair.is_some_and(|pair| pair.generation == generation) {
            return;
        }
        match self.row {
            Some((at, Some(pair))) if at == generation => self.pair = Some(pair),
            _ if self.reloading || !self.settles => {}
            _ => {
                self.pair = None;
                self.reloading = true;
                self.queue.push_back(Effect::Reload);
            }
        }
    }

    fn act(&mut self, action: Action) {
        let effect = match action {
            Action::Claim => Effect::Claim,
            Action::WriteIntent(intent) => Effect::WriteIntent(intent),
            Action::Exchange {
                generation,
                unknown,
            } => Effect::Exchange {
                generation,
                unknown,
            },
            Action::Save { expect } => Effect::Save {
                expect,
                pair: self.pending.or(self.pair),
            },
            Action::SaveSpare => Effect::SaveSpare(self.pair),
            Action::LookAgain => Effect::LookAgain,
            Action::Latch(failure) => Effect::Latch(failure),
            Action::ClearIntent(generation) => Effect::ClearIntent(generation),
            Action::Note(generation, trouble) => Effect::Note(generation, trouble),
            Action::Release => Effect::Release,
            Action::Adopt(_) => {
                self.pending = None;
                if self.settles {
                    self.pair = None;
                }
                return;
            }
            Action::Publish => {
                if let Some(pair) = self.pending.take() {
                    self.pair = Some(pair);
                }
                return;
            }
            Action::Forget => {
                (self.pair, self.pending) = (None, None);
                return;
            }
            Action::Emit(_) => return,
        };
        self.queue.push_back(effect);
    }

    fn answer(&mut self, now: Mono, facts: &mut Vec<Fact>) {
        let (valid, running) = (self.machine.valid(now), self.machine.running());
        let generation = self.machine.generation();
        let end = self.machine.held().and_then(|held| held.expires);
        let failed = self.machine.failure().is_some();
        self.waiters.retain(|(waiter, wants)| {
            let answer = match *wants {
                Wants::Token {
                    since,
                    min_valid_ms,
                } => {
                    let lives = end.map_or(min_valid_ms != u64::MAX, |end| {
                        end.since(now) >= min_valid_ms
                    });
                    if valid && (generation > since || lives) {
                        Some(true)
                    } else if running {
                        None
                    } else {
                        Some(valid && (min_valid_ms != u64::MAX || !failed))
                    }
                }
                Wants::Newer(refused) if valid && generation > refused => Some(true),
                Wants::Newer(_) if running => None,
                Wants::Newer(_) => Some(false),
            };
            if let Some(token) = answer {
                facts.push(Fact::Answered {
                    waiter: *waiter,
                    token,
                });
            }
            answer.is_none()
        });
    }
}
