//! `[issuer]`: the token server that `tenure issuer` serves and looks after.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tenure_core::family;
use tenure_issuer::{Network, Options, WordPress};
use tenure_jose::Alg;
use tenure_keeper::checks;
use url::Url;

use super::origin::Sourced;
use super::reader::Table;
use super::secret::SecretSource;
use super::value::{self, Wrong};
use super::wordpress;
use crate::builtin::{ISSUER_ADMIN_PORT, ISSUER_PORT};

/// How long an access token lives where nothing is said.
const ACCESS_TTL: Duration = Duration::from_mins(5);

/// `[issuer]`.
#[derive(Clone, Debug)]
pub struct IssuerSection {
    /// What it calls itself, and the base of its endpoints.
    pub url: Sourced<Url>,
    /// Where it listens.
    pub listen: Sourced<SocketAddr>,
    /// Where the administrators' API listens, if it is served.
    pub admin_listen: Option<Sourced<SocketAddr>>,
    /// Where its state is.
    pub database: Database,
    /// The API its access tokens are for.
    pub audience: String,
    /// The scopes there are.
    pub scopes: Vec<String>,
    /// How long an access token lives.
    pub access_ttl: Duration,
    /// When a session ends that nobody uses; `None`: never.
    pub idle_lifetime: Option<Duration>,
    /// When a session ends whatever its use; `None`: never.
    pub session_lifetime: Option<Duration>,
    /// How long the token before still gets the same successor.
    pub rotation_window: Duration,
    /// What tokens are signed with.
    pub signing_alg: Alg,
    /// The WordPress plugin whose dialect it speaks, too.
    pub wordpress: Option<WordPress>,
    /// Whether DPoP proofs must carry a nonce from here.
    pub dpop_nonces: bool,
    /// Whether APIs report what they see in use.
    pub first_uses: bool,
    /// Whether a new password and a closed account end what there is.
    pub revoke_at_once: bool,
    /// Whether programs may register themselves with an administrator's token.
    pub registration: bool,
    /// The key that seals its keys.
    pub key_file: PathBuf,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether plain http to other machines is allowed.
    pub insecure: bool,
}

/// Where an issuer's state is.
#[derive(Clone, Debug)]
pub enum Database {
    /// In a SQLite file.
    Sqlite(PathBuf),
    /// On a PostgreSQL server whose address is a secret: it holds a password.
    Postgres(Sourced<SecretSource>),
}

/// Reads `[issuer]`. Its own files lie in the data directory; a secret's file is relative to the configuration.
pub fn read(table: Table<'_>, data: &Path, beside: &Path) -> Option<IssuerSection> {
    let insecure = table.boolean("insecure").unwrap_or(false);
    let url = table.parsed("url", |text| identifier(text, insecure));
    let listen = table.parsed("listen", |text| value::address(text, ISSUER_PORT));
    let admin_listen = table.parsed("admin_listen", |text| {
        value::address(text, ISSUER_ADMIN_PORT)
    });
    let database = database(&table, data, beside);
    let audience = table.parsed("audience", audience);
    let scopes = table.strings("scopes").unwrap_or_default();
    let access_ttl = table.parsed("access_ttl", lifetime);
    let rotation = family::Options::default();
    let idle_lifetime = table.parsed("idle_lifetime", end);
    let session_lifetime = table.parsed("session_lifetime", end);
    let rotation_window = table.parsed("rotation_window", window);
    let signing_alg = table.parsed("signing_alg", signing);
    let dpop_nonces = table.boolean("dpop_nonces").unwrap_or(false);
    let first_uses = table.boolean("first_uses").unwrap_or(false);
    let revoke_at_once = table.boolean("revoke_at_once").unwrap_or(true);
    let registration = table.boolean("registration").unwrap_or(false);
    let trusted_proxies = networks(&table);
    let wordpress = wordpress::read(&table);
    let key_file = table.string("key_file").map(|path| path.value);
    for (key, fix) in [
        (
            "url",
            "add url = \"https://id.example\": the address that clients and APIs know it by",
        ),
        (
            "audience",
            "add audience = \"https://api.example\": the API that its tokens are for",
        ),
    ] {
        if !table.has_any(&[key]) {
            table.wrong(format!("`issuer.{key}` is missing"), fix);
        }
    }
    table.finish(|_| None);
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, ISSUER_PORT));
    Some(IssuerSection {
        url: url?,
        listen: listen.unwrap_or_else(|| Sourced::default(local)),
        admin_listen,
        database: database?,
        audience: audience?.value,
        scopes,
        access_ttl: access_ttl.map_or(ACCESS_TTL, |ttl| ttl.value),
        idle_lifetime: idle_lifetime
            .map_or(rotation.idle_ms.map(Duration::from_millis), |end| end.value),
        session_lifetime: session_lifetime
            .map_or(rotation.absolute_ms.map(Duration::from_millis), |end| {
                end.value
            }),
        rotation_window: rotation_window
            .map_or(Duration::from_millis(rotation.window_ms), |window| {
                window.value
            }),
        signing_alg: signing_alg.map_or(Alg::Es256, |alg| alg.value),
        wordpress,
        dpop_nonces,
        first_uses,
        revoke_at_once,
        registration,
        key_file: data.join(key_file.as_deref().unwrap_or("issuer.key")),
        trusted_proxies,
        insecure,
    })
}

fn networks(table: &Table<'_>) -> Vec<Network> {
    const KEY: &str = "trusted_proxies";
    let texts = table.strings(KEY).unwrap_or_default();
    let read = texts.iter().filter_map(|text| match text.parse() {
        Ok(network) => Some(network),
        Err(error) => {
            let fix = "write addresses or ranges, for example [\"127.0.0.1\", \"10.0.0.0/8\"]";
            table.wrong_at(KEY, Wrong::new(format!("{text:?}: {error}"), fix));
            None
        }
    });
    read.collect()
}

/// RFC 8414 §2, and without a path: its endpoints lie at the root.
fn identifier(text: &str, insecure: bool) -> Result<Url, Wrong> {
    let wrong = |why: &str| {
        Wrong::new(
            format!("{text:?} {why}"),
            "write scheme, host and port only, for example \"https://id.example\"",
        )
    };
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no address: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        // The text is not repeated: it holds a password.
        return Err(Wrong::new(
            "an issuer's address has no user name and no password",
            "take them out",
        ));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("does not begin with https:// and a host"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than scheme, host and port"));
    }
    if url.scheme() == "http" && !insecure && !checks::is_loopback(&url) {
        return Err(Wrong::new(
            format!("{text:?} would have passwords and tokens sent over plain http"),
            "use https, with TLS ended in front of it; or set insecure = true if the network between is yours",
        ));
    }
    Ok(url)
}

fn audience(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new(
            "it is empty",
            "name the API that its tokens are for, for example \"https://api.example\"",
        ));
    }
    Ok(text.to_owned())
}

fn signing(text: &str) -> Result<Alg, Wrong> {
    Alg::parse(text)
        .filter(|alg| Options::SIGNING_ALGS.contains(alg))
        .ok_or_else(|| {
            Wrong::new(
                format!("{text:?} is no algorithm that tokens are signed with here"),
                "write \"ES256\", \"EdDSA\" or \"RS256\"",
            )
        })
}

/// Tokens tell time in seconds.
fn lifetime(text: &str) -> Result<Duration, Wrong> {
    let life = value::positive_duration(text)?;
    if life.subsec_millis() == 0 && life <= Duration::from_hours(24) {
        return Ok(life);
    }
    Err(Wrong::new(
        format!("{text:?} cannot be the lifetime of an access token"),
        "write whole seconds, at most a day, for example \"5m\"",
    ))
}

/// Of a session, or that it has none.
fn end(text: &str) -> Result<Option<Duration>, Wrong> {
    if text == "never" {
        return Ok(None);
    }
    value::positive_duration(text).map(Some)
}

fn window(text: &str) -> Result<Duration, Wrong> {
    let window = value::duration(text)?;
    if window <= Duration::from_hours(1) {
        return Ok(window);
    }
    Err(Wrong::new(
        format!("{text:?} is too long: for as long a copied refresh token goes unseen"),
        "write at most an hour, for example \"30s\"",
    ))
}

fn database(table: &Table<'_>, data: &Path, beside: &Path) -> Option<Database> {
    const KEY: &str = "database";
    let Some(found) = table.get(KEY) else {
        return Some(Database::Sqlite(data.join("issuer.db")));
    };
    let Some(text) = found.value.as_str() else {
        let source = SecretSource::from_table(table, KEY, beside)?;
        let source = Sourced::new(source, table.origin_of(KEY));
        return Some(Database::Postgres(source));
    };
    match sqlite(text, data) {
        Ok(path) => Some(Database::Sqlite(path)),
        Err(wrong) => {
            table.wrong_at(KEY, wrong);
            None
        }
    }
}

fn sqlite(text: &str, data: &Path) -> Result<PathBuf, Wrong> {
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.trim_start_matches('/').is_empty() => {
            Ok(data.join(path.strip_prefix("//").unwrap_or(path)))
        }
        // The address is not repeated: it may hold a password.
        Some(("postgres" | "postgresql", _)) => Err(Wrong::new(
            "the address of a PostgreSQL database must not be written into the configuration: it may hold a password",
            "say where it is: { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\"] }",
        )),
        _ => Err(Wrong::new(
            "this is no database",
            "write \"sqlite:FILE\", or { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\"] } for where the postgres:// address is",
        )),
    }
}
