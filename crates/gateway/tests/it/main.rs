//! The gateway over real sockets, with a real keeper and store, against servers that behave and misbehave.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forward;
mod guard;
mod heal;
mod http2;
mod shutdown;
mod stream;
mod support;
mod tls;
mod upload;
