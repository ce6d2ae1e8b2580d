//! Answers that are read as they come: streams of events, which have no end.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::{Client, Fault, broken, fault, late};

/// The body of an answer, as it comes. Dropping it closes its connection (HTTP/2: its stream).
pub struct Chunks(Incoming);

impl Chunks {
    /// The next part; `None` at the end. Waits as long as the server is silent.
    ///
    /// # Errors
    /// A [`Fault`] when the answer breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        while let Some(frame) = self.0.frame().await {
            if let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl Client {
    /// Sends a request and waits at most `timeout` for the head of the answer; its body is read as it comes.
    ///
    /// # Errors
    /// A [`Fault`] when no answer begins in time.
    pub async fn open(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Chunks>, Fault> {
        let asked = self.pool.request(request.map(Full::new));
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => Ok(answer.map_err(|error| fault(&error))?.map(Chunks)),
            Err(_) => Err(late(timeout)),
        }
    }
}
