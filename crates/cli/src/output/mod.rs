//! What people see: colours only where they help, aligned tables, relative times.

pub mod failure;
pub mod spinner;
pub mod table;
pub mod time;

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use tenure_diagnose::catalogue::Lang;

use crate::args::ColorChoice;
use crate::error::{CommandError, Outcome};

/// Whether escape sequences may be written to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// By the flag, then `NO_COLOR` (any value but the empty one) and `TERM=dumb`, then whether it is a terminal.
    fn decide(choice: ColorChoice, terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !refused,
        })
    }

    /// `text` in this style, or plain.
    pub fn style(self, style: Style, text: impl fmt::Display) -> String {
        if self.0 {
            format!("{style}{text}{style:#}")
        } else {
            text.to_string()
        }
    }

    /// Bold.
    pub fn bold(self, text: impl fmt::Display) -> String {
        self.style(Style::new().bold(), text)
    }

    /// Faint: what matters less.
    pub fn dim(self, text: impl fmt::Display) -> String {
        self.style(Style::new().dimmed(), text)
    }

    /// A colour.
    pub fn color(self, color: AnsiColor, text: impl fmt::Display) -> String {
        self.style(color.on_default(), text)
    }

    /// A session's state in the colour of how well it is.
    pub fn state(self, state: tenure_core::session::State) -> String {
        use tenure_core::session::State;
        let color = match state {
            State::Fresh => AnsiColor::Green,
            State::Due => AnsiColor::Cyan,
            State::Empty | State::Degraded | State::Expired => AnsiColor::Yellow,
            State::NeedsLogin | State::NeedsOperator => AnsiColor::Red,
        };
        self.color(color, state.as_str())
    }
}

/// Where a command writes: stdout for results, stderr for everything said about them.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Results as JSON.
    pub json: bool,
    /// Colours on stdout.
    pub out: Paint,
    /// Colours on stderr.
    pub err: Paint,
}

impl Output {
    /// Decides about colours once.
    pub fn new(json: bool, color: ColorChoice) -> Self {
        Self {
            json,
            out: Paint::decide(color, io::stdout().is_terminal()),
            err: Paint::decide(color, io::stderr().is_terminal()),
        }
    }

    /// A line of the result.
    #[expect(clippy::unused_self, reason = "one place says where a command writes")]
    pub fn line(self, text: impl fmt::Display) -> Outcome {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()?;
        Ok(())
    }

    /// The result as one line of JSON.
    pub fn json(self, value: &impl Serialize) -> Outcome {
        let text = serde_json::to_string(value)
            .map_err(|error| CommandError::failed(format!("cannot write JSON: {error}")))?;
        self.line(text)
    }

    /// A remark on stderr. Nobody is stopped by a stderr that is gone.
    #[expect(clippy::unused_self, reason = "one place says where a command writes")]
    pub fn note(self, text: impl fmt::Display) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A warning on stderr.
    pub fn warn(self, text: impl fmt::Display) {
        let word = self
            .err
            .style(AnsiColor::Yellow.on_default().bold(), "warning");
        self.note(format_args!("{word}: {text}"));
    }

    /// An error: a block on stderr, or under `--json` one object on stdout.
    /// `pages` is where pages of codes are served, if they are.
    pub fn error(self, error: &CommandError, pages: Option<&str>) {
        if error.silent {
            return;
        }
        if self.json && self.json(&error.json()).is_ok() {
            return;
        }
        for problem in &error.problems {
            let (word, fix_word) = match problem.lang {
                Lang::En => ("error", "fix:"),
                Lang::Nl => ("fout", "oplossing:"),
            };
            let word = self.err.style(AnsiColor::Red.on_default().bold(), word);
            match &problem.place {
                Some(place) => self.note(format_args!(
                    "{word}: {}: {}",
                    self.err.bold(place),
                    problem.what
                )),
                None => self.note(format_args!("{word}: {}", problem.what)),
            }
            if let Some(fix) = &problem.fix {
                self.note(format_args!("  {} {fix}", self.err.dim(fix_word)));
            }
        }
        if let Some(failure) = &error.failure {
            for line in failure::block(failure, self.err, pages) {
                self.note(format_args!("  {line}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paint_adds_nothing() {
        assert_eq!(Paint(false).bold("x"), "x");
        assert_eq!(Paint(true).bold("x"), "\u{1b}[1mx\u{1b}[0m");
    }

    #[test]
    fn the_flag_wins_over_everything() {
        assert_eq!(Paint::decide(ColorChoice::Always, false), Paint(true));
        assert_eq!(Paint::decide(ColorChoice::Never, true), Paint(false));
        assert_eq!(Paint::decide(ColorChoice::Auto, false), Paint(false));
    }
}
