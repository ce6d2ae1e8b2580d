//! Forgetting what is over, in small batches, so that a request never waits long behind it.

use crate::db::values;
use crate::error::IssuerError;
use crate::issuer::Issuer;
use crate::keys;

/// Rows looked at or deleted per transaction.
const BATCH: i64 = 200;
/// Ended families are kept this long, so that whoever comes back is told why, in milliseconds: 30 days.
const KEEP_DEAD_MS: u64 = 30 * 24 * 3_600_000;

impl Issuer {
    /// Deletes expired codes, families that ended 30 days ago, retired keys and revocations that no living
    /// token needs any more. Returns how many rows went.
    ///
    /// # Errors
    /// When the database fails; what was deleted by then stays deleted.
    pub async fn prune(&self) -> Result<usize, IssuerError> {
        let now = self.now();
        self.revocations.forget_before(now);
        let mut gone = keys::drop_retired(&self.db, &self.options, self.longest_access_s()).await?;
        if gone > 0 {
            self.reload_keys().await?;
        }
        for (table, column) in [
            ("codes", "expires_ms"),
            ("device_codes", "expires_ms"),
            ("changes", "until_ms"),
            ("seen", "expires_ms"),
            ("registration_tokens", "expires_ms"),
            ("pushed", "expires_ms"),
            ("admin_tokens", "expires_ms"),
        ] {
            gone += self
                .prune_by_time(table, column, now.saturating_sub_unsigned(self.tail_ms()))
                .await?;
        }
        gone += self.prune_families(now).await?;
        Ok(gone)
    }

    /// How long after its expiry a code is still recognised: as long as tokens that came of it may live.
    fn tail_ms(&self) -> u64 {
        self.longest_access_s().saturating_mul(1000)
    }

    async fn prune_by_time(
        &self,
        table: &'static str,
        column: &'static str,
        before: i64,
    ) -> Result<usize, IssuerError> {
        let mut gone = 0;
        loop {
            let deleted = self
                .db
                .write(move |tx| {
                    let sql = format!(
                        "DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table} WHERE {column} < ?1 LIMIT ?2) AND {column} < ?1"
                    );
                    tx.execute(&sql, values![before, BATCH])
                })
                .await?;
            gone += deleted;
            if deleted == 0 {
                return Ok(gone);
            }
        }
    }

    /// Walks the families by id: an index on their last use would cost a page write at every refresh.
    async fn prune_families(&self, now: i64) -> Result<usize, IssuerError> {
        let rotation = self.rotation();
        let limit = |ms: Option<u64>| {
            ms.map_or(i64::MIN, |ms| {
                now.saturating_sub_unsigned(ms.saturating_add(KEEP_DEAD_MS))
            })
        };
        let (idle, absolute, revoked) = (
            limit(rotation.idle_ms),
            limit(rotation.absolute_ms),
            limit(Some(0)),
        );
        let (mut from, mut gone) = (Vec::<u8>::new(), 0);
        loop {
            let start = from.clone();
            let (last, deleted) = self
                .db
                .write(move |tx| {
                    let ids = tx.query(
                        "SELECT id FROM families WHERE id > ?1 ORDER BY id LIMIT ?2",
                        values![&start, BATCH],
                    )?;
                    let Some(last) = ids.last() else { return Ok((None, 0)) };
                    let last: Vec<u8> = last.get(0)?;
                    let deleted = tx.execute(
                        "DELETE FROM families WHERE id > ?1 AND id <= ?2 AND (used_ms < ?3 OR born_ms < ?4 OR revoked_ms < ?5)",
                        values![&start, &last, idle, absolute, revoked],
                    )?;
                    Ok((Some(last), deleted))
                })
                .await?;
            gone += deleted;
            match last {
                Some(last) => from = last,
                None => return Ok(gone),
            }
        }
    }
}
