//! Signing keys: made at first start, sealed in the database, published before they sign.
//!
//! `next` is published and does not sign yet, `active` signs, `retiring` is published so that its last tokens
//! can be verified, `revoked` is neither published nor accepted. Refresh tokens do not depend on any of them:
//! losing every signing key costs no login.

use std::sync::Arc;

use tenure_jose::{Alg, JwkSet, KeySet, SigningKey, b64url, random};

use crate::changes::{Change, Kind};
use crate::db::{Db, Row, SqlResult, Tx, values};
use crate::error::IssuerError;
use crate::options::Options;

/// What a signing key is used for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Published, signs no more.
    Retiring,
    /// Known and refused.
    Revoked,
}

impl KeyState {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Next => "next",
            KeyState::Active => "active",
            KeyState::Retiring => "retiring",
            KeyState::Revoked => "revoked",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Next, Self::Active, Self::Retiring, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A signing key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its `kid`.
    pub kid: String,
    /// Its state.
    pub state: KeyState,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
    /// When it came into this state.
    pub changed_ms: i64,
}

/// All keys, parsed once.
pub(crate) struct Keyring {
    pub(crate) active: Arc<SigningKey>,
    pub(crate) verify: KeySet,
    pub(crate) jwks: JwkSet,
    pub(crate) infos: Vec<KeyInfo>,
}

struct Stored {
    info: KeyInfo,
    alg: String,
    sealed: Vec<u8>,
}

fn aad(kid: &str) -> Vec<u8> {
    format!("tenure issuer signing key {kid}").into_bytes()
}

fn key_error(kid: &str, why: &impl ToString) -> IssuerError {
    IssuerError::Key {
        kid: kid.to_owned(),
        why: why.to_string(),
    }
}

type Stored6 = (String, String, Vec<u8>, String, i64, i64);

fn row(row: &Row) -> SqlResult<Stored6> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ))
}

/// Reads every key; makes the first one for a new database.
pub(crate) async fn open(db: &Db, options: &Options) -> Result<Keyring, IssuerError> {
    let fresh = Fresh::make(options)?;
    let now = (options.clock)();
    db.write(move |tx| {
        if is_there(tx, KeyState::Active)? {
            Ok(())
        } else {
            fresh.insert(tx, KeyState::Active, now)
        }
    })
    .await?;
    load(db, options).await
}

pub(crate) async fn load(db: &Db, options: &Options) -> Result<Keyring, IssuerError> {
    let rows = db
        .read(|tx| {
            tx.query(
                "SELECT kid, alg, sealed, state, created_ms, changed_ms FROM signing_keys ORDER BY created_ms, kid",
                &[],
            )?
            .iter()
            .map(row)
            .collect::<SqlResult<Vec<_>>>()
        })
        .await?;
    let mut parsed = Vec::new();
    for (kid, alg, sealed, state, created_ms, changed_ms) in rows {
        let state = KeyState::parse(&state)
            .ok_or_else(|| key_error(&kid, &format!("unknown state `{state}`")))?;
        let stored = Stored {
            info: KeyInfo {
                kid,
                state,
                created_ms,
                changed_ms,
            },
            alg,
            sealed,
        };
        parsed.push((unseal(&stored, options)?, stored.info));
    }
    keyring(parsed)
}

fn unseal(stored: &Stored, options: &Options) -> Result<SigningKey, IssuerError> {
    let kid = &stored.info.kid;
    let alg = Alg::parse(&stored.alg)
        .ok_or_else(|| key_error(kid, &format!("unknown algorithm `{}`", stored.alg)))?;
    let der =
        options
            .seal
            .open(&aad(kid), &stored.sealed)
            .map_err(|_| IssuerError::Unsealable {
                what: format!("the signing key {kid}"),
            })?;
    SigningKey::from_pkcs8(alg, kid, &der).map_err(|error| key_error(kid, &error))
}

fn keyring(parsed: Vec<(SigningKey, KeyInfo)>) -> Result<Keyring, IssuerError> {
    let published = |info: &KeyInfo| info.state != KeyState::Revoked;
    let jwks = JwkSet {
        keys: parsed
            .iter()
            .filter(|(_, info)| published(info))
            .filter_map(|(key, _)| key.public_jwk())
            .collect(),
    };
    let infos = parsed.iter().map(|(_, info)| info.clone()).collect();
    let active = parsed
        .into_iter()
        .find(|(_, info)| info.state == KeyState::Active)
        .ok_or_else(|| {
            key_error(
                "(none)",
                &"the database has no active signing key; run `tenure issuer keys rotate`",
            )
        })?
        .0;
    Ok(Keyring {
        active: Arc::new(active),
        verify: KeySet::from_jwks(&jwks),
        jwks,
        infos,
    })
}

/// Whether there is a key in this state. Issuers that share a database decide one after another.
fn is_there(tx: &mut dyn Tx, state: KeyState) -> SqlResult<bool> {
    tx.row(
        "SELECT name FROM secrets WHERE name = 'master' FOR UPDATE",
        &[],
    )?;
    tx.any(
        "SELECT 1 FROM signing_keys WHERE state = ?1",
        values![state.as_str()],
    )
}

/// A key just made, ready to be stored.
struct Fresh {
    kid: String,
    alg: &'static str,
    sealed: Vec<u8>,
}

impl Fresh {
    fn make(options: &Options) -> Result<Self, IssuerError> {
        let kid = b64url(random::<9>());
        let key =
            SigningKey::generate(Alg::Es256, &kid).map_err(|error| key_error(&kid, &error))?;
        let sealed = options
            .seal
            .seal(&aad(&kid), &key.to_pkcs8())
            .map_err(|error| key_error(&kid, &error))?;
        Ok(Self {
            kid,
            alg: Alg::Es256.as_str(),
            sealed,
        })
    }

    fn insert(&self, tx: &mut dyn Tx, state: KeyState, now: i64) -> SqlResult<()> {
        tx.execute(
            "INSERT INTO signing_keys (kid, alg, sealed, state, created_ms, changed_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            values![&self.kid, self.alg, &self.sealed, state.as_str(), now],
        )?;
        Ok(())
    }
}

/// Publishes a next key, unless there is one already.
pub(crate) async fn add_next(db: &Db, options: &Options) -> Result<(), IssuerError> {
    let fresh = Fresh::make(options)?;
    let now = (options.clock)();
    db.write(move |tx| {
        if is_there(tx, KeyState::Next)? {
            return Ok(());
        }
        fresh.insert(tx, KeyState::Next, now)?;
        Change::reload(Kind::Keys, now).append(tx)
    })
    .await?;
    Ok(())
}

/// Lets the next key sign, once every cached key set must contain it.
pub(crate) async fn promote(db: &Db, options: &Options, ring: &Keyring) -> Result<(), IssuerError> {
    let now = (options.clock)();
    let next = ring
        .infos
        .iter()
        .find(|info| info.state == KeyState::Next)
        .ok_or_else(|| IssuerError::NotFound {
            kind: "key",
            name: "next".into(),
        })?;
    let ready = next
        .changed_ms
        .saturating_add_unsigned(options.jwks_max_age_s.saturating_mul(1000));
    if let Ok(wait_ms @ 1..) = u64::try_from(ready - now) {
        return Err(IssuerError::TooEarly {
            wait_s: wait_ms.div_ceil(1000),
        });
    }
    let kid = next.kid.clone();
    db.write(move |tx| {
        tx.execute(
            "UPDATE signing_keys SET state = 'retiring', changed_ms = ?1 WHERE state = 'active'",
            values![now],
        )?;
        tx.execute(
            "UPDATE signing_keys SET state = 'active', changed_ms = ?1 WHERE kid = ?2",
            values![now, &kid],
        )?;
        Change::reload(Kind::Keys, now).append(tx)
    })
    .await?;
    Ok(())
}

/// Refuses a key from now on. If it was the one that signs, the next one (or a new one) takes over at once.
pub(crate) async fn revoke(db: &Db, options: &Options, kid: &str) -> Result<(), IssuerError> {
    let fresh = Fresh::make(options)?;
    let (now, name) = ((options.clock)(), kid.to_owned());
    let found = db
        .write(move |tx| {
            let changed =
                tx.execute("UPDATE signing_keys SET state = 'revoked', changed_ms = ?1 WHERE kid = ?2", values![now, &name])?;
            let active = is_there(tx, KeyState::Active)?;
            let promoted = !active
                && tx.execute("UPDATE signing_keys SET state = 'active', changed_ms = ?1 WHERE state = 'next'", values![now])? > 0;
            if !active && !promoted {
                fresh.insert(tx, KeyState::Active, now)?;
            }
            Change::reload(Kind::Keys, now).append(tx)?;
            Ok(changed > 0)
        })
        .await?;
    if found {
        Ok(())
    } else {
        Err(IssuerError::NotFound {
            kind: "key",
            name: kid.to_owned(),
        })
    }
}

/// Takes retiring keys out once no token they signed can be alive and no verifier can need them.
pub(crate) async fn drop_retired(db: &Db, options: &Options) -> Result<usize, IssuerError> {
    let rest_ms = (options.access_ttl_s + options.jwks_max_age_s).saturating_mul(1000);
    let now = (options.clock)();
    let before = now.saturating_sub_unsigned(rest_ms);
    let dropped = db
        .write(move |tx| {
            let dropped = tx.execute(
                "DELETE FROM signing_keys WHERE state = 'retiring' AND changed_ms < ?1",
                values![before],
            )?;
            if dropped > 0 {
                Change::reload(Kind::Keys, now).append(tx)?;
            }
            Ok(dropped)
        })
        .await?;
    Ok(dropped)
}
