//! Provider profiles: data that says how one kind of server speaks and behaves (DESIGN §8).

mod issuers;
mod parse;
mod recognise;
mod shape;

use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;
use tenure_wire::{ClientAuth, Dialect, JsonFields, Server};
use url::Url;

pub use parse::{ProfileError, ProfileErrors, parse_profile};
pub use recognise::{Recognise, RestAnswer};

/// How one kind of server speaks and behaves.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Name as written in `provider = "…"`.
    pub name: String,
    /// Other names it answers to.
    pub aliases: Vec<String>,
    /// Name for people.
    pub title: String,
    /// The protocol shape it speaks.
    pub dialect: DialectName,
    /// Field names, for `json-refresh` only; other dialects ignore them.
    pub json: JsonNames,
    /// Whether a discovery document (OpenID Connect or RFC 8414) is to be fetched from the issuer.
    pub discovery: bool,
    /// Issuers that tokens may name beside the server's own; `{tenant}` stands for the id of a tenant.
    pub token_issuers: Vec<String>,
    /// Endpoint templates, used where discovery does not answer.
    pub endpoints: Endpoints,
    /// Client authentication methods in order of preference; the first is the default.
    pub client_auth: Vec<AuthMethod>,
    /// Ways to log in, the preferred first.
    pub flows: Vec<Flow>,
    /// What becomes of a refresh token that was used.
    pub rotation: Rotation,
    /// Whether the same refresh token may be sent once more when the outcome of an exchange is unknown (I10).
    pub retry_unknown: bool,
    /// Lifetimes the server has by default.
    pub lifetimes: Lifetimes,
    /// Statuses of an API answer that may mean "your token was refused"; a rule still has to prove it.
    pub refused_statuses: Vec<u16>,
    /// How to tell that a server is of this kind.
    pub recognise: Recognise,
    /// What is odd about it, one sentence each.
    pub quirks: Vec<String>,
    /// The provider's status page.
    pub status_page: Option<String>,
    /// Documentation.
    pub docs: Vec<String>,
    /// What the profile asserts, each with where it comes from.
    pub claims: Vec<Claim>,
    /// Every source named by a claim, without repeats.
    pub sources: Vec<String>,
}

/// One assertion of a profile and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The key it explains, e.g. `rotation` or `lifetimes.refresh_s`.
    pub about: String,
    /// The assertion, one sentence.
    pub says: String,
    /// Documents, issues or source files that show it.
    #[serde(default)]
    pub sources: Vec<String>,
    /// True when no source was found: general knowledge, to be checked against the server.
    #[serde(default)]
    pub unverified: bool,
}

/// The protocol shapes that have code of their own (DESIGN §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DialectName {
    /// RFC 6749 and friends.
    #[serde(rename = "oauth2")]
    OAuth2,
    /// A refresh token posted as JSON, field names configurable.
    JsonRefresh,
    /// "JWT Authentication for WP REST API": no refresh, the password is sent again.
    WordpressTmeister,
    /// "JWT Auth": refresh token in a cookie.
    WordpressUsefulteam,
    /// Simple JWT Login 3: the JWT itself is the refresh token.
    #[serde(rename = "wordpress-simple-jwt-login-3")]
    SimpleJwtLogin3,
    /// Simple JWT Login 4: opaque single-use refresh token.
    #[serde(rename = "wordpress-simple-jwt-login-4")]
    SimpleJwtLogin4,
    /// WooCommerce POS: errors of the refresh travel with status 200.
    Wcpos,
}

/// Field names of the `json-refresh` dialect: plain names or JSON pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonNames {
    /// Field of the request that carries the refresh token.
    pub send_refresh: Option<String>,
    /// Access token in the answer.
    pub access: Option<String>,
    /// Refresh token in the answer.
    pub refresh: Option<String>,
    /// Lifetime in seconds in the answer.
    pub expires_in: Option<String>,
    /// Instant of expiry in the answer.
    pub expires_at: Option<String>,
    /// Lifetime of the refresh token in seconds in the answer.
    pub refresh_expires_in: Option<String>,
}

/// Endpoint templates: absolute URLs in which `{issuer}` stands for the issuer without a trailing slash and
/// `{rest}` for the root of a WordPress REST API (`{issuer}/wp-json` unless discovery says otherwise).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Where renewal goes.
    pub token: Option<String>,
    /// Where a password goes, if elsewhere.
    pub login: Option<String>,
    /// Authorization endpoint (RFC 6749 §3.1).
    pub authorization: Option<String>,
    /// Device authorization endpoint (RFC 8628).
    pub device_authorization: Option<String>,
    /// Revocation endpoint (RFC 7009).
    pub revocation: Option<String>,
    /// Introspection endpoint (RFC 7662).
    pub introspection: Option<String>,
    /// Where a dialect lets a token be checked.
    pub validate: Option<String>,
}

/// A client authentication method, as written in a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Public client, or a dialect that knows no clients.
    None,
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    Basic,
    /// `client_secret_post`.
    Post,
    /// `private_key_jwt` (RFC 7523).
    PrivateKeyJwt,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// Authorization code with PKCE, in a browser.
    Code,
    /// Device authorization (RFC 8628).
    Device,
    /// User name and password.
    Password,
    /// Client credentials (RFC 6749 §4.4).
    ClientCredentials,
    /// The browser comes back with the tokens themselves (WCPOS).
    BrowserTokens,
}

/// What becomes of a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// It stays valid; refreshing twice does no harm.
    None,
    /// A new one is issued; the old one is still accepted for so many seconds.
    Rotates {
        /// Seconds after the first use in which the old token is still accepted; 0 when none.
        grace_seconds: u64,
    },
    /// Sending the old one again within the window yields the same successor.
    SameSuccessor,
    /// The old one stays valid until its successor was used.
    ParentUntilChildUsed,
    /// One use; a second is refused and may end the whole family.
    Strict,
}

impl Rotation {
    /// Whether an exchange spends the refresh token it sends.
    pub fn spends(self) -> bool {
        self != Rotation::None
    }
}

/// Default lifetimes in seconds; `None` where the server has none or none is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifetimes {
    /// Access token.
    pub access_s: Option<u64>,
    /// Refresh token, from its issue.
    pub refresh_s: Option<u64>,
    /// Refresh token without use.
    pub refresh_idle_s: Option<u64>,
    /// The whole session from login, which no refresh extends.
    pub session_s: Option<u64>,
}

impl Profile {
    /// The dialect with its parameters, as `tenure-wire` wants it.
    pub fn wire_dialect(&self) -> Dialect {
        match self.dialect {
            DialectName::OAuth2 => Dialect::OAuth2,
            DialectName::JsonRefresh => Dialect::JsonRefresh(self.json.fields()),
            DialectName::WordpressTmeister => Dialect::WordpressTmeister,
            DialectName::WordpressUsefulteam => Dialect::WordpressUsefulteam,
            DialectName::SimpleJwtLogin3 => Dialect::SimpleJwtLogin { version: 3 },
            DialectName::SimpleJwtLogin4 => Dialect::SimpleJwtLogin { version: 4 },
            DialectName::Wcpos => Dialect::Wcpos,
        }
    }

    /// The client authentication to use when the config names none.
    pub fn default_client_auth(&self) -> ClientAuth {
        self.client_auth
            .first()
            .copied()
            .unwrap_or(AuthMethod::None)
            .into()
    }

    /// An endpoint template as a URL.
    ///
    /// `rest` is the root of a WordPress REST API when discovery told it. `None` when the template needs an
    /// issuer and there is none, or the result is no URL.
    pub fn resolve(&self, template: &str, issuer: Option<&Url>, rest: Option<&Url>) -> Option<Url> {
        let bare = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        let issuer = issuer.map(bare);
        let rest = rest
            .map(bare)
            .or_else(|| issuer.as_ref().map(|issuer| format!("{issuer}/wp-json")));
        let mut text = template.to_owned();
        for (mark, value) in [("{issuer}", issuer), ("{rest}", rest)] {
            if text.contains(mark) {
                text = text.replace(mark, &value?);
            }
        }
        Url::parse(&text).ok()
    }

    /// The server as the templates describe it; what discovery finds is then put over it.
    ///
    /// `None` when the profile has no token endpoint of its own, or its template needs an issuer that is missing.
    pub fn server(&self, issuer: Option<&Url>, rest: Option<&Url>) -> Option<Server> {
        let url = |template: &Option<String>| self.resolve(template.as_deref()?, issuer, rest);
        let from = &self.endpoints;
        let mut server = Server::new(self.wire_dialect(), url(&from.token)?);
        server.issuer = issuer.map(|issuer| issuer.as_str().trim_end_matches('/').to_owned());
        server.login_endpoint = url(&from.login);
        server.authorization_endpoint = url(&from.authorization);
        server.device_authorization_endpoint = url(&from.device_authorization);
        server.revocation_endpoint = url(&from.revocation);
        server.introspection_endpoint = url(&from.introspection);
        server.validate_endpoint = url(&from.validate);
        server.expires_in_default = self
            .lifetimes
            .access_s
            .and_then(|seconds| i64::try_from(seconds).ok());
        Some(server)
    }

    fn named(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

impl JsonNames {
    fn fields(&self) -> JsonFields {
        let mut fields = JsonFields::default();
        let set = |field: &mut String, name: &Option<String>| {
            if let Some(name) = name {
                field.clone_from(name);
            }
        };
        set(&mut fields.send_refresh, &self.send_refresh);
        set(&mut fields.access, &self.access);
        set(&mut fields.refresh, &self.refresh);
        set(&mut fields.expires_in, &self.expires_in);
        set(&mut fields.expires_at, &self.expires_at);
        set(&mut fields.refresh_expires_in, &self.refresh_expires_in);
        fields
    }
}

impl From<AuthMethod> for ClientAuth {
    fn from(method: AuthMethod) -> Self {
        match method {
            AuthMethod::None => ClientAuth::None,
            AuthMethod::Basic => ClientAuth::Basic,
            AuthMethod::Post => ClientAuth::Post,
            AuthMethod::PrivateKeyJwt => ClientAuth::PrivateKeyJwt,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.title, self.name)
    }
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        /// The shipped profiles: file name and text.
        const EMBEDDED: &[(&str, &str)] = &[$((
            concat!("catalogue/profiles/", $name, ".toml"),
            include_str!(concat!("../../../../catalogue/profiles/", $name, ".toml")),
        )),*];
    };
}

embedded![
    "oauth2",
    "json-refresh",
    "wordpress-tmeister",
    "wordpress-usefulteam",
    "wordpress-simple-jwt-login-3",
    "wordpress-simple-jwt-login-4",
    "wcpos",
    "tenure",
    "entra-id",
    "okta",
    "google",
    "auth0",
    "keycloak",
    "hydra",
    "zitadel",
    "github",
    "gitlab",
    "slack",
    "salesforce",
];

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    // A shipped profile that does not parse is left out here and fails the test `every_shipped_profile_parses`.
    EMBEDDED
        .iter()
        .filter_map(|(file, text)| parse_profile(text, file).ok())
        .collect()
});

/// The shipped profile with this name or alias.
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.named(name))
}

/// Names and aliases of the shipped profiles, the generic one first.
pub fn profile_names() -> Vec<&'static str> {
    PROFILES
        .iter()
        .flat_map(|profile| {
            std::iter::once(&profile.name)
                .chain(&profile.aliases)
                .map(String::as_str)
        })
        .collect()
}

/// The shipped profiles.
pub fn profiles() -> impl Iterator<Item = &'static Profile> {
    PROFILES.iter()
}
