//! A command line that was not understood: what is wrong with it, and what to type instead.

use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{Cli, ColorChoice};
use crate::config::value::Wrong;
use crate::error::{CommandError, Exit, Problem};
use crate::output::Output;

/// Says what clap found: help and version as they are, an error as any command says one.
pub fn report(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let out = output(args);
    let helps = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let lost = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if helps || (lost && !out.json) {
        // Nobody is left to read it: nothing to say.
        let _gone = error.print();
        return if helps {
            ExitCode::SUCCESS
        } else {
            Exit::Usage.into()
        };
    }
    out.error(&usage(error, args), None);
    Exit::Usage.into()
}

/// The output as far as it can be told from a command line that was not understood.
fn output(args: &[OsString]) -> Output {
    let flags = || args.iter().take_while(|arg| *arg != "--");
    let json = flags().any(|arg| arg == "--json");
    let given = |value: &str| {
        let joined = format!("--color={value}");
        flags().any(|arg| *arg == *joined)
            || flags()
                .zip(flags().skip(1))
                .any(|(name, given)| name == "--color" && given == value)
    };
    let color = match (given("always"), given("never")) {
        (true, _) => ColorChoice::Always,
        (_, true) => ColorChoice::Never,
        _ => ColorChoice::Auto,
    };
    Output::new(json, color)
}

fn usage(error: &clap::Error, args: &[OsString]) -> CommandError {
    let help = format!("`{} --help` shows what there is", typed(args));
    let wrong = error
        .source()
        .and_then(|source| source.downcast_ref::<Wrong>());
    let what = match (wrong, error.kind()) {
        (_, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand) => {
            "no command was given".to_owned()
        }
        (Some(wrong), _) => format!(
            "{}: {}",
            text(error, ContextKind::InvalidArg).unwrap_or_default(),
            wrong.what
        ),
        _ => said(error),
    };
    let fix = match (wrong, remedy(error)) {
        (Some(wrong), _) => wrong.fix.clone(),
        (None, Some(remedy)) => format!("{remedy} {help}"),
        (None, None) => help,
    };
    CommandError::new(Exit::Usage, Problem::new(what).fix(fix))
}

/// The first paragraph of what clap says, on one line and without its `error:`.
fn said(error: &clap::Error) -> String {
    let whole = error.render().to_string();
    let first = whole.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = first
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('['))
        .collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

/// What clap knows to type instead: a word that is alike, the values there are, the form of the command.
fn remedy(error: &clap::Error) -> Option<String> {
    let alike = [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ];
    if let Some(word) = alike.into_iter().find_map(|kind| text(error, kind)) {
        return Some(format!("did you mean `{word}`?"));
    }
    if let Some(values) = text(error, ContextKind::ValidValue) {
        return Some(format!("write one of: {values};"));
    }
    let form = text(error, ContextKind::Usage)?;
    let form = form.trim_start_matches("Usage:").trim();
    Some(format!("type `{form}`;"))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}

/// The command as far as it was typed: `tenure store`.
fn typed(args: &[OsString]) -> String {
    let mut command = &Cli::command();
    let mut words = vec![command.get_name()];
    for word in args.iter().skip(1).filter_map(|arg| arg.to_str()) {
        if let Some(below) = command.find_subcommand(word) {
            words.push(below.get_name());
            command = below;
        }
    }
    words.join(" ")
}
