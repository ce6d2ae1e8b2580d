//! What of a request and an answer travels.

use http::Request;
use serde_json::{Value, json};
use tenure_gateway::{Options, RouteOptions};
use tenure_lab::{Sink, free_port};

use crate::support::{Setup, start, start_with};

#[tokio::test]
async fn both_forms_of_address_reach_the_session() {
    let world = start().await;
    let by_path = world.get("/shop/echo?a=%2F&b").await.json();
    let by_host = Request::get(world.url("/echo?a=%2F&b"))
        .header("host", format!("shop.localhost:{}", world.address.port()));
    let by_host = world.ask(by_host, "").await.json();
    assert_eq!(by_path["uri"], "/api/echo?a=%2F&b");
    assert_eq!(by_path, by_host);
}

#[tokio::test]
async fn the_token_replaces_what_the_caller_sent() {
    let world = start().await;
    let request = Request::post(world.url("/shop/echo"))
        .header("authorization", "Bearer of-the-caller")
        .header("cookie", "wordpress_logged_in=stale")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-end", "2")
        .header("tenure-session", "forged");
    let seen = world.ask(request, "hello").await.json();
    let recorded = world.issuer.requests_to("/api/echo");
    assert_eq!(
        recorded[0].bearer(),
        world
            .session()
            .current()
            .map(|token| token.secret.expose().to_owned())
            .as_deref()
    );
    assert_eq!(
        (&seen["method"], &seen["body"]),
        (&json!("POST"), &json!("hello"))
    );
    let headers = seen["headers"].as_object().expect("fields");
    for gone in [
        "cookie",
        "x-hop",
        "tenure-session",
        "x-forwarded-for",
        "forwarded",
    ] {
        assert!(!headers.contains_key(gone), "{gone}: {headers:?}");
    }
    assert_eq!(headers["x-end"], json!(["2"]));
    assert_eq!(headers["via"], json!(["1.1 tenure"]));
    assert_eq!(headers["host"], json!([world.issuer.addr().to_string()]));
}

#[tokio::test]
async fn a_route_may_keep_what_the_caller_sent() {
    let routes = [(
        "shop".to_owned(),
        RouteOptions {
            keep_authorization: true,
            keep_cookies: true,
        },
    )]
    .into();
    let world = start_with(Setup {
        options: Options {
            routes,
            ..Options::default()
        },
        ..Setup::default()
    })
    .await;
    let own = world
        .session()
        .current()
        .expect("a token")
        .secret
        .expose()
        .to_owned();
    let request = Request::get(world.url("/shop/echo"))
        .header("authorization", format!("bearer {own}"))
        .header("cookie", "a=b");
    let seen = world.ask(request, "").await.json();
    assert_eq!(
        seen["headers"]["authorization"],
        json!([format!("bearer {own}")])
    );
    assert_eq!(seen["headers"]["cookie"], json!(["a=b"]));
    let foreign = Request::get(world.url("/shop/echo")).header("authorization", "Bearer unknown");
    let answer = world.ask(foreign, "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-generation")),
        (401, None)
    );
    assert!(
        world.issuer.exchanges().is_empty(),
        "the session's token was not refused"
    );
}

#[tokio::test]
async fn a_redirect_to_another_origin_is_passed_on_and_not_followed() {
    let (world, elsewhere) = (start().await, Sink::start());
    let to = elsewhere.url_of("/steal?x=1");
    world.issuer.set_redirect(&to);
    let answer = world.get("/shop/redirect").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("location")),
        (302, Some(to.as_str()))
    );
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn no_path_reaches_outside_the_upstream() {
    let world = start().await;
    for path in [
        "/shop/../token",
        "/shop/%2e%2e/token",
        "/shop/..%2ftoken",
        "/shop/..;/token",
    ] {
        assert_eq!(world.get(path).await.status, 400, "{path}");
    }
    assert!(world.issuer.requests().is_empty());
    let own = format!("http://{}/orders", world.issuer.addr());
    let request = Request::get(world.url(&format!("/shop//{own}")));
    assert_eq!(
        world.ask(request, "").await.status,
        404,
        "a path below the upstream's base"
    );
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_502() {
    let upstream = Some(format!("http://127.0.0.1:{}", free_port()));
    let world = start_with(Setup {
        upstream,
        ..Setup::default()
    })
    .await;
    let answer = world.get("/shop/orders").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-code")),
        (502, Some("API01002"))
    );
    assert_eq!(
        (answer.field("tenure-session"), &answer.json()["who"]),
        (Some("shop"), &Value::from("provider"))
    );
}

#[tokio::test]
async fn a_silent_upstream_is_a_504_and_a_slow_one_is_not() {
    let mut options = Options::default();
    options.limits.response_head_timeout = std::time::Duration::from_millis(300);
    let world = start_with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    let answer = world.get("/shop/slow").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-code")),
        (504, Some("API01001"))
    );
    world.issuer.slow_gate().open();
    assert_eq!(world.get("/shop/slow").await.status, 200);
}

#[tokio::test]
async fn answers_without_a_body_keep_their_fields() {
    let world = start().await;
    let head = world
        .ask(Request::head(world.url("/shop/orders")), "")
        .await;
    assert!(head.body.is_empty());
    for status in ["204", "304", "503", "429"] {
        let answer = world.get(&format!("/shop/status/{status}")).await;
        assert_eq!(answer.status.as_str(), status);
        assert_eq!(answer.field("tenure-generation"), Some("1"));
    }
    assert!(world.issuer.exchanges().is_empty());
}

#[tokio::test]
async fn a_gateway_that_is_its_own_upstream_ends_the_loop() {
    let port = free_port();
    let upstream = Some(format!("http://127.0.0.1:{port}/shop"));
    let world = start_with(Setup {
        upstream,
        ..Setup::default()
    })
    .await;
    let gateway =
        tenure_gateway::Gateway::new(world.keeper.clone(), Options::default()).expect("a gateway");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port");
    let serving = tokio::spawn(async move {
        gateway
            .serve(listener, tokio_util::sync::CancellationToken::new())
            .await
    });
    assert_eq!(world.get("/shop/x").await.status, 508);
    serving.abort();
}
