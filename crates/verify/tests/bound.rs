//! Tokens bound to a key (RFC 9449) are no bearer tokens.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{NOW, TestClock, builder, claims, claims_with, key, token};
use http::{Request, Response};
use serde_json::{Value, json};
use tenure_jose::{Alg, KeySet, SigningKey, b64url, sha256, thumbprint};
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

/// An API behind a layer that understands proofs, and the key of a caller.
struct Guarded {
    origin: String,
    issuer: SigningKey,
    holder: SigningKey,
    client: tenure_http::Client,
}

impl Guarded {
    async fn start() -> Self {
        let issuer = key("k1");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let verifier = builder(
            KeySource::fixed(KeySet::from_signing_key(&issuer)),
            &TestClock::default(),
        )
        .dpop(origin.parse().unwrap())
        .build()
        .unwrap();
        let app = axum::Router::new()
            .route("/orders", axum::routing::get(|| async { "orders" }))
            .route_layer(verifier.layer());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            origin,
            issuer,
            holder: SigningKey::generate(Alg::Es256, "").unwrap(),
            client: tenure_http::Client::new().unwrap(),
        }
    }

    fn bound(&self) -> String {
        let jkt = thumbprint(&self.holder.public_jwk().unwrap());
        token(&self.issuer, &claims_with("cnf", json!({ "jkt": jkt })))
    }

    fn proof(&self, access: &str, jti: &str, changes: &[(&str, Value)]) -> String {
        let jwk = self.holder.public_jwk().unwrap();
        let jwk = json!({ "kty": jwk.kty, "crv": jwk.crv, "x": jwk.x, "y": jwk.y });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let mut claims = json!({
            "htm": "GET", "htu": format!("{}/orders", self.origin), "iat": NOW, "jti": jti,
            "ath": b64url(sha256(access.as_bytes())),
        });
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        let proof = self.holder.sign_with_header(&header, &claims).unwrap();
        proof.expose().to_owned()
    }

    async fn send(&self, authorization: &str, proofs: &[&str]) -> Response<Bytes> {
        let mut request = Request::get(format!("{}/orders?page=2", self.origin));
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        for proof in proofs {
            request = request.header("dpop", *proof);
        }
        let request = request.body(Bytes::new()).unwrap();
        let patience = std::time::Duration::from_secs(30);
        self.client.send(request, patience, 65_536).await.unwrap()
    }
}

fn challenges(answer: &Response<Bytes>) -> Vec<&str> {
    let all = answer.headers().get_all("www-authenticate").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_bound_token_is_good_with_a_fresh_proof_of_its_key() {
    let api = Guarded::start().await;
    let access = api.bound();
    let dpop = format!("DPoP {access}");
    let proof = api.proof(&access, "1", &[]);
    assert_eq!(api.send(&dpop, &[&proof]).await.status(), 200);
    let again = api.send(&dpop, &[&proof]).await;
    assert_eq!(again.status(), 401);
    assert!(
        challenges(&again)[0].contains("was used before"),
        "{:?}",
        challenges(&again)
    );

    let other = format!("{}/others", api.origin);
    for (name, value) in [
        ("htm", json!("POST")),
        ("htu", json!(other)),
        ("htu", json!("https://other.example/orders")),
        ("iat", json!(NOW - 61)),
        ("iat", json!(NOW + 61)),
        ("ath", json!("of another")),
        ("jti", json!("x".repeat(300))),
    ] {
        let proof = api.proof(&access, name, &[(name, value)]);
        let refused = api.send(&dpop, &[&proof]).await;
        assert_eq!(refused.status(), 401, "{name}");
        let told = challenges(&refused);
        assert_eq!(told.len(), 1, "{told:?}");
        let begin = "DPoP error=\"invalid_dpop_proof\", error_description=";
        assert!(
            told[0].starts_with(begin) && told[0].contains("algs=\"ES256"),
            "{told:?}"
        );
    }
    let (one, two) = (api.proof(&access, "2", &[]), api.proof(&access, "3", &[]));
    for proofs in [&[][..], &[one.as_str(), &two], &["junk"]] {
        assert_eq!(api.send(&dpop, proofs).await.status(), 401, "{proofs:?}");
    }
    // With query and fragment in it, as some write it.
    let htu = json!(format!("{}/orders?page=2#x", api.origin));
    let proof = api.proof(&access, "4", &[("htu", htu)]);
    assert_eq!(api.send(&dpop, &[&proof]).await.status(), 200);
}

#[tokio::test]
async fn each_token_is_sent_in_its_own_way_only() {
    let api = Guarded::start().await;
    let (bound, plain) = (api.bound(), token(&api.issuer, &claims()));
    assert_eq!(
        api.send(&format!("Bearer {plain}"), &[]).await.status(),
        200
    );
    let stolen = api.send(&format!("Bearer {bound}"), &[]).await;
    assert_eq!(stolen.status(), 401);
    let told = challenges(&stolen);
    assert!(
        told[0].starts_with("DPoP error=\"invalid_token\""),
        "{told:?}"
    );
    let proof = api.proof(&plain, "1", &[]);
    assert_eq!(
        api.send(&format!("DPoP {plain}"), &[&proof]).await.status(),
        401
    );
    // The proof of a key that is not the token's.
    let thief = Guarded {
        holder: SigningKey::generate(Alg::Es256, "").unwrap(),
        ..api
    };
    let proof = thief.proof(&bound, "2", &[]);
    assert_eq!(
        thief
            .send(&format!("DPoP {bound}"), &[&proof])
            .await
            .status(),
        401
    );
    let none = thief.send("", &[]).await;
    assert_eq!(
        challenges(&none),
        [
            "Bearer realm=\"shop\"",
            "DPoP algs=\"ES256 ES384 EdDSA RS256 PS256\""
        ]
    );
}
