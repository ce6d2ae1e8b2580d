//! Why a request is refused, before it is put into any style.

use tenure_jose::Reason;

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No bearer token in the request.
    #[error("the request carries no access token")]
    Missing,
    /// The credentials are malformed; the text says how.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The token does not verify.
    #[error("the access token is refused: {reason}")]
    Invalid {
        /// Why.
        reason: Reason,
        /// When it was judged, epoch seconds.
        now_s: i64,
    },
    /// The token verifies, but was revoked.
    #[error("the access token was revoked")]
    Revoked,
    /// The token is bound to a key (RFC 9449 §7.1): whoever sends it as a bearer token may have stolen it.
    #[error("the access token is bound to a key and was sent without a proof")]
    Bound,
    /// The DPoP proof is not good; the text says why.
    #[error("{0}")]
    Proof(&'static str),
    /// The token was sent with a proof, and is bound to no key.
    #[error("the access token is bound to no key and was sent with a proof")]
    Unbound,
    /// The token is good, but does not allow this.
    #[error("the access token lacks a scope; needed is: {}", required.join(" "))]
    InsufficientScope {
        /// The scopes the route needs.
        required: Vec<String>,
    },
    /// The token is good, but the login behind it is too old or not strong enough (RFC 9470 §3): only another login
    /// heals it.
    #[error("the login behind the access token is not enough for this")]
    StepUp {
        /// The kinds of login that would do; empty when any does.
        acr_values: Vec<String>,
        /// How old the login may be, in seconds.
        max_age_s: Option<u64>,
    },
    /// The issuer's keys cannot be had and none are cached, or what it revoked is not known and must be: nothing can
    /// be said about the token.
    #[error(
        "what is needed to check access tokens (the issuer's keys, what it revoked) is not available; try again \
         in {retry_after_s} s"
    )]
    Unavailable {
        /// When to try again, in seconds, at least 1.
        retry_after_s: u64,
    },
}

impl Refusal {
    /// The error code of RFC 6750 §3.1; `None` where it forbids one, and when nothing can be said.
    pub fn error(&self) -> Option<&'static str> {
        match self {
            Refusal::Missing | Refusal::Unavailable { .. } => None,
            Refusal::BadRequest(_) => Some("invalid_request"),
            Refusal::Invalid { .. } | Refusal::Revoked | Refusal::Bound | Refusal::Unbound => {
                Some("invalid_token")
            }
            Refusal::Proof(_) => Some("invalid_dpop_proof"),
            Refusal::InsufficientScope { .. } => Some("insufficient_scope"),
            Refusal::StepUp { .. } => Some("insufficient_user_authentication"),
        }
    }

    /// A sentence for developers, as `error_description`: fixed texts, with nothing out of the token.
    pub fn description(&self) -> &'static str {
        match self {
            Refusal::Missing => "The request has no access token",
            Refusal::BadRequest(text) | Refusal::Proof(text) => text,
            Refusal::Invalid { reason, .. } => describe(reason),
            Refusal::Revoked => "The access token was revoked",
            Refusal::Bound => "The access token is bound to a key and needs a DPoP proof",
            Refusal::Unbound => "The access token is bound to no key; send it as a bearer token",
            Refusal::InsufficientScope { .. } => {
                "The request requires higher privileges than provided by the access token"
            }
            Refusal::StepUp { .. } => {
                "A more recent or a stronger login is needed than the one behind the access token"
            }
            Refusal::Unavailable { .. } => "What is needed to check access tokens is not available",
        }
    }

    /// Whether the token had expired: the one refusal a refresh surely heals.
    pub fn is_expired(&self) -> bool {
        matches!(
            self,
            Refusal::Invalid {
                reason: Reason::Expired { .. },
                ..
            }
        )
    }
}

fn describe(reason: &Reason) -> &'static str {
    match reason {
        Reason::Malformed(_) => "The access token is malformed",
        Reason::UnknownKey { .. } => "The access token is signed with an unknown key",
        Reason::WrongAlgorithm { .. } => {
            "The access token is signed with an algorithm that is not accepted"
        }
        Reason::BadSignature => "The access token signature is invalid",
        // RFC 6750 §3 has these very words.
        Reason::Expired { .. } => "The access token expired",
        Reason::NotYetValid { .. } => "The access token is not yet valid",
        Reason::IssuedInFuture { .. } => "The access token was issued in the future",
        Reason::WrongIssuer { .. } => "The access token has the wrong issuer",
        Reason::WrongAudience { .. } => "The access token has the wrong audience",
        Reason::WrongType { .. } => "The access token has the wrong type",
        Reason::MissingClaim("exp") => "The access token has no expiry",
        Reason::MissingClaim("iss") => "The access token has no issuer",
        Reason::MissingClaim("aud") => "The access token has no audience",
        Reason::MissingClaim(_) => "The access token lacks a claim",
    }
}
