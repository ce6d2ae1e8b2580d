//! What an administrator is told when something cannot be done (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::error::IssuerError;

/// An error answer.
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// A word for programs, where the status says too little.
    reason: Option<&'static str>,
    retry_after_s: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            reason: None,
            retry_after_s: None,
        }
    }

    pub(super) fn because(self, reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }

    pub(super) fn later(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    pub(super) fn no(kind: &'static str, name: &str) -> Self {
        IssuerError::NotFound {
            kind,
            name: name.to_owned(),
        }
        .into()
    }
}

impl From<IssuerError> for Problem {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::NotFound { kind, name } => Self::new(
                StatusCode::NOT_FOUND,
                format!("there is no {kind} {name:?}"),
            ),
            IssuerError::Setting { name, why } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{name}: {why}"))
            }
            IssuerError::TooEarly { wait_s } => Self::new(
                StatusCode::CONFLICT,
                "the next key was published too recently: somebody may hold a key set without it",
            )
            .because("too_early")
            .later(wait_s),
            // Whose words may name files and addresses: they are for the machine's own log.
            error @ (IssuerError::Store(_) | IssuerError::Password(_)) => {
                tracing::error!(%error, "an administrator's request failed");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database did not answer; nothing was changed. The issuer's log says why",
                )
                .later(2)
            }
            error @ (IssuerError::Unsealable { .. } | IssuerError::Key { .. }) => {
                tracing::error!(%error, "an administrator's request failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "a key could not be made or used; the issuer's log says why",
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(reason) = self.reason {
            body["reason"] = reason.into();
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"administrators\""),
            );
        }
        response
    }
}
