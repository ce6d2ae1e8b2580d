//! Revocation, introspection, keys, pruning, and databases that cannot be opened.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use http::{StatusCode, header};
use support::{HOUR, PASSWORD, SECOND, Server, assert_error};
use tenure_core::Secret;
use tenure_issuer::{Issuer, IssuerError, KeyState, SessionFilter};

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_session_at_once() {
    let server = Server::start().await;
    let login = server.login("openid").await;
    let (refresh, access) = (
        login.text_of("refresh_token"),
        login.text_of("access_token"),
    );
    let wrong = server
        .post("/revoke", &[("client_id", "app"), ("token", &refresh)])
        .await;
    assert_error(
        &wrong,
        400,
        "invalid_grant",
        "API02020",
        "client_unauthorized",
    );
    assert_eq!(server.userinfo(&access).await.status, StatusCode::OK);
    for _ in 0..2 {
        let done = server
            .post("/revoke", &[("client_id", "tenure"), ("token", &refresh)])
            .await;
        assert_eq!((done.status, done.text.as_str()), (StatusCode::OK, ""));
    }
    assert_error(
        &server.userinfo(&access).await,
        401,
        "invalid_token",
        "API02011",
        "access_revoked",
    );
    let refused = server.refresh(&refresh).await;
    assert_error(
        &refused,
        400,
        "invalid_grant",
        "API02014",
        "refresh_revoked",
    );
    assert_eq!(refused.json()["tenure"]["subtype"], "client_request");
}

#[tokio::test]
async fn revoking_an_access_token_ends_that_token_only() {
    let server = Server::start().await;
    let login = server.login("openid").await;
    let access = login.text_of("access_token");
    assert_eq!(
        server
            .post("/revoke", &[("client_id", "tenure"), ("token", &access)])
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        server.userinfo(&access).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        server.restart().await.userinfo(&access).await.status,
        StatusCode::UNAUTHORIZED,
        "also after a restart"
    );
    let next = server.refresh(&login.text_of("refresh_token")).await;
    assert_eq!(
        server.userinfo(&next.text_of("access_token")).await.status,
        StatusCode::OK
    );
    assert_eq!(
        server
            .post("/revoke", &[("client_id", "tenure"), ("token", "junk")])
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        server.post("/revoke", &[("token", &access)]).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn introspection_tells_clients_that_prove_themselves() {
    let server = Server::start().await;
    let login = server.login("openid orders").await;
    let (access, refresh) = (
        login.text_of("access_token"),
        login.text_of("refresh_token"),
    );
    let live = server
        .post_as_job("/introspect", &[("token", &access)])
        .await;
    assert_eq!(live.json()["active"], true);
    assert_eq!(live.json()["scope"], "openid orders");
    assert_eq!(live.header(header::CACHE_CONTROL), "no-store");
    let inactive = serde_json::json!({"active": false});
    for token in [refresh.as_str(), "junk", &format!("{access}x")] {
        assert_eq!(
            server
                .post_as_job("/introspect", &[("token", token)])
                .await
                .json(),
            inactive,
            "not the client's, or nothing"
        );
    }
    let public = server
        .post("/introspect", &[("client_id", "app"), ("token", &access)])
        .await;
    assert_eq!(public.status, StatusCode::UNAUTHORIZED);
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", true)
        .await
        .unwrap();
    assert_eq!(
        server
            .post_as_job("/introspect", &[("token", &access)])
            .await
            .json(),
        inactive
    );
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", false)
        .await
        .unwrap();
    server.wait(301 * SECOND);
    assert_eq!(
        server
            .post_as_job("/introspect", &[("token", &access)])
            .await
            .json(),
        inactive,
        "expired"
    );
}

#[tokio::test]
async fn an_administrator_ends_sessions() {
    let server = Server::start().await;
    let (one, two) = (server.login("openid").await, server.login("openid").await);
    let sessions = server
        .issuer
        .sessions(SessionFilter::default(), 10)
        .await
        .unwrap();
    assert_eq!(
        (
            sessions.len(),
            sessions[0].info.user.as_str(),
            sessions[0].info.client_id.as_str()
        ),
        (2, "ada", "tenure")
    );
    let sid = tenure_jose::peek(&one.text_of("access_token"))
        .unwrap()
        .text("sid")
        .unwrap()
        .to_owned();
    assert!(
        server
            .issuer
            .admin("a test")
            .revoke_session(&sid)
            .await
            .unwrap()
    );
    assert!(
        !server
            .issuer
            .admin("a test")
            .revoke_session(&sid)
            .await
            .unwrap()
            && !server
                .issuer
                .admin("a test")
                .revoke_session("?")
                .await
                .unwrap()
    );
    assert_eq!(
        server.refresh(&one.text_of("refresh_token")).await.json()["tenure"]["subtype"],
        "administrator"
    );
    assert_eq!(
        server.userinfo(&two.text_of("access_token")).await.status,
        StatusCode::OK
    );
    server
        .issuer
        .admin("a test")
        .set_password("ada", &Secret::new("another password"))
        .await
        .unwrap();
    assert_eq!(
        server.userinfo(&two.text_of("access_token")).await.status,
        StatusCode::UNAUTHORIZED
    );
    let pairs = [
        ("grant_type", "password"),
        ("client_id", "tenure"),
        ("username", "ada"),
        ("password", PASSWORD),
    ];
    assert_error(
        &server.post("/token", &pairs).await,
        400,
        "invalid_grant",
        "API02001",
        "login_rejected",
    );
    assert_eq!(
        server
            .issuer
            .admin("a test")
            .revoke_client("tenure")
            .await
            .unwrap(),
        0
    );
    assert!(matches!(
        server.issuer.admin("a test").revoke_user("nobody").await,
        Err(IssuerError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_next_key_is_published_before_it_signs() {
    let server = Server::start().await;
    let old = server.login("openid").await.text_of("access_token");
    let kid = |token: &str| tenure_jose::peek(token).unwrap().header.kid.unwrap();
    server.issuer.admin("a test").rotate_key().await.unwrap();
    server.issuer.admin("a test").rotate_key().await.unwrap();
    assert_eq!(
        server.issuer.keys().keys.len(),
        2,
        "one next key, however often asked"
    );
    assert_eq!(
        kid(&server.login("openid").await.text_of("access_token")),
        kid(&old)
    );
    assert!(matches!(
        server.issuer.admin("a test").promote_key().await,
        Err(IssuerError::TooEarly { wait_s: 300 })
    ));
    server.wait(300 * SECOND);
    let late = server.login("openid").await.text_of("access_token");
    server.issuer.admin("a test").promote_key().await.unwrap();
    let new = server.login("openid").await;
    assert_ne!(kid(&new.text_of("access_token")), kid(&old));
    assert_eq!(
        server.userinfo(&late).await.status,
        StatusCode::OK,
        "the old key still verifies"
    );
    server.wait(HOUR);
    assert!(server.issuer.prune().await.unwrap() >= 1);
    assert_eq!(server.issuer.keys().keys.len(), 1);
    // A revoked key costs no login.
    let signing = kid(&new.text_of("access_token"));
    server
        .issuer
        .admin("a test")
        .revoke_key(&signing)
        .await
        .unwrap();
    let state = server
        .issuer
        .key_infos()
        .into_iter()
        .find(|info| info.kid == signing)
        .unwrap()
        .state;
    assert_eq!(state, KeyState::Revoked);
    let next = server.refresh(&new.text_of("refresh_token")).await;
    assert_eq!(
        server.userinfo(&next.text_of("access_token")).await.status,
        StatusCode::OK
    );
    assert!(matches!(
        server.issuer.admin("a test").revoke_key("nosuch").await,
        Err(IssuerError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_token_of_a_revoked_key_is_named() {
    let server = Server::start().await;
    let access = server.login("openid").await.text_of("access_token");
    let kid = server.issuer.key_infos()[0].kid.clone();
    server
        .issuer
        .admin("a test")
        .revoke_key(&kid)
        .await
        .unwrap();
    assert_error(
        &server.userinfo(&access).await,
        401,
        "invalid_token",
        "API02022",
        "key_mismatch",
    );
}

#[tokio::test]
async fn userinfo_refuses_as_rfc_6750_says() {
    let server = Server::start().await;
    let bare = server.get("/userinfo").await;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        bare.header(header::WWW_AUTHENTICATE),
        "Bearer realm=\"tenure\""
    );
    let access = server.login("openid").await.text_of("access_token");
    let narrow = server.login("orders").await.text_of("access_token");
    let refused = server.userinfo(&narrow).await;
    assert_error(
        &refused,
        403,
        "insufficient_scope",
        "API02005",
        "insufficient_scope",
    );
    assert_error(
        &server.userinfo("junk").await,
        401,
        "invalid_token",
        "API02003",
        "access_invalid",
    );
    server.wait(301 * SECOND);
    assert_error(
        &server.userinfo(&access).await,
        401,
        "invalid_token",
        "API02002",
        "access_expired",
    );
}

#[tokio::test]
async fn what_is_long_over_is_forgotten_and_the_living_stay() {
    let server = Server::start().await;
    let day = 24 * HOUR;
    let dead = server.login("orders").await.text_of("refresh_token");
    let revoked = server.login("orders").await.text_of("refresh_token");
    server
        .post("/revoke", &[("client_id", "tenure"), ("token", &revoked)])
        .await;
    server.code(&[]).await;
    server
        .post("/device_authorization", &[("client_id", "app")])
        .await;
    let mut living = server.login("orders").await.text_of("refresh_token");
    for _ in 0..3 {
        server.wait(21 * day);
        living = server.refresh(&living).await.text_of("refresh_token");
    }
    assert_eq!(
        server.refresh(&dead).await.json()["tenure"]["code"],
        "API02009",
        "expired, and known as such"
    );
    assert_eq!(
        server.issuer.prune().await.unwrap(),
        1 + 1 + 1 + 1 + 6,
        "a code, a device code, two families, and six changes told to other processes"
    );
    assert_eq!(
        server.refresh(&dead).await.json()["tenure"]["subtype"],
        "unknown"
    );
    assert_eq!(server.refresh(&living).await.status, StatusCode::OK);
    assert_eq!(server.issuer.prune().await.unwrap(), 0);
    assert!(server.issuer.revocations().is_empty());
}

#[tokio::test]
async fn another_store_key_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let token = server.login("orders").await.text_of("refresh_token");
    let error = Issuer::open(support::options(server.dir.path(), [8; 32]))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, IssuerError::Unsealable { .. }), "{error}");
    assert!(error.to_string().contains("store key"));
    assert_eq!(
        server.restart().await.refresh(&token).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn bad_settings_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for url in [
        "ftp://x.example",
        "https://x.example/path",
        "https://x.example/?q",
        "https://u@x.example",
    ] {
        let mut options = support::options(dir.path(), [7; 32]);
        options.issuer_url = url.parse().unwrap();
        let error = Issuer::open(options).await.err().unwrap().to_string();
        assert!(
            error.contains("issuer_url") && error.contains("x.example"),
            "{error}"
        );
    }
    let mut options = support::options(dir.path(), [7; 32]);
    options.scopes = vec!["two words".into()];
    assert!(
        Issuer::open(options)
            .await
            .err()
            .unwrap()
            .to_string()
            .contains("two words")
    );
}

#[tokio::test]
async fn error_pages_exist() {
    let server = Server::start().await;
    let page = server.get("/error-codes/API02009").await;
    assert!(page.status.is_success() && page.text.contains("Refresh Token Expired"));
    assert_eq!(
        server.get("/error-codes/nosuch").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_new_password_and_the_end_of_the_sessions_come_together_or_not_at_all() {
    let server = Server::start().await;
    let login = server.login("openid").await;
    let admin = server.issuer.admin("a test");
    let new = Secret::new("another-password-1");
    // Sessions cannot be ended while revocations cannot be written.
    server.sql("ALTER TABLE changes RENAME TO elsewhere");
    admin.set_password("ada", &new).await.unwrap_err();
    server.sql("ALTER TABLE elsewhere RENAME TO changes");
    let refresh = login.text_of("refresh_token");
    let lives = server.refresh(&refresh).await;
    assert_eq!(lives.status, StatusCode::OK, "{}", lives.text);
    // With the old password: nothing was done.
    server.login("openid").await;

    assert_eq!(admin.set_password("ada", &new).await.unwrap(), 2);
    let refused = server.refresh(&lives.text_of("refresh_token")).await;
    assert_error(
        &refused,
        400,
        "invalid_grant",
        "API02014",
        "refresh_revoked",
    );
}

#[tokio::test]
async fn where_the_settings_say_so_sessions_outlive_a_password_and_tokens_a_closed_account() {
    let server = Server::with(|options| options.revoke_at_once = false).await;
    let login = server.login("openid").await;
    let access = login.text_of("access_token");
    let admin = server.issuer.admin("ops on here");
    let new = Secret::new("another long password");
    assert_eq!(admin.set_password("ada", &new).await.unwrap(), 0);
    let refreshed = server.refresh(&login.text_of("refresh_token")).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.text);
    admin.set_disabled("ada", true).await.unwrap();
    let token = tenure_jose::peek(&access).unwrap();
    let revoked = server.issuer.revocations();
    assert!(!revoked.is_revoked(token.jti(), token.text("sid"), token.iat()));
    let refused = server.refresh(&refreshed.text_of("refresh_token")).await;
    assert_eq!(
        refused.status,
        StatusCode::BAD_REQUEST,
        "no refresh all the same"
    );
}
