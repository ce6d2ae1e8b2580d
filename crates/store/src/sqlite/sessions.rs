//! The statements on sessions: each function is one step inside a transaction, each check a compare-and-swap.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tenure_core::{Generation, TokenPair};

use super::trouble;
use crate::clock;
use crate::holder::Holder;
use crate::record::{Info, Intent, Latch, Lease, LeaseView, Record, StoredLogin, Suspect};
use crate::row::Kept;
use crate::seal::SealError;
use crate::vault::{Field, Vault};

/// Why a step changed nothing.
#[derive(Debug)]
pub(crate) enum Refused {
    Fenced,
    Moved(Generation),
    /// The store was rekeyed; the key must be read again.
    KeyChanged,
    /// What is stored cannot be opened and is not to be overwritten.
    Unreadable(String),
    Seal(SealError),
}

/// SQLite's own errors outside, ours inside.
pub(crate) type Outcome<T> = rusqlite::Result<Result<T, Refused>>;

/// A row as it lies in the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    pub(crate) lease: Option<RawLease>,
    pub(crate) pair: Option<Vec<u8>>,
    pub(crate) login: Option<Vec<u8>>,
    pub(crate) intent: Option<String>,
    pub(crate) latch: Option<String>,
    pub(crate) info: String,
    pub(crate) suspect: Option<Suspect>,
    pub(crate) trouble: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawLease {
    pub(crate) holder: String,
    pub(crate) boot: String,
    pub(crate) until: u64,
}

const COLUMNS: &str = "name, generation, epoch, lease_holder, lease_boot, lease_until, pair, login, intent, \
                       latch, info, suspect, trouble";

fn from_sql(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let holder: Option<String> = row.get(3)?;
    let boot: Option<String> = row.get(4)?;
    let until: Option<i64> = row.get(5)?;
    Ok(Row {
        name: row.get(0)?,
        generation: row.get::<_, i64>(1)? as u64,
        epoch: row.get::<_, i64>(2)? as u64,
        lease: holder.map(|holder| RawLease {
            holder,
            boot: boot.unwrap_or_default(),
            until: until.unwrap_or(0) as u64,
        }),
        pair: row.get(6)?,
        login: row.get(7)?,
        intent: row.get(8)?,
        latch: row.get(9)?,
        info: row.get(10)?,
        suspect: Suspect::of(row.get(11)?),
        trouble: row.get(12)?,
    })
}

pub(crate) fn get(conn: &Connection, name: &str) -> rusqlite::Result<Option<Row>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE name = ?1"))?
        .query_row([name], from_sql)
        .optional()
}

pub(crate) fn all(conn: &Connection) -> rusqlite::Result<Vec<Row>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM sessions ORDER BY name"))?
        .query_map([], from_sql)?
        .collect()
}

impl Row {
    /// The lease, unless it ran out, is of another boot, or its holder is dead.
    pub(crate) fn live_lease(&self, holder: &Holder, boot: &str) -> Option<LeaseView> {
        let lease = self.lease.as_ref()?;
        let for_ms = lease.until.saturating_sub(clock::mono().0);
        (for_ms > 0 && lease.boot == boot && !holder.is_dead(&lease.holder)).then(|| LeaseView {
            holder: lease.holder.clone(),
            for_ms,
            epoch: self.epoch,
        })
    }

    /// Opens what is sealed. What cannot be opened is named in [`Record::unreadable`].
    pub(crate) fn open(&self, vault: &Vault, lease: Option<LeaseView>) -> Record {
        let trouble = self.trouble.as_deref().and_then(trouble::read);
        self.kept().open(vault, lease, trouble)
    }

    fn kept(&self) -> Kept<'_> {
        Kept {
            name: &self.name,
            generation: Generation(self.generation),
            pair: self.pair.as_deref(),
            login: self.login.as_deref(),
            intent: self.intent.as_deref(),
            latch: self.latch.as_deref(),
            info: &self.info,
            suspect: self.suspect,
        }
    }
}

/// JSON of plain data, which cannot fail; `null` reads back as "none".
fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub(crate) fn meta(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

pub(crate) fn set_meta(conn: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute([key, value])?;
    Ok(())
}

/// Whether the store is still sealed with the vault's key.
pub(crate) fn same_key(conn: &Connection, vault: &Vault) -> rusqlite::Result<bool> {
    Ok(meta(conn, "key_id")?.is_some_and(|id| id == vault.key_id().to_string()))
}

/// Counts one more saved pair; the new count.
fn count_save(tx: &Transaction<'_>) -> rusqlite::Result<u64> {
    let saves = saves(tx)? + 1;
    set_meta(tx, "saves", &saves.to_string())?;
    Ok(saves)
}

pub(crate) fn saves(conn: &Connection) -> rusqlite::Result<u64> {
    Ok(meta(conn, "saves")?
        .and_then(|saves| saves.parse().ok())
        .unwrap_or(0))
}

pub(super) fn insert_if_absent(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO sessions (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?
        .execute([name])?;
    Ok(())
}

/// The row if the lease still holds and the generation is the expected one.
fn under_lease(tx: &Transaction<'_>, lease: &Lease, expect: Option<Generation>) -> Outcome<Row> {
    let Some(row) = get(tx, &lease.name)? else {
        return Ok(Err(Refused::Fenced));
    };
    let held = row.epoch == lease.epoch
        && row
            .lease
            .as_ref()
            .is_some_and(|held| held.holder == lease.holder);
    if !held {
        return Ok(Err(Refused::Fenced));
    }
    if expect.is_some_and(|expect| expect.0 != row.generation) {
        return Ok(Err(Refused::Moved(Generation(row.generation))));
    }
    Ok(Ok(row))
}

/// A pair that waits in the spare slot.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) generation: Generation,
    pub(crate) pair: TokenPair,
}

/// Claims the lease; `Err` inside the inner result names who holds it.
pub(crate) fn claim(
    tx: &Transaction<'_>,
    vault: &Vault,
    (name, ttl_ms): (&str, u64),
    (holder, boot): (&Holder, &str),
    waiting: Option<&Waiting>,
) -> Outcome<Result<Row, LeaseView>> {
    if let Some(row) = get(tx, name)?
        && let Some(lease) = row.live_lease(holder, boot)
    {
        return Ok(Ok(Err(lease)));
    }
    insert_if_absent(tx, name)?;
    tx.prepare_cached(
        "UPDATE sessions SET epoch = epoch + 1, lease_holder = ?2, lease_boot = ?3, lease_until = ?4 \
         WHERE name = ?1",
    )?
    .execute(params![name, holder.id(), boot, until(ttl_ms)])?;
    if let Some(waiting) = waiting
        && let Err(refused) = take_in(tx, vault, name, waiting)?
    {
        return Ok(Err(refused));
    }
    let row = get(tx, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Ok(Ok(row)))
}

/// Takes in a waiting pair unless somebody holds the lease; whether it did.
pub(crate) fn adopt(
    tx: &Transaction<'_>,
    vault: &Vault,
    name: &str,
    (holder, boot): (&Holder, &str),
    waiting: &Waiting,
) -> Outcome<bool> {
    if let Some(row) = get(tx, name)?
        && row.live_lease(holder, boot).is_some()
    {
        return Ok(Ok(false));
    }
    insert_if_absent(tx, name)?;
    Ok(take_in(tx, vault, name, waiting)?.map(|()| true))
}

/// Writes a waiting pair into its row if it is newer.
fn take_in(tx: &Transaction<'_>, vault: &Vault, name: &str, waiting: &Waiting) -> Outcome<()> {
    let sealed = match vault.seal_pair(Field::Pair, name, waiting.generation, &waiting.pair) {
        Ok(sealed) => sealed,
        Err(error) => return Ok(Err(Refused::Seal(error))),
    };
    let changed = tx
        .prepare_cached(
            "UPDATE sessions SET generation = ?2, pair = ?3, intent = NULL, latch = NULL, trouble = NULL \
             WHERE name = ?1 AND generation < ?2",
        )?
        .execute(params![name, waiting.generation.0 as i64, sealed])?;
    if changed > 0 {
        count_save(tx)?;
    }
    Ok(Ok(()))
}

pub(crate) fn renew(tx: &Transaction<'_>, lease: &Lease, ttl_ms: u64) -> Outcome<()> {
    if let Err(refused) = under_lease(tx, lease, None)? {
        return Ok(Err(refused));
    }
    tx.prepare_cached("UPDATE sessions SET lease_until = ?2 WHERE name = ?1")?
        .execute(params![lease.name, until(ttl_ms)])?;
    Ok(Ok(()))
}

pub(crate) fn release(tx: &Transaction<'_>, lease: &Lease) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE sessions SET lease_holder = NULL, lease_boot = NULL, lease_until = NULL \
         WHERE name = ?1 AND epoch = ?2 AND lease_holder = ?3",
    )?
    .execute(params![lease.name, lease.epoch as i64, lease.holder])?;
    Ok(())
}

pub(crate) fn write_intent(tx: &Transaction<'_>, lease: &Lease, intent: &Intent) -> Outcome<()> {
    if let Err(refused) = under_lease(tx, lease, Some(intent.generation))? {
        return Ok(Err(refused));
    }
    tx.prepare_cached("UPDATE sessions SET intent = ?2 WHERE name = ?1")?
        .execute(params![lease.name, json(intent)?])?;
    Ok(Ok(()))
}

pub(crate) fn clear_intent(
    tx: &Transaction<'_>,
    lease: &Lease,
    generation: Generation,
) -> Outcome<()> {
    let row = match under_lease(tx, lease, None)? {
        Ok(row) => row,
        Err(refused) => return Ok(Err(refused)),
    };
    if row.generation == generation.0 {
        tx.prepare_cached("UPDATE sessions SET intent = NULL WHERE name = ?1")?
            .execute([&lease.name])?;
    }
    Ok(Ok(()))
}

/// Saves a pair as the next generation; the count of saves.
pub(crate) fn commit(
    tx: &Transaction<'_>,
    vault: &Vault,
    lease: &Lease,
    expect: Generation,
    (pair, info): (&TokenPair, &Info),
) -> Outcome<u64> {
    let row = match under_lease(tx, lease, Some(expect))? {
        Ok(row) => row,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Some(error) = row.kept().locked_pair(vault) {
        return Ok(Err(Refused::Unreadable(error.to_string())));
    }
    let generation = expect.next();
    let sealed = match vault.seal_pair(Field::Pair, &lease.name, generation, pair) {
        Ok(sealed) => sealed,
        Err(error) => return Ok(Err(Refused::Seal(error))),
    };
    tx.prepare_cached(
        "UPDATE sessions SET generation = ?2, pair = ?3, info = ?4, intent = NULL, latch = NULL, suspect = 0, \
         trouble = NULL \
         WHERE name = ?1",
    )?
    .execute(params![
        lease.name,
        generation.0 as i64,
        sealed,
        json(info)?
    ])?;
    Ok(Ok(count_save(tx)?))
}

pub(crate) fn latch(
    tx: &Transaction<'_>,
    lease: &Lease,
    expect: Generation,
    latch: &Latch,
) -> Outcome<()> {
    if let Err(refused) = under_lease(tx, lease, Some(expect))? {
        return Ok(Err(refused));
    }
    tx.prepare_cached(
        "UPDATE sessions SET latch = ?2, intent = NULL, trouble = NULL WHERE name = ?1",
    )?
    .execute(params![lease.name, json(latch)?])?;
    Ok(Ok(()))
}

/// A new login; its generation and the count of saves. The generation is above that of the pair in the spare slot
/// too, which other processes may have adopted.
pub(crate) fn login(
    tx: &Transaction<'_>,
    vault: &Vault,
    (name, spare): (&str, Generation),
    (pair, info): (&TokenPair, &Info),
    stored: Option<&StoredLogin>,
) -> Outcome<(Generation, u64)> {
    insert_if_absent(tx, name)?;
    let row = get(tx, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    put_aside(tx, vault, &row)?;
    let generation = Generation(row.generation).max(spare).next();
    let sealed = vault
        .seal_pair(Field::Pair, name, generation, pair)
        .and_then(|pair| {
            let login = stored
                .map(|login| vault.seal_login(name, login))
                .transpose()?;
            Ok((pair, login))
        });
    let (pair, login) = match sealed {
        Ok(sealed) => sealed,
        Err(error) => return Ok(Err(Refused::Seal(error))),
    };
    tx.prepare_cached(
        "UPDATE sessions SET generation = ?2, pair = ?3, login = ?4, info = ?5, intent = NULL, latch = NULL, \
         trouble = NULL, suspect = 0, epoch = epoch + 1, lease_holder = NULL, lease_boot = NULL, lease_until = NULL \
         WHERE name = ?1",
    )?
    .execute(params![name, generation.0 as i64, pair, login, json(info)?])?;
    Ok(Ok((generation, count_save(tx)?)))
}

/// Copies a row's sealed values to `kept` if one of them cannot be opened. Whether it did.
pub(crate) fn put_aside(tx: &Transaction<'_>, vault: &Vault, row: &Row) -> rusqlite::Result<bool> {
    let Some(why) = row.kept().locked(vault) else {
        return Ok(false);
    };
    tx.prepare_cached(
        "INSERT INTO kept (at, name, generation, pair, login, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        clock::wall().0,
        row.name,
        row.generation as i64,
        row.pair,
        row.login,
        why.to_string()
    ])?;
    Ok(true)
}

pub(crate) fn logout(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE sessions SET pair = NULL, login = NULL, intent = NULL, latch = NULL, trouble = NULL, suspect = 0, \
         epoch = epoch + 1, lease_holder = NULL, lease_boot = NULL, lease_until = NULL WHERE name = ?1",
    )?
    .execute([name])?;
    Ok(())
}

/// Sets everything of a row that needs no key, as an import brings it; counts as a saved pair.
pub(crate) fn put(
    tx: &Transaction<'_>,
    name: &str,
    generation: Generation,
    (info, latch): (&Info, Option<&Latch>),
) -> rusqlite::Result<()> {
    insert_if_absent(tx, name)?;
    tx.prepare_cached(
        "UPDATE sessions SET generation = ?2, info = ?3, latch = ?4, intent = NULL, trouble = NULL, \
         epoch = epoch + 1, lease_holder = NULL, lease_boot = NULL, lease_until = NULL WHERE name = ?1",
    )?
    .execute(params![
        name,
        generation.0 as i64,
        json(info)?,
        latch.map(json).transpose()?
    ])?;
    count_save(tx)?;
    Ok(())
}

pub(crate) fn save_info(tx: &Transaction<'_>, name: &str, info: &Info) -> rusqlite::Result<()> {
    insert_if_absent(tx, name)?;
    tx.prepare_cached("UPDATE sessions SET info = ?2 WHERE name = ?1")?
        .execute(params![name, json(info)?])?;
    Ok(())
}

/// The end of a lease that lasts `ttl_ms` from now, on the store's clock.
fn until(ttl_ms: u64) -> i64 {
    i64::try_from((clock::mono() + ttl_ms).0).unwrap_or(i64::MAX)
}
