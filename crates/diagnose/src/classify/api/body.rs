//! Finds codes and sentences in the body of an error, whatever shape it has.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

/// A plain-text body longer than this is no error message.
const PLAIN_MAX: usize = 512;

/// Where machine codes stand.
const CODES: &[&str] = &[
    "/error",
    "/code",
    "/error_code",
    "/errorCode",
    "/errcode",
    "/type",
    "/reason",
    "/__type",
    "/name",
    "/status",
    "/messageId",
    "/error/code",
    "/error/type",
    "/error/status",
    "/error/reason",
    "/error/error",
    "/errors/0/code",
    "/errors/0/extensions/code",
    "/errors/0/errorType",
    "/errors/0/errorCode",
    "/0/errorCode",
    "/fault/detail/errorcode",
    "/data/reason/code",
    "/data/reason",
];
/// Where sentences stand.
const TEXTS: &[&str] = &[
    "/message",
    "/Message",
    "/error_description",
    "/description",
    "/detail",
    "/Detail",
    "/title",
    "/msg",
    "/errmsg",
    "/error_msg",
    "/err",
    "/exp",
    "/erro",
    "/errorSummary",
    "/error",
    "/error/message",
    "/error/error_description",
    "/errors/0/message",
    "/errors/0/detail",
    "/errors/0",
    "/0/message",
    "/fault/faultstring",
    "/data/message",
    "/messages/0/message",
];

/// What a body says.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Machine codes, as written, the most prominent first.
    pub codes: Vec<String>,
    /// Sentences for people, joined.
    pub text: String,
    /// It is a web page.
    pub html: bool,
    /// The number of Simple JWT Login.
    pub plugin_number: Option<u64>,
    /// Nothing at all.
    pub empty: bool,
}

impl Body {
    pub fn read(headers: &HeaderMap, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}').trim();
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let mut body = match serde_json::from_str::<Value>(text) {
            Ok(json) if json.is_object() || json.is_array() => Self::of_json(&json),
            _ => Self::of_text(text, kind),
        };
        // AWS puts the code into a header: `NotAuthorizedException:`.
        if let Some(code) = headers
            .get("x-amzn-errortype")
            .and_then(|code| code.to_str().ok())
        {
            body.codes
                .push(code.split(':').next().unwrap_or(code).to_owned());
        }
        body
    }

    fn of_json(json: &Value) -> Self {
        let string = |path: &&str| {
            json.pointer(path)
                .and_then(Value::as_str)
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let codes = CODES
            .iter()
            .filter_map(string)
            .filter(|code| !code.contains(' ') && code.len() <= 100);
        let mut texts: Vec<&str> = Vec::new();
        for text in TEXTS.iter().filter_map(string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let number = |path: &str| json.pointer(path).and_then(Value::as_u64);
        Self {
            codes: codes.map(str::to_owned).collect(),
            text: texts.join(" ").chars().take(1000).collect(),
            plugin_number: number("/data/error_code").or_else(|| number("/data/errorCode")),
            ..Self::default()
        }
    }

    fn of_text(text: &str, kind: &str) -> Self {
        // A page may be named HTML and be none: a short text without a tag is read as what it is.
        let html = text.starts_with('<') && !text.starts_with("<?xml")
            || kind.contains("html") && text.contains('<');
        let plain = html || text.len() <= PLAIN_MAX && !text.starts_with(['{', '[', '<']);
        Self {
            text: if plain {
                text.chars().take(4000).collect()
            } else {
                String::new()
            },
            html,
            empty: text.is_empty(),
            ..Self::default()
        }
    }

    /// Whether one of the codes is this one, ignoring case, `_`, `-`, spaces and what stands before the last dot.
    pub fn has_code(&self, wanted: &[&str]) -> bool {
        self.codes
            .iter()
            .any(|code| wanted.contains(&plain(code).as_str()))
    }

    /// Whether one of the codes starts so, as written.
    pub fn code_starting(&self, prefix: &str) -> Option<&str> {
        self.codes
            .iter()
            .map(String::as_str)
            .find(|code| code.starts_with(prefix))
    }
}

/// `steps.jwt.TokenExpired` and `token_expired` are one word.
fn plain(code: &str) -> String {
    let last = code.rsplit(['.', '#', '/']).next().unwrap_or(code);
    last.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}
