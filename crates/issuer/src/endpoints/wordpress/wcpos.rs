//! WCPOS, `wcpos/v1` and `wcpos/v2` alike: a refresh token that stays as it is for thirty days, one answer for every
//! bad access token, and refusals of a refresh that travel with status 200. With distinct codes the reason is told,
//! and a refusal is a 401.

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tenure_verify::Refusal;

use super::Asked;
use super::reply::{failed, forbidden, no_route, refused, rest_json};
use crate::error::OAuthError;
use crate::refresh_token::FamilyId;
use crate::wordpress::{
    BadRefresh, Ended, Known, POS_REFRESH_S, PosSession, Refused, Renew, from_uuid, user_number,
    uuid,
};

/// What may be asked without a token.
const PUBLIC: [&str; 3] = ["auth/test", "auth/refresh", "echo"];
const SESSIONS: &str = "auth/sessions";

fn pos_route(route: &str) -> Option<&str> {
    route
        .strip_prefix("/wcpos/v1/")
        .or_else(|| route.strip_prefix("/wcpos/v2/"))
}

/// The token of a request: header, else `?authorization=`. `Bearer` in exactly this case, or a bare JWT.
fn token(asked: &Asked) -> Option<&str> {
    let rest = &asked.rest;
    let sent = rest
        .authorization()
        .or_else(|| rest.query("authorization"))?;
    if let Some(token) = sent.strip_prefix("Bearer ") {
        return token.split_whitespace().next();
    }
    let bare = sent.split('.').count() == 3 && !sent.contains(' ');
    bare.then_some(sent)
}

pub(super) fn judge(asked: &Asked) -> Result<Known, Refused> {
    match token(asked) {
        Some(token) => asked.judge(token),
        None => Err(Refused::Token(Refusal::Missing)),
    }
}

/// The plugin's routes want a good token, all but the public ones; elsewhere a bad one makes the request anonymous.
pub(super) fn before(asked: &Asked) -> Result<Option<Known>, Box<Response>> {
    match (judge(asked), pos_route(&asked.rest.route)) {
        (Ok(known), _) => Ok(Some(known)),
        (Err(why), Some(route)) if !PUBLIC.contains(&route) => {
            Err(Box::new(refused(&asked.speaks, &why)))
        }
        (Err(_), _) => Ok(None),
    }
}

pub(super) async fn route(asked: &Asked, known: Option<&Known>) -> Option<Response> {
    let route = pos_route(&asked.rest.route)?;
    match (&asked.rest.method, route) {
        (&Method::GET, "auth/test") => return Some(test(asked)),
        (&Method::GET, "echo") => return Some(echo(asked)),
        (&Method::POST, "auth/refresh") => return Some(refresh(asked).await),
        _ => {}
    }
    let known = known?;
    let done = match (&asked.rest.method, route) {
        (&Method::GET, SESSIONS) => list(asked, known).await,
        (&Method::DELETE, SESSIONS) => end_all(asked, known).await,
        // No account here looks after others.
        (&Method::GET, "auth/users/sessions") => Ok(forbidden()),
        (&Method::DELETE, route) => {
            let jti = route.strip_prefix("auth/sessions/")?;
            end_one(asked, known, jti).await
        }
        _ => return None,
    };
    Some(done.unwrap_or_else(|error| failed(&error)))
}

/// `auth/test`: says which token arrived, without judging it. Always 200.
fn test(asked: &Asked) -> Response {
    let header = asked.rest.authorization().map(str::len);
    let param = asked.rest.query("authorization").map(str::len);
    let method = match (header, param) {
        (None, None) => {
            let text = "No authorization token detected";
            return rest_json(
                StatusCode::OK,
                &json!({ "status": "error", "message": text }),
            );
        }
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "header",
        (None, Some(_)) => "param",
    };
    rest_json(
        StatusCode::OK,
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
fn echo(asked: &Asked) -> Response {
    let header = asked.rest.authorization().map(str::len);
    let param = asked.rest.query("authorization").map(str::len);
    let there = |name: &str| json!({ "received": asked.rest.query(name).is_some() });
    let by_length = |length: Option<usize>| json!({ "received": length.is_some(), "length": length.unwrap_or(0) });
    rest_json(
        StatusCode::OK,
        &json!({
            "v": 1,
            "headers": { "authorization": by_length(header) },
            "params": {
                "authorization": by_length(param),
                "wcpos": there("wcpos"),
                "store_id": there("store_id"),
            },
        }),
    )
}

/// `auth/refresh`: a new access token; the refresh token stays.
async fn refresh(asked: &Asked) -> Response {
    let Some(token) = asked.rest.param("refresh_token") else {
        let data = json!({ "status": 400, "params": ["refresh_token"] });
        let body = json!({
            "code": "rest_missing_callback_param",
            "message": "Missing parameter(s): refresh_token",
            "data": data,
        });
        return rest_json(StatusCode::BAD_REQUEST, &body);
    };
    if token.is_empty() {
        let body = json!({ "error": "invalid_request", "error_description": "Refresh token is required." });
        return no(asked, StatusCode::BAD_REQUEST, body);
    }
    let issuer = &asked.issuer;
    let presented = match issuer.open_pos_refresh(token.expose()) {
        Ok(presented) => presented,
        Err(bad) => {
            issuer.counters.count(|stats| {
                stats.junk += 1;
                stats.refused += 1;
            });
            return refuse(asked, &bad);
        }
    };
    // It stays as it is: every refresh token of a session is of its first generation.
    let renewed = issuer
        .renew_wordpress(&asked.speaks, presented.family, 1, Renew::Keep, &asked.peer)
        .await;
    let (login, family) = match renewed {
        Ok(renewed) if user_number(&renewed.0.user_id) == presented.number => renewed,
        Ok(_) => return refuse(asked, &ended(&Ended::Unknown)),
        Err(Ended::Failed(error)) => return failed(&error),
        Err(why) => return refuse(asked, &ended(&why)),
    };
    match issuer.mint_wordpress(&asked.speaks, &login, &family, "") {
        Ok(minted) => rest_json(
            StatusCode::OK,
            &json!({
                "access_token": minted.token.expose(),
                "token_type": "Bearer",
                "expires_in": minted.expires_in,
                "expires_at": minted.expires_at,
            }),
        ),
        Err(error) => failed(&error.into()),
    }
}

fn ended(why: &Ended) -> BadRefresh {
    let (code, text) = match why {
        Ended::Expired => (
            "woocommerce_pos_auth_refresh_token_expired",
            "Expired token",
        ),
        Ended::AccountDisabled => ("woocommerce_pos_auth_user_not_found", "User not found"),
        _ => (
            "woocommerce_pos_auth_refresh_token_revoked",
            "Refresh token has been revoked",
        ),
    };
    BadRefresh {
        code,
        text: text.to_owned(),
    }
}

fn refuse(asked: &Asked, bad: &BadRefresh) -> Response {
    let mut body = json!({ "error": "invalid_grant", "error_description": bad.text });
    if asked.speaks.distinct_codes {
        body["code"] = bad.code.into();
    }
    no(asked, StatusCode::UNAUTHORIZED, body)
}

/// The plugin says no with status 200; with distinct codes the status says it, too.
fn no(asked: &Asked, status: StatusCode, body: Value) -> Response {
    let status = if asked.speaks.distinct_codes {
        status
    } else {
        StatusCode::OK
    };
    rest_json(status, &body)
}

/// One's own sessions only: `user_id` may name nobody else.
async fn mine(asked: &Asked, known: &Known) -> Result<Option<Vec<PosSession>>, OAuthError> {
    if let Some(asked_for) = asked.rest.plain("user_id")
        && asked_for.parse() != Ok(known.number)
    {
        return Ok(None);
    }
    match asked.issuer.user_of(known.family).await? {
        Some(user_id) => Ok(Some(
            asked.issuer.pos_sessions(&asked.speaks, &user_id).await?,
        )),
        None => Ok(None),
    }
}

async fn list(asked: &Asked, known: &Known) -> Result<Response, OAuthError> {
    let Some(sessions) = mine(asked, known).await? else {
        return Ok(forbidden());
    };
    let sessions: Vec<Value> = sessions
        .iter()
        .map(|session| {
            json!({
                "jti": uuid(session.family.0),
                "created": session.born_ms / 1000,
                "last_active": session.used_ms / 1000,
                "expires": (session.born_ms / 1000).saturating_add_unsigned(POS_REFRESH_S),
                "ip_address": session.address.as_deref().unwrap_or_default(),
                "user_agent": session.device.as_deref().unwrap_or_default(),
                "device_info": { "device_type": "unknown", "browser": "" },
                "is_current": session.family == known.family,
            })
        })
        .collect();
    Ok(rest_json(
        StatusCode::OK,
        &json!({ "user_id": known.number, "sessions": sessions }),
    ))
}

fn done(text: &str) -> Response {
    rest_json(StatusCode::OK, &json!({ "success": true, "message": text }))
}

async fn end_all(asked: &Asked, known: &Known) -> Result<Response, OAuthError> {
    let Some(sessions) = mine(asked, known).await? else {
        return Ok(forbidden());
    };
    let keep = asked.rest.plain("except_current");
    let keep = keep.is_some_and(|keep| matches!(keep.as_str(), "true" | "1"));
    for session in sessions {
        if !(keep && session.family == known.family) {
            asked
                .issuer
                .end_pos_session(&asked.speaks, session.family, &asked.peer)
                .await?;
        }
    }
    Ok(done("All sessions deleted successfully."))
}

async fn end_one(asked: &Asked, known: &Known, jti: &str) -> Result<Response, OAuthError> {
    if jti.contains('/') {
        return Ok(no_route());
    }
    let Some(sessions) = mine(asked, known).await? else {
        return Ok(forbidden());
    };
    let wanted = from_uuid(jti).map(FamilyId);
    let mine = |session: &&PosSession| Some(session.family) == wanted;
    if let Some(session) = sessions.iter().find(mine) {
        asked
            .issuer
            .end_pos_session(&asked.speaks, session.family, &asked.peer)
            .await?;
        return Ok(done("Session deleted successfully."));
    }
    let body = json!({ "success": false, "message": "Failed to delete session." });
    Ok(no(asked, StatusCode::NOT_FOUND, body))
}
