//! What others did to the row: a newer pair, a login, a logout, a latch.

use super::{Action, Event, Held, Machine, Phase, Stored, Trouble};
use crate::failure::Failure;
use crate::time::Mono;

impl Machine {
    pub(super) fn changed(&mut self, stored: Stored, out: &mut Vec<Action>) {
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
                if self
                    .missed
                    .as_ref()
                    .is_none_or(|row| row.generation <= stored.generation)
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
    pub(super) fn take_over(&mut self, stored: Stored, out: &mut Vec<Action>) {
        self.unknown = false;
        self.unsaved = false;
        if let Some(held) = stored.held.clone() {
            let generation = held.generation;
            self.install(held);
            out.push(Action::Adopt(generation));
            out.push(Action::Emit(Event::Adopted(generation)));
        } else {
            let had = self.held.take().is_some();
            self.healthy();
            self.refused = false;
            self.generation = stored.generation;
            if had {
                out.push(Action::Forget);
                out.push(Action::Emit(Event::LoggedOut));
            }
        }
        self.note_row(&stored);
    }

    /// Latch, intent and readability of the row of our own generation.
    pub(super) fn note_row(&mut self, stored: &Stored) {
        self.intent = stored.intent;
        self.unreadable.clone_from(&stored.unreadable);
        let ours = self.held.as_ref().and_then(|held| held.fingerprint);
        self.share(stored.trouble.as_ref());
        // Never unset here: only a login or a logout clears a latch, and a row without it may be an old reading.
        if let Some((fingerprint, failure)) = &stored.latch
            && Some(*fingerprint) == ours
            && self.forgiven != ours
        {
            self.ended = Some(failure.clone());
            if std::mem::replace(&mut self.policy.second_try, false) {
                self.second_try();
            }
        }
    }

    /// What others met with our own generation counts here, too: the server is asked no sooner than they would.
    fn share(&mut self, trouble: Option<&Trouble>) {
        let known = self.held.is_some() || self.logs_itself_in();
        let Some(trouble) = trouble.filter(|it| known && it.generation == self.generation) else {
            self.doubt = None;
            if !self.refused {
                self.observed = None;
            }
            return;
        };
        let renewable = self.held.as_ref().is_none_or(|held| held.renewable);
        if !renewable || (trouble.failures == 0 && !trouble.refused) {
            self.share_answer(trouble);
            return;
        }
        if trouble.refused && !self.refused {
            self.refused = true;
            self.refused_plainly = true;
            self.refusals = self.refusals.saturating_add(1);
            self.observed = Some((trouble.failure.clone(), trouble.not_before));
        }
        if trouble.failures > self.failures {
            self.failures = trouble.failures;
            self.failure = Some(trouble.failure.clone());
        }
        // Without a failed exchange it is how long an API's answer is shown, and no pause.
        if trouble.failures > 0 {
            self.not_before = self.not_before.max(Some(trouble.not_before));
        }
    }

    pub(super) fn install(&mut self, held: Held) {
        self.generation = held.generation;
        // A token that lived long enough starts the count anew. Only then: several processes that adopt each
        // other's pairs would else take turns for ever with an API that refuses whatever it is shown.
        let lived = self
            .held
            .as_ref()
            .map_or(u64::MAX, |old| held.issued.since(old.issued));
        if lived >= self.refusal_wait_ms() {
            // The refusal that brought this pair is the first of the new count.
            self.refusals = u32::from(self.refused);
        }
        // Whatever was asked of the former pair is answered by this one.
        self.forced = false;
        self.wanted = false;
        self.held = Some(held);
        self.refused = false;
        self.accepted = false;
        self.intent = None;
        self.unknown = false;
        self.announced = false;
        self.expiry_told = false;
        self.told.clear();
        self.forgiven = None;
        self.healthy();
    }

    pub(super) fn healthy(&mut self) {
        self.failures = 0;
        self.failure = None;
        self.doubt = None;
        self.observed = None;
        self.ended = None;
        self.tried_again = None;
        self.not_before = None;
    }

    pub(super) fn end(&mut self, now: Mono, failure: Failure, out: &mut Vec<Action>) {
        self.ended = Some(failure.clone());
        self.forgiven = None;
        self.note_refused(now, &failure, out);
        if self.tried_again.take() != Some(failure.root().code) {
            out.push(Action::Emit(Event::Ended(failure)));
        }
    }
}

/// Nothing is known of such a row but that it is there: what is in memory goes on while it is valid.
pub(super) fn blank(stored: &Stored) -> bool {
    stored.unreadable.is_some() && stored.held.is_none()
}
