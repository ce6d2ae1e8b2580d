//! Reads a profile and says exactly where it is wrong: people bring their own.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::recognise::RawRecognise;
use super::{
    AuthMethod, Claim, DialectName, Endpoints, Flow, JsonNames, Lifetimes, Profile, Rotation,
};
use crate::name::nearest;

/// Why a profile cannot be used. The text says what, where and what to do.
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
pub fn parse_profile(text: &str, file: &str) -> Result<Profile, ProfileError> {
    let at = Place { text, file };
    let raw: Raw = toml::from_str(text).map_err(|error| at.toml(&error))?;
    check_names(&raw, &at)?;
    let rotation = rotation(&raw.rotation, &at)?;
    let endpoints = check_endpoints(raw.endpoints, &at)?;
    let json = match raw.json {
        Some(json) if raw.dialect != DialectName::JsonRefresh => {
            return Err(at.error(
                json.span(),
                "json",
                "`[json]` belongs to the dialect `json-refresh` only",
                "Remove the table, or set `dialect = \"json-refresh\"`",
            ));
        }
        Some(json) => json.into_inner(),
        None => JsonNames::default(),
    };
    for status in &raw.refused_statuses {
        if !(100..600).contains(status.get_ref()) {
            return Err(at.error(
                status.span(),
                "refused_statuses",
                &format!("{} is no HTTP status", status.get_ref()),
                "Use numbers from 100 to 599",
            ));
        }
    }
    let claims = raw
        .claims
        .into_iter()
        .map(|claim| check_claim(claim, &at))
        .collect::<Result<Vec<_>, _>>()?;
    let mut sources: Vec<String> = Vec::new();
    for source in claims.iter().flat_map(|claim| &claim.sources) {
        if !sources.contains(source) {
            sources.push(source.clone());
        }
    }
    Ok(Profile {
        name: raw.name.into_inner(),
        aliases: raw.aliases.into_iter().map(Spanned::into_inner).collect(),
        title: raw.title.into_inner(),
        dialect: raw.dialect,
        json,
        discovery: raw.discovery,
        endpoints,
        client_auth: raw.client_auth,
        flows: raw.flows,
        rotation,
        retry_unknown: raw.retry_unknown,
        lifetimes: raw.lifetimes,
        refused_statuses: raw
            .refused_statuses
            .into_iter()
            .map(Spanned::into_inner)
            .collect(),
        recognise: raw.recognise.check(&at)?,
        quirks: raw.quirks,
        status_page: raw.status_page,
        docs: raw.docs,
        claims,
        sources,
    })
}

fn check_names(raw: &Raw, at: &Place<'_>) -> Result<(), ProfileError> {
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
            return Err(at.error(
                name.span(),
                key,
                &format!("{:?} cannot be a profile's name", name.get_ref()),
                "Use lower-case letters, digits and hyphens",
            ));
        }
    }
    if raw.title.get_ref().trim().is_empty() {
        return Err(at.error(
            raw.title.span(),
            "title",
            "the title is empty",
            "Name the product",
        ));
    }
    Ok(())
}

fn rotation(raw: &Spanned<RawRotation>, at: &Place<'_>) -> Result<Rotation, ProfileError> {
    let RawRotation {
        kind,
        grace_seconds,
    } = raw.get_ref();
    if let Some(grace) = grace_seconds
        && *kind != Kind::Rotates
    {
        return Err(at.error(
            grace.span(),
            "grace_seconds",
            "`grace_seconds` goes with `kind = \"rotates\"` only",
            "Remove it, or change `kind`",
        ));
    }
    Ok(match kind {
        Kind::None => Rotation::None,
        Kind::Rotates => Rotation::Rotates {
            grace_seconds: grace_seconds.as_ref().map_or(0, |grace| *grace.get_ref()),
        },
        Kind::SameSuccessor => Rotation::SameSuccessor,
        Kind::ParentUntilChildUsed => Rotation::ParentUntilChildUsed,
        Kind::Strict => Rotation::Strict,
    })
}

fn check_endpoints(raw: RawEndpoints, at: &Place<'_>) -> Result<Endpoints, ProfileError> {
    let check = |key: &str, template: Option<Spanned<String>>| match template {
        Some(template) if !is_template(template.get_ref()) => Err(at.error(
            template.span(),
            key,
            &format!("{:?} is no endpoint template", template.get_ref()),
            "Write an absolute URL; `{issuer}` and `{rest}` may stand in it",
        )),
        template => Ok(template.map(Spanned::into_inner)),
    };
    Ok(Endpoints {
        token: check("token", raw.token)?,
        login: check("login", raw.login)?,
        authorization: check("authorization", raw.authorization)?,
        device_authorization: check("device_authorization", raw.device_authorization)?,
        revocation: check("revocation", raw.revocation)?,
        introspection: check("introspection", raw.introspection)?,
        validate: check("validate", raw.validate)?,
    })
}

fn is_template(text: &str) -> bool {
    let filled = text
        .replace("{issuer}", "https://issuer.example")
        .replace("{rest}", "https://issuer.example/wp-json");
    !filled.contains(['{', '}']) && url::Url::parse(&filled).is_ok_and(|url| url.has_host())
}

fn check_claim(claim: Spanned<Claim>, at: &Place<'_>) -> Result<Claim, ProfileError> {
    let span = claim.span();
    let claim = claim.into_inner();
    if claim.sources.is_empty() && !claim.unverified {
        return Err(at.error(
            span,
            "sources",
            &format!("the claim about `{}` names no source", claim.about),
            "Add `sources = [\"…\"]`, or `unverified = true`",
        ));
    }
    Ok(claim)
}

/// Turns offsets into lines and columns.
pub(super) struct Place<'a> {
    text: &'a str,
    file: &'a str,
}

impl Place<'_> {
    pub(super) fn error(
        &self,
        span: Range<usize>,
        key: &str,
        problem: &str,
        fix: &str,
    ) -> ProfileError {
        let (line, column) = self.position(span.start);
        ProfileError {
            file: self.file.to_owned(),
            line,
            column,
            key: Some(key.to_owned()),
            problem: problem.to_owned(),
            fix: fix.to_owned(),
        }
    }

    fn toml(&self, error: &toml::de::Error) -> ProfileError {
        let (line, column) = self.position(error.span().map_or(0, |span| span.start));
        let message = error.message();
        let mut quoted = message.split('`').skip(1).step_by(2);
        let unknown = message.starts_with("unknown ");
        let key = quoted
            .next()
            .filter(|_| unknown || message.starts_with("missing field"));
        let expected: Vec<&str> = quoted.collect();
        let fix = match (key, unknown) {
            (Some(key), true) => match nearest(key, expected.iter().copied()) {
                Some(name) => format!("Did you mean `{name}`?"),
                None => format!("Known here: {}", expected.join(", ")),
            },
            (Some(key), false) => format!("Add `{key} = …`"),
            (None, _) => "See the shipped profiles for the shape".to_owned(),
        };
        ProfileError {
            file: self.file.to_owned(),
            line,
            column,
            key: key.map(str::to_owned),
            problem: message.lines().next().unwrap_or_default().to_owned(),
            fix,
        }
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
