//! Keys and seals: what was moved, changed or sealed with another key is kept, named and never overwritten.

use std::fs;

use rusqlite::Connection;
use tenure_core::{Generation, Secret};
use tenure_store::sqlite::{Options, SqliteStore};
use tenure_store::{Info, KeySource, Store, StoreError, StoredLogin};

use crate::{Bench, LONG_MS, claim, load, pair};

async fn sql(store: &SqliteStore, sql: &'static str) {
    store
        .db()
        .write(move |tx| tx.execute_batch(sql))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pair_moved_to_another_session_or_generation_does_not_open() {
    let bench = Bench::new();
    let store = bench.open();
    for name in ["shop", "till"] {
        store
            .login(name, pair(1), &Info::default(), None)
            .await
            .unwrap();
    }
    sql(&store, "UPDATE sessions SET pair = (SELECT pair FROM sessions WHERE name = 'till') WHERE name = 'shop'").await;
    let record = load(&store, "shop").await;
    assert_eq!(record.pair, None);
    assert!(record.unreadable.unwrap().contains("moved here"));
    sql(
        &store,
        "UPDATE sessions SET generation = 2 WHERE name = 'till'",
    )
    .await;
    assert!(load(&store, "till").await.unreadable.is_some());
}

#[tokio::test]
async fn what_cannot_be_opened_is_kept_until_a_login_and_beyond() {
    let bench = Bench::new();
    let store = bench.open();
    let stored = StoredLogin {
        username: "till-7".to_owned(),
        password: Secret::new("canary-8c1f-password"),
    };
    store
        .login("shop", pair(1), &Info::default(), Some(&stored))
        .await
        .unwrap();
    sql(&store, "UPDATE sessions SET pair = randomblob(200)").await;
    let sealed = || async {
        store
            .db()
            .read(|conn| {
                conn.query_row("SELECT pair FROM sessions", [], |row| {
                    row.get::<_, Vec<u8>>(0)
                })
            })
            .await
            .unwrap()
    };
    let before = sealed().await;
    let (lease, record) = claim(&store, "shop", LONG_MS).await;
    assert!(record.unreadable.is_some());
    assert_eq!(record.secret, Some(stored), "the rest is still there");
    let error = store
        .commit(&lease, Generation(1), &pair(2), &Info::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Unreadable { session, .. } if session == "shop"),
        "{error}"
    );
    assert_eq!(sealed().await, before);
    store
        .login("shop", pair(3), &Info::default(), None)
        .await
        .unwrap();
    assert!(load(&store, "shop").await.unreadable.is_none());
    let kept: (String, Vec<u8>) = store
        .db()
        .read(|conn| {
            conn.query_row("SELECT name, pair FROM kept", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        })
        .await
        .unwrap();
    assert_eq!(kept, ("shop".to_owned(), before));
}

#[tokio::test]
async fn a_missing_key_is_not_made_anew() {
    let bench = Bench::new();
    let store = bench.open();
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    drop(store);
    let key = bench.beside(".key");
    let aside = bench.beside(".key.aside");
    fs::rename(&key, &aside).unwrap();
    let error = SqliteStore::open(bench.options()).unwrap_err();
    assert!(matches!(error, StoreError::KeyMissing { .. }), "{error}");
    assert!(
        error.to_string().contains(&key.display().to_string()),
        "{error}"
    );
    assert!(!key.exists());
    fs::rename(&aside, &key).unwrap();
    assert_eq!(load(&bench.open(), "shop").await.pair, Some(pair(1)));
}

#[tokio::test]
async fn a_wrong_key_is_named_with_both_ids() {
    let bench = Bench::new();
    let store = bench.open();
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let other = Bench::new();
    drop(other.open());
    let options = Options {
        key: KeySource::File(other.beside(".key")),
        ..bench.options()
    };
    let error = SqliteStore::open(options).unwrap_err();
    let StoreError::WrongKey {
        expected,
        found,
        source_name,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_ne!(expected, found);
    assert!(source_name.contains(&other.beside(".key").display().to_string()));
    assert_eq!(load(&store, "shop").await.pair, Some(pair(1)));
}

#[test]
fn two_first_starts_at_once_agree_on_the_key() {
    let bench = Bench::new();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| bench.open())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(opened.len(), 6);
    let conn = Connection::open(bench.path()).unwrap();
    let ids: i64 = conn
        .query_row(
            "SELECT count(*) FROM meta WHERE key IN ('store_id', 'key_id')",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(ids, 2);
}
