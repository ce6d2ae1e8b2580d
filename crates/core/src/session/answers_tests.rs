//! What APIs answer: shown to everybody, lifted by the answer that proves it wrong, and never an end.

use super::tests::{failure, fresh, held, mono, now, row};
use super::*;
use crate::failure::Class;

const GENERATION: Generation = Generation(1);

fn observed(class: Class, heal: Heal) -> Input {
    Input::Observed {
        generation: GENERATION,
        failure: failure(class, heal),
    }
}

fn events(actions: &[Action]) -> Vec<&Event> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Emit(event) => Some(event),
            _ => None,
        })
        .collect()
}

fn noted(actions: &[Action]) -> Option<&Trouble> {
    actions.iter().find_map(|action| match action {
        Action::Note(_, trouble) => trouble.as_ref(),
        _ => None,
    })
}

fn shown(machine: &Machine) -> Option<Class> {
    machine.failure().map(|failure| failure.class)
}

#[test]
fn a_missing_scope_is_shown_told_once_and_changes_nothing() {
    let mut machine = fresh(Policy::default());
    let scope = || observed(Class::InsufficientScope, Heal::RequestScope);
    let out = machine.handle(now(10), scope());
    assert!(matches!(events(&out)[..], [Event::Observed(_)]), "{out:?}");
    assert!(noted(&out).is_some_and(|trouble| !trouble.refused && trouble.failures == 0));
    assert_eq!(machine.handle(now(20), scope()), [], "told already");
    assert_eq!(shown(&machine), Some(Class::InsufficientScope));
    assert_eq!(machine.state(mono(20)), State::Fresh);
    assert!(machine.valid(mono(20)) && !machine.doubted());
    let generation = GENERATION;
    machine.handle(now(30), Input::Accepted { generation });
    assert_eq!(
        shown(&machine),
        Some(Class::InsufficientScope),
        "another path proves nothing"
    );
    machine.handle(now(601_000), Input::Tick);
    assert_eq!(shown(&machine), None, "nobody met it for long");
}

#[test]
fn a_lost_header_is_the_operator_s_until_a_token_arrives() {
    let mut machine = fresh(Policy::default());
    machine.handle(now(10), observed(Class::AccessMissing, Heal::FixConfig));
    assert_eq!(machine.state(mono(10)), State::NeedsOperator);
    assert!(!machine.doubted(), "nothing is wrong with the token (I7)");
    let generation = GENERATION;
    let out = machine.handle(now(20), Input::Accepted { generation });
    assert_eq!(out, [Action::Note(GENERATION, None)]);
    assert_eq!(
        (machine.state(mono(20)), shown(&machine)),
        (State::Fresh, None)
    );
}

#[test]
fn a_token_of_another_server_is_given_to_nobody_but_sent_on() {
    let mut machine = fresh(Policy::default());
    let out = machine.handle(now(10), observed(Class::WrongIssuer, Heal::FixConfig));
    assert!(
        matches!(events(&out)[..], [Event::Refused(_, Some(_))]),
        "{out:?}"
    );
    assert!(machine.doubted() && machine.valid(mono(10)));
    assert_eq!(machine.state(mono(10)), State::NeedsOperator);
    // Another process that reads the note does the same, and starts no exchange for it (I13).
    let mut other = fresh(Policy::default());
    let mut told = row(1, 0);
    told.trouble = noted(&out).cloned();
    assert_eq!(other.handle(now(20), Input::Changed(told)), []);
    assert!(other.doubted());
}

#[test]
fn a_newer_token_refused_as_well_names_the_step_after_a_refresh() {
    let mut machine = fresh(Policy::default());
    let out = machine.handle(now(10), observed(Class::AccessInvalid, Heal::Refresh));
    assert!(matches!(events(&out)[..], [Event::Observed(_)]), "{out:?}");
    let said = machine.failure().expect("shown");
    assert_eq!(said.heal, Heal::Relogin);
    assert_eq!(said.command.as_deref(), Some("tenure login shop"));
    assert_eq!(machine.state(mono(10)), State::Degraded);
}

#[test]
fn a_refusal_is_shown_and_told_while_its_cure_is_under_way() {
    let mut machine = fresh(Policy::default());
    let refused = Input::Refused {
        generation: GENERATION,
        failure: Some(failure(Class::AccessRevoked, Heal::Refresh)),
    };
    let out = machine.handle(now(10), refused);
    assert!(noted(&out).is_some_and(|trouble| trouble.refused));
    assert_eq!(shown(&machine), Some(Class::AccessRevoked));
    // A reading of the row from before the note hides nothing.
    machine.handle(now(11), Input::Changed(row(1, 0)));
    assert_eq!(shown(&machine), Some(Class::AccessRevoked));
}

fn latched(heal: Heal) -> Stored {
    let mut row = row(1, 0);
    let fingerprint = held(1, 0).fingerprint.expect("renewable");
    row.latch = Some((fingerprint, failure(Class::AccountDisabled, heal)));
    row
}

#[test]
fn what_others_must_put_right_is_tried_again_when_somebody_acts_and_only_once() {
    let mut machine = fresh(Policy::default());
    machine.handle(now(10), Input::Changed(latched(Heal::ContactAdmin)));
    assert!(machine.ended());
    assert_eq!(machine.handle(now(20), Input::Forced), [Action::Claim]);
    let out = machine.handle(now(30), Input::LeaseGranted(latched(Heal::ContactAdmin)));
    assert!(matches!(out[..], [Action::WriteIntent(_)]), "{out:?}");
    machine.handle(now(40), Input::IntentWritten);
    let refusal = failure(Class::AccountDisabled, Heal::ContactAdmin);
    machine.handle(now(50), Input::Exchanged(Outcome::Final(refusal)));
    machine.handle(now(60), Input::Looked(Some(latched(Heal::ContactAdmin))));
    machine.handle(now(70), Input::Latched);
    assert!(machine.ended());
    let again = machine.handle(now(80), Input::Changed(latched(Heal::ContactAdmin)));
    assert_eq!(again, [], "refused again: latched again (I8)");
}

#[test]
fn what_the_user_must_do_is_not_tried_again_whoever_asks() {
    let policy = Policy {
        second_try: true,
        ..Policy::default()
    };
    let mut machine = fresh(policy);
    machine.handle(now(10), Input::Changed(latched(Heal::Relogin)));
    assert!(machine.ended());
    assert_eq!(machine.handle(now(20), Input::Forced), []);
    assert!(machine.ended());
}

#[test]
fn a_start_is_an_act_too() {
    let policy = Policy {
        second_try: true,
        ..Policy::default()
    };
    let mut machine = Machine::new("shop", policy);
    machine.handle(now(10), Input::Changed(latched(Heal::FixConfig)));
    assert!(!machine.ended());
    // A reading of the same row later is not the refusal of the second try.
    machine.handle(now(20), Input::Changed(latched(Heal::FixConfig)));
    assert!(!machine.ended());
}

/// Has a person ask for a refresh of this generation that ends the session; whether the end was told.
fn ends_told(machine: &mut Machine, at: u64, generation: u64) -> bool {
    let row = || row(generation, 0);
    machine.handle(now(at), Input::Forced);
    machine.handle(now(at), Input::LeaseGranted(row()));
    machine.handle(now(at), Input::IntentWritten);
    let refused = Outcome::Final(failure(Class::ClientInvalid, Heal::FixConfig));
    machine.handle(now(at), Input::Exchanged(refused));
    machine.handle(now(at), Input::Looked(Some(row())));
    let out = machine.handle(now(at), Input::Latched);
    assert!(machine.ended(), "{out:?}");
    events(&out)
        .iter()
        .any(|event| matches!(event, Event::Ended(_)))
}

#[test]
fn another_try_that_ends_the_same_way_is_no_news() {
    let mut machine = fresh(Policy::default());
    assert!(ends_told(&mut machine, 10, 1));
    assert!(!ends_told(&mut machine, 20, 1));
    assert!(!ends_told(&mut machine, 30, 1), "nor the third");
    machine.handle(now(40), Input::Changed(row(2, 0)));
    assert!(
        ends_told(&mut machine, 50, 2),
        "another login has its own end"
    );
}
