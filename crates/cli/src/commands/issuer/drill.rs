//! `tenure issuer keys drill`: loses the signing key on purpose, and counts what it costs.

use std::time::Duration;

use serde_json::json;
use tenure_issuer::{Issuer, SessionsSince, system_clock};

use super::keys::need;
use super::who;
use crate::app::App;
use crate::error::{CommandError, Outcome};
use crate::output::{spinner, time};

/// How often the sessions are counted.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Revokes the key that signs. With `wait`, until every session has renewed or the last token of the old key is over.
pub async fn run(app: &App, issuer: &Issuer, access_ttl_s: u64, wait: bool) -> Outcome {
    let old = need(issuer, tenure_issuer::KeyState::Active)?.kid;
    let began_ms = system_clock()();
    let before = issuer.sessions_since(began_ms).await?.waiting;
    issuer.admin(&who::here()).revoke_key(&old).await?;
    let new = need(issuer, tenure_issuer::KeyState::Active)?.kid;
    if !app.out.json {
        app.out.line(format_args!(
            "{old} is revoked, and with it every token it signed; {new} signs"
        ))?;
        app.out
            .line(format_args!("{}", outlook(before, access_ttl_s, wait)))?;
    }
    let since = if wait {
        let what = "waiting for sessions to go on with a refresh";
        spinner::during(what, until_over(issuer, began_ms, access_ttl_s)).await?
    } else {
        issuer.sessions_since(began_ms).await?
    };
    if app.out.json {
        app.out.json(&json!({
            "revoked": old,
            "signs": new,
            "sessions": before,
            "renewed": since.renewed,
            "waiting": since.waiting,
            "ended": since.ended,
            "logins": since.logins,
        }))?;
    } else if wait {
        app.out.line(verdict(since))?;
    }
    if since.ended == 0 {
        return Ok(());
    }
    Err(CommandError::failed(format!(
        "{} of {before} sessions ended during the drill. The drill ends none: somebody logged out, or they were revoked; \
         `tenure issuer sessions list` shows why",
        since.ended
    )))
}

fn outlook(sessions: u64, access_ttl_s: u64, wait: bool) -> String {
    let sessions = match sessions {
        0 => {
            return "no session is alive, so nothing can be seen; drill while there is traffic"
                .to_owned();
        }
        1 => "1 session is alive and goes".to_owned(),
        more => format!("{more} sessions are alive and go"),
    };
    let end = if wait {
        ""
    } else {
        "; `tenure issuer sessions list` shows who has. --wait counts them"
    };
    format!(
        "{sessions} on with the next refresh, within {}{end}",
        time::span(access_ttl_s)
    )
}

fn verdict(since: SessionsSince) -> String {
    let SessionsSince {
        renewed,
        waiting,
        ended,
        logins,
    } = since;
    format!(
        "{renewed} went on with a refresh, {waiting} were not used meanwhile, {ended} ended; {logins} new {}",
        if logins == 1 { "login" } else { "logins" }
    )
}

/// The last count: when nobody waits any more, or when a session in use must have refreshed.
async fn until_over(issuer: &Issuer, began_ms: i64, access_ttl_s: u64) -> Outcome<SessionsSince> {
    let looking = async {
        loop {
            let since = issuer.sessions_since(began_ms).await?;
            if since.waiting == 0 {
                return Ok(since);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(access_ttl_s), looking).await {
        Ok(counted) => counted,
        Err(_) => Ok(issuer.sessions_since(began_ms).await?),
    }
}
