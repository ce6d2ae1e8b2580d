//! `tenure completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::Outcome;
use crate::output::Output;

/// Prints the script.
pub fn run(shell: Shell, out: Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tenure", &mut script);
    out.line(String::from_utf8_lossy(&script).trim_end())
}
