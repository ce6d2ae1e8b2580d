//! What both layers do with a session: where its token may go, what an answer means, what heals it.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use tenure_core::Failure;
use tenure_diagnose::{ApiVerdict, Local, Seen, classify_api};
use tenure_keeper::{AfterRefusal, Session, Token, clock};
use url::Url;

use crate::error::{NoToken, NoUpstream};
use crate::inflate;
use crate::peek::{Depth, PATIENCE, Resumed};
use crate::served::Served;

/// A session whose token may go to one origin.
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    session: Session,
    upstream: Url,
}

impl Carrier {
    pub(crate) fn new(session: Session) -> Result<Self, NoUpstream> {
        match session.config().upstream.clone() {
            Some(upstream) => Ok(Self { session, upstream }),
            None => Err(NoUpstream(session.name().to_owned())),
        }
    }

    /// Whether scheme, host and port are those of the session's upstream (I15).
    pub(crate) fn owns(&self, scheme: &str, host: Option<&str>, port: Option<u16>) -> bool {
        let port = port.or(match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        });
        let (Some(host), Some(own)) = (host, self.upstream.host_str()) else {
            return false;
        };
        scheme == self.upstream.scheme()
            && host.eq_ignore_ascii_case(own)
            && port == self.upstream.port_or_known_default()
    }

    /// The session's token; waits only when there is no valid one.
    pub(crate) async fn token(&self) -> Result<Token, NoToken> {
        self.session
            .token_to_send()
            .await
            .map_err(|failure| NoToken {
                session: self.session.name().to_owned(),
                failure: Box::new(failure),
            })
    }

    /// How far into the body one must look to judge this answer; `None` for those that cannot be about the
    /// token, which are noted as an acceptance of it where they are one.
    pub(crate) fn depth(
        &self,
        token: &Token,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Depth> {
        let depth = depth(
            status,
            headers,
            &self.session.config().profile.refused_statuses,
        );
        if depth.is_none() && status.as_u16() < 400 {
            self.session.accepted(token.generation);
        }
        depth
    }

    /// Says what an answer to a request with `token` means. The answer comes back as it was.
    pub(crate) async fn judge<B: Body<Data = Bytes> + Unpin>(
        &self,
        token: &Token,
        response: Response<B>,
        depth: Depth,
    ) -> (Response<Resumed<B>>, Option<ApiVerdict>) {
        let (head, body) = response.into_parts();
        let mut body = Resumed::new(body);
        body.peek(depth, PATIENCE).await;
        let start = body.start();
        let text = inflate::text(&head.headers, &start);
        let seen = Seen {
            status: head.status.as_u16(),
            headers: &head.headers,
            body_start: &text,
        };
        let verdict = classify_api(&self.session.config().profile, &seen, &self.local(token));
        if verdict.is_none() && head.status.as_u16() < 400 {
            self.session.accepted(token.generation);
        }
        (Response::from_parts(head, body), verdict)
    }

    fn local(&self, token: &Token) -> Local {
        let snapshot = self.session.snapshot();
        let now = clock::mono();
        Local {
            token_sent: true,
            token_expired: token.expires.map(|end| end <= now),
            has_refresh: snapshot.renewable && !snapshot.ended,
            refresh_expired: snapshot.refresh_expires.is_some_and(|end| end <= now),
            issuer: self.session.config().endpoints.known().issuer.clone(),
            session: self.session.name().to_owned(),
            now_s: Some(clock::wall().0 / 1_000),
            ..Local::default()
        }
    }

    /// After `token` was refused: a newer one to send the request again with (I12), else why there is none,
    /// where more is known than what the answer said.
    pub(crate) async fn heal(
        &self,
        token: &Token,
        refusal: &Failure,
    ) -> Result<Token, Option<Failure>> {
        match self
            .session
            .refused_because(token.generation, refusal)
            .await
        {
            AfterRefusal::Newer(newer) if newer.generation > token.generation => Ok(newer),
            AfterRefusal::Newer(_) | AfterRefusal::NotHealable => Err(None),
            AfterRefusal::Failed(failure) => Err(Some(failure)),
        }
    }

    /// Too late for this request; the next ones are to find a newer token.
    pub(crate) fn heal_for_the_next(&self, token: &Token, refusal: &Failure) {
        let (session, generation) = (self.session.clone(), token.generation);
        let refusal = refusal.clone();
        tokio::spawn(async move { drop(session.refused_because(generation, &refusal).await) });
    }

    /// What the caller is told.
    pub(crate) fn served(&self, token: &Token, replayed: bool, failure: Option<Failure>) -> Served {
        Served {
            session: self.session.name().to_owned(),
            generation: token.generation,
            replayed,
            failure: failure.map(Box::new),
        }
    }
}

fn depth(status: StatusCode, headers: &HeaderMap, refused_statuses: &[u16]) -> Option<Depth> {
    let listed = refused_statuses.contains(&status.as_u16());
    if status.is_client_error() || status.is_server_error() {
        let always = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        return (always || listed).then_some(Depth::Whole);
    }
    if status.is_redirection() && headers.contains_key(LOCATION) {
        // A redirect to a login page is no acceptance.
        return Some(Depth::Nothing);
    }
    // Some APIs refuse with status 200 and a JSON object. Nothing else is held up for that.
    (listed && is_json(headers)).then_some(Depth::FirstFrame)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_answers_that_may_be_refusals_are_held_up() {
        let none = HeaderMap::new();
        let json = HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static("Application/JSON; charset=utf-8"),
        )]);
        let location = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static("/login"))]);
        let depth = |status: u16, headers: &HeaderMap, listed: &[u16]| {
            depth(
                StatusCode::from_u16(status).expect("a status"),
                headers,
                listed,
            )
        };
        assert_eq!(depth(200, &json, &[401]), None);
        assert_eq!(depth(200, &json, &[200, 401]), Some(Depth::FirstFrame));
        assert_eq!(depth(200, &none, &[200]), None);
        assert_eq!(depth(401, &none, &[]), Some(Depth::Whole));
        assert_eq!(depth(403, &none, &[]), Some(Depth::Whole));
        assert_eq!(depth(404, &none, &[401]), None);
        assert_eq!(depth(400, &none, &[400]), Some(Depth::Whole));
        assert_eq!(depth(302, &location, &[]), Some(Depth::Nothing));
        assert_eq!(depth(304, &none, &[]), None);
    }
}
