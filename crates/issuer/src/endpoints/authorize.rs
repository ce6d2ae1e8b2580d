//! `/authorize`: the login page of the authorization code flow (RFC 6749 §4.1, RFC 7636, RFC 9207).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tenure_jose::from_b64url;
use url::Url;

use super::owned;
use super::pages::{self, Login, Shown};
use crate::client::{Client, Grant};
use crate::codes::Code;
use crate::error::OAuthError;
use crate::issuer::{ACR_PASSWORD, Issuer};
use crate::lang::Lang;
use crate::params::Params;
use crate::peer::Peer;
use crate::scope;

/// An authorization request that is fit to be shown to a person.
struct Request {
    client: Arc<Client>,
    redirect_uri: String,
    back: Back,
    scope: String,
    challenge: String,
    nonce: Option<String>,
    login_hint: Option<String>,
    dpop_jkt: Option<String>,
}

/// Where answers go: the client's redirect URI, with what must come along.
struct Back {
    lang: Lang,
    url: Url,
    state: Option<String>,
    issuer: String,
}

impl Back {
    /// 303, so that a browser follows with GET and keeps no form data.
    fn redirect(&self, answer: &[(&str, &str)]) -> Response {
        let mut url = self.url.clone();
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(answer);
            if let Some(state) = &self.state {
                query.append_pair("state", state);
            }
            query.append_pair("iss", &self.issuer);
        }
        let mut response = StatusCode::SEE_OTHER.into_response();
        match HeaderValue::from_str(url.as_str()) {
            Ok(location) => response.headers_mut().insert(header::LOCATION, location),
            // A URL is printable ASCII once parsed; this cannot be.
            Err(_) => {
                return pages::message(
                    self.lang,
                    StatusCode::BAD_REQUEST,
                    "This link cannot be followed",
                    "The redirect address is not valid.",
                );
            }
        };
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        response
    }

    fn error(&self, error: &str, description: &str) -> Response {
        self.redirect(&[("error", error), ("error_description", description)])
    }
}

/// Whom a bad request is told to: the person, when it is not proven where the client is; else the client
/// (RFC 6749 §4.1.2.1).
type Refusal = Box<Response>;

fn to_person(lang: Lang, text: &str) -> Response {
    pages::message(
        lang,
        StatusCode::BAD_REQUEST,
        "This login link is not valid",
        text,
    )
}

fn read(issuer: &Issuer, query: &str, lang: Lang) -> Result<Request, Refusal> {
    let (client, redirect_uri, params) =
        addressee(issuer, query).map_err(|text| Box::new(to_person(lang, &text)))?;
    let url = Url::parse(&redirect_uri)
        .map_err(|_| Box::new(to_person(lang, "The address to return to is not valid.")))?;
    let state = params.get("state").map(str::to_owned);
    let lang = lang.or_asked(params.get("ui_locales"));
    let back = Back {
        lang,
        url,
        state,
        issuer: issuer.id().to_owned(),
    };
    let (scope, challenge) =
        check(&client, &params).map_err(|(error, text)| Box::new(back.error(error, &text)))?;
    Ok(Request {
        nonce: params.get("nonce").map(str::to_owned),
        login_hint: params.get("login_hint").map(str::to_owned),
        dpop_jkt: params.get("dpop_jkt").map(str::to_owned),
        client,
        redirect_uri,
        back,
        scope,
        challenge,
    })
}

/// The client and its redirect URI, or what to tell the person.
fn addressee(issuer: &Issuer, query: &str) -> Result<(Arc<Client>, String, Params), String> {
    let params = Params::parse(query.as_bytes()).map_err(|error| error.description)?;
    let client = params
        .get("client_id")
        .and_then(|id| issuer.client(id))
        .ok_or_else(|| {
            "The application that sent you here is not registered. Nothing was shared with it."
                .to_owned()
        })?;
    let known = client.registration.redirect_uris.as_slice();
    let redirect_uri = match (params.get("redirect_uri"), known) {
        (Some(uri), _) if client.redirects_to(uri) => uri.to_owned(),
        (None, [only]) => only.clone(),
        _ => {
            let text = "The address to return to is not one the application registered. Nothing was shared with it.";
            return Err(text.to_owned());
        }
    };
    Ok((client, redirect_uri, params))
}

/// The checks whose failure the client is told; returns scope and challenge.
fn check(client: &Client, params: &Params) -> Result<(String, String), (&'static str, String)> {
    let fail = |error: &'static str, text: &str| Err((error, text.to_owned()));
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => {
            return fail(
                "unsupported_response_type",
                "Only response_type=code exists here.",
            );
        }
        None => return fail("invalid_request", "The parameter response_type is missing."),
    }
    if !client.may(Grant::AuthorizationCode) {
        return fail(
            "unauthorized_client",
            "The client is not registered for authorization codes.",
        );
    }
    if params
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return fail("invalid_request", "Only response_mode=query exists here.");
    }
    if params.get("request").is_some() {
        return fail(
            "request_not_supported",
            "Request objects are not supported.",
        );
    }
    if params.get("request_uri").is_some() {
        return fail(
            "request_uri_not_supported",
            "Request objects are not supported.",
        );
    }
    check_prompt(params)?;
    check_step_up(params)?;
    if params.get("code_challenge_method") != Some("S256") {
        return fail(
            "invalid_request",
            "PKCE is required, with code_challenge_method=S256 (RFC 7636).",
        );
    }
    let challenge = params.get("code_challenge").unwrap_or_default();
    if from_b64url(challenge).is_none_or(|bytes| bytes.len() != 32) {
        return fail(
            "invalid_request",
            "code_challenge must be the base64url SHA-256 of the verifier.",
        );
    }
    match client.allowed_scope(params.get("scope")) {
        Ok(scope) => Ok((scope, challenge.to_owned())),
        Err(error) => Err(("invalid_scope", error.description)),
    }
}

/// OpenID Connect Core §3.1.2.1: `none` stands alone. Every login here is asked for and agreed to, whatever else it says.
fn check_prompt(params: &Params) -> Result<(), (&'static str, String)> {
    let prompt = params.get("prompt").unwrap_or_default();
    let known = |word| matches!(word, "login" | "consent" | "select_account");
    if prompt == "none" {
        Err(("login_required", "A person must log in.".to_owned()))
    } else if scope::words(prompt).all(known) {
        Ok(())
    } else {
        let text = "prompt must be none, or of login, consent and select_account.";
        Err(("invalid_request", text.to_owned()))
    }
}

/// What an API asked for (RFC 9470 §4). Every login here is a new one, so any `max_age` is met; of what cannot be met the
/// client learns now (§5), for with other tokens it would come back again and again.
fn check_step_up(params: &Params) -> Result<(), (&'static str, String)> {
    if params
        .get("max_age")
        .is_some_and(|age| age.parse::<u64>().is_err())
    {
        let text = "max_age must be a number of seconds.";
        return Err(("invalid_request", text.to_owned()));
    }
    match params.get("acr_values") {
        Some(asked) if !asked.split(' ').any(|acr| acr == ACR_PASSWORD) => Err((
            "unmet_authentication_requirements",
            format!("None of the acr_values can be met; this server knows {ACR_PASSWORD}."),
        )),
        _ => Ok(()),
    }
}

pub(super) async fn show(
    State(issuer): State<Arc<Issuer>>,
    lang: Lang,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    begin(&issuer, lang, &headers, &query.unwrap_or_default()).await
}

async fn begin(issuer: &Issuer, lang: Lang, headers: &HeaderMap, query: &str) -> Response {
    match unpacked(issuer, query).await {
        Ok(query) => match read(issuer, &query, lang) {
            Ok(request) => page(issuer, headers, &query, &request, None),
            Err(refusal) => *refusal,
        },
        Err(text) => to_person(lang, text),
    }
}

/// The request itself: what was handed in beforehand, where the link names such a request (RFC 9126 §4).
async fn unpacked(issuer: &Issuer, query: &str) -> Result<String, &'static str> {
    let Ok(params) = Params::parse(query.as_bytes()) else {
        // Told again, with its reason, by whoever reads the request.
        return Ok(query.to_owned());
    };
    let client = params.get("client_id").unwrap_or_default();
    let Some(uri) = params.get("request_uri") else {
        let must = issuer
            .client(client)
            .is_some_and(|client| client.registration.par_required);
        return if must {
            Err("The application must hand its requests in beforehand. Nothing was shared with it.")
        } else {
            Ok(query.to_owned())
        };
    };
    match issuer.pushed(uri, client).await {
        Ok(Some(pushed)) => Ok(pushed),
        Ok(None) => Err(
            "The request it names is unknown or waited for too long. Go back to the application and begin again.",
        ),
        Err(error) => {
            tracing::error!(%error, "a pushed request cannot be read");
            Err("The server cannot reach its database. Please try again.")
        }
    }
}

/// What would be refused in the browser, as an answer to the client.
pub(super) fn check_pushed(issuer: &Issuer, query: &str) -> Result<(), OAuthError> {
    let (client, _, params) = addressee(issuer, query).map_err(OAuthError::invalid_request)?;
    check(&client, &params)
        .map(drop)
        .map_err(|(error, text)| OAuthError {
            error,
            ..OAuthError::invalid_request(text)
        })
}

fn page(
    issuer: &Issuer,
    headers: &HeaderMap,
    query: &str,
    request: &Request,
    error: Option<&OAuthError>,
) -> Response {
    let form = pages::form(issuer, headers, query);
    let login = Login {
        action: "/authorize",
        client: &request.client.registration.name,
        scopes: scope::words(&request.scope).collect(),
        hidden: &[("asked", query)],
        token: &form.token,
        username: request.login_hint.as_deref().unwrap_or_default(),
        returns_to: Some(place(request.back.lang, &request.back.url)),
    };
    pages::login(
        &login,
        &Shown {
            lang: request.back.lang,
            form: &form,
            error,
            goes_to: Some(&request.back.url),
        },
    )
}

/// What a person may compare: the host, or the scheme of an app.
fn place(lang: Lang, url: &Url) -> String {
    url.host_str().map_or_else(
        || lang.say_with("{}: (an app on this device)", url.scheme()),
        str::to_owned,
    )
}

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
    let (Some(query), Some(token)) = (params.get("asked"), params.get("token")) else {
        // An authorization request may itself be sent as a form (OpenID Connect Core §3.1.2.1).
        return begin(
            &issuer,
            lang,
            &headers,
            std::str::from_utf8(&body).unwrap_or_default(),
        )
        .await;
    };
    let request = match read(&issuer, query, lang) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    if !pages::is_genuine(&issuer, &headers, query, token) {
        return page(
            &issuer,
            &headers,
            query,
            &request,
            Some(&pages::stale_form()),
        );
    }
    if params.get("decision") == Some("deny") {
        return request
            .back
            .error("access_denied", "The person refused the login.");
    }
    let (server, query) = (Arc::clone(&issuer), query.to_owned());
    owned(&issuer, async move {
        match log_in(&server, &request, &params, &peer).await {
            Ok(response) => response,
            Err(error) => page(&server, &headers, &query, &request, Some(&error)),
        }
    })
    .await
}

async fn log_in(
    issuer: &Issuer,
    request: &Request,
    params: &Params,
    peer: &Peer,
) -> Result<Response, OAuthError> {
    let user = issuer
        .log_in(
            params.need("username")?,
            params.need_secret("password")?,
            request.client.id(),
            peer,
        )
        .await?;
    let code = issuer
        .make_code(Code {
            client_id: request.client.id().to_owned(),
            user_id: user.user_id,
            redirect_uri: request.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            scope: request.scope.clone(),
            nonce: request.nonce.clone(),
            auth_ms: issuer.now(),
            jkt: request.dpop_jkt.clone(),
        })
        .await?;
    Ok(request.back.redirect(&[("code", code.expose())]))
}
