//! Encrypted session store and leases on SQLite, PostgreSQL and Valkey; the writer the issuer's tables share.
//!
//! [`Store`] is what the keeper needs of a store, [`sqlite::SqliteStore`] keeps it in one SQLite file that
//! several processes of one host share, [`shared::SharedStore`] in a database that many hosts share, and [`sqlite::Db`] is the durable writer beneath it, for anybody's
//! tables. Tokens are sealed ([`seal`]) before they reach the file. DESIGN §3 (I1, I2, I4, I6, I8, I9) and §9
//! say what must hold.
#![forbid(unsafe_code)]

pub mod check;
pub mod clock;
pub mod error;
pub mod export;
pub mod fault;
mod files;
mod helper;
mod holder;
mod incarnation;
mod keyring;
pub mod keys;
pub mod postgres;
pub mod record;
pub mod rekey;
mod row;
pub mod seal;
pub mod shared;
mod spare;
pub mod sqlite;
pub mod store;
mod valkey;
mod vault;

pub use error::StoreError;
pub use keys::KeySource;
pub use record::{
    Claim, EventRow, Info, Intent, Latch, Lease, LeaseView, Once, Pace, Record, StoredLogin,
    Suspect, Trouble,
};
pub use seal::{Seal, SealError};
pub use store::Store;
