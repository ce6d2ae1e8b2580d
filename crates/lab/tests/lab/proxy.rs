//! The proxy that breaks things.

use tenure_lab::proxy::Mode;
use tenure_lab::{FaultProxy, FaultyIssuer, Gate, IssuerConfig, wait_until};

use crate::client::refresh;

fn start() -> (FaultyIssuer, FaultProxy, String, String) {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let proxy = FaultProxy::start(issuer.addr());
    let token = issuer.issue()["refresh_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let endpoint = format!("{}/token", proxy.url());
    (issuer, proxy, token, endpoint)
}

#[tokio::test]
async fn passes_counts_refuses_and_comes_back() {
    let (issuer, proxy, token, endpoint) = start();
    let second = refresh(&endpoint, &token).await.expect("an answer");
    assert_eq!((second.status, proxy.connections()), (200, 1));
    assert!(proxy.bytes_up() > 0 && proxy.bytes_down() > 0);
    wait_until(|| proxy.open_connections() == 0, "the connection to close").await;
    proxy.refuse();
    let refused = refresh(&endpoint, &second.at("/refresh_token")).await;
    assert!(refused.expect_err("refused").contains("refused"));
    assert_eq!(issuer.hits("/token"), 1);
    proxy.accept();
    assert_eq!(
        refresh(&endpoint, &second.at("/refresh_token"))
            .await
            .expect("an answer")
            .status,
        200
    );
}

#[tokio::test]
async fn lost_replies_leave_the_rotation_done() {
    let (issuer, proxy, token, endpoint) = start();
    proxy.set(Mode::LoseReplies);
    let asking = tokio::spawn({
        let token = token.clone();
        async move { refresh(&endpoint, &token).await }
    });
    wait_until(|| proxy.bytes_down() > 0, "the reply to be lost").await;
    assert!(!asking.is_finished());
    proxy.cut();
    let error = asking
        .await
        .expect("no panic")
        .expect_err("cut")
        .to_lowercase();
    assert!(error.contains("reset"), "{error}");
    assert_eq!(issuer.spent(&token), 1);
}

#[tokio::test]
async fn a_black_hole_swallows_and_a_delay_delays() {
    let (issuer, proxy, token, endpoint) = start();
    proxy.set(Mode::BlackHole);
    let asking = tokio::spawn({
        let (endpoint, token) = (endpoint.clone(), token.clone());
        async move {
            refresh(&endpoint, &token)
                .await
                .map(|answer| answer.at("/refresh_token"))
        }
    });
    wait_until(|| proxy.open_connections() == 1, "the connection").await;
    assert_eq!((issuer.hits("/token"), asking.is_finished()), (0, false));
    proxy.set(Mode::Pass);
    let second = asking
        .await
        .expect("no panic")
        .expect("what was swallowed arrives in the end");
    let gate = Gate::closed();
    proxy.set(Mode::DelayReplies(gate.clone()));
    let asking = tokio::spawn(async move {
        refresh(&endpoint, &second)
            .await
            .map(|answer| answer.status)
    });
    gate.wait_arrived(1).await;
    assert_eq!((issuer.exchanges().len(), asking.is_finished()), (2, false));
    gate.open();
    assert_eq!(asking.await.expect("no panic"), Ok(200));
}

#[tokio::test]
async fn replies_are_cut_after_so_many_bytes() {
    let (issuer, proxy, token, endpoint) = start();
    proxy.set(Mode::CutRepliesAfter(20));
    let error = refresh(&endpoint, &token)
        .await
        .expect_err("cut inside the head");
    assert!(error.to_lowercase().contains("reset"), "{error}");
    assert_eq!(issuer.spent(&token), 1);
}
