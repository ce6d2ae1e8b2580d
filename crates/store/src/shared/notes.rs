//! A note of trouble in a database that hosts share: its pause ends by the database's clock.

use serde::{Deserialize, Serialize};
use tenure_core::Failure;

use crate::error::StoreError;
use crate::record::Trouble;

#[derive(Serialize)]
struct Written<'a> {
    failures: u32,
    refused: bool,
    failure: &'a Failure,
}

#[derive(Deserialize)]
struct Stored {
    failures: u32,
    refused: bool,
    failure: Failure,
}

pub(crate) fn written(trouble: &Trouble, place: &str) -> Result<String, StoreError> {
    json(
        &Written {
            failures: trouble.failures,
            refused: trouble.refused,
            failure: &trouble.failure,
        },
        place,
    )
}

/// What the column says. What cannot be read is no trouble: it is advice, and the next failure writes it anew.
pub(crate) fn read(json: &str, wait_ms: u64) -> Option<Trouble> {
    let stored: Stored = serde_json::from_str(json)
        .inspect_err(|error| tracing::warn!(%error, "a note of trouble cannot be read"))
        .ok()?;
    Some(Trouble {
        failures: stored.failures,
        wait_ms,
        refused: stored.refused,
        failure: stored.failure,
    })
}

/// JSON of plain data.
pub(crate) fn json<T: Serialize>(value: &T, place: &str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal {
        path: place.into(),
        detail: error.to_string(),
    })
}
