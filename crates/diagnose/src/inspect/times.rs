//! A token's times, and what happens when.

use serde::Serialize;
use serde_json::{Map, Value};

use super::judge::USUAL_LEEWAY_S;
use super::show;
use crate::words::{relative, rfc3339, span};

/// Below this a number is a length of time, not an instant: 10^9 s after 1970 is 2001.
pub(super) const INSTANT_FROM: i64 = 1_000_000_000;
/// Above this it is in milliseconds: 10^11 s after 1970 is the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
/// The same for the next units.
const MICROSECONDS_FROM: i64 = MILLISECONDS_FROM * 1_000;
const NANOSECONDS_FROM: i64 = MICROSECONDS_FROM * 1_000;
/// Tenure refreshes no earlier than this before the end.
const EARLIEST_BEFORE_END_S: i64 = 3_600;

/// One time of a token.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// Which claim.
    pub claim: &'static str,
    /// The instant, epoch seconds.
    pub at_s: i64,
    /// The same as a date; `None` when no calendar has it.
    pub at: Option<String>,
    /// Seconds from now; negative when it is past.
    pub in_s: i64,
}

/// Something that happens.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// When, epoch seconds.
    pub at_s: i64,
    /// The same as a date; `None` when no calendar has it.
    pub at: Option<String>,
    /// Seconds from now; negative when it is past.
    pub in_s: i64,
    /// What.
    pub event: String,
}

/// The times that matter, in seconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) iat: Option<i64>,
    pub(super) nbf: Option<i64>,
    pub(super) exp: Option<i64>,
    /// `exp` is too small for an instant.
    pub(super) exp_is_duration: bool,
    /// Claims that are no numbers.
    pub(super) unreadable: Vec<&'static str>,
    /// Claims that were not in seconds: which, the number, and the unit it seems to be in.
    pub(super) in_other_units: Vec<(&'static str, i64, &'static str)>,
}

impl Times {
    pub(super) fn read(claims: &Map<String, Value>) -> Self {
        let mut times = Self::default();
        times.iat = times.seconds(claims, "iat");
        times.nbf = times.seconds(claims, "nbf");
        times.exp = times.seconds(claims, "exp");
        times.exp_is_duration = times.exp.is_some_and(|exp| exp < INSTANT_FROM);
        times
    }

    fn seconds(&mut self, claims: &Map<String, Value>, claim: &'static str) -> Option<i64> {
        let value = claims.get(claim)?;
        let Some(number) = number(value) else {
            self.unreadable.push(claim);
            return None;
        };
        let (divisor, unit) = unit(number);
        if divisor > 1 {
            self.in_other_units.push((claim, number, unit));
        }
        Some(number / divisor)
    }

    /// The unit a claim is in, where that is not seconds.
    pub(super) fn unit_of(&self, claim: &str) -> Option<&'static str> {
        let found = self.in_other_units.iter().find(|(name, ..)| *name == claim);
        found.map(|(_, _, unit)| *unit)
    }

    /// How long it lives from its issue.
    pub(super) fn lifetime_s(&self) -> Option<i64> {
        if self.exp_is_duration {
            return self.exp.filter(|exp| *exp > 0);
        }
        Some(self.exp?.saturating_sub(self.iat.or(self.nbf)?))
    }
}

/// How many of a number's units make a second, and what the unit is called.
fn unit(number: i64) -> (i64, &'static str) {
    const UNITS: [(i64, i64, &str); 3] = [
        (NANOSECONDS_FROM, 1_000_000_000, "nanoseconds"),
        (MICROSECONDS_FROM, 1_000_000, "microseconds"),
        (MILLISECONDS_FROM, 1_000, "milliseconds"),
    ];
    let found = UNITS.iter().find(|(from, ..)| number > *from);
    found.map_or((1, "seconds"), |(_, divisor, unit)| (*divisor, *unit))
}

fn number(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else {
        return None;
    };
    // A float is cast saturating, as verifiers do.
    number
        .as_i64()
        .or_else(|| number.as_f64().map(|float| float.floor() as i64))
}

/// Every claim that is an instant.
pub(super) fn list(claims: &Map<String, Value>, now: i64) -> Vec<Time> {
    show::TIMES
        .iter()
        .filter_map(|claim| {
            let number = number(claims.get(*claim)?)?;
            let at_s = number / unit(number).0;
            (at_s >= INSTANT_FROM).then(|| Time {
                claim,
                at_s,
                at: rfc3339(at_s),
                in_s: at_s.saturating_sub(now),
            })
        })
        .collect()
}

/// What happens when, in order; empty when the token does not tell.
pub(super) fn timeline(times: &Times, usable: bool, now: i64) -> Vec<Moment> {
    let mut events: Vec<(i64, String)> = Vec::new();
    if times.exp_is_duration {
        return Vec::new();
    }
    if let Some(iat) = times.iat {
        events.push((iat, "it is issued".to_owned()));
    }
    if let Some(nbf) = times.nbf.filter(|nbf| times.iat != Some(*nbf)) {
        events.push((nbf, "it becomes valid".to_owned()));
    }
    if let Some(exp) = times.exp {
        events.extend(refresh_due(times, exp).map(|due| (due, "about here Tenure would refresh it (2/3 of its life, at most an hour before its end)".to_owned())));
        events.push((
            exp,
            "it expires: servers without leeway refuse it".to_owned(),
        ));
        let lenient = exp.saturating_add(USUAL_LEEWAY_S);
        events.push((
            lenient,
            format!(
                "servers with {} of leeway refuse it, too",
                span(USUAL_LEEWAY_S.unsigned_abs())
            ),
        ));
    }
    if events.is_empty() {
        return Vec::new();
    }
    events.push((now, present(times, usable, now)));
    events.sort_by_key(|(at, _)| *at);
    events
        .into_iter()
        .map(|(at_s, event)| Moment {
            at_s,
            at: rfc3339(at_s),
            in_s: at_s.saturating_sub(now),
            event,
        })
        .collect()
}

/// The rule of `core::session` with its default, without jitter.
fn refresh_due(times: &Times, exp: i64) -> Option<i64> {
    let life = times.lifetime_s().filter(|life| *life > 0)?;
    let start = exp.saturating_sub(life);
    let two_thirds = start.saturating_add(life / 3 * 2);
    Some(two_thirds.max(exp.saturating_sub(EARLIEST_BEFORE_END_S)))
}

fn present(times: &Times, usable: bool, now: i64) -> String {
    if let Some(exp) = times.exp.filter(|exp| *exp <= now) {
        let lenient = exp.saturating_add(USUAL_LEEWAY_S) > now;
        return if lenient {
            "expired; only servers with leeway accept it".to_owned()
        } else {
            "expired".to_owned()
        };
    }
    if let Some(nbf) = times.nbf.filter(|nbf| *nbf > now) {
        return format!(
            "not yet valid, for {}",
            span(nbf.saturating_sub(now).unsigned_abs())
        );
    }
    match (times.exp, usable) {
        (Some(exp), true) => format!("valid, and ends {}", relative(exp.saturating_sub(now))),
        (None, true) => "valid".to_owned(),
        (_, false) => "within its times, but refused for another reason".to_owned(),
    }
}
