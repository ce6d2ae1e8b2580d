//! RFC 6749 §5.2 and the codes OpenID Connect and RFC 8628 add.

use tenure_core::{Class, Heal, Who};

use super::super::finding::Finding;
use super::super::text;
use super::Answer;
use crate::classify::Grant;

pub(super) fn rule(answer: &Answer<'_>) -> Option<Finding> {
    if !answer.may_refuse() {
        return None;
    }
    match answer.error.as_str() {
        "invalid_grant" => Some(invalid_grant(answer)),
        "invalid_client" => Some(invalid_client(answer)),
        "unauthorized_client" => Some(unauthorized_client(answer)),
        "unsupported_grant_type" => Some(Finding::proven(
            Class::BadRequest,
            "grant_type_unsupported",
            "rfc6749.unsupported_grant_type",
        )),
        "invalid_scope" | "invalid_request" => Some(invalid_request(answer)),
        "consent_required" => Some(Finding::proven(
            Class::ConsentRequired,
            "consent_missing",
            "oidc.consent_required",
        )),
        "interaction_required" => Some(Finding::proven(
            Class::StepUpRequired,
            "interaction_required",
            "oidc.interaction_required",
        )),
        "login_required" if text::blames_refresh_token(&answer.text) => {
            Some(of_text(answer, "oidc.login_required"))
        }
        "login_required" => Some(Finding::proven(
            Class::SessionEnded,
            "no_sso_session",
            "oidc.login_required",
        )),
        "authorization_pending" => Some(
            Finding::passing(
                Class::NotAuth,
                "device_authorization_pending",
                "rfc8628.pending",
            )
            .heal(Heal::RetryLater, Who::User),
        ),
        "use_dpop_nonce" => Some(
            Finding::passing(Class::BadRequest, "dpop_nonce_required", "rfc9449.nonce")
                .heal(Heal::RetryLater, Who::Tenure),
        ),
        // RFC 8628 defines it for device codes; some servers use it for refresh tokens.
        "expired_token" if answer.local.grant == Grant::DeviceCode => Some(
            Finding::proven(Class::BadRequest, "device_code_expired", "rfc8628.expired")
                .heal(Heal::Relogin, Who::User),
        ),
        // An RFC 6750 code at a token endpoint: it names the token, but the endpoint may not be the right one.
        "invalid_token" | "token_inactive" => Some(Finding {
            proven: false,
            ..of_text(answer, "rfc6750.at_token_endpoint")
        }),
        "access_denied" => Some(access_denied(answer)),
        _ => None,
    }
}

fn invalid_grant(answer: &Answer<'_>) -> Finding {
    let local = answer.local;
    let found = of_text(answer, "rfc6749.invalid_grant");
    if let Some(offset) = local.clock_is_off()
        && answer.text.contains("not active")
        && !local.refresh_expired
        && offset != 0
    {
        return Finding::passing(
            Class::ClockSkew,
            "refresh_token_not_active_and_clock_off",
            "rfc6749.invalid_grant.clock",
        );
    }
    if found.class == Class::RefreshInvalid && local.refresh_expired {
        return Finding::proven(
            Class::RefreshExpired,
            "refresh_token_expired",
            "rfc6749.invalid_grant.local_expiry",
        );
    }
    found
}

/// What the description says; a refusal without one is a refusal all the same.
fn of_text(answer: &Answer<'_>, rule: &'static str) -> Finding {
    let (class, cause) =
        text::refresh(&answer.text).unwrap_or((Class::RefreshInvalid, "grant_unspecified"));
    match class {
        // Neither clocks nor collisions say anything lasting about the token.
        Class::ClockSkew | Class::ServerError => Finding::passing(class, cause, rule),
        _ => Finding::proven(class, cause, rule),
    }
}

fn invalid_client(answer: &Answer<'_>) -> Finding {
    if text::has(
        &answer.text,
        &[
            "time range",
            "issued in the future",
            "not yet valid",
            "'exp' claim",
            "'iat'",
        ],
    ) {
        return Finding::passing(
            Class::ClockSkew,
            "client_assertion_outside_time_range",
            "rfc6749.invalid_client.clock",
        );
    }
    let cause = if answer.text.contains("expired") {
        "client_secret_expired"
    } else {
        "client_credentials_wrong"
    };
    Finding::proven(Class::ClientInvalid, cause, "rfc6749.invalid_client")
}

fn unauthorized_client(answer: &Answer<'_>) -> Finding {
    if text::blames_refresh_token(&answer.text)
        || text::has(&answer.text, &["unable to parse refresh token"])
    {
        return of_text(answer, "rfc6749.unauthorized_client.refresh_token");
    }
    if text::has(
        &answer.text,
        &["secret", "credentials", "authorization header"],
    ) {
        return Finding::proven(
            Class::ClientInvalid,
            "client_credentials_wrong",
            "rfc6749.unauthorized_client.credentials",
        );
    }
    Finding::proven(
        Class::ClientUnauthorized,
        "grant_type_not_allowed",
        "rfc6749.unauthorized_client",
    )
}

fn invalid_request(answer: &Answer<'_>) -> Finding {
    if text::says_not_sent(&answer.text) && !answer.text.contains("concurrent") {
        return Finding::passing(
            Class::BadRequest,
            "refresh_token_not_sent",
            "rfc6749.invalid_request.missing",
        );
    }
    if text::blames_refresh_token(&answer.text)
        || text::has(&answer.text, &["concurrent", "please retry"])
    {
        return of_text(answer, "rfc6749.invalid_request.refresh_token");
    }
    let cause = if answer.error == "invalid_scope" {
        "scope_refused"
    } else {
        "request_malformed"
    };
    let found = Finding::proven(Class::BadRequest, cause, "rfc6749.invalid_request");
    // RFC 6749 §5.2 answers these two with 400; with another status something else may be speaking.
    Finding {
        proven: answer.status == 400,
        ..found
    }
}

/// RFC 6749 defines it for the authorization endpoint only: at the token endpoint everybody means his own.
fn access_denied(answer: &Answer<'_>) -> Finding {
    if answer.status == 401 && answer.text == "unauthorized" {
        let found = Finding::proven(
            Class::ClientInvalid,
            "client_secret_wrong",
            "auth0.access_denied",
        );
        return Finding {
            proven: answer.profile.name == "auth0",
            ..found
        };
    }
    Finding::passing(
        Class::Unknown,
        "refused_without_reason",
        "token.access_denied",
    )
}
