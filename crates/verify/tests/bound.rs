//! Tokens bound to a key (RFC 9449) are no bearer tokens.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use tenure_jose::{Alg, KeySet, SigningKey};
use tenure_verify::{KeySource, Refusal, Style, Verifier};

#[tokio::test]
async fn a_bound_token_sent_as_bearer_is_refused() {
    let key = SigningKey::generate(Alg::Es256, "k").unwrap();
    let verifier = Verifier::builder(KeySource::fixed(KeySet::from_signing_key(&key)))
        .clock(|| 1_000)
        .build()
        .unwrap();
    let signed = |claims| key.sign(None, &claims).unwrap();
    let plain =
        signed(json!({ "exp": 2_000, "sub": "ada", "cnf": { "x5t#S256": "a certificate" } }));
    assert!(verifier.verify(plain.expose()).await.is_ok());
    let bound = signed(json!({ "exp": 2_000, "sub": "ada", "cnf": { "jkt": "a thumbprint" } }));
    let refusal = verifier.verify(bound.expose()).await.unwrap_err();
    assert_eq!(refusal, Refusal::Bound);
    let answer = Style::Rfc6750.respond(&refusal, "api");
    assert_eq!(answer.status(), 401);
    let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.contains("error=\"invalid_token\"") && challenge.contains("DPoP proof"),
        "{challenge}"
    );
}
