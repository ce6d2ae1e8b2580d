//! A person at the issuer's pages, logins that run, and homes whose session lies at a lab issuer.

use std::io::PipeWriter;
use std::process::Stdio;

use serde_json::Value;
use tenure_lab::{FaultyIssuer, Process};
use url::form_urlencoded;

use crate::common::{Answer, Home, Up, get, request, wait_for};

/// The built-in example, running, with the password it showed.
pub struct Example {
    pub home: Home,
    pub up: Up,
    pub password: String,
}

impl Example {
    pub fn start() -> Self {
        let home = Home::new();
        let up = home.up_example();
        assert_eq!(up.ready["login"]["username"], "demo");
        let password = up.ready["login"]["password"]
            .as_str()
            .expect("the first start makes a password")
            .to_owned();
        Self { home, up, password }
    }

    pub fn shop(&self) -> Value {
        self.up.admin("/api/v1/sessions/shop").json()
    }

    pub fn generation(&self) -> u64 {
        self.shop()["generation"].as_u64().expect("a number")
    }

    /// After this only a login can make the gateway serve again.
    pub fn log_out(&self) {
        self.home.run(&["logout", "shop"]).ok();
        wait_for("the logout", || {
            (self.up.gateway("/shop/orders").status == 401).then_some(())
        });
    }

    /// Waits until the running `up` serves the session.
    pub fn until_served(&self) {
        wait_for("the new login to be served", || {
            (self.up.gateway("/shop/orders").status == 200).then_some(())
        });
    }
}

/// A login under way.
pub fn login(home: &Home, args: &[&str]) -> Process {
    Process::spawn(&mut home.command(&[&["login", "shop"], args].concat()))
}

/// The same with something to type into.
pub fn login_typing(home: &Home, args: &[&str]) -> (Process, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = home.command(&[&["login", "shop"], args].concat());
    let process = Process::spawn_with(&mut command, Stdio::from(reader));
    (process, writer)
}

/// The address that `login --browser` shows.
pub fn shown_address(login: &mut Process) -> String {
    login.wait_for_line("/authorize?").trim().to_owned()
}

/// A login form as a browser holds it.
pub struct Form {
    action: String,
    fields: Vec<(String, String)>,
    cookie: String,
}

impl Form {
    /// Opens the page.
    pub fn open(url: &str) -> Self {
        let page = get(url);
        assert_eq!(page.status, 200, "{page:?}");
        let cookie = page.header("set-cookie").expect("a cookie for the form");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let origin = url::Url::parse(url).expect("a URL");
        let action = between(&page.body, "action=\"", "\"");
        let fields = page
            .body
            .split("<input type=\"hidden\" ")
            .skip(1)
            .map(|input| {
                let value = between(input, "value=\"", "\"");
                (between(input, "name=\"", "\""), value)
            })
            .collect();
        Self {
            action: origin.join(&action).expect("a path").into(),
            fields,
            cookie,
        }
    }

    /// Signs in as `demo`.
    pub fn sign_in(&self, password: &str) -> Answer {
        let typed = [
            ("username", "demo"),
            ("password", password),
            ("decision", "allow"),
        ];
        self.send(&typed)
    }

    /// Presses the other button.
    pub fn refuse(&self) -> Answer {
        self.send(&[("decision", "deny")])
    }

    fn send(&self, typed: &[(&str, &str)]) -> Answer {
        let hidden = self
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(hidden.chain(typed.iter().copied()))
            .finish();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", self.cookie.as_str()),
        ];
        request("POST", &self.action, &headers, &body)
    }
}

/// Where a redirect leads.
pub fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("location").expect("a location").to_owned()
}

fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text.split(before).nth(1);
    let value = rest.and_then(|rest| rest.split(after).next());
    let value = value.unwrap_or_else(|| panic!("no {before} in {text}"));
    value.replace("&#38;", "&").replace("&amp;", "&")
}

/// A home whose session `shop` lies at this issuer, found by discovery.
pub fn home_at(issuer: &FaultyIssuer) -> Home {
    let home = Home::new();
    home.write(
        "tenure.toml",
        &format!(
            "[sessions.shop]\nissuer = \"{}\"\nupstream = \"{}\"\nclient_id = \"lab\"\nclient_auth = \"none\"\n",
            issuer.url(),
            issuer.url_of("/api")
        ),
    );
    home
}

/// The session's state and generation by `tenure status`.
pub fn state(home: &Home) -> (String, u64) {
    let status = home.run(&["status", "shop", "--json"]).ok().json();
    let shop = &status["sessions"][0];
    (
        shop["state"].as_str().expect("a state").to_owned(),
        shop["generation"].as_u64().expect("a number"),
    )
}
