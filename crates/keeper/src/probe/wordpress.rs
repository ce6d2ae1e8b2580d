//! Which token plugin a WordPress site has. Several share a namespace; the profiles say what tells them apart.

use tenure_diagnose::Profile;
use tenure_diagnose::profile::{RestAnswer, profiles};
use tenure_wire::discovery::{self, RestIndex};
use url::Url;

use super::{Found, TIMEOUT, Tried, ask};
use crate::exchange::Net;

/// What is noted of a site without a token plugin.
pub(crate) const NO_PLUGIN: &str =
    "a WordPress site, but none of its plugins gives tokens that Tenure knows";

/// Asks for the site's REST index, pretty permalinks first.
pub(super) async fn find(net: Net<'_>, url: &Url, tried: &mut Tried) -> Option<Found> {
    for address in discovery::rest_index_urls(url) {
        let response = ask(net, &address, tried).await?;
        match discovery::parse_rest_index(&response) {
            Ok(index) => return by_index(net, url, &address, &index, tried).await,
            Err(error) => tried.note(&address, error),
        }
    }
    None
}

async fn by_index(
    net: Net<'_>,
    url: &Url,
    address: &Url,
    index: &RestIndex,
    tried: &mut Tried,
) -> Option<Found> {
    let mut evidence = vec![format!(
        "{address} is the REST index of the WordPress site \"{}\"",
        index.name
    )];
    let Some(profile) = plugin(net, address, index, &mut evidence).await else {
        tried.note(address, NO_PLUGIN);
        return None;
    };
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
        is_upstream_told: false,
        scopes: Vec::new(),
        client: None,
        title: profile.title.clone(),
        evidence,
    })
}

/// The profile that fits, and why. Among the plugins of one namespace a route that only one of them has decides,
/// then the answer to a harmless question, then a route that is missing; else it is a guess, and said to be one.
async fn plugin(
    net: Net<'_>,
    address: &Url,
    index: &RestIndex,
    evidence: &mut Vec<String>,
) -> Option<&'static Profile> {
    let mut there: Vec<_> = profiles()
        .filter(|profile| profile.recognise.namespaces(&index.namespaces))
        .collect();
    there.sort_by_key(|profile| profile.recognise.rank);
    let first = *there.first()?;
    let namespaces: Vec<_> = first
        .recognise
        .rest_namespaces
        .iter()
        .filter(|name| index.has_namespace(name))
        .cloned()
        .collect();
    there.retain(|profile| profile.recognise.namespaces(&namespaces));
    let titles: Vec<_> = there.iter().map(|profile| profile.title.as_str()).collect();
    evidence.push(format!(
        "it lists {}, as {} does",
        namespaces.join(", "),
        titles.join(" or ")
    ));
    if there.len() == 1 {
        return Some(first);
    }
    let listed = namespaces.iter().any(|name| index.lists_routes_of(name));
    let mut fitting = there.clone();
    if listed {
        fitting.retain(|profile| profile.recognise.routes(|route| index.has_route(route)));
    }
    if listed
        && let Some(profile) = only(&fitting, |profile| {
            !profile.recognise.rest_routes.is_empty()
        })
    {
        evidence.push(format!(
            "its route {} is {}'s",
            profile.recognise.rest_routes.join(", "),
            profile.title
        ));
        return Some(profile);
    }
    if let Some((profile, question)) = by_answer(net, address, &there).await {
        evidence.push(format!(
            "it answers {} {} without a token as {} does",
            question.method(),
            question.route,
            profile.title
        ));
        return Some(profile);
    }
    if listed && let Some(profile) = only(&fitting, |_| true) {
        evidence.push(format!(
            "it has no {}, as {}",
            profile.recognise.rest_routes_missing.join(", "),
            profile.title
        ));
        return Some(profile);
    }
    let guess = fitting.first().copied().unwrap_or(first);
    evidence.push(format!(
        "that it is {} is a guess, for neither its routes nor its answers tell; if it is not, change `provider` to {}",
        guess.title,
        there
            .iter()
            .filter(|profile| profile.name != guess.name)
            .map(|profile| format!("\"{}\"", profile.name))
            .collect::<Vec<_>>()
            .join(" or ")
    ));
    Some(guess)
}

/// The one that is wanted, unless there are several.
fn only(
    profiles: &[&'static Profile],
    wanted: impl Fn(&Profile) -> bool,
) -> Option<&'static Profile> {
    let mut found = profiles.iter().copied().filter(|profile| wanted(profile));
    found.next().filter(|_| found.next().is_none())
}

/// Asks the questions of the profiles, each once: no token, no body, nothing that changes anything.
async fn by_answer(
    net: Net<'_>,
    address: &Url,
    there: &[&'static Profile],
) -> Option<(&'static Profile, &'static RestAnswer)> {
    let mut asked: Vec<(&str, &str)> = Vec::new();
    for profile in there {
        let Some(question) = &profile.recognise.rest_answer else {
            continue;
        };
        let what = (question.method(), question.route.as_str());
        if asked.contains(&what) {
            continue;
        }
        asked.push(what);
        let Some(body) = answer(net, address, question).await else {
            continue;
        };
        let same = |other: &RestAnswer| (other.method(), other.route.as_str()) == what;
        let fits = |profile: &Profile| {
            let answer = profile.recognise.rest_answer.as_ref();
            answer.is_some_and(|answer| same(answer) && answer.fits(&body))
        };
        if let Some(profile) = only(there, fits) {
            return Some((profile, profile.recognise.rest_answer.as_ref()?));
        }
    }
    None
}

/// What the site answers, whatever the status; `None` when it is no JSON.
async fn answer(net: Net<'_>, address: &Url, question: &RestAnswer) -> Option<serde_json::Value> {
    let url = discovery::rest_route_url(address, &question.route);
    let request = if question.post {
        discovery::post(&url)
    } else {
        discovery::get(&url)
    };
    let response = net.send(request.ok()?, TIMEOUT).await.ok()?;
    serde_json::from_slice(response.body()).ok()
}
