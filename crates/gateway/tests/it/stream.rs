//! Streams, trailers and upgrades; callers that leave.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tenure_core::Generation;
use tenure_gateway::Options;
use tenure_lab::{Fault, Gate, wait_until};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{Setup, World, http1, start, start_with, whole};

async fn frame(body: &mut Incoming) -> Bytes {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame())
        .await
        .expect("in time");
    frame
        .expect("a frame")
        .expect("no error")
        .into_data()
        .expect("data")
}

async fn web_socket(world: &World) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let (socket, answer) = connect_async(format!("ws://{}/shop/ws", world.address))
        .await
        .expect("an upgrade");
    assert_eq!(answer.headers()["tenure-session"], "shop");
    socket
}

async fn echo(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>, text: &str) {
    socket.send(Message::text(text)).await.expect("sent");
    assert_eq!(
        socket.next().await.expect("a message").expect("no error"),
        Message::text(text)
    );
}

#[tokio::test]
async fn server_sent_events_arrive_one_by_one() {
    let world = start().await;
    let request = Request::get(world.url("/shop/sse?parts=3"))
        .body(whole(""))
        .expect("a request");
    let answer = http1().request(request).await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    for number in 1..=3 {
        // The next event does not exist before this one was read.
        assert_eq!(
            frame(&mut body).await,
            format!("id: {number}\ndata: {{\"n\":{number}}}\n\n")
        );
        world.issuer.stream_gate().pass_one();
    }
}

#[tokio::test]
async fn trailers_arrive_over_http1() {
    let world = start().await;
    world.issuer.stream_gate().open();
    let request = Request::get(world.url("/shop/stream?parts=2"))
        .header("te", "trailers")
        .header("connection", "te");
    let answer = http1()
        .request(request.body(whole("")).expect("a request"))
        .await
        .expect("an answer");
    let collected = answer.into_body().collect().await.expect("the whole body");
    assert_eq!(collected.trailers().expect("trailers")["x-lab-parts"], "2");
}

#[tokio::test]
async fn a_request_streams_while_its_answer_does() {
    let world = start().await;
    let (mut sender, body) =
        http_body_util::channel::Channel::<Bytes, std::convert::Infallible>::new(4);
    let request = Request::post(world.url("/shop/upload"))
        .body(body.map_err(|never| match never {}).boxed_unsync());
    let answer = tokio::spawn(http1().request(request.expect("a request")));
    for part in 1..=3 {
        sender
            .send_data(Bytes::from_static(b"0123456789"))
            .await
            .expect("sent");
        wait_until(
            || world.issuer.uploaded_bytes() == part * 10,
            "the part arrives before the next is sent",
        )
        .await;
    }
    drop(sender);
    assert_eq!(
        answer.await.expect("a task").expect("an answer").status(),
        200
    );
}

#[tokio::test]
async fn a_web_socket_passes() {
    let world = start().await;
    let mut socket = web_socket(&world).await;
    echo(&mut socket, "one").await;
    echo(&mut socket, &"x".repeat(300_000)).await;
    socket.close(None).await.expect("closed");
}

#[tokio::test]
async fn a_web_socket_with_a_revoked_token_is_healed() {
    let world = start().await;
    world.issuer.revoke_access_tokens();
    let (mut socket, answer) = connect_async(format!("ws://{}/shop/ws", world.address))
        .await
        .expect("an upgrade");
    assert_eq!(answer.headers()["tenure-replayed"], "1");
    echo(&mut socket, "healed").await;
    assert_eq!(world.issuer.exchanges().len(), 1);
}

#[tokio::test]
async fn a_silent_tunnel_is_closed() {
    let mut options = Options::default();
    options.limits.tunnel_idle = Duration::from_millis(150);
    let world = start_with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    let mut socket = web_socket(&world).await;
    echo(&mut socket, "here").await;
    let end = tokio::time::timeout(Duration::from_secs(20), socket.next())
        .await
        .expect("in time");
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
}

#[tokio::test]
async fn an_upgrade_the_upstream_declines_is_an_ordinary_answer() {
    let world = start().await;
    let request = Request::get(world.url("/shop/orders"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let answer = world.ask(request, "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("upgrade")),
        (200, None)
    );
}

#[tokio::test]
async fn a_caller_that_leaves_ends_its_request() {
    let world = start().await;
    let request = Request::get(world.url("/shop/slow"))
        .body(whole(""))
        .expect("a request");
    let call = tokio::spawn(http1().request(request));
    world.issuer.slow_gate().wait_arrived(1).await;
    assert_eq!(world.issuer.open_connections(), 1);
    call.abort();
    wait_until(
        || world.issuer.open_connections() == 0,
        "the upstream sees it end",
    )
    .await;
}

#[tokio::test]
async fn a_caller_that_leaves_ends_no_exchange() {
    let world = start().await;
    world.issuer.revoke_access_tokens();
    let gate = Gate::closed();
    world.issuer.faults().next(Fault::Slow(gate.clone()));
    let request = Request::get(world.url("/shop/orders"))
        .body(whole(""))
        .expect("a request");
    let call = tokio::spawn(http1().request(request));
    gate.wait_arrived(1).await;
    call.abort();
    let _cancelled = call.await;
    gate.open();
    let session = world.session();
    wait_until(
        || session.snapshot().generation == Generation(2),
        "it is finished and saved",
    )
    .await;
    assert_eq!(world.issuer.exchanges().len(), 1);
}
