//! Bodies too large to keep, and refusals that are hard to see.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tenure_core::Generation;
use tenure_gateway::Options;
use tenure_lab::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Answer, AnyBody, Setup, World, http1, start_with, whole};

const LARGE: usize = 4 << 20;

/// A gateway that keeps 64 KiB and waits for `100 Continue` for `wait`.
async fn small(wait: Duration, upstream: Option<String>) -> World {
    let mut options = Options::default();
    options.limits.continue_wait = wait;
    start_with(Setup {
        replay_limit: 64 * 1024,
        options,
        upstream,
        ..Setup::default()
    })
    .await
}

fn chunked(bytes: usize) -> AnyBody {
    let frames = (0..bytes / 16_384)
        .map(|_| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![b'x'; 16_384]))));
    StreamBody::new(futures_util::stream::iter(frames))
        .map_err(|never| match never {})
        .boxed_unsync()
}

async fn post(world: &World, body: AnyBody) -> Answer {
    let request = Request::post(world.url("/shop/upload"))
        .body(body)
        .expect("a request");
    Answer::of(http1().request(request).await.expect("an answer")).await
}

/// Serves each connection with `answer` after reading a whole request with a body of `length` bytes.
/// Takes no notice of `Expect`.
async fn deaf(length: usize, answers: Vec<&'static str>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heads = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn({
        let heads = Arc::clone(&heads);
        async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                let head = read_head(&mut socket).await;
                heads.lock().expect("no panic").push(head.clone());
                if head.contains("transfer-encoding: chunked") {
                    read_until(&mut socket, b"\r\n0\r\n\r\n").await;
                } else {
                    tokio::io::copy(
                        &mut (&mut socket).take(length as u64),
                        &mut tokio::io::sink(),
                    )
                    .await
                    .expect("a body");
                }
                socket.write_all(answer.as_bytes()).await.expect("written");
            }
        }
    });
    (address, heads)
}

async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("a byte"));
    }
    String::from_utf8(head).expect("text").to_ascii_lowercase()
}

/// Reads to `end`, which must be the last that is sent.
async fn read_until(socket: &mut TcpStream, end: &[u8]) {
    let mut all = Vec::new();
    while !all.ends_with(end) {
        assert!(
            socket.read_buf(&mut all).await.expect("bytes") > 0,
            "the connection ended early"
        );
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer error=\"invalid_token\"\r\n\
                       content-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_large_body_that_is_refused_unread_is_replayed_and_arrives_once() {
    let world = small(Duration::from_mins(1), None).await;
    world.issuer.revoke_access_tokens();
    let answer = post(&world, whole(&"x".repeat(LARGE))).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-replayed")),
        (200, Some("1")),
        "{answer:?}"
    );
    assert_eq!(
        (
            answer.json()["bytes"].as_u64(),
            world.issuer.uploaded_bytes()
        ),
        (Some(LARGE as u64), LARGE)
    );
    let sent = world.issuer.requests_to("/api/upload");
    assert_eq!(sent[0].header("expect"), Some("100-continue"));
    // With a good token the upstream's 100 is what starts the body, long before the wait is over.
    let answer = post(&world, whole(&"x".repeat(LARGE))).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-replayed")),
        (200, None)
    );
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_replayed_from_what_was_kept() {
    let world = small(Duration::from_mins(1), None).await;
    world.issuer.revoke_access_tokens();
    let answer = post(&world, chunked(LARGE)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-replayed")),
        (200, Some("1")),
        "{answer:?}"
    );
    assert_eq!(
        (
            answer.json()["bytes"].as_u64(),
            world.issuer.uploaded_bytes()
        ),
        (Some(LARGE as u64), LARGE)
    );
}

#[tokio::test]
async fn a_server_that_ignores_the_expectation_gets_the_body_after_a_wait() {
    for body in [whole(&"x".repeat(LARGE)), chunked(LARGE)] {
        let known = http_body::Body::size_hint(&body).exact().is_some();
        let (address, heads) = deaf(LARGE, vec![OK]).await;
        let world = small(Duration::from_millis(50), Some(format!("http://{address}"))).await;
        let answer = post(&world, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            heads.lock().expect("no panic")[0].contains("expect: 100-continue"),
            known
        );
    }
}

#[tokio::test]
async fn a_refusal_after_the_body_was_sent_is_passed_on_and_heals_the_next() {
    let (address, heads) = deaf(LARGE, vec![REFUSED, OK]).await;
    let world = small(Duration::from_millis(50), Some(format!("http://{address}"))).await;
    let answer = post(&world, whole(&"x".repeat(LARGE))).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-replayed")),
        (401, None)
    );
    assert!(answer.field("tenure-code").is_some());
    let session = world.session();
    wait_until(
        || session.snapshot().generation == Generation(2),
        "a newer token",
    )
    .await;
    let answer = post(&world, whole(&"x".repeat(LARGE))).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-generation")),
        (200, Some("2"))
    );
    assert_eq!(heads.lock().expect("no panic").len(), 2);
}

#[tokio::test]
async fn a_caller_that_expects_to_be_asked_is_not_asked_before_a_refusal_is_healed() {
    let world = small(Duration::from_mins(1), None).await;
    world.issuer.revoke_access_tokens();
    let mut socket = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let head = "POST /shop/upload HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("written");
    assert!(read_head(&mut socket).await.starts_with("http/1.1 100 "));
    assert_eq!(
        world.issuer.exchanges().len(),
        1,
        "refused and healed before the body was asked for"
    );
    socket.write_all(b"hello").await.expect("written");
    let answer = read_head(&mut socket).await;
    assert!(
        answer.starts_with("http/1.1 200 ") && answer.contains("tenure-replayed: 1"),
        "{answer}"
    );
    assert_eq!(world.issuer.uploaded_bytes(), 5);
}

#[tokio::test]
async fn a_refusal_in_a_compressed_body_is_known() {
    let refused = Arc::new(OnceLock::new());
    let app = Router::new().fallback(async move |headers: HeaderMap| {
        let first =
            headers["authorization"] == refused.get_or_init(|| headers["authorization"].clone());
        let text = if first {
            r#"{"code":"jwt_auth_invalid_token","message":"Expired token","data":{"status":403}}"#
        } else {
            "{}"
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory");
        let fields = [
            ("content-encoding", "gzip"),
            ("content-type", "application/json"),
        ];
        let status = if first {
            http::StatusCode::FORBIDDEN
        } else {
            http::StatusCode::OK
        };
        (status, fields, encoder.finish().expect("memory"))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = Some(format!(
        "http://{}",
        listener.local_addr().expect("an address")
    ));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let profile = "refused_statuses = [401, 403]\nrotation = { kind = \"strict\" }";
    let world = start_with(Setup {
        upstream,
        profile,
        ..Setup::default()
    })
    .await;
    let request = Request::get(world.url("/shop/x")).header("accept-encoding", "gzip, br");
    let answer = world.ask(request, "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-replayed")),
        (200, Some("1")),
        "{answer:?}"
    );
    assert_eq!(answer.field("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_refusal_with_status_200_is_known_and_other_streams_are_not_held_up() {
    let refused = Arc::new(OnceLock::new());
    let app = Router::new().fallback(async move |headers: HeaderMap| {
        let first =
            headers["authorization"] == refused.get_or_init(|| headers["authorization"].clone());
        let text = if first {
            "{\"ok\":false,\"error\":\"token_expired\"}"
        } else {
            "{\"ok\":true"
        };
        // The rest of a good answer never comes; its beginning must arrive all the same.
        let frames = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(
            text.as_bytes(),
        ))]);
        let rest = futures_util::stream::pending();
        (
            [("content-type", "application/json")],
            axum::body::Body::from_stream(frames.chain(rest)),
        )
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = Some(format!(
        "http://{}",
        listener.local_addr().expect("an address")
    ));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let profile = "refused_statuses = [200, 401]\nrotation = { kind = \"strict\" }";
    let world = start_with(Setup {
        upstream,
        profile,
        ..Setup::default()
    })
    .await;
    let request = Request::get(world.url("/shop/x"))
        .body(whole(""))
        .expect("a request");
    let answer = http1().request(request).await.expect("an answer");
    assert_eq!(answer.headers()["tenure-replayed"], "1");
    let frame = answer
        .into_body()
        .frame()
        .await
        .expect("a frame")
        .expect("no error");
    assert_eq!(frame.into_data().expect("data"), "{\"ok\":true");
}

#[tokio::test]
async fn a_connection_on_which_a_body_was_refused_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = Some(format!(
        "http://{}",
        listener.local_addr().expect("an address")
    ));
    let server = tokio::spawn(async move {
        // The first connection stays open and is never read again, as by a server about to close it.
        let (mut first, _) = listener.accept().await.expect("a connection");
        read_until(&mut first, b"\r\n\r\nhello").await;
        first
            .write_all(REFUSED.replace("connection: close\r\n", "").as_bytes())
            .await
            .expect("written");
        let (mut second, _) = listener.accept().await.expect("a connection");
        read_until(&mut second, b"\r\n\r\nhello").await;
        second.write_all(OK.as_bytes()).await.expect("written");
        first
    });
    let world = start_with(Setup {
        upstream,
        ..Setup::default()
    })
    .await;
    let answer = tokio::time::timeout(Duration::from_secs(20), post(&world, whole("hello")))
        .await
        .expect("in time");
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-replayed")),
        (200, Some("1"))
    );
    drop(server.await.expect("a task"));
}
