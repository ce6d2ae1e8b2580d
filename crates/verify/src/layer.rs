//! The verifier as a tower layer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Request, Response};
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

use crate::credentials::{Scheme, presented};
use crate::dpop;
use crate::refusal::Refusal;
use crate::style::Style;
use crate::verifier::{Verified, Verifier};

/// Lets requests with a good access token through, with [`Verified`] in their extensions; answers the others.
///
/// Works for any request body, and any response body that can be made of [`Bytes`] (axum's `Body`,
/// `http_body_util::Full`).
#[derive(Clone)]
pub struct VerifyLayer {
    verifier: Verifier,
    scopes: Arc<[String]>,
    acr_values: Arc<[String]>,
    max_age_s: Option<u64>,
    style: Style,
}

impl VerifyLayer {
    pub(crate) fn new(verifier: Verifier) -> Self {
        let style = verifier.style();
        Self {
            verifier,
            scopes: Arc::new([]),
            acr_values: Arc::new([]),
            max_age_s: None,
            style,
        }
    }

    /// Demands all of these scopes.
    #[must_use]
    pub fn require_scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Demands a login that is not older than this, in seconds, by the token's `auth_time` (RFC 9470). Others are told
    /// to log in again; one without `auth_time` counts as old.
    #[must_use]
    pub fn require_recent_login(mut self, max_age_s: u64) -> Self {
        self.max_age_s = Some(max_age_s);
        self
    }

    /// Demands one of these kinds of login, by the token's `acr` (RFC 9470).
    #[must_use]
    pub fn require_acr<T: Into<String>>(mut self, acr_values: impl IntoIterator<Item = T>) -> Self {
        self.acr_values = acr_values.into_iter().map(Into::into).collect();
        self
    }

    /// Answers in this style instead of the verifier's.
    #[must_use]
    pub fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    async fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Refusal> {
        let (token, jkt) = self.token(request)?;
        let verified: Verified = match jkt {
            Some(jkt) => self.verifier.verify_bound(&token, &jkt).await?,
            None => self.verifier.verify(&token).await?,
        };
        if !self.scopes.iter().all(|scope| verified.has_scope(scope)) {
            return Err(Refusal::InsufficientScope {
                required: self.scopes.to_vec(),
            });
        }
        if !self.login_suffices(&verified) {
            return Err(Refusal::StepUp {
                acr_values: self.acr_values.to_vec(),
                max_age_s: self.max_age_s,
            });
        }
        request.extensions_mut().insert(verified);
        Ok(())
    }

    /// The request's token, with the thumbprint of the key that it proves to hold.
    fn token<B>(&self, request: &Request<B>) -> Result<(String, Option<String>), Refusal> {
        let (headers, uri) = (request.headers(), request.uri());
        let dpop = self.verifier.dpop();
        let (scheme, token) = presented(headers, uri, dpop.is_some())?;
        let jkt = match (scheme, dpop) {
            (Scheme::Dpop, Some(dpop)) => {
                let now_s = self.verifier.now_s();
                Some(dpop.proven(headers, request.method(), uri, token, now_s)?)
            }
            _ => None,
        };
        Ok((token.to_owned(), jkt))
    }

    fn login_suffices(&self, verified: &Verified) -> bool {
        let claim = |name| verified.claims.get(name);
        let strong = self.acr_values.is_empty()
            || claim("acr")
                .and_then(Value::as_str)
                .is_some_and(|acr| self.acr_values.iter().any(|asked| asked == acr));
        let recent = self.max_age_s.is_none_or(|most| {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            claim("auth_time")
                .and_then(Value::as_i64)
                .is_some_and(|at| self.verifier.now_s().saturating_sub(at) <= most)
        });
        strong && recent
    }
}

impl VerifyLayer {
    /// The answer in the style; a challenge in it says where the API's metadata is.
    fn refused(&self, refusal: &Refusal) -> Response<Bytes> {
        let mut response = self.style.respond(refusal, self.verifier.realm());
        let pointing = self.verifier.resource_metadata().and_then(|url| {
            let challenge = response.headers().get(WWW_AUTHENTICATE)?.to_str().ok()?;
            // A URL has no quotes and no backslashes: they are escaped in it.
            HeaderValue::try_from(format!("{challenge}, resource_metadata=\"{url}\"")).ok()
        });
        if let Some(challenge) = pointing {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if self.verifier.dpop().is_some() && response.headers().contains_key(WWW_AUTHENTICATE) {
            add_dpop(&mut response, refusal);
        }
        response
    }
}

/// The other way to send a token (RFC 9449 §7.1), with the error where it is about that way.
fn add_dpop(response: &mut Response<Bytes>, refusal: &Refusal) {
    let algs = dpop::ALGS;
    let challenge = match refusal {
        Refusal::Proof(text) => format!(
            "DPoP error=\"invalid_dpop_proof\", error_description=\"{text}\", algs=\"{algs}\""
        ),
        Refusal::Bound => format!(
            "DPoP error=\"invalid_token\", error_description=\"{}\", algs=\"{algs}\"",
            refusal.description()
        ),
        _ => format!("DPoP algs=\"{algs}\""),
    };
    // Fixed texts, all of them fit for a header.
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        let headers = response.headers_mut();
        if matches!(refusal, Refusal::Proof(_) | Refusal::Bound) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        } else {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = VerifyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        VerifyService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind a [`VerifyLayer`].
#[derive(Clone)]
pub struct VerifyService<S> {
    inner: S,
    layer: VerifyLayer,
}

impl<S, B, R> Service<Request<B>> for VerifyService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The instance that was polled ready is the one to call; the clone takes its place.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let layer = self.layer.clone();
        Box::pin(async move {
            match layer.admit(&mut request).await {
                Ok(()) => inner.call(request).await,
                Err(refusal) => {
                    tracing::debug!(%refusal, "request refused");
                    Ok(layer.refused(&refusal).map(R::from))
                }
            }
        })
    }
}
