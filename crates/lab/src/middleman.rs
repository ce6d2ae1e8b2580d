//! An HTTP proxy in front of a server that takes a request header away, as web servers do in front of PHP.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use http::header::{HOST, HeaderName};
use http::{HeaderValue, Request};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::reply::{self, Reply};
use crate::server::{ANY_PORT, App, Server};

/// The proxy, running. It records what it received, before anything was taken.
#[derive(Debug)]
pub struct Middleman(Server);

impl Middleman {
    /// Starts in front of `target`, taking `header` from every request and calling itself `software`. Panics on a
    /// header or a name that HTTP does not allow.
    pub fn start(target: SocketAddr, header: &str, software: &str) -> Middleman {
        let taken: HeaderName = header.parse().expect("a header's name");
        let software = HeaderValue::from_str(software).expect("a header's value");
        let app: Arc<App> = Arc::new(move |request: Request<Body>| {
            let (taken, software) = (taken.clone(), software.clone());
            Box::pin(async move {
                let mut reply = pass(target, taken, request)
                    .await
                    .unwrap_or_else(|error| reply::reply(502, "text/plain", error));
                reply.headers_mut().insert(http::header::SERVER, software);
                reply
            })
        });
        Middleman(Server::start(ANY_PORT, Arc::default(), |_| false, app))
    }
}

async fn pass(
    target: SocketAddr,
    taken: HeaderName,
    mut request: Request<Body>,
) -> Result<Reply, String> {
    request.headers_mut().remove(taken);
    let host = HeaderValue::from_str(&target.to_string()).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, host);
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(http::Uri::default, Into::into);
    let stream = TcpStream::connect(target)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    Ok(answer.map(Body::new))
}

impl std::ops::Deref for Middleman {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}
