//! The local API and the pages on the admin address; on the socket the API with tokens.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use futures_util::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tenure_core::{Code, Failure, Heal, Secret, Who};
use tenure_diagnose::doctor::own;
use tenure_gateway::{Problem, host};
use tenure_keeper::login::{self, Import, LoggedOut};
use tenure_keeper::{Keeper, Session};
use tenure_store::EventRow;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::metrics::{self, Metrics};
use super::socket::Peer;
use super::{Urls, classify, code_pages, openapi, page};
use crate::commands::events::latest;
use crate::config::value;

/// How many events an event stream reads at once.
const PAGE: usize = 200;
/// How long a token from the socket lives at least, unless asked otherwise.
const MIN_VALID: Duration = Duration::from_mins(1);
/// When somebody may try again after a passing failure, in seconds.
const RETRY_AFTER_S: u64 = 5;
/// Largest body, in bytes: tokens are far smaller.
const BODY_MAX: usize = 256 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub struct Admin {
    /// The sessions.
    pub keeper: Keeper,
    /// What is counted.
    pub metrics: Metrics,
    /// How servers are asked for a login.
    http: tenure_http::Client,
    /// Ends the event streams, which end by nothing else.
    stop: CancellationToken,
    /// Where the pages of the codes are.
    pages: Url,
    /// Where the gateway is, for the status page.
    pub gateway: Url,
    /// Where the sessions are configured, for the status page.
    pub source: String,
}

/// A refusal as the gateway words it.
pub(super) struct Refused(Box<Problem>, Url);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.response(Some(&self.1)).map(axum::body::Body::new)
    }
}

pub(super) type Answer = Result<Response, Refused>;

/// The query; one that cannot be read is refused like everything else.
struct Asked<T>(T);

impl<T: DeserializeOwned> FromRequestParts<Admin> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Refused> {
        match Query::from_request_parts(parts, admin).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(admin.refuse(Problem::request(
                StatusCode::BAD_REQUEST,
                "query",
                Who::User,
                rejection.body_text(),
            ))),
        }
    }
}

#[derive(Deserialize)]
struct LogoutQuery {
    #[serde(default)]
    everywhere: bool,
}

#[derive(Deserialize)]
struct LoginQuery {
    /// Store a name and password, sealed, so that the login can be repeated.
    #[serde(default)]
    remember: bool,
}

#[derive(Deserialize)]
struct TokenQuery {
    min_valid: Option<String>,
}

#[derive(Deserialize)]
struct EventsQuery {
    session: Option<String>,
    after: Option<u64>,
}

impl Admin {
    /// Handlers over this keeper, whose events are counted from now on.
    pub fn new(
        keeper: Keeper,
        http: tenure_http::Client,
        stop: CancellationToken,
        urls: &Urls,
        source: String,
    ) -> Self {
        Self {
            metrics: Metrics::start(&keeper),
            keeper,
            http,
            stop,
            pages: urls.admin.clone(),
            gateway: urls.gateway.clone(),
            source,
        }
    }

    /// Everything on the admin address.
    pub fn router(&self) -> Router {
        router(api().into_iter().chain(pages()))
            .with_state(self.clone())
            .layer(middleware::from_fn_with_state(
                self.clone(),
                only_this_machine,
            ))
    }

    /// The API on the socket: with tokens, for the same user only.
    pub fn socket_router(&self) -> Router {
        router(api().into_iter().chain(tokens()))
            .with_state(self.clone())
            .layer(middleware::from_fn_with_state(self.clone(), only_this_user))
    }

    fn session(&self, name: &str) -> Result<Session, Refused> {
        self.keeper.session(name).ok_or_else(|| {
            let known: Vec<_> = self
                .keeper
                .sessions()
                .iter()
                .map(|session| session.name().to_owned())
                .collect();
            let detail = format!(
                "there is no session \"{name}\"; known: {}",
                known.join(", ")
            );
            self.refuse(Problem::request(
                StatusCode::NOT_FOUND,
                "unknown_session",
                Who::User,
                detail,
            ))
        })
    }

    pub(super) fn refuse(&self, problem: Problem) -> Refused {
        Refused(Box::new(problem), self.pages.clone())
    }

    fn failed(&self, session: &Session, failure: Failure) -> Refused {
        self.refuse(Problem::no_token(
            session.name(),
            session.status().state,
            failure,
            RETRY_AFTER_S,
        ))
    }
}

/// A route: its method and path as `openapi.json` names them, and who answers.
pub(super) type Route = (&'static str, &'static str, MethodRouter<Admin>);

/// Served on the admin address and on the socket.
pub(super) fn api() -> Vec<Route> {
    vec![
        ("get", "/api/v1/sessions", get(sessions)),
        ("get", "/api/v1/sessions/{session}", get(session)),
        ("post", "/api/v1/sessions/{session}/refresh", post(refresh)),
        ("post", "/api/v1/sessions/{session}/login", post(login)),
        ("post", "/api/v1/sessions/{session}/logout", post(logout)),
        ("get", "/api/v1/events", get(events)),
        ("post", "/api/v1/classify", post(classify::answer)),
        ("get", "/api/v1/openapi.json", get(openapi::show)),
        ("get", "/metrics", get(metrics::show)),
        ("get", "/healthz", get(|| async { "ok\n" })),
        ("get", "/readyz", get(ready)),
    ]
}

/// Served on the admin address only.
pub(super) fn pages() -> Vec<Route> {
    vec![
        ("get", "/", get(page::status)),
        ("get", "/style.css", get(page::style)),
        ("get", "/error-codes", get(code_pages::codes_en)),
        ("get", "/error-codes/{code}", get(code_pages::code_en)),
        ("get", "/nl/error-codes", get(code_pages::codes_nl)),
        ("get", "/nl/error-codes/{code}", get(code_pages::code_nl)),
    ]
}

/// Served on the socket only.
pub(super) fn tokens() -> Vec<Route> {
    vec![("get", "/api/v1/sessions/{session}/token", get(token))]
}

fn router(routes: impl Iterator<Item = Route>) -> Router<Admin> {
    routes
        .fold(Router::new(), |router, (_, path, answers)| {
            router.route(path, answers)
        })
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

/// Refuses foreign names (DNS rebinding) and requests of web pages from elsewhere.
async fn only_this_machine(
    State(admin): State<Admin>,
    ConnectInfo(_): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let address = match host::address(request.method(), request.uri(), request.headers(), false) {
        Ok(address) => address,
        Err(problem) => return private(admin.refuse(problem).into_response()),
    };
    if address.session.is_some() {
        // `shop.localhost` is where the shop's own pages live: they must not read what is here.
        let detail = "this address is for the gateway; use 127.0.0.1 or localhost";
        return admin
            .refuse(Problem::request(
                StatusCode::MISDIRECTED_REQUEST,
                "host",
                Who::User,
                detail,
            ))
            .into_response();
    }
    if let Err(problem) = host::same_origin(request.headers(), &address) {
        return admin.refuse(problem).into_response();
    }
    private(next.run(request).await)
}

/// Refuses every other user of this machine.
async fn only_this_user(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if !peer.is_self() {
        let detail = "this socket is for the user tenure runs as";
        return admin
            .refuse(Problem::request(
                StatusCode::FORBIDDEN,
                "other_user",
                Who::Operator,
                detail,
            ))
            .into_response();
    }
    private(next.run(request).await)
}

/// Nothing here is to be kept by anybody, framed, or taken for something else. A page with a form of its own says
/// so itself.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fields = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::SERVER, own::ADMIN),
    ];
    for (name, value) in fields {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(page::NO_FORMS);
    response
}

async fn sessions(State(admin): State<Admin>) -> Response {
    let statuses: Vec<_> = admin
        .keeper
        .sessions()
        .iter()
        .map(Session::status)
        .collect();
    Json(json!({ "sessions": statuses })).into_response()
}

async fn session(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    Ok(Json(admin.session(&name)?.status()).into_response())
}

async fn refresh(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let session = admin.session(&name)?;
    session
        .refresh()
        .await
        .map_err(|failure| admin.failed(&session, failure))?;
    Ok(Json(session.status()).into_response())
}

async fn logout(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Asked(query): Asked<LogoutQuery>,
) -> Answer {
    let session = admin.session(&name)?;
    let keeper = admin.keeper.clone();
    let done = owned(async move { keeper.logout(&name, query.everywhere).await })
        .await
        .map_err(|failure| admin.failed(&session, failure))?;
    let kept = match done {
        LoggedOut::NothingLeft => "no token was left to revoke at the server",
        LoggedOut::NoRevocation => "its server names no way to revoke tokens",
        LoggedOut::AtServer | LoggedOut::AtServerBefore | LoggedOut::Here | LoggedOut::NeverIn => {
            ""
        }
    };
    if query.everywhere && !kept.is_empty() {
        // Nobody is to believe that the server ended what it was not asked to end.
        let detail = format!(
            "the session is logged out here, but {kept}: it may still accept those it gave"
        );
        let problem = Problem::request(StatusCode::CONFLICT, "not_revoked", Who::Operator, detail);
        return Err(admin.refuse(problem.of(session.name())));
    }
    Ok(Json(session.status()).into_response())
}

/// The body is what `tenure login S --import` takes.
async fn login(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Asked(query): Asked<LoginQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let session = admin.session(&name)?;
    let unreadable = |status, detail| {
        admin.refuse(Problem::request(status, "import_unreadable", Who::User, detail).of(&name))
    };
    let body = body.map_err(|rejection| unreadable(rejection.status(), unread(&rejection)))?;
    // The text stays where secrets are wiped.
    let json = Secret::new(std::str::from_utf8(&body).map_err(|_| {
        unreadable(
            StatusCode::BAD_REQUEST,
            "the body is not UTF-8 text; send a token response as JSON".to_owned(),
        )
    })?);
    let import = login::import(session.config(), json.expose())
        .map_err(|failure| unreadable(StatusCode::BAD_REQUEST, failure.detail))?;
    let (keeper, http, at) = (admin.keeper.clone(), admin.http.clone(), session.clone());
    owned(async move { log_in(&keeper, &http, &at, import, query.remember).await })
        .await
        .map_err(|failure| admin.refuse(not_logged_in(&name, failure)))?;
    Ok(Json(session.status()).into_response())
}

async fn log_in(
    keeper: &Keeper,
    http: &tenure_http::Client,
    session: &Session,
    import: Import,
    remember: bool,
) -> Result<(), Failure> {
    let new = match import {
        Import::Login(new) => new,
        Import::Password { username, password } => {
            login::password(http, session.config(), &username, &password, remember).await?
        }
    };
    keeper.login(session.name(), new).await?;
    Ok(())
}

/// Runs what changes something in a task of its own: a caller that hangs up does not stop it halfway (I3).
async fn owned<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        // Nothing aborts it; it can only have panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A login that was refused, or could not be made. The session is as it was.
fn not_logged_in(session: &str, failure: Failure) -> Problem {
    let passing = matches!(failure.heal, Heal::RetryLater | Heal::Refresh);
    let status = if passing || failure.code == Code::StoreUnavailable {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::FORBIDDEN
    };
    Problem {
        status,
        failure: Box::new(failure),
        session: Some(session.to_owned()),
        retry_after: passing.then_some(RETRY_AFTER_S),
    }
}

async fn token(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Asked(query): Asked<TokenQuery>,
) -> Answer {
    let session = admin.session(&name)?;
    let min_valid = match query.min_valid.as_deref() {
        None => MIN_VALID,
        Some(text) => seconds(text).map_err(|wrong| {
            admin.refuse(Problem::request(
                StatusCode::BAD_REQUEST,
                "min_valid",
                Who::User,
                format!("min_valid: {wrong}"),
            ))
        })?,
    };
    let token = session
        .token(min_valid)
        .await
        .map_err(|failure| admin.failed(&session, failure))?;
    let answer = json!({
        "access_token": token.secret.expose(),
        "token_type": "Bearer",
        "expires_in": token.expires_in(),
        "generation": token.generation,
    });
    Ok(Json(answer).into_response())
}

/// Plain seconds, or a duration with units.
fn seconds(text: &str) -> Result<Duration, value::Wrong> {
    text.parse()
        .map(Duration::from_secs)
        .or_else(|_| value::duration(text))
}

/// Ready when the store can be read and written: without it no session can be kept.
async fn ready(State(admin): State<Admin>) -> Answer {
    let store = admin.keeper.store();
    let works = match store.list().await {
        Ok(_) => store.probe().await,
        Err(error) => Err(error),
    };
    match works {
        Ok(()) => Ok("ready\n".into_response()),
        Err(error) => {
            let mut problem =
                Problem::request(StatusCode::SERVICE_UNAVAILABLE, "store", Who::Operator, "");
            *problem.failure = error.failure();
            Err(admin.refuse(problem))
        }
    }
}

async fn not_found(State(admin): State<Admin>, request: Request) -> Response {
    if let Some(answer) = code_pages::astray(&admin, request.uri(), request.headers()) {
        return answer;
    }
    let (cause, detail) = if is_token(request.uri().path()) {
        (
            "socket_only",
            "tokens are given out on the unix socket in the data directory only: \
             curl --unix-socket tenure.sock http://localhost/api/v1/sessions/SESSION/token; or type `tenure token SESSION`",
        )
    } else {
        (
            "unknown_path",
            "there is nothing at this address; the status page is at /, and /api/v1/openapi.json describes the local API",
        )
    };
    let problem = Problem::request(StatusCode::NOT_FOUND, cause, Who::User, detail);
    admin.refuse(problem).into_response()
}

/// Whether somebody asks here for what the socket alone gives.
fn is_token(path: &str) -> bool {
    path.strip_prefix("/api/v1/sessions/")
        .and_then(|rest| rest.strip_suffix("/token"))
        .is_some_and(|session| !session.is_empty() && !session.contains('/'))
}

/// Why a body was not read, with the limit where it is too large.
pub(super) fn unread(rejection: &BytesRejection) -> String {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let limit = BODY_MAX / 1024;
        return format!("the body is larger than {limit} KiB, the most that is taken here");
    }
    rejection.body_text()
}

async fn wrong_method(State(admin): State<Admin>) -> Refused {
    admin.refuse(Problem::request(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        Who::User,
        "this address takes another method; the field Allow names it",
    ))
}

/// Events as they happen, in this and every other process on the store. A reader that comes back with
/// `Last-Event-ID` (or `?after=`) misses none; without it the stream begins now.
async fn events(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Asked(query): Asked<EventsQuery>,
) -> Answer {
    let resumed = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let mut after = resumed.or(query.after).unwrap_or(u64::MAX);
    if after == u64::MAX {
        after = 0;
        if let Err(error) = latest(&**admin.keeper.store(), None, 0, &mut after).await {
            let mut problem =
                Problem::request(StatusCode::SERVICE_UNAVAILABLE, "store", Who::Operator, "");
            *problem.failure = error.failure();
            return Err(admin.refuse(problem));
        }
    }
    Ok(Sse::new(stream(admin, query.session, after))
        .keep_alive(KeepAlive::default())
        .into_response())
}

fn stream(
    admin: Admin,
    session: Option<String>,
    after: u64,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let changes = admin.keeper.store().changes();
    let state = (
        admin,
        session,
        after,
        changes,
        std::collections::VecDeque::<EventRow>::new(),
    );
    futures_util::stream::unfold(
        state,
        |(admin, session, mut after, mut changes, mut waiting)| async move {
            loop {
                if let Some(row) = waiting.pop_front() {
                    let event = Event::default()
                        .id(row.id.to_string())
                        .event(row.kind.clone());
                    // A row is text and numbers: there is nothing that could fail. If it did, the event says nothing.
                    let event = event.json_data(&row).unwrap_or_default();
                    return Some((Ok(event), (admin, session, after, changes, waiting)));
                }
                changes.mark_unchanged();
                match admin
                    .keeper
                    .store()
                    .events(after, session.as_deref(), PAGE)
                    .await
                {
                    Ok(rows) => {
                        after = rows.last().map_or(after, |row| row.id);
                        waiting.extend(rows);
                    }
                    Err(error) => tracing::warn!(%error, "events cannot be read"),
                }
                if waiting.is_empty() {
                    tokio::select! {
                        () = admin.stop.cancelled() => return None,
                        changed = changes.changed() => if changed.is_err() { return None },
                    }
                }
            }
        },
    )
}
