//! Sessions as an administrator sees them: who, from where, and whether they go on.

use tenure_core::family::{self, Family};

use crate::error::IssuerError;
use crate::families::{self, SessionInfo};
use crate::issuer::Issuer;
use crate::refresh_token::FamilyId;

/// Whether a session goes on, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It goes on.
    Alive,
    /// Its user is disabled; it goes on when the account is enabled again.
    Waiting,
    /// A lifetime ran out.
    Expired(&'static str),
    /// It was ended.
    Ended(&'static str),
}

impl SessionState {
    fn of(family: &Family, disabled: bool, rotation: &family::Options, now_ms: i64) -> Self {
        if let Some(subtype) = family.revoked {
            return Self::Ended(subtype.as_str());
        }
        let absolute = family::Options {
            idle_ms: None,
            ..*rotation
        };
        let past = |options| family.ends_ms(options).is_some_and(|end| end < now_ms);
        match (past(&absolute), past(rotation), disabled) {
            (true, _, _) => Self::Expired("absolute"),
            (_, true, _) => Self::Expired("idle"),
            (_, _, true) => Self::Waiting,
            _ => Self::Alive,
        }
    }

    /// `alive`, `waiting`, `expired` or `ended`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Waiting => "waiting",
            Self::Expired(_) => "expired",
            Self::Ended(_) => "ended",
        }
    }

    /// Why it does not go on.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Alive => None,
            Self::Waiting => Some("account_disabled"),
            Self::Expired(reason) | Self::Ended(reason) => Some(reason),
        }
    }
}

/// Which sessions to show.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Those of the user of this name.
    pub user: Option<String>,
    /// Those made with this client.
    pub client: Option<String>,
}

/// One session, and what became of it.
#[derive(Clone, Debug)]
pub struct Session {
    /// What is stored.
    pub info: SessionInfo,
    /// Whether it goes on.
    pub state: SessionState,
    /// When it ends if nobody uses it, milliseconds since the epoch; `None`: never.
    pub ends_ms: Option<i64>,
}

impl Issuer {
    /// The sessions that pass, newest login first, at most `limit`.
    ///
    /// # Errors
    /// When there is no such user or the database fails.
    pub async fn sessions(
        &self,
        filter: SessionFilter,
        limit: usize,
    ) -> Result<Vec<Session>, IssuerError> {
        let user_id = match &filter.user {
            Some(name) => Some(self.need_user(name).await?),
            None => None,
        };
        let found = families::list(&self.db, user_id, filter.client, limit).await?;
        Ok(found.into_iter().map(|info| self.seen(info)).collect())
    }

    /// One session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session(&self, sid: &str) -> Result<Option<Session>, IssuerError> {
        let Some(id) = FamilyId::parse(sid) else {
            return Ok(None);
        };
        let found = families::show(&self.db, id).await?;
        Ok(found.map(|info| self.seen(info)))
    }

    fn seen(&self, info: SessionInfo) -> Session {
        let rotation = self.rotation_of(&info.client_id);
        let state = SessionState::of(&info.family, info.disabled, &rotation, self.now());
        Session {
            state,
            ends_ms: info.family.ends_ms(&rotation),
            info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::family::Subtype;

    #[test]
    fn a_session_is_what_stands_first_in_its_way() {
        let rotation = family::Options {
            idle_ms: Some(10),
            absolute_ms: Some(100),
            ..family::Options::default()
        };
        let family = Family::new(1_000);
        let at =
            |family: &Family, disabled, now| SessionState::of(family, disabled, &rotation, now);
        assert_eq!(at(&family, false, 1_005), SessionState::Alive);
        assert_eq!(at(&family, true, 1_005), SessionState::Waiting);
        assert_eq!(at(&family, true, 1_050), SessionState::Expired("idle"));
        assert_eq!(at(&family, false, 1_200), SessionState::Expired("absolute"));
        let dead = family.revoke(Subtype::Administrator);
        assert_eq!(at(&dead, true, 1_200), SessionState::Ended("administrator"));
    }
}
