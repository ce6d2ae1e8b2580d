//! `tenure issuer sessions list|show|revoke`.

use std::collections::BTreeSet;

use serde_json::json;
use tenure_core::family;
use tenure_core::{Wall, family::Family};
use tenure_issuer::{AuditFilter, Issuer, SessionInfo, system_clock};

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
        Sessions::List { user, lines } => list(app, &issuer, user.as_deref(), *lines).await,
        Sessions::Show { sid } => show(app, &issuer, sid).await,
        Sessions::Revoke(args) => revoke(app, &issuer, args).await,
    }
}

/// Whether a session goes on, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Alive,
    /// Its user is disabled; it goes on when the account is enabled again.
    Waiting,
    Expired(&'static str),
    Ended(&'static str),
}

impl State {
    fn of(family: &Family, disabled: bool, rotation: &family::Options, now_ms: i64) -> Self {
        if let Some(subtype) = family.revoked {
            return Self::Ended(subtype.as_str());
        }
        let absolute = family::Options {
            idle_ms: None,
            ..*rotation
        };
        let past = |options| family.ends_ms(options).is_some_and(|end| end < now_ms);
        match (past(&absolute), past(rotation), disabled) {
            (true, _, _) => Self::Expired("absolute"),
            (_, true, _) => Self::Expired("idle"),
            (_, _, true) => Self::Waiting,
            _ => Self::Alive,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Waiting => "waiting",
            Self::Expired(_) => "expired",
            Self::Ended(_) => "ended",
        }
    }

    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Alive => None,
            Self::Waiting => Some("account_disabled"),
            Self::Expired(reason) | Self::Ended(reason) => Some(reason),
        }
    }
}

async fn list(app: &App, issuer: &Issuer, user: Option<&str>, lines: usize) -> Outcome {
    let users = issuer.users().await?;
    if let Some(name) = user
        && !users.iter().any(|user| same(&user.name, name))
    {
        return Err(no_user(name));
    }
    let disabled: BTreeSet<_> = users
        .into_iter()
        .filter(|user| user.disabled)
        .map(|user| user.name)
        .collect();
    // One more, to know whether there are more.
    let limit = if user.is_some() {
        usize::MAX
    } else {
        lines.saturating_add(1)
    };
    let mut sessions = issuer.sessions(limit).await?;
    sessions.retain(|session| user.is_none_or(|name| same(&session.user, name)));
    let more = sessions.len() > lines;
    sessions.truncate(lines);
    let now_ms = system_clock()();
    let state = |session: &SessionInfo| {
        let disabled = disabled.contains(&session.user);
        let rotation = issuer.rotation_of(&session.client_id);
        State::of(&session.family, disabled, &rotation, now_ms)
    };
    if app.out.json {
        let sessions: Vec<_> = sessions
            .iter()
            .map(|session| {
                let rotation = issuer.rotation_of(&session.client_id);
                row_json(session, state(session), &rotation)
            })
            .collect();
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
        let state = state(session);
        let color = match state {
            State::Alive => anstyle::AnsiColor::Green,
            State::Waiting | State::Expired(_) => anstyle::AnsiColor::Yellow,
            State::Ended(_) => anstyle::AnsiColor::Red,
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

fn row_json(session: &SessionInfo, state: State, rotation: &family::Options) -> serde_json::Value {
    let family = &session.family;
    json!({
        "sid": session.sid,
        "user": session.user,
        "client": session.client_id,
        "scope": session.scope,
        "generation": family.generation,
        "began_at": family.born_ms / 1000,
        "used_at": family.used_ms / 1000,
        "ends_at": family.ends_ms(rotation).map(|end| end / 1000),
        "ended_at": session.ended_ms.map(|end| end / 1000),
        "address": session.address,
        "device": session.device,
        "last_address": session.last_address,
        "state": state.word(),
        "reason": state.reason(),
    })
}

async fn show(app: &App, issuer: &Issuer, sid: &str) -> Outcome {
    let session = issuer.session(sid).await?.ok_or_else(|| no_session(sid))?;
    let rotation = &issuer.rotation_of(&session.client_id);
    let filter = AuditFilter {
        sid: Some(sid.to_owned()),
        ..AuditFilter::default()
    };
    let mut entries = issuer.audit(filter, TIMELINE).await?;
    entries.reverse();
    let users = issuer.users().await?;
    let disabled = users
        .iter()
        .any(|user| user.disabled && user.name == session.user);
    let now_ms = system_clock()();
    let state = State::of(&session.family, disabled, rotation, now_ms);
    if app.out.json {
        let mut shown = row_json(&session, state, rotation);
        shown["timeline"] = entries.iter().map(audit::entry_json).collect();
        return app.out.json(&shown);
    }
    for (name, value) in described(&session, state, rotation, now_ms) {
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

fn described(
    session: &SessionInfo,
    state: State,
    rotation: &family::Options,
    now_ms: i64,
) -> Vec<(&'static str, String)> {
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
        None => match family.ends_ms(rotation) {
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

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn no_user(name: &str) -> CommandError {
    CommandError::usage(
        format!("there is no user {name:?}"),
        "`tenure issuer users list` shows those that exist",
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
        return Err(CommandError::usage(
            format!("there is no client {client:?}"),
            "`tenure issuer clients list` shows those that exist",
        ));
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::family::Subtype;

    #[test]
    fn a_session_is_what_stands_first_in_its_way() {
        let rotation = family::Options {
            idle_ms: Some(10),
            absolute_ms: Some(100),
            ..family::Options::default()
        };
        let family = Family::new(1_000);
        let at = |family: &Family, disabled, now| State::of(family, disabled, &rotation, now);
        assert_eq!(at(&family, false, 1_005), State::Alive);
        assert_eq!(at(&family, true, 1_005), State::Waiting);
        assert_eq!(at(&family, true, 1_050), State::Expired("idle"));
        assert_eq!(at(&family, false, 1_200), State::Expired("absolute"));
        let dead = family.revoke(Subtype::Administrator);
        assert_eq!(at(&dead, true, 1_200), State::Ended("administrator"));
    }
}
