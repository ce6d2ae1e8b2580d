//! Clients.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tenure_core::Secret;
use tenure_jose::JwkSet;

use super::Actor;
use super::body::Body;
use super::problem::Problem;
use crate::client::{ClientRegistration, Grant, fresh_secret};
use crate::clients::ClientInfo;
use crate::issuer::Issuer;
use crate::json;

type Issuers = State<Arc<Issuer>>;

pub(super) async fn list(State(issuer): Issuers) -> Response {
    let clients: Vec<_> = issuer.client_infos().iter().map(json::client).collect();
    Json(json!({ "clients": clients })).into_response()
}

pub(super) async fn show(
    State(issuer): Issuers,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let info = find(&issuer, &id).ok_or_else(|| Problem::no("client", &id))?;
    Ok(Json(json::client(&info)).into_response())
}

fn find(issuer: &Issuer, id: &str) -> Option<ClientInfo> {
    let all = issuer.client_infos();
    all.into_iter().find(|info| info.registration.id == id)
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Proof {
    /// A secret, made here.
    #[default]
    Secret,
    /// Keys of its own (`keys`).
    Keys,
    /// None.
    Public,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewClient {
    id: String,
    name: Option<String>,
    #[serde(default)]
    proof: Proof,
    keys: Option<JwkSet>,
    grants: Option<Vec<String>>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    logout_uris: Vec<String>,
    backchannel_logout_uri: Option<String>,
    #[serde(default)]
    backchannel_logout_session_required: bool,
    #[serde(default)]
    dpop: bool,
    #[serde(default)]
    par: bool,
    #[serde(default = "yes")]
    rotate: bool,
}

fn yes() -> bool {
    true
}

fn unprocessable(why: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why)
}

pub(super) async fn add(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Body(asked): Body<NewClient>,
) -> Result<Response, Problem> {
    if find(&issuer, &asked.id).is_some() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!("there is a client {:?} already", asked.id),
        ));
    }
    let unknown = asked.scopes.iter().find(|scope| !issuer.knows_scope(scope));
    if let Some(unknown) = unknown {
        return Err(unprocessable(format!(
            "`scopes`: the issuer has no scope {unknown:?}"
        )));
    }
    let registration = registration(asked)?;
    let (id, secret) = (registration.id.clone(), registration.secret.clone());
    issuer.admin_from(who).ensure_client(registration).await?;
    let info = find(&issuer, &id).ok_or_else(|| Problem::no("client", &id))?;
    let mut made = json::client(&info);
    made["secret"] = secret.as_ref().map(Secret::expose).into();
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

fn registration(asked: NewClient) -> Result<ClientRegistration, Problem> {
    let name = asked.name.unwrap_or_else(|| asked.id.clone());
    let mut client = match (asked.proof, asked.keys) {
        (Proof::Secret, None) => ClientRegistration::confidential(asked.id, name, fresh_secret()),
        (Proof::Keys, Some(keys)) => ClientRegistration {
            keys: Some(keys),
            grants: vec![Grant::ClientCredentials],
            ..ClientRegistration::public(asked.id, name)
        },
        (Proof::Public, None) => ClientRegistration::public(asked.id, name),
        (Proof::Keys, None) => {
            return Err(unprocessable(
                "`proof` is \"keys\", so `keys` must be the client's key set (RFC 7517)",
            ));
        }
        (_, Some(_)) => {
            return Err(unprocessable("`keys` go with `proof`: \"keys\" only"));
        }
    };
    if let Some(words) = asked.grants {
        client.grants = words
            .iter()
            .map(|word| grant(word))
            .collect::<Result<_, _>>()?;
    }
    client.scopes = asked.scopes;
    client.redirect_uris = asked.redirect_uris;
    client.post_logout_redirect_uris = asked.logout_uris;
    client.backchannel_logout_uri = asked.backchannel_logout_uri;
    client.backchannel_logout_session_required = asked.backchannel_logout_session_required;
    client.dpop_bound = asked.dpop;
    client.par_required = asked.par;
    client.rotate = asked.rotate;
    Ok(client)
}

fn grant(word: &str) -> Result<Grant, Problem> {
    let found = Grant::ALL
        .into_iter()
        .find(|known| json::grant(*known) == word);
    found.ok_or_else(|| {
        let known = Grant::ALL.map(json::grant).join(", ");
        unprocessable(format!("`grants`: there is no {word:?}; there are {known}"))
    })
}

pub(super) async fn new_secret(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let secret = fresh_secret();
    issuer
        .admin_from(who)
        .set_client_secret(&id, secret.clone())
        .await?;
    Ok(Json(json!({ "client": id, "secret": secret.expose() })).into_response())
}

pub(super) async fn remove(
    State(issuer): Issuers,
    Extension(Actor(who)): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let ended = issuer.admin_from(who).remove_client(&id).await?;
    Ok(Json(json!({ "client": id, "sessions_ended": ended })).into_response())
}
