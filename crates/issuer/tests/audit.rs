//! The audit log: what is in it, and what is seen when somebody changes it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::json;
use support::{CLIENT_SECRET, PASSWORD, SECOND, Server, form};
use tenure_core::Secret;
use tenure_issuer::{AuditEntry, AuditFilter, Broken, Head, KeyState};

async fn all(server: &Server) -> Vec<AuditEntry> {
    server.issuer.audit_after(0).await.unwrap()
}

fn actions(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.action.as_str()).collect()
}

/// The entries after those of the set-up.
async fn since(server: &Server, seq: u64) -> Vec<AuditEntry> {
    server.issuer.audit_after(seq).await.unwrap()
}

async fn verify(server: &Server, noted: Option<Head>) -> Result<Head, Broken> {
    server.issuer.verify_audit(noted).await.unwrap()
}

async fn refresh_from(server: &Server, address: &str, token: &str) -> support::Answer {
    let pairs = [
        ("grant_type", "refresh_token"),
        ("client_id", "tenure"),
        ("refresh_token", token),
    ];
    let request = Request::post("/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::USER_AGENT, "till/7")
        .header("x-forwarded-for", address)
        .body(Body::from(form(&pairs)))
        .unwrap();
    server.send(request).await
}

#[tokio::test]
async fn a_session_has_a_timeline_that_tells_a_theft_from_a_false_alarm() {
    let server = Server::with(|options| {
        options.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let login = server.login("openid").await;
    let first = login.text_of("refresh_token");
    let sid = tenure_jose::peek(&login.text_of("access_token"))
        .unwrap()
        .text("sid")
        .unwrap()
        .to_owned();
    server.wait(60 * SECOND);
    let second = refresh_from(&server, "192.0.2.1", &first)
        .await
        .text_of("refresh_token");
    server.wait(60 * SECOND);
    // A lost reply, long ago: allowed once.
    let again = refresh_from(&server, "192.0.2.1", &first).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    server.wait(60 * SECOND);
    let third = refresh_from(&server, "192.0.2.1", &second).await;
    assert_eq!(third.status, StatusCode::OK);
    server.wait(60 * SECOND);
    let thief = refresh_from(&server, "198.51.100.66", &first).await;
    assert_eq!(thief.status, StatusCode::BAD_REQUEST);

    let filter = AuditFilter {
        sid: Some(sid.clone()),
        ..AuditFilter::default()
    };
    let mut timeline = server.issuer.audit(filter, 10).await.unwrap();
    timeline.reverse();
    assert_eq!(
        actions(&timeline),
        ["session.began", "session.retried_late", "session.killed"]
    );
    let killed = &timeline[2];
    assert_eq!(killed.user.as_deref(), Some("ada"));
    assert_eq!(killed.who.by, "client tenure");
    assert_eq!(killed.who.address.as_deref(), Some("198.51.100.66"));
    assert_eq!(killed.who.device.as_deref(), Some("till/7"));
    let used = support::START_MS + 180 * SECOND;
    assert_eq!(
        killed.detail,
        json!({
            "rule": "stale_generation", "presented": 1, "generation": 3,
            "last_use_ms": used, "last_address": "192.0.2.1",
        })
    );
    let session = server.issuer.session(&sid).await.unwrap().unwrap();
    assert_eq!(session.info.address.as_deref(), Some("127.0.0.1"));
    assert_eq!(
        session.info.last_address.as_deref(),
        Some("192.0.2.1"),
        "the owner's, not the thief's"
    );
    assert_eq!(session.info.ended_ms, Some(used + 60 * SECOND));
    assert_eq!(
        verify(&server, None).await.unwrap().seq,
        all(&server).await.last().unwrap().seq
    );
}

#[tokio::test]
async fn what_administrators_do_is_written_down_with_their_name() {
    let server = Server::start().await;
    let before = all(&server).await.last().unwrap().seq;
    server.login("openid").await;
    let admin = server.issuer.admin("ben on till-3");
    admin
        .ensure_user("bo", Some(Secret::new("a long password")))
        .await
        .unwrap();
    admin.ensure_user("bo", None).await.unwrap();
    admin.set_disabled("ada", true).await.unwrap();
    admin.set_disabled("ada", false).await.unwrap();
    admin
        .set_password("ada", &Secret::new("canary-other-password"))
        .await
        .unwrap();
    admin.rotate_key().await.unwrap();
    let keys = server.issuer.key_infos();
    let active = keys.iter().find(|key| key.state == KeyState::Active);
    let kid = active.unwrap().kid.clone();
    admin.revoke_key(&kid).await.unwrap();
    admin
        .set_client_secret("job", Secret::new("canary-other-secret"))
        .await
        .unwrap();
    admin.remove_client("app").await.unwrap();
    let entries = since(&server, before).await;
    assert_eq!(
        actions(&entries),
        [
            "login.accepted",
            "session.began",
            "user.added",
            "user.disabled",
            "user.enabled",
            "session.ended",
            "user.password",
            "key.published",
            "key.revoked",
            "key.signs",
            "client.secret",
            "client.removed",
        ]
    );
    assert_eq!(entries[0].who.by, "user ada");
    assert!(
        entries[2..]
            .iter()
            .all(|entry| entry.who.by == "ben on till-3")
    );
    assert_eq!(
        entries[5].detail,
        json!({"of": "user", "ended": 1, "reason": "administrator"})
    );
    let text = format!("{entries:?}");
    for secret in [PASSWORD, CLIENT_SECRET, "canary-"] {
        assert!(!text.contains(secret), "{text}");
    }
    // Whoever starts says again what is registered already.
    let seq = entries.last().unwrap().seq;
    server.restart().await;
    assert!(since(&server, seq).await.is_empty());
    let of_keys = AuditFilter {
        action: Some("key".into()),
        ..AuditFilter::default()
    };
    let keys = server.issuer.audit(of_keys, 10).await.unwrap();
    assert_eq!(
        actions(&keys),
        ["key.signs", "key.revoked", "key.published", "key.signs"]
    );
    let nobody = AuditFilter {
        user: Some("nobody".into()),
        ..AuditFilter::default()
    };
    assert!(server.issuer.audit(nobody, 10).await.is_err());
}

#[tokio::test]
async fn refused_logins_are_counted_and_written_later() {
    let server = Server::start().await;
    let seq = all(&server).await.last().unwrap().seq;
    for user in ["ada", "nobody", "ada"] {
        let pairs = [
            ("grant_type", "password"),
            ("client_id", "tenure"),
            ("username", user),
            ("password", "canary-wrong"),
        ];
        assert_eq!(
            server.post("/token", &pairs).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    assert!(
        since(&server, seq).await.is_empty(),
        "writing would take time"
    );
    server.issuer.note_refusals().await.unwrap();
    server.issuer.note_refusals().await.unwrap();
    let entries = since(&server, seq).await;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.user.as_deref(), entry.detail["times"].as_u64()))
        .collect();
    assert_eq!(seen, [(None, Some(1)), (Some("ada"), Some(2))]);
    assert!(entries.iter().all(|entry| entry.action == "login.refused"
        && entry.who.address.as_deref() == Some("127.0.0.1")));
    assert!(
        !format!("{entries:?}").contains("nobody"),
        "it may be a password"
    );
}

#[tokio::test]
async fn whoever_changes_the_log_is_seen() {
    for (crime, seen) in [
        (
            "UPDATE audit SET actor = 'nobody' WHERE seq = 3",
            Broken::Changed { seq: 3 },
        ),
        (
            "UPDATE audit SET address = NULL WHERE seq = 7",
            Broken::Changed { seq: 7 },
        ),
        (
            "DELETE FROM audit WHERE seq = 3",
            Broken::Missing { from: 3, to: 3 },
        ),
        (
            "DELETE FROM audit WHERE seq < 3",
            Broken::Missing { from: 1, to: 2 },
        ),
        (
            "DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3",
            Broken::Changed { seq: 3 },
        ),
    ] {
        let server = Server::start().await;
        server.login("openid").await;
        assert!(verify(&server, None).await.is_ok());
        server.sql(crime);
        assert_eq!(verify(&server, None).await, Err(seen), "{crime}");
    }
}

#[tokio::test]
async fn a_noted_head_shows_that_the_end_is_gone() {
    let server = Server::start().await;
    server.login("openid").await;
    let head = verify(&server, None).await.unwrap();
    server.login("openid").await;
    assert!(verify(&server, Some(head)).await.unwrap().seq > head.seq);
    server.sql(&format!("DELETE FROM audit WHERE seq >= {}", head.seq));
    assert!(verify(&server, None).await.is_ok(), "nobody noted anything");
    let gone = Broken::Missing {
        from: head.seq,
        to: head.seq,
    };
    assert_eq!(verify(&server, Some(head)).await, Err(gone));
    server.login("openid").await;
    assert_eq!(
        verify(&server, Some(head)).await,
        Err(Broken::Changed { seq: head.seq })
    );
}
