//! A session `shop`, its configuration, and the keeper that runs it.

use std::cell::RefCell;

use serde_json::Value;
use tenure_lab::FaultyIssuer;

use crate::common::Home;
use crate::support::{Keeper, import};

/// Where a case is played.
pub struct Stage {
    pub home: Home,
    /// What is asked at the gateway.
    pub path: String,
    up: Option<Keeper>,
    /// What was seen last, for the report of a wait that was too long.
    seen: RefCell<String>,
}

impl Stage {
    /// A home with this configuration, nothing running yet.
    pub fn new(config: &str, path: &str) -> Self {
        let home = Home::new();
        home.write("tenure.toml", config);
        Self {
            home,
            path: path.to_owned(),
            up: None,
            seen: RefCell::default(),
        }
    }

    /// The same, with this login taken over and the keeper running.
    pub fn running(config: &str, path: &str, pair: &Value) -> Self {
        let mut stage = Self::new(config, path);
        import(&stage.home, pair);
        stage.start();
        stage
    }

    pub fn start(&mut self) {
        self.up = Some(Keeper::start(&self.home));
    }

    pub fn stop(&mut self) {
        self.up.take().expect("it runs").stop();
    }

    /// The configuration corrected, the keeper started again.
    pub fn restart_with(&mut self, config: &str) {
        self.stop();
        self.home.write("tenure.toml", config);
        self.start();
    }

    pub fn up(&self) -> &Keeper {
        self.up.as_ref().expect("it runs")
    }

    /// It works before it is broken.
    pub fn works(self) -> Self {
        let answer = self.up().get(&self.path);
        assert_eq!(answer.status, 200, "{answer:?}");
        self
    }

    pub fn remember(&self, seen: String) {
        *self.seen.borrow_mut() = seen;
    }

    /// `tenure login shop --import -`.
    pub fn log_in(&self, pair: &Value) {
        import(&self.home, pair);
    }

    /// `tenure login shop --password`, as the lab's `admin`.
    pub fn log_in_with(&self, user: &str, password: &str) {
        self.home
            .run_with(
                &["login", "shop", "--password", "--username", user],
                &format!("{password}\n"),
            )
            .ok();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seen last: {}", self.seen.borrow());
        }
    }
}

/// Waits of a failing endpoint, short.
pub const TIMING: &str =
    "[keeper.timing]\nbackoff_min = \"100ms\"\nbackoff_max = \"1s\"\nexchange_timeout = \"2s\"\n";

/// `shop` at an OAuth issuer whose API is its upstream; `more` are lines of the session.
pub fn oauth(issuer: &FaultyIssuer, more: &str) -> String {
    between(&issuer.token_endpoint(), &issuer.url_of("/api"), more)
}

/// `shop` between a token endpoint and an API.
pub fn between(token_endpoint: &str, upstream: &str, more: &str) -> String {
    format!(
        "[sessions.shop]\ntoken_endpoint = \"{token_endpoint}\"\nupstream = \"{upstream}\"\n\
         client_id = \"lab\"\n{more}\n{TIMING}"
    )
}

/// A public client.
pub const PUBLIC: &str = "client_auth = \"none\"";

/// `shop` at a WordPress site.
pub fn wordpress(provider: &str, issuer: &str, upstream: &str) -> String {
    format!(
        "[sessions.shop]\nprovider = \"{provider}\"\nissuer = \"{issuer}\"\nupstream = \"{upstream}\"\n{TIMING}"
    )
}
