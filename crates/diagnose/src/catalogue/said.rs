//! Causes and systems of the tables of server errors, as a language says them (`catalogue/codes/causes-nl.toml`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::Lang;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dutch {
    systems: HashMap<String, String>,
    causes: HashMap<String, String>,
}

static DUTCH: LazyLock<Dutch> = LazyLock::new(|| {
    toml::from_str(include_str!("../../../../catalogue/codes/causes-nl.toml"))
        // A test reads the same text, so this cannot be reached in a build that passed it.
        .unwrap_or_else(|error| panic!("catalogue/codes/causes-nl.toml: {error}"))
});

/// A cause in words. What only rules of one's own know is said in its own.
pub fn cause(cause: &str, lang: Lang) -> Cow<'static, str> {
    let dutch = match lang {
        Lang::En => None,
        Lang::Nl => DUTCH.causes.get(cause),
    };
    dutch.map_or_else(
        || Cow::Owned(cause.replace('_', " ")),
        |said| Cow::Borrowed(said.as_str()),
    )
}

/// A system or kind of answer. Names are the same in every language.
pub fn system(title: &str, lang: Lang) -> &str {
    match lang {
        Lang::En => title,
        Lang::Nl => DUTCH.systems.get(title).map_or(title, String::as_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::rules;

    #[test]
    fn every_cause_of_a_rule_is_said_in_dutch_and_nothing_else_is() {
        for rule in rules() {
            assert!(DUTCH.causes.contains_key(&rule.cause), "{}", rule.cause);
        }
        for cause in DUTCH.causes.keys() {
            assert!(rules().iter().any(|rule| rule.cause == *cause), "{cause}");
        }
        for title in DUTCH.systems.keys() {
            assert!(rules().iter().any(|rule| rule.group == *title), "{title}");
        }
        assert_eq!(cause("shop_shut", Lang::Nl), "shop shut");
        assert_eq!(cause("refresh_token_idle", Lang::En), "refresh token idle");
    }
}
