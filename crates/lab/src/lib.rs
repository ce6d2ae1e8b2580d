//! Test support, not shipped: servers that behave and misbehave on real sockets.
//!
//! - [`issuer::FaultyIssuer`]: an OAuth 2.0 token endpoint and a protected API with scriptable faults.
//! - [`wordpress`]: stand-ins of the WordPress token plugins, faithful on the wire.
//! - [`json_refresh::JsonRefresh`]: a plain `/refresh` API that speaks JSON.
//! - [`middleman::Middleman`]: an HTTP proxy that takes a header away.
//! - [`proxy::FaultProxy`]: a TCP proxy that cuts, delays, refuses, or loses replies.
//! - [`tls::TlsFront`]: TLS, by a private certificate authority, in front of any of them.
//! - [`process`], [`wait`]: the built binary as a child process, and waiting for conditions.
//!
//! Every server runs on a background runtime of its own, so that a test may block, pause tokio's clock or
//! be synchronous altogether. Each binds a port of the loopback interface, records what it receives
//! ([`server::Server::requests`]) and stops when dropped.
//!
//! Being test support, the lab panics, with a text that says why, where a shipped crate would return an error.
#![forbid(unsafe_code)]
// A refusal is an answer, passed up whole; its size does not matter in tests.
#![allow(clippy::result_large_err)]

pub mod clock;
pub mod fault;
pub mod front;
pub mod gate;
pub mod issuer;
pub mod json_refresh;
pub mod middleman;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod record;
pub mod server;
pub mod tls;
pub mod valkey;
pub mod wait;
pub mod wordpress;

mod jwt;
mod reply;

pub use clock::Clock;
pub use fault::{Fault, FaultQueue};
pub use front::Front;
pub use gate::Gate;
pub use issuer::{Deed, FaultyIssuer, IssuerConfig, Rotation};
pub use json_refresh::JsonRefresh;
pub use middleman::Middleman;
pub use postgres::Postgres;
pub use process::{Process, tenure_bin};
pub use proxy::FaultProxy;
pub use record::Recorded;
pub use server::{Server, Sink};
pub use tls::TlsFront;
pub use valkey::Valkey;
pub use wait::{free_port, temp_dir, wait_until};
