//! The keeper against servers that behave and misbehave, over real sockets and a real store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failing;
mod guards;
mod login;
mod probing;
mod support;
mod transaction;
mod watched;
