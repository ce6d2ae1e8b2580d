//! `POST /par`: authorization requests handed in beforehand (RFC 9126), so that nothing of them passes the browser and
//! the client is known before anybody is shown a page.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::json;
use tenure_core::Secret;
use tenure_jose::{b64url, random, sha256};
use tenure_store::StoreError;
use url::form_urlencoded;

use super::{authorize, owned};
use crate::db::values;
use crate::error::OAuthError;
use crate::issuer::Issuer;
use crate::params::Params;
use crate::peer::Peer;

/// What every `request_uri` begins with (§2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// How long a request waits for its browser, in seconds (§2.2 suggests 5 to 600).
const WAITS_S: u64 = 90;
/// Parameters that prove who the client is: not part of what is asked.
const PROOFS: [&str; 4] = [
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "request_uri",
];

pub(super) async fn push(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let server = Arc::clone(&issuer);
    owned(&issuer, async move {
        match answer(&server, &headers, &body, &peer).await {
            Ok(uri) => {
                let body = json!({ "request_uri": uri.expose(), "expires_in": WAITS_S });
                let mut response = (StatusCode::CREATED, axum::Json(body)).into_response();
                response
                    .headers_mut()
                    .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
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
) -> Result<Secret, OAuthError> {
    let params = Params::from_form(headers, body)?;
    if params.get("request_uri").is_some() {
        return Err(OAuthError::invalid_request(
            "`request_uri` has no place in a pushed request (RFC 9126 section 2.1).",
        ));
    }
    let client = issuer
        .authenticate(headers, &params, peer.text().as_deref())
        .await?;
    let mut query = asked(body, client.id());
    if let Some(jkt) = issuer
        .proven_key(headers, &Method::POST, "/par", None)
        .await?
    {
        if params.get("dpop_jkt").is_some_and(|named| named != jkt) {
            return Err(OAuthError::invalid_dpop_proof(
                "`dpop_jkt` is not the key of the DPoP proof.",
            ));
        }
        if params.get("dpop_jkt").is_none() {
            // A thumbprint is base64url, which a query holds as it is.
            query = format!("{query}&dpop_jkt={jkt}");
        }
    }
    // What would be refused in the browser is refused here, where the client hears it (§2.3).
    authorize::check_pushed(issuer, &query)?;
    Ok(issuer.keep_request(client.id(), query).await?)
}

/// The request without its proofs, its client named as it was proven.
fn asked(body: &[u8], client: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("client_id", client);
    for (name, value) in form_urlencoded::parse(body) {
        if name != "client_id" && !PROOFS.contains(&name.as_ref()) {
            query.append_pair(&name, &value);
        }
    }
    query.finish()
}

impl Issuer {
    async fn keep_request(&self, client: &str, query: String) -> Result<Secret, StoreError> {
        let uri = Secret::new(format!("{PREFIX}{}", b64url(random::<24>())));
        let hash = sha256(uri.expose().as_bytes());
        let expires = self.now().saturating_add_unsigned(WAITS_S * 1000);
        let client = client.to_owned();
        self.db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO pushed (hash, client_id, query, expires_ms) VALUES (?1, ?2, ?3, ?4)",
                    values![&hash, &client, &query, expires],
                )
            })
            .await?;
        Ok(uri)
    }

    /// The request that was handed in under this name by this client. A page may be loaded again, so it stays until
    /// it expires (§4); a code is issued only for a form that was shown for it.
    pub(super) async fn pushed(
        &self,
        uri: &str,
        client: &str,
    ) -> Result<Option<String>, StoreError> {
        let (hash, client, now) = (sha256(uri.as_bytes()), client.to_owned(), self.now());
        self.db
            .read(move |tx| {
                tx.row(
                    "SELECT query FROM pushed WHERE hash = ?1 AND client_id = ?2 AND expires_ms >= ?3",
                    values![&hash, &client, now],
                )?
                .map(|row| row.get(0))
                .transpose()
            })
            .await
    }
}
