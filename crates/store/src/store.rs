//! What the keeper needs of a store.

use async_trait::async_trait;
use tenure_core::{Generation, TokenPair};
use tokio::sync::watch;

use crate::error::StoreError;
use crate::record::{
    Claim, EventRow, Info, Intent, Latch, Lease, Once, Pace, Record, StoredLogin, Trouble,
};

/// A session store with leases.
///
/// Every write is durable when it returns. Writes under a lease are compare-and-swap: a stale epoch is told
/// [`StoreError::Fenced`], another generation than expected [`StoreError::Moved`], and either changes nothing.
#[async_trait]
pub trait Store: Send + Sync {
    /// The session, `None` when there is no row.
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError>;

    /// All sessions, by name.
    async fn list(&self) -> Result<Vec<Record>, StoreError>;

    /// Takes the lease for `ttl_ms` by the store's clock and reads the record under it (I4). Creates the row
    /// if there is none. The same holder cannot claim a session twice: that is `Held`, too.
    async fn claim(&self, name: &str, ttl_ms: u64) -> Result<Claim, StoreError>;

    /// Sets the lease's end to `ttl_ms` from now.
    async fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<(), StoreError>;

    /// Gives the lease back. A lease that is gone already is no error.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Writes the intent for the stored generation, before the exchange is sent (I2).
    async fn write_intent(&self, lease: &Lease, intent: &Intent) -> Result<(), StoreError>;

    /// Removes the intent of this generation: the exchange is known not to have spent anything. No intent,
    /// or one of another generation, is no error.
    async fn clear_intent(&self, lease: &Lease, generation: Generation) -> Result<(), StoreError>;

    /// Saves the pair an exchange brought as generation `expect + 1`; clears intent, latch and spare slot.
    /// Called again with the same pair after it was saved, it succeeds.
    async fn commit(
        &self,
        lease: &Lease,
        expect: Generation,
        pair: &TokenPair,
        info: &Info,
    ) -> Result<(), StoreError>;

    /// Remembers a final refusal of generation `expect` (I8); clears the intent, for its outcome is known.
    async fn latch(
        &self,
        lease: &Lease,
        expect: Generation,
        latch: &Latch,
    ) -> Result<(), StoreError>;

    /// Tells what troubles this generation, or with `None` that nothing does any more. Needs no lease, for it
    /// is advice; it ends with the generation, a latch, a login and a logout. Creates the row if there is none.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when another generation is stored.
    async fn note(
        &self,
        name: &str,
        generation: Generation,
        trouble: Option<&Trouble>,
    ) -> Result<(), StoreError>;

    /// How this token endpoint is to be treated; `None` when nothing is noted.
    async fn pace(&self, endpoint: &str) -> Result<Option<Pace>, StoreError>;

    /// Notes how this token endpoint is to be treated, or with `None` that it is well.
    async fn set_pace(&self, endpoint: &str, pace: Option<Pace>) -> Result<(), StoreError>;

    /// A new login: saves the pair as the next generation (the pair's own number is ignored), clears latch
    /// and intent, ends any lease and fences the exchange under it. `stored` replaces the stored name and
    /// password, `None` removes them. What could not be opened is put aside, not lost.
    async fn login(
        &self,
        name: &str,
        pair: TokenPair,
        info: &Info,
        stored: Option<&StoredLogin>,
    ) -> Result<Generation, StoreError>;

    /// Forgets pair, stored login, latch and intent; the generation stays. Fences a running exchange.
    async fn logout(&self, name: &str) -> Result<(), StoreError>;

    /// Replaces the session's facts. Creates the row if there is none.
    async fn save_info(&self, name: &str, info: &Info) -> Result<(), StoreError>;

    /// Appends an event and returns its id. Old events make room.
    async fn append_event(&self, event: &EventRow) -> Result<u64, StoreError>;

    /// Appends an event that every process sees happen, unless another has told of it. `None` when one has.
    async fn append_event_once(
        &self,
        event: &EventRow,
        once: Once,
    ) -> Result<Option<u64>, StoreError>;

    /// Up to `limit` events with an id above `after`, oldest first.
    async fn events(
        &self,
        after: u64,
        session: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError>;

    /// Keeps a pair outside the store because saving it failed (I9). `pair.generation` must be set. A later
    /// `load` or `claim` finds it and brings it home.
    async fn save_spare(&self, name: &str, pair: &TokenPair) -> Result<(), StoreError>;

    /// Proves that the store can be written, before a rotating token is spent (I9).
    async fn probe(&self) -> Result<(), StoreError>;

    /// Changes whenever the store changed, by this or another process.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Who this store writes as.
    fn holder(&self) -> &str;

    /// Where the store is and which key source it uses, for people.
    fn describe(&self) -> String;
}
