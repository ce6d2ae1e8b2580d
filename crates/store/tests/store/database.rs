//! The writer beneath: groups, savepoints, watching, privacy of files.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::time::Duration;

use tenure_store::sqlite::Db;
use tenure_store::{Info, Store, StoreError};

use crate::{Bench, pair};

const TABLES: &[&str] = &["CREATE TABLE notes (text TEXT PRIMARY KEY) STRICT"];
const APP: i32 = 0x7465_7374;

fn db(bench: &Bench) -> Db {
    Db::open(bench.path(), TABLES, APP).unwrap()
}

async fn note(db: &Db, text: String) -> Result<usize, StoreError> {
    db.write(move |tx| tx.execute("INSERT INTO notes VALUES (?1)", [text]))
        .await
}

async fn count(db: &Db) -> i64 {
    db.read(|conn| conn.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)))
        .await
        .unwrap()
}

/// Holds the writer up, so that what is asked meanwhile piles up behind it.
struct Brake {
    release: mpsc::Sender<()>,
    held: tokio::task::JoinHandle<Result<(), StoreError>>,
}

async fn brake(db: &Db) -> Brake {
    let (release, wait) = mpsc::channel::<()>();
    let (stands, standing) = tokio::sync::oneshot::channel();
    let db = db.clone();
    let held = tokio::spawn(async move {
        db.write(move |_| {
            stands.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        })
        .await
    });
    standing.await.unwrap();
    Brake { release, held }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_share_a_commit() {
    let bench = Bench::new();
    let db = db(&bench);
    let brake = brake(&db).await;
    let (before, asked) = (db.commits(), db.writes());
    let writes: Vec<_> = (0..100)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move { note(&db, format!("note {n}")).await })
        })
        .collect();
    // Asked for, though the writer stands: each future was polled once its task has run.
    tokio::time::timeout(Duration::from_secs(20), async {
        while db.writes() - asked < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    brake.release.send(()).unwrap();
    brake.held.await.unwrap().unwrap();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    assert_eq!(count(&db).await, 100);
    assert_eq!(db.commits() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_undoes_nothing_of_the_others() {
    let bench = Bench::new();
    let db = db(&bench);
    let brake = brake(&db).await;
    let good = tokio::spawn({
        let db = db.clone();
        async move { note(&db, "good".to_owned()).await }
    });
    let bad = tokio::spawn({
        let db = db.clone();
        async move {
            db.write(|tx| {
                tx.execute("INSERT INTO notes VALUES ('half')", [])?;
                tx.execute("INSERT INTO nowhere VALUES (1)", [])
            })
            .await
        }
    });
    let panics = tokio::spawn({
        let db = db.clone();
        async move {
            db.write(|tx| {
                tx.execute("INSERT INTO notes VALUES ('panicked')", [])?;
                assert!(tx.is_autocommit(), "a bug in a closure");
                Ok(())
            })
            .await
        }
    });
    brake.release.send(()).unwrap();
    brake.held.await.unwrap().unwrap();
    good.await.unwrap().unwrap();
    assert!(matches!(
        bad.await.unwrap(),
        Err(StoreError::Internal { .. })
    ));
    assert!(matches!(
        panics.await.unwrap(),
        Err(StoreError::Internal { .. })
    ));
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_write_is_carried_out_when_its_caller_goes_away() {
    let bench = Bench::new();
    let db = db(&bench);
    let mut changes = db.changes();
    changes.mark_unchanged();
    let write = note(&db, "kept".to_owned());
    let gone = tokio::time::timeout(Duration::ZERO, write).await;
    if gone.is_err() {
        tokio::time::timeout(Duration::from_secs(20), changes.changed())
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn only_writes_count_as_changes() {
    let bench = Bench::new();
    let db = db(&bench);
    let mut changes = db.changes();
    changes.mark_unchanged();
    db.write(|tx| tx.execute("DELETE FROM notes WHERE text = 'nosuch'", []))
        .await
        .unwrap();
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn migrations_go_on_from_where_they_were() {
    const MORE: &[&str] = &[
        "CREATE TABLE notes (text TEXT PRIMARY KEY) STRICT",
        "ALTER TABLE notes ADD COLUMN at INTEGER",
    ];
    let bench = Bench::new();
    note(&db(&bench), "old".to_owned()).await.unwrap();
    let newer = Db::open(bench.path(), MORE, APP).unwrap();
    let at: Option<i64> = newer
        .read(|conn| {
            conn.query_row("SELECT at FROM notes WHERE text = 'old'", [], |row| {
                row.get(0)
            })
        })
        .await
        .unwrap();
    assert_eq!(at, None);
    let error = Db::open(bench.path(), TABLES, APP).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::ForeignVersion {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn everything_on_disk_is_private_and_sealed() {
    let bench = Bench::new();
    let store = bench.open();
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    store.save_spare("shop", &pair(2)).await.unwrap();
    let mut directories = vec![bench.path().parent().unwrap().to_owned()];
    let mut files = 0;
    while let Some(dir) = directories.pop() {
        let mode = dir.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", dir.display());
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            files += 1;
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            let bytes = std::fs::read(&path).unwrap();
            let canary = crate::CANARY.as_bytes();
            assert!(
                !bytes.windows(canary.len()).any(|window| window == canary),
                "{}",
                path.display()
            );
        }
    }
    assert!(
        files >= 6,
        "database, log, shared memory, key, lock, spare, count: {files}"
    );
}

#[tokio::test]
async fn events_are_bounded() {
    let bench = Bench::new();
    let store = bench.open();
    let event = tenure_store::EventRow {
        id: 0,
        at: tenure_core::Wall(1),
        session: "shop".to_owned(),
        kind: "refreshed".to_owned(),
        generation: tenure_core::Generation(1),
        text: "newest".to_owned(),
        failure: None,
        holder: String::new(),
    };
    store
        .db()
        .write(|tx| {
            tx.execute_batch(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10500) \
                 INSERT INTO events (at, session, kind, generation, text, holder) \
                 SELECT i, 'shop', 'refreshed', 1, '', '' FROM n",
            )
        })
        .await
        .unwrap();
    let id = store.append_event(&event).await.unwrap();
    let kept = store.events(0, None, usize::MAX).await.unwrap();
    assert_eq!((kept.len(), kept[9_999].id), (10_000, id));
}

#[tokio::test]
async fn a_lock_held_by_another_process_is_waited_for() {
    let bench = Bench::new();
    let db = db(&bench);
    let other = rusqlite::Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = tokio::spawn({
        let db = db.clone();
        async move { note(&db, "waited".to_owned()).await }
    });
    while db.writes() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(count(&db).await, 0, "readers do not wait");
    other.execute_batch("COMMIT").unwrap();
    write.await.unwrap().unwrap();
    assert_eq!(count(&db).await, 1);
}
