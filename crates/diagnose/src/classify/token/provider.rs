//! Codes of single providers that are unmistakable wherever they appear.

use tenure_core::{Class, Heal, Who};

use super::super::finding::Finding;
use super::super::text;
use super::Answer;
use crate::classify::Grant;
use crate::profile::DialectName;

/// Microsoft's numbers: class, cause, and whether it proves the end.
/// Source: <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>.
const MICROSOFT: &[(&str, Class, &str)] = &[
    (
        "aadsts50012",
        Class::ClientInvalid,
        "client_assertion_refused",
    ),
    ("aadsts50020", Class::AccountDisabled, "user_not_in_tenant"),
    (
        "aadsts50034",
        Class::AccountDisabled,
        "user_not_in_directory",
    ),
    ("aadsts50053", Class::AccountDisabled, "account_locked"),
    (
        "aadsts50055",
        Class::StepUpRequired,
        "password_expired_must_change",
    ),
    ("aadsts50057", Class::AccountDisabled, "user_disabled"),
    ("aadsts50058", Class::SessionEnded, "no_sso_session"),
    (
        "aadsts50072",
        Class::StepUpRequired,
        "mfa_enrollment_required",
    ),
    ("aadsts50074", Class::StepUpRequired, "mfa_required"),
    ("aadsts50076", Class::StepUpRequired, "mfa_required"),
    ("aadsts50078", Class::StepUpRequired, "mfa_expired"),
    (
        "aadsts50079",
        Class::StepUpRequired,
        "mfa_enrollment_required",
    ),
    ("aadsts50089", Class::SessionEnded, "flow_token_expired"),
    ("aadsts50097", Class::StepUpRequired, "device_auth_required"),
    (
        "aadsts50105",
        Class::AccountDisabled,
        "user_not_assigned_to_app",
    ),
    (
        "aadsts50126",
        Class::LoginRejected,
        "user_credentials_wrong",
    ),
    ("aadsts50132", Class::SessionEnded, "sso_session_invalid"),
    (
        "aadsts50133",
        Class::SessionEnded,
        "password_changed_or_expired",
    ),
    (
        "aadsts50144",
        Class::StepUpRequired,
        "password_expired_must_change",
    ),
    ("aadsts50158", Class::StepUpRequired, "external_challenge"),
    (
        "aadsts50173",
        Class::RefreshRevoked,
        "password_changed_or_tokens_revoked",
    ),
    (
        "aadsts50194",
        Class::WrongIssuer,
        "common_endpoint_for_single_tenant_app",
    ),
    (
        "aadsts51004",
        Class::AccountDisabled,
        "user_not_in_directory",
    ),
    (
        "aadsts53003",
        Class::AccountDisabled,
        "blocked_by_conditional_access",
    ),
    (
        "aadsts530032",
        Class::AccountDisabled,
        "blocked_by_security_policy",
    ),
    ("aadsts54005", Class::BadRequest, "auth_code_already_used"),
    ("aadsts65001", Class::ConsentRequired, "consent_missing"),
    ("aadsts65004", Class::ConsentRequired, "consent_declined"),
    (
        "aadsts70000",
        Class::RefreshInvalid,
        "grant_expired_or_consent_gone",
    ),
    (
        "aadsts70001",
        Class::ClientUnauthorized,
        "app_disabled_or_missing",
    ),
    (
        "aadsts70002",
        Class::ClientInvalid,
        "client_credentials_wrong",
    ),
    ("aadsts70008", Class::RefreshExpired, "refresh_token_idle"),
    ("aadsts70011", Class::BadRequest, "scope_unknown"),
    ("aadsts70043", Class::RefreshExpired, "sign_in_frequency"),
    (
        "aadsts700016",
        Class::ClientUnauthorized,
        "app_not_in_tenant",
    ),
    (
        "aadsts700027",
        Class::ClientInvalid,
        "client_assertion_key_unknown",
    ),
    (
        "aadsts700030",
        Class::ClientInvalid,
        "client_cert_subject_not_authorized",
    ),
    (
        "aadsts700081",
        Class::RefreshExpired,
        "refresh_token_max_age",
    ),
    ("aadsts700082", Class::RefreshExpired, "refresh_token_idle"),
    (
        "aadsts700084",
        Class::RefreshExpired,
        "spa_refresh_token_24h",
    ),
    ("aadsts7000112", Class::ClientUnauthorized, "app_disabled"),
    ("aadsts7000215", Class::ClientInvalid, "client_secret_wrong"),
    ("aadsts7000218", Class::ClientInvalid, "client_auth_missing"),
    (
        "aadsts7000222",
        Class::ClientInvalid,
        "client_secret_expired",
    ),
    ("aadsts90002", Class::WrongIssuer, "tenant_not_found"),
    ("aadsts900144", Class::BadRequest, "request_malformed"),
    ("aadsts9002313", Class::BadRequest, "request_malformed"),
    ("aadsts135010", Class::ClientInvalid, "device_key_not_found"),
    (
        "aadb2c90080",
        Class::RefreshExpired,
        "refresh_token_expired",
    ),
    (
        "aadb2c90090",
        Class::RefreshInvalid,
        "refresh_token_malformed",
    ),
    ("aadb2c90091", Class::ConsentRequired, "user_cancelled"),
    (
        "aadb2c90129",
        Class::RefreshRevoked,
        "refresh_token_revoked",
    ),
];

pub(super) fn microsoft(answer: &Answer<'_>) -> Option<Finding> {
    const RULE: &str = "entra.number";
    let number = number(answer)?;
    if !answer.may_refuse() {
        return None;
    }
    if text::has(&answer.text, &["valid time range", "time skew", "timeskew"]) {
        let finding = Finding::passing(Class::ClockSkew, "clocks_differ", "entra.clock");
        // 80013 is about a password agent of the tenant, not about this host.
        return Some(if number == "aadsts80013" {
            finding.heal(Heal::ContactAdmin, Who::ServerAdmin)
        } else {
            finding
        });
    }
    match number {
        "aadsts50196" => {
            return Some(
                Finding::passing(Class::RateLimited, "client_loop_detected", RULE)
                    .heal(Heal::FixConfig, Who::Operator),
            );
        }
        "aadsts53000" | "aadsts53001" | "aadsts53002" | "aadsts530003" => {
            return Some(
                Finding::proven(Class::StepUpRequired, "device_not_compliant", RULE)
                    .heal(Heal::ContactAdmin, Who::ServerAdmin),
            );
        }
        "aadsts90094" => {
            return Some(
                Finding::proven(Class::ConsentRequired, "admin_consent_required", RULE)
                    .heal(Heal::ContactAdmin, Who::ServerAdmin),
            );
        }
        "aadsts54005" => {
            return Some(
                Finding::proven(Class::BadRequest, "auth_code_already_used", RULE)
                    .heal(Heal::Relogin, Who::User),
            );
        }
        _ => {}
    }
    MICROSOFT
        .iter()
        .find(|(listed, _, _)| *listed == number)
        .map(|(_, class, cause)| Finding::proven(*class, cause, RULE))
}

/// Microsoft's number, from the refinement or else from the text (`suberror` may hold something else).
fn number<'a>(answer: &'a Answer<'_>) -> Option<&'a str> {
    [&answer.sub, &answer.text].into_iter().find_map(|text| {
        let start = text.find("aadsts").or_else(|| text.find("aadb2c"))?;
        let digits = text[start + 6..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        (digits > 0).then(|| &text[start..start + 6 + digits])
    })
}

/// Codes in the `error` field that can mean one thing only.
const CODES: &[(&str, Class, &str)] = &[
    // Slack (https://docs.slack.dev/reference/methods/oauth.v2.access).
    (
        "invalid_refresh_token",
        Class::RefreshInvalid,
        "refresh_token_unknown",
    ),
    (
        "token_rotation_not_enabled",
        Class::ClientUnauthorized,
        "grant_type_not_allowed",
    ),
    ("invalid_client_id", Class::ClientInvalid, "client_unknown"),
    (
        "bad_client_secret",
        Class::ClientInvalid,
        "client_secret_wrong",
    ),
    ("account_inactive", Class::AccountDisabled, "user_disabled"),
    // GitHub (https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors).
    (
        "bad_refresh_token",
        Class::RefreshInvalid,
        "invalid_or_expired",
    ),
    (
        "incorrect_client_credentials",
        Class::ClientInvalid,
        "client_credentials_wrong",
    ),
    (
        "unverified_user_email",
        Class::AccountDisabled,
        "email_not_verified",
    ),
    // Google.
    (
        "admin_policy_enforced",
        Class::AccountDisabled,
        "workspace_admin_blocks_app",
    ),
    ("disabled_client", Class::ClientInvalid, "client_disabled"),
    // Zoho, WeChat and others.
    (
        "invalid_client_secret",
        Class::ClientInvalid,
        "client_secret_wrong",
    ),
    (
        "jti_known",
        Class::ClientInvalid,
        "client_assertion_replayed",
    ),
    // Supabase Auth (errorcode.go), OpenAI and others: the code is the sentence.
    (
        "refresh_token_not_found",
        Class::RefreshInvalid,
        "refresh_token_unknown",
    ),
    (
        "refresh_token_already_used",
        Class::RefreshReused,
        "rotation_reuse",
    ),
    (
        "refresh_token_reused",
        Class::RefreshReused,
        "rotation_reuse",
    ),
    (
        "refresh_token_expired",
        Class::RefreshExpired,
        "refresh_token_expired",
    ),
    (
        "refresh_token_revoked",
        Class::RefreshRevoked,
        "refresh_token_revoked",
    ),
    ("session_not_found", Class::SessionEnded, "session_missing"),
    (
        "session_expired",
        Class::SessionEnded,
        "session_idle_timeout",
    ),
    ("user_banned", Class::AccountDisabled, "user_disabled"),
    ("user_disabled", Class::AccountDisabled, "user_disabled"),
    (
        "keymanagement.service.invalid_refresh_token",
        Class::RefreshInvalid,
        "refresh_token_unknown",
    ),
];

pub(super) fn codes(answer: &Answer<'_>) -> Option<Finding> {
    if !answer.may_refuse() {
        return None;
    }
    if matches!(answer.sub.as_str(), "invalid_rapt" | "rapt_required") {
        return Some(Finding::proven(
            Class::StepUpRequired,
            "reauth_policy",
            "google.rapt",
        ));
    }
    if answer.profile.name == "slack"
        && matches!(
            answer.error.as_str(),
            "token_revoked" | "token_expired" | "invalid_auth"
        )
    {
        let class = if answer.error == "token_expired" {
            Class::RefreshExpired
        } else {
            Class::RefreshRevoked
        };
        return Some(Finding::proven(
            class,
            "refresh_token_revoked",
            "slack.code",
        ));
    }
    if let Some((_, class, cause)) = CODES.iter().find(|(code, _, _)| *code == answer.error) {
        return Some(Finding::proven(*class, cause, "provider.code"));
    }
    free_form(answer)
}

/// Shapes without a standard: the text must name the refresh token and what is wrong with it. It proves the end
/// only for a server whose profile says that it speaks so.
fn free_form(answer: &Answer<'_>) -> Option<Finding> {
    const STANDARD: &[&str] = &[
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_request",
        "login_required",
        "invalid_token",
        "access_denied",
    ];
    if STANDARD.contains(&answer.error.as_str()) || answer.local.grant != Grant::RefreshToken {
        return None;
    }
    let named = text::blames_refresh_token(&answer.text);
    if !named
        && text::account(&answer.text).is_none()
        && !text::has(&answer.text, &["token", "jwt", "session"])
    {
        return None;
    }
    let (class, cause) = match text::refresh(&answer.text) {
        Some(found) => found,
        None if named => (Class::RefreshInvalid, "refresh_token_unknown"),
        None => return None,
    };
    let lasting = !matches!(class, Class::ClockSkew | Class::ServerError);
    let proven =
        lasting && named && answer.dialect() == DialectName::JsonRefresh && answer.status != 200;
    Some(Finding {
        proven,
        ..Finding::passing(class, cause, "token.text")
    })
}
