//! What machines ask for, carried out against store, network and server.

use tenure_core::session::{Input, Outcome, SEND_WITHIN_MS, Sent};
use tenure_core::{Anchor, Class, Code, Failure, Generation, Heal, Who};

use crate::facts::{Close, Fact};
use crate::plan::{Fault, Guard};
use crate::process::{Effect, Yield};
use crate::server::{Refresh, Verdict};
use crate::store::{Claim, Lease, Pair, Refused, Row};
use crate::world::{Ev, World};

/// The time to send, to be answered and to save, as in the keeper.
const LEASE_MS: u64 = SEND_WITHIN_MS + TIMEOUT_MS + 5_000;
const RENEW_MS: u64 = 4_000;
const TIMEOUT_MS: u64 = 15_000;

/// An exchange under way.
pub(crate) struct Call {
    process: usize,
    /// Its life when it sent; an answer that comes after its death is heard by nobody.
    life: u32,
    session: usize,
    token: Option<Refresh>,
    generation: Generation,
    anchor: Anchor,
    lease: Option<Lease>,
    last: bool,
    reply: ReplyFate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyFate {
    Comes(u64),
    Lost,
    Resets,
    Trouble { acted: bool },
}

fn failure(code: Code, class: Class, heal: Heal) -> Failure {
    Failure::new(code, class, "simulated", heal, Who::Tenure, "")
}

fn store_failure() -> Failure {
    failure(
        Code::StoreUnavailable,
        Class::StoreUnavailable,
        Heal::RetryLater,
    )
}

impl World {
    /// Starts what is queued, unless the former effects of this session still run.
    pub(crate) fn flush(&mut self, process: usize, session: usize) {
        let entry = &mut self.processes[process].entries[session];
        if entry.busy || entry.queue.is_empty() {
            return;
        }
        entry.busy = true;
        entry.batch = std::mem::take(&mut entry.queue);
        entry.batch_lease = entry.lease;
        entry.batch_pair = entry.pair;
        self.at(0, process, session, Ev::Step);
    }

    pub(crate) fn store_fails(&mut self) -> bool {
        (!self.calm() && self.time < self.store_down_until) || self.strikes(Fault::StoreBefore, 100)
    }

    fn store_delay(&mut self) -> u64 {
        if self.strikes(Fault::StoreSlow, 100) {
            self.rng.between(100, 9_000)
        } else {
            self.rng.between(1, 5)
        }
    }

    /// A store operation: it may fail before or after it took effect.
    fn stored<T>(
        &mut self,
        op: impl FnOnce(&mut Self) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        if self.store_fails() {
            return Err(Refused::Unavailable);
        }
        let done = op(self)?;
        if self.strikes(Fault::StoreAfter, 100) {
            return Err(Refused::Unavailable);
        }
        Ok(done)
    }

    /// Carries out the next effect of a batch.
    pub(crate) fn step(&mut self, process: usize, session: usize) {
        let entry = &mut self.processes[process].entries[session];
        let Some(effect) = entry.batch.pop_front() else {
            return;
        };
        let (last, lease) = (entry.batch.is_empty(), entry.batch_lease);
        if let Effect::Exchange {
            generation,
            unknown,
        } = effect
        {
            self.send(process, session, generation, unknown, last);
            return;
        }
        let result = self.store_effect(process, session, effect, lease);
        let after = self.store_delay();
        self.at(after, process, session, Ev::Done(result, last));
    }

    fn store_effect(
        &mut self,
        process: usize,
        session: usize,
        effect: Effect,
        lease: Option<Lease>,
    ) -> Yield {
        match effect {
            Effect::Claim => self.claim(process, session),
            Effect::WriteIntent(intent) => {
                if !self.guarded(Guard::Intent) {
                    return Yield::Input(Input::IntentWritten);
                }
                let done = self.stored(|world| {
                    let lease = lease.ok_or(Refused::Fenced)?;
                    let (generation, attempts) = (intent.generation, intent.attempts);
                    // A retry gets the lease's full life again, as the first try had it.
                    if !world.store.renew(world.time, session, lease, LEASE_MS) {
                        return Err(Refused::Fenced);
                    }
                    world
                        .store
                        .write_intent(world.time, session, lease, generation, attempts)
                });
                Yield::Input(match done {
                    Ok(()) => Input::IntentWritten,
                    Err(_) => Input::IntentFailed(store_failure()),
                })
            }
            Effect::Save { expect, pair } => self.save(session, expect, pair, lease),
            Effect::SaveSpare(pair) => {
                if let Some(pair) = pair
                    && !self.store_fails()
                {
                    self.store.save_spare(session, pair);
                }
                Yield::Nothing
            }
            Effect::LookAgain => {
                if self.store_fails() {
                    return Yield::Looked(None);
                }
                let row = self.look(process, session);
                Yield::Looked(Some(row))
            }
            Effect::Latch(failure) => {
                self.latch(process, session, failure, lease);
                Yield::Input(Input::Latched)
            }
            Effect::Note(generation, trouble) => {
                if !self.store_fails() {
                    let told = trouble.map(|trouble| {
                        let until = self.processes[process].world_time(trouble.not_before);
                        (until, trouble)
                    });
                    self.store.note(session, generation, told);
                }
                Yield::Nothing
            }
            Effect::ClearIntent(generation) => {
                // Harmless if it fails: the next exchange counts as one of unknown outcome.
                let _harmless = self.stored(|world| {
                    let lease = lease.ok_or(Refused::Fenced)?;
                    world.store.clear_intent(session, lease, generation)
                });
                Yield::Nothing
            }
            Effect::Release => {
                if let Some(lease) = lease
                    && !self.store_fails()
                {
                    self.store.release(session, lease);
                }
                Yield::Nothing
            }
            Effect::Reload => {
                if self.store_fails() {
                    self.at(1_000, process, session, Ev::Reload);
                } else {
                    let row = self.store.load(session);
                    return Yield::Row(row);
                }
                Yield::Nothing
            }
            // Sent by the caller of this; the store has no part in it.
            Effect::Exchange { .. } => Yield::Nothing,
        }
    }

    fn claim(&mut self, process: usize, session: usize) -> Yield {
        let (time, key) = (self.time, self.processes[process].key());
        match self.stored(|world| Ok(world.store.claim(time, session, key, LEASE_MS))) {
            Ok(Claim::Granted(lease, row)) => Yield::Granted(lease, *row),
            Ok(Claim::Held(for_ms)) => Yield::Input(Input::LeaseHeld { for_ms }),
            Err(_) => Yield::Input(Input::LeaseFailed(store_failure())),
        }
    }

    fn save(
        &mut self,
        session: usize,
        expect: Generation,
        pair: Option<Pair>,
        lease: Option<Lease>,
    ) -> Yield {
        if !self.guarded(Guard::Save) {
            return Yield::Input(Input::Saved);
        }
        let (Some(lease), Some(pair)) = (lease, pair) else {
            return self.moved(session);
        };
        match self.stored(|world| world.store.commit(session, lease, expect, pair)) {
            Ok(()) => Yield::Input(Input::Saved),
            Err(Refused::Unavailable) => Yield::Input(Input::SaveFailed(store_failure())),
            Err(Refused::Fenced | Refused::Moved) => self.moved(session),
        }
    }

    fn moved(&mut self, session: usize) -> Yield {
        if self.store_fails() {
            return Yield::Input(Input::SaveFailed(store_failure()));
        }
        Yield::Moved(self.store.load(session))
    }

    fn look(&mut self, process: usize, session: usize) -> Row {
        let mut row = self.store.load(session);
        let state = &self.processes[process];
        self.facts.push(Fact::Looked {
            process: state.key(),
            session,
            generation: Some(row.generation),
        });
        if !self.guarded(Guard::LookAgain) {
            // As if nobody had looked: the row is taken to be what it was.
            row.generation = state.entries[session].machine.generation();
            row.pair = state.entries[session].pair;
        }
        row
    }

    fn latch(&mut self, process: usize, session: usize, why: Failure, lease: Option<Lease>) {
        if !self.guarded(Guard::Latch) {
            return;
        }
        let pair = self.processes[process].entries[session].pair;
        let token = pair.and_then(|pair| pair.refresh);
        let expect = pair.map_or(Generation(0), |pair| pair.generation);
        let done = self.stored(|world| {
            let lease = lease.ok_or(Refused::Fenced)?;
            world.store.latch(session, lease, expect, token, why)
        });
        if done.is_err() {
            self.facts.push(Fact::LatchLost { session, token });
        }
    }

    // ---- the network --------------------------------------------------------------------------------------

    fn send(
        &mut self,
        process: usize,
        session: usize,
        generation: Generation,
        unknown: bool,
        last: bool,
    ) {
        let state = &self.processes[process];
        let entry = &state.entries[session];
        let (pair, lease) = (entry.batch_pair, entry.batch_lease);
        let token = pair.and_then(|pair| pair.refresh);
        let now = state.now(self.time).mono;
        let age = entry.machine.held().and_then(|held| {
            let life = held.expires?.since(held.issued);
            Some((now.since(held.issued), life))
        });
        let first = entry.machine.held().is_none();
        let key = state.key();
        let anchor = state.anchor(self.time);
        let call = self.new_call(Call {
            process,
            life: key.1,
            session,
            token,
            generation,
            anchor,
            lease,
            last,
            reply: ReplyFate::Lost,
        });
        let row = self.store.row_as_is(session);
        self.facts.push(Fact::Sent {
            call,
            process: key,
            session,
            generation,
            token,
            unknown,
            // A login or logout since then took note and lease away; what comes of this is fenced.
            noted: row.generation != generation
                || row.pair.is_none()
                || row.intent.is_some_and(|(noted, _)| noted == generation),
            leased: row.generation != generation
                || row.pair.is_none()
                || lease.is_some_and(|lease| !row.is_held_by_other_than(lease)),
            alone: lease.is_none(),
            spends: self.plan.spends(),
            first,
            age,
        });
        let go = self.network_delay();
        let fate = if self.strikes(Fault::ConnectRefused, 150) {
            self.at(go, process, session, Ev::Failed(call, false));
            return;
        } else if self.strikes(Fault::ServerTrouble, 150) {
            ReplyFate::Trouble { acted: false }
        } else if self.strikes(Fault::TroubleAfterCommit, 100) {
            ReplyFate::Trouble { acted: true }
        } else if self.strikes(Fault::LoseReply, 150) {
            ReplyFate::Lost
        } else if self.strikes(Fault::Reset, 150) {
            ReplyFate::Resets
        } else {
            ReplyFate::Comes(self.network_delay())
        };
        if let Some(call) = self.calls.get_mut(&call) {
            call.reply = fate;
        }
        self.at(TIMEOUT_MS, process, session, Ev::Timeout(call));
        self.at(RENEW_MS, process, session, Ev::Renew(call));
        if !self.strikes(Fault::LoseRequest, 100) {
            self.at(go, process, session, Ev::Arrive(call));
        }
    }

    fn new_call(&mut self, call: Call) -> u64 {
        let id = self.rng.next() >> 16;
        self.calls.insert(id, call);
        id
    }

    fn network_delay(&mut self) -> u64 {
        if self.strikes(Fault::Slow, 300) {
            self.rng.between(500, 12_000)
        } else {
            self.rng.between(5, 150)
        }
    }

    /// The request is there. The server acts whether or not its sender still lives.
    pub(crate) fn arrive(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id) else {
            // Its sender has given up and closed the connection.
            return;
        };
        let (session, token, fate) = (call.session, call.token, call.reply);
        let sender = (call.process, call.life);
        if fate == (ReplyFate::Trouble { acted: false }) {
            self.at_in_life(5, sender, session, Ev::Trouble(id, false));
            return;
        }
        let verdict = self.server.exchange(self.time, token);
        let (granted, again, killed) = match verdict {
            Verdict::Granted { grant, again } => (Some(grant.access), again, None),
            Verdict::Refused { killed } => (None, false, killed),
        };
        self.facts.push(Fact::Acted {
            call: id,
            token,
            granted,
            again,
            killed,
        });
        match fate {
            ReplyFate::Comes(after) => {
                self.at_in_life(after, sender, session, Ev::Reply(id, verdict));
            }
            ReplyFate::Resets => self.at_in_life(5, sender, session, Ev::Failed(id, true)),
            ReplyFate::Trouble { .. } => self.at_in_life(5, sender, session, Ev::Trouble(id, true)),
            ReplyFate::Lost => {}
        }
    }

    pub(crate) fn reply(&mut self, id: u64, verdict: Verdict) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        match verdict {
            Verdict::Granted { grant, .. } => {
                let pair = Pair {
                    generation: call.generation.next(),
                    refresh: grant.refresh,
                    access: grant.access,
                    issued: call.anchor,
                    life_ms: self.plan.says_life.then_some(self.plan.life_ms),
                };
                let held = self.processes[call.process].held(self.time, &pair, true);
                self.close(id, Close::Granted, Outcome::Granted(held), Some(pair));
            }
            Verdict::Refused { .. } => {
                let why = failure(Code::RefreshRevoked, Class::RefreshRevoked, Heal::Relogin);
                self.close(id, Close::Final, Outcome::Final(why), None);
            }
        }
    }

    pub(crate) fn failed(&mut self, id: u64, maybe: bool) {
        let (how, sent, class) = if maybe {
            (Close::Unknown, Sent::Maybe, Class::ConnectionReset)
        } else {
            (Close::Nothing, Sent::No, Class::ConnectionRefused)
        };
        let why = failure(Code::ConnectionReset, class, Heal::RetryLater);
        self.passing(id, how, why, None, sent);
    }

    pub(crate) fn trouble(&mut self, id: u64, acted: bool) {
        let wait = if self.rng.chance(300) {
            Some(self.rng.between(1_000, 30_000))
        } else {
            None
        };
        let why = failure(Code::ServerError, Class::ServerError, Heal::RetryLater);
        if acted {
            self.passing(id, Close::Unknown, why, wait, Sent::Maybe);
        } else {
            self.passing(id, Close::Nothing, why, wait, Sent::Answered);
        }
    }

    pub(crate) fn timeout(&mut self, id: u64) {
        let why = failure(Code::ConnectionTimeout, Class::Timeout, Heal::RetryLater);
        self.passing(id, Close::Unknown, why, None, Sent::Maybe);
    }

    fn passing(&mut self, id: u64, how: Close, why: Failure, wait: Option<u64>, sent: Sent) {
        let outcome = Outcome::Passing {
            failure: why,
            retry_after_ms: wait,
            sent,
        };
        self.close(id, how, outcome, None);
    }

    /// The exchange is over for its process.
    fn close(&mut self, id: u64, how: Close, outcome: Outcome, pair: Option<Pair>) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        self.facts.push(Fact::Closed { call: id, how });
        let (process, session) = (call.process, call.session);
        if call.last {
            self.processes[process].entries[session].busy = false;
        } else {
            self.at(0, process, session, Ev::Step);
        }
        self.take(process, session, Yield::Exchanged(outcome, pair));
    }

    /// The lease is renewed while its exchange runs.
    pub(crate) fn renew(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let (process, session, lease) = (call.process, call.session, call.lease);
        if let Some(lease) = lease {
            let time = self.time;
            let renewed = !self.store_fails() && self.store.renew(time, session, lease, LEASE_MS);
            if !renewed {
                let key = self.processes[process].key();
                self.facts.push(Fact::Lapsed { process: key });
            }
        }
        self.at(RENEW_MS, process, session, Ev::Renew(id));
    }
}
