//! What one login or exchange yields, and the generation that counts them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::time::{Mono, Now, Wall};

/// Counts the token pairs a session has had; every compare compares generations. 0 means "none yet".
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Generation {
        Generation(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a refresh token: enough to recognise it, useless to spend it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}{:02x}{:02x}{:02x}…",
            self.0[0], self.0[1], self.0[2], self.0[3]
        )
    }
}

/// Which boot of which machine a [`Mono`] belongs to. Readings of different boots cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub u128);

/// The moment a token request was **sent**, on every clock known then. Lifetimes count from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Anchor {
    /// The boot `mono` belongs to.
    pub boot: BootId,
    /// Suspend-proof local clock.
    pub mono: Mono,
    /// Local wall clock.
    pub wall: Wall,
    /// The server's clock, milliseconds since the epoch, when it could be estimated.
    pub server: Option<i64>,
}

impl Anchor {
    /// Milliseconds gone since this anchor.
    ///
    /// On the same boot the suspend-proof clock answers. Otherwise server time is compared when both ends
    /// are known, else the wall clock; a negative difference (a clock set back) counts as zero, because a
    /// token must not become expired by a jump (I11).
    pub fn elapsed(&self, boot: BootId, now: Now, server_now: Option<i64>) -> u64 {
        if boot == self.boot && boot != BootId::default() {
            return now.mono.since(self.mono);
        }
        let gone = match (self.server, server_now) {
            (Some(then), Some(now)) => now - then,
            // The same wall clock was wrong by this much at the anchor and most likely still is.
            (Some(then), None) => now.wall.0 + (then - self.wall.0) - then,
            (None, _) => now.wall - self.wall,
        };
        u64::try_from(gone).unwrap_or(0)
    }
}

/// An access token with everything that came along with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPair {
    /// Which pair of the session this is, counted from 1.
    pub generation: Generation,
    /// The access token.
    pub access: Secret,
    /// What renews it: a refresh token, a refresh cookie's value, or the JWT itself, as the dialect has it.
    /// `None` when nothing can renew it but a login.
    pub refresh: Option<Secret>,
    /// Scope as granted, space separated.
    pub scope: Option<String>,
    /// When the request that brought it was sent.
    pub issued: Anchor,
    /// Access token lifetime in milliseconds from `issued`; `None` when unknown.
    pub access_ms: Option<u64>,
    /// When the server wants the refresh (`refresh_in`), milliseconds from `issued`.
    pub refresh_in_ms: Option<u64>,
    /// Refresh token lifetime in milliseconds from `issued`; `None` when unknown.
    pub refresh_ms: Option<u64>,
    /// End of the whole session that no refresh can move, milliseconds from `issued`.
    pub session_ms: Option<u64>,
}
