//! `POST /api/v1/sessions/S/login`: an import over the local API.

use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::common::{Answer, Home, Up, request};
use crate::support::home_at;

struct Running {
    issuer: FaultyIssuer,
    _home: Home,
    up: Up,
}

impl Running {
    fn start() -> Self {
        let issuer = FaultyIssuer::start(IssuerConfig::new());
        let home = home_at(&issuer);
        let up = home.up(&[]);
        Self {
            issuer,
            _home: home,
            up,
        }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let url = format!("{}/api/v1/sessions/{path}", self.up.url("admin"));
        request("POST", &url, headers, body)
    }

    fn generation(&self) -> u64 {
        let shop = self.up.admin("/api/v1/sessions/shop").json();
        shop["generation"].as_u64().expect("a number")
    }
}

/// A refusal in the form of all refusals.
fn problem(answer: &Answer, status: u16) -> serde_json::Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{answer:?}"
    );
    answer.json()
}

#[test]
fn a_token_response_is_a_login_at_once() {
    let running = Running::start();
    let tokens = running.issuer.issue();
    let answer = running.post("shop/login", &[], &tokens.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    let status = answer.json();
    assert_eq!(
        (&status["name"], &status["state"], &status["generation"]),
        (&"shop".into(), &"fresh".into(), &1.into()),
        "the answer tells of the new login"
    );
    for name in ["access_token", "refresh_token"] {
        let token = tokens[name].as_str().expect("a token");
        assert!(!answer.body.contains(token), "{name} is shown");
    }
    let served = running.up.gateway("/shop/orders");
    assert_eq!(served.status, 200, "{served:?}");
    assert_eq!(
        running.issuer.requests_to("/api/orders")[0].bearer(),
        tokens["access_token"].as_str()
    );
    // Again: a new login.
    let again = running.post("shop/login", &[], &running.issuer.issue().to_string());
    assert_eq!(again.json()["generation"], 2, "{again:?}");
}

#[test]
fn a_name_and_a_password_log_in_and_a_wrong_one_changes_nothing() {
    let running = Running::start();
    let login = |password: &str| {
        let body = format!(r#"{{"username":"admin","password":"{password}"}}"#);
        running.post("shop/login", &[], &body)
    };
    let answer = login("secret");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["state"], "fresh", "{answer:?}");
    let refused = login("canary-password");
    let told = problem(&refused, 403);
    assert_eq!(told["code"], "API02001", "{told}");
    assert_eq!(told["session"], "shop", "{told}");
    assert!(!refused.body.contains("canary"), "{refused:?}");
    assert_eq!(running.generation(), 1);
    running.issuer.stop();
    let unreachable = login("secret");
    assert_eq!(problem(&unreachable, 503)["heal"], "retry_later");
    assert!(
        unreachable.header("retry-after").is_some(),
        "{unreachable:?}"
    );
    assert_eq!(running.generation(), 1);
}

#[test]
fn what_is_no_import_is_refused_and_never_repeated() {
    let running = Running::start();
    for body in [
        "",
        "canary",
        "[]",
        r#"{"scope":"canary"}"#,
        r#"{"access_token":7,"refresh_token":"canary"}"#,
        r#"{"acess_token":"canary"}"#,
    ] {
        let answer = running.post("shop/login", &[], body);
        let told = problem(&answer, 400);
        assert_eq!(told["cause"], "import_unreadable", "{body}: {told}");
        assert!(!answer.body.contains("canary"), "{answer:?}");
    }
    let large = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(300 * 1024));
    let told = problem(&running.post("shop/login", &[], &large), 413);
    let detail = told["detail"].as_str().expect("a text");
    assert!(detail.contains("larger than 256 KiB"), "{told}");
    let tokens = running.issuer.issue().to_string();
    problem(&running.post("nosuch/login", &[], &tokens), 404);
    let url = format!("{}/api/v1/sessions/shop/login", running.up.url("admin"));
    let read = request("GET", &url, &[], "");
    problem(&read, 405);
    assert_eq!(read.header("allow"), Some("POST"), "{read:?}");
    assert_eq!(running.generation(), 0);
}

#[test]
fn no_web_page_changes_a_session() {
    let running = Running::start();
    let tokens = running.issuer.issue().to_string();
    for path in ["shop/login", "shop/refresh", "shop/logout"] {
        for header in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let answer = running.post(path, &[header], &tokens);
            assert_eq!(problem(&answer, 403)["cause"], "cross_site", "{header:?}");
        }
        let answer = running.post(path, &[("host", "evil.example")], &tokens);
        problem(&answer, 421);
    }
    assert_eq!(running.generation(), 0);
}
