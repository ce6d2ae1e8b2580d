//! Sealing: AES-256-GCM-SIV with associated data that binds what is sealed to its place, so that a row moved
//! to another session, field, generation or store cannot be opened there.
//!
//! A sealed value is: format byte 1 ‖ key id (8 bytes) ‖ nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const KEY_ID_LEN: usize = 8;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// Length of a store key, in bytes.
pub const KEY_LEN: usize = 32;

/// Which key sealed something: the first 8 bytes of an HMAC-SHA-256 under the key. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; KEY_ID_LEN]);

impl KeyId {
    /// The id written as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        decode_hex(text)?.as_slice().try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or of an unknown format.
    #[error("it is not a sealed value of a known format")]
    Format,
    /// Sealed with another key.
    #[error("it was sealed with key {0}, which is not at hand")]
    OtherKey(KeyId),
    /// The key is right, and the value was changed or belongs elsewhere.
    #[error("it was changed, or moved here from another session, field, generation or store")]
    Tampered,
    /// The system gave no randomness, or the value is too long.
    #[error("sealing failed")]
    Failed,
}

/// One key, ready to seal and open. `Debug` shows only its id.
pub struct Seal {
    id: KeyId,
    key: RandomizedNonceKey,
    /// Kept so that a rekey can retire it, sealed with its successor.
    raw: Zeroizing<[u8; KEY_LEN]>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({})", self.id)
    }
}

impl Seal {
    /// A seal with this key.
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key),
            b"tenure store key id",
        );
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&tag.as_ref()[..KEY_ID_LEN]);
        // The one error there is: a key of the wrong length, which the type excludes.
        let cipher = RandomizedNonceKey::new(&AES_256_GCM_SIV, key)
            .unwrap_or_else(|_| unreachable!("AES-256 takes 32 bytes"));
        Self {
            id: KeyId(id),
            key: cipher,
            raw: Zeroizing::new(*key),
        }
    }

    /// The key itself.
    pub(crate) fn raw(&self) -> &[u8; KEY_LEN] {
        &self.raw
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals `plain` under `aad`. The key id is bound as well.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(HEADER_LEN + plain.len() + AES_256_GCM_SIV.tag_len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.id.0);
        sealed.resize(HEADER_LEN, 0);
        sealed.extend_from_slice(plain);
        let (nonce, tag) = self
            .key
            .seal_in_place_separate_tag(Aad::from(self.bound(aad)), &mut sealed[HEADER_LEN..])
            .map_err(|_| SealError::Failed)?;
        sealed[1 + KEY_ID_LEN..HEADER_LEN].copy_from_slice(nonce.as_ref());
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Seal::seal`] made under the same `aad`.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let id = sealed_with(sealed)?;
        if id != self.id {
            return Err(SealError::OtherKey(id));
        }
        let nonce = Nonce::try_assume_unique_for_key(&sealed[1 + KEY_ID_LEN..HEADER_LEN])
            .map_err(|_| SealError::Format)?;
        let mut buffer = Zeroizing::new(sealed[HEADER_LEN..].to_vec());
        let len = self
            .key
            .open_in_place(nonce, Aad::from(self.bound(aad)), &mut buffer)
            .map_err(|_| SealError::Tampered)?
            .len();
        buffer.truncate(len);
        Ok(buffer)
    }

    fn bound(&self, aad: &[u8]) -> Vec<u8> {
        [&[FORMAT], &self.id.0[..], aad].concat()
    }
}

/// Which key a sealed value needs.
pub fn sealed_with(sealed: &[u8]) -> Result<KeyId, SealError> {
    if sealed.len() < HEADER_LEN + AES_256_GCM_SIV.tag_len() || sealed[0] != FORMAT {
        return Err(SealError::Format);
    }
    let mut id = [0; KEY_ID_LEN];
    id.copy_from_slice(&sealed[1..=KEY_ID_LEN]);
    Ok(KeyId(id))
}

/// The current key, and retired ones that still open what they sealed.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) current: Seal,
    pub(crate) retired: Vec<Seal>,
}

impl Ring {
    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let id = sealed_with(sealed)?;
        self.retired
            .iter()
            .find(|seal| seal.id() == id)
            .unwrap_or(&self.current)
            .open(aad, sealed)
    }
}

/// Associated data of one place: store, session, field, generation. Every part carries its length, so that no
/// two places give the same bytes.
pub(crate) fn place(store_id: &str, session: &str, field: &str, generation: u64) -> Vec<u8> {
    let mut aad = Vec::with_capacity(64 + session.len());
    for part in [store_id, session, field] {
        aad.extend_from_slice(&(part.len() as u64).to_le_bytes());
        aad.extend_from_slice(part.as_bytes());
    }
    aad.extend_from_slice(&generation.to_le_bytes());
    aad
}

pub(crate) fn encode_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn decode_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect::<Option<Vec<u8>>>()
        .map(Zeroizing::new)
}

/// Fresh random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError::Failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_key_is_named() {
        let (one, two) = (Seal::new(&[1; 32]), Seal::new(&[2; 32]));
        let sealed = one.seal(b"place", b"canary").expect("seals");
        assert_eq!(
            two.open(b"place", &sealed),
            Err(SealError::OtherKey(one.id()))
        );
        assert_eq!(KeyId::parse(&one.id().to_string()), Some(one.id()));
    }

    #[test]
    fn sealing_twice_gives_two_values_and_neither_shows_the_text() {
        let seal = Seal::new(&[1; 32]);
        let (a, b) = (
            seal.seal(b"", b"canary").expect("seals"),
            seal.seal(b"", b"canary").expect("seals"),
        );
        assert_ne!(a, b);
        assert!(!a.windows(6).any(|window| window == b"canary"));
    }

    #[test]
    fn places_that_only_differ_in_where_a_part_ends_differ() {
        assert_ne!(place("s", "ab", "c", 1), place("s", "a", "bc", 1));
        assert_ne!(place("s", "a", "pair", 1), place("s", "a", "pair", 2));
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_in_its_place_only(plain: Vec<u8>, aad: Vec<u8>, other: Vec<u8>, at: usize, bit in 0u8..8) {
            let seal = Seal::new(&[7; 32]);
            let mut sealed = seal.seal(&aad, &plain).expect("seals");
            prop_assert_eq!(&*seal.open(&aad, &sealed).expect("opens"), &plain);
            if other != aad {
                prop_assert_eq!(seal.open(&other, &sealed), Err(SealError::Tampered));
            }
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert!(seal.open(&aad, &sealed).is_err());
        }

        #[test]
        fn junk_is_refused_without_a_panic(junk: Vec<u8>) {
            prop_assert!(Seal::new(&[7; 32]).open(b"", &junk).is_err());
        }

        #[test]
        fn hex_reads_back(bytes: Vec<u8>) {
            prop_assert_eq!(&*decode_hex(&encode_hex(&bytes)).expect("hex"), &bytes);
        }
    }
}
