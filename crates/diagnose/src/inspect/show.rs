//! What of a token may be seen: texts without tricks, no token within the token, and less when asked.

use serde_json::{Map, Value};

use super::prefixes;

/// Texts out of a token are cut to this many characters.
const MAX_SHOWN: usize = 200;
/// Claims whose numbers are instants.
pub(super) const TIMES: [&str; 5] = ["iat", "nbf", "auth_time", "updated_at", "exp"];
/// What support needs and what names no person: machines, keys, the token itself.
const KEPT: [&str; 15] = [
    "alg",
    "typ",
    "kid",
    "cty",
    "enc",
    "iss",
    "aud",
    "azp",
    "client_id",
    "cid",
    "appid",
    "jti",
    "sid",
    "tid",
    "token_use",
];
/// Shorter signatures are not searched for in claims: chance would find them.
const SIGNATURE_FROM: usize = 8;

/// A text out of a token, safe for a terminal: cut, and without control, direction and invisible characters.
pub(super) fn text(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if is_tricky(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Characters that change what a reader sees without being seen.
pub(super) fn is_tricky(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Characters of no width, and those that turn the direction of writing.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// How claims are shown.
pub(super) struct Show<'a> {
    /// Hide everything that is no time and no name of a machine, key or token.
    pub(super) redact: bool,
    /// The signature as it stands in the token.
    pub(super) signature: Option<&'a str>,
}

impl Show<'_> {
    /// All members.
    pub(super) fn object(&self, members: &Map<String, Value>) -> Map<String, Value> {
        members
            .iter()
            .map(|(name, value)| (text(name), self.member(name, value)))
            .collect()
    }

    fn member(&self, name: &str, value: &Value) -> Value {
        let kept = !self.redact || TIMES.contains(&name) || KEPT.contains(&name);
        if is_secret_name(name) {
            return hidden(value);
        }
        self.value(value, kept)
    }

    fn value(&self, value: &Value, kept: bool) -> Value {
        match value {
            Value::String(one) => self.string(one, kept),
            Value::Array(many) => many.iter().map(|one| self.value(one, kept)).collect(),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| {
                        let value = if is_secret_name(name) {
                            hidden(value)
                        } else {
                            self.value(value, kept)
                        };
                        (text(name), value)
                    })
                    .collect(),
            ),
            other if kept => other.clone(),
            other => hidden(other),
        }
    }

    fn string(&self, one: &str, kept: bool) -> Value {
        let personal = self.redact && one.contains('@');
        if self.holds_secret(one) || !kept || personal {
            return Value::String(format!("[hidden: {}]", characters(one.chars().count())));
        }
        Value::String(text(one))
    }

    fn holds_secret(&self, one: &str) -> bool {
        let signature = self.signature.filter(|part| part.len() >= SIGNATURE_FROM);
        signature.is_some_and(|part| one.contains(part))
            || (one.contains("eyJ") && one.contains('.'))
            || prefixes::find(one).is_some()
    }
}

/// `1 character`, `12 characters`.
pub(super) fn characters(count: usize) -> String {
    match count {
        1 => "1 character".to_owned(),
        _ => format!("{count} characters"),
    }
}

fn hidden(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            Value::String(format!("[hidden: {}]", characters(text.chars().count())))
        }
        _ => Value::String("[hidden]".to_owned()),
    }
}

/// Some servers put tokens and passwords into claims.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "secret", "password", "passwd", "assertion", "jwt"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(redact: bool, claims: &Value) -> Value {
        let show = Show {
            redact,
            signature: Some("c2lnbmF0dXJl"),
        };
        Value::Object(show.object(claims.as_object().expect("an object")))
    }

    #[test]
    fn secrets_within_claims_are_hidden_always() {
        let claims = json!({
            "idp_access_token": "abc",
            "nested": {"jwt": "eyJhbGciOiJub25lIn0.e30.", "note": "see eyJhbGciOiJub25lIn0.e30."},
            "github": "ghp_0123456789abcdef0123456789abcdef0123",
            "echo": "x c2lnbmF0dXJl x",
            "name": "Ada",
        });
        assert_eq!(
            shown(false, &claims),
            json!({
                "idp_access_token": "[hidden: 3 characters]",
                "nested": {"jwt": "[hidden: 24 characters]", "note": "[hidden: 28 characters]"},
                "github": "[hidden: 40 characters]",
                "echo": "[hidden: 16 characters]",
                "name": "Ada",
            })
        );
    }

    #[test]
    fn redacted_claims_keep_times_and_names_of_machines() {
        let claims = json!({
            "iss": "https://id.example", "aud": ["orders", "ada@shop.example"], "exp": 5, "jti": "a1",
            "sub": "ada", "roles": ["till"], "level": 3, "data": {"user": {"id": 1}},
        });
        assert_eq!(
            shown(true, &claims),
            json!({
                "iss": "https://id.example", "aud": ["orders", "[hidden: 16 characters]"], "exp": 5, "jti": "a1",
                "sub": "[hidden: 3 characters]", "roles": ["[hidden: 4 characters]"], "level": "[hidden]",
                "data": {"user": {"id": "[hidden]"}},
            })
        );
    }

    #[test]
    fn a_terminal_is_not_played_with() {
        assert_eq!(text("a\u{1b}[31mb\u{202e}c"), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(text(&"é".repeat(300)).chars().count(), MAX_SHOWN + 1);
    }
}
