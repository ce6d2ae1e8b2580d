//! What may be used once: remembered by its hash until it is expired anyway, for all processes.

use tenure_jose::sha256;
use tenure_store::StoreError;

use crate::db::values;
use crate::issuer::Issuer;

impl Issuer {
    /// Whether this was never seen before; it is remembered until `until_ms`, in milliseconds since the epoch.
    pub(crate) async fn first_sight(&self, what: &str, until_ms: i64) -> Result<bool, StoreError> {
        let hash = sha256(what.as_bytes());
        let added = self
            .db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO seen (hash, expires_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                    values![&hash, until_ms],
                )
            })
            .await?;
        Ok(added == 1)
    }
}
