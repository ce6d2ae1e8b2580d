//! `tenure issuer sessions list|show|revoke`.

use serde_json::json;
use tenure_core::Wall;
use tenure_issuer::{
    AuditFilter, Issuer, Session, SessionFilter, SessionState, json, system_clock,
};

use super::{audit, sessions_ended, which, who};
use crate::app::App;
use crate::args::issuer::{Revoke, Sessions};
use crate::error::{CommandError, Outcome};
use crate::output::table::Table;
use crate::output::time::{self, relative};

/// The most entries of a session's timeline.
const TIMELINE: usize = 1_000;

/// Runs one of the three.
pub async fn run(app: &App, command: &Sessions) -> Outcome {
    let which = which::find(app)?;
    let issuer = which.open().await?;
    match command {
        Sessions::List {
            user,
            client,
            lines,
        } => {
            let filter = SessionFilter {
                user: user.clone(),
                client: client.clone(),
            };
            list(app, &issuer, filter, *lines).await
        }
        Sessions::Show { sid } => show(app, &issuer, sid).await,
        Sessions::Revoke(args) => revoke(app, &issuer, args).await,
    }
}

async fn list(app: &App, issuer: &Issuer, filter: SessionFilter, lines: usize) -> Outcome {
    if let Some(client) = &filter.client
        && !issuer.clients().contains(client)
    {
        return Err(no_client(client));
    }
    // One more, to know whether there are more.
    let mut sessions = issuer.sessions(filter, lines.saturating_add(1)).await?;
    let more = sessions.len() > lines;
    let now_ms = system_clock()();
    sessions.truncate(lines);
    if app.out.json {
        let sessions: Vec<_> = sessions.iter().map(json::session).collect();
        return app.out.json(&json!({ "sessions": sessions, "more": more }));
    }
    if sessions.is_empty() {
        return app.out.line("no sessions: nobody has logged in");
    }
    let paint = app.out.out;
    let mut table = Table::new(
        &[
            "SID", "USER", "CLIENT", "SCOPE", "GEN", "BEGAN", "LAST USE", "ADDRESS", "STATE",
        ],
        paint,
    );
    for session in &sessions {
        let (state, session) = (session.state, &session.info);
        let color = match state {
            SessionState::Alive => anstyle::AnsiColor::Green,
            SessionState::Waiting | SessionState::Expired(_) => anstyle::AnsiColor::Yellow,
            SessionState::Ended(_) => anstyle::AnsiColor::Red,
        };
        let reason = state
            .reason()
            .map_or_else(String::new, |reason| format!(" ({reason})"));
        table.row(vec![
            paint.bold(&session.sid),
            session.user.clone(),
            session.client_id.clone(),
            session.scope.clone(),
            session.family.generation.to_string(),
            time::clock(Wall(session.family.born_ms)),
            relative((session.family.used_ms - now_ms) / 1000),
            session
                .last_address
                .clone()
                .unwrap_or_else(|| "-".to_owned()),
            format!("{}{reason}", paint.color(color, state.word())),
        ]);
    }
    for line in table.lines() {
        app.out.line(line)?;
    }
    if more {
        app.out.note(format_args!(
            "there are more than these {lines}; -n N shows more, --user NAME those of one user"
        ));
    }
    Ok(())
}

async fn show(app: &App, issuer: &Issuer, sid: &str) -> Outcome {
    let session = issuer.session(sid).await?.ok_or_else(|| no_session(sid))?;
    let filter = AuditFilter {
        sid: Some(sid.to_owned()),
        ..AuditFilter::default()
    };
    let mut entries = issuer.audit(filter, TIMELINE).await?;
    entries.reverse();
    let now_ms = system_clock()();
    if app.out.json {
        let mut shown = json::session(&session);
        shown["timeline"] = entries.iter().map(json::entry).collect();
        return app.out.json(&shown);
    }
    for (name, value) in described(&session, now_ms) {
        app.out.line(format_args!("{name:<10}{value}"))?;
    }
    if entries.is_empty() {
        return Ok(());
    }
    app.out.line("")?;
    for entry in &entries {
        app.out.line(audit::line(app, entry))?;
    }
    Ok(())
}

fn described(session: &Session, now_ms: i64) -> Vec<(&'static str, String)> {
    let (state, ends_ms, session) = (session.state, session.ends_ms, &session.info);
    let family = &session.family;
    let unknown = || "unknown".to_owned();
    let began_from = session.address.clone().unwrap_or_else(unknown);
    let last_from = session.last_address.clone().unwrap_or_else(unknown);
    let reason = state
        .reason()
        .map_or_else(String::new, |reason| format!(" ({reason})"));
    let when = |ms| time::clock(Wall(ms));
    let end = match session.ended_ms {
        Some(ended) => when(ended),
        None => match ends_ms {
            Some(ends) => format!("{}, unless it is used", when(ends)),
            None => "-".to_owned(),
        },
    };
    vec![
        ("session", session.sid.clone()),
        ("state", format!("{}{reason}", state.word())),
        ("user", session.user.clone()),
        ("client", session.client_id.clone()),
        ("scope", session.scope.clone()),
        ("device", session.device.clone().unwrap_or_else(unknown)),
        (
            "began",
            format!("{} from {began_from}", when(family.born_ms)),
        ),
        (
            "last use",
            format!(
                "{} ({}) from {last_from}, generation {}",
                when(family.used_ms),
                relative((family.used_ms - now_ms) / 1000),
                family.generation
            ),
        ),
        ("end", end),
    ]
}

fn no_session(sid: &str) -> CommandError {
    CommandError::usage(
        format!("there is no session {sid:?} at this issuer"),
        "`tenure issuer sessions list` shows those that exist",
    )
}

fn no_client(client: &str) -> CommandError {
    CommandError::usage(
        format!("there is no client {client:?}"),
        "`tenure issuer clients list` shows those that exist",
    )
}

async fn revoke(app: &App, issuer: &Issuer, args: &Revoke) -> Outcome {
    let ended = match (&args.sid, &args.user, &args.client) {
        (Some(sid), _, _) => one(issuer, sid).await?,
        (_, Some(user), _) => issuer.admin(&who::here()).revoke_user(user).await?,
        (_, _, Some(client)) => of_client(issuer, client).await?,
        _ => issuer.admin(&who::here()).revoke_all().await?,
    };
    if app.out.json {
        return app.out.json(&json!({ "sessions_ended": ended }));
    }
    app.out.line(sessions_ended(ended))
}

/// A session that has ended already is as it should be; one that is unknown was mistyped.
async fn one(issuer: &Issuer, sid: &str) -> Outcome<usize> {
    if issuer.admin(&who::here()).revoke_session(sid).await? {
        return Ok(1);
    }
    match issuer.session(sid).await? {
        Some(_) => Ok(0),
        None => Err(no_session(sid)),
    }
}

async fn of_client(issuer: &Issuer, client: &str) -> Outcome<usize> {
    let ended = issuer.admin(&who::here()).revoke_client(client).await?;
    if ended == 0 && !issuer.clients().iter().any(|id| id == client) {
        return Err(no_client(client));
    }
    Ok(ended)
}
