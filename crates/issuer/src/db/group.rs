//! Refreshes on PostgreSQL, in groups: one query reads the families of all that wait, the rule decides, one
//! statement writes what it decided where nobody came between, and one flush makes all of it durable. Nobody is
//! answered before that.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use tenure_core::family::{Family, Subtype};
use tenure_store::StoreError;
use tokio::sync::oneshot;

use super::postgres::Conn;
use super::{Row, SqlError};
use crate::families::{self, Ask, Decided, Found, Refreshed};

/// How many refreshes share one flush at most.
const GROUP_MAX: usize = 256;
/// How often a family is read again because another process came between.
const ROUNDS: u32 = 16;

const READ: &str = "SELECT generation, born_ms, used_ms, window_from_ms, confirmed, late_at, revoked, user_id, \
    client_id, scope, jkt, acr, coalesce((SELECT disabled FROM users WHERE users.id = families.user_id), 1), id \
    FROM families WHERE id = ANY($1)";

/// What another process did in between is told by the generation, the late retry and the revocation; that a
/// generation was seen in use may be told at any time and is kept.
const WRITE: &str = "UPDATE families SET generation = n.generation, used_ms = n.used, window_from_ms = n.window_from, \
    confirmed = CASE WHEN families.generation = n.generation THEN greatest(families.confirmed, n.confirmed) \
    ELSE n.confirmed END, late_at = n.late, revoked = n.revoked, revoked_ms = n.revoked_ms, \
    last_address = coalesce(n.address, families.last_address) \
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
    $8::bigint[], $9::text[], $10::bigint[], $11::text[]) \
    AS n(id, was, was_late, generation, used, window_from, confirmed, late, revoked, revoked_ms, address) \
    WHERE families.id = n.id AND families.generation = n.was AND families.late_at IS NOT DISTINCT FROM n.was_late \
    AND families.revoked IS NULL RETURNING families.id";

/// A refresh that waits for its answer.
pub(super) struct Waiting {
    pub(super) ask: Ask,
    pub(super) reply: oneshot::Sender<Result<Refreshed, StoreError>>,
}

/// Serves refreshes until nobody can ask any more.
pub(super) fn run(mut conn: Conn, queue: &Mutex<Receiver<Waiting>>) {
    loop {
        let group: Vec<Waiting> = {
            let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(first) = queue.recv() else { return };
            std::iter::once(first)
                .chain(queue.try_iter().take(GROUP_MAX - 1))
                .collect()
        };
        serve(&mut conn, group);
    }
}

fn serve(conn: &mut Conn, mut group: Vec<Waiting>) {
    for _ in 0..ROUNDS {
        match round(conn, group) {
            Ok(rest) if rest.is_empty() => return,
            Ok(rest) => group = rest,
            Err(()) => return,
        }
    }
    for waiting in group {
        // Nobody listens when the caller was dropped.
        drop(waiting.reply.send(Err(StoreError::Busy {
            path: "postgres".into(),
            waited_ms: 0,
        })));
    }
}

/// What is written of one family, and what it was decided on.
struct Change {
    was: Family,
    next: Family,
    now_ms: i64,
    address: Option<String>,
}

/// Answers whoever can be answered now; returns those whose family was changed by somebody else meanwhile.
fn round(conn: &mut Conn, group: Vec<Waiting>) -> Result<Vec<Waiting>, ()> {
    let ids: Vec<&[u8]> = group
        .iter()
        .map(|waiting| waiting.ask.family.0.as_slice())
        .collect();
    let read = conn.statement(READ, true, |client, statement| {
        client.query(statement, &[&ids])
    });
    let mut found = match read.and_then(|rows| known(&rows)) {
        Ok(found) => found,
        Err(error) => return refuse(group, &error),
    };
    let mut changes: HashMap<[u8; 16], Change> = HashMap::new();
    let mut decided: Vec<(Waiting, Refreshed)> = Vec::with_capacity(group.len());
    // What is written down or told to others is done in a transaction of its own; whoever asks after it comes after it.
    let mut ending: Vec<Waiting> = Vec::new();
    for waiting in group {
        let id = waiting.ask.family.0;
        if ending.iter().any(|before| before.ask.family.0 == id) {
            ending.push(waiting);
            continue;
        }
        let Decided { answer, next } = families::decide(found.get(&id), &waiting.ask);
        let was = found.get(&id).map(|found| found.family);
        let late = was
            .zip(next)
            .is_some_and(|(was, next)| families::is_late(&was, &next));
        if late || matches!(answer, Refreshed::Killed { .. }) {
            ending.push(waiting);
            continue;
        }
        if let (Some(next), Some(found)) = (next, found.get_mut(&id)) {
            // Whoever asks next in this group meets what was decided for those before.
            let change = changes.entry(id).or_insert_with(|| Change {
                was: found.family,
                next,
                now_ms: waiting.ask.now_ms,
                address: None,
            });
            change.next = next;
            change.now_ms = waiting.ask.now_ms;
            change.address.clone_from(&waiting.ask.pen.who.address);
            found.family = next;
        }
        decided.push((waiting, answer));
    }
    let kept = match write(conn, &changes) {
        Ok(kept) => kept,
        Err(error) => {
            let rest = decided.into_iter().map(|(waiting, _)| waiting);
            return refuse(rest.chain(ending).collect(), &error);
        }
    };
    let mut rest = Vec::new();
    for (waiting, answer) in decided {
        let id = waiting.ask.family.0;
        if changes.contains_key(&id) && !kept.contains(&id) {
            rest.push(waiting);
        } else {
            drop(waiting.reply.send(Ok(answer)));
        }
    }
    for waiting in ending {
        let answer = conn.transact(&|tx| families::refresh_in(tx, &waiting.ask));
        drop(waiting.reply.send(answer));
    }
    Ok(rest)
}

fn refuse(group: Vec<Waiting>, error: &StoreError) -> Result<Vec<Waiting>, ()> {
    for waiting in group {
        drop(waiting.reply.send(Err(error.clone())));
    }
    Err(())
}

fn known(rows: &[::postgres::Row]) -> Result<HashMap<[u8; 16], Found>, StoreError> {
    let read = |row: &::postgres::Row| -> Result<([u8; 16], Found), SqlError> {
        let row = Row::from_postgres(row)?;
        let id: [u8; 16] = row.get(13)?;
        Ok((
            id,
            families::found(&row, crate::refresh_token::FamilyId(id))?,
        ))
    };
    rows.iter()
        .map(|row| {
            read(row).map_err(|error| StoreError::Internal {
                path: "postgres".into(),
                detail: error.to_string(),
            })
        })
        .collect()
}

/// Writes all changes in one statement, which commits by itself; returns the families that were as expected.
fn write(
    conn: &mut Conn,
    changes: &HashMap<[u8; 16], Change>,
) -> Result<Vec<[u8; 16]>, StoreError> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let all = || changes.iter();
    let ids: Vec<&[u8]> = all().map(|(id, _)| id.as_slice()).collect();
    let was: Vec<i64> = all().map(|(_, c)| signed(c.was.generation)).collect();
    let was_late: Vec<Option<i64>> = all().map(|(_, c)| c.was.late_at.map(signed)).collect();
    let generation: Vec<i64> = all().map(|(_, c)| signed(c.next.generation)).collect();
    let used: Vec<i64> = all().map(|(_, c)| c.next.used_ms).collect();
    let window: Vec<i64> = all().map(|(_, c)| c.next.window_from_ms).collect();
    let confirmed: Vec<i64> = all().map(|(_, c)| c.next.confirmed.into()).collect();
    let late: Vec<Option<i64>> = all().map(|(_, c)| c.next.late_at.map(signed)).collect();
    let revoked: Vec<Option<&str>> = all()
        .map(|(_, c)| c.next.revoked.map(Subtype::as_str))
        .collect();
    let revoked_ms: Vec<Option<i64>> = all()
        .map(|(_, c)| c.next.revoked.map(|_| c.now_ms))
        .collect();
    let addresses: Vec<Option<&str>> = all().map(|(_, c)| c.address.as_deref()).collect();
    let rows = conn.statement(WRITE, false, |client, statement| {
        client.query(
            statement,
            &[
                &ids,
                &was,
                &was_late,
                &generation,
                &used,
                &window,
                &confirmed,
                &late,
                &revoked,
                &revoked_ms,
                &addresses,
            ],
        )
    })?;
    Ok(rows
        .iter()
        .filter_map(|row| row.try_get::<_, &[u8]>(0).ok()?.try_into().ok())
        .collect())
}
