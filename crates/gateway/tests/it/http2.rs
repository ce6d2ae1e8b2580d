//! Callers that speak HTTP/2 with prior knowledge.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::{Answer, World, http2 as pool, start, whole};

/// One request for `url` over a connection to the gateway, whatever the host in it.
async fn ask(world: &World, url: &str) -> Response<Incoming> {
    let socket = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get(url)
        .header("te", "trailers")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    sender.send_request(request).await.expect("an answer")
}

#[tokio::test]
async fn the_authority_is_the_address() {
    let world = start().await;
    let port = world.address.port();
    let answer = Answer::of(ask(&world, &format!("http://shop.localhost:{port}/echo")).await).await;
    assert_eq!(answer.json()["uri"], "/api/echo");
    assert_eq!(answer.json()["headers"]["via"][0], "2 tenure");
    assert_eq!(
        ask(&world, &format!("http://127.0.0.1:{port}/shop/echo"))
            .await
            .status(),
        200
    );
    assert_eq!(
        ask(&world, "http://evil.example/shop/echo").await.status(),
        421
    );
}

#[tokio::test]
async fn trailers_arrive() {
    let world = start().await;
    world.issuer.stream_gate().open();
    let answer = ask(&world, &world.url("/shop/stream?parts=2")).await;
    assert_eq!(answer.status(), 200);
    let collected = answer.into_body().collect().await.expect("the whole body");
    assert_eq!(collected.trailers().expect("trailers")["x-lab-parts"], "2");
    assert_eq!(collected.to_bytes(), "part 1\npart 2\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_on_one_connection_is_healed_with_one_exchange() {
    let world = start().await;
    let pool = pool();
    world.issuer.revoke_access_tokens();
    let calls = (0..100).map(|number| {
        let request = Request::post(world.url("/shop/orders"))
            .body(whole(&number.to_string()))
            .expect("a request");
        let sent = pool.request(request);
        tokio::spawn(async move { Answer::of(sent.await.expect("an answer")).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.expect("a task");
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(world.issuer.exchanges().len(), 1);
    assert_eq!(world.issuer.orders_posted().len(), 100);
}
