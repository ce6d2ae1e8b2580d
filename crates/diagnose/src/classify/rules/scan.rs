//! One pass over an answer's words and codes.

use std::collections::HashMap;

use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton;

use super::bits::{Bits, RuleSet};
use super::compile::{Blame, Matcher, Means, Pattern, Test};
use super::negation::denied;
use super::{Rank, Rule};
use crate::classify::answer::{Answer, Place};
use crate::classify::read::Reading;
use crate::profile::Profile;

/// Two causes further apart than this are not named in one breath, in bytes.
const BREATH: usize = 60;

/// So many causes and conjunctions of a text are looked at.
const BREATHS: usize = 64;

/// What was found in an answer.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Words of the sentences.
    text: Bits,
    /// Words of the codes.
    codes: Bits,
    /// What the codes are about.
    scene: Bits,
    by_code: RuleSet,
    by_text: RuleSet,
    /// Rules whose phrases the words of the codes have.
    by_code_words: RuleSet,
}

/// Words that play a part in reading a sentence.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    or: Option<u8>,
    either: Option<u8>,
    oauth_error: Option<u8>,
    /// A cause is named and said not to be so.
    cause_denied: Option<u8>,
    causes: Bits,
    /// Causes that sentences deny.
    deniable: Bits,
    /// Signs that the caller's own token is meant.
    caller: Bits,
    /// Things that are none of the caller's tokens.
    thing: Bits,
    /// Others a token or a login may belong to: a terminal, a guest, "token for …".
    another: Bits,
    /// The caller's own after all.
    own: Bits,
    /// A session with somebody or something that is not the server, whoever's it is called.
    shared: Bits,
    /// With the server after all.
    with_server: Bits,
    /// That, or what is known without the answer's words.
    surely_callers: Bits,
}

impl Roles {
    pub fn of(names: &HashMap<String, u8>) -> Self {
        let set = |members: &[&str]| {
            let mut bits = Bits::default();
            for at in members.iter().filter_map(|name| names.get(*name)) {
                bits.set(*at);
            }
            bits
        };
        Self {
            or: names.get("or").copied(),
            either: names.get("either").copied(),
            oauth_error: names.get("oauth_error").copied(),
            cause_denied: names.get("cause_denied").copied(),
            deniable: set(&["expired", "revoked", "used", "disabled"]),
            causes: set(&[
                "expired",
                "invalid",
                "revoked",
                "used",
                "malformed",
                "absent",
                "unknown_thing",
            ]),
            caller: set(&[
                "caller",
                "logon_again",
                "said_token",
                "token_challenge",
                "local_expired",
                "flask_jwt",
                "not_sent",
            ]),
            thing: set(&["other_thing"]),
            another: set(&["anothers"]),
            own: set(&["callers_own", "said_token", "token_challenge"]),
            shared: set(&["shared_session"]),
            with_server: set(&["with_server", "said_token", "token_challenge"]),
            surely_callers: set(&[
                "callers_own",
                "said_token",
                "token_challenge",
                "local_expired",
                "not_sent",
            ]),
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
            by_code: RuleSet::default(),
            by_text: RuleSet::default(),
            by_code_words: RuleSet::default(),
        };
        scan.text = self.words(&reading.text, &mut scan.by_text);
        scan.codes = self.words(&reading.code_words, &mut scan.by_code_words);
        for code in &reading.codes {
            for means in self.codes.get(code.plain.as_str()).into_iter().flatten() {
                match means {
                    Means::Word(at) => scan.scene.set(*at),
                    Means::Rule(at) => scan.by_code.set(*at),
                }
            }
        }
        scan
    }

    fn words(&self, text: &str, rules: &mut RuleSet) -> Bits {
        let mut found = Bits::default();
        // Causes and what joins them, with where they end.
        let mut breath: Vec<(usize, u8)> = Vec::new();
        let mut hit = |pattern: &Pattern, start: usize, end: usize| {
            if !fits(pattern, text, start, end) {
                return;
            }
            for means in &pattern.means {
                match *means {
                    Means::Rule(at) => rules.set(at),
                    Means::Word(at) if self.roles.deniable.has(at) && denied(text, start, end) => {
                        if let Some(denied) = self.roles.cause_denied {
                            found.set(denied);
                        }
                    }
                    Means::Word(at) => {
                        found.set(at);
                        if (self.roles.or == Some(at) || self.roles.causes.has(at))
                            && breath.len() < BREATHS
                        {
                            breath.push((end, at));
                        }
                    }
                }
            }
        };
        each(&self.ascii, text, |pattern, start, end| {
            hit(&self.patterns[pattern], start, end);
        });
        if !text.is_ascii() {
            let offset = self.ascii.patterns_len();
            each(&self.wide, text, |pattern, start, end| {
                hit(&self.patterns[offset + pattern], start, end);
            });
            breath.sort_unstable();
        }
        if let Some(either) = self.roles.either.filter(|_| self.in_one_breath(&breath)) {
            found.set(either);
        }
        found
    }

    /// Whether two different causes are named with an "or" between them.
    fn in_one_breath(&self, breath: &[(usize, u8)]) -> bool {
        let mut last: Option<(u8, usize, bool)> = None;
        for &(end, at) in breath {
            if self.roles.or == Some(at) {
                if let Some((_, _, or)) = &mut last {
                    *or = true;
                }
                continue;
            }
            if let Some((before, since, true)) = last
                && before != at
                && end - since <= BREATH
            {
                return true;
            }
            last = Some((at, end, false));
        }
        false
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
        let blamed = self.blamed(answer, &all);
        let phrased = scan.by_text.join(&scan.by_code_words);
        let holds = |rule: &Rule, words: &Bits, phrased: &RuleSet| {
            let test = &rule.test;
            (test.place.is_none() || test.place == Some(answer.place))
                && (test.status.is_empty() || within(&test.status, answer.status))
                && (!test.by_code || scan.by_code.has(rule.index))
                && (!test.by_text || phrased.has(rule.index))
                && !words.meets(&test.without)
                && test.needs.iter().all(|need| words.meets(need))
                && by_header(test, answer)
                && by_profile(test, profile)
                && blamed(test.blame)
        };
        let among = |rank: Rank, words: &Bits, phrased: &RuleSet| {
            scan.by_code
                .join(phrased)
                .join(&self.open)
                .within(self.range_of(rank))
                .map(|at| &self.rules[usize::from(at)])
                .find(|rule| holds(rule, words, phrased))
        };
        let of = |rank: Rank, words: &Bits| among(rank, words, &phrased);
        of(Rank::Own, &all)
            .or_else(|| of(Rank::First, &all))
            .or_else(|| of(Rank::Exact, &all))
            // A phrase of a code is judged with the other words of that code.
            .or_else(|| among(Rank::Text, &spoken, &scan.by_text))
            .or_else(|| of(Rank::Text, &all))
            .or_else(|| of(Rank::Protocol, &all))
            .or_else(|| of(Rank::Shape, &all))
    }

    /// Which rules may say that the caller's token is refused: where a thing may be meant, words need a sign that it is
    /// not, and known codes need one beside the name of a thing.
    fn blamed(&self, answer: &Answer<'_>, all: &Bits) -> impl Fn(Blame) -> bool + use<> {
        let shared = all.meets(&self.roles.shared) && !all.meets(&self.roles.with_server);
        let anothers = shared || all.meets(&self.roles.another) && !all.meets(&self.roles.own);
        let caller_meant = answer.place == Place::Token
            || match speaks_of(answer.status) {
                Of::Caller => true,
                Of::Either => !anothers,
                Of::Thing => all.meets(&self.roles.caller) && !anothers,
                Of::NoToken => all.meets(&self.roles.surely_callers) && !anothers,
            };
        let thing_named = anothers
            || all.meets(&self.roles.thing)
            || matches!(speaks_of(answer.status), Of::NoToken);
        move |blame| match blame {
            Blame::No => true,
            Blame::ByCode => caller_meant || !thing_named,
            Blame::ByWords => caller_meant,
        }
    }

    /// Whether an answer carries an error code that a protocol defines.
    pub fn speaks_protocol(&self, scan: &Scan) -> bool {
        self.roles.oauth_error.is_some_and(|at| scan.scene.has(at))
    }

    fn range_of(&self, rank: Rank) -> std::ops::Range<u16> {
        self.ranks[rank as usize]..self.ranks[rank as usize + 1]
    }
}

/// Every occurrence of every pattern: its number, where it begins and where it ends.
fn each(automaton: &impl Automaton, text: &str, mut hit: impl FnMut(usize, usize, usize)) {
    let Ok(mut state) = automaton.start_state(Anchored::No) else {
        return;
    };
    for (at, byte) in text.bytes().enumerate() {
        state = automaton.next_state(Anchored::No, state, byte);
        if automaton.is_special(state) && automaton.is_match(state) {
            for index in 0..automaton.match_len(state) {
                let pattern = automaton.match_pattern(state, index);
                let end = at + 1;
                hit(
                    pattern.as_usize(),
                    end - automaton.pattern_len(pattern),
                    end,
                );
            }
        }
    }
}

fn fits(pattern: &Pattern, text: &str, start: usize, end: usize) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_wordless(c));
    (!pattern.whole_start || !letter(text[..start].chars().next_back()))
        && (!pattern.whole_end || !letter(text[end..].chars().next()))
}

fn within(ranges: &[(u16, u16)], status: u16) -> bool {
    ranges
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&status))
}

/// Whom a status speaks of.
enum Of {
    /// Of whoever asks.
    Caller,
    /// Of either; mostly of whoever asks, unless another is named.
    Either,
    /// Of the thing asked for. A token named there is as often one that the API keeps for somebody: a device's, an
    /// invitation's, a payment's.
    Thing,
    /// Of what is or is not at an address, or of its state: no server refuses a caller so, whatever it names.
    NoToken,
}

fn speaks_of(status: u16) -> Of {
    match status {
        401 | 407 | 419 | 440 | 498 | 499 => Of::Caller,
        403 => Of::Either,
        404 | 409 | 410 | 423 => Of::NoToken,
        400..500 => Of::Thing,
        _ => Of::Either,
    }
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
    value
        .windows(part.len())
        .any(|window| window.eq_ignore_ascii_case(part))
}

fn by_profile(test: &Test, profile: Option<&Profile>) -> bool {
    test.profile.is_empty() || profile.is_some_and(|profile| test.profile.contains(&profile.name))
}
