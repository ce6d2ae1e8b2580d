//! A gateway with everything around it, and the callers of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;
use tenure_core::session::Keep;
use tenure_gateway::{BoxError, Gateway, Options};
use tenure_http::Trust;
use tenure_keeper::login::{self, Import};
use tenure_keeper::{Endpoints, Keeper, Session, SessionConfig, Timing};
use tenure_lab::{FaultyIssuer, IssuerConfig, TlsFront, temp_dir, wait_until};
use tenure_store::sqlite::{Options as StoreOptions, SqliteStore};
use tenure_wire::{Client, Server};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// What differs from test to test.
pub(crate) struct Setup {
    pub(crate) issuer: IssuerConfig,
    /// Where the token goes; the issuer's own API if not set.
    pub(crate) upstream: Option<String>,
    pub(crate) replay_limit: u64,
    pub(crate) logged_in: bool,
    pub(crate) options: Options,
    pub(crate) profile: &'static str,
    /// The issuer and its API behind TLS by the lab's authority, with these protocols by ALPN.
    pub(crate) tls: Option<&'static [&'static str]>,
    pub(crate) trust: Option<Trust>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            issuer: IssuerConfig::new(),
            upstream: None,
            replay_limit: 1024 * 1024,
            logged_in: true,
            options: Options::default(),
            profile: "refused_statuses = [401]\nrotation = { kind = \"strict\" }",
            tls: None,
            trust: None,
        }
    }
}

/// A gateway for the session `shop`, being served.
pub(crate) struct World {
    pub(crate) issuer: FaultyIssuer,
    pub(crate) front: Option<TlsFront>,
    pub(crate) keeper: Keeper,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
    _dir: TempDir,
}

pub(crate) async fn start() -> World {
    start_with(Setup::default()).await
}

pub(crate) async fn start_with(setup: Setup) -> World {
    let (dir, issuer) = (temp_dir(), FaultyIssuer::start(setup.issuer.clone()));
    let front = setup.tls.map(|alpn| TlsFront::start(issuer.addr(), alpn));
    let base = front.as_ref().map_or_else(|| issuer.url(), TlsFront::url);
    let store =
        SqliteStore::open(StoreOptions::new(dir.path().join("tenure.db"))).expect("a store");
    let options = tenure_keeper::Options {
        store: Arc::new(store),
        sessions: vec![config(&base, &setup)],
        warm: true,
        http: tenure_http::Client::new().expect("TLS"),
        fault: tenure_store::fault::FaultPlan::default(),
    };
    let keeper = Keeper::open(options).await.expect("a keeper");
    if setup.logged_in {
        log_in(&keeper, &issuer).await;
    }
    let gateway = Gateway::new(keeper.clone(), setup.options).expect("a gateway");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let served = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { gateway.serve(listener, shutdown).await.expect("served") }
    });
    World {
        issuer,
        front,
        keeper,
        address,
        shutdown,
        served,
        _dir: dir,
    }
}

fn config(base: &str, setup: &Setup) -> SessionConfig {
    let text = format!(
        "name = \"lab\"\ntitle = \"Lab\"\ndialect = \"oauth2\"\nclient_auth = [\"none\"]\nflows = [\"code\"]\n\
         retry_unknown = true\n{}\n",
        setup.profile
    );
    let profile = tenure_diagnose::parse_profile(&text, "lab.toml")
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let server = Server::new(
        profile.wire_dialect(),
        format!("{base}/token").parse().unwrap(),
    );
    SessionConfig {
        name: "shop".to_owned(),
        profile: Arc::new(profile),
        endpoints: Endpoints::Known(Box::new(server)),
        client: Client::public("till-7"),
        scopes: vec!["orders".to_owned()],
        upstream: setup
            .upstream
            .clone()
            .unwrap_or_else(|| format!("{base}/api"))
            .parse()
            .ok(),
        keep: Keep::Lazy,
        client_credentials: false,
        trust: setup.trust.clone(),
        timing: Timing {
            exchange_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(200),
            replay_limit: setup.replay_limit,
            ..Timing::default()
        },
        blocked: None,
    }
}

/// Logs in with a token response of the issuer.
pub(crate) async fn log_in(keeper: &Keeper, issuer: &FaultyIssuer) {
    let session = keeper.session("shop").expect("the session");
    let import = login::import(session.config(), &issuer.issue().to_string()).expect("an import");
    let Import::Login(login) = import else {
        panic!("not a token response")
    };
    let generation = keeper.login("shop", login).await.expect("stored");
    wait_until(
        || session.snapshot().generation >= generation,
        "the login is taken up",
    )
    .await;
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the whole body").to_bytes();
        Self {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
    }
}

impl World {
    pub(crate) fn session(&self) -> Session {
        self.keeper.session("shop").expect("the session")
    }

    /// `http://127.0.0.1:port` and the path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(self.url(path)), "").await
    }

    pub(crate) async fn ask(&self, request: http::request::Builder, body: &str) -> Answer {
        let request = request.body(whole(body)).expect("a request");
        Answer::of(http1().request(request).await.expect("an answer")).await
    }
}

pub(crate) fn whole(body: &str) -> AnyBody {
    Full::new(Bytes::copy_from_slice(body.as_bytes()))
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(crate) fn http1() -> Pool<HttpConnector, AnyBody> {
    Pool::builder(TokioExecutor::new()).build_http()
}

/// HTTP/2 with prior knowledge.
pub(crate) fn http2() -> Pool<HttpConnector, AnyBody> {
    Pool::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}
