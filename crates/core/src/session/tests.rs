//! The documented transitions, one by one.

use super::*;
use crate::failure::{Class, Code, Who};
use crate::pair::Fingerprint;
use crate::time::Wall;

pub(super) const LIFE: u64 = 60_000;
pub(super) const START: u64 = 1_000_000;

pub(super) fn now(ms: u64) -> Now {
    Now {
        mono: Mono(START + ms),
        wall: Wall(0),
    }
}

pub(super) fn mono(ms: u64) -> Mono {
    now(ms).mono
}

pub(super) fn print(number: u64) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Fingerprint(bytes)
}

pub(super) fn held(generation: u64, issued: u64) -> Held {
    Held {
        generation: Generation(generation),
        issued: mono(issued),
        expires: Some(mono(issued + LIFE)),
        refresh_at: None,
        refresh_expires: None,
        session_ends: None,
        renewable: true,
        fingerprint: Some(print(generation)),
    }
}

pub(super) fn row(generation: u64, issued: u64) -> Stored {
    Stored {
        generation: Generation(generation),
        held: Some(held(generation, issued)),
        ..Stored::default()
    }
}

pub(super) fn noted(mut row: Stored) -> Stored {
    row.intent = Some(IntentSeen {
        generation: row.generation,
        attempts: 1,
    });
    row
}

pub(super) fn logged_out(generation: u64) -> Stored {
    Stored {
        generation: Generation(generation),
        ..Stored::default()
    }
}

pub(super) fn failure(class: Class, heal: Heal) -> Failure {
    Failure::new(Code::RefreshFailed, class, "test", heal, Who::Tenure, "")
}

pub(super) fn store_down() -> Failure {
    failure(Class::StoreUnavailable, Heal::RetryLater)
}

pub(super) fn refusal() -> Outcome {
    Outcome::Final(failure(Class::RefreshRevoked, Heal::Relogin))
}

pub(super) fn lost_reply() -> Outcome {
    passing(Class::Timeout, Sent::Maybe)
}

pub(super) fn passing(class: Class, sent: Sent) -> Outcome {
    Outcome::Passing {
        failure: failure(class, Heal::RetryLater),
        retry_after_ms: None,
        sent,
    }
}

/// A machine with a pair of generation 1, issued at 0.
pub(super) fn fresh(policy: Policy) -> Machine {
    let mut machine = Machine::new("shop", policy);
    let out = machine.handle(now(0), Input::Changed(row(1, 0)));
    assert!(out.contains(&Action::Adopt(Generation(1))), "{out:?}");
    machine
}

pub(super) fn warm() -> Machine {
    fresh(Policy::default())
}

pub(super) fn lazy() -> Machine {
    fresh(Policy {
        keep: Keep::Lazy,
        ..Policy::default()
    })
}

/// Up to where the exchange of generation 1 is under way, from a forced refresh at `at`.
pub(super) fn exchanging(machine: &mut Machine, at: u64) {
    assert_eq!(
        machine.handle(now(at), Input::Forced),
        vec![Action::Claim],
        "a forced refresh claims"
    );
    let out = machine.handle(now(at), Input::LeaseGranted(row(1, 0)));
    assert!(matches!(out[..], [Action::WriteIntent(_)]), "{out:?}");
    let out = machine.handle(now(at), Input::IntentWritten);
    assert!(exchanges(&out), "{out:?}");
}

pub(super) fn exchanges(out: &[Action]) -> bool {
    out.iter()
        .any(|action| matches!(action, Action::Exchange { .. }))
}

pub(super) fn has(out: &[Action], wanted: &Action) -> bool {
    out.contains(wanted)
}

#[test]
fn a_refresh_claims_notes_sends_saves_and_then_shows() {
    let mut machine = warm();
    let due = machine.due_at().expect("due").0 - START;
    assert_eq!(machine.state(mono(due - 1)), State::Fresh);
    assert_eq!(machine.handle(now(due), Input::Tick), vec![Action::Claim]);
    machine.handle(now(due), Input::LeaseGranted(row(1, 0)));
    machine.handle(now(due), Input::IntentWritten);
    let out = machine.handle(now(due), Input::Exchanged(Outcome::Granted(held(2, due))));
    let expect = Generation(1);
    assert_eq!(out, vec![Action::Save { expect }]);
    assert_eq!(
        machine.generation(),
        Generation(1),
        "not shown before saved"
    );
    let out = machine.handle(now(due), Input::Saved);
    assert!(has(&out, &Action::Publish) && has(&out, &Action::Release));
    assert_eq!(machine.generation(), Generation(2));
    assert_eq!(machine.state(mono(due)), State::Fresh);
}

#[test]
fn a_lost_reply_is_retried_at_once_and_once() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    let out = machine.handle(now(15_000), Input::Exchanged(lost_reply()));
    let again = IntentSeen {
        generation: Generation(1),
        attempts: 2,
    };
    assert!(has(&out, &Action::WriteIntent(again)), "{out:?}");
    let out = machine.handle(now(15_000), Input::IntentWritten);
    let retry = Action::Exchange {
        generation: Generation(1),
        unknown: true,
    };
    assert!(has(&out, &retry), "{out:?}");
    let out = machine.handle(now(30_000), Input::Exchanged(lost_reply()));
    assert!(!out.iter().any(|a| matches!(a, Action::WriteIntent(_))));
    assert!(has(&out, &Action::Release), "{out:?}");
    assert!(machine.valid(mono(30_000)), "I7");
    assert!(machine.not_before().is_some_and(|at| at > mono(30_000)));
}

#[test]
fn a_retry_whose_note_cannot_be_written_is_tried_again_later() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(5_000), Input::Exchanged(lost_reply()));
    machine.handle(now(5_000), Input::IntentFailed(store_down()));
    let later = machine.not_before().expect("backs off").0 - START;
    let out = machine.handle(now(later), Input::Tick);
    assert_eq!(out, vec![Action::Claim], "the first note still stands");
}

#[test]
fn an_answer_that_nothing_happened_clears_the_note() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    let answered = passing(Class::ServerError, Sent::Answered);
    let out = machine.handle(now(20), Input::Exchanged(answered));
    assert!(has(&out, &Action::ClearIntent(Generation(1))), "{out:?}");
    assert_eq!(machine.state(mono(20)), State::Degraded);
}

#[test]
fn backoff_doubles_with_jitter_up_to_its_most() {
    let mut machine = warm();
    let mut at = LIFE;
    let mut waits = Vec::new();
    machine.handle(now(at), Input::Tick);
    for _ in 0..10 {
        machine.handle(now(at), Input::LeaseFailed(store_down()));
        let until = machine.not_before().expect("backs off").0 - START;
        waits.push(until - at);
        assert_eq!(machine.handle(now(until - 1), Input::Tick), vec![]);
        at = until;
        assert_eq!(machine.handle(now(at), Input::Tick), vec![Action::Claim]);
    }
    for (n, wait) in waits.iter().enumerate() {
        let full = (1_000u64 << n).min(60_000);
        assert!((full * 3 / 4..=full).contains(wait), "{waits:?}");
    }
}

#[test]
fn retry_after_is_honoured() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    let busy = Outcome::Passing {
        failure: failure(Class::RateLimited, Heal::RetryLater),
        retry_after_ms: Some(20_000),
        sent: Sent::Answered,
    };
    machine.handle(now(100), Input::Exchanged(busy));
    assert!(machine.not_before() >= Some(mono(20_100)));
}

#[test]
fn an_unsaved_pair_is_served_and_saved_again() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(20), Input::Exchanged(Outcome::Granted(held(2, 10))));
    let out = machine.handle(now(20), Input::SaveFailed(store_down()));
    assert!(has(&out, &Action::Publish) && has(&out, &Action::SaveSpare));
    assert!(machine.unsaved() && machine.valid(mono(20)));
    let at = machine.deadline(mono(20)).expect("saves again").0 - START;
    assert_eq!(machine.handle(now(at), Input::Tick), vec![Action::Claim]);
    let out = machine.handle(now(at), Input::LeaseGranted(noted(row(1, 0))));
    let expect = Generation(1);
    assert_eq!(out, vec![Action::Save { expect }], "no second exchange");
    let out = machine.handle(now(at), Input::Saved);
    assert!(has(&out, &Action::Emit(Event::SavedLate(Generation(2)))));
    assert!(!machine.unsaved());
    assert_eq!(machine.state(mono(at)), State::Fresh);
}

#[test]
fn a_wish_during_saving_outlives_it() {
    let mut machine = lazy();
    exchanging(&mut machine, 10);
    machine.handle(now(20), Input::Exchanged(Outcome::Granted(held(2, 10))));
    machine.handle(now(20), Input::SaveFailed(store_down()));
    let at = LIFE + 100;
    machine.handle(now(at), Input::Wanted { min_valid_ms: 0 });
    machine.handle(now(at), Input::LeaseGranted(row(1, 0)));
    let out = machine.handle(now(at), Input::Saved);
    assert!(has(&out, &Action::Claim), "expired and wanted: {out:?}");
}

#[test]
fn a_first_pair_that_cannot_be_saved_is_not_thrown_away() {
    let mut machine = Machine::new(
        "robot",
        Policy {
            spends: false,
            self_login: true,
            ..Policy::default()
        },
    );
    assert_eq!(machine.handle(now(0), Input::Tick), vec![Action::Claim]);
    // The store can be read but not written.
    let out = machine.handle(now(0), Input::LeaseFailed(store_down()));
    assert!(exchanges(&out), "nothing is spent, so it goes on: {out:?}");
    machine.handle(now(9), Input::Exchanged(Outcome::Granted(held(1, 0))));
    machine.handle(now(9), Input::SaveMoved(logged_out(0)));
    assert!(machine.valid(mono(9)) && machine.unsaved());
    let at = machine.deadline(mono(9)).expect("saves again").0 - START;
    machine.handle(now(at), Input::Tick);
    let out = machine.handle(now(at), Input::LeaseGranted(logged_out(0)));
    assert!(matches!(out[..], [Action::Save { .. }]), "{out:?}");
}

#[test]
fn a_lazy_robot_waits_until_it_is_wanted() {
    let mut machine = Machine::new(
        "robot",
        Policy {
            keep: Keep::Lazy,
            spends: false,
            self_login: true,
            ..Policy::default()
        },
    );
    assert_eq!(machine.handle(now(0), Input::Tick), vec![]);
    assert_eq!(machine.deadline(mono(0)), None);
    assert_eq!(machine.state(mono(0)), State::Due, "and nothing is wrong");
    let out = machine.handle(now(1), Input::Wanted { min_valid_ms: 0 });
    assert_eq!(out, vec![Action::Claim]);
}

#[test]
fn who_waits_for_the_lease_adopts_what_its_holder_stored() {
    let mut machine = warm();
    machine.handle(now(10), Input::Forced);
    machine.handle(now(10), Input::LeaseHeld { for_ms: 9_000 });
    assert!(machine.running());
    assert_eq!(machine.deadline(mono(10)), Some(mono(1_010)));
    let out = machine.handle(now(300), Input::Changed(row(2, 200)));
    assert!(has(&out, &Action::Adopt(Generation(2))));
    assert!(!has(&out, &Action::Claim), "the wish is fulfilled: {out:?}");
    assert!(!machine.running());
}

#[test]
fn an_adopted_pair_fulfils_wishes_made_for_the_former_one() {
    // While claiming …
    let mut machine = warm();
    machine.handle(now(10), Input::Forced);
    machine.handle(now(20), Input::Changed(row(2, 15)));
    let out = machine.handle(now(30), Input::LeaseGranted(row(2, 15)));
    assert_eq!(out, vec![Action::Release]);
    // … while backing off …
    let mut machine = warm();
    machine.handle(now(10), Input::Forced);
    machine.handle(now(10), Input::LeaseFailed(store_down()));
    machine.handle(now(11), Input::Forced);
    let out = machine.handle(now(20), Input::Changed(row(2, 15)));
    assert!(!has(&out, &Action::Claim), "{out:?}");
    // … and after the end.
    let mut machine = ended();
    machine.handle(now(50), Input::Forced);
    let out = machine.handle(now(60), Input::Changed(row(2, 55)));
    assert!(!has(&out, &Action::Claim), "{out:?}");
    assert_eq!(machine.state(mono(60)), State::Fresh);
}

/// A machine whose generation 1 was refused for good; the latch could not be stored.
fn ended() -> Machine {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    let out = machine.handle(now(20), Input::Exchanged(refusal()));
    assert_eq!(out, vec![Action::LookAgain]);
    let out = machine.handle(now(20), Input::Looked(Some(noted(row(1, 0)))));
    assert!(matches!(out[..], [Action::Latch(_)]), "{out:?}");
    let out = machine.handle(now(20), Input::Latched);
    assert!(
        out.iter()
            .any(|a| matches!(a, Action::Emit(Event::Ended(_))))
    );
    machine
}

#[test]
fn a_refusal_ends_the_session_even_if_it_cannot_be_stored() {
    let mut machine = ended();
    assert_eq!(machine.state(mono(20)), State::NeedsLogin);
    machine.handle(now(30), Input::Changed(row(1, 0)));
    assert!(machine.ended(), "an old reading unmakes nothing");
    let out = machine.handle(now(LIFE), Input::Wanted { min_valid_ms: 0 });
    assert!(!has(&out, &Action::Claim), "{out:?}");
    machine.handle(now(LIFE), Input::Changed(row(2, LIFE)));
    assert!(!machine.ended(), "a login heals it");
}

#[test]
fn a_latch_of_another_process_ends_the_session_here() {
    let mut machine = warm();
    let mut latched = row(1, 0);
    let why = failure(Class::RefreshRevoked, Heal::Relogin);
    latched.latch = Some((print(1), why));
    machine.handle(now(5), Input::Changed(latched));
    assert_eq!(machine.state(mono(5)), State::NeedsLogin);
    let expired = Action::Emit(Event::Expired(Generation(1), true));
    assert_eq!(machine.handle(now(LIFE), Input::Forced), vec![expired]);
    let mut foreign = warm();
    let mut other = row(1, 0);
    other.latch = Some((print(9), failure(Class::RefreshRevoked, Heal::Relogin)));
    foreign.handle(now(5), Input::Changed(other));
    assert!(!foreign.ended(), "another token's latch is not ours");
}

#[test]
fn a_refusal_of_an_old_generation_ends_nothing() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(20), Input::Exchanged(refusal()));
    let out = machine.handle(now(20), Input::Looked(Some(row(2, 15))));
    assert!(has(&out, &Action::Adopt(Generation(2))));
    assert!(!machine.ended());
    // The login comes while the refusal is being stored.
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(20), Input::Exchanged(refusal()));
    machine.handle(now(20), Input::Looked(Some(row(1, 0))));
    machine.handle(now(21), Input::Changed(row(2, 15)));
    let out = machine.handle(now(22), Input::Latched);
    assert!(
        !out.iter()
            .any(|a| matches!(a, Action::Emit(Event::Ended(_)))),
        "{out:?}"
    );
    assert_eq!(machine.state(mono(22)), State::Fresh);
}

#[test]
fn without_a_second_look_there_is_no_final_word() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(20), Input::Exchanged(refusal()));
    machine.handle(now(20), Input::Looked(None));
    assert!(!machine.ended());
    assert!(machine.valid(mono(20)));
}

#[test]
fn a_login_during_an_exchange_wins() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(15), Input::Changed(row(2, 14)));
    machine.handle(now(20), Input::Exchanged(Outcome::Granted(held(2, 10))));
    let out = machine.handle(now(20), Input::SaveMoved(row(2, 14)));
    assert!(has(&out, &Action::Adopt(Generation(2))));
    assert!(!has(&out, &Action::Publish));
    assert_eq!(machine.held(), Some(&held(2, 14)));
}

#[test]
fn a_logout_during_an_exchange_wins() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(20), Input::Exchanged(Outcome::Granted(held(2, 10))));
    let out = machine.handle(now(20), Input::SaveMoved(logged_out(1)));
    assert!(has(&out, &Action::Forget), "{out:?}");
    assert_eq!(machine.state(mono(20)), State::Empty);
    assert!(!machine.unsaved());
}

#[test]
fn a_fenced_save_with_nothing_newer_stored_keeps_the_pair() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(20), Input::Exchanged(Outcome::Granted(held(2, 10))));
    let out = machine.handle(now(20), Input::SaveMoved(noted(row(1, 0))));
    assert!(has(&out, &Action::Publish) && has(&out, &Action::SaveSpare));
    assert_eq!(machine.generation(), Generation(2));
    assert!(machine.unsaved());
}

#[test]
fn an_unreadable_row_is_no_logout() {
    let blank = || Stored {
        generation: Generation(1),
        unreadable: Some(failure(Class::StoreUnavailable, Heal::FixConfig)),
        ..Stored::default()
    };
    let mut machine = warm();
    let out = machine.handle(now(5), Input::Changed(blank()));
    assert!(!has(&out, &Action::Forget));
    assert!(machine.valid(mono(5)), "I7");
    assert_eq!(machine.state(mono(5)), State::NeedsOperator);
    machine.handle(now(6), Input::Changed(row(1, 0)));
    assert_eq!(machine.state(mono(6)), State::Fresh);
    // Nor does it cost the pair that an exchange brought.
    exchanging(&mut machine, 10);
    machine.handle(now(20), Input::Exchanged(Outcome::Granted(held(2, 10))));
    machine.handle(now(20), Input::SaveMoved(blank()));
    assert_eq!(machine.generation(), Generation(2));
    assert!(machine.unsaved());
}

#[test]
fn changes_that_come_out_of_order_lose_nothing() {
    let mut machine = warm();
    exchanging(&mut machine, 10);
    machine.handle(now(12), Input::Changed(row(3, 11)));
    machine.handle(now(13), Input::Changed(row(1, 0)));
    let nothing = passing(Class::ServerError, Sent::Answered);
    let out = machine.handle(now(14), Input::Exchanged(nothing));
    assert!(has(&out, &Action::Adopt(Generation(3))), "{out:?}");
}

#[test]
fn an_older_row_is_never_adopted_from_a_change() {
    let mut machine = fresh(Policy::default());
    machine.handle(now(1), Input::Changed(row(5, 1)));
    assert_eq!(machine.handle(now(2), Input::Changed(row(4, 0))), vec![]);
    assert_eq!(machine.generation(), Generation(5));
}

#[test]
fn nothing_is_sent_under_a_lease_that_may_be_over() {
    let mut machine = warm();
    machine.handle(now(10), Input::Forced);
    let out = machine.handle(now(20_000), Input::LeaseGranted(row(1, 0)));
    assert_eq!(out, vec![Action::Release, Action::Claim]);
    machine.handle(now(20_000), Input::LeaseGranted(row(1, 0)));
    let out = machine.handle(now(40_000), Input::IntentWritten);
    let over = [
        Action::ClearIntent(Generation(1)),
        Action::Release,
        Action::Claim,
    ];
    assert_eq!(out, over, "stopped between note and send");
}

#[test]
fn an_unreachable_store_lets_no_rotating_token_be_spent() {
    let mut machine = warm();
    machine.handle(now(10), Input::Forced);
    let out = machine.handle(now(10), Input::LeaseFailed(store_down()));
    assert!(!exchanges(&out));
    let mut other = fresh(Policy {
        spends: false,
        ..Policy::default()
    });
    other.handle(now(10), Input::Forced);
    assert!(exchanges(
        &other.handle(now(10), Input::LeaseFailed(store_down()))
    ));
}

#[test]
fn a_cause_that_went_away_sends_nothing() {
    let mut machine = fresh(Policy {
        spends: false,
        ..Policy::default()
    });
    machine.handle(now(10), Input::Forced);
    machine.handle(now(11), Input::Changed(row(2, 10)));
    let out = machine.handle(now(12), Input::LeaseFailed(store_down()));
    assert!(!exchanges(&out), "{out:?}");
}

#[test]
fn refusals_of_a_new_token_are_bounded() {
    let mut machine = warm();
    let refused = |generation| Input::Refused {
        generation: Generation(generation),
        failure: None,
    };
    let out = machine.handle(now(10), refused(1));
    assert!(has(&out, &Action::Claim));
    assert!(!machine.valid(mono(10)), "nobody is given a refused token");
    machine.handle(now(10), Input::LeaseGranted(row(1, 0)));
    machine.handle(now(10), Input::IntentWritten);
    machine.handle(now(20), Input::Exchanged(Outcome::Granted(held(2, 10))));
    machine.handle(now(20), Input::Saved);
    assert!(!machine.heals_refusal(mono(30), Generation(2)));
    let out = machine.handle(now(30), refused(2));
    assert_eq!(out, vec![], "no refresh heals this");
    assert!(machine.heals_refusal(mono(20_000), Generation(2)));
    let out = machine.handle(now(20_000), refused(1));
    assert_eq!(out, vec![], "not about the current token");
}

#[test]
fn a_token_that_lived_long_and_is_refused_is_renewed_once() {
    let mut machine = warm();
    let refused = |generation| Input::Refused {
        generation: Generation(generation),
        failure: None,
    };
    let out = machine.handle(now(60_000), refused(1));
    assert!(has(&out, &Action::Claim));
    machine.handle(now(60_000), Input::LeaseGranted(row(1, 0)));
    machine.handle(now(60_000), Input::IntentWritten);
    let granted = Input::Exchanged(Outcome::Granted(held(2, 60_000)));
    machine.handle(now(60_010), granted);
    machine.handle(now(60_020), Input::Saved);
    assert!(!machine.heals_refusal(mono(60_030), Generation(2)));
    let out = machine.handle(now(60_030), refused(2));
    assert_eq!(out, vec![], "no refresh heals this");
}

#[test]
fn two_processes_do_not_take_turns_with_an_api_that_refuses_everything() {
    let mut machine = warm();
    machine.handle(
        now(10),
        Input::Refused {
            generation: Generation(1),
            failure: None,
        },
    );
    machine.handle(now(11), Input::LeaseHeld { for_ms: 1_000 });
    machine.handle(now(20), Input::Changed(row(2, 15)));
    assert!(
        !machine.heals_refusal(mono(30), Generation(2)),
        "the bound counts for adopted pairs, too"
    );
}

#[test]
fn lazy_refreshes_when_wanted_and_only_then() {
    let mut machine = lazy();
    let due = machine.due_at().expect("due").0 - START;
    machine.handle(now(5), Input::Wanted { min_valid_ms: 0 });
    assert!(
        !has(&machine.handle(now(due), Input::Tick), &Action::Claim),
        "that wish was fulfilled long ago"
    );
    assert_eq!(
        machine.handle(now(due), Input::Wanted { min_valid_ms: 0 }),
        vec![Action::Claim]
    );
    let mut machine = lazy();
    let intent = Input::Changed(noted(row(1, 0)));
    assert_eq!(machine.handle(now(1), intent), vec![], "not even a retry");
}

#[test]
fn a_warm_session_takes_up_an_interrupted_exchange_at_once() {
    let mut machine = Machine::new("shop", Policy::default());
    let out = machine.handle(now(0), Input::Changed(noted(row(1, 0))));
    assert!(has(&out, &Action::Claim));
    let out = machine.handle(now(1), Input::LeaseGranted(noted(row(1, 0))));
    let event = Action::Emit(Event::UnknownOutcome(Generation(1)));
    assert!(has(&out, &event), "{out:?}");
}

#[test]
fn asking_for_more_than_a_life_does_not_refresh_again_and_again() {
    let mut machine = warm();
    let long = || Input::Wanted {
        min_valid_ms: 10 * LIFE,
    };
    assert_eq!(machine.handle(now(10), long()), vec![]);
    assert_eq!(machine.handle(now(10_000), long()), vec![Action::Claim]);
}
