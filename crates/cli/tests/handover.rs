//! `tenure up` beside another, beside a broken session, and what a clean stop leaves.

mod common;

use std::os::unix::net::UnixStream;
use std::path::Path;

use common::{Home, Up, talk, wait_for};
use serde_json::Value;

/// What the socket says of the session, if anybody listens.
fn by_socket(data: &Path, session: &str) -> Option<u16> {
    let stream = UnixStream::connect(data.join("tenure.sock")).ok()?;
    let path = format!("/api/v1/sessions/{session}/token?min_valid=1");
    Some(talk(stream, "GET", "localhost", &path, &[], "").status)
}

fn running(data: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(data.join("up.json")).ok()?).ok()
}

#[test]
fn a_second_up_takes_over_the_socket_when_the_first_ends() {
    let home = Home::new();
    home.write("tenure.toml", TILL);
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    let first = home.up(&[]);
    let second = home.up(&[]);
    let data = home.data();
    assert_eq!(by_socket(&data, "till"), Some(200));
    assert_eq!(running(&data).expect("told")["pid"], first.pid());
    assert_eq!(first.stop("TERM").0, Some(0));
    wait_for("the handover", || {
        let told = running(&data)?;
        (told["pid"] == second.pid() && by_socket(&data, "till") == Some(200)).then_some(())
    });
    // A newcomer meets the second now.
    let third = home.run(&["up"]);
    assert_eq!(third.code, 1, "{third:?}");
    assert!(
        third.err.contains(&format!("process {}", second.pid())),
        "{third:?}"
    );
    let (code, said) = second.stop("TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("took over") && said.contains("tenure.sock"),
        "{said}"
    );
    assert!(!data.join("up.json").exists(), "a clean stop removes it");
}

#[test]
fn a_killed_first_is_succeeded_as_well() {
    let home = Home::new();
    home.write("tenure.toml", TILL);
    let first = home.up(&[]);
    let second = home.up(&[]);
    first.stop("KILL");
    wait_for("the handover", || {
        (running(&home.data())?["pid"] == second.pid()).then_some(())
    });
    assert_eq!(second.stop("TERM").0, Some(0));
}

const TILL: &str = "[sessions.till]\ntoken_endpoint = \"http://127.0.0.1:1/token\"\nclient_id = \"x\"\nupstream = \"http://127.0.0.1:1\"\n";
const TOKENS: &str = r#"{"access_token":"canary-8","refresh_token":"canary-9","expires_in":3600}"#;

#[test]
fn people_are_shown_pages_they_can_open() {
    let home = Home::new();
    home.write("tenure.toml", TILL);
    let shown = |args: &[&str]| {
        let ran = home.run(args);
        format!("{}{}", ran.out, ran.err)
    };
    let alone = [
        shown(&["token", "till"]),
        shown(&["request", "till", "GET", "/x"]),
    ];
    for text in &alone {
        assert!(
            text.contains("API02010") && !text.contains("error-codes"),
            "a path that leads nowhere: {text}"
        );
    }
    let json = home.run(&["token", "till", "--json"]).json();
    let path = "/error-codes/API02010";
    assert_eq!(json["error"]["failure"]["page"], path);
    let up = home.up(&[]);
    let page = format!("{}{path}", up.url("admin"));
    for args in [&["token", "till"][..], &["request", "till", "GET", "/x"]] {
        let text = shown(args);
        assert!(text.contains(&page), "no {page} in {text}");
    }
    assert_eq!(common::get(&page).status, 200);
    let again = home.run(&["token", "till", "--json"]).json();
    assert_eq!(again, json, "JSON is the same");
}
