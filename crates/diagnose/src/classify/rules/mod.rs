//! The rules: data under `catalogue/rules` and in the configuration, compiled once into one matcher.

mod bits;
mod compile;
mod model;
mod negation;
mod own;
mod scan;
mod source;

use tenure_core::{Class, Heal, Who};

pub(crate) use bits::Bits;
pub use model::{Example, Rank};
pub(crate) use own::active;
pub use own::{RuleFault, RuleFaults, install};

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

/// Compiles the rules now, so that the first verdict does not wait for it (some tens of milliseconds).
pub fn prepare() {
    active();
}

/// Every rule there is, in the order in which they are asked.
pub fn rules() -> &'static [Rule] {
    &active().rules
}

#[cfg(test)]
mod tests {
    use super::compile::Matcher;
    use super::*;

    #[test]
    fn the_shipped_rules_compile() {
        if let Err(error) = Matcher::compile(source::FILES, &[]) {
            panic!("{error}");
        }
    }

    #[test]
    fn slips_are_named() {
        let wrong = "title = \"x\"\nsource = \"y\"\n[[rule]]\nid = \"a\"\nclass = \"unknown\"\ncause = \"c\"\nneeds = [\"nonsense\"]\nexample = { status = 401 }\n";
        let error = Matcher::compile(&[("x.toml", wrong)], &[])
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
    }

    const OWN: &str = r#"
[words]
pass = ["pasje*"]

[[rule]]
id = "till.pass_over"
status = ["409"]
needs = ["pass", "expired"]
class = "access_expired"
cause = "pass_over"
example = { status = 409, body = '{"message":"Pasje verlopen"}' }
"#;

    #[test]
    fn rules_of_ones_own_are_asked_first() {
        let own = [("till.toml", OWN)];
        let matcher =
            Matcher::compile(source::FILES, &own).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(matcher.rules[0].id, "till.pass_over");
        assert_eq!(
            (matcher.rules[0].source.as_str(), matcher.has_own()),
            ("till.toml", true)
        );
        own::examples(&matcher, &own).unwrap_or_else(|faults| panic!("{faults}"));
    }

    #[test]
    fn what_is_wrong_with_ones_own_is_told_with_its_place() {
        for (from, to, said) in [
            (
                "needs = [\"pass\"",
                "needs = [\"passs\"",
                "till.toml:8:1: rule \"till.pass_over\": nothing is called \"passs\"; did you mean \"pass\"?",
            ),
            (
                "status = [\"409\"]",
                "status = [\"4o9\"]",
                "till.toml:7:1: rule \"till.pass_over\": \"4o9\" is no status",
            ),
            (
                "cause =",
                "casue =",
                "till.toml:10:1: unknown field `casue`",
            ),
            (
                "\"access_expired\"",
                "\"acces_expired\"",
                "till.toml:9:9: unknown variant `acces_expired`",
            ),
            (
                "pass = [",
                "token = [",
                "till.toml:3:1: `token` is a word of the shipped rules",
            ),
            (
                "\"till.pass_over\"",
                "\"okta.invalid_token\"",
                "till.toml:6:1: rule \"okta.invalid_token\": a shipped rule has this name",
            ),
            (
                "class =",
                "rank = \"exact\"\nclass =",
                "till.toml:9:1: rule \"till.pass_over\": rules of your own are asked in their order",
            ),
            (
                "status = [\"409\"]\nneeds = [\"pass\", \"expired\"]\n",
                "",
                "till.toml:6:1: rule \"till.pass_over\": it asks for nothing",
            ),
            (
                "\"pass_over\"",
                "\"Pass over!\"",
                "till.toml:10:1: rule \"till.pass_over\": cause \"Pass over!\" is no name",
            ),
            (
                "class =",
                "final = true\nclass =",
                "till.toml:9:1: rule \"till.pass_over\": only a token endpoint can end a session",
            ),
            (
                "status = 409",
                "status = 410",
                "till.toml:11:1: rule \"till.pass_over\": it does not recognise its example",
            ),
            ("[words]", "[words", "till.toml:2:7: "),
        ] {
            let text = OWN.replace(from, to);
            assert_ne!(text, OWN, "{from}");
            let own = [("till.toml", text.as_str())];
            let faults = Matcher::compile(source::FILES, &own)
                .and_then(|matcher| own::examples(&matcher, &own))
                .expect_err(said)
                .to_string();
            assert!(faults.contains(said), "{faults}\ninstead of {said}");
        }
    }
    #[test]
    fn every_rule_that_cannot_be_read_is_named() {
        let second = OWN[OWN.find("[[rule]]").expect("a rule")..].replace("pass_over", "card_over");
        let text = format!(
            "{}{}",
            OWN.replace("needs =", "neds ="),
            second.replace("class =", "clas =")
        );
        let faults = Matcher::compile(source::FILES, &[("till.toml", text.as_str())])
            .map(|_| ())
            .expect_err("slips")
            .0;
        let places: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(places, [8, 16], "{faults:?}");
    }

    #[test]
    fn all_that_is_wrong_with_one_rule_is_told() {
        let text = OWN
            .replace("\"pass_over\"", "\"Pass over\"")
            .replace("class =", "final = true\nrank = \"exact\"\nclass =")
            .replace("pass = [", "token = [");
        let faults = Matcher::compile(source::FILES, &[("till.toml", text.as_str())])
            .map(|_| ())
            .expect_err("slips")
            .0;
        let places: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(places, [3, 9, 10, 12], "{faults:?}");
    }
}
