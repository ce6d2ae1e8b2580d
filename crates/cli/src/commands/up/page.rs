//! The status page, and what all pages share. Server-rendered, no script.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tenure_core::Failure;
use tenure_keeper::{Session, Status};

use super::admin::Admin;
use crate::codes::site;
use crate::commands::events::latest;
use crate::output::time::{clock, relative};

/// How many of the latest events the page shows.
const EVENTS: usize = 20;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    gateway: String,
    source: String,
    version: &'static str,
    sessions: Vec<SessionRow>,
    events: Vec<EventLine>,
    store_error: Option<String>,
}

struct SessionRow {
    name: String,
    provider: String,
    state: &'static str,
    unsaved: bool,
    generation: u64,
    access: String,
    next_refresh: String,
    last_refresh: String,
    ends: String,
    failure: Option<FailureLine>,
}

struct FailureLine {
    /// What is shown, then what it comes from.
    chain: Vec<CodeLink>,
    detail: String,
    command: Option<String>,
}

struct CodeLink {
    code: &'static str,
    page: String,
    title: String,
}

struct EventLine {
    at: String,
    session: String,
    kind: String,
    text: String,
}

/// `/`.
pub async fn status(State(admin): State<Admin>) -> Response {
    let mut last = 0;
    let (events, store_error) = match latest(&**admin.keeper.store(), None, EVENTS, &mut last).await
    {
        Ok(events) => (events, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let events = events.into_iter().rev().map(|event| EventLine {
        at: clock(event.at),
        session: event.session,
        kind: event.kind,
        text: event.text,
    });
    let page = StatusPage {
        gateway: admin.gateway.to_string(),
        source: admin.source.clone(),
        version: env!("CARGO_PKG_VERSION"),
        sessions: admin
            .keeper
            .sessions()
            .iter()
            .map(Session::status)
            .map(row)
            .collect(),
        events: events.collect(),
        store_error,
    };
    html(page.render())
}

fn row(status: Status) -> SessionRow {
    let told = |seconds: Option<i64>| seconds.map_or_else(|| "–".to_owned(), relative);
    SessionRow {
        state: status.state.as_str(),
        unsaved: status.unsaved,
        generation: status.generation.0,
        access: match status.access_expires_in {
            None if status.is_unused() => "not fetched yet".to_owned(),
            left => told(left),
        },
        next_refresh: told(status.next_refresh_in),
        last_refresh: told(status.last_refresh.map(|ago| -ago)),
        ends: told(status.session_ends_in),
        name: status.name,
        provider: status.provider,
        failure: status.failure.map(|failure| FailureLine {
            chain: chain(&failure),
            detail: failure.detail,
            command: failure.command,
        }),
    }
}

fn chain(failure: &Failure) -> Vec<CodeLink> {
    std::iter::successors(Some(failure), |failure| failure.because.as_deref())
        .map(|failure| CodeLink {
            code: failure.code.as_str(),
            page: failure.page.clone(),
            title: failure.title.clone(),
        })
        .collect()
}

/// What a page may do: nothing but look as it does.
pub(super) const NO_FORMS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// `/style.css`.
pub async fn style() -> Response {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        site::STYLE,
    )
        .into_response()
}

/// A page, or that it could not be made.
pub(super) fn html(page: askama::Result<String>) -> Response {
    match page {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
