//! What the scenarios share: a running `tenure up` that can be frozen and read, session tables, logins.

use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};
use tenure_lab::{FaultyIssuer, Process};

use crate::common::{Answer, Home, Ran, get, request, talk, wait_for};

/// A running `tenure up` whose output is kept in files; killed when dropped.
pub struct Keeper {
    pub process: Process,
    ready: Value,
}

impl Keeper {
    /// Starts it on free ports and waits until it is ready.
    pub fn start(home: &Home) -> Self {
        Self::spawn(&mut Self::command(home))
    }

    /// The command, for tests that add to its environment.
    pub fn command(home: &Home) -> Command {
        let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        home.command(&[&["up", "--json"], &ports[..]].concat())
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut process = Process::spawn(command);
        let line = process.wait_for_line("\"gateway\"");
        let ready = serde_json::from_str(&line).expect("the ready line is JSON");
        Self { process, ready }
    }

    fn url(&self, what: &str) -> &str {
        self.ready[what].as_str().expect("an address")
    }

    /// URL of a path at the gateway.
    pub fn gateway_url(&self, path: &str) -> String {
        format!("{}{path}", self.url("gateway"))
    }

    /// `host:port` of the gateway.
    pub fn gateway_address(&self) -> &str {
        let url = self.url("gateway");
        url.strip_prefix("http://").expect("http")
    }

    /// URL of a path at the admin address.
    pub fn admin_url(&self, path: &str) -> String {
        format!("{}{path}", self.url("admin"))
    }

    pub fn get(&self, path: &str) -> Answer {
        get(&self.gateway_url(path))
    }

    /// A request with this very request target, however odd, and these headers.
    pub fn raw(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let address = self.gateway_address();
        let stream = TcpStream::connect(address).expect("it listens");
        talk(stream, "GET", address, target, headers, "")
    }

    /// `/api/v1/sessions/shop`.
    pub fn shop(&self) -> Value {
        get(&self.admin_url("/api/v1/sessions/shop")).json()
    }

    /// Waits until the session's state is this, and gives the session.
    pub fn wait_state(&self, state: &str) -> Value {
        wait_for(state, || {
            let shop = self.shop();
            (shop["state"] == state).then_some(shop)
        })
    }

    /// Ctrl-C, and waits for a clean end.
    pub fn stop(mut self) -> Process {
        self.process.interrupt();
        assert_eq!(
            self.process.wait().code(),
            Some(0),
            "{}",
            self.process.stderr()
        );
        self.process
    }
}

/// A home whose session `shop` is kept at this issuer; its API is the upstream.
pub fn home_at(issuer: &FaultyIssuer, more: &str) -> Home {
    home_between(&issuer.token_endpoint(), &issuer.url_of("/api"), more)
}

/// A home whose session `shop` gets its tokens and is used at these URLs.
pub fn home_between(token_endpoint: &str, upstream: &str, more: &str) -> Home {
    let home = Home::new();
    home.write(
        "tenure.toml",
        &format!(
            "[sessions.shop]\ntoken_endpoint = \"{token_endpoint}\"\nupstream = \"{upstream}\"\n\
             client_id = \"lab\"\nclient_auth = \"none\"\n{more}\n\
             [keeper.timing]\nbackoff_min = \"100ms\"\nbackoff_max = \"1s\"\n"
        ),
    );
    home
}

/// A home whose session `shop` is at a site by the profile `provider`.
pub fn home_with(provider: &str, issuer: &str, upstream: &str) -> Home {
    let home = Home::new();
    home.write(
        "tenure.toml",
        &format!(
            "[sessions.shop]\nprovider = \"{provider}\"\nissuer = \"{issuer}\"\nupstream = \"{upstream}\"\n\
             [keeper.timing]\nbackoff_min = \"100ms\"\nbackoff_max = \"1s\"\n"
        ),
    );
    home
}

/// `tenure login shop --import -` with this token response.
pub fn import(home: &Home, pair: &Value) -> Ran {
    home.run_with(&["login", "shop", "--import", "-"], &pair.to_string())
        .ok()
}

/// `tenure login shop --password` as this user, plus `more`.
pub fn log_in(home: &Home, user: &str, more: &[&str]) -> Ran {
    let args = [&["login", "shop", "--password", "--username", user], more].concat();
    home.run_with(&args, "secret\n")
}

/// A login behind the curtain at the issuer, imported; its refresh token.
pub fn seed(home: &Home, issuer: &FaultyIssuer) -> String {
    let pair = issuer.issue();
    import(home, &pair);
    refresh_token(&pair)
}

/// The code at the end of a failure's chain: what it all comes from.
pub fn root_code(failure: &Value) -> String {
    match &failure["because"] {
        Value::Null => failure["code"].as_str().expect("a code").to_owned(),
        because => root_code(because),
    }
}

/// The refresh token of a token response.
pub fn refresh_token(pair: &Value) -> String {
    pair["refresh_token"]
        .as_str()
        .expect("it rotates")
        .to_owned()
}

/// The same token response, obtained so long ago that so many seconds are left of its life.
pub fn ending_in(mut pair: Value, seconds: i64) -> Value {
    let [obtained, life] =
        ["obtained_at", "expires_in"].map(|field| pair[field].as_i64().expect("said"));
    pair["obtained_at"] = json!(obtained - (life - seconds));
    pair
}

/// What `tenure token shop` prints.
pub fn token(home: &Home) -> String {
    let ran = home.run(&["token", "shop", "--min-valid", "0s"]).ok();
    ran.out.trim().to_owned()
}

/// A GET with this bearer token.
pub fn get_as(url: &str, token: &str) -> Answer {
    request(
        "GET",
        url,
        &[("authorization", &format!("Bearer {token}"))],
        "",
    )
}

/// Starts the program as often as asked, all at once, each with its output in files.
pub fn at_once(homes: &[&Home], args: &[&str]) -> Vec<Process> {
    homes
        .iter()
        .map(|home| Process::spawn(&mut home.command(args)))
        .collect()
}
