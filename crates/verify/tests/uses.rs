//! First uses are reported once each, in batches, and never in the way of a request.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use common::{NOW, claims, key, serve, token};
use serde_json::{Value, json};
use tenure_core::Secret;
use tenure_http::Client;
use tenure_jose::{KeySet, SigningKey};
use tenure_verify::{BuildError, FirstUses, KeySource, Verifier};

/// What an issuer heard, and what it answers in turn; the last one again and again.
#[derive(Clone)]
struct Heard {
    reports: Arc<Mutex<Vec<Value>>>,
    authorization: Arc<Mutex<String>>,
}

impl Heard {
    async fn start(answers: Vec<u16>) -> (Self, FirstUses) {
        let heard = Self {
            reports: Arc::default(),
            authorization: Arc::default(),
        };
        let own = heard.clone();
        let app = Router::new().route(
            "/uses",
            post(move |headers: HeaderMap, body: Bytes| async move {
                let sent = common::header(&headers, "authorization").unwrap_or_default();
                sent.clone_into(&mut own.authorization.lock().expect("not poisoned"));
                let mut reports = own.reports.lock().expect("not poisoned");
                reports.push(serde_json::from_slice(&body).expect("JSON"));
                let turn = reports.len().min(answers.len()) - 1;
                StatusCode::from_u16(answers[turn]).expect("a status")
            }),
        );
        let url = format!("{}/uses", serve(app).await);
        let uses = FirstUses::report(
            url.parse().expect("a URL"),
            Client::new().expect("a client"),
            "the api",
            &Secret::new("a:b"),
            Duration::from_millis(1),
        );
        (heard, uses.expect("it starts"))
    }

    fn uses(&self) -> Vec<Value> {
        let reports = self.reports.lock().expect("not poisoned");
        let all = reports
            .iter()
            .flat_map(|report| report["uses"].as_array().expect("a list").clone());
        all.collect()
    }
}

fn verifier(key: &SigningKey, uses: &FirstUses) -> Verifier {
    Verifier::builder(KeySource::fixed(KeySet::from_signing_key(key)))
        .clock(|| NOW)
        .first_uses(uses.clone())
        .build()
        .expect("it is built")
}

fn of(key: &SigningKey, sid: &str, generation: u64) -> String {
    let mut claims = claims();
    claims["sid"] = sid.into();
    claims["generation"] = generation.into();
    token(key, &claims)
}

async fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_generation_is_reported_once() {
    let (heard, uses) = Heard::start(vec![204]).await;
    let key = key("k1");
    let verifier = verifier(&key, &uses);
    for generation in [1, 1, 2, 2, 1, 3] {
        for sid in ["one", "two"] {
            verifier
                .verify(&of(&key, sid, generation))
                .await
                .expect("good");
        }
    }
    // Tokens of no session are nobody's first use.
    verifier
        .verify(&token(&key, &claims()))
        .await
        .expect("good");
    until(|| uses.reported() == 6).await;
    let mut told = heard.uses();
    told.sort_by_key(ToString::to_string);
    let expected: Vec<_> = ["one", "two"]
        .iter()
        .flat_map(|sid| (1..=3).map(move |generation| json!([sid, generation])))
        .collect();
    assert_eq!(told, expected);
    let sent = heard.authorization.lock().expect("not poisoned").clone();
    assert_eq!(sent, format!("Basic {}", tenure_jose::b64("the+api:a%3Ab")));
}

#[tokio::test]
async fn a_refused_token_is_no_use() {
    let (heard, uses) = Heard::start(vec![204]).await;
    let (right, wrong) = (key("k1"), key("k1"));
    let verifier = verifier(&right, &uses);
    assert!(verifier.verify(&of(&wrong, "one", 1)).await.is_err());
    verifier.verify(&of(&right, "two", 1)).await.expect("good");
    until(|| uses.reported() == 1).await;
    assert_eq!(heard.uses(), [json!(["two", 1])]);
}

#[tokio::test]
async fn an_issuer_that_fails_is_told_again() {
    let (heard, uses) = Heard::start(vec![500, 503, 204]).await;
    let key = key("k1");
    let verifier = verifier(&key, &uses);
    verifier.verify(&of(&key, "one", 1)).await.expect("good");
    until(|| uses.reported() == 1).await;
    assert_eq!(heard.reports.lock().expect("not poisoned").len(), 3);
}

#[tokio::test]
async fn an_issuer_that_wants_no_reports_stops_nobody() {
    let (heard, uses) = Heard::start(vec![401, 401, 204]).await;
    let key = key("k1");
    let verifier = verifier(&key, &uses);
    for generation in 1..=3 {
        verifier
            .verify(&of(&key, "one", generation))
            .await
            .expect("good");
        until(|| heard.uses().len() == usize::try_from(generation).expect("small")).await;
    }
    until(|| uses.reported() == 1).await;
}

#[tokio::test]
async fn more_than_are_remembered_are_reported_all_the_same() {
    let (heard, uses) = Heard::start(vec![204]).await;
    let key = SigningKey::generate(tenure_jose::Alg::EdDsa, "k1").expect("a key");
    let verifier = verifier(&key, &uses);
    for number in 0..2_000_u64 {
        verifier
            .verify(&of(&key, &format!("s{number}"), 1))
            .await
            .expect("good");
    }
    until(|| uses.reported() == 2_000).await;
    assert_eq!(heard.uses().len(), 2_000);
    let largest = heard
        .reports
        .lock()
        .expect("not poisoned")
        .iter()
        .map(|report| report["uses"].as_array().map_or(0, Vec::len))
        .max();
    assert!(largest.is_some_and(|size| size <= 500), "{largest:?}");
}

#[tokio::test]
async fn a_secret_is_sent_nowhere_in_the_clear() {
    let url = "http://id.example/uses".parse().expect("a URL");
    let client = Client::new().expect("a client");
    let refused = FirstUses::report(
        url,
        client,
        "api",
        &Secret::new("s"),
        Duration::from_secs(1),
    );
    assert!(matches!(refused, Err(BuildError::Uses { .. })));
}
