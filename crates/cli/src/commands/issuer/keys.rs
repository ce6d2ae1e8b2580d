//! `tenure issuer keys list|rotate|promote|revoke|secret|drill`.

use serde_json::json;
use tenure_core::Wall;
use tenure_issuer::{Issuer, KeyInfo, KeyState, json, system_clock};

use super::{drill, which, who};
use crate::app::App;
use crate::args::issuer::Keys;
use crate::error::{CommandError, Outcome};
use crate::output::table::Table;
use crate::output::time;

/// Runs one of the six.
pub async fn run(app: &App, command: &Keys) -> Outcome {
    let which = which::find(app)?;
    let published_for_s = which.options.jwks_max_age_s;
    let issuer = which.open().await?;
    match command {
        Keys::List => list(app, &issuer),
        Keys::Rotate => rotate(app, &issuer, published_for_s).await,
        Keys::Promote => promote(app, &issuer).await,
        Keys::Revoke { kid } => revoke(app, &issuer, kid).await,
        Keys::Secret { new } => secret(app, &issuer, *new).await,
        Keys::Drill { wait } => drill::run(app, &issuer, issuer.lifetimes().access_s, *wait).await,
    }
}

fn list(app: &App, issuer: &Issuer) -> Outcome {
    let keys = issuer.key_infos();
    if app.out.json {
        let keys: Vec<_> = keys.iter().map(json::key).collect();
        return app.out.json(&json!({ "keys": keys }));
    }
    let paint = app.out.out;
    let mut table = Table::new(&["KID", "ALG", "STATE", "SINCE", "MADE"], paint);
    for key in &keys {
        let color = match key.state {
            KeyState::Active => anstyle::AnsiColor::Green,
            KeyState::Next => anstyle::AnsiColor::Cyan,
            KeyState::Retiring => anstyle::AnsiColor::Yellow,
            KeyState::Revoked => anstyle::AnsiColor::Red,
        };
        table.row(vec![
            paint.bold(&key.kid),
            key.alg.to_string(),
            paint.color(color, key.state.as_str()),
            time::clock(Wall(key.changed_ms)),
            time::clock(Wall(key.created_ms)),
        ]);
    }
    for line in table.lines() {
        app.out.line(line)?;
    }
    Ok(())
}

async fn rotate(app: &App, issuer: &Issuer, published_for_s: u64) -> Outcome {
    let before = in_state(issuer, KeyState::Next);
    issuer.admin(&who::here()).rotate_key().await?;
    let next = need(issuer, KeyState::Next)?;
    let age_s = u64::try_from((system_clock()() - next.changed_ms) / 1000).unwrap_or(0);
    let wait_s = published_for_s.saturating_sub(age_s);
    if app.out.json {
        return app.out.json(&json!({
            "key": json::key(&next),
            "made": before.is_none(),
            "may_sign_in": wait_s,
        }));
    }
    let what = if before.is_none() {
        "is published as the next key"
    } else {
        "was published as the next key already"
    };
    let when = match wait_s {
        0 => "it may sign now".to_owned(),
        wait => format!("it may sign in {}", time::span(wait)),
    };
    app.out.line(format_args!(
        "{} {what}; {when}. An issuer that runs lets it sign by itself then; `tenure issuer keys promote` does so by hand",
        next.kid
    ))
}

async fn promote(app: &App, issuer: &Issuer) -> Outcome {
    issuer.admin(&who::here()).promote_key().await?;
    let active = need(issuer, KeyState::Active)?;
    if app.out.json {
        return app.out.json(&json!({ "key": json::key(&active) }));
    }
    app.out.line(format_args!(
        "{} signs from now on; the key before it stays published until its last token has expired",
        active.kid
    ))
}

async fn revoke(app: &App, issuer: &Issuer, kid: &str) -> Outcome {
    issuer.admin(&who::here()).revoke_key(kid).await?;
    let active = need(issuer, KeyState::Active)?;
    if app.out.json {
        return app
            .out
            .json(&json!({ "revoked": kid, "key": json::key(&active) }));
    }
    app.out.line(format_args!(
        "{kid} is revoked, and with it every token it signed; {} signs. Nobody has to log in again: sessions go on with their next refresh",
        active.kid
    ))
}

/// Alone on stdout, so that it can be put where an API reads it; told only to who asks for it by this command.
async fn secret(app: &App, issuer: &Issuer, new: bool) -> Outcome {
    let none = || {
        CommandError::usage(
            "this issuer speaks no WordPress dialect: nothing is signed with a secret that an API could share",
            "write [issuer.wordpress] with the plugin your clients know (docs/issuer.md); APIs of other clients need no secret, they read /jwks.json",
        )
    };
    if issuer.wordpress_secret().is_none() {
        return Err(none());
    }
    if new {
        issuer
            .admin(&who::here())
            .replace_wordpress_secret()
            .await?;
    }
    let secret = issuer.wordpress_secret().ok_or_else(none)?;
    if app.out.json {
        return app
            .out
            .json(&json!({ "secret": secret.expose(), "made": new }));
    }
    if new {
        app.out
            .note("access tokens signed with the secret before are refused from now on: give this one to every API");
    }
    app.out.line(secret.expose())
}

fn in_state(issuer: &Issuer, state: KeyState) -> Option<KeyInfo> {
    issuer
        .key_infos()
        .into_iter()
        .find(|key| key.state == state)
}

/// A key that was there a moment ago: another process may have been faster.
pub fn need(issuer: &Issuer, state: KeyState) -> Outcome<KeyInfo> {
    in_state(issuer, state).ok_or_else(|| {
        CommandError::failed(format!(
            "another process changed the keys meanwhile: there is no {} key",
            state.as_str()
        ))
    })
}
