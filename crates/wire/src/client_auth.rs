//! How the client proves itself to the token endpoint (RFC 6749 §2.3, RFC 7523).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap};
use serde::Serialize;
use tenure_core::Secret;
use tenure_jose::SigningKey;
use url::form_urlencoded::byte_serialize;

use crate::error::WireError;
use crate::request::secret_header;
use crate::server::{Ctx, Server};

/// How long a client assertion is good for, in seconds.
const ASSERTION_LIFE_S: i64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How the client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Public client: `client_id` in the body, no proof.
    #[default]
    None,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
    /// `private_key_jwt` (RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl ClientAuth {
    /// The name used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ClientAuth::None => "none",
            ClientAuth::Basic => "basic",
            ClientAuth::Post => "post",
            ClientAuth::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// Reads the short names and those of RFC 7591 (`client_secret_basic`, `client_secret_post`).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(ClientAuth::None),
            "basic" | "client_secret_basic" => Some(ClientAuth::Basic),
            "post" | "client_secret_post" => Some(ClientAuth::Post),
            "private_key_jwt" => Some(ClientAuth::PrivateKeyJwt),
            _ => None,
        }
    }
}

/// Who asks.
#[derive(Clone, Default)]
pub struct Client {
    /// `client_id`; empty where the dialect has no clients.
    pub id: String,
    /// `client_secret`.
    pub secret: Option<Secret>,
    /// The key that signs assertions.
    pub key: Option<Arc<SigningKey>>,
    /// How the client proves itself.
    pub auth: ClientAuth,
}

impl Client {
    /// A public client.
    pub fn public(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("secret", &self.secret)
            .field("key", &self.key.as_ref().map(|key| key.kid().to_owned()))
            .field("auth", &self.auth)
            .finish()
    }
}

/// A client's proof, ready to be put into a request.
#[derive(Default)]
pub(crate) struct Proof {
    pub(crate) headers: HeaderMap,
    pub(crate) fields: Vec<(&'static str, Secret)>,
}

impl Proof {
    /// The proof for a request to `server`.
    pub(crate) fn of(client: &Client, server: &Server, ctx: &Ctx) -> Result<Self, WireError> {
        match client.auth {
            ClientAuth::None => Ok(Self::id_only(client)),
            ClientAuth::Basic => Self::basic(client),
            ClientAuth::Post => Self::post(client),
            ClientAuth::PrivateKeyJwt => Self::assertion(client, server, ctx),
        }
    }

    fn id_only(client: &Client) -> Self {
        let mut proof = Self::default();
        if !client.id.is_empty() {
            proof
                .fields
                .push(("client_id", Secret::new(client.id.clone())));
        }
        proof
    }

    /// RFC 6749 §2.3.1: identifier and secret are form-urlencoded each before they are joined and encoded.
    fn basic(client: &Client) -> Result<Self, WireError> {
        let secret = secret_of(client)?;
        let pair: String = byte_serialize(client.id.as_bytes())
            .chain([":"])
            .chain(byte_serialize(secret.expose().as_bytes()))
            .collect();
        let value = format!("Basic {}", STANDARD.encode(pair));
        let mut proof = Self::default();
        proof
            .headers
            .insert(AUTHORIZATION, secret_header("client secret", &value)?);
        Ok(proof)
    }

    fn post(client: &Client) -> Result<Self, WireError> {
        let secret = secret_of(client)?.clone();
        let mut proof = Self::id_only(client);
        proof.fields.push(("client_secret", secret));
        Ok(proof)
    }

    fn assertion(client: &Client, server: &Server, ctx: &Ctx) -> Result<Self, WireError> {
        let key = client.key.as_ref().ok_or(WireError::MissingClientKey)?;
        if client.id.is_empty() {
            return Err(WireError::MissingClientId {
                needed_by: "private_key_jwt",
            });
        }
        let claims = Assertion {
            iss: &client.id,
            sub: &client.id,
            aud: server.token_endpoint.as_str(),
            jti: &ctx.jti,
            iat: ctx.now_s,
            exp: ctx.now_s.saturating_add(ASSERTION_LIFE_S),
        };
        let mut proof = Self::id_only(client);
        proof
            .fields
            .push(("client_assertion_type", Secret::new(ASSERTION_TYPE)));
        proof
            .fields
            .push(("client_assertion", key.sign(Some("JWT"), &claims)?));
        Ok(proof)
    }
}

fn secret_of(client: &Client) -> Result<&Secret, WireError> {
    client
        .secret
        .as_ref()
        .ok_or(WireError::MissingClientSecret {
            auth: client.auth.as_str(),
        })
}

/// RFC 7523 §3.
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: i64,
    exp: i64,
}
