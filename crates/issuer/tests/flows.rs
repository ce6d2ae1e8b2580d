//! The ways to log in: code with PKCE and the login page, device, client credentials, password.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::json;
use support::{
    CLIENT_SECRET, ISSUER, PASSWORD, SECOND, START_MS, Server, assert_error, authorization, form,
};
use tenure_core::Secret;
use tenure_issuer::{ClientRegistration, Grant};
use tenure_jose::{Alg, JwkSet, KeySet, Rules, SigningKey, verify};

#[tokio::test]
async fn discovery_says_what_is_there() {
    let server = Server::start().await;
    let oidc = server.get("/.well-known/openid-configuration").await.json();
    assert_eq!(
        oidc,
        server
            .get("/.well-known/oauth-authorization-server")
            .await
            .json()
    );
    assert_eq!(oidc["issuer"], ISSUER);
    for (field, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("jwks_uri", "/jwks.json"),
        ("userinfo_endpoint", "/userinfo"),
        ("revocation_endpoint", "/revoke"),
        ("introspection_endpoint", "/introspect"),
        ("device_authorization_endpoint", "/device_authorization"),
    ] {
        assert_eq!(oidc[field], format!("{ISSUER}{path}"));
    }
    assert_eq!(oidc["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(oidc["authorization_response_iss_parameter_supported"], true);
    assert!(
        oidc["scopes_supported"]
            .as_array()
            .unwrap()
            .contains(&json!("orders"))
    );
    let jwks = server.get("/jwks.json").await;
    assert_eq!(jwks.header(header::CACHE_CONTROL), "public, max-age=300");
    assert_eq!(jwks.json()["keys"].as_array().unwrap().len(), 1);
    assert!(jwks.json()["keys"][0].get("d").is_none());
}

#[tokio::test]
async fn the_code_flow_from_page_to_verified_tokens() {
    let server = Server::start().await;
    let (page, cookie) = server.open_login(&[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("Sign in to The &#60;App&#62;"),
        "{}",
        page.text
    );
    assert!(
        page.text.contains("<label for=\"username\">")
            && page.text.contains("<label for=\"password\">")
    );
    assert!(!page.text.contains("<script"));
    let policy = page.header(header::CONTENT_SECURITY_POLICY);
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("form-action 'self' http://127.0.0.1:49152;"),
        "{policy}"
    );
    assert!(cookie.starts_with("tenure_form="));

    let answer = server.submit_login(&page, &cookie, PASSWORD, "allow").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert!(
        answer
            .header(header::LOCATION)
            .starts_with("http://127.0.0.1:49152/cb?")
    );
    assert_eq!(answer.location("state").as_deref(), Some("a state & more"));
    assert_eq!(answer.location("iss").as_deref(), Some(ISSUER));
    let tokens = server.redeem(&answer.location("code").unwrap(), &[]).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);
    assert_eq!(tokens.text_of("scope"), "openid orders");

    let jwks: JwkSet = serde_json::from_value(server.get("/jwks.json").await.json()).unwrap();
    let keys = KeySet::from_jwks(&jwks);
    let rules = Rules {
        issuer: Some(ISSUER),
        audience: Some("app"),
        typ: Some("JWT"),
        leeway_s: 0,
        now_s: START_MS / 1000,
    };
    let id = verify(&tokens.text_of("id_token"), &keys, &rules).unwrap();
    assert_eq!(id.text("nonce"), Some("n-1"));
    let access_rules = Rules {
        audience: Some("https://api.example"),
        typ: Some("at+jwt"),
        ..rules
    };
    let access = verify(&tokens.text_of("access_token"), &keys, &access_rules).unwrap();
    assert_eq!(
        (id.sub(), id.text("sid")),
        (access.sub(), access.text("sid"))
    );
    let info = server
        .userinfo(&tokens.text_of("access_token"))
        .await
        .json();
    assert_eq!(
        (info["sub"].as_str(), info["preferred_username"].as_str()),
        (access.sub(), Some("ada"))
    );
    assert_eq!(
        server
            .refresh_as("app", &tokens.text_of("refresh_token"))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_code_is_spent_once_and_by_its_own_client_only() {
    let server = Server::start().await;
    let code = server.code(&[]).await;
    let wrong = "x".repeat(43);
    for (changes, subject) in [
        (&[("client_id", "other")][..], "client"),
        (&[("code_verifier", wrong.as_str())][..], "code_verifier"),
        (
            &[("redirect_uri", "http://127.0.0.1:1/cb")][..],
            "redirect_uri",
        ),
    ] {
        let answer = server.redeem(&code, changes).await;
        assert_eq!(answer.json()["error"], "invalid_grant", "{subject}");
        assert!(
            answer.text_of("error_description").contains(subject),
            "{}",
            answer.text
        );
    }
    assert_error(
        &server.redeem(&code, &[("code_verifier", "short")]).await,
        400,
        "invalid_request",
        "API03001",
        "bad_request",
    );
    assert_error(
        &server.redeem(&code, &[("code_verifier", "")]).await,
        400,
        "invalid_request",
        "API03001",
        "bad_request",
    );
    let tokens = server.redeem(&code, &[]).await;
    assert_eq!(
        tokens.status,
        StatusCode::OK,
        "none of that spent it: {}",
        tokens.text
    );
    // A second time ends what the first one began (RFC 6749 §4.1.2).
    assert_eq!(
        server.redeem(&code, &[]).await.json()["error"],
        "invalid_grant"
    );
    let refused = server
        .refresh_as("app", &tokens.text_of("refresh_token"))
        .await;
    assert_eq!(refused.json()["tenure"]["subtype"], "code_replayed");
    assert_eq!(
        server
            .userinfo(&tokens.text_of("access_token"))
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_code_expires() {
    let server = Server::start().await;
    let code = server.code(&[]).await;
    server.wait(61 * SECOND);
    let answer = server.redeem(&code, &[]).await;
    assert!(answer.text_of("error_description").contains("expired"));
    assert_eq!(
        server.redeem("made-up", &[]).await.json()["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn a_bad_redirect_or_client_is_told_to_the_person_only() {
    let server = Server::start().await;
    for changes in [
        &[("redirect_uri", "https://evil.example/cb")][..],
        &[("redirect_uri", "http://127.0.0.1:49152/other")][..],
        &[("client_id", "nobody")][..],
        &[("client_id", "")][..],
    ] {
        let (page, _) = server.open_login(changes).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{changes:?}");
        assert!(page.headers.get(header::LOCATION).is_none());
        assert!(!page.text.contains("evil.example"));
    }
    let twice = server
        .get(&format!("/authorize?{}&state=2", authorization(&[])))
        .await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn other_faults_go_back_to_the_client() {
    let server = Server::start().await;
    for (changes, error) in [
        (
            &[("response_type", "token")][..],
            "unsupported_response_type",
        ),
        (&[("code_challenge", "")][..], "invalid_request"),
        (&[("code_challenge_method", "plain")][..], "invalid_request"),
        (&[("scope", "orders admin")][..], "invalid_scope"),
        (&[("prompt", "none")][..], "login_required"),
        (&[("request", "x.y.z")][..], "request_not_supported"),
        (&[("client_id", "tenure")][..], "unauthorized_client"),
    ] {
        let (answer, _) = server.open_login(changes).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{changes:?}");
        assert_eq!(
            answer.location("error").as_deref(),
            Some(error),
            "{changes:?}"
        );
        assert_eq!(answer.location("state").as_deref(), Some("a state & more"));
        assert_eq!(answer.location("iss").as_deref(), Some(ISSUER));
        assert!(answer.location("code").is_none());
    }
}

#[tokio::test]
async fn a_person_may_refuse_and_may_mistype() {
    let server = Server::start().await;
    let (page, cookie) = server.open_login(&[]).await;
    let denied = server.submit_login(&page, &cookie, "", "deny").await;
    assert_eq!(denied.location("error").as_deref(), Some("access_denied"));
    let again = server.submit_login(&page, &cookie, "wrong", "allow").await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.text.contains("role=\"alert\"") && again.text.contains("password is wrong"));
    assert!(
        !again.text.contains("value=\"wrong\""),
        "a password is not sent back"
    );
    // The page that came back works.
    let answer = server
        .submit_login(&again, &cookie, PASSWORD, "allow")
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_of_another_browser_or_another_request_is_not_taken() {
    let server = Server::start().await;
    let (page, cookie) = server.open_login(&[]).await;
    let (_, foreign) = server.open_login(&[]).await;
    for cookie in ["", &foreign, "tenure_form=AAAAAAAAAAAAAAAAAAAAAA"] {
        let answer = server.submit_login(&page, cookie, PASSWORD, "allow").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{cookie}");
        assert!(answer.text.contains("open for too long"));
    }
    let pairs = [
        ("asked", authorization(&[("scope", "reports")])),
        ("token", page.field("token")),
    ];
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .chain([("username", "ada"), ("password", PASSWORD)])
        .collect();
    let request = Request::post("/authorize")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, &cookie);
    let answer = server
        .send(request.body(Body::from(form(&pairs))).unwrap())
        .await;
    assert_eq!(
        answer.status,
        StatusCode::BAD_REQUEST,
        "the token belongs to the request it was made for"
    );
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let server = Server::start().await;
    let guess = [
        ("grant_type", "password"),
        ("client_id", "tenure"),
        ("username", "Ada"),
        ("password", "wrong"),
    ];
    for _ in 0..6 {
        assert_error(
            &server.post("/token", &guess).await,
            400,
            "invalid_grant",
            "API02001",
            "login_rejected",
        );
    }
    let slowed = server.post("/token", &guess).await;
    assert_error(
        &slowed,
        429,
        "temporarily_unavailable",
        "API03005",
        "rate_limited",
    );
    assert_eq!(slowed.header(header::RETRY_AFTER), "1");
    let (page, cookie) = server.open_login(&[]).await;
    let answer = server.submit_login(&page, &cookie, PASSWORD, "allow").await;
    assert_eq!(
        answer.status,
        StatusCode::TOO_MANY_REQUESTS,
        "also with the right password"
    );
    assert_eq!(answer.header(header::RETRY_AFTER), "1");
    server.wait(SECOND);
    server.login("orders").await;
}

#[tokio::test]
async fn unknown_users_are_refused_alike() {
    let server = Server::start().await;
    let pairs = [
        ("grant_type", "password"),
        ("client_id", "tenure"),
        ("username", "nobody"),
        ("password", "x"),
    ];
    assert_error(
        &server.post("/token", &pairs).await,
        400,
        "invalid_grant",
        "API02001",
        "login_rejected",
    );
}

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
    assert_eq!(server.issuer.users().await.unwrap(), ["ada", "bob"]);
}
