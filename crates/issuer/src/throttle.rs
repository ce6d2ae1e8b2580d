//! Slows down whoever guesses: per name and per address, in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Attempts are forgotten this long after the last one, in milliseconds.
const FORGET_MS: i64 = 3_600_000;
/// At most this many names and addresses are remembered.
const CAPACITY: usize = 20_000;

/// How patient to be with one kind of key.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// Failures in a row that cost nothing.
    pub(crate) free: u32,
    /// The longest wait between two attempts, in seconds.
    pub(crate) longest_s: u64,
}

/// A person's own mistakes are few, and an outsider must not lock somebody out for long.
pub(crate) const PER_USER: Limit = Limit {
    free: 5,
    longest_s: 60,
};
/// Many people may share an address; a machine that tries on is slowed down much.
pub(crate) const PER_ADDRESS: Limit = Limit {
    free: 20,
    longest_s: 900,
};

struct Tries {
    failures: u32,
    last_ms: i64,
    until_ms: i64,
}

/// Counts attempts before they are judged, so that parallel guesses count too.
#[derive(Default)]
pub(crate) struct Throttle {
    tries: Mutex<HashMap<String, Tries>>,
}

impl Throttle {
    /// Begins an attempt. `Err` holds the seconds to wait when it is too early.
    pub(crate) fn begin(&self, key: &str, limit: Limit, now_ms: i64) -> Result<(), u64> {
        let mut all = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CAPACITY && !all.contains_key(key) {
            make_room(&mut all, now_ms);
        }
        let tries = all.entry(key.to_owned()).or_insert(Tries {
            failures: 0,
            last_ms: now_ms,
            until_ms: now_ms,
        });
        if now_ms - tries.last_ms > FORGET_MS {
            tries.failures = 0;
        }
        let left_ms = tries.until_ms - now_ms;
        if left_ms > 0 && tries.failures > 0 {
            return Err(u64::try_from(left_ms)
                .unwrap_or(0)
                .div_ceil(1000)
                .min(limit.longest_s));
        }
        tries.failures = tries.failures.saturating_add(1);
        tries.last_ms = now_ms;
        tries.until_ms = now_ms + wait_ms(tries.failures, limit);
        Ok(())
    }

    /// The attempt was right: its key starts anew.
    pub(crate) fn succeeded(&self, key: &str) {
        self.tries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    /// The attempt was right, and its key is shared with others: only this attempt is taken back.
    pub(crate) fn refund(&self, key: &str) {
        let mut all = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tries) = all.get_mut(key) {
            tries.failures = tries.failures.saturating_sub(1);
            tries.until_ms = tries.last_ms;
        }
    }
}

fn wait_ms(failures: u32, limit: Limit) -> i64 {
    if failures <= limit.free {
        return 0;
    }
    let seconds = 1u64
        .checked_shl(failures - limit.free - 1)
        .unwrap_or(u64::MAX)
        .min(limit.longest_s);
    i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000
}

/// Drops the older half.
fn make_room(all: &mut HashMap<String, Tries>, now_ms: i64) {
    all.retain(|_, tries| now_ms - tries.last_ms <= FORGET_MS);
    let mut ages: Vec<i64> = all.values().map(|tries| tries.last_ms).collect();
    ages.sort_unstable();
    if let Some(median) = ages.get(ages.len() / 2).copied() {
        all.retain(|_, tries| tries.last_ms > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_success_clears() {
        let throttle = Throttle::default();
        let mut now = 0;
        for _ in 0..6 {
            assert_eq!(throttle.begin("u", PER_USER, now), Ok(()));
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = throttle.begin("u", PER_USER, now).expect_err("throttled");
            waits.push(wait);
            now += i64::try_from(wait).expect("small") * 1000;
            assert_eq!(throttle.begin("u", PER_USER, now), Ok(()));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(throttle.begin("other", PER_USER, now), Ok(()));
        throttle.succeeded("u");
        assert_eq!(throttle.begin("u", PER_USER, now), Ok(()));
        assert_eq!(throttle.begin("u", PER_USER, now), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        for n in 0..CAPACITY * 2 {
            assert_eq!(
                throttle.begin(&format!("a{n}"), PER_ADDRESS, n as i64),
                Ok(())
            );
        }
        assert!(throttle.tries.lock().expect("not poisoned").len() <= CAPACITY);
    }
}
