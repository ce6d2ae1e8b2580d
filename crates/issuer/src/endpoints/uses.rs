//! `POST /uses`: APIs report which generations of which sessions they saw in use.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;

use super::astray;
use crate::error::OAuthError;
use crate::families;
use crate::issuer::Issuer;
use crate::params::Params;
use crate::peer::Peer;
use crate::refresh_token::FamilyId;

/// More in one report are refused.
const MOST: usize = 1_000;

#[derive(Deserialize)]
struct Report {
    /// `sid` and generation.
    uses: Vec<(String, u64)>,
}

pub(super) async fn uses(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !issuer.options.rotation.use_visible {
        return astray::nothing(State(issuer), uri, headers).await;
    }
    match answer(&issuer, &headers, &body, &peer).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.response(&issuer.pages),
    }
}

async fn answer(
    issuer: &Issuer,
    headers: &HeaderMap,
    body: &[u8],
    peer: &Peer,
) -> Result<(), OAuthError> {
    let client = issuer
        .authenticate(headers, &Params::default(), peer.text().as_deref())
        .await?;
    if !client.is_confidential() {
        // A false report would take the benefit of the doubt from somebody whose reply is lost.
        return Err(OAuthError::invalid_client(
            "Only clients that authenticate may report uses.",
        ));
    }
    let report: Report = serde_json::from_slice(body).map_err(|_| {
        OAuthError::invalid_request("The body must be {\"uses\": [[SID, GENERATION], …]}.")
    })?;
    if report.uses.len() > MOST {
        return Err(OAuthError::invalid_request(format!(
            "A report has at most {MOST} uses."
        )));
    }
    let uses = report
        .uses
        .iter()
        .filter_map(|(sid, generation)| Some((FamilyId::parse(sid)?, *generation)))
        .collect();
    families::confirm_all(&issuer.db, uses).await?;
    Ok(())
}
