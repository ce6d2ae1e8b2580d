//! Authorization codes: random, kept as hashes, spent once (RFC 6749 §4.1.2, RFC 7636).

use subtle::ConstantTimeEq;
use tenure_core::Secret;
use tenure_core::family::Family;
use tenure_jose::{b64url, random, sha256};
use tenure_store::StoreError;

use crate::db::{SqlResult, Tx, values};
use crate::families::{self, End, Login, Which};
use crate::issuer::{ACR_PASSWORD, Issuer};
use crate::refresh_token::FamilyId;

/// What a code stands for.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) client_id: String,
    pub(crate) user_id: String,
    pub(crate) redirect_uri: String,
    /// The S256 challenge.
    pub(crate) challenge: String,
    pub(crate) scope: String,
    pub(crate) nonce: Option<String>,
    pub(crate) auth_ms: i64,
    /// The key that whoever redeems it must prove to hold (`dpop_jkt`, RFC 9449 §10).
    pub(crate) jkt: Option<String>,
}

/// How a code's redemption ended.
pub(crate) enum Redeemed {
    Granted {
        nonce: Option<String>,
        login: Login,
        family: Family,
    },
    /// It was redeemed before: the family it began has been ended now (its id, for the revocation list).
    Replayed(Option<FamilyId>),
    WrongClient,
    WrongRedirect,
    WrongVerifier,
    WrongBinding,
    Expired,
    Unknown,
}

/// One redemption as it was asked for.
pub(crate) struct Redeem {
    pub(crate) code: Secret,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) verifier: Secret,
    /// The thumbprint of the key the request proves to hold, and whether the session is bound to it.
    pub(crate) jkt: Option<String>,
    pub(crate) bind: bool,
    /// What becomes of the session a code that comes again began.
    pub(crate) end: End,
}

impl Issuer {
    pub(crate) async fn make_code(&self, code: Code) -> Result<Secret, StoreError> {
        let secret = Secret::new(b64url(random::<32>()));
        let hash = sha256(secret.expose().as_bytes());
        let expires = self
            .now()
            .saturating_add_unsigned(self.options.code_ttl_s.saturating_mul(1000));
        self.db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO codes (hash, client_id, user_id, redirect_uri, challenge, scope, nonce, auth_ms, expires_ms, jkt) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    values![
                        &hash,
                        &code.client_id,
                        &code.user_id,
                        &code.redirect_uri,
                        &code.challenge,
                        &code.scope,
                        code.nonce.as_ref(),
                        code.auth_ms,
                        expires,
                        code.jkt.as_ref()
                    ],
                )
            })
            .await?;
        Ok(secret)
    }

    /// Spends a code. Whatever does not match is refused before anything is spent.
    pub(crate) async fn redeem(&self, redeem: Redeem) -> Result<Redeemed, StoreError> {
        let now = self.now();
        self.db.write(move |tx| redeem_in(tx, &redeem, now)).await
    }
}

struct Row {
    code: Code,
    expires_ms: i64,
    family: Option<[u8; 16]>,
}

fn redeem_in(tx: &mut dyn Tx, ask: &Redeem, now: i64) -> SqlResult<Redeemed> {
    let hash = sha256(ask.code.expose().as_bytes());
    let row = tx
        .row(
            "SELECT client_id, user_id, redirect_uri, challenge, scope, nonce, auth_ms, expires_ms, family, jkt FROM codes \
             WHERE hash = ?1 FOR UPDATE",
            values![&hash],
        )?
        .map(|row| -> SqlResult<Row> {
            let code = Code {
                client_id: row.get(0)?,
                user_id: row.get(1)?,
                redirect_uri: row.get(2)?,
                challenge: row.get(3)?,
                scope: row.get(4)?,
                nonce: row.get(5)?,
                auth_ms: row.get(6)?,
                jkt: row.get(9)?,
            };
            Ok(Row { code, expires_ms: row.get(7)?, family: row.get(8)? })
        })
        .transpose()?;
    let Some(Row {
        code,
        expires_ms,
        family,
    }) = row
    else {
        return Ok(Redeemed::Unknown);
    };
    if code.client_id != ask.client_id {
        return Ok(Redeemed::WrongClient);
    }
    // RFC 6749 §4.1.3 wants the parameter; OAuth 2.1 dropped it. Given, it must be the same.
    if ask
        .redirect_uri
        .as_ref()
        .is_some_and(|uri| *uri != code.redirect_uri)
    {
        return Ok(Redeemed::WrongRedirect);
    }
    let challenge = b64url(sha256(ask.verifier.expose().as_bytes()));
    if !bool::from(challenge.as_bytes().ct_eq(code.challenge.as_bytes())) {
        return Ok(Redeemed::WrongVerifier);
    }
    if code.jkt.is_some() && code.jkt != ask.jkt {
        return Ok(Redeemed::WrongBinding);
    }
    if let Some(begun) = family.map(FamilyId) {
        let ended = families::revoke_in(tx, &Which::One(begun), &ask.end)?;
        return Ok(Redeemed::Replayed(ended.first().copied()));
    }
    if now > expires_ms {
        return Ok(Redeemed::Expired);
    }
    let login = Login {
        family: FamilyId::random(),
        user_id: code.user_id,
        client_id: code.client_id,
        scope: code.scope,
        jkt: ask.jkt.clone().filter(|_| ask.bind),
        acr: Some(ACR_PASSWORD.to_owned()),
    };
    let family = families::begin(tx, &login, &ask.end.pen, "authorization_code")?;
    tx.execute(
        "UPDATE codes SET family = ?2 WHERE hash = ?1",
        values![&hash, &login.family.0],
    )?;
    Ok(Redeemed::Granted {
        nonce: code.nonce,
        login,
        family,
    })
}
