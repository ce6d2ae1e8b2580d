//! Which configuration and which data directory this is.

use std::env;
use std::path::{Path, PathBuf};

use super::origin::{Origin, Sourced};
use crate::args::Global;
use crate::error::{CommandError, Exit, Outcome, Problem};

/// Name of the configuration file.
pub const FILE: &str = "tenure.toml";

/// The data directory; what is in its way is told before anything is read.
pub fn data_dir(global: &Global) -> Outcome<Sourced<PathBuf>> {
    let data = named_data_dir(global)?;
    let there = data.value.ancestors().find(|path| path.exists());
    let Some(file) = there.filter(|path| !path.is_dir()) else {
        return Ok(data);
    };
    let exit = exit_of(&data.origin);
    let what = format!(
        "{} is a file; the data directory cannot be there",
        file.display()
    );
    let fix = "name a directory with --data DIR or $TENURE_DATA; it is made if it is not there (a configuration file is named with --config)";
    Err(CommandError::new(
        exit,
        Problem::new(what).at(&data.origin).fix(fix),
    ))
}

/// What was typed is a usage error; what was set is for whoever runs this.
fn exit_of(origin: &Origin) -> Exit {
    match origin {
        Origin::Flag(_) => Exit::Usage,
        _ => Exit::NeedsOperator,
    }
}

/// `--data`, `$TENURE_DATA`, then `$XDG_DATA_HOME/tenure` or `~/.local/share/tenure`.
fn named_data_dir(global: &Global) -> Outcome<Sourced<PathBuf>> {
    if let Some(dir) = &global.data {
        return Ok(Sourced::new(dir.clone(), Origin::Flag("--data")));
    }
    if let Some(dir) = variable("TENURE_DATA") {
        return Ok(Sourced::new(dir, Origin::Env("TENURE_DATA")));
    }
    // The XDG specification has relative paths ignored.
    if let Some(home) = variable("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        return Ok(Sourced::new(
            home.join("tenure"),
            Origin::Env("XDG_DATA_HOME"),
        ));
    }
    variable("HOME")
        .map(|home| Sourced::default(home.join(".local/share/tenure")))
        .ok_or_else(|| {
            CommandError::new(
                Exit::NeedsOperator,
                Problem::new("no data directory: HOME is not set")
                    .fix("name one with --data DIR or $TENURE_DATA"),
            )
        })
}

/// The configuration file: `--config`, `$TENURE_CONFIG`, `./tenure.toml`, then the data directory's. `None` when
/// there is none; one that was named must exist.
pub fn config_file(global: &Global, data: &Path) -> Outcome<Option<Sourced<PathBuf>>> {
    let named = global
        .config
        .clone()
        .map(|path| (path, Origin::Flag("--config")))
        .or_else(|| variable("TENURE_CONFIG").map(|path| (path, Origin::Env("TENURE_CONFIG"))));
    if let Some((path, origin)) = named {
        if path.is_dir() {
            return Err(CommandError::new(
                exit_of(&origin),
                directory(&path).at(&origin),
            ));
        }
        // A pipe or a device is as good as a file.
        if path.exists() {
            return Ok(Some(Sourced::new(path, origin)));
        }
        let problem = Problem::new(format!("there is no configuration file {}", path.display()))
            .at(&origin)
            .fix("name a file that exists, or write one with `tenure init URL`");
        return Err(CommandError::new(exit_of(&origin), problem));
    }
    let usual = [PathBuf::from(FILE), data.join(FILE)];
    Ok(usual
        .into_iter()
        .find(|path| path.is_file())
        .map(Sourced::default))
}

/// A directory where a configuration file was meant.
fn directory(path: &Path) -> Problem {
    let within = path.join(FILE);
    let fix = if within.is_file() {
        format!("name the file in it: {}", within.display())
    } else {
        "name a file; a data directory is named with --data".to_owned()
    };
    Problem::new(format!(
        "{} is a directory, not a configuration file",
        path.display()
    ))
    .fix(fix)
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
