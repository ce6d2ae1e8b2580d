//! Values written as text: durations, sizes, addresses, refresh times.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tenure_core::session::RefreshAt;
pub use tenure_keeper::checks::Wrong;

const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A duration with units: `15s`, `500ms`, `1m30s`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || {
        let what = format!("{text:?} is no duration");
        match text.trim().parse::<u64>() {
            Ok(_) => Wrong::new(
                what,
                format!(
                    "add a unit, for example \"{}s\" (ms, s, m, h, d)",
                    text.trim()
                ),
            ),
            Err(_) => Wrong::new(
                what,
                "write a number and a unit, for example \"15s\" (ms, s, m, h, d)",
            ),
        }
    };
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (_, ms) = DURATION_UNITS
            .iter()
            .find(|(unit, _)| *unit == &after[..letters])
            .ok_or_else(wrong)?;
        total = number
            .checked_mul(*ms)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(wrong)?;
        rest = &after[letters..];
    }
    Ok(Duration::from_millis(total))
}

/// A duration that is not zero.
pub fn positive_duration(text: &str) -> Result<Duration, Wrong> {
    match duration(text)? {
        Duration::ZERO => Err(Wrong::new(
            format!("{text:?} is no time at all"),
            "write a duration above zero, for example \"15s\"",
        )),
        some => Ok(some),
    }
}

const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A size with its unit: `1MiB`, `64KiB`, `0B`.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = || {
        Wrong::new(
            format!("{text:?} is no size"),
            "write a number and a unit, for example \"1MiB\" (B, KiB, MiB, GiB, kB, MB, GB)",
        )
    };
    let trimmed = text.trim();
    let digits = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(wrong)?;
    let number: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
    let unit = trimmed[digits..].trim_start();
    let (_, bytes) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    number.checked_mul(*bytes).ok_or_else(wrong)
}

/// When a token is due: `auto`, a fraction of its life (`0.66`), or a time before its end (`120s`).
pub fn refresh_at(text: &str) -> Result<RefreshAt, Wrong> {
    let wrong = || {
        Wrong::new(
            format!("{text:?} is no refresh time"),
            "write \"auto\", a fraction between 0 and 1 (\"0.66\") or a time before expiry (\"120s\")",
        )
    };
    if text == "auto" {
        return Ok(RefreshAt::Auto);
    }
    if let Ok(fraction) = text.parse::<f64>() {
        return if fraction > 0.0 && fraction < 1.0 {
            Ok(RefreshAt::Fraction(fraction))
        } else {
            Err(wrong())
        };
    }
    let before = duration(text).map_err(|_| wrong())?;
    Ok(RefreshAt::Before(
        u64::try_from(before.as_millis()).map_err(|_| wrong())?,
    ))
}

/// An address to listen on: `127.0.0.1:7878`, `[::1]:7878`, `localhost:7878`. `usual` is the port of the example.
pub fn address(text: &str, usual: u16) -> Result<SocketAddr, Wrong> {
    let spelt = match text.strip_prefix("localhost:") {
        Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        None => text.to_owned(),
    };
    spelt.parse().map_err(|_| {
        Wrong::new(
            format!("{text:?} is no address to listen on"),
            format!("write an IP address and a port, for example \"127.0.0.1:{usual}\""),
        )
    })
}

/// Whether nobody can listen at both.
pub fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: SocketAddr, narrow: SocketAddr| {
        wide.ip().is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
    };
    let same = one.ip() == other.ip() || covers(one, other) || covers(other, one);
    // Port 0 is a free one each time.
    same && one.port() == other.port() && one.port() != 0
}

/// How many: a whole number.
pub fn count(text: &str) -> Result<usize, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new(
            format!("{text:?} is no number of lines"),
            "write a whole number, for example 20",
        )
    })
}

/// An instant in epoch seconds: RFC 3339, or the number itself.
pub fn instant(text: &str) -> Result<i64, Wrong> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_second)
        .map_err(|_| {
            Wrong::new(
                format!("{text:?} is no time"),
                "write a time such as 2026-11-25T18:00:00Z, or seconds since 1970",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(168)));
        let wrong = duration("15").expect_err("no unit");
        assert!(wrong.fix.contains("\"15s\""), "{wrong}");
        for bad in [
            "",
            "s",
            "15 s x",
            "1.5s",
            "-1s",
            "15sec",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_clash_where_nobody_can_listen_at_both() {
        let clash = |one: &str, other: &str| {
            let at = |text| address(text, 1).expect("an address");
            assert_eq!(
                super::clash(at(one), at(other)),
                super::clash(at(other), at(one))
            );
            super::clash(at(one), at(other))
        };
        assert!(clash("127.0.0.1:7", "localhost:7"));
        assert!(clash("0.0.0.0:7", "127.0.0.1:7"));
        assert!(clash("[::]:7", "127.0.0.1:7"));
        assert!(!clash("0.0.0.0:7", "[::1]:7"));
        assert!(!clash("127.0.0.1:7", "127.0.0.1:8"));
        assert!(!clash("127.0.0.1:7", "127.0.0.2:7"));
        assert!(!clash("127.0.0.1:0", "127.0.0.1:0"));
    }

    #[test]
    fn sizes_need_units() {
        assert_eq!(size("1MiB"), Ok(1_048_576));
        assert_eq!(size("64 KiB"), Ok(65_536));
        assert_eq!(size("0B"), Ok(0));
        for bad in ["", "1", "MiB", "1mib", "-1B", "99999999999999999999B"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refresh_times_have_three_forms() {
        assert_eq!(refresh_at("auto"), Ok(RefreshAt::Auto));
        assert_eq!(refresh_at("0.66"), Ok(RefreshAt::Fraction(0.66)));
        assert_eq!(refresh_at("120s"), Ok(RefreshAt::Before(120_000)));
        for bad in ["", "1", "0", "1.5", "NaN", "inf", "soon"] {
            assert!(refresh_at(bad).is_err(), "{bad:?}");
        }
    }
}
