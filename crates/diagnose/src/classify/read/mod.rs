//! Reads an answer of any shape into what rules look at: machine codes, words for people, challenges.

pub(crate) mod json;
pub(crate) mod keys;
pub(crate) mod markup;
pub(crate) mod words;

use std::borrow::Cow;
use std::fmt::Write;

use super::answer::Answer;
use super::challenge::{Challenge, challenges};
use json::{At, Scalar};
use keys::Kind;

/// Most machine codes that are kept.
const CODES: usize = 48;
/// Longest machine code.
const CODE_MAX: usize = 120;
/// As much normalised text is matched.
const TEXT_MAX: usize = 1344;
/// Of a page a little less, so that what its headers say has room.
const PAGE_MAX: usize = TEXT_MAX - 128;
/// As much of a server's own words is kept to be shown.
const SAID_MAX: usize = 240;
/// Headers that are looked at, and how much of each.
const HEADERS: usize = 128;
const HEADER_MAX: usize = 2048;

/// What a body is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    #[default]
    Empty,
    Json,
    Xml,
    Html,
    Form,
    Plain,
}

/// A machine code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// As rules look it up ([`words::plain`]); numbers as `key:number`.
    pub plain: String,
    /// As written.
    pub shown: String,
    /// Where it stood.
    pub key: String,
}

/// What an answer says.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub shape: Shape,
    pub codes: Vec<Code>,
    /// The words the codes are made of, normalised.
    pub code_words: String,
    /// Everything said for people, normalised.
    pub text: String,
    /// The beginning of that as the server wrote it.
    pub said: String,
    pub challenges: Vec<Challenge>,
    /// The body says of itself that it is an error, whatever the status.
    pub denies: bool,
    /// A JSON body that ends in the middle.
    pub cut: bool,
    /// A JSON body with nothing in it.
    pub bare: bool,
    /// A JSON body of one member, called `msg`: how Flask-JWT-Extended refuses a token.
    pub only_msg: bool,
    /// A page with a form to log in.
    pub login_form: bool,
}

impl Reading {
    pub fn of(answer: &Answer<'_>) -> Self {
        let mut reading = Self {
            challenges: challenges(answer.headers),
            ..Self::default()
        };
        reading.headers(answer);
        let body = decoded(answer.start());
        let text = body
            .trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace())
            .trim_end();
        let kind = answer.header("content-type").unwrap_or_default();
        reading.shape = reading.body(text, &kind.to_ascii_lowercase(), answer.status, 0);
        reading
    }

    /// A token answer that the wire crate has taken apart already.
    pub fn add_parts(&mut self, error: Option<&str>, sub: Option<&str>, description: Option<&str>) {
        for code in [error, sub].into_iter().flatten() {
            match code.split_once(':') {
                Some((key, number)) if is_number(number) => self.number(key, number),
                _ => self.string("error", code, true),
            }
        }
        if let Some(text) = description {
            self.sentence(text);
        }
    }

    fn body(&mut self, text: &str, kind: &str, status: u16, level: u8) -> Shape {
        if text.is_empty() {
            return Shape::Empty;
        }
        // PHP notices and XSSI guards may stand before the JSON.
        let object = text
            .find("{\"")
            .filter(|at| *at < 2000 && !text.starts_with(['{', '[']));
        if json::looks_like(text) {
            self.cut = !text.ends_with(['}', ']']);
            self.bare = text.len() <= 4
                && matches!(
                    text.split_whitespace().collect::<String>().as_str(),
                    "{}" | "[]"
                );
            self.json(text, status, level);
            return Shape::Json;
        }
        if markup::is_html(text, kind) {
            if let Some(at) = object
                && !kind.contains("html")
            {
                self.json(&text[at..], status, level);
                return Shape::Json;
            }
            self.login_form = markup::is_login_form(text);
            let page = markup::page_text(text, PAGE_MAX);
            self.page(&page);
            return Shape::Html;
        }
        if text.starts_with("<br") || text.starts_with("<b>") {
            self.sentence(&markup::page_text(text, PAGE_MAX));
            return Shape::Plain;
        }
        if text.starts_with('<') {
            markup::elements(text, &mut |name, value| self.element(name, value, status));
            return Shape::Xml;
        }
        if let Some(at) = object {
            self.json(&text[at..], status, level);
            return Shape::Json;
        }
        if is_form(text, kind) {
            for (name, value) in url::form_urlencoded::parse(text.as_bytes()).take(64) {
                self.element(&name, &value, status);
            }
            self.denies |= text.starts_with("error") || text.contains("&error");
            return Shape::Form;
        }
        let start = &text[..text.floor_char_boundary(TEXT_MAX)];
        let bare = start.trim_matches('"');
        self.string("message", bare, false);
        Shape::Plain
    }

    fn json(&mut self, text: &str, status: u16, level: u8) {
        let mut members = 0;
        json::walk(text, &mut |at, value| {
            members += 1;
            self.only_msg = members == 1 && at.depth == 1 && at.key == "msg";
            self.denies |= level == 0 && denies(at, &value);
            match value {
                Scalar::Text(value) if level == 0 && json::looks_nested(value.trim()) => {
                    self.json(value.trim(), status, 1);
                }
                Scalar::Text(value) => self.keyed(at.key, at.parent, &value, status),
                Scalar::Number(value) => {
                    if at.parent == "data" && keys::is_error_code(at.key) && level == 0 {
                        self.number("data.error_code", value);
                    }
                    self.numbered(at.key, value, status);
                }
                Scalar::Bool(_) | Scalar::Null => {}
            }
        });
    }

    fn element(&mut self, name: &str, value: &str, status: u16) {
        let error = name.to_ascii_lowercase();
        self.denies |= matches!(
            error.as_str(),
            "error" | "errorcode" | "faultstring" | "faultcode" | "shortmessage"
        ) || error == "ack" && value == "Failure";
        if is_number(value) {
            self.numbered(name, value, status);
        } else {
            self.keyed(name, "", value, status);
        }
    }

    fn keyed(&mut self, key: &str, parent: &str, value: &str, status: u16) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        if is_number(value) {
            return self.numbered(key, value, status);
        }
        match keys::kind(key) {
            Kind::Code | Kind::Text => self.string(key, value, true),
            Kind::Other if keys::kind(parent) != Kind::Ignored && value.contains(' ') => {
                self.sentence(&format!("{key}: {value}"));
            }
            Kind::Ignored | Kind::Other => {}
        }
    }

    fn numbered(&mut self, key: &str, number: &str, status: u16) {
        let repeats = number.parse::<u16>() == Ok(status);
        let repeats = repeats && !matches!(key, "error_code" | "error");
        if keys::holds_numbers(key) && !repeats && number != "0" {
            self.number(key, number);
        }
    }

    fn number(&mut self, key: &str, number: &str) {
        let mut plain = words::plain(key);
        let _ = write!(plain, ":{number}");
        self.push_code(plain, number, key);
    }

    /// A code when it is one word, a sentence otherwise, and both when nobody can tell.
    fn string(&mut self, key: &str, value: &str, may_be_code: bool) {
        let word =
            value.len() <= CODE_MAX && value.is_ascii() && !value.contains(char::is_whitespace);
        if !word {
            return self.sentence(value);
        }
        if !may_be_code && !value.contains(|c: char| c == '_' || c.is_ascii_uppercase()) {
            return self.sentence(value);
        }
        let code = if value.contains("://") || value.starts_with("urn:") || value.contains('#') {
            words::last_part(value)
        } else {
            // AWS writes `Type:http://…`, Java the package before the name.
            value.split(":http").next().unwrap_or(value)
        };
        if code == "about:blank" || code == "blank" {
            return;
        }
        self.push_code(words::plain(code), code, key);
        let last = words::last_part(code);
        if last.len() != code.len() {
            self.push_code(words::plain(last), last, key);
        }
        words::push_normal(&mut self.code_words, code, TEXT_MAX);
        self.code_words.push_str(" ;");
    }

    fn push_code(&mut self, plain: String, shown: &str, key: &str) {
        let known = self.codes.iter().any(|code| code.plain == plain);
        if !plain.is_empty() && !known && self.codes.len() < CODES {
            self.codes.push(Code {
                plain,
                shown: shown.to_owned(),
                key: key.chars().take(60).collect(),
            });
        }
    }

    fn sentence(&mut self, text: &str) {
        self.codes_in(text, true);
        self.words(text);
    }

    /// What a page says. A protocol's code on one is a word there: no server answers a client with a page in its
    /// protocol's name (RFC 6749 §5.2). Numbered codes are printed on pages for people to look up.
    fn page(&mut self, text: &str) {
        self.codes_in(text, false);
        self.words(text);
    }

    fn words(&mut self, text: &str) {
        if self.said.len() < SAID_MAX && !self.said.contains(text) {
            if !self.said.is_empty() {
                self.said.push(' ');
            }
            let room = SAID_MAX.saturating_sub(self.said.len());
            self.said.push_str(&text[..text.floor_char_boundary(room)]);
        }
        if text.contains("://") {
            for word in text.split_whitespace().filter(|word| !word.contains("://")) {
                words::push_normal(&mut self.text, word, TEXT_MAX);
            }
        } else {
            words::push_normal(&mut self.text, text, TEXT_MAX);
        }
        self.text.push_str(" ;");
    }

    /// `AADSTS50173`, `E0000011`, `invalid_grant`: codes that travel inside sentences.
    fn codes_in(&mut self, text: &str, spelled_too: bool) {
        // Looked at whole, not up to the first: that runs many bytes at a time.
        if text.bytes().fold(0, |found, b| {
            found | u8::from(b == b'_') | u8::from(b.is_ascii_digit())
        }) == 0
        {
            return;
        }
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
        for word in words
            .take(200)
            .filter(|word| (4..=60).contains(&word.len()))
        {
            let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
            let digits = word[letters..].bytes().filter(u8::is_ascii_digit).count();
            let numbered = (1..=8).contains(&letters)
                && digits >= 3
                && word[letters..]
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'C'));
            let spelled = spelled_too
                && word.contains('_')
                && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
            if numbered || spelled {
                self.push_code(words::plain(word), word, "text");
            }
        }
    }

    fn headers(&mut self, answer: &Answer<'_>) {
        for challenge in std::mem::take(&mut self.challenges) {
            for (name, value) in challenge.params.iter().take(16) {
                match name.as_str() {
                    "error" => self.string("error", value, true),
                    "error_description" => self.sentence(value),
                    _ => {}
                }
            }
            self.challenges.push(challenge);
        }
        for (name, value) in answer.headers.iter().take(HEADERS) {
            let name = name.as_str();
            let Ok(value) = value.to_str() else { continue };
            if value.len() > HEADER_MAX {
                continue;
            }
            if name == "grpc-status" {
                self.number(name, value);
            } else if name == "grpc-message" {
                let text: String =
                    url::form_urlencoded::parse(value.replace('+', "%2B").as_bytes())
                        .map(|(text, _)| text.into_owned())
                        .collect();
                self.sentence(&text);
            } else if keys::header_speaks(name) && !is_number(value) {
                self.string(name, value, true);
            }
        }
    }
}

/// The body as text: UTF-16 when it says so, else UTF-8 with its errors replaced.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    let wide = |read: fn([u8; 2]) -> u16| {
        let units = bytes[2..]
            .chunks_exact(2)
            .map(|pair| read([pair[0], pair[1]]));
        Cow::Owned(
            char::decode_utf16(units)
                .map(|c| c.unwrap_or('\u{fffd}'))
                .collect(),
        )
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => narrow(bytes),
    }
}

/// UTF-8; a character that was cut in half at the end is left out.
fn narrow(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()])
        }
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_form(text: &str, kind: &str) -> bool {
    let pair = text.split_once('=').is_some_and(|(name, _)| {
        name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    pair && (kind.contains("x-www-form-urlencoded")
        || !text.contains(' ')
        || text.starts_with("error="))
}

/// Whether a status in words says no: `error`, `UNAUTHORISED`, `TRY_REFRESH_TOKEN`.
fn refuses(status: &str) -> bool {
    let shouted = status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    ["error", "fail", "failed", "failure"].contains(&status.to_ascii_lowercase().as_str())
        || shouted
            && [
                "TOKEN", "UNAUTH", "SESSION", "ERROR", "DENIED", "EXPIRED", "INVALID",
            ]
            .iter()
            .any(|part| status.contains(part))
}

/// Whether a JSON value says that its body is an error.
fn denies(at: At<'_>, value: &Scalar<'_>) -> bool {
    let fine = |text: &str| {
        [
            "0", "", "ok", "success", "200", "none", "false", "true", "null",
        ]
        .contains(&text.to_ascii_lowercase().as_str())
    };
    match at.key.to_ascii_lowercase().as_str() {
        "success" | "ok" | "succeeded" if at.depth == 1 => *value == Scalar::Bool(false),
        "error" | "errors" | "errcode" | "err" | "errno" | "error_code" | "errorcode"
        | "error_msg" | "errmsg"
            if at.depth <= 2 =>
        {
            match value {
                Scalar::Text(text) => !fine(text),
                Scalar::Number(number) => *number != "0",
                Scalar::Bool(set) => *set,
                Scalar::Null => false,
            }
        }
        "status" | "result" | "stat" if at.depth == 1 => {
            matches!(value, Scalar::Text(text) if refuses(text))
        }
        "code" if at.depth == 1 => match value {
            Scalar::Number(number) => !["0", "200", "1"].contains(number),
            Scalar::Text(text) => !fine(text),
            _ => false,
        },
        "message" | "extensions" | "code" => at.parent == "errors" || at.parent == "error",
        _ => false,
    }
}
