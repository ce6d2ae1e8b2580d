//! Signing keys.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
    RsaPublicKeyComponents,
};
use aws_lc_rs::{error, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tenure_core::Secret;
use zeroize::Zeroizing;

use crate::alg::Alg;
use crate::jwk::Jwk;
use crate::primitives::{b64url, random};
use crate::token::MAX_TOKEN_BYTES;

/// RFC 7518 §3.2: an HMAC key at least as long as the hash.
const MIN_SECRET_BYTES: usize = 32;
/// RFC 7518 §3.3: 2048 bits or more.
const MIN_RSA_BYTES: usize = 256;

/// Why a key could not be made, read or used. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No generator for this algorithm.
    #[error(
        "a key for {0} cannot be generated here; generate ES256, EdDSA, RS256 or HS256, or import a PKCS#8 key"
    )]
    CannotGenerate(Alg),
    /// The bytes are no private key for this algorithm.
    #[error(
        "the private key cannot be read as a key for {alg}: {why}. Expected is unencrypted PKCS#8 of the right kind"
    )]
    Unreadable {
        /// The algorithm asked for.
        alg: Alg,
        /// What the crypto library said.
        why: String,
    },
    /// The text holds no usable PEM block.
    #[error("no private key in the PEM text: {0}")]
    Pem(&'static str),
    /// The key is weaker than its algorithm demands.
    #[error("the key for {alg} has {bits} bits; at least {min_bits} are needed (RFC 7518 §3)")]
    TooShort {
        /// The algorithm asked for.
        alg: Alg,
        /// What the key has.
        bits: usize,
        /// What it must have.
        min_bits: usize,
    },
    /// The claims are no JSON object.
    #[error("the claims cannot be written as a JSON object: {0}")]
    Claims(String),
    /// The token would be larger than anybody accepts.
    #[error("the token would have {bytes} bytes; at most {MAX_TOKEN_BYTES} are accepted")]
    TokenTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The crypto library refused.
    #[error("the crypto library could not {0}")]
    Crypto(&'static str),
}

pub(crate) enum Material {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(rsa::KeyPair),
    Hmac(Box<hmac::Key>),
}

/// A private key (or HMAC secret) with its one algorithm and its name; parsed once, usable from many threads.
pub struct SigningKey {
    kid: Box<str>,
    alg: Alg,
    pub(crate) material: Material,
    /// What [`SigningKey::to_pkcs8`] gives back.
    stored: Zeroizing<Vec<u8>>,
}

impl SigningKey {
    /// Makes a new key: P-256, P-384, Ed25519, RSA with 2048 bits, or 32 random bytes for HS256.
    pub fn generate(alg: Alg, kid: &str) -> Result<Self, KeyError> {
        let failed = |_: error::Unspecified| KeyError::Crypto("generate a key");
        let stored = match alg {
            Alg::Es256 | Alg::Es384 => {
                let pair = EcdsaKeyPair::generate(curve(alg)).map_err(failed)?;
                pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
            }
            Alg::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
            }
            Alg::Rs256 | Alg::Rs384 | Alg::Rs512 | Alg::Ps256 => {
                rsa_pkcs8(&rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(failed)?)?
            }
            Alg::Hs256 => random::<MIN_SECRET_BYTES>().to_vec(),
        };
        Self::from_stored(alg, kid, Zeroizing::new(stored))
    }

    /// Reads an unencrypted PKCS#8 private key (RFC 5208), or for HS256 the secret itself: what
    /// [`SigningKey::to_pkcs8`] wrote.
    pub fn from_pkcs8(alg: Alg, kid: &str, der: &[u8]) -> Result<Self, KeyError> {
        Self::from_stored(alg, kid, Zeroizing::new(der.to_vec()))
    }

    /// Reads a PEM file with a `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1) or `EC PRIVATE KEY` (SEC 1).
    pub fn from_pem(alg: Alg, kid: &str, pem: &str) -> Result<Self, KeyError> {
        let (label, der) = pem_block(pem)?;
        match label {
            "PRIVATE KEY" => Self::from_stored(alg, kid, der),
            "RSA PRIVATE KEY" if alg.is_rsa() => {
                let pair = rsa::KeyPair::from_der(&der).map_err(|why| unreadable(alg, &why))?;
                Self::from_stored(alg, kid, Zeroizing::new(rsa_pkcs8(&pair)?))
            }
            "EC PRIVATE KEY" if matches!(alg, Alg::Es256 | Alg::Es384) => {
                let pair = EcdsaKeyPair::from_private_key_der(curve(alg), &der)
                    .map_err(|why| unreadable(alg, &why))?;
                let pkcs8 = pair
                    .to_pkcs8v1()
                    .map_err(|_| KeyError::Crypto("write the key as PKCS#8"))?;
                Self::from_stored(alg, kid, Zeroizing::new(pkcs8.as_ref().to_vec()))
            }
            _ => Err(unreadable(alg, &"the PEM block is of another kind")),
        }
    }

    /// An HS256 key from a shared secret of at least 32 bytes.
    pub fn from_secret(kid: &str, bytes: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8(Alg::Hs256, kid, bytes)
    }

    fn from_stored(alg: Alg, kid: &str, stored: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let material = match alg {
            Alg::Es256 | Alg::Es384 => Material::Ec(
                EcdsaKeyPair::from_pkcs8(curve(alg), &stored)
                    .map_err(|why| unreadable(alg, &why))?,
            ),
            Alg::EdDsa => Material::Ed(
                Ed25519KeyPair::from_pkcs8(&stored).map_err(|why| unreadable(alg, &why))?,
            ),
            Alg::Rs256 | Alg::Rs384 | Alg::Rs512 | Alg::Ps256 => {
                let pair =
                    rsa::KeyPair::from_pkcs8(&stored).map_err(|why| unreadable(alg, &why))?;
                long_enough(alg, pair.public_modulus_len(), MIN_RSA_BYTES)?;
                Material::Rsa(pair)
            }
            Alg::Hs256 => {
                long_enough(alg, stored.len(), MIN_SECRET_BYTES)?;
                Material::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &stored)))
            }
        };
        Ok(Self {
            kid: kid.into(),
            alg,
            material,
            stored,
        })
    }

    /// The private key as PKCS#8 DER (for HS256 the secret itself), to be sealed. Wiped when dropped.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.stored.clone()
    }

    /// Its name within its set.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its algorithm.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// The public half; `None` for an HMAC key, which has none.
    pub fn public_jwk(&self) -> Option<Jwk> {
        let mut jwk = Jwk {
            kid: Some(self.kid.to_string()),
            use_: Some("sig".to_owned()),
            alg: Some(self.alg.as_str().to_owned()),
            ..Jwk::default()
        };
        match &self.material {
            Material::Ec(pair) => {
                // 0x04 ‖ X ‖ Y, both of the curve's full length (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                jwk.kty = String::from("EC");
                jwk.crv = Some(
                    if self.alg == Alg::Es256 {
                        "P-256"
                    } else {
                        "P-384"
                    }
                    .to_owned(),
                );
                jwk.x = Some(b64url(x));
                jwk.y = Some(b64url(y));
            }
            Material::Ed(pair) => {
                jwk.kty = String::from("OKP");
                jwk.crv = Some("Ed25519".to_owned());
                jwk.x = Some(b64url(pair.public_key()));
            }
            Material::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                jwk.kty = String::from("RSA");
                jwk.n = Some(b64url(&public.n));
                jwk.e = Some(b64url(&public.e));
            }
            Material::Hmac(_) => return None,
        }
        Some(jwk)
    }

    /// Signs claims: header `{alg, typ?, kid}` (no `kid` when its name is empty), JWS compact serialisation.
    pub fn sign<T: Serialize>(&self, typ: Option<&str>, claims: &T) -> Result<Secret, KeyError> {
        bearable(self.sign_document(typ, claims)?)
    }

    /// As [`SigningKey::sign`], of any size: for a document that travels as a body, not as a token in a header.
    pub fn sign_document<T: Serialize>(
        &self,
        typ: Option<&str>,
        claims: &T,
    ) -> Result<Secret, KeyError> {
        #[derive(Serialize)]
        struct Head<'a> {
            alg: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            typ: Option<&'a str>,
            #[serde(skip_serializing_if = "str::is_empty")]
            kid: &'a str,
        }
        let head = Head {
            alg: self.alg.as_str(),
            typ,
            kid: &self.kid,
        };
        self.sign_parts(&head, claims)
    }

    /// Signs claims under a header of the caller's (DPoP proofs carry their key in it, RFC 9449 §4.2). Its
    /// `alg` must be this key's.
    pub fn sign_with_header<H: Serialize, T: Serialize>(
        &self,
        header: &H,
        claims: &T,
    ) -> Result<Secret, KeyError> {
        let value =
            serde_json::to_value(header).map_err(|why| KeyError::Claims(why.to_string()))?;
        if value.get("alg").and_then(serde_json::Value::as_str) != Some(self.alg.as_str()) {
            return Err(KeyError::Claims(format!(
                "the header's alg must be {}, the key's",
                self.alg
            )));
        }
        bearable(self.sign_parts(&value, claims)?)
    }

    fn sign_parts<H: Serialize, T: Serialize>(
        &self,
        header: &H,
        claims: &T,
    ) -> Result<Secret, KeyError> {
        let text = Zeroizing::new(format!("{}.{}", part(header)?, part(claims)?));
        let signature = self.sign_bytes(text.as_bytes())?;
        let token = format!("{}.{}", text.as_str(), b64url(signature));
        Ok(Secret::new(token))
    }

    fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_: error::Unspecified| KeyError::Crypto("sign");
        let rng = SystemRandom::new();
        Ok(match &self.material {
            Material::Ec(pair) => pair.sign(&rng, message).map_err(failed)?.as_ref().to_vec(),
            Material::Ed(pair) => pair.try_sign(message).map_err(failed)?.as_ref().to_vec(),
            Material::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_encoding(self.alg), &rng, message, &mut out)
                    .map_err(failed)?;
                out
            }
            Material::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        })
    }
}

/// A token that readers accept.
fn bearable(token: Secret) -> Result<Secret, KeyError> {
    let bytes = token.expose().len();
    if bytes > MAX_TOKEN_BYTES {
        return Err(KeyError::TokenTooLarge { bytes });
    }
    Ok(token)
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .finish()
    }
}

fn part<T: Serialize>(value: &T) -> Result<String, KeyError> {
    let json = serde_json::to_vec(value).map_err(|why| KeyError::Claims(why.to_string()))?;
    if json.first() != Some(&b'{') {
        return Err(KeyError::Claims("it is not an object".to_owned()));
    }
    Ok(b64url(json))
}

fn curve(alg: Alg) -> &'static EcdsaSigningAlgorithm {
    if alg == Alg::Es384 {
        &signature::ECDSA_P384_SHA384_FIXED_SIGNING
    } else {
        &signature::ECDSA_P256_SHA256_FIXED_SIGNING
    }
}

fn rsa_encoding(alg: Alg) -> &'static dyn RsaEncoding {
    match alg {
        Alg::Rs384 => &signature::RSA_PKCS1_SHA384,
        Alg::Rs512 => &signature::RSA_PKCS1_SHA512,
        Alg::Ps256 => &signature::RSA_PSS_SHA256,
        _ => &signature::RSA_PKCS1_SHA256,
    }
}

fn rsa_pkcs8(pair: &rsa::KeyPair) -> Result<Vec<u8>, KeyError> {
    let der: Pkcs8V1Der = pair
        .as_der()
        .map_err(|_| KeyError::Crypto("write the key as PKCS#8"))?;
    Ok(der.as_ref().to_vec())
}

fn unreadable(alg: Alg, why: &dyn std::fmt::Display) -> KeyError {
    KeyError::Unreadable {
        alg,
        why: why.to_string(),
    }
}

pub(crate) fn long_enough(alg: Alg, bytes: usize, min: usize) -> Result<(), KeyError> {
    if bytes >= min {
        return Ok(());
    }
    Err(KeyError::TooShort {
        alg,
        bits: bytes * 8,
        min_bits: min * 8,
    })
}

/// The label and contents of the first private key in a PEM text (RFC 7468).
fn pem_block(pem: &str) -> Result<(&str, Zeroizing<Vec<u8>>), KeyError> {
    let mut rest = pem;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after
            .split_once("-----")
            .ok_or(KeyError::Pem("a BEGIN line is cut off"))?;
        if label == "ENCRYPTED PRIVATE KEY" || after.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Pem(
                "it is encrypted; decrypt it with: openssl pkcs8 -topk8 -nocrypt",
            ));
        }
        let (body, after) = after
            .split_once("-----END ")
            .ok_or(KeyError::Pem("the END line is missing"))?;
        if label.ends_with("PRIVATE KEY") {
            let body: Zeroizing<String> =
                Zeroizing::new(body.chars().filter(|c| !c.is_whitespace()).collect());
            let der = STANDARD
                .decode(body.as_bytes())
                .map_err(|_| KeyError::Pem("its contents are not base64"))?;
            return Ok((label, Zeroizing::new(der)));
        }
        rest = after;
    }
    Err(KeyError::Pem("there is no `-----BEGIN PRIVATE KEY-----`"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::EcPrivateKeyRfc5915Der;

    use super::*;
    use crate::keyset::KeySet;
    use crate::verify::verify_signature;

    fn pem(label: &str, der: &[u8]) -> String {
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN {label}-----\r\n{}\r\n-----END {label}-----\r\n",
            lines.join("\r\n")
        )
    }

    fn same_key(one: &SigningKey, other: &SigningKey) {
        let token = one.sign(None, &serde_json::json!({})).expect("signed");
        verify_signature(token.expose(), &KeySet::from_signing_key(other)).expect("the same key");
    }

    #[test]
    fn keys_survive_being_stored() {
        for alg in Alg::ALL {
            let key = SigningKey::generate(alg, "k1").expect("a key");
            let again = SigningKey::from_pkcs8(alg, "k1", &key.to_pkcs8()).expect("readable");
            same_key(&key, &again);
            same_key(&again, &key);
            assert_eq!(key.public_jwk(), again.public_jwk());
        }
    }

    #[test]
    fn pem_in_its_three_kinds() {
        let ec = SigningKey::generate(Alg::Es256, "e").expect("a key");
        let text = format!("comment\n{}", pem("PRIVATE KEY", &ec.to_pkcs8()));
        same_key(
            &ec,
            &SigningKey::from_pem(Alg::Es256, "e", &text).expect("PKCS#8"),
        );

        let Material::Ec(pair) = &ec.material else {
            unreachable!("an EC key")
        };
        let sec1: EcPrivateKeyRfc5915Der = pair.private_key().as_der().expect("DER");
        // openssl puts the curve into a block of its own first.
        let text = format!(
            "{}{}",
            pem("EC PARAMETERS", b"\x06\x08*\x86H\xce=\x03\x01\x07"),
            pem("EC PRIVATE KEY", sec1.as_ref())
        );
        same_key(
            &ec,
            &SigningKey::from_pem(Alg::Es256, "e", &text).expect("SEC 1"),
        );

        let rsa = SigningKey::generate(Alg::Rs256, "r").expect("a key");
        // A PKCS#8 RSA key is 26 bytes of wrapping around the PKCS#1 key.
        let text = pem("RSA PRIVATE KEY", &rsa.to_pkcs8()[26..]);
        same_key(
            &rsa,
            &SigningKey::from_pem(Alg::Rs256, "r", &text).expect("PKCS#1"),
        );
    }

    #[test]
    fn unusable_keys_are_refused_by_name() {
        let ec = SigningKey::generate(Alg::Es256, "e")
            .expect("a key")
            .to_pkcs8();
        for alg in [Alg::Es384, Alg::EdDsa, Alg::Rs256] {
            let refused = SigningKey::from_pkcs8(alg, "k", &ec).expect_err("another kind");
            assert!(matches!(refused, KeyError::Unreadable { .. }), "{refused}");
        }
        let text = |alg, pem: &str| {
            SigningKey::from_pem(alg, "k", pem)
                .expect_err("refused")
                .to_string()
        };
        assert!(text(Alg::Es256, "nothing").contains("there is no"));
        assert!(text(Alg::Es256, "-----BEGIN PRIVATE KEY-----\nAAAA").contains("END line"));
        assert!(text(Alg::Es256, &pem("ENCRYPTED PRIVATE KEY", &ec)).contains("-nocrypt"));
        assert!(text(Alg::Es256, &pem("RSA PRIVATE KEY", &ec)).contains("another kind"));
        let short = SigningKey::from_secret("k", &[0; 31]).expect_err("too short");
        assert_eq!(
            short.to_string(),
            "the key for HS256 has 248 bits; at least 256 are needed (RFC 7518 §3)"
        );
    }

    #[test]
    fn claims_must_be_an_object_of_bearable_size() {
        let key = SigningKey::generate(Alg::EdDsa, "k").expect("a key");
        assert!(matches!(key.sign(None, &[1, 2]), Err(KeyError::Claims(_))));
        let big = serde_json::json!({"x": "y".repeat(MAX_TOKEN_BYTES)});
        assert!(matches!(
            key.sign(None, &big),
            Err(KeyError::TokenTooLarge { .. })
        ));
        assert!(key.sign_document(None, &big).is_ok());
        let wrong =
            key.sign_with_header(&serde_json::json!({"alg": "none"}), &serde_json::json!({}));
        assert!(matches!(wrong, Err(KeyError::Claims(_))));
    }

    #[test]
    fn debug_shows_no_material() {
        let key = SigningKey::from_secret("till", &[b'S'; 32]).expect("long enough");
        assert_eq!(
            format!("{key:?}"),
            r#"SigningKey { kid: "till", alg: Hs256 }"#
        );
    }
}
