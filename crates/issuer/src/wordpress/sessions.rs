//! Sessions of the dialects: families like any other.

use tenure_core::family::{self, Family, Subtype};

use super::{POS_REFRESH_S, WordPress, as_uuid4};
use crate::audit::Who;
use crate::db::values;
use crate::error::OAuthError;
use crate::families::{self, Ask, Login, Refreshed, Which};
use crate::issuer::{ACR_PASSWORD, Issuer};
use crate::peer::Peer;
use crate::refresh_token::FamilyId;

/// Why a session does not go on.
pub(crate) enum Ended {
    /// Not this server's, or forgotten.
    Unknown,
    Expired,
    /// Its refresh token has two holders, or had.
    Reused,
    /// Somebody ended it.
    Revoked,
    AccountDisabled,
    /// The server cannot tell now.
    Failed(OAuthError),
}

/// What is done with a presented refresh token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renew {
    /// It is replaced.
    Rotate,
    /// It stays as it is.
    Keep,
}

/// A session as WCPOS lists it.
pub(crate) struct PosSession {
    pub(crate) family: FamilyId,
    pub(crate) born_ms: i64,
    pub(crate) used_ms: i64,
    pub(crate) address: Option<String>,
    pub(crate) device: Option<String>,
}

/// The dialect's client, in the audit log.
fn who(speaks: &WordPress, peer: &Peer) -> Who {
    peer.who(format!("client {}", speaks.client_id()))
}

impl Issuer {
    /// The lifetimes of sessions that are listed under this client: those of a dialect have their own.
    pub fn rotation_of(&self, client_id: &str) -> family::Options {
        let rotation = self.rotation();
        match &self.options.wordpress {
            Some(speaks) if speaks.client_id() == client_id => speaks.kept(rotation),
            _ => family::Options {
                rotate: rotation.rotate
                    && self
                        .client(client_id)
                        .is_none_or(|client| client.registration.rotate),
                ..rotation
            },
        }
    }

    /// Begins a session for a user who logged in.
    pub(crate) async fn begin_wordpress(
        &self,
        speaks: &WordPress,
        user_id: String,
        peer: &Peer,
    ) -> Result<(Login, Family), OAuthError> {
        let login = Login {
            // WCPOS shows it as a UUID.
            family: FamilyId(as_uuid4(FamilyId::random().0)),
            user_id,
            client_id: speaks.client_id().to_owned(),
            scope: String::new(),
            jkt: None,
            acr: Some(ACR_PASSWORD.to_owned()),
        };
        let (stored, pen) = (login.clone(), self.pen(who(speaks, peer)));
        let family = self
            .db
            .write(move |tx| families::begin(tx, &stored, &pen, "wordpress"))
            .await?;
        self.counters.count(|stats| stats.logins += 1);
        Ok((login, family))
    }

    /// Applies the rotation rule to a refresh token of a dialect.
    pub(crate) async fn renew_wordpress(
        &self,
        speaks: &WordPress,
        family: FamilyId,
        generation: u64,
        renew: Renew,
        peer: &Peer,
    ) -> Result<(Login, Family), Ended> {
        self.counters.count(|stats| stats.looked_up += 1);
        let rotation = self.rotation();
        let options = match renew {
            Renew::Rotate => family::Options {
                rotate: true,
                ..rotation
            },
            Renew::Keep => speaks.kept(rotation),
        };
        let ask = Ask {
            family,
            generation,
            client_id: speaks.client_id().to_owned(),
            scope: None,
            jkt: None,
            now_ms: self.now(),
            until_ms: self.access_gone_ms(),
            options,
            pen: self.pen(who(speaks, peer)),
        };
        let answer = self.db.refresh(ask).await;
        let refreshed = answer.map_err(|error| Ended::Failed(error.into()))?;
        if let Refreshed::Granted {
            login,
            family,
            rotated,
        } = refreshed
        {
            self.counters.count(|stats| {
                let counter = if rotated {
                    &mut stats.rotations
                } else {
                    &mut stats.retries
                };
                *counter += 1;
            });
            return Ok((login, family));
        }
        Err(self.ended(family, &refreshed))
    }

    fn ended(&self, family: FamilyId, refused: &Refreshed) -> Ended {
        self.counters.count(|stats| stats.refused += 1);
        match *refused {
            Refreshed::Killed { subtype } => {
                self.counters.count(|stats| stats.kills += 1);
                self.refuse_access_of(&[family]);
                tracing::warn!(sid = %family.sid(), subtype = subtype.as_str(), "a session was ended: its refresh tokens have two holders");
                Ended::Reused
            }
            Refreshed::Revoked(subtype) if subtype.is_reuse() => Ended::Reused,
            Refreshed::Revoked(_) => Ended::Revoked,
            Refreshed::Expired { .. } => Ended::Expired,
            Refreshed::AccountDisabled => Ended::AccountDisabled,
            // A token is of one dialect: that of another client id is none of this one. `Granted` never comes here.
            _ => Ended::Unknown,
        }
    }

    /// The user of a session, while the session and the account live.
    pub(crate) async fn user_of(&self, family: FamilyId) -> Result<Option<String>, OAuthError> {
        let found = families::look(&self.db, family).await?;
        let living = found.filter(|found| !found.disabled && found.family.revoked.is_none());
        Ok(living.map(|found| found.login.user_id))
    }

    /// The living sessions of a user in this dialect, newest first.
    pub(crate) async fn pos_sessions(
        &self,
        speaks: &WordPress,
        user_id: &str,
    ) -> Result<Vec<PosSession>, OAuthError> {
        let oldest = self.now().saturating_sub_unsigned(POS_REFRESH_S * 1000);
        let (user, client) = (user_id.to_owned(), speaks.client_id());
        let sessions = self
            .db
            .read(move |tx| {
                tx.query(
                    "SELECT id, born_ms, used_ms, last_address, device FROM families WHERE user_id = ?1 AND client_id = ?2 \
                     AND revoked IS NULL AND born_ms >= ?3 ORDER BY born_ms DESC, id",
                    values![&user, client, oldest],
                )?
                .iter()
                .map(|row| {
                    Ok(PosSession {
                        family: FamilyId(row.get(0)?),
                        born_ms: row.get(1)?,
                        used_ms: row.get(2)?,
                        address: row.get(3)?,
                        device: row.get(4)?,
                    })
                })
                .collect()
            })
            .await?;
        Ok(sessions)
    }

    /// Ends a session because its user says so.
    pub(crate) async fn end_pos_session(
        &self,
        speaks: &WordPress,
        family: FamilyId,
        peer: &Peer,
    ) -> Result<bool, OAuthError> {
        let who = who(speaks, peer);
        let ended = self
            .end(Which::One(family), Subtype::ClientRequest, who)
            .await?;
        Ok(ended > 0)
    }
}
