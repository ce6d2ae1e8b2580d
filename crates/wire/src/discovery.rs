//! Finding out where a server listens: OpenID Connect Discovery, RFC 8414, the WordPress REST index.

use std::fmt;

use http::{HeaderMap, Method};
use serde_json::Value;
use url::Url;

use crate::answer::{Reading, object_within};
use crate::error::WireError;
use crate::json::{find, string};
use crate::server::{Dialect, Server};
use crate::{MAX_BODY, Request, Response, request};

/// Where the metadata of `issuer` may lie, most usual first: OpenID Connect Discovery §4 (appended), RFC 8414
/// §3 (inserted before the path), §5 (OpenID's name, inserted), and RFC 8414's name appended, which is wrong
/// and common.
pub fn urls(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let paths = [
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
        format!("{path}/.well-known/oauth-authorization-server"),
    ];
    let mut urls: Vec<Url> = Vec::new();
    for path in paths {
        let url = with_path(issuer, &path);
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// Where the REST index of a WordPress site may lie: pretty permalinks, then plain ones.
pub fn rest_index_urls(site: &Url) -> Vec<Url> {
    let path = site.path().trim_end_matches('/');
    let mut plain = with_path(site, &format!("{path}/"));
    plain.set_query(Some("rest_route=/"));
    vec![with_path(site, &format!("{path}/wp-json/")), plain]
}

/// The address of a REST route such as `/jwt-auth/v1/token`, at the site whose index is at `index`, in the same
/// spelling: pretty or plain.
pub fn rest_route_url(index: &Url, route: &str) -> Url {
    let mut url = index.clone();
    if index.query().is_some() {
        url.query_pairs_mut()
            .clear()
            .append_pair("rest_route", route);
        return url;
    }
    let root = index.path().trim_end_matches('/').to_owned();
    with_path(&url, &format!("{root}{route}"))
}

pub(crate) fn with_path(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// A GET for one of these addresses.
pub fn get(url: &Url) -> Result<Request, WireError> {
    let mut request = request::empty("issuer", url, HeaderMap::new())?;
    *request.method_mut() = Method::GET;
    Ok(request)
}

/// A POST without a body and without credentials to one of these addresses.
pub fn post(url: &Url) -> Result<Request, WireError> {
    request::empty("issuer", url, HeaderMap::new())
}

/// What an authorization server says about itself (RFC 8414 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its own name for itself.
    pub issuer: String,
    /// Where tokens are got.
    pub token_endpoint: Url,
    /// Where the browser is sent.
    pub authorization_endpoint: Option<Url>,
    /// RFC 8628.
    pub device_authorization_endpoint: Option<Url>,
    /// RFC 7009.
    pub revocation_endpoint: Option<Url>,
    /// RFC 7662.
    pub introspection_endpoint: Option<Url>,
    /// OpenID Connect.
    pub userinfo_endpoint: Option<Url>,
    /// OpenID Connect RP-Initiated Logout.
    pub end_session_endpoint: Option<Url>,
    /// The signing keys.
    pub jwks_uri: Option<Url>,
    /// `grant_types_supported`; empty when not said.
    pub grant_types: Vec<String>,
    /// `token_endpoint_auth_methods_supported`; empty when not said (then RFC 8414 means `client_secret_basic`).
    pub auth_methods: Vec<String>,
    /// `code_challenge_methods_supported`; empty when not said.
    pub pkce_methods: Vec<String>,
    /// `scopes_supported`; empty when not said.
    pub scopes: Vec<String>,
    /// RFC 9207: answers name their issuer.
    pub iss_in_redirect: bool,
    /// `protected_resources` (RFC 9728 §4); empty when not said.
    pub protected_resources: Vec<String>,
    /// `tenure_client`: a client that needs no registration, as Tenure's own server may name one.
    pub open_client: Option<String>,
    /// Every key of the document: some are one kind of server's alone.
    pub keys: Vec<String>,
}

impl Metadata {
    /// A server of the dialect `oauth2` at these addresses.
    pub fn server(&self) -> Server {
        Server {
            issuer: Some(self.issuer.clone()),
            authorization_endpoint: self.authorization_endpoint.clone(),
            device_authorization_endpoint: self.device_authorization_endpoint.clone(),
            revocation_endpoint: self.revocation_endpoint.clone(),
            introspection_endpoint: self.introspection_endpoint.clone(),
            iss_in_redirect: self.iss_in_redirect,
            ..Server::new(Dialect::OAuth2, self.token_endpoint.clone())
        }
    }
}

/// Why an answer is no metadata of that server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Nothing there.
    #[error(
        "no metadata: the server answered with status {status}; check the issuer, or set the endpoints by hand"
    )]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// Not JSON.
    #[error(
        "no metadata: the answer cannot be used ({why}); check the issuer, or set the endpoints by hand"
    )]
    Unusable {
        /// As in [`crate::Unusable`].
        why: &'static str,
    },
    /// The metadata is another issuer's (RFC 8414 §3.3).
    #[error(
        "the metadata is for issuer `{found}`, but `{expected}` was asked: they differ in {part}. If the server is the right one, set issuer = \"{found}\""
    )]
    IssuerMismatch {
        /// As configured.
        expected: String,
        /// As found.
        found: String,
        /// In what they differ.
        part: Difference,
    },
    /// A required field is missing.
    #[error("the answer has no `{field}`; it is not the metadata of an authorization server")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field is no absolute http or https address.
    #[error("`{field}` is not an absolute http(s) address")]
    BadUrl {
        /// The field.
        field: &'static str,
    },
    /// An https issuer names an address without encryption.
    #[error(
        "`{field}` is a plain http address although the issuer uses https; tokens would travel unprotected. The server's metadata must be fixed"
    )]
    Insecure {
        /// The field.
        field: &'static str,
    },
    /// JSON, but no WordPress REST index.
    #[error("the answer is not a WordPress REST index (no `namespaces`)")]
    NotAnIndex,
}

/// In what two issuers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// http and https.
    Scheme,
    /// The host.
    Host,
    /// The port.
    Port,
    /// Only a slash at the end.
    TrailingSlash,
    /// The path.
    Path,
    /// Query, fragment, capital letters, or no address at all.
    Spelling,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Difference::Scheme => "the scheme (http/https)",
            Difference::Host => "the host",
            Difference::Port => "the port",
            Difference::TrailingSlash => "the slash at the end",
            Difference::Path => "the path",
            Difference::Spelling => "the spelling",
        })
    }
}

/// Reads metadata and checks that it is `issuer`'s, character by character (RFC 8414 §3.3). A `{tenantid}`
/// segment, as Entra ID writes it for its shared endpoints, stands for any one segment.
pub fn parse(response: &Response, issuer: &str) -> Result<Metadata, DiscoveryError> {
    let value = body(response)?;
    let found = string(&value, "issuer").ok_or(DiscoveryError::Missing { field: "issuer" })?;
    if let Some(part) = difference(issuer, found) {
        return Err(DiscoveryError::IssuerMismatch {
            expected: issuer.to_owned(),
            found: found.to_owned(),
            part,
        });
    }
    let secure = issuer.starts_with("https:");
    let url = |field: &'static str| endpoint(&value, field, secure);
    Ok(Metadata {
        issuer: found.to_owned(),
        token_endpoint: url("token_endpoint")?.ok_or(DiscoveryError::Missing {
            field: "token_endpoint",
        })?,
        authorization_endpoint: url("authorization_endpoint")?,
        device_authorization_endpoint: url("device_authorization_endpoint")?,
        revocation_endpoint: url("revocation_endpoint")?,
        introspection_endpoint: url("introspection_endpoint")?,
        userinfo_endpoint: url("userinfo_endpoint")?,
        end_session_endpoint: url("end_session_endpoint")?,
        jwks_uri: url("jwks_uri")?,
        grant_types: strings(&value, "grant_types_supported"),
        auth_methods: strings(&value, "token_endpoint_auth_methods_supported"),
        pkce_methods: strings(&value, "code_challenge_methods_supported"),
        scopes: strings(&value, "scopes_supported"),
        iss_in_redirect: value.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
        protected_resources: strings(&value, "protected_resources"),
        open_client: string(&value, "tenure_client").map(str::to_owned),
        keys: value
            .as_object()
            .map(|object| object.keys().cloned().collect())
            .unwrap_or_default(),
    })
}

/// The largest REST index that is read: shops with many plugins list every argument of every route.
pub const MAX_INDEX: usize = 8 * 1024 * 1024;
/// The most routes that are read from one.
pub const MAX_ROUTES: usize = 10_000;

/// One route of a REST index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRoute {
    /// Its path below the REST root, as WordPress writes it: placeholders are regular expressions.
    pub path: String,
    /// Its methods.
    pub methods: Vec<String>,
    /// The names of the arguments it declares.
    pub args: Vec<String>,
}

/// What a WordPress site says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestIndex {
    /// The site's title.
    pub name: String,
    /// The site's address, which is also the `iss` of its tokens.
    pub url: Option<Url>,
    /// The address of its front page.
    pub home: Option<Url>,
    /// What answers under `/wp-json/`.
    pub namespaces: Vec<String>,
    /// What can be called, with its namespace in front (`/jwt-auth/v1/token`). Empty when the site does not tell,
    /// or tells of more than [`MAX_ROUTES`]: then nothing follows from a route that is not in it.
    pub routes: Vec<RestRoute>,
    /// WCPOS's login page.
    pub authentication_wcpos: Option<Url>,
    /// WCPOS: the token is wanted as a parameter.
    pub use_jwt_as_param: bool,
    /// WCPOS's version.
    pub wcpos_version: Option<String>,
}

impl RestIndex {
    /// Whether a namespace such as `jwt-auth/v1` is there.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|found| found == namespace)
    }

    /// Whether a route such as `/jwt-auth/v1/token` is listed.
    pub fn has_route(&self, path: &str) -> bool {
        self.routes.iter().any(|route| route.path == path)
    }

    /// Whether the routes of a namespace are listed, so that one that is not in the list is not there.
    pub fn lists_routes_of(&self, namespace: &str) -> bool {
        self.routes.iter().any(|route| {
            route
                .path
                .strip_prefix('/')
                .and_then(|path| path.strip_prefix(namespace))
                .is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// Reads a WordPress REST index.
pub fn parse_rest_index(response: &Response) -> Result<RestIndex, DiscoveryError> {
    let value = body_within(response, MAX_INDEX)?;
    if !matches!(value.get("namespaces"), Some(Value::Array(_))) {
        return Err(DiscoveryError::NotAnIndex);
    }
    let url = |path: &str| string(&value, path).and_then(|text| Url::parse(text).ok());
    Ok(RestIndex {
        name: string(&value, "name").unwrap_or_default().to_owned(),
        url: url("url"),
        home: url("home"),
        namespaces: strings(&value, "namespaces"),
        routes: routes(&value),
        authentication_wcpos: url("/authentication/wcpos/endpoints/authorization")
            .filter(|url| matches!(url.scheme(), "http" | "https")),
        use_jwt_as_param: match find(&value, "use_jwt_as_param") {
            Some(Value::Bool(set)) => *set,
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            Some(Value::String(text)) => matches!(text.as_str(), "1" | "true" | "yes"),
            _ => false,
        },
        wcpos_version: string(&value, "wcpos_version").map(str::to_owned),
    })
}

/// PHP writes an empty list as `[]`, a filled one as an object.
fn routes(index: &Value) -> Vec<RestRoute> {
    let Some(Value::Object(listed)) = index.get("routes") else {
        return Vec::new();
    };
    if listed.len() > MAX_ROUTES {
        return Vec::new();
    }
    let route = |(path, about): (&String, &Value)| RestRoute {
        path: path.clone(),
        methods: strings(about, "methods"),
        args: about
            .get("endpoints")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|endpoint| endpoint.get("args")?.as_object())
            .flat_map(|args| args.keys().cloned())
            .collect(),
    };
    listed.iter().map(route).collect()
}

pub(crate) fn body(response: &Response) -> Result<Value, DiscoveryError> {
    body_within(response, MAX_BODY)
}

fn body_within(response: &Response, limit: usize) -> Result<Value, DiscoveryError> {
    let status = response.status();
    if !status.is_success() {
        return Err(DiscoveryError::Status {
            status: status.as_u16(),
        });
    }
    object_within(response, Reading::WordPress, limit)
        .map_err(|why| DiscoveryError::Unusable { why })
}

fn endpoint(
    value: &Value,
    field: &'static str,
    secure: bool,
) -> Result<Option<Url>, DiscoveryError> {
    let Some(text) = string(value, field) else {
        return Ok(None);
    };
    let url = Url::parse(text).map_err(|_| DiscoveryError::BadUrl { field })?;
    match url.scheme() {
        "https" => Ok(Some(url)),
        "http" if !secure => Ok(Some(url)),
        "http" => Err(DiscoveryError::Insecure { field }),
        _ => Err(DiscoveryError::BadUrl { field }),
    }
}

pub(crate) fn strings(value: &Value, field: &str) -> Vec<String> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// In what two issuers differ; `None` when they are the same.
pub fn difference(expected: &str, found: &str) -> Option<Difference> {
    if expected == found {
        return None;
    }
    let (Ok(a), Ok(b)) = (Url::parse(expected), Url::parse(found)) else {
        return Some(Difference::Spelling);
    };
    if a.scheme() != b.scheme() {
        return Some(Difference::Scheme);
    }
    if a.host_str() != b.host_str() {
        return Some(Difference::Host);
    }
    if a.port_or_known_default() != b.port_or_known_default() {
        return Some(Difference::Port);
    }
    if same_but_tenant(expected, found) {
        return None;
    }
    if a.path() == b.path() || a.path().trim_end_matches('/') == b.path().trim_end_matches('/') {
        let slash = expected.trim_end_matches('/') == found.trim_end_matches('/');
        return Some(if slash {
            Difference::TrailingSlash
        } else {
            Difference::Spelling
        });
    }
    Some(Difference::Path)
}

fn same_but_tenant(expected: &str, found: &str) -> bool {
    let (expected, found): (Vec<_>, Vec<_>) =
        (expected.split('/').collect(), found.split('/').collect());
    expected.len() == found.len()
        && found.contains(&"{tenantid}")
        && expected
            .iter()
            .zip(&found)
            .all(|(e, f)| e == f || (*f == "{tenantid}" && !e.is_empty()))
}
