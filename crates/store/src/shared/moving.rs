//! Taking all sessions out of a shared store, and into it.

use tenure_core::{Generation, Secret};

use super::SharedStore;
use super::notes::json;
use super::rows::{Arrival, Seen, Swap};
use crate::error::StoreError;
use crate::export::{self, Export, ImportReport, Incoming};
use crate::record::Suspect;
use crate::store::Store;

/// How often a session is read again because somebody wrote it meanwhile.
const TRIES: usize = 50;

impl SharedStore {
    /// All sessions, sealed under a passphrase. Takes a moment: the key derivation is made to be slow.
    ///
    /// # Errors
    /// What the database says; an empty passphrase.
    pub async fn export(&self, passphrase: &Secret) -> Result<Export, StoreError> {
        export::sealed(export::plain(self.list().await?)?, passphrase).await
    }

    /// Takes sessions in from an export, one after the other: what the database does not take is told, and those before it
    /// are there. What is here already stays unless `replace`; replacing is a new generation and fences a running
    /// exchange. Imported pairs are marked `suspect`: a newer pair may exist where they came from.
    ///
    /// # Errors
    /// An export that cannot be read, before anything is changed; what the database says.
    pub async fn import(
        &self,
        bytes: &[u8],
        passphrase: Option<&Secret>,
        replace: bool,
    ) -> Result<ImportReport, StoreError> {
        let sessions = export::opened(bytes, passphrase).await?;
        let mut report = ImportReport::default();
        for session in &sessions {
            let here = self.take_in(session, replace).await?;
            report.note(&session.name, here, replace);
        }
        Ok(report)
    }

    /// Takes in one session; the generation that was here before.
    async fn take_in(&self, session: &Incoming, replace: bool) -> Result<Generation, StoreError> {
        let info = json(&session.info, self.rows.place())?;
        let latch = session.latch.as_ref();
        let latch = latch
            .map(|latch| json(latch, self.rows.place()))
            .transpose()?;
        for _ in 0..TRIES {
            let (row, vault) = self.look(&session.name).await?;
            let here = row.as_ref().map_or(Generation(0), |row| row.generation);
            let Some(generation) = session.lands_at(here, replace) else {
                return Ok(here);
            };
            let (pair, login) =
                export::seal(&vault, session, generation).map_err(|error| self.internal(&error))?;
            let aside = row.as_ref().and_then(|row| row.kept().locked(&vault));
            let aside = aside.map(|error| error.to_string());
            let key_id = vault.key_id().to_string();
            let arrival = Arrival {
                generation,
                pair: pair.as_deref(),
                login: login.as_deref(),
                latch: latch.as_deref(),
                info: &info,
                suspect: pair.as_ref().map(|_| Suspect::Imported),
                key_id: &key_id,
                aside: aside.as_deref(),
            };
            let seen = row.as_ref().map(|row| Seen {
                epoch: row.epoch,
                generation: row.generation,
            });
            if let Swap::Done(change) = self.rows.put(&session.name, seen, arrival).await? {
                self.advance(change);
                return Ok(here);
            }
        }
        Err(self.busy())
    }
}
