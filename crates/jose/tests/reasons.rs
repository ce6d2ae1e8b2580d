//! Every reason for a refusal, at its exact boundary, and their order.

use serde_json::{Value, json};
use tenure_jose::{
    Alg, Jwk, JwkSet, KeySet, MAX_TOKEN_BYTES, Malformed, Reason, Rules, SigningKey, b64url,
    from_b64url, peek, verify, verify_signature,
};

const NOW: i64 = 1_700_000_000;
const RULES: Rules<'static> = Rules {
    issuer: Some("https://id.example"),
    audience: Some("orders"),
    typ: Some("at+jwt"),
    leeway_s: 5,
    now_s: NOW,
};

fn key() -> SigningKey {
    SigningKey::generate(Alg::EdDsa, "k1").expect("a key")
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": ["other", "orders"], "sub": "u1", "iat": NOW, "exp": NOW + 300})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn outcome(claims: &Value) -> Result<(), Reason> {
    let key = key();
    let token = key.sign(Some("at+jwt"), claims).expect("signed");
    verify(token.expose(), &KeySet::from_signing_key(&key), &RULES).map(|_| ())
}

/// A token with a header and claims of any text, properly signed with an HMAC secret.
fn raw(header: &str, claims: &str) -> (String, KeySet) {
    let secret = [7; 32];
    let text = format!("{}.{}", b64url(header), b64url(claims));
    let mac = b64url(tenure_jose::hmac_sha256(&secret, text.as_bytes()));
    (
        format!("{text}.{mac}"),
        KeySet::single_secret(None, &secret).expect("long enough"),
    )
}

fn raw_refusal(header: &str, claims: &str) -> Reason {
    let (token, keys) = raw(header, claims);
    verify(&token, &keys, &RULES).expect_err("refused")
}

#[test]
fn a_good_token_passes() {
    assert_eq!(outcome(&claims()), Ok(()));
    assert_eq!(outcome(&with("aud", json!("orders"))), Ok(()));
}

#[test]
fn expiry_is_exact_and_equal_means_expired() {
    assert_eq!(outcome(&with("exp", json!(NOW - 4))), Ok(()));
    assert_eq!(
        outcome(&with("exp", json!(NOW - 5))),
        Err(Reason::Expired { by_s: 5 })
    );
    assert_eq!(
        outcome(&with("exp", json!(NOW - 3600))),
        Err(Reason::Expired { by_s: 3600 })
    );
    assert_eq!(
        outcome(&with("exp", json!(1_699_999_995.9))),
        Err(Reason::Expired { by_s: 5 })
    );
    assert_eq!(outcome(&with("exp", json!(1e300))), Ok(()));
    assert_eq!(
        outcome(&with("exp", json!(i64::MIN))),
        Err(Reason::Expired { by_s: i64::MAX })
    );
}

#[test]
fn early_tokens_are_named_by_their_claim() {
    assert_eq!(outcome(&with("nbf", json!(NOW + 5))), Ok(()));
    assert_eq!(
        outcome(&with("nbf", json!(NOW + 6))),
        Err(Reason::NotYetValid { by_s: 6 })
    );
    assert_eq!(outcome(&with("iat", json!(NOW + 5))), Ok(()));
    assert_eq!(
        outcome(&with("iat", json!(NOW + 6))),
        Err(Reason::IssuedInFuture { by_s: 6 })
    );
}

#[test]
fn the_order_is_signature_nbf_iat_exp_type_issuer_audience() {
    let mut claims =
        json!({"iss": "x", "aud": "y", "nbf": NOW + 60, "iat": NOW + 60, "exp": NOW - 60});
    let key = key();
    let keys = KeySet::from_signing_key(&key);
    let reason = |claims: &Value, typ| {
        let token = key.sign(typ, claims).expect("signed");
        verify(token.expose(), &keys, &RULES).expect_err("refused")
    };

    let token = key.sign(None, &claims).expect("signed");
    let (text, _) = token.expose().rsplit_once('.').expect("three parts");
    let forged = format!("{text}.{}", b64url([0; 64]));
    assert_eq!(verify(&forged, &keys, &RULES), Err(Reason::BadSignature));

    assert_eq!(reason(&claims, None), Reason::NotYetValid { by_s: 60 });
    claims["nbf"] = json!(NOW);
    assert_eq!(reason(&claims, None), Reason::IssuedInFuture { by_s: 60 });
    claims["iat"] = json!(NOW);
    assert_eq!(reason(&claims, None), Reason::Expired { by_s: 60 });
    claims["exp"] = json!(NOW + 60);
    assert_eq!(
        reason(&claims, None),
        Reason::WrongType {
            found: String::new()
        }
    );
    let typ = Some("at+jwt");
    assert_eq!(
        reason(&claims, typ),
        Reason::WrongIssuer {
            found: "x".to_owned()
        }
    );
    claims["iss"] = json!("https://id.example");
    assert_eq!(
        reason(&claims, typ),
        Reason::WrongAudience {
            found: "y".to_owned()
        }
    );
}

#[test]
fn missing_and_mistyped_claims_are_named() {
    assert_eq!(outcome(&without("exp")), Err(Reason::MissingClaim("exp")));
    assert_eq!(outcome(&without("iss")), Err(Reason::MissingClaim("iss")));
    assert_eq!(outcome(&without("aud")), Err(Reason::MissingClaim("aud")));
    for claim in ["exp", "nbf", "iat"] {
        let text = with(claim, json!(NOW.to_string()));
        assert_eq!(outcome(&text), Err(Malformed::NotANumber(claim).into()));
    }
}

#[test]
fn types_compare_as_media_types() {
    let key = key();
    let keys = KeySet::from_signing_key(&key);
    for (typ, fits) in [
        ("AT+JWT", true),
        ("application/at+jwt", true),
        ("JWT", false),
    ] {
        let token = key.sign(Some(typ), &claims()).expect("signed");
        assert_eq!(verify(token.expose(), &keys, &RULES).is_ok(), fits, "{typ}");
    }
}

#[test]
fn an_unknown_key_is_named_unless_the_token_is_another_issuers() {
    let old = key();
    let keys = KeySet::from_signing_key(&SigningKey::generate(Alg::EdDsa, "k2").expect("a key"));
    let token = old.sign(Some("at+jwt"), &claims()).expect("signed");
    let unknown = Reason::UnknownKey {
        kid: Some("k1".to_owned()),
    };
    assert_eq!(verify(token.expose(), &keys, &RULES), Err(unknown));
    let foreign = old
        .sign(Some("at+jwt"), &with("iss", json!("https://other.example")))
        .expect("signed");
    let other = Reason::WrongIssuer {
        found: "https://other.example".to_owned(),
    };
    assert_eq!(verify(foreign.expose(), &keys, &RULES), Err(other));
}

#[test]
fn a_token_without_kid_may_be_any_keys_of_its_algorithm() {
    let keys: Vec<_> = ["a", "b"]
        .map(|kid| SigningKey::generate(Alg::Es256, kid).expect("a key"))
        .into();
    let set = KeySet::from_signing_keys(&keys);
    let unnamed =
        SigningKey::from_pkcs8(Alg::Es256, "", &keys[1].to_pkcs8()).expect("the same key");
    let token = unnamed.sign(Some("at+jwt"), &claims()).expect("signed");
    assert_eq!(peek(token.expose()).expect("a token").header.kid, None);
    assert!(verify(token.expose(), &set, &RULES).is_ok());
}

#[test]
fn a_public_key_never_serves_as_an_hmac_secret() {
    // The classic confusion: an HS256 token made with the published key as secret.
    let key = SigningKey::generate(Alg::Es256, "k1").expect("a key");
    let public = serde_json::to_vec(&key.public_jwk()).expect("json");
    let forged = SigningKey::from_secret("k1", &public).expect("long enough");
    let token = forged.sign(Some("at+jwt"), &claims()).expect("signed");
    let refused = verify(token.expose(), &KeySet::from_signing_key(&key), &RULES);
    let expected = Reason::WrongAlgorithm {
        found: "HS256".to_owned(),
        expected: "ES256".to_owned(),
    };
    assert_eq!(refused, Err(expected));
    let symmetric: JwkSet = serde_json::from_value(
        json!({"keys": [{"kty": "oct", "k": b64url([7; 32]), "alg": "HS256"}]}),
    )
    .expect("a set");
    assert_eq!(KeySet::from_jwks(&symmetric).len(), 0);
}

#[test]
fn keys_inside_the_token_are_not_followed() {
    let own = SigningKey::generate(Alg::Es256, "k1").expect("a key");
    let header = json!({"alg": "ES256", "jwk": own.public_jwk(), "jku": "https://evil.example/", "kid": "k1"});
    let token = own.sign_with_header(&header, &claims()).expect("signed");
    let trusted = KeySet::from_signing_key(&SigningKey::generate(Alg::Es256, "k1").expect("a key"));
    assert_eq!(
        verify_signature(token.expose(), &trusted),
        Err(Reason::BadSignature)
    );
}

#[test]
fn keys_not_meant_for_this_are_skipped() {
    let rsa = SigningKey::generate(Alg::Rs256, "r")
        .expect("a key")
        .public_jwk()
        .expect("public");
    let ec = SigningKey::generate(Alg::Es256, "e")
        .expect("a key")
        .public_jwk()
        .expect("public");
    let small = b64url([0x81; 128]);
    let zero_padded = b64url(
        [
            vec![0],
            from_b64url(rsa.n.as_deref().expect("n")).expect("base64url"),
        ]
        .concat(),
    );
    let usable = |key: Jwk| KeySet::from_jwks(&JwkSet { keys: vec![key] }).len() == 1;
    assert!(usable(rsa.clone()) && usable(ec.clone()));
    assert!(usable(Jwk {
        n: Some(zero_padded),
        ..rsa.clone()
    }));
    assert!(!usable(Jwk {
        use_: Some("enc".into()),
        ..rsa.clone()
    }));
    assert!(!usable(Jwk {
        key_ops: Some(vec!["encrypt".into()]),
        ..rsa.clone()
    }));
    assert!(!usable(Jwk {
        alg: Some("RSA-OAEP".into()),
        ..rsa.clone()
    }));
    assert!(!usable(Jwk {
        alg: Some("ES256".into()),
        ..rsa.clone()
    }));
    assert!(!usable(Jwk {
        n: Some(small),
        ..rsa
    }));
    assert!(!usable(Jwk {
        alg: Some("ES384".into()),
        ..ec.clone()
    }));
    assert!(
        !usable(Jwk {
            y: ec.x.clone(),
            ..ec
        }),
        "a point off the curve"
    );
}

#[test]
fn malformed_tokens_are_named() {
    let good = r#"{"alg":"HS256"}"#;
    let cases = [
        (
            raw_refusal("[]", "{}"),
            "the token's header is not a JSON object",
        ),
        (
            raw_refusal(good, "7"),
            "the token's payload is not a JSON object",
        ),
        (
            raw_refusal(good, "{} x"),
            "the token's payload is not a JSON object",
        ),
        (
            raw_refusal(r#"{"alg":"HS256","alg":"none"}"#, "{}"),
            "the token's header names a member twice",
        ),
        (
            raw_refusal(good, r#"{"exp":1,"exp":2}"#),
            "the token's payload names a member twice",
        ),
        (
            raw_refusal(r#"{"alg":7}"#, "{}"),
            "the token's header parameter `alg` is missing or not a string",
        ),
        (
            raw_refusal("{}", "{}"),
            "the token's header parameter `alg` is missing or not a string",
        ),
        (
            raw_refusal(r#"{"alg":"HS256","kid":{}}"#, "{}"),
            "the token's header parameter `kid` is missing or not a string",
        ),
        (
            raw_refusal(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, "{}"),
            "the token's header lists critical extensions (`crit`), which are not supported",
        ),
    ];
    for (reason, text) in cases {
        assert_eq!(reason.to_string(), text);
    }
    let long_kid = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(513));
    assert_eq!(
        raw_refusal(&long_kid, "{}"),
        Malformed::HeaderTooLarge.into()
    );
    let long_header = format!(r#"{{"alg":"HS256","x":"{}"}}"#, "k".repeat(5000));
    assert_eq!(
        raw_refusal(&long_header, "{}"),
        Malformed::HeaderTooLarge.into()
    );
    assert_eq!(peek("a.b"), Err(Malformed::Segments { found: 2 }));
    assert_eq!(peek("a.b.c.d.e"), Err(Malformed::Segments { found: 5 }));
    let huge = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(
        peek(&huge),
        Err(Malformed::TooLarge {
            bytes: MAX_TOKEN_BYTES + 1
        })
    );
    let nested = format!("{{\"a\":{}", "[".repeat(5000));
    assert!(matches!(
        raw_refusal(good, &nested),
        Reason::Malformed(Malformed::Json(_))
    ));
}

#[test]
fn one_token_has_one_spelling() {
    // The last character of a 64-byte signature carries 4 unused bits; they must be zero.
    let key = key();
    let token = key.sign(None, &claims()).expect("signed");
    let keys = KeySet::from_signing_key(&key);
    let (text, last) = token.expose().split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let accepted: Vec<_> = alphabet
        .chars()
        .filter(|c| verify_signature(&format!("{text}{c}"), &keys).is_ok())
        .collect();
    assert_eq!(accepted.iter().collect::<String>(), last);
}
