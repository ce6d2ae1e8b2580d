//! Users.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tenure_core::Secret;

use super::Actor;
use super::body::Body;
use super::problem::Problem;
use crate::issuer::Issuer;
use crate::json;
use crate::password;

type Issuers = State<Arc<Issuer>>;

pub(super) async fn list(State(issuer): Issuers) -> Result<Response, Problem> {
    let users = issuer.users().await?;
    let users: Vec<_> = users.iter().map(json::user).collect();
    Ok(Json(json!({ "users": users })).into_response())
}

pub(super) async fn show(
    State(issuer): Issuers,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let users = issuer.users().await?;
    let lower = name.to_lowercase();
    let found = users.iter().find(|user| user.name.to_lowercase() == lower);
    let user = found.ok_or_else(|| Problem::no("user", &name))?;
    Ok(Json(json::user(user)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    name: String,
    password: Option<String>,
}

pub(super) async fn add(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Body(asked): Body<NewUser>,
) -> Result<Response, Problem> {
    let made = asked.password.is_none();
    let password = asked.password.map_or_else(password::generate, Secret::new);
    let added = issuer
        .admin_from(who)
        .add_user(&asked.name, &password)
        .await?;
    if !added {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!("there is a user {:?} already", asked.name),
        ));
    }
    let shown = made.then(|| password.expose());
    let done = json!({ "user": asked.name, "password": shown });
    Ok((StatusCode::CREATED, Json(done)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    password: Option<String>,
}

pub(super) async fn set_password(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(name): Path<String>,
    Body(asked): Body<NewPassword>,
) -> Result<Response, Problem> {
    let made = asked.password.is_none();
    let password = asked.password.map_or_else(password::generate, Secret::new);
    let ended = issuer
        .admin_from(who)
        .set_password(&name, &password)
        .await?;
    let shown = made.then(|| password.expose());
    Ok(Json(json!({ "user": name, "password": shown, "sessions_ended": ended })).into_response())
}

pub(super) async fn disable(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    issuer.admin_from(who).set_disabled(&name, true).await?;
    Ok(Json(json!({ "user": name, "disabled": true })).into_response())
}

pub(super) async fn enable(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    issuer.admin_from(who).set_disabled(&name, false).await?;
    Ok(Json(json!({ "user": name, "disabled": false })).into_response())
}
