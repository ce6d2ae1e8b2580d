//! Access tokens refused before they expire, for verifiers in this process and for the feed to others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::changes::{Change, Kind};

/// The access tokens and sessions that were revoked and whose access tokens could still be alive.
///
/// Cheap to clone; all clones see the same set. A revocation is visible here before the call that caused it
/// returns; one that another process caused, once [`crate::Issuer::catch_up`] has read it.
#[derive(Clone)]
pub struct Revocations {
    set: Arc<RwLock<Set>>,
    /// The number of the last change read from the database.
    seq: watch::Sender<u64>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            set: Arc::default(),
            seq: watch::Sender::new(0),
        }
    }
}

#[derive(Default)]
struct Set {
    /// Each with the instant (milliseconds since the epoch) from which it need not be remembered.
    tokens: HashMap<String, i64>,
    sessions: HashMap<String, Session>,
    keys: HashMap<String, i64>,
    /// The same by number, for those who follow.
    log: BTreeMap<u64, Change>,
}

#[derive(Clone, Copy)]
struct Session {
    /// Tokens issued at or before this second are refused.
    before_s: i64,
    until_ms: i64,
}

impl Revocations {
    /// Whether a token with this `jti`, `sid` and `iat` is revoked. Of a session it is told which tokens are meant by
    /// when they were issued; one that does not say when counts as one of them.
    pub fn is_revoked(&self, jti: Option<&str>, sid: Option<&str>, iat: Option<i64>) -> bool {
        let set = self.read();
        jti.is_some_and(|jti| set.tokens.contains_key(jti))
            || sid
                .and_then(|sid| set.sessions.get(sid))
                .is_some_and(|session| iat.is_none_or(|iat| iat <= session.before_s))
    }

    /// Whether the signing key of this `kid` is revoked, and with it every token it signed.
    pub fn is_key_revoked(&self, kid: &str) -> bool {
        self.read().keys.contains_key(kid)
    }

    /// How many revocations are remembered.
    pub fn len(&self) -> usize {
        let set = self.read();
        set.tokens.len() + set.sessions.len() + set.keys.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the last change that was read from the database, and every new one.
    pub(crate) fn followed(&self) -> watch::Receiver<u64> {
        self.seq.subscribe()
    }

    pub(crate) fn seq(&self) -> u64 {
        *self.seq.borrow()
    }

    /// The revocations numbered above `seq`, oldest first.
    pub(crate) fn after(&self, seq: u64) -> Vec<(u64, Change)> {
        let from = seq.saturating_add(1);
        let set = self.read();
        set.log
            .range(from..)
            .map(|(seq, change)| (*seq, change.clone()))
            .collect()
    }

    /// Takes a revocation in, without a number where it was just made here.
    pub(crate) fn apply(&self, change: &Change) {
        self.write().apply(change);
    }

    /// Takes in what was read from the database.
    pub(crate) fn follow(&self, changes: &[(u64, Change)]) {
        let Some((last, _)) = changes.last() else {
            return;
        };
        {
            let mut set = self.write();
            for (seq, change) in changes {
                set.apply(change);
                if matches!(change.kind, Kind::Session | Kind::Token | Kind::Key) {
                    set.log.insert(*seq, change.clone());
                }
            }
        }
        self.seq.send_replace(*last);
    }

    pub(crate) fn forget_before(&self, now_ms: i64) {
        let mut set = self.write();
        set.tokens.retain(|_, until| *until > now_ms);
        set.sessions.retain(|_, session| session.until_ms > now_ms);
        set.keys.retain(|_, until| *until > now_ms);
        set.log.retain(|_, change| change.until_ms > now_ms);
    }

    fn read(&self) -> RwLockReadGuard<'_, Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Set> {
        self.set.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    fn apply(&mut self, change: &Change) {
        match change.kind {
            Kind::Token => remember(&mut self.tokens, change),
            Kind::Key => remember(&mut self.keys, change),
            Kind::Session => {
                let new = Session {
                    before_s: change.before_s,
                    until_ms: change.until_ms,
                };
                let session = self.sessions.entry(change.id.clone()).or_insert(new);
                session.before_s = session.before_s.max(new.before_s);
                session.until_ms = session.until_ms.max(new.until_ms);
            }
            Kind::Keys | Kind::Clients | Kind::Lifetimes => {}
        }
    }
}

fn remember(set: &mut HashMap<String, i64>, change: &Change) {
    let until = set.entry(change.id.clone()).or_default();
    *until = change.until_ms.max(*until);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_seen_by_every_clone_and_forgotten_after_its_time() {
        let revocations = Revocations::default();
        let verifier = revocations.clone();
        revocations.apply(&Change::session("s".to_owned(), 100));
        revocations.apply(&Change::token("t".to_owned(), 200));
        revocations.apply(&Change::key("k".to_owned(), 0));
        assert!(verifier.is_key_revoked("k") && !verifier.is_key_revoked("t"));
        assert!(verifier.is_revoked(None, Some("s"), Some(9)));
        assert!(verifier.is_revoked(Some("t"), None, None));
        assert!(!verifier.is_revoked(Some("s"), Some("t"), None));
        assert!(!verifier.is_revoked(None, None, None));
        revocations.forget_before(150);
        assert!(!verifier.is_revoked(None, Some("s"), None));
        assert!(verifier.is_revoked(Some("t"), None, None));
    }

    #[test]
    fn tokens_issued_after_a_session_was_let_in_again_are_fine() {
        let revocations = Revocations::default();
        let change = Change {
            before_s: 50,
            ..Change::session("s".to_owned(), 100_000)
        };
        revocations.follow(&[(7, change)]);
        assert!(revocations.is_revoked(None, Some("s"), Some(50)));
        assert!(revocations.is_revoked(None, Some("s"), None));
        assert!(!revocations.is_revoked(None, Some("s"), Some(51)));
        assert_eq!(
            (
                revocations.seq(),
                revocations.after(6).len(),
                revocations.after(7).len()
            ),
            (7, 1, 0)
        );
    }
}
