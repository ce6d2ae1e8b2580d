//! Finding out what kind of server stands at an address, for `tenure init`.

use std::time::Duration;

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::classify::{Local, TokenFailure, classify_token};
use tenure_diagnose::doctor::own::{self, Own};
use tenure_diagnose::profile::{Profile, profiles};
use tenure_http::{Client, Fault, FaultKind};
use tenure_wire::discovery::{self, DiscoveryError, Metadata};
use tenure_wire::resource::same_server;
use tenure_wire::{Request, Response, WireError};
use url::Url;

use crate::clocks::Clocks;
use crate::exchange::{Net, transport};

mod resource;
pub(crate) mod wordpress;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The member of the issuer's metadata that says where its REST index in WordPress's form is.
const REST_INDEX: &str = "tenure_wordpress_rest_index";

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
    /// Where the API is: as the server or the API itself tells, else the address asked.
    pub upstream: Url,
    /// Whether that was told, and is no guess.
    pub is_upstream_told: bool,
    /// The scopes to ask for, where the API names them.
    pub scopes: Vec<String>,
    /// A client that the server lets anybody be.
    pub client: Option<String>,
    /// What the server calls itself, else the profile's title.
    pub title: String,
    /// What was seen, one sentence each.
    pub evidence: Vec<String>,
}

/// Asks for OpenID Connect and RFC 8414 metadata, for the metadata of an API (RFC 9728) and for a WordPress REST
/// index, and names the profile that fits what answers. Sends no credentials and changes nothing.
///
/// # Errors
/// When nothing answers, or what answers is no server Tenure knows how to speak to. The evidence lists every
/// address tried and what it said.
pub async fn probe(http: &Client, url: &Url) -> Result<Found, Failure> {
    let clocks = Clocks::default();
    let net = Net {
        http,
        clocks: &clocks,
    };
    let mut tried = Tried::default();
    if let Some((found, metadata)) = authorization_server(net, url, &mut tried).await {
        let rest_index = metadata.keys.iter().any(|key| key == REST_INDEX);
        if rest_index && let Some(site) = wordpress::find(net, url, &mut tried).await {
            return Ok(both(found, site));
        }
        return Ok(resource::of_server(net, found, &metadata).await);
    }
    if let Some(own) = &tried.own {
        return Err(ours(url, own));
    }
    if let Some(fault) = tried.unreachable() {
        return Err(unreachable(url, fault, &tried));
    }
    if let Some(found) = resource::find(net, url, &mut tried).await {
        return Ok(found);
    }
    if let Some(found) = wordpress::find(net, url, &mut tried).await {
        return Ok(found);
    }
    Err(match &tried.fault {
        Some(fault) => unreachable(url, fault, &tried),
        None => nothing(url, &tried),
    })
}

/// What was asked, what came of it, and what kept the host from answering.
#[derive(Default)]
struct Tried {
    lines: Vec<String>,
    fault: Option<Fault>,
    own: Option<Own>,
}

impl Tried {
    fn note(&mut self, address: &Url, what: impl std::fmt::Display) {
        self.lines.push(format!("{address}: {what}"));
    }

    /// What kept the very first question from being answered: asking for another path is of no use, unless the
    /// server broke off at this one.
    fn unreachable(&self) -> Option<&Fault> {
        self.fault.as_ref().filter(|fault| {
            let silent = !fault.sent || fault.kind == FaultKind::Timeout;
            silent && self.lines.len() == 1
        })
    }
}

/// A server of OAuth 2.0 that also speaks the dialect of a WordPress plugin does so because its clients do.
fn both(server: Found, mut site: Found) -> Found {
    site.evidence.insert(
        0,
        format!(
            "{} is also a server of OAuth 2.0; for that, write provider = \"{}\" and a client_id",
            server.title, server.provider
        ),
    );
    site
}

/// What the metadata describes.
async fn authorization_server(
    net: Net<'_>,
    url: &Url,
    tried: &mut Tried,
) -> Option<(Found, Metadata)> {
    for address in discovery::urls(url) {
        let response = ask(net, &address, tried).await?;
        let metadata = match discovery::parse(&response, url.as_str()) {
            Ok(metadata) => metadata,
            // The issuer names itself: its own spelling is the one to configure, if it is the same server.
            Err(DiscoveryError::IssuerMismatch { found, .. }) => {
                let issuer = Url::parse(&found)
                    .ok()
                    .filter(|issuer| issuer.host() == url.host() || same_server(issuer, url));
                let Some(Ok(metadata)) = issuer.map(|issuer| {
                    discovery::parse(&response, issuer.as_str().trim_end_matches('/'))
                        .or_else(|_| discovery::parse(&response, &found))
                }) else {
                    tried.note(
                        &address,
                        format_args!("names another server as its issuer: {found}"),
                    );
                    continue;
                };
                metadata
            }
            Err(error) => {
                tried.note(&address, error);
                continue;
            }
        };
        return Some((by_metadata(url, &address, &metadata), metadata));
    }
    None
}

fn by_metadata(url: &Url, address: &Url, metadata: &Metadata) -> Found {
    let issuer = Url::parse(&metadata.issuer).ok();
    let (profile, why) = recognised(issuer.as_ref(), metadata);
    let evidence = vec![
        format!("{address} is the metadata of {}", metadata.issuer),
        why,
    ];
    Found {
        provider: profile.map_or("oauth2", |profile| &profile.name).to_owned(),
        title: profile.map_or_else(|| metadata.issuer.clone(), |profile| profile.title.clone()),
        token_endpoint: Some(metadata.token_endpoint.clone()),
        issuer,
        issuer_text: Some(metadata.issuer.clone()),
        upstream: url.clone(),
        is_upstream_told: false,
        scopes: Vec::new(),
        client: metadata.open_client.clone(),
        evidence,
    }
}

/// The profile that claims this server, and why: its issuer's address first, then a key only its metadata has.
fn recognised(issuer: Option<&Url>, metadata: &Metadata) -> (Option<&'static Profile>, String) {
    let claims = |profile: &&Profile| issuer.is_some_and(|url| profile.recognise.issuer(url));
    if let Some(profile) = profiles().find(claims) {
        let why = format!("the issuer's address is that of {}", profile.title);
        return (Some(profile), why);
    }
    let by_key =
        profiles().find_map(|profile| Some((profile, profile.recognise.metadata(&metadata.keys)?)));
    if let Some((profile, key)) = by_key {
        let why = format!("its metadata has `{key}`, as that of {} has", profile.title);
        return (Some(profile), why);
    }
    let generic = "no profile claims this issuer; the generic one fits any OAuth 2.0 server";
    (None, generic.to_owned())
}

/// `None` when the host itself does not answer: no other address on it will.
async fn ask(net: Net<'_>, address: &Url, tried: &mut Tried) -> Option<Response> {
    send(net, address, discovery::get(address), tried).await
}

/// The same with a request that is made already.
async fn send(
    net: Net<'_>,
    address: &Url,
    request: Result<Request, WireError>,
    tried: &mut Tried,
) -> Option<Response> {
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            tried.note(address, error);
            return None;
        }
    };
    match net
        .send_within(request, TIMEOUT, discovery::MAX_INDEX)
        .await
    {
        Ok(response) => {
            tried.own = tried.own.take().or_else(|| own::own(response.headers()));
            Some(response)
        }
        Err(fault) => {
            tried.note(address, &fault);
            tried.fault = Some(fault);
            None
        }
    }
}

/// The host does not answer: what that is called is the classifier's to say.
fn unreachable(url: &Url, fault: &Fault, tried: &Tried) -> Failure {
    let transport = transport(fault);
    let failed = TokenFailure::Transport(&transport);
    let mut failure = match tenure_diagnose::profile("oauth2") {
        Some(profile) => classify_token(profile, failed, &Local::default())
            .failure()
            .clone(),
        None => nothing(url, &Tried::default()),
    };
    failure.detail = format!("{url} does not answer: {}", fault.detail);
    // A single question is told by this already.
    let answered = tried.lines.len().saturating_sub(1);
    tried.lines[..answered]
        .iter()
        .fold(failure, |failure, line| {
            failure.with_evidence("tried", line, "server")
        })
}

/// Tenure itself is no server that gives tokens over the network.
fn ours(url: &Url, own: &Own) -> Failure {
    let what = match own {
        Own::Gateway {
            session: Some(session),
            ..
        } => format!(
            "the gateway of a Tenure that runs: it passes requests on with the token of session {session}"
        ),
        Own::Gateway { session: None, .. } => {
            "the gateway of a Tenure that runs: it passes requests on with a session's token"
                .to_owned()
        }
        Own::Admin => "the status page of a Tenure that runs".to_owned(),
    };
    Failure::new(
        Code::WrongServer,
        Class::WrongIssuer,
        "tenure_itself",
        Heal::FixConfig,
        Who::Operator,
        format!("{url} is {what}; it gives no tokens itself"),
    )
    .with_rule("keeper.probe")
}

fn nothing(url: &Url, tried: &Tried) -> Failure {
    let failure = Failure::new(
        Code::WebsiteUnavailable,
        Class::ServerUnavailable,
        "nothing_recognised",
        Heal::FixConfig,
        Who::Operator,
        format!("nothing at {url} tells how it gives tokens"),
    )
    .with_rule("keeper.probe");
    tried.lines.iter().fold(failure, |failure, line| {
        failure.with_evidence("tried", line, "server")
    })
}
