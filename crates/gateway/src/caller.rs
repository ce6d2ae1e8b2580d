//! Who may spend the sessions, where that is not settled by the loopback interface.

use http::{HeaderMap, StatusCode};
use subtle::{Choice, ConstantTimeEq};
use tenure_core::{Class, Code, Failure, Heal, Secret, Who};

use crate::headers::TENURE_KEY;
use crate::problem::Problem;

/// Lets a caller in that presents one of the keys, or everybody when there are none.
///
/// # Errors
/// 403, with the same text whether the key is missing or wrong.
pub fn check(headers: &HeaderMap, keys: &[Secret]) -> Result<(), Problem> {
    if keys.is_empty() {
        return Ok(());
    }
    let presented = headers
        .get(TENURE_KEY)
        .map_or(&b""[..], |value| value.as_bytes());
    // Every key is compared, so that the time says nothing about which one was near.
    let known = keys.iter().fold(Choice::from(0), |known, key| {
        known | key.expose().as_bytes().ct_eq(presented)
    });
    if known.into() {
        return Ok(());
    }
    let failure = Failure::new(
        Code::ApiKeyInvalid,
        Class::UserNotAuthorized,
        "caller_key",
        Heal::FixConfig,
        Who::Operator,
        "this gateway serves callers that present one of its keys in the Tenure-Key header; \
         add the header, or add the caller's key to the gateway's configuration",
    )
    .with_rule("gateway.caller_key");
    Err(Problem {
        status: StatusCode::FORBIDDEN,
        failure: Box::new(failure),
        session: None,
        retry_after: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn presenting(key: Option<&'static str>) -> HeaderMap {
        key.map(|key| (TENURE_KEY, HeaderValue::from_static(key)))
            .into_iter()
            .collect()
    }

    #[test]
    fn without_keys_everybody_on_this_machine_is_served() {
        assert!(check(&presenting(None), &[]).is_ok());
    }

    #[test]
    fn with_keys_only_their_holders_are() {
        let keys = [
            Secret::new("first-first-first"),
            Secret::new("second-second-second"),
        ];
        assert!(check(&presenting(Some("first-first-first")), &keys).is_ok());
        assert!(check(&presenting(Some("second-second-second")), &keys).is_ok());
        for wrong in [
            None,
            Some(""),
            Some("first"),
            Some("first-first-firsT"),
            Some("first-first-firstX"),
        ] {
            let problem = check(&presenting(wrong), &keys).expect_err("refused");
            assert_eq!(problem.status, 403);
            assert!(!problem.failure.detail.contains("first-first"));
        }
    }
}
