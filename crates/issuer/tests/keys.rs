//! Signing keys: their algorithms, and what happens when one is lost.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use http::StatusCode;
use support::{SECOND, START_MS, Server};
use tenure_issuer::{IssuerError, KeyState, Options, SessionsSince};
use tenure_jose::{Alg, Peek, b64url, peek, sha256, sha512};

fn read(token: &str) -> Peek {
    peek(token).unwrap()
}

fn alg(token: &str) -> String {
    read(token).header.alg
}

async fn again(server: &Server, signing_alg: Alg) -> Server {
    Server::open(
        Arc::clone(&server.dir),
        Arc::clone(&server.clock),
        |options| {
            options.signing_alg = signing_alg;
        },
    )
    .await
}

#[tokio::test]
async fn every_algorithm_signs_and_is_announced() {
    for signing in Options::SIGNING_ALGS {
        let server = Server::with(|options| options.signing_alg = signing).await;
        let login = server.login("openid").await;
        let (access, id) = (login.text_of("access_token"), login.text_of("id_token"));
        assert_eq!(
            (alg(&access), alg(&id)),
            (signing.to_string(), signing.to_string())
        );
        assert_eq!(server.userinfo(&access).await.status, StatusCode::OK);
        // OpenID Connect Core §3.1.3.6: half of the hash that the signature uses.
        let half = match signing {
            Alg::EdDsa => b64url(&sha512(access.as_bytes())[..32]),
            _ => b64url(&sha256(access.as_bytes())[..16]),
        };
        assert_eq!(read(&id).text("at_hash"), Some(half.as_str()));
        let jwks = server.get("/jwks.json").await.json();
        assert_eq!(jwks["keys"][0]["alg"], signing.as_str());
        let discovery = server.get("/.well-known/openid-configuration").await.json();
        assert_eq!(
            discovery["id_token_signing_alg_values_supported"],
            serde_json::json!([signing.as_str()])
        );
    }
}

#[tokio::test]
async fn a_shared_secret_signs_nothing_here() {
    let dir = tempfile::tempdir().unwrap();
    for wrong in [Alg::Hs256, Alg::Es384] {
        let mut options = support::options(dir.path(), [7; 32]);
        options.signing_alg = wrong;
        let refused = tenure_issuer::Issuer::open(options).await.err().unwrap();
        assert!(
            matches!(
                refused,
                IssuerError::Setting {
                    name: "signing_alg",
                    ..
                }
            ),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn another_algorithm_is_turned_over_to() {
    let first = Server::with(|options| options.key_lifetime_s = None).await;
    let old = first.login("openid").await.text_of("access_token");
    let server = Server::open(
        Arc::clone(&first.dir),
        Arc::clone(&first.clock),
        |options| {
            options.key_lifetime_s = None;
            options.signing_alg = Alg::EdDsa;
        },
    )
    .await;
    let issuer = &server.issuer;
    server.wait(SECOND);
    issuer.turn_keys_over().await.unwrap();
    assert_eq!(
        alg(&server.login("openid").await.text_of("access_token")),
        "ES256"
    );
    let discovery = server.get("/.well-known/openid-configuration").await.json();
    assert_eq!(
        discovery["id_token_signing_alg_values_supported"],
        serde_json::json!(["EdDSA", "ES256"])
    );
    server.wait(299 * SECOND);
    issuer.turn_keys_over().await.unwrap();
    let late = server.login("openid").await.text_of("access_token");
    assert_eq!(alg(&late), "ES256", "not everybody knows the other key");
    server.wait(SECOND);
    issuer.turn_keys_over().await.unwrap();
    assert_eq!(
        alg(&server.login("openid").await.text_of("access_token")),
        "EdDSA"
    );
    assert_eq!(server.userinfo(&late).await.status, StatusCode::OK);
    assert_eq!(
        server.userinfo(&old).await.status,
        StatusCode::UNAUTHORIZED,
        "expired"
    );
    issuer.turn_keys_over().await.unwrap();
    let states: Vec<_> = issuer
        .key_infos()
        .iter()
        .map(|key| (key.alg, key.state))
        .collect();
    assert_eq!(
        states,
        [
            (Alg::Es256, KeyState::Retiring),
            (Alg::EdDsa, KeyState::Active)
        ],
        "and then it is done"
    );
}

/// The ways to lose the key that signs, by accident or on purpose.
const LOSSES: [&str; 3] = [
    "DELETE FROM signing_keys",
    "UPDATE signing_keys SET alg = 'what', state = 'active'",
    "UPDATE signing_keys SET sealed = substr(sealed, 2)",
];

#[tokio::test]
async fn a_lost_key_costs_no_login() {
    for loss in LOSSES {
        let server = Server::start().await;
        let login = server.login("openid").await;
        let waiting = server.login("openid").await;
        server.wait(SECOND);
        server.sql(loss);
        let after = again(&server, Alg::Es256).await;
        let access = login.text_of("access_token");
        let refused = after.userinfo(&access).await;
        support::assert_error(&refused, 401, "invalid_token", "API02022", "key_mismatch");
        let next = after.refresh(&login.text_of("refresh_token")).await;
        assert_eq!(next.status, StatusCode::OK, "{loss}: {}", next.text);
        let access = next.text_of("access_token");
        assert_eq!(after.userinfo(&access).await.status, StatusCode::OK);

        // The process that was running all the while learns of it.
        server.issuer.catch_up().await.unwrap();
        assert_eq!(
            server.userinfo(&access).await.status,
            StatusCode::OK,
            "{loss}"
        );
        let signed = server.refresh(&next.text_of("refresh_token")).await;
        let kid = |token: &str| read(token).header.kid.unwrap();
        assert_eq!(kid(&signed.text_of("access_token")), kid(&access), "{loss}");

        let since = after
            .issuer
            .sessions_since(START_MS + SECOND)
            .await
            .unwrap();
        let expected = SessionsSince {
            renewed: 1,
            waiting: 1,
            ended: 0,
            logins: 0,
        };
        assert_eq!(since, expected, "{loss}");
        let refresh = waiting.text_of("refresh_token");
        assert_eq!(after.refresh(&refresh).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_damaged_next_key_takes_nothing_with_it() {
    let server = Server::start().await;
    server.wait(SECOND);
    server.issuer.admin("a test").rotate_key().await.unwrap();
    let access = server.login("openid").await.text_of("access_token");
    server.sql("UPDATE signing_keys SET sealed = substr(sealed, 2) WHERE state = 'next'");
    let after = server.restart().await;
    assert_eq!(after.userinfo(&access).await.status, StatusCode::OK);
    server.wait(SECOND);
    after.issuer.admin("a test").rotate_key().await.unwrap();
    let states: Vec<_> = after
        .issuer
        .key_infos()
        .iter()
        .map(|key| key.state)
        .collect();
    assert_eq!(states, [KeyState::Active, KeyState::Next]);
}

#[tokio::test]
async fn verifiers_are_told_which_key_is_revoked() {
    let server = Server::start().await;
    let kid = server.issuer.key_infos()[0].kid.clone();
    assert!(!server.issuer.revocations().is_key_revoked(&kid));
    server
        .issuer
        .admin("a test")
        .revoke_key(&kid)
        .await
        .unwrap();
    server
        .issuer
        .admin("a test")
        .revoke_key(&kid)
        .await
        .unwrap();
    assert!(server.issuer.revocations().is_key_revoked(&kid), "at once");
    let after = server.restart().await;
    assert!(after.issuer.revocations().is_key_revoked(&kid), "for good");
    let list = after.get("/revocations").await.text;
    let revoked = read(&list).claims["revoked"].clone();
    assert_eq!(revoked[0]["kid"], kid.as_str(), "{revoked}");
    assert_eq!(revoked.as_array().unwrap().len(), 1, "{revoked}");
    assert_ne!(read(&list).header.kid.unwrap(), kid);
}

#[tokio::test]
async fn what_became_of_sessions_is_counted() {
    let server = Server::start().await;
    let [renewed, _waiting, ended] = [
        server.login("openid").await,
        server.login("openid").await,
        server.login("openid").await,
    ];
    server.wait(SECOND);
    let since = server.issuer.sessions_since(START_MS + SECOND);
    assert_eq!(since.await.unwrap().waiting, 3);
    server.refresh(&renewed.text_of("refresh_token")).await;
    let sid = read(&ended.text_of("access_token"))
        .text("sid")
        .unwrap()
        .to_owned();
    server
        .issuer
        .admin("a test")
        .revoke_session(&sid)
        .await
        .unwrap();
    server.login("openid").await;
    let since = server
        .issuer
        .sessions_since(START_MS + SECOND)
        .await
        .unwrap();
    let expected = SessionsSince {
        renewed: 1,
        waiting: 1,
        ended: 1,
        logins: 1,
    };
    assert_eq!(since, expected);
}
