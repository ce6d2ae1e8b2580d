//! Signing keys, and lifetimes.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::Actor;
use super::body::Body;
use super::problem::Problem;
use crate::issuer::Issuer;
use crate::json;
use crate::lifetimes::Decided;

type Issuers = State<Arc<Issuer>>;

fn shown(issuer: &Issuer) -> Response {
    let keys: Vec<_> = issuer.key_infos().iter().map(json::key).collect();
    Json(json!({ "keys": keys })).into_response()
}

pub(super) async fn list(State(issuer): Issuers) -> Response {
    shown(&issuer)
}

pub(super) async fn rotate(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
) -> Result<Response, Problem> {
    issuer.admin_from(who).rotate_key().await?;
    Ok(shown(&issuer))
}

pub(super) async fn promote(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
) -> Result<Response, Problem> {
    issuer.admin_from(who).promote_key().await?;
    Ok(shown(&issuer))
}

pub(super) async fn revoke(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(kid): Path<String>,
) -> Result<Response, Problem> {
    issuer.admin_from(who).revoke_key(&kid).await?;
    Ok(shown(&issuer))
}

pub(super) async fn lifetimes(State(issuer): Issuers) -> Response {
    Json(json::lifetimes(&issuer.lifetimes())).into_response()
}

pub(super) async fn decide_lifetimes(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Body(decided): Body<Decided>,
) -> Result<Response, Problem> {
    let now = issuer.admin_from(who).decide_lifetimes(decided).await?;
    Ok(Json(json::lifetimes(&now)).into_response())
}
