//! How a profile says what gives its kind of server away.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use url::Url;

use super::parse::Place;

/// How to tell that a server is of this kind: any one sign of `issuer_…` and `metadata_keys` is enough. Of the
/// kinds that share a namespace of a WordPress REST API, routes and an answer tell which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognise {
    /// Hosts of the issuer: exact, or a suffix written with a leading dot (`.okta.com`).
    pub issuer_hosts: Vec<String>,
    /// Parts of the issuer's path, e.g. `/realms/`.
    pub issuer_path: Vec<String>,
    /// Namespaces in the index of a WordPress REST API.
    pub rest_namespaces: Vec<String>,
    /// Routes that this kind has and the others of its namespace have not; all of them.
    pub rest_routes: Vec<String>,
    /// Routes that this kind has not, and others of its namespace have.
    pub rest_routes_missing: Vec<String>,
    /// What it answers to a request that carries nothing and changes nothing.
    pub rest_answer: Option<RestAnswer>,
    /// Where several kinds fit, the lower is taken.
    pub rank: u8,
    /// Keys that only this server's discovery document has.
    pub metadata_keys: Vec<String>,
}

impl Default for Recognise {
    fn default() -> Self {
        Self {
            issuer_hosts: Vec::new(),
            issuer_path: Vec::new(),
            rest_namespaces: Vec::new(),
            rest_routes: Vec::new(),
            rest_routes_missing: Vec::new(),
            rest_answer: None,
            rank: RANK,
            metadata_keys: Vec::new(),
        }
    }
}

/// The rank of a profile that names none.
const RANK: u8 = 100;

/// A harmless question and how this kind of server answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestAnswer {
    /// Whether it is asked with POST, not GET.
    pub post: bool,
    /// The route asked, without a token and without a body.
    pub route: String,
    /// JSON pointers that are in the answer, each alone or with the text found there: `/code=jwt_auth_no_auth_header`.
    pub has: Vec<String>,
    /// JSON pointers that are not.
    pub lacks: Vec<String>,
}

impl RestAnswer {
    /// Whether a body is this kind's answer.
    pub fn fits(&self, body: &Value) -> bool {
        let there = |sign: &String| match sign.split_once('=') {
            Some((pointer, text)) => body.pointer(pointer).and_then(Value::as_str) == Some(text),
            None => body.pointer(sign).is_some(),
        };
        self.has.iter().all(there) && !self.lacks.iter().any(there)
    }

    /// Its method, as it is written on the wire.
    pub fn method(&self) -> &'static str {
        if self.post { "POST" } else { "GET" }
    }
}

impl Recognise {
    /// Whether the issuer's URL gives this kind of server away.
    pub fn issuer(&self, issuer: &Url) -> bool {
        let host = issuer.host_str().unwrap_or_default();
        let by_host = self.issuer_hosts.iter().any(|want| {
            want.strip_prefix('.').map_or(host == want, |bare| {
                host == bare || host.ends_with(want.as_str())
            })
        });
        by_host
            || self
                .issuer_path
                .iter()
                .any(|part| issuer.path().contains(part.as_str()))
    }

    /// The key of a discovery document that gives this kind of server away.
    pub fn metadata<S: AsRef<str>>(&self, keys: &[S]) -> Option<&str> {
        let there = |want: &&String| keys.iter().any(|key| key.as_ref() == want.as_str());
        self.metadata_keys.iter().find(there).map(String::as_str)
    }

    /// Whether the index of a WordPress REST API gives this kind of server away.
    pub fn namespaces<S: AsRef<str>>(&self, found: &[S]) -> bool {
        found.iter().any(|name| {
            self.rest_namespaces
                .iter()
                .any(|want| want == name.as_ref())
        })
    }

    /// Whether the routes of an index speak for this kind (`has` tells whether one is listed).
    pub fn routes(&self, has: impl Fn(&str) -> bool) -> bool {
        self.rest_routes.iter().all(|route| has(route))
            && !self.rest_routes_missing.iter().any(|route| has(route))
    }
}

/// The table as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecognise {
    #[serde(default)]
    issuer_hosts: Vec<String>,
    #[serde(default)]
    issuer_path: Vec<String>,
    #[serde(default)]
    rest_namespaces: Vec<String>,
    #[serde(default)]
    rest_routes: Vec<Spanned<String>>,
    #[serde(default)]
    rest_routes_missing: Vec<Spanned<String>>,
    rest_answer: Option<Spanned<RawAnswer>>,
    rank: Option<u8>,
    #[serde(default)]
    metadata_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    method: Spanned<String>,
    route: Spanned<String>,
    #[serde(default)]
    has: Vec<Spanned<String>>,
    #[serde(default)]
    lacks: Vec<Spanned<String>>,
}

impl RawRecognise {
    /// The signs; what is wrong with them is noted.
    pub(super) fn check(self, at: &Place<'_>) -> Recognise {
        let namespaces = &self.rest_namespaces;
        let list = |key: &str, routes: Vec<Spanned<String>>| {
            routes
                .into_iter()
                .map(|found| route(key, found, namespaces, at))
                .collect()
        };
        Recognise {
            rest_routes: list("rest_routes", self.rest_routes),
            rest_routes_missing: list("rest_routes_missing", self.rest_routes_missing),
            rest_answer: self.rest_answer.map(|raw| answer(raw, namespaces, at)),
            issuer_hosts: self.issuer_hosts,
            issuer_path: self.issuer_path,
            rest_namespaces: self.rest_namespaces,
            rank: self.rank.unwrap_or(RANK),
            metadata_keys: self.metadata_keys,
        }
    }
}

/// A route below one of the profile's namespaces.
fn route(key: &str, found: Spanned<String>, namespaces: &[String], at: &Place<'_>) -> String {
    let below = |path: &str| {
        namespaces.iter().any(|namespace| {
            path.strip_prefix(namespace.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        })
    };
    if !found.get_ref().strip_prefix('/').is_some_and(below) {
        let problem = format!(
            "{:?} is no route of a namespace in `rest_namespaces`",
            found.get_ref()
        );
        let fix =
            "Write it as the index does: a slash, the namespace, the rest (`/jwt-auth/v1/token`)";
        at.note(found.span(), key, &problem, fix);
    }
    found.into_inner()
}

fn answer(raw: Spanned<RawAnswer>, namespaces: &[String], at: &Place<'_>) -> RestAnswer {
    let span: Range<usize> = raw.span();
    let raw = raw.into_inner();
    let method = raw.method.get_ref().as_str();
    if !["GET", "POST"].contains(&method) {
        let problem = format!("{method:?} is no method to ask a harmless question with");
        at.note(
            raw.method.span(),
            "method",
            &problem,
            "Use \"GET\" or \"POST\"",
        );
    }
    if raw.has.is_empty() {
        let fix = "Name what only this kind of server answers: `has = [\"/statusCode\"]`";
        at.note(span, "has", "the answer has no sign to know it by", fix);
    }
    for sign in raw.has.iter().chain(&raw.lacks) {
        if !sign.get_ref().starts_with('/') {
            let problem = format!("{:?} is no JSON pointer", sign.get_ref());
            let fix = "Start it with a slash: `/data/code`; a text after `=` must be found there";
            at.note(sign.span(), "rest_answer", &problem, fix);
        }
    }
    let texts = |signs: Vec<Spanned<String>>| signs.into_iter().map(Spanned::into_inner).collect();
    RestAnswer {
        post: method == "POST",
        route: route("route", raw.route, namespaces, at),
        has: texts(raw.has),
        lacks: texts(raw.lacks),
    }
}
