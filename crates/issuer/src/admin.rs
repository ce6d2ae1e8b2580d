//! What an administrator does: end sessions, turn keys over.

use std::sync::{Arc, PoisonError};

use tenure_core::family::Subtype;

use crate::changes::Change;
use crate::error::IssuerError;
use crate::families::{self, End, SessionInfo, SessionsSince, Which};
use crate::issuer::Issuer;
use crate::keys::{self, KeyInfo};
use crate::refresh_token::FamilyId;

impl Issuer {
    /// Ends one session: its refresh tokens die, and its access tokens are refused at once by verifiers that
    /// ask [`Issuer::revocations`]. Returns whether it was alive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_session(&self, sid: &str) -> Result<bool, IssuerError> {
        match FamilyId::parse(sid) {
            Some(id) => Ok(self.end(Which::One(id), Subtype::Administrator).await? > 0),
            None => Ok(false),
        }
    }

    /// Ends every session of a user; returns how many were alive.
    ///
    /// # Errors
    /// When there is no such user or the database fails.
    pub async fn revoke_user(&self, name: &str) -> Result<usize, IssuerError> {
        let id = self.need_user(name).await?;
        self.end(Which::OfUser(id), Subtype::Administrator).await
    }

    /// Ends every session made with a client; returns how many were alive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_client(&self, client_id: &str) -> Result<usize, IssuerError> {
        self.end(
            Which::OfClient(client_id.to_owned()),
            Subtype::Administrator,
        )
        .await
    }

    /// Ends every session there is; returns how many were alive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_all(&self) -> Result<usize, IssuerError> {
        self.end(Which::All, Subtype::Administrator).await
    }

    /// The sessions, newest login first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions(&self, limit: usize) -> Result<Vec<SessionInfo>, IssuerError> {
        Ok(families::list(&self.db, limit).await?)
    }

    /// What became of sessions since an instant (milliseconds since the epoch): whether something that happened then
    /// cost anybody a login.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions_since(&self, since_ms: i64) -> Result<SessionsSince, IssuerError> {
        let idle = self.options.rotation.idle_ms;
        let idle_from = idle.map_or(i64::MIN, |ms| self.now().saturating_sub_unsigned(ms));
        Ok(families::since(&self.db, since_ms, idle_from).await?)
    }

    pub(crate) async fn end(&self, which: Which, subtype: Subtype) -> Result<usize, IssuerError> {
        let ended = families::revoke(&self.db, which, self.ending(subtype)).await?;
        for id in &ended {
            self.refuse_access_of(*id);
        }
        Ok(ended.len())
    }

    pub(crate) fn ending(&self, subtype: Subtype) -> End {
        End {
            subtype,
            now_ms: self.now(),
            until_ms: self.access_gone_ms(),
        }
    }

    /// From now on the session's access tokens are refused.
    pub(crate) fn refuse_access_of(&self, id: FamilyId) {
        self.revocations
            .apply(&Change::session(id.sid(), self.access_gone_ms()));
        self.nudge();
    }

    /// When every access token issued until now is expired.
    pub(crate) fn access_gone_ms(&self) -> i64 {
        // A minute more: verifiers may allow for clocks that differ.
        self.now()
            .saturating_add_unsigned(self.options.access_ttl_s.saturating_mul(1000) + 60_000)
    }

    /// Refuses one access token until it expires.
    pub(crate) async fn refuse_access(&self, jti: &str, exp_s: i64) -> Result<(), IssuerError> {
        let until = exp_s.saturating_mul(1000).saturating_add(60_000);
        let change = Change::token(jti.to_owned(), until);
        let stored = change.clone();
        self.db.write(move |tx| stored.append(tx)).await?;
        self.revocations.apply(&change);
        self.nudge();
        Ok(())
    }

    /// Publishes a next signing key; [`Issuer::promote_key`] lets it sign. Does nothing when there is one.
    ///
    /// # Errors
    /// When the key cannot be made or the database fails.
    pub async fn rotate_key(&self) -> Result<(), IssuerError> {
        keys::add_next(&self.db, &self.options).await?;
        self.reload_keys().await
    }

    /// Lets the next key sign; the one that signed so far is published until its last token is expired.
    ///
    /// # Errors
    /// [`IssuerError::TooEarly`] while somebody may hold a key set without the next key.
    pub async fn promote_key(&self) -> Result<(), IssuerError> {
        let ring = self.ring();
        keys::promote(&self.db, &self.options, &ring).await?;
        self.reload_keys().await
    }

    /// Refuses a key, and every token it signed, from now on; verifiers that follow the revocations are told. Sessions
    /// live on: their next refresh brings tokens of another key.
    ///
    /// # Errors
    /// When there is no such key or the database fails.
    pub async fn revoke_key(&self, kid: &str) -> Result<(), IssuerError> {
        keys::revoke(&self.db, &self.options, kid).await?;
        self.reload_keys().await?;
        self.revocations
            .apply(&Change::key(kid.to_owned(), self.now()));
        self.nudge();
        Ok(())
    }

    /// All signing keys, oldest first.
    pub fn key_infos(&self) -> Vec<KeyInfo> {
        self.ring().infos.clone()
    }

    pub(crate) async fn reload_keys(&self) -> Result<(), IssuerError> {
        let ring = Arc::new(keys::load(&self.db, &self.options).await?);
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }
}
