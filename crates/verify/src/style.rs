//! The shapes in which refusals are answered.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::wordpress::{self, Codes, WordpressPlugin};

/// How a refusal looks on the wire.
///
/// The styles other than [`Style::Rfc6750`] repeat what widespread APIs really send, shortcomings included
/// (401 without `WWW-Authenticate`, 403 for an expired token), for servers that must stay compatible with
/// them. When a token cannot be checked all styles answer 503 alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Status, `WWW-Authenticate` and error codes of RFC 6750 §3.
    #[default]
    Rfc6750,
    /// `{"error":"token_expired"}` with 401; also `token_invalid`, `token_missing`, `token_revoked`, and
    /// `insufficient_scope` with 403.
    TokenExpiredJson,
    /// "JWT Authentication for WP REST API": `{code,message,data:{status}}`, always 403.
    WordpressTmeister,
    /// "JWT Auth" 3.x: `{success,statusCode,code,message,data}` with 401, as its `token/validate` answers.
    WordpressUsefulteam,
    /// Simple JWT Login: `{success:false,data:{message,error_code}}` with 401, as its `auth/validate` answers.
    SimpleJwtLogin {
        /// Major version: up to 3 the number is in `errorCode`, since 4 in `error_code`.
        version: u8,
    },
    /// WCPOS: one answer for every reason.
    Wcpos,
    /// The answer of a WordPress plugin with a code for each reason (`jwt_auth_expired_token`,
    /// `jwt_auth_token_revoked`, `jwt_auth_invalid_signature`, …) where the plugin has one for all; of WCPOS the
    /// reason is in `data.reason`. Status and shape stay the plugin's.
    WordpressDistinct(WordpressPlugin),
}

impl Style {
    /// How a WordPress plugin answers, with its own codes or with distinct ones.
    pub fn wordpress(plugin: WordpressPlugin, distinct_codes: bool) -> Self {
        match plugin {
            plugin if distinct_codes => Style::WordpressDistinct(plugin),
            WordpressPlugin::Tmeister => Style::WordpressTmeister,
            WordpressPlugin::Usefulteam => Style::WordpressUsefulteam,
            WordpressPlugin::Wcpos => Style::Wcpos,
        }
    }

    /// The answer to a refused request. `realm` appears in [`Style::Rfc6750`] only.
    pub fn respond(self, refusal: &Refusal, realm: &str) -> Response<Bytes> {
        if let Refusal::Unavailable { retry_after_s } = refusal {
            return unavailable(refusal, *retry_after_s);
        }
        match self {
            Style::Rfc6750 => rfc6750(refusal, realm),
            Style::TokenExpiredJson => token_expired_json(refusal),
            Style::WordpressTmeister => wordpress::tmeister(refusal, Codes::Plugin),
            Style::WordpressUsefulteam => wordpress::usefulteam(refusal, Codes::Plugin),
            Style::SimpleJwtLogin { version } => wordpress::simple_jwt_login(refusal, version),
            Style::Wcpos => wordpress::wcpos(refusal, Codes::Plugin),
            Style::WordpressDistinct(plugin) => match plugin {
                WordpressPlugin::Tmeister => wordpress::tmeister(refusal, Codes::Distinct),
                WordpressPlugin::Usefulteam => wordpress::usefulteam(refusal, Codes::Distinct),
                WordpressPlugin::Wcpos => wordpress::wcpos(refusal, Codes::Distinct),
            },
        }
    }
}

/// A JSON answer that no cache may keep.
pub(crate) fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unavailable(refusal: &Refusal, retry_after_s: u64) -> Response<Bytes> {
    let body =
        json!({"error": "temporarily_unavailable", "error_description": refusal.description()});
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &body);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(retry_after_s.max(1)));
    response
}

fn rfc6750(refusal: &Refusal, realm: &str) -> Response<Bytes> {
    let status = match refusal {
        Refusal::BadRequest(_) => StatusCode::BAD_REQUEST,
        Refusal::InsufficientScope { .. } => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    let realm = format!("Bearer realm=\"{realm}\"");
    let (challenge, mut response) = match (refusal.error(), refusal) {
        // RFC 6750 §3.1: no error information when the request carried no credentials.
        (None, _) => (realm, empty(status)),
        (Some(error), Refusal::InsufficientScope { required }) => {
            let description = refusal.description();
            let scope = scope_list(required);
            let body = json!({"error": error, "error_description": description, "scope": scope});
            let challenge = format!(
                "{realm}, error=\"{error}\", error_description=\"{description}\", scope=\"{scope}\""
            );
            (challenge, answer(status, &body))
        }
        (
            Some(error),
            Refusal::StepUp {
                acr_values,
                max_age_s,
            },
        ) => {
            let description = refusal.description();
            let body = json!({"error": error, "error_description": description});
            let mut challenge =
                format!("{realm}, error=\"{error}\", error_description=\"{description}\"");
            if !acr_values.is_empty() {
                challenge += &parameter("acr_values", &scope_list(acr_values));
            }
            if let Some(seconds) = max_age_s {
                challenge += &parameter("max_age", &seconds.to_string());
            }
            (challenge, answer(status, &body))
        }
        (Some(error), _) => {
            let description = refusal.description();
            let body = json!({"error": error, "error_description": description});
            let challenge =
                format!("{realm}, error=\"{error}\", error_description=\"{description}\"");
            (challenge, answer(status, &body))
        }
    };
    // The realm is checked where it is configured, descriptions are fixed and scopes are filtered; should a
    // challenge be unusable all the same, the bare scheme is still a correct one.
    let challenge = HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"));
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn parameter(name: &str, value: &str) -> String {
    format!(", {name}=\"{value}\"")
}

/// Scopes for a quoted string; characters that no scope may have (RFC 6749 §3.3) are left out.
fn scope_list(scopes: &[String]) -> String {
    let allowed = |c: &char| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~');
    scopes.join(" ").chars().filter(allowed).collect()
}

fn token_expired_json(refusal: &Refusal) -> Response<Bytes> {
    let (status, error) = match refusal {
        Refusal::Missing => (StatusCode::UNAUTHORIZED, "token_missing"),
        Refusal::Revoked => (StatusCode::UNAUTHORIZED, "token_revoked"),
        Refusal::InsufficientScope { .. } => (StatusCode::FORBIDDEN, "insufficient_scope"),
        Refusal::StepUp { .. } => (StatusCode::UNAUTHORIZED, "login_required"),
        other if other.is_expired() => (StatusCode::UNAUTHORIZED, "token_expired"),
        _ => (StatusCode::UNAUTHORIZED, "token_invalid"),
    };
    answer(status, &json!({"error": error}))
}
