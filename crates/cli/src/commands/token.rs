//! `tenure token S`.

use serde_json::json;
use tenure_keeper::Token;

use crate::app::App;
use crate::args::{self, TokenFormat};
use crate::error::Outcome;
use crate::output::spinner;

/// Prints a token that lives long enough.
pub async fn run(app: &App, args: &args::Token) -> Outcome {
    let config = app.spec(&args.session)?.build_or_block();
    let keeper = app.open_keeper(vec![config], false).await?;
    let session = keeper
        .session(&args.session)
        .ok_or_else(|| super::lost(&args.session))?;
    let token = spinner::during("waiting for a token", session.token(args.min_valid)).await;
    // What was begun is finished and saved before this process ends.
    keeper.shutdown().await;
    print(app, args, &token?)
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
