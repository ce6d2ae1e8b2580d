//! [`Store`] on SQLite: seals and opens, passes the fault points, and puts the statements together.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Transaction;
use tenure_core::{Generation, TokenPair};
use tokio::sync::watch;

use super::events;
use super::open::{SqliteStore, internal, is_newer};
use super::sessions::{self, Outcome, Refused, Row, Waiting};
use super::trouble;
use crate::error::StoreError;
use crate::record::{
    Claim, EventRow, Info, Intent, Latch, Lease, Once, Pace, Record, StoredLogin, Trouble,
};
use crate::spare::Spare;
use crate::store::Store;
use crate::vault::{Field, Vault};

/// How many rekeys one step may meet before it gives up: one comes seldom, several are somebody's script.
const REKEYS_MET: usize = 20;

impl SqliteStore {
    /// Runs a step that seals or opens. If the store was rekeyed meanwhile, the key is taken anew.
    async fn sealed<T, F>(&self, name: &str, step: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Transaction<'_>, &Vault) -> Outcome<T> + Clone + Send + 'static,
    {
        let mut result = self.attempt(self.vault(), step.clone()).await?;
        for _ in 0..REKEYS_MET {
            if !matches!(result, Err(Refused::KeyChanged)) {
                break;
            }
            result = self.attempt(self.reload().await?, step.clone()).await?;
        }
        result.map_err(|refused| self.error(name, refused))
    }

    async fn attempt<T, F>(
        &self,
        vault: Arc<Vault>,
        step: F,
    ) -> Result<Result<T, Refused>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>, &Vault) -> Outcome<T> + Send + 'static,
    {
        self.db
            .write(move |tx| {
                if sessions::same_key(tx, &vault)? {
                    step(tx, &vault)
                } else {
                    Ok(Err(Refused::KeyChanged))
                }
            })
            .await
    }

    /// Runs a step that needs no key.
    async fn step<T, F>(&self, name: &str, step: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Outcome<T> + Send + 'static,
    {
        self.db
            .write(step)
            .await?
            .map_err(|refused| self.error(name, refused))
    }

    /// Key sources may block (a helper command), so they are asked off the async threads.
    async fn reload(&self) -> Result<Arc<Vault>, StoreError> {
        let (db, store_id, options) =
            (self.db.clone(), self.store_id.clone(), self.options.clone());
        let vault =
            tokio::task::spawn_blocking(move || super::open::unlock(&db, &store_id, &options))
                .await
                .map_err(|error| StoreError::Internal {
                    path: self.db.path().to_owned(),
                    detail: error.to_string(),
                })??;
        Ok(self.set_vault(vault))
    }

    fn error(&self, name: &str, refused: Refused) -> StoreError {
        match refused {
            Refused::Fenced => StoreError::Fenced,
            Refused::Moved(now) => StoreError::Moved { now },
            Refused::KeyChanged => StoreError::Key {
                source_name: self.key_source(),
                detail: "the store was rekeyed, and this source still holds the old key".to_owned(),
                fix: Some("start again with the new key source".to_owned()),
            },
            Refused::Unreadable(detail) => StoreError::Unreadable {
                path: self.db.path().to_owned(),
                session: name.to_owned(),
                detail,
            },
            Refused::Seal(error) => internal(&self.db, &error),
        }
    }

    fn point(&self, name: &str) -> Result<(), StoreError> {
        self.options.faults.point(name)
    }

    fn spare_error(&self, name: &str, doing: &str, error: &std::io::Error) -> StoreError {
        StoreError::from_io(&self.spares.path(name), doing, error)
    }

    /// What waits in the spare slot: opened, or why it cannot be.
    fn waiting(vault: &Vault, name: &str, spare: &Spare) -> Result<Waiting, String> {
        let generation = Generation(spare.generation);
        vault
            .open_pair(Field::Spare, name, generation, &spare.sealed)
            .map(|pair| Waiting { generation, pair })
            .map_err(|error| format!("spare slot: {error}"))
    }

    /// Empties the spare slot up to `generation`; what is left is older than the store and harmless.
    fn clear_spare(&self, name: &str, generation: Generation) {
        if let Err(error) = self.spares.clear(name, generation.0) {
            tracing::warn!(session = name, %error, "the spare slot cannot be emptied");
        }
    }

    /// The row, the slot, and a vault that has the store's key.
    async fn look(
        &self,
        name: &str,
    ) -> Result<(Option<Row>, Option<Spare>, Arc<Vault>), StoreError> {
        let vault = self.vault();
        let (spares, at, used) = (self.spares.clone(), name.to_owned(), Arc::clone(&vault));
        let (row, same_key, spare) = self
            .db
            .read(move |conn| {
                let row = sessions::get(conn, &at)?;
                Ok((row, sessions::same_key(conn, &used)?, spares.read(&at)))
            })
            .await?;
        let spare =
            spare.map_err(|error| self.spare_error(name, "reading the spare slot", &error))?;
        let vault = if same_key {
            vault
        } else {
            self.reload().await?
        };
        Ok((row, spare, vault))
    }

    /// A pair that another process could not save may have come to the spare slot since the claim: spending
    /// the generation before it would burn a strict family.
    async fn nothing_newer_waits(
        &self,
        name: &str,
        generation: Generation,
    ) -> Result<(), StoreError> {
        let (spares, at) = (self.spares.clone(), name.to_owned());
        let spare = tokio::task::spawn_blocking(move || spares.read(&at))
            .await
            .map_err(std::io::Error::other)
            .and_then(|read| read)
            .map_err(|error| self.spare_error(name, "reading the spare slot", &error))?;
        match spare.map(|spare| Generation(spare.generation)) {
            Some(now) if now > generation => Err(StoreError::Moved { now }),
            _ => Ok(()),
        }
    }

    /// Opens a row and lays a newer pair from the spare slot over it.
    fn record(&self, row: &Row, spare: Option<&Spare>, vault: &Vault) -> Record {
        let mut record = row.open(vault, row.live_lease(&self.holder, &self.boot));
        if let Some(spare) = spare.filter(|spare| is_newer(spare.generation, Some(row))) {
            match Self::waiting(vault, &row.name, spare) {
                Ok(waiting) => {
                    record.generation = waiting.generation;
                    record.pair = Some(waiting.pair);
                    record.intent = None;
                    record.latch = None;
                    record.trouble = None;
                    record.unsaved = true;
                }
                Err(why) => {
                    record.unreadable = Some(match record.unreadable {
                        Some(before) => format!("{before}; {why}"),
                        None => why,
                    });
                }
            }
        }
        record
    }

    /// Tries to bring a newer pair home from the spare slot; the row as it is then.
    async fn bring_home(&self, row: &Row, spare: &Spare, vault: &Vault) -> Option<Row> {
        let waiting = Self::waiting(vault, &row.name, spare).ok()?;
        let (generation, name) = (waiting.generation, row.name.clone());
        let (holder, boot) = (Arc::clone(&self.holder), Arc::clone(&self.boot));
        let taken = self
            .sealed(&row.name, move |tx, vault| {
                let taken = sessions::adopt(tx, vault, &name, (&holder, &boot), &waiting)?;
                let Ok(true) = taken else {
                    return Ok(taken.map(|_| None));
                };
                Ok(Ok(sessions::get(tx, &name)?))
            })
            .await;
        match taken {
            Ok(Some(row)) => {
                self.clear_spare(&row.name, generation);
                Some(row)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(session = row.name, %error, "the pair in the spare slot cannot be saved yet");
                None
            }
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        self.point("store.load")?;
        let (row, spare, vault) = self.look(name).await?;
        let Some(row) = row else { return Ok(None) };
        let newer = spare.filter(|spare| is_newer(spare.generation, Some(&row)));
        let Some(spare) = newer else {
            return Ok(Some(self.record(&row, None, &vault)));
        };
        match self.bring_home(&row, &spare, &vault).await {
            Some(row) => Ok(Some(self.record(&row, None, &vault))),
            None => Ok(Some(self.record(&row, Some(&spare), &vault))),
        }
    }

    async fn list(&self) -> Result<Vec<Record>, StoreError> {
        let vault = self.vault();
        let (spares, used) = (self.spares.clone(), Arc::clone(&vault));
        let (rows, same_key) = self
            .db
            .read(move |conn| {
                let rows: Vec<_> = sessions::all(conn)?
                    .into_iter()
                    .map(|row| (spares.read(&row.name), row))
                    .collect();
                Ok((rows, sessions::same_key(conn, &used)?))
            })
            .await?;
        let vault = if same_key {
            vault
        } else {
            self.reload().await?
        };
        rows.into_iter()
            .map(|(spare, row)| {
                let spare = spare.map_err(|error| {
                    self.spare_error(&row.name, "reading the spare slot", &error)
                })?;
                Ok(self.record(&row, spare.as_ref(), &vault))
            })
            .collect()
    }

    async fn claim(&self, name: &str, ttl_ms: u64) -> Result<Claim, StoreError> {
        self.point("store.claim.before")?;
        let (row, spare, vault) = self.look(name).await?;
        let newer = spare.filter(|spare| is_newer(spare.generation, row.as_ref()));
        let waiting = newer
            .as_ref()
            .and_then(|spare| Self::waiting(&vault, name, spare).ok());
        let adopted = waiting.as_ref().map(|waiting| waiting.generation);
        let (holder, boot, at) = (
            Arc::clone(&self.holder),
            Arc::clone(&self.boot),
            name.to_owned(),
        );
        let claimed = self
            .sealed(name, move |tx, vault| {
                sessions::claim(tx, vault, (&at, ttl_ms), (&holder, &boot), waiting.as_ref())
            })
            .await?;
        let row = match claimed {
            Ok(row) => row,
            Err(held) => {
                return Ok(Claim::Held {
                    by: held.holder,
                    for_ms: held.for_ms,
                });
            }
        };
        self.point("store.claim.after")?;
        if let Some(generation) = adopted {
            self.clear_spare(name, generation);
        }
        let lease = Lease {
            name: name.to_owned(),
            holder: self.holder.id().to_owned(),
            epoch: row.epoch,
        };
        let record = self.record(&row, newer.as_ref(), &self.vault());
        Ok(Claim::Granted(lease, record))
    }

    async fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<(), StoreError> {
        self.point("store.renew")?;
        let held = lease.clone();
        self.step(&lease.name, move |tx| sessions::renew(tx, &held, ttl_ms))
            .await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.point("store.release")?;
        let lease = lease.clone();
        self.db.write(move |tx| sessions::release(tx, &lease)).await
    }

    async fn write_intent(&self, lease: &Lease, intent: &Intent) -> Result<(), StoreError> {
        self.point("store.intent.before")?;
        let lease_generation = intent.generation;
        let (held, intent) = (lease.clone(), intent.clone());
        self.step(&lease.name, move |tx| {
            sessions::write_intent(tx, &held, &intent)
        })
        .await?;
        self.nothing_newer_waits(&lease.name, lease_generation)
            .await?;
        self.point("store.intent.after")
    }

    async fn clear_intent(&self, lease: &Lease, generation: Generation) -> Result<(), StoreError> {
        self.point("store.clear.before")?;
        let held = lease.clone();
        self.step(&lease.name, move |tx| {
            sessions::clear_intent(tx, &held, generation)
        })
        .await
    }

    async fn commit(
        &self,
        lease: &Lease,
        expect: Generation,
        pair: &TokenPair,
        info: &Info,
    ) -> Result<(), StoreError> {
        self.point("store.commit.before")?;
        let (held, data) = (lease.clone(), (pair.clone(), info.clone()));
        let committed = self
            .sealed(&lease.name, move |tx, vault| {
                sessions::commit(tx, vault, &held, expect, (&data.0, &data.1))
            })
            .await;
        match committed {
            Ok(saves) => self.advance(saves),
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
        let (held, latch) = (lease.clone(), latch.clone());
        self.step(&lease.name, move |tx| {
            sessions::latch(tx, &held, expect, &latch)
        })
        .await?;
        self.point("store.latch.after")
    }

    async fn note(
        &self,
        name: &str,
        generation: Generation,
        trouble: Option<&Trouble>,
    ) -> Result<(), StoreError> {
        self.point("store.note.before")?;
        let (at, trouble) = (name.to_owned(), trouble.cloned());
        self.step(name, move |tx| {
            trouble::note(tx, &at, generation, trouble.as_ref())
        })
        .await
    }

    async fn pace(&self, endpoint: &str) -> Result<Option<Pace>, StoreError> {
        let endpoint = endpoint.to_owned();
        self.db
            .read(move |conn| trouble::pace(conn, &endpoint))
            .await
    }

    async fn set_pace(&self, endpoint: &str, pace: Option<Pace>) -> Result<(), StoreError> {
        self.point("store.pace.before")?;
        let endpoint = endpoint.to_owned();
        self.db
            .write(move |tx| trouble::set_pace(tx, &endpoint, pace))
            .await
    }

    async fn login(
        &self,
        name: &str,
        pair: TokenPair,
        info: &Info,
        stored: Option<&StoredLogin>,
    ) -> Result<Generation, StoreError> {
        self.point("store.login.before")?;
        let at = name.to_owned();
        let waiting = self
            .spares
            .read(name)
            .map_err(|error| self.spare_error(name, "reading the spare slot", &error))?
            .map_or(Generation(0), |spare| Generation(spare.generation));
        let (info, stored) = (info.clone(), stored.cloned());
        let (generation, saves) = self
            .sealed(name, move |tx, vault| {
                sessions::login(tx, vault, (&at, waiting), (&pair, &info), stored.as_ref())
            })
            .await?;
        self.advance(saves);
        self.forget_spare(name)?;
        self.point("store.login.after")?;
        Ok(generation)
    }

    async fn logout(&self, name: &str) -> Result<(), StoreError> {
        self.point("store.logout.before")?;
        // First, so that no spare pair can bring the session back.
        self.forget_spare(name)?;
        let at = name.to_owned();
        self.db.write(move |tx| sessions::logout(tx, &at)).await?;
        self.point("store.logout.after")
    }

    async fn save_info(&self, name: &str, info: &Info) -> Result<(), StoreError> {
        self.point("store.info.before")?;
        let (name, info) = (name.to_owned(), info.clone());
        self.db
            .write(move |tx| sessions::save_info(tx, &name, &info))
            .await
    }

    async fn append_event(&self, event: &EventRow) -> Result<u64, StoreError> {
        self.point("store.event.before")?;
        let event = event.clone();
        self.db.write(move |tx| events::append(tx, &event)).await
    }

    async fn append_event_once(
        &self,
        event: &EventRow,
        once: Once,
    ) -> Result<Option<u64>, StoreError> {
        self.point("store.event.before")?;
        let known = event.clone();
        if self
            .db
            .read(move |conn| events::known(conn, &known, once))
            .await?
        {
            return Ok(None);
        }
        let event = event.clone();
        self.db
            .write(move |tx| {
                // Somebody else may have been faster since.
                if events::known(tx, &event, once)? {
                    return Ok(None);
                }
                events::append(tx, &event).map(Some)
            })
            .await
    }

    async fn events(
        &self,
        after: u64,
        session: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let session = session.map(str::to_owned);
        self.db
            .read(move |conn| events::after(conn, after, session.as_deref(), limit))
            .await
    }

    async fn save_spare(&self, name: &str, pair: &TokenPair) -> Result<(), StoreError> {
        self.point("store.spare.before")?;
        let sealed = self
            .vault()
            .seal_pair(Field::Spare, name, pair.generation, pair)
            .map_err(|error| internal(&self.db, &error))?;
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
        let at = crate::clock::wall().0.to_string();
        self.db
            .write(move |tx| sessions::set_meta(tx, "probed", &at))
            .await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.db.changes()
    }

    fn holder(&self) -> &str {
        self.holder.id()
    }

    fn describe(&self) -> String {
        format!(
            "SQLite {}, key from {}",
            self.db.path().display(),
            self.key_source()
        )
    }
}

impl SqliteStore {
    /// Whether the row holds exactly this pair: a commit repeated after its answer got lost.
    async fn holds(
        &self,
        name: &str,
        generation: Generation,
        pair: &TokenPair,
    ) -> Result<bool, StoreError> {
        let (row, _, vault) = self.look(name).await?;
        let stored = row.and_then(|row| row.open(&vault, None).pair);
        Ok(stored.is_some_and(|stored| {
            stored.generation == generation
                && stored.access == pair.access
                && stored.refresh == pair.refresh
        }))
    }

    fn forget_spare(&self, name: &str) -> Result<(), StoreError> {
        self.spares
            .remove(name)
            .map_err(|error| self.spare_error(name, "emptying the spare slot", &error))
    }
}
