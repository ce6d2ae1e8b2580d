//! The clock of one lab server: real time, moved by the test.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A server's clock. [`advance`](Clock::advance) lets time pass; [`set_skew`](Clock::set_skew) makes the
/// clock wrong without letting time pass.
#[derive(Debug, Default)]
pub struct Clock {
    advanced_ms: AtomicI64,
    skew_ms: AtomicI64,
}

impl Clock {
    /// Lets `seconds` pass at once (negative: goes back).
    pub fn advance(&self, seconds: i64) {
        self.advanced_ms.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Makes the clock run `seconds` ahead of the truth (negative: behind): `Date` headers and the times
    /// inside JWTs are shifted by it.
    pub fn set_skew(&self, seconds: i64) {
        self.skew_ms.store(seconds * 1000, Ordering::SeqCst);
    }

    /// True time as this server lives it, in ms since the epoch: real time plus what was advanced.
    pub fn now_ms(&self) -> i64 {
        let real = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        real.as_millis() as i64 + self.advanced_ms.load(Ordering::SeqCst)
    }

    /// What the server's clock shows, in ms since the epoch: [`now_ms`](Clock::now_ms) plus the skew.
    pub fn shown_ms(&self) -> i64 {
        self.now_ms() + self.skew_ms.load(Ordering::SeqCst)
    }

    /// What the server's clock shows, in whole seconds since the epoch.
    pub fn shown_s(&self) -> i64 {
        self.shown_ms().div_euclid(1000)
    }

    /// What the server's clock shows, as a `Date` header.
    pub(crate) fn http_date(&self) -> String {
        http_date(self.shown_s())
    }
}

/// An HTTP date (RFC 9110 §5.6.7) for seconds since the epoch; times before 1970 count as 1970.
pub(crate) fn http_date(epoch_s: i64) -> String {
    let since = Duration::from_secs(u64::try_from(epoch_s).unwrap_or(0));
    httpdate::fmt_http_date(UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_both_and_skew_only_what_is_shown() {
        let clock = Clock::default();
        let start = clock.now_ms();
        clock.advance(3600);
        clock.set_skew(-7200);
        assert!((clock.now_ms() - start - 3_600_000).abs() < 60_000);
        assert!((clock.shown_ms() - start + 3_600_000).abs() < 60_000);
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
