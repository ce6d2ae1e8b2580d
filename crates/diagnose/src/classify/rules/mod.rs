//! The rules: data under `catalogue/rules`, compiled once into one matcher.

mod bits;
mod compile;
mod model;
mod scan;
mod source;

use std::sync::LazyLock;

use tenure_core::{Class, Heal, Who};

pub(crate) use bits::Bits;
pub(crate) use compile::Matcher;
pub use model::{Example, Rank};

/// A rule, ready to be asked.
#[derive(Debug)]
pub struct Rule {
    /// Its name, e.g. `entra.refresh_idle`.
    pub id: String,
    /// What it says.
    pub class: Class,
    /// Finer cause.
    pub cause: String,
    /// First step, where it is not the class's own.
    pub heal: Option<(Heal, Who)>,
    /// Whether it can end a session (I5).
    pub proven: bool,
    /// When it is asked.
    pub rank: Rank,
    /// Title of its file.
    pub group: String,
    /// Where it comes from.
    pub source: String,
    /// The codes it knows, as written.
    pub codes: Vec<String>,
    /// The phrases it knows, as written.
    pub texts: Vec<String>,
    /// An answer it recognises.
    pub example: Example,
    index: u16,
    test: compile::Test,
}

impl Rule {
    /// The statuses it asks for, as people write them; none when it takes any.
    pub fn statuses(&self) -> Vec<String> {
        let written = |(from, to): &(u16, u16)| match (from, to) {
            (from, to) if from == to => from.to_string(),
            (from, to) if from % 100 == 0 && to % 100 == 99 && from / 100 == to / 100 => {
                format!("{}xx", from / 100)
            }
            (from, to) => format!("{from}-{to}"),
        };
        self.test.status.iter().map(written).collect()
    }

    /// Whether it asks for words beside codes and phrases.
    pub fn asks_for_words(&self) -> bool {
        !self.test.needs.is_empty()
    }

    /// The profiles it is for; none when it is for all.
    pub fn profiles(&self) -> &[String] {
        &self.test.profile
    }

    /// `token` or `resource` when it is about one of them only.
    pub fn place(&self) -> Option<&'static str> {
        self.test.place.map(|place| match place {
            super::Place::Token => "token",
            super::Place::Resource => "resource",
        })
    }
}

static SHIPPED: LazyLock<Matcher> = LazyLock::new(|| {
    Matcher::compile(source::FILES).unwrap_or_else(|error| {
        // Tests compile the same text, so this cannot be reached in a build that passed them.
        panic!("{error}")
    })
});

/// The matcher of the rules that are shipped.
pub(crate) fn shipped() -> &'static Matcher {
    &SHIPPED
}

/// Compiles the shipped rules now, so that the first verdict does not wait for it (some tens of milliseconds).
pub fn prepare() {
    LazyLock::force(&SHIPPED);
}

/// Every rule that is shipped, in the order in which they are asked.
pub fn rules() -> &'static [Rule] {
    &shipped().rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_compile() {
        if let Err(error) = Matcher::compile(source::FILES) {
            panic!("{error}");
        }
    }

    #[test]
    fn slips_are_named() {
        let wrong = "title = \"x\"\nsource = \"y\"\n[[rule]]\nid = \"a\"\nclass = \"unknown\"\ncause = \"c\"\nneeds = [\"nonsense\"]\nexample = { status = 401 }\n";
        let error = Matcher::compile(&[("x.toml", wrong)])
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
    }
}
