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
    // A newcomer who wants the port of the second meets it now.
    let taken = second.url("gateway").replace("http://", "");
    home.write(
        "tenure.toml",
        &format!("[keeper]\nlisten = \"{taken}\"\n{TILL}"),
    );
    let third = home.run(&["up"]);
    assert_eq!(third.code, 1, "{third:?}");
    for words in [format!("process {}", second.pid()), "--listen".to_owned()] {
        assert!(third.err.contains(&words), "no {words:?} in {third:?}");
    }
    let (code, said) = second.stop("TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("took over") && said.contains("tenure.sock"),
        "{said}"
    );
    for left in ["up.json", "tenure.sock"] {
        assert!(!data.join(left).exists(), "a clean stop removes {left}");
    }
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_plain_up_serves_where_the_first_no_longer_does() {
    let home = Home::new();
    let config = format!(
        "[keeper]\nlisten = \"127.0.0.1:{}\"\nadmin = \"127.0.0.1:{}\"\n{TILL}",
        free_port(),
        free_port()
    );
    home.write("tenure.toml", &config);
    let plain = || Up::start(home.command(&["up", "--json"]));
    let first = plain();
    let at = first.url("gateway");
    let second = home.up(&[]);
    first.stop("KILL");
    wait_for("the handover", || {
        (running(&home.data())?["pid"] == second.pid()).then_some(())
    });
    let third = plain();
    assert_eq!(third.url("gateway"), at);
    let (code, said) = third.stop("TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&format!("process {}", second.pid())) && said.contains("same store"),
        "{said}"
    );
    assert!(
        home.data().join("tenure.sock").exists(),
        "it is the second's"
    );
    assert_eq!(second.stop("TERM").0, Some(0));
}

#[test]
fn the_built_in_issuer_is_taken_over_as_well() {
    let home = Home::new();
    let first = home.up_example();
    let second = home.up(&["--issuer-listen", "127.0.0.1:0"]);
    let issuer = first.url("issuer");
    let renewed = || {
        let url = format!("{}/api/v1/sessions/shop/refresh", second.url("admin"));
        common::request("POST", &url, &[], "").status
    };
    assert_eq!(renewed(), 200);
    first.stop("KILL");
    wait_for("the handover", || {
        (running(&home.data())?["issuer"] == issuer.as_str()).then_some(())
    });
    wait_for("a renewal", || (renewed() == 200).then_some(()));
    assert_eq!(second.gateway("/shop/orders").status, 200);
    let (code, said) = second.stop("TERM");
    assert_eq!(code, Some(0), "{said}");
    for words in ["--issuer-listen is not used", "took over", &issuer] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}

/// Whether the process handles the end of its terminal itself, by proc(5).
fn catches_hangup(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .expect("a mask");
    u64::from_str_radix(caught.trim(), 16).expect("hexadecimal") & 1 == 1
}

#[test]
fn the_end_of_the_terminal_is_a_clean_stop_unless_it_is_ignored() {
    let home = Home::new();
    home.write("tenure.toml", TILL);
    let up = home.up(&[]);
    assert!(catches_hangup(up.pid()));
    let (code, said) = up.stop("HUP");
    assert_eq!(code, Some(0), "{said}");
    assert!(!home.data().join("up.json").exists(), "{said}");

    let plain = home.command(&[]);
    let mut command = std::process::Command::new("nohup");
    command.env_clear().current_dir(home.path());
    command.envs(
        plain
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.arg(env!("CARGO_BIN_EXE_tenure")).args([
        "up",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    let up = Up::start(command);
    assert!(!catches_hangup(up.pid()), "nohup asked for that");
    up.signal("HUP");
    assert_eq!(up.admin("/healthz").status, 200);
    assert_eq!(up.stop("TERM").0, Some(0));
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
const BOOKS: &str = "\n[sessions.books]\ntoken_endpoint = \"http://127.0.0.1:1/token\"\nclient_id = \"y\"\nclient_secret = { env = \"BOOKS_SECRET\" }\nupstream = \"http://127.0.0.1:1\"\n";
const TOKENS: &str = r#"{"access_token":"canary-8","refresh_token":"canary-9","expires_in":3600}"#;
const ENDED: &str =
    r#"{"access_token":"a","refresh_token":"r","expires_in":10,"obtained_at":1000000000}"#;

#[test]
fn a_secret_that_cannot_be_read_stops_its_own_session_only() {
    let home = Home::new();
    home.write("tenure.toml", &format!("{TILL}{BOOKS}"));
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    let up = home.up(&[]);
    let session = |up: &Up, name: &str| up.admin(&format!("/api/v1/sessions/{name}")).json();
    let books = session(&up, "books");
    assert_eq!(books["state"], "needs_operator", "{books}");
    let failure = &books["failure"];
    assert_eq!(
        [
            &failure["code"],
            &failure["heal"],
            &failure["who"],
            &failure["cause"]
        ],
        ["API02019", "fix_config", "operator", "secret_unreadable"]
    );
    let detail = failure["detail"].as_str().expect("a text");
    for word in ["tenure.toml:9", "`client_secret`", "BOOKS_SECRET"] {
        assert!(detail.contains(word), "no {word} in {detail}");
    }
    assert_eq!(session(&up, "till")["state"], "fresh");
    assert_eq!(by_socket(&home.data(), "till"), Some(200));
    // Nobody asks the server on its behalf, not even when told to.
    let url = format!("{}/api/v1/sessions/books", up.url("admin"));
    for (ask, body) in [
        ("refresh", ""),
        ("login", r#"{"username":"u","password":"p"}"#),
    ] {
        let answer = common::request("POST", &format!("{url}/{ask}"), &[], body);
        assert!(answer.status >= 400, "{answer:?}");
        assert_eq!(answer.json()["code"], "API02019", "{answer:?}");
    }
    let gateway = up.gateway("/books/x");
    assert_eq!(
        gateway.header("tenure-code"),
        Some("API02019"),
        "{gateway:?}"
    );

    // The command asks the one that keeps it, which knows more than the store.
    let asked = home.run(&["status", "--json"]).ok().json();
    assert_eq!(asked["sessions"][0]["state"], "needs_operator", "{asked}");
    assert_eq!(asked["up"]["pid"], up.pid(), "{asked}");
    let shown = home.run(&["status"]).ok().out;
    for words in [
        "needs_operator",
        "API02019",
        &format!("process {}", up.pid()),
    ] {
        assert!(shown.contains(words), "no {words:?} in:\n{shown}");
    }
    let config = format!("{TILL}{BOOKS}{}", BOOKS.replace("books", "later"));
    home.write("tenure.toml", &config);
    let shown = home.run(&["status"]).ok().out;
    assert!(
        shown.contains("later is not known to it"),
        "what changed since the start is said:\n{shown}"
    );

    let alone = home.run(&["token", "books", "--json"]);
    assert_eq!(alone.code, 4, "{alone:?}");
    let told = &alone.json()["error"]["failure"];
    assert_eq!(
        (&told["code"], &told["detail"]),
        (&failure["code"], &failure["detail"])
    );
    home.run(&["token", "till"]).ok();
    let (code, said) = up.stop("TERM");
    assert_eq!(code, Some(0));
    assert!(said.contains("BOOKS_SECRET"), "{said}");

    // With the secret there, the next start knows nothing of it any more.
    let mut command = home.command(&[
        "up",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    command.env("BOOKS_SECRET", "canary-5");
    let up = Up::start(command);
    assert_eq!(session(&up, "books")["state"], "empty");
    let (_, said) = up.stop("TERM");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn what_is_valid_is_served_without_the_secret() {
    let home = Home::new();
    home.write("tenure.toml", BOOKS);
    let login = |tokens: &str| {
        let path = home.write("tokens", tokens);
        let mut command =
            home.command(&["login", "books", "--import", path.to_str().expect("UTF-8")]);
        common::Ran::from(
            command
                .env("BOOKS_SECRET", "s")
                .output()
                .expect("it starts"),
        )
        .ok();
    };
    login(TOKENS);
    let served = home.run(&["token", "books"]).ok();
    assert_eq!(served.out, "canary-8\n");
    // More life than it has takes a refresh, which cannot be had: it is served, and why is told.
    let served = home.run(&["token", "books", "--min-valid", "2h"]).ok();
    assert_eq!(served.out, "canary-8\n");
    assert!(served.err.contains("API02019"), "{served:?}");
    login(ENDED);
    let ran = home.run(&["token", "books"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.err.contains("API02019") && ran.err.contains("tenure.toml:5"),
        "{ran:?}"
    );
    // Forgetting what is here needs nobody's secret.
    home.run(&["logout", "books"]).ok();
}

#[test]
fn a_token_that_cannot_live_as_long_as_asked_is_given_with_a_warning() {
    let home = Home::new();
    let up = home.up_example();
    let ran = home
        .run(&["token", "shop", "--min-valid", "1h", "--json"])
        .ok();
    assert!(
        ran.json()["access_token"].is_string(),
        "stdout is the token: {ran:?}"
    );
    assert!(
        ran.err.contains("warning") && ran.err.contains("live only ") && ran.err.contains("1 h"),
        "{ran:?}"
    );
    // Nobody asked for anything: nothing to warn of.
    let ran = home.run(&["token", "shop"]).ok();
    assert_eq!(ran.err, "", "{ran:?}");
    assert_eq!(up.stop("TERM").0, Some(0));
}

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
    let command = "tenure explain API02010";
    assert!(alone[0].contains(command), "{}", alone[0]);
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

#[test]
fn a_server_without_a_way_to_revoke_is_not_said_to_have_revoked() {
    let home = Home::new();
    home.write("tenure.toml", TILL);
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    let out = home.run(&["logout", "till", "--everywhere"]);
    assert_eq!(out.code, 4, "{out:?}");
    assert!(
        out.err.contains("names no way to revoke") && out.err.contains("fix:"),
        "{out:?}"
    );
    let status = home.run(&["status", "till", "--json"]).ok().json();
    assert_eq!(status["sessions"][0]["state"], "empty", "{status}");
}
