//! The protected API of the issuer.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tenure_lab::{FaultyIssuer, IssuerConfig, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::client::{get, post_json, send};

fn start() -> (FaultyIssuer, String) {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let token = issuer.issue()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    (issuer, token)
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (issuer, token) = start();
    let at = |path: &str| issuer.url_of(&format!("/api/{path}"));
    let bare = get(&at("orders"), None).await;
    assert_eq!(
        (bare.status, bare.header("www-authenticate")),
        (401, "Bearer realm=\"lab\"")
    );
    assert!(!bare.header("date").is_empty());
    let unknown = get(&at("orders"), Some("made-up")).await;
    assert!(
        unknown
            .header("www-authenticate")
            .contains("error=\"invalid_token\"")
    );
    let forbidden = get(&at("forbidden"), Some(&token)).await;
    assert_eq!(
        (forbidden.status, forbidden.at("/code").as_str()),
        (403, "order_locked")
    );
    assert_eq!(
        get(&at("always401"), Some(&token)).await.at("/error"),
        "invalid_token"
    );
    assert_eq!(
        get(&at("basic401"), Some(&token))
            .await
            .header("www-authenticate"),
        "Basic realm=\"lab\""
    );
    assert!(
        get(&at("scope403"), Some(&token))
            .await
            .header("www-authenticate")
            .contains("insufficient_scope")
    );
    assert_eq!(get(&at("status/503"), Some(&token)).await.status, 503);
    assert_eq!(get(&at("nothing"), Some(&token)).await.status, 404);
    issuer.set_redirect("http://127.0.0.1:9/elsewhere");
    let redirect = get(&at("redirect"), Some(&token)).await;
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (302, "http://127.0.0.1:9/elsewhere")
    );
    issuer
        .api_faults()
        .next(tenure_lab::Fault::status(502, "{}"));
    assert_eq!(get(&at("orders"), Some(&token)).await.status, 502);
}

#[tokio::test]
async fn orders_are_counted_only_when_accepted() {
    let (issuer, token) = start();
    let bearer = format!("Bearer {token}");
    let orders = issuer.url_of("/api/orders");
    let order = json!({ "item": 7 });
    assert_eq!(post_json(&orders, &[], &order).await.status, 401);
    let made = post_json(&orders, &[("authorization", &bearer)], &order).await;
    assert_eq!(
        (made.status, made.json()["received"].clone()),
        (201, order.clone())
    );
    assert_eq!(issuer.orders_posted(), [order]);
    assert_eq!(issuer.hits("/api/orders"), 2);
    assert_eq!(issuer.requests()[1].bearer(), Some(token.as_str()));
    let echo = send(
        "PUT",
        &issuer.url_of("/api/echo?a=1"),
        &[("authorization", &bearer), ("x-n", "1"), ("x-n", "2")],
        "body",
    )
    .await;
    let echo = echo.expect("an answer").json();
    assert_eq!(
        (&echo["method"], &echo["body"], &echo["headers"]["x-n"]),
        (&json!("PUT"), &json!("body"), &json!(["1", "2"]))
    );
}

#[tokio::test]
async fn streams_wait_at_the_gate_and_end_with_a_trailer() {
    let (issuer, token) = start();
    issuer.stream_gate().open();
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("te", "trailers".to_owned()),
    ];
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let whole = send("GET", &issuer.url_of("/api/stream?parts=2"), &headers, "")
        .await
        .expect("an answer");
    assert_eq!(&whole.body[..], b"part 1\npart 2\n");
    assert_eq!(whole.trailers.expect("trailers")["x-lab-parts"], "2");
    issuer.stream_gate().close();
    let before = issuer.stream_gate().arrived();
    let mut raw = TcpStream::connect(issuer.addr()).await.expect("connects");
    let request =
        format!("GET /api/sse HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    raw.write_all(request.as_bytes()).await.expect("sends");
    let mut seen = String::new();
    read_until(&mut raw, &mut seen, "data: {\"n\":1}\n\n").await;
    issuer.stream_gate().wait_arrived(before + 1).await;
    assert!(seen.contains("text/event-stream") && !seen.contains("{\"n\":2}"));
    issuer.stream_gate().pass_one();
    read_until(&mut raw, &mut seen, "data: {\"n\":2}\n\n").await;
}

async fn read_until(stream: &mut TcpStream, seen: &mut String, text: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        let n = stream.read(&mut buffer).await.expect("reads");
        assert_ne!(n, 0, "ended before {text:?}: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

#[tokio::test]
async fn a_slow_answer_waits_for_its_gate() {
    let (issuer, token) = start();
    let url = issuer.url_of("/api/slow");
    let asking = tokio::spawn(async move { get(&url, Some(&token)).await.status });
    issuer.slow_gate().wait_arrived(1).await;
    assert!(!asking.is_finished());
    issuer.slow_gate().pass_one();
    assert_eq!(asking.await.expect("no panic"), 200);
}

#[tokio::test]
async fn an_upload_is_refused_before_its_body() {
    let (issuer, token) = start();
    for (token, first_line) in [("bad", "HTTP/1.1 401"), (token.as_str(), "HTTP/1.1 100")] {
        let mut raw = TcpStream::connect(issuer.addr()).await.expect("connects");
        let head = format!(
            "POST /api/upload HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        raw.write_all(head.as_bytes()).await.expect("sends");
        let mut seen = String::new();
        read_until(&mut raw, &mut seen, "\r\n\r\n").await;
        assert!(seen.starts_with(first_line), "{seen}");
        if first_line.ends_with("100") {
            raw.write_all(b"12345").await.expect("sends");
            read_until(&mut raw, &mut seen, "{\"bytes\":5}").await;
        }
    }
    assert_eq!(issuer.uploaded_bytes(), 5);
    assert_eq!(issuer.requests_to("/api/upload")[1].body_len, 5);
}

#[tokio::test]
async fn web_sockets_echo_for_good_tokens() {
    let (issuer, token) = start();
    let url = format!("ws://{}/api/ws", issuer.addr());
    let stream = || async { TcpStream::connect(issuer.addr()).await.expect("connects") };
    let refused = tokio_tungstenite::client_async(url.as_str(), stream().await).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("401")));
    let mut request = url.into_client_request().expect("a request");
    request.headers_mut().insert(
        "authorization",
        format!("Bearer {token}").parse().expect("a header"),
    );
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream().await)
        .await
        .expect("upgrades");
    socket.send(Message::text("hello")).await.expect("sends");
    let echo = socket.next().await.expect("a message").expect("no error");
    assert_eq!(echo, Message::text("hello"));
    issuer.stop();
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn connections_are_counted() {
    let (issuer, token) = start();
    for _ in 0..3 {
        get(&issuer.url_of("/api/orders"), Some(&token)).await;
    }
    assert_eq!(issuer.connections(), 3);
    wait_until(
        || issuer.open_connections() == 0,
        "all connections to close",
    )
    .await;
    issuer.forget_requests();
    assert!(issuer.requests().is_empty());
}
