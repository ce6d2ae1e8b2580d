//! Reads a profile and says exactly where it is wrong: people bring their own.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use super::recognise::RawRecognise;
use super::{
    AuthMethod, Claim, DialectName, Endpoints, Flow, JsonNames, Lifetimes, Profile, Rotation,
    issuers, shape,
};

/// Why a profile cannot be used: everything that is wrong with it, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileErrors(pub Vec<ProfileError>);

impl fmt::Display for ProfileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ProfileErrors {}

/// One thing that is wrong with a profile. The text says what, where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}. {fix}")]
pub struct ProfileError {
    /// The file, as given.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The key at fault, when one is.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    #[serde(default)]
    aliases: Vec<Spanned<String>>,
    title: Spanned<String>,
    dialect: DialectName,
    #[serde(default)]
    json: Option<Spanned<JsonNames>>,
    #[serde(default)]
    discovery: bool,
    #[serde(default)]
    token_issuers: Vec<Spanned<String>>,
    #[serde(default)]
    endpoints: RawEndpoints,
    client_auth: Vec<AuthMethod>,
    flows: Vec<Flow>,
    rotation: Spanned<RawRotation>,
    retry_unknown: bool,
    #[serde(default)]
    lifetimes: Lifetimes,
    #[serde(default)]
    refused_statuses: Vec<Spanned<u16>>,
    #[serde(default)]
    recognise: RawRecognise,
    #[serde(default)]
    quirks: Vec<String>,
    status_page: Option<String>,
    #[serde(default)]
    docs: Vec<String>,
    #[serde(default)]
    claims: Vec<Spanned<Claim>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEndpoints {
    token: Option<Spanned<String>>,
    login: Option<Spanned<String>>,
    authorization: Option<Spanned<String>>,
    device_authorization: Option<Spanned<String>>,
    revocation: Option<Spanned<String>>,
    introspection: Option<Spanned<String>>,
    validate: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRotation {
    kind: Kind,
    grace_seconds: Option<Spanned<u64>>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    None,
    Rotates,
    SameSuccessor,
    ParentUntilChildUsed,
    Strict,
}

/// Reads a profile. `file` is used in errors only.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_profile(text: &str, file: &str) -> Result<Profile, ProfileErrors> {
    let at = Place {
        text,
        file,
        found: RefCell::default(),
    };
    match DeTable::parse(text) {
        Ok(root) => shape::check(&root, &at),
        Err(error) => at.toml(&error),
    }
    let raw = toml::from_str::<Raw>(text)
        .map_err(|error| {
            // Everything the walk knows has its own words; this is for what it does not know.
            if at.is_clean() {
                at.toml(&error);
            }
        })
        .ok();
    let profile = raw.map(|raw| checked(raw, &at));
    let mut found = at.found.into_inner();
    found.sort_by_key(|error| (error.line, error.column));
    match profile {
        Some(profile) if found.is_empty() => Ok(profile),
        _ => Err(ProfileErrors(found)),
    }
}

/// The profile; what is wrong with it is noted.
fn checked(raw: Raw, at: &Place<'_>) -> Profile {
    check_names(&raw, at);
    if let Some(json) = &raw.json
        && raw.dialect != DialectName::JsonRefresh
    {
        at.note(
            json.span(),
            "json",
            "`[json]` belongs to the dialect `json-refresh` only",
            "Remove the table, or set `dialect = \"json-refresh\"`",
        );
    }
    for status in &raw.refused_statuses {
        if !(100..600).contains(status.get_ref()) {
            at.note(
                status.span(),
                "refused_statuses",
                &format!("{} is no HTTP status", status.get_ref()),
                "Use numbers from 100 to 599",
            );
        }
    }
    for issuer in &raw.token_issuers {
        if !issuers::is_issuer(issuer.get_ref()) {
            at.note(
                issuer.span(),
                "token_issuers",
                &format!("{:?} cannot be an issuer", issuer.get_ref()),
                "Write what `iss` of a token says; `{tenant}` may stand in it for a tenant's id",
            );
        }
    }
    let claims: Vec<Claim> = raw
        .claims
        .into_iter()
        .map(|claim| check_claim(claim, at))
        .collect();
    let mut sources: Vec<String> = Vec::new();
    for source in claims.iter().flat_map(|claim| &claim.sources) {
        if !sources.contains(source) {
            sources.push(source.clone());
        }
    }
    Profile {
        rotation: rotation(&raw.rotation, at),
        endpoints: check_endpoints(raw.endpoints, at),
        recognise: raw.recognise.check(at),
        name: raw.name.into_inner(),
        aliases: raw.aliases.into_iter().map(Spanned::into_inner).collect(),
        title: raw.title.into_inner(),
        dialect: raw.dialect,
        json: raw.json.map(Spanned::into_inner).unwrap_or_default(),
        discovery: raw.discovery,
        token_issuers: raw
            .token_issuers
            .into_iter()
            .map(Spanned::into_inner)
            .collect(),
        client_auth: raw.client_auth,
        flows: raw.flows,
        retry_unknown: raw.retry_unknown,
        lifetimes: raw.lifetimes,
        refused_statuses: raw
            .refused_statuses
            .into_iter()
            .map(Spanned::into_inner)
            .collect(),
        quirks: raw.quirks,
        status_page: raw.status_page,
        docs: raw.docs,
        claims,
        sources,
    }
}

fn check_names(raw: &Raw, at: &Place<'_>) {
    let plain = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    for (key, name) in std::iter::once(("name", &raw.name))
        .chain(raw.aliases.iter().map(|alias| ("aliases", alias)))
    {
        if !plain(name.get_ref()) {
            at.note(
                name.span(),
                key,
                &format!("{:?} cannot be a profile's name", name.get_ref()),
                "Use lower-case letters, digits and hyphens",
            );
        }
    }
    if raw.title.get_ref().trim().is_empty() {
        at.note(
            raw.title.span(),
            "title",
            "the title is empty",
            "Name the product",
        );
    }
}

fn rotation(raw: &Spanned<RawRotation>, at: &Place<'_>) -> Rotation {
    let RawRotation {
        kind,
        grace_seconds,
    } = raw.get_ref();
    if let Some(grace) = grace_seconds
        && *kind != Kind::Rotates
    {
        at.note(
            grace.span(),
            "grace_seconds",
            "`grace_seconds` goes with `kind = \"rotates\"` only",
            "Remove it, or change `kind`",
        );
    }
    match kind {
        Kind::None => Rotation::None,
        Kind::Rotates => Rotation::Rotates {
            grace_seconds: grace_seconds.as_ref().map_or(0, |grace| *grace.get_ref()),
        },
        Kind::SameSuccessor => Rotation::SameSuccessor,
        Kind::ParentUntilChildUsed => Rotation::ParentUntilChildUsed,
        Kind::Strict => Rotation::Strict,
    }
}

fn check_endpoints(raw: RawEndpoints, at: &Place<'_>) -> Endpoints {
    let check = |key: &str, template: Option<Spanned<String>>| {
        let template = template?;
        if !is_template(template.get_ref()) {
            at.note(
                template.span(),
                key,
                &format!("{:?} is no endpoint template", template.get_ref()),
                "Write an absolute URL; `{issuer}` and `{rest}` may stand in it",
            );
        }
        Some(template.into_inner())
    };
    Endpoints {
        token: check("token", raw.token),
        login: check("login", raw.login),
        authorization: check("authorization", raw.authorization),
        device_authorization: check("device_authorization", raw.device_authorization),
        revocation: check("revocation", raw.revocation),
        introspection: check("introspection", raw.introspection),
        validate: check("validate", raw.validate),
    }
}

fn is_template(text: &str) -> bool {
    let filled = text
        .replace("{issuer}", "https://issuer.example")
        .replace("{rest}", "https://issuer.example/wp-json");
    !filled.contains(['{', '}']) && url::Url::parse(&filled).is_ok_and(|url| url.has_host())
}

fn check_claim(claim: Spanned<Claim>, at: &Place<'_>) -> Claim {
    let span = claim.span();
    let claim = claim.into_inner();
    if claim.sources.is_empty() && !claim.unverified {
        at.note(
            span,
            "sources",
            &format!("the claim about `{}` names no source", claim.about),
            "Add `sources = [\"…\"]`, or `unverified = true`",
        );
    }
    claim
}

/// Turns offsets into lines and columns, and keeps what is wrong.
pub(super) struct Place<'a> {
    text: &'a str,
    file: &'a str,
    found: RefCell<Vec<ProfileError>>,
}

impl Place<'_> {
    pub(super) fn note(&self, span: Range<usize>, key: &str, problem: &str, fix: &str) {
        self.push(span.start, Some(key), problem, fix);
    }

    fn is_clean(&self) -> bool {
        self.found.borrow().is_empty()
    }

    fn toml(&self, error: &toml::de::Error) {
        let at = error.span().map_or(0, |span| span.start);
        let said: Vec<&str> = error.message().lines().collect();
        self.push(
            at,
            None,
            &said.join(", "),
            "See https://toml.io for the notation",
        );
    }

    fn push(&self, offset: usize, key: Option<&str>, problem: &str, fix: &str) {
        let (line, column) = self.position(offset);
        self.found.borrow_mut().push(ProfileError {
            file: self.file.to_owned(),
            line,
            column,
            key: key.map(str::to_owned),
            problem: problem.to_owned(),
            fix: fix.to_owned(),
        });
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self
            .text
            .get(..offset.min(self.text.len()))
            .unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}
