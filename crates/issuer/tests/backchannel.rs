//! Back-channel logout: clients are told which of their sessions ended, whatever fails in between.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::json;
use support::{HOUR, ISSUER, PASSWORD, REDIRECT, SECOND, Server, form};
use tenure_core::Secret;
use tenure_issuer::{AuditEntry, AuditFilter, ClientRegistration, Grant};
use tenure_jose::{KeySet, Peek, Rules, peek, verify};
use url::form_urlencoded;

/// The answer of a receiver that never answers.
const HANGS: u16 = 0;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

#[derive(Clone, Default)]
struct Heard {
    requests: Arc<Mutex<Vec<(String, HeaderMap, String)>>>,
    answer: Arc<AtomicU16>,
}

/// A client's endpoint, which answers as it is told to.
struct Receiver {
    url: String,
    heard: Heard,
}

async fn hear(State(heard): State<Heard>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let request = (uri.path().to_owned(), headers, body);
    heard.requests.lock().unwrap().push(request);
    let status = heard.answer.load(Ordering::SeqCst);
    if status == HANGS {
        std::future::pending::<()>().await;
    }
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::LOCATION, "/elsewhere")]).into_response()
}

impl Receiver {
    async fn start(answer: u16) -> Self {
        let heard = Heard::default();
        heard.answer.store(answer, Ordering::SeqCst);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/told?of=1", listener.local_addr().unwrap());
        let router = Router::new().fallback(hear).with_state(heard.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, heard }
    }

    fn answers(&self, status: u16) {
        self.heard.answer.store(status, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.heard.requests.lock().unwrap().len()
    }

    /// The logout tokens it was sent, in order.
    fn tokens(&self) -> Vec<String> {
        let requests = self.heard.requests.lock().unwrap();
        let token = |body: &str| {
            let mut pairs = form_urlencoded::parse(body.as_bytes());
            let (_, token) = pairs.find(|(name, _)| name == "logout_token").unwrap();
            token.into_owned()
        };
        requests.iter().map(|(_, _, body)| token(body)).collect()
    }

    fn sids(&self) -> Vec<String> {
        self.tokens().iter().map(|token| sid_of(token)).collect()
    }
}

fn sid_of(token: &str) -> String {
    peek(token).unwrap().text("sid").unwrap().to_owned()
}

/// Waits until something is so; `meanwhile` is done before each look.
async fn until(what: &str, meanwhile: impl Fn(), mut so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so().await {
        assert!(Instant::now() < end, "not in time: {what}");
        meanwhile();
        tokio::time::sleep(Duration::from_millis(20)).await; // paced: between two looks at a condition
    }
}

async fn heard(receiver: &Receiver, count: usize) {
    until("to be told", || {}, async || receiver.count() >= count).await;
}

/// A client that is told, which may log people in with their password.
async fn told(server: &Server, id: &str, receiver: &Receiver) {
    let client = ClientRegistration {
        grants: vec![
            Grant::AuthorizationCode,
            Grant::Password,
            Grant::RefreshToken,
        ],
        redirect_uris: vec!["http://127.0.0.1/cb".into()],
        scopes: vec!["orders".into()],
        backchannel_logout_uri: Some(receiver.url.clone()),
        backchannel_logout_session_required: true,
        ..ClientRegistration::public(id, id)
    };
    server.issuer.ensure_client(client).await.unwrap();
}

/// A session's `sid`.
async fn session(server: &Server, client: &str) -> String {
    let tokens = server.issuer.issue("ada", client, "openid").await.unwrap();
    tokens.sid.unwrap()
}

fn checked(server: &Server, token: &str) -> Peek {
    let rules = Rules {
        issuer: Some(ISSUER),
        audience: Some("tenure"),
        typ: Some("logout+jwt"),
        leeway_s: 0,
        now_s: server.clock.load(Ordering::SeqCst) / 1000,
    };
    let keys = KeySet::from_jwks(&server.issuer.keys());
    verify(token, &keys, &rules).unwrap()
}

#[tokio::test]
async fn a_logout_token_says_what_the_specification_asks() {
    let server = Server::start().await;
    let receiver = Receiver::start(200).await;
    told(&server, "tenure", &receiver).await;
    server.issuer.tend();
    let metadata = server.get("/.well-known/openid-configuration").await.json();
    assert_eq!(metadata["backchannel_logout_supported"], true);
    assert_eq!(metadata["backchannel_logout_session_supported"], true);

    let id_token = server.login("openid").await.text_of("id_token");
    let login = peek(&id_token).unwrap();
    let query = form(&[("id_token_hint", &id_token)]);
    let out = server.get(&format!("/logout?{query}")).await;
    assert_eq!(out.status, StatusCode::OK, "{}", out.text);
    heard(&receiver, 1).await;

    let (path, headers, _) = receiver.heard.requests.lock().unwrap()[0].clone();
    assert_eq!(path, "/told");
    assert_eq!(
        headers[header::CONTENT_TYPE],
        "application/x-www-form-urlencoded"
    );
    let sent = receiver.tokens().remove(0);
    let token = checked(&server, &sent);
    assert_eq!(token.sub(), login.sub());
    assert_eq!(token.text("sid"), login.text("sid"));
    assert_eq!(token.claims["events"], json!({ EVENT: {} }));
    assert!(token.jti().is_some() && !token.claims.contains_key("nonce"));
    let life = token.exp().unwrap() - token.iat().unwrap();
    assert!((1..=120).contains(&life), "{life}");
    // It is no ID token and no access token.
    assert_eq!(
        server.userinfo(&sent).await.status,
        StatusCode::UNAUTHORIZED
    );
    let query = form(&[("id_token_hint", &sent)]);
    let misused = server.get(&format!("/logout?{query}")).await;
    assert_eq!(misused.status, StatusCode::BAD_REQUEST, "{}", misused.text);
    server.issuer.close();
}

#[tokio::test]
async fn every_end_of_a_session_is_told_and_nothing_else() {
    let server = Server::start().await;
    let receiver = Receiver::start(204).await;
    told(&server, "tenure", &receiver).await;
    server.issuer.tend();
    let admin = server.issuer.admin("a test");
    let mut expected = Vec::new();
    // Sessions of clients that want to know nothing end as well.
    session(&server, "other").await;

    let login = server.login("openid").await;
    expected.push(sid_of(&login.text_of("access_token")));
    let refresh = login.text_of("refresh_token");
    let revoked = server
        .post("/revoke", &[("client_id", "tenure"), ("token", &refresh)])
        .await;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text);
    heard(&receiver, 1).await;

    expected.push(session(&server, "tenure").await);
    assert!(admin.revoke_session(&expected[1]).await.unwrap());
    heard(&receiver, 2).await;
    assert!(!admin.revoke_session(&expected[1]).await.unwrap());

    expected.push(session(&server, "tenure").await);
    assert_eq!(admin.revoke_user("ada").await.unwrap(), 2);
    heard(&receiver, 3).await;

    expected.push(session(&server, "tenure").await);
    session(&server, "other").await;
    admin.revoke_client("tenure").await.unwrap();
    heard(&receiver, 4).await;

    expected.push(session(&server, "tenure").await);
    admin.revoke_all().await.unwrap();
    heard(&receiver, 5).await;

    expected.push(session(&server, "tenure").await);
    let same = Secret::new(PASSWORD);
    admin.set_password("ada", &same).await.unwrap();
    heard(&receiver, 6).await;

    // Killed: two hold its refresh token.
    let login = server.login("openid").await;
    expected.push(sid_of(&login.text_of("access_token")));
    let copied = login.text_of("refresh_token");
    let mut own = copied.clone();
    for _ in 0..2 {
        server.wait(60 * SECOND);
        own = server.refresh(&own).await.text_of("refresh_token");
    }
    let thief = server.refresh(&copied).await;
    assert_eq!(thief.status, StatusCode::BAD_REQUEST, "{}", thief.text);
    heard(&receiver, 7).await;

    // A code that came twice.
    let asked = [("client_id", "tenure"), ("redirect_uri", REDIRECT)];
    let code = server.code(&asked).await;
    let tokens = server.redeem(&code, &asked).await;
    expected.push(sid_of(&tokens.text_of("access_token")));
    let twice = server.redeem(&code, &asked).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST, "{}", twice.text);
    heard(&receiver, 8).await;

    expected.push(session(&server, "tenure").await);
    admin.set_disabled("ada", true).await.unwrap();
    heard(&receiver, 9).await;
    admin.set_disabled("ada", false).await.unwrap();

    // One that nobody uses any more is over without a word; it is told where its client is removed, like the others.
    admin.revoke_client("tenure").await.unwrap();
    heard(&receiver, 10).await;
    expected.push(expected[8].clone());
    let unused = session(&server, "tenure").await;
    server.wait(100 * 24 * HOUR);
    let late = server.refresh(&own).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{}", late.text);
    server.issuer.prune().await.unwrap();
    expected.push(session(&server, "tenure").await);
    admin.remove_client("tenure").await.unwrap();
    heard(&receiver, 11).await;
    assert_eq!(receiver.sids(), expected);
    assert!(!receiver.sids().contains(&unused));
    server.issuer.close();
}

#[tokio::test]
async fn a_session_ends_together_with_the_note_to_tell_of_it_or_not_at_all() {
    let server = Server::start().await;
    let receiver = Receiver::start(200).await;
    told(&server, "tenure", &receiver).await;
    let login = server.login("openid").await;
    let sid = sid_of(&login.text_of("access_token"));
    let admin = server.issuer.admin("a test");
    server.sql("ALTER TABLE logouts RENAME TO elsewhere");
    admin.revoke_session(&sid).await.unwrap_err();
    server.sql("ALTER TABLE elsewhere RENAME TO logouts");
    let lives = server.refresh(&login.text_of("refresh_token")).await;
    assert_eq!(lives.status, StatusCode::OK, "{}", lives.text);

    // The process that ended it goes away before it told anybody.
    assert!(admin.revoke_session(&sid).await.unwrap());
    let other = server.restart().await;
    other.issuer.tend();
    heard(&receiver, 1).await;
    assert_eq!(receiver.sids(), [sid]);
    other.issuer.close();
}

#[tokio::test]
async fn several_issuers_tell_each_logout_once() {
    let server = Server::start().await;
    let receiver = Receiver::start(200).await;
    told(&server, "tenure", &receiver).await;
    let all = [server.restart().await, server.restart().await, server];
    let mut expected = BTreeSet::new();
    for _ in 0..40 {
        expected.insert(session(&all[0], "tenure").await);
    }
    for one in &all {
        one.issuer.tend();
    }
    all[0].issuer.admin("a test").revoke_all().await.unwrap();
    heard(&receiver, 40).await;
    // What comes after comes last.
    let last = session(&all[0], "tenure").await;
    all[1].issuer.admin("a test").revoke_all().await.unwrap();
    let told = async || receiver.sids().contains(&last);
    until("the last one", || {}, told).await;
    let mut sids = receiver.sids();
    assert_eq!(sids.pop(), Some(last));
    assert_eq!(sids.len(), 40, "none twice");
    assert_eq!(sids.into_iter().collect::<BTreeSet<_>>(), expected);
    for one in &all {
        one.issuer.close();
    }
}

#[tokio::test]
async fn what_a_process_took_and_did_not_tell_another_tells_when_the_lease_is_over() {
    let server = Server::start().await;
    let (receiver, marker) = (Receiver::start(HANGS).await, Receiver::start(200).await);
    told(&server, "tenure", &receiver).await;
    told(&server, "marker", &marker).await;
    let sid = session(&server, "tenure").await;
    let other = server.restart().await;
    server.issuer.tend();
    let admin = server.issuer.admin("a test");
    admin.revoke_session(&sid).await.unwrap();
    heard(&receiver, 1).await;
    server.issuer.close();
    receiver.answers(200);

    other.issuer.tend();
    session(&other, "marker").await;
    let admin = other.issuer.admin("a test");
    admin.revoke_client("marker").await.unwrap();
    heard(&marker, 1).await;
    assert_eq!(receiver.count(), 1, "it is another's");
    other.wait(61 * SECOND);
    heard(&receiver, 2).await;
    assert_eq!(receiver.sids(), [sid.clone(), sid]);
    other.issuer.close();
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody_else() {
    let server = Server::start().await;
    let (slow, quick) = (Receiver::start(HANGS).await, Receiver::start(200).await);
    told(&server, "slow", &slow).await;
    told(&server, "quick", &quick).await;
    for _ in 0..20 {
        session(&server, "slow").await;
    }
    server.issuer.tend();
    let admin = server.issuer.admin("a test");
    admin.revoke_all().await.unwrap();
    heard(&slow, 8).await;
    for round in 1..=3 {
        session(&server, "quick").await;
        admin.revoke_client("quick").await.unwrap();
        heard(&quick, round).await;
    }
    assert_eq!(slow.count(), 8, "a few at a time");
    server.issuer.close();
}

#[tokio::test]
async fn a_failed_try_is_repeated_with_another_token_and_redirects_are_not_followed() {
    let server = Server::start().await;
    let receiver = Receiver::start(500).await;
    told(&server, "tenure", &receiver).await;
    server.issuer.tend();
    let sid = session(&server, "tenure").await;
    let admin = server.issuer.admin("a test");
    admin.revoke_session(&sid).await.unwrap();
    heard(&receiver, 1).await;
    let later = || server.wait(12 * SECOND);
    for (tries, status) in [(2, 400), (3, 302), (4, 307), (5, 200)] {
        receiver.answers(status);
        until("another try", later, async || receiver.count() >= tries).await;
    }
    // Once told, never again.
    let last = session(&server, "tenure").await;
    server.wait(2 * HOUR);
    admin.revoke_session(&last).await.unwrap();
    let told = async || receiver.sids().contains(&last);
    until("the last one", || {}, told).await;
    assert_eq!(
        receiver.sids().iter().filter(|told| **told == sid).count(),
        5
    );
    let requests = receiver.heard.requests.lock().unwrap().clone();
    assert!(requests.iter().all(|(path, _, _)| path == "/told"));
    let tokens = receiver.tokens();
    let jtis: BTreeSet<_> = tokens
        .iter()
        .map(|token| peek(token).unwrap().jti().unwrap().to_owned())
        .collect();
    assert_eq!(jtis.len(), 6, "a receiver may refuse one that it has seen");
    server.issuer.close();
}

async fn given_up(server: &Server) -> Vec<AuditEntry> {
    let filter = AuditFilter {
        action: Some("logout.undelivered".into()),
        ..AuditFilter::default()
    };
    server.issuer.audit(filter, 100).await.unwrap()
}

#[tokio::test]
async fn after_a_day_it_is_given_up_and_the_audit_log_says_so() {
    for status in [400, 503] {
        let server = Server::start().await;
        let receiver = Receiver::start(status).await;
        told(&server, "tenure", &receiver).await;
        server.issuer.tend();
        let sid = session(&server, "tenure").await;
        let admin = server.issuer.admin("a test");
        admin.revoke_session(&sid).await.unwrap();
        heard(&receiver, 1).await;
        assert_eq!(given_up(&server).await, [], "not after the first");
        let later = || server.wait(HOUR);
        let over = async || !given_up(&server).await.is_empty();
        until("to be given up", later, over).await;
        let entry = given_up(&server).await.remove(0);
        assert_eq!(entry.sid.as_deref(), Some(sid.as_str()));
        assert_eq!(entry.client.as_deref(), Some("tenure"));
        assert_eq!(entry.user.as_deref(), Some("ada"));
        assert_eq!(entry.detail["tries"], receiver.count());
        assert_eq!(entry.detail["uri"], receiver.url);
        assert_eq!(entry.detail["why"], format!("it answered {status}"));
        assert!(receiver.count() > 1, "{}", receiver.count());
        server.issuer.verify_audit(None).await.unwrap().unwrap();
        server.issuer.close();
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_gets_everything_when_it_is_back() {
    let server = Server::start().await;
    let receiver = Receiver::start(503).await;
    told(&server, "tenure", &receiver).await;
    let mut expected = HashMap::new();
    for _ in 0..30 {
        expected.insert(session(&server, "tenure").await, 1);
    }
    server.issuer.tend();
    server.issuer.admin("a test").revoke_all().await.unwrap();
    heard(&receiver, 8).await;
    receiver.answers(200);
    let later = || server.wait(12 * SECOND);
    let all = async || receiver.sids().into_iter().collect::<BTreeSet<_>>().len() == 30;
    until("all of them", later, all).await;
    assert!(receiver.sids().iter().all(|sid| expected.contains_key(sid)));
    server.issuer.close();
}
