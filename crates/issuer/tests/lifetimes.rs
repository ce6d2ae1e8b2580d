//! Lifetimes that an administrator decides: in force everywhere, and reckoned with until the last token is gone.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use http::StatusCode;
use support::{HOUR, SECOND, Server};
use tenure_issuer::{Decided, Ends, IssuerError};

async fn decide(server: &Server, decided: Decided) {
    let admin = server.issuer.admin("ops on here");
    admin.decide_lifetimes(decided).await.unwrap();
}

#[tokio::test]
async fn what_is_decided_is_in_force_in_every_process_and_after_a_restart() {
    let server = Server::start().await;
    let other = Server::open(Arc::clone(&server.dir), Arc::clone(&server.clock), |_| {}).await;
    let decided = Decided {
        access_s: Some(60),
        idle: Some(Ends::AfterS(3_600)),
        session: Some(Ends::AfterS(7_200)),
        window_s: Some(5),
    };
    decide(&server, decided).await;
    other.issuer.catch_up().await.unwrap();
    let third = Server::open(Arc::clone(&server.dir), Arc::clone(&server.clock), |_| {}).await;
    for server in [&server, &other, &third] {
        assert_eq!(server.issuer.lifetimes().decided, decided);
        let login = server.login("openid").await;
        let life = login.json()["expires_in"].as_u64().unwrap();
        assert!((57..=60).contains(&life), "{life}");
        server.wait(HOUR + SECOND);
        let refused = server.refresh(&login.text_of("refresh_token")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "idle for an hour");
    }
    decide(&server, Decided::default()).await;
    assert_eq!(server.issuer.lifetimes().access_s, 300);
}

#[tokio::test]
async fn a_window_of_nothing_leaves_only_the_late_retry() {
    let server = Server::start().await;
    let decided = Decided {
        window_s: Some(0),
        idle: Some(Ends::Never),
        ..Decided::default()
    };
    decide(&server, decided).await;
    assert_eq!(server.issuer.lifetimes().idle_s, None);
    let first = server.login("openid").await.text_of("refresh_token");
    let second = server.refresh(&first).await.text_of("refresh_token");
    server.wait(SECOND);
    let again = server.refresh(&first).await.text_of("refresh_token");
    assert_eq!(again, second, "one late retry");
    server.refresh(&second).await.text_of("refresh_token");
    server.wait(SECOND);
    let refused = server.refresh(&second).await;
    assert_eq!(refused.json()["tenure"]["subtype"], "late_retries");
}

#[tokio::test]
async fn lifetimes_out_of_range_are_refused() {
    let server = Server::start().await;
    let admin = server.issuer.admin("ops on here");
    for wrong in [
        Decided {
            access_s: Some(0),
            ..Decided::default()
        },
        Decided {
            access_s: Some(86_401),
            ..Decided::default()
        },
        Decided {
            window_s: Some(3_601),
            ..Decided::default()
        },
        Decided {
            idle: Some(Ends::AfterS(0)),
            ..Decided::default()
        },
        Decided {
            session: Some(Ends::AfterS(u64::MAX)),
            ..Decided::default()
        },
    ] {
        let refused = admin.decide_lifetimes(wrong).await;
        assert!(
            matches!(refused, Err(IssuerError::Setting { .. })),
            "{wrong:?}"
        );
    }
    assert_eq!(server.issuer.lifetimes().decided, Decided::default());
}

/// An access token lived for an hour when the session ended; the issuer was told to give shorter ones before that.
#[tokio::test]
async fn a_revocation_outlives_the_tokens_that_were_issued_when_they_lived_longer() {
    let server = Server::with(|options| options.access_ttl_s = 3_600).await;
    let login = server.login("openid").await;
    let access = login.text_of("access_token");
    decide(
        &server,
        Decided {
            access_s: Some(60),
            ..Decided::default()
        },
    )
    .await;
    server.issuer.admin("ops").revoke_all().await.unwrap();
    server.wait(30 * 60 * SECOND);
    server.issuer.prune().await.unwrap();
    assert_eq!(
        server.userinfo(&access).await.status,
        StatusCode::UNAUTHORIZED
    );
    let restarted = Server::open(
        Arc::clone(&server.dir),
        Arc::clone(&server.clock),
        |options| {
            options.access_ttl_s = 60;
        },
    )
    .await;
    assert_eq!(
        restarted.userinfo(&access).await.status,
        StatusCode::UNAUTHORIZED
    );
}
