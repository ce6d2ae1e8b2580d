//! [`Store`] over any database that hosts share: seals and opens, passes the fault points, and puts the steps together.

use std::sync::Arc;

use async_trait::async_trait;
use tenure_core::{Generation, TokenPair};
use tokio::sync::watch;

use super::SharedStore;
use super::notes::{self, json};
use super::rows::{Arrival, Claimant, Row, Sealed, Seen, Swap};
use crate::error::StoreError;
use crate::record::{
    Claim, EventRow, Info, Intent, Latch, Lease, Once, Pace, Record, StoredLogin, Trouble,
};
use crate::seal::SealError;
use crate::spare::Spare;
use crate::store::Store;
use crate::vault::{Field, Vault};

/// How often a step is begun anew because somebody else was faster: every time, somebody got on.
const TRIES: usize = 50;

impl SharedStore {
    fn point(&self, name: &str) -> Result<(), StoreError> {
        self.options.faults.point(name)
    }

    fn place(&self) -> &str {
        self.rows.place()
    }

    pub(super) fn internal(&self, error: &SealError) -> StoreError {
        StoreError::Internal {
            path: self.place().into(),
            detail: error.to_string(),
        }
    }

    fn spare_error(&self, name: &str, doing: &str, error: &std::io::Error) -> StoreError {
        StoreError::from_io(&self.spares.path(name), doing, error)
    }

    async fn spare(&self, name: &str) -> Result<Option<Spare>, StoreError> {
        let (spares, at) = (self.spares.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || spares.read(&at))
            .await
            .map_err(std::io::Error::other)
            .and_then(|read| read)
            .map_err(|error| self.spare_error(name, "reading the spare slot", &error))
    }

    /// A spare pair that is newer than the row.
    async fn newer_spare(
        &self,
        name: &str,
        row: Option<&Row>,
    ) -> Result<Option<Spare>, StoreError> {
        let stored = row.map_or(Generation(0), |row| row.generation);
        let spare = self.spare(name).await?;
        Ok(spare.filter(|spare| Generation(spare.generation) > stored))
    }

    /// Empties the spare slot up to `generation`; what is left is older than the store and harmless.
    fn clear_spare(&self, name: &str, generation: Generation) {
        if let Err(error) = self.spares.clear(name, generation.0) {
            tracing::warn!(session = name, %error, "the spare slot cannot be emptied");
        }
    }

    fn forget_spare(&self, name: &str) -> Result<(), StoreError> {
        self.spares
            .remove(name)
            .map_err(|error| self.spare_error(name, "emptying the spare slot", &error))
    }

    /// The vault that opens what lies under this key.
    pub(super) async fn vault_for(&self, key_id: Option<&str>) -> Result<Arc<Vault>, StoreError> {
        let vault = self.vault();
        match key_id {
            Some(id) if id != vault.key_id().to_string() => self.reload().await,
            _ => Ok(vault),
        }
    }

    /// The row, and a vault that has the store's key.
    pub(super) async fn look(&self, name: &str) -> Result<(Option<Row>, Arc<Vault>), StoreError> {
        let row = self.rows.get(name).await?;
        let vault = self
            .vault_for(row.as_ref().map(|row| row.key_id.as_str()))
            .await?;
        Ok((row, vault))
    }

    /// Opens a row and lays a newer pair from the spare slot over it.
    fn record(&self, row: &Row, spare: Option<&Spare>, vault: &Vault) -> Record {
        let mut record = row.open(vault, row.live_lease(&self.holder, &self.host));
        let Some(spare) = spare else { return record };
        let generation = Generation(spare.generation);
        match vault.open_pair(Field::Spare, &row.name, generation, &spare.sealed) {
            Ok(pair) => {
                record.generation = generation;
                record.pair = Some(pair);
                record.intent = None;
                record.latch = None;
                record.trouble = None;
                record.unsaved = true;
            }
            Err(error) => {
                let why = format!("spare slot: {error}");
                record.unreadable = Some(match record.unreadable {
                    Some(before) => format!("{before}; {why}"),
                    None => why,
                });
            }
        }
        record
    }

    /// Takes a pair from the spare slot into the row as it was read; whether it did.
    async fn bring_home(
        &self,
        row: &Row,
        spare: &Spare,
        vault: &Vault,
    ) -> Result<bool, StoreError> {
        let generation = Generation(spare.generation);
        let Ok(pair) = vault.open_pair(Field::Spare, &row.name, generation, &spare.sealed) else {
            // Named when the record is made.
            return Ok(false);
        };
        let sealed = vault
            .seal_pair(Field::Pair, &row.name, generation, &pair)
            .map_err(|error| self.internal(&error))?;
        let key_id = vault.key_id().to_string();
        let sealed = Sealed {
            generation,
            pair: &sealed,
            key_id: &key_id,
        };
        let Swap::Done(change) = self.rows.adopt(&row.name, row.epoch, sealed).await? else {
            return Ok(false);
        };
        self.advance(change);
        self.clear_spare(&row.name, generation);
        Ok(true)
    }

    /// The same without a lease: while nobody holds one, and as well as it goes.
    async fn bring_home_unclaimed(&self, row: &Row, spare: &Spare, vault: &Vault) -> bool {
        if row.live_lease(&self.holder, &self.host).is_some() {
            return false;
        }
        self.bring_home(row, spare, vault)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(session = row.name, %error, "the pair in the spare slot cannot be saved yet");
                false
            })
    }

    /// A pair that another process of this host could not save may have come to the spare slot since the claim:
    /// spending the generation before it would burn a strict family.
    async fn nothing_newer_waits(
        &self,
        name: &str,
        generation: Generation,
    ) -> Result<(), StoreError> {
        match self.spare(name).await? {
            Some(spare) if Generation(spare.generation) > generation => Err(StoreError::Moved {
                now: Generation(spare.generation),
            }),
            _ => Ok(()),
        }
    }

    /// Whether the row holds exactly this pair: a commit repeated after its answer got lost.
    async fn holds(
        &self,
        name: &str,
        generation: Generation,
        pair: &TokenPair,
    ) -> Result<bool, StoreError> {
        let (row, vault) = self.look(name).await?;
        let stored = row.and_then(|row| row.open(&vault, None).pair);
        Ok(stored.is_some_and(|stored| {
            stored.generation == generation
                && stored.access == pair.access
                && stored.refresh == pair.refresh
        }))
    }

    pub(super) fn busy(&self) -> StoreError {
        StoreError::Busy {
            path: self.place().into(),
            waited_ms: 0,
        }
    }

    /// Saves the pair under the lease; the number of the change.
    async fn save(
        &self,
        lease: &Lease,
        expect: Generation,
        pair: &TokenPair,
        info: &str,
    ) -> Result<u64, StoreError> {
        for _ in 0..TRIES {
            let (row, vault) = self.look(&lease.name).await?;
            let row = row
                .filter(|row| row.is_held_under(lease))
                .ok_or(StoreError::Fenced)?;
            if row.generation != expect {
                return Err(StoreError::Moved {
                    now: row.generation,
                });
            }
            if let Some(error) = row.kept().locked_pair(&vault) {
                return Err(StoreError::Unreadable {
                    path: self.place().into(),
                    session: lease.name.clone(),
                    detail: error.to_string(),
                });
            }
            let generation = expect.next();
            let sealed = vault
                .seal_pair(Field::Pair, &lease.name, generation, pair)
                .map_err(|error| self.internal(&error))?;
            let key_id = vault.key_id().to_string();
            let sealed = Sealed {
                generation,
                pair: &sealed,
                key_id: &key_id,
            };
            match self.rows.commit(lease, sealed, info).await? {
                Swap::Done(change) => return Ok(change),
                Swap::KeyChanged => {}
                other => return Err(conflict(other)),
            }
        }
        Err(self.busy())
    }
}

/// What a step that changed nothing is told as.
fn conflict(swap: Swap) -> StoreError {
    match swap {
        Swap::Moved(now) => StoreError::Moved { now },
        // A changed key is met where a step seals; elsewhere it cannot come.
        Swap::Fenced | Swap::KeyChanged | Swap::Done(_) => StoreError::Fenced,
    }
}

fn done(swap: Swap) -> Result<u64, StoreError> {
    match swap {
        Swap::Done(change) => Ok(change),
        other => Err(conflict(other)),
    }
}

#[async_trait]
impl Store for SharedStore {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        self.point("store.load")?;
        let (row, vault) = self.look(name).await?;
        let Some(row) = row else { return Ok(None) };
        let Some(spare) = self.newer_spare(name, Some(&row)).await? else {
            return Ok(Some(self.record(&row, None, &vault)));
        };
        if self.bring_home_unclaimed(&row, &spare, &vault).await
            && let (Some(row), vault) = self.look(name).await?
        {
            return Ok(Some(self.record(&row, None, &vault)));
        }
        Ok(Some(self.record(&row, Some(&spare), &vault)))
    }

    async fn list(&self) -> Result<Vec<Record>, StoreError> {
        let rows = self.rows.all().await?;
        let vault = self
            .vault_for(rows.first().map(|row| row.key_id.as_str()))
            .await?;
        let mut records = Vec::with_capacity(rows.len());
        // One look at the directory instead of one for each session.
        let spares = self.spares.sessions().map_err(|error| {
            StoreError::from_io(self.spares.dir(), "listing the spare slots", &error)
        })?;
        for row in &rows {
            let spare = match spares.binary_search(&row.name) {
                Ok(_) => self.newer_spare(&row.name, Some(row)).await?,
                Err(_) => None,
            };
            records.push(self.record(row, spare.as_ref(), &vault));
        }
        Ok(records)
    }

    async fn claim(&self, name: &str, ttl_ms: u64) -> Result<Claim, StoreError> {
        self.point("store.claim.before")?;
        let by = Claimant {
            holder: self.holder.id(),
            host: &self.host,
        };
        for _ in 0..TRIES {
            let seen = self.rows.get(name).await?;
            if let Some(held) = seen
                .as_ref()
                .and_then(|row| row.live_lease(&self.holder, &self.host))
            {
                return Ok(Claim::Held {
                    by: held.holder,
                    for_ms: held.for_ms,
                });
            }
            let epoch = seen.map_or(0, |row| row.epoch);
            let Some(mut row) = self.rows.take_lease(name, epoch, by, ttl_ms).await? else {
                continue;
            };
            let lease = Lease {
                name: name.to_owned(),
                holder: by.holder.to_owned(),
                epoch: row.epoch,
            };
            let mut vault = self.vault_for(Some(&row.key_id)).await?;
            self.point("store.claim.after")?;
            let mut spare = self.newer_spare(name, Some(&row)).await?;
            if let Some(waiting) = &spare
                && self.bring_home(&row, waiting, &vault).await?
            {
                let (now, key) = self.look(name).await?;
                row = now
                    .filter(|row| row.is_held_under(&lease))
                    .ok_or(StoreError::Fenced)?;
                (spare, vault) = (None, key);
            }
            let record = self.record(&row, spare.as_ref(), &vault);
            return Ok(Claim::Granted(lease, record));
        }
        Err(self.busy())
    }

    async fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<(), StoreError> {
        self.point("store.renew")?;
        done(self.rows.renew(lease, ttl_ms).await?).map(drop)
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.point("store.release")?;
        self.rows.release(lease).await
    }

    async fn write_intent(&self, lease: &Lease, intent: &Intent) -> Result<(), StoreError> {
        self.point("store.intent.before")?;
        let text = json(intent, self.place())?;
        done(
            self.rows
                .write_intent(lease, intent.generation, &text)
                .await?,
        )?;
        self.nothing_newer_waits(&lease.name, intent.generation)
            .await?;
        self.point("store.intent.after")
    }

    async fn clear_intent(&self, lease: &Lease, generation: Generation) -> Result<(), StoreError> {
        self.point("store.clear.before")?;
        match self.rows.clear_intent(lease, generation).await? {
            // Whatever stands at another generation is not this intent.
            Swap::Moved(_) => Ok(()),
            other => done(other).map(drop),
        }
    }

    async fn commit(
        &self,
        lease: &Lease,
        expect: Generation,
        pair: &TokenPair,
        info: &Info,
    ) -> Result<(), StoreError> {
        self.point("store.commit.before")?;
        let info = json(info, self.place())?;
        match self.save(lease, expect, pair, &info).await {
            Ok(change) => self.advance(change),
            Err(StoreError::Moved { now })
                if now == expect.next() && self.holds(&lease.name, now, pair).await? => {}
            Err(error) => return Err(error),
        }
        self.clear_spare(&lease.name, expect.next());
        self.point("store.commit.after")
    }

    async fn latch(
        &self,
        lease: &Lease,
        expect: Generation,
        latch: &Latch,
    ) -> Result<(), StoreError> {
        self.point("store.latch.before")?;
        let latch = json(latch, self.place())?;
        done(self.rows.latch(lease, expect, &latch).await?)?;
        self.point("store.latch.after")
    }

    async fn note(
        &self,
        name: &str,
        generation: Generation,
        trouble: Option<&Trouble>,
    ) -> Result<(), StoreError> {
        self.point("store.note.before")?;
        let text = trouble
            .map(|trouble| notes::written(trouble, self.place()))
            .transpose()?;
        let trouble = text
            .as_deref()
            .zip(trouble)
            .map(|(text, trouble)| (text, trouble.wait_ms));
        done(self.rows.note(name, generation, trouble).await?).map(drop)
    }

    async fn pace(&self, endpoint: &str) -> Result<Option<Pace>, StoreError> {
        self.rows.pace(endpoint).await
    }

    async fn set_pace(&self, endpoint: &str, pace: Option<Pace>) -> Result<(), StoreError> {
        self.point("store.pace.before")?;
        self.rows.set_pace(endpoint, pace.as_ref()).await
    }

    async fn login(
        &self,
        name: &str,
        pair: TokenPair,
        info: &Info,
        stored: Option<&StoredLogin>,
    ) -> Result<Generation, StoreError> {
        self.point("store.login.before")?;
        let info = json(info, self.place())?;
        let waiting = self.spare(name).await?;
        let waiting = waiting.map_or(Generation(0), |spare| Generation(spare.generation));
        for _ in 0..TRIES {
            let (row, vault) = self.look(name).await?;
            let stored_at = row.as_ref().map_or(Generation(0), |row| row.generation);
            let generation = stored_at.max(waiting).next();
            let sealed = vault
                .seal_pair(Field::Pair, name, generation, &pair)
                .map_err(|error| self.internal(&error))?;
            let login = stored
                .map(|login| vault.seal_login(name, login))
                .transpose()
                .map_err(|error| self.internal(&error))?;
            let aside = row.as_ref().and_then(|row| row.kept().locked(&vault));
            let aside = aside.map(|error| error.to_string());
            let key_id = vault.key_id().to_string();
            let arrival = Arrival {
                generation,
                pair: Some(&sealed),
                login: login.as_deref(),
                latch: None,
                info: &info,
                suspect: None,
                key_id: &key_id,
                aside: aside.as_deref(),
            };
            let seen = row.as_ref().map(|row| Seen {
                epoch: row.epoch,
                generation: row.generation,
            });
            // Somebody else wrote meanwhile: what they wrote is read, and the login comes after it.
            if let Swap::Done(change) = self.rows.put(name, seen, arrival).await? {
                self.advance(change);
                self.forget_spare(name)?;
                self.point("store.login.after")?;
                return Ok(generation);
            }
        }
        Err(self.busy())
    }

    async fn logout(&self, name: &str) -> Result<(), StoreError> {
        self.point("store.logout.before")?;
        // First, so that no spare pair can bring the session back.
        self.forget_spare(name)?;
        self.rows.logout(name).await?;
        self.point("store.logout.after")
    }

    async fn save_info(&self, name: &str, info: &Info) -> Result<(), StoreError> {
        self.point("store.info.before")?;
        let info = json(info, self.place())?;
        self.rows.save_info(name, &info).await
    }

    async fn append_event(&self, event: &EventRow) -> Result<u64, StoreError> {
        self.point("store.event.before")?;
        // Without a reason to leave it out, it is appended.
        Ok(self.rows.append(event, None).await?.unwrap_or_default())
    }

    async fn append_event_once(
        &self,
        event: &EventRow,
        once: Once,
    ) -> Result<Option<u64>, StoreError> {
        self.point("store.event.before")?;
        self.rows.append(event, Some(once)).await
    }

    async fn events(
        &self,
        after: u64,
        session: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.rows.events(after, session, limit).await
    }

    async fn save_spare(&self, name: &str, pair: &TokenPair) -> Result<(), StoreError> {
        self.point("store.spare.before")?;
        let sealed = self
            .vault()
            .seal_pair(Field::Spare, name, pair.generation, pair)
            .map_err(|error| self.internal(&error))?;
        let (spares, at, generation) = (self.spares.clone(), name.to_owned(), pair.generation.0);
        tokio::task::spawn_blocking(move || spares.save(&at, generation, &sealed))
            .await
            .map_err(std::io::Error::other)
            .and_then(|saved| saved)
            .map_err(|error| self.spare_error(name, "writing the spare slot", &error))?;
        self.point("store.spare.after")
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.point("store.probe")?;
        self.rows.probe().await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.rows.changes()
    }

    fn holder(&self) -> &str {
        self.holder.id()
    }

    fn describe(&self) -> String {
        format!("{}, key from {}", self.place(), self.key_source())
    }
}
