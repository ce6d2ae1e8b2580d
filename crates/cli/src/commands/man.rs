//! `tenure man`: one page with every command, as roff.

use clap::CommandFactory;

use crate::args::Cli;
use crate::error::Outcome;
use crate::output::Output;

/// Prints the page.
pub fn run(out: Output) -> Outcome {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for below in subcommands(&command) {
        clap_mangen::Man::new(below).render(&mut page)?;
    }
    out.line(String::from_utf8_lossy(&page).trim_end())
}

/// Every command below this one, depth first, without the generated `help`.
fn subcommands(command: &clap::Command) -> Vec<clap::Command> {
    let mut all = Vec::new();
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        all.push(below.clone());
        all.extend(subcommands(below));
    }
    all
}
