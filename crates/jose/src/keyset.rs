//! Verifying keys, parsed once.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents,
};

use crate::alg::Alg;
use crate::jwk::{Jwk, JwkSet};
use crate::key::{KeyError, Material, SigningKey};
use crate::primitives::from_b64url;

/// More keys than this in one set are not looked at: no server has them, and trying keys costs time.
const MAX_KEYS: usize = 64;

enum Checker {
    Public(ParsedPublicKey),
    Hmac(Box<hmac::Key>),
}

pub(crate) struct VerifyingKey {
    kid: Option<Box<str>>,
    pub(crate) alg: Alg,
    checker: Checker,
}

impl VerifyingKey {
    /// Whether `signature` is this key's over `message`. HMACs are compared in constant time.
    pub(crate) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.checker {
            Checker::Public(key) => key.verify_sig(message, signature).is_ok(),
            Checker::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let for_signatures = jwk.use_.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures {
            return None;
        }
        let stated = match jwk.alg.as_deref() {
            Some(name) => Some(Alg::parse(name)?),
            None => None,
        };
        let alg = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => Alg::Es256,
            ("EC", Some("P-384")) => Alg::Es384,
            ("OKP", Some("Ed25519")) => Alg::EdDsa,
            // Entra ID leaves `alg` out of its keys; RS256 is what it, and OpenID Connect by default, means.
            ("RSA", _) => stated.unwrap_or(Alg::Rs256),
            _ => return None,
        };
        let contradicts = stated.is_some_and(|stated| stated != alg);
        if contradicts || (jwk.kty == "RSA" && !alg.is_rsa()) {
            return None;
        }
        Some(Self {
            kid: jwk.kid.as_deref().map(Into::into),
            alg,
            checker: Checker::Public(public_key(alg, jwk)?),
        })
    }

    fn from_signing_key(key: &SigningKey) -> Option<Self> {
        if let Material::Hmac(secret) = &key.material {
            return Some(Self {
                kid: Some(key.kid())
                    .filter(|kid| !kid.is_empty())
                    .map(Into::into),
                alg: Alg::Hs256,
                checker: Checker::Hmac(secret.clone()),
            });
        }
        let mut jwk = key.public_jwk()?;
        jwk.kid = jwk.kid.filter(|kid| !kid.is_empty());
        Self::from_jwk(&jwk)
    }
}

/// Parsed verifying keys. Every key has exactly one algorithm, so a token cannot choose how it is checked.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    skipped: usize,
}

impl KeySet {
    /// The keys of a set that can check signatures. Others (unknown types and curves, `use: enc`, symmetric
    /// keys, RSA below 2048 bits, broken ones, those beyond the 64th) are counted in [`KeySet::skipped`].
    pub fn from_jwks(set: &JwkSet) -> Self {
        let keys: Vec<_> = set
            .keys
            .iter()
            .filter_map(VerifyingKey::from_jwk)
            .take(MAX_KEYS)
            .collect();
        let skipped = set.keys.len() - keys.len();
        Self { keys, skipped }
    }

    /// One shared HS256 secret of at least 32 bytes. Without a `kid` it serves tokens of any `kid`.
    pub fn single_secret(kid: Option<&str>, secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::from_signing_key(&SigningKey::from_secret(
            kid.unwrap_or_default(),
            secret,
        )?))
    }

    /// The checking half of one signing key.
    pub fn from_signing_key(key: &SigningKey) -> Self {
        Self::from_signing_keys([key])
    }

    /// The checking halves of several signing keys.
    pub fn from_signing_keys<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Self {
        Self {
            keys: keys
                .into_iter()
                .filter_map(VerifyingKey::from_signing_key)
                .collect(),
            skipped: 0,
        }
    }

    /// Whether a key of this name is in the set.
    pub fn contains(&self, kid: &str) -> bool {
        self.kids().any(|known| known == kid)
    }

    /// The names of the keys that have one.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.kid.as_deref())
    }

    /// How many usable keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys of the JWK set could not be used.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Keys that may have signed a token of this `kid`: those of that name, and those without a name. A token
    /// without `kid` may be any key's.
    pub(crate) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
    ) -> impl Iterator<Item = &'a VerifyingKey> {
        self.keys.iter().filter(move |key| match (kid, &key.kid) {
            (Some(wanted), Some(has)) => wanted == &**has,
            _ => true,
        })
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self
            .keys
            .iter()
            .map(|key| (key.kid.as_deref().unwrap_or("-"), key.alg));
        f.debug_map().entries(shown).finish()
    }
}

fn public_key(alg: Alg, jwk: &Jwk) -> Option<ParsedPublicKey> {
    match alg {
        Alg::Es256 => ec_key(&signature::ECDSA_P256_SHA256_FIXED, 32, jwk),
        Alg::Es384 => ec_key(&signature::ECDSA_P384_SHA384_FIXED, 48, jwk),
        Alg::EdDsa => {
            let x = from_b64url(jwk.x.as_deref()?).filter(|x| x.len() == 32)?;
            ParsedPublicKey::new(&signature::ED25519, x).ok()
        }
        Alg::Rs256 => rsa_key(&signature::RSA_PKCS1_2048_8192_SHA256, jwk),
        Alg::Rs384 => rsa_key(&signature::RSA_PKCS1_2048_8192_SHA384, jwk),
        Alg::Rs512 => rsa_key(&signature::RSA_PKCS1_2048_8192_SHA512, jwk),
        Alg::Ps256 => rsa_key(&signature::RSA_PSS_2048_8192_SHA256, jwk),
        // A symmetric key has no business in a published set.
        Alg::Hs256 => None,
    }
}

fn ec_key(
    algorithm: &'static EcdsaVerificationAlgorithm,
    size: usize,
    jwk: &Jwk,
) -> Option<ParsedPublicKey> {
    let coordinate =
        |text: &Option<String>| from_b64url(text.as_deref()?).filter(|bytes| bytes.len() == size);
    let mut point = vec![4];
    point.extend(coordinate(&jwk.x)?);
    point.extend(coordinate(&jwk.y)?);
    ParsedPublicKey::new(algorithm, point).ok()
}

fn rsa_key(params: &'static RsaParameters, jwk: &Jwk) -> Option<ParsedPublicKey> {
    let trimmed = |text: &Option<String>| -> Option<Vec<u8>> {
        let bytes = from_b64url(text.as_deref()?)?;
        let start = bytes.iter().position(|byte| *byte != 0)?;
        Some(bytes[start..].to_vec())
    };
    let n = trimmed(&jwk.n).filter(|n| (256..=1024).contains(&n.len()))?;
    let e = trimmed(&jwk.e)?;
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(params)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.4 signs plain text, not claims, so the key is asked directly.
    #[test]
    fn ed25519_as_in_rfc_8037_a_4() {
        let jwk = Jwk {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()),
            ..Jwk::default()
        };
        let key = VerifyingKey::from_jwk(&jwk).expect("a usable key");
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = from_b64url(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        )
        .expect("base64url");
        assert!(key.accepts(message, &signature));
        assert!(!key.accepts(b"something else", &signature));
    }
}
