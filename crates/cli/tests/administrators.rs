//! The administrators' API of `tenure issuer serve`, and the commands that look after it.
#![allow(clippy::unwrap_used)] // A test may panic; the text says why.

mod common;

use common::{Answer, Home, Up, request, wait_for};
use serde_json::{Value, json};
use tenure_lab::free_port;

const OWN: &str = "canary-secret-of-the-administrator";

fn home(more: &str) -> Home {
    let home = Home::new();
    let at = format!("127.0.0.1:{}", free_port());
    let text = format!(
        "[issuer]\nurl = \"http://{at}\"\nlisten = \"{at}\"\naudience = \"https://api.example\"\n\
         scopes = [\"orders\"]\nadmin_listen = \"127.0.0.1:0\"\n{more}"
    );
    home.write("tenure.toml", &text);
    home
}

fn serve(home: &Home) -> Up {
    Up::start_saying(home.command(&["issuer", "--json", "serve"]), "discovery")
}

/// The words after `tenure issuer`, with their result as JSON.
fn issuer(home: &Home, args: &[&str]) -> Value {
    home.run(&[&["issuer", "--json"], args].concat())
        .ok()
        .json()
}

fn ask(up: &Up, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    let url = format!("{}/admin/v1{path}", up.ready["admin"].as_str().unwrap());
    request(method, &url, &headers, &body.to_string())
}

#[test]
fn the_first_start_makes_an_administrator_and_the_next_one_none() {
    let home = home("");
    let up = serve(&home);
    let first = &up.ready["first_administrator"];
    let secret = first["one_time_secret"].as_str().unwrap();
    let login = json!({ "name": first["name"], "secret": secret, "new_secret": OWN });
    let inside = ask(&up, "POST", "/login", "", &login).json();
    let token = inside["token"].as_str().unwrap();
    let made = ask(&up, "POST", "/users", token, &json!({ "name": "ada" }));
    assert_eq!(made.status, 201, "{made:?}");
    // The command on the machine and the API look at one thing.
    let listed = issuer(&home, &["users", "list"]);
    assert_eq!(listed, ask(&up, "GET", "/users", token, &json!({})).json());
    let (code, said) = up.stop("TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(OWN), "{said}");

    let again = serve(&home);
    assert!(again.ready["first_administrator"].is_null());
    let login = json!({ "name": "admin", "secret": OWN });
    assert_eq!(ask(&again, "POST", "/login", "", &login).status, 200);
    let made = home.run(&["issuer", "administrators", "add", "eva"]).ok();
    assert!(made.out.contains("one-time secret of eva"), "{made:?}");
    let token = home
        .run(&["issuer", "administrators", "token", "eva", "--for", "job"])
        .ok();
    let token = token.out.trim();
    assert_eq!(ask(&again, "GET", "/keys", token, &json!({})).status, 200);
    home.run(&["issuer", "administrators", "remove", "eva"])
        .ok();
    assert_eq!(ask(&again, "GET", "/keys", token, &json!({})).status, 401);
    let last = home.run(&["issuer", "administrators", "remove", "admin"]);
    assert!(last.code == 2 && last.err.contains("last one"), "{last:?}");
}

#[test]
fn lifetimes_set_by_a_command_are_in_force_at_once_where_it_is_served() {
    let home =
        home("idle_lifetime = \"14d\"\nsession_lifetime = \"never\"\nrotation_window = \"5s\"\n");
    issuer(&home, &["administrators", "add", "eva"]);
    let token = issuer(&home, &["administrators", "token", "eva", "--for", "test"]);
    let token = token["token"].as_str().unwrap();
    let up = serve(&home);
    let lifetimes = || ask(&up, "GET", "/lifetimes", token, &json!({})).json();
    assert_eq!(
        lifetimes(),
        json!({ "access": 300, "idle": 1_209_600, "session": null, "window": 5, "decided": [] })
    );
    issuer(
        &home,
        &["lifetimes", "set", "--session", "90d", "--idle", "never"],
    );
    wait_for("the lifetimes to be known", || {
        (lifetimes()["decided"] == json!(["idle", "session"])).then_some(())
    });
    // What was set before stays.
    let set = issuer(&home, &["lifetimes", "set", "--access", "2m"]);
    assert_eq!(
        set,
        json!({ "access": 120, "idle": null, "session": 7_776_000, "window": 5,
                "decided": ["access", "idle", "session"] })
    );
    let wrong = home.run(&["issuer", "lifetimes", "set", "--window", "2h"]);
    assert!(wrong.code == 2 && wrong.err.contains("3600 s"), "{wrong:?}");
    let reset = issuer(&home, &["lifetimes", "reset"]);
    assert_eq!(reset["access"], 300);
}

#[test]
fn the_api_is_not_put_where_others_can_reach_it() {
    let home = home("");
    let args = ["issuer", "serve", "--admin-listen", "0.0.0.0:0"];
    let refused = home.run(&args);
    assert!(
        refused.code == 2 && refused.err.contains("plain http"),
        "{refused:?}"
    );
    for (more, words) in [
        ("rotation_window = \"2h\"\n", "issuer.rotation_window"),
        ("idle_lifetime = \"0s\"\n", "issuer.idle_lifetime"),
    ] {
        let home = self::home(more);
        let refused = home.run(&["issuer", "keys", "list"]);
        assert!(
            refused.code == 4 && refused.err.contains(words),
            "{refused:?}"
        );
    }
}
