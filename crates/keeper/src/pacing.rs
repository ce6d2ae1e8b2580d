//! All sessions at one token endpoint share one pacing (I14): Retry-After, a breaker, one probe.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tenure_core::{Failure, Mono, jitter};
use tenure_store::Pace;
use url::Url;

/// After this many failures in a row, of any sessions, the endpoint is left alone for a while.
const OPEN_AFTER: u32 = 3;
/// First and longest time an open breaker waits before its probe, milliseconds.
const OPEN_MIN_MS: u64 = 1_000;
const OPEN_MAX_MS: u64 = 60_000;
/// A Retry-After beyond this is taken for a mistake, milliseconds (one hour, as MSAL caps it).
pub(crate) const RETRY_AFTER_MAX_MS: u64 = 3_600_000;
/// How soon to look again while somebody else's probe is under way, milliseconds.
const PROBE_WAIT_MS: u64 = 250;

/// Pacing of every token endpoint of this process.
#[derive(Debug, Default)]
pub(crate) struct Pacer(Mutex<HashMap<String, Endpoint>>);

#[derive(Debug, Default)]
struct Endpoint {
    failures: u32,
    not_before: Option<Mono>,
    probing: bool,
    /// What happened last.
    failure: Option<Failure>,
    /// The store holds a note of it, for the other processes.
    told: bool,
}

/// What the store is to be told of an endpoint; `None` within: it is well.
#[derive(Debug)]
pub(crate) struct News(pub(crate) Option<Pace>);

/// What a request's end says about its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answered like a token endpoint.
    Alive,
    /// It did not, or asked to be left alone for so many milliseconds.
    Troubled(Option<u64>, Failure),
}

impl Pacer {
    /// Whether the endpoint may be asked now; else when to look again.
    pub(crate) fn gate(&self, endpoint: &Url, now: Mono) -> Result<(), Mono> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(endpoint.as_str())
            .map_or(Ok(()), |state| state.gate(now))
    }

    /// As [`Pacer::gate`], and takes the probe's place when the breaker is open.
    pub(crate) fn begin(&self, endpoint: &Url, now: Mono) -> Result<(), Mono> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = map.entry(endpoint.as_str().to_owned()).or_default();
        state.gate(now)?;
        state.probing = state.failures >= OPEN_AFTER;
        Ok(())
    }

    /// Notes how a request that was begun has ended.
    pub(crate) fn end(&self, endpoint: &Url, now: Mono, health: Health) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = map.entry(endpoint.as_str().to_owned()).or_default();
        state.probing = false;
        match health {
            Health::Alive => {
                *state = Endpoint {
                    told: state.told,
                    ..Endpoint::default()
                };
            }
            Health::Troubled(retry_after_ms, failure) => {
                state.failure = Some(failure);
                state.failures = state.failures.saturating_add(1);
                let wait = retry_after_ms
                    .unwrap_or(0)
                    .max(state.open_ms(endpoint.as_str()));
                if wait > 0 {
                    state.not_before = state.not_before.max(Some(now + wait));
                }
            }
        }
    }
}

impl Pacer {
    /// What happened last at the endpoint, if it is in trouble.
    pub(crate) fn failure(&self, endpoint: &Url) -> Option<Failure> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(endpoint.as_str())?.failure.clone()
    }

    /// Takes up what the store says of the endpoint: other processes may have met trouble, or found it well.
    pub(crate) fn learn(&self, endpoint: &Url, now: Mono, pace: Option<Pace>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.is_none() && !map.contains_key(endpoint.as_str()) {
            return;
        }
        let state = map.entry(endpoint.as_str().to_owned()).or_default();
        match pace {
            Some(pace) => {
                state.told = true;
                state.failures = state.failures.max(pace.failures);
                state.failure = pace.failure.or(state.failure.take());
                if pace.wait_ms > 0 {
                    state.not_before = state.not_before.max(Some(now + pace.wait_ms));
                }
            }
            // Somebody else found it well since.
            None if state.told && !state.probing => *state = Endpoint::default(),
            None => {}
        }
    }

    /// What the store must be told after a request has ended; `None` when it knows already.
    pub(crate) fn to_tell(&self, endpoint: &Url, now: Mono) -> Option<News> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = map.get_mut(endpoint.as_str())?;
        if state.failures == 0 {
            return std::mem::replace(&mut state.told, false).then_some(News(None));
        }
        state.told = true;
        Some(News(Some(Pace {
            failures: state.failures,
            wait_ms: state.not_before.map_or(0, |until| until.since(now)),
            failure: state.failure.clone(),
        })))
    }
}

impl Endpoint {
    fn gate(&self, now: Mono) -> Result<(), Mono> {
        if let Some(until) = self.not_before
            && now < until
        {
            return Err(until);
        }
        if self.probing {
            Err(now + PROBE_WAIT_MS)
        } else {
            Ok(())
        }
    }

    fn open_ms(&self, name: &str) -> u64 {
        if self.failures < OPEN_AFTER {
            return 0;
        }
        let full = (OPEN_MIN_MS << (self.failures - OPEN_AFTER).min(10)).min(OPEN_MAX_MS);
        full - jitter::spread(name, u64::from(self.failures), full / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Url {
        Url::parse("https://id.example/token").expect("a URL")
    }

    fn failure() -> Failure {
        use tenure_core::{Class, Code, Heal, Who};
        let (code, class) = (Code::ServerError, Class::ServerError);
        Failure::new(code, class, "test", Heal::RetryLater, Who::Tenure, "")
    }

    #[test]
    fn retry_after_holds_for_every_session() {
        let (pacer, url) = (Pacer::default(), endpoint());
        pacer.begin(&url, Mono(0)).expect("open at first");
        pacer.end(&url, Mono(10), Health::Troubled(Some(5_000), failure()));
        assert_eq!(pacer.gate(&url, Mono(20)), Err(Mono(5_010)));
        assert_eq!(pacer.gate(&url, Mono(5_010)), Ok(()));
    }

    #[test]
    fn what_one_process_meets_the_other_keeps() {
        let (one, other, url) = (Pacer::default(), Pacer::default(), endpoint());
        one.begin(&url, Mono(0)).expect("open at first");
        one.end(&url, Mono(10), Health::Troubled(Some(5_000), failure()));
        let News(told) = one.to_tell(&url, Mono(10)).expect("news");
        assert_eq!(told.as_ref().map(|pace| pace.wait_ms), Some(5_000));
        other.learn(&url, Mono(10), told);
        assert_eq!(other.failure(&url), Some(failure()));
        assert_eq!(other.gate(&url, Mono(20)), Err(Mono(5_010)));
        // It is found well by one, and the other learns.
        one.begin(&url, Mono(5_010)).expect("after the pause");
        one.end(&url, Mono(5_020), Health::Alive);
        let News(told) = one.to_tell(&url, Mono(5_020)).expect("news");
        assert_eq!(told, None);
        assert!(one.to_tell(&url, Mono(5_020)).is_none(), "told once");
        other.learn(&url, Mono(30), told);
        assert_eq!(other.gate(&url, Mono(30)), Ok(()));
    }

    #[test]
    fn the_breaker_lets_one_probe_through() {
        let (pacer, url) = (Pacer::default(), endpoint());
        for _ in 0..OPEN_AFTER {
            pacer.begin(&url, Mono(0)).expect("closed breaker");
            pacer.end(&url, Mono(0), Health::Troubled(None, failure()));
        }
        assert!(pacer.begin(&url, Mono(0)).is_err(), "open now");
        let later = Mono(OPEN_MAX_MS);
        pacer.begin(&url, later).expect("the probe");
        assert!(pacer.begin(&url, later).is_err(), "one probe only");
        pacer.end(&url, later, Health::Alive);
        assert_eq!(pacer.begin(&url, later), Ok(()));
        assert_eq!(pacer.begin(&url, later), Ok(()), "closed again");
    }
}
