//! `tenure issuer clients list|add|secret|remove`.

use serde_json::json;
use tenure_core::Secret;
use tenure_issuer::{ClientRegistration, Grant, Issuer, fresh_secret, json};

use super::{sessions_ended, which, who};
use crate::app::App;
use crate::args::issuer::{AddClient, Clients};
use crate::error::{CommandError, Outcome};
use crate::output::table::Table;

/// Scopes that every issuer knows.
const BUILT_IN: [&str; 3] = ["openid", "profile", "offline_access"];

/// Runs one of the four.
pub async fn run(app: &App, command: &Clients) -> Outcome {
    let which = which::find(app)?;
    let scopes = which.options.scopes.clone();
    let issuer = which.open().await?;
    match command {
        Clients::List => list(app, &issuer),
        Clients::Add(args) => add(app, &issuer, args, &scopes).await,
        Clients::Secret { id } => secret(app, &issuer, id).await,
        Clients::Remove { id } => remove(app, &issuer, id).await,
    }
}

fn list(app: &App, issuer: &Issuer) -> Outcome {
    let clients = issuer.client_infos();
    if app.out.json {
        let clients: Vec<_> = clients.iter().map(json::client).collect();
        return app.out.json(&json!({ "clients": clients }));
    }
    if clients.is_empty() {
        return app
            .out
            .line("no clients yet; register one with `tenure issuer clients add ID`");
    }
    let paint = app.out.out;
    let mut table = Table::new(&["CLIENT", "PROOF", "GRANTS", "SCOPES", "REDIRECTS"], paint);
    let joined = |words: &[String]| match words {
        [] => "-".to_owned(),
        words => words.join(" "),
    };
    for info in &clients {
        let client = &info.registration;
        table.row(vec![
            paint.bold(&client.id),
            json::proof(info).to_owned(),
            json::grants(client).join(" "),
            joined(&client.scopes),
            joined(&client.redirect_uris),
        ]);
    }
    for line in table.lines() {
        app.out.line(line)?;
    }
    Ok(())
}

async fn add(app: &App, issuer: &Issuer, args: &AddClient, scopes: &[String]) -> Outcome {
    if issuer.clients().contains(&args.id) {
        return Err(CommandError::usage(
            format!("there is a client {:?} already", args.id),
            format!(
                "give it another secret with `tenure issuer clients secret {0}`, or remove it first with `tenure issuer clients remove {0}`",
                args.id
            ),
        ));
    }
    check_scopes(&args.scopes, scopes)?;
    let made = (!args.public).then(fresh_secret);
    let name = args.name.as_deref().unwrap_or(&args.id);
    let mut client = match &made {
        Some(secret) => ClientRegistration::confidential(&args.id, name, secret.clone()),
        None => ClientRegistration::public(&args.id, name),
    };
    if !args.grants.is_empty() {
        client.grants = args.grants.iter().copied().map(Grant::from).collect();
    }
    client.scopes.clone_from(&args.scopes);
    client.redirect_uris.clone_from(&args.redirect_uris);
    client
        .post_logout_redirect_uris
        .clone_from(&args.logout_uris);
    client
        .backchannel_logout_uri
        .clone_from(&args.backchannel_logout_uri);
    client.backchannel_logout_session_required = args.backchannel_logout_session_required;
    client.dpop_bound = args.dpop;
    client.par_required = args.par;
    client.rotate = !args.no_rotation;
    let grants = json::grants(&client);
    issuer.admin(&who::here()).ensure_client(client).await?;
    if app.out.json {
        let secret = made.as_ref().map(Secret::expose);
        return app
            .out
            .json(&json!({ "client": args.id, "secret": secret, "grants": grants }));
    }
    app.out.line(format_args!(
        "{} is registered: {}",
        args.id,
        grants.join(", ")
    ))?;
    match &made {
        Some(secret) => show(app, secret),
        None => Ok(()),
    }
}

/// A scope that the issuer does not have is a slip.
fn check_scopes(wanted: &[String], known: &[String]) -> Outcome {
    let there = |scope: &str| known.iter().any(|one| one == scope) || BUILT_IN.contains(&scope);
    let Some(unknown) = wanted.iter().find(|scope| !there(scope)) else {
        return Ok(());
    };
    let all: Vec<_> = known.iter().map(String::as_str).chain(BUILT_IN).collect();
    Err(CommandError::usage(
        format!("this issuer has no scope {unknown:?}"),
        format!(
            "it has: {}; others are added with `scopes` in [issuer]",
            all.join(", ")
        ),
    ))
}

async fn secret(app: &App, issuer: &Issuer, id: &str) -> Outcome {
    let made = fresh_secret();
    issuer
        .admin(&who::here())
        .set_client_secret(id, made.clone())
        .await?;
    if app.out.json {
        return app
            .out
            .json(&json!({ "client": id, "secret": made.expose() }));
    }
    app.out.line(format_args!(
        "{id} has a new secret; the old one is refused from now on"
    ))?;
    show(app, &made)
}

async fn remove(app: &App, issuer: &Issuer, id: &str) -> Outcome {
    let ended = issuer.admin(&who::here()).remove_client(id).await?;
    if app.out.json {
        return app
            .out
            .json(&json!({ "client": id, "sessions_ended": ended }));
    }
    app.out
        .line(format_args!("{id} is removed; {}", sessions_ended(ended)))
}

fn show(app: &App, secret: &Secret) -> Outcome {
    app.out.line(format_args!(
        "secret  {}  (shown this once)",
        secret.expose()
    ))
}
