//! Refused tokens: one exchange, everybody gets their answer, bodies arrive once, and nothing loops.

use http::Request;
use serde_json::{Value, json};
use tenure_core::Generation;
use tenure_lab::{Fault, IssuerConfig};

use crate::support::{Answer, Setup, World, http1, start, start_with, whole};

/// `count` POSTs at once, each with its own body.
async fn storm(world: &World, count: usize) -> Vec<Answer> {
    let pool = http1();
    let calls = (0..count).map(|number| {
        let request = Request::post(world.url("/shop/orders"))
            .body(whole(&json!({ "n": number }).to_string()));
        let sent = pool.request(request.expect("a request"));
        tokio::spawn(async move { Answer::of(sent.await.expect("an answer")).await })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.expect("a task"));
    }
    answers
}

fn arrived(world: &World) -> Vec<u64> {
    let mut numbers: Vec<u64> = world
        .issuer
        .orders_posted()
        .iter()
        .filter_map(|order| order["n"].as_u64())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_revocation_200_callers_share_one_exchange_and_bodies_arrive_once() {
    let world = start().await;
    assert_eq!(world.get("/shop/orders").await.status, 200);
    world.issuer.revoke_access_tokens();
    let answers = storm(&world, 200).await;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.field("tenure-generation"), Some("2"));
    }
    assert!(
        answers
            .iter()
            .any(|answer| answer.field("tenure-replayed") == Some("1"))
    );
    assert_eq!(world.issuer.exchanges().len(), 1);
    assert_eq!(arrived(&world), (0..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_instant_of_expiry_200_callers_share_one_exchange() {
    let issuer = IssuerConfig::new().access_ttl_ms(1_500);
    let world = start_with(Setup {
        issuer,
        ..Setup::default()
    })
    .await;
    let session = world.session();
    world
        .issuer
        .reconfigure(|config| config.access_ttl_ms = 300_000);
    tenure_lab::wait_until(|| session.current().is_none(), "expired").await;
    let answers = storm(&world, 200).await;
    assert!(
        answers.iter().all(|answer| answer.status == 201),
        "{answers:?}"
    );
    assert_eq!(world.issuer.exchanges().len(), 1);
    assert_eq!(arrived(&world), (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_replay_is_reported_and_the_next_request_needs_none() {
    let world = start().await;
    world.issuer.revoke_access_tokens();
    let healed = world.get("/shop/orders").await;
    assert_eq!(
        (healed.status.as_u16(), healed.field("tenure-replayed")),
        (200, Some("1"))
    );
    assert_eq!(healed.field("tenure-session"), Some("shop"));
    assert_eq!(healed.field("tenure-code"), None);
    let next = world.get("/shop/orders").await;
    assert_eq!(
        (
            next.status.as_u16(),
            next.field("tenure-replayed"),
            next.field("tenure-generation")
        ),
        (200, None, Some("2"))
    );
}

#[tokio::test]
async fn a_business_403_is_passed_on_and_starts_nothing() {
    let world = start().await;
    for _ in 0..3 {
        let answer = world.get("/shop/forbidden").await;
        assert_eq!(answer.status, 403);
        assert_eq!(
            answer.json(),
            json!({ "code": "order_locked", "message": "The order is locked." })
        );
        assert_eq!(answer.field("tenure-code"), None);
    }
    assert_eq!(world.issuer.hits("/api/forbidden"), 3);
    assert!(world.issuer.exchanges().is_empty());
}

#[tokio::test]
async fn a_missing_scope_is_named_and_starts_nothing() {
    let world = start().await;
    let answer = world.get("/shop/scope403").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-code")),
        (403, Some("API02005"))
    );
    assert!(
        answer
            .field("www-authenticate")
            .is_some_and(|field| field.contains("insufficient_scope"))
    );
    assert_eq!(world.issuer.hits("/api/scope403"), 1);
    assert!(world.issuer.exchanges().is_empty());
}

#[tokio::test]
async fn another_scheme_401_starts_nothing() {
    let world = start().await;
    assert_eq!(world.get("/shop/basic401").await.status, 401);
    assert_eq!(world.issuer.hits("/api/basic401"), 1);
    assert!(world.issuer.exchanges().is_empty());
}

#[tokio::test]
async fn a_401_no_refresh_can_heal_does_not_loop() {
    let world = start().await;
    assert_eq!(world.get("/shop/orders").await.status, 200);
    let mut sent = Vec::new();
    for _ in 0..12 {
        let answer = world.get("/shop/always401").await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["error"], "invalid_token");
        assert!(
            answer
                .field("tenure-code")
                .is_some_and(|code| code.starts_with("API020")),
            "{answer:?}"
        );
        sent.push(world.issuer.hits("/api/always401"));
    }
    assert!(
        world.issuer.exchanges().len() <= 2,
        "{} exchanges",
        world.issuer.exchanges().len()
    );
    assert!(
        sent.windows(2).all(|pair| pair[1] - pair[0] <= 2),
        "a request was sent more than twice: {sent:?}"
    );
    assert!(
        sent.last().is_some_and(|total| *total <= 14),
        "refused requests go on being replayed: {sent:?}"
    );
    assert_eq!(
        world.get("/shop/orders").await.status,
        200,
        "the session itself is well"
    );
}

#[tokio::test]
async fn a_refusal_with_a_spent_session_is_passed_on_with_its_code() {
    let world = start().await;
    world.issuer.revoke_access_tokens();
    world.issuer.revoke_all_families();
    let answer = world.get("/shop/orders").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]),
        (401, &Value::from("invalid_token"))
    );
    assert!(answer.field("tenure-code").is_some());
    assert_eq!(world.issuer.hits("/api/orders"), 1);
    // From now on the gateway knows by itself, and neither the API nor the token endpoint hears of it.
    let own = world.get("/shop/orders").await;
    assert_eq!(own.status, 401);
    assert_eq!(own.field("content-type"), Some("application/problem+json"));
    assert_eq!(own.json()["command"], "tenure login shop");
    assert_eq!(own.json()["heal"], "relogin");
    assert_eq!(
        (
            world.issuer.hits("/api/orders"),
            world.issuer.exchanges().len()
        ),
        (1, 1)
    );
    crate::support::log_in(&world.keeper, &world.issuer).await;
    assert_eq!(world.get("/shop/orders").await.status, 200);
}

#[tokio::test]
async fn a_valid_token_is_served_while_refreshing_fails() {
    let world = start().await;
    world
        .issuer
        .faults()
        .until_cleared(Fault::status(503, "down"));
    let _failed = world
        .session()
        .refresh()
        .await
        .expect_err("the endpoint is down");
    let answer = world.get("/shop/orders").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("tenure-generation")),
        (200, Some("1"))
    );
}

#[tokio::test]
async fn what_passes_is_a_503_with_a_time_and_heals() {
    let world = start().await;
    world.issuer.revoke_access_tokens();
    world
        .issuer
        .faults()
        .until_cleared(Fault::status(503, "down"));
    assert_eq!(
        world.get("/shop/orders").await.status,
        401,
        "the API's own answer"
    );
    let answer = world.get("/shop/orders").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer
            .field("retry-after")
            .is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|seconds| seconds > 0))
    );
    assert_eq!(answer.json()["session"], "shop");
    world.issuer.faults().clear();
    let session = world.session();
    while session.current().is_none() {
        // A lazy session refreshes when it is wanted.
        let _not_yet = session.token(std::time::Duration::ZERO).await;
    }
    assert_eq!(world.get("/shop/orders").await.status, 200);
    assert_eq!(session.snapshot().generation, Generation(2));
}

#[tokio::test]
async fn without_a_login_the_answer_says_what_to_type() {
    let world = start_with(Setup {
        logged_in: false,
        ..Setup::default()
    })
    .await;
    let answer = world.get("/shop/orders").await;
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .field("www-authenticate")
            .is_some_and(|challenge| challenge.starts_with("Bearer "))
    );
    let problem = answer.json();
    assert_eq!(
        (&problem["command"], &problem["session"]),
        (&Value::from("tenure login shop"), &Value::from("shop"))
    );
    assert_eq!(world.issuer.hits("/api/orders"), 0);
}

#[tokio::test]
async fn a_page_that_was_asked_for_is_not_judged() {
    let world = start().await;
    world.issuer.api_faults().until_cleared(Fault::Html200);
    let request = || Request::get(world.url("/shop/orders"));
    let browser = request().header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let page = world.ask(browser, "").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.field("tenure-code"), None);
    assert!(world.session().snapshot().failure.is_none());
    let page = world.ask(request().header("accept", "*/*"), "").await;
    assert_eq!(page.field("tenure-code"), Some("API01010"));
}
