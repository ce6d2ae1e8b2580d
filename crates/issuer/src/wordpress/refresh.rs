//! The refresh token of WCPOS's dialect: a JWT whose `jti` names the session, signed with a key of its own.

use serde_json::{Value, json};
use tenure_core::Secret;
use tenure_core::family::Family;
use tenure_jose::{KeyError, KeySet, Peek, Reason, Rules, SigningKey, verify};
use tenure_verify::php_jwt;

use super::{POS_REFRESH_S, from_uuid, user_number, uuid};
use crate::error::IssuerError;
use crate::families::Login;
use crate::issuer::Issuer;
use crate::refresh_token::FamilyId;

/// A genuine refresh token, read.
pub(crate) struct PosRefresh {
    pub(crate) family: FamilyId,
    pub(crate) number: u64,
}

/// Why a refresh token is none, in the plugin's words.
pub(crate) struct BadRefresh {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

impl BadRefresh {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

fn claims(iss: &str, login: &Login, family: &Family) -> Value {
    let iat = family.born_ms / 1000;
    json!({
        "iss": iss,
        "iat": iat,
        "exp": iat.saturating_add_unsigned(POS_REFRESH_S),
        "jti": uuid(login.family.0),
        "type": "refresh",
        "data": { "user": { "id": user_number(&login.user_id) } },
    })
}

/// The number of the user a token is about, written as a number or as text.
pub(super) fn number_in(token: &Peek) -> Option<u64> {
    let id = token.claims.get("data")?.get("user")?.get("id")?;
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

/// The texts since php-jwt 6.8.1, which WCPOS has: they say which of the two times it was.
fn text(reason: &Reason, now_s: i64) -> String {
    let text = php_jwt(reason, now_s);
    let named = match reason {
        Reason::NotYetValid { .. } => "token with nbf prior",
        Reason::IssuedInFuture { .. } => "token with iat prior",
        _ => return text,
    };
    text.replace("token prior", named)
}

impl Issuer {
    fn pos_refresh_key(&self) -> Result<SigningKey, KeyError> {
        SigningKey::from_secret("", self.master.pos_refresh().as_slice())
    }

    /// The refresh token of a session: the same at every call.
    pub(crate) fn make_pos_refresh(
        &self,
        login: &Login,
        family: &Family,
    ) -> Result<Secret, IssuerError> {
        self.pos_refresh_key()
            .and_then(|key| key.sign(Some("JWT"), &claims(self.id(), login, family)))
            .map_err(|error| IssuerError::Key {
                kid: "(the key of refresh tokens)".to_owned(),
                why: error.to_string(),
            })
    }

    /// Reads a refresh token, in the plugin's order of checks.
    pub(crate) fn open_pos_refresh(&self, token: &str) -> Result<PosRefresh, BadRefresh> {
        let now_s = self.now() / 1000;
        let rules = Rules {
            issuer: Some(self.id()),
            now_s,
            ..Rules::default()
        };
        let key = self.pos_refresh_key().map_err(|error| {
            tracing::error!(%error, "the key of refresh tokens cannot be used");
            BadRefresh::new("woocommerce_pos_jwt_auth_bad_config", "Server error")
        })?;
        let token = verify(token, &KeySet::from_signing_key(&key), &rules).map_err(|reason| {
            let code = match reason {
                Reason::Expired { .. } => "woocommerce_pos_auth_refresh_token_expired",
                Reason::WrongIssuer { .. } | Reason::MissingClaim("iss") => {
                    return BadRefresh::new(
                        "woocommmerce_pos_auth_bad_iss",
                        "The iss do not match with this server",
                    );
                }
                _ => "woocommmerce_pos_auth_invalid_token",
            };
            BadRefresh::new(code, text(&reason, now_s))
        })?;
        if token.text("type") != Some("refresh") {
            return Err(BadRefresh::new(
                "woocommmerce_pos_auth_invalid_token_type",
                "Invalid token type",
            ));
        }
        let family = token.jti().and_then(from_uuid).map(FamilyId);
        match (family, number_in(&token)) {
            (Some(family), Some(number)) => Ok(PosRefresh { family, number }),
            _ => Err(BadRefresh::new(
                "woocommmerce_pos_auth_bad_request",
                "User ID not found in the token",
            )),
        }
    }
}
