//! What a log or a program wraps a pasted text in: JSON around each line, a JSON string, line breaks as `\n`.

use std::borrow::Cow;

use serde_json::Value;

/// Where logs keep what a program wrote: docker's json-file (`log`), journald's JSON (`MESSAGE`), cloud and
/// structured loggers (`message`, `msg`, `textPayload`, `line`).
const TEXTS: [&str; 6] = ["log", "MESSAGE", "message", "msg", "textPayload", "line"];

/// The text as the program wrote it; what is not wrapped is returned as it is.
pub(super) fn opened(text: &str) -> Cow<'_, str> {
    if let Some(lines) = logged(text) {
        return Cow::Owned(opened(&lines).into_owned());
    }
    if let Ok(Value::String(inner)) = serde_json::from_str(text.trim()) {
        return Cow::Owned(inner);
    }
    match text.find("HTTP/") {
        Some(at) if is_on_one_line(&text[at..]) => Cow::Owned(broken_up(text)),
        _ => Cow::Borrowed(text),
    }
}

/// The texts of a log whose every line is a JSON object that holds one, if a response begins in one of them.
fn logged(text: &str) -> Option<String> {
    let mut whole = String::new();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    for line in lines {
        // `docker compose logs` and `kubectl logs --prefix` put a name before the object.
        let line = &line[line.find('{')?..];
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
            return None;
        };
        let said = TEXTS.iter().find_map(|key| fields.get(*key)?.as_str())?;
        whole.push_str(said);
        if !said.ends_with('\n') {
            whole.push('\n');
        }
    }
    whole.contains("HTTP/").then_some(whole)
}

/// Whether the status line goes on behind line breaks that are written as two letters each.
fn is_on_one_line(response: &str) -> bool {
    let first = response.lines().next().unwrap_or_default();
    first.contains(r"\n")
}

/// The head with its line breaks put in. The body keeps what it has: in JSON, `\n` is an escape of its own.
fn broken_up(text: &str) -> String {
    let (mut lines, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(r"\n") {
        let line = rest[..at].strip_suffix(r"\r").unwrap_or(&rest[..at]);
        rest = &rest[at + 2..];
        lines.push_str(line);
        lines.push('\n');
        if line.is_empty() {
            break;
        }
    }
    let body = rest
        .trim_end()
        .trim_end_matches(r"\r\n")
        .trim_end_matches(r"\n");
    // Quoted as a whole, its quotes are escaped too.
    let escaped = body.trim_start().starts_with(['{', '['])
        && body.contains(r#"\""#)
        && serde_json::from_str::<Value>(body).is_err();
    let unquoted = escaped
        .then(|| {
            serde_json::from_str::<String>(&format!("\"{}\"", body.trim_end_matches('"'))).ok()
        })
        .flatten();
    lines.push_str(unquoted.as_deref().unwrap_or(body));
    lines
}

#[cfg(test)]
mod tests {
    use crate::http_text::parse;

    /// The answer that each of the texts below holds.
    fn assert_expired(text: &str) {
        let pasted = parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(pasted.status, 401, "{text}");
        assert_eq!(pasted.headers["content-type"], "application/json", "{text}");
        assert_eq!(pasted.body, r#"{"message":"jwt\nexpired"}"#, "{text}");
    }

    #[test]
    fn line_breaks_written_as_letters() {
        let plain = r#"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n\r\n{"message":"jwt\nexpired"}"#;
        assert_expired(plain);
        assert_expired(&plain.replace(r"\r", ""));
        assert_expired(&format!("2026-01-01 10:00:00 WARN upstream: {plain}\\n\n"));
    }

    #[test]
    fn a_string_of_a_program() {
        let text = "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n\r\n{\"message\":\"jwt\\nexpired\"}";
        let quoted = serde_json::Value::from(text).to_string();
        assert_expired(&quoted);
        assert_expired(&format!("response={quoted}"));
    }

    #[test]
    fn logs_that_wrap_each_line_in_json() {
        let lines = [
            "HTTP/1.1 401 Unauthorized\r\n",
            "content-type: application/json\r\n",
            "\r\n",
            "{\"message\":\"jwt\\nexpired\"}\n",
        ];
        for (key, prefix) in [("log", ""), ("MESSAGE", ""), ("msg", "shop-1  | ")] {
            let log: Vec<String> = lines
                .iter()
                .map(|line| {
                    let object = serde_json::json!({ key: line, "stream": "stdout" });
                    format!("{prefix}{object}")
                })
                .collect();
            assert_expired(&log.join("\n"));
        }
        let one = serde_json::json!({ "log": lines.concat() }).to_string();
        assert_expired(&one);
    }

    #[test]
    fn a_body_of_json_is_no_log() {
        let text = "HTTP/1.1 401 Unauthorized\n\n{\"message\":\"HTTP/1.1 500 Internal\"}";
        assert_eq!(parse(text).expect("a response").status, 401);
    }
}
