//! Stores that cannot be used: each has its own clear error, and nothing of it is lost.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use rusqlite::Connection;
use tenure_core::{Code, Generation};
use tenure_store::sqlite::SqliteStore;
use tenure_store::{Info, Store, StoreError};

use crate::{Bench, LONG_MS, claim, load, pair};

/// A store with something in it, closed again.
async fn filled() -> Bench {
    let bench = Bench::new();
    let store = bench.open();
    for n in 0..40 {
        store
            .login(&format!("s{n}"), pair(n), &Info::default(), None)
            .await
            .unwrap();
    }
    store.db().checkpoint().unwrap();
    bench
}

/// The error of opening it; the database must not have been touched.
fn refusal(bench: &Bench) -> StoreError {
    let before = fs::read(bench.path()).unwrap();
    let error = SqliteStore::open(bench.options()).expect_err("cannot be opened");
    assert!(fs::read(bench.path()).unwrap() == before, "it was changed");
    assert_eq!(error.code(), Code::StoreUnavailable);
    let text = error.to_string();
    assert!(text.contains(&bench.path().display().to_string()), "{text}");
    error
}

#[tokio::test]
async fn a_file_that_is_no_database() {
    let bench = Bench::new();
    drop(bench.open());
    fs::remove_file(bench.beside("-wal")).ok();
    fs::write(bench.path(), "dear diary, today I was taken for a database").unwrap();
    let error = refusal(&bench);
    assert!(
        matches!(&error, StoreError::Corrupt { detail, .. } if detail.contains("not a SQLite database")),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_page() {
    let bench = filled().await;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(bench.path())
        .unwrap();
    let size = file.metadata().unwrap().len();
    for page in 2..size / 4096 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0x5a; 512]).unwrap();
    }
    let error = refusal(&bench);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.fix().unwrap().contains("backup"));
}

#[tokio::test]
async fn a_file_cut_short() {
    let bench = filled().await;
    let file = fs::OpenOptions::new()
        .write(true)
        .open(bench.path())
        .unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let error = refusal(&bench);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn another_programs_database() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path().parent().unwrap()).unwrap();
    let conn = Connection::open(bench.path()).unwrap();
    conn.execute_batch("PRAGMA application_id = 66; CREATE TABLE theirs (x)")
        .unwrap();
    drop(conn);
    let error = refusal(&bench);
    assert!(
        matches!(error, StoreError::Foreign { found: 66, .. }),
        "{error}"
    );
    // Without any id of its own it is still not ours.
    let conn = Connection::open(bench.path()).unwrap();
    conn.execute_batch("PRAGMA application_id = 0").unwrap();
    drop(conn);
    assert!(matches!(
        refusal(&bench),
        StoreError::Foreign { found: 0, .. }
    ));
}

#[tokio::test]
async fn a_newer_schema() {
    let bench = filled().await;
    let conn = Connection::open(bench.path()).unwrap();
    conn.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(conn);
    let error = refusal(&bench);
    assert!(
        matches!(error, StoreError::ForeignVersion { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn a_path_where_no_file_can_be() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path()).unwrap();
    let error = SqliteStore::open(bench.options()).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    let below = tenure_store::sqlite::Options::new("/dev/null/tenure.db");
    let error = SqliteStore::open(below).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_read_only_store_still_reads() {
    let bench = Bench::new();
    let store = bench.open();
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    store
        .db()
        .write(|tx| tx.pragma_update(None, "query_only", true))
        .await
        .unwrap();
    let error = store.probe().await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    assert!(error.fix().unwrap().contains("writable"));
    let login = store.login("shop", pair(2), &Info::default(), None).await;
    assert!(matches!(login, Err(StoreError::ReadOnly { .. })));
    assert!(store.claim("shop", LONG_MS).await.is_err());
    assert_eq!(load(&store, "shop").await.pair, Some(pair(1)));
    drop(store);
    claim(&bench.open(), "shop", LONG_MS).await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_heals() {
    let bench = Bench::new();
    let store = bench.open();
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (lease, _) = claim(&store, "shop", LONG_MS).await;
    let pages = |count: i64| {
        store.db().write(move |tx| {
            tx.query_row(&format!("PRAGMA max_page_count = {count}"), [], |_| Ok(()))
        })
    };
    pages(1).await.unwrap();
    let mut large = pair(2);
    large.scope = Some("x".repeat(100_000));
    let info = Info::default();
    let error = store
        .commit(&lease, Generation(1), &large, &info)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.fix().unwrap().contains("free some space"));
    assert_eq!(load(&store, "shop").await.pair, Some(pair(1)));
    // What does not fit waits beside the database until it does.
    store.save_spare("shop", &large).await.unwrap();
    let record = load(&store, "shop").await;
    assert_eq!((record.pair, record.unsaved), (Some(large.clone()), true));
    pages(1_000_000).await.unwrap();
    store
        .commit(&lease, Generation(1), &large, &info)
        .await
        .unwrap();
    let record = load(&store, "shop").await;
    assert_eq!((record.pair, record.unsaved), (Some(large), false));
}

#[tokio::test]
async fn a_write_that_fails_with_a_full_disk_does_not_hurt_the_next() {
    let bench = Bench::new();
    let store = bench.open_with("store.commit.before:full");
    let (lease, _) = claim(&store, "shop", LONG_MS).await;
    let info = Info::default();
    let error = store
        .commit(&lease, Generation(0), &pair(1), &info)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }));
    store
        .commit(&lease, Generation(0), &pair(1), &info)
        .await
        .unwrap();
    assert_eq!(load(&store, "shop").await.pair, Some(pair(1)));
}

#[tokio::test]
async fn spare_slots_that_cannot_be_written_say_so() {
    let bench = Bench::new();
    let store = bench.open();
    fs::write(bench.beside(".spare"), "in the way").unwrap();
    let error = store.save_spare("shop", &pair(1)).await.unwrap_err();
    assert!(error.to_string().contains("spare"), "{error}");
}
