//! Proof Key for Code Exchange (RFC 7636), method S256 only.

use tenure_core::Secret;

/// A code verifier and its challenge.
#[derive(Clone, Debug)]
pub struct Pkce {
    /// Sent with the code.
    pub verifier: Secret,
    /// Sent with the authorization request.
    pub challenge: String,
}

impl Pkce {
    /// From 32 fresh random bytes: a verifier of 43 characters (RFC 7636 §4.1) and its challenge.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        let verifier = Secret::new(tenure_jose::b64url(bytes));
        let challenge = challenge(&verifier);
        Self {
            verifier,
            challenge,
        }
    }
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
pub fn challenge(verifier: &Secret) -> String {
    tenure_jose::b64url(tenure_jose::sha256(verifier.expose().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7636_appendix_b() {
        let bytes = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212,
            37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let pkce = Pkce::from_random(bytes);
        assert_eq!(
            pkce.verifier.expose(),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
        assert_eq!(
            pkce.challenge,
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
