//! `tenure classify`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tenure_diagnose::classify::{Answer, Finding, Grant, Local, Place, judge};
use tenure_diagnose::lines::Line;
use tenure_diagnose::{Profile, http_text, lines, profile, profile_names};
use tenure_http::inflate;

use super::input;
use crate::args;
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::{Output, failure};

/// Longest line that is read, in bytes.
const LINE_MAX: u64 = 16 * 1024 * 1024;

/// Classifies JSON Lines, or one response as it was pasted.
pub fn run(args: &args::Classify, out: Output) -> Outcome {
    if let Some(file) = &args.http {
        return pasted(file, args, out);
    }
    if args.file.as_os_str() == "-" {
        return every_line(io::stdin().lock(), out);
    }
    if args.file.is_dir() {
        return Err(CommandError::usage(
            format!("{} is a directory", args.file.display()),
            "name one file of JSON Lines; all of a directory: cat DIR/*.jsonl | tenure classify",
        ));
    }
    let file = File::open(&args.file)
        .map_err(|error| input::unreadable(&args.file.display().to_string(), &error))?;
    every_line(BufReader::new(file), out)
}

/// One line out for each line in, in the same order; a line that cannot be read says why.
fn every_line(mut input: impl BufRead, out: Output) -> Outcome {
    let mut verdicts = BufWriter::new(io::stdout().lock());
    let mut unheeded = Unheeded::default();
    let mut bad = 0_usize;
    let mut text = Vec::new();
    for number in 1_usize.. {
        text.clear();
        if input.by_ref().take(LINE_MAX).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&text);
        if line.trim().is_empty() {
            continue;
        }
        let value = match Line::parse(line.trim()) {
            Ok(line) => {
                unheeded.note(number, &line, out);
                lines::shown(&line.id, &line.judge())
            }
            Err(error) => {
                bad += 1;
                json!({ "id": id(&line), "line": number, "error": error.to_string() })
            }
        };
        writeln!(verdicts, "{value}")?;
    }
    verdicts.flush()?;
    match bad {
        0 => Ok(()),
        1 => Err(unreadable(
            "1 line could not be read; it says why in its place",
        )),
        many => Err(unreadable(&format!(
            "{many} lines could not be read; each says why in its place"
        ))),
    }
}

/// Keys that nobody knows, each told once.
#[derive(Default)]
struct Unheeded(BTreeSet<String>);

impl Unheeded {
    fn note(&mut self, number: usize, line: &Line, out: Output) {
        for key in &line.unheeded {
            if self.0.insert(key.clone()) {
                out.warn(format_args!(
                    "line {number}: key `{key}` is not known and was not heeded"
                ));
            }
        }
    }
}

fn unreadable(what: &str) -> CommandError {
    CommandError::new(
        Exit::Failed,
        Problem::new(what).fix(
            "a line is a JSON object with `status`, `headers`, `body`, `where`, `request`, `local`",
        ),
    )
}

fn id(line: &str) -> Value {
    serde_json::from_str::<Value>(line)
        .ok()
        .and_then(|value| value.get("id").cloned())
        .unwrap_or(Value::Null)
}

fn pasted(file: &Path, args: &args::Classify, out: Output) -> Outcome {
    let bytes = unpacked(input::file(file)?);
    let text = String::from_utf8_lossy(&bytes);
    let parsed = match args.status {
        Some(status) => http_text::parse_body(&text, status),
        None => http_text::parse(&text),
    };
    let response = parsed.map_err(|error| {
        CommandError::new(
            Exit::Failed,
            Problem::new(error.to_string()).at(file.display()),
        )
    })?;
    if !response.earlier.is_empty() {
        let earlier: Vec<String> = response.earlier.iter().map(u16::to_string).collect();
        out.warn(format_args!(
            "{}: the text holds more than one failure; the last one ({}) was read, not the one before it ({}): paste each \
             into a file of its own",
            file.display(),
            response.status,
            earlier.join(", ")
        ));
    }
    let answer = Answer {
        place: if args.token {
            Place::Token
        } else {
            Place::Resource
        },
        status: response.status,
        headers: &response.headers,
        body: response.body.as_bytes(),
    };
    let local = Local {
        token_sent: !args.anonymous,
        token_sent_unknown: !args.anonymous,
        has_refresh: true,
        has_refresh_unknown: true,
        grant: args
            .grant
            .as_deref()
            .map_or(Grant::RefreshToken, Grant::parse),
        ..Local::default()
    };
    let finding = judge(&answer, &local, provider(args)?);
    if out.json {
        return out.json(&lines::shown(&Value::Null, &finding));
    }
    show(&finding, out)
}

/// A response with its body unpacked, where that is gzip as it came over the wire.
fn unpacked(mut bytes: Vec<u8>) -> Vec<u8> {
    /// How every gzip stream begins (RFC 1952 §2.3.1): magic and the one method there is.
    const GZIP: &[u8] = &[0x1f, 0x8b, 8];
    let begins = bytes.windows(GZIP.len()).position(|start| start == GZIP);
    if let Some(at) = begins {
        let coded = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
        let body = inflate::text(&coded, &bytes[at..]).into_owned();
        bytes.truncate(at);
        bytes.extend(body);
    }
    bytes
}

fn provider(args: &args::Classify) -> Outcome<Option<&'static Profile>> {
    let Some(name) = &args.provider else {
        return Ok(None);
    };
    profile(name).map(Some).ok_or_else(|| {
        CommandError::usage(
            format!("no provider is called {name:?}"),
            format!("known are: {}", profile_names().join(", ")),
        )
    })
}

fn show(finding: &Finding, out: Output) -> Outcome {
    let (failure, paint) = (&finding.failure, out.out);
    out.line(paint.bold(&failure.detail))?;
    let class = lines::class_name(failure.class);
    out.line(format_args!(
        "{} {class}, {}",
        paint.dim("class:"),
        failure.cause
    ))?;
    out.line(format_args!(
        "{} {} ({})",
        paint.dim("heal:"),
        failure.heal,
        failure.who
    ))?;
    out.line(format_args!("{} {}", paint.dim("rule:"), failure.rule))?;
    for line in failure::block(failure, paint, None) {
        out.line(line)?;
    }
    Ok(())
}
