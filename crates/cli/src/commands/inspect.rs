//! `tenure inspect`: a token taken apart, offline. Nothing of it is sent anywhere, and it is never printed back.

use std::io::IsTerminal;
use std::path::Path;

use serde_json::{Map, Value};
use tenure_core::Secret;
use tenure_diagnose::inspect::Kind;
use tenure_diagnose::inspect::{self, Given, Report, SignatureState};
use tenure_diagnose::words::{relative, span, utc};
use tenure_jose::{Jwk, JwkSet};
use tenure_keeper::{SessionConfig, clock};

use super::input;
use crate::app::App;
use crate::args::{self, Global};
use crate::error::{CommandError, Exit, Outcome, Problem, exit_of};
use crate::output::{Output, Paint, failure};

/// Longest value shown of a claim, in characters.
const VALUE_MAX: usize = 300;
/// A terminal hands on no more of one line (Linux' N_TTY), in bytes; the rest is lost silently.
const TERMINAL_MAX: usize = 4_095;
/// Where a set of keys comes from.
const KEYS_FIX: &str = "save the document at the server's `jwks_uri`: {\"keys\":[…]}";

/// Says what the token is; the exit code says what heals it, 0 when nothing is wrong.
pub async fn run(global: &Global, args: &args::Inspect, out: Output) -> Outcome {
    let from_stdin = args.session.is_none() && args.token.as_deref().is_none_or(|text| text == "-");
    // Before the token is asked for: nobody types one for a command line that is wrong.
    let keys = args
        .jwks
        .as_deref()
        .map(|path| keys(path, from_stdin))
        .transpose()?;
    let (token, config) = match &args.session {
        Some(name) => held(&App::load(global, out)?, name).await?,
        None => (given(args.token.as_deref(), out)?, None),
    };
    let own = config.as_ref().map(|config| config.endpoints.known());
    let own_issuer = own.and_then(|server| server.issuer.as_deref());
    let given = Given {
        now_s: args.at.unwrap_or_else(|| clock::wall().0.div_euclid(1_000)),
        issuer: args.issuer.as_deref().or(own_issuer),
        // An issuer that was named is meant to the letter.
        profile: config
            .as_ref()
            .filter(|_| args.issuer.is_none())
            .map(|config| &*config.profile),
        audience: args.audience.as_deref(),
        keys: keys.as_ref(),
        redact: args.redact,
    };
    let report = inspect::inspect(&token, &given);
    if out.json {
        out.json(&report)?;
    } else {
        out.line(lines(&report, out.out).join("\n"))?;
    }
    match &report.failure {
        None => Ok(()),
        Some(wrong) => Err(CommandError {
            problems: Vec::new(),
            failure: None,
            exit: exit_of(wrong),
            silent: true,
        }),
    }
}

/// The token as given; on the command line others of this machine can read it.
fn given(token: Option<&str>, out: Output) -> Outcome<Secret> {
    match token {
        Some(text) if text != "-" => {
            out.warn("a token on the command line can be read in the process list; pipe it in instead: `tenure inspect -`");
            Ok(Secret::new(text))
        }
        None if std::io::stdin().is_terminal() => prompted(out),
        _ => piped(),
    }
}

fn prompted(out: Output) -> Outcome<Secret> {
    let token = input::secret("Token")?;
    if token.len() >= TERMINAL_MAX {
        out.warn(format_args!(
            "a terminal passes on {TERMINAL_MAX} characters of a line at most; pipe longer tokens in: `tenure inspect -`"
        ));
    }
    Ok(token)
}

/// All of stdin. The line end after it is the pipe's, not the token's: every command that prints a token adds one.
fn piped() -> Outcome<Secret> {
    let bytes = input::file(Path::new("-"))?;
    // Whatever it is, that is what is to be found out.
    let mut text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Secret::new(text))
}

/// The access token of a session as it is stored, and its configuration. Nothing is refreshed.
async fn held(app: &App, name: &str) -> Outcome<(Secret, Option<SessionConfig>)> {
    let config = app.spec(name)?.config.clone();
    let keeper = app.open_keeper(vec![config.clone()], false).await?;
    let session = keeper.session(name).ok_or_else(|| super::lost(name))?;
    let token = session.snapshot().token.clone();
    keeper.shutdown().await;
    match token {
        Some(token) => Ok((Secret::new(token.secret.expose()), Some(config))),
        None => Err(CommandError::new(
            Exit::NeedsLogin,
            Problem::new(format!("session {name} holds no token"))
                .fix(format!("run `tenure login {name}`")),
        )),
    }
}

/// The server's keys, from a file. Nothing is fetched here, and a mistake is said rather than passed over.
fn keys(path: &Path, from_stdin: bool) -> Outcome<JwkSet> {
    let name = path.display().to_string();
    let wrong = |what: String, fix: &str| {
        CommandError::new(Exit::Usage, Problem::new(what).at(&name).fix(fix))
    };
    if name.starts_with("https://") || name.starts_with("http://") {
        return Err(wrong(
            "this command opens no connection, so it takes keys from a file only".to_owned(),
            "save them first: `curl -o keys.json URL`, then `--jwks keys.json`",
        ));
    }
    if name == "-" && from_stdin {
        return Err(wrong(
            "token and keys cannot both come from stdin".to_owned(),
            "name a file for the keys",
        ));
    }
    let bytes = input::file(path)?;
    let set =
        serde_json::from_slice::<JwkSet>(&bytes).or_else(|error| {
            match serde_json::from_slice::<Jwk>(&bytes) {
                Ok(one) => Ok(JwkSet { keys: vec![one] }),
                Err(_) => Err(wrong(format!("not a set of keys: {error}"), KEYS_FIX)),
            }
        })?;
    if set.keys.is_empty() {
        return Err(wrong("there is no key in this set".to_owned(), KEYS_FIX));
    }
    Ok(set)
}

fn lines(report: &Report, paint: Paint) -> Vec<String> {
    let mut lines = vec![paint.bold(&report.summary)];
    lines.push(paint.dim(format!("{}{}", size(report), because(report))));
    for (title, object) in [("header", &report.header), ("claims", &report.claims)] {
        lines.extend(
            object
                .iter()
                .flat_map(|object| members(title, object, report, paint)),
        );
    }
    if let Some(signature) = &report.signature {
        let bytes = signature.bytes.map(|bytes| format!("{bytes} bytes, "));
        lines.push(String::new());
        lines.push(paint.bold("signature"));
        lines.push(format!("  {}{}", bytes.unwrap_or_default(), signature.text));
    }
    lines.extend(when(report, paint));
    if !report.remarks.is_empty() {
        lines.push(String::new());
        lines.push(paint.bold("worth knowing"));
        lines.extend(report.remarks.iter().map(|remark| format!("  {remark}")));
    }
    lines.extend(verdict(report, paint));
    lines
}

fn size(report: &Report) -> String {
    let many = |count: usize, one: &str, more: &str| {
        format!("{count} {}", if count == 1 { one } else { more })
    };
    let bytes = many(report.bytes, "byte", "bytes");
    match &report.header {
        Some(_) => format!("{bytes}, {}", many(report.parts, "part", "parts")),
        None => bytes,
    }
}

/// What shows the kind, unless it is what is wrong: that is said below.
fn because(report: &Report) -> String {
    let told = report
        .flaws
        .iter()
        .any(|flaw| flaw.text == report.kind_because);
    if told || report.kind_because.is_empty() {
        return String::new();
    }
    format!("; {}", report.kind_because)
}

fn members(title: &str, object: &Map<String, Value>, report: &Report, paint: Paint) -> Vec<String> {
    let mut lines = vec![String::new(), paint.bold(title)];
    let width = object
        .keys()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in object {
        let time = report
            .times
            .iter()
            .find(|time| time.claim == name && title == "claims");
        let shown = match time {
            Some(time) => {
                let at = format!("{}, {}", utc(time.at_s), relative(time.in_s));
                // A number in another unit than seconds is shown as it stands there.
                match value.as_i64().filter(|number| *number != time.at_s) {
                    Some(number) => format!("{number}, taken as {at}"),
                    None => at,
                }
            }
            None => plain(value),
        };
        let words = match meaning(title, name, value, report.kind) {
            Some(words) => paint.dim(format!("  ({words})")),
            None => String::new(),
        };
        lines.push(format!(
            "  {}  {shown}{words}",
            paint.dim(format!("{name:width$}"))
        ));
    }
    lines
}

/// What a member means, where its name or value does not say it.
fn meaning(title: &str, name: &str, value: &Value, kind: Kind) -> Option<&'static str> {
    if title == "claims" {
        return Some(match name {
            "iss" => "who issued it",
            "aud" => "for whom it is",
            "sub" => "about whom it is",
            "azp" | "client_id" | "cid" | "appid" => "the client",
            "scope" | "scp" => "what it allows",
            "iat" => "issued",
            "nbf" => "valid from",
            "exp" => "ends",
            "auth_time" => "last login",
            "jti" => "its own name",
            "sid" => "its session",
            _ => return None,
        });
    }
    if kind == Kind::EncryptedToken {
        return Some(match name {
            "alg" => "how the key of its content is protected",
            "enc" => "how its content is encrypted",
            "kid" => "the key it is encrypted for",
            "cty" => "what is inside",
            _ => return None,
        });
    }
    Some(match (name, value.as_str()?) {
        ("alg", "none") => "not signed",
        ("alg", alg) if alg.starts_with("HS") => "a secret shared with whoever checks it",
        ("alg", alg) if alg.starts_with("RS") || alg.starts_with("PS") => {
            "RSA, checked with a public key"
        }
        ("alg", alg) if alg.starts_with("ES") => "elliptic curve, checked with a public key",
        ("alg", "EdDSA" | "Ed25519") => "Edwards curve, checked with a public key",
        ("kid", _) => "the key it was signed with",
        ("typ", typ) if typ.eq_ignore_ascii_case("jwt") => "any kind of token",
        ("typ", typ) if typ.to_ascii_lowercase().ends_with("at+jwt") => "an access token",
        _ => return None,
    })
}

fn when(report: &Report, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if report.timeline.is_empty() {
        return lines;
    }
    let life = report.lifetime_s.and_then(|life| u64::try_from(life).ok());
    let life = life.map(|life| paint.dim(format!(" (it lives {})", span(life))));
    lines.push(String::new());
    lines.push(format!(
        "{}{}",
        paint.bold("what happens when"),
        life.unwrap_or_default()
    ));
    let relatives: Vec<String> = report
        .timeline
        .iter()
        .map(|moment| relative(moment.in_s))
        .collect();
    let width = relatives.iter().map(String::len).max().unwrap_or(0);
    for (moment, relative) in report.timeline.iter().zip(relatives) {
        let at = format!("{}  {relative:width$}", utc(moment.at_s));
        lines.push(format!("  {}  {}", paint.dim(at), moment.event));
    }
    lines
}

fn verdict(report: &Report, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(first) = &report.failure else {
        let checked = report
            .signature
            .as_ref()
            .is_some_and(|signature| signature.state == SignatureState::Fits);
        let rest = if checked {
            ""
        } else {
            ", as far as can be told without its signature"
        };
        return vec![
            String::new(),
            format!("{} nothing{rest}", paint.bold("wrong:")),
        ];
    };
    for (at, one) in std::iter::once(first)
        .chain(&report.other_failures)
        .enumerate()
    {
        lines.push(String::new());
        let word = match (at, one.cause.as_str()) {
            // That is no fault of such a token.
            (0, "opaque_token" | "encrypted_token") => "cannot be decoded",
            (0, _) => "wrong",
            _ => "also",
        };
        lines.push(format!("{} {}", paint.bold(format!("{word}:")), one.detail));
        lines.extend(
            failure::block(one, paint, None)
                .into_iter()
                .map(|line| format!("  {line}")),
        );
    }
    lines
}

fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(many) if many.iter().all(Value::is_string) => {
            let names: Vec<&str> = many.iter().filter_map(Value::as_str).collect();
            names.join(", ")
        }
        other => other.to_string(),
    };
    // Control characters of a stranger's token are not let into the terminal.
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(VALUE_MAX)
        .collect()
}
