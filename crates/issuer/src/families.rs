//! Families in the database: the rotation rule applied in one write.

use serde_json::json;
use tenure_core::family::{self, Decision, Family, Limit, Presented, Subtype};
use tenure_store::StoreError;

use crate::audit::{Act, Pen};
use crate::changes::Change;
use crate::db::{Db, Row, SqlError, SqlResult, Tx, Value, values};
use crate::logouts::{self, Ended};
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
    /// When it was ended, milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// The address it began from.
    pub address: Option<String>,
    /// What the program that began it calls itself.
    pub device: Option<String>,
    /// The address of its last refresh.
    pub last_address: Option<String>,
    /// Whether its user is disabled, or gone.
    pub disabled: bool,
}

/// What became of sessions since an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionsSince {
    /// Sessions from before that went on with a refresh.
    pub renewed: u64,
    /// Sessions from before that are alive and were not used since.
    pub waiting: u64,
    /// Sessions from before that ended since.
    pub ended: u64,
    /// Sessions that began since: people who logged in.
    pub logins: u64,
}

/// The login a family belongs to.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) family: FamilyId,
    pub(crate) user_id: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    /// The thumbprint of the key its refresh tokens are bound to (RFC 9449 §5).
    pub(crate) jkt: Option<String>,
    /// How the person proved who they are (`acr`, OpenID Connect Core §2); none where nobody was asked.
    pub(crate) acr: Option<String>,
}

/// How a refresh ended.
pub(crate) enum Refreshed {
    Granted {
        login: Login,
        family: Family,
        rotated: bool,
    },
    WrongClient,
    WrongBinding,
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
    /// The thumbprint of the key the request proves to hold.
    pub(crate) jkt: Option<String>,
    pub(crate) now_ms: i64,
    /// When the session's access tokens are all expired.
    pub(crate) until_ms: i64,
    pub(crate) options: family::Options,
    /// Who asks.
    pub(crate) pen: Pen,
}

/// Why families end, when, and who ends them.
#[derive(Clone)]
pub(crate) struct End {
    pub(crate) subtype: Subtype,
    pub(crate) now_ms: i64,
    pub(crate) pen: Pen,
    /// When their access tokens are all expired.
    pub(crate) until_ms: i64,
}

const COLUMNS: &str = "generation, born_ms, used_ms, window_from_ms, confirmed, late_at, revoked, user_id, client_id, scope, jkt, acr";

/// What [`shown`] reads.
const SHOWN: &str = "generation, born_ms, used_ms, window_from_ms, confirmed, late_at, revoked, user_id, client_id, scope, jkt, \
     families.id, coalesce((SELECT name FROM users WHERE users.id = user_id), user_id), revoked_ms, address, device, \
     last_address, coalesce((SELECT disabled FROM users WHERE users.id = user_id), 1)";

/// A family as it was read, with its login.
pub(crate) struct Found {
    pub(crate) family: Family,
    pub(crate) login: Login,
    /// Whether its user is disabled, or gone.
    pub(crate) disabled: bool,
}

fn family_of(row: &Row) -> SqlResult<Family> {
    let revoked: Option<String> = row.get(6)?;
    Ok(Family {
        generation: row.get(0)?,
        born_ms: row.get(1)?,
        used_ms: row.get(2)?,
        window_from_ms: row.get(3)?,
        confirmed: row.get(4)?,
        late_at: row.get(5)?,
        // An unknown word comes from a newer program; dead is dead.
        revoked: revoked.map(|word| Subtype::parse(&word).unwrap_or(Subtype::Administrator)),
    })
}

/// Reads [`COLUMNS`], then whether the user is disabled.
pub(crate) fn found(row: &Row, id: FamilyId) -> SqlResult<Found> {
    Ok(Found {
        family: family_of(row)?,
        login: Login {
            family: id,
            user_id: row.get(7)?,
            client_id: row.get(8)?,
            scope: row.get(9)?,
            jkt: row.get(10)?,
            acr: row.get(11)?,
        },
        disabled: row.get(12)?,
    })
}

fn find(tx: &mut dyn Tx, id: FamilyId, lock: bool) -> SqlResult<Option<Found>> {
    // A user who is gone is as good as disabled.
    let sql = format!(
        "SELECT {COLUMNS}, coalesce((SELECT disabled FROM users WHERE users.id = families.user_id), 1) \
         FROM families WHERE id = ?1{}",
        if lock { " FOR UPDATE" } else { "" }
    );
    tx.row(&sql, values![&id.0])?
        .map(|row| found(&row, id))
        .transpose()
}

/// Stores what the rule made of a family: one compare-and-swap on the generation it was decided for.
fn store(
    tx: &mut dyn Tx,
    id: FamilyId,
    expect: &Family,
    family: &Family,
    ask: &Ask,
) -> SqlResult<()> {
    let changed = tx.execute(
        "UPDATE families SET generation = ?3, used_ms = ?4, window_from_ms = ?5, confirmed = ?6, late_at = ?7, \
         revoked = ?8, revoked_ms = ?9, last_address = coalesce(?10, last_address) WHERE id = ?1 AND generation = ?2 AND revoked IS NULL",
        values![
            &id.0,
            expect.generation,
            family.generation,
            family.used_ms,
            family.window_from_ms,
            family.confirmed,
            family.late_at,
            family.revoked.map(Subtype::as_str),
            family.revoked.map(|_| ask.now_ms),
            // Of those who went on; whoever is refused stands in the audit log.
            ask.pen.who.address.as_ref().filter(|_| family.revoked.is_none()),
        ],
    )?;
    // Reading locks the row, or shares one write transaction with writing, so nobody can have come between.
    if changed == 1 {
        Ok(())
    } else {
        Err(SqlError::Moved)
    }
}

/// Begins a family for a login.
pub(crate) fn begin(
    tx: &mut dyn Tx,
    login: &Login,
    pen: &Pen,
    grant: &'static str,
) -> SqlResult<Family> {
    let (now_ms, who) = (pen.now_ms, &pen.who);
    let family = Family::new(now_ms);
    tx.execute(
        "INSERT INTO families (id, user_id, client_id, scope, generation, born_ms, used_ms, window_from_ms, confirmed, jkt, \
         address, device, last_address, acr) VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5, ?5, 0, ?6, ?7, ?8, ?7, ?9)",
        values![
            &login.family.0,
            &login.user_id,
            &login.client_id,
            &login.scope,
            now_ms,
            login.jkt.as_ref(),
            who.address.as_ref(),
            who.device.as_ref(),
            login.acr.as_ref()
        ],
    )?;
    let act = Act {
        user: Some(&login.user_id),
        sid: Some(&login.family.sid()),
        client: Some(&login.client_id),
        detail: json!({ "grant": grant, "scope": login.scope }),
        ..Act::new("session.began")
    };
    pen.note(tx, &act)?;
    Ok(family)
}

/// What a refresh comes to, and what its family becomes, if it changes.
pub(crate) struct Decided {
    pub(crate) answer: Refreshed,
    pub(crate) next: Option<Family>,
}

impl Decided {
    fn unchanged(answer: Refreshed) -> Self {
        Self { answer, next: None }
    }
}

/// The rule, applied to a family as it was read.
pub(crate) fn decide(found: Option<&Found>, ask: &Ask) -> Decided {
    let Some(Found {
        family,
        login,
        disabled,
    }) = found
    else {
        return Decided::unchanged(Refreshed::Unknown);
    };
    let bound = login.jkt.is_none() || login.jkt == ask.jkt;
    let presented = Presented {
        generation: ask.generation,
        matches: login.client_id == ask.client_id && bound,
    };
    let decision = family::decide(family, presented, ask.now_ms, &ask.options);
    if let Decision::Rotate(_) | Decision::SameSuccessor(_) = decision {
        if *disabled {
            return Decided::unchanged(Refreshed::AccountDisabled);
        }
        if ask
            .scope
            .as_deref()
            .is_some_and(|asked| !scope::within(asked, &login.scope))
        {
            return Decided::unchanged(Refreshed::ScopeTooWide);
        }
    }
    Decided::unchanged(match decision {
        Decision::Rotate(next) | Decision::SameSuccessor(next) => {
            let answer = Refreshed::Granted {
                login: login.clone(),
                family: next,
                rotated: next.generation != family.generation,
            };
            return Decided {
                answer,
                next: Some(next),
            };
        }
        Decision::Kill {
            subtype,
            family: dead,
        } => {
            return Decided {
                answer: Refreshed::Killed { subtype },
                next: Some(dead),
            };
        }
        Decision::RefuseMismatch if !bound => Refreshed::WrongBinding,
        Decision::RefuseMismatch => Refreshed::WrongClient,
        Decision::Expired { limit, by_ms } => Refreshed::Expired { limit, by_ms },
        Decision::Revoked(subtype) => Refreshed::Revoked(subtype),
        Decision::Unknown => Refreshed::Unknown,
    })
}

/// Applies the rule to one presented token, in a transaction.
pub(crate) fn refresh_in(tx: &mut dyn Tx, ask: &Ask) -> SqlResult<Refreshed> {
    let found = find(tx, ask.family, true)?;
    let Decided { answer, next } = decide(found.as_ref(), ask);
    if let (Some(next), Some(found)) = (next, found) {
        let last = if next.revoked.is_some() || is_late(&found.family, &next) {
            last_address(tx, ask.family)?
        } else {
            None
        };
        store(tx, ask.family, &found.family, &next, ask)?;
        account(tx, ask, &found, &next, last)?;
    }
    Ok(answer)
}

/// Whether the allowance for late retries was used.
pub(crate) fn is_late(was: &Family, next: &Family) -> bool {
    next.late_at.is_some() && next.late_at != was.late_at
}

fn last_address(tx: &mut dyn Tx, id: FamilyId) -> SqlResult<Option<String>> {
    let sql = "SELECT last_address FROM families WHERE id = ?1";
    let row = tx.row(sql, values![&id.0])?;
    row.map_or(Ok(None), |row| row.get(0))
}

/// Writes down what a false alarm would have to be told from a theft by: the rule, and where both holders were.
fn account(
    tx: &mut dyn Tx,
    ask: &Ask,
    found: &Found,
    next: &Family,
    last_address: Option<String>,
) -> SqlResult<()> {
    let action = match next.revoked {
        Some(_) => "session.killed",
        None if is_late(&found.family, next) => "session.retried_late",
        None => return Ok(()),
    };
    let sid = ask.family.sid();
    if next.revoked.is_some() {
        let ended = Ended {
            family: ask.family,
            user_id: found.login.user_id.clone(),
            client_id: found.login.client_id.clone(),
        };
        logouts::enqueue(tx, &[ended], ask.now_ms)?;
        Change::session(sid.clone(), ask.until_ms).append(tx)?;
    }
    let act = Act {
        user: Some(&found.login.user_id),
        sid: Some(&sid),
        client: Some(&found.login.client_id),
        detail: json!({
            "rule": next.revoked.map(Subtype::as_str),
            "presented": ask.generation,
            "generation": found.family.generation,
            "last_use_ms": found.family.used_ms,
            "last_address": last_address,
        }),
        ..Act::new(action)
    };
    ask.pen.note(tx, &act)
}

/// The family and its login, as stored.
pub(crate) async fn look(db: &Db, id: FamilyId) -> Result<Option<Found>, StoreError> {
    db.read(move |tx| find(tx, id, false)).await
}

/// Notes that an access token of `generation` was seen in use.
pub(crate) async fn confirm(db: &Db, id: FamilyId, generation: u64) -> Result<(), StoreError> {
    db.write(move |tx| {
        tx.execute(
            "UPDATE families SET confirmed = 1 WHERE id = ?1 AND generation = ?2 AND confirmed = 0",
            values![&id.0, generation],
        )
        .map(drop)
    })
    .await
}

/// The same for many at once.
pub(crate) async fn confirm_all(db: &Db, uses: Vec<(FamilyId, u64)>) -> Result<(), StoreError> {
    db.write(move |tx| {
        for (id, generation) in &uses {
            tx.execute(
                "UPDATE families SET confirmed = 1 WHERE id = ?1 AND generation = ?2 AND confirmed = 0",
                values![&id.0, *generation],
            )?;
        }
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
pub(crate) async fn revoke(db: &Db, which: Which, end: End) -> Result<Vec<FamilyId>, StoreError> {
    db.write(move |tx| revoke_in(tx, &which, &end)).await
}

pub(crate) fn revoke_in(tx: &mut dyn Tx, which: &Which, end: &End) -> SqlResult<Vec<FamilyId>> {
    let (filter, name): (_, Option<Value>) = match which {
        Which::One(one) => (" AND id = ?3", Some((&one.0).into())),
        Which::OfUser(user) => (" AND user_id = ?3", Some(user.into())),
        Which::OfClient(client) => (" AND client_id = ?3", Some(client.into())),
        Which::All => ("", None),
    };
    let sql = format!(
        "UPDATE families SET revoked = ?1, revoked_ms = ?2 WHERE revoked IS NULL{filter} RETURNING id, user_id, client_id"
    );
    let mut values = values![end.subtype.as_str(), end.now_ms].to_vec();
    values.extend(name);
    let ended = tx
        .query(&sql, &values)?
        .iter()
        .map(ended)
        .collect::<SqlResult<Vec<_>>>()?;
    logouts::enqueue(tx, &ended, end.now_ms)?;
    let ended: Vec<_> = ended.into_iter().map(|one| one.family).collect();
    for id in &ended {
        Change::session(id.sid(), end.until_ms).append(tx)?;
    }
    if !ended.is_empty() {
        note_end(tx, which, end, &ended)?;
    }
    Ok(ended)
}

fn ended(row: &Row) -> SqlResult<Ended> {
    Ok(Ended {
        family: FamilyId(row.get(0)?),
        user_id: row.get(1)?,
        client_id: row.get(2)?,
    })
}

/// One entry, however many sessions ended.
fn note_end(tx: &mut dyn Tx, which: &Which, end: &End, ended: &[FamilyId]) -> SqlResult<()> {
    let (what, user, client) = match which {
        Which::One(_) => ("session", None, None),
        Which::OfUser(user) => ("user", Some(user.clone()), None),
        Which::OfClient(client) => ("client", None, Some(client.clone())),
        Which::All => ("all", None, None),
    };
    let (user, client, sid) = match which {
        Which::One(id) => {
            let sql = "SELECT user_id, client_id FROM families WHERE id = ?1";
            let row = tx.row(sql, values![&id.0])?;
            let (user, client) = row.map_or(Ok((None, None)), |row| -> SqlResult<_> {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            (user, client, Some(id.sid()))
        }
        _ => (user, client, None),
    };
    let act = Act {
        user: user.as_deref(),
        sid: sid.as_deref(),
        client: client.as_deref(),
        detail: json!({ "of": what, "ended": ended.len(), "reason": end.subtype.as_str() }),
        ..Act::new("session.ended")
    };
    end.pen.note(tx, &act)
}

/// The living families of a user.
pub(crate) fn living(tx: &mut dyn Tx, user: &str) -> SqlResult<Vec<Ended>> {
    tx.query(
        "SELECT id, user_id, client_id FROM families WHERE user_id = ?1 AND revoked IS NULL",
        values![user],
    )?
    .iter()
    .map(ended)
    .collect()
}

/// Sessions revoked since `since_ms`: those whose access tokens may still be alive.
pub(crate) async fn revoked_since(
    db: &Db,
    since_ms: i64,
) -> Result<Vec<(FamilyId, i64)>, StoreError> {
    db.read(move |tx| {
        tx.query(
            "SELECT id, revoked_ms FROM families WHERE revoked_ms IS NOT NULL AND revoked_ms >= ?1",
            values![since_ms],
        )?
        .iter()
        .map(|row| Ok((FamilyId(row.get(0)?), row.get(1)?)))
        .collect()
    })
    .await
}

/// What became of sessions since `since_ms`; those not used since `idle_from_ms` are over and do not count.
pub(crate) async fn since(
    db: &Db,
    since_ms: i64,
    idle_from_ms: i64,
) -> Result<SessionsSince, StoreError> {
    const COUNT: &str = "SELECT \
        coalesce(sum(CASE WHEN born_ms < ?1 AND revoked IS NULL AND used_ms >= ?1 THEN 1 ELSE 0 END), 0), \
        coalesce(sum(CASE WHEN born_ms < ?1 AND revoked IS NULL AND used_ms < ?1 AND used_ms >= ?2 THEN 1 ELSE 0 END), 0), \
        coalesce(sum(CASE WHEN born_ms < ?1 AND revoked_ms >= ?1 THEN 1 ELSE 0 END), 0), \
        coalesce(sum(CASE WHEN born_ms >= ?1 THEN 1 ELSE 0 END), 0) FROM families";
    db.read(move |tx| {
        let Some(row) = tx.row(COUNT, values![since_ms, idle_from_ms])? else {
            return Ok(SessionsSince::default());
        };
        Ok(SessionsSince {
            renewed: row.get(0)?,
            waiting: row.get(1)?,
            ended: row.get(2)?,
            logins: row.get(3)?,
        })
    })
    .await
}

/// The sessions of a user, of a client, or all; newest login first, at most `limit`.
pub(crate) async fn list(
    db: &Db,
    user_id: Option<String>,
    client_id: Option<String>,
    limit: usize,
) -> Result<Vec<SessionInfo>, StoreError> {
    db.read(move |tx| {
        let mut sql = format!("SELECT {SHOWN} FROM families");
        let mut values = Vec::new();
        let mut also = |text: &str, value: Value| {
            values.push(value);
            sql.push_str(&text.replace('#', &format!("?{}", values.len())));
        };
        let mut word = " WHERE";
        for (column, wanted) in [("user_id", &user_id), ("client_id", &client_id)] {
            if let Some(wanted) = wanted {
                also(&format!("{word} {column} = #"), wanted.into());
                word = " AND";
            }
        }
        also(
            " ORDER BY born_ms DESC, families.id LIMIT #",
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        );
        tx.query(&sql, &values)?.iter().map(shown).collect()
    })
    .await
}

/// One session.
pub(crate) async fn show(db: &Db, id: FamilyId) -> Result<Option<SessionInfo>, StoreError> {
    db.read(move |tx| {
        let sql = format!("SELECT {SHOWN} FROM families WHERE id = ?1");
        tx.row(&sql, values![&id.0])?
            .map(|row| shown(&row))
            .transpose()
    })
    .await
}

fn shown(row: &Row) -> SqlResult<SessionInfo> {
    Ok(SessionInfo {
        sid: FamilyId(row.get(11)?).sid(),
        user: row.get(12)?,
        client_id: row.get(8)?,
        scope: row.get(9)?,
        family: family_of(row)?,
        ended_ms: row.get(13)?,
        address: row.get(14)?,
        device: row.get(15)?,
        last_address: row.get(16)?,
        disabled: row.get(17)?,
    })
}
