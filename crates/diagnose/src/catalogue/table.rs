//! What servers say, by code: generated from the rules, so that pages and classifier cannot disagree.

use std::fmt::Write as _;

use tenure_core::Code;

use super::{Lang, said};
use crate::classify::{Rule, code_of, rules};

/// More codes or phrases than this are not listed one by one.
const LISTED: usize = 6;
/// Longest example shown, in characters.
const EXAMPLE_MAX: usize = 90;

/// One way in which a server says something.
#[derive(Clone, Debug)]
pub struct ServerError {
    /// The product, service, protocol or kind of answer.
    pub system: &'static str,
    /// Status and what stands in the answer.
    pub answer: String,
    /// Finer cause, snake case.
    pub cause: &'static str,
    /// `token` or `resource` when only one of them answers so.
    pub place: Option<&'static str>,
    /// Name of the rule.
    pub rule: &'static str,
    /// Where it is documented.
    pub source: &'static str,
}

impl ServerError {
    pub(super) fn of(rule: &'static Rule) -> Self {
        Self {
            system: &rule.group,
            answer: answer(rule),
            cause: &rule.cause,
            place: rule.place(),
            rule: &rule.id,
            source: &rule.source,
        }
    }
}

/// What servers say that means this code.
pub fn server_errors(code: Code) -> Vec<ServerError> {
    rules()
        .iter()
        .filter(|rule| code_of(rule.class, &rule.cause) == code)
        .map(ServerError::of)
        .collect()
}

/// The table of a page; empty where no server says anything of the kind.
pub(super) fn markdown(code: Code, lang: Lang) -> String {
    let errors = server_errors(code);
    if errors.is_empty() {
        return String::new();
    }
    let mut out = String::from(match lang {
        Lang::En => "| from | answer | cause |\n|---|---|---|\n",
        Lang::Nl => "| van | antwoord | oorzaak |\n|---|---|---|\n",
    });
    for error in errors {
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            out,
            "| {} | {} | {} |",
            cell(said::system(error.system, lang)),
            cell(&error.answer),
            cell(&said::cause(error.cause, lang))
        );
    }
    out.truncate(out.trim_end().len());
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The statuses the rule asks for, and codes where it asks for some, phrases where it asks for those. What it
/// asks of words for people besides is shown by its example.
fn answer(rule: &Rule) -> String {
    let mut parts = rule.statuses();
    if !rule.codes.is_empty() {
        parts.push(listed(&rule.codes, "`"));
    }
    if !rule.texts.is_empty() {
        parts.push(listed(&rule.texts, "\""));
    } else if let Some(said) = said(rule) {
        parts.push(said);
    }
    if rule.codes.is_empty() && rule.texts.is_empty() {
        parts.push(example(rule));
    }
    if !rule.profiles().is_empty() {
        parts.push(format!("(provider {})", rule.profiles().join(", ")));
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        // Not even an example body: the status says it all.
        parts.push(rule.example.status.to_string());
    }
    parts.join(" ")
}

/// The message of a rule's example, where the rule asks for a code and for words beside it.
fn said(rule: &Rule) -> Option<String> {
    if rule.codes.is_empty() || !rule.asks_for_words() {
        return None;
    }
    let body: serde_json::Value = serde_json::from_str(&rule.example.body).ok()?;
    let message = ["message", "error_description", "detail"]
        .iter()
        .find_map(|key| body.get(key)?.as_str())?;
    Some(format!("\"{}\"", cut(message)))
}

fn listed(all: &[String], quote: &str) -> String {
    let mut shown: Vec<String> = all
        .iter()
        .take(LISTED)
        .map(|one| format!("{quote}{}{quote}", one.trim_end_matches('*')))
        .collect();
    if all.len() > LISTED {
        shown.push(format!("(+{})", all.len() - LISTED));
    }
    shown.join(", ")
}

fn example(rule: &Rule) -> String {
    let header = rule
        .example
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .next();
    let said = match (rule.example.body.trim(), header) {
        ("", Some(header)) => header,
        (body, _) => body.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    if said.is_empty() {
        return said;
    }
    format!("`{}`", cut(&said).replace('`', "'"))
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(EXAMPLE_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
