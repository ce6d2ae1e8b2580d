//! The HTTP server below every stand-in: accepts, records, shows faults, dates its answers, stops on drop.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::header::DATE;
use http::{HeaderValue, Request, Uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::fault::{self, FaultQueue};
use crate::front::Front;
use crate::record::{Log, Recorded};
use crate::reply::{self, Reply};

/// What answers requests.
pub(crate) type App = dyn Fn(Request<Body>) -> BoxFuture<'static, Reply> + Send + Sync;

/// The address most servers bind: loopback, any free port.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// All lab servers of a process share this runtime, apart from the runtime of the test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("lab")
        .enable_all()
        .build()
        .expect("the system lets a test start two threads")
});

/// The runtime of the lab's servers.
pub(crate) fn runtime() -> Handle {
    RUNTIME.handle().clone()
}

/// A running server. Stops listening and closes all connections when dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

/// What the server's connections share.
#[derive(Debug)]
struct Shared {
    log: Log,
    clock: Arc<Clock>,
    token_faults: FaultQueue,
    api_faults: FaultQueue,
    front: Front,
    is_token: fn(&Uri) -> bool,
    connections: AtomicUsize,
    open: AtomicUsize,
    stop: CancellationToken,
}

impl Server {
    /// Binds and serves. `is_token` says which requests are the token endpoint's, for the faults.
    pub(crate) fn start(
        bind: SocketAddr,
        clock: Arc<Clock>,
        is_token: fn(&Uri) -> bool,
        app: Arc<App>,
    ) -> Server {
        let listener = std::net::TcpListener::bind(bind)
            .unwrap_or_else(|error| panic!("cannot listen on {bind}: {error}"));
        listener
            .set_nonblocking(true)
            .expect("a listening socket can be made non-blocking");
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            log: Log::default(),
            clock,
            token_faults: FaultQueue::default(),
            api_faults: FaultQueue::default(),
            front: Front::default(),
            is_token,
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            stop: CancellationToken::new(),
        });
        let _in_runtime = RUNTIME.enter();
        let listener = TcpListener::from_std(listener).expect("the lab's runtime drives sockets");
        RUNTIME.spawn(accept(listener, Arc::clone(&shared), app));
        Server { addr, shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The URL of a path, which starts with a slash.
    pub fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// All requests received, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.log.all()
    }

    /// The requests received for this path.
    pub fn requests_to(&self, path: &str) -> Vec<Recorded> {
        let mut all = self.requests();
        all.retain(|request| request.path == path);
        all
    }

    /// How many requests came for this path.
    pub fn hits(&self, path: &str) -> usize {
        self.shared.log.count(path)
    }

    /// Forgets the requests received so far.
    pub fn forget_requests(&self) {
        self.shared.log.clear();
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open now. An upgraded connection (WebSocket) counts as closed.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The server's clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Faults of the token endpoint (login and renewal).
    pub fn faults(&self) -> &FaultQueue {
        &self.shared.token_faults
    }

    /// Faults of everything else.
    pub fn api_faults(&self) -> &FaultQueue {
        &self.shared.api_faults
    }

    /// What stands in front of the application.
    pub fn front(&self) -> &Front {
        &self.shared.front
    }

    /// Stops the server and waits, blocking, until it refuses connections.
    pub fn stop(&self) {
        self.shared.stop.cancel();
        crate::wait::block_until(
            || {
                std::net::TcpStream::connect_timeout(&self.addr, Duration::from_millis(200))
                    .is_err()
            },
            "a stopped server to refuse connections",
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, app: Arc<App>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        // An accept fails only for a connection that is gone again, or for want of descriptors: try the next.
        let Ok((stream, _)) = accepted else { continue };
        tokio::spawn(serve(stream, Arc::clone(&shared), Arc::clone(&app)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, app: Arc<App>) {
    let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
    shared.open.fetch_add(1, Ordering::SeqCst);
    drop(stream.set_nodelay(true));
    // A second handle to the same socket: its linger option decides between FIN and RST at the end.
    let handle = rustix::io::dup(&stream).ok();
    let conn = Conn::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, app, conn) = (Arc::clone(&shared), Arc::clone(&app), conn.clone());
        async move { Ok::<Reply, Infallible>(answer(request, number, &shared, &app, conn).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        // The client may close or break off as it likes.
        _ended = builder.serve_connection_with_upgrades(TokioIo::new(stream), service) => {}
        () = conn.ended() => conn.make_linger(handle.as_ref()),
        () = shared.stop.cancelled() => {}
    }
    drop(handle);
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    shared: &Shared,
    app: &Arc<App>,
    conn: Conn,
) -> Reply {
    let (mut parts, body) = request.into_parts();
    let entry = shared.log.note(&parts, shared.clock.now_ms(), connection);
    let faults = if (shared.is_token)(&parts.uri) {
        &shared.token_faults
    } else {
        &shared.api_faults
    };
    let fault = faults.take();
    parts.extensions.insert(conn.clone());
    parts.extensions.insert(shared.stop.clone());
    let request = Request::from_parts(parts, entry.tee(body));
    let request = shared.front.pass(request).await;
    let mut reply = match fault {
        None => app(request).await,
        Some(fault) => fault::show(fault, &conn, request, |request| app(request)).await,
    };
    entry.set_status(reply.status().as_u16());
    if let Ok(date) = HeaderValue::from_str(&shared.clock.http_date()) {
        reply.headers_mut().insert(DATE, date);
    }
    reply
}

/// The connection a request came over, which its answer can break.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conn(Arc<ConnEnd>);

#[derive(Debug, Default)]
struct ConnEnd {
    how: AtomicU8,
    ended: Notify,
}

const CLOSE: u8 = 1;
const RESET: u8 = 2;

impl Conn {
    /// Breaks the connection with RST. Never returns: whoever waits is dropped with the connection.
    pub(crate) async fn reset<T>(&self) -> T {
        self.end(RESET).await
    }

    /// Closes the connection in an orderly way (FIN), whatever was announced. Never returns.
    pub(crate) async fn close<T>(&self) -> T {
        self.end(CLOSE).await
    }

    async fn end<T>(&self, how: u8) -> T {
        self.0.how.store(how, Ordering::SeqCst);
        self.0.ended.notify_one();
        std::future::pending().await
    }

    async fn ended(&self) {
        self.0.ended.notified().await;
    }

    fn make_linger(&self, socket: Option<&OwnedFd>) {
        if self.0.how.load(Ordering::SeqCst) != RESET {
            return;
        }
        if let Some(socket) = socket {
            // A linger time of zero turns the close into a reset. If it fails the client sees a FIN: still a loss.
            let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }
}

/// A server that answers 200 to everything and only listens: to prove what was *not* sent to it.
#[derive(Debug)]
pub struct Sink(Server);

impl Sink {
    /// Starts it.
    pub fn start() -> Sink {
        let app: Arc<App> = Arc::new(|request: Request<Body>| {
            Box::pin(async move {
                // Read it all, so that it is recorded.
                let read = axum::body::to_bytes(request.into_body(), usize::MAX).await;
                reply::json(
                    200,
                    &serde_json::json!({ "sink": true, "bytes": read.map(|body| body.len()).ok() }),
                )
            })
        });
        Sink(Server::start(ANY_PORT, Arc::default(), |_| false, app))
    }
}

impl std::ops::Deref for Sink {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}
