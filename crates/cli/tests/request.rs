//! `tenure request`: what it prints where.

mod common;

use common::Home;
use tenure_lab::{FaultyIssuer, IssuerConfig};

fn home(issuer: &FaultyIssuer, upstream: &str) -> Home {
    let home = Home::new();
    home.write(
        "tenure.toml",
        &format!(
            "[sessions.shop]\ntoken_endpoint = \"{}\"\nclient_id = \"lab\"\nclient_auth = \"none\"\nupstream = \"{upstream}\"\n",
            issuer.token_endpoint()
        ),
    );
    home.run_with(
        &["login", "shop", "--import", "-"],
        &issuer.issue().to_string(),
    )
    .ok();
    home
}

#[test]
fn an_answer_without_a_body_is_told_by_its_status() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home(&issuer, &issuer.url_of("/api"));
    let ran = home.run(&["request", "shop", "HEAD", "/status/200"]).ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "200 OK\n"));
    let ran = home
        .run(&["request", "shop", "HEAD", "/status/200", "-i"])
        .ok();
    assert!(ran.out.starts_with("HTTP/1.1 200 OK\n"), "{ran:?}");
    assert_eq!(ran.err, "", "said once");
}

#[test]
fn a_whole_address_below_the_upstream_is_a_path() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home(&issuer, &issuer.url_of("/api"));
    let here = issuer.url_of("/api/orders");
    let by_path = home.run(&["request", "shop", "GET", "/orders"]).ok();
    assert_eq!(
        home.run(&["request", "shop", "GET", &here]).ok().out,
        by_path.out
    );
    let hits = issuer.requests().len();
    let ran = home.run(&["request", "shop", "GET", "http://127.0.0.1:9/orders?page=2"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(
        ran.err.contains("error: ") && ran.err.contains("e.g. /orders?page=2"),
        "{ran:?}"
    );
    assert_eq!(issuer.requests().len(), hits, "nothing was sent");
}

#[test]
fn what_keeps_a_request_from_being_answered_is_an_error_like_any_other() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("an address");
    let home = home(&issuer, &format!("http://{gone}"));
    let ran = home.run(&["request", "shop", "GET", "/orders"]);
    assert_eq!((ran.code, ran.out.as_str()), (5, ""), "{ran:?}");
    for part in ["error: ", "fix: ", "API01002"] {
        assert!(ran.err.contains(part), "no {part}: {ran:?}");
    }
    let ran = home.run(&["request", "shop", "GET", "/orders", "--json"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["failure"]["code"], "API01002", "{error}");
    assert!(error["fix"].is_string(), "{error}");
}

#[test]
fn an_ended_session_is_told_on_stderr() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().access_ttl_s(1));
    let home = home(&issuer, &issuer.url_of("/api"));
    issuer.expire_access_now();
    issuer.revoke_all_families();
    common::wait_for("the end of the token", || {
        let status = home.run(&["status", "--json"]).ok().json();
        (status["sessions"][0]["access_expires_in"].as_i64()? < 0).then_some(())
    });
    let ran = home.run(&["request", "shop", "GET", "/orders"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
    assert!(ran.err.contains("fix: run `tenure login shop`"), "{ran:?}");
}

#[test]
fn a_path_that_leads_out_of_the_upstream_is_a_wrong_argument() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home(&issuer, &issuer.url_of("/api"));
    for path in ["/../orders", "/orders/../../x", "/..%2forders"] {
        let ran = home.run(&["request", "shop", "GET", path]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        for part in [
            path,
            "session shop: ",
            "leads out of the base path",
            "fix: write a path and query below the upstream",
        ] {
            assert!(ran.err.contains(part), "no {part}: {ran:?}");
        }
    }
    assert_eq!(issuer.hits("/orders"), 0, "nothing was sent");
}

#[test]
fn errors_name_their_session_once() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().access_ttl_s(1));
    let home = home(&issuer, &issuer.url_of("/api"));
    issuer.revoke_all_families();
    common::wait_for("the end of the token", || {
        let status = home.run(&["status", "--json"]).ok().json();
        (status["sessions"][0]["access_expires_in"].as_i64()? < 0).then_some(())
    });
    for command in [
        &["token", "shop"][..],
        &["request", "shop", "GET", "/orders"],
    ] {
        let ran = home.run(command);
        assert_eq!(ran.code, 3, "{ran:?}");
        let first = ran.err.lines().next().unwrap_or_default();
        assert_eq!(first.matches("session shop").count(), 1, "{ran:?}");
    }
    home.run(&["logout", "shop"]).ok();
    let ran = home.run(&["token", "shop"]);
    let first = ran.err.lines().next().unwrap_or_default();
    assert_eq!(first.matches("session shop").count(), 1, "{ran:?}");
}
