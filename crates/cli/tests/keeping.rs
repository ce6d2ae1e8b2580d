//! What is said of a session that was imported, never used, logged out twice or left without an answer.

mod common;

use common::{Home, Up, request, wait_for};
use serde_json::Value;

/// Asks a running program for a refresh.
fn refresh(up: &Up) -> common::Answer {
    let url = format!("{}/api/v1/sessions/shop/refresh", up.url("admin"));
    request("POST", &url, &[], "")
}

/// The session as the running program shows it.
fn shop(up: &Up) -> Value {
    up.admin("/api/v1/sessions/shop").json()
}

/// Kinds of the session's stored events.
fn kinds(home: &Home) -> Vec<String> {
    let rows = home.run(&["events", "shop", "--json"]).ok().out;
    rows.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).expect("JSON");
            row["kind"].as_str().expect("a kind").to_owned()
        })
        .collect()
}

#[test]
fn an_imported_token_that_was_replaced_since_is_said_to_be_that() {
    let home = Home::new();
    let up = home.up_example();
    let file = home.path().join("export");
    let name = file.to_str().expect("UTF-8");
    let passphrase = "correct horse battery\n";
    home.run_with(&["store", "export", name], passphrase).ok();
    for _ in 0..3 {
        assert_eq!(refresh(&up).status, 200);
    }
    home.run_with(&["store", "import", name, "--replace"], passphrase)
        .ok();
    let refused = wait_for("the refusal", || {
        let answer = refresh(&up);
        (answer.status == 401).then_some(answer)
    });
    let failure = refused.json();
    let root = &failure["because"];
    assert_eq!(root["code"], "API02015", "{failure}");
    assert_eq!(root["because"], Value::Null, "{failure}");
    assert_eq!(root["rule"], "tenure.refresh_reused", "{failure}");
    let detail = root["detail"].as_str().expect("a text");
    assert!(
        detail.contains("two generations ago") && detail.contains("It came with an import"),
        "{detail}"
    );
    assert_eq!(shop(&up)["state"], "needs_login");
    let kinds = kinds(&home);
    assert!(!kinds.contains(&"unknown_outcome".to_owned()), "{kinds:?}");
}
