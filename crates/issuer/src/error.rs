//! What an issuer can fail with: for whoever embeds it, and for clients on the wire.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tenure_core::family::{Limit, Subtype};
use tenure_core::{Class, Code, Heal};
use tenure_store::StoreError;

/// Why an issuer's own function failed.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A setting cannot be used.
    #[error("issuer setting `{name}`: {why}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What is wrong with it and what to write instead.
        why: String,
    },
    /// The database failed.
    #[error("{}", .0.with_fix())]
    Store(#[from] StoreError),
    /// A sealed key cannot be opened.
    #[error(
        "{what} in the issuer's database cannot be opened with the present store key; \
         start with the key the database was made with, or remove the database to begin anew"
    )]
    Unsealable {
        /// Which key.
        what: String,
    },
    /// A key could not be made or used.
    #[error("signing key {kid}: {why}")]
    Key {
        /// Which key.
        kid: String,
        /// What went wrong.
        why: String,
    },
    /// A next key may not sign yet, because a verifier may still hold a key set without it.
    #[error("the next signing key was published too recently; promote it in {wait_s} s")]
    TooEarly {
        /// Seconds to wait.
        wait_s: u64,
    },
    /// The named thing does not exist.
    #[error("no {kind} `{name}`; `tenure issuer {kind}s list` shows those that exist")]
    NotFound {
        /// What kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A password could not be hashed.
    #[error("the password could not be hashed: {0}")]
    Password(String),
}

/// An error answer of the protocol (RFC 6749 §5.2 and its relatives).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    /// HTTP status.
    pub status: StatusCode,
    /// The protocol's code.
    pub error: &'static str,
    /// One sentence for a person. Holds nothing the client sent but names.
    pub description: String,
    /// Tenure's code; `None` for what is not a failure (a login not finished yet).
    pub code: Option<Code>,
    /// Tenure's class.
    pub class: Class,
    /// The first step that heals it.
    pub heal: Heal,
    /// Why a family is dead, or another finer cause.
    pub subtype: Option<&'static str>,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    /// The nonce the next DPoP proof must carry.
    pub dpop_nonce: Option<String>,
}

impl OAuthError {
    fn new(
        error: &'static str,
        code: Code,
        class: Class,
        heal: Heal,
        description: impl Into<String>,
    ) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
            code: Some(code),
            class,
            heal,
            subtype: None,
            retry_after_s: None,
            dpop_nonce: None,
        }
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    fn subtype(mut self, subtype: &'static str) -> Self {
        self.subtype = Some(subtype);
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(crate) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(
            "invalid_request",
            Code::InvalidRequest,
            Class::BadRequest,
            Heal::FixConfig,
            description,
        )
    }

    pub(crate) fn invalid_client(description: impl Into<String>) -> Self {
        Self::new(
            "invalid_client",
            Code::ClientRejected,
            Class::ClientInvalid,
            Heal::FixConfig,
            description,
        )
        .status(StatusCode::UNAUTHORIZED)
    }

    /// RFC 7591 §3.2.2.
    pub(crate) fn invalid_redirect_uri(description: impl Into<String>) -> Self {
        Self {
            error: "invalid_redirect_uri",
            ..Self::invalid_request(description)
        }
    }

    /// RFC 7591 §3.2.2.
    pub(crate) fn invalid_client_metadata(description: impl Into<String>) -> Self {
        Self {
            error: "invalid_client_metadata",
            ..Self::invalid_request(description)
        }
    }

    /// RFC 7591 §3: whoever registers without a good initial access token.
    pub(crate) fn registration_refused(description: &str) -> Self {
        Self {
            error: "invalid_token",
            ..Self::invalid_client(description)
        }
    }

    pub(crate) fn unauthorized_client(description: impl Into<String>) -> Self {
        Self::new(
            "unauthorized_client",
            Code::ClientNotAllowed,
            Class::ClientUnauthorized,
            Heal::FixConfig,
            description,
        )
    }

    pub(crate) fn unsupported_grant_type() -> Self {
        let text =
            "This grant type does not exist here; the discovery document lists those that do.";
        Self::new(
            "unsupported_grant_type",
            Code::InvalidRequest,
            Class::BadRequest,
            Heal::FixConfig,
            text,
        )
    }

    pub(crate) fn invalid_scope(scope: &str) -> Self {
        let text = format!("The scope `{scope}` is unknown or goes beyond what was granted.");
        Self::new(
            "invalid_scope",
            Code::InvalidRequest,
            Class::BadRequest,
            Heal::FixConfig,
            text,
        )
    }

    pub(crate) fn refresh_unknown() -> Self {
        Self::new(
            "invalid_grant",
            Code::RefreshInvalid,
            Class::RefreshInvalid,
            Heal::Relogin,
            "The refresh token is unknown here.",
        )
        .subtype("unknown")
    }

    pub(crate) fn refresh_expired(limit: Limit, by_ms: u64) -> Self {
        let (why, subtype) = match limit {
            Limit::Idle => ("was not used for too long", "idle"),
            Limit::Absolute => ("reached the end of its login", "absolute"),
        };
        let text = format!(
            "The refresh token {why}; it expired {} s ago.",
            by_ms.div_ceil(1000)
        );
        Self::new(
            "invalid_grant",
            Code::RefreshExpired,
            Class::RefreshExpired,
            Heal::Relogin,
            text,
        )
        .subtype(subtype)
    }

    pub(crate) fn refresh_revoked(subtype: Subtype) -> Self {
        let text = match subtype {
            Subtype::ClientRequest => "The session was logged out.",
            Subtype::Administrator => {
                "The session was ended by an administrator or a changed password."
            }
            Subtype::CodeReplayed => {
                "The session was ended because its authorization code was used twice."
            }
            _ => "The session was ended because one of its refresh tokens was used by two holders.",
        };
        Self::new(
            "invalid_grant",
            Code::RefreshRevoked,
            Class::RefreshRevoked,
            Heal::Relogin,
            text,
        )
        .subtype(subtype.as_str())
    }

    pub(crate) fn refresh_reused(subtype: Subtype) -> Self {
        let text = match subtype {
            Subtype::StaleGeneration => {
                "The refresh token was replaced at least two generations ago."
            }
            Subtype::SuccessorUsed => "The refresh token was replaced and its successor is in use.",
            _ => "Replaced refresh tokens came back late too often.",
        };
        let text = format!("{text} The session has been ended.");
        Self::new(
            "invalid_grant",
            Code::RefreshReused,
            Class::RefreshReused,
            Heal::Relogin,
            text,
        )
        .subtype(subtype.as_str())
    }

    pub(crate) fn wrong_client() -> Self {
        Self::new(
            "invalid_grant",
            Code::ClientNotAllowed,
            Class::ClientUnauthorized,
            Heal::FixConfig,
            "This was issued to another client. Nothing was spent.",
        )
        .subtype("wrong_client")
    }

    pub(crate) fn wrong_binding() -> Self {
        let text = "This is bound to another key: the DPoP proof is missing or made with another one. Nothing was spent.";
        Self::new(
            "invalid_grant",
            Code::ClientNotAllowed,
            Class::ClientUnauthorized,
            Heal::FixConfig,
            text,
        )
        .subtype("wrong_binding")
    }

    /// RFC 9449 §5.
    pub(crate) fn invalid_dpop_proof(description: &str) -> Self {
        Self::new(
            "invalid_dpop_proof",
            Code::InvalidRequest,
            Class::BadRequest,
            Heal::FixConfig,
            crate::params::printable_text(description),
        )
    }

    /// RFC 9449 §8: the same request again, with this nonce in its proof.
    pub(crate) fn use_dpop_nonce(nonce: String) -> Self {
        let text = "The DPoP proof must carry the nonce of the DPoP-Nonce header.";
        Self {
            dpop_nonce: Some(nonce),
            ..Self::new(
                "use_dpop_nonce",
                Code::InvalidRequest,
                Class::BadRequest,
                Heal::RetryLater,
                text,
            )
        }
    }

    pub(crate) fn account_disabled() -> Self {
        Self::new(
            "invalid_grant",
            Code::AccountDisabled,
            Class::AccountDisabled,
            Heal::ContactAdmin,
            "The account is disabled.",
        )
    }

    pub(crate) fn invalid_code(description: &str) -> Self {
        Self::new(
            "invalid_grant",
            Code::InvalidCredentials,
            Class::LoginRejected,
            Heal::Relogin,
            description,
        )
    }

    pub(crate) fn login_rejected() -> Self {
        Self::invalid_code("The user name or the password is wrong.")
    }

    pub(crate) fn throttled(seconds: u64) -> Self {
        let text = format!("Too many attempts; try again in {seconds} s.");
        Self::new(
            "temporarily_unavailable",
            Code::RateLimited,
            Class::RateLimited,
            Heal::RetryLater,
            text,
        )
        .status(StatusCode::TOO_MANY_REQUESTS)
        .retry_after(seconds)
    }

    /// A device's login that is not finished (RFC 8628 §3.5); not a failure.
    pub(crate) fn device_waits(error: &'static str, description: &str) -> Self {
        Self {
            code: None,
            ..Self::new(
                error,
                Code::Unrecognised,
                Class::NotAuth,
                Heal::RetryLater,
                description,
            )
        }
    }

    pub(crate) fn device_expired() -> Self {
        let text = "The device code expired before anybody entered it.";
        Self::new(
            "expired_token",
            Code::InvalidCredentials,
            Class::LoginRejected,
            Heal::Relogin,
            text,
        )
    }

    pub(crate) fn access_denied() -> Self {
        let text = "The person refused the login.";
        Self::new(
            "access_denied",
            Code::ConsentRequired,
            Class::ConsentRequired,
            Heal::Relogin,
            text,
        )
    }

    pub(crate) fn unavailable() -> Self {
        let text = "The server cannot reach its database; nothing was spent that a retry would not give again.";
        Self::new(
            "temporarily_unavailable",
            Code::WebsiteUnavailable,
            Class::ServerUnavailable,
            Heal::RetryLater,
            text,
        )
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .retry_after(1)
    }

    pub(crate) fn server_error() -> Self {
        let text = "The server failed. The same request may be tried again.";
        Self::new(
            "server_error",
            Code::ServerError,
            Class::ServerError,
            Heal::RetryLater,
            text,
        )
        .status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The JSON object of RFC 6749 §5.2, with `error_uri` below `pages` and the `tenure` member.
    pub(crate) fn body(&self, pages: &str) -> Value {
        let mut body = json!({ "error": self.error, "error_description": self.description });
        if let Some(code) = self.code {
            body["error_uri"] = format!("{pages}{code}").into();
        }
        body["tenure"] = json!({ "code": self.code, "class": self.class, "heal": self.heal });
        if let Some(subtype) = self.subtype {
            body["tenure"]["subtype"] = subtype.into();
        }
        body
    }

    /// The whole answer.
    pub(crate) fn response(&self, pages: &str) -> Response {
        let mut response = (self.status, axum::Json(self.body(pages))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if let Some(nonce) = self.dpop_nonce.as_deref().map(HeaderValue::from_str) {
            // Base64url is always a valid value.
            headers.extend(
                nonce
                    .ok()
                    .map(|nonce| (HeaderName::from_static("dpop-nonce"), nonce)),
            );
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"tenure\", charset=\"UTF-8\""),
            );
        }
        response
    }
}

impl From<IssuerError> for OAuthError {
    /// The client learns that the server failed; the operator reads why.
    fn from(error: IssuerError) -> Self {
        tracing::error!(%error, "the issuer failed");
        match error {
            IssuerError::Store(_) => Self::unavailable(),
            _ => Self::server_error(),
        }
    }
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        IssuerError::Store(error).into()
    }
}
