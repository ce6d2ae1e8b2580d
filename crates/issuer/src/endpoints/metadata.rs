//! Discovery (OpenID Connect Discovery §3, RFC 8414 §2) and the key set.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use url::Url;

use crate::client::Grant;
use crate::dpop::PROOF_ALGS;
use crate::issuer::{ACR_PASSWORD, Issuer};
use crate::keys::KeyState;
use crate::scope;

/// How long the discovery document may be cached, in seconds.
const DOCUMENT_MAX_AGE_S: u64 = 300;

pub(super) async fn document(State(issuer): State<Arc<Issuer>>) -> Response {
    let mut scopes: Vec<&str> = scope::BUILT_IN.to_vec();
    scopes.extend(issuer.options.scopes.iter().map(String::as_str));
    let authentication = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "none",
    ];
    let confidential = &authentication[..3];
    let algorithms = ["ES256", "ES384", "RS256", "PS256", "EdDSA"];
    let mut body = json!({
        "issuer": issuer.id(),
        "authorization_endpoint": issuer.url("/authorize"),
        "token_endpoint": issuer.url("/token"),
        "jwks_uri": issuer.url("/jwks.json"),
        "userinfo_endpoint": issuer.url("/userinfo"),
        "revocation_endpoint": issuer.url("/revoke"),
        "pushed_authorization_request_endpoint": issuer.url("/par"),
        "require_pushed_authorization_requests": false,
        "end_session_endpoint": issuer.url("/logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "introspection_endpoint": issuer.url("/introspect"),
        "tenure_revocations_endpoint": issuer.url("/revocations"),
        "device_authorization_endpoint": issuer.url("/device_authorization"),
        "scopes_supported": scopes,
        "ui_locales_supported": ["en", "nl"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": Grant::ALL.map(Grant::as_str),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": signing(&issuer),
        "token_endpoint_auth_methods_supported": authentication,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": authentication,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": PROOF_ALGS,
        "authorization_response_iss_parameter_supported": true,
        "acr_values_supported": [ACR_PASSWORD],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "nonce", "at_hash", "sid", "name", "preferred_username"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        // How `tenure init` knows this server, whatever its address.
        "tenure_version": env!("CARGO_PKG_VERSION"),
    });
    if issuer.options.rotation.use_visible {
        body["tenure_first_uses_endpoint"] = issuer.url("/uses").into();
    }
    if issuer.options.registration {
        body["registration_endpoint"] = issuer.url("/register").into();
    }
    if let Some(client) = &issuer.options.open_client {
        body["tenure_client"] = json!(client);
    }
    if is_address(&issuer.options.audience) {
        // RFC 9728 §4.
        body["protected_resources"] = json!([issuer.options.audience]);
    }
    if issuer.options.wordpress.is_some() {
        // Whoever speaks a plugin's dialect finds it here, where both are offered.
        body["tenure_wordpress_rest_index"] = issuer.url("/wp-json/").into();
    }
    cached(body, DOCUMENT_MAX_AGE_S)
}

/// The algorithms a token of this issuer may be signed with: those of its published keys, the one it turns over to
/// among them.
fn signing(issuer: &Issuer) -> Vec<&'static str> {
    let mut algs = vec![issuer.options.signing_alg.as_str()];
    for key in issuer.key_infos() {
        let alg = key.alg.as_str();
        if key.state != KeyState::Revoked && !algs.contains(&alg) {
            algs.push(alg);
        }
    }
    algs
}

/// Whether the audience is an API's address, and not only a name.
fn is_address(audience: &str) -> bool {
    Url::parse(audience).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

pub(super) async fn jwks(State(issuer): State<Arc<Issuer>>) -> Response {
    cached(json!(issuer.keys()), issuer.options.jwks_max_age_s)
}

fn cached(body: Value, max_age_s: u64) -> Response {
    let mut response = axum::Json(body).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("public, max-age={max_age_s}")) {
        response.headers_mut().insert(header::CACHE_CONTROL, value);
    }
    response
}
