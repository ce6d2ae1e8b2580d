//! The session machine (DESIGN §5): inputs in, actions out, the next deadline out. One entry point for time.
//!
//! It holds no secret and does nothing itself. The keeper carries out the [`Action`]s and posts their results
//! back as [`Input`]s; the simulator does the same with a world of its own. Single flight lives here: while a
//! transaction runs, nothing that happens starts a second one.

mod policy;
mod window;

use crate::failure::{Failure, Heal};
use crate::jitter;
use crate::pair::{Fingerprint, Generation};
use crate::time::{Mono, Now};

pub use policy::{Keep, Policy, RefreshAt};
pub use window::{ExchangeTimes, due};

/// States as shown to people and in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No credentials yet.
    Empty,
    /// Valid, not due.
    Fresh,
    /// Valid, refresh due or running.
    Due,
    /// Valid, refresh failing.
    Degraded,
    /// No valid access token; refresh possible, running or backing off.
    Expired,
    /// Final: a person must log in.
    NeedsLogin,
    /// Final: configuration, client, consent or clock must be fixed.
    NeedsOperator,
}

impl State {
    /// The word as written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Empty => "empty",
            State::Fresh => "fresh",
            State::Due => "due",
            State::Degraded => "degraded",
            State::Expired => "expired",
            State::NeedsLogin => "needs_login",
            State::NeedsOperator => "needs_operator",
        }
    }
}

/// What the machine knows of a token pair. Instants are on this process's suspend-proof clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its generation.
    pub generation: Generation,
    /// When its request was sent.
    pub issued: Mono,
    /// When the access token ends; `None` when unknown: it is then used until it is refused.
    pub expires: Option<Mono>,
    /// When the server wants the refresh.
    pub refresh_at: Option<Mono>,
    /// When the refresh token ends.
    pub refresh_expires: Option<Mono>,
    /// When the session ends whatever is done.
    pub session_ends: Option<Mono>,
    /// Whether anything (refresh token, stored password, client credentials) can renew it.
    pub renewable: bool,
    /// Recognises what renews it, together with the client that would ask.
    pub fingerprint: Option<Fingerprint>,
}

/// What the store holds of a session, as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The stored generation; 0 when there never was a pair.
    pub generation: Generation,
    /// The pair, unless logged out or unreadable.
    pub held: Option<Held>,
    /// An exchange that may have been sent.
    pub intent: Option<IntentSeen>,
    /// A final refusal that is remembered.
    pub latch: Option<(Fingerprint, Failure)>,
    /// Why the row cannot be opened.
    pub unreadable: Option<Failure>,
}

/// The durable note of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentSeen {
    /// The generation that would be spent.
    pub generation: Generation,
    /// How often it was sent or about to be.
    pub attempts: u32,
}

/// Whether a failed request reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Proven: it did not.
    No,
    /// It did, and the server answered that it did nothing.
    Answered,
    /// It may have, and the server may have acted (I10).
    Maybe,
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A new pair; the keeper holds it until it is saved.
    Granted(Held),
    /// It failed for now.
    Passing {
        /// What happened.
        failure: Failure,
        /// How long the server wants to be left alone, milliseconds.
        retry_after_ms: Option<u64>,
        /// Whether the request reached the server.
        sent: Sent,
    },
    /// The profile proves that this credential is finished.
    Final(Failure),
}

/// What happens to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time passed; timers are due.
    Tick,
    /// A caller wants a token that lives at least this long, in milliseconds.
    Wanted {
        /// Least remaining life, milliseconds.
        min_valid_ms: u64,
    },
    /// An API refused the access token of this generation, in a way a refresh can heal.
    Refused {
        /// The generation that was sent.
        generation: Generation,
    },
    /// A person wants a refresh now.
    Forced,
    /// The lease is ours; this is the row under it.
    LeaseGranted(Stored),
    /// Somebody else holds the lease.
    LeaseHeld {
        /// At most this long, milliseconds.
        for_ms: u64,
    },
    /// The token endpoint is being left alone until then (I14).
    Paced {
        /// When it may be asked again.
        until: Mono,
        /// Why.
        failure: Failure,
    },
    /// The store cannot be asked for the lease.
    LeaseFailed(Failure),
    /// The intent is durable.
    IntentWritten,
    /// The intent could not be written: the store is not writable.
    IntentFailed(Failure),
    /// The exchange ended.
    Exchanged(Outcome),
    /// The new pair is durable.
    Saved,
    /// The new pair was not saved: somebody else saved first. This is the row now.
    SaveMoved(Stored),
    /// The new pair could not be saved.
    SaveFailed(Failure),
    /// The row, read again (answer to [`Action::LookAgain`]); `None` when it could not be read.
    Looked(Option<Stored>),
    /// The refusal is remembered in the store, or could not be.
    Latched,
    /// The row as it is now, after somebody changed it: a newer pair, a login, a logout, a latch.
    Changed(Stored),
}

/// What the keeper must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Take the lease and read the row under it. Answer: `LeaseGranted`, `LeaseHeld`, `LeaseFailed`, `Paced`.
    Claim,
    /// Write the intent. Answer: `IntentWritten` or `IntentFailed`.
    WriteIntent(IntentSeen),
    /// Send the exchange. Answer: `Exchanged`.
    Exchange {
        /// The generation being spent.
        generation: Generation,
        /// An earlier exchange of this generation may have been processed.
        unknown: bool,
    },
    /// Save the pair the exchange brought. Answer: `Saved`, `SaveMoved`, `SaveFailed`.
    Save {
        /// The generation the row must still have.
        expect: Generation,
    },
    /// Put the unsaved pair in the spare slot.
    SaveSpare,
    /// Read the row again. Answer: `Looked`.
    LookAgain,
    /// Remember the refusal in the store. Answer: `Latched`.
    Latch(Failure),
    /// Remove the intent: the server provably did nothing.
    ClearIntent(Generation),
    /// Give the lease back.
    Release,
    /// Take over the pair of this generation from the row given last.
    Adopt(Generation),
    /// The pair the exchange brought is now the current one.
    Publish,
    /// Forget the pair: logged out.
    Forget,
    /// Tell the world.
    Emit(Event),
}

/// What the world is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new pair by exchange.
    Refreshed(Generation),
    /// A pair somebody else stored.
    Adopted(Generation),
    /// An exchange failed for now; the next attempt comes after so many milliseconds.
    RefreshFailed(Failure, u64),
    /// The reply of an exchange is unknown; it is tried once more.
    UnknownOutcome(Generation),
    /// The session cannot go on without a person.
    Ended(Failure),
    /// The new pair could not be saved yet.
    Unsaved(Failure),
    /// It was saved after all.
    SavedLate(Generation),
    /// An API refused the token.
    Refused(Generation),
    /// The access token ended without a successor.
    Expired(Generation),
    /// The session's end cannot be moved and is near; milliseconds left.
    Ending(u64),
    /// Logged out.
    LoggedOut,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Idle,
    Claiming,
    /// Somebody else holds the lease; asked again then.
    Waiting(Mono),
    WritingIntent,
    Exchanging(Mono),
    Saving(Held),
    LookingAgain(Failure),
    Latching(Failure),
}

/// The longest a waiter for somebody else's lease sleeps before it asks again; notification is the rule.
const LEASE_POLL_MS: u64 = 1_000;
/// How long before a session's certain end it is announced.
const ANNOUNCE_MS: u64 = 24 * 3600 * 1000;
/// A token that a 401 brought and that is refused again within this time is not refreshed again; doubled each time.
const REFUSED_AGAIN_MS: u64 = 5_000;
/// Nothing is sent under a lease that was asked for longer ago than this: after a pause (the process was
/// stopped, the machine slept) somebody else may hold it by now. Well below the lease's life in the keeper.
const SEND_WITHIN_MS: u64 = 8_000;

/// One session.
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    policy: Policy,
    generation: Generation,
    held: Option<Held>,
    refused: bool,
    phase: Phase,
    /// Whether we hold the lease in the present transaction.
    leased: bool,
    intent: Option<IntentSeen>,
    /// An exchange of this generation may have been processed.
    unknown: bool,
    failures: u32,
    failure: Option<Failure>,
    ended: Option<Failure>,
    unreadable: Option<Failure>,
    not_before: Option<Mono>,
    forced: bool,
    wanted: bool,
    unsaved: bool,
    refusals: u32,
    times: ExchangeTimes,
    announced: bool,
    expiry_told: bool,
    /// A change of the row that came while a transaction ran.
    missed: Option<Stored>,
    /// The lease is ours for a while from here on: when it was asked for, or when its exchange came back.
    lease_from: Mono,
    /// The unsaved pair is the session's first: a row without a pair is then no logout.
    first_pair: bool,
}

impl Machine {
    /// A session under this name, with nothing known yet. Give it the row as `Input::Changed` next.
    pub fn new(name: impl Into<String>, policy: Policy) -> Self {
        Self {
            name: name.into(),
            policy,
            generation: Generation(0),
            held: None,
            refused: false,
            phase: Phase::Idle,
            leased: false,
            intent: None,
            unknown: false,
            failures: 0,
            failure: None,
            ended: None,
            unreadable: None,
            not_before: None,
            forced: false,
            wanted: false,
            unsaved: false,
            refusals: 0,
            times: ExchangeTimes::default(),
            announced: false,
            expiry_told: false,
            missed: None,
            lease_from: Mono(0),
            first_pair: false,
        }
    }

    /// Takes one input and returns what must be done about it.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        let mono = now.mono;
        match input {
            Input::Tick => {}
            Input::Wanted { min_valid_ms } => self.wanted(mono, min_valid_ms),
            Input::Refused { generation } => self.refused_by_api(mono, generation, &mut out),
            Input::Forced => self.forced = true,
            Input::LeaseGranted(stored) => self.leased(mono, stored, &mut out),
            Input::LeaseHeld { for_ms } => {
                if self.phase == Phase::Claiming {
                    self.phase = Phase::Waiting(mono + for_ms.clamp(1, LEASE_POLL_MS));
                }
            }
            Input::Paced { until, failure } => self.paced(until, failure),
            Input::LeaseFailed(failure) => self.without_store(mono, failure, &mut out),
            Input::IntentWritten => self.send(mono, &mut out),
            Input::IntentFailed(failure) => self.without_store(mono, failure, &mut out),
            Input::Exchanged(outcome) => self.exchanged(mono, outcome, &mut out),
            Input::Saved => self.saved(&mut out),
            Input::SaveMoved(stored) => self.save_moved(mono, stored, &mut out),
            Input::SaveFailed(failure) => self.save_failed(mono, failure, &mut out),
            Input::Looked(stored) => self.looked(mono, stored, &mut out),
            Input::Latched => self.latched(&mut out),
            Input::Changed(stored) => self.changed(stored, &mut out),
        }
        self.run_timers(mono, &mut out);
        out
    }

    /// When the machine wants `Input::Tick` next.
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let mut next: Option<Mono> = None;
        let mut at = |instant: Option<Mono>| {
            if let Some(instant) = instant {
                next = Some(next.map_or(instant, |soonest| soonest.min(instant)));
            }
        };
        if let Phase::Waiting(retry) = self.phase {
            at(Some(retry));
        }
        if self.phase == Phase::Idle {
            if self.unsaved || self.exchange_needed(now) {
                at(Some(self.not_before.unwrap_or(now)));
            } else if self.may_exchange() {
                // A lazy session only changes its state then.
                at(self.due_at().filter(|due| self.policy.keep == Keep::Warm || *due > now));
            }
        }
        if let Some(held) = &self.held {
            at(held.expires.filter(|end| *end > now));
            at(held
                .session_ends
                .filter(|_| !self.announced)
                .map(|end| end.minus(ANNOUNCE_MS)));
        }
        next
    }

    /// The state to show.
    pub fn state(&self, now: Mono) -> State {
        if let Some(failure) = self.ended.as_ref().or(self.unreadable.as_ref()) {
            return match failure.root().heal {
                Heal::Relogin | Heal::Refresh => State::NeedsLogin,
                _ => State::NeedsOperator,
            };
        }
        let Some(held) = &self.held else {
            return if self.policy.self_login {
                State::Expired
            } else {
                State::Empty
            };
        };
        if !self.valid(now) {
            return if held.renewable {
                State::Expired
            } else {
                State::NeedsLogin
            };
        }
        if self.failures > 0 {
            return State::Degraded;
        }
        let running = !matches!(self.phase, Phase::Idle);
        if running || self.due_at().is_some_and(|due| due <= now) {
            State::Due
        } else {
            State::Fresh
        }
    }

    /// Whether the current access token may be served (I7).
    pub fn valid(&self, now: Mono) -> bool {
        !self.refused
            && self
                .held
                .as_ref()
                .is_some_and(|held| held.expires.is_none_or(|end| now < end))
    }

    /// Whether a transaction is under way, so that waiting makes sense.
    pub fn running(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// The pair known now.
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// The generation known now; survives a logout.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether the API refused the current token.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// What is wrong at present, if anything.
    pub fn failure(&self) -> Option<&Failure> {
        self.ended
            .as_ref()
            .or(self.unreadable.as_ref())
            .or(self.failure.as_ref())
    }

    /// Whether only a person can help.
    pub fn ended(&self) -> bool {
        self.ended.is_some() || self.unreadable.is_some()
    }

    /// Whether the current pair is not yet durable.
    pub fn unsaved(&self) -> bool {
        self.unsaved
    }

    /// When the next attempt is allowed while backing off.
    pub fn not_before(&self) -> Option<Mono> {
        self.not_before
    }

    /// When the current pair is due for a refresh; `None` when it never is.
    pub fn due_at(&self) -> Option<Mono> {
        let held = self.held.as_ref()?;
        if held.renewable {
            window::due(&self.name, held, &self.policy, self.times.p99_ms())
        } else {
            None
        }
    }

    /// When the session ends whatever is done: its absolute end, or the end of what cannot be renewed.
    pub fn session_ends(&self) -> Option<Mono> {
        let held = self.held.as_ref()?;
        let end = if held.renewable { None } else { held.expires };
        match (held.session_ends, end) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    // ---- causes -------------------------------------------------------------------------------------------

    fn may_exchange(&self) -> bool {
        if self.ended() || self.unsaved {
            return false;
        }
        self.held
            .as_ref()
            .map_or(self.policy.self_login, |held| held.renewable)
    }

    /// Whether there is a cause for an exchange now. Without one none is ever started.
    fn exchange_needed(&self, now: Mono) -> bool {
        if !self.may_exchange() {
            return false;
        }
        let awaited = self.policy.keep == Keep::Warm || self.wanted;
        let Some(held) = &self.held else {
            return awaited || self.forced;
        };
        let gone = held.expires.is_some_and(|end| end <= now);
        let interrupted = self
            .intent
            .is_some_and(|intent| intent.generation == held.generation);
        let due = self.due_at().is_some_and(|due| due <= now);
        self.refused || self.forced || ((interrupted || gone || due) && awaited)
    }

    fn wanted(&mut self, now: Mono, min_valid_ms: u64) {
        let short = self
            .held
            .as_ref()
            .and_then(|held| held.expires)
            .is_some_and(|end| end < now + min_valid_ms);
        self.wanted = true;
        // Asking for more life than a whole token has cannot be granted by refreshing again and again.
        let could_help = self.held.as_ref().is_some_and(|held| {
            held.expires
                .is_some_and(|end| end.since(held.issued) > min_valid_ms || end <= now)
                || held.issued.0 + REFUSED_AGAIN_MS < now.0
        });
        if short && could_help {
            self.forced = true;
        }
    }

    fn refused_by_api(&mut self, now: Mono, generation: Generation, out: &mut Vec<Action>) {
        if generation != self.generation || self.refused || self.ended() {
            return;
        }
        let Some(held) = &self.held else { return };
        if !self.refusal_may_heal(now, held) {
            return;
        }
        self.refused = true;
        self.refusals = self.refusals.saturating_add(1);
        out.push(Action::Emit(Event::Refused(generation)));
    }

    /// I13: a token that a refusal brought and that is refused again at once is not refreshed again: either no
    /// refresh heals this answer, or the server is broken. The bound doubles with every such refusal.
    fn refusal_may_heal(&self, now: Mono, held: &Held) -> bool {
        if self.refusals == 0 {
            return true;
        }
        now.since(held.issued) >= self.refusal_wait_ms()
    }

    /// How long a token must have lived before its refusal counts as news.
    fn refusal_wait_ms(&self) -> u64 {
        REFUSED_AGAIN_MS
            .saturating_mul(1 << self.refusals.min(10))
            .min(600_000)
    }

    /// Whether a refusal of this generation would start (or has started) an exchange.
    pub fn heals_refusal(&self, now: Mono, generation: Generation) -> bool {
        if generation != self.generation {
            return self.held.is_some();
        }
        let Some(held) = &self.held else { return false };
        !self.ended() && held.renewable && (self.refused || self.refusal_may_heal(now, held))
    }

    fn run_timers(&mut self, now: Mono, out: &mut Vec<Action>) {
        if let Phase::Waiting(retry) = self.phase
            && retry <= now
        {
            self.claim(now, out);
        }
        self.announce(now, out);
        if self.phase != Phase::Idle {
            return;
        }
        if !self.unsaved && !self.exchange_needed(now) {
            // A wish that needs no exchange now is no cause for one later.
            self.forced = false;
            self.wanted = false;
        } else if self.not_before.is_none_or(|until| until <= now) {
            self.claim(now, out);
        }
    }

    fn claim(&mut self, now: Mono, out: &mut Vec<Action>) {
        self.phase = Phase::Claiming;
        self.lease_from = now;
        out.push(Action::Claim);
    }

    fn announce(&mut self, now: Mono, out: &mut Vec<Action>) {
        let Some(held) = &self.held else { return };
        if !self.expiry_told && held.expires.is_some_and(|end| end <= now) {
            self.expiry_told = true;
            out.push(Action::Emit(Event::Expired(held.generation)));
        }
        if let Some(end) = held.session_ends
            && !self.announced
            && end.minus(ANNOUNCE_MS) <= now
        {
            self.announced = true;
            out.push(Action::Emit(Event::Ending(end.since(now))));
        }
    }

    // ---- the refresh transaction --------------------------------------------------------------------------

    fn leased(&mut self, now: Mono, stored: Stored, out: &mut Vec<Action>) {
        if self.phase != Phase::Claiming {
            // The claim was overtaken (a login, a logout); nothing is owed but the lease.
            out.push(Action::Release);
            return;
        }
        self.leased = true;
        if self.unsaved {
            self.save_again(stored, out);
            return;
        }
        if self.too_late(now) {
            self.start_over(now, out);
            return;
        }
        if self.differs(&stored) {
            self.take_over(stored, out);
            self.finish(out);
            return;
        }
        self.note_row(&stored);
        if !self.exchange_needed(now) {
            self.finish(out);
            return;
        }
        let earlier = self
            .intent
            .filter(|intent| intent.generation == self.generation);
        self.unknown = earlier.is_some() && self.policy.spends;
        if self.unknown {
            out.push(Action::Emit(Event::UnknownOutcome(self.generation)));
        }
        self.write_intent(
            earlier.map_or(1, |intent| intent.attempts.saturating_add(1)),
            out,
        );
    }

    fn write_intent(&mut self, attempts: u32, out: &mut Vec<Action>) {
        let intent = IntentSeen {
            generation: self.generation,
            attempts,
        };
        self.intent = Some(intent);
        self.phase = Phase::WritingIntent;
        out.push(Action::WriteIntent(intent));
    }

    fn send(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.phase != Phase::WritingIntent {
            return;
        }
        if self.too_late(now) {
            if !self.unknown {
                self.intent = None;
                out.push(Action::ClearIntent(self.generation));
            }
            self.start_over(now, out);
            return;
        }
        self.phase = Phase::Exchanging(now);
        out.push(Action::Exchange {
            generation: self.generation,
            unknown: self.unknown,
        });
    }

    fn too_late(&self, now: Mono) -> bool {
        now.since(self.lease_from) > SEND_WITHIN_MS
    }

    fn start_over(&mut self, now: Mono, out: &mut Vec<Action>) {
        if std::mem::replace(&mut self.leased, false) {
            out.push(Action::Release);
        }
        self.claim(now, out);
    }

    /// Whether the row says something else than what is known here. One that cannot be opened says nothing.
    fn differs(&self, stored: &Stored) -> bool {
        !blank(stored)
            && (stored.generation != self.generation
                || stored.held.is_none() != self.held.is_none())
    }

    /// The store cannot be reached. A token that rotates is not spent then: its successor could not be kept.
    /// One that does not rotate is; nothing can be lost.
    fn without_store(&mut self, now: Mono, failure: Failure, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Claiming | Phase::WritingIntent) {
            return;
        }
        if self.phase == Phase::WritingIntent && !self.unknown {
            // The note is not there, so nobody will find it. (An earlier one still is.)
            self.intent = None;
        }
        if !self.unsaved && !self.exchange_needed(now) {
            // The cause is gone: a newer pair was adopted, or somebody logged out, meanwhile.
            self.finish(out);
        } else if self.policy.spends || self.unsaved {
            self.fail(now, failure, None, out);
        } else {
            self.phase = Phase::Exchanging(now);
            out.push(Action::Exchange {
                generation: self.generation,
                unknown: false,
            });
        }
    }

    fn exchanged(&mut self, now: Mono, outcome: Outcome, out: &mut Vec<Action>) {
        let Phase::Exchanging(started) = self.phase else {
            return;
        };
        match outcome {
            Outcome::Granted(held) => {
                self.times.add(now.since(started));
                self.phase = Phase::Saving(held);
                out.push(Action::Save {
                    expect: self.generation,
                });
            }
            Outcome::Passing {
                failure,
                retry_after_ms,
                sent,
            } => {
                self.passing(now, failure, retry_after_ms, sent, out);
            }
            Outcome::Final(failure) => {
                self.phase = Phase::LookingAgain(failure);
                out.push(Action::LookAgain);
            }
        }
    }

    fn passing(
        &mut self,
        now: Mono,
        failure: Failure,
        retry_after_ms: Option<u64>,
        sent: Sent,
        out: &mut Vec<Action>,
    ) {
        if sent == Sent::Maybe && self.policy.spends {
            let attempts = self.intent.map_or(1, |intent| intent.attempts);
            let first = !self.unknown;
            self.unknown = true;
            // I10: the same token again, at once, once. Only for a reply that was lost on the way: a server
            // that answered with a fault of its own is left alone for a while.
            if first
                && self.policy.retry_unknown
                && retry_after_ms.is_none()
                && is_transport(&failure)
            {
                out.push(Action::Emit(Event::UnknownOutcome(self.generation)));
                // The lease was renewed while the exchange ran; if it was not, writing the intent will tell.
                self.lease_from = now;
                self.write_intent(attempts.saturating_add(1), out);
                return;
            }
        } else if !self.unknown {
            self.intent = None;
            if self.leased {
                out.push(Action::ClearIntent(self.generation));
            }
        }
        self.fail(now, failure, retry_after_ms, out);
    }

    fn fail(
        &mut self,
        now: Mono,
        failure: Failure,
        retry_after_ms: Option<u64>,
        out: &mut Vec<Action>,
    ) {
        let wait = self.backoff_ms().max(retry_after_ms.unwrap_or(0));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
        self.failure = Some(failure.clone());
        out.push(Action::Emit(Event::RefreshFailed(failure, wait)));
        self.finish(out);
    }

    /// Doubles from the shortest to the longest wait, less a stable jitter of up to a quarter.
    fn backoff_ms(&self) -> u64 {
        let full = self
            .policy
            .backoff_min_ms
            .saturating_mul(1 << self.failures.min(20))
            .min(self.policy.backoff_max_ms);
        let number = self
            .generation
            .0
            .wrapping_mul(1_000)
            .wrapping_add(u64::from(self.failures));
        full - jitter::spread(&self.name, number, full / 4)
    }

    fn paced(&mut self, until: Mono, failure: Failure) {
        if self.phase == Phase::Claiming {
            self.phase = Phase::Idle;
            self.not_before = Some(until);
            if self.failure.is_none() {
                self.failure = Some(failure);
            }
        }
    }

    fn saved(&mut self, out: &mut Vec<Action>) {
        let Phase::Saving(held) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        let late = std::mem::replace(&mut self.unsaved, false);
        let generation = held.generation;
        if late {
            self.healthy();
            self.intent = None;
            out.push(Action::Emit(Event::SavedLate(generation)));
            // Saving answers nobody who wants another token.
            let (forced, wanted) = (self.forced, self.wanted);
            self.finish(out);
            (self.forced, self.wanted) = (forced, wanted);
        } else {
            self.install(held);
            out.push(Action::Publish);
            out.push(Action::Emit(Event::Refreshed(generation)));
            self.finish(out);
        }
    }

    /// Whether somebody else's row replaces the pair an exchange brought: as new or newer, or logged out.
    fn overtaken(&self, stored: &Stored, brought: &Held) -> bool {
        let first = if self.unsaved {
            self.first_pair
        } else {
            self.held.is_none()
        };
        !blank(stored)
            && (stored.generation >= brought.generation || (stored.held.is_none() && !first))
    }

    fn save_moved(&mut self, now: Mono, stored: Stored, out: &mut Vec<Action>) {
        let Phase::Saving(held) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        if self.overtaken(&stored, &held) {
            self.take_over(stored, out);
            self.finish(out);
            return;
        }
        // Fenced, yet nobody stored a newer pair: ours is still the newest. It is served and saved again.
        let failure = Failure::new(
            crate::Code::StoreUnavailable,
            crate::Class::StoreUnavailable,
            "lease_lost_before_save",
            Heal::RetryLater,
            crate::Who::Tenure,
            "the lease was taken over before the new tokens were saved; they are kept in memory and saved again",
        );
        self.phase = Phase::Saving(held);
        self.save_failed(now, failure, out);
    }

    /// I9: saved or shouted.
    fn save_failed(&mut self, now: Mono, failure: Failure, out: &mut Vec<Action>) {
        let Phase::Saving(held) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        if !self.unsaved {
            self.first_pair = self.held.is_none();
            self.install(held);
            self.unsaved = true;
            out.push(Action::Publish);
            out.push(Action::SaveSpare);
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + self.backoff_ms());
        self.failure = Some(failure.clone());
        out.push(Action::Emit(Event::Unsaved(failure)));
        self.finish(out);
    }

    fn save_again(&mut self, stored: Stored, out: &mut Vec<Action>) {
        let Some(held) = self.held.clone() else {
            self.unsaved = false;
            self.finish(out);
            return;
        };
        if self.overtaken(&stored, &held) {
            let came_home = stored.generation == held.generation && stored.held.is_some();
            self.take_over(stored, out);
            if came_home {
                // The store found the spare slot by itself.
                out.push(Action::Emit(Event::SavedLate(held.generation)));
            }
            self.finish(out);
            return;
        }
        self.phase = Phase::Saving(held);
        out.push(Action::Save {
            expect: stored.generation,
        });
    }

    /// I6: a final-looking refusal counts only against the generation that was tried.
    fn looked(&mut self, now: Mono, stored: Option<Stored>, out: &mut Vec<Action>) {
        let Phase::LookingAgain(failure) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        match stored {
            Some(stored) if self.differs(&stored) => {
                self.take_over(stored, out);
                self.finish(out);
            }
            Some(stored) if !blank(&stored) => {
                self.phase = Phase::Latching(failure.clone());
                out.push(Action::Latch(failure));
            }
            // Without a second look there is no final word (I5): it is tried again when the store is back.
            _ => self.fail(now, failure, None, out),
        }
    }

    fn latched(&mut self, out: &mut Vec<Action>) {
        let Phase::Latching(failure) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        // A refusal counts only against the generation that was tried (I6).
        if !self.missed.as_ref().is_some_and(|row| self.differs(row)) {
            self.end(failure, out);
        }
        self.finish(out);
    }

    fn finish(&mut self, out: &mut Vec<Action>) {
        self.phase = Phase::Idle;
        self.forced = false;
        self.wanted = false;
        if std::mem::replace(&mut self.leased, false) {
            out.push(Action::Release);
        }
        if let Some(stored) = self.missed.take() {
            self.changed(stored, out);
        }
    }

    // ---- what others did ----------------------------------------------------------------------------------

    fn changed(&mut self, stored: Stored, out: &mut Vec<Action>) {
        let blank = blank(&stored);
        let newer = !blank && stored.generation > self.generation;
        let logged_out = !blank
            && stored.held.is_none()
            && self.held.is_some()
            && stored.generation >= self.generation;
        if self.unsaved && !newer && !logged_out {
            return;
        }
        match self.phase {
            // Under way with the old generation: the compare before the spend or at the save will find out.
            Phase::Exchanging(_)
            | Phase::Saving(_)
            | Phase::WritingIntent
            | Phase::LookingAgain(_)
            | Phase::Latching(_) => {
                // Readings may come out of order; a newer one is not given up for an older.
                if !self
                    .missed
                    .as_ref()
                    .is_some_and(|row| row.generation > stored.generation)
                {
                    self.missed = Some(stored);
                }
                return;
            }
            Phase::Idle | Phase::Claiming | Phase::Waiting(_) => {}
        }
        if newer || logged_out {
            self.take_over(stored, out);
            if matches!(self.phase, Phase::Waiting(_)) {
                self.finish(out);
            }
        } else if stored.generation == self.generation || blank {
            self.note_row(&stored);
            if matches!(self.phase, Phase::Waiting(_)) && (self.ended() || stored.intent.is_none())
            {
                // The holder is done: end the wait, ask at once if there is still a cause.
                self.phase = Phase::Idle;
            }
        }
    }

    /// Takes the row as the truth: a newer pair, a logout, or a login after one.
    fn take_over(&mut self, stored: Stored, out: &mut Vec<Action>) {
        self.unknown = false;
        self.unsaved = false;
        match stored.held.clone() {
            Some(held) => {
                let generation = held.generation;
                self.install(held);
                out.push(Action::Adopt(generation));
                out.push(Action::Emit(Event::Adopted(generation)));
            }
            None => {
                let had = self.held.take().is_some();
                self.healthy();
                self.refused = false;
                self.generation = stored.generation;
                if had {
                    out.push(Action::Forget);
                    out.push(Action::Emit(Event::LoggedOut));
                }
            }
        }
        self.note_row(&stored);
    }

    /// Latch, intent and readability of the row of our own generation.
    fn note_row(&mut self, stored: &Stored) {
        self.intent = stored.intent;
        self.unreadable.clone_from(&stored.unreadable);
        let ours = self.held.as_ref().and_then(|held| held.fingerprint);
        // Never unset here: only a login or a logout clears a latch, and a row without it may be an old reading.
        if let Some((fingerprint, failure)) = &stored.latch
            && Some(*fingerprint) == ours
        {
            self.ended = Some(failure.clone());
        }
    }

    fn install(&mut self, held: Held) {
        self.generation = held.generation;
        // A token that lived long enough starts the count anew. Only then: several processes that adopt each
        // other's pairs would else take turns for ever with an API that refuses whatever it is shown.
        let lived = self
            .held
            .as_ref()
            .map_or(u64::MAX, |old| held.issued.since(old.issued));
        if lived >= self.refusal_wait_ms() {
            self.refusals = 0;
        }
        // Whatever was asked of the former pair is answered by this one.
        self.forced = false;
        self.wanted = false;
        self.held = Some(held);
        self.refused = false;
        self.intent = None;
        self.unknown = false;
        self.announced = false;
        self.expiry_told = false;
        self.healthy();
    }

    fn healthy(&mut self) {
        self.failures = 0;
        self.failure = None;
        self.ended = None;
        self.not_before = None;
    }

    fn end(&mut self, failure: Failure, out: &mut Vec<Action>) {
        self.ended = Some(failure.clone());
        out.push(Action::Emit(Event::Ended(failure)));
    }
}

/// Nothing is known of such a row but that it is there: what is in memory goes on while it is valid.
fn blank(stored: &Stored) -> bool {
    stored.unreadable.is_some() && stored.held.is_none()
}

fn is_transport(failure: &Failure) -> bool {
    use crate::Class::{ConnectionReset, Timeout};
    matches!(failure.root().class, ConnectionReset | Timeout)
}
