//! An issuer on a temporary file with a clock that tests turn, and a browser-like client for its router.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod wordpress;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tenure_core::Secret;
use tenure_issuer::{ClientRegistration, Database, Grant, Issuer, Options};
use tenure_jose::{b64url, sha256};
use tenure_lab::Postgres;
use tenure_store::Seal;
use tower::ServiceExt;
use url::{Url, form_urlencoded};

pub const ISSUER: &str = "http://127.0.0.1:7880";
pub const REDIRECT: &str = "http://127.0.0.1:49152/cb";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const PASSWORD: &str = "canary-password-4711";
pub const CLIENT_SECRET: &str = "canary:client secret";
/// 2026-10-01T00:00:00Z, in milliseconds.
pub const START_MS: i64 = 1_790_812_800_000;
pub const SECOND: i64 = 1_000;
pub const HOUR: i64 = 3_600 * SECOND;

pub struct Server {
    pub issuer: Arc<Issuer>,
    pub router: Router,
    pub clock: Arc<AtomicI64>,
    pub dir: Arc<TempDir>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn text_of(&self, name: &str) -> String {
        self.json()[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.text))
            .to_owned()
    }

    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("readable"))
    }

    /// Where a redirect leads, and one of its parameters.
    pub fn location(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.header(header::LOCATION)).expect("a location");
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The value of a hidden field.
    pub fn field(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let rest = self
            .text
            .split_once(&marker)
            .unwrap_or_else(|| panic!("no field {name} in {}", self.text))
            .1;
        unescape(rest.split_once('"').expect("a closing quote").0)
    }
}

fn unescape(html: &str) -> String {
    html.replace("&#38;", "&")
        .replace("&amp;", "&")
        .replace("&#61;", "=")
}

pub fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

pub fn challenge() -> String {
    b64url(sha256(VERIFIER.as_bytes()))
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        let server = Self::open(dir, Arc::new(AtomicI64::new(START_MS)), change).await;
        server.set_up().await;
        server
    }

    pub async fn open(
        dir: Arc<TempDir>,
        clock: Arc<AtomicI64>,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let mut options = options(dir.path(), [7; 32]);
        let time = Arc::clone(&clock);
        options.clock = Arc::new(move || time.load(Ordering::SeqCst));
        change(&mut options);
        let issuer = Issuer::open(options).await.expect("opens");
        Self {
            router: issuer.router(),
            issuer,
            clock,
            dir,
        }
    }

    pub async fn set_up(&self) {
        self.issuer
            .ensure_user("ada", Some(Secret::new(PASSWORD)))
            .await
            .expect("a user");
        let app = ClientRegistration {
            redirect_uris: vec!["http://127.0.0.1/cb".into()],
            scopes: vec!["orders".into(), "reports".into()],
            ..ClientRegistration::public("app", "The <App>")
        };
        self.issuer
            .ensure_client(app.clone())
            .await
            .expect("a client");
        let other = ClientRegistration {
            id: "other".into(),
            ..app.clone()
        };
        self.issuer.ensure_client(other).await.expect("a client");
        let first_party = ClientRegistration {
            grants: vec![Grant::Password, Grant::RefreshToken],
            id: "tenure".into(),
            ..app
        };
        self.issuer
            .ensure_client(first_party)
            .await
            .expect("a client");
        let job = ClientRegistration {
            scopes: vec!["orders".into()],
            ..ClientRegistration::confidential("job", "Job", Secret::new(CLIENT_SECRET))
        };
        self.issuer.ensure_client(job).await.expect("a client");
    }

    /// Another process on the same database, at the same time of day.
    pub async fn restart(&self) -> Self {
        Self::open(Arc::clone(&self.dir), Arc::clone(&self.clock), |_| {}).await
    }

    /// Something that is done to the database past the issuer.
    pub fn sql(&self, statement: &str) {
        if on_postgres() {
            let url = postgres_of(self.dir.path());
            let (_, name) = url.rsplit_once('/').expect("a name");
            Postgres::shared().sql(name, statement).expect("runs");
        } else {
            let file = self.dir.path().join("issuer.db");
            let db = rusqlite::Connection::open(file).expect("opens");
            db.busy_timeout(std::time::Duration::from_secs(30))
                .expect("waits");
            db.execute_batch(statement).expect("runs");
        }
    }

    pub fn wait(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        let from = SocketAddr::from(([127, 0, 0, 1], 4711));
        request.extensions_mut().insert(ConnectInfo(from));
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("text"),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request"))
            .await
    }

    pub async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        self.send(
            post(path, pairs)
                .body(Body::from(form(pairs)))
                .expect("a request"),
        )
        .await
    }

    /// As [`Server::post`] with the secret of the confidential client `job`.
    pub async fn post_as_job(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        // RFC 6749 §2.3.1: both are form-encoded before they are joined.
        let basic = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            "job:canary%3Aclient+secret",
        );
        let request = post(path, pairs).header(header::AUTHORIZATION, format!("Basic {basic}"));
        self.send(request.body(Body::from(form(pairs))).expect("a request"))
            .await
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.refresh_as("tenure", token).await
    }

    pub async fn refresh_as(&self, client: &str, token: &str) -> Answer {
        self.post(
            "/token",
            &[
                ("grant_type", "refresh_token"),
                ("client_id", client),
                ("refresh_token", token),
            ],
        )
        .await
    }

    /// A password login with the first-party client.
    pub async fn login(&self, scope: &str) -> Answer {
        let pairs = [
            ("grant_type", "password"),
            ("client_id", "tenure"),
            ("username", "ada"),
            ("password", PASSWORD),
            ("scope", scope),
        ];
        let answer = self.post("/token", &pairs).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer
    }

    pub async fn userinfo(&self, access: &str) -> Answer {
        let request =
            Request::get("/userinfo").header(header::AUTHORIZATION, format!("Bearer {access}"));
        self.send(request.body(Body::empty()).expect("a request"))
            .await
    }

    /// Opens the login page for these request parameters.
    pub async fn open_login(&self, changes: &[(&str, &str)]) -> (Answer, String) {
        let query = authorization(changes);
        let page = self.get(&format!("/authorize?{query}")).await;
        let cookie = page
            .header(header::SET_COOKIE)
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned();
        (page, cookie)
    }

    /// Fills in the login page and sends it.
    pub async fn submit_login(
        &self,
        page: &Answer,
        cookie: &str,
        password: &str,
        decision: &str,
    ) -> Answer {
        let (asked, token) = (page.field("asked"), page.field("token"));
        let pairs = [
            ("asked", asked.as_str()),
            ("token", &token),
            ("username", "ada"),
            ("password", password),
            ("decision", decision),
        ];
        let request = post("/authorize", &pairs).header(header::COOKIE, cookie);
        self.send(request.body(Body::from(form(&pairs))).expect("a request"))
            .await
    }

    /// A code for the client `app`.
    pub async fn code(&self, changes: &[(&str, &str)]) -> String {
        let (page, cookie) = self.open_login(changes).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let answer = self.submit_login(&page, &cookie, PASSWORD, "allow").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.location("code").expect("a code")
    }

    pub async fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        let pairs = with(
            &[
                ("grant_type", "authorization_code"),
                ("client_id", "app"),
                ("code", code),
                ("redirect_uri", REDIRECT),
                ("code_verifier", VERIFIER),
            ],
            changes,
        );
        self.post("/token", &pairs).await
    }
}

pub fn options(dir: &Path, key: [u8; 32]) -> Options {
    let url = Url::parse(ISSUER).expect("a URL");
    let mut options = Options::new(
        url,
        dir.join("issuer.db"),
        Arc::new(Seal::new(&key)),
        "https://api.example",
    );
    options.record_exchanges = true;
    if on_postgres() {
        options.database = Database::Postgres(Secret::new(postgres_of(dir)));
    }
    options.scopes = vec!["orders".into(), "reports".into()];
    options
}

/// The same tests run as `on_postgres`, too.
fn on_postgres() -> bool {
    env!("CARGO_CRATE_NAME") == "on_postgres"
}

/// The PostgreSQL database that goes with this directory; made when it is first asked for.
pub fn postgres_of(dir: &Path) -> String {
    let note = dir.join("database");
    std::fs::read_to_string(&note).unwrap_or_else(|_| {
        let url = Postgres::shared().database();
        std::fs::write(&note, &url).expect("writable");
        url
    })
}

/// Something that is done to the database past the issuer.
pub fn sql(server: &Server, statement: &str) {
    if on_postgres() {
        let url = postgres_of(server.dir.path());
        let name = url.rsplit('/').next().unwrap().to_owned();
        Postgres::shared().sql(&name, statement).unwrap();
    } else {
        let db = rusqlite::Connection::open(server.dir.path().join("issuer.db")).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        db.execute_batch(statement).unwrap();
    }
}

fn post(path: &str, _pairs: &[(&str, &str)]) -> http::request::Builder {
    Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
}

/// An authorization request of `app`, with some parameters changed; an empty value takes one out.
pub fn authorization(changes: &[(&str, &str)]) -> String {
    let challenge = challenge();
    form(&with(
        &[
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid orders"),
            ("state", "a state & more"),
            ("nonce", "n-1"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ],
        changes,
    ))
}

fn with<'a>(
    pairs: &[(&'a str, &'a str)],
    changes: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = pairs
        .iter()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    kept.chain(changes)
        .filter(|(_, value)| !value.is_empty())
        .copied()
        .collect()
}

/// Asserts an error's protocol code and Tenure's code and class.
pub fn assert_error(answer: &Answer, status: u16, error: &str, code: &str, class: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(body["error"], error, "{body}");
    assert_eq!(body["tenure"]["code"], code, "{body}");
    assert_eq!(body["tenure"]["class"], class, "{body}");
    assert_eq!(
        body["error_uri"],
        format!("{ISSUER}/error-codes/{code}"),
        "{body}"
    );
    assert!(
        body["tenure"]["heal"].is_string() && body["error_description"].is_string(),
        "{body}"
    );
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
}
