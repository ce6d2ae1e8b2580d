//! The pages: status, and what a code means. Server-rendered, no script.

use askama::Template;
use axum::extract::{Path, Query as UriQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use tenure_core::{Code, Failure};
use tenure_diagnose::catalogue::{self, Lang};
use tenure_keeper::{Session, Status};

use super::admin::Admin;
use crate::codes::place::{Place, Topic};
use crate::codes::{self, site};
use crate::commands::events::latest;
use crate::output::time::{clock, relative};

/// Longest query that is looked at, in characters.
const QUERY_MAX: usize = 500;
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
        access: told(status.access_expires_in),
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

/// `/style.css`.
pub async fn style() -> Response {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        site::STYLE,
    )
        .into_response()
}

/// What is searched for.
#[derive(Deserialize)]
pub struct Query {
    #[serde(default)]
    q: String,
}

/// `/error-codes?q=…`: all codes, and what was found.
pub async fn codes_en(query: UriQuery<Query>) -> Response {
    index(Lang::En, &query.q)
}

/// `/nl/error-codes?q=…`.
pub async fn codes_nl(query: UriQuery<Query>) -> Response {
    index(Lang::Nl, &query.q)
}

/// `/error-codes/API02002`, `/error-codes/API02002.md`, `/error-codes/codes.json`, `/error-codes/failure.schema.json`.
pub async fn code_en(Path(name): Path<String>) -> Response {
    code(Lang::En, &name)
}

/// `/nl/error-codes/API02002`, `/nl/error-codes/API02002.md`.
pub async fn code_nl(Path(name): Path<String>) -> Response {
    code(Lang::Nl, &name)
}

fn index(lang: Lang, query: &str) -> Response {
    let place = Place {
        lang,
        topic: Topic::Index,
        files: false,
    };
    // Longer than any message: it is cut, not refused.
    let query: String = query.chars().take(QUERY_MAX).collect();
    let found = catalogue::search(&query, lang);
    html(codes::html::index(place, &query, &found))
}

fn code(lang: Lang, name: &str) -> Response {
    match name {
        "codes.json" => return axum::Json(site::codes_json()).into_response(),
        "failure.schema.json" => return axum::Json(catalogue::failure_schema()).into_response(),
        _ => {}
    }
    let (name, markdown) = match name.strip_suffix(".md") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let Some(code) = Code::parse(name) else {
        return (StatusCode::NOT_FOUND, "there is no such code\n").into_response();
    };
    if markdown {
        let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
        return (kind, catalogue::page(code, lang)).into_response();
    }
    let place = Place {
        lang,
        topic: Topic::Code(code),
        files: false,
    };
    html(codes::html::code(place, code))
}

fn html(page: askama::Result<String>) -> Response {
    match page {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
