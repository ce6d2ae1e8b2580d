//! "Simple JWT Login". Version 4 has single-use refresh tokens; version 3 renews the JWT itself, also an
//! expired one.

use http::header::HeaderMap;
use serde_json::Value;
use tenure_core::Secret;

use crate::answer::Granted;
use crate::error::WireError;
use crate::json::string;
use crate::server::{Ctx, Server};
use crate::{Request, request};

/// From this version on there are refresh tokens.
const REFRESH_TOKENS_FROM: u8 = 4;

/// WordPress signs in by name or by mail address; the plugin wants to know which it is.
pub(crate) fn login(
    server: &Server,
    username: &str,
    password: &Secret,
) -> Result<Request, WireError> {
    let endpoint = "login_endpoint";
    let url = server
        .login_endpoint
        .as_ref()
        .ok_or(WireError::MissingEndpoint { endpoint })?;
    let who = if username.contains('@') {
        "email"
    } else {
        "username"
    };
    let fields = [(who, username), ("password", password.expose())];
    request::json(endpoint, url, HeaderMap::new(), &fields)
}

pub(crate) fn refresh(
    server: &Server,
    version: u8,
    refresh: &Secret,
) -> Result<Request, WireError> {
    let name = if version >= REFRESH_TOKENS_FROM {
        "refresh_token"
    } else {
        "JWT"
    };
    let extra = server
        .extra_refresh_params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let fields: Vec<_> = [(name, refresh.expose())]
        .into_iter()
        .chain(extra)
        .collect();
    request::json(
        "token_endpoint",
        &server.token_endpoint,
        HeaderMap::new(),
        &fields,
    )
}

/// `{success: true, data: {jwt, refresh_token?}}`.
pub(crate) fn granted(value: &Value, version: u8, ctx: &Ctx) -> Option<Granted> {
    let jwt = Secret::new(string(value, "/data/jwt")?);
    let mut granted = Granted::new(jwt, ctx.now_s);
    granted.refresh = if version >= REFRESH_TOKENS_FROM {
        string(value, "/data/refresh_token").map(Secret::new)
    } else {
        Some(granted.access.clone())
    };
    Some(granted)
}
