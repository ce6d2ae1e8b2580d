//! DPoP proofs (RFC 9449 §4): a token signed with the key that stands in its own header.
//!
//! The key is trusted for nothing but its own signature; what counts is its thumbprint, to which access and refresh
//! tokens are bound.

use serde_json::{Map, Value};

use crate::alg::Alg;
use crate::jwk::{Jwk, JwkSet, thumbprint};
use crate::keyset::KeySet;
use crate::primitives::from_b64url;
use crate::token::MAX_TOKEN_BYTES;
use crate::verify::verify_signature;

/// Members that only private keys have.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

/// What a proof says, its signature checked. Whether it fits the request is for the caller to compare (§4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of its key (RFC 7638).
    pub jkt: String,
    /// The request's method.
    pub htm: String,
    /// The request's URL, without query and fragment.
    pub htu: String,
    /// When it was made, epoch seconds.
    pub iat: i64,
    /// Its own name.
    pub jti: String,
    /// The hash of the access token it comes with.
    pub ath: Option<String>,
    /// The nonce the server gave.
    pub nonce: Option<String>,
}

/// Why a text is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is no JWT.
    #[error("the DPoP proof is no JWT")]
    Malformed,
    /// `typ` is not `dpop+jwt`.
    #[error("the DPoP proof's `typ` is not dpop+jwt")]
    Type,
    /// `alg` is none that is accepted, or a symmetric one.
    #[error("the DPoP proof is not signed with ES256, ES384, EdDSA or RSA")]
    Algorithm,
    /// `jwk` is missing or holds no public key.
    #[error("the DPoP proof's header has no usable public key in `jwk`")]
    Key,
    /// `jwk` holds a private key.
    #[error("the DPoP proof's `jwk` holds a private key; that key is burnt now")]
    PrivateKey,
    /// The signature is not its key's.
    #[error("the DPoP proof's signature is wrong")]
    Signature,
    /// A claim is missing or of the wrong kind.
    #[error("the DPoP proof has no usable `{0}`")]
    Claim(&'static str),
}

/// Reads a proof and checks its signature.
///
/// # Errors
/// Why it is none.
pub fn proof(text: &str) -> Result<Proof, ProofError> {
    if text.len() > MAX_TOKEN_BYTES {
        return Err(ProofError::Malformed);
    }
    let header = text.split('.').next().unwrap_or_default();
    let header: Map<String, Value> = from_b64url(header)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(ProofError::Malformed)?;
    let word = |name: &str| header.get(name).and_then(Value::as_str);
    if word("typ") != Some("dpop+jwt") {
        return Err(ProofError::Type);
    }
    let alg = word("alg")
        .and_then(Alg::parse)
        .filter(|alg| *alg != Alg::Hs256)
        .ok_or(ProofError::Algorithm)?;
    let jwk = header
        .get("jwk")
        .and_then(Value::as_object)
        .ok_or(ProofError::Key)?;
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(ProofError::PrivateKey);
    }
    let jwk: Jwk =
        serde_json::from_value(Value::Object(jwk.clone())).map_err(|_| ProofError::Key)?;
    let jkt = thumbprint(&jwk);
    // The key is for the algorithm the header names; a key of another type cannot be for it and is left out.
    let keys = KeySet::from_jwks(&JwkSet {
        keys: vec![Jwk {
            kid: word("kid").map(str::to_owned),
            use_: None,
            key_ops: None,
            alg: Some(alg.as_str().to_owned()),
            ..jwk
        }],
    });
    if keys.is_empty() {
        return Err(ProofError::Key);
    }
    let token = verify_signature(text, &keys).map_err(|_| ProofError::Signature)?;
    let claim = |name: &'static str| {
        token
            .text(name)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .ok_or(ProofError::Claim(name))
    };
    Ok(Proof {
        jkt,
        htm: claim("htm")?,
        htu: claim("htu")?,
        iat: token.iat().ok_or(ProofError::Claim("iat"))?,
        jti: claim("jti")?,
        ath: token.text("ath").map(str::to_owned),
        nonce: token.text("nonce").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::key::SigningKey;

    /// RFC 9449 §4.2, the example of figure 2, and the thumbprint of its key in §6.1.
    const EXAMPLE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

    #[test]
    fn the_example_of_rfc_9449_is_a_proof() {
        let proof = proof(EXAMPLE).expect("a proof");
        assert_eq!(proof.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        assert_eq!(
            (proof.htm.as_str(), proof.htu.as_str()),
            ("POST", "https://server.example.com/token")
        );
        assert_eq!(
            (proof.iat, proof.jti.as_str()),
            (1_562_262_616, "-BwC3ESc6acc2lTc")
        );
        assert_eq!((proof.ath, proof.nonce), (None, None));
    }

    fn made(change: impl FnOnce(&mut Value)) -> Result<Proof, ProofError> {
        let key = SigningKey::generate(Alg::Es256, "k").expect("a key");
        let plain = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": key.public_jwk() });
        let claims = json!({ "htm": "GET", "htu": "https://a.example/", "iat": 1, "jti": "j" });
        let mut header = plain.clone();
        change(&mut header);
        if header["alg"] != "ES256" {
            // The key signs for its own algorithm only: the header is exchanged afterwards.
            let signed = key.sign_with_header(&plain, &claims).expect("signed");
            let rest = signed.expose().split_once('.').expect("parts").1;
            return proof(&format!(
                "{}.{rest}",
                crate::primitives::b64url(header.to_string())
            ));
        }
        proof(
            key.sign_with_header(&header, &claims)
                .expect("signed")
                .expose(),
        )
    }

    #[test]
    fn what_is_no_proof_is_told_apart() {
        assert!(made(|_| {}).is_ok());
        assert_eq!(
            made(|header| header["typ"] = "JWT".into()),
            Err(ProofError::Type)
        );
        for alg in ["HS256", "none", "ES512"] {
            assert_eq!(
                made(|header| header["alg"] = alg.into()),
                Err(ProofError::Algorithm)
            );
        }
        assert_eq!(
            made(|header| header["jwk"]["d"] = "x".into()),
            Err(ProofError::PrivateKey)
        );
        assert_eq!(
            made(|header| header["jwk"] = json!({ "kty": "oct" })),
            Err(ProofError::Key)
        );
        assert_eq!(
            made(|header| header["alg"] = "RS256".into()),
            Err(ProofError::Key)
        );
        let other = SigningKey::generate(Alg::Es256, "k")
            .expect("a key")
            .public_jwk();
        assert_eq!(
            made(|header| header["jwk"] = json!(other)),
            Err(ProofError::Signature)
        );
        for text in ["", "a.b.c", "eyJ9.x", &EXAMPLE[..300]] {
            assert!(proof(text).is_err(), "{text}");
        }
    }
}
