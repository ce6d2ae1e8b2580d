//! What the running program answers is what `openapi.json` says.

mod common;

use std::os::unix::net::UnixStream;

use common::{Home, request, talk};
use serde_json::Value;
use tenure_lab::{FaultyIssuer, IssuerConfig};

/// Checks a value against a schema of the document, strictly: a field that is not described is a fault, too.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(to) = schema["$ref"].as_str() {
        let target = document.pointer(to.trim_start_matches('#'));
        return check(document, target.expect("a reference"), value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let tried: Vec<_> = choices
            .iter()
            .map(|choice| check(document, choice, value, at))
            .collect();
        return if tried.iter().any(Result::is_ok) {
            Ok(())
        } else {
            Err(format!("{at}: none of the choices fits: {tried:?}"))
        };
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Err(format!("{at}: the schema names no type")),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.contains(&kind) {
        return Err(format!("{at}: {kind} instead of {kinds:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{at}: {value} is none of {words:?}"));
    }
    if let Value::Array(items) = value {
        for (number, item) in items.iter().enumerate() {
            check(document, &schema["items"], item, &format!("{at}[{number}]"))?;
        }
    }
    if let Value::Object(fields) = value {
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("text");
            if !fields.contains_key(name) {
                return Err(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            let described = &schema["properties"][name];
            if described.is_null() {
                return Err(format!("{at}: {name} is not described"));
            }
            check(document, described, field, &format!("{at}.{name}"))?;
        }
    }
    Ok(())
}

fn assert_fits(document: &Value, schema: &Value, value: &Value) {
    if let Err(why) = check(document, schema, value, "$") {
        panic!("{why}: {value:#}");
    }
}

#[test]
fn real_answers_fit_their_description() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = Home::new();
    let config = format!(
        "[sessions.shop]\ntoken_endpoint = \"{}\"\nclient_id = \"till-7\"\nupstream = \"none\"\n",
        issuer.token_endpoint()
    );
    home.write("tenure.toml", &config);
    let up = home.up(&[]);
    let document = up.admin("/api/v1/openapi.json");
    assert_eq!(document.header("content-type"), Some("application/json"));
    let document = document.json();
    let schema = |name: &str| &document["components"]["schemas"][name];
    let sessions = &document["paths"]["/api/v1/sessions"]["get"]["responses"]["200"];
    let sessions = &sessions["content"]["application/json"]["schema"];

    let post = |path: &str, body: &str| {
        let url = format!("{}/api/v1/sessions/shop/{path}", up.url("admin"));
        request("POST", &url, &[], body)
    };
    let statuses = || up.admin("/api/v1/sessions").json();

    // Empty, alive, dead, gone.
    assert_fits(&document, sessions, &statuses());
    let logged_in = post("login", &issuer.issue().to_string());
    assert_eq!(logged_in.status, 200, "{logged_in:?}");
    assert_fits(&document, schema("Status"), &logged_in.json());
    assert_eq!(statuses()["sessions"][0]["failure"], Value::Null);
    assert_fits(&document, sessions, &statuses());
    let socket = home.data().join("tenure.sock");
    let stream = UnixStream::connect(&socket).expect("it listens");
    let path = "/api/v1/sessions/shop/token?min_valid=5";
    let token = talk(stream, "GET", "localhost", path, &[], "");
    assert_fits(&document, schema("Token"), &token.json());

    let refreshed = post("refresh", "");
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_fits(&document, schema("Status"), &refreshed.json());
    issuer.revoke_all_families();
    let refused = post("refresh", "");
    assert_eq!(refused.status, 401, "{refused:?}");
    assert_fits(&document, schema("Problem"), &refused.json());
    let dead = statuses();
    assert_ne!(
        dead["sessions"][0]["failure"]["because"],
        Value::Null,
        "{dead}"
    );
    assert_fits(&document, sessions, &dead);
    let out = post("logout", "");
    assert_eq!(out.status, 200, "{out:?}");
    assert_fits(&document, schema("Status"), &out.json());

    let events = home.run(&["events", "shop", "--json"]).ok();
    assert!(events.out.lines().count() > 1, "{events:?}");
    for line in events.out.lines() {
        let event = serde_json::from_str(line).expect("JSON");
        assert_fits(&document, schema("Event"), &event);
    }
}

#[test]
fn every_refusal_is_a_problem() {
    let home = Home::new();
    let up = home.up_example();
    let document = up.admin("/api/v1/openapi.json").json();
    let problem = &document["components"]["schemas"]["Problem"];
    for (method, path, status) in [
        ("GET", "/api/v1/sessions/nosuch", 404),
        ("GET", "/nowhere", 404),
        ("DELETE", "/api/v1/sessions", 405),
        (
            "POST",
            "/api/v1/sessions/shop/logout?everywhere=perhaps",
            400,
        ),
        ("GET", "/api/v1/events?after=yesterday", 400),
        ("POST", "/api/v1/sessions/shop/login", 400),
    ] {
        let answer = request(method, &format!("{}{path}", up.url("admin")), &[], "");
        assert_eq!(answer.status, status, "{answer:?}");
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
        assert_fits(&document, problem, &answer.json());
    }
}
