//! The facade against a faulty issuer, over real sockets and a real store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod keeper;
#[cfg(feature = "reqwest")]
mod reqwest;
mod support;
mod tower;
