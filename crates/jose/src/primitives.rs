//! Hashes, MACs, randomness and base64url, so that other crates need no crypto library of their own.

use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenure_core::{Fingerprint, Secret};

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-512 of `bytes`.
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    out.copy_from_slice(digest::digest(&digest::SHA512, bytes).as_ref());
    out
}

/// HMAC-SHA-256 (RFC 2104). Compare results in constant time.
pub fn hmac_sha256(key: &[u8], msg: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), msg);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

/// `N` bytes from the operating system's secure generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    // AWS-LC's RAND_bytes returns 1 always: it waits for entropy, and aborts the process if there is none.
    rand::fill(&mut out).expect("RAND_bytes cannot fail");
    out
}

/// Base64 with padding (RFC 4648 §4), as Basic authentication has it.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Base64url without padding (RFC 7515 §2).
pub fn b64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding. Strict: `None` for padding, foreign characters, and bits left over that
/// are not zero, so that every byte string has exactly one accepted spelling.
pub fn from_b64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// SHA-256 of a token: enough to recognise it, useless to spend it.
pub fn fingerprint(token: &Secret) -> Fingerprint {
    Fingerprint(sha256(token.expose().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing into a String cannot fail");
            text
        })
    }

    #[test]
    fn sha256_as_in_fips_180_4() {
        assert_eq!(
            hex(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(fingerprint(&Secret::new("abc")).0, sha256(b"abc"));
    }

    #[test]
    fn sha512_as_in_fips_180_4() {
        let hash = hex(&sha512(b"abc"));
        assert!(
            hash.starts_with("ddaf35a193617abacc417349ae204131"),
            "{hash}"
        );
        assert!(hash.ends_with("2a9ac94fa54ca49f"), "{hash}");
    }

    #[test]
    fn hmac_as_in_rfc_4231_case_2() {
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn base64url_is_strict() {
        assert_eq!(b64url([251, 255]), "-_8");
        assert_eq!(from_b64url("-_8"), Some(vec![251, 255]));
        for bad in ["-_8=", "+/8", "-_9", "a", "é"] {
            assert_eq!(from_b64url(bad), None, "{bad}");
        }
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<16>(), random::<16>());
    }
}
