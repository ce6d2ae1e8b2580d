//! OAuth 2.0: token requests (RFC 6749), code with PKCE (RFC 7636), revocation (RFC 7009).

use http::header::HeaderMap;
use serde_json::Value;
use tenure_core::Secret;
use url::Url;

use crate::answer::{Granted, Reading, Refusal, object};
use crate::client_auth::{Client, Proof};
use crate::error::WireError;
use crate::json::{integer, string};
use crate::mask::Known;
use crate::server::{Ctx, Dialect, Server};
use crate::{Request, Response, refusal, request};

/// The device grant's type (RFC 8628 §3.4).
pub(crate) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A request to the token endpoint with the client's proof. Carries no `Authorization` but the client's own.
pub(crate) fn token_request(
    server: &Server,
    client: &Client,
    params: &[(&str, &str)],
    ctx: &Ctx,
) -> Result<Request, WireError> {
    client_request(
        "token_endpoint",
        &server.token_endpoint,
        server,
        client,
        params,
        ctx,
    )
}

/// A form with the client's proof to one of the server's endpoints.
pub(crate) fn client_request(
    endpoint: &'static str,
    url: &Url,
    server: &Server,
    client: &Client,
    params: &[(&str, &str)],
    ctx: &Ctx,
) -> Result<Request, WireError> {
    let proof = Proof::of(client, server, ctx)?;
    let mut fields = params.to_vec();
    fields.extend(
        proof
            .fields
            .iter()
            .map(|(name, value)| (*name, value.expose())),
    );
    request::form(endpoint, url, proof.headers, &fields)
}

/// RFC 6749 §6.
pub(crate) fn refresh(
    server: &Server,
    client: &Client,
    refresh: &Secret,
    scope: Option<&str>,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    let mut params = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.expose()),
    ];
    params.extend(scope.map(|scope| ("scope", scope)));
    params.extend(extra(server));
    token_request(server, client, &params, ctx)
}

/// RFC 6749 §4.3.
pub(crate) fn password(
    server: &Server,
    client: &Client,
    username: &str,
    password: &Secret,
    scope: Option<&str>,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    let mut params = vec![
        ("grant_type", "password"),
        ("username", username),
        ("password", password.expose()),
    ];
    params.extend(scope.map(|scope| ("scope", scope)));
    token_request(server, client, &params, ctx)
}

/// RFC 6749 §4.4. `extra_refresh_params` go along (`audience` and `resource` decide what is granted).
pub(crate) fn client_credentials(
    server: &Server,
    client: &Client,
    scope: Option<&str>,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    let mut params = vec![("grant_type", "client_credentials")];
    params.extend(scope.map(|scope| ("scope", scope)));
    params.extend(extra(server));
    token_request(server, client, &params, ctx)
}

/// RFC 6749 §4.1.3 with RFC 7636 §4.5.
pub(crate) fn code(
    server: &Server,
    client: &Client,
    code: &Secret,
    redirect_uri: &str,
    verifier: &Secret,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    let params = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier.expose()),
    ];
    token_request(server, client, &params, ctx)
}

/// RFC 8628 §3.4.
pub(crate) fn device_token(
    server: &Server,
    client: &Client,
    device_code: &Secret,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    let params = [
        ("grant_type", DEVICE_GRANT),
        ("device_code", device_code.expose()),
    ];
    token_request(server, client, &params, ctx)
}

fn extra(server: &Server) -> impl Iterator<Item = (&str, &str)> {
    server
        .extra_refresh_params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Finds the tokens in a body (RFC 6749 §5.1 and what the large servers add to it).
pub(crate) fn granted(value: &Value, ctx: &Ctx) -> Option<Granted> {
    // Slack puts a person's tokens one level down when no bot token comes with them.
    let value = match (string(value, "access_token"), value.get("authed_user")) {
        (None, Some(user)) => user,
        _ => value,
    };
    let mut granted = Granted::new(Secret::new(string(value, "access_token")?), ctx.now_s);
    granted.refresh = string(value, "refresh_token").map(Secret::new);
    granted.scope = scope(value);
    granted.stated.expires_in = integer(value, "expires_in");
    granted.stated.expires_at = integer(value, "expires_at");
    // Keycloak; GitHub and Zoom; Intuit.
    granted.refresh_expires_in = integer(
        value,
        "refresh_expires_in|refresh_token_expires_in|x_refresh_token_expires_in",
    )
    // Keycloak says 0 for offline tokens, which do not expire.
    .filter(|seconds| *seconds > 0);
    granted.refresh_in = integer(value, "refresh_in").filter(|seconds| *seconds > 0);
    granted.session_expires_in =
        integer(value, "session_expires_in").filter(|seconds| *seconds > 0);
    granted.id_token = string(value, "id_token").map(Secret::new);
    granted.token_type = string(value, "token_type").map(str::to_owned);
    Some(granted)
}

/// A string (RFC 6749 §3.3), or a list as some servers send it.
fn scope(value: &Value) -> Option<String> {
    match value.get("scope").or_else(|| value.get("scopes"))? {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Array(items) => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            (!words.is_empty()).then(|| words.join(" "))
        }
        _ => None,
    }
}

/// The address a person's browser is sent to.
///
/// `scope` is space separated; `pkce_challenge` is the S256 challenge; `extra` adds parameters such as
/// `prompt` or `audience` and cannot replace those of the protocol. For wcpos only `redirect_uri`, `state`
/// and `extra` (`platform`, `version`, `build`) are sent, as that server knows no clients.
#[allow(clippy::too_many_arguments)] // The parameters of RFC 6749 §4.1.1, OpenID Connect and RFC 7636.
pub fn authorization_url(
    server: &Server,
    client: &Client,
    redirect_uri: &str,
    scope: Option<&str>,
    state: &Secret,
    nonce: Option<&str>,
    pkce_challenge: &str,
    extra: &[(String, String)],
) -> Result<Url, WireError> {
    let mut params = vec![("redirect_uri", redirect_uri), ("state", state.expose())];
    match server.dialect {
        Dialect::Wcpos => {}
        Dialect::OAuth2 => {
            if client.id.is_empty() {
                return Err(WireError::MissingClientId {
                    needed_by: "the browser login",
                });
            }
            params.extend([
                ("response_type", "code"),
                ("client_id", client.id.as_str()),
                ("code_challenge", pkce_challenge),
                ("code_challenge_method", "S256"),
            ]);
            params.extend(scope.map(|scope| ("scope", scope)));
            params.extend(nonce.map(|nonce| ("nonce", nonce)));
        }
        _ => {
            return Err(WireError::NoSuchGrant {
                dialect: server.dialect.as_str(),
                grant: "login in a browser",
            });
        }
    }
    let endpoint = server
        .authorization_endpoint
        .as_ref()
        .ok_or(WireError::MissingEndpoint {
            endpoint: "authorization_endpoint",
        })?;
    let ours: Vec<&str> = params.iter().map(|(name, _)| *name).collect();
    let added = extra
        .iter()
        .filter(|(name, _)| !ours.contains(&name.as_str()));
    let mut url = endpoint.clone();
    url.set_fragment(None);
    url.query_pairs_mut()
        .extend_pairs(&params)
        .extend_pairs(added);
    Ok(url)
}

/// The request that revokes a token; `None` when the server has no way to.
///
/// `hint` is `access_token` or `refresh_token`. Simple JWT Login takes back JWTs only (and with one all
/// refresh tokens of the user), so there is nothing to send for a refresh token of its version 4.
pub fn revocation(
    server: &Server,
    client: &Client,
    token: &Secret,
    hint: &str,
    ctx: &Ctx,
) -> Result<Option<Request>, WireError> {
    const ENDPOINT: &str = "revocation_endpoint";
    let Some(url) = &server.revocation_endpoint else {
        return Ok(None);
    };
    match server.dialect {
        Dialect::OAuth2 | Dialect::JsonRefresh(_) => {
            let params = [("token", token.expose()), ("token_type_hint", hint)];
            client_request(ENDPOINT, url, server, client, &params, ctx).map(Some)
        }
        Dialect::SimpleJwtLogin { version } if version < 4 || hint == "access_token" => {
            let fields = [("JWT", token.expose())];
            request::json(ENDPOINT, url, HeaderMap::new(), &fields).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether a revocation was accepted. RFC 7009 §2.2: 200 also for a token that is not known.
pub fn revocation_answer(response: &Response) -> Result<(), Refusal> {
    let value = object(response, Reading::WordPress).unwrap_or(Value::Null);
    if response.status().is_success() && !refusal::says_no(&value) {
        return Ok(());
    }
    Err(refusal::read(
        response,
        &value,
        Reading::WordPress,
        &Known::default(),
    ))
}
