//! `tenure logout S`.

use serde_json::json;

use super::settle;
use crate::app::App;
use crate::args;
use crate::error::Outcome;
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
    done?;
    settle::settle(app, &args.session, settle::Expected::LoggedOut).await?;
    if app.out.json {
        return app.out.json(
            &json!({ "session": args.session, "logged_out": true, "everywhere": args.everywhere }),
        );
    }
    let place = if args.everywhere {
        "here and at the server"
    } else {
        "here; the server may still accept its tokens (--everywhere revokes them)"
    };
    app.out
        .line(format_args!("{} is logged out {place}", args.session))
}
