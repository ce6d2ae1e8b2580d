//! What an API's answer says about the token it was asked with, and how much of it must be seen to know.

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use tenure_diagnose::{ApiVerdict, Local, Seen, classify_api};
use tenure_http::inflate;
use tenure_http::peek::{Depth, PATIENCE, Resumed};

use crate::clock;
use crate::clocks;
use crate::session::{Session, Token};

/// Who reads the answer, by what the request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The request asks for a web page.
    Person,
    /// It asks for anything else, or does not say.
    Program,
}

impl Reader {
    /// The reader of the answer to a request with these fields.
    pub fn of(asked: &HeaderMap) -> Self {
        let names_page = asked
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|one| bare(one).eq_ignore_ascii_case("text/html"));
        if names_page {
            Self::Person
        } else {
            Self::Program
        }
    }
}

impl Session {
    /// Whether an answer with this status may refuse the token.
    pub fn may_refuse(&self, status: StatusCode) -> bool {
        may_refuse(status, &self.config().profile.refused_statuses)
    }

    /// How far into the body one must look to judge this answer; `None` for those that cannot be about the
    /// token, which are noted as an acceptance of it where they are one.
    pub fn depth(
        &self,
        token: &Token,
        reader: Reader,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Depth> {
        let refused_statuses = &self.config().profile.refused_statuses;
        let depth = depth(reader, status, headers, refused_statuses);
        // A page that was asked for may be a form to log in: it neither refuses the token nor accepts it.
        let page = status == StatusCode::OK && is_page(headers);
        if depth.is_none() && status.as_u16() < 400 && !page {
            self.accepted(token.generation);
        }
        depth
    }

    /// Says what an answer to a request with `token` means. The answer comes back as it was.
    pub async fn judge<B: Body<Data = Bytes> + Unpin>(
        &self,
        token: &Token,
        response: Response<B>,
        depth: Depth,
    ) -> (Response<Resumed<B>>, Option<ApiVerdict>) {
        let (head, body) = response.into_parts();
        let mut body = Resumed::new(body);
        body.peek(depth, PATIENCE).await;
        let start = body.start();
        let seen = Seen {
            status: head.status.as_u16(),
            headers: &head.headers,
            body_start: &inflate::text(&head.headers, &start),
        };
        let local = self.local(token, &head.headers);
        let verdict = classify_api(&self.config().profile, &seen, &local);
        match &verdict {
            None if head.status.as_u16() < 400 => self.accepted(token.generation),
            Some(verdict) if !verdict.refused => self.observed(token.generation, &verdict.failure),
            _ => {}
        }
        (Response::from_parts(head, body), verdict)
    }

    fn local(&self, token: &Token, answer: &HeaderMap) -> Local {
        let snapshot = self.snapshot();
        let now = clock::mono();
        Local {
            token_sent: true,
            token_expired: token.expires.map(|end| end <= now),
            clock_offset_ms: offset_ms(answer),
            has_refresh: snapshot.renewable && !snapshot.ended,
            refresh_expired: snapshot.refresh_expires.is_some_and(|end| end <= now),
            issuer: self.config().endpoints.known().issuer.clone(),
            session: self.name().to_owned(),
            now_s: Some(clock::wall().0 / 1_000),
            ..Local::default()
        }
    }
}

/// How far the answer's own clock is from ours, as far as whole seconds tell; 0 where an answer may be old.
fn offset_ms(answer: &HeaderMap) -> i64 {
    let date = clocks::date_s(answer).filter(|_| !answer.contains_key(AGE));
    date.map_or(0, |date| date.saturating_mul(1_000) - clock::wall().0)
}

fn may_refuse(status: StatusCode, refused_statuses: &[u16]) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || refused_statuses.contains(&status.as_u16())
}

fn depth(
    reader: Reader,
    status: StatusCode,
    headers: &HeaderMap,
    refused_statuses: &[u16],
) -> Option<Depth> {
    let may_refuse = may_refuse(status, refused_statuses);
    if status.is_client_error() || status.is_server_error() {
        return may_refuse.then_some(Depth::Whole);
    }
    if status.is_redirection() && headers.contains_key(LOCATION) {
        // A redirect to a login page is no acceptance.
        return Some(Depth::Nothing);
    }
    // Some APIs refuse with status 200 and a JSON object, and a web page may be that of a captive portal.
    // Nothing else is held up for that, least of all a page for whoever asks for pages.
    let page = reader == Reader::Program && status == StatusCode::OK && is_page(headers);
    (page || (may_refuse && is_json(headers))).then_some(Depth::FirstFrame)
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    essence == "application/json" || essence.ends_with("+json")
}

fn is_page(headers: &HeaderMap) -> bool {
    essence(headers) == "text/html"
}

/// The content type without its parameters, lower case.
fn essence(headers: &HeaderMap) -> String {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    bare(value.unwrap_or_default()).to_ascii_lowercase()
}

/// A content type without its parameters.
fn bare(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
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
                Reader::Program,
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

    #[test]
    fn a_page_is_judged_only_where_none_was_asked_for() {
        let accept = |value: &'static str| {
            Reader::of(&HeaderMap::from_iter([(
                ACCEPT,
                HeaderValue::from_static(value),
            )]))
        };
        let browser = accept("application/xhtml+xml, Text/HTML;q=0.9, */*;q=0.8");
        assert_eq!(browser, Reader::Person);
        for program in ["*/*", "application/json, text/plain, */*", ""] {
            assert_eq!(accept(program), Reader::Program, "{program}");
        }
        assert_eq!(Reader::of(&HeaderMap::new()), Reader::Program);

        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let page = HeaderMap::from_iter([(CONTENT_TYPE, html)]);
        let location = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static("/login"))]);
        let judged = |reader, status, headers| depth(reader, status, headers, &[401]);
        let (ok, found, refused) = (StatusCode::OK, StatusCode::FOUND, StatusCode::UNAUTHORIZED);
        assert_eq!(judged(Reader::Program, ok, &page), Some(Depth::FirstFrame));
        assert_eq!(judged(Reader::Person, ok, &page), None);
        assert_eq!(
            judged(Reader::Person, found, &location),
            Some(Depth::Nothing)
        );
        assert_eq!(judged(Reader::Person, refused, &page), Some(Depth::Whole));
    }
}
