//! The statements: each step of [`Rows`] is one of them.

use async_trait::async_trait;
use tenure_core::{Generation, Wall};
use tokio::sync::watch;
use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::FromSql;

use super::schema::EVENTS_LOCK;
use super::{PATIENCE, Postgres, named};
use crate::clock;
use crate::error::StoreError;
use crate::record::{EventRow, Lease, Once, Pace, Suspect};
use crate::shared::notes::json;
use crate::shared::rows::{Arrival, Claimant, Counts, Held, Keys, Row, Rows, Sealed, Seen, Swap};
use crate::sqlite::EVENTS_KEPT;

/// This server's clock, in milliseconds since the epoch.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// The key that the store is sealed with.
macro_rules! key_id {
    () => {
        "(SELECT value FROM keeper_meta WHERE key = 'key_id')"
    };
}

/// A row as [`row`] reads it.
macro_rules! columns {
    () => {
        concat!(
            "name, generation, epoch, lease_holder, lease_host, greatest(lease_until - ",
            now!(),
            ", 0), pair, login, intent, latch, info, suspect, trouble, greatest(trouble_until - ",
            now!(),
            ", 0), coalesce(",
            key_id!(),
            ", '')"
        )
    };
}

/// The condition that a lease still holds: `$1` the session, `$2` the epoch, `$3` the holder.
macro_rules! under_lease {
    () => {
        " WHERE name = $1 AND epoch = $2 AND lease_holder = $3"
    };
}

/// A statement that answers with the number of the change, if it changes anything.
macro_rules! numbered {
    ($($part:expr),+ $(,)?) => {
        concat!($($part),+, " RETURNING nextval('keeper_changes')")
    };
}

const GET: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keeper_sessions WHERE name = $1"
);
const ALL: &str = concat!("SELECT ", columns!(), " FROM keeper_sessions ORDER BY name");
const TAKE_LEASE: &str = concat!(
    "INSERT INTO keeper_sessions AS s (name, epoch, lease_holder, lease_host, lease_until) \
     SELECT $1, 1, $3, $4, ",
    now!(),
    " + $5 WHERE $2::bigint = 0 OR EXISTS (SELECT 1 FROM keeper_sessions WHERE name = $1) \
     ON CONFLICT (name) DO UPDATE SET epoch = s.epoch + 1, lease_holder = excluded.lease_holder, \
     lease_host = excluded.lease_host, lease_until = excluded.lease_until WHERE s.epoch = $2 RETURNING ",
    columns!()
);
const RENEW: &str = concat!(
    "UPDATE keeper_sessions SET lease_until = ",
    now!(),
    " + $4",
    under_lease!(),
    " RETURNING 0::bigint"
);
const RELEASE: &str = concat!(
    "UPDATE keeper_sessions SET lease_holder = NULL, lease_host = NULL, lease_until = 0",
    under_lease!()
);
const WRITE_INTENT: &str = numbered!(
    "UPDATE keeper_sessions SET intent = $5",
    under_lease!(),
    " AND generation = $4"
);
const CLEAR_INTENT: &str = numbered!(
    "UPDATE keeper_sessions SET intent = NULL",
    under_lease!(),
    " AND generation = $4"
);
const COMMIT: &str = numbered!(
    "UPDATE keeper_sessions SET generation = $4 + 1, pair = $5, info = $6, intent = NULL, latch = NULL, suspect = 0, \
     trouble = NULL",
    under_lease!(),
    " AND generation = $4 AND $7 = ",
    key_id!()
);
const LATCH: &str = numbered!(
    "UPDATE keeper_sessions SET latch = $5, intent = NULL, trouble = NULL",
    under_lease!(),
    " AND generation = $4"
);
const ADOPT: &str = numbered!(
    "UPDATE keeper_sessions SET generation = $3, pair = $4, intent = NULL, latch = NULL, trouble = NULL \
     WHERE name = $1 AND epoch = $2 AND generation < $3 AND $5 = ",
    key_id!()
);
/// What cannot be opened is put aside first. Without a row there is nothing to put aside, and one is made.
const PUT: &str = numbered!(
    "WITH aside AS (INSERT INTO keeper_kept (at, name, generation, pair, login, why) \
     SELECT $12, name, generation, pair, login, $11 FROM keeper_sessions \
     WHERE $11::text IS NOT NULL AND name = $1 AND epoch = $2 AND generation = $3) \
     INSERT INTO keeper_sessions AS s (name, generation, pair, login, latch, info, suspect, epoch) \
     SELECT $1, $4, $5, $6, $7, $8, $9, 1 WHERE $10 = ",
    key_id!(),
    " AND ($2::bigint = 0 OR EXISTS (SELECT 1 FROM keeper_sessions WHERE name = $1)) \
     ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, pair = excluded.pair, login = excluded.login, \
     latch = excluded.latch, info = excluded.info, suspect = excluded.suspect, intent = NULL, trouble = NULL, \
     epoch = s.epoch + 1, lease_holder = NULL, lease_host = NULL, lease_until = 0 \
     WHERE s.epoch = $2 AND s.generation = $3"
);
const LOGOUT: &str = numbered!(
    "UPDATE keeper_sessions SET pair = NULL, login = NULL, intent = NULL, latch = NULL, trouble = NULL, suspect = 0, \
     epoch = epoch + 1, lease_holder = NULL, lease_host = NULL, lease_until = 0 WHERE name = $1"
);
const SAVE_INFO: &str = numbered!(
    "INSERT INTO keeper_sessions (name, info) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET info = excluded.info"
);
const NOTE: &str = numbered!(
    "INSERT INTO keeper_sessions AS s (name, trouble, trouble_until) SELECT $1, $3, ",
    now!(),
    " + $4 WHERE $2::bigint = 0 OR EXISTS (SELECT 1 FROM keeper_sessions WHERE name = $1) \
     ON CONFLICT (name) DO UPDATE SET trouble = excluded.trouble, trouble_until = excluded.trouble_until \
     WHERE s.generation = $2"
);
const PACE: &str = concat!(
    "SELECT failures, greatest(until - ",
    now!(),
    ", 0), failure FROM keeper_endpoints WHERE url = $1"
);
const SET_PACE: &str = numbered!(
    "INSERT INTO keeper_endpoints (url, failures, until, failure) VALUES ($1, $2, ",
    now!(),
    " + $3, $4) ON CONFLICT (url) DO UPDATE SET failures = excluded.failures, until = excluded.until, \
     failure = excluded.failure"
);
const CLEAR_PACE: &str = numbered!("DELETE FROM keeper_endpoints WHERE url = $1");
const EVENTS: &str = "SELECT id, at, session, kind, generation, text, failure, holder FROM keeper_events \
     WHERE ($3::text IS NULL OR session = $3) AND id > $1 ORDER BY id LIMIT $2";
const SET_META: &str = "INSERT INTO keeper_meta (key, value) VALUES ($1, $2) \
     ON CONFLICT (key) DO UPDATE SET value = keeper_meta.value RETURNING value";
const LAST_CHANGE: &str =
    "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM keeper_changes";

/// A number that the schema keeps within what both sides hold.
fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Postgres {
    fn get<'r, T: FromSql<'r>>(&self, row: &'r SqlRow, column: usize) -> Result<T, StoreError> {
        row.try_get(column)
            .map_err(|error| named(&self.place, &error))
    }

    fn number(&self, row: &SqlRow, column: usize) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.get::<i64>(row, column)?).unwrap_or(0))
    }

    fn row(&self, row: &SqlRow) -> Result<Row, StoreError> {
        let holder: Option<String> = self.get(row, 3)?;
        let host: Option<String> = self.get(row, 4)?;
        let for_ms = self.number(row, 5)?;
        let wait_ms = self.number(row, 13)?;
        Ok(Row {
            name: self.get(row, 0)?,
            generation: Generation(self.number(row, 1)?),
            epoch: self.number(row, 2)?,
            lease: holder.map(|holder| Held {
                holder,
                host: host.unwrap_or_default(),
                for_ms,
            }),
            pair: self.get(row, 6)?,
            login: self.get(row, 7)?,
            intent: self.get(row, 8)?,
            latch: self.get(row, 9)?,
            info: self.get(row, 10)?,
            suspect: Suspect::of(self.get(row, 11)?),
            trouble: self
                .get::<Option<String>>(row, 12)?
                .map(|json| (json, wait_ms)),
            key_id: self.get(row, 14)?,
        })
    }

    /// What a numbered statement did, if it did anything.
    fn done(&self, rows: &[SqlRow]) -> Result<Option<Swap>, StoreError> {
        rows.first()
            .map(|row| Ok(Swap::Done(self.number(row, 0)?)))
            .transpose()
    }

    /// Why a write under a lease changed nothing.
    async fn why(&self, lease: &Lease, expect: Generation) -> Result<Swap, StoreError> {
        let row = Rows::get(self, &lease.name).await?;
        Ok(match row.filter(|row| row.is_held_under(lease)) {
            None => Swap::Fenced,
            Some(row) if row.generation != expect => Swap::Moved(row.generation),
            Some(_) => Swap::KeyChanged,
        })
    }

    /// An event in its own transaction: ids are given and seen in one order, and what is there already is seen.
    async fn append_in_turn(
        &self,
        event: &EventRow,
        once: Option<Once>,
        failure: Option<String>,
    ) -> Result<Option<u64>, StoreError> {
        let mut client = self.client().await?;
        let run = async {
            let tx = client.transaction().await?;
            let lock = tx
                .prepare_cached("SELECT pg_advisory_xact_lock($1)")
                .await?;
            tx.execute(&lock, &[&EVENTS_LOCK]).await?;
            let append = tx.prepare_cached(append_sql(once)).await?;
            let row = tx
                .query_opt(
                    &append,
                    &[
                        &event.at.0,
                        &event.session,
                        &event.kind,
                        &long(event.generation.0),
                        &event.text,
                        &failure,
                        &event.holder,
                    ],
                )
                .await?;
            let Some(row) = row else { return Ok(None) };
            let id: i64 = row.try_get(0)?;
            let prune = tx
                .prepare_cached("DELETE FROM keeper_events WHERE id <= $1")
                .await?;
            tx.execute(&prune, &[&(id - EVENTS_KEPT)]).await?;
            let count = tx
                .prepare_cached("SELECT nextval('keeper_changes')")
                .await?;
            tx.execute(&count, &[]).await?;
            tx.commit().await?;
            Ok(Some(id))
        };
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(id)) => Ok(id.and_then(|id| u64::try_from(id).ok())),
            Ok(Err(error)) => Err(named(&self.place, &error)),
            Err(_) => {
                drop(deadpool_postgres::Object::take(client));
                Err(self.silent())
            }
        }
    }
}

fn append_sql(once: Option<Once>) -> &'static str {
    match once {
        None => {
            "INSERT INTO keeper_events (at, session, kind, generation, text, failure, holder) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id"
        }
        Some(Once::AGeneration) => {
            "INSERT INTO keeper_events (at, session, kind, generation, text, failure, holder) \
             SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT 1 FROM keeper_events \
             WHERE session = $2 AND kind = $3 AND generation = $4) RETURNING id"
        }
        Some(Once::ALogin) => {
            "INSERT INTO keeper_events (at, session, kind, generation, text, failure, holder) \
             SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT 1 FROM keeper_events \
             WHERE session = $2 AND kind = $3 AND id > coalesce((SELECT max(id) FROM keeper_events \
             WHERE session = $2 AND kind = 'logged_in'), 0)) RETURNING id"
        }
    }
}

#[async_trait]
impl Rows for Postgres {
    fn place(&self) -> &str {
        &self.place
    }

    async fn store_id(&self, fresh: &str) -> Result<String, StoreError> {
        let rows = self.query(SET_META, &[&"store_id", &fresh]).await?;
        self.get(rows.first().ok_or_else(|| self.silent())?, 0)
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        // One statement, so that a rekey comes before it or after it.
        let rows = self
            .query(
                "SELECT key, value, NULL::bytea FROM keeper_meta WHERE key IN ('key_id', 'key_check') \
                 UNION ALL SELECT id, NULL, sealed FROM keeper_retired_keys ORDER BY 1",
                &[],
            )
            .await?;
        let mut keys = Keys::default();
        for row in &rows {
            let name: String = self.get(row, 0)?;
            match (name.as_str(), self.get::<Option<Vec<u8>>>(row, 2)?) {
                ("key_id", None) => keys.id = self.get(row, 1)?,
                ("key_check", None) => keys.check = self.get(row, 1)?,
                (_, Some(sealed)) => keys.retired.push((name, sealed)),
                _ => {}
            }
        }
        Ok(keys)
    }

    async fn set_first_key(&self, id: &str, check: &str) -> Result<String, StoreError> {
        // Both or neither: whoever comes second changes neither.
        let rows = self
            .query(
                "WITH first AS (INSERT INTO keeper_meta (key, value) VALUES ('key_id', $1) \
                 ON CONFLICT (key) DO NOTHING RETURNING value) \
                 INSERT INTO keeper_meta (key, value) SELECT 'key_check', $2 FROM first RETURNING value",
                &[&id, &check],
            )
            .await?;
        if !rows.is_empty() {
            return Ok(id.to_owned());
        }
        let keys = self.keys().await?;
        keys.id.ok_or_else(|| StoreError::Corrupt {
            path: self.place.clone().into(),
            detail: "it has no key id".to_owned(),
        })
    }

    async fn get(&self, name: &str) -> Result<Option<Row>, StoreError> {
        let rows = self.query(GET, &[&name]).await?;
        rows.first().map(|row| self.row(row)).transpose()
    }

    async fn all(&self) -> Result<Vec<Row>, StoreError> {
        let rows = self.query(ALL, &[]).await?;
        rows.iter().map(|row| self.row(row)).collect()
    }

    async fn take_lease(
        &self,
        name: &str,
        epoch: u64,
        by: Claimant<'_>,
        ttl_ms: u64,
    ) -> Result<Option<Row>, StoreError> {
        let rows = self
            .query(
                TAKE_LEASE,
                &[&name, &long(epoch), &by.holder, &by.host, &long(ttl_ms)],
            )
            .await?;
        rows.first().map(|row| self.row(row)).transpose()
    }

    async fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<Swap, StoreError> {
        let rows = self
            .query(
                RENEW,
                &[
                    &lease.name,
                    &long(lease.epoch),
                    &lease.holder,
                    &long(ttl_ms),
                ],
            )
            .await?;
        Ok(self.done(&rows)?.unwrap_or(Swap::Fenced))
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.change(RELEASE, &[&lease.name, &long(lease.epoch), &lease.holder])
            .await
            .map(drop)
    }

    async fn write_intent(
        &self,
        lease: &Lease,
        generation: Generation,
        intent: &str,
    ) -> Result<Swap, StoreError> {
        let rows = self
            .query(
                WRITE_INTENT,
                &[
                    &lease.name,
                    &long(lease.epoch),
                    &lease.holder,
                    &long(generation.0),
                    &intent,
                ],
            )
            .await?;
        match self.done(&rows)? {
            Some(done) => Ok(done),
            None => self.why(lease, generation).await,
        }
    }

    async fn clear_intent(
        &self,
        lease: &Lease,
        generation: Generation,
    ) -> Result<Swap, StoreError> {
        let rows = self
            .change(
                CLEAR_INTENT,
                &[
                    &lease.name,
                    &long(lease.epoch),
                    &lease.holder,
                    &long(generation.0),
                ],
            )
            .await?;
        match self.done(&rows)? {
            Some(done) => Ok(done),
            None => self.why(lease, generation).await,
        }
    }

    async fn commit(
        &self,
        lease: &Lease,
        sealed: Sealed<'_>,
        info: &str,
    ) -> Result<Swap, StoreError> {
        let expect = Generation(sealed.generation.0 - 1);
        let rows = self
            .change(
                COMMIT,
                &[
                    &lease.name,
                    &long(lease.epoch),
                    &lease.holder,
                    &long(expect.0),
                    &sealed.pair,
                    &info,
                    &sealed.key_id,
                ],
            )
            .await?;
        match self.done(&rows)? {
            Some(done) => Ok(done),
            None => self.why(lease, expect).await,
        }
    }

    async fn latch(
        &self,
        lease: &Lease,
        expect: Generation,
        latch: &str,
    ) -> Result<Swap, StoreError> {
        let rows = self
            .change(
                LATCH,
                &[
                    &lease.name,
                    &long(lease.epoch),
                    &lease.holder,
                    &long(expect.0),
                    &latch,
                ],
            )
            .await?;
        match self.done(&rows)? {
            Some(done) => Ok(done),
            None => self.why(lease, expect).await,
        }
    }

    async fn adopt(&self, name: &str, epoch: u64, sealed: Sealed<'_>) -> Result<Swap, StoreError> {
        let rows = self
            .change(
                ADOPT,
                &[
                    &name,
                    &long(epoch),
                    &long(sealed.generation.0),
                    &sealed.pair,
                    &sealed.key_id,
                ],
            )
            .await?;
        Ok(self.done(&rows)?.unwrap_or(Swap::Fenced))
    }

    async fn put(
        &self,
        name: &str,
        seen: Option<Seen>,
        arrival: Arrival<'_>,
    ) -> Result<Swap, StoreError> {
        let (epoch, generation) =
            seen.map_or((0, Generation(0)), |seen| (seen.epoch, seen.generation));
        let rows = self
            .change(
                PUT,
                &[
                    &name,
                    &long(epoch),
                    &long(generation.0),
                    &long(arrival.generation.0),
                    &arrival.pair,
                    &arrival.login,
                    &arrival.latch,
                    &arrival.info,
                    &arrival.suspect.map_or(0, Suspect::stored),
                    &arrival.key_id,
                    &arrival.aside,
                    &clock::wall().0,
                ],
            )
            .await?;
        Ok(self.done(&rows)?.unwrap_or(Swap::Fenced))
    }

    async fn logout(&self, name: &str) -> Result<(), StoreError> {
        self.change(LOGOUT, &[&name]).await.map(drop)
    }

    async fn save_info(&self, name: &str, info: &str) -> Result<(), StoreError> {
        self.change(SAVE_INFO, &[&name, &info]).await.map(drop)
    }

    async fn note(
        &self,
        name: &str,
        generation: Generation,
        trouble: Option<(&str, u64)>,
    ) -> Result<Swap, StoreError> {
        let (json, wait_ms) = trouble.unzip();
        let rows = self
            .change(
                NOTE,
                &[
                    &name,
                    &long(generation.0),
                    &json,
                    &long(wait_ms.unwrap_or(0)),
                ],
            )
            .await?;
        if let Some(done) = self.done(&rows)? {
            return Ok(done);
        }
        let row = Rows::get(self, name).await?;
        Ok(Swap::Moved(row.map_or(Generation(0), |row| row.generation)))
    }

    async fn pace(&self, endpoint: &str) -> Result<Option<Pace>, StoreError> {
        let rows = self.query(PACE, &[&endpoint]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let failure: Option<String> = self.get(row, 2)?;
        Ok(Some(Pace {
            failures: u32::try_from(self.number(row, 0)?).unwrap_or(u32::MAX),
            wait_ms: self.number(row, 1)?,
            failure: failure.and_then(|json| serde_json::from_str(&json).ok()),
        }))
    }

    async fn set_pace(&self, endpoint: &str, pace: Option<&Pace>) -> Result<(), StoreError> {
        let Some(pace) = pace else {
            return self.change(CLEAR_PACE, &[&endpoint]).await.map(drop);
        };
        let failure = pace
            .failure
            .as_ref()
            .map(|failure| json(failure, &self.place))
            .transpose()?;
        let (failures, wait_ms) = (i64::from(pace.failures), long(pace.wait_ms));
        self.change(SET_PACE, &[&endpoint, &failures, &wait_ms, &failure])
            .await
            .map(drop)
    }

    async fn append(
        &self,
        event: &EventRow,
        once: Option<Once>,
    ) -> Result<Option<u64>, StoreError> {
        let failure = event
            .failure
            .as_ref()
            .map(|failure| json(failure, &self.place))
            .transpose()?;
        let id = self.append_in_turn(event, once, failure).await?;
        self.tell();
        Ok(id)
    }

    async fn events(
        &self,
        after: u64,
        session: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self
            .query(EVENTS, &[&long(after), &limit, &session])
            .await?;
        let event = |row: &SqlRow| {
            let failure: Option<String> = self.get(row, 6)?;
            let failure = failure
                .map(|json| serde_json::from_str(&json))
                .transpose()
                .map_err(|error| StoreError::Corrupt {
                    path: self.place.clone().into(),
                    detail: format!("the failure of an event: {error}"),
                })?;
            Ok(EventRow {
                id: self.number(row, 0)?,
                at: Wall(self.get(row, 1)?),
                session: self.get(row, 2)?,
                kind: self.get(row, 3)?,
                generation: Generation(self.number(row, 4)?),
                text: self.get(row, 5)?,
                failure,
                holder: self.get(row, 7)?,
            })
        };
        rows.iter().map(event).collect()
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let at = clock::wall().0.to_string();
        self.query(
            "INSERT INTO keeper_meta (key, value) VALUES ('probed', $1) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            &[&at],
        )
        .await
        .map(drop)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let rows = self
            .query(
                "SELECT (SELECT value::bigint FROM keeper_meta WHERE key = 'schema_version'), \
                 (SELECT count(*) FROM keeper_kept), (SELECT count(*) FROM keeper_events)",
                &[],
            )
            .await?;
        let row = rows.first().ok_or_else(|| self.silent())?;
        Ok(Counts {
            schema: self.get(row, 0)?,
            kept: self.get(row, 1)?,
            events: self.get(row, 2)?,
        })
    }

    async fn last_change(&self) -> Result<u64, StoreError> {
        let rows = self.query(LAST_CHANGE, &[]).await?;
        self.number(rows.first().ok_or_else(|| self.silent())?, 0)
    }

    async fn mark_restored(&self, floor: u64) -> Result<u64, StoreError> {
        // The pairs first: if this ends in between, the next look finds the count still too low.
        self.query(
            "UPDATE keeper_sessions SET suspect = $1 WHERE pair IS NOT NULL",
            &[&Suspect::Restored.stored()],
        )
        .await?;
        let rows = self
            .change(
                "SELECT setval('keeper_changes', greatest((SELECT last_value FROM keeper_changes), $1) + 1)",
                &[&long(floor)],
            )
            .await?;
        self.number(rows.first().ok_or_else(|| self.silent())?, 0)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.clone()
    }
}
