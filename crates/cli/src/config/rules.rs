//! `rules = ["FILE"]`: rules of one's own, asked before the shipped ones.

use std::path::{Path, PathBuf};

use tenure_diagnose::classify::rules;

use super::reader::{Source, Table};
use super::{discover, read_text};
use crate::args::Global;
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::Output;

/// The files a configuration names, relative to its own directory.
pub fn files(root: &Table<'_>, beside: &Path) -> Vec<PathBuf> {
    let names = root.strings("rules").unwrap_or_default();
    names.into_iter().map(|name| beside.join(name)).collect()
}

/// Reads the files and puts their rules before the shipped ones, for the whole process; what is wrong comes back.
pub fn install(files: &[PathBuf]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut read = Vec::new();
    for path in files {
        match read_text(path, "file of rules", "take it out of `rules`") {
            Ok(text) => read.push((path.display().to_string(), text)),
            Err(problem) => problems.push(problem),
        }
    }
    if let Err(faults) = rules::install(&read) {
        problems.extend(faults.0.into_iter().map(|fault| {
            let place = format!("{}:{}:{}", fault.file, fault.line, fault.column);
            Problem::new(fault.why)
                .at(place)
                .fix("docs/classify.md describes the format")
        }));
    }
    problems
}

/// The rules alone, for commands that need nothing else of a configuration. Other faults of the file are no reason to
/// leave somebody without an explanation.
pub fn install_found(global: &Global, out: Output) -> Outcome {
    let Ok(data) = discover::data_dir(global) else {
        return Ok(());
    };
    let Some(found) = discover::config_file(global, &data.value)? else {
        return Ok(());
    };
    let path = &found.value;
    let name = path.display().to_string();
    let text = match read_text(path, "configuration", "name another with --config") {
        Ok(text) => text,
        Err(problem) => {
            skipped(&problem, out);
            return Ok(());
        }
    };
    let source = Source::new(&name, &text);
    let Some(parsed) = source.parse() else {
        if let Some(problem) = source.into_problems().first() {
            skipped(problem, out);
        }
        return Ok(());
    };
    let root = Table::root(&source, &parsed);
    root.slip_of("rules");
    let files = files(&root, path.parent().unwrap_or(Path::new("")));
    drop(root);
    drop(parsed);
    let mut problems = source.into_problems();
    problems.extend(install(&files));
    if problems.is_empty() {
        return Ok(());
    }
    Err(CommandError::many(Exit::NeedsOperator, problems))
}

fn skipped(problem: &Problem, out: Output) {
    let place = problem
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!("{place}: "));
    out.warn(format_args!(
        "{place}{}; rules that this configuration may name are not heeded",
        problem.what
    ));
}
