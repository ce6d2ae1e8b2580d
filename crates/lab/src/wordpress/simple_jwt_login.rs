//! "Simple JWT Login": version 3 renews with the JWT itself, version 4 with a refresh token for one use.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use super::request::{Rest, rest_json, route};
use super::site::{Core, Plugin, Site, User};
use crate::jwt::{self, Bad, random_hex};
use crate::record::lock;
use crate::reply::Reply;
use crate::server::ANY_PORT;

const BASE: &str = "/simple-jwt-login/v1/";
/// `Services/BaseService.php`, `JWT_LEEWAY`.
const LEEWAY_S: i64 = 60;

/// A site with the plugin, its "protect endpoints" on for `/wc/v3`. JWTs live 60 minutes with a leeway of
/// 60 s; renewal is possible for two weeks.
#[derive(Debug)]
pub struct SimpleJwtLogin {
    site: Site,
    rules: Arc<Rules>,
}

impl SimpleJwtLogin {
    /// Starts a site with version 3 or 4 of the plugin. Panics on another version.
    pub fn start(version: u8) -> SimpleJwtLogin {
        SimpleJwtLogin::start_at(ANY_PORT, version)
    }

    /// Starts a site at this address.
    pub fn start_at(bind: SocketAddr, version: u8) -> SimpleJwtLogin {
        assert!(
            matches!(version, 3 | 4),
            "versions 3 and 4 of Simple JWT Login are known, not {version}"
        );
        let is_token = |uri: &http::Uri| {
            let route = route(uri).unwrap_or_default();
            matches!(route.strip_prefix(BASE), Some("auth" | "auth/refresh"))
        };
        let rules = Arc::new(Rules {
            version,
            state: Mutex::default(),
        });
        let plugin: Arc<dyn Plugin> = Arc::<Rules>::clone(&rules);
        SimpleJwtLogin {
            site: Site::start(bind, (3600, 20_160 * 60), is_token, plugin),
            rules,
        }
    }

    /// Switches the refresh route off (403, code 81) or on.
    pub fn set_refresh_enabled(&self, enabled: bool) {
        lock(&self.rules.state).refresh_off = !enabled;
    }

    /// Answers 400 instead of 401 to expired and revoked tokens, as versions before 3.5.4 do.
    pub fn set_old_statuses(&self, old: bool) {
        lock(&self.rules.state).old_statuses = old;
    }

    /// Leaves `exp` out of the JWTs given from now on, as the payload settings allow.
    pub fn set_exp_in_payload(&self, exp: bool) {
        lock(&self.rules.state).no_exp = !exp;
    }

    /// How many refresh tokens are good now.
    pub fn refresh_tokens(&self) -> usize {
        lock(&self.rules.state).refresh.len()
    }
}

impl std::ops::Deref for SimpleJwtLogin {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.site
    }
}

#[derive(Debug)]
struct Rules {
    version: u8,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the token: whose, its end, and the JWT key it is hashed with.
    refresh: HashMap<String, Held>,
    revoked: HashSet<String>,
    refresh_off: bool,
    old_statuses: bool,
    no_exp: bool,
}

#[derive(Debug)]
struct Held {
    user: u64,
    expires_s: i64,
    key: String,
}

/// Code and text; the status follows from the code.
type Refusal = (u16, &'static str);

const BAD_CREDENTIALS: Refusal = (48, "Wrong user credentials.");
const TOO_OLD: Refusal = (50, "JWT is too old to be refreshed.");
const BAD_REFRESH: Refusal = (51, "Invalid or expired refresh token.");
const MISSING_JWT: Refusal = (53, "The `jwt` parameter is missing.");
const REVOKED: Refusal = (55, "This JWT is invalid.");
const PROTECTED: Refusal = (75, "You are not authorized to access this endpoint.");

impl Plugin for Rules {
    fn namespaces(&self) -> &'static [&'static str] {
        &["simple-jwt-login/v1"]
    }

    fn routes(&self) -> Vec<(&'static str, &'static [&'static str])> {
        let mut routes: Vec<(&'static str, &'static [&'static str])> = vec![
            ("/simple-jwt-login/v1/autologin", &["GET"]),
            ("/simple-jwt-login/v1/users", &["POST", "DELETE"]),
            ("/simple-jwt-login/v1/auth", &["POST"]),
            ("/simple-jwt-login/v1/auth/refresh", &["POST"]),
            ("/simple-jwt-login/v1/auth/validate", &["GET", "POST"]),
            ("/simple-jwt-login/v1/auth/revoke", &["POST"]),
        ];
        if self.version >= 4 {
            routes.push(("/simple-jwt-login/v1/auth/2fa", &["POST"]));
        }
        routes
    }

    fn before(&self, core: &mut Core, rest: &Rest) -> Result<Option<u64>, Reply> {
        let judged = self.judge(core, rest).map(|user| user.id);
        let protected = rest
            .route
            .as_deref()
            .is_some_and(|route| route.starts_with("/wc/v3"));
        match judged {
            Ok(id) => Ok(Some(id)),
            Err(_) if !protected => Ok(None),
            Err(REVOKED) => Err(self.refuse(REVOKED)),
            Err(_) => Err(self.refuse(PROTECTED)),
        }
    }

    fn route(&self, core: &mut Core, rest: &Rest, _user: Option<u64>) -> Option<Reply> {
        let route = rest.route.as_deref()?.strip_prefix(BASE)?;
        let answer = match (&rest.method, route) {
            (&Method::POST, "auth") => self.login(core, rest),
            (&Method::POST, "auth/refresh") => self.refresh(core, rest),
            (&Method::POST | &Method::GET, "auth/validate") => self.validate(core, rest),
            (&Method::POST, "auth/revoke") => self.revoke(core, rest),
            _ => return None,
        };
        Some(answer.unwrap_or_else(|refusal| self.refuse(refusal)))
    }
}

impl Rules {
    fn login(&self, core: &mut Core, rest: &Rest) -> Result<Reply, Refusal> {
        let name = ["username", "email", "login"]
            .iter()
            .find_map(|field| rest.param(field));
        let name = name.ok_or((
            46,
            "The username, email or login parameter is missing from request.",
        ))?;
        let password = rest
            .param("password")
            .ok_or((47, "The password parameter is missing from request."))?;
        let user = core
            .authenticate(&name, &password)
            .map_err(|_| BAD_CREDENTIALS)?;
        Ok(self.give(core, &user))
    }

    /// A JWT, and in version 4 a refresh token.
    fn give(&self, core: &mut Core, user: &User) -> Reply {
        let now = core.now_s();
        let mut state = lock(&self.state);
        let mut claims = json!({
            "iat": now, "email": user.email, "id": user.id, "site": core.url, "username": user.login,
            "jti": jwt::uuid4(),
        });
        if !state.no_exp {
            claims["exp"] = json!(now + core.access_ttl_s);
        }
        let mut data = json!({ "jwt": core.sign_access(&claims) });
        if self.version >= 4 {
            let token = random_hex(32);
            let held = Held {
                user: user.id,
                expires_s: now + core.refresh_ttl_s,
                key: core.secret.clone(),
            };
            state.refresh.insert(token.clone(), held);
            data["refresh_token"] = json!(token);
        }
        rest_json(200, &json!({ "success": true, "data": data }))
    }

    fn refresh(&self, core: &mut Core, rest: &Rest) -> Result<Reply, Refusal> {
        if lock(&self.state).refresh_off {
            return Err((81, "Refresh token is not enabled."));
        }
        let user = if self.version >= 4 {
            self.spend(core, rest)?
        } else {
            self.renewable(core, rest)?
        };
        Ok(self.give(core, &user))
    }

    /// Version 4: the row is deleted before the new one is made. One use, no grace.
    fn spend(&self, core: &Core, rest: &Rest) -> Result<User, Refusal> {
        let token = rest
            .param("refresh_token")
            .ok_or((46, "The refresh_token parameter is missing from request."))?;
        let held = lock(&self.state)
            .refresh
            .remove(&token)
            .ok_or(BAD_REFRESH)?;
        if held.key != core.secret || core.now_s() >= held.expires_s {
            return Err(BAD_REFRESH);
        }
        core.user(held.user).cloned().ok_or((24, "User not found."))
    }

    /// Version 3: the JWT itself, expired or not, until its `exp` plus the refresh time.
    fn renewable(&self, core: &Core, rest: &Rest) -> Result<User, Refusal> {
        let token = token(rest).ok_or(MISSING_JWT)?;
        let claims = jwt::verify_signature(&core.secret, &token).map_err(|bad| code(&bad))?;
        let end = claims
            .get("exp")
            .and_then(Value::as_i64)
            .map(|exp| exp + core.refresh_ttl_s);
        if end.is_some_and(|end| core.now_s() > end) {
            return Err(TOO_OLD);
        }
        self.owner(core, &token, &claims)
    }

    fn validate(&self, core: &Core, rest: &Rest) -> Result<Reply, Refusal> {
        let user = self.judge(core, rest)?;
        let body = json!({ "success": true, "data": { "user": { "ID": user.id, "user_login": user.login, "user_email": user.email } } });
        Ok(rest_json(200, &body))
    }

    fn revoke(&self, core: &Core, rest: &Rest) -> Result<Reply, Refusal> {
        let user = self.judge(core, rest)?;
        let token = token(rest).ok_or(MISSING_JWT)?;
        let mut state = lock(&self.state);
        state.revoked.insert(token.clone());
        state.refresh.retain(|_, held| held.user != user.id);
        let body =
            json!({ "success": true, "message": "Token was revoked.", "data": { "jwt": [token] } });
        Ok(rest_json(200, &body))
    }

    fn judge(&self, core: &Core, rest: &Rest) -> Result<User, Refusal> {
        let token = token(rest).ok_or(MISSING_JWT)?;
        let claims = core
            .judge_access(&token, LEEWAY_S)
            .map_err(|bad| code(&bad))?;
        self.owner(core, &token, &claims)
    }

    /// The user of a token that is not revoked. A user who is gone counts as revoked.
    fn owner(&self, core: &Core, token: &str, claims: &Value) -> Result<User, Refusal> {
        if lock(&self.state).revoked.contains(token) {
            return Err(REVOKED);
        }
        let user = claims
            .get("id")
            .and_then(Value::as_u64)
            .and_then(|id| core.user(id));
        user.cloned().ok_or(REVOKED)
    }

    fn refuse(&self, (code, message): Refusal) -> Reply {
        let status = match code {
            14 | 55 if lock(&self.state).old_statuses => 400,
            1..=14 | 25 | 48 | 50 | 51 | 53 | 55 | 75 => 401,
            28 | 45 | 81..=84 | 114 => 403,
            24 => 404,
            23 | 46 | 47 | 94 => 422,
            _ => 500,
        };
        let key = if self.version >= 4 {
            "error_code"
        } else {
            "errorCode"
        };
        rest_json(
            status,
            &json!({ "success": false, "data": { "message": message, key: code } }),
        )
    }
}

/// The JWT of a request: header (Bearer optional), else the parameter `JWT`.
fn token(rest: &Rest) -> Option<String> {
    let header = rest.authorization().map(|header| {
        header
            .strip_prefix("Bearer ")
            .unwrap_or(header)
            .trim()
            .to_owned()
    });
    header
        .or_else(|| rest.param("JWT"))
        .or_else(|| rest.param("jwt"))
}

fn code(bad: &Bad) -> Refusal {
    match bad {
        Bad::Segments => (2, "Wrong number of segments"),
        Bad::Header => (3, "Invalid header encoding"),
        Bad::Claims => (4, "Invalid claims encoding"),
        Bad::Algorithm => (7, "Algorithm not supported"),
        Bad::Signature => (11, "Signature verification failed"),
        Bad::Nbf(_) => (12, "Cannot handle token prior to its nbf"),
        Bad::Iat(_) => (13, "Cannot handle token prior to its iat"),
        Bad::Expired => (14, "Expired token"),
    }
}
