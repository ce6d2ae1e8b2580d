//! Why a message could not be built.

use tenure_jose::KeyError;

/// Why a message could not be built. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The dialect has no renewal.
    #[error(
        "{dialect} has no way to renew a token; log in again, or let the password be stored so that the login can be repeated"
    )]
    CannotRefresh {
        /// The dialect's name.
        dialect: &'static str,
    },
    /// The dialect does not know this way to get a token.
    #[error("{dialect} has no {grant}; use a way to log in that this server offers")]
    NoSuchGrant {
        /// The dialect's name.
        dialect: &'static str,
        /// What was asked for, in words.
        grant: &'static str,
    },
    /// An address is not known.
    #[error("the server's {endpoint} is not known; set it in the session or let discovery find it")]
    MissingEndpoint {
        /// The configuration key of the endpoint.
        endpoint: &'static str,
    },
    /// The client's identifier is not known.
    #[error("client_id is not set, and {needed_by} needs it")]
    MissingClientId {
        /// What needs it.
        needed_by: &'static str,
    },
    /// The client is to prove itself by a secret that is not there.
    #[error(
        "client authentication `{auth}` needs client_secret; set it, or choose another client_auth"
    )]
    MissingClientSecret {
        /// The client authentication method.
        auth: &'static str,
    },
    /// The client is to prove itself by a key that is not there.
    #[error(
        "client authentication `private_key_jwt` needs client_key; set it, or choose another client_auth"
    )]
    MissingClientKey,
    /// A value cannot travel in a header; the value is not shown.
    #[error(
        "the {what} holds characters that cannot be sent in a header; log in again or import it anew"
    )]
    Unsendable {
        /// What the value is.
        what: &'static str,
    },
    /// An address cannot be requested.
    #[error("{endpoint} is not an address that can be requested: {why}")]
    BadUrl {
        /// The configuration key of the endpoint.
        endpoint: &'static str,
        /// What the parser said.
        why: String,
    },
    /// The client assertion could not be signed.
    #[error("the client assertion could not be signed: {0}")]
    Signing(#[from] KeyError),
}

impl WireError {
    /// The configuration key that puts it right, where there is one.
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            Self::MissingEndpoint { endpoint } | Self::BadUrl { endpoint, .. } => Some(endpoint),
            Self::MissingClientId { .. } => Some("client_id"),
            Self::MissingClientSecret { .. } => Some("client_secret"),
            Self::MissingClientKey | Self::Signing(_) => Some("client_key"),
            Self::CannotRefresh { .. } | Self::NoSuchGrant { .. } | Self::Unsendable { .. } => None,
        }
    }
}
