//! Importing a token response that somebody already holds (DESIGN §12).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tenure_core::{Anchor, Class, Code, Failure, Generation, Heal, Secret, Who};
use tenure_diagnose::name::nearest;
use tenure_wire::Granted;

use super::NewLogin;
use crate::clock;
use crate::config::SessionConfig;
use crate::exchange::{self, Defaults};

/// What an import holds.
#[derive(Debug)]
pub enum Import {
    /// Tokens.
    Login(NewLogin),
    /// A name and a password to log in with.
    Password {
        /// The account.
        username: String,
        /// Its password.
        password: Secret,
    },
}

/// The fields that are read. Servers add others of their own, which a client ignores (RFC 6749 §5.1).
#[derive(Deserialize)]
struct File {
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<i64>,
    /// Seconds since the epoch by the server's clock.
    expires_at: Option<i64>,
    /// Seconds since the epoch at which the response was received.
    obtained_at: Option<i64>,
    #[serde(alias = "refresh_token_expires_in")]
    refresh_expires_in: Option<i64>,
    /// Cookies by name, or one `name=value; …` line; the refresh cookie is taken out of them.
    cookies: Option<Cookies>,
    username: Option<String>,
    password: Option<String>,
    scope: Option<String>,
}

/// Names that are no slip of the pen. Entra ID's `ext_expires_in` is among them, so near as it is to another.
const KNOWN: [&str; 14] = [
    "access_token",
    "refresh_token",
    "expires_in",
    "expires_at",
    "obtained_at",
    "refresh_expires_in",
    "refresh_token_expires_in",
    "ext_expires_in",
    "cookies",
    "username",
    "password",
    "scope",
    "token_type",
    "id_token",
];

#[derive(Deserialize)]
#[serde(untagged)]
enum Cookies {
    Line(String),
    Map(BTreeMap<String, String>),
}

impl Cookies {
    fn get(&self, name: &str) -> Option<String> {
        match self {
            Cookies::Map(map) => map.get(name).cloned(),
            Cookies::Line(line) => line
                .split(';')
                .filter_map(|part| part.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned()),
        }
    }
}

/// The cookie that carries the refresh token where a dialect uses one (usefulteam/jwt-auth 3).
const REFRESH_COOKIE: &str = "refresh_token";

/// Reads an import. The JSON is a token response, or `{"username","password"}` for a password dialect.
///
/// # Errors
/// When it is not such JSON; the message never repeats a value.
pub fn import(config: &SessionConfig, json: &str) -> Result<Import, Failure> {
    let unreadable = |error: serde_json::Error| {
        // serde's own text may quote a value; line and column are enough to find the place.
        let what = if error.is_data() {
            "it is no object, or a field is of the wrong type"
        } else {
            "it is not valid JSON"
        };
        bad(
            config,
            format!("{what} (line {}, column {})", error.line(), error.column()),
        )
    };
    if let Some(meant) = misspelt(json).map_err(unreadable)? {
        // Not even the name is repeated: who mixes up the fields may have put a token there.
        return Err(bad(
            config,
            format!("a field is named almost like `{meant}`, which is missing; correct its name"),
        ));
    }
    let file: File = serde_json::from_str(json).map_err(unreadable)?;
    if let (Some(username), Some(password)) = (&file.username, &file.password) {
        return Ok(Import::Password {
            username: username.clone(),
            password: Secret::new(password.clone()),
        });
    }
    let renewer = file
        .refresh_token
        .or_else(|| {
            file.cookies
                .as_ref()
                .and_then(|cookies| cookies.get(REFRESH_COOKIE))
        })
        .filter(|token| !token.is_empty());
    let access = file.access_token.filter(|token| !token.is_empty());
    if access.is_none() && renewer.is_none() {
        return Err(bad(
            config,
            "access_token is missing; give a token response, a refresh_token, or username and password"
                .to_owned(),
        ));
    }
    let bare = access.is_none();
    let access = access.unwrap_or_default();
    let now = clock::now();
    let gone_ms = file
        .obtained_at
        .map_or(0, |at| now.wall.0.saturating_sub(at.saturating_mul(1_000)));
    let gone_ms = u64::try_from(gone_ms).unwrap_or(0);
    let anchor = Anchor {
        boot: clock::boot_id(),
        // Older than this boot: the wall clock is all there is.
        mono: now.mono.minus(gone_ms),
        wall: tenure_core::Wall(now.wall.0 - gone_ms as i64),
        server: None,
    };
    let anchor = if gone_ms > now.mono.0 {
        Anchor {
            boot: tenure_core::BootId::default(),
            ..anchor
        }
    } else {
        anchor
    };
    let mut granted = Granted::new(Secret::new(access), anchor.wall.0.div_euclid(1_000));
    granted.stated.expires_in = file.expires_in;
    granted.stated.expires_at = file.expires_at;
    granted.refresh = renewer.map(Secret::new);
    granted.refresh_expires_in = file.refresh_expires_in;
    granted.scope = file.scope;
    // How long such tokens live says nothing of one that is of no known age.
    let usual = file.obtained_at.and(config.profile.lifetimes.access_s);
    let defaults = Defaults {
        access_s: config
            .endpoints
            .known()
            .expires_in_default
            .or(exchange::seconds(usual)),
        refresh_s: None,
        learned_s: None,
    };
    let mut pair = exchange::pair(&granted, Generation(0), anchor, defaults, None);
    if bare {
        // A refresh token alone: there is nothing to serve until its first exchange.
        pair.access_ms = Some(0);
    }
    Ok(Import::Login(NewLogin { pair, stored: None }))
}

/// The missing field that an unknown one must have been meant for: it is not to be lost in silence.
fn misspelt(json: &str) -> Result<Option<&'static str>, serde_json::Error> {
    #[expect(
        clippy::zero_sized_map_values,
        reason = "serde reads a JSON object into a map only"
    )]
    let fields: BTreeMap<String, IgnoredAny> = serde_json::from_str(json)?;
    // One of the two says enough.
    let ends = ["expires_in", "expires_at"];
    let has_end = ends.iter().any(|end| fields.contains_key(*end));
    let missing = || {
        KNOWN
            .into_iter()
            .filter(|known| !(fields.contains_key(*known) || has_end && ends.contains(known)))
    };
    let mut unknown = fields.keys().filter(|name| !KNOWN.contains(&name.as_str()));
    Ok(unknown.find_map(|name| nearest(name, missing())))
}

fn bad(config: &SessionConfig, why: String) -> Failure {
    Failure::new(
        Code::InvalidRequest,
        Class::BadRequest,
        "import_unreadable",
        Heal::FixConfig,
        Who::Operator,
        format!(
            "the import for session {} cannot be read: {why}",
            config.name
        ),
    )
    .with_rule("keeper.import")
}
