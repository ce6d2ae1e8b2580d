//! Taking a token apart without trusting it.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::primitives::from_b64url;

/// The largest token looked at, in bytes. Real ones have 0.5–4 KiB; servers refuse larger headers than this.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
const MAX_HEADER_BYTES: usize = 4 * 1024;
const MAX_NAME_BYTES: usize = 512;

/// Why a text is no JWS in compact serialisation with JSON claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More than [`MAX_TOKEN_BYTES`].
    #[error("the token has {bytes} bytes; at most {MAX_TOKEN_BYTES} are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not three parts.
    #[error("the token has {found} part{} separated by dots instead of 3{}", if *found == 1 { "" } else { "s" }, if *found == 5 { " (5 parts: an encrypted token, which only its audience can read)" } else { "" })]
    Segments {
        /// How many there are.
        found: usize,
    },
    /// A part is not base64url (RFC 7515 §2).
    #[error("the token's {0} is not base64url")]
    Encoding(Part),
    /// A part is not a JSON object.
    #[error("the token's {0} is not a JSON object")]
    Json(Part),
    /// A member occurs twice (RFC 7515 §4, RFC 7519 §4).
    #[error("the token's {0} names a member twice")]
    Duplicate(Part),
    /// The header is larger than 4 KiB or one of its names is larger than 512 bytes.
    #[error("the token's header is absurdly large")]
    HeaderTooLarge,
    /// A header parameter is not of its type, or `alg` is missing.
    #[error("the token's header parameter `{0}` is missing or not a string")]
    Parameter(&'static str),
    /// The header demands extensions (`crit`, RFC 7515 §4.1.11); none is known here.
    #[error("the token's header lists critical extensions (`crit`), which are not supported")]
    Critical,
    /// A time is not a number (RFC 7519 §2, NumericDate).
    #[error("the token's claim `{0}` is not a number of seconds")]
    NotANumber(&'static str),
}

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first.
    Header,
    /// The second.
    Claims,
    /// The third.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Header => "header",
            Part::Claims => "payload",
            Part::Signature => "signature",
        })
    }
}

/// The header parameters that matter. Keys inside the token (`jwk`, `jku`, `x5u`, `x5c`) are never followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The algorithm, as written.
    pub alg: String,
    /// The name of the signing key.
    pub kid: Option<String>,
    /// The type, such as `at+jwt` (RFC 9068 §2.1).
    pub typ: Option<String>,
}

/// A token's header and claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Peek {
    /// The header.
    pub header: Header,
    /// The claims.
    pub claims: Map<String, Value>,
}

impl Peek {
    /// When it was issued, epoch seconds.
    pub fn iat(&self) -> Option<i64> {
        self.seconds("iat").ok().flatten()
    }

    /// When it expires, epoch seconds.
    pub fn exp(&self) -> Option<i64> {
        self.seconds("exp").ok().flatten()
    }

    /// From when it is valid, epoch seconds.
    pub fn nbf(&self) -> Option<i64> {
        self.seconds("nbf").ok().flatten()
    }

    /// Who issued it.
    pub fn iss(&self) -> Option<&str> {
        self.text("iss")
    }

    /// Whom it is about.
    pub fn sub(&self) -> Option<&str> {
        self.text("sub")
    }

    /// Its own name.
    pub fn jti(&self) -> Option<&str> {
        self.text("jti")
    }

    /// For whom it is: one string or an array of them (RFC 7519 §4.1.3).
    pub fn aud(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// A claim that is a string.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }

    /// A NumericDate, fractions cut off; `Ok(None)` when absent.
    pub(crate) fn seconds(&self, claim: &'static str) -> Result<Option<i64>, Malformed> {
        let Some(value) = self.claims.get(claim) else {
            return Ok(None);
        };
        let Value::Number(number) = value else {
            return Err(Malformed::NotANumber(claim));
        };
        // A float is cast saturating: 1e300 is "never", not a wrap-around.
        let whole = number
            .as_i64()
            .or_else(|| number.as_f64().map(|float| float.floor() as i64));
        whole.map(Some).ok_or(Malformed::NotANumber(claim))
    }
}

/// A token taken apart.
pub(crate) struct Parts<'a> {
    pub(crate) peek: Peek,
    pub(crate) critical: bool,
    /// What was signed: header and claims as they stand in the token.
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

/// Reads a token without verifying it: nothing in the result may be trusted.
///
/// # Errors
/// [`Malformed`] when the text is no JWS with JSON claims. Its contents are in no error.
pub fn peek(token: &str) -> Result<Peek, Malformed> {
    Ok(take_apart(token)?.peek)
}

pub(crate) fn take_apart(token: &str) -> Result<Parts<'_>, Malformed> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Malformed::TooLarge { bytes: token.len() });
    }
    take_apart_any(token)
}

/// Of any size.
pub(crate) fn take_apart_any(token: &str) -> Result<Parts<'_>, Malformed> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed::Segments {
            found: token.split('.').count(),
        });
    };
    if header.len() > MAX_HEADER_BYTES {
        return Err(Malformed::HeaderTooLarge);
    }
    let message = &token.as_bytes()[..header.len() + 1 + claims.len()];
    let (header, critical) = read_header(&object(header, Part::Header)?)?;
    let claims = object(claims, Part::Claims)?;
    let signature = from_b64url(signature).ok_or(Malformed::Encoding(Part::Signature))?;
    Ok(Parts {
        peek: Peek { header, claims },
        critical,
        message,
        signature,
    })
}

fn read_header(members: &Map<String, Value>) -> Result<(Header, bool), Malformed> {
    let text = |name: &'static str| match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() > MAX_NAME_BYTES => Err(Malformed::HeaderTooLarge),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Malformed::Parameter(name)),
    };
    let alg = text("alg")?
        .filter(|alg| !alg.is_empty())
        .ok_or(Malformed::Parameter("alg"))?;
    let header = Header {
        alg,
        kid: text("kid")?,
        typ: text("typ")?,
    };
    // `b64` (RFC 7797) changes what was signed; it is only honoured as critical, and refused even if it is not.
    Ok((
        header,
        members.contains_key("crit") || members.contains_key("b64"),
    ))
}

fn object(text: &str, part: Part) -> Result<Map<String, Value>, Malformed> {
    let json = from_b64url(text).ok_or(Malformed::Encoding(part))?;
    let mut duplicate = false;
    let mut reader = serde_json::Deserializer::from_slice(&json);
    let map = reader
        .deserialize_map(Unique {
            duplicate: &mut duplicate,
        })
        .and_then(|map| reader.end().map(|()| map));
    map.map_err(|_| {
        if duplicate {
            Malformed::Duplicate(part)
        } else {
            Malformed::Json(part)
        }
    })
}

/// Reads an object whose member names must differ: two readers of one token must not see different claims.
struct Unique<'a> {
    duplicate: &'a mut bool,
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if map.insert(name, value).is_some() {
                *self.duplicate = true;
                return Err(A::Error::custom("a member occurs twice"));
            }
        }
        Ok(map)
    }
}
