//! `tenure issuer audit list|export|verify`, and the timeline of a session.

use serde_json::{Value, json};
use tenure_core::Wall;
use tenure_issuer::{AuditEntry, AuditFilter, Head, Issuer, json};

use super::which;
use crate::app::App;
use crate::args::issuer::{Audit, Entries};
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::{spinner, time};

/// Runs one of the three.
pub async fn run(app: &App, command: &Audit) -> Outcome {
    let issuer = which::open(app).await?;
    match command {
        Audit::List(entries) => list(app, &issuer, entries).await,
        Audit::Export => export(app, &issuer).await,
        Audit::Verify { head } => verify(app, &issuer, *head).await,
    }
}

async fn list(app: &App, issuer: &Issuer, asked: &Entries) -> Outcome {
    let filter = AuditFilter {
        sid: asked.session.clone(),
        action: asked.action.clone(),
        user: asked.user.clone(),
    };
    // One more, to know whether there are more.
    let limit = asked.lines.saturating_add(1);
    let mut entries = issuer.audit(filter, limit).await?;
    let more = entries.len() > asked.lines;
    entries.truncate(asked.lines);
    entries.reverse();
    if app.out.json {
        let entries: Vec<_> = entries.iter().map(json::entry).collect();
        return app.out.json(&json!({ "entries": entries, "more": more }));
    }
    if entries.is_empty() {
        return app.out.line("nothing is written down");
    }
    for entry in &entries {
        app.out.line(line(app, entry))?;
    }
    if more {
        app.out.note(format_args!(
            "these are the newest {}; -n N shows more",
            asked.lines
        ));
    }
    Ok(())
}

/// An entry as a person reads it.
pub fn line(app: &App, entry: &AuditEntry) -> String {
    let paint = app.out.out;
    let mut about = Vec::new();
    let user = entry.user.as_ref().or(entry.user_id.as_ref());
    for (name, value) in [
        ("user", user),
        ("client", entry.client.as_ref()),
        ("session", entry.sid.as_ref()),
    ] {
        if let Some(value) = value {
            about.push(format!("{name} {value}"));
        }
    }
    about.extend(details(&entry.detail));
    let from = entry
        .who
        .address
        .as_ref()
        .map_or_else(String::new, |address| format!(" from {address}"));
    format!(
        "{}  {}  {}  {}",
        paint.dim(time::clock(Wall(entry.at_ms))),
        paint.bold(format!("{:<18}", entry.action)),
        about.join(", "),
        paint.dim(format!("({}{from})", entry.who.by)),
    )
}

/// `rule stale_generation`, `last use 2026-…`; what is not known is left out.
fn details(detail: &Value) -> Vec<String> {
    let Value::Object(all) = detail else {
        return Vec::new();
    };
    let shown = |name: &String, value: &Value| match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(format!("{} {text}", name.replace('_', " "))),
        Value::Number(ms) if name.ends_with("_ms") => {
            let at = time::clock(Wall(ms.as_i64()?));
            let name = name.trim_end_matches("_ms").replace('_', " ");
            Some(format!("{name} {at}"))
        }
        other => Some(format!("{} {other}", name.replace('_', " "))),
    };
    all.iter()
        .filter_map(|(name, value)| shown(name, value))
        .collect()
}

async fn export(app: &App, issuer: &Issuer) -> Outcome {
    let mut seq = 0;
    loop {
        let entries = issuer.audit_after(seq).await?;
        let Some(last) = entries.last() else {
            return Ok(());
        };
        seq = last.seq;
        for entry in &entries {
            app.out.line(json::entry(entry))?;
        }
    }
}

async fn verify(app: &App, issuer: &Issuer, noted: Option<Head>) -> Outcome {
    let checked = spinner::during("following the chain", issuer.verify_audit(noted)).await?;
    match checked {
        Ok(head) => {
            let head_text = json::head(&head);
            if app.out.json {
                return app
                    .out
                    .json(&json!({ "whole": true, "entries": head.seq, "head": head_text }));
            }
            app.out
                .line(format_args!("{} entries, each as it was written", head.seq))?;
            app.out.line(format_args!("head  {head_text}"))?;
            if noted.is_none() {
                app.out.note("note the head elsewhere: with --head it proves later that none of these was taken off the end");
            }
            Ok(())
        }
        Err(broken) => {
            let problem = Problem::new(format!("the audit log is not whole: {broken}")).fix(
                "compare it with an export or a backup of the database; whoever did this can write to the database",
            );
            Err(CommandError::new(Exit::NeedsOperator, problem))
        }
    }
}
