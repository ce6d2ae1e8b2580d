//! Finding out what kind of server stands at an address, for `tenure init`.

use std::time::Duration;

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::Profile;
use tenure_diagnose::profile::profiles;
use tenure_http::Client;
use tenure_wire::discovery::{self, DiscoveryError, Metadata, RestIndex};
use url::Url;

use crate::clocks::Clocks;
use crate::exchange::Net;

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
    if let Some(found) = wordpress(net, url, &mut tried).await {
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

async fn wordpress(net: Net<'_>, url: &Url, tried: &mut Vec<String>) -> Option<Found> {
    for address in discovery::rest_index_urls(url) {
        let response = ask(net, &address, tried).await?;
        match discovery::parse_rest_index(&response) {
            Ok(index) => return by_index(url, &address, &index, tried),
            Err(error) => tried.push(format!("{address}: {error}")),
        }
    }
    None
}

fn by_index(url: &Url, address: &Url, index: &RestIndex, tried: &mut Vec<String>) -> Option<Found> {
    let mut evidence = vec![format!(
        "{address} is the REST index of the WordPress site \"{}\"",
        index.name
    )];
    let Some(profile) = plugin(index) else {
        tried.push(format!(
            "{address}: a WordPress site, but none of its plugins gives tokens that Tenure knows"
        ));
        return None;
    };
    let named: Vec<_> = profile
        .recognise
        .rest_namespaces
        .iter()
        .filter(|name| index.has_namespace(name))
        .cloned()
        .collect();
    evidence.push(format!(
        "it lists {}, as {} does",
        named.join(", "),
        profile.title
    ));
    let home = index.home.clone().or_else(|| index.url.clone());
    if let Some(home) = home.filter(|home| home.origin() != url.origin()) {
        evidence.push(format!(
            "the site calls itself {home}: its tokens are for that address"
        ));
    }
    Some(Found {
        provider: profile.name.clone(),
        issuer: Some(url.clone()),
        issuer_text: Some(url.as_str().trim_end_matches('/').to_owned()),
        token_endpoint: profile
            .endpoints
            .token
            .as_deref()
            .and_then(|template| profile.resolve(template, Some(url), None)),
        upstream: url.clone(),
        title: profile.title.clone(),
        evidence,
    })
}

/// WCPOS comes first: where it is, its sessions are what a till wants. Both plugins that use `jwt-auth/v1` look
/// alike in the index; the one whose tokens can be renewed is told apart by its refresh route at login.
fn plugin(index: &RestIndex) -> Option<&'static Profile> {
    let mut found: Vec<_> = profiles()
        .filter(|profile| profile.recognise.namespaces(&index.namespaces))
        .collect();
    found.sort_by_key(|profile| match profile.name.as_str() {
        "wcpos" => 0,
        "wordpress-simple-jwt-login-4" => 1,
        "wordpress-usefulteam" => 2,
        "wordpress-tmeister" => 3,
        _ => 4,
    });
    found.first().copied()
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
    match net.send(request, TIMEOUT).await {
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
