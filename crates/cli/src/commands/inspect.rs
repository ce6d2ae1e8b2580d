//! `tenure inspect`: a token taken apart, offline. Nothing of it is sent anywhere, and it is never printed back.

use std::io::IsTerminal;
use std::path::Path;

use serde_json::Value;
use tenure_core::Secret;
use tenure_diagnose::inspect::{self, Given, Report};
use tenure_diagnose::words::{relative, span, utc};
use tenure_jose::JwkSet;
use tenure_keeper::clock;

use super::input;
use crate::app::App;
use crate::args::{self, Global};
use crate::error::{CommandError, Exit, Outcome, Problem, exit_of};
use crate::output::{Output, Paint, failure};

/// Longest value shown of a claim, in characters.
const VALUE_MAX: usize = 300;

/// Says what the token is; the exit code says what heals it, 0 when nothing is wrong.
pub async fn run(global: &Global, args: &args::Inspect, out: Output) -> Outcome {
    let (token, own_issuer) = match &args.session {
        Some(name) => held(&App::load(global, out)?, name).await?,
        None => (given(args.token.as_deref(), out)?, None),
    };
    let keys = args.jwks.as_deref().map(keys).transpose()?;
    let given = Given {
        now_s: args.at.unwrap_or_else(|| clock::wall().0.div_euclid(1_000)),
        issuer: args.issuer.as_deref().or(own_issuer.as_deref()),
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
        None if std::io::stdin().is_terminal() => input::secret("Token"),
        _ => {
            let bytes = input::file(Path::new("-"))?;
            // Whatever it is, that is what is to be found out.
            Ok(Secret::new(String::from_utf8_lossy(&bytes)))
        }
    }
}

/// The access token of a session as it is stored, and the issuer that is configured. Nothing is refreshed.
async fn held(app: &App, name: &str) -> Outcome<(Secret, Option<String>)> {
    let config = app.spec(name)?.config.clone();
    let issuer = config.endpoints.known().issuer.clone();
    let keeper = app.open_keeper(vec![config], false).await?;
    let session = keeper.session(name).ok_or_else(|| super::lost(name))?;
    let token = session.snapshot().token.clone();
    keeper.shutdown().await;
    match token {
        Some(token) => Ok((Secret::new(token.secret.expose()), issuer)),
        None => Err(CommandError::new(
            Exit::NeedsLogin,
            Problem::new(format!("session {name} holds no token"))
                .fix(format!("run `tenure login {name}`")),
        )),
    }
}

fn keys(path: &Path) -> Outcome<JwkSet> {
    let bytes = input::file(path)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        CommandError::new(
            Exit::Usage,
            Problem::new(format!("not a set of keys: {error}"))
                .at(path.display())
                .fix("save the document at the server's `jwks_uri`: {\"keys\":[…]}"),
        )
    })
}

fn lines(report: &Report, paint: Paint) -> Vec<String> {
    let mut lines = vec![paint.bold(&report.summary)];
    lines.push(paint.dim(format!(
        "{} bytes, {} parts; {}",
        report.bytes, report.parts, report.kind_because
    )));
    for flaw in &report.flaws {
        lines.push(format!("  {}", flaw.text));
    }
    for (title, object) in [("header", &report.header), ("claims", &report.claims)] {
        let Some(object) = object else { continue };
        lines.push(String::new());
        lines.push(paint.bold(title));
        let width = object.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in object {
            let time = report
                .times
                .iter()
                .find(|time| time.claim == name && title == "claims");
            let shown = match time {
                Some(time) => format!("{}, {}", utc(time.at_s), relative(time.in_s)),
                None => plain(value),
            };
            lines.push(format!(
                "  {}  {shown}",
                paint.dim(format!("{name:width$}"))
            ));
        }
    }
    if let Some(signature) = &report.signature {
        lines.push(String::new());
        lines.push(format!("{} {}", paint.bold("signature"), signature.text));
    }
    lines.extend(when(report, paint));
    for remark in &report.remarks {
        lines.push(format!("  {remark}"));
    }
    lines.extend(wrong(report, paint));
    lines
}

fn when(report: &Report, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(life) = report.lifetime_s.and_then(|life| u64::try_from(life).ok()) {
        lines.push(String::new());
        lines.push(format!("{} {}", paint.bold("lives"), span(life)));
    }
    if !report.timeline.is_empty() {
        lines.push(String::new());
        lines.push(paint.bold("what happens when"));
        for moment in &report.timeline {
            let at = format!("{} ({})", utc(moment.at_s), relative(moment.in_s));
            lines.push(format!("  {}  {}", paint.dim(at), moment.event));
        }
    }
    lines
}

fn wrong(report: &Report, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, one) in report
        .failure
        .iter()
        .chain(&report.other_failures)
        .enumerate()
    {
        lines.push(String::new());
        let word = if at == 0 { "wrong" } else { "also" };
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
        other => other.to_string(),
    };
    // Control characters of a stranger's token are not let into the terminal.
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(VALUE_MAX)
        .collect()
}
