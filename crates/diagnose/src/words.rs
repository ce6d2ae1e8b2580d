//! Times and texts the way people read them.

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

/// Epoch seconds as `2026-11-25 18:00:12 UTC`; the bare number outside the years 1 to 9999.
pub fn utc(epoch_s: i64) -> String {
    match civil(epoch_s) {
        Some((date, time)) => format!("{date} {time} UTC"),
        None => format!("{epoch_s} s after 1970"),
    }
}

/// Epoch seconds as `2026-11-25T18:00:12Z`; `None` outside the years 1 to 9999.
pub fn rfc3339(epoch_s: i64) -> Option<String> {
    civil(epoch_s).map(|(date, time)| format!("{date}T{time}Z"))
}

/// Date and time of day in the proleptic Gregorian calendar.
fn civil(epoch_s: i64) -> Option<(String, String)> {
    let (days, second) = (epoch_s.div_euclid(86_400), epoch_s.rem_euclid(86_400));
    // Years 1 to 9999, in days since 1970.
    if !(-719_162..2_932_897).contains(&days) {
        return None;
    }
    // Counted from 1 March of year 0 in eras of 400 years, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some((
        format!("{year:04}-{month:02}-{day:02}"),
        format!(
            "{:02}:{:02}:{:02}",
            second / 3_600,
            second / 60 % 60,
            second % 60
        ),
    ))
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
    fn the_sign_is_the_direction() {
        assert_eq!(relative(12), "in 12 s");
        assert_eq!(relative(-180), "3 min ago");
        assert_eq!(relative(0), "now");
        assert!(relative(i64::MIN).ends_with("ago"));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (epoch_s, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
            (951_827_696, "2000-02-29 12:34:56 UTC"),
            (1_764_093_612, "2025-11-25 18:00:12 UTC"),
            (4_102_444_800, "2100-01-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
            (253_402_300_800, "253402300800 s after 1970"),
            (-62_135_596_800, "0001-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(epoch_s), text);
        }
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(i64::MAX), None);
        assert_eq!(rfc3339(i64::MIN), None);
    }
}
