//! Where one server listens and how it speaks.

use std::fmt;

use url::Url;

use crate::json_refresh::JsonFields;

/// One protocol shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 6749 and its family.
    OAuth2,
    /// A refresh token posted as JSON, field names as configured.
    JsonRefresh(JsonFields),
    /// "JWT Authentication for WP REST API": a login and nothing to renew it with.
    WordpressTmeister,
    /// "JWT Auth": the refresh token is a cookie.
    WordpressUsefulteam,
    /// "Simple JWT Login".
    SimpleJwtLogin {
        /// 3: the JWT renews itself. 4 and later: a refresh token that rotates.
        version: u8,
    },
    /// WCPOS: a refresh token that stays, refusals with status 200.
    Wcpos,
}

impl Dialect {
    /// The name used in profiles and texts.
    pub fn as_str(&self) -> &'static str {
        match self {
            Dialect::OAuth2 => "oauth2",
            Dialect::JsonRefresh(_) => "json-refresh",
            Dialect::WordpressTmeister => "wordpress-tmeister",
            Dialect::WordpressUsefulteam => "wordpress-usefulteam",
            Dialect::SimpleJwtLogin { .. } => "wordpress-simple-jwt-login",
            Dialect::Wcpos => "wcpos",
        }
    }

    /// Whether the server is a WordPress site: messages hold HTML, PHP notices may surround the JSON.
    pub fn is_wordpress(&self) -> bool {
        !matches!(self, Dialect::OAuth2 | Dialect::JsonRefresh(_))
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where one server listens and how it speaks. All URLs are absolute.
#[derive(Clone, Debug)]
pub struct Server {
    /// How it speaks.
    pub dialect: Dialect,
    /// The issuer identifier exactly as the server writes it.
    pub issuer: Option<String>,
    /// Where renewal goes (wcpos, simple-jwt-login: `auth/refresh`; tmeister, usefulteam: `/jwt-auth/v1/token`).
    pub token_endpoint: Url,
    /// Where a username and password go, when that is not `token_endpoint`.
    pub login_endpoint: Option<Url>,
    /// Where the browser is sent.
    pub authorization_endpoint: Option<Url>,
    /// RFC 8628 §3.1.
    pub device_authorization_endpoint: Option<Url>,
    /// RFC 7009; for simple-jwt-login `auth/revoke`.
    pub revocation_endpoint: Option<Url>,
    /// RFC 7662.
    pub introspection_endpoint: Option<Url>,
    /// Where a WordPress plugin says what it thinks of a token.
    pub validate_endpoint: Option<Url>,
    /// Sent along with every refresh (`resource`, `audience`, …); for usefulteam (`device`) with the login too.
    pub extra_refresh_params: Vec<(String, String)>,
    /// Lifetime of an access token when the answer does not tell, in seconds.
    pub expires_in_default: Option<i64>,
    /// The server promises to name itself in the redirect (RFC 9207 §3).
    pub iss_in_redirect: bool,
}

impl Server {
    /// A server of which only the dialect and the token endpoint are known.
    pub fn new(dialect: Dialect, token_endpoint: Url) -> Self {
        Self {
            dialect,
            issuer: None,
            token_endpoint,
            login_endpoint: None,
            authorization_endpoint: None,
            device_authorization_endpoint: None,
            revocation_endpoint: None,
            introspection_endpoint: None,
            validate_endpoint: None,
            extra_refresh_params: Vec::new(),
            expires_in_default: None,
            iss_in_redirect: false,
        }
    }
}

/// What a pure function cannot know by itself.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// Server time if known, else wall time, in seconds since the epoch.
    pub now_s: i64,
    /// Fresh and random: the `jti` of a client assertion.
    pub jti: String,
}
