//! Runs with one thing in them, and what exactly must come of it.

use tenure_sim::{Fact, Fault, Persona, Plan, check, run_logged};

fn holds(plan: &Plan) -> tenure_sim::Run {
    check(plan).unwrap_or_else(|broken| panic!("{broken}"))
}

#[test]
fn three_processes_make_one_exchange_per_generation() {
    for seed in 0..30 {
        let run = holds(&Plan::calm(seed, Persona::Strict, 3));
        assert!(run.sent.len() > 10, "{:?}", run.sent);
        assert!(run.sent.values().all(|times| *times == 1), "{:?}", run.sent);
        assert_eq!(run.killed, 0);
    }
}

#[test]
fn storms_of_callers_and_refusals_make_one_exchange_per_generation() {
    for seed in 0..30 {
        let plan = Plan::calm(seed, Persona::Strict, 3).with(&[Fault::Storm, Fault::RevokeAccess]);
        let run = holds(&plan);
        assert!(run.sent.values().all(|times| *times == 1), "{:?}", run.sent);
    }
}

#[test]
fn stopped_and_slow_processes_never_look_like_thieves() {
    let faults = [Fault::Suspend, Fault::StoreSlow, Fault::WallJump];
    for seed in 0..60 {
        let plan = Plan::calm(seed, Persona::Issuer { use_visible: true }, 3).with(&faults);
        assert_eq!(holds(&plan).killed, 0, "seed {seed}");
    }
}

#[test]
fn crashes_and_lost_replies_never_look_like_thieves_where_use_is_seen() {
    let faults = [
        Fault::Crash,
        Fault::LoseReply,
        Fault::Reset,
        Fault::LoseRequest,
    ];
    for seed in 0..60 {
        let plan = Plan::calm(seed, Persona::Issuer { use_visible: true }, 2).with(&faults);
        assert_eq!(holds(&plan).killed, 0, "seed {seed}");
    }
}

#[test]
fn every_theft_is_burnt() {
    let mut burnt = 0;
    for seed in 0..60 {
        let visible = seed % 2 == 0;
        let persona = Persona::Issuer {
            use_visible: visible,
        };
        let plan = Plan {
            life_ms: 60_000,
            ..Plan::calm(seed, persona, 1).with(&[Fault::Thief])
        };
        holds(&plan);
        let log = run_logged(&plan).log;
        let stolen = log
            .iter()
            .any(|(_, fact)| matches!(fact, Fact::Stolen { .. }));
        let died = log.iter().any(|(_, fact)| {
            matches!(
                fact,
                Fact::Acted {
                    killed: Some(_),
                    ..
                }
            )
        });
        assert!(!stolen || died, "seed {seed}: the stolen family lives");
        burnt += u32::from(died);
    }
    assert!(burnt > 50, "{burnt} thefts only");
}

#[test]
fn an_api_that_refuses_everything_starts_few_exchanges() {
    for seed in 0..60 {
        let plan =
            Plan::calm(seed, Persona::NonRotating, 3).with(&[Fault::ApiBroken, Fault::Storm]);
        holds(&plan);
    }
}
