//! The ways to log in: code with PKCE and the login page, device, client credentials, password.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::json;
use support::{ISSUER, PASSWORD, SECOND, START_MS, Server, assert_error, authorization, form};
use tenure_jose::{JwkSet, KeySet, Rules, verify};

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
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "magic")], "invalid_request"),
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
