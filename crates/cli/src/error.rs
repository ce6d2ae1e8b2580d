//! What goes wrong in a command: what, where, what to do, and which exit code it makes.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};
use tenure_core::{Failure, Heal};
use tenure_diagnose::catalogue::Lang;
use tenure_store::StoreError;

use crate::config::session::SECRET_UNREADABLE;

/// The exit codes of the program (DESIGN §12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Whoever read the output went away, as in `tenure … | head`: they have what they wanted.
    ReaderGone = 0,
    /// Failed for a reason that none of the others names.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// A person must log in.
    NeedsLogin = 3,
    /// A configuration, a client, a clock or the machine must be put right by whoever runs this.
    NeedsOperator = 4,
    /// It passes: the same command may work later.
    TryLater = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// One thing that is wrong: what, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, one sentence without a full stop.
    pub what: String,
    /// Where: `tenure.toml:4:1`, a path, an address.
    pub place: Option<String>,
    /// What to do.
    pub fix: Option<String>,
    /// The language it is said in.
    pub lang: Lang,
}

impl Problem {
    /// A problem without place or fix yet.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            place: None,
            fix: None,
            lang: Lang::default(),
        }
    }

    /// Says that it is told in this language.
    #[must_use]
    pub fn in_lang(mut self, lang: Lang) -> Self {
        self.lang = lang;
        self
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(place.to_string());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn json(&self) -> Value {
        json!({ "message": self.what, "where": self.place, "fix": self.fix })
    }
}

/// Why a command ends without doing what it was asked to.
#[derive(Debug)]
pub struct CommandError {
    /// What is wrong; never empty.
    pub problems: Vec<Problem>,
    /// The failure behind it, when a session failed.
    pub failure: Option<Box<Failure>>,
    /// How the program ends.
    pub exit: Exit,
    /// Nothing is left to say: it was shown already, or nobody reads any more.
    pub silent: bool,
}

/// What a command yields.
pub type Outcome<T = ()> = Result<T, CommandError>;

impl CommandError {
    /// One problem and its exit code.
    pub fn new(exit: Exit, problem: Problem) -> Self {
        Self::many(exit, vec![problem])
    }

    /// Several problems found at once.
    pub fn many(exit: Exit, problems: Vec<Problem>) -> Self {
        Self {
            problems,
            failure: None,
            exit,
            silent: false,
        }
    }

    /// A plain failure.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, Problem::new(what))
    }

    /// A wrong command line.
    pub fn usage(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Exit::Usage, Problem::new(what).fix(fix))
    }

    /// With something to do about a session's failure even where no command added what it knows.
    #[must_use]
    pub fn advised(mut self) -> Self {
        if let (Some(failure), Some(problem)) = (&self.failure, self.problems.first_mut())
            && problem.fix.is_none()
        {
            problem.fix = Some(advice(failure));
        }
        self
    }

    /// Tells of a secret that cannot be read as every command does, when that is what stopped this one.
    #[must_use]
    pub fn or_unread(mut self, unread: Option<Problem>) -> Self {
        let stopped = self
            .failure
            .as_ref()
            .is_some_and(|failure| failure.root().cause == SECRET_UNREADABLE);
        if let (true, Some(problem)) = (stopped, unread) {
            self.problems = vec![problem];
        }
        self
    }

    /// The JSON object printed on stdout under `--json`.
    pub fn json(&self) -> Value {
        let first = self.problems.first().map_or(Value::Null, Problem::json);
        let mut error = json!({
            "message": first["message"],
            "where": first["where"],
            "fix": first["fix"],
            "exit_code": self.exit as u8,
            "failure": self.failure,
        });
        if self.problems.len() > 1 {
            error["problems"] = self.problems.iter().map(Problem::json).collect();
        }
        json!({ "error": error })
    }
}

/// What a session's failure makes of the exit code: its heal decides.
pub fn exit_of(failure: &Failure) -> Exit {
    match failure.heal {
        Heal::Relogin => Exit::NeedsLogin,
        Heal::FixClock | Heal::FixConfig | Heal::RequestScope | Heal::ContactAdmin => {
            Exit::NeedsOperator
        }
        Heal::Refresh | Heal::RetryLater => Exit::TryLater,
        Heal::None => Exit::Failed,
    }
}

/// What a failure's heal amounts to, where nobody knew anything better.
fn advice(failure: &Failure) -> String {
    let code = failure.root().code;
    match failure.heal {
        Heal::Relogin => "log in again with `tenure login SESSION`".to_owned(),
        Heal::Refresh | Heal::RetryLater => "try again later".to_owned(),
        Heal::FixClock => "set the clock that is wrong; `tenure doctor` says which".to_owned(),
        Heal::FixConfig => format!("put the configuration right; `tenure explain {code}` says how"),
        Heal::RequestScope => "ask for the scope in `scopes`, then log in again".to_owned(),
        Heal::ContactAdmin => {
            format!("ask the server's administrator; `tenure explain {code}` says for what")
        }
        Heal::None => format!("see `tenure explain {code}`"),
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        let mut problem = Problem::new(failure.detail.clone());
        problem.fix = failure
            .command
            .as_ref()
            .map(|command| format!("run `{command}`"));
        Self {
            problems: vec![problem],
            exit: exit_of(&failure),
            failure: Some(Box::new(failure)),
            silent: false,
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Import { fix, .. } = &error {
            // Nothing is wrong with the store: the file, or the passphrase for it, is a wrong argument.
            let problem = Problem {
                fix: fix.clone(),
                ..Problem::new(error.to_string())
            };
            return Self::new(Exit::Usage, problem);
        }
        let exit = if error.is_passing() {
            Exit::TryLater
        } else {
            Exit::NeedsOperator
        };
        let failure = error.failure();
        let problem = Problem {
            fix: error.fix(),
            ..Problem::new(error.to_string())
        };
        Self {
            problems: vec![problem],
            failure: Some(Box::new(failure)),
            exit,
            silent: false,
        }
    }
}

impl From<std::io::Error> for CommandError {
    /// For writes to stdout: a reader that went away is not an error worth words.
    fn from(error: std::io::Error) -> Self {
        let failed = Self::failed(format!("cannot write the output: {error}"));
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            return failed;
        }
        Self {
            silent: true,
            exit: Exit::ReaderGone,
            ..failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{Class, Code, Who};

    #[test]
    fn a_store_error_has_its_fix_in_its_own_field() {
        let error = CommandError::from(StoreError::Full {
            path: "/data/tenure.db".into(),
            detail: "disk full".to_owned(),
        });
        let json = error.json();
        assert_eq!(json["error"]["fix"], "free some space on that disk");
        let what = json["error"]["message"].as_str().expect("a text");
        assert!(
            what.contains("/data/tenure.db") && !what.contains("free some"),
            "{what}"
        );
        assert_eq!(json["error"]["exit_code"], 4);
    }

    fn failure(heal: Heal) -> Failure {
        Failure::new(
            Code::RefreshInvalid,
            Class::RefreshInvalid,
            "refused",
            heal,
            Who::User,
            "The server said no.",
        )
    }

    #[test]
    fn the_heal_decides_the_exit_code() {
        let code = |heal| CommandError::from(failure(heal)).exit as u8;
        assert_eq!(code(Heal::Relogin), 3);
        assert_eq!(code(Heal::FixConfig), 4);
        assert_eq!(code(Heal::ContactAdmin), 4);
        assert_eq!(code(Heal::RetryLater), 5);
        assert_eq!(code(Heal::None), 1);
    }

    #[test]
    fn advice_is_given_where_there_is_no_better() {
        let passing = || CommandError::from(failure(Heal::RetryLater));
        let advised = passing().advised();
        assert_eq!(advised.problems[0].fix.as_deref(), Some("try again later"));
        let mut known = passing();
        known.problems[0].fix = Some("start it".to_owned());
        assert_eq!(known.advised().problems[0].fix.as_deref(), Some("start it"));
    }

    #[test]
    fn json_carries_message_place_fix_exit_and_failure() {
        let error = CommandError::from(failure(Heal::Relogin).with_command("tenure login shop"));
        let json = error.json();
        assert_eq!(json["error"]["exit_code"], 3);
        assert_eq!(json["error"]["fix"], "run `tenure login shop`");
        assert_eq!(json["error"]["failure"]["code"], "API02008");
    }
}
