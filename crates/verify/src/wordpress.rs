//! Refusals as WordPress plugins send them, with the plugins' own codes and texts; and, for those that have one code
//! for whatever is wrong with a token, a variant with a code for each reason.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tenure_jose::{Malformed, Reason};

use crate::refusal::Refusal;
use crate::style::answer;

/// A token plugin of WordPress whose dialect Tenure's own issuer can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordpressPlugin {
    /// "JWT Authentication for WP REST API".
    Tmeister,
    /// "JWT Auth" 3.x.
    Usefulteam,
    /// WCPOS.
    Wcpos,
}

/// Whether a refused token is answered with the code the plugin has, or with one that says why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codes {
    Plugin,
    Distinct,
}

/// WordPress core's error shape.
fn core_error(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    answer(
        status,
        &json!({"code": code, "message": message, "data": {"status": status.as_u16()}}),
    )
}

/// What core answers to a user without the right; no plugin of these has an answer of its own for it.
fn forbidden() -> Response<Bytes> {
    core_error(
        StatusCode::FORBIDDEN,
        "rest_forbidden",
        "Sorry, you are not allowed to do that.",
    )
}

/// Code and message that the two `jwt_auth` plugins share; the one ends its own sentences with a full stop.
fn jwt_auth(refusal: &Refusal, stop: &str, codes: Codes) -> (&'static str, String) {
    let invalid = match codes {
        Codes::Plugin => "jwt_auth_invalid_token",
        Codes::Distinct => distinct(refusal),
    };
    match refusal {
        Refusal::Missing => (
            "jwt_auth_no_auth_header",
            "Authorization header not found.".to_owned(),
        ),
        Refusal::BadRequest(_) => (
            "jwt_auth_bad_auth_header",
            "Authorization header malformed.".to_owned(),
        ),
        Refusal::Invalid {
            reason: Reason::WrongIssuer { .. } | Reason::MissingClaim("iss"),
            ..
        } => (
            "jwt_auth_bad_iss",
            format!("The iss do not match with this server{stop}"),
        ),
        Refusal::Invalid { reason, now_s } => (invalid, php_jwt(reason, *now_s)),
        other => (invalid, other.description().to_owned()),
    }
}

/// One code for each reason; those that other plugins have already keep their names.
fn distinct(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Revoked => "jwt_auth_token_revoked",
        Refusal::Invalid { reason, .. } => match reason {
            Reason::Expired { .. } => "jwt_auth_expired_token",
            Reason::NotYetValid { .. } | Reason::IssuedInFuture { .. } => {
                "jwt_auth_token_not_yet_valid"
            }
            Reason::BadSignature | Reason::UnknownKey { .. } => "jwt_auth_invalid_signature",
            Reason::Malformed(_) | Reason::WrongAlgorithm { .. } => "jwt_auth_malformed_token",
            Reason::WrongType { .. } => "jwt_auth_invalid_token_type",
            Reason::WrongAudience { .. } => "jwt_auth_bad_aud",
            Reason::WrongIssuer { .. } | Reason::MissingClaim(_) => "jwt_auth_invalid_token",
        },
        _ => "jwt_auth_invalid_token",
    }
}

pub(crate) fn tmeister(refusal: &Refusal, codes: Codes) -> Response<Bytes> {
    if matches!(refusal, Refusal::InsufficientScope { .. }) {
        return forbidden();
    }
    let (code, message) = jwt_auth(refusal, "", codes);
    core_error(StatusCode::FORBIDDEN, code, &message)
}

pub(crate) fn usefulteam(refusal: &Refusal, codes: Codes) -> Response<Bytes> {
    let (code, message) = match refusal {
        Refusal::InsufficientScope { .. } => return forbidden(),
        Refusal::Revoked if codes == Codes::Plugin => {
            ("jwt_auth_obsolete_token", "Token is obsolete".to_owned())
        }
        other => jwt_auth(other, ".", codes),
    };
    let body =
        json!({"success": false, "statusCode": 401, "code": code, "message": message, "data": []});
    answer(StatusCode::UNAUTHORIZED, &body)
}

pub(crate) fn simple_jwt_login(refusal: &Refusal, version: u8) -> Response<Bytes> {
    const NOT_AUTHORIZED: &str = "You are not authorized to access this endpoint.";
    let (status, number, message) = match refusal {
        Refusal::InsufficientScope { .. } => {
            (StatusCode::FORBIDDEN, 114, NOT_AUTHORIZED.to_owned())
        }
        Refusal::Revoked => (
            StatusCode::UNAUTHORIZED,
            55,
            "This JWT is invalid.".to_owned(),
        ),
        Refusal::Invalid { reason, now_s } => match simple_jwt_login_number(reason) {
            Some(number) => (StatusCode::UNAUTHORIZED, number, php_jwt(reason, *now_s)),
            None => (StatusCode::UNAUTHORIZED, 75, NOT_AUTHORIZED.to_owned()),
        },
        // A header it cannot read is no header to this plugin.
        _ => (StatusCode::UNAUTHORIZED, 75, NOT_AUTHORIZED.to_owned()),
    };
    let mut data = json!({"message": message});
    data[if version >= 4 {
        "error_code"
    } else {
        "errorCode"
    }] = Value::from(number);
    answer(status, &json!({"success": false, "data": data}))
}

/// Numbers of its `ErrorCodes`; it knows neither issuers nor audiences.
fn simple_jwt_login_number(reason: &Reason) -> Option<u16> {
    Some(match reason {
        Reason::Malformed(Malformed::Segments { .. }) => 2,
        Reason::Malformed(Malformed::Parameter("alg")) => 6,
        Reason::Malformed(Malformed::NotANumber(_)) => return None,
        Reason::Malformed(_) => 3,
        Reason::WrongAlgorithm { .. } => 8,
        Reason::UnknownKey { .. } => 10,
        Reason::BadSignature => 11,
        Reason::NotYetValid { .. } => 12,
        Reason::IssuedInFuture { .. } => 13,
        Reason::Expired { .. } => 14,
        Reason::WrongIssuer { .. }
        | Reason::WrongAudience { .. }
        | Reason::WrongType { .. }
        | Reason::MissingClaim(_) => {
            return None;
        }
    })
}

pub(crate) fn wcpos(refusal: &Refusal, codes: Codes) -> Response<Bytes> {
    if matches!(refusal, Refusal::InsufficientScope { .. }) {
        let message = "Sorry, you are not allowed to access POS resources.";
        return core_error(
            StatusCode::FORBIDDEN,
            "woocommerce_pos_rest_forbidden",
            message,
        );
    }
    let mut data = json!({"status": 401});
    if let (Codes::Distinct, Some(reason)) = (codes, pos_reason(refusal)) {
        data["reason"] = reason.into();
    }
    answer(
        StatusCode::UNAUTHORIZED,
        &json!({"code": "woocommerce_pos_rest_unauthorized", "message": "Authentication required.", "data": data}),
    )
}

/// The inner code, as the plugin itself tells it since wcpos/woocommerce-pos#2052: with three m where the plugin has
/// them.
fn pos_reason(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::Revoked => "woocommerce_pos_auth_session_revoked",
        Refusal::Invalid { reason, .. } => match reason {
            Reason::Expired { .. } => "woocommerce_pos_auth_token_expired",
            Reason::WrongIssuer { .. } | Reason::MissingClaim("iss") => {
                "woocommmerce_pos_auth_bad_iss"
            }
            Reason::WrongType { .. } => "woocommmerce_pos_auth_invalid_token_type",
            _ => "woocommmerce_pos_auth_invalid_token",
        },
        _ => return None,
    })
}

/// The texts of firebase/php-jwt 6.x, which the plugins forward. Reasons it does not know get our own words.
pub fn php_jwt(reason: &Reason, now_s: i64) -> String {
    match reason {
        Reason::Expired { .. } => "Expired token".to_owned(),
        Reason::BadSignature => "Signature verification failed".to_owned(),
        Reason::NotYetValid { by_s } | Reason::IssuedInFuture { by_s } => {
            format!(
                "Cannot handle token prior to {}",
                php_time(now_s.saturating_add(*by_s))
            )
        }
        Reason::UnknownKey { .. } => "\"kid\" invalid, unable to lookup correct key".to_owned(),
        Reason::WrongAlgorithm { found, .. } if tenure_jose::Alg::parse(found).is_some() => {
            "Incorrect key for this algorithm".to_owned()
        }
        Reason::WrongAlgorithm { .. } => "Algorithm not supported".to_owned(),
        Reason::Malformed(why) => php_jwt_malformed(why).to_owned(),
        other => other.to_string(),
    }
}

fn php_jwt_malformed(why: &Malformed) -> &'static str {
    match why {
        Malformed::Segments { .. } => "Wrong number of segments",
        Malformed::Parameter("alg") => "Empty algorithm",
        Malformed::Json(_) => "Syntax error, malformed JSON",
        Malformed::Encoding(_) => "Malformed UTF-8 characters",
        Malformed::NotANumber("exp") => "Payload exp must be a number",
        Malformed::NotANumber("nbf") => "Payload nbf must be a number",
        Malformed::NotANumber(_) => "Payload iat must be a number",
        _ => "Invalid header encoding",
    }
}

/// PHP's `DateTime::ISO8601`, in UTC.
fn php_time(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string(),
        // Beyond the year 9999 there is no date to show.
        Err(_) => seconds.to_string(),
    }
}
