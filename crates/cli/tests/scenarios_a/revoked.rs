//! The refresh token was really revoked: one refusal, one clear word, silence, and a login that heals it.

use serde_json::Value;

use crate::common::wait_for;
use crate::support::{SESSION, Setup, ask, codes, event_kinds, root};

/// Lifetime of the access token that is revoked, in seconds: long enough to be refused before it ends.
const LIFETIME_S: u64 = 10;

#[test]
fn a_revoked_session_is_asked_for_once_and_healed_by_a_login_elsewhere() {
    let stage = Setup {
        access_ttl_s: LIFETIME_S,
        ..Setup::default()
    }
    .stage();
    let up = stage.up();
    assert_eq!(up.refresh().expect("an answer").status, 200);
    stage
        .issuer
        .reconfigure(|config| config.access_ttl_ms = 300_000);
    stage.issuer.forget_requests();
    stage.issuer.revoke_family(&stage.first);
    // The API refuses the access token; the refresh that would heal it is refused for good.
    let refused = up.via("/orders");
    assert_eq!(refused.status, 401, "{refused:?}");
    let running = up.until_state("needs_login");
    named(&running["failure"]);
    named(&stage.status()["failure"]);
    assert_eq!(stage.status()["state"], "needs_login");

    for number in 0..50 {
        let answer = match number % 2 {
            0 => up.via("/orders"),
            _ => ask("POST", &up.gateway_url("/orders"), &[], "{}").expect("an answer"),
        };
        assert_eq!(answer.status, 401, "{answer:?}");
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.is_some_and(|value| value.starts_with("Bearer ")),
            "{answer:?}"
        );
        named(&answer.json());
    }
    // Another process cannot know that the API refused the access token: that must have ended as well.
    wait_for("the end of the access token", || {
        let left = stage.status()["access_expires_in"].as_i64();
        left.is_none_or(|left| left < 0).then_some(())
    });
    let token = stage.token();
    assert_eq!(token.code, 3, "{token:?}");
    assert!(
        token.err.contains("API02014") && token.err.contains("tenure login shop"),
        "{token:?}"
    );
    assert_eq!(up.refresh().expect("an answer").status, 401);
    assert_eq!(stage.calls(), 1, "{:?}", stage.issuer.requests_to("/token"));
    assert_eq!(
        stage.issuer.hits("/api/orders"),
        1,
        "nothing is sent upstream without a token"
    );
    let kinds = event_kinds(&stage.home);
    let ended = kinds.iter().filter(|kind| *kind == "ended").count();
    assert_eq!(ended, 1, "{kinds:?}");

    stage.log_in();
    wait_for("the login to reach the running program", || {
        (up.via("/orders").status == 200).then_some(())
    });
    let status = up.until_state("fresh");
    assert_eq!(status["failure"], Value::Null, "{status}");
    assert_eq!(stage.calls(), 1, "a login by import asks nothing");
    assert_eq!(up.refresh().expect("an answer").status, 200);
    assert_eq!(stage.calls(), 2);
    up.stop();
}

/// Code, cause and the command to type, down to the root of the chain.
fn named(failure: &Value) {
    assert_eq!(codes(failure), ["API02007", "API02014"], "{failure}");
    let root = root(failure);
    assert_eq!(root["heal"], "relogin", "{failure}");
    assert_eq!(root["who"], "user", "{failure}");
    assert!(
        root["cause"]
            .as_str()
            .is_some_and(|cause| !cause.is_empty()),
        "{failure}"
    );
    assert_eq!(
        failure["command"],
        format!("tenure login {SESSION}"),
        "{failure}"
    );
}
