//! Connections to the upstreams.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tenure_http::{Connector, Trust};
use tower_service::Service;

use crate::replay::SendBody;

/// A pool of connections to upstreams.
pub(crate) type Pool = Client<Patient<Connector>, SendBody>;

/// The connections to upstreams that are trusted in the same way.
#[derive(Clone)]
pub(crate) struct Pools {
    /// HTTP/2 where the upstream offers it.
    pub(crate) any: Pool,
    /// HTTP/1.1 only: the one that can be upgraded.
    pub(crate) upgradable: Pool,
}

impl Pools {
    /// With the system's trust.
    pub(crate) fn new() -> Result<Self, tenure_http::SetupError> {
        Ok(Self {
            any: pool(tenure_http::connector()?),
            upgradable: pool(tenure_http::connector_http1()?),
        })
    }

    /// With a session's own trust.
    pub(crate) fn trusting(trust: &Trust) -> Self {
        Self {
            any: pool(trust.connector()),
            upgradable: pool(trust.connector_http1()),
        }
    }
}

/// Below the idle times of common servers (Node.js: 5 s), so that a request is rarely written into a
/// connection that is closing.
const IDLE: Duration = Duration::from_secs(4);

/// A pool over `connector`: HTTP/2 where TLS negotiates it, else HTTP/1.1.
///
/// Unlike the pool of `tenure-http` it takes another connection when a kept one turns out closed before
/// anything of the request was written. That is no replay: the request comes back whole and provably unsent.
fn pool(connector: Connector) -> Pool {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_adaptive_window(true)
        .retry_canceled_requests(true)
        .build(Patient(connector))
}

/// Makes connections that still hear the server's answer when writing to it has failed.
///
/// A server that refuses a request may answer and close while the body is still being sent. The next write
/// then fails, and hyper would report that instead of the answer that has already arrived, although the answer
/// is the proof a replay needs (I12). So a broken write is kept quiet: the reading side of such a connection
/// ends by itself, with the answer or without it.
#[derive(Clone)]
pub(crate) struct Patient<C>(C);

impl<C> Service<Uri> for Patient<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = PatientIo<C::Response>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            Ok(PatientIo {
                io: connecting.await?,
                broken: false,
            })
        })
    }
}

/// A connection of [`Patient`].
pub(crate) struct PatientIo<T> {
    io: T,
    /// Writing has failed.
    broken: bool,
}

impl<T> PatientIo<T> {
    /// Turns the failure of a write into silence. No wake-up is needed: the failure is the end of the reading
    /// side as well, and that wakes the connection.
    fn quiet<R>(&mut self, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match written {
            Poll::Ready(Err(error))
                if matches!(
                    error.kind(),
                    BrokenPipe | ConnectionReset | ConnectionAborted
                ) =>
            {
                self.broken = true;
                Poll::Pending
            }
            written => written,
        }
    }
}

impl<T: Connection> Connection for PatientIo<T> {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

impl<T: Read + Unpin> Read for PatientIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for PatientIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.quiet(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.quiet(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken {
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.quiet(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
