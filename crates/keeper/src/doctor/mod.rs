//! `tenure doctor`: asks, and spends nothing. What follows from the answers is decided in `tenure_diagnose::doctor`.
//!
//! Requests it makes, and no others: name lookups; TCP and TLS handshakes; GET of discovery document, REST index,
//! key set, token endpoint, upstream and userinfo; a WordPress plugin's validate or echo route; introspection of the access
//! token; for clients with a secret one token request with a refresh token that no server can have given; with
//! `sntp` one SNTP packet. Never a refresh, never a login, never a revocation.

mod api;
mod clocks;
mod credentials;
mod kept;
mod network;
mod server;
mod wordpress;

use std::time::{Duration, Instant};

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::doctor::own::Place;
use tenure_diagnose::doctor::page::{self, Kind, Moved};
use tenure_diagnose::doctor::{Check, CheckId, Outcome};
use tenure_diagnose::{Local, Profile, TokenFailure, classify_token, profile};
use tenure_http::{Client, Fault, Trust};
use tenure_store::check::CheckReport;
use tenure_store::{Pace, Record, StoreError};
use tenure_wire::discovery::{Metadata, RestIndex};
use tenure_wire::mask::Known;
use tenure_wire::{Request, Response, Server};
use url::Url;

use crate::clocks::Clocks;
use crate::config::{Endpoints, SessionConfig};
use crate::exchange::{Net, transport};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How the examination is done.
pub struct Options<'a> {
    /// How servers are asked.
    pub http: &'a Client,
    /// A third clock to ask, `host` or `host:port`.
    pub sntp: Option<String>,
    /// A path below the upstream that needs the token; without `..`.
    pub path: Option<String>,
    /// Proxy variables of the environment that are set: names only, their values may hold passwords.
    pub proxies: Vec<String>,
}

/// What is known of a session at home.
pub struct Patient<'a> {
    /// The session, its secrets read or blocked by the one that cannot be.
    pub config: &'a SessionConfig,
    /// What looking the store over found; `None` when there is no store yet.
    pub store: Option<&'a Result<CheckReport, StoreError>>,
    /// The store could be opened.
    pub opened: bool,
    /// The session's row, if it has one.
    pub record: Option<&'a Record>,
    /// How its token endpoint is to be treated.
    pub pace: Option<&'a Pace>,
    /// Cookies of callers are passed on.
    pub keep_cookies: bool,
    /// Where a `tenure up` on the same data shows its status, if one runs.
    pub running: Option<&'a str>,
    /// A refresh was asked for and done before: how it ended.
    pub renewal: Option<Check>,
}

/// What came of an examination.
pub struct Examination {
    /// All checks, in order.
    pub checks: Vec<Check>,
    /// Where the session gets its tokens; `None` while its discovery document cannot be read.
    pub token_endpoint: Option<Url>,
}

/// Told of every check as it ends.
pub type Tell<'a> = &'a mut (dyn FnMut(&Check) + Send);

/// Examines a session.
pub async fn session(patient: Patient<'_>, options: &Options<'_>, tell: Tell<'_>) -> Examination {
    let config = patient.config;
    let clocks = Clocks::default();
    let mut exam = Exam {
        net: Net {
            http: config.http(options.http),
            clocks: &clocks,
        },
        options,
        profile: &config.profile,
        name: &config.name,
        trust: config.trust.as_ref(),
        secrets: secrets(&patient),
        checks: Vec::new(),
        tenure: false,
        tell,
    };
    kept::examine(&mut exam, &patient);
    network::proxies(&mut exam);
    let third = clocks::third(&mut exam).await;
    let base = match &config.endpoints {
        Endpoints::Discover { issuer, .. } => issuer,
        Endpoints::Known(server) => &server.token_endpoint,
    };
    let probe = match &config.endpoints {
        Endpoints::Discover { issuer, .. } => tenure_wire::discovery::urls(issuer).swap_remove(0),
        Endpoints::Known(server) => server.token_endpoint.clone(),
    };
    let there = network::reach(&mut exam, &probe, Role::Server).await;
    let upstream = config.upstream.as_ref();
    let upstream = upstream.map(|url| with_path(url, options.path.as_deref()));
    let mut api_there = there;
    if let Some(url) = upstream
        .as_ref()
        .filter(|url| url.origin() != base.origin())
    {
        api_there = network::reach(&mut exam, url, Role::Api).await;
    }
    clocks::servers(&mut exam, [Some(base), upstream.as_ref()], third);
    let found = if there {
        server::find(&mut exam, config).await
    } else {
        exam.skip(
            &[CheckId::Discovery, CheckId::Issuer, CheckId::Client],
            "the server cannot be reached",
        );
        Found::of(&config.endpoints)
    };
    let endpoint = &found.server.token_endpoint;
    if found.usable && there && endpoint.origin() != base.origin() {
        network::reach(&mut exam, endpoint, Role::Endpoint).await;
    }
    credentials::client(&mut exam, &patient, &found, there).await;
    let token = credentials::token(&mut exam, &patient, &found);
    credentials::keys(&mut exam, &patient, &found, there).await;
    credentials::introspect(&mut exam, &patient, &found, &token, there).await;
    if found.wordpress {
        wordpress::examine(&mut exam, &patient, &found, &token, there).await;
    }
    api::examine(
        &mut exam,
        &patient,
        &found,
        &token,
        upstream.as_ref(),
        api_there,
    )
    .await;
    exam.done(Instant::now(), status_page(&config.profile));
    Examination {
        checks: exam.checks,
        token_endpoint: Some(found.server.token_endpoint).filter(|_| found.usable),
    }
}

/// Examines an address of which nothing is configured.
pub async fn address(url: &Url, options: &Options<'_>, tell: Tell<'_>) -> Vec<Check> {
    let clocks = Clocks::default();
    let Some(generic) = profile("oauth2") else {
        return Vec::new();
    };
    let mut exam = Exam {
        net: Net {
            http: options.http,
            clocks: &clocks,
        },
        options,
        profile: generic,
        name: "",
        trust: None,
        secrets: Known::default(),
        checks: Vec::new(),
        tenure: false,
        tell,
    };
    network::proxies(&mut exam);
    let third = clocks::third(&mut exam).await;
    if network::reach(&mut exam, url, Role::Address).await {
        clocks::servers(&mut exam, [Some(url), None], third);
        if exam.tenure {
            exam.skip(&[CheckId::Kind], "it is Tenure itself");
        } else {
            server::kind(&mut exam, url).await;
        }
    } else {
        exam.skip(
            &[CheckId::Clock, CheckId::Kind],
            "the server cannot be reached",
        );
    }
    exam.checks
}

/// What an address is to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It gives the tokens, and answers machines.
    Server,
    /// It gives the tokens, at another origin than its discovery document.
    Endpoint,
    /// It takes the tokens.
    Api,
    /// Nobody knows yet.
    Address,
}

impl Role {
    /// What it is to the session `name`.
    fn place(self, name: &str) -> Place<'_> {
        match self {
            Role::Server | Role::Endpoint => Place::Server(name),
            Role::Api => Place::Upstream(name),
            Role::Address => Place::Address,
        }
    }
}

/// What was found of the session's server.
pub(crate) struct Found {
    pub(crate) server: Server,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) index: Option<RestIndex>,
    pub(crate) wordpress: bool,
    /// The token endpoint is known; it is not while there is no discovery document.
    pub(crate) usable: bool,
}

impl Found {
    pub(crate) fn of(endpoints: &Endpoints) -> Self {
        let known = endpoints.known();
        Self {
            usable: matches!(endpoints, Endpoints::Known(_)),
            wordpress: known.dialect.is_wordpress(),
            server: known.clone(),
            metadata: None,
            index: None,
        }
    }
}

/// An examination under way.
pub(crate) struct Exam<'a> {
    pub(crate) net: Net<'a>,
    pub(crate) options: &'a Options<'a>,
    pub(crate) profile: &'a Profile,
    pub(crate) name: &'a str,
    pub(crate) trust: Option<&'a Trust>,
    /// What must not be shown, whoever repeats it.
    secrets: Known,
    checks: Vec<Check>,
    /// Tenure itself answered where an API was expected.
    pub(crate) tenure: bool,
    tell: Tell<'a>,
}

impl Exam<'_> {
    /// Notes a check that began then, and tells of it.
    pub(crate) fn done(&mut self, began: Instant, mut check: Check) {
        check.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        mask_all(&self.secrets, &mut check);
        (self.tell)(&check);
        self.checks.push(check);
    }

    /// Notes checks that cannot be made.
    pub(crate) fn skip(&mut self, ids: &[CheckId], why: &str) {
        for id in ids {
            self.done(Instant::now(), Check::skipped(*id, why));
        }
    }

    /// Whether a check failed already.
    pub(crate) fn failed(&self, id: CheckId) -> bool {
        let failed = |check: &Check| check.id == id && check.outcome == Outcome::Fail;
        self.checks.iter().any(failed)
    }

    /// Whether nothing speaks against the token so far.
    fn speaks_for(&self, token: &credentials::Token<'_>) -> bool {
        let doubts = [
            CheckId::Token,
            CheckId::Audience,
            CheckId::Keys,
            CheckId::Introspection,
        ];
        token.left_s.is_none_or(|left| left > 0) && !doubts.iter().any(|id| self.failed(*id))
    }

    /// Sends a question. A long or endless answer is cut at the limit and judged as it is.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, Failure> {
        let limit = tenure_wire::discovery::MAX_INDEX;
        let answer = self.net.send_for_start(request, TIMEOUT, limit).await;
        answer.map_err(|fault| self.fault(&fault))
    }

    /// A question that got no answer, named.
    pub(crate) fn fault(&self, fault: &Fault) -> Failure {
        let local = Local {
            session: self.name.to_owned(),
            ..Local::default()
        };
        let transport = transport(fault);
        let verdict = classify_token(self.profile, TokenFailure::Transport(&transport), &local);
        verdict.failure().clone()
    }
}

/// Everything secret that a server may have been sent and might repeat.
fn secrets(patient: &Patient<'_>) -> Known {
    let pair = patient.record.and_then(|record| record.pair.as_ref());
    let login = patient.record.and_then(|record| record.secret.as_ref());
    let all = [
        patient.config.client.secret.as_ref(),
        pair.map(|pair| &pair.access),
        pair.and_then(|pair| pair.refresh.as_ref()),
        login.map(|login| &login.password),
    ];
    let mut known = Known::default();
    for secret in all.into_iter().flatten() {
        known.add(secret);
    }
    known
}

/// Texts of servers stand in checks; whatever looks like a secret in them is taken out, once and here.
fn mask_all(secrets: &Known, check: &mut Check) {
    let mask = |text: &str| secrets.mask(text);
    let evidence = &mut check.evidence;
    let mut failure = check.failure.as_mut();
    check.says = mask(&check.says);
    for fact in evidence {
        fact.value = mask(&fact.value);
    }
    for fix in &mut check.fixes {
        fix.step = mask(&fix.step);
    }
    while let Some(named) = failure {
        named.detail = mask(&named.detail);
        for fact in &mut named.evidence {
            fact.value = mask(&fact.value);
        }
        failure = named.because.as_deref_mut();
    }
}

/// The upstream, or the path below it that was named.
fn with_path(upstream: &Url, path: Option<&str>) -> Url {
    let Some(path) = path else {
        return upstream.clone();
    };
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut url = upstream.clone();
    let base = upstream.path().trim_end_matches('/');
    url.set_path(&format!("{base}/{}", path.trim_start_matches('/')));
    url.set_query(query);
    url
}

/// What another's answer amounts to; `None` when it is the server's own.
pub(crate) fn intercepted(url: &Url, response: &Response, machine: bool) -> Option<Failure> {
    let status = response.status();
    let failure = |cause: &str, heal, who, says: String| {
        Failure::new(
            Code::AnswerIntercepted,
            Class::NetworkIntercepted,
            cause,
            heal,
            who,
            says,
        )
        .with_rule("doctor.http")
        .with_evidence("status", status.as_u16(), "response")
    };
    if let Some(to) = location(url, response)
        && machine
        && page::moved(url, &to) == Moved::OtherHost
    {
        let host = to.host_str().unwrap_or_default();
        let says = format!(
            "the answer leads to another host, {host}: a captive portal or proxy answered, or the server has moved"
        );
        return Some(
            failure(
                "redirect_to_another_host",
                Heal::RetryLater,
                Who::User,
                says,
            )
            .with_evidence("location_host", host, "response"),
        );
    }
    let page = page::page(status.as_u16(), response.headers(), response.body())?;
    match page.kind {
        Kind::Challenge => Some(
            failure(
                "bot_challenge",
                Heal::ContactAdmin,
                Who::ServerAdmin,
                "a bot check answers in place of the server: it wants a browser, and no program passes it".to_owned(),
            )
            .with_evidence("sign", page.sign, "body"),
        ),
        Kind::Portal => Some(
            failure(
                "captive_portal",
                Heal::RetryLater,
                Who::User,
                "the network's sign-in page answers in place of the server".to_owned(),
            )
            .with_evidence("sign", page.sign, "body"),
        ),
        Kind::Html => None,
    }
}

/// Where a redirect leads.
pub(crate) fn location(url: &Url, response: &Response) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let to = response.headers().get(http::header::LOCATION)?;
    url.join(to.to_str().ok()?).ok()
}

fn status_page(profile: &Profile) -> Check {
    match &profile.status_page {
        Some(page) => Check::ok(CheckId::StatusPage, format!("see {page}")).at(page),
        None => Check::skipped(CheckId::StatusPage, "the profile names none"),
    }
}
