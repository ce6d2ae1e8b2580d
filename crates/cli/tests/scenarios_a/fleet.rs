//! Several hosts, one session in PostgreSQL or in Valkey: each with a data directory, a configuration and a `tenure up` of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure_lab::{Fault, FaultyIssuer, Gate, IssuerConfig, Postgres, Process, Rotation, Valkey};

use crate::common::{Home, wait_for};
use crate::support::{Dice, Running, SESSION, Setup, Stage, ask, from_env, steadily, up_config};

const HOSTS: usize = 4;

/// The servers that hosts share a store on.
#[derive(Clone, Copy)]
enum Kind {
    Postgres,
    Valkey,
}

enum Server {
    Postgres(Postgres),
    Valkey(Valkey),
}

impl Server {
    fn start(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::Postgres(Postgres::start()),
            Kind::Valkey => Self::Valkey(Valkey::start()),
        }
    }

    fn database(&self) -> String {
        match self {
            Self::Postgres(server) => server.database(),
            Self::Valkey(server) => server.database(),
        }
    }

    fn kill(&self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::Valkey(server) => server.kill(),
        }
    }

    fn run(&self) {
        match self {
            Self::Postgres(server) => server.run(),
            Self::Valkey(server) => server.run(),
        }
    }
}

macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[test] fn $name() { super::$name(super::Kind::Postgres); })*
        }
        mod on_valkey {
            $(#[test] fn $name() { super::$name(super::Kind::Valkey); })*
        }
    };
}

on_every_server![
    hosts_wait_for_one_exchange_and_adopt_it,
    hosts_renew_once_for_all_of_them,
    a_server_that_is_away_stops_no_valid_token_and_spends_none,
    killed_hosts_and_a_restarted_server_cost_no_login,
];

/// The first host of a fleet, its session logged in.
fn first(server: &Server, issuer: FaultyIssuer, rotation: Rotation) -> Stage {
    Setup {
        rotation,
        store: Some(server.database()),
        ..Setup::default()
    }
    .stage_at(issuer)
}

/// Another host: its own data directory with a copy of the configuration and of the key.
fn host(first: &Stage) -> Home {
    let home = Home::new();
    for file in ["tenure.toml", "profiles/lab.toml"] {
        let text = std::fs::read_to_string(first.home.path().join(file)).expect("written");
        home.write(file, &text);
    }
    std::fs::create_dir_all(home.data()).expect("a directory");
    let key = home.data().join("fleet.key");
    std::fs::copy(first.home.data().join("fleet.key"), key).expect("a key");
    home
}

/// Whether a process of this host has the store open.
fn is_at_the_store(home: &Home) -> bool {
    std::fs::read_dir(home.data().join("fleet.holders")).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.path().extension().is_some_and(|end| end == "lock"))
    })
}

fn issuer(rotation: Rotation, ttl_ms: u64) -> FaultyIssuer {
    let config = IssuerConfig::new().rotation(rotation).access_ttl_ms(ttl_ms);
    FaultyIssuer::start(config)
}

fn hosts_wait_for_one_exchange_and_adopt_it(kind: Kind) {
    let server = Server::start(kind);
    let stage = first(&server, issuer(Rotation::Strict, 60_000), Rotation::Strict);
    let homes: Vec<Home> = (1..HOSTS).map(|_| host(&stage)).collect();
    // A token that ends before the life they ask for.
    let mut pair = stage.issuer.issue();
    pair["obtained_at"] = (pair["obtained_at"].as_i64().expect("said") - 30).into();
    let file = stage.home.write("again.json", &pair.to_string());
    let file = file.to_str().expect("UTF-8");
    stage.home.run(&["login", SESSION, "--import", file]).ok();
    let gate = Gate::closed();
    // The server has rotated already: whoever presents the old token now ends the family.
    stage.issuer.faults().next(Fault::SlowAnswer(gate.clone()));
    let ask = ["token", SESSION, "--min-valid", "45s"];
    let mut processes: Vec<Process> = std::iter::once(&stage.home)
        .chain(&homes)
        .map(|home| Process::spawn(&mut home.command(&ask)))
        .collect();
    wait_for("the exchange, and every host at the store", || {
        let all = std::iter::once(&stage.home)
            .chain(&homes)
            .all(is_at_the_store);
        (gate.arrived() >= 1 && all).then_some(())
    });
    gate.open();
    let mut tokens = std::collections::BTreeSet::new();
    for process in &mut processes {
        assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
        tokens.insert(process.stdout());
    }
    assert_eq!(
        stage.issuer.most_presented(),
        1,
        "{:?}",
        stage.issuer.exchanges()
    );
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert!(!stage.issuer.is_revoked(&stage.first));
}

fn hosts_renew_once_for_all_of_them(kind: Kind) {
    let server = Server::start(kind);
    let stage = first(&server, issuer(Rotation::Strict, 2_000), Rotation::Strict);
    let homes: Vec<Home> = (1..HOSTS).map(|_| host(&stage)).collect();
    let ups: Vec<Running> = std::iter::once(&stage.home)
        .chain(&homes)
        .map(|home| Running::start(up_config(home)))
        .collect();
    let seconds = from_env("TENURE_FLEET_S", 8);
    let done = AtomicBool::new(false);
    let seen: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = ups
            .iter()
            .map(|up| {
                let (url, done) = (up.gateway_url("/orders"), &done);
                scope.spawn(move || {
                    steadily(done, Duration::from_millis(5), || ask("GET", &url, &[], ""))
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(seconds)); // paced: the length of the run is the matter
        done.store(true, Ordering::SeqCst);
        callers
            .into_iter()
            .flat_map(|caller| caller.join().expect("a caller"))
            .collect()
    });
    for answer in &seen {
        let answer = answer.as_ref().expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let exchanges = stage.issuer.exchanges();
    assert!(exchanges.len() as u64 >= seconds / 2 - 1, "{exchanges:?}");
    assert_eq!(stage.issuer.most_presented(), 1, "{exchanges:?}");
    for up in ups {
        up.stop();
    }
}

fn a_server_that_is_away_stops_no_valid_token_and_spends_none(kind: Kind) {
    let server = Server::start(kind);
    let stage = first(&server, issuer(Rotation::Strict, 60_000), Rotation::Strict);
    let up = stage.up();
    assert_eq!(up.via("/orders").status, 200);
    let before = stage.calls();
    server.kill();
    assert_eq!(up.via("/orders").status, 200);
    // Without its store, the only successor of this token could not be kept: it is not spent.
    stage.issuer.expire_access_now();
    let refused = up.refresh().expect("an answer");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("API02026"), "{refused:?}");
    assert_eq!(stage.calls(), before);
    let ran = stage.home.run(&["token", "shop"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.err.contains("cannot reach the store "), "{ran:?}");
    server.run();
    wait_for("the session to heal", || {
        (up.via("/orders").status == 200).then_some(())
    });
    assert_eq!(stage.issuer.most_presented(), 1);
    up.stop();
}

/// `TENURE_VIOLENCE_S` sets for how long, `TENURE_SEED` repeats a run.
fn killed_hosts_and_a_restarted_server_cost_no_login(kind: Kind) {
    let seconds = from_env("TENURE_VIOLENCE_S", 12);
    let mut dice = Dice::new();
    let server = Server::start(kind);
    let rotation = Rotation::Grace { seconds: 30 };
    let stage = first(&server, issuer(rotation, 2_000), rotation);
    let mut homes: Vec<Home> = (1..HOSTS).map(|_| host(&stage)).collect();
    homes.insert(0, host(&stage));
    let start = |at: usize| Running::start(up_config(&homes[at]));
    let ups: Vec<Mutex<Option<Running>>> =
        (0..HOSTS).map(|at| Mutex::new(Some(start(at)))).collect();
    let done = AtomicBool::new(false);
    let (seen, kills) = std::thread::scope(|scope| {
        let callers: Vec<_> = ups
            .iter()
            .map(|up| {
                let done = &done;
                scope.spawn(move || {
                    steadily(done, Duration::from_millis(5), || {
                        // A host is killed between requests: what a dead gateway does not answer is no matter here.
                        let up = up.lock().unwrap_or_else(PoisonError::into_inner);
                        up.as_ref()
                            .map(|up| ask("GET", &up.gateway_url("/orders"), &[], ""))
                    })
                })
            })
            .collect();
        let mut kills = 0;
        for second in 0..seconds {
            std::thread::sleep(Duration::from_millis(500 + dice.below(500))); // paced: the rate of the kills
            let at = usize::try_from(dice.below(HOSTS as u64)).expect("small");
            let dead = ups[at]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            dead.expect("it runs").kill9();
            kills += 1;
            if second % 4 == 3 {
                server.kill();
                server.run();
            }
            *ups[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(start(at));
        }
        done.store(true, Ordering::SeqCst);
        let seen: Vec<_> = callers
            .into_iter()
            .flat_map(|caller| caller.join().expect("a caller"))
            .flatten()
            .collect();
        (seen, kills)
    });
    assert!(seen.len() > 100, "that was no traffic: {}", seen.len());
    for answer in &seen {
        let answer = answer.as_ref().expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(stage.issuer.logins(), 1, "somebody logged in again");
    assert!(!stage.issuer.is_revoked(&stage.first));
    // Once for each generation, and once more where a host died before it could save.
    let exchanges = stage.issuer.exchanges();
    let generations: std::collections::BTreeSet<_> = exchanges
        .iter()
        .map(|exchange| exchange.refresh_token.clone())
        .collect();
    let again = exchanges.len() - generations.len();
    assert!(
        again <= kills,
        "{again} of {} exchanges were repeats: {exchanges:?}",
        exchanges.len()
    );
    for up in ups {
        let up = up.into_inner().unwrap_or_else(PoisonError::into_inner);
        up.expect("it runs").stop();
    }
}
