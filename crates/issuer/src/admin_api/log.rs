//! The audit log.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::body::Asked;
use super::problem::Problem;
use super::sessions::MOST;
use crate::audit::{AuditFilter, Head};
use crate::error::IssuerError;
use crate::issuer::Issuer;
use crate::json;

type Issuers = State<Arc<Issuer>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    user: Option<String>,
    session: Option<String>,
    action: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(issuer): Issuers,
    Asked(asked): Asked<Filter>,
) -> Result<Response, Problem> {
    let limit = asked.limit.unwrap_or(50).clamp(1, MOST);
    let filter = AuditFilter {
        sid: asked.session,
        user: asked.user,
        action: asked.action,
    };
    let mut entries = issuer.audit(filter, limit + 1).await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    entries.reverse();
    let entries: Vec<_> = entries.iter().map(json::entry).collect();
    Ok(Json(json!({ "entries": entries, "more": more })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    #[serde(default)]
    after: u64,
}

/// All entries as JSON Lines, oldest first; a failure in the middle breaks the answer off.
pub(super) async fn export(
    State(issuer): Issuers,
    Asked(From { after }): Asked<From>,
) -> Result<Response, Problem> {
    // The first page is read before the answer begins, so that a failure is told as one.
    let first = issuer.audit_after(after).await?;
    let pages = stream::try_unfold((issuer, Some(first)), |(issuer, page)| async move {
        let Some(page) = page else { return Ok(None) };
        let Some(last) = page.last() else {
            return Ok(None);
        };
        let mut lines = String::new();
        for entry in &page {
            lines.push_str(&json::entry(entry).to_string());
            lines.push('\n');
        }
        let next = issuer.audit_after(last.seq).await?;
        Ok::<_, IssuerError>(Some((Bytes::from(lines), (issuer, Some(next)))))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(pages)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Noted {
    head: Option<String>,
}

pub(super) async fn verify(
    State(issuer): Issuers,
    Asked(Noted { head }): Asked<Noted>,
) -> Result<Response, Problem> {
    let noted = match head.as_deref().map(str::parse::<Head>) {
        None => None,
        Some(Ok(head)) => Some(head),
        Some(Err(wrong)) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!("`head`: {wrong}"),
            ));
        }
    };
    let answer = match issuer.verify_audit(noted).await? {
        Ok(head) => json!({ "whole": true, "entries": head.seq, "head": json::head(&head) }),
        Err(broken) => json!({ "whole": false, "problem": broken.to_string() }),
    };
    Ok(Json(answer).into_response())
}
