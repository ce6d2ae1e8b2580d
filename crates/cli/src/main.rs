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

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::Cli;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Output::new(cli.global.json, cli.global.color);
    start_logging(out);
    let global = cli.global.clone();
    match commands::run(cli, out) {
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
fn start_logging(out: Output) {
    let wanted = std::env::var("TENURE_LOG").unwrap_or_default();
    let filter = if wanted.is_empty() {
        EnvFilter::new("warn")
    } else {
        EnvFilter::new(&wanted)
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(out.err.0)
        .with_target(false)
        .init();
}
