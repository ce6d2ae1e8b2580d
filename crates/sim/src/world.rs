//! The world: one queue of events by time, and what happens in it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use tenure_core::Generation;
use tenure_core::session::Input;

use crate::effects::Call;
use crate::facts::Fact;
use crate::oracle::{self, Oracle};
use crate::plan::{Fault, Guard, Persona, Plan};
use crate::process::{Process, Yield};
use crate::rng::Rng;
use crate::server::{Refresh, Server, Verdict};
use crate::store::{Pair, Row, Store};

/// How a run went.
#[derive(Clone, Debug)]
pub struct Run {
    /// Hash of every fact with its time.
    pub trace: u64,
    /// What an oracle objected to.
    pub broken: Option<String>,
    /// Exchanges sent, by generation, of all sessions.
    pub sent: BTreeMap<u64, u32>,
    /// Families that died of reuse.
    pub killed: u32,
    /// Facts seen.
    pub facts: u64,
    /// The facts, if they were wanted.
    pub log: Vec<(u64, Fact)>,
}

/// After the faults stop, so much time is left to become healthy.
const HEAL_MS: u64 = 300_000;
/// At the very end nobody asks, so that what is under way comes to rest.
const QUIET_MS: u64 = 30_000;
/// So soon every process knows what was stored.
const NEWS_MS: u64 = 3_000;

#[derive(Clone, Debug)]
pub(crate) enum Ev {
    /// Time passed for one session of a process's life.
    Tick,
    /// The next effect of a batch begins.
    Step,
    /// It ended; `true` when it was the batch's last.
    Done(Yield, bool),
    /// An exchange's request arrives; `true`: and the server acts on it.
    Arrive(u64),
    /// Its end reaches the process.
    Reply(u64, Verdict),
    /// The connection failed; `true` when the server may have acted.
    Failed(u64, bool),
    /// The server answered without having acted (`false`) or having acted (`true`).
    Trouble(u64, bool),
    /// The process gives up waiting.
    Timeout(u64),
    /// The lease of an exchange is renewed.
    Renew(u64),
    /// The store changed: the row is read.
    Reload,
    /// It was read.
    Row(Row),
    /// A caller comes.
    Caller,
    /// The API answered a caller.
    Api(Generation, bool),
    /// Something goes wrong.
    Mischief(Fault),
    /// A killed process starts again.
    Start,
    /// Somebody logs in.
    Login,
    /// The thief's turn.
    Thief,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) time: u64,
    queue: BTreeMap<(u64, u64), (usize, u32, usize, Ev)>,
    next: u64,
    pub(crate) rng: Rng,
    pub(crate) store: Store,
    pub(crate) server: Server,
    pub(crate) processes: Vec<Process>,
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) facts: Vec<Fact>,
    oracles: Vec<(&'static str, Box<dyn Oracle>)>,
    hash: Fnv,
    run: Run,
    logged: bool,
    seen_changes: u64,
    changed_at: u64,
    pub(crate) store_down_until: u64,
    api_broken_until: u64,
    reloading: BTreeSet<(usize, usize)>,
    loot: Option<Refresh>,
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Run {
    World::new(plan, false).play()
}

/// Runs a plan and keeps its facts.
pub fn run_logged(plan: &Plan) -> Run {
    World::new(plan, true).play()
}

/// Runs a plan that no oracle watches, to its end.
pub fn run_unwatched(plan: &Plan) -> Run {
    let mut world = World::new(plan, false);
    world.oracles.clear();
    world.play()
}

impl World {
    fn new(plan: &Plan, logged: bool) -> Self {
        let mut world = Self {
            plan: plan.clone(),
            time: 1_000,
            queue: BTreeMap::new(),
            next: 0,
            rng: Rng::new(plan.seed),
            store: Store::new(plan.without.clone()),
            server: Server::new(plan.persona, plan.life_ms),
            processes: (0..plan.processes)
                .map(|id| Process::new(plan, id))
                .collect(),
            calls: BTreeMap::new(),
            facts: Vec::new(),
            oracles: oracle::all(plan),
            hash: Fnv(0xcbf2_9ce4_8422_2325),
            run: Run {
                trace: 0,
                broken: None,
                sent: BTreeMap::new(),
                killed: 0,
                facts: 0,
                log: Vec::new(),
            },
            logged,
            seen_changes: 0,
            changed_at: 0,
            store_down_until: 0,
            api_broken_until: 0,
            reloading: BTreeSet::new(),
            loot: None,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for session in 0..self.plan.sessions {
            if self.plan.persona != Persona::ClientCredentials {
                self.login(session);
            }
            for process in 0..self.plan.processes {
                self.at(1, process, session, Ev::Reload);
                let first = self.rng.between(10, 5_000);
                self.at(first, process, session, Ev::Caller);
            }
        }
        for fault in self.plan.faults.clone() {
            let first = self.rng.between(1_000, 60_000);
            let session = self.rng.between(0, self.plan.sessions as u64 - 1) as usize;
            if fault == Fault::Thief {
                self.at(first, 0, session, Ev::Thief);
            } else {
                self.at(first, 0, session, Ev::Mischief(fault));
            }
        }
    }

    /// Puts an event so many milliseconds ahead, for the present life of a process.
    pub(crate) fn at(&mut self, after: u64, process: usize, session: usize, event: Ev) {
        let life = self.processes[process].life;
        self.at_in_life(after, (process, life), session, event);
    }

    /// As [`World::at`], for a certain life of the process: who was started anew does not hear of it.
    pub(crate) fn at_in_life(
        &mut self,
        after: u64,
        (process, life): (usize, u32),
        session: usize,
        event: Ev,
    ) {
        self.next += 1;
        self.queue.insert(
            (self.time + after, self.next),
            (process, life, session, event),
        );
    }

    pub(crate) fn calm(&self) -> bool {
        self.time >= self.plan.calm_ms
    }

    /// Whether this fault strikes now.
    pub(crate) fn strikes(&mut self, fault: Fault, per_mille: u64) -> bool {
        !self.calm() && self.plan.faults.contains(&fault) && self.rng.chance(per_mille)
    }

    fn play(mut self) -> Run {
        let end = self.plan.calm_ms + HEAL_MS;
        while let Some(((at, _), (process, life, session, event))) = self.queue.pop_first() {
            if at > end {
                break;
            }
            self.time = self.time.max(at);
            self.happen(process, life, session, event);
            self.settle();
            if self.run.broken.is_some() {
                break;
            }
        }
        if self.run.broken.is_none() {
            self.rest();
            self.settle();
        }
        let ends: Vec<_> = self
            .oracles
            .iter_mut()
            .map(|(name, oracle)| (*name, oracle.end()))
            .collect();
        for (name, end) in ends {
            if let Err(why) = end {
                self.run.broken.get_or_insert(format!("{name}: {why}"));
            }
        }
        self.run.trace = self.hash.finish();
        self.run
    }

    /// Whether an event concerns the process's present life; server-side events always count.
    fn happen(&mut self, process: usize, life: u32, session: usize, event: Ev) {
        match &event {
            Ev::Arrive(call) => return self.arrive(*call),
            Ev::Mischief(fault) => return self.mischief(*fault, session),
            Ev::Login => return self.login(session),
            Ev::Thief => return self.thief(session),
            Ev::Start => return self.start(process),
            _ => {}
        }
        if matches!(event, Ev::Caller) {
            if self.time > self.plan.calm_ms + HEAL_MS - QUIET_MS {
                return;
            }
            let next = if self.strikes(Fault::Storm, 50) {
                1
            } else {
                self.rng.between(100, 8_000)
            };
            self.at(next, process, session, Ev::Caller);
        }
        let state = &self.processes[process];
        let callers = matches!(event, Ev::Caller);
        if !state.alive || (state.life != life && !callers) {
            return;
        }
        if state.stopped_until > self.time {
            if !callers {
                let after = state.stopped_until - self.time;
                self.at(after, process, session, event);
            }
            return;
        }
        self.in_process(process, session, event);
        self.arm(process, session);
        self.flush(process, session);
    }

    fn in_process(&mut self, process: usize, session: usize, event: Ev) {
        match event {
            Ev::Tick => {
                let due = self.processes[process].entries[session]
                    .timer
                    .is_some_and(|at| self.processes[process].world_time(at) <= self.time);
                if due {
                    self.processes[process].entries[session].armed = None;
                    let input = Input::Tick;
                    self.processes[process].input(self.time, session, input, &mut self.facts);
                }
            }
            Ev::Step => self.step(process, session),
            Ev::Done(result, last) => {
                if last {
                    self.processes[process].entries[session].busy = false;
                } else {
                    self.at(0, process, session, Ev::Step);
                }
                self.take(process, session, result);
            }
            Ev::Reply(call, verdict) => self.reply(call, verdict),
            Ev::Failed(call, maybe) => self.failed(call, maybe),
            Ev::Trouble(call, acted) => self.trouble(call, acted),
            Ev::Timeout(call) => self.timeout(call),
            Ev::Renew(call) => self.renew(call),
            Ev::Reload => self.reload(process, session),
            Ev::Row(row) => self.take(process, session, Yield::Row(row)),
            Ev::Caller => self.caller(process, session),
            Ev::Api(generation, good) => {
                if good {
                    let input = Input::Accepted { generation };
                    self.processes[process].input(self.time, session, input, &mut self.facts);
                } else {
                    self.next += 1;
                    let waiter = (self.next, generation);
                    self.processes[process].refused(self.time, session, waiter, &mut self.facts);
                }
            }
            Ev::Arrive(_) | Ev::Mischief(_) | Ev::Start | Ev::Login | Ev::Thief => {}
        }
    }

    pub(crate) fn take(&mut self, process: usize, session: usize, result: Yield) {
        self.processes[process].take(self.time, session, result, &mut self.facts);
    }

    /// Sets the timer of a session's machine, unless it is set for then already.
    fn arm(&mut self, process: usize, session: usize) {
        let state = &mut self.processes[process];
        let entry = &mut state.entries[session];
        if entry.timer == entry.armed {
            return;
        }
        entry.armed = entry.timer;
        if let Some(at) = entry.timer {
            let after = state.world_time(at).saturating_sub(self.time);
            self.at(after, process, session, Ev::Tick);
        }
    }

    /// Feeds the oracles, and tells the processes if the store changed.
    fn settle(&mut self) {
        self.facts.append(&mut self.store.facts);
        for fact in std::mem::take(&mut self.facts) {
            self.run.facts += 1;
            (self.time, fact).hash(&mut self.hash);
            if self.logged {
                self.run.log.push((self.time, fact));
            }
            match fact {
                Fact::Sent { generation, .. } => {
                    *self.run.sent.entry(generation.0).or_default() += 1;
                }
                Fact::Acted {
                    killed: Some(_), ..
                } => self.run.killed += 1,
                _ => {}
            }
            for (name, oracle) in &mut self.oracles {
                if let Err(why) = oracle.see(self.time, &fact) {
                    let why = format!("{name}: {why}");
                    self.run.broken.get_or_insert(why);
                }
            }
        }
        if self.store.changes != self.seen_changes {
            self.seen_changes = self.store.changes;
            self.changed_at = self.time;
            for process in 0..self.plan.processes {
                for session in 0..self.plan.sessions {
                    if self.reloading.insert((process, session)) {
                        let after = self.rng.between(1, 50);
                        self.at(after, process, session, Ev::Reload);
                    }
                }
            }
        }
    }

    /// The row is read, and told the machine a moment later.
    fn reload(&mut self, process: usize, session: usize) {
        self.reloading.remove(&(process, session));
        if self.store_fails() {
            self.reloading.insert((process, session));
            self.at(1_000, process, session, Ev::Reload);
            return;
        }
        let row = self.store.load(session);
        let after = self.rng.between(0, 20);
        self.at(after, process, session, Ev::Row(row));
    }

    fn caller(&mut self, process: usize, session: usize) {
        let calls = if self.strikes(Fault::Storm, 20) {
            20
        } else {
            1
        };
        for _ in 0..calls {
            self.one_caller(process, session);
        }
        if self.strikes(Fault::Forced, 20) {
            self.next += 1;
            let waiter = self.next;
            self.processes[process].force(self.time, session, waiter, &mut self.facts);
        }
    }

    fn one_caller(&mut self, process: usize, session: usize) {
        let min_valid = if self.strikes(Fault::LongWish, 100) {
            self.rng.between(1_000, 2 * self.plan.life_ms)
        } else {
            0
        };
        self.next += 1;
        let waiter = (self.next, min_valid);
        let state = &self.processes[process];
        let now = state.now(self.time).mono;
        let entry = &state.entries[session];
        let (valid, refused) = (entry.machine.valid(now), entry.machine.refused());
        let runs = entry
            .machine
            .held()
            .is_some_and(|held| held.expires.is_none_or(|end| end > now));
        if runs && !valid && !refused {
            self.facts.push(Fact::Withheld {
                process: state.key(),
                session,
            });
        }
        if valid && let Some(pair) = entry.pair {
            self.facts.push(Fact::Shown {
                process: state.key(),
                session,
                access: pair.access,
                unsaved: entry.machine.unsaved(),
                late: self.server.expired(self.time, pair.access),
            });
            let broken = self.time < self.api_broken_until;
            let good = self.server.accepts(self.time, pair.access) && !broken;
            let generation = entry.machine.generation();
            let after = self.rng.between(1, 200);
            self.at(after, process, session, Ev::Api(generation, good));
        }
        self.processes[process].ask(&self.plan, self.time, session, waiter, &mut self.facts);
    }

    fn login(&mut self, session: usize) {
        let grant = self.server.login(self.time);
        let pair = Pair {
            generation: Generation(0),
            refresh: grant.refresh,
            access: grant.access,
            issued: self.processes[0].anchor(self.time),
            life_ms: self.plan.says_life.then_some(self.plan.life_ms),
        };
        self.store.login(session, pair);
    }

    fn mischief(&mut self, fault: Fault, session: usize) {
        if self.calm() {
            return;
        }
        let next = self.rng.between(5_000, 2 * self.plan.life_ms);
        self.at(next, 0, session, Ev::Mischief(fault));
        let process = self.rng.between(0, self.plan.processes as u64 - 1) as usize;
        let refresh = self.store.load(session).pair.and_then(|pair| pair.refresh);
        match fault {
            Fault::Crash => self.crash(process),
            Fault::Suspend => {
                let most = self.rng.pick(&[3_000, 20_000, 120_000]);
                let state = &mut self.processes[process];
                state.stopped_until = self.time + self.rng.between(100, most);
                let key = state.key();
                self.facts.push(Fact::Lapsed { process: key });
            }
            Fault::WallJump => {
                let jump = self.rng.between(0, 7_200_000) as i64 - 3_600_000;
                self.processes[process].wall_offset += jump;
            }
            Fault::StoreDown => {
                self.store_down_until = self.time + self.rng.between(100, 40_000);
            }
            Fault::ApiBroken => self.api_broken_until = self.time + self.rng.between(100, 60_000),
            Fault::RevokeAccess => {
                if let Some(refresh) = refresh {
                    self.server.revoke_access(refresh.family);
                }
            }
            Fault::RevokeFamily if self.rng.chance(200) => {
                if let Some(refresh) = refresh {
                    self.server.revoke_family(refresh.family);
                    let after = self.rng.between(1_000, 120_000);
                    self.at(after, 0, session, Ev::Login);
                }
            }
            Fault::Logout if self.rng.chance(300) => {
                self.store.logout(session);
                let after = self.rng.between(1_000, 60_000);
                self.at(after, 0, session, Ev::Login);
            }
            Fault::Login if self.rng.chance(300) => self.login(session),
            _ => {}
        }
    }

    fn crash(&mut self, process: usize) {
        if !self.processes[process].alive {
            return;
        }
        self.processes[process].alive = false;
        let key = self.processes[process].key();
        self.facts.push(Fact::Down { process: key });
        if self.plan.one_host {
            self.store.free_leases_of(process);
        }
        let after = self.rng.between(100, 60_000);
        self.at(after, process, 0, Ev::Start);
    }

    fn start(&mut self, process: usize) {
        if self.processes[process].alive {
            return;
        }
        let old = &self.processes[process];
        let (life, wall) = (old.life + 1, old.wall_offset);
        self.processes[process] = Process::new(&self.plan, process);
        self.processes[process].life = life;
        self.processes[process].wall_offset = wall;
        for session in 0..self.plan.sessions {
            self.reloading.insert((process, session));
            self.at(1, process, session, Ev::Reload);
        }
    }

    /// A thief copies the stored refresh token once and then lives by it.
    fn thief(&mut self, session: usize) {
        if self.calm() {
            return;
        }
        let loot = match self.loot {
            Some(loot) => loot,
            None => match self.store.load(session).pair.and_then(|pair| pair.refresh) {
                Some(refresh) => {
                    self.facts.push(Fact::Stolen {
                        family: refresh.family,
                    });
                    refresh
                }
                None => return,
            },
        };
        self.loot = Some(loot);
        let verdict = self.server.exchange(self.time, Some(loot));
        if let Verdict::Granted { grant, again } = verdict {
            self.loot = grant.refresh;
            self.facts.push(Fact::ThiefGranted {
                family: loot.family,
                again,
            });
        }
        if let Verdict::Refused {
            killed: Some(subtype),
        } = verdict
        {
            self.facts.push(Fact::Acted {
                call: 0,
                token: Some(loot),
                granted: None,
                again: false,
                killed: Some(subtype),
            });
        }
        let next = self.rng.between(40_000, 120_000);
        self.at(next, 0, session, Ev::Thief);
    }

    /// How everything stands in the end.
    fn rest(&mut self) {
        for process in 0..self.plan.processes {
            for session in 0..self.plan.sessions {
                let row = self.store.load(session);
                let state = &self.processes[process];
                if !state.alive || state.stopped_until > self.time {
                    continue;
                }
                let machine = &state.entries[session].machine;
                let refresh = row.pair.and_then(|pair| pair.refresh);
                self.facts.push(Fact::Rest {
                    process: state.key(),
                    session,
                    state: machine.state(state.now(self.time).mono),
                    unsaved: machine.unsaved(),
                    dead: refresh.is_some_and(|refresh| self.server.dead(refresh)),
                    empty: row.pair.is_none(),
                    // What was stored just now is still on its way.
                    current: machine.generation() == row.generation
                        || self.time < self.changed_at + NEWS_MS,
                });
            }
        }
    }

    /// Whether a guard stands.
    pub(crate) fn guarded(&self, guard: Guard) -> bool {
        !self.plan.without.contains(&guard)
    }
}
