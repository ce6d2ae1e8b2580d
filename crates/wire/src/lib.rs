//! Messages of OAuth2, OpenID Connect and the dialects as pure request/response pairs.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: the caller sends the [`Request`],
//! feeds the [`Response`] to [`Exchange::on_response`], and passes time and random identifiers in [`Ctx`].
//!
//! **Never print a [`Request`] or a [`Response`] with `{:?}`**: their bodies hold tokens and passwords.
//! Every type of this crate is safe to print.
//!
//! ```
//! use tenure_core::Secret;
//! use tenure_wire::{Client, Ctx, Dialect, Exchange, Response, Server, Step, TokenAnswer};
//!
//! let server = Server::new(Dialect::OAuth2, "https://id.example/token".parse()?);
//! let client = Client::public("till-7");
//! let ctx = Ctx { now_s: 1_715_678_813, jti: "not used by a public client".into() };
//! let held = Secret::new("the refresh token held");
//! let (mut exchange, request) = Exchange::refresh(&server, &client, &held, None, false, &ctx)?;
//! assert_eq!(request.uri().host(), Some("id.example"));
//!
//! // … the caller sends the request; this came back:
//! let response = Response::new(r#"{"access_token":"new","expires_in":300}"#.into());
//! match exchange.on_response(&response, &ctx) {
//!     Step::Done(TokenAnswer::Granted(granted)) => assert_eq!(granted.stated.expires_in, Some(300)),
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod answer;
pub mod ask;
pub mod client_auth;
pub mod device;
pub mod discovery;
pub mod error;
pub mod exchange;
mod json;
pub mod json_refresh;
pub mod mask;
pub mod oauth2;
pub mod pkce;
pub mod redirect;
mod refusal;
mod request;
pub mod resource;
pub mod retry_after;
pub mod server;
pub mod wordpress;

pub use answer::{Granted, Refusal, TokenAnswer, Unusable};
pub use client_auth::{Client, ClientAuth};
pub use error::WireError;
pub use exchange::{Exchange, Step};
pub use json_refresh::JsonFields;
pub use mask::mask;
pub use oauth2::{authorization_url, revocation, revocation_answer};
pub use redirect::{
    RedirectError, check_state, parse_redirect, parse_redirect_requiring_issuer,
    parse_wcpos_redirect, pasted,
};
pub use retry_after::{RetryAfter, retry_after};
pub use server::{Ctx, Dialect, Server};

/// A request ready to be sent. Do not print it with `{:?}`.
pub type Request = http::Request<bytes::Bytes>;
/// A whole answer. Do not print it with `{:?}`.
pub type Response = http::Response<bytes::Bytes>;

/// Largest body that is looked at, in bytes. No token answer comes near it; a larger one is somebody else's.
pub const MAX_BODY: usize = 256 * 1024;
/// What every request carries as `User-Agent`. Blank or library names get banned by security plugins.
pub const USER_AGENT: &str = concat!("tenure/", env!("CARGO_PKG_VERSION"));
