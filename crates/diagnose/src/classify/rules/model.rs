//! How rules are written (`catalogue/rules/*.toml`).

use std::collections::BTreeMap;

use serde::Deserialize;
use tenure_core::{Class, Heal, Who};
use toml::Spanned;

/// When a rule is asked; the earlier rank wins, inside a rank the order of files and lines.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// The rules of a configuration: whoever wrote them knows the server, and they are asked before all others.
    #[serde(skip)]
    Own,
    /// What passes or is somebody else's word whatever else is said.
    First,
    /// Codes that can mean one thing only.
    Exact,
    /// What the words for people say, then the words that codes are made of.
    Text,
    /// Protocol codes that leave the cause open.
    Protocol,
    /// The shape of an answer, and its status.
    Shape,
}

/// One file of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// What the rules are about, for people.
    #[serde(default)]
    pub title: String,
    /// Where the rules come from, unless a rule says otherwise.
    #[serde(default)]
    pub source: String,
    /// Rank of the rules that name none; exact when left out.
    pub rank: Option<Rank>,
    /// Words by what they mean.
    #[serde(default)]
    pub words: BTreeMap<String, Vec<String>>,
    /// Codes that set the scene: what a bare "expired" next to them is about.
    #[serde(default)]
    pub scenes: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub rule: Vec<Spanned<Written>>,
}

/// One rule as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub id: String,
    pub rank: Option<Rank>,
    /// `token` or `resource`; both when left out.
    #[serde(rename = "where")]
    pub place: Option<String>,
    /// `401`, `5xx`, `400-403`.
    #[serde(default)]
    pub status: Vec<String>,
    /// Any of these codes.
    #[serde(default)]
    pub code: Vec<String>,
    /// Any of these phrases.
    #[serde(default)]
    pub text: Vec<String>,
    /// Any of these headers: `name`, or `name: part of the value`.
    #[serde(default)]
    pub header: Vec<String>,
    /// All of these words; alternatives are written `a|b`.
    #[serde(default)]
    pub needs: Vec<String>,
    /// None of these words.
    #[serde(default)]
    pub without: Vec<String>,
    /// Any of these profiles.
    #[serde(default)]
    pub profile: Vec<String>,
    pub class: Class,
    pub cause: String,
    pub heal: Option<Heal>,
    pub who: Option<Who>,
    /// Whether it proves, at a token endpoint, that this cannot work again (I5).
    #[serde(default, rename = "final")]
    pub proven: bool,
    pub source: Option<String>,
    /// Answers that the rule classifies.
    pub example: Example,
}

/// An answer that a rule must recognise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// `token` or `resource`; that of the rule, else `resource`.
    #[serde(rename = "where")]
    pub place: Option<String>,
    /// HTTP status.
    pub status: u16,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// Grant of the token request; a refresh when left out.
    pub grant: Option<String>,
    /// Profile, where the rule needs one.
    pub profile: Option<String>,
    /// Facts as in the corpus.
    #[serde(default)]
    pub local: BTreeMap<String, toml::Value>,
}
