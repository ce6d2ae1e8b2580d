//! Marked tokens, and a search for the mark in everything that was written or shown (I15).

use std::path::Path;

use serde_json::json;
use tenure_lab::{Fault, FaultyIssuer, IssuerConfig, Process};

use crate::common::{Home, Ran, get, request, wait_for};
use crate::support::{Keeper, ending_in, home_at, import};

const MARK: &str = "canary-";

/// Everything seen so far, with where it was seen.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn text(&mut self, place: &str, text: &str) {
        self.0.push((place.to_owned(), text.as_bytes().to_vec()));
    }

    fn ran(&mut self, place: &str, ran: &Ran) {
        self.text(place, &format!("{}\n{}", ran.out, ran.err));
    }

    /// All files of a directory.
    fn files(&mut self, dir: &Path) {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.files(&path);
            } else if path.is_file() {
                let bytes = std::fs::read(&path).expect("readable");
                self.0.push((path.display().to_string(), bytes));
            }
        }
    }

    /// Command line and environment of a running process.
    fn process(&mut self, process: &Process) {
        for file in ["cmdline", "environ"] {
            let path = format!("/proc/{}/{file}", process.id());
            let bytes = std::fs::read(&path).expect("it is running");
            self.0.push((path, bytes));
        }
    }

    fn assert_clean(&self) {
        for (place, bytes) in &self.0 {
            let at = bytes
                .windows(MARK.len())
                .position(|window| window == MARK.as_bytes());
            if let Some(at) = at {
                let around = &bytes[at.saturating_sub(120)..(at + 60).min(bytes.len())];
                panic!("a token in {place}: {}", String::from_utf8_lossy(around));
            }
        }
        assert!(self.0.len() > 20, "there was something to search");
    }
}

/// The program with all its logging.
fn traced(home: &Home, args: &[&str]) -> Ran {
    let mut command = home.command(args);
    Ran::from(
        command
            .env("TENURE_LOG", "trace")
            .output()
            .expect("it starts"),
    )
}

fn shown(seen: &mut Seen, home: &Home, up: &Keeper) {
    for path in [
        "/",
        "/api/v1/sessions",
        "/api/v1/sessions/shop",
        "/readyz",
        "/metrics",
    ] {
        let answer = get(&up.admin_url(path));
        seen.text(path, &format!("{}\n{}", answer.head, answer.body));
    }
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["events"],
        &["events", "--json"],
        &["store", "check"],
        &["request", "shop", "GET", "/orders", "-i"],
    ] {
        seen.ran(&args.join(" "), &traced(home, args));
    }
    seen.files(&home.data());
    seen.process(&up.process);
}

#[test]
fn no_token_is_written_or_shown_anywhere() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().marker(MARK));
    let home = home_at(&issuer, "");
    let mut seen = Seen::default();
    let first = import(&home, &issuer.issue());
    seen.ran("login", &first);
    let mut command = Keeper::command(&home);
    let up = Keeper::spawn(command.env("TENURE_LOG", "trace"));
    assert_eq!(up.get("/shop/orders").status, 200);
    shown(&mut seen, &home, &up);

    // A 401, a renewal, a replay.
    issuer.expire_access_now();
    let posted = request("POST", &up.gateway_url("/shop/orders"), &[], r#"{"id":1}"#);
    assert_eq!(posted.status, 201, "{posted:?}");
    seen.text("replayed", &format!("{posted:?}"));

    // Answers of the token endpoint that are no use, some of them with tokens inside.
    let leaky = json!({ "error": "server_error", "error_description": "bad token canary-rt-0-1-0123456789abcdef0123456789abcdef" });
    for fault in [
        Fault::Html200,
        Fault::Garbage,
        Fault::Empty200,
        Fault::status(500, &leaky.to_string()),
        Fault::RetryAfterSeconds(1),
    ] {
        import(&home, &ending_in(issuer.issue(), 5));
        issuer.faults().clear();
        issuer.faults().next(fault.clone());
        let ran = traced(&home, &["token", "shop", "--min-valid", "60s"]);
        // What it prints on success is the token itself.
        seen.text(&format!("{fault:?}"), &ran.err);
        if ran.code != 0 {
            seen.ran("token", &ran);
        }
    }
    issuer.faults().clear();
    wait_for("the session to heal", || {
        (up.get("/shop/orders").status == 200).then_some(())
    });

    // A lost answer, then the refusal: the server now holds a pair nobody else ever saw.
    import(&home, &ending_in(issuer.issue(), 5));
    issuer.faults().next(Fault::DropHalfAnswer);
    issuer.revoke_access_tokens();
    seen.text("lost", &format!("{:?}", up.get("/shop/orders")));
    issuer.revoke_all_families();
    issuer.revoke_access_tokens();
    wait_for("the end of the session", || {
        let answer = up.get("/shop/orders");
        seen.text("ended", &format!("{answer:?}"));
        (up.shop()["state"] == "needs_login").then_some(())
    });
    seen.text("problem", &format!("{:?}", up.get("/shop/orders")));
    shown(&mut seen, &home, &up);

    // Imports that are wrong.
    for text in [
        r#"{"access_token":"canary-1","refresh_tokn":"canary-2"}"#,
        r#"{"access_token":["canary-3"]}"#,
        r#"{"access_token":"canary-4"#,
        r#"{"access_token":"canary-5","expires_in":"canary-6"}"#,
        r#"{"access_token":"canary- 7"}"#,
        r#""canary-8""#,
    ] {
        let ran = home.run_with(&["login", "shop", "--import", "-", "--json"], text);
        seen.ran("import --json", &ran);
        let ran = home.run_with(&["login", "shop", "--import", "-"], text);
        seen.ran("import", &ran);
    }
    let process = up.stop();
    let log = process.stderr();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it did log");
    seen.text("up's stdout", &process.stdout());
    seen.text("up's stderr", &log);
    seen.files(&home.data());
    seen.assert_clean();
}

#[test]
fn no_token_is_in_what_a_killed_process_leaves() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().marker(MARK).access_ttl_ms(1_500));
    let home = home_at(&issuer, "");
    let mut seen = Seen::default();
    import(&home, &issuer.issue());
    for point in [
        "store.commit.before",
        "store.commit.after",
        "store.intent.after",
    ] {
        let mut command = Keeper::command(&home);
        command
            .env("TENURE_LOG", "trace")
            .env("TENURE_FAULT", format!("{point}:abort"))
            .env("RUST_BACKTRACE", "full");
        let mut up = Process::spawn(&mut command);
        assert!(!up.wait().success(), "it aborted at {point}");
        seen.text(point, &(up.stdout() + &up.stderr()));
        seen.files(&home.data());
        // The session is lost to a strict server where the answer was lost; then somebody logs in again.
        import(&home, &issuer.issue());
    }
    for _ in 0..10 {
        seen.ran("status", &traced(&home, &["status", "--json"]));
    }
    seen.assert_clean();
}

#[test]
fn the_mark_would_be_found() {
    // The control: what the search looks for is in what `tenure token` prints.
    let issuer = FaultyIssuer::start(IssuerConfig::new().marker(MARK));
    let home = home_at(&issuer, "");
    import(&home, &issuer.issue());
    let printed = home.run(&["token", "shop"]).ok().out;
    assert!(printed.starts_with(MARK), "{printed}");
}
