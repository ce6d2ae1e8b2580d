//! Listening: HTTP/1.1 and HTTP/2 with prior knowledge on one port, limits, and an orderly end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::forward::Gateway;
use crate::options::{SetupError, guard_bind};

/// Requests one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 1_024;
/// How long accepting pauses when the system has no file descriptor or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Why serving did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener is open to other machines.
    #[error(transparent)]
    Open(#[from] SetupError),
    /// The listener is of no use.
    #[error("the listening socket does not tell its address: {0}")]
    Socket(std::io::Error),
}

impl Gateway {
    /// Serves until `shutdown`, then lets running requests and tunnels finish for as long as
    /// [`Limits::drain`](crate::Limits::drain).
    ///
    /// # Errors
    /// Before the first connection only, when `listener` may not be served.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        // The listener is checked itself, whatever the options said about addresses.
        guard_bind(
            listener.local_addr().map_err(ServeError::Socket)?,
            &self.0.keys,
        )?;
        let builder = self.builder();
        let graceful = GracefulShutdown::new();
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        while let Some((stream, _)) = accept(&listener, &shutdown).await {
            let gateway = self.clone();
            let service = service_fn(move |request| {
                let gateway = gateway.clone();
                async move { Ok::<_, Infallible>(gateway.handle(request).await) }
            });
            let connection = builder
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .into_owned();
            let connection = graceful.watch(connection);
            let cut = cut.clone();
            connections.spawn(async move {
                tokio::select! {
                    done = connection => if let Err(error) = done {
                        tracing::debug!(%error, "a caller's connection ended");
                    },
                    () = cut.cancelled() => {}
                }
            });
        }
        drop(listener);
        connections.close();
        self.0.tunnels.close();
        let drained = tokio::time::timeout(self.0.limits.drain, async {
            graceful.shutdown().await;
            connections.wait().await;
            self.0.tunnels.wait().await;
        });
        if drained.await.is_err() {
            tracing::info!(
                "requests were still running at the end of the drain time; they are cut off"
            );
        }
        cut.cancel();
        self.0.closing.cancel();
        connections.wait().await;
        self.0.tunnels.wait().await;
        Ok(())
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let limits = &self.0.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            // The least hyper accepts is 8 KiB.
            .max_buf_size(limits.max_head_bytes.max(8 * 1024));
        builder
            .http2()
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX));
        builder
    }
}

/// The next connection; `None` at shutdown.
async fn accept(
    listener: &TcpListener,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Small answers must not wait for the other side's acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY could not be set");
                }
                return Some((stream, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}
