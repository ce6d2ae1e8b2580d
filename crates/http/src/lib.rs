//! The one outgoing HTTP client: TLS set up once, no redirects followed, bodies bounded, faults typed.
//!
//! Redirects are never followed here: a token must not travel to another origin (I15), so whoever calls
//! decides what a 3xx means.
#![forbid(unsafe_code)]

pub mod certificate;
mod chunks;
pub mod inflate;
pub mod look;
pub mod peek;
mod trust;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

pub use chunks::Chunks;
pub use trust::{Trust, TrustError};

/// The connector below every client of this crate: plain TCP or TLS, HTTP/1.1 or HTTP/2 by ALPN.
pub type Connector = HttpsConnector<HttpConnector>;

/// How long a name may take to resolve and a connection to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are dropped before common servers drop them (nginx: 75 s, Node.js: 5 s), so that a
/// request is rarely written into a connection that is closing.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// What kind of transport fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No answer in time.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection broke.
    Reset,
    /// The name could not be resolved.
    Dns,
    /// TLS failed: certificate or handshake.
    Tls,
    /// No route to the host.
    Unreachable,
    /// The server said that it has not processed the request and will not: HTTP/2's GOAWAY and REFUSED_STREAM
    /// (RFC 9113 §8.7).
    Unprocessed,
    /// The answer's body was larger than allowed.
    TooLarge,
    /// Something else.
    Other,
}

/// A request that got no complete answer.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// Whether the server may have acted on the request. `false` is proven: no connection was made, or the server
    /// said so.
    pub sent: bool,
    /// What the transport said. Holds no header and no body.
    pub detail: String,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("TLS could not be set up: {0}. Check the system's certificate store.")]
pub struct SetupError(String);

/// Makes the shared connector.
///
/// # Errors
/// When the platform's certificate store cannot be used.
pub fn connector() -> Result<Connector, SetupError> {
    Ok(connector_over(tls(Vec::new())?))
}

/// Like [`connector`], but never HTTP/2: its connections can be upgraded (RFC 9110 §7.8).
///
/// # Errors
/// When the platform's certificate store cannot be used.
pub fn connector_http1() -> Result<Connector, SetupError> {
    Ok(http1_connector_over(tls(Vec::new())?))
}

fn connector_over(tls: rustls::ClientConfig) -> Connector {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp())
}

fn http1_connector_over(tls: rustls::ClientConfig) -> Connector {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp())
}

fn tcp() -> HttpConnector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http
}

/// The system's trust, and these certificates.
fn tls(extra: Vec<CertificateDer<'static>>) -> Result<rustls::ClientConfig, SetupError> {
    let failed = |error: rustls::Error| SetupError(error.to_string());
    // The provider is named here and nowhere else, so that no feature unification can change it.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(failed)?;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// A pooled streaming client over [`connector`], for bodies of any type.
pub fn pool<B>(connector: Connector) -> Pool<Connector, B>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    Pool::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .retry_canceled_requests(false)
        .build(connector)
}

/// A client for small messages: token requests, discovery, key sets.
#[derive(Clone)]
pub struct Client {
    pool: Pool<Connector, Full<Bytes>>,
}

impl Client {
    /// A client with its own connection pool.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, SetupError> {
        Ok(Self {
            pool: pool(connector()?),
        })
    }

    /// Sends a request and reads the whole answer, at most `limit` bytes, within `timeout`.
    ///
    /// # Errors
    /// A [`Fault`] that says whether the request may have arrived.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        limit: usize,
    ) -> Result<Response<Bytes>, Fault> {
        let exchange = async {
            let response = self
                .pool
                .request(request.map(Full::new))
                .await
                .map_err(|error| fault(&error))?;
            let (head, body) = response.into_parts();
            Ok(Response::from_parts(head, read_all(body, limit).await?))
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(done) => done,
            Err(_) => Err(late(timeout)),
        }
    }

    /// Sends a request and reads the start of the answer: at most `limit` bytes of its body, and of those what comes
    /// within `timeout`. An answer that is longer or never ends is no fault.
    ///
    /// # Errors
    /// A [`Fault`] when no answer begins in time, or it breaks off before `limit`.
    pub async fn send_for_start(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        limit: usize,
    ) -> Result<Response<Bytes>, Fault> {
        let end = tokio::time::Instant::now() + timeout;
        let response = tokio::time::timeout_at(end, self.pool.request(request.map(Full::new)))
            .await
            .map_err(|_| late(timeout))?
            .map_err(|error| fault(&error))?;
        let (head, mut body) = response.into_parts();
        let mut start = BytesMut::new();
        let reading = read_start(&mut body, &mut start, limit);
        if let Ok(read) = tokio::time::timeout_at(end, reading).await {
            read?;
        }
        Ok(Response::from_parts(head, start.freeze()))
    }
}

fn late(timeout: Duration) -> Fault {
    Fault {
        kind: FaultKind::Timeout,
        // The connection may have been made and the request written: only a proof of the contrary is false.
        sent: true,
        detail: format!("no complete answer within {} s", timeout.as_secs_f32()),
    }
}

async fn read_start(body: &mut Incoming, start: &mut BytesMut, limit: usize) -> Result<(), Fault> {
    while start.len() < limit
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() {
            start.extend_from_slice(&data[..data.len().min(limit - start.len())]);
        }
    }
    Ok(())
}

fn broken(error: &hyper::Error) -> Fault {
    Fault {
        kind: io_kind(error).unwrap_or(FaultKind::Reset),
        sent: true,
        detail: format!("the answer broke off: {}", chain(error)),
    }
}

async fn read_all(mut body: Incoming, limit: usize) -> Result<Bytes, Fault> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > limit {
                return Err(Fault {
                    kind: FaultKind::TooLarge,
                    sent: true,
                    detail: format!("the answer is larger than {limit} bytes"),
                });
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// Names what went wrong in a pooled client's request.
pub fn fault(error: &PoolError) -> Fault {
    let detail = chain(error);
    if unprocessed(error) {
        return Fault {
            kind: FaultKind::Unprocessed,
            sent: false,
            detail,
        };
    }
    let kind = io_kind(error).unwrap_or_else(|| {
        if detail.contains("dns error") {
            FaultKind::Dns
        } else if error.is_connect() {
            FaultKind::Unreachable
        } else {
            FaultKind::Reset
        }
    });
    Fault {
        kind,
        sent: !error.is_connect(),
        detail: plain_http(detail),
    }
}

/// A server that speaks plain HTTP is told in words: what rustls says of it looks like a damaged connection.
fn plain_http(detail: String) -> String {
    if detail.contains("InvalidContentType") {
        "the server does not speak TLS at this port, but most likely plain http; if that is meant, the address begins \
         with http://"
            .to_owned()
    } else {
        detail
    }
}

/// Whether the server said that the request was not processed. A stream fails with the server's GOAWAY only when it
/// is beyond the last one that the server acts on.
fn unprocessed(error: &PoolError) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (error.is_go_away() || (error.is_reset() && refused));
        }
        next = error.source();
    }
    false
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<FaultKind> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    let mut found = None;
    while let Some(error) = next {
        if error.downcast_ref::<rustls::Error>().is_some() {
            return Some(FaultKind::Tls);
        }
        if error.to_string().contains("dns error") {
            return Some(FaultKind::Dns);
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if wraps_tls(io) {
                return Some(FaultKind::Tls);
            }
            found = found.or(match io.kind() {
                io::ErrorKind::TimedOut => Some(FaultKind::Timeout),
                io::ErrorKind::ConnectionRefused => Some(FaultKind::Refused),
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => Some(FaultKind::Reset),
                io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkDown => Some(FaultKind::Unreachable),
                _ => None,
            });
        }
        next = error.source();
    }
    found
}

/// Whether TLS is what failed. An `io::Error` hides the error it was made of from `source`, and the connector wraps
/// one in another.
fn wraps_tls(io: &io::Error) -> bool {
    let mut inner = io.get_ref();
    while let Some(error) = inner {
        if error.is::<rustls::Error>() {
            return true;
        }
        inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
    }
    false
}

/// An error and everything underneath it, in one line.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn get(url: &str, timeout: Duration) -> Result<Response<Bytes>, Fault> {
        let request = Request::get(url)
            .body(Bytes::new())
            .expect("a valid request");
        Client::new()
            .expect("TLS")
            .send(request, timeout, 1024)
            .await
    }

    /// A server that reads the request head, writes `answer` and closes.
    async fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut buffer = [0; 1024];
                let _read = socket.read(&mut buffer).await;
                let _written = socket.write_all(answer).await;
            }
        });
        format!("http://{address}/")
    }

    #[tokio::test]
    async fn an_answer_is_read_whole() {
        let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let response = get(&url, Duration::from_secs(5)).await.expect("an answer");
        assert_eq!(response.body().as_ref(), b"ok");
    }

    #[tokio::test]
    async fn a_refused_connection_is_proven_unsent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let fault = get(&format!("http://{address}/"), Duration::from_secs(5))
            .await
            .expect_err("refused");
        assert_eq!(
            (fault.kind, fault.sent),
            (FaultKind::Refused, false),
            "{fault}"
        );
    }

    #[tokio::test]
    async fn a_server_that_speaks_plain_http_is_told_in_words() {
        let url = server(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let url = url.replace("http://", "https://");
        let fault = get(&url, Duration::from_secs(5))
            .await
            .expect_err("no TLS there");
        assert!(
            fault.detail.contains("plain http") && !fault.sent,
            "{fault:?}"
        );
    }

    #[tokio::test]
    async fn a_lost_reply_may_have_been_sent() {
        let url = server(b"").await;
        let fault = get(&url, Duration::from_secs(5)).await.expect_err("closed");
        assert_eq!(
            (fault.kind, fault.sent),
            (FaultKind::Reset, true),
            "{fault}"
        );
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n").await;
        let fault = get(&url, Duration::from_secs(5))
            .await
            .expect_err("cut off or too large");
        assert!(fault.sent);
    }

    #[tokio::test]
    async fn the_start_of_an_answer_is_enough() {
        let start = async |answer, timeout| {
            let request = Request::get(server(answer).await).body(Bytes::new());
            let client = Client::new().expect("TLS");
            client
                .send_for_start(request.expect("a valid request"), timeout, 4)
                .await
        };
        let long = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2000\r\n\r\nlong answer";
        let patient = Duration::from_secs(5);
        let response = start(long, patient).await.expect("an answer");
        assert_eq!(response.status(), 401);
        assert_eq!(response.body().as_ref(), b"long");
        let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\nlo";
        let fault = start(broken, patient).await.expect_err("breaks off");
        assert_eq!((fault.kind, fault.sent), (FaultKind::Reset, true));
    }

    #[tokio::test]
    async fn an_answer_without_end_is_read_as_it_comes() {
        let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\nfirst").await;
        let request = Request::get(url).body(Bytes::new());
        let client = Client::new().expect("TLS");
        let answer = client.open(request.expect("a valid request"), Duration::from_secs(5));
        let mut chunks = answer.await.expect("an answer").into_body();
        let first = chunks.next().await.expect("unbroken").expect("a part");
        assert_eq!(first.as_ref(), b"first");
        let fault = chunks.next().await.expect_err("breaks off");
        assert_eq!((fault.kind, fault.sent), (FaultKind::Reset, true));
    }

    #[tokio::test]
    async fn an_unknown_name_is_a_dns_fault() {
        let fault = get("http://no-such-host.invalid/", Duration::from_secs(30))
            .await
            .expect_err("no such host");
        assert_eq!((fault.kind, fault.sent), (FaultKind::Dns, false), "{fault}");
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let fault = get(&url, Duration::from_millis(50))
            .await
            .expect_err("silence");
        assert_eq!((fault.kind, fault.sent), (FaultKind::Timeout, true));
    }
}
