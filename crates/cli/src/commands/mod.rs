//! The commands, one file each.

mod classify;
mod completions;
mod docs;
mod doctor;
pub mod events;
mod explain;
mod init;

mod input;
mod inspect;
mod issuer;
mod login;
mod logout;
mod man;
mod refused;
mod request;
mod settle;
mod signals;
mod status;
mod store;
mod token;
mod up;

use tenure_core::Heal;

use crate::app::{App, Setup};
use crate::args::{Cli, Command, Global};
use crate::config::{discover, rules};
use crate::error::{CommandError, Outcome};
use crate::output::Output;

/// Runs the command.
pub fn run(cli: Cli, out: Output) -> Outcome {
    match cli.command {
        Command::Completions { shell } => completions::run(shell, out),
        Command::Man => man::run(out),
        Command::Classify(args) => {
            rules::install_found(&cli.global, out)?;
            classify::run(&args, out)
        }
        Command::Explain(args) => {
            rules::install_found(&cli.global, out)?;
            explain::run(&args, out)
        }
        Command::Docs(args) => docs::run(&args, out),
        command => runtime()?.block_on(run_async(command, &cli.global, out)),
    }
}

/// Where a running `tenure up` of this data serves the pages of codes; `None` when none runs.
pub fn pages(global: &Global) -> Option<String> {
    let data = discover::data_dir(global).ok()?;
    up::lock::running_admin(&data.value)
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed(format!("the runtime could not be started: {error}")))
}

async fn run_async(command: Command, global: &Global, out: Output) -> Outcome {
    let app = |out| App::load(global, out);
    match command {
        Command::Up(args) => up::run(app(out)?, &args).await,
        Command::Init(args) => init::run(global, &args, out).await,
        Command::Login(args) => login::run(&app(out)?, &args).await,
        Command::Logout(args) => {
            let app = app(out)?;
            without_issuer(&app, logout::run(&app, &args).await)
        }
        Command::Token(args) => {
            let app = app(out)?;
            let done = without_issuer(&app, token::run(&app, &args).await);
            done.map_err(|error| about(&args.session, error))
        }
        Command::Request(args) => {
            let app = app(out)?;
            let done = without_issuer(&app, request::run(&app, &args).await);
            done.map_err(|error| about(&args.session, error))
        }
        Command::Status(args) => status::run(&app(out)?, &args).await,
        Command::Doctor(args) => doctor::run(global, &args, out).await,
        Command::Inspect(args) => inspect::run(global, &args, out).await,
        Command::SessionNames => completions::names(&app(out)?),
        Command::Events(args) => events::run(&app(out)?, &args).await,
        Command::Store(args) => store::run(&app(out)?, &args).await,
        Command::Issuer(args) => issuer::run(&app(out)?, &args).await,
        // Handled before there is a runtime.
        Command::Completions { shell } => completions::run(shell, out),
        Command::Man => man::run(out),
        Command::Classify(args) => classify::run(&args, out),
        Command::Explain(args) => explain::run(&args, out),
        Command::Docs(args) => docs::run(&args, out),
    }
}

/// The example's issuer runs in `tenure up`: where none runs, waiting heals nothing.
fn without_issuer(app: &App, done: Outcome) -> Outcome {
    done.map_err(|mut error| {
        let built_in = matches!(app.setup, Setup::BuiltIn(_));
        let passing = error
            .failure
            .as_ref()
            .is_some_and(|failure| failure.heal == Heal::RetryLater);
        if built_in
            && passing
            && up::lock::running(&app.data.value).is_none()
            && let Some(problem) = error.problems.first_mut()
        {
            problem.fix = Some(ISSUER_IN_UP.to_owned());
        }
        error
    })
}

/// A session's failure says which session it is about, once.
fn about(session: &str, mut error: CommandError) -> CommandError {
    if error.failure.is_none() {
        return error;
    }
    let named = format!("session {session}");
    for problem in &mut error.problems {
        if !problem.what.contains(&named) {
            problem.place.get_or_insert_with(|| named.clone());
        }
    }
    error
}

/// What to do about the example's issuer when it does not answer.
pub(super) const ISSUER_IN_UP: &str = "start `tenure up`: the issuer of this session runs in it";

/// A session that was just configured is not in its keeper: a fault of this program.
fn lost(name: &str) -> CommandError {
    CommandError::failed(format!(
        "session {name} is configured but not kept; this is a fault in tenure"
    ))
}
