//! Looking a store over without changing it.

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
    pub problems: Vec<String>,
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
    /// Why it cannot be opened, if it cannot.
    pub unreadable: Option<String>,
    /// Who holds the lease, for how many milliseconds yet, and whether the holder lives.
    pub lease: Option<LeaseCheck>,
    /// Whether an exchange may have been sent whose end is unknown.
    pub intent: bool,
    /// Whether a final refusal is remembered.
    pub latched: bool,
    /// Whether the store was rolled back under it.
    pub suspect: bool,
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
    let conn = connect(path)?;
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
    if schema_version == known {
        look(&mut report, &conn, key, around)?;
    }
    report.ok = report.problems.is_empty();
    Ok(report)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Unavailable {
            path: path.to_owned(),
            detail: "there is no such file".to_owned(),
        });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(std::time::Duration::from_millis(crate::sqlite::BUSY_MS))?;
        Ok(conn)
    };
    open().map_err(|error| StoreError::from_sqlite(path, &error))
}

fn integrity(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let found: Vec<String> = conn
        .prepare("PRAGMA integrity_check(20)")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found
        .into_iter()
        .filter(|line| line != "ok")
        .map(|line| format!("the file is damaged: {line}; keep a copy and restore a backup"))
        .collect())
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
        let session = session(&path, row, vault.as_ref());
        if let Some(why) = &session.unreadable {
            report.problems.push(format!(
                "session {} cannot be opened ({why}); bring back its key, or log in again (`tenure login {}`)",
                row.name, row.name
            ));
        }
        report.sessions.push(session);
    }
    look_at_spares(report, &rows, vault.as_ref())?;
    look_at_incarnation(report, conn, &store_id)
}

/// The vault, if the key is at hand; else the report says why not.
fn open_vault(
    report: &mut CheckReport,
    conn: &Connection,
    store_id: &str,
    key: &KeySource,
    around: &Surroundings,
) -> Result<Option<Vault>, StoreError> {
    let path = report.path.clone();
    let map = |error| StoreError::from_sqlite(&path, &error);
    report.key.id = sessions::meta(conn, "key_id").map_err(map)?;
    let Some(expected) = report.key.id.as_deref().and_then(KeyId::parse) else {
        return Ok(None);
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
            Ok(Some(Vault {
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
            report.problems.push(error.to_string());
            Ok(None)
        }
    }
}

fn session(path: &Path, row: &sessions::Row, vault: Option<&Vault>) -> SessionCheck {
    let holders = files::beside(path, ".holders");
    let boot = format!("{:032x}", clock::boot_id().0);
    SessionCheck {
        name: row.name.clone(),
        generation: row.generation,
        has_pair: row.pair.is_some(),
        unreadable: vault.and_then(|vault| row.open(vault, None).unreadable),
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
    vault: Option<&Vault>,
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
        let unreadable = vault.and_then(|vault| {
            let generation = Generation(spare.generation);
            vault
                .open_pair(Field::Spare, &session, generation, &spare.sealed)
                .err()
                .map(|error| error.to_string())
        });
        if newer {
            report.problems.push(format!(
                "generation {} of session {session} waits in its spare slot {}; it is saved when a keeper next \
                 opens the store and can write it",
                spare.generation,
                spares.path(&session).display()
            ));
        }
        report.spares.push(SpareCheck {
            session,
            generation: spare.generation,
            newer,
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
        report.problems.push(format!(
            "the store was restored or rolled back: {evidence}; its refresh tokens may be spent already"
        ));
    }
    Ok(())
}
