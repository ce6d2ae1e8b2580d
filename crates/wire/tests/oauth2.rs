//! The dialect oauth2 against what RFC 6749 and the large servers write.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use tenure_core::Secret;
use tenure_jose::{Alg, KeySet, Rules, SigningKey};
use tenure_wire::{
    Client, ClientAuth, Dialect, Exchange, RetryAfter, Server, WireError, authorization_url,
    device, pkce, revocation, revocation_answer,
};

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn refresh_request(server: &Server, client: &Client) -> tenure_wire::Request {
    let refresh = Secret::new("r+1");
    let (_, request) =
        Exchange::refresh(server, client, &refresh, Some("orders read"), false, &ctx())
            .expect("a request");
    assert_manners(&request);
    request
}

#[test]
fn every_grant_has_its_fields() {
    let server = server(Dialect::OAuth2);
    let public = client(ClientAuth::None);
    let mut with_extra = server.clone();
    with_extra.extra_refresh_params = vec![("resource".into(), "https://api.example/".into())];

    let request = refresh_request(&with_extra, &public);
    assert_eq!(request.uri(), "https://id.example/token");
    assert_eq!(header(&request, "authorization"), None);
    assert_eq!(
        form(&request),
        fields(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", "r+1"),
            ("scope", "orders read"),
            ("resource", "https://api.example/"),
            ("client_id", "till 7"),
        ])
    );

    let (_, request) =
        Exchange::password(&server, &public, "anna", &Secret::new("p&w"), None, &ctx())
            .expect("ok");
    assert_eq!(
        form(&request),
        fields(&[
            ("grant_type", "password"),
            ("username", "anna"),
            ("password", "p&w"),
            ("client_id", "till 7"),
        ])
    );

    let (_, request) =
        Exchange::client_credentials(&server, &public, Some("a"), &ctx()).expect("ok");
    assert_eq!(
        form(&request),
        fields(&[
            ("grant_type", "client_credentials"),
            ("scope", "a"),
            ("client_id", "till 7")
        ])
    );

    let (code, verifier) = (Secret::new("c0de"), Secret::new("v3rifier"));
    let (_, request) = Exchange::code(
        &server,
        &public,
        &code,
        "http://127.0.0.1:9/cb",
        &verifier,
        &ctx(),
    )
    .expect("ok");
    assert_eq!(
        form(&request),
        fields(&[
            ("grant_type", "authorization_code"),
            ("code", "c0de"),
            ("redirect_uri", "http://127.0.0.1:9/cb"),
            ("code_verifier", "v3rifier"),
            ("client_id", "till 7"),
        ])
    );

    let (_, request) =
        Exchange::device_token(&server, &public, &Secret::new("d"), &ctx()).expect("ok");
    assert_eq!(
        form(&request),
        fields(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", "d"),
            ("client_id", "till 7"),
        ])
    );
}

#[test]
fn basic_encodes_before_it_joins() {
    // RFC 6749 §2.3.1: base64("till+7:s%25c%3Ar%2Bt%2F1").
    let request = refresh_request(&server(Dialect::OAuth2), &client(ClientAuth::Basic));
    assert_eq!(
        header(&request, "authorization"),
        Some("Basic dGlsbCs3OnMlMjVjJTNBciUyQnQlMkYx")
    );
    assert!(request.headers()["authorization"].is_sensitive());
    assert!(!form(&request).contains_key("client_id"));
    assert!(!form(&request).contains_key("client_secret"));
}

#[test]
fn post_puts_both_into_the_body() {
    let request = refresh_request(&server(Dialect::OAuth2), &client(ClientAuth::Post));
    assert_eq!(header(&request, "authorization"), None);
    assert_eq!(form(&request)["client_id"], "till 7");
    assert_eq!(form(&request)["client_secret"], "s%c:r+t/1");
}

#[test]
fn private_key_jwt_signs_for_the_token_endpoint_and_a_minute() {
    let key = Arc::new(SigningKey::generate(Alg::Es256, "k1").expect("a key"));
    let client = Client {
        key: Some(Arc::clone(&key)),
        secret: None,
        ..client(ClientAuth::PrivateKeyJwt)
    };
    let request = refresh_request(&server(Dialect::OAuth2), &client);
    let form = form(&request);
    assert_eq!(form["client_id"], "till 7");
    assert_eq!(
        form["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    let rules = Rules {
        issuer: Some("till 7"),
        audience: Some("https://id.example/token"),
        typ: Some("JWT"),
        leeway_s: 0,
        now_s: NOW + 59,
    };
    let keys = KeySet::from_signing_key(&key);
    let proof = tenure_jose::verify(&form["client_assertion"], &keys, &rules).expect("verifies");
    assert_eq!(proof.header.alg, "ES256");
    assert_eq!(proof.header.kid.as_deref(), Some("k1"));
    assert_eq!(proof.claims["sub"], "till 7");
    assert_eq!(proof.claims["jti"], "jti-1");
    assert_eq!(proof.exp(), Some(NOW + 60));
    let late = Rules {
        now_s: NOW + 61,
        ..rules
    };
    assert!(tenure_jose::verify(&form["client_assertion"], &keys, &late).is_err());
}

#[test]
fn a_proof_that_cannot_be_made_is_named() {
    let server = server(Dialect::OAuth2);
    for (auth, wanted) in [
        (ClientAuth::Basic, "client_secret"),
        (ClientAuth::Post, "client_secret"),
        (ClientAuth::PrivateKeyJwt, "client_key"),
    ] {
        let client = Client {
            secret: None,
            ..client(auth)
        };
        let error =
            Exchange::client_credentials(&server, &client, None, &ctx()).expect_err("no proof");
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(error.to_string().contains(auth.as_str()), "{error}");
    }
}

#[test]
fn the_plain_answer_of_rfc_6749() {
    let granted = granted(refresh_ends(
        Dialect::OAuth2,
        &json(
            200,
            r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600,
                "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","scope":"orders read","id_token":"i"}"#,
        ),
    ));
    assert_eq!(granted.access.expose(), "2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(
        exposed(granted.refresh.as_ref()),
        Some("tGzv3JOkF0XG5Qx2TlKWIA")
    );
    assert_eq!(granted.scope.as_deref(), Some("orders read"));
    assert_eq!(granted.stated.expires_in, Some(3600));
    assert_eq!(granted.stated.now, NOW);
    assert_eq!(granted.token_type.as_deref(), Some("Bearer"));
    assert_eq!(exposed(granted.id_token.as_ref()), Some("i"));
}

#[test]
fn answers_that_differ_and_still_grant() {
    let of = |response: &tenure_wire::Response| granted(refresh_ends(Dialect::OAuth2, response));
    // expires_in as a string, a BOM before the body, a wrong content type.
    let odd = of(&response(
        200,
        &[("content-type", "text/html")],
        "\u{feff}{\"access_token\":\"a\",\"expires_in\":\"3599\",\"refresh_token\":\"\",\"error\":null}",
    ));
    assert_eq!(odd.stated.expires_in, Some(3599));
    assert_eq!(odd.refresh, None);
    // GitHub without Accept.
    let github = of(&response(
        200,
        &[(
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        )],
        "access_token=ghu_16C7&expires_in=28800&refresh_token=ghr_1B4a&refresh_token_expires_in=15811200&scope=&token_type=bearer",
    ));
    assert_eq!(github.access.expose(), "ghu_16C7");
    assert_eq!(github.stated.expires_in, Some(28800));
    assert_eq!(github.refresh_expires_in, Some(15_811_200));
    assert_eq!(github.scope, None);
    // Keycloak: offline tokens do not expire and say 0. Entra: refresh_in.
    let keycloak = of(&json(
        200,
        r#"{"access_token":"a","refresh_expires_in":0,"refresh_in":1800}"#,
    ));
    assert_eq!(keycloak.refresh_expires_in, None);
    assert_eq!(keycloak.refresh_in, Some(1800));
    // Slack: a person's tokens alone; scopes as a list elsewhere.
    let slack = of(&json(
        200,
        r#"{"ok":true,"authed_user":{"id":"U1","access_token":"xoxe.1","refresh_token":"xoxe-1","expires_in":43200,"scope":["a","b"]}}"#,
    ));
    assert_eq!(slack.access.expose(), "xoxe.1");
    assert_eq!(slack.scope.as_deref(), Some("a b"));
    // Feishu: code 0 is no error.
    assert_eq!(
        of(&json(200, r#"{"code":0,"access_token":"a"}"#))
            .access
            .expose(),
        "a"
    );
}

#[test]
fn times_inside_jwts_are_read() {
    let access = jwt(&serde_json::json!({"iat": NOW - 5, "exp": NOW + 295}));
    let refresh = jwt(&serde_json::json!({"iat": NOW, "exp": NOW + 1800}));
    let body = serde_json::json!({"access_token": access, "refresh_token": refresh}).to_string();
    let mut server = server(Dialect::OAuth2);
    server.expires_in_default = Some(60);
    let (mut exchange, _) =
        Exchange::client_credentials(&server, &client(ClientAuth::None), None, &ctx()).expect("ok");
    let granted = granted(end(&mut exchange, &json(200, &body)));
    assert_eq!(granted.stated.iat, Some(NOW - 5));
    assert_eq!(granted.stated.exp, Some(NOW + 295));
    assert_eq!(granted.stated.profile, Some(60));
    assert_eq!(granted.refresh_expires_in, Some(1800));
}

#[test]
fn refusals() {
    // status, body, error, description, sub
    let cases = [
        (
            400,
            r#"{"error":"invalid_grant","error_description":"The refresh token has expired."}"#,
            Some("invalid_grant"),
            Some("The refresh token has expired."),
            None,
        ),
        (
            401,
            r#"{"error":"invalid_client"}"#,
            Some("invalid_client"),
            None,
            None,
        ),
        (
            400,
            "error=invalid_grant&error_description=The+refresh+token+has+expired",
            Some("invalid_grant"),
            Some("The refresh token has expired"),
            None,
        ),
        // GitHub and Slack refuse with 200.
        (
            200,
            r#"{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}"#,
            Some("bad_refresh_token"),
            Some("The refresh token passed is incorrect or expired."),
            None,
        ),
        (
            200,
            r#"{"ok":false,"error":"invalid_refresh_token"}"#,
            Some("invalid_refresh_token"),
            None,
            None,
        ),
        // A refusal beside a token is a refusal.
        (
            200,
            r#"{"ok":false,"error":"token_revoked","access_token":"a"}"#,
            Some("token_revoked"),
            None,
            None,
        ),
        (
            200,
            r#"{"errcode":42002,"errmsg":"refresh_token expired"}"#,
            Some("errcode:42002"),
            Some("refresh_token expired"),
            None,
        ),
        (
            200,
            r#"{"code":20037,"error":"invalid_grant","error_description":"expired"}"#,
            Some("invalid_grant"),
            Some("expired"),
            Some("20037"),
        ),
        (
            200,
            r#"{"status":"UNAUTHORISED","message":"Session missing in db or has expired"}"#,
            Some("UNAUTHORISED"),
            Some("Session missing in db or has expired"),
            None,
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS700082: The refresh token has expired due to inactivity.","error_codes":[700082]}"#,
            Some("invalid_grant"),
            Some("AADSTS700082: The refresh token has expired due to inactivity."),
            Some("AADSTS700082"),
        ),
        (
            400,
            r#"{"error":"invalid_grant","suberror":"bad_token","error_description":"AADSTS70000: x"}"#,
            Some("invalid_grant"),
            Some("AADSTS70000: x"),
            Some("bad_token"),
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"reauth related error (rapt_required)","error_subtype":"rapt_required"}"#,
            Some("invalid_grant"),
            Some("reauth related error (rapt_required)"),
            Some("rapt_required"),
        ),
        (
            400,
            r#"{"code":400,"error_code":"refresh_token_not_found","msg":"Invalid Refresh Token: Refresh Token Not Found"}"#,
            Some("refresh_token_not_found"),
            Some("Invalid Refresh Token: Refresh Token Not Found"),
            None,
        ),
        (
            403,
            r#"{"errcode":"M_FORBIDDEN","error":"refresh token isn't valid anymore"}"#,
            Some("M_FORBIDDEN"),
            Some("refresh token isn't valid anymore"),
            None,
        ),
        (
            401,
            r#"{"error":"invalid_grant","error_description":"The refresh token is invalid.","hint":"Token is not linked to client"}"#,
            Some("invalid_grant"),
            Some("The refresh token is invalid. (Token is not linked to client)"),
            None,
        ),
        (
            400,
            r#"{"__type":"NotAuthorizedException","message":"Refresh Token has expired"}"#,
            Some("NotAuthorizedException"),
            Some("Refresh Token has expired"),
            None,
        ),
        (
            401,
            r#"{"fault":{"faultstring":"Invalid Refresh Token","detail":{"errorcode":"keymanagement.service.invalid_refresh_token"}}}"#,
            Some("keymanagement.service.invalid_refresh_token"),
            Some("Invalid Refresh Token"),
            None,
        ),
        (
            401,
            r#"{"errors":[{"message":"User suspended.","extensions":{"code":"USER_SUSPENDED"}}]}"#,
            Some("USER_SUSPENDED"),
            Some("User suspended."),
            None,
        ),
        (
            401,
            r#"{"error":"invalid_client","error_description":"Bad client credentials","error_code":"KOE010"}"#,
            Some("invalid_client"),
            Some("Bad client credentials"),
            Some("KOE010"),
        ),
        (
            401,
            r#"{"code":401,"message":"Invalid credentials."}"#,
            None,
            Some("Invalid credentials."),
            None,
        ),
        (
            503,
            r#"{"error":"temporarily_unavailable"}"#,
            Some("temporarily_unavailable"),
            None,
            None,
        ),
        (400, "{}", None, None, None),
    ];
    for (status, body, error, description, sub) in cases {
        let refusal = refused(refresh_ends(Dialect::OAuth2, &response(status, &[], body)));
        assert_eq!(refusal.status, status, "{body}");
        assert_eq!(refusal.error.as_deref(), error, "{body}");
        assert_eq!(refusal.description.as_deref(), description, "{body}");
        assert_eq!(refusal.sub.as_deref(), sub, "{body}");
        assert_eq!(
            refusal.body,
            body.replace(r#""access_token":"a""#, r#""access_token":"[masked]""#)
        );
    }
}

#[test]
fn answers_that_prove_nothing() {
    let big = format!(
        "{{\"access_token\":\"a\",\"x\":\"{}\"}}",
        "y".repeat(tenure_wire::MAX_BODY)
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        (
            200,
            "text/html",
            "<!DOCTYPE html><html><title>Log in</title></html>",
            "html",
        ),
        (503, "text/html", "<html>error=1</html>", "html"),
        (200, "application/json", "", "empty"),
        (204, "application/json", "", "empty"),
        (200, "application/json", " \u{feff}\n", "empty"),
        (200, "application/json", "{}", "no_access_token"),
        (
            200,
            "application/json",
            r#"{"access_token":""}"#,
            "no_access_token",
        ),
        (
            200,
            "application/json",
            r#"{"access_token":7}"#,
            "no_access_token",
        ),
        (
            200,
            "application/json",
            r#"{"ok":true,"code":"fine","message":"hello"}"#,
            "no_access_token",
        ),
        (
            200,
            "application/json",
            r#"{"error":"invalid_grant","error_desc"#,
            "not_json",
        ),
        (200, "application/json", "[1]", "not_an_object"),
        (400, "text/plain", "Bad Request", "not_json"),
        (302, "text/html", "", "redirect"),
        (200, "application/json", &big, "too_large"),
        (200, "application/json", &deep, "not_json"),
    ];
    for (status, content_type, body, why) in cases {
        let response = response(
            status,
            &[("content-type", content_type), ("retry-after", "9")],
            body,
        );
        let unusable = unusable(refresh_ends(Dialect::OAuth2, &response));
        assert_eq!(unusable.why, why, "{}", &body[..body.len().min(60)]);
        assert_eq!(unusable.status, status);
        assert_eq!(unusable.retry_after, Some(RetryAfter::Seconds(9)));
        assert!(unusable.body_start.len() <= 2048);
    }
}

#[test]
fn retry_after_from_header_then_body() {
    let of = |headers: &[(&str, &str)]| {
        refused(refresh_ends(
            Dialect::OAuth2,
            &response(
                429,
                headers,
                r#"{"error":"too_many_requests","retry_after":"7"}"#,
            ),
        ))
        .retry_after
    };
    assert_eq!(of(&[]), Some(RetryAfter::Seconds(7)));
    assert_eq!(
        of(&[("retry-after", "Tue, 14 May 2024 09:36:53 GMT")]),
        Some(RetryAfter::At(NOW + 600))
    );
}

#[test]
fn an_answer_after_the_end_is_out_of_turn() {
    let (mut exchange, _) = Exchange::client_credentials(
        &server(Dialect::OAuth2),
        &client(ClientAuth::None),
        None,
        &ctx(),
    )
    .expect("ok");
    let good = json(200, r#"{"access_token":"a"}"#);
    granted(end(&mut exchange, &good));
    assert_eq!(unusable(end(&mut exchange, &good)).why, "out_of_turn");
    assert!(exchange.salvage().is_none());
}

#[test]
fn the_authorization_address() {
    let mut server = server(Dialect::OAuth2);
    let state = Secret::new("st");
    let build = |server: &Server| {
        authorization_url(
            server,
            &client(ClientAuth::None),
            "http://127.0.0.1:9/cb",
            Some("openid orders"),
            &state,
            Some("n0"),
            "chal",
            &[
                ("prompt".into(), "consent".into()),
                ("state".into(), "forged".into()),
            ],
        )
    };
    assert!(matches!(
        build(&server),
        Err(WireError::MissingEndpoint {
            endpoint: "authorization_endpoint"
        })
    ));
    server.authorization_endpoint = Some(url("https://id.example/authorize?tenant=1#frag"));
    assert_eq!(
        build(&server).expect("an address").as_str(),
        "https://id.example/authorize?tenant=1&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb&state=st\
         &response_type=code&client_id=till+7&code_challenge=chal&code_challenge_method=S256\
         &scope=openid+orders&nonce=n0&prompt=consent"
    );
}

#[test]
fn revocation_speaks_rfc_7009() {
    let mut server = server(Dialect::OAuth2);
    let (client, token) = (client(ClientAuth::Post), Secret::new("t"));
    let build =
        |server: &Server| revocation(server, &client, &token, "refresh_token", &ctx()).expect("ok");
    assert!(build(&server).is_none());
    server.revocation_endpoint = Some(url("https://id.example/revoke"));
    let request = build(&server).expect("a request");
    assert_manners(&request);
    assert_eq!(request.uri(), "https://id.example/revoke");
    assert_eq!(
        form(&request),
        fields(&[
            ("token", "t"),
            ("token_type_hint", "refresh_token"),
            ("client_id", "till 7"),
            ("client_secret", "s%c:r+t/1"),
        ])
    );
    assert_eq!(revocation_answer(&response(200, &[], "")), Ok(()));
    let error = revocation_answer(&json(400, r#"{"error":"unsupported_token_type"}"#))
        .expect_err("refused");
    assert_eq!(error.error.as_deref(), Some("unsupported_token_type"));
    assert!(revocation_answer(&response(503, &[], "")).is_err());
}

#[test]
fn the_device_grant() {
    let mut server = server(Dialect::OAuth2);
    server.device_authorization_endpoint = Some(url("https://id.example/device"));
    let request =
        device::request(&server, &client(ClientAuth::Basic), Some("a b"), &ctx()).expect("ok");
    assert_manners(&request);
    assert!(header(&request, "authorization").is_some());
    assert_eq!(
        form(&request),
        fields(&[("scope", "a b"), ("client_id", "till 7")])
    );

    let code = device::parse(&json(
        200,
        r#"{"device_code":"GmRh","user_code":"WDJB-MJHT","verification_uri":"https://id.example/d",
            "verification_uri_complete":"https://id.example/d?c=1","expires_in":1800,"interval":"7"}"#,
    ))
    .expect("codes");
    assert_eq!(code.device_code.expose(), "GmRh");
    assert_eq!(code.user_code, "WDJB-MJHT");
    assert_eq!((code.expires_in, code.interval), (1800, 7));
    let google = device::parse(&json(
        200,
        r#"{"device_code":"d","user_code":"u","verification_url":"https://g.example/device"}"#,
    ))
    .expect("codes");
    assert_eq!(google.verification_uri, "https://g.example/device");
    assert_eq!(google.interval, device::DEFAULT_INTERVAL_S);

    let html = device::parse(&response(
        404,
        &[("content-type", "text/html")],
        "<html></html>",
    ))
    .expect_err("html");
    assert!(
        html.description
            .expect("a text")
            .contains("html, status 404")
    );
    let missing = device::parse(&json(200, r#"{"device_code":"d"}"#)).expect_err("no user code");
    assert!(missing.description.expect("a text").contains("`user_code`"));
}

#[test]
fn polls_are_told_apart() {
    let of = |status, error: &str| {
        let body = format!(r#"{{"error":"{error}"}}"#);
        device::poll(&refused(refresh_ends(
            Dialect::OAuth2,
            &json(status, &body),
        )))
    };
    assert_eq!(of(400, "authorization_pending"), device::Poll::Pending);
    // GitHub polls with status 200.
    assert_eq!(of(200, "authorization_pending"), device::Poll::Pending);
    assert_eq!(of(400, "slow_down"), device::Poll::SlowDown);
    assert_eq!(of(400, "access_denied"), device::Poll::Denied);
    assert_eq!(of(400, "authorization_declined"), device::Poll::Denied);
    assert_eq!(of(400, "expired_token"), device::Poll::Expired);
    assert_eq!(of(400, "invalid_client"), device::Poll::Failed);
}

#[test]
fn pkce_binds_challenge_to_verifier() {
    let pkce = pkce::Pkce::from_random([1; 32]);
    assert_eq!(pkce.verifier.len(), 43);
    assert_eq!(pkce.challenge, pkce::challenge(&pkce.verifier));
    assert_ne!(pkce.challenge, pkce::Pkce::from_random([2; 32]).challenge);
}
