//! Demonstrating proof of possession (RFC 9449): tokens bound to a key that only their holder has.

use http::{HeaderMap, Method};
use subtle::ConstantTimeEq;
use tenure_jose::{Proof, b64url, from_b64url, proof, sha256};
use url::Url;

use crate::client::Client;
use crate::error::OAuthError;
use crate::issuer::Issuer;

/// How far a proof's `iat` may be from now, in seconds, either way (§11.1 asks for seconds or minutes).
const WINDOW_S: i64 = 60;
/// A nonce is made of the number of a span of this many seconds; it is good in that span and the next.
const NONCE_SPAN_S: i64 = 180;
/// What proofs may be signed with, as the metadata lists it.
pub(crate) const PROOF_ALGS: [&str; 5] = ["ES256", "ES384", "EdDSA", "RS256", "PS256"];
/// Longer names are nobody's.
const LONGEST_JTI: usize = 256;

impl Issuer {
    /// The thumbprint of the key that a request proves to hold; `None` when it offers no proof.
    ///
    /// `access` is the access token that comes along, at a protected resource.
    pub(crate) async fn proven_key(
        &self,
        headers: &HeaderMap,
        method: &Method,
        path: &str,
        access: Option<&str>,
    ) -> Result<Option<String>, OAuthError> {
        let mut offered = headers.get_all("dpop").iter();
        let Some(text) = offered.next() else {
            return Ok(None);
        };
        let bad = OAuthError::invalid_dpop_proof;
        if offered.next().is_some() {
            return Err(bad("The request has more than one DPoP header."));
        }
        let text = text
            .to_str()
            .map_err(|_| bad("The DPoP header is not ASCII."))?;
        let proof = proof(text).map_err(|error| bad(&format!("{error}.")))?;
        self.fits(&proof, method, path, access)?;
        let id = format!("dpop {} {}", proof.jkt, proof.jti);
        let until_ms = (proof.iat + 2 * WINDOW_S).saturating_mul(1000);
        if !self.first_sight(&id, until_ms).await? {
            return Err(bad(
                "The DPoP proof was used before; make a new one for every request.",
            ));
        }
        Ok(Some(proof.jkt))
    }

    /// The proof a client must bring, if its registration says so.
    pub(crate) async fn key_of(
        &self,
        client: &Client,
        headers: &HeaderMap,
    ) -> Result<Option<String>, OAuthError> {
        let key = self
            .proven_key(headers, &Method::POST, "/token", None)
            .await?;
        if key.is_none() && client.registration.dpop_bound {
            return Err(OAuthError::invalid_dpop_proof(
                "This client is registered for DPoP; the request has no DPoP header.",
            ));
        }
        Ok(key)
    }

    /// §4.3, points 8 to 11.
    fn fits(
        &self,
        proof: &Proof,
        method: &Method,
        path: &str,
        access: Option<&str>,
    ) -> Result<(), OAuthError> {
        let bad = OAuthError::invalid_dpop_proof;
        if proof.htm != method.as_str() {
            return Err(bad("The DPoP proof is for another method."));
        }
        if !same_place(&proof.htu, &self.url(path)) {
            return Err(bad("The DPoP proof is for another address."));
        }
        let age_s = self.now() / 1000 - proof.iat;
        if age_s.abs() > WINDOW_S {
            return Err(bad(&format!(
                "The DPoP proof was made {} s {}; the clocks differ or it was kept too long.",
                age_s.abs(),
                if age_s < 0 { "in the future" } else { "ago" },
            )));
        }
        if proof.jti.len() > LONGEST_JTI {
            return Err(bad("The DPoP proof's `jti` is too long."));
        }
        if let Some(access) = access {
            let expected = b64url(sha256(access.as_bytes()));
            let fits = proof
                .ath
                .as_deref()
                .is_some_and(|ath| bool::from(ath.as_bytes().ct_eq(expected.as_bytes())));
            if !fits {
                return Err(bad(
                    "The DPoP proof's `ath` is not the hash of this access token.",
                ));
            }
        }
        let wanted = self.options.dpop_nonces;
        match proof.nonce.as_deref() {
            None if !wanted => Ok(()),
            Some(nonce) if self.is_own_nonce(nonce) => Ok(()),
            _ => Err(OAuthError::use_dpop_nonce(self.nonce(0))),
        }
    }

    /// The nonce of the span `ago` spans back.
    fn nonce(&self, ago: i64) -> String {
        let span = (self.now() / 1000).div_euclid(NONCE_SPAN_S) - ago;
        let mac = self.master.dpop_nonce(span);
        b64url([&span.to_be_bytes()[..], &mac[..16]].concat())
    }

    /// Made by this issuer (by any of its processes), and not long ago.
    fn is_own_nonce(&self, nonce: &str) -> bool {
        from_b64url(nonce).is_some()
            && [0, 1, -1]
                .into_iter()
                .any(|ago| bool::from(self.nonce(ago).as_bytes().ct_eq(nonce.as_bytes())))
    }
}

/// The same URL, query and fragment left out, each in normal form (§4.3 point 9).
fn same_place(claimed: &str, own: &str) -> bool {
    let normal = |text: &str| {
        Url::parse(text).ok().map(|mut url| {
            url.set_query(None);
            url.set_fragment(None);
            url
        })
    };
    normal(claimed).is_some_and(|claimed| normal(own) == Some(claimed))
}
