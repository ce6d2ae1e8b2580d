//! Reading a server's no, whatever shape it has.

use serde_json::Value;

use crate::Response;
use crate::answer::{BODY_SHOWN, Reading, Refusal, shown_body};
use crate::json;
use crate::mask::{Known, cut};
use crate::retry_after::{RetryAfter, retry_after};

/// Where a machine-readable code stands, most telling first. `errcode` comes before `error`, because Matrix
/// puts prose into `error`.
const CODES: &[&str] = &[
    "errcode",
    "error",
    "/error/error",
    "/error/code",
    "/error/status",
    "/error/type",
    "error_code",
    "errorCode",
    "code",
    "/errors/0/errorType",
    "/errors/0/extensions/code",
    "/errors/0/code",
    "/fault/detail/errorcode",
    "__type",
    "type",
    "title",
    "status",
];
/// Numbers count as codes only where no string was found.
const NUMBERS: &[&str] = &["errcode", "error_code", "errorCode", "/error/code", "code"];
/// Numeric codes of Simple JWT Login.
const PLUGIN_NUMBERS: &[&str] = &["/data/error_code", "/data/errorCode"];
const TEXTS: &[&str] = &[
    "error_description",
    "/error/error_description",
    "/error/message",
    "/data/message",
    "/errors/0/message",
    "/fault/faultstring",
    "message",
    "error_message",
    "errmsg",
    "msg",
    "detail",
    "details",
    "reason",
];
const HINTS: &[&str] = &["hint", "error_hint"];
const SUBS: &[&str] = &[
    "suberror",
    "error_subtype",
    "/data/reason/code",
    "/data/reason",
];
const WAITS: &[&str] = &[
    "retry_after",
    "retry_after_seconds",
    "/data/retry_after_seconds",
    "/data/retry_after",
];
/// Words that name no cause.
const EMPTY_WORDS: &[&str] = &[
    "error",
    "failure",
    "fail",
    "failed",
    "success",
    "about:blank",
    "ok",
    "false",
    "true",
];

/// Whether a body is a refusal beyond doubt, whatever else it holds.
pub(crate) fn says_no(value: &Value) -> bool {
    let flag = |name: &str| value.get(name) == Some(&Value::Bool(false));
    let error = match value.get("error") {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Bool(set)) => *set,
        _ => false,
    };
    let errcode = match value.get("errcode") {
        Some(Value::String(text)) => !text.is_empty() && text != "0",
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        _ => false,
    };
    error || errcode || flag("ok") || flag("success")
}

/// Whether a body without tokens names a cause: a code and a text, and no word of success.
pub(crate) fn sounds_like_no(value: &Value) -> bool {
    let flag = |name: &str| value.get(name) == Some(&Value::Bool(true));
    !flag("ok") && !flag("success") && code(value, 200).is_some() && text(value).is_some()
}

/// Reads the refusal.
pub(crate) fn read(response: &Response, value: &Value, reading: Reading, known: &Known) -> Refusal {
    let status = response.status().as_u16();
    let clean = |text: &str| {
        let plain = if reading == Reading::WordPress {
            strip_html(text)
        } else {
            text.trim().to_owned()
        };
        cut(&known.mask(&plain), BODY_SHOWN).to_owned()
    };
    let error = code(value, status);
    let description = description(value).as_deref().map(clean);
    Refusal {
        status,
        sub: sub(value, status, error.as_deref(), description.as_deref()).map(|sub| clean(&sub)),
        error: error.map(|error| clean(&error)),
        description,
        retry_after: retry_after(response.headers()).or_else(|| wait(value)),
        body: shown_body(response, known),
    }
}

fn code(value: &Value, status: u16) -> Option<String> {
    let number = |paths: &[&str]| {
        paths.iter().find_map(|path| {
            let number = json::find(value, path)?.as_i64()?;
            let name = path.rsplit('/').next().unwrap_or(path);
            let label = if name.starts_with("error") {
                "error_code"
            } else {
                name
            };
            (number != 0 && number != i64::from(status)).then(|| format!("{label}:{number}"))
        })
    };
    number(PLUGIN_NUMBERS)
        .or_else(|| {
            CODES
                .iter()
                .filter_map(|path| json::string(value, path))
                .find(|text| !EMPTY_WORDS.contains(&text.to_ascii_lowercase().as_str()))
                .map(str::to_owned)
        })
        .or_else(|| number(NUMBERS))
}

fn text(value: &Value) -> Option<&str> {
    TEXTS
        .iter()
        .find_map(|path| json::string(value, path))
        // Matrix: a code in `errcode`, prose in `error`.
        .or_else(|| {
            json::find(value, "errcode")?;
            json::string(value, "error")
        })
}

fn description(value: &Value) -> Option<String> {
    let hint = HINTS.iter().find_map(|path| json::string(value, path));
    match (text(value), hint) {
        (Some(text), Some(hint)) => Some(format!("{text} ({hint})")),
        (text, hint) => text.or(hint).map(str::to_owned),
    }
}

fn sub(
    value: &Value,
    status: u16,
    error: Option<&str>,
    description: Option<&str>,
) -> Option<String> {
    SUBS.iter()
        .find_map(|path| json::string(value, path))
        .map(str::to_owned)
        .or_else(|| description.and_then(microsoft_number).map(str::to_owned))
        .or_else(|| second_code(value, status, error?))
}

/// `AADSTS50173`, `AADB2C90129`: the number that tells, at the start of Microsoft's texts.
fn microsoft_number(description: &str) -> Option<&str> {
    ["AADSTS", "AADB2C"].iter().find_map(|prefix| {
        let from = description.find(prefix)?;
        let digits = description[from + prefix.len()..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        (digits > 0).then(|| &description[from..from + prefix.len() + digits])
    })
}

/// A second code beside the first: Kakao's `error_code`, Feishu's `code`, a plugin's WP_Error code.
fn second_code(value: &Value, status: u16, error: &str) -> Option<String> {
    ["error_code", "errorCode", "code"].iter().find_map(|path| {
        let found = match json::find(value, path)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let repeats =
            found == error || found == status.to_string() || error.ends_with(&format!(":{found}"));
        (!found.is_empty() && found != "0" && !repeats).then_some(found)
    })
}

fn wait(value: &Value) -> Option<RetryAfter> {
    WAITS
        .iter()
        .find_map(|path| json::integer(value, path))
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(RetryAfter::Seconds)
}

/// Takes tags out of a WordPress message and turns its entities into characters.
pub(crate) fn strip_html(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(from) = rest.find('<') {
        let (before, tag) = rest.split_at(from);
        plain.push_str(before);
        match tag.find('>') {
            Some(to) if is_tag(tag) => rest = &tag[to + 1..],
            _ => {
                plain.push('<');
                rest = &tag[1..];
            }
        }
    }
    plain.push_str(rest);
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#039;", "'"),
        ("&#8217;", "’"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        plain = plain.replace(entity, character);
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_tag(text: &str) -> bool {
    text[1..]
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '/' || c == '!')
}
