//! Waiting for conditions, and small helpers for tests.

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// How long [`wait_until`] waits before it fails the test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `cond` holds. Panics after [`PATIENCE`], naming `what`.
///
/// The deadline is real time, so it also works where tokio's clock is paused.
pub async fn wait_until(cond: impl FnMut() -> bool, what: &str) {
    wait_until_within(PATIENCE, cond, what).await;
}

/// Waits until `cond` holds, for at most `patience`. Panics then, naming `what`.
pub async fn wait_until_within(patience: Duration, mut cond: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + patience;
    while !cond() {
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks `probe` again and again until it answers `Some`. Panics after [`PATIENCE`], naming `what`.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(
    mut probe: impl FnMut() -> F,
    what: &str,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// [`wait_until`] for tests without a runtime: blocks the thread.
pub fn block_until(mut cond: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !cond() {
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port nobody listens on at this moment. Another process may take it before you do: where a server can
/// bind port 0 and say which port it got, prefer that.
pub fn free_port() -> u16 {
    let probe =
        TcpListener::bind(("127.0.0.1", 0)).expect("the loopback interface has a free port");
    probe
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// A fresh directory, removed when dropped.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("tenure-lab-")
        .tempdir()
        .expect("the temporary directory is writable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "in vain for: pigs to fly")]
    async fn names_what_it_waited_for() {
        wait_until_within(Duration::from_millis(20), || false, "pigs to fly").await;
    }

    #[tokio::test]
    async fn returns_once_the_condition_holds() {
        let mut asked = 0;
        wait_until(
            || {
                asked += 1;
                asked == 3
            },
            "three questions",
        )
        .await;
        assert_eq!(asked, 3);
        assert_eq!(wait_for(|| async { Some(7) }, "seven").await, 7);
        assert_ne!(free_port(), 0);
        assert!(temp_dir().path().is_dir());
    }
}
