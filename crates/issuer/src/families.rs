//! Families in the database: the rotation rule applied in one write.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tenure_core::family::{self, Decision, Family, Limit, Presented, Subtype};
use tenure_store::StoreError;
use tenure_store::sqlite::Db;

use crate::refresh_token::FamilyId;
use crate::scope;

/// A session as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its `sid`.
    pub sid: String,
    /// Who logged in.
    pub user: String,
    /// With which client.
    pub client_id: String,
    /// What was granted.
    pub scope: String,
    /// Its state.
    pub family: Family,
}

/// The login a family belongs to.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) family: FamilyId,
    pub(crate) user_id: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
}

/// How a refresh ended.
pub(crate) enum Refreshed {
    Granted {
        login: Login,
        family: Family,
        rotated: bool,
    },
    WrongClient,
    ScopeTooWide,
    Expired {
        limit: Limit,
        by_ms: u64,
    },
    Revoked(Subtype),
    Killed {
        subtype: Subtype,
    },
    AccountDisabled,
    Unknown,
}

/// One refresh as it was asked for.
pub(crate) struct Ask {
    pub(crate) family: FamilyId,
    pub(crate) generation: u64,
    pub(crate) client_id: String,
    pub(crate) scope: Option<String>,
    pub(crate) now_ms: i64,
    pub(crate) options: family::Options,
}

const COLUMNS: &str = "generation, born_ms, used_ms, window_from_ms, confirmed, late_at, revoked, user_id, client_id, scope";

fn family_of(row: &Row<'_>) -> rusqlite::Result<Family> {
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    let revoked: Option<String> = row.get(6)?;
    Ok(Family {
        generation: unsigned(row.get(0)?),
        born_ms: row.get(1)?,
        used_ms: row.get(2)?,
        window_from_ms: row.get(3)?,
        confirmed: row.get(4)?,
        late_at: row.get::<_, Option<i64>>(5)?.map(unsigned),
        // An unknown word comes from a newer program; dead is dead.
        revoked: revoked.map(|word| Subtype::parse(&word).unwrap_or(Subtype::Administrator)),
    })
}

fn find(conn: &Connection, id: FamilyId) -> rusqlite::Result<Option<(Family, Login, bool)>> {
    let sql = format!(
        "SELECT {COLUMNS}, (SELECT disabled FROM users WHERE users.id = families.user_id) FROM families WHERE id = ?1"
    );
    conn.prepare_cached(&sql)?
        .query_row([id.0.as_slice()], |row| {
            let login = Login {
                family: id,
                user_id: row.get(7)?,
                client_id: row.get(8)?,
                scope: row.get(9)?,
            };
            // A user who is gone is as good as disabled.
            Ok((
                family_of(row)?,
                login,
                row.get::<_, Option<bool>>(10)?.unwrap_or(true),
            ))
        })
        .optional()
}

/// Stores what the rule made of a family: one compare-and-swap on the generation it was decided for.
fn store(
    tx: &Transaction<'_>,
    id: FamilyId,
    expect: &Family,
    family: &Family,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let changed = tx
        .prepare_cached(
            "UPDATE families SET generation = ?3, used_ms = ?4, window_from_ms = ?5, confirmed = ?6, late_at = ?7, \
             revoked = ?8, revoked_ms = ?9 WHERE id = ?1 AND generation = ?2 AND revoked IS NULL",
        )?
        .execute(params![
            id.0.as_slice(),
            signed(expect.generation),
            signed(family.generation),
            family.used_ms,
            family.window_from_ms,
            family.confirmed,
            family.late_at.map(signed),
            family.revoked.map(Subtype::as_str),
            family.revoked.map(|_| now_ms),
        ])?;
    // Reading and writing share one write transaction, so nobody can have come between.
    if changed == 1 {
        Ok(())
    } else {
        Err(rusqlite::Error::StatementChangedRows(changed))
    }
}

/// Begins a family for a login.
pub(crate) fn begin(tx: &Transaction<'_>, login: &Login, now_ms: i64) -> rusqlite::Result<Family> {
    let family = Family::new(now_ms);
    tx.prepare_cached(
        "INSERT INTO families (id, user_id, client_id, scope, generation, born_ms, used_ms, window_from_ms, confirmed) \
         VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5, ?5, 0)",
    )?
    .execute(params![login.family.0.as_slice(), login.user_id, login.client_id, login.scope, now_ms])?;
    Ok(family)
}

/// Applies the rule to one presented token. When this returns, what it decided is durable.
pub(crate) async fn refresh(db: &Db, ask: Ask) -> Result<Refreshed, StoreError> {
    db.write(move |tx| refresh_in(tx, &ask)).await
}

fn refresh_in(tx: &Transaction<'_>, ask: &Ask) -> rusqlite::Result<Refreshed> {
    let Some((family, login, disabled)) = find(tx, ask.family)? else {
        return Ok(Refreshed::Unknown);
    };
    let presented = Presented {
        generation: ask.generation,
        matches: login.client_id == ask.client_id,
    };
    let decision = family::decide(&family, presented, ask.now_ms, &ask.options);
    if let Decision::Rotate(_) | Decision::SameSuccessor(_) = decision {
        if disabled {
            return Ok(Refreshed::AccountDisabled);
        }
        if ask
            .scope
            .as_deref()
            .is_some_and(|asked| !scope::within(asked, &login.scope))
        {
            return Ok(Refreshed::ScopeTooWide);
        }
    }
    Ok(match decision {
        Decision::Rotate(next) | Decision::SameSuccessor(next) => {
            store(tx, ask.family, &family, &next, ask.now_ms)?;
            Refreshed::Granted {
                login,
                family: next,
                rotated: next.generation != family.generation,
            }
        }
        Decision::Kill {
            subtype,
            family: dead,
        } => {
            store(tx, ask.family, &family, &dead, ask.now_ms)?;
            Refreshed::Killed { subtype }
        }
        Decision::RefuseMismatch => Refreshed::WrongClient,
        Decision::Expired { limit, by_ms } => Refreshed::Expired { limit, by_ms },
        Decision::Revoked(subtype) => Refreshed::Revoked(subtype),
        Decision::Unknown => Refreshed::Unknown,
    })
}

/// The family and its login, as stored.
pub(crate) async fn look(
    db: &Db,
    id: FamilyId,
) -> Result<Option<(Family, Login, bool)>, StoreError> {
    db.read(move |conn| find(conn, id)).await
}

/// Notes that an access token of `generation` was seen in use.
pub(crate) async fn confirm(db: &Db, id: FamilyId, generation: u64) -> Result<(), StoreError> {
    let generation = i64::try_from(generation).unwrap_or(i64::MAX);
    db.write(move |tx| {
        tx.execute(
            "UPDATE families SET confirmed = 1 WHERE id = ?1 AND generation = ?2 AND confirmed = 0",
            params![id.0.as_slice(), generation],
        )?;
        Ok(())
    })
    .await
}

/// Which families to end.
#[derive(Clone)]
pub(crate) enum Which {
    One(FamilyId),
    OfUser(String),
    OfClient(String),
    All,
}

/// Ends families; returns those that were alive.
pub(crate) async fn revoke(
    db: &Db,
    which: Which,
    subtype: Subtype,
    now_ms: i64,
) -> Result<Vec<FamilyId>, StoreError> {
    db.write(move |tx| revoke_in(tx, &which, subtype, now_ms))
        .await
}

pub(crate) fn revoke_in(
    tx: &Transaction<'_>,
    which: &Which,
    subtype: Subtype,
    now_ms: i64,
) -> rusqlite::Result<Vec<FamilyId>> {
    let sql = |filter: &str| {
        format!(
            "UPDATE families SET revoked = ?1, revoked_ms = ?2 WHERE revoked IS NULL AND {filter} RETURNING id"
        )
    };
    let word = subtype.as_str();
    let id = |row: &Row<'_>| row.get::<_, [u8; 16]>(0).map(FamilyId);
    match which {
        Which::One(one) => tx
            .prepare(&sql("id = ?3"))?
            .query_map(params![word, now_ms, one.0.as_slice()], id)?
            .collect(),
        Which::OfUser(user) => tx
            .prepare(&sql("user_id = ?3"))?
            .query_map(params![word, now_ms, user], id)?
            .collect(),
        Which::OfClient(client) => tx
            .prepare(&sql("client_id = ?3"))?
            .query_map(params![word, now_ms, client], id)?
            .collect(),
        Which::All => tx
            .prepare(&sql("1"))?
            .query_map(params![word, now_ms], id)?
            .collect(),
    }
}

/// Sessions revoked since `since_ms`: those whose access tokens may still be alive.
pub(crate) async fn revoked_since(
    db: &Db,
    since_ms: i64,
) -> Result<Vec<(FamilyId, i64)>, StoreError> {
    db.read(move |conn| {
        conn.prepare(
            "SELECT id, revoked_ms FROM families WHERE revoked_ms IS NOT NULL AND revoked_ms >= ?1",
        )?
        .query_map([since_ms], |row| Ok((FamilyId(row.get(0)?), row.get(1)?)))?
        .collect()
    })
    .await
}

/// All sessions, newest login first, at most `limit`.
pub(crate) async fn list(db: &Db, limit: usize) -> Result<Vec<SessionInfo>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    db.read(move |conn| {
        let sql = format!(
            "SELECT {COLUMNS}, families.id, coalesce((SELECT name FROM users WHERE users.id = user_id), user_id) \
             FROM families ORDER BY born_ms DESC, families.id LIMIT ?1"
        );
        conn.prepare(&sql)?
            .query_map([limit], |row| {
                Ok(SessionInfo {
                    sid: FamilyId(row.get(10)?).sid(),
                    user: row.get(11)?,
                    client_id: row.get(8)?,
                    scope: row.get(9)?,
                    family: family_of(row)?,
                })
            })?
            .collect()
    })
    .await
}
