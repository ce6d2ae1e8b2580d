//! Every refusal: status, headers and body, over real sockets.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use common::{Api, NOW, TestClock, body, builder, claims, claims_with, header, key, token};
use serde_json::{Value, json};
use tenure_jose::{Alg, KeySet, SigningKey};
use tenure_verify::{BuildError, KeySource, Style, Verifier, WordpressPlugin};

/// An API in one style that needs the scope `orders:read`, its key, and the switch that revokes every token.
struct Setup {
    api: Api,
    key: SigningKey,
    revoked: Arc<AtomicBool>,
}

async fn setup(style: Style) -> Setup {
    let key = key("k1");
    let revoked = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&revoked);
    let verifier = builder(
        KeySource::fixed(KeySet::from_signing_key(&key)),
        &TestClock::default(),
    )
    .typ("at+jwt")
    .style(style)
    .revocation(move |claims: &tenure_verify::Claims| {
        claims["jti"] == "t1" && switch.load(Ordering::SeqCst)
    })
    .build()
    .expect("a verifier");
    Setup {
        api: Api::start(verifier.layer().require_scopes(["orders:read"])).await,
        key,
        revoked,
    }
}

/// What is sent, by name.
fn authorizations(key: &SigningKey) -> Vec<(&'static str, Vec<String>)> {
    let with = |name: &str, value: Value| {
        vec![format!("Bearer {}", token(key, &claims_with(name, value)))]
    };
    let good = token(key, &claims());
    let (text, _) = good.rsplit_once('.').expect("three parts");
    let other = common::key("k1");
    let (_, foreign) = token(&other, &claims())
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("parts");
    let id_token = key.sign(Some("JWT"), &claims()).expect("signed");
    let mut no_exp = claims();
    no_exp.as_object_mut().expect("an object").remove("exp");
    vec![
        ("missing", vec![]),
        ("basic", vec!["Basic dXNlcjpwdw==".into()]),
        (
            "two",
            vec![format!("Bearer {good}"), format!("Bearer {good}")],
        ),
        ("no token", vec!["Bearer".into()]),
        ("junk", vec!["Bearer junk".into()]),
        ("expired", with("exp", json!(NOW - 60))),
        ("early", with("nbf", json!(NOW + 60))),
        ("future", with("iat", json!(NOW + 60))),
        ("signature", vec![format!("Bearer {text}.{foreign}")]),
        (
            "unknown key",
            vec![format!("Bearer {}", token(&common::key("k2"), &claims()))],
        ),
        (
            "algorithm",
            vec![format!(
                "Bearer {}",
                token(
                    &SigningKey::generate(Alg::EdDsa, "k1").expect("a key"),
                    &claims()
                )
            )],
        ),
        ("issuer", with("iss", json!("https://other.example"))),
        ("audience", with("aud", json!("billing"))),
        ("type", vec![format!("Bearer {}", id_token.expose())]),
        ("no exp", vec![format!("Bearer {}", token(key, &no_exp))]),
        ("scope", with("scope", json!("profile"))),
    ]
}

async fn refused(setup: &Setup, case: &str) -> (StatusCode, Option<String>, Value) {
    let revoke = case == "revoked";
    setup.revoked.store(revoke, Ordering::SeqCst);
    let values = if revoke {
        vec![format!("Bearer {}", token(&setup.key, &claims()))]
    } else {
        let cases = authorizations(&setup.key);
        cases
            .into_iter()
            .find(|(name, _)| *name == case)
            .expect("a known case")
            .1
    };
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    let response = setup.api.send(&values).await;
    assert_eq!(
        header(response.headers(), "cache-control"),
        Some("no-store"),
        "{case}"
    );
    let challenge = header(response.headers(), "www-authenticate").map(str::to_owned);
    let json = if response.body().is_empty() {
        Value::Null
    } else {
        body(&response)
    };
    (response.status(), challenge, json)
}

#[tokio::test]
async fn a_good_token_reaches_the_service_with_its_claims() {
    let setup = setup(Style::Rfc6750).await;
    let good = token(&setup.key, &claims());
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let response = setup.api.send(&[&format!("{scheme} {good}")]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.body().as_ref(), b"till-7:orders:read+profile");
    }
    let list = claims_with("scope", json!(["orders:read"]));
    assert_eq!(setup.api.status(&token(&setup.key, &list)).await, 200);
}

#[tokio::test]
async fn rfc_6750_answers_are_exact() {
    let setup = setup(Style::Rfc6750).await;
    for case in ["missing", "basic"] {
        let expected = (
            StatusCode::UNAUTHORIZED,
            Some(r#"Bearer realm="shop""#.to_owned()),
            Value::Null,
        );
        assert_eq!(refused(&setup, case).await, expected, "{case}");
    }
    let cases = [
        (
            "two",
            400,
            "invalid_request",
            "The request has more than one Authorization header",
        ),
        (
            "no token",
            400,
            "invalid_request",
            "The Authorization header has no token after Bearer",
        ),
        (
            "junk",
            401,
            "invalid_token",
            "The access token is malformed",
        ),
        ("expired", 401, "invalid_token", "The access token expired"),
        (
            "early",
            401,
            "invalid_token",
            "The access token is not yet valid",
        ),
        (
            "future",
            401,
            "invalid_token",
            "The access token was issued in the future",
        ),
        (
            "signature",
            401,
            "invalid_token",
            "The access token signature is invalid",
        ),
        (
            "unknown key",
            401,
            "invalid_token",
            "The access token is signed with an unknown key",
        ),
        (
            "algorithm",
            401,
            "invalid_token",
            "The access token is signed with an algorithm that is not accepted",
        ),
        (
            "issuer",
            401,
            "invalid_token",
            "The access token has the wrong issuer",
        ),
        (
            "audience",
            401,
            "invalid_token",
            "The access token has the wrong audience",
        ),
        (
            "type",
            401,
            "invalid_token",
            "The access token has the wrong type",
        ),
        (
            "no exp",
            401,
            "invalid_token",
            "The access token has no expiry",
        ),
        (
            "revoked",
            401,
            "invalid_token",
            "The access token was revoked",
        ),
    ];
    for (case, status, error, text) in cases {
        let (got, challenge, json) = refused(&setup, case).await;
        assert_eq!(got, status, "{case}");
        let expected =
            format!(r#"Bearer realm="shop", error="{error}", error_description="{text}""#);
        assert_eq!(challenge, Some(expected), "{case}");
        assert_eq!(
            json,
            json!({"error": error, "error_description": text}),
            "{case}"
        );
    }
    let (status, challenge, json) = refused(&setup, "scope").await;
    let text = "The request requires higher privileges than provided by the access token";
    assert_eq!(status, 403);
    assert_eq!(
        challenge.as_deref(),
        Some(format!(r#"Bearer realm="shop", error="insufficient_scope", error_description="{text}", scope="orders:read""#).as_str())
    );
    assert_eq!(json["scope"], "orders:read");
}

#[tokio::test]
async fn token_expired_json_answers() {
    let setup = setup(Style::TokenExpiredJson).await;
    let cases = [
        ("missing", 401, "token_missing"),
        ("two", 401, "token_invalid"),
        ("signature", 401, "token_invalid"),
        ("early", 401, "token_invalid"),
        ("expired", 401, "token_expired"),
        ("revoked", 401, "token_revoked"),
        ("scope", 403, "insufficient_scope"),
    ];
    for (case, status, error) in cases {
        let (got, challenge, json) = refused(&setup, case).await;
        assert_eq!(
            (got.as_u16(), challenge, json),
            (status, None, json!({"error": error})),
            "{case}"
        );
    }
}

#[tokio::test]
async fn tmeister_answers() {
    let setup = setup(Style::WordpressTmeister).await;
    let cases = [
        (
            "missing",
            "jwt_auth_no_auth_header",
            "Authorization header not found.",
        ),
        (
            "no token",
            "jwt_auth_bad_auth_header",
            "Authorization header malformed.",
        ),
        ("expired", "jwt_auth_invalid_token", "Expired token"),
        (
            "signature",
            "jwt_auth_invalid_token",
            "Signature verification failed",
        ),
        ("junk", "jwt_auth_invalid_token", "Wrong number of segments"),
        (
            "early",
            "jwt_auth_invalid_token",
            "Cannot handle token prior to 2023-11-14T22:14:20+0000",
        ),
        (
            "future",
            "jwt_auth_invalid_token",
            "Cannot handle token prior to 2023-11-14T22:14:20+0000",
        ),
        (
            "algorithm",
            "jwt_auth_invalid_token",
            "Incorrect key for this algorithm",
        ),
        (
            "issuer",
            "jwt_auth_bad_iss",
            "The iss do not match with this server",
        ),
        (
            "scope",
            "rest_forbidden",
            "Sorry, you are not allowed to do that.",
        ),
    ];
    for (case, code, message) in cases {
        let (status, challenge, json) = refused(&setup, case).await;
        assert_eq!((status.as_u16(), challenge), (403, None), "{case}");
        assert_eq!(
            json,
            json!({"code": code, "message": message, "data": {"status": 403}}),
            "{case}"
        );
    }
}

#[tokio::test]
async fn usefulteam_answers() {
    let setup = setup(Style::WordpressUsefulteam).await;
    let cases = [
        (
            "missing",
            "jwt_auth_no_auth_header",
            "Authorization header not found.",
        ),
        (
            "two",
            "jwt_auth_bad_auth_header",
            "Authorization header malformed.",
        ),
        ("expired", "jwt_auth_invalid_token", "Expired token"),
        (
            "issuer",
            "jwt_auth_bad_iss",
            "The iss do not match with this server.",
        ),
        ("revoked", "jwt_auth_obsolete_token", "Token is obsolete"),
    ];
    for (case, code, message) in cases {
        let (status, challenge, json) = refused(&setup, case).await;
        assert_eq!((status.as_u16(), challenge), (401, None), "{case}");
        let expected = json!({"success": false, "statusCode": 401, "code": code, "message": message, "data": []});
        assert_eq!(json, expected, "{case}");
    }
    assert_eq!(refused(&setup, "scope").await.0, 403);
}

#[tokio::test]
async fn simple_jwt_login_answers_of_both_versions() {
    for (version, name) in [(3, "errorCode"), (4, "error_code")] {
        let setup = setup(Style::SimpleJwtLogin { version }).await;
        let cases = [
            (
                "missing",
                401,
                75,
                "You are not authorized to access this endpoint.",
            ),
            ("junk", 401, 2, "Wrong number of segments"),
            ("signature", 401, 11, "Signature verification failed"),
            (
                "early",
                401,
                12,
                "Cannot handle token prior to 2023-11-14T22:14:20+0000",
            ),
            (
                "future",
                401,
                13,
                "Cannot handle token prior to 2023-11-14T22:14:20+0000",
            ),
            ("expired", 401, 14, "Expired token"),
            ("revoked", 401, 55, "This JWT is invalid."),
            (
                "scope",
                403,
                114,
                "You are not authorized to access this endpoint.",
            ),
        ];
        for (case, expected, number, message) in cases {
            let (status, challenge, json) = refused(&setup, case).await;
            assert_eq!((status.as_u16(), challenge), (expected, None), "{case}");
            assert_eq!(
                json,
                json!({"success": false, "data": {"message": message, name: number}}),
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn wcpos_answers_alike_for_every_reason() {
    let setup = setup(Style::Wcpos).await;
    let expected = json!({"code": "woocommerce_pos_rest_unauthorized", "message": "Authentication required.", "data": {"status": 401}});
    for case in [
        "missing",
        "two",
        "junk",
        "expired",
        "signature",
        "issuer",
        "revoked",
    ] {
        let (status, challenge, json) = refused(&setup, case).await;
        assert_eq!(
            (status.as_u16(), challenge, &json),
            (401, None, &expected),
            "{case}"
        );
    }
    let (status, _, json) = refused(&setup, "scope").await;
    assert_eq!(
        (status.as_u16(), &json["code"]),
        (403, &json!("woocommerce_pos_rest_forbidden"))
    );
}

#[tokio::test]
async fn distinct_codes_say_why_in_the_plugins_shapes() {
    let cases = [
        (
            "missing",
            "jwt_auth_no_auth_header",
            "Authorization header not found.",
        ),
        ("expired", "jwt_auth_expired_token", "Expired token"),
        (
            "signature",
            "jwt_auth_invalid_signature",
            "Signature verification failed",
        ),
        (
            "junk",
            "jwt_auth_malformed_token",
            "Wrong number of segments",
        ),
        (
            "early",
            "jwt_auth_token_not_yet_valid",
            "Cannot handle token prior to 2023-11-14T22:14:20+0000",
        ),
        (
            "revoked",
            "jwt_auth_token_revoked",
            "The access token was revoked",
        ),
    ];
    let flat = setup(Style::WordpressDistinct(WordpressPlugin::Tmeister)).await;
    let envelope = setup(Style::WordpressDistinct(WordpressPlugin::Usefulteam)).await;
    for (case, code, message) in cases {
        let (status, _, json) = refused(&flat, case).await;
        assert_eq!(status.as_u16(), 403, "{case}");
        assert_eq!(
            json,
            json!({"code": code, "message": message, "data": {"status": 403}}),
            "{case}"
        );
        let (status, _, json) = refused(&envelope, case).await;
        assert_eq!(status.as_u16(), 401, "{case}");
        let expected = json!({"success": false, "statusCode": 401, "code": code, "message": message, "data": []});
        assert_eq!(json, expected, "{case}");
    }
    let till = setup(Style::wordpress(WordpressPlugin::Wcpos, true)).await;
    for (case, reason) in [
        ("missing", Value::Null),
        ("expired", json!("woocommerce_pos_auth_token_expired")),
        ("signature", json!("woocommmerce_pos_auth_invalid_token")),
        ("issuer", json!("woocommmerce_pos_auth_bad_iss")),
        ("revoked", json!("woocommerce_pos_auth_session_revoked")),
    ] {
        let (status, _, json) = refused(&till, case).await;
        assert_eq!(status.as_u16(), 401, "{case}");
        assert_eq!(json["code"], "woocommerce_pos_rest_unauthorized", "{case}");
        assert_eq!(json["data"]["reason"], reason, "{case}");
    }
}

#[tokio::test]
async fn leeway_and_clock_decide_to_the_second() {
    let key = key("k1");
    let clock = TestClock::default();
    let verifier = builder(KeySource::fixed(KeySet::from_signing_key(&key)), &clock)
        .build()
        .expect("a verifier");
    let short = token(&key, &claims_with("exp", json!(NOW + 20)));
    clock.advance(24);
    assert!(verifier.verify(&short).await.is_ok());
    clock.advance(1);
    assert!(
        verifier
            .verify(&short)
            .await
            .expect_err("expired")
            .is_expired()
    );
}

#[tokio::test]
async fn only_listed_algorithms_pass() {
    let key = key("k1");
    let strict = builder(
        KeySource::fixed(KeySet::from_signing_key(&key)),
        &TestClock::default(),
    )
    .algorithms([Alg::EdDsa])
    .build()
    .expect("a verifier");
    let refused = strict
        .verify(&token(&key, &claims()))
        .await
        .expect_err("ES256 is not listed");
    assert_eq!(
        refused.description(),
        "The access token is signed with an algorithm that is not accepted"
    );
}

#[tokio::test]
async fn keys_of_an_issuer_in_process_are_asked_every_time() {
    let (first, second) = (key("k1"), key("k2"));
    let rotated = Arc::new(AtomicBool::new(false));
    let sets = [
        Arc::new(KeySet::from_signing_key(&first)),
        Arc::new(KeySet::from_signing_key(&second)),
    ];
    let switch = Arc::clone(&rotated);
    let source =
        KeySource::shared(move || Arc::clone(&sets[usize::from(switch.load(Ordering::SeqCst))]));
    let verifier = builder(source, &TestClock::default())
        .build()
        .expect("a verifier");
    assert!(verifier.verify(&token(&first, &claims())).await.is_ok());
    rotated.store(true, Ordering::SeqCst);
    assert!(verifier.verify(&token(&second, &claims())).await.is_ok());
    assert!(verifier.verify(&token(&first, &claims())).await.is_err());
}

#[tokio::test]
async fn the_user_of_a_wordpress_token_is_its_subject() {
    let key = SigningKey::from_secret("", &[9; 32]).expect("long enough");
    let verifier = Verifier::builder(KeySource::fixed(KeySet::from_signing_key(&key)))
        .clock(|| NOW)
        .build()
        .expect("a verifier");
    let claims =
        json!({"iss": "https://shop.example", "exp": NOW + 9, "data": {"user": {"id": 7}}});
    let verified = verifier.verify(&token(&key, &claims)).await.expect("valid");
    assert_eq!(verified.subject.as_deref(), Some("7"));
}

#[test]
fn unusable_settings_are_refused() {
    let keys = || KeySource::fixed(KeySet::default());
    let realm = Verifier::builder(keys()).realm("a\"b").build();
    assert!(matches!(realm, Err(BuildError::Realm)));
    assert!(matches!(
        Verifier::builder(keys()).leeway_s(-1).build(),
        Err(BuildError::Leeway(-1))
    ));
    let plain = KeySource::url("http://id.example/jwks".parse().expect("a URL"));
    assert!(matches!(
        Verifier::builder(plain).build(),
        Err(BuildError::Url { .. })
    ));
}
