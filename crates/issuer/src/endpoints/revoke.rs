//! `POST /revoke` (RFC 7009).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use tenure_core::family::Subtype;

use super::owned;
use crate::client::Client;
use crate::error::OAuthError;
use crate::families::{self, Which};
use crate::issuer::Issuer;
use crate::params::Params;
use crate::peer::Peer;
use crate::refresh_token;

pub(super) async fn revoke(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let server = Arc::clone(&issuer);
    owned(&issuer, async move {
        match answer(&server, &headers, &body, &peer).await {
            // §2.2: also for a token that is unknown, expired or revoked already.
            Ok(()) => StatusCode::OK.into_response(),
            Err(error) => error.response(&server.pages),
        }
    })
    .await
}

async fn answer(
    issuer: &Issuer,
    headers: &HeaderMap,
    body: &[u8],
    peer: &Peer,
) -> Result<(), OAuthError> {
    let params = Params::from_form(headers, body)?;
    let client = issuer
        .authenticate(headers, &params, peer.text().as_deref())
        .await?;
    let token = params.need_secret("token")?.expose();
    match refresh_token::open(&issuer.master, token) {
        Some((family, _)) => {
            let Some(families::Found { login, .. }) = families::look(&issuer.db, family).await?
            else {
                return Ok(());
            };
            if login.client_id != client.id() {
                return Err(OAuthError::wrong_client());
            }
            let who = peer.who(format!("client {}", client.id()));
            issuer
                .end(Which::One(family), Subtype::ClientRequest, who)
                .await?;
            Ok(())
        }
        None => revoke_access(issuer, &client, token, peer).await,
    }
}

async fn revoke_access(
    issuer: &Issuer,
    client: &Client,
    token: &str,
    peer: &Peer,
) -> Result<(), OAuthError> {
    let Ok(token) = issuer.open_access(token) else {
        return Ok(());
    };
    if token.text("client_id") != Some(client.id()) {
        return Err(OAuthError::wrong_client());
    }
    if let (Some(jti), Some(exp)) = (token.jti(), token.exp()) {
        let who = peer.who(format!("client {}", client.id()));
        issuer
            .refuse_access(jti, exp, token.text("sid"), who)
            .await?;
    }
    Ok(())
}
