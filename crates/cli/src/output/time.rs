//! Times the way people say them.

use tenure_core::Wall;

/// A length of time in its two largest units: `12 s`, `3 min`, `2 h 5 min`, `4 d 1 h`.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, 1..5) if !seconds.is_multiple_of(60) => format!("{minutes} min {} s", seconds % 60),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, 0) => format!("{hours} h"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, 0, _) => format!("{days} d"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `in 12 s`, `3 min ago`, `now`.
pub fn relative(seconds: i64) -> String {
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds.unsigned_abs())),
        _ => format!("{} ago", span(seconds.unsigned_abs())),
    }
}

/// A wall-clock instant in local time, with its distance from UTC: `2026-03-01 14:05:09 +01:00`.
pub fn clock(at: Wall) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(time) => time
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S %:z")
            .to_string(),
        Err(_) => format!("{} ms", at.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short_and_right() {
        let said: Vec<_> = [0, 12, 59, 60, 90, 300, 3_600, 7_500, 86_400, 90_000]
            .into_iter()
            .map(span)
            .collect();
        assert_eq!(
            said,
            [
                "0 s",
                "12 s",
                "59 s",
                "1 min",
                "1 min 30 s",
                "5 min",
                "1 h",
                "2 h 5 min",
                "1 d",
                "1 d 1 h"
            ]
        );
    }

    #[test]
    fn an_instant_names_its_zone() {
        let text = clock(Wall(0));
        let zone = text.rsplit(' ').next().expect("a word");
        assert!(
            zone.len() == 6 && zone.starts_with(['+', '-']) && zone.contains(':'),
            "{text}"
        );
    }

    #[test]
    fn the_sign_is_the_direction() {
        assert_eq!(relative(12), "in 12 s");
        assert_eq!(relative(-180), "3 min ago");
        assert_eq!(relative(0), "now");
    }
}
