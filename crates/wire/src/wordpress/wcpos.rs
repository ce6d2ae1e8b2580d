//! WCPOS: POST `auth/refresh` with a refresh token that stays as it is; refusals come with status 200.

use http::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use tenure_core::Secret;

use crate::answer::Granted;
use crate::error::WireError;
use crate::json::{integer, string};
use crate::server::{Ctx, Server};
use crate::{Request, request};

/// Without this marker older servers answer 404 `rest_no_route`.
const MARKER: &str = "x-wcpos";

pub(crate) fn refresh(server: &Server, refresh: &Secret) -> Result<Request, WireError> {
    let mut headers = HeaderMap::new();
    headers.insert(MARKER, HeaderValue::from_static("1"));
    let extra = server
        .extra_refresh_params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let fields: Vec<_> = [("refresh_token", refresh.expose())]
        .into_iter()
        .chain(extra)
        .collect();
    request::json("token_endpoint", &server.token_endpoint, headers, &fields)
}

/// `{access_token, token_type, expires_in, expires_at}`; a refresh token comes at login only.
pub(crate) fn granted(value: &Value, ctx: &Ctx) -> Option<Granted> {
    let access = Secret::new(string(value, "access_token")?);
    let mut granted = Granted::new(access, ctx.now_s);
    granted.refresh = string(value, "refresh_token").map(Secret::new);
    granted.stated.expires_in = integer(value, "expires_in");
    granted.stated.expires_at = integer(value, "expires_at");
    granted.token_type = string(value, "token_type").map(str::to_owned);
    Some(granted)
}
