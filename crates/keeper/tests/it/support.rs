//! A keeper, a store in a temporary directory, a faulty issuer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tenure_keeper::login::{self, Import};
use tenure_keeper::{Endpoints, Keeper, Options, Session, SessionConfig, Timing};
use tenure_lab::{FaultyIssuer, IssuerConfig, Rotation, wait_until};
use tenure_store::Store;
use tenure_store::fault::FaultPlan;
use tenure_store::sqlite::{Options as StoreOptions, SqliteStore};
use tenure_wire::{Client, Server};

pub(crate) const SESSION: &str = "shop";

pub(crate) fn issuer(rotation: Rotation, access_ms: u64) -> FaultyIssuer {
    FaultyIssuer::start(
        IssuerConfig::new()
            .rotation(rotation)
            .access_ttl_ms(access_ms),
    )
}

/// A session at this issuer whose profile says how it rotates.
pub(crate) fn config(issuer: &FaultyIssuer, rotation: &str) -> SessionConfig {
    let text = format!(
        "name = \"lab\"\ntitle = \"Lab\"\ndialect = \"oauth2\"\nclient_auth = [\"none\"]\nflows = [\"code\"]\n\
         retry_unknown = true\nrefused_statuses = [401]\n{rotation}\n"
    );
    let profile = tenure_diagnose::parse_profile(&text, "lab.toml")
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut server = Server::new(
        profile.wire_dialect(),
        issuer.token_endpoint().parse().unwrap(),
    );
    server.device_authorization_endpoint = format!("{}/device_authorization", issuer.url())
        .parse()
        .ok();
    SessionConfig {
        name: SESSION.to_owned(),
        profile: Arc::new(profile),
        endpoints: Endpoints::Known(Box::new(server)),
        client: Client::public("till-7"),
        scopes: vec!["orders".to_owned()],
        upstream: issuer.url().parse().ok(),
        keep: tenure_core::session::Keep::Lazy,
        client_credentials: false,
        trust: None,
        timing: Timing {
            exchange_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(200),
            ..Timing::default()
        },
        blocked: None,
    }
}

pub(crate) const STRICT: &str = "rotation = { kind = \"strict\" }";

pub(crate) fn store(dir: &Path) -> Arc<dyn Store> {
    store_with(dir, FaultPlan::default())
}

pub(crate) fn store_with(dir: &Path, faults: FaultPlan) -> Arc<dyn Store> {
    let options = StoreOptions {
        faults,
        ..StoreOptions::new(dir.join("tenure.db"))
    };
    Arc::new(SqliteStore::open(options).expect("a store"))
}

pub(crate) async fn keeper(store: &Arc<dyn Store>, config: SessionConfig) -> Keeper {
    keeper_with(store, config, true, FaultPlan::default()).await
}

pub(crate) async fn keeper_with(
    store: &Arc<dyn Store>,
    config: SessionConfig,
    warm: bool,
    fault: FaultPlan,
) -> Keeper {
    let options = Options {
        store: Arc::clone(store),
        sessions: vec![config],
        warm,
        http: tenure_http::Client::new().expect("TLS"),
        fault,
    };
    Keeper::open(options).await.expect("a keeper")
}

pub(crate) fn session(keeper: &Keeper) -> Session {
    keeper.session(SESSION).expect("the session")
}

/// Logs in with a token response of the issuer.
pub(crate) async fn log_in(keeper: &Keeper, issuer: &FaultyIssuer) {
    let response = issuer.issue().to_string();
    let session = session(keeper);
    let Import::Login(login) = login::import(session.config(), &response).expect("an import")
    else {
        panic!("not a token response")
    };
    let generation = keeper.login(SESSION, login).await.expect("stored");
    wait_until(
        || session.snapshot().generation >= generation,
        "the login is taken up",
    )
    .await;
}

pub(crate) async fn until_state(session: &Session, state: &str) {
    wait_until(
        || session.status().state.as_str() == state,
        &format!("state {state}"),
    )
    .await;
}
