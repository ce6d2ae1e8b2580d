//! Random histories of one session in any store, against a model that is as simple as can be said.

use proptest::prelude::*;
use tenure_core::Generation;
use tenure_store::{Claim, Info, StoreError};

use crate::contract::Fixture;
use crate::{LONG_MS, intent, latch, pair};

#[derive(Clone, Debug)]
enum Step {
    Claim { by: usize, ttl_ms: u64 },
    Commit { lease: usize, expect: u64 },
    Intent { lease: usize, generation: u64 },
    Latch { lease: usize, expect: u64 },
    Release { lease: usize },
    Login,
    Logout,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lease = || 0usize..4;
    let generation = || 0u64..5;
    let step = prop_oneof![
        3 => (0usize..2, prop_oneof![Just(0), Just(LONG_MS)]).prop_map(|(by, ttl_ms)| Step::Claim { by, ttl_ms }),
        3 => (lease(), generation()).prop_map(|(lease, expect)| Step::Commit { lease, expect }),
        2 => (lease(), generation()).prop_map(|(lease, generation)| Step::Intent { lease, generation }),
        1 => (lease(), generation()).prop_map(|(lease, expect)| Step::Latch { lease, expect }),
        2 => lease().prop_map(|lease| Step::Release { lease }),
        1 => Just(Step::Login),
        1 => Just(Step::Logout),
    ];
    proptest::collection::vec(step, 1..30)
}

/// The whole of a session, as simply as can be said.
#[derive(Default)]
struct Model {
    generation: u64,
    pair: Option<String>,
    intent: bool,
    latch: bool,
    /// Number of the claim that holds the lease, and whether it is alive in time.
    held: Option<(usize, bool)>,
}

impl Model {
    fn allows(&self, claim: usize, expect: u64) -> Result<(), StoreError> {
        if self.held.is_none_or(|(held, _)| held != claim) {
            return Err(StoreError::Fenced);
        }
        if expect != self.generation {
            let now = Generation(self.generation);
            return Err(StoreError::Moved { now });
        }
        Ok(())
    }
}

pub(crate) async fn random_histories_agree_with_the_model(fixture: &dyn Fixture) {
    let fresh = fixture.another();
    let histories = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = ProptestConfig {
            cases: 24,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        runner.run(&steps(), |steps| {
            runtime.block_on(replay(&*fresh.another(), &steps));
            Ok(())
        })
    });
    histories.await.unwrap().unwrap();
}

async fn replay(fixture: &dyn Fixture, steps: &[Step]) {
    let stores = [fixture.store().await, fixture.store().await];
    let mut model = Model::default();
    let mut leases = Vec::new();
    let mut written = 0;
    for step in steps {
        let pick = |n: usize| n.checked_rem(leases.len());
        match *step {
            Step::Claim { by, ttl_ms } => match stores[by].claim("shop", ttl_ms).await.unwrap() {
                Claim::Granted(lease, record) => {
                    assert!(model.held.is_none_or(|(_, alive)| !alive), "two holders");
                    assert_eq!(record.generation, Generation(model.generation));
                    model.held = Some((leases.len(), ttl_ms > 0));
                    leases.push((by, lease));
                }
                Claim::Held { .. } => assert!(model.held.is_some_and(|(_, alive)| alive)),
            },
            Step::Commit { lease, expect } => {
                let Some(n) = pick(lease) else { continue };
                written += 1;
                let (by, lease) = &leases[n];
                let result = stores[*by]
                    .commit(lease, Generation(expect), &pair(written), &Info::default())
                    .await;
                assert_eq!(result, model.allows(n, expect));
                if result.is_ok() {
                    model.generation += 1;
                    model.pair = Some(pair(written).access.expose().to_owned());
                    (model.intent, model.latch) = (false, false);
                }
            }
            Step::Intent { lease, generation } => {
                let Some(n) = pick(lease) else { continue };
                let (by, lease) = &leases[n];
                let sent = intent(&*stores[*by], Generation(generation));
                let result = stores[*by].write_intent(lease, &sent).await;
                assert_eq!(result, model.allows(n, generation));
                model.intent |= result.is_ok();
            }
            Step::Latch { lease, expect } => {
                let Some(n) = pick(lease) else { continue };
                let (by, lease) = &leases[n];
                let result = stores[*by].latch(lease, Generation(expect), &latch()).await;
                assert_eq!(result, model.allows(n, expect));
                if result.is_ok() {
                    (model.intent, model.latch) = (false, true);
                }
            }
            Step::Release { lease } => {
                let Some(n) = pick(lease) else { continue };
                let (by, lease) = &leases[n];
                stores[*by].release(lease).await.unwrap();
                model.held = model.held.filter(|(held, _)| *held != n);
            }
            Step::Login => {
                written += 1;
                stores[0]
                    .login("shop", pair(written), &Info::default(), None)
                    .await
                    .unwrap();
                model = Model {
                    generation: model.generation + 1,
                    pair: Some(pair(written).access.expose().to_owned()),
                    ..Model::default()
                };
            }
            Step::Logout => {
                stores[1].logout("shop").await.unwrap();
                model = Model {
                    generation: model.generation,
                    ..Model::default()
                };
            }
        }
        if let Some(record) = stores[1].load("shop").await.unwrap() {
            let access = record.pair.map(|pair| pair.access.expose().to_owned());
            assert_eq!(
                (record.generation.0, access),
                (model.generation, model.pair.clone())
            );
            assert_eq!(
                (record.intent.is_some(), record.latch.is_some()),
                (model.intent, model.latch)
            );
        }
    }
}
