//! What a token endpoint's answer amounts to: granted, refused, or nothing that can be used.

use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use tenure_core::Secret;
use tenure_core::expiry::Stated;

use crate::mask::{Known, cut};
use crate::refusal;
use crate::retry_after::{RetryAfter, retry_after};
use crate::{MAX_BODY, Response};

/// How much of a body is kept for people to read, in bytes.
pub const BODY_SHOWN: usize = 2048;

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenAnswer {
    /// Tokens came.
    Granted(Granted),
    /// The server answered in its own format, and said no (or that it failed: look at the status).
    Refused(Refusal),
    /// Something answered that proves nothing about the token.
    Unusable(Unusable),
}

/// Tokens and what came with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The access token.
    pub access: Secret,
    /// The new refresh token (or cookie, or JWT that renews itself); `None` = keep the one held.
    pub refresh: Option<Secret>,
    /// Scope as granted, space separated.
    pub scope: Option<String>,
    /// What answer and token say about time; `learned` is left to the caller.
    pub stated: Stated,
    /// Lifetime of the refresh token in seconds.
    pub refresh_expires_in: Option<i64>,
    /// When the server wants the next refresh, in seconds.
    pub refresh_in: Option<i64>,
    /// Time until the whole session ends, in seconds.
    pub session_expires_in: Option<i64>,
    /// OpenID Connect ID token.
    pub id_token: Option<Secret>,
    /// `Bearer`, `DPoP`, …, as sent.
    pub token_type: Option<String>,
}

impl Granted {
    /// An access token with nothing else; `exp` and `iat` are read when it is a JWT.
    pub fn new(access: Secret, now_s: i64) -> Self {
        let mut stated = Stated {
            now: now_s,
            ..Stated::default()
        };
        if let Ok(peek) = tenure_jose::peek(access.expose()) {
            stated.iat = peek.iat();
            stated.exp = peek.exp();
        }
        Self {
            access,
            refresh: None,
            scope: None,
            stated,
            refresh_expires_in: None,
            refresh_in: None,
            session_expires_in: None,
            id_token: None,
            token_type: None,
        }
    }

    /// Reads the refresh token's own lifetime when it is a JWT and the answer does not tell.
    pub(crate) fn peek_refresh_lifetime(&mut self) {
        if self.refresh_expires_in.is_some() {
            return;
        }
        self.refresh_expires_in = self.refresh.as_ref().and_then(|refresh| {
            let peek = tenure_jose::peek(refresh.expose()).ok()?;
            let seconds = peek
                .exp()?
                .checked_sub(peek.iat().unwrap_or(self.stated.now))?;
            (seconds > 0).then_some(seconds)
        });
    }
}

/// The server's no, in its own words; secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status. Some servers refuse with 200.
    pub status: u16,
    /// RFC 6749 `error`, or the WordPress `code`, or a numeric code with its field (`error_code:14`).
    pub error: Option<String>,
    /// The text for people; HTML removed for WordPress.
    pub description: Option<String>,
    /// What refines `error`: `suberror`, `error_subtype`, the `AADSTS…` number, `data.reason`.
    pub sub: Option<String>,
    /// When to ask again, from the header, else from the body.
    pub retry_after: Option<RetryAfter>,
    /// The first [`BODY_SHOWN`] bytes of the body.
    pub body: String,
}

/// An answer that is not a token endpoint's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// HTTP status.
    pub status: u16,
    /// `redirect`, `html`, `empty`, `too_large`, `not_json`, `not_an_object`, `no_access_token`, `no_cookie`
    /// or `out_of_turn` (an answer after the exchange was over).
    pub why: &'static str,
    /// When to ask again.
    pub retry_after: Option<RetryAfter>,
    /// Where a redirect leads: without query and fragment, which may hold secrets, masked and cut.
    pub location: Option<String>,
    /// The first [`BODY_SHOWN`] bytes of the body, secrets masked.
    pub body_start: String,
}

/// How forgiving the reader of a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// JSON, or a form where the server has a habit of it.
    Plain,
    /// WordPress: PHP notices may stand around the JSON, and messages hold HTML.
    WordPress,
}

/// Sorts an answer: `grant` finds the tokens in a body that carries no error.
pub(crate) fn sort(
    response: &Response,
    reading: Reading,
    known: &Known,
    grant: impl FnOnce(&Value) -> Option<Granted>,
) -> TokenAnswer {
    let value = match object(response, reading) {
        Ok(value) => value,
        Err(why) => return TokenAnswer::Unusable(unusable(response, why, known)),
    };
    if response.status().is_success() && !refusal::says_no(&value) {
        if let Some(granted) = grant(&value) {
            return TokenAnswer::Granted(granted);
        }
        if !refusal::sounds_like_no(&value) {
            return TokenAnswer::Unusable(unusable(response, "no_access_token", known));
        }
    }
    TokenAnswer::Refused(refusal::read(response, &value, reading, known))
}

/// The body as a JSON object, or why it is none.
pub(crate) fn object(response: &Response, reading: Reading) -> Result<Value, &'static str> {
    object_within(response, reading, MAX_BODY)
}

/// The same for an answer that may be larger than a token's.
pub(crate) fn object_within(
    response: &Response,
    reading: Reading,
    limit: usize,
) -> Result<Value, &'static str> {
    if response.status().is_redirection() {
        return Err("redirect");
    }
    let body = response.body();
    if body.len() > limit {
        return Err("too_large");
    }
    let text = String::from_utf8_lossy(body);
    let text = bare(&text);
    if text.is_empty() {
        return Err("empty");
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => return Ok(value),
        Ok(_) => return Err("not_an_object"),
        Err(_) => {}
    }
    if reading == Reading::WordPress
        && let Some(value) = between_notices(text)
    {
        return Ok(value);
    }
    let content_type = content_type(response);
    if text.starts_with('<') || content_type.contains("html") {
        return Err("html");
    }
    form(text, &content_type).ok_or("not_json")
}

/// Without byte order mark and blanks around it.
fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace())
}

fn content_type(response: &Response) -> String {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// The JSON object that PHP notices stand around; only one that looks like an answer of WordPress.
fn between_notices(text: &str) -> Option<Value> {
    let from = text.find("{\"")?;
    let to = text.rfind('}')?;
    let value: Value = serde_json::from_str(text.get(from..=to)?).ok()?;
    [
        "token",
        "access_token",
        "data",
        "code",
        "error",
        "success",
        "namespaces",
    ]
    .iter()
    .any(|key| value.get(key).is_some())
    .then_some(value)
}

/// A form-urlencoded answer (GitHub without `Accept`), recognised by its content type or its first field.
fn form(text: &str, content_type: &str) -> Option<Value> {
    let named = content_type.starts_with("application/x-www-form-urlencoded");
    let begins = ["access_token=", "error=", "token_type=", "scope="]
        .iter()
        .any(|field| text.starts_with(field));
    if !(begins || named && text.contains('=')) {
        return None;
    }
    let fields: Map<String, Value> = url::form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
        .collect();
    Some(Value::Object(fields))
}

pub(crate) fn unusable(response: &Response, why: &'static str, known: &Known) -> Unusable {
    Unusable {
        status: response.status().as_u16(),
        why,
        retry_after: retry_after(response.headers()),
        location: location(response, known),
        body_start: shown_body(response, known),
    }
}

fn location(response: &Response, known: &Known) -> Option<String> {
    let value = response.headers().get(http::header::LOCATION)?;
    let address = value.to_str().ok()?.split(['?', '#']).next()?;
    Some(cut(&known.mask(address), BODY_SHOWN).to_owned())
}

/// The start of the body as it may be shown. Masked as a whole before it is cut, so that no token is cut
/// into something that is no longer recognised.
pub(crate) fn shown_body(response: &Response, known: &Known) -> String {
    let body = response.body();
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
    let masked = known.mask(bare(&text));
    cut(&masked, BODY_SHOWN).to_owned()
}
