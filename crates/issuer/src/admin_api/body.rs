//! Reading a request's body and query, and saying what is wrong with them without repeating a secret.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A body of JSON. An empty one is an object without members.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|refused| {
                Problem::new(refused.status(), "the body cannot be read, or is too large")
            })?;
        let kind = kind
            .as_ref()
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim();
        if !bytes.is_empty() && !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON, with the header `Content-Type: application/json`",
            ));
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Body).map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!("the body is not what is expected here: {}", told(&error)),
            )
        })
    }
}

/// What is wrong, and where. The reader's own words may hold a value, which may be a password.
fn told(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let about_names = [
        "unknown field",
        "missing field",
        "duplicate field",
        "unknown variant",
    ];
    if about_names.iter().any(|start| words.starts_with(start)) {
        return words;
    }
    let what = if error.is_data() {
        "a value is of the wrong kind"
    } else {
        "it is no valid JSON"
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}

/// The query.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(read)| Asked(read)).map_err(|refused| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "the query is not what is expected here: {}",
                    refused.body_text()
                ),
            )
        })
    }
}
