//! `tenure issuer users list|add|password|disable|enable`.

use std::io::IsTerminal;

use serde_json::json;
use tenure_core::{Secret, Wall};
use tenure_issuer::{Issuer, generate_password, json};

use super::{sessions_ended, which, who};
use crate::app::App;
use crate::args::issuer::{Password, Users};
use crate::commands::input;
use crate::error::{CommandError, Outcome};
use crate::output::table::Table;
use crate::output::time;

/// Runs one of the five.
pub async fn run(app: &App, command: &Users) -> Outcome {
    let issuer = which::open(app).await?;
    match command {
        Users::List => list(app, &issuer).await,
        Users::Add(args) => add(app, &issuer, args).await,
        Users::Password(args) => password(app, &issuer, args).await,
        Users::Disable { name } => disable(app, &issuer, name, true).await,
        Users::Enable { name } => disable(app, &issuer, name, false).await,
    }
}

async fn list(app: &App, issuer: &Issuer) -> Outcome {
    let users = issuer.users().await?;
    if app.out.json {
        let users: Vec<_> = users.iter().map(json::user).collect();
        return app.out.json(&json!({ "users": users }));
    }
    if users.is_empty() {
        return app
            .out
            .line("no users yet; add one with `tenure issuer users add NAME`");
    }
    let paint = app.out.out;
    let mut table = Table::new(&["USER", "STATE", "MADE"], paint);
    for user in users {
        let state = if user.disabled {
            paint.color(anstyle::AnsiColor::Yellow, "disabled")
        } else {
            "active".to_owned()
        };
        table.row(vec![
            paint.bold(&user.name),
            state,
            time::clock(Wall(user.created_ms)),
        ]);
    }
    for line in table.lines() {
        app.out.line(line)?;
    }
    Ok(())
}

async fn add(app: &App, issuer: &Issuer, args: &Password) -> Outcome {
    // Before a password is asked for in vain.
    if is_there(issuer, &args.name).await? {
        return Err(CommandError::usage(
            format!("there is a user {:?} already", args.name),
            format!(
                "give it another password with `tenure issuer users password {}`, or choose another name",
                args.name
            ),
        ));
    }
    let chosen = choose(args)?;
    issuer
        .admin(&who::here())
        .ensure_user(&args.name, Some(chosen.clone()))
        .await?;
    told(app, args, &chosen, None)
}

async fn password(app: &App, issuer: &Issuer, args: &Password) -> Outcome {
    if !is_there(issuer, &args.name).await? {
        return Err(no_user(&args.name));
    }
    let chosen = choose(args)?;
    let ended = issuer
        .admin(&who::here())
        .set_password(&args.name, &chosen)
        .await?;
    told(app, args, &chosen, Some(ended))
}

/// What was done. A password that was made is shown here and nowhere else.
fn told(app: &App, args: &Password, chosen: &Secret, ended: Option<usize>) -> Outcome {
    let shown = args.generate.then(|| chosen.expose());
    if app.out.json {
        let mut done = json!({ "user": args.name, "password": shown });
        if let Some(ended) = ended {
            done["sessions_ended"] = ended.into();
        }
        return app.out.json(&done);
    }
    let what = match ended {
        None => format!("{} can log in", args.name),
        Some(ended) => format!(
            "{} has a new password; {}",
            args.name,
            sessions_ended(ended)
        ),
    };
    app.out.line(what)?;
    match shown {
        Some(password) => app
            .out
            .line(format_args!("password  {password}  (shown this once)")),
        None => Ok(()),
    }
}

async fn disable(app: &App, issuer: &Issuer, name: &str, disabled: bool) -> Outcome {
    issuer
        .admin(&who::here())
        .set_disabled(name, disabled)
        .await?;
    if app.out.json {
        return app.out.json(&json!({ "user": name, "disabled": disabled }));
    }
    app.out.line(if disabled {
        format!("{name} is disabled: no login, no refresh, and its access tokens are refused; `tenure issuer users enable {name}` undoes it")
    } else {
        format!("{name} is enabled; its sessions go on with their next refresh")
    })
}

async fn is_there(issuer: &Issuer, name: &str) -> Outcome<bool> {
    let name = name.to_lowercase();
    let users = issuer.users().await?;
    Ok(users.iter().any(|user| user.name.to_lowercase() == name))
}

fn no_user(name: &str) -> CommandError {
    CommandError::usage(
        format!("there is no user {name:?}"),
        "`tenure issuer users list` shows those that exist",
    )
}

/// Made, typed twice, or piped in.
fn choose(args: &Password) -> Outcome<Secret> {
    if args.generate {
        return Ok(generate_password());
    }
    let password = input::secret("Password")?;
    if std::io::stdin().is_terminal() && input::secret("The same again")? != password {
        return Err(CommandError::usage(
            "the two passwords differ",
            "type the same one twice, or use --generate",
        ));
    }
    Ok(password)
}
