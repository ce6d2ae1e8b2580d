//! What an answer means for the token, and how much of it must be seen to know.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Response, StatusCode, Version};
use hyper::body::Incoming;
use tenure_core::{Code, Failure};
use tenure_diagnose::{ApiVerdict, Local, Seen, classify_api};
use tenure_keeper::{Session, Token, clock};

use crate::body::Body;
use crate::headers;
use crate::inflate;
use crate::peek::{Depth, Peeked, peek};
use crate::replay::Replay;

/// An answer of the upstream, judged.
pub(crate) enum Judged {
    /// It goes to the caller.
    Pass(Response<Body>, Option<Code>),
    /// The token was refused; this is the answer if nothing heals it.
    Refused(Response<Body>, Box<Failure>),
}

/// Says what the answer means for the token. Bodies are looked into only where the status may mean a refusal.
pub(crate) async fn judge(
    session: &Session,
    token: &Token,
    replay: &Replay,
    response: Response<Incoming>,
) -> Judged {
    let status = response.status();
    let response = answer(response);
    let Some(depth) = depth(session, &response) else {
        if status.as_u16() < 400 {
            session.accepted(token.generation);
        }
        replay.accept();
        return Judged::Pass(response.map(Body::stream), None);
    };
    replay.pause();
    let (head, body) = response.into_parts();
    let peeked = peek(body, depth).await;
    let verdict = classify(session, token, status, &head.headers, &peeked);
    let response = Response::from_parts(head, peeked.into_body());
    match verdict {
        Some(ApiVerdict {
            failure,
            refused: true,
        }) => Judged::Refused(response, Box::new(failure)),
        verdict => {
            if verdict.is_none() && status.as_u16() < 400 {
                session.accepted(token.generation);
            }
            replay.accept();
            Judged::Pass(response, verdict.map(|verdict| verdict.failure.code))
        }
    }
}

/// Whether an answer with this status may refuse the token.
pub(crate) fn may_refuse(session: &Session, status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || session
            .config()
            .profile
            .refused_statuses
            .contains(&status.as_u16())
}

/// How far into the body one must look; `None` for answers that cannot be about the token.
fn depth(session: &Session, response: &Response<Incoming>) -> Option<Depth> {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        return may_refuse(session, status).then_some(Depth::Whole);
    }
    if status.is_redirection() && response.headers().contains_key(LOCATION) {
        // A redirect to a login page is no acceptance.
        return Some(Depth::Nothing);
    }
    // Some APIs refuse with status 200 and a JSON object. Nothing else is held up for that.
    let json = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let essence = value
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            essence == "application/json" || essence.ends_with("+json")
        });
    (json && may_refuse(session, status)).then_some(Depth::FirstFrame)
}

fn classify(
    session: &Session,
    token: &Token,
    status: StatusCode,
    fields: &HeaderMap,
    peeked: &Peeked,
) -> Option<ApiVerdict> {
    let snapshot = session.snapshot();
    let (mono, wall) = (clock::mono(), clock::wall());
    let body = inflate::text(fields, peeked.start());
    let seen = Seen {
        status: status.as_u16(),
        headers: fields,
        body_start: &body,
    };
    let local = Local {
        token_sent: true,
        token_expired: token.expires.map(|end| end <= mono),
        has_refresh: snapshot.renewable && !snapshot.ended,
        refresh_expired: snapshot.refresh_expires.is_some_and(|end| end <= mono),
        issuer: session.config().endpoints.known().issuer.clone(),
        session: session.name().to_owned(),
        now_s: Some(wall.0 / 1_000),
        ..Local::default()
    };
    classify_api(&session.config().profile, &seen, &local)
}

/// The upstream's answer with its fields made fit for the caller.
pub(crate) fn answer(response: Response<Incoming>) -> Response<Incoming> {
    let (mut head, body) = response.into_parts();
    headers::to_caller(&mut head.headers);
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    *response.version_mut() = Version::HTTP_11;
    response
}
