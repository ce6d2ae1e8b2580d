//! Rotation, lifetimes and logins of the issuer.

use serde_json::{Value, json};
use tenure_lab::issuer::{ExpiresIn, Outcome};
use tenure_lab::{FaultyIssuer, IssuerConfig, Rotation};

use crate::client::{get, post_form, refresh, send};

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().expect("a text")
}

#[tokio::test]
async fn strict_reuse_kills_the_family_and_its_access_tokens() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let first = issuer.issue();
    let (first_refresh, orders) = (text(&first, "refresh_token"), issuer.url_of("/api/orders"));
    let second = refresh(&issuer.token_endpoint(), first_refresh)
        .await
        .expect("an answer");
    assert_eq!(
        (second.status, second.header("cache-control")),
        (200, "no-store")
    );
    assert_eq!(
        get(&orders, Some(&second.at("/access_token"))).await.status,
        200
    );
    let reused = refresh(&issuer.token_endpoint(), first_refresh)
        .await
        .expect("an answer");
    assert_eq!(
        (reused.status, reused.at("/error").as_str()),
        (400, "invalid_grant")
    );
    let dead = refresh(&issuer.token_endpoint(), &second.at("/refresh_token"))
        .await
        .expect("an answer");
    assert_eq!(
        (dead.status, dead.at("/error").as_str()),
        (400, "invalid_grant")
    );
    assert!(issuer.is_revoked(first_refresh));
    assert_eq!(
        get(&orders, Some(&second.at("/access_token"))).await.status,
        401
    );
    let outcomes: Vec<Outcome> = issuer
        .exchanges()
        .iter()
        .map(|exchange| exchange.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Rotated, Outcome::Reused, Outcome::Revoked]
    );
    assert_eq!(
        (
            issuer.presented(first_refresh),
            issuer.spent(first_refresh),
            issuer.most_presented()
        ),
        (2, 1, 2)
    );
}

#[tokio::test]
async fn grace_and_no_rotation_are_lenient() {
    let grace = FaultyIssuer::start(IssuerConfig::new().rotation(Rotation::Grace { seconds: 30 }));
    let first = grace.issue();
    for _ in 0..2 {
        assert_eq!(
            refresh(&grace.token_endpoint(), text(&first, "refresh_token"))
                .await
                .expect("an answer")
                .status,
            200
        );
    }
    grace.clock().advance(31);
    assert_eq!(
        refresh(&grace.token_endpoint(), text(&first, "refresh_token"))
            .await
            .expect("an answer")
            .status,
        400
    );

    let none = FaultyIssuer::start(IssuerConfig::new().rotation(Rotation::None));
    let first = none.issue();
    assert!(first["refresh_token"].is_string());
    let again = refresh(&none.token_endpoint(), text(&first, "refresh_token"))
        .await
        .expect("an answer");
    assert!(
        again.json().get("refresh_token").is_none(),
        "left out when it does not change"
    );
}

#[tokio::test]
async fn tokens_end_by_time_by_revocation_and_by_command() {
    let issuer = FaultyIssuer::start(
        IssuerConfig::new()
            .access_ttl_s(20)
            .refresh_ttl_s(100)
            .marker("canary-"),
    );
    let first = issuer.issue();
    assert_eq!(
        (&first["expires_in"], &first["refresh_expires_in"]),
        (&json!(20), &json!(100))
    );
    assert!(
        text(&first, "access_token").starts_with("canary-")
            && text(&first, "refresh_token").starts_with("canary-")
    );
    let (orders, access) = (issuer.url_of("/api/orders"), text(&first, "access_token"));
    assert_eq!(get(&orders, Some(access)).await.status, 200);
    issuer.clock().advance(20);
    let expired = get(&orders, Some(access)).await;
    assert!(
        expired
            .header("www-authenticate")
            .contains("error=\"invalid_token\", error_description=\"The access token expired\"")
    );
    let second = refresh(&issuer.token_endpoint(), text(&first, "refresh_token"))
        .await
        .expect("an answer");
    issuer.revoke_access_tokens();
    let revoked = get(&orders, Some(&second.at("/access_token"))).await;
    assert_eq!(
        (revoked.status, revoked.at("/error_description").as_str()),
        (401, "The access token was revoked")
    );
    let third = refresh(&issuer.token_endpoint(), &second.at("/refresh_token"))
        .await
        .expect("an answer");
    assert_eq!(
        get(&orders, Some(&third.at("/access_token"))).await.status,
        200
    );
    issuer.expire_access_now();
    assert_eq!(
        get(&orders, Some(&third.at("/access_token"))).await.status,
        401
    );
    issuer.clock().advance(100);
    let over = refresh(&issuer.token_endpoint(), &third.at("/refresh_token"))
        .await
        .expect("an answer");
    assert_eq!(over.at("/error_description"), "The refresh token expired");
}

#[tokio::test]
async fn skew_shows_in_date_and_jwt_but_not_in_lifetimes() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().jwt().access_ttl_s(60));
    issuer.clock().set_skew(3600);
    let token = issuer.issue();
    let orders = get(
        &issuer.url_of("/api/orders"),
        Some(text(&token, "access_token")),
    )
    .await;
    assert_eq!(orders.status, 200);
    let shown = httpdate::parse_http_date(orders.header("date")).expect("a date");
    let ahead = shown
        .duration_since(std::time::SystemTime::now())
        .expect("ahead")
        .as_secs();
    assert!((3500..=3600).contains(&ahead), "{ahead}");
    let payload = text(&token, "access_token")
        .split('.')
        .nth(1)
        .expect("a JWT")
        .to_owned();
    let payload =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload)
            .expect("base64");
    let claims: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(
        claims["exp"]
            .as_i64()
            .zip(claims["iat"].as_i64())
            .map(|(exp, iat)| exp - iat),
        Some(60)
    );
    assert!(
        claims["iat"].as_i64().expect("iat") - token["obtained_at"].as_i64().expect("time") >= 3599
    );
}

#[tokio::test]
async fn the_lifetime_field_lies_when_told_to() {
    let told = |expires_in| {
        FaultyIssuer::start(IssuerConfig::new().expires_in(expires_in)).issue()["expires_in"]
            .clone()
    };
    assert_eq!(told(ExpiresIn::Omitted), Value::Null);
    assert_eq!(told(ExpiresIn::Value(json!("3600"))), json!("3600"));
    assert!(told(ExpiresIn::Epoch).as_i64().expect("a number") > 1_700_000_000);
}

#[tokio::test]
async fn clients_are_authenticated_when_known() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().client("till 7", "s:e%cret"));
    let token = issuer.issue();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&token, "refresh_token")),
    ];
    let none = post_form(&issuer.token_endpoint(), &form)
        .await
        .expect("an answer");
    assert_eq!(
        (none.status, none.at("/error").as_str()),
        (401, "invalid_client")
    );
    let wrong = [
        form[0],
        form[1],
        ("client_id", "till 7"),
        ("client_secret", "no"),
    ];
    assert_eq!(
        post_form(&issuer.token_endpoint(), &wrong)
            .await
            .expect("an answer")
            .status,
        401
    );
    assert!(issuer.exchanges().is_empty(), "the client is checked first");
    let basic = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        "till+7:s%3Ae%25cret",
    );
    let basic = format!("Basic {basic}");
    let headers = [
        ("authorization", basic.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = serde_urlencoded::to_string(form).expect("a form");
    assert_eq!(
        send("POST", &issuer.token_endpoint(), &headers, &body)
            .await
            .expect("an answer")
            .status,
        200
    );
    assert_eq!(issuer.requests_to("/token").len(), 3);
    assert_eq!(
        issuer.requests_to("/token")[2]
            .field("grant_type")
            .as_deref(),
        Some("refresh_token")
    );
}

#[tokio::test]
async fn code_flow_checks_redirect_verifier_and_single_use() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    // Verifier and challenge of RFC 7636, appendix B.
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let query = format!(
        "response_type=code&client_id=x&redirect_uri=http://127.0.0.1:1/cb&state=s1&code_challenge={challenge}&code_challenge_method=S256"
    );
    let url = issuer.url_of(&format!("/authorize?{query}"));
    let location = url::Url::parse(get(&url, None).await.header("location")).expect("a URL");
    let field = |name: &str| {
        location
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    assert_eq!(
        (field("state").as_deref(), field("iss")),
        (Some("s1"), Some(issuer.url()))
    );
    let code = field("code").expect("a code");
    let grant = |verifier| {
        [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", "http://127.0.0.1:1/cb"),
            ("code_verifier", verifier),
        ]
    };
    let granted = post_form(&issuer.token_endpoint(), &grant(verifier))
        .await
        .expect("an answer");
    assert_eq!(granted.status, 200, "{granted:?}");
    let again = post_form(&issuer.token_endpoint(), &grant(verifier))
        .await
        .expect("an answer");
    assert_eq!(again.at("/error"), "invalid_grant");
    issuer.deny_consent(true);
    assert!(
        get(&url, None)
            .await
            .header("location")
            .contains("error=access_denied")
    );
    let metadata = get(&issuer.url_of("/.well-known/openid-configuration"), None).await;
    assert_eq!(
        (metadata.at("/issuer"), metadata.at("/token_endpoint")),
        (issuer.url(), issuer.token_endpoint())
    );
}

#[tokio::test]
async fn device_flow_waits_slows_down_and_grants_once() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let device = post_form(
        &issuer.url_of("/device_authorization"),
        &[("client_id", "x")],
    )
    .await
    .expect("an answer");
    let (code, user_code) = (device.at("/device_code"), device.at("/user_code"));
    let poll = || async {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", code.as_str()),
        ];
        let answer = post_form(&issuer.token_endpoint(), &form)
            .await
            .expect("an answer");
        (answer.status, answer.at("/error"))
    };
    assert_eq!(poll().await, (400, "authorization_pending".into()));
    assert_eq!(poll().await, (400, "slow_down".into()));
    issuer.clock().advance(10);
    assert_eq!(poll().await, (400, "authorization_pending".into()));
    issuer.approve_device(&user_code);
    issuer.clock().advance(10);
    assert_eq!(poll().await, (200, String::new()));
    assert_eq!(poll().await, (400, "expired_token".into()));
}

#[tokio::test]
async fn password_client_credentials_revocation_and_introspection() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let endpoint = issuer.token_endpoint();
    let login = |password| {
        [
            ("grant_type", "password"),
            ("username", "admin"),
            ("password", password),
        ]
    };
    assert_eq!(
        post_form(&endpoint, &login("wrong"))
            .await
            .expect("an answer")
            .at("/error"),
        "invalid_grant"
    );
    let pair = post_form(&endpoint, &login("secret"))
        .await
        .expect("an answer");
    let machine = post_form(&endpoint, &[("grant_type", "client_credentials")])
        .await
        .expect("an answer");
    assert!(
        machine.json()["access_token"].is_string() && machine.json().get("refresh_token").is_none()
    );
    let active = || async {
        let form = [(
            "token",
            pair.json()["access_token"]
                .as_str()
                .expect("a token")
                .to_owned(),
        )];
        let form = [("token", form[0].1.as_str())];
        post_form(&issuer.url_of("/introspect"), &form)
            .await
            .expect("an answer")
            .json()["active"]
            .clone()
    };
    assert_eq!(active().await, json!(true));
    let refresh_token = pair.at("/refresh_token");
    assert_eq!(
        post_form(
            &issuer.url_of("/revoke"),
            &[("token", refresh_token.as_str())]
        )
        .await
        .expect("an answer")
        .status,
        200
    );
    assert_eq!(active().await, json!(false));
    assert_eq!(
        refresh(&endpoint, &refresh_token)
            .await
            .expect("an answer")
            .status,
        400
    );
    assert_eq!(issuer.logins(), 1);
}
