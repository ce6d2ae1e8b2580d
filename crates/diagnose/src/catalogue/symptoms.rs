//! What people type when something does not work (`catalogue/codes/symptoms.toml`, `wordings.toml`), and how like two wordings are.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use tenure_core::Code;

use super::Lang;

/// Score of a wording that says just what is known.
pub(super) const EXACT: u32 = 110;
/// Score of a query that has all of two, three, four, or more words of what is known, among others.
const CONTAINED: [u32; 4] = [62, 76, 80, 84];
/// Best score of a query that has most words of what is known, or the other way round.
const PARTLY_MAX: usize = 60;

#[derive(Deserialize)]
struct File {
    symptom: Vec<SymptomText>,
    alike: Vec<Alike>,
    other: Vec<OtherText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SymptomText {
    en: String,
    nl: String,
    #[serde(default)]
    also: Vec<String>,
    codes: Vec<Code>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alike {
    words: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherText {
    words: Vec<String>,
    en: String,
    nl: String,
}

/// A symptom and the codes it can mean, the likeliest first.
pub(super) struct Symptom {
    en: String,
    nl: String,
    pub codes: Vec<Code>,
    /// Every wording, as its words.
    known: Vec<Vec<String>>,
}

impl Symptom {
    /// As it is shown.
    pub fn text(&self, lang: Lang) -> &str {
        pick(&self.en, &self.nl, lang)
    }

    /// How like it a query is, in whichever language; 0 when it is not.
    pub fn score(&self, asked: &[String]) -> u32 {
        self.known
            .iter()
            .map(|known| likeness(asked, known))
            .max()
            .unwrap_or_default()
    }
}

/// Something that is no failure of a token, and what it is.
struct Other {
    en: String,
    nl: String,
    known: Vec<Vec<String>>,
}

struct Known {
    symptoms: Vec<Symptom>,
    others: Vec<Other>,
    /// From a word to the one that stands for all that say the same.
    alike: HashMap<String, String>,
}

/// Both files, as one document.
const TEXT: &str = concat!(
    include_str!("../../../../catalogue/codes/symptoms.toml"),
    "\n",
    include_str!("../../../../catalogue/codes/wordings.toml")
);

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    toml::from_str::<File>(TEXT)
        // A test reads the same text, so this cannot be reached in a build that passed it.
        .map_or_else(
            |error| panic!("catalogue/codes/symptoms.toml with wordings.toml: {error}"),
            known,
        )
});

fn known(file: File) -> Known {
    let mut alike = HashMap::new();
    for group in file.alike {
        for word in &group.words {
            alike.insert(spelt(word), spelt(&group.words[0]));
        }
    }
    let symptom = |text: SymptomText| Symptom {
        known: [&text.en, &text.nl]
            .into_iter()
            .chain(&text.also)
            .map(|wording| split(wording, &alike))
            .collect(),
        en: text.en,
        nl: text.nl,
        codes: text.codes,
    };
    let other = |text: OtherText| Other {
        known: text.words.iter().map(|all| split(all, &alike)).collect(),
        en: text.en,
        nl: text.nl,
    };
    Known {
        symptoms: file.symptom.into_iter().map(symptom).collect(),
        others: file.other.into_iter().map(other).collect(),
        alike,
    }
}

pub(super) fn symptoms() -> &'static [Symptom] {
    &KNOWN.symptoms
}

/// What a query is about when it is no failure of a token.
pub(super) fn other(asked: &[String], lang: Lang) -> Option<&'static str> {
    let about = |other: &&Other| {
        let mut known = other.known.iter();
        known.any(|known| known.iter().all(|word| has(asked, word)))
    };
    KNOWN
        .others
        .iter()
        .find(about)
        .map(|other| pick(&other.en, &other.nl, lang))
}

fn pick<'a>(en: &'a str, nl: &'a str, lang: Lang) -> &'a str {
    match lang {
        Lang::En => en,
        Lang::Nl => nl,
    }
}

/// Whether somebody tells what happens to them, and does not quote a server, which speaks of tokens.
pub(super) fn is_told(query: &str) -> bool {
    const PEOPLE: [&str; 29] = [
        "i", "im", "we", "me", "my", "us", "our", "every", "each", "keeps", "keep", "after",
        "when", "ik", "wij", "mij", "mijn", "ons", "onze", "elke", "elk", "iedere", "steeds",
        "telkens", "na", "als", "night", "nachts", "devices",
    ];
    const SERVERS: [&str; 12] = [
        "token",
        "tokens",
        "jwt",
        "signature",
        "credentials",
        "authorization",
        "oauth",
        "header",
        "grant",
        "claim",
        "again",
        "opnieuw",
    ];
    let spelt = spelt(query);
    let says = |list: &[&str]| {
        let mut words = spelt.split(|letter: char| !letter.is_alphanumeric());
        words.any(|word| list.contains(&word))
    };
    says(&PEOPLE) && !says(&SERVERS)
}

/// Words that tell something, in lower case and each once; of words that say the same always the same one.
pub(super) fn words(text: &str) -> Vec<String> {
    split(text, &KNOWN.alike)
}

fn split(text: &str, alike: &HashMap<String, String>) -> Vec<String> {
    const EMPTY: [&str; 61] = [
        "", "a", "do", "does", "doet", "doen", "gets", "an", "and", "are", "at", "be", "de", "die",
        "dit", "een", "en", "er", "for", "had", "has", "have", "heb", "heeft", "het", "i", "ik",
        "im", "in", "is", "it", "its", "je", "me", "mij", "mijn", "my", "of", "on", "ons", "onze",
        "op", "or", "our", "te", "that", "the", "this", "to", "van", "was", "we", "wij", "with",
        "word", "worden", "wordt", "you", "your", "zijn", "ze",
    ];
    let mut all: Vec<String> = Vec::new();
    for word in spelt(text).split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
        let word = alike.get(word).map_or(word, String::as_str);
        if !EMPTY.contains(&word) && !all.iter().any(|known| known == word) {
            all.push(word.to_owned());
        }
    }
    all
}

/// In lower case, and `can't` is one word.
fn spelt(text: &str) -> String {
    text.to_lowercase().replace(['\'', '\u{2019}'], "")
}

fn likeness(asked: &[String], known: &[String]) -> u32 {
    let found = known.iter().filter(|word| has(asked, word)).count();
    let used = asked.iter().filter(|word| has(known, word)).count();
    // How many minutes or days it takes differs from shop to shop.
    let told = asked.len()
        - asked
            .iter()
            .filter(|word| small(word) && !has(known, word))
            .count();
    if found == 0 {
        return 0;
    }
    if found == known.len() && used == told {
        return EXACT;
    }
    let (both, least) = (found.min(used), told.min(known.len()));
    // Most of what was asked, or most of what is known, must be there.
    if both < least.min(2) || both * 2 < least {
        return 0;
    }
    let share = (both * PARTLY_MAX / told.max(known.len())) as u32;
    if found == known.len() && found > 1 {
        return share.max(CONTAINED[(found - 2).min(CONTAINED.len() - 1)]);
    }
    share
}

fn small(word: &str) -> bool {
    word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn has(words: &[String], wanted: &str) -> bool {
    words.iter().any(|word| same(word, wanted))
}

/// `token` and `tokens`, `logged` and `logging`, `werkt` and `werken`.
fn same(a: &str, b: &str) -> bool {
    const ENDS: [&str; 13] = [
        "", "s", "d", "t", "e", "n", "es", "ed", "en", "er", "ing", "ged", "ging",
    ];
    if a == b {
        return true;
    }
    let shared: usize = a
        .chars()
        .zip(b.chars())
        .take_while(|(a, b)| a == b)
        .map(|(letter, _)| letter.len_utf8())
        .sum();
    let letters = !a.contains('_') && !b.contains('_');
    letters && shared >= 3 && ENDS.contains(&&a[shared..]) && ENDS.contains(&&b[shared..])
}

#[cfg(test)]
mod tests {
    use super::super::search;
    use super::*;

    #[test]
    fn every_wording_finds_its_first_code_first_whatever_the_language() {
        let file: File = toml::from_str(TEXT).expect("a table of symptoms");
        for symptom in &file.symptom {
            for wording in [&symptom.en, &symptom.nl].into_iter().chain(&symptom.also) {
                for lang in Lang::ALL {
                    let found = search(wording, lang).found;
                    assert_eq!(
                        found.first().map(|found| found.code),
                        symptom.codes.first().copied(),
                        "{wording:?}: {found:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_code_has_a_symptom() {
        for code in Code::ALL {
            assert!(
                symptoms().iter().any(|known| known.codes.contains(code)),
                "{code}"
            );
        }
    }

    #[test]
    fn endings_do_not_make_another_word() {
        for (a, b) in [
            ("token", "tokens"),
            ("logged", "logging"),
            ("werkt", "werken"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [("server", "service"), ("code", "codex"), ("api", "app")] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}
