//! Answers that no refresh can heal: passed on unchanged, and nobody asks the token endpoint for nothing (I13).

use std::time::Instant;

use serde_json::Value;
use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::common::{Answer, Home, request};
use crate::support::{Keeper, ending_in, get_as, home_at, import, token};

struct Scene {
    issuer: FaultyIssuer,
    home: Home,
    up: Keeper,
}

fn scene() -> Scene {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer, "");
    // A token that has lived for a while: nothing is left to hide behind an earlier refusal.
    let pair = ending_in(issuer.issue(), 200);
    import(&home, &pair);
    let up = Keeper::start(&home);
    Scene { issuer, home, up }
}

impl Scene {
    /// What the API answers to this path when asked without the gateway.
    fn direct(&self, path: &str) -> Answer {
        get_as(
            &self.issuer.url_of(&format!("/api{path}")),
            &token(&self.home),
        )
    }
}

/// Header fields but for the gateway's own and those of the connection.
fn fields(answer: &Answer) -> Vec<String> {
    let own = ["tenure-", "date:", "connection:"];
    let mut fields: Vec<String> = answer
        .head
        .lines()
        .skip(1)
        .filter(|line| {
            let line = line.to_ascii_lowercase();
            !own.iter().any(|prefix| line.starts_with(prefix))
        })
        .map(str::to_owned)
        .collect();
    fields.sort();
    fields
}

fn assert_unchanged(passed: &Answer, direct: &Answer) {
    assert_eq!(passed.status, direct.status, "{passed:?}");
    assert_eq!(passed.body, direct.body);
    assert_eq!(fields(passed), fields(direct));
}

#[test]
fn a_403_for_a_business_rule_is_the_apis_own_affair() {
    let scene = scene();
    let direct = scene.direct("/forbidden");
    assert_eq!(direct.json()["code"], "order_locked", "{direct:?}");
    for _ in 0..20 {
        let passed = scene.up.get("/shop/forbidden");
        assert_unchanged(&passed, &direct);
        assert_eq!(passed.header("tenure-code"), None, "{passed:?}");
        assert_eq!(passed.header("tenure-session"), Some("shop"));
        assert_eq!(passed.header("tenure-replayed"), None);
    }
    assert_eq!(scene.issuer.hits("/token"), 0, "not about the token");
    assert_eq!(scene.up.shop()["state"], "fresh");
    assert_eq!(scene.up.shop()["failure"], Value::Null);
}

#[test]
fn a_403_for_a_missing_scope_is_named_and_not_refreshed() {
    let scene = scene();
    let direct = scene.direct("/scope403");
    for _ in 0..20 {
        let passed = scene.up.get("/shop/scope403");
        assert_unchanged(&passed, &direct);
        assert_eq!(passed.header("tenure-code"), Some("API02005"), "{passed:?}");
    }
    assert_eq!(scene.issuer.hits("/token"), 0);
    assert_eq!(scene.up.get("/shop/orders").status, 200);
}

#[test]
fn a_401_that_asks_for_another_scheme_is_not_refreshed() {
    let scene = scene();
    let direct = scene.direct("/basic401");
    for _ in 0..20 {
        let passed = scene.up.get("/shop/basic401");
        assert_unchanged(&passed, &direct);
    }
    assert_eq!(scene.issuer.hits("/token"), 0);
}

#[test]
fn a_401_whatever_the_token_costs_one_refresh_and_no_more() {
    let scene = scene();
    let direct = scene.direct("/always401");
    assert_eq!(direct.status, 401);
    let start = Instant::now();
    let first = scene.up.get("/shop/always401");
    assert_unchanged(&first, &direct);
    assert_eq!(first.header("tenure-code"), Some("API02003"), "{first:?}");
    let url = scene.up.gateway_url("/shop/always401");
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || -> Vec<Answer> {
                (0..10).map(|_| request("GET", &url, &[], "")).collect()
            })
        })
        .collect();
    for answer in callers
        .into_iter()
        .flat_map(|caller| caller.join().unwrap())
    {
        assert_unchanged(&answer, &direct);
        assert!(answer.header("tenure-code").is_some(), "{answer:?}");
    }
    // A token that a refusal brought and that is refused again is renewed only when it has lived for 10 s,
    // then 20 s, 40 s …: within a few seconds never.
    let seconds = start.elapsed().as_secs();
    let most = 1 + (seconds / 10 + 1).ilog2() as usize;
    let exchanges = scene.issuer.exchanges().len();
    assert!(exchanges <= most, "{exchanges} exchanges in {seconds} s");
    // The direct request, the others, and replays of those that met the first generation.
    let hits = scene.issuer.hits("/api/always401");
    assert!(hits <= 1 + 81 + 8 * most, "{hits} requests reached the API");
    // The session is as good as ever.
    let orders = scene.up.get("/shop/orders");
    assert_eq!(orders.status, 200, "{orders:?}");
    assert_eq!(orders.header("tenure-code"), None, "{orders:?}");
}

#[test]
fn a_post_to_a_401_that_stays_is_sent_twice_at_most() {
    let scene = scene();
    let body = r#"{"item":"burr"}"#;
    let answer = request(
        "POST",
        &scene.up.gateway_url("/shop/always401"),
        &[("content-type", "application/json")],
        body,
    );
    assert_eq!(answer.status, 401, "{answer:?}");
    let sent = scene.issuer.requests_to("/api/always401");
    assert!((1..=2).contains(&sent.len()), "{}", sent.len());
    // The API may answer without reading the body; what it read is whole.
    for request in &sent {
        assert!(
            request.body_len == 0 || request.text() == body,
            "{request:?}"
        );
    }
    if let [first, second] = sent.as_slice() {
        assert_ne!(first.bearer(), second.bearer(), "only with a newer token");
        assert_eq!(answer.header("tenure-replayed"), Some("1"), "{answer:?}");
    }
}

#[test]
fn the_command_line_does_not_loop_either() {
    let scene = scene();
    let hits = || scene.issuer.hits("/token");
    let ran = scene.home.run(&["request", "shop", "GET", "/forbidden"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("order_locked"), "{ran:?}");
    assert_eq!(hits(), 0);
    let ran = scene.home.run(&["request", "shop", "GET", "/always401"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("invalid_token"), "{ran:?}");
    assert!(hits() <= 1, "{}", hits());
}
