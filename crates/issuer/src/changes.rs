//! What every process that shares the database must come to know: revocations, and that keys or clients changed.
//!
//! Each is a row with a number, written in the transaction that makes it true. Whoever writes one holds a lock
//! until the commit, so numbers become visible in their order and a reader that remembers the last one it saw
//! misses none.

use tenure_store::StoreError;

use crate::db::{Db, Row, SqlError, SqlResult, Tx, values};

/// How many rows are read at once.
const PAGE: i64 = 1_000;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Access tokens of a session are refused.
    Session,
    /// One access token is refused.
    Token,
    /// Tokens of one signing key are refused, also where the key is still in a cached key set.
    Key,
    /// Signing keys are to be read again.
    Keys,
    /// Clients are to be read again.
    Clients,
    /// Lifetimes are to be read again.
    Lifetimes,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Session => "session",
            Kind::Token => "token",
            Kind::Key => "key",
            Kind::Keys => "keys",
            Kind::Clients => "clients",
            Kind::Lifetimes => "lifetimes",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Kind::Session,
            Kind::Token,
            Kind::Key,
            Kind::Keys,
            Kind::Clients,
            Kind::Lifetimes,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

/// One change, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    /// The `sid`, the `jti` or the `kid`; empty for what is to be read again.
    pub(crate) id: String,
    /// Of a session: its access tokens issued at or before this second are refused.
    pub(crate) before_s: i64,
    /// From this instant on nobody needs to know it any more, in milliseconds since the epoch.
    pub(crate) until_ms: i64,
}

impl Change {
    /// Every access token of a session is refused, whenever it was issued.
    pub(crate) fn session(sid: String, until_ms: i64) -> Self {
        Self {
            kind: Kind::Session,
            id: sid,
            before_s: i64::MAX,
            until_ms,
        }
    }

    pub(crate) fn token(jti: String, until_ms: i64) -> Self {
        Self {
            kind: Kind::Token,
            id: jti,
            before_s: i64::MAX,
            until_ms,
        }
    }

    /// Tokens of a signing key are refused. For a month, since whoever has the key can make tokens that last: a cached
    /// key set is older than that nowhere.
    pub(crate) fn key(kid: String, now_ms: i64) -> Self {
        Self {
            kind: Kind::Key,
            id: kid,
            before_s: i64::MAX,
            until_ms: now_ms.saturating_add(30 * 24 * 3_600_000),
        }
    }

    /// Something is to be read again. A day is longer than any process goes without looking.
    pub(crate) fn reload(kind: Kind, now_ms: i64) -> Self {
        Self {
            kind,
            id: String::new(),
            before_s: 0,
            until_ms: now_ms.saturating_add(24 * 3_600_000),
        }
    }

    /// Writes it; call it last in a transaction, for others wait from here to the commit.
    pub(crate) fn append(&self, tx: &mut dyn Tx) -> SqlResult<()> {
        tx.in_turn()?;
        tx.execute(
            "INSERT INTO changes (kind, id, before_s, until_ms) VALUES (?1, ?2, ?3, ?4)",
            values![self.kind.as_str(), &self.id, self.before_s, self.until_ms],
        )?;
        Ok(())
    }
}

fn read(row: &Row) -> SqlResult<(u64, Change)> {
    let kind: String = row.get(1)?;
    // An unknown kind comes from a newer program, which this one cannot follow.
    let kind = Kind::parse(&kind).ok_or(SqlError::Column {
        column: 1,
        found: "a kind of change that only a newer version knows",
    })?;
    Ok((
        row.get(0)?,
        Change {
            kind,
            id: row.get(2)?,
            before_s: row.get(3)?,
            until_ms: row.get(4)?,
        },
    ))
}

/// The changes numbered above `seq`, oldest first, at most a page.
pub(crate) async fn after(db: &Db, seq: u64) -> Result<Vec<(u64, Change)>, StoreError> {
    db.read(move |tx| {
        tx.query(
            "SELECT seq, kind, id, before_s, until_ms FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            values![seq, PAGE],
        )?
        .iter()
        .map(read)
        .collect()
    })
    .await
}
