//! What single answers mean, one test per promise.
#![allow(clippy::unwrap_used)] // Profiles named here are shipped.

use tenure_core::{Class, Code, Heal, Who};
use tenure_diagnose::{
    Grant, Local, Sent, TokenFailure, TransportFault, TransportKind, Verdict, classify_token,
    profile, refresh_failed_because,
};
use tenure_wire::{Refusal, RetryAfter, Unusable};

fn local() -> Local {
    Local {
        token_sent: true,
        has_refresh: true,
        session: "shop".to_owned(),
        now_s: Some(1_000),
        ..Local::default()
    }
}

fn refusal(status: u16, error: &str, description: &str) -> Refusal {
    let owned = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Refusal {
        status,
        error: owned(error),
        description: owned(description),
        sub: None,
        retry_after: None,
        body: String::new(),
    }
}

fn token(name: &str, status: u16, error: &str, description: &str) -> Verdict {
    classify_token(
        profile(name).unwrap(),
        TokenFailure::Refused(&refusal(status, error, description)),
        &local(),
    )
}

/// Asserts a final verdict of this code, and gives its failure.
#[track_caller]
fn ends(verdict: Verdict, code: Code) -> tenure_core::Failure {
    match verdict {
        Verdict::Final { failure } => {
            assert_eq!(failure.code, code, "{failure:?}");
            failure
        }
        Verdict::Passing { failure, .. } => panic!("not final: {failure:?}"),
    }
}

#[track_caller]
fn passes(verdict: Verdict) -> (tenure_core::Failure, Option<u64>, Sent) {
    match verdict {
        Verdict::Passing {
            failure,
            retry_after_s,
            sent,
        } => (failure, retry_after_s, sent),
        Verdict::Final { failure } => panic!("final: {failure:?}"),
    }
}

#[test]
fn invalid_grant_by_its_description() {
    let failure = ends(
        token(
            "oauth2",
            400,
            "invalid_grant",
            "The refresh token has expired.",
        ),
        Code::RefreshExpired,
    );
    assert_eq!((failure.heal, failure.who), (Heal::Relogin, Who::User));
    assert_eq!(failure.command.as_deref(), Some("tenure login shop"));
    assert!(failure.rule.starts_with("text."));
    ends(
        token("oauth2", 400, "invalid_grant", "Token was revoked"),
        Code::RefreshRevoked,
    );
    ends(
        token("oauth2", 400, "invalid_grant", "Refresh token already used"),
        Code::RefreshReused,
    );
    ends(
        token("oauth2", 400, "invalid_grant", ""),
        Code::RefreshInvalid,
    );
    ends(
        token("keycloak", 400, "invalid_grant", "Session not active"),
        Code::SessionEnded,
    );
    ends(
        token(
            "salesforce",
            400,
            "invalid_grant",
            "expired access/refresh token",
        ),
        Code::RefreshExpired,
    );
    ends(
        token("salesforce", 400, "invalid_grant", "inactive user"),
        Code::AccountDisabled,
    );
    ends(
        token(
            "okta",
            400,
            "invalid_grant",
            "The refresh token is invalid or expired.",
        ),
        Code::RefreshInvalid,
    );
}

#[test]
fn a_known_expiry_makes_a_bare_refusal_an_expiry() {
    let refusal = refusal(400, "invalid_grant", "");
    let verdict = classify_token(
        profile("oauth2").unwrap(),
        TokenFailure::Refused(&refusal),
        &Local {
            refresh_expired: true,
            ..local()
        },
    );
    ends(verdict, Code::RefreshExpired);
}

#[test]
fn the_operators_failures() {
    let failure = ends(
        token(
            "oauth2",
            401,
            "invalid_client",
            "Client authentication failed",
        ),
        Code::ClientRejected,
    );
    assert_eq!(
        (failure.heal, failure.who, failure.command),
        (Heal::FixConfig, Who::Operator, None)
    );
    ends(
        token("oauth2", 400, "unauthorized_client", ""),
        Code::ClientNotAllowed,
    );
    ends(
        token("oauth2", 400, "invalid_scope", ""),
        Code::InvalidRequest,
    );
    ends(
        token(
            "oauth2",
            400,
            "unauthorized_client",
            "refresh_token is invalid",
        ),
        Code::RefreshInvalid,
    );
    ends(
        token("oauth2", 400, "invalid_request", "Refresh token expired."),
        Code::RefreshExpired,
    );
}

#[test]
fn microsoft_numbers_decide_whatever_stands_in_suberror() {
    let cases = [
        (
            "AADSTS700082: The refresh token has expired due to inactivity.",
            Code::RefreshExpired,
        ),
        (
            "AADSTS50173: The provided grant has expired due to it being revoked.",
            Code::RefreshRevoked,
        ),
        (
            "AADSTS50076: Due to a configuration change you must use multi-factor authentication.",
            Code::StrongerSignIn,
        ),
        (
            "AADSTS65001: The user or administrator has not consented.",
            Code::ConsentRequired,
        ),
        (
            "AADSTS50057: The user account is disabled.",
            Code::AccountDisabled,
        ),
        (
            "AADSTS7000222: The provided client secret keys are expired.",
            Code::ClientRejected,
        ),
        (
            "AADSTS53003: Access has been blocked by Conditional Access policies.",
            Code::AccountDisabled,
        ),
    ];
    for (text, code) in cases {
        let mut refusal = refusal(400, "invalid_grant", text);
        refusal.sub = Some("basic_action".to_owned());
        let verdict = classify_token(
            profile("entra-id").unwrap(),
            TokenFailure::Refused(&refusal),
            &local(),
        );
        ends(verdict, code);
    }
    let (failure, ..) = passes(token(
        "entra-id",
        400,
        "invalid_grant",
        "AADSTS50196: client request loop",
    ));
    assert_eq!(failure.code, Code::RateLimited);
}

#[test]
fn providers_that_refuse_with_200() {
    ends(
        token("slack", 200, "invalid_refresh_token", ""),
        Code::RefreshInvalid,
    );
    ends(
        token("slack", 200, "token_revoked", ""),
        Code::RefreshRevoked,
    );
    ends(
        token(
            "github",
            200,
            "bad_refresh_token",
            "The refresh token passed is incorrect or expired.",
        ),
        Code::RefreshInvalid,
    );
    ends(
        token("wcpos", 200, "invalid_grant", "Expired token"),
        Code::RefreshExpired,
    );
    ends(
        token(
            "wcpos",
            200,
            "invalid_grant",
            "Refresh token has been revoked",
        ),
        Code::RefreshRevoked,
    );
    ends(
        token("wcpos", 200, "invalid_grant", "User not found"),
        Code::AccountDisabled,
    );
    let mut google = refusal(400, "invalid_grant", "reauth related error (invalid_rapt)");
    google.sub = Some("invalid_rapt".to_owned());
    ends(
        classify_token(
            profile("google").unwrap(),
            TokenFailure::Refused(&google),
            &local(),
        ),
        Code::StrongerSignIn,
    );
}

#[test]
fn wordpress_plugins() {
    ends(
        token(
            "wordpress-usefulteam",
            401,
            "jwt_auth_obsolete_refresh_token",
            "Refresh token is obsolete.",
        ),
        Code::RefreshReused,
    );
    ends(
        token(
            "wordpress-usefulteam",
            401,
            "jwt_auth_expired_refresh_token",
            "",
        ),
        Code::RefreshExpired,
    );
    passes(token(
        "wordpress-usefulteam",
        401,
        "jwt_auth_no_auth_cookie",
        "",
    ));
    ends(
        token(
            "wordpress-simple-jwt-login",
            401,
            "error_code:51",
            "Invalid refresh token.",
        ),
        Code::RefreshInvalid,
    );
    ends(
        token(
            "wordpress-simple-jwt-login-3",
            401,
            "error_code:50",
            "too old",
        ),
        Code::RefreshExpired,
    );
    ends(
        token("wordpress-simple-jwt-login", 401, "error_code:55", ""),
        Code::RefreshRevoked,
    );
    passes(token(
        "wordpress-simple-jwt-login",
        403,
        "error_code:81",
        "Refresh is disabled",
    ));
    ends(
        token(
            "wordpress-tmeister",
            403,
            "[jwt_auth] incorrect_password",
            "wrong",
        ),
        Code::InvalidCredentials,
    );
    for name in [
        "wcpos",
        "wordpress-tmeister",
        "wordpress-usefulteam",
        "wordpress-simple-jwt-login",
    ] {
        let (failure, ..) = passes(token(name, 404, "rest_no_route", "No route was found"));
        assert_eq!(failure.heal, Heal::FixConfig, "{name}");
        passes(token(
            name,
            403,
            "rest_forbidden",
            "Sorry, you are not allowed to do that.",
        ));
    }
    let (failure, ..) = passes(token(
        "wcpos",
        403,
        "jwt_auth_invalid_token",
        "Signature verification failed",
    ));
    assert_eq!(failure.cause, "other_jwt_plugin_answered");
}

#[test]
fn nothing_that_can_pass_is_final() {
    // Even the sharpest words prove nothing when the server was failing, throttling, or somebody else spoke (I5).
    for (status, error) in [
        (429, "invalid_grant"),
        (500, "invalid_grant"),
        (503, "temporarily_unavailable"),
        (400, "slow_down"),
        (409, "conflict"),
        (404, "invalid_grant"),
        (418, "invalid_grant"),
        (302, "invalid_grant"),
    ] {
        passes(token("oauth2", status, error, "The refresh token expired"));
    }
    for status in [200, 302, 400, 401, 403, 404, 407, 429, 500, 502, 511, 522] {
        for why in ["html", "empty", "not_json", "no_access_token", "redirect"] {
            let unusable = Unusable {
                status,
                why,
                retry_after: None,
                location: None,
                body_start: "<html>invalid_grant</html>".to_owned(),
            };
            let (failure, _, sent) = passes(classify_token(
                profile("oauth2").unwrap(),
                TokenFailure::Unusable(&unusable),
                &local(),
            ));
            assert_ne!(failure.heal, Heal::Relogin);
            assert_eq!(
                sent == Sent::Maybe,
                status == 200 || status >= 500,
                "{status}"
            );
        }
    }
    let (failure, ..) = passes(token(
        "oauth2",
        400,
        "invalid_token",
        "The refresh token expired",
    ));
    assert_eq!(
        (failure.code, failure.heal),
        (Code::RefreshFailed, Heal::RetryLater),
        "unproven: {failure:?}"
    );
    assert_eq!(failure.root().code, Code::RefreshExpired);
    assert_eq!(failure.command, None);
}

#[test]
fn retry_after_in_both_forms() {
    for (after, expected) in [
        (RetryAfter::Seconds(7), Some(7)),
        (RetryAfter::At(1_120), Some(120)),
        (RetryAfter::At(900), None),
    ] {
        let refusal = Refusal {
            retry_after: Some(after),
            ..refusal(429, "too_many_requests", "")
        };
        let (failure, wait, sent) = passes(classify_token(
            profile("oauth2").unwrap(),
            TokenFailure::Refused(&refusal),
            &local(),
        ));
        assert_eq!(
            (failure.code, wait, sent),
            (Code::RateLimited, expected, Sent::Answered)
        );
    }
}

#[test]
fn transport_faults_pass_and_say_whether_anything_left() {
    let kinds = [
        (TransportKind::Timeout, Code::ConnectionTimeout),
        (TransportKind::Refused, Code::ConnectionRefused),
        (TransportKind::Reset, Code::ConnectionReset),
        (TransportKind::Dns, Code::DnsFailed),
        (TransportKind::Tls, Code::TlsError),
        (TransportKind::Unreachable, Code::NetworkUnreachable),
        (TransportKind::Offline, Code::DeviceOffline),
        (TransportKind::Other, Code::ConnectionReset),
    ];
    for (kind, code) in kinds {
        for sent in [false, true] {
            let fault = TransportFault {
                kind,
                sent,
                detail: "os error".to_owned(),
            };
            let (failure, wait, was_sent) = passes(classify_token(
                profile("oauth2").unwrap(),
                TokenFailure::Transport(&fault),
                &local(),
            ));
            assert_eq!(
                (failure.code, failure.title.as_str(), wait),
                (code, code.title(), None)
            );
            assert_eq!(was_sent, if sent { Sent::Maybe } else { Sent::No });
            assert!(failure.page.ends_with(code.as_str()));
        }
    }
}

#[test]
fn a_lost_reply_is_named_where_tokens_are_spent() {
    let lost = Local {
        unknown_outcome: true,
        ..local()
    };
    let refused = refusal(400, "invalid_grant", "already used");
    let of = |name: &str, refusal: &Refusal| {
        classify_token(
            profile(name).unwrap(),
            TokenFailure::Refused(refusal),
            &lost,
        )
    };
    let failure = ends(of("oauth2", &refused), Code::ReplyLost);
    assert_eq!(failure.because.as_ref().unwrap().code, Code::RefreshReused);
    assert_eq!(failure.heal, Heal::Relogin);
    // A server that does not rotate lost nothing, and a refused client has nothing to do with it.
    ends(
        of(
            "wcpos",
            &refusal(200, "invalid_grant", "Refresh token has been revoked"),
        ),
        Code::RefreshRevoked,
    );
    ends(
        of("oauth2", &refusal(401, "invalid_client", "")),
        Code::ClientRejected,
    );
}

#[test]
fn the_chain_a_caller_sees() {
    let specific = ends(
        token(
            "oauth2",
            400,
            "invalid_grant",
            "The refresh token has expired.",
        ),
        Code::RefreshExpired,
    );
    let chain = refresh_failed_because(specific);
    assert_eq!(
        chain.to_string(),
        "API02007 Token Refresh Failed because of API02009 Refresh Token Expired"
    );
    assert_eq!(
        (chain.heal, chain.command.as_deref()),
        (Heal::Relogin, Some("tenure login shop"))
    );
}

#[test]
fn at_other_grants_the_input_is_meant() {
    for (grant, class) in [
        (Grant::AuthorizationCode, Class::BadRequest),
        (Grant::Password, Class::LoginRejected),
    ] {
        let refusal = refusal(400, "invalid_grant", "");
        let verdict = classify_token(
            profile("oauth2").unwrap(),
            TokenFailure::Refused(&refusal),
            &Local { grant, ..local() },
        );
        assert_eq!(
            (verdict.failure().class, verdict.failure().heal),
            (class, Heal::Relogin)
        );
    }
}

#[test]
fn secrets_in_refusals_are_never_shown() {
    const CANARY: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeS0wMQ";
    let said = format!("The refresh token {CANARY} has expired");
    let mut refused = refusal(400, "invalid_grant", &said);
    refused.sub = Some(CANARY.to_owned());
    let verdict = classify_token(
        profile("oauth2").unwrap(),
        TokenFailure::Refused(&refused),
        &local(),
    );
    let chain = refresh_failed_because(verdict.failure().clone());
    let fault = TransportFault {
        kind: TransportKind::Other,
        sent: true,
        detail: said.clone(),
    };
    let broken = classify_token(
        profile("oauth2").unwrap(),
        TokenFailure::Transport(&fault),
        &local(),
    );
    let shown = [
        format!("{verdict:?} {chain:?} {chain}"),
        format!("{broken:?}"),
        serde_json::to_string(&chain).unwrap(),
    ];
    for text in shown {
        assert!(
            !text.contains(CANARY) && !text.contains("eyJzdWIi"),
            "{text}"
        );
    }
}

#[test]
fn plain_refresh_apis_refuse_by_their_code_alone() {
    for (error, code) in [
        ("refresh_token_invalid", Code::RefreshInvalid),
        ("refresh_token_expired", Code::RefreshExpired),
        ("refresh_token_reused", Code::RefreshReused),
        ("refresh_token_revoked", Code::RefreshRevoked),
    ] {
        ends(token("json-refresh", 401, error, ""), code);
    }
    passes(token("json-refresh", 400, "refresh_token_missing", ""));
    passes(token("json-refresh", 401, "try_again", ""));
    let local = Local {
        grant: Grant::Password,
        ..local()
    };
    let refused = refusal(401, "invalid_credentials", "");
    let verdict = classify_token(
        profile("json-refresh").unwrap(),
        TokenFailure::Refused(&refused),
        &local,
    );
    ends(verdict, Code::InvalidCredentials);
}

#[test]
fn a_redirect_says_where_it_leads() {
    let led = |location: &str| {
        let unusable = Unusable {
            status: 302,
            why: "redirect",
            retry_after: None,
            location: Some(location.to_owned()),
            body_start: String::new(),
        };
        let answer = TokenFailure::Unusable(&unusable);
        let (failure, ..) = passes(classify_token(profile("oauth2").unwrap(), answer, &local()));
        assert!(
            failure.evidence.iter().any(|fact| fact.kind == "location"),
            "{failure:?}"
        );
        failure.root().cause.clone()
    };
    assert_eq!(led("http://portal.hotel.example/welcome"), "captive_portal");
    assert_eq!(led("https://id.example/login"), "redirect_to_login");
    assert_eq!(led("https://elsewhere.example/"), "redirected");
}

/// What our own issuer answers: a sentence, and the code beside it.
fn own_issuer(code: &str, sentence: &str) -> Refusal {
    Refusal {
        body: format!(
            r#"{{"error":"invalid_grant","error_description":"{sentence}","tenure":{{"code":"{code}","class":"x","heal":"relogin"}}}}"#
        ),
        ..refusal(400, "invalid_grant", sentence)
    }
}

#[test]
fn the_own_issuers_code_outranks_its_sentence_and_is_final() {
    for (code, sentence) in [
        (Code::RefreshInvalid, "The refresh token is unknown here."),
        (Code::RefreshExpired, "The login is over."),
        (Code::RefreshRevoked, "The session was logged out."),
        (
            Code::RefreshReused,
            "The refresh token was replaced at least two generations ago. The session has been ended.",
        ),
        (Code::AccountDisabled, "The account is disabled."),
        (
            Code::ClientNotAllowed,
            "This was issued to another client. Nothing was spent.",
        ),
    ] {
        let verdict = classify_token(
            profile("tenure").unwrap(),
            TokenFailure::Refused(&own_issuer(code.as_str(), sentence)),
            &local(),
        );
        let failure = ends(verdict, code);
        assert!(failure.rule.starts_with("tenure."), "{failure:?}");
    }
}

#[test]
fn an_imported_token_that_is_refused_was_used_elsewhere() {
    let imported = Local {
        imported: true,
        ..local()
    };
    let verdict = |name: &str| {
        let refusal = refusal(400, "invalid_grant", "");
        classify_token(
            profile(name).unwrap(),
            TokenFailure::Refused(&refusal),
            &imported,
        )
    };
    let failure = ends(verdict("tenure"), Code::RefreshInvalid);
    assert!(
        failure.detail.contains("came with an import"),
        "{failure:?}"
    );
    // Where tokens do not rotate, nobody can have used this one up.
    let failure = ends(verdict("google"), Code::RefreshInvalid);
    assert!(!failure.detail.contains("import"), "{failure:?}");
}
