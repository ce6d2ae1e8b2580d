//! What the server says of itself: discovery document, REST index, issuer; and what kind of server an address is.

use std::time::Instant;

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::doctor::issuer::differ;
use tenure_diagnose::doctor::page;
use tenure_diagnose::doctor::{Check, CheckId, Fix};
use tenure_wire::discovery::{self, DiscoveryError, Metadata};
use url::Url;

use super::{Exam, Found, intercepted, wordpress};
use crate::config::{Endpoints, SessionConfig};
use crate::probe;
use crate::servers::filled;

/// Finds the session's endpoints.
pub(super) async fn find(exam: &mut Exam<'_>, config: &SessionConfig) -> Found {
    let known = config.endpoints.known();
    let mut found = Found::of(&config.endpoints);
    match &config.endpoints {
        Endpoints::Discover { issuer, .. } => {
            let expected = known.issuer.clone().unwrap_or_else(|| issuer.to_string());
            if let Some(metadata) = discover(exam, issuer, &expected).await {
                found.server = filled(known, &metadata);
                found.metadata = Some(metadata);
                found.usable = true;
            }
        }
        Endpoints::Known(_) if found.wordpress => {
            found.index = wordpress::index(exam, config).await;
        }
        Endpoints::Known(_) => exam.skip(
            &[CheckId::Discovery],
            "the endpoints are written in the configuration",
        ),
    }
    found
}

async fn discover(exam: &mut Exam<'_>, issuer: &Url, expected: &str) -> Option<Metadata> {
    let began = Instant::now();
    let mut tried = Vec::new();
    let mut pages = 0;
    for url in discovery::urls(issuer) {
        let response = match discovery::get(&url) {
            Ok(request) => exam.ask(request).await,
            Err(error) => {
                tried.push(format!("{url}: {error}"));
                continue;
            }
        };
        let response = match response {
            Ok(response) => response,
            Err(failure) => {
                exam.done(began, Check::fail(CheckId::Discovery, failure).at(&url));
                return None;
            }
        };
        if let Some(failure) = intercepted(&url, &response, true) {
            exam.done(began, Check::fail(CheckId::Discovery, failure).at(&url));
            return None;
        }
        match discovery::parse(&response, expected) {
            Ok(metadata) => {
                let endpoint = &metadata.token_endpoint;
                let check = Check::ok(CheckId::Discovery, "read").at(&url);
                let check = check.fact("token_endpoint", endpoint, "discovery document");
                exam.done(began, check);
                let says = format!("the server calls itself `{expected}`, as configured");
                exam.done(Instant::now(), Check::ok(CheckId::Issuer, says));
                return Some(metadata);
            }
            Err(error @ DiscoveryError::IssuerMismatch { .. }) => {
                exam.done(began, Check::ok(CheckId::Discovery, "read").at(&url));
                return mismatch(exam, &error, &response);
            }
            Err(error) => {
                let page = page::page(
                    response.status().as_u16(),
                    response.headers(),
                    response.body(),
                );
                pages += usize::from(page.is_some() && response.status().is_success());
                let shape = if page.is_some() { " (a web page)" } else { "" };
                tried.push(format!("{}: {error}{shape}", url.path()));
            }
        }
    }
    let check = if pages == tried.len() {
        pages_only(issuer, &tried)
    } else {
        no_document(issuer, &tried)
    };
    exam.done(began, check);
    exam.skip(
        &[CheckId::Issuer],
        "there is no discovery document to compare with",
    );
    None
}

/// The exact difference, and what goes on from there: the document is the server's all the same.
fn mismatch(
    exam: &mut Exam<'_>,
    error: &DiscoveryError,
    response: &tenure_wire::Response,
) -> Option<Metadata> {
    let DiscoveryError::IssuerMismatch {
        expected, found, ..
    } = error
    else {
        return None;
    };
    let part = differ(expected, found).unwrap_or_default();
    let failure = Failure::new(
        Code::WrongServer,
        Class::WrongIssuer,
        "issuer_mismatch",
        Heal::FixConfig,
        Who::Operator,
        format!(
            "configured is `{expected}`, the server calls itself `{found}`: they differ in {part}"
        ),
    )
    .with_rule("doctor.issuer")
    .with_evidence("configured", expected, "configuration")
    .with_evidence("issuer", found, "discovery document")
    .with_evidence("difference", part, "comparison");
    let check = Check::fail(CheckId::Issuer, failure).fix(Fix::new(
        Who::Operator,
        format!("Set issuer = \"{found}\" in [sessions.{}]", exam.name),
    ));
    exam.done(Instant::now(), check);
    // Only a document of the same origin is read on: another's endpoints are none of this session's.
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    (origin(expected).is_some() && origin(expected) == origin(found))
        .then(|| discovery::parse(response, found).ok())
        .flatten()
}

/// Whatever is asked for, a web page comes with status 200: no authorization server does that.
fn pages_only(issuer: &Url, tried: &[String]) -> Check {
    let failure = Failure::new(
        Code::AnswerIntercepted,
        Class::NetworkIntercepted,
        "web_page_in_place_of_metadata",
        Heal::RetryLater,
        Who::User,
        format!(
            "web pages answer for {issuer} whatever is asked for: a captive portal, or a web site at the wrong address; which of the two cannot be told apart from outside"
        ),
    )
    .with_rule("doctor.discovery")
    .with_evidence("tried", tried.join("; "), "server");
    Check::fail(CheckId::Discovery, failure)
        .fix(Fix::new(
            Who::User,
            format!("Open {issuer} in a browser on this network: if a network wants you to sign in, do so"),
        ))
        .fix(Fix::new(
            Who::Operator,
            "If it is the web site itself that answers: correct `issuer`",
        ))
}

fn no_document(issuer: &Url, tried: &[String]) -> Check {
    let failure = Failure::new(
        Code::WrongServer,
        Class::WrongIssuer,
        "no_discovery_document",
        Heal::FixConfig,
        Who::Operator,
        format!("{issuer} answers, and has no discovery document"),
    )
    .with_rule("doctor.discovery")
    .with_evidence("tried", tried.join("; "), "server");
    Check::fail(CheckId::Discovery, failure).fix(Fix::new(
        Who::Operator,
        "Check the issuer's path (a realm, a tenant), or write `token_endpoint` by hand",
    ))
}

/// What kind of server stands at an address.
pub(super) async fn kind(exam: &mut Exam<'_>, url: &Url) {
    let began = Instant::now();
    let check = match probe::probe(exam.net.http, url).await {
        Ok(found) => {
            let check = Check::ok(
                CheckId::Kind,
                format!("{}; `provider = \"{}\"` fits", found.title, found.provider),
            );
            let check = match &found.issuer_text {
                Some(issuer) => check.fact("issuer", issuer, "server"),
                None => check,
            };
            let check = found
                .evidence
                .iter()
                .fold(check, |check, line| check.fact("seen", line, "server"));
            check.fix(
                Fix::new(Who::Operator, "Write a session for it")
                    .command(format!("tenure init {url}")),
            )
        }
        Err(failure) => unknown(&failure),
    };
    exam.done(began, check.at(url));
}

fn unknown(failure: &Failure) -> Check {
    let no_plugin = probe::wordpress::NO_PLUGIN;
    let site = failure
        .evidence
        .iter()
        .any(|fact| fact.value.contains(no_plugin));
    let check = if site {
        let says = "it is a WordPress site whose REST API answers, and none of its plugins gives tokens that Tenure knows";
        Check::warn(CheckId::Kind, says).fix(Fix::new(
            Who::ServerAdmin,
            "Install and switch on a token plugin, for example JWT Authentication for WP REST API",
        ))
    } else {
        let says =
            "it gives no tokens in a way that Tenure knows: no discovery document, no REST index";
        Check::warn(CheckId::Kind, says)
    };
    failure.evidence.iter().fold(check, |check, fact| {
        check.fact(&fact.kind, &fact.value, &fact.source)
    })
}
