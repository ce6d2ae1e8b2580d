//! `tenure issuer …`: looking after the issuer of a running `tenure up`, and issuers served alone.
#![allow(clippy::unwrap_used)] // A test may panic; the text says why.

mod common;

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Answer, Home, Ran, Up, get, request, wait_for};
use serde_json::Value;
use tenure_lab::{Postgres, free_port};

/// The words after `tenure issuer`, with their result as JSON.
fn issuer(home: &Home, args: &[&str]) -> Value {
    home.run(&[&["issuer", "--json"], args].concat())
        .ok()
        .json()
}

fn state(up: &Up) -> Value {
    up.admin("/api/v1/sessions/shop").json()["state"].clone()
}

fn until_served(up: &Up) {
    wait_for("the session to be served", || {
        (up.gateway("/shop/orders").status == 200).then_some(())
    });
}

fn until_refused(up: &Up) -> Answer {
    wait_for("the session to be refused", || {
        let answer = up.gateway("/shop/orders");
        (answer.status != 200).then_some(answer)
    })
}

fn log_in(home: &Home, password: &str) -> Ran {
    home.run_with(
        &["login", "shop", "--password"],
        &format!("demo\n{password}\n"),
    )
}

#[test]
fn a_new_password_logs_the_running_session_out() {
    let home = Home::new();
    let up = home.up_example();
    assert_eq!(up.gateway("/shop/orders").status, 200);
    let first = up.ready["login"]["password"].as_str().unwrap();
    let second = "canary-word-of-demo";
    let ran = home
        .run_with(
            &["issuer", "users", "password", "demo"],
            &format!("{second}\n"),
        )
        .ok();
    assert!(ran.out.contains("1 session ended"), "{ran:?}");
    assert!(!format!("{ran:?}").contains(second), "{ran:?}");

    assert_eq!(until_refused(&up).status, 401);
    assert_eq!(state(&up), "needs_login");
    assert_ne!(log_in(&home, first).code, 0, "the old password is gone");
    log_in(&home, second).ok();
    until_served(&up);

    let made = issuer(&home, &["users", "password", "demo", "--generate"]);
    assert_eq!(made["sessions_ended"], 1);
    assert_eq!(until_refused(&up).status, 401);
    log_in(&home, made["password"].as_str().unwrap()).ok();
    until_served(&up);

    let listed = issuer(&home, &["sessions", "list", "--user", "Demo"]);
    let states: Vec<_> = listed["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| (session["state"].as_str(), session["reason"].as_str()))
        .collect();
    let ended = (Some("ended"), Some("administrator"));
    assert_eq!(states, [(Some("alive"), None), ended, ended], "{listed}");
}

#[test]
fn a_disabled_account_is_refused_and_goes_on_when_enabled() {
    let home = Home::new();
    let up = home.up_example();
    until_served(&up);
    issuer(&home, &["users", "disable", "demo"]);
    until_refused(&up);
    let users = issuer(&home, &["users", "list"]);
    assert_eq!(users["users"][0]["disabled"], true, "{users}");
    let sessions = issuer(&home, &["sessions", "list"]);
    let waiting = &sessions["sessions"][0];
    assert_eq!(
        (&waiting["state"], &waiting["reason"]),
        (&"waiting".into(), &"account_disabled".into()),
    );
    issuer(&home, &["users", "enable", "demo"]);
    let refresh = format!("{}/api/v1/sessions/shop/refresh", up.url("admin"));
    wait_for("the session to go on", || {
        request("POST", &refresh, &[], "");
        (up.gateway("/shop/orders").status == 200).then_some(())
    });
    let sessions = issuer(&home, &["sessions", "list"]);
    assert_eq!(
        sessions["sessions"].as_array().unwrap().len(),
        1,
        "no login"
    );
    let unknown = home.run(&["issuer", "users", "disable", "nobody"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.err.contains("issuer users list"), "{unknown:?}");
}

#[test]
fn a_revoked_session_needs_a_login() {
    let home = Home::new();
    let up = home.up_example();
    until_served(&up);
    let listed = issuer(&home, &["sessions", "list"]);
    let session = &listed["sessions"][0];
    assert_eq!(session["user"], "demo");
    assert_eq!(session["state"], "alive");
    let sid = session["sid"].as_str().unwrap();
    let table = home.run(&["issuer", "sessions", "list"]).ok();
    assert!(
        table.out.contains(sid) && table.out.contains("alive"),
        "{table:?}"
    );
    let revoke = |which: &[&str]| {
        issuer(&home, &[&["sessions", "revoke"], which].concat())["sessions_ended"].clone()
    };
    assert_eq!(revoke(&[sid]), 1);
    assert_eq!(until_refused(&up).status, 401);
    assert_eq!(state(&up), "needs_login");
    assert_eq!(revoke(&[sid]), 0, "it has ended already");
    assert_eq!(revoke(&["--user", "demo"]), 0);
    assert_eq!(revoke(&["--all"]), 0);
    for wrong in [
        &["nosuch"][..],
        &["--user", "nobody"],
        &["--client", "nothing"],
        &[],
        &["--all", "--user", "demo"],
    ] {
        let ran = home.run(&[&["issuer", "sessions", "revoke"], wrong].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
    }
}

#[test]
fn a_next_key_waits_until_everybody_knows_it() {
    let home = Home::new();
    let up = home.up_example();
    let none = home.run(&["issuer", "keys", "promote"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("keys rotate"), "{none:?}");
    let next = issuer(&home, &["keys", "rotate"]);
    assert_eq!(
        (&next["made"], &next["key"]["state"]),
        (&true.into(), &"next".into())
    );
    let again = issuer(&home, &["keys", "rotate"]);
    assert_eq!(again["made"], false);
    assert_eq!(again["key"]["kid"], next["key"]["kid"]);
    let early = home.run(&["issuer", "keys", "promote"]);
    assert_eq!(early.code, 5, "{early:?}");
    assert!(early.err.contains("keys promote` again in "), "{early:?}");
    wait_for("the running issuer to publish it", || {
        let jwks = get(&format!("{}/jwks.json", up.url("issuer"))).json();
        (jwks["keys"].as_array()?.len() == 2).then_some(())
    });
    let listed = issuer(&home, &["keys", "list"]);
    let states: Vec<_> = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["state"])
        .collect();
    assert_eq!(states, ["active", "next"]);
    assert_eq!(home.run(&["issuer", "keys", "revoke", "nosuch"]).code, 2);
}

/// Ends the traffic, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The key that signed the session's access token.
fn kid(home: &Home) -> String {
    let token = home.run(&["token", "shop", "--min-valid", "1s"]).ok().out;
    let header = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().unwrap().to_owned()
}

#[test]
fn a_revoked_key_costs_no_login_and_no_request() {
    let home = Home::new();
    let up = home.up_example();
    until_served(&up);
    let old = kid(&home);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut served = 0;
            while !done.load(Ordering::Relaxed) {
                let answer = up.gateway("/shop/orders");
                assert_eq!(answer.status, 200, "{answer:?}");
                served += 1;
            }
            served
        });
        let over = Over(&done);
        let revoked = issuer(&home, &["keys", "revoke", &old]);
        wait_for("a token of another key", || {
            (traffic.is_finished() || kid(&home) == revoked["key"]["kid"]).then_some(())
        });
        drop(over);
        assert!(traffic.join().expect("every request was served") > 0);
    });
    assert_eq!(state(&up), "fresh");
    let sessions = issuer(&home, &["sessions", "list"]);
    assert_eq!(
        sessions["sessions"].as_array().unwrap().len(),
        1,
        "no login"
    );
}

#[test]
fn a_drill_under_traffic_costs_no_login() {
    let home = Home::new();
    let up = home.up_example();
    until_served(&up);
    let old = kid(&home);
    let done = AtomicBool::new(false);
    let drilled = std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let answer = up.gateway("/shop/orders");
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        });
        let over = Over(&done);
        let drilled = issuer(&home, &["keys", "drill", "--wait"]);
        drop(over);
        traffic.join().expect("every request was served");
        drilled
    });
    assert_eq!(drilled["revoked"], old.as_str(), "{drilled}");
    assert_eq!(drilled["signs"], kid(&home).as_str(), "{drilled}");
    let counts = ["sessions", "renewed", "waiting", "ended", "logins"].map(|name| &drilled[name]);
    assert_eq!(counts, [1, 1, 0, 0, 0], "{drilled}");
    let keys = issuer(&home, &["keys", "list"]);
    assert_eq!(keys["keys"][0]["state"], "revoked", "{keys}");
    assert_eq!(keys["keys"][1]["alg"], "ES256", "{keys}");
    let said = home.run(&["issuer", "keys", "drill"]).ok();
    assert!(said.out.contains("1 session is alive"), "{said:?}");
}

#[test]
fn what_was_done_is_shown_and_a_change_of_it_is_seen() {
    let home = Home::new();
    let up = home.up_example();
    until_served(&up);
    let listed = issuer(&home, &["sessions", "list"]);
    let sid = listed["sessions"][0]["sid"].as_str().unwrap().to_owned();
    let refresh = format!("{}/api/v1/sessions/shop/refresh", up.url("admin"));
    request("POST", &refresh, &[], "");
    issuer(&home, &["sessions", "revoke", &sid]);
    let shown = issuer(&home, &["sessions", "show", &sid]);
    let happened: Vec<_> = shown["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(happened, ["session.began", "session.ended"], "{shown}");
    assert!(
        shown["ended_at"].is_i64() && shown["last_address"] == "127.0.0.1",
        "{shown}"
    );
    let text = home.run(&["issuer", "sessions", "show", &sid]).ok();
    for words in [
        "user      demo",
        "ended (administrator)",
        "from 127.0.0.1",
        "session.ended",
    ] {
        assert!(text.out.contains(words), "{words}: {text:?}");
    }
    assert_eq!(home.run(&["issuer", "sessions", "show", "nosuch"]).code, 2);

    let list = home
        .run(&["issuer", "audit", "list", "--action", "session"])
        .ok();
    assert_eq!(list.out.lines().count(), 2, "{list:?}");
    let export = home.run(&["issuer", "audit", "export"]).ok();
    let last: Value = serde_json::from_str(export.out.lines().last().unwrap()).unwrap();
    let whole = issuer(&home, &["audit", "verify"]);
    let head = format!("{}:{}", last["seq"], last["mac"].as_str().unwrap());
    assert_eq!(whole["head"], head.as_str(), "{whole}");
    home.run(&["issuer", "audit", "verify", "--head", &head])
        .ok();
    let wrong = home.run(&["issuer", "audit", "verify", "--head", "7"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let other = head
        .replace(':', ":0")
        .get(..head.len())
        .unwrap()
        .to_owned();
    let broken = home.run(&["issuer", "audit", "verify", "--head", &other]);
    assert_eq!(broken.code, 4, "{broken:?}");
    assert!(broken.err.contains("was changed"), "{broken:?}");
}

#[test]
fn what_is_missing_is_said() {
    let home = Home::new();
    let nothing = home.run(&["issuer", "users", "list"]);
    assert_eq!(nothing.code, 4, "{nothing:?}");
    assert!(nothing.err.contains("`tenure up`"), "{nothing:?}");
    assert!(!home.data().exists(), "looking makes nothing");

    home.write("tenure.toml", "");
    let without = home.run(&["issuer", "serve"]);
    assert_eq!(without.code, 4, "{without:?}");
    assert!(
        without.err.contains("tenure.toml") && without.err.contains("[issuer]"),
        "{without:?}"
    );

    for (text, place, says) in [
        (
            "url = \"http://127.0.0.1:1\"\naudience = \"api\"\nlissten = \"x\"",
            ":4:1",
            "`listen`",
        ),
        (
            "url = \"http://127.0.0.1:1\"",
            ":1:1",
            "`issuer.audience` is missing",
        ),
        (
            "url = \"http://id.example\"\naudience = \"api\"",
            ":2:7",
            "plain http",
        ),
        (
            "url = \"https://id.example/here\"\naudience = \"api\"",
            ":2:7",
            "more than scheme",
        ),
        (
            "url = \"https://id.example\"\naudience = \"api\"\ndatabase = \"postgres://ada:canary-9@db/x\"",
            ":4:12",
            "must not be written",
        ),
        (
            "url = \"https://id.example\"\naudience = \"api\"\naccess_ttl = \"500ms\"",
            ":4:14",
            "whole seconds",
        ),
    ] {
        home.write("tenure.toml", &format!("[issuer]\n{text}\n"));
        let ran = home.run(&["issuer", "keys", "list"]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(
            ran.err.contains(place) && ran.err.contains(says),
            "{text}: {ran:?}"
        );
        assert!(!ran.err.contains("canary"), "{ran:?}");
    }
}

/// A configuration with an issuer of its own and a session at it.
fn configured(database: &str) -> (Home, String) {
    let home = Home::new();
    let url = format!("http://127.0.0.1:{}", free_port());
    let text = format!(
        "[issuer]\nurl = \"{url}\"\nlisten = \"{}\"\naudience = \"https://api.example\"\nscopes = [\"orders\"]\n{database}\n\
         [sessions.job]\nprovider = \"tenure\"\nissuer = \"{url}\"\nclient_id = \"job\"\nclient_secret = {{ file = \"job.secret\" }}\n\
         flow = \"client_credentials\"\nscopes = [\"orders\"]\nupstream = \"none\"\n",
        url.trim_start_matches("http://")
    );
    home.write("tenure.toml", &text);
    (home, url)
}

fn serve(command: Command) -> Up {
    Up::start_saying(command, "discovery")
}

fn token(url: &str, form: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    request("POST", &format!("{url}/token"), &headers, form)
}

#[test]
fn an_issuer_served_alone_answers_discovery_and_logs_a_program_in() {
    let (home, url) = configured("");
    let client = issuer(&home, &["clients", "add", "job", "--scope", "orders"]);
    let secret = client["secret"].as_str().unwrap();
    home.write("job.secret", secret);
    let up = serve(home.command(&["issuer", "serve", "--json"]));
    assert_eq!(up.url("issuer"), url);
    assert_eq!(up.ready["database"], "sqlite");
    let discovery = get(&up.url("discovery"));
    assert_eq!(
        discovery.json()["issuer"],
        Value::from(url.clone()),
        "{discovery:?}"
    );
    home.run(&["login", "job"]).ok();
    let printed = home.run(&["token", "job"]).ok();
    assert_eq!(printed.out.matches('.').count(), 2, "a JWT");

    // What another process changes reaches the one that serves.
    let ask = |secret: &str| {
        let form = format!("grant_type=client_credentials&client_id=job&client_secret={secret}");
        token(&url, &form).status
    };
    assert_eq!(ask(secret), 200);
    let fresh = issuer(&home, &["clients", "secret", "job"]);
    let fresh = fresh["secret"].as_str().unwrap();
    wait_for("the new secret", || (ask(fresh) == 200).then_some(()));
    assert_eq!(ask(secret), 401);
    let twice = home.run(&["issuer", "clients", "add", "job"]);
    assert_eq!(twice.code, 2, "{twice:?}");
    let slip = home.run(&["issuer", "clients", "add", "other", "--scope", "ordres"]);
    assert_eq!(slip.code, 2, "{slip:?}");
    let shop = ["clients", "add", "shop", "--public", "--dpop", "--par"];
    let after = ["--logout-uri", "https://shop.example/bye"];
    let told = ["--backchannel-logout-uri", "https://shop.example/told"];
    issuer(&home, &[&shop[..], &after, &told].concat());
    let plain = ["--backchannel-logout-uri", "http://shop.example/told"];
    let plain = home.run(&[&["issuer", "clients", "add", "plain"], &plain[..]].concat());
    assert!(plain.code != 0 && plain.err.contains("https"), "{plain:?}");
    let listed = issuer(&home, &["clients", "list"]);
    let shop = &listed["clients"][1];
    assert_eq!(shop["logout_uris"][0], after[1], "{listed}");
    assert_eq!(shop["backchannel_logout_uri"], told[1], "{listed}");
    assert!(
        shop["dpop"] == true && shop["par"] == true && listed["clients"][0]["par"] == false,
        "{listed}"
    );
    issuer(&home, &["clients", "remove", "job"]);
    wait_for("the client to be gone", || {
        (ask(fresh) == 401).then_some(())
    });

    assert_eq!(up.stop("TERM"), (Some(0), String::new()));
    let reach = home.run(&["issuer", "serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(reach.code, 2, "{reach:?}");
    assert!(reach.err.contains("plain http"), "{reach:?}");
    for signal in ["INT", "HUP"] {
        let up = serve(home.command(&["issuer", "serve", "--json"]));
        assert_eq!(up.stop(signal), (Some(0), String::new()), "{signal}");
    }
    let key = home.data().join("issuer.key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("it is there");
    let open = home.run(&["issuer", "serve"]);
    assert_eq!(open.code, 4, "{open:?}");
    assert!(open.err.contains("chmod 600"), "{open:?}");
    std::fs::remove_file(&key).expect("it was there");
    let keyless = home.run(&["issuer", "serve"]);
    assert_eq!(keyless.code, 4, "{keyless:?}");
    assert!(keyless.err.contains("issuer.key"), "{keyless:?}");
    assert!(!key.exists(), "another key opens nothing");
}

/// One refresh; `None` where nobody answered, or not to the end.
fn refresh(url: &str, token: &str) -> Option<Value> {
    let form = format!("grant_type=refresh_token&client_id=till&refresh_token={token}");
    let mut stream = TcpStream::connect(url.strip_prefix("http://")?).ok()?;
    let request = format!(
        "POST /token HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn refresh_token(answer: &Value) -> String {
    answer["refresh_token"]
        .as_str()
        .unwrap_or_else(|| panic!("no tokens: {answer}"))
        .to_owned()
}

#[test]
fn sessions_go_on_when_one_of_three_issuers_on_one_database_is_killed() {
    let database = Postgres::shared().database();
    let (home, _) = configured("database = { env = \"ISSUER_DB\" }");
    let command = |args: &[&str]| {
        let mut command = home.command(&[&["issuer", "--json"], args].concat());
        command.env("ISSUER_DB", &database);
        command
    };
    let run = |args: &[&str]| {
        Ran::from(command(args).output().expect("it starts"))
            .ok()
            .json()
    };
    // At one time, on a database that is empty yet.
    let mut all: Vec<Up> = std::thread::scope(|scope| {
        let start = || serve(command(&["serve", "--listen", "127.0.0.1:0"]));
        let starting = [(); 3].map(|()| scope.spawn(start));
        starting.map(|one| one.join().expect("it starts")).into()
    });
    assert_eq!(all[0].ready["database"], "postgres");
    let urls: Vec<_> = all.iter().map(|one| one.url("listen")).collect();
    let made = run(&["users", "add", "ada", "--generate"]);
    let password = made["password"].as_str().unwrap();
    let public = ["clients", "add", "till", "--public", "--scope", "orders"];
    run(&[&public[..], &["--grant", "password", "--grant", "refresh"]].concat());
    for url in &urls {
        // What one made, the others know within a quarter of a second.
        wait_for("the client to be known", || {
            let told = refresh(url, "no-token")?;
            (told["error"] == "invalid_grant").then_some(())
        });
    }
    let log_in = || {
        let form = format!("grant_type=password&client_id=till&username=ada&password={password}");
        wait_for("the client to be known", || {
            let answer = token(&urls[0], &form);
            (answer.status == 200).then(|| refresh_token(&answer.json()))
        })
    };

    let (mut steady, mut moving) = (log_in(), log_in());
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // One that asks the first issuer until it dies, then the second, with the token it has.
        let follower = scope.spawn(|| {
            let mut after = 0;
            while after < 10 {
                let answer = refresh(&urls[0], &moving).or_else(|| {
                    assert!(killed.load(Ordering::Relaxed), "it answers while it lives");
                    after += 1;
                    refresh(&urls[1], &moving)
                });
                moving = refresh_token(&answer.expect("the second answers"));
            }
        });
        for round in 0..20 {
            let url = &urls[1 + round % 2];
            steady = refresh_token(&refresh(url, &steady).expect("it answers"));
            if round == 9 {
                killed.store(true, Ordering::Relaxed);
                all.remove(0).signal("KILL");
            }
        }
        follower.join().expect("its session went on");
    });
    let sessions = run(&["sessions", "list", "--user", "ada"]);
    let alive =
        |session: &Value| session["state"] == "alive" && session["generation"].as_u64() > Some(10);
    let sessions = sessions["sessions"].as_array().unwrap();
    assert!(
        sessions.len() == 2 && sessions.iter().all(alive),
        "{sessions:?}"
    );
    assert_eq!(
        run(&["sessions", "revoke", "--client", "till"])["sessions_ended"],
        2
    );
    for url in &urls[1..] {
        assert_eq!(refresh(url, &steady).unwrap()["error"], "invalid_grant");
    }

    // Another machine without the key: said, and nothing left that would stand in the way of the right one.
    let (elsewhere, _) = configured("database = { env = \"ISSUER_DB\" }");
    let mut keyless = elsewhere.command(&["issuer", "keys", "list"]);
    let keyless = Ran::from(keyless.env("ISSUER_DB", &database).output().unwrap());
    assert_eq!(keyless.code, 4, "{keyless:?}");
    assert!(keyless.err.contains("copy the key file"), "{keyless:?}");
    assert!(!elsewhere.data().join("issuer.key").exists());
}
