//! User accounts and password logins.

use tenure_core::Secret;
use tenure_jose::{b64url, random};
use tenure_store::StoreError;

use crate::admin::Admin;
use crate::audit::{Act, Pen};
use crate::changes::Change;
use crate::db::{SqlResult, Tx, values};
use crate::error::{IssuerError, OAuthError};
use crate::families::{self, Which};
use crate::issuer::{Issuer, PROGRAM};
use crate::logouts;
use crate::password;
use crate::peer::Peer;
use crate::throttle::{PER_ADDRESS, PER_USER};

/// Longer passwords are refused before they are hashed.
const LONGEST_PASSWORD: usize = 1024;
/// Longer names are nobody's.
const LONGEST_NAME: usize = 200;
/// How long to wait when too many logins wait already, in seconds.
const BUSY_S: u64 = 2;

/// An account as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// Its name.
    pub name: String,
    /// Whether it is disabled: no login, no refresh, no access.
    pub disabled: bool,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
}

/// A user who proved a password.
pub(crate) struct LoggedIn {
    pub(crate) user_id: String,
}

impl Issuer {
    /// Makes the user unless there is one of that name: for the program that embeds the issuer. Returns the generated
    /// password when it had to make one.
    ///
    /// # Errors
    /// When the password cannot be hashed or the database fails.
    pub async fn ensure_user(
        &self,
        name: &str,
        password: Option<Secret>,
    ) -> Result<Option<Secret>, IssuerError> {
        self.admin(PROGRAM).ensure_user(name, password).await
    }
}

impl Admin<'_> {
    /// Makes a user; returns whether it did: there may be one of that name.
    ///
    /// # Errors
    /// When nobody can have the name or the password, or the database fails.
    pub async fn add_user(&self, name: &str, password: &Secret) -> Result<bool, IssuerError> {
        check_name(name)?;
        check_password(password)?;
        let hash = self.issuer().passwords.hash(password).await?;
        let (id, name, pen) = (b64url(random::<12>()), name.to_owned(), self.pen());
        let inserted = self
            .issuer()
            .db
            .write(move |tx| {
                let inserted = tx.execute(
                    "INSERT INTO users (id, name, password, created_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                    values![&id, &name, &hash, pen.now_ms],
                )?;
                if inserted == 1 {
                    note(tx, &pen, "user.added", &id)?;
                }
                Ok(inserted)
            })
            .await?;
        Ok(inserted == 1)
    }

    /// Makes the user unless there is one of that name. Returns the generated password when it had to make one.
    ///
    /// # Errors
    /// When the password cannot be hashed or the database fails.
    pub async fn ensure_user(
        &self,
        name: &str,
        password: Option<Secret>,
    ) -> Result<Option<Secret>, IssuerError> {
        check_name(name)?;
        if self.issuer().user_id(name).await?.is_some() {
            return Ok(None);
        }
        let made = password.is_none();
        let chosen = password.unwrap_or_else(password::generate);
        let added = self.add_user(name, &chosen).await?;
        Ok((made && added).then_some(chosen))
    }

    /// Sets a new password and, unless the settings say otherwise, ends every session of the user; returns how many were
    /// alive.
    ///
    /// # Errors
    /// When there is no such user, nobody could log in with the password, or the database fails.
    pub async fn set_password(&self, name: &str, password: &Secret) -> Result<usize, IssuerError> {
        check_password(password)?;
        let hash = self.issuer().passwords.hash(password).await?;
        let issuer = self.issuer();
        let id = issuer.need_user(name).await?;
        let (end, at_once) = (self.ending(), issuer.options.revoke_at_once);
        // In one: no moment may have the new password and the old sessions.
        let ended = issuer
            .db
            .write(move |tx| {
                tx.execute(
                    "UPDATE users SET password = ?1 WHERE id = ?2",
                    values![&hash, &id],
                )?;
                let ended = if at_once {
                    families::revoke_in(tx, &Which::OfUser(id.clone()), &end)?
                } else {
                    Vec::new()
                };
                note(tx, &end.pen, "user.password", &id)?;
                Ok(ended)
            })
            .await?;
        issuer.refuse_access_of(&ended);
        Ok(ended.len())
    }

    /// Disables or enables an account. A disabled one can neither log in nor refresh, its access tokens are refused
    /// at once, and its sessions wait for it: enabled again, they go on with their next refresh.
    ///
    /// # Errors
    /// When there is no such user or the database fails.
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), IssuerError> {
        let id = self.issuer().need_user(name).await?;
        let (issuer, pen) = (self.issuer(), self.pen());
        let (before_s, until_ms) = (pen.now_ms / 1000, issuer.access_gone_ms());
        let at_once = issuer.options.revoke_at_once;
        let refused = issuer
            .db
            .write(move |tx| {
                tx.execute(
                    "UPDATE users SET disabled = ?1 WHERE id = ?2",
                    values![disabled, &id],
                )?;
                if !disabled || !at_once {
                    let action = if disabled {
                        "user.disabled"
                    } else {
                        "user.enabled"
                    };
                    note(tx, &pen, action, &id)?;
                    return Ok(Vec::new());
                }
                let mut refused = Vec::new();
                let living = families::living(tx, &id)?;
                // They wait; but what their clients keep by themselves is over as well.
                logouts::enqueue(tx, &living, pen.now_ms)?;
                for one in &living {
                    let change = Change {
                        before_s,
                        ..Change::session(one.family.sid(), until_ms)
                    };
                    change.append(tx)?;
                    refused.push(change);
                }
                note(tx, &pen, "user.disabled", &id)?;
                Ok(refused)
            })
            .await?;
        for change in &refused {
            issuer.revocations.apply(change);
        }
        issuer.nudge();
        Ok(())
    }
}

impl Issuer {
    /// All users, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(&self) -> Result<Vec<UserInfo>, IssuerError> {
        let users = self
            .db
            .read(|tx| {
                tx.query(
                    "SELECT name, disabled, created_ms FROM users ORDER BY lower(name)",
                    &[],
                )?
                .iter()
                .map(|row| {
                    Ok(UserInfo {
                        name: row.get(0)?,
                        disabled: row.get(1)?,
                        created_ms: row.get(2)?,
                    })
                })
                .collect()
            })
            .await?;
        Ok(users)
    }

    pub(crate) async fn need_user(&self, name: &str) -> Result<String, IssuerError> {
        let found = self.user_id(name).await?;
        found.ok_or_else(|| IssuerError::NotFound {
            kind: "user",
            name: name.to_owned(),
        })
    }

    async fn user_id(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                tx.row(
                    "SELECT id FROM users WHERE lower(name) = lower(?1)",
                    values![&name],
                )?
                .map(|row| row.get(0))
                .transpose()
            })
            .await
    }

    /// The name of a user, unless the account is disabled.
    pub(crate) async fn user_name(&self, id: &str) -> Result<Option<String>, StoreError> {
        let id = id.to_owned();
        self.db
            .read(move |tx| {
                tx.row(
                    "SELECT name FROM users WHERE id = ?1 AND disabled = 0",
                    values![&id],
                )?
                .map(|row| row.get(0))
                .transpose()
            })
            .await
    }

    /// Checks a user's password, as slowly for names that do not exist as for those that do.
    pub(crate) async fn log_in(
        &self,
        name: &str,
        password: &Secret,
        client: &str,
        peer: &Peer,
    ) -> Result<LoggedIn, OAuthError> {
        let address = peer.text();
        if name.len() > LONGEST_NAME || password.len() > LONGEST_PASSWORD {
            return Err(OAuthError::login_rejected());
        }
        let now = self.now();
        let per_user = format!("user {}", name.to_lowercase());
        let per_address = address.as_ref().map(|address| format!("login {address}"));
        if let Some(key) = &per_address {
            self.throttle
                .begin(key, PER_ADDRESS, now)
                .map_err(OAuthError::throttled)?;
        }
        self.throttle
            .begin(&per_user, PER_USER, now)
            .map_err(OAuthError::throttled)?;
        let wanted = name.to_owned();
        let found: Option<(String, String, bool)> = self
            .db
            .read(move |tx| {
                tx.row(
                    "SELECT id, password, disabled FROM users WHERE lower(name) = lower(?1)",
                    values![&wanted],
                )?
                .map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .transpose()
            })
            .await?;
        let stored = found.as_ref().map(|(_, hash, _)| hash.as_str());
        let right = self
            .passwords
            .verify(password, stored)
            .await
            .map_err(|password::Busy| OAuthError::throttled(BUSY_S))?;
        match found {
            Some((user_id, _, true)) if right => {
                self.refusals.count(Some(&user_id), address.as_deref());
                Err(OAuthError::account_disabled())
            }
            Some((user_id, _, false)) if right => {
                self.throttle.succeeded(&per_user);
                if let Some(key) = &per_address {
                    self.throttle.refund(key);
                }
                self.note_login(name, &user_id, client, peer).await?;
                Ok(LoggedIn { user_id })
            }
            found => {
                let user = found.as_ref().map(|(id, _, _)| id.as_str());
                self.refusals.count(user, address.as_deref());
                Err(OAuthError::login_rejected())
            }
        }
    }

    async fn note_login(
        &self,
        name: &str,
        user_id: &str,
        client: &str,
        peer: &Peer,
    ) -> Result<(), StoreError> {
        let pen = self.pen(peer.who(format!("user {name}")));
        let (user, client) = (user_id.to_owned(), client.to_owned());
        self.db
            .write(move |tx| {
                let act = Act {
                    user: Some(&user),
                    client: Some(&client),
                    ..Act::new("login.accepted")
                };
                pen.note(tx, &act)
            })
            .await
    }
}

fn note(tx: &mut dyn Tx, pen: &Pen, action: &'static str, user: &str) -> SqlResult<()> {
    let act = Act {
        user: Some(user),
        ..Act::new(action)
    };
    pen.note(tx, &act)
}

fn check_name(name: &str) -> Result<(), IssuerError> {
    if (1..=LONGEST_NAME).contains(&name.len()) {
        return Ok(());
    }
    Err(IssuerError::Setting {
        name: "user name",
        why: format!("must have 1 to {LONGEST_NAME} bytes"),
    })
}

/// A password that [`Issuer::log_in`] would refuse unread locks its user out.
fn check_password(password: &Secret) -> Result<(), IssuerError> {
    if (1..=LONGEST_PASSWORD).contains(&password.len()) {
        return Ok(());
    }
    Err(IssuerError::Setting {
        name: "password",
        why: format!("must have 1 to {LONGEST_PASSWORD} bytes"),
    })
}
