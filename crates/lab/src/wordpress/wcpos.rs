//! WCPOS (woocommerce-pos): access and refresh JWTs, no rotation, refusals of a refresh with status 200.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use super::request::{Rest, no_route, rest_json, route, wp_error};
use super::site::{Core, Plugin, Role, Site, User};
use super::tmeister::user_id;
use crate::jwt::{self, uuid4};
use crate::record::lock;
use crate::reply::{self, Reply};
use crate::server::ANY_PORT;

/// Failed logins of one user name before the page locks it.
const LOGIN_FAILURES: u32 = 5;
/// How long a user name stays locked, in seconds.
const LOCK_S: i64 = 900;

/// A site with the plugin, both `wcpos/v1` and `wcpos/v2`. Access tokens live 30 minutes, refresh tokens
/// 30 days and are never rotated.
#[derive(Debug)]
pub struct Wcpos {
    site: Site,
    rules: Arc<Rules>,
}

impl Wcpos {
    /// Starts a site.
    pub fn start() -> Wcpos {
        Wcpos::start_at(ANY_PORT)
    }

    /// Starts a site at this address.
    pub fn start_at(bind: SocketAddr) -> Wcpos {
        let is_token =
            |uri: &http::Uri| route(uri).is_some_and(|route| route.ends_with("/auth/refresh"));
        let rules = Arc::new(Rules {
            refresh_secret: Mutex::new(jwt::random_hex(32)),
            state: Mutex::default(),
        });
        let plugin: Arc<dyn Plugin> = Arc::<Rules>::clone(&rules);
        Wcpos {
            site: Site::start(bind, (30 * 60, 30 * 86_400), is_token, plugin),
            rules,
        }
    }

    /// A login behind the curtain: what the login page puts into the redirect, as an object.
    pub fn issue(&self, login: &str) -> Value {
        self.site.core(|core| {
            let user = core.users.iter().find(|user| user.login == login).cloned();
            let user = user.unwrap_or_else(|| panic!("no user {login}"));
            self.rules.login(core, &user, "Lab")
        })
    }

    /// Whether requests without the marker (`X-WCPOS` or `wcpos=1`) get 404 `rest_no_route` (they do at first,
    /// as on servers before 2026-08).
    pub fn set_marker_required(&self, required: bool) {
        lock(&self.rules.state).marker_optional = !required;
    }

    /// Whether a 401 carries `data.reason` with the inner code (not at first; newer servers do).
    pub fn set_reasons(&self, reasons: bool) {
        lock(&self.rules.state).reasons = reasons;
    }

    /// Replaces the key of the refresh tokens; [`Site::change_secret`] replaces that of the access tokens.
    pub fn change_refresh_secret(&self) {
        *lock(&self.rules.refresh_secret) = jwt::random_hex(32);
    }

    /// Revokes all sessions: refresh tokens and, by the blacklist, their access tokens.
    pub fn revoke_all_sessions(&self) {
        let mut state = lock(&self.rules.state);
        let jtis: Vec<String> = state.sessions.drain().map(|(jti, _)| jti).collect();
        state.blacklist.extend(jtis);
    }

    /// The sessions are gone without a trace, as after the restore of an old database: refresh tokens are
    /// refused, access tokens live on.
    pub fn forget_sessions(&self) {
        lock(&self.rules.state).sessions.clear();
    }

    /// How many refreshes were granted.
    pub fn refreshes(&self) -> usize {
        lock(&self.rules.state).refreshes
    }
}

impl std::ops::Deref for Wcpos {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.site
    }
}

#[derive(Debug)]
struct Rules {
    refresh_secret: Mutex<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<String, Session>,
    blacklist: HashSet<String>,
    failures: HashMap<String, (u32, i64)>,
    marker_optional: bool,
    reasons: bool,
    refreshes: usize,
}

#[derive(Debug)]
struct Session {
    user: u64,
    created: i64,
    last_active: i64,
    expires: i64,
    device: String,
}

impl Plugin for Rules {
    fn namespaces(&self) -> &'static [&'static str] {
        &["wcpos/v1", "wcpos/v2"]
    }

    /// WCPOS takes the routes out of the index (`API.php`, `rest_index`).
    fn routes(&self) -> Vec<(&'static str, &'static [&'static str])> {
        Vec::new()
    }

    fn index(&self, core: &Core, index: &mut Value) {
        index["routes"] = json!({});
        index["authentication"]["wcpos"] =
            json!({ "endpoints": { "authorization": format!("{}/wcpos-auth", core.url) } });
        index["wcpos_version"] = json!("1.10.2");
        index["use_jwt_as_param"] = json!(false);
    }

    fn before(&self, core: &mut Core, rest: &Rest) -> Result<Option<u64>, Reply> {
        let judged = self.judge(core, rest);
        let Some(route) = pos_route(rest) else {
            return Ok(judged.ok());
        };
        let marked =
            rest.headers.contains_key("x-wcpos") || rest.query("wcpos").as_deref() == Some("1");
        if !marked && !lock(&self.state).marker_optional {
            return Err(no_route());
        }
        if matches!(route, "auth/test" | "auth/refresh" | "echo") {
            return Ok(None);
        }
        let id = judged.map_err(|reason| self.unauthorized(reason))?;
        let may = core
            .user(id)
            .is_some_and(|user| user.role != Role::Customer);
        let text = "You do not have permission to access the POS.";
        if may {
            Ok(Some(id))
        } else {
            Err(wp_error(403, "woocommerce_pos_rest_forbidden", text))
        }
    }

    fn route(&self, core: &mut Core, rest: &Rest, user: Option<u64>) -> Option<Reply> {
        let route = pos_route(rest)?;
        let reply = match (&rest.method, route) {
            (&Method::GET, "auth/test") => test(rest),
            (&Method::GET, "echo") => echo(rest),
            (&Method::POST, "auth/refresh") => self.refresh(core, rest),
            (&Method::GET, "auth/sessions") => self.list(core, rest, user?),
            (&Method::DELETE, "auth/sessions") => self.delete_all(core, rest, user?),
            (_, "orders") => core.orders(rest, user),
            (&Method::DELETE, route) => {
                self.delete(core, rest, user?, route.strip_prefix("auth/sessions/")?)
            }
            _ => return None,
        };
        Some(reply::with(reply, "cache-control", "private, no-store"))
    }

    fn page(&self, core: &mut Core, rest: &Rest) -> Option<Reply> {
        (rest.uri.path().trim_end_matches('/') == "/wcpos-auth")
            .then(|| self.login_page(core, rest))
    }
}

/// The route below `wcpos/v1/` or `wcpos/v2/`.
fn pos_route(rest: &Rest) -> Option<&str> {
    let route = rest.route.as_deref()?;
    route
        .strip_prefix("/wcpos/v1/")
        .or_else(|| route.strip_prefix("/wcpos/v2/"))
}

/// The token of a request: header, else `?authorization=`. `Bearer` in exactly this case, or a bare JWT.
fn token(rest: &Rest) -> Option<String> {
    let header = rest
        .authorization()
        .map(str::to_owned)
        .or_else(|| rest.query("authorization"))?;
    if let Some(token) = header.strip_prefix("Bearer ") {
        return token.split_whitespace().next().map(str::to_owned);
    }
    (header.split('.').count() == 3 && !header.contains(' ')).then_some(header)
}

impl Rules {
    /// The user of an access token, or the inner code (three m in some, as the plugin has it).
    fn judge(&self, core: &Core, rest: &Rest) -> Result<u64, &'static str> {
        let token = token(rest).ok_or("woocommerce_pos_auth_no_token")?;
        let claims = core.judge_access(&token, 0).map_err(|bad| match bad {
            jwt::Bad::Expired => "woocommerce_pos_auth_token_expired",
            _ => "woocommmerce_pos_auth_invalid_token",
        })?;
        let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        if claim("iss") != core.url {
            return Err("woocommmerce_pos_auth_bad_iss");
        }
        if claim("type") != "access" {
            return Err("woocommmerce_pos_auth_invalid_token_type");
        }
        let state = lock(&self.state);
        if state.blacklist.contains(claim("jti")) || state.blacklist.contains(claim("refresh_jti"))
        {
            return Err("woocommerce_pos_auth_session_revoked");
        }
        let id = user_id(&claims).ok_or("woocommmerce_pos_auth_bad_request")?;
        core.user(id)
            .map(|user| user.id)
            .ok_or("woocommerce_pos_auth_user_not_found")
    }

    /// 401, the same for every reason; newer servers add the reason.
    fn unauthorized(&self, reason: &str) -> Reply {
        let (code, text) = (
            "woocommerce_pos_rest_unauthorized",
            "Authentication required.",
        );
        if !lock(&self.state).reasons {
            return wp_error(401, code, text);
        }
        rest_json(
            401,
            &json!({ "code": code, "message": text, "data": { "status": 401, "reason": reason } }),
        )
    }

    /// A session and its pair, as the login page hands it out.
    fn login(&self, core: &mut Core, user: &User, device: &str) -> Value {
        let (now, jti) = (core.now_s(), uuid4());
        let expires = now + core.refresh_ttl_s;
        let claims = json!({
            "iss": core.url, "iat": now, "exp": expires, "jti": jti, "type": "refresh",
            "data": { "user": { "id": user.id } },
        });
        let refresh = jwt::sign(&lock(&self.refresh_secret), &claims);
        let session = Session {
            user: user.id,
            created: now,
            last_active: now,
            expires,
            device: device.to_owned(),
        };
        {
            let mut state = lock(&self.state);
            state.sessions.retain(|_, session| session.expires > now);
            state.sessions.insert(jti.clone(), session);
        }
        let (access, expires_at) = sign_access(core, user.id, &jti);
        json!({
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_at": expires_at,
            "id": user.id,
            "uuid": uuid4(),
            "display_name": user.login,
        })
    }

    /// `auth/refresh`. Every refusal but a missing parameter travels with status 200.
    fn refresh(&self, core: &mut Core, rest: &Rest) -> Reply {
        let Some(token) = rest.param("refresh_token") else {
            let data = json!({ "status": 400, "params": ["refresh_token"] });
            let text = "Missing parameter(s): refresh_token";
            return rest_json(
                400,
                &json!({ "code": "rest_missing_callback_param", "message": text, "data": data }),
            );
        };
        if token.is_empty() {
            let body = json!({ "error": "invalid_request", "error_description": "Refresh token is required." });
            return rest_json(200, &body);
        }
        match self.check_refresh(core, &token) {
            Ok((user, jti)) => {
                let (access, expires_at) = sign_access(core, user, &jti);
                let expires_in = core.access_ttl_s;
                let body = json!({ "access_token": access, "token_type": "Bearer", "expires_in": expires_in, "expires_at": expires_at });
                rest_json(200, &body)
            }
            Err(why) => rest_json(
                200,
                &json!({ "error": "invalid_grant", "error_description": why }),
            ),
        }
    }

    fn check_refresh(&self, core: &Core, token: &str) -> Result<(u64, String), String> {
        let claims = jwt::verify(&lock(&self.refresh_secret), token, core.now_s(), 0)
            .map_err(|bad| bad.newer_text())?;
        let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        if claim("iss") != core.url {
            return Err("The iss do not match with this server".to_owned());
        }
        if claim("type") != "refresh" {
            return Err("Invalid token type".to_owned());
        }
        let id = user_id(&claims).ok_or("User ID not found in the token")?;
        let mut state = lock(&self.state);
        let session = state
            .sessions
            .get_mut(claim("jti"))
            .filter(|session| session.user == id);
        session.ok_or("Refresh token has been revoked")?.last_active = core.now_s();
        core.user(id).ok_or("User not found")?;
        state.refreshes += 1;
        Ok((id, claim("jti").to_owned()))
    }

    fn list(&self, core: &Core, rest: &Rest, user: u64) -> Reply {
        let Ok(of) = whose(core, rest, user) else {
            return not_yours();
        };
        let current = current_jti(core, rest);
        let state = lock(&self.state);
        let sessions: Vec<Value> = state
            .sessions
            .iter()
            .filter(|(_, session)| session.user == of)
            .map(|(jti, session)| {
                json!({
                    "jti": jti,
                    "created": session.created,
                    "last_active": session.last_active,
                    "expires": session.expires,
                    "ip_address": "127.0.0.1",
                    "user_agent": session.device,
                    "device_info": { "device_type": "desktop", "browser": session.device },
                    "is_current": Some(jti) == current.as_ref(),
                })
            })
            .collect();
        rest_json(200, &json!({ "user_id": of, "sessions": sessions }))
    }

    fn delete(&self, core: &Core, rest: &Rest, user: u64, jti: &str) -> Reply {
        let Ok(of) = whose(core, rest, user) else {
            return not_yours();
        };
        let mut state = lock(&self.state);
        if state
            .sessions
            .get(jti)
            .is_none_or(|session| session.user != of)
        {
            // An error body with status 200, like all the controller builds.
            return rest_json(
                200,
                &json!({ "success": false, "message": "Failed to delete session." }),
            );
        }
        state.sessions.remove(jti);
        state.blacklist.insert(jti.to_owned());
        rest_json(
            200,
            &json!({ "success": true, "message": "Session deleted successfully." }),
        )
    }

    fn delete_all(&self, core: &Core, rest: &Rest, user: u64) -> Reply {
        let Ok(of) = whose(core, rest, user) else {
            return not_yours();
        };
        let keep = rest
            .param("except_current")
            .filter(|keep| matches!(keep.as_str(), "true" | "1"));
        let keep = keep.and_then(|_| current_jti(core, rest));
        let mut state = lock(&self.state);
        let gone =
            |jti: &String, session: &Session| session.user == of && Some(jti) != keep.as_ref();
        let jtis: Vec<String> = state
            .sessions
            .iter()
            .filter(|(jti, session)| gone(jti, session))
            .map(|(jti, _)| jti.clone())
            .collect();
        for jti in jtis {
            state.sessions.remove(&jti);
            state.blacklist.insert(jti);
        }
        rest_json(
            200,
            &json!({ "success": true, "message": "All sessions deleted successfully." }),
        )
    }

    /// The page a person logs in at; the tokens travel in the query of the redirect.
    fn login_page(&self, core: &mut Core, rest: &Rest) -> Reply {
        let (target, state) = (
            rest.param("redirect_uri").unwrap_or_default(),
            rest.param("state").unwrap_or_default(),
        );
        let target = url::Url::parse(&target)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(mut target) = target.filter(|_| !state.is_empty()) else {
            return html(400, "Invalid request: redirect_uri and state are required.");
        };
        if rest.method != Method::POST {
            return html(
                200,
                "<form method=\"post\"><input name=\"wcpos-log\"><input name=\"wcpos-pwd\" type=\"password\"></form>",
            );
        }
        let name = rest.form.get("wcpos-log").cloned().unwrap_or_default();
        let password = rest.form.get("wcpos-pwd").cloned().unwrap_or_default();
        let now = core.now_s();
        let failures = lock(&self.state)
            .failures
            .get(&name)
            .copied()
            .filter(|(_, last)| now - last < LOCK_S);
        let failed = failures.map_or(0, |(count, _)| count);
        if failed >= LOGIN_FAILURES {
            return html(
                200,
                "Too many failed login attempts. Please try again later.",
            );
        }
        let Ok(user) = core.authenticate(&name, &password) else {
            lock(&self.state).failures.insert(name, (failed + 1, now));
            return html(200, "Invalid username or password.");
        };
        lock(&self.state).failures.remove(&name);
        let pair = self.login(core, &user, "Lab browser");
        for (key, value) in pair.as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            target.query_pairs_mut().append_pair(key, &text);
        }
        target.query_pairs_mut().append_pair("state", &state);
        reply::redirect(target.as_str())
    }
}

fn sign_access(core: &mut Core, user: u64, refresh_jti: &str) -> (String, i64) {
    let now = core.now_s();
    let expires_at = now + core.access_ttl_s;
    let claims = json!({
        "iss": core.url, "iat": now, "exp": expires_at, "jti": uuid4(), "type": "access",
        "data": { "user": { "id": user } }, "refresh_jti": refresh_jti,
    });
    (core.sign_access(&claims), expires_at)
}

/// The session the request's own access token belongs to.
fn current_jti(core: &Core, rest: &Rest) -> Option<String> {
    let claims = core.judge_access(&token(rest)?, 0).ok()?;
    claims.get("refresh_jti")?.as_str().map(str::to_owned)
}

/// Whose sessions are meant: one's own, or anybody's for an administrator.
fn whose(core: &Core, rest: &Rest, user: u64) -> Result<u64, ()> {
    let asked = rest
        .param("user_id")
        .and_then(|id| id.parse().ok())
        .unwrap_or(user);
    let admin = core
        .user(user)
        .is_some_and(|user| user.role == Role::Administrator);
    if asked == user || admin {
        Ok(asked)
    } else {
        Err(())
    }
}

fn not_yours() -> Reply {
    wp_error(
        403,
        "rest_forbidden",
        "Sorry, you are not allowed to do that.",
    )
}

/// `auth/test`: says which token arrived, without judging it. Always 200.
fn test(rest: &Rest) -> Reply {
    let header = rest.authorization().map(str::len);
    let param = rest.query("authorization").map(|param| param.len());
    let method = match (header, param) {
        (None, None) => {
            return rest_json(
                200,
                &json!({ "status": "error", "message": "No authorization token detected" }),
            );
        }
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "header",
        (None, Some(_)) => "param",
    };
    rest_json(
        200,
        &json!({
            "status": "success",
            "message": "Authorization token detected",
            "received_header_auth": header.is_some(),
            "header_length": header.unwrap_or(0),
            "received_param_auth": param.is_some(),
            "param_length": param.unwrap_or(0),
            "auth_method": method,
        }),
    )
}

/// `echo`: what arrived, by length, never by value.
fn echo(rest: &Rest) -> Reply {
    let header = rest.authorization().map(str::len);
    let param = rest.query("authorization").map(|param| param.len());
    rest_json(
        200,
        &json!({
            "v": 1,
            "headers": { "authorization": { "received": header.is_some(), "length": header.unwrap_or(0) } },
            "params": {
                "authorization": { "received": param.is_some(), "length": param.unwrap_or(0) },
                "wcpos": { "received": rest.query("wcpos").is_some() },
                "store_id": { "received": rest.query("store_id").is_some() },
            },
        }),
    )
}

fn html(status: u16, body: &str) -> Reply {
    let page =
        format!("<!doctype html><html><head><title>WCPOS</title></head><body>{body}</body></html>");
    reply::reply(status, "text/html; charset=UTF-8", page)
}
