//! Real processes on one store: death in the middle, and leases of the dead.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use tenure_core::Generation;
use tenure_store::fault::FaultPlan;
use tenure_store::sqlite::{Options, SqliteStore};
use tenure_store::{Info, Store};

use crate::{Bench, LONG_MS, claim, intent, load, pair};

const STORE: &str = "TENURE_STORE_TEST_PATH";
const FAULT: &str = "TENURE_STORE_TEST_FAULT";

/// The other process: this test program again, told what to do by its environment. Run as an ordinary test it
/// has nothing to do.
#[tokio::test]
async fn the_other_process() {
    let (Ok(path), Ok(fault)) = (std::env::var(STORE), std::env::var(FAULT)) else {
        return;
    };
    let store = SqliteStore::open(Options {
        faults: FaultPlan::parse(&fault).unwrap(),
        ..Options::new(path)
    })
    .unwrap();
    let (lease, record) = claim(&store, "shop", LONG_MS).await;
    let now = record.generation;
    store
        .write_intent(&lease, &intent(&store, now))
        .await
        .unwrap();
    let next = pair(now.0 + 1);
    if store
        .commit(&lease, now, &next, &Info::default())
        .await
        .is_err()
    {
        store.save_spare("shop", &next).await.unwrap();
    }
    store.release(&lease).await.unwrap();
}

fn run(bench: &Bench, fault: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::the_other_process"])
        .env(STORE, bench.path())
        .env(FAULT, fault)
        .output()
        .unwrap()
        .status
}

#[tokio::test]
async fn the_dead_free_their_leases_and_what_they_saved_stays() {
    // The point of death, then what must be found: generation and intent.
    let cases = [
        ("store.claim.after:abort", 1, false),
        ("store.intent.after:abort", 1, true),
        ("store.commit.before:abort", 1, true),
        ("store.commit.after:abort", 2, false),
        ("store.commit.before:full,store.spare.after:abort", 2, false),
        ("store.release:abort", 2, false),
    ];
    for (fault, generation, sent) in cases {
        let bench = Bench::new();
        let store = bench.open();
        store
            .login("shop", pair(1), &Info::default(), None)
            .await
            .unwrap();
        let died = run(&bench, fault);
        assert!(died.signal().is_some(), "{fault}: {died}");
        // At once, though the lease has ten minutes to go.
        let (_, record) = claim(&store, "shop", LONG_MS).await;
        assert_eq!(record.generation, Generation(generation), "{fault}");
        assert_eq!(record.pair, Some(pair(generation)), "{fault}");
        assert_eq!(record.intent.is_some(), sent, "{fault}");
        assert!(
            record.suspect.is_none() && record.unreadable.is_none(),
            "{fault}"
        );
        assert!(!bench.open().rolled_back(), "{fault}");
    }
}

#[tokio::test]
async fn processes_take_turns() {
    let bench = Bench::new();
    let store = bench.open();
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    for _ in 0..3 {
        assert!(run(&bench, "").success());
    }
    let record = load(&store, "shop").await;
    assert_eq!(
        (record.generation, record.pair),
        (Generation(4), Some(pair(4)))
    );
}
