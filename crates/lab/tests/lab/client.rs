//! A small HTTP client: one connection per request, so that faults do not reach the next one.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// A text at a JSON pointer; empty if there is none.
    pub(crate) fn at(&self, pointer: &str) -> String {
        self.json()
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }
}

/// Sends a request with headers; an error says how the transport failed.
pub(crate) async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, String> {
    let url = url::Url::parse(url).expect("a URL");
    let address = format!(
        "{}:{}",
        url.host_str().expect("a host"),
        url.port().expect("a port")
    );
    let stream = TcpStream::connect(&address)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("handshake");
    let driver = tokio::spawn(connection);
    let target = url[url::Position::BeforePath..].to_owned();
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", &address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let (parts, body) = answer.into_parts();
    let body = body
        .collect()
        .await
        .map_err(|error| format!("body: {error:?}"))?;
    let trailers = body.trailers().cloned();
    drop(sender);
    driver.abort();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.to_bytes(),
        trailers,
    })
}

pub(crate) async fn get(url: &str, token: Option<&str>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer
        .iter()
        .map(|bearer| ("authorization", bearer.as_str()))
        .collect();
    send("GET", url, &headers, "").await.expect("an answer")
}

pub(crate) async fn post_json(url: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    send("POST", url, &all, &body.to_string())
        .await
        .expect("an answer")
}

pub(crate) async fn post_form(url: &str, form: &[(&str, &str)]) -> Result<Answer, String> {
    let body = serde_urlencoded::to_string(form).expect("a form");
    send(
        "POST",
        url,
        &[("content-type", "application/x-www-form-urlencoded")],
        &body,
    )
    .await
}

/// A refresh at an issuer.
pub(crate) async fn refresh(endpoint: &str, token: &str) -> Result<Answer, String> {
    post_form(
        endpoint,
        &[("grant_type", "refresh_token"), ("refresh_token", token)],
    )
    .await
}
