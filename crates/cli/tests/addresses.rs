//! Whoever comes to an address of a running `tenure up` without knowing what it is, is told; so is whoever asks the
//! sample API for what it cannot do.

mod common;

use common::{Answer, Home, get, request};

const PAGE: [(&str, &str); 1] = [("Accept", "text/html,application/xhtml+xml")];

fn problem(answer: &Answer, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["status"], status, "{body}");
    let detail = body["detail"].as_str().expect("a detail");
    assert!(detail.contains(says), "{detail:?} without {says:?}");
}

fn page(answer: &Answer, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/html; charset=utf-8"), "{answer:?}");
    assert!(answer.body.contains(says), "{answer:?}");
}

#[test]
fn every_address_says_what_it_is() {
    let home = Home::new();
    let up = home.up_example();
    let (gateway, admin, issuer) = (up.url("gateway"), up.url("admin"), up.url("issuer"));

    problem(&get(&format!("{gateway}/")), 404, "Tenure's gateway");
    let shown = request("GET", &format!("{gateway}/"), &PAGE, "");
    page(&shown, 404, "Tenure gateway");
    assert!(shown.body.contains(&format!("{admin}/")), "{shown:?}");
    problem(&get(&format!("{admin}/nope")), 404, "/api/v1/openapi.json");

    let discovery = "/.well-known/openid-configuration";
    let root = get(&format!("{issuer}/"));
    assert_eq!(root.status, 200, "{root:?}");
    assert!(root.body.contains(discovery), "{root:?}");
    page(
        &request("GET", &format!("{issuer}/"), &PAGE, ""),
        200,
        "This is a token server",
    );
    problem(&get(&format!("{issuer}/nope")), 404, discovery);
    page(
        &request("GET", &format!("{issuer}/nope"), &PAGE, ""),
        404,
        discovery,
    );
    let wrong = get(&format!("{issuer}/token"));
    problem(&wrong, 405, "/token is not asked with GET");
    assert_eq!(wrong.header("allow"), Some("POST"), "{wrong:?}");

    for root in ["/api", "/api/"] {
        let about = get(&format!("{issuer}{root}"));
        assert_eq!(about.status, 200, "{about:?}");
        assert_eq!(about.json()["list"], "GET /api/orders", "{about:?}");
    }
    problem(&get(&format!("{issuer}/api/nope")), 404, "/api/orders");
}

#[test]
fn the_sample_api_says_who_gives_its_tokens() {
    let home = Home::new();
    let up = home.up_example();
    let issuer = up.url("issuer");
    let refused = get(&format!("{issuer}/api/orders"));
    assert_eq!(refused.status, 401, "{refused:?}");
    let place = format!("{issuer}/.well-known/oauth-protected-resource/api");
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(
        challenge.ends_with(&format!("resource_metadata=\"{place}\"")),
        "{challenge}"
    );
    let about = get(&place).json();
    assert_eq!(about["resource"], format!("{issuer}/api"), "{about}");
    assert_eq!(about["authorization_servers"][0], issuer, "{about}");
    let server = get(&format!("{issuer}/.well-known/oauth-authorization-server")).json();
    assert_eq!(server["protected_resources"][0], about["resource"]);
    assert_eq!(server["tenure_client"], "tenure-cli");
}

#[test]
fn the_sample_api_says_what_is_wrong_with_an_order() {
    let home = Home::new();
    let up = home.up_example();
    let orders = format!("{}/shop/orders", up.url("gateway"));
    let json = [("Content-Type", "application/json")];
    let long = format!("{{\"item\":\"{}\",\"quantity\":1}}", "a".repeat(3_000_000));
    let post = |fields: &[_], body: &str| request("POST", &orders, fields, body);
    problem(&post(&json, &long), 413, "1024 KiB");
    problem(&post(&json, "{}"), 400, "item");
    problem(
        &post(&json, "{\"item\":\"\",\"quantity\":1}"),
        400,
        "at least 1",
    );
    problem(&post(&[], "{\"item\":\"tea\"}"), 415, "application/json");
    problem(&request("DELETE", &orders, &[], ""), 405, "DELETE");
    problem(&get(&format!("{orders}/999999")), 404, "no such order");
}
