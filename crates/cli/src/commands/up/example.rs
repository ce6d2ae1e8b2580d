//! The example: an embedded issuer and the sample API on one address of their own.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tenure_core::{Class, Failure, Secret};
use tenure_issuer::{ClientRegistration, Grant, Issuer, IssuerError, Options};
use tenure_keeper::SessionConfig;
use tenure_keeper::login::{self, Import, NewLogin};
use tenure_store::{Seal, Store, StoreError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{listen, orders};
use crate::builtin::{API_PATH, BuiltIn, CLIENT, SCOPE, SESSION, USER, address_url};
use crate::commands::issuer::key;
use crate::config::{Origin, Sourced};
use crate::error::{CommandError, Exit, Outcome, Problem};

/// Short, so that renewal is seen.
const ACCESS_TTL_S: u64 = 20;
/// Where the browser comes back to; the port of loopback addresses may differ (RFC 8252 §7.3).
const REDIRECT_URI: &str = "http://127.0.0.1/callback";

/// The running example.
pub struct Example {
    /// Where the issuer is.
    pub url: Url,
    /// The first user's password, if it was made just now.
    pub password: Option<Secret>,
    /// Whether it was at another address at the last start, which the session's tokens name.
    pub moved: bool,
    issuer: Arc<Issuer>,
    stop: CancellationToken,
    server: JoinHandle<()>,
    tended: JoinHandle<()>,
}

impl Example {
    /// Starts issuer and API; `built_in` learns where they are.
    pub async fn start(
        data: &Path,
        built_in: &mut BuiltIn,
        flag: Option<SocketAddr>,
        admin: &Url,
    ) -> Outcome<Self> {
        let listener = bind(built_in, flag).await?;
        let url = address_url(listener.local_addr()?)?;
        let moved = built_in.started_before && built_in.issuer != url;
        *built_in = BuiltIn::at(data, url.clone(), built_in.started_before)?;
        let audience = url
            .join(API_PATH)
            .map_err(|error| CommandError::failed(format!("{url}: {error}")))?;
        let seal = seal(data)?;
        let mut options = options(data, &url, audience.as_str(), seal);
        options.error_pages = admin.join("error-codes/").ok();
        let issuer = Issuer::open(options).await.map_err(|error| fault(&error))?;
        let password = issuer
            .ensure_user(USER, None)
            .await
            .map_err(|error| fault(&error))?;
        issuer
            .ensure_client(client())
            .await
            .map_err(|error| fault(&error))?;
        let api = orders::router(data, &issuer, &url, &audience).await?;
        let stop = CancellationToken::new();
        let router = issuer
            .router()
            .merge(orders::metadata(&issuer, &audience))
            .nest(API_PATH, api);
        let server = listen::serve(listener, router, stop.clone());
        // From here on the session's tokens name this address.
        built_in.remember(data)?;
        let tended = issuer.tend();
        Ok(Self {
            url,
            password,
            moved,
            issuer,
            stop,
            server,
            tended,
        })
    }

    /// A login of the first user, as the issuer's own login page would make it.
    pub async fn login(&self, config: &SessionConfig) -> Outcome<NewLogin> {
        let tokens = self
            .issuer
            .issue(USER, CLIENT, &config.scopes.join(" "))
            .await
            .map_err(|error| fault(&error))?;
        let response = Secret::new(
            json!({
                "access_token": tokens.access.expose(),
                "refresh_token": tokens.refresh.as_ref().map(Secret::expose),
                "expires_in": tokens.expires_in,
                "refresh_expires_in": tokens.refresh_expires_in,
                "scope": tokens.scope,
            })
            .to_string(),
        );
        match login::import(config, response.expose())? {
            Import::Login(login) => Ok(login),
            Import::Password { .. } => Err(CommandError::failed(
                "the issuer answered with a password; this is a fault in tenure",
            )),
        }
    }

    /// What commands met while nobody was up is over: the issuer did not listen then, and does now.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn forget_absence(&self, store: &dyn Store) -> Result<(), StoreError> {
        let absent = |failure: &Failure| failure.root().class == Class::ConnectionRefused;
        let pace = store.pace(self.url.as_str()).await?;
        if pace
            .and_then(|pace| pace.failure)
            .as_ref()
            .is_some_and(absent)
        {
            store.set_pace(self.url.as_str(), None).await?;
        }
        let Some(record) = store.load(SESSION).await? else {
            return Ok(());
        };
        let noted = record.trouble.as_ref().map(|trouble| &trouble.failure);
        if noted.is_some_and(absent) {
            store.note(SESSION, record.generation, None).await?;
        }
        Ok(())
    }

    /// Ends it; requests under way finish.
    pub async fn stop(self) {
        self.issuer.close();
        self.stop.cancel();
        for task in [self.server, self.tended] {
            // One that panicked has ended, too.
            let _ended = task.await;
        }
    }
}

/// What the built-in issuer is, in `up` and for those who administer it.
pub fn options(data: &Path, url: &Url, audience: &str, seal: Seal) -> Options {
    let mut options = Options::new(
        url.clone(),
        database(data),
        Arc::new(seal),
        audience.to_owned(),
    );
    options.access_ttl_s = ACCESS_TTL_S;
    options.scopes = vec![SCOPE.to_owned()];
    options.open_client = Some(CLIENT.to_owned());
    options
}

/// The file of the built-in issuer.
pub fn database(data: &Path) -> PathBuf {
    data.join("issuer.db")
}

/// The key that seals the built-in issuer's own keys, made with its database.
pub fn seal(data: &Path) -> Outcome<Seal> {
    let path = data.join(key::FILE);
    let made = if database(data).exists() {
        key::read(&path)
    } else {
        key::read_or_make(&path).map(|key| key.seal)
    };
    made.map_err(|mut error| {
        for problem in &mut error.problems {
            if !path.exists() {
                problem.fix = Some("bring the file back; without it, remove issuer.db and builtin.json beside it to begin anew".to_owned());
            }
        }
        error
    })
}

/// The flag's address, the one of the last start, or the usual one. Port 0 means the last one if it is free.
async fn bind(built_in: &BuiltIn, flag: Option<SocketAddr>) -> Outcome<TcpListener> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, built_in.issuer_port()));
    let any_port = flag.is_some_and(|address| address.port() == 0);
    if any_port && built_in.started_before {
        match TcpListener::bind(usual).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error.into()),
        }
    }
    let at = flag.map_or(Sourced::default(usual), |address| {
        Sourced::new(address, Origin::Flag("--issuer-listen"))
    });
    if !at.value.ip().is_loopback() {
        return Err(CommandError::usage(
            format!(
                "the built-in issuer would listen on {}, which other machines can reach",
                at.value
            ),
            "use 127.0.0.1 or [::1] for --issuer-listen: it speaks plain http",
        ));
    }
    listen::bind(&at, "the built-in issuer", "--issuer-listen").await
}

fn client() -> ClientRegistration {
    let mut client = ClientRegistration::public(CLIENT, "Tenure");
    client.redirect_uris = vec![REDIRECT_URI.to_owned()];
    client.grants.push(Grant::Password);
    client.scopes = vec![SCOPE.to_owned()];
    client
}

/// What the issuer says it cannot do.
fn fault(error: &IssuerError) -> CommandError {
    if let IssuerError::Store(error) = error {
        return error.clone().into();
    }
    CommandError::new(
        Exit::NeedsOperator,
        Problem::new(format!("the built-in issuer: {error}")),
    )
}
