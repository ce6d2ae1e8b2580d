//! "JWT Authentication for WP REST API": a login, and nothing that renews. Every refusal is a 403, and a bad token is
//! judged on every route, the login among them.

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::json;

use super::Asked;
use super::login::log_in;
use super::reply::{Denied, failed, refused, rest_json, retry_after, wp_error};
use crate::wordpress::Known;

const TOKEN: &str = "/jwt-auth/v1/token";
const VALIDATE: &str = "/jwt-auth/v1/token/validate";

/// Other schemes than Bearer are ignored; the validate route judges for itself.
pub(super) fn before(asked: &Asked) -> Result<Option<Known>, Box<Response>> {
    let bearer = asked
        .rest
        .authorization()
        .is_some_and(|header| header.starts_with("Bearer"));
    if !bearer || asked.rest.route == VALIDATE {
        return Ok(None);
    }
    match asked.judge_bearer() {
        Ok(known) => Ok(Some(known)),
        Err(why) => Err(Box::new(refused(&asked.speaks, &why))),
    }
}

pub(super) async fn route(asked: &Asked) -> Option<Response> {
    if asked.rest.method != Method::POST {
        return None;
    }
    match asked.rest.route.as_str() {
        TOKEN => Some(token(asked).await),
        VALIDATE => Some(validate(asked)),
        _ => None,
    }
}

fn validate(asked: &Asked) -> Response {
    match asked.judge_bearer() {
        Ok(_) => rest_json(
            StatusCode::OK,
            &json!({ "code": "jwt_auth_valid_token", "data": { "status": 200 } }),
        ),
        Err(why) => refused(&asked.speaks, &why),
    }
}

async fn token(asked: &Asked) -> Response {
    let begun = match log_in(asked).await {
        Ok(begun) => begun,
        Err(denied) => return deny(&denied),
    };
    let minted = asked
        .issuer
        .mint_wordpress(&asked.speaks, &begun.login, &begun.family, "");
    match minted {
        Ok(minted) => rest_json(
            StatusCode::OK,
            &json!({
                "token": minted.token.expose(),
                "user_email": begun.user.email,
                "user_nicename": begun.user.slug,
                "user_display_name": begun.user.name,
            }),
        ),
        Err(error) => failed(&error.into()),
    }
}

/// Codes of WordPress's core, as the plugin passes them on.
fn deny(denied: &Denied) -> Response {
    let status = denied.status.unwrap_or(StatusCode::FORBIDDEN);
    let code = format!("[jwt_auth] {}", denied.code);
    retry_after(
        wp_error(status, &code, &denied.message),
        denied.retry_after_s,
    )
}
