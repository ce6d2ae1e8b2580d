//! What a program does with an issuer.

use std::collections::BTreeMap;
use std::fmt::Debug;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClient,
    CoreClientAuthMethod, CoreDeviceAuthorizationResponse, CoreErrorResponseType, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType, CoreUserInfoClaims,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    DeviceAuthorizationUrl, HttpRequest, HttpResponse, IntrospectionUrl, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, ProviderMetadata, RedirectUrl, RequestTokenError,
    Scope, TokenIntrospectionResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::browser::{self, Person};

/// What there is to know of the issuer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    issuer: String,
    redirect_uri: String,
    person: Person,
    clients: BTreeMap<String, Client>,
}

#[derive(Deserialize)]
struct Client {
    id: String,
    secret: Option<String>,
}

type Flow = fn(&Setup) -> Result<(), String>;

pub const ALL: [(&str, Flow); 4] = [
    (
        "code + PKCE, ID token, userinfo, refresh with rotation",
        |setup| code(setup, "web"),
    ),
    ("public client", |setup| code(setup, "app")),
    ("device flow", device),
    ("client credentials", program),
];

/// Endpoints that the crate knows and does not look for.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct More {
    device_authorization_endpoint: DeviceAuthorizationUrl,
    introspection_endpoint: IntrospectionUrl,
}

impl AdditionalProviderMetadata for More {}

type Metadata = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The crate leaves the wire to its user.
fn wire(asked: HttpRequest) -> Result<HttpResponse, std::io::Error> {
    let (parts, body) = asked.into_parts();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), text(value.as_bytes())))
        .collect();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let url = Url::parse(&parts.uri.to_string()).map_err(std::io::Error::other)?;
    let answer = browser::request(parts.method.as_str(), &url, &headers, &text(&body))?;
    let mut response = http::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response
        .body(answer.body.into_bytes())
        .map_err(std::io::Error::other)
}

/// What went wrong with what.
trait At<T> {
    fn at(self, what: &str) -> Result<T, String>;
}

impl<T, E: Debug> At<T> for Result<T, E> {
    fn at(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error:?}"))
    }
}

impl<T> At<T> for Option<T> {
    fn at(self, what: &str) -> Result<T, String> {
        self.ok_or_else(|| format!("no {what}"))
    }
}

fn holds(condition: bool, what: impl Into<String>) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what.into()) }
}

fn discover(setup: &Setup) -> Result<Metadata, String> {
    let issuer = IssuerUrl::new(setup.issuer.clone()).at("issuer")?;
    Metadata::discover(&issuer, &wire).at("discovery")
}

/// The crate's client, whose type depends on what it knows.
macro_rules! client {
    ($setup:expr, $metadata:expr, $name:expr) => {{
        let client = &$setup.clients[$name];
        let secret = client.secret.clone().map(ClientSecret::new);
        CoreClient::from_provider_metadata(
            $metadata.clone(),
            ClientId::new(client.id.clone()),
            secret,
        )
        .set_redirect_uri(RedirectUrl::new($setup.redirect_uri.clone()).at("redirect")?)
    }};
}

fn code(setup: &Setup, name: &str) -> Result<(), String> {
    let metadata = discover(setup)?;
    let introspection = metadata
        .additional_metadata()
        .introspection_endpoint
        .clone();
    let client = client!(setup, metadata, name).set_introspection_url(introspection);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (link, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("orders".into()))
        .add_scope(Scope::new("offline_access".into()))
        .set_pkce_challenge(challenge)
        .url();
    let back = browser::visit(&link, &setup.person, Some(&setup.redirect_uri))?;
    let back: BTreeMap<_, _> = back.query_pairs().into_owned().collect();
    holds(
        back.get("state") == Some(state.secret()),
        "another state came back",
    )?;
    let code = back.get("code").cloned().at("code")?;
    let tokens = client
        .exchange_code(AuthorizationCode::new(code))
        .at("token endpoint")?
        .set_pkce_verifier(verifier)
        .request(&wire)
        .at("redeeming")?;
    let id_token = tokens.id_token().at("ID token")?;
    let claims = id_token
        .claims(&client.id_token_verifier(), &nonce)
        .at("ID token")?;
    let user: CoreUserInfoClaims = client
        .user_info(
            tokens.access_token().clone(),
            Some(claims.subject().clone()),
        )
        .at("userinfo endpoint")?
        .request(&wire)
        .at("userinfo")?;
    holds(
        user.subject() == claims.subject(),
        "userinfo is of somebody else",
    )?;

    let first = tokens.refresh_token().at("refresh token")?;
    let renewed = client
        .exchange_refresh_token(first)
        .at("token endpoint")?
        .request(&wire)
        .at("refreshing")?;
    let second = renewed.refresh_token().at("second refresh token")?;
    holds(
        first.secret() != second.secret(),
        "the refresh token stayed the same",
    )?;
    if setup.clients[name].secret.is_some() {
        let seen = client
            .introspect(renewed.access_token())
            .request(&wire)
            .at("introspection")?;
        holds(
            seen.active(),
            format!("the access token is not active: {seen:?}"),
        )?;
    }
    Ok(())
}

fn device(setup: &Setup) -> Result<(), String> {
    let metadata = discover(setup)?;
    let endpoint = metadata
        .additional_metadata()
        .device_authorization_endpoint
        .clone();
    let client = client!(setup, metadata, "web").set_device_authorization_url(endpoint);
    let device: CoreDeviceAuthorizationResponse = client
        .exchange_device_code()
        .add_scope(Scope::new("orders".into()))
        .request(&wire)
        .at("device authorization")?;
    let link = device
        .verification_uri_complete()
        .at("complete address")?
        .secret();
    browser::visit(&Url::parse(link).at("address")?, &setup.person, None)?;
    let tokens = client
        .exchange_device_access_token(&device)
        .at("token endpoint")?
        // It was approved before it is asked for, so nothing is waited for.
        .request(&wire, |_| panic!("it is not approved"), None)
        .at("the device's tokens")?;
    holds(
        tokens.refresh_token().is_some(),
        "the device got no refresh token",
    )
}

fn program(setup: &Setup) -> Result<(), String> {
    let metadata = discover(setup)?;
    let client = client!(setup, metadata, "web");
    let ask = |scope: &str| {
        let request = client.exchange_client_credentials().at("token endpoint")?;
        Ok::<_, String>(request.add_scope(Scope::new(scope.into())).request(&wire))
    };
    let tokens = ask("orders")?.at("client credentials")?;
    holds(
        tokens.refresh_token().is_none(),
        "a program got a refresh token",
    )?;
    match ask("gold")? {
        Err(RequestTokenError::ServerResponse(refused)) => {
            let known = *refused.error() == CoreErrorResponseType::InvalidScope;
            holds(
                known && refused.error_uri().is_some(),
                format!("{refused:?}"),
            )
        }
        other => Err(format!("an unknown scope: {other:?}")),
    }
}
