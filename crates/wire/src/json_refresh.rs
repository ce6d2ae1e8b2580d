//! Servers that take a refresh token as JSON and name their fields as they like.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenure_core::Secret;

use crate::answer::Granted;
use crate::client_auth::{Client, ClientAuth, Proof};
use crate::error::WireError;
use crate::json::{integer, string};
use crate::server::{Ctx, Server};
use crate::{Request, request};

/// Field names. Answer fields may be plain names, dotted names (`data.token`) or JSON pointers
/// (`/data/token`), and list alternatives with `|`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonFields {
    /// Sent: the refresh token.
    pub send_refresh: String,
    /// Sent at login: who.
    pub send_username: String,
    /// Sent at login: the password.
    pub send_password: String,
    /// Read: the access token.
    pub access: String,
    /// Read: the refresh token, if one comes back.
    pub refresh: String,
    /// Read: lifetime in seconds.
    pub expires_in: String,
    /// Read: end of life in seconds since the epoch.
    pub expires_at: String,
    /// Read: lifetime of the refresh token in seconds.
    pub refresh_expires_in: String,
}

impl Default for JsonFields {
    fn default() -> Self {
        Self {
            send_refresh: "refresh_token".into(),
            send_username: "username".into(),
            send_password: "password".into(),
            access: "access_token|accessToken|access|token|jwt".into(),
            refresh: "refresh_token|refreshToken|refresh".into(),
            expires_in: "expires_in|expiresIn".into(),
            expires_at: "expires_at|expiresAt".into(),
            refresh_expires_in: "refresh_expires_in|refresh_token_expires_in|refreshExpiresIn"
                .into(),
        }
    }
}

/// POST of the refresh token with `extra_refresh_params` as further fields.
pub(crate) fn refresh(
    server: &Server,
    fields: &JsonFields,
    client: &Client,
    refresh: &Secret,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    let extra = server
        .extra_refresh_params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let fields: Vec<_> = [(fields.send_refresh.as_str(), refresh.expose())]
        .into_iter()
        .chain(extra)
        .collect();
    send(
        "token_endpoint",
        &server.token_endpoint,
        server,
        client,
        fields,
        ctx,
    )
}

/// POST of a username and a password to the login endpoint.
pub(crate) fn password(
    server: &Server,
    fields: &JsonFields,
    client: &Client,
    username: &str,
    password: &Secret,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    let endpoint = "login_endpoint";
    let url = server
        .login_endpoint
        .as_ref()
        .ok_or(WireError::MissingEndpoint { endpoint })?;
    let fields = vec![
        (fields.send_username.as_str(), username),
        (fields.send_password.as_str(), password.expose()),
    ];
    send(endpoint, url, server, client, fields, ctx)
}

fn send(
    endpoint: &'static str,
    url: &url::Url,
    server: &Server,
    client: &Client,
    fields: Vec<(&str, &str)>,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    // A client without a proof stays out of the body: such servers often refuse fields they do not know.
    let proof = match client.auth {
        ClientAuth::None => Proof::default(),
        _ => Proof::of(client, server, ctx)?,
    };
    let proven = proof
        .fields
        .iter()
        .map(|(name, value)| (*name, value.expose()));
    let fields: Vec<_> = fields.into_iter().chain(proven).collect();
    request::json(endpoint, url, proof.headers.clone(), &fields)
}

/// Finds the tokens under the configured names.
pub(crate) fn granted(value: &Value, fields: &JsonFields, ctx: &Ctx) -> Option<Granted> {
    let mut granted = Granted::new(Secret::new(string(value, &fields.access)?), ctx.now_s);
    granted.refresh = string(value, &fields.refresh).map(Secret::new);
    granted.stated.expires_in = integer(value, &fields.expires_in);
    granted.stated.expires_at = integer(value, &fields.expires_at);
    granted.refresh_expires_in =
        integer(value, &fields.refresh_expires_in).filter(|seconds| *seconds > 0);
    granted.scope = string(value, "scope").map(str::to_owned);
    granted.token_type = string(value, "token_type|tokenType").map(str::to_owned);
    Some(granted)
}
