//! A request as WordPress's REST server reads it.

use axum::body::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use http::{HeaderMap, Method, Uri};
use serde_json::Value;
use tenure_core::Secret;
use url::form_urlencoded;

/// A request that stands for another method: what proxies and clients that know GET and POST only send.
const OVERRIDE: &str = "x-http-method-override";

/// One request to the REST API.
pub(super) struct Rest {
    pub(super) method: Method,
    /// `/jwt-auth/v1/token`, without a slash at its end; `/` for the index.
    pub(super) route: String,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    body: Value,
}

/// The body says that it is JSON and is none.
pub(super) struct BadJson;

impl Rest {
    /// Reads a request; `None` for what does not belong to the REST API.
    pub(super) fn read(
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        body: &Bytes,
    ) -> Option<Result<Self, BadJson>> {
        let query: Vec<(String, String)> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let route = route(uri.path(), &query)?;
        Some(fields(&headers, body).map(|body| Self {
            method: meant(method, &headers, &query),
            route,
            headers,
            query,
            body,
        }))
    }

    /// A parameter of the body. Secrets are read from nowhere else: what stands in an address is logged on the way.
    pub(super) fn param(&self, name: &str) -> Option<Secret> {
        match self.body.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(Secret::new(text.as_str())),
            other => Some(Secret::new(other.to_string())),
        }
    }

    /// A parameter that is no secret, from the body or the query.
    pub(super) fn plain(&self, name: &str) -> Option<String> {
        self.param(name)
            .map(|value| value.expose().to_owned())
            .or_else(|| self.query(name).map(str::to_owned))
    }

    /// A field of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter().rev();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The `Authorization` header. An empty one, which web servers leave behind when they strip it, counts as none.
    pub(super) fn authorization(&self) -> Option<&str> {
        let header = self.headers.get(AUTHORIZATION)?.to_str().ok()?;
        (!header.is_empty()).then_some(header)
    }

    /// A cookie's value.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// Below `/wp-json`, or in `rest_route` where an address has no path of its own.
fn route(path: &str, query: &[(String, String)]) -> Option<String> {
    let asked = query
        .iter()
        .find(|(name, _)| name == "rest_route")
        .map(|(_, route)| route.as_str());
    let route = match (path, asked) {
        ("/" | "/index.php", Some(route)) => route,
        _ => path
            .strip_prefix("/wp-json")
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))?,
    };
    let trimmed = route.trim_matches('/');
    Some(format!("/{trimmed}"))
}

/// The method that is meant, by WordPress's two ways of saying another one in a POST.
fn meant(method: Method, headers: &HeaderMap, query: &[(String, String)]) -> Method {
    match method {
        // The server leaves the body of the answer out.
        Method::HEAD => Method::GET,
        Method::POST => {
            let in_query = query.iter().find(|(name, _)| name == "_method");
            let in_header = headers.get(OVERRIDE).and_then(|value| value.to_str().ok());
            let other = in_query.map(|(_, other)| other.as_str()).or(in_header);
            other
                .and_then(|other| other.to_ascii_uppercase().parse().ok())
                .unwrap_or(Method::POST)
        }
        method => method,
    }
}

/// The fields of a JSON or form body, as an object.
fn fields(headers: &HeaderMap, body: &Bytes) -> Result<Value, BadJson> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match kind.as_str() {
        "application/json" if !body.is_empty() => serde_json::from_slice(body).map_err(|_| BadJson),
        "application/x-www-form-urlencoded" => Ok(form_urlencoded::parse(body)
            .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
            .collect::<serde_json::Map<_, _>>()
            .into()),
        _ => Ok(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, uri: &str, headers: HeaderMap, body: &'static str) -> Option<Rest> {
        let uri = uri.parse().expect("a URI");
        let read = Rest::read(method, &uri, headers, &Bytes::from_static(body.as_bytes()))?;
        Some(read.unwrap_or_else(|BadJson| panic!("no JSON")))
    }

    fn route_of(uri: &str) -> Option<String> {
        read(Method::GET, uri, HeaderMap::new(), "").map(|rest| rest.route)
    }

    #[test]
    fn routes_in_both_spellings() {
        for (uri, route) in [
            ("/wp-json", Some("/")),
            ("/wp-json/", Some("/")),
            ("/wp-json/jwt-auth/v1/token/", Some("/jwt-auth/v1/token")),
            (
                "/?rest_route=/jwt-auth/v1/token",
                Some("/jwt-auth/v1/token"),
            ),
            ("/index.php?rest_route=/", Some("/")),
            ("/", None),
            ("/wp-jsonx", None),
            ("/shop?rest_route=/x", None),
        ] {
            assert_eq!(route_of(uri).as_deref(), route, "{uri}");
        }
    }

    #[test]
    fn parameters_of_both_kinds_of_body_and_no_secret_in_the_query() {
        let kind = |kind: &str| {
            let value = kind.parse().expect("a value");
            HeaderMap::from_iter([(CONTENT_TYPE, value)])
        };
        let json = kind("application/json; charset=utf-8");
        let rest = read(
            Method::POST,
            "/wp-json/x?b=2&c=3",
            json,
            r#"{"a":1,"b":"x"}"#,
        );
        let rest = rest.expect("a route");
        assert_eq!(rest.param("a"), Some(Secret::new("1")));
        assert_eq!(rest.plain("b").as_deref(), Some("x"));
        assert_eq!(rest.plain("c").as_deref(), Some("3"));
        assert_eq!(rest.param("c"), None);
        let form = kind("application/x-www-form-urlencoded");
        let rest = read(Method::POST, "/wp-json/x", form, "a=1+2").expect("a route");
        assert_eq!(rest.param("a"), Some(Secret::new("1 2")));
        let uri = "/wp-json/x".parse().expect("a URI");
        let bad = Rest::read(
            Method::POST,
            &uri,
            kind("application/json"),
            &Bytes::from_static(b"{"),
        );
        assert!(matches!(bad, Some(Err(BadJson))));
    }

    #[test]
    fn another_method_may_stand_in_a_post() {
        let header = HeaderMap::from_iter([(
            http::HeaderName::from_static(OVERRIDE),
            "delete".parse().expect("a value"),
        )]);
        for (method, uri, headers, meant) in [
            (
                Method::POST,
                "/wp-json/x?_method=DELETE",
                HeaderMap::new(),
                Method::DELETE,
            ),
            (Method::POST, "/wp-json/x", header.clone(), Method::DELETE),
            (Method::GET, "/wp-json/x", header, Method::GET),
            (Method::HEAD, "/wp-json/x", HeaderMap::new(), Method::GET),
        ] {
            let rest = read(method, uri, headers, "").expect("a route");
            assert_eq!(rest.method, meant);
        }
    }
}
