//! Looking a store over without changing it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use tenure_core::Generation;

use crate::clock;
use crate::error::StoreError;
use crate::files;
use crate::holder;
use crate::incarnation;
use crate::keys::{KeySource, Surroundings, Wanted};
use crate::record::Suspect;
use crate::seal::{KeyId, Ring};
use crate::spare::Spares;
use crate::sqlite::open::{incarnation_path, key_rows, open_keys, rollback};
use crate::sqlite::{APPLICATION_ID, MIGRATIONS, db, sessions};
use crate::vault::{Field, Vault};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The database.
    pub path: PathBuf,
    /// Whether nothing needs anybody's attention: `problems` is empty.
    pub ok: bool,
    /// Everything that does, each with what to do.
    pub problems: Vec<Finding>,
    /// The schema's version.
    pub schema_version: i64,
    /// The key, where it was found, and what was passed over.
    pub key: KeyCheck,
    /// Every session.
    pub sessions: Vec<SessionCheck>,
    /// Pairs that wait in a spare slot.
    pub spares: Vec<SpareCheck>,
    /// Values that could not be opened when a login took their place.
    pub kept: i64,
    /// Stored events.
    pub events: i64,
}

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong and where.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
}

impl Finding {
    fn new(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            fix: Some(fix.into()),
        }
    }
}

impl From<&StoreError> for Finding {
    fn from(error: &StoreError) -> Self {
        Self {
            message: error.to_string(),
            fix: error.fix(),
        }
    }
}

/// The store's key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyCheck {
    /// The key the store is sealed with.
    pub id: Option<String>,
    /// Where it was found.
    pub source: Option<String>,
    /// Sources passed over, and why.
    pub skipped: Vec<String>,
    /// Why there is no key to open the store with.
    pub error: Option<String>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionCheck {
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: u64,
    /// Whether there is a pair.
    pub has_pair: bool,
    /// Why nobody tried to open it, if nobody did: without the store's key there is nothing to try with.
    pub not_opened: Option<&'static str>,
    /// Why it cannot be opened, if it cannot.
    pub unreadable: Option<String>,
    /// Who holds the lease, for how many milliseconds yet, and whether the holder lives.
    pub lease: Option<LeaseCheck>,
    /// Whether an exchange may have been sent whose end is unknown.
    pub intent: bool,
    /// Whether a final refusal is remembered.
    pub latched: bool,
    /// Why a newer pair may exist, if one may.
    pub suspect: Option<Suspect>,
}

/// A lease, alive or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseCheck {
    /// Who took it.
    pub holder: String,
    /// How long it lasts yet, in milliseconds; 0 when it ran out.
    pub for_ms: u64,
    /// Whether that process lives.
    pub alive: bool,
}

/// A pair in a spare slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpareCheck {
    /// Its session.
    pub session: String,
    /// Its generation.
    pub generation: u64,
    /// Whether it is newer than the store's.
    pub newer: bool,
    /// Why nobody tried to open it, if nobody did.
    pub not_opened: Option<&'static str>,
    /// Why it cannot be opened, if it cannot.
    pub unreadable: Option<String>,
}

/// Looks a store over. Changes nothing, makes no key, and needs none to tell what can be told without.
///
/// # Errors
/// When there is no file, or it is no session store at all.
pub fn check(
    path: &Path,
    key: &KeySource,
    around: &Surroundings,
) -> Result<CheckReport, StoreError> {
    let (conn, writable) = connect(path)?;
    db::check_owner(path, &conn, APPLICATION_ID)?;
    let map = |error| StoreError::from_sqlite(path, &error);
    let schema_version = db::version(&conn).map_err(map)?;
    let known = MIGRATIONS.len() as i64;
    if schema_version > known {
        return Err(StoreError::ForeignVersion {
            path: path.to_owned(),
            found: schema_version,
            known,
        });
    }
    let mut report = CheckReport {
        path: path.to_owned(),
        ok: true,
        problems: integrity(&conn).map_err(map)?,
        schema_version,
        key: KeyCheck::default(),
        sessions: Vec::new(),
        spares: Vec::new(),
        kept: 0,
        events: 0,
    };
    report.problems.extend(writable);
    report.problems.extend(emptied(schema_version));
    if schema_version == known {
        look(&mut report, &conn, key, around)?;
    }
    report.ok = report.problems.is_empty();
    Ok(report)
}

/// A connection that reads only, and what keeps this user from writing.
fn connect(path: &Path) -> Result<(Connection, Option<Finding>), StoreError> {
    if !path.exists() {
        return Err(StoreError::Unavailable {
            path: path.to_owned(),
            detail: "there is no such file".to_owned(),
        });
    }
    let unwritable = unwritable(path);
    let open = |target: &Path, more: OpenFlags| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let conn = Connection::open_with_flags(target, flags)?;
        conn.busy_timeout(std::time::Duration::from_millis(crate::sqlite::BUSY_MS))?;
        db::version(&conn)?;
        Ok(conn)
    };
    let conn = match open(path, OpenFlags::empty()) {
        // Where nobody uses the store, SQLite has to make its shared memory anew even to read. What lies still
        // and has no log beside it can be read without.
        Err(_) if unwritable.is_some() && lies_still(path) => {
            open(&immutable(path), OpenFlags::SQLITE_OPEN_URI)
        }
        opened => opened,
    };
    let finding = unwritable.as_ref().map(Finding::from);
    match conn {
        Ok(conn) => Ok((conn, finding)),
        Err(error) => Err(match (StoreError::from_sqlite(path, &error), unwritable) {
            (StoreError::Unavailable { .. }, Some(unwritable)) => unwritable,
            (error, _) => error,
        }),
    }
}

/// What keeps this user from writing the database or making files beside it.
fn unwritable(path: &Path) -> Option<StoreError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let forbidden = |place: &Path, what: &str| {
        rustix::fs::accessat(
            rustix::fs::CWD,
            place,
            rustix::fs::Access::WRITE_OK,
            rustix::fs::AtFlags::EACCESS,
        )
        .err()
        .map(|error| StoreError::ReadOnly {
            path: path.to_owned(),
            detail: format!("{what} {}: {error}", place.display()),
        })
    };
    forbidden(path, "the file").or_else(|| forbidden(directory, "the directory"))
}

fn lies_still(path: &Path) -> bool {
    std::fs::metadata(files::beside(path, "-wal")).map_or(true, |log| log.len() == 0)
}

/// The address by which SQLite reads a file that nobody changes meanwhile.
fn immutable(path: &Path) -> PathBuf {
    let mut text = OsString::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'%' | b'?' | b'#') {
            text.push(format!("%{byte:02X}"));
        } else {
            text.push(std::ffi::OsStr::from_bytes(std::slice::from_ref(byte)));
        }
    }
    text.push("?immutable=1");
    text.into()
}

fn integrity(conn: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let found: Vec<String> = conn
        .prepare("PRAGMA integrity_check(20)")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found
        .into_iter()
        .filter(|line| line != "ok")
        .map(|line| {
            Finding::new(
                format!("the file is damaged: {line}"),
                "keep a copy and restore a backup",
            )
        })
        .collect())
}

/// SQLite takes a file without content for a database without tables.
fn emptied(schema_version: i64) -> Option<Finding> {
    (schema_version == 0).then(|| {
        Finding::new(
            "the file holds no store: it was emptied, or its making was cut short",
            "if sessions were in it, restore a backup; else remove it, and the next login makes a new store",
        )
    })
}

fn look(
    report: &mut CheckReport,
    conn: &Connection,
    key: &KeySource,
    around: &Surroundings,
) -> Result<(), StoreError> {
    let path = report.path.clone();
    let map = |error| StoreError::from_sqlite(&path, &error);
    let Some(store_id) = sessions::meta(conn, "store_id").map_err(map)? else {
        return Ok(());
    };
    let vault = open_vault(report, conn, &store_id, key, around)?;
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get(0)).map_err(map);
    report.kept = count("SELECT count(*) FROM kept")?;
    report.events = count("SELECT count(*) FROM events")?;
    let rows = sessions::all(conn).map_err(map)?;
    for row in &rows {
        let session = session(&path, row, &vault);
        if let Some(why) = &session.unreadable {
            report.problems.push(Finding::new(
                format!("session {} cannot be opened: {why}", row.name),
                format!(
                    "bring back its key, or log in again (`tenure login {}`)",
                    row.name
                ),
            ));
        }
        report.sessions.push(session);
    }
    look_at_spares(report, &rows, &vault)?;
    look_at_incarnation(report, conn, &store_id)
}

/// The vault; else why nothing was opened, in two words. The report says more.
type Opened = Result<Vault, &'static str>;

/// The vault, if the key is at hand; else the report says why not.
fn open_vault(
    report: &mut CheckReport,
    conn: &Connection,
    store_id: &str,
    key: &KeySource,
    around: &Surroundings,
) -> Result<Opened, StoreError> {
    let path = report.path.clone();
    let map = |error| StoreError::from_sqlite(&path, &error);
    report.key.id = sessions::meta(conn, "key_id").map_err(map)?;
    let Some(expected) = report.key.id.as_deref().and_then(KeyId::parse) else {
        return Ok(Err("no key yet"));
    };
    let wanted = Wanted {
        database: &path,
        store_id,
        source: key,
        around,
        expected: Some(expected),
    };
    let rows = key_rows(conn).map_err(map)?;
    let opened = wanted.find().and_then(|found| {
        let retired = open_keys(&path, store_id, &found.seal, rows)?;
        Ok((found, retired))
    });
    match opened {
        Ok((found, retired)) => {
            report.key.source = Some(found.source.clone());
            report.key.skipped.clone_from(&found.skipped);
            Ok(Ok(Vault {
                store_id: store_id.to_owned(),
                ring: Ring {
                    current: found.seal,
                    retired,
                },
                source: found.source,
                skipped: found.skipped,
            }))
        }
        Err(error) => {
            report.key.error = Some(error.to_string());
            report.problems.push(Finding::from(&error));
            Ok(Err(match error {
                StoreError::WrongKey { .. } => "wrong key",
                StoreError::KeyMissing { .. } => "no key",
                _ => "key unusable",
            }))
        }
    }
}

fn session(path: &Path, row: &sessions::Row, vault: &Opened) -> SessionCheck {
    let holders = files::beside(path, ".holders");
    let boot = format!("{:032x}", clock::boot_id().0);
    SessionCheck {
        name: row.name.clone(),
        generation: row.generation,
        has_pair: row.pair.is_some(),
        not_opened: vault.as_ref().err().copied(),
        unreadable: vault
            .as_ref()
            .ok()
            .and_then(|vault| row.open(vault, None).unreadable),
        lease: row.lease.as_ref().map(|lease| LeaseCheck {
            holder: lease.holder.clone(),
            for_ms: if lease.boot == boot {
                lease.until.saturating_sub(clock::mono().0)
            } else {
                0
            },
            alive: !holder::is_dead(&holders, &lease.holder),
        }),
        intent: row.intent.is_some(),
        latched: row.latch.is_some(),
        suspect: row.suspect,
    }
}

fn look_at_spares(
    report: &mut CheckReport,
    rows: &[sessions::Row],
    vault: &Opened,
) -> Result<(), StoreError> {
    let spares = Spares::new(&report.path);
    let failed = |error| StoreError::from_io(spares.dir(), "reading the spare slots", &error);
    for session in spares.sessions().map_err(failed)? {
        let Some(spare) = spares.read(&session).map_err(failed)? else {
            continue;
        };
        let stored = rows
            .iter()
            .find(|row| row.name == session)
            .map_or(0, |row| row.generation);
        let newer = spare.generation > stored;
        let unreadable = vault.as_ref().ok().and_then(|vault| {
            let generation = Generation(spare.generation);
            vault
                .open_pair(Field::Spare, &session, generation, &spare.sealed)
                .err()
                .map(|error| error.to_string())
        });
        if newer {
            report.problems.push(Finding::new(
                format!(
                    "generation {} of session {session} waits in its spare slot {}",
                    spare.generation,
                    spares.path(&session).display()
                ),
                "it is saved when a keeper next opens the store and can write it",
            ));
        }
        report.spares.push(SpareCheck {
            session,
            generation: spare.generation,
            newer,
            not_opened: vault.as_ref().err().copied(),
            unreadable,
        });
    }
    Ok(())
}

fn look_at_incarnation(
    report: &mut CheckReport,
    conn: &Connection,
    store_id: &str,
) -> Result<(), StoreError> {
    let path = incarnation_path(&report.path);
    let outside = incarnation::read(&path)
        .map_err(|error| StoreError::from_io(&path, "reading it", &error))?;
    let inside =
        sessions::saves(conn).map_err(|error| StoreError::from_sqlite(&report.path, &error))?;
    if let Some(evidence) = rollback(outside.as_ref(), store_id, inside) {
        report.problems.push(Finding::new(
            format!("the store was restored or rolled back: {evidence}"),
            "its refresh tokens may be spent already; where one is refused, log in again",
        ));
    }
    Ok(())
}
