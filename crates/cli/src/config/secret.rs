//! Secrets in the configuration: named there, kept elsewhere.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tenure_core::Secret;

use super::reader::Table;
use super::value::Wrong;

/// No client secret or key is larger, in bytes.
const MAX: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; trailing line ends do not belong to the secret.
    File(PathBuf),
    /// A program and its arguments; it prints the secret.
    Command(Vec<String>),
}

impl SecretSource {
    /// Reads `key = { env = "…" }`, `{ file = "…" }` or `{ command = ["…"] }`. Files are relative to `beside`.
    pub fn from_table(parent: &Table<'_>, key: &'static str, beside: &Path) -> Option<Self> {
        if parent.get(key)?.value.is_str() {
            parent.wrong_at(key, Self::in_the_open(key));
            return None;
        }
        let table = parent.table(key)?;
        let source = Self::within(&table, beside);
        table.finish(|_| None);
        source
    }

    /// Reads the `env`, `file` or `command` of a table that may hold more than that.
    pub fn within(table: &Table<'_>, beside: &Path) -> Option<Self> {
        let env = table
            .string("env")
            .map(|name| SecretSource::Env(name.value));
        let file = table
            .string("file")
            .map(|path| SecretSource::File(beside.join(path.value)));
        let command = table.strings("command").map(SecretSource::Command);
        let mut given = [env, file, command].into_iter().flatten();
        let source = given.next();
        if given.next().is_some()
            || matches!(&source, Some(SecretSource::Command(argv)) if argv.is_empty())
        {
            table.wrong_here(Wrong::new(
                "exactly one source is wanted",
                "give one of env, file and a command that is not empty",
            ));
        } else if source.is_none() && !table.has_any(&["env", "file", "command"]) {
            table.wrong_here(Wrong::new(
                "no source is given",
                "give one of env = \"NAME\", file = \"PATH\", command = [\"PROGRAM\"]",
            ));
        }
        source
    }

    /// A secret in the wrong place. It is not repeated.
    pub fn in_the_open(key: &str) -> Wrong {
        Wrong::new(
            "a secret must not be written into the configuration",
            format!(
                "write {key} = {{ env = \"NAME\" }}, {{ file = \"PATH\" }} or {{ command = [\"PROGRAM\"] }}"
            ),
        )
    }

    /// Reads the secret.
    pub fn read(&self) -> Result<Secret, Wrong> {
        let text = match self {
            SecretSource::Env(name) => Self::read_env(name)?,
            SecretSource::File(path) => Self::read_file(path)?,
            SecretSource::Command(argv) => Self::read_command(argv)?,
        };
        let secret = Secret::new(text.expose().trim_end_matches(['\r', '\n']));
        if secret.is_empty() {
            return Err(Wrong::new(
                format!("{} holds an empty secret", self.name()),
                "put the secret there",
            ));
        }
        Ok(secret)
    }

    fn name(&self) -> String {
        match self {
            SecretSource::Env(name) => format!("environment variable {name}"),
            SecretSource::File(path) => format!("file {}", path.display()),
            SecretSource::Command(argv) => {
                format!("command `{}`", argv.first().map_or("", String::as_str))
            }
        }
    }

    fn read_env(name: &str) -> Result<Secret, Wrong> {
        match std::env::var(name) {
            Ok(text) => Ok(Secret::new(text)),
            Err(std::env::VarError::NotPresent) => Err(Wrong::new(
                format!("environment variable {name} is not set"),
                format!("set {name} where tenure is started"),
            )),
            Err(std::env::VarError::NotUnicode(_)) => Err(Wrong::new(
                format!("environment variable {name} is not UTF-8"),
                "set it to text",
            )),
        }
    }

    fn read_file(path: &Path) -> Result<Secret, Wrong> {
        let fault = |error: std::io::Error| {
            let fix = if error.kind() == std::io::ErrorKind::NotFound {
                "make the file and put the secret into it, or name another"
            } else {
                "make the file readable for the user tenure runs as, or name another"
            };
            Wrong::new(format!("cannot read file {}: {error}", path.display()), fix)
        };
        let mut text = String::new();
        std::fs::File::open(path)
            .map_err(fault)?
            .take(MAX)
            .read_to_string(&mut text)
            .map_err(fault)?;
        Ok(Secret::new(text))
    }

    fn read_command(argv: &[String]) -> Result<Secret, Wrong> {
        let (program, arguments) = argv
            .split_first()
            .ok_or_else(|| Wrong::new("the command is empty", "name a program"))?;
        let output = Command::new(program)
            .args(arguments)
            .stdin(Stdio::inherit())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| {
                Wrong::new(
                    format!("cannot run the command `{program}`: {error}"),
                    "name a program that exists and may be run",
                )
            })?;
        // What it printed is not repeated: it may be the secret.
        if !output.status.success() {
            return Err(Wrong::new(
                format!("the command `{program}` ended with {}", output.status),
                "run it by hand, with its arguments, to see what it wants",
            ));
        }
        String::from_utf8(output.stdout)
            .map(Secret::new)
            .map_err(|_| {
                Wrong::new(
                    format!("the command `{program}` printed something that is not UTF-8"),
                    "let it print the secret as text",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_do_not_belong_to_the_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, "canary-1\r\n").expect("written");
        assert_eq!(SecretSource::File(path).read(), Ok(Secret::new("canary-1")));
    }

    #[test]
    fn a_command_prints_the_secret() {
        let source = |script: &str| {
            SecretSource::Command(vec!["/bin/sh".into(), "-c".into(), script.into()])
        };
        assert_eq!(source("echo canary-2").read(), Ok(Secret::new("canary-2")));
        let wrong = source("echo canary-2; exit 3")
            .read()
            .expect_err("it failed");
        assert!(!wrong.to_string().contains("canary"), "{wrong}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let env = SecretSource::Env("TENURE_TEST_NOT_SET".into())
            .read()
            .expect_err("not set");
        assert!(env.what.contains("TENURE_TEST_NOT_SET"), "{env}");
        let file = SecretSource::File("/nonexistent/secret".into())
            .read()
            .expect_err("not there");
        assert!(file.what.contains("/nonexistent/secret"), "{file}");
    }
}
