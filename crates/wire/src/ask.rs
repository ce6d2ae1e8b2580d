//! Questions that change nothing: with no token, with rubbish in its place, or with the token; introspection
//! (RFC 7662); and whether a client is known, asked with a grant that cannot be good.

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tenure_core::Secret;
use url::Url;

use crate::answer::{Reading, Refusal, object};
use crate::client_auth::Client;
use crate::error::WireError;
use crate::json::{integer, string};
use crate::mask::Known;
use crate::oauth2::{client_request, token_request};
use crate::request::{empty, secret_header};
use crate::server::{Ctx, Dialect, Server};
use crate::{Request, Response, refusal};

/// What is sent where a token is expected and none is to be spent: no server can have given it.
pub const RUBBISH: &str = "tenure-doctor-not-a-token";

/// What the `Authorization` of a question holds.
#[derive(Clone, Copy, Debug)]
pub enum Bearer<'a> {
    /// There is none.
    None,
    /// [`RUBBISH`].
    Rubbish,
    /// This token.
    Token(&'a Secret),
}

/// A question to `url`: GET, or POST without a body. `marked` adds WCPOS's marker.
///
/// # Errors
/// When the address or the token cannot be sent.
pub fn question(
    url: &Url,
    post: bool,
    bearer: Bearer<'_>,
    marked: bool,
) -> Result<Request, WireError> {
    let mut headers = HeaderMap::new();
    let token = match bearer {
        Bearer::None => None,
        Bearer::Rubbish => Some(RUBBISH),
        Bearer::Token(token) => Some(token.expose()),
    };
    if let Some(token) = token {
        let value = Secret::new(format!("Bearer {token}"));
        headers.insert(
            AUTHORIZATION,
            secret_header("access token", value.expose())?,
        );
    }
    if marked {
        headers.insert("x-wcpos", HeaderValue::from_static("1"));
    }
    let mut request = empty("upstream", url, headers)?;
    if !post {
        *request.method_mut() = Method::GET;
    }
    Ok(request)
}

/// Asks the server about an access token; `None` when it does not offer to be asked.
///
/// # Errors
/// When the client's proof or the address cannot be sent.
pub fn introspection(
    server: &Server,
    client: &Client,
    token: &Secret,
    ctx: &Ctx,
) -> Result<Option<Request>, WireError> {
    let Some(url) = &server.introspection_endpoint else {
        return Ok(None);
    };
    let params = [
        ("token", token.expose()),
        ("token_type_hint", "access_token"),
    ];
    client_request("introspection_endpoint", url, server, client, &params, ctx).map(Some)
}

/// What a server says about a token (RFC 7662 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspected {
    /// It is good.
    pub active: bool,
    /// Its scope.
    pub scope: Option<String>,
    /// When it ends, seconds since the epoch.
    pub exp: Option<i64>,
}

/// Reads the answer to [`introspection`].
///
/// # Errors
/// The server's refusal: most of all, that it does not know the client.
pub fn introspection_answer(response: &Response, token: &Secret) -> Result<Introspected, Refusal> {
    let value = object(response, Reading::Plain).unwrap_or_default();
    match value.get("active").and_then(serde_json::Value::as_bool) {
        Some(active) if response.status().is_success() => Ok(Introspected {
            active,
            scope: string(&value, "scope").map(str::to_owned),
            exp: integer(&value, "exp"),
        }),
        _ => {
            let mut known = Known::default();
            known.add(token);
            Err(refusal::read(response, &value, Reading::Plain, &known))
        }
    }
}

/// Asks whether the client is known, by a refresh with [`RUBBISH`] for a refresh token: a server checks the client
/// first (RFC 6749 §5.2). `None` where there is nothing to check: a public client, a dialect without clients.
///
/// # Errors
/// When the client's proof cannot be made.
pub fn client_question(
    server: &Server,
    client: &Client,
    ctx: &Ctx,
) -> Result<Option<Request>, WireError> {
    let confidential = client.secret.is_some() || client.key.is_some();
    if server.dialect != Dialect::OAuth2 || !confidential {
        return Ok(None);
    }
    let params = [("grant_type", "refresh_token"), ("refresh_token", RUBBISH)];
    token_request(server, client, &params, ctx).map(Some)
}

/// The refusal that answers [`client_question`].
pub fn client_answer(response: &Response, client: &Client) -> Refusal {
    let value = object(response, Reading::Plain).unwrap_or_default();
    let mut known = Known::default();
    if let Some(secret) = &client.secret {
        known.add(secret);
    }
    refusal::read(response, &value, Reading::Plain, &known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let url = |path: &str| Url::parse(&format!("https://id.example/{path}")).expect("a URL");
        Server {
            introspection_endpoint: Some(url("introspect")),
            ..Server::new(Dialect::OAuth2, url("token"))
        }
    }

    fn ctx() -> Ctx {
        Ctx {
            now_s: 1,
            jti: "j".to_owned(),
        }
    }

    #[test]
    fn a_question_carries_what_it_is_told_to_and_no_more() {
        let url = Url::parse("https://api.example/x").expect("a URL");
        let token = Secret::new("t");
        let ask = |bearer| question(&url, false, bearer, false).expect("a request");
        assert!(ask(Bearer::None).headers().get(AUTHORIZATION).is_none());
        let sent = ask(Bearer::Token(&token));
        assert_eq!(sent.headers()[AUTHORIZATION], "Bearer t");
        assert!(sent.headers()[AUTHORIZATION].is_sensitive());
        assert_eq!((sent.method(), sent.body().len()), (&Method::GET, 0));
    }

    #[test]
    fn only_a_client_with_a_proof_is_asked_about() {
        let public = Client::public("till");
        let asked = client_question(&server(), &public, &ctx()).expect("built");
        assert!(asked.is_none());
        let client = Client {
            secret: Some(Secret::new("s3cret")),
            auth: crate::ClientAuth::Post,
            ..public
        };
        let asked = client_question(&server(), &client, &ctx()).expect("built");
        let body = asked.expect("a request").into_body();
        let body = String::from_utf8(body.to_vec()).expect("text");
        assert!(body.contains(RUBBISH), "{body}");
    }

    #[test]
    fn an_answer_without_active_is_a_refusal() {
        let token = Secret::new("the-token-that-was-asked-about");
        let read = |status: u16, body: &'static str| {
            let mut response = Response::new(body.into());
            *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
            introspection_answer(&response, &token)
        };
        let good = read(200, r#"{"active":true,"scope":"a b","exp":9}"#).expect("an answer");
        assert_eq!((good.active, good.exp), (true, Some(9)));
        let refusal = read(401, r#"{"error":"invalid_client"}"#).expect_err("refused");
        assert_eq!(refusal.error.as_deref(), Some("invalid_client"));
        let echo = read(
            400,
            r#"{"error":"x","error_description":"the-token-that-was-asked-about"}"#,
        );
        let text = format!("{:?}", echo.expect_err("refused"));
        assert!(!text.contains("asked-about"), "{text}");
    }
}
