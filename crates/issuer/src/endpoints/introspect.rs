//! `POST /introspect` (RFC 7662).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use tenure_core::family::{self, Decision, Presented};
use tenure_jose::Peek;

use crate::client::Client;
use crate::error::OAuthError;
use crate::families;
use crate::issuer::Issuer;
use crate::params::Params;
use crate::peer::Peer;
use crate::refresh_token::{self, FamilyId};

pub(super) async fn introspect(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match answer(&issuer, &headers, &body, &peer).await {
        Ok(body) => {
            let mut response = axum::Json(body).into_response();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => error.response(&issuer.pages),
    }
}

async fn answer(
    issuer: &Issuer,
    headers: &HeaderMap,
    body: &[u8],
    peer: &Peer,
) -> Result<Value, OAuthError> {
    let params = Params::from_form(headers, body)?;
    let client = issuer
        .authenticate(headers, &params, peer.text().as_deref())
        .await?;
    if !client.is_confidential() {
        // §2.1: whoever asks must be authorised, or tokens could be tried out.
        return Err(OAuthError::invalid_client(
            "Only clients that authenticate may introspect.",
        ));
    }
    let token = params.need_secret("token")?.expose();
    let found = match refresh_token::open(&issuer.master, token) {
        Some((family, generation)) => refresh(issuer, &client, family, generation).await?,
        None => match issuer.open_access(token) {
            Ok(token) => access(issuer, &token).await?,
            Err(_) => None,
        },
    };
    // §2.2: nothing more is said of a token that is not active.
    Ok(found.unwrap_or_else(|| json!({ "active": false })))
}

async fn access(issuer: &Issuer, token: &Peek) -> Result<Option<Value>, OAuthError> {
    if let Some(family) = token.text("sid").and_then(FamilyId::parse) {
        let generation = token.claims.get("generation").and_then(Value::as_u64);
        match families::look(&issuer.db, family).await? {
            Some(families::Found {
                family: state,
                disabled,
                ..
            }) if state.revoked.is_none() && !disabled => {
                if !state.confirmed && generation == Some(state.generation) {
                    families::confirm(&issuer.db, family, state.generation).await?;
                }
            }
            _ => return Ok(None),
        }
    }
    let kind = if token.claims.contains_key("cnf") {
        "DPoP"
    } else {
        "Bearer"
    };
    let mut body = json!({ "active": true, "token_type": kind });
    for name in [
        "scope",
        "client_id",
        "sub",
        "aud",
        "iss",
        "jti",
        "iat",
        "exp",
        "sid",
        "generation",
        "auth_time",
        "acr",
        "cnf",
    ] {
        if let Some(value) = token.claims.get(name) {
            body[name] = value.clone();
        }
    }
    Ok(Some(body))
}

/// A refresh token concerns its own client only. Looking changes nothing.
async fn refresh(
    issuer: &Issuer,
    client: &Client,
    id: FamilyId,
    generation: u64,
) -> Result<Option<Value>, OAuthError> {
    let Some(families::Found {
        family: state,
        login,
        disabled,
    }) = families::look(&issuer.db, id).await?
    else {
        return Ok(None);
    };
    let presented = Presented {
        generation,
        matches: login.client_id == client.id(),
    };
    let decision = family::decide(&state, presented, issuer.now(), &issuer.rotation());
    let good = matches!(decision, Decision::Rotate(_) | Decision::SameSuccessor(_)) && !disabled;
    Ok(good.then(|| {
        json!({
            "active": true,
            "token_type": "refresh_token",
            "client_id": login.client_id,
            "scope": login.scope,
            "sub": login.user_id,
            "iss": issuer.id(),
            "sid": id.sid(),
            "generation": generation,
            "iat": state.born_ms / 1000,
            "exp": state.ends_ms(&issuer.rotation()).map(|ms| ms / 1000),
        })
    }))
}
