//! Sealing a store anew with another key, while processes use it.
//!
//! A key file gets its new key in three durable steps: the new key is written beside it (`….new`), one
//! transaction seals every row with it, and the new file takes the old one's place. Whoever opens the store
//! between the last two steps finds the new key beside the old one and completes the third. Running processes
//! notice the new key id at their next write or read and take the key anew from their source.
//!
//! Key files change under a lock: of two rekeys the second waits, and seals anew what the first has sealed.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Transaction, params};
use serde::Serialize;
use tenure_core::Generation;

use crate::error::StoreError;
use crate::files;
use crate::keys::{self, KeySource, Wanted};
use crate::seal::{KeyId, Ring, Seal};
use crate::sqlite::open::{internal, key_check, retired_place, write_key};
use crate::sqlite::{Options, SqliteStore, sessions};
use crate::vault::{Field, Vault};

/// How long another rekey is waited for; each takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// What a rekey did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RekeyReport {
    /// Id of the key that was replaced.
    pub old_key: String,
    /// Id of the key in use now.
    pub new_key: String,
    /// Where the new key is, for people.
    pub source: String,
    /// Sessions sealed anew.
    pub resealed: Vec<String>,
    /// Sessions that could not be opened with the old key and were left as they are, with the reason.
    pub left: Vec<(String, String)>,
}

/// The key to come, and the file it still has to move into.
struct Next {
    seal: Seal,
    source: String,
    move_into: Option<PathBuf>,
}

/// The right to change the store's key files. The file stays; the system drops the lock with its holder.
#[derive(Debug)]
pub(crate) struct RekeyLock {
    _file: File,
}

impl RekeyLock {
    /// Waits for whoever has it.
    fn wait(database: &Path) -> Result<Self, StoreError> {
        let start = Instant::now();
        while start.elapsed() < LOCK_WAIT {
            if let Some(lock) = Self::try_take(database)? {
                return Ok(lock);
            }
            std::thread::sleep(LOCK_LOOK);
        }
        Err(StoreError::Rekeying {
            path: database.to_owned(),
            waited_ms: u64::try_from(LOCK_WAIT.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Takes it if nobody has it.
    pub(crate) fn try_take(database: &Path) -> Result<Option<Self>, StoreError> {
        let path = files::beside(database, ".rekey");
        let unusable = |error: &std::io::Error| {
            StoreError::from_io(&path, "locking the store's key files", error)
        };
        let file = files::open_private(&path).map_err(|error| unusable(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(unusable(&error)),
        }
    }
}

/// Seals the store anew with a key from `target`. For a file that is new, or holds the present key, a fresh
/// key is made; every other source must hold the new key already.
///
/// # Errors
/// What opening the store says; [`StoreError::Key`] when the target holds no key, or the present one.
pub fn rekey(options: Options, target: &KeySource) -> Result<RekeyReport, StoreError> {
    let faults = options.faults.clone();
    let store = SqliteStore::open(options)?;
    let lock = RekeyLock::wait(store.db().path())?;
    // The key found at the opening may be one that another rekey has replaced meanwhile.
    let old = store.unlock_under(&lock)?;
    let next = next_key(&store, target, old.key_id())?;
    faults.point("store.rekey.made")?;
    let (new_id, source) = (next.seal.id(), next.source);
    let report = reseal(&store, Arc::clone(&old), next.seal)?;
    faults.point("store.rekey.sealed")?;
    if let Some(file) = &next.move_into {
        keys::install_successor(file)?;
    }
    // So that nothing sealed with the old key stays behind in the write-ahead log.
    store.db().checkpoint()?;
    let (resealed, left) = report;
    Ok(RekeyReport {
        old_key: old.key_id().to_string(),
        new_key: new_id.to_string(),
        source,
        resealed,
        left,
    })
}

fn next_key(store: &SqliteStore, target: &KeySource, old: KeyId) -> Result<Next, StoreError> {
    let default = keys::default_file(store.db().path());
    let file = match target {
        KeySource::Auto => Some(default.as_path()),
        KeySource::File(path) => Some(path.as_path()),
        _ => None,
    };
    match file {
        Some(file) => next_in_file(store, file, old),
        None => next_elsewhere(store, target, old),
    }
}

fn next_in_file(store: &SqliteStore, file: &Path, old: KeyId) -> Result<Next, StoreError> {
    let source = KeySource::File(file.to_owned());
    if file.exists() {
        let found = look(store, &source)?;
        if found.seal.id() != old {
            return Ok(Next {
                seal: found.seal,
                source: found.source,
                move_into: None,
            });
        }
    }
    let key = keys::fresh_key().map_err(|error| internal(store.db(), &error))?;
    let beside = keys::successor(file);
    files::write_atomically(&beside, &keys::file_text(&key))
        .map_err(|error| StoreError::from_io(&beside, "writing the new key", &error))?;
    Ok(Next {
        seal: Seal::new(&key),
        source: source.to_string(),
        move_into: Some(file.to_owned()),
    })
}

fn next_elsewhere(store: &SqliteStore, target: &KeySource, old: KeyId) -> Result<Next, StoreError> {
    let found = look(store, target)?;
    if found.seal.id() == old {
        return Err(StoreError::Key {
            source_name: target.to_string(),
            detail: format!("it holds the present key {old}"),
            fix: Some("put the new key there first".to_owned()),
        });
    }
    Ok(Next {
        seal: found.seal,
        source: found.source,
        move_into: None,
    })
}

fn look(store: &SqliteStore, source: &KeySource) -> Result<keys::Found, StoreError> {
    Wanted {
        database: store.db().path(),
        store_id: store.store_id(),
        source,
        around: &store.options().around,
        expected: None,
    }
    .find()
}

type Resealed = (Vec<String>, Vec<(String, String)>);

/// One transaction: every row, the retired keys and the key's name change together.
fn reseal(store: &SqliteStore, old: Arc<Vault>, next: Seal) -> Result<Resealed, StoreError> {
    let new = Vault {
        store_id: old.store_id.clone(),
        ring: Ring {
            current: next,
            retired: Vec::new(),
        },
        source: String::new(),
        skipped: Vec::new(),
    };
    let check = key_check(&old.store_id, &new.ring.current)
        .map_err(|error| internal(store.db(), &error))?;
    store
        .db()
        .write_blocking(move |tx| {
            if !sessions::same_key(tx, &old)? {
                return Ok(None);
            }
            let mut resealed: Resealed = Default::default();
            for row in sessions::all(tx)? {
                match reseal_row(tx, &old, &new, &row)? {
                    Ok(()) => resealed.0.push(row.name),
                    Err(why) => resealed.1.push((row.name, why)),
                }
            }
            retire(tx, &old, &new)?;
            write_key(tx, new.key_id(), &check)?;
            Ok(Some(resealed))
        })?
        .ok_or_else(|| StoreError::Key {
            source_name: "this store".to_owned(),
            detail: "another process rekeyed it at the same moment".to_owned(),
            fix: Some("look with `tenure store check`".to_owned()),
        })
}

fn reseal_row(
    tx: &Transaction<'_>,
    old: &Vault,
    new: &Vault,
    row: &sessions::Row,
) -> rusqlite::Result<Result<(), String>> {
    let generation = Generation(row.generation);
    let pair = row.pair.as_ref().map(|sealed| {
        let pair = old.open_pair(Field::Pair, &row.name, generation, sealed)?;
        new.seal_pair(Field::Pair, &row.name, generation, &pair)
    });
    let login = row.login.as_ref().map(|sealed| {
        let login = old.open_login(&row.name, sealed)?;
        new.seal_login(&row.name, &login)
    });
    let (pair, login) = match (pair.transpose(), login.transpose()) {
        (Ok(pair), Ok(login)) => (pair, login),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(error.to_string())),
    };
    tx.execute(
        "UPDATE sessions SET pair = ?2, login = ?3 WHERE name = ?1",
        params![row.name, pair, login],
    )?;
    Ok(Ok(()))
}

/// Keeps the old keys, sealed with the new one: a process that has not noticed yet may fill a spare slot.
fn retire(tx: &Transaction<'_>, old: &Vault, new: &Vault) -> rusqlite::Result<()> {
    for seal in old.ring.retired.iter().chain([&old.ring.current]) {
        let id = seal.id().to_string();
        let place = retired_place(&new.store_id, &id);
        let sealed = new
            .ring
            .current
            .seal(&place, seal.raw())
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        tx.execute(
            "INSERT INTO retired_keys (id, sealed) VALUES (?1, ?2) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed",
            params![id, sealed],
        )?;
    }
    // A key that comes back into use is no retired one.
    tx.execute(
        "DELETE FROM retired_keys WHERE id = ?1",
        [new.key_id().to_string()],
    )?;
    Ok(())
}
