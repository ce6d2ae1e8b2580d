//! `POST /api/v1/classify`: what failure responses mean, as `tenure classify` says it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tenure_core::Who;
use tenure_diagnose::lines::{self, Line};
use tenure_gateway::Problem;

use super::admin::{Admin, Answer, unread};

/// One object gives one verdict, JSON Lines give one line for each.
pub async fn answer(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Answer {
    let refused = |status, detail| {
        admin.refuse(Problem::request(
            status,
            "response_unreadable",
            Who::User,
            detail,
        ))
    };
    let body = body.map_err(|rejection| refused(rejection.status(), unread(&rejection)))?;
    let text = std::str::from_utf8(&body).map_err(|_| {
        let detail = "the body is not UTF-8 text; send one response as JSON, or JSON Lines";
        refused(StatusCode::BAD_REQUEST, detail.to_owned())
    })?;
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let line = Line::of(&value)
            .map_err(|error| refused(StatusCode::BAD_REQUEST, error.to_string()))?;
        return Ok(Json(lines::shown(&line.id, &line.judge())).into_response());
    }
    if text.trim().is_empty() {
        let detail = "the body is empty; send one response as JSON, or JSON Lines";
        return Err(refused(StatusCode::BAD_REQUEST, detail.to_owned()));
    }
    Ok(each(text))
}

/// A line that cannot be read has its error in its place, as in `tenure classify`.
fn each(text: &str) -> Response {
    let mut out = String::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let verdict = lines::classify_line(line).unwrap_or_else(
            |error| json!({ "id": null, "line": number + 1, "error": error.to_string() }),
        );
        out.push_str(&verdict.to_string());
        out.push('\n');
    }
    ([(header::CONTENT_TYPE, "application/x-ndjson")], out).into_response()
}
