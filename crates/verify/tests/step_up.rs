//! Routes that need a recent or a stronger login (RFC 9470).

mod common;

use common::{Api, NOW, TestClock, body, builder, claims, header, key, token};
use serde_json::{Value, json};
use tenure_jose::KeySet;
use tenure_verify::{KeySource, Style};

fn with(auth_time: Value, acr: Value) -> Value {
    let mut claims = claims();
    claims["auth_time"] = auth_time;
    claims["acr"] = acr;
    claims
}

#[tokio::test]
async fn an_old_or_weak_login_is_told_what_would_do() {
    let key = key("k1");
    let verifier = builder(
        KeySource::fixed(KeySet::from_signing_key(&key)),
        &TestClock::default(),
    )
    .build()
    .expect("a verifier");
    let layer = verifier
        .layer()
        .require_recent_login(300)
        .require_acr(["gold", "silver"]);
    let api = Api::start(layer.clone()).await;
    for (auth_time, acr, status) in [
        (json!(NOW - 300), json!("silver"), 200),
        (json!(NOW + 2), json!("gold"), 200),
        (json!(NOW - 301), json!("silver"), 401),
        (json!(NOW), json!("tin"), 401),
        (json!(NOW), Value::Null, 401),
        (Value::Null, json!("gold"), 401),
        (json!("now"), json!("gold"), 401),
    ] {
        let access = token(&key, &with(auth_time.clone(), acr.clone()));
        assert_eq!(api.status(&access).await, status, "{auth_time} {acr}");
    }
    let refused = api.get(&token(&key, &claims())).await;
    assert_eq!(
        header(refused.headers(), "www-authenticate"),
        Some(
            "Bearer realm=\"shop\", error=\"insufficient_user_authentication\", error_description=\"A more recent or a \
             stronger login is needed than the one behind the access token\", acr_values=\"gold silver\", max_age=\"300\""
        )
    );
    assert_eq!(body(&refused)["error"], "insufficient_user_authentication");

    let other = Api::start(layer.style(Style::TokenExpiredJson)).await;
    let refused = other.get(&token(&key, &claims())).await;
    assert_eq!(body(&refused), json!({"error": "login_required"}));
}
