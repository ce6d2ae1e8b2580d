//! The reqwest middleware.

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use serde_json::{Value, json};
use tenure::reqwest::{TenureMiddleware, no_token};
use tenure::{Class, Code, Generation, NoUpstream, Served, SessionBuilder, State};
use tenure_lab::{Fault, FaultyIssuer, IssuerConfig, wait_until};

use crate::support::Shop;

fn client(shop: &Shop) -> ClientWithMiddleware {
    client_with(shop, Policy::none())
}

fn client_with(shop: &Shop, policy: Policy) -> ClientWithMiddleware {
    let plain = Client::builder()
        .redirect(policy)
        .no_proxy()
        .build()
        .unwrap();
    let middleware = TenureMiddleware::new(shop.session()).unwrap();
    ClientBuilder::new(plain).with(middleware).build()
}

fn served(response: &Response) -> &Served {
    response.extensions().get().expect("told")
}

/// A body that can be had once.
fn streamed(text: &'static str) -> Body {
    let frames = [Ok::<_, std::io::Error>(Frame::data(Bytes::from(text)))];
    Body::wrap(StreamBody::new(stream::iter(frames)))
}

#[tokio::test]
async fn a_revoked_token_is_healed_once_for_fifty_requests() {
    let shop = Shop::logged_in().await;
    shop.issuer.revoke_access_tokens();
    let client = client(&shop);
    let url = shop.issuer.url_of("/api/orders");
    let answers = join_all((0..50).map(|_| client.get(&url).send())).await;
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(served(&answer).generation, Generation(2));
        assert_eq!(served(&answer).failure, None);
    }
    assert_eq!(shop.exchanges(), 1);
    let refused = shop.issuer.requests_to("/api/orders");
    let refused = refused.iter().filter(|request| request.status == Some(401));
    let (refused, sent) = (refused.count(), shop.issuer.hits("/api/orders"));
    assert!(refused >= 1);
    assert_eq!(sent, 50 + refused, "each refusal was sent once more");
}

#[tokio::test]
async fn a_post_arrives_once() {
    let shop = Shop::logged_in().await;
    shop.issuer.revoke_access_tokens();
    let client = client(&shop);
    let url = shop.issuer.url_of("/api/orders");
    let posts = (0..20).map(|n| {
        client
            .post(&url)
            .body(json!({ "order": n }).to_string())
            .send()
    });
    for answer in join_all(posts).await {
        assert_eq!(answer.unwrap().status(), 201);
    }
    let mut posted: Vec<_> = shop.issuer.orders_posted();
    posted.sort_by_key(|order| order["order"].as_u64());
    let expected: Vec<Value> = (0..20).map(|n| json!({ "order": n })).collect();
    assert_eq!(posted, expected);
    assert_eq!(shop.exchanges(), 1);
}

#[tokio::test]
async fn a_streamed_body_is_not_sent_twice_but_the_next_request_is_healed() {
    let shop = Shop::logged_in().await;
    shop.issuer.revoke_access_tokens();
    let client = client(&shop);
    let url = shop.issuer.url_of("/api/orders");
    let answer = client
        .post(&url)
        .body(streamed("[1]"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert!(!served(&answer).replayed);
    assert_eq!(
        served(&answer).failure.as_ref().unwrap().class,
        Class::AccessRevoked
    );
    assert_eq!(shop.issuer.hits("/api/orders"), 1);
    let session = shop.session();
    wait_until(
        || session.snapshot().generation == Generation(2),
        "healed meanwhile",
    )
    .await;
    let answer = client
        .post(&url)
        .body(streamed("[2]"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(shop.issuer.orders_posted(), [json!([2])]);
}

#[tokio::test]
async fn another_origin_gets_no_token() {
    let shop = Shop::logged_in().await;
    let other = FaultyIssuer::start(IssuerConfig::new());
    let client = client(&shop);
    let answer = client
        .get(other.url_of("/api/orders"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.extensions().get::<Served>().is_none());
    // The same port under another name is another origin, too.
    let port = shop.issuer.addr().port();
    let answer = client
        .get(format!("http://localhost:{port}/api/orders"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    for request in other
        .requests()
        .iter()
        .chain(&shop.issuer.requests_to("/api/orders"))
    {
        assert_eq!(request.header("authorization"), None);
    }
    assert_eq!(shop.exchanges(), 0);
}

#[tokio::test]
async fn a_redirect_to_another_origin_takes_no_token_along_and_heals_nothing() {
    let shop = Shop::logged_in().await;
    let other = FaultyIssuer::start(IssuerConfig::new());
    shop.issuer.set_redirect(&other.url_of("/api/orders"));
    let client = client_with(&shop, Policy::default());
    let answer = client
        .get(shop.issuer.url_of("/api/redirect"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401, "the other origin's own");
    assert_eq!(served(&answer).failure, None);
    assert_eq!(other.requests()[0].header("authorization"), None);
    assert_eq!(
        (shop.exchanges(), shop.issuer.hits("/api/redirect")),
        (0, 1)
    );
}

#[tokio::test]
async fn what_was_accepted_before_a_redirect_is_not_sent_twice() {
    let shop = Shop::logged_in().await;
    shop.issuer
        .set_redirect(&shop.issuer.url_of("/api/always401"));
    let client = client_with(&shop, Policy::default());
    let answer = client
        .post(shop.issuer.url_of("/api/redirect"))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert!(!served(&answer).replayed);
    assert_eq!(
        (shop.exchanges(), shop.issuer.hits("/api/redirect")),
        (0, 1)
    );
}

#[tokio::test]
async fn a_fragment_is_no_redirect() {
    let shop = Shop::logged_in().await;
    shop.issuer.revoke_access_tokens();
    let url = shop.issuer.url_of("/api/echo?a=b%20c#part");
    let answer = client(&shop).get(url).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), served(&answer).replayed),
        (200, true)
    );
}

#[tokio::test]
async fn a_403_for_a_business_rule_is_passed_untouched() {
    let shop = Shop::logged_in().await;
    let url = shop.issuer.url_of("/api/forbidden");
    let answer = client(&shop).get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(!served(&answer).replayed);
    assert_eq!(answer.url().as_str(), url);
    assert!(answer.remote_addr().is_some());
    assert!(answer.content_length().is_some_and(|length| length > 0));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], "order_locked");
    assert_eq!(
        (shop.exchanges(), shop.issuer.hits("/api/forbidden")),
        (0, 1)
    );
}

#[tokio::test]
async fn a_401_that_no_refresh_heals_is_passed_on() {
    let shop = Shop::logged_in().await;
    let client = client(&shop);
    let always = shop.issuer.url_of("/api/always401");
    for expected_hits in [2, 3, 4] {
        let answer = client.get(&always).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(served(&answer).code().is_some());
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"], "invalid_token");
        assert_eq!(shop.issuer.hits("/api/always401"), expected_hits);
    }
    assert_eq!(
        shop.exchanges(),
        1,
        "tried once, then known to be of no use"
    );
    let answer = client
        .get(shop.issuer.url_of("/api/basic401"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), served(&answer).replayed),
        (401, false)
    );
    let answer = client
        .get(shop.issuer.url_of("/api/scope403"))
        .send()
        .await
        .unwrap();
    assert_eq!(served(&answer).code(), Some(Code::InsufficientPermissions));
    assert_eq!(shop.exchanges(), 1);
}

#[tokio::test]
async fn a_large_refusal_is_handed_on_whole() {
    let shop = Shop::logged_in().await;
    let page = "x".repeat(300_000);
    shop.issuer.api_faults().next(Fault::status(403, &page));
    let answer = client(&shop)
        .get(shop.issuer.url_of("/api/orders"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.text().await.unwrap(), page);
}

#[tokio::test]
async fn a_session_that_needs_a_login_says_so_and_sends_nothing() {
    let shop = Shop::logged_in().await;
    let client = client(&shop);
    let url = shop.issuer.url_of("/api/orders");
    shop.issuer.revoke_all_families();
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 401, "the API's own answer");
    let failure = served(&answer).failure.as_ref().expect("told");
    assert_eq!(failure.root().command.as_deref(), Some("tenure login shop"));
    assert_eq!(shop.session().status().state, State::NeedsLogin);
    shop.issuer.forget_requests();
    let error = client.get(&url).send().await.unwrap_err();
    let no_token = no_token(&error).expect("typed");
    assert_eq!(no_token.session, "shop");
    assert_eq!(
        no_token.failure.root().command.as_deref(),
        Some("tenure login shop")
    );
    assert!(
        error.to_string().contains("type `tenure login shop`"),
        "{error}"
    );
    assert_eq!(shop.issuer.requests().len(), 0);
}

#[tokio::test]
async fn a_session_without_upstream_has_no_layer() {
    let shop = Shop::empty().await;
    let nowhere = SessionBuilder::new("nowhere")
        .client_id("a")
        .token_endpoint(shop.issuer.token_endpoint());
    let keeper = tenure::Keeper::open(shop.dir.path().join("other.db"), [nowhere])
        .await
        .unwrap();
    let error = TenureMiddleware::new(keeper.session("nowhere").unwrap()).unwrap_err();
    assert_eq!(error, NoUpstream("nowhere".to_owned()));
}
