//! A TCP proxy that breaks things on command.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::server::{ANY_PORT, runtime};

/// What the proxy does with bytes, from the moment it is told.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Passes them.
    Pass,
    /// Passes none: connections open, nothing is answered, until the mode changes.
    BlackHole,
    /// Passes what the client sends; what the server answers waits at the gate.
    DelayReplies(Gate),
    /// Passes what the client sends; what the server answers is thrown away.
    LoseReplies,
    /// Passes so many bytes of the server's answers on each connection, then resets the connection.
    CutRepliesAfter(usize),
}

/// The proxy. Stops and closes all connections when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    listening: std::sync::Mutex<CancellationToken>,
    /// Bound but not listening: keeps the port ours while connections are refused.
    _reserved: TcpSocket,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Bumped to cut all connections.
    cuts: watch::Sender<u64>,
    stop: CancellationToken,
    accepted: AtomicUsize,
    open: AtomicUsize,
    up: AtomicUsize,
    down: AtomicUsize,
}

impl FaultProxy {
    /// Starts a proxy in front of `target`, passing everything.
    pub fn start(target: SocketAddr) -> FaultProxy {
        let _in_runtime = runtime().enter();
        let reserved = socket(ANY_PORT).expect("the loopback interface has a free port");
        let addr = reserved
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            target,
            mode: watch::Sender::new(Mode::Pass),
            cuts: watch::Sender::new(0),
            stop: CancellationToken::new(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            up: AtomicUsize::new(0),
            down: AtomicUsize::new(0),
        });
        let listening = std::sync::Mutex::new(listen(addr, &shared));
        FaultProxy {
            addr,
            shared,
            listening,
            _reserved: reserved,
        }
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Changes what happens to bytes, on open connections too.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Resets all open connections (RST to both sides). New ones are taken.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Refuses new connections and cuts the open ones. Blocks until connections are refused.
    pub fn refuse(&self) {
        crate::record::lock(&self.listening).cancel();
        self.cut();
        let refused = || std::net::TcpStream::connect(self.addr).is_err();
        crate::wait::block_until(refused, "the proxy to refuse connections");
    }

    /// Takes connections again after [`refuse`](FaultProxy::refuse).
    pub fn accept(&self) {
        let _in_runtime = runtime().enter();
        let mut listening = crate::record::lock(&self.listening);
        if listening.is_cancelled() {
            *listening = listen(self.addr, &self.shared);
        }
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many are open.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Bytes passed from clients to the server.
    pub fn bytes_up(&self) -> usize {
        self.shared.up.load(Ordering::SeqCst)
    }

    /// Bytes received from the server, whether passed on or lost.
    pub fn bytes_down(&self) -> usize {
        self.shared.down.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// A bound socket that shares its port with the proxy's other sockets, and only with them.
fn socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

fn listen(addr: SocketAddr, shared: &Arc<Shared>) -> CancellationToken {
    let listener = socket(addr)
        .and_then(|socket| socket.listen(1024))
        .expect("the proxy's own port is reserved");
    let listening = shared.stop.child_token();
    runtime().spawn(accept(listener, Arc::clone(shared), listening.clone()));
    listening
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, listening: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = listening.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A connection gone before it was accepted is no reason to stop.
        let Ok((client, _)) = accepted else { continue };
        tokio::spawn(connection(client, Arc::clone(&shared)));
    }
}

/// How a connection ends.
enum End {
    Orderly,
    Cut,
}

async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    shared.accepted.fetch_add(1, Ordering::SeqCst);
    shared.open.fetch_add(1, Ordering::SeqCst);
    let mut cuts = shared.cuts.subscribe();
    // A target that cannot be reached looks to the client like a connection closed at once.
    if let Ok(mut server) = TcpStream::connect(shared.target).await {
        let end = tokio::select! {
            end = pump_both(&mut client, &mut server, &shared) => end,
            _ = cuts.changed() => End::Cut,
            () = shared.stop.cancelled() => End::Cut,
        };
        if matches!(end, End::Cut) {
            for stream in [&client, &server] {
                // A linger time of zero turns the close into a reset; should it fail, a close cuts as well.
                drop(stream.set_zero_linger());
            }
        }
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

async fn pump_both(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared) -> End {
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let up = pump_up(client_read, server_write, shared);
    let down = pump_down(server_read, client_write, shared);
    tokio::pin!(up, down);
    tokio::select! {
        () = &mut up => down.await,
        end = &mut down => {
            if matches!(end, End::Orderly) {
                up.await;
            }
            end
        }
    }
}

async fn pump_up(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared) {
    let mut mode = shared.mode.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if mode
            .wait_for(|mode| !matches!(mode, Mode::BlackHole))
            .await
            .is_err()
        {
            return;
        }
        shared.up.fetch_add(n, Ordering::SeqCst);
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
    // Tells the other side that this direction has ended; it fails only where nobody listens any more.
    drop(to.shutdown().await);
}

async fn pump_down(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared) -> End {
    let mut mode = shared.mode.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0;
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        shared.down.fetch_add(n, Ordering::SeqCst);
        let changed = mode.wait_for(|mode| !matches!(mode, Mode::BlackHole));
        let Ok(now) = changed.await.map(|mode| mode.clone()) else {
            return End::Cut;
        };
        let n = match &now {
            Mode::LoseReplies => continue,
            Mode::CutRepliesAfter(limit) => n.min(limit.saturating_sub(passed)),
            Mode::DelayReplies(gate) => {
                gate.wait().await;
                n
            }
            Mode::Pass | Mode::BlackHole => n,
        };
        if to.write_all(&buffer[..n]).await.is_err() {
            return End::Orderly;
        }
        passed += n;
        if matches!(now, Mode::CutRepliesAfter(limit) if passed >= limit) {
            return End::Cut;
        }
    }
    drop(to.shutdown().await);
    End::Orderly
}
