//! Upstreams behind TLS, with the certificate of a private authority: HTTP/2 where they offer it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, StreamBody};
use tenure_gateway::Options;
use tenure_http::Trust;
use tenure_lab::tls::{CA_PEM, acceptor};
use tenure_lab::{TlsFront, wait_until};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Answer, Setup, World, http1, http2, start_with, whole};

const H2: &[&str] = &["h2", "http/1.1"];
/// Bodies up to this many bytes are kept.
const KEPT: u64 = 64 * 1024;

fn trust() -> Trust {
    Trust::with_pem(CA_PEM.as_bytes()).expect("a certificate")
}

async fn start() -> World {
    start_waiting(Duration::from_mins(1)).await
}

/// Large bodies wait for `100 Continue` for `wait`.
async fn start_waiting(wait: Duration) -> World {
    let mut options = Options::default();
    options.limits.continue_wait = wait;
    start_with(Setup {
        tls: Some(H2),
        trust: Some(trust()),
        replay_limit: KEPT,
        options,
        ..Setup::default()
    })
    .await
}

fn negotiated(world: &World) -> Vec<Option<String>> {
    world.front.as_ref().expect("TLS").negotiated()
}

/// Every connection to the upstream spoke HTTP/2.
fn assert_h2(world: &World) {
    let all = negotiated(world);
    let h2 = |one: &Option<String>| one.as_deref() == Some("h2");
    assert!(!all.is_empty() && all.iter().all(h2), "{all:?}");
}

async fn frame(body: &mut hyper::body::Incoming) -> Bytes {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame());
    let frame = frame.await.expect("in time").expect("a frame");
    frame.expect("no error").into_data().expect("data")
}

#[tokio::test]
async fn http2_is_negotiated_and_one_connection_serves_many() {
    let world = start().await;
    let calls: Vec<_> = (0..2).map(|_| world.get("/shop/orders")).collect();
    for call in calls {
        assert_eq!(call.await.status, 200);
    }
    assert_h2(&world);
    assert_eq!(negotiated(&world).len(), 1);
    // The token endpoint has the same certificate: the keeper trusts it as well.
    let token = world.session().refresh().await.expect("a token");
    assert_eq!(token.generation.0, 2);
    assert_h2(&world);
}

#[tokio::test]
async fn http1_is_spoken_where_nothing_else_is_offered() {
    let world = start_with(Setup {
        tls: Some(&["http/1.1"]),
        trust: Some(trust()),
        ..Setup::default()
    })
    .await;
    assert_eq!(world.get("/shop/orders").await.status, 200);
    assert_eq!(negotiated(&world), [Some("http/1.1".to_owned())]);
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused() {
    let world = start_with(Setup {
        tls: Some(H2),
        ..Setup::default()
    })
    .await;
    let answer = world.get("/shop/orders").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-code")),
        (502, Some("API01005")),
        "{answer:?}"
    );
    assert!(world.issuer.requests_to("/api/orders").is_empty());
}

#[tokio::test]
async fn a_refused_post_is_healed_and_its_body_arrives_once() {
    let world = start().await;
    world.issuer.revoke_access_tokens();
    let request = Request::post(world.url("/shop/orders"));
    let answer = world.ask(request, "{\"n\":1}").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-replayed")),
        (201, Some("1")),
        "{answer:?}"
    );
    assert_eq!(world.issuer.exchanges().len(), 1);
    assert_eq!(world.issuer.orders_posted().len(), 1);
    assert_eq!(world.issuer.orders_posted()[0]["n"], 1);
    assert_h2(&world);
}

#[tokio::test]
async fn a_body_too_large_to_keep_is_healed_before_it_leaves() {
    let world = start().await;
    world.issuer.revoke_access_tokens();
    let large = "x".repeat(4 << 20);
    let answer = world
        .ask(Request::post(world.url("/shop/upload")), &large)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-replayed")),
        (200, Some("1")),
        "{answer:?}"
    );
    assert_eq!(answer.json()["bytes"].as_u64(), Some(4 << 20));
    assert_eq!(world.issuer.uploaded_bytes(), 4 << 20);
    assert_h2(&world);
}

#[tokio::test]
async fn a_body_too_large_to_keep_streams() {
    let world = start_waiting(Duration::from_millis(20)).await;
    let (mut sender, body) = Channel::<Bytes, std::convert::Infallible>::new(4);
    let request = Request::post(world.url("/shop/upload"))
        .body(body.map_err(|never| match never {}).boxed_unsync());
    let answer = tokio::spawn(http1().request(request.expect("a request")));
    // The limit is passed with the third part; each arrives before the next is sent.
    for part in 1..=6 {
        let data = Bytes::from(vec![b'x'; 32 * 1024]);
        sender.send_data(data).await.expect("sent");
        wait_until(
            || world.issuer.uploaded_bytes() == part * 32 * 1024,
            "the part arrives",
        )
        .await;
    }
    drop(sender);
    let answer = answer.await.expect("a task").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_h2(&world);
}

#[tokio::test]
async fn an_answer_streams() {
    let world = start().await;
    let request = Request::get(world.url("/shop/sse?parts=3"))
        .body(whole(""))
        .expect("a request");
    let answer = http1().request(request).await.expect("an answer");
    let mut body = answer.into_body();
    for number in 1..=3 {
        // The next event does not exist before this one was read.
        assert_eq!(
            frame(&mut body).await,
            format!("id: {number}\ndata: {{\"n\":{number}}}\n\n")
        );
        world.issuer.stream_gate().pass_one();
    }
    assert_h2(&world);
}

#[tokio::test]
async fn trailers_pass_in_both_directions_over_http2_on_both_sides() {
    let seen = Arc::new(Mutex::new(None));
    let app = Router::new().fallback({
        let seen = Arc::clone(&seen);
        async move |request: Request<AxumBody>| {
            let version = request.version();
            let body = request.into_body().collect().await.expect("the body");
            *seen.lock().expect("no panic") = Some((version, body.trailers().cloned()));
            let fields = HeaderMap::from_iter([(
                http::HeaderName::from_static("x-sum"),
                HeaderValue::from_static("down"),
            )]);
            let frames = [
                Ok::<_, std::io::Error>(Frame::data(body.to_bytes())),
                Ok(Frame::trailers(fields)),
            ];
            AxumBody::new(StreamBody::new(futures_util::stream::iter(frames)))
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let front = TlsFront::start(listener.local_addr().expect("an address"), H2);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let world = start_with(Setup {
        upstream: Some(front.url()),
        trust: Some(trust()),
        ..Setup::default()
    })
    .await;
    let fields = HeaderMap::from_iter([(
        http::HeaderName::from_static("x-sum"),
        HeaderValue::from_static("up"),
    )]);
    let frames = [
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"hello"))),
        Ok(Frame::trailers(fields)),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let request = Request::post(world.url("/shop/sum"))
        .header("te", "trailers")
        .body(body.map_err(|never| match never {}).boxed_unsync())
        .expect("a request");
    let answer = http2().request(request).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("the whole body");
    assert_eq!(body.trailers().expect("trailers")["x-sum"], "down");
    assert_eq!(body.to_bytes(), "hello");
    let (version, trailers) = seen.lock().expect("no panic").take().expect("a request");
    assert_eq!(version, http::Version::HTTP_2);
    assert_eq!(trailers.expect("trailers")["x-sum"], "up");
}

#[tokio::test]
async fn an_upgrade_goes_over_http1_and_the_certificate_is_trusted_there_too() {
    let world = start().await;
    let (mut socket, _) = connect_async(format!("ws://{}/shop/ws", world.address))
        .await
        .expect("an upgrade");
    socket.send(Message::text("one")).await.expect("sent");
    let echo = socket.next().await.expect("a message").expect("no error");
    assert_eq!(echo, Message::text("one"));
    let all = negotiated(&world);
    assert!(
        all.iter().all(|one| one.as_deref() != Some("h2")),
        "{all:?}"
    );
}

#[tokio::test]
async fn a_connection_closed_between_requests_is_replaced() {
    let world = start().await;
    let front = world.front.as_ref().expect("TLS");
    for round in 1..=3 {
        let request = Request::post(world.url("/shop/orders"));
        let answer = world.ask(request, "{}").await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(negotiated(&world).len(), round);
        front.close();
        wait_until(|| front.open_connections() == 0, "closed").await;
    }
    assert_eq!(world.issuer.orders_posted().len(), 3);
}

/// How a server that speaks HTTP/2 frame by frame ends each connection.
#[derive(Clone, Copy)]
enum Farewell {
    /// After the answer to the first request: no further stream will be processed.
    AfterAnswer,
    /// When the second request arrives, which it does not process.
    AtSecondRequest,
    /// The second request's stream alone is refused.
    RefuseStream,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

async fn send<S: AsyncWrite + Unpin>(io: &mut S, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    io.write_all(&frame).await.expect("written");
    io.flush().await.expect("written");
}

/// `(type, flags, stream, payload)`; `None` at the end of the connection.
async fn receive<S: AsyncRead + Unpin>(io: &mut S) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let mut payload = vec![0; length as usize];
    io.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], stream, payload))
}

/// Serves one connection; every request whose body it read to the end is counted and answered with 200.
async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    farewell: Farewell,
    bodies: &Mutex<Vec<String>>,
) {
    let mut preface = [0; 24];
    if io.read_exact(&mut preface).await.is_err() {
        return;
    }
    send(io, SETTINGS, 0, 0, &[]).await;
    let (mut requests, mut refused, mut body) = (0, 0, Vec::new());
    while let Some((kind, flags, stream, payload)) = receive(io).await {
        match kind {
            SETTINGS if flags & 1 == 0 => send(io, SETTINGS, 1, 0, &[]).await,
            HEADERS => {
                requests += 1;
                match farewell {
                    Farewell::AtSecondRequest if requests == 2 => {
                        // The last stream that was processed is the first; no error.
                        send(io, GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).await;
                        return;
                    }
                    Farewell::RefuseStream if requests == 2 => {
                        refused = stream;
                        send(io, RST_STREAM, 0, stream, &[0, 0, 0, 7]).await;
                        continue;
                    }
                    _ => body.clear(),
                }
            }
            // Sent before the refusal was heard.
            DATA if stream == refused => continue,
            DATA => body.extend_from_slice(&payload),
            _ => continue,
        }
        if matches!(kind, HEADERS | DATA) && flags & 1 == 1 {
            let text = String::from_utf8(std::mem::take(&mut body)).expect("text");
            bodies.lock().expect("no panic").push(text);
            // `:status: 200` of HPACK's static table, and the end of the stream.
            send(io, HEADERS, 5, stream, &[0x88]).await;
            if matches!(farewell, Farewell::AfterAnswer) {
                let last = stream.to_be_bytes();
                let payload = [last[0], last[1], last[2], last[3], 0, 0, 0, 0];
                send(io, GOAWAY, 0, 0, &payload).await;
                return;
            }
        }
    }
}

/// A server of which every connection says farewell; what arrived on all of them.
async fn leaving(farewell: Farewell) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn({
        let bodies = Arc::clone(&bodies);
        async move {
            let acceptor = acceptor(&["h2"]);
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, bodies) = (acceptor.clone(), Arc::clone(&bodies));
                tokio::spawn(async move {
                    let mut io = acceptor.accept(socket).await.expect("TLS");
                    speak(&mut io, farewell, &bodies).await;
                    // The client may have closed it first.
                    drop(io.shutdown().await);
                });
            }
        }
    });
    (url, bodies)
}

#[tokio::test]
async fn a_request_the_upstream_did_not_process_is_sent_on_another_connection() {
    for farewell in [
        Farewell::AfterAnswer,
        Farewell::AtSecondRequest,
        Farewell::RefuseStream,
    ] {
        let (url, bodies) = leaving(farewell).await;
        let world = start_with(Setup {
            upstream: Some(url),
            trust: Some(trust()),
            ..Setup::default()
        })
        .await;
        let mut expected = Vec::new();
        for number in 0..6 {
            let text = format!("body {number}");
            let answer: Answer = world
                .ask(Request::post(world.url("/shop/orders")), &text)
                .await;
            assert_eq!(answer.status, 200, "{answer:?}");
            // It was not processed, so this is no replay.
            assert_eq!(answer.field("tenure-replayed"), None);
            expected.push(text);
        }
        assert_eq!(*bodies.lock().expect("no panic"), expected);
        assert!(world.issuer.exchanges().is_empty());
    }
}
