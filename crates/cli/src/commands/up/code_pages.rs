//! The pages of the codes: what a code means, the search, and where somebody who lost their way is led.

use axum::extract::{Path, Query as UriQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tenure_core::{Code, Who};
use tenure_diagnose::catalogue::{self, Lang};
use tenure_gateway::Problem;

use super::admin::Admin;
use super::page::html;
use crate::codes::place::{Place, Topic};
use crate::codes::{self, site};

/// Longest query that is looked at, in characters.
const QUERY_MAX: usize = 500;

/// As every page, and its search may be sent to where it came from.
const OWN_FORM: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

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
pub async fn code_en(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    code(&admin, Lang::En, &name, &headers)
}

/// `/nl/error-codes/API02002`, `/nl/error-codes/API02002.md`.
pub async fn code_nl(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    code(&admin, Lang::Nl, &name, &headers)
}

/// An address below the codes that is no page: with a slash too many it leads to its page; and what somebody types
/// who knows the site of files, or half of an address.
pub fn astray(admin: &Admin, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    match uri.path().trim_end_matches('/') {
        "/nl" | "/nl/index.html" => return Some(moved("/nl/error-codes")),
        file @ ("/codes.json" | "/failure.schema.json") => {
            return Some(moved(&format!("/error-codes{file}")));
        }
        _ => {}
    }
    let (lang, rest) = match uri.path().strip_prefix("/nl/error-codes/") {
        Some(rest) => (Lang::Nl, rest),
        None => (Lang::En, uri.path().strip_prefix("/error-codes/")?),
    };
    let name = rest.trim_matches('/');
    if name.is_empty() || name == "index.html" {
        let query = uri.query().map(|query| format!("?{query}"));
        let index = at(lang, Topic::Index).path();
        return Some(moved(&format!("/{index}{}", query.unwrap_or_default())));
    }
    let name = name.strip_suffix("/index.html").unwrap_or(name);
    Some(code(admin, lang, &format!("{name}/"), headers))
}

fn at(lang: Lang, topic: Topic) -> Place {
    Place {
        lang,
        topic,
        files: false,
    }
}

fn index(lang: Lang, query: &str) -> Response {
    // Longer than any message: it is cut, not refused.
    let query: String = query.chars().take(QUERY_MAX).collect();
    let place = at(lang, Topic::Index);
    let meaning = catalogue::search(&query, lang);
    let close = catalogue::closest_to_unknown(&query);
    with_form(html(match close.filter(|_| meaning.found.is_empty()) {
        Some(close) => codes::html::unknown(place, &query, &close),
        None => codes::html::index(place, &query, &meaning),
    }))
}

fn code(admin: &Admin, lang: Lang, name: &str, headers: &HeaderMap) -> Response {
    match name {
        "codes.json" => return axum::Json(site::codes_json()).into_response(),
        "failure.schema.json" => return axum::Json(catalogue::failure_schema()).into_response(),
        _ => {}
    }
    let plain = name.trim_end_matches('/');
    if plain.eq_ignore_ascii_case("index.html") {
        return moved(&format!("/{}", at(lang, Topic::Index).path()));
    }
    let plain = match plain
        .len()
        .checked_sub(5)
        .and_then(|at| plain.split_at_checked(at))
    {
        Some((stem, end)) if end.eq_ignore_ascii_case(".html") => stem,
        _ => plain,
    };
    let (stem, markdown) = match plain
        .len()
        .checked_sub(3)
        .and_then(|at| plain.split_at_checked(at))
    {
        Some((stem, end)) if end.eq_ignore_ascii_case(".md") => (stem, true),
        _ => (plain, false),
    };
    let Some(code) = Code::parse(&stem.to_ascii_uppercase()) else {
        return unknown(admin, lang, plain, headers);
    };
    let place = at(lang, Topic::Code(code));
    let canonical = if markdown {
        format!("{code}.md")
    } else {
        code.to_string()
    };
    if name != canonical {
        let end = if markdown { ".md" } else { "" };
        return moved(&format!("/{}{end}", place.path()));
    }
    if markdown {
        let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
        return (kind, catalogue::page(code, lang)).into_response();
    }
    with_form(html(codes::html::code(place, code)))
}

/// Leads to where it is, on this address.
fn moved(to: &str) -> Response {
    (
        StatusCode::PERMANENT_REDIRECT,
        [(header::LOCATION, to.to_owned())],
    )
        .into_response()
}

/// There is no such code: a person is shown the search and the closest codes, a program the same as a problem.
fn unknown(admin: &Admin, lang: Lang, name: &str, headers: &HeaderMap) -> Response {
    let name: String = name.chars().take(QUERY_MAX).collect();
    let close = catalogue::closest(&name);
    if !wants_html(headers) {
        let close: Vec<&str> = close.iter().map(|code| code.as_str()).collect();
        let problem = Problem::request(
            StatusCode::NOT_FOUND,
            "unknown_code",
            Who::User,
            format!(
                "there is no code {name:?}; closest: {}; all are at /error-codes/codes.json",
                close.join(", ")
            ),
        );
        return admin.refuse(problem).into_response();
    }
    let page = codes::html::unknown(at(lang, Topic::Index), &name, &close);
    (StatusCode::NOT_FOUND, with_form(html(page))).into_response()
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains("text/html"))
}

fn with_form(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, OWN_FORM);
    response
}
