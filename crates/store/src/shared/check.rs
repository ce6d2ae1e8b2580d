//! Looking a shared store over.

use super::SharedStore;
use crate::check::{CheckReport, Finding, KeyCheck, LeaseCheck, SessionCheck, SpareCheck};
use crate::error::StoreError;
use crate::vault::Field;

impl SharedStore {
    /// Looks the store over, with what this host keeps of it. Changes nothing.
    ///
    /// # Errors
    /// When the database or this host's files cannot be read.
    pub async fn check(&self) -> Result<CheckReport, StoreError> {
        let rows = self.rows.all().await?;
        let vault = self
            .vault_for(rows.first().map(|row| row.key_id.as_str()))
            .await?;
        let counts = self.rows.counts().await?;
        let sessions: Vec<SessionCheck> = rows
            .iter()
            .map(|row| SessionCheck {
                name: row.name.clone(),
                generation: row.generation.0,
                has_pair: row.pair.is_some(),
                not_opened: None,
                unreadable: row.kept().locked(&vault).map(|error| error.to_string()),
                lease: row.lease.as_ref().map(|lease| LeaseCheck {
                    holder: lease.holder.clone(),
                    for_ms: lease.for_ms,
                    alive: row.live_lease(&self.holder, &self.host).is_some(),
                }),
                intent: row.intent.is_some(),
                latched: row.latch.is_some(),
                suspect: row.suspect,
            })
            .collect();
        let failed =
            |error| StoreError::from_io(self.spares.dir(), "listing the spare slots", &error);
        let mut spares = Vec::new();
        for session in self.spares.sessions().map_err(failed)? {
            let Some(spare) = self.spares.read(&session).map_err(failed)? else {
                continue;
            };
            let stored = rows.iter().find(|row| row.name == session);
            let stored = stored.map_or(0, |row| row.generation.0);
            let opened = vault.open_pair(
                Field::Spare,
                &session,
                tenure_core::Generation(spare.generation),
                &spare.sealed,
            );
            spares.push(SpareCheck {
                newer: spare.generation > stored,
                generation: spare.generation,
                not_opened: None,
                unreadable: opened.err().map(|error| error.to_string()),
                session,
            });
        }
        let locked = sessions.iter().filter_map(|session| {
            let why = session.unreadable.as_ref()?;
            Some(Finding {
                message: format!("session {} cannot be opened: {why}", session.name),
                fix: Some(format!(
                    "bring back the key it was sealed with, or log in again (`tenure login {}`)",
                    session.name
                )),
            })
        });
        let lost = spares.iter().filter(|spare| spare.newer).filter_map(|spare| {
            let why = spare.unreadable.as_ref()?;
            Some(Finding {
                message: format!(
                    "the newest pair of session {} waits on this host and cannot be opened: {why}",
                    spare.session
                ),
                fix: Some(format!(
                    "bring back the key it was sealed with, or log in again (`tenure login {}`)",
                    spare.session
                )),
            })
        });
        let problems: Vec<Finding> = locked.chain(lost).collect();
        Ok(CheckReport {
            path: self.rows.place().into(),
            ok: problems.is_empty(),
            problems,
            schema_version: counts.schema,
            key: KeyCheck {
                id: Some(vault.key_id().to_string()),
                source: Some(vault.source.clone()),
                skipped: vault.skipped.clone(),
                error: None,
            },
            sessions,
            spares,
            kept: counts.kept,
            events: counts.events,
        })
    }
}
