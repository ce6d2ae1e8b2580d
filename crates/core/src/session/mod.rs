//! The session machine (DESIGN §5): inputs in, actions out, the next deadline out. One entry point for time.
//!
//! It holds no secret and does nothing itself. The keeper carries out the [`Action`]s and posts their results
//! back as [`Input`]s; the simulator does the same with a world of its own. Single flight lives here: while a
//! transaction runs, nothing that happens starts a second one.

mod answers;
mod others;
mod policy;
mod transaction;
#[cfg(test)]
mod transitions;
mod types;
mod window;

use crate::failure::{Code, Failure, Heal};
use crate::pair::{Fingerprint, Generation};
use crate::time::{Mono, Now};

use answers::REFUSED_AGAIN_MS;
pub use policy::{Keep, Policy, RefreshAt};
pub use types::{Action, Event, Held, Input, IntentSeen, Outcome, Sent, State, Stored, Trouble};
pub use window::{ExchangeTimes, due};

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
/// Nothing is sent under a lease that was asked for longer ago than this: after a pause (the process was
/// stopped, the machine slept) somebody else may hold it by now. A lease lives for this long, the exchange's
/// hard deadline and the time to save, so that it outlives the exchange even where it cannot be renewed.
pub const SEND_WITHIN_MS: u64 = 8_000;

/// One session.
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    policy: Policy,
    generation: Generation,
    held: Option<Held>,
    refused: bool,
    /// The refusal was in words about the token; a bare 401 may have been about one path alone.
    refused_plainly: bool,
    /// The API refused a token that nothing can renew. It is the only one there is, so the gateway goes on
    /// sending it: another answer may prove the refusal wrong.
    doubt: Option<Failure>,
    /// What an API said last that ends nothing and that no refresh heals; shown until then.
    observed: Option<(Failure, Mono)>,
    /// What the world was told about the present pair: each code once.
    told: Vec<Code>,
    /// A latch that is not heeded, because somebody acted on what it asked of others than the user.
    forgiven: Option<Fingerprint>,
    /// What the session had ended with when a person asked for another try: ending so again is no news.
    tried_again: Option<Code>,
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
    /// Why the session cannot be renewed as it is configured; only another start with a better configuration heals it.
    blocked: Option<Failure>,
    not_before: Option<Mono>,
    forced: bool,
    wanted: bool,
    unsaved: bool,
    refusals: u32,
    /// An API accepted the current token at least once.
    accepted: bool,
    times: ExchangeTimes,
    announced: bool,
    expiry_told: bool,
    /// A change of the row that came while a transaction ran.
    missed: Option<Stored>,
    /// The lease is ours for a while from here on: when it was asked for, or when its exchange came back.
    lease_from: Mono,
    /// The last row under a lease was older than what is known.
    older_row: bool,
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
            refused_plainly: false,
            doubt: None,
            observed: None,
            told: Vec::new(),
            forgiven: None,
            tried_again: None,
            phase: Phase::Idle,
            leased: false,
            intent: None,
            unknown: false,
            failures: 0,
            failure: None,
            ended: None,
            unreadable: None,
            blocked: None,
            not_before: None,
            forced: false,
            wanted: false,
            unsaved: false,
            refusals: 0,
            accepted: false,
            times: ExchangeTimes::default(),
            announced: false,
            expiry_told: false,
            missed: None,
            lease_from: Mono(0),
            older_row: false,
            first_pair: false,
        }
    }

    /// Exchanges nothing and says why: the configuration lacks what an exchange needs. What is valid is served.
    #[must_use]
    pub fn blocked_by(mut self, failure: Option<Failure>) -> Self {
        self.blocked = failure;
        self
    }

    /// Takes one input and returns what must be done about it.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        let mono = now.mono;
        match input {
            Input::Tick => {}
            Input::Wanted { min_valid_ms } => self.wanted(mono, min_valid_ms),
            Input::Refused {
                generation,
                failure,
            } => self.refused_by_api(mono, generation, failure, &mut out),
            Input::Observed {
                generation,
                failure,
            } => self.observed_at_api(mono, generation, failure, &mut out),
            Input::Accepted { generation } => self.accepted_by_api(generation, &mut out),
            Input::AcceptedBefore { generation } => self.accepted = generation == self.generation,
            Input::Forced => {
                let ended = self.ended.as_ref().map(|failure| failure.root().code);
                self.second_try();
                self.tried_again = ended.filter(|_| self.ended.is_none());
                self.forced = true;
            }
            Input::LeaseGranted(stored) => self.leased(mono, stored, &mut out),
            Input::LeaseHeld { for_ms } => {
                if self.phase == Phase::Claiming {
                    self.phase = Phase::Waiting(mono + for_ms.clamp(1, LEASE_POLL_MS));
                }
            }
            Input::Paced { until, failure } => self.paced(mono, until, failure),
            Input::IntentWritten => self.send(mono, &mut out),
            Input::LeaseFailed(failure) | Input::IntentFailed(failure) => {
                self.without_store(mono, failure, &mut out);
            }
            Input::Exchanged(outcome) => self.exchanged(mono, outcome, &mut out),
            Input::Saved => self.saved(&mut out),
            Input::SaveMoved(stored) => self.save_moved(mono, stored, &mut out),
            Input::SaveFailed(failure) => self.save_failed(mono, failure, &mut out),
            Input::Looked(stored) => self.looked(mono, stored, &mut out),
            Input::Latched => self.latched(mono, &mut out),
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
                at(self
                    .due_at()
                    .filter(|due| self.policy.keep == Keep::Warm || *due > now));
            }
            if self.moot(now) {
                at(self.not_before.filter(|until| *until > now));
            }
        }
        at(self.observed.as_ref().map(|(_, until)| *until));
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
        if let Some(failure) = self.final_failure() {
            return match failure.root().heal {
                Heal::Relogin | Heal::Refresh => State::NeedsLogin,
                _ => State::NeedsOperator,
            };
        }
        let Some(held) = &self.held else {
            return match (self.logs_itself_in(), self.failures) {
                (false, _) => State::Empty,
                // Its first token is fetched as soon as it is wanted.
                (true, 0) => State::Due,
                (true, _) => State::Expired,
            };
        };
        if !self.valid(now) {
            return if held.renewable {
                State::Expired
            } else {
                State::NeedsLogin
            };
        }
        if let Some(state) = self.state_by_answers() {
            return state;
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
        self.final_failure()
            .or(self.doubt.as_ref())
            .or(self.failure.as_ref())
            .or(self.observed.as_ref().map(|(failure, _)| failure))
    }

    fn final_failure(&self) -> Option<&Failure> {
        self.blocked
            .as_ref()
            .or(self.ended.as_ref())
            .or(self.unreadable.as_ref())
    }

    /// Whether the API refused a token that no refresh heals; it is sent all the same, for want of another.
    pub fn doubted(&self) -> bool {
        self.doubt.is_some()
    }

    /// Whether only a person can help.
    pub fn ended(&self) -> bool {
        self.final_failure().is_some()
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
            .map_or(self.logs_itself_in(), |held| held.renewable)
    }

    /// Whether it may begin without a pair. A generation without one is a logout: only a person undoes that.
    fn logs_itself_in(&self) -> bool {
        self.policy.self_login && self.generation == Generation(0)
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
        // Where nothing is spent, nothing can have been lost.
        let interrupted = self.policy.spends
            && self
                .intent
                .is_some_and(|intent| intent.generation == held.generation);
        let due = self.due_at().is_some_and(|due| due <= now);
        self.refused || self.forced || ((interrupted || gone || due) && awaited)
    }

    /// Whether the failure shown is one of an exchange that nobody needs any more: it is shown for as long as
    /// it would have been waited, and forgotten.
    fn moot(&self, now: Mono) -> bool {
        self.failures > 0
            && !self.unsaved
            && !self.ended()
            && self.valid(now)
            && !self.exchange_needed(now)
            && self.due_at().is_none_or(|due| due > now)
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

    fn run_timers(&mut self, now: Mono, out: &mut Vec<Action>) {
        if let Phase::Waiting(retry) = self.phase
            && retry <= now
        {
            self.claim(now, out);
        }
        self.announce(now, out);
        if self
            .observed
            .as_ref()
            .is_some_and(|(_, until)| *until <= now)
        {
            self.observed = None;
        }
        if self.phase != Phase::Idle {
            return;
        }
        if !self.unsaved && !self.exchange_needed(now) {
            // A wish that needs no exchange now is no cause for one later.
            self.forced = false;
            self.wanted = false;
            if self.moot(now) && self.not_before.is_none_or(|until| until <= now) {
                self.healthy();
            }
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
            out.push(Action::Emit(Event::Expired(
                held.generation,
                held.renewable,
            )));
        }
        if let Some(end) = held.session_ends
            && !self.announced
            && end.minus(ANNOUNCE_MS) <= now
        {
            self.announced = true;
            out.push(Action::Emit(Event::Ending(end.since(now))));
        }
    }
}

#[cfg(test)]
mod answers_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod shared_trouble;
#[cfg(test)]
mod tests;
