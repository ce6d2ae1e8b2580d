//! `POST /token`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use tenure_core::Secret;
use tenure_core::family::Subtype;

use super::owned;
use crate::audit::Who;
use crate::client::{Client, Grant};
use crate::codes::{Redeem, Redeemed};
use crate::device::Polled;
use crate::error::OAuthError;
use crate::families::{Ask, Refreshed};
use crate::issuer::{ACR_PASSWORD, How, Issuer, Keys, Tokens};
use crate::params::Params;
use crate::peer::Peer;
use crate::refresh_token::{self, FamilyId};
use crate::stats::Exchange;

pub(super) async fn token(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let server = Arc::clone(&issuer);
    owned(&issuer, async move {
        match answer(&server, &headers, &body, &peer).await {
            Ok(tokens) => granted(&tokens),
            Err(error) => error.response(&server.pages),
        }
    })
    .await
}

/// RFC 6749 §5.1, with the lifetimes of refresh token and session beside it.
fn granted(tokens: &Tokens) -> Response {
    let mut body = json!({
        "access_token": tokens.access.expose(),
        "token_type": tokens.token_type,
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
    });
    let secrets = [
        ("refresh_token", &tokens.refresh),
        ("id_token", &tokens.id_token),
    ];
    for (name, secret) in secrets {
        if let Some(secret) = secret {
            body[name] = secret.expose().into();
        }
    }
    let lifetimes = [
        ("refresh_expires_in", tokens.refresh_expires_in),
        ("session_expires_in", tokens.session_expires_in),
    ];
    for (name, seconds) in lifetimes {
        if let Some(seconds) = seconds {
            body[name] = seconds.into();
        }
    }
    let mut response = axum::Json(body).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

async fn answer(
    issuer: &Issuer,
    headers: &HeaderMap,
    body: &[u8],
    peer: &Peer,
) -> Result<Tokens, OAuthError> {
    let params = Params::from_form(headers, body)?;
    let asked = params.need("grant_type")?;
    let grant = Grant::parse(asked).ok_or_else(OAuthError::unsupported_grant_type)?;
    let client = issuer
        .authenticate(headers, &params, peer.text().as_deref())
        .await?;
    if !client.may(grant) {
        let text = format!(
            "The client is not registered for the grant type `{}`.",
            grant.as_str()
        );
        return Err(OAuthError::unauthorized_client(text));
    }
    let key = issuer.key_of(&client, headers).await?;
    let keys = Keys {
        access: key.as_deref(),
        session: key.as_deref().filter(|_| !client.is_confidential()),
    };
    match grant {
        Grant::RefreshToken => refresh(issuer, &client, &params, keys, peer).await,
        Grant::AuthorizationCode => code(issuer, &client, &params, keys, peer).await,
        Grant::DeviceCode => device(issuer, &client, &params, keys, peer).await,
        Grant::ClientCredentials => {
            let scope = client.allowed_scope(params.get("scope"))?;
            Ok(issuer.mint_for_client(client.id(), &scope, keys.access)?)
        }
        Grant::Password => {
            let scope = client.allowed_scope(params.get("scope"))?;
            let user = issuer
                .log_in(
                    params.need("username")?,
                    params.need_secret("password")?,
                    client.id(),
                    peer,
                )
                .await?;
            let how = How {
                keys,
                who: who(&client, peer),
                grant: "password",
                acr: Some(ACR_PASSWORD),
            };
            Ok(issuer.begin(user.user_id, client.id(), scope, how).await?)
        }
    }
}

/// A client, in the audit log.
fn who(client: &Client, peer: &Peer) -> Who {
    peer.who(format!("client {}", client.id()))
}

async fn refresh(
    issuer: &Issuer,
    client: &Client,
    params: &Params,
    keys: Keys<'_>,
    peer: &Peer,
) -> Result<Tokens, OAuthError> {
    let presented = params.need_secret("refresh_token")?;
    let Some((family, generation)) = refresh_token::open(&issuer.master, presented.expose()) else {
        issuer.counters.count(|stats| {
            stats.junk += 1;
            stats.refused += 1;
        });
        return Err(OAuthError::refresh_unknown());
    };
    issuer.counters.count(|stats| stats.looked_up += 1);
    let scope = params.get("scope");
    let ask = Ask {
        family,
        generation,
        client_id: client.id().to_owned(),
        scope: scope.map(str::to_owned),
        jkt: keys.access.map(str::to_owned),
        now_ms: issuer.now(),
        until_ms: issuer.access_gone_ms(),
        options: issuer.rotation_of(client.id()),
        pen: issuer.pen(who(client, peer)),
    };
    match issuer.db.refresh(ask).await? {
        Refreshed::Granted {
            login,
            family: now,
            rotated,
        } => {
            count(issuer, family, generation, rotated);
            Ok(issuer.mint(&login, &now, scope, keys.access, None)?)
        }
        refused => Err(refusal(issuer, family, &refused, scope)),
    }
}

fn count(issuer: &Issuer, family: FamilyId, generation: u64, rotated: bool) {
    let record = issuer.options.record_exchanges;
    issuer.counters.count(|stats| {
        let counter = if rotated {
            &mut stats.rotations
        } else {
            &mut stats.retries
        };
        *counter += 1;
        if record {
            *stats
                .exchanges
                .entry(Exchange {
                    sid: family.sid(),
                    generation,
                })
                .or_default() += 1;
        }
    });
}

fn refusal(
    issuer: &Issuer,
    family: FamilyId,
    refused: &Refreshed,
    scope: Option<&str>,
) -> OAuthError {
    issuer.counters.count(|stats| stats.refused += 1);
    match *refused {
        Refreshed::Killed { subtype } => {
            issuer.counters.count(|stats| stats.kills += 1);
            issuer.refuse_access_of(&[family]);
            tracing::warn!(sid = %family.sid(), subtype = subtype.as_str(), "a session was ended: its refresh tokens have two holders");
            OAuthError::refresh_reused(subtype)
        }
        Refreshed::WrongClient => OAuthError::wrong_client(),
        Refreshed::WrongBinding => OAuthError::wrong_binding(),
        Refreshed::ScopeTooWide => {
            OAuthError::invalid_scope(&crate::params::printable(scope.unwrap_or_default()))
        }
        Refreshed::Expired { limit, by_ms } => OAuthError::refresh_expired(limit, by_ms),
        Refreshed::Revoked(subtype) => OAuthError::refresh_revoked(subtype),
        Refreshed::AccountDisabled => OAuthError::account_disabled(),
        // `Granted` is no refusal and never comes here; the family of a genuine token that is gone is unknown.
        Refreshed::Unknown | Refreshed::Granted { .. } => OAuthError::refresh_unknown(),
    }
}

async fn code(
    issuer: &Issuer,
    client: &Client,
    params: &Params,
    keys: Keys<'_>,
    peer: &Peer,
) -> Result<Tokens, OAuthError> {
    let redeem = Redeem {
        code: params.need_secret("code")?.clone(),
        client_id: client.id().to_owned(),
        redirect_uri: params.get("redirect_uri").map(str::to_owned),
        verifier: verifier(params)?,
        jkt: keys.access.map(str::to_owned),
        bind: keys.session.is_some(),
        end: issuer.ending(Subtype::CodeReplayed, who(client, peer)),
    };
    match issuer.redeem(redeem).await? {
        Redeemed::Granted {
            nonce,
            login,
            family,
        } => {
            issuer.counters.count(|stats| stats.logins += 1);
            Ok(issuer.mint(&login, &family, None, keys.access, nonce.as_deref())?)
        }
        Redeemed::Replayed(ended) => {
            if let Some(family) = ended {
                issuer.refuse_access_of(&[family]);
                tracing::warn!(sid = %family.sid(), "a session was ended: its authorization code came twice");
            }
            Err(OAuthError::invalid_code(
                "The authorization code was used before; the session it began has been ended.",
            ))
        }
        Redeemed::WrongClient => Err(OAuthError::wrong_client()),
        Redeemed::WrongBinding => Err(OAuthError::wrong_binding()),
        Redeemed::WrongRedirect => Err(OAuthError::invalid_code(
            "`redirect_uri` is not the one the code was sent to.",
        )),
        Redeemed::WrongVerifier => Err(OAuthError::invalid_code(
            "`code_verifier` does not fit the code challenge.",
        )),
        Redeemed::Expired => Err(OAuthError::invalid_code("The authorization code expired.")),
        Redeemed::Unknown => Err(OAuthError::invalid_code(
            "The authorization code is unknown here.",
        )),
    }
}

/// RFC 7636 §4.1: 43 to 128 unreserved characters.
fn verifier(params: &Params) -> Result<Secret, OAuthError> {
    let verifier = params.need_secret("code_verifier")?;
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if !(43..=128).contains(&verifier.len()) || !verifier.expose().bytes().all(unreserved) {
        return Err(OAuthError::invalid_request(
            "`code_verifier` must be 43 to 128 unreserved characters.",
        ));
    }
    Ok(verifier.clone())
}

async fn device(
    issuer: &Issuer,
    client: &Client,
    params: &Params,
    keys: Keys<'_>,
    peer: &Peer,
) -> Result<Tokens, OAuthError> {
    match issuer
        .poll_device(
            params.need_secret("device_code")?,
            client.id(),
            keys.session.map(str::to_owned),
            who(client, peer),
        )
        .await?
    {
        Polled::Granted { login, family } => {
            issuer.counters.count(|stats| stats.logins += 1);
            Ok(issuer.mint(&login, &family, None, keys.access, None)?)
        }
        Polled::Pending => Err(OAuthError::device_waits(
            "authorization_pending",
            "Nobody has entered the code yet.",
        )),
        Polled::SlowDown => Err(OAuthError::device_waits(
            "slow_down",
            "The device asks too often; the interval grows by 5 s.",
        )),
        Polled::Denied => Err(OAuthError::access_denied()),
        Polled::Expired => Err(OAuthError::device_expired()),
        Polled::WrongClient => Err(OAuthError::wrong_client()),
        Polled::Unknown => Err(OAuthError::invalid_code(
            "The device code is unknown here or was used before.",
        )),
    }
}
