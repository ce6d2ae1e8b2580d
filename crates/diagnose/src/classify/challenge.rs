//! `WWW-Authenticate` (RFC 9110 §11.6.1): several challenges in one field or in several, quoted strings with
//! escapes, token68, and the slips of the field: parameters without commas between them.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// So many fields, so much of each and so many challenges in all are looked at.
const FIELDS: usize = 8;
const FIELD_MAX: usize = 8 * 1024;
const CHALLENGES: usize = 16;

/// One challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme, lower case.
    pub scheme: String,
    /// Parameters in order, names lower case, values unquoted.
    pub params: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter with this (lower-case) name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the scheme carries tokens of the kind that can be refreshed.
    pub fn carries_tokens(&self) -> bool {
        matches!(
            self.scheme.as_str(),
            "bearer" | "dpop" | "jwt" | "jwt-auth" | "oauth" | "oauth2" | "token"
        )
    }
}

/// Every challenge of an answer, in order.
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .take(FIELDS)
        .flat_map(|value| {
            let bytes = value.as_bytes();
            parse(&String::from_utf8_lossy(
                &bytes[..bytes.len().min(FIELD_MAX)],
            ))
        })
        .take(CHALLENGES)
        .collect()
}

/// Reads one field value. Never fails: what cannot be read is skipped.
pub fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if rest.is_empty() {
            return found;
        }
        let end = rest.find(|c| !is_token_char(c)).unwrap_or(rest.len());
        if end == 0 {
            // A stray character: step over it.
            rest = rest.strip_prefix(|_: char| true).unwrap_or_default();
            continue;
        }
        let (word, after) = rest.split_at(end);
        rest = match (found.last_mut(), value(after)) {
            (Some(challenge), Some((value, after))) => {
                challenge.params.push((word.to_ascii_lowercase(), value));
                after
            }
            _ if after.starts_with('=') => after.trim_start_matches('='), // token68 with padding
            _ => {
                found.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    params: Vec::new(),
                });
                after
            }
        };
    }
}

/// The value after `=`, with what follows it; `None` when there is no `=` or no value.
fn value(after: &str) -> Option<(String, &str)> {
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    if let Some(quoted) = value.strip_prefix('"') {
        return Some(unquote(quoted));
    }
    let end = value
        .find(|c: char| c == ',' || c.is_whitespace())
        .unwrap_or(value.len());
    let (value, after) = value.split_at(end);
    (!value.is_empty() && !value.starts_with('=')).then(|| (value.to_owned(), after))
}

/// A quoted string after its opening quote; one that never closes reaches to the end.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

fn is_token_char(c: char) -> bool {
    // RFC 9110 §5.6.2, and the characters of token68 that are not in it.
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemes(text: &str) -> Vec<String> {
        parse(text)
            .into_iter()
            .map(|challenge| challenge.scheme)
            .collect()
    }

    #[test]
    fn the_example_of_rfc_9110() {
        let found = parse(
            r#"Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\"""#,
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].param("realm"), Some("simple"));
        assert_eq!(found[1].scheme, "newauth");
        assert_eq!(found[1].param("type"), Some("1"));
        assert_eq!(found[1].param("title"), Some("Login to \"apps\""));
    }

    #[test]
    fn quoted_commas_token68_and_bare_schemes() {
        assert_eq!(
            schemes(r"Negotiate oYIBhg==, NTLM, Bearer"),
            ["negotiate", "oyibhg", "ntlm", "bearer"][..1]
                .iter()
                .chain(["ntlm", "bearer"].iter())
                .map(|s| (*s).to_owned())
                .collect::<Vec<_>>()
        );
        let found = parse(r#"Bearer error="invalid_token", error_description="expired, at 10:00""#);
        assert_eq!(
            found[0].param("error_description"),
            Some("expired, at 10:00")
        );
        assert_eq!(schemes("Bearer"), ["bearer"]);
        assert_eq!(schemes(""), Vec::<String>::new());
    }

    #[test]
    fn slips_of_the_field() {
        let found = parse(
            r#"Bearer scope="orders.read" error="insufficient_scope" error_description="Insufficient scopes""#,
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].param("error"), Some("insufficient_scope"));
        let found = parse(r#"bearer error=invalid_token,error_description="never closed"#);
        assert_eq!(found[0].param("error"), Some("invalid_token"));
        assert_eq!(found[0].param("error_description"), Some("never closed"));
    }

    #[test]
    fn rubbish_ends() {
        for text in [
            "===",
            "\"\"\"",
            ",,,=",
            "Bearer =",
            "é=é, Bearer",
            "\\",
            "a=\\",
        ] {
            let _ = parse(text);
        }
        assert_eq!(
            schemes("é=é, Bearer").last().map(String::as_str),
            Some("bearer")
        );
    }
}
