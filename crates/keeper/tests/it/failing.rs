//! Failures that pass and failures that are final (I5, I8, I13, I14).

use std::time::Duration;

use tenure_keeper::AfterRefusal;
use tenure_lab::{Fault, Rotation, temp_dir, wait_until};

use crate::support::{STRICT, config, issuer, keeper, log_in, session, store, until_state};

#[tokio::test]
async fn an_outage_is_no_logout_and_heals_by_itself() {
    for fault in [
        Fault::status(500, "oops"),
        Fault::status(503, "{\"error\":\"temporarily_unavailable\"}"),
        Fault::Html200,
        Fault::Garbage,
        Fault::Empty200,
        Fault::ResetBeforeProcessing,
        Fault::DropHalfAnswer,
        Fault::RetryAfterSeconds(0),
    ] {
        let shown = format!("{fault:?}");
        let (dir, issuer) = (temp_dir(), issuer(Rotation::SameSuccessor, 300_000));
        let profile = "rotation = { kind = \"same_successor\" }";
        let keeper = keeper(&store(dir.path()), config(&issuer, profile)).await;
        log_in(&keeper, &issuer).await;
        let session = session(&keeper);
        issuer.faults().until_cleared(fault);
        session.refresh().await.expect_err(&shown);
        assert_eq!(session.status().state.as_str(), "degraded", "{shown}");
        let served = session
            .token(Duration::ZERO)
            .await
            .expect("served while valid");
        assert_eq!(served.generation.0, 1, "{shown}");
        issuer.faults().clear();
        let healed = async {
            while session.refresh().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), healed)
            .await
            .expect(&shown);
        until_state(&session, "fresh").await;
    }
}

#[tokio::test]
async fn what_was_answered_is_told_and_what_is_not_known_is_not_called_lost() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let store = store(dir.path());
    let keeper = keeper(&store, config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    issuer.faults().next(Fault::status(500, "oops"));
    let session = session(&keeper);
    let failure = session.refresh().await.expect_err("it answered 500");
    let place = format!("{}/token", issuer.addr());
    let told = failure.root().evidence.iter();
    assert!(
        told.map(|fact| fact.value.as_str())
            .any(|value| value == place),
        "{failure:?}"
    );
    // The endpoint is left alone for a while, and the same token is good yet.
    let renewed = async {
        while session.refresh().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), renewed)
        .await
        .expect("renewed");
    keeper.shutdown().await;
    let events = store.events(0, None, 100).await.expect("readable");
    let texts: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
    let answered = format!("{place} answered 500; whether it rotated the refresh token is unknown");
    assert!(
        texts.iter().any(|text| text.contains(&answered)),
        "{texts:#?}"
    );
    assert!(
        !texts.iter().any(|text| text.contains("lost")),
        "{texts:#?}"
    );
}

#[tokio::test]
async fn an_expired_session_goes_on_when_its_server_is_back() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 1_000));
    let warm = tenure_keeper::SessionConfig {
        keep: tenure_core::session::Keep::Warm,
        ..config(&issuer, STRICT)
    };
    let keeper = keeper(&store(dir.path()), warm).await;
    issuer.faults().until_cleared(Fault::status(503, "down"));
    log_in(&keeper, &issuer).await;
    let session = session(&keeper);
    until_state(&session, "degraded").await;
    until_state(&session, "expired").await;
    issuer.faults().clear();
    wait_until(|| session.current().is_some(), "healed by itself").await;
}

#[tokio::test]
async fn retry_after_is_honoured_by_every_session_of_the_endpoint() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    issuer
        .faults()
        .until_cleared(Fault::RetryAfterSeconds(3_600));
    let session = session(&keeper);
    for _ in 0..20 {
        session.refresh().await.expect_err("asked to wait");
    }
    assert_eq!(issuer.faults().shown(), 1, "asked once, then left alone");
    assert!(
        session
            .status()
            .next_refresh_in
            .is_some_and(|seconds| seconds > 3_000)
    );
}

#[tokio::test]
async fn a_final_refusal_is_heard_once_and_a_login_heals_it_everywhere() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let first = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    let second = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    log_in(&first, &issuer).await;
    issuer.revoke_all_families();
    for _ in 0..10 {
        let failure = session(&first).refresh().await.expect_err("revoked");
        assert_eq!(failure.root().command.as_deref(), Some("tenure login shop"));
    }
    until_state(&session(&first), "needs_login").await;
    until_state(&session(&second), "needs_login").await;
    session(&second)
        .refresh()
        .await
        .expect_err("latched here, too");
    assert_eq!(issuer.exchanges().len(), 1, "the endpoint heard it once");
    log_in(&second, &issuer).await;
    until_state(&session(&first), "fresh").await;
    session(&first)
        .refresh()
        .await
        .expect("healed without a restart");
}

#[tokio::test]
async fn a_refusal_no_refresh_heals_does_not_loop() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    let session = session(&keeper);
    let mut not_healable = 0;
    for _ in 0..30 {
        let generation = session.snapshot().generation;
        not_healable += u32::from(matches!(
            session.refused(generation).await,
            AfterRefusal::NotHealable
        ));
    }
    assert_eq!(issuer.exchanges().len(), 1);
    assert_eq!(not_healable, 29);
    assert!(
        session.current().is_some(),
        "the token is still served to others"
    );
}

#[tokio::test]
async fn a_session_without_anything_to_renew_it_says_so() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    let failure = session(&keeper)
        .token(Duration::ZERO)
        .await
        .expect_err("nobody is logged in");
    assert_eq!(failure.code.as_str(), "API02010");
    assert_eq!(session(&keeper).status().state.as_str(), "empty");
    assert!(issuer.exchanges().is_empty());
}

#[tokio::test]
async fn a_blocked_session_asks_nothing_and_serves_what_is_valid() {
    use tenure_core::{Class, Code, Failure, Heal, Who};
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let store = store(dir.path());
    let usable = keeper(&store, config(&issuer, STRICT)).await;
    log_in(&usable, &issuer).await;
    usable.shutdown().await;
    let failure = Failure::new(
        Code::ClientRejected,
        Class::ClientInvalid,
        "secret_unreadable",
        Heal::FixConfig,
        Who::Operator,
        "no secret",
    );
    let blocked = tenure_keeper::SessionConfig {
        blocked: Some(Box::new(failure.clone())),
        ..config(&issuer, STRICT)
    };
    let keeper = keeper(&store, blocked).await;
    let session = session(&keeper);
    let before = issuer.requests().len();
    assert_eq!(session.status().state.as_str(), "needs_operator");
    assert_eq!(session.status().failure, Some(failure.clone()));
    let served = session.token(Duration::from_hours(1)).await;
    assert_eq!(served.expect("valid").generation.0, 1);
    assert_eq!(session.refresh().await.expect_err("blocked"), failure);
    let generation = session.snapshot().generation;
    assert!(matches!(
        session.refused(generation).await,
        AfterRefusal::Failed(told) if told == failure
    ));
    let revoked = keeper.logout(session.name(), true).await;
    assert_eq!(revoked.expect_err("blocked"), failure);
    assert_eq!(issuer.requests().len(), before, "nobody was asked");
}
