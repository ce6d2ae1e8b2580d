//! The access token in a request (RFC 6750 §2.1, RFC 9449 §7.1, RFC 9110 §11.6.2).

use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};

use crate::refusal::Refusal;

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    /// With a proof of a key.
    Dpop,
}

/// The request's token; `dpop` says whether tokens with a proof are understood.
///
/// An empty header counts as none: some web servers leave one behind when they strip credentials. Another
/// scheme counts as none too (RFC 6750 §3.1: no error code for "an unsupported authentication method").
pub(crate) fn presented<'a>(
    headers: &'a HeaderMap,
    uri: &Uri,
    dpop: bool,
) -> Result<(Scheme, &'a str), Refusal> {
    let mut values = headers
        .get_all(AUTHORIZATION)
        .iter()
        .filter(|value| !value.is_empty());
    let Some(value) = values.next() else {
        return Err(Refusal::Missing);
    };
    if values.next().is_some() {
        return Err(Refusal::BadRequest(
            "The request has more than one Authorization header",
        ));
    }
    let text = value.to_str().map_err(|_| {
        Refusal::BadRequest("The Authorization header has characters that are not ASCII")
    })?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.bytes().all(is_token_character) {
        return Err(Refusal::BadRequest(
            "The Authorization header does not start with a scheme",
        ));
    }
    let scheme = if scheme.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if dpop && scheme.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else {
        return Err(Refusal::Missing);
    };
    if has_query_token(uri) {
        return Err(Refusal::BadRequest(
            "The request has more than one access token",
        ));
    }
    let token = rest.trim_matches(' ');
    if token.is_empty() {
        return Err(Refusal::BadRequest(match scheme {
            Scheme::Bearer => "The Authorization header has no token after Bearer",
            Scheme::Dpop => "The Authorization header has no token after DPoP",
        }));
    }
    if !is_token68(token) {
        return Err(Refusal::BadRequest(match scheme {
            Scheme::Bearer => {
                "The Authorization header has something else than one token after Bearer"
            }
            Scheme::Dpop => "The Authorization header has something else than one token after DPoP",
        }));
    }
    Ok((scheme, token))
}

/// RFC 6750 §2.3: a second way of sending a token. It is not supported, but together with the header the
/// request uses "more than one method" (§3.1), which is an invalid request.
fn has_query_token(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.starts_with("access_token="))
    })
}

/// `token68` of RFC 9110 §11.2, `b64token` of RFC 6750 §2.1.
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str], uri: &str) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header value"));
        }
        let uri = uri.parse().expect("a URI");
        presented(&headers, &uri, false).map(|(_, token)| token.to_owned())
    }

    #[test]
    fn the_scheme_is_case_insensitive() {
        for text in ["Bearer a.b-c", "bearer a.b-c", "BEARER  a.b-c"] {
            assert_eq!(read(&[text], "/x?access=1").expect("a token"), "a.b-c");
        }
        assert_eq!(read(&["", "Bearer abc=="], "/").expect("a token"), "abc==");
    }

    #[test]
    fn no_bearer_credentials() {
        for values in [
            &[][..],
            &[""],
            &["Basic dXNlcjpwdw=="],
            &["DPoP abc"],
            &["eyJ.eyJ.sig"],
        ] {
            assert!(
                matches!(read(values, "/"), Err(Refusal::Missing)),
                "{values:?}"
            );
        }
        assert!(matches!(
            read(&[], "/?access_token=abc"),
            Err(Refusal::Missing)
        ));
    }

    #[test]
    fn malformed_credentials() {
        for values in [
            &["Bearer"][..],
            &["Bearer a b"],
            &["Bearer a, Bearer b"],
            &["Bearer ="],
            &["Bearer: abc"],
            &["Bearer \"abc\""],
            &["Bearer abc", "Bearer abc"],
        ] {
            assert!(
                matches!(read(values, "/"), Err(Refusal::BadRequest(_))),
                "{values:?}"
            );
        }
        assert!(matches!(
            read(&["Bearer abc"], "/?x=1&access_token=abc"),
            Err(Refusal::BadRequest(_))
        ));
    }
}
