//! From an answer to a named failure.
//!
//! One module per kind of answer: [`token`] for token endpoints, [`api`] for resource servers, [`transport`]
//! for exchanges that got no answer. Each is an ordered list of small rules, strongest evidence first; a rule
//! names itself in [`Failure::rule`] and says no more than its evidence proves.

pub mod api;
pub mod challenge;
mod finding;
mod text;
pub mod token;
pub mod transport;

use tenure_core::Failure;
use tenure_wire::{Refusal, Unusable};

pub use api::{ApiVerdict, Seen, classify_api};
pub use finding::refresh_failed_because;
pub use token::classify_token;
pub use transport::{TransportFault, TransportKind};

/// What an exchange's end means for the session machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may work later; nothing about the session is proven.
    Passing {
        /// What happened.
        failure: Failure,
        /// How long the server wants to be left alone, in seconds, if it said so.
        retry_after_s: Option<u64>,
        /// Whether the refresh token may have been spent.
        sent: Sent,
    },
    /// The server said in its own error shape that this cannot work again (I5).
    ///
    /// The failure is the specific one (`API02009`); [`refresh_failed_because`] makes the chain a caller sees.
    Final {
        /// What happened.
        failure: Failure,
    },
}

impl Verdict {
    /// The failure, whichever way it went.
    pub fn failure(&self) -> &Failure {
        match self {
            Verdict::Passing { failure, .. } | Verdict::Final { failure } => failure,
        }
    }

    /// Whether the session is over.
    pub fn is_final(&self) -> bool {
        matches!(self, Verdict::Final { .. })
    }
}

/// Whether the server may have acted on an exchange that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The request never left: the refresh token is unspent.
    No,
    /// The server answered, and the answer shows that it did not rotate.
    Answered,
    /// Unknown outcome (I10): it may have rotated and the reply been lost.
    Maybe,
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug)]
pub enum TokenFailure<'a> {
    /// The server said no, in its own format.
    Refused(&'a Refusal),
    /// Something answered that proves nothing.
    Unusable(&'a Unusable),
    /// Nothing answered.
    Transport(&'a TransportFault),
}

/// What the token request was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// A refresh.
    #[default]
    RefreshToken,
    /// An authorization code.
    AuthorizationCode,
    /// A device code (RFC 8628).
    DeviceCode,
    /// User name and password.
    Password,
    /// Client credentials.
    ClientCredentials,
    /// Any other, e.g. an assertion.
    Other,
}

impl Grant {
    /// Whether the grant spends an input that can be used once: a code.
    fn is_one_time(self) -> bool {
        matches!(self, Grant::AuthorizationCode | Grant::DeviceCode)
    }
}

/// What is known without the answer. Everything may be left at its default when it is not known.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The request carried an access token.
    pub token_sent: bool,
    /// The access token's own time is over, by the best clock there is.
    pub token_expired: Option<bool>,
    /// Server time minus local time, as far as it is proven, in milliseconds.
    pub clock_offset_ms: i64,
    /// There is something to refresh with.
    pub has_refresh: bool,
    /// The refresh token's own time is over.
    pub refresh_expired: bool,
    /// The reply of an earlier exchange with this refresh token was lost (I10).
    pub unknown_outcome: bool,
    /// `iss` of the access token.
    pub token_issuer: Option<String>,
    /// The issuer that is configured.
    pub issuer: Option<String>,
    /// Name of the session, for the command to type.
    pub session: String,
    /// What the token request was for.
    pub grant: Grant,
    /// Server time if known, else local wall time, seconds since the epoch; needed to read a `Retry-After` date.
    pub now_s: Option<i64>,
}

impl Local {
    /// Whether a refresh has a chance.
    fn can_refresh(&self) -> bool {
        self.has_refresh && !self.refresh_expired
    }

    /// Whether the clocks are proven to differ by more than any leeway, and by how many seconds.
    fn clock_is_off(&self) -> Option<i64> {
        /// Servers forgive a minute, seldom more.
        const LEEWAY_MS: i64 = 60_000;
        (self.clock_offset_ms.abs() > LEEWAY_MS).then_some(self.clock_offset_ms / 1000)
    }
}
