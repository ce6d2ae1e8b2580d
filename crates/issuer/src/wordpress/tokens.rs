//! Access tokens of the dialects: HS256, with the plugins' claims.
//!
//! `jti` and `sid` are added where a plugin has none, so that two tokens of one second differ and APIs that follow the
//! issuer's revocations know which are meant. There is no `sub`: the plugins' user is `data.user.id`.

use serde_json::{Value, json};
use tenure_core::Secret;
use tenure_core::family::Family;
use tenure_jose::{Peek, Reason, Rules, b64url, random, sha256, verify};
use tenure_verify::{Refusal, WordpressPlugin};

use super::refresh::number_in;
use super::{WordPress, as_uuid4, user_number, uuid};
use crate::error::IssuerError;
use crate::families::Login;
use crate::issuer::Issuer;
use crate::refresh_token::FamilyId;

/// An access token just made.
pub(crate) struct Minted {
    pub(crate) token: Secret,
    pub(crate) expires_in: u64,
    pub(crate) expires_at: i64,
}

/// Whose access token it is.
pub(crate) struct Known {
    pub(crate) number: u64,
    pub(crate) family: FamilyId,
}

/// Why an access token is not accepted.
pub(crate) enum Refused {
    Token(Refusal),
    /// A token of the right key without a user, or without a session of this issuer: whoever shares the secret made it.
    NoUser,
}

impl Issuer {
    /// An access token of a session. `device` is what the client called itself.
    pub(crate) fn mint_wordpress(
        &self,
        speaks: &WordPress,
        login: &Login,
        family: &Family,
        device: &str,
    ) -> Result<Minted, IssuerError> {
        let missing = || IssuerError::Key {
            kid: "(the WordPress secret)".to_owned(),
            why: "it was not read".to_owned(),
        };
        let ring = self.ring();
        let shared = ring.wordpress.as_ref().ok_or_else(missing)?;
        let now_s = self.now() / 1000;
        let sid = login.family.sid();
        let jti = random::<16>();
        let ends_ms = family.ends_ms(&speaks.kept(self.rotation()));
        let left_s = ends_ms.map_or(i64::MAX, |ends| ends / 1000 - now_s);
        // The name is the token's own: a fleet that logs in at one instant must not renew at one.
        let ttl = self
            .shortened(speaks.access_ttl_s, &b64url(jti), family.generation)
            .min(left_s)
            .max(1);
        let mut claims = json!({
            "iss": self.id(),
            "iat": now_s,
            "exp": now_s + ttl,
            "jti": b64url(jti),
            "sid": sid,
        });
        dress(&mut claims, speaks.plugin, login, now_s, device, jti);
        let token = shared.signing.sign(Some("JWT"), &claims);
        Ok(Minted {
            token: token.map_err(|error| IssuerError::Key {
                kid: "(the WordPress secret)".to_owned(),
                why: error.to_string(),
            })?,
            expires_in: u64::try_from(ttl).unwrap_or(1),
            expires_at: now_s + ttl,
        })
    }

    /// Judges an access token of the dialect: signature, times, issuer, kind, revocation.
    pub(crate) fn judge_wordpress(
        &self,
        speaks: &WordPress,
        token: &str,
    ) -> Result<Known, Refused> {
        let now_s = self.now() / 1000;
        let invalid = |reason| Refused::Token(Refusal::Invalid { reason, now_s });
        let rules = Rules {
            issuer: Some(self.id()),
            now_s,
            ..Rules::default()
        };
        let ring = self.ring();
        let shared = ring.wordpress.as_ref();
        let shared = shared.ok_or_else(|| invalid(Reason::UnknownKey { kid: None }))?;
        let token = verify(token, &shared.verify, &rules).map_err(invalid)?;
        if speaks.plugin == WordpressPlugin::Wcpos && token.text("type") != Some("access") {
            let found = token.text("type").unwrap_or_default().to_owned();
            return Err(invalid(Reason::WrongType { found }));
        }
        if self
            .revocations
            .is_revoked(token.jti(), token.text("sid"), token.iat())
        {
            return Err(Refused::Token(Refusal::Revoked));
        }
        known(&token).ok_or(Refused::NoUser)
    }
}

fn known(token: &Peek) -> Option<Known> {
    Some(Known {
        number: number_in(token)?,
        family: FamilyId::parse(token.text("sid")?)?,
    })
}

/// Adds what each plugin writes into its tokens.
fn dress(
    claims: &mut Value,
    plugin: WordpressPlugin,
    login: &Login,
    now_s: i64,
    device: &str,
    jti: [u8; 16],
) {
    let number = user_number(&login.user_id);
    match plugin {
        WordpressPlugin::Tmeister => {
            claims["nbf"] = now_s.into();
            // The plugin writes what the database driver gave it: text.
            claims["data"] = json!({ "user": { "id": number.to_string() } });
        }
        WordpressPlugin::Usefulteam => {
            claims["nbf"] = now_s.into();
            // The plugin's marker ends tokens when a password changes; here the session ends and it never changes.
            let mut pass = b64url(sha256(&login.family.0));
            pass.truncate(10);
            claims["data"] = json!({ "user": { "id": number, "device": device, "pass": pass } });
        }
        WordpressPlugin::Wcpos => {
            claims["jti"] = uuid(as_uuid4(jti)).into();
            claims["type"] = "access".into();
            claims["data"] = json!({ "user": { "id": number } });
            claims["refresh_jti"] = uuid(login.family.0).into();
        }
    }
}
