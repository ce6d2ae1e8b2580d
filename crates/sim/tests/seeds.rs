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
fn different_seeds_differ() {
    let trace = |seed| check(&Plan::of(seed)).expect("holds").trace;
    assert_ne!(trace(1), trace(2));
    assert_eq!(trace(3), trace(3));
}
