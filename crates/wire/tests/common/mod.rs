//! What the tests of this crate share.
#![allow(dead_code)] // Each test file uses a part.

use std::collections::BTreeMap;

use bytes::Bytes;
use tenure_core::Secret;
use tenure_wire::{
    Client, ClientAuth, Ctx, Dialect, Exchange, Granted, Refusal, Request, Response, Server, Step,
    TokenAnswer, Unusable,
};
use url::Url;

/// Tue, 14 May 2024 09:26:53 GMT.
pub const NOW: i64 = 1_715_678_813;

pub fn ctx() -> Ctx {
    Ctx {
        now_s: NOW,
        jti: "jti-1".into(),
    }
}

pub fn url(text: &str) -> Url {
    text.parse().expect("a url")
}

pub fn server(dialect: Dialect) -> Server {
    let base = "https://shop.example/wp-json";
    let (token, login) = match &dialect {
        Dialect::OAuth2 => ("https://id.example/token".to_owned(), None),
        Dialect::JsonRefresh(_) => (
            "https://api.example/refresh".to_owned(),
            Some("https://api.example/login".to_owned()),
        ),
        Dialect::WordpressTmeister | Dialect::WordpressUsefulteam => {
            (format!("{base}/jwt-auth/v1/token"), None)
        }
        Dialect::SimpleJwtLogin { .. } => (
            format!("{base}/simple-jwt-login/v1/auth/refresh"),
            Some(format!("{base}/simple-jwt-login/v1/auth")),
        ),
        Dialect::Wcpos => (format!("{base}/wcpos/v2/auth/refresh"), None),
    };
    let mut server = Server::new(dialect, url(&token));
    server.login_endpoint = login.as_deref().map(url);
    server
}

pub fn client(auth: ClientAuth) -> Client {
    Client {
        id: "till 7".into(),
        secret: Some(Secret::new("s%c:r+t/1")),
        key: None,
        auth,
    }
}

pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let mut builder = http::Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .expect("a response")
}

pub fn json(status: u16, body: &str) -> Response {
    response(status, &[("content-type", "application/json")], body)
}

/// The fields of a form body.
pub fn form(request: &Request) -> BTreeMap<String, String> {
    assert_eq!(
        header(request, "content-type"),
        Some("application/x-www-form-urlencoded")
    );
    url::form_urlencoded::parse(request.body())
        .into_owned()
        .collect()
}

/// A JSON body.
pub fn body(request: &Request) -> serde_json::Value {
    assert_eq!(header(request, "content-type"), Some("application/json"));
    serde_json::from_slice(request.body()).expect("a JSON body")
}

pub fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request
        .headers()
        .get(name)
        .map(|value| value.to_str().expect("a text header"))
}

/// What every request must look like.
pub fn assert_manners(request: &Request) {
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(header(request, "accept"), Some("application/json"));
    assert_eq!(header(request, "user-agent"), Some(tenure_wire::USER_AGENT));
    assert!(tenure_wire::USER_AGENT.starts_with("tenure/"));
}

/// Feeds one answer that must end the exchange.
pub fn end(exchange: &mut Exchange, response: &Response) -> TokenAnswer {
    match exchange.on_response(response, &ctx()) {
        Step::Done(answer) => answer,
        Step::Send(request) => panic!("another request to {}", request.uri()),
    }
}

/// What a refresh ends with when the server answers so.
pub fn refresh_ends(dialect: Dialect, response: &Response) -> TokenAnswer {
    let (mut exchange, _) = Exchange::refresh(
        &server(dialect),
        &client(ClientAuth::None),
        &Secret::new("the-refresh-token-held"),
        None,
        false,
        &ctx(),
    )
    .expect("a refresh");
    end(&mut exchange, response)
}

/// What a login by password ends with when the server answers so.
pub fn login_ends(dialect: Dialect, response: &Response) -> TokenAnswer {
    let (mut exchange, _) = Exchange::password(
        &server(dialect),
        &client(ClientAuth::None),
        "anna",
        &Secret::new("correct horse"),
        None,
        &ctx(),
    )
    .expect("a login");
    end(&mut exchange, response)
}

pub fn granted(answer: TokenAnswer) -> Granted {
    match answer {
        TokenAnswer::Granted(granted) => granted,
        other => panic!("not granted: {other:?}"),
    }
}

pub fn refused(answer: TokenAnswer) -> Refusal {
    match answer {
        TokenAnswer::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn unusable(answer: TokenAnswer) -> Unusable {
    match answer {
        TokenAnswer::Unusable(unusable) => unusable,
        other => panic!("not unusable: {other:?}"),
    }
}

/// A JWT with these claims; nobody checks its signature here.
pub fn jwt(claims: &serde_json::Value) -> String {
    format!(
        "{}.{}.{}",
        tenure_jose::b64url(br#"{"typ":"JWT","alg":"HS256"}"#),
        tenure_jose::b64url(claims.to_string()),
        tenure_jose::b64url([7; 32])
    )
}

pub fn exposed(secret: Option<&Secret>) -> Option<&str> {
    secret.map(Secret::expose)
}
