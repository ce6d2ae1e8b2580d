//! Finding out what kind of server stands at an address, for `tenure init`.

use std::time::Duration;

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::profile::profiles;
use tenure_http::Client;
use tenure_wire::discovery::{self, DiscoveryError, Metadata};
use url::Url;

use crate::clocks::Clocks;
use crate::exchange::Net;

mod wordpress;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The profile that fits.
    pub provider: String,
    /// The issuer to configure, where discovery answers.
    pub issuer: Option<Url>,
    /// The issuer exactly as the server writes it: a slash at the end more or less is another issuer.
    pub issuer_text: Option<String>,
    /// The token endpoint, for people to see.
    pub token_endpoint: Option<Url>,
    /// Where the API most likely is: the address asked.
    pub upstream: Url,
    /// What the server calls itself, else the profile's title.
    pub title: String,
    /// What was seen, one sentence each.
    pub evidence: Vec<String>,
}

/// Asks for OpenID Connect and RFC 8414 metadata and for a WordPress REST index, and names the profile that
/// fits what answers. Sends no credentials and changes nothing.
///
/// # Errors
/// When nothing answers, or what answers is no server Tenure knows how to speak to. The detail lists every
/// address tried and what it said.
pub async fn probe(http: &Client, url: &Url) -> Result<Found, Failure> {
    let clocks = Clocks::default();
    let net = Net {
        http,
        clocks: &clocks,
    };
    let mut tried = Vec::new();
    if let Some(found) = authorization_server(net, url, &mut tried).await {
        return Ok(found);
    }
    if let Some(found) = wordpress::find(net, url, &mut tried).await {
        return Ok(found);
    }
    Err(nothing(url, &tried))
}

async fn authorization_server(net: Net<'_>, url: &Url, tried: &mut Vec<String>) -> Option<Found> {
    for address in discovery::urls(url) {
        let response = ask(net, &address, tried).await?;
        let metadata = match discovery::parse(&response, url.as_str()) {
            Ok(metadata) => metadata,
            // The issuer names itself: its own spelling is the one to configure, if it is the same server.
            Err(DiscoveryError::IssuerMismatch { found, .. }) => {
                let issuer = Url::parse(&found)
                    .ok()
                    .filter(|issuer| issuer.host() == url.host());
                let Some(Ok(metadata)) = issuer.map(|issuer| {
                    discovery::parse(&response, issuer.as_str().trim_end_matches('/'))
                        .or_else(|_| discovery::parse(&response, &found))
                }) else {
                    tried.push(format!(
                        "{address}: names another server as its issuer: {found}"
                    ));
                    continue;
                };
                metadata
            }
            Err(error) => {
                tried.push(format!("{address}: {error}"));
                continue;
            }
        };
        return Some(by_metadata(url, &address, &metadata));
    }
    None
}

fn by_metadata(url: &Url, address: &Url, metadata: &Metadata) -> Found {
    let issuer = Url::parse(&metadata.issuer).ok();
    let profile = issuer
        .as_ref()
        .and_then(|issuer| profiles().find(|profile| profile.recognise.issuer(issuer)));
    let mut evidence = vec![format!("{address} is the metadata of {}", metadata.issuer)];
    match profile {
        Some(profile) => {
            evidence.push(format!("the issuer's address is that of {}", profile.title));
        }
        None => evidence.push(
            "no profile claims this issuer; the generic one fits any OAuth 2.0 server".to_owned(),
        ),
    }
    Found {
        provider: profile.map_or("oauth2", |profile| &profile.name).to_owned(),
        title: profile.map_or_else(|| metadata.issuer.clone(), |profile| profile.title.clone()),
        token_endpoint: Some(metadata.token_endpoint.clone()),
        issuer,
        issuer_text: Some(metadata.issuer.clone()),
        upstream: url.clone(),
        evidence,
    }
}

/// `None` when the host itself does not answer: no other address on it will.
async fn ask(
    net: Net<'_>,
    address: &Url,
    tried: &mut Vec<String>,
) -> Option<tenure_wire::Response> {
    let request = match discovery::get(address) {
        Ok(request) => request,
        Err(error) => {
            tried.push(format!("{address}: {error}"));
            return None;
        }
    };
    match net
        .send_within(request, TIMEOUT, discovery::MAX_INDEX)
        .await
    {
        Ok(response) => Some(response),
        Err(fault) => {
            tried.push(format!("{address}: {fault}"));
            None
        }
    }
}

fn nothing(url: &Url, tried: &[String]) -> Failure {
    Failure::new(
        Code::WebsiteUnavailable,
        Class::ServerUnavailable,
        "nothing_recognised",
        Heal::FixConfig,
        Who::Operator,
        format!(
            "nothing at {url} tells how it gives tokens. Tried: {}. Check the address, or write the session by hand with token_endpoint = \"…\"",
            tried.join("; ")
        ),
    )
    .with_rule("keeper.probe")
}
