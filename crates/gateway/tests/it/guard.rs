//! Who is refused: foreign names, pages of other sites, callers without a key.

use http::Request;
use tenure_core::Secret;
use tenure_gateway::{CallerKey, Gateway, Options, ServeError, SetupError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::{Setup, start, start_with};

#[tokio::test]
async fn a_rebound_name_is_misdirected() {
    let world = start().await;
    for host in [
        "evil.example",
        "evil.example:7878",
        "127.0.0.1.evil.example",
    ] {
        let answer = world
            .ask(
                Request::get(world.url("/shop/orders")).header("host", host),
                "",
            )
            .await;
        assert_eq!(answer.status, 421, "{host}");
        assert_eq!(
            answer.field("content-type"),
            Some("application/problem+json")
        );
    }
    assert!(world.issuer.requests().is_empty());
}

#[tokio::test]
async fn a_page_of_another_site_is_refused() {
    let world = start().await;
    let request = || Request::post(world.url("/shop/orders"));
    let own = format!("http://{}", world.address);
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(
            world.ask(request().header(name, value), "x").await.status,
            403,
            "{name}: {value}"
        );
    }
    assert!(world.issuer.orders_posted().is_empty());
    assert_eq!(
        world
            .ask(
                request()
                    .header("origin", own)
                    .header("sec-fetch-site", "same-origin"),
                "x"
            )
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn unknown_sessions_are_not_found_and_others_not_named() {
    let world = start().await;
    for path in ["/", "/sho/orders", "/shop2", "/SHOP/orders"] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            !String::from_utf8_lossy(&answer.body).contains("\"shop\""),
            "{answer:?}"
        );
        assert_eq!(answer.json()["command"], "tenure status");
    }
    assert!(world.issuer.requests().is_empty());
}

#[tokio::test]
async fn callers_without_a_key_are_refused_and_the_key_stays_here() {
    let key = "key-0123456789abcdef";
    let options = Options {
        caller_keys: vec![CallerKey::new("till", Secret::new(key))],
        ..Options::default()
    };
    let world = start_with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    assert_eq!(world.get("/shop/echo").await.status, 403);
    let wrong = Request::get(world.url("/shop/echo")).header("tenure-key", "key-0123456789abcdeX");
    assert_eq!(world.ask(wrong, "").await.status, 403);
    // A name of this machine in its network is fine for the holder of a key.
    let right = Request::get(world.url("/shop/echo"))
        .header("tenure-key", key)
        .header("host", "till.lan:7878");
    let answer = world.ask(right, "").await;
    assert_eq!(answer.status, 200);
    assert!(!String::from_utf8_lossy(&answer.body).contains(key));
}

#[tokio::test]
async fn an_open_listener_is_not_served_without_keys() {
    let world = start().await;
    let gateway = Gateway::new(world.keeper.clone(), Options::default()).expect("a gateway");
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let refused = gateway.serve(listener, CancellationToken::new()).await;
    assert!(
        matches!(refused, Err(ServeError::Open(SetupError::OpenBind(_)))),
        "{refused:?}"
    );
    let options = Options {
        bind: vec!["0.0.0.0:7878".parse().unwrap()],
        ..Options::default()
    };
    assert!(matches!(
        Gateway::new(world.keeper.clone(), options),
        Err(SetupError::OpenBind(_))
    ));
}

#[tokio::test]
async fn a_request_framed_in_two_ways_is_not_passed_on_as_such() {
    let world = start().await;
    let mut socket = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let request = "POST /shop/echo HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 60\r\ntransfer-encoding: chunked\r\n\r\n\
                   2\r\nhi\r\n0\r\n\r\nGET /shop/forbidden HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    socket
        .read_to_string(&mut answer)
        .await
        .expect("the connection ends after the first answer");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    let seen = world.issuer.requests_to("/api/echo");
    assert_eq!(
        (seen[0].text().as_str(), seen[0].header("content-length")),
        ("hi", None)
    );
    assert_eq!(world.issuer.hits("/api/forbidden"), 0);
}

#[tokio::test]
async fn an_endless_header_section_is_refused() {
    let world = start().await;
    let request = Request::get(world.url("/shop/echo")).header("x-long", "x".repeat(100_000));
    assert_eq!(world.ask(request, "").await.status, 431);
    assert!(world.issuer.requests().is_empty());
}
