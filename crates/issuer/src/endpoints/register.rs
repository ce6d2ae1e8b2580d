//! `POST /register` (RFC 7591), where it is switched on.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use tenure_core::Secret;

use super::{astray, owned};
use crate::error::OAuthError;
use crate::issuer::Issuer;
use crate::peer::Peer;
use crate::registration::Registered;

pub(super) async fn register(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !issuer.options.registration {
        return astray::nothing(State(issuer), uri, headers).await;
    }
    let server = Arc::clone(&issuer);
    owned(&issuer, async move {
        match answer(&server, &headers, &body, &peer).await {
            Ok(registered) => {
                let mut response = (StatusCode::CREATED, Json(registered)).into_response();
                let headers = response.headers_mut();
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(error) => refused(&server, &error),
        }
    })
    .await
}

async fn answer(
    issuer: &Issuer,
    headers: &HeaderMap,
    body: &[u8],
    peer: &Peer,
) -> Result<Registered, OAuthError> {
    let token = bearer(headers).ok_or_else(|| {
        OAuthError::registration_refused(
            "Registration needs an initial access token, as `Authorization: Bearer …`.",
        )
    })?;
    let unknown = || {
        OAuthError::registration_refused("The initial access token is unknown, used up or too old.")
    };
    let label = issuer.registration_label(&token).await?;
    let who = peer.who(format!("registration {}", label.ok_or_else(unknown)?));
    issuer
        .register_program(&token, body, who)
        .await?
        .ok_or_else(unknown)
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::new(token.trim()))
}

/// RFC 6750 §3: whoever has no good token is told how to send one.
fn refused(issuer: &Issuer, error: &OAuthError) -> Response {
    let mut response = error.response(&issuer.pages);
    if error.status == StatusCode::UNAUTHORIZED {
        let challenge =
            HeaderValue::from_static("Bearer realm=\"registration\", error=\"invalid_token\"");
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
