//! What a server received, kept for the test to look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Uri};
use http_body_util::BodyExt;
use serde_json::Value;

/// Bytes of a request body that are kept; the rest is only counted.
const BODY_KEPT: usize = 1 << 20;

/// One request as it was received.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `GET`, `POST` …
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query without the question mark; empty when there was none.
    pub query: String,
    /// All headers.
    pub headers: HeaderMap,
    /// As much of the body as the server has read so far, up to 1 MiB.
    pub body: Vec<u8>,
    /// Length of the body read so far, in bytes.
    pub body_len: usize,
    /// When it arrived, in ms of the server's true time ([`crate::Clock::now_ms`]).
    pub at_ms: i64,
    /// Number of the connection it came over, from 1.
    pub connection: usize,
    /// The status answered; `None` while, or when, no answer was given.
    pub status: Option<u16>,
}

impl Recorded {
    /// A header's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token of `Authorization: Bearer …`.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The body as text (invalid UTF-8 replaced).
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A field of a form body, or of a JSON object body.
    pub fn field(&self, name: &str) -> Option<String> {
        if let Value::Object(fields) = self.json() {
            return fields
                .get(name)
                .map(|value| value.as_str().map_or_else(|| value.to_string(), Into::into));
        }
        form_field(&self.body, name)
    }

    /// A field of the query.
    pub fn query_field(&self, name: &str) -> Option<String> {
        form_field(self.query.as_bytes(), name)
    }
}

/// The first field `name` of a form-encoded text.
pub(crate) fn form_field(form: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(form)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Entries are shared with the body being read and the answer being written.
#[derive(Clone, Debug)]
pub(crate) struct Entry(Arc<Mutex<Recorded>>);

impl Entry {
    pub(crate) fn set_status(&self, status: u16) {
        lock(&self.0).status = Some(status);
    }

    /// Lets `body` pass and notes what passes.
    pub(crate) fn tee<B>(&self, body: B) -> Body
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let entry = self.clone();
        Body::new(body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                let mut recorded = lock(&entry.0);
                let room = BODY_KEPT
                    .saturating_sub(recorded.body.len())
                    .min(data.len());
                recorded.body.extend_from_slice(&data[..room]);
                recorded.body_len += data.len();
            }
            frame
        }))
    }
}

/// All requests of one server.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Entry>>);

impl Log {
    pub(crate) fn note(&self, parts: &Parts, at_ms: i64, connection: usize) -> Entry {
        let uri: &Uri = &parts.uri;
        let entry = Entry(Arc::new(Mutex::new(Recorded {
            method: parts.method.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
            body: Vec::new(),
            body_len: 0,
            at_ms,
            connection,
            status: None,
        })));
        lock(&self.0).push(entry.clone());
        entry
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        lock(&self.0)
            .iter()
            .map(|entry| lock(&entry.0).clone())
            .collect()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        lock(&self.0)
            .iter()
            .filter(|entry| lock(&entry.0).path == path)
            .count()
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// Locks; a panic elsewhere in a test must not hide behind a second one here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
