//! Answers in the shapes of WordPress and its plugins.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tenure_core::Class;
use tenure_verify::{Refusal, WordpressPlugin};

use crate::error::OAuthError;
use crate::wordpress::{Refused, WordPress};

/// A JSON answer of the REST server. None of these may be kept by a cache.
pub(super) fn rest_json(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    let fixed: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, "application/json; charset=UTF-8"),
        (header::CACHE_CONTROL, "private, no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        (header::VARY, "Origin, Authorization, Cookie, X-WCPOS-Store"),
    ];
    for (name, value) in fixed {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The error body of WordPress's core.
pub(super) fn wp_error(status: StatusCode, code: &str, message: &str) -> Response {
    let data = json!({ "status": status.as_u16() });
    rest_json(
        status,
        &json!({ "code": code, "message": message, "data": data }),
    )
}

/// usefulteam's envelope; `data` is left out of a yes that has none.
pub(super) fn envelope(
    status: StatusCode,
    code: &str,
    message: &str,
    data: Option<Value>,
) -> Response {
    let mut body = json!({
        "success": status.is_success(),
        "statusCode": status.as_u16(),
        "code": code,
        "message": message,
    });
    if let Some(data) = data {
        body["data"] = data;
    }
    rest_json(status, &body)
}

/// 404 for a route that does not exist.
pub(super) fn no_route() -> Response {
    wp_error(
        StatusCode::NOT_FOUND,
        "rest_no_route",
        "No route was found matching the URL and request method.",
    )
}

pub(super) fn bad_json() -> Response {
    let data = json!({ "status": 400, "json_error_code": 4, "json_error_message": "Syntax error" });
    rest_json(
        StatusCode::BAD_REQUEST,
        &json!({ "code": "rest_invalid_json", "message": "Invalid JSON body passed.", "data": data }),
    )
}

/// What core answers where a permission is missing.
pub(super) fn forbidden() -> Response {
    wp_error(
        StatusCode::FORBIDDEN,
        "rest_forbidden",
        "Sorry, you are not allowed to do that.",
    )
}

/// A refused access token, as an API answers it.
pub(super) fn refused(speaks: &WordPress, refused: &Refused) -> Response {
    let refusal = match refused {
        Refused::Token(refusal) => refusal,
        Refused::NoUser => return no_user(speaks),
    };
    let (parts, bytes) = speaks.style().respond(refusal, "").into_parts();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    rest_json(parts.status, &body)
}

fn no_user(speaks: &WordPress) -> Response {
    const CODE: &str = "jwt_auth_bad_request";
    const TEXT: &str = "User ID not found in the token";
    match speaks.plugin {
        WordpressPlugin::Tmeister => wp_error(StatusCode::FORBIDDEN, CODE, TEXT),
        WordpressPlugin::Usefulteam => envelope(
            StatusCode::UNAUTHORIZED,
            CODE,
            &format!("{TEXT}."),
            Some(json!([])),
        ),
        WordpressPlugin::Wcpos => refused(speaks, &Refused::Token(Refusal::Missing)),
    }
}

/// Why nobody is logged in, in WordPress's words.
///
/// WordPress tells a wrong password from a name that nobody has. Here both are one answer: clients act alike on
/// either, and whoever guesses names learns nothing.
pub(super) struct Denied {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Where it is not the dialect's usual one.
    pub(super) status: Option<StatusCode>,
    pub(super) retry_after_s: Option<u64>,
}

impl Denied {
    pub(super) fn empty(what: &'static str) -> Self {
        let (code, message) = match what {
            "username" => (
                "empty_username",
                "<strong>Error:</strong> The username field is empty.",
            ),
            _ => (
                "empty_password",
                "<strong>Error:</strong> The password field is empty.",
            ),
        };
        Self::usual(code, message)
    }

    fn usual(code: &'static str, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
            status: None,
            retry_after_s: None,
        }
    }
}

impl From<OAuthError> for Denied {
    fn from(error: OAuthError) -> Self {
        match error.class {
            Class::LoginRejected => Self::usual(
                "incorrect_password",
                "<strong>Error:</strong> The username or the password you entered is incorrect.",
            ),
            // Only told to who knows the password.
            Class::AccountDisabled => Self::usual(
                "account_disabled",
                "<strong>Error:</strong> The account is disabled.",
            ),
            Class::RateLimited => Self {
                code: "too_many_retries",
                message: format!("<strong>Error:</strong> {}", error.description),
                status: Some(error.status),
                retry_after_s: error.retry_after_s,
            },
            _ => Self {
                code: error.error,
                message: error.description,
                status: Some(error.status),
                retry_after_s: error.retry_after_s,
            },
        }
    }
}

/// Says when to try again.
pub(super) fn retry_after(mut response: Response<Body>, seconds: Option<u64>) -> Response {
    if let Some(seconds) = seconds {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What went wrong on this side, in the shape of WordPress's core.
pub(super) fn failed(error: &OAuthError) -> Response {
    let response = wp_error(error.status, error.error, &error.description);
    retry_after(response, error.retry_after_s)
}
