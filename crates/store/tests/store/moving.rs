//! Stores on the move: rekey, export and import, backups brought back, and the check over them all.

use std::fs;
use std::path::Path;

use tenure_core::{Generation, Secret};
use tenure_store::check::{CheckReport, check};
use tenure_store::fault::FaultPlan;
use tenure_store::keys::Surroundings;
use tenure_store::rekey::rekey;
use tenure_store::sqlite::{Options, SqliteStore};
use tenure_store::{Info, KeySource, Store, StoreError, StoredLogin, Suspect};

use crate::{Bench, LONG_MS, claim, latch, load, pair};

async fn with_sessions() -> (Bench, SqliteStore) {
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
    store
        .login("till", pair(1), &Info::default(), None)
        .await
        .unwrap();
    (bench, store)
}

/// Off the async threads: a rekey blocks.
async fn rekeyed(
    options: Options,
    target: KeySource,
) -> Result<tenure_store::rekey::RekeyReport, StoreError> {
    tokio::task::spawn_blocking(move || rekey(options, &target))
        .await
        .unwrap()
}

fn look(path: &Path) -> CheckReport {
    check(path, &KeySource::Auto, &Surroundings::default()).unwrap()
}

#[tokio::test]
async fn a_rekey_changes_the_key_under_running_processes() {
    let (bench, running) = with_sessions().await;
    let (lease, _) = claim(&running, "shop", LONG_MS).await;
    let before = fs::read(bench.beside(".key")).unwrap();
    let report = rekeyed(bench.options(), KeySource::Auto).await.unwrap();
    assert_eq!(report.resealed, ["shop", "till"]);
    assert_ne!(report.old_key, report.new_key);
    assert_ne!(fs::read(bench.beside(".key")).unwrap(), before);
    // The process that runs on: a spare pair under the old key, then a save, then a read.
    running.save_spare("till", &pair(2)).await.unwrap();
    running
        .commit(&lease, Generation(1), &pair(2), &Info::default())
        .await
        .unwrap();
    assert_eq!(load(&running, "till").await.pair, Some(pair(2)));
    let fresh = bench.open();
    let record = load(&fresh, "shop").await;
    assert_eq!(record.pair, Some(pair(2)));
    assert_eq!(record.secret.unwrap().username, "till-7");
    // The old key opens nothing any more.
    drop((running, fresh));
    fs::write(bench.beside(".key"), before).unwrap();
    let error = SqliteStore::open(bench.options()).unwrap_err();
    assert!(matches!(error, StoreError::WrongKey { .. }), "{error}");
}

#[tokio::test]
async fn a_reader_notices_a_rekey_too() {
    let (bench, running) = with_sessions().await;
    rekeyed(bench.options(), KeySource::Auto).await.unwrap();
    assert_eq!(load(&running, "shop").await.pair, Some(pair(1)));
    assert_eq!(running.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_rekey_cut_short_anywhere_leaves_a_store_that_opens() {
    for point in ["store.rekey.made", "store.rekey.sealed"] {
        let (bench, store) = with_sessions().await;
        drop(store);
        let options = Options {
            faults: FaultPlan::parse(&format!("{point}:error")).unwrap(),
            ..bench.options()
        };
        rekeyed(options, KeySource::Auto).await.unwrap_err();
        assert!(bench.beside(".key.new").exists());
        assert!(look(&bench.path()).key.error.is_none(), "{point}");
        for _ in 0..2 {
            let record = load(&bench.open(), "shop").await;
            assert_eq!(record.pair, Some(pair(1)), "{point}");
        }
        rekeyed(bench.options(), KeySource::Auto).await.unwrap();
        assert!(!bench.beside(".key.new").exists());
        assert_eq!(load(&bench.open(), "shop").await.pair, Some(pair(1)));
    }
}

#[tokio::test]
async fn rekeys_at_the_same_moment_all_succeed_and_lose_nothing() {
    for round in 0..5 {
        let (bench, running) = with_sessions().await;
        let (lease, _) = claim(&running, "shop", LONG_MS).await;
        let rekeys: Vec<_> = (0..6)
            .map(|_| tokio::spawn(rekeyed(bench.options(), KeySource::Auto)))
            .collect();
        // A process that reads and saves meanwhile.
        let mut generation = 1;
        while rekeys.iter().any(|rekey| !rekey.is_finished()) {
            let info = Info::default();
            let next = pair(generation + 1);
            let saved = running.commit(&lease, Generation(generation), &next, &info);
            saved
                .await
                .unwrap_or_else(|error| panic!("{round}: {error}"));
            generation += 1;
            assert_eq!(load(&running, "shop").await.pair, Some(next));
        }
        let mut keys = Vec::new();
        for rekey in rekeys {
            let report = rekey.await.unwrap();
            let report = report.unwrap_or_else(|error| panic!("{round}: {}", error.with_fix()));
            assert_eq!(report.resealed, ["shop", "till"]);
            keys.push(report.new_key);
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6, "each made a key of its own");
        drop(running);
        let report = look(&bench.path());
        assert!(report.ok, "{report:?}");
        assert!(!bench.beside(".key.new").exists());
        let fresh = bench.open();
        assert_eq!(load(&fresh, "shop").await.pair, Some(pair(generation)));
        assert_eq!(load(&fresh, "till").await.pair, Some(pair(1)));
    }
}

#[tokio::test]
async fn a_rekey_says_so_when_another_does_not_end() {
    let (bench, store) = with_sessions().await;
    let other = fs::File::create(bench.beside(".rekey")).unwrap();
    other.lock().unwrap();
    let error = rekeyed(bench.options(), KeySource::Auto).await.unwrap_err();
    assert!(error.to_string().contains("another rekey"), "{error}");
    assert!(!bench.beside(".key.new").exists());
    assert_eq!(load(&store, "shop").await.pair, Some(pair(1)));
}

#[tokio::test]
async fn a_rekey_moves_to_another_source() {
    let (bench, store) = with_sessions().await;
    drop(store);
    let command = KeySource::Command(vec!["echo".to_owned(), "5a".repeat(32)]);
    rekeyed(bench.options(), command.clone()).await.unwrap();
    let options = Options {
        key: command.clone(),
        ..bench.options()
    };
    let store = SqliteStore::open(options.clone()).unwrap();
    assert_eq!(load(&store, "shop").await.pair, Some(pair(1)));
    assert!(
        store.describe().contains("command echo"),
        "{}",
        store.describe()
    );
    let error = rekeyed(options, command).await.unwrap_err();
    assert!(error.to_string().contains("present key"), "{error}");
}

#[tokio::test]
async fn an_export_brings_sessions_to_another_store() {
    let (_bench, store) = with_sessions().await;
    let (lease, _) = claim(&store, "till", LONG_MS).await;
    store.latch(&lease, Generation(1), &latch()).await.unwrap();
    let word = Secret::new("correct horse");
    let export = store.export(&word).await.unwrap();
    assert_eq!(export.sessions, ["shop", "till"]);
    assert!(!export.bytes.windows(6).any(|window| window == b"canary"));

    let target = Bench::new();
    let target = target.open();
    target
        .login("till", pair(30), &Info::default(), None)
        .await
        .unwrap();
    let report = target
        .import(&export.bytes, Some(&word), false)
        .await
        .unwrap();
    assert_eq!(
        (report.imported, report.skipped),
        (vec!["shop".to_owned()], vec!["till".to_owned()])
    );
    let record = load(&target, "shop").await;
    assert_eq!(record.pair, Some(pair(1)));
    assert_eq!(record.suspect, Some(Suspect::Imported));
    assert_eq!(record.secret.unwrap().username, "till-7");
    assert_eq!(
        load(&target, "till").await.pair.unwrap().access,
        pair(30).access
    );

    let (lease, _) = claim(&target, "till", LONG_MS).await;
    let report = target
        .import(&export.bytes, Some(&word), true)
        .await
        .unwrap();
    assert_eq!(report.replaced, ["shop", "till"]);
    let record = load(&target, "till").await;
    assert_eq!(
        (record.generation, record.latch),
        (Generation(2), Some(latch()))
    );
    assert_eq!(record.pair.unwrap().access, pair(1).access);
    let late = target
        .commit(&lease, Generation(1), &pair(2), &Info::default())
        .await;
    assert_eq!(late, Err(StoreError::Fenced));
}

#[tokio::test]
async fn a_plain_export_is_json_and_reads_back() {
    let (_bench, store) = with_sessions().await;
    let export = store.export_plain().await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&export.bytes).unwrap();
    assert_eq!(
        json["sessions"][0]["pair"]["access"],
        "canary-8c1f-access-1"
    );
    let target = Bench::new();
    let target = target.open();
    target.import(&export.bytes, None, false).await.unwrap();
    assert_eq!(load(&target, "shop").await.pair, Some(pair(1)));
}

#[tokio::test]
async fn imports_that_cannot_be_read_say_why_and_change_nothing() {
    let (bench, store) = with_sessions().await;
    let word = Secret::new("correct horse");
    let good = store.export(&word).await.unwrap().bytes;
    let mut changed = good.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let mut greedy = good.to_vec();
    greedy[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let newer = br#"{"format":"tenure sessions","version":99,"exported_at":0,"sessions":[]}"#;
    let leaky = br#"{"format":"tenure sessions","version":1,"exported_at":0,"sessions":[{"name":"x","generation":"canary-8c1f"}]}"#;
    let wrong = Secret::new("wrong");
    let cases: [(&[u8], Option<&Secret>, &str); 8] = [
        (&good, None, "give the passphrase"),
        (&good, Some(&wrong), "passphrase is wrong"),
        (&changed, Some(&word), "changed"),
        (&good[..20], Some(&word), "cut short"),
        (&greedy, Some(&word), "more memory"),
        (b"{\"format\":1}", None, "no export"),
        (newer, None, "version 99"),
        (leaky, None, "line 1"),
    ];
    let target = Bench::new();
    let target = target.open();
    for (bytes, word, reason) in cases {
        let text = target
            .import(bytes, word, true)
            .await
            .unwrap_err()
            .with_fix();
        assert!(text.contains(reason), "{reason}: {text}");
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(target.list().await.unwrap().is_empty());
    drop(bench);
}

/// Copies the database as a backup would, without the files beside it.
fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn a_store_brought_back_from_a_backup_is_noticed() {
    let (bench, store) = with_sessions().await;
    assert!(!store.rolled_back());
    store.db().checkpoint().unwrap();
    let backup = bench.dir.path().join("backup");
    copy(&bench.path(), &backup);
    let (lease, _) = claim(&store, "shop", LONG_MS).await;
    store
        .commit(&lease, Generation(1), &pair(2), &Info::default())
        .await
        .unwrap();
    store.release(&lease).await.unwrap();
    drop(store);
    assert!(!bench.open().rolled_back());

    for suffix in ["-wal", "-shm"] {
        fs::remove_file(bench.beside(suffix)).ok();
    }
    copy(&backup, &bench.path());
    assert!(
        look(&bench.path()).problems[0]
            .message
            .contains("rolled back")
    );
    let store = bench.open();
    assert!(store.rolled_back());
    assert!(store.rollback_evidence().unwrap().contains("3 pairs"));
    let (lease, record) = claim(&store, "shop", LONG_MS).await;
    assert_eq!(
        (record.pair, record.suspect),
        (Some(pair(1)), Some(Suspect::Restored))
    );
    // The alarm rings once; the sessions stay suspect until their next pair.
    let other = bench.open();
    assert!(!other.rolled_back());
    assert_eq!(load(&other, "till").await.suspect, Some(Suspect::Restored));
    store
        .commit(&lease, Generation(1), &pair(3), &Info::default())
        .await
        .unwrap();
    assert_eq!(load(&other, "shop").await.suspect, None);
    assert_eq!(load(&other, "till").await.suspect, Some(Suspect::Restored));
}

#[tokio::test]
async fn a_check_tells_what_needs_attention() {
    let (bench, store) = with_sessions().await;
    let report = look(&bench.path());
    assert!(report.ok, "{:?}", report.problems);
    assert!(report.key.source.unwrap().contains("key file"));
    assert_eq!(report.sessions.len(), 2);

    let (lease, _) = claim(&store, "shop", LONG_MS).await;
    store.latch(&lease, Generation(1), &latch()).await.unwrap();
    store.save_spare("till", &pair(2)).await.unwrap();
    store
        .db()
        .write(|tx| tx.execute("UPDATE sessions SET login = x'00' WHERE name = 'shop'", []))
        .await
        .unwrap();
    let report = look(&bench.path());
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    let shop = &report.sessions[0];
    assert!(shop.latched && shop.unreadable.is_some());
    assert!(shop.lease.as_ref().unwrap().alive);
    assert!(report.spares[0].newer);
    assert!(
        serde_json::to_string(&report)
            .unwrap()
            .contains("\"latched\":true")
    );
    drop(store);
    assert!(
        !look(&bench.path()).sessions[0]
            .lease
            .as_ref()
            .unwrap()
            .alive
    );

    fs::remove_file(bench.beside(".key")).unwrap();
    let report = look(&bench.path());
    assert!(report.key.error.unwrap().contains("no key was found"));
    assert!(
        report.problems[0]
            .fix
            .as_ref()
            .unwrap()
            .contains("store_key")
    );
    for session in &report.sessions {
        assert_eq!(session.not_opened, Some("no key"), "nobody opened it");
    }
    assert_eq!(report.spares[0].not_opened, Some("no key"));
    assert!(!bench.beside(".key").exists());
    let nowhere = check(
        &bench.beside(".nosuch"),
        &KeySource::Auto,
        &Surroundings::default(),
    );
    assert!(matches!(nowhere, Err(StoreError::Unavailable { .. })));
}
