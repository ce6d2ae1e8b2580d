//! A session described in code.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenure_core::Secret;
use tenure_core::session::Keep;
use tenure_diagnose::Profile;
use tenure_http::Trust;
use tenure_jose::SigningKey;
use tenure_keeper::checks::{self, MissingProof, Proofs, Wrong};
use tenure_keeper::{SessionConfig, Timing};
use tenure_wire::{Client, ClientAuth};

use crate::endpoints::Given;
use crate::error::ConfigError;

/// The profile of a session that names none.
const DEFAULT_PROVIDER: &str = "oauth2";

/// A session described in code, by the same rules as `[sessions.S]` of `tenure.toml`.
///
/// ```
/// use tenure::SessionBuilder;
///
/// let shop = SessionBuilder::new("shop")
///     .provider("keycloak")
///     .issuer("https://login.example/realms/shop")
///     .client_id("till-7")
///     .upstream("https://api.example")
///     .build()?;
/// assert_eq!(shop.profile.name, "keycloak");
///
/// let wrong = SessionBuilder::new("shop").client_id("till-7").token_endpoint("http://login.example/token").build();
/// assert!(wrong.unwrap_err().to_string().contains("plain http"));
/// # Ok::<(), tenure::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionBuilder {
    name: String,
    provider: Provider,
    given: Given,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    client_key: Option<Arc<SigningKey>>,
    client_auth: Option<ClientAuth>,
    scopes: Vec<String>,
    upstream: Option<String>,
    insecure: bool,
    keep: Keep,
    client_credentials: bool,
    trust: Option<Trust>,
    timing: Timing,
}

#[derive(Clone, Debug)]
enum Provider {
    Named(String),
    Own(Arc<Profile>),
}

macro_rules! texts {
    ($( $(#[$doc:meta])* $name:ident => $($field:ident).+; )*) => { $(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, url: impl Into<String>) -> Self {
            self.$($field).+ = Some(url.into());
            self
        }
    )* };
}

impl SessionBuilder {
    /// A session of this name: 1 to 63 lower-case letters, digits and hyphens.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            provider: Provider::Named(DEFAULT_PROVIDER.to_owned()),
            given: Given::default(),
            client_id: None,
            client_secret: None,
            client_key: None,
            client_auth: None,
            scopes: Vec::new(),
            upstream: None,
            insecure: false,
            keep: Keep::Warm,
            client_credentials: false,
            trust: None,
            timing: Timing::default(),
        }
    }

    /// How the server behaves: the name of a shipped profile ([`crate::profile_names`]). Default `oauth2`.
    #[must_use]
    pub fn provider(mut self, name: impl Into<String>) -> Self {
        self.provider = Provider::Named(name.into());
        self
    }

    /// How the server behaves: a profile of your own, see [`crate::parse_profile`].
    #[must_use]
    pub fn profile(mut self, profile: impl Into<Arc<Profile>>) -> Self {
        self.provider = Provider::Own(profile.into());
        self
    }

    texts! {
        /// The server's identifier. Without a `token_endpoint`, its discovery document is read where the
        /// profile says that there is one.
        issuer => given.issuer;
        /// Where tokens are renewed; then no discovery document is read.
        token_endpoint => given.token;
        /// Where a name and a password go, if elsewhere.
        login_endpoint => given.login;
        /// Where the browser is sent to log in.
        authorization_endpoint => given.authorization;
        /// RFC 8628 §3.1.
        device_authorization_endpoint => given.device_authorization;
        /// RFC 7009.
        revocation_endpoint => given.revocation;
        /// RFC 7662.
        introspection_endpoint => given.introspection;
        /// Where the server says whether a token is good.
        validate_endpoint => given.validate;
        /// The API: scheme, host and port that the token may go to. Needed by the layers.
        upstream => upstream;
        /// The name this client is registered under.
        client_id => client_id;
    }

    /// The client's secret.
    #[must_use]
    pub fn client_secret(mut self, secret: Secret) -> Self {
        self.client_secret = Some(secret);
        self
    }

    /// The key that signs client assertions (RFC 7523).
    #[must_use]
    pub fn client_key(mut self, key: impl Into<Arc<SigningKey>>) -> Self {
        self.client_key = Some(key.into());
        self
    }

    /// How the client proves itself. Default: the first way of the profile for which there is what it takes.
    #[must_use]
    pub fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.client_auth = Some(auth);
        self
    }

    /// Scopes to ask for.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// A parameter to send with every refresh, such as `resource` or `audience`.
    #[must_use]
    pub fn refresh_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.given.params.push((name.into(), value.into()));
        self
    }

    /// Allows plain http to hosts other than this one.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Kept with or without traffic. Default: [`Keep::Warm`].
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// The client logs in by itself (RFC 6749 §4.4): no person is ever asked.
    #[must_use]
    pub fn client_credentials(mut self) -> Self {
        self.client_credentials = true;
        self
    }

    /// What to trust beside the system's certificate authorities when the session's server is asked: a private
    /// CA's certificate. Requests that go through the layers are sent by the program's own client, which must
    /// trust it as well.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Times and limits.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Checks what was given.
    ///
    /// # Errors
    /// What is wrong first, with its cause and fix.
    pub fn build(&self) -> Result<SessionConfig, ConfigError> {
        checks::session_name(&self.name).map_err(|wrong| self.wrong("name", wrong))?;
        let profile = self
            .found_profile()
            .map_err(|wrong| self.wrong("provider", wrong))?;
        let upstream = match &self.upstream {
            Some(text) => Some(
                checks::url(text, self.insecure).map_err(|wrong| self.wrong("upstream", wrong))?,
            ),
            None => None,
        };
        let endpoints = self
            .given
            .endpoints(&profile, self.insecure)
            .map_err(|(key, wrong)| self.wrong(key, wrong))?;
        let client = self
            .client(&profile)
            .map_err(|(key, wrong)| self.wrong(key, wrong))?;
        checks::waits(&self.timing).map_err(|wrong| self.wrong("timing", wrong))?;
        Ok(SessionConfig {
            name: self.name.clone(),
            profile,
            endpoints,
            client,
            scopes: self.scopes.clone(),
            upstream,
            keep: self.keep,
            client_credentials: self.client_credentials,
            trust: self.trust.clone(),
            timing: self.timing.clone(),
            blocked: None,
        })
    }

    fn wrong(&self, key: &'static str, wrong: Wrong) -> ConfigError {
        ConfigError {
            session: self.name.clone(),
            key,
            problem: wrong.what,
            fix: wrong.fix,
        }
    }

    fn found_profile(&self) -> Result<Arc<Profile>, Wrong> {
        match &self.provider {
            Provider::Own(profile) => Ok(Arc::clone(profile)),
            Provider::Named(name) => {
                let elsewhere = "describe the server in a profile of your own";
                checks::profile(name, &BTreeMap::new(), elsewhere)
            }
        }
    }

    fn client(&self, profile: &Profile) -> Result<Client, (&'static str, Wrong)> {
        if self.client_id.is_none() && checks::needs_client_id(profile) {
            let fix = "give the name this client is registered under at the server";
            return Err(("client_id", Wrong::new("there is none", fix)));
        }
        let has = Proofs {
            secret: self.client_secret.is_some(),
            key: self.client_key.is_some(),
        };
        let auth = checks::client_auth(profile, self.client_auth, has).map_err(|missing| {
            let MissingProof { auth, key } = missing;
            let problem = format!("\"{}\" needs a `{key}`", auth.as_str());
            let fix = format!("give the `{key}`, or use ClientAuth::None for a public client");
            ("client_auth", Wrong::new(problem, fix))
        })?;
        Ok(Client {
            id: self.client_id.clone().unwrap_or_default(),
            secret: self.client_secret.clone(),
            key: self.client_key.clone(),
            auth,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_keeper::Endpoints;

    fn shop() -> SessionBuilder {
        SessionBuilder::new("shop")
            .client_id("till-7")
            .issuer("https://login.example")
    }

    fn key(builder: &SessionBuilder) -> &'static str {
        let error = builder.build().expect_err("wrong");
        assert!(!error.fix.is_empty(), "{error}");
        error.key
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(key(&SessionBuilder::new("Shop")), "name");
        assert_eq!(
            key(&SessionBuilder::new("shop").issuer("https://login.example")),
            "client_id"
        );
        assert_eq!(
            key(&SessionBuilder::new("shop").client_id("till-7")),
            "issuer"
        );
        assert_eq!(key(&shop().provider("keyclock")), "provider");
        assert_eq!(
            key(&shop().token_endpoint("login.example/token")),
            "token_endpoint"
        );
        assert_eq!(key(&shop().upstream("http://api.example")), "upstream");
        assert_eq!(key(&shop().upstream("ftp://api.example")), "upstream");
        assert_eq!(key(&shop().upstream("https://api.example/#a")), "upstream");
        assert_eq!(key(&shop().client_auth(ClientAuth::Basic)), "client_auth");
        assert_eq!(
            key(&shop().client_auth(ClientAuth::PrivateKeyJwt)),
            "client_auth"
        );
        let backwards = Timing {
            backoff_min: Timing::default().backoff_max * 2,
            ..Timing::default()
        };
        assert_eq!(key(&shop().timing(backwards)), "timing");
        let text = shop()
            .provider("keyclock")
            .build()
            .expect_err("unknown")
            .to_string();
        assert!(text.contains("did you mean \"keycloak\"?"), "{text}");
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = shop()
            .upstream("https://user:canary@api.example")
            .build()
            .expect_err("a password");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn loopback_needs_no_tls_and_insecure_allows_the_rest() {
        for host in [
            "127.0.0.1:8080",
            "[::1]",
            "localhost",
            "shop.localhost:7878",
        ] {
            shop()
                .upstream(format!("http://{host}"))
                .build()
                .expect(host);
        }
        shop()
            .upstream("http://api.example")
            .insecure()
            .build()
            .expect("allowed");
    }

    #[test]
    fn endpoints_are_found_or_discovered() {
        let discovered = shop().build().expect("fine");
        assert!(matches!(discovered.endpoints, Endpoints::Discover { .. }));
        let known = shop()
            .token_endpoint("https://login.example/t")
            .build()
            .expect("fine");
        assert!(matches!(known.endpoints, Endpoints::Known(_)));
        let wcpos = SessionBuilder::new("shop")
            .provider("wcpos")
            .issuer("https://shop.example")
            .build()
            .expect("no client there");
        assert!(
            wcpos
                .endpoints
                .known()
                .token_endpoint
                .as_str()
                .starts_with("https://shop.example/"),
            "{:?}",
            wcpos.endpoints
        );
    }

    #[test]
    fn the_client_proves_itself_with_what_it_has() {
        let auth = |builder: SessionBuilder| builder.build().expect("fine").client.auth;
        assert_eq!(auth(shop()), ClientAuth::None);
        assert_eq!(
            auth(shop().client_secret(Secret::new("s"))),
            ClientAuth::Basic
        );
    }
}
