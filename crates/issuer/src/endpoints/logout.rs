//! `/logout`: RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).
//!
//! The ID token says which session is meant and that the client knows it, so nobody has to be asked; without one
//! nothing can be ended, and the person is told.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tenure_core::family::Subtype;
use tenure_jose::{Peek, Reason, Rules, check_claims, verify_signature};
use url::Url;

use super::{owned, pages};
use crate::client::Client;
use crate::families::Which;
use crate::issuer::Issuer;
use crate::lang::Lang;
use crate::params::Params;
use crate::peer::Peer;
use crate::refresh_token::FamilyId;

pub(super) async fn get(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    lang: Lang,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    answer(issuer, params, peer, lang).await
}

pub(super) async fn post(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    lang: Lang,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(issuer, Params::from_form(&headers, &body), peer, lang).await
}

async fn answer(
    issuer: Arc<Issuer>,
    params: Result<Params, crate::error::OAuthError>,
    peer: Peer,
    lang: Lang,
) -> Response {
    let server = Arc::clone(&issuer);
    owned(&issuer, async move {
        let asked = params
            .as_ref()
            .ok()
            .and_then(|params| params.get("ui_locales"));
        let lang = lang.or_asked(asked);
        match params.map_err(|error| error.description) {
            Ok(params) => match end(&server, &params, &peer, lang).await {
                Ok(response) => response,
                Err(text) => wrong(lang, &text),
            },
            Err(text) => wrong(lang, &text),
        }
    })
    .await
}

fn wrong(lang: Lang, text: &str) -> Response {
    pages::message(
        lang,
        StatusCode::BAD_REQUEST,
        "This logout link is not valid",
        text,
    )
}

async fn end(
    issuer: &Issuer,
    params: &Params,
    peer: &Peer,
    lang: Lang,
) -> Result<Response, String> {
    let hint = params
        .get("id_token_hint")
        .ok_or("It does not say which login is meant (`id_token_hint`). Nobody was logged out.")?;
    let token =
        own(issuer, hint).ok_or("Its `id_token_hint` is not from here. Nobody was logged out.")?;
    let client = token.aud().first().and_then(|id| issuer.client(id)).ok_or(
        "The application it was issued to is not registered any more. Nobody was logged out.",
    )?;
    if params.get("client_id").is_some_and(|id| id != client.id()) {
        return Err(
            "It was issued to another application than `client_id`. Nobody was logged out."
                .to_owned(),
        );
    }
    let back = back(&client, params)?;
    if let Some(family) = token.text("sid").and_then(FamilyId::parse) {
        let who = peer.who(format!("client {}", client.id()));
        issuer
            .end(Which::One(family), Subtype::ClientRequest, who)
            .await
            .map_err(|error| {
                tracing::error!(%error, "a logout failed");
                "The server cannot reach its database. Please try again.".to_owned()
            })?;
    }
    Ok(back.map_or_else(
        || {
            pages::message(
                lang,
                StatusCode::OK,
                "You are logged out",
                "The application can no longer act for you.",
            )
        },
        |url| redirect(&url),
    ))
}

/// An ID token of this issuer, expired or not (§2: one that has expired is accepted).
fn own(issuer: &Issuer, text: &str) -> Option<Peek> {
    let token = issuer.with_keys(|keys| verify_signature(text, keys)).ok()?;
    let rules = Rules {
        issuer: Some(issuer.id()),
        audience: None,
        typ: Some("JWT"),
        leeway_s: 0,
        now_s: issuer.now() / 1000,
    };
    match check_claims(&token, &rules) {
        Ok(()) => Some(token),
        // The other claims are judged after the times.
        Err(Reason::Expired { .. }) => {
            let then = Rules {
                now_s: token.iat()?,
                ..rules
            };
            check_claims(&token, &then).is_ok().then_some(token)
        }
        Err(_) => None,
    }
}

/// Where to go afterwards: exactly as registered.
fn back(client: &Client, params: &Params) -> Result<Option<Url>, String> {
    let Some(uri) = params.get("post_logout_redirect_uri") else {
        return Ok(None);
    };
    let known = &client.registration.post_logout_redirect_uris;
    let mut url = known
        .iter()
        .any(|known| known == uri)
        .then(|| Url::parse(uri).ok())
        .flatten()
        .ok_or("The address to return to is not one the application registered. Nobody was logged out.")?;
    if let Some(state) = params.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(Some(url))
}

fn redirect(url: &Url) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // A URL is printable ASCII once parsed.
    if let Ok(location) = HeaderValue::from_str(url.as_str()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
