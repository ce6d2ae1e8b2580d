//! What a layer did for a request.

use tenure_core::{Code, Failure, Generation};

/// What a layer did for a request: an extension of the response. It tells what the gateway tells in the
/// `Tenure-Session`, `Tenure-Generation`, `Tenure-Replayed` and `Tenure-Code` header fields.
///
/// Missing from answers to requests that got no token: those that went to another origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Name of the session.
    pub session: String,
    /// Generation of the token that this answer is to.
    pub generation: Generation,
    /// The request was sent twice.
    pub replayed: bool,
    /// The token failure that was seen, if this answer is one; it was not healed.
    pub failure: Option<Box<Failure>>,
}

impl Served {
    /// The code of the failure.
    pub fn code(&self) -> Option<Code> {
        self.failure.as_ref().map(|failure| failure.code)
    }
}
