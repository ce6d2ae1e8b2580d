//! `tenure login shop --password`, name and password on stdin.

use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::common::Home;
use crate::support::{Example, home_at, state};

#[test]
fn the_right_password_logs_in() {
    let example = Example::start();
    example.log_out();
    let typed = format!("demo\n{}\n", example.password);
    let ran = example
        .home
        .run_with(&["login", "shop", "--password"], &typed)
        .ok();
    assert!(ran.out.contains("shop is logged in"), "{ran:?}");
    assert!(!ran.err.contains(&example.password), "{ran:?}");
    example.until_served();
}

#[test]
fn the_running_gateway_knows_of_a_login_and_a_logout_when_the_command_returns() {
    let example = Example::start();
    let typed = format!("demo\n{}\n", example.password);
    for round in 0..4 {
        example.home.run(&["logout", "shop"]).ok();
        let state = example.shop()["state"].clone();
        assert_eq!(state, "empty", "round {round}, after the logout");
        let ran = example
            .home
            .run_with(&["login", "shop", "--password", "--json"], &typed)
            .ok();
        let generation = ran.json()["generation"].as_u64().expect("a number");
        assert!(
            example.generation() >= generation,
            "round {round}, after the login"
        );
    }
}

#[test]
fn a_wrong_password_is_named_and_changes_nothing() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    let right = ["login", "shop", "--password", "--username", "admin"];
    home.run_with(&right, "secret\n").ok();
    let (before, token) = (state(&home), home.run(&["token", "shop"]).ok().out);
    assert_eq!(before, ("fresh".to_owned(), 1));

    let ran = home.run_with(&right, "canary-password\n");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.err.contains("API02001") && ran.err.contains("tenure login shop"),
        "{ran:?}"
    );
    assert!(ran.out.is_empty(), "{ran:?}");
    let json = home.run_with(&[&right[..], &["--json"]].concat(), "canary-password\n");
    assert_eq!(json.code, 3, "{json:?}");
    let error = &json.json()["error"];
    assert_eq!(error["failure"]["code"], "API02001", "{error}");
    assert_eq!(error["failure"]["heal"], "relogin", "{error}");
    for text in [&ran.err, &json.out, &json.err] {
        assert!(!text.contains("canary"), "{text}");
    }
    assert_eq!(state(&home), before);
    assert_eq!(home.run(&["token", "shop"]).ok().out, token);
}

#[test]
fn without_a_password_no_server_is_asked() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    let ran = home.run_with(&["login", "shop", "--password"], "admin\n");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("no password was given"), "{ran:?}");
    let ran = home.run_with(&["login", "shop", "--password"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("no user name was given"), "{ran:?}");
    assert_eq!(issuer.hits("/token"), 0);
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let home = Home::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    // The built-in example without its `tenure up`.
    home.write(
        "data/builtin.json",
        &format!(r#"{{"issuer":"http://{gone}/"}}"#),
    );
    let ran = home.run_with(&["login", "shop", "--password"], "demo\nsecret\n");
    assert_eq!(ran.code, 5, "{ran:?}");
    for part in ["session shop", "API01002", "start `tenure up`"] {
        assert!(ran.err.contains(part), "{part} in {}", ran.err);
    }
    // A configured server.
    home.write(
        "tenure.toml",
        &format!("[sessions.shop]\ntoken_endpoint = \"http://{gone}/token\"\nclient_id = \"x\"\nupstream = \"none\"\n"),
    );
    let ran = home.run_with(&["login", "shop", "--password"], "demo\nsecret\n");
    assert_eq!(ran.code, 5, "{ran:?}");
    for part in ["session shop", "API01002", "can be reached from here"] {
        assert!(ran.err.contains(part), "{part} in {}", ran.err);
    }
}
