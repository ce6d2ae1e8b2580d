//! Dynamic client registration (RFC 7591): with an initial token only, and what is registered works.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use support::{Answer, HOUR, Server, form};
use tenure_jose::{Alg, SigningKey};

async fn server() -> Server {
    Server::with(|options| options.registration = true).await
}

async fn token(server: &Server, uses: u64) -> String {
    let admin = server.issuer.admin("ops on here");
    let made = admin
        .registration_token("fleet", uses, 3_600)
        .await
        .unwrap();
    made.expose().to_owned()
}

async fn register(server: &Server, token: &str, metadata: &Value) -> Answer {
    let mut request = Request::post("/register").header(header::CONTENT_TYPE, "application/json");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = Body::from(metadata.to_string());
    server.send(request.body(body).unwrap()).await
}

fn assert_refused(answer: &Answer, status: u16, error: &str, words: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.text_of("error"), error, "{}", answer.text);
    assert!(answer.text.contains(words), "{}", answer.text);
}

#[tokio::test]
async fn what_is_registered_is_told_and_works_at_once_in_every_process() {
    let server = server().await;
    let other = Server::open(server.dir.clone(), server.clock.clone(), |_| {}).await;
    let document = server.get("/.well-known/openid-configuration").await.json();
    let endpoint = document["registration_endpoint"].as_str().unwrap();
    assert!(endpoint.ends_with("/register"));
    let initial = token(&server, 1).await;
    let metadata = json!({
        "client_name": "Report job", "grant_types": ["client_credentials", "refresh_token"],
        "scope": "orders nonsense openid", "response_types": [], "logo_uri": "https://a.example/x.png",
    });
    let made = register(&server, &initial, &metadata).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header(header::CACHE_CONTROL), "no-store");
    let told = made.json();
    assert_eq!(told["client_secret_expires_at"], 0);
    assert_eq!(told["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(told["scope"], "orders openid profile offline_access");
    assert!(told["logo_uri"].is_null());
    assert_eq!(told["client_id_issued_at"], support::START_MS / 1000);

    other.issuer.catch_up().await.unwrap();
    for server in [&server, &other] {
        let answer = server
            .post(
                "/token",
                &[
                    ("grant_type", "client_credentials"),
                    ("client_id", told["client_id"].as_str().unwrap()),
                    ("client_secret", told["client_secret"].as_str().unwrap()),
                    ("scope", "orders"),
                ],
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    let filter = tenure_issuer::AuditFilter {
        action: Some("client.registered".into()),
        ..Default::default()
    };
    let log = server.issuer.audit(filter, 9).await.unwrap();
    assert_eq!(log[0].who.by, "registration fleet");
}

#[tokio::test]
async fn a_token_is_good_for_its_uses_and_its_time() {
    let server = server().await;
    let metadata = json!({ "redirect_uris": ["https://a.example/cb"] });
    for bad in ["", "nonsense", "tenure_register_nonsense"] {
        let refused = register(&server, bad, &metadata).await;
        assert_refused(&refused, 401, "invalid_token", "token");
        assert!(
            refused
                .header(header::WWW_AUTHENTICATE)
                .starts_with("Bearer")
        );
    }
    let twice = token(&server, 2).await;
    // One that registers nothing costs nothing.
    let wrong = register(&server, &twice, &json!({ "redirect_uris": ["nonsense"] })).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let answers = tokio::join!(
        register(&server, &twice, &metadata),
        register(&server, &twice, &metadata),
        register(&server, &twice, &metadata),
    );
    let mut statuses = [answers.0, answers.1, answers.2].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 401]);
    assert_eq!(server.issuer.registration_tokens().await.unwrap(), []);

    let late = token(&server, 9).await;
    server.wait(HOUR);
    assert_eq!(
        register(&server, &late, &metadata).await.status,
        StatusCode::UNAUTHORIZED
    );
    let ended = token(&server, 9).await;
    let admin = server.issuer.admin("ops on here");
    admin.end_registration_token("fleet").await.unwrap();
    assert_eq!(
        register(&server, &ended, &metadata).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert!(admin.end_registration_token("fleet").await.is_err());
}

#[tokio::test]
async fn switched_off_there_is_nothing() {
    let server = Server::start().await;
    let initial = token(&server, 1).await;
    let refused = register(&server, &initial, &json!({})).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let document = server.get("/.well-known/openid-configuration").await.json();
    assert!(document["registration_endpoint"].is_null());
}

#[tokio::test]
async fn metadata_that_cannot_be_is_refused_with_the_error_of_the_rfc() {
    let server = server().await;
    let initial = token(&server, 1).await;
    let cb = "https://a.example/cb";
    for (metadata, error, words) in [
        (json!({}), "invalid_redirect_uri", "missing"),
        (
            json!({ "redirect_uris": ["http://a.example/cb"] }),
            "invalid_redirect_uri",
            "https",
        ),
        (
            json!({ "redirect_uris": ["https://a.example/cb#f"] }),
            "invalid_redirect_uri",
            "fragment",
        ),
        (
            json!({ "redirect_uris": ["javascript:alert(1)"] }),
            "invalid_redirect_uri",
            "https",
        ),
        (
            json!({ "redirect_uris": [cb], "grant_types": ["password"] }),
            "invalid_client_metadata",
            "password",
        ),
        (
            json!({ "redirect_uris": [cb], "response_types": ["token"] }),
            "invalid_client_metadata",
            "code",
        ),
        (
            json!({ "redirect_uris": [cb], "token_endpoint_auth_method": "tls_client_auth" }),
            "invalid_client_metadata",
            "tls_client_auth",
        ),
        (
            json!({ "redirect_uris": [cb], "token_endpoint_auth_method": "private_key_jwt" }),
            "invalid_client_metadata",
            "jwks",
        ),
        (
            json!({ "redirect_uris": [cb], "id_token_signed_response_alg": "RS256" }),
            "invalid_client_metadata",
            "ES256",
        ),
        (
            json!({ "redirect_uris": [cb], "backchannel_logout_uri": "https://b.example/out" }),
            "invalid_client_metadata",
            "host",
        ),
        (
            json!({ "redirect_uris": [cb], "client_name": "a\u{7}b" }),
            "invalid_client_metadata",
            "client_name",
        ),
        (
            json!({ "grant_types": ["client_credentials"], "token_endpoint_auth_method": "none" }),
            "invalid_client_metadata",
            "client_credentials",
        ),
        (
            json!({ "redirect_uris": "https://a.example" }),
            "invalid_client_metadata",
            "line 1",
        ),
        (json!([1]), "invalid_client_metadata", "JSON object"),
    ] {
        let refused = register(&server, &initial, &metadata).await;
        assert_refused(&refused, 400, error, words);
    }
    // None of them has used it up.
    let made = register(
        &server,
        &initial,
        &json!({ "redirect_uris": ["com.example.till:/cb"] }),
    )
    .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
}

#[tokio::test]
async fn a_program_with_keys_of_its_own_proves_itself_with_them() {
    let server = server().await;
    let initial = token(&server, 1).await;
    let key = SigningKey::generate(Alg::Es256, "k").unwrap();
    let metadata = json!({
        "grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "scope": "orders",
        "jwks": { "keys": [key.public_jwk().unwrap()] },
    });
    let made = register(&server, &initial, &metadata).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let told = made.json();
    assert!(
        told["client_secret"].is_null() && told["jwks"]["keys"][0]["kid"] == "k",
        "{told}"
    );
    let id = told["client_id"].as_str().unwrap();
    let now = support::START_MS / 1000;
    let claims = json!({
        "iss": id, "sub": id, "aud": format!("{}/token", support::ISSUER), "jti": "1", "iat": now, "exp": now + 60,
    });
    let assertion = key.sign(None, &claims).unwrap();
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion.expose()),
    ];
    let answer = server.post("/token", &pairs).await;
    assert_eq!(
        answer.status,
        StatusCode::OK,
        "{} {}",
        answer.text,
        form(&pairs)
    );
}
