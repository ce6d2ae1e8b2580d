//! What every store keeps to, whatever it is made of.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{Generation, Secret, Wall};
use tenure_store::{Claim, EventRow, Info, Once, Pace, Store, StoreError, StoredLogin, Trouble};

use crate::fleet::Fleet;
use crate::histories::random_histories_agree_with_the_model;
use crate::{Bench, LONG_MS, claim, intent, latch, load, pair};

/// One empty store that can be opened several times, each time as by a process of its own.
#[async_trait]
pub(crate) trait Fixture: Send + Sync {
    async fn store(&self) -> Arc<dyn Store>;

    /// Another empty store of the same kind.
    fn another(&self) -> Box<dyn Fixture>;
}

macro_rules! contract {
    ($module:ident, $fixture:expr, [$($name:ident),* $(,)?]) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&$fixture).await;
                }
            )*
        }
    };
}

macro_rules! every_store {
    ($($name:ident),* $(,)?) => {
        contract!(sqlite, Bench::new(), [$($name),*]);
        contract!(postgres, Fleet::on_postgres(), [$($name),*]);
        contract!(valkey, Fleet::on_valkey(), [$($name),*]);
    };
}

every_store![
    the_first_pair_is_generation_one,
    a_lease_has_one_holder,
    of_many_claims_one_is_granted,
    a_lease_that_ran_out_is_fenced,
    a_commit_compares_generations,
    a_commit_may_be_repeated,
    an_intent_lasts_until_its_end_is_known,
    a_latch_lasts_until_a_login,
    trouble_is_told_and_ends_with_its_generation,
    a_pause_of_an_endpoint_is_shared,
    a_login_fences_the_exchange_under_way,
    a_logout_keeps_the_generation_and_nothing_else,
    a_stored_login_survives_commits,
    info_needs_no_lease,
    others_writes_are_noticed,
    events_come_in_order,
    what_everybody_sees_is_stored_once,
    a_spare_pair_is_brought_home,
    a_spare_pair_waits_while_another_holds_the_lease,
    a_spare_pair_that_came_meanwhile_stops_the_exchange,
    a_logout_forgets_the_spare_pair,
    random_histories_agree_with_the_model,
];

async fn the_first_pair_is_generation_one(fixture: &dyn Fixture) {
    let store = fixture.store().await;
    assert!(store.load("shop").await.unwrap().is_none());
    let (lease, record) = claim(&*store, "shop", LONG_MS).await;
    assert_eq!((record.generation, record.pair), (Generation(0), None));
    let info = Info {
        provider: Some("oauth2".to_owned()),
        ..Info::default()
    };
    store
        .commit(&lease, Generation(0), &pair(1), &info)
        .await
        .unwrap();
    let record = load(&*fixture.store().await, "shop").await;
    assert_eq!(record.pair, Some(pair(1)));
    assert_eq!((record.generation, record.info), (Generation(1), info));
    assert!(record.suspect.is_none() && !record.unsaved && record.unreadable.is_none());
}

async fn a_lease_has_one_holder(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    let (lease, _) = claim(&*one, "shop", LONG_MS).await;
    for store in [&one, &two] {
        let Claim::Held { by, for_ms } = store.claim("shop", LONG_MS).await.unwrap() else {
            panic!("claimed twice");
        };
        assert_eq!(by, one.holder());
        assert!(for_ms > LONG_MS / 2 && for_ms <= LONG_MS);
    }
    let seen = load(&*two, "shop").await.lease.unwrap();
    assert_eq!(
        (seen.holder.as_str(), seen.epoch),
        (one.holder(), lease.epoch)
    );
    // Another session is another lease.
    claim(&*two, "till", LONG_MS).await;
    one.release(&lease).await.unwrap();
    one.release(&lease).await.unwrap();
    let (next, _) = claim(&*two, "shop", LONG_MS).await;
    assert!(next.epoch > lease.epoch);
}

async fn of_many_claims_one_is_granted(fixture: &dyn Fixture) {
    let stores = [
        fixture.store().await,
        fixture.store().await,
        fixture.store().await,
    ];
    let tasks: Vec<_> = (0..24)
        .map(|n| {
            let store = Arc::clone(&stores[n % stores.len()]);
            tokio::spawn(async move { store.claim("shop", LONG_MS).await.unwrap() })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += u32::from(matches!(task.await.unwrap(), Claim::Granted(..)));
    }
    assert_eq!(granted, 1);
}

async fn a_lease_that_ran_out_is_fenced(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    let (stale, _) = claim(&*one, "shop", 0).await;
    let (lease, _) = claim(&*two, "shop", LONG_MS).await;
    let zero = Generation(0);
    let info = Info::default();
    for result in [
        one.commit(&stale, zero, &pair(1), &info).await,
        one.write_intent(&stale, &intent(&*one, zero)).await,
        one.clear_intent(&stale, zero).await,
        one.latch(&stale, zero, &latch()).await,
        one.renew(&stale, LONG_MS).await,
    ] {
        assert_eq!(result, Err(StoreError::Fenced));
    }
    one.release(&stale).await.unwrap();
    let record = load(&*two, "shop").await;
    assert_eq!(record.lease.unwrap().epoch, lease.epoch);
    assert!(record.pair.is_none() && record.intent.is_none() && record.latch.is_none());
    two.renew(&lease, LONG_MS).await.unwrap();
}

async fn a_commit_compares_generations(fixture: &dyn Fixture) {
    let store = fixture.store().await;
    let (lease, _) = claim(&*store, "shop", LONG_MS).await;
    let info = Info::default();
    store
        .commit(&lease, Generation(0), &pair(1), &info)
        .await
        .unwrap();
    let moved = Err(StoreError::Moved { now: Generation(1) });
    for expect in [0, 2, 7] {
        let expect = Generation(expect);
        assert_eq!(store.commit(&lease, expect, &pair(9), &info).await, moved);
        assert_eq!(store.latch(&lease, expect, &latch()).await, moved);
        let late = intent(&*store, expect);
        assert_eq!(store.write_intent(&lease, &late).await, moved);
    }
    assert_eq!(load(&*store, "shop").await.pair, Some(pair(1)));
}

/// The answer of a commit may get lost; asking again must not look like somebody else's doing.
async fn a_commit_may_be_repeated(fixture: &dyn Fixture) {
    let store = fixture.store().await;
    let (lease, _) = claim(&*store, "shop", LONG_MS).await;
    for _ in 0..2 {
        store
            .commit(&lease, Generation(0), &pair(1), &Info::default())
            .await
            .unwrap();
    }
    assert_eq!(load(&*store, "shop").await.generation, Generation(1));
}

async fn an_intent_lasts_until_its_end_is_known(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    let first = one
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (lease, _) = claim(&*one, "shop", 0).await;
    let sent = intent(&*one, first);
    one.write_intent(&lease, &sent).await.unwrap();
    // Whoever takes over sees it.
    let (lease, record) = claim(&*two, "shop", LONG_MS).await;
    assert_eq!(record.intent, Some(sent));
    two.clear_intent(&lease, Generation(9)).await.unwrap();
    assert!(load(&*two, "shop").await.intent.is_some());
    two.clear_intent(&lease, first).await.unwrap();
    assert!(load(&*two, "shop").await.intent.is_none());
    two.write_intent(&lease, &intent(&*two, first))
        .await
        .unwrap();
    two.commit(&lease, first, &pair(2), &Info::default())
        .await
        .unwrap();
    assert!(load(&*two, "shop").await.intent.is_none());
}

async fn a_latch_lasts_until_a_login(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    let first = one
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (lease, _) = claim(&*one, "shop", LONG_MS).await;
    one.write_intent(&lease, &intent(&*one, first))
        .await
        .unwrap();
    one.latch(&lease, first, &latch()).await.unwrap();
    one.release(&lease).await.unwrap();
    let record = load(&*two, "shop").await;
    assert_eq!((record.latch, record.intent), (Some(latch()), None));
    assert_eq!(record.pair, Some(pair(1)), "a refusal deletes nothing");
    two.login("shop", pair(2), &Info::default(), None)
        .await
        .unwrap();
    let record = load(&*one, "shop").await;
    assert_eq!((record.latch, record.generation), (None, Generation(2)));
}

fn trouble(wait_ms: u64) -> Trouble {
    Trouble {
        failures: 3,
        wait_ms,
        refused: true,
        failure: latch().failure,
    }
}

async fn trouble_is_told_and_ends_with_its_generation(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    let first = one
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    one.note("shop", first, Some(&trouble(LONG_MS)))
        .await
        .unwrap();
    let told = load(&*two, "shop").await.trouble.unwrap();
    assert!(told.wait_ms > 0 && told.wait_ms <= LONG_MS, "{told:?}");
    assert_eq!(
        Trouble { wait_ms: 0, ..told },
        trouble(0),
        "all but the time left"
    );
    // A pause that is over leaves the rest.
    one.note("shop", first, Some(&trouble(0))).await.unwrap();
    assert_eq!(load(&*two, "shop").await.trouble, Some(trouble(0)));
    one.note("shop", first, None).await.unwrap();
    assert_eq!(load(&*two, "shop").await.trouble, None);
    // It ends with its generation, and nobody can tell of an older one.
    one.note("shop", first, Some(&trouble(LONG_MS)))
        .await
        .unwrap();
    let (lease, record) = claim(&*two, "shop", LONG_MS).await;
    assert!(record.trouble.is_some(), "read under the lease, too");
    two.commit(&lease, first, &pair(2), &Info::default())
        .await
        .unwrap();
    assert_eq!(load(&*one, "shop").await.trouble, None);
    let late = one.note("shop", first, Some(&trouble(1))).await;
    assert!(
        matches!(late, Err(StoreError::Moved { now }) if now == Generation(2)),
        "{late:?}"
    );
    one.note("shop", Generation(2), Some(&trouble(LONG_MS)))
        .await
        .unwrap();
    two.logout("shop").await.unwrap();
    assert_eq!(load(&*one, "shop").await.trouble, None);
}

async fn a_pause_of_an_endpoint_is_shared(fixture: &dyn Fixture) {
    const URL: &str = "https://id.example/token";
    let (one, two) = (fixture.store().await, fixture.store().await);
    assert_eq!(one.pace(URL).await.unwrap(), None);
    let pace = Pace {
        failures: 4,
        wait_ms: LONG_MS,
        failure: Some(latch().failure),
    };
    one.set_pace(URL, Some(pace)).await.unwrap();
    let told = two.pace(URL).await.unwrap().unwrap();
    assert_eq!((told.failures, told.failure), (4, Some(latch().failure)));
    assert!(
        told.wait_ms > 0 && told.wait_ms <= LONG_MS,
        "{}",
        told.wait_ms
    );
    assert_eq!(two.pace("https://other.example/").await.unwrap(), None);
    two.set_pace(URL, None).await.unwrap();
    assert_eq!(one.pace(URL).await.unwrap(), None);
}

async fn a_login_fences_the_exchange_under_way(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    one.login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (lease, _) = claim(&*one, "shop", LONG_MS).await;
    one.write_intent(&lease, &intent(&*one, Generation(1)))
        .await
        .unwrap();
    let second = two
        .login("shop", pair(40), &Info::default(), None)
        .await
        .unwrap();
    assert_eq!(second, Generation(2));
    let late = one
        .commit(&lease, Generation(1), &pair(2), &Info::default())
        .await;
    assert_eq!(late, Err(StoreError::Fenced));
    let record = load(&*one, "shop").await;
    assert_eq!(record.pair.unwrap().access, pair(40).access);
    assert!(record.intent.is_none() && record.lease.is_none());
}

async fn a_logout_keeps_the_generation_and_nothing_else(fixture: &dyn Fixture) {
    let store = fixture.store().await;
    let stored = StoredLogin {
        username: "till-7".to_owned(),
        password: Secret::new("canary-8c1f-password"),
    };
    store
        .login("shop", pair(1), &Info::default(), Some(&stored))
        .await
        .unwrap();
    let (lease, _) = claim(&*store, "shop", LONG_MS).await;
    store.logout("shop").await.unwrap();
    store.logout("nosuch").await.unwrap();
    let record = load(&*store, "shop").await;
    assert_eq!((record.generation, record.pair), (Generation(1), None));
    assert!(record.secret.is_none() && record.lease.is_none());
    let late = store
        .commit(&lease, Generation(1), &pair(2), &Info::default())
        .await;
    assert_eq!(late, Err(StoreError::Fenced));
    let next = store
        .login("shop", pair(3), &Info::default(), None)
        .await
        .unwrap();
    assert_eq!(next, Generation(2));
}

async fn a_stored_login_survives_commits(fixture: &dyn Fixture) {
    let store = fixture.store().await;
    let stored = StoredLogin {
        username: "till-7".to_owned(),
        password: Secret::new("canary-8c1f-password"),
    };
    let first = store
        .login("shop", pair(1), &Info::default(), Some(&stored))
        .await
        .unwrap();
    let (lease, _) = claim(&*store, "shop", LONG_MS).await;
    store
        .commit(&lease, first, &pair(2), &Info::default())
        .await
        .unwrap();
    assert_eq!(load(&*store, "shop").await.secret, Some(stored));
    store
        .login("shop", pair(3), &Info::default(), None)
        .await
        .unwrap();
    assert_eq!(load(&*store, "shop").await.secret, None);
}

async fn info_needs_no_lease(fixture: &dyn Fixture) {
    let store = fixture.store().await;
    let mut info = Info {
        learned_s: Some(55),
        ..Info::default()
    };
    info.extra
        .insert("later".to_owned(), serde_json::json!({"kept": true}));
    store.save_info("shop", &info).await.unwrap();
    let all = fixture.store().await.list().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].name.as_str(), &all[0].info), ("shop", &info));
}

async fn others_writes_are_noticed(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    let (mut own, mut others) = (one.changes(), two.changes());
    own.mark_unchanged();
    others.mark_unchanged();
    one.login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    assert!(own.has_changed().unwrap(), "own writes are noticed at once");
    tokio::time::timeout(Duration::from_secs(20), others.changed())
        .await
        .expect("another's write is noticed")
        .unwrap();
    assert_eq!(load(&*two, "shop").await.pair, Some(pair(1)));
}

async fn events_come_in_order(fixture: &dyn Fixture) {
    let store = fixture.store().await;
    let event = |session: &str, text: &str| EventRow {
        id: 0,
        at: Wall(5),
        session: session.to_owned(),
        kind: "refreshed".to_owned(),
        generation: Generation(3),
        text: text.to_owned(),
        failure: Some(latch().failure),
        holder: "me".to_owned(),
    };
    let mut ids = Vec::new();
    for n in 0..6 {
        let session = if n % 2 == 0 { "shop" } else { "till" };
        ids.push(
            store
                .append_event(&event(session, &n.to_string()))
                .await
                .unwrap(),
        );
    }
    assert!(ids.is_sorted());
    let texts = |rows: Vec<EventRow>| rows.into_iter().map(|row| row.text).collect::<Vec<_>>();
    let after = store.events(ids[1], None, 3).await.unwrap();
    assert_eq!(
        after[0],
        EventRow {
            id: ids[2],
            ..event("shop", "2")
        }
    );
    assert_eq!(texts(after), ["2", "3", "4"]);
    let shop = store.events(0, Some("shop"), 100).await.unwrap();
    assert_eq!(texts(shop), ["0", "2", "4"]);
}

async fn what_everybody_sees_is_stored_once(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    let event = |session: &str, kind: &str, generation| EventRow {
        id: 0,
        at: Wall(5),
        session: session.to_owned(),
        kind: kind.to_owned(),
        generation: Generation(generation),
        text: String::new(),
        failure: None,
        holder: "me".to_owned(),
    };
    let told = async |store: &dyn Store, event: &EventRow, once| {
        store
            .append_event_once(event, once)
            .await
            .unwrap()
            .is_some()
    };
    let expired = event("shop", "expired", 3);
    assert!(told(&*one, &expired, Once::AGeneration).await);
    assert!(!told(&*two, &expired, Once::AGeneration).await);
    for other in [event("shop", "expired", 4), event("till", "expired", 3)] {
        assert!(told(&*two, &other, Once::AGeneration).await);
    }
    let ending = event("shop", "ending", 0);
    assert!(told(&*one, &ending, Once::ALogin).await);
    assert!(!told(&*two, &ending, Once::ALogin).await);
    one.append_event(&event("shop", "logged_in", 5))
        .await
        .unwrap();
    assert!(told(&*two, &ending, Once::ALogin).await);
    assert!(!told(&*one, &ending, Once::ALogin).await);
}

async fn a_spare_pair_is_brought_home(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    one.login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (lease, _) = claim(&*one, "shop", LONG_MS).await;
    one.write_intent(&lease, &intent(&*one, Generation(1)))
        .await
        .unwrap();
    one.save_spare("shop", &pair(2)).await.unwrap();
    one.release(&lease).await.unwrap();
    let record = load(&*two, "shop").await;
    assert_eq!(record.pair, Some(pair(2)));
    assert_eq!((record.generation, record.unsaved), (Generation(2), false));
    assert!(record.intent.is_none(), "its exchange has ended well");
    // It is in the store now: the next exchange starts from it.
    let (lease, record) = claim(&*one, "shop", LONG_MS).await;
    assert_eq!(record.generation, Generation(2));
    one.commit(&lease, Generation(2), &pair(3), &Info::default())
        .await
        .unwrap();
    // An old spare pair is of no account.
    one.save_spare("shop", &pair(2)).await.unwrap();
    assert_eq!(load(&*two, "shop").await.pair, Some(pair(3)));
}

async fn a_spare_pair_waits_while_another_holds_the_lease(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    one.login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (lease, _) = claim(&*one, "shop", LONG_MS).await;
    one.save_spare("shop", &pair(2)).await.unwrap();
    // Served, and told to be unsaved; its owner may still save it.
    let record = load(&*two, "shop").await;
    assert_eq!((record.pair, record.unsaved), (Some(pair(2)), true));
    one.commit(&lease, Generation(1), &pair(2), &Info::default())
        .await
        .unwrap();
    let record = load(&*two, "shop").await;
    assert_eq!((record.pair, record.unsaved), (Some(pair(2)), false));
    // Had it died instead, the next to claim takes the pair in.
    one.save_spare("shop", &pair(3)).await.unwrap();
    one.release(&lease).await.unwrap();
    let (_, record) = claim(&*two, "shop", LONG_MS).await;
    assert_eq!((record.pair, record.unsaved), (Some(pair(3)), false));
}

async fn a_spare_pair_that_came_meanwhile_stops_the_exchange(fixture: &dyn Fixture) {
    let (one, two) = (fixture.store().await, fixture.store().await);
    one.login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    let (lease, record) = claim(&*one, "shop", LONG_MS).await;
    assert_eq!(record.generation, Generation(1));
    // Another process could not save what its exchange brought, after this one had claimed.
    two.save_spare("shop", &pair(2)).await.unwrap();
    let error = one
        .write_intent(&lease, &intent(&*one, Generation(1)))
        .await
        .unwrap_err();
    assert_eq!(error, StoreError::Moved { now: Generation(2) });
}

async fn a_logout_forgets_the_spare_pair(fixture: &dyn Fixture) {
    let store = fixture.store().await;
    store
        .login("shop", pair(1), &Info::default(), None)
        .await
        .unwrap();
    store.save_spare("shop", &pair(2)).await.unwrap();
    store.logout("shop").await.unwrap();
    assert_eq!(load(&*store, "shop").await.pair, None);
}
