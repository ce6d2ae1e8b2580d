//! The two ends of the network: who may call the gateway, and which servers it trusts.

mod common;

use common::{Home, request};
use tenure_lab::tls::CA_PEM;
use tenure_lab::{FaultyIssuer, IssuerConfig, TlsFront};

const TILL: &str = "till-till-till-till";
const OFFICE: &str = "office-office-office";

/// A session of which nothing is asked.
const SESSION: &str = "[sessions.shop]\ntoken_endpoint = \"https://id.example/token\"\nclient_id = \"till-7\"\n\
                       upstream = \"https://api.example\"\n";

fn home(keeper: &str) -> Home {
    let home = Home::new();
    home.write("tenure.toml", &format!("[keeper]\n{keeper}\n{SESSION}"));
    home
}

#[test]
fn off_loopback_without_keys_it_does_not_start() {
    let ports = ["--admin", "127.0.0.1:0"];
    for address in ["0.0.0.0:0", "[::]:0"] {
        let open = home(&format!("listen = \"{address}\""));
        let ran = open.run(&[&["up"], &ports[..]].concat());
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains("caller_keys"), "{ran:?}");
        // The same by the flag, which the configuration's check does not see.
        let ran = home("").run(&[&["up", "--listen", address], &ports[..]].concat());
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains("no caller keys are configured"), "{ran:?}");
    }
    // A source of keys that holds none opens nothing.
    let home = home("caller_keys = { file = \"keys\" }");
    home.write("keys", " \n\t\n");
    for address in ["0.0.0.0:0", "127.0.0.1:0"] {
        let ran = home.run(&[&["up", "--listen", address], &ports[..]].concat());
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains("nothing but white space"), "{ran:?}");
    }
}

#[test]
fn every_named_key_lets_its_caller_in() {
    let home = home(
        "caller_keys = [{ name = \"till\", file = \"till.key\" }, { name = \"office\", command = [\"cat\", \"office.key\"] }]",
    );
    home.write("till.key", &format!("{TILL}\n"));
    home.write("office.key", OFFICE);
    let up = home.up(&[]);
    let ask = |key: &str| {
        let url = format!("{}/shop/x", up.url("gateway"));
        let answer = request("GET", &url, &[("tenure-key", key)], "");
        answer.status
    };
    // 401: let in, and nobody is logged in.
    assert_eq!([ask(TILL), ask(OFFICE)], [401, 401]);
    assert_eq!([ask(""), ask("till"), ask("till-till-till-tilL")], [403; 3]);
}

#[test]
fn a_key_that_cannot_be_used_is_named() {
    let keeper = "caller_keys = [{ name = \"till\", file = \"till.key\" }, { name = \"office\", file = \"office.key\" }]";
    for (till, office, says) in [
        (
            TILL,
            None,
            "`keeper.caller_keys` (office): cannot read file",
        ),
        (
            TILL,
            Some("canary-3"),
            "caller key office is shorter than 16",
        ),
        (TILL, Some(TILL), "caller keys till and office are the same"),
        (
            TILL,
            Some("canary-3\ncanary-4"),
            "(office): there is more than one line",
        ),
    ] {
        let home = home(keeper);
        home.write("till.key", till);
        if let Some(office) = office {
            home.write("office.key", office);
        }
        let ran = home.run(&["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains(says), "{says}: {ran:?}");
        assert!(
            !ran.err.contains("canary") && !ran.err.contains(TILL),
            "{ran:?}"
        );
    }
}

#[test]
fn one_source_may_hold_several_keys() {
    let home = home("caller_keys = { file = \"keys\" }");
    home.write("keys", &format!("{TILL}\n\n{OFFICE}\n{TILL}\n"));
    let up = home.up(&[]);
    for (key, status) in [(TILL, 401), (OFFICE, 401), ("", 403)] {
        let url = format!("{}/shop/x", up.url("gateway"));
        let answer = request("GET", &url, &[("tenure-key", key)], "");
        assert_eq!(answer.status, status, "{key}");
    }
}

#[test]
fn servers_of_a_private_authority_are_trusted_by_ca_file() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let front = TlsFront::start(issuer.addr(), &["h2", "http/1.1"]);
    let home = Home::new();
    let session = format!(
        "[sessions.shop]\ntoken_endpoint = \"{0}/token\"\nclient_id = \"till-7\"\nupstream = \"{0}/api\"\n",
        front.url()
    );
    home.write("tenure.toml", &session);
    let tokens = issuer.issue().to_string();
    home.run_with(&["login", "shop", "--import", "-"], &tokens)
        .ok();
    let ran = home.run(&["request", "shop", "GET", "/orders"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("API01005"), "{ran:?}");

    home.write("tls/ca.pem", CA_PEM);
    home.write(
        "tenure.toml",
        &format!("{session}ca_file = \"tls/ca.pem\"\n"),
    );
    home.run(&["request", "shop", "GET", "/orders"]).ok();
    // The token endpoint is reached with the same trust.
    issuer.revoke_access_tokens();
    home.run(&["request", "shop", "GET", "/orders"]).ok();
    assert_eq!(issuer.exchanges().len(), 1);
    assert!(
        front
            .negotiated()
            .iter()
            .all(|one| one.as_deref() == Some("h2"))
    );
}
