//! What needs no server: help, completions, manual, unknown names, exit codes of a wrong command line.

mod common;

use common::Home;

const COMMANDS: [&str; 18] = [
    "up",
    "init",
    "login",
    "logout",
    "token",
    "request",
    "status",
    "events",
    "classify",
    "explain",
    "docs",
    "doctor",
    "inspect",
    "store",
    "issuer",
    "completions",
    "man",
    "help",
];

#[test]
fn help_names_every_command_and_exit_code() {
    let home = Home::new();
    let ran = home.run(&["--help"]).ok();
    for command in COMMANDS {
        assert!(
            ran.out
                .lines()
                .any(|line| line.trim_start().starts_with(command)),
            "{command} is missing:\n{}",
            ran.out
        );
    }
    for code in 0..=5 {
        assert!(
            ran.out.contains(&format!("  {code}  ")),
            "exit code {code} is not explained:\n{}",
            ran.out
        );
    }
    assert!(!home.data().exists(), "help made a data directory");
}

#[test]
fn every_command_has_help() {
    let home = Home::new();
    for command in &COMMANDS[..17] {
        let ran = home.run(&[command, "--help"]).ok();
        assert!(ran.out.contains("Usage: tenure"), "{command}: {}", ran.out);
        assert!(
            !ran.out.contains("TODO") && ran.out.len() > 100,
            "{command}: {}",
            ran.out
        );
    }
}

#[test]
fn a_wrong_command_line_is_exit_2() {
    let home = Home::new();
    for args in [
        &[][..],
        &["nosuch"],
        &["token"],
        &["token", "shop", "--min-valid", "60"],
        &["login", "shop", "--device", "--browser"],
        &["up", "--listen", "nowhere"],
        &["status", "--color", "blue"],
    ] {
        assert_eq!(home.run(args).code, 2, "{args:?}");
    }
    let ran = home.run(&["token", "shop", "--min-valid", "60"]);
    assert!(ran.err.contains("60s"), "{ran:?}");
}

#[test]
fn completions_and_man_say_something_for_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = home.run(&["completions", shell]).ok();
        assert!(
            ran.out.contains("logout") && ran.out.contains("completions"),
            "{shell}"
        );
    }
    let page = home.run(&["man"]).ok().out;
    assert!(page.contains(".TH"), "{page}");
    for command in &COMMANDS[..17] {
        assert!(page.contains(command), "{command}");
    }
    assert!(!home.data().exists(), "nothing here needs a data directory");
}

#[test]
fn an_unknown_session_lists_the_known_ones() {
    let home = Home::new();
    for args in [
        &["token", "nosuch"][..],
        &["request", "nosuch", "GET", "/"],
        &["login", "nosuch"],
        &["logout", "nosuch"],
        &["status", "nosuch"],
        &["events", "nosuch"],
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.err.contains("no session \"nosuch\"") && ran.err.contains("shop"),
            "{ran:?}"
        );
        assert_eq!(ran.out, "");
    }
    let ran = home.run(&["token", "shp"]);
    assert!(ran.err.contains("did you mean `shop`?"), "{ran:?}");
    let error = &home.run(&["token", "nosuch", "--json"]).json()["error"];
    assert_eq!(error["exit_code"], 2);
}

#[test]
fn an_empty_session_needs_a_login() {
    let home = Home::new();
    let ran = home.run(&["token", "shop"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("tenure login shop"), "{ran:?}");
    let failure = &home.run(&["token", "shop", "--json"]).json()["error"]["failure"];
    assert_eq!(failure["heal"], "relogin", "{failure}");
    let ran = home.run(&["request", "shop", "GET", "/orders"]);
    assert_eq!(ran.code, 3, "{ran:?}");
}

#[test]
fn status_json_has_the_contracted_fields() {
    let home = Home::new();
    let json = home.run(&["status", "--json"]).ok().json();
    let keys: Vec<&str> = json["sessions"][0]
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "name",
            "provider",
            "state",
            "unsaved",
            "generation",
            "access_expires_in",
            "refresh_expires_in",
            "session_ends_in",
            "last_refresh",
            "next_refresh_in",
            "failure"
        ]
    );
    assert_eq!(json["sessions"][0]["state"], "empty");
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let home = Home::new();
    let escape = '\u{1b}';
    assert!(!home.run(&["status"]).ok().out.contains(escape));
    assert!(
        home.run(&["status", "--color", "always"])
            .ok()
            .out
            .contains(escape)
    );
    assert!(!home.run(&["token", "nosuch"]).err.contains(escape));
    assert!(
        home.run(&["token", "nosuch", "--color", "always"])
            .err
            .contains(escape)
    );
}

#[test]
fn a_wrong_command_line_says_what_to_type() {
    let home = Home::new();
    for (args, what, fix) in [
        (&["nosuch"][..], "'nosuch'", "`tenure --help`"),
        (&["tok"], "'tok'", "did you mean `token`?"),
        (&["token"], "<SESSION>", "<SESSION>`; `tenure token --help`"),
        (&["store", "chk"], "'chk'", "`tenure store --help`"),
        (
            &["status", "--color", "blue"],
            "'blue'",
            "auto, always, never",
        ),
        (
            &["events", "-n", "abc"],
            "\"abc\" is no number",
            "for example 20",
        ),
        (
            &["token", "shop", "--min-valid", "60"],
            "\"60\" is no duration",
            "\"60s\"",
        ),
        (
            &["inspect", "--at", "noon"],
            "\"noon\" is no time",
            "seconds since 1970",
        ),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        let fixes: Vec<&str> = ran
            .err
            .lines()
            .filter(|line| line.trim().starts_with("fix:"))
            .collect();
        assert_eq!(fixes.len(), 1, "{ran:?}");
        assert!(ran.err.contains(what) && fixes[0].contains(fix), "{ran:?}");

        let ran = home.run(&[args, &["--json"]].concat());
        let error = &ran.json()["error"];
        assert_eq!(
            (ran.code, error["exit_code"].as_u64()),
            (2, Some(2)),
            "{ran:?}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|said| said.contains(what)),
            "{error}"
        );
        assert!(
            error["fix"].as_str().is_some_and(|said| said.contains(fix)),
            "{error}"
        );
        assert_eq!(ran.err, "");
    }
    let ran = home.run(&["--json"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(ran.json()["error"]["message"], "no command was given");
}

#[test]
fn a_log_level_that_is_none_is_told() {
    let home = Home::new();
    for level in ["bogus", "tenure=loud", "warn,bogus"] {
        let ran = home.command(&["status"]).env("TENURE_LOG", level).output();
        let ran = common::Ran::from(ran.expect("it starts"));
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(
            ran.err.contains("TENURE_LOG") && ran.err.contains("fix:"),
            "{ran:?}"
        );
    }
    for level in ["debug", "WARN", "warn,hyper=error", "off", ""] {
        let ran = home.command(&["status"]).env("TENURE_LOG", level).output();
        common::Ran::from(ran.expect("it starts")).ok();
    }
}
