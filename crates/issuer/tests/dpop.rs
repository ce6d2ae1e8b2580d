//! Tokens bound to a key (RFC 9449).
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use support::{
    Answer, CLIENT_SECRET, ISSUER, PASSWORD, REDIRECT, START_MS, Server, VERIFIER, assert_error,
    form,
};
use tenure_core::Secret;
use tenure_issuer::ClientRegistration;
use tenure_jose::{Alg, SigningKey, b64url, random, sha256, thumbprint};

/// Spoils the claims of a proof.
type Spoil = fn(&mut Value);

/// A holder of a key.
struct Holder(SigningKey);

impl Holder {
    fn new() -> Self {
        Self(SigningKey::generate(Alg::Es256, "k").unwrap())
    }

    fn jkt(&self) -> String {
        thumbprint(&self.0.public_jwk().unwrap())
    }

    /// A proof for a request now; `change` spoils it.
    fn proof(&self, method: &str, path: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.0.public_jwk() });
        header["jwk"]["kid"].take();
        let mut claims = json!({
            "htm": method,
            "htu": format!("{ISSUER}{path}"),
            "iat": START_MS / 1000,
            "jti": b64url(random::<12>()),
        });
        change(&mut claims);
        self.0
            .sign_with_header(&header, &claims)
            .unwrap()
            .expose()
            .to_owned()
    }
}

async fn ask(server: &Server, proof: Option<&str>, pairs: &[(&str, &str)]) -> Answer {
    let mut request =
        Request::post("/token").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    server
        .send(request.body(Body::from(form(pairs))).unwrap())
        .await
}

fn password<'a>() -> [(&'a str, &'a str); 5] {
    [
        ("grant_type", "password"),
        ("client_id", "tenure"),
        ("username", "ada"),
        ("password", PASSWORD),
        ("scope", "openid orders"),
    ]
}

fn refresh<'a>(client: &'a str, token: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("refresh_token", token),
    ]
}

async fn userinfo(server: &Server, scheme: &str, access: &str, proof: Option<&str>) -> Answer {
    let mut request =
        Request::get("/userinfo").header(header::AUTHORIZATION, format!("{scheme} {access}"));
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    server.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn tokens_of_a_public_client_are_bound_to_its_key_and_stolen_ones_open_nothing() {
    let server = Server::start().await;
    let (owner, thief) = (Holder::new(), Holder::new());
    let login = ask(
        &server,
        Some(&owner.proof("POST", "/token", |_| {})),
        &password(),
    )
    .await;
    assert_eq!(login.status, StatusCode::OK, "{}", login.text);
    assert_eq!(login.text_of("token_type"), "DPoP");
    let access = login.text_of("access_token");
    assert_eq!(
        tenure_jose::peek(&access).unwrap().claims["cnf"]["jkt"],
        owner.jkt()
    );

    // Without the key, or with another one, nothing is spent and the session lives.
    let token = login.text_of("refresh_token");
    let others = [None, Some(thief.proof("POST", "/token", |_| {}))];
    for proof in &others {
        let refused = ask(&server, proof.as_deref(), &refresh("tenure", &token)).await;
        assert_error(
            &refused,
            400,
            "invalid_grant",
            "API02020",
            "client_unauthorized",
        );
        assert_eq!(refused.json()["tenure"]["subtype"], "wrong_binding");
    }
    let next = ask(
        &server,
        Some(&owner.proof("POST", "/token", |_| {})),
        &refresh("tenure", &token),
    )
    .await;
    assert_eq!(next.status, StatusCode::OK, "{}", next.text);
    assert_eq!(server.issuer.stats().kills, 0);

    let access = next.text_of("access_token");
    let ath = b64url(sha256(access.as_bytes()));
    let with_ath = |claims: &mut Value| claims["ath"] = ath.as_str().into();
    let good = owner.proof("GET", "/userinfo", with_ath);
    assert_eq!(
        userinfo(&server, "DPoP", &access, Some(&good)).await.status,
        StatusCode::OK
    );
    let again = userinfo(&server, "DPoP", &access, Some(&good)).await;
    assert_error(&again, 401, "invalid_dpop_proof", "API03001", "bad_request");
    assert!(
        again
            .header(header::WWW_AUTHENTICATE)
            .starts_with("DPoP error=\"invalid_dpop_proof\"")
    );
    for (scheme, proof) in [
        ("Bearer", None),
        ("Bearer", Some(owner.proof("GET", "/userinfo", with_ath))),
        ("DPoP", None),
        ("DPoP", Some(thief.proof("GET", "/userinfo", with_ath))),
    ] {
        let refused = userinfo(&server, scheme, &access, proof.as_deref()).await;
        assert_error(&refused, 401, "invalid_token", "API02003", "access_invalid");
        let challenge = refused.header(header::WWW_AUTHENTICATE);
        assert!(challenge.starts_with(scheme), "{scheme}: {challenge}");
        let algs = "algs=\"ES256 ES384 EdDSA RS256 PS256\"";
        assert_eq!(challenge.contains(algs), scheme == "DPoP", "{challenge}");
    }
    let without_ath = owner.proof("GET", "/userinfo", |_| {});
    let refused = userinfo(&server, "DPoP", &access, Some(&without_ath)).await;
    assert_error(
        &refused,
        401,
        "invalid_dpop_proof",
        "API03001",
        "bad_request",
    );
    let told = server
        .post_as_job("/introspect", &[("token", &access)])
        .await
        .json();
    assert_eq!(
        (&told["token_type"], &told["cnf"]["jkt"]),
        (&json!("DPoP"), &json!(owner.jkt()))
    );
}

#[tokio::test]
async fn a_proof_that_does_not_fit_is_refused_and_spends_nothing() {
    let server = Server::start().await;
    let owner = Holder::new();
    let spoiled: [(&str, Spoil); 6] = [
        ("method", |claims| claims["htm"] = "GET".into()),
        ("address", |claims| {
            claims["htu"] = "https://other.example/token".into();
        }),
        ("ago", |claims| {
            claims["iat"] = (START_MS / 1000 - 61).into();
        }),
        ("future", |claims| {
            claims["iat"] = (START_MS / 1000 + 61).into();
        }),
        ("`jti`", |claims| claims["jti"] = "".into()),
        ("`jti`", |claims| claims["jti"] = "x".repeat(300).into()),
    ];
    for (word, spoil) in spoiled {
        let refused = ask(
            &server,
            Some(&owner.proof("POST", "/token", spoil)),
            &password(),
        )
        .await;
        assert_error(
            &refused,
            400,
            "invalid_dpop_proof",
            "API03001",
            "bad_request",
        );
        assert!(
            refused.text_of("error_description").contains(word),
            "{word}: {}",
            refused.text
        );
    }
    let query = owner.proof("POST", "/token", |claims| {
        claims["htu"] = format!("{ISSUER}/token?x=1#f").into();
    });
    assert_eq!(
        ask(&server, Some(&query), &password()).await.status,
        StatusCode::OK
    );
    let twice = ask(&server, Some(&query), &password()).await;
    assert_error(&twice, 400, "invalid_dpop_proof", "API03001", "bad_request");
    assert_error(
        &ask(&server, Some("x.y.z"), &password()).await,
        400,
        "invalid_dpop_proof",
        "API03001",
        "bad_request",
    );
}

#[tokio::test]
async fn a_server_that_wants_nonces_gives_them() {
    let server = Server::with(|options| options.dpop_nonces = true).await;
    let owner = Holder::new();
    let first = ask(
        &server,
        Some(&owner.proof("POST", "/token", |_| {})),
        &password(),
    )
    .await;
    assert_error(&first, 400, "use_dpop_nonce", "API03001", "bad_request");
    let nonce = first.headers["dpop-nonce"].to_str().unwrap().to_owned();
    let with = |nonce: &str| {
        let nonce = nonce.to_owned();
        owner.proof("POST", "/token", move |claims| {
            claims["nonce"] = nonce.into();
        })
    };
    assert_eq!(
        ask(&server, Some(&with(&nonce)), &password()).await.status,
        StatusCode::OK
    );
    let made_up = ask(&server, Some(&with("AAAAAAAAAAA")), &password()).await;
    assert_error(&made_up, 400, "use_dpop_nonce", "API03001", "bad_request");
    // Other clients know nothing of it.
    assert_eq!(ask(&server, None, &password()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_code_can_be_bound_before_it_is_issued() {
    let server = Server::start().await;
    let (owner, thief) = (Holder::new(), Holder::new());
    let jkt = owner.jkt();
    let code = server.code(&[("dpop_jkt", &jkt)]).await;
    let redeem = [
        ("grant_type", "authorization_code"),
        ("client_id", "app"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    for proof in [None, Some(thief.proof("POST", "/token", |_| {}))] {
        let refused = ask(&server, proof.as_deref(), &redeem).await;
        assert_error(
            &refused,
            400,
            "invalid_grant",
            "API02020",
            "client_unauthorized",
        );
    }
    let tokens = ask(
        &server,
        Some(&owner.proof("POST", "/token", |_| {})),
        &redeem,
    )
    .await;
    assert_eq!(tokens.text_of("token_type"), "DPoP", "{}", tokens.text);
}

#[tokio::test]
async fn a_client_registered_for_dpop_gets_no_bearer_token() {
    let server = Server::start().await;
    let job = ClientRegistration {
        dpop_bound: true,
        scopes: vec!["orders".into()],
        ..ClientRegistration::confidential("bound", "Bound", Secret::new(CLIENT_SECRET))
    };
    server.issuer.ensure_client(job).await.unwrap();
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "bound"),
        ("client_secret", CLIENT_SECRET),
    ];
    assert_error(
        &ask(&server, None, &pairs).await,
        400,
        "invalid_dpop_proof",
        "API03001",
        "bad_request",
    );
    let owner = Holder::new();
    let tokens = ask(
        &server,
        Some(&owner.proof("POST", "/token", |_| {})),
        &pairs,
    )
    .await;
    assert_eq!(tokens.text_of("token_type"), "DPoP", "{}", tokens.text);
}
