//! Answers as JSON Lines: what `tenure classify` reads and writes (DESIGN §12).

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tenure_core::{Class, Evidence};
use tenure_wire::mask;

use crate::classify::{Answer, Finding, Grant, Local, Place, judge};
use crate::profile::{Profile, profile, profile_names};

/// Why a line could not be classified.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is not JSON.
    #[error("not a JSON object: {0}")]
    NotJson(String),
    /// A key is missing or holds something else.
    #[error("key `{key}`: {why}")]
    Key {
        /// Name of the key, with dots.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Keys of a line; those of a labelled corpus are known and passed over.
const KEYS: &[&str] = &[
    "id",
    "where",
    "request",
    "status",
    "headers",
    "body",
    "local",
    "provider",
    "truth",
    "system",
    "source",
    "confidence",
];

/// Keys of `local`.
const FACTS: &[&str] = &[
    "access_token_sent",
    "access_token_expired",
    "access_token_expired_by_server_clock",
    "access_token_age_s",
    "refresh_token_expired",
    "has_refresh_token",
    "clock_offset_s",
    "token_iss",
    "issuer_expected",
    "token_kid",
    "jwks_kids",
    "request_host",
    "final_host",
    "request_method",
    "antiforgery_in_use",
    "just_refreshed",
];

/// Headers that verdicts rest on.
const WEIGHTY: &[&str] = &["www-authenticate", "content-type", "retry-after"];

/// A key that is nearly one that is missing was meant to be that one. What else is not known comes back.
fn slips(value: &Value, prefix: &str, known: &[&str]) -> Result<Vec<String>, LineError> {
    let Some(fields) = value.as_object() else {
        return Ok(Vec::new());
    };
    let mut strange = Vec::new();
    for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
        let missing = known
            .iter()
            .copied()
            .filter(|name| !fields.contains_key(*name));
        if let Some(near) = crate::name::nearest(&key.to_ascii_lowercase(), missing) {
            return Err(wrong(
                &format!("{prefix}{key}"),
                format!("not known; did you mean `{prefix}{near}`?"),
            ));
        }
        strange.push(format!("{prefix}{key}"));
    }
    Ok(strange)
}

/// A header that is nearly a weighty one which is missing was meant to be that one.
fn header_slips(headers: &HeaderMap) -> Result<(), LineError> {
    /// More letters than this make another header: `content-size`.
    const LETTERS: usize = 2;
    for name in headers.keys().map(HeaderName::as_str) {
        let meant = WEIGHTY
            .iter()
            .filter(|known| !headers.contains_key(**known))
            .find(|known| (1..=LETTERS).contains(&crate::name::distance(name, known)));
        if let Some(meant) = meant {
            let why = format!("not known; did you mean `headers.{meant}`?");
            return Err(wrong(&format!("headers.{name}"), why));
        }
    }
    Ok(())
}

/// One answer, as a line describes it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Name of the case; empty when the line has none.
    pub id: Value,
    /// Who answered.
    pub place: Place,
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
    /// What is known locally.
    pub local: Local,
    /// The profile named.
    pub provider: Option<&'static Profile>,
    /// A provider that has no profile: it is judged without one, and the verdict says so.
    pub stranger: Option<String>,
    /// Keys of `local` and `request` that nobody knows, and that were not heeded.
    pub unheeded: Vec<String>,
}

impl Line {
    /// Reads a line; `truth` and other keys are not looked at.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| LineError::NotJson(error.to_string()))?;
        if !value.is_object() {
            return Err(LineError::NotJson(
                "it is a JSON value of another kind".to_owned(),
            ));
        }
        Self::of(&value)
    }

    /// Reads a line that was parsed before.
    pub fn of(value: &Value) -> Result<Self, LineError> {
        slips(value, "", KEYS)?;
        let mut unheeded = Vec::new();
        for (name, known) in [("local.", FACTS), ("request.", &["grant"][..])] {
            let inner = value.get(name.trim_end_matches('.'));
            unheeded.extend(slips(inner.unwrap_or(&Value::Null), name, known)?);
        }
        let place = match string(value, "where")? {
            Some("token") => Place::Token,
            Some("resource") | None => Place::Resource,
            Some(other) => {
                return Err(wrong(
                    "where",
                    format!("{other:?} is neither \"token\" nor \"resource\""),
                ));
            }
        };
        let status = value
            .get("status")
            .ok_or_else(|| wrong("status", "missing; an HTTP status (a number) is needed"))?
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (100..1000).contains(status))
            .ok_or_else(|| wrong("status", "not an HTTP status (100 to 999)"))?;
        let grant = match value.get("request") {
            None | Some(Value::Null) => None,
            Some(request @ Value::Object(_)) => {
                string(request, "grant").map_err(|_| wrong("request.grant", "not a string"))?
            }
            Some(_) => return Err(wrong("request", "not an object")),
        };
        let (provider, stranger) = provider(string(value, "provider")?);
        Ok(Self {
            id: value.get("id").cloned().unwrap_or(Value::Null),
            place,
            status,
            headers: headers(value.get("headers"))?,
            body: body(value.get("body"))?,
            local: local(value.get("local"), place, grant)?,
            provider,
            stranger,
            unheeded,
        })
    }

    /// What it means.
    pub fn judge(&self) -> Finding {
        let answer = Answer {
            place: self.place,
            status: self.status,
            headers: &self.headers,
            body: self.body.as_bytes(),
        };
        let mut finding = judge(&answer, &self.local, self.provider);
        if let Some(stranger) = &self.stranger {
            finding.failure.evidence.push(Evidence {
                kind: "provider".to_owned(),
                value: mask(stranger),
                source: "input".to_owned(),
            });
        }
        finding
    }
}

/// Classifies one line: `{"id","class","code","cause","heal","who","rule","evidence":[…]}`.
pub fn classify_line(text: &str) -> Result<Value, LineError> {
    let line = Line::parse(text)?;
    Ok(shown(&line.id, &line.judge()))
}

/// A finding as it is written.
pub fn shown(id: &Value, finding: &Finding) -> Value {
    let failure = &finding.failure;
    let code = match failure.class {
        Class::NotAuth => Value::Null,
        _ => json!(failure.code),
    };
    json!({
        "id": id,
        "class": class_name(failure.class),
        "code": code,
        "cause": failure.cause,
        "heal": failure.heal,
        "who": failure.who,
        "rule": failure.rule,
        "evidence": failure.evidence,
    })
}

/// The class in the words of the corpus, which knows fewer.
pub fn class_name(class: Class) -> &'static str {
    match class {
        Class::LoginRejected => Class::BadRequest.as_str(),
        Class::UserNotAuthorized => Class::InsufficientScope.as_str(),
        Class::HeaderLost => Class::AccessMissing.as_str(),
        other => other.as_str(),
    }
}

fn wrong(key: &str, why: impl Into<String>) -> LineError {
    LineError::Key {
        key: key.to_owned(),
        why: why.into(),
    }
}

fn string<'v>(value: &'v Value, key: &str) -> Result<Option<&'v str>, LineError> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(key, "not a string")),
    }
}

/// A map from name to value or list of values, or a list of pairs: `["name", "value"]` or `{"name": …, "value": …}`.
fn headers(value: Option<&Value>) -> Result<HeaderMap, LineError> {
    let mut headers = HeaderMap::new();
    match value {
        None | Some(Value::Null) => return Ok(headers),
        Some(Value::Object(fields)) => {
            for (name, value) in fields {
                let key = format!("headers.{name}");
                match value {
                    Value::Array(values) => values
                        .iter()
                        .try_for_each(|value| push(&mut headers, &key, name, value))?,
                    one => push(&mut headers, &key, name, one)?,
                }
            }
        }
        Some(Value::Array(pairs)) => {
            for (number, pair) in pairs.iter().enumerate() {
                let key = format!("headers[{number}]");
                let (name, value) = header_pair(&key, pair)?;
                push(&mut headers, &key, name, value)?;
            }
        }
        Some(_) => return Err(wrong("headers", "neither an object nor a list of pairs")),
    }
    header_slips(&headers)?;
    Ok(headers)
}

fn header_pair<'v>(key: &str, pair: &'v Value) -> Result<(&'v str, &'v Value), LineError> {
    const SHAPE: &str = "not a pair: [\"name\", \"value\"] or {\"name\": …, \"value\": …}";
    let (name, value) = match pair {
        Value::Array(pair) if pair.len() == 2 => (&pair[0], &pair[1]),
        Value::Object(fields) => {
            slips(pair, &format!("{key}."), &["name", "value"])?;
            match (fields.get("name"), fields.get("value")) {
                (Some(name), Some(value)) => (name, value),
                _ => return Err(wrong(key, SHAPE)),
            }
        }
        _ => return Err(wrong(key, SHAPE)),
    };
    let name = name.as_str().ok_or_else(|| wrong(key, SHAPE))?;
    Ok((name, value))
}

fn push(headers: &mut HeaderMap, key: &str, name: &str, value: &Value) -> Result<(), LineError> {
    let field = HeaderName::try_from(name).map_err(|_| wrong(key, "not the name of a header"))?;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(wrong(key, "not a string")),
    };
    // Line breaks cannot stand in a header; a value that was folded is joined.
    let text = text.replace(['\r', '\n', '\0'], " ");
    let value = HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| wrong(key, "not the value of a header"))?;
    headers.append(field, value);
    Ok(())
}

fn body(value: Option<&Value>) -> Result<String, LineError> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Object(_) | Value::Array(_)) => {
            Ok(value.map(Value::to_string).unwrap_or_default())
        }
        Some(_) => Err(wrong("body", "not a string")),
    }
}

/// The profile with this name, or what to say about one that is not known.
fn provider(name: Option<&str>) -> (Option<&'static Profile>, Option<String>) {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return (None, None);
    };
    if let Some(known) = profile(name) {
        return (Some(known), None);
    }
    let hint = crate::name::nearest(name, profile_names().iter().copied());
    let hint = hint
        .map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default();
    (None, Some(format!("no profile is called {name:?}{hint}")))
}

fn local(value: Option<&Value>, place: Place, grant: Option<&str>) -> Result<Local, LineError> {
    let empty = Value::Null;
    let facts = value.unwrap_or(&empty);
    if !facts.is_object() && !facts.is_null() {
        return Err(wrong("local", "not an object"));
    }
    let flag = |name: &str| match facts.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(set)) => Ok(Some(*set)),
        Some(_) => Err(wrong(&format!("local.{name}"), "neither true nor false")),
    };
    let seconds = |name: &str| match facts.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number
            .as_i64()
            .or_else(|| number.as_f64().filter(|f| f.abs() < 9e15).map(|f| f as i64))
            .map(Some)
            .ok_or_else(|| wrong(&format!("local.{name}"), "not a number of seconds")),
    };
    let text = |name: &str| {
        string(facts, name)
            .map(|text| text.map(str::to_owned))
            .map_err(|_| wrong(&format!("local.{name}"), "not a string"))
    };
    let sent = flag("access_token_sent")?;
    let held = flag("has_refresh_token")?;
    Ok(Local {
        token_sent: sent.unwrap_or(true),
        token_sent_unknown: sent.is_none(),
        token_expired: flag("access_token_expired")?,
        token_expired_by_server: flag("access_token_expired_by_server_clock")?,
        token_age_s: seconds("access_token_age_s")?,
        just_refreshed: flag("just_refreshed")?.unwrap_or(false),
        clock_offset_ms: seconds("clock_offset_s")?.unwrap_or(0).saturating_mul(1000),
        has_refresh: held.unwrap_or(true),
        has_refresh_unknown: held.is_none(),
        refresh_expired: flag("refresh_token_expired")?.unwrap_or(false),
        token_issuer: text("token_iss")?,
        issuer: text("issuer_expected")?,
        token_kid: text("token_kid")?,
        jwks_kids: kids(facts.get("jwks_kids"))?,
        request_host: text("request_host")?,
        final_host: text("final_host")?,
        request_method: text("request_method")?,
        antiforgery: flag("antiforgery_in_use")?.unwrap_or(false),
        grant: match (place, grant) {
            (_, Some(grant)) => Grant::parse(grant),
            (_, None) => Grant::RefreshToken,
        },
        ..Local::default()
    })
}

fn kids(value: Option<&Value>) -> Result<Option<Vec<String>>, LineError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(kids)) => kids
            .iter()
            .map(|kid| kid.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(Some)
            .ok_or_else(|| wrong("local.jwks_kids", "not a list of strings")),
        Some(_) => Err(wrong("local.jwks_kids", "not a list of strings")),
    }
}
