//! Whoever comes to an address that is no endpoint, or to one in a wrong way: what stands here, and where to go.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::json;

use super::pages;
use crate::issuer::Issuer;
use crate::lang::Lang;

/// `/`: what this is.
pub(super) async fn root(State(issuer): State<Arc<Issuer>>, headers: HeaderMap) -> Response {
    let text = format!(
        "This is a token server. It gives tokens for {}. Its endpoints are listed at {}. A code that a device shows is \
         typed at {}.",
        issuer.options.audience,
        discovery(&issuer),
        issuer.url("/device"),
    );
    if wants_page(&headers) {
        return pages::message(Lang::En, StatusCode::OK, issuer.id(), &text);
    }
    let mut response = format!("{}\n{text}\n", issuer.id()).into_response();
    forget(&mut response);
    response
}

/// An address that is none.
pub(super) async fn nothing(
    State(issuer): State<Arc<Issuer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let detail = format!(
        "There is nothing at {} on this token server; its endpoints are listed at {}.",
        uri.path(),
        discovery(&issuer)
    );
    told(StatusCode::NOT_FOUND, "Nothing here", &detail, &headers)
}

/// An endpoint that is asked with another method than it has; `Allow` is set by whoever calls this.
pub(super) async fn wrong_method(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let detail = format!(
        "{} is not asked with {method}; `Allow` names what it takes.",
        uri.path()
    );
    told(
        StatusCode::METHOD_NOT_ALLOWED,
        "Not in this way",
        &detail,
        &headers,
    )
}

fn told(status: StatusCode, title: &str, detail: &str, headers: &HeaderMap) -> Response {
    if wants_page(headers) {
        return pages::message(Lang::En, status, title, detail);
    }
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    forget(&mut response);
    response
}

fn forget(response: &mut Response) {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn discovery(issuer: &Issuer) -> String {
    issuer.url("/.well-known/openid-configuration")
}

/// Whether a browser asks.
fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}
