//! Tunnels: what follows `101 Switching Protocols`, in both directions, until one side ends or both fall silent.
//!
//! Upgrades exist in HTTP/1.1 only. Extended CONNECT (RFC 8441), which does the same in HTTP/2, is not offered to
//! callers, who then use HTTP/1.1; towards the upstream an upgrade takes a connection that never negotiates HTTP/2.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use crate::forward::Inner;

/// Joins both connections as soon as the 101 has been passed on.
pub(crate) fn tunnel(gateway: &Inner, caller: OnUpgrade, upstream: OnUpgrade) {
    let idle = gateway.limits.tunnel_idle;
    let closing = gateway.closing.clone();
    gateway.tunnels.spawn(async move {
        let run = async {
            let (caller, upstream) = match tokio::try_join!(caller, upstream) {
                Ok(both) => both,
                Err(error) => return tracing::debug!(%error, "the upgrade was not completed"),
            };
            join(TokioIo::new(caller), TokioIo::new(upstream), idle).await;
        };
        tokio::select! {
            () = run => {}
            () = closing.cancelled() => {}
        }
    });
}

async fn join(caller: TokioIo<Upgraded>, upstream: TokioIo<Upgraded>, idle: Duration) {
    let reads = Arc::new(AtomicU64::new(0));
    let mut caller = Counted {
        io: caller,
        reads: Arc::clone(&reads),
    };
    let mut upstream = Counted {
        io: upstream,
        reads: Arc::clone(&reads),
    };
    tokio::select! {
        done = copy_bidirectional(&mut caller, &mut upstream) => {
            if let Err(error) = done {
                tracing::debug!(%error, "a tunnel broke off");
            }
        }
        () = silence(&reads, idle) => tracing::debug!("a tunnel was silent for too long"),
    }
}

/// Returns when nothing was read for `idle` to twice `idle`.
async fn silence(reads: &AtomicU64, idle: Duration) {
    let mut before = reads.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(idle).await;
        let now = reads.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// Counts reads that brought something.
struct Counted<T> {
    io: T,
    reads: Arc<AtomicU64>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
