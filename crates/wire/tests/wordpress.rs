//! The WordPress dialects against transcripts of their plugins.

mod common;

use common::*;
use serde_json::json as value;
use tenure_core::Secret;
use tenure_core::expiry::{Lie, lifetime};
use tenure_wire::{
    Client, ClientAuth, Dialect, Exchange, JsonFields, Request, Step, TokenAnswer, WireError,
    authorization_url, parse_wcpos_redirect, revocation,
};

fn refresh(dialect: Dialect, secret: &str) -> Request {
    let (_, request) = Exchange::refresh(
        &server(dialect),
        &Client::default(),
        &Secret::new(secret),
        None,
        false,
        &ctx(),
    )
    .expect("a request");
    assert_manners(&request);
    assert_eq!(header(&request, "authorization"), None, "no stale header");
    request
}

fn login(dialect: Dialect, username: &str) -> Request {
    let (_, request) = Exchange::password(
        &server(dialect),
        &Client::default(),
        username,
        &Secret::new("pw"),
        None,
        &ctx(),
    )
    .expect("a request");
    assert_manners(&request);
    assert_eq!(header(&request, "authorization"), None, "no stale header");
    assert_eq!(header(&request, "cookie"), None, "no stale cookie");
    request
}

const SJL3: Dialect = Dialect::SimpleJwtLogin { version: 3 };
const SJL4: Dialect = Dialect::SimpleJwtLogin { version: 4 };

// --- Tmeister ---------------------------------------------------------------------------------------------

#[test]
fn tmeister_logs_in_and_has_nothing_to_renew_with() {
    let request = login(Dialect::WordpressTmeister, "anna");
    assert_eq!(
        request.uri(),
        "https://shop.example/wp-json/jwt-auth/v1/token"
    );
    assert_eq!(
        body(&request),
        value!({"username": "anna", "password": "pw"})
    );

    let token =
        jwt(&value!({"iss": "https://shop.example", "iat": NOW, "nbf": NOW, "exp": NOW + 604_800}));
    let answer = value!({"token": token, "user_email": "a@shop.example", "user_nicename": "anna", "user_display_name": "Anna"});
    let granted = granted(login_ends(
        Dialect::WordpressTmeister,
        &json(200, &answer.to_string()),
    ));
    assert_eq!(granted.access.expose(), token);
    assert_eq!(granted.refresh, None);
    assert_eq!(granted.stated.expires_in, None);
    assert_eq!(lifetime(&granted.stated).ms, Some(604_800_000));

    let error = Exchange::refresh(
        &server(Dialect::WordpressTmeister),
        &Client::default(),
        &Secret::new("x"),
        None,
        false,
        &ctx(),
    )
    .expect_err("no refresh");
    assert!(matches!(
        error,
        WireError::CannotRefresh {
            dialect: "wordpress-tmeister"
        }
    ));
    assert!(error.to_string().contains("log in again"), "{error}");
}

#[test]
fn tmeister_refusals_lose_their_html() {
    let body = r#"{"code":"[jwt_auth] incorrect_password","message":"<strong>Error:<\/strong> The password you entered for the username <strong>anna<\/strong> is incorrect. <a href=\"https:\/\/shop.example\/wp-login.php?action=lostpassword\">Lost your password?<\/a>","data":{"status":403}}"#;
    let refusal = refused(login_ends(Dialect::WordpressTmeister, &json(403, body)));
    assert_eq!(
        refusal.error.as_deref(),
        Some("[jwt_auth] incorrect_password")
    );
    assert_eq!(
        refusal.description.as_deref(),
        Some(
            "Error: The password you entered for the username anna is incorrect. Lost your password?"
        )
    );
    let stale = refused(login_ends(
        Dialect::WordpressTmeister,
        &json(
            403,
            r#"{"code":"jwt_auth_invalid_token","message":"Expired token","data":{"status":403}}"#,
        ),
    ));
    assert_eq!(stale.error.as_deref(), Some("jwt_auth_invalid_token"));
    assert_eq!(stale.description.as_deref(), Some("Expired token"));
}

#[test]
fn php_notices_around_the_json_are_no_loss() {
    let body = "<br />\n<b>Notice</b>: Undefined index: {x} in <b>a.php</b> on line <b>7</b><br />\n{\"token\":\"a\"}\n<!-- cached -->";
    let html = [("content-type", "text/html; charset=UTF-8")];
    let granted = granted(login_ends(
        Dialect::WordpressTmeister,
        &response(200, &html, body),
    ));
    assert_eq!(granted.access.expose(), "a");
    // Another server's page stays a page, whatever its scripts hold.
    assert_eq!(
        unusable(refresh_ends(Dialect::OAuth2, &response(200, &html, body))).why,
        "html"
    );
    let page =
        "<html><script>var x = {\"error\":\"invalid_grant\"};</script><p>{\"a\":1}</p></html>";
    assert_eq!(
        unusable(login_ends(
            Dialect::WordpressTmeister,
            &response(200, &html, page)
        ))
        .why,
        "html"
    );
}

// --- usefulteam -------------------------------------------------------------------------------------------

const COOKIE: &str = "refresh_token=7.9f86d081; expires=Thu, 13-Jun-2024 09:26:53 GMT; Max-Age=2592000; path=/; HttpOnly";

fn usefulteam_token(token: &str) -> String {
    value!({"success": true, "statusCode": 200, "code": "jwt_auth_valid_credential", "message": "Credential is valid",
        "data": {"token": token, "id": 7, "email": "a@shop.example", "nicename": "anna"}})
    .to_string()
}

#[test]
fn usefulteam_login_takes_the_cookie() {
    let request = login(Dialect::WordpressUsefulteam, "anna");
    assert_eq!(
        body(&request),
        value!({"username": "anna", "password": "pw"})
    );
    let answer = response(200, &[("set-cookie", COOKIE)], &usefulteam_token("a"));
    let granted = granted(login_ends(Dialect::WordpressUsefulteam, &answer));
    assert_eq!(granted.access.expose(), "a");
    assert_eq!(exposed(granted.refresh.as_ref()), Some("7.9f86d081"));
    assert_eq!(granted.refresh_expires_in, Some(2_592_000));
}

#[test]
fn usefulteam_refreshes_by_cookie_alone() {
    let request = refresh(Dialect::WordpressUsefulteam, "7.9f86d081");
    assert_eq!(
        request.uri(),
        "https://shop.example/wp-json/jwt-auth/v1/token"
    );
    assert_eq!(header(&request, "cookie"), Some("refresh_token=7.9f86d081"));
    assert!(request.headers()["cookie"].is_sensitive());
    assert!(request.body().is_empty());
    let granted = granted(refresh_ends(
        Dialect::WordpressUsefulteam,
        &json(200, &usefulteam_token("a2")),
    ));
    assert_eq!(granted.access.expose(), "a2");
    assert_eq!(granted.refresh, None, "the cookie held stays");

    let mut with_device = server(Dialect::WordpressUsefulteam);
    with_device.extra_refresh_params = vec![("device".into(), "till-7".into())];
    let (_, request) = Exchange::refresh(
        &with_device,
        &Client::default(),
        &Secret::new("7.9"),
        None,
        false,
        &ctx(),
    )
    .expect("ok");
    assert_eq!(body(&request), value!({"device": "till-7"}));
}

fn rotating() -> (Exchange, Request) {
    let server = server(Dialect::WordpressUsefulteam);
    Exchange::refresh(
        &server,
        &Client::default(),
        &Secret::new("7.old"),
        None,
        true,
        &ctx(),
    )
    .expect("ok")
}

fn second(exchange: &mut Exchange) -> Request {
    match exchange.on_response(&json(200, &usefulteam_token("a2")), &ctx()) {
        Step::Send(request) => request,
        Step::Done(answer) => panic!("over too early: {answer:?}"),
    }
}

#[test]
fn usefulteam_rotates_the_cookie_in_a_second_request() {
    let (mut exchange, first) = rotating();
    assert_eq!(first.uri().path(), "/wp-json/jwt-auth/v1/token");
    let request = second(&mut exchange);
    assert_manners(&request);
    assert_eq!(request.uri().path(), "/wp-json/jwt-auth/v1/token/refresh");
    assert_eq!(header(&request, "cookie"), Some("refresh_token=7.old"));
    let rotated = response(
        200,
        &[("set-cookie", COOKIE)],
        r#"{"success":true,"statusCode":200,"code":"jwt_auth_valid_token","message":"Token is valid"}"#,
    );
    let granted = granted(end(&mut exchange, &rotated));
    assert_eq!(granted.access.expose(), "a2");
    assert_eq!(exposed(granted.refresh.as_ref()), Some("7.9f86d081"));
    assert!(exchange.second_step_failure().is_none());
}

#[test]
fn usefulteam_keeps_the_access_token_when_the_rotation_fails() {
    let refusal = r#"{"success":false,"statusCode":401,"code":"jwt_auth_obsolete_refresh_token","message":"Refresh token is obsolete."}"#;
    let (mut exchange, _) = rotating();
    second(&mut exchange);
    let granted_first = granted(end(&mut exchange, &json(401, refusal)));
    assert_eq!(granted_first.access.expose(), "a2");
    assert_eq!(granted_first.refresh, None);
    match exchange.second_step_failure() {
        Some(TokenAnswer::Refused(refusal)) => {
            assert_eq!(
                refusal.error.as_deref(),
                Some("jwt_auth_obsolete_refresh_token")
            );
        }
        other => panic!("{other:?}"),
    }
    // A cookie beside a refusal is not the new one, whatever the status.
    for status in [200, 401] {
        let (mut exchange, _) = rotating();
        second(&mut exchange);
        let answer = response(status, &[("set-cookie", COOKIE)], refusal);
        assert_eq!(
            granted(end(&mut exchange, &answer)).refresh,
            None,
            "{status}"
        );
        assert!(matches!(
            exchange.second_step_failure(),
            Some(TokenAnswer::Refused(_))
        ));
    }
    // A 200 that sets no cookie, and a connection that broke.
    let (mut exchange, _) = rotating();
    second(&mut exchange);
    granted(end(&mut exchange, &json(200, r#"{"success":true}"#)));
    assert!(
        matches!(exchange.second_step_failure(), Some(TokenAnswer::Unusable(u)) if u.why == "no_cookie")
    );
    let (mut exchange, _) = rotating();
    assert!(matches!(
        exchange.on_response(&json(200, &usefulteam_token("a2")), &ctx()),
        Step::Send(_)
    ));
    assert_eq!(
        exchange.salvage().expect("the first token").access.expose(),
        "a2"
    );
}

#[test]
fn usefulteam_refusals_end_it_at_the_first_step() {
    for code in [
        "jwt_auth_no_auth_cookie",
        "jwt_auth_invalid_refresh_token",
        "jwt_auth_obsolete_refresh_token",
        "jwt_auth_expired_refresh_token",
    ] {
        let body = value!({"success": false, "statusCode": 401, "code": code, "message": "No.", "data": []});
        let (mut exchange, _) = rotating();
        let refusal = refused(end(&mut exchange, &json(401, &body.to_string())));
        assert_eq!(refusal.error.as_deref(), Some(code));
    }
}

#[test]
fn a_cookie_that_could_break_the_header_is_not_sent() {
    for cookie in ["a\r\nX-Evil: 1", "a; other=1", "a b", "é"] {
        let error = Exchange::refresh(
            &server(Dialect::WordpressUsefulteam),
            &Client::default(),
            &Secret::new(cookie),
            None,
            false,
            &ctx(),
        )
        .expect_err("unsendable");
        assert!(matches!(error, WireError::Unsendable { .. }));
        assert!(!error.to_string().contains(cookie));
    }
}

// --- Simple JWT Login -------------------------------------------------------------------------------------

#[test]
fn simple_jwt_login_4_has_rotating_tokens() {
    assert_eq!(
        body(&login(SJL4, "anna")),
        value!({"username": "anna", "password": "pw"})
    );
    let request = login(SJL4, "anna@shop.example");
    assert_eq!(
        request.uri(),
        "https://shop.example/wp-json/simple-jwt-login/v1/auth"
    );
    assert_eq!(
        body(&request),
        value!({"email": "anna@shop.example", "password": "pw"})
    );

    let request = refresh(SJL4, "r1");
    assert_eq!(
        request.uri(),
        "https://shop.example/wp-json/simple-jwt-login/v1/auth/refresh"
    );
    assert_eq!(body(&request), value!({"refresh_token": "r1"}));
    let token = jwt(&value!({"iat": NOW, "exp": NOW + 3600}));
    let answer =
        value!({"success": true, "data": {"jwt": token, "refresh_token": "r2"}}).to_string();
    let granted = granted(refresh_ends(SJL4, &json(200, &answer)));
    assert_eq!(granted.access.expose(), token);
    assert_eq!(exposed(granted.refresh.as_ref()), Some("r2"));
    assert_eq!(lifetime(&granted.stated).ms, Some(3_600_000));
}

#[test]
fn simple_jwt_login_3_renews_the_jwt_with_itself() {
    let old = jwt(&value!({"iat": NOW - 7200, "exp": NOW - 3600}));
    assert_eq!(body(&refresh(SJL3, &old)), value!({"JWT": old}));
    let new = jwt(&value!({"iat": NOW, "exp": NOW + 3600}));
    let answer = value!({"success": true, "data": {"jwt": new}}).to_string();
    let granted = granted(refresh_ends(SJL3, &json(200, &answer)));
    assert_eq!(granted.access.expose(), new);
    assert_eq!(exposed(granted.refresh.as_ref()), Some(new.as_str()));
    assert_eq!(granted.refresh_expires_in, None, "it outlives its exp");
}

#[test]
fn simple_jwt_login_refusals_by_number() {
    for (dialect, status, body, error, description, sub) in [
        (
            SJL4,
            401,
            r#"{"success":false,"data":{"message":"Invalid refresh token.","error_code":51}}"#,
            "error_code:51",
            "Invalid refresh token.",
            None,
        ),
        (
            SJL3,
            401,
            r#"{"success":false,"data":{"message":"JWT is too old to be refreshed.","errorCode":50}}"#,
            "error_code:50",
            "JWT is too old to be refreshed.",
            None,
        ),
        // Before 3.5.4 an expired token was answered 400.
        (
            SJL3,
            400,
            r#"{"success":false,"data":{"message":"Expired token","errorCode":14}}"#,
            "error_code:14",
            "Expired token",
            None,
        ),
        (
            SJL4,
            401,
            r#"{"code":"simple_jwt_login_middleware_error","message":"Expired token","data":{"status":401,"error_code":14}}"#,
            "error_code:14",
            "Expired token",
            Some("simple_jwt_login_middleware_error"),
        ),
    ] {
        let refusal = refused(refresh_ends(dialect, &json(status, body)));
        assert_eq!(refusal.error.as_deref(), Some(error), "{body}");
        assert_eq!(refusal.description.as_deref(), Some(description), "{body}");
        assert_eq!(refusal.sub.as_deref(), sub, "{body}");
    }
}

#[test]
fn simple_jwt_login_revokes_jwts_only() {
    let mut server = server(SJL4);
    server.revocation_endpoint = Some(url(
        "https://shop.example/wp-json/simple-jwt-login/v1/auth/revoke",
    ));
    let of = |hint| {
        revocation(&server, &Client::default(), &Secret::new("t"), hint, &ctx()).expect("ok")
    };
    assert_eq!(
        body(&of("access_token").expect("a request")),
        value!({"JWT": "t"})
    );
    assert!(of("refresh_token").is_none());
}

// --- WCPOS ------------------------------------------------------------------------------------------------

#[test]
fn wcpos_keeps_its_refresh_token() {
    let request = refresh(Dialect::Wcpos, "rt");
    assert_eq!(
        request.uri(),
        "https://shop.example/wp-json/wcpos/v2/auth/refresh"
    );
    assert_eq!(header(&request, "x-wcpos"), Some("1"));
    assert_eq!(body(&request), value!({"refresh_token": "rt"}));
    let answer = value!({"access_token": "a", "token_type": "Bearer", "expires_in": 1800, "expires_at": NOW + 1800});
    let granted = granted(refresh_ends(
        Dialect::Wcpos,
        &json(200, &answer.to_string()),
    ));
    assert_eq!(granted.refresh, None);
    assert_eq!(granted.stated.expires_at, Some(NOW + 1800));
    assert_eq!(lifetime(&granted.stated).ms, Some(1_800_000));
}

#[test]
fn wcpos_refuses_with_status_200() {
    for (status, body, error, description) in [
        (
            200,
            r#"{"error":"invalid_grant","error_description":"Refresh token has been revoked"}"#,
            "invalid_grant",
            "Refresh token has been revoked",
        ),
        (
            200,
            r#"{"error":"invalid_grant","error_description":"Expired token"}"#,
            "invalid_grant",
            "Expired token",
        ),
        (
            400,
            r#"{"code":"rest_missing_callback_param","message":"Missing parameter(s): refresh_token","data":{"status":400,"params":["refresh_token"]}}"#,
            "rest_missing_callback_param",
            "Missing parameter(s): refresh_token",
        ),
        (
            404,
            r#"{"code":"rest_no_route","message":"No route was found matching the URL and request method.","data":{"status":404}}"#,
            "rest_no_route",
            "No route was found matching the URL and request method.",
        ),
    ] {
        let refusal = refused(refresh_ends(Dialect::Wcpos, &json(status, body)));
        assert_eq!(refusal.status, status);
        assert_eq!(refusal.error.as_deref(), Some(error));
        assert_eq!(refusal.description.as_deref(), Some(description));
    }
    let reason = r#"{"code":"woocommerce_pos_rest_unauthorized","message":"Authentication required.","data":{"status":401,"reason":"woocommerce_pos_auth_token_revoked"}}"#;
    let refusal = refused(refresh_ends(Dialect::Wcpos, &json(401, reason)));
    assert_eq!(
        refusal.sub.as_deref(),
        Some("woocommerce_pos_auth_token_revoked")
    );
}

#[test]
fn wcpos_logs_in_through_the_browser() {
    let mut server = server(Dialect::Wcpos);
    server.authorization_endpoint = Some(url("https://shop.example/wcpos-auth"));
    let state = Secret::new("st");
    let address = authorization_url(
        &server,
        &Client::default(),
        "http://127.0.0.1:9/",
        None,
        &state,
        None,
        "",
        &[("platform".into(), "web".into())],
    )
    .expect("an address");
    assert_eq!(
        address.as_str(),
        "https://shop.example/wcpos-auth?redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2F&state=st&platform=web"
    );

    let rt = jwt(&value!({"iat": NOW, "exp": NOW + 2_592_000}));
    let back = url(&format!(
        "http://127.0.0.1:9/?access_token=a&refresh_token={rt}&token_type=Bearer&expires_at={}&id=7&uuid=u&display_name=Anna&state=st",
        NOW + 1800
    ));
    let granted = parse_wcpos_redirect(&back, &state, &ctx()).expect("tokens");
    assert_eq!(granted.access.expose(), "a");
    assert_eq!(exposed(granted.refresh.as_ref()), Some(rt.as_str()));
    assert_eq!(granted.stated.expires_at, Some(NOW + 1800));
    assert_eq!(granted.refresh_expires_in, Some(2_592_000));
    assert!(parse_wcpos_redirect(&back, &Secret::new("other"), &ctx()).is_err());
    assert!(
        parse_wcpos_redirect(
            &url("http://127.0.0.1:9/?state=st&access_token=a"),
            &state,
            &ctx()
        )
        .is_err()
    );
}

// --- All --------------------------------------------------------------------------------------------------

#[test]
fn grants_a_dialect_does_not_have_are_refused_before_sending() {
    for dialect in [
        Dialect::WordpressTmeister,
        Dialect::WordpressUsefulteam,
        SJL4,
        Dialect::Wcpos,
        Dialect::JsonRefresh(JsonFields::default()),
    ] {
        let server = server(dialect);
        let (client, secret) = (Client::public("c"), Secret::new("s"));
        let errors = [
            Exchange::client_credentials(&server, &client, None, &ctx()).expect_err("none"),
            Exchange::code(
                &server,
                &client,
                &secret,
                "http://127.0.0.1/",
                &secret,
                &ctx(),
            )
            .expect_err("none"),
            Exchange::device_token(&server, &client, &secret, &ctx()).expect_err("none"),
            tenure_wire::device::request(&server, &client, None, &ctx()).expect_err("none"),
        ];
        for error in errors {
            assert!(matches!(error, WireError::NoSuchGrant { .. }), "{error}");
            assert!(
                error.to_string().starts_with(server.dialect.as_str()),
                "{error}"
            );
        }
    }
    let wcpos = server(Dialect::Wcpos);
    assert!(matches!(
        Exchange::password(
            &wcpos,
            &Client::default(),
            "u",
            &Secret::new("p"),
            None,
            &ctx()
        ),
        Err(WireError::NoSuchGrant { .. })
    ));
}

#[test]
fn expiry_fields_that_lie_reach_the_judge_as_sent() {
    // miniOrange: `expires_in` is an instant; a JSON profile reads it (facts: wordpress §4.6).
    let fields = JsonFields {
        access: "jwt_token".into(),
        ..JsonFields::default()
    };
    let body = value!({"token_type": "Bearer", "iat": NOW, "expires_in": NOW + 157_680_000, "jwt_token": "a"});
    let granted = granted(login_ends(
        Dialect::JsonRefresh(fields),
        &json(200, &body.to_string()),
    ));
    assert_eq!(granted.stated.expires_in, Some(NOW + 157_680_000));
    let life = lifetime(&granted.stated);
    assert_eq!(life.ms, Some(157_680_000_000));
    assert_eq!(life.lies, vec![Lie::ExpiresInIsEpoch]);
}

#[test]
fn json_refresh_reads_and_writes_the_names_it_is_told() {
    let fields = JsonFields {
        send_refresh: "refreshToken".into(),
        access: "/data/tokens/0/value".into(),
        refresh: "data.refresh".into(),
        expires_in: "data.ttl".into(),
        ..JsonFields::default()
    };
    let mut server = server(Dialect::JsonRefresh(fields.clone()));
    server.extra_refresh_params = vec![("app".into(), "till".into())];
    let start = |client: &Client| {
        let (_, request) =
            Exchange::refresh(&server, client, &Secret::new("r"), None, false, &ctx())
                .expect("a request");
        assert_manners(&request);
        request
    };
    let request = start(&Client::public("c"));
    assert_eq!(body(&request), value!({"refreshToken": "r", "app": "till"}));
    let request = start(&client(ClientAuth::Post));
    assert_eq!(
        body(&request),
        value!({"refreshToken": "r", "app": "till", "client_id": "till 7", "client_secret": "s%c:r+t/1"})
    );
    assert!(header(&start(&client(ClientAuth::Basic)), "authorization").is_some());

    let answer = r#"{"data":{"tokens":[{"value":"a"}],"refresh":"r2","ttl":"60"}}"#;
    let found = granted(refresh_ends(
        Dialect::JsonRefresh(fields),
        &json(201, answer),
    ));
    assert_eq!(found.access.expose(), "a");
    assert_eq!(exposed(found.refresh.as_ref()), Some("r2"));
    assert_eq!(found.stated.expires_in, Some(60));

    // The usual names need no configuration.
    for answer in [
        r#"{"access_token":"a","refresh_token":"r2","expires_in":60}"#,
        r#"{"accessToken":"a","refreshToken":"r2","expiresIn":60}"#,
        r#"{"access":"a","refresh":"r2","expires_in":60}"#,
    ] {
        let found = granted(refresh_ends(
            Dialect::JsonRefresh(JsonFields::default()),
            &json(200, answer),
        ));
        assert_eq!(found.access.expose(), "a");
        assert_eq!(exposed(found.refresh.as_ref()), Some("r2"));
        assert_eq!(found.stated.expires_in, Some(60));
    }
}
