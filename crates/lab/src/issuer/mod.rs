//! An OAuth 2.0 authorization server with a protected API, made to misbehave.
//!
//! | path | what |
//! |---|---|
//! | `/token`, `/revoke`, `/introspect` | RFC 6749, 7009, 7662 |
//! | `/authorize`, `/device_authorization` | RFC 6749 with PKCE (consents at once), RFC 8628 |
//! | `/.well-known/openid-configuration`, `/.well-known/oauth-authorization-server` | discovery |
//! | `/jwks` | the key that signs [`TokenFormat::SignedJwt`] |
//! | `/api/…` | the protected API, see [`api`] |

pub mod api;
mod deeds;
mod flows;
mod rotation;
mod token;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get, post};
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::clock::Clock;
use crate::gate::Gate;
use crate::jwt;
use crate::record::lock;
use crate::server::{ANY_PORT, App, Server};

pub use deeds::Deed;
pub use rotation::{Exchanged, Outcome, Rotation};

use deeds::Deeds;
use flows::{Code, Device};
use rotation::{Families, Pair};

/// The shape of access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFormat {
    /// Random text.
    Opaque,
    /// A JWT (HS256, key known to nobody) with `iss`, `sub`, `iat`, `exp`, `jti`, `scope`.
    Jwt,
    /// The same signed with a key that is published at `/jwks` (ES256).
    SignedJwt,
}

/// What token answers say in `expires_in`.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpiresIn {
    /// The truth in seconds, rounded up.
    Seconds,
    /// Nothing.
    Omitted,
    /// The instant of expiry in epoch seconds, as some servers do by mistake.
    Epoch,
    /// This value, whatever the truth is.
    Value(Value),
}

/// How a [`FaultyIssuer`] is set up. All fields may be set directly; the methods are for chaining.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// Where to listen.
    pub bind: SocketAddr,
    /// What becomes of used refresh tokens.
    pub rotation: Rotation,
    /// Lifetime of access tokens, in ms.
    pub access_ttl_ms: u64,
    /// Lifetime of each refresh token, in ms; `None`: no end, and no `refresh_expires_in` in answers.
    pub refresh_ttl_ms: Option<u64>,
    /// Shape of access tokens.
    pub format: TokenFormat,
    /// What answers say about the lifetime.
    pub expires_in: ExpiresIn,
    /// Clients and their secrets (Basic or in the body). Empty: every client is taken, none is authenticated.
    pub clients: Vec<(String, String)>,
    /// Users of the password grant.
    pub users: Vec<(String, String)>,
    /// Scope granted when none is asked for.
    pub scope: String,
    /// Put before every token given, to find it again in logs and files.
    pub marker: String,
    /// Without rotation: repeat the refresh token in answers (otherwise it is left out).
    pub repeat_refresh_token: bool,
    /// Access tokens of a revoked family are refused as well (otherwise they live out their time).
    pub revocation_reaches_access: bool,
    /// Polling interval of the device flow, in seconds.
    pub device_interval_s: u64,
}

impl Default for IssuerConfig {
    fn default() -> Self {
        IssuerConfig {
            bind: ANY_PORT,
            rotation: Rotation::Strict,
            access_ttl_ms: 300_000,
            refresh_ttl_ms: None,
            format: TokenFormat::Opaque,
            expires_in: ExpiresIn::Seconds,
            clients: Vec::new(),
            users: vec![("admin".to_owned(), "secret".to_owned())],
            scope: "orders".to_owned(),
            marker: String::new(),
            repeat_refresh_token: false,
            revocation_reaches_access: true,
            device_interval_s: 5,
        }
    }
}

impl IssuerConfig {
    /// A strict issuer with opaque access tokens of 5 minutes.
    pub fn new() -> Self {
        IssuerConfig::default()
    }

    /// Sets the rotation behaviour.
    #[must_use]
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// Sets the lifetime of access tokens, in seconds.
    #[must_use]
    pub fn access_ttl_s(self, seconds: u64) -> Self {
        self.access_ttl_ms(seconds * 1000)
    }

    /// Sets the lifetime of access tokens, in ms.
    #[must_use]
    pub fn access_ttl_ms(mut self, ms: u64) -> Self {
        self.access_ttl_ms = ms;
        self
    }

    /// Sets the lifetime of refresh tokens, in seconds.
    #[must_use]
    pub fn refresh_ttl_s(mut self, seconds: u64) -> Self {
        self.refresh_ttl_ms = Some(seconds * 1000);
        self
    }

    /// JWT access tokens.
    #[must_use]
    pub fn jwt(mut self) -> Self {
        self.format = TokenFormat::Jwt;
        self
    }

    /// JWT access tokens signed with a published key.
    #[must_use]
    pub fn signed_jwt(mut self) -> Self {
        self.format = TokenFormat::SignedJwt;
        self
    }

    /// Sets what `expires_in` says.
    #[must_use]
    pub fn expires_in(mut self, expires_in: ExpiresIn) -> Self {
        self.expires_in = expires_in;
        self
    }

    /// Adds a client that must authenticate.
    #[must_use]
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        self.clients.push((id.to_owned(), secret.to_owned()));
        self
    }

    /// Marks every token given.
    #[must_use]
    pub fn marker(mut self, marker: &str) -> Self {
        marker.clone_into(&mut self.marker);
        self
    }
}

/// The issuer, running. See the [module](self) for what it serves, and [`Server`] for what it recorded.
#[derive(Debug)]
pub struct FaultyIssuer {
    server: Server,
    inner: Arc<Inner>,
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Inner {
    clock: Arc<Clock>,
    state: Mutex<State>,
    secret: String,
    key: Mutex<jwt::PublishedKey>,
    url: Mutex<String>,
    redirect_to: Mutex<String>,
    orders: Mutex<Vec<Value>>,
    uploaded: AtomicUsize,
    slow: Gate,
    stream: Gate,
}

#[derive(Debug)]
struct State {
    config: IssuerConfig,
    families: Families,
    access: HashMap<String, Access>,
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
    deny_consent: bool,
    deeds: Deeds,
}

/// An access token given.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    family: Option<usize>,
    refresh: Option<String>,
    scope: String,
    expires_ms: i64,
    revoked: bool,
    /// Signed with a key that is published no more.
    old_key: bool,
}

impl FaultyIssuer {
    /// Starts an issuer.
    pub fn start(config: IssuerConfig) -> FaultyIssuer {
        let bind = config.bind;
        let clock = Arc::new(Clock::default());
        let inner = Arc::new(Inner {
            clock: Arc::clone(&clock),
            state: Mutex::new(State {
                families: Families::new(config.rotation, &config.marker),
                config,
                access: HashMap::new(),
                codes: HashMap::new(),
                devices: HashMap::new(),
                deny_consent: false,
                deeds: Deeds::default(),
            }),
            secret: jwt::random_hex(32),
            key: Mutex::new(jwt::PublishedKey::generate()),
            url: Mutex::default(),
            redirect_to: Mutex::default(),
            orders: Mutex::default(),
            uploaded: AtomicUsize::new(0),
            slow: Gate::closed(),
            stream: Gate::closed(),
        });
        let router = router(Arc::clone(&inner));
        let app: Arc<App> = Arc::new(move |request: Request<Body>| {
            let router = router.clone();
            Box::pin(async move {
                router
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {})
            })
        });
        let server = Server::start(bind, clock, |uri| uri.path() == "/token", app);
        *lock(&inner.url) = server.url();
        FaultyIssuer { server, inner }
    }

    /// The issuer's URL for metadata, `iss` and links; unlike [`Server::url`] it can be another one, for
    /// instance of a proxy in front.
    pub fn set_public_url(&self, url: &str) {
        url.clone_into(&mut lock(&self.inner.url));
    }

    /// URL of the token endpoint.
    pub fn token_endpoint(&self) -> String {
        self.url_of("/token")
    }

    /// A login behind the curtain: the token answer, with `obtained_at`, as `tenure login --import` takes it.
    pub fn issue(&self) -> Value {
        let now = self.inner.clock.now_ms();
        let mut state = lock(&self.inner.state);
        let scope = state.config.scope.clone();
        let mut answer = self.inner.login(&mut state, &scope, now);
        answer["obtained_at"] = json!(now.div_euclid(1000));
        answer
    }

    /// Changes the settings from now on. `bind` and `marker` have no effect any more.
    pub fn reconfigure(&self, change: impl FnOnce(&mut IssuerConfig)) {
        let mut state = lock(&self.inner.state);
        change(&mut state.config);
        state.families.rotation = state.config.rotation;
    }

    /// Refuses all access tokens given so far (401 `invalid_token`). Refresh tokens stay good.
    pub fn revoke_access_tokens(&self) {
        lock(&self.inner.state)
            .access
            .values_mut()
            .for_each(|access| access.revoked = true);
    }

    /// Ends the lifetime of all access tokens given so far, without moving the clock.
    pub fn expire_access_now(&self) {
        let now = self.inner.clock.now_ms();
        for access in lock(&self.inner.state).access.values_mut() {
            access.expires_ms = access.expires_ms.min(now);
        }
    }

    /// Revokes the family of this refresh token (any generation of it). Panics if it is unknown.
    pub fn revoke_family(&self, refresh_token: &str) {
        let mut state = lock(&self.inner.state);
        let family = state
            .families
            .family_of(refresh_token)
            .expect("the issuer gave this refresh token");
        state.families.revoke(family);
    }

    /// Revokes all families.
    pub fn revoke_all_families(&self) {
        lock(&self.inner.state).families.revoke_all();
    }

    /// Ends the lifetime of all refresh tokens given so far.
    pub fn expire_refresh_tokens(&self) {
        let now = self.inner.clock.now_ms();
        lock(&self.inner.state).families.expire_all(now);
    }

    /// Whether the family of this refresh token is revoked; false for one the issuer never gave.
    pub fn is_revoked(&self, refresh_token: &str) -> bool {
        let state = lock(&self.inner.state);
        state
            .families
            .family_of(refresh_token)
            .is_some_and(|family| state.families.is_revoked(family))
    }

    /// How many logins there were.
    pub fn logins(&self) -> usize {
        lock(&self.inner.state).families.count()
    }

    /// All exchanges of refresh tokens that were processed, in order.
    pub fn exchanges(&self) -> Vec<Exchanged> {
        lock(&self.inner.state).families.log.clone()
    }

    /// How often this refresh token was presented and processed, granted or not.
    pub fn presented(&self, refresh_token: &str) -> usize {
        self.exchanges()
            .iter()
            .filter(|exchange| exchange.refresh_token == refresh_token)
            .count()
    }

    /// How often this refresh token was spent: presented and granted.
    pub fn spent(&self, refresh_token: &str) -> usize {
        let spends = |exchange: &&Exchanged| {
            exchange.refresh_token == refresh_token && exchange.outcome.granted()
        };
        self.exchanges().iter().filter(spends).count()
    }

    /// The most often any one refresh token was presented: 1 means one exchange per generation.
    pub fn most_presented(&self) -> usize {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for exchange in self.exchanges() {
            *counts.entry(exchange.refresh_token).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    }

    /// Replaces the published key at once, without an overlap: tokens given so far name a key that is gone.
    pub fn replace_key(&self) {
        *lock(&self.inner.key) = jwt::PublishedKey::generate();
    }

    /// Lets the person at `/authorize` refuse consent from now on (or give it again).
    pub fn deny_consent(&self, deny: bool) {
        lock(&self.inner.state).deny_consent = deny;
    }

    /// The person enters this user code and agrees. Panics if the code is unknown.
    pub fn approve_device(&self, user_code: &str) {
        self.decide_device(user_code, true);
    }

    /// The person enters this user code and refuses. Panics if the code is unknown.
    pub fn deny_device(&self, user_code: &str) {
        self.decide_device(user_code, false);
    }

    fn decide_device(&self, user_code: &str, agree: bool) {
        let mut state = lock(&self.inner.state);
        let device = state
            .devices
            .values_mut()
            .find(|device| device.user_code == user_code);
        device.expect("the issuer gave this user code").decided = Some(agree);
    }

    /// Where `/api/redirect` redirects to.
    pub fn set_redirect(&self, to: &str) {
        to.clone_into(&mut lock(&self.inner.redirect_to));
    }

    /// The bodies that `POST /api/orders` accepted, in order.
    pub fn orders_posted(&self) -> Vec<Value> {
        lock(&self.inner.orders).clone()
    }

    /// Bytes that `/api/upload` has read after accepting the token.
    pub fn uploaded_bytes(&self) -> usize {
        self.inner.uploaded.load(Ordering::SeqCst)
    }

    /// The gate `/api/slow` waits at.
    pub fn slow_gate(&self) -> &Gate {
        &self.inner.slow
    }

    /// The gate `/api/stream` and `/api/sse` wait at before each part but the first.
    pub fn stream_gate(&self) -> &Gate {
        &self.inner.stream
    }
}

impl std::ops::Deref for FaultyIssuer {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/token", post(token::token))
        .route("/revoke", post(token::revoke))
        .route("/introspect", post(token::introspect))
        .route("/authorize", get(flows::authorize))
        .route("/device_authorization", post(flows::device_authorization))
        .route("/.well-known/openid-configuration", get(flows::metadata))
        .route(
            "/.well-known/oauth-authorization-server",
            get(flows::metadata),
        )
        .route("/jwks", get(flows::jwks))
        .route("/api/basic401", any(api::basic401))
        .route("/api/{*rest}", any(api::api))
        .with_state(inner)
}

impl Inner {
    /// A new family and its first token answer.
    fn login(&self, state: &mut State, scope: &str, now: i64) -> Value {
        let pair = state.families.login(refresh_end(&state.config, now));
        self.answer(state, Some(&pair), scope, now)
    }

    /// A token answer (RFC 6749 §5.1), its access token noted.
    fn answer(&self, state: &mut State, pair: Option<&Pair>, scope: &str, now: i64) -> Value {
        let ttl_ms = state.config.access_ttl_ms as i64;
        let token = self.access_token(state, scope, ttl_ms);
        let access = Access {
            family: pair.map(|pair| pair.family),
            refresh: pair.map(|pair| pair.refresh.clone()),
            scope: scope.to_owned(),
            expires_ms: now + ttl_ms,
            revoked: false,
            old_key: false,
        };
        state.access.insert(token.clone(), access);
        let mut answer = json!({ "access_token": token, "token_type": "Bearer", "scope": scope });
        match &state.config.expires_in {
            ExpiresIn::Seconds => answer["expires_in"] = json!((ttl_ms + 999) / 1000),
            ExpiresIn::Omitted => {}
            ExpiresIn::Epoch => {
                answer["expires_in"] = json!((self.clock.shown_ms() + ttl_ms) / 1000);
            }
            ExpiresIn::Value(value) => answer["expires_in"] = value.clone(),
        }
        if let Some(pair) = pair.filter(|pair| pair.rotated || state.config.repeat_refresh_token) {
            answer["refresh_token"] = json!(pair.refresh);
            if let Some(ttl) = state.config.refresh_ttl_ms {
                answer["refresh_expires_in"] = json!(ttl.div_ceil(1000));
            }
        }
        answer
    }

    fn access_token(&self, state: &State, scope: &str, ttl_ms: i64) -> String {
        let marker = &state.config.marker;
        if state.config.format == TokenFormat::Opaque {
            return format!("{marker}at-{}", jwt::random_hex(16));
        }
        let shown = self.clock.shown_ms();
        let claims = json!({
            "iss": *lock(&self.url),
            "sub": "admin",
            "iat": shown.div_euclid(1000),
            "exp": (shown + ttl_ms).div_euclid(1000),
            "jti": format!("{marker}{}", jwt::uuid4()),
            "scope": scope,
        });
        if state.config.format == TokenFormat::SignedJwt {
            return lock(&self.key).sign(&claims);
        }
        jwt::sign(&self.secret, &claims)
    }

    /// Looks an access token up: what it is good for, or why it is refused.
    fn access(&self, token: &str) -> Result<Access, &'static str> {
        let now = self.clock.now_ms();
        let mut state = lock(&self.state);
        let unknown = match state.config.format {
            TokenFormat::Opaque => "The access token is malformed or unknown",
            TokenFormat::Jwt | TokenFormat::SignedJwt => "The access token is malformed",
        };
        let access = state.access.get(token).cloned().ok_or(unknown)?;
        if access.old_key {
            return Err("The signature verification failed");
        }
        let family_revoked = access
            .family
            .is_some_and(|family| state.families.is_revoked(family));
        if access.revoked || (family_revoked && state.config.revocation_reaches_access) {
            return Err("The access token was revoked");
        }
        if now >= access.expires_ms {
            return Err("The access token expired");
        }
        if let Some(refresh) = &access.refresh {
            state.families.note_use(refresh);
        }
        Ok(access)
    }
}

/// When a refresh token given now ends, in ms of true time.
fn refresh_end(config: &IssuerConfig, now: i64) -> Option<i64> {
    config.refresh_ttl_ms.map(|ttl| now + ttl as i64)
}
