//! The key cache against a real key server: rotation, storms, failures.

mod common;

use std::sync::Arc;

use axum::http::StatusCode;
use common::{Api, KeyServer, TestClock, body, builder, claims, header, key, token};
use tenure_verify::{JwksCache, KeySource};

async fn setup(server: &KeyServer, clock: &TestClock) -> Api {
    let verifier = builder(KeySource::url(server.url.clone()), clock)
        .build()
        .expect("a verifier");
    Api::start(verifier.layer()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_traffic_is_followed_at_once() {
    let keys: Vec<_> = ["k1", "k2", "k3"].map(key).into();
    let tokens: Vec<_> = keys.iter().map(|key| token(key, &claims())).collect();
    let server = KeyServer::start(&[&keys[0]]).await;
    let clock = TestClock::default();
    let api = Arc::new(setup(&server, &clock).await);
    assert_eq!(api.status(&tokens[0]).await, 200);

    for turn in 1..3 {
        // The cool-down of the turn before is over; the keys overlap, as an issuer's do.
        clock.advance(10);
        server.publish(&[&keys[turn - 1], &keys[turn]]);
        let traffic: Vec<_> = (0..60)
            .map(|number| {
                let (api, token) = (Arc::clone(&api), tokens[turn - number % 2].clone());
                tokio::spawn(async move { api.status(&token).await })
            })
            .collect();
        for request in traffic {
            assert_eq!(request.await.expect("no panic"), 200);
        }
        assert_eq!(server.fetches(), 1 + turn, "one fetch per rotation");
    }
    assert_eq!(
        api.status(&tokens[0]).await,
        401,
        "the first key was withdrawn"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_unknown_keys_causes_one_fetch_per_cool_down() {
    let (known, unknown) = (key("k1"), key("junk"));
    let server = KeyServer::start(&[&known]).await;
    let clock = TestClock::default();
    let api = Arc::new(setup(&server, &clock).await);
    assert_eq!(api.status(&token(&known, &claims())).await, 200);

    let storm = |count: usize| {
        let (api, junk) = (Arc::clone(&api), token(&unknown, &claims()));
        async move {
            let requests: Vec<_> = (0..count)
                .map(|_| {
                    let (api, junk) = (Arc::clone(&api), junk.clone());
                    tokio::spawn(async move { api.status(&junk).await })
                })
                .collect();
            for request in requests {
                assert_eq!(request.await.expect("no panic"), 401);
            }
        }
    };
    storm(100).await;
    assert_eq!(server.fetches(), 2);
    clock.advance(9);
    storm(20).await;
    assert_eq!(server.fetches(), 2, "the cool-down holds");
    clock.advance(1);
    storm(20).await;
    assert_eq!(server.fetches(), 3);

    let mut foreign = claims();
    foreign["iss"] = "https://other.example".into();
    clock.advance(10);
    assert_eq!(api.status(&token(&unknown, &foreign)).await, 401);
    assert_eq!(
        server.fetches(),
        3,
        "another issuer's token causes no fetch"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_first_requests_share_one_fetch() {
    let known = key("k1");
    let server = KeyServer::start(&[&known]).await;
    server.permits.forget_permits(usize::MAX);
    let api = Arc::new(setup(&server, &TestClock::default()).await);
    let good = token(&known, &claims());
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (api, good) = (Arc::clone(&api), good.clone());
            tokio::spawn(async move { api.status(&good).await })
        })
        .collect();
    server.wait_for_fetches(1).await;
    server.permits.add_permits(1);
    for request in requests {
        assert_eq!(request.await.expect("no panic"), 200);
    }
    assert_eq!(server.fetches(), 1);
}

/// Sends good requests until the key server was asked this often. A renewal is joined while one is under way,
/// so a single request may start none.
async fn serve_until_fetches(api: &Api, good: &str, server: &KeyServer, count: usize) {
    let served = async {
        while server.fetches() < count {
            assert_eq!(api.status(good).await, 200);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), served)
        .await
        .expect("the keys are renewed");
}

#[tokio::test]
async fn keys_are_renewed_behind_the_scenes_before_max_age() {
    let known = key("k1");
    let server = KeyServer::start(&[&known]).await;
    let clock = TestClock::default();
    let api = setup(&server, &clock).await;
    let good = token(&known, &claims());
    assert_eq!(api.status(&good).await, 200);
    clock.advance(479);
    assert_eq!(api.status(&good).await, 200);
    assert_eq!(server.fetches(), 1, "fresh for four fifths of max-age=600");
    clock.advance(1);
    assert_eq!(api.status(&good).await, 200);
    server.wait_for_fetches(2).await;
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_by_the_first_request_after_max_age() {
    let known = key("k1");
    let server = KeyServer::start(&[&known]).await;
    let clock = TestClock::default();
    let api = setup(&server, &clock).await;
    let good = token(&known, &claims());
    assert_eq!(api.status(&good).await, 200);
    server.publish(&[&key("k2")]);
    clock.advance(600);
    assert_eq!(api.status(&good).await, 401);
}

#[tokio::test]
async fn the_last_good_keys_survive_failed_fetches() {
    let known = key("k1");
    let server = KeyServer::start(&[&known]).await;
    let clock = TestClock::default();
    let api = setup(&server, &clock).await;
    let good = token(&known, &claims());
    assert_eq!(api.status(&good).await, 200);
    let faults = [
        (StatusCode::INTERNAL_SERVER_ERROR, "oops"),
        (StatusCode::OK, "<html>maintenance</html>"),
        (StatusCode::OK, r#"{"keys":[{"kty":"AKP"}]}"#),
        (StatusCode::FOUND, ""),
    ];
    for (turn, (status, text)) in faults.into_iter().enumerate() {
        server.fail(status, text);
        clock.advance(700);
        assert_eq!(api.status(&good).await, 200, "{status} {text}");
        serve_until_fetches(&api, &good, &server, turn + 2).await;
    }
    let fetches = server.fetches();
    for _ in 0..5 {
        assert_eq!(api.status(&good).await, 200);
    }
    assert_eq!(server.fetches(), fetches, "failed fetches cool down too");
}

#[tokio::test]
async fn a_silent_key_server_delays_nobody_twice() {
    let known = key("k1");
    let server = KeyServer::start(&[&known]).await;
    let clock = TestClock::default();
    let api = setup(&server, &clock).await;
    let good = token(&known, &claims());
    assert_eq!(api.status(&good).await, 200);
    server.fail(StatusCode::BAD_GATEWAY, "");
    clock.advance(700);
    assert_eq!(api.status(&good).await, 200);
    // Now it does not even answer; the renewal hangs behind the scenes. Whoever waited for it would wait for
    // the fetch's own limit of 5 s.
    server.permits.forget_permits(usize::MAX);
    clock.advance(10);
    let both = async {
        assert_eq!(api.status(&good).await, 200);
        server.wait_for_fetches(3).await;
        assert_eq!(api.status(&good).await, 200);
    };
    tokio::time::timeout(std::time::Duration::from_secs(4), both)
        .await
        .expect("nobody waits for a renewal that is known to fail");
    server.publish(&[&known]);
    server.permits.add_permits(1);
}

#[tokio::test]
async fn without_any_keys_the_answer_is_503_and_heals() {
    let known = key("k1");
    let server = KeyServer::start(&[&known]).await;
    server.fail(StatusCode::SERVICE_UNAVAILABLE, "");
    let clock = TestClock::default();
    let api = setup(&server, &clock).await;
    let good = token(&known, &claims());
    for _ in 0..3 {
        let refused = api.get(&good).await;
        assert_eq!(refused.status(), 503);
        assert_eq!(header(refused.headers(), "retry-after"), Some("1"));
        assert_eq!(header(refused.headers(), "www-authenticate"), None);
        assert_eq!(body(&refused)["error"], "temporarily_unavailable");
    }
    assert_eq!(server.fetches(), 1, "asked once within the same second");
    server.publish(&[&known]);
    clock.advance(1);
    assert_eq!(api.status(&good).await, 200);
}

#[tokio::test]
async fn a_cache_is_shared_and_warmed_up() {
    let known = key("k1");
    let server = KeyServer::start(&[&known]).await;
    let cache = JwksCache::with_cool_down(server.url.clone(), 60).expect("a cache");
    let clock = TestClock::default();
    for _ in 0..2 {
        let verifier = builder(KeySource::cache(Arc::clone(&cache)), &clock)
            .build()
            .expect("a verifier");
        verifier.warm_up().await.expect("keys");
        assert!(verifier.verify(&token(&known, &claims())).await.is_ok());
    }
    assert_eq!(server.fetches(), 1);
}
