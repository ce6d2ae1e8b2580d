//! Listeners: bound with errors that name the port, served until told to stop.

use std::io::ErrorKind;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::DRAIN;
use crate::config::Sourced;
use crate::error::{CommandError, Exit, Outcome, Problem};

/// Binds an address; `what` and `flag` are for the error.
pub async fn bind(at: &Sourced<SocketAddr>, what: &str, flag: &str) -> Outcome<TcpListener> {
    TcpListener::bind(at.value).await.map_err(|error| {
        let port = at.value.port();
        let (said, fix) = match error.kind() {
            ErrorKind::AddrInUse => (
                format!("{what} cannot listen on {}: port {port} is in use", at.value),
                format!("stop what uses it (`ss -ltnp 'sport = :{port}'` shows it), or choose another with {flag} 127.0.0.1:PORT"),
            ),
            ErrorKind::PermissionDenied => (
                format!("{what} cannot listen on {}: ports below 1024 need a privilege", at.value),
                format!("choose a port above 1023 with {flag} 127.0.0.1:PORT"),
            ),
            ErrorKind::AddrNotAvailable => (
                format!("{what} cannot listen on {}: this machine does not have that address", at.value),
                format!("choose an address of this machine with {flag} 127.0.0.1:PORT"),
            ),
            _ => (format!("{what} cannot listen on {}: {error}", at.value), format!("choose another address with {flag} 127.0.0.1:PORT")),
        };
        CommandError::new(Exit::NeedsOperator, Problem::new(said).at(format_args!("{} ({})", at.value, at.origin)).fix(fix))
    })
}

/// Whether somebody else listens there.
pub async fn is_taken(at: SocketAddr) -> bool {
    matches!(TcpListener::bind(at).await, Err(error) if error.kind() == ErrorKind::AddrInUse)
}

/// Where it listens.
pub fn url(listener: &TcpListener) -> Outcome<Url> {
    super::url_of(listener.local_addr()?)
}

/// Serves until `stop`, then as long as requests under way take, at most [`DRAIN`].
pub fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::spawn(drained(async move { server.await }, stop))
}

/// Awaits a server, but not longer than [`DRAIN`] after `stop`.
pub async fn drained(server: impl Future<Output = std::io::Result<()>>, stop: CancellationToken) {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = server => if let Err(error) = ended {
            tracing::error!(%error, "a listener ended");
        },
        () = late => tracing::info!("requests were still running at the end of the drain time; they are cut off"),
    }
}
