//! What APIs answer about the token: refusals a refresh may heal, and those it does not.

use super::{Action, Event, Held, Machine, State, Trouble};
use crate::failure::{Class, Code, Failure, Heal, Who};
use crate::pair::Generation;
use crate::time::Mono;

/// A token that a 401 brought and that is refused again within this time is not refreshed again; doubled each time.
pub(super) const REFUSED_AGAIN_MS: u64 = 5_000;
/// The same for a token that an API accepted before it was refused.
const ACCEPTED_THEN_REFUSED_MS: u64 = 500;
/// How long an answer that ends nothing is shown after it was seen last.
const SHOWN_MS: u64 = 600_000;

impl Machine {
    pub(super) fn refused_by_api(
        &mut self,
        now: Mono,
        generation: Generation,
        failure: Option<Failure>,
        out: &mut Vec<Action>,
    ) {
        if generation != self.generation || self.refused || self.ended() {
            return;
        }
        let Some(held) = &self.held else { return };
        let named = |class| names_the_token(class) || class == Class::ClockSkew;
        let plainly = failure.as_ref().is_some_and(|failure| named(failure.class));
        if !held.renewable {
            if let Some(failure) = failure.filter(|failure| names_the_token(failure.class))
                && self.doubt.is_none()
            {
                self.doubted_now(now, failure, out);
            }
            return;
        }
        if !self.refusal_may_heal(now, held) {
            if let Some(failure) = failure {
                self.observed_at_api(now, generation, failure, out);
            }
            return;
        }
        self.refused = true;
        self.refused_plainly = plainly;
        self.refusals = self.refusals.saturating_add(1);
        if let Some(failure) = &failure {
            // Shown until the exchange it causes ends, and told to others, who would serve the token.
            self.observed = Some((failure.clone(), now + SHOWN_MS));
            if plainly && self.failures == 0 {
                self.note_answer(now, failure, out);
            }
        }
        out.push(Action::Emit(Event::Refused(generation, failure)));
    }

    /// The token is sent on for want of another, but nobody who asks for one is given it.
    fn doubted_now(&mut self, now: Mono, failure: Failure, out: &mut Vec<Action>) {
        self.doubt = Some(failure.clone());
        self.note_answer(now, &failure, out);
        if self.news(failure.code) {
            let refused = Event::Refused(self.generation, Some(failure));
            out.push(Action::Emit(refused));
        }
    }

    /// An API named a failure that no refresh heals. It ends nothing; people are shown it (I16).
    pub(super) fn observed_at_api(
        &mut self,
        now: Mono,
        generation: Generation,
        failure: Failure,
        out: &mut Vec<Action>,
    ) {
        if generation != self.generation || self.ended() || self.held.is_none() {
            return;
        }
        let failure = if failure.heal == Heal::Refresh {
            refused_again(failure, &self.name)
        } else {
            failure
        };
        let renewable = self.held.as_ref().is_some_and(|held| held.renewable);
        if doubts(failure.class) || (!renewable && names_the_token(failure.class)) {
            if self.doubt.is_none() {
                self.doubted_now(now, failure, out);
            }
            return;
        }
        let known = self.observed.as_ref().map(|(known, _)| known.code);
        self.observed = Some((failure.clone(), now + SHOWN_MS));
        if known == Some(failure.code) {
            return;
        }
        if self.failures == 0 && self.doubt.is_none() {
            self.note_answer(now, &failure, out);
        }
        if self.news(failure.code) {
            out.push(Action::Emit(Event::Observed(failure)));
        }
    }

    /// Tells the other processes that the token of an ended session is refused, too: they would give it away.
    pub(super) fn note_refused(&self, now: Mono, ended: &Failure, out: &mut Vec<Action>) {
        if self.refused {
            let said = self.observed.as_ref().map(|(failure, _)| failure);
            self.note_answer(now, said.unwrap_or(ended), out);
        }
    }

    /// Tells the other processes what an API said.
    fn note_answer(&self, now: Mono, failure: &Failure, out: &mut Vec<Action>) {
        let trouble = Trouble {
            generation: self.generation,
            failures: 0,
            not_before: now + SHOWN_MS,
            refused: self.refused || (self.doubt.is_some() && !doubts(failure.class)),
            failure: failure.clone(),
        };
        out.push(Action::Note(self.generation, Some(trouble)));
    }

    /// Whether this was not yet told of the present pair.
    fn news(&mut self, code: Code) -> bool {
        let news = !self.told.contains(&code);
        if news {
            self.told.push(code);
        }
        news
    }

    pub(super) fn accepted_by_api(&mut self, generation: Generation, out: &mut Vec<Action>) {
        self.accepted = generation == self.generation;
        if self.accepted && self.lifted_by_acceptance() {
            self.doubt = None;
            self.observed = self.observed.take().filter(|(seen, _)| stays(seen.heal));
            if self.failures == 0 {
                out.push(Action::Note(generation, None));
            }
        }
    }

    /// Whether an answer that accepts the token would prove what is shown wrong.
    pub fn lifted_by_acceptance(&self) -> bool {
        let seen = self.observed.as_ref();
        self.doubt.is_some() || seen.is_some_and(|(seen, _)| !stays(seen.heal))
    }

    /// What others' answers say counts here, too.
    pub(super) fn share_answer(&mut self, trouble: &Trouble) {
        let failure = &trouble.failure;
        if trouble.refused || doubts(failure.class) {
            self.doubt = Some(failure.clone());
        } else {
            self.doubt = None;
            self.observed = Some((failure.clone(), trouble.not_before));
        }
    }

    /// The state that answers of APIs make of a session with a valid token; `None`: they change nothing.
    pub(super) fn state_by_answers(&self) -> Option<State> {
        if let Some(doubt) = &self.doubt {
            return Some(match doubt.heal {
                Heal::Relogin | Heal::Refresh => State::NeedsLogin,
                _ => State::NeedsOperator,
            });
        }
        match self.observed.as_ref()?.0.class {
            Class::AccessMissing | Class::HeaderLost => Some(State::NeedsOperator),
            Class::StepUpRequired => Some(State::NeedsLogin),
            Class::ClockSkew | Class::NotYetValid => Some(State::Degraded),
            class => names_the_token(class).then_some(State::Degraded),
        }
    }

    /// Somebody acted: what others than the user must have put right is tried once more.
    pub(super) fn second_try(&mut self) {
        let for_others =
            |failure: &Failure| !matches!(failure.root().heal, Heal::Relogin | Heal::Refresh);
        if self.ended.as_ref().is_some_and(for_others) {
            self.ended = None;
            self.forgiven = self.held.as_ref().and_then(|held| held.fingerprint);
        }
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
    pub(super) fn refusal_wait_ms(&self) -> u64 {
        // One that was accepted in between was good: it was revoked since, or one path alone refuses it.
        let first = if self.accepted {
            ACCEPTED_THEN_REFUSED_MS
        } else {
            REFUSED_AGAIN_MS
        };
        first
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
}

/// Whether an answer of this class is about the token itself, wherever it was sent.
fn names_the_token(class: Class) -> bool {
    matches!(
        class,
        Class::AccessExpired | Class::AccessInvalid | Class::AccessRevoked | Class::KeyMismatch
    )
}

/// Whether an answer of this class refuses the token for good, whatever could renew it.
fn doubts(class: Class) -> bool {
    class == Class::WrongIssuer
}

/// Whether other requests that are accepted leave this as it is.
fn stays(heal: Heal) -> bool {
    matches!(heal, Heal::RequestScope | Heal::ContactAdmin)
}

/// The token of a refresh was refused as the one before it: the next step after a refresh (DESIGN §7).
fn refused_again(mut failure: Failure, session: &str) -> Failure {
    failure.detail = format!(
        "A newer token was refused like the one before it, so renewing does not help: this API takes no token of this login, or something changes it on the way. {}",
        failure.detail
    );
    if failure.cause.contains("malformed") {
        // What left here was whole.
        (failure.heal, failure.who) = (Heal::FixConfig, Who::Operator);
    } else {
        (failure.heal, failure.who) = (Heal::Relogin, Who::User);
        failure.command = Some(format!("tenure login {session}"));
    }
    failure
}
