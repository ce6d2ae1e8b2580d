//! From written rules to one matcher.

use std::collections::HashMap;

use aho_corasick::dfa::DFA;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{MatchKind, StartKind};
use tenure_core::{Class, Heal, Who};

use super::bits::{Bits, MAX, RULES, RuleSet};
use super::model::{File, Rank, Written};
use super::{Rule, scan};
use crate::classify::answer::Place;
use crate::classify::read::words::{lookup, normal};
use crate::classify::scene;

/// What a rule asks of an answer.
#[derive(Debug)]
pub(crate) struct Test {
    pub place: Option<Place>,
    /// Inclusive ranges; none = any.
    pub status: Vec<(u16, u16)>,
    pub by_code: bool,
    pub by_text: bool,
    /// Header name, and what its value must contain (lower case).
    pub header: Vec<(String, String)>,
    /// Each must be met.
    pub needs: Vec<Bits>,
    pub without: Bits,
    pub profile: Vec<String>,
    /// Whether it says that the caller's token or login is refused, and by what.
    pub blame: Blame,
}

/// By what a rule says that the caller's token or login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// It does not say so.
    No,
    /// By a code that is known.
    ByCode,
    /// By words alone.
    ByWords,
}

impl Blame {
    fn of(rank: Rank, class: Class) -> Self {
        match rank {
            _ if !renews(class) => Blame::No,
            Rank::Text => Blame::ByWords,
            Rank::First | Rank::Exact => Blame::ByCode,
            Rank::Protocol | Rank::Shape => Blame::No,
        }
    }
}

/// What a pattern in a text stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Means {
    Word(u8),
    Rule(u16),
}

/// A pattern's meaning, and whether it must begin and end at the edge of a word.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub means: Vec<Means>,
    pub whole_start: bool,
    pub whole_end: bool,
}

/// All rules and the automaton that finds their words.
pub(crate) struct Matcher {
    pub rules: Vec<Rule>,
    pub codes: HashMap<String, Vec<Means>>,
    pub patterns: Vec<Pattern>,
    /// Finds the patterns that are ASCII; they come first in `patterns`.
    pub ascii: DFA,
    /// Finds the others.
    pub wide: NFA,
    /// Rules that ask for no code and no phrase.
    pub open: RuleSet,
    /// Where each rank begins, and the end.
    pub ranks: [u16; 6],
    pub roles: scan::Roles,
}

/// Why rules could not be read.
#[derive(Debug, thiserror::Error)]
#[error("catalogue/rules/{file}: {why}")]
pub(crate) struct RuleError {
    file: String,
    why: String,
}

#[derive(Default)]
struct Builder {
    names: HashMap<String, u8>,
    codes: HashMap<String, Vec<Means>>,
    texts: Vec<String>,
    by_text: HashMap<(String, bool, bool), usize>,
    patterns: Vec<Pattern>,
    rules: Vec<Rule>,
}

impl Matcher {
    pub fn compile(files: &[(&str, &str)]) -> Result<Self, RuleError> {
        let mut builder = Builder::default();
        for name in scene::NAMES {
            builder.name(name).map_err(|why| fail("scene", why))?;
        }
        let mut written: Vec<(Rank, &str, String, String, Written)> = Vec::new();
        for (name, text) in files {
            let file: File = toml::from_str(text).map_err(|error| fail(name, error.to_string()))?;
            builder.vocabulary(&file).map_err(|why| fail(name, why))?;
            for rule in file.rule {
                let rank = rule.rank.unwrap_or(file.rank);
                written.push((rank, name, file.title.clone(), file.source.clone(), rule));
            }
        }
        written.sort_by_key(|(rank, ..)| *rank);
        for (rank, name, title, source, rule) in written {
            let id = rule.id.clone();
            builder
                .rule(rank, title, source, rule)
                .map_err(|why| fail(name, format!("rule {id}: {why}")))?;
        }
        builder.finish().map_err(|why| fail("patterns", why))
    }
}

fn fail(file: &str, why: String) -> RuleError {
    RuleError {
        file: file.to_owned(),
        why,
    }
}

impl Builder {
    fn name(&mut self, name: &str) -> Result<u8, String> {
        if let Some(at) = self.names.get(name) {
            return Ok(*at);
        }
        let at = u8::try_from(self.names.len())
            .ok()
            .filter(|at| usize::from(*at) < MAX)
            .ok_or("too many words")?;
        self.names.insert(name.to_owned(), at);
        Ok(at)
    }

    fn vocabulary(&mut self, file: &File) -> Result<(), String> {
        for (name, phrases) in &file.words {
            let at = self.name(name)?;
            for phrase in phrases {
                self.phrase(phrase, Means::Word(at))?;
            }
        }
        for (name, codes) in &file.scenes {
            let at = self.name(name)?;
            for code in codes {
                self.codes
                    .entry(lookup(code))
                    .or_default()
                    .push(Means::Word(at));
            }
        }
        Ok(())
    }

    /// Adds a phrase. A star at an end says that the word may go on there.
    fn phrase(&mut self, phrase: &str, means: Means) -> Result<(), String> {
        let inner = phrase.strip_prefix('*').unwrap_or(phrase);
        let bare = inner.strip_suffix('*').unwrap_or(inner);
        let text = normal(bare);
        if text.is_empty() {
            return Err(format!("the phrase {phrase:?} is empty"));
        }
        let spaced =
            |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !scan::is_wordless(c));
        let whole_start = !phrase.starts_with('*') && spaced(text.chars().next());
        let whole_end = !inner.ends_with('*') && spaced(text.chars().next_back());
        let key = (text, whole_start, whole_end);
        if let Some(at) = self.by_text.get(&key) {
            self.patterns[*at].means.push(means);
            return Ok(());
        }
        self.texts.push(key.0.clone());
        self.by_text.insert(key, self.patterns.len());
        self.patterns.push(Pattern {
            means: vec![means],
            whole_start,
            whole_end,
        });
        Ok(())
    }

    fn rule(
        &mut self,
        rank: Rank,
        group: String,
        source: String,
        written: Written,
    ) -> Result<(), String> {
        let at = u16::try_from(self.rules.len())
            .ok()
            .filter(|at| usize::from(*at) < RULES)
            .ok_or("too many rules")?;
        if self.rules.iter().any(|rule| rule.id == written.id) {
            return Err("the name is taken".to_owned());
        }
        for code in &written.code {
            self.codes
                .entry(lookup(code))
                .or_default()
                .push(Means::Rule(at));
        }
        for phrase in &written.text {
            self.phrase(phrase, Means::Rule(at))?;
        }
        let mut test = self.test(&written)?;
        test.blame = Blame::of(rank, written.class);
        let heal = written
            .heal
            .map(|heal| (heal, written.who.unwrap_or_else(|| usual_who(heal))));
        self.rules.push(Rule {
            id: written.id,
            class: written.class,
            cause: written.cause,
            heal,
            proven: written.proven && !passes(written.class),
            rank,
            group,
            source: written.source.unwrap_or(source),
            codes: written.code,
            texts: written.text,
            example: written.example,
            index: at,
            test,
        });
        Ok(())
    }

    fn test(&self, written: &Written) -> Result<Test, String> {
        let mut needs = Vec::new();
        for need in &written.needs {
            needs.push(self.set(need.split('|'))?);
        }
        let status = written
            .status
            .iter()
            .map(|text| range(text))
            .collect::<Result<_, _>>()?;
        let header = written.header.iter().map(|text| {
            let (name, value) = text.split_once(':').unwrap_or((text, ""));
            (
                name.trim().to_ascii_lowercase(),
                value.trim().to_ascii_lowercase(),
            )
        });
        Ok(Test {
            place: match written.place.as_deref() {
                None => None,
                Some("token") => Some(Place::Token),
                Some("resource") => Some(Place::Resource),
                Some(other) => {
                    return Err(format!("where = {other:?} is neither token nor resource"));
                }
            },
            status,
            by_code: !written.code.is_empty(),
            by_text: !written.text.is_empty(),
            header: header.collect(),
            needs,
            without: self.set(written.without.iter().map(String::as_str))?,
            profile: written.profile.clone(),
            blame: Blame::No,
        })
    }

    fn set<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<Bits, String> {
        let mut bits = Bits::default();
        for name in names {
            let at = self
                .names
                .get(name.trim())
                .ok_or_else(|| format!("nothing is called {name:?}"))?;
            bits.set(*at);
        }
        Ok(bits)
    }

    fn finish(self) -> Result<Matcher, String> {
        let (mut ascii, mut wide): (Vec<_>, Vec<_>) = self
            .texts
            .into_iter()
            .zip(self.patterns)
            .partition(|(text, _)| text.is_ascii());
        let texts = |patterns: &[(String, Pattern)]| {
            patterns
                .iter()
                .map(|(text, _)| text.clone())
                .collect::<Vec<_>>()
        };
        let in_ascii = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .build(texts(&ascii))
            .map_err(|error| error.to_string())?;
        let in_wide = NFA::builder()
            .match_kind(MatchKind::Standard)
            .build(texts(&wide))
            .map_err(|error| error.to_string())?;
        let mut open = RuleSet::default();
        for rule in &self.rules {
            if !rule.test.by_code && !rule.test.by_text {
                open.set(rule.index);
            }
        }
        let mut ranks = [0; 6];
        for (at, rank) in [
            Rank::First,
            Rank::Exact,
            Rank::Text,
            Rank::Protocol,
            Rank::Shape,
        ]
        .into_iter()
        .enumerate()
        {
            ranks[at + 1] = self.rules.partition_point(|rule| rule.rank <= rank) as u16;
        }
        Ok(Matcher {
            roles: scan::Roles::of(&self.names),
            ascii: in_ascii,
            wide: in_wide,
            patterns: ascii
                .drain(..)
                .chain(wide.drain(..))
                .map(|(_, pattern)| pattern)
                .collect(),
            rules: self.rules,
            codes: self.codes,
            open,
            ranks,
        })
    }
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| format!("{text:?} is no status"))
    };
    if let Some(hundreds) = text.strip_suffix("xx") {
        let first = number(hundreds)? * 100;
        return Ok((first, first + 99));
    }
    match text.split_once('-') {
        Some((from, to)) => Ok((number(from)?, number(to)?)),
        None => number(text).map(|one| (one, one)),
    }
}

/// Classes that say nothing lasting about a session, whatever a rule claims.
fn passes(class: Class) -> bool {
    matches!(
        class,
        Class::RateLimited
            | Class::ServerError
            | Class::ServerUnavailable
            | Class::NetworkIntercepted
            | Class::ClockSkew
            | Class::NotYetValid
            | Class::NotAuth
            | Class::Unknown
    )
}

/// Classes after which a token is renewed, or a person signs in again.
fn renews(class: Class) -> bool {
    matches!(
        class,
        Class::AccessExpired
            | Class::AccessInvalid
            | Class::AccessRevoked
            | Class::AccessMissing
            | Class::KeyMismatch
            | Class::SessionEnded
            | Class::StepUpRequired
    )
}

/// Who takes a step when a rule does not say.
fn usual_who(heal: Heal) -> Who {
    match heal {
        Heal::Refresh | Heal::RetryLater | Heal::None => Who::Tenure,
        Heal::Relogin => Who::User,
        Heal::FixClock | Heal::FixConfig | Heal::RequestScope => Who::Operator,
        Heal::ContactAdmin => Who::ServerAdmin,
    }
}
