//! `tenure.sock` in the data directory: the local API with tokens, for the same user only.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::listen::drained;
use crate::error::Problem;

/// Name of the socket.
const FILE: &str = "tenure.sock";

/// Who connected.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The user, by the kernel's word; `None` when it does not tell.
    pub uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Peer {
            uid: stream.io().peer_cred().ok().map(|cred| cred.uid()),
        }
    }
}

impl Peer {
    /// Whether it is the user this process runs as.
    pub fn is_self(self) -> bool {
        self.uid == Some(rustix::process::geteuid().as_raw())
    }
}

/// Where it is.
pub fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// Binds the socket for this user alone. The caller holds the lock on the data, so a file that is there is stale.
pub fn bind(data: &Path) -> Result<UnixListener, Problem> {
    let path = path(data);
    let fault =
        |error: std::io::Error| Problem::new(format!("{} cannot be used: {error}", path.display()));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(fault)?;
    // Between bind and here the directory's 0700 and the check of every peer's uid guard it.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(fault)?;
    Ok(listener)
}

/// Takes it away at a clean stop. The caller still holds the lock on the data.
pub fn remove(data: &Path) {
    match std::fs::remove_file(path(data)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path(data).display(), %error, "could not be removed");
        }
        _ => {}
    }
}

/// Serves until `stop`.
pub fn serve(listener: UnixListener, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::spawn(drained(async move { server.await }, stop))
}
