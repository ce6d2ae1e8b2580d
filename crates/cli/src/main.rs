//! The `tenure` program.
#![forbid(unsafe_code)]

mod app;
mod args;
mod builtin;
mod codes;
mod commands;
mod config;
mod error;
mod output;
mod usage;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::Cli;
use error::{CommandError, Exit, Outcome, Problem};
use output::Output;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error, &args),
    };
    let out = Output::new(cli.global.json, cli.global.color);
    let global = cli.global.clone();
    match start_logging(out).and_then(|()| commands::run(cli, out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error.advised();
            // Asked for only when there is something to read about.
            let pages = error
                .failure
                .as_ref()
                .and_then(|_| commands::pages(&global));
            out.error(&error, pages.as_deref());
            error.exit.into()
        }
    }
}

/// Logs go to stderr, as `TENURE_LOG` says; warnings without it.
fn start_logging(out: Output) -> Outcome {
    let wanted = std::env::var("TENURE_LOG").unwrap_or_default();
    let filter = log_filter(&wanted)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(out.err.0)
        .with_target(false)
        .init();
    Ok(())
}

/// Levels, and `target=level` for whoever knows the targets. A bare word that is no level would be taken for a
/// target and show nothing but it: it is a slip.
fn log_filter(wanted: &str) -> Outcome<EnvFilter> {
    const DEFAULT: &str = "warn";
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let level = |word: &str| levels.iter().any(|level| level.eq_ignore_ascii_case(word));
    let slip = wanted
        .split(',')
        .map(str::trim)
        .find(|word| !word.is_empty() && !word.contains(['=', '[', '_', ':']) && !level(word));
    let refused = || {
        let problem = Problem::new(format!(
            "TENURE_LOG is {wanted:?}, which is no level to log at"
        ))
        .fix("set it to error, warn, info, debug, trace or off, or unset it");
        CommandError::new(Exit::NeedsOperator, problem)
    };
    match (wanted.trim(), slip) {
        ("", _) => Ok(EnvFilter::new(DEFAULT)),
        (_, Some(_)) => Err(refused()),
        (wanted, None) => EnvFilter::try_new(wanted).map_err(|_| refused()),
    }
}
