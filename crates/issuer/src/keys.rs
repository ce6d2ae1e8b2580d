//! Signing keys: made at first start, sealed in the database, published before they sign.
//!
//! `next` is published and does not sign yet, `active` signs, `retiring` is published so that its last tokens
//! can be verified, `revoked` is neither published nor accepted. Refresh tokens do not depend on any of them:
//! losing every signing key costs no login. That is used where a key cannot be read: a new one takes its place.

use std::sync::Arc;

use serde_json::json;
use tenure_jose::{Alg, JwkSet, KeySet, SigningKey, b64url, random};

use crate::audit::{self, Act, Pen, Who};
use crate::changes::{Change, Kind};
use crate::db::{Db, Row, SqlResult, Tx, values};
use crate::error::IssuerError;
use crate::options::Options;
use crate::tend::ITSELF;
use crate::wordpress::{self, Shared};

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
    /// What it signs with.
    pub alg: Alg,
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
    /// What access tokens of a WordPress dialect are signed with. It is in no key set.
    pub(crate) wordpress: Option<Shared>,
}

/// A key as it lies in the database.
struct Stored {
    kid: String,
    alg: String,
    sealed: Vec<u8>,
    state: String,
    created_ms: i64,
    changed_ms: i64,
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

fn row(row: &Row) -> SqlResult<Stored> {
    Ok(Stored {
        kid: row.get(0)?,
        alg: row.get(1)?,
        sealed: row.get(2)?,
        state: row.get(3)?,
        created_ms: row.get(4)?,
        changed_ms: row.get(5)?,
    })
}

/// Reads every key. Makes the first one of a new database, and another one where the key that signs is gone or cannot
/// be read; call it with a master key that could be opened, so that a wrong seal is told from a damaged key.
pub(crate) async fn load(
    db: &Db,
    options: &Options,
    audit: &Arc<audit::Key>,
) -> Result<Keyring, IssuerError> {
    let mut keys = read(db, options).await?;
    if !keys.damaged.is_empty() || !keys.sign() {
        let pen = Pen::new(audit, Who::here(ITSELF), (options.clock)());
        replace(db, options, &keys.damaged, pen).await?;
        keys = read(db, options).await?;
    }
    keyring(keys.good, wordpress::load(db, options).await?)
}

/// What was found.
struct Keys {
    good: Vec<(SigningKey, KeyInfo)>,
    /// The names of those that cannot be read and are not revoked yet.
    damaged: Vec<String>,
}

impl Keys {
    fn sign(&self) -> bool {
        self.good
            .iter()
            .any(|(_, info)| info.state == KeyState::Active)
    }
}

async fn read(db: &Db, options: &Options) -> Result<Keys, IssuerError> {
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
    let mut keys = Keys {
        good: Vec::new(),
        damaged: Vec::new(),
    };
    for stored in rows {
        match parse(&stored, options) {
            Ok(key) => keys.good.push(key),
            Err(_) if stored.state == KeyState::Revoked.as_str() => {}
            Err(error) => {
                tracing::warn!(kid = stored.kid, %error, "a signing key cannot be read; sessions go on with another one");
                keys.damaged.push(stored.kid);
            }
        }
    }
    Ok(keys)
}

fn parse(stored: &Stored, options: &Options) -> Result<(SigningKey, KeyInfo), IssuerError> {
    let kid = &stored.kid;
    let state = KeyState::parse(&stored.state)
        .ok_or_else(|| key_error(kid, &format!("unknown state `{}`", stored.state)))?;
    let alg = Alg::parse(&stored.alg)
        .ok_or_else(|| key_error(kid, &format!("unknown algorithm `{}`", stored.alg)))?;
    let der =
        options
            .seal
            .open(&aad(kid), &stored.sealed)
            .map_err(|_| IssuerError::Unsealable {
                what: format!("the signing key {kid}"),
            })?;
    let key = SigningKey::from_pkcs8(alg, kid, &der).map_err(|error| key_error(kid, &error))?;
    let info = KeyInfo {
        kid: kid.clone(),
        alg,
        state,
        created_ms: stored.created_ms,
        changed_ms: stored.changed_ms,
    };
    Ok((key, info))
}

/// Takes keys that cannot be read out of use, and has a key sign if none does. Issuers that share the database may
/// all want to at once; the first does.
async fn replace(
    db: &Db,
    options: &Options,
    damaged: &[String],
    pen: Pen,
) -> Result<(), IssuerError> {
    let fresh = Fresh::make(options)?;
    let (now, damaged) = (pen.now_ms, damaged.to_vec());
    db.write(move |tx| {
        // Decided one after another, and by what is there then.
        is_there(tx, KeyState::Active)?;
        let mut changes = Vec::new();
        for kid in &damaged {
            if take_out(tx, kid, now)? {
                changes.push(Change::key(kid.clone(), now));
            }
        }
        for change in &changes {
            note(tx, &pen, "key.replaced", &change.id)?;
        }
        if let Some(kid) = have_one_sign(tx, &fresh, now)? {
            note(tx, &pen, "key.signs", &kid)?;
            changes.push(Change::reload(Kind::Keys, now));
        }
        changes.iter().try_for_each(|change| change.append(tx))
    })
    .await?;
    Ok(())
}

/// Revokes a key; returns whether it was not.
fn take_out(tx: &mut dyn Tx, kid: &str, now: i64) -> SqlResult<bool> {
    let changed = tx.execute(
        "UPDATE signing_keys SET state = 'revoked', changed_ms = ?1 WHERE kid = ?2 AND state <> 'revoked'",
        values![now, kid],
    )?;
    Ok(changed > 0)
}

/// Where no key signs, the next one does, or a new one; returns which, if that was so.
fn have_one_sign(tx: &mut dyn Tx, fresh: &Fresh, now: i64) -> SqlResult<Option<String>> {
    if is_there(tx, KeyState::Active)? {
        return Ok(None);
    }
    let promoted = tx.row(
        "UPDATE signing_keys SET state = 'active', changed_ms = ?1 WHERE state = 'next' RETURNING kid",
        values![now],
    )?;
    if let Some(row) = promoted {
        return row.get(0).map(Some);
    }
    fresh.insert(tx, KeyState::Active, now)?;
    Ok(Some(fresh.kid.clone()))
}

fn note(tx: &mut dyn Tx, pen: &Pen, action: &'static str, kid: &str) -> SqlResult<()> {
    let act = Act {
        detail: json!({ "kid": kid }),
        ..Act::new(action)
    };
    pen.note(tx, &act)
}

fn keyring(
    parsed: Vec<(SigningKey, KeyInfo)>,
    wordpress: Option<Shared>,
) -> Result<Keyring, IssuerError> {
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
                &"the database has no active signing key; run the command again, which makes one",
            )
        })?
        .0;
    Ok(Keyring {
        active: Arc::new(active),
        verify: KeySet::from_jwks(&jwks),
        jwks,
        infos,
        wordpress,
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
        let alg = options.signing_alg;
        let key = SigningKey::generate(alg, &kid).map_err(|error| key_error(&kid, &error))?;
        let sealed = options
            .seal
            .seal(&aad(&kid), &key.to_pkcs8())
            .map_err(|error| key_error(&kid, &error))?;
        Ok(Self {
            kid,
            alg: alg.as_str(),
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
pub(crate) async fn add_next(db: &Db, options: &Options, pen: Pen) -> Result<(), IssuerError> {
    let fresh = Fresh::make(options)?;
    let now = pen.now_ms;
    db.write(move |tx| {
        if is_there(tx, KeyState::Next)? {
            return Ok(());
        }
        fresh.insert(tx, KeyState::Next, now)?;
        note(tx, &pen, "key.published", &fresh.kid)?;
        Change::reload(Kind::Keys, now).append(tx)
    })
    .await?;
    Ok(())
}

/// Lets the next key sign, once every cached key set must contain it.
pub(crate) async fn promote(
    db: &Db,
    options: &Options,
    ring: &Keyring,
    pen: Pen,
) -> Result<(), IssuerError> {
    let now = pen.now_ms;
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
        note(tx, &pen, "key.signs", &kid)?;
        Change::reload(Kind::Keys, now).append(tx)
    })
    .await?;
    Ok(())
}

/// Refuses a key from now on, and tells verifiers so. If it was the one that signs, the next one (or a new one) takes
/// over at once.
pub(crate) async fn revoke(
    db: &Db,
    options: &Options,
    kid: &str,
    pen: Pen,
) -> Result<(), IssuerError> {
    let fresh = Fresh::make(options)?;
    let (now, name) = (pen.now_ms, kid.to_owned());
    let found = db
        .write(move |tx| {
            // Issuers that share the database decide one after another.
            is_there(tx, KeyState::Active)?;
            if !tx.any("SELECT 1 FROM signing_keys WHERE kid = ?1", values![&name])? {
                return Ok(false);
            }
            let revoked = take_out(tx, &name, now)?;
            let signs = have_one_sign(tx, &fresh, now)?;
            if revoked {
                note(tx, &pen, "key.revoked", &name)?;
                if let Some(kid) = signs {
                    note(tx, &pen, "key.signs", &kid)?;
                }
                Change::key(name.clone(), now).append(tx)?;
                Change::reload(Kind::Keys, now).append(tx)?;
            }
            Ok(true)
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
pub(crate) async fn drop_retired(
    db: &Db,
    options: &Options,
    longest_access_s: u64,
) -> Result<usize, IssuerError> {
    let rest_ms = (longest_access_s + options.jwks_max_age_s).saturating_mul(1000);
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
