//! Rules of a configuration: read, proven by their examples, and put before the shipped ones.

use std::fmt;
use std::sync::OnceLock;

use serde_json::json;

use super::compile::{Matcher, Wrong, under};
use super::model::Written;
use super::{Rank, Rule, source};
use crate::classify::answer::Answer;
use crate::classify::read::Reading;
use crate::classify::scene;
use crate::lines::{Line, LineError};

/// The matcher of this process, once rules of its own were put into it or the first verdict was asked for.
static ACTIVE: OnceLock<(Matcher, Vec<(String, String)>)> = OnceLock::new();

/// One thing that is wrong with a file of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {why}")]
pub struct RuleFault {
    /// The file, as given.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

/// Everything that is wrong with files of rules, in order; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFaults(pub Vec<RuleFault>);

impl fmt::Display for RuleFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for RuleFaults {}

impl RuleFault {
    pub(super) fn of(file: &str, text: &str, at: usize, why: String) -> Self {
        let before = &text[..text.floor_char_boundary(at)];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            why,
        }
    }

    /// At a key of the rule that begins at `from`, or at the rule where the key is not there.
    pub(super) fn in_rule(file: &str, text: &str, from: usize, key: &str, why: String) -> Self {
        Self::of(file, text, key_at(text, from, key), why)
    }
}

/// Where a key stands after `from`, before the next rule; `from` where it does not.
pub(super) fn key_at(text: &str, from: usize, key: &str) -> usize {
    let mut at = from;
    for (number, line) in text[from..].split_inclusive('\n').enumerate() {
        let bare = line.trim_start();
        if number > 0 && from > 0 && bare.starts_with("[[") {
            break;
        }
        let after = bare.trim_start_matches('"').strip_prefix(key);
        if after.is_some_and(|rest| rest.trim_start_matches('"').trim_start().starts_with('=')) {
            return at + line.len() - bare.len();
        }
        at += line.len();
    }
    from
}

/// A file's rules one by one, each in its place with nothing but spaces around it; what stands before the first is one too.
pub(super) fn alone(text: &str) -> impl Iterator<Item = String> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if at > 0 && line.trim_start().starts_with("[[") {
            starts.push(at);
        }
        at += line.len();
    }
    starts.push(text.len());
    let blank = |part: &str| -> String {
        let blank = |byte: u8| if byte == b'\n' { '\n' } else { ' ' };
        part.bytes().map(blank).collect()
    };
    let parts: Vec<String> = starts
        .windows(2)
        .map(|ends| format!("{}{}", blank(&text[..ends[0]]), &text[ends[0]..ends[1]]))
        .collect();
    parts.into_iter()
}

/// What the shipped rules may say and one's own may not.
pub(super) fn foreign(rule: &Written, rank: Option<Rank>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if rank.is_some() {
        let why = "rules of your own are asked in their order, before all others; leave `rank` out";
        wrong.push(under("rank")(why.to_owned()));
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if rule.cause.is_empty() || !rule.cause.chars().all(word) {
        let why = format!(
            "cause {:?} is no name that programs can match: small letters, digits and `_` only, e.g. \"pass_over\"",
            rule.cause
        );
        wrong.push(under("cause")(why));
    }
    if rule.proven && rule.place.as_deref() != Some("token") {
        let why = "only a token endpoint can end a session: `final` needs where = \"token\"";
        wrong.push(under("final")(why.to_owned()));
    }
    wrong
}

/// Puts rules before the shipped ones, for the whole process. Each file is a name, used in errors and to say where a
/// verdict comes from, and its text. To be called before the first verdict; a second call changes nothing and must
/// bring the same rules.
///
/// # Errors
/// All that is wrong with the files, the examples that another rule recognises among it.
pub fn install(files: &[(String, String)]) -> Result<(), RuleFaults> {
    if files.is_empty() || ACTIVE.get().is_some_and(|(_, active)| active == files) {
        return Ok(());
    }
    let borrowed: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let matcher = Matcher::compile(source::FILES, &borrowed)?;
    examples(&matcher, &borrowed)?;
    ACTIVE.set((matcher, files.to_vec())).map_err(|_| {
        let why = "rules can be added before the first verdict only";
        RuleFaults(vec![RuleFault::of(borrowed[0].0, "", 0, why.to_owned())])
    })
}

/// The matcher that verdicts are made with.
pub(crate) fn active() -> &'static Matcher {
    let (matcher, _) = ACTIVE.get_or_init(|| {
        let shipped = Matcher::compile(source::FILES, &[]);
        // Tests compile the same text, so this cannot be reached in a build that passed them.
        let shipped = shipped.unwrap_or_else(|faults| panic!("{faults}"));
        (shipped, Vec::new())
    });
    matcher
}

/// Asks each rule of one's own for its example: a rule that does not recognise it would never be heard.
pub(super) fn examples(matcher: &Matcher, files: &[(&str, &str)]) -> Result<(), RuleFaults> {
    let own = matcher.rules.iter().filter(|rule| rule.rank == Rank::Own);
    let faults: Vec<RuleFault> = own
        .filter_map(|rule| {
            let why = unheard(matcher, rule)?;
            let (file, text, at) = place(files, &rule.id);
            let why = format!("rule {:?}: {why}", rule.id);
            Some(RuleFault::in_rule(file, text, at, "example", why))
        })
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(RuleFaults(faults))
    }
}

/// Why a rule does not recognise its example.
fn unheard(matcher: &Matcher, rule: &Rule) -> Option<String> {
    let line = match line(rule) {
        Ok(line) => line,
        Err(error) => return Some(format!("the example: {error}")),
    };
    let answer = Answer {
        place: line.place,
        status: line.status,
        headers: &line.headers,
        body: line.body.as_bytes(),
    };
    let reading = Reading::of(&answer);
    let scene = scene::of(&answer, &reading, &line.local);
    let scan = matcher.scan(&reading);
    match matcher.first(&scan, &answer, &scene, line.provider) {
        Some(found) if found.id == rule.id => None,
        Some(found) if found.rank == Rank::Own => Some(format!(
            "its example is recognised by rule {:?}, which stands before it",
            found.id
        )),
        _ => Some("it does not recognise its example".to_owned()),
    }
}

fn line(rule: &Rule) -> Result<Line, LineError> {
    let example = &rule.example;
    let place = example.place.as_deref().or(rule.place());
    Line::of(&json!({
        "where": place.unwrap_or("resource"),
        "request": { "grant": example.grant },
        "status": example.status,
        "headers": example.headers,
        "body": example.body,
        "local": example.local,
        "provider": example.profile,
    }))
}

/// The file a rule is in, and where it is named there.
fn place<'f>(files: &[(&'f str, &'f str)], id: &str) -> (&'f str, &'f str, usize) {
    let quoted = [format!("\"{id}\""), format!("'{id}'")];
    files
        .iter()
        .find_map(|(file, text)| {
            let at = quoted.iter().find_map(|id| text.find(id.as_str()))?;
            let start = text[..at].rfind("[[").unwrap_or(at);
            Some((*file, *text, start))
        })
        .unwrap_or((files[0].0, files[0].1, 0))
}
