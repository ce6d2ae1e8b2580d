//! A store that hosts share, on PostgreSQL and on Valkey: each host has a directory of its own, and all the same database.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tenure_core::{Generation, Secret};
use tenure_lab::{Postgres, Valkey};
use tenure_store::fault::FaultPlan;
use tenure_store::shared::{self, Options, SharedStore};
use tenure_store::{Claim, Info, KeySource, Store, StoreError, Suspect};

use crate::contract::Fixture;
use crate::{Bench, CANARY, LONG_MS, claim, intent, load, pair};

/// An empty database, and the directory of one host.
pub(crate) struct Fleet {
    address: String,
    home: TempDir,
}

/// The servers that stores of hosts lie on.
#[derive(Clone, Copy)]
enum Kind {
    Postgres,
    Valkey,
}

/// A server of one's own, to be killed.
enum Server {
    Postgres(Postgres),
    Valkey(Valkey),
}

impl Server {
    fn start(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::Postgres(Postgres::start()),
            Kind::Valkey => Self::Valkey(Valkey::start()),
        }
    }

    fn database(&self) -> String {
        match self {
            Self::Postgres(server) => server.database(),
            Self::Valkey(server) => server.database(),
        }
    }

    fn kill(&self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::Valkey(server) => server.kill(),
        }
    }

    fn run(&self) {
        match self {
            Self::Postgres(server) => server.run(),
            Self::Valkey(server) => server.run(),
        }
    }
}

impl Fleet {
    pub(crate) fn on_postgres() -> Self {
        Self::at(Postgres::shared().database())
    }

    pub(crate) fn on_valkey() -> Self {
        Self::at(Valkey::shared().database())
    }

    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::on_postgres(),
            Kind::Valkey => Self::on_valkey(),
        }
    }

    fn kind(&self) -> Kind {
        if self.address.starts_with("valkey") {
            Kind::Valkey
        } else {
            Kind::Postgres
        }
    }

    fn at(address: String) -> Self {
        Self {
            address,
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Another host with the same database and a copy of the key.
    fn host(&self) -> Self {
        let other = Self::at(self.address.clone());
        std::fs::create_dir_all(other.dir()).unwrap();
        let key = self.dir().join("fleet.key");
        if key.exists() {
            std::fs::copy(key, other.dir().join("fleet.key")).unwrap();
        }
        other
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn options(&self) -> Options {
        std::fs::create_dir_all(self.dir()).unwrap();
        Options {
            home: self.dir().join("fleet"),
            require_durable: true,
            ..Options::default()
        }
    }

    async fn try_open(&self, options: Options) -> Result<Arc<SharedStore>, StoreError> {
        shared::open(&Secret::new(self.address.clone()), options).await
    }

    async fn open(&self) -> Arc<SharedStore> {
        self.try_open(self.options()).await.unwrap()
    }

    /// Sets the count of changes back to 1 and the schema's version, as somebody does who restores a backup, or has a
    /// newer program.
    fn meddle(&self, with: Meddling) {
        let name = self.address.rsplit('/').next().unwrap();
        match (self.kind(), with) {
            (Kind::Postgres, Meddling::OldChanges) => {
                let set = "SELECT setval('keeper_changes', 1)";
                Postgres::shared().sql(name, set).unwrap();
            }
            (Kind::Postgres, Meddling::NewSchema) => {
                let set = "UPDATE keeper_meta SET value = '99' WHERE key = 'schema_version'";
                Postgres::shared().sql(name, set).unwrap();
            }
            (Kind::Valkey, with) => {
                let set = match with {
                    Meddling::OldChanges => "changes 1",
                    Meddling::NewSchema => "schema_version 99",
                };
                let line = format!("SELECT {name}\r\nHSET {{tenure}}:meta {set}");
                Valkey::shared().command(&line).unwrap();
            }
        }
    }

    /// Everything that lies on the server.
    fn dump(&self) -> String {
        let name = self.address.rsplit('/').next().unwrap();
        match self.kind() {
            Kind::Postgres => {
                let all = "SELECT s::text, encode(pair, 'escape') FROM keeper_sessions s";
                Postgres::shared().sql(name, all).unwrap()
            }
            Kind::Valkey => {
                let line = format!("SELECT {name}\r\nHGETALL {{tenure}}:session:shop");
                Valkey::shared().command(&line).unwrap()
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Meddling {
    OldChanges,
    NewSchema,
}

macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::Postgres).await; })*
        }
        mod on_valkey {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::Valkey).await; })*
        }
    };
}

on_every_server![
    hosts_share_one_lease,
    the_dead_of_this_host_free_their_lease_at_once_and_those_of_another_in_time,
    a_stale_holder_changes_nothing,
    a_pair_that_could_not_be_saved_comes_home_when_the_server_is_back,
    a_store_survives_a_restart_of_its_server,
    a_database_from_the_past_is_noticed,
    a_host_without_the_key_is_told_where_to_take_it_from,
    a_newer_schema_is_left_alone,
    no_secret_lies_open_in_the_database,
    sessions_move_between_a_file_and_a_fleet,
    a_fault_before_or_after_the_commit_loses_nothing,
];

#[async_trait]
impl Fixture for Fleet {
    async fn store(&self) -> Arc<dyn Store> {
        self.open().await
    }

    fn another(&self) -> Box<dyn Fixture> {
        Box::new(Self::new(self.kind()))
    }
}

async fn hosts_share_one_lease(kind: Kind) {
    let one = Fleet::new(kind);
    let here = one.open().await;
    let two = one.host();
    let there = two.open().await;
    here.login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    assert_eq!(load(&*there, "shop").await.pair, Some(pair(1)));
    let (lease, _) = claim(&*here, "shop", LONG_MS).await;
    let Claim::Held { by, .. } = there.claim("shop", LONG_MS).await.unwrap() else {
        panic!("claimed twice");
    };
    assert_eq!(by, here.holder());
    here.commit(&lease, Generation(1), &pair(2), &Info::default())
        .await
        .unwrap();
    here.release(&lease).await.unwrap();
    assert_eq!(load(&*there, "shop").await.pair, Some(pair(2)));
}

async fn the_dead_of_this_host_free_their_lease_at_once_and_those_of_another_in_time(kind: Kind) {
    let one = Fleet::new(kind);
    let (here, beside) = (one.open().await, one.open().await);
    let two = one.host();
    let there = two.open().await;
    claim(&*here, "shop", LONG_MS).await;
    claim(&*beside, "till", 1_500).await;
    drop(here);
    // Its lock is gone with it, which a process of the same host sees.
    claim(&*beside, "shop", 1).await;
    drop(beside);
    // From another host nothing can be seen: the lease runs out.
    let Claim::Held { for_ms, .. } = there.claim("till", LONG_MS).await.unwrap() else {
        panic!("taken from somebody who may live");
    };
    assert!(for_ms <= 1_500);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while let Claim::Held { for_ms, .. } = there.claim("till", LONG_MS).await.unwrap() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(for_ms)).await; // paced: the rest of the lease
    }
}

async fn a_stale_holder_changes_nothing(kind: Kind) {
    let one = Fleet::new(kind);
    let here = one.open().await;
    here.login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (stale, _) = claim(&*here, "shop", 0).await;
    let two = one.host();
    let there = two.open().await;
    let (lease, _) = claim(&*there, "shop", LONG_MS).await;
    let sent = intent(&*here, Generation(1));
    assert_eq!(
        here.write_intent(&stale, &sent).await,
        Err(StoreError::Fenced)
    );
    let late = here
        .commit(&stale, Generation(1), &pair(2), &Info::default())
        .await;
    assert_eq!(late, Err(StoreError::Fenced));
    assert_eq!(here.renew(&stale, LONG_MS).await, Err(StoreError::Fenced));
    there.renew(&lease, LONG_MS).await.unwrap();
    assert_eq!(load(&*there, "shop").await.pair, Some(pair(1)));
}

async fn a_pair_that_could_not_be_saved_comes_home_when_the_server_is_back(kind: Kind) {
    let server = Server::start(kind);
    let host = Fleet::at(server.database());
    let store = host.open().await;
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (lease, _) = claim(&*store, "shop", LONG_MS).await;
    store
        .write_intent(&lease, &intent(&*store, Generation(1)))
        .await
        .unwrap();
    server.kill();
    let failed = store
        .commit(&lease, Generation(1), &pair(2), &Info::default())
        .await
        .unwrap_err();
    assert!(
        matches!(failed, StoreError::Unreachable { .. }) && failed.is_passing(),
        "{failed:?}"
    );
    store.save_spare("shop", &pair(2)).await.unwrap();
    drop(store);
    let error = host.try_open(host.options()).await.unwrap_err();
    assert_eq!(error.cause(), "store_unreachable");
    server.run();
    let store = host.open().await;
    let (_, record) = claim(&*store, "shop", LONG_MS).await;
    assert_eq!(
        (record.pair, record.intent, record.unsaved),
        (Some(pair(2)), None, false)
    );
}

async fn a_store_survives_a_restart_of_its_server(kind: Kind) {
    let server = Server::start(kind);
    let host = Fleet::at(server.database());
    let store = host.open().await;
    let mut changes = store.changes();
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    server.kill();
    server.run();
    // The first step on a connection that broke is made again on a new one.
    assert_eq!(load(&*store, "shop").await.pair, Some(pair(1)));
    let two = host.host();
    let other = two.open().await;
    changes.mark_unchanged();
    other.logout("shop").await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), changes.changed())
        .await
        .expect("heard on the new connection")
        .unwrap();
}

async fn a_database_from_the_past_is_noticed(kind: Kind) {
    let host = Fleet::new(kind);
    let store = host.open().await;
    for number in 1..4 {
        store
            .login("shop", pair(number), &Info::default(), None)
            .await
            .unwrap();
    }
    drop(store);
    // A backup of after the first change.
    host.meddle(Meddling::OldChanges);
    let store = host.open().await;
    assert!(store.rollback_evidence().is_some());
    assert_eq!(load(&*store, "shop").await.suspect, Some(Suspect::Restored));
    drop(store);
    let store = host.open().await;
    assert_eq!(store.rollback_evidence(), None, "it is told once");
    // A host that was never here knows of no past.
    let two = host.host();
    assert_eq!(two.open().await.rollback_evidence(), None);
}

async fn a_host_without_the_key_is_told_where_to_take_it_from(kind: Kind) {
    let one = Fleet::new(kind);
    let store = one.open().await;
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let stranger = Fleet::at(one.address.clone());
    let error = stranger.try_open(stranger.options()).await.unwrap_err();
    assert_eq!(error.cause(), "store_key_missing");
    let text = error.with_fix();
    assert!(
        text.contains("copy the key file") && text.contains("://127.0.0.1"),
        "{text}"
    );
    // A key of its own is not taken, and nothing is changed by trying.
    let wrong = Options {
        key: KeySource::File(stranger.dir().join("own")),
        ..stranger.options()
    };
    std::fs::write(stranger.dir().join("own"), "07".repeat(32)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(stranger.dir().join("own"), mode).unwrap();
    let error = stranger.try_open(wrong).await.unwrap_err();
    assert_eq!(error.cause(), "store_wrong_key");
    assert_eq!(load(&*store, "shop").await.pair, Some(pair(1)));
}

async fn a_newer_schema_is_left_alone(kind: Kind) {
    let host = Fleet::new(kind);
    drop(host.open().await);
    host.meddle(Meddling::NewSchema);
    let error = host.try_open(host.options()).await.unwrap_err();
    assert_eq!(error.cause(), "store_newer");
}

async fn no_secret_lies_open_in_the_database(kind: Kind) {
    let host = Fleet::new(kind);
    let store = host.open().await;
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let all = host.dump();
    assert!(all.contains("info") || all.contains("shop"), "{all}");
    assert!(!all.contains(CANARY), "{all}");
}

async fn sessions_move_between_a_file_and_a_fleet(kind: Kind) {
    let passphrase = Secret::new("correct horse battery".to_owned());
    let (file, fleet) = (Bench::new(), Fleet::new(kind));
    let local = file.open();
    local
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let export = local.export(&passphrase).await.unwrap();
    let shared = fleet.open().await;
    let report = shared
        .import(&export.bytes, Some(&passphrase), false)
        .await
        .unwrap();
    assert_eq!(report.imported, ["shop"]);
    let record = load(&*shared, "shop").await;
    assert_eq!(
        (record.pair, record.suspect),
        (Some(pair(1)), Some(Suspect::Imported))
    );
    let again = shared
        .import(&export.bytes, Some(&passphrase), false)
        .await
        .unwrap();
    assert_eq!(again.skipped, ["shop"]);
    let export = shared.export(&passphrase).await.unwrap();
    let back = Bench::new().open();
    back.import(&export.bytes, Some(&passphrase), false)
        .await
        .unwrap();
    assert_eq!(load(&back, "shop").await.pair, Some(pair(1)));
}

async fn a_fault_before_or_after_the_commit_loses_nothing(kind: Kind) {
    for point in ["store.commit.before:error", "store.commit.after:error"] {
        let host = Fleet::new(kind);
        let store = host
            .try_open(Options {
                faults: FaultPlan::parse(point).unwrap(),
                ..host.options()
            })
            .await
            .unwrap();
        let (lease, _) = claim(&*store, "shop", LONG_MS).await;
        let saved = |store: Arc<SharedStore>, lease: tenure_store::Lease| async move {
            store
                .commit(&lease, Generation(0), &pair(1), &Info::default())
                .await
        };
        assert!(saved(Arc::clone(&store), lease.clone()).await.is_err());
        saved(Arc::clone(&store), lease).await.unwrap();
        let record = load(&*store, "shop").await;
        assert_eq!(
            (record.generation, record.pair),
            (Generation(1), Some(pair(1)))
        );
    }
}

#[tokio::test]
async fn a_server_that_forgets_is_refused_where_that_is_asked_for() {
    let server = Valkey::forgetful();
    let host = Fleet::at(server.database());
    let error = host.try_open(host.options()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no append-only file") && text.contains("require_durable"),
        "{text}"
    );
    let told = Options {
        require_durable: false,
        ..host.options()
    };
    host.try_open(told).await.unwrap();
}
