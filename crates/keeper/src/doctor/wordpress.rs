//! WordPress: is the plugin there, does it get the header, what does it think of the token.

use std::time::Instant;

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::doctor::header::{self, Answers, Arrival, Reply};
use tenure_diagnose::doctor::issuer::differ;
use tenure_diagnose::doctor::{Check, CheckId, Fix, page, remedy};
use tenure_wire::Dialect;
use tenure_wire::ask::{Bearer, question};
use tenure_wire::discovery::{self, RestIndex};
use url::Url;

use super::api::judge;
use super::credentials::Token;
use super::{Exam, Found, Patient, intercepted};
use crate::config::SessionConfig;

/// Reads the site's REST index, and compares its own name with the configured one.
pub(super) async fn index(exam: &mut Exam<'_>, config: &SessionConfig) -> Option<RestIndex> {
    let began = Instant::now();
    let known = config.endpoints.known();
    let Some(site) = known
        .issuer
        .as_deref()
        .and_then(|text| Url::parse(text).ok())
    else {
        exam.skip(&[CheckId::RestIndex], "no `issuer` is configured");
        return None;
    };
    let mut tried = Vec::new();
    for (number, url) in discovery::rest_index_urls(&site).into_iter().enumerate() {
        let Ok(request) = discovery::get(&url) else {
            continue;
        };
        let response = match exam.ask(request).await {
            Ok(response) => response,
            Err(failure) => {
                exam.done(began, Check::fail(CheckId::RestIndex, failure).at(&url));
                return None;
            }
        };
        if let Some(failure) = intercepted(&url, &response, true) {
            exam.done(began, Check::fail(CheckId::RestIndex, failure).at(&url));
            return None;
        }
        match discovery::parse_rest_index(&response) {
            Ok(index) => {
                exam.done(began, read(&url, number, &index));
                site_name(exam, &site, &index);
                plugin_listed(exam, &index);
                return Some(index);
            }
            Err(error) => tried.push(format!("{url}: {error}")),
        }
    }
    let failure = Failure::new(
        Code::WebsiteUnavailable,
        Class::ServerUnavailable,
        "rest_api_blocked",
        Heal::ContactAdmin,
        Who::ServerAdmin,
        "neither /wp-json/ nor /?rest_route=/ answers with a REST index",
    )
    .with_rule("doctor.rest_index")
    .with_evidence("tried", tried.join("; "), "server");
    let check = Check::fail(CheckId::RestIndex, failure).fix(Fix::new(
        Who::ServerAdmin,
        "Allow the REST API in the security plugin or firewall, and save the permalinks once more",
    ));
    exam.done(began, check);
    None
}

fn read(url: &Url, number: usize, index: &RestIndex) -> Check {
    let check = if number == 0 {
        Check::ok(CheckId::RestIndex, format!("the site \"{}\"", index.name))
    } else {
        Check::warn(
            CheckId::RestIndex,
            "only the plain spelling (?rest_route=) answers: permalinks are off or blocked",
        )
        .fix(Fix::new(
            Who::ServerAdmin,
            "Switch on pretty permalinks, or save them once more (Settings, Permalinks)",
        ))
    };
    check
        .at(url)
        .fact("namespaces", index.namespaces.join(", "), "REST index")
}

/// The plugins compare a token's `iss` with the site's own address.
fn site_name(exam: &mut Exam<'_>, site: &Url, index: &RestIndex) {
    let Some(own) = &index.url else { return };
    let check = match differ(bare(site), bare(own)) {
        None => Check::ok(
            CheckId::Issuer,
            format!("the site calls itself {own}, as configured"),
        ),
        Some(part) => Check::warn(
            CheckId::Issuer,
            format!("configured is {site}, the site calls itself {own}: they differ in {part}"),
        )
        .fix(Fix::new(
            Who::Operator,
            format!("Set issuer = \"{}\" in [sessions.{}]", bare(own), exam.name),
        )),
    };
    exam.done(Instant::now(), check.fact("url", own, "REST index"));
}

/// A slash at the end of a site's address means nothing.
fn bare(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn plugin_listed(exam: &mut Exam<'_>, index: &RestIndex) {
    let wanted = &exam.profile.recognise.rest_namespaces;
    if wanted.is_empty() {
        return;
    }
    let check = if exam.profile.recognise.namespaces(&index.namespaces) {
        Check::ok(CheckId::Plugin, format!("{} is active", exam.profile.title))
    } else {
        missing(
            exam,
            &format!("the REST index lists none of {}", wanted.join(", ")),
        )
    };
    exam.done(Instant::now(), check);
}

/// `rest_no_route`: what it means, and what heals it.
fn missing(exam: &Exam<'_>, sign: &str) -> Check {
    let title = &exam.profile.title;
    let failure = Failure::new(
        Code::WrongServer,
        Class::WrongIssuer,
        "route_not_found",
        Heal::FixConfig,
        Who::ServerAdmin,
        format!("the site does not have {title}: it is switched off, too old, or not installed"),
    )
    .with_rule("doctor.plugin")
    .with_evidence("sign", sign, "server");
    Check::fail(CheckId::Plugin, failure).fix(Fix::new(
        Who::ServerAdmin,
        format!("Activate {title} in the site's administration (Plugins), and save the permalinks once more"),
    ))
}

/// The routes by which a plugin tells what it got.
struct Routes {
    validate: Option<(Url, bool)>,
    echo: Option<Url>,
    marked: bool,
}

fn routes(found: &Found) -> Routes {
    let server = &found.server;
    if server.dialect != Dialect::Wcpos {
        return Routes {
            validate: server.validate_endpoint.clone().map(|url| (url, true)),
            echo: None,
            marked: false,
        };
    }
    let beside = |route: &str| {
        let text = server.token_endpoint.as_str();
        let (before, after) = text.split_once("auth/refresh")?;
        Url::parse(&format!("{before}{route}{after}")).ok()
    };
    Routes {
        validate: beside("auth/sessions").map(|url| (url, false)),
        echo: beside("auth/test"),
        marked: true,
    }
}

pub(super) async fn examine(
    exam: &mut Exam<'_>,
    patient: &Patient<'_>,
    found: &Found,
    token: &Token<'_>,
    there: bool,
) {
    if !there || exam.failed(CheckId::Plugin) {
        let why = if there {
            "the plugin is not there"
        } else {
            "the server cannot be reached"
        };
        exam.skip(&[CheckId::Header, CheckId::Validate], why);
        return;
    }
    let routes = routes(found);
    let echoed = match &routes.echo {
        Some(url) => echo(exam, url).await,
        None => false,
    };
    let Some((url, post)) = &routes.validate else {
        exam.skip(&[CheckId::Validate], "the plugin has no route for it");
        return;
    };
    let began = Instant::now();
    let none = ask(exam, url, *post, Bearer::None, routes.marked).await;
    let rubbish = ask(exam, url, *post, Bearer::Rubbish, routes.marked).await;
    let ours = match token.access {
        Some(access) => ask(exam, url, *post, Bearer::Token(access), routes.marked).await,
        None => None,
    };
    let (Some(none), Some(rubbish)) = (none, rubbish) else {
        exam.skip(&[CheckId::Header, CheckId::Validate], "there was no answer");
        return;
    };
    let lost = if echoed {
        exam.failed(CheckId::Header)
    } else {
        let answers = Answers {
            none: none.0.clone(),
            rubbish: rubbish.0.clone(),
            ours: ours.as_ref().map(|ours| ours.0.clone()),
            good: exam.speaks_for(token),
        };
        let software = page::software(rubbish.1.headers());
        let check = header_check(&header::arrival(&answers), software.as_deref());
        exam.done(began, check.at(url));
        exam.failed(CheckId::Header)
    };
    let check = match ours {
        None => Check::skipped(CheckId::Validate, "there is no token to ask about"),
        Some(_) if lost => Check::skipped(CheckId::Validate, "the server does not get the header"),
        Some(ours) => validated(exam, patient, token, &ours),
    };
    exam.done(began, check.at(url));
}

type Answer = (Reply, tenure_wire::Response);

async fn ask(
    exam: &Exam<'_>,
    url: &Url,
    post: bool,
    bearer: Bearer<'_>,
    marked: bool,
) -> Option<Answer> {
    let request = question(url, post, bearer, marked).ok()?;
    let response = exam.ask(request).await.ok()?;
    let reply = Reply::read(
        response.status().as_u16(),
        response.headers(),
        response.body(),
    );
    Some((reply, response))
}

/// WCPOS tells outright what it received. Whether it told.
async fn echo(exam: &mut Exam<'_>, url: &Url) -> bool {
    let began = Instant::now();
    let Some((_, response)) = ask(exam, url, false, Bearer::Rubbish, true).await else {
        return false;
    };
    let arrival = match header::echoed(response.body()) {
        Some(true) => Arrival::Arrives("the plugin's echo received it".to_owned()),
        Some(false) => Arrival::Lost("the plugin's echo received none".to_owned()),
        None => return false,
    };
    let software = page::software(response.headers());
    let check = header_check(&arrival, software.as_deref());
    exam.done(began, check.at(url));
    true
}

/// What the arrival of the header amounts to.
pub(super) fn header_check(arrival: &Arrival, software: Option<&str>) -> Check {
    let sign = match arrival {
        Arrival::Arrives(sign) => {
            return Check::ok(CheckId::Header, "it arrives").fact("answers", sign, "server");
        }
        Arrival::Untold(why) => return Check::skipped(CheckId::Header, why),
        Arrival::Lost(sign) => sign,
    };
    let failure = Failure::new(
        Code::HeaderLost,
        Class::HeaderLost,
        "header_lost",
        Heal::FixConfig,
        Who::ServerAdmin,
        format!("the Authorization header is sent and does not arrive: {sign}"),
    )
    .with_rule("doctor.header")
    .with_evidence("answers", sign, "server");
    remedy::header_lost(software)
        .into_iter()
        .fold(Check::fail(CheckId::Header, failure), Check::fix)
}

fn validated(exam: &Exam<'_>, patient: &Patient<'_>, token: &Token<'_>, ours: &Answer) -> Check {
    let (reply, response) = ours;
    if reply.status < 300 {
        return Check::ok(CheckId::Validate, "the server accepts the token");
    }
    if reply.code.as_deref() == Some("rest_no_route") {
        return missing(exam, "rest_no_route");
    }
    let foreign = patient.config.endpoints.known().dialect == Dialect::Wcpos;
    if foreign && reply.by_jwt_plugin() {
        let says = format!(
            "another JWT plugin judges the token (`{}`): it knows its own tokens only",
            reply.short()
        );
        let failure = Failure::new(
            Code::TokenInvalid,
            Class::AccessInvalid,
            "judged_by_second_plugin",
            Heal::ContactAdmin,
            Who::ServerAdmin,
            says,
        )
        .with_rule("doctor.second_plugin");
        return Check::fail(CheckId::Validate, failure).fix(Fix::new(
            Who::ServerAdmin,
            "Deactivate the second JWT plugin, or exempt the routes of WCPOS from it",
        ));
    }
    judge(exam, patient, token, response, CheckId::Validate)
}
