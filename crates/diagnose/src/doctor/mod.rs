//! The pure half of `tenure doctor`: what is looked at, what was found, and what follows from it.
//!
//! The keeper asks the questions and hands the answers in; everything that has to be decided is decided here:
//! whose page answered ([`page`]), whether it is Tenure itself ([`own`]), whether the Authorization header arrived ([`header`]), in what names of a server differ ([`issuer`]), which clock is wrong
//! ([`clock`]), what a token says of itself ([`token`]), and, from all checks together, the root cause and what
//! to do about it in which order ([`verdict`]).

pub mod clock;
pub mod header;
pub mod issuer;
pub mod own;
pub mod page;
pub mod remedy;
pub mod token;
mod verdict;

use serde::Serialize;
use tenure_core::{Evidence, Failure, Heal, Who};

pub use verdict::{Verdict, verdict};

macro_rules! checks {
    ($( $name:ident = $id:literal, $title:literal; )*) => {
        /// What is looked at, in the order of the report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        pub enum CheckId {
            $( #[doc = $title] #[serde(rename = $id)] $name, )*
        }

        impl CheckId {
            /// Every check there is.
            pub const ALL: &'static [CheckId] = &[$( CheckId::$name, )*];

            /// Its name in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $( CheckId::$name => $id, )* }
            }

            /// Its name for people.
            pub fn title(self) -> &'static str {
                match self { $( CheckId::$name => $title, )* }
            }
        }
    };
}

checks! {
    Config = "config", "configuration and secrets";
    Store = "store", "store and its key";
    Holders = "holders", "other holders";
    State = "state", "what is remembered";
    Pace = "pace", "trouble and rate limits";
    Proxy = "proxy", "proxy variables";
    Dns = "dns", "name resolution";
    Tcp = "tcp", "connection";
    Tls = "tls", "certificate";
    Http = "http", "who answers";
    Kind = "kind", "kind of server";
    Discovery = "discovery", "discovery document";
    RestIndex = "rest_index", "REST index";
    Issuer = "issuer", "issuer";
    Plugin = "plugin", "token endpoint there";
    Clock = "clock", "clocks";
    ThirdClock = "sntp", "third clock";
    Client = "client", "client credentials";
    Token = "token", "access token";
    Lifetime = "lifetime", "token lifetime";
    Audience = "audience", "issuer and audience";
    Refresh = "refresh_token", "refresh token";
    Keys = "jwks", "signing key";
    Introspection = "introspection", "introspection";
    Validate = "validate", "server's own check";
    Header = "header", "Authorization header";
    Api = "api", "API with the token";
    Scopes = "scopes", "scopes";
    Renewal = "renewal", "refresh";
    StatusPage = "status_page", "provider's status page";
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Nothing is broken by it now, but it is worth knowing.
    Warn,
    /// It is wrong.
    Fail,
    /// It was not looked at; the check says why.
    Skipped,
}

impl Outcome {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warn => "warn",
            Outcome::Fail => "fail",
            Outcome::Skipped => "skipped",
        }
    }
}

/// One step that heals something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What to do, one sentence.
    pub step: String,
    /// Who does it.
    pub who: Who,
    /// What to type, if anything.
    pub command: Option<String>,
    /// What to paste into a configuration of the server, if anything.
    pub paste: Option<String>,
}

impl Fix {
    /// A step.
    pub fn new(who: Who, step: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            who,
            command: None,
            paste: None,
        }
    }

    /// Names what to type.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Gives a text to paste.
    #[must_use]
    pub fn paste(mut self, text: impl Into<String>) -> Self {
        self.paste = Some(text.into());
        self
    }

    /// The first step that a failure itself names.
    pub fn of(failure: &Failure) -> Self {
        let step = match failure.heal {
            Heal::Refresh => "Nothing by hand: Tenure renews the token when it is next wanted",
            Heal::Relogin => "Log in again",
            Heal::RetryLater => "Wait: Tenure tries again by itself",
            Heal::FixClock => {
                "Set the clock that is wrong, and keep it set by time synchronisation"
            }
            Heal::FixConfig => "Put the configuration right",
            Heal::RequestScope => "Ask for the missing scope and log in again",
            Heal::ContactAdmin => "Ask the administrator of the server",
            Heal::None => "Look at the answer itself: it is not about the token",
        };
        Self {
            command: failure.command.clone(),
            ..Self::new(failure.who, step)
        }
    }
}

/// One check as it ended.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which one.
    pub id: CheckId,
    /// Its name for people.
    pub title: &'static str,
    /// Whom or what it was about: a host, an address.
    pub at: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, or why it was not looked at; one sentence.
    pub says: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The failure it amounts to.
    pub failure: Option<Failure>,
    /// What heals it, first things first.
    pub fixes: Vec<Fix>,
    /// What it was to find out was not seen.
    #[serde(skip)]
    pub blind: bool,
}

impl Check {
    fn new(id: CheckId, outcome: Outcome, says: impl Into<String>) -> Self {
        Self {
            id,
            title: id.title(),
            at: None,
            outcome,
            says: says.into(),
            evidence: Vec::new(),
            took_ms: 0,
            failure: None,
            fixes: Vec::new(),
            blind: false,
        }
    }

    /// All is well.
    pub fn ok(id: CheckId, says: impl Into<String>) -> Self {
        Self::new(id, Outcome::Ok, says)
    }

    /// Worth knowing.
    pub fn warn(id: CheckId, says: impl Into<String>) -> Self {
        Self::new(id, Outcome::Warn, says)
    }

    /// Not looked at, and why.
    pub fn skipped(id: CheckId, why: impl Into<String>) -> Self {
        Self::new(id, Outcome::Skipped, why)
    }

    /// Wrong: the failure says it.
    pub fn fail(id: CheckId, failure: Failure) -> Self {
        Self {
            evidence: failure.evidence.clone(),
            ..Self::new(id, Outcome::Fail, failure.detail.clone())
        }
        .because(failure)
    }

    /// Puts a failure beside it that does not count as one by itself.
    #[must_use]
    pub fn because(mut self, failure: Failure) -> Self {
        self.failure = Some(failure);
        self
    }

    /// Whom it is about.
    #[must_use]
    pub fn at(mut self, at: impl ToString) -> Self {
        self.at = Some(at.to_string());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, kind: &str, value: impl ToString, source: &str) -> Self {
        self.evidence.push(Evidence {
            kind: kind.to_owned(),
            value: value.to_string(),
            source: source.to_owned(),
        });
        self
    }

    /// What it was to find out was not seen: the verdict says so.
    #[must_use]
    pub fn blind(mut self) -> Self {
        self.blind = true;
        self
    }

    /// Adds a step that heals it.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = CheckId::ALL.iter().map(|id| id.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CheckId::ALL.len());
    }
}
