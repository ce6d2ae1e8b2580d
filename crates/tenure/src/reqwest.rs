//! A middleware for `reqwest`, by way of the `reqwest-middleware` crate.
//!
//! ```no_run
//! // Not run: it would ask a server that does not exist. `cargo run -p tenure --example reqwest` runs by itself.
//! # async fn program(session: tenure::Session) -> Result<(), Box<dyn std::error::Error>> {
//! let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
//! let client = reqwest_middleware::ClientBuilder::new(plain)
//!     .with(tenure::reqwest::TenureMiddleware::new(session)?)
//!     .build();
//! let orders = client.get("https://api.example/orders").send().await?;
//! if let Some(served) = orders.extensions().get::<tenure::Served>() {
//!     println!("{} (sent twice: {})", orders.status(), served.replayed);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Redirects
//! `reqwest` follows redirects beneath every middleware. It removes `Authorization` when a redirect leaves the
//! origin, so the token does not travel. An answer that came by way of a redirect is passed on without being
//! judged: it may be to a request without the token, and an earlier hop accepted the request, which sending it
//! again would do twice. A redirect that leads back to the very same URL cannot be seen from a middleware: set
//! `redirect::Policy::none()`, as above, and follow redirects by new requests.
//!
//! Cookies are the program's own business: where the API prefers a login cookie to the token, use a client
//! without a cookie store.

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{Extensions, Response as HttpResponse};
use reqwest::{Body, Request, Response, ResponseBuilderExt};
use reqwest_middleware::{Error, Middleware, Next, Result};
use tenure_core::Failure;
use tenure_diagnose::ApiVerdict;
use tenure_keeper::{Reader, Session, Token};
use url::Url;

use crate::carrier::Carrier;
use crate::error::{NoToken, NoUpstream};

/// Sends a session's token with every request to the session's upstream, heals a refused one, and sends the
/// request once more.
///
/// - Requests to other origins pass untouched.
/// - A caller's own `Authorization` is replaced.
/// - Without a valid token nothing is sent, and the error is a [`NoToken`]; see [`no_token`].
/// - A request is sent again only if [`Request::try_clone`](reqwest::Request::try_clone) can copy it: any body
///   but a stream.
/// - The answer carries a [`Served`](crate::Served) extension. Up to 64 KiB of the body of a refusal are read
///   ahead; the body is handed on unchanged.
#[derive(Clone, Debug)]
pub struct TenureMiddleware {
    carrier: Carrier,
}

impl TenureMiddleware {
    /// A middleware for requests to the session's upstream.
    ///
    /// # Errors
    /// When the session has none.
    pub fn new(session: Session) -> std::result::Result<Self, NoUpstream> {
        Ok(Self {
            carrier: Carrier::new(session)?,
        })
    }

    fn owns(&self, url: &Url) -> bool {
        self.carrier.owns(url.scheme(), url.host_str(), url.port())
    }

    /// Says what an answer to a request to `url` means. The answer comes back as it was.
    async fn judge(
        &self,
        token: &Token,
        (url, reader): (&Url, Reader),
        response: Response,
    ) -> (Response, Option<ApiVerdict>) {
        if response.url() != url {
            // A redirect led here: perhaps without the token, and certainly past a hop that took the request.
            return (response, None);
        }
        let depth =
            self.carrier
                .session()
                .depth(token, reader, response.status(), response.headers());
        let Some(depth) = depth else {
            return (response, None);
        };
        let (response, verdict) = self
            .carrier
            .session()
            .judge(token, response.into(), depth)
            .await;
        (with_url(response.map(Body::wrap), url.clone()), verdict)
    }

    /// A newer token and the request to send with it, or why the answer must stand.
    async fn second_try(
        &self,
        token: &Token,
        refusal: &Failure,
        again: Option<Request>,
    ) -> std::result::Result<(Token, Request), Option<Failure>> {
        let Some(again) = again else {
            self.carrier.heal_for_the_next(token, refusal);
            return Err(None);
        };
        Ok((self.carrier.heal(token, refusal).await?, again))
    }
}

#[async_trait]
impl Middleware for TenureMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        if !self.owns(request.url()) {
            return next.run(request, extensions).await;
        }
        let token = self.carrier.token().await.map_err(Error::middleware)?;
        let again = request.try_clone();
        let url = without_fragment(request.url());
        let reader = Reader::of(request.headers());
        let response = next
            .clone()
            .run(authorised(request, &token), extensions)
            .await?;
        let (response, verdict) = self.judge(&token, (&url, reader), response).await;
        let Some(verdict) = verdict else {
            return Ok(self.told(response, &token, false, None));
        };
        if !verdict.refused {
            return Ok(self.told(response, &token, false, Some(verdict.failure)));
        }
        let (newer, again) = match self.second_try(&token, &verdict.failure, again).await {
            Ok(second) => second,
            Err(why) => {
                let failure = why.unwrap_or(verdict.failure);
                return Ok(self.told(response, &token, false, Some(failure)));
            }
        };
        drop(response);
        let response = next.run(authorised(again, &newer), extensions).await?;
        let (response, verdict) = self.judge(&newer, (&url, reader), response).await;
        let failure = self.carrier.second_answer(&newer, verdict);
        Ok(self.told(response, &newer, true, failure))
    }
}

impl TenureMiddleware {
    fn told(
        &self,
        mut response: Response,
        token: &Token,
        replayed: bool,
        failure: Option<Failure>,
    ) -> Response {
        let served = self.carrier.served(token, replayed, failure);
        response.extensions_mut().insert(served);
        response
    }
}

fn authorised(mut request: Request, token: &Token) -> Request {
    request
        .headers_mut()
        .insert(AUTHORIZATION, token.header.clone());
    request
}

/// The URL as the answer will tell it.
fn without_fragment(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    url
}

/// Turns an answer back into one of `reqwest`, which forgets its URL on the way to `http`.
fn with_url(response: HttpResponse<Body>, url: Url) -> Response {
    let (head, body) = response.into_parts();
    let mut whole = HttpResponse::builder()
        .url(url)
        .body(body)
        // Status, version and fields are the defaults, and a URL is no field: this cannot fail. If it ever
        // did, the answer would be an empty one.
        .unwrap_or_default();
    *whole.status_mut() = head.status;
    *whole.version_mut() = head.version;
    *whole.headers_mut() = head.headers;
    whole.extensions_mut().extend(head.extensions);
    whole.into()
}

/// Why a request was given no token, if that is what this error says.
pub fn no_token(error: &Error) -> Option<&NoToken> {
    match error {
        Error::Middleware(error) => error.downcast_ref(),
        Error::Reqwest(_) => None,
    }
}
