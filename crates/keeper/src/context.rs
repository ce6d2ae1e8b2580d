//! What every part of one keeper shares.

use std::sync::Arc;

use tenure_core::BootId;
use tenure_store::fault::FaultPlan;
use tenure_store::{EventRow, Store};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::clocks::Clocks;
use crate::config::SessionConfig;
use crate::exchange::Net;
use crate::pacing::Pacer;
use crate::servers::Servers;

pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) http: tenure_http::Client,
    pub(crate) fault: FaultPlan,
    pub(crate) boot: BootId,
    pub(crate) clocks: Clocks,
    pub(crate) pacer: Pacer,
    pub(crate) servers: Servers,
    /// Effects under way; a stop waits for them.
    pub(crate) tasks: TaskTracker,
    /// To the one task that writes events to the store.
    pub(crate) events: mpsc::UnboundedSender<Note>,
    /// To whoever listens in this process.
    pub(crate) live: broadcast::Sender<EventRow>,
}

/// To the task that writes events.
pub(crate) enum Note {
    /// Write this.
    Row(Box<EventRow>),
    /// Answer when everything before is written.
    Flush(oneshot::Sender<()>),
}

impl Context {
    /// Tells this process's listeners only.
    pub(crate) fn tell_here(&self, row: EventRow) {
        log(&row);
        // Nobody listening is fine.
        let _no_listener = self.live.send(row);
    }

    /// Tells this process's listeners, and the store by its writer.
    pub(crate) fn tell(&self, row: EventRow) {
        log(&row);
        // Nobody listening is fine; the store keeps the event.
        let _no_listener = self.live.send(row.clone());
        if self.events.send(Note::Row(Box::new(row))).is_err() {
            tracing::warn!("an event could not be stored: the keeper is shutting down");
        }
    }

    pub(crate) fn net<'a>(&'a self, config: &'a SessionConfig) -> Net<'a> {
        Net {
            http: config.http(&self.http),
            clocks: &self.clocks,
        }
    }
}

/// The log has every event once.
fn log(row: &EventRow) {
    if let Some(failure) = &row.failure {
        tracing::info!(target: crate::EVENT_LOG, session = %row.session, code = %failure.code, "{}", row.text);
    } else {
        tracing::info!(target: crate::EVENT_LOG, session = %row.session, generation = %row.generation, "{}", row.text);
    }
}
