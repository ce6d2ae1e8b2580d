//! The index of the REST API: what tells clients, and `tenure init`, whose dialect is spoken here.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tenure_verify::WordpressPlugin;

use super::reply::rest_json;
use crate::issuer::Issuer;
use crate::wordpress::WordPress;

/// The version of WCPOS whose routes and shapes these are: clients choose by it how they send a token.
const POS_VERSION: &str = "1.10.0";
/// The one route of WordPress's own that is here.
const CORE: &str = "wp/v2";

const TOKEN: &[&str] = &["POST"];

fn namespaces(plugin: WordpressPlugin) -> &'static [&'static str] {
    match plugin {
        WordpressPlugin::Tmeister | WordpressPlugin::Usefulteam => &["jwt-auth/v1"],
        WordpressPlugin::Wcpos => &["wcpos/v1", "wcpos/v2"],
    }
}

/// The plugin's routes. WCPOS keeps its own out of the index.
fn routes(plugin: WordpressPlugin) -> &'static [(&'static str, &'static [&'static str])] {
    match plugin {
        WordpressPlugin::Tmeister => &[
            ("/jwt-auth/v1/token", TOKEN),
            ("/jwt-auth/v1/token/validate", TOKEN),
        ],
        WordpressPlugin::Usefulteam => &[
            ("/jwt-auth/v1/token", TOKEN),
            ("/jwt-auth/v1/token/validate", TOKEN),
            ("/jwt-auth/v1/token/refresh", TOKEN),
        ],
        WordpressPlugin::Wcpos => &[],
    }
}

fn listed(issuer: &Issuer, plugin: WordpressPlugin) -> Map<String, Value> {
    let mut all = Map::new();
    let mut list = |path: &str, namespace: &str, methods: &[&str]| {
        let about = json!({
            "namespace": namespace,
            "methods": methods,
            "endpoints": [{ "methods": methods, "args": [] }],
            "_links": { "self": [{ "href": issuer.url(&format!("/wp-json{path}")) }] },
        });
        all.insert(path.to_owned(), about);
    };
    list("/", "", &["GET"]);
    for namespace in namespaces(plugin) {
        list(&format!("/{namespace}"), namespace, &["GET"]);
        for (path, methods) in routes(plugin) {
            list(path, namespace, methods);
        }
    }
    list("/wp/v2/users/me", CORE, &["GET"]);
    all
}

/// `GET /wp-json/`.
pub(super) fn index(issuer: &Issuer, speaks: &WordPress) -> Response {
    let mut all: Vec<&str> = namespaces(speaks.plugin).to_vec();
    all.push(CORE);
    let mut index = json!({
        "name": "Tenure",
        "description": "",
        "url": issuer.id(),
        "home": issuer.id(),
        "gmt_offset": "0",
        "timezone_string": "UTC",
        "namespaces": all,
        "authentication": {},
        "routes": listed(issuer, speaks.plugin),
    });
    if speaks.plugin == WordpressPlugin::Wcpos {
        index["routes"] = json!({});
        index["authentication"]["wcpos"] =
            json!({ "endpoints": { "authorization": issuer.url("/wcpos-auth") } });
        index["wcpos_version"] = POS_VERSION.into();
        index["use_jwt_as_param"] = false.into();
    }
    let mut response = rest_json(StatusCode::OK, &index);
    let link = format!("<{}>; rel=\"https://api.w.org/\"", issuer.url("/wp-json/"));
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// `GET /wp-json/jwt-auth/v1` and its like; `None` for what is no namespace.
pub(super) fn namespace(issuer: &Issuer, speaks: &WordPress, route: &str) -> Option<Response> {
    let name = route.strip_prefix('/')?;
    if name != CORE && !namespaces(speaks.plugin).contains(&name) {
        return None;
    }
    let mut routes = listed(issuer, speaks.plugin);
    routes.retain(|_, about| about["namespace"] == name);
    let body = json!({ "namespace": name, "routes": routes });
    Some(rest_json(StatusCode::OK, &body))
}
