//! The refresh transaction: lease, intent, exchange, save, and what each may come to (DESIGN §5).

use super::others::blank;
use super::{
    Action, Event, Held, IntentSeen, Machine, Outcome, Phase, SEND_WITHIN_MS, Sent, Stored, Trouble,
};
use crate::failure::{Class, Failure, Heal};
use crate::jitter;
use crate::time::Mono;

impl Machine {
    pub(super) fn leased(&mut self, now: Mono, stored: Stored, out: &mut Vec<Action>) {
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
        // A login may have come after this reading and ended the lease. Seen twice, it is a store rolled back.
        let older = !blank(&stored) && stored.generation < self.generation;
        self.older_row = older && !self.older_row;
        if self.older_row || self.too_late(now) {
            self.start_over(now, out);
            return;
        }
        if self.differs(&stored) {
            self.take_over(stored, out);
            self.finish(out);
            return;
        }
        self.note_row(&stored);
        // Somebody else may have met trouble since, and the server is being left alone.
        let left_alone = self.not_before.is_some_and(|until| until > now);
        if left_alone || !self.exchange_needed(now) {
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

    pub(super) fn write_intent(&mut self, attempts: u32, out: &mut Vec<Action>) {
        let intent = IntentSeen {
            generation: self.generation,
            attempts,
        };
        self.intent = Some(intent);
        self.phase = Phase::WritingIntent;
        out.push(Action::WriteIntent(intent));
    }

    pub(super) fn send(&mut self, now: Mono, out: &mut Vec<Action>) {
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

    pub(super) fn too_late(&self, now: Mono) -> bool {
        now.since(self.lease_from) > SEND_WITHIN_MS
    }

    pub(super) fn start_over(&mut self, now: Mono, out: &mut Vec<Action>) {
        if std::mem::replace(&mut self.leased, false) {
            out.push(Action::Release);
        }
        self.claim(now, out);
    }

    /// Whether the row says something else than what is known here. One that cannot be opened says nothing.
    pub(super) fn differs(&self, stored: &Stored) -> bool {
        !blank(stored)
            && (stored.generation != self.generation
                || stored.held.is_none() != self.held.is_none())
    }

    /// The store cannot be reached. A token that rotates is not spent then: its successor could not be kept.
    /// One that does not rotate is; nothing can be lost.
    pub(super) fn without_store(&mut self, now: Mono, failure: Failure, out: &mut Vec<Action>) {
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

    pub(super) fn exchanged(&mut self, now: Mono, outcome: Outcome, out: &mut Vec<Action>) {
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

    pub(super) fn passing(
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

    pub(super) fn fail(
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
        self.tried_again = None;
        if self.leased && failure.root().class != Class::StoreUnavailable {
            let trouble = Trouble {
                generation: self.generation,
                failures: self.failures,
                not_before: now + wait,
                refused: self.refused && self.refused_plainly,
                failure: failure.clone(),
            };
            out.push(Action::Note(self.generation, Some(trouble)));
        }
        out.push(Action::Emit(Event::RefreshFailed(failure, wait)));
        self.finish(out);
    }

    /// Doubles from the shortest to the longest wait, less a stable jitter of up to a quarter.
    pub(super) fn backoff_ms(&self) -> u64 {
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

    /// The endpoint is being left alone: told in answer to a claim, or at the start to a session that would ask.
    pub(super) fn paced(&mut self, now: Mono, until: Mono, failure: Failure) {
        let would_ask = self.may_exchange()
            && (!self.valid(now) || self.due_at().is_some_and(|due| due <= now));
        match self.phase {
            Phase::Claiming => self.phase = Phase::Idle,
            Phase::Idle if would_ask => {}
            _ => return,
        }
        self.not_before = self.not_before.max(Some(until));
        self.failures = self.failures.max(1);
        if self.failure.is_none() {
            self.failure = Some(failure);
        }
    }

    pub(super) fn saved(&mut self, out: &mut Vec<Action>) {
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
            // Unless a newer pair came meanwhile, which does.
            if self.generation == generation {
                (self.forced, self.wanted) = (forced, wanted);
            }
        } else {
            self.install(held);
            out.push(Action::Publish);
            out.push(Action::Emit(Event::Refreshed(generation)));
            self.finish(out);
        }
    }

    /// Whether somebody else's row replaces the pair an exchange brought: as new or newer, or logged out.
    pub(super) fn overtaken(&self, stored: &Stored, brought: &Held) -> bool {
        let first = if self.unsaved {
            self.first_pair
        } else {
            self.held.is_none()
        };
        !blank(stored)
            && (stored.generation >= brought.generation || (stored.held.is_none() && !first))
    }

    pub(super) fn save_moved(&mut self, now: Mono, stored: Stored, out: &mut Vec<Action>) {
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
    pub(super) fn save_failed(&mut self, now: Mono, failure: Failure, out: &mut Vec<Action>) {
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

    pub(super) fn save_again(&mut self, stored: Stored, out: &mut Vec<Action>) {
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
    pub(super) fn looked(&mut self, now: Mono, stored: Option<Stored>, out: &mut Vec<Action>) {
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

    pub(super) fn latched(&mut self, now: Mono, out: &mut Vec<Action>) {
        let Phase::Latching(failure) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        // A refusal counts only against the generation that was tried (I6).
        if !self.missed.as_ref().is_some_and(|row| self.differs(row)) {
            self.end(now, failure, out);
        }
        self.finish(out);
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Action>) {
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
}

fn is_transport(failure: &Failure) -> bool {
    use crate::Class::{ConnectionReset, Timeout};
    matches!(failure.root().class, ConnectionReset | Timeout)
}
