//! The store on SQLite.

pub(crate) mod db;
mod events;
pub(crate) mod open;
mod schema;
pub(crate) mod sessions;
mod store;
mod trouble;

pub use db::Db;
pub use open::{Options, SqliteStore};
pub use schema::APPLICATION_ID;
pub(crate) use schema::{EVENTS_KEPT, MIGRATIONS};

/// How long a statement waits for another process's lock, in milliseconds.
pub const BUSY_MS: u64 = 5_000;
