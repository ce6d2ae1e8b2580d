//! Pushed authorization requests (RFC 9126) and logouts that a client asks for.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use http::{StatusCode, header};
use support::{Answer, PASSWORD, REDIRECT, SECOND, Server, assert_error, challenge, form};
use tenure_issuer::ClientRegistration;

const AFTER: &str = "https://shop.example/bye";

async fn push(server: &Server, changes: &[(&str, &str)]) -> Answer {
    let challenge = challenge();
    let pairs = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid orders"),
        ("state", "a state & more"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let kept = pairs
        .iter()
        .filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
    let all: Vec<(&str, &str)> = kept.chain(changes).copied().collect();
    server.post("/par", &all).await
}

#[tokio::test]
async fn a_request_handed_in_beforehand_is_carried_out_without_passing_the_browser() {
    let server = Server::start().await;
    let pushed = push(&server, &[]).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.text);
    assert_eq!(pushed.json()["expires_in"], 90);
    let uri = pushed.text_of("request_uri");
    assert!(
        uri.starts_with("urn:ietf:params:oauth:request_uri:"),
        "{uri}"
    );

    let link = format!(
        "/authorize?{}",
        form(&[("client_id", "app"), ("request_uri", &uri)])
    );
    let page = server.get(&link).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let cookie = page
        .header(header::SET_COOKIE)
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let back = server.submit_login(&page, &cookie, PASSWORD, "allow").await;
    assert_eq!(back.location("state").as_deref(), Some("a state & more"));
    let tokens = server.redeem(&back.location("code").unwrap(), &[]).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);

    // Another client's, a made-up one, and one that waited for too long.
    for (client, name) in [
        ("other", uri.as_str()),
        ("app", "urn:ietf:params:oauth:request_uri:x"),
    ] {
        let link = format!(
            "/authorize?{}",
            form(&[("client_id", client), ("request_uri", name)])
        );
        assert_eq!(server.get(&link).await.status, StatusCode::BAD_REQUEST);
    }
    server.wait(91 * SECOND);
    assert_eq!(server.get(&link).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_wrong_is_told_to_the_client_before_anybody_is_shown_a_page() {
    let server = Server::start().await;
    for (name, value, error) in [
        ("redirect_uri", "https://evil.example/cb", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("scope", "everything", "invalid_scope"),
        ("request_uri", "urn:x", "invalid_request"),
    ] {
        let refused = push(&server, &[(name, value)]).await;
        assert_error(&refused, 400, error, "API03001", "bad_request");
    }
    let unknown = push(&server, &[("client_id", "nobody")]).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED, "{}", unknown.text);
    let strict = ClientRegistration {
        redirect_uris: vec!["http://127.0.0.1/cb".into()],
        scopes: vec!["orders".into()],
        par_required: true,
        ..ClientRegistration::public("strict", "Strict")
    };
    server.issuer.ensure_client(strict).await.unwrap();
    let (page, _) = server
        .open_login(&[("client_id", "strict"), ("scope", "orders")])
        .await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.text);
    let pushed = push(&server, &[("client_id", "strict"), ("scope", "orders")]).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.text);
}

async fn logged_in(server: &Server) -> Answer {
    let app = ClientRegistration {
        redirect_uris: vec!["http://127.0.0.1/cb".into()],
        post_logout_redirect_uris: vec![AFTER.into()],
        scopes: vec!["orders".into()],
        ..ClientRegistration::public("app", "App")
    };
    server.issuer.ensure_client(app).await.unwrap();
    let code = server.code(&[]).await;
    server.redeem(&code, &[]).await
}

#[tokio::test]
async fn an_id_token_ends_its_session_and_the_browser_goes_where_the_client_said() {
    let server = Server::start().await;
    let login = logged_in(&server).await;
    let (id_token, refresh) = (login.text_of("id_token"), login.text_of("refresh_token"));
    // Expired long ago, and good for this all the same.
    server.wait(3_600 * SECOND);
    let query = form(&[
        ("id_token_hint", &id_token),
        ("post_logout_redirect_uri", AFTER),
        ("state", "s 1"),
    ]);
    let out = server.get(&format!("/logout?{query}")).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER, "{}", out.text);
    assert_eq!(out.location("state").as_deref(), Some("s 1"));
    assert!(out.header(header::LOCATION).starts_with(AFTER));
    let refused = server.refresh_as("app", &refresh).await;
    assert_error(
        &refused,
        400,
        "invalid_grant",
        "API02014",
        "refresh_revoked",
    );
}

#[tokio::test]
async fn a_logout_link_that_proves_nothing_ends_nothing() {
    let server = Server::start().await;
    let login = logged_in(&server).await;
    let id_token = login.text_of("id_token");
    let access = login.text_of("access_token");
    let cases: [&[(&str, &str)]; 5] = [
        &[],
        &[("id_token_hint", "a.b.c")],
        &[("id_token_hint", &access)],
        &[("id_token_hint", &id_token), ("client_id", "other")],
        &[
            ("id_token_hint", &id_token),
            ("post_logout_redirect_uri", "https://evil.example/"),
        ],
    ];
    for pairs in cases {
        let refused = server.post("/logout", pairs).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
        assert!(
            refused.text.contains("Nobody was logged out"),
            "{}",
            refused.text
        );
    }
    let lives = server
        .refresh_as("app", &login.text_of("refresh_token"))
        .await;
    assert_eq!(lives.status, StatusCode::OK, "{}", lives.text);
}
