//! The WordPress dialects: codes of the plugins, and the sentences of php-jwt they pass on.

use tenure_core::{Class, Heal, Who};

use super::super::finding::Finding;
use super::super::text;
use super::Answer;
use crate::profile::DialectName;

pub(super) fn rule(answer: &Answer<'_>) -> Option<Finding> {
    if !is_wordpress(answer.dialect()) {
        return None;
    }
    site(answer).or_else(|| match answer.dialect() {
        DialectName::WordpressTmeister => tmeister(answer),
        DialectName::WordpressUsefulteam => usefulteam(answer).or_else(|| tmeister(answer)),
        DialectName::SimpleJwtLogin3 | DialectName::SimpleJwtLogin4 => simple_jwt_login(answer),
        DialectName::Wcpos => wcpos(answer),
        DialectName::OAuth2 | DialectName::JsonRefresh => None,
    })
}

fn is_wordpress(dialect: DialectName) -> bool {
    !matches!(dialect, DialectName::OAuth2 | DialectName::JsonRefresh)
}

/// What the site itself says before any plugin looks at a token. None of it is about the token.
fn site(answer: &Answer<'_>) -> Option<Finding> {
    match answer.error.as_str() {
        // Plugin off, too old, permalinks broken, or a proxy stripped the marker header: all of it passes.
        "rest_no_route" => Some(Finding::passing(
            Class::WrongIssuer,
            "route_not_found",
            "wordpress.rest_no_route",
        )),
        "rest_missing_callback_param" => Some(Finding::passing(
            Class::BadRequest,
            "refresh_token_not_sent",
            "wordpress.missing_param",
        )),
        "rest_login_required"
        | "rest_forbidden"
        | "rest_disabled"
        | "rest_cookie_invalid_nonce" => Some(
            Finding::passing(
                Class::ClientUnauthorized,
                "rest_api_closed_by_plugin",
                "wordpress.rest_closed",
            )
            .heal(Heal::ContactAdmin, Who::ServerAdmin),
        ),
        "jwt_auth_bad_config" | "woocommerce_pos_jwt_auth_bad_config" => Some(
            Finding::passing(
                Class::ServerError,
                "server_has_no_key",
                "wordpress.bad_config",
            )
            .heal(Heal::ContactAdmin, Who::ServerAdmin),
        ),
        _ => None,
    }
}

/// Renewal is a login here, so its refusals are about user name and password.
fn tmeister(answer: &Answer<'_>) -> Option<Finding> {
    let code = answer
        .error
        .strip_prefix("[jwt_auth] ")
        .unwrap_or(&answer.error);
    match code {
        "incorrect_password"
        | "invalid_username"
        | "invalid_email"
        | "jwt_auth_failed"
        | "invalidcombo"
        | "jwt_auth_invalid_credential" => Some(Finding::proven(
            Class::LoginRejected,
            "user_credentials_wrong",
            "tmeister.login",
        )),
        "empty_username" | "empty_password" | "jwt_auth_missing_credentials" => Some(
            Finding::passing(Class::BadRequest, "credentials_not_sent", "tmeister.empty"),
        ),
        // It judges a Bearer header even here; the request carries none, so another hand put it in.
        "jwt_auth_invalid_token" | "jwt_auth_bad_iss" => Some(Finding::passing(
            Class::BadRequest,
            "stale_header_on_login",
            "tmeister.header_on_login",
        )),
        _ => None,
    }
}

/// Source: usefulteam/jwt-auth class-auth.php.
fn usefulteam(answer: &Answer<'_>) -> Option<Finding> {
    const RULE: &str = "usefulteam.refresh";
    match answer.error.as_str() {
        "jwt_auth_expired_refresh_token" => Some(Finding::proven(
            Class::RefreshExpired,
            "refresh_token_expired",
            RULE,
        )),
        "jwt_auth_invalid_refresh_token" => Some(Finding::proven(
            Class::RefreshInvalid,
            "refresh_token_unknown",
            RULE,
        )),
        "jwt_auth_obsolete_refresh_token" | "jwt_auth_obsolete_token" => Some(Finding::proven(
            Class::RefreshReused,
            "superseded_by_rotation",
            RULE,
        )),
        // The server saw no cookie: nothing is proven about the one that is held.
        "jwt_auth_no_auth_cookie" | "jwt_auth_no_refresh_token" => Some(Finding::passing(
            Class::BadRequest,
            "refresh_token_not_sent",
            "usefulteam.no_cookie",
        )),
        "jwt_auth_user_not_found" => Some(Finding::proven(
            Class::AccountDisabled,
            "user_deleted",
            RULE,
        )),
        _ => None,
    }
}

/// Source: nicumicle/simple-jwt-login ErrorCodes.php and Helpers/StatusCodeHelper.php.
fn simple_jwt_login(answer: &Answer<'_>) -> Option<Finding> {
    const RULE: &str = "simple_jwt_login.code";
    let number = [&answer.error, &answer.sub]
        .iter()
        .find_map(|code| code.rsplit(':').next()?.parse::<u16>().ok())?;
    let final_ = |class, cause| Some(Finding::proven(class, cause, RULE));
    let admin = |class, cause| {
        Some(Finding::passing(class, cause, RULE).heal(Heal::ContactAdmin, Who::ServerAdmin))
    };
    match number {
        1 => admin(Class::ServerError, "server_has_no_key"),
        2..=10 => final_(Class::RefreshInvalid, "refresh_token_malformed"),
        11 => final_(Class::RefreshInvalid, "signature_invalid"),
        12 | 13 => Some(Finding::passing(
            Class::ClockSkew,
            "token_time_in_future",
            RULE,
        )),
        14 | 50 => final_(Class::RefreshExpired, "refresh_window_passed"),
        24 => final_(Class::AccountDisabled, "user_deleted"),
        25 | 48 => final_(Class::LoginRejected, "user_credentials_wrong"),
        51 if text::says_not_sent(&answer.text) => Some(Finding::passing(
            Class::BadRequest,
            "refresh_token_not_sent",
            RULE,
        )),
        51 => final_(Class::RefreshInvalid, "unknown_expired_or_used"),
        53 => Some(Finding::passing(
            Class::BadRequest,
            "refresh_token_not_sent",
            RULE,
        )),
        55 => final_(Class::RefreshRevoked, "refresh_token_revoked"),
        28 | 45 | 81..=84 | 114 => admin(Class::ClientUnauthorized, "feature_switched_off"),
        _ => None,
    }
}

/// Source: wcpos/woocommerce-pos includes/API/V1/Auth.php and includes/Services/Auth.php.
fn wcpos(answer: &Answer<'_>) -> Option<Finding> {
    const RULE: &str = "wcpos.refresh";
    match answer.error.as_str() {
        "invalid_grant" => {}
        "invalid_request" => {
            return Some(Finding::passing(
                Class::BadRequest,
                "refresh_token_not_sent",
                "wcpos.invalid_request",
            ));
        }
        // WCPOS never uses this name: another JWT plugin judged the request.
        "jwt_auth_invalid_token" | "jwt_auth_bad_iss" => {
            return Some(
                Finding::passing(
                    Class::ClientUnauthorized,
                    "other_jwt_plugin_answered",
                    "wcpos.other_plugin",
                )
                .heal(Heal::ContactAdmin, Who::ServerAdmin),
            );
        }
        code if code.starts_with("woocommmerce_pos_auth_")
            || code.starts_with("woocommerce_pos_auth_") => {}
        _ => return None,
    }
    if answer.error.ends_with("_revoked") {
        return Some(Finding::proven(
            Class::RefreshRevoked,
            "refresh_token_revoked",
            RULE,
        ));
    }
    if answer.error.ends_with("_user_not_found") || answer.text.starts_with("user not found") {
        return Some(Finding::proven(
            Class::AccountDisabled,
            "user_deleted",
            RULE,
        ));
    }
    if answer.error.ends_with("_bad_iss") {
        return Some(Finding::proven(Class::WrongIssuer, "issuer_mismatch", RULE));
    }
    let (class, cause) = if answer.text.contains("signature verification failed") {
        (Class::RefreshInvalid, "signature_invalid")
    } else {
        text::refresh(&answer.text).unwrap_or((Class::RefreshInvalid, "grant_unspecified"))
    };
    Some(match class {
        Class::ClockSkew | Class::ServerError => Finding::passing(class, cause, RULE),
        _ => Finding::proven(class, cause, RULE),
    })
}
