//! One sending of a request: from the pool of connections to the head of the answer.

use http::header::EXPECT;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tenure_core::Who;
use tenure_http::{Fault, FaultKind};
use tenure_keeper::Token;
use tokio::time::{Instant, timeout_at};

use crate::forward::{Inner, Route, Template};
use crate::headers;
use crate::problem::Problem;
use crate::replay::Replay;
use crate::route::Upstream;

/// How often a request is sent again that the upstream did not process.
const UNPROCESSED_RETRIES: usize = 2;

impl Inner {
    /// Sends the request and waits for the head of the answer. An upstream that closes a connection down says which
    /// requests on it it did not process; those are sent once more on another connection.
    pub(crate) async fn send(
        &self,
        route: &Route,
        template: &Template,
        replay: &Replay,
        first: bool,
        token: Option<(&Token, &Upstream)>,
    ) -> Result<Response<Incoming>, Problem> {
        let mut left = UNPROCESSED_RETRIES;
        let fault = loop {
            let fault = match self
                .send_once(route, template, replay, first, token)
                .await?
            {
                Ok(response) => return Ok(response),
                Err(fault) => fault,
            };
            if fault.kind != FaultKind::Unprocessed || left == 0 || !replay.can_repeat() {
                break fault;
            }
            left -= 1;
            replay.lost();
            tracing::debug!(
                session = route.session.name(),
                "sending again on another connection: the upstream did not process the request"
            );
            // Lets the connection end before another is asked for.
            tokio::task::yield_now().await;
        };
        if replay.is_broken() {
            let detail = "the request's body broke off before its end; what had arrived may have reached the upstream";
            return Err(Problem::request(
                StatusCode::BAD_REQUEST,
                "body_broke_off",
                Who::User,
                detail,
            )
            .of(route.session.name()));
        }
        let problem = Problem::upstream(route.session.name(), &fault);
        if let Some((token, _)) = token {
            route.session.observed(token.generation, &problem.failure);
        }
        Err(problem)
    }

    async fn send_once(
        &self,
        route: &Route,
        template: &Template,
        replay: &Replay,
        first: bool,
        token: Option<(&Token, &Upstream)>,
    ) -> Result<Result<Response<Incoming>, Fault>, Problem> {
        let mut request = Request::new(replay.body(self.limits.continue_wait));
        *request.method_mut() = template.method.clone();
        *request.uri_mut() = template.uri.clone();
        *request.headers_mut() = template.headers.clone();
        if let Some((token, upstream)) = token {
            headers::authorize(&mut request, &token.header, upstream)?;
        }
        if first && replay.expects() {
            request
                .headers_mut()
                .insert(EXPECT, HeaderValue::from_static("100-continue"));
            let replay = replay.clone();
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    replay.release();
                }
            });
        }
        let pool = if template.upgrade {
            &route.pools.upgradable
        } else {
            &route.pools.any
        };
        let connection = replay.has_body().then(|| capture_connection(&mut request));
        Ok(self
            .head(pool.request(request), replay)
            .await
            .inspect(|response| {
                if let Some(connection) =
                    connection.filter(|_| route.session.may_refuse(response.status()))
                {
                    retire(&connection);
                }
            }))
    }

    /// The limit counts from the last byte of the request that left: uploads may take as long as they take.
    async fn head(
        &self,
        sent: hyper_util::client::legacy::ResponseFuture,
        replay: &Replay,
    ) -> Result<Response<Incoming>, Fault> {
        let mut sent = std::pin::pin!(sent);
        let mut since = Instant::now();
        loop {
            if let Ok(answer) =
                timeout_at(since + self.limits.response_head_timeout, &mut sent).await
            {
                return answer.map_err(|error| tenure_http::fault(&error));
            }
            let Some(later) = replay.progress_after(since) else {
                let detail = format!(
                    "no answer within {} s",
                    self.limits.response_head_timeout.as_secs_f32()
                );
                return Err(Fault {
                    kind: FaultKind::Timeout,
                    sent: true,
                    detail,
                });
            };
            since = later;
        }
    }
}

/// Keeps a connection from being used again. A server that refuses a request without reading its body often
/// closes the connection a moment later, and the next request on it would be lost. HTTP/2 has no such trouble:
/// there the server ends the stream only.
fn retire(connection: &CaptureConnection) {
    if let Some(connection) = connection
        .connection_metadata()
        .as_ref()
        .filter(|one| !one.is_negotiated_h2())
    {
        connection.poison();
    }
}
