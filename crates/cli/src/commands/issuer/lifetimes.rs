//! `tenure issuer lifetimes show|set|reset`.

use tenure_issuer::{Decided, Issuer, Lifetimes, json};

use super::{which, who};
use crate::app::App;
use crate::args::issuer::{Lifetimes as Command, SetLifetimes};
use crate::error::Outcome;
use crate::output::time::span;

/// Runs one of the three.
pub async fn run(app: &App, command: &Command) -> Outcome {
    let issuer = which::open(app).await?;
    let lifetimes = match command {
        Command::Show => issuer.lifetimes(),
        Command::Set(args) => set(&issuer, args).await?,
        Command::Reset => {
            let admin = issuer.admin(&who::here());
            admin.decide_lifetimes(Decided::default()).await?
        }
    };
    show(app, &lifetimes)
}

async fn set(issuer: &Issuer, args: &SetLifetimes) -> Outcome<Lifetimes> {
    let before = issuer.lifetimes().decided;
    let decided = Decided {
        access_s: args.access.or(before.access_s),
        idle: args.idle.or(before.idle),
        session: args.session.or(before.session),
        window_s: args.window.or(before.window_s),
    };
    let admin = issuer.admin(&who::here());
    Ok(admin.decide_lifetimes(decided).await?)
}

fn show(app: &App, lifetimes: &Lifetimes) -> Outcome {
    if app.out.json {
        return app.out.json(&json::lifetimes(lifetimes));
    }
    let decided = lifetimes.decided;
    let ends = |seconds: Option<u64>| seconds.map_or_else(|| "never".to_owned(), span);
    let rows = [
        (
            "access",
            span(lifetimes.access_s),
            decided.access_s.is_some(),
            "how long an access token lives, shortened a little so that a fleet does not refresh at once",
        ),
        (
            "idle",
            ends(lifetimes.idle_s),
            decided.idle.is_some(),
            "when a session ends that nobody uses",
        ),
        (
            "session",
            ends(lifetimes.session_s),
            decided.session.is_some(),
            "when a session ends whatever its use",
        ),
        (
            "window",
            span(lifetimes.window_s),
            decided.window_s.is_some(),
            "how long the token before still gets the same successor",
        ),
    ];
    for (name, value, was_decided, what) in rows {
        let by = if was_decided {
            "set here"
        } else {
            "configured"
        };
        let what = app.out.out.dim(what);
        app.out
            .line(format_args!("{name:<9}{value:<12}{by:<12}{what}"))?;
    }
    Ok(())
}
