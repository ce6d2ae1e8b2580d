//! The audit log: who did what, when and from where, in a chain that shows when an entry was changed or taken out.
//!
//! Every entry is written in the transaction that makes it true. Its MAC covers the MAC before it, under a key that is
//! derived from the sealed master key: whoever can write the database and has no seal cannot make, change, move or
//! take out an entry unseen. Entries taken off the end are seen by whoever noted a [`Head`] elsewhere.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tenure_jose::hmac_sha256;
use tenure_store::StoreError;
use zeroize::Zeroizing;

use crate::db::{Db, Row, SqlResult, Tx, Value, values};

/// How many entries are read at once.
const PAGE: usize = 1_000;
/// The MAC before the first entry.
const ROOT: [u8; 32] = [0; 32];

/// Who does something, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// A person, a client or a program, in words.
    pub by: String,
    /// Its network address.
    pub address: Option<String>,
    /// What its program calls itself (`User-Agent`).
    pub device: Option<String>,
}

impl Who {
    /// Somebody at this machine.
    pub fn here(by: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            ..Self::default()
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its number: one more than that of the entry before.
    pub seq: u64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who, and from where.
    pub who: Who,
    /// What was done, for example `session.killed`.
    pub action: String,
    /// The user it is about: the id.
    pub user_id: Option<String>,
    /// The name of that user, where it is known today.
    pub user: Option<String>,
    /// The session it is about.
    pub sid: Option<String>,
    /// The client it is about.
    pub client: Option<String>,
    /// What else is known.
    pub detail: Json,
    /// The chain up to here.
    pub mac: [u8; 32],
}

/// The last entry of a chain: noted elsewhere, it proves later that nothing before it was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 for an empty log.
    pub seq: u64,
    /// Its MAC.
    pub mac: [u8; 32],
}

/// A text is no [`Head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is written SEQ:MAC, as the check of the log shows it")]
pub struct NotAHead;

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (seq, digits) = text.split_once(':').ok_or(NotAHead)?;
        let seq = seq.parse().map_err(|_| NotAHead)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotAHead);
        }
        let mut mac = [0; 32];
        for (at, byte) in mac.iter_mut().enumerate() {
            let pair = &digits[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAHead)?;
        }
        Ok(Self { seq, mac })
    }
}

/// Where a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry does not fit its MAC, or the one before it.
    #[error("entry {seq} was changed, or the one before it")]
    Changed {
        /// Its number.
        seq: u64,
    },
    /// Entries are not there.
    #[error("entries {from} to {to} were taken out")]
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

/// Which entries to show.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Those about this session.
    pub sid: Option<String>,
    /// Those about the user of this name.
    pub user: Option<String>,
    /// Those whose action begins so.
    pub action: Option<String>,
}

/// What is done, without who does it.
pub(crate) struct Act<'a> {
    pub(crate) action: &'static str,
    pub(crate) user: Option<&'a str>,
    pub(crate) sid: Option<&'a str>,
    pub(crate) client: Option<&'a str>,
    pub(crate) detail: Json,
}

impl Act<'_> {
    pub(crate) fn new(action: &'static str) -> Self {
        Act {
            action,
            user: None,
            sid: None,
            client: None,
            detail: json!({}),
        }
    }
}

/// The key of the chain. Wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Writes entries for somebody.
#[derive(Clone)]
pub(crate) struct Pen {
    key: Arc<Key>,
    pub(crate) who: Who,
    pub(crate) now_ms: i64,
}

impl Pen {
    pub(crate) fn new(key: &Arc<Key>, who: Who, now_ms: i64) -> Self {
        let key = Arc::clone(key);
        Self { key, who, now_ms }
    }

    /// The same for somebody else.
    pub(crate) fn of(&self, who: Who) -> Self {
        Self {
            who,
            ..self.clone()
        }
    }

    /// Writes an entry; call it last in a transaction, for others wait from here to the commit.
    pub(crate) fn note(&self, tx: &mut dyn Tx, act: &Act<'_>) -> SqlResult<()> {
        tx.in_turn()?;
        let last = tx.row("SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1", &[])?;
        let (seq, before): (u64, [u8; 32]) = match last {
            Some(row) => (row.get(0)?, row.get(1)?),
            None => (0, ROOT),
        };
        let entry = Entry {
            seq: seq + 1,
            at_ms: self.now_ms,
            by: self.who.by.clone(),
            address: self.who.address.clone(),
            device: self.who.device.clone(),
            action: act.action.to_owned(),
            user_id: act.user.map(str::to_owned),
            sid: act.sid.map(str::to_owned),
            client: act.client.map(str::to_owned),
            detail: act.detail.to_string(),
        };
        tx.execute(
            "INSERT INTO audit (seq, at_ms, actor, address, device, action, user_id, sid, client_id, detail, mac) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            values![
                entry.seq,
                entry.at_ms,
                &entry.by,
                entry.address.as_ref(),
                entry.device.as_ref(),
                &entry.action,
                entry.user_id.as_ref(),
                entry.sid.as_ref(),
                entry.client.as_ref(),
                &entry.detail,
                &entry.mac(&self.key, &before)
            ],
        )?;
        Ok(())
    }
}

/// An entry as it is stored.
struct Entry {
    seq: u64,
    at_ms: i64,
    by: String,
    address: Option<String>,
    device: Option<String>,
    action: String,
    user_id: Option<String>,
    sid: Option<String>,
    client: Option<String>,
    detail: String,
}

impl Entry {
    /// A list as JSON, since no two lists are written alike.
    fn mac(&self, key: &Key, before: &[u8; 32]) -> [u8; 32] {
        let list = json!([
            self.seq,
            self.at_ms,
            self.by,
            self.address,
            self.device,
            self.action,
            self.user_id,
            self.sid,
            self.client,
            self.detail,
        ]);
        let mut text = before.to_vec();
        text.extend_from_slice(list.to_string().as_bytes());
        hmac_sha256(key.as_slice(), &text)
    }

    fn read(row: &Row) -> SqlResult<(Self, [u8; 32])> {
        let entry = Self {
            seq: row.get(0)?,
            at_ms: row.get(1)?,
            by: row.get(2)?,
            address: row.get(3)?,
            device: row.get(4)?,
            action: row.get(5)?,
            user_id: row.get(6)?,
            sid: row.get(7)?,
            client: row.get(8)?,
            detail: row.get(9)?,
        };
        Ok((entry, row.get(10)?))
    }

    fn shown(self, mac: [u8; 32], user: Option<String>) -> AuditEntry {
        AuditEntry {
            seq: self.seq,
            at_ms: self.at_ms,
            who: Who {
                by: self.by,
                address: self.address,
                device: self.device,
            },
            action: self.action,
            user_id: self.user_id,
            user,
            sid: self.sid,
            client: self.client,
            // What is not JSON was not written here; the chain says so.
            detail: serde_json::from_str(&self.detail).unwrap_or(Json::String(self.detail)),
            mac,
        }
    }
}

const COLUMNS: &str =
    "seq, at_ms, actor, address, device, action, user_id, sid, client_id, detail, mac";

/// The newest entries that pass, newest first, at most `limit`.
pub(crate) async fn list(
    db: &Db,
    filter: AuditFilter,
    user_id: Option<String>,
    limit: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    db.read(move |tx| {
        let mut sql = format!(
            "SELECT {COLUMNS}, (SELECT name FROM users WHERE users.id = user_id) FROM audit WHERE seq > 0"
        );
        let mut values = Vec::new();
        let mut also = |condition: &str, value: Value| {
            values.push(value);
            sql.push_str(&condition.replace('#', &format!("?{}", values.len())));
        };
        if let Some(sid) = &filter.sid {
            also(" AND sid = #", sid.into());
        }
        if let Some(user) = &user_id {
            also(" AND user_id = #", user.into());
        }
        if let Some(action) = &filter.action {
            // The group before the dot stands for all of it.
            also(" AND (action || '.') LIKE #", format!("{}.%", literal(action)).into());
        }
        also(" ORDER BY seq DESC LIMIT #", (limit as u64).into());
        tx.query(&sql, &values)?
            .iter()
            .map(|row| {
                let (entry, mac) = Entry::read(row)?;
                Ok(entry.shown(mac, row.get(11)?))
            })
            .collect()
    })
    .await
}

/// Without a meaning of its own in LIKE.
fn literal(text: &str) -> String {
    text.replace(['%', '_', '\\'], "")
}

/// The entries numbered above `seq`, oldest first, at most a page.
pub(crate) async fn after(db: &Db, seq: u64) -> Result<Vec<AuditEntry>, StoreError> {
    db.read(move |tx| {
        let sql = format!(
            "SELECT {COLUMNS}, (SELECT name FROM users WHERE users.id = user_id) FROM audit \
             WHERE seq > ?1 ORDER BY seq LIMIT ?2"
        );
        tx.query(&sql, values![seq, PAGE as u64])?
            .iter()
            .map(|row| {
                let (entry, mac) = Entry::read(row)?;
                Ok(entry.shown(mac, row.get(11)?))
            })
            .collect()
    })
    .await
}

/// Follows the whole chain; `noted` must lie on it.
pub(crate) async fn verify(
    db: &Db,
    key: &Arc<Key>,
    noted: Option<Head>,
) -> Result<Result<Head, Broken>, StoreError> {
    let mut head = Head { seq: 0, mac: ROOT };
    loop {
        let from = head.seq;
        let rows = db
            .read(move |tx| {
                let sql =
                    format!("SELECT {COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2");
                tx.query(&sql, values![from, PAGE as u64])?
                    .iter()
                    .map(Entry::read)
                    .collect::<SqlResult<Vec<_>>>()
            })
            .await?;
        if rows.is_empty() {
            return Ok(ends_at(head, noted));
        }
        for (entry, mac) in rows {
            match next(head, &entry, mac, key, noted) {
                Ok(next) => head = next,
                Err(broken) => return Ok(Err(broken)),
            }
        }
    }
}

fn next(
    head: Head,
    entry: &Entry,
    mac: [u8; 32],
    key: &Key,
    noted: Option<Head>,
) -> Result<Head, Broken> {
    let seq = entry.seq;
    if seq != head.seq + 1 {
        return Err(Broken::Missing {
            from: head.seq + 1,
            to: seq - 1,
        });
    }
    let other = noted.is_some_and(|noted| noted.seq == seq && noted.mac != mac);
    if other || entry.mac(key, &head.mac) != mac {
        return Err(Broken::Changed { seq });
    }
    Ok(Head { seq, mac })
}

fn ends_at(head: Head, noted: Option<Head>) -> Result<Head, Broken> {
    match noted {
        Some(noted) if noted.seq > head.seq => Err(Broken::Missing {
            from: head.seq + 1,
            to: noted.seq,
        }),
        _ => Ok(head),
    }
}
