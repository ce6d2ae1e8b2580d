//! The device flow (RFC 8628): the device's endpoint, and the page for the person.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::owned;
use super::pages::{self, Login, Shown};
use crate::client::Grant;
use crate::device::{Waiting, normal_user_code};
use crate::error::OAuthError;
use crate::issuer::Issuer;
use crate::lang::Lang;
use crate::params::Params;
use crate::peer::Peer;
use crate::scope;
use crate::throttle::PER_ADDRESS;

/// `POST /device_authorization`.
pub(super) async fn begin(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let server = Arc::clone(&issuer);
    owned(&issuer, async move {
        match begun(&server, &headers, &body, &peer).await {
            Ok(response) => response,
            Err(error) => error.response(&server.pages),
        }
    })
    .await
}

async fn begun(
    issuer: &Issuer,
    headers: &HeaderMap,
    body: &[u8],
    peer: &Peer,
) -> Result<Response, OAuthError> {
    let params = Params::from_form(headers, body)?;
    let client = issuer
        .authenticate(headers, &params, peer.text().as_deref())
        .await?;
    if !client.may(Grant::DeviceCode) {
        return Err(OAuthError::unauthorized_client(
            "The client is not registered for the device flow.",
        ));
    }
    let scope = client.allowed_scope(params.get("scope"))?;
    let begun = issuer.begin_device(client.id(), &scope).await?;
    let page = issuer.url("/device");
    let body = json!({
        "device_code": begun.device_code.expose(),
        "user_code": begun.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", begun.user_code),
        "expires_in": issuer.options.device_ttl_s,
        "interval": issuer.options.device_interval_s,
    });
    let mut response = axum::Json(body).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /device`: asks for the code, then for the login.
pub(super) async fn show(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    lang: Lang,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let Some(typed) = params.get("user_code") else {
        return pages::device(lang, StatusCode::OK, "", None);
    };
    let code = normal_user_code(typed);
    match find(&issuer, &code, &peer).await {
        Ok(waiting) => page(&issuer, lang, &headers, &code, &waiting, None),
        Err(error) => refused(lang, &code, &error),
    }
}

/// The login that waits under a code; guesses are slowed down.
async fn find(issuer: &Issuer, code: &str, peer: &Peer) -> Result<Waiting, OAuthError> {
    let key = format!("device {}", peer.text().unwrap_or_default());
    issuer
        .throttle
        .begin(&key, PER_ADDRESS, issuer.now())
        .map_err(OAuthError::throttled)?;
    let waiting = issuer.waiting(code).await?;
    let waiting = waiting.ok_or_else(|| OAuthError::invalid_code("No login waits under this code. Compare it with the device; codes expire after a few minutes."))?;
    issuer.throttle.refund(&key);
    Ok(waiting)
}

fn refused(lang: Lang, code: &str, error: &OAuthError) -> Response {
    let mut response = pages::device(lang, error.status, code, Some(&error.description));
    if let Some(seconds) = error.retry_after_s {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn page(
    issuer: &Issuer,
    lang: Lang,
    headers: &HeaderMap,
    code: &str,
    waiting: &Waiting,
    error: Option<&OAuthError>,
) -> Response {
    let form = pages::form(issuer, headers, &format!("device {code}"));
    let client = issuer.client(&waiting.client_id);
    let login = Login {
        action: "/device",
        client: client
            .as_ref()
            .map_or(waiting.client_id.as_str(), |client| {
                client.registration.name.as_str()
            }),
        scopes: scope::words(&waiting.scope).collect(),
        hidden: &[("user_code", code)],
        token: &form.token,
        username: "",
        returns_to: None,
    };
    pages::login(
        &login,
        &Shown {
            lang,
            form: &form,
            error,
            goes_to: None,
        },
    )
}

/// `POST /device`: the person's answer.
pub(super) async fn submit(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    lang: Lang,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = match Params::from_form(&headers, &body) {
        Ok(params) => params,
        Err(error) => {
            return pages::message(
                lang,
                StatusCode::BAD_REQUEST,
                "This form cannot be read",
                &error.description,
            );
        }
    };
    let code = normal_user_code(params.get("user_code").unwrap_or_default());
    let waiting = match find(&issuer, &code, &peer).await {
        Ok(waiting) => waiting,
        Err(error) => return refused(lang, &code, &error),
    };
    let token = params.get("token").unwrap_or_default();
    if !pages::is_genuine(&issuer, &headers, &format!("device {code}"), token) {
        return page(
            &issuer,
            lang,
            &headers,
            &code,
            &waiting,
            Some(&pages::stale_form()),
        );
    }
    let server = Arc::clone(&issuer);
    owned(&issuer, async move {
        match decide(&server, &params, &code, &waiting, &peer, lang).await {
            Ok(response) => response,
            Err(error) => page(&server, lang, &headers, &code, &waiting, Some(&error)),
        }
    })
    .await
}

async fn decide(
    issuer: &Issuer,
    params: &Params,
    code: &str,
    waiting: &Waiting,
    peer: &Peer,
    lang: Lang,
) -> Result<Response, OAuthError> {
    if params.get("decision") == Some("deny") {
        issuer.answer_device(code, None).await?;
        return Ok(pages::message(
            lang,
            StatusCode::OK,
            "Refused",
            "The device gets no access. You can close this page.",
        ));
    }
    let user = issuer
        .log_in(
            params.need("username")?,
            params.need_secret("password")?,
            &waiting.client_id,
            peer,
        )
        .await?;
    if issuer.answer_device(code, Some(user.user_id)).await? {
        return Ok(pages::message(
            lang,
            StatusCode::OK,
            "Signed in",
            "The device is signed in. You can close this page.",
        ));
    }
    Err(OAuthError::invalid_code(
        "The code expired or was answered before. Start again on the device.",
    ))
}
