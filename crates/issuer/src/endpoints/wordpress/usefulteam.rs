//! "JWT Auth" 3.x: the refresh token is a cookie. `/token` gives a new access token for it, `/token/refresh` replaces
//! it. Only `/token/validate` says why a token is bad; elsewhere the request is anonymous.
//!
//! Where the plugin holds one refresh token per user and device name, a session here is one login: two clients
//! without a device name do not log each other out.

use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use tenure_core::family::Family;

use super::Asked;
use super::login::{self, User, log_in};
use super::reply::{Denied, envelope, failed, refused, retry_after};
use crate::families::Login;
use crate::wordpress::{Ended, Known, Refused, Renew, make_cookie, open_cookie, user_number};

const TOKEN: &str = "/jwt-auth/v1/token";
const VALIDATE: &str = "/jwt-auth/v1/token/validate";
const REFRESH: &str = "/jwt-auth/v1/token/refresh";
const COOKIE: &str = "refresh_token";
/// A device's name is cut to this many characters.
const LONGEST_DEVICE: usize = 200;

pub(super) fn judge(asked: &Asked) -> Result<Known, Refused> {
    asked.judge_bearer()
}

pub(super) async fn route(asked: &Asked) -> Option<Response> {
    if asked.rest.method != Method::POST {
        return None;
    }
    match asked.rest.route.as_str() {
        TOKEN => Some(token(asked).await),
        REFRESH => Some(rotate(asked).await),
        VALIDATE => Some(match judge(asked) {
            Ok(_) => valid(),
            Err(why) => refused(&asked.speaks, &why),
        }),
        _ => None,
    }
}

fn valid() -> Response {
    envelope(
        StatusCode::OK,
        "jwt_auth_valid_token",
        "Token is valid",
        None,
    )
}

/// `/token`: a login, or a new access token for the cookie.
async fn token(asked: &Asked) -> Response {
    let credentials = ["username", "password"].map(|name| asked.rest.param(name));
    if credentials.iter().all(Option::is_none) {
        return match asked.rest.cookie(COOKIE) {
            Some(cookie) => again(asked, cookie).await,
            None => refuse(
                "jwt_auth_missing_credentials",
                "Please provide username and password.",
            ),
        };
    }
    match log_in(asked).await {
        Ok(begun) => {
            let response = access(asked, &begun.login, &begun.family, &begun.user);
            with_cookie(asked, response, &begun.login, &begun.family)
        }
        Err(denied) => deny(&denied),
    }
}

/// A new access token for the cookie, which stays as it is. Who missed the answer that replaced it gets its successor
/// along.
async fn again(asked: &Asked, cookie: &str) -> Response {
    let (login, family, presented) = match renew(asked, cookie, Renew::Keep).await {
        Ok(renewed) => renewed,
        Err(ended) => return end(asked, &ended),
    };
    let user = match login::profile(&asked.issuer, &login.user_id).await {
        Ok(Some(user)) => user,
        Ok(None) => return end(asked, &Ended::AccountDisabled),
        Err(error) => return failed(&error),
    };
    let response = access(asked, &login, &family, &user);
    if presented == family.generation {
        return response;
    }
    with_cookie(asked, response, &login, &family)
}

/// `/token/refresh`: another cookie, no token.
async fn rotate(asked: &Asked) -> Response {
    let Some(cookie) = asked.rest.cookie(COOKIE) else {
        return refuse("jwt_auth_no_auth_cookie", "Refresh token cookie not found.");
    };
    match renew(asked, cookie, Renew::Rotate).await {
        Ok((login, family, _)) => with_cookie(asked, valid(), &login, &family),
        Err(ended) => end(asked, &ended),
    }
}

async fn renew(asked: &Asked, cookie: &str, renew: Renew) -> Result<(Login, Family, u64), Ended> {
    let issuer = &asked.issuer;
    let Some((family, presented)) = open_cookie(&issuer.master, cookie) else {
        issuer.counters.count(|stats| {
            stats.junk += 1;
            stats.refused += 1;
        });
        return Err(Ended::Unknown);
    };
    let (login, family) = issuer
        .renew_wordpress(&asked.speaks, family, presented, renew, &asked.peer)
        .await?;
    Ok((login, family, presented))
}

/// The answer with a new access token.
fn access(asked: &Asked, login: &Login, family: &Family, user: &User) -> Response {
    let device = asked.rest.plain("device").unwrap_or_default();
    let device: String = device.chars().take(LONGEST_DEVICE).collect();
    let minted = asked
        .issuer
        .mint_wordpress(&asked.speaks, login, family, &device);
    let minted = match minted {
        Ok(minted) => minted,
        Err(error) => return failed(&error.into()),
    };
    let data = json!({
        "token": minted.token.expose(),
        "id": user.number,
        "email": user.email,
        "nicename": user.slug,
        "firstName": "",
        "lastName": "",
        "displayName": user.name,
    });
    envelope(
        StatusCode::OK,
        "jwt_auth_valid_credential",
        "Credential is valid",
        Some(data),
    )
}

/// The plugin's cookie, which says in addition that no other site may send it along.
fn with_cookie(asked: &Asked, mut response: Response, login: &Login, family: &Family) -> Response {
    let issuer = &asked.issuer;
    if !response.status().is_success() {
        return response;
    }
    let number = user_number(&login.user_id);
    let value = make_cookie(&issuer.master, number, login.family, family.generation);
    let ends_ms = family.ends_ms(&issuer.rotation());
    let lasts = ends_ms.map_or(String::new(), |ends| {
        format!("; Max-Age={}", ((ends - issuer.now()) / 1000).max(0))
    });
    let secure = if issuer.is_https() { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE}={}{lasts}; path=/; HttpOnly; SameSite=Strict{secure}",
        value.expose()
    );
    // Digits and letters are always a valid value.
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn refuse(code: &str, text: &str) -> Response {
    envelope(StatusCode::UNAUTHORIZED, code, text, Some(json!([])))
}

fn deny(denied: &Denied) -> Response {
    let status = denied.status.unwrap_or(StatusCode::UNAUTHORIZED);
    let response = envelope(status, denied.code, &denied.message, Some(json!([])));
    retry_after(response, denied.retry_after_s)
}

/// Why the refresh cookie is not accepted. The plugin has no word for a session that was ended: it does not know the
/// token any more.
fn end(asked: &Asked, ended: &Ended) -> Response {
    let distinct = asked.speaks.distinct_codes;
    let (code, text) = match ended {
        Ended::Failed(error) => return failed(error),
        Ended::Revoked if distinct => (
            "jwt_auth_revoked_refresh_token",
            "Refresh token has been revoked.",
        ),
        Ended::AccountDisabled if distinct => ("account_disabled", "The account is disabled."),
        Ended::Unknown | Ended::Revoked | Ended::AccountDisabled => {
            ("jwt_auth_invalid_refresh_token", "Invalid refresh token.")
        }
        Ended::Expired => (
            "jwt_auth_expired_refresh_token",
            "Refresh token has expired.",
        ),
        Ended::Reused => (
            "jwt_auth_obsolete_refresh_token",
            "Refresh token is obsolete.",
        ),
    };
    refuse(code, text)
}
