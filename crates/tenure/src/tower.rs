//! A layer for `tower` services that send HTTP requests.
//!
//! ```no_run
//! // Not run: it would ask a server that does not exist. `cargo run -p tenure --example tower` runs by itself.
//! # async fn program(session: tenure::Session) -> Result<(), Box<dyn std::error::Error>> {
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower::{Layer, ServiceExt};
//!
//! let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
//! let client = tenure::tower::TenureLayer::new(session)?.layer(http);
//! let request = http::Request::get("http://127.0.0.1:8080/orders").body(Full::default())?;
//! let response = client.oneshot(request).await?;
//! println!("{}", response.status());
//! # Ok(())
//! # }
//! ```
//!
//! A layer that follows redirects belongs outside this one: then every hop is a request of its own, and gets
//! the token only if it goes to the session's upstream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{Empty, Full, StreamBody};
use tenure_core::Failure;
use tenure_diagnose::ApiVerdict;
use tenure_http::peek::Resumed;
use tenure_keeper::{Reader, Session, Token};
use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

use crate::carrier::Carrier;
use crate::error::{NoToken, NoUpstream};

/// A request body that may be sent a second time.
pub trait Repeat: Sized {
    /// The same body again from its start; `None` when it can be sent only once.
    fn repeat(&self) -> Option<Self>;
}

impl<D: bytes::Buf + Clone> Repeat for Full<D> {
    fn repeat(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<D> Repeat for Empty<D> {
    fn repeat(&self) -> Option<Self> {
        Some(*self)
    }
}

impl<S> Repeat for StreamBody<S> {
    fn repeat(&self) -> Option<Self> {
        None
    }
}

impl<D, E> Repeat for BoxBody<D, E> {
    fn repeat(&self) -> Option<Self> {
        None
    }
}

impl<D, E> Repeat for UnsyncBoxBody<D, E> {
    fn repeat(&self) -> Option<Self> {
        None
    }
}

/// Any other body, sent once.
#[derive(Clone, Debug, Default)]
pub struct Once<B>(pub B);

impl<B> Repeat for Once<B> {
    fn repeat(&self) -> Option<Self> {
        None
    }
}

impl<B: Body + Unpin> Body for Once<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// What went wrong before there was an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error<E = Infallible> {
    /// There is no valid token; nothing was sent.
    #[error(transparent)]
    NoToken(#[from] NoToken),
    /// The service beneath failed.
    #[error("{0}")]
    Service(#[source] E),
}

/// Makes [`TenureService`]s.
#[derive(Clone, Debug)]
pub struct TenureLayer {
    carrier: Carrier,
}

impl TenureLayer {
    /// A layer for requests to the session's upstream.
    ///
    /// # Errors
    /// When the session has none.
    pub fn new(session: Session) -> Result<Self, NoUpstream> {
        Ok(Self {
            carrier: Carrier::new(session)?,
        })
    }
}

impl<S> Layer<S> for TenureLayer {
    type Service = TenureService<S>;

    fn layer(&self, inner: S) -> TenureService<S> {
        TenureService {
            inner,
            carrier: self.carrier.clone(),
        }
    }
}

/// Sends a session's token with every request to the session's upstream, heals a refused one, and sends the
/// request once more.
///
/// - Requests must have an absolute URI. Those to other origins pass untouched.
/// - A caller's own `Authorization` is replaced.
/// - A request is sent again only if its body can [`Repeat`].
/// - The answer carries a [`Served`](crate::Served) extension. Up to 64 KiB of the body of a refusal are read
///   ahead; the body is handed on unchanged.
/// - Extensions of a request are sent both times, as far as they can be cloned.
#[derive(Clone, Debug)]
pub struct TenureService<S> {
    inner: S,
    carrier: Carrier,
}

type Answer<B> = Response<Resumed<B>>;

impl<S, B, R> Service<Request<B>> for TenureService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Repeat + Send + 'static,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
    R::Error: Send,
{
    type Response = Answer<R>;
    type Error = Error<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Answer<R>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Service)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was found ready is the one to call.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let carrier = self.carrier.clone();
        if owns(&carrier, request.uri()) {
            Box::pin(async move { carry(&carrier, inner, request).await })
        } else {
            Box::pin(pass(inner, request))
        }
    }
}

fn owns(carrier: &Carrier, uri: &Uri) -> bool {
    let scheme = uri.scheme_str().unwrap_or_default();
    carrier.owns(scheme, uri.host(), uri.port_u16())
}

/// Sends a request that is none of the session's.
async fn pass<S, B, R>(mut inner: S, request: Request<B>) -> Result<Answer<R>, Error<S::Error>>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    let response = inner.call(request).await.map_err(Error::Service)?;
    Ok(response.map(Resumed::new))
}

/// Sends a request with the session's token, twice if it must be.
async fn carry<S, B, R>(
    carrier: &Carrier,
    mut inner: S,
    request: Request<B>,
) -> Result<Answer<R>, Error<S::Error>>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Repeat,
    R: Body<Data = Bytes> + Unpin,
{
    let token = carrier.token().await?;
    let again = repeat(&request);
    let reader = Reader::of(request.headers());
    let response = inner.call(authorised(request, &token)).await;
    let (response, verdict) =
        judge(carrier, &token, reader, response.map_err(Error::Service)?).await;
    let Some(ApiVerdict { failure, refused }) = verdict else {
        return Ok(told(carrier, response, &token, false, None));
    };
    if !refused {
        return Ok(told(carrier, response, &token, false, Some(failure)));
    }
    let Some(again) = again else {
        carrier.heal_for_the_next(&token, &failure);
        return Ok(told(carrier, response, &token, false, Some(failure)));
    };
    let newer = match carrier.heal(&token, &failure).await {
        Ok(newer) => newer,
        Err(why) => {
            let failure = why.unwrap_or(failure);
            return Ok(told(carrier, response, &token, false, Some(failure)));
        }
    };
    drop(response);
    let ready = inner.ready().await.map_err(Error::Service)?;
    let response = ready.call(authorised(again, &newer)).await;
    let (response, verdict) =
        judge(carrier, &newer, reader, response.map_err(Error::Service)?).await;
    let failure = carrier.second_answer(&newer, verdict);
    Ok(told(carrier, response, &newer, true, failure))
}

async fn judge<R: Body<Data = Bytes> + Unpin>(
    carrier: &Carrier,
    token: &Token,
    reader: Reader,
    response: Response<R>,
) -> (Answer<R>, Option<ApiVerdict>) {
    match carrier
        .session()
        .depth(token, reader, response.status(), response.headers())
    {
        Some(depth) => carrier.session().judge(token, response, depth).await,
        None => (response.map(Resumed::new), None),
    }
}

fn told<R: Body>(
    carrier: &Carrier,
    mut response: Answer<R>,
    token: &Token,
    replayed: bool,
    failure: Option<Failure>,
) -> Answer<R> {
    let served = carrier.served(token, replayed, failure);
    response.extensions_mut().insert(served);
    response
}

fn authorised<B>(mut request: Request<B>, token: &Token) -> Request<B> {
    request
        .headers_mut()
        .insert(AUTHORIZATION, token.header.clone());
    request
}

/// The same request again, if its body can be had twice.
fn repeat<B: Repeat>(request: &Request<B>) -> Option<Request<B>> {
    let mut again = Request::new(request.body().repeat()?);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}
