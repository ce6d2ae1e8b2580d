//! An orderly end.

use std::time::Duration;

use http::Request;
use tenure_gateway::Options;
use tokio::net::TcpStream;

use crate::support::{Answer, Setup, http1, start, start_with, whole};

#[tokio::test]
async fn running_requests_finish_and_no_new_ones_begin() {
    let world = start().await;
    let request = Request::get(world.url("/shop/slow"))
        .body(whole(""))
        .expect("a request");
    let call = tokio::spawn(http1().request(request));
    world.issuer.slow_gate().wait_arrived(1).await;
    world.shutdown.cancel();
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!world.served.is_finished());
    world.issuer.slow_gate().open();
    let answer = Answer::of(call.await.expect("a task").expect("an answer")).await;
    assert_eq!(answer.status, 200);
    world.served.await.expect("ended");
}

#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    let mut options = Options::default();
    options.limits.drain = Duration::from_millis(100);
    let world = start_with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    let request = Request::get(world.url("/shop/slow"))
        .body(whole(""))
        .expect("a request");
    let call = tokio::spawn(http1().request(request));
    let (_socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/shop/ws", world.address))
        .await
        .expect("a tunnel");
    world.issuer.slow_gate().wait_arrived(1).await;
    world.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), world.served)
        .await
        .expect("in time")
        .expect("ended");
    assert!(call.await.expect("a task").is_err());
}
