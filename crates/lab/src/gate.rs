//! Gates: a server waits at one until the test lets it through. No sleeping, no guessing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// A gate, closed at first. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    open: bool,
    passes: u64,
    arrived: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Gate::closed()
    }
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Gate(Arc::new(watch::Sender::new(State::default())))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.send_modify(|state| state.open = true);
    }

    /// Closes the gate again and forgets unused passes.
    pub fn close(&self) {
        self.0
            .send_modify(|state| (state.open, state.passes) = (false, 0));
    }

    /// Lets one through: one who waits, or the next to come.
    pub fn pass_one(&self) {
        self.0.send_modify(|state| state.passes += 1);
    }

    /// How many have come to the gate so far.
    pub fn arrived(&self) -> u64 {
        self.0.borrow().arrived
    }

    /// Waits until `n` have come to the gate. Panics after 30 s.
    pub async fn wait_arrived(&self, n: u64) {
        let what = format!("{n} arrivals at a gate");
        crate::wait::wait_until_within(Duration::from_secs(30), || self.arrived() >= n, &what)
            .await;
    }

    /// Waits at the gate until let through.
    pub async fn wait(&self) {
        self.0.send_modify(|state| state.arrived += 1);
        let mut changes = self.0.subscribe();
        while !self.try_pass() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn try_pass(&self) -> bool {
        let mut through = false;
        self.0.send_if_modified(|state| {
            through = state.open || state.passes > 0;
            let spend = through && !state.open;
            if spend {
                state.passes -= 1;
            }
            spend
        });
        through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lets_one_through_per_pass_and_all_when_open() {
        let gate = Gate::closed();
        gate.pass_one();
        gate.wait().await;
        let late = tokio::spawn({
            let gate = gate.clone();
            async move { gate.wait().await }
        });
        gate.wait_arrived(2).await;
        assert!(!late.is_finished());
        gate.open();
        late.await.expect("passes");
        gate.wait().await;
        assert_eq!(gate.arrived(), 3);
    }
}
