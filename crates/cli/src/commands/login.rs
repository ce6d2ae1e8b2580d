//! `tenure login S`.

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tenure_core::Failure;
use tenure_diagnose::profile::Flow;
use tenure_keeper::SessionConfig;
use tenure_keeper::login::browser::Browser;
use tenure_keeper::login::{self, Import, NewLogin};
use tokio::sync::oneshot;

use super::{input, refused, settle};
use crate::app::{App, http_client};
use crate::args;
use crate::config::Spec;
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::Output;
use crate::output::spinner;
use crate::output::time::span;

/// Logs in by the way that was asked for, or the first the server knows.
pub async fn run(app: &App, args: &args::Login) -> Outcome {
    let spec = app.spec(&args.session)?;
    let config = app.session_config(&args.session)?;
    let flow = flow(args, spec)?;
    let login = log_in(&config, args, flow, app.out)
        .await
        .map_err(|error| refused::placed(app, spec, args, error))?;
    let out = app.out;
    let renewable = login.renewable() || config.client_credentials;
    let keeper = app.open_keeper(vec![config], false).await?;
    let stored = keeper.login(&args.session, login).await;
    let status = keeper
        .session(&args.session)
        .map(|session| session.status());
    keeper.shutdown().await;
    let generation = stored?;
    settle::settle(
        app,
        &args.session,
        settle::Expected::Generation(generation.0),
    )
    .await?;
    let expires_in = status.and_then(|status| status.access_expires_in);
    if out.json {
        out.json(&json!({ "session": args.session, "generation": generation, "access_expires_in": expires_in, "renewable": renewable }))?;
    } else {
        let end = expires_in
            .filter(|left| *left > 0)
            .map_or_else(String::new, |left| {
                format!("; the access token ends in {}", span(left.unsigned_abs()))
            });
        out.line(format_args!(
            "{} is logged in (generation {generation}){end}",
            args.session
        ))?;
    }
    if !renewable {
        out.warn("this server gave nothing to renew the login with; it ends with its token. `--password --remember` stores the password, so that Tenure can log in again by itself");
    }
    Ok(())
}

async fn log_in(
    config: &SessionConfig,
    args: &args::Login,
    flow: Flow,
    out: Output,
) -> Outcome<NewLogin> {
    let http = http_client()?;
    match (&args.import, flow) {
        (Some(path), _) => import(&http, config, path, args).await,
        (None, Flow::Code | Flow::BrowserTokens) => browser(&http, config, out).await,
        (None, Flow::Device) => device(&http, config, out).await,
        (None, Flow::Password) => password(&http, config, args).await,
        (None, Flow::ClientCredentials) => {
            let login = login::client_credentials(&http, config);
            Ok(spinner::during("logging in", login).await?)
        }
    }
}

/// What was asked for, else what the configuration says, else the profile's first.
fn flow(args: &args::Login, spec: &Spec) -> Outcome<Flow> {
    let flows = &spec.config.profile.flows;
    let asked = [
        (args.browser, Flow::Code),
        (args.device, Flow::Device),
        (args.password, Flow::Password),
    ];
    if let Some((_, flow)) = asked.into_iter().find(|(given, _)| *given) {
        return Ok(
            if flow == Flow::Code
                && !flows.contains(&Flow::Code)
                && flows.contains(&Flow::BrowserTokens)
            {
                Flow::BrowserTokens
            } else {
                flow
            },
        );
    }
    spec.flow.or_else(|| flows.first().copied()).ok_or_else(|| {
        let problem = Problem::new(format!(
            "{} knows no way to log in by itself",
            spec.config.profile.title
        ))
        .at(&spec.origin)
        .fix(format!(
            "take over a token you have with `tenure login {} --import FILE`",
            spec.name
        ));
        CommandError::new(Exit::Usage, problem)
    })
}

async fn import(
    http: &tenure_http::Client,
    config: &SessionConfig,
    path: &Path,
    args: &args::Login,
) -> Outcome<NewLogin> {
    let text = tenure_core::Secret::new(input::text(path)?);
    match login::import(config, text.expose()) {
        Ok(Import::Login(login)) => Ok(login),
        Ok(Import::Password { username, password }) => Ok(spinner::during(
            "logging in",
            login::password(http, config, &username, &password, args.remember),
        )
        .await?),
        Err(failure) => Err(unreadable(path, failure)),
    }
}

/// A file that is no import is a wrong argument.
fn unreadable(path: &Path, failure: Failure) -> CommandError {
    let place = match path.to_str() {
        Some("-") => "stdin".to_owned(),
        _ => path.display().to_string(),
    };
    let problem = Problem::new(failure.detail.clone()).at(place).fix(
        "give a token response {\"access_token\", \"refresh_token\", \"expires_in\"} or {\"username\", \"password\"}",
    );
    CommandError {
        failure: Some(Box::new(failure)),
        ..CommandError::new(Exit::Usage, problem)
    }
}

async fn password(
    http: &tenure_http::Client,
    config: &SessionConfig,
    args: &args::Login,
) -> Outcome<NewLogin> {
    let username = match &args.username {
        Some(name) => name.clone(),
        None => input::plain("User name")?,
    };
    if username.is_empty() {
        return Err(CommandError::usage(
            "no user name was given",
            "type it at the prompt, pipe it in as the first line, or use --username",
        ));
    }
    let password = input::secret("Password")?;
    Ok(spinner::during(
        "logging in",
        login::password(http, config, &username, &password, args.remember),
    )
    .await?)
}

async fn device(
    http: &tenure_http::Client,
    config: &SessionConfig,
    out: Output,
) -> Outcome<NewLogin> {
    let paint = out.err;
    let login = login::device(http, config, |code| {
        out.note(format_args!(
            "Open {} on any device and type the code {}",
            code.verification_uri,
            paint.bold(&code.user_code)
        ));
        if let Some(complete) = &code.verification_uri_complete {
            out.note(format_args!("or open {complete}"));
        }
        out.note(format_args!(
            "The code is good for {}. Waiting …",
            span(code.expires_in)
        ));
    });
    Ok(login.await?)
}

async fn browser(
    http: &tenure_http::Client,
    config: &SessionConfig,
    out: Output,
) -> Outcome<NewLogin> {
    let browser = Browser::start(http, config).await?;
    out.note("Open this address in a browser and log in:");
    out.note(format_args!("\n  {}\n", out.err.bold(browser.url())));
    open_by_itself(browser.url().as_str());
    out.note(format_args!(
        "It comes back to {}. If the browser runs on another machine, paste the address it ends at here:",
        browser.redirect_uri()
    ));
    Ok(browser.finish(pasted(out)).await?)
}

/// Opens the address where there is a desktop; elsewhere the person does it.
fn open_by_itself(url: &str) {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if desktop && io::stderr().is_terminal() {
        let spawned = std::process::Command::new("xdg-open")
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Err(error) = spawned {
            tracing::debug!(%error, "no browser was opened");
        }
    }
}

/// How often a person may paste something else.
const PASTES: usize = 3;

/// The first line of stdin that can be the address; `None` at its end.
async fn pasted(out: Output) -> Option<String> {
    let (line_tx, line) = oneshot::channel();
    // A thread of its own: reading cannot be given up, and must not hold the program's end.
    std::thread::spawn(move || {
        let lines = io::stdin()
            .lock()
            .lines()
            .map_while(Result::ok)
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty());
        let mut line = None;
        for (tried, text) in (1..).zip(lines) {
            let wrong = tenure_wire::pasted(&text).err();
            line = Some(text);
            // What was pasted is not repeated: it may hold a code. The last is refused by the login.
            match wrong {
                Some(wrong) if tried < PASTES => {
                    out.note(format_args!(
                        "{wrong}. Paste the whole address the browser ends at:"
                    ));
                }
                _ => break,
            }
        }
        // The browser may have been faster.
        let _unwanted = line_tx.send(line);
    });
    line.await.ok().flatten()
}
