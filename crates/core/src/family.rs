//! Refresh token families: the rotation rule (DESIGN §11), as a pure decision.
//!
//! A family is all refresh tokens of one login. Its whole memory is one [`Family`] of constant size: the tokens
//! themselves are re-derived from family and generation, so an old generation is recognised for ever and a
//! retry gets the *same* successor that the lost reply held.
//!
//! What a server that does not see access tokens used can know is the order of generations presented. A sole
//! holder whose replies get lost and a thief who takes turns with the owner can look exactly alike; the rule
//! therefore forgives one late retry in [`Options::late_retries_per`] generations and takes the second for
//! theft. Where the server sees every use ([`Options::use_visible`]) it need not guess.

use serde::{Deserialize, Serialize};

/// Why a family is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subtype {
    /// The previous token came outside the window although its successor was known to be in use.
    SuccessorUsed,
    /// The previous token came late, too soon after another late retry.
    LateRetries,
    /// A token two or more generations old came.
    StaleGeneration,
    /// The authorization code of this login was presented twice (RFC 6749 §4.1.2).
    CodeReplayed,
    /// The client asked for it (RFC 7009) or the person logged out.
    ClientRequest,
    /// An administrator ended it, or the account's password was changed.
    Administrator,
}

impl Subtype {
    const ALL: [Subtype; 6] = [
        Subtype::SuccessorUsed,
        Subtype::LateRetries,
        Subtype::StaleGeneration,
        Subtype::CodeReplayed,
        Subtype::ClientRequest,
        Subtype::Administrator,
    ];

    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Subtype::SuccessorUsed => "successor_used",
            Subtype::LateRetries => "late_retries",
            Subtype::StaleGeneration => "stale_generation",
            Subtype::CodeReplayed => "code_replayed",
            Subtype::ClientRequest => "client_request",
            Subtype::Administrator => "administrator",
        }
    }

    /// The subtype written as `text`.
    pub fn parse(text: &str) -> Option<Subtype> {
        Self::ALL
            .into_iter()
            .find(|subtype| subtype.as_str() == text)
    }

    /// Whether it means that a token was used by more than its owner.
    pub fn is_reuse(self) -> bool {
        matches!(
            self,
            Subtype::SuccessorUsed | Subtype::LateRetries | Subtype::StaleGeneration
        )
    }
}

/// All that is remembered about the refresh tokens of one login. Instants are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// Generation of the current refresh token, counted from 1.
    pub generation: u64,
    /// When the login happened.
    pub born_ms: i64,
    /// When the family last answered with tokens.
    pub used_ms: i64,
    /// When the retry window of the previous generation opened: the rotation, or the late retry forgiven last.
    pub window_from_ms: i64,
    /// Whether the tokens of the current generation are known to have been used.
    pub confirmed: bool,
    /// The current generation when a late retry was forgiven last.
    pub late_at: Option<u64>,
    /// Set once, never cleared.
    pub revoked: Option<Subtype>,
}

impl Family {
    /// The family of a login at `now_ms`; its first refresh token is generation 1.
    pub fn new(now_ms: i64) -> Self {
        Self {
            generation: 1,
            born_ms: now_ms,
            used_ms: now_ms,
            window_from_ms: now_ms,
            confirmed: false,
            late_at: None,
            revoked: None,
        }
    }

    /// The family ended for `subtype`; the first cause stays.
    #[must_use]
    pub fn revoke(self, subtype: Subtype) -> Self {
        Self {
            revoked: self.revoked.or(Some(subtype)),
            ..self
        }
    }

    /// Notes that an access token of `generation` was seen in use (introspection, userinfo).
    #[must_use]
    pub fn confirm(self, generation: u64) -> Self {
        Self {
            confirmed: self.confirmed || generation == self.generation,
            ..self
        }
    }

    /// When the family ends if nobody uses it again: the earlier of its idle and its absolute end.
    pub fn ends_ms(&self, options: &Options) -> Option<i64> {
        let idle = options.idle_ms.map(|ms| after(self.used_ms, ms));
        let absolute = options.absolute_ms.map(|ms| after(self.born_ms, ms));
        match (idle, absolute) {
            (Some(idle), Some(absolute)) => Some(idle.min(absolute)),
            (idle, absolute) => idle.or(absolute),
        }
    }

    fn expired(&self, now_ms: i64, options: &Options) -> Option<Decision> {
        let past = |from: i64, ms: Option<u64>| {
            let over = elapsed(after(from, ms?), now_ms);
            (over > 0).then_some(over)
        };
        if let Some(by_ms) = past(self.born_ms, options.absolute_ms) {
            return Some(Decision::Expired {
                limit: Limit::Absolute,
                by_ms,
            });
        }
        past(self.used_ms, options.idle_ms).map(|by_ms| Decision::Expired {
            limit: Limit::Idle,
            by_ms,
        })
    }

    fn rotated(self, now_ms: i64) -> Self {
        Self {
            generation: self.generation + 1,
            used_ms: now_ms,
            window_from_ms: now_ms,
            confirmed: false,
            ..self
        }
    }

    fn touched(self, now_ms: i64) -> Self {
        Self {
            used_ms: self.used_ms.max(now_ms),
            ..self
        }
    }

    /// Whether a late retry at the current generation is within the allowance. Repeating the one already
    /// forgiven costs nothing: a holder whose second reply is lost too has no other token to present.
    fn late_allowed(&self, options: &Options) -> bool {
        options.use_visible
            || self.late_at.is_none_or(|at| {
                at == self.generation
                    || self.generation.saturating_sub(at) >= options.late_retries_per
            })
    }

    fn previous(self, now_ms: i64, options: &Options) -> Decision {
        if elapsed(self.window_from_ms, now_ms) <= options.window_ms {
            return Decision::SameSuccessor(self.touched(now_ms));
        }
        if self.confirmed {
            return self.kill(Subtype::SuccessorUsed);
        }
        if !self.late_allowed(options) {
            return self.kill(Subtype::LateRetries);
        }
        Decision::SameSuccessor(Self {
            window_from_ms: now_ms,
            late_at: Some(self.generation),
            ..self.touched(now_ms)
        })
    }

    fn kill(self, subtype: Subtype) -> Decision {
        Decision::Kill {
            subtype,
            family: self.revoke(subtype),
        }
    }
}

/// A refresh token that came in and whose MAC proved genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The generation it names.
    pub generation: u64,
    /// Whether client, scope and key binding of the request fit the family.
    pub matches: bool,
}

/// The settings of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long after a rotation the previous token still gets the same successor, in milliseconds.
    pub window_ms: u64,
    /// One late retry is forgiven per this many generations.
    pub late_retries_per: u64,
    /// Lifetime of a family from its login, in milliseconds; `None` for no end.
    pub absolute_ms: Option<u64>,
    /// Lifetime of a family from its last use, in milliseconds; `None` for no end.
    pub idle_ms: Option<u64>,
    /// Whether a refresh yields a new refresh token.
    pub rotate: bool,
    /// Whether the server sees every use of an access token, so that "not confirmed" proves "not used".
    pub use_visible: bool,
}

impl Default for Options {
    /// 30 s window, one late retry in ten generations, 30 days idle, no absolute end, rotating, use not visible.
    fn default() -> Self {
        Self {
            window_ms: 30_000,
            late_retries_per: 10,
            absolute_ms: None,
            idle_ms: Some(30 * 24 * 3_600_000),
            rotate: true,
            use_visible: false,
        }
    }
}

/// Which lifetime ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nobody used the family for too long.
    Idle,
    /// The login is too long ago, whatever the use.
    Absolute,
}

/// What to do with a presented token. Every family named here must be durable before the answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Store this family (compare-and-swap on the generation) and answer with the token of its new generation.
    Rotate(Family),
    /// Store this family and answer with the token of its generation, which was handed out before.
    /// (With [`Options::rotate`] off this is the presented token itself.)
    SameSuccessor(Family),
    /// Refuse; nothing is spent and nothing changes.
    RefuseMismatch,
    /// Refuse: the family outlived `limit` by `by_ms` milliseconds.
    Expired {
        /// Which lifetime ran out.
        limit: Limit,
        /// How long ago, in milliseconds, at least 1.
        by_ms: u64,
    },
    /// Refuse: the family was revoked earlier.
    Revoked(Subtype),
    /// Refuse, and store this revoked family: its tokens have two holders.
    Kill {
        /// What gave it away.
        subtype: Subtype,
        /// The family, revoked.
        family: Family,
    },
    /// Refuse: a genuine token of a generation this family never reached. The family's record was rolled back.
    Unknown,
}

/// Decides about one presented refresh token.
pub fn decide(family: &Family, presented: Presented, now_ms: i64, options: &Options) -> Decision {
    if !presented.matches {
        return Decision::RefuseMismatch;
    }
    if let Some(subtype) = family.revoked {
        return Decision::Revoked(subtype);
    }
    if presented.generation == 0 || presented.generation > family.generation {
        return Decision::Unknown;
    }
    if let Some(expired) = family.expired(now_ms, options) {
        return expired;
    }
    match family.generation - presented.generation {
        0 if options.rotate => Decision::Rotate(family.rotated(now_ms)),
        0 => Decision::SameSuccessor(family.touched(now_ms)),
        1 => family.previous(now_ms, options),
        _ => family.kill(Subtype::StaleGeneration),
    }
}

fn after(from_ms: i64, ms: u64) -> i64 {
    from_ms.saturating_add_unsigned(ms)
}

/// Milliseconds from `from` to `to`; a clock that was set back counts as no time gone.
fn elapsed(from_ms: i64, to_ms: i64) -> u64 {
    u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(0)
}

#[cfg(test)]
#[path = "family_tests.rs"]
mod tests;
