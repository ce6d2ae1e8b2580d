//! Several processes ask at once for a token that has to be got first (I1, I4).

use std::collections::BTreeSet;

use tenure_lab::{Fault, FaultyIssuer, Gate, IssuerConfig, Process};

use crate::common::{Home, wait_for};
use crate::support::{Keeper, at_once, ending_in, home_at, import, refresh_token};

/// Asks for more life than the imported token has.
const ASK: [&str; 4] = ["token", "shop", "--min-valid", "60s"];

const PROCESSES: usize = 8;

/// A login whose access token ends in thirty seconds, by what the client was told; its refresh token.
fn seed_ending(home: &Home, issuer: &FaultyIssuer) -> String {
    let pair = ending_in(issuer.issue(), 30);
    import(home, &pair);
    refresh_token(&pair)
}

/// How many processes have the store open.
fn holders(home: &Home) -> usize {
    std::fs::read_dir(home.data().join("tenure.db.holders"))
        .map_or(0, |entries| entries.flatten().count())
}

/// The one token all of them printed.
fn one_token(home: &Home, processes: &mut [Process]) -> String {
    let mut tokens = BTreeSet::new();
    for process in processes {
        let status = process.wait();
        assert_eq!(status.code(), Some(0), "{}", process.stderr());
        tokens.insert(process.stdout().trim().to_owned());
    }
    let events = home.run(&["events"]).out;
    assert_eq!(tokens.len(), 1, "{tokens:?}\n{events}");
    tokens.pop_first().expect("one")
}

#[test]
fn eight_processes_make_one_exchange_and_print_the_same_token() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer, "");
    for round in 1..=5 {
        let refresh = seed_ending(&home, &issuer);
        let mut processes = at_once(&[&home; PROCESSES], &ASK);
        let token = one_token(&home, &mut processes);
        assert!(token.starts_with("at-"), "{token}");
        assert_eq!(issuer.presented(&refresh), 1, "round {round}");
        assert_eq!(issuer.exchanges().len(), round);
        assert!(!issuer.is_revoked(&refresh), "round {round}");
    }
}

#[test]
fn processes_that_come_while_the_answer_is_on_its_way_wait_for_it_and_adopt() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer, "");
    let refresh = seed_ending(&home, &issuer);
    let gate = Gate::closed();
    // The server has rotated already: whoever presents the old token now ends the family.
    issuer.faults().next(Fault::SlowAnswer(gate.clone()));
    let mut processes = at_once(&[&home; PROCESSES], &ASK);
    wait_for("the exchange and all processes at the store", || {
        (gate.arrived() == 1 && holders(&home) == PROCESSES).then_some(())
    });
    assert!(
        processes
            .iter_mut()
            .all(|process| process.try_status().is_none()),
        "nobody answers before the new token is there"
    );
    gate.open();
    one_token(&home, &mut processes);
    assert_eq!(issuer.presented(&refresh), 1);
    assert!(!issuer.is_revoked(&refresh));
    let status = home.run(&["status", "shop", "--json"]).ok().json();
    assert_eq!(status["sessions"][0]["generation"], 2, "{status}");
}

#[test]
fn a_running_up_and_eight_processes_make_one_exchange() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer, "");
    import(&home, &issuer.issue());
    let up = Keeper::start(&home);
    assert_eq!(up.get("/shop/orders").status, 200);
    for round in 1..=5_u64 {
        // A new login that is due at once: `up` wants to renew it as much as the others do.
        let refresh = seed_ending(&home, &issuer);
        let mut processes = at_once(&[&home; PROCESSES], &ASK);
        one_token(&home, &mut processes);
        assert_eq!(issuer.presented(&refresh), 1, "round {round}");
        assert!(!issuer.is_revoked(&refresh), "round {round}");
        // The first login, then in each round a login and a renewal.
        let generation = (2 * round + 1).to_string();
        wait_for("up to adopt the new generation", || {
            let answer = up.get("/shop/orders");
            assert_eq!(answer.status, 200, "{answer:?}");
            (answer.header("tenure-generation") == Some(generation.as_str())).then_some(())
        });
    }
    up.stop();
}

#[test]
fn two_ups_and_many_processes_share_short_lived_tokens() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().access_ttl_ms(2_000));
    let home = home_at(&issuer, "");
    import(&home, &issuer.issue());
    let ups = [Keeper::start(&home), Keeper::start(&home)];
    let start = issuer.clock().now_ms();
    while issuer.clock().now_ms() < start + 10_000 {
        let mut processes = at_once(&[&home; PROCESSES], &["token", "shop", "--min-valid", "1s"]);
        for process in &mut processes {
            assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
        }
        for up in &ups {
            let answer = up.get("/shop/orders");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    assert_eq!(issuer.most_presented(), 1, "{:?}", issuer.exchanges());
    assert!(issuer.exchanges().len() >= 4, "{:?}", issuer.exchanges());
    for up in ups {
        up.stop();
    }
}

#[test]
fn control_without_a_shared_store_the_family_is_revoked() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    // Ended already: a token that still lives would be printed whatever became of the refresh (I7).
    let pair = ending_in(issuer.issue(), -10);
    let homes: Vec<Home> = (0..PROCESSES).map(|_| home_at(&issuer, "")).collect();
    for home in &homes {
        import(home, &pair);
    }
    let mut processes = at_once(&homes.iter().collect::<Vec<_>>(), &ASK);
    let codes: Vec<_> = processes
        .iter_mut()
        .map(|process| process.wait().code())
        .collect();
    assert!(issuer.is_revoked(&refresh_token(&pair)), "{codes:?}");
    assert_eq!(issuer.presented(&refresh_token(&pair)), PROCESSES);
    let told: Vec<_> = codes.iter().filter(|code| **code == Some(3)).collect();
    assert_eq!(
        told.len(),
        PROCESSES - 1,
        "all but the first must log in: {codes:?}"
    );
}
