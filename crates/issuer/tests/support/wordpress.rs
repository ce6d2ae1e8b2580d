//! What the tests of the WordPress dialects share: questions and answers in their shapes, of the issuer or of a stand-in.

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use tenure_issuer::{WordPress, WordpressPlugin};
use tenure_jose::{SigningKey, peek};
use tenure_lab::wordpress::Site;

use super::{HOUR, PASSWORD, Server, form};

pub const TOKEN: &str = "/wp-json/jwt-auth/v1/token";
pub const VALIDATE: &str = "/wp-json/jwt-auth/v1/token/validate";
pub const ROTATE: &str = "/wp-json/jwt-auth/v1/token/refresh";
pub const ME: &str = "/wp-json/wp/v2/users/me";
pub const POS_REFRESH: &str = "/wp-json/wcpos/v1/auth/refresh";
pub const SESSIONS: &str = "/wp-json/wcpos/v2/auth/sessions";
pub const REDIRECT: &str = "http://127.0.0.1:49152/cb";
pub const DAY: i64 = 24 * HOUR;

pub async fn speaking(plugin: WordpressPlugin) -> Server {
    Server::with(|options| options.wordpress = Some(WordPress::new(plugin))).await
}

pub async fn distinct(plugin: WordpressPlugin) -> Server {
    let speaks = WordPress {
        distinct_codes: true,
        ..WordPress::new(plugin)
    };
    Server::with(|options| options.wordpress = Some(speaks)).await
}

/// An answer of either side.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Heard {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Status and body, to be compared.
    pub fn said(&self) -> (u16, &Value) {
        (self.status, &self.body)
    }

    pub fn token(&self) -> String {
        let token = self.body.pointer("/token");
        let token = token
            .or_else(|| self.body.pointer("/data/token"))
            .or_else(|| self.body.pointer("/access_token"));
        token
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no token: {self:?}"))
            .to_owned()
    }

    /// `refresh_token=…` of the cookie that was set.
    pub fn cookie(&self) -> String {
        let set = self.headers.get(header::SET_COOKIE).expect("a cookie");
        let set = set.to_str().unwrap();
        assert!(set.contains("; path=/; HttpOnly"), "{set}");
        set.split(';').next().unwrap().to_owned()
    }
}

/// Something to be asked.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: Vec<(&'a str, String)>,
    pub body: Option<Value>,
}

pub fn ask<'a>(method: &'a str, path: &'a str) -> Ask<'a> {
    Ask {
        method,
        path,
        headers: Vec::new(),
        body: None,
    }
}

pub fn post(path: &str) -> Ask<'_> {
    ask("POST", path)
}

impl<'a> Ask<'a> {
    pub fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", format!("Bearer {token}"))
    }

    pub fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self.with("content-type", "application/json")
    }

    pub fn request<B>(&self, base: &str, body: impl FnOnce(String) -> B) -> Request<B> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{base}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let text = self.body.as_ref().map_or(String::new(), Value::to_string);
        request.body(body(text)).unwrap()
    }

    pub async fn issuer(&self, server: &Server) -> Heard {
        let answer = server.send(self.request("", Body::from)).await;
        Heard {
            status: answer.status.as_u16(),
            body: serde_json::from_str(&answer.text).unwrap_or(Value::Null),
            headers: answer.headers,
        }
    }

    pub async fn site(&self, site: &Site) -> Heard {
        let client = tenure_http::Client::new().unwrap();
        let request = self.request(&site.url(), bytes::Bytes::from);
        let wait = std::time::Duration::from_secs(30);
        let answer = client.send(request, wait, 1 << 20).await.unwrap();
        let (parts, body) = answer.into_parts();
        Heard {
            status: parts.status.as_u16(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            headers: parts.headers,
        }
    }
}

pub fn login(name: &str, password: &str) -> Ask<'static> {
    post(TOKEN).json(json!({ "username": name, "password": password }))
}

/// A token with these claims, signed with the issuer's shared secret.
pub fn forge(server: &Server, claims: &Value) -> String {
    let secret = server.issuer.wordpress_secret().expect("a secret");
    let key = SigningKey::from_secret("", secret.expose().as_bytes()).unwrap();
    key.sign(Some("JWT"), claims).unwrap().expose().to_owned()
}

/// The claims of a token, with some of them changed.
pub fn changed(token: &str, changes: &[(&str, Value)]) -> Value {
    let mut claims = Value::Object(peek(token).unwrap().claims);
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims
}

/// Logs in on the page, as a browser does; the answer's parameters.
pub async fn pos_login(server: &Server) -> Value {
    let query = form(&[("redirect_uri", REDIRECT), ("state", "s 1")]);
    let page = server.get(&format!("/wcpos-auth?{query}")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let cookie = page.header(header::SET_COOKIE).split(';').next().unwrap();
    let (asked, token) = (page.field("asked"), page.field("token"));
    let fields = form(&[
        ("asked", asked.as_str()),
        ("token", &token),
        ("username", "ada"),
        ("password", PASSWORD),
        ("decision", "allow"),
    ]);
    let request = Request::post("/wcpos-auth")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, cookie)
        .body(Body::from(fields));
    let answer = server.send(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert!(answer.header(header::LOCATION).starts_with(REDIRECT));
    let back = url::Url::parse(answer.header(header::LOCATION)).unwrap();
    let pairs = back
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())));
    let pair = Value::Object(pairs.collect());
    assert_eq!(pair["state"], "s 1");
    pair
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

pub fn pos_refresh(token: &str) -> Ask<'static> {
    post(POS_REFRESH).json(json!({ "refresh_token": token }))
}

impl Server {
    /// Another process on the same database.
    pub async fn again(&self, plugin: WordpressPlugin) -> Server {
        let (dir, clock) = (self.dir.clone(), self.clock.clone());
        Server::open(dir, clock, |options| {
            options.wordpress = Some(WordPress::new(plugin));
        })
        .await
    }
}
