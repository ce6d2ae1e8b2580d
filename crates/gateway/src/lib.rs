//! The request path: routes, token injection, streaming, heal and replay of refused requests (DESIGN §10).
//!
//! A request to `/<session>/<path>` or `<session>.localhost/<path>` goes to the session's upstream with the
//! session's access token. While a valid token exists nothing here waits for a refresh and no lock is shared
//! between requests: the table of sessions never changes, and the token is one atomic load.
//!
//! | module | what it decides |
//! |---|---|
//! | [`host`], [`caller`] | who may ask: loopback names only, no cross-site pages, caller keys |
//! | [`route`] | which session, and which upstream URL |
//! | [`headers`] | which header fields travel, in both directions; where a token may go (I15) |
//! | [`replay`] | the request body, kept until the upstream has accepted the request |
//! | [`forward`], `send`, `judge` | the exchange: send, judge the answer, heal, send once more (I12) |
//! | [`upgrade`] | tunnels after `101 Switching Protocols` |
//! | [`problem`] | the gateway's own answers, `application/problem+json` |
//! | [`server`] | listening, limits, draining |
#![forbid(unsafe_code)]

pub mod body;
pub mod caller;
pub mod forward;
mod front;
pub mod headers;
pub mod host;
mod judge;
pub mod options;
pub mod problem;
pub mod replay;
pub mod route;
mod send;
pub mod server;
pub mod upgrade;
mod upstream;

pub use body::{Body, BoxError};
pub use forward::Gateway;
pub use options::{CallerKey, Limits, Options, RouteOptions, SetupError};
pub use problem::Problem;
pub use server::ServeError;
