//! Settings of an issuer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tenure_core::{Secret, family};
use tenure_jose::Alg;
use tenure_store::Seal;
use url::Url;

use crate::peer::Network;
use crate::wordpress::WordPress;

/// Milliseconds since the epoch. An argument, so that tests own time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The wall clock of this machine.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |gone| {
            i64::try_from(gone.as_millis()).unwrap_or(i64::MAX)
        })
    })
}

/// Where an issuer keeps its state.
#[derive(Clone)]
pub enum Database {
    /// In a SQLite file: one machine, any number of processes.
    Sqlite(PathBuf),
    /// On a PostgreSQL server (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`): any number of machines. Secret, for
    /// it holds a password.
    Postgres(Secret),
}

/// Settings of an issuer; [`Options::new`] has the defaults.
#[derive(Clone)]
pub struct Options {
    /// The issuer identifier and the base of every endpoint: scheme, host and port only.
    pub issuer_url: Url,
    /// The database.
    pub database: Database,
    /// What private keys and MAC keys are sealed with in the database.
    pub seal: Arc<Seal>,
    /// The `aud` of access tokens: the API they are for (RFC 9068 §3).
    pub audience: String,
    /// Lifetime of an access token in seconds. Default 300.
    pub access_ttl_s: u64,
    /// By how many percent at most a lifetime is shortened, so that a fleet does not refresh at one instant.
    /// Default 5.
    pub access_jitter_percent: u64,
    /// Rotation and lifetimes of refresh token families.
    pub rotation: family::Options,
    /// Lifetime of an authorization code in seconds. Default 60 (RFC 6749 §4.1.2: at most 600).
    pub code_ttl_s: u64,
    /// Lifetime of a device code in seconds. Default 600.
    pub device_ttl_s: u64,
    /// How often a device may poll, in seconds. Default 5 (RFC 8628 §3.2).
    pub device_interval_s: u64,
    /// What tokens are signed with: one of [`Options::SIGNING_ALGS`]. Default ES256. An issuer that is told another one
    /// turns its keys over to it as it does when they are old: published first, signing once everybody must know.
    pub signing_alg: Alg,
    /// How long a key set may be cached, in seconds; a next key signs no earlier than this after it was
    /// published. Default 300.
    pub jwks_max_age_s: u64,
    /// How long a signing key signs before the next one is published and takes over, in seconds; `None`: until
    /// somebody turns it over. Default 90 days.
    pub key_lifetime_s: Option<u64>,
    /// The WordPress plugin whose dialect is spoken beside OAuth 2.0. Default none.
    pub wordpress: Option<WordPress>,
    /// Whether DPoP proofs must carry a nonce of this issuer (RFC 9449 §8). Default no.
    pub dpop_nonces: bool,
    /// Whether a new password ends the user's sessions, and a closed account its access tokens, at once. Default yes; without,
    /// sessions outlive a password, and access tokens of a closed account live until they expire.
    pub revoke_at_once: bool,
    /// Whether programs may register themselves with a token that an administrator makes (RFC 7591). Default no.
    pub registration: bool,
    /// The scopes that exist, besides `openid`, `profile` and `offline_access`.
    pub scopes: Vec<String>,
    /// The proxies whose `X-Forwarded-For` says who the caller is. Default none: it is whoever connects.
    pub trusted_proxies: Vec<Network>,
    /// Base of the pages that `error_uri` names; the code is appended. Default: pages of this issuer.
    pub error_pages: Option<Url>,
    /// A public client that anybody here may be: the metadata names it as `tenure_client`, so that `tenure init` needs
    /// to be told nothing. Default none.
    pub open_client: Option<String>,
    /// Whether [`crate::Stats::exchanges`] counts per family and generation. For tests; it grows without bound.
    pub record_exchanges: bool,
    /// Time. Default: the system's.
    pub clock: Clock,
}

impl Options {
    /// The algorithms an issuer may sign with. Shared secrets are none of them: whoever verifies could sign.
    pub const SIGNING_ALGS: [Alg; 3] = [Alg::Es256, Alg::EdDsa, Alg::Rs256];

    /// Defaults for an issuer at `issuer_url` with its database in the file `data`.
    pub fn new(
        issuer_url: Url,
        data: PathBuf,
        seal: Arc<Seal>,
        audience: impl Into<String>,
    ) -> Self {
        Self {
            issuer_url,
            database: Database::Sqlite(data),
            seal,
            audience: audience.into(),
            access_ttl_s: 300,
            access_jitter_percent: 5,
            rotation: family::Options::default(),
            code_ttl_s: 60,
            device_ttl_s: 600,
            device_interval_s: 5,
            signing_alg: Alg::Es256,
            jwks_max_age_s: 300,
            key_lifetime_s: Some(90 * 24 * 3_600),
            wordpress: None,
            dpop_nonces: false,
            revoke_at_once: true,
            registration: false,
            scopes: Vec::new(),
            trusted_proxies: Vec::new(),
            error_pages: None,
            open_client: None,
            record_exchanges: false,
            clock: system_clock(),
        }
    }
}
