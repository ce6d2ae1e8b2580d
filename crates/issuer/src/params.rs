//! Parameters of a request, from a form body or a query.

use http::{HeaderMap, header};
use tenure_core::Secret;
use url::form_urlencoded;

use crate::error::OAuthError;

/// Name and value pairs, each name at most once (RFC 6749 §3.1 and §3.2).
#[derive(Clone, Default)]
pub(crate) struct Params(Vec<(String, Secret)>);

impl Params {
    /// Parses `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, OAuthError> {
        let mut all: Vec<(String, Secret)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if all.iter().any(|(known, _)| *known == name) {
                return Err(OAuthError::invalid_request(format!(
                    "The parameter `{}` is given twice.",
                    printable(&name)
                )));
            }
            all.push((name.into_owned(), Secret::new(value.into_owned())));
        }
        Ok(Self(all))
    }

    /// Parses a form body, whose type must say that it is one.
    pub(crate) fn from_form(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        let is_form = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| {
                kind.trim()
                    .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            });
        if !is_form {
            return Err(OAuthError::invalid_request(
                "The body must be application/x-www-form-urlencoded.",
            ));
        }
        Self::parse(body)
    }

    /// The value; an empty one counts as omitted (RFC 6749 §3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.secret(name).map(Secret::expose)
    }

    /// The value of a parameter that is secret.
    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value)
    }

    /// The value, which must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| missing(name))
    }

    /// The secret value, which must be there.
    pub(crate) fn need_secret(&self, name: &str) -> Result<&Secret, OAuthError> {
        self.secret(name).ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> OAuthError {
    OAuthError::invalid_request(format!("The parameter `{name}` is missing."))
}

/// Text of others made fit for an error: RFC 6749 §5.2 allows only printable ASCII without quotes.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| (' '..='~').contains(c) && *c != '"' && *c != '\\')
        .take(80)
        .collect()
}

/// The same for a whole sentence.
pub(crate) fn printable_text(text: &str) -> String {
    text.chars()
        .filter(|c| (' '..='~').contains(c) && *c != '"' && *c != '\\')
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_twice_is_refused_and_an_empty_one_is_none() {
        assert!(Params::parse(b"a=1&b=2&a=3").is_err());
        let params = Params::parse(b"a=1&b=&c=x%20y").expect("parses");
        assert_eq!(
            (params.get("a"), params.get("b"), params.get("c")),
            (Some("1"), None, Some("x y"))
        );
        assert!(params.need("b").is_err());
    }

    #[test]
    fn only_forms_are_read() {
        let mut headers = HeaderMap::new();
        assert!(Params::from_form(&headers, b"a=1").is_err());
        headers.insert(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8"
                .parse()
                .expect("a value"),
        );
        assert!(Params::from_form(&headers, b"a=1").is_ok());
    }
}
