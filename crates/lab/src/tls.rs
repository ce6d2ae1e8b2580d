//! TLS in front of a server, with a certificate of a private authority.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::record::lock;
use crate::server::{ANY_PORT, runtime};

/// The certificate that vouches for itself, in PEM.
pub const SELF_SIGNED_PEM: &str = include_str!("../certificates/self-signed.pem");

/// The certificate of the authority, in PEM: what a client must trust to talk to the lab.
pub const CA_PEM: &str = include_str!("../certificates/ca.pem");

/// The certificate of the authority behind [`TlsFront::start_expired`].
pub const PAST_CA_PEM: &str = include_str!("../certificates/past-ca.pem");

/// Takes TLS connections for `localhost`, `127.0.0.1` and `::1`, offering these protocols by ALPN, best first.
pub fn acceptor(alpn: &[&str]) -> TlsAcceptor {
    acceptor_with(
        include_bytes!("../certificates/server.pem"),
        include_bytes!("../certificates/server.key"),
        alpn,
    )
}

fn acceptor_with(chain: &[u8], key: &[u8], alpn: &[&str]) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .expect("the lab's own certificate");
    let key = PrivateKeyDer::from_pem_slice(key).expect("the lab's own key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key is the certificate's");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Ends TLS in front of a server that speaks without. Closes all connections when dropped.
#[derive(Debug)]
pub struct TlsFront {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    negotiated: Mutex<Vec<Option<String>>>,
    open: AtomicUsize,
    /// Bumped to close all connections.
    closes: watch::Sender<u64>,
    stop: CancellationToken,
}

impl TlsFront {
    /// Starts in front of `target`, offering these protocols by ALPN, best first.
    pub fn start(target: SocketAddr, alpn: &[&str]) -> TlsFront {
        TlsFront::start_with(target, acceptor(alpn))
    }

    /// The same with a certificate that was good in 2020 only, by the authority [`PAST_CA_PEM`].
    pub fn start_expired(target: SocketAddr) -> TlsFront {
        let acceptor = acceptor_with(
            include_bytes!("../certificates/past-server.pem"),
            include_bytes!("../certificates/past-server.key"),
            &["h2", "http/1.1"],
        );
        TlsFront::start_with(target, acceptor)
    }

    /// The same with a certificate that vouches for itself, as `openssl req -x509` makes them.
    pub fn start_self_signed(target: SocketAddr) -> TlsFront {
        let acceptor = acceptor_with(
            include_bytes!("../certificates/self-signed.pem"),
            include_bytes!("../certificates/self-signed.key"),
            &["h2", "http/1.1"],
        );
        TlsFront::start_with(target, acceptor)
    }

    fn start_with(target: SocketAddr, acceptor: TlsAcceptor) -> TlsFront {
        let listener = std::net::TcpListener::bind(ANY_PORT).expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a listening socket can be made non-blocking");
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            target,
            negotiated: Mutex::default(),
            open: AtomicUsize::new(0),
            closes: watch::Sender::new(0),
            stop: CancellationToken::new(),
        });
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("the lab's runtime drives sockets");
        runtime.spawn(accept(listener, acceptor, Arc::clone(&shared)));
        TlsFront { addr, shared }
    }

    /// `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// What was negotiated by ALPN on each connection so far.
    pub fn negotiated(&self) -> Vec<Option<String>> {
        lock(&self.shared.negotiated).clone()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Closes all open connections as a server does that has had enough of them. New ones are taken.
    pub fn close(&self) {
        self.shared.closes.send_modify(|closes| *closes += 1);
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A connection gone before it was accepted is no reason to stop.
        let Ok((client, _)) = accepted else { continue };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let mut closes = shared.closes.subscribe();
            // A client that does not trust the certificate ends here.
            let Ok(mut client) = acceptor.accept(client).await else {
                return;
            };
            let alpn = client.get_ref().1.alpn_protocol();
            let alpn = alpn.map(|name| String::from_utf8_lossy(name).into_owned());
            lock(&shared.negotiated).push(alpn);
            shared.open.fetch_add(1, Ordering::SeqCst);
            if let Ok(mut server) = TcpStream::connect(shared.target).await {
                tokio::select! {
                    // Either side may break off.
                    _ended = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    _ = closes.changed() => {}
                    () = shared.stop.cancelled() => {}
                }
            }
            // The client may be gone already.
            drop(tokio::io::AsyncWriteExt::shutdown(&mut client).await);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}
