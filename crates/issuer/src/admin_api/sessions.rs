//! Sessions.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::Actor;
use super::body::{Asked, Body};
use super::problem::Problem;
use crate::audit::AuditFilter;
use crate::issuer::Issuer;
use crate::json;
use crate::sessions::SessionFilter;

/// The most sessions, or entries of a timeline, in one answer.
pub(super) const MOST: usize = 1_000;

type Issuers = State<Arc<Issuer>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    user: Option<String>,
    client: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(issuer): Issuers,
    Asked(asked): Asked<Filter>,
) -> Result<Response, Problem> {
    let limit = asked.limit.unwrap_or(100).clamp(1, MOST);
    let filter = SessionFilter {
        user: asked.user,
        client: asked.client,
    };
    // One more, to know whether there are more.
    let mut found = issuer.sessions(filter, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let sessions: Vec<_> = found.iter().map(json::session).collect();
    Ok(Json(json!({ "sessions": sessions, "more": more })).into_response())
}

pub(super) async fn show(
    State(issuer): Issuers,
    Path(sid): Path<String>,
) -> Result<Response, Problem> {
    let found = issuer.session(&sid).await?;
    let session = found.ok_or_else(|| Problem::no("session", &sid))?;
    let filter = AuditFilter {
        sid: Some(sid),
        ..AuditFilter::default()
    };
    let mut timeline = issuer.audit(filter, MOST).await?;
    timeline.reverse();
    let mut shown = json::session(&session);
    shown["timeline"] = timeline.iter().map(json::entry).collect();
    Ok(Json(shown).into_response())
}

pub(super) async fn end(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(sid): Path<String>,
) -> Result<Response, Problem> {
    let ended = issuer.admin_from(who).revoke_session(&sid).await?;
    if !ended && issuer.session(&sid).await?.is_none() {
        return Err(Problem::no("session", &sid));
    }
    Ok(Json(json!({ "sessions_ended": usize::from(ended) })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    user: Option<String>,
    client: Option<String>,
    #[serde(default)]
    all: bool,
}

pub(super) async fn revoke(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Body(which): Body<Which>,
) -> Result<Response, Problem> {
    let admin = issuer.admin_from(who);
    let ended = match (which.user, which.client, which.all) {
        (Some(user), None, false) => admin.revoke_user(&user).await?,
        (None, Some(client), false) => {
            let ended = admin.revoke_client(&client).await?;
            if ended == 0 && !issuer.clients().contains(&client) {
                return Err(Problem::no("client", &client));
            }
            ended
        }
        (None, None, true) => admin.revoke_all().await?,
        _ => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "name one of `user`, `client`, and `all`: true",
            ));
        }
    };
    Ok(Json(json!({ "sessions_ended": ended })).into_response())
}
