//! Each fault of a token endpoint: what the client sees, and whether the rotation happened.

use std::time::{Duration, SystemTime};

use tenure_lab::{Fault, FaultyIssuer, Gate, IssuerConfig, JsonRefresh, Sink};

use crate::client::{get, post_json, refresh, send};
use serde_json::json;

fn start() -> (FaultyIssuer, String) {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let token = issuer.issue()["refresh_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    (issuer, token)
}

#[tokio::test]
async fn faults_that_do_not_commit_leave_the_token_unspent() {
    let (issuer, token) = start();
    let faults = issuer.faults();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    faults.next(Fault::Status(
        500,
        r#"{"error":"server_error"}"#.into(),
        vec![("x-request-id".into(), "7".into())],
    ));
    faults.next(Fault::Html200);
    faults.next(Fault::RetryAfterSeconds(7));
    faults.next(Fault::RetryAfterDate(784_111_777));
    faults.next(Fault::Garbage);
    faults.next(Fault::Empty200);
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(
            refresh(&issuer.token_endpoint(), &token)
                .await
                .expect("an answer"),
        );
    }
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [500, 200, 429, 503, 200, 200]);
    assert_eq!(
        (
            answers[0].header("x-request-id"),
            answers[0].at("/error").as_str()
        ),
        ("7", "server_error")
    );
    assert!(answers[1].header("content-type").starts_with("text/html"));
    assert_eq!(answers[2].header("retry-after"), "7");
    assert_eq!(
        httpdate::parse_http_date(answers[3].header("retry-after")).ok(),
        Some(at)
    );
    assert!(
        serde_json::from_slice::<serde_json::Value>(&answers[4].body).is_err()
            && !answers[4].body.is_empty()
    );
    assert!(answers[5].body.is_empty());
    assert!(
        refresh_fails(&issuer, Fault::ResetBeforeProcessing, &token)
            .await
            .contains("reset"),
        "a reset, not an end"
    );
    assert!(issuer.exchanges().is_empty());
    assert_eq!((faults.shown(), issuer.hits("/token")), (7, 7));
    let recorded = issuer.requests_to("/token");
    assert!(
        recorded
            .iter()
            .all(|request| request.field("refresh_token").as_deref() == Some(token.as_str()))
    );
    assert!(
        recorded
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    assert_eq!(recorded[6].status, None, "no answer was given");
    assert_eq!(
        refresh(&issuer.token_endpoint(), &token)
            .await
            .expect("an answer")
            .status,
        200
    );
}

async fn refresh_fails(issuer: &FaultyIssuer, fault: Fault, token: &str) -> String {
    issuer.faults().next(fault);
    let failed = refresh(&issuer.token_endpoint(), token).await;
    failed.expect_err("no whole answer").to_lowercase()
}

#[tokio::test]
async fn reset_after_commit_spends_the_token() {
    let (issuer, token) = start();
    assert!(
        refresh_fails(&issuer, Fault::ResetAfterCommit, &token)
            .await
            .contains("reset")
    );
    assert_eq!(issuer.spent(&token), 1);
    let again = refresh(&issuer.token_endpoint(), &token)
        .await
        .expect("an answer");
    assert_eq!(
        again.at("/error"),
        "invalid_grant",
        "a strict issuer takes the repeat for theft"
    );
    assert!(issuer.is_revoked(&token));
}

#[tokio::test]
async fn half_an_answer_is_half_an_answer() {
    let (issuer, token) = start();
    let error = refresh_fails(&issuer, Fault::DropHalfAnswer, &token).await;
    assert!(
        error.starts_with("body:"),
        "the head came, the body broke: {error}"
    );
    assert_eq!(issuer.spent(&token), 1);
}

#[tokio::test]
async fn slow_waits_before_and_slow_answer_after_the_commit() {
    let (issuer, token) = start();
    for (fault, committed) in [
        (Fault::Slow as fn(Gate) -> Fault, 0),
        (Fault::SlowAnswer, 2),
    ] {
        let gate = Gate::closed();
        issuer.faults().next(fault(gate.clone()));
        let before = issuer.exchanges().last().map_or(token.clone(), |_| {
            issuer.issue()["refresh_token"]
                .as_str()
                .expect("a token")
                .to_owned()
        });
        let asking = tokio::spawn({
            let endpoint = issuer.token_endpoint();
            async move { refresh(&endpoint, &before).await }
        });
        gate.wait_arrived(1).await;
        assert_eq!(issuer.exchanges().len(), committed);
        assert!(!asking.is_finished());
        gate.open();
        assert_eq!(
            asking.await.expect("no panic").expect("an answer").status,
            200
        );
    }
}

#[tokio::test]
async fn a_hanging_endpoint_says_nothing_and_then_closes() {
    let (issuer, token) = start();
    let gate = Gate::closed();
    issuer.faults().until_cleared(Fault::Hang(gate.clone()));
    let asking = tokio::spawn({
        let (endpoint, token) = (issuer.token_endpoint(), token.clone());
        async move { refresh(&endpoint, &token).await }
    });
    gate.wait_arrived(1).await;
    gate.open();
    asking
        .await
        .expect("no panic")
        .expect_err("closed without an answer");
    issuer.faults().clear();
    assert!(issuer.exchanges().is_empty());
    assert_eq!(
        refresh(&issuer.token_endpoint(), &token)
            .await
            .expect("an answer")
            .status,
        200
    );
}

#[tokio::test]
async fn a_dropped_server_is_gone_and_a_sink_listens() {
    let sink = Sink::start();
    assert_eq!(
        send("POST", &sink.url_of("/x?y=1"), &[("x-a", "b")], "hello")
            .await
            .expect("an answer")
            .status,
        200
    );
    let heard = &sink.requests()[0];
    assert_eq!(
        (
            heard.text().as_str(),
            heard.query_field("y").as_deref(),
            heard.header("x-a")
        ),
        ("hello", Some("1"), Some("b"))
    );
    let url = sink.url();
    sink.stop();
    assert!(send("GET", &url, &[], "").await.is_err());
}

#[tokio::test]
async fn json_refresh_rotates_and_names_its_refusals() {
    let api = JsonRefresh::start();
    let pair = post_json(
        &api.url_of("/login"),
        &[],
        &json!({ "username": "admin", "password": "secret" }),
    )
    .await;
    let (orders, access) = (api.url_of("/orders"), pair.at("/access_token"));
    assert_eq!(get(&orders, Some(&access)).await.status, 200);
    api.clock().advance(300);
    let expired = get(&orders, Some(&access)).await;
    assert_eq!(
        (expired.status, expired.at("/error").as_str()),
        (401, "token_expired")
    );
    assert!(expired.headers.get("www-authenticate").is_none());
    let body = json!({ "refresh_token": pair.at("/refresh_token") });
    let renewed = post_json(&api.url_of("/refresh"), &[], &body).await;
    assert_ne!(renewed.at("/refresh_token"), pair.at("/refresh_token"));
    assert_eq!(
        get(&orders, Some(&renewed.at("/access_token")))
            .await
            .status,
        200
    );
    let reused = post_json(&api.url_of("/refresh"), &[], &body).await;
    assert_eq!(
        (reused.status, reused.at("/error").as_str()),
        (401, "refresh_token_reused")
    );
    assert_eq!(api.refreshes(), 1);
}
