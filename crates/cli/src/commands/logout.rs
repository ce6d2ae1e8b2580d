//! `tenure logout S`.

use serde_json::json;
use tenure_keeper::login::LoggedOut;

use super::settle;
use crate::app::App;
use crate::args;
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::spinner;

/// Forgets the session's tokens, and has the server forget them if asked to.
pub async fn run(app: &App, args: &args::Logout) -> Outcome {
    // Only the server wants to know who asks.
    let config = if args.everywhere {
        app.session_config(&args.session)?
    } else {
        app.spec(&args.session)?.config.clone()
    };
    let keeper = app.open_keeper(vec![config], false).await?;
    let done = spinner::during("logging out", keeper.logout(&args.session, args.everywhere)).await;
    keeper.shutdown().await;
    let done = done?;
    if done != LoggedOut::NeverIn {
        settle::settle(app, &args.session, settle::Expected::LoggedOut).await?;
    }
    if args.everywhere {
        not_revoked(&args.session, done)?;
    }
    if app.out.json {
        let everywhere = matches!(done, LoggedOut::AtServer | LoggedOut::AtServerBefore);
        return app.out.json(
            &json!({ "session": args.session, "logged_out": true, "everywhere": everywhere }),
        );
    }
    app.out.line(said(&args.session, done))
}

fn said(session: &str, done: LoggedOut) -> String {
    match done {
        LoggedOut::AtServer => format!("{session} is logged out here and at the server"),
        LoggedOut::AtServerBefore => {
            format!("{session} is logged out already, and its server revoked the tokens then")
        }
        LoggedOut::NeverIn => {
            format!("{session} never was logged in: there was nothing to log out of")
        }
        LoggedOut::NothingLeft => format!(
            "{session} was logged out here before; what the server still accepts can be revoked at the server only"
        ),
        LoggedOut::Here | LoggedOut::NoRevocation => format!(
            "{session} is logged out here; the server may still accept its tokens, and they can now be revoked at the server only \
             (next time, --everywhere revokes them first)"
        ),
    }
}

/// Nobody is to believe that the server ended what it was not asked to end.
fn not_revoked(session: &str, done: LoggedOut) -> Outcome {
    let what = match done {
        LoggedOut::NothingLeft => format!(
            "{session} is logged out here, and no token was left to revoke at the server: it may still accept those it gave"
        ),
        LoggedOut::NoRevocation => format!(
            "{session} is logged out here, but its server names no way to revoke tokens: it may still accept them"
        ),
        LoggedOut::AtServer | LoggedOut::AtServerBefore | LoggedOut::Here | LoggedOut::NeverIn => {
            return Ok(());
        }
    };
    let problem = Problem::new(what).fix(
        "end the session at the server, in its account page or by its administrator; else it ends with its tokens",
    );
    Err(CommandError::new(Exit::NeedsOperator, problem))
}
