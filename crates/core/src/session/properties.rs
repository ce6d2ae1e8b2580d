//! Random histories against what must never happen.

use proptest::prelude::*;

use super::tests::{
    failure, fresh, held, logged_out, lost_reply, mono, now, passing, refusal, row, store_down,
};
use super::*;
use crate::failure::Class;

/// What a random world does next; answers fit the question that is open.
#[derive(Clone, Debug)]
enum Move {
    Wait(u64),
    Wanted(u64),
    Forced,
    Refused(bool),
    Answer(u8),
    Login,
    Logout,
    StaleRow,
    Latch,
    /// Another process met trouble: so many failures, so long a pause, refused or not.
    Trouble(u32, u64, bool),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0u64..40_000).prop_map(Move::Wait),
        2 => (0u64..90_000).prop_map(Move::Wanted),
        1 => Just(Move::Forced),
        2 => any::<bool>().prop_map(Move::Refused),
        12 => any::<u8>().prop_map(Move::Answer),
        1 => Just(Move::Login),
        1 => Just(Move::Logout),
        1 => Just(Move::StaleRow),
        1 => Just(Move::Latch),
        1 => (1u32..5, 0u64..60_000, any::<bool>())
            .prop_map(|(failures, pause, refused)| Move::Trouble(failures, pause, refused)),
    ];
    prop::collection::vec(one, 1..120)
}

/// A machine with a store and a server that answer at random, and what must hold after every input.
struct World {
    machine: Machine,
    spends: bool,
    at: u64,
    row: Stored,
    /// The action that waits for its answer.
    open: Option<Action>,
    leased: bool,
    noted: Option<Generation>,
    store_failed: bool,
    refused_for_good: Option<Generation>,
    exchanging: bool,
}

impl World {
    fn new(spends: bool, lazy: bool) -> Self {
        let policy = Policy {
            spends,
            keep: if lazy { Keep::Lazy } else { Keep::Warm },
            ..Policy::default()
        };
        Self {
            machine: fresh(policy),
            spends,
            at: 0,
            row: row(1, 0),
            open: None,
            leased: false,
            noted: None,
            store_failed: false,
            refused_for_good: None,
            exchanging: false,
        }
    }

    fn feed(&mut self, input: Input) -> Result<(), TestCaseError> {
        let valid = self.machine.valid(mono(self.at));
        let keeps = matches!(
            input,
            Input::Exchanged(_)
                | Input::LeaseFailed(_)
                | Input::IntentFailed(_)
                | Input::SaveFailed(_)
                | Input::Looked(None)
                | Input::Latched
                | Input::LeaseHeld { .. }
        );
        let out = self.machine.handle(now(self.at), input);
        // A logout or a refusal that another process told meanwhile takes effect with the answer.
        let told = |trouble: &Trouble| trouble.refused && trouble.generation == self.row.generation;
        let refused = self.row.trouble.as_ref().is_some_and(told);
        if keeps && valid && self.row.held.is_some() && !refused {
            prop_assert!(self.machine.valid(mono(self.at)), "I7");
        }
        for action in out {
            self.act(action)?;
        }
        if self.machine.ended() {
            let latched = self.row.latch.is_some();
            let refused = self.refused_for_good == Some(self.machine.generation());
            prop_assert!(latched || refused, "ended without proof");
        }
        // The next turn is ahead, so that no driver spins.
        if let Some(next) = self.machine.deadline(mono(self.at)) {
            prop_assert!(
                next > mono(self.at),
                "wants a turn at {next:?}, it is {}",
                self.at
            );
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        match &action {
            Action::Exchange { generation, .. } => {
                prop_assert!(!self.exchanging, "two exchanges at a time");
                self.exchanging = true;
                let noted = self.leased && self.noted == Some(*generation);
                let allowed = !self.spends && self.store_failed;
                prop_assert!(noted || allowed, "sent without lease and note");
                prop_assert!(!self.machine.ended(), "sent after the end");
            }
            Action::Release => self.leased = false,
            Action::Note(generation, trouble) if *generation == self.row.generation => {
                self.row.trouble.clone_from(trouble);
            }
            // The one retry of unknown outcome comes at once.
            Action::WriteIntent(intent) if intent.attempts == 1 => {
                let pause = self
                    .row
                    .trouble
                    .as_ref()
                    .is_some_and(|trouble| trouble.not_before > mono(self.at));
                prop_assert!(!pause, "asks a server that is being left alone");
            }
            Action::ClearIntent(_) => (self.noted, self.row.intent) = (None, None),
            _ => {}
        }
        let question = matches!(
            action,
            Action::Claim
                | Action::WriteIntent(_)
                | Action::Exchange { .. }
                | Action::Save { .. }
                | Action::LookAgain
                | Action::Latch(_)
        );
        if question {
            prop_assert!(self.open.is_none(), "{:?} is not answered yet", self.open);
            self.open = Some(action);
        }
        Ok(())
    }

    fn answer(&mut self, roll: u8) -> Result<(), TestCaseError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let bad = roll.is_multiple_of(3);
        if matches!(open, Action::Claim | Action::WriteIntent(_)) {
            self.store_failed = bad;
        }
        let input = match open {
            Action::Claim if roll.is_multiple_of(7) => Input::LeaseHeld { for_ms: 5_000 },
            Action::Claim if bad => Input::LeaseFailed(store_down()),
            Action::Claim => {
                self.leased = true;
                Input::LeaseGranted(self.row.clone())
            }
            Action::WriteIntent(_) if bad => Input::IntentFailed(store_down()),
            Action::WriteIntent(intent) => {
                self.noted = Some(intent.generation);
                if intent.generation == self.row.generation && self.row.held.is_some() {
                    self.row.intent = Some(intent);
                }
                Input::IntentWritten
            }
            Action::Exchange { generation, .. } => {
                self.exchanging = false;
                Input::Exchanged(self.outcome(generation, roll))
            }
            Action::Save { expect } => self.save(expect, bad),
            Action::LookAgain => Input::Looked((!bad).then(|| self.row.clone())),
            _ => Input::Latched,
        };
        self.feed(input)
    }

    fn outcome(&mut self, generation: Generation, roll: u8) -> Outcome {
        match roll % 6 {
            0 => lost_reply(),
            1 => passing(Class::ServerError, Sent::Answered),
            2 => passing(Class::ServerError, Sent::Maybe),
            3 => {
                self.refused_for_good = Some(generation);
                refusal()
            }
            _ => Outcome::Granted(held(generation.0 + 1, self.at)),
        }
    }

    fn save(&mut self, expect: Generation, bad: bool) -> Input {
        if bad {
            Input::SaveFailed(store_down())
        } else if expect != self.row.generation || self.row.held.is_none() {
            Input::SaveMoved(self.row.clone())
        } else {
            self.row = row(expect.0 + 1, self.at);
            Input::Saved
        }
    }

    fn play(&mut self, one: &Move) -> Result<(), TestCaseError> {
        match *one {
            Move::Wait(ms) => {
                self.at += ms;
                self.feed(Input::Tick)
            }
            Move::Wanted(min_valid_ms) => self.feed(Input::Wanted { min_valid_ms }),
            Move::Forced => self.feed(Input::Forced),
            Move::Refused(current) => {
                let generation = self.machine.generation();
                let generation = if current { generation } else { Generation(0) };
                self.feed(Input::Refused {
                    generation,
                    failure: None,
                })
            }
            Move::Answer(roll) => self.answer(roll),
            Move::Login => {
                self.row = row(self.row.generation.0 + 1, self.at);
                self.feed(Input::Changed(self.row.clone()))
            }
            Move::Logout => {
                self.row = logged_out(self.row.generation.0);
                self.feed(Input::Changed(self.row.clone()))
            }
            Move::StaleRow => {
                let before = self.machine.generation();
                self.feed(Input::Changed(row(before.0.saturating_sub(1), 0)))?;
                prop_assert!(self.machine.generation() >= before, "went back");
                Ok(())
            }
            Move::Latch => {
                if let Some(held) = &self.row.held {
                    let why = failure(Class::RefreshRevoked, Heal::Relogin);
                    self.row.latch = held.fingerprint.map(|print| (print, why));
                }
                self.feed(Input::Changed(self.row.clone()))
            }
            Move::Trouble(failures, pause, refused) => {
                self.row.trouble = Some(Trouble {
                    generation: self.row.generation,
                    failures,
                    not_before: mono(self.at + pause),
                    refused,
                    failure: failure(Class::ServerError, Heal::RetryLater),
                });
                self.feed(Input::Changed(self.row.clone()))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_invariants(moves in moves(), spends: bool, lazy: bool) {
        let mut world = World::new(spends, lazy);
        for one in &moves {
            world.play(one)?;
        }
    }

    #[test]
    fn every_history_can_become_healthy(moves in moves(), spends: bool) {
        let mut world = World::new(spends, false);
        for one in &moves {
            world.play(one)?;
        }
        // Somebody logs in, and from now on everything is answered well.
        world.play(&Move::Login)?;
        for _ in 0..40 {
            while world.open.is_some() {
                world.answer(5)?;
            }
            world.play(&Move::Wait(2_000))?;
        }
        while world.open.is_some() {
            world.answer(5)?;
        }
        let state = world.machine.state(mono(world.at));
        prop_assert!(matches!(state, State::Fresh | State::Due), "{:?}", state);
        prop_assert!(!world.machine.unsaved());
    }
}
