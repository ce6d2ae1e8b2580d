//! The sealed forms of pairs and logins.

use serde::{Deserialize, Serialize};
use tenure_core::{Anchor, Generation, Secret, TokenPair};
use zeroize::Zeroizing;

use crate::record::StoredLogin;
use crate::seal::{KeyId, Ring, SealError, place};

/// What is sealed, as the associated data names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    /// A pair in its row.
    Pair,
    /// A pair in the spare slot.
    Spare,
}

impl Field {
    fn as_str(self) -> &'static str {
        match self {
            Field::Pair => "pair",
            Field::Spare => "spare",
        }
    }
}

/// Seals and opens for one store.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) store_id: String,
    pub(crate) ring: Ring,
    /// Where the key came from, for people.
    pub(crate) source: String,
    /// Sources passed over, and why.
    pub(crate) skipped: Vec<String>,
}

/// A pair as it is written, without its generation.
#[derive(Serialize)]
pub(crate) struct PairOut<'a> {
    access: &'a str,
    refresh: Option<&'a str>,
    facts: Facts,
}

/// A pair as it is read.
#[derive(Deserialize)]
pub(crate) struct PairIn {
    access: String,
    refresh: Option<String>,
    facts: Facts,
}

/// What a pair has beside its secrets. Nested, for a flattened boot id (128 bits) would not read back.
#[derive(Serialize, Deserialize)]
struct Facts {
    scope: Option<String>,
    issued: Anchor,
    access_ms: Option<u64>,
    refresh_in_ms: Option<u64>,
    refresh_ms: Option<u64>,
    session_ms: Option<u64>,
}

/// A stored login as it is written.
#[derive(Serialize)]
pub(crate) struct LoginOut<'a> {
    username: &'a str,
    password: &'a str,
}

/// A stored login as it is read.
#[derive(Deserialize)]
pub(crate) struct LoginIn {
    username: String,
    password: String,
}

impl Vault {
    pub(crate) fn key_id(&self) -> KeyId {
        self.ring.current.id()
    }

    pub(crate) fn seal_pair(
        &self,
        field: Field,
        session: &str,
        generation: Generation,
        pair: &TokenPair,
    ) -> Result<Vec<u8>, SealError> {
        let size = pair.access.len() + pair.refresh.as_ref().map_or(0, Secret::len);
        let json = to_json(size, &PairOut::from(pair))?;
        self.seal(session, field.as_str(), generation.0, &json)
    }

    pub(crate) fn open_pair(
        &self,
        field: Field,
        session: &str,
        generation: Generation,
        sealed: &[u8],
    ) -> Result<TokenPair, SealError> {
        let aad = place(&self.store_id, session, field.as_str(), generation.0);
        let json = self.ring.open(&aad, sealed)?;
        let pair: PairIn = serde_json::from_slice(&json).map_err(|_| SealError::Format)?;
        Ok(pair.with(generation))
    }

    /// The stored login belongs to the session, not to a generation: 0.
    pub(crate) fn seal_login(
        &self,
        session: &str,
        login: &StoredLogin,
    ) -> Result<Vec<u8>, SealError> {
        let size = login.username.len() + login.password.len();
        let json = to_json(size, &LoginOut::from(login))?;
        self.seal(session, "login", 0, &json)
    }

    pub(crate) fn open_login(
        &self,
        session: &str,
        sealed: &[u8],
    ) -> Result<StoredLogin, SealError> {
        let aad = place(&self.store_id, session, "login", 0);
        let json = self.ring.open(&aad, sealed)?;
        let login: LoginIn = serde_json::from_slice(&json).map_err(|_| SealError::Format)?;
        Ok(login.into())
    }

    fn seal(
        &self,
        session: &str,
        field: &str,
        generation: u64,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let aad = place(&self.store_id, session, field, generation);
        self.ring.current.seal(&aad, plain)
    }
}

impl<'a> From<&'a TokenPair> for PairOut<'a> {
    fn from(pair: &'a TokenPair) -> Self {
        Self {
            access: pair.access.expose(),
            refresh: pair.refresh.as_ref().map(Secret::expose),
            facts: Facts {
                scope: pair.scope.clone(),
                issued: pair.issued,
                access_ms: pair.access_ms,
                refresh_in_ms: pair.refresh_in_ms,
                refresh_ms: pair.refresh_ms,
                session_ms: pair.session_ms,
            },
        }
    }
}

impl PairIn {
    pub(crate) fn with(self, generation: Generation) -> TokenPair {
        TokenPair {
            generation,
            access: Secret::new(self.access),
            refresh: self.refresh.map(Secret::new),
            scope: self.facts.scope,
            issued: self.facts.issued,
            access_ms: self.facts.access_ms,
            refresh_in_ms: self.facts.refresh_in_ms,
            refresh_ms: self.facts.refresh_ms,
            session_ms: self.facts.session_ms,
        }
    }
}

impl<'a> From<&'a StoredLogin> for LoginOut<'a> {
    fn from(login: &'a StoredLogin) -> Self {
        Self {
            username: &login.username,
            password: login.password.expose(),
        }
    }
}

impl From<LoginIn> for StoredLogin {
    fn from(login: LoginIn) -> Self {
        Self {
            username: login.username,
            password: Secret::new(login.password),
        }
    }
}

/// Large enough from the start, so that growing leaves no copies of secrets behind in freed memory.
fn to_json<T: Serialize>(secret_bytes: usize, value: &T) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut json = Zeroizing::new(Vec::with_capacity(secret_bytes * 6 + 4096));
    serde_json::to_writer(&mut *json, value).map_err(|_| SealError::Failed)?;
    Ok(json)
}
