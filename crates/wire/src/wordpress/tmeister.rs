//! "JWT Authentication for WP REST API" (Tmeister): POST `/jwt-auth/v1/token` and a flat answer without any
//! expiry. There is no refresh. A stale `Authorization` header would make the login itself fail, so none is
//! ever sent.

use http::header::HeaderMap;
use serde_json::Value;
use tenure_core::Secret;

use crate::answer::Granted;
use crate::error::WireError;
use crate::json::string;
use crate::server::{Ctx, Server};
use crate::{Request, request};

pub(crate) fn login(
    server: &Server,
    username: &str,
    password: &Secret,
) -> Result<Request, WireError> {
    let fields = [("username", username), ("password", password.expose())];
    request::json(
        "login_endpoint",
        super::login_url(server),
        HeaderMap::new(),
        &fields,
    )
}

/// `{token, user_email, user_nicename, user_display_name}`.
pub(crate) fn granted(value: &Value, ctx: &Ctx) -> Option<Granted> {
    let token = Secret::new(string(value, "token")?);
    Some(Granted::new(token, ctx.now_s))
}
