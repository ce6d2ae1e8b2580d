//! `tenure up` with the built-in example, as a newcomer meets it.

mod common;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use common::{Home, PATIENCE, Ran, Up, get, request, talk, wait_for};
use serde_json::Value;

fn generation(up: &Up) -> u64 {
    up.admin("/api/v1/sessions/shop").json()["generation"]
        .as_u64()
        .expect("a number")
}

#[test]
fn first_start_serves_the_api_and_second_start_has_everything_still() {
    let home = Home::new();
    let up = home.up_example();
    assert_eq!(up.ready["sessions"], serde_json::json!(["shop"]));
    let orders = up.gateway("/shop/orders");
    assert_eq!(orders.status, 200, "{orders:?}");
    assert_eq!(orders.json()["orders"].as_array().map(Vec::len), Some(3));
    assert_eq!(orders.header("tenure-session"), Some("shop"));
    assert_eq!(up.gateway("/shop/orders/1").json()["id"], 1);
    assert_eq!(up.gateway("/shop/orders/99").status, 404);
    let posted = request(
        "POST",
        &format!("{}/shop/orders", up.url("gateway")),
        &[("content-type", "application/json")],
        r#"{"item":"tamper","quantity":1}"#,
    );
    assert_eq!(
        (posted.status, posted.json()["id"].as_i64()),
        (201, Some(4)),
        "{posted:?}"
    );
    // Without a token the API is closed.
    let naked = get(&format!("{}/api/orders", up.url("issuer")));
    assert_eq!(naked.status, 401, "{naked:?}");
    assert!(
        naked
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Bearer")),
        "{naked:?}"
    );
    let issuer = up.url("issuer");
    assert_eq!(up.stop("INT").0, Some(0));

    let up = home.up_example();
    assert_eq!(
        up.url("issuer"),
        issuer,
        "the session's tokens name the issuer's address"
    );
    let orders = up.gateway("/shop/orders");
    assert_eq!(orders.status, 200, "{orders:?}");
    assert_eq!(
        orders.json()["orders"].as_array().map(Vec::len),
        Some(4),
        "the order is still there"
    );
    assert_eq!(up.stop("TERM").0, Some(0));
}

#[test]
fn the_first_start_shows_addresses_password_and_a_line_to_try() {
    let home = Home::new();
    let text = |home: &Home| {
        use std::io::{BufRead, BufReader};
        let mut command = home.command(&[
            "up",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--issuer-listen",
            "127.0.0.1:0",
        ]);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut text = String::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("readable");
            text += &line;
            text.push('\n');
            if line.starts_with("try") {
                break;
            }
        }
        let stopped = std::process::Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .expect("kill");
        assert!(stopped.success());
        assert_eq!(child.wait().expect("it ends").code(), Some(0));
        text
    };
    let first = text(&home);
    for words in [
        "no configuration found",
        "gateway ",
        "status page ",
        "issuer ",
        "user demo, password ",
        "session ",
        "shop",
        "fresh",
        "curl http://127.0.0.1:",
    ] {
        assert!(first.contains(words), "no {words:?} in:\n{first}");
    }
    let password = first
        .split_once("user demo, password ")
        .and_then(|(_, rest)| rest.split(' ').next())
        .expect("a password");
    let up = home.up_example();
    let before = generation(&up);
    let ran = home
        .run_with(
            &["login", "shop", "--password"],
            &format!("demo\n{password}\n"),
        )
        .ok();
    assert!(
        ran.out.contains("shop is logged in (generation "),
        "{ran:?}"
    );
    wait_for("the login to be taken up", || {
        (generation(&up) > before).then_some(())
    });
    assert_eq!(up.gateway("/shop/orders").status, 200);
    assert_eq!(up.stop("TERM").0, Some(0));
    let second = text(&home);
    assert!(
        second.contains("user demo; the password was shown at the first start"),
        "{second}"
    );
}

#[test]
fn a_refused_first_start_leaves_the_password_to_be_shown() {
    let home = Home::new();
    let open = home.run(&[
        "up",
        "--listen",
        "0.0.0.0:0",
        "--admin",
        "127.0.0.1:0",
        "--issuer-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(open.code, 4, "{open:?}");
    assert!(open.err.contains("fix: listen on 127.0.0.1"), "{open:?}");
    for left in ["issuer.db", "builtin.json", "up.json"] {
        assert!(!home.data().join(left).exists(), "{left}");
    }
    let up = home.up_example();
    assert!(up.ready["login"]["password"].is_string(), "{}", up.ready);
    let remembered = std::fs::metadata(home.data().join("builtin.json")).expect("a file");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&remembered.permissions()) & 0o777,
        0o600
    );
}

#[test]
fn the_session_works_at_once_when_the_issuer_moved() {
    let home = Home::new();
    let up = home.up_example();
    let before = up.url("issuer");
    assert_eq!(up.stop("TERM").0, Some(0));
    let _somebody_else =
        TcpListener::bind(before.strip_prefix("http://").expect("http")).expect("it is free");
    let up = home.up_example();
    assert_ne!(up.url("issuer"), before);
    let orders = up.gateway("/shop/orders");
    assert_eq!(orders.status, 200, "{orders:?}");
}

#[test]
fn a_store_that_cannot_be_written_is_not_ready() {
    let home = Home::new();
    let mut command = home.command(&[
        "up",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--issuer-listen",
        "127.0.0.1:0",
    ]);
    command.env("TENURE_FAULT", "store.probe:full@1+");
    let up = Up::start(command);
    let ready = up.admin("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(
        ready.json()["detail"]
            .as_str()
            .is_some_and(|text| text.contains("no space left")),
        "{ready:?}"
    );
    assert_eq!(up.admin("/healthz").status, 200);
}

#[test]
fn status_makes_nothing_and_says_that_nobody_keeps_the_session() {
    let home = Home::new();
    let ran = home.run(&["status"]).ok();
    assert!(ran.out.contains("empty"), "{ran:?}");
    assert!(ran.out.contains("no `tenure up` runs"), "{ran:?}");
    assert_eq!(
        home.run(&["status", "--json"]).ok().json()["up"],
        Value::Null
    );
    assert!(!home.data().exists(), "looking makes nothing");
}

#[test]
fn the_session_is_renewed_by_itself() {
    let home = Home::new();
    let up = home.up_example();
    // Twenty seconds of life: renewal comes well within a minute.
    wait_for("a renewal", || (generation(&up) >= 2).then_some(()));
    assert_eq!(up.gateway("/shop/orders").status, 200);
    let events = home.run(&["events", "shop", "--json"]).ok();
    let kinds: Vec<Value> = events
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["kind"].clone())
        .collect();
    assert!(kinds.contains(&"refreshed".into()), "{kinds:?}");
}

#[test]
fn commands_work_beside_a_running_up() {
    let home = Home::new();
    let up = home.up_example();
    let token = home.run(&["token", "shop", "--min-valid", "1s"]).ok().out;
    let token = token.trim();
    assert_eq!(token.split('.').count(), 3, "a JWT");
    let direct = request(
        "GET",
        &format!("{}/api/orders", up.url("issuer")),
        &[("authorization", &format!("Bearer {token}"))],
        "",
    );
    assert_eq!(direct.status, 200, "{direct:?}");
    let header = home
        .run(&["token", "shop", "--min-valid", "1s", "--format", "header"])
        .ok()
        .out;
    assert!(
        header.starts_with("Authorization: Bearer ey"),
        "the form of a header"
    );
    let json = home
        .run(&["token", "shop", "--min-valid", "1s", "--json"])
        .ok()
        .json();
    assert!(
        json["expires_in"]
            .as_u64()
            .is_some_and(|left| (1..=20).contains(&left)),
        "{json}"
    );
    let got = home.run(&["request", "shop", "get", "orders/2"]).ok();
    assert_eq!(got.json()["id"], 2);
    let posted = home
        .run_with(
            &["request", "shop", "POST", "/orders", "-d", "-", "-i"],
            r#"{"item":"grinder","quantity":1}"#,
        )
        .ok();
    assert!(posted.out.starts_with("HTTP/1.1 201"), "{posted:?}");
    let missing = home.run(&["request", "shop", "GET", "/orders/99", "--json"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert_eq!(missing.json()["status"], 404);
    let status = home.run(&["status"]).ok();
    assert!(
        status.out.contains("shop") && status.out.contains("fresh"),
        "{status:?}"
    );
    home.run(&["store", "check"]).ok();
}

#[test]
fn a_logout_says_whether_the_server_was_told() {
    let home = Home::new();
    let up = home.up_example();
    let before = home.run(&["logout", "shop"]).ok();
    assert!(before.out.contains("may still accept"), "{before:?}");
    // The tokens are gone: nobody can show them to the server any more.
    let late = home.run(&["logout", "shop", "--everywhere"]);
    assert_eq!(late.code, 4, "{late:?}");
    for words in ["no token was left to revoke", "fix:", "at the server"] {
        assert!(late.err.contains(words), "{words} in {late:?}");
    }
    let url = format!(
        "{}/api/v1/sessions/shop/logout?everywhere=true",
        up.url("admin")
    );
    let told = request("POST", &url, &[], "");
    assert_eq!(told.status, 409, "{told:?}");
    assert!(
        told.json()["detail"]
            .as_str()
            .is_some_and(|text| text.contains("no token was left")),
        "{told:?}"
    );
    let json = home.run(&["logout", "shop", "--everywhere", "--json"]);
    assert_eq!(json.json()["error"]["exit_code"], 4, "{json:?}");
    let other = Home::new();
    other.write("tenure.toml", "[sessions.till]\ntoken_endpoint = \"http://127.0.0.1:1/token\"\nclient_id = \"x\"\nupstream = \"none\"\n");
    let never = other.run(&["logout", "till"]).ok();
    assert!(never.out.contains("never was logged in"), "{never:?}");
}

#[test]
fn logout_and_login_reach_the_running_up() {
    let home = Home::new();
    let up = home.up_example();
    home.run(&["logout", "shop", "--everywhere"]).ok();
    wait_for("the logout to be taken up", || {
        (up.gateway("/shop/orders").status == 401).then_some(())
    });
    let refused = up.gateway("/shop/orders");
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json"),
        "{refused:?}"
    );
    assert_eq!(
        refused.json()["command"],
        "tenure login shop",
        "{refused:?}"
    );
    let wrong = home.run_with(
        &["login", "shop", "--password", "--username", "demo"],
        "canary-wrong\n",
    );
    assert_eq!(wrong.code, 3, "{wrong:?}");
    assert!(
        !wrong.err.contains("canary") && wrong.err.contains("API02001"),
        "{wrong:?}"
    );
}

#[test]
fn an_import_is_a_login() {
    let home = Home::new();
    let up = home.up_example();
    let before = generation(&up);
    let token = home
        .run(&["token", "shop", "--min-valid", "1s", "--json"])
        .ok()
        .json();
    let import =
        serde_json::json!({ "access_token": token["access_token"], "expires_in": 15 }).to_string();
    let ran = home
        .run_with(&["login", "shop", "--import", "-"], &import)
        .ok();
    assert!(
        ran.err.contains("--remember"),
        "nothing renews it, and that is said: {ran:?}"
    );
    wait_for("the login to be taken up", || {
        (generation(&up) > before).then_some(())
    });
    let bad = home.run_with(
        &["login", "shop", "--import", "-"],
        r#"{"acess_token":"canary-5"}"#,
    );
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(!bad.err.contains("canary"), "{bad:?}");
}

#[test]
fn a_port_in_use_is_named() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (flag, others) in [
        (
            "--listen",
            ["--admin", "127.0.0.1:0", "--issuer-listen", "127.0.0.1:0"],
        ),
        (
            "--admin",
            ["--listen", "127.0.0.1:0", "--issuer-listen", "127.0.0.1:0"],
        ),
        (
            "--issuer-listen",
            ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        ),
    ] {
        let ran = home.run(&[&["up", flag, &address][..], &others].concat());
        assert_eq!(ran.code, 4, "{ran:?}");
        let port = taken.local_addr().expect("an address").port();
        assert!(
            ran.err.contains(&format!("port {port} is in use")),
            "{ran:?}"
        );
        assert!(
            ran.err.contains(&format!("choose another with {flag}")),
            "{ran:?}"
        );
    }
}

#[test]
fn a_second_up_says_who_is_up_and_serves_the_same_store() {
    let home = Home::new();
    let first = home.up_example();
    let taken = first.url("gateway").replace("http://", "");
    let refused = home.run(&["up", "--listen", &taken]);
    assert_eq!(refused.code, 4, "{refused:?}");
    for words in ["is in use", &format!("process {}", first.pid())] {
        assert!(refused.err.contains(words), "no {words:?} in {refused:?}");
    }
    let second = Up::start(home.command(&["up", "--json", "--listen", "127.0.0.1:0"]));
    assert_eq!(
        second.ready["issuer"],
        Value::Null,
        "the first has the issuer"
    );
    assert_eq!(second.gateway("/shop/orders").status, 200);
    let (code, said) = second.stop("TERM");
    assert_eq!(code, Some(0));
    for words in [
        format!("process {}", first.pid()),
        first.url("gateway"),
        first.url("admin"),
    ] {
        assert!(said.contains(&words), "no {words:?} in {said}");
    }
    assert_eq!(
        first.gateway("/shop/orders").status,
        200,
        "the first is untouched"
    );
}

#[test]
fn an_unreachable_issuer_at_start_is_no_reason_not_to_start() {
    let home = Home::new();
    let gone = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    home.write(
        "tenure.toml",
        &format!("[sessions.shop]\nissuer = \"http://{gone}\"\nclient_id = \"x\"\nupstream = \"http://{gone}\"\n[keeper.timing]\nbackoff_max = \"1s\"\n"),
    );
    home.run_with(
        &["login", "shop", "--import", "-"],
        r#"{"access_token":"canary-6","refresh_token":"canary-7","expires_in":1}"#,
    )
    .ok();
    let up = home.up(&[]);
    let status = wait_for("the end of the token", || {
        let status = up.admin("/api/v1/sessions/shop").json();
        (status["state"] == "expired" && !status["failure"].is_null()).then_some(status)
    });
    assert_eq!(status["failure"]["heal"], "retry_later", "{status}");
    let answer = up.gateway("/shop/x");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    let ran = home.run(&["token", "shop"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    let (code, said) = up.stop("INT");
    assert_eq!(code, Some(0));
    assert!(
        said.contains("shop") && said.contains("next attempt"),
        "it says so: {said:?}"
    );
    assert!(
        !said.contains("canary") && !answer.body.contains("canary") && !ran.err.contains("canary"),
        "{said}"
    );
}

#[test]
fn the_admin_address_is_for_this_machine_only() {
    let home = Home::new();
    let up = home.up_example();
    let ask = |headers: &[(&str, &str)]| {
        request(
            "GET",
            &format!("{}/api/v1/sessions", up.url("admin")),
            headers,
            "",
        )
        .status
    };
    assert_eq!(ask(&[]), 200);
    assert_eq!(ask(&[("host", "evil.example")]), 421, "DNS rebinding");
    assert_eq!(
        ask(&[("host", "shop.localhost")]),
        421,
        "the gateway's names"
    );
    assert_eq!(ask(&[("origin", "https://evil.example")]), 403);
    assert_eq!(ask(&[("sec-fetch-site", "cross-site")]), 403);
    let page = up.admin("/");
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("shop") && page.body.contains("fresh") && !page.body.contains("<script"),
        "{page:?}"
    );
    assert!(
        page.header("content-security-policy")
            .is_some_and(|csp| csp.starts_with("default-src 'none'")),
        "{page:?}"
    );
    assert_eq!(up.admin("/style.css").status, 200);
    assert_eq!(up.admin("/healthz").status, 200);
    assert_eq!(up.admin("/readyz").status, 200);
    assert!(
        up.admin("/error-codes/API02008")
            .body
            .contains("Refresh Token Invalid")
    );
    assert_eq!(up.admin("/error-codes/API99999").status, 404);
    assert_eq!(up.admin("/api/v1/sessions/nosuch").status, 404);
    assert_eq!(
        up.admin("/api/v1/sessions/shop/token").status,
        404,
        "tokens are for the socket"
    );
    let before = generation(&up);
    let refreshed = request(
        "POST",
        &format!("{}/api/v1/sessions/shop/refresh", up.url("admin")),
        &[],
        "",
    );
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_eq!(refreshed.json()["generation"].as_u64(), Some(before + 1));
}

#[test]
fn the_socket_gives_tokens_to_the_same_user() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let up = home.up_example();
    let refused = common::get(&format!("{}/api/v1/sessions/shop/token", up.url("admin")));
    assert_eq!(refused.status, 404, "{refused:?}");
    assert!(
        refused.body.contains("--unix-socket tenure.sock"),
        "{refused:?}"
    );
    let path = home.data().join("tenure.sock");
    assert_eq!(
        std::fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    let ask = |query: &str| {
        let stream = UnixStream::connect(&path).expect("it listens");
        talk(
            stream,
            "GET",
            "localhost",
            &format!("/api/v1/sessions/shop/token{query}"),
            &[],
            "",
        )
    };
    let token = ask("?min_valid=5").json();
    assert!(
        token["access_token"]
            .as_str()
            .is_some_and(|token| token.split('.').count() == 3),
        "a JWT"
    );
    assert!(
        token["expires_in"].as_u64().is_some_and(|left| left >= 5),
        "{}",
        token["expires_in"]
    );
    assert_eq!(ask("?min_valid=soon").status, 400);
}

#[test]
fn events_stream_as_they_happen_and_end_with_the_program() {
    use std::io::{BufRead, BufReader, Write};
    let home = Home::new();
    let up = home.up_example();
    let admin = up.url("admin").replace("http://", "");
    let mut stream = std::net::TcpStream::connect(&admin).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
        .write_all(format!("GET /api/v1/events HTTP/1.1\r\nHost: {admin}\r\n\r\n").as_bytes())
        .expect("sent");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("text/event-stream")),
        "an event stream"
    );
    let refreshed = request(
        "POST",
        &format!("{}/api/v1/sessions/shop/refresh", up.url("admin")),
        &[],
        "",
    );
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert!(
        lines.any(|line| line == "event: refreshed"),
        "the refresh is told"
    );
    assert!(
        lines.any(|line| line.starts_with("data: {") && line.contains("\"session\":\"shop\"")),
        "with its row"
    );
    let started = std::time::Instant::now();
    assert_eq!(up.stop("TERM").0, Some(0));
    assert!(
        started.elapsed() < std::time::Duration::from_secs(9),
        "an open stream does not hold the end"
    );
}

#[test]
fn no_secret_is_left_in_output_or_files() {
    let home = Home::new();
    let up = home.up_example();
    let token = home
        .run(&["token", "shop", "--min-valid", "1s"])
        .ok()
        .out
        .trim()
        .to_owned();
    let texts = [
        up.admin("/").body,
        up.admin("/api/v1/sessions").body,
        home.run(&["status", "--json"]).out,
        home.run(&["events", "--json"]).out,
        std::fs::read_to_string(home.data().join("up.json")).expect("readable"),
        std::fs::read_to_string(home.data().join("builtin.json")).expect("readable"),
    ];
    for text in &texts {
        assert!(
            !text.contains(&token) && !text.contains("eyJ"),
            "a token in {text}"
        );
    }
    let mut command = home.command(&["token", "shop", "--min-valid", "1s"]);
    let ran = Ran::from(
        command
            .env("TENURE_LOG", "trace")
            .output()
            .expect("it starts"),
    );
    assert_eq!(ran.code, 0);
    assert!(!ran.err.contains("eyJ"), "a token in the log");
    let (_, said) = up.stop("TERM");
    assert!(!said.contains("eyJ"), "{said}");
    for entry in std::fs::read_dir(home.data()).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            let found = bytes
                .windows(token.len())
                .any(|window| window == token.as_bytes());
            assert!(!found, "the token is in {}", path.display());
        }
    }
}

#[test]
fn without_an_up_the_example_says_what_to_start() {
    let home = Home::new();
    let up = home.up_example();
    let issuer = up.url("issuer");
    assert_eq!(up.stop("TERM").0, Some(0));
    // A token that has ended, so that the issuer is needed.
    home.run_with(
        &["login", "shop", "--import", "-"],
        r#"{"access_token":"a","refresh_token":"r","expires_in":10,"obtained_at":1000000000}"#,
    )
    .ok();
    for command in [
        &["token", "shop"][..],
        &["request", "shop", "GET", "/orders"],
    ] {
        let ran = home.run(command);
        assert_eq!(ran.code, 5, "{issuer}: {ran:?}");
        assert!(ran.err.contains("fix: start `tenure up`"), "{ran:?}");
    }
}
