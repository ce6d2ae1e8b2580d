//! The endpoints for tokens: grant, revocation, introspection.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State as Shared;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::rotation::Outcome;
use super::{Inner, IssuerConfig, State, flows, refresh_end};
use crate::record::lock;
use crate::reply::{self, Reply};

/// Parameters of a form body.
pub(crate) type Form = HashMap<String, String>;

/// Why a grant is refused (RFC 6749 §5.2): code and description.
pub(crate) type Refused = (&'static str, &'static str);

pub(crate) async fn token(
    Shared(inner): Shared<Arc<Inner>>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let form = match form(&headers, &body) {
        Ok(form) => form,
        Err(refusal) => return refused(refusal),
    };
    let now = inner.clock.now_ms();
    let mut state = lock(&inner.state);
    if let Err(reply) = authenticate(&state.config, &headers, &form) {
        return reply;
    }
    match grant(&inner, &mut state, &form, now) {
        Ok(answer) => reply::token_json(200, &answer),
        Err(refusal) => refused(refusal),
    }
}

fn grant(inner: &Inner, state: &mut State, form: &Form, now: i64) -> Result<Value, Refused> {
    let scope = form
        .get("scope")
        .cloned()
        .unwrap_or_else(|| state.config.scope.clone());
    match form.get("grant_type").map(String::as_str) {
        Some("refresh_token") => refresh(inner, state, form, &scope, now),
        Some("password") => {
            if let Some(refusal) = state.deeds.refuses_login() {
                return Err(refusal);
            }
            let given = (parameter(form, "username")?, parameter(form, "password")?);
            if !state
                .config
                .users
                .iter()
                .any(|(name, password)| (name.as_str(), password.as_str()) == given)
            {
                return Err(("invalid_grant", "Invalid user credentials"));
            }
            Ok(inner.login(state, &scope, now))
        }
        Some("client_credentials") => Ok(inner.answer(state, None, &scope, now)),
        Some("authorization_code") => {
            let scope = flows::redeem_code(state, form, now)?;
            Ok(inner.login(state, &scope, now))
        }
        Some("urn:ietf:params:oauth:grant-type:device_code") => {
            let scope = flows::poll_device(state, form, now)?;
            Ok(inner.login(state, &scope, now))
        }
        Some(_) => Err(("unsupported_grant_type", "This grant type is not supported")),
        None => Err(("invalid_request", "grant_type is missing")),
    }
}

fn refresh(
    inner: &Inner,
    state: &mut State,
    form: &Form,
    scope: &str,
    now: i64,
) -> Result<Value, Refused> {
    let token = parameter(form, "refresh_token")?;
    let family = state.families.family_of(token);
    if let Some(refusal) = family.and_then(|family| state.deeds.refuses(family)) {
        return Err(refusal);
    }
    let end = refresh_end(&state.config, now);
    let pair = state
        .families
        .exchange(token, now, end)
        .map_err(|outcome| {
            let why = match outcome {
                Outcome::Expired => "The refresh token expired",
                Outcome::Reused => {
                    "The refresh token was used before; all tokens of this login are revoked"
                }
                Outcome::Revoked => "The refresh token was revoked",
                Outcome::Unknown | Outcome::Rotated | Outcome::Repeated => {
                    "The refresh token is invalid"
                }
            };
            ("invalid_grant", why)
        })?;
    Ok(inner.answer(state, Some(&pair), scope, now))
}

/// RFC 7009: 200 whatever the token was.
pub(crate) async fn revoke(
    Shared(inner): Shared<Arc<Inner>>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let mut state = lock(&inner.state);
    let form = match checked_form(&state.config, &headers, &body) {
        Ok(form) => form,
        Err(reply) => return reply,
    };
    let Some(token) = form.get("token") else {
        return refused(("invalid_request", "token is missing"));
    };
    if let Some(access) = state.access.get_mut(token) {
        access.revoked = true;
    }
    if let Some(family) = state.families.family_of(token) {
        state.families.revoke(family);
    }
    reply::reply(200, "application/json", "")
}

/// RFC 7662.
pub(crate) async fn introspect(
    Shared(inner): Shared<Arc<Inner>>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let form = match checked_form(&lock(&inner.state).config, &headers, &body) {
        Ok(form) => form,
        Err(reply) => return reply,
    };
    let Some(token) = form.get("token") else {
        return refused(("invalid_request", "token is missing"));
    };
    let answer = match inner.access(token) {
        Ok(access) => {
            json!({ "active": true, "scope": access.scope, "exp": access.expires_ms / 1000, "token_type": "Bearer" })
        }
        Err(_) => json!({ "active": false }),
    };
    reply::token_json(200, &answer)
}

fn checked_form(config: &IssuerConfig, headers: &HeaderMap, body: &[u8]) -> Result<Form, Reply> {
    let form = form(headers, body).map_err(refused)?;
    authenticate(config, headers, &form)?;
    Ok(form)
}

/// The parameters of a form body; a repeated one is an error (RFC 6749 §3.2).
pub(crate) fn form(headers: &HeaderMap, body: &[u8]) -> Result<Form, Refused> {
    let content_type = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return Err((
            "invalid_request",
            "The body must be application/x-www-form-urlencoded",
        ));
    }
    let mut form = Form::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(("invalid_request", "A parameter is repeated"));
        }
    }
    Ok(form)
}

pub(crate) fn parameter<'a>(form: &'a Form, name: &str) -> Result<&'a str, Refused> {
    form.get(name)
        .map(String::as_str)
        .ok_or(("invalid_request", "A required parameter is missing"))
}

/// Client authentication by Basic or by the body (RFC 6749 §2.3.1), if the issuer knows clients.
pub(crate) fn authenticate(
    config: &IssuerConfig,
    headers: &HeaderMap,
    form: &Form,
) -> Result<(), Reply> {
    if config.clients.is_empty() {
        return Ok(());
    }
    let basic = headers
        .get("authorization")
        .and_then(|value| basic(value.to_str().ok()?));
    let by_header = headers.contains_key("authorization");
    let given = basic.or_else(|| {
        Some((
            form.get("client_id")?.clone(),
            form.get("client_secret")?.clone(),
        ))
    });
    if given.is_some_and(|given| config.clients.contains(&given)) {
        return Ok(());
    }
    let body =
        json!({ "error": "invalid_client", "error_description": "Client authentication failed" });
    let reply = reply::token_json(401, &body);
    Err(if by_header {
        reply::with(reply, "www-authenticate", r#"Basic realm="lab""#)
    } else {
        reply
    })
}

/// Id and secret of a Basic header; both are form-encoded inside (RFC 6749 §2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| {
        url::form_urlencoded::parse(part.as_bytes())
            .next()
            .map(|(key, _)| key.into_owned())
    };
    Some((decode(id)?, decode(secret).unwrap_or_default()))
}

pub(crate) fn refused((error, description): Refused) -> Reply {
    reply::token_json(
        400,
        &json!({ "error": error, "error_description": description }),
    )
}
