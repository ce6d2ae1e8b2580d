//! The events table: bounded, oldest out first.

use rusqlite::{Connection, Transaction, params};
use tenure_core::{Generation, Wall};

use super::schema::EVENTS_KEPT;
use crate::record::{EventRow, Once};

pub(super) fn append(tx: &Transaction<'_>, event: &EventRow) -> rusqlite::Result<u64> {
    let failure = event
        .failure
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    tx.prepare_cached(
        "INSERT INTO events (at, session, kind, generation, text, failure, holder) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        event.at.0,
        event.session,
        event.kind,
        event.generation.0 as i64,
        event.text,
        failure,
        event.holder
    ])?;
    let id = tx.last_insert_rowid();
    tx.prepare_cached("DELETE FROM events WHERE id <= ?1")?
        .execute([id - EVENTS_KEPT])?;
    Ok(id as u64)
}

/// Whether an event of this kind is stored for the same session and generation, or since its last login.
pub(super) fn known(conn: &Connection, event: &EventRow, once: Once) -> rusqlite::Result<bool> {
    let of_this = match once {
        Once::AGeneration => "generation = ?3",
        Once::ALogin => {
            "?3 = ?3 AND id > coalesce((SELECT max(id) FROM events \
             WHERE session = ?1 AND kind = 'logged_in'), 0)"
        }
    };
    conn.prepare_cached(&format!(
        "SELECT EXISTS (SELECT 1 FROM events WHERE session = ?1 AND kind = ?2 AND {of_this})"
    ))?
    .query_row(
        params![event.session, event.kind, event.generation.0 as i64],
        |row| row.get(0),
    )
}

pub(super) fn after(
    conn: &Connection,
    after: u64,
    session: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<EventRow>> {
    let filter = match session {
        Some(_) => "session = ?3 AND",
        None => "?3 IS NULL AND",
    };
    conn.prepare_cached(&format!(
        "SELECT id, at, session, kind, generation, text, failure, holder FROM events \
         WHERE {filter} id > ?1 ORDER BY id LIMIT ?2"
    ))?
    .query_map(
        params![
            i64::try_from(after).unwrap_or(i64::MAX),
            i64::try_from(limit).unwrap_or(i64::MAX),
            session
        ],
        from_sql,
    )?
    .collect()
}

fn from_sql(row: &rusqlite::Row<'_>) -> rusqlite::Result<EventRow> {
    let failure: Option<String> = row.get(6)?;
    let failure = failure
        .map(|json| serde_json::from_str(&json))
        .transpose()
        .map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(
                6,
                rusqlite::types::Type::Text,
                Box::new(error),
            )
        })?;
    Ok(EventRow {
        id: row.get::<_, i64>(0)? as u64,
        at: Wall(row.get(1)?),
        session: row.get(2)?,
        kind: row.get(3)?,
        generation: Generation(row.get::<_, i64>(4)? as u64),
        text: row.get(5)?,
        failure,
        holder: row.get(7)?,
    })
}
