//! The parts of a token, read as far as they can be read.

use serde_json::{Map, Value};
use tenure_jose::{MAX_TOKEN_BYTES, from_b64url, peek};

use super::Flaw;
use super::kind::Kind;

/// Shorter than this, nothing is a token.
const SHORTEST: usize = 8;

/// A token taken apart.
#[derive(Default)]
pub(super) struct Anatomy<'a> {
    /// How many parts dots make.
    pub(super) parts: usize,
    /// The header, if it can be read.
    pub(super) header: Option<Map<String, Value>>,
    /// The claims, if they can be read.
    pub(super) claims: Option<Map<String, Value>>,
    /// The third part as it stands there.
    pub(super) signature: Option<&'a str>,
    /// What is wrong with its form.
    pub(super) flaw: Option<Flaw>,
    /// Set when it is no readable JWT.
    pub(super) kind: Option<Kind>,
}

impl Anatomy<'_> {
    /// The header's `alg`.
    pub(super) fn alg(&self) -> &str {
        let alg = self.header.as_ref().and_then(|header| header.get("alg"));
        alg.and_then(Value::as_str).unwrap_or_default()
    }

    /// The signature's length in bytes.
    pub(super) fn signature_bytes(&self) -> Option<usize> {
        from_b64url(self.signature?).map(|bytes| bytes.len())
    }
}

pub(super) fn take_apart(text: &str) -> Anatomy<'_> {
    let pieces: Vec<&str> = text.split('.').take(8).collect();
    let mut anatomy = Anatomy {
        parts: text.split('.').count(),
        header: pieces.first().and_then(|part| object(part)),
        claims: pieces.get(1).and_then(|part| object(part)),
        signature: pieces.get(2).copied().filter(|part| !part.is_empty()),
        ..Anatomy::default()
    };
    if let Some((cause, what, kind)) = form(&anatomy, text, &pieces) {
        anatomy.flaw = Some(Flaw::new(cause, what));
        anatomy.kind = kind;
    }
    anatomy
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&from_b64url(part)?) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

type Wrong = (&'static str, String, Option<Kind>);

#[expect(
    clippy::unnecessary_wraps,
    reason = "every step ends by saying this or nothing"
)]
fn wrong(cause: &'static str, what: impl Into<String>) -> Option<Wrong> {
    Some((cause, what.into(), None))
}

fn form(anatomy: &Anatomy<'_>, text: &str, pieces: &[&str]) -> Option<Wrong> {
    let Some(header) = &anatomy.header else {
        return headless(anatomy, text, pieces);
    };
    if text.len() > MAX_TOKEN_BYTES {
        return wrong(
            "too_large",
            format!(
                "It has {} bytes; servers refuse headers beyond 8 or 16 KiB.",
                text.len()
            ),
        );
    }
    if header.contains_key("enc") {
        return Some(encrypted(anatomy.parts));
    }
    match anatomy.parts {
        1 => wrong(
            "truncated",
            "It is cut off: only the header is there, payload and signature are missing.",
        ),
        2 if anatomy.claims.is_none() => wrong(
            "truncated",
            "It is cut off in its payload; the rest and the signature are missing.",
        ),
        2 => wrong(
            "signature_missing",
            "It is cut off after its payload: the signature is missing, so nobody can accept it.",
        ),
        3 => three(anatomy, text, pieces),
        parts => too_many(parts, pieces),
    }
}

fn encrypted(parts: usize) -> Wrong {
    let (cause, what) = match parts {
        5 => (
            "encrypted_token",
            "It is an encrypted token (JWE, 5 parts): its claims, and so its times, can be read only with the key of \
             whom it is for, as a rule the API. Nothing but its header can be decoded here; a client needs no more."
                .to_owned(),
        ),
        0..5 => (
            "truncated",
            format!("It is an encrypted token (JWE) with {parts} of 5 parts: the rest was cut off."),
        ),
        _ => (
            "too_many_parts",
            format!("It is an encrypted token (JWE) with {parts} parts; it should have 5."),
        ),
    };
    (cause, what, Some(Kind::EncryptedToken))
}

fn too_many(parts: usize, pieces: &[&str]) -> Option<Wrong> {
    let glued = pieces.get(2).is_some_and(|part| part.contains("eyJ"))
        || pieces.get(3).is_some_and(|part| part.starts_with("eyJ"));
    if glued {
        return wrong(
            "two_tokens",
            "These are two tokens with nothing between them; send the access token alone.",
        );
    }
    wrong(
        "too_many_parts",
        format!("It has {parts} parts separated by dots; a signed token has 3."),
    )
}

fn three(anatomy: &Anatomy<'_>, text: &str, pieces: &[&str]) -> Option<Wrong> {
    let unsigned = anatomy.alg().eq_ignore_ascii_case("none");
    let Some(signature) = anatomy.signature else {
        // Unsigned tokens end with a dot; that is judged with the algorithm.
        return if unsigned {
            None
        } else {
            wrong(
                "signature_missing",
                "It ends after its second dot: the signature is missing, so nobody can accept it.",
            )
        };
    };
    if anatomy.claims.is_none() {
        return wrong("damaged_payload", damaged_payload(pieces[1]));
    }
    signature_length(anatomy, signature).or_else(|| strict(text))
}

fn damaged_payload(part: &str) -> &'static str {
    match from_b64url(part) {
        None if part.len() % 4 == 1 => {
            "Its payload has a length that base64 never has: at least one character is missing or too many."
        }
        None => "Its payload is not base64url: characters were changed or lost.",
        Some(_) => "Its payload is not JSON: characters were changed or lost.",
    }
}

fn signature_length(anatomy: &Anatomy<'_>, signature: &str) -> Option<Wrong> {
    if signature.len() % 4 == 1 {
        return wrong(
            "signature_cut",
            "Its signature has a length that base64 never has: at least one character is missing or too many.",
        );
    }
    let Some(bytes) = from_b64url(signature) else {
        return if signature
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            wrong(
                "signature_cut",
                "Its signature ends in the middle of a byte: it was cut or changed at the end.",
            )
        } else {
            wrong(
                "damaged_signature",
                "Its signature is not base64url: characters were changed.",
            )
        };
    };
    let (alg, length) = (anatomy.alg(), bytes.len());
    let (fits, expected) = match alg {
        "HS256" => (length == 32, "32"),
        "HS384" => (length == 48, "48"),
        "HS512" | "ES256" | "ES256K" | "EdDSA" | "Ed25519" => (length == 64, "64"),
        "ES384" => (length == 96, "96"),
        "ES512" => (length == 132, "132"),
        "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => (
            length >= 128 && length.is_multiple_of(64),
            "256 (or, with larger keys, 384 or 512)",
        ),
        _ => return None,
    };
    if fits {
        return None;
    }
    if alg.starts_with("ES")
        && bytes.first() == Some(&0x30)
        && bytes
            .get(1)
            .is_some_and(|rest| usize::from(*rest) + 2 == length)
    {
        return wrong(
            "signature_der",
            "Its signature is in DER form, where tokens have the plain numbers (RFC 7518 §3.4): the program that signs must convert it.",
        );
    }
    wrong(
        "signature_cut",
        format!(
            "Its signature has {length} bytes; {alg} makes {expected}. It was cut or something was added."
        ),
    )
}

/// What strict readers refuse beyond that.
fn strict(text: &str) -> Option<Wrong> {
    let malformed = peek(text).err()?;
    wrong(
        "malformed",
        format!("Strict readers refuse it: {malformed}."),
    )
}

/// The first part is no JSON object.
fn headless(anatomy: &Anatomy<'_>, text: &str, pieces: &[&str]) -> Option<Wrong> {
    if anatomy.claims.is_some() {
        return if text.starts_with("eyJ") {
            wrong(
                "damaged_header",
                "Its header cannot be read: characters were changed or lost. Its payload is whole.",
            )
        } else {
            wrong(
                "beginning_missing",
                "Its beginning is missing or changed (tokens begin with `eyJ`). Its payload is whole.",
            )
        };
    }
    let payload_first = anatomy.parts == 2 && pieces[0].starts_with("eyJ");
    if text.starts_with("eyJ") {
        return match anatomy.parts {
            1 => wrong(
                "truncated",
                "It begins like a token and is cut off in its header.",
            ),
            _ if payload_first => wrong(
                "damaged_header",
                "It begins like a token, but neither header nor payload can be read: it is cut or changed.",
            ),
            _ => wrong(
                "damaged_header",
                "It begins like a token, but its header cannot be read: characters were changed or lost.",
            ),
        };
    }
    if text.len() < SHORTEST {
        return Some((
            "too_short",
            format!(
                "It has {} characters, too few for any token.",
                text.chars().count()
            ),
            Some(Kind::NoToken),
        ));
    }
    Some((
        "opaque_token",
        "It is no JWT (those begin with `eyJ` and have two dots): an opaque token or a word. Nothing in it can be decoded; only its server can say whose it is, what it allows and when it ends.".to_owned(),
        Some(Kind::OpaqueToken),
    ))
}
