//! Thin JOSE on aws-lc-rs: JWS compact serialisation (RFC 7515), JWK (RFC 7517), JWT claims (RFC 7519).
//!
//! Two things set it apart from a general library. It says exactly why a token fails and by how much
//! ([`Reason`]), because people have to act on that; and a key carries its one algorithm, so a token never
//! chooses how it is checked. Nothing here reads a clock: the time is in [`Rules`].
//!
//! ```
//! use tenure_jose::{Alg, KeySet, Reason, Rules, SigningKey, verify};
//!
//! let key = SigningKey::generate(Alg::Es256, "k1")?;
//! let claims = serde_json::json!({"iss": "https://id.example", "aud": "orders", "exp": 1_000});
//! let token = key.sign(Some("at+jwt"), &claims)?;
//!
//! let keys = KeySet::from_signing_key(&key);
//! let rules = Rules {
//!     issuer: Some("https://id.example"),
//!     audience: Some("orders"),
//!     typ: Some("at+jwt"),
//!     leeway_s: 5,
//!     now_s: 1_004,
//! };
//! assert!(verify(token.expose(), &keys, &rules).is_ok());
//! let later = Rules { now_s: 1_012, ..rules };
//! assert_eq!(verify(token.expose(), &keys, &later).unwrap_err(), Reason::Expired { by_s: 12 });
//! # Ok::<(), tenure_jose::KeyError>(())
//! ```
#![forbid(unsafe_code)]

mod alg;
mod dpop;
mod jwk;
mod key;
mod keyset;
mod primitives;
mod token;
mod verify;
#[cfg(test)]
mod wycheproof;

pub use alg::Alg;
pub use dpop::{Proof, ProofError, proof};
pub use jwk::{Jwk, JwkSet, thumbprint};
pub use key::{KeyError, SigningKey};
pub use keyset::KeySet;
pub use primitives::{b64, b64url, fingerprint, from_b64url, hmac_sha256, random, sha256, sha512};
pub use token::{Header, MAX_TOKEN_BYTES, Malformed, Peek, peek};
pub use verify::{Reason, Rules, check_claims, verify, verify_document, verify_signature};
