//! The administrators' HTTP API: what `tenure issuer` does on the machine, for consoles and programs.
//!
//! It is served on an address of its own (`Issuer::admin_router`), never beside the protocol. A token in the
//! `Authorization` header is the only way in: there is no cookie, so no page of another origin can act for anybody.

mod accounts;
mod body;
mod clients;
mod door;
mod keys;
mod log;
mod problem;
mod sessions;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde_json::json;

use self::problem::Problem;
use crate::audit::Who;
use crate::issuer::Issuer;

/// How the API is described (OpenAPI 3.1).
const DESCRIPTION: &str = include_str!("../../../../docs/issuer-admin-openapi.json");
/// No request is larger.
const LARGEST_BODY: usize = 64 * 1024;

/// Who acts; put into a request by the door.
#[derive(Clone)]
struct Actor(Who);

impl Issuer {
    /// The administrators' API. Serve it with connection info, on an address that only administrators reach.
    pub fn admin_router(self: &Arc<Self>) -> Router {
        let inside = Router::new()
            .route("/admin/v1/logout", post(door::logout))
            .route("/admin/v1/issuer", get(about))
            .route(
                "/admin/v1/lifetimes",
                get(keys::lifetimes).put(keys::decide_lifetimes),
            )
            .route("/admin/v1/users", get(accounts::list).post(accounts::add))
            .route("/admin/v1/users/{name}", get(accounts::show))
            .route(
                "/admin/v1/users/{name}/password",
                put(accounts::set_password),
            )
            .route("/admin/v1/users/{name}/disable", post(accounts::disable))
            .route("/admin/v1/users/{name}/enable", post(accounts::enable))
            .route("/admin/v1/clients", get(clients::list).post(clients::add))
            .route(
                "/admin/v1/clients/{id}",
                get(clients::show).delete(clients::remove),
            )
            .route("/admin/v1/clients/{id}/secret", post(clients::new_secret))
            .route("/admin/v1/sessions", get(sessions::list))
            .route("/admin/v1/sessions/revoke", post(sessions::revoke))
            .route(
                "/admin/v1/sessions/{sid}",
                get(sessions::show).delete(sessions::end),
            )
            .route("/admin/v1/keys", get(keys::list).post(keys::rotate))
            .route("/admin/v1/keys/promote", post(keys::promote))
            .route("/admin/v1/keys/{kid}", delete(keys::revoke))
            .route("/admin/v1/audit", get(log::list))
            .route("/admin/v1/audit/export", get(log::export))
            .route("/admin/v1/audit/verify", get(log::verify))
            .route("/admin/v1/administrators", get(door::list).post(door::add))
            .route("/admin/v1/administrators/{name}", delete(door::remove))
            .route("/admin/v1/administrators/{name}/reset", post(door::reset))
            .route(
                "/admin/v1/administrators/{name}/tokens",
                post(door::make_token),
            )
            .layer(from_fn_with_state(Arc::clone(self), door::keep));
        Router::new()
            .merge(inside)
            .route("/admin/v1/login", post(door::login))
            .route("/admin/v1/openapi.json", get(description))
            .fallback(nothing)
            .method_not_allowed_fallback(wrong_method)
            .layer(axum::middleware::map_response(private))
            .layer(DefaultBodyLimit::max(LARGEST_BODY))
            .with_state(Arc::clone(self))
    }
}

async fn description() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, DESCRIPTION).into_response()
}

/// What this issuer is, and what this process answered so far.
async fn about(State(issuer): State<Arc<Issuer>>) -> Response {
    let options = &issuer.options;
    let stats = issuer.stats();
    Json(json!({
        "issuer": issuer.id(),
        "version": env!("CARGO_PKG_VERSION"),
        "audience": options.audience,
        "scopes": options.scopes,
        "signing_alg": options.signing_alg.as_str(),
        "wordpress": options.wordpress.map(|speaks| speaks.client_id()),
        "lifetimes": crate::json::lifetimes(&issuer.lifetimes()),
        "since_start": {
            "logins": stats.logins,
            "rotations": stats.rotations,
            "retries": stats.retries,
            "refused": stats.refused,
            "kills": stats.kills,
        },
    }))
    .into_response()
}

async fn nothing(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!(
            "there is nothing at {}; /admin/v1/openapi.json names what there is",
            uri.path()
        ),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} is not asked with {method}; `Allow` names what it takes",
            uri.path()
        ),
    )
}

/// Answers hold names, addresses and fresh secrets.
async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
