//! Administrators: who may use the admin API. They are no users: nothing that a user's tokens can do reaches here.
//!
//! A new administrator has a one-time secret, which is good for one login that chooses the administrator's own. A login
//! brings a token for an hour; tokens for programs live longer and have a label. Of secrets and tokens only hashes are
//! stored.

use tenure_core::Secret;
use tenure_jose::{b64url, random, sha256};
use tenure_store::StoreError;

use crate::admin::Admin;
use crate::audit::{Act, Pen, Who};
use crate::db::{SqlResult, Tx, values};
use crate::error::IssuerError;
use crate::issuer::{Issuer, PROGRAM};
use crate::password;
use crate::peer::Peer;
use crate::throttle::{PER_ADDRESS, PER_USER};

/// The first one's name.
const FIRST: &str = "admin";
/// How long a one-time secret is good for, in milliseconds: a week.
const ONE_TIME_MS: i64 = 7 * 24 * 3_600_000;
/// How long a login is good for, in seconds: an hour.
pub(crate) const LOGIN_S: u64 = 3_600;
/// The longest life of a program's token, in seconds: a year.
const LONGEST_TOKEN_S: u64 = 366 * 24 * 3_600;
/// A secret of one's own has at least so many characters, and at most so many bytes.
const SHORTEST_SECRET: usize = 12;
const LONGEST_SECRET: usize = 1_024;
const LONGEST_NAME: usize = 200;
/// What a token begins with, so that one that got out is recognised.
const PREFIX: &str = "tenure_admin_";

/// An administrator, as others see one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdministratorInfo {
    /// The name.
    pub name: String,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
    /// Until when the one-time secret is good, where none was chosen yet.
    pub one_time_ms: Option<i64>,
    /// The labels of the tokens that programs have.
    pub tokens: Vec<String>,
}

/// Why a login is refused.
pub(crate) enum NoLogin {
    /// Name or secret is wrong, or a one-time secret is too old. Which, is not told.
    Rejected,
    /// The secret is a one-time secret: one's own must be chosen with it.
    ChooseSecret,
    /// What was chosen is no secret.
    Weak(String),
    /// Too many attempts.
    Throttled(u64),
    /// The issuer's own trouble.
    Failed(IssuerError),
}

impl<E: Into<IssuerError>> From<E> for NoLogin {
    fn from(error: E) -> Self {
        NoLogin::Failed(error.into())
    }
}

/// What is stored of an administrator who logs in.
struct Stored {
    name: String,
    password: String,
    one_time_ms: Option<i64>,
}

fn note(tx: &mut dyn Tx, pen: &Pen, action: &'static str, name: &str) -> SqlResult<()> {
    let act = Act {
        detail: serde_json::json!({ "administrator": name }),
        ..Act::new(action)
    };
    pen.note(tx, &act)
}

fn check_name(name: &str) -> Result<(), IssuerError> {
    let printable = name.chars().all(|c| !c.is_control());
    if (1..=LONGEST_NAME).contains(&name.len()) && printable {
        return Ok(());
    }
    Err(IssuerError::Setting {
        name: "administrator",
        why: format!("the name must have 1 to {LONGEST_NAME} printable bytes"),
    })
}

/// Why a secret cannot be one's own.
fn weakness(chosen: &Secret, before: &Secret) -> Option<String> {
    if chosen.expose().chars().count() < SHORTEST_SECRET {
        return Some(format!(
            "the new secret must have at least {SHORTEST_SECRET} characters"
        ));
    }
    if chosen.len() > LONGEST_SECRET {
        return Some(format!(
            "the new secret must have at most {LONGEST_SECRET} bytes"
        ));
    }
    (chosen == before)
        .then(|| "the new secret must be another one than the one-time secret".to_owned())
}

fn hash(token: &Secret) -> [u8; 32] {
    sha256(token.expose().as_bytes())
}

fn token(
    tx: &mut dyn Tx,
    made: &Secret,
    of: &str,
    label: Option<&str>,
    pen: &Pen,
    life_s: u64,
) -> SqlResult<()> {
    let ends_ms = pen
        .now_ms
        .saturating_add_unsigned(life_s.saturating_mul(1000));
    tx.execute(
        "INSERT INTO admin_tokens (hash, administrator, label, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        values![&hash(made), of, label, pen.now_ms, ends_ms],
    )?;
    Ok(())
}

fn fresh_token() -> Secret {
    Secret::new(format!("{PREFIX}{}", b64url(random::<32>())))
}

impl Issuer {
    /// Makes the first administrator where there is none: the name and the one-time secret, which is told here once.
    ///
    /// # Errors
    /// When the secret cannot be hashed or the database fails.
    pub async fn first_administrator(&self) -> Result<Option<(&'static str, Secret)>, IssuerError> {
        if !self.administrators().await?.is_empty() {
            return Ok(None);
        }
        let made = self.admin(PROGRAM).make_administrator(FIRST, true).await?;
        Ok(made.map(|secret| (FIRST, secret)))
    }

    /// All administrators, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn administrators(&self) -> Result<Vec<AdministratorInfo>, IssuerError> {
        let now = self.now();
        let (rows, tokens) = self
            .db
            .read(move |tx| {
                let rows = tx
                    .query("SELECT name, created_ms, one_time_ms FROM administrators ORDER BY lower(name)", &[])?
                    .iter()
                    .map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .collect::<SqlResult<Vec<(String, i64, Option<i64>)>>>()?;
                let tokens = tx
                    .query(
                        "SELECT administrator, label FROM admin_tokens WHERE label IS NOT NULL AND expires_ms > ?1 ORDER BY label",
                        values![now],
                    )?
                    .iter()
                    .map(|row| Ok((row.get(0)?, row.get(1)?)))
                    .collect::<SqlResult<Vec<(String, String)>>>()?;
                Ok((rows, tokens))
            })
            .await?;
        let of = |name: &str| {
            let own = tokens.iter().filter(|(of, _)| of == name);
            own.map(|(_, label)| label.clone()).collect()
        };
        Ok(rows
            .into_iter()
            .map(|(name, created_ms, one_time_ms)| AdministratorInfo {
                tokens: of(&name),
                name,
                created_ms,
                one_time_ms,
            })
            .collect())
    }

    /// Logs an administrator in; with a one-time secret only if one's own is chosen with it.
    pub(crate) async fn admin_login(
        &self,
        name: &str,
        secret: &Secret,
        chosen: Option<Secret>,
        peer: &Peer,
    ) -> Result<Secret, NoLogin> {
        if name.len() > LONGEST_NAME || secret.len() > LONGEST_SECRET {
            return Err(NoLogin::Rejected);
        }
        let (per_name, per_address) = self.begin_attempt(name, peer)?;
        let stored = self.stored_administrator(name).await?;
        let hash = stored.as_ref().map(|stored| stored.password.as_str());
        let right = self.passwords.verify(secret, hash).await;
        let right = right.map_err(|password::Busy| NoLogin::Throttled(2))?;
        let in_time = |stored: &Stored| stored.one_time_ms.is_none_or(|until| until > self.now());
        let Some(stored) = stored.filter(|stored| right && in_time(stored)) else {
            self.note_refused(name, peer).await?;
            return Err(NoLogin::Rejected);
        };
        self.throttle.succeeded(&per_name);
        if let Some(key) = per_address {
            self.throttle.refund(&key);
        }
        if stored.one_time_ms.is_some() && chosen.is_none() {
            return Err(NoLogin::ChooseSecret);
        }
        self.let_in(stored, secret, chosen, peer).await
    }

    /// Counts the attempt before it is judged; the keys it counts under.
    fn begin_attempt(&self, name: &str, peer: &Peer) -> Result<(String, Option<String>), NoLogin> {
        let now = self.now();
        let per_name = format!("administrator {}", name.to_lowercase());
        let per_address = peer.text().map(|address| format!("admin login {address}"));
        if let Some(key) = &per_address {
            let begun = self.throttle.begin(key, PER_ADDRESS, now);
            begun.map_err(NoLogin::Throttled)?;
        }
        let begun = self.throttle.begin(&per_name, PER_USER, now);
        begun.map_err(NoLogin::Throttled)?;
        Ok((per_name, per_address))
    }

    async fn let_in(
        &self,
        stored: Stored,
        secret: &Secret,
        chosen: Option<Secret>,
        peer: &Peer,
    ) -> Result<Secret, NoLogin> {
        let new = match chosen {
            Some(chosen) => {
                if let Some(weak) = weakness(&chosen, secret) {
                    return Err(NoLogin::Weak(weak));
                }
                Some(self.passwords.hash(&chosen).await?)
            }
            None => None,
        };
        let made = fresh_token();
        let (stored_token, pen) = (made.clone(), self.pen(administrator(&stored.name, peer)));
        let inside = self
            .db
            .write(move |tx| {
                // Of two that come with one one-time secret, one is let in.
                let same = tx.execute(
                    "UPDATE administrators SET password = ?3, one_time_ms = NULL WHERE name = ?1 AND password = ?2",
                    values![&stored.name, &stored.password, new.as_ref().unwrap_or(&stored.password)],
                )?;
                if same == 0 {
                    return Ok(false);
                }
                if new.is_some() {
                    tx.execute(
                        "DELETE FROM admin_tokens WHERE administrator = ?1",
                        values![&stored.name],
                    )?;
                    note(tx, &pen, "administrator.secret", &stored.name)?;
                }
                token(tx, &stored_token, &stored.name, None, &pen, LOGIN_S)?;
                note(tx, &pen, "administrator.login", &stored.name)?;
                Ok(true)
            })
            .await?;
        if inside {
            Ok(made)
        } else {
            Err(NoLogin::Rejected)
        }
    }

    /// Written at once: an attempt for a name that does not exist costs the same, and attempts are throttled.
    async fn note_refused(&self, name: &str, peer: &Peer) -> Result<(), NoLogin> {
        let pen = self.pen(peer.who("somebody"));
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        let noted = self
            .db
            .write(move |tx| note(tx, &pen, "administrator.refused", &name));
        Ok(noted.await?)
    }

    async fn stored_administrator(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                tx.row(
                    "SELECT name, password, one_time_ms FROM administrators WHERE lower(name) = lower(?1)",
                    values![&name],
                )?
                .map(|row| {
                    Ok(Stored {
                        name: row.get(0)?,
                        password: row.get(1)?,
                        one_time_ms: row.get(2)?,
                    })
                })
                .transpose()
            })
            .await
    }

    /// Whose token this is.
    pub(crate) async fn administrator_of(
        &self,
        token: &Secret,
    ) -> Result<Option<String>, StoreError> {
        let (hash, now) = (hash(token), self.now());
        self.db
            .read(move |tx| {
                tx.row(
                    "SELECT administrator FROM admin_tokens WHERE hash = ?1 AND expires_ms > ?2",
                    values![&hash, now],
                )?
                .map(|row| row.get(0))
                .transpose()
            })
            .await
    }
}

/// An administrator, in the audit log.
pub(crate) fn administrator(name: &str, peer: &Peer) -> Who {
    peer.who(format!("administrator {name}"))
}

impl Admin<'_> {
    /// Makes an administrator; the one-time secret is told here once.
    ///
    /// # Errors
    /// When there is one of that name, the name cannot be one, or the database fails.
    pub async fn add_administrator(&self, name: &str) -> Result<Secret, IssuerError> {
        check_name(name)?;
        self.make_administrator(name, false)
            .await?
            .ok_or_else(|| IssuerError::Setting {
                name: "administrator",
                why: format!(
                    "there is `{name}` already; make another secret for it, or choose another name"
                ),
            })
    }

    /// With `first`, only where there is none at all.
    async fn make_administrator(
        &self,
        name: &str,
        first: bool,
    ) -> Result<Option<Secret>, IssuerError> {
        let secret = password::generate();
        let hash = self.issuer().passwords.hash(&secret).await?;
        let (name, pen) = (name.to_owned(), self.pen());
        let made = self
            .issuer()
            .db
            .write(move |tx| {
                if first && tx.row("SELECT 1 FROM administrators LIMIT 1", &[])?.is_some() {
                    return Ok(false);
                }
                let made = tx.execute(
                    "INSERT INTO administrators (name, password, one_time_ms, created_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                    values![&name, &hash, pen.now_ms.saturating_add(ONE_TIME_MS), pen.now_ms],
                )?;
                if made == 1 {
                    note(tx, &pen, "administrator.added", &name)?;
                }
                Ok(made == 1)
            })
            .await?;
        Ok(made.then_some(secret))
    }

    /// Gives an administrator a one-time secret in place of what there is; logins and tokens end.
    ///
    /// # Errors
    /// When there is no such administrator or the database fails.
    pub async fn reset_administrator(&self, name: &str) -> Result<Secret, IssuerError> {
        let secret = password::generate();
        let hash = self.issuer().passwords.hash(&secret).await?;
        let (row, pen) = (name.to_owned(), self.pen());
        let found = self
            .issuer()
            .db
            .write(move |tx| {
                let found = tx.execute(
                    "UPDATE administrators SET password = ?2, one_time_ms = ?3 WHERE lower(name) = lower(?1)",
                    values![&row, &hash, pen.now_ms.saturating_add(ONE_TIME_MS)],
                )?;
                forget_tokens(tx, &row)?;
                if found == 1 {
                    note(tx, &pen, "administrator.reset", &row)?;
                }
                Ok(found)
            })
            .await?;
        if found == 0 {
            return Err(nobody(name));
        }
        Ok(secret)
    }

    /// Removes an administrator; the last one stays.
    ///
    /// # Errors
    /// When there is no such administrator, it is the last one, or the database fails.
    pub async fn remove_administrator(&self, name: &str) -> Result<(), IssuerError> {
        let (row, pen) = (name.to_owned(), self.pen());
        let (removed, left) = self
            .issuer()
            .db
            .write(move |tx| {
                // Two that remove one another at once must not both succeed.
                tx.in_turn()?;
                let others = tx.row(
                    "SELECT count(*) FROM administrators WHERE lower(name) <> lower(?1)",
                    values![&row],
                )?;
                let others: i64 = others.map_or(Ok(0), |row| row.get(0))?;
                if others == 0 {
                    return Ok((0, 0));
                }
                let removed = tx.execute(
                    "DELETE FROM administrators WHERE lower(name) = lower(?1)",
                    values![&row],
                )?;
                forget_tokens(tx, &row)?;
                if removed == 1 {
                    note(tx, &pen, "administrator.removed", &row)?;
                }
                Ok((removed, others))
            })
            .await?;
        match (removed, left) {
            (_, 0) if self.issuer().stored_administrator(name).await?.is_some() => {
                Err(IssuerError::Setting {
                    name: "administrator",
                    why: format!("`{name}` is the last one; add another one first"),
                })
            }
            (0, _) => Err(nobody(name)),
            _ => Ok(()),
        }
    }

    /// Makes a token for a program that acts for an administrator; it is told here once.
    ///
    /// # Errors
    /// When there is no such administrator, the lifetime is out of range, or the database fails.
    pub async fn administrator_token(
        &self,
        name: &str,
        label: &str,
        life_s: u64,
    ) -> Result<Secret, IssuerError> {
        check_name(label)?;
        if !(1..=LONGEST_TOKEN_S).contains(&life_s) {
            return Err(IssuerError::Setting {
                name: "token",
                why: format!("it cannot live for {life_s} s; choose at most a year"),
            });
        }
        let stored = self.issuer().stored_administrator(name).await?;
        let stored = stored.ok_or_else(|| nobody(name))?;
        let made = fresh_token();
        let (kept, label, pen) = (made.clone(), label.to_owned(), self.pen());
        self.issuer()
            .db
            .write(move |tx| {
                // One label, one token.
                tx.execute(
                    "DELETE FROM admin_tokens WHERE administrator = ?1 AND label = ?2",
                    values![&stored.name, &label],
                )?;
                token(tx, &kept, &stored.name, Some(&label), &pen, life_s)?;
                note(tx, &pen, "administrator.token", &stored.name)
            })
            .await?;
        Ok(made)
    }

    /// Ends one token.
    pub(crate) async fn end_admin_token(&self, token: &Secret) -> Result<(), IssuerError> {
        let hash = hash(token);
        let ended = self.issuer().db.write(move |tx| {
            tx.execute("DELETE FROM admin_tokens WHERE hash = ?1", values![&hash])
        });
        ended.await?;
        Ok(())
    }
}

fn forget_tokens(tx: &mut dyn Tx, name: &str) -> SqlResult<()> {
    tx.execute(
        "DELETE FROM admin_tokens WHERE lower(administrator) = lower(?1)",
        values![name],
    )?;
    Ok(())
}

fn nobody(name: &str) -> IssuerError {
    IssuerError::NotFound {
        kind: "administrator",
        name: name.to_owned(),
    }
}
