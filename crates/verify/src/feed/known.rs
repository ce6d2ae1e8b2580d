//! The set of what is revoked.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::Deserialize;

/// How many are forgotten before readers get a turn.
const BATCH: usize = 256;

/// One revocation, as the issuer tells it; instants in epoch seconds.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Revocation {
    sid: Option<String>,
    jti: Option<String>,
    kid: Option<String>,
    /// From then on nobody needs to know it any more.
    until: i64,
    /// Of a session: only tokens issued until then are meant.
    issued_until: Option<i64>,
}

/// What is revoked at present. Locks are held for a look-up or a few changes.
#[derive(Default)]
pub(super) struct Known(RwLock<Set>);

#[derive(Default)]
struct Set {
    sessions: HashMap<Arc<str>, Entry>,
    tokens: HashMap<Arc<str>, Entry>,
    keys: HashMap<Arc<str>, Entry>,
    /// What ends when, the first on top.
    ends: BinaryHeap<Reverse<(i64, Kind, Arc<str>)>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Session,
    Token,
    Key,
}

struct Entry {
    issued_until: i64,
    until: i64,
}

impl Known {
    /// Whether a token is revoked. One that does not say when it was issued counts as an old one.
    pub(super) fn is_revoked(
        &self,
        jti: Option<&str>,
        sid: Option<&str>,
        iat: Option<i64>,
    ) -> bool {
        let set = self.read();
        let meant = |entry: &Entry| iat.is_none_or(|iat| iat <= entry.issued_until);
        jti.and_then(|jti| set.tokens.get(jti)).is_some_and(meant)
            || sid.and_then(|sid| set.sessions.get(sid)).is_some_and(meant)
    }

    pub(super) fn is_key_revoked(&self, kid: &str) -> bool {
        self.read().keys.contains_key(kid)
    }

    pub(super) fn len(&self) -> usize {
        let set = self.read();
        set.sessions.len() + set.tokens.len() + set.keys.len()
    }

    /// Takes it in; returns whether it says what it is about.
    pub(super) fn take(&self, revocation: &Revocation) -> bool {
        let about = [
            (Kind::Session, &revocation.sid),
            (Kind::Token, &revocation.jti),
            (Kind::Key, &revocation.kid),
        ];
        let mut any = false;
        for (kind, id) in about {
            if let Some(id) = id {
                self.write().take(kind, id, revocation);
                any = true;
            }
        }
        any
    }

    /// Forgets what ended.
    pub(super) fn forget(&self, now_s: i64) {
        while self.write().forget_some(now_s) {}
    }

    fn read(&self) -> RwLockReadGuard<'_, Set> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Set> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    fn of(&mut self, kind: Kind) -> &mut HashMap<Arc<str>, Entry> {
        match kind {
            Kind::Session => &mut self.sessions,
            Kind::Token => &mut self.tokens,
            Kind::Key => &mut self.keys,
        }
    }

    /// The wider of two revocations of one thing holds.
    fn take(&mut self, kind: Kind, id: &str, revocation: &Revocation) {
        let issued_until = revocation.issued_until.unwrap_or(i64::MAX);
        let until = revocation.until;
        let id: Arc<str> = id.into();
        let entry = self.of(kind).entry(Arc::clone(&id)).or_insert(Entry {
            issued_until,
            until: i64::MIN,
        });
        entry.issued_until = entry.issued_until.max(issued_until);
        if until > entry.until {
            entry.until = until;
            self.ends.push(Reverse((until, kind, id)));
        }
    }

    /// Returns whether there may be more.
    fn forget_some(&mut self, now_s: i64) -> bool {
        for _ in 0..BATCH {
            let Some(Reverse((until, kind, id))) = self.ends.peek().cloned() else {
                return false;
            };
            if until > now_s {
                return false;
            }
            self.ends.pop();
            let entries = self.of(kind);
            // It may have been revoked for longer since.
            if entries.get(&id).is_some_and(|entry| entry.until <= now_s) {
                entries.remove(&id);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(told: &[&str]) -> Known {
        let known = Known::default();
        for told in told {
            assert!(known.take(&serde_json::from_str(told).expect("a revocation")));
        }
        known
    }

    #[test]
    fn sessions_and_tokens_are_told_apart_and_forgotten_after_their_time() {
        let known = known(&[
            r#"{"sid":"a","until":100}"#,
            r#"{"jti":"b","until":200}"#,
            r#"{"sid":"a","until":150}"#,
        ]);
        assert!(known.is_revoked(None, Some("a"), Some(9)));
        assert!(known.is_revoked(Some("b"), None, None));
        assert!(!known.is_revoked(Some("a"), Some("b"), Some(9)));
        known.forget(149);
        assert_eq!(known.len(), 2, "the later end holds");
        known.forget(150);
        assert!(!known.is_revoked(None, Some("a"), Some(9)));
        known.forget(200);
        assert_eq!(known.len(), 0);
        assert!(known.read().ends.is_empty());
    }

    #[test]
    fn only_tokens_issued_until_then_are_meant() {
        let known = known(&[r#"{"sid":"a","until":100,"issued_until":50}"#]);
        let at = |iat| known.is_revoked(None, Some("a"), iat);
        assert!(at(Some(50)) && at(None) && !at(Some(51)));
        let all = serde_json::from_str(r#"{"sid":"a","until":90}"#).expect("a revocation");
        assert!(known.take(&all));
        assert!(at(Some(51)));
    }

    #[test]
    fn a_key_is_refused_by_its_name() {
        let known = known(&[r#"{"kid":"a","until":100}"#]);
        assert!(known.is_key_revoked("a") && !known.is_key_revoked("b"));
        assert!(!known.is_revoked(Some("a"), Some("a"), None));
        known.forget(100);
        assert!(!known.is_key_revoked("a"));
    }

    #[test]
    fn many_are_forgotten_at_once() {
        let known = Known::default();
        for number in 0..1_000 {
            let told = format!(r#"{{"jti":"{number}","until":{number}}}"#);
            assert!(known.take(&serde_json::from_str(&told).expect("a revocation")));
        }
        known.forget(998);
        assert_eq!(known.len(), 1);
    }

    #[test]
    fn what_it_is_about_must_be_said() {
        let nobody = serde_json::from_str(r#"{"sub":"ada","until":9}"#).expect("an object");
        assert!(!Known::default().take(&nobody));
    }
}
