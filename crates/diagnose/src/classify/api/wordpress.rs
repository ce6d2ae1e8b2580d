//! The JWT plugins of WordPress, WooCommerce and WCPOS. Sources: the plugins' code, see the profiles.

use tenure_core::{Class, Heal, Who};

use super::super::finding::Finding;
use super::super::text as words;
use super::super::text::has;
use super::rules::{bare, healed_by_refresh, missing};
use super::{Facts, Said};
use crate::profile::DialectName;

/// The JWT plugins of WordPress, WooCommerce and WCPOS. Their codes are unmistakable under any profile.
pub(super) fn rule(facts: &Facts<'_>) -> Option<Said> {
    if let Some(said) = simple_jwt_login(facts) {
        return Some(said);
    }
    let text = facts.words();
    let code = [
        "jwt_auth_",
        "woocommerce_pos_",
        "woocommmerce_pos_",
        "rest_",
        "woocommerce_rest_",
    ]
    .iter()
    .find_map(|prefix| facts.body.code_starting(prefix))?;
    let refused = |class, cause| {
        Some(Said::Refused(Finding::passing(
            class,
            cause,
            "wordpress.code",
        )))
    };
    match code {
        "jwt_auth_bad_config" | "woocommerce_pos_jwt_auth_bad_config" => Some(Said::Failed(
            Finding::passing(
                Class::ServerError,
                "server_has_no_key",
                "wordpress.bad_config",
            )
            .heal(Heal::ContactAdmin, Who::ServerAdmin),
        )),
        "jwt_auth_bad_iss" | "woocommmerce_pos_auth_bad_iss" => Some(Said::Failed(
            Finding::passing(Class::WrongIssuer, "issuer_mismatch", "wordpress.bad_iss"),
        )),
        "jwt_auth_no_auth_header" => Some(Said::Failed(missing(facts, "wordpress.no_auth_header"))),
        "jwt_auth_bad_auth_header" | "jwt_auth_bad_request" => {
            Some(Said::Failed(Finding::passing(
                Class::BadRequest,
                "authorization_header_malformed",
                "wordpress.bad_header",
            )))
        }
        "jwt_auth_obsolete_token" => {
            refused(Class::AccessRevoked, "password_changed_or_device_removed")
        }
        "jwt_auth_expired_token" | "woocommerce_pos_auth_token_expired" => {
            refused(Class::AccessExpired, "access_token_expired")
        }
        "jwt_auth_token_revoked"
        | "woocommerce_pos_auth_token_revoked"
        | "woocommerce_pos_auth_session_revoked" => {
            refused(Class::AccessRevoked, "access_token_revoked")
        }
        "jwt_auth_invalid_token"
        | "woocommmerce_pos_auth_invalid_token"
        | "woocommmerce_pos_auth_invalid_token_type" => Some(judged(facts, code, &text)),
        "rest_not_logged_in" if facts.status == 401 => Some(anonymous(facts)),
        "rest_login_required" => Some(Said::Failed(
            Finding::passing(
                Class::ClientUnauthorized,
                "rest_api_closed_by_plugin",
                "wordpress.rest_closed",
            )
            .heal(Heal::ContactAdmin, Who::ServerAdmin),
        )),
        "woocommerce_rest_authentication_error" => Some(Said::Failed(Finding::passing(
            Class::ClientInvalid,
            "consumer_key_refused",
            "woocommerce.consumer_key",
        ))),
        "woocommerce_pos_rest_unauthorized" if facts.status == 401 => reason(facts),
        _ if facts.status == 403 && rights_code(code) => Some(Said::Failed(
            Finding::passing(
                Class::InsufficientScope,
                "capability_missing",
                "wordpress.rights",
            )
            .heal(Heal::ContactAdmin, Who::ServerAdmin),
        )),
        // 401 with a code of rights: nobody was recognised, so the token was not accepted or not seen.
        _ => None,
    }
}

fn rights_code(code: &str) -> bool {
    has(code, &["forbidden", "cannot_", "rest_user_"])
}

/// The sentence of php-jwt decides; in a WCPOS shop another plugin's verdict about the token means nothing.
fn judged(facts: &Facts<'_>, code: &str, text: &str) -> Said {
    let (class, cause) =
        words::access(text).unwrap_or((Class::AccessInvalid, "invalid_or_expired"));
    if facts.profile.dialect == DialectName::Wcpos && code.starts_with("jwt_auth_") {
        let finding = Finding::passing(
            Class::KeyMismatch,
            "other_jwt_plugin_answered",
            "wcpos.other_plugin",
        );
        return Said::Failed(finding.heal(Heal::ContactAdmin, Who::ServerAdmin));
    }
    let finding = Finding::passing(class, cause, "wordpress.php_jwt");
    if healed_by_refresh(class) {
        Said::Refused(finding)
    } else {
        Said::Failed(finding)
    }
}

/// WCPOS names the inner reason since 2026-09 (wcpos/woocommerce-pos#2052); before, nothing told.
fn reason(facts: &Facts<'_>) -> Option<Said> {
    if !facts.local.token_sent {
        return None;
    }
    let inner = facts
        .body
        .codes
        .iter()
        .find(|code| code.contains("_pos_auth_"))?;
    let (class, cause) = if inner.ends_with("token_expired") {
        (Class::AccessExpired, "access_token_expired")
    } else if inner.ends_with("_revoked") {
        (Class::AccessRevoked, "access_token_revoked")
    } else if inner.ends_with("bad_iss") {
        return Some(Said::Failed(Finding::passing(
            Class::WrongIssuer,
            "issuer_mismatch",
            "wcpos.reason",
        )));
    } else {
        (Class::AccessInvalid, "invalid_or_expired")
    };
    Some(Said::Refused(Finding::passing(
        class,
        cause,
        "wcpos.reason",
    )))
}

/// "Not logged in" to a request with a token: some plugins drop a bad token in silence, elsewhere it got lost.
fn anonymous(facts: &Facts<'_>) -> Said {
    let silent = matches!(
        facts.profile.dialect,
        DialectName::WordpressUsefulteam | DialectName::Wcpos
    );
    if facts.local.token_sent && (silent || facts.local.token_expired == Some(true)) {
        return Said::Refused(bare(facts, "wordpress.anonymous"));
    }
    Said::Failed(missing(facts, "wordpress.anonymous"))
}

/// Source: nicumicle/simple-jwt-login ErrorCodes.php.
fn simple_jwt_login(facts: &Facts<'_>) -> Option<Said> {
    const RULE: &str = "simple_jwt_login.code";
    let number = facts.body.plugin_number?;
    let refused = |class, cause| Some(Said::Refused(Finding::passing(class, cause, RULE)));
    let failed = |class, cause| Finding::passing(class, cause, RULE);
    match number {
        1 => Some(Said::Failed(
            failed(Class::ServerError, "server_has_no_key")
                .heal(Heal::ContactAdmin, Who::ServerAdmin),
        )),
        2..=10 => refused(Class::AccessInvalid, "access_token_malformed"),
        11 => refused(Class::KeyMismatch, "signature_invalid"),
        12 => Some(Said::Failed(failed(
            Class::NotYetValid,
            "token_not_yet_valid",
        ))),
        13 => Some(Said::Failed(failed(
            Class::ClockSkew,
            "token_iat_in_future",
        ))),
        14 => refused(Class::AccessExpired, "access_token_expired"),
        53 => Some(Said::Failed(missing(facts, RULE))),
        55 => refused(Class::AccessRevoked, "access_token_revoked"),
        75 => Some(Said::Refused(bare(facts, RULE))),
        114 | 28 => Some(Said::Failed(
            failed(Class::InsufficientScope, "role_missing")
                .heal(Heal::ContactAdmin, Who::ServerAdmin),
        )),
        _ => None,
    }
}
