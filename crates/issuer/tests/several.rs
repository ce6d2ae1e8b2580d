//! Several issuers on one PostgreSQL database, and a database that comes and goes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use http::StatusCode;
use support::{CLIENT_SECRET, START_MS, Server, assert_error, postgres_of};
use tenure_core::Secret;
use tenure_issuer::{ClientRegistration, Database, KeyState, Options};
use tenure_lab::Postgres;

async fn three() -> [Server; 3] {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let clock = Arc::new(AtomicI64::new(START_MS));
    let url = postgres_of(dir.path());
    let open = || {
        let url = url.clone();
        Server::open(
            Arc::clone(&dir),
            Arc::clone(&clock),
            move |options: &mut Options| {
                options.database = Database::Postgres(Secret::new(url));
            },
        )
    };
    // All at once, on an empty database.
    let (a, b, c) = tokio::join!(open(), open(), open());
    a.set_up().await;
    for one in [&b, &c] {
        one.issuer.catch_up().await.unwrap();
    }
    [a, b, c]
}

#[tokio::test(flavor = "multi_thread")]
async fn three_that_start_at_once_are_one_issuer() {
    let all = three().await;
    let kids: BTreeSet<_> = all
        .iter()
        .map(|one| one.issuer.key_infos()[0].kid.clone())
        .collect();
    assert_eq!(kids.len(), 1, "one signing key");
    let mut token = all[0].login("orders").await.text_of("refresh_token");
    for round in 0..9 {
        let answer = all[round % 3].refresh(&token).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        token = answer.text_of("refresh_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_presented_to_all_at_once_has_one_successor() {
    let all = three().await;
    let token = all[0].login("orders").await.text_of("refresh_token");
    let mut asking = tokio::task::JoinSet::new();
    for at in 0..64 {
        let (router, token) = (all[at % 3].router.clone(), token.clone());
        asking.spawn(async move {
            let body = support::form(&[
                ("grant_type", "refresh_token"),
                ("client_id", "tenure"),
                ("refresh_token", &token),
            ]);
            let request = http::Request::post("/token")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(axum::body::Body::from(body))
                .unwrap();
            let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let body = http_body_util::BodyExt::collect(response.into_body())
                .await
                .unwrap()
                .to_bytes();
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            json["refresh_token"].as_str().unwrap().to_owned()
        });
    }
    let mut answers = BTreeSet::new();
    while let Some(answer) = asking.join_next().await {
        answers.insert(answer.unwrap());
    }
    assert_eq!(answers.len(), 1);
    let rotations: u64 = all.iter().map(|one| one.issuer.stats().rotations).sum();
    assert_eq!(rotations, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_changes_the_others_know() {
    let all = three().await;
    let [a, b, c] = &all;
    let login = a.login("openid orders").await;
    let access = login.text_of("access_token");
    assert_eq!(b.userinfo(&access).await.status, StatusCode::OK);
    let sid = tenure_jose::peek(&access)
        .unwrap()
        .text("sid")
        .unwrap()
        .to_owned();
    assert!(c.issuer.admin("a test").revoke_session(&sid).await.unwrap());
    b.issuer.catch_up().await.unwrap();
    assert_error(
        &b.userinfo(&access).await,
        401,
        "invalid_token",
        "API02011",
        "access_revoked",
    );

    let late = ClientRegistration::confidential("late", "Late", Secret::new(CLIENT_SECRET));
    a.issuer.ensure_client(late).await.unwrap();
    b.issuer.catch_up().await.unwrap();
    assert!(b.issuer.clients().contains(&"late".to_owned()));
    let asks = |secret| async move {
        let pairs = [
            ("grant_type", "client_credentials"),
            ("client_id", "late"),
            ("client_secret", secret),
        ];
        b.post("/token", &pairs).await.status
    };
    assert_eq!(asks(CLIENT_SECRET).await, StatusCode::OK);
    let other = Secret::new("another-secret");
    a.issuer
        .admin("a test")
        .set_client_secret("late", other)
        .await
        .unwrap();
    b.issuer.catch_up().await.unwrap();
    assert_eq!(asks(CLIENT_SECRET).await, StatusCode::UNAUTHORIZED);
    assert_eq!(asks("another-secret").await, StatusCode::OK);
    assert_eq!(
        a.issuer
            .admin("a test")
            .remove_client("late")
            .await
            .unwrap(),
        0
    );
    b.issuer.catch_up().await.unwrap();
    assert_eq!(asks("another-secret").await, StatusCode::UNAUTHORIZED);

    a.issuer.admin("a test").rotate_key().await.unwrap();
    b.issuer.catch_up().await.unwrap();
    assert_eq!(b.issuer.keys().keys.len(), 2, "published before it signs");
    a.wait(301_000);
    a.issuer.admin("a test").promote_key().await.unwrap();
    let fresh = a.login("openid orders").await.text_of("access_token");
    assert_eq!(
        b.userinfo(&fresh).await.status,
        StatusCode::OK,
        "signed by a key it published"
    );
    b.issuer.catch_up().await.unwrap();
    let active = |server: &Server| {
        let infos = server.issuer.key_infos();
        infos
            .into_iter()
            .find(|key| key.state == KeyState::Active)
            .unwrap()
            .kid
    };
    assert_eq!(active(a), active(b));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_costs_no_session() {
    let postgres = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let url = postgres.database();
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::open(dir, Arc::new(AtomicI64::new(START_MS)), |options| {
        options.database = Database::Postgres(Secret::new(url));
    })
    .await;
    server.set_up().await;
    let first = server.login("orders").await.text_of("refresh_token");
    let second = server.refresh(&first).await.text_of("refresh_token");
    let follow = || {
        http::Request::get("/revocations")
            .header("accept", "text/event-stream")
            .body(axum::body::Body::empty())
            .unwrap()
    };
    let stream = tower::ServiceExt::oneshot(server.router.clone(), follow());
    let stream = stream.await.unwrap().into_body();
    postgres.kill();
    // Whoever follows is not told that all is known: the stream ends, and none begins.
    assert!(server.issuer.catch_up().await.is_err());
    let heard = http_body_util::BodyExt::collect(stream).await;
    assert!(heard.is_ok(), "it ends");
    let none = server.send(follow()).await;
    assert_error(
        &none,
        503,
        "temporarily_unavailable",
        "API01008",
        "server_unavailable",
    );
    let refused = server.refresh(&second).await;
    assert_error(
        &refused,
        503,
        "temporarily_unavailable",
        "API01008",
        "server_unavailable",
    );
    postgres.run();
    // Connections that broke are found out one by one; none of them answers with anything but a passing error.
    let third = loop {
        let answer = server.refresh(&second).await;
        if answer.status == StatusCode::OK {
            break answer;
        }
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            answer.text
        );
    };
    assert_eq!(
        server.refresh(&third.text_of("refresh_token")).await.status,
        StatusCode::OK
    );
    server.issuer.catch_up().await.expect("it reads again");
    let again = tower::ServiceExt::oneshot(server.router.clone(), follow()).await;
    assert_eq!(again.unwrap().status(), StatusCode::OK);
    assert_eq!(server.issuer.stats().kills, 0);
}
