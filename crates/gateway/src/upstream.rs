//! Connections to the upstreams.

use std::time::Duration;

use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tenure_http::Connector;

use crate::replay::SendBody;

/// Below the idle times of common servers (Node.js: 5 s), so that a request is rarely written into a
/// connection that is closing.
const IDLE: Duration = Duration::from_secs(4);

/// The pool for requests: HTTP/2 where TLS negotiates it, else HTTP/1.1.
///
/// Unlike the pool of `tenure-http` it takes another connection when a kept one turns out closed before
/// anything of the request was written. That is no replay: the request comes back whole and provably unsent.
pub(crate) fn pool(connector: Connector) -> Pool<Connector, SendBody> {
    Pool::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_adaptive_window(true)
        .retry_canceled_requests(true)
        .build(connector)
}
