//! The protected API of the issuer. Every path but `/api/basic401` asks for a bearer token and answers 401
//! by RFC 6750.
//!
//! | path | answer |
//! |---|---|
//! | `GET /api/orders`, `POST /api/orders` | a list; the body echoed and kept |
//! | `/api/forbidden` | 403 for a business rule, `{"code":"order_locked"}` |
//! | `/api/always401` | 401 `invalid_token`, however good the token |
//! | `/api/basic401` | 401 with a Basic challenge |
//! | `/api/scope403` | 403 `insufficient_scope` |
//! | `/api/reports` | a list; 403 `insufficient_scope` without the scope `reports` |
//! | `/api/redirect` | 302 to where the test says |
//! | `/api/echo` | method, path, headers and body as JSON |
//! | `/api/stream?parts=3` | chunked parts, each but the first behind a gate, then the trailer `x-lab-parts` |
//! | `/api/sse?parts=3` | the same as server-sent events |
//! | `/api/ws` | WebSocket echo |
//! | `/api/slow` | 200 once the gate opens |
//! | `/api/upload` | counts the bytes; the body is read (and `Expect: 100-continue` answered) only for a good token |
//! | `/api/status/503` | any status |

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, State as Shared};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use super::{Access, Inner};
use crate::gate::Gate;
use crate::record::{form_field, lock};
use crate::reply::{self, Reply};

pub(super) async fn basic401() -> Reply {
    let reply = reply::json(401, &json!({ "error": "unauthorized" }));
    reply::with(reply, "www-authenticate", r#"Basic realm="lab""#)
}

pub(super) async fn api(Shared(inner): Shared<Arc<Inner>>, request: Request<Body>) -> Reply {
    let access = match authorise(&inner, request.headers()) {
        Ok(access) => access,
        Err(refused) => return *refused,
    };
    let path = request.uri().path().to_owned();
    match path.trim_start_matches("/api/") {
        "orders" => orders(&inner, request).await,
        "forbidden" => reply::json(
            403,
            &json!({ "code": "order_locked", "message": "The order is locked." }),
        ),
        "always401" => invalid_token("The access token is not accepted here"),
        "scope403" => scope403("orders:write"),
        "reports" if !access.scope.split(' ').any(|scope| scope == "reports") => {
            scope403("reports")
        }
        "reports" => reply::json(200, &json!({ "reports": [] })),
        "redirect" => reply::redirect(&lock(&inner.redirect_to)),
        "echo" => echo(request).await,
        "stream" => parts(&inner, &request, "text/plain", |n| format!("part {n}\n")),
        "sse" => parts(&inner, &request, "text/event-stream", |n| {
            format!("id: {n}\ndata: {{\"n\":{n}}}\n\n")
        }),
        "ws" => web_socket(request).await,
        "slow" => {
            inner.slow.wait().await;
            reply::json(200, &json!({ "slow": true }))
        }
        "upload" => upload(&inner, request).await,
        other => match other
            .strip_prefix("status/")
            .and_then(|status| status.parse().ok())
        {
            Some(status @ 200..=599) => reply::json(status, &json!({ "status": status })),
            _ => reply::json(404, &json!({ "code": "not_found" })),
        },
    }
}

/// Judges the bearer token (RFC 6750 §3).
fn authorise(inner: &Inner, headers: &HeaderMap) -> Result<Access, Box<Reply>> {
    let header = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let Some(token) = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
    else {
        let reply = reply::reply(401, "text/plain", "");
        return Err(Box::new(reply::with(
            reply,
            "www-authenticate",
            r#"Bearer realm="lab""#,
        )));
    };
    inner
        .access(token.1.trim())
        .map_err(|why| Box::new(invalid_token(why)))
}

fn invalid_token(why: &str) -> Reply {
    let challenge =
        format!(r#"Bearer realm="lab", error="invalid_token", error_description="{why}""#);
    let reply = reply::json(
        401,
        &json!({ "error": "invalid_token", "error_description": why }),
    );
    reply::with(reply, "www-authenticate", &challenge)
}

fn scope403(scope: &str) -> Reply {
    let challenge = format!(r#"Bearer realm="lab", error="insufficient_scope", scope="{scope}""#);
    reply::with(
        reply::json(403, &json!({ "error": "insufficient_scope" })),
        "www-authenticate",
        &challenge,
    )
}

async fn orders(inner: &Inner, request: Request<Body>) -> Reply {
    match *request.method() {
        Method::GET => {
            let posted = lock(&inner.orders).clone();
            reply::json(
                200,
                &json!({ "orders": [{ "id": 1, "total": "12.50" }], "posted": posted }),
            )
        }
        Method::POST => {
            let body = read(request).await;
            let order = serde_json::from_slice(&body)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
            let mut orders = lock(&inner.orders);
            orders.push(order.clone());
            reply::json(201, &json!({ "number": orders.len(), "received": order }))
        }
        _ => reply::with(
            reply::json(405, &json!({ "code": "method_not_allowed" })),
            "allow",
            "GET, POST",
        ),
    }
}

async fn echo(request: Request<Body>) -> Reply {
    let (method, uri) = (request.method().to_string(), request.uri().to_string());
    let mut headers = Map::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str())
            .or_insert_with(|| json!([]))
            .as_array_mut()
            .into_iter()
            .for_each(|values| values.push(json!(value)));
    }
    let body = read(request).await;
    let body = String::from_utf8_lossy(&body);
    reply::json(
        200,
        &json!({ "method": method, "uri": uri, "headers": headers, "body": body }),
    )
}

async fn upload(inner: &Inner, request: Request<Body>) -> Reply {
    let mut frames = request.into_body().into_data_stream();
    let mut length = 0;
    while let Some(Ok(data)) = frames.next().await {
        length += data.len();
        inner.uploaded.fetch_add(data.len(), Ordering::SeqCst);
    }
    reply::json(200, &json!({ "bytes": length }))
}

/// Parts 1..=n, each but the first behind the gate, and a trailer with their number.
fn parts(
    inner: &Inner,
    request: &Request<Body>,
    content_type: &str,
    text: fn(u32) -> String,
) -> Reply {
    let asked = form_field(
        request.uri().query().unwrap_or_default().as_bytes(),
        "parts",
    );
    let last = asked.and_then(|parts| parts.parse().ok()).unwrap_or(3);
    let gate: Gate = inner.stream.clone();
    let frames = stream::unfold(1, move |n: u32| {
        let gate = gate.clone();
        async move {
            if n > last + 1 {
                return None;
            }
            if n > 1 && n <= last {
                gate.wait().await;
            }
            let frame = if n <= last {
                Frame::data(Bytes::from(text(n)))
            } else {
                Frame::trailers(trailers(last))
            };
            Some((Ok::<_, Infallible>(frame), n + 1))
        }
    });
    let reply = reply::reply(200, content_type, Body::new(StreamBody::new(frames)));
    reply::with(
        reply::with(reply, "trailer", "x-lab-parts"),
        "cache-control",
        "no-store",
    )
}

fn trailers(parts: u32) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("x-lab-parts"),
        HeaderValue::from(parts),
    )])
}

async fn web_socket(request: Request<Body>) -> Reply {
    let (mut parts, _body) = request.into_parts();
    let stop = parts
        .extensions
        .get::<CancellationToken>()
        .cloned()
        .unwrap_or_default();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(async move |socket| {
            stop.run_until_cancelled(echo_messages(socket)).await;
        }),
        Err(refused) => axum::response::IntoResponse::into_response(refused),
    }
}

async fn echo_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let echo = matches!(message, Message::Text(_) | Message::Binary(_));
        if echo && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// The whole body; what came of it if the client breaks off.
async fn read(request: Request<Body>) -> Bytes {
    let collected = request.into_body().collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_those_of_rfc_6750() {
        let reply = invalid_token("The access token expired");
        let challenge = reply.headers()["www-authenticate"].to_str().expect("text");
        assert_eq!(
            challenge,
            r#"Bearer realm="lab", error="invalid_token", error_description="The access token expired""#
        );
        assert_eq!(reply.status(), 401);
        let reply = scope403("orders:write");
        let challenge = reply.headers()["www-authenticate"].to_str().expect("text");
        assert!(
            challenge.contains(r#"error="insufficient_scope""#),
            "{challenge}"
        );
    }
}
