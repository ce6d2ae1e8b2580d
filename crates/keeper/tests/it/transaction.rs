//! One exchange for all, whatever happens meanwhile (I1–I4, I6, I7, I10).

use std::time::Duration;

use tenure_keeper::AfterRefusal;
use tenure_lab::{Fault, Rotation, temp_dir, wait_until};
use tenure_store::fault::FaultPlan;

use crate::support::{
    STRICT, config, issuer, keeper, keeper_with, log_in, session, store, store_with, until_state,
};

#[tokio::test]
async fn a_valid_token_is_served_without_an_exchange() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    let token = session(&keeper)
        .token(Duration::from_secs(60))
        .await
        .expect("a token");
    assert_eq!(token.generation.0, 1);
    assert!(issuer.exchanges().is_empty());
}

#[tokio::test]
async fn many_callers_at_expiry_make_one_exchange() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    issuer.revoke_access_tokens();
    let session = session(&keeper);
    let callers: Vec<_> = (0..200)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.refused(tenure_core::Generation(1)).await })
        })
        .collect();
    for caller in callers {
        match caller.await.expect("no panic") {
            AfterRefusal::Newer(token) => assert_eq!(token.generation.0, 2),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(issuer.exchanges().len(), 1);
}

#[tokio::test]
async fn a_cancelled_caller_does_not_stop_the_exchange() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let store = store(dir.path());
    let keeper = keeper(&store, config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    let gate = tenure_lab::Gate::closed();
    issuer.faults().next(Fault::Slow(gate.clone()));
    let session = session(&keeper);
    let caller = tokio::spawn({
        let session = session.clone();
        async move { session.refresh().await }
    });
    gate.wait_arrived(1).await;
    caller.abort();
    gate.open();
    wait_until(
        || session.snapshot().generation.0 == 2,
        "the exchange ends and is published",
    )
    .await;
    let stored = store.load("shop").await.expect("readable").expect("a row");
    assert_eq!(stored.generation.0, 2, "saved before it was shown");
}

#[tokio::test]
async fn keepers_that_share_a_store_exchange_once_and_adopt() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let mut keepers = Vec::new();
    for _ in 0..4 {
        keepers.push(keeper(&store(dir.path()), config(&issuer, STRICT)).await);
    }
    log_in(&keepers[0], &issuer).await;
    for other in &keepers[1..] {
        let session = session(other);
        wait_until(
            || session.snapshot().generation.0 == 1,
            "every keeper learns of the login",
        )
        .await;
    }
    let all = keepers.iter().map(|keeper| {
        let session = session(keeper);
        tokio::spawn(async move { session.refused(tenure_core::Generation(1)).await })
    });
    for one in all.collect::<Vec<_>>() {
        match one.await.expect("no panic") {
            AfterRefusal::Newer(token) => assert_eq!(token.generation.0, 2),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(issuer.exchanges().len(), 1);
}

#[tokio::test]
async fn without_a_shared_store_the_family_is_revoked() {
    // The control of the test above: two stores, the same refresh token.
    let issuer = issuer(Rotation::Strict, 300_000);
    let response = issuer.issue().to_string();
    let mut keepers = Vec::new();
    for _ in 0..2 {
        let dir = temp_dir();
        let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
        let session = session(&keeper);
        let login = match tenure_keeper::login::import(session.config(), &response) {
            Ok(tenure_keeper::login::Import::Login(login)) => login,
            other => panic!("{other:?}"),
        };
        keeper.login("shop", login).await.expect("stored");
        keepers.push((dir, keeper));
    }
    let mut refused = 0;
    for (_, keeper) in &keepers {
        refused += u32::from(session(keeper).refresh().await.is_err());
    }
    assert_eq!(refused, 1);
    assert!(issuer.is_revoked(&last_refresh(&issuer)));
}

fn last_refresh(issuer: &tenure_lab::FaultyIssuer) -> String {
    issuer
        .exchanges()
        .last()
        .expect("an exchange")
        .refresh_token
        .clone()
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_where_the_server_repeats_itself() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::SameSuccessor, 300_000));
    let profile = "rotation = { kind = \"same_successor\" }";
    let keeper = keeper(&store(dir.path()), config(&issuer, profile)).await;
    log_in(&keeper, &issuer).await;
    issuer.faults().next(Fault::ResetAfterCommit);
    let token = session(&keeper).refresh().await.expect("healed at once");
    assert_eq!(token.generation.0, 2);
    assert_eq!(
        issuer.exchanges().len(),
        2,
        "the lost one and its repetition"
    );
}

#[tokio::test]
async fn a_lost_reply_at_a_strict_server_is_named_as_that() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    issuer.faults().next(Fault::ResetAfterCommit);
    let failure = session(&keeper)
        .refresh()
        .await
        .expect_err("the family is gone");
    let codes: Vec<_> = std::iter::successors(Some(&failure), |failure| failure.because.as_deref())
        .map(|failure| failure.code.as_str())
        .collect();
    assert_eq!(codes[..2], ["API02007", "API02025"], "{failure:?}");
    assert_eq!(session(&keeper).status().state.as_str(), "needs_login");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_spends_no_rotating_token() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let plan = FaultPlan::parse("store.intent.before:full@1").expect("a plan");
    let keeper = keeper(&store_with(dir.path(), plan), config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    let session = session(&keeper);
    let failure = session.refresh().await.expect_err("not spent");
    assert_eq!(failure.root().code.as_str(), "API02026");
    assert!(issuer.exchanges().is_empty());
    assert!(
        session.current().is_some(),
        "the valid token is still served (I7)"
    );
    assert_eq!(session.status().state.as_str(), "degraded");
}

#[tokio::test]
async fn a_pair_that_cannot_be_saved_is_served_shouted_and_saved_later() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let store = store(dir.path());
    let plan =
        FaultPlan::parse("keeper.save.before:full@1,keeper.save.before:full@2").expect("a plan");
    let keeper = keeper_with(&store, config(&issuer, STRICT), true, plan).await;
    log_in(&keeper, &issuer).await;
    let session = session(&keeper);
    let mut events = keeper.events();
    let token = session.refresh().await.expect("served all the same");
    assert_eq!(token.generation.0, 2);
    let mut kinds = Vec::new();
    while !kinds.iter().any(|kind| kind == "saved_late") {
        kinds.push(events.recv().await.expect("an event").kind);
    }
    assert!(kinds.iter().any(|kind| kind == "unsaved"), "{kinds:?}");
    wait_until(|| !session.snapshot().unsaved, "no longer unsaved").await;
    assert_eq!(
        store
            .load("shop")
            .await
            .expect("readable")
            .expect("a row")
            .generation
            .0,
        2
    );
    assert_eq!(issuer.exchanges().len(), 1);
}

#[tokio::test]
async fn an_intent_left_by_a_dead_process_is_settled_at_once() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::SameSuccessor, 300_000));
    let profile = "rotation = { kind = \"same_successor\" }";
    let store = store(dir.path());
    {
        let keeper = keeper(&store, config(&issuer, profile)).await;
        log_in(&keeper, &issuer).await;
        // The server rotates, the reply is lost, and the process "dies": no retry is made by it.
        let mut impatient = config(&issuer, profile);
        impatient.timing.backoff_min = Duration::from_secs(3_600);
        keeper.shutdown().await;
        let keeper = keeper_with(&store, impatient, true, FaultPlan::default()).await;
        issuer.faults().next_n(2, Fault::ResetAfterCommit);
        session(&keeper)
            .refresh()
            .await
            .expect_err("both replies lost");
        keeper.shutdown().await;
    }
    assert!(
        store
            .load("shop")
            .await
            .expect("readable")
            .expect("a row")
            .intent
            .is_some()
    );
    let warm = tenure_keeper::SessionConfig {
        keep: tenure_core::session::Keep::Warm,
        ..config(&issuer, profile)
    };
    let keeper = keeper(&store, warm).await;
    let session = session(&keeper);
    wait_until(
        || session.snapshot().generation.0 == 2,
        "settled without being asked",
    )
    .await;
    until_state(&session, "fresh").await;
    assert!(
        store
            .load("shop")
            .await
            .expect("readable")
            .expect("a row")
            .intent
            .is_none()
    );
}

#[tokio::test]
async fn a_shutdown_lets_the_running_exchange_finish_and_saves_it() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let store = store(dir.path());
    let keeper = keeper(&store, config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    let gate = tenure_lab::Gate::closed();
    issuer.faults().next(Fault::Slow(gate.clone()));
    let session = session(&keeper);
    let _caller = tokio::spawn(async move { session.refresh().await });
    gate.wait_arrived(1).await;
    let stopping = tokio::spawn({
        let keeper = keeper.clone();
        async move { keeper.shutdown().await }
    });
    gate.open();
    stopping.await.expect("no panic");
    assert_eq!(
        store
            .load("shop")
            .await
            .expect("readable")
            .expect("a row")
            .generation
            .0,
        2
    );
}

#[tokio::test]
async fn a_warm_session_is_renewed_without_traffic() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 1_500));
    let warm = tenure_keeper::SessionConfig {
        keep: tenure_core::session::Keep::Warm,
        ..config(&issuer, STRICT)
    };
    let keeper = keeper(&store(dir.path()), warm).await;
    log_in(&keeper, &issuer).await;
    let session = session(&keeper);
    wait_until(
        || session.snapshot().generation.0 >= 3,
        "two renewals by themselves",
    )
    .await;
    assert!(
        issuer
            .exchanges()
            .iter()
            .all(|exchange| exchange.outcome.granted())
    );
}
