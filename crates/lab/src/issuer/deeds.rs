//! What people and administrators do to accounts, sessions and consents, and what the token endpoint says then.
//!
//! The answers are those of servers that say which it was: Keycloak, and Entra ID where Keycloak has no words.

use super::FaultyIssuer;
use super::token::Refused;
use crate::record::lock;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The login session at the identity provider was ended. A new login is a new session.
    SessionEnded,
    /// The password was changed, which revokes what was granted before; the new one is `changed`.
    PasswordChanged,
    /// The account was disabled: nothing works until [`FaultyIssuer::enable_account`], and everything after.
    AccountDisabled,
    /// The consent for the client was withdrawn. A new login gives it again.
    ConsentWithdrawn,
}

/// The password after [`Deed::PasswordChanged`].
const CHANGED: &str = "changed";

impl Deed {
    /// What the token endpoint says to grants of before.
    fn refusal(self) -> Refused {
        match self {
            Deed::SessionEnded => ("invalid_grant", "Session not active"),
            Deed::PasswordChanged => (
                "invalid_grant",
                "AADSTS50173: The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.",
            ),
            Deed::AccountDisabled => ("invalid_grant", "Account disabled"),
            Deed::ConsentWithdrawn => (
                "invalid_grant",
                "AADSTS65001: The user or administrator has not consented to use the application with ID 'lab'. Send an interactive authorization request for this user and resource.",
            ),
        }
    }
}

/// Deeds, and how many logins each concerns.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    done: Option<(Deed, usize)>,
}

impl Deeds {
    /// Why a refresh token of this family (by order of login) is refused.
    pub(super) fn refuses(&self, family: usize) -> Option<Refused> {
        let (deed, before) = self.done?;
        (deed == Deed::AccountDisabled || family < before).then(|| deed.refusal())
    }

    /// Why nobody can log in.
    pub(super) fn refuses_login(&self) -> Option<Refused> {
        let (deed, _) = self.done?;
        (deed == Deed::AccountDisabled).then(|| deed.refusal())
    }
}

impl FaultyIssuer {
    /// Does this. Access tokens given before are refused as well, since all of it ends what was granted.
    pub fn act(&self, deed: Deed) {
        let mut state = lock(&self.inner.state);
        state.deeds.done = Some((deed, state.families.count()));
        state
            .access
            .values_mut()
            .for_each(|access| access.revoked = true);
        if deed == Deed::PasswordChanged {
            for (_, password) in &mut state.config.users {
                CHANGED.clone_into(password);
            }
        }
    }

    /// Enables the account again: the refresh tokens of before are good.
    pub fn enable_account(&self) {
        lock(&self.inner.state).deeds = Deeds::default();
    }

    /// Replaces the key that signs access tokens: those given so far are refused for their signature.
    pub fn change_key(&self) {
        for access in lock(&self.inner.state).access.values_mut() {
            access.old_key = true;
        }
    }
}
