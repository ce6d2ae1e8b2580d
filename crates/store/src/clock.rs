//! The store's clock: counts through suspend and never steps, so that a jump of the wall clock moves no lease.

use std::time::{SystemTime, UNIX_EPOCH};

use tenure_core::{BootId, Mono, Wall};

/// Milliseconds since boot, suspend included (`CLOCK_BOOTTIME`; the monotonic clock where there is none).
pub fn mono() -> Mono {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let id = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Mono(seconds * 1000 + nanos / 1_000_000)
}

/// Milliseconds since the Unix epoch by the wall clock.
pub fn wall() -> Wall {
    let ms =
        |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Wall(ms(after)),
        Err(before) => Wall(-ms(before.duration())),
    }
}

/// Which boot this is. All zeros where the system does not tell; leases then rest on their time alone.
pub fn boot_id() -> BootId {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| parse_boot_id(&text))
        .unwrap_or_default()
}

fn parse_boot_id(text: &str) -> Option<BootId> {
    u128::from_str_radix(&text.trim().replace('-', ""), 16)
        .ok()
        .map(BootId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_ids_are_read_as_uuids() {
        assert_eq!(
            parse_boot_id("00000000-0000-0000-0000-0000000000ff\n"),
            Some(BootId(255))
        );
        assert_eq!(parse_boot_id("no id"), None);
    }

    #[test]
    fn the_clocks_run() {
        assert!(mono() > Mono(0));
        assert!(wall() > Wall(1_700_000_000_000));
    }
}
