//! Access tokens refused before they expire, for verifiers in this process.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The access tokens and sessions that were revoked and whose access tokens could still be alive.
///
/// Cheap to clone; all clones see the same set. A revocation is visible here before the call that caused it
/// returns.
#[derive(Clone, Default)]
pub struct Revocations {
    set: Arc<RwLock<Set>>,
}

#[derive(Default)]
struct Set {
    /// Each with the instant (milliseconds since the epoch) from which it need not be remembered.
    tokens: HashMap<String, i64>,
    sessions: HashMap<String, i64>,
}

impl Revocations {
    /// Whether a token with this `jti` and `sid` is revoked.
    pub fn is_revoked(&self, jti: Option<&str>, sid: Option<&str>) -> bool {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        jti.is_some_and(|jti| set.tokens.contains_key(jti))
            || sid.is_some_and(|sid| set.sessions.contains_key(sid))
    }

    /// How many revocations are remembered.
    pub fn len(&self) -> usize {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        set.tokens.len() + set.sessions.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn revoke_token(&self, jti: &str, until_ms: i64) {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        set.tokens.insert(jti.to_owned(), until_ms);
    }

    pub(crate) fn revoke_session(&self, sid: &str, until_ms: i64) {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        set.sessions.insert(sid.to_owned(), until_ms);
    }

    pub(crate) fn forget_before(&self, now_ms: i64) {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        set.tokens.retain(|_, until| *until > now_ms);
        set.sessions.retain(|_, until| *until > now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_seen_by_every_clone_and_forgotten_after_its_time() {
        let revocations = Revocations::default();
        let verifier = revocations.clone();
        revocations.revoke_session("s", 100);
        revocations.revoke_token("t", 200);
        assert!(verifier.is_revoked(None, Some("s")) && verifier.is_revoked(Some("t"), None));
        assert!(!verifier.is_revoked(Some("s"), Some("t")) && !verifier.is_revoked(None, None));
        revocations.forget_before(150);
        assert!(!verifier.is_revoked(None, Some("s")) && verifier.is_revoked(Some("t"), None));
    }
}
