//! `[keeper.timing]` and `[sessions.S.timing]`.

use tenure_keeper::{Timing, checks};

use super::reader::Table;
use super::value;

/// The keys of a timing table.
pub const KEYS: [&str; 5] = [
    "exchange_timeout",
    "backoff_min",
    "backoff_max",
    "refresh_at",
    "replay_limit",
];

/// Reads a timing table over what applies without it.
pub fn read(table: Table<'_>, base: &Timing) -> Timing {
    let mut timing = base.clone();
    if let Some(timeout) = table.parsed("exchange_timeout", value::positive_duration) {
        timing.exchange_timeout = timeout.value;
    }
    if let Some(min) = table.parsed("backoff_min", value::positive_duration) {
        timing.backoff_min = min.value;
    }
    if let Some(max) = table.parsed("backoff_max", value::positive_duration) {
        timing.backoff_max = max.value;
    }
    if let Some(at) = table.parsed("refresh_at", value::refresh_at) {
        timing.refresh_at = at.value;
    }
    if let Some(limit) = table.parsed("replay_limit", value::size) {
        timing.replay_limit = limit.value;
    }
    if let Err(wrong) = checks::waits(&timing) {
        table.wrong_at("backoff_min", wrong);
    }
    table.finish(|_| None);
    timing
}
