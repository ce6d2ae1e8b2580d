//! A raw HTTP response as people paste it: from `curl -i`, `curl -v`, a proxy's log, a browser.

mod envelope;

use http::{HeaderMap, HeaderName, HeaderValue};

/// A response read from text.
#[derive(Clone, Debug)]
pub struct Pasted {
    /// HTTP status.
    pub status: u16,
    /// Headers that could be read.
    pub headers: HeaderMap,
    /// The body, as pasted.
    pub body: String,
    /// Statuses of failures that stand before this one in the text, and were not read.
    pub earlier: Vec<u16>,
}

/// Why a text is no response.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasteError {
    /// Nothing was given.
    #[error("the text is empty")]
    Empty,
    /// No line tells the status.
    #[error(
        "no status line was found; paste the response with its first line, e.g. `HTTP/1.1 401 Unauthorized` (`curl -i` shows it), or give a body's status with --status"
    )]
    NoStatus,
    /// The status line's number is no status.
    #[error("line {line}: {found:?} is not an HTTP status")]
    BadStatus {
        /// Line number, from 1.
        line: usize,
        /// What stands there.
        found: String,
    },
}

/// Reads the last response in a text; earlier ones (redirects, `100 Continue`) are passed over, failures among them
/// are named in [`Pasted::earlier`].
///
/// # Errors
/// When nothing in the text begins a response.
pub fn parse(text: &str) -> Result<Pasted, PasteError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(PasteError::Empty);
    }
    let text = &*envelope::opened(text);
    let lines: Vec<&str> = text.lines().collect();
    let verbose = lines
        .iter()
        .any(|line| is_status(line.strip_prefix("< ").unwrap_or_default()));
    let prefix = lines.iter().rev().find_map(|line| {
        let rest = unlogged(line);
        (is_status(rest) && rest.len() < line.trim_end_matches('\r').len())
            .then(|| &line[..line.trim_end_matches('\r').len() - rest.len()])
    });
    let clean = |line: &'_ str| -> Option<String> {
        if verbose {
            return line
                .strip_prefix('<')
                .map(|rest| rest.trim_start().to_owned());
        }
        let line = prefix.map_or(line, |prefix| unprefixed(line, prefix));
        Some(unlogged(line).to_owned())
    };
    let status_at = lines
        .iter()
        .enumerate()
        .rev()
        .find(|(_, line)| clean(line).is_some_and(|line| is_status(&line)))
        .map(|(at, _)| at)
        .ok_or(PasteError::NoStatus)?;
    let first = clean(lines[status_at]).unwrap_or_default();
    let earlier = lines[..status_at]
        .iter()
        .filter_map(|line| clean(line).filter(|line| is_status(line)))
        .filter_map(|line| status(&line, 0).ok())
        .filter(|status| *status >= 400)
        .collect();
    let status = status(&first, status_at + 1)?;
    let mut headers = HeaderMap::new();
    let mut at = status_at + 1;
    while at < lines.len() {
        let Some(line) = clean(lines[at]) else {
            // `curl -v`: notes between the headers; the body begins after the empty `<` line.
            at += 1;
            continue;
        };
        if line.trim().is_empty() || !push_header(&mut headers, &line) {
            break;
        }
        at += 1;
    }
    let rest = lines.get(at..).unwrap_or_default();
    let body: Vec<&str> = rest
        .iter()
        .enumerate()
        .filter(|(index, line)| {
            !(verbose && noise(line)
                || *index == 0 && clean(line).is_some_and(|line| line.trim().is_empty()))
        })
        .map(|(_, line)| prefix.map_or(*line, |prefix| unprefixed(line, prefix)))
        .collect();
    Ok(Pasted {
        status,
        headers,
        body: body.join("\n").trim().to_owned(),
        earlier,
    })
}

/// A body on its own, with the status it came with; a response keeps the status it has.
pub fn parse_body(text: &str, status: u16) -> Result<Pasted, PasteError> {
    match parse(text) {
        Err(PasteError::NoStatus) => Ok(Pasted {
            status,
            headers: HeaderMap::new(),
            body: text.trim_start_matches('\u{feff}').trim().to_owned(),
            earlier: Vec::new(),
        }),
        other => other,
    }
}

/// Whether a line begins a response: `HTTP/1.1 401`, `HTTP/2 401`.
fn is_status(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix("HTTP/") else {
        return false;
    };
    rest.split_once(' ').is_some_and(|(version, rest)| {
        !version.is_empty()
            && version.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && !rest.trim().is_empty()
    })
}

fn status(line: &str, number: usize) -> Result<u16, PasteError> {
    let found = line.split_whitespace().nth(1).unwrap_or_default();
    found
        .parse::<u16>()
        .ok()
        .filter(|status| (100..1000).contains(status))
        .ok_or_else(|| PasteError::BadStatus {
            line: number,
            found: found.chars().take(20).collect(),
        })
}

/// A line without what a log puts before a status line: time, level, marks of quotation.
fn unlogged(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    match line.find("HTTP/") {
        Some(at) if at > 0 && at < 120 && is_status(&line[at..]) && !line[..at].contains('{') => {
            &line[at..]
        }
        _ => line.strip_prefix("> ").unwrap_or(line),
    }
}

/// A line without what a log puts before each: the status line's `prefix`, but for its numbers.
fn unprefixed<'l>(line: &'l str, prefix: &str) -> &'l str {
    let (mut rest, mut wanted) = (line, prefix.trim_end());
    while let Some(next) = wanted.chars().next() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (there, here) = (digits(wanted), digits(rest));
        if there > 0 && here > 0 {
            (wanted, rest) = (&wanted[there..], &rest[here..]);
        } else if let Some(after) = rest.strip_prefix(next) {
            (wanted, rest) = (&wanted[next.len_utf8()..], after);
        } else {
            return line;
        }
    }
    rest.strip_prefix(' ').unwrap_or(rest)
}

fn push_header(headers: &mut HeaderMap, line: &str) -> bool {
    let Some((name, value)) = line.split_once(':') else {
        return false;
    };
    let (Ok(name), Ok(value)) = (
        HeaderName::try_from(name.trim()),
        HeaderValue::from_str(value.trim()),
    ) else {
        return false;
    };
    headers.append(name, value);
    true
}

/// What `curl -v` writes beside the body.
fn noise(line: &str) -> bool {
    line.starts_with(['<', '>', '*'])
        && (line.len() == 1 || line[1..].starts_with(' ') || line.starts_with("* "))
        || line.starts_with("{ [") && line.ends_with("bytes data]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curl_i_and_redirects_before_it() {
        let text = "HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\nHTTP/2 401\r\ncontent-type: application/json\r\n\r\n{\"error\":\n\"invalid_token\"}\r\n";
        let pasted = parse(text).expect("a response");
        assert_eq!(pasted.status, 401);
        assert_eq!(pasted.headers["content-type"], "application/json");
        assert_eq!(pasted.body, "{\"error\":\n\"invalid_token\"}");
    }

    #[test]
    fn failures_before_the_last_are_named() {
        let text = "HTTP/1.1 302 Found\n\nHTTP/1.1 401 Unauthorized\n\n{}\nHTTP/1.1 100 Continue\n\nHTTP/1.1 403 Forbidden\n\n{}";
        let pasted = parse(text).expect("a response");
        assert_eq!((pasted.status, pasted.earlier), (403, vec![401]));
    }

    #[test]
    fn curl_v_with_its_notes() {
        let text = "> GET /orders HTTP/1.1\n> authorization: Bearer x\n>\n* Request completely sent off\n< HTTP/1.1 401 Unauthorized\n< www-authenticate: Bearer error=\"invalid_token\"\n< \n* Connection #0 left intact\n{\"message\":\"no\"}\n";
        let pasted = parse(text).expect("a response");
        assert_eq!(pasted.status, 401);
        assert_eq!(
            pasted.headers["www-authenticate"],
            "Bearer error=\"invalid_token\""
        );
        assert_eq!(pasted.body, "{\"message\":\"no\"}");
    }

    #[test]
    fn a_log_line_before_the_status() {
        let pasted = parse("2024-05-14T09:26:53Z WARN upstream said HTTP/1.1 403 Forbidden\n{\"code\":\"jwt_auth_invalid_token\"}").expect("a response");
        assert_eq!((pasted.status, pasted.headers.len()), (403, 0));
        assert!(pasted.body.contains("jwt_auth"));
    }

    #[test]
    fn a_log_prefix_on_every_line() {
        for lines in [
            [
                "2026-01-01T00:00:00Z app[12]: HTTP/1.1 401 Unauthorized",
                "2026-01-01T00:00:01Z app[12]: content-type: application/json",
                "2026-01-01T00:00:01Z app[12]:",
                "2026-01-01T00:00:10Z app[12]: {\"message\":\"jwt expired\"}",
            ],
            [
                "shop-1  | HTTP/1.1 401 Unauthorized",
                "shop-1  | content-type: application/json",
                "shop-1  | ",
                "shop-1  | {\"message\":\"jwt expired\"}",
            ],
            [
                "Jan 01 00:00:09 till api[7]: HTTP/1.1 401 Unauthorized",
                "Jan 01 00:00:09 till api[7]: content-type: application/json",
                "Jan 01 00:00:10 till api[7]: ",
                "Jan 01 00:00:10 till api[7]: {\"message\":\"jwt expired\"}",
            ],
        ] {
            let pasted = parse(&lines.join("\n")).expect("a response");
            assert_eq!((pasted.status, pasted.headers.len()), (401, 1));
            assert_eq!(pasted.body, "{\"message\":\"jwt expired\"}");
        }
    }

    #[test]
    fn a_body_alone_needs_its_status() {
        let body = "{\"error\":\"x\"}\n";
        let pasted = parse_body(body, 401).expect("a body");
        assert_eq!((pasted.status, pasted.body.as_str()), (401, body.trim()));
        let whole = parse_body("HTTP/2 403\n\nno", 401).expect("a response");
        assert_eq!(whole.status, 403);
        assert_eq!(parse_body("", 401).unwrap_err(), PasteError::Empty);
    }

    #[test]
    fn what_is_no_response_is_said() {
        assert_eq!(parse(" \n").unwrap_err(), PasteError::Empty);
        assert_eq!(
            parse("{\"error\":\"x\"}").unwrap_err(),
            PasteError::NoStatus
        );
        assert!(matches!(
            parse("HTTP/1.1 what\n").unwrap_err(),
            PasteError::BadStatus { line: 1, .. }
        ));
    }
}
