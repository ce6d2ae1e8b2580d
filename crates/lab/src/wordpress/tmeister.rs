//! "JWT Authentication for WP REST API" (Tmeister), the free plugin: login by password, no renewal.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::request::{Rest, rest_json, route, wp_error};
use super::site::{Core, Plugin, Site};
use crate::reply::Reply;
use crate::server::ANY_PORT;

const TOKEN: &str = "/jwt-auth/v1/token";
const VALIDATE: &str = "/jwt-auth/v1/token/validate";

/// A site with the plugin. Access tokens live 7 days. Every refusal is a 403, and a bad token is judged on
/// **every** route, the public ones and the login among them.
#[derive(Debug)]
pub struct Tmeister(Site);

impl Tmeister {
    /// Starts a site.
    pub fn start() -> Tmeister {
        Tmeister::start_at(ANY_PORT)
    }

    /// Starts a site at this address.
    pub fn start_at(bind: SocketAddr) -> Tmeister {
        let is_token = |uri: &http::Uri| route(uri).as_deref() == Some(TOKEN);
        Tmeister(Site::start(
            bind,
            (7 * 86_400, 0),
            is_token,
            Arc::new(Rules),
        ))
    }
}

impl std::ops::Deref for Tmeister {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.0
    }
}

#[derive(Debug)]
struct Rules;

impl Plugin for Rules {
    fn namespaces(&self) -> &'static [&'static str] {
        &["jwt-auth/v1"]
    }

    fn routes(&self) -> Vec<(&'static str, &'static [&'static str])> {
        vec![(TOKEN, &["POST"]), (VALIDATE, &["POST"])]
    }

    fn before(&self, core: &mut Core, rest: &Rest) -> Result<Option<u64>, Reply> {
        // Other schemes than Bearer are ignored since 1.3.4; the validate route judges for itself.
        let bearer = rest
            .authorization()
            .is_some_and(|header| header.starts_with("Bearer"));
        if !bearer || rest.route.as_deref() == Some(VALIDATE) {
            return Ok(None);
        }
        let id = judge(core, rest)?;
        // A token of a deleted user stays valid; the request is anonymous.
        Ok(core.user(id).map(|user| user.id))
    }

    fn route(&self, core: &mut Core, rest: &Rest, _user: Option<u64>) -> Option<Reply> {
        if rest.is(&Method::POST, TOKEN) {
            return Some(login(core, rest));
        }
        rest.is(&Method::POST, VALIDATE)
            .then(|| match judge(core, rest) {
                Ok(_) => rest_json(
                    200,
                    &json!({ "code": "jwt_auth_valid_token", "data": { "status": 200 } }),
                ),
                Err(reply) => reply,
            })
    }
}

fn login(core: &mut Core, rest: &Rest) -> Reply {
    let [name, password] =
        ["username", "password"].map(|field| rest.param(field).unwrap_or_default());
    let user = match core.authenticate(&name, &password) {
        Ok(user) => user,
        Err((code, text)) => return wp_error(403, &format!("[jwt_auth] {code}"), &text),
    };
    let now = core.now_s();
    let claims = json!({
        "iss": core.url,
        "iat": now,
        "nbf": now,
        "exp": now + core.access_ttl_s,
        "data": { "user": { "id": user.id.to_string() } },
    });
    let token = core.sign_access(&claims);
    rest_json(
        200,
        &json!({
            "token": token,
            "user_email": user.email,
            "user_nicename": user.login,
            "user_display_name": user.login,
        }),
    )
}

/// The user id of a good token, or the refusal.
fn judge(core: &Core, rest: &Rest) -> Result<u64, Reply> {
    let refuse = |code: &str, text: &str| Err(wp_error(403, code, text));
    let Some(header) = rest.authorization() else {
        return refuse("jwt_auth_no_auth_header", "Authorization header not found.");
    };
    let Some(token) = header
        .strip_prefix("Bearer ")
        .map(str::trim)
        .filter(|token| !token.is_empty())
    else {
        return refuse(
            "jwt_auth_bad_auth_header",
            "Authorization header malformed.",
        );
    };
    let claims = match core.judge_access(token, 0) {
        Ok(claims) => claims,
        Err(bad) => return refuse("jwt_auth_invalid_token", &bad.text()),
    };
    if claims.get("iss").and_then(Value::as_str) != Some(&core.url) {
        return refuse("jwt_auth_bad_iss", "The iss do not match with this server");
    }
    match user_id(&claims) {
        Some(id) => Ok(id),
        None => refuse("jwt_auth_bad_request", "User ID not found in the token"),
    }
}

/// `data.user.id`, a number or a text with one.
pub(super) fn user_id(claims: &Value) -> Option<u64> {
    let id = claims.pointer("/data/user/id")?;
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}
