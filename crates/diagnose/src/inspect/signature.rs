//! Whether the signature is one of the given keys'.

use serde::Serialize;
use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_jose::{Alg, Jwk, JwkSet, KeySet, Reason, verify_signature};

use super::anatomy::Anatomy;
use super::judge::{fail, invalid};
use super::show;

/// More keys than this are not tried, nor named.
const MOST_KEYS: usize = 64;
const MOST_NAMED: usize = 8;

/// How a signature was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureState {
    /// It is the signature of a given key.
    Fits,
    /// The key is there, and the signature is not its own.
    FitsNone,
    /// The key that the token names is not among those given.
    UnknownKey,
    /// It was not checked; the text says why.
    NotChecked,
    /// There is none.
    Missing,
}

/// The signature. Of itself only its length is told.
#[derive(Clone, Debug, Serialize)]
pub struct Signature {
    /// How it was found.
    pub state: SignatureState,
    /// Its length in bytes; `None` when it cannot be read.
    pub bytes: Option<usize>,
    /// The key that made it, by name.
    pub key: Option<String>,
    /// In words.
    pub text: String,
}

type Checked = (SignatureState, Option<String>, String, Option<Failure>);

pub(super) fn check(
    text: &str,
    anatomy: &Anatomy<'_>,
    keys: Option<&JwkSet>,
) -> (Signature, Option<Failure>) {
    let (state, key, text, failure) = look(text, anatomy, keys);
    let signature = Signature {
        state,
        bytes: anatomy.signature_bytes(),
        key,
        text,
    };
    (signature, failure)
}

fn not_checked(why: impl Into<String>) -> Checked {
    (SignatureState::NotChecked, None, why.into(), None)
}

fn look(text: &str, anatomy: &Anatomy<'_>, keys: Option<&JwkSet>) -> Checked {
    if anatomy.signature.is_none() {
        return (
            SignatureState::Missing,
            None,
            "there is none".to_owned(),
            None,
        );
    }
    if anatomy.flaw.is_some() {
        return not_checked("not checked: the token is not whole");
    }
    let Some(set) = keys else {
        return not_checked("not checked: no keys were given");
    };
    let alg = anatomy.alg();
    if alg.starts_with("HS") {
        let failure = fail(
            Code::TokenInvalid,
            Class::AccessInvalid,
            "shared_secret_algorithm",
            (Heal::FixConfig, Who::ServerAdmin),
            format!(
                "It is signed with {alg}, a secret shared with whoever checks it. Servers that check with published keys \
                 refuse it."
            ),
        );
        let why = format!("not checked: {alg} needs the secret, which is in no set of public keys");
        return (SignatureState::NotChecked, None, why, Some(failure));
    }
    if Alg::parse(alg).is_none() {
        return not_checked(format!(
            "not checked: {} is not known here",
            show::text(alg)
        ));
    }
    let usable = KeySet::from_jwks(set);
    if usable.is_empty() {
        return not_checked("not checked: none of the given keys can check signatures");
    }
    match verify_signature(text, &usable) {
        Ok(peek) => {
            let kid = peek.header.kid.as_deref().map(show::text);
            let key = kid.or_else(|| signer(text, set));
            (
                SignatureState::Fits,
                key.clone(),
                fits(key.as_deref()),
                None,
            )
        }
        Err(reason) => refused(text, set, &usable, &reason),
    }
}

fn fits(key: Option<&str>) -> String {
    match key {
        Some(key) => format!("fits key `{key}`"),
        None => "fits one of the given keys, which has no name".to_owned(),
    }
}

fn refused(text: &str, set: &JwkSet, usable: &KeySet, reason: &Reason) -> Checked {
    if let Some(other) = signer(text, set) {
        let failure = key_failure(
            "other_key",
            format!(
                "The token names one key and was signed with another, `{other}`. Servers look up the named key and \
                 refuse it."
            ),
        );
        let words = format!("fits key `{other}`, which is not the one the token names");
        return (SignatureState::Fits, Some(other), words, Some(failure));
    }
    match reason {
        Reason::UnknownKey { kid } => unknown_key(kid.as_deref(), usable),
        Reason::BadSignature => (
            SignatureState::FitsNone,
            None,
            "fits none of the given keys".to_owned(),
            Some(key_failure(
                "bad_signature",
                "The signature is not the key's: the token was changed on the way, or the server has another key now \
                 under the same name."
                    .to_owned(),
            )),
        ),
        other => (
            SignatureState::FitsNone,
            None,
            "cannot be of the given keys".to_owned(),
            Some(invalid("wrong_algorithm", format!("{}.", capital(&other.to_string())))),
        ),
    }
}

fn unknown_key(kid: Option<&str>, usable: &KeySet) -> Checked {
    let mut names: Vec<String> = usable
        .kids()
        .take(MOST_NAMED)
        .map(|kid| format!("`{}`", show::text(kid)))
        .collect();
    if usable.len() > MOST_NAMED {
        names.push("…".to_owned());
    }
    let named = kid.map_or_else(
        || "no name".to_owned(),
        |kid| format!("`{}`", show::text(kid)),
    );
    let failure = key_failure(
        "unknown_key",
        format!(
            "The token was signed with key {named}, which is not among the given ones ({}): the server changed its keys, \
             or it is another server's token.",
            names.join(", ")
        ),
    );
    (
        SignatureState::UnknownKey,
        None,
        format!("not checked: key {named} is not among the given ones"),
        Some(failure),
    )
}

/// The key that made the signature, whatever the token says; `#2` for the second where it has no name.
fn signer(text: &str, set: &JwkSet) -> Option<String> {
    set.keys
        .iter()
        .take(MOST_KEYS)
        .enumerate()
        .find_map(|(at, jwk)| {
            let alone = JwkSet {
                keys: vec![Jwk {
                    kid: None,
                    ..jwk.clone()
                }],
            };
            verify_signature(text, &KeySet::from_jwks(&alone)).ok()?;
            Some(
                jwk.kid
                    .as_deref()
                    .map_or_else(|| format!("#{}", at + 1), show::text),
            )
        })
}

fn key_failure(cause: &'static str, detail: String) -> Failure {
    fail(
        Code::SigningKeyChanged,
        Class::KeyMismatch,
        cause,
        (Heal::Refresh, Who::Tenure),
        detail,
    )
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
