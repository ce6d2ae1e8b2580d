//! Building answers.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

/// An answer as the lab's servers give it.
pub(crate) type Reply = Response<Body>;

/// An answer with a content type and a body. Panics on a status outside 100..=999.
pub(crate) fn reply(status: u16, content_type: &str, body: impl Into<Body>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() =
        StatusCode::from_u16(status).expect("a test gives a status between 100 and 999");
    with(reply, CONTENT_TYPE.as_str(), content_type)
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: &Value) -> Reply {
    reply(status, "application/json", body.to_string())
}

/// A JSON answer of a token endpoint: never cached (RFC 6749 §5.1).
pub(crate) fn token_json(status: u16, body: &Value) -> Reply {
    with(json(status, body), CACHE_CONTROL.as_str(), "no-store")
}

/// A redirect (302).
pub(crate) fn redirect(to: &str) -> Reply {
    with(reply(302, "text/plain", ""), "location", to)
}

/// Adds a header. Panics on a name or value HTTP does not allow.
pub(crate) fn with(mut reply: Reply, name: &str, value: &str) -> Reply {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("a test gives a valid header name");
    let value = HeaderValue::from_str(value).expect("a test gives a valid header value");
    if name == CONTENT_TYPE {
        reply.headers_mut().insert(name, value);
    } else {
        reply.headers_mut().append(name, value);
    }
    reply
}
