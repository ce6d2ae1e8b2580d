//! Logins with a person: authorization code with PKCE, device flow; and the metadata that announces them.

use std::sync::Arc;

use axum::extract::{Query, State as Shared};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;

use super::token::{Form, Refused, authenticate, form, parameter, refused};
use super::{Inner, State};
use crate::jwt::{random_hex, s256};
use crate::record::lock;
use crate::reply::{self, Reply};

/// Lifetime of authorization codes, in ms.
const CODE_TTL_MS: i64 = 60_000;
/// Lifetime of device codes, in seconds.
const DEVICE_TTL_S: i64 = 600;

/// An authorization code given.
#[derive(Debug)]
pub(super) struct Code {
    redirect_uri: String,
    challenge: Option<String>,
    scope: String,
    expires_ms: i64,
    used: bool,
}

/// A device code given.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) user_code: String,
    pub(super) decided: Option<bool>,
    scope: String,
    expires_ms: i64,
    interval_ms: i64,
    polled_ms: Option<i64>,
}

/// The person agrees at once: a redirect with `code`, `state` and `iss` (RFC 9207).
pub(super) async fn authorize(
    Shared(inner): Shared<Arc<Inner>>,
    Query(query): Query<Form>,
) -> Reply {
    let Some(mut target) = query
        .get("redirect_uri")
        .and_then(|uri| url::Url::parse(uri).ok())
    else {
        return reply::reply(400, "text/plain", "redirect_uri is missing or not a URL");
    };
    let now = inner.clock.now_ms();
    let mut state = lock(&inner.state);
    let result = code(&mut state, &query, now);
    let mut pairs = target.query_pairs_mut();
    match &result {
        Ok(code) => pairs.append_pair("code", code),
        Err((error, description)) => pairs
            .append_pair("error", error)
            .append_pair("error_description", description),
    };
    if let Some(sent) = query.get("state") {
        pairs.append_pair("state", sent);
    }
    pairs.append_pair("iss", &lock(&inner.url));
    drop(pairs);
    reply::redirect(target.as_str())
}

fn code(state: &mut State, query: &Form, now: i64) -> Result<String, Refused> {
    if state.deny_consent {
        return Err(("access_denied", "The person refused"));
    }
    if query.get("response_type").map(String::as_str) != Some("code") {
        return Err(("unsupported_response_type", "response_type must be code"));
    }
    if query.get("code_challenge").is_some()
        && query.get("code_challenge_method").map(String::as_str) != Some("S256")
    {
        return Err(("invalid_request", "code_challenge_method must be S256"));
    }
    let code = format!("{}code-{}", state.config.marker, random_hex(16));
    let given = Code {
        redirect_uri: query.get("redirect_uri").cloned().unwrap_or_default(),
        challenge: query.get("code_challenge").cloned(),
        scope: query
            .get("scope")
            .cloned()
            .unwrap_or_else(|| state.config.scope.clone()),
        expires_ms: now + CODE_TTL_MS,
        used: false,
    };
    state.codes.insert(code.clone(), given);
    Ok(code)
}

/// Checks and uses up a code; its scope.
pub(super) fn redeem_code(state: &mut State, form: &Form, now: i64) -> Result<String, Refused> {
    let code = state
        .codes
        .get_mut(parameter(form, "code")?)
        .ok_or(("invalid_grant", "The code is invalid"))?;
    if code.used || now >= code.expires_ms {
        return Err(("invalid_grant", "The code was used or has expired"));
    }
    code.used = true;
    if form.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err((
            "invalid_grant",
            "redirect_uri differs from the one of the authorization request",
        ));
    }
    let verifier = form.get("code_verifier").map(|verifier| s256(verifier));
    if verifier != code.challenge {
        return Err(("invalid_grant", "code_verifier does not fit code_challenge"));
    }
    Ok(code.scope.clone())
}

/// RFC 8628 §3.1.
pub(super) async fn device_authorization(
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
    let device_code = format!("{}dc-{}", state.config.marker, random_hex(16));
    let user_code = random_hex(4).to_uppercase();
    let interval = state.config.device_interval_s;
    let device = Device {
        user_code: user_code.clone(),
        decided: None,
        scope: form
            .get("scope")
            .cloned()
            .unwrap_or_else(|| state.config.scope.clone()),
        expires_ms: now + DEVICE_TTL_S * 1000,
        interval_ms: interval as i64 * 1000,
        polled_ms: None,
    };
    state.devices.insert(device_code.clone(), device);
    let page = format!("{}/device", lock(&inner.url));
    let answer = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"),
        "expires_in": DEVICE_TTL_S,
        "interval": interval,
    });
    reply::token_json(200, &answer)
}

/// One poll (RFC 8628 §3.5); the scope once the person has agreed.
pub(super) fn poll_device(state: &mut State, form: &Form, now: i64) -> Result<String, Refused> {
    let device = state.devices.get_mut(parameter(form, "device_code")?);
    let device = device.ok_or(("invalid_grant", "The device code is invalid"))?;
    if now >= device.expires_ms {
        return Err(("expired_token", "The device code expired"));
    }
    let too_fast = device
        .polled_ms
        .replace(now)
        .is_some_and(|polled| now - polled < device.interval_ms);
    match device.decided {
        Some(true) => {
            device.expires_ms = now;
            Ok(device.scope.clone())
        }
        Some(false) => Err(("access_denied", "The person refused")),
        None if too_fast => {
            device.interval_ms += 5000;
            Err(("slow_down", "Polling too fast"))
        }
        None => Err(("authorization_pending", "The person has not answered yet")),
    }
}

/// Discovery (RFC 8414, OpenID Connect Discovery).
pub(super) async fn metadata(Shared(inner): Shared<Arc<Inner>>) -> Reply {
    let url = lock(&inner.url).clone();
    let endpoint = |path: &str| format!("{url}{path}");
    reply::json(
        200,
        &json!({
            "issuer": url,
            "token_endpoint": endpoint("/token"),
            "authorization_endpoint": endpoint("/authorize"),
            "device_authorization_endpoint": endpoint("/device_authorization"),
            "revocation_endpoint": endpoint("/revoke"),
            "introspection_endpoint": endpoint("/introspect"),
            "jwks_uri": endpoint("/jwks"),
            "response_types_supported": ["code"],
            "grant_types_supported": ["refresh_token", "password", "client_credentials", "authorization_code",
                "urn:ietf:params:oauth:grant-type:device_code"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["orders"],
            "authorization_response_iss_parameter_supported": true,
        }),
    )
}

/// The published key (RFC 7517).
pub(super) async fn jwks(Shared(inner): Shared<Arc<Inner>>) -> Reply {
    reply::json(200, &json!({ "keys": [lock(&inner.key).public()] }))
}
