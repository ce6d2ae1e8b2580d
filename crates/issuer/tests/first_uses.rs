//! APIs report what they see in use: a retry after a lost reply and a theft are told apart, with no allowance and no guess.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::json;
use support::{Answer, CLIENT_SECRET, HOUR, Server};
use tenure_core::Secret;
use tenure_http::Client;
use tenure_jose::{KeySet, b64};
use tenure_verify::{FirstUses, KeySource, Verifier};
use tokio::net::TcpListener;

async fn server() -> Server {
    Server::with(|options| options.rotation.use_visible = true).await
}

/// An API's verifier that reports to the issuer over a real socket.
async fn api(server: &Server) -> (Verifier, FirstUses) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/uses", listener.local_addr().unwrap());
    let service = server
        .router
        .clone()
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let uses = FirstUses::report(
        url.parse().unwrap(),
        Client::new().unwrap(),
        "job",
        &Secret::new(CLIENT_SECRET),
        Duration::from_millis(1),
    )
    .unwrap();
    let clock = server.clock.clone();
    let verifier = Verifier::builder(KeySource::fixed(KeySet::from_jwks(&server.issuer.keys())))
        .clock(move || clock.load(std::sync::atomic::Ordering::SeqCst) / 1000)
        .first_uses(uses.clone())
        .build()
        .unwrap();
    (verifier, uses)
}

async fn until_reported(uses: &FirstUses, count: u64) {
    while uses.reported() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_comes_with_the_token_before_one_that_is_in_use_has_a_copy() {
    let server = server().await;
    let (verifier, uses) = api(&server).await;
    let first = server.login("openid").await.text_of("refresh_token");
    let second = server.refresh(&first).await;
    verifier
        .verify(&second.text_of("access_token"))
        .await
        .unwrap();
    until_reported(&uses, 1).await;
    server.wait(HOUR);
    let refused = server.refresh(&first).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.json()["tenure"]["subtype"], "successor_used");
}

#[tokio::test]
async fn replies_may_be_lost_as_often_as_they_are_where_nothing_is_in_use() {
    let server = server().await;
    let mut token = server.login("openid").await.text_of("refresh_token");
    for _ in 0..4 {
        // Each reply is lost, and the same token comes an hour later.
        let lost = server.refresh(&token).await.text_of("refresh_token");
        server.wait(HOUR);
        let again = server.refresh(&token).await;
        assert_eq!(again.status, StatusCode::OK, "{}", again.text);
        assert_eq!(again.text_of("refresh_token"), lost);
        token = lost;
    }
    // Without reports the second of them would have ended the session.
    let blind = Server::start().await;
    let first = blind.login("openid").await.text_of("refresh_token");
    let second = blind.refresh(&first).await.text_of("refresh_token");
    blind.wait(HOUR);
    assert_eq!(blind.refresh(&first).await.status, StatusCode::OK);
    blind.refresh(&second).await;
    blind.wait(HOUR);
    let refused = blind.refresh(&second).await;
    assert_eq!(refused.json()["tenure"]["subtype"], "late_retries");
}

async fn report(server: &Server, credentials: &str, body: &str) -> Answer {
    let request = Request::post("/uses")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Basic {}", b64(credentials)))
        .body(Body::from(body.to_owned()))
        .unwrap();
    server.send(request).await
}

#[tokio::test]
async fn only_clients_that_prove_themselves_report() {
    let server = server().await;
    let document = server.get("/.well-known/openid-configuration").await.json();
    let told = document["tenure_first_uses_endpoint"].as_str().unwrap();
    assert!(told.ends_with("/uses"));
    let job = "job:canary%3Aclient+secret";
    let body = json!({ "uses": [["nonsense", 1], ["AAAAAAAAAAAAAAAAAAAAAA", 7]] }).to_string();
    assert_eq!(
        report(&server, job, &body).await.status,
        StatusCode::NO_CONTENT
    );
    for credentials in ["job:wrong", "app:", "nobody:x"] {
        let refused = report(&server, credentials, &body).await;
        assert_eq!(
            refused.status,
            StatusCode::UNAUTHORIZED,
            "{credentials}: {}",
            refused.text
        );
    }
    let many = json!({ "uses": vec![("s", 1); 1_001] }).to_string();
    for wrong in [
        "",
        "[]",
        "{\"uses\":[[1,2]]}",
        "{\"uses\":[[\"s\",-1]]}",
        &many,
    ] {
        assert_eq!(
            report(&server, job, wrong).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    let off = Server::start().await;
    assert_eq!(report(&off, job, &body).await.status, StatusCode::NOT_FOUND);
    let document = off.get("/.well-known/openid-configuration").await.json();
    assert!(document["tenure_first_uses_endpoint"].is_null());
}
