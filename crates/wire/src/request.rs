//! Requests as every dialect sends them: POST, JSON wanted, named, and no header left over from elsewhere.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Uri};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use crate::Request;
use crate::error::WireError;

/// A POST with form fields (`application/x-www-form-urlencoded`).
pub(crate) fn form(
    endpoint: &'static str,
    url: &Url,
    headers: HeaderMap,
    fields: &[(&str, &str)],
) -> Result<Request, WireError> {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    post(
        endpoint,
        url,
        headers,
        Some("application/x-www-form-urlencoded"),
        body,
    )
}

/// A POST with a flat JSON object of strings.
pub(crate) fn json(
    endpoint: &'static str,
    url: &Url,
    headers: HeaderMap,
    fields: &[(&str, &str)],
) -> Result<Request, WireError> {
    let object: Map<String, Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect();
    let body = Value::Object(object).to_string();
    post(endpoint, url, headers, Some("application/json"), body)
}

/// A POST without a body.
pub(crate) fn empty(
    endpoint: &'static str,
    url: &Url,
    headers: HeaderMap,
) -> Result<Request, WireError> {
    post(endpoint, url, headers, None, String::new())
}

fn post(
    endpoint: &'static str,
    url: &Url,
    mut headers: HeaderMap,
    content_type: Option<&'static str>,
    body: String,
) -> Result<Request, WireError> {
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT));
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri(endpoint, url)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn uri(endpoint: &'static str, url: &Url) -> Result<Uri, WireError> {
    url.as_str()
        .parse()
        .map_err(|error: http::uri::InvalidUri| WireError::BadUrl {
            endpoint,
            why: error.to_string(),
        })
}

/// A header value that is not printed.
pub(crate) fn secret_header(what: &'static str, value: &str) -> Result<HeaderValue, WireError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| WireError::Unsendable { what })?;
    value.set_sensitive(true);
    Ok(value)
}
