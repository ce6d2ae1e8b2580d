//! Checking one token.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tenure_jose::{Alg, KeySet, Peek, Reason, Rules};
use url::Url;

use crate::dpop::Dpop;
use crate::jwks::JwksCache;
use crate::layer::VerifyLayer;
use crate::refusal::Refusal;
use crate::style::Style;
use crate::uses::FirstUses;

/// How far issuer's and resource server's clocks may differ, in seconds, unless configured. Small on purpose:
/// hosts with NTP agree within milliseconds, and every second of it lengthens each token's life.
pub const DEFAULT_LEEWAY_S: i64 = 5;

/// A token's claims.
pub type Claims = Map<String, Value>;

/// Tells the time in epoch seconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Says whether a verified token was revoked before its end. Asked for every request, so it must answer from
/// memory. Any `Fn(&Claims) -> bool` is one, and so is a [`crate::RevocationFeed`].
pub trait RevocationCheck: Send + Sync {
    /// Whether the token with these claims (see `jti`, `sid`, `sub`) is revoked.
    fn is_revoked(&self, claims: &Claims) -> bool;

    /// Whether the signing key of this `kid` is revoked: its tokens are refused though the key may still be in a cached
    /// key set.
    fn is_key_revoked(&self, _kid: &str) -> bool {
        false
    }

    /// Whether it knows enough for its "not revoked" to be believed. While it does not, tokens are answered with
    /// [`Refusal::Unavailable`].
    fn is_known(&self) -> bool {
        true
    }
}

impl<F: Fn(&Claims) -> bool + Send + Sync> RevocationCheck for F {
    fn is_revoked(&self, claims: &Claims) -> bool {
        self(claims)
    }
}

/// Where the verifying keys come from.
#[derive(Clone)]
pub struct KeySource(Source);

#[derive(Clone)]
enum Source {
    Fixed(Arc<KeySet>),
    Shared(Arc<dyn Fn() -> Arc<KeySet> + Send + Sync>),
    Url(Url),
    Cache(Arc<JwksCache>),
}

impl KeySource {
    /// Keys that never change.
    pub fn fixed(keys: KeySet) -> Self {
        Self(Source::Fixed(Arc::new(keys)))
    }

    /// Keys of an issuer in the same process, asked for at every request; it must not block.
    pub fn shared(keys: impl Fn() -> Arc<KeySet> + Send + Sync + 'static) -> Self {
        Self(Source::Shared(Arc::new(keys)))
    }

    /// Keys published at a `jwks_uri`, kept by a [`JwksCache`] with its default settings.
    pub fn url(url: Url) -> Self {
        Self(Source::Url(url))
    }

    /// Keys kept by a cache that was set up already, and may be shared by several verifiers.
    pub fn cache(cache: Arc<JwksCache>) -> Self {
        Self(Source::Cache(cache))
    }
}

/// Why a verifier cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The key set's address is not safe or not usable.
    #[error("keys cannot be fetched from {url}: {why}")]
    Url {
        /// The address.
        url: Url,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The address of the revocations is not safe.
    #[error(
        "revocations cannot be learned from {url}: whoever can change the answer can hide them; use https (http is \
         for loopback addresses)"
    )]
    Feed {
        /// The address.
        url: Url,
    },
    /// The address that first uses are reported to is not safe.
    #[error(
        "first uses cannot be reported to {url}: the client's secret would be readable on the way; use https (http is for \
         loopback addresses)"
    )]
    Uses {
        /// The address.
        url: Url,
    },
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Http(#[from] tenure_http::SetupError),
    /// The realm cannot stand in a header.
    #[error("the realm may only have printable ASCII characters without quotes and backslashes")]
    Realm,
    /// The leeway is negative or larger than an hour.
    #[error("the leeway is {0} s; it must be between 0 and 3600 s")]
    Leeway(i64),
}

/// What a token said, once it is verified. In a request's extensions behind a [`VerifyLayer`].
#[derive(Clone, Debug)]
pub struct Verified {
    /// `sub`, or the user's number in the tokens of WordPress plugins (`data.user.id`).
    pub subject: Option<String>,
    /// `scope` (RFC 9068 §2.2.3) or `scp` (Entra ID, Okta).
    pub scopes: Vec<String>,
    /// All claims.
    pub claims: Arc<Claims>,
}

impl Verified {
    fn new(token: Peek) -> Self {
        let wordpress_user = || match token.claims.get("data")?.get("user")?.get("id")? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        };
        Self {
            subject: token.sub().map(str::to_owned).or_else(wordpress_user),
            scopes: scopes(&token.claims),
            claims: Arc::new(token.claims),
        }
    }

    /// Whether the token has this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|has| has == scope)
    }
}

fn scopes(claims: &Claims) -> Vec<String> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(list)) => list.split_ascii_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// Sets up a [`Verifier`].
pub struct Builder {
    keys: KeySource,
    issuer: Option<String>,
    audience: Option<String>,
    typ: Option<String>,
    leeway_s: i64,
    algorithms: Vec<Alg>,
    clock: Clock,
    revocation: Option<Arc<dyn RevocationCheck>>,
    realm: String,
    resource_metadata: Option<Url>,
    style: Style,
    dpop: Option<Url>,
    first_uses: Option<FirstUses>,
    any_size: bool,
}

impl Builder {
    /// Demands this exact `iss`. Leave it out only for keys that sign for one issuer anyway.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Demands that `aud` names this.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Demands this `typ`; `at+jwt` for RFC 9068 tokens. Without it any type passes.
    #[must_use]
    pub fn typ(mut self, typ: impl Into<String>) -> Self {
        self.typ = Some(typ.into());
        self
    }

    /// Leeway for clocks in seconds, 0 to 3600; [`DEFAULT_LEEWAY_S`] without it.
    #[must_use]
    pub fn leeway_s(mut self, seconds: i64) -> Self {
        self.leeway_s = seconds;
        self
    }

    /// Accepts these algorithms only; without it, whatever algorithm each key is for.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Alg>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Takes the time (epoch seconds) from here instead of from the system.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Asks this whether a token was revoked; a [`crate::RevocationFeed`] for an issuer in another process.
    #[must_use]
    pub fn revocation(mut self, check: impl RevocationCheck + 'static) -> Self {
        self.revocation = Some(Arc::new(check));
        self
    }

    /// Accepts tokens that are bound to a key, with a proof of it (DPoP, RFC 9449 §7). `origin` is where callers see the
    /// API: scheme, host and port, which proofs must name. Proofs are accepted once by this process; several processes
    /// behind one address do not know of each other's.
    #[must_use]
    pub fn dpop(mut self, origin: Url) -> Self {
        self.dpop = Some(origin);
        self
    }

    /// Tells the issuer of each generation of a session that is seen in use, so that it need not guess whether a reply was
    /// lost.
    #[must_use]
    pub fn first_uses(mut self, uses: FirstUses) -> Self {
        self.first_uses = Some(uses);
        self
    }

    /// The realm of the challenges; `api` without it.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Where the API's metadata is: challenges point there, and clients find who gives tokens (RFC 9728 §5.1).
    #[must_use]
    pub fn resource_metadata(mut self, url: Url) -> Self {
        self.resource_metadata = Some(url);
        self
    }

    /// The style of refusals; [`Style::Rfc6750`] without it.
    #[must_use]
    pub fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// Reads documents that are larger than tokens, too; whoever fetches them bounds them.
    #[must_use]
    pub(crate) fn any_size(mut self) -> Self {
        self.any_size = true;
        self
    }

    /// Builds it. Fetches nothing yet; see [`Verifier::warm_up`].
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn build(self) -> Result<Verifier, BuildError> {
        if !self
            .realm
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
        {
            return Err(BuildError::Realm);
        }
        if !(0..=3600).contains(&self.leeway_s) {
            return Err(BuildError::Leeway(self.leeway_s));
        }
        let keys = match self.keys.0 {
            Source::Fixed(keys) => Keys::Fixed(keys),
            Source::Shared(keys) => Keys::Shared(keys),
            Source::Url(url) => Keys::Cache(JwksCache::new(url)?),
            Source::Cache(cache) => Keys::Cache(cache),
        };
        Ok(Verifier(Arc::new(Settings {
            keys,
            issuer: self.issuer,
            audience: self.audience,
            typ: self.typ,
            leeway_s: self.leeway_s,
            algorithms: self.algorithms,
            clock: self.clock,
            revocation: self.revocation,
            realm: self.realm,
            dpop: self.dpop.map(Dpop::new),
            first_uses: self.first_uses,
            resource_metadata: self.resource_metadata,
            style: self.style,
            any_size: self.any_size,
        })))
    }
}

enum Keys {
    Fixed(Arc<KeySet>),
    Shared(Arc<dyn Fn() -> Arc<KeySet> + Send + Sync>),
    Cache(Arc<JwksCache>),
}

struct Settings {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
    typ: Option<String>,
    leeway_s: i64,
    algorithms: Vec<Alg>,
    clock: Clock,
    revocation: Option<Arc<dyn RevocationCheck>>,
    realm: String,
    resource_metadata: Option<Url>,
    style: Style,
    dpop: Option<Dpop>,
    first_uses: Option<FirstUses>,
    any_size: bool,
}

/// Verifies access tokens. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Verifier(Arc<Settings>);

impl Verifier {
    /// Starts with where the keys come from.
    pub fn builder(keys: KeySource) -> Builder {
        Builder {
            keys,
            issuer: None,
            audience: None,
            typ: None,
            leeway_s: DEFAULT_LEEWAY_S,
            algorithms: Vec::new(),
            clock: Arc::new(system_time),
            revocation: None,
            realm: "api".to_owned(),
            dpop: None,
            first_uses: None,
            resource_metadata: None,
            style: Style::default(),
            any_size: false,
        }
    }

    /// A tower layer that lets verified requests through.
    pub fn layer(&self) -> VerifyLayer {
        VerifyLayer::new(self.clone())
    }

    /// Fetches the keys, if they have to be fetched, so that the first request need not wait.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]; requests will try again.
    pub async fn warm_up(&self) -> Result<(), Refusal> {
        if let Keys::Cache(cache) = &self.0.keys {
            cache.current((self.0.clock)()).await?;
        }
        Ok(())
    }

    /// Verifies a token. Waits only when keys must be fetched first.
    ///
    /// # Errors
    /// The exact [`Refusal`]; never [`Refusal::Missing`] or [`Refusal::InsufficientScope`].
    pub async fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        self.verify_with(token, None).await
    }

    /// Verifies a token that came with the proof of a key of this thumbprint (RFC 7638).
    pub(crate) async fn verify_bound(&self, token: &str, jkt: &str) -> Result<Verified, Refusal> {
        self.verify_with(token, Some(jkt)).await
    }

    async fn verify_with(&self, token: &str, jkt: Option<&str>) -> Result<Verified, Refusal> {
        let now_s = (self.0.clock)();
        match &self.0.keys {
            Keys::Fixed(keys) => self.judge(token, keys, now_s, jkt),
            Keys::Shared(keys) => self.judge(token, &keys(), now_s, jkt),
            Keys::Cache(cache) => self.verify_cached(token, cache, now_s, jkt).await,
        }
    }

    async fn verify_cached(
        &self,
        token: &str,
        cache: &Arc<JwksCache>,
        now_s: i64,
        jkt: Option<&str>,
    ) -> Result<Verified, Refusal> {
        let snapshot = cache.current(now_s).await?;
        let first = self.judge(token, snapshot.keys(), now_s, jkt);
        match &first {
            Err(Refusal::Invalid { reason, .. }) if newer_keys_may_help(reason, token) => {
                match cache.newer_than(&snapshot, now_s).await {
                    Some(newer) => self.judge(token, newer.keys(), now_s, jkt),
                    None => first,
                }
            }
            _ => first,
        }
    }

    fn judge(
        &self,
        token: &str,
        keys: &KeySet,
        now_s: i64,
        jkt: Option<&str>,
    ) -> Result<Verified, Refusal> {
        let settings = &*self.0;
        let rules = Rules {
            issuer: settings.issuer.as_deref(),
            audience: settings.audience.as_deref(),
            typ: settings.typ.as_deref(),
            leeway_s: settings.leeway_s,
            now_s,
        };
        let invalid = |reason| Refusal::Invalid { reason, now_s };
        let verified = if settings.any_size {
            tenure_jose::verify_document(token, keys, &rules)
        } else {
            tenure_jose::verify(token, keys, &rules)
        };
        let token = verified.map_err(invalid)?;
        self.check_algorithm(&token).map_err(invalid)?;
        self.check_key(&token).map_err(invalid)?;
        check_binding(&token, jkt)?;
        self.check_revocation(&token)?;
        if let Some(uses) = &settings.first_uses {
            uses.note(&token.claims);
        }
        Ok(Verified::new(token))
    }

    /// A revoked key is one that the issuer does not publish: its tokens are answered as those of any unknown key.
    fn check_key(&self, token: &Peek) -> Result<(), Reason> {
        let (Some(check), Some(kid)) = (&self.0.revocation, &token.header.kid) else {
            return Ok(());
        };
        if check.is_key_revoked(kid) {
            return Err(Reason::UnknownKey {
                kid: Some(kid.clone()),
            });
        }
        Ok(())
    }

    fn check_revocation(&self, token: &Peek) -> Result<(), Refusal> {
        let Some(check) = &self.0.revocation else {
            return Ok(());
        };
        if check.is_revoked(&token.claims) {
            return Err(Refusal::Revoked);
        }
        if check.is_known() {
            return Ok(());
        }
        Err(Refusal::Unavailable { retry_after_s: 1 })
    }

    fn check_algorithm(&self, token: &Peek) -> Result<(), Reason> {
        let allowed = &self.0.algorithms;
        if allowed.is_empty()
            || Alg::parse(&token.header.alg).is_some_and(|alg| allowed.contains(&alg))
        {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(|alg| alg.as_str()).collect();
        Err(Reason::WrongAlgorithm {
            found: token.header.alg.clone(),
            expected: names.join(", "),
        })
    }

    pub(crate) fn resource_metadata(&self) -> Option<&Url> {
        self.0.resource_metadata.as_ref()
    }

    pub(crate) fn dpop(&self) -> Option<&Dpop> {
        self.0.dpop.as_ref()
    }

    pub(crate) fn now_s(&self) -> i64 {
        (self.0.clock)()
    }

    pub(crate) fn realm(&self) -> &str {
        &self.0.realm
    }

    pub(crate) fn style(&self) -> Style {
        self.0.style
    }
}

/// Only who holds its key may use a bound token, and only a bound token comes with a proof (RFC 9449 §7.1, §7.2).
fn check_binding(token: &Peek, proven: Option<&str>) -> Result<(), Refusal> {
    let bound = token.claims.get("cnf").and_then(|cnf| cnf.get("jkt"));
    match (bound, proven) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Refusal::Unbound),
        (Some(bound), Some(proven)) if bound.as_str() == Some(proven) => Ok(()),
        (Some(_), Some(_)) => Err(Refusal::Proof(
            "The DPoP proof is made with another key than the access token's",
        )),
        (Some(_), None) => Err(Refusal::Bound),
    }
}

/// A key of an unknown name may have been published since. Keys without names can only be missed by their
/// signature.
fn newer_keys_may_help(reason: &Reason, token: &str) -> bool {
    match reason {
        Reason::UnknownKey { .. } => true,
        Reason::BadSignature => {
            tenure_jose::peek(token).is_ok_and(|token| token.header.kid.is_none())
        }
        _ => false,
    }
}

pub(crate) fn system_time() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        // A clock before 1970 is unset; every token is then "not yet valid", which says so.
        Err(_) => 0,
    }
}
