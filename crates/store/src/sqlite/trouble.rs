//! What processes tell each other of trouble: with one session's generation, and with a token endpoint (I14).
//!
//! Pauses are kept as the instant they end on the boot's own clock; a pause of an earlier boot is over.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use tenure_core::{Failure, Generation};

use super::sessions::{self, Outcome, Refused};
use crate::clock;
use crate::record::{Pace, Trouble};

#[derive(Serialize, Deserialize)]
struct Stored {
    failures: u32,
    refused: bool,
    failure: Failure,
    boot: String,
    until: u64,
}

fn boot() -> String {
    format!("{:032x}", clock::boot_id().0)
}

/// How much of a pause is left.
fn left(at_boot: &str, until: u64) -> u64 {
    if at_boot == boot() {
        until.saturating_sub(clock::mono().0)
    } else {
        0
    }
}

/// What a row's column says. What cannot be read is no trouble: it is advice, and the next failure writes it anew.
pub(crate) fn read(json: &str) -> Option<Trouble> {
    let stored: Stored = serde_json::from_str(json)
        .inspect_err(|error| tracing::warn!(%error, "a note of trouble cannot be read"))
        .ok()?;
    Some(Trouble {
        failures: stored.failures,
        wait_ms: left(&stored.boot, stored.until),
        refused: stored.refused,
        failure: stored.failure,
    })
}

fn written(trouble: &Trouble) -> rusqlite::Result<String> {
    let stored = Stored {
        failures: trouble.failures,
        refused: trouble.refused,
        failure: trouble.failure.clone(),
        boot: boot(),
        until: (clock::mono() + trouble.wait_ms).0,
    };
    json(&stored)
}

fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub(crate) fn note(
    tx: &Transaction<'_>,
    name: &str,
    generation: Generation,
    trouble: Option<&Trouble>,
) -> Outcome<()> {
    let json = trouble.map(written).transpose()?;
    sessions::insert_if_absent(tx, name)?;
    let changed = tx
        .prepare_cached("UPDATE sessions SET trouble = ?3 WHERE name = ?1 AND generation = ?2")?
        .execute(params![name, generation.0 as i64, json])?;
    if changed == 0 {
        let now = sessions::get(tx, name)?.map_or(0, |row| row.generation);
        return Ok(Err(Refused::Moved(Generation(now))));
    }
    Ok(Ok(()))
}

pub(crate) fn pace(conn: &Connection, endpoint: &str) -> rusqlite::Result<Option<Pace>> {
    conn.prepare_cached("SELECT failures, boot, until, failure FROM endpoints WHERE url = ?1")?
        .query_row([endpoint], |row| {
            let at_boot: String = row.get(1)?;
            Ok(Pace {
                failures: row.get(0)?,
                wait_ms: left(&at_boot, row.get::<_, i64>(2)? as u64),
                failure: row
                    .get::<_, Option<String>>(3)?
                    .and_then(|json| serde_json::from_str(&json).ok()),
            })
        })
        .optional()
}

pub(crate) fn set_pace(
    tx: &Transaction<'_>,
    endpoint: &str,
    pace: Option<Pace>,
) -> rusqlite::Result<()> {
    let Some(pace) = pace else {
        tx.prepare_cached("DELETE FROM endpoints WHERE url = ?1")?
            .execute([endpoint])?;
        return Ok(());
    };
    let until = i64::try_from((clock::mono() + pace.wait_ms).0).unwrap_or(i64::MAX);
    tx.prepare_cached(
        "INSERT INTO endpoints (url, failures, boot, until, failure) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (url) DO UPDATE SET failures = excluded.failures, boot = excluded.boot, \
         until = excluded.until, failure = excluded.failure",
    )?
    .execute(params![
        endpoint,
        pace.failures,
        boot(),
        until,
        pace.failure.as_ref().map(json).transpose()?
    ])?;
    Ok(())
}
