//! `Retry-After` (RFC 9110 §10.2.3) in both forms.

use std::time::UNIX_EPOCH;

use http::header::{HeaderMap, RETRY_AFTER};

/// When the server wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this many seconds.
    Seconds(u64),
    /// At this instant by the server's clock, seconds since the epoch.
    At(i64),
}

/// Reads the header; `None` when it is absent or says nothing usable. The first usable one counts.
pub fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    headers
        .get_all(RETRY_AFTER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|text| parse(text.trim()))
}

fn parse(text: &str) -> Option<RetryAfter> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(RetryAfter::Seconds(seconds));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        // Not in the RFC, but sent: fractions of a second. Rounded up, so that nobody comes early.
        return (0.0..1.0e9)
            .contains(&seconds)
            .then(|| RetryAfter::Seconds(seconds.ceil() as u64));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let seconds = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok().map(RetryAfter::At)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(text: &str) -> Option<RetryAfter> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).expect("a header"));
        retry_after(&headers)
    }

    #[test]
    fn both_forms_and_rubbish() {
        assert_eq!(of("120"), Some(RetryAfter::Seconds(120)));
        assert_eq!(of(" 0 "), Some(RetryAfter::Seconds(0)));
        assert_eq!(of("1.2"), Some(RetryAfter::Seconds(2)));
        let at = Some(RetryAfter::At(1_715_679_413));
        assert_eq!(of("Tue, 14 May 2024 09:36:53 GMT"), at);
        assert_eq!(of("Tuesday, 14-May-24 09:36:53 GMT"), at);
        assert_eq!(of("Tue May 14 09:36:53 2024"), at);
        for rubbish in ["", "-5", "soon", "NaN", "inf", "99999999999999999999999"] {
            assert_eq!(of(rubbish), None, "{rubbish}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn the_first_usable_one_counts() {
        let mut headers = HeaderMap::new();
        headers.append(RETRY_AFTER, HeaderValue::from_static("later"));
        headers.append(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(retry_after(&headers), Some(RetryAfter::Seconds(7)));
    }
}
