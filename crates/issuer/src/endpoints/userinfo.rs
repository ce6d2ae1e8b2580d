//! `/userinfo` (OpenID Connect Core §5.3), with the errors of RFC 6750 §3.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tenure_core::{Class, Code, Heal};
use tenure_jose::{Peek, Reason};

use crate::access::Refused;
use crate::dpop::PROOF_ALGS;
use crate::error::OAuthError;
use crate::families;
use crate::issuer::Issuer;
use crate::refresh_token::FamilyId;
use crate::scope;

pub(super) async fn userinfo(
    State(issuer): State<Arc<Issuer>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    match answer(&issuer, &method, &headers).await {
        Ok(body) => {
            let mut response = axum::Json(body).into_response();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            let by_proof = matches!(presented(&headers), Some((Scheme::Dpop, _)));
            refusal(&issuer, &error, by_proof)
        }
    }
}

/// RFC 6750 §3: the error also stands in the challenge; a request without a token gets a bare one. RFC 9449 §7.1: in the
/// scheme that was used.
fn refusal(issuer: &Issuer, error: &OAuthError, by_proof: bool) -> Response {
    let mut response = error.response(&issuer.pages);
    let challenge = match (error.class, error.status.is_server_error()) {
        (_, true) => return response,
        (Class::AccessMissing, _) => "Bearer realm=\"tenure\"".to_owned(),
        _ if by_proof => format!(
            "DPoP error=\"{}\", error_description=\"{}\", algs=\"{}\"",
            error.error,
            error.description,
            PROOF_ALGS.join(" ")
        ),
        _ => format!(
            "Bearer realm=\"tenure\", error=\"{}\", error_description=\"{}\"",
            error.error, error.description
        ),
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn invalid_token(
    code: Code,
    class: Class,
    heal: Heal,
    description: impl Into<String>,
) -> OAuthError {
    OAuthError {
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_token",
        description: description.into(),
        code: Some(code),
        class,
        heal,
        subtype: None,
        retry_after_s: None,
        dpop_nonce: None,
    }
}

fn refused(reason: &Refused) -> OAuthError {
    match reason {
        Refused::Revoked => invalid_token(
            Code::AccessTokenRevoked,
            Class::AccessRevoked,
            Heal::Relogin,
            "The access token was revoked.",
        ),
        Refused::Invalid(Reason::Expired { by_s }) => invalid_token(
            Code::TokenExpired,
            Class::AccessExpired,
            Heal::Refresh,
            format!("The access token expired {by_s} s ago."),
        ),
        Refused::Invalid(Reason::UnknownKey { .. }) => invalid_token(
            Code::SigningKeyChanged,
            Class::KeyMismatch,
            Heal::Refresh,
            "The access token was signed with a key that is not in use.",
        ),
        Refused::Invalid(Reason::WrongIssuer { .. }) => invalid_token(
            Code::WrongServer,
            Class::WrongIssuer,
            Heal::FixConfig,
            "The access token is another server's.",
        ),
        Refused::Invalid(_) => invalid_token(
            Code::TokenInvalid,
            Class::AccessInvalid,
            Heal::Refresh,
            "The access token is not valid.",
        ),
    }
}

async fn answer(
    issuer: &Issuer,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Value, OAuthError> {
    let (scheme, text) = presented(headers).ok_or_else(|| {
        invalid_token(
            Code::AuthRequired,
            Class::AccessMissing,
            Heal::Relogin,
            "The request carries no access token.",
        )
    })?;
    let token = issuer
        .open_access(text)
        .map_err(|reason| refused(&reason))?;
    check_binding(issuer, method, headers, scheme, text, &token).await?;
    if !token
        .text("scope")
        .is_some_and(|scope| scope::has(scope, "openid"))
    {
        return Err(OAuthError {
            status: StatusCode::FORBIDDEN,
            error: "insufficient_scope",
            ..invalid_token(
                Code::InsufficientPermissions,
                Class::InsufficientScope,
                Heal::RequestScope,
                "The access token lacks the scope openid.",
            )
        });
    }
    let user_id = token.sub().unwrap_or_default();
    let name = issuer
        .user_name(user_id)
        .await?
        .ok_or_else(|| refused(&Refused::Revoked))?;
    if let (Some(family), Some(generation)) = (
        token.text("sid").and_then(FamilyId::parse),
        token.claims.get("generation").and_then(Value::as_u64),
    ) {
        families::confirm(&issuer.db, family, generation).await?;
    }
    Ok(json!({ "sub": user_id, "name": name, "preferred_username": name }))
}

/// How a token is presented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// RFC 9449 §7: a bound token needs its proof, and only a bound token may come with one.
async fn check_binding(
    issuer: &Issuer,
    method: &Method,
    headers: &HeaderMap,
    scheme: Scheme,
    text: &str,
    token: &Peek,
) -> Result<(), OAuthError> {
    let bound = token
        .claims
        .get("cnf")
        .and_then(|cnf| cnf.get("jkt"))
        .and_then(Value::as_str);
    let wrong = |why| {
        Err(invalid_token(
            Code::TokenInvalid,
            Class::AccessInvalid,
            Heal::FixConfig,
            why,
        ))
    };
    match (scheme, bound) {
        (Scheme::Bearer, None) => Ok(()),
        (Scheme::Bearer, Some(_)) => {
            wrong("The access token is bound to a key; send it with the DPoP scheme and a proof.")
        }
        (Scheme::Dpop, None) => wrong("The access token is not bound to a key; send it as Bearer."),
        (Scheme::Dpop, Some(bound)) => {
            let proven = issuer
                .proven_key(headers, method, "/userinfo", Some(text))
                .await
                .map_err(|error| OAuthError {
                    status: StatusCode::UNAUTHORIZED,
                    ..error
                })?;
            if proven.as_deref() == Some(bound) {
                Ok(())
            } else {
                wrong("The DPoP proof is missing or made with another key than the token's.")
            }
        }
    }
}

fn presented(headers: &HeaderMap) -> Option<(Scheme, &str)> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    let scheme = if scheme.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else {
        return None;
    };
    Some((scheme, token.trim()))
}
