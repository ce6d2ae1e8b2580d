//! Ways to get the first pair: password, device, browser, client credentials, import.

pub mod browser;
mod device;
mod import;

use tenure_core::{Failure, Secret, TokenPair};
use tenure_diagnose::{Grant, Local, TokenFailure, classify_token};
use tenure_http::Client;
use tenure_store::{Info, StoredLogin};
use tenure_wire::{Ctx, Exchange, Granted, Request, Server, Step, TokenAnswer, WireError};

pub use device::device;
pub use import::{Import, import};

use crate::clock;
use crate::clocks::Clocks;
use crate::config::SessionConfig;
use crate::exchange::{self, Defaults, Net, transport};
use crate::failures::unbuildable;
use crate::servers::Servers;

/// A login that succeeded and is not stored yet: [`crate::Keeper::login`] stores it.
#[derive(Debug)]
pub struct NewLogin {
    pub(crate) pair: TokenPair,
    pub(crate) stored: Option<StoredLogin>,
}

impl NewLogin {
    pub(crate) fn info(config: &SessionConfig) -> Info {
        let now = clock::wall();
        Info {
            provider: Some(config.profile.name.clone()),
            login_at: Some(now),
            ..Info::default()
        }
    }

    /// Whether anything can renew this login without a person.
    pub fn renewable(&self) -> bool {
        self.pair.refresh.is_some() || self.stored.is_some()
    }
}

/// Logs in with a name and a password. `remember` stores both, sealed, so that a login without a refresh
/// token can be repeated.
///
/// # Errors
/// The server's refusal, or why it could not be asked.
pub async fn password(
    http: &Client,
    config: &SessionConfig,
    username: &str,
    password: &Secret,
    remember: bool,
) -> Result<NewLogin, Failure> {
    let desk = Desk::new(http, config).await?;
    let scope = desk.scope();
    let started = Exchange::password(
        &desk.server,
        &config.client,
        username,
        password,
        scope.as_deref(),
        &desk.wire_ctx(),
    );
    let granted = desk.perform(started, Grant::Password).await?;
    let stored = remember.then(|| StoredLogin {
        username: username.to_owned(),
        password: password.clone(),
    });
    Ok(desk.login(&granted, stored))
}

/// Logs in with the client's own credentials.
///
/// # Errors
/// The server's refusal, or why it could not be asked.
pub async fn client_credentials(
    http: &Client,
    config: &SessionConfig,
) -> Result<NewLogin, Failure> {
    let desk = Desk::new(http, config).await?;
    let started = Exchange::client_credentials(
        &desk.server,
        &config.client,
        desk.scope().as_deref(),
        &desk.wire_ctx(),
    );
    let granted = desk.perform(started, Grant::ClientCredentials).await?;
    Ok(desk.login(&granted, None))
}

/// What a logout found and did. The session's tokens are gone from here in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// They were forgotten here; the server was not asked.
    Here,
    /// The server revoked them, too.
    AtServer,
    /// The server was to revoke them and names no way to.
    NoRevocation,
    /// An earlier logout had forgotten them, or they cannot be opened: nothing could be shown to the server.
    NothingLeft,
    /// An earlier logout had the server revoke them; there was nothing left to do.
    AtServerBefore,
    /// The session never had any.
    NeverIn,
}

/// Revokes a session's tokens at its server. `false` when the server has no way to.
pub(crate) async fn revoke(
    net: Net<'_>,
    servers: &Servers,
    config: &SessionConfig,
    pair: &TokenPair,
) -> Result<bool, Failure> {
    let server = servers.resolve(net, config).await?;
    let ctx = net.wire_ctx(&server.token_endpoint);
    let (token, hint) = match &pair.refresh {
        Some(refresh) => (refresh, "refresh_token"),
        None => (&pair.access, "access_token"),
    };
    let request = tenure_wire::revocation(&server, &config.client, token, hint, &ctx)
        .map_err(|error| unbuildable(&error))?;
    let Some(request) = request else {
        return Ok(false);
    };
    let local = Local {
        session: config.name.clone(),
        grant: Grant::Other,
        ..Local::default()
    };
    let judge = |answer: TokenFailure<'_>| {
        classify_token(&config.profile, answer, &local)
            .failure()
            .clone()
    };
    let response = net
        .send(request, config.timing.exchange_timeout)
        .await
        .map_err(|fault| judge(TokenFailure::Transport(&transport(&fault))))?;
    tenure_wire::revocation_answer(&response)
        .map_err(|refusal| judge(TokenFailure::Refused(&refusal)))?;
    Ok(true)
}

/// One login under way: the server found, its clock watched.
pub(crate) struct Desk<'a> {
    pub(crate) http: &'a Client,
    pub(crate) config: &'a SessionConfig,
    pub(crate) clocks: Clocks,
    pub(crate) server: std::sync::Arc<Server>,
}

impl<'a> Desk<'a> {
    /// `common` is how servers are asked, unless the session has a trust of its own.
    pub(crate) async fn new(
        common: &'a Client,
        config: &'a SessionConfig,
    ) -> Result<Self, Failure> {
        config.usable()?;
        let http = config.http(common);
        let clocks = Clocks::default();
        let server = Servers::default()
            .resolve(
                Net {
                    http,
                    clocks: &clocks,
                },
                config,
            )
            .await?;
        Ok(Self {
            http,
            config,
            clocks,
            server,
        })
    }

    pub(crate) fn net(&self) -> Net<'_> {
        Net {
            http: self.http,
            clocks: &self.clocks,
        }
    }

    pub(crate) fn wire_ctx(&self) -> Ctx {
        self.net().wire_ctx(&self.server.token_endpoint)
    }

    pub(crate) fn scope(&self) -> Option<String> {
        (!self.config.scopes.is_empty()).then(|| self.config.scopes.join(" "))
    }

    /// Runs an exchange to its grant.
    pub(crate) async fn perform(
        &self,
        started: Result<(Exchange, Request), WireError>,
        grant: Grant,
    ) -> Result<Granted, Failure> {
        match self.ask(started, grant).await? {
            Answer::Granted(granted) => Ok(*granted),
            Answer::Refused(refusal) => Err(self.judge(TokenFailure::Refused(&refusal), grant)),
        }
    }

    /// Runs an exchange to a grant or a refusal in the server's own words.
    pub(crate) async fn ask(
        &self,
        started: Result<(Exchange, Request), WireError>,
        grant: Grant,
    ) -> Result<Answer, Failure> {
        let (mut exchange, mut request) = started.map_err(|error| unbuildable(&error))?;
        loop {
            let response = self
                .net()
                .send(request, self.config.timing.exchange_timeout)
                .await
                .map_err(|fault| self.judge(TokenFailure::Transport(&transport(&fault)), grant))?;
            match exchange.on_response(&response, &self.wire_ctx()) {
                Step::Send(next) => request = next,
                Step::Done(TokenAnswer::Granted(granted)) => {
                    return Ok(Answer::Granted(Box::new(granted)));
                }
                Step::Done(TokenAnswer::Refused(refusal)) => {
                    return Ok(Answer::Refused(Box::new(refusal)));
                }
                Step::Done(TokenAnswer::Unusable(unusable)) => {
                    return Err(self.judge(TokenFailure::Unusable(&unusable), grant));
                }
            }
        }
    }

    pub(crate) fn judge(&self, answer: TokenFailure<'_>, grant: Grant) -> Failure {
        let local = Local {
            session: self.config.name.clone(),
            grant,
            ..Local::default()
        };
        classify_token(&self.config.profile, answer, &local)
            .failure()
            .clone()
    }

    pub(crate) fn login(&self, granted: &Granted, stored: Option<StoredLogin>) -> NewLogin {
        let anchor = self
            .net()
            .anchor(clock::boot_id(), &self.server.token_endpoint);
        let lifetimes = &self.config.profile.lifetimes;
        let defaults = Defaults {
            access_s: self
                .server
                .expires_in_default
                .or(exchange::seconds(lifetimes.access_s)),
            refresh_s: exchange::seconds(lifetimes.refresh_s),
            learned_s: None,
        };
        let mut pair = exchange::pair(granted, tenure_core::Generation(0), anchor, defaults, None);
        let absolute = lifetimes
            .session_s
            .map(|seconds| seconds.saturating_mul(1_000));
        pair.session_ms = pair.session_ms.or(absolute);
        NewLogin { pair, stored }
    }
}

/// The end of an exchange that was answered in the server's own format.
pub(crate) enum Answer {
    Granted(Box<Granted>),
    Refused(Box<tenure_wire::Refusal>),
}
