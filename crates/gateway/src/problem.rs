//! The gateway's own answers: `application/problem+json` (RFC 9457).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use tenure_core::session::State;
use tenure_core::{Class, Code, Evidence, Failure, Heal, Who};
use tenure_http::{Fault, FaultKind};
use url::Url;

use crate::body::Body;
use crate::headers;

/// An answer of the gateway itself.
#[derive(Clone, Debug)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// What is wrong.
    pub failure: Box<Failure>,
    /// The session it is about.
    pub session: Option<String>,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
}

/// The body, fields in the order of DESIGN §10.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: Code,
    class: Class,
    cause: &'a str,
    heal: Heal,
    who: Who,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    because: Option<&'a Failure>,
    evidence: &'a [Evidence],
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
}

impl Problem {
    /// A request that is wrong in itself.
    pub fn request(status: StatusCode, cause: &str, who: Who, detail: impl Into<String>) -> Self {
        let failure = Failure::new(
            Code::InvalidRequest,
            Class::BadRequest,
            cause,
            Heal::FixConfig,
            who,
            detail,
        )
        .with_rule(&format!("gateway.{cause}"));
        Self {
            status,
            failure: Box::new(failure),
            session: None,
            retry_after: None,
        }
    }

    /// The session has no token to give. `retry_after` is how long the keeper waits itself, in seconds.
    pub fn no_token(session: &str, state: State, failure: Failure, retry_after: u64) -> Self {
        let (status, retry_after) = match state {
            State::NeedsLogin | State::Empty => (StatusCode::UNAUTHORIZED, None),
            // It does not pass by itself, so no time is named at which to come back.
            State::NeedsOperator => (StatusCode::SERVICE_UNAVAILABLE, None),
            _ => (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after)),
        };
        Self {
            status,
            failure: Box::new(failure),
            session: Some(session.to_owned()),
            retry_after,
        }
    }

    /// The upstream gave no answer.
    pub fn upstream(session: &str, fault: &Fault) -> Self {
        let (status, code, class, heal, who) = name(fault.kind);
        let detail = format!(
            "the upstream of session {session} gave no answer: {}",
            fault.detail
        );
        let failure = Failure::new(code, class, "upstream", heal, who, detail)
            .with_evidence(
                "transport",
                format!("{:?}", fault.kind).to_lowercase(),
                "gateway",
            )
            .with_evidence("sent", fault.sent, "gateway")
            .with_rule("gateway.upstream");
        Self {
            status,
            failure: Box::new(failure),
            session: Some(session.to_owned()),
            retry_after: None,
        }
    }

    /// Names the session.
    #[must_use]
    pub fn of(mut self, session: &str) -> Self {
        self.session = Some(session.to_owned());
        self
    }

    /// Names what to type.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.failure.command = Some(command.into());
        self
    }

    /// The answer. `pages` is the address under which the code's page is served, when it is known.
    /// The failure itself is among its extensions, for callers in the same process.
    pub fn response(&self, pages: Option<&Url>) -> Response<Body> {
        let failure = &*self.failure;
        let document = Document {
            r#type: page(failure, pages),
            title: &failure.title,
            status: self.status.as_u16(),
            detail: &failure.detail,
            code: failure.code,
            class: failure.class,
            cause: &failure.cause,
            heal: failure.heal,
            who: failure.who,
            session: self.session.as_deref(),
            because: failure.because.as_deref(),
            evidence: &failure.evidence,
            command: failure.command.as_deref(),
        };
        // Strings, numbers and lists only: there is nothing that serde_json could refuse.
        let text = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::full(Bytes::from(text)));
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self.failure.clone());
        let fields = response.headers_mut();
        fields.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(
            headers::TENURE_CODE,
            HeaderValue::from_static(failure.code.as_str()),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            fields.insert(WWW_AUTHENTICATE, challenge(failure));
        }
        if let Some(seconds) = self.retry_after {
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The page of the code: absolute where the address is known.
fn page(failure: &Failure, pages: Option<&Url>) -> String {
    match pages.and_then(|base| base.join(&failure.page).ok()) {
        Some(url) => url.into(),
        None => failure.page.clone(),
    }
}

/// RFC 6750 §3; the error is ours, so it says which code it is.
fn challenge(failure: &Failure) -> HeaderValue {
    let root = failure.root();
    let text = format!(
        "Bearer realm=\"tenure\", error=\"invalid_token\", error_description=\"{} {}\"",
        root.code, root.title
    );
    // Code and title are constants without quotes or control characters.
    HeaderValue::from_str(&text)
        .unwrap_or_else(|_| HeaderValue::from_static("Bearer realm=\"tenure\""))
}

fn name(kind: FaultKind) -> (StatusCode, Code, Class, Heal, Who) {
    let bad = StatusCode::BAD_GATEWAY;
    match kind {
        FaultKind::Timeout => (
            StatusCode::GATEWAY_TIMEOUT,
            Code::ConnectionTimeout,
            Class::Timeout,
            Heal::RetryLater,
            Who::Provider,
        ),
        FaultKind::Refused => (
            bad,
            Code::ConnectionRefused,
            Class::ConnectionRefused,
            Heal::RetryLater,
            Who::Provider,
        ),
        FaultKind::Reset | FaultKind::Unprocessed => (
            bad,
            Code::ConnectionReset,
            Class::ConnectionReset,
            Heal::RetryLater,
            Who::Provider,
        ),
        FaultKind::Dns => (
            bad,
            Code::DnsFailed,
            Class::DnsFailed,
            Heal::FixConfig,
            Who::Operator,
        ),
        FaultKind::Tls => (
            bad,
            Code::TlsError,
            Class::TlsError,
            Heal::FixConfig,
            Who::Operator,
        ),
        FaultKind::Unreachable => (
            bad,
            Code::NetworkUnreachable,
            Class::NetworkUnreachable,
            Heal::RetryLater,
            Who::Operator,
        ),
        FaultKind::TooLarge | FaultKind::Other => (
            bad,
            Code::ServerError,
            Class::ServerError,
            Heal::RetryLater,
            Who::Provider,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        Failure::new(
            Code::RefreshFailed,
            Class::RefreshFailed,
            "refused",
            Heal::Relogin,
            Who::User,
            "log in again",
        )
        .with_command("tenure login shop")
        .because(Failure::new(
            Code::RefreshExpired,
            Class::RefreshExpired,
            "idle",
            Heal::Relogin,
            Who::User,
            "unused for 30 days",
        ))
    }

    fn json(response: Response<Body>) -> serde_json::Value {
        serde_json::from_slice(&response.into_body().into_full().expect("a whole body"))
            .expect("JSON")
    }

    #[test]
    fn a_session_that_needs_a_login_is_a_401_with_a_challenge() {
        for state in [State::NeedsLogin, State::Empty] {
            let response = Problem::no_token("shop", state, failure(), 7).response(None);
            assert_eq!(response.status(), 401);
            let challenge = response.headers()[WWW_AUTHENTICATE].to_str().expect("text");
            assert!(
                challenge.starts_with("Bearer ") && challenge.contains("API02009"),
                "{challenge}"
            );
            assert!(!response.headers().contains_key(RETRY_AFTER));
            let json = json(response);
            assert_eq!(json["type"], "/error-codes/API02007");
            assert_eq!(json["session"], "shop");
            assert_eq!(json["because"]["code"], "API02009");
            assert_eq!(json["command"], "tenure login shop");
        }
    }

    #[test]
    fn what_passes_is_a_503_with_a_time() {
        let response = Problem::no_token("shop", State::Expired, failure(), 7).response(None);
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (503, &HeaderValue::from_static("7"))
        );
        let response = Problem::no_token("shop", State::NeedsOperator, failure(), 7).response(None);
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers().get(RETRY_AFTER)
            ),
            (503, None)
        );
    }

    #[test]
    fn the_type_is_the_page_at_the_admin_address() {
        let pages = Url::parse("http://127.0.0.1:7879/").expect("a URL");
        let response =
            Problem::no_token("shop", State::Expired, failure(), 7).response(Some(&pages));
        assert_eq!(
            json(response)["type"],
            "http://127.0.0.1:7879/error-codes/API02007"
        );
    }

    #[test]
    fn faults_of_the_upstream_have_their_own_codes() {
        let expected = [
            (FaultKind::Timeout, 504, "API01001"),
            (FaultKind::Refused, 502, "API01002"),
            (FaultKind::Reset, 502, "API01003"),
            (FaultKind::Dns, 502, "API01004"),
            (FaultKind::Tls, 502, "API01005"),
            (FaultKind::Unreachable, 502, "API01006"),
            (FaultKind::Other, 502, "API01009"),
        ];
        for (kind, status, code) in expected {
            let fault = Fault {
                kind,
                sent: false,
                detail: "x".to_owned(),
            };
            let response = Problem::upstream("shop", &fault).response(None);
            assert_eq!(
                (
                    response.status().as_u16(),
                    response.headers()[headers::TENURE_CODE].to_str().ok()
                ),
                (status, Some(code))
            );
        }
    }
}
