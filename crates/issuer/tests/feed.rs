//! Verifiers elsewhere learn what was revoked, from the issuer's own server on a real socket.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, header};
use tempfile::TempDir;
use tenure_http::Client;
use tenure_issuer::{ClientRegistration, Issuer, Options};
use tenure_jose::{Alg, KeySet, SigningKey};
use tenure_store::Seal;
use tenure_verify::feed::{self, RevocationFeed, WhenUnknown};
use tenure_verify::{KeySource, Verifier};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower::ServiceExt;
use url::Url;

const AUDIENCE: &str = "https://api.example";

/// A database and an address where it is served now and then.
struct Place {
    dir: TempDir,
    address: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            dir: tempfile::tempdir().unwrap(),
            address: listener.local_addr().unwrap(),
        }
    }

    fn url(&self, path: &str) -> Url {
        format!("http://{}/{path}", self.address).parse().unwrap()
    }

    fn options(&self) -> Options {
        let data = self.dir.path().join("issuer.db");
        let seal = Arc::new(Seal::new(&[7; 32]));
        let mut options = Options::new(self.url(""), data, seal, AUDIENCE);
        options.scopes = vec!["orders".into()];
        options
    }

    fn feed(&self, when_unknown: WhenUnknown) -> RevocationFeed {
        let options = feed::Options {
            when_unknown,
            silent_after: Duration::from_secs(1),
            backoff_most: Duration::from_millis(200),
            ..feed::Options::default()
        };
        RevocationFeed::follow(self.url("revocations"), Client::new().unwrap(), options).unwrap()
    }
}

/// An issuer's process: its own runtime, so that it can die with all its connections.
struct Process {
    issuer: Arc<Issuer>,
    runtime: Option<Runtime>,
}

impl Process {
    async fn start(place: &Place) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (options, address) = (place.options(), place.address);
        let serving = runtime.spawn(async move {
            let issuer = Issuer::open(options).await.unwrap();
            issuer.ensure_user("ada", None).await.unwrap();
            let app = ClientRegistration {
                scopes: vec!["orders".into()],
                ..ClientRegistration::public("app", "App")
            };
            issuer.ensure_client(app).await.unwrap();
            drop(issuer.tend());
            let service = issuer
                .router()
                .into_make_service_with_connect_info::<SocketAddr>();
            let listener = listen(address).await;
            tokio::spawn(async move { axum::serve(listener, service).await });
            issuer
        });
        Self {
            issuer: serving.await.unwrap(),
            runtime: Some(runtime),
        }
    }

    /// A new session: its name and its access token.
    async fn session(&self) -> (String, String) {
        let tokens = self.issuer.issue("ada", "app", "orders").await.unwrap();
        (tokens.sid.unwrap(), tokens.access.expose().to_owned())
    }

    fn keys(&self) -> KeySource {
        KeySource::fixed(KeySet::from_jwks(&self.issuer.keys()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Where the one before has just died.
async fn listen(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(10)).await; // paced: until the old socket is closed
    }
}

/// An API that checks its callers' tokens.
struct Api(Router);

impl Api {
    fn new(place: &Place, keys: KeySource, feed: &RevocationFeed) -> Self {
        let verifier = Verifier::builder(keys)
            .issuer(place.url("").as_str().trim_end_matches('/'))
            .audience(AUDIENCE)
            .typ("at+jwt")
            .revocation(feed.clone())
            .build()
            .unwrap();
        let router = Router::new()
            .route("/orders", get(|| async { "orders" }))
            .route_layer(verifier.layer());
        Self(router)
    }

    async fn status(&self, access: &str) -> u16 {
        let request = Request::get("/orders")
            .header(header::AUTHORIZATION, format!("Bearer {access}"))
            .body(Body::empty())
            .unwrap();
        let answer = self.0.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let retry_after = answer.headers().contains_key(header::RETRY_AFTER);
        assert_eq!(retry_after, status == 503);
        status
    }

    async fn until(&self, access: &str, wanted: u16) {
        eventually(async || self.status(access).await == wanted).await;
    }
}

async fn eventually(reached: impl AsyncFn() -> bool) {
    let reaching = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(5)).await; // paced: looks again
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reaching)
        .await
        .expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_is_refused_elsewhere() {
    let place = Place::new();
    let process = Process::start(&place).await;
    let feed = place.feed(WhenUnknown::FailClosed);
    feed.ready().await;
    let api = Api::new(&place, process.keys(), &feed);
    let (sid, access) = process.session().await;
    let (_, other) = process.session().await;
    assert_eq!(api.status(&access).await, 200);
    process
        .issuer
        .admin("a test")
        .revoke_session(&sid)
        .await
        .unwrap();
    api.until(&access, 401).await;
    assert_eq!(api.status(&other).await, 200);

    // A disabled account: its sessions so far, but not those begun after it was let in again.
    process
        .issuer
        .admin("a test")
        .set_disabled("ada", true)
        .await
        .unwrap();
    api.until(&other, 401).await;
    process
        .issuer
        .admin("a test")
        .set_disabled("ada", false)
        .await
        .unwrap();
    let (_, next) = process.session().await;
    assert_eq!(api.status(&next).await, 200);
    assert_eq!(api.status(&other).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_revoked_is_refused() {
    let place = Place::new();
    let process = Process::start(&place).await;
    let feed = place.feed(WhenUnknown::FailOpen);
    feed.ready().await;
    let api = Api::new(&place, process.keys(), &feed);
    let (sid, access) = process.session().await;
    assert_eq!(api.status(&access).await, 200);
    let other = Issuer::open(place.options()).await.unwrap();
    assert!(other.admin("a test").revoke_session(&sid).await.unwrap());
    api.until(&access, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_while_the_issuer_is_away() {
    let place = Place::new();
    let process = Process::start(&place).await;
    let closed = place.feed(WhenUnknown::FailClosed);
    let open = place.feed(WhenUnknown::FailOpen);
    closed.ready().await;
    open.ready().await;
    let shut = Api::new(&place, process.keys(), &closed);
    let lenient = Api::new(&place, process.keys(), &open);
    let (before, first) = process.session().await;
    let (during, second) = process.session().await;
    let (_, third) = process.session().await;
    process
        .issuer
        .admin("a test")
        .revoke_session(&before)
        .await
        .unwrap();
    for api in [&shut, &lenient] {
        api.until(&first, 401).await;
    }

    drop(process);
    shut.until(&second, 503).await;
    let elsewhere = Issuer::open(place.options()).await.unwrap();
    assert!(
        elsewhere
            .admin("a test")
            .revoke_session(&during)
            .await
            .unwrap()
    );
    assert_eq!(lenient.status(&second).await, 200, "not known yet");
    for api in [&shut, &lenient] {
        assert_eq!(api.status(&first).await, 401, "known before");
    }

    let _process = Process::start(&place).await;
    for api in [&shut, &lenient] {
        api.until(&second, 401).await;
        api.until(&third, 200).await;
        assert_eq!(api.status(&first).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_revoked_key_are_refused_though_the_key_is_known() {
    let place = Place::new();
    let process = Process::start(&place).await;
    let feed = place.feed(WhenUnknown::FailClosed);
    feed.ready().await;
    // It never asks for the key set again.
    let api = Api::new(&place, process.keys(), &feed);
    let polled = poll(&place, KeySource::url(place.url("jwks.json")));
    polled.ready().await;
    let other = Api::new(&place, process.keys(), &polled);
    let (_, access) = process.session().await;
    assert_eq!(api.status(&access).await, 200);
    assert_eq!(other.status(&access).await, 200);
    let kid = process.issuer.key_infos()[0].kid.clone();
    process
        .issuer
        .admin("a test")
        .revoke_key(&kid)
        .await
        .unwrap();
    api.until(&access, 401).await;
    other.until(&access, 401).await;
}

fn poll(place: &Place, keys: KeySource) -> RevocationFeed {
    let options = feed::Options {
        when_unknown: WhenUnknown::FailClosed,
        ..feed::Options::default()
    };
    RevocationFeed::poll(
        place.url("revocations"),
        Client::new().unwrap(),
        keys,
        place.url("").as_str().trim_end_matches('/'),
        Duration::from_millis(100),
        options,
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signed_list_is_fetched_again_and_again() {
    let place = Place::new();
    let process = Process::start(&place).await;
    let feed = poll(&place, KeySource::url(place.url("jwks.json")));
    feed.ready().await;
    let api = Api::new(&place, process.keys(), &feed);
    // More than a token has room for.
    for _ in 0..250 {
        process.session().await;
    }
    let (_, access) = process.session().await;
    assert_eq!(api.status(&access).await, 200);
    process
        .issuer
        .admin("a test")
        .revoke_user("ada")
        .await
        .unwrap();
    api.until(&access, 401).await;
    eventually(async || feed.len() == 251).await;
    let (_, next) = process.session().await;
    assert_eq!(api.status(&next).await, 200);
    drop(process);
    api.until(&next, 503).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_another_key_signed_is_not_used() {
    let place = Place::new();
    let process = Process::start(&place).await;
    let (sid, access) = process.session().await;
    process
        .issuer
        .admin("a test")
        .revoke_session(&sid)
        .await
        .unwrap();
    let kid = process.issuer.key_infos()[0].kid.clone();
    let wrong = SigningKey::generate(Alg::Es256, &kid).unwrap();
    let wrong = Arc::new(KeySet::from_signing_key(&wrong));
    let judged = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&judged);
    let feed = poll(
        &place,
        KeySource::shared(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Arc::clone(&wrong)
        }),
    );
    let api = Api::new(&place, process.keys(), &feed);
    // The second was fetched after the first was judged.
    eventually(async || judged.load(Ordering::SeqCst) >= 2).await;
    assert!(feed.is_empty() && !feed.is_connected());
    assert_eq!(api.status(&access).await, 503);
}
