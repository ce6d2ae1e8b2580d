//! `/wcpos-auth`: where a person logs in, and whence the tokens travel in the address of the redirect.
//!
//! The plugin sends them to any address. Here that address is on the person's own machine, or registered with a client
//! called `wcpos`: a link alone must not carry tokens away.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tenure_jose::sha256;
use url::{Host, Url};

use super::super::owned;
use super::super::pages::{self, Login, Shown};
use super::login;
use crate::error::OAuthError;
use crate::issuer::Issuer;
use crate::lang::Lang;
use crate::params::Params;
use crate::peer::Peer;
use crate::wordpress::{WordPress, as_uuid4, uuid};

/// A login that may be shown to a person.
struct Request {
    back: Url,
    state: String,
}

fn read(issuer: &Issuer, speaks: &WordPress, query: &str) -> Result<Request, String> {
    let params = Params::parse(query.as_bytes()).map_err(|error| error.description)?;
    let (Some(uri), Some(state)) = (params.get("redirect_uri"), params.get("state")) else {
        return Err("Invalid request: redirect_uri and state are required.".to_owned());
    };
    let back = Url::parse(uri)
        .ok()
        .filter(|url| may_return(issuer, speaks, uri, url));
    let back = back.ok_or(
        "The address to return to is neither on this machine nor registered. Nothing was shared with it.",
    )?;
    Ok(Request {
        back,
        state: state.to_owned(),
    })
}

/// RFC 8252 §7.3 for the program on the person's machine; else what the client registered.
fn may_return(issuer: &Issuer, speaks: &WordPress, text: &str, url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (here && plain && url.scheme() == "http")
        || issuer
            .client(speaks.client_id())
            .is_some_and(|client| client.redirects_to(text))
}

fn not_valid(lang: Lang, text: &str) -> Response {
    pages::message(
        lang,
        StatusCode::BAD_REQUEST,
        "This login link is not valid",
        text,
    )
}

fn page(
    issuer: &Issuer,
    lang: Lang,
    headers: &HeaderMap,
    query: &str,
    request: &Request,
    error: Option<&OAuthError>,
) -> Response {
    let form = pages::form(issuer, headers, query);
    let login = Login {
        action: "/wcpos-auth",
        client: "WCPOS",
        scopes: Vec::new(),
        hidden: &[("asked", query)],
        token: &form.token,
        username: "",
        returns_to: request.back.host_str().map(str::to_owned),
    };
    let shown = Shown {
        lang,
        form: &form,
        error,
        goes_to: Some(&request.back),
    };
    pages::login(&login, &shown)
}

pub(super) async fn show(
    State(issuer): State<Arc<Issuer>>,
    lang: Lang,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(speaks) = issuer.options.wordpress else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let query = query.unwrap_or_default();
    match read(&issuer, &speaks, &query) {
        Ok(request) => page(&issuer, lang, &headers, &query, &request, None),
        Err(text) => not_valid(lang, &text),
    }
}

pub(super) async fn submit(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    lang: Lang,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(speaks) = issuer.options.wordpress else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let params = match Params::from_form(&headers, &body) {
        Ok(params) => params,
        Err(error) => return not_valid(lang, &error.description),
    };
    let query = params.get("asked").unwrap_or_default().to_owned();
    let request = match read(&issuer, &speaks, &query) {
        Ok(request) => request,
        Err(text) => return not_valid(lang, &text),
    };
    let token = params.get("token").unwrap_or_default();
    if !pages::is_genuine(&issuer, &headers, &query, token) {
        let stale = pages::stale_form();
        return page(&issuer, lang, &headers, &query, &request, Some(&stale));
    }
    if params.get("decision") == Some("deny") {
        let text = "The person refused the login.";
        return redirect(
            &request,
            &[("error", "access_denied"), ("error_description", text)],
        );
    }
    let server = Arc::clone(&issuer);
    owned(&issuer, async move {
        match log_in(&server, &speaks, &request, &params, &peer).await {
            Ok(response) => response,
            Err(error) => page(&server, lang, &headers, &query, &request, Some(&error)),
        }
    })
    .await
}

async fn log_in(
    issuer: &Issuer,
    speaks: &WordPress,
    request: &Request,
    params: &Params,
    peer: &Peer,
) -> Result<Response, OAuthError> {
    let (name, password) = (params.need("username")?, params.need_secret("password")?);
    let who = issuer
        .log_in(name, password, speaks.client_id(), peer)
        .await?;
    let user = login::profile(issuer, &who.user_id).await?;
    let user = user.ok_or_else(OAuthError::account_disabled)?;
    let (login, family) = issuer.begin_wordpress(speaks, who.user_id, peer).await?;
    let refresh = issuer.make_pos_refresh(&login, &family)?;
    let access = issuer.mint_wordpress(speaks, &login, &family, "")?;
    Ok(redirect(
        request,
        &[
            ("access_token", access.token.expose()),
            ("refresh_token", refresh.expose()),
            ("token_type", "Bearer"),
            ("expires_at", &access.expires_at.to_string()),
            ("id", &user.number.to_string()),
            ("uuid", &user_uuid(&login.user_id)),
            ("display_name", &user.name),
        ],
    ))
}

/// The same for a user at every login.
fn user_uuid(user_id: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256(format!("wcpos user {user_id}").as_bytes())[..16]);
    uuid(as_uuid4(bytes))
}

/// 303, so that a browser follows with GET and keeps no form data.
fn redirect(request: &Request, answer: &[(&str, &str)]) -> Response {
    let mut url = request.back.clone();
    url.query_pairs_mut()
        .extend_pairs(answer)
        .append_pair("state", &request.state);
    let Ok(mut location) = HeaderValue::from_str(url.as_str()) else {
        // A URL is printable ASCII once parsed; this cannot be.
        return not_valid(Lang::En, "The address to return to is not valid.");
    };
    location.set_sensitive(true);
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}
