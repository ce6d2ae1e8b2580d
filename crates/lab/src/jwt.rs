//! JWTs of the stand-ins (HS256), judged in the order and with the texts of php-jwt.
//!
//! Written apart from the project's own JOSE code on purpose: the two sides of a test share no mistakes.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Why a token was refused, as php-jwt's exceptions do (order: segments, header, payload, algorithm,
/// signature, nbf, iat, exp).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    Segments,
    Header,
    Claims,
    Algorithm,
    Signature,
    Nbf(i64),
    Iat(i64),
    Expired,
}

impl Bad {
    /// The text of php-jwt up to 6.8.0, which the bundled copies of most plugins have.
    pub(crate) fn text(&self) -> String {
        match self {
            Bad::Segments => "Wrong number of segments".into(),
            Bad::Header => "Invalid header encoding".into(),
            Bad::Claims => "Invalid claims encoding".into(),
            Bad::Algorithm => "Algorithm not supported".into(),
            Bad::Signature => "Signature verification failed".into(),
            Bad::Nbf(at) | Bad::Iat(at) => format!("Cannot handle token prior to {}", iso8601(*at)),
            Bad::Expired => "Expired token".into(),
        }
    }

    /// The text since php-jwt 6.8.1, which says which of the two times it was.
    pub(crate) fn newer_text(&self) -> String {
        match self {
            Bad::Nbf(at) => format!("Cannot handle token with nbf prior to {}", iso8601(*at)),
            Bad::Iat(at) => format!("Cannot handle token with iat prior to {}", iso8601(*at)),
            other => other.text(),
        }
    }
}

/// Signs claims.
pub(crate) fn sign(secret: &str, claims: &Value) -> String {
    let signed = format!(
        "{}.{}",
        encode(&json!({ "typ": "JWT", "alg": "HS256" })),
        encode(claims)
    );
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        signed.as_bytes(),
    );
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A key pair for ES256 whose public half is published.
#[derive(Debug)]
pub(crate) struct PublishedKey {
    pair: EcdsaKeyPair,
    kid: String,
}

impl PublishedKey {
    pub(crate) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .expect("the operating system gives random bytes");
        Self {
            pair,
            kid: random_hex(4),
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": self.kid });
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self
            .pair
            .sign(&rand::SystemRandom::new(), signed.as_bytes())
            .expect("a good key signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// As RFC 7517 and 7518 §6.2 write it.
    pub(crate) fn public(&self) -> Value {
        // 4 ‖ x ‖ y, 32 bytes each.
        let point = self.pair.public_key().as_ref();
        let coordinate = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": coordinate(1), "y": coordinate(33),
        })
    }
}

/// Verifies a token at `now` (epoch seconds) and gives its claims. Equal to `exp` is expired.
pub(crate) fn verify(secret: &str, token: &str, now: i64, leeway: i64) -> Result<Value, Bad> {
    let claims = verify_signature(secret, token)?;
    let time = |name: &str| claims.get(name).and_then(Value::as_i64);
    if let Some(nbf) = time("nbf").filter(|nbf| *nbf > now + leeway) {
        return Err(Bad::Nbf(nbf));
    }
    if let Some(iat) = time("iat").filter(|iat| *iat > now + leeway) {
        return Err(Bad::Iat(iat));
    }
    match time("exp") {
        Some(exp) if now - leeway >= exp => Err(Bad::Expired),
        _ => Ok(claims),
    }
}

/// Verifies everything but the times.
pub(crate) fn verify_signature(secret: &str, token: &str) -> Result<Value, Bad> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, tag] = parts[..] else {
        return Err(Bad::Segments);
    };
    let header = decode(header).ok_or(Bad::Header)?;
    let claims = decode(payload).ok_or(Bad::Claims)?;
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(Bad::Algorithm);
    }
    let signed = &token[..token.len() - tag.len() - 1];
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Bad::Signature)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, signed.as_bytes(), &tag).map_err(|_| Bad::Signature)?;
    Ok(claims)
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decode(part: &str) -> Option<Value> {
    let value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    matches!(value, Value::Object(_)).then_some(value)
}

/// Random bytes in hexadecimal, unique in this process even if the random source were not.
pub(crate) fn random_hex(bytes: usize) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let mut random = vec![0; bytes];
    rand::fill(&mut random).expect("the operating system gives random bytes");
    let n = COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    for (byte, n) in random.iter_mut().zip(n.iter().rev()) {
        *byte ^= n;
    }
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    random
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// A random UUID (version 4).
pub(crate) fn uuid4() -> String {
    let hex = random_hex(16);
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

/// The S256 challenge of a PKCE verifier (RFC 7636 §4.2).
pub(crate) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// `2005-08-15T15:52:01+0000`, the format PHP calls `DateTime::ISO8601`.
fn iso8601(epoch_s: i64) -> String {
    let (days, second) = (epoch_s.div_euclid(86_400), epoch_s.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}+0000",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Days since 1970-01-01 as year, month and day of the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_in_the_order_of_php_jwt() {
        let token = sign("key", &json!({ "iat": 100, "nbf": 100, "exp": 200 }));
        assert!(verify("key", &token, 150, 0).is_ok());
        assert_eq!(
            verify("key", &token, 200, 0),
            Err(Bad::Expired),
            "equal is expired"
        );
        assert!(verify("key", &token, 230, 60).is_ok(), "within the leeway");
        assert_eq!(verify("key", &token, 99, 0), Err(Bad::Nbf(100)));
        assert_eq!(
            verify("other", &token, 999, 0),
            Err(Bad::Signature),
            "a wrong key hides an expiry"
        );
        assert_eq!(verify("key", "null", 150, 0), Err(Bad::Segments));
        assert_eq!(verify("key", "a.b.c", 150, 0), Err(Bad::Header));
        assert_eq!(
            Bad::Iat(1_124_121_121).text(),
            "Cannot handle token prior to 2005-08-15T15:52:01+0000"
        );
        assert_eq!(
            Bad::Iat(951_782_400).newer_text(),
            "Cannot handle token with iat prior to 2000-02-29T00:00:00+0000"
        );
    }

    #[test]
    fn challenge_of_rfc_7636_appendix_b() {
        assert_eq!(
            s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn random_values_differ() {
        assert_ne!(random_hex(8), random_hex(8));
        assert_eq!(uuid4().len(), 36);
    }
}
