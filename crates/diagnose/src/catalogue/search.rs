//! From what a person has before them (a code, a server's code or message, a symptom) to the codes it can mean.

use std::sync::LazyLock;

use serde::Deserialize;
use tenure_core::{Class, Code};

use super::{Lang, ServerError, title, written};
use crate::classify::{Answer, Local, Place, code_of, judge, normal, rules};

/// Shortest phrase of a rule that may be found inside a message, in bytes.
const PHRASE_MIN: usize = 8;
/// More ways than this to mean one code are not listed.
const WAYS_MAX: usize = 5;
/// More codes than this are of no help to anybody.
const FOUND_MAX: usize = 8;

/// A code that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The code.
    pub code: Code,
    /// Why: the strongest reason first, at most a handful.
    pub hits: Vec<Hit>,
    score: u32,
}

/// One reason why a code is meant.
#[derive(Clone, Debug)]
pub enum Hit {
    /// It is the code itself.
    Code,
    /// A server says so; what it says, and what tells it apart, stands in the rule.
    Server(ServerError),
    /// The classifier reads the message so, at this kind of endpoint (`token` or `resource`).
    Read(&'static str),
    /// Somebody described it so.
    Symptom(&'static str),
    /// The page or its title has the words.
    Page,
}

#[derive(Deserialize)]
struct Symptoms {
    symptom: Vec<Symptom>,
}

#[derive(Deserialize)]
struct Symptom {
    en: String,
    nl: String,
    codes: Vec<Code>,
}

impl Symptom {
    fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Nl => &self.nl,
        }
    }
}

static SYMPTOMS: LazyLock<Vec<Symptom>> = LazyLock::new(|| {
    toml::from_str::<Symptoms>(include_str!("../../../../catalogue/codes/symptoms.toml"))
        // A test reads the same text, so this cannot be reached in a build that passed it.
        .map_or_else(
            |error| panic!("catalogue/codes/symptoms.toml: {error}"),
            |all| all.symptom,
        )
});

/// The codes a query can mean, the likeliest first. Empty when nothing is known of it.
pub fn search(query: &str, lang: Lang) -> Vec<Found> {
    let query = query.trim();
    if query.is_empty() {
        return Vec::new();
    }
    if let Some(code) = code(query) {
        return vec![Found {
            code,
            hits: vec![Hit::Code],
            score: u32::MAX,
        }];
    }
    let mut finder = Finder::default();
    finder.servers(query);
    finder.reading(query);
    finder.symptoms(query, lang);
    finder.pages(query, lang);
    finder.done()
}

/// `API02002`, `api02002`, `02002`, `2002`.
fn code(query: &str) -> Option<Code> {
    let upper = query.to_ascii_uppercase();
    let digits = upper.strip_prefix("API").unwrap_or(&upper);
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (all_digits && digits.len() <= 5).then(|| Code::parse(&format!("API{digits:0>5}")))?
}

#[derive(Default)]
struct Finder(Vec<Found>);

impl Finder {
    fn add(&mut self, code: Code, score: u32, hit: Hit) {
        if let Some(found) = self.0.iter_mut().find(|found| found.code == code) {
            found.score = found.score.max(score);
            found.hits.push(hit);
        } else {
            self.0.push(Found {
                code,
                hits: vec![hit],
                score,
            });
        }
    }

    /// Rules that know the code, or a phrase of the message.
    fn servers(&mut self, query: &str) {
        let asked = normal(query);
        for rule in rules() {
            let code = code_of(rule.class, &rule.cause);
            let by_code = rule.codes.iter().any(|known| normal(known) == asked);
            let by_text = rule.texts.iter().any(|phrase| {
                let phrase = normal(phrase.trim_matches('*'));
                phrase == asked || (phrase.len() >= PHRASE_MIN && asked.contains(&phrase))
            });
            let score = match (by_code, by_text) {
                // Some profiles give a code a meaning of its own.
                (true, _) if !rule.profiles().is_empty() => 65,
                (true, _) => 80,
                (false, true) => 60,
                (false, false) => continue,
            };
            self.add(code, score, Hit::Server(ServerError::of(rule)));
        }
    }

    /// What the classifier makes of it, as the message of an API and of a token endpoint.
    fn reading(&mut self, query: &str) {
        let body = serde_json::json!({ "message": query }).to_string();
        let headers = http::HeaderMap::new();
        for (place, name, status) in [
            (Place::Resource, "resource", 401),
            (Place::Token, "token", 400),
        ] {
            let answer = Answer {
                place,
                status,
                headers: &headers,
                body: body.as_bytes(),
            };
            let local = Local {
                token_sent: true,
                has_refresh: true,
                ..Local::default()
            };
            let failure = judge(&answer, &local, None).failure;
            if !matches!(failure.class, Class::Unknown | Class::NotAuth) {
                // As an API's message it is met most often.
                let score = if name == "resource" { 75 } else { 58 };
                self.add(failure.code, score, Hit::Read(name));
            }
        }
    }

    fn symptoms(&mut self, query: &str, lang: Lang) {
        let asked = words(query);
        for symptom in SYMPTOMS.iter() {
            let known = words(symptom.text(lang));
            let both = asked.iter().filter(|word| known.contains(word)).count();
            let least = asked.len().min(known.len());
            // Most of what was asked, or most of what is known, must be there.
            if both == 0 || both < least.min(2) || both * 2 < least {
                continue;
            }
            let share = (both * 40 / asked.len().max(known.len())) as u32;
            for (place, code) in (0u32..).zip(&symptom.codes) {
                let text = symptom.text(lang);
                self.add(*code, share.saturating_sub(place), Hit::Symptom(text));
            }
        }
    }

    fn pages(&mut self, query: &str, lang: Lang) {
        let asked = query.to_lowercase();
        for code in Code::ALL {
            let title = title(*code, lang).to_lowercase();
            if title == asked {
                self.add(*code, 100, Hit::Page);
            } else if title.contains(&asked) {
                self.add(*code, 76, Hit::Page);
            } else if written(*code, lang).to_lowercase().contains(&asked) {
                self.add(*code, 10, Hit::Page);
            }
        }
    }

    fn done(mut self) -> Vec<Found> {
        for found in &mut self.0 {
            found.hits.truncate(WAYS_MAX);
        }
        self.0.sort_by_key(|found| std::cmp::Reverse(found.score));
        self.0.truncate(FOUND_MAX);
        self.0
    }
}

/// Words that tell something, in lower case.
fn words(text: &str) -> Vec<String> {
    const EMPTY: [&str; 20] = [
        "", "a", "an", "and", "de", "een", "en", "for", "het", "in", "is", "of", "on", "op", "te",
        "the", "to", "van", "with", "it",
    ];
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .map(str::to_lowercase)
        .filter(|word| !EMPTY.contains(&word.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(query: &str) -> Vec<Code> {
        search(query, Lang::En)
            .into_iter()
            .map(|found| found.code)
            .collect()
    }

    #[test]
    fn a_code_is_found_however_it_is_said() {
        for said in ["API02002", "api02002", "02002", "2002", " API02002 "] {
            assert_eq!(codes(said), [Code::TokenExpired], "{said}");
        }
        assert!(!codes("99999").contains(&Code::TokenExpired));
    }

    #[test]
    fn a_server_s_code_lists_all_it_can_mean() {
        let found = codes("jwt_auth_invalid_token");
        for code in [Code::TokenExpired, Code::SigningKeyChanged] {
            assert!(found.contains(&code), "{code}: {found:?}");
        }
    }

    #[test]
    fn a_message_is_enough() {
        assert_eq!(
            codes("Signature verification failed")[0],
            Code::SigningKeyChanged
        );
        assert_eq!(codes("jwt expired")[0], Code::TokenExpired);
        assert_eq!(codes("AADSTS700082"), [Code::RefreshExpired]);
    }

    #[test]
    fn a_symptom_is_understood_in_both_languages() {
        for symptom in SYMPTOMS.iter() {
            for lang in Lang::ALL {
                let found = search(symptom.text(lang), lang);
                let first = symptom.codes[0];
                assert!(
                    found.iter().any(|found| found.code == first),
                    "{}: {found:?}",
                    symptom.text(lang)
                );
            }
        }
    }

    #[test]
    fn nonsense_means_nothing() {
        assert!(codes("purple elephants").is_empty());
        assert!(codes("  ").is_empty());
    }
}
