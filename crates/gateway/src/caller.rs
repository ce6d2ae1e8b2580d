//! Who may spend the sessions, where that is not settled by the loopback interface.

use http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;
use tenure_core::{Class, Code, Failure, Heal, Who};

use crate::headers::TENURE_KEY;
use crate::options::CallerKey;
use crate::problem::Problem;

/// Lets a caller in that presents one of the keys, or everybody when there are none. Says whose key it is.
///
/// # Errors
/// 403, with the same text whether the key is missing or wrong.
pub fn check<'a>(headers: &HeaderMap, keys: &'a [CallerKey]) -> Result<Option<&'a str>, Problem> {
    if keys.is_empty() {
        return Ok(None);
    }
    let presented = headers
        .get(TENURE_KEY)
        .map_or(&b""[..], |value| value.as_bytes());
    // Every key is compared, so that the time says nothing about which one was near.
    let known = keys.iter().fold(None, |known, key| {
        let same: bool = key.secret.expose().as_bytes().ct_eq(presented).into();
        if same { Some(&*key.name) } else { known }
    });
    if known.is_some() {
        return Ok(known);
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
    use tenure_core::Secret;

    fn presenting(key: Option<&'static str>) -> HeaderMap {
        key.map(|key| (TENURE_KEY, HeaderValue::from_static(key)))
            .into_iter()
            .collect()
    }

    #[test]
    fn without_keys_everybody_on_this_machine_is_served() {
        assert_eq!(check(&presenting(None), &[]).expect("served"), None);
    }

    #[test]
    fn with_keys_only_their_holders_are() {
        let keys = [
            CallerKey::new("till", Secret::new("first-first-first")),
            CallerKey::new("office", Secret::new("second-second-second")),
        ];
        for (key, name) in [
            ("first-first-first", "till"),
            ("second-second-second", "office"),
        ] {
            assert_eq!(
                check(&presenting(Some(key)), &keys).expect("served"),
                Some(name)
            );
        }
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
