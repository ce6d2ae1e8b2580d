//! Drives the session machine: the refresh transaction, shards, pacing, clocks, login flows. The only writer
//! of sessions.
//!
//! [`Keeper::open`] reads the store and starts keeping; a [`Session`] answers callers from an atomic snapshot.
//! Everything that touches the network or the store runs in tasks of the keeper's own (I3).
#![forbid(unsafe_code)]

pub mod clock;
mod clocks;
mod config;
mod context;
pub mod doctor;
mod effects;
mod entry;
mod events;
mod exchange;
mod failures;
mod judge;
mod keeper;
pub mod login;
mod pacing;
pub mod probe;
mod rows;
mod servers;
mod session;
mod shard;

/// Target of the log lines that tell events, one line each.
pub const EVENT_LOG: &str = "tenure_keeper::events";

pub use config::{Endpoints, SessionConfig, Timing, checks};
pub use failures::SETTING;
pub use judge::Reader;
pub use keeper::{Keeper, Options};
pub use session::{AfterRefusal, Session, Snapshot, Status, Token};
