//! The HTTP surface.

mod astray;
mod authorize;
mod device;
mod introspect;
mod logout;
mod metadata;
mod pages;
mod par;
mod register;
mod revocations;
mod revoke;
mod token;
mod userinfo;
mod uses;
mod wordpress;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::{get, post};

use crate::error::OAuthError;
use crate::issuer::Issuer;

/// No request of the protocol is larger.
const LARGEST_BODY: usize = 64 * 1024;

pub(crate) fn router(issuer: &Arc<Issuer>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(metadata::document))
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::document),
        )
        .route("/jwks.json", get(metadata::jwks))
        .route("/token", post(token::token))
        .route("/authorize", get(authorize::show).post(authorize::submit))
        .route("/par", post(par::push))
        .route("/logout", get(logout::get).post(logout::post))
        .route("/device_authorization", post(device::begin))
        .route("/device", get(device::show).post(device::submit))
        .route("/register", post(register::register))
        .route("/revoke", post(revoke::revoke))
        .route("/revocations", get(revocations::revocations))
        .route("/uses", post(uses::uses))
        .route("/introspect", post(introspect::introspect))
        .route(
            "/userinfo",
            get(userinfo::userinfo).post(userinfo::userinfo),
        )
        .route("/error-codes/{code}", get(pages::error_code))
        .merge(wordpress::router(issuer))
        .fallback(astray::nothing)
        .method_not_allowed_fallback(astray::wrong_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(Arc::clone(issuer))
}

/// Runs what changes something in a task of its own: a client that hangs up must not stop it halfway (I3).
async fn owned(issuer: &Issuer, work: impl Future<Output = Response> + Send + 'static) -> Response {
    match tokio::spawn(work).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request's task ended before its answer");
            OAuthError::server_error().response(&issuer.pages)
        }
    }
}
