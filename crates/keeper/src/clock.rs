//! The clocks of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tenure_core::{BootId, Mono, Now, Wall};

/// Both clocks, read now.
pub fn now() -> Now {
    Now {
        mono: mono(),
        wall: wall(),
    }
}

/// CLOCK_BOOTTIME: counts through suspend and never steps.
pub fn mono() -> Mono {
    let time = clock_gettime(ClockId::Boottime);
    Mono(time.tv_sec.unsigned_abs() * 1_000 + time.tv_nsec.unsigned_abs() / 1_000_000)
}

/// The wall clock; before 1970 counts as 1970.
pub fn wall() -> Wall {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Which boot of which machine this is. Zero when the system does not tell; then only wall clocks compare.
pub fn boot_id() -> BootId {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    BootId(u128::from_str_radix(&hex, 16).unwrap_or_default())
}
