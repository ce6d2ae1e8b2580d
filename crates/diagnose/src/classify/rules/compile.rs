//! From written rules to one matcher.

use std::collections::{HashMap, HashSet};

use aho_corasick::dfa::DFA;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{MatchKind, StartKind};
use tenure_core::{Class, Heal, Who};

use super::bits::{Bits, MAX, RULES, RuleSet};
use super::model::{File, Rank, Written};
use super::own::{self, RuleFault, RuleFaults, key_at};
use super::{Rule, scan};
use crate::classify::answer::Place;
use crate::classify::read::words::{lookup, normal};
use crate::classify::scene;
use crate::name::nearest;

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
            // Whoever wrote a rule of their own knows whose token is meant.
            Rank::Own => Blame::No,
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
    pub ranks: [u16; 7],
    pub roles: scan::Roles,
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

/// A rule with where it is written.
struct Placed<'f> {
    rank: Rank,
    file: &'f str,
    text: &'f str,
    at: usize,
    title: String,
    source: String,
    rule: Written,
}

impl Matcher {
    /// Compiles the shipped rules and, asked before them, those of a configuration. All that is wrong is told at once.
    pub fn compile(shipped: &[(&str, &str)], own: &[(&str, &str)]) -> Result<Self, RuleFaults> {
        let mut builder = Builder::default();
        let mut faults = Vec::new();
        for name in scene::NAMES {
            if let Err(why) = builder.name(name) {
                faults.push(RuleFault::of("scene", "", 0, why));
            }
        }
        let mut placed = Vec::new();
        for (files, own) in [(shipped, false), (own, true)] {
            for (name, text) in files {
                match read(name, text, &mut builder, own) {
                    Ok(rules) => placed.extend(rules),
                    Err(wrong) => faults.extend(wrong),
                }
            }
        }
        placed.sort_by_key(|placed| placed.rank);
        let shipped: HashSet<String> = placed
            .iter()
            .filter(|placed| placed.rank != Rank::Own)
            .map(|placed| placed.rule.id.clone())
            .collect();
        for one in placed {
            let id = one.rule.id.clone();
            let added = if one.rank == Rank::Own && shipped.contains(&id) {
                Err(under("id")("a shipped rule has this name".to_owned()))
            } else {
                builder.rule(one.rank, one.title, one.source, one.rule)
            };
            if let Err(wrong) = added {
                faults.push(wrong.at(one.file, one.text, one.at, &id));
            }
        }
        if !faults.is_empty() {
            faults.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
            return Err(RuleFaults(faults));
        }
        builder
            .finish()
            .map_err(|why| RuleFaults(vec![RuleFault::of("patterns", "", 0, why)]))
    }
}

impl Matcher {
    /// Whether there are rules of a configuration.
    pub fn has_own(&self) -> bool {
        self.ranks[1] > 0
    }
}

/// Reads one file: its vocabulary goes to the builder, its rules come back.
fn read<'f>(
    name: &'f str,
    text: &'f str,
    builder: &mut Builder,
    own: bool,
) -> Result<Vec<Placed<'f>>, Vec<RuleFault>> {
    let file: File = toml::from_str(text).map_err(|error| unreadable(name, text, &error))?;
    let mut faults = Vec::new();
    let refused = |key: &str, why: String| RuleFault::of(name, text, key_at(text, 0, key), why);
    if own {
        let words = file.words.keys().chain(file.scenes.keys());
        faults.extend(
            words
                .filter(|word| builder.names.contains_key(*word))
                .map(|taken| {
                    let why = format!(
                        "`{taken}` is a word of the shipped rules; give yours another name"
                    );
                    refused(taken, why)
                }),
        );
    }
    // A word that could not be taken would be missed by every rule that needs it.
    if faults.is_empty()
        && let Err((key, why)) = builder.vocabulary(&file)
    {
        faults.push(refused(&key, why));
    }
    let mut rules = Vec::new();
    for rule in file.rule {
        let at = rule.span().start;
        let rule = rule.into_inner();
        let ranked = rule.rank.or(file.rank);
        if own {
            faults.extend(
                own::foreign(&rule, ranked)
                    .into_iter()
                    .map(|wrong| wrong.at(name, text, at, &rule.id)),
            );
        }
        let named = |given: &str| match given {
            "" if own => name.to_owned(),
            given => given.to_owned(),
        };
        rules.push(Placed {
            rank: if own {
                Rank::Own
            } else {
                ranked.unwrap_or(Rank::Exact)
            },
            file: name,
            text,
            at,
            title: named(&file.title),
            source: named(&file.source),
            rule,
        });
    }
    if faults.is_empty() {
        Ok(rules)
    } else {
        Err(faults)
    }
}

/// What is wrong with a file that cannot be read: one fault for each rule that has one, as a reader stops at the first.
fn unreadable(name: &str, text: &str, whole: &toml::de::Error) -> Vec<RuleFault> {
    let fault = |error: &toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        RuleFault::of(name, text, at, error.message().to_owned())
    };
    let first = fault(whole);
    let each: Vec<RuleFault> = own::alone(text)
        .filter_map(|rule| toml::from_str::<File>(&rule).err())
        .map(|error| fault(&error))
        .collect();
    // A text that was taken apart in the wrong place has other faults than the whole.
    if each.contains(&first) {
        each
    } else {
        vec![first]
    }
}

/// What is wrong with a rule, and under which key.
pub(super) struct Wrong {
    key: &'static str,
    why: String,
}

impl Wrong {
    fn at(self, file: &str, text: &str, from: usize, id: &str) -> RuleFault {
        let why = format!("rule {id:?}: {}", self.why);
        RuleFault::in_rule(file, text, from, self.key, why)
    }
}

pub(super) fn under(key: &'static str) -> impl Fn(String) -> Wrong {
    move |why| Wrong { key, why }
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

    fn vocabulary(&mut self, file: &File) -> Result<(), (String, String)> {
        let at_key = |key: &str| {
            let key = key.to_owned();
            move |why| (key.clone(), why)
        };
        for (name, phrases) in &file.words {
            let at = self.name(name).map_err(at_key(name))?;
            for phrase in phrases {
                self.phrase(phrase, Means::Word(at)).map_err(at_key(name))?;
            }
        }
        for (name, codes) in &file.scenes {
            let at = self.name(name).map_err(at_key(name))?;
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
    ) -> Result<(), Wrong> {
        let at = u16::try_from(self.rules.len())
            .ok()
            .filter(|at| usize::from(*at) < RULES)
            .ok_or_else(|| under("id")("there are too many rules".to_owned()))?;
        if self.rules.iter().any(|rule| rule.id == written.id) {
            return Err(under("id")("the name is taken".to_owned()));
        }
        if rank == Rank::Own && asks_nothing(&written) {
            let why = "it asks for nothing and would take every answer; give it a status, code, text, header or needs";
            return Err(under("id")(why.to_owned()));
        }
        for code in &written.code {
            self.codes
                .entry(lookup(code))
                .or_default()
                .push(Means::Rule(at));
        }
        for phrase in &written.text {
            self.phrase(phrase, Means::Rule(at))
                .map_err(under("text"))?;
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

    fn test(&self, written: &Written) -> Result<Test, Wrong> {
        let mut needs = Vec::new();
        for need in &written.needs {
            needs.push(self.set(need.split('|')).map_err(under("needs"))?);
        }
        let status = written
            .status
            .iter()
            .map(|text| range(text))
            .collect::<Result<_, _>>()
            .map_err(under("status"))?;
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
                    let why = format!("where = {other:?} is neither token nor resource");
                    return Err(under("where")(why));
                }
            },
            status,
            by_code: !written.code.is_empty(),
            by_text: !written.text.is_empty(),
            header: header.collect(),
            needs,
            without: self
                .set(written.without.iter().map(String::as_str))
                .map_err(under("without"))?,
            profile: written.profile.clone(),
            blame: Blame::No,
        })
    }

    fn set<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<Bits, String> {
        let mut bits = Bits::default();
        for name in names {
            let at = self.names.get(name.trim()).ok_or_else(|| {
                let near = nearest(name.trim(), self.names.keys().map(String::as_str));
                let hint =
                    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                format!("nothing is called {name:?}{hint}")
            })?;
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
        let mut ranks = [0; 7];
        for (at, rank) in [
            Rank::Own,
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

fn asks_nothing(rule: &Written) -> bool {
    let asked = [
        &rule.status,
        &rule.code,
        &rule.text,
        &rule.header,
        &rule.needs,
    ];
    asked.iter().all(|list| list.is_empty())
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
