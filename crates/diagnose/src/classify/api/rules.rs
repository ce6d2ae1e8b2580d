//! The rules for answers of resource servers.

use tenure_core::{Class, Heal, Who};

use super::super::challenge::Challenge;
use super::super::finding::Finding;
use super::super::text as words;
use super::super::text::has;
use super::{Facts, Said, Seen};

/// Statuses under which a code or a sentence about the token is believed without the profile's word.
fn may_speak_of_tokens(facts: &Facts<'_>) -> bool {
    matches!(facts.status, 400 | 401 | 403 | 419 | 440 | 498)
        || facts.profile.refused_statuses.contains(&facts.status)
}

/// Whether a success may be somebody else's page.
pub(super) fn interceptable(seen: &Seen<'_>) -> bool {
    seen.status == 200 && seen.body_start.trim_ascii_start().starts_with(b"<")
}

pub(super) fn rate_limit(facts: &Facts<'_>) -> Option<Said> {
    let found = facts.status == 429
        || (400..=503).contains(&facts.status)
            && !facts.body.html
            && words::throttled(&facts.words())
            && !facts.words().contains("jwks");
    found.then_some(Said::Failed(Finding::passing(
        Class::RateLimited,
        "throttled",
        "api.rate_limit",
    )))
}

/// Other things are called tokens, and other things expire.
pub(super) fn something_else(facts: &Facts<'_>) -> Option<Said> {
    let coded = facts.body.code_starting("rest_cookie_").is_some()
        || facts
            .body
            .has_code(&["restnoroute", "missingauthenticationtokenexception"])
            && facts.challenges.is_empty();
    let told =
        facts.status != 401 && facts.status < 500 && words::about_something_else(&facts.words());
    (coded || told).then_some(Said::NotToken)
}

pub(super) fn intercepted(facts: &Facts<'_>) -> Option<Said> {
    let finding = |cause| Finding::passing(Class::NetworkIntercepted, cause, "api.intercepted");
    match facts.status {
        407 => {
            return Some(Said::Failed(
                finding("proxy_auth_required").heal(Heal::FixConfig, Who::Operator),
            ));
        }
        511 => return Some(Said::Failed(finding("captive_portal"))),
        _ => {}
    }
    let page = facts.body.html && matches!(facts.status, 200 | 403 | 503);
    let text = facts.words();
    let challenge = has(
        &text,
        &[
            "cf-chl",
            "just a moment",
            "captcha",
            "turnstile",
            "challenge-platform",
        ],
    );
    let wall = has(
        &text,
        &[
            "incapsula",
            "zscaler",
            "website has been blocked",
            "request forbidden by administrative rules",
            "err_access_denied",
            "err_connect_fail",
            "err_dns_fail",
        ],
    ) || has(&text, &["access denied"])
        && has(&text, &["you don't have permission to access"]);
    if page && challenge {
        return Some(Said::Failed(finding("bot_challenge")));
    }
    (page && wall)
        .then(|| Said::Failed(finding("waf_block").heal(Heal::ContactAdmin, Who::ServerAdmin)))
}

pub(super) fn server_error(facts: &Facts<'_>) -> Option<Said> {
    let text = facts.words();
    if has(&text, &["secret or public key must be provided"]) {
        let finding = Finding::passing(Class::ServerError, "server_has_no_key", "api.no_key");
        return Some(Said::Failed(
            finding.heal(Heal::ContactAdmin, Who::ServerAdmin),
        ));
    }
    if facts.status < 500 {
        return None;
    }
    // Careless servers let the exception of their JWT library escape.
    let escaped = has(
        &text,
        &[
            "jwt expired",
            "expiredexception: expired token",
            "token expired",
            "token has expired",
        ],
    );
    if facts.status == 500 && escaped && !words::about_something_else(&text) {
        return Some(Said::Refused(Finding::passing(
            Class::AccessExpired,
            "access_token_expired",
            "api.500_expired",
        )));
    }
    Some(Said::Failed(match facts.status {
        502..=504 | 521..=530 | 561 => {
            Finding::passing(Class::ServerUnavailable, "unavailable", "api.5xx")
        }
        _ if has(
            &text,
            &[
                "database connection",
                "temporarily unavailable",
                "jwks endpoint",
            ],
        ) =>
        {
            Finding::passing(Class::ServerUnavailable, "unavailable", "api.5xx.text")
        }
        _ => Finding::passing(Class::ServerError, "server_error", "api.5xx"),
    }))
}

pub(super) fn no_token_sent(facts: &Facts<'_>) -> Option<Said> {
    let asks = facts.status == 401
        || matches!(facts.status, 400 | 403)
            && has(
                &facts.words(),
                &[
                    "credentials were not provided",
                    "no access token",
                    "token is required",
                    "anonymous",
                    "missing or malformed jwt",
                ],
            );
    (!facts.local.token_sent && asks && facts.challenges.iter().all(Challenge::carries_tokens))
        .then_some(Said::Failed(missing(facts, "api.no_token_sent")))
}

/// A 401 for a token that is known to be another server's.
pub(super) fn other_issuer(facts: &Facts<'_>) -> Option<Said> {
    let (Some(token), Some(expected)) = (&facts.local.token_issuer, &facts.local.issuer) else {
        return None;
    };
    let differ = token.trim_end_matches('/') != expected.trim_end_matches('/');
    (facts.status == 401 && differ && facts.local.token_sent).then_some(Said::Failed(
        Finding::passing(Class::WrongIssuer, "issuer_mismatch", "local.issuer"),
    ))
}

/// RFC 6750 §3.1, RFC 9449 §7.1, RFC 9470.
pub(super) fn challenge_error(facts: &Facts<'_>) -> Option<Said> {
    let error = facts
        .token_challenge()?
        .param("error")?
        .to_ascii_lowercase();
    let finding = |class, cause| Finding::passing(class, cause, "rfc6750.error");
    match error.as_str() {
        "insufficient_scope" => Some(Said::Failed(finding(
            Class::InsufficientScope,
            "scope_missing",
        ))),
        "insufficient_user_authentication" => Some(Said::Failed(Finding::passing(
            Class::StepUpRequired,
            "stronger_sign_in_wanted",
            "rfc9470",
        ))),
        "use_dpop_nonce" | "invalid_dpop_proof" => Some(Said::Failed(
            Finding::passing(Class::BadRequest, "dpop_proof_refused", "rfc9449")
                .heal(Heal::RetryLater, Who::Tenure),
        )),
        "invalid_request" => Some(Said::Failed(finding(
            Class::BadRequest,
            "request_malformed",
        ))),
        "invalid_token" => Some(invalid_token(facts, "rfc6750.invalid_token")),
        _ => None,
    }
}

fn invalid_token(facts: &Facts<'_>, rule: &'static str) -> Said {
    let (class, cause) = match words::access(&facts.words()) {
        Some((Class::AccessInvalid, _)) | None if facts.local.token_expired == Some(true) => {
            (Class::AccessExpired, "access_token_expired")
        }
        Some(found) => found,
        None => (Class::AccessInvalid, "invalid_or_expired"),
    };
    let finding = Finding::passing(class, cause, rule);
    if healed_by_refresh(class) {
        Said::Refused(finding)
    } else {
        Said::Failed(finding)
    }
}

pub(super) fn healed_by_refresh(class: Class) -> bool {
    matches!(
        class,
        Class::AccessExpired
            | Class::AccessInvalid
            | Class::AccessRevoked
            | Class::KeyMismatch
            | Class::Unknown
    )
}

/// Machine codes in the body that can mean one thing only.
pub(super) fn codes(facts: &Facts<'_>) -> Option<Said> {
    if !may_speak_of_tokens(facts) {
        return None;
    }
    let is = |codes: &[&str]| facts.body.has_code(codes);
    let refused = |class, cause| Some(Said::Refused(Finding::passing(class, cause, "api.code")));
    if is(&[
        "tokenexpired",
        "expiredtoken",
        "accesstokenexpired",
        "jwtexpired",
        "expiredauthenticationtoken",
        "tokenexpirederror",
        "expiredaccesstoken",
        "expiredtokenexception",
        "authtokenexpired",
    ]) {
        return refused(Class::AccessExpired, "access_token_expired");
    }
    if is(&["tokenrevoked", "accesstokenrevoked", "revokedtoken"]) {
        return refused(Class::AccessRevoked, "access_token_revoked");
    }
    if is(&["insufficientscope", "insufficientscopes"]) {
        return Some(Said::Failed(Finding::passing(
            Class::InsufficientScope,
            "scope_missing",
            "api.code",
        )));
    }
    let invalid = is(&[
        "invalidtoken",
        "invalidaccesstoken",
        "tokennotvalid",
        "badjwt",
        "invalidjwt",
        "invalidauthenticationtoken",
        "jsonwebtokenerror",
        "invalidauth",
    ]);
    (invalid && (facts.status == 401 || facts.profile.refused_statuses.contains(&facts.status)))
        .then(|| invalid_token(facts, "api.code.invalid_token"))
}

/// Sentences. With 401 any that speaks of the token; with another status only one that names its end.
pub(super) fn text(facts: &Facts<'_>) -> Option<Said> {
    if !may_speak_of_tokens(facts) || facts.body.html {
        return None;
    }
    let rule = "api.text";
    if facts.status == 401
        && let Some(finding) = not_for_refresh(&facts.words())
    {
        return Some(Said::Failed(finding));
    }
    let (class, cause) = words::access(&facts.words())?;
    if facts.status != 401 {
        let ended = matches!(
            class,
            Class::AccessExpired
                | Class::AccessRevoked
                | Class::KeyMismatch
                | Class::NotYetValid
                | Class::ClockSkew
        ) && has(&facts.words(), &["token", "jwt"]);
        if !ended {
            return None;
        }
    }
    if class == Class::AccessMissing {
        return Some(Said::Failed(missing(facts, rule)));
    }
    let class_known = if class == Class::AccessInvalid && facts.local.token_expired == Some(true) {
        Class::AccessExpired
    } else {
        class
    };
    let finding = Finding::passing(class_known, cause, rule);
    Some(if healed_by_refresh(class_known) {
        Said::Refused(finding)
    } else {
        Said::Failed(finding)
    })
}

/// Reasons for a 401 that a fresh token of the same kind would meet again (I13).
fn not_for_refresh(text: &str) -> Option<Finding> {
    let rule = "api.text.not_for_refresh";
    if has(text, &["api key", "api_key", "apikey", "api-key"]) && !has(text, &["token", "jwt"]) {
        return Some(Finding::passing(
            Class::ClientInvalid,
            "api_key_refused",
            rule,
        ));
    }
    if has(
        text,
        &[
            "missing scope",
            "required scope",
            "insufficient scope",
            "insufficient_scope",
            "oauth scope",
            "does not have the required scopes",
        ],
    ) {
        return Some(Finding::passing(
            Class::InsufficientScope,
            "scope_missing",
            rule,
        ));
    }
    has(
        text,
        &[
            "permission denied",
            "not enough permissions",
            "sufficient permissions",
            "lacks permission",
        ],
    )
    .then(|| {
        Finding::passing(Class::InsufficientScope, "permission_missing", rule)
            .heal(Heal::ContactAdmin, Who::ServerAdmin)
    })
}

pub(super) fn redirect_to_login(facts: &Facts<'_>) -> Option<Said> {
    let location = facts
        .headers
        .get(http::header::LOCATION)?
        .to_str()
        .ok()?
        .to_ascii_lowercase();
    let login = has(
        &location,
        &[
            "/login",
            "/signin",
            "/sign-in",
            "/oauth2/",
            "openid-connect/auth",
            "/authorize",
        ],
    );
    (matches!(facts.status, 302 | 303 | 307) && login).then_some(Said::Failed(Finding::passing(
        Class::SessionEnded,
        "redirect_to_login",
        "api.redirect_to_login",
    )))
}

/// A challenge for another scheme only: something else wants a password.
pub(super) fn other_scheme(facts: &Facts<'_>) -> Option<Said> {
    let other =
        !facts.challenges.is_empty() && !facts.challenges.iter().any(Challenge::carries_tokens);
    (facts.status == 401 && other).then_some(Said::NotToken)
}

/// A web page in place of an API's answer proves nothing about the token, unless its time is over anyway.
pub(super) fn page(facts: &Facts<'_>) -> Option<Said> {
    if !facts.body.html || facts.token_challenge().is_some() {
        return None;
    }
    if facts.status == 401 && facts.local.token_sent && facts.local.token_expired == Some(true) {
        return Some(Said::Refused(bare(facts, "api.page.expired")));
    }
    if facts.status == 401 {
        return Some(Said::Failed(Finding::passing(
            Class::Unknown,
            "page_in_place_of_answer",
            "api.page",
        )));
    }
    Some(Said::NotToken)
}

pub(super) fn bare_401(facts: &Facts<'_>) -> Option<Said> {
    if facts.status != 401 {
        return None;
    }
    // RFC 6750 §3.1: no error code means that the server saw no token. A server that says so in a body has
    // its own ways; one that says nothing at all about a token that is still good most likely never saw it.
    let silent = facts.body.empty
        && facts
            .token_challenge()
            .is_some_and(|challenge| challenge.param("error").is_none());
    if silent && facts.local.token_sent && facts.local.token_expired == Some(false) {
        return Some(Said::Failed(missing(facts, "rfc6750.no_error")));
    }
    Some(Said::Refused(bare(facts, "api.bare_401")))
}

/// Rights: the token is good, the person or the client may not do this. Business rules are left alone.
pub(super) fn rights(facts: &Facts<'_>) -> Option<Said> {
    if facts.status != 403 || facts.body.html {
        return None;
    }
    let scope = has(&facts.words(), &["scope"]);
    if scope {
        return Some(Said::Failed(Finding::passing(
            Class::InsufficientScope,
            "scope_missing",
            "api.rights.scope",
        )));
    }
    let coded = facts.body.has_code(&[
        "accessdenied",
        "accessdeniedexception",
        "insufficientpermissions",
        "insufficientpermission",
        "authorizationfailed",
        "permissiondenied",
        "authorizationrequestdenied",
    ]);
    coded.then(|| {
        Said::Failed(
            Finding::passing(
                Class::InsufficientScope,
                "permission_missing",
                "api.rights.code",
            )
            .heal(Heal::ContactAdmin, Who::ServerAdmin),
        )
    })
}

/// A refusal without a reason: expired if its time is over, unknown otherwise.
pub(super) fn bare(facts: &Facts<'_>, rule: &'static str) -> Finding {
    if facts.local.token_expired == Some(true) {
        return Finding::passing(Class::AccessExpired, "access_token_expired", rule);
    }
    let finding = Finding::passing(Class::Unknown, "bare_401", rule);
    if !facts.local.token_sent {
        return missing(facts, rule);
    }
    if facts.local.can_refresh() {
        finding.heal(Heal::Refresh, Who::Tenure)
    } else {
        finding.heal(Heal::Relogin, Who::User)
    }
}

/// No token was seen: none was sent, or it got lost.
pub(super) fn missing(facts: &Facts<'_>, rule: &'static str) -> Finding {
    let cause = if facts.local.token_sent {
        "token_lost_on_the_way"
    } else {
        "no_token_sent"
    };
    Finding::passing(Class::AccessMissing, cause, rule)
}
