//! What a database must be able to do to keep sessions for many hosts: single steps, each atomic by itself, each
//! check a compare-and-swap. Times are the database's: no host's clock is trusted.

use async_trait::async_trait;
use tenure_core::Generation;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::holder::Holder;
use crate::record::{EventRow, Lease, LeaseView, Once, Pace, Record, Suspect};
use crate::row::Kept;
use crate::vault::Vault;

use super::notes;

/// A session as it lies in the database.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) generation: Generation,
    pub(crate) epoch: u64,
    pub(crate) lease: Option<Held>,
    pub(crate) pair: Option<Vec<u8>>,
    pub(crate) login: Option<Vec<u8>>,
    pub(crate) intent: Option<String>,
    pub(crate) latch: Option<String>,
    pub(crate) info: String,
    pub(crate) suspect: Option<Suspect>,
    /// What troubles the generation, JSON, and how long its pause still lasts, in milliseconds.
    pub(crate) trouble: Option<(String, u64)>,
    /// The key that the store is sealed with.
    pub(crate) key_id: String,
}

/// A lease as it was written; how long it still lasts is said by the database.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) holder: String,
    pub(crate) host: String,
    pub(crate) for_ms: u64,
}

impl Row {
    /// The lease, unless it ran out, or its holder is known to be dead. Only a holder of this host can be known to be.
    pub(crate) fn live_lease(&self, holder: &Holder, host: &str) -> Option<LeaseView> {
        let lease = self.lease.as_ref()?;
        let dead = lease.host == host && holder.is_dead(&lease.holder);
        (lease.for_ms > 0 && !dead).then(|| LeaseView {
            holder: lease.holder.clone(),
            for_ms: lease.for_ms,
            epoch: self.epoch,
        })
    }

    pub(crate) fn is_held_under(&self, lease: &Lease) -> bool {
        let holder = self.lease.as_ref().map(|held| held.holder.as_str());
        self.epoch == lease.epoch && holder == Some(lease.holder.as_str())
    }

    pub(crate) fn open(&self, vault: &Vault, lease: Option<LeaseView>) -> Record {
        let trouble = self.trouble.as_ref();
        let trouble = trouble.and_then(|(json, wait_ms)| notes::read(json, *wait_ms));
        self.kept().open(vault, lease, trouble)
    }

    pub(crate) fn kept(&self) -> Kept<'_> {
        Kept {
            name: &self.name,
            generation: self.generation,
            pair: self.pair.as_deref(),
            login: self.login.as_deref(),
            intent: self.intent.as_deref(),
            latch: self.latch.as_deref(),
            info: &self.info,
            suspect: self.suspect,
        }
    }
}

/// The end of a compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swap {
    /// Done; the number of this change.
    Done(u64),
    /// Somebody else holds the lease, or the row was changed since it was read.
    Fenced,
    /// The generation is another one.
    Moved(Generation),
    /// The store is sealed with another key by now.
    KeyChanged,
}

/// Who takes a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimant<'a> {
    pub(crate) holder: &'a str,
    pub(crate) host: &'a str,
}

/// The row as somebody read it: what they decided on it is written only if it still is so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) epoch: u64,
    pub(crate) generation: Generation,
}

/// A sealed pair, with the key it was sealed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a> {
    pub(crate) generation: Generation,
    pub(crate) pair: &'a [u8],
    pub(crate) key_id: &'a str,
}

/// What a login or an import puts in the place of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) generation: Generation,
    pub(crate) pair: Option<&'a [u8]>,
    pub(crate) login: Option<&'a [u8]>,
    pub(crate) latch: Option<&'a str>,
    pub(crate) info: &'a str,
    pub(crate) suspect: Option<Suspect>,
    pub(crate) key_id: &'a str,
    /// Why what is there cannot be opened; it is then put aside.
    pub(crate) aside: Option<&'a str>,
}

/// The key's id, a value that proves the key, and the retired keys with their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) id: Option<String>,
    pub(crate) check: Option<String>,
    pub(crate) retired: Vec<(String, Vec<u8>)>,
}

/// What else lies there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) schema: i64,
    /// Values that could not be opened when a login took their place.
    pub(crate) kept: i64,
    pub(crate) events: i64,
}

/// The steps. A write is durable when it returns.
#[async_trait]
pub(crate) trait Rows: Send + Sync {
    /// Where the database is, without a password.
    fn place(&self) -> &str;

    /// The store's identity: `fresh` for a new store.
    async fn store_id(&self, fresh: &str) -> Result<String, StoreError>;
    async fn keys(&self) -> Result<Keys, StoreError>;
    /// Names the first key of a store, unless another process was faster; the key that stands.
    async fn set_first_key(&self, id: &str, check: &str) -> Result<String, StoreError>;

    async fn get(&self, name: &str) -> Result<Option<Row>, StoreError>;
    async fn all(&self) -> Result<Vec<Row>, StoreError>;

    /// Takes the lease if the row's epoch is still this one (0 where there is no row); the row under it.
    async fn take_lease(
        &self,
        name: &str,
        epoch: u64,
        by: Claimant<'_>,
        ttl_ms: u64,
    ) -> Result<Option<Row>, StoreError>;
    async fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<Swap, StoreError>;
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;
    async fn write_intent(
        &self,
        lease: &Lease,
        generation: Generation,
        intent: &str,
    ) -> Result<Swap, StoreError>;
    async fn clear_intent(&self, lease: &Lease, generation: Generation)
    -> Result<Swap, StoreError>;
    /// Saves the next pair; `sealed.generation` is one above what is expected to be stored.
    async fn commit(
        &self,
        lease: &Lease,
        sealed: Sealed<'_>,
        info: &str,
    ) -> Result<Swap, StoreError>;
    async fn latch(
        &self,
        lease: &Lease,
        expect: Generation,
        latch: &str,
    ) -> Result<Swap, StoreError>;
    /// Takes in a pair from the spare slot if the row's epoch is still this one and its generation older.
    async fn adopt(&self, name: &str, epoch: u64, sealed: Sealed<'_>) -> Result<Swap, StoreError>;
    /// Puts a login or an import in the place of the row; ends any lease.
    async fn put(
        &self,
        name: &str,
        seen: Option<Seen>,
        arrival: Arrival<'_>,
    ) -> Result<Swap, StoreError>;
    async fn logout(&self, name: &str) -> Result<(), StoreError>;
    async fn save_info(&self, name: &str, info: &str) -> Result<(), StoreError>;
    async fn note(
        &self,
        name: &str,
        generation: Generation,
        trouble: Option<(&str, u64)>,
    ) -> Result<Swap, StoreError>;

    async fn pace(&self, endpoint: &str) -> Result<Option<Pace>, StoreError>;
    async fn set_pace(&self, endpoint: &str, pace: Option<&Pace>) -> Result<(), StoreError>;

    /// Appends an event, unless one that counts as the same is there already; its id.
    async fn append(&self, event: &EventRow, once: Option<Once>)
    -> Result<Option<u64>, StoreError>;
    async fn events(
        &self,
        after: u64,
        session: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError>;

    /// Proves that the database can be written.
    async fn probe(&self) -> Result<(), StoreError>;
    async fn counts(&self) -> Result<Counts, StoreError>;
    /// The number of the last change.
    async fn last_change(&self) -> Result<u64, StoreError>;
    /// Marks every pair as of unknown outcome, and counts changes on from above `floor`; the new count.
    async fn mark_restored(&self, floor: u64) -> Result<u64, StoreError>;
    fn changes(&self) -> watch::Receiver<u64>;
    /// Rises whenever the connection that hears of changes was made anew: the database may be another one since.
    fn reconnects(&self) -> watch::Receiver<u64>;
}
