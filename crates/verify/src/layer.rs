//! The verifier as a tower layer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::credentials::bearer;
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
    style: Style,
}

impl VerifyLayer {
    pub(crate) fn new(verifier: Verifier) -> Self {
        let style = verifier.style();
        Self {
            verifier,
            scopes: Arc::new([]),
            style,
        }
    }

    /// Demands all of these scopes.
    #[must_use]
    pub fn require_scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Answers in this style instead of the verifier's.
    #[must_use]
    pub fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    async fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Refusal> {
        let token = bearer(request.headers(), request.uri())?.to_owned();
        let verified: Verified = self.verifier.verify(&token).await?;
        if !self.scopes.iter().all(|scope| verified.has_scope(scope)) {
            return Err(Refusal::InsufficientScope {
                required: self.scopes.to_vec(),
            });
        }
        request.extensions_mut().insert(verified);
        Ok(())
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
        response
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
