//! Many short runs, each twice: no oracle objects, and the same seed gives the same trace.

use tenure_sim::{Plan, check};

const SEEDS: u64 = 2_000;

#[test]
fn two_thousand_seeds_hold() {
    for seed in 0..SEEDS {
        let plan = Plan {
            calm_ms: 90_000,
            ..Plan::of(seed)
        };
        if let Err(broken) = check(&plan) {
            panic!("{broken}");
        }
    }
}

#[test]
fn seeds_that_once_failed_hold() {
    // 486: a login below a pair in the spare slot. 2821: a lease that could not be renewed and ran out under a
    // slow exchange. 2841: an answer to a killed process. 12219: a failure shown long after anybody cared. 1191: an
    // older reading of the row after a newer one. 26: two unsaved pairs of one number. 9030: a wish that a newer
    // pair had granted. 12762: a latch that a process without the store could not know of. 15038: a
    // lease taken by another after a logout. 36440: a row read under a lease that a login had ended.
    // 4522: an API's answer that was taken for a pause.
    for seed in [
        26, 486, 4_522, 1_191, 2_821, 2_841, 9_030, 12_219, 12_762, 15_038, 36_440,
    ] {
        if let Err(broken) = check(&Plan::of(seed)) {
            panic!("{broken}");
        }
    }
}

#[test]
fn different_seeds_differ() {
    let trace = |seed| check(&Plan::of(seed)).expect("holds").trace;
    assert_ne!(trace(1), trace(2));
    assert_eq!(trace(3), trace(3));
}
