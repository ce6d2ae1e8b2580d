//! The issuer itself: what is held in memory, and the login-independent part of its behaviour.

use std::sync::{Arc, PoisonError, RwLock};

use tenure_core::Secret;
use tenure_jose::{JwkSet, KeySet, SigningKey};
use url::Url;

use crate::audit::{Pen, Who};
use crate::backchannel::Receivers;
use crate::changes::Change;
use crate::clients::{self, Registry};
use crate::db::Db;
use crate::endpoints;
use crate::error::IssuerError;
use crate::families::{self, Login};
use crate::keys::{self, Keyring};
use crate::lifetimes;
use crate::master::Master;
use crate::options::Options;
use crate::password::Passwords;
use crate::refresh_token::FamilyId;
use crate::refusals::Refusals;
use crate::revocations::Revocations;
use crate::stats::{Counters, Stats};
use crate::tend::Tending;
use crate::throttle::Throttle;

/// The token server. Made with [`Issuer::open`]; its endpoints are [`Issuer::router`].
pub struct Issuer {
    pub(crate) options: Options,
    /// The issuer identifier: the URL without a slash at its end.
    id: String,
    /// What `error_uri` begins with.
    pub(crate) pages: String,
    pub(crate) db: Db,
    pub(crate) master: Master,
    pub(crate) keyring: RwLock<Arc<Keyring>>,
    pub(crate) clients: RwLock<Registry>,
    pub(crate) lifetimes: lifetimes::Held,
    pub(crate) passwords: Passwords,
    pub(crate) throttle: Throttle,
    pub(crate) refusals: Refusals,
    pub(crate) revocations: Revocations,
    pub(crate) counters: Counters,
    /// Whom this process tells of logouts.
    pub(crate) receivers: Receivers,
    /// Wakes whoever follows the changes, and tells those who wait for more that there will be none.
    pub(crate) tending: Tending,
}

/// What a login or a refresh yields.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: Secret,
    /// Its lifetime in seconds.
    pub expires_in: u64,
    /// The refresh token.
    pub refresh: Option<Secret>,
    /// How long the refresh token lives if nobody uses it, in seconds.
    pub refresh_expires_in: Option<u64>,
    /// How long the session lives whatever happens, in seconds.
    pub session_expires_in: Option<u64>,
    /// The ID token, when the scope asked for one.
    pub id_token: Option<Secret>,
    /// The scope granted.
    pub scope: String,
    /// The session.
    pub sid: Option<String>,
    /// The generation of these tokens.
    pub generation: Option<u64>,
    /// `Bearer`, or `DPoP` for an access token that is bound to a key.
    pub token_type: &'static str,
}

/// The thumbprints of the keys that new tokens are bound to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Keys<'a> {
    pub(crate) access: Option<&'a str>,
    /// Of the refresh tokens; those of clients that prove who they are need no key (RFC 9449 §5).
    pub(crate) session: Option<&'a str>,
}

/// How a session begins.
pub(crate) struct How<'a> {
    pub(crate) keys: Keys<'a>,
    /// Who holds its tokens.
    pub(crate) who: Who,
    /// By which grant.
    pub(crate) grant: &'static str,
    /// How the person proved who they are.
    pub(crate) acr: Option<&'static str>,
}

/// `acr` of a login with user name and password: all that this issuer asks for. There is no registered name for it
/// (RFC 6711).
pub(crate) const ACR_PASSWORD: &str = "urn:tenure:acr:password";

/// The program that has this issuer in it, in the audit log.
pub(crate) const PROGRAM: &str = "the program itself";

impl Issuer {
    /// Opens the database (or makes its tables, with a signing key), and reads back what must be known at once.
    ///
    /// # Errors
    /// When a setting cannot be used, the database fails, or its keys were sealed with another key.
    pub async fn open(options: Options) -> Result<Arc<Self>, IssuerError> {
        let id = identifier(&options.issuer_url)?;
        check_scopes(&options)?;
        check_signing(&options)?;
        let pages = match &options.error_pages {
            Some(url) => format!("{}/", url.as_str().trim_end_matches('/')),
            None => format!("{id}/error-codes/"),
        };
        let database = options.database.clone();
        let opened = tokio::task::spawn_blocking(move || Db::open(&database)).await;
        let db = opened.map_err(|error| IssuerError::Setting {
            name: "data",
            why: error.to_string(),
        })??;
        let master = Master::open(&db, &options.seal).await?;
        let keyring = keys::load(&db, &options, &master.audit).await?;
        let registry = clients::load(&db).await?;
        let in_force = lifetimes::load(&db, &options).await?;
        let issuer = Self {
            id,
            pages,
            master,
            keyring: RwLock::new(Arc::new(keyring)),
            clients: RwLock::new(registry),
            lifetimes: RwLock::new(in_force),
            passwords: Passwords::default(),
            throttle: Throttle::default(),
            refusals: Refusals::default(),
            revocations: Revocations::default(),
            counters: Counters::default(),
            receivers: Receivers::default(),
            tending: Tending::default(),
            options,
            db,
        };
        issuer.recall_revocations().await?;
        Ok(Arc::new(issuer))
    }

    /// Its endpoints. Serve it with connection info (`into_make_service_with_connect_info::<SocketAddr>`), so
    /// that logins can be slowed down per address too.
    pub fn router(self: &Arc<Self>) -> axum::Router {
        endpoints::router(self)
    }

    /// The issuer identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public signing keys, as served at `/jwks.json`.
    pub fn keys(&self) -> JwkSet {
        self.ring().jwks.clone()
    }

    /// The access tokens and sessions revoked so far, for verifiers in this process.
    pub fn revocations(&self) -> Revocations {
        self.revocations.clone()
    }

    /// What this process answered so far.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Begins a session for a user without asking for a password: for the program that embeds the issuer.
    ///
    /// # Errors
    /// When the user or the client does not exist, a scope is not allowed, or the database fails.
    pub async fn issue(
        &self,
        user: &str,
        client_id: &str,
        scope: &str,
    ) -> Result<Tokens, IssuerError> {
        let user_id = self.need_user(user).await?;
        let client = self
            .client(client_id)
            .ok_or_else(|| IssuerError::NotFound {
                kind: "client",
                name: client_id.to_owned(),
            })?;
        let scope = client
            .allowed_scope(Some(scope))
            .map_err(|error| IssuerError::Setting {
                name: "scope",
                why: error.description,
            })?;
        let how = How {
            keys: Keys::default(),
            who: Who::here(PROGRAM),
            grant: "issued",
            acr: None,
        };
        self.begin(user_id, client_id, scope, how).await
    }

    /// Begins a family and mints its first tokens.
    pub(crate) async fn begin(
        &self,
        user_id: String,
        client_id: &str,
        scope: String,
        how: How<'_>,
    ) -> Result<Tokens, IssuerError> {
        let login = Login {
            family: FamilyId::random(),
            user_id,
            client_id: client_id.to_owned(),
            scope,
            jkt: how.keys.session.map(str::to_owned),
            acr: how.acr.map(str::to_owned),
        };
        let (stored, pen, grant) = (login.clone(), self.pen(how.who), how.grant);
        let family = self
            .db
            .write(move |tx| families::begin(tx, &stored, &pen, grant))
            .await?;
        self.counters.count(|stats| stats.logins += 1);
        self.mint(&login, &family, None, how.keys.access, None)
    }

    /// Writes the audit log for somebody, with the present time.
    pub(crate) fn pen(&self, who: Who) -> Pen {
        Pen::new(&self.master.audit, who, self.now())
    }

    pub(crate) fn now(&self) -> i64 {
        (self.options.clock)()
    }

    /// An endpoint's URL; `path` begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.id)
    }

    /// Whether a client may have the scope.
    pub(crate) fn knows_scope(&self, scope: &str) -> bool {
        let own = self.options.scopes.iter().any(|known| known == scope);
        own || crate::scope::BUILT_IN.contains(&scope)
    }

    pub(crate) fn is_https(&self) -> bool {
        self.options.issuer_url.scheme() == "https"
    }

    pub(crate) fn ring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.ring().active)
    }

    pub(crate) fn with_keys<T>(&self, read: impl FnOnce(&KeySet) -> T) -> T {
        read(&self.ring().verify)
    }

    /// After a restart the access tokens revoked before must still be refused.
    async fn recall_revocations(&self) -> Result<(), IssuerError> {
        let rest_ms = self.longest_access_s().saturating_mul(1000) + 60_000;
        let since = self.now().saturating_sub_unsigned(rest_ms);
        for (id, revoked_ms) in families::revoked_since(&self.db, since).await? {
            let until = revoked_ms.saturating_add_unsigned(rest_ms);
            self.revocations.apply(&Change::session(id.sid(), until));
        }
        // Keys and clients were read just now; what changed since is read again, which does no harm.
        self.catch_up().await
    }
}

/// RFC 8414 §2: an https URL without query and fragment; http is accepted for loopback and by explicit choice
/// of whoever configures it.
fn identifier(url: &Url) -> Result<String, IssuerError> {
    let wrong = |why: &str| {
        Err(IssuerError::Setting {
            name: "issuer_url",
            why: format!("`{url}` {why}"),
        })
    };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return wrong("must begin with https:// or http://");
    }
    if url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
    {
        return wrong("must be scheme, host and port only");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn check_signing(options: &Options) -> Result<(), IssuerError> {
    if Options::SIGNING_ALGS.contains(&options.signing_alg) {
        return Ok(());
    }
    Err(IssuerError::Setting {
        name: "signing_alg",
        why: format!(
            "{} is not to sign with; choose ES256, EdDSA or RS256",
            options.signing_alg
        ),
    })
}

fn check_scopes(options: &Options) -> Result<(), IssuerError> {
    for scope in &options.scopes {
        let fine = !scope.is_empty()
            && scope
                .bytes()
                .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if !fine {
            let why = format!("`{scope}` has a character that no scope may have (RFC 6749 §3.3)");
            return Err(IssuerError::Setting {
                name: "scopes",
                why,
            });
        }
    }
    Ok(())
}
