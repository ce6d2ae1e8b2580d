//! The master key and what is derived from it. It never leaves memory unsealed.

use std::sync::Arc;

use tenure_jose::{hmac_sha256, random};
use tenure_store::Seal;
use zeroize::Zeroizing;

use crate::db::{Db, values};
use crate::error::IssuerError;

const NAME: &str = "master";
const AAD: &[u8] = b"tenure issuer master key";

/// A 256-bit key, wiped when dropped.
type Key = Zeroizing<[u8; 32]>;

/// Keys for everything that is authenticated but not signed, one per purpose.
pub(crate) struct Master {
    families: Key,
    clients: Key,
    forms: Key,
    nonces: Key,
    /// Of the audit log's chain.
    pub(crate) audit: Arc<Key>,
    pos_refresh: Key,
}

impl Master {
    fn derive(master: &[u8]) -> Self {
        let key = |label: &[u8]| Zeroizing::new(hmac_sha256(master, label));
        Self {
            families: key(b"refresh token families"),
            clients: key(b"client secrets"),
            forms: key(b"form tokens"),
            nonces: key(b"dpop nonces"),
            audit: Arc::new(key(b"audit log")),
            pos_refresh: key(b"wcpos refresh tokens"),
        }
    }

    /// Opens the master key of the database, or makes one for a new database.
    pub(crate) async fn open(db: &Db, seal: &Seal) -> Result<Self, IssuerError> {
        let fresh = Zeroizing::new(random::<32>());
        let candidate = seal
            .seal(AAD, fresh.as_slice())
            .map_err(|_| IssuerError::Unsealable {
                what: "the new master key".into(),
            })?;
        // Two processes may open a new database at once: the first insert wins, both read it back.
        let sealed = db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO secrets (name, sealed) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                    values![NAME, &candidate],
                )?;
                tx.row("SELECT sealed FROM secrets WHERE name = ?1", values![NAME])?
                    .map(|row| row.get::<Vec<u8>>(0))
                    .transpose()
            })
            .await?
            .unwrap_or_default();
        let plain = seal
            .open(AAD, &sealed)
            .map_err(|_| IssuerError::Unsealable {
                what: "the master key".into(),
            })?;
        Ok(Self::derive(&plain))
    }

    /// The MAC key of one family's refresh tokens.
    pub(crate) fn family_key(&self, family: &[u8; 16]) -> Key {
        Zeroizing::new(hmac_sha256(self.families.as_slice(), family))
    }

    /// What is stored of a client's secret: useless without the sealed master key.
    pub(crate) fn client_secret(&self, client: &str, secret: &str) -> [u8; 32] {
        let key = Zeroizing::new(hmac_sha256(self.clients.as_slice(), client.as_bytes()));
        hmac_sha256(key.as_slice(), secret.as_bytes())
    }

    /// What signs the refresh tokens of WCPOS's dialect.
    pub(crate) fn pos_refresh(&self) -> &Key {
        &self.pos_refresh
    }

    /// What makes the nonce of a span of time this issuer's.
    pub(crate) fn dpop_nonce(&self, span: i64) -> [u8; 32] {
        hmac_sha256(self.nonces.as_slice(), &span.to_be_bytes())
    }

    /// Binds a form to the browser it was shown in and to the request it answers (against CSRF).
    pub(crate) fn form_token(&self, cookie: &str, request: &str) -> [u8; 32] {
        let key = Zeroizing::new(hmac_sha256(self.forms.as_slice(), cookie.as_bytes()));
        hmac_sha256(key.as_slice(), request.as_bytes())
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::derive(b"a master key for tests")
    }
}
