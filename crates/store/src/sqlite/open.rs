//! Opening a session store: schema, key, holder, and whether the store was rolled back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::{Connection, Transaction};
use tenure_core::Generation;

use super::db::Db;
use super::schema::{APPLICATION_ID, MIGRATIONS};
use super::sessions;
use crate::clock;
use crate::error::StoreError;
use crate::fault::FaultPlan;
use crate::files;
use crate::holder::Holder;
use crate::incarnation::{self, Incarnation};
use crate::keys::{self, Found, KeySource, Surroundings, Wanted};
use crate::record::Suspect;
use crate::rekey::RekeyLock;
use crate::seal::{KEY_LEN, KeyId, Ring, Seal, decode_hex, encode_hex, place, random};
use crate::spare::Spares;
use crate::vault::Vault;

/// How to open a store.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The database file. Other files of the store lie beside it under the same name with a suffix.
    pub path: PathBuf,
    /// Where the key comes from.
    pub key: KeySource,
    /// What the caller knows of the surroundings.
    pub around: Surroundings,
    /// Faults that tests ask for.
    pub faults: FaultPlan,
}

impl Options {
    /// A store at `path` with the key from the usual places.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }
}

/// A session store in one SQLite file, which several processes of one host may share.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) db: Db,
    pub(super) options: Options,
    pub(super) holder: Arc<Holder>,
    /// The boot that leases count in, as stored.
    pub(super) boot: Arc<str>,
    pub(super) spares: Spares,
    pub(super) store_id: String,
    vault: RwLock<Arc<Vault>>,
    rolled_back: Option<String>,
}

impl SqliteStore {
    /// Opens the store, made if it is not there. Blocks for as long as another process holds the write lock
    /// or a key helper runs.
    ///
    /// # Errors
    /// What [`Db::open`] says; [`StoreError::WrongKey`], [`StoreError::KeyMissing`] and [`StoreError::Key`]
    /// for the key.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let path = options.path.clone();
        let db = Db::open(&path, MIGRATIONS, APPLICATION_ID)?;
        let store_id = store_id(&db)?;
        let vault = unlock(&db, &store_id, &options)?;
        let holder = Holder::register(&files::beside(&path, ".holders"))
            .map_err(|error| StoreError::from_io(&path, "registering as a lease holder", &error))?;
        let rolled_back = notice_rollback(&db, &store_id)?;
        Ok(Self {
            db,
            options,
            holder: Arc::new(holder),
            boot: format!("{:032x}", clock::boot_id().0).into(),
            spares: Spares::new(&path),
            store_id,
            vault: RwLock::new(Arc::new(vault)),
            rolled_back,
        })
    }

    /// Whether this opening found the store restored or rolled back; its sessions are then `suspect`.
    pub fn rolled_back(&self) -> bool {
        self.rolled_back.is_some()
    }

    /// What was found, for people, if the store was restored or rolled back.
    pub fn rollback_evidence(&self) -> Option<&str> {
        self.rolled_back.as_deref()
    }

    /// The key source in use, for people.
    pub fn key_source(&self) -> String {
        self.vault().source.clone()
    }

    /// Key sources that were passed over, and why.
    pub fn key_sources_skipped(&self) -> Vec<String> {
        self.vault().skipped.clone()
    }

    /// The database beneath, for tests and tools.
    pub fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) fn store_id(&self) -> &str {
        &self.store_id
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the key anew while nobody else changes it.
    pub(crate) fn unlock_under(&self, lock: &RekeyLock) -> Result<Arc<Vault>, StoreError> {
        let current = key_id(&self.db)?;
        if let (Some(file), Some(current)) = (key_file(&self.db, &self.options), current) {
            settle(lock, &file, current)?;
        }
        let vault = unlock(&self.db, &self.store_id, &self.options)?;
        Ok(self.set_vault(vault))
    }

    pub(super) fn set_vault(&self, vault: Vault) -> Arc<Vault> {
        let vault = Arc::new(vault);
        *self.vault.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&vault);
        vault
    }

    /// Tells the file outside the database that a pair was saved.
    pub(crate) fn advance(&self, saves: u64) {
        let path = incarnation_path(self.db.path());
        if let Err(error) = incarnation::advance(&path, &self.store_id, saves) {
            tracing::warn!(path = %path.display(), %error, "a later roll-back of the store may go unnoticed");
        }
    }
}

pub(crate) fn incarnation_path(database: &Path) -> PathBuf {
    files::beside(database, ".incarnation")
}

/// The store's identity, given once.
fn store_id(db: &Db) -> Result<String, StoreError> {
    let fresh = random::<16>().map_err(|error| internal(db, &error))?;
    db.write_blocking(move |tx| {
        if let Some(id) = sessions::meta(tx, "store_id")? {
            return Ok(id);
        }
        let id = encode_hex(&fresh);
        sessions::set_meta(tx, "store_id", &id)?;
        Ok(id)
    })
}

/// How often the key is looked for when it is not the store's: a rekey may have come between two looks.
const LOOKS: usize = 3;
/// The same while every look finds the store sealed with yet another key.
const LOOKS_AT_CHANGES: usize = 50;

/// Finds the key and proves that it is the right one.
pub(crate) fn unlock(db: &Db, store_id: &str, options: &Options) -> Result<Vault, StoreError> {
    let mut changes = 0;
    let mut looks = 0;
    loop {
        let expected = key_id(db)?;
        let looked = look(db, store_id, options, expected);
        if looked.is_ok() {
            return looked;
        }
        if expected != key_id(db)? && changes < LOOKS_AT_CHANGES {
            (changes, looks) = (changes + 1, 0);
            continue;
        }
        looks += 1;
        let missed = matches!(
            looked,
            Err(StoreError::WrongKey { .. } | StoreError::KeyMissing { .. })
        );
        if !missed || key_file(db, options).is_none() || looks == LOOKS {
            return looked;
        }
    }
}

/// One look: the key that is expected, or the first of a new store.
fn look(
    db: &Db,
    store_id: &str,
    options: &Options,
    expected: Option<KeyId>,
) -> Result<Vault, StoreError> {
    let mut found = find(db, store_id, options, expected)?;
    if expected.is_none() {
        let set = set_first_key(db, store_id, &found.seal)?;
        if set != found.seal.id() {
            // Another process was faster, with a key of its own.
            found = find(db, store_id, options, Some(set))?;
        }
    }
    settle_successor(db, options, &mut found)?;
    let retired = check_and_read_retired(db, store_id, &found.seal)?;
    Ok(Vault {
        store_id: store_id.to_owned(),
        ring: Ring {
            current: found.seal,
            retired,
        },
        source: found.source,
        skipped: found.skipped,
    })
}

fn find(
    db: &Db,
    store_id: &str,
    options: &Options,
    expected: Option<KeyId>,
) -> Result<Found, StoreError> {
    Wanted {
        database: db.path(),
        store_id,
        source: &options.key,
        around: &options.around,
        expected,
    }
    .find()
}

/// The key the store is sealed with; `None` for a new store.
pub(crate) fn key_id(db: &Db) -> Result<Option<KeyId>, StoreError> {
    let Some(text) = db.read_blocking(|conn| sessions::meta(conn, "key_id"))? else {
        return Ok(None);
    };
    KeyId::parse(&text)
        .map(Some)
        .ok_or_else(|| StoreError::Corrupt {
            path: db.path().to_owned(),
            detail: format!("the key id {text:?} in it is none"),
        })
}

fn set_first_key(db: &Db, store_id: &str, seal: &Seal) -> Result<KeyId, StoreError> {
    let id = seal.id();
    let check = key_check(store_id, seal).map_err(|error| internal(db, &error))?;
    let text = db.write_blocking(move |tx| {
        if let Some(id) = sessions::meta(tx, "key_id")? {
            return Ok(id);
        }
        write_key(tx, id, &check)?;
        Ok(id.to_string())
    })?;
    Ok(KeyId::parse(&text).unwrap_or(id))
}

/// Names the store's key, with a value that proves it.
pub(crate) fn write_key(tx: &Transaction<'_>, id: KeyId, check: &str) -> rusqlite::Result<()> {
    sessions::set_meta(tx, "key_id", &id.to_string())?;
    sessions::set_meta(tx, "key_check", check)
}

/// A sealed value that only the right key opens.
pub(crate) fn key_check(store_id: &str, seal: &Seal) -> Result<String, crate::SealError> {
    let sealed = seal.seal(&place(store_id, "", "key check", 0), b"tenure")?;
    Ok(encode_hex(&sealed))
}

/// The file the key is in, where it is in one.
fn key_file(db: &Db, options: &Options) -> Option<PathBuf> {
    match &options.key {
        KeySource::Auto => Some(keys::default_file(db.path())),
        KeySource::File(path) => Some(path.clone()),
        _ => None,
    }
}

/// A rekey that was interrupted between the database and the key file is completed. One that runs does so itself.
fn settle_successor(db: &Db, options: &Options, found: &mut Found) -> Result<(), StoreError> {
    let Some(file) = key_file(db, options) else {
        return Ok(());
    };
    if found.file.as_deref() != Some(&keys::successor(&file)) {
        return Ok(());
    }
    let Some(lock) = RekeyLock::try_take(db.path())? else {
        return Ok(());
    };
    settle(&lock, &file, found.seal.id())?;
    found.source = KeySource::File(file.clone()).to_string();
    found.file = Some(file);
    Ok(())
}

/// Puts the successor in the key file's place if it holds the store's key.
fn settle(_lock: &RekeyLock, file: &Path, current: KeyId) -> Result<(), StoreError> {
    if keys::id_in(&keys::successor(file))? == Some(current) {
        keys::install_successor(file)?;
    }
    Ok(())
}

/// Opens the check value and the retired keys.
fn check_and_read_retired(db: &Db, store_id: &str, seal: &Seal) -> Result<Vec<Seal>, StoreError> {
    let rows = db.read_blocking(key_rows)?;
    open_keys(db.path(), store_id, seal, rows)
}

/// The key's check value, and the retired keys with their ids.
pub(crate) type KeyRows = (Option<String>, Vec<(String, Vec<u8>)>);

pub(crate) fn key_rows(conn: &Connection) -> rusqlite::Result<KeyRows> {
    let check = sessions::meta(conn, "key_check")?;
    let retired = conn
        .prepare("SELECT id, sealed FROM retired_keys ORDER BY id")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok((check, retired))
}

/// Proves the key on its check value and opens the retired ones with it.
pub(crate) fn open_keys(
    path: &Path,
    store_id: &str,
    seal: &Seal,
    (check, retired): KeyRows,
) -> Result<Vec<Seal>, StoreError> {
    let damaged = |what: &str| StoreError::Corrupt {
        path: path.to_owned(),
        detail: format!("{what} cannot be opened with key {}", seal.id()),
    };
    check
        .and_then(|check| decode_hex(&check))
        .and_then(|sealed| {
            seal.open(&place(store_id, "", "key check", 0), &sealed)
                .ok()
        })
        .ok_or_else(|| damaged("the key's check value"))?;
    let open = |(id, sealed): (String, Vec<u8>)| {
        let key = seal.open(&retired_place(store_id, &id), &sealed).ok()?;
        Some(Seal::new(<&[u8; KEY_LEN]>::try_from(&key[..]).ok()?))
    };
    retired
        .into_iter()
        .map(|row| open(row).ok_or_else(|| damaged("a retired key")))
        .collect()
}

/// Where a retired key is sealed.
pub(crate) fn retired_place(store_id: &str, id: &str) -> Vec<u8> {
    place(store_id, id, "retired key", 0)
}

/// Compares the database with the count kept outside it. A database from the past has all its sessions marked
/// `suspect`, in one transaction with a count that makes the alarm ring once.
fn notice_rollback(db: &Db, store_id: &str) -> Result<Option<String>, StoreError> {
    let path = incarnation_path(db.path());
    let outside = incarnation::read(&path)
        .map_err(|error| StoreError::from_io(&path, "reading it", &error))?;
    let inside = db.read_blocking(sessions::saves)?;
    let evidence = rollback(outside.as_ref(), store_id, inside);
    let floor = outside
        .filter(|outside| outside.store_id == store_id)
        .map_or(0, |outside| outside.saves);
    let saves = match &evidence {
        None => inside,
        Some(evidence) => {
            tracing::warn!(store = %db.path().display(), evidence, "the store was restored or rolled back");
            db.write_blocking(move |tx| mark_suspect(tx, floor))?
        }
    };
    match incarnation::advance(&path, store_id, saves) {
        // Somebody else is writing it at this moment, and every count they write is as good.
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        other => other.map_err(|error| StoreError::from_io(&path, "writing it", &error))?,
    }
    Ok(evidence)
}

pub(crate) fn rollback(
    outside: Option<&Incarnation>,
    store_id: &str,
    inside: u64,
) -> Option<String> {
    match outside {
        None if inside == 0 => None,
        None => Some("the file that counts saved pairs is missing".to_owned()),
        Some(outside) if outside.store_id != store_id => (inside > 0)
            .then(|| "the file that counts saved pairs belongs to another store".to_owned()),
        Some(outside) => (outside.saves > inside).then(|| {
            format!(
                "{} pairs were saved, and the database knows of {inside}",
                outside.saves
            )
        }),
    }
}

fn mark_suspect(tx: &Transaction<'_>, floor: u64) -> rusqlite::Result<u64> {
    tx.execute(
        "UPDATE sessions SET suspect = ?1 WHERE pair IS NOT NULL",
        [Suspect::Restored.stored()],
    )?;
    let saves = sessions::saves(tx)?.max(floor) + 1;
    sessions::set_meta(tx, "saves", &saves.to_string())?;
    Ok(saves)
}

pub(crate) fn internal(db: &Db, error: &crate::SealError) -> StoreError {
    StoreError::Internal {
        path: db.path().to_owned(),
        detail: error.to_string(),
    }
}

/// A spare pair of a generation newer than the row's.
pub(super) fn is_newer(spare: u64, row: Option<&sessions::Row>) -> bool {
    Generation(spare) > Generation(row.map_or(0, |row| row.generation))
}
