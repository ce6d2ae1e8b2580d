//! Counters of this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// One refresh that was answered with tokens, by the generation that was presented.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// The session.
    pub sid: String,
    /// The presented generation.
    pub generation: u64,
}

/// What happened at the token endpoint since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Refreshes that rotated.
    pub rotations: u64,
    /// Refreshes that were given the same successor again.
    pub retries: u64,
    /// Refresh requests refused, for whatever reason.
    pub refused: u64,
    /// Families revoked because of reuse.
    pub kills: u64,
    /// Logins: families begun.
    pub logins: u64,
    /// Refresh tokens refused without a look into the database.
    pub junk: u64,
    /// Refreshes that looked into the database.
    pub looked_up: u64,
    /// Answered refreshes per session and presented generation; empty unless
    /// [`crate::Options::record_exchanges`] is set. One each proves "one exchange per generation".
    pub exchanges: BTreeMap<Exchange, u64>,
}

#[derive(Default)]
pub(crate) struct Counters(Mutex<Stats>);

impl Counters {
    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn snapshot(&self) -> Stats {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
