//! Refresh and rotation over the router: the six scenarios, concurrency, restarts, refusals.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use http::{StatusCode, header};
use support::{HOUR, SECOND, Server, assert_error};
use tenure_issuer::Stats;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_refresh_rotates_and_answers_as_the_rfc_says() {
    let server = Server::start().await;
    let login = server.login("openid orders").await;
    assert_eq!(login.header(header::CACHE_CONTROL), "no-store");
    let answer = server.refresh(&login.text_of("refresh_token")).await;
    let body = answer.json();
    assert_eq!(answer.status, StatusCode::OK, "{body}");
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["scope"], "openid orders");
    let ttl = body["expires_in"].as_u64().unwrap();
    assert!(
        (285..=300).contains(&ttl),
        "{ttl}: 300 s, shortened by at most 5 %"
    );
    assert_eq!(body["refresh_expires_in"], 30 * 24 * 3600);
    assert_ne!(
        login.text_of("refresh_token"),
        answer.text_of("refresh_token")
    );
    let token = tenure_jose::peek(&answer.text_of("access_token")).unwrap();
    assert_eq!(token.header.typ.as_deref(), Some("at+jwt"));
    assert_eq!(token.header.alg, "ES256");
    assert_eq!(token.claims["generation"], 2);
    assert_eq!(
        token.exp().unwrap() - token.iat().unwrap(),
        i64::try_from(ttl).unwrap()
    );
    for claim in ["iss", "sub", "aud", "jti", "sid", "client_id", "scope"] {
        assert!(
            token.text(claim).is_some_and(|value| !value.is_empty()),
            "{claim}"
        );
    }
}

#[tokio::test]
async fn a_retry_gets_the_same_refresh_token_and_a_fresh_access_token() {
    let server = Server::start().await;
    let first = server.login("orders").await.text_of("refresh_token");
    let (lost, again) = (server.refresh(&first).await, {
        server.wait(5 * SECOND);
        server.refresh(&first).await
    });
    assert_eq!(
        lost.text_of("refresh_token"),
        again.text_of("refresh_token")
    );
    assert_ne!(lost.text_of("access_token"), again.text_of("access_token"));
    // S2: the reply is lost and the device sleeps.
    server.wait(8 * HOUR);
    let late = server.refresh(&first).await;
    assert_eq!(late.text_of("refresh_token"), lost.text_of("refresh_token"));
    assert_eq!(
        server.refresh(&late.text_of("refresh_token")).await.status,
        StatusCode::OK
    );
    let stats = server.issuer.stats();
    assert_eq!((stats.rotations, stats.retries, stats.kills), (2, 2, 0));
}

#[tokio::test]
async fn a_copy_used_in_turns_ends_the_session_and_its_access_tokens() {
    let server = Server::start().await;
    let login = server.login("openid").await;
    let (mut owner, mut thief) = (
        login.text_of("refresh_token"),
        login.text_of("refresh_token"),
    );
    let mut access = login.text_of("access_token");
    let mut last = None;
    for _ in 0..2 {
        for holder in [&mut owner, &mut thief] {
            let answer = server.refresh(holder).await;
            if answer.status.is_success() {
                *holder = answer.text_of("refresh_token");
                access = answer.text_of("access_token");
            }
            last = Some(answer);
            server.wait(60 * SECOND);
        }
    }
    assert_error(
        &last.unwrap(),
        400,
        "invalid_grant",
        "API02015",
        "refresh_reused",
    );
    assert_error(
        &server.refresh(&owner).await,
        400,
        "invalid_grant",
        "API02014",
        "refresh_revoked",
    );
    let refused = server.userinfo(&access).await;
    assert_error(&refused, 401, "invalid_token", "API02011", "access_revoked");
    assert!(
        refused
            .header(header::WWW_AUTHENTICATE)
            .contains("error=\"invalid_token\"")
    );
    let sid = tenure_jose::peek(&access)
        .unwrap()
        .text("sid")
        .map(str::to_owned);
    assert!(
        server
            .issuer
            .revocations()
            .is_revoked(None, sid.as_deref(), None)
    );
    // A restart forgets neither.
    let again = server.restart().await;
    assert_eq!(
        again.userinfo(&access).await.json()["tenure"]["code"],
        "API02011"
    );
    assert_eq!(
        again.refresh(&owner).await.json()["tenure"]["subtype"],
        "late_retries"
    );
}

#[tokio::test]
async fn a_token_three_generations_old_ends_the_session_even_inside_the_window() {
    let server = Server::start().await;
    let first = server.login("orders").await.text_of("refresh_token");
    let mut token = first.clone();
    for _ in 0..3 {
        token = server.refresh(&token).await.text_of("refresh_token");
    }
    let answer = server.refresh(&first).await;
    assert_error(&answer, 400, "invalid_grant", "API02015", "refresh_reused");
    assert_eq!(answer.json()["tenure"]["subtype"], "stale_generation");
    assert_eq!(
        server.refresh(&token).await.json()["tenure"]["code"],
        "API02014"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_at_once_make_one_rotation_and_get_equal_tokens() {
    let server = std::sync::Arc::new(Server::start().await);
    let first = server.login("orders").await.text_of("refresh_token");
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (server, token) = (std::sync::Arc::clone(&server), first.clone());
            tokio::spawn(async move { server.refresh(&token).await })
        })
        .collect();
    let mut tokens = Vec::new();
    for task in tasks {
        tokens.push(task.await.unwrap().text_of("refresh_token"));
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "all equal");
    let stats = server.issuer.stats();
    assert_eq!((stats.rotations, stats.retries), (1, 63));
    assert_eq!(stats.exchanges.values().copied().collect::<Vec<_>>(), [64]);
}

#[tokio::test]
async fn junk_is_refused_without_a_look_into_the_database() {
    let server = Server::start().await;
    let good = server.login("orders").await.text_of("refresh_token");
    let mut forged = good.clone();
    forged.replace_range(30..31, if &good[30..31] == "A" { "B" } else { "A" });
    for junk in ["x", "eyJhbGciOiJub25lIn0.e30.", &forged] {
        let answer = server.refresh(junk).await;
        assert_error(&answer, 400, "invalid_grant", "API02008", "refresh_invalid");
    }
    let Stats {
        junk, looked_up, ..
    } = server.issuer.stats();
    assert_eq!((junk, looked_up), (3, 0));
    assert_eq!(server.refresh(&good).await.status, StatusCode::OK);
    assert_eq!(server.issuer.stats().looked_up, 1);
}

#[tokio::test]
async fn the_wrong_client_spends_nothing() {
    let server = Server::start().await;
    let token = server.login("orders").await.text_of("refresh_token");
    for _ in 0..3 {
        let answer = server.refresh_as("other", &token).await;
        assert_error(
            &answer,
            400,
            "invalid_grant",
            "API02020",
            "client_unauthorized",
        );
    }
    let unknown = server.refresh_as("nobody", &token).await;
    assert_error(
        &unknown,
        401,
        "invalid_client",
        "API02019",
        "client_invalid",
    );
    assert_eq!(server.issuer.stats().rotations, 0);
    assert_eq!(server.refresh(&token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_scope_may_be_narrowed_but_not_widened() {
    let server = Server::start().await;
    let token = server
        .login("orders reports")
        .await
        .text_of("refresh_token");
    let pairs = |scope| {
        [
            ("grant_type", "refresh_token"),
            ("client_id", "tenure"),
            ("refresh_token", token.as_str()),
            ("scope", scope),
        ]
    };
    let wide = server.post("/token", &pairs("orders openid")).await;
    assert_error(&wide, 400, "invalid_scope", "API03001", "bad_request");
    assert_eq!(server.issuer.stats().rotations, 0, "nothing was spent");
    let narrow = server.post("/token", &pairs("orders")).await;
    assert_eq!(narrow.text_of("scope"), "orders");
    let next = server.refresh(&narrow.text_of("refresh_token")).await;
    assert_eq!(
        next.text_of("scope"),
        "orders reports",
        "the session keeps what was granted"
    );
}

#[tokio::test]
async fn idle_and_absolute_ends_are_named() {
    let server = Server::with(|options| {
        options.rotation.idle_ms = Some(2 * 3_600_000);
        options.rotation.absolute_ms = Some(3 * 3_600_000);
    })
    .await;
    let idle = server.login("orders").await;
    assert_eq!(idle.json()["refresh_expires_in"], 7200);
    assert_eq!(idle.json()["session_expires_in"], 10_800);
    let mut used = server.login("orders").await.text_of("refresh_token");
    server.wait(HOUR + HOUR / 2);
    used = server.refresh(&used).await.text_of("refresh_token");
    server.wait(HOUR);
    let answer = server.refresh(&idle.text_of("refresh_token")).await;
    assert_error(&answer, 400, "invalid_grant", "API02009", "refresh_expired");
    assert_eq!(answer.json()["tenure"]["subtype"], "idle");
    let last = server.refresh(&used).await;
    assert_eq!(last.json()["session_expires_in"], 1800, "{}", last.text);
    assert_eq!(last.json()["refresh_expires_in"], 1800);
    server.wait(HOUR);
    let answer = server.refresh(&last.text_of("refresh_token")).await;
    assert_eq!(answer.json()["tenure"]["subtype"], "absolute");
}

#[tokio::test]
async fn a_restart_keeps_sessions_users_clients_and_keys() {
    let server = Server::start().await;
    let login = server.login("openid orders").await;
    let keys = server.get("/jwks.json").await.text;
    let token = server
        .refresh(&login.text_of("refresh_token"))
        .await
        .text_of("refresh_token");
    let again = server.restart().await;
    assert_eq!(again.get("/jwks.json").await.text, keys);
    assert_eq!(
        again.userinfo(&login.text_of("access_token")).await.json()["name"],
        "ada"
    );
    assert_eq!(again.refresh(&token).await.status, StatusCode::OK);
    again.login("orders").await;
    let credentials = [("grant_type", "client_credentials")];
    assert_eq!(
        again.post_as_job("/token", &credentials).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_loses_nothing() {
    let server = Server::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = server.router.clone();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let first = server.login("orders").await.text_of("refresh_token");

    let body = support::form(&[
        ("grant_type", "refresh_token"),
        ("client_id", "tenure"),
        ("refresh_token", &first),
    ]);
    let request = format!(
        "POST /token HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut lost = tokio::net::TcpStream::connect(address).await.unwrap();
    lost.write_all(request.as_bytes()).await.unwrap();
    drop(lost);
    // The rotation happens although nobody waits for its answer.
    let rotated = async {
        while server.issuer.stats().rotations == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), rotated)
        .await
        .expect("the rotation happens");
    let mut again = tokio::net::TcpStream::connect(address).await.unwrap();
    again
        .write_all(
            request
                .replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await
        .unwrap();
    let mut answer = String::new();
    again.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let stats = server.issuer.stats();
    assert_eq!((stats.rotations, stats.retries), (1, 1));
    serving.abort();
}

#[tokio::test]
async fn a_disabled_account_cannot_refresh_and_can_again_later() {
    let server = Server::start().await;
    let token = server.login("orders").await.text_of("refresh_token");
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", true)
        .await
        .unwrap();
    let answer = server.refresh(&token).await;
    assert_error(
        &answer,
        400,
        "invalid_grant",
        "API02018",
        "account_disabled",
    );
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", false)
        .await
        .unwrap();
    assert_eq!(server.refresh(&token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn use_seen_by_introspection_closes_the_late_retry() {
    let server = Server::start().await;
    let first = server.login("orders").await.text_of("refresh_token");
    let second = server.refresh(&first).await;
    let seen = server
        .post_as_job("/introspect", &[("token", &second.text_of("access_token"))])
        .await;
    assert_eq!(seen.json()["active"], true);
    server.wait(60 * SECOND);
    let answer = server.refresh(&first).await;
    assert_eq!(
        answer.json()["tenure"]["subtype"],
        "successor_used",
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn no_secret_is_stored_readable() {
    let server = Server::start().await;
    let login = server.login("openid orders").await;
    let token = login.text_of("refresh_token");
    let next = server.refresh(&token).await.text_of("refresh_token");
    let code = server.code(&[]).await;
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(server.dir.path()).unwrap() {
        stored.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let access = login.text_of("access_token");
    let raw = tenure_jose::from_b64url(&token).unwrap();
    for secret in [
        token.as_bytes(),
        next.as_bytes(),
        access.as_bytes(),
        code.as_bytes(),
        &raw[25..],
        support::PASSWORD.as_bytes(),
        support::CLIENT_SECRET.as_bytes(),
    ] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret));
    }
}
