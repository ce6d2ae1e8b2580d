//! Proof of possession at an API (RFC 9449 §7): a bound token is good only with a proof of its key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, Method, Uri};
use tenure_jose::{Proof, b64url, proof, sha256};
use url::Url;

use crate::refusal::Refusal;

/// How far a proof's `iat` may be from now, in seconds, either way (§11.1 asks for seconds or minutes).
const WINDOW_S: i64 = 60;
/// Longer names are nobody's.
const LONGEST_JTI: usize = 256;
/// How many proofs are remembered at most: one for every request of two minutes.
const CAPACITY: usize = 1 << 20;
/// The algorithms a proof may be signed with, for challenges.
pub(crate) const ALGS: &str = "ES256 ES384 EdDSA RS256 PS256";

/// What is needed to judge proofs.
pub(crate) struct Dpop {
    /// Where callers see the API: scheme, host and port.
    origin: Url,
    seen: Mutex<Seen>,
}

/// The proofs that were used, by the hash of key and name, with when they are too old anyway.
#[derive(Default)]
struct Seen {
    proofs: HashMap<[u8; 32], i64>,
    /// Before this nothing is worth looking for.
    pruned_s: i64,
}

impl Dpop {
    pub(crate) fn new(origin: Url) -> Self {
        Self {
            origin,
            seen: Mutex::default(),
        }
    }

    /// The thumbprint of the key that the request proves to hold.
    pub(crate) fn proven(
        &self,
        headers: &HeaderMap,
        method: &Method,
        uri: &Uri,
        access: &str,
        now_s: i64,
    ) -> Result<String, Refusal> {
        let mut offered = headers.get_all("dpop").iter();
        let (Some(text), None) = (offered.next(), offered.next()) else {
            return Err(Refusal::Proof("The request needs exactly one DPoP proof"));
        };
        let text = text
            .to_str()
            .map_err(|_| Refusal::Proof("The DPoP proof is no JWT"))?;
        let proof = proof(text).map_err(|_| {
            Refusal::Proof("The DPoP proof is malformed or not signed with its own key")
        })?;
        self.fits(&proof, method, uri, access, now_s)?;
        self.first_sight(&proof, now_s)?;
        Ok(proof.jkt)
    }

    /// §4.3, points 8 to 11.
    fn fits(
        &self,
        proof: &Proof,
        method: &Method,
        uri: &Uri,
        access: &str,
        now_s: i64,
    ) -> Result<(), Refusal> {
        if proof.htm != method.as_str() {
            return Err(Refusal::Proof("The DPoP proof is for another method"));
        }
        if !self.is_here(&proof.htu, uri) {
            return Err(Refusal::Proof("The DPoP proof is for another address"));
        }
        if (now_s - proof.iat).abs() > WINDOW_S {
            return Err(Refusal::Proof("The DPoP proof is too old or of the future"));
        }
        if proof.jti.len() > LONGEST_JTI {
            return Err(Refusal::Proof("The DPoP proof has too long a name"));
        }
        // No secret: the token came along with it.
        if proof.ath.as_deref() != Some(b64url(sha256(access.as_bytes())).as_str()) {
            return Err(Refusal::Proof("The DPoP proof is for another access token"));
        }
        Ok(())
    }

    /// The same address, query and fragment left out, each in normal form.
    fn is_here(&self, htu: &str, uri: &Uri) -> bool {
        let mut here = self.origin.clone();
        here.set_path(uri.path());
        let Ok(mut there) = Url::parse(htu) else {
            return false;
        };
        there.set_query(None);
        there.set_fragment(None);
        here == there
    }

    fn first_sight(&self, proof: &Proof, now_s: i64) -> Result<(), Refusal> {
        let name = sha256(format!("{} {}", proof.jkt, proof.jti).as_bytes());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.pruned_s + WINDOW_S <= now_s {
            seen.proofs.retain(|_, until| *until >= now_s);
            seen.pruned_s = now_s;
        }
        if seen.proofs.contains_key(&name) {
            return Err(Refusal::Proof("The DPoP proof was used before"));
        }
        if seen.proofs.len() >= CAPACITY {
            return Err(Refusal::Unavailable { retry_after_s: 60 });
        }
        seen.proofs.insert(name, proof.iat + WINDOW_S);
        Ok(())
    }
}
