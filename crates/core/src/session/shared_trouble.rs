//! What one process meets, the others that share the store know.

use super::tests::{failure, fresh, held, mono, now, passing, row};
use super::*;
use crate::failure::Class;

fn trouble(failures: u32, pause: u64, refused: bool) -> Trouble {
    Trouble {
        generation: Generation(1),
        failures,
        not_before: mono(pause),
        refused,
        failure: failure(Class::ServerError, Heal::RetryLater),
    }
}

fn troubled(trouble: Trouble) -> Stored {
    let mut row = row(1, 0);
    row.trouble = Some(trouble);
    row
}

fn notes(out: &[Action]) -> Vec<&Option<Trouble>> {
    out.iter()
        .filter_map(|action| match action {
            Action::Note(_, trouble) => Some(trouble),
            _ => None,
        })
        .collect()
}

fn expired_api(generation: u64) -> Input {
    Input::Refused {
        generation: Generation(generation),
        failure: Some(failure(Class::AccessExpired, Heal::Refresh)),
    }
}

/// A machine whose pair nothing can renew.
fn unrenewable() -> Machine {
    let mut machine = Machine::new("shop", Policy::default());
    let mut row = row(1, 0);
    row.held = Some(Held {
        renewable: false,
        ..held(1, 0)
    });
    machine.handle(now(0), Input::Changed(row));
    machine
}

#[test]
fn a_failed_exchange_is_told_under_the_lease() {
    let mut machine = fresh(Policy::default());
    machine.handle(now(LATE), Input::Tick);
    machine.handle(now(LATE), Input::LeaseGranted(row(1, 0)));
    machine.handle(now(LATE), Input::IntentWritten);
    let failed = passing(Class::ServerError, Sent::Answered);
    let out = machine.handle(now(LATE + 10), Input::Exchanged(failed));
    let [Some(told)] = notes(&out)[..] else {
        panic!("not told: {out:?}")
    };
    assert_eq!(told.failures, 1);
    assert_eq!(Some(told.not_before), machine.not_before());
    let (note, release) = (
        out.iter().position(|it| matches!(it, Action::Note(..))),
        out.iter().position(|it| *it == Action::Release),
    );
    assert!(note < release, "while the lease is held: {out:?}");
}

#[test]
fn a_pause_that_another_process_met_is_kept() {
    let mut machine = Machine::new("shop", Policy::default());
    machine.handle(now(0), Input::Changed(troubled(trouble(2, 90_000, false))));
    let out = machine.handle(now(61_000), Input::Wanted { min_valid_ms: 0 });
    assert!(!out.contains(&Action::Claim), "{out:?}");
    assert_eq!(machine.state(mono(61_000)), State::Expired);
    assert!(machine.failure().is_some(), "and it says why");
    let out = machine.handle(now(90_000), Input::Tick);
    assert!(out.contains(&Action::Claim), "{out:?}");
}

#[test]
fn a_pause_first_seen_under_the_lease_is_kept() {
    let mut machine = fresh(Policy::default());
    machine.handle(now(LATE), Input::Tick);
    let out = machine.handle(
        now(LATE),
        Input::LeaseGranted(troubled(trouble(1, 90_000, false))),
    );
    assert_eq!(out, vec![Action::Release]);
    assert_eq!(machine.not_before(), Some(mono(90_000)));
}

#[test]
fn a_refusal_that_another_process_met_counts_here() {
    let mut machine = fresh(Policy::default());
    assert!(machine.valid(mono(10)));
    machine.handle(now(10), Input::Changed(troubled(trouble(1, 90_000, true))));
    assert!(!machine.valid(mono(10)));
}

#[test]
fn trouble_of_an_older_generation_is_over() {
    let mut machine = fresh(Policy::default());
    let mut newer = row(2, 10);
    newer.trouble = Some(trouble(3, 90_000, true));
    machine.handle(now(10), Input::Changed(newer));
    assert!(machine.valid(mono(10)));
    assert_eq!(machine.not_before(), None);
}

#[test]
fn a_refused_token_that_nothing_renews_asks_for_a_login() {
    let mut machine = unrenewable();
    let out = machine.handle(now(10), expired_api(1));
    assert!(matches!(notes(&out)[..], [Some(told)] if told.refused));
    assert_eq!(machine.state(mono(10)), State::NeedsLogin);
    assert!(machine.doubted());
    assert!(machine.valid(mono(10)), "it is the only one there is");
    let out = machine.handle(
        now(20),
        Input::Accepted {
            generation: Generation(1),
        },
    );
    assert_eq!(notes(&out), vec![&None], "and that is told, too");
    assert_eq!(machine.state(mono(20)), State::Fresh);
}

#[test]
fn a_bare_401_is_no_reason_to_ask_for_a_login() {
    let mut machine = unrenewable();
    let bare = Input::Refused {
        generation: Generation(1),
        failure: Some(failure(Class::Unknown, Heal::Refresh)),
    };
    assert_eq!(machine.handle(now(10), bare), vec![]);
    assert_eq!(machine.state(mono(10)), State::Fresh);
}

/// When the pair of the tests is surely due.
const LATE: u64 = 55_000;

#[test]
fn a_failure_of_a_refresh_that_nobody_needs_is_forgotten() {
    let mut machine = fresh(Policy::default());
    machine.handle(now(10), Input::Forced);
    machine.handle(now(10), Input::LeaseGranted(row(1, 0)));
    machine.handle(now(10), Input::IntentWritten);
    let failed = passing(Class::ServerError, Sent::Answered);
    machine.handle(now(20), Input::Exchanged(failed));
    assert_eq!(machine.state(mono(20)), State::Degraded);
    let until = machine.not_before().expect("a pause");
    assert_eq!(machine.deadline(mono(20)), Some(until));
    let later = Now {
        mono: until,
        ..now(0)
    };
    assert_eq!(machine.handle(later, Input::Tick), vec![]);
    assert_eq!(machine.state(until), State::Fresh);
    assert_eq!(machine.failure(), None);
}

#[test]
fn what_an_api_answered_is_no_pause() {
    let mut machine = fresh(Policy::default());
    machine.handle(now(10), expired_api(1));
    machine.handle(now(10), Input::LeaseGranted(row(1, 0)));
    machine.handle(now(10), Input::IntentWritten);
    let failed = passing(Class::ServerError, Sent::Answered);
    machine.handle(now(20), Input::Exchanged(failed));
    let until = machine.not_before().expect("a pause");
    // The note of the answer is read back after the exchange it caused has failed.
    machine.handle(now(30), Input::Changed(troubled(trouble(0, 600_000, true))));
    assert_eq!(machine.not_before(), Some(until));
}
