//! The store from outside: the contract every store keeps, and what SQLite and PostgreSQL add to it.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the place"
)]

mod bad;
mod contract;
mod database;
mod fleet;
mod histories;
mod moving;
mod processes;
mod sealed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tenure_core::{
    Anchor, Class, Code, Failure, Fingerprint, Generation, Heal, Secret, TokenPair, Wall, Who,
};
use tenure_store::fault::FaultPlan;
use tenure_store::sqlite::{Options, SqliteStore};
use tenure_store::{Claim, Intent, Latch, Lease, Record, Store};

/// Marks every secret of these tests.
const CANARY: &str = "canary-8c1f";
/// Longer than any test.
const LONG_MS: u64 = 600_000;

/// A database of its own that any number of stores may open, each as if by a process of its own.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("data").join("tenure.db")
    }

    fn options(&self) -> Options {
        Options::new(self.path())
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.options()).unwrap()
    }

    fn open_with(&self, faults: &str) -> SqliteStore {
        SqliteStore::open(Options {
            faults: FaultPlan::parse(faults).unwrap(),
            ..self.options()
        })
        .unwrap()
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.path(), suffix)
    }
}

#[async_trait]
impl contract::Fixture for Bench {
    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.open())
    }

    fn another(&self) -> Box<dyn contract::Fixture> {
        Box::new(Self::new())
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn pair(number: u64) -> TokenPair {
    TokenPair {
        generation: Generation(number),
        access: Secret::new(format!("{CANARY}-access-{number}")),
        refresh: Some(Secret::new(format!("{CANARY}-refresh-{number}"))),
        scope: Some("orders".to_owned()),
        issued: Anchor::default(),
        access_ms: Some(20_000),
        refresh_in_ms: None,
        refresh_ms: Some(86_400_000),
        session_ms: None,
    }
}

fn intent(store: &dyn Store, generation: Generation) -> Intent {
    Intent {
        generation,
        sent_wall: Wall(1_790_000_000_000),
        attempts: 1,
        holder: store.holder().to_owned(),
    }
}

fn latch() -> Latch {
    Latch {
        fingerprint: Fingerprint([7; 32]),
        failure: Failure::new(
            Code::RefreshRevoked,
            Class::RefreshRevoked,
            "revoked",
            Heal::Relogin,
            Who::User,
            "",
        ),
        at: Wall(1_790_000_000_000),
    }
}

/// Claims what must be free.
async fn claim(store: &dyn Store, name: &str, ttl_ms: u64) -> (Lease, Record) {
    match store.claim(name, ttl_ms).await.unwrap() {
        Claim::Granted(lease, record) => (lease, record),
        Claim::Held { by, for_ms } => panic!("held by {by} for {for_ms} ms"),
    }
}

async fn load(store: &dyn Store, name: &str) -> Record {
    store.load(name).await.unwrap().unwrap()
}
