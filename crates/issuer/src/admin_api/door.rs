//! Who comes in: logins, tokens, administrators.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tenure_core::Secret;

use super::Actor;
use super::body::Body;
use super::problem::Problem;
use crate::administrators::{LOGIN_S, NoLogin, administrator};
use crate::issuer::Issuer;
use crate::peer::Peer;

/// How long a program's token lives where nothing is said, in days.
const TOKEN_DAYS: u64 = 90;

type Issuers = State<Arc<Issuer>>;

/// Lets in who has a token.
pub(super) async fn keep(
    State(issuer): Issuers,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    // A program that an administrator runs sends none; a page of another origin always does.
    if parts.headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "pages of other origins may not use this API",
        ));
    }
    let token = bearer(&parts.headers).ok_or_else(|| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "send `Authorization: Bearer TOKEN`; POST /admin/v1/login gives one, or `tenure issuer administrators token`",
        )
        .because("no_token")
    })?;
    let found = issuer.administrator_of(&token).await;
    let name = found.map_err(|error| Problem::from(crate::error::IssuerError::from(error)))?;
    let name = name.ok_or_else(|| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "the token is unknown or has expired; log in again at POST /admin/v1/login",
        )
        .because("token_unknown")
    })?;
    // It cannot fail: its error type has no value.
    let Ok(peer) = Peer::from_request_parts(&mut parts, &issuer).await;
    parts.extensions.insert(Actor(administrator(&name, &peer)));
    Ok(next.run(Request::from_parts(parts, body)).await)
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Secret::new(token))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    name: String,
    secret: String,
    new_secret: Option<String>,
}

pub(super) async fn login(
    State(issuer): Issuers,
    peer: Peer,
    headers: HeaderMap,
    Body(login): Body<Login>,
) -> Result<Response, Problem> {
    if headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "pages of other origins may not use this API",
        ));
    }
    let (secret, chosen) = (Secret::new(login.secret), login.new_secret.map(Secret::new));
    let token = issuer
        .admin_login(&login.name, &secret, chosen, &peer)
        .await
        .map_err(refused)?;
    Ok(Json(json!({ "token": token.expose(), "expires_in": LOGIN_S })).into_response())
}

fn refused(why: NoLogin) -> Problem {
    match why {
        NoLogin::Rejected => Problem::new(
            StatusCode::UNAUTHORIZED,
            "name or secret is wrong, or the one-time secret is too old; `tenure issuer administrators reset NAME` makes another",
        )
        .because("login_rejected"),
        NoLogin::ChooseSecret => Problem::new(
            StatusCode::FORBIDDEN,
            "this is a one-time secret: send a secret of your own with it, as `new_secret`",
        )
        .because("choose_secret"),
        NoLogin::Weak(why) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why).because("weak_secret")
        }
        NoLogin::Throttled(wait_s) => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("too many attempts; wait {wait_s} s"),
        )
        .later(wait_s),
        NoLogin::Failed(error) => error.into(),
    }
}

pub(super) async fn logout(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    if let Some(token) = bearer(&headers) {
        issuer.admin_from(who).end_admin_token(&token).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(State(issuer): Issuers) -> Result<Response, Problem> {
    let all = issuer.administrators().await?;
    let all: Vec<_> = all.iter().map(crate::json::administrator).collect();
    Ok(Json(json!({ "administrators": all })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: String,
}

pub(super) async fn add(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Body(Named { name }): Body<Named>,
) -> Result<Response, Problem> {
    let secret = issuer.admin_from(who).add_administrator(&name).await?;
    let made = json!({ "name": name, "one_time_secret": secret.expose() });
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

pub(super) async fn reset(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let secret = issuer.admin_from(who).reset_administrator(&name).await?;
    Ok(Json(json!({ "name": name, "one_time_secret": secret.expose() })).into_response())
}

pub(super) async fn remove(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    issuer.admin_from(who).remove_administrator(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    label: String,
    days: Option<u64>,
}

pub(super) async fn make_token(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(name): Path<String>,
    Body(asked): Body<NewToken>,
) -> Result<Response, Problem> {
    let life_s = asked.days.unwrap_or(TOKEN_DAYS).saturating_mul(24 * 3_600);
    let token = issuer
        .admin_from(who)
        .administrator_token(&name, &asked.label, life_s)
        .await?;
    let made = json!({ "token": token.expose(), "label": asked.label, "expires_in": life_s });
    Ok((StatusCode::CREATED, Json(made)).into_response())
}
