//! `tenure-sim --seeds N [--from S]`: runs seeds and reports what fails, shrunk.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use tenure_sim::{Plan, check};

fn number(args: &[String], name: &str, default: u64) -> Result<u64, String> {
    let Some(at) = args.iter().position(|arg| arg == name) else {
        return Ok(default);
    };
    args.get(at + 1)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{name} wants a number, e.g. `tenure-sim --seeds 2000 --from 0`"))
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (seeds, from) = match (number(&args, "--seeds", 2_000), number(&args, "--from", 0)) {
        (Ok(seeds), Ok(from)) => (seeds, from),
        (Err(why), _) | (_, Err(why)) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let (mut facts, mut killed) = (0, 0);
    for seed in from..from.saturating_add(seeds) {
        match check(&Plan::of(seed)) {
            Ok(run) => {
                facts += run.facts;
                killed += run.killed;
            }
            Err(broken) => {
                eprintln!("{broken}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{seeds} seeds from {from}: nothing broken; {facts} facts, {killed} families killed");
    ExitCode::SUCCESS
}
