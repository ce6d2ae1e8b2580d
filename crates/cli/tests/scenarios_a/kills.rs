//! `kill -9` at every named point of the refresh transaction and at random instants: the session lives. Where
//! a strict server makes the loss real, it is named.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenure_lab::wait::block_until;
use tenure_lab::{Process, Rotation};

use crate::common::Home;
use crate::support::{
    Dice, Running, Setup, Stage, Start, ask, codes, event_kinds, from_env, steadily, up_example,
};

/// Every named point that a refresh passes, in order.
const POINTS: [&str; 12] = [
    "store.load",
    "store.claim.before",
    "store.claim.after",
    "store.intent.before",
    "store.intent.after",
    "keeper.exchange.before",
    "keeper.exchange.after",
    "keeper.save.before",
    "store.commit.before",
    "store.commit.after",
    "keeper.save.after",
    "store.release",
];

/// Points that are passed only when something else goes wrong, with what must go wrong.
const DETOURS: [&str; 4] = [
    "keeper.exchange.before:error@1,store.clear.before:abort",
    "store.commit.before:full,store.spare.before:abort",
    "store.commit.before:full,store.spare.after:abort",
    "store.event.before:abort",
];

/// The login an access token of the embedded issuer belongs to.
fn login_of(home: &Home) -> String {
    let ran = home.run(&["token", "shop", "--min-valid", "1s"]).ok();
    let peek = tenure_jose::peek(ran.out.trim()).expect("a JWT");
    let sid = peek.claims["sid"]
        .as_str()
        .expect("the session at the issuer");
    sid.to_owned()
}

/// The program is started with this fault, asked for a refresh, and must die of the fault.
fn dies(start: Start, fault: &str) {
    let status = match start {
        Start::Ready(up) => {
            // It may die before or after the answer.
            let _answered = up.refresh();
            up.ended()
        }
        Start::Ended(status, _) => status,
    };
    assert!(
        status.signal().is_some(),
        "{fault}: it ended by itself: {status}"
    );
}

fn embedded_lives(faults: impl Iterator<Item = String>) {
    let home = Home::new();
    let up = Running::start(up_example(&home));
    up.until_state("fresh");
    let (login, mut generation) = (login_of(&home), up.generation());
    up.kill9();
    for fault in faults {
        let mut command = up_example(&home);
        command.env("TENURE_FAULT", &fault);
        dies(Running::try_start(command), &fault);
        let up = Running::start(up_example(&home));
        up.until_state("fresh");
        assert_eq!(up.via("/orders").status, 200, "{fault}");
        let refreshed = up.refresh().expect("an answer");
        assert_eq!(refreshed.status, 200, "{fault}: {refreshed:?}");
        assert!(up.generation() > generation, "{fault}");
        generation = up.generation();
        assert_eq!(login_of(&home), login, "{fault}: somebody logged in again");
        up.kill9();
    }
}

#[test]
fn a_death_at_any_point_costs_no_login_at_the_embedded_issuer() {
    embedded_lives(POINTS.iter().map(|point| format!("{point}:abort")));
}

#[test]
fn a_death_on_a_detour_costs_no_login_at_the_embedded_issuer() {
    embedded_lives(DETOURS.iter().map(|fault| (*fault).to_owned()));
}

/// `TENURE_KILLS` sets how often, `TENURE_SEED` repeats a run.
#[test]
fn deaths_at_random_instants_under_traffic_cost_no_login() {
    let kills = from_env("TENURE_KILLS", 25);
    let mut dice = Dice::new();
    let home = Home::new();
    let up = Running::start(up_example(&home));
    up.until_state("fresh");
    let login = login_of(&home);
    up.kill9();
    let mut answered = 0;
    for number in 0..kills {
        if number % 5 == 4 {
            let mut starting = Process::spawn(&mut up_example(&home));
            std::thread::sleep(Duration::from_millis(dice.below(500))); // paced: random instants are the matter
            starting.kill9();
            continue;
        }
        let up = Running::start(up_example(&home));
        answered += killed_under_traffic(up, Duration::from_millis(dice.below(300)), number);
    }
    assert!(answered > kills, "that was no traffic: {answered}");
    let up = Running::start(up_example(&home));
    up.until_state("fresh");
    assert_eq!(up.via("/orders").status, 200);
    assert_eq!(up.refresh().expect("an answer").status, 200);
    assert_eq!(login_of(&home), login, "somebody logged in again");
    let kinds = event_kinds(&home);
    assert!(!kinds.iter().any(|kind| kind == "ended"), "{kinds:?}");
    assert!(
        up.generation() > kills / 2,
        "hardly a refresh was under way: generation {}",
        up.generation()
    );
    up.stop();
}

/// Two callers and one who refreshes all the time, until the death. Returns how many answers there were.
fn killed_under_traffic(up: Running, after: Duration, number: u64) -> u64 {
    let dying = AtomicBool::new(false);
    let orders = up.gateway_url("/orders");
    let refresh = format!("{}/api/v1/sessions/shop/refresh", up.url("admin"));
    // A broken connection is right once the process dies, not before.
    let judged = |method: &str, url: &str| match ask(method, url, &[], "") {
        Ok(answer) => {
            assert_eq!(answer.status, 200, "kill {number}: {url}: {answer:?}");
            1
        }
        Err(error) => {
            assert!(
                dying.load(Ordering::SeqCst),
                "kill {number}: {url}: {error}"
            );
            0
        }
    };
    std::thread::scope(|scope| {
        let pause = Duration::from_millis(5);
        let callers: Vec<_> = [("GET", &orders), ("GET", &orders), ("POST", &refresh)]
            .map(|(method, url)| {
                let (judged, dying) = (&judged, &dying);
                scope.spawn(move || steadily(dying, pause, || judged(method, url)))
            })
            .into_iter()
            .collect();
        std::thread::sleep(after); // paced: the instant of the kill is the matter
        dying.store(true, Ordering::SeqCst);
        up.kill9();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().expect("a caller"))
            .sum()
    })
}

/// A session that has died at `point` while its token was being renewed.
fn dead_at(rotation: Rotation, point: &str) -> Stage {
    let stage = Setup {
        rotation,
        access_ttl_s: 2,
        ..Setup::default()
    }
    .stage();
    let fault = format!("{point}:abort");
    dies(stage.up_with_fault(&fault), &fault);
    stage
}

#[test]
fn a_strict_server_loses_nothing_that_it_did_not_see_or_that_was_saved() {
    for point in [
        "store.intent.after",
        "keeper.exchange.before",
        "store.commit.after",
        "keeper.save.after",
    ] {
        let stage = dead_at(Rotation::Strict, point);
        let up = stage.up();
        up.until_state("fresh");
        assert_eq!(up.via("/orders").status, 200, "{point}");
        assert!(!stage.issuer.is_revoked(&stage.first), "{point}");
        assert_eq!(stage.issuer.most_presented(), 1, "{point}");
        assert_eq!(stage.issuer.logins(), 1);
        up.stop();
    }
}

#[test]
fn a_loss_at_a_strict_server_is_named() {
    for point in ["keeper.exchange.after", "store.commit.before"] {
        let stage = dead_at(Rotation::Strict, point);
        let up = stage.up();
        let status = up.until_state("needs_login");
        for failure in [&status["failure"], &stage.status()["failure"]] {
            let codes = codes(failure);
            assert!(codes.contains(&"API02025".to_owned()), "{point}: {failure}");
            assert_eq!(
                failure["command"], "tenure login shop",
                "{point}: {failure}"
            );
        }
        // The last access token is served while its own time lasts (I7).
        block_until(|| stage.token().code == 3, "the last token ends");
        let token = stage.token();
        assert!(token.err.contains("API02025"), "{point}: {token:?}");
        assert_eq!(up.via("/orders").status, 401, "{point}");
        // Spent, and tried once more; after that the endpoint hears nothing.
        assert_eq!(stage.calls(), 2, "{point}: {:?}", stage.issuer.exchanges());
        up.stop();
    }
}

#[test]
fn a_loss_at_a_server_that_repeats_itself_is_none() {
    for point in ["keeper.exchange.after", "store.commit.before"] {
        let stage = dead_at(Rotation::SameSuccessor, point);
        let up = stage.up();
        up.until_state("fresh");
        assert_eq!(up.via("/orders").status, 200, "{point}");
        assert!(!stage.issuer.is_revoked(&stage.first), "{point}");
        let kinds = event_kinds(&stage.home);
        assert!(
            kinds.contains(&"unknown_outcome".to_owned()),
            "{point}: {kinds:?}"
        );
        up.stop();
    }
}

#[test]
fn a_death_while_a_refusal_is_remembered_loses_no_word_of_it() {
    for (point, calls) in [("store.latch.before", 2), ("store.latch.after", 1)] {
        let stage = Setup::default().stage();
        stage.issuer.revoke_family(&stage.first);
        let fault = format!("{point}:abort");
        dies(stage.up_with_fault(&fault), &fault);
        let up = stage.up();
        let status = up.until_state("needs_login");
        assert_eq!(status["failure"]["command"], "tenure login shop", "{point}");
        assert_eq!(
            stage.calls(),
            calls,
            "{point}: {:?}",
            stage.issuer.exchanges()
        );
        up.stop();
    }
}
