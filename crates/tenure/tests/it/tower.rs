//! The tower layer, on hyper's pooled client.

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tenure::tower::{Error, Once, Repeat, TenureLayer, TenureService};
use tenure::{Generation, Resumed, Served};
use tenure_lab::{FaultyIssuer, IssuerConfig};
use tower::{Layer, ServiceExt};

use crate::support::Shop;

type Api<B> = TenureService<Client<HttpConnector, B>>;

fn api<B>(shop: &Shop) -> Api<B>
where
    B: http_body::Body<Data = Bytes> + Repeat + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let http = Client::builder(TokioExecutor::new()).build_http();
    TenureLayer::new(shop.session()).unwrap().layer(http)
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

fn served(response: &Response<Resumed<Incoming>>) -> &Served {
    response.extensions().get().expect("told")
}

async fn read(response: Response<Resumed<Incoming>>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_revoked_token_is_healed_once_and_each_post_arrives_once() {
    let shop = Shop::logged_in().await;
    shop.issuer.revoke_access_tokens();
    let api = api(&shop);
    let url = shop.issuer.url_of("/api/orders");
    let posts = (0..50).map(|n| {
        let body = Full::from(json!(n).to_string());
        let request = Request::post(&url)
            .header("x-till", "7")
            .body(body)
            .unwrap();
        api.clone().oneshot(request)
    });
    for answer in join_all(posts).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201);
        assert_eq!(served(&answer).generation, Generation(2));
    }
    let mut posted = shop.issuer.orders_posted();
    posted.sort_by_key(Value::as_u64);
    assert_eq!(posted, (0..50).map(|n| json!(n)).collect::<Vec<_>>());
    assert_eq!(shop.exchanges(), 1);
    let sent = shop.issuer.requests_to("/api/orders");
    assert!(
        sent.iter()
            .all(|request| request.header("x-till") == Some("7"))
    );
}

#[tokio::test]
async fn a_streamed_body_is_not_sent_twice() {
    let shop = Shop::logged_in().await;
    shop.issuer.revoke_access_tokens();
    let frames = [Ok::<_, std::io::Error>(Frame::data(Bytes::from("[1]")))];
    let body = Once(StreamBody::new(stream::iter(frames)));
    let request = Request::post(shop.issuer.url_of("/api/orders"))
        .body(body)
        .unwrap();
    let answer = api(&shop).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(!served(&answer).replayed);
    assert_eq!(shop.issuer.hits("/api/orders"), 1);
}

#[tokio::test]
async fn another_origin_gets_no_token() {
    let shop = Shop::logged_in().await;
    let other = FaultyIssuer::start(IssuerConfig::new());
    let answer = api(&shop)
        .oneshot(get(&other.url_of("/api/orders")))
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.extensions().get::<Served>().is_none());
    assert_eq!(other.requests()[0].header("authorization"), None);
    let port = shop.issuer.addr().port();
    for near in [
        format!("http://localhost:{port}/api/orders"),
        format!("http://127.0.0.1:{port}@localhost:{port}/api/orders"),
    ] {
        let answer = api(&shop).oneshot(get(&near)).await.unwrap();
        assert!(answer.extensions().get::<Served>().is_none(), "{near}");
    }
    let near = shop.issuer.requests_to("/api/orders");
    assert!(near.iter().all(|request| {
        request
            .header("authorization")
            .is_none_or(|value| value.starts_with("Basic"))
    }));
    assert_eq!(shop.exchanges(), 0);
}

#[tokio::test]
async fn refusals_that_are_not_about_the_token_are_passed_untouched() {
    let shop = Shop::logged_in().await;
    let answer = api(&shop)
        .oneshot(get(&shop.issuer.url_of("/api/forbidden")))
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), served(&answer).replayed),
        (403, false)
    );
    assert_eq!(read(answer).await["code"], "order_locked");
    let answer = api(&shop)
        .oneshot(get(&shop.issuer.url_of("/api/basic401")))
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), served(&answer).replayed),
        (401, false)
    );
    assert_eq!(shop.exchanges(), 0);
    let answer = api(&shop)
        .oneshot(get(&shop.issuer.url_of("/api/always401")))
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), served(&answer).replayed),
        (401, true)
    );
    assert_eq!(read(answer).await["error"], "invalid_token");
    assert_eq!(
        (shop.exchanges(), shop.issuer.hits("/api/always401")),
        (1, 2)
    );
}

#[tokio::test]
async fn a_session_that_needs_a_login_says_so_and_sends_nothing() {
    let shop = Shop::empty().await;
    let error = api(&shop)
        .oneshot(get(&shop.issuer.url_of("/api/orders")))
        .await
        .unwrap_err();
    let Error::NoToken(no_token) = &error else {
        panic!("{error}")
    };
    assert_eq!(no_token.failure.code, tenure::Code::AuthRequired);
    assert_eq!(shop.issuer.requests().len(), 0);
}

#[tokio::test]
async fn what_the_service_says_is_kept() {
    let shop = Shop::logged_in().await;
    let url = shop.issuer.url_of("/api/orders");
    shop.issuer.stop();
    let error = api(&shop).oneshot(get(&url)).await.unwrap_err();
    assert!(matches!(error, Error::Service(_)), "{error}");
}
