//! One request's way through the gateway: route, send, judge the answer, heal, send once more.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, request};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_http::{Fault, FaultKind};
use tenure_keeper::{AfterRefusal, Keeper, Reader, Session, Token};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use url::Url;

use crate::body::{Body, BoxError};
use crate::caller;
use crate::front;
use crate::headers::{self, Rules};
use crate::host;
use crate::judge::{Judged, answer, judge};
use crate::options::{CallerKey, Limits, Options, SetupError};
use crate::problem::Problem;
use crate::replay::Replay;
use crate::route::{self, Upstream};
use crate::upgrade;
use crate::upstream::Pools;

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Inner>);

/// Everything is settled at the start: requests read it without a lock.
pub(crate) struct Inner {
    routes: HashMap<String, Route>,
    keeper: Keeper,
    pub(crate) keys: Vec<CallerKey>,
    pages: Option<Url>,
    pub(crate) limits: Limits,
    pub(crate) tunnels: TaskTracker,
    /// Ends the tunnels.
    pub(crate) closing: CancellationToken,
}

/// One session's way.
pub(crate) struct Route {
    pub(crate) session: Session,
    name: HeaderValue,
    upstream: Option<Upstream>,
    rules: Rules,
    pub(crate) pools: Pools,
}

/// What is sent, once or twice; without body and token.
pub(crate) struct Template {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) upgrade: bool,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("sessions", &self.0.routes.keys())
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway for every session of `keeper`.
    ///
    /// # Errors
    /// When it would be open to other machines without keys, or an upstream cannot be used.
    pub fn new(keeper: Keeper, options: Options) -> Result<Self, SetupError> {
        options.check()?;
        let common = Pools::new()?;
        let mut routes = HashMap::new();
        for session in keeper.sessions() {
            let choice = options
                .routes
                .get(session.name())
                .copied()
                .unwrap_or_default();
            let upstream = upstream_of(&session)?;
            let rules = Rules {
                tls: upstream.as_ref().is_some_and(Upstream::is_tls),
                keep_authorization: choice.keep_authorization,
                keep_cookies: choice.keep_cookies
                    || !upstream
                        .as_ref()
                        .is_some_and(|upstream| logs_in(&session, upstream)),
            };
            let trust = session.config().trust.as_ref();
            let pools = trust.map_or_else(|| common.clone(), Pools::trusting);
            // Session names are host name labels: always a valid field value.
            let name = HeaderValue::from_str(session.name())
                .unwrap_or_else(|_| HeaderValue::from_static(""));
            routes.insert(
                session.name().to_owned(),
                Route {
                    session,
                    name,
                    upstream,
                    rules,
                    pools,
                },
            );
        }
        if let Some(unknown) = options
            .routes
            .keys()
            .find(|name| !routes.contains_key(*name))
        {
            return Err(SetupError::UnknownRoute(unknown.clone()));
        }
        Ok(Self(Arc::new(Inner {
            routes,
            keeper,
            keys: options.caller_keys,
            pages: options.pages_base,
            limits: options.limits,
            tunnels: TaskTracker::new(),
            closing: CancellationToken::new(),
        })))
    }

    /// The keeper whose sessions it spends.
    pub fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    /// Answers one request. Never fails: what goes wrong is an answer.
    ///
    /// Dropping the future ends the request to the upstream; an exchange it caused goes on (I3).
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let person = front::wants_page(&request);
        match self.0.respond(request).await {
            Ok(response) => response,
            Err(problem) if person && problem.failure.cause == route::NO_NAME => {
                front::page(&problem, self.0.pages.as_ref())
            }
            Err(problem) => {
                tracing::debug!(status = problem.status.as_u16(), failure = %problem.failure, session = problem.session, "own answer");
                let mut response = problem.response(self.0.pages.as_ref());
                if let Some(route) = problem
                    .session
                    .as_ref()
                    .and_then(|name| self.0.routes.get(name))
                {
                    response
                        .headers_mut()
                        .insert(headers::TENURE_SESSION, route.name.clone());
                }
                response
            }
        }
    }
}

/// The gateway as a service, for programs that serve it themselves or put layers around it.
impl<B> Service<Request<B>> for Gateway
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.handle(request).await) })
    }
}

impl Inner {
    async fn respond<B>(&self, mut request: Request<B>) -> Result<Response<Body>, Problem>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let address = host::address(
            request.method(),
            request.uri(),
            request.headers(),
            !self.keys.is_empty(),
        )?;
        host::same_origin(request.headers(), &address)?;
        if let Some(caller) = caller::check(request.headers(), &self.keys)? {
            tracing::debug!(caller, "let in by its key");
        }
        let (name, rest) = route::split(&address, request.uri())?;
        let route = self.routes.get(name).ok_or_else(|| route::unknown(name))?;
        let upstream = route.upstream.as_ref().ok_or_else(|| no_upstream(name))?;
        let uri = upstream.join(&rest).map_err(|problem| problem.of(name))?;
        let tunnel = headers::wanted_upgrade(&request)
            .map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let (head, body) = request.into_parts();
        let replay = Replay::new(
            body,
            route.session.config().timing.replay_limit,
            headers::expects_continue(&head.headers),
        );
        let (template, tunnel) = template(head, uri, route, tunnel)?;
        if route.rules.keep_authorization && template.headers.contains_key(AUTHORIZATION) {
            // Nothing is ever sent again that goes out without the session's token.
            replay.accept();
            let response = self.send(route, &template, &replay, false, None).await?;
            return Ok(self.pass(route, response, tunnel, None));
        }
        self.exchange(route, upstream, &template, &replay, tunnel)
            .await
    }

    /// Sends with the session's token; after a refusal that a newer token can heal, sends once more (I12).
    async fn exchange(
        &self,
        route: &Route,
        upstream: &Upstream,
        template: &Template,
        replay: &Replay,
        tunnel: Option<OnUpgrade>,
    ) -> Result<Response<Body>, Problem> {
        let token = self.token(route).await?;
        let reader = Reader::of(&template.headers);
        let response = self
            .send(route, template, replay, true, Some((&token, upstream)))
            .await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.pass(route, response, tunnel, Some(&token)));
        }
        let (answer, failure) = match judge(&route.session, &token, reader, replay, response).await
        {
            Judged::Pass(response, code) => return Ok(label(route, &token, response, false, code)),
            Judged::Refused(response, failure) => (response, failure),
        };
        let newer = match self.heal(route, &token, &failure, replay).await {
            Ok(newer) => newer,
            Err(code) => {
                replay.accept();
                return Ok(label(
                    route,
                    &token,
                    answer,
                    false,
                    Some(code.unwrap_or(failure.code)),
                ));
            }
        };
        drop(answer);
        tracing::debug!(
            session = route.session.name(),
            generation = newer.generation.0,
            "sending again with a newer token"
        );
        let response = self
            .send(route, template, replay, false, Some((&newer, upstream)))
            .await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let mut response = self.pass(route, response, tunnel, Some(&newer));
            response
                .headers_mut()
                .insert(headers::TENURE_REPLAYED, HeaderValue::from_static("1"));
            return Ok(response);
        }
        Ok(
            match judge(&route.session, &newer, reader, replay, response).await {
                Judged::Pass(response, code) => label(route, &newer, response, true, code),
                Judged::Refused(response, failure) => {
                    replay.accept();
                    route.session.observed(newer.generation, &failure);
                    label(route, &newer, response, true, Some(failure.code))
                }
            },
        )
    }

    /// The session's token; waits only when there is no valid one.
    async fn token(&self, route: &Route) -> Result<Token, Problem> {
        let session = &route.session;
        let failure = match timeout(self.limits.token_wait, session.token_to_send()).await {
            Ok(Ok(token)) => return Ok(token),
            Ok(Err(failure)) => failure,
            Err(_) => session
                .snapshot()
                .failure
                .clone()
                .unwrap_or_else(|| slow(session.name())),
        };
        let status = session.status();
        let retry_after = status
            .next_refresh_in
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or(5);
        Err(Problem::no_token(
            session.name(),
            status.state,
            failure,
            retry_after.clamp(1, 3_600),
        ))
    }

    /// A newer token if there is one to send the request again with; else the code that says why not.
    async fn heal(
        &self,
        route: &Route,
        token: &Token,
        refusal: &Failure,
        replay: &Replay,
    ) -> Result<Token, Option<Code>> {
        let session = route.session.clone();
        let generation = token.generation;
        if !replay.can_repeat() {
            // Too late for this request; the next ones are to find a newer token.
            let refusal = refusal.clone();
            tokio::spawn(async move { drop(session.refused_because(generation, &refusal).await) });
            return Err(None);
        }
        let healed = session.refused_because(generation, refusal);
        match timeout(self.limits.token_wait, healed).await {
            Ok(AfterRefusal::Newer(newer))
                if newer.generation > generation && replay.can_repeat() =>
            {
                Ok(newer)
            }
            Ok(AfterRefusal::Failed(failure)) => Err(Some(failure.code)),
            Ok(AfterRefusal::Newer(_) | AfterRefusal::NotHealable) | Err(_) => Err(None),
        }
    }

    /// Passes an answer on that is not judged: an upgrade, or one to the caller's own credentials.
    fn pass(
        &self,
        route: &Route,
        mut response: Response<Incoming>,
        tunnel: Option<OnUpgrade>,
        token: Option<&Token>,
    ) -> Response<Body> {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = response.headers().get(http::header::UPGRADE).cloned();
        let mut response = match (switched, tunnel, protocol) {
            (true, Some(caller), Some(protocol)) => {
                let upstream = hyper::upgrade::on(&mut response);
                upgrade::tunnel(self, caller, upstream);
                let mut response = answer(response).map(|_| Body::empty());
                headers::ask_upgrade(response.headers_mut(), protocol);
                response
            }
            (true, ..) => {
                let fault = Fault {
                    kind: FaultKind::Other,
                    sent: true,
                    detail: "it switched protocols unasked".to_owned(),
                };
                Problem::upstream(route.session.name(), &fault).response(self.pages.as_ref())
            }
            (false, ..) => answer(response).map(Body::stream),
        };
        let Some(token) = token else {
            response
                .headers_mut()
                .insert(headers::TENURE_SESSION, route.name.clone());
            return response;
        };
        if switched {
            route.session.accepted(token.generation);
        }
        label(route, token, response, false, None)
    }
}

/// The upstream of a session, checked.
fn upstream_of(session: &Session) -> Result<Option<Upstream>, SetupError> {
    let Some(url) = &session.config().upstream else {
        return Ok(None);
    };
    let refuse = |why| SetupError::Upstream {
        session: session.name().to_owned(),
        why,
    };
    Upstream::new(url).map(Some).map_err(refuse)
}

/// Whether the upstream's host is also where people log in, so that a cookie for it may be a login.
fn logs_in(session: &Session, upstream: &Upstream) -> bool {
    let server = session.config().endpoints.known();
    let issuer = server
        .issuer
        .as_deref()
        .and_then(|issuer| Url::parse(issuer).ok());
    let urls = [
        Some(&server.token_endpoint),
        server.login_endpoint.as_ref(),
        server.authorization_endpoint.as_ref(),
        issuer.as_ref(),
    ];
    urls.into_iter()
        .flatten()
        .any(|url| url.host_str() == Some(upstream.host()))
}

fn template(
    head: request::Parts,
    uri: Uri,
    route: &Route,
    tunnel: Option<(HeaderValue, OnUpgrade)>,
) -> Result<(Template, Option<OnUpgrade>), Problem> {
    let mut fields = head.headers;
    headers::to_upstream(&mut fields, head.version, &route.rules)
        .map_err(|problem| problem.of(route.session.name()))?;
    let (upgrade, tunnel) = match tunnel {
        Some((protocol, caller)) => {
            headers::ask_upgrade(&mut fields, protocol);
            (true, Some(caller))
        }
        None => (false, None),
    };
    Ok((
        Template {
            method: head.method,
            uri,
            headers: fields,
            upgrade,
        },
        tunnel,
    ))
}

/// Adds the gateway's own fields.
fn label(
    route: &Route,
    token: &Token,
    mut response: Response<Body>,
    replayed: bool,
    code: Option<Code>,
) -> Response<Body> {
    let fields = response.headers_mut();
    fields.insert(headers::TENURE_SESSION, route.name.clone());
    fields.insert(
        headers::TENURE_GENERATION,
        HeaderValue::from(token.generation.0),
    );
    if replayed {
        fields.insert(headers::TENURE_REPLAYED, HeaderValue::from_static("1"));
    }
    if let Some(code) = code {
        fields.insert(
            headers::TENURE_CODE,
            HeaderValue::from_static(code.as_str()),
        );
    }
    response
}

fn no_upstream(name: &str) -> Problem {
    let detail = format!(
        "session {name} has no upstream; set `upstream` of [sessions.{name}] to the API's address"
    );
    Problem::request(StatusCode::NOT_FOUND, "no_upstream", Who::Operator, detail).of(name)
}

fn slow(name: &str) -> Failure {
    let detail =
        format!("session {name} has no valid token yet; the exchange for one is still under way");
    Failure::new(
        Code::RefreshFailed,
        Class::RefreshFailed,
        "slow",
        Heal::RetryLater,
        Who::Tenure,
        detail,
    )
    .with_rule("gateway.slow")
}
