//! A store that writes down what it is asked, and fails or lags where the test says so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tenure_core::{Generation, TokenPair};
use tenure_lab::Gate;
use tenure_store::{
    Claim, EventRow, Info, Intent, Latch, Lease, Once, Pace, Record, Store, StoreError,
    StoredLogin, Trouble,
};
use tokio::sync::watch;

pub(crate) struct Watched {
    inner: Arc<dyn Store>,
    calls: Mutex<Vec<String>>,
    /// Its own, so that changes come when the test says so and at no other time.
    changes: watch::Sender<u64>,
    pub(crate) failing_loads: AtomicUsize,
    /// Readings that the next loads get instead of what is stored.
    pub(crate) old_readings: Mutex<VecDeque<Record>>,
    pub(crate) commits_fail: AtomicBool,
    /// Intents wait here.
    pub(crate) intents: Gate,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        let intents = Gate::closed();
        intents.open();
        Arc::new(Self {
            inner,
            calls: Mutex::default(),
            changes: watch::Sender::new(0),
            failing_loads: AtomicUsize::new(0),
            old_readings: Mutex::default(),
            commits_fail: AtomicBool::new(false),
            intents,
        })
    }

    /// Tells that the store was changed.
    pub(crate) fn tell_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// What was asked so far, without reading and events.
    pub(crate) fn writes(&self) -> Vec<String> {
        let mut calls = self.calls.lock().unwrap().clone();
        calls.retain(|call| call != "load");
        calls
    }

    pub(crate) fn loads(&self) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| *call == "load").count()
    }

    pub(crate) fn forget(&self) {
        self.calls.lock().unwrap().clear();
    }

    fn wrote(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        path: "(the test)".into(),
        detail: "asked for by the test".to_owned(),
    }
}

#[async_trait]
impl Store for Watched {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        let one_less = |left: usize| left.checked_sub(1);
        let result = if self
            .failing_loads
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .is_ok()
        {
            Err(unavailable())
        } else if let Some(old) = self.old_readings.lock().unwrap().pop_front() {
            Ok(Some(old))
        } else {
            self.inner.load(name).await
        };
        self.wrote("load");
        result
    }

    async fn list(&self) -> Result<Vec<Record>, StoreError> {
        self.inner.list().await
    }

    async fn claim(&self, name: &str, ttl_ms: u64) -> Result<Claim, StoreError> {
        self.wrote("claim");
        self.inner.claim(name, ttl_ms).await
    }

    async fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<(), StoreError> {
        self.wrote("renew");
        self.inner.renew(lease, ttl_ms).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.wrote("release");
        self.inner.release(lease).await
    }

    async fn write_intent(&self, lease: &Lease, intent: &Intent) -> Result<(), StoreError> {
        self.wrote(format!("intent {}", intent.attempts));
        self.intents.wait().await;
        self.inner.write_intent(lease, intent).await
    }

    async fn clear_intent(&self, lease: &Lease, generation: Generation) -> Result<(), StoreError> {
        self.wrote("clear");
        self.inner.clear_intent(lease, generation).await
    }

    async fn commit(
        &self,
        lease: &Lease,
        expect: Generation,
        pair: &TokenPair,
        info: &Info,
    ) -> Result<(), StoreError> {
        self.wrote("commit");
        if self.commits_fail.load(Ordering::SeqCst) {
            return Err(unavailable());
        }
        self.inner.commit(lease, expect, pair, info).await
    }

    async fn latch(
        &self,
        lease: &Lease,
        expect: Generation,
        latch: &Latch,
    ) -> Result<(), StoreError> {
        self.wrote("latch");
        self.inner.latch(lease, expect, latch).await
    }

    async fn login(
        &self,
        name: &str,
        pair: TokenPair,
        info: &Info,
        stored: Option<&StoredLogin>,
    ) -> Result<Generation, StoreError> {
        self.wrote("login");
        self.inner.login(name, pair, info, stored).await
    }

    async fn logout(&self, name: &str) -> Result<(), StoreError> {
        self.wrote("logout");
        self.inner.logout(name).await
    }

    async fn save_info(&self, name: &str, info: &Info) -> Result<(), StoreError> {
        self.inner.save_info(name, info).await
    }

    async fn append_event(&self, event: &EventRow) -> Result<u64, StoreError> {
        self.inner.append_event(event).await
    }

    async fn append_event_once(
        &self,
        event: &EventRow,
        once: Once,
    ) -> Result<Option<u64>, StoreError> {
        self.inner.append_event_once(event, once).await
    }

    async fn note(
        &self,
        name: &str,
        generation: Generation,
        trouble: Option<&Trouble>,
    ) -> Result<(), StoreError> {
        self.inner.note(name, generation, trouble).await
    }

    async fn pace(&self, endpoint: &str) -> Result<Option<Pace>, StoreError> {
        self.inner.pace(endpoint).await
    }

    async fn set_pace(&self, endpoint: &str, pace: Option<Pace>) -> Result<(), StoreError> {
        self.inner.set_pace(endpoint, pace).await
    }

    async fn events(
        &self,
        after: u64,
        session: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.inner.events(after, session, limit).await
    }

    async fn save_spare(&self, _: &str, _: &TokenPair) -> Result<(), StoreError> {
        // A spare would come home by itself at the next claim.
        Err(unavailable())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.inner.probe().await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn holder(&self) -> &str {
        self.inner.holder()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
