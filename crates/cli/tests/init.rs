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
    let ran = home.run(&["init", &format!("http://{gone}"), "--name", "x"]);
    assert!(ran.code == 4 || ran.code == 5, "{ran:?}");
    assert!(ran.err.contains(&gone.to_string()), "{ran:?}");
    assert!(!home.path().join("tenure.toml").exists());
    let ran = home.run(&["init", "http://shop.example"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("plain http"), "{ran:?}");
    let ran = home.run(&["init", "http://127.0.0.1:1"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("--name"), "{ran:?}");
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
