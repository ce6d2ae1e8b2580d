//! `tenure token S`.

use std::time::Duration;

use serde_json::json;
use tenure_keeper::{Session, Token};

use crate::app::App;
use crate::args::{self, TokenFormat};
use crate::error::{CommandError, Outcome};
use crate::output::spinner;
use crate::output::time::span;

/// How long a token lives at least when nobody says.
const MIN_VALID: Duration = Duration::from_secs(60);

/// Prints a token that lives long enough.
pub async fn run(app: &App, args: &args::Token) -> Outcome {
    let (config, unread) = app.spec(&args.session)?.build_or_say();
    let keeper = app.open_keeper(vec![config], false).await?;
    let session = keeper
        .session(&args.session)
        .ok_or_else(|| super::lost(&args.session))?;
    let token = spinner::during(
        "waiting for a token",
        session.token(args.min_valid.unwrap_or(MIN_VALID)),
    )
    .await;
    // What was begun is finished and saved before this process ends.
    keeper.shutdown().await;
    let token = token.map_err(|failure| CommandError::from(failure).or_unread(unread))?;
    // Nobody asked for the default.
    if let Some(asked) = args.min_valid {
        warn(app, asked, &session, &token);
    }
    print(app, args, &token)
}

/// A token that lives shorter than was asked for is given all the same (I7), and stderr says why.
fn warn(app: &App, min_valid: Duration, session: &Session, token: &Token) {
    let Some(left) = token
        .expires_in()
        .filter(|left| *left < min_valid.as_secs())
    else {
        return;
    };
    let asked = span(min_valid.as_secs());
    let too_short = token
        .lifetime_ms
        .filter(|life| u128::from(*life) <= min_valid.as_millis());
    match (session.snapshot().failure.as_ref(), too_short) {
        (Some(failure), _) => app.out.warn(format_args!(
            "this token lives {} more, not the {asked} asked for: {} {}",
            span(left),
            failure.code,
            failure.detail
        )),
        (None, Some(life)) => app.out.warn(format_args!(
            "the tokens of this server live only {}, not the {asked} asked for; this one lives {} more",
            span(life.div_ceil(1_000)),
            span(left)
        )),
        (None, None) => app.out.warn(format_args!(
            "this token lives {} more, not the {asked} asked for, and cannot be renewed now",
            span(left)
        )),
    }
}

fn print(app: &App, args: &args::Token, token: &Token) -> Outcome {
    let format = if app.out.json {
        TokenFormat::Json
    } else {
        args.format
    };
    let secret = token.secret.expose();
    match format {
        TokenFormat::Plain => app.out.line(secret),
        TokenFormat::Header => app.out.line(format_args!("Authorization: Bearer {secret}")),
        TokenFormat::Json => app.out.json(&json!({
            "access_token": secret,
            "token_type": "Bearer",
            "expires_in": token.expires_in(),
            "generation": token.generation,
        })),
    }
}
