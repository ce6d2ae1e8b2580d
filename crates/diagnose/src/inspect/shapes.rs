//! Things that stand where a token should be: words of programs, documents, addresses, cookies, keys.

use serde_json::{Map, Value};

use super::kind::Kind;
use super::prefixes::{self, Sort};
use super::repair::{Found, is_jwt_like};

/// Under these names answers carry the access token.
const ACCESS_NAMES: [&str; 8] = [
    "access_token",
    "accessToken",
    "access",
    "token",
    "jwt",
    "jwt_token",
    "id_token",
    "idToken",
];
/// Under these names lies an object with them.
const ENVELOPES: [&str; 5] = ["data", "result", "response", "authentication", "tokens"];

/// Nothing, or what a program writes when it has nothing.
pub(super) fn placeholder(text: &str) -> Option<Found> {
    let (cause, what) = nothing(text)
        .or_else(|| template(text))
        .or_else(|| shortened(text))?;
    Found::last(cause, what, Kind::NoToken)
}

fn nothing(text: &str) -> Option<(&'static str, String)> {
    let (cause, what) = match text.trim() {
        "" => ("empty", "It is empty: there is no token.".to_owned()),
        "undefined" => (
            "undefined",
            "It is the word `undefined`: the program read a field that is not there.".to_owned(),
        ),
        word @ ("null" | "None" | "nil" | "NULL" | "(null)" | "<nil>") => (
            "null",
            format!("It is the word `{word}`: the program had no token and sent it all the same."),
        ),
        word @ ("true" | "false" | "NaN" | "[]" | "{}" | "0" | "1") => (
            "no_text",
            format!("It is `{word}`, a value that is no text: the program took the wrong field."),
        ),
        "[object Object]" | "[object Promise]" | "Array" => (
            "object",
            "It is an object made into text: the program sent the whole answer (or a promise of it), not the \
             token in it."
                .to_owned(),
        ),
        word if ["bearer", "bearer:", "basic", "token"].contains(&word.to_ascii_lowercase().as_str()) => (
            "bearer_only",
            format!("It is the word `{word}` and no token after it."),
        ),
        _ => return None,
    };
    Some((cause, what))
}

/// A place where a token should have been put in.
fn template(text: &str) -> Option<(&'static str, String)> {
    let within = |open: &str, close: &str| {
        text.strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
            .is_some_and(is_name)
    };
    let variable = within("${", "}")
        || within("{{", "}}")
        || within("%", "%")
        || within("#{", "}")
        || within("<%=", "%>")
        || within("$(", ")")
        || text.strip_prefix('$').is_some_and(is_name);
    if variable {
        return Some((
            "unexpanded_variable",
            "It is the name of a variable that nobody replaced with its value; in a shell, single quotes do that."
                .to_owned(),
        ));
    }
    if matches!(text, "%s" | "%d" | "%v" | "%@" | "{}" | "{0}" | "$1") || within("{", "}") {
        return Some((
            "format_placeholder",
            "It is a place in a format (`%s`) that was never filled in.".to_owned(),
        ));
    }
    let upper = text.to_ascii_uppercase();
    let sample = within("<", ">")
        || within("[", "]")
        || ["YOUR_", "YOUR-", "INSERT_", "REPLACE_"]
            .iter()
            .any(|start| upper.starts_with(start) && is_name(text))
        || ["CHANGEME", "XXX", "ACCESS_TOKEN", "YOURTOKEN"].contains(&upper.as_str());
    sample.then(|| {
        (
            "sample_text",
            "It is a word that stands for a token in instructions; put the token itself there."
                .to_owned(),
        )
    })
}

/// A name of a variable, with the spaces some templates have.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty()
        && text.len() <= 64
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '))
        && !text.starts_with("eyJ")
}

fn shortened(text: &str) -> Option<(&'static str, String)> {
    let stars = text
        .chars()
        .filter(|c| matches!(c, '*' | '•' | '●'))
        .count();
    if stars >= 3 || text.contains("[masked]") || text.contains("[secret]") {
        return Some((
            "masked",
            "It was masked by whoever showed it: the token itself is not in it.".to_owned(),
        ));
    }
    (text.contains('…') || text.contains("...")).then(|| {
        (
            "shortened",
            "It was shortened with dots by whoever showed it: a part is missing.".to_owned(),
        )
    })
}

/// Whole documents: JSON, PEM, HTML.
pub(super) fn document(text: &str) -> Option<Found> {
    if text.contains("-----BEGIN ") {
        let private = text.contains("PRIVATE KEY-----");
        let (cause, what) = if private {
            (
                "private_key",
                "It is a private key in PEM, not a token. Whoever reads it can make tokens: keep it to itself.",
            )
        } else {
            (
                "pem",
                "It is a key or certificate in PEM, not a token; `--jwks` takes keys as a JWK set.",
            )
        };
        return Found::last(cause, what, Kind::NoToken);
    }
    match text.chars().next()? {
        '{' | '[' => json(text),
        '<' => Found::last(
            "html_page",
            "It is a page (HTML or XML), as a proxy or a login page answers in place of a token.",
            Kind::NoToken,
        ),
        _ => None,
    }
}

fn json(text: &str) -> Option<Found> {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Found::last(
            "broken_json",
            "It begins like JSON but is none: a document was cut, or a token taken out of it badly.",
            Kind::NoToken,
        );
    };
    let first = match &value {
        Value::Array(many) => many.first().unwrap_or(&Value::Null),
        other => other,
    };
    let Value::Object(members) = first else {
        return Found::last("json", "It is JSON, and no token is in it.", Kind::NoToken);
    };
    if let Some((name, token)) = pick(members) {
        return Found::repaired(
            "token_response",
            format!("It is a whole answer of a token endpoint, not the token in it (`{name}`)."),
            "taking the token out of the answer",
            token,
        );
    }
    let (cause, what) = without_token(members);
    Found::last(cause, what, Kind::NoToken)
}

/// The access token of an answer, and under which name it lies.
fn pick(members: &Map<String, Value>) -> Option<(&'static str, String)> {
    let here = ACCESS_NAMES.iter().find_map(|name| {
        let token = members.get(*name)?.as_str()?;
        (!token.is_empty()).then(|| (*name, token.to_owned()))
    });
    here.or_else(|| {
        ENVELOPES.iter().find_map(|name| {
            let Value::Object(inside) = members.get(*name)? else {
                return None;
            };
            ACCESS_NAMES.iter().find_map(|name| {
                let token = inside.get(*name)?.as_str()?;
                (!token.is_empty()).then(|| (*name, token.to_owned()))
            })
        })
    })
}

fn without_token(members: &Map<String, Value>) -> (&'static str, &'static str) {
    let has = |name: &str| members.contains_key(name);
    if has("keys") || has("kty") {
        return (
            "jwks",
            "It is a set of keys (JWK), not a token; give it with `--jwks FILE`.",
        );
    }
    if has("payload") && (has("signature") || has("signatures")) {
        return (
            "jws_json",
            "It is a signature in JSON form (RFC 7515 §7.2); APIs expect the compact form with dots.",
        );
    }
    if has("token_endpoint") || has("jwks_uri") {
        return (
            "discovery_document",
            "It is a server's discovery document, not a token.",
        );
    }
    if has("error") || has("code") && has("message") {
        return (
            "error_response",
            "It is a server's error answer, not a token; `tenure classify` says what it means.",
        );
    }
    if has("exp") || has("iss") || has("sub") {
        return (
            "decoded_claims",
            "It is the decoded inside of a token; the token itself has three parts with dots.",
        );
    }
    ("json", "It is JSON, and no token is in it.")
}

/// Addresses, form bodies and assignments with a token in them.
pub(super) fn parameters(text: &str) -> Option<Found> {
    let address = text.starts_with("http://") || text.starts_with("https://");
    let form = !address && text.contains('&') && text.contains('=');
    if address || form {
        let token = ["access_token", "token", "jwt", "JWT", "id_token"]
            .iter()
            .find_map(|name| parameter(text, name));
        return match (token, address) {
            (Some(token), true) => Found::repaired(
                "address",
                "It is an address with a token in it. Tokens in addresses end up in logs and histories.",
                "taking the token out of the address",
                token,
            ),
            (Some(token), false) => Found::repaired(
                "form_response",
                "It is a whole form-encoded answer, not the token in it.",
                "taking the token out of the answer",
                token,
            ),
            (None, true) => Found::last("address", "It is an address, not a token.", Kind::NoToken),
            (None, false) => None,
        };
    }
    let assigned = text.strip_prefix("export ").unwrap_or(text);
    let (name, value) = assigned.split_once('=')?;
    let bare = value.trim().trim_matches(['"', '\'']);
    (is_name(name) && !assigned.contains(';') && is_jwt_like(bare))
        .then(|| {
            Found::repaired(
                "assignment",
                "It is a whole assignment (`NAME=token`), not the token alone.",
                "removing the name",
                bare,
            )
        })
        .flatten()
}

fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = text[from..].find(name).map(|at| from + at) {
        let end = at + name.len();
        let begins = at == 0 || text[..at].ends_with(['?', '&', '#']);
        if let Some(rest) = text[end..].strip_prefix('=').filter(|_| begins) {
            let value = rest.split(['&', '#']).next().unwrap_or_default();
            return (!value.is_empty()).then_some(value);
        }
        from = end;
    }
    None
}

/// A `Cookie` header: the one token in it is taken, several are not chosen from.
pub(super) fn cookies(text: &str) -> Option<Found> {
    let named = ["cookie:", "set-cookie:"].iter().find_map(|name| {
        let (head, rest) = text.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name).then_some(rest)
    });
    let pairs = named.unwrap_or(text).trim();
    let mut pieces = pairs.split(';').map(str::trim);
    let all_pairs = pairs.contains(';')
        && pairs.split_once('=').is_some_and(|(name, _)| is_name(name))
        && !pairs.starts_with("eyJ");
    if named.is_none() && !all_pairs {
        return None;
    }
    let mut tokens = pieces
        .by_ref()
        .filter_map(|piece| Some(piece.split_once('=')?.1))
        .filter(|value| is_jwt_like(value));
    let what = "It is a cookie header, not a token.";
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Found::repaired(
            "cookie_header",
            "It is a cookie header with a token in it, not the token alone.",
            "taking the token out of the cookie",
            token,
        ),
        _ => Found::last("cookie_header", what, Kind::NoToken),
    }
}

/// Tokens that are no JWTs, keys and secrets, by their first characters.
pub(super) fn known_prefix(text: &str) -> Option<Found> {
    if prefixes::is_tenure_refresh(text) {
        return Found::last(
            "refresh_token",
            "It has the form of a refresh token of Tenure's own issuer; an API wants the access token. Refresh \
             tokens go to the token endpoint and nowhere else.",
            Kind::RefreshToken,
        );
    }
    let known = prefixes::find(text)?;
    let (what, prefix) = (known.what, known.prefix);
    let found = match known.sort {
        Sort::Access => Found::last(
            "opaque_token",
            format!(
                "It is {what} (`{prefix}…`). It is no JWT and nothing in it can be decoded: only its server can say \
                 whose it is, what it allows and when it ends."
            ),
            Kind::OpaqueToken,
        ),
        Sort::Refresh => Found::last(
            "refresh_token",
            format!(
                "It is {what} (`{prefix}…`); an API wants the access token. Refresh tokens go to the token endpoint \
                 and nowhere else."
            ),
            Kind::RefreshToken,
        ),
        Sort::Key => Found::last(
            "api_key",
            format!(
                "It is {what} (`{prefix}…`), not an access token, and nothing in it can be decoded."
            ),
            Kind::ApiKey,
        ),
        Sort::Secret => Found::last(
            "client_secret",
            format!(
                "It is {what} (`{prefix}…`), not an access token. A secret goes to the token endpoint only; if it was \
                 sent elsewhere, replace it."
            ),
            Kind::ClientSecret,
        ),
    };
    found.map(|found| found.named(what))
}
