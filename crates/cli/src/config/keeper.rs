//! `[keeper]`: addresses, store, caller keys, default timing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tenure_keeper::Timing;
use tenure_store::KeySource;

use super::origin::Sourced;
use super::reader::Table;
use super::secret::SecretSource;
use super::timing;
use super::value::{self, Wrong};

/// Port of the gateway.
pub const GATEWAY_PORT: u16 = 7878;
/// Port of the status page and the local API.
pub const ADMIN_PORT: u16 = 7879;

/// `[keeper]`.
#[derive(Clone, Debug)]
pub struct KeeperSection {
    /// Address of the gateway.
    pub listen: Sourced<SocketAddr>,
    /// Address of the status page and the local API; loopback only.
    pub admin: Sourced<SocketAddr>,
    /// The SQLite file.
    pub store: Sourced<PathBuf>,
    /// Where the store's key comes from.
    pub store_key: KeySource,
    /// Keys that callers of the gateway must show. Required for any address but loopback.
    pub caller_keys: Vec<SecretSource>,
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
            store: Sourced::default(data.join("tenure.db")),
            store_key: KeySource::Auto,
            caller_keys: Vec::new(),
            timing: Timing::default(),
        }
    }
}

/// Reads `[keeper]`. Paths are relative: the store's to the data directory, the others to the file.
pub fn read(table: Table<'_>, data: &Path, beside: &Path) -> KeeperSection {
    let mut section = KeeperSection::defaults(data);
    if let Some(listen) = table.parsed("listen", value::address) {
        section.listen = listen;
    }
    if let Some(admin) = table.parsed("admin", loopback_address) {
        section.admin = admin;
    }
    if let Some(store) = table.parsed("store", |text| sqlite_path(text, data)) {
        section.store = store;
    }
    section.store_key = store_key(&table, beside);
    section.caller_keys = caller_keys(&table, beside);
    if let Some(own) = table.table("timing") {
        section.timing = timing::read(own, &Timing::default());
    }
    if !section.listen.value.ip().is_loopback() && section.caller_keys.is_empty() {
        table.wrong_at(
            "listen",
            Wrong::new(
                format!("{} can be reached from other machines, and no caller keys are set", section.listen.value),
                "listen on 127.0.0.1, or set `caller_keys = { file = \"PATH\" }` so that not everybody can spend the sessions",
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
    let address = value::address(text)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(Wrong::new(
        format!("{address} can be reached from other machines"),
        "the status page and the local API are for this machine only: use 127.0.0.1 or [::1]",
    ))
}

fn sqlite_path(text: &str, data: &Path) -> Result<PathBuf, Wrong> {
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.trim_start_matches('/').is_empty() => {
            // `sqlite:///abs` and `sqlite:rel` are both in use.
            let path = path.strip_prefix("//").unwrap_or(path);
            Ok(data.join(path))
        }
        Some((scheme @ ("postgres" | "postgresql" | "valkey" | "redis"), _)) => {
            // The URL is not repeated: it may hold a password.
            Err(Wrong::new(
                format!("a {scheme} store is not part of this version"),
                "use \"sqlite:tenure.db\"",
            ))
        }
        _ => Err(Wrong::new(
            "this is no store",
            "write \"sqlite:FILE\", for example \"sqlite:tenure.db\"",
        )),
    }
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

fn caller_keys(table: &Table<'_>, beside: &Path) -> Vec<SecretSource> {
    SecretSource::from_table(table, "caller_keys", beside)
        .into_iter()
        .collect()
}
