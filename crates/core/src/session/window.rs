//! When a pair is due for its refresh (DESIGN §5).

use super::{Held, Policy, RefreshAt};
use crate::jitter;
use crate::time::Mono;

/// Never due earlier than this before the end.
const EARLIEST_BEFORE_END_MS: u64 = 3_600_000;
/// Never due later before the end than this many times the 99th percentile of an exchange.
const TIMES_P99: u64 = 3;
/// Half of a refresh token's remaining life is no reason for a refresh when it is shorter than this.
const SHORTEST_HALF_MS: u64 = 60_000;
/// The jitter's share of what is left of the lifetime at the due time: one tenth.
const JITTER_SHARE: u64 = 10;

/// The last exchanges' durations; tells their 99th percentile (with so few: the slowest).
#[derive(Clone, Debug, Default)]
pub struct ExchangeTimes {
    last: [u32; 16],
    count: usize,
}

impl ExchangeTimes {
    /// Adds one duration in milliseconds.
    pub fn add(&mut self, ms: u64) {
        self.last[self.count % self.last.len()] = u32::try_from(ms).unwrap_or(u32::MAX);
        self.count += 1;
    }

    /// The 99th percentile in milliseconds; 0 when nothing was seen.
    pub fn p99_ms(&self) -> u64 {
        self.last.iter().copied().max().map_or(0, u64::from)
    }
}

/// When this pair is due: what the server asked for, else by the policy; before an idle refresh token dies;
/// spread by a jitter that is the same on every host. `None` when nothing ends.
pub fn due(name: &str, held: &Held, policy: &Policy, p99_ms: u64) -> Option<Mono> {
    let by_access = held
        .expires
        .map(|end| by_access(name, held, end, policy, p99_ms));
    let by_idle = policy
        .idle_ms
        .map(|idle| held.issued + idle / 2 - spread(name, held, idle / 2));
    // Only where an exchange brings a new refresh token; and not ever shorter steps towards an end that no
    // exchange moves.
    let by_refresh = held
        .refresh_expires
        .filter(|_| policy.spends)
        .and_then(|end| {
            let half = end.since(held.issued) / 2;
            (half >= SHORTEST_HALF_MS).then(|| held.issued + half - spread(name, held, half))
        });
    [by_access, by_idle, by_refresh].into_iter().flatten().min()
}

fn by_access(name: &str, held: &Held, end: Mono, policy: &Policy, p99_ms: u64) -> Mono {
    if let Some(wanted) = held.refresh_at {
        return wanted.min(end);
    }
    let life = end.since(held.issued);
    let planned = match policy.refresh_at {
        RefreshAt::Fraction(fraction) => held.issued + (life as f64 * fraction) as u64,
        RefreshAt::Before(ms) => end.minus(ms.min(life)).max(held.issued),
        RefreshAt::Auto => (held.issued + life / 3 * 2).max(end.minus(EARLIEST_BEFORE_END_MS)),
    };
    let latest = end.minus((p99_ms * TIMES_P99).min(life / 2));
    (planned + spread(name, held, end.since(planned))).min(latest)
}

fn spread(name: &str, held: &Held, left_ms: u64) -> u64 {
    jitter::spread(name, held.generation.0, left_ms / JITTER_SHARE)
}

impl std::ops::Sub<u64> for Mono {
    type Output = Mono;
    fn sub(self, ms: u64) -> Mono {
        self.minus(ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::Generation;

    fn held(life_ms: u64) -> Held {
        Held {
            generation: Generation(3),
            issued: Mono(1_000),
            expires: Some(Mono(1_000) + life_ms),
            refresh_at: None,
            refresh_expires: None,
            session_ends: None,
            renewable: true,
            fingerprint: None,
        }
    }

    #[test]
    fn due_after_two_thirds_and_before_the_end() {
        let due = due("shop", &held(30_000), &Policy::default(), 0).expect("due");
        assert!((21_000..=22_000).contains(&due.0), "{due:?}");
    }

    #[test]
    fn a_long_lived_token_is_not_refreshed_earlier_than_an_hour_before_its_end() {
        let day = 86_400_000;
        let due = due("shop", &held(day), &Policy::default(), 0).expect("due");
        assert!(
            due.0 >= 1_000 + day - EARLIEST_BEFORE_END_MS && due.0 < 1_000 + day,
            "{due:?}"
        );
    }

    #[test]
    fn a_slow_endpoint_is_asked_earlier() {
        let quick = due("shop", &held(30_000), &Policy::default(), 10).expect("due");
        let slow = due("shop", &held(30_000), &Policy::default(), 4_500).expect("due");
        assert_eq!(slow, Mono(1_000 + 30_000 - 13_500));
        assert!(slow < quick);
    }

    #[test]
    fn jitter_differs_between_sessions_and_is_stable() {
        let of = |name: &str| due(name, &held(3_000_000), &Policy::default(), 0).expect("due");
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
    }

    #[test]
    fn an_idle_refresh_token_is_kept_warm() {
        let policy = Policy {
            idle_ms: Some(100_000),
            ..Policy::default()
        };
        let due = due("shop", &held(86_400_000), &policy, 0).expect("due");
        assert!(due.0 <= 51_000, "{due:?}");
    }

    #[test]
    fn the_server_may_say_when() {
        let mut pair = held(30_000);
        pair.refresh_at = Some(Mono(9_000));
        assert_eq!(due("shop", &pair, &Policy::default(), 0), Some(Mono(9_000)));
    }
}
