//! `docs/issuer-openapi.json` names every endpoint with its methods, and no other.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::Value;
use support::Server;

const DOCUMENT: &str = include_str!("../../../docs/issuer-openapi.json");
const ROUTES: &str = include_str!("../src/endpoints/mod.rs");

/// The paths that the router is built with, and the front page's. The dialect of a WordPress plugin is described by the
/// plugin.
fn routes() -> BTreeSet<&'static str> {
    let calls = ROUTES.split(".route(").skip(1);
    let paths = calls.map(|call| call.split('"').nth(1).unwrap());
    paths.chain(["/"]).collect()
}

#[tokio::test]
async fn the_description_names_every_endpoint_and_its_methods() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(described, routes());

    let server = Server::start().await;
    for (path, methods) in paths {
        let address = path.replace("{code}", "API02002");
        for (name, method) in [
            ("get", Method::GET),
            ("post", Method::POST),
            ("put", Method::PUT),
        ] {
            let request = Request::builder().method(method).uri(&address);
            let answer = server.send(request.body(Body::empty()).unwrap()).await;
            let known = answer.status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(
                known,
                methods.get(name).is_some(),
                "{name} {path}: {}",
                answer.status
            );
            let told = &methods[name]["responses"][answer.status.as_str()];
            assert!(
                !known || told.is_object(),
                "{name} {path}: {}",
                answer.status
            );
        }
    }
}
