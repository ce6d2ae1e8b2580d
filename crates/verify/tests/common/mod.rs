//! An issuer's key server, a protected API and a clock that tests set, on real sockets.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tenure_jose::{Alg, JwkSet, SigningKey};
use tenure_verify::{Builder, KeySource, Verified, Verifier, VerifyLayer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

pub const NOW: i64 = 1_700_000_000;
pub const ISSUER: &str = "https://id.example";
pub const AUDIENCE: &str = "orders";

#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(NOW)))
    }
}

impl TestClock {
    pub fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// What the key server answers at present.
#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub cache_control: &'static str,
    pub body: String,
}

pub struct KeyServer {
    pub url: url::Url,
    answer: watch::Sender<Answer>,
    fetches: watch::Receiver<usize>,
    /// Every answer takes one permit; without permits the server is silent.
    pub permits: Arc<Semaphore>,
}

impl KeyServer {
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let first = Answer {
            status: StatusCode::OK,
            cache_control: "max-age=600",
            body: jwks(keys),
        };
        let (answer, current) = watch::channel(first);
        let (count, fetches) = watch::channel(0);
        let permits = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let gate = Arc::clone(&permits);
        let app = Router::new().route(
            "/jwks",
            get(move || async move {
                count.send_modify(|count| *count += 1);
                gate.acquire().await.expect("never closed").forget();
                let answer = current.borrow().clone();
                (
                    answer.status,
                    [("cache-control", answer.cache_control)],
                    answer.body,
                )
            }),
        );
        let url = format!("{}/jwks", serve(app).await).parse().expect("a URL");
        Self {
            url,
            answer,
            fetches,
            permits,
        }
    }

    pub fn publish(&self, keys: &[&SigningKey]) {
        let body = jwks(keys);
        self.answer
            .send_modify(|answer| (answer.status, answer.body) = (StatusCode::OK, body));
    }

    pub fn fail(&self, status: StatusCode, body: &str) {
        let body = body.to_owned();
        self.answer
            .send_modify(|answer| (answer.status, answer.body) = (status, body));
    }

    pub fn fetches(&self) -> usize {
        *self.fetches.borrow()
    }

    pub async fn wait_for_fetches(&self, count: usize) {
        let mut fetches = self.fetches.clone();
        let reached = fetches.wait_for(|now| *now >= count);
        tokio::time::timeout(Duration::from_secs(20), reached)
            .await
            .expect("in time")
            .expect("running");
    }
}

fn jwks(keys: &[&SigningKey]) -> String {
    let keys = keys.iter().filter_map(|key| key.public_jwk()).collect();
    serde_json::to_string(&JwkSet { keys }).expect("JSON")
}

pub async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

pub fn key(kid: &str) -> SigningKey {
    SigningKey::generate(Alg::Es256, kid).expect("a key")
}

pub fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "till-7", "scope": "orders:read profile", "jti": "t1", "iat": NOW, "exp": NOW + 1_000_000})
}

pub fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub fn token(key: &SigningKey, claims: &Value) -> String {
    key.sign(Some("at+jwt"), claims)
        .expect("signed")
        .expose()
        .to_owned()
}

pub fn builder(keys: KeySource, clock: &TestClock) -> Builder {
    let clock = clock.clone();
    Verifier::builder(keys)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .clock(move || clock.now())
        .realm("shop")
}

/// A protected API; answers with subject and scopes.
pub struct Api {
    url: String,
    client: tenure_http::Client,
}

impl Api {
    pub async fn start(layer: VerifyLayer) -> Self {
        let whoami = |who: axum::Extension<Verified>| async move {
            format!(
                "{}:{}",
                who.subject.as_deref().unwrap_or("-"),
                who.scopes.join("+")
            )
        };
        let app = Router::new()
            .route("/orders", get(whoami))
            .route_layer(layer);
        Self {
            url: serve(app).await,
            client: tenure_http::Client::new().expect("TLS"),
        }
    }

    pub async fn send(&self, authorization: &[&str]) -> Response<Bytes> {
        let mut request = Request::get(format!("{}/orders", self.url));
        for value in authorization {
            request = request.header("authorization", *value);
        }
        let request = request.body(Bytes::new()).expect("a request");
        self.client
            .send(request, Duration::from_secs(30), 65_536)
            .await
            .expect("an answer")
    }

    pub async fn get(&self, token: &str) -> Response<Bytes> {
        self.send(&[&format!("Bearer {token}")]).await
    }

    pub async fn status(&self, token: &str) -> u16 {
        self.get(token).await.status().as_u16()
    }
}

pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().expect("ASCII"))
}

pub fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).expect("a JSON body")
}
