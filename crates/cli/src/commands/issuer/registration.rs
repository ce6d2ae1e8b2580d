//! `tenure issuer registration list|token|end`.

use serde_json::json;
use tenure_core::Wall;
use tenure_issuer::Issuer;

use super::{which, who};
use crate::app::App;
use crate::args::issuer::Registration;
use crate::error::Outcome;
use crate::output::table::Table;
use crate::output::time;

/// Runs one of the three.
pub async fn run(app: &App, command: &Registration) -> Outcome {
    let which = which::find(app)?;
    let on = which.options.registration;
    let issuer = which.open().await?;
    let admin = issuer.admin(&who::here());
    match command {
        Registration::List => list(app, &issuer).await,
        Registration::Token {
            label,
            uses,
            expires,
        } => {
            let token = admin.registration_token(label, *uses, *expires).await?;
            if app.out.json {
                return app.out.json(&json!({
                    "token": token.expose(), "label": label, "uses": uses, "expires_in": expires, "switched_on": on,
                }));
            }
            let times = if *uses == 1 { "once" } else { "more than once" };
            app.out.note(format_args!(
                "a token for {label:?}, with which a program can register itself {times}, for {}; shown this once",
                time::span(*expires)
            ));
            if !on {
                app.out.warn(
                    "registration is switched off: write `registration = true` into [issuer]",
                );
            }
            app.out.line(token.expose())
        }
        Registration::End { label } => {
            admin.end_registration_token(label).await?;
            if app.out.json {
                return app.out.json(&json!({ "label": label, "ended": true }));
            }
            app.out.line(format_args!(
                "nobody can register with the token of {label:?} any more; what was registered stays"
            ))
        }
    }
}

async fn list(app: &App, issuer: &Issuer) -> Outcome {
    let tokens = issuer.registration_tokens().await?;
    if app.out.json {
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| {
                json!({
                    "label": token.label, "uses_left": token.uses_left, "expires_at": token.expires_ms / 1000,
                })
            })
            .collect();
        return app.out.json(&json!({ "tokens": tokens }));
    }
    if tokens.is_empty() {
        return app.out.line("no tokens: nobody can register; make one with `tenure issuer registration token --for LABEL`");
    }
    let paint = app.out.out;
    let mut table = Table::new(&["TOKEN", "USES LEFT", "UNTIL"], paint);
    for token in tokens {
        table.row(vec![
            paint.bold(&token.label),
            token.uses_left.to_string(),
            time::clock(Wall(token.expires_ms)),
        ]);
    }
    for line in table.lines() {
        app.out.line(line)?;
    }
    Ok(())
}
