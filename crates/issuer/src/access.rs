//! Access tokens (RFC 9068) and ID tokens (OpenID Connect Core §2).

use serde::Serialize;
use tenure_core::family::Family;
use tenure_core::{Secret, jitter};
use tenure_jose::{
    Alg, KeyError, Peek, Reason, Rules, SigningKey, b64url, random, sha256, sha512, verify,
};

use crate::error::IssuerError;
use crate::families::Login;
use crate::issuer::{Issuer, Tokens};
use crate::{refresh_token, scope};

/// The `typ` of an access token (RFC 9068 §2.1).
const ACCESS: &str = "at+jwt";
/// How far clocks may differ when this issuer reads its own tokens back: not at all.
const LEEWAY_S: i64 = 0;

#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    jti: &'a str,
    client_id: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    /// The generation of the session this token came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    /// RFC 9470 §6.
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    /// The key it is bound to (RFC 9449 §6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
}

#[derive(Serialize)]
struct Confirmation<'a> {
    jkt: &'a str,
}

fn token_type(jkt: Option<&str>) -> &'static str {
    if jkt.is_some() { "DPoP" } else { "Bearer" }
}

#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    sid: &'a str,
    at_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

fn unsigned(key: &SigningKey, error: &KeyError) -> IssuerError {
    IssuerError::Key {
        kid: key.kid().to_owned(),
        why: error.to_string(),
    }
}

impl Issuer {
    /// The tokens of a family's current generation.
    ///
    /// `scope` narrows the access token (RFC 6749 §6); the family keeps what was granted. An ID token comes
    /// along when the login asked for one.
    pub(crate) fn mint(
        &self,
        login: &Login,
        family: &Family,
        scope: Option<&str>,
        jkt: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<Tokens, IssuerError> {
        let now_ms = self.now();
        let sid = login.family.sid();
        let ends_s = family
            .ends_ms(&self.rotation())
            .map(|ends| (ends - now_ms) / 1000);
        let absolute = self.rotation().absolute_ms;
        let session_s =
            absolute.map(|ms| (family.born_ms.saturating_add_unsigned(ms) - now_ms) / 1000);
        let ttl = self
            .access_ttl(&sid, family.generation)
            .min(session_s.unwrap_or(i64::MAX))
            .max(1);
        let scope = scope::normal(scope.unwrap_or(&login.scope));
        let auth_time = family.born_ms / 1000;
        // One for both: the hash in the ID token is of its signature's kind.
        let key = self.signing_key();
        let claims = AccessClaims {
            iss: self.id(),
            sub: &login.user_id,
            aud: &self.options.audience,
            exp: now_ms / 1000 + ttl,
            iat: now_ms / 1000,
            jti: &b64url(random::<12>()),
            client_id: &login.client_id,
            scope: &scope,
            sid: Some(&sid),
            generation: Some(family.generation),
            auth_time: Some(auth_time),
            acr: login.acr.as_deref(),
            cnf: jkt.map(|jkt| Confirmation { jkt }),
        };
        let access = sign(&key, ACCESS, &claims)?;
        let id_token = if scope::has(&login.scope, "openid") {
            let claims = IdClaims {
                iss: self.id(),
                sub: &login.user_id,
                aud: &login.client_id,
                exp: now_ms / 1000 + ttl,
                iat: now_ms / 1000,
                auth_time,
                acr: login.acr.as_deref(),
                sid: &sid,
                at_hash: at_hash(key.alg(), &access),
                nonce,
            };
            Some(sign(&key, "JWT", &claims)?)
        } else {
            None
        };
        let may_refresh = self
            .client(&login.client_id)
            .is_some_and(|client| client.may(crate::Grant::RefreshToken));
        Ok(Tokens {
            access,
            expires_in: u64::try_from(ttl).unwrap_or(1),
            refresh: may_refresh
                .then(|| refresh_token::make(&self.master, login.family, family.generation)),
            refresh_expires_in: ends_s
                .filter(|_| may_refresh)
                .and_then(|s| u64::try_from(s).ok()),
            session_expires_in: session_s
                .filter(|_| may_refresh)
                .and_then(|s| u64::try_from(s).ok()),
            id_token,
            scope,
            sid: Some(sid),
            generation: Some(family.generation),
            token_type: token_type(jkt),
        })
    }

    /// An access token of a client that acts for itself (RFC 6749 §4.4.3: no refresh token).
    pub(crate) fn mint_for_client(
        &self,
        client_id: &str,
        scope: &str,
        jkt: Option<&str>,
    ) -> Result<Tokens, IssuerError> {
        let now_s = self.now() / 1000;
        let jti = b64url(random::<12>());
        let ttl = self.access_ttl(&jti, 0).max(1);
        let claims = AccessClaims {
            iss: self.id(),
            sub: client_id,
            aud: &self.options.audience,
            exp: now_s + ttl,
            iat: now_s,
            jti: &jti,
            client_id,
            scope,
            sid: None,
            generation: None,
            auth_time: None,
            acr: None,
            cnf: jkt.map(|jkt| Confirmation { jkt }),
        };
        let access = sign(&self.signing_key(), ACCESS, &claims)?;
        Ok(Tokens {
            access,
            expires_in: u64::try_from(ttl).unwrap_or(1),
            refresh: None,
            refresh_expires_in: None,
            session_expires_in: None,
            id_token: None,
            scope: scope.to_owned(),
            sid: None,
            generation: None,
            token_type: token_type(jkt),
        })
    }

    /// The configured lifetime, shortened (never lengthened) by a stable hash.
    fn access_ttl(&self, name: &str, generation: u64) -> i64 {
        self.shortened(self.in_force().access_s, name, generation)
    }

    /// A lifetime in seconds, shortened so that a fleet does not refresh at one instant.
    pub(crate) fn shortened(&self, ttl: u64, name: &str, generation: u64) -> i64 {
        let span = ttl.saturating_mul(self.options.access_jitter_percent.min(50)) / 100;
        i64::try_from(ttl - jitter::spread(name, generation, span + 1)).unwrap_or(i64::MAX / 2)
    }

    /// Signs what travels as a body and may be larger than a token.
    pub(crate) fn sign_document<T: Serialize>(
        &self,
        typ: &str,
        claims: &T,
    ) -> Result<Secret, IssuerError> {
        let key = self.signing_key();
        let signed = key.sign_document(Some(typ), claims);
        signed.map_err(|error| unsigned(&key, &error))
    }

    /// Reads back an access token of this issuer; revoked ones are not accepted.
    pub(crate) fn open_access(&self, token: &str) -> Result<Peek, Refused> {
        let rules = Rules {
            issuer: Some(self.id()),
            audience: Some(&self.options.audience),
            typ: Some(ACCESS),
            leeway_s: LEEWAY_S,
            now_s: self.now() / 1000,
        };
        let token = self
            .with_keys(|keys| verify(token, keys, &rules))
            .map_err(Refused::Invalid)?;
        if self
            .revocations
            .is_revoked(token.jti(), token.text("sid"), token.iat())
        {
            return Err(Refused::Revoked);
        }
        Ok(token)
    }
}

/// Why an access token is not accepted.
pub(crate) enum Refused {
    Invalid(Reason),
    Revoked,
}

pub(crate) fn sign<T: Serialize>(
    key: &SigningKey,
    typ: &str,
    claims: &T,
) -> Result<Secret, IssuerError> {
    key.sign(Some(typ), claims)
        .map_err(|error| unsigned(key, &error))
}

/// The left half of the hash that goes with the signature (OpenID Connect Core §3.1.3.6); Ed25519 hashes with SHA-512
/// (RFC 8032 §5.1).
fn at_hash(alg: Alg, access: &Secret) -> String {
    let token = access.expose().as_bytes();
    if alg == Alg::EdDsa {
        b64url(&sha512(token)[..32])
    } else {
        b64url(&sha256(token)[..16])
    }
}
