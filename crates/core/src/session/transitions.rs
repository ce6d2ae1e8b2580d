//! Transitions that took a mistake to learn: old readings of the row, logouts of robots, tokens accepted first.

use super::{Action, Held, Input, IntentSeen, Keep, Machine, Outcome, Policy, State, Stored};
use crate::failure::{Class, Code, Failure, Heal, Who};
use crate::pair::{Fingerprint, Generation};
use crate::time::{Mono, Now, Wall};

const LIFE: u64 = 60_000;

fn at(ms: u64) -> Now {
    Now {
        mono: Mono(ms),
        wall: Wall(1_790_000_000_000 + ms as i64),
    }
}

fn print(generation: u64) -> Fingerprint {
    Fingerprint([u8::try_from(generation % 251).expect("below 251"); 32])
}

fn held(generation: u64, issued: u64) -> Held {
    Held {
        generation: Generation(generation),
        issued: Mono(issued),
        expires: Some(Mono(issued + LIFE)),
        refresh_at: None,
        refresh_expires: None,
        session_ends: None,
        renewable: true,
        fingerprint: Some(print(generation)),
    }
}

fn row(generation: u64, issued: u64) -> Stored {
    Stored {
        generation: Generation(generation),
        held: Some(held(generation, issued)),
        ..Stored::default()
    }
}

fn refusal() -> Failure {
    Failure::new(
        Code::RefreshRevoked,
        Class::RefreshRevoked,
        "test",
        Heal::Relogin,
        Who::User,
        "test",
    )
}

/// A session with generation 1, issued at 0.
fn machine(policy: Policy) -> Machine {
    let mut machine = Machine::new("shop", policy);
    machine.handle(at(1), Input::Changed(row(1, 0)));
    machine
}

fn lazy() -> Policy {
    Policy {
        keep: Keep::Lazy,
        ..Policy::default()
    }
}

/// Forces a refresh and goes as far as the exchange.
fn sending(policy: Policy) -> Machine {
    let mut machine = machine(policy);
    assert_eq!(machine.handle(at(10), Input::Forced), [Action::Claim]);
    let intent = IntentSeen {
        generation: Generation(1),
        attempts: 1,
    };
    assert_eq!(
        machine.handle(at(11), Input::LeaseGranted(row(1, 0))),
        [Action::WriteIntent(intent)]
    );
    let exchange = Action::Exchange {
        generation: Generation(1),
        unknown: false,
    };
    assert_eq!(machine.handle(at(12), Input::IntentWritten), [exchange]);
    machine
}

fn has(actions: &[Action], wanted: impl Fn(&Action) -> bool) -> bool {
    actions.iter().any(wanted)
}

#[test]
fn an_old_reading_of_the_row_does_not_lift_a_latch() {
    let mut machine = sending(lazy());
    // Read before the refusal was stored, delivered while the exchange ran.
    machine.handle(at(15), Input::Changed(row(1, 0)));
    machine.handle(at(20), Input::Exchanged(Outcome::Final(refusal())));
    machine.handle(at(21), Input::Looked(Some(row(1, 0))));
    machine.handle(at(22), Input::Latched);
    assert!(machine.ended());
    machine.handle(at(23), Input::Changed(row(1, 0)));
    assert!(machine.ended());
    machine.handle(at(24), Input::Changed(row(2, 24)));
    assert_eq!(machine.state(Mono(25)), State::Fresh, "a login does");
}

#[test]
fn a_token_refused_again_at_once_is_not_renewed_again() {
    let mut machine = machine(lazy());
    assert!(has(
        &machine.handle(
            at(10),
            Input::Refused {
                generation: Generation(1),
                failure: None,
            }
        ),
        |a| *a == Action::Claim
    ));
    machine.handle(at(11), Input::LeaseGranted(row(1, 0)));
    machine.handle(at(12), Input::IntentWritten);
    machine.handle(at(13), Input::Exchanged(Outcome::Granted(held(2, 12))));
    machine.handle(at(14), Input::Saved);
    assert!(
        machine
            .handle(
                at(20),
                Input::Refused {
                    generation: Generation(2),
                    failure: None,
                }
            )
            .is_empty()
    );
    assert!(machine.valid(Mono(21)), "others are still served");
    assert!(
        machine
            .handle(
                at(25),
                Input::Refused {
                    generation: Generation(1),
                    failure: None,
                }
            )
            .is_empty(),
        "an old token"
    );
    // Accepted in between and refused a while later: that is news.
    machine.handle(
        at(30),
        Input::Accepted {
            generation: Generation(2),
        },
    );
    assert!(has(
        &machine.handle(
            at(3_000),
            Input::Refused {
                generation: Generation(2),
                failure: None,
            }
        ),
        |a| *a == Action::Claim
    ));
}

#[test]
fn the_store_s_word_that_nobody_is_logged_in_starts_nothing() {
    let policy = Policy {
        self_login: true,
        ..Policy::default()
    };
    let mut first = Machine::new("job", policy.clone());
    assert!(
        has(
            &first.handle(at(1), Input::Changed(Stored::default())),
            |a| *a == Action::Claim
        ),
        "logs itself in"
    );
    let mut gone = Machine::new("job", policy);
    let logged_out = Stored {
        generation: Generation(4),
        ..Stored::default()
    };
    assert!(
        gone.handle(at(1), Input::Changed(logged_out)).is_empty(),
        "but not after a logout"
    );
    assert_eq!(gone.state(Mono(2)), State::Empty);
}

#[test]
fn a_row_read_before_a_login_does_not_undo_it() {
    let mut machine = machine(Policy::default());
    machine.handle(at(55_000), Input::Tick);
    machine.handle(at(55_001), Input::Changed(row(2, 55_000)));
    let out = machine.handle(at(55_002), Input::LeaseGranted(row(1, 0)));
    assert_eq!(out, vec![Action::Release, Action::Claim]);
    assert_eq!(machine.generation(), Generation(2));
    // Read again, it is no race but a store that was rolled back.
    machine.handle(at(55_003), Input::LeaseGranted(row(1, 0)));
    assert_eq!(machine.generation(), Generation(1));
}
