//! A store that many hosts share: what is kept where, whatever database it lies in.
//!
//! In the database: sessions, leases, events, pauses, all by the database's clock. On each host, beside
//! [`Options::home`]: the spare slot (a pair that could not be saved is saved by the host that has it), the locks that
//! say which processes of this host live, the count that a roll-back is noticed by, and the key file where the key is in
//! one.

mod check;
mod host;
mod moving;
pub(crate) mod notes;
pub(crate) mod rows;
mod store;
mod unlock;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tenure_core::Secret;
use tokio::sync::watch;

use self::rows::Rows;
use crate::error::StoreError;
use crate::fault::FaultPlan;
use crate::files;
use crate::holder::Holder;
use crate::incarnation;
use crate::keys::{KeySource, Surroundings};
use crate::seal::{encode_hex, random};
use crate::spare::Spares;
use crate::vault::Vault;
use crate::{postgres, valkey};

/// How to open a store that hosts share.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where this host keeps its own files: they lie beside this path under the same name with a suffix. The directory
    /// is on a disk of this host and for this user alone.
    pub home: PathBuf,
    /// Where the key comes from. All hosts need the same key.
    pub key: KeySource,
    /// What the caller knows of the surroundings.
    pub around: Surroundings,
    /// Refuse a server that may lose what it has acknowledged; without it, that is only told. PostgreSQL loses nothing.
    pub require_durable: bool,
    /// Faults that tests ask for.
    pub faults: FaultPlan,
}

/// Opens the store at an address: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, `valkey://USER:PASSWORD@HOST:PORT/NUMBER`
/// (`valkeys://` with TLS), or with `postgresql`, `redis` and `rediss` in their place. Made if it is not there.
///
/// # Errors
/// [`StoreError::Unreachable`] when the server cannot be reached, [`StoreError::Unavailable`] when it lets nobody in with
/// this address, or the address is none; what the key's source says.
pub async fn open(address: &Secret, options: Options) -> Result<Arc<SharedStore>, StoreError> {
    match address.expose().trim().split(':').next() {
        Some("postgres" | "postgresql") => postgres::open(address, options).await,
        Some("valkey" | "valkeys" | "redis" | "rediss") => valkey::open(address, options).await,
        // It is not repeated: it may hold a password.
        _ => Err(StoreError::Unavailable {
            path: "postgres or valkey".into(),
            detail: "what is there is no address of a server; write postgres://USER:PASSWORD@HOST/DATABASE or \
                     valkey://USER:PASSWORD@HOST/NUMBER"
                .to_owned(),
        }),
    }
}

/// A session store in a database that many hosts share.
pub struct SharedStore {
    rows: Box<dyn Rows>,
    options: Options,
    holder: Arc<Holder>,
    /// Which host's locks can be looked at from here.
    host: String,
    spares: Spares,
    store_id: String,
    vault: RwLock<Arc<Vault>>,
    rolled_back: watch::Sender<Option<String>>,
}

impl std::fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedStore({})", self.rows.place())
    }
}

impl SharedStore {
    /// Opens the store over a database.
    pub(crate) async fn over(
        rows: Box<dyn Rows>,
        options: Options,
    ) -> Result<Arc<Self>, StoreError> {
        let fresh = random::<16>().map_err(|error| StoreError::Internal {
            path: rows.place().into(),
            detail: error.to_string(),
        })?;
        let store_id = rows.store_id(&encode_hex(&fresh)).await?;
        let vault = unlock::unlock(&*rows, &store_id, &options).await?;
        let holders = files::beside(&options.home, ".holders");
        let registered = Holder::register(&holders).and_then(|holder| {
            let host = host::id(&holders)?;
            Ok((holder, host))
        });
        let (holder, host) = registered.map_err(|error| {
            StoreError::from_io(&options.home, "registering as a lease holder", &error)
        })?;
        let store = Arc::new(Self {
            holder: Arc::new(holder),
            host,
            spares: Spares::new(&options.home),
            vault: RwLock::new(Arc::new(vault)),
            rolled_back: watch::channel(None).0,
            rows,
            options,
            store_id,
        });
        let seen = store.rows.reconnects();
        store.notice_rollback().await?;
        tokio::spawn(watch_for_rollback(Arc::downgrade(&store), seen));
        Ok(store)
    }

    /// What was found, for people, if the database is older than it was: restored, rolled back, or a replica that had
    /// not heard of everything when it took over. Its sessions are then `suspect`.
    pub fn rollback_evidence(&self) -> Option<String> {
        self.rolled_back.borrow().clone()
    }

    /// The key source in use, for people.
    pub fn key_source(&self) -> String {
        self.vault().source.clone()
    }

    /// Key sources that were passed over, and why.
    pub fn key_sources_skipped(&self) -> Vec<String> {
        self.vault().skipped.clone()
    }

    fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the key anew: the store was rekeyed.
    async fn reload(&self) -> Result<Arc<Vault>, StoreError> {
        let vault = unlock::unlock(&*self.rows, &self.store_id, &self.options).await?;
        let vault = Arc::new(vault);
        *self.vault.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&vault);
        Ok(vault)
    }

    fn incarnation(&self) -> PathBuf {
        files::beside(&self.options.home, ".incarnation")
    }

    /// Tells the file outside the database that a pair was saved with this change.
    fn advance(&self, change: u64) {
        let path = self.incarnation();
        if let Err(error) = incarnation::advance(&path, &self.store_id, change) {
            tracing::warn!(path = %path.display(), %error, "a later roll-back of the store may go unnoticed");
        }
    }

    /// Compares the database with the last change this host saw. A database that knows of fewer is from the past; one
    /// that this host never saw is not.
    async fn notice_rollback(&self) -> Result<(), StoreError> {
        let path = self.incarnation();
        let outside = incarnation::read(&path)
            .map_err(|error| StoreError::from_io(&path, "reading it", &error))?
            .filter(|outside| outside.store_id == self.store_id);
        let inside = self.rows.last_change().await?;
        let Some(outside) = outside.filter(|outside| outside.saves > inside) else {
            return Ok(());
        };
        let evidence = format!(
            "this host saw change {}, and the database knows of {inside}",
            outside.saves
        );
        tracing::warn!(
            store = self.rows.place(),
            evidence,
            "the store was restored or rolled back"
        );
        let now = self.rows.mark_restored(outside.saves).await?;
        self.advance(now);
        self.rolled_back.send_replace(Some(evidence));
        Ok(())
    }
}

/// Looks again whenever the database was reached anew, for as long as the store is in use.
async fn watch_for_rollback(store: Weak<SharedStore>, mut reconnects: watch::Receiver<u64>) {
    while reconnects.changed().await.is_ok() {
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.notice_rollback().await {
            tracing::warn!(%error, "whether the store was rolled back is not known yet");
        }
    }
}
