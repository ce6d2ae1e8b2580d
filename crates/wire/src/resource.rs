//! What an API says about itself: who gives tokens for it, and for what they can be asked (RFC 9728).

use http::{HeaderMap, Method};
use url::Url;

use crate::discovery::{DiscoveryError, body, strings, with_path};
use crate::error::WireError;
use crate::json::string;
use crate::{Request, Response, request};

/// An API's metadata (RFC 9728 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The API: where its tokens go.
    pub resource: Url,
    /// The issuers whose tokens it takes.
    pub authorization_servers: Vec<Url>,
    /// `scopes_supported`; empty when not said.
    pub scopes: Vec<String>,
}

impl Resource {
    /// Whether `url` is this API or something below it. Names of this machine are one: `localhost` is asked, and
    /// 127.0.0.1 answers.
    pub fn covers(&self, url: &Url) -> bool {
        let base = self.resource.path().trim_end_matches('/');
        let below = url.path().strip_prefix(base);
        same_server(&self.resource, url)
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Whether two addresses are of one server: the same origin, or the same port of this machine.
pub fn same_server(a: &Url, b: &Url) -> bool {
    let local = |url: &Url| match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let port = |url: &Url| url.port_or_known_default();
    a.origin() == b.origin()
        || (a.scheme() == b.scheme() && port(a) == port(b) && local(a) && local(b))
}

/// Where the metadata of the API at `resource` lies (§3.1): inserted before the path.
pub fn url(resource: &Url) -> Url {
    let path = resource.path().trim_end_matches('/');
    with_path(
        resource,
        &format!("/.well-known/oauth-protected-resource{path}"),
    )
}

/// A GET for the API itself, without a token: its refusal may say where its metadata is (§5.1).
pub fn get(resource: &Url) -> Result<Request, WireError> {
    let mut request = request::empty("upstream", resource, HeaderMap::new())?;
    *request.method_mut() = Method::GET;
    Ok(request)
}

/// Reads the metadata of an API.
pub fn parse(response: &Response) -> Result<Resource, DiscoveryError> {
    let value = body(response)?;
    let text = string(&value, "resource").ok_or(DiscoveryError::Missing { field: "resource" })?;
    let field = "resource";
    let resource = web(text).ok_or(DiscoveryError::BadUrl { field })?;
    Ok(Resource {
        resource,
        authorization_servers: strings(&value, "authorization_servers")
            .iter()
            .filter_map(|text| web(text))
            .collect(),
        scopes: strings(&value, "scopes_supported"),
    })
}

fn web(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn at(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn read(body: &'static str) -> Result<Resource, DiscoveryError> {
        parse(&http::Response::new(Bytes::from_static(body.as_bytes())))
    }

    #[test]
    fn the_metadata_lies_before_the_path() {
        for (api, place) in [
            ("https://a.example", "/.well-known/oauth-protected-resource"),
            (
                "https://a.example/api/",
                "/.well-known/oauth-protected-resource/api",
            ),
        ] {
            assert_eq!(url(&at(api)).path(), place);
        }
    }

    #[test]
    fn an_api_covers_what_is_below_it_and_nothing_else() {
        let api = read(r#"{"resource":"http://127.0.0.1:80/api","scopes_supported":["orders"]}"#)
            .expect("metadata");
        assert_eq!(api.scopes, ["orders"]);
        for inside in ["http://127.0.0.1/api", "http://localhost/api/orders"] {
            assert!(api.covers(&at(inside)), "{inside}");
        }
        for outside in [
            "http://127.0.0.1/apix",
            "http://localhost:81/api",
            "http://other.example/api",
            "https://127.0.0.1/api",
        ] {
            assert!(!api.covers(&at(outside)), "{outside}");
        }
    }

    #[test]
    fn addresses_that_are_none_are_left_out() {
        let api = read(
            r#"{"resource":"https://a.example","authorization_servers":["javascript:x","https://u:p@id.example","https://id.example"]}"#,
        )
        .expect("metadata");
        assert_eq!(api.authorization_servers, [at("https://id.example")]);
        assert!(read(r#"{"resource":"urn:x"}"#).is_err());
        assert!(read("{}").is_err());
    }
}
