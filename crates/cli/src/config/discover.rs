//! Which configuration and which data directory this is.

use std::env;
use std::path::PathBuf;

use super::origin::{Origin, Sourced};
use crate::args::Global;
use crate::error::{CommandError, Exit, Outcome, Problem};

/// Name of the configuration file.
pub const FILE: &str = "tenure.toml";

/// The data directory: `--data`, `$TENURE_DATA`, then `$XDG_DATA_HOME/tenure` or `~/.local/share/tenure`.
pub fn data_dir(global: &Global) -> Outcome<Sourced<PathBuf>> {
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
pub fn config_file(global: &Global, data: &std::path::Path) -> Outcome<Option<Sourced<PathBuf>>> {
    let named = global
        .config
        .clone()
        .map(|path| (path, Origin::Flag("--config"), Exit::Usage))
        .or_else(|| {
            variable("TENURE_CONFIG")
                .map(|path| (path, Origin::Env("TENURE_CONFIG"), Exit::NeedsOperator))
        });
    if let Some((path, origin, exit)) = named {
        if path.is_file() {
            return Ok(Some(Sourced::new(path, origin)));
        }
        let problem = Problem::new(format!("there is no configuration file {}", path.display()))
            .at(&origin)
            .fix("name a file that exists, or write one with `tenure init URL`");
        return Err(CommandError::new(exit, problem));
    }
    let usual = [PathBuf::from(FILE), data.join(FILE)];
    Ok(usual
        .into_iter()
        .find(|path| path.is_file())
        .map(Sourced::default))
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
