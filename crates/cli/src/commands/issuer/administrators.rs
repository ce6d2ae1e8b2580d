//! `tenure issuer administrators list|add|reset|remove|token`.

use serde_json::{Value, json};
use tenure_core::{Secret, Wall};
use tenure_issuer::{AdministratorInfo, Issuer, json, system_clock};

use super::{which, who};
use crate::app::App;
use crate::args::issuer::Administrators;
use crate::error::Outcome;
use crate::output::table::Table;
use crate::output::time;

/// Runs one of the five.
pub async fn run(app: &App, command: &Administrators) -> Outcome {
    let issuer = which::open(app).await?;
    let admin = issuer.admin(&who::here());
    match command {
        Administrators::List => list(app, &issuer).await,
        Administrators::Add { name } => one_time(app, name, &admin.add_administrator(name).await?),
        Administrators::Reset { name } => {
            one_time(app, name, &admin.reset_administrator(name).await?)
        }
        Administrators::Remove { name } => {
            admin.remove_administrator(name).await?;
            told(
                app,
                json!({ "administrator": name, "removed": true }),
                &format!("{name} is no administrator any more; its logins and tokens are refused"),
            )
        }
        Administrators::Token {
            name,
            label,
            expires,
        } => {
            let token = admin.administrator_token(name, label, *expires).await?;
            if app.out.json {
                return app.out.json(&json!({
                    "token": token.expose(),
                    "label": label,
                    "expires_in": expires,
                }));
            }
            app.out.note(format_args!(
                "a token for {label:?}, which acts for {name} for {}; shown this once",
                time::span(*expires)
            ));
            app.out.line(token.expose())
        }
    }
}

fn one_time(app: &App, name: &str, secret: &Secret) -> Outcome {
    if app.out.json {
        return app
            .out
            .json(&json!({ "administrator": name, "one_time_secret": secret.expose() }));
    }
    app.out.line(format_args!(
        "one-time secret of {name}  {}  (shown this once; it is good for a week and for one login, which chooses {name}'s own)",
        secret.expose()
    ))
}

fn told(app: &App, data: Value, text: &str) -> Outcome {
    if app.out.json {
        app.out.json(&data)
    } else {
        app.out.line(text)
    }
}

async fn list(app: &App, issuer: &Issuer) -> Outcome {
    let all = issuer.administrators().await?;
    if app.out.json {
        let all: Vec<_> = all.iter().map(json::administrator).collect();
        return app.out.json(&json!({ "administrators": all }));
    }
    if all.is_empty() {
        return app.out.line("no administrators: the first one is made when an issuer with `admin_listen` starts; `tenure issuer administrators add NAME` makes one");
    }
    let paint = app.out.out;
    let mut table = Table::new(&["ADMINISTRATOR", "STATE", "MADE", "TOKENS"], paint);
    for one in all {
        table.row(vec![
            paint.bold(&one.name),
            state(&one),
            time::clock(Wall(one.created_ms)),
            if one.tokens.is_empty() {
                "-".to_owned()
            } else {
                one.tokens.join(", ")
            },
        ]);
    }
    for line in table.lines() {
        app.out.line(line)?;
    }
    Ok(())
}

fn state(one: &AdministratorInfo) -> String {
    match one.one_time_ms {
        None => "active".to_owned(),
        Some(until) if until > system_clock()() => {
            format!(
                "never logged in; one-time secret until {}",
                time::clock(Wall(until))
            )
        }
        Some(_) => format!(
            "one-time secret too old; `tenure issuer administrators reset {}`",
            one.name
        ),
    }
}
