//! Verifying, with the exact reason when it fails.

use crate::alg::Alg;
use crate::keyset::KeySet;
use crate::token::{Malformed, Parts, Peek, take_apart, take_apart_any};

/// Texts out of a token are cut to this many characters before they stand in a reason.
const MAX_SHOWN: usize = 200;

/// What a token must satisfy beside its signature. `None` leaves a check out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<'a> {
    /// The exact `iss`.
    pub issuer: Option<&'a str>,
    /// One of `aud`.
    pub audience: Option<&'a str>,
    /// The header's `typ`, case-insensitive, with or without `application/` (RFC 7515 §4.1.9).
    pub typ: Option<&'a str>,
    /// How far clocks may differ, in seconds; applied to `nbf`, `iat` and `exp`.
    pub leeway_s: i64,
    /// Now, in epoch seconds.
    pub now_s: i64,
}

/// Why a token is refused. Distances in seconds are from the claim itself, leeway not subtracted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is no token.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No key of that name.
    #[error("no key `{}` is known to have signed the token", kid.as_deref().unwrap_or("(unnamed)"))]
    UnknownKey {
        /// The name in the token's header.
        kid: Option<String>,
    },
    /// The key is for another algorithm, or the algorithm is not accepted (`none` never is).
    #[error("the token is signed with `{found}`, but {expected} is accepted")]
    WrongAlgorithm {
        /// The header's `alg`.
        found: String,
        /// What the key (or the set) is for.
        expected: String,
    },
    /// The key is right, the signature is not.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// `now − leeway >= exp`.
    #[error("the token expired {by_s} s ago")]
    Expired {
        /// `now − exp`.
        by_s: i64,
    },
    /// `nbf > now + leeway`.
    #[error("the token becomes valid in {by_s} s")]
    NotYetValid {
        /// `nbf − now`.
        by_s: i64,
    },
    /// `iat > now + leeway`.
    #[error("the token was issued {by_s} s in the future; one of the clocks is wrong")]
    IssuedInFuture {
        /// `iat − now`.
        by_s: i64,
    },
    /// Another issuer's token.
    #[error("the token was issued by `{found}`")]
    WrongIssuer {
        /// Its `iss`.
        found: String,
    },
    /// A token for somebody else.
    #[error("the token is for `{found}`")]
    WrongAudience {
        /// Its `aud`, joined with commas.
        found: String,
    },
    /// A token of another kind, such as an ID token.
    #[error("the token is of type `{found}`")]
    WrongType {
        /// Its `typ`; empty when it has none.
        found: String,
    },
    /// A claim the rules need is not there.
    #[error("the token has no `{0}`")]
    MissingClaim(&'static str),
}

/// Verifies a token: signature first, then `nbf`, `iat`, `exp` (which must be there), then type, issuer and
/// audience. So "expired" proves that the signature was good.
///
/// # Errors
/// The first [`Reason`] in that order. One exception: when no key fits and the token itself names another
/// issuer, that is said rather than [`Reason::UnknownKey`]; fetching keys again could not help.
pub fn verify(token: &str, keys: &KeySet, rules: &Rules<'_>) -> Result<Peek, Reason> {
    judge(take_apart(token)?, keys, rules)
}

/// As [`verify`], for a signed document of any size, such as a list of revocations: whoever fetched it has bounded it.
///
/// # Errors
/// As [`verify`].
pub fn verify_document(text: &str, keys: &KeySet, rules: &Rules<'_>) -> Result<Peek, Reason> {
    judge(take_apart_any(text)?, keys, rules)
}

fn judge(parts: Parts<'_>, keys: &KeySet, rules: &Rules<'_>) -> Result<Peek, Reason> {
    match check_signature(&parts, keys) {
        Err(Reason::UnknownKey { kid }) => {
            check_issuer(&parts.peek, rules)?;
            Err(Reason::UnknownKey { kid })
        }
        Err(reason) => Err(reason),
        Ok(()) => {
            check_claims(&parts.peek, rules)?;
            Ok(parts.peek)
        }
    }
}

/// Verifies the signature alone, for tokens with rules of their own (DPoP proofs, client assertions).
///
/// # Errors
/// Malformed, unknown key, wrong algorithm or bad signature.
pub fn verify_signature(token: &str, keys: &KeySet) -> Result<Peek, Reason> {
    let parts = take_apart(token)?;
    check_signature(&parts, keys)?;
    Ok(parts.peek)
}

/// Checks the claims of a token whose signature is known to be good.
///
/// # Errors
/// The first reason in the order `nbf`, `iat`, `exp`, type, issuer, audience.
pub fn check_claims(token: &Peek, rules: &Rules<'_>) -> Result<(), Reason> {
    check_times(token, rules)?;
    check_type(token, rules)?;
    check_issuer(token, rules)?;
    check_audience(token, rules)
}

fn check_signature(parts: &Parts<'_>, keys: &KeySet) -> Result<(), Reason> {
    if parts.critical {
        return Err(Malformed::Critical.into());
    }
    let header = &parts.peek.header;
    let wrong = |expected: &str| Reason::WrongAlgorithm {
        found: shown(&header.alg),
        expected: expected.to_owned(),
    };
    let alg = Alg::parse(&header.alg)
        .ok_or_else(|| wrong("only RS256, RS384, RS512, PS256, ES256, ES384, EdDSA or HS256"))?;
    let mut named = keys.candidates(header.kid.as_deref()).peekable();
    let Some(first) = named.peek() else {
        return Err(Reason::UnknownKey {
            kid: header.kid.as_deref().map(shown),
        });
    };
    let expected = first.alg;
    let mut of_alg = named.filter(|key| key.alg == alg).peekable();
    if of_alg.peek().is_none() {
        return Err(wrong(expected.as_str()));
    }
    if of_alg.any(|key| key.accepts(parts.message, &parts.signature)) {
        return Ok(());
    }
    Err(Reason::BadSignature)
}

fn check_times(token: &Peek, rules: &Rules<'_>) -> Result<(), Reason> {
    let now = rules.now_s;
    let latest = now.saturating_add(rules.leeway_s);
    if let Some(nbf) = token.seconds("nbf")?.filter(|nbf| *nbf > latest) {
        return Err(Reason::NotYetValid {
            by_s: nbf.saturating_sub(now),
        });
    }
    if let Some(iat) = token.seconds("iat")?.filter(|iat| *iat > latest) {
        return Err(Reason::IssuedInFuture {
            by_s: iat.saturating_sub(now),
        });
    }
    let exp = token.seconds("exp")?.ok_or(Reason::MissingClaim("exp"))?;
    if now.saturating_sub(rules.leeway_s) >= exp {
        return Err(Reason::Expired {
            by_s: now.saturating_sub(exp),
        });
    }
    Ok(())
}

fn check_type(token: &Peek, rules: &Rules<'_>) -> Result<(), Reason> {
    let Some(wanted) = rules.typ else {
        return Ok(());
    };
    let found = token.header.typ.as_deref().unwrap_or_default();
    if bare_type(found).eq_ignore_ascii_case(bare_type(wanted)) {
        return Ok(());
    }
    Err(Reason::WrongType {
        found: shown(found),
    })
}

fn bare_type(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => typ,
    }
}

fn check_issuer(token: &Peek, rules: &Rules<'_>) -> Result<(), Reason> {
    let Some(wanted) = rules.issuer else {
        return Ok(());
    };
    match token.iss() {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(Reason::WrongIssuer {
            found: shown(found),
        }),
        None => Err(Reason::MissingClaim("iss")),
    }
}

fn check_audience(token: &Peek, rules: &Rules<'_>) -> Result<(), Reason> {
    let Some(wanted) = rules.audience else {
        return Ok(());
    };
    let found = token.aud();
    if found.is_empty() {
        return Err(Reason::MissingClaim("aud"));
    }
    if found.contains(&wanted) {
        return Ok(());
    }
    Err(Reason::WrongAudience {
        found: shown(&found.join(", ")),
    })
}

fn shown(text: &str) -> String {
    text.chars()
        .take(MAX_SHOWN)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
