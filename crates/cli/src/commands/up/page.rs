//! The pages: status, and what a code means. Server-rendered, no script.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tenure_core::Code;
use tenure_keeper::{Session, Status};

use super::admin::Admin;
use super::codes;
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
    code: &'static str,
    page: String,
    title: String,
    detail: String,
    command: Option<String>,
}

struct EventLine {
    at: String,
    session: String,
    kind: String,
    text: String,
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage {
    code: &'static str,
    title: &'static str,
    class: &'static str,
    heal: &'static str,
    advice: &'static str,
    text: Option<&'static str>,
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
    html(StatusCode::OK, &page)
}

fn row(status: Status) -> SessionRow {
    let told = |seconds: Option<i64>| seconds.map_or_else(|| "–".to_owned(), relative);
    SessionRow {
        state: status.state.as_str(),
        unsaved: status.unsaved,
        generation: status.generation.0,
        access: told(status.access_expires_in),
        next_refresh: told(status.next_refresh_in),
        last_refresh: told(status.last_refresh.map(|ago| -ago)),
        ends: told(status.session_ends_in),
        name: status.name,
        provider: status.provider,
        failure: status.failure.map(|failure| FailureLine {
            code: failure.code.as_str(),
            page: failure.page,
            title: failure.title,
            detail: failure.detail,
            command: failure.command,
        }),
    }
}

/// `/style.css`.
pub async fn style() -> Response {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../../../templates/style.css"),
    )
        .into_response()
}

/// `/error-codes/API02002`: the code's page, or what is known of the code.
pub async fn error_code(Path(code): Path<String>) -> Response {
    let Some(code) = Code::parse(&code) else {
        return (StatusCode::NOT_FOUND, "there is no such code\n").into_response();
    };
    let (class, heal) = codes::meaning(code);
    html(
        StatusCode::OK,
        &CodePage {
            code: code.as_str(),
            title: code.title(),
            class: class.as_str(),
            heal: heal.as_str(),
            advice: codes::advice(heal),
            text: tenure_diagnose::page(code.as_str(), "en"),
        },
    )
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
