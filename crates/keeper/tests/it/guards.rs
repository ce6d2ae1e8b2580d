//! Guards of the refresh transaction that only matter when something else goes wrong at the same time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tenure_core::Generation;
use tenure_keeper::login::{self, Import};
use tenure_keeper::{Keeper, Options, SessionConfig};
use tenure_lab::{Fault, FaultyIssuer, Gate, Rotation, temp_dir, wait_until};
use tenure_store::Store;
use tenure_store::fault::FaultPlan;

use crate::support::{
    STRICT, config, issuer, keeper, log_in, session, store, store_with, until_state,
};
use crate::watched::Watched;

const SAME: &str = "rotation = { kind = \"same_successor\" }";

fn watched(dir: &std::path::Path) -> (Arc<Watched>, Arc<dyn Store>) {
    let watched = Watched::new(store(dir));
    let store: Arc<dyn Store> = Arc::clone(&watched) as Arc<dyn Store>;
    (watched, store)
}

#[tokio::test]
async fn the_lease_is_renewed_before_a_lost_exchange_is_tried_again() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::SameSuccessor, 300_000));
    let (watched, store) = watched(dir.path());
    let keeper = keeper(&store, config(&issuer, SAME)).await;
    log_in(&keeper, &issuer).await;
    watched.forget();
    issuer.faults().next(Fault::ResetAfterCommit);
    session(&keeper).refresh().await.expect("healed at once");
    wait_until(
        || {
            watched
                .writes()
                .last()
                .is_some_and(|last| last == "release")
        },
        "the transaction is over",
    )
    .await;
    assert_eq!(
        watched.writes(),
        [
            "claim", "intent 1", "renew", "intent 2", "commit", "release"
        ]
    );
}

#[tokio::test]
async fn without_the_lease_a_lost_exchange_is_not_tried_again() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::SameSuccessor, 300_000));
    let plan = FaultPlan::parse("store.renew:unavailable").expect("a plan");
    let store = store_with(dir.path(), plan);
    let mut config = config(&issuer, SAME);
    config.timing.backoff_min = std::time::Duration::from_hours(1);
    config.timing.backoff_max = std::time::Duration::from_hours(1);
    let keeper = keeper(&store, config).await;
    log_in(&keeper, &issuer).await;
    issuer.faults().next(Fault::ResetAfterCommit);
    let failure = session(&keeper).refresh().await.expect_err("not renewed");
    assert_eq!(failure.root().code.as_str(), "API02026", "{failure:?}");
    assert_eq!(issuer.exchanges().len(), 1);
}

/// Another process logs the session in; `keeper` is not told.
async fn log_in_elsewhere(dir: &std::path::Path, issuer: &FaultyIssuer, config: &SessionConfig) {
    let import = login::import(config, &issuer.issue().to_string()).expect("an import");
    let Import::Login(new) = import else {
        panic!("not a token response")
    };
    let elsewhere = keeper(&store(dir), config.clone()).await;
    elsewhere.login("shop", new).await.expect("stored");
    elsewhere.shutdown().await;
}

#[tokio::test]
async fn a_change_that_could_not_be_read_is_read_again() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let (watched, store) = watched(dir.path());
    let config = config(&issuer, STRICT);
    let keeper = keeper(&store, config.clone()).await;
    log_in(&keeper, &issuer).await;
    log_in_elsewhere(dir.path(), &issuer, &config).await;
    let session = session(&keeper);
    assert_eq!(session.snapshot().generation, Generation(1));
    watched.forget();
    watched.failing_loads.store(2, Ordering::SeqCst);
    // Told once, and never again.
    watched.tell_change();
    wait_until(
        || session.snapshot().generation == Generation(2),
        "the change is read when the store is back",
    )
    .await;
    assert!(watched.loads() >= 3, "{}", watched.loads());
}

#[tokio::test]
async fn a_login_that_crosses_a_refusal_is_taken_up_whole() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let (watched, store) = watched(dir.path());
    let config = config(&issuer, STRICT);
    let keeper = keeper(&store, config.clone()).await;
    log_in(&keeper, &issuer).await;
    let session = session(&keeper);
    let before = store.load("shop").await.expect("readable").expect("a row");

    // An exchange is under way, when somebody logs in.
    let gate = Gate::closed();
    issuer.faults().next(Fault::Slow(gate.clone()));
    let refreshed = tokio::spawn({
        let session = session.clone();
        async move { session.refresh().await }
    });
    gate.wait_arrived(1).await;
    issuer.revoke_all_families();
    log_in_elsewhere(dir.path(), &issuer, &config).await;
    watched.forget();
    watched.tell_change();
    wait_until(|| watched.loads() == 1, "the change is read").await;

    // The old token is refused; the second look reads what was there just before the login.
    watched.old_readings.lock().unwrap().push_back(before);
    gate.open();
    let _whatever_it_says = refreshed.await.expect("a task");
    wait_until(
        || session.snapshot().generation == Generation(2),
        "the login counts",
    )
    .await;
    let token = session
        .refresh()
        .await
        .expect("the new login's token is spent");
    assert_eq!(token.generation, Generation(3));
    until_state(&session, "fresh").await;
}

#[tokio::test]
async fn an_endpoint_that_wants_to_be_left_alone_does_not_hold_up_saving() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let (watched, store) = watched(dir.path());
    let shop = config(&issuer, STRICT);
    let books = SessionConfig {
        name: "books".to_owned(),
        ..shop.clone()
    };
    let options = Options {
        store: Arc::clone(&store),
        sessions: vec![shop, books],
        warm: true,
        http: tenure_http::Client::new().expect("TLS"),
        fault: FaultPlan::default(),
    };
    let keeper = Keeper::open(options).await.expect("a keeper");
    for name in ["shop", "books"] {
        let at = keeper.session(name).expect("the session");
        let import = login::import(at.config(), &issuer.issue().to_string()).expect("an import");
        let Import::Login(new) = import else {
            panic!("not a token response")
        };
        keeper.login(name, new).await.expect("stored");
    }
    let session = session(&keeper);
    watched.commits_fail.store(true, Ordering::SeqCst);
    session.refresh().await.expect("served all the same");
    assert!(session.snapshot().unsaved);
    // Both sessions are at one endpoint, and it answers the other one that it wants an hour of peace.
    issuer.faults().next(Fault::RetryAfterSeconds(3_600));
    let books = keeper.session("books").expect("the session");
    books.refresh().await.expect_err("left alone");
    assert!(session.snapshot().unsaved);
    watched.commits_fail.store(false, Ordering::SeqCst);
    wait_until(|| !session.snapshot().unsaved, "saved").await;
    let stored = store.load("shop").await.expect("readable").expect("a row");
    assert_eq!(stored.generation, Generation(2));
}
