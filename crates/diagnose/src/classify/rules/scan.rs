//! One pass over an answer's words and codes.

use std::collections::HashMap;

use super::bits::Bits;
use super::compile::{Matcher, Means, Pattern, Test};
use super::{Rank, Rule};
use crate::classify::answer::Answer;
use crate::classify::read::Reading;
use crate::profile::Profile;

/// Two causes further apart than this are not named in one breath, in bytes.
const BREATH: usize = 60;

/// What was found in an answer.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Words of the sentences.
    text: Bits,
    /// Words of the codes.
    codes: Bits,
    /// What the codes are about.
    scene: Bits,
    rules_by_code: Vec<u16>,
    rules_by_text: Vec<u16>,
}

/// Words that play a part in reading a sentence.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    or: Option<u8>,
    either: Option<u8>,
    oauth_error: Option<u8>,
    causes: Bits,
}

impl Roles {
    pub fn of(names: &HashMap<String, u8>) -> Self {
        let mut causes = Bits::default();
        for name in ["expired", "invalid", "revoked", "used", "malformed", "absent", "unknown"] {
            if let Some(at) = names.get(name) {
                causes.set(*at);
            }
        }
        Self {
            or: names.get("or").copied(),
            either: names.get("either").copied(),
            oauth_error: names.get("oauth_error").copied(),
            causes,
        }
    }
}

/// Scripts that put no blanks between words.
pub(crate) fn is_wordless(c: char) -> bool {
    matches!(u32::from(c), 0x0e00..=0x0e7f | 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af)
}

impl Matcher {
    pub fn scan(&self, reading: &Reading) -> Scan {
        let mut scan = Scan {
            text: Bits::default(),
            codes: Bits::default(),
            scene: Bits::default(),
            rules_by_code: Vec::new(),
            rules_by_text: Vec::new(),
        };
        let mut rules = Vec::new();
        scan.text = self.words(&reading.text, &mut rules);
        scan.codes = self.words(&reading.code_words, &mut rules);
        scan.rules_by_text = rules;
        for code in &reading.codes {
            for means in self.codes.get(code.plain.as_str()).into_iter().flatten() {
                match means {
                    Means::Word(at) => scan.scene.set(*at),
                    Means::Rule(at) => scan.rules_by_code.push(*at),
                }
            }
        }
        scan
    }

    fn words(&self, text: &str, rules: &mut Vec<u16>) -> Bits {
        let mut found = Bits::default();
        // The last cause named, and whether an "or" came after it.
        let mut cause: Option<(u8, usize, bool)> = None;
        for hit in self.automaton.find_overlapping_iter(text) {
            let pattern = &self.patterns[hit.pattern().as_usize()];
            if !fits(pattern, text, hit.start(), hit.end()) {
                continue;
            }
            for means in &pattern.means {
                match *means {
                    Means::Rule(at) => rules.push(at),
                    Means::Word(at) => {
                        found.set(at);
                        self.breath(at, hit.end(), &mut cause, &mut found);
                    }
                }
            }
        }
        found
    }

    /// Notices two different causes with an "or" between them.
    fn breath(&self, at: u8, end: usize, cause: &mut Option<(u8, usize, bool)>, found: &mut Bits) {
        if self.roles.or == Some(at) {
            if let Some((_, _, or)) = cause {
                *or = true;
            }
        } else if self.roles.causes.has(at) {
            if let (Some((before, since, true)), Some(either)) = (*cause, self.roles.either)
                && before != at
                && end - since <= BREATH
            {
                found.set(either);
            }
            *cause = Some((at, end, false));
        }
    }

    /// The first rule that holds for an answer.
    pub fn first(
        &self,
        scan: &Scan,
        answer: &Answer<'_>,
        scene: &Bits,
        profile: Option<&Profile>,
    ) -> Option<&Rule> {
        let scene = scene.join(&scan.scene);
        let spoken = scene.join(&scan.text);
        let all = spoken.join(&scan.codes);
        let holds = |rule: &&Rule, words: &Bits| {
            let test = &rule.test;
            let index = rule.index;
            (test.place.is_none() || test.place == Some(answer.place))
                && (test.status.is_empty() || within(&test.status, answer.status))
                && !words.meets(&test.without)
                && test.needs.iter().all(|need| words.meets(need))
                && (!test.by_code || scan.rules_by_code.contains(&index))
                && (!test.by_text || scan.rules_by_text.contains(&index))
                && by_header(test, answer)
                && by_profile(test, profile)
        };
        let of = |rank: Rank| self.of_rank(rank).iter();
        of(Rank::First)
            .chain(of(Rank::Exact))
            .find(|rule| holds(rule, &all))
            .or_else(|| of(Rank::Text).find(|rule| holds(rule, &spoken)))
            .or_else(|| of(Rank::Text).find(|rule| holds(rule, &all)))
            .or_else(|| {
                of(Rank::Protocol)
                    .chain(of(Rank::Shape))
                    .find(|rule| holds(rule, &all))
            })
    }

    /// Whether an answer carries an error code that a protocol defines.
    pub fn speaks_protocol(&self, scan: &Scan) -> bool {
        self.roles.oauth_error.is_some_and(|at| scan.scene.has(at))
    }

    fn of_rank(&self, rank: Rank) -> &[Rule] {
        let from = self.rules.partition_point(|rule| rule.rank < rank);
        let to = self.rules.partition_point(|rule| rule.rank <= rank);
        &self.rules[from..to]
    }
}

fn fits(pattern: &Pattern, text: &str, start: usize, end: usize) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_wordless(c));
    (!pattern.whole_start || !letter(text[..start].chars().next_back()))
        && (!pattern.whole_end || !letter(text[end..].chars().next()))
}

fn within(ranges: &[(u16, u16)], status: u16) -> bool {
    ranges.iter().any(|(from, to)| (*from..=*to).contains(&status))
}

fn by_header(test: &Test, answer: &Answer<'_>) -> bool {
    test.header.is_empty()
        || test.header.iter().any(|(name, part)| {
            answer
                .headers
                .get_all(name)
                .iter()
                .any(|value| part.is_empty() || contains(value.as_bytes(), part.as_bytes()))
        })
}

/// Whether `part` (lower case) occurs, in the first kilobytes, whatever the case.
fn contains(value: &[u8], part: &[u8]) -> bool {
    let value = &value[..value.len().min(4096)];
    value.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

fn by_profile(test: &Test, profile: Option<&Profile>) -> bool {
    test.profile.is_empty()
        || profile.is_some_and(|profile| test.profile.iter().any(|name| *name == profile.name))
}
