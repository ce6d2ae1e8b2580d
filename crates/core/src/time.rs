//! Instants as plain numbers, so that tests and the simulator own time.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Milliseconds on a clock that never steps and counts through suspend (CLOCK_BOOTTIME where there is one).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Mono(pub u64);

/// Milliseconds since the Unix epoch by some wall clock; may step.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Wall(pub i64);

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// The clock that drives timers and expiry.
    pub mono: Mono,
    /// The wall clock, for people and for other hosts.
    pub wall: Wall,
}

impl Mono {
    /// Milliseconds since `earlier`, 0 when `earlier` lies ahead.
    pub fn since(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant moved back by `ms`, not before zero.
    #[must_use]
    pub fn minus(self, ms: u64) -> Mono {
        Mono(self.0.saturating_sub(ms))
    }
}

impl Add<u64> for Mono {
    type Output = Mono;
    fn add(self, ms: u64) -> Mono {
        Mono(self.0.saturating_add(ms))
    }
}

impl Sub<Wall> for Wall {
    type Output = i64;
    fn sub(self, other: Wall) -> i64 {
        self.0.saturating_sub(other.0)
    }
}
