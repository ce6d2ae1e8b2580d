//! What a person sees who opens the gateway's own address in a browser.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use url::Url;

use crate::body::Body;
use crate::problem::Problem;

/// Whether a browser asks for the root. Everybody else is a program and gets the problem as it is.
pub(crate) fn wants_page<B>(request: &Request<B>) -> bool {
    request.uri().path() == "/"
        && request.method() == Method::GET
        && request
            .headers()
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("text/html"))
}

/// The same answer, as a page.
pub(crate) fn page(problem: &Problem, pages: Option<&Url>) -> Response<Body> {
    let more = pages.map_or_else(String::new, |url| {
        // A URL has no quotes and no angle brackets: they are escaped in it.
        format!("\n<p>The sessions are shown at <a href=\"{url}\">{url}</a>.</p>")
    });
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Tenure gateway</title>\n<h1>Tenure gateway</h1>\n\
         <p>Programs send their requests here, and Tenure adds the session's token: \
         <code>/SESSION/PATH</code>, as in <code>/shop/orders</code>.</p>{more}\n</html>\n"
    );
    let mut response = Response::new(Body::full(Bytes::from(text)));
    *response.status_mut() = problem.status;
    let fields = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}
