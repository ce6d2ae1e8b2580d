//! "JWT Auth" (usefulteam) 3.x: the refresh token is a cookie; a new access token comes from the login route.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use super::request::{Rest, rest_json, route};
use super::site::{Core, Plugin, Site};
use super::tmeister::user_id;
use crate::clock::http_date;
use crate::jwt::random_hex;
use crate::record::lock;
use crate::reply::{self, Reply};
use crate::server::ANY_PORT;

const TOKEN: &str = "/jwt-auth/v1/token";
const VALIDATE: &str = "/jwt-auth/v1/token/validate";
const REFRESH: &str = "/jwt-auth/v1/token/refresh";

/// A site with the plugin. Access tokens live 10 minutes, refresh cookies 30 days; one refresh token per
/// user and device. Only `/token/validate` says why a token is bad: elsewhere the request is anonymous.
#[derive(Debug)]
pub struct Usefulteam {
    site: Site,
    rules: Arc<Rules>,
}

impl Usefulteam {
    /// Starts a site.
    pub fn start() -> Usefulteam {
        Usefulteam::start_at(ANY_PORT)
    }

    /// Starts a site at this address.
    pub fn start_at(bind: SocketAddr) -> Usefulteam {
        let is_token = |uri: &http::Uri| matches!(route(uri).as_deref(), Some(TOKEN | REFRESH));
        let rules = Arc::new(Rules::default());
        let plugin: Arc<dyn Plugin> = Arc::<Rules>::clone(&rules);
        Usefulteam {
            site: Site::start(bind, (600, 30 * 86_400), is_token, plugin),
            rules,
        }
    }

    /// Removes a connected device of a user: its access tokens become obsolete, its refresh token unknown.
    pub fn remove_device(&self, user_id: u64, device: &str) {
        lock(&self.rules.refresh).remove(&(user_id, device.to_owned()));
        lock(&self.rules.removed).push((user_id, device.to_owned()));
    }

    /// How often refresh cookies were rotated.
    pub fn rotations(&self) -> usize {
        *lock(&self.rules.rotations)
    }
}

impl std::ops::Deref for Usefulteam {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.site
    }
}

#[derive(Debug)]
struct Refresh {
    token: String,
    expires_s: i64,
}

#[derive(Debug, Default)]
struct Rules {
    refresh: Mutex<HashMap<(u64, String), Refresh>>,
    removed: Mutex<Vec<(u64, String)>>,
    rotations: Mutex<usize>,
}

impl Plugin for Rules {
    fn namespaces(&self) -> &'static [&'static str] {
        &["jwt-auth/v1"]
    }

    fn routes(&self) -> Vec<(&'static str, &'static [&'static str])> {
        vec![
            (TOKEN, &["POST"]),
            (VALIDATE, &["POST"]),
            (REFRESH, &["POST"]),
        ]
    }

    fn before(&self, core: &mut Core, rest: &Rest) -> Result<Option<u64>, Reply> {
        Ok(self.judge(core, rest).ok())
    }

    fn route(&self, core: &mut Core, rest: &Rest, _user: Option<u64>) -> Option<Reply> {
        if rest.method != Method::POST {
            return None;
        }
        match rest.route.as_deref() {
            Some(TOKEN) => Some(self.token(core, rest)),
            Some(REFRESH) => Some(self.rotate(core, rest)),
            Some(VALIDATE) => Some(match self.judge(core, rest) {
                Ok(_) => envelope(200, "jwt_auth_valid_token", "Token is valid", None),
                Err((code, text)) => refuse(code, &text),
            }),
            _ => None,
        }
    }
}

type Refusal = (&'static str, String);

impl Rules {
    /// `/token`: login by credentials, or a new access token for the cookie.
    fn token(&self, core: &mut Core, rest: &Rest) -> Reply {
        let (name, password) = (rest.param("username"), rest.param("password"));
        if name.is_none() && password.is_none() {
            if rest.cookie("refresh_token").is_none() {
                return refuse(
                    "jwt_auth_missing_credentials",
                    "Please provide username and password.",
                );
            }
            return match self.check_cookie(core, rest) {
                Ok(id) => access(core, rest, id),
                Err((code, text)) => refuse(code, &text),
            };
        }
        let user = match core.authenticate(&name.unwrap_or_default(), &password.unwrap_or_default())
        {
            Ok(user) => user,
            Err((code, text)) => return refuse(code, &text),
        };
        let device = rest.param("device").unwrap_or_default();
        lock(&self.removed).retain(|removed| *removed != (user.id, device.clone()));
        let cookie = self.new_cookie(core, user.id, device);
        reply::with(access(core, rest, user.id), "set-cookie", &cookie)
    }

    /// `/token/refresh`: another cookie, nothing in the body.
    fn rotate(&self, core: &Core, rest: &Rest) -> Reply {
        match self.check_cookie(core, rest) {
            Ok(id) => {
                *lock(&self.rotations) += 1;
                let cookie = self.new_cookie(core, id, rest.param("device").unwrap_or_default());
                reply::with(
                    envelope(200, "jwt_auth_valid_token", "Token is valid", None),
                    "set-cookie",
                    &cookie,
                )
            }
            Err((code, text)) => refuse(code, &text),
        }
    }

    /// The user the refresh cookie is good for.
    fn check_cookie(&self, core: &Core, rest: &Rest) -> Result<u64, Refusal> {
        let invalid = || {
            (
                "jwt_auth_invalid_refresh_token",
                "Invalid refresh token.".to_owned(),
            )
        };
        let no_cookie = (
            "jwt_auth_no_auth_cookie",
            "Refresh token cookie not found.".to_owned(),
        );
        let cookie = rest.cookie("refresh_token").ok_or(no_cookie)?;
        let (id, token) = cookie.split_once('.').ok_or_else(invalid)?;
        let id: u64 = id.parse().map_err(|_| invalid())?;
        let key = (id, rest.param("device").unwrap_or_default());
        let refresh = lock(&self.refresh);
        let held = refresh
            .get(&key)
            .filter(|_| core.user(id).is_some())
            .ok_or_else(invalid)?;
        if held.token != token {
            return Err((
                "jwt_auth_obsolete_refresh_token",
                "Refresh token is obsolete.".to_owned(),
            ));
        }
        if core.now_s() > held.expires_s {
            return Err((
                "jwt_auth_expired_refresh_token",
                "Refresh token has expired.".to_owned(),
            ));
        }
        Ok(id)
    }

    /// Stores a refresh token for user and device, instead of the one there was; the cookie for it.
    fn new_cookie(&self, core: &Core, id: u64, device: String) -> String {
        let token = random_hex(32);
        let expires_s = core.now_s() + core.refresh_ttl_s;
        let cookie = format!(
            "refresh_token={id}.{token}; expires={}; Max-Age={}; path=/; HttpOnly",
            http_date(expires_s),
            core.refresh_ttl_s.max(0),
        );
        lock(&self.refresh).insert((id, device), Refresh { token, expires_s });
        cookie
    }

    /// The user of the access token, or why it is bad.
    fn judge(&self, core: &Core, rest: &Rest) -> Result<u64, Refusal> {
        let refuse = |code, text: &str| Err((code, text.to_owned()));
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
            return refuse("jwt_auth_bad_iss", "The iss do not match with this server.");
        }
        let Some(id) = user_id(&claims) else {
            return refuse("jwt_auth_bad_request", "User ID not found in the token.");
        };
        let Some(user) = core.user(id) else {
            return refuse("jwt_auth_invalid_token", "User not found.");
        };
        let claim = |name: &str| {
            claims
                .pointer(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let removed = lock(&self.removed).contains(&(id, claim("/data/user/device")));
        if removed || claim("/data/user/pass") != user.pass {
            return refuse("jwt_auth_obsolete_token", "Token is obsolete");
        }
        Ok(id)
    }
}

/// The answer with a new access token.
fn access(core: &mut Core, rest: &Rest, id: u64) -> Reply {
    let Some(user) = core.user(id).cloned() else {
        return refuse("jwt_auth_invalid_refresh_token", "Invalid refresh token.");
    };
    let now = core.now_s();
    // Of the request's parameters only a form's `device` gets into the token: with JSON it is lost.
    let device = rest.form.get("device").cloned().unwrap_or_default();
    let claims = json!({
        "iss": core.url,
        "iat": now,
        "nbf": now,
        "exp": now + core.access_ttl_s,
        "data": { "user": { "id": user.id, "device": device, "pass": user.pass } },
    });
    let token = core.sign_access(&claims);
    let data = json!({
        "token": token,
        "id": user.id,
        "email": user.email,
        "nicename": user.login,
        "firstName": "",
        "lastName": "",
        "displayName": user.login,
    });
    envelope(
        200,
        "jwt_auth_valid_credential",
        "Credential is valid",
        Some(data),
    )
}

fn envelope(status: u16, code: &str, message: &str, data: Option<Value>) -> Reply {
    let mut body =
        json!({ "success": status < 400, "statusCode": status, "code": code, "message": message });
    if let Some(data) = data {
        body["data"] = data;
    }
    rest_json(status, &body)
}

fn refuse(code: &str, text: &str) -> Reply {
    envelope(401, code, text, Some(json!([])))
}
