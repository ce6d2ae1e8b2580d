//! What an API's answer means, rule by rule.
#![allow(clippy::unwrap_used)] // Profiles named here are shipped.

use http::{HeaderMap, HeaderValue};
use tenure_core::{Class, Code, Heal};
use tenure_diagnose::{ApiVerdict, Local, Seen, classify_api, profile};

fn local() -> Local {
    Local {
        token_sent: true,
        has_refresh: true,
        session: "shop".to_owned(),
        now_s: Some(1_000),
        ..Local::default()
    }
}

fn api_as(
    name: &str,
    status: u16,
    challenge: &str,
    body: &str,
    local: &Local,
) -> Option<ApiVerdict> {
    let mut headers = HeaderMap::new();
    if !challenge.is_empty() {
        headers.insert(
            "www-authenticate",
            HeaderValue::from_str(challenge).unwrap(),
        );
    }
    classify_api(
        profile(name).unwrap(),
        &Seen {
            status,
            headers: &headers,
            body_start: body.as_bytes(),
        },
        local,
    )
}

fn api(status: u16, challenge: &str, body: &str) -> Option<ApiVerdict> {
    api_as("oauth2", status, challenge, body, &local())
}

#[track_caller]
fn refused(verdict: Option<ApiVerdict>, code: Code) {
    let verdict = verdict.expect("about the token");
    assert_eq!(
        (verdict.failure.code, verdict.refused),
        (code, true),
        "{:?}",
        verdict.failure
    );
}

#[track_caller]
fn failed(verdict: Option<ApiVerdict>, code: Code) {
    let verdict = verdict.expect("a failure");
    assert_eq!(
        (verdict.failure.code, verdict.refused),
        (code, false),
        "{:?}",
        verdict.failure
    );
}

#[test]
fn challenges_of_rfc_6750_and_its_family() {
    refused(
        api(
            401,
            r#"Bearer realm="x", error="invalid_token", error_description="The access token expired""#,
            "",
        ),
        Code::TokenExpired,
    );
    refused(
        api(401, r#"Basic realm="a", Bearer error="invalid_token""#, ""),
        Code::TokenInvalid,
    );
    refused(
        api(
            401,
            r#"Bearer error="invalid_token", error_description="The signature is invalid""#,
            "",
        ),
        Code::SigningKeyChanged,
    );
    failed(
        api(
            403,
            r#"Bearer error="insufficient_scope", scope="orders""#,
            "",
        ),
        Code::InsufficientPermissions,
    );
    failed(
        api(401, r#"Bearer error="insufficient_scope""#, ""),
        Code::InsufficientPermissions,
    );
    failed(
        api(
            401,
            r#"Bearer error="insufficient_user_authentication", acr_values="mfa""#,
            "",
        ),
        Code::StrongerSignIn,
    );
    failed(
        api(401, r#"DPoP error="use_dpop_nonce""#, ""),
        Code::InvalidRequest,
    );
    assert_eq!(api(401, r#"Basic realm="Staging""#, ""), None);
    assert_eq!(api(401, "Negotiate", ""), None);
}

#[test]
fn a_session_said_to_be_over_is_refreshed_once_before_a_login() {
    let said = r#"{"message":"Your session has expired. Please log in again."}"#;
    let first = api_as("oauth2", 401, "", said, &local()).unwrap();
    assert_eq!(
        (first.failure.class, first.failure.heal, first.refused),
        (Class::SessionEnded, Heal::Refresh, true)
    );
    let refreshed = Local {
        just_refreshed: true,
        ..local()
    };
    let again = api_as("oauth2", 401, "", said, &refreshed).unwrap();
    assert_eq!((again.failure.heal, again.refused), (Heal::Relogin, false));
    // A code that names the login session of an identity provider leaves nothing to try.
    let ended = r#"{"code":"session_not_found","message":"Session from session_id claim in JWT does not exist"}"#;
    let ended = api_as("oauth2", 403, "", ended, &local()).unwrap();
    assert_eq!((ended.failure.heal, ended.refused), (Heal::Relogin, false));
}

#[test]
fn a_bare_401_is_judged_by_what_is_known_locally() {
    let with = |token_sent, token_expired| Local {
        token_sent,
        token_expired,
        ..local()
    };
    refused(
        api_as("oauth2", 401, "", "", &with(true, None)),
        Code::Unrecognised,
    );
    refused(
        api_as("oauth2", 401, "", "{}", &with(true, Some(true))),
        Code::TokenExpired,
    );
    failed(
        api_as("oauth2", 401, "", "", &with(false, None)),
        Code::AuthRequired,
    );
    // A Bearer challenge without an error: the server saw no token (RFC 6750 §3.1), or is short of words.
    refused(
        api_as("oauth2", 401, "Bearer", "", &with(true, Some(false))),
        Code::HeaderLost,
    );
    let nothing_to_refresh = Local {
        has_refresh: false,
        ..local()
    };
    let verdict = api_as("oauth2", 401, "", "", &nothing_to_refresh).unwrap();
    assert_eq!(
        (verdict.failure.heal, verdict.failure.command.as_deref()),
        (Heal::Relogin, Some("tenure login shop"))
    );
    let foreign = Local {
        token_issuer: Some("https://a".into()),
        issuer: Some("https://b/".into()),
        ..local()
    };
    failed(api_as("oauth2", 401, "", "", &foreign), Code::WrongServer);
}

#[test]
fn codes_and_sentences_in_bodies() {
    refused(
        api(401, "", r#"{"error":"token_expired"}"#),
        Code::TokenExpired,
    );
    refused(
        api(403, "", r#"{"error":"token_expired"}"#),
        Code::TokenExpired,
    );
    refused(
        api(401, "", r#"{"message":"jwt expired"}"#),
        Code::TokenExpired,
    );
    refused(
        api(401, "", r#"{"errors":[{"code":"ACCESS_TOKEN_REVOKED"}]}"#),
        Code::AccessTokenRevoked,
    );
    refused(
        api_as(
            "slack",
            200,
            "",
            r#"{"ok":false,"error":"token_expired"}"#,
            &local(),
        ),
        Code::TokenExpired,
    );
    assert_eq!(
        api(200, "", r#"{"ok":false,"error":"token_expired"}"#),
        None,
        "only where the profile says so"
    );
}

#[test]
fn wordpress_403_and_401() {
    let tmeister = |message: &str| {
        let body = format!(
            r#"{{"code":"jwt_auth_invalid_token","message":"{message}","data":{{"status":403}}}}"#
        );
        api_as("wordpress-tmeister", 403, "", &body, &local())
    };
    refused(tmeister("Expired token"), Code::TokenExpired);
    refused(
        tmeister("Signature verification failed"),
        Code::SigningKeyChanged,
    );
    failed(
        tmeister("Cannot handle token prior to 2024-05-14T09:30:00+0000"),
        Code::NotYetValid,
    );
    let skewed = Local {
        clock_offset_ms: -900_000,
        ..local()
    };
    let body = r#"{"code":"jwt_auth_invalid_token","message":"Cannot handle token with nbf prior to 2024"}"#;
    failed(
        api_as("wordpress-tmeister", 403, "", body, &skewed),
        Code::ClockSkew,
    );
    failed(
        api(
            403,
            "",
            r#"{"code":"jwt_auth_bad_iss","message":"The iss do not match with this server"}"#,
        ),
        Code::WrongServer,
    );
    failed(
        api(
            403,
            "",
            r#"{"code":"woocommerce_rest_cannot_view","message":"Sorry"}"#,
        ),
        Code::UserNotAuthorized,
    );
    refused(
        api_as(
            "wcpos",
            401,
            "",
            r#"{"code":"woocommerce_pos_rest_unauthorized","message":"Authentication required."}"#,
            &local(),
        ),
        Code::Unrecognised,
    );
    let reason = r#"{"code":"woocommerce_pos_rest_unauthorized","message":"x","data":{"status":401,"reason":"woocommerce_pos_auth_token_expired"}}"#;
    refused(
        api_as("wcpos", 401, "", reason, &local()),
        Code::TokenExpired,
    );
    for (number, code) in [
        (11, Code::SigningKeyChanged),
        (14, Code::TokenExpired),
        (55, Code::AccessTokenRevoked),
        (75, Code::Unrecognised),
    ] {
        let body =
            format!(r#"{{"success":false,"data":{{"message":"no","error_code":{number}}}}}"#);
        refused(
            api_as("wordpress-simple-jwt-login", 401, "", &body, &local()),
            code,
        );
    }
    failed(
        api(
            401,
            "",
            r#"{"success":false,"data":{"message":"nbf","error_code":12}}"#,
        ),
        Code::NotYetValid,
    );
}

#[test]
fn what_is_not_about_the_token() {
    for (status, body) in [
        (
            403,
            r#"{"code":"order_locked","message":"The order is locked"}"#,
        ),
        (403, r#"{"message":"Invalid CSRF token"}"#),
        (
            403,
            r#"{"code":"rest_cookie_invalid_nonce","message":"Cookie check failed"}"#,
        ),
        (400, r#"{"error":"Coupon code expired"}"#),
        (404, r#"{"code":"rest_no_route","message":"No route"}"#),
        (409, "{}"),
        (422, r#"{"message":"Validation failed"}"#),
        (200, r#"{"token_expired":true}"#),
        (403, "<html><title>403 Forbidden</title></html>"),
    ] {
        assert_eq!(api(status, "", body), None, "{status} {body}");
    }
    let page = "<html><title>Just a moment...</title><div class=cf-chl></div></html>";
    failed(api(403, "", page), Code::AnswerIntercepted);
    failed(api(429, "", ""), Code::RateLimited);
    failed(
        api(503, "", r#"{"message":"token service down"}"#),
        Code::WebsiteUnavailable,
    );
    failed(
        api(401, "", r#"{"message":"Missing scope: orders"}"#),
        Code::InsufficientPermissions,
    );
}

#[test]
fn no_token_no_refresh() {
    let anonymous = Local {
        token_sent: false,
        ..local()
    };
    for (challenge, body) in [
        ("Bearer error=\"invalid_token\"", ""),
        ("", r#"{"error":"token_expired"}"#),
        ("", ""),
    ] {
        let verdict = api_as("oauth2", 401, challenge, body, &anonymous).unwrap();
        assert!(!verdict.refused);
        assert_eq!(verdict.failure.code, Code::AuthRequired);
    }
}

#[test]
fn secrets_in_answers_are_never_shown() {
    const CANARY: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeS0wMQ";
    let said = format!("The token {CANARY} has expired");
    let body = format!(r#"{{"error":"{CANARY}","message":"{said}"}}"#);
    let challenge = format!("Bearer error=\"{CANARY}\", error_description=\"{said}\"");
    for (challenge, body) in [
        (challenge.as_str(), ""),
        ("", body.as_str()),
        (challenge.as_str(), body.as_str()),
    ] {
        let shown = format!("{:?}", api(401, challenge, body));
        assert!(
            !shown.contains(CANARY) && !shown.contains("eyJzdWIi"),
            "{shown}"
        );
    }
}

#[test]
fn a_challenge_that_names_no_error_is_worth_one_refresh() {
    let bare = api(401, "Bearer realm=\"orders\"", "");
    let verdict = bare.expect("about the token");
    assert_eq!(verdict.failure.code, Code::HeaderLost);
    assert!(verdict.refused, "the server may just be short of words");
    let without = Local {
        has_refresh: false,
        ..local()
    };
    let verdict = api_as("oauth2", 401, "Bearer", "", &without).expect("about the token");
    assert!(!verdict.refused, "there is nothing to refresh with");
}
