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

/// A session that logs itself in, at an address where nobody listens.
const ROBOT: &str = "[sessions.shop]\ntoken_endpoint = \"http://127.0.0.1:1/token\"\nclient_id = \"x\"\nclient_auth = \"none\"\n\
                     flow = \"client_credentials\"\nkeep = \"lazy\"\nupstream = \"http://127.0.0.1:1\"\n";

#[test]
fn a_robot_that_was_never_used_is_due_and_not_expired() {
    let home = Home::new();
    home.write("tenure.toml", ROBOT);
    let never = |home: &Home| {
        let status = home.run(&["status", "--json"]).ok().json();
        assert_eq!(status["sessions"][0]["state"], "due", "{status}");
        assert_eq!(status["sessions"][0]["failure"], Value::Null, "{status}");
        let shown = home.run(&["status"]).ok();
        assert!(shown.out.contains("not fetched yet"), "{shown:?}");
    };
    never(&home);
    let up = home.up(&[]);
    never(&home);
    assert_eq!(shop(&up)["state"], "due");
    // Wanted, and not to be had: that is a failure.
    assert_eq!(up.gateway("/shop/x").status, 503);
    assert_eq!(shop(&up)["state"], "expired");
}

#[test]
fn an_api_that_does_not_answer_is_said_to_be_silent_and_once() {
    for log in ["warn", "info"] {
        let home = Home::new();
        let config = ROBOT.replace("flow = \"client_credentials\"\n", "");
        home.write("tenure.toml", &config);
        let tokens = r#"{"access_token":"a","refresh_token":"r","expires_in":3600}"#;
        home.run_with(&["login", "shop", "--import", "-"], tokens)
            .ok();
        let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut command = home.command(&[&["up", "--json"], &ports[..]].concat());
        command.env("TENURE_LOG", log);
        let up = Up::start(command);
        assert_eq!(up.gateway("/shop/x").status, 502);
        wait_for("the failure to be shown", || {
            (shop(&up)["failure"]["code"] == "API01002").then_some(())
        });
        let (_, said) = up.stop("TERM");
        assert_eq!(said.matches("gave no answer").count(), 1, "{log}: {said:?}");
        assert!(said.contains("the API did not answer: API01002"), "{said}");
    }
}

#[test]
fn a_logout_that_the_server_knows_of_is_not_asked_for_again() {
    let home = Home::new();
    let up = home.up_example();
    home.run(&["logout", "shop", "--everywhere"]).ok();
    for args in [&["logout", "shop", "--everywhere"][..], &["logout", "shop"]] {
        let again = home.run(args).ok();
        for words in ["logged out already", "revoked the tokens then"] {
            assert!(again.out.contains(words), "{words}: {again:?}");
        }
    }
    let json = home.run(&["logout", "shop", "--everywhere", "--json"]).ok();
    assert_eq!(json.json()["everywhere"], true, "{json:?}");
    let url = format!(
        "{}/api/v1/sessions/shop/logout?everywhere=true",
        up.url("admin")
    );
    assert_eq!(request("POST", &url, &[], "").status, 200);
    let logouts = kinds(&home);
    let logouts = logouts.iter().filter(|kind| *kind == "logged_out");
    assert_eq!(logouts.count(), 1, "nothing happened the other times");

    // What the server knew of one login says nothing of the next.
    let password = up.ready["login"]["password"].as_str().expect("shown");
    let login = ["login", "shop", "--password", "--username", "demo"];
    home.run_with(&login, &format!("{password}\n")).ok();
    home.run(&["logout", "shop"]).ok();
    let late = home.run(&["logout", "shop", "--everywhere"]);
    assert_eq!(late.code, 4, "{late:?}");
}

#[test]
fn a_browser_login_without_its_endpoint_names_the_key_to_set() {
    let home = Home::new();
    home.write("tenure.toml", &ROBOT.replace("client_credentials", "code"));
    let ran = home.run(&["login", "shop"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(ran.err.matches("shop").count(), 1, "named once: {ran:?}");
    for words in [
        "API03001",
        "authorization_endpoint is not known",
        "tenure.toml:1:",
        "fix: set `authorization_endpoint` of [sessions.shop]",
    ] {
        assert!(ran.err.contains(words), "{words}: {ran:?}");
    }
    assert!(
        !ran.err.contains("API02007"),
        "nothing was refreshed: {ran:?}"
    );
}

#[test]
fn what_a_command_met_while_nobody_was_up_does_not_trouble_the_next_start() {
    let home = Home::new();
    assert_eq!(home.up_example().stop("TERM").0, Some(0));
    wait_for("a command that misses the issuer", || {
        home.run(&["token", "shop", "--min-valid", "19s"]).ok();
        let status = home.run(&["status", "--json"]).ok().json();
        (status["sessions"][0]["state"] == "degraded").then_some(())
    });
    let up = home.up_example();
    let shop = shop(&up);
    assert_eq!(shop["failure"], Value::Null, "{shop}");
    assert_ne!(shop["state"], "degraded", "{shop}");
}
