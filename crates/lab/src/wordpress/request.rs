//! A request as WordPress sees it, and the answers of its REST server.

use std::collections::HashMap;

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::record::form_field;
use crate::reply::{self, Reply};

/// One request, its body read.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// `/jwt-auth/v1/token`; `None` for a page outside the REST API.
    pub(crate) route: Option<String>,
    pub(crate) headers: HeaderMap,
    /// Fields of a form body (what PHP calls `$_POST`).
    pub(crate) form: HashMap<String, String>,
    json: Value,
}

impl Rest {
    pub(crate) async fn read(request: Request<Body>) -> Rest {
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let content_type = parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (mut form, mut json) = (HashMap::new(), Value::Null);
        if content_type.starts_with("application/json") {
            json = serde_json::from_slice(&body).unwrap_or_default();
        } else if content_type.starts_with("application/x-www-form-urlencoded") {
            form = url::form_urlencoded::parse(&body).into_owned().collect();
        }
        Rest {
            route: route(&parts.uri),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            form,
            json,
        }
    }

    /// A parameter, in the order of WordPress: JSON body, form body, query.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        let in_json = self
            .json
            .get(name)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), Into::into));
        in_json
            .or_else(|| self.form.get(name).cloned())
            .or_else(|| self.query(name))
    }

    /// A field of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        form_field(self.uri.query().unwrap_or_default().as_bytes(), name)
    }

    /// The body as an order: JSON, or the form as an object.
    pub(crate) fn order(&self) -> Value {
        if self.json.is_null() {
            json!(self.form)
        } else {
            self.json.clone()
        }
    }

    /// The `Authorization` header; an empty one counts as absent.
    pub(crate) fn authorization(&self) -> Option<&str> {
        let header = self.headers.get(AUTHORIZATION)?.to_str().ok()?;
        (!header.is_empty()).then_some(header)
    }

    /// A cookie's value.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self
            .headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut pairs = cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    }

    /// Whether this is `method` on a REST route.
    pub(crate) fn is(&self, method: &Method, route: &str) -> bool {
        self.method == *method && self.route.as_deref() == Some(route)
    }
}

/// The REST route of a URI: below `/wp-json`, or in `rest_route`. Without a slash at the end, `/` for the index.
pub(crate) fn route(uri: &Uri) -> Option<String> {
    let asked = form_field(uri.query().unwrap_or_default().as_bytes(), "rest_route");
    let route = match (uri.path(), asked) {
        ("/" | "/index.php", Some(route)) => route,
        (path, _) => path
            .strip_prefix("/wp-json")
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))?
            .to_owned(),
    };
    let trimmed = route.trim_end_matches('/');
    Some(if trimmed.is_empty() {
        "/".to_owned()
    } else {
        trimmed.to_owned()
    })
}

/// A JSON answer of the REST server.
pub(crate) fn rest_json(status: u16, body: &Value) -> Reply {
    let reply = reply::reply(status, "application/json; charset=UTF-8", body.to_string());
    let reply = reply::with(reply, "x-robots-tag", "noindex");
    let reply = reply::with(reply, "x-content-type-options", "nosniff");
    reply::with(
        reply,
        "access-control-expose-headers",
        "X-WP-Total, X-WP-TotalPages, Link",
    )
}

/// The error body of WordPress's core: `{code, message, data: {status}}`.
pub(crate) fn wp_error(status: u16, code: &str, message: &str) -> Reply {
    rest_json(
        status,
        &json!({ "code": code, "message": message, "data": { "status": status } }),
    )
}

/// 404 for a route that does not exist.
pub(crate) fn no_route() -> Reply {
    wp_error(
        404,
        "rest_no_route",
        "No route was found matching the URL and request method.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_route_in_both_spellings() {
        let at = |uri: &str| route(&uri.parse().expect("a URI"));
        assert_eq!(
            at("/wp-json/jwt-auth/v1/token/?a=b").as_deref(),
            Some("/jwt-auth/v1/token")
        );
        assert_eq!(
            at("/?rest_route=/jwt-auth/v1/token").as_deref(),
            Some("/jwt-auth/v1/token")
        );
        assert_eq!(at("/wp-json/").as_deref(), Some("/"));
        assert_eq!(at("/wp-jsonx"), None);
        assert_eq!(at("/shop?rest_route=/x"), None);
    }
}
