//! `tenure init`: against the embedded issuer as the server to be found.

mod common;

use common::Home;

#[test]
fn a_server_is_found_written_and_usable() {
    let server = Home::new();
    let up = server.up_example();
    let issuer = up.url("issuer");
    let home = Home::new();
    home.write("tenure.toml", "# mine\n[keeper]\nlisten = \"127.0.0.1:0\"");
    let upstream = format!("{issuer}/api");
    let args = [
        "init",
        &issuer,
        "--name",
        "shop",
        "--client-id",
        "tenure-cli",
        "--upstream",
        &upstream,
    ];
    let ran = home.run(&args).ok();
    assert!(
        ran.out.contains("found") && ran.out.contains("next: tenure login shop"),
        "{ran:?}"
    );
    let text = std::fs::read_to_string(home.path().join("tenure.toml")).expect("readable");
    assert!(
        text.starts_with("# mine\n[keeper]\nlisten = \"127.0.0.1:0\"\n\n[sessions.shop]\n"),
        "{text}"
    );
    assert!(text.contains(&format!("issuer = \"{issuer}\"\n")), "{text}");
    assert!(text.contains("provider = \"tenure\"\n"), "{text}");
    assert!(ran.out.contains("`tenure_version`"), "{ran:?}");
    let again = home.run(&args);
    assert_eq!(again.code, 2, "{again:?}");
    assert!(
        again.err.contains("a session shop already") && again.err.contains("tenure.toml:5"),
        "{again:?}"
    );
    assert_eq!(
        std::fs::read_to_string(home.path().join("tenure.toml")).expect("readable"),
        text,
        "nothing was changed"
    );

    // The session works: another store, a login of its own, a token, a request.
    let tokens = server
        .run(&["token", "shop", "--min-valid", "1s", "--json"])
        .ok()
        .json();
    let import =
        serde_json::json!({ "access_token": tokens["access_token"], "expires_in": 10 }).to_string();
    home.run_with(&["login", "shop", "--import", "-"], &import)
        .ok();
    let got = home.run(&["request", "shop", "GET", "/orders/1"]).ok();
    assert_eq!(got.json()["id"], 1);
}

#[test]
fn what_is_no_server_is_told_and_nothing_is_written() {
    let home = Home::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let args = ["init", &format!("http://{gone}"), "--name", "x"];
    let ran = home.run(&args);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(
        ran.err.contains(&format!("{gone}/ does not answer")),
        "{ran:?}"
    );
    assert!(
        ran.err
            .contains("fix: check the address, and that the server runs"),
        "{ran:?}"
    );
    let long = ran.err.lines().find(|line| line.len() > 160);
    assert_eq!(long, None, "{ran:?}");
    let error = home.run(&[&args[..], &["--json"]].concat()).json()["error"].clone();
    assert_eq!(error["failure"]["code"], "API01002", "{error}");
    assert!(error["fix"].is_string(), "{error}");
    assert!(!home.path().join("tenure.toml").exists());
    let ran = home.run(&["init", "http://shop.example"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("plain http"), "{ran:?}");
    let ran = home.run(&["init", args[1]]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.err.contains("--name"), "what else is missing: {ran:?}");
}

#[test]
fn a_server_that_is_none_is_told_in_lines() {
    let site = tenure_lab::wordpress::Tmeister::start();
    site.deactivate_plugin();
    let home = Home::new();
    let ran = home.run(&["init", &site.url(), "--name", "x"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.err.matches("evidence: tried = ").count() >= 3,
        "{ran:?}"
    );
    assert!(
        ran.err
            .contains("fix: check the address; if it is right, write"),
        "{ran:?}"
    );
}

#[test]
fn what_is_missing_is_named_at_once() {
    let issuer = tenure_lab::FaultyIssuer::start(tenure_lab::IssuerConfig::default());
    let home = Home::new();
    let ran = home.run(&["init", &issuer.url()]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.err.contains("--name SESSION") && ran.err.contains("--client-id ID"),
        "{ran:?}"
    );
    assert!(!home.path().join("tenure.toml").exists());
}

/// The port of an address.
fn port(url: &str) -> &str {
    url.rsplit(':').next().expect("a port")
}

#[test]
fn the_example_is_found_from_its_issuer_and_from_its_api() {
    let server = Home::new();
    let up = server.up_example();
    let issuer = up.url("issuer");
    let port = port(&issuer);
    let password = up.ready["login"]["password"].as_str().expect("a password");
    for address in [
        format!("http://localhost:{port}"),
        format!("localhost:{port}"),
        format!("http://localhost:{port}/api"),
        // Only the refusal of this one points to the API's metadata.
        format!("127.0.0.1:{port}/api/orders"),
    ] {
        let home = Home::new();
        let ran = home.run(&["init", &address, "--name", "store"]).ok();
        let over = ran.out.contains("asked over http");
        assert_eq!(over, !address.contains("://"), "{ran:?}");
        let text = std::fs::read_to_string(home.path().join("tenure.toml")).expect("written");
        for line in [
            format!("issuer = \"{issuer}\"\n"),
            "client_id = \"tenure-cli\"\n".to_owned(),
            "scopes = [\"orders\", \"offline_access\"]\n".to_owned(),
            format!("upstream = \"{issuer}/api\"\n"),
        ] {
            assert!(text.contains(&line), "{address}: {text}");
        }
        let typed = format!("demo\n{password}\n");
        home.run_with(&["login", "store", "--password"], &typed)
            .ok();
        let got = home.run(&["request", "store", "GET", "/orders"]).ok();
        assert!(got.json()["orders"].is_array(), "{got:?}");
    }
}

#[test]
fn tenure_itself_is_told_apart_from_a_server() {
    let server = Home::new();
    let up = server.up_example();
    let home = Home::new();
    for (address, what) in [
        (up.url("gateway"), "the gateway of a Tenure that runs"),
        (format!("{}/shop", up.url("gateway")), "of session shop"),
        (up.url("admin"), "the status page of a Tenure that runs"),
    ] {
        let ran = home.run(&["init", &address, "--name", "x"]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(
            ran.err.contains(what) && ran.err.contains("the issuer that `tenure up` shows"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_server_that_stays_silent_is_tried_again_later() {
    // The system accepts what nobody takes up.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let home = Home::new();
    let ran = home.run(&["init", &address, "--name", "x"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(
        ran.err
            .starts_with(&format!("asking http://{address}/ …\n")),
        "{ran:?}"
    );
    assert!(ran.err.contains("does not answer"), "{ran:?}");
    assert!(ran.err.contains("that the server runs"), "{ran:?}");
}

#[test]
fn an_error_is_told_once() {
    let server = Home::new();
    let up = server.up_example();
    let home = Home::new();
    let address = format!("https://127.0.0.1:{}", port(&up.url("issuer")));
    let ran = home.run(&["init", &address, "--name", "x"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(
        ran.err.matches("does not speak TLS at this port").count(),
        1,
        "{ran:?}"
    );
}

#[test]
fn slips_in_an_address_are_no_hosts() {
    let home = Home::new();
    for (address, says) in [
        ("htp:/x", "no host with a port"),
        ("localhost:80:80", "invalid port"),
        ("localhost:", "no host with a port"),
        ("ftp://shop.example", "not ftp"),
        ("https://", "empty host"),
        ("shop example", "is no address"),
        ("/etc/passwd", "looks like a path of a file"),
        ("https:///etc/passwd", "no host stands after the ://"),
        ("mailto:a@shop.example", "user name or password"),
        ("https://a:canary-5@shop.example", "user name or password"),
    ] {
        for command in ["init", "doctor"] {
            let ran = home.run(&[command, address]);
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(!ran.err.contains("canary"), "{ran:?}");
            if command == "init" {
                assert!(
                    ran.err.contains(says) && ran.err.contains("fix: "),
                    "{ran:?}"
                );
            }
        }
    }
}

#[test]
fn the_plugin_of_a_wordpress_site_is_told_from_its_sibling() {
    use tenure_lab::wordpress::{SimpleJwtLogin, Tmeister, Usefulteam};
    let (flat, envelope) = (Tmeister::start(), Usefulteam::start());
    let (three, four) = (SimpleJwtLogin::start(3), SimpleJwtLogin::start(4));
    for (provider, url) in [
        ("wordpress-tmeister", flat.url()),
        ("wordpress-usefulteam", envelope.url()),
        ("wordpress-simple-jwt-login-3", three.url()),
        ("wordpress-simple-jwt-login-4", four.url()),
    ] {
        let home = Home::new();
        let ran = home.run(&["init", &url, "--name", "shop"]).ok();
        assert!(!ran.out.contains("guess"), "{ran:?}");
        let text = std::fs::read_to_string(home.path().join("tenure.toml")).expect("written");
        assert!(
            text.contains(&format!("provider = \"{provider}\"")),
            "{text}"
        );
    }
}
