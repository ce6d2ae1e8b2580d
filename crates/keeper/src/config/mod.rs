//! A session as configured, with every default filled in.

pub mod checks;

use std::sync::Arc;
use std::time::Duration;

use tenure_core::Failure;
use tenure_core::session::{Keep, RefreshAt};
use tenure_diagnose::Profile;
use tenure_http::Trust;
use tenure_wire::{Client, Server};
use url::Url;

/// One session to keep. Secrets are already read; nothing here touches a file.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Its name, `[a-z0-9-]{1,63}` so that it can be a host name label.
    pub name: String,
    /// How its server behaves.
    pub profile: Arc<Profile>,
    /// Where its server listens.
    pub endpoints: Endpoints,
    /// Who asks.
    pub client: Client,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Where the access token goes, and nowhere else (I15).
    pub upstream: Option<Url>,
    /// With or without traffic.
    pub keep: Keep,
    /// The grant is client credentials: no person ever logs in.
    pub client_credentials: bool,
    /// What to trust beside the system's certificate authorities, at the session's server and upstream.
    pub trust: Option<Trust>,
    /// Times and limits.
    pub timing: Timing,
    /// Why nothing can be asked of the server as things are, e.g. a secret that cannot be read. The session is there,
    /// serves what is valid, and needs an operator.
    pub blocked: Option<Box<Failure>>,
}

impl SessionConfig {
    /// Whether the server can be asked.
    pub(crate) fn usable(&self) -> Result<(), Failure> {
        match &self.blocked {
            Some(failure) => Err((**failure).clone()),
            None => Ok(()),
        }
    }
}

impl SessionConfig {
    /// How the session's server is asked: by `common`, unless the session has a trust of its own.
    pub fn http<'a>(&'a self, common: &'a tenure_http::Client) -> &'a tenure_http::Client {
        self.trust.as_ref().map_or(common, Trust::client)
    }
}

/// Where a session's server listens.
#[derive(Clone, Debug)]
pub enum Endpoints {
    /// All known.
    Known(Box<Server>),
    /// To be read from the issuer's discovery document when first needed, and again when it fails.
    Discover {
        /// The issuer's identifier.
        issuer: Url,
        /// What is known without the document: dialect and what the configuration says.
        known: Box<Server>,
    },
}

impl Endpoints {
    /// What is known now.
    pub fn known(&self) -> &Server {
        match self {
            Endpoints::Known(server) | Endpoints::Discover { known: server, .. } => server,
        }
    }
}

/// Times and limits of one session (DESIGN §12, `[keeper.timing]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Hard deadline of one exchange. Default 15 s.
    pub exchange_timeout: Duration,
    /// First wait after a passing failure. Default 1 s.
    pub backoff_min: Duration,
    /// Longest wait. Default 60 s.
    pub backoff_max: Duration,
    /// When a pair is due.
    pub refresh_at: RefreshAt,
    /// Bodies up to this many bytes are kept for a replay. Default 1 MiB.
    pub replay_limit: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            exchange_timeout: Duration::from_secs(15),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            refresh_at: RefreshAt::Auto,
            replay_limit: 1024 * 1024,
        }
    }
}
