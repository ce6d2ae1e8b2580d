//! The feed of revocations and the signed list.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use support::{Server, assert_error};
use tenure_issuer::ClientRegistration;
use tenure_jose::{KeySet, Rules, verify, verify_document};
use tower::ServiceExt;

/// An open stream of revocations.
struct Stream(Body);

impl Stream {
    async fn open(server: &Server, last: Option<&str>) -> Self {
        let mut request = Request::get("/revocations").header(header::ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self(response.into_body())
    }

    /// The next event: its name, its id, its data.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        let frame = self.0.frame().await?.unwrap().into_data().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(&format!("{name}: ")))
                .unwrap_or_default()
                .to_owned()
        };
        let data = serde_json::from_str(&field("data")).unwrap();
        Some((field("event"), field("id"), data))
    }
}

fn sid(access: &str) -> String {
    let token = tenure_jose::peek(access).unwrap();
    token.text("sid").unwrap().to_owned()
}

#[tokio::test]
async fn a_follower_learns_of_every_revocation_once_and_in_order() {
    let server = Server::start().await;
    let first = sid(&server.login("orders").await.text_of("access_token"));
    let second = sid(&server.login("orders").await.text_of("access_token"));
    server
        .issuer
        .admin("a test")
        .revoke_session(&first)
        .await
        .unwrap();
    server.issuer.catch_up().await.unwrap();

    let mut stream = Stream::open(&server, None).await;
    let (event, id, data) = stream.next().await.unwrap();
    assert_eq!(
        (event.as_str(), data["sid"].as_str()),
        ("revoked", Some(first.as_str()))
    );
    assert_eq!(
        stream.next().await.unwrap().0,
        "alive",
        "it knows everything now"
    );
    server
        .issuer
        .admin("a test")
        .revoke_session(&second)
        .await
        .unwrap();
    server.issuer.catch_up().await.unwrap();
    let (event, _, data) = stream.next().await.unwrap();
    assert_eq!(
        (event.as_str(), data["sid"].as_str()),
        ("revoked", Some(second.as_str()))
    );

    // Whoever comes back goes on where it was.
    let mut resumed = Stream::open(&server, Some(&id)).await;
    assert_eq!(resumed.next().await.unwrap().2["sid"], second.as_str());
    server.issuer.close();
    while let Some((event, _, _)) = resumed.next().await {
        assert_eq!(event, "alive");
    }
    let wrong = server.get("/revocations").await;
    assert_eq!(wrong.status, StatusCode::OK);
    let request = Request::get("/revocations?after=x").header(header::ACCEPT, "text/event-stream");
    let refused = server.send(request.body(Body::empty()).unwrap()).await;
    assert_error(&refused, 400, "invalid_request", "API03001", "bad_request");
}

#[tokio::test]
async fn the_signed_list_has_what_is_refused_and_where_to_go_on() {
    let server = Server::start().await;
    let login = server.login("orders").await;
    let access = login.text_of("access_token");
    server
        .post("/revoke", &[("client_id", "tenure"), ("token", &access)])
        .await;
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", true)
        .await
        .unwrap();
    server.issuer.catch_up().await.unwrap();
    let list = server.get("/revocations").await;
    assert_eq!(
        list.header(header::CONTENT_TYPE),
        "application/revocations+jwt"
    );
    let keys = KeySet::from_jwks(&server.issuer.keys());
    let rules = Rules {
        issuer: Some(server.issuer.id()),
        audience: None,
        typ: Some("revocations+jwt"),
        leeway_s: 0,
        now_s: support::START_MS / 1000,
    };
    let list = verify(&list.text, &keys, &rules).unwrap();
    let revoked = list.claims["revoked"].as_array().unwrap();
    let token = tenure_jose::peek(&access).unwrap();
    assert_eq!(revoked[0]["jti"], token.jti().unwrap());
    assert_eq!(revoked[1]["sid"], token.text("sid").unwrap());
    assert_eq!(revoked[1]["issued_until"], support::START_MS / 1000);
    assert!(list.claims["seq"].as_u64().unwrap() >= 2);
}

#[tokio::test]
async fn a_stream_says_that_it_lives_while_other_things_change() {
    let server = Server::start().await;
    let mut stream = Stream::open(&server, None).await;
    assert_eq!(stream.next().await.unwrap().0, "alive");
    let issuer = Arc::clone(&server.issuer);
    let changes = tokio::spawn(async move {
        for number in 0.. {
            let name = format!("App {number}");
            let app = ClientRegistration::public("changing", name);
            issuer.ensure_client(app).await.unwrap();
            issuer.catch_up().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let next = tokio::time::timeout(Duration::from_secs(20), stream.next());
    assert_eq!(next.await.expect("in time").unwrap().0, "alive");
    changes.abort();
}

#[tokio::test]
async fn a_list_may_be_larger_than_a_token() {
    let server = Server::start().await;
    for _ in 0..300 {
        server.issuer.issue("ada", "app", "orders").await.unwrap();
    }
    assert_eq!(
        server
            .issuer
            .admin("a test")
            .revoke_user("ada")
            .await
            .unwrap(),
        300
    );
    server.issuer.catch_up().await.unwrap();
    let answer = server.get("/revocations").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(answer.text.len() > tenure_jose::MAX_TOKEN_BYTES);
    let keys = KeySet::from_jwks(&server.issuer.keys());
    let rules = Rules {
        now_s: support::START_MS / 1000,
        ..Rules::default()
    };
    let list = verify_document(&answer.text, &keys, &rules).unwrap();
    assert_eq!(list.claims["revoked"].as_array().unwrap().len(), 300);
}

#[tokio::test]
async fn a_disabled_account_is_refused_at_once_and_goes_on_when_it_is_enabled() {
    let server = Server::start().await;
    let login = server.login("openid orders").await;
    let access = login.text_of("access_token");
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", true)
        .await
        .unwrap();
    assert_error(
        &server.userinfo(&access).await,
        401,
        "invalid_token",
        "API02011",
        "access_revoked",
    );
    server.wait(2_000);
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", false)
        .await
        .unwrap();
    assert_error(
        &server.userinfo(&access).await,
        401,
        "invalid_token",
        "API02011",
        "access_revoked",
    );
    let next = server.refresh(&login.text_of("refresh_token")).await;
    assert_eq!(next.status, StatusCode::OK, "{}", next.text);
    assert_eq!(
        server.userinfo(&next.text_of("access_token")).await.status,
        StatusCode::OK
    );
}
