//! What an answer means for the token and for the kept body.

use http::{Response, Version};
use hyper::body::Incoming;
use tenure_core::{Code, Failure};
use tenure_diagnose::ApiVerdict;
use tenure_keeper::{Reader, Session, Token};

use crate::body::Body;
use crate::headers;
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
    reader: Reader,
    replay: &Replay,
    response: Response<Incoming>,
) -> Judged {
    let response = answer(response);
    let depth = session.depth(token, reader, response.status(), response.headers());
    let Some(depth) = depth else {
        replay.accept();
        return Judged::Pass(response.map(Body::stream), None);
    };
    replay.pause();
    let (response, verdict) = session.judge(token, response, depth).await;
    let response = response.map(Body::resumed);
    match verdict {
        Some(ApiVerdict {
            failure,
            refused: true,
        }) => Judged::Refused(response, Box::new(failure)),
        verdict => {
            replay.accept();
            Judged::Pass(response, verdict.map(|verdict| verdict.failure.code))
        }
    }
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
