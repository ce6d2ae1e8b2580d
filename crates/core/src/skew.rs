//! Server time, estimated from `Date` headers by intersecting the intervals they prove.

use crate::time::{Mono, Now};

/// How far two clocks may drift apart, in milliseconds per million milliseconds (500 ppm, the bound NTP uses).
const DRIFT_PPM: u64 = 500;
/// `Date` counts whole seconds (RFC 9110 §5.6.7): the true instant lies within the second it names.
const DATE_RESOLUTION_MS: i64 = 1000;

/// Bounds of `server time − local suspend-proof clock`, in milliseconds. Immune to jumps of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerClock {
    lo: i64,
    hi: i64,
    seen: Mono,
}

impl ServerClock {
    /// What one answer proves: the server wrote `date_s` (seconds since the epoch) between `sent` and `received`.
    pub fn from_date(date_s: i64, sent: Mono, received: Mono) -> Self {
        let date = date_s.saturating_mul(1000);
        Self {
            lo: date - received.0 as i64,
            hi: date + DATE_RESOLUTION_MS - sent.0 as i64,
            seen: received,
        }
    }

    /// Narrows the estimate by another answer. Disjoint evidence means that a clock was set: the newer wins.
    #[must_use]
    pub fn narrowed(self, other: ServerClock) -> Self {
        let drift = (other.seen.since(self.seen) * DRIFT_PPM / 1_000_000) as i64;
        let (lo, hi) = (
            (self.lo - drift).max(other.lo),
            (self.hi + drift).min(other.hi),
        );
        if lo > hi {
            other
        } else {
            Self {
                lo,
                hi,
                seen: other.seen,
            }
        }
    }

    /// Server time now, milliseconds since the epoch: the middle of what is proven.
    pub fn now(self, mono: Mono) -> i64 {
        self.lo + (self.hi - self.lo) / 2 + mono.0 as i64
    }

    /// Half the width of the proven interval, in milliseconds.
    pub fn uncertainty_ms(self) -> i64 {
        (self.hi - self.lo) / 2
    }

    /// Server time minus local wall time, in milliseconds, and only as much of it as is proven:
    /// 0 when the interval allows the clocks to agree.
    pub fn proven_offset_ms(self, now: Now) -> i64 {
        let (lo, hi) = (
            self.lo + now.mono.0 as i64 - now.wall.0,
            self.hi + now.mono.0 as i64 - now.wall.0,
        );
        if lo > 0 {
            lo
        } else if hi < 0 {
            hi
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    #[test]
    fn several_answers_narrow_to_less_than_a_second() {
        // The server's clock is 5_000_000 ms ahead of ours. Dates are cut to seconds.
        let at = |mono: u64| (5_000_000 + mono as i64) / 1000;
        let mut clock = ServerClock::from_date(at(120), Mono(100), Mono(140));
        for mono in [390u64, 650, 910, 1_990] {
            clock = clock.narrowed(ServerClock::from_date(
                at(mono + 20),
                Mono(mono),
                Mono(mono + 40),
            ));
        }
        assert!((clock.now(Mono(2_000)) - 5_002_000).abs() <= clock.uncertainty_ms() + 1);
        assert!(clock.uncertainty_ms() < 200, "{clock:?}");
    }

    #[test]
    fn a_clock_that_was_set_is_followed() {
        let old = ServerClock::from_date(1_000, Mono(0), Mono(10));
        let new = ServerClock::from_date(4_600, Mono(20), Mono(30));
        assert_eq!(old.narrowed(new), new);
    }

    #[test]
    fn an_offset_is_only_claimed_when_proven() {
        let clock = ServerClock::from_date(1_000, Mono(0), Mono(10));
        assert_eq!(
            clock.proven_offset_ms(Now {
                mono: Mono(10),
                wall: Wall(1_000_500)
            }),
            0
        );
        let behind = clock.proven_offset_ms(Now {
            mono: Mono(10),
            wall: Wall(1_000_000 - 3_600_000),
        });
        assert!((3_599_000..=3_600_000).contains(&behind), "{behind}");
    }
}
