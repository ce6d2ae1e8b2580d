//! The device flow, client credentials and how clients prove themselves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::json;
use support::{CLIENT_SECRET, ISSUER, PASSWORD, SECOND, START_MS, Server, assert_error, form};
use tenure_core::Secret;
use tenure_issuer::{ClientRegistration, Grant};
use tenure_jose::{Alg, JwkSet, SigningKey};

#[tokio::test]
async fn the_device_flow() {
    let server = Server::start().await;
    let begun = server
        .post(
            "/device_authorization",
            &[("client_id", "app"), ("scope", "openid orders")],
        )
        .await
        .json();
    assert_eq!(begun["interval"], 5);
    let (device_code, user_code) = (
        begun["device_code"].as_str().unwrap(),
        begun["user_code"].as_str().unwrap(),
    );
    assert_eq!(
        begun["verification_uri_complete"],
        format!("{ISSUER}/device?user_code={user_code}")
    );
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    let poll = async || {
        server
            .post(
                "/token",
                &[grant, ("client_id", "app"), ("device_code", device_code)],
            )
            .await
    };
    let pending = poll().await;
    assert_eq!(
        (pending.status, pending.json()["error"].as_str()),
        (StatusCode::BAD_REQUEST, Some("authorization_pending"))
    );
    assert_eq!(pending.json()["tenure"]["code"], json!(null));
    assert_eq!(poll().await.json()["error"], "slow_down");
    server.wait(9 * SECOND);
    assert_eq!(
        poll().await.json()["error"],
        "slow_down",
        "the interval has grown to 10 s"
    );
    server.wait(15 * SECOND);
    assert_eq!(poll().await.json()["error"], "authorization_pending");

    let page = server
        .get(&format!(
            "/device?user_code={}",
            user_code.to_lowercase().replace('-', "+")
        ))
        .await;
    assert!(
        page.text.contains("Sign in to The &#60;App&#62;"),
        "{}",
        page.text
    );
    let cookie = page
        .header(header::SET_COOKIE)
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let token = page.field("token");
    let pairs = [
        ("user_code", user_code),
        ("token", &token),
        ("username", "ada"),
        ("password", PASSWORD),
    ];
    let request = |cookie: &str| {
        Request::post("/device")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookie)
            .body(Body::from(form(&pairs)))
            .unwrap()
    };
    assert_eq!(
        server.send(request("")).await.status,
        StatusCode::BAD_REQUEST
    );
    let done = server.send(request(&cookie)).await;
    assert!(
        done.status.is_success() && done.text.contains("Signed in"),
        "{}",
        done.text
    );

    let wrong = server
        .post(
            "/token",
            &[grant, ("client_id", "other"), ("device_code", device_code)],
        )
        .await;
    assert_eq!(wrong.json()["tenure"]["subtype"], "wrong_client");
    let tokens = poll().await;
    assert_eq!(tokens.text_of("scope"), "openid orders", "{}", tokens.text);
    assert_eq!(poll().await.json()["error"], "invalid_grant", "used up");
    assert_eq!(
        server
            .userinfo(&tokens.text_of("access_token"))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_device_may_be_refused_and_its_code_expires() {
    let server = Server::start().await;
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    for (ends, error) in [(false, "access_denied"), (true, "expired_token")] {
        let begun = server
            .post("/device_authorization", &[("client_id", "app")])
            .await
            .json();
        let (device_code, user_code) = (
            begun["device_code"].as_str().unwrap(),
            begun["user_code"].as_str().unwrap(),
        );
        if ends {
            server.wait(601 * SECOND);
            assert_eq!(
                server
                    .get(&format!("/device?user_code={user_code}"))
                    .await
                    .status,
                StatusCode::BAD_REQUEST
            );
        } else {
            let page = server.get(&format!("/device?user_code={user_code}")).await;
            let cookie = page
                .header(header::SET_COOKIE)
                .split(';')
                .next()
                .unwrap()
                .to_owned();
            let token = page.field("token");
            let body = form(&[
                ("user_code", user_code),
                ("token", &token),
                ("decision", "deny"),
            ]);
            let request = Request::post("/device")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(header::COOKIE, cookie);
            assert_eq!(
                server
                    .send(request.body(Body::from(body)).unwrap())
                    .await
                    .status,
                StatusCode::OK
            );
        }
        let answer = server
            .post(
                "/token",
                &[
                    ("grant_type", grant),
                    ("client_id", "app"),
                    ("device_code", device_code),
                ],
            )
            .await;
        assert_eq!(answer.json()["error"], error);
    }
    for _ in 0..30 {
        server.get("/device?user_code=BBBB-BBBB").await;
    }
    let slowed = server.get("/device?user_code=BBBB-BBBC").await;
    assert_eq!(
        slowed.status,
        StatusCode::TOO_MANY_REQUESTS,
        "codes cannot be guessed"
    );
}

#[tokio::test]
async fn client_credentials_and_how_clients_prove_themselves() {
    let server = Server::start().await;
    let grant = [("grant_type", "client_credentials")];
    let tokens = server.post_as_job("/token", &grant).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);
    assert_eq!(tokens.text_of("scope"), "orders");
    assert!(tokens.json().get("refresh_token").is_none());
    let claims = tenure_jose::peek(&tokens.text_of("access_token")).unwrap();
    assert_eq!((claims.sub(), claims.text("sid")), (Some("job"), None));

    let in_body = server
        .post(
            "/token",
            &[
                grant[0],
                ("client_id", "job"),
                ("client_secret", CLIENT_SECRET),
            ],
        )
        .await;
    assert_eq!(in_body.status, StatusCode::OK);
    let wrong = server
        .post(
            "/token",
            &[grant[0], ("client_id", "job"), ("client_secret", "no")],
        )
        .await;
    assert_error(&wrong, 401, "invalid_client", "API02019", "client_invalid");
    assert!(wrong.header(header::WWW_AUTHENTICATE).starts_with("Basic "));
    let none = server
        .post("/token", &[grant[0], ("client_id", "job")])
        .await;
    assert_error(&none, 401, "invalid_client", "API02019", "client_invalid");
    let both = server
        .post_as_job("/token", &[grant[0], ("client_secret", CLIENT_SECRET)])
        .await;
    assert_error(&both, 400, "invalid_request", "API03001", "bad_request");
    let public = server
        .post("/token", &[grant[0], ("client_id", "app")])
        .await;
    assert_error(
        &public,
        400,
        "unauthorized_client",
        "API02020",
        "client_unauthorized",
    );
    let password = server
        .post(
            "/token",
            &[
                ("grant_type", "password"),
                ("client_id", "app"),
                ("username", "ada"),
                ("password", PASSWORD),
            ],
        )
        .await;
    assert_error(
        &password,
        400,
        "unauthorized_client",
        "API02020",
        "client_unauthorized",
    );
    let unknown = server
        .post("/token", &[("grant_type", "urn:x"), ("client_id", "app")])
        .await;
    assert_error(
        &unknown,
        400,
        "unsupported_grant_type",
        "API03001",
        "bad_request",
    );
    assert_error(
        &server.post("/token", &[]).await,
        400,
        "invalid_request",
        "API03001",
        "bad_request",
    );
    let twice = server.post("/token", &[grant[0], grant[0]]).await;
    assert_error(&twice, 400, "invalid_request", "API03001", "bad_request");
}

#[tokio::test]
async fn private_key_jwt_is_used_once() {
    let server = Server::start().await;
    let key = SigningKey::generate(Alg::Es256, "k").unwrap();
    let robot = ClientRegistration {
        keys: Some(JwkSet {
            keys: vec![key.public_jwk().unwrap()],
        }),
        grants: vec![Grant::ClientCredentials],
        ..ClientRegistration::public("robot", "Robot")
    };
    server.issuer.ensure_client(robot).await.unwrap();
    let now = START_MS / 1000;
    let assertion = |aud: &str, sub: &str, jti: &str, exp: i64| {
        key.sign(
            None,
            &json!({"iss": "robot", "sub": sub, "aud": aud, "jti": jti, "exp": exp}),
        )
        .unwrap()
        .expose()
        .to_owned()
    };
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let token = format!("{ISSUER}/token");
    let good = assertion(&token, "robot", "1", now + 60);
    let cases = [
        (good.clone(), 200),
        (good, 401),
        (assertion(ISSUER, "robot", "2", now + 60), 200),
        (
            assertion("https://elsewhere.example", "robot", "3", now + 60),
            401,
        ),
        (assertion(&token, "app", "4", now + 60), 401),
        (assertion(&token, "robot", "5", now - 120), 401),
        (assertion(&token, "robot", "6", now + 7200), 401),
        ("junk".to_owned(), 401),
    ];
    for (n, (assertion, status)) in cases.iter().enumerate() {
        let pairs = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", kind),
            ("client_assertion", assertion.as_str()),
        ];
        let answer = server.post("/token", &pairs).await;
        assert_eq!(answer.status, *status, "case {n}: {}", answer.text);
    }
    let plain = server
        .post(
            "/token",
            &[("grant_type", "client_credentials"), ("client_id", "robot")],
        )
        .await;
    assert_eq!(plain.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn users_are_made_once() {
    let server = Server::start().await;
    let generated = server
        .issuer
        .ensure_user("bob", None)
        .await
        .unwrap()
        .unwrap();
    assert!(
        server
            .issuer
            .ensure_user("BOB", None)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        server
            .issuer
            .ensure_user("ada", Some(Secret::new("other")))
            .await
            .unwrap()
            .is_none(),
        "a password is not overwritten"
    );
    let pairs = [
        ("grant_type", "password"),
        ("client_id", "tenure"),
        ("username", "bob"),
        ("password", generated.expose()),
    ];
    assert_eq!(server.post("/token", &pairs).await.status, StatusCode::OK);
    server.login("orders").await;
    let users = server.issuer.users().await.unwrap();
    let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["ada", "bob"]);
}
