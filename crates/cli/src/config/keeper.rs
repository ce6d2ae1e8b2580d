//! `[keeper]`: addresses, store, caller keys, default timing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tenure_core::Secret;
use tenure_gateway::CallerKey;
use tenure_keeper::Timing;
use tenure_store::KeySource;

use super::origin::{Origin, Sourced};
use super::reader::Table;
use super::secret::SecretSource;
use super::timing;
use super::value::{self, Wrong};

/// Port of the gateway.
pub const GATEWAY_PORT: u16 = 7878;
/// Port of the status page and the local API.
pub const ADMIN_PORT: u16 = 7879;

/// Keys of callers of the gateway, and where they are.
#[derive(Clone, Debug)]
pub struct CallerKeys {
    /// Whose key it is; `None` for the one source that may hold several, one a line.
    pub name: Option<String>,
    /// Where it is.
    pub source: SecretSource,
    /// Where it is written.
    pub origin: Origin,
}

impl CallerKeys {
    /// Reads the keys. Of several without a name, the first is called 1.
    pub fn read(&self) -> Result<Vec<CallerKey>, Wrong> {
        let text = self.source.read()?;
        let mut keys: Vec<&str> = Vec::new();
        for line in text.expose().lines().map(str::trim) {
            if !line.is_empty() && !keys.contains(&line) {
                keys.push(line);
            }
        }
        let named = |number: usize| match &self.name {
            Some(name) => name.clone(),
            None => (number + 1).to_string(),
        };
        match (keys.len(), &self.name) {
            (0, _) => Err(Wrong::new(
                "there is nothing but white space",
                "put the key there",
            )),
            (2.., Some(_)) => Err(Wrong::new(
                "there is more than one line",
                "a key with a name is one line; give each its own entry of `caller_keys`",
            )),
            _ => Ok(keys
                .into_iter()
                .enumerate()
                .map(|(number, key)| CallerKey::new(named(number), Secret::new(key)))
                .collect()),
        }
    }
}

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub enum StorePlace {
    /// In a file, for the processes of this host.
    Sqlite(PathBuf),
    /// On a PostgreSQL, Valkey or Redis server, for every host that has its address.
    Shared(Address),
}

/// The address of a database.
#[derive(Clone, Debug)]
pub enum Address {
    /// Written down, without a password.
    Here(String),
    /// Where it is written.
    Elsewhere(SecretSource),
}

impl Address {
    /// The address.
    ///
    /// # Errors
    /// When it cannot be read from where it is.
    pub fn read(&self) -> Result<Secret, Wrong> {
        match self {
            Self::Here(text) => Ok(Secret::new(text.clone())),
            Self::Elsewhere(source) => source.read(),
        }
    }
}

/// `[keeper]`.
#[derive(Clone, Debug)]
pub struct KeeperSection {
    /// Address of the gateway.
    pub listen: Sourced<SocketAddr>,
    /// Address of the status page and the local API; loopback only.
    pub admin: Sourced<SocketAddr>,
    /// Where sessions are kept.
    pub store: Sourced<StorePlace>,
    /// Refuse a server that may lose what it has acknowledged.
    pub require_durable: bool,
    /// Where the store's key comes from.
    pub store_key: KeySource,
    /// Keys that callers of the gateway must show. Required for any address but loopback.
    pub caller_keys: Vec<CallerKeys>,
    /// Times and limits of every session that does not set its own.
    pub timing: Timing,
}

impl KeeperSection {
    /// The defaults, with the store in the data directory.
    pub fn defaults(data: &Path) -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: Sourced::default(local(GATEWAY_PORT)),
            admin: Sourced::default(local(ADMIN_PORT)),
            store: Sourced::default(StorePlace::Sqlite(data.join("tenure.db"))),
            require_durable: false,
            store_key: KeySource::Auto,
            caller_keys: Vec::new(),
            timing: Timing::default(),
        }
    }
}

/// Reads `[keeper]`. Paths are relative: the store's to the data directory, the others to the file.
pub fn read(table: Table<'_>, data: &Path, beside: &Path) -> KeeperSection {
    let mut section = KeeperSection::defaults(data);
    if let Some(listen) = table.parsed("listen", |text| value::address(text, GATEWAY_PORT)) {
        section.listen = listen;
    }
    if let Some(admin) = table.parsed("admin", loopback_address) {
        section.admin = admin;
    }
    if let Some(store) = store(&table, data, beside) {
        section.store = store;
    }
    section.require_durable = table.boolean("require_durable").unwrap_or(false);
    section.store_key = store_key(&table, beside);
    section.caller_keys = caller_keys(&table, beside);
    if let Some(own) = table.table("timing") {
        section.timing = timing::read(own, &Timing::default());
    }
    if !section.listen.value.ip().is_loopback() && !table.has_any(&["caller_keys"]) {
        table.wrong_at(
            "listen",
            Wrong::new(
                format!("{} can be reached from other machines, and no caller keys are set", section.listen.value),
                "listen on 127.0.0.1, or set `caller_keys = { file = \"PATH\" }` so that not everybody can spend the sessions",
            ),
        );
    }
    if value::clash(section.listen.value, section.admin.value) {
        let key = if table.has_any(&["admin"]) {
            "admin"
        } else {
            "listen"
        };
        table.wrong_at(
            key,
            Wrong::new(
                format!("gateway and status page would both listen on port {}", section.admin.value.port()),
                format!("give them ports of their own, for example listen = \"127.0.0.1:{GATEWAY_PORT}\" and admin = \"127.0.0.1:{ADMIN_PORT}\""),
            ),
        );
    }
    table.finish(|key| {
        timing::KEYS
            .contains(&key)
            .then(|| format!("`{key}` belongs in [keeper.timing]"))
    });
    section
}

fn loopback_address(text: &str) -> Result<SocketAddr, Wrong> {
    let address = value::address(text, ADMIN_PORT)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(Wrong::new(
        format!("{address} can be reached from other machines"),
        "the status page and the local API are for this machine only: use 127.0.0.1 or [::1]",
    ))
}

/// What addresses of servers begin with.
const SERVERS: [&str; 6] = [
    "postgres",
    "postgresql",
    "valkey",
    "valkeys",
    "redis",
    "rediss",
];

fn store(table: &Table<'_>, data: &Path, beside: &Path) -> Option<Sourced<StorePlace>> {
    const KEY: &str = "store";
    let found = table.get(KEY)?;
    let place = match found.value.as_str() {
        Some(text) => store_place(text, data)
            .map_err(|wrong| table.wrong_at(KEY, wrong))
            .ok()?,
        None => StorePlace::Shared(Address::Elsewhere(SecretSource::from_table(
            table, KEY, beside,
        )?)),
    };
    Some(Sourced::new(place, table.origin_of(KEY)))
}

fn store_place(text: &str, data: &Path) -> Result<StorePlace, Wrong> {
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.trim_start_matches('/').is_empty() => {
            // `sqlite:///abs` and `sqlite:rel` are both in use.
            let path = path.strip_prefix("//").unwrap_or(path);
            Ok(StorePlace::Sqlite(data.join(path)))
        }
        // The address is not repeated: it may hold a password.
        Some((scheme, _)) if SERVERS.contains(&scheme) && has_password(text) => Err(Wrong::new(
            "an address with a password must not be written into the configuration",
            "say where it is: { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\"] }",
        )),
        Some((scheme, _)) if SERVERS.contains(&scheme) => {
            Ok(StorePlace::Shared(Address::Here(text.to_owned())))
        }
        _ => Err(Wrong::new(
            "this is no store",
            "write \"sqlite:FILE\", \"postgres://USER@HOST/DATABASE\" or \"valkey://HOST/NUMBER\", or say where an address with a password is: \
             { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\"] }",
        )),
    }
}

/// Whether there is something between the user and the host, or `password=` behind them. What cannot be read counts.
fn has_password(address: &str) -> bool {
    url::Url::parse(address).map_or(true, |url| {
        url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password")
    })
}

fn store_key(table: &Table<'_>, beside: &Path) -> KeySource {
    let Some(found) = table.get("store_key") else {
        return KeySource::Auto;
    };
    match found.value.as_str() {
        Some("auto") => KeySource::Auto,
        Some("keyring") => KeySource::Keyring,
        Some(_) => {
            table.wrong_at(
                "store_key",
                Wrong::new("this names no source of a key", "write \"auto\", \"keyring\", { file = \"PATH\" }, { env = \"NAME\" } or { command = [\"PROGRAM\"] }"),
            );
            KeySource::Auto
        }
        None => match SecretSource::from_table(table, "store_key", beside) {
            Some(SecretSource::Env(name)) => KeySource::Env(name),
            Some(SecretSource::File(path)) => KeySource::File(path),
            Some(SecretSource::Command(argv)) => KeySource::Command(argv),
            None => KeySource::Auto,
        },
    }
}

/// One source for all keys, or a list of keys with a name each.
fn caller_keys(table: &Table<'_>, beside: &Path) -> Vec<CallerKeys> {
    const KEY: &str = "caller_keys";
    if table.get(KEY).is_none_or(|found| !found.value.is_array()) {
        let source = SecretSource::from_table(table, KEY, beside);
        let keys = source.map(|source| CallerKeys {
            name: None,
            source,
            origin: table.origin_of(KEY),
        });
        return keys.into_iter().collect();
    }
    let list = table
        .list(KEY, || {
            let fix = "write { name = \"NAME\", file = \"PATH\" }, or env or command in the place of file";
            Wrong::new(SecretSource::in_the_open(KEY).what, fix)
        })
        .unwrap_or_default();
    if table
        .get(KEY)
        .is_some_and(|found| found.value.as_array().is_some_and(|list| list.is_empty()))
    {
        table.wrong_at(
            KEY,
            Wrong::new(
                "the list is empty: nobody could call",
                "add { name = \"NAME\", file = \"PATH\" }, or remove the key",
            ),
        );
    }
    let mut keys: Vec<CallerKeys> = Vec::new();
    for entry in list {
        let origin = entry.origin();
        let name = entry.string("name").map(|name| name.value);
        let source = SecretSource::within(&entry, beside);
        if let Some(wrong) = wrong_name(name.as_deref(), &entry, &keys) {
            entry.wrong_here(wrong);
        }
        entry.finish(|_| None);
        if let (Some(name), Some(source)) = (name, source) {
            keys.push(CallerKeys {
                name: Some(name),
                source,
                origin,
            });
        }
    }
    keys
}

/// A name says whose key it is, in messages and logs.
fn wrong_name(name: Option<&str>, entry: &Table<'_>, before: &[CallerKeys]) -> Option<Wrong> {
    let Some(name) = name else {
        // One of another type has been reported already.
        return (!entry.has_any(&["name"]))
            .then(|| Wrong::new("the key has no name", "add name = \"…\": whose key it is"));
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !(1..=63).contains(&name.len()) || !name.chars().all(fits) {
        return Some(Wrong::new(
            format!("{name:?} cannot be a key's name"),
            "use 1 to 63 letters, digits, `-`, `_` and `.`",
        ));
    }
    before
        .iter()
        .any(|key| key.name.as_deref() == Some(name))
        .then(|| {
            Wrong::new(
                format!("there is a key named {name:?} already"),
                "give every key a name of its own",
            )
        })
}
