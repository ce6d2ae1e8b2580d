//! The outbox of back-channel logout: which client is to be told of which session.
//!
//! A row is written in the transaction that ends the session, so what ended is told however the process fares, and taken
//! out when the client has it or is given up. Whoever sends one first moves its time on: other processes leave it alone
//! until then, and see to it if the one that took it is gone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::Deserialize;
use serde_json::json;
use tenure_core::jitter;
use tenure_jose::random;
use tenure_store::StoreError;

use crate::audit::{Act, Pen};
use crate::db::{Db, Row, SqlResult, Tx, values};
use crate::refresh_token::FamilyId;

/// How many one process sends to one receiver at a time.
const BATCH: i64 = 8;
/// How long whoever takes one has to send it, in milliseconds: longer than sending can take.
const LEASE_MS: i64 = 60_000;
/// How long after the first failure it is tried again, in milliseconds; doubled each time.
const RETRY_MS: u64 = 10_000;
/// The longest time between two tries, in milliseconds.
const LONGEST_RETRY_MS: u64 = 3_600_000;
/// For how long it is tried, in milliseconds: a day. A try that fails later is the last one.
const SPAN_MS: i64 = 24 * 3_600_000;
/// How many are given up in one transaction.
const GIVEN_UP: i64 = 100;

/// A session that ended.
pub(crate) struct Ended {
    pub(crate) family: FamilyId,
    pub(crate) user_id: String,
    pub(crate) client_id: String,
}

/// What is to be told.
pub(crate) struct Logout {
    id: [u8; 16],
    pub(crate) client_id: String,
    pub(crate) user_id: String,
    pub(crate) sid: String,
    ended_ms: i64,
    /// How often it was taken to be sent.
    pub(crate) tries: u64,
}

/// What became of one that was sent.
pub(crate) enum Sent {
    /// The client has it.
    Told,
    /// The client did not take it, and why.
    Refused(String),
    /// The client could not be asked, and why.
    Unreachable(String),
}

/// What a registration says of it.
#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    backchannel_logout_uri: Option<String>,
}

/// Writes down that clients are to be told, those that want to be.
pub(crate) fn enqueue(tx: &mut dyn Tx, ended: &[Ended], now_ms: i64) -> SqlResult<()> {
    let mut receivers: HashMap<&str, Option<String>> = HashMap::new();
    for one in ended {
        let uri = match receivers.entry(&one.client_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(receiver(tx, &one.client_id)?),
        };
        let Some(uri) = uri else { continue };
        tx.execute(
            "INSERT INTO logouts (id, uri, client_id, user_id, sid, ended_ms, due_ms, tries) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0)",
            values![
                &random::<16>(),
                &*uri,
                &one.client_id,
                &one.user_id,
                one.family.sid(),
                now_ms
            ],
        )?;
    }
    Ok(())
}

/// Where a client is told, as the database says: other processes may have changed it just now.
fn receiver(tx: &mut dyn Tx, client_id: &str) -> SqlResult<Option<String>> {
    let sql = "SELECT registration FROM clients WHERE id = ?1";
    let Some(row) = tx.row(sql, values![client_id])? else {
        return Ok(None);
    };
    let stored: String = row.get(0)?;
    match serde_json::from_str::<Channel>(&stored) {
        Ok(channel) => Ok(channel.backchannel_logout_uri),
        Err(error) => {
            // Nobody's session may live on because of it.
            tracing::warn!(client = client_id, %error, "a client's registration cannot be read; it is told of no logout");
            Ok(None)
        }
    }
}

/// The receivers for whom something is due. Each is one step in the index, however much waits for it.
pub(crate) async fn due(db: &Db, now_ms: i64) -> Result<Vec<String>, StoreError> {
    const DUE: &str = "WITH RECURSIVE receivers (uri) AS (SELECT min(uri) FROM logouts UNION ALL \
        SELECT (SELECT min(uri) FROM logouts WHERE logouts.uri > receivers.uri) FROM receivers WHERE receivers.uri IS NOT NULL) \
        SELECT uri FROM receivers WHERE uri IS NOT NULL \
        AND EXISTS (SELECT 1 FROM logouts WHERE logouts.uri = receivers.uri AND due_ms <= ?1)";
    db.read(move |tx| {
        let rows = tx.query(DUE, values![now_ms])?;
        rows.iter().map(|row| row.get(0)).collect()
    })
    .await
}

const COLUMNS: &str = "id, client_id, user_id, sid, ended_ms, tries";

fn logout(row: &Row) -> SqlResult<Logout> {
    Ok(Logout {
        id: row.get(0)?,
        client_id: row.get(1)?,
        user_id: row.get(2)?,
        sid: row.get(3)?,
        ended_ms: row.get(4)?,
        tries: row.get(5)?,
    })
}

/// Takes some of what is due for a receiver. Whoever asks at the same time gets others.
pub(crate) async fn claim(db: &Db, uri: &str, now_ms: i64) -> Result<Vec<Logout>, StoreError> {
    let uri = uri.to_owned();
    db.write(move |tx| {
        let sql = format!(
            "SELECT {COLUMNS} FROM logouts WHERE uri = ?1 AND due_ms <= ?2 ORDER BY due_ms LIMIT ?3 FOR UPDATE SKIP LOCKED"
        );
        let rows = tx.query(&sql, values![&uri, now_ms, BATCH])?;
        let mut claimed = rows.iter().map(logout).collect::<SqlResult<Vec<_>>>()?;
        for one in &mut claimed {
            one.tries += 1;
            tx.execute(
                "UPDATE logouts SET due_ms = ?2, tries = ?3 WHERE id = ?1",
                values![&one.id, now_ms.saturating_add(LEASE_MS), one.tries],
            )?;
        }
        Ok(claimed)
    })
    .await
}

/// Takes out what was told, and decides when the rest is tried again. Returns how many were given up.
pub(crate) async fn settle(
    db: &Db,
    uri: &str,
    sent: Vec<(Logout, Sent)>,
    pen: Pen,
) -> Result<usize, StoreError> {
    let uri = uri.to_owned();
    db.write(move |tx| {
        let (now_ms, mut last) = (pen.now_ms, Vec::new());
        for (one, sent) in &sent {
            match sent {
                Sent::Told => {
                    tx.execute("DELETE FROM logouts WHERE id = ?1", values![&one.id])?;
                }
                Sent::Refused(why) | Sent::Unreachable(why) if is_over(one, now_ms) => {
                    last.push((one, why));
                }
                Sent::Refused(_) | Sent::Unreachable(_) => {
                    // Unless it took so long that somebody else took it.
                    tx.execute(
                        "UPDATE logouts SET due_ms = ?3 WHERE id = ?1 AND tries = ?2",
                        values![
                            &one.id,
                            one.tries,
                            now_ms.saturating_add_unsigned(pause(one))
                        ],
                    )?;
                }
            }
        }
        // Last, for others wait from here to the commit.
        last.iter().try_fold(0, |given_up, (one, why)| {
            Ok(given_up + give_up(tx, &pen, &uri, one, why)?)
        })
    })
    .await
}

/// Gives up what is over its time for a receiver that cannot be reached, without trying each. Returns how many.
pub(crate) async fn abandon(db: &Db, uri: &str, why: &str, pen: Pen) -> Result<usize, StoreError> {
    let mut all = 0;
    loop {
        let (uri, why, pen) = (uri.to_owned(), why.to_owned(), pen.clone());
        let given_up = db
            .write(move |tx| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM logouts WHERE uri = ?1 AND due_ms <= ?2 AND ended_ms <= ?3 LIMIT ?4 FOR UPDATE SKIP LOCKED"
                );
                let before = pen.now_ms.saturating_sub(SPAN_MS);
                let rows = tx.query(&sql, values![&uri, pen.now_ms, before, GIVEN_UP])?;
                let over = rows.iter().map(logout).collect::<SqlResult<Vec<_>>>()?;
                over.iter().try_fold(0, |given_up, one| {
                    Ok(given_up + give_up(tx, &pen, &uri, one, &why)?)
                })
            })
            .await?;
        all += given_up;
        if given_up == 0 {
            return Ok(all);
        }
    }
}

fn give_up(tx: &mut dyn Tx, pen: &Pen, uri: &str, one: &Logout, why: &str) -> SqlResult<usize> {
    let gone = tx.execute("DELETE FROM logouts WHERE id = ?1", values![&one.id])?;
    if gone > 0 {
        let act = Act {
            user: Some(&one.user_id),
            sid: Some(&one.sid),
            client: Some(&one.client_id),
            detail: json!({ "uri": uri, "tries": one.tries, "why": why }),
            ..Act::new("logout.undelivered")
        };
        pen.note(tx, &act)?;
    }
    Ok(gone)
}

fn is_over(one: &Logout, now_ms: i64) -> bool {
    now_ms.saturating_sub(one.ended_ms) >= SPAN_MS
}

/// How long after a failure it is tried again, spread a little, so that what ended together is not told together forever.
fn pause(one: &Logout) -> u64 {
    let doublings = u32::try_from(one.tries.saturating_sub(1)).unwrap_or(u32::MAX);
    let factor = 2u64.checked_pow(doublings).unwrap_or(u64::MAX);
    let pause = RETRY_MS.saturating_mul(factor).min(LONGEST_RETRY_MS);
    pause + jitter::spread(&one.sid, one.tries, pause / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_ever_later_and_end_after_a_day() {
        let mut one = Logout {
            id: [0; 16],
            client_id: "c".into(),
            user_id: "u".into(),
            sid: "s".into(),
            ended_ms: 1_000,
            tries: 1,
        };
        let (mut now, mut pauses) = (1_000, Vec::new());
        while !is_over(&one, now) {
            pauses.push(pause(&one));
            now = now.saturating_add_unsigned(pause(&one));
            one.tries += 1;
        }
        assert!((10_000..11_000).contains(&pauses[0]), "{pauses:?}");
        assert!((20_000..22_000).contains(&pauses[1]), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause < 3_960_000), "{pauses:?}");
        assert!((28..34).contains(&pauses.len()), "{pauses:?}");
        one.tries = u64::MAX;
        assert!(pause(&one) >= LONGEST_RETRY_MS);
    }
}
