//! From an answer to a named failure.
//!
//! [`judge`] is the one classifier: it reads a raw answer, asks the rules (data, `catalogue/rules`), and weighs
//! what they say against what is known locally. [`classify_token`] and [`classify_api`] say what its finding
//! means for a session; [`transport`] is for exchanges that got no answer.

pub mod answer;
pub mod api;
pub mod challenge;
mod finding;
mod judge;
mod local;
mod read;
pub mod rules;
mod scene;
pub mod token;
pub mod transport;

use tenure_core::Failure;
use tenure_wire::{Refusal, Unusable};

pub use answer::{Answer, BODY_MAX, Place};
pub use api::{ApiVerdict, Seen, classify_api};
pub(crate) use finding::code_of;
pub use finding::refresh_failed_because;
pub use judge::{Finding, judge};
pub use local::{Grant, Local};
pub(crate) use read::words::normal;
pub(crate) use rules::{Rule, rules};
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
