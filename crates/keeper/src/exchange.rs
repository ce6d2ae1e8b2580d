//! One exchange on the wire: build the request, send it, read the answer, name what went wrong.

use std::time::{Duration, Instant};

use tenure_core::expiry::{Stated, lifetime};
use tenure_core::session::{Held, Outcome, Sent};
use tenure_core::{Anchor, BootId, Class, Code, Failure, Generation, Heal, TokenPair, Who};
use tenure_diagnose::{
    Grant, Local, TokenFailure, TransportFault, TransportKind, Verdict, classify_token,
    refresh_failed_because,
};
use tenure_http::{Fault, FaultKind};
use tenure_store::StoredLogin;
use tenure_wire::{Ctx, Exchange, Granted, RetryAfter, Server, Step, TokenAnswer, WireError};
use url::Url;

use crate::clock;
use crate::clocks::Clocks;
use crate::config::SessionConfig;
use crate::context::Context;
use crate::failures::unbuildable;
use crate::pacing::{Health, RETRY_AFTER_MAX_MS};
use crate::rows::{self, Reading, Renewer};

/// A cookie that is older than this share of its life is rotated along with the exchange.
const ROTATE_COOKIE_SHARE: u64 = 3;

/// How an exchange ended, with the pair if there is one.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) pair: Option<TokenPair>,
}

/// What an exchange is run with.
pub(crate) struct Spend {
    /// The pair being renewed, if any.
    pub(crate) pair: Option<TokenPair>,
    /// The stored name and password, if any.
    pub(crate) login: Option<StoredLogin>,
    /// The generation being spent.
    pub(crate) generation: Generation,
    /// An earlier exchange of it may have been processed.
    pub(crate) unknown: bool,
    /// The pair came with an import, and may have been renewed where it came from.
    pub(crate) imported: bool,
    /// Shortest lifetime seen, seconds.
    pub(crate) learned_s: Option<i64>,
}

/// Runs one exchange to its end, within the session's exchange timeout.
pub(crate) async fn run(ctx: &Context, config: &SessionConfig, spend: Spend) -> Ended {
    // One deadline for finding the server and all steps together: the lease is measured for it.
    let until = Instant::now() + config.timing.exchange_timeout;
    let found =
        tokio::time::timeout_at(until.into(), ctx.servers.resolve(ctx.net(config), config)).await;
    let server = match found {
        Ok(Ok(server)) => server,
        Ok(Err(failure)) => return passing(failure, None, Sent::No),
        Err(_) => return passing(slow_discovery(config), None, Sent::No),
    };
    let now = clock::mono();
    let endpoint = &config.endpoints.known().token_endpoint;
    if let Err(until) = ctx.pacer.begin(endpoint, now) {
        return passing(paced(ctx, endpoint), Some(until.since(now)), Sent::No);
    }
    let call = Call {
        ctx,
        config,
        server: &server,
    };
    let anchor = ctx.net(config).anchor(ctx.boot, &server.token_endpoint);
    let ended = match call.start(&spend) {
        Ok((exchange, request)) => call.drive(exchange, request, until, &spend).await,
        Err(error) => Err((Judged::Passing(unbuildable(&error)), None, Sent::No)),
    };
    match ended {
        Ok(granted) => {
            ctx.pacer.end(endpoint, clock::mono(), Health::Alive);
            granted_pair(&call, granted, anchor, &spend)
        }
        Err(end) => call.ended(end, &spend),
    }
}

type Failed = (Judged, Option<u64>, Sent);

/// What became of a request that brought no tokens.
enum Judged {
    Passing(Failure),
    Final(Failure),
}

struct Call<'a> {
    ctx: &'a Context,
    config: &'a SessionConfig,
    server: &'a Server,
}

impl Call<'_> {
    fn net(&self) -> Net<'_> {
        self.ctx.net(self.config)
    }

    fn wire_ctx(&self) -> Ctx {
        self.net().wire_ctx(&self.server.token_endpoint)
    }

    fn start(&self, spend: &Spend) -> Result<(Exchange, tenure_wire::Request), WireError> {
        let (server, client, ctx) = (self.server, &self.config.client, self.wire_ctx());
        let scope = (!self.config.scopes.is_empty()).then(|| self.config.scopes.join(" "));
        match Renewer::of(self.config, spend.pair.as_ref(), spend.login.as_ref()) {
            Renewer::Refresh(refresh) => {
                // RFC 6749 §6: without `scope` the refresh asks for what was granted.
                Exchange::refresh(
                    server,
                    client,
                    refresh,
                    None,
                    self.rotate_cookie(spend),
                    &ctx,
                )
            }
            Renewer::Password(login) => Exchange::password(
                server,
                client,
                &login.username,
                &login.password,
                scope.as_deref(),
                &ctx,
            ),
            Renewer::Client => Exchange::client_credentials(server, client, scope.as_deref(), &ctx),
            Renewer::None => Err(WireError::CannotRefresh {
                dialect: server.dialect.as_str(),
            }),
        }
    }

    fn rotate_cookie(&self, spend: &Spend) -> bool {
        let Some(pair) = &spend.pair else {
            return false;
        };
        let Some(life) = pair.refresh_ms else {
            return false;
        };
        let now = clock::now();
        pair.issued.elapsed(self.ctx.boot, now, None) > life / ROTATE_COOKIE_SHARE
    }

    async fn drive(
        &self,
        mut exchange: Exchange,
        mut request: tenure_wire::Request,
        until: Instant,
        spend: &Spend,
    ) -> Result<Granted, Failed> {
        loop {
            self.ctx.point("keeper.exchange.before")?;
            let response = match self
                .net()
                .send(request, until.saturating_duration_since(Instant::now()))
                .await
            {
                Ok(response) => response,
                Err(fault) => {
                    let failed = self.judge(TokenFailure::Transport(&transport(&fault)), spend);
                    return exchange.salvage().ok_or(failed);
                }
            };
            self.ctx.point("keeper.exchange.after")?;
            match exchange.on_response(&response, &self.wire_ctx()) {
                Step::Send(next) => request = next,
                Step::Done(TokenAnswer::Granted(granted)) => {
                    if exchange.second_step_failure().is_some() {
                        // The access token is good; the cookie lives on unrotated and is tried again next time.
                        tracing::warn!(session = %self.config.name, "the refresh cookie could not be rotated");
                    }
                    return Ok(granted);
                }
                Step::Done(TokenAnswer::Refused(refusal)) => {
                    return Err(self.judge(TokenFailure::Refused(&refusal), spend));
                }
                Step::Done(TokenAnswer::Unusable(unusable)) => {
                    return Err(self.judge(TokenFailure::Unusable(&unusable), spend));
                }
            }
        }
    }

    fn judge(&self, answer: TokenFailure<'_>, spend: &Spend) -> Failed {
        let retry_after = match &answer {
            TokenFailure::Refused(refusal) => refusal.retry_after,
            TokenFailure::Unusable(unusable) => unusable.retry_after,
            TokenFailure::Transport(_) => None,
        };
        let wait = retry_after.map(|after| self.wait_ms(after));
        match classify_token(&self.config.profile, answer, &self.local(spend)) {
            Verdict::Final { failure } => (Judged::Final(failure), None, Sent::Answered),
            Verdict::Passing {
                failure,
                retry_after_s,
                sent,
            } => {
                let wait = wait.or(retry_after_s.map(|seconds| seconds.saturating_mul(1_000)));
                let sent = match sent {
                    tenure_diagnose::Sent::No => Sent::No,
                    tenure_diagnose::Sent::Answered => Sent::Answered,
                    tenure_diagnose::Sent::Maybe => Sent::Maybe,
                };
                (
                    Judged::Passing(failure),
                    wait.map(|ms| ms.min(RETRY_AFTER_MAX_MS)),
                    sent,
                )
            }
        }
    }

    fn wait_ms(&self, after: RetryAfter) -> u64 {
        match after {
            RetryAfter::Seconds(seconds) => seconds.saturating_mul(1_000),
            RetryAfter::At(at) => {
                let now = self.net().server_now_ms(&self.server.token_endpoint);
                u64::try_from(at.saturating_mul(1_000).saturating_sub(now)).unwrap_or(0)
            }
        }
    }

    fn local(&self, spend: &Spend) -> Local {
        let now = clock::now();
        let offset = self
            .ctx
            .clocks
            .of(&self.server.token_endpoint)
            .map_or(0, |clock| clock.proven_offset_ms(now));
        let refresh_expired = spend.pair.as_ref().is_some_and(|pair| {
            pair.refresh_ms
                .is_some_and(|ms| pair.issued.elapsed(self.ctx.boot, now, None) >= ms)
        });
        Local {
            clock_offset_ms: offset,
            has_refresh: spend
                .pair
                .as_ref()
                .is_some_and(|pair| pair.refresh.is_some()),
            refresh_expired,
            unknown_outcome: spend.unknown,
            imported: spend.imported,
            session: self.config.name.clone(),
            now_s: Some(
                self.net()
                    .server_now_ms(&self.server.token_endpoint)
                    .div_euclid(1_000),
            ),
            grant: grant_of(&Renewer::of(
                self.config,
                spend.pair.as_ref(),
                spend.login.as_ref(),
            )),
            ..Local::default()
        }
    }

    fn located(&self, failure: Failure) -> Failure {
        failure.with_evidence(ENDPOINT, place(&self.server.token_endpoint), "request")
    }

    fn ended(&self, (verdict, wait, sent): Failed, spend: &Spend) -> Ended {
        let (endpoint, now) = (&self.config.endpoints.known().token_endpoint, clock::mono());
        match verdict {
            Judged::Final(failure) => {
                let failure = refresh_failed_because(self.located(failure));
                self.ctx.pacer.end(endpoint, now, Health::Alive);
                Ended {
                    outcome: Outcome::Final(failure),
                    pair: None,
                }
            }
            Judged::Passing(failure) => {
                let failure = self.located(failure);
                self.ctx
                    .pacer
                    .end(endpoint, now, Health::Troubled(wait, failure.clone()));
                if sent == Sent::No {
                    self.ctx.servers.forget(&self.config.name);
                }
                tracing::debug!(session = %self.config.name, generation = %spend.generation, %failure, "exchange failed");
                passing(failure, wait, sent)
            }
        }
    }
}

/// The evidence that names whom a failure came from.
pub(crate) const ENDPOINT: &str = "token_endpoint";

/// Host and path of an address: a query may hold what is nobody's business.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    format!("{host}{port}{}", url.path())
}

fn grant_of(renewer: &Renewer<'_>) -> Grant {
    match renewer {
        Renewer::Refresh(_) | Renewer::None => Grant::RefreshToken,
        Renewer::Password(_) => Grant::Password,
        Renewer::Client => Grant::ClientCredentials,
    }
}

fn granted_pair(call: &Call<'_>, granted: Granted, anchor: Anchor, spend: &Spend) -> Ended {
    let pair = pair(
        &granted,
        spend.generation.next(),
        anchor,
        Defaults {
            access_s: call
                .server
                .expires_in_default
                .or(seconds(call.config.profile.lifetimes.access_s)),
            refresh_s: seconds(call.config.profile.lifetimes.refresh_s),
            learned_s: spend.learned_s,
        },
        spend.pair.as_ref(),
    );
    let at = Reading {
        boot: call.ctx.boot,
        now: clock::now(),
        server: None,
    };
    let renewer = Renewer::of(call.config, Some(&pair), spend.login.as_ref());
    let held: Held = rows::held(call.config, &pair, &renewer, at);
    Ended {
        outcome: Outcome::Granted(held),
        pair: Some(pair),
    }
}

/// Lifetimes that count when the answer is silent, seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) access_s: Option<i64>,
    pub(crate) refresh_s: Option<i64>,
    pub(crate) learned_s: Option<i64>,
}

/// The pair an answer amounts to. `before` lends its refresh token where the answer brings none.
pub(crate) fn pair(
    granted: &Granted,
    generation: Generation,
    anchor: Anchor,
    defaults: Defaults,
    before: Option<&TokenPair>,
) -> TokenPair {
    let stated = Stated {
        profile: granted.stated.profile.or(defaults.access_s),
        learned: defaults.learned_s,
        ..granted.stated
    };
    let access = lifetime(&stated);
    if !access.lies.is_empty() {
        tracing::debug!(lies = ?access.lies, "the answer's expiry fields do not mean what they say");
    }
    let ms = |seconds: i64| {
        u64::try_from(seconds)
            .ok()
            .map(|seconds| seconds.saturating_mul(1_000))
    };
    let (refresh, refresh_ms) = match (&granted.refresh, before) {
        (Some(refresh), _) => {
            let life = granted.refresh_expires_in.or(defaults.refresh_s);
            (
                Some(refresh.clone()),
                life.and_then(ms).filter(|ms| *ms > 0),
            )
        }
        // The one held goes on, and its end does not move.
        (None, Some(before)) => (
            before.refresh.clone(),
            carried(before.refresh_ms, before, anchor),
        ),
        (None, None) => (None, None),
    };
    TokenPair {
        generation,
        access: granted.access.clone(),
        refresh,
        scope: granted
            .scope
            .clone()
            .or_else(|| before.and_then(|pair| pair.scope.clone())),
        issued: anchor,
        access_ms: access.ms,
        refresh_in_ms: granted.refresh_in.and_then(ms),
        refresh_ms,
        session_ms: granted
            .session_expires_in
            .and_then(ms)
            .or_else(|| before.and_then(|pair| carried(pair.session_ms, pair, anchor))),
    }
}

/// A lifetime counted from the former pair's anchor, counted from the new one's.
fn carried(ms: Option<u64>, before: &TokenPair, anchor: Anchor) -> Option<u64> {
    let now = tenure_core::Now {
        mono: anchor.mono,
        wall: anchor.wall,
    };
    ms.map(|ms| ms.saturating_sub(before.issued.elapsed(anchor.boot, now, anchor.server)))
}

pub(crate) fn seconds(value: Option<u64>) -> Option<i64> {
    value.and_then(|seconds| i64::try_from(seconds).ok())
}

/// How servers are asked, and what is learned of their clocks from the answers.
#[derive(Clone, Copy)]
pub(crate) struct Net<'a> {
    pub(crate) http: &'a tenure_http::Client,
    pub(crate) clocks: &'a Clocks,
}

impl Net<'_> {
    /// Sends a request, learns the server's clock from the answer.
    pub(crate) async fn send(
        self,
        request: tenure_wire::Request,
        timeout: Duration,
    ) -> Result<tenure_wire::Response, Fault> {
        self.send_within(request, timeout, tenure_wire::MAX_BODY)
            .await
    }

    /// The same for an answer of up to `limit` bytes.
    pub(crate) async fn send_within(
        self,
        request: tenure_wire::Request,
        timeout: Duration,
        limit: usize,
    ) -> Result<tenure_wire::Response, Fault> {
        self.observed(request, |request| self.http.send(request, timeout, limit))
            .await
    }

    /// The same for an answer of any length, of which up to `limit` bytes are looked at.
    pub(crate) async fn send_for_start(
        self,
        request: tenure_wire::Request,
        timeout: Duration,
        limit: usize,
    ) -> Result<tenure_wire::Response, Fault> {
        self.observed(request, |request| {
            self.http.send_for_start(request, timeout, limit)
        })
        .await
    }

    /// Learns the server's clock from an answer.
    async fn observed<F>(
        self,
        request: tenure_wire::Request,
        send: impl FnOnce(tenure_wire::Request) -> F,
    ) -> Result<tenure_wire::Response, Fault>
    where
        F: Future<Output = Result<tenure_wire::Response, Fault>>,
    {
        let url = Url::parse(&request.uri().to_string()).ok();
        let sent = clock::mono();
        let response = send(request).await?;
        if let Some(url) = url {
            self.clocks
                .observe(&url, response.headers(), sent, clock::mono());
        }
        Ok(response)
    }

    /// What the wire needs to know of the moment.
    pub(crate) fn wire_ctx(self, endpoint: &Url) -> Ctx {
        Ctx {
            now_s: self.server_now_ms(endpoint).div_euclid(1_000),
            jti: tenure_jose::b64url(tenure_jose::random::<16>()),
        }
    }

    pub(crate) fn server_now_ms(self, endpoint: &Url) -> i64 {
        let now = clock::now();
        self.clocks
            .of(endpoint)
            .map_or(now.wall.0, |clock| clock.now(now.mono))
    }

    /// This moment on every clock known.
    pub(crate) fn anchor(self, boot: BootId, endpoint: &Url) -> Anchor {
        let now = clock::now();
        let server = self.clocks.of(endpoint).map(|clock| clock.now(now.mono));
        Anchor {
            boot,
            mono: now.mono,
            wall: now.wall,
            server,
        }
    }
}

/// A transport fault as the classifier wants it.
pub(crate) fn transport(fault: &Fault) -> TransportFault {
    let kind = match fault.kind {
        FaultKind::Timeout => TransportKind::Timeout,
        FaultKind::Refused => TransportKind::Refused,
        FaultKind::Reset | FaultKind::Unprocessed => TransportKind::Reset,
        FaultKind::Dns => TransportKind::Dns,
        FaultKind::Tls => TransportKind::Tls,
        FaultKind::Unreachable => TransportKind::Unreachable,
        FaultKind::TooLarge | FaultKind::Other => TransportKind::Other,
    };
    TransportFault {
        kind,
        sent: fault.sent,
        detail: fault.detail.clone(),
    }
}

fn passing(failure: Failure, retry_after_ms: Option<u64>, sent: Sent) -> Ended {
    Ended {
        outcome: Outcome::Passing {
            failure,
            retry_after_ms,
            sent,
        },
        pair: None,
    }
}

/// The endpoint is being left alone.
pub(crate) fn paced(ctx: &Context, endpoint: &Url) -> Failure {
    let failure = Failure::new(
        Code::RefreshFailed,
        Class::RefreshFailed,
        "endpoint_left_alone",
        Heal::RetryLater,
        Who::Tenure,
        format!(
            "{} failed or asked for a pause; it is left alone for a while",
            endpoint.origin().ascii_serialization()
        ),
    )
    .with_rule("keeper.pacing");
    match ctx.pacer.failure(endpoint) {
        Some(why) => failure.because(why),
        None => failure,
    }
}

/// Where the token endpoint is could not be found out in time.
fn slow_discovery(config: &SessionConfig) -> Failure {
    Failure::new(
        Code::ConnectionTimeout,
        Class::Timeout,
        "discovery_timeout",
        Heal::RetryLater,
        Who::Tenure,
        format!(
            "the metadata of session {}'s issuer did not arrive within {} s",
            config.name,
            config.timing.exchange_timeout.as_secs_f32()
        ),
    )
    .with_rule("keeper.discovery")
}

impl From<tenure_store::StoreError> for Judged {
    fn from(error: tenure_store::StoreError) -> Self {
        Judged::Passing(error.failure())
    }
}

impl Context {
    /// A fault point between the machine's steps; only tests plan faults.
    fn point(&self, name: &str) -> Result<(), Failed> {
        tenure_store::fault::point(&self.fault, name)
            .map_err(|error| (error.into(), None, Sent::No))
    }
}
