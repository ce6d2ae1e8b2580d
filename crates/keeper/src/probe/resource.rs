//! From an API to the server that gives its tokens (RFC 9728): by its metadata, or by what its refusal points to.

use tenure_diagnose::classify::challenge::challenges;
use tenure_wire::discovery::Metadata;
use tenure_wire::resource::{self, Resource};
use url::Url;

use super::{Found, Tried, ask, authorization_server, send};
use crate::config::checks;
use crate::exchange::Net;

/// Follows the API's pointer to its server.
pub(super) async fn find(net: Net<'_>, url: &Url, tried: &mut Tried) -> Option<Found> {
    let (address, api) = match at(net, &resource::url(url), url, tried).await {
        Some(found) => found,
        None => pointed_to(net, url, tried).await?,
    };
    let pointer = format!("{address} says who gives the tokens of {}", api.resource);
    for issuer in &api.authorization_servers {
        if checks::url(issuer.as_str(), false).is_err() {
            tried.note(
                &address,
                format_args!("names {issuer}, where tokens would travel over plain http"),
            );
            continue;
        }
        if let Some((mut found, metadata)) = authorization_server(net, issuer, tried).await {
            found.evidence.insert(0, pointer);
            found.scopes = scopes(&api, &metadata);
            found.upstream = api.resource;
            found.is_upstream_told = true;
            return Some(found);
        }
    }
    None
}

/// The one API that a server names in its own metadata (§4), with what tokens are asked for there.
pub(super) async fn of_server(net: Net<'_>, mut found: Found, server: &Metadata) -> Found {
    let [only] = server.protected_resources.as_slice() else {
        return found;
    };
    let Ok(upstream) = checks::url(only, false) else {
        return found;
    };
    found
        .evidence
        .push(format!("it gives tokens for {upstream}"));
    // What is asked here is asked beside: without an answer the session is written all the same.
    let mut aside = Tried::default();
    let api = at(net, &resource::url(&upstream), &upstream, &mut aside).await;
    found.scopes = api.map_or_else(Vec::new, |(_, api)| scopes(&api, server));
    found.upstream = upstream;
    found.is_upstream_told = true;
    found
}

/// The metadata at `address`, if it is that of the API at `url`.
async fn at(net: Net<'_>, address: &Url, url: &Url, tried: &mut Tried) -> Option<(Url, Resource)> {
    let response = ask(net, address, tried).await?;
    match resource::parse(&response) {
        Ok(api) if api.covers(url) => return Some((address.clone(), api)),
        Ok(api) => tried.note(
            address,
            format_args!("is the metadata of another API, {}", api.resource),
        ),
        Err(error) => tried.note(address, error),
    }
    None
}

/// What the API itself answers without a token.
async fn pointed_to(net: Net<'_>, url: &Url, tried: &mut Tried) -> Option<(Url, Resource)> {
    let response = send(net, url, resource::get(url), tried).await?;
    let pointer = challenges(response.headers())
        .iter()
        .find_map(|challenge| challenge.param("resource_metadata").map(str::to_owned))
        .and_then(|text| checks::url(&text, false).ok());
    let Some(pointer) = pointer else {
        tried.note(
            url,
            format_args!(
                "answered {} and names no metadata",
                response.status().as_u16()
            ),
        );
        return None;
    };
    if !resource::same_server(&pointer, url) {
        tried.note(url, format_args!("points to {pointer}, another server"));
        return None;
    }
    at(net, &pointer, url, tried).await
}

/// What the API can be asked for, and `offline_access` where the server knows it: without it, some give no refresh
/// token.
fn scopes(api: &Resource, server: &Metadata) -> Vec<String> {
    const OFFLINE: &str = "offline_access";
    let mut scopes = api.scopes.clone();
    let offline = server.scopes.iter().any(|scope| scope == OFFLINE);
    if !scopes.is_empty() && offline && !scopes.iter().any(|scope| scope == OFFLINE) {
        scopes.push(OFFLINE.to_owned());
    }
    scopes
}
