//! How long an access token lives, judged from fields that may lie (DESIGN §6).

use serde::{Deserialize, Serialize};

/// Numbers above this are instants (seconds since the epoch), not durations: 10^9 s is 31 years.
const EPOCH_FROM: i64 = 1_000_000_000;
/// Two statements of the same lifetime may differ by this much and still agree, in seconds.
const AGREE_S: i64 = 5;

/// What an answer and its token say about time. Seconds, as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// `expires_in` (or the field the dialect names), meant as a duration.
    pub expires_in: Option<i64>,
    /// `expires_at` and its like, meant as an instant.
    pub expires_at: Option<i64>,
    /// `iat` of the access token, when it is a JWT.
    pub iat: Option<i64>,
    /// `exp` of the access token, when it is a JWT.
    pub exp: Option<i64>,
    /// The profile's default lifetime.
    pub profile: Option<i64>,
    /// The shortest lifetime after which the server was seen to refuse a token it called valid.
    pub learned: Option<i64>,
    /// Server time (else local wall time) when the request was sent, seconds since the epoch.
    pub now: i64,
}

/// A field that did not mean what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// `expires_in` holds an instant.
    ExpiresInIsEpoch,
    /// `exp` holds a duration.
    ExpIsDuration,
    /// `expires_at` holds a duration.
    ExpiresAtIsDuration,
    /// `expires_in` promises more than the token's own `exp − iat`.
    ExpiresInTooLong,
    /// A stated lifetime is zero or negative.
    NotPositive,
    /// The server refuses earlier than it says.
    RefusesEarly,
}

/// The lifetime that is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Milliseconds from the request; `None` when nothing tells.
    pub ms: Option<u64>,
    /// Which fields lied.
    pub lies: Vec<Lie>,
}

/// Weighs the statements: `expires_in`, then `expires_at`, then `exp − iat`, each corrected when its unit is
/// plainly another; a longer promise yields to a shorter one that the token itself makes; the profile's
/// default counts when nothing is said; what was learned caps all.
pub fn lifetime(stated: &Stated) -> Lifetime {
    let mut lies = Vec::new();
    let duration = stated
        .expires_in
        .map(|seconds| unit(seconds, stated.now, Lie::ExpiresInIsEpoch, &mut lies));
    let at = stated.expires_at.map(|instant| {
        instant_to_duration(instant, stated.now, Lie::ExpiresAtIsDuration, &mut lies)
    });
    let own = stated.exp.map(|exp| {
        let from = stated
            .iat
            .filter(|iat| *iat > EPOCH_FROM)
            .unwrap_or(stated.now);
        instant_to_duration(exp, from, Lie::ExpIsDuration, &mut lies)
    });
    let promised = positive(duration, &mut lies).or_else(|| positive(at, &mut lies));
    let own = positive(own, &mut lies);
    let mut seconds = match (promised, own) {
        (Some(promised), Some(own)) if promised > own + AGREE_S => {
            lies.push(Lie::ExpiresInTooLong);
            Some(own)
        }
        (Some(promised), _) => Some(promised),
        (None, own) => own.or(stated.profile.filter(|seconds| *seconds > 0)),
    };
    if let Some(learned) = stated.learned.filter(|learned| *learned > 0)
        && seconds.is_none_or(|seconds| learned < seconds)
    {
        lies.push(Lie::RefusesEarly);
        seconds = Some(learned);
    }
    Lifetime {
        ms: seconds
            .and_then(|s| u64::try_from(s).ok())
            .map(|s| s.saturating_mul(1000)),
        lies,
    }
}

fn unit(seconds: i64, now: i64, lie: Lie, lies: &mut Vec<Lie>) -> i64 {
    if seconds < EPOCH_FROM {
        return seconds;
    }
    lies.push(lie);
    epoch_seconds(seconds).saturating_sub(now)
}

fn instant_to_duration(instant: i64, from: i64, lie: Lie, lies: &mut Vec<Lie>) -> i64 {
    if instant >= EPOCH_FROM {
        return epoch_seconds(instant).saturating_sub(from);
    }
    lies.push(lie);
    instant
}

/// An instant in seconds; instants in milliseconds (13 digits) are cut down.
fn epoch_seconds(instant: i64) -> i64 {
    if instant > 100_000_000_000 {
        instant / 1000
    } else {
        instant
    }
}

fn positive(seconds: Option<i64>, lies: &mut Vec<Lie>) -> Option<i64> {
    match seconds {
        Some(seconds) if seconds <= 0 => {
            lies.push(Lie::NotPositive);
            None
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn of(stated: Stated) -> Lifetime {
        lifetime(&Stated { now: NOW, ..stated })
    }

    #[test]
    fn the_plain_case() {
        let life = of(Stated {
            expires_in: Some(300),
            iat: Some(NOW),
            exp: Some(NOW + 300),
            ..Stated::default()
        });
        assert_eq!(
            life,
            Lifetime {
                ms: Some(300_000),
                lies: vec![]
            }
        );
    }

    #[test]
    fn expires_in_as_an_epoch_is_read_as_one() {
        // miniOrange 4.4.0 (facts: wordpress §4.6).
        let life = of(Stated {
            expires_in: Some(NOW + 3600),
            ..Stated::default()
        });
        assert_eq!(
            life,
            Lifetime {
                ms: Some(3_600_000),
                lies: vec![Lie::ExpiresInIsEpoch]
            }
        );
        let in_ms = of(Stated {
            expires_in: Some((NOW + 3600) * 1000),
            ..Stated::default()
        });
        assert_eq!(in_ms.ms, Some(3_600_000));
    }

    #[test]
    fn exp_as_a_duration_is_read_as_one() {
        // WP-API/jwt-auth answers `exp: 604800` (facts: wordpress §4.6).
        let life = of(Stated {
            exp: Some(604_800),
            ..Stated::default()
        });
        assert_eq!(
            life,
            Lifetime {
                ms: Some(604_800_000),
                lies: vec![Lie::ExpIsDuration]
            }
        );
    }

    #[test]
    fn a_promise_longer_than_the_token_is_not_believed() {
        let life = of(Stated {
            expires_in: Some(3600),
            iat: Some(NOW),
            exp: Some(NOW + 60),
            ..Stated::default()
        });
        assert_eq!(
            life,
            Lifetime {
                ms: Some(60_000),
                lies: vec![Lie::ExpiresInTooLong]
            }
        );
    }

    #[test]
    fn a_wrong_server_clock_does_not_matter_when_iat_and_exp_are_both_there() {
        let life = of(Stated {
            iat: Some(NOW - 7200),
            exp: Some(NOW - 7200 + 600),
            ..Stated::default()
        });
        assert_eq!(life.ms, Some(600_000));
    }

    #[test]
    fn nothing_said_means_profile_then_learned_then_unknown() {
        assert_eq!(
            of(Stated {
                profile: Some(86_400),
                ..Stated::default()
            })
            .ms,
            Some(86_400_000)
        );
        assert_eq!(
            of(Stated {
                learned: Some(50),
                profile: Some(86_400),
                ..Stated::default()
            })
            .ms,
            Some(50_000)
        );
        assert_eq!(of(Stated::default()).ms, None);
    }

    #[test]
    fn zero_and_negative_lifetimes_are_lies() {
        let life = of(Stated {
            expires_in: Some(0),
            ..Stated::default()
        });
        assert_eq!(
            life,
            Lifetime {
                ms: None,
                lies: vec![Lie::NotPositive]
            }
        );
    }
}
