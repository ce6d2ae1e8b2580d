//! The form of a refresh token: version ‖ family ‖ generation ‖ MAC, base64url.
//!
//! The MAC is under a key of the family that is derived from the master key, so junk is refused without a look
//! into the database, and a token is made again rather than stored.

use subtle::ConstantTimeEq;
use tenure_core::Secret;
use tenure_jose::{b64url, from_b64url, hmac_sha256};

use crate::master::Master;

const VERSION: u8 = 1;
const BODY: usize = 1 + 16 + 8;
const WHOLE: usize = BODY + 32;

/// Names one family: 16 random bytes. As text it is the `sid` of its tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FamilyId(pub(crate) [u8; 16]);

impl FamilyId {
    pub(crate) fn random() -> Self {
        Self(tenure_jose::random())
    }

    pub(crate) fn sid(self) -> String {
        b64url(self.0)
    }

    pub(crate) fn parse(sid: &str) -> Option<Self> {
        Some(Self(from_b64url(sid)?.try_into().ok()?))
    }
}

/// The refresh token of one generation of one family.
pub(crate) fn make(master: &Master, family: FamilyId, generation: u64) -> Secret {
    let mut bytes = Vec::with_capacity(WHOLE);
    bytes.push(VERSION);
    bytes.extend_from_slice(&family.0);
    bytes.extend_from_slice(&generation.to_be_bytes());
    let mac = hmac_sha256(master.family_key(&family.0).as_slice(), &bytes);
    bytes.extend_from_slice(&mac);
    Secret::new(b64url(bytes))
}

/// What a genuine token names; `None` for everything this issuer did not make.
pub(crate) fn open(master: &Master, token: &str) -> Option<(FamilyId, u64)> {
    if token.len() != (WHOLE * 8).div_ceil(6) {
        return None;
    }
    let bytes = from_b64url(token)?;
    let (body, mac) = bytes.split_at_checked(BODY)?;
    let (version, rest) = body.split_first()?;
    let (family, generation) = rest.split_at_checked(16)?;
    let family: [u8; 16] = family.try_into().ok()?;
    let expected = hmac_sha256(master.family_key(&family).as_slice(), body);
    let genuine = bool::from(expected.as_slice().ct_eq(mac)) && *version == VERSION;
    genuine.then_some((
        FamilyId(family),
        u64::from_be_bytes(generation.try_into().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_again_equal_and_opens() {
        let master = Master::for_tests();
        let family = FamilyId([7; 16]);
        let token = make(&master, family, 3);
        assert_eq!(token, make(&master, family, 3));
        assert_ne!(token, make(&master, family, 4));
        assert!(open(&master, token.expose()) == Some((family, 3)));
        assert!(FamilyId::parse(&family.sid()) == Some(family));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let master = Master::for_tests();
        let token = make(&master, FamilyId([7; 16]), 3);
        for at in 0..token.len() {
            let mut text = token.expose().to_owned().into_bytes();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(text).expect("ASCII");
            assert!(open(&master, &text).is_none(), "position {at}");
        }
        for junk in ["", "x", "eyJhbGciOiJIUzI1NiJ9.e30.x", &token.expose()[1..]] {
            assert!(open(&master, junk).is_none());
        }
    }
}
