//! A control for every guard: without it an oracle objects, so that with it the oracles' silence proves
//! something.

use tenure_sim::{Fault, Guard, Persona, Plan, once, run_unwatched};

/// What the oracles say of the first of these runs that fails.
fn objection(plans: impl Iterator<Item = Plan>) -> Option<String> {
    plans.map(|plan| once(&plan)).find_map(Result::err)
}

fn with_faults(
    guard: Guard,
    persona: Persona,
    faults: &'static [Fault],
) -> impl Iterator<Item = Plan> {
    (0..400).map(move |seed| Plan::calm(seed, persona, 3).with(faults).without(guard))
}

#[test]
fn without_the_lease_a_strict_server_revokes_the_family() {
    let plans = || with_faults(Guard::Lease, Persona::Strict, &[Fault::Storm]).take(20);
    let why = objection(plans()).expect("noticed");
    assert!(why.contains("I1") || why.contains("theft"), "{why}");
    // The oracles stop a run at its first offence; left alone, the server ends the family.
    let deaths: u32 = plans().map(|plan| run_unwatched(&plan).killed).sum();
    assert!(deaths > 0, "the family lives without the lease");
}

#[test]
fn without_the_fence_a_stale_write_lands() {
    let faults = &[Fault::Suspend, Fault::Slow];
    let why =
        objection(with_faults(Guard::Fence, Persona::SameSuccessor, faults)).expect("noticed");
    assert!(why.contains("stale"), "{why}");
}

#[test]
fn without_the_intent_a_token_is_spent_unnoted() {
    let why = objection(with_faults(Guard::Intent, Persona::Strict, &[])).expect("noticed");
    assert!(why.contains("I2"), "{why}");
}

#[test]
fn without_saving_first_an_unsaved_token_is_shown() {
    let why = objection(with_faults(Guard::Save, Persona::Strict, &[])).expect("noticed");
    assert!(why.contains("I2") || why.contains("theft"), "{why}");
}

#[test]
fn without_the_second_look_an_old_refusal_ends_a_healthy_session() {
    let faults = &[
        Fault::Suspend,
        Fault::Login,
        Fault::RevokeFamily,
        Fault::Slow,
    ];
    let why = objection(with_faults(Guard::LookAgain, Persona::Strict, faults)).expect("noticed");
    assert!(why.contains("I6"), "{why}");
}

#[test]
fn without_the_latch_a_dead_token_is_sent_again() {
    let faults = &[Fault::RevokeFamily];
    let why = objection(with_faults(Guard::Latch, Persona::Strict, faults)).expect("noticed");
    assert!(why.contains("I8"), "{why}");
}

#[test]
fn without_the_right_pair_an_old_one_stands_for_a_new_generation() {
    let faults = &[
        Fault::Login,
        Fault::Forced,
        Fault::Suspend,
        Fault::StoreSlow,
        Fault::Slow,
    ];
    let plans = with_faults(Guard::RightPair, Persona::Strict, faults);
    let why = objection(plans).expect("noticed");
    assert!(
        why.contains("spent again") || why.contains("expired"),
        "{why}"
    );
}

#[test]
fn without_reading_others_trouble_a_server_is_asked_that_is_left_alone() {
    let faults = &[Fault::ServerTrouble, Fault::Storm];
    let why = objection(with_faults(Guard::Trouble, Persona::Strict, faults)).expect("noticed");
    assert!(why.contains("left alone"), "{why}");
}
