//! Where a value comes from, kept with the value.

use std::fmt;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    File {
        /// The file, as shown.
        name: String,
        /// Line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Env(&'static str),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line } => write!(f, "{name}:{line}"),
            Origin::Env(name) => write!(f, "${name}"),
            Origin::Flag(name) => f.write_str(name),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// A value with its origin.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// A value nobody set.
    pub fn default(value: T) -> Self {
        Self::new(value, Origin::Default)
    }

    /// The flag's value if it was given, else this one.
    #[must_use]
    pub fn or_flag(self, flag: Option<T>, name: &'static str) -> Self {
        flag.map_or(self, |value| Self::new(value, Origin::Flag(name)))
    }
}
