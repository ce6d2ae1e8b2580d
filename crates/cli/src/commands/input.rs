//! What people type or pipe in: passwords, passphrases, files. Never from the command line.

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use tenure_core::Secret;

use crate::error::{CommandError, Exit, Outcome, Problem};

/// Nothing that is read whole is larger, in bytes.
const MAX: u64 = 16 * 1024 * 1024;

/// A secret: asked for on a terminal without echo, else one line of stdin.
pub fn secret(prompt: &str) -> Outcome<Secret> {
    let text = if io::stdin().is_terminal() {
        rpassword::prompt_password(format!("{prompt}: "))
            .map_err(|error| unreadable("the terminal", &error))?
    } else {
        line()?
    };
    if text.is_empty() {
        return Err(CommandError::usage(
            format!("no {} was given", prompt.to_lowercase()),
            "type it at the prompt, or pipe it in as one line",
        ));
    }
    Ok(Secret::new(text))
}

/// A line that may be seen: asked for on a terminal, else one line of stdin.
pub fn plain(prompt: &str) -> Outcome<String> {
    if io::stdin().is_terminal() {
        // Where it cannot be shown, the terminal still waits for the line.
        let _ = io::Write::write_all(&mut io::stderr(), format!("{prompt}: ").as_bytes());
    }
    line()
}

/// One line of stdin without its end.
fn line() -> Outcome<String> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_line(&mut text)
        .map_err(|error| unreadable("stdin", &error))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// A file, or stdin for `-`.
pub fn file(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let name = path.display().to_string();
    if name == "-" {
        io::stdin()
            .lock()
            .take(MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable("stdin", &error))?;
    } else {
        let open = std::fs::File::open(path).map_err(|error| unreadable(&name, &error))?;
        open.take(MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(&name, &error))?;
    }
    Ok(bytes)
}

/// Text of a file, or of stdin for `-`.
pub fn text(path: &Path) -> Outcome<String> {
    String::from_utf8(file(path)?).map_err(|_| {
        CommandError::new(
            Exit::Usage,
            Problem::new("this is not UTF-8 text")
                .at(path.display())
                .fix("name a text file"),
        )
    })
}

fn unreadable(name: &str, error: &io::Error) -> CommandError {
    CommandError::new(
        Exit::Usage,
        Problem::new(format!("cannot read: {error}"))
            .at(name)
            .fix("name a file this user can read"),
    )
}
