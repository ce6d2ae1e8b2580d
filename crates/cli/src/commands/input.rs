//! What people type or pipe in: passwords, passphrases, files. Never from the command line.

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::termios::{self, OptionalActions, Termios};
use tenure_core::Secret;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{CommandError, Exit, Outcome, Problem};

/// Nothing that is read whole is larger, in bytes.
const MAX: u64 = 16 * 1024 * 1024;

/// A secret: asked for on a terminal without echo, else one line of stdin.
pub fn secret(prompt: &str) -> Outcome<Secret> {
    let text = if io::stdin().is_terminal() {
        let echo = Echo::keep();
        let typed = rpassword::prompt_password(format!("{prompt}: "));
        drop(echo);
        match typed {
            // Ctrl-C reaches the prompt as a key before it becomes a signal.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                ended_by(SignalKind::interrupt().as_raw_value())
            }
            typed => typed.map_err(|error| unreadable("the terminal", &error))?,
        }
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

/// How the terminal was before a secret was asked for; put back by whatever ends the question.
struct Echo;

/// The terminal to put back, while a question stands.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static WATCHED: Once = Once::new();

impl Echo {
    fn keep() -> Self {
        *before() = termios::tcgetattr(io::stdin()).ok();
        // Once a signal is caught it stays caught: the watch lasts as long as the program.
        WATCHED.call_once(|| {
            for kind in [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::hangup(),
            ] {
                if let Ok(mut caught) = signal(kind) {
                    tokio::spawn(async move {
                        caught.recv().await;
                        drop(Echo);
                        ended_by(kind.as_raw_value())
                    });
                }
            }
        });
        Self
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(terminal) = before().take() {
            // A terminal that is gone needs nothing put back.
            let _gone = termios::tcsetattr(io::stdin(), OptionalActions::Now, &terminal);
        }
    }
}

/// Ends the program with the code by which a shell names this signal.
fn ended_by(signal: i32) -> ! {
    std::process::exit(128 + signal)
}

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A file that cannot be read is a wrong argument.
pub fn unreadable(name: &str, error: &io::Error) -> CommandError {
    CommandError::new(
        Exit::Usage,
        Problem::new(format!("cannot read: {error}"))
            .at(name)
            .fix("name a file this user can read"),
    )
}
