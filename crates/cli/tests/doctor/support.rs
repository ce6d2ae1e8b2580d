//! Homes with one session `shop`, and what the doctor says of it.

use serde_json::Value;
use tenure_lab::FaultyIssuer;

use crate::common::{Home, Ran};

/// A home whose session `shop` is found by discovery at this issuer.
pub fn home_at(issuer: &FaultyIssuer) -> Home {
    home_with(&issuer.url(), &issuer.url_of("/api"), "")
}

/// The same with the issuer and the upstream as given, and more lines.
pub fn home_with(issuer: &str, upstream: &str, more: &str) -> Home {
    let home = Home::new();
    // The profile with discovery; a client without a secret unless `more` says otherwise.
    let client = if more.contains("client_id") {
        ""
    } else {
        "client_id = \"lab\"\n"
    };
    home.write(
        "tenure.toml",
        &format!(
            "[sessions.shop]\nprovider = \"oauth2\"\nissuer = \"{issuer}\"\nupstream = \"{upstream}\"\n{client}{more}\n"
        ),
    );
    home
}

/// Imports a token response.
pub fn import(home: &Home, pair: &Value) {
    home.run_with(&["login", "shop", "--import", "-"], &pair.to_string())
        .ok();
}

/// What the doctor found, as JSON.
pub struct Findings {
    pub ran: Ran,
    pub json: Value,
}

/// `tenure doctor shop --json`, asking the API for its orders.
pub fn doctor(home: &Home) -> Findings {
    examine(home, &["shop", "--path", "/orders"])
}

/// `tenure doctor --json` with these arguments.
pub fn examine(home: &Home, args: &[&str]) -> Findings {
    let ran = home.run(&[&["doctor", "--json"], args].concat());
    let json = ran.json();
    assert_eq!(json["exit_code"], ran.code, "{ran:?}");
    Findings { ran, json }
}

impl Findings {
    /// The check with this name; the last where there are several.
    pub fn check(&self, id: &str) -> &Value {
        let checks = self.json["checks"].as_array().expect("a list");
        checks
            .iter()
            .rfind(|check| check["id"] == id)
            .unwrap_or_else(|| panic!("no check {id} in {}", self.ran.out))
    }

    /// How the check ended.
    pub fn outcome(&self, id: &str) -> &str {
        self.check(id)["outcome"].as_str().expect("a word")
    }

    /// The verdict's code; empty when nothing wrong was found.
    pub fn code(&self) -> &str {
        self.json["verdict"]["code"].as_str().unwrap_or_default()
    }

    /// The verdict, the exit code and the check that found it.
    pub fn assert_verdict(&self, code: &str, exit: i32, check: &str) {
        assert_eq!(self.code(), code, "{:#}", self.json);
        assert_eq!(self.ran.code, exit, "{:#}", self.json);
        assert_eq!(self.outcome(check), "fail", "{:#}", self.json);
        assert!(!self.steps().is_empty(), "{:#}", self.json);
    }

    /// The steps, in order.
    pub fn steps(&self) -> Vec<&str> {
        let fixes = self.json["fixes"].as_array().expect("a list");
        fixes
            .iter()
            .map(|fix| fix["step"].as_str().expect("a text"))
            .collect()
    }

    /// The value of a fact of a check.
    pub fn fact(&self, check: &str, kind: &str) -> String {
        let facts = self.check(check)["evidence"].as_array().expect("a list");
        let fact = facts.iter().find(|fact| fact["kind"] == kind);
        fact.unwrap_or_else(|| panic!("no {kind} in {}", self.check(check)))["value"]
            .as_str()
            .expect("a text")
            .to_owned()
    }
}
