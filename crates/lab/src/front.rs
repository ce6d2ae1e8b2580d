//! What stands in front of a server and changes requests on their way: a web server that keeps the
//! `Authorization` header from its application, a proxy that damages it, a filter that drops a form field.

use std::sync::Mutex;

use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;

use crate::record::lock;

/// The front of a server. It passes everything until told otherwise; what a server records is what came in.
#[derive(Debug, Default)]
pub struct Front(Mutex<Tampering>);

#[derive(Clone, Debug, Default)]
struct Tampering {
    strip: bool,
    damage: bool,
    drop_field: Option<String>,
}

impl Front {
    /// Keeps the `Authorization` header from the application, as Apache with PHP as CGI does.
    pub fn strip_authorization(&self, strip: bool) {
        lock(&self.0).strip = strip;
    }

    /// Cuts the last eight bytes off the `Authorization` header.
    pub fn damage_authorization(&self, damage: bool) {
        lock(&self.0).damage = damage;
    }

    /// Drops this field from form bodies, as a filter for "secrets" does; `None`: none.
    pub fn drop_field(&self, name: Option<&str>) {
        lock(&self.0).drop_field = name.map(str::to_owned);
    }

    /// The request as the application gets it.
    pub(crate) async fn pass(&self, mut request: Request<Body>) -> Request<Body> {
        let tampering = lock(&self.0).clone();
        if tampering.strip {
            request.headers_mut().remove(AUTHORIZATION);
        }
        if tampering.damage {
            damage(&mut request);
        }
        match tampering.drop_field {
            Some(name) => without_field(request, &name).await,
            None => request,
        }
    }
}

fn damage(request: &mut Request<Body>) {
    let Some(value) = request.headers().get(AUTHORIZATION) else {
        return;
    };
    let bytes = value.as_bytes();
    let cut = &bytes[..bytes.len().saturating_sub(8)];
    if let Ok(value) = HeaderValue::from_bytes(cut) {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
}

async fn without_field(request: Request<Body>, name: &str) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(url::form_urlencoded::parse(&body).filter(|(key, _)| key != name));
    let body = Bytes::from(form.finish());
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    Request::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passed(front: &Front) -> (Option<String>, String) {
        let request = Request::post("/token")
            .header("authorization", "Bearer 0123456789abcdef")
            .body(Body::from("grant_type=refresh_token&refresh_token=rt-1"))
            .expect("a request");
        let (parts, body) = front.pass(request).await.into_parts();
        let header = parts.headers.get(AUTHORIZATION);
        let body = body.collect().await.expect("a body").to_bytes();
        (
            header.map(|value| value.to_str().expect("text").to_owned()),
            String::from_utf8_lossy(&body).into_owned(),
        )
    }

    #[tokio::test]
    async fn requests_pass_whole_damaged_or_stripped() {
        let front = Front::default();
        let whole = "grant_type=refresh_token&refresh_token=rt-1";
        let header = |text: &str| Some(text.to_owned());
        assert_eq!(
            passed(&front).await,
            (header("Bearer 0123456789abcdef"), whole.to_owned())
        );
        front.damage_authorization(true);
        assert_eq!(passed(&front).await.0, header("Bearer 01234567"));
        front.strip_authorization(true);
        front.drop_field(Some("refresh_token"));
        assert_eq!(
            passed(&front).await,
            (None, "grant_type=refresh_token".to_owned())
        );
    }
}
