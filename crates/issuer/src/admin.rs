//! What an administrator does: end sessions, turn keys over.

use std::sync::{Arc, PoisonError};

use tenure_core::family::Subtype;

use crate::audit::{self, Act, AuditEntry, AuditFilter, Broken, Head, Pen, Who};
use crate::changes::Change;
use crate::error::IssuerError;
use crate::families::{self, End, SessionsSince, Which};
use crate::issuer::Issuer;
use crate::keys::{self, KeyInfo};
use crate::refresh_token::FamilyId;

/// What an administrator may do; every act is in the audit log.
pub struct Admin<'a> {
    issuer: &'a Issuer,
    pen: Pen,
}

impl Issuer {
    /// Acts as somebody, as the audit log is to call them.
    pub fn admin(&self, by: &str) -> Admin<'_> {
        self.admin_from(Who::here(by))
    }

    /// As [`Issuer::admin`], for somebody who is elsewhere.
    pub fn admin_from(&self, who: Who) -> Admin<'_> {
        Admin {
            pen: self.pen(who),
            issuer: self,
        }
    }
}

impl<'a> Admin<'a> {
    pub(crate) fn issuer(&self) -> &'a Issuer {
        self.issuer
    }

    pub(crate) fn pen(&self) -> Pen {
        self.pen.clone()
    }

    /// Ends one session: its refresh tokens die, and its access tokens are refused at once by verifiers that
    /// ask [`Issuer::revocations`]. Returns whether it was alive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_session(&self, sid: &str) -> Result<bool, IssuerError> {
        match FamilyId::parse(sid) {
            Some(id) => Ok(self.end(Which::One(id)).await? > 0),
            None => Ok(false),
        }
    }

    /// Ends every session of a user; returns how many were alive.
    ///
    /// # Errors
    /// When there is no such user or the database fails.
    pub async fn revoke_user(&self, name: &str) -> Result<usize, IssuerError> {
        let id = self.issuer.need_user(name).await?;
        self.end(Which::OfUser(id)).await
    }

    /// Ends every session made with a client; returns how many were alive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_client(&self, client_id: &str) -> Result<usize, IssuerError> {
        self.end(Which::OfClient(client_id.to_owned())).await
    }

    /// Ends every session there is; returns how many were alive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_all(&self) -> Result<usize, IssuerError> {
        self.end(Which::All).await
    }

    /// Publishes a next signing key; [`Admin::promote_key`] lets it sign. Does nothing when there is one.
    ///
    /// # Errors
    /// When the key cannot be made or the database fails.
    pub async fn rotate_key(&self) -> Result<(), IssuerError> {
        let issuer = self.issuer;
        keys::add_next(&issuer.db, &issuer.options, self.pen()).await?;
        issuer.reload_keys().await
    }

    /// Lets the next key sign; the one that signed so far is published until its last token is expired.
    ///
    /// # Errors
    /// [`IssuerError::TooEarly`] while somebody may hold a key set without the next key.
    pub async fn promote_key(&self) -> Result<(), IssuerError> {
        let issuer = self.issuer;
        keys::promote(&issuer.db, &issuer.options, &issuer.ring(), self.pen()).await?;
        issuer.reload_keys().await
    }

    /// Refuses a key, and every token it signed, from now on; verifiers that follow the revocations are told. Sessions
    /// live on: their next refresh brings tokens of another key.
    ///
    /// # Errors
    /// When there is no such key or the database fails.
    pub async fn revoke_key(&self, kid: &str) -> Result<(), IssuerError> {
        let issuer = self.issuer;
        keys::revoke(&issuer.db, &issuer.options, kid, self.pen()).await?;
        issuer.reload_keys().await?;
        issuer
            .revocations
            .apply(&Change::key(kid.to_owned(), issuer.now()));
        issuer.nudge();
        Ok(())
    }

    /// How sessions end that an administrator ends.
    pub(crate) fn ending(&self) -> End {
        let who = self.pen.who.clone();
        self.issuer.ending(Subtype::Administrator, who)
    }

    pub(crate) async fn end(&self, which: Which) -> Result<usize, IssuerError> {
        let who = self.pen.who.clone();
        self.issuer.end(which, Subtype::Administrator, who).await
    }
}

impl Issuer {
    /// The newest entries of the audit log that pass, newest first, at most `limit`.
    ///
    /// # Errors
    /// When there is no such user or the database fails.
    pub async fn audit(
        &self,
        filter: AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, IssuerError> {
        let user_id = match &filter.user {
            Some(name) => Some(self.need_user(name).await?),
            None => None,
        };
        Ok(audit::list(&self.db, filter, user_id, limit).await?)
    }

    /// The entries of the audit log numbered above `seq`, oldest first, some at a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_after(&self, seq: u64) -> Result<Vec<AuditEntry>, IssuerError> {
        Ok(audit::after(&self.db, seq).await?)
    }

    /// Follows the audit log's chain to its end, which is returned. A [`Head`] that was noted before must lie on it: so
    /// it is seen when entries were taken off the end.
    ///
    /// # Errors
    /// When the database fails; what is wrong with the chain is the inner error.
    pub async fn verify_audit(
        &self,
        noted: Option<Head>,
    ) -> Result<Result<Head, Broken>, IssuerError> {
        Ok(audit::verify(&self.db, &self.master.audit, noted).await?)
    }

    /// What became of sessions since an instant (milliseconds since the epoch): whether something that happened then
    /// cost anybody a login.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions_since(&self, since_ms: i64) -> Result<SessionsSince, IssuerError> {
        let idle = self.rotation().idle_ms;
        let idle_from = idle.map_or(i64::MIN, |ms| self.now().saturating_sub_unsigned(ms));
        Ok(families::since(&self.db, since_ms, idle_from).await?)
    }

    pub(crate) async fn end(
        &self,
        which: Which,
        subtype: Subtype,
        who: Who,
    ) -> Result<usize, IssuerError> {
        let ended = families::revoke(&self.db, which, self.ending(subtype, who)).await?;
        self.refuse_access_of(&ended);
        Ok(ended.len())
    }

    pub(crate) fn ending(&self, subtype: Subtype, who: Who) -> End {
        End {
            subtype,
            pen: self.pen(who),
            now_ms: self.now(),
            until_ms: self.access_gone_ms(),
        }
    }

    /// From now on the access tokens of these sessions, which ended, are refused.
    pub(crate) fn refuse_access_of(&self, ended: &[FamilyId]) {
        for id in ended {
            self.revocations
                .apply(&Change::session(id.sid(), self.access_gone_ms()));
        }
        self.nudge();
    }

    /// When every access token issued until now is expired.
    pub(crate) fn access_gone_ms(&self) -> i64 {
        // A minute more: verifiers may allow for clocks that differ.
        self.now()
            .saturating_add_unsigned(self.longest_access_s().saturating_mul(1000) + 60_000)
    }

    /// Refuses one access token until it expires.
    pub(crate) async fn refuse_access(
        &self,
        jti: &str,
        exp_s: i64,
        sid: Option<&str>,
        who: Who,
    ) -> Result<(), IssuerError> {
        let until = exp_s.saturating_mul(1000).saturating_add(60_000);
        let change = Change::token(jti.to_owned(), until);
        let (stored, pen, sid) = (change.clone(), self.pen(who), sid.map(str::to_owned));
        self.db
            .write(move |tx| {
                stored.append(tx)?;
                let act = Act {
                    sid: sid.as_deref(),
                    ..Act::new("token.revoked")
                };
                pen.note(tx, &act)
            })
            .await?;
        self.revocations.apply(&change);
        self.nudge();
        Ok(())
    }

    /// All signing keys, oldest first.
    pub fn key_infos(&self) -> Vec<KeyInfo> {
        self.ring().infos.clone()
    }

    pub(crate) async fn reload_keys(&self) -> Result<(), IssuerError> {
        let ring = Arc::new(keys::load(&self.db, &self.options, &self.master.audit).await?);
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }
}
